"""Segments as vaults hold them: which there are, and what each copy has in it. No key is needed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safehold.formats import segment
from safehold.formats.frame import (
    END_MARK,
    LOG_TYPES,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    OVERHEAD_BYTES,
    BadRange,
    RawFrame,
    scan_frames,
)
from safehold.formats.frame import HEADER_BYTES as FRAME_HEADER
from safehold.formats.segment import SegmentHeader, SegmentName
from safehold.ports.vault import Vault


class Holder(NamedTuple):
    """A vault that has an object, and how long it is there."""

    vault: Vault
    size: int


class Copy:
    """One vault's copy of a segment, cut into frames. The bytes are not kept beside them."""

    def __init__(self, vault: str, name: SegmentName, data: bytes) -> None:
        self.vault = vault
        self.name = name
        self.size = len(data)
        self.header = _header_of(name, data)
        self.closed = segment.parse_segment_footer(data) is not None
        start = segment.HEADER_BYTES if segment.parse_segment_header(data) is not None else 0
        stop = len(data) - segment.HEADER_BYTES * self.closed
        self.frames: dict[int, RawFrame] = {}
        self.bad: list[BadRange] = []
        self.last: RawFrame | BadRange | None = None
        self.faults = _faults(name, data)
        self.frames_end = start  # where the last frame ends that is one
        self.good_end = start  # where the frames end that follow each other without damage from the start
        for item in scan_frames(data, start, stop):
            if isinstance(item, RawFrame) and item.header.type not in LOG_TYPES:
                item = BadRange(item.offset, item.offset + len(item.data), "a frame that belongs into no log", None)
            self.last = item
            if isinstance(item, BadRange):
                self.bad.append(item)
                continue
            self.frames.setdefault(item.header.number, item)
            self.frames_end = item.offset + len(item.data)
            if not self.bad:
                self.good_end = item.offset + len(item.data)
        #: Up to here at least all was written whole: where it is beyond `frames_end`, what is between is damage.
        self.settled = self.frames_end if self.closed else self._settled(data, stop)

    def _settled(self, data: bytes, stop: int) -> int:
        """What remains after the last frame is one write that was cut short, or as much of it as cannot be that.

        A write begins once the one before is on disk, and brings one frame, or a footer. Sectors of it that did not
        come to the disk are zeros, or missing at the end.
        """
        start = self.frames_end
        remains = [bad for bad in self.bad if bad.offset >= start]
        if not remains:
            return start
        found = [start, *(bad.offset for bad in remains[1:])]
        ends = [bad.offset + bad.header.total_bytes for bad in remains if bad.header is not None]
        mark = data.rfind(END_MARK, start, stop)
        ends += [mark + len(END_MARK)] if mark != -1 else []
        found += [end for end in ends if end < stop]
        no_frame = remains[0].header is None and not _may_be_torn(data[start : min(start + FRAME_HEADER, stop)])
        too_long = stop - start > OVERHEAD_BYTES + MAX_PAYLOAD_BYTES
        if too_long or (no_frame and stop - start > segment.HEADER_BYTES):
            found.append(start + 1)
        return max(found)

    def numbers(self) -> set[int]:
        """Of frames that are there, and of damaged ones whose header can still be read.

        Damage just before a footer was a frame, or several: one at least is counted.
        """
        numbers = {*self.frames, *(bad.header.number for bad in self.bad if bad.header is not None)}
        if self.closed and isinstance(self.last, BadRange) and self.last.header is None:
            numbers.add(max(numbers, default=max(self.name.first, 1) - 1) + 1)
        return numbers

    def doubtful(self) -> int | None:
        """The number of the last frame where the segment was left open: its write may never have ended."""
        if self.closed or self.last is None or self.last.header is None:
            return None
        return self.last.header.number

    def torn_bytes(self) -> int:
        """How many bytes at the end of an open segment are no frame."""
        torn = not self.closed and isinstance(self.last, BadRange)
        return self.last.end - self.last.offset if torn and isinstance(self.last, BadRange) else 0

    def why_not(self, number: int) -> str:
        """Why this copy does not give frame `number`."""
        named = [bad for bad in self.bad if bad.header is not None and bad.header.number == number]
        nameless = [bad for bad in self.bad if bad.header is None]
        for bad in (*named, *nameless[:1]):
            return f"{self.vault}: {self.name}: {bad.reason} at byte {bad.offset}"
        return f"{self.vault}: {self.name}: frame {number} is missing"


