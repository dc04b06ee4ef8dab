"""Occurrence indexes of collections, kept in memory and brought up to the moment of each query."""

from __future__ import annotations

from safehold.content.spans import Spans
from safehold.model.items import Collection
from safehold.ports.core import CoreReads


def advance(spans: Spans | None, moment: CoreReads, collection: Collection, now: int | None = None) -> Spans:
    """The index of the collection as of this very moment. `now`, in seconds, says where most queries will look."""
    return Spans(collection.id, collection.rev, collection.head, [item.name for item in moment.items(collection)])


class SpanCache:
    """Bounded; the least recently used goes. On the event loop only."""

    def __init__(self) -> None:
        self._spans: dict[bytes, Spans] = {}

    def get(self, collection_id: bytes) -> Spans | None:
        return self._spans.get(collection_id)

    def put(self, spans: Spans) -> None:
        self._spans = {spans.id: spans}
