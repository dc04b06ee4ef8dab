"""The slots of an object in a bucket: what lies under its name and under the keys that say where they begin.

Where one is missing before another there is a *gap*, a `Stored` without a key, whose bytes read as zeros: no frame is
made of those, so that whoever reads finds damage there and goes on behind it, as in a file.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.formats import segment
from safehold.formats.frame import MAX_PAYLOAD_BYTES, OVERHEAD_BYTES
from safehold.ports.objectstore import ObjectStore, Part, Stored

SLOT_MARK = "!"
DIGITS = 20
#: No slot of ours begins beyond: a segment is closed after 4 MiB, or the one frame that led beyond them.
LAST_OFFSET = 4 * 1024 * 1024 + OVERHEAD_BYTES + MAX_PAYLOAD_BYTES + segment.HEADER_BYTES


def offset_of(slot: str, key: str) -> int | None:
    """At which byte of the object under `key` a slot begins; None where it is none of its slots."""
    if slot == key:
        return 0
    digits = slot.removeprefix(key + SLOT_MARK)
    offset = int(digits) if len(digits) == DIGITS and digits.isascii() and digits.isdigit() else 0
    return offset if 0 < offset <= LAST_OFFSET else None


def gap(size: int) -> Stored:
    return Stored("", size)


def is_gap(slot: Stored) -> bool:
    return not slot.key


def read_slots(store: ObjectStore, slots: Sequence[Stored], offset: int = 0, count: int | None = None) -> bytes:
    """Bytes of the object that has these slots, to its end where count is None. Raises KeyError, StoreError."""
    end = sum(slot.size for slot in slots)
    stop = end if count is None else min(offset + count, end)
    parts: list[Part] = []
    start = 0
    for slot in slots:
        first, last = max(offset, start) - start, min(stop - start, slot.size)
        if first < last:
            parts.append(Part(slot, first, last))
        start += slot.size
    found = iter(store.get_parts([part for part in parts if not is_gap(part.stored)]))
    pieces = [bytes(part.stop - part.start) if is_gap(part.stored) else next(found) for part in parts]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
