"""A SQLite write-ahead log, frame by frame (https://sqlite.org/fileformat2.html, section 4).

    header, 32 bytes                              frame, 24 bytes and a page
    0   4  magic; its last bit: words are big-endian   0   4  number of the page
    4   4  3007000                                     4   4  pages of the file after a commit, else 0
    8   4  bytes of a page                             8   8  salt, as in the header
    12  4  how many checkpoints came before            16  8  sums up to here
    16  8  salt, another one at each beginning
    24  8  sums of the 24 bytes before

The sums of a frame run over its first eight bytes and its page, and start where those of the frame before ended.
Those are stored: so each frame whose predecessor's head can be read is checked by itself, and a hole costs the frame
after it.

What is here has a beginning of its own: after a checkpoint the log is written over from its start, with another
salt, and what lies behind the last frame of the present salt is of a log before.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from safehold.formats.sqlite_file import MAX_PAGE_BYTES, MIN_PAGE_BYTES, Malformed
from safehold.formats.sqlite_sums import Sums, sums

HEADER_BYTES, FRAME_BYTES = 32, 24
MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_VERSION = 3_007_000
_HEADER = Struct(">4sIII8sII")
_FRAME = Struct(">II8sII")


class WalHeader(NamedTuple):
    page_bytes: int
    salt: bytes
    order: str  # of the words that are summed: "<" or ">"
    sums: Sums


class FrameHead(NamedTuple):
    page: int
    commit: int  # pages of the file after this frame, where it ends a transaction; else 0
    salt: bytes
    sums: Sums


def wal_header(data: bytes) -> WalHeader:
    """Raises Malformed, also where its sums do not hold."""
    if len(data) < HEADER_BYTES:
        raise Malformed("the header of a log is too short")
    magic, version, size, _, salt, first, second = _HEADER.unpack_from(data)
    if magic not in MAGICS or version != _VERSION:
        raise Malformed("no header of a log")
    if not MIN_PAGE_BYTES <= size <= MAX_PAGE_BYTES or size & size - 1:
        raise Malformed("the header of a log names no size of a page")
    order = ">" if magic == MAGICS[1] else "<"
    if sums(data, 6, order=order) != (first, second):
        raise Malformed("the header of a log does not sum up")
    return WalHeader(size, salt, order, (first, second))


def frame_head(data: bytes, at: int = 0) -> FrameHead:
    """Raises Malformed."""
    if at + FRAME_BYTES > len(data):
        raise Malformed("the head of a frame is too short")
    page, commit, salt, first, second = _FRAME.unpack_from(data, at)
    if not page:
        raise Malformed("a frame has no page")
    return FrameHead(page, commit, salt, (first, second))


def holds(frame: bytes, head: FrameHead, before: Sums, order: str) -> bool:
    """Whether a frame, head and page, is what was written after the one whose sums are `before`."""
    return sums(frame[:8] + frame[FRAME_BYTES:], (len(frame) - FRAME_BYTES + 8) // 4, before, order) == head.sums
