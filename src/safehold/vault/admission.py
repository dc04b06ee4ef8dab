"""What a vault's server admits to its log: only what leaves every frame that counts counting.

Whoever holds a writer's key can sign anything; and what makes up a log is told by rules (vault/log.py) that let a
later timeline, or a later segment, make void what came before. A writer never needs that for a frame that a vault
took: so a vault held by another user admits none of it, signed or not.

1. A segment is appended to only while it has no footer.
2. Timelines are dense: an object of timeline T only where T - 1 has one, unless the log is empty.
3. A segment's name makes void what earlier segments of its timeline hold from its first frame on. So that frame comes
   after all they hold, or the segment repeats every one of them byte for byte.
4. A timeline's frames all continue the same place. Where the first of them comes in, that place is not before the
   end of the log that is here; and where it is that very end, the frame names its digest.
5. A frame's number is not before its segment's first frame, nor before its timeline's claim; it bears its timeline
   and a type of the log.

Frames are looked for as readers do, by their mark and the checksum of their header, wherever they are: bytes that are
no frame are admitted, for a source may be damaged. No secret is needed, as signatures show who wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safehold.formats import segment
from safehold.formats.frame import HEADER_BYTES, LOG_TYPES, MAGIC, FrameHeader, RawFrame, parse_header, scan_frames
from safehold.formats.keys import SECRET_BYTES, Opener, identity_of
from safehold.formats.segment import SegmentName
from safehold.ports.core import EMPTY_LOG
from safehold.ports.vault import LengthMismatch, Vault, VaultDown
from safehold.vault.log import VaultLogReader
from safehold.vault.segments import Copy, load_copy, timelines

#: Frames that are repeated, at most: what a start writes once more is what its core had not taken in.
MAX_REPEATED_BYTES = 64 * 1024 * 1024
_OVERLAP_BYTES = HEADER_BYTES - 1


class Continued(NamedTuple):
    """The place that a timeline continues."""

    timeline: int
    opened: int  # number of its claim, the first frame after that place


class _Tail(NamedTuple):
    """A segment that was put whole, one frame of which a certified writer signed."""

    name: SegmentName
    highest: int  # number of any frame in it


class Admission:
    """Judges what is to be added to the log of one vault. `done` is told what was. One thread at a time."""

    def __init__(self, vault: Vault, installation: bytes) -> None:
        self._vault = vault
        self._opener = Opener(identity_of(bytes(SECRET_BYTES)), installation)  # opens nothing
        self._continued: dict[int, Continued] = {}
        self._tails: dict[int, _Tail] = {}  # by timeline: what was put last, where it was put whole

    def check_append(self, name: SegmentName, expected: int, data: bytes) -> Continued | None:
        """Raises LengthMismatch, VaultDown. What it returns is for `done`."""
        if not expected:
            self.check_new(name, b"")
            return self.check_frames(name, data)
        end = self._vault.get(str(name), max(0, expected - segment.HEADER_BYTES), min(expected, segment.HEADER_BYTES))
        footer = segment.parse_segment_footer(end) if expected > segment.HEADER_BYTES else None
        if data and footer is not None and footer.name == name:
            raise LengthMismatch(f"vault {self._vault.name}: {name} is closed: nothing can be appended to it")
        return self.check_frames(name, end[-_OVERLAP_BYTES:] + data)

    def check_new(self, name: SegmentName, data: bytes) -> None:
        """Whether a segment may be made that is not there yet; `data` is all of it, or what it repeats of others."""
        if not name.number and name.first:
            raise self._refused(f"{name} is no name of a timeline's first segment")
        highest = self._highest()
        if highest and name.timeline > highest + 1:
            raise self._refused(f"{name}: timeline {highest + 1} comes after {highest}")
        if name.number:
            self._check_voided(name, data)

    def check_frames(self, name: SegmentName, data: bytes) -> Continued | None:
        """Judge the frames that begin in these bytes. Raises LengthMismatch, VaultDown."""
        continued = self._continued.get(name.timeline)
        found = None
        for header in headers_in(data):
            if header.timeline != name.timeline or header.type not in LOG_TYPES:
                raise self._void(f"a frame of timeline {header.timeline} does not belong into {name}")
            continued = continued or self._known(name.timeline)
            place = Continued(header.parent, header.opened)
            if continued is None:
                self._check_place(header, place)
                continued = found = place
            if place != continued:
                raise self._void(
                    f"frame {header.number} of timeline {name.timeline} says that it continues timeline "
                    f"{place.timeline} before frame {place.opened}; the frames before it say timeline "
                    f"{continued.timeline} before frame {continued.opened}"
                )
            if header.number < max(name.first, header.opened):
                raise self._void(f"frame {header.number} does not belong into {name}")
        return found

    def done(self, name: SegmentName, continued: Continued | None, whole: bytes = b"") -> None:
        """What was judged is in the vault; `whole` is all of a segment that was put."""
        if continued is not None:
            self._continued[name.timeline] = continued
        tail = self._tail_of(name, whole)
        if tail is not None:
            self._tails[name.timeline] = tail
        else:
            self._tails.pop(name.timeline, None)

    def _tail_of(self, name: SegmentName, whole: bytes) -> _Tail | None:
        first = next(scan_frames(whole, segment.HEADER_BYTES), None)
        if not isinstance(first, RawFrame):
            return None
        copy = Copy(self._vault.name, name, whole[: first.offset + len(first.data)])
        if not VaultLogReader([self._vault], self._opener).signed(copy, first):
            return None
        return _Tail(name, max(header.number for header in headers_in(whole)))

    def _highest(self) -> int:
        """The highest timeline of which there is an object; 0 for none. An empty folder is a put that broke off."""
        for timeline in reversed(timelines([self._vault])):
            if next(iter(self._vault.list(segment.timeline_prefix(timeline))), None) is not None:
                return timeline
        return 0

    def _names(self, timeline: int) -> list[SegmentName]:
        listed = self._vault.list(segment.timeline_prefix(timeline))
        return sorted(name for info in listed if (name := segment.parse_name(info.name)) is not None)

    def _known(self, timeline: int) -> Continued | None:
        """Which place a timeline continues, by the first header in it that can be read."""
        for name in self._names(timeline):
            for header in headers_in(self._vault.get(str(name))):
                known = self._continued[timeline] = Continued(header.parent, header.opened)
                return known
        return None

    def _check_place(self, header: FrameHeader, place: Continued) -> None:
        """Rule 4."""
        timeline = header.timeline
        end = VaultLogReader([self._vault], self._opener).end()
        first_after = header.number == place.opened == end.frame + 1 and end != EMPTY_LOG
        if first_after and header.prev != end.digest:
            raise self._void(
                f"timeline {timeline} would go on from another frame {end.frame} than the one that this vault holds"
            )
        if place.opened > end.frame and end.timeline <= place.timeline < timeline:
            return
        raise self._void(
            f"timeline {timeline} would go on from frame {place.opened - 1} of timeline {place.timeline}; "
            f"this vault holds frame {end.frame} of timeline {end.timeline}"
        )

    def _check_voided(self, name: SegmentName, data: bytes) -> None:
        """Rule 3."""
        before = [n for n in self._names(name.timeline) if n < name]
        tail = self._tails.get(name.timeline)
        if tail is not None and before[-1:] == [tail.name] and tail.highest < name.first:
            return  # as the loop would find, without another look at all of that segment: a vault is filled faster
        reader = VaultLogReader([self._vault], self._opener)
        repeated: dict[int, bytes] | None = None
        for earlier in reversed(before):
            copy = load_copy(self._vault, earlier)
            later = {number: frame for number, frame in copy.frames.items() if number >= name.first}
            voided = {number: frame for number, frame in later.items() if reader.signed(copy, frame)}
            if voided and repeated is None:
                repeated = _frames_of(data)
            for number, frame in voided.items():
                if repeated is None or repeated.get(number) != frame.data:
                    raise self._void(f"{name} would make frame {number} of {earlier} void")
            # By rule 5 what is before holds only lower numbers. One signed frame tells: each takes 0.1 ms to check.
            if not voided and any(reader.signed(copy, frame) for frame in reversed(copy.frames.values())):
                return

    def _void(self, why: str) -> LengthMismatch:
        return LengthMismatch(
            f"vault {self._vault.name}: {why}",
            hint="the writer opens its log anew; where that does not help, see which other process or machine writes",
        )

    def _refused(self, why: str) -> VaultDown:
        return VaultDown(f"vault {self._vault.name}: {why}", hint="see which process or machine writes to this vault")


def headers_in(data: bytes) -> Iterator[FrameHeader]:
    """Every header of a frame that begins and ends in these bytes and whose checksum is right."""
    offset = data.find(MAGIC)
    while offset != -1:
        header = parse_header(data, offset)
        if header is not None:
            yield header
        offset = data.find(MAGIC, offset + 1)


def _frames_of(data: bytes) -> dict[int, bytes]:
    frames: dict[int, bytes] = {}
    for item in scan_frames(data, segment.HEADER_BYTES):
        if isinstance(item, RawFrame):
            frames.setdefault(item.header.number, item.data)
    return frames
