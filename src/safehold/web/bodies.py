"""Reading many bodies of a collection with little of them in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from safehold.model.items import Collection, Item
from safehold.ports.core import CoreReads, Stored

#: A piece of work on many bodies ends after so many of them, or once so many bytes of them, or steps of arithmetic
#: (`content.budget`), are behind it: some milliseconds of a reading thread, and no more than one or two bodies where
#: each takes all the work that it may.
PIECE_BODIES = 128
PIECE_BYTES = 2 * 1024 * 1024
PIECE_STEPS = 30_000

#: Names looked up at once, and the bytes of bodies that are then read at once.
_LOOKED_UP = 512
_TOGETHER_BYTES = 1024 * 1024


def items_and_bodies(moment: CoreReads, collection: Collection, names: Sequence[str]) -> Iterator[tuple[Item, Stored]]:
    """Those of names that live, in the order asked; no more bodies than some megabytes are in memory at once."""
    for start in range(0, len(names), _LOOKED_UP):
        together: list[str] = []
        size = 0
        for item in moment.items_named(collection, names[start : start + _LOOKED_UP]):
            together.append(item.name)
            size += item.size
            if size > _TOGETHER_BYTES:
                yield from moment.items_with_bodies(collection, together)
                together, size = [], 0
        yield from moment.items_with_bodies(collection, together)
