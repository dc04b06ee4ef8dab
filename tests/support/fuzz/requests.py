"""Requests of the fuzz: every method on every kind of target, with headers and bodies that fit, or do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from tests.support.fuzz import contents, documents
from tests.support.fuzz.dice import Dice
from tests.support.fuzz.model import World

METHODS = (
    *("GET", "PUT", "PUT", "PUT", "DELETE", "PROPFIND", "PROPFIND", "REPORT", "REPORT", "REPORT", "PROPPATCH", "MKCOL"),
    *("MKCALENDAR", "COPY", "MOVE", "MOVE", "LOCK", "UNLOCK", "HEAD", "OPTIONS", "POST", "ACL", "TRACE", "PATCH"),
    *("SEARCH", "BIND", "CONNECT", "X", "get", "PROPFIND-", "M" * 300),
)
_COMMON = METHODS[:18]
FEW = 6  # items, below which most requests make another
ITEM_NAMES = {
    "contacts": ("a.vcf", "b.vcf", "c ü.vcf", "d"),
    "calendars": ("a.ics", "b.ics", "c ü.ics", "d"),
    "files": ("a.txt", "ü 茶.md", "photo.jpg", "sub", "a.vcf"),
}
_ODD_NAMES = (
    *("%2F", "%00", "%ff", "%", "%zz", "..", ".", "%2e%2e", "", "a" * 255, "a" * 256, "%c3%bc" * 128, "?", "#", ";x"),
    *("*", "CON", "a%0D%0Ab", "%F0%9F%98%80", "e%CC%81", "%C3%A9", "\\", "%5c", "~", "+", "%2B", "@", "default"),
)
_FAR_TARGETS = (
    *("/", "/dav", "/dav/", "/dav/principals/", "/dav/principals", "/dav/principals/{me}/", "/dav/{me}/", "/dav/{me}"),
    *("/dav/{me}/contacts/", "/dav/{me}/calendars/", "/dav/{me}/files/", "/dav/{me}/calendars", "/dav/{me}/scores/"),
    *("/dav/bob/", "/dav/bob/contacts/default/", "/dav/bob/files/notes/x", "/dav/principals/bob/", "/dav/nobody/"),
    *("/.well-known/caldav", "/.well-known/carddav/", "/status", "/metrics", "/healthz", "/api/v1/openapi.json"),
    *("/api/v1/scores/chess", "/api/v1/leaderboards/chess", "/api/v1/", "/sign-in", "/nowhere", "/dav/{me}//contacts/"),
    *("//dav/{me}/", "/dav/%2e%2e/", "/DAV/{me}/", "/dav/{me}/contacts/default/a.vcf/b/c", "/dav/" + "x" * 9000, "*"),
    *("/dav/{me}/files/notes/" + "s/" * 200, "/dav/{me}/calendars/inbox/", "/dav/{me}/calendars/outbox/"),
)


class Asked(NamedTuple):
    """A request: `target` as it goes over the wire; `login` is which credentials it bears."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    login: str = "me"  # or "none", "wrong", "odd"
    chunked: bool = False

    def __str__(self) -> str:
        shown = self.body if len(self.body) <= 3000 else self.body[:3000] + b" ..."
        return f"{self.method} {self.target}\n{dict(self.headers)} login={self.login} chunked={self.chunked}\n{shown!r}"


def request(dice: Dice, world: World) -> Asked:
    """A request against an account, most of the time one that means something there."""
    method = dice.pick(_COMMON) if not dice.one_in(6) else dice.pick(METHODS)
    if len(world.items) < FEW and dice.one_in(3):
        method = "PUT"
    target = _target(dice, world, method)
    body = _body(dice, world, method, target)
    headers = _headers(dice, world, method, target, body)
    login = "me" if not dice.one_in(25) else dice.pick(("none", "wrong", "odd"))
    return Asked(method, target, headers, body, login, chunked=dice.one_in(10))


# -- targets -----------------------------------------------------------------------------------------------------


def _path(dice: Dice, world: World, *, item: bool) -> str:
    """A path below the account, decoded: of a collection, or of something in one."""
    known = world.items and (dice.one_in(2) if len(world.items) < FEW else not dice.one_in(4))
    if item and known:
        return dice.pick(sorted(world.items))
    collection = dice.pick(sorted(world.collections))
    if not item:
        return collection
    return f"{collection}/{dice.pick(ITEM_NAMES[collection.partition('/')[0]])}"


def _new_collection(dice: Dice) -> str:
    home = dice.pick(("contacts", "calendars", "files/notes", "files/photos", "files/notes/sub"))
    return f"{home}/{dice.pick(('new', 'neu ü', 'sub', 'more'))}"


