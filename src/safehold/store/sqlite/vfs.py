"""The files beneath SQLite: the checksum VFS of a real core, and a VFS over the disk port for a simulated one.

A core in production lies on SQLite's own `unix` VFS under `cksmvfs`, SQLite's checksum VFS: the last eight bytes of
each page of the database file hold a checksum, written with the page and verified when it is read. A core in the
simulator lies on a `SeamVfs`, which does the same in the same format over any `ports.disk.Disk`.

New cores have pages of PAGE_BYTES; older ones have 4 KiB, and stay so. Both VFSes take the size from the file.

What a SeamVfs does not do: shared memory. So a connection on it holds the database alone (locking_mode=EXCLUSIVE,
which keeps the index of the WAL in memory), and its locks are no-ops.
"""

from __future__ import annotations

import errno
import itertools
import os
from struct import Struct
from typing import Any

import apsw
import apsw.sqlite_extra

from safehold.formats.sqlite_sums import factors, sums
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk, File

CHECKSUM_VFS = "cksmvfs"
CHECKSUM_BYTES = 8  # at the end of each page: SQLite's "reserved bytes"
PAGE_BYTES = 2048  # of a new core
OLD_PAGE_BYTES = 4096
_SECTOR_BYTES = 4096  # as `unix` says of every disk
_HEADER = b"SQLite format 3\0"
_PAGE_SIZE = Struct(">16xH")  # in the database header
_RESERVED_OFFSET = 20  # in the database header: bytes reserved at the end of each page

_SIZES = (PAGE_BYTES, OLD_PAGE_BYTES)
_SUMS = Struct("<II")

_serial = itertools.count(1)
#: SQLite keeps no reference to a VFS, and a connection that is dropped unclosed calls it to the last.
_registered: dict[str, apsw.VFS] = {}


def checksum_vfs() -> str:
    """The name of SQLite's checksum VFS, registered over `unix` at the first call; the default VFS stays as it was.

    Raises OperatorError where this build of apsw does not bring it.
    """
    if CHECKSUM_VFS not in apsw.vfs_names():
        scratch = apsw.Connection(":memory:")
        try:
            apsw.sqlite_extra.load(scratch, "cksumvfs")
            apsw.set_default_vfs("unix")
        except (apsw.sqlite_extra.NotAvailable, apsw.Error) as error:
            raise OperatorError(
                f"SQLite's checksum VFS cannot be loaded: {error}",
                hint="install apsw from its wheels on PyPI, which bring it",
            ) from error
        finally:
            scratch.close()
    return CHECKSUM_VFS


