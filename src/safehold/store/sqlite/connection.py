"""Opening the files of a core: which VFS, and the settings that every connection needs.

The writer's settings: WAL with synchronous=FULL, so that a COMMIT that returned is on disk; a checkpoint about every
16 MB of WAL; page checksums verified at every read of the database file. A reader is a connection of its own, in
the same process or another, that sees committed state only.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import NamedTuple

import apsw

from safehold.model.errors import Damaged, OperatorError, OutOfSpace
from safehold.ports.disk import Disk
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite.errors import in_words
from safehold.store.sqlite.schema import require_core, require_current, restore_indexes, upgrade
from safehold.store.sqlite.vfs import CHECKSUM_BYTES, PAGE_BYTES, SeamVfs, checksum_vfs

BUSY_TIMEOUT_MS = 5_000
CHECKPOINT_BYTES = 16_000_000
RARER = 4  # times as much while much is entered: no more than what a WAL is cut back to
WAL_LIMIT_BYTES = 64 << 20  # a WAL that grew beyond (behind a long read) is cut back to this
WRITER_CACHE_KIB = 64 << 10
READER_CACHE_KIB = 4 << 10
_WAL_CHUNK_BYTES = 1 << 20
_STATEMENTS = 200  # prepared statements kept for each connection


class CoreFile(NamedTuple):
    """Where a core lies. `disk` None is this machine's, through SQLite's own VFS; else one through a SeamVfs."""

    path: str
    disk: Disk | None
    checksum: bool


class Opened(NamedTuple):
    """A connection, and the VFS that must be unregistered after it."""

    db: apsw.Connection
    seam: SeamVfs | None


def open_writer(file: CoreFile, *, create: bool) -> Opened:
    """The writer's connection, with the schema brought up to date.

    Raises OperatorError where there is no core and none is to be made, or it is newer than this program; Damaged
    where the file is no database or fails its checks.
    """
    disk = file.disk or RealDisk()
    existed = disk.exists(file.path) and disk.size(file.path) > 0
    if not existed and not create:
        raise OperatorError(f"there is no core at {file.path}", hint="`safehold recover run` makes one from the vaults")
    _make_certain(disk, f"{file.path}-wal")
    opened = connect(file, apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0))
    try:
        db = opened.db
        if not existed:
            db.pragma("page_size", PAGE_BYTES)
        if file.checksum and not existed:
            db.reserve_bytes(reserve=CHECKSUM_BYTES)
        if opened.seam is not None:
            db.pragma("locking_mode", "exclusive")  # before anything is read: a WAL needs shared memory else
        configure(db, WRITER_CACHE_KIB)
        if db.pragma("journal_mode", "wal") != "wal":
            raise OperatorError(f"{file.path} cannot be used with a write-ahead log", hint="use a local disk")
        db.pragma("synchronous", "full")
        # At all times, not only while an account is erased: splitting a page leaves copies of rows behind else.
        db.pragma("secure_delete", 1)
        set_checkpoints(db)
        db.pragma("journal_size_limit", WAL_LIMIT_BYTES)
        upgrade(db, file.path)
        restore_indexes(db)
        _require_checksums(file, db)
        if not existed:
            disk.sync_folder(os.path.dirname(file.path))
    except BaseException as error:
        _give_up(opened, error)
        raise
    return opened


def set_checkpoints(db: apsw.Connection, *, rarer: bool = False) -> None:
    """How much in the WAL makes a commit bring it into the file.

    `rarer` is for when much is entered: a page that is written again and again is then brought there less often.
    """
    wal_bytes = CHECKPOINT_BYTES * (RARER if rarer else 1)
    db.pragma("wal_autocheckpoint", wal_bytes // db.pragma("page_size"))


def _make_certain(disk: Disk, path: str) -> None:
    """Write a WAL that was left behind once more, and sync it, before its frames are believed.

    Whoever left it may have had a sync fail: then frames can be read (from the cache) that are not on disk, and a
    power loss after a later checkpoint would leave a WAL with a hole, whose first part SQLite would lay over newer
    pages. Raises OutOfSpace, Damaged.
    """
    try:
        if not disk.exists(path) or disk.size(path) == 0:
            return
        file = disk.open(path, write=True)
        try:
            for offset in range(0, file.size(), _WAL_CHUNK_BYTES):
                file.write_at(offset, file.read_at(offset, _WAL_CHUNK_BYTES))
            file.sync()
        finally:
            file.close()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace("the disk of the core is full", hint="free some space; nothing is lost") from error
        raise Damaged(
            f"the core's write-ahead log cannot be read or written: {error.strerror or error}",
            where="core",
            hint="see what is wrong with the disk; `safehold recover plan` says what the vaults can give back",
        ) from error


def open_reader(file: CoreFile, *, older: bool = False) -> Opened:
    """A connection that only reads; the core may be in use by a writer. Not for a seam. Raises as open_writer.

    With `older` one that is yet to be upgraded will do: recovery reads what was there from the first version on.
    """
    assert file.disk is None, "a seam has one connection"
    if not os.path.exists(file.path):
        raise OperatorError(f"there is no core at {file.path}", hint="`safehold recover run` makes one from the vaults")
    opened = connect(file, apsw.SQLITE_OPEN_READONLY)
    try:
        configure(opened.db, READER_CACHE_KIB)
        (require_core if older else require_current)(opened.db, file.path)
        _require_checksums(file, opened.db)
    except BaseException as error:
        _give_up(opened, error)
        raise
    return opened


def close(opened: Opened) -> None:
    """Close, and forget the VFS. Harmless when repeated."""
    try:
        opened.db.close()
    finally:
        if opened.seam is not None:
            opened.seam.unregister()


def connect(file: CoreFile, flags: int) -> Opened:
    """Open a file through its VFS, with nothing set or looked at yet. Raises the errors of errors.in_words."""
    seam = None
    if file.disk is not None:
        seam = SeamVfs(file.disk, checksum=file.checksum)
        vfs = seam.name
    else:
        vfs = checksum_vfs() if file.checksum else "unix"
    try:
        db = apsw.Connection(file.path, flags=flags, vfs=vfs, statementcachesize=_STATEMENTS)
    except apsw.Error as error:
        if seam is not None:
            seam.unregister()
        raise in_words(error) or error from error
    return Opened(db, seam)


def configure(db: apsw.Connection, cache_kib: int) -> None:
    """What every connection of ours sets."""
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    db.pragma("temp_store", "memory")
    db.pragma("cache_size", -cache_kib)
    db.pragma("trusted_schema", 0)
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    # A plan must not depend on the values bound: SQLite would prepare every join with `item`, whose partial indexes it
    # has to rule out, anew for each execution, which takes three times as long as what is then read.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _require_checksums(file: CoreFile, db: apsw.Connection) -> None:
    """A core that was made with checksums must still say so: else a flipped bit in its header would turn them off."""
    has = db.reserve_bytes() == CHECKSUM_BYTES
    if file.checksum and not has:
        raise Damaged(
            f"{file.path}: its header asks for no page checksums", where="core", hint="run `safehold recover plan`"
        )
    if not file.checksum and has:
        raise OperatorError(f"{file.path} was made with page checksums", hint="open it with them")


def _give_up(opened: Opened, error: BaseException) -> None:
    with suppress(apsw.Error):  # it is `error` that says what is wrong
        close(opened)
    if isinstance(error, apsw.Error):
        typed = in_words(error)
        if typed is not None:
            raise typed from error
