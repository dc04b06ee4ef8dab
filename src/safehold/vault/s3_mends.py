"""What was mended in a bucket: objects under names of their own, which count only where they prove themselves better.

    PREFIX/!mended/NAME!000001    NAME as it should be, the first mend of it; empty: nothing should be there

Nothing in a bucket is overwritten, and the first version of a key counts (decision 0097). So what is damaged stays
where it is, and beside it lies what it should be. Nobody has to be believed: whoever may put may put a mend, and it is
taken only where what it stands for fails its own check and the mend passes it, by signatures, certificates and digests:

text, blob, run, generation, evidence   the object if it is whole; else the first mend that is; else the object,
                                        unless an empty mend says that it is to be passed over
segment    a mend that holds every signed frame that the object has, and more of them; or the same, where the object has
           faults and the mend's ends are no worse. Slots that were put behind what was mended count as far as they
           bring more frames, or the footer. Passed over is only what has no frame of its own

Frames count for a segment from its name's first number up to where the next segment that is certified begins: a slot
that holds another segment's frames does not hold a mend back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from safehold.formats import blob, mark, segment
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.parity import check_parity, parse_parity_name
from safehold.formats.segment import SegmentHeader, SegmentName
from safehold.model.errors import Damaged
from safehold.ports.objectstore import ObjectStore, Stored
from safehold.vault import recoveries
from safehold.vault.objects import Keys, belongs, check_blob, check_framed, is_signed, read_segment
from safehold.vault.s3_slots import read_slots

MENDED = "!mended/"
_DIGITS = 6

Slots = tuple[Stored, ...]
#: The slot that begins at this byte of an object, if there is one.
SlotAt = Callable[[int], Stored | None]


class Chosen(NamedTuple):
    """What an object is read from. `ended`: what stands behind it was looked at, and does not belong to it."""

    slots: Slots
    ended: bool = False
    mended: bool = False


class Mends:
    """The mends of one vault, listed once. `installation` is asked for once there is one."""

    def __init__(
        self, store: ObjectStore, root: str, installation: Callable[[], bytes], there: Callable[[Stored], bool]
    ) -> None:
        self._store = store
        self._root = f"{root}{MENDED}"
        self._installation = installation
        self._there = there
        self._found: dict[str, list[Stored]] | None = None
        self._keys: Keys | None = None
        self._chosen: dict[tuple[str, Slots], Chosen] = {}

    def all(self) -> Mapping[str, Sequence[Stored]]:
        """By name: an object's, or that of a key that belongs to none; in the order in which they came.

        Raises StoreError.
        """
        if self._found is None:
            found: dict[str, list[Stored]] = {}
            for stored in self._store.list(self._root):
                name, bang, number = stored.key.removeprefix(self._root).rpartition("!")
                if bang and name and len(number) == _DIGITS and number.isdigit() and self._there(stored):
                    found.setdefault(name, []).append(stored)
            for each in found.values():
                each.sort(key=lambda stored: (stored.modified, stored.key))
            self._found = found
        return self._found

    def put(self, name: str, chunks: Iterator[bytes]) -> None:
        """One more. Raises StoreError."""
        taken = [int(stored.key[-_DIGITS:]) for stored in self.all().get(name, ())]
        number = max(taken, default=0)
        put, large = self._store.put, self._store.put_large
        held = next(chunks, b"")
        rest = next(chunks, b"")
        while True:
            number += 1
            key = f"{self._root}{name}!{number:0{_DIGITS}d}"
            if self._store.find(key) is None:
                break
        if rest:
            large(key, (chunk for part in ((held, rest), chunks) for chunk in part))
        else:
            put(key, held)
        self.forget()

    def forget(self) -> None:
        """Look anew."""
        self._found = None
        self._chosen.clear()

    def choose(self, name: str, slots: Slots, slot_at: SlotAt, limit: Callable[[], int | None]) -> Chosen:
        """What counts of an object that has these slots, none where it is missing. No slots: it is not there.

        `limit`: the last number of a frame that may belong to a segment. Raises StoreError, KeyError.
        """
        mends = self.all().get(name)
        if not mends:
            return Chosen(slots)
        known = self._chosen.get((name, slots))
        if known is None:
            parsed = segment.parse_name(name)
            if parsed is None:
                known = self._choose_whole(name, slots, mends)
            else:
                known = self._choose_segment(parsed, slots, mends, slot_at, limit)
            self._chosen[name, slots] = known
        return known

    # -- what proves itself as a whole

    def _choose_whole(self, name: str, slots: Slots, mends: Sequence[Stored]) -> Chosen:
        if slots and self.is_sound(name, slots[0]):
            return Chosen(slots)
        sound = next((stored for stored in mends if self.is_sound(name, stored)), None)
        if sound is not None:
            return Chosen((sound,), mended=True)
        return Chosen((), mended=True) if any(not stored.size for stored in mends) else Chosen(slots)

    def is_sound(self, name: str, stored: Stored) -> bool:
        """Whether what is stored there is a whole object of this name. Raises StoreError, KeyError."""

        def read(offset: int, count: int) -> bytes:
            return self._store.get(stored, offset, offset + count)

        if name == mark.NAME:
            return self._is_mark(read(0, stored.size))
        if name == mark.READER:
            return read(0, stored.size) == mark.reader()
        if recoveries.is_mark(name):
            return not stored.size
        blob_name = blob.parse_object(name)
        if blob_name is not None:
            return not check_blob(blob_name, stored.size, read)[0]
        if parse_parity_name(name) is not None:
            return _is_parity(read(0, stored.size), name)
        framed = check_framed(name, stored.size, read, self._known())
        return framed is not None and not framed.why

    def _is_mark(self, data: bytes) -> bool:
        return data == mark.encode_mark(self._installation())

    def count_frames(self, name: SegmentName, data: bytes) -> int:
        """How many frames of a segment are signed in these bytes. Raises StoreError."""
        return len(self._segment(name, data, None).signed)

    def holds_frames(self, name: SegmentName, data: bytes) -> bool:
        """Whether these bytes have the header, or a frame, of a segment. Raises StoreError."""
        seen = self._segment(name, data, None)
        return bool(seen.signed) or seen.headed

    def _known(self) -> Keys:
        if self._keys is None:
            self._keys = Keys(self._installation())
        return self._keys

    # -- segments

    def _choose_segment(
        self, name: SegmentName, slots: Slots, mends: Sequence[Stored], slot_at: SlotAt, limit: Callable[[], int | None]
    ) -> Chosen:
        last = limit()
        held = {stored: self._bytes((stored,)) for stored in mends if stored.size}
        for data in held.values():  # what the object itself says no longer may be signed by a writer that these name
            self._learn(data)
        own = self._segment(name, self._bytes(slots), last)
        chosen, best = Chosen(slots), own
        for stored in held:
            other, seen = self._followed(name, stored, slot_at, last)
            if seen.is_better_than(best):
                chosen, best = other, seen
        hides = len(held) < len(mends)
        if hides and not chosen.mended and not own.signed and not own.headed:
            return Chosen((), mended=True)
        return chosen

    def _followed(self, name: SegmentName, stored: Stored, slot_at: SlotAt, last: int | None) -> tuple[Chosen, _Seen]:
        """A mend, with as many of the slots behind it as bring more of the segment."""
        chain = [stored]
        end = stored.size
        while (behind := slot_at(end)) is not None and behind.size:
            chain.append(behind)
            end += behind.size
        data, seen, count = b"", None, 0
        for number, slot in enumerate(chain, 1):
            data += self._store.get(slot)
            longer = self._segment(name, data, last)
            if seen is None or (len(longer.signed), longer.closed) > (len(seen.signed), seen.closed):
                seen, count = longer, number
        assert seen is not None
        return Chosen(tuple(chain[:count]), ended=seen.closed or count < len(chain), mended=True), seen

    def _bytes(self, slots: Slots) -> bytes:
        return read_slots(self._store, slots)

    def _learn(self, data: bytes) -> list[bytes]:
        """The writers that a segment's ends name, so far as the installation's root certified them."""
        return [end.writer_public for end in _ends(data) if self._known().certified(end)]

    def _segment(self, name: SegmentName, data: bytes, last: int | None) -> _Seen:
        keys = self._known()
        writers = self._learn(data) or list(keys.writers())
        for end in _ends(data):  # another segment's, which came here: so did its frames
            if (end.timeline, end.number) > (name.timeline, name.number) and end.timeline == name.timeline:
                last = end.first - 1 if last is None else min(last, end.first - 1)
        signed: dict[int, bytes] = {}
        for frame in scan_frames(data):
            if not isinstance(frame, RawFrame) or not belongs(frame, name, last):
                continue
            if any(is_signed(frame, writer) for writer in writers):
                signed.setdefault(frame.header.number, frame.data)
        seen = read_segment(name, data, keys)
        footer = segment.parse_segment_footer(data)
        closed = seen.closed and footer is not None and footer.name == name  # not another's, which came here
        return _Seen(signed, seen.headed, closed, seen.headed and not seen.faults and seen.tail is None)


class _Seen(NamedTuple):
    """Of a segment's bytes what decides between two of them."""

    signed: Mapping[int, bytes]
    headed: bool
    closed: bool
    clean: bool  # every byte of it is vouched for

    def is_better_than(self, other: _Seen) -> bool:
        if any(self.signed.get(number) != data for number, data in other.signed.items()):
            return False
        if len(self.signed) > len(other.signed):
            return not (other.clean and other.closed)
        return not other.clean and (self.headed, self.closed) >= (other.headed, other.closed)


def _ends(data: bytes) -> list[SegmentHeader]:
    """Header and footer of a segment, as far as they can be read."""
    found = (segment.parse_segment_header(data), segment.parse_segment_footer(data))
    return [end for end in found if end is not None]


def _is_parity(data: bytes, name: str) -> bool:
    try:
        check_parity(data, name)
    except Damaged:
        return False
    return True
