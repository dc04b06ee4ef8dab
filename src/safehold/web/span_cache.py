"""Occurrence indexes of collections, kept in memory and brought up to the moment of each query.

An index is never trusted further than the core bears it out (I38): it is of a collection at a rev and that rev's hash,
and where the stream has another hash there (an older core came back, the collection was made anew) it is made from all
bodies. What is in the vaults and the core is all there is; no index is written anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from safehold.content.spans import DAYS_BEFORE, UNKNOWN, Entry, Spans, Window, entry_of, window_around
from safehold.content.times import DAY
from safehold.model.items import Collection
from safehold.ports.core import CoreReads
from safehold.web.bodies import items_and_bodies

#: Entries of all indexes together, at most; one takes some 430 bytes.
MAX_ENTRIES = 200_000
#: The window of an index moves once the moment it is for has gone so far from where it was made for.
MOVE_DAYS = 183


def advance(spans: Spans | None, moment: CoreReads, collection: Collection, now: int | None = None) -> Spans:
    """The index of the collection as of this very moment, from an older one by what has changed, else from all bodies.

    In a reading thread, within `reads.snapshot()`. `now`, in seconds, is the time around which most queries ask; where
    it is not given, that of the last change. Raises Held as the reads do.
    """
    if spans is None or not _continues(spans, moment, collection):
        around = collection.changed_at // 1_000_000 if now is None else now
        names = [item.name for item in moment.items(collection)]
        window = window_around(around)
        entries = _entries(moment, collection, names, window)
        return Spans(collection.id, collection.rev, collection.head, window, entries)
    if now is not None and abs(now // DAY - DAYS_BEFORE - spans.window.first) > MOVE_DAYS:
        window = window_around(now)
        spans = spans.moved(window, _entries(moment, collection, spans.names_by_window, window))
    if spans.rev == collection.rev:
        return spans
    touched = moment.touched(collection, spans.rev)
    changes: dict[str, Entry | None] = {one.name: None for one in touched}
    living = [one.name for one in touched if one.item is not None]
    changes.update(_entries(moment, collection, living, spans.window))
    return spans.advanced(collection.rev, collection.head, changes)


def _continues(spans: Spans, moment: CoreReads, collection: Collection) -> bool:
    """Whether an index is of this collection, at a rev that its stream has gone through."""
    if spans.id != collection.id or spans.rev > collection.rev:
        return False
    return moment.hash_at(collection.account, collection.kind, spans.rev) == spans.head


def _entries(moment: CoreReads, collection: Collection, names: Sequence[str], window: Window) -> dict[str, Entry]:
    """By name. A body that cannot be had, or is not what its digest says, leaves its item unknown, never out."""
    entries = dict.fromkeys(names, UNKNOWN)
    for item, stored in items_and_bodies(moment, collection, names):
        if stored.inline is not None and sha256(stored.inline).digest() == item.digest:
            entries[item.name] = entry_of(stored.inline, window)
    return entries


class SpanCache:
    """Indexes by collection, MAX_ENTRIES entries in all; the least recently used goes. On the event loop only."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._spans: dict[bytes, Spans] = {}
        self._entries = 0

    def __len__(self) -> int:
        return len(self._spans)

    def get(self, collection_id: bytes) -> Spans | None:
        spans = self._spans.pop(collection_id, None)
        if spans is not None:
            self._spans[collection_id] = spans
        return spans

    def put(self, spans: Spans) -> None:
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
