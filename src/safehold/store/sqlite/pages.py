"""Pages of the database file as they lie on the disk, past SQLite: checked, and put right where that can be proved.

Each page ends in a checksum of 64 bits (vfs.py). That finds any damage, and more: its two sums are linear in the words
of the page, so that a change of one byte leaves differences from which place and value of that byte follow. A page that
agrees with its checksum after one byte was changed, in one way only, is the page that was written: that some other
damage looks like this by chance has a likelihood of about one in 10^13. Of the highest byte of a word the place cannot
always be told, for factors that are alike modulo 256 come back every 192 double words: such a page is left alone.

The file is opened through SQLite's own `unix` VFS. A descriptor of our own, once closed, would drop every lock that
SQLite holds on the file in this process (POSIX advisory locks belong to the process).
"""

from __future__ import annotations

from functools import cache

import apsw

from safehold.ports.disk import File
from safehold.store.sqlite.connection import CoreFile
from safehold.store.sqlite.vfs import CHECKSUM_BYTES, PAGE_BYTES, checksum_vfs, page_checksum, page_factors

HEADER_BYTES = 100
_PAGES_AT_ONCE = 128
_WORD = 0xFFFFFFFF
#: In the database header, big-endian, of four bytes each: the first page of the list of free pages.
_FREE_TRUNK = 32


class RawPages:
    """The file of a core. For one thread at a time; lock out whoever writes it before you write."""

    def __init__(self, file: CoreFile) -> None:
        """Raises apsw.Error, OSError."""
        self._file: File | None = None
        self._vfs_file: apsw.VFSFile | None = None
        checksum_vfs()
        self._checker = apsw.Connection(":memory:")
        try:
            if file.disk is not None:
                self._file = file.disk.open(file.path, write=True)
            else:
                flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE
                self._vfs_file = apsw.VFSFile("unix", file.path, [flags, 0])
            header = self._read(0, HEADER_BYTES)
        except BaseException:
            self.close()
            raise
        size = int.from_bytes(header[16:18], "big")
        self.page_bytes = size if size in (PAGE_BYTES, 2 * PAGE_BYTES) else PAGE_BYTES

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._vfs_file is not None:
            self._vfs_file.xClose()
        self._file = self._vfs_file = None
        self._checker.close()

    def count(self) -> int:
        size = self._file.size() if self._file is not None else self._real.xFileSize()
        return size // self.page_bytes

    def read(self, number: int) -> bytes:
        """A page; short where the file has been cut back meanwhile."""
        return self._read((number - 1) * self.page_bytes, self.page_bytes)

    def write(self, number: int, page: bytes) -> None:
        """Synced when this returns."""
        assert len(page) == self.page_bytes
        offset = (number - 1) * self.page_bytes
        if self._file is not None:
            self._file.write_at(offset, page)
            self._file.sync()
        else:
            self._real.xWrite(page, offset)
            self._real.xSync(apsw.SQLITE_SYNC_FULL)

    def is_good(self, page: bytes) -> bool:
        """Whether the checksum at its end is that of the rest."""
        if len(page) != self.page_bytes:
            return False
        return bool(self._checker.execute("SELECT verify_checksum(?)", (page,)).get)

    def bad(self, first: int, count: int) -> list[int]:
        """Numbers of those of `count` pages from `first` on whose checksum does not match."""
        found: list[int] = []
        size = self.page_bytes
        last = min(first + count - 1, self.count())
        for start in range(first, last + 1, _PAGES_AT_ONCE):
            many = min(_PAGES_AT_ONCE, last + 1 - start)
            data = self._read((start - 1) * size, many * size)
            for place in range(len(data) // size):
                if not self.is_good(data[place * size : (place + 1) * size]):
                    found.append(start + place)
        return found

    def free(self) -> set[int]:
        """Pages that nothing uses, as the list of free pages says; none of those after a page of it that is damaged.

        To be trusted only while everything that was committed lies in the file itself.
        """
        found: set[int] = set()
        header = self.read(1)
        if not self.is_good(header):
            return found
        trunk = int.from_bytes(header[_FREE_TRUNK : _FREE_TRUNK + 4], "big")
        seen: set[int] = set()
        while 0 < trunk <= self.count() and trunk not in seen:
            seen.add(trunk)
            page = self.read(trunk)
            if not self.is_good(page):
                break
            leaves = int.from_bytes(page[4:8], "big")
            if leaves > self.page_bytes // 4 - 2:
                break
            found.update(int.from_bytes(page[8 + 4 * n : 12 + 4 * n], "big") for n in range(leaves))
            trunk = int.from_bytes(page[:4], "big")
        return found - seen

    def empty(self) -> bytes:
        """A page of zeros, with its checksum."""
        return bytes(self.page_bytes)[:-CHECKSUM_BYTES] + page_checksum(bytes(self.page_bytes))

    @property
    def _real(self) -> apsw.VFSFile:
        assert self._vfs_file is not None
        return self._vfs_file

    def _read(self, offset: int, count: int) -> bytes:
        if self._file is not None:
            return self._file.read_at(offset, count)
        return self._real.xRead(count, offset)


@cache
def _checker() -> apsw.Connection:
    checksum_vfs()
    return apsw.Connection(":memory:")


def is_good(page: bytes) -> bool:
    """Whether a page bears the checksum of the rest of it: by SQLite's own sums, forty times as fast as ours."""
    return bool(_checker().execute("SELECT verify_checksum(?)", (page,)).get)


def with_one_byte_right(page: bytes) -> bytes | None:
    """The page that was written, where one byte of it has changed since; None where that is not so."""
    stored, wanted = page[-CHECKSUM_BYTES:], page_checksum(page)
    found = []
    if sum(a != b for a, b in zip(stored, wanted, strict=True)) == 1:
        found.append(page[:-CHECKSUM_BYTES] + wanted)
    differences = [
        int.from_bytes(stored[at : at + 4], "little") - int.from_bytes(wanted[at : at + 4], "little") & _WORD
        for at in (0, 4)
    ]
    for place, factors in enumerate(page_factors(len(page))):
        odd = 0 if factors[0] & 1 else 1
        if not factors[odd] & 1:  # does not happen: neighbours in such a row have no factor in common
            continue
        moved = differences[odd] * pow(factors[odd], -1, 1 << 32) & _WORD
        if not moved or moved * factors[1 - odd] & _WORD != differences[1 - odd]:
            continue
        old = int.from_bytes(page[4 * place : 4 * place + 4], "little")
        new = old + moved & _WORD
        if sum(byte != 0 for byte in (old ^ new).to_bytes(4, "little")) == 1:
            found.append(page[: 4 * place] + new.to_bytes(4, "little") + page[4 * place + 4 :])
    return found[0] if len(found) == 1 and page_checksum(found[0]) == found[0][-CHECKSUM_BYTES:] else None
