"""A parity object: one of m columns from which damaged objects of a group can be computed again.

The page: docs/formats/parity.md.

    header   64 bytes  mark, version, k, m, index, block bytes, rows, bytes of the table, SHA-256 of the table
    table              msgpack: members (name, bytes, SHA-256), digests of the blocks of all k + m columns
    column             rows x block bytes
    trailer  44 bytes  SHA-256 of all before, mark; CRC-32 at its end

The members of a group, one after the other and filled up with zeros, are k columns of rows x block bytes each. Name:
`parity/X…/JJ`, the first 16 hex digits of the table's SHA-256 and the index: objects of one name are the same.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

import msgspec

from safehold.formats import reed_solomon
from safehold.model.errors import Damaged

MAGIC = b"\x93SHpari\n"
END_MAGIC = b"\x94SHpari\n"
VERSION = 1
PARITY_PREFIX = "parity/"
#: Of a block's SHA-256 so many bytes are kept: they find damage; what vouches for an object is its whole SHA-256.
DIGEST_BYTES = 8
MAX_BLOCK_BYTES = 1024 * 1024
MAX_TABLE_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct(">8sHBBBxxxIIQ32s")
_TRAILER = struct.Struct(">32s8s")
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size
TRAILER_BYTES = _TRAILER.size + _CRC.size
_OBJECT = re.compile(r"parity/([0-9a-f]{16})/([0-9a-f]{2})\Z", re.ASCII)


class Member(msgspec.Struct, frozen=True, array_like=True):
    """An object of a group."""

    name: str
    size: int
    digest: bytes


class _Table(msgspec.Struct, frozen=True, array_like=True):
    members: list[Member]
    digests: bytes


class Shape(NamedTuple):
    """How a group is cut."""

    data: int  # k
    parity: int  # m
    block_bytes: int
    rows: int

    @property
    def column_bytes(self) -> int:
        return self.rows * self.block_bytes


class Group(NamedTuple):
    """What every parity object of a group says. `digests`: of column c and row r at (c x rows + r) x DIGEST_BYTES."""

    shape: Shape
    members: Sequence[Member]
    digests: bytes
    table: bytes

    @property
    def id(self) -> str:
        return sha256(self.table).hexdigest()[:16]

    @property
    def object_bytes(self) -> int:
        """Of each of its parity objects."""
        return HEADER_BYTES + len(self.table) + self.shape.column_bytes + TRAILER_BYTES

    def objects(self) -> list[str]:
        return [parity_object(self.id, index) for index in range(self.shape.parity)]

    def is_block(self, column: int, row: int, block: bytes) -> bool:
        at = (column * self.shape.rows + row) * DIGEST_BYTES
        return block_digest(block) == self.digests[at : at + DIGEST_BYTES]


def parity_object(group: str, index: int) -> str:
    return f"{PARITY_PREFIX}{group}/{index:02x}"


def parse_parity_name(name: str) -> tuple[str, int] | None:
    """Group and index; None where this is no parity object's name."""
    match = _OBJECT.match(name)
    return (match[1], int(match[2], 16)) if match else None


def block_digest(block: bytes) -> bytes:
    return sha256(block).digest()[:DIGEST_BYTES]


def make_group(
    members: Sequence[tuple[str, bytes]], data: int, parity: int, block_bytes: int
) -> tuple[Group, list[bytes]]:
    """A group over these objects, and its parity columns."""
    whole = b"".join(content for _, content in members)
    rows = max(1, -(-len(whole) // (data * block_bytes)))
    shape = Shape(data, parity, block_bytes, rows)
    columns = split(whole, shape)
    more = reed_solomon.encode(columns, parity)
    digests = b"".join(
        block_digest(column[at : at + block_bytes])
        for column in (*columns, *more)
        for at in range(0, shape.column_bytes, block_bytes)
    )
    named = [Member(name, len(content), sha256(content).digest()) for name, content in members]
    return Group(shape, named, digests, msgspec.msgpack.encode(_Table(named, digests))), more


def split(whole: bytes, shape: Shape) -> list[bytes]:
    """The data columns of a group's bytes."""
    size = shape.column_bytes
    return [whole[at : at + size].ljust(size, b"\0") for at in range(0, shape.data * size, size)]


def encode_parity(group: Group, index: int, column: bytes) -> bytes:
    """A whole parity object."""
    shape = group.shape
    fields = (VERSION, shape.data, shape.parity, index, shape.block_bytes, shape.rows, len(group.table))
    head = _HEADER.pack(MAGIC, *fields, sha256(group.table).digest()) + group.table + column
    end = _TRAILER.pack(sha256(head).digest(), END_MAGIC)
    return head + end + _CRC.pack(crc32(end))


def table_bytes(head: bytes) -> int:
    """How long a parity object's table is, by its first bytes; 0 where these are none."""
    if len(head) < HEADER_BYTES or head[: len(MAGIC)] != MAGIC:
        return 0
    return min(int(_HEADER.unpack_from(head)[7]), MAX_TABLE_BYTES)


def parse_group(data: bytes, name: str, size: int) -> Group:
    """What the beginning of a parity object of this size says, also where its column is damaged. Raises Damaged."""
    named = parse_parity_name(name)
    if named is None or len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise Damaged("it does not begin as a parity object does")
    _, version, count, parity, index, block, rows, length, digest = _HEADER.unpack_from(data)
    table = data[HEADER_BYTES : HEADER_BYTES + length]
    if sha256(table).digest() != digest:
        raise Damaged("its table is damaged")
    shape = Shape(count, parity, block, rows)
    sensible = version == VERSION and count and parity and count + parity <= reed_solomon.MAX_COLUMNS
    if not sensible or not 0 < block <= MAX_BLOCK_BYTES or length > MAX_TABLE_BYTES or index >= parity:
        raise Damaged("its header is none")
    try:
        parsed = msgspec.msgpack.decode(table, type=_Table)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Damaged("its table is none") from None
    group = Group(shape, parsed.members, parsed.digests, table)
    total = sum(member.size for member in group.members)
    held = all(member.size >= 0 and len(member.digest) == 32 for member in group.members)
    if len(group.digests) != DIGEST_BYTES * rows * (count + parity) or total > count * shape.column_bytes or not held:
        raise Damaged("its table does not fit its header")
    if (group.id, index) != named:
        raise Damaged("it is another one's, under this name")
    if group.object_bytes != size:
        raise Damaged(f"it is {size} bytes long and should be {group.object_bytes}")
    return group


def check_parity(data: bytes, name: str) -> Group:
    """Raises Damaged unless every byte is what was written."""
    group = parse_group(data, name, len(data))
    end = data[-TRAILER_BYTES:]
    if _CRC.unpack(end[_TRAILER.size :])[0] != crc32(end[: _TRAILER.size]):
        raise Damaged("its end is damaged or missing")
    digest, magic = _TRAILER.unpack_from(end)
    if magic != END_MAGIC or sha256(data[:-TRAILER_BYTES]).digest() != digest:
        raise Damaged("its checksum does not match")
    named = parse_parity_name(name)
    assert named is not None
    column, step = data[HEADER_BYTES + len(group.table) : -TRAILER_BYTES], group.shape.block_bytes
    place = group.shape.data + named[1]
    if not all(group.is_block(place, at // step, column[at : at + step]) for at in range(0, len(column), step)):
        raise Damaged("its column is not the one that its table describes")
    return group
