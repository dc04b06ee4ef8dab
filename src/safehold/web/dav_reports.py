"""REPORT: sync-collection (RFC 6578), calendar-multiget (RFC 4791), addressbook-multiget (RFC 6352)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from safehold.model.errors import BadRequest, BadToken, Forbidden, Held, NotFound, RequestError
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import CollectionType
from safehold.model.token import SyncPoint, make_token, parse_token
from safehold.ports.core import CoreReads, Stored, Touched
from safehold.protocol.caldav import CALENDAR_MULTIGET
from safehold.protocol.carddav import ADDRESSBOOK_MULTIGET
from safehold.protocol.multistatus import CLOSE, OPEN, ItemTemplate, data_element, status_response, sync_token
from safehold.protocol.names import DAV, escape, quote_segment
from safehold.protocol.problems import VALID_SYNC_TOKEN, XML_TYPE
from safehold.protocol.properties import SYNC_COLLECTION
from safehold.protocol.sync import DeviceAhead, judge_collection, judge_point
from safehold.protocol.target import Place, kinds_at, parse_href, plain_name
from safehold.protocol.webdav import PropFind, SyncCollection, read_report, read_sync_collection, which_properties
from safehold.protocol.xml import children, clark, text_of
from safehold.web.dav_call import Call, collection_at, find
from safehold.web.dav_reads import INLINE_ITEMS, checked, is_small, item_lines
from safehold.web.gate import Gate
from safehold.web.respond import Reply, multistatus

_log = logging.getLogger("safehold.web")

#: Items looked up at a time, and the text after which a piece of a report is sent.
_BATCH_NAMES = 64
_BATCH_CHARACTERS = 1024 * 1024
#: Items whose bodies are read on the event loop's thread.
_INLINE_BODIES = 32

_SUPPORTED: dict[CollectionType, frozenset[str]] = {
    CollectionType.ADDRESSBOOK: frozenset((SYNC_COLLECTION, ADDRESSBOOK_MULTIGET)),
    CollectionType.CALENDAR: frozenset((SYNC_COLLECTION, CALENDAR_MULTIGET)),
}


class _Asked(NamedTuple):
    """A report's body: its name, and what it asks for where it is one of ours."""

    name: str
    sync: SyncCollection | None = None
    properties: PropFind | None = None  # of a multiget
    hrefs: Sequence[str] = ()
    flaw: RequestError | None = None  # what is wrong with it, if the report exists where it is asked for


def _read(body: bytes) -> _Asked:
    """Raises BadRequest, TooLarge."""
    root = read_report(body)
    name = clark(root)
    try:
        if name == SYNC_COLLECTION:
            return _Asked(name, sync=read_sync_collection(root))
        if name in (CALENDAR_MULTIGET, ADDRESSBOOK_MULTIGET):
            return _Asked(name, None, which_properties(root), [text_of(href) for href in children(root, DAV + "href")])
    except RequestError as error:
        return _Asked(name, flaw=error)
    return _Asked(name)


async def report(call: Call) -> Reply:
    """RFC 3253 section 3.6. Raises Forbidden with supported-report where the resource has no such report."""
    asked = await call.read_body(_read, call.gate.max_request_bytes)
    name = asked.name
    if call.target.place in (Place.COLLECTION, Place.ITEM, Place.FILE):
        try:
            collection, item = find(call, call.gate.reads)
        except NotFound:
            if asked.sync is not None:
                _judge_absence(call, asked.sync)
            raise
        if item is None and name in _SUPPORTED.get(collection.type, ()):
            if asked.flaw is not None:
                raise asked.flaw
            if asked.sync is not None:
                return await _sync(call, collection, asked.sync)
            return await _multiget(call, collection, asked)
    raise Forbidden(f"there is no report {name} here", element=DAV + "supported-report")


# -- sync-collection -----------------------------------------------------------------------------------------


