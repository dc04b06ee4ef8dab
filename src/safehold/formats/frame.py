"""A frame: one group commit, claim or seal of the log, or a part of a run or of evidence. Page: docs/formats/frame.md.

    header   88 bytes  what it is, where it stands, what it continues; CRC-32 at its end
    payload            an age file of a zstd frame of msgpack (payload.py)
    signature 64       the writer's Ed25519 over context, header and SHA-256 of the payload
    trailer  12        length of the whole frame and the end mark

All integers are big-endian. A frame's digest, which the next one carries as `prev`, is the SHA-256 of all of it.
Every frame stands alone: one that is damaged costs only itself, and says nothing false about the others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from safehold.formats.keys import SIGNATURE_BYTES, signature_holds
from safehold.model.errors import Damaged

MAGIC = b"\x93SHframe"
END_MARK = b"\x94SHend.\n"
VERSION = 1
#: Of the stored payload; keeps a damaged or hostile length from asking for memory.
MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
DIGEST_BYTES = 32

_HEADER = struct.Struct(">8sBBHIIQQqII32s")
_CRC = struct.Struct(">I")
_TRAILER = struct.Struct(">I8s")
HEADER_BYTES = _HEADER.size + _CRC.size
TRAILER_BYTES = _TRAILER.size
OVERHEAD_BYTES = HEADER_BYTES + SIGNATURE_BYTES + TRAILER_BYTES


class FrameType(IntEnum):
    CLAIM = 1  # opens a timeline
    CHANGES = 2
    SEAL = 3
    EVIDENCE = 4  # of an evidence object
    INDEX = 5  # of a run: changes without their bodies
    BODIES = 6  # of a run
    DIRECTORY = 7  # of a run: what is where
    GENERATION = 8  # of a generation's manifest


#: What may stand in a log.
LOG_TYPES = frozenset((FrameType.CLAIM, FrameType.CHANGES, FrameType.SEAL))
#: A frame of one sort never passes for one of another: what is signed begins with its sort.
_CONTEXTS = {
    t: b"safehold frame 1\0"
    if t in LOG_TYPES
    else b"safehold evidence 1\0"
    if t is FrameType.EVIDENCE
    else b"safehold run 1\0"
    for t in FrameType
}
_TYPES = {int(t): t for t in FrameType}


class FrameHeader(NamedTuple):
    """What a frame says of itself in the clear.

    `parent` and `opened` repeat in every frame what the claim of its timeline says: the timeline it continues, and
    the number of the claim. So a claim that is lost does not hide what its timeline continued.
    """

    type: FrameType
    timeline: int
    parent: int  # timeline that this one continues; 0 for none
    opened: int  # number of the claim that opened this timeline
    number: int  # 1, 2, 3 … through all timelines
    at: int  # µs, the writer's clock
    changes: int  # how many the payload holds
    payload_bytes: int
    prev: bytes  # digest of the frame before; zeros for the first

    @property
    def total_bytes(self) -> int:
        return OVERHEAD_BYTES + self.payload_bytes


class RawFrame(NamedTuple):
    """A frame whose header, length and end mark are right; its signature and payload are not yet looked at."""

    offset: int
    header: FrameHeader
    data: bytes  # all of it

    @property
    def payload(self) -> bytes:
        return self.data[HEADER_BYTES : -SIGNATURE_BYTES - TRAILER_BYTES]

    @property
    def digest(self) -> bytes:
        return sha256(self.data).digest()


class BadRange(NamedTuple):
    """Bytes that are no frame. `header` is that of the frame which begins there, where the header is right."""

    offset: int
    end: int
    reason: str
    header: FrameHeader | None


def encode_frame(header: FrameHeader, payload: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """The frame's bytes. `payload_bytes` of the header is taken from the payload."""
    assert len(payload) <= MAX_PAYLOAD_BYTES
    fields = _HEADER.pack(MAGIC, VERSION, header.type, 0, *header[1:7], len(payload), header.prev)
    head = fields + _CRC.pack(crc32(fields))
    signature = sign(_CONTEXTS[header.type] + head + sha256(payload).digest())
    return b"".join((head, payload, signature, _TRAILER.pack(OVERHEAD_BYTES + len(payload), END_MARK)))


def parse_header(data: bytes, offset: int = 0) -> FrameHeader | None:
    """The header at offset, or None where there is none whose checksum and fields are right."""
    if data[offset : offset + len(MAGIC)] != MAGIC or len(data) - offset < HEADER_BYTES:
        return None
    (crc,) = _CRC.unpack_from(data, offset + _HEADER.size)
    if crc != crc32(data[offset : offset + _HEADER.size]):
        return None
    _, version, type_, zero, *fields = _HEADER.unpack_from(data, offset)
    header = FrameHeader(_TYPES.get(type_, FrameType.CLAIM), *fields)
    good = version == VERSION and type_ in _TYPES and not zero and header.payload_bytes <= MAX_PAYLOAD_BYTES
    return header if good else None


def scan_frames(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[RawFrame | BadRange]:
    """Frames and damaged ranges between start and stop, in order, without a gap between them.

    After damage it goes on at the next header whose checksum is right. A range of damage begins at most one frame, so
    the last item tells a torn tail: a bad range with nothing after it.
    """
    stop = len(data) if stop is None else stop
    offset = start
    while offset < stop:
        header = parse_header(data, offset)
        reason = _complaint(data, offset, stop, header)
        if header is not None and not reason:
            yield RawFrame(offset, header, data[offset : offset + header.total_bytes])
            offset += header.total_bytes
            continue
        end = _next_header(data, offset + 1, stop)
        yield BadRange(offset, end, reason, header)
        offset = end


def verify_frame(frame: RawFrame, writer_public: bytes) -> None:
    """Whether this writer signed it. Raises Damaged."""
    head = frame.data[:HEADER_BYTES]
    signature = frame.data[-SIGNATURE_BYTES - TRAILER_BYTES : -TRAILER_BYTES]
    message = _CONTEXTS[frame.header.type] + head + sha256(frame.payload).digest()
    if not signature_holds(writer_public, signature, message):
        raise Damaged("the signature does not match")


def _complaint(data: bytes, offset: int, stop: int, header: FrameHeader | None) -> str:
    """Why no frame stands at offset; empty where one does."""
    if header is None:
        return "no frame header, or its checksum does not match"
    end = offset + header.total_bytes
    if end > stop:
        return f"the frame is cut short: {stop - offset} of {header.total_bytes} bytes"
    if _TRAILER.unpack_from(data, end - TRAILER_BYTES) != (header.total_bytes, END_MARK):
        return "the frame's end mark does not match"
    return ""


def _next_header(data: bytes, offset: int, stop: int) -> int:
    """Where the next good header begins; stop where there is none."""
    while (offset := data.find(MAGIC, offset, stop)) != -1:
        if parse_header(data, offset) is not None:
            return offset
        offset += 1
    return stop
