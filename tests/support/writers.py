"""Devices that write over plain HTTP while an oracle takes notes, and the storm that several of them make.

Each device draws what it does from a generator of its own, seeded by the storm's seed and its name. It writes its own
items and collections, plus a few items that all devices of an account contend for. An answer that no client should
get (a 5xx, a refusal without a reason, another ETag than the body's digest) is an error of the storm.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from tests.support.oracle import Fate, Key, Oracle, Reply, State, View
from tests.support.service import Answer, Client, Service

CARD, ICAL = "text/vcard; charset=utf-8", "text/calendar; charset=utf-8"
CARD_NS, CAL_NS = "urn:ietf:params:xml:ns:carddav", "urn:ietf:params:xml:ns:caldav"
HOMES = ("contacts", "calendars", "files/notes", "files/photos")
CONTENDED = 3
STEPS = 20_000  # a bound on what one device does in a storm
UNDO_AT = 6  # a device's step at which its one undo comes
MANY_FAMILIES = ("Ångström", "Nguyễn", "Папанина", "田中", "Okafor", "Mac an Ghaill")


class WrongAnswer(Exception):
    """An answer that no client should get."""


def digest(body: bytes) -> str:
    return sha256(body).hexdigest()


def card(uid: str, draw: random.Random) -> bytes:
    family = draw.choice(MANY_FAMILIES)
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{family} {uid}", f"N:{family};{uid};;;"]
    lines += [f"TEL;TYPE=CELL:+{draw.randrange(10**11)}" for _ in range(draw.randrange(1, 4))]
    return "\r\n".join([*lines, f"NOTE:{draw.getrandbits(64):x}", "END:VCARD", ""]).encode()


def component(kind: str, uid: str, draw: random.Random) -> bytes:
    """An iCalendar object with one VEVENT, VTODO or VJOURNAL."""
    start = f"2026{draw.randrange(1, 13):02}{draw.randrange(1, 29):02}T{draw.randrange(24):02}0000Z"
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//storm//EN", f"BEGIN:{kind}", f"UID:{uid}"]
    lines += ["DTSTAMP:20260101T000000Z", f"DTSTART:{start}", f"SUMMARY:{draw.getrandbits(64):x}"]
    if kind == "VEVENT" and draw.random() < 0.3:
        lines.append(f"RRULE:FREQ=WEEKLY;COUNT={draw.randrange(2, 60)}")
    return "\r\n".join([*lines, f"END:{kind}", "END:VCALENDAR", ""]).encode()


class Device:
    """One device of an account. `send` runs what its person does, one request after the other."""

    def __init__(self, name: str, seed: int, service: Service, client: Client, oracle: Oracle) -> None:
        self.name = name
        self.draw = random.Random(f"{seed}/{name}")
        self.service = service
        self.client = client
        self.oracle = oracle
        self.root = f"/dav/{client.user}"
        self.bodies: dict[str, bytes] = {}  # by digest: all that this device ever sent
        self._items: dict[str, str] = {}  # path of an own item -> digest
        self._media: dict[str, str] = {}
        self._folders: list[str] = []  # own collections, with their closing slash
        self._views: dict[str, View] = {}
        self._made = 0
        self._acknowledged = 0

    def step(self) -> int:
        """Do one thing; how many acknowledgements all devices have had when it was answered."""
        do = self.draw.choices([a for a, _ in _HABITS], [w for _, w in _HABITS])[0]
        do(self)
        return self._acknowledged

    def _do(
        self,
        what: str,
        effects: Mapping[Key, State],
        ask: Callable[[], Answer],
        *,
        refusal: int = 0,
        contended: bool = False,
        before: State = None,
    ) -> Answer:
        attempt = self.oracle.begin(self.name, what, effects, contended=contended, before=before)
        answer = ask()
        if answer.status in (200, 201, 204, 207):
            fate = Fate.DONE
        elif answer.status == refusal:
            fate = Fate.REFUSED
        else:
            raise WrongAnswer(f"{what}: {answer.status} {answer.body[:300]!r}")
        self._acknowledged = self.oracle.end(attempt, fate)
        return answer

    def _name(self) -> str:
        self._made += 1
        return f"{self.name}-{self._made}"

    def _content(self, folder: str, name: str) -> tuple[bytes, str]:
        """A body, unlike all others, for an item of this name in this collection, and its media type."""
        uid = name.partition(".")[0]
        if "/contacts/" in folder:
            return card(uid, self.draw), CARD
        if "/calendars/" in folder:
            kind = "VTODO" if folder.endswith("/tasks/") else "VJOURNAL" if folder.endswith("/notes/") else "VEVENT"
            return component(kind, uid, self.draw), ICAL
        if "/photos/" in folder:
            size = self.draw.choice((300, 70_000, 70_000, 200_000))
            return b"\xff\xd8\xff\xe0" + self.draw.randbytes(size) + b"\xff\xd9", "image/jpeg"
        size = self.draw.choice((200, 200, 2_000, 90_000))
        return f"{name}\n{self.draw.randbytes(size // 2).hex()}\n".encode(), "text/plain; charset=utf-8"

    def _put(self, path: str, body: bytes, media: str, *, match: str = "") -> None:
        etag = f'"{match}"' if match else ""
        self.bodies[digest(body)] = body
        answer = self._do(
            f"PUT {path}",
            {("body", path): digest(body)},
            lambda: self.client.put(path, body, media, match=etag, new=not match),
        )
        if answer.etag != f'"{digest(body)}"':
            raise WrongAnswer(f"PUT {path} answers the ETag {answer.etag}")
        self._items[path], self._media[path] = digest(body), media

    def create(self) -> None:
        defaults = ["contacts/default", "calendars/default", "calendars/tasks", "calendars/notes", *HOMES[2:]]
        folder = self.draw.choice([f"{self.root}/{d}/" for d in defaults] + self._folders)
        ending = (
            ".vcf"
            if "/contacts/" in folder
            else ".ics"
            if "/calendars/" in folder
            else self.draw.choice((".txt", " – größer.md", " 100%.jpg"))
        )
        path = folder + self._name() + ending
        self._put(path, *self._content(folder, path.rpartition("/")[2]))

    def overwrite(self) -> None:
        if not self._items:
            return self.create()
        path = self.draw.choice(sorted(self._items))
        folder, _, name = path.rpartition("/")
        body, _ = self._content(folder + "/", name)
        return self._put(path, body, self._media[path], match=self._items[path])

    def delete(self) -> None:
        if not self._items:
            return self.create()
        path = self.draw.choice(sorted(self._items))
        match = {"If-Match": f'"{self._items[path]}"'}
        self._do(f"DELETE {path}", {("body", path): None}, lambda: self.client.ask("DELETE", path, b"", match))
        del self._items[path]
        return None

    def refused(self) -> None:
        """Overwrite with an ETag that is out of date: 412, and nothing changes."""
        if not self._items:
            return self.create()
        path = self.draw.choice(sorted(self._items))
        folder, _, name = path.rpartition("/")
        body, media = self._content(folder + "/", name)
        answer = self._do(
            f"PUT {path} with an old ETag",
            {("body", path): digest(body)},
            lambda: self.client.put(path, body, media, match=f'"{"0" * 64}"'),
            refusal=412,
        )
        if answer.status != 412:
            raise WrongAnswer(f"PUT {path} with an old ETag: {answer.status}")
        return None

    def make_folder(self) -> None:
        home = self.draw.choice(HOMES)
        path = f"{self.root}/{home}/{self._name()}/"
        effects: dict[Key, State] = {("exists", path): "yes"}
        if home == "contacts":
            name = f"Book {self._made} & more"
            effects["name", path] = name
            kind = f'<resourcetype><collection/><addressbook xmlns="{CARD_NS}"/></resourcetype>'
            body = (
                f'<mkcol xmlns="DAV:"><set><prop>{kind}<displayname>{_escaped(name)}</displayname></prop></set></mkcol>'
            )
            self._do(f"MKCOL {path}", effects, lambda: self.client.xml("MKCOL", path, body))
        elif home == "calendars":
            name = f"Plan {self._made}"
            effects["name", path] = name
            body = (
                f'<c:mkcalendar xmlns="DAV:" xmlns:c="{CAL_NS}"><set><prop><displayname>{name}</displayname>'
                "</prop></set></c:mkcalendar>"
            )
            self._do(f"MKCALENDAR {path}", effects, lambda: self.client.xml("MKCALENDAR", path, body))
        else:
            self._do(f"MKCOL {path}", effects, lambda: self.client.ask("MKCOL", path))
        self._folders.append(path)

    def drop_folder(self) -> None:
        if not self._folders:
            return self.make_folder()
        path = self._folders[self.draw.randrange(len(self._folders))]
        gone = [p for p in self._items if p.startswith(path)]
        effects: dict[Key, State] = {("exists", path): None, ("name", path): None}
        effects |= {("body", p): None for p in gone}
        self._do(f"DELETE {path}", effects, lambda: self.client.ask("DELETE", path))
        self._folders.remove(path)
        self._views.pop(path, None)
        for p in gone:
            del self._items[p]
        return None

    def rename(self) -> None:
        """PROPPATCH of an own collection's displayname."""
        if not self._folders:
            return self.make_folder()
        path, name = self.draw.choice(self._folders), f"Name {self.draw.getrandbits(40):x} é"
        body = (
            f'<propertyupdate xmlns="DAV:"><set><prop><displayname>{name}</displayname></prop></set></propertyupdate>'
        )
        answer = self._do(f"PROPPATCH {path}", {("name", path): name}, lambda: self.client.xml("PROPPATCH", path, body))
        if b"200 OK" not in answer.body:
            raise WrongAnswer(f"PROPPATCH {path}: {answer.body[:300]!r}")
        return None

    def score(self) -> None:
        game, points, detail = self.draw.choice(("chess", "blocks")), self.draw.randrange(10**6), self._name()
        body = json.dumps({"score": points, "detail": {"round": detail}}).encode()
        self._do(
            f"POST score {detail}",
            {("score", f"{self.client.user}/{game}/{detail}"): str(points)},
            lambda: self.client.ask("POST", f"/api/v1/scores/{game}", body, {"Content-Type": "application/json"}),
        )

    def contend(self) -> None:
        """Read an item that all devices of the account write, and overwrite what was read."""
        path = f"{self.root}/contacts/default/contended-{self.draw.randrange(CONTENDED)}.vcf"
        answer = self.client.ask("GET", path)
        if answer.status != 200:
            raise WrongAnswer(f"GET {path}: {answer.status}")
        seen = digest(answer.body)
        if answer.etag != f'"{seen}"':
            raise WrongAnswer(f"GET {path}: the ETag {answer.etag} is not that of its body")
        self.oracle.saw(("body", path), seen)
        body = card(path.rpartition("/")[2].removesuffix(".vcf"), self.draw)
        self.bodies[digest(body)] = body
        self._do(
            f"PUT {path} over {seen[:8]}",
            {("body", path): digest(body)},
            lambda: self.client.put(path, body, CARD, match=answer.etag),
            refusal=412,
            contended=True,
            before=seen,
        )

    def look(self) -> None:
        """Sync a collection from the last token, and keep token and listing."""
        folders = [f"{self.root}/contacts/default/", f"{self.root}/calendars/default/", f"{self.root}/calendars/tasks/"]
        path = self.draw.choice(folders + [f for f in self._folders if "/files/" not in f])
        last = self._views.get(path)
        begun = self.oracle.now()
        delta = self.client.sync(path, last.token if last else "")
        if delta.status != 207:
            raise WrongAnswer(f"sync of {path}: {delta.status}")
        listing = (last.listing if last else {}) | delta.changed
        view = View(
            self.name,
            path,
            delta.token,
            {n: e for n, e in listing.items() if n not in delta.gone},
            begun,
            self.oracle.now(),
        )
        self._views[path] = view
        self.oracle.keep_view(view)

    def undo(self) -> None:
        """Change an own item, then bring it back with the command, while the service runs."""
        if not self._items:
            return self.create()
        path = self.draw.choice(sorted(self._items))
        was, media = self._items[path], self._media[path]
        when = time.time()
        self.delete_or_overwrite(path)
        collection, _, name = path.removeprefix(self.root + "/").rpartition("/")
        attempt = self.oracle.begin(self.name, f"undo of {path}", {("body", path): was})
        ran = self.service.run(*undo_command(self.client.user, collection, name, when), codes=None)
        if ran.code != 0:
            raise ConnectionError(f"undo of {path}: exit {ran.code} {ran.err[-500:]}")
        self._acknowledged = self.oracle.end(attempt, Fate.DONE)
        self._items[path], self._media[path] = was, media
        return None

    def delete_or_overwrite(self, path: str) -> None:
        if self.draw.random() < 0.5:
            match = {"If-Match": f'"{self._items[path]}"'}
            self._do(f"DELETE {path}", {("body", path): None}, lambda: self.client.ask("DELETE", path, b"", match))
            del self._items[path]
        else:
            folder, _, name = path.rpartition("/")
            body, _ = self._content(folder + "/", name)
            self._put(path, body, self._media[path], match=self._items[path])


