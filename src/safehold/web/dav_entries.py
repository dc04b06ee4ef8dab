"""A 207 about items that are named one by one, with their bodies where these are asked for: a piece at a time.

What multiget and sync-collection have in common. Every item of a piece is there with its body, or surely absent; one
body that cannot be had fails the whole answer, for a device takes an error for one item as leave to go on without it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from safehold.content.budget import Meter
from safehold.model.items import Collection, Item
from safehold.model.kinds import CollectionType
from safehold.ports.core import CoreReads, Stored
from safehold.protocol.caldav import floating_zone
from safehold.protocol.multistatus import CLOSE, OPEN, ItemTemplate, status_response
from safehold.protocol.partial import ADDRESS_DATA, CALENDAR_DATA
from safehold.protocol.problems import XML_TYPE
from safehold.protocol.webdav import PropFind
from safehold.web.bodies import PIECE_STEPS
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_reads import body_of, is_ghost
from safehold.web.gate import Gate
from safehold.web.respond import LINES_AT_ONCE, Reply

#: Items looked up at a time, and the text after which a piece of a report is sent.
_BATCH_NAMES = 64
BATCH_CHARACTERS = 1024 * 1024
#: Items whose bodies are read on the event loop's thread.
_INLINE_BODIES = 32

T = TypeVar("T")


#: What a collection has bodies of. The other one is a property that its items do not have.
_DATA = {CollectionType.ADDRESSBOOK: ADDRESS_DATA, CollectionType.CALENDAR: CALENDAR_DATA}


def template_of(call: Call, asked: PropFind, collection: Collection, floating: tzinfo | None = None) -> ItemTemplate:
    """Responses about the collection's items; `floating` decides times that name no zone, else the collection does."""
    asked = asked.giving(_DATA.get(collection.type, ""))
    zone = floating if floating is not None else floating_zone(collection.props)
    return ItemTemplate(asked, call.view_of(collection), minimal=call.minimal, floating=zone)


class Entry(NamedTuple):
    """One line of a report on items: an escaped href, and the item's name, or None where it names none of here."""

    href: str
    name: str | None
    status: str = "404 Not Found"
    ghost: str = ""  # the status of one whose body is nowhere; where it is "", that fails the whole answer


class Entries(Generic[T]):
    """Entries that are made when their turn comes: a report may ask for very many."""

    def __init__(self, asked: Sequence[T], make: Callable[[T], Entry]) -> None:
        self._asked = asked
        self._make = make

    def __len__(self) -> int:
        return len(self._asked)

    def window(self, start: int) -> list[Entry]:
        return [self._make(asked) for asked in self._asked[start : start + _BATCH_NAMES]]


def own_properties(template: ItemTemplate, item: Item, reads: CoreReads) -> dict[str, str]:
    """The properties that one item has and its neighbours do not: dead ones, where they matter, and its locks."""
    dead = reads.props(item) if template.needs_dead and item.props_journal is not None else {}
    return {**dead, **template.locks_of(item)} if template.locked else dead


async def entries_reply(
    call: Call,
    path: str,
    template: ItemTemplate,
    entries: Entries[Any],
    tail: str,
    *,
    lines: Sequence[str] | None = None,
    noroot: bool = False,
) -> Reply:
    """The 207 with a response for each entry, a piece at a time. What cannot be had before the first piece is 503.

    `lines` are responses that go before them; then the entries may have much to tell, and are never looked up on the
    event loop.
    """
    gate = call.gate
    work = partial(_piece, call, path, template, entries)
    first: tuple[str, int] | None = None
    if lines is None and len(entries) <= _INLINE_BODIES and template.whole:
        first = work(0, gate.reads, blocking=False)
    if first is None:
        first = await gate.in_thread(partial(_blocking, work, 0))
    text, done = first
    headers = [XML_TYPE, *call.preferred(noroot=noroot)]
    before = lines or ()
    if done == len(entries) and len(before) <= LINES_AT_ONCE:
        body = "".join((OPEN, *before, text, tail, CLOSE)).encode()
        return Reply(207, [*headers, (b"content-length", b"%d" % len(body))], body)
    return Reply(207, headers, chunks=_pieces(gate, work, before, text, done, len(entries), tail))


Work = Callable[..., "tuple[str, int] | None"]


def _blocking(work: Work, start: int, reads: CoreReads) -> tuple[str, int]:
    piece = work(start, reads, blocking=True)
    assert piece is not None, "with blocking reads allowed there is always an answer"
    return piece


async def _pieces(
    gate: Gate, work: Work, before: Sequence[str], text: str, done: int, count: int, tail: str
) -> AsyncGenerator[bytes, None]:
    yield OPEN.encode()
    for start in range(0, len(before), LINES_AT_ONCE):
        yield "".join(before[start : start + LINES_AT_ONCE]).encode()
    yield text.encode()
    while done < count:
        text, done = await gate.in_thread(partial(_blocking, work, done))
        yield text.encode()
    yield (tail + CLOSE).encode()


def _piece(
    call: Call,
    path: str,
    template: ItemTemplate,
    entries: Entries[Any],
    start: int,
    reads: CoreReads,
    *,
    blocking: bool,
) -> tuple[str, int] | None:
    """Responses from entry `start` on, and the entry to go on with; None where a blob is needed and may not be read.

    Every item of the piece is there with its body, or a ghost, or surely absent. Raises Held.
    """
    window = entries.window(start)
    lines: list[str] = []
    size = done = 0
    with reads.snapshot() as moment, Meter() as meter:
        collection = collection_at(moment, call.account, path)
        found = _lookup(moment, collection, template, window)
        for entry in window:
            pair = found.get(entry.name) if entry.name is not None else None
            if pair is None:
                if entry.name is not None:
                    call.require_listable(moment, collection)
                line = status_response(entry.href, entry.status)
            else:
                item, stored = pair
                data = ""
                gone = stored is not None and is_ghost(stored) and entry.ghost
                if stored is not None and not gone:
                    if stored.inline is None and stored.blob is not None and not blocking:
                        return None
                    data = template.data(body_of(call.gate, item, stored))
                if gone:
                    line = status_response(entry.href, entry.ghost)
                else:
                    line = template.line(item, own_properties(template, item, moment), data, href=entry.href)
            lines.append(line)
            size += len(line)
            done += 1
            if size > BATCH_CHARACTERS or meter.steps() > PIECE_STEPS:
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
