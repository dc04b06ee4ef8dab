"""The two ends of an object: who wrote it, where it stands, and the root's word for that. 176 bytes.

     0   8  mark: `93`, five letters and `0A` at the beginning, `94` and the same at the end
     8   2  version: 1
    10   2  zero
    12   4  timeline
    16   4  number of the object
    20   8  first: what the object is about, by its own page
    28  16  installation
    44  32  public key of whoever wrote it (Ed25519)
    76  32  root's public key (Ed25519)
   108  64  certificate of the root for that key and its role
   172   4  CRC-32 of the 172 bytes before

Segments (segment.py), run objects and generations (run.py, generation.py) and evidence (evidence.py) have them.
"""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

VERSION = 1
_FIELDS = struct.Struct(">8sHHIIQ16s32s32s64s")
_CRC = struct.Struct(">I")
END_BYTES = _FIELDS.size + _CRC.size


def encode_end(mark: bytes, values: tuple[Any, ...]) -> bytes:
    """One end. `values` are the fields from the timeline to the certificate."""
    fields = _FIELDS.pack(mark, VERSION, 0, *values)
    return fields + _CRC.pack(crc32(fields))


def parse_end(mark: bytes, data: bytes) -> list[Any] | None:
    """The fields from the timeline to the certificate; None where these bytes are no end with this mark."""
    if len(data) != END_BYTES or data[: len(mark)] != mark:
        return None
    if _CRC.unpack_from(data, _FIELDS.size)[0] != crc32(data[: _FIELDS.size]):
        return None
    _, version, zero, *fields = _FIELDS.unpack_from(data)
    return fields if version == VERSION and not zero else None
