"""What holds for every answer, whatever was asked; and for an account, once its fuzz is over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from tests.support.fuzz.model import World
from tests.support.fuzz.requests import Asked

DAV = "{DAV:}"
_STATUS_LINE = re.compile(r"HTTP/1\.1 [2345]\d\d .*").fullmatch
_ETAG = re.compile(r'"[0-9a-f]{64}"').fullmatch
_PROPNAME = '<propfind xmlns="DAV:"><prop><getetag/><resourcetype/></prop></propfind>'


class Got:
    """An answer. Header names in lower case."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.pairs = [(name.lower(), value) for name, value in headers]
        self.headers: Mapping[str, str] = dict(self.pairs)
        self.body = body

    def __str__(self) -> str:
        return f"{self.status} {dict(self.headers)} {self.body[:600]!r}"


def judge(asked: Asked, got: Got) -> None:
    """The answer is one that a client can read, and does not say that we failed."""
    elsewhere = got.status == 502 and asked.method in ("COPY", "MOVE")  # RFC 4918 section 9.8.5
    assert 200 <= got.status < 500 or got.status == 501 or elsewhere, "no answer tells a failure of ours"
    names = [name for name, _ in got.pairs]
    assert len(set(names)) == len(names), "no header comes twice"
    _length(asked, got)
    if got.status == 401:
        assert got.headers["www-authenticate"].startswith("Basic ")
    if got.status == 405:
        assert got.headers["allow"]
    if got.status == 429:
        assert int(got.headers["retry-after"]) > 0
    if got.status in (301, 302, 303, 307, 308):
        assert got.headers["location"].startswith(("/", "http"))
    if got.status == 206:
        assert got.headers["content-range"].startswith("bytes ")
    if got.headers.get("etag"):
        assert _ETAG(got.headers["etag"].removeprefix("W/")), "a tag is of our making"
    dav = asked.target.startswith("/dav/") and asked.method != "HEAD"
    if got.status == 207:
        _multistatus(asked, got)
    elif dav and got.status >= 400 and got.status != 416 and "preference-applied" not in got.headers:
        # A 412 may bear what is there now, where that is preferred (RFC 8144 section 3.2); a 416 bears nothing.
        assert got.headers["content-type"] == "application/xml; charset=utf-8"
        assert ElementTree.fromstring(got.body).tag in (DAV + "error", *_REFUSED_MAKING)
    if asked.method == "GET" and got.status == 200 and dav and "etag" in got.headers and "vary" not in got.headers:
        assert got.headers["etag"] == f'"{sha256(got.body).hexdigest()}"', "what is given is what the tag says"


_REFUSED_MAKING = (DAV + "mkcol-response", "{urn:ietf:params:xml:ns:caldav}mkcalendar-response")


def _length(asked: Asked, got: Got) -> None:
    if asked.method == "HEAD" or got.status in (204, 304):
        assert got.body == b""
    elif "content-length" in got.headers:
        assert int(got.headers["content-length"]) == len(got.body)
    if got.status in (204, 304):
        assert "content-length" not in got.headers


def _multistatus(asked: Asked, got: Got) -> None:
    root = ElementTree.fromstring(got.body)
    assert root.tag == DAV + "multistatus"
    responses = root.findall(DAV + "response")
    if asked.method != "REPORT" and got.headers.get("preference-applied") != "depth-noroot":
        assert responses, "it is about something"
    hrefs = []
    for response in responses:
        found = response.findall(DAV + "href")
        assert found
        assert asked.method == "REPORT" or all(href.text for href in found), "only what was asked for so can be empty"
        hrefs += [href.text or "" for href in found]
        propstats = response.findall(DAV + "propstat")
        statuses = (
            [response.findtext(DAV + "status")] if not propstats else [p.findtext(DAV + "status") for p in propstats]
        )
        assert all(status is not None and _STATUS_LINE(status) for status in statuses), statuses
        assert not (propstats and response.find(DAV + "status") is not None), (
            "either of the two (RFC 4918 section 14.24)"
        )
        told = [prop.tag for propstat in propstats for prop in propstat.findall(DAV + "prop/*")]
        assert len(set(told)) == len(told), "a property has one state"
    if asked.method == "PROPFIND":
        assert len(set(hrefs)) == len(hrefs), "each resource is told of once"


Ask = Callable[[Asked], Got]


def hold_against(world: World, ask: Ask) -> None:
    """What was acknowledged is there, with the tag it was given, and nothing else is."""
    items, collections = look(world, ask)
    assert items == world.items
    assert collections == world.collections
    for path, tag in items.items():
        got = ask(Asked("GET", world.href(path), {}, b""))
        assert (got.status, got.headers.get("etag")) == (200, tag), path
        assert f'"{sha256(got.body).hexdigest()}"' == tag


def take_in(world: World, ask: Ask, asked: Asked) -> None:
    """A request was not answered: what it may have changed is as the account says, all else is as it was."""
    items, collections = look(world, ask)
    named = {world.path_of(asked.target), world.path_of(asked.headers.get("Destination", ""))}
    for path in {p for p, _ in items.items() ^ world.items.items()} | (collections ^ world.collections):
        assert any(path == name or path.startswith(f"{name}/") for name in named if name is not None), path
    world.items, world.collections = items, collections


def look(world: World, ask: Ask) -> tuple[dict[str, str], set[str]]:
    """All items of the account with their tags, and its collections, as listings tell them."""
    items: dict[str, str] = {}
    collections: set[str] = set()
    waiting = ["contacts", "calendars", "files"]
    while waiting:
        path = waiting.pop()
        got = ask(Asked("PROPFIND", world.href(path) + "/", {"Depth": "1"}, _PROPNAME.encode()))
        assert got.status == 207, f"{path}: {got}"
        here, below = _listed(world, path, got.body)
        items |= here
        collections |= below
        waiting += below
    return items, collections


def _listed(world: World, collection: str, body: bytes) -> tuple[dict[str, str], set[str]]:
    """Items with their tags and collections within one, by path."""
    items: dict[str, str] = {}
    folders: set[str] = set()
    for response in ElementTree.fromstring(body).iter(DAV + "response"):
        href = unquote(urlsplit(response.findtext(DAV + "href") or "").path)
        path = href[len(f"/dav/{world.name}/") :].rstrip("/")
        if path == collection:
            continue
        if response.find(f".//{DAV}resourcetype/{DAV}collection") is not None:
            folders.add(path)
        else:
            items[path] = response.findtext(f".//{DAV}getetag") or ""
    return items, folders
