"""Simulated devices: each with a copy of its own, which it edits, uploads and brings up to date as real ones do.

Two ways of keeping up, as read in the clients' sources:

- `syncs`: a sync-collection report with the last token; a 404 in it deletes; 403 or 400 for the token means that all
  is listed anew, and what is not listed is deleted.
- otherwise: a full listing each time; what is not listed is deleted.

Both delete a collection that the home does not list, once asking for it says 403, 404 or 410. `strict` ones delete
what a multiget calls 404. Anything else (503 above all) leaves the copy as it is. Files are always listed, since
plain WebDAV has nothing else.

A device tells `on_removed` of each item that it drops from its copy because of what it was told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from safehold.lab.oracle import DEFAULTS, Wish, etag_of
from safehold.lab.wire import (
    Multistatus,
    Request,
    Send,
    href,
    make_collection,
    multiget,
    propfind,
    proppatch,
    read_multistatus,
    sync_collection,
)

GONE = frozenset((403, 404, 410))
_MEDIA = {"contacts": "text/vcard", "calendars": "text/calendar"}
_COMPONENTS = ("VEVENT", "VTODO", "VJOURNAL")
TRANSFERS = frozenset(("copy", "move"))
#: Bodies of this size and more are kept outside of the journal.
LARGE_BYTES = 66_000


class Copy:
    """An item on a device. `etag` is empty while the server has not confirmed what lies here."""

    __slots__ = ("body", "edited", "etag", "uid")

    def __init__(self, body: bytes | None, etag: str, uid: str = "") -> None:
        self.body = body  # None: known by name only
        self.etag = etag
        self.uid = uid
        self.edited = False


class Kept:
    """A collection on a device."""

    __slots__ = ("items", "token", "type")

    def __init__(self, type_: str) -> None:
        self.type = type_
        self.token = ""
        self.items: dict[str, Copy] = {}


class Device:
    """One device of one person.

    `on_removed(device, path, name, why)` is called for what it deletes from its copy: because of the "sync", of a
    listing after its "token" was refused, of the "listing", of the "multiget", or of the "home" that does not list
    the collection.
    """

    def __init__(
        self,
        name: str,
        user: str,
        rng: random.Random,
        *,
        syncs: bool,
        strict: bool,
        on_removed: Callable[[Device, str, str, str], None],
    ) -> None:
        self.name = name
        self.user = user
        self.syncs = syncs
        self.strict = strict
        self.refused_tokens = 0
        self._rng = rng
        self._on_removed = on_removed
        self._count = 0
        self.kept: dict[str, Kept] = {f"{user}/{path}": Kept(type_) for path, type_ in DEFAULTS.items()}

    # -- what the person does ------------------------------------------------------------------------------------

    def wish(self) -> Wish:
        """One thing that the person does on this device, as it will be sent."""
        rng = self._rng
        path = rng.choice([*self.kept])
        kept = self.kept[path]
        known = [name for name, copy in kept.items.items() if copy.etag]
        dice = rng.random()
        if dice < 0.08:
            return Wish("score", f"{self.user}/scores/{rng.choice(('chess', 'go'))}", self._new_name(), self._number())
        if dice < 0.14:
            return self._structure()
        if dice < 0.22:
            name = rng.choice(["", *known])
            return Wish("tag", path, name, tag=rng.choice(("", "red", "green", self._new_name())))
        if dice < 0.32:
            full = [p for p, there in self.kept.items() if there.type == "folder" and len(there.items) > 1]
            path = rng.choice([path, *full])  # files above all: they go over each other
            return self._transfer(path, self.kept[path])
        if dice < 0.4 and known:
            return self._delete(path, kept, rng.choice(known))
        if dice < 0.65 and known:
            return self._change(path, kept, rng.choice(known))
        return self._new(path, kept)

    def _structure(self) -> Wish:
        rng, user = self._rng, self.user
        made = [path for path in self.kept if path.partition("/")[2] not in DEFAULTS]
        if made and rng.random() < 0.4:
            return Wish("remove", rng.choice(made))
        folders = [path for path, kept in self.kept.items() if kept.type == "folder"]
        type_ = rng.choice(("folder", "folder", "addressbook", *_COMPONENTS))
        if type_ == "folder":
            return Wish("make", f"{rng.choice(folders)}/folder{rng.randint(1, 3)}", type=type_)
        home = "contacts" if type_ == "addressbook" else "calendars"
        return Wish("make", f"{user}/{home}/{type_.lower()}{rng.randint(1, 2)}", type=type_)

    def _transfer(self, path: str, kept: Kept) -> Wish:
        """A copy or a move: of an item to where the like lie, or of a folder."""
        rng = self._rng
        known = [name for name, copy in kept.items.items() if copy.etag]
        op, if_absent = rng.choice(("copy", "move")), rng.random() < 0.3
        like = [other for other, there in self.kept.items() if there.type == kept.type]
        to_shelf = rng.choice([*like, path, path])  # most stays where it is
        if kept.type == "folder" and (not known or rng.random() < 0.3):
            made = [p for p in like if p.partition("/")[2] not in DEFAULTS] or like
            target = f"{to_shelf}/folder{rng.randint(1, 3)}"
            source = rng.choice(made)
            if source.partition("/")[2] in DEFAULTS:
                op = "copy"
            return Wish(op, source, to_shelf=target, if_absent=if_absent)
        if not known:
            return self._new(path, kept)
        name = rng.choice(known)
        # Often over another item; only a file, which has no UID, may be replaced so.
        others = [other for other in self.kept[to_shelf].items if other != name]
        if kept.type == "folder":
            others.append("folder1")
        if_match = kept.items[name].etag if rng.random() < 0.5 else ""
        to_name = rng.choice(others) if others and rng.random() < 0.6 else self._new_name()
        return Wish(op, path, name, if_match=if_match, if_absent=if_absent, to_shelf=to_shelf, to_name=to_name)

    def _delete(self, path: str, kept: Kept, name: str) -> Wish:
        return Wish("delete", path, name, if_match=kept.items[name].etag if self._rng.random() < 0.7 else "")

    def _change(self, path: str, kept: Kept, name: str) -> Wish:
        copy = kept.items[name]
        body = self._body(kept.type, copy.uid)
        return Wish("put", path, name, body, copy.uid, if_match=copy.etag if self._rng.random() < 0.8 else "")

    def _new(self, path: str, kept: Kept) -> Wish:
        """A new item; now and then under the UID of another, which the server must refuse while that one lives."""
        name = self._new_name()
        if self._rng.random() < 0.1:
            name = f"shared{self._rng.randint(1, 3)}"
        uid = ""
        if kept.type != "folder":
            uid = f"uid-{name}"
            others = [copy.uid for copy in kept.items.values()]
            if others and self._rng.random() < 0.05:
                uid = self._rng.choice(others)
        return Wish("put", path, name, self._body(kept.type, uid), uid, if_absent=self._rng.random() < 0.7)

    def _new_name(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def _number(self) -> bytes:
        return b"%d" % self._rng.randint(-1000, 1000)

    def _body(self, type_: str, uid: str) -> bytes:
        rng = self._rng
        if type_ == "folder":
            size = rng.choice((0, rng.randint(1, 300), rng.randint(1, 300), LARGE_BYTES + rng.randint(0, 30_000)))
            return rng.randbytes(size)
        note = f"{rng.getrandbits(64):x}"
        if type_ == "addressbook":
            return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{note}\r\nN:{note};;;;\r\nEND:VCARD\r\n".encode()
        start = "DTSTART:20260101T100000Z\r\n" if type_ == "VEVENT" else ""
        return (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//lab//EN\r\nBEGIN:{type_}\r\nUID:{uid}\r\n"
            f"DTSTAMP:20260101T000000Z\r\n{start}SUMMARY:{note}\r\nEND:{type_}\r\nEND:VCALENDAR\r\n"
        ).encode()

    # -- what it hears -------------------------------------------------------------------------------------------

    def heard(self, wish: Wish, status: int | None) -> None:
        """What became of a wish of its own; None where the answer never came. It then knows no more than before."""
        kept = self.kept.get(wish.shelf)
        if status is None or status >= 500:
            return
        if wish.op == "make" and status == 201:
            self.kept[wish.shelf] = Kept(wish.type)
        elif wish.op == "remove" and status in (204, 404):
            for path in [p for p in self.kept if p == wish.shelf or p.startswith(wish.shelf + "/")]:
                del self.kept[path]
        elif kept is None:
            return
        elif wish.op == "put" and status < 300:
            kept.items[wish.name] = Copy(wish.body, etag_of(wish.body), wish.uid)
        elif (wish.op == "delete" and status in (204, 404)) or (wish.op == "move" and status < 300):
            kept.items.pop(wish.name, None)
        elif status == 412 and wish.op not in TRANSFERS and wish.name in kept.items:  # theirs may be of the destination
            kept.items[wish.name].etag = ""  # the server's is to be fetched again

    # -- keeping up ----------------------------------------------------------------------------------------------

    def keep_up(self, send: Send) -> None:
        """Bring the copy up to date with the server."""
        for home in ("contacts", "calendars"):
            self._list_home(home, send)
        for root in ("files/notes", "files/photos"):
            self._list_folder(f"{self.user}/{root}", send)
        for path in [p for p in self.kept if "/files/" not in p]:
            if self.syncs:
                self._sync(path, send)
            else:
                self._list(path, send)

    def _list_home(self, home: str, send: Send) -> None:
        answer = send(propfind(self.user, f"{self.user}/{home}", 1))
        if answer.status != 207:
            return
        found = {line.path for line in read_multistatus(answer).lines if line.path.count("/") == 2}
        mine = {path for path in self.kept if path.startswith(f"{self.user}/{home}/")}
        for path in sorted(found - mine):
            self.kept[path] = Kept(_type_of(path))
        for path in sorted(mine - found):
            if send(propfind(self.user, path, 0)).status in GONE:
                self._drop(path)

    def _drop(self, path: str) -> None:
        for each in [p for p in self.kept if p == path or p.startswith(path + "/")]:
            for name in sorted(self.kept[each].items):
                self._remove(each, name, "home")
            del self.kept[each]

    def _remove(self, path: str, name: str, why: str) -> None:
        del self.kept[path].items[name]
        self._on_removed(self, path, name, why)

    def _sync(self, path: str, send: Send) -> None:
        kept = self.kept[path]
        answer = send(sync_collection(self.user, path, kept.token))
        if answer.status in (400, 403):
            self.refused_tokens += 1
            kept.token = ""
            self._list(path, send, "token")
            return
        if answer.status != 207:
            return
        found = read_multistatus(answer)
        gone, why = {line.name for line in found.lines if line.status == 404}, "sync"
        if not kept.token:  # the first sync lists all there is
            gone, why = kept.items.keys() - {line.name for line in found.lines}, "listing"
        for name in sorted(gone & kept.items.keys()):
            self._remove(path, name, why)
        if self._fetch(path, found, send):
            kept.token = found.token

    def _list(self, path: str, send: Send, why: str = "listing") -> None:
        answer = send(propfind(self.user, path, 1))
        if answer.status != 207:
            return
        found = read_multistatus(answer)
        listed = {line.name for line in found.lines if line.path != path}
        for name in sorted(self.kept[path].items.keys() - listed):
            self._remove(path, name, why)
        self._fetch(path, found, send)

    def _list_folder(self, path: str, send: Send) -> None:
        """A folder with the folders in it. One that its parent does not list is gone, with all it held."""
        answer = send(propfind(self.user, path, 1))
        if answer.status != 207:
            return
        found = read_multistatus(answer)
        folders = {line.path for line in found.lines if line.is_collection and line.path != path}
        kept = self.kept.setdefault(path, Kept("folder"))
        inner = {p for p in self.kept if p.rpartition("/")[0] == path}
        for gone in sorted(inner - folders):
            self._drop(gone)
        files = [line for line in found.lines if not line.is_collection]
        for name in sorted(kept.items.keys() - {line.name for line in files}):
            self._remove(path, name, "listing")
        for line in files:
            copy = kept.items.get(line.name)
            if copy is None or copy.etag != line.etag:
                answer = send(Request("GET", href(line.path), user=self.user))
                if answer.status == 200:
                    kept.items[line.name] = Copy(answer.body, answer.headers["etag"])
        for folder in sorted(folders):
            self._list_folder(folder, send)

    def _fetch(self, path: str, found: Multistatus, send: Send) -> bool:
        """Bodies of what is new or changed; False where they could not be had, so that the token stays."""
        kept = self.kept[path]
        wanted = [
            line.name
            for line in found.lines
            if line.status == 200 and line.path != path and _etag_at(kept, line.name) != line.etag
        ]
        if not wanted:
            return True
        answer = send(multiget(self.user, path, wanted))
        if answer.status != 207:
            return False
        for line in read_multistatus(answer).lines:
            if line.status == 200 and line.data is not None:
                kept.items[line.name] = Copy(line.data, line.etag, _uid_of(line.data))
            elif line.status == 404 and self.strict and line.name in kept.items:
                self._remove(path, line.name, "multiget")
        return True


def _etag_at(kept: Kept, name: str) -> str:
    copy = kept.items.get(name)
    return "" if copy is None else copy.etag


def _type_of(path: str) -> str:
    """The type of a collection that another device made, told by its name."""
    user_path = path.partition("/")[2]
    if user_path in DEFAULTS:
        return DEFAULTS[user_path]
    name = path.rpartition("/")[2].rstrip("0123456789")
    return name if name == "addressbook" else name.upper()


def _uid_of(data: bytes) -> str:
    for line in data.decode().splitlines():
        if line.startswith("UID:"):
            return line[4:]
    return ""


def request_of(wish: Wish) -> Request:
    """A wish in HTTP, as devices word it."""
    user, home, *_ = wish.shelf.split("/")
    target = href(wish.path)
    headers = {}
    if wish.if_match:
        headers["If-Match"] = wish.if_match
    if wish.op in TRANSFERS:
        headers["Destination"] = href(wish.to_path, folder=not wish.to_name)
        headers["Overwrite"] = "F" if wish.if_absent else "T"
        return Request(wish.op.upper(), href(wish.path, folder=not wish.name), b"", headers, user)
    if wish.if_absent:
        headers["If-None-Match"] = "*"
    match wish.op:
        case "put":
            headers["Content-Type"] = _MEDIA.get(home, "application/octet-stream")
            return Request("PUT", target, wish.body, headers, user)
        case "delete":
            return Request("DELETE", target, b"", headers, user)
        case "tag":
            return proppatch(user, wish.path, wish.tag, folder=not wish.name)
        case "make":
            return make_collection(user, wish.shelf, wish.type)
        case "remove":
            return Request("DELETE", href(wish.shelf, folder=True), b"", {}, user)
    assert wish.op == "score", wish.op
    game = wish.shelf.rpartition("/")[2]
    body = b'{"score": %s, "detail": "%s"}' % (wish.body, wish.name.encode())
    return Request("POST", f"/api/v1/scores/{game}", body, {"Content-Type": "application/json"}, user)


def conflicts(wishes: Sequence[Wish]) -> Iterator[int]:
    """Those that may not come at the same time as one before them, for their outcome would hang on who is read first.

    The service looks at some things before it judges in order: whether a path is a collection, and what a property
    is set on.
    """
    for number, wish in enumerate(wishes):
        for other in wishes[:number]:
            if _hangs_on(wish, other) or _hangs_on(other, wish):
                yield number
                break


def _hangs_on(wish: Wish, other: Wish) -> bool:
    if other.op in TRANSFERS:
        if wish.op in TRANSFERS:  # looked at in order only
            return False
        if "/files/" in other.shelf:
            return _tree(wish.shelf) in (_tree(other.shelf), _tree(other.to_shelf))
        return wish.op == "tag" and wish.shelf in (other.shelf, other.to_shelf)
    if other.op in ("make", "remove"):
        above = other.shelf.rpartition("/")[0]
        return wish.shelf.startswith(other.shelf) or wish.shelf == above
    same = (wish.shelf, wish.name) == (other.shelf, other.name)
    return other.op == "tag" and wish.shelf == other.shelf and (same or not other.name)


def _tree(path: str) -> str:
    """The tree of files, or the collection, that a path lies in."""
    return "/".join(path.split("/")[:3])
