"""A device that follows a table: its own copies, edits that wait to be sent, and what it last knew of the server.

`edit` is what the person does on it, `sync` what it does by itself. Of every local item that it deletes because of an
answer it tells `on_removed(device, path, name, why)`; of every delete that the person made, `on_wish`.

Edits that wait are never deleted by a listing, as in all these clients.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence

from lxml import etree

from safehold.lab.clients.tables import Do, Table, Way
from safehold.lab.oracle import DEFAULTS
from safehold.lab.wire import (
    CALDAV,
    CARDDAV,
    DAV,
    Answer,
    Line,
    Request,
    Send,
    href,
    multiget,
    propfind,
    read_multistatus,
    sync_collection,
)
from safehold.ports.world import Clock

GONE = frozenset((403, 404, 410))
#: Bounds between which DAVx5 believes a Retry-After (SyncManager.kt, getDelayUntil), in seconds.
LEAST_DELAY, MOST_DELAY = 60, 7200
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)


class Stopped(Exception):
    """This sync ends here; what is local stays."""


class Local:
    """An item on a device. `etag` is "" while the server has not confirmed it."""

    __slots__ = ("body", "deleted", "dirty", "etag", "uid")

    def __init__(self, body: bytes, etag: str = "", uid: str = "", *, dirty: bool = False) -> None:
        self.body = body
        self.etag = etag
        self.uid = uid
        self.dirty = dirty
        self.deleted = False  # by the person, and not yet sent


class Kept:
    """A collection on a device."""

    __slots__ = ("disabled", "items", "refused", "settled", "tag", "token", "type")

    def __init__(self, type_: str) -> None:
        self.type = type_
        self.token = ""
        self.tag = ""
        self.disabled = False
        self.refused = False  # whether its last sync was told that the token does not count
        self.settled = False  # whether its last sync went to its end
        self.items: dict[str, Local] = {}


class Client:
    """One device of one person."""

    def __init__(
        self,
        name: str,
        user: str,
        table: Table,
        rng: random.Random,
        clock: Clock,
        *,
        on_removed: Callable[[Client, str, str, str], None],
        on_wish: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.user = user
        self.table = table
        self.rng = rng
        self.kept: dict[str, Kept] = {}
        self._clock = clock
        self._not_before = 0.0
        self._on_removed = on_removed
        self._on_wish = on_wish
        self._count = 0
        for path, type_ in DEFAULTS.items():
            if self._is_mine(type_):
                self.kept[f"{user}/{path}"] = Kept(type_)

    def _is_mine(self, type_: str) -> bool:
        sort = "addressbook" if type_ == "addressbook" else "folder" if type_ == "folder" else "calendar"
        return sort in self.table.kinds

    # -- the person --------------------------------------------------------------------------------------------------

    def edit(self) -> None:
        """One thing that the person does on the device: a new item mostly, a change, a delete."""
        rng = self.rng
        path = rng.choice([*self.kept])
        kept = self.kept[path]
        known = [name for name, item in kept.items.items() if not item.deleted]
        dice = rng.random()
        if known and dice < 0.2:
            self.delete(path, rng.choice(known))
        elif known and dice < 0.45:
            item = kept.items[rng.choice(known)]
            item.body, item.dirty = self.body(kept.type, item.uid), True
        else:
            self._count += 1
            name = f"{self.name}-{self._count}"
            uid = f"uid-{name}" if kept.type != "folder" else ""
            kept.items[name] = Local(self.body(kept.type, uid), uid=uid, dirty=True)

    def delete(self, path: str, name: str) -> None:
        item = self.kept[path].items[name]
        if not item.etag and item.dirty:
            del self.kept[path].items[name]
            return
        item.deleted = True
        self._on_wish(path, name)

    def body(self, type_: str, uid: str) -> bytes:
        note = f"{self.rng.getrandbits(64):x}"
        if type_ == "folder":
            size = 66_000 + self.rng.randrange(9000) if self.rng.random() < 0.15 else self.rng.randrange(200)
            return note.encode() + self.rng.randbytes(size)
        if type_ == "addressbook":
            return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{note}\r\nN:{note};;;;\r\nEND:VCARD\r\n".encode()
        start = "DTSTART:20260101T100000Z\r\n" if type_ == "VEVENT" else ""
        return (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//lab//EN\r\nBEGIN:{type_}\r\nUID:{uid}\r\n"
            f"DTSTAMP:20260101T000000Z\r\n{start}SUMMARY:{note}\r\nEND:{type_}\r\nEND:VCALENDAR\r\n"
        ).encode()

    # -- a sync ------------------------------------------------------------------------------------------------------

    def sync(self, send: Send) -> None:
        """All collections: send what waits, then learn what is there. A refusal ends the collection's turn."""
        if self.table.honours_retry_after and self._clock.monotonic() < self._not_before:
            return
        if self.table.home_omits.do is not Do.NEVER_ASKED and self.rng.random() < 0.4:
            self._refresh_homes(send)
        for path in [*self.kept]:
            kept = self.kept.get(path)
            if kept is None or kept.disabled:
                continue
            kept.settled = kept.refused = False
            try:
                self._push(path, kept, send)
                self._pull(path, kept, send)
                kept.settled = True
            except Stopped:
                pass

    def ask(self, request: Request, send: Send) -> Answer:
        """Raises Stopped where no answer came, 401 and 503: whatever was asked, the copy stays as it is."""
        headers = {"User-Agent": self.table.program, **request.headers}
        answer = send(request._replace(headers=headers))
        if answer.status == 503:
            wait = int(answer.headers["retry-after"])
            self._not_before = self._clock.monotonic() + min(max(wait, LEAST_DELAY), MOST_DELAY)
        return answer

    # -- sending -----------------------------------------------------------------------------------------------------

    def _push(self, path: str, kept: Kept, send: Send) -> None:
        for name, item in [*kept.items.items()]:
            if item.deleted:
                self._push_delete(path, kept, name, item, send)
        for name, item in [*kept.items.items()]:
            if item.dirty and not item.deleted:
                self._push_put(path, kept, name, item, send)

    def _push_delete(self, path: str, kept: Kept, name: str, item: Local, send: Send) -> None:
        headers = {"If-Match": item.etag} if item.etag else {}
        answer = self.ask(Request("DELETE", href(f"{path}/{name}"), b"", headers, self.user), send)
        if answer.status < 300 or answer.status in (404, 410):
            del kept.items[name]
            return
        row = self.table.delete_conflict if answer.status == 412 else self.table.delete_refused
        if row.do is Do.FORGET:
            del kept.items[name]  # as the person wished; it may come back
        elif row.do in (Do.TAKE_THEIRS, Do.KEEP_BOTH):
            item.deleted, item.etag, item.dirty = False, "", False
        else:
            raise Stopped

    def _push_put(self, path: str, kept: Kept, name: str, item: Local, send: Send, *, again: bool = True) -> None:
        headers = {"Content-Type": _media(path)}
        headers.update({"If-Match": item.etag} if item.etag else {"If-None-Match": "*"})
        answer = self.ask(Request("PUT", href(f"{path}/{name}"), item.body, headers, self.user), send)
        if answer.status < 300:
            item.dirty, item.etag = False, answer.headers.get("etag", "")
        elif answer.status in (409, 412):
            self._in_conflict(kept, name, item)
        elif answer.status in (404, 410):
            if self.table.put_gone.do is Do.AS_NEW and item.etag and again:
                item.etag = ""
                self._push_put(path, kept, name, item, send, again=False)
            elif self.table.put_gone.do is Do.FORGET:
                item.dirty = False
            else:
                raise Stopped
        elif self.table.put_refused.do is Do.FORGET and answer.status != 401:
            item.dirty = False  # local only from now on, until the person edits it again
        else:
            raise Stopped

    def _in_conflict(self, kept: Kept, name: str, item: Local) -> None:
        """What it sent was not taken: the body is in the server's history from now on."""
        match self.table.put_conflict.do:
            case Do.TAKE_THEIRS:
                item.dirty, item.etag = False, ""
            case Do.KEEP_BOTH:
                item.dirty, item.etag = False, ""
                kept.items[f"{name}-conflict"] = Local(item.body, dirty=True)
            case _:
                raise Stopped

    # -- learning ----------------------------------------------------------------------------------------------------

    def _pull(self, path: str, kept: Kept, send: Send) -> None:
        tag = self._tag_of(path, kept, send) if self.table.looks_at_tag else ""
        if tag and tag == kept.tag and all(item.etag or item.dirty for item in kept.items.values()):
            return
        match self.table.way:
            case Way.TOKEN:
                self._pull_by_token(path, kept, send)
            case Way.LIST | Way.QUERY:
                self._pull_by_list(path, kept, send)
        kept.tag = tag

    def _tag_of(self, path: str, kept: Kept, send: Send) -> str:
        body = (
            '<D:propfind xmlns:D="DAV:" xmlns:S="http://calendarserver.org/ns/"><D:prop>'
            "<S:getctag/><D:sync-token/><D:resourcetype/></D:prop></D:propfind>"
        )
        request = Request("PROPFIND", href(path, folder=True), body.encode(), {"Depth": "0"}, self.user)
        answer = self._need(self.ask(request, send), kept)
        root = etree.fromstring(answer.body, _PARSER)
        return root.findtext(".//{http://calendarserver.org/ns/}getctag") or ""

    def _need(self, answer: Answer, kept: Kept) -> Answer:
        """A 207 about the collection. Raises Stopped where it is another answer."""
        if answer.status in GONE:
            match self.table.collection_gone.do:
                case Do.DISABLE:
                    kept.disabled = True
                case Do.DELETE:
                    self._drop(next(path for path, each in self.kept.items() if each is kept), "gone")
                case _:
                    pass
            raise Stopped
        if answer.status != 207:
            raise Stopped
        return answer

    def _pull_by_token(self, path: str, kept: Kept, send: Send) -> None:
        first = not kept.token
        listed: set[str] = set()
        while True:
            answer = self.ask(sync_collection(self.user, path, kept.token), send)
            if answer.status in (400, 403):
                row = self.table.token_403 if answer.status == 403 else self.table.token_400
                if not kept.token or not self._is_about_the_token(answer):
                    raise Stopped
                kept.refused = True
                if row.do is Do.RESYNC:
                    kept.token, first = "", True
                    listed.clear()
                    continue
                if row.do is Do.LIST_ANEW:
                    kept.token = ""
                    self._pull_by_list(path, kept, send)
                    return
                raise Stopped
            found = read_multistatus(self._need(answer, kept))
            lines = [line for line in found.lines if line.path != path]
            listed.update(line.name for line in lines if line.status == 200)
            if not first and self.table.gone_in_sync.do is Do.DELETE:
                self._remove_all(path, kept, [line.name for line in lines if line.status == 404], "sync")
            self._fetch(path, kept, lines, send)
            kept.token = found.token
            if not found.truncated or self.table.truncated.do is not Do.GO_ON:
                break
        if first:
            self._remove_missing(path, kept, listed)

    def _is_about_the_token(self, answer: Answer) -> bool:
        return b"valid-sync-token" in answer.body

    def _pull_by_list(self, path: str, kept: Kept, send: Send) -> None:
        request = propfind(self.user, path, 1) if self.table.way is not Way.QUERY else query(self.user, path)
        found = read_multistatus(self._need(self.ask(request, send), kept))
        lines = [line for line in found.lines if line.path != path]
        if self.table.missing_in_list.do in (Do.STOP_IF_EMPTY, Do.STOP_IF_MOST):  # they fetch before they decide
            self._fetch(path, kept, lines, send)
            self._remove_missing(path, kept, {line.name for line in lines})
            return
        self._remove_missing(path, kept, {line.name for line in lines})
        self._fetch(path, kept, lines, send)

    def _remove_missing(self, path: str, kept: Kept, listed: Collection[str]) -> None:
        missing = [name for name in kept.items if name not in listed]
        missing = [name for name in missing if self._can_go(kept.items[name])]
        had = [name for name, item in kept.items.items() if self._can_go(item)]
        do = self.table.missing_in_list.do
        if do is Do.STOP_IF_EMPTY and had and not listed:
            raise Stopped
        if do is Do.STOP_IF_MOST and missing and 2 * len(missing) > len(had):
            raise Stopped
        self._remove_all(path, kept, missing, "list")

    def _can_go(self, item: Local) -> bool:
        return not item.dirty

    def _remove_all(self, path: str, kept: Kept, names: Iterable[str], why: str) -> None:
        for name in names:
            item = kept.items.get(name)
            if item is None or not self._can_go(item):
                continue
            del kept.items[name]
            if not item.deleted:
                self._on_removed(self, path, name, why)

    def _fetch(self, path: str, kept: Kept, lines: Sequence[Line], send: Send) -> None:
        """The bodies of what is new or changed. Raises Stopped, so that the token stays."""
        wanted = [line.name for line in lines if line.status == 200 and self._wants(kept, line)]
        if not wanted:
            return
        answer = self._need(self.ask(multiget(self.user, path, wanted), send), kept)
        for line in read_multistatus(answer).lines:
            if line.status == 200 and line.data is not None:
                kept.items[line.name] = Local(line.data, line.etag, _uid_of(line.data))
                continue
            row = self.table.gone_in_multiget if line.status == 404 else self.table.failed_in_multiget
            if row.do is Do.DELETE:
                self._remove_all(path, kept, [line.name], "multiget")
            elif row.do is Do.ABORT:
                raise Stopped

    def _wants(self, kept: Kept, line: Line) -> bool:
        mine = kept.items.get(line.name)
        return mine is None or (mine.etag != line.etag and not mine.dirty and not mine.deleted)

    # -- homes -------------------------------------------------------------------------------------------------------

    def _refresh_homes(self, send: Send) -> None:
        for home in ("contacts", "calendars"):
            mine = {path for path in self.kept if path.startswith(f"{self.user}/{home}/")}
            if not mine:
                continue
            answer = self.ask(propfind(self.user, f"{self.user}/{home}", 1), send)
            if answer.status == 207:
                there = {line.path for line in read_multistatus(answer).lines if line.path.count("/") == 2}
                for path in sorted(there - mine):
                    self.kept[path] = Kept(type_of(path))
                self._compare_home(mine - there, send)
            elif answer.status in GONE and self.table.home_omits.do is Do.PROBE:
                self._compare_home(mine, send)

    def _compare_home(self, omitted: set[str], send: Send) -> None:
        for path in sorted(omitted):
            match self.table.home_omits.do:
                case Do.DELETE:
                    self._drop(path, "home")
                case Do.PROBE:
                    if self.ask(propfind(self.user, path, 0), send).status in GONE:
                        self._drop(path, "home")
                case _:
                    pass

    def _drop(self, path: str, why: str) -> None:
        kept = self.kept.pop(path)
        for name, item in kept.items.items():
            if not item.deleted:
                self._on_removed(self, path, name, why)


def query(user: str, path: str) -> Request:
    """A query without conditions: all tags."""
    prefix, ns = ("calendar", CALDAV) if "/calendars/" in path else ("addressbook", CARDDAV)
    comp = '<X:comp-filter name="VCALENDAR"/>' if prefix == "calendar" else ""
    body = (
        f'<X:{prefix}-query xmlns:X="{ns[1:-1]}" xmlns:D="{DAV[1:-1]}"><D:prop><D:getetag/></D:prop>'
        f"<X:filter>{comp}</X:filter></X:{prefix}-query>"
    )
    return Request("REPORT", href(path, folder=True), body.encode(), {"Depth": "1"}, user)


def type_of(path: str) -> str:
    """The type of a collection at a path below an account's name: what another device made holds events."""
    _, home, _ = path.split("/")
    return DEFAULTS.get(path.partition("/")[2], "addressbook" if home == "contacts" else "VEVENT")


def _media(path: str) -> str:
    home = path.split("/")[1]
    return {"contacts": "text/vcard", "calendars": "text/calendar"}.get(home, "application/octet-stream")


def _uid_of(data: bytes) -> str:
    return next((line[4:].decode() for line in data.splitlines() if line.startswith(b"UID:")), "")
