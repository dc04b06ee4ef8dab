"""Pages of a SQLite file, read one by one, with nothing above them: no schema, no tree, no neighbour is needed.

Follows https://sqlite.org/fileformat2.html (sections 1.3 header, 1.6 b-tree pages, 1.5 freelist, 2.1 records). Bytes
in, values out. All input is hostile: each length is checked against what is there, each list has a bound, and what
does not fit raises Malformed and nothing else. No call takes longer than the bytes that it was given.

A b-tree page, all integers big-endian:

    offset  bytes
    0       1      2 index interior, 5 table interior, 10 index leaf, 13 table leaf
    1       2      first freeblock
    3       2      number of cells
    5       2      where the cells begin
    7       1      bytes lost in fragments
    8       4      right-most child, of interior pages only
            2 n    where each cell is, in the order of the keys

and a cell: [left child, 4 bytes, of interior pages] [size of the payload, varint, but of table interior pages]
[rowid, varint, of table pages] payload [first overflow page, 4 bytes, where the payload is longer than fits].
`usable` is the size of a page less what is reserved at its end, where the checksum lies.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
TYPES = frozenset((INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF))
MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
MIN_PAGE_BYTES, MAX_PAGE_BYTES = 512, 65_536
#: More columns than any table or index that is looked for.
MAX_COLUMNS = 32
MAX_HEADER_BYTES = 9 * MAX_COLUMNS
#: Of one row. Inline bodies are bounded by what a client may send.
MAX_PAYLOAD_BYTES = 64 << 20

_FILE_HEADER = Struct(">16sHBBBBBBIIII")
_PAGE_HEADER = Struct(">BHHHB")
_NUMBER = Struct(">I")
_REAL = Struct(">d")

Value = int | float | str | bytes | None


class Malformed(ValueError):
    """These bytes are not what they were taken for."""


class Cut:
    """In place of a value whose bytes are not all there."""

    def __repr__(self) -> str:
        return "CUT"


CUT = Cut()


# -- integers and records


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer of up to 64 bits, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        if place >= len(data):
            raise Malformed("an integer ends early")
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    if at + 8 >= len(data):
        raise Malformed("an integer ends early")
    return value << 8 | data[at + 8], at + 9


def signed(value: int) -> int:
    """A rowid, as `varint` gives it."""
    return value - (1 << 64) if value >> 63 else value


class RecordHeader(NamedTuple):
    """What a record's columns are (serial types), where their values begin, and how long the record is with them."""

    types: list[int]
    begin: int  # from the record's first byte
    size: int


#: Bytes of the values of the serial types below 128, two of which are none.
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0, *(kind - 12 >> 1 for kind in range(12, 128)))
_NONE = (10, 11)


def record_header(data: bytes, at: int = 0) -> RecordHeader:
    """Of a record that begins at `at`; its values need not be there. Raises Malformed, also beyond MAX_COLUMNS."""
    begin, place = varint(data, at)
    end = at + begin
    if end > len(data) or end < place or begin > MAX_HEADER_BYTES:
        raise Malformed("a record's header is longer than what is there")
    types: list[int] = []
    size = begin
    while place < end:
        kind = data[place]
        place += 1
        if kind >= 0x80:
            kind, place = varint(data, place - 1)
            if kind < 0x80:
                raise Malformed("a serial type is longer than it need be")
            size += kind - 12 >> 1
        else:
            size += _SIZES[kind]
            if kind in _NONE:
                raise Malformed(f"serial type {kind} is none")
        types.append(kind)
    if place != end:
        raise Malformed("a record's header ends within a column")
    if len(types) > MAX_COLUMNS:
        raise Malformed("a record has too many columns")
    return RecordHeader(types, begin, size)


def record_values(header: RecordHeader, data: bytes, at: int = 0) -> list[Value | Cut]:
    """The values of a record that begins at `at`, CUT for those that end beyond `data`. Raises Malformed."""
    values: list[Value | Cut] = []
    place = at + header.begin
    length = len(data)
    for kind in header.types:
        if kind >= 12:
            end = place + (kind - 12 >> 1)
            if end > length:
                values.append(CUT)
            elif kind & 1:
                try:
                    values.append(data[place:end].decode())
                except UnicodeDecodeError:
                    raise Malformed("a text is not UTF-8") from None
            else:
                values.append(data[place:end])
            place = end
        elif kind == 0:
            values.append(None)
        elif kind >= 8:
            values.append(kind - 8)
        else:
            end = place + _SIZES[kind]
            if end > length:
                values.append(CUT)
            elif kind == 7:
                values.append(_REAL.unpack_from(data, place)[0])
            else:
                values.append(int.from_bytes(data[place:end], "big", signed=True))
            place = end
    return values


# -- pages and cells


def local_bytes(payload: int, usable: int, *, table_leaf: bool) -> int:
    """How many bytes of a payload lie in its cell; the others in overflow pages."""
    most = usable - 35 if table_leaf else (usable - 12) * 64 // 255 - 23
    if payload <= most:
        return payload
    least = (usable - 12) * 32 // 255 - 23
    local = least + (payload - least) % (usable - 4)
    return local if local <= most else least


class BtreePage(NamedTuple):
    """A page's kind and its cells. `odd` counts pointers that lead nowhere: damage, or no page at all."""

    type: int
    cells: list[int]  # where each begins, in the order of the keys
    odd: int
    right: int  # the last child of an interior page, else 0
    gap: tuple[int, int]  # bytes between the pointers and the cells