class _News(NamedTuple):
    """What a sync has to tell: items that live, names that are gone, the token after it, whether there is more."""

    touched: Sequence[Touched]
    collection: Collection
    token: str
    truncated: bool


async def _sync(call: Call, collection: Collection, asked: SyncCollection) -> Reply:
    gate = call.gate
    try:
        point = parse_token(call.token_key, asked.token) if asked.token else None
        if asked.asked.data:
            return await _sync_with_bodies(call, collection, asked, point)
        few = is_small(collection) if point is None else collection.rev - point.rev <= INLINE_ITEMS
        work = partial(_sync_lines, call, asked, collection.path, point)
        lines, token = work(gate.reads) if few else await call.long_read(work)
    except BadToken as error:
        raise _bearable(call, collection, error) from None
    except DeviceAhead as error:
        _report_loss(call, error)
        raise
    return multistatus(lines, call.preferred(), token)


def _report_loss(call: Call, error: DeviceAhead) -> None:
    """Proof that something was lost here, and the name of a device that may still have it."""
    _log.error("%s (account %s, %s, %s)", error.message, call.account.name, call.target.full_path, call.device)
    call.gate.device_ahead(call.account, call.target.full_path, call.device)


def _judge_absence(call: Call, asked: SyncCollection) -> None:
    """No collection lies here. Raises DeviceAhead where the device's token proves that one was lost with its making."""
    try:
        point = parse_token(call.token_key, asked.token)
        judge_collection(point, _on_record(call.gate.reads, call.account, call.target.full_path))
    except BadToken:
        return
    except DeviceAhead as error:
        _report_loss(call, error)
        raise


def _on_record(reads: CoreReads, account: Account, path: str) -> frozenset[bytes]:
    """The ids of the account's collections, and of those that were removed and may have lain at the path."""
    live = (collection.id for collection in reads.collections(account.number))
    removed = (r.collection.id for kind in kinds_at(path) for r in reads.removed_collections(account.number, kind))
    return frozenset((*live, *removed))


def _bearable(call: Call, collection: Collection, error: BadToken) -> Exception:
    """The answer to a bad token that this client acts upon.

    Thunderbird's address books resync on 400 and fail for ever on the 403 that RFC 6578 asks for; its calendars,
    like everyone else, want the 403.
    """
    if collection.type is CollectionType.ADDRESSBOOK and "Thunderbird" in (call.request.header(b"user-agent") or ""):
        return BadRequest(error.message, hint=error.hint, element=VALID_SYNC_TOKEN)
    return error


def _news(call: Call, asked: SyncCollection, path: str, point: SyncPoint | None, moment: CoreReads) -> _News:
    """What changed since the token's point, within one snapshot. Raises BadToken, DeviceAhead."""
    key = call.token_key
    collection = collection_at(moment, call.account, path)
    now = make_token(key, collection.id, collection.rev, collection.head)
    since = 0
    if point is not None:
        if point.collection != collection.id:
            judge_collection(point, _on_record(moment, call.account, path))
            hint = "sync again from the beginning"
            raise BadToken("this sync token is of another collection", hint=hint, element=VALID_SYNC_TOKEN)
        since = judge_point(point, moment.hash_at(collection.account, collection.kind, point.rev))
        if since >= collection.rev:  # what most syncs find
            return _News((), collection, now, False)
    if asked.limit is None:
        if point is not None:
            return _News(moment.touched(collection, since), collection, now, False)
        items = [Touched(item.name, item.rev, item, False) for item in moment.items(collection)]
        return _News(items, collection, now, False)
    page, reached = _page(moment, collection, since, asked.limit, first=point is None)
    if reached is None:
        return _News(page, collection, now, False)
    at = moment.hash_at(collection.account, collection.kind, reached)
    assert at is not None, "a rev that touched an item is on the stream"
    return _News(page, collection, make_token(key, collection.id, reached, at), True)


