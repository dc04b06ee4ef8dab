"""Where the pages of a core lie in a file that nobody vouches for: how large they are, and where page 1 is or was.

A page does not say its own number. But an interior page of a table says of each child the largest rowid in it, and a
leaf shows its largest: each pair of them that fits is a vote for where page 1 lies, also where page 1 is gone or lies
before the file. Page numbers are needed for bodies that go on in overflow pages, and for nothing else.

Candidates are looked for at every SECTOR_BYTES: file systems begin files there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from safehold.formats.sqlite_file import (
    HEADER_BYTES,
    MAGIC,
    TABLE_INTERIOR,
    TABLE_LEAF,
    FileHeader,
    Malformed,
    btree_page,
    cell,
    file_header,
)
from safehold.formats.sqlite_wal import MAGICS
from safehold.ports.disk import File
from safehold.store.sqlite.pages import is_good
from safehold.store.sqlite.schema import APPLICATION_ID
from safehold.store.sqlite.vfs import CHECKSUM_BYTES, OLD_PAGE_BYTES, PAGE_BYTES

SECTOR_BYTES = 512
CHUNK_BYTES = 1 << 20
#: What a core's pages may measure.
SIZES = (PAGE_BYTES, OLD_PAGE_BYTES)
#: Leaves and children that are remembered for votes, and places for page 1 that are believed.
_REMEMBERED = 300_000
MAX_BASES = 16
_MIN_VOTES = 2

_BTREE = re.compile(rb"[\x02\x05\x0a\x0d]")
_UNREADABLE_STEP = 4096


class Medium:
    """A file that may have places which cannot be read: those read as zeros, and are counted."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.size = file.size()
        self.unreadable_bytes = 0

    def read(self, offset: int, count: int) -> bytes:
        """Shorter only where the file ends."""
        count = min(count, self.size - offset)
        if count <= 0 or offset < 0:
            return b""
        try:
            data = self._file.read_at(offset, count)
        except OSError:
            if count <= _UNREADABLE_STEP:
                self.unreadable_bytes += count
                return bytes(count)
            middle = max(_UNREADABLE_STEP, count // 2 // _UNREADABLE_STEP * _UNREADABLE_STEP)
            return self.read(offset, middle) + self.read(offset + middle, count - middle)
        return data if len(data) == count else data + bytes(count - len(data))

    def page(self, offset: int, size: int) -> bytes:
        """A page; what lies beyond the end of the file is zeros."""
        data = self.read(offset, size)
        return data if len(data) == size else data + bytes(size - len(data))

    def close(self) -> None:
        self._file.close()


class Layout(NamedTuple):
    """How a core lies in a file."""

    page_bytes: int
    reserved: int
    bases: tuple[int, ...]  # where page 1 lies or would lie, the likeliest first; may be negative, may be none
    whole: bool  # the file is a core and nothing else, as far as can be told
    header: FileHeader | None

    @property
    def usable(self) -> int:
        return self.page_bytes - self.reserved

    @property
    def checked(self) -> bool:
        """Whether its pages bear checksums."""
        return self.reserved == CHECKSUM_BYTES


def holds_good_page(medium: Medium, layout: Layout, offset: int) -> bool:
    """Whether this offset lies on a page of the layout whose checksum holds: then that page says what is there."""
    size = layout.page_bytes
    for phase in {base % size for base in layout.bases} if layout.checked else ():
        begin = offset - (offset - phase) % size
        if begin >= 0 and is_good(medium.page(begin, size)):
            return True
    return False


class Survey(NamedTuple):
    layouts: tuple[Layout, ...]
    logs: tuple[int, ...]  # where a WAL seems to begin


def candidates(chunk: bytes, begin: int = 0) -> Iterator[int]:
    """Offsets in the chunk at which a b-tree page may begin, by its first byte."""
    for match in _BTREE.finditer(chunk[begin::SECTOR_BYTES]):
        yield begin + match.start() * SECTOR_BYTES


def survey(medium: Medium, progress: Callable[[int], None] = lambda _: None) -> Survey:
    """Look through a file once. `progress` is told how far it is."""
    looking = _Looking(medium)
    for offset in range(0, medium.size, CHUNK_BYTES):
        looking.chunk(offset)
        progress(min(offset + CHUNK_BYTES, medium.size))
    return looking.result()


class _Looking:
    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._good: Counter[int] = Counter()  # pages whose checksum holds, by size
        self._plausible: Counter[int] = Counter()
        self._headers: list[tuple[int, FileHeader]] = []
        self._logs: list[int] = []
        self._leaves: dict[int, dict[int, int]] = {size: {} for size in SIZES}  # largest rowid -> offset
        self._children: dict[int, list[tuple[int, int]]] = {size: [] for size in SIZES}  # page, its largest rowid

    def chunk(self, offset: int) -> None:
        chunk = self._medium.read(offset, CHUNK_BYTES + OLD_PAGE_BYTES)
        mine = chunk[:CHUNK_BYTES]
        at = mine.find(MAGIC)
        while at >= 0:
            if (offset + at) % SECTOR_BYTES == 0:
                self._header(offset + at, chunk[at : at + HEADER_BYTES])
            at = mine.find(MAGIC, at + 1)
        for magic in MAGICS:
            at = mine.find(magic)
            while at >= 0:
                if (offset + at) % SECTOR_BYTES == 0 and len(self._logs) < MAX_BASES:
                    self._logs.append(offset + at)
                at = mine.find(magic, at + 1)
        for at in candidates(mine):
            for size in SIZES:
                self._page(offset + at, chunk[at : at + size], size)

    def _header(self, offset: int, data: bytes) -> None:
        try:
            header = file_header(data)
        except Malformed:
            return
        if header.page_bytes in SIZES and header.application == APPLICATION_ID and len(self._headers) < MAX_BASES:
            self._headers.append((offset, header))

    def _page(self, offset: int, page: bytes, size: int) -> None:
        if len(page) < size:
            return
        try:
            found = btree_page(page, size)
        except Malformed:
            return
        if not found.cells or found.odd:
            return
        self._plausible[size] += 1
        good = is_good(page)
        self._good[size] += good
        if not good and self._good[size]:
            return  # an image holds files of other programs too
        leaves, children = self._leaves[size], self._children[size]
        try:
            if found.type == TABLE_LEAF and len(leaves) < _REMEMBERED:
                leaves.setdefault(cell(page, found.cells[-1], TABLE_LEAF, size).rowid, offset)
            elif found.type == TABLE_INTERIOR and len(children) < _REMEMBERED:
                for at in found.cells:
                    one = cell(page, at, TABLE_INTERIOR, size)
                    children.append((one.left, one.rowid))
        except Malformed:
            return

    def result(self) -> Survey:
        sizes = [size for size in SIZES if self._good[size] or any(h.page_bytes == size for _, h in self._headers)]
        if not sizes and self._plausible:
            sizes = [max(SIZES, key=lambda size: self._plausible[size])]
        return Survey(tuple(self._layout(size) for size in sizes), tuple(self._logs))

    def _layout(self, size: int) -> Layout:
        headers = [(offset, header) for offset, header in self._headers if header.page_bytes == size]
        votes: Counter[int] = Counter()
        leaves = self._leaves[size]
        for number, rowid in self._children[size]:
            offset = leaves.get(rowid)
            if offset is not None:
                votes[offset - (number - 1) * size] += 1
        for offset, _ in headers:
            votes[offset] += _MIN_VOTES
        bases = [base for base, count in votes.most_common(MAX_BASES) if count >= _MIN_VOTES]
        # Without a vote for anything else a file is taken for a core from its first byte on.
        whole = not bases or bases[0] <= 0
        if not bases:
            bases = [0]
        header = next((header for offset, header in headers if offset == bases[0]), None)
        # Cores have checksums; only a header may say otherwise, and that not against a page that has one.
        reserved = CHECKSUM_BYTES if self._good[size] or header is None else header.reserved
        return Layout(size, reserved, tuple(bases), whole, header)