def page_checksum(page: bytes) -> bytes:
    """The eight bytes that `cksmvfs` puts at the end of a page (https://sqlite.org/cksumvfs.html).

    See formats/sqlite_sums.py.
    """
    return _SUMS.pack(*sums(page, (len(page) - CHECKSUM_BYTES) // 4))


def page_factors(page_bytes: int) -> list[tuple[int, int]]:
    """For each word of a page of this size, how much a unit added to it adds to the two sums, modulo 2^32."""
    by = factors((page_bytes - CHECKSUM_BYTES) // 4)
    return list(zip(by.first, by.second, strict=True))


class _Passing:
    """Passes errors of a Disk on to SQLite, as this extended result code where it is no lack of space.

    What is no Exception (a simulated crash) goes through to whoever called SQLite; but once only: while SQLite then
    winds up, the dead disk is silent, since an error that nobody can be told would be printed.
    """

    def __init__(self) -> None:
        self._crashed = False
        self._code = apsw.SQLITE_IOERR

    def __call__(self, code: int) -> _Passing:
        self._code = code
        return self

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            code = apsw.SQLITE_FULL if full else self._code
            raise _error(apsw.FullError if full else apsw.IOError, code, str(error)) from error
        if error is None or isinstance(error, Exception):
            return False
        silent, self._crashed = self._crashed, True
        return silent


class SeamVfs(apsw.VFS):
    """SQLite's files on a Disk. `name` is what a connection asks for; call `unregister` when it is closed."""

    def __init__(self, disk: Disk, *, checksum: bool) -> None:
        self.name = f"safehold-seam-{next(_serial)}"
        self._disk = disk
        self._checksum = checksum
        self.verifies = True  # as `PRAGMA checksum_verification` says of `cksmvfs`
        self._passing = _Passing()
        _registered[self.name] = self
        super().__init__(self.name, "unix")

    def unregister(self) -> None:
        """Harmless when repeated."""
        if _registered.pop(self.name, None) is not None:
            super().unregister()

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: ARG002
        with self._passing(apsw.SQLITE_IOERR_ACCESS):
            return self._disk.exists(pathname) and self._disk.size(pathname) > 0
        return False

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self._passing(apsw.SQLITE_IOERR_DELETE):
            if not self._disk.exists(filename):
                raise _error(apsw.IOError, apsw.SQLITE_IOERR_DELETE_NOENT, filename)
            self._disk.remove(filename)
            if syncdir:
                self._disk.sync_folder(os.path.dirname(filename))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> Any:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "temp_store=MEMORY keeps temporary files out of here"
        create = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        main = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        flags[1] = flags[0]
        # As `unix` does: the name of a journal or WAL that is there may be one that a killed process left unsynced.
        beside = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))
        try:
            unsynced = create and (beside or not self._disk.exists(path))
            file = self._disk.open(path, write=True, create=create)
        except OSError as error:
            raise _error(apsw.CantOpenError, apsw.SQLITE_CANTOPEN, str(error)) from error
        return _SeamFile(self, self._disk, file, path, self._passing, checksum=self._checksum and main, fresh=unsynced)


class _SeamFile:
    """One of SQLite's files on a Disk: database, WAL or rollback journal."""

    def __init__(
        self, vfs: SeamVfs, disk: Disk, file: File, path: str, passing: _Passing, *, checksum: bool, fresh: bool
    ) -> None:
        self._vfs = vfs
        self._disk = disk
        self._file = file
        self._path = path
        self._passing = passing
        self._checksum = checksum
        self._checked_bytes = 0  # the size of a page, where the header asks for checksums
        self._fresh = fresh  # the name is not synced yet

    def xRead(self, amount: int, offset: int) -> bytes:
        data = b""
        with self._passing(apsw.SQLITE_IOERR_READ):
            data = self._file.read_at(offset, amount)
        if self._checksum and len(data) == amount:
            self._look(data, offset)
            checked = amount == self._checked_bytes and self._vfs.verifies
            if checked and data[-CHECKSUM_BYTES:] != page_checksum(data):
                raise _error(apsw.IOError, apsw.SQLITE_IOERR_DATA, f"{self._path}: checksum fault at byte {offset}")
        return data

    def xWrite(self, data: Any, offset: int) -> None:
        page = bytes(data)
        if self._checksum:
            self._look(page, offset)
            if len(page) == self._checked_bytes:
                page = page[:-CHECKSUM_BYTES] + page_checksum(page)
        with self._passing(apsw.SQLITE_IOERR_WRITE):
            self._file.write_at(offset, page)

    def _look(self, data: bytes, offset: int) -> None:
        if offset == 0 and len(data) >= 100 and data.startswith(_HEADER):
            size = _PAGE_SIZE.unpack_from(data)[0]
            asked = data[_RESERVED_OFFSET] == CHECKSUM_BYTES and size in _SIZES
            self._checked_bytes = size if asked else 0

    def xTruncate(self, newsize: int) -> None:
        with self._passing(apsw.SQLITE_IOERR_TRUNCATE):
            self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: ARG002
        with self._passing(apsw.SQLITE_IOERR_FSYNC):
            self._file.sync()
            if self._fresh:
                self._disk.sync_folder(os.path.dirname(self._path))
                self._fresh = False

    def xFileSize(self) -> int:
        with self._passing(apsw.SQLITE_IOERR_FSTAT):
            return self._file.size()
        return 0

    def xClose(self) -> None:
        self._file.close()

    def xLock(self, level: int) -> None:
        """One connection only: nothing to lock."""

    def xUnlock(self, level: int) -> None:
        """One connection only: nothing to unlock."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xSectorSize(self) -> int:
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        # As `unix` says of every disk: a torn write harms no byte outside of what was written.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: ARG002
        return False


def _error(kind: type[apsw.Error], code: int, text: str) -> apsw.Error:
    """An error that reaches SQLite as this extended result code."""
    error = kind(text)
    setattr(error, "extendedresult", code)  # noqa: B010  (the type stubs of apsw leave it out)
    return error