def btree_page(page: bytes, usable: int, start: int = 0) -> BtreePage:
    """`start` is HEADER_BYTES for page 1. Raises Malformed where the page's header cannot be one."""
    if len(page) < usable or usable < MIN_PAGE_BYTES - 255:
        raise Malformed("a page is too short")
    kind, free, count, content, fragments = _PAGE_HEADER.unpack_from(page, start)
    if kind not in TYPES:
        raise Malformed("no b-tree page")
    first = start + (12 if kind in (INDEX_INTERIOR, TABLE_INTERIOR) else 8)
    content = content or MAX_PAGE_BYTES
    end = first + 2 * count
    if end > usable or not end <= content <= MAX_PAGE_BYTES or (content > usable and count) or free >= usable:
        raise Malformed("no b-tree page")
    if fragments > 60 or (free and free < end):
        raise Malformed("no b-tree page")
    pointers = Struct(f">{count}H").unpack_from(page, first)
    cells: list[int] = [at for at in dict.fromkeys(pointers) if content <= at <= usable - 4]
    right = _NUMBER.unpack_from(page, start + 8)[0] if first - start == 12 else 0
    return BtreePage(kind, cells, count - len(cells), right, (end, min(content, usable)))


class Cell(NamedTuple):
    """`local` is the part of the payload that lies in the page; `overflow` where the rest begins, 0 where none is."""

    rowid: int  # of table pages, else 0
    left: int  # the child of an interior page, else 0
    size: int  # of the payload
    local: bytes
    overflow: int
    end: int  # in the page


def cell(page: bytes, at: int, kind: int, usable: int) -> Cell:
    """The cell at `at` of a page of this type. Raises Malformed."""
    left = rowid = 0
    if kind in (INDEX_INTERIOR, TABLE_INTERIOR):
        if at + 4 > usable:
            raise Malformed("a cell ends beyond its page")
        left = _NUMBER.unpack_from(page, at)[0]
        at += 4
    if kind == TABLE_INTERIOR:
        key, at = varint(page, at)
        return Cell(signed(key), left, 0, b"", 0, at)
    size, at = varint(page, at)
    if kind == TABLE_LEAF:
        key, at = varint(page, at)
        rowid = signed(key)
    if size > MAX_PAYLOAD_BYTES:
        raise Malformed("a payload is too long")
    local = local_bytes(size, usable, table_leaf=kind == TABLE_LEAF)
    end = at + local
    first = 0
    if local < size:
        if end + 4 > usable:
            raise Malformed("a cell ends beyond its page")
        first = _NUMBER.unpack_from(page, end)[0]
        end += 4
        return Cell(rowid, left, size, page[at : end - 4], first, end)
    if end > usable:
        raise Malformed("a cell ends beyond its page")
    return Cell(rowid, left, size, page[at:end], 0, end)


def overflow_pages(size: int, local: int, usable: int) -> int:
    """How many overflow pages hold the rest of a payload."""
    return -(-(size - local) // (usable - 4)) if size > local else 0


def follow(cell: Cell, usable: int, read: Callable[[int], bytes | None]) -> tuple[bytes, list[int]]:
    """As much of a cell's payload as its overflow chain gives, and the pages that it was taken from.

    `read` gives a page by its number, or None. A chain that comes back to itself ends there.
    """
    parts = [cell.local]
    need = cell.size - len(cell.local)
    number = cell.overflow
    seen: dict[int, None] = {}
    while need > 0 and number and number not in seen:
        page = read(number)
        if page is None or len(page) < usable:
            break
        seen[number] = None
        part = page[4 : 4 + min(need, usable - 4)]
        parts.append(part)
        need -= len(part)
        number = _NUMBER.unpack_from(page)[0]
    return b"".join(parts), list(seen)


# -- the file


class FileHeader(NamedTuple):
    page_bytes: int
    reserved: int
    pages: int  # as it was when the header was written
    free_trunk: int  # the first page of the list of free ones, 0 where none is
    application: int  # PRAGMA application_id

    @property
    def usable(self) -> int:
        return self.page_bytes - self.reserved


def file_header(data: bytes) -> FileHeader:
    """The first bytes of page 1. Raises Malformed."""
    if len(data) < HEADER_BYTES:
        raise Malformed("a header is too short")
    magic, size, _, _, reserved, _, _, _, _, pages, trunk, _ = _FILE_HEADER.unpack_from(data)
    size = MAX_PAGE_BYTES if size == 1 else size
    if magic != MAGIC or not MIN_PAGE_BYTES <= size <= MAX_PAGE_BYTES or size & size - 1 or reserved > 255:
        raise Malformed("no header of a SQLite file")
    if size - reserved < 480:
        raise Malformed("a header leaves too little of a page")
    return FileHeader(size, reserved, pages, trunk, _NUMBER.unpack_from(data, 68)[0])


def free_trunk(page: bytes, usable: int) -> tuple[int, list[int]]:
    """A page of the list of free ones: the next such page, and those that it lists. Raises Malformed."""
    if len(page) < usable:
        raise Malformed("a page is too short")
    following, count = _NUMBER.unpack_from(page)[0], _NUMBER.unpack_from(page, 4)[0]
    if count > usable // 4 - 2:
        raise Malformed("no page of the list of free ones")
    return following, list(Struct(f">{count}I").unpack_from(page, 8))
