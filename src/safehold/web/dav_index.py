"""The occurrence index of a collection, for what answers a report by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from safehold.content.spans import Spans
from safehold.model.items import Collection
from safehold.ports.core import CoreReads
from safehold.web.dav_call import Call, collection_at
from safehold.web.span_cache import Index, advance

T = TypeVar("T")


async def by_index(call: Call, collection: Collection, work: Callable[[CoreReads, Collection, Spans], T]) -> T:
    """What `work` makes of the collection and its whole index, in a reading thread, all as of one moment.

    Where the index takes more than one piece of work, others have their turn in between, and whoever asks next goes on
    where this one has come to. Raises Held, NotFound.
    """
    gate, path = call.gate, collection.path
    now = gate.clock.now() // 1_000_000

    def step(index: Index | None, reads: CoreReads) -> tuple[Index, list[T]]:
        with reads.snapshot() as moment:
            here = collection_at(moment, call.account, path)
            further = advance(index, moment, here, now)
            return further, [work(moment, here, further)] if isinstance(further, Spans) else []

    index = gate.spans.get(collection.id)
    while True:
        further, made = await gate.in_thread(partial(step, index))
        gate.spans.put(further)
        if made:
            return made[0]
        index = further