def _page(
    moment: CoreReads, collection: Collection, since: int, limit: int, *, first: bool
) -> tuple[list[Touched], int | None]:
    """At most limit names after since, and the rev they reach; None for it where there are no more.

    The first sync leaves out what was deleted before it began (RFC 6578 section 3.4).
    """
    page: list[Touched] = []
    while True:
        wanted = limit - len(page)
        got = moment.touched(collection, since, wanted)
        page += [t for t in got if t.item is not None or not first]
        if len(got) < wanted:
            return page, None
        since = got[-1].rev
        if len(page) == limit:
            return page, since if moment.touched(collection, since, 1) else None


def _sync_lines(
    call: Call, asked: SyncCollection, path: str, point: SyncPoint | None, reads: CoreReads
) -> tuple[list[str], str]:
    """The responses of a sync without bodies, and its token."""
    with reads.snapshot() as moment:
        news = _news(call, asked, path, point, moment)
        view = call.view_of(news.collection)
        template = ItemTemplate(asked.asked, view, minimal=call.minimal)
        lines = item_lines(template, [t.item for t in news.touched if t.item is not None], moment)
        lines += [_gone(view.href + quote_segment(t.name)) for t in news.touched if t.item is None and t.deleted]
        if news.truncated:
            lines.append(_truncated(view.href))
        return lines, news.token


async def _sync_with_bodies(
    call: Call, collection: Collection, asked: SyncCollection, point: SyncPoint | None
) -> Reply:
    """A sync that asks for calendar-data or address-data: the names at one moment, the bodies as they are then read.

    A body may so be newer than the token; the next sync tells it again.
    """

    def names(reads: CoreReads) -> _News:
        with reads.snapshot() as moment:
            return _news(call, asked, collection.path, point, moment)

    news = await call.long_read(names)
    view = call.view_of(collection)
    told = [(t.name, t.item is not None) for t in news.touched if t.item is not None or t.deleted]
    entries = _Entries(told, lambda t: Entry(view.href + quote_segment(t[0]), t[0] if t[1] else None))
    tail = _truncated(view.href) if news.truncated else ""
    template = ItemTemplate(asked.asked, view, minimal=call.minimal)
    return await _report_of(call, collection.path, template, entries, tail + sync_token(news.token))


def _gone(href: str) -> str:
    return status_response(href, "404 Not Found")


def _truncated(href: str) -> str:
    """RFC 6578 section 3.6."""
    return status_response(href, "507 Insufficient Storage", DAV + "number-of-matches-within-limits")


# -- multiget ------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One line of a report on items: an escaped href, and the item's name, or None where it names none of here."""

    href: str
    name: str | None
    status: str = "404 Not Found"


async def _multiget(call: Call, collection: Collection, asked: _Asked) -> Reply:
    """RFC 4791 section 7.9, RFC 6352 section 8.7: an answer for each href, in the order asked."""
    if not asked.hrefs:
        raise BadRequest("a multiget names at least one href")
    assert asked.properties is not None
    view = call.view_of(collection)
    template = ItemTemplate(asked.properties, view, minimal=call.minimal)
    entries = _Entries(asked.hrefs, partial(_entry, call, collection, view.href))
    return await _report_of(call, collection.path, template, entries, "")


def _entry(call: Call, collection: Collection, base: str, href: str) -> Entry:
    """What an href asks for. It is given back as it came: the client looks its own words up."""
    said = escape(href)
    name = plain_name(href, base)
    if name is not None:
        return Entry(said, name)
    target = parse_href(href)
    if target is None or target.place is Place.NOWHERE:
        return Entry(said, None)
    if target.place is Place.ITEM and target.account == call.account.name and target.path == collection.path:
        return Entry(said, target.name)
    # Whether it is there was not asked at the right place; not found must not be the answer.
    return Entry(said, None, "403 Forbidden")


T = TypeVar("T")


