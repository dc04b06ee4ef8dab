"""Occurrence indexes of collections, kept in memory and brought up to the moment of each query.

An index is never trusted further than the core bears it out (I38): it is of a collection at a rev and that rev's hash,
and where the stream has another hash there (an older core came back, the collection was made anew) it is made from all
bodies. What is in the vaults and the core is all there is; no index is written anywhere.

Bodies are read a piece at a time, each with a moment of its own; what is not read yet stands in a draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from safehold.content.budget import Meter
from safehold.content.spans import DAYS_BEFORE, UNKNOWN, Entry, Spans, Window, entry_of, window_around
from safehold.content.times import DAY
from safehold.model.items import Collection
from safehold.ports.core import CoreReads
from safehold.web.bodies import PIECE_BYTES, PIECE_STEPS, items_and_bodies

#: Entries of all indexes together, at most; one takes some 430 bytes.
MAX_ENTRIES = 200_000
#: The window of an index moves once the moment it is for has gone so far from where it was made for.
MOVE_DAYS = 183
#: Bodies of a piece: most of them are told at a glance.
_PIECE_BODIES = 512


@dataclass(frozen=True, slots=True)
class Draft:
    """An index under way: as of `rev` and `head`, but for the names whose bodies are still to be read."""

    base: Spans
    rev: int
    head: bytes
    window: Window
    read: tuple[Mapping[str, Entry | None], ...]  # in place of the base's entries; the later counts; None: gone
    pending: tuple[str, ...]

    @property
    def id(self) -> bytes:
        return self.base.id

    def __len__(self) -> int:
        """Entries, about: what it takes of the room of a cache."""
        return len(self.base) + sum(map(len, self.read)) + len(self.pending)

    def finished(self) -> Spans:
        """The index, once nothing is pending."""
        changes: dict[str, Entry | None] = {}
        for read in self.read:
            changes.update(read)
        spans = self.base
        if self.window != spans.window:
            spans = spans.moved(self.window, {name: one for name, one in changes.items() if one is not None})
        if self.rev == spans.rev and not changes:
            return spans
        return spans.advanced(self.rev, self.head, changes)


Index = Spans | Draft


def advance(index: Index | None, moment: CoreReads, collection: Collection, now: int | None = None) -> Index:
    """The index of the collection as of this very moment, from an older one by what has changed, else from all bodies.

    A draft where that takes more than one piece of work: then with another call, at a later moment, it goes on. In a
    reading thread, within `reads.snapshot()`. `now`, in seconds, is the time around which most queries ask; where it is
    not given, that of the last change. Raises Held as the reads do.
    """
    if index is None or not _continues(index, moment, collection):
        draft = _begun(moment, collection, now)
    else:
        draft = _caught_up(index if isinstance(index, Draft) else _opened(index, now), moment, collection)
    if draft.pending:
        draft = _read(draft, moment, collection)
    return draft if draft.pending else draft.finished()


def _begun(moment: CoreReads, collection: Collection, now: int | None) -> Draft:
    """Of nothing yet."""
    window = window_around(collection.changed_at // 1_000_000 if now is None else now)
    base = Spans(collection.id, collection.rev, collection.head, window, {})
    return Draft(base, base.rev, base.head, window, (), tuple(item.name for item in moment.items(collection)))


def _opened(spans: Spans, now: int | None) -> Draft:
    """Of a whole index, with another window where time has gone on."""
    moves = now is not None and abs(now // DAY - DAYS_BEFORE - spans.window.first) > MOVE_DAYS
    if now is None or not moves:
        return Draft(spans, spans.rev, spans.head, spans.window, (), ())
    return Draft(spans, spans.rev, spans.head, window_around(now), (), tuple(spans.names_by_window))


def _caught_up(draft: Draft, moment: CoreReads, collection: Collection) -> Draft:
    """With what has changed since: gone, or to be read (again)."""
    if draft.rev == collection.rev:
        return draft
    touched = moment.touched(collection, draft.rev)
    changes = dict.fromkeys(one.name for one in touched)
    pending = [name for name in draft.pending if name not in changes]
    pending += [one.name for one in touched if one.item is not None]
    read = (*draft.read, changes)
    return replace(draft, rev=collection.rev, head=collection.head, read=read, pending=tuple(pending))


def _read(draft: Draft, moment: CoreReads, collection: Collection) -> Draft:
    """With a piece of what is pending.

    A body that cannot be had, or is not what its digest says, leaves its item unknown, never out.
    """
    names = draft.pending[:_PIECE_BODIES]
    entries: dict[str, Entry | None] = dict.fromkeys(names, UNKNOWN)
    done, size = len(names), 0
    with Meter() as meter:
        for item, stored in items_and_bodies(moment, collection, names):
            if stored.inline is not None and sha256(stored.inline).digest() == item.digest:
                entries[item.name] = entry_of(stored.inline, draft.window)
            size += item.size
            if size > PIECE_BYTES or meter.steps() > PIECE_STEPS:
                done = names.index(item.name) + 1
                break
    for name in names[done:]:
        del entries[name]
    return replace(draft, read=(*draft.read, entries), pending=draft.pending[done:])


def _continues(index: Index, moment: CoreReads, collection: Collection) -> bool:
    """Whether an index is of this collection, at a rev that its stream has gone through."""
    if index.id != collection.id or index.rev > collection.rev:
        return False
    return moment.hash_at(collection.account, collection.kind, index.rev) == index.head


class SpanCache:
    """Indexes by collection, MAX_ENTRIES entries in all; the least recently used goes. On the event loop only."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._spans: dict[bytes, Index] = {}
        self._entries = 0

    def __len__(self) -> int:
        return len(self._spans)

    def get(self, collection_id: bytes) -> Index | None:
        spans = self._spans.pop(collection_id, None)
        if spans is not None:
            self._spans[collection_id] = spans
        return spans

    def put(self, spans: Index) -> None:
        """One that alone is over the limit is not kept."""
        old = self._spans.pop(spans.id, None)
        self._entries -= 0 if old is None else len(old)
        if len(spans) > self._max_entries:
            return
        self._spans[spans.id] = spans
        self._entries += len(spans)
        while self._entries > self._max_entries:
            oldest = self._spans.pop(next(iter(self._spans)))
            self._entries -= len(oldest)
