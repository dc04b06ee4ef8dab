"""A blob object: one body, encrypted, in a file of its own. The page: docs/formats/blob.md.

    header   48 bytes  mark, version, name; CRC-32 at its end
    body               an age file of the body
    trailer  84 bytes  length of the age file, SHA-256 of header and age file, name; CRC-32 at its end

Name: `blobs/XX/X…` in hex, where the name is HMAC-SHA-256(the account's blob key, SHA-256 of the body). Whoever holds
the vault without the keys learns neither what it holds nor that two accounts hold the same.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple
from zlib import crc32

from safehold.model.errors import Damaged

MAGIC = b"\x93SHblob\n"
END_MAGIC = b"\x94SHblob\n"
VERSION = 1
NAME_BYTES = 32
BLOB_PREFIX = "blobs/"

_HEADER = struct.Struct(">8sHH32s")
_TRAILER = struct.Struct(">8sQ32s32s")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
TRAILER_BYTES = _TRAILER.size + _CRC.size
OVERHEAD_BYTES = HEADER_BYTES + TRAILER_BYTES
_OBJECT = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})\Z", re.ASCII)


class BlobTrailer(NamedTuple):
    sealed_bytes: int  # of the age file
    digest: bytes  # SHA-256 of header and age file
    name: bytes


def blob_object(name: bytes) -> str:
    """The object of a blob."""
    text = name.hex()
    return f"{BLOB_PREFIX}{text[:2]}/{text}"


def parse_object(object_: str) -> bytes | None:
    """The blob's name; None where this is no blob object."""
    match = _OBJECT.match(object_)
    return bytes.fromhex(match[2]) if match else None


def encode_header(name: bytes) -> bytes:
    assert len(name) == NAME_BYTES
    fields = _HEADER.pack(MAGIC, VERSION, 0, name)
    return fields + _CRC.pack(crc32(fields))


def encode_trailer(trailer: BlobTrailer) -> bytes:
    fields = _TRAILER.pack(END_MAGIC, *trailer)
    return fields + _CRC.pack(crc32(fields))


def check_header(data: bytes, name: bytes) -> None:
    """Raises Damaged where these are not the first bytes of this blob's object."""
    if data[:HEADER_BYTES] != encode_header(name):
        raise Damaged("the blob's header is damaged, or another blob's")


def parse_trailer(data: bytes, name: bytes) -> BlobTrailer:
    """The trailer in the last bytes of an object. Raises Damaged."""
    raw = data[-TRAILER_BYTES:]
    if len(raw) != TRAILER_BYTES or _CRC.unpack_from(raw, _TRAILER.size)[0] != crc32(raw[: _TRAILER.size]):
        raise Damaged("the blob's end is damaged or missing")
    magic, *fields = _TRAILER.unpack_from(raw)
    trailer = BlobTrailer(*fields)
    if magic != END_MAGIC or trailer.name != name:
        raise Damaged("the blob's end is damaged, or another blob's")
    return trailer