class _Entries(Generic[T]):
    """Entries that are made when their turn comes: a report may ask for very many."""

    def __init__(self, asked: Sequence[T], make: Callable[[T], Entry]) -> None:
        self._asked = asked
        self._make = make

    def __len__(self) -> int:
        return len(self._asked)

    def window(self, start: int) -> list[Entry]:
        return [self._make(asked) for asked in self._asked[start : start + _BATCH_NAMES]]


async def _report_of(call: Call, path: str, template: ItemTemplate, entries: _Entries[Any], tail: str) -> Reply:
    """The 207 with a response for each entry, a piece at a time. What cannot be had before the first piece is 503."""
    gate = call.gate
    work = partial(_piece, call, path, template, entries)
    first: tuple[str, int] | None = None
    if len(entries) <= _INLINE_BODIES:
        first = work(0, gate.reads, blocking=False)
    if first is None:
        first = await gate.in_thread(partial(_blocking, work, 0))
    text, done = first
    headers = [XML_TYPE, *call.preferred()]
    if done == len(entries):
        body = f"{OPEN}{text}{tail}{CLOSE}".encode()
        return Reply(207, [*headers, (b"content-length", b"%d" % len(body))], body)
    return Reply(207, headers, chunks=_pieces(gate, work, text, done, len(entries), tail))


Work = Callable[..., "tuple[str, int] | None"]


def _blocking(work: Work, start: int, reads: CoreReads) -> tuple[str, int]:
    piece = work(start, reads, blocking=True)
    assert piece is not None, "with blocking reads allowed there is always an answer"
    return piece


async def _pieces(gate: Gate, work: Work, text: str, done: int, count: int, tail: str) -> AsyncGenerator[bytes, None]:
    yield (OPEN + text).encode()
    while done < count:
        text, done = await gate.in_thread(partial(_blocking, work, done))
        yield text.encode()
    yield (tail + CLOSE).encode()


def _piece(
    call: Call,
    path: str,
    template: ItemTemplate,
    entries: _Entries[Any],
    start: int,
    reads: CoreReads,
    *,
    blocking: bool,
) -> tuple[str, int] | None:
    """Responses from entry `start` on, and the entry to go on with; None where a blob is needed and may not be read.

    Every item of the piece is there with its body, or surely absent. Raises Held.
    """
    window = entries.window(start)
    lines: list[str] = []
    size = done = 0
    with reads.snapshot() as moment:
        collection = collection_at(moment, call.account, path)
        found = _lookup(moment, collection, template, window)
        for entry in window:
            pair = found.get(entry.name) if entry.name is not None else None
            if pair is None:
                line = status_response(entry.href, entry.status)
            else:
                item, stored = pair
                data = ""
                if stored is not None:
                    if stored.inline is None and not blocking:
                        return None
                    data = data_element(template.data_name, _body_of(call, item, stored))
                dead = moment.props(item) if template.needs_dead and item.props_journal is not None else {}
                line = template.line(item, dead, data, href=entry.href)
            lines.append(line)
            size += len(line)
            done += 1
            if size > _BATCH_CHARACTERS:
                break
    return "".join(lines), start + done


def _lookup(
    moment: CoreReads, collection: Collection, template: ItemTemplate, window: Sequence[Entry]
) -> dict[str, tuple[Item, Stored | None]]:
    """The items of a window that live, with their bodies where these are asked for."""
    names = list(dict.fromkeys(entry.name for entry in window if entry.name is not None))
    if template.data_name:
        return {item.name: (item, stored) for item, stored in moment.items_with_bodies(collection, names)}
    items = (moment.item(collection, name) for name in names)
    return {item.name: (item, None) for item in items if item is not None}


def _body_of(call: Call, item: Item, stored: Stored) -> bytes:
    """A whole body, checked. Raises Held: a device takes an error for one item as leave to go on without it."""
    if stored.inline is not None:
        return checked(item, stored.inline)
    if stored.blob is None:
        raise Held(f"the body of {item.name} is not here now")
    return checked(item, b"".join(call.gate.blobs.read(stored.blob, item.size, digest=item.digest)))