def lost_at_end(copies: Sequence[Copy]) -> bool:
    """Whether more is left after the last frame of any of a segment's copies than a write that was cut short leaves."""
    end = max((copy.frames_end for copy in copies), default=0)
    return any(copy.settled > end for copy in copies)


def load_copy(vault: Vault, name: SegmentName) -> Copy:
    """Raises VaultDown, KeyError."""
    return Copy(vault.name, name, vault.get(str(name)))


def timelines(vaults: Sequence[Vault]) -> list[int]:
    """The timelines that any of the vaults has a folder for, ascending. Raises VaultDown."""
    names = {name for vault in vaults for name in vault.folders(segment.LOG_PREFIX)}
    return sorted(int(name) for name in names if len(name) == 8 and name.isascii() and name.isdigit())


def segments(vaults: Sequence[Vault], timeline: int) -> dict[SegmentName, list[Holder]]:
    """The segments of a timeline in order, with the vaults that have them, in the order given. Raises VaultDown."""
    found: dict[SegmentName, list[Holder]] = {}
    for vault in vaults:
        for info in vault.list(segment.timeline_prefix(timeline)):
            name = segment.parse_name(info.name)
            if name is not None and name.timeline == timeline:
                found.setdefault(name, []).append(Holder(vault, info.size))
    return dict(sorted(found.items()))


class Beginning(NamedTuple):
    """Where a vault's log begins: its first segment with more than a header in it; None where it has no frame.

    Retention leaves the header of the first segment of each timeline, its claim. `claimed` are the timelines up to
    there whose claim stands.
    """

    first: SegmentName | None
    claimed: frozenset[int] = frozenset()

    def is_retained(self, name: SegmentName) -> bool:
        """Whether this segment was retained away. One before the beginning of whose timeline not even the claim is
        there was lost: logs are written and shipped in order.
        """
        return self.first is not None and name < self.first and name.timeline in self.claimed


def begins(vault: Vault) -> Beginning:
    """Raises VaultDown."""
    claimed: set[int] = set()
    for timeline in timelines([vault]):
        for name, holders in segments([vault], timeline).items():
            if not name.number:
                claimed.add(timeline)
            if holders[0].size > segment.HEADER_BYTES:
                return Beginning(name, frozenset(claimed))
    return Beginning(None)


def beginning(vault: Vault) -> SegmentName | None:
    """The first segment with more than a header in it. Raises VaultDown."""
    return begins(vault).first


def limits(names: Sequence[SegmentName]) -> list[int | None]:
    """For each segment the last number that counts in it: the one before the first of any later segment."""
    result: list[int | None] = []
    lowest: int | None = None
    for name in reversed(names):
        result.append(lowest)
        lowest = name.first - 1 if lowest is None else min(lowest, name.first - 1)
    return result[::-1]


def _may_be_torn(head: bytes) -> bool:
    """Whether a header that is none may be one of which a sector did not come: it is shorter than a sector."""
    begins = all(byte in (0, meant) for byte, meant in zip(head, MAGIC, strict=False))
    return begins and (len(head) < FRAME_HEADER or not head[0] or not head[-1])


def _faults(name: SegmentName, data: bytes) -> list[str]:
    """What is wrong with a segment's own ends; by itself neither costs a frame."""
    faults = []
    header = segment.parse_segment_header(data)
    if header is None:
        faults.append("its header is damaged")
    elif header.name != name:
        faults.append(f"it is {header.name}, under another name")
    end = data[-segment.HEADER_BYTES :]
    if segment.parse_segment_footer(data) is None and len(data) >= 2 * segment.HEADER_BYTES:
        same = sum(a == b for a, b in zip(end, data[: segment.HEADER_BYTES], strict=True))
        if same > segment.HEADER_BYTES // 2:
            faults.append("its footer is damaged")
    return faults


def _header_of(name: SegmentName, data: bytes) -> SegmentHeader | None:
    """From the beginning or, failing that, the end; one that names another place is none."""
    for header in (segment.parse_segment_header(data), segment.parse_segment_footer(data)):
        if header is not None and header.name == name:
            return header
    return None