#: What a device does, and how often against the rest. `undo` starts a process, so it is left to `Storm`.
_HABITS: Sequence[tuple[Callable[[Device], None], float]] = (
    (Device.create, 30),
    (Device.overwrite, 20),
    (Device.delete, 8),
    (Device.contend, 8),
    (Device.score, 8),
    (Device.look, 8),
    (Device.make_folder, 3),
    (Device.rename, 4),
    (Device.refused, 3),
    (Device.drop_folder, 1.5),
)


def undo_command(user: str, collection: str, name: str, when: float) -> tuple[str, ...]:
    """The command that brings one item back to what it was at `when` (seconds since 1970)."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when % 1 * 1e6):06}Z"
    return ("undo", user, "--path", collection, "--name", name, "--to", stamp)


class Storm:
    """All devices at once, each in a thread, until so many requests have been acknowledged."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = devices
        self.errors: list[str] = []
        self._reached = threading.Event()
        self._lock = threading.Lock()

    def blow(self, acknowledgements: int, *, killed: bool, undo: Sequence[Device] = ()) -> None:
        """Let all work until so many acknowledgements are counted (from the first ever); return when all rest.

        `killed`: the device that hears the last of them kills the service in that moment, while the others go on
        until their connections break. Else all finish what they do. Devices in `undo` first do some things and then
        one undo.
        """
        self._reached = threading.Event()
        threads = [
            threading.Thread(target=self._work, args=(d, acknowledgements, killed, d in undo)) for d in self.devices
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if killed:
            self.devices[0].service.kill()
        assert not self.errors, "\n".join(self.errors)

    def _work(self, device: Device, acknowledgements: int, killed: bool, undo: bool) -> None:
        try:
            for step in range(STEPS):
                if self.errors or (self._reached.is_set() and not killed):
                    return
                if undo and step == UNDO_AT:
                    device.undo()
                if device.step() >= acknowledgements:
                    self._end(device.service if killed else None)
        except (OSError, http.client.HTTPException) as e:
            if not (killed and self._reached.is_set()):
                self.errors.append(f"{device.name}: the connection broke before the kill: {e!r}")
        except Exception as e:
            self.errors.append(f"{device.name}: {e!r}")

    def _end(self, killed: Service | None) -> None:
        with self._lock:
            first = not self._reached.is_set()
            self._reached.set()
        if first and killed is not None:
            killed.strike()


class Seen:
    """All that a person's account shows, read anew: states by key, and bodies by digest."""

    def __init__(self) -> None:
        self.states: dict[Key, State] = {}
        self.bodies: dict[str, bytes] = {}
        self.problems: list[str] = []

    def read(self, client: Client, games: Sequence[str] = ("chess", "blocks"), *, bodies: bool = True) -> None:
        """Walk through all collections and games of the client's account."""
        for home in HOMES:
            self._walk(client, f"/dav/{client.user}/{home}/", bodies)
        for game in games:
            answer = client.ask("GET", f"/api/v1/scores/{game}")
            if answer.status == 404:
                continue
            assert answer.status == 200, f"GET scores {game}: {answer.status} {answer.body[:300]!r}"
            for row in json.loads(answer.body)["history"]:
                self.states["score", f"{client.user}/{game}/{_round(row)}"] = str(row["score"])

    def _walk(self, client: Client, path: str, bodies: bool) -> None:
        items, folders = client.listing(path)
        for name, etag in items.items():
            self.states["body", path + name] = etag.strip('"')
            if not bodies:
                continue
            answer = client.ask("GET", path + name)
            if answer.status != 200 or answer.etag != etag or f'"{digest(answer.body)}"' != etag:
                self.problems.append(
                    f"GET {path}{name}: {answer.status}, ETag {answer.etag}, listed {etag}, body {digest(answer.body)}"
                )
            self.bodies[digest(answer.body)] = answer.body
        for name, display in folders.items():
            self.states["exists", f"{path}{name}/"] = "yes"
            given = display and not ("/files/" in path and display == name)  # a folder may be called by its own name
            self.states["name", f"{path}{name}/"] = display if given else None
            self._walk(client, f"{path}{name}/", bodies)


def reply_to(client: Client, view: View) -> Reply:
    """Ask a token again, and read the collection's present listing."""
    delta = client.sync(view.path, view.token)
    if delta.status == 404:
        return Reply(404, {}, set(), None)
    items, _ = client.listing(view.path) if delta.status == 207 else ({}, {})
    return Reply(delta.status, delta.changed, delta.gone, items)


def _round(row: dict[str, Any]) -> str:
    detail = row.get("detail")
    return str(detail["round"]) if isinstance(detail, dict) else str(detail)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;")
