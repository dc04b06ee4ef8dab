"""The pieces of vault objects, found at any byte of any file by their marks.

Every header, footer, frame and blob of a vault begins with `93 SH` or `94 SH` and a word, and says by a checksum
whether it is one. So a whole object, one that lost its beginning, one under another name and one in the middle of a
disk image are read in the same way: whatever lies between two pieces is a `Gap`.

Memory is bounded by the largest frame (formats/frame.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safehold.formats import blob, evidence, generation, run, segment
from safehold.formats.ends import END_BYTES
from safehold.formats.frame import (
    END_MARK,
    HEADER_BYTES,
    MAGIC,
    TRAILER_BYTES,
    FrameHeader,
    RawFrame,
    parse_header,
    scan_frames,
)
from safehold.formats.run import RunHeader
from safehold.formats.segment import SegmentHeader
from safehold.model.errors import Damaged
from safehold.salvage.reading import Reading

_MARK_BYTES = 8
_STARTS = (b"\x93SH", b"\x94SH")
_RUN_ENDS = {
    run.HEADER_MAGIC: run.parse_run_header,
    run.FOOTER_MAGIC: run.parse_run_footer,
    generation.HEADER_MAGIC: generation.parse_manifest_header,
    generation.FOOTER_MAGIC: generation.parse_manifest_footer,
    evidence.HEADER_MAGIC: evidence.parse_evidence_header,
    evidence.FOOTER_MAGIC: evidence.parse_evidence_footer,
}
_SEGMENT_ENDS = {
    segment.HEADER_MAGIC: segment.parse_segment_header,
    segment.FOOTER_MAGIC: segment.parse_segment_footer,
}
#: What a vault object begins with, where its beginning is whole.
BEGINNINGS = (
    MAGIC,
    segment.HEADER_MAGIC,
    run.HEADER_MAGIC,
    generation.HEADER_MAGIC,
    evidence.HEADER_MAGIC,
    blob.MAGIC,
)


class BrokenFrame(NamedTuple):
    """A header that is right, of a frame that is not: what follows it is told as a gap, or is other pieces."""

    offset: int
    header: FrameHeader
    reason: str


class SegmentEnd(NamedTuple):
    """A segment's header, or its footer: `closing`."""

    offset: int
    header: SegmentHeader
    closing: bool


class RunEnd(NamedTuple):
    """Either end of a run object, a manifest or evidence."""

    offset: int
    header: RunHeader
    closing: bool
    mark: bytes  # the header's mark, of either end


class BlobStart(NamedTuple):
    """A blob's header; `end` is where its object ends, by its trailer, or None where no trailer of it was found."""

    offset: int
    name: bytes
    end: int | None


class Gap(NamedTuple):
    """Bytes that are no piece of a vault."""

    offset: int
    end: int


Piece = RawFrame | BrokenFrame | SegmentEnd | RunEnd | BlobStart | Gap


def pieces(file: Reading, start: int = 0) -> Iterator[Piece]:
    """All pieces from `start` on, in order, with the gaps between them."""
    behind = at = start
    while (mark := _next_mark(file, at)) is not None:
        found = _piece(file, mark)
        if found is None:
            at = mark + 1
            continue
        if behind < mark:
            yield Gap(behind, mark)
        piece, length = found
        yield piece
        behind = at = mark + length
    if behind < file.size:
        yield Gap(behind, file.size)


def is_zeros(file: Reading, gap: Gap) -> bool:
    """Whether nothing but zeros lies there."""
    return not any(any(chunk) for chunk in file.chunks(gap.offset, gap.end))


def _next_mark(file: Reading, offset: int) -> int | None:
    """Where something that may be a mark begins."""
    return file.find(_STARTS, offset)


def _piece(file: Reading, offset: int) -> tuple[Piece, int] | None:
    """The piece that begins here, and how far to go on behind it."""
    mark = file.at(offset, _MARK_BYTES)
    if mark == MAGIC:
        return _frame(file, offset)
    if mark == blob.MAGIC:
        return _blob(file, offset)
    if mark in _SEGMENT_ENDS:
        header = _SEGMENT_ENDS[mark](file.at(offset, END_BYTES))
        return None if header is None else (SegmentEnd(offset, header, mark == segment.FOOTER_MAGIC), END_BYTES)
    if mark in _RUN_ENDS:
        ends = _RUN_ENDS[mark](file.at(offset, END_BYTES))
        closing = mark[:1] == b"\x94"
        return None if ends is None else (RunEnd(offset, ends, closing, b"\x93" + mark[1:]), END_BYTES)
    return None


def _frame(file: Reading, offset: int) -> tuple[Piece, int] | None:
    header = parse_header(file.at(offset, HEADER_BYTES))
    if header is None:
        return None
    end = offset + header.total_bytes
    if end > file.size:
        reason = f"the frame is cut short: {file.size - offset} of {header.total_bytes} bytes"
        return BrokenFrame(offset, header, reason), HEADER_BYTES
    if not file.at(end - TRAILER_BYTES, TRAILER_BYTES).endswith(END_MARK):
        return BrokenFrame(offset, header, "the frame's end mark does not match"), HEADER_BYTES
    item = next(scan_frames(file.at(offset, header.total_bytes)))
    if not isinstance(item, RawFrame):
        return BrokenFrame(offset, header, item.reason), HEADER_BYTES
    return item._replace(offset=offset), header.total_bytes


def _blob(file: Reading, offset: int) -> tuple[Piece, int] | None:
    head = file.at(offset, blob.HEADER_BYTES)
    name = head[12 : 12 + blob.NAME_BYTES]
    if len(name) != blob.NAME_BYTES or blob.encode_header(name) != head:
        return None
    end = _blob_end(file, offset, name)
    return BlobStart(offset, name, end), (blob.HEADER_BYTES if end is None else end - offset)


def _blob_end(file: Reading, offset: int, name: bytes) -> int | None:
    """Where the blob's trailer ends, which says how long the blob is; None where another piece comes before it."""
    at = offset + blob.HEADER_BYTES
    while (mark := _next_mark(file, at)) is not None:
        word = file.at(mark, _MARK_BYTES)
        if word == blob.END_MAGIC:
            try:
                trailer = blob.parse_trailer(file.at(mark, blob.TRAILER_BYTES), name)
            except Damaged:
                return None
            fits = trailer.sealed_bytes == mark - offset - blob.HEADER_BYTES
            return mark + blob.TRAILER_BYTES if fits else None
        if word in BEGINNINGS and _piece_shallow(file, mark):
            return None
        at = mark + 1
    return None


def _piece_shallow(file: Reading, offset: int) -> bool:
    """Whether a piece begins here, without looking for where it ends."""
    mark = file.at(offset, _MARK_BYTES)
    if mark == blob.MAGIC:
        head = file.at(offset, blob.HEADER_BYTES)
        return blob.encode_header(head[12 : 12 + blob.NAME_BYTES].ljust(blob.NAME_BYTES, b"\0")) == head
    return _piece(file, offset) is not None