def _target(dice: Dice, world: World, method: str) -> str:
    if dice.one_in(12):
        return dice.pick(_FAR_TARGETS).replace("{me}", quote(world.name))
    if dice.one_in(14):
        return f"{world.href(dice.pick(sorted(world.collections)))}/{dice.pick(_ODD_NAMES)}"
    if method == "UNLOCK" and world.locks and not dice.one_in(3):
        return world.locked[world.locks[-1]]
    if method in ("MKCOL", "MKCALENDAR") and not dice.one_in(4):
        path, slash = _new_collection(dice), dice.one_in(2)
    else:
        lists = method in ("PROPFIND", "REPORT", "PROPPATCH")
        on_collection = dice.one_in(3) if not lists else not dice.one_in(4)
        if method in ("DELETE", "PUT", "COPY", "MOVE") and not dice.one_in(8):
            on_collection = False
        path, slash = _path(dice, world, item=not on_collection), on_collection and not dice.one_in(3)
        if (
            method in ("LOCK", "UNLOCK") and not path.startswith("files/") and not dice.one_in(4)
        ):  # where they are taken
            path = f"files/notes/{dice.pick(ITEM_NAMES['files'])}"
        if method == "REPORT" and on_collection and dice.one_in(2):  # where there are reports
            path = dice.pick([c for c in sorted(world.collections) if not c.startswith("files/")] or [path])
    href = world.href(path) + ("/" if slash else "")
    if dice.one_in(10):
        href = "".join(f"%{ord(c):02x}" if c.isalpha() and c.isascii() and dice.one_in(9) else c for c in href)
    return href + dice.pick(("",) * 15 + ("?", "?x=1", "?sync&y=%ff"))


# -- bodies ------------------------------------------------------------------------------------------------------


def _body(dice: Dice, world: World, method: str, target: str) -> bytes:
    home = (world.path_of(target) or "").partition("/")[0]
    if dice.one_in(30):
        return dice.pick((b"", b"\x00", dice.data(40), b"x" * 1_200_000))
    if method == "PUT" or dice.one_in(40):
        makers = {"contacts": contents.card, "calendars": contents.calendar, "files": contents.file}
        maker = makers.get(home, contents.file) if not dice.one_in(15) else dice.pick(list(makers.values()))
        return maker(dice, target)
    if method == "POST":
        return dice.pick((b'{"score":1}', b'{"score":9e999}', b'{"score":null}', b"[" * 5000, b'{"score":1,"at":"x"}'))
    if method in documents.BY_METHOD:
        bare = {"PROPFIND": 6, "MKCOL": 2, "MKCALENDAR": 2, "LOCK": 4}.get(method, 20)
        return b"" if dice.one_in(bare) else documents.document(dice, method, home, world.known(home))
    return b"" if not dice.one_in(8) else documents.document(dice, method, home, world.known(home))


# -- headers -----------------------------------------------------------------------------------------------------

_DATES = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 32 Foo", "0", "")
_ODD_VALUES = ("", "x", "\xff", ",", '"', "x" * 6000, "0, 0", "-1", "\x00", "()", "*", "None", "1e9", "é")
_ODD_HEADERS = (
    *(
        "Depth",
        "If",
        "If-Match",
        "If-None-Match",
        "Destination",
        "Overwrite",
        "Timeout",
        "Lock-Token",
        "Range",
        "Prefer",
    ),
    *(
        "Brief",
        "Accept",
        "Content-Type",
        "Content-Encoding",
        "Content-Length",
        "Transfer-Encoding",
        "If-Range",
        "Expect",
    ),
    *(
        "If-Modified-Since",
        "If-Unmodified-Since",
        "Content-Range",
        "User-Agent",
        "Accept-Encoding",
        "X-HTTP-Method-Override",
    ),
    *(
        "If-Schedule-Tag-Match",
        "Schedule-Reply",
        "OC-Total-Length",
        "X-OC-MTime",
        "Host",
        "Forwarded",
        "X-Forwarded-Proto",
    ),
    *("Origin", "Cookie", "Authorization", "Connection", "Upgrade", "TE", "Label", "Ordering-Type", "Position"),
)


