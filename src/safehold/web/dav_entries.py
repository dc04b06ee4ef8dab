"""A 207 about items that are named one by one, with their bodies where these are asked for: a piece at a time.

What multiget and sync-collection have in common. Every item of a piece is there with its body, or surely absent; one
body that cannot be had fails the whole answer, for a device takes an error for one item as leave to go on without it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from safehold.model.errors import Held
from safehold.model.items import Collection, Item
from safehold.ports.core import CoreReads, Stored
from safehold.protocol.multistatus import CLOSE, OPEN, ItemTemplate, data_element, status_response
from safehold.protocol.problems import XML_TYPE
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_reads import checked
from safehold.web.gate import Gate
from safehold.web.respond import Reply

#: Items looked up at a time, and the text after which a piece of a report is sent.
_BATCH_NAMES = 64
BATCH_CHARACTERS = 1024 * 1024
#: Items whose bodies are read on the event loop's thread.
_INLINE_BODIES = 32

T = TypeVar("T")


class Entry(NamedTuple):
    """One line of a report on items: an escaped href, and the item's name, or None where it names none of here."""

    href: str
    name: str | None
    status: str = "404 Not Found"


class Entries(Generic[T]):
    """Entries that are made when their turn comes: a report may ask for very many."""

    def __init__(self, asked: Sequence[T], make: Callable[[T], Entry]) -> None:
        self._asked = asked
        self._make = make

    def __len__(self) -> int:
        return len(self._asked)

    def window(self, start: int) -> list[Entry]:
        return [self._make(asked) for asked in self._asked[start : start + _BATCH_NAMES]]


async def entries_reply(call: Call, path: str, template: ItemTemplate, entries: Entries[Any], tail: str) -> Reply:
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
    entries: Entries[Any],
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
                    data = data_element(template.data_name, body_of(call, item, stored))
                dead = moment.props(item) if template.needs_dead and item.props_journal is not None else {}
                line = template.line(item, dead, data, href=entry.href)
            lines.append(line)
            size += len(line)
            done += 1
            if size > BATCH_CHARACTERS:
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


def body_of(call: Call, item: Item, stored: Stored) -> bytes:
    """A whole body, checked. Raises Held: a device takes an error for one item as leave to go on without it."""
    if stored.inline is not None:
        return checked(item, stored.inline)
    if stored.blob is None:
        raise Held(f"the body of {item.name} is not here now")
    return checked(item, b"".join(call.gate.blobs.read(stored.blob, item.size, digest=item.digest)))