def _headers(dice: Dice, world: World, method: str, target: str, body: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    if method in ("PROPFIND", "REPORT", "COPY", "LOCK", "MOVE", "DELETE"):
        usual = {"PROPFIND": ("0", "1"), "REPORT": ("0", "1"), "COPY": ("infinity", "0")}.get(method, ("infinity",))
        if not dice.one_in(4):
            headers["Depth"] = dice.pick(usual) if not dice.one_in(10) else dice.pick(("infinity", "1,noroot", "2", ""))
    if method in ("COPY", "MOVE"):
        headers["Destination"] = _destination(dice, world, target)
        if dice.one_in(2):
            headers["Overwrite"] = dice.pick(("T", "F")) if not dice.one_in(8) else dice.pick(("t", "X", ""))
    if method == "PUT":
        own = "text/vcard" if "/contacts/" in target else "text/calendar" if "/calendars/" in target else "text/plain"
        headers["Content-Type"] = (
            own if not dice.one_in(6) else dice.pick(("text/calendar; charset=utf-8", "text/plain", "x"))
        )
    elif body:
        headers["Content-Type"] = dice.pick(("application/xml", "text/xml; charset=utf-8", "application/json", ""))
    if dice.one_in(4):
        name = dice.pick(("If-Match", "If-None-Match"))
        headers[name] = dice.pick(("*", *world.etags[-4:], f'"{"a" * 64}", "b"'))
        if dice.one_in(6):
            headers[name] = dice.pick(('W/"x"', "unquoted", '"', ""))
    if method == "LOCK" and dice.one_in(2):
        headers["Timeout"] = dice.pick(
            ("Second-3600", "Infinite", "Infinite, Second-4100000000", "Second--1", "Second-" + "9" * 99)
        )
    if method == "UNLOCK" and world.locks and not dice.one_in(3):
        headers["Lock-Token"] = f"<{world.locks[-1]}>"
    elif method == "UNLOCK" or dice.one_in(30):
        headers["Lock-Token"] = dice.pick((*(f"<{t}>" for t in world.locks[-3:]), "<urn:uuid:0>", "urn:x", "<>", ""))
    if dice.one_in(8):
        headers["If"] = _if(dice, world)
    if dice.one_in(6):
        headers["Prefer"] = dice.pick(("return=minimal", "return=representation", "depth-noroot", "wait=10", "=;,"))
    if method in ("GET", "HEAD") and dice.one_in(2):
        headers["Range"] = dice.pick(
            ("bytes=0-", "bytes=-5", "bytes=2-1", "bytes=0-0,2-3", "bytes=99999999999-", "lines=1")
        )
        if dice.one_in(3):
            headers["If-Range"] = dice.pick((*world.etags[-2:], *_DATES))
    if dice.one_in(10):
        headers[dice.pick(("If-Modified-Since", "If-Unmodified-Since"))] = dice.pick(_DATES)
    if dice.one_in(10):
        headers["Accept"] = dice.pick(
            ("text/vcard; version=4.0", "text/vcard;version=3.0", "text/calendar", "*/*;q=0", "application/json")
        )
    if dice.one_in(10):
        headers["User-Agent"] = dice.pick(
            ("Mozilla/5.0 Thunderbird/115", "iOS/17.0 dataaccessd/1.0", "DAVx5/4.4", "Microsoft-WebDAV-MiniRedir/10")
        )
    if dice.one_in(8):
        headers[dice.pick(_ODD_HEADERS)] = dice.pick(_ODD_VALUES)
    if dice.one_in(40) and body:
        headers["Content-Length"] = dice.pick(
            (str(len(body) + 5), str(max(0, len(body) - 3)), "0", "9" * 30, "-1", "0x10")
        )
    if dice.one_in(40):
        headers["Content-Encoding"] = dice.pick(("gzip", "identity", "br", "gzip, gzip"))
    if dice.one_in(60):
        headers["Transfer-Encoding"] = dice.pick(("chunked", "identity", "gzip, chunked", "xchunked"))
    return headers


def _destination(dice: Dice, world: World, target: str) -> str:
    if dice.one_in(12):
        return dice.pick(
            (
                "",
                "/",
                "x",
                "http://",
                "http://elsewhere.example/dav/x",
                "/dav/bob/contacts/default/a.vcf",
                "//x/y",
                target,
            )
        )
    source = world.path_of(target) or ""
    if dice.one_in(4):
        path = _path(dice, world, item=True) if dice.one_in(2) else _new_collection(dice)
    else:  # beside it, or in another of its home
        home = source.partition("/")[0]
        above = dice.pick([c for c in sorted(world.collections) if c.startswith(home + "/")] or ["files/notes"])
        path = f"{above}/{dice.pick(ITEM_NAMES.get(home, ('x',)))}"
    href = world.href(path) + dice.pick(("", "", "", "/"))
    origins = (world.origin, world.origin, "", world.origin.upper(), world.origin.replace("http:", "https:"))
    return dice.pick(origins) + href


def _if(dice: Dice, world: World) -> str:
    locks = tuple(f"<{token}>" for token in world.locks[-3:])
    tags = tuple(f"[{tag}]" for tag in world.etags[-3:])
    conditions = (
        *locks,
        *tags,
        "<urn:uuid:0>",
        '["x"]',
        '[W/"x"]',
        "<DAV:no-lock>",
        "Not <DAV:no-lock>",
        "Not",
        "",
        "((",
        "[",
    )
    lists = "".join("(" + " ".join(dice.several(conditions, 3)) + ")" for _ in range(1 + dice.below(3)))
    tagged = f"<{world.href(_path(dice, world, item=True))}> " if dice.one_in(3) else ""
    return tagged + lists if not dice.one_in(30) else "(<urn:x>)" * 800
