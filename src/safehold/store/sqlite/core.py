"""The core on SQLite: `ports.core.CoreStore`.

Invariants:

1. what `commit` returned from is on disk (WAL, synchronous=FULL), with the log position of the same transaction;
2. between begin and commit other connections see nothing of it; a crash leaves all of it or none;
3. after a commit that failed nothing more is read or written through this object: whether the transaction is on
   disk shows when the file is opened anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import apsw
import msgspec

from safehold.model.change import Change
from safehold.model.errors import Damaged, LostBody, OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Base
from safehold.ports.care import CareStore, ChangePlace, PageState
from safehold.ports.core import INTAKE, UNARCHIVED, CoreReads, CoreStore, IntakeFigures, LogPosition, WholeStream
from safehold.ports.disk import Disk
from safehold.store.sqlite import care
from safehold.store.sqlite.apply import Applier
from safehold.store.sqlite.bulk import Entering, StreamEnd, StreamRows
from safehold.store.sqlite.connection import (
    BUSY_TIMEOUT_MS,
    CoreFile,
    Opened,
    close,
    open_reader,
    open_writer,
    set_checkpoints,
)
from safehold.store.sqlite.errors import guarded
from safehold.store.sqlite.pages import RawPages
from safehold.store.sqlite.reads import SqliteReads
from safehold.store.sqlite.rows import INTAKE_ROWS, decode_intake
from safehold.store.sqlite.schema import DEFERRED_INDEXES, KIND_NUMBERS

#: While a new core is filled. Rows come in the order of their keys, so that pages are hardly asked for again.
BULK_CACHE_KIB = 24 << 10
#: While its indexes are built: sorting for one takes as much again, and each page is read once.
INDEX_CACHE_KIB = 16 << 10

_encode_position = msgspec.msgpack.Encoder().encode


class SqliteCore(SqliteReads):
    """The writer. One for each core file; who may open it is for the caller to settle, by a lock."""

    def __init__(self, opened: Opened, file: CoreFile) -> None:
        super().__init__(opened)
        self._file = file
        self._failed = self._filling = False
        self._erased = False  # an erasure is in this transaction, or its traces are still in the WAL
        self._readers: list[SqliteReads] = []
        self._raw: RawPages | None = None
        self._applier = Applier(opened.db)
        self._entering = Entering(opened.db)

    @classmethod
    def open(
        cls,
        path: str,
        *,
        disk: Disk | None = None,
        create: bool = False,
        checksum: bool = True,
        read_only: bool = False,
        older: bool = False,
    ) -> SqliteCore:
        """Open the core at `path` for writing, bringing its schema up to date.

        `disk` puts it on a disk port in place of this machine's (for the simulator: one connection, no readers
        beside it). `checksum` must be as when it was made. `read_only` reads what is committed, whether a writer
        has it open or not; with `older` also a core of an older schema, as far as recovery reads it. Raises
        OperatorError (missing and not `create`, newer, or another program's file), Damaged, OutOfSpace.
        """
        file = CoreFile(path, disk, checksum)
        opened = open_reader(file, older=older) if read_only else open_writer(file, create=create)
        try:
            return _made(opened, file)
        except BaseException:
            close(opened)
            raise

    # -- transactions

    @guarded
    def begin(self) -> None:
        self._check()
        assert not self._moment.open, "a snapshot is open on the writer's connection"
        self._db.execute("BEGIN IMMEDIATE")

    @guarded
    def apply(self, change: Change, frame: int, after_gap: bool = False) -> None:
        assert self._db.in_transaction, "apply without begin"
        self._applier.apply(change, frame, after_gap)

    def next_journal(self) -> int:
        return self._applier.next_journal

    @guarded
    def account_number(self, id_: bytes) -> int:
        assert self._db.in_transaction, "account_number without begin"
        return self._applier.account(id_)

    def stream_maker(self, account: int, kind: Kind, base: Base | None, first_journal: int) -> StreamRows:
        return StreamRows(account, kind, base, first_journal)

    @guarded
    def enter_journal(self, rows: Sequence[tuple[Any, ...]]) -> None:
        assert self._db.in_transaction, "enter_journal without begin"
        self._entering.journal(rows)
        self._applier.skip_to(rows)

    @guarded
    def enter_stream(self, end: StreamEnd) -> None:
        assert self._db.in_transaction, "enter_stream without begin"
        self._entering.end(end)

    @guarded
    def enter_packed(self, rows: bytes) -> None:
        assert self._db.in_transaction, "enter_packed without begin"
        self._applier.skip_to(self._entering.packed(rows))

    @guarded
    def enter_together(self, streams: Sequence[WholeStream]) -> None:
        assert self._db.in_transaction, "enter_together without begin"
        waits = {number for number, figures in self._intakes() if figures.items}
        there: list[tuple[WholeStream, str | None]] = []
        for stream in streams:
            number = self._applier.account(stream.account)
            reason = _reason(stream.kind, stream.held, waits=number in waits)
            if stream.rows:
                there.append((stream, reason))
            else:
                self._hold(number, stream.kind, reason)
        self._applier.go_on_at(self._entering.together(there, self._applier.next_journal))

    def _intakes(self) -> Iterator[tuple[int, IntakeFigures]]:
        """By numbers of accounts, which end in digits."""
        rows: Any = self._db.execute(
            "SELECT name, value FROM meta WHERE name BETWEEN ? AND ?", (f"{INTAKE_ROWS}0", f"{INTAKE_ROWS}:")
        )
        for name, value in rows:
            yield int(name.removeprefix(INTAKE_ROWS)), IntakeFigures(*decode_intake(value))

    @guarded
    def account_numbers(self, ids: Sequence[bytes]) -> dict[bytes, int]:
        assert self._db.in_transaction, "account_numbers without begin"
        return {id_: self._applier.account(id_) for id_ in ids}

    @guarded
    def hold(self, account: bytes, kind: Kind, reason: str | None) -> None:
        assert self._db.in_transaction, "hold without begin"
        number = self._applier.account(account)
        self._hold(number, kind, _reason(kind, reason, waits=self.intake(number).items > 0))

    @guarded
    def hold_back(self, streams: Sequence[tuple[bytes, Kind]], reason: str) -> None:
        assert self._db.in_transaction, "hold_back without begin"
        self._db.executemany(
            "INSERT INTO stream (account, kind, rev, head, held) VALUES (?, ?, 0, zeroblob(32), ?)",
            [(self._applier.account(account), KIND_NUMBERS[kind], reason) for account, kind in streams],
        )

    @guarded
    def release(self, account: bytes, kind: Kind) -> None:
        assert self._db.in_transaction, "release without begin"
        number = self._applier.account(account)
        self._hold(number, kind, None)
        self._applier.forget_intake(number)

    def _hold(self, account: int, kind: Kind, reason: str | None) -> None:
        self._db.execute(
            """
            INSERT INTO stream (account, kind, rev, head, held) VALUES (?, ?, 0, zeroblob(32), ?)
            ON CONFLICT (account, kind) DO UPDATE SET held = excluded.held
            """,
            (account, KIND_NUMBERS[kind], reason),
        )

    @guarded
    def drop_account(self, id_: bytes) -> None:
        """Its bytes are overwritten, and leave the WAL once the transaction is committed and no reader needs them."""
        assert self._db.in_transaction, "drop_account without begin"
        self._applier.drop_account(id_)
        self._erased = True

    def take_dropped_blobs(self) -> list[bytes]:
        """Names of the blobs of accounts that were dropped and committed since the last call: their files may go."""
        found, self._applier.dropped_blobs = self._applier.dropped_blobs, []
        return found

    @guarded
    def set_blobs_swept(self) -> None:
        """The live blobs are those that the journal names, and no others. Dropping an account revokes it."""
        assert self._db.in_transaction, "set_blobs_swept without begin"
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('blobs_swept', 1)")

    @guarded
    def set_log_position(self, position: LogPosition) -> None:
        assert self._db.in_transaction, "set_log_position without begin"
        value = _encode_position(tuple(position))
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('log_position', ?)", (value,))

    @guarded
    def set_recovery_mark(self, mark: str) -> None:
        assert self._db.in_transaction, "set_recovery_mark without begin"
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('recovery_mark', ?)", (mark,))

    @guarded
    def set_end_in_doubt(self, doubt: bytes) -> None:
        assert self._db.in_transaction, "set_end_in_doubt without begin"
        self._db.execute("DELETE FROM meta WHERE name = 'end_in_doubt'")
        if doubt:
            self._db.execute("INSERT INTO meta VALUES ('end_in_doubt', ?)", (doubt,))

    @guarded
    def set_recovery_record(self, record: bytes | None) -> None:
        assert self._db.in_transaction, "set_recovery_record without begin"
        if record is None:
            self._db.execute("DELETE FROM meta WHERE name = 'recovery' OR name GLOB 'recovery/*'")
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('recovery', ?)", (record,))

    @guarded
    def add_recovery_note(self, note: bytes) -> None:
        assert self._db.in_transaction, "add_recovery_note without begin"
        count: Any = self._db.execute("SELECT COUNT(*) FROM meta WHERE name GLOB 'recovery/*'").get
        self._db.execute("INSERT INTO meta VALUES (?, ?)", (f"recovery/{count:012d}", note))

    @guarded
    def set_frame(self, first_journal: int, last_journal: int, frame: int) -> None:
        assert self._db.in_transaction, "set_frame without begin"
        self._db.execute("UPDATE journal SET frame = ? WHERE seq BETWEEN ? AND ?", (frame, first_journal, last_journal))

    @guarded
    def set_frame_after(self, account: bytes, kind: Kind, rev: int, frame: int) -> None:
        assert self._db.in_transaction, "set_frame_after without begin"
        self._db.execute(
            """
            UPDATE journal SET frame = ? WHERE account = (SELECT number FROM account WHERE id = ?)
                AND kind = ? AND rev > ?
            """,
            (frame, account, KIND_NUMBERS[kind], rev),
        )

    @guarded
    def set_frames_upto(self, frame: int) -> None:
        assert self._db.in_transaction, "set_frames_upto without begin"
        self._db.execute("UPDATE journal SET frame = ? WHERE frame > ? AND frame < ?", (frame, frame, UNARCHIVED))

    @guarded
    def set_frame_of(self, account: int, kind: Kind, rev: int, frame: int) -> None:
        assert self._db.in_transaction, "set_frame_of without begin"
        self._db.execute(
            "UPDATE journal SET frame = ? WHERE account = ? AND kind = ? AND rev = ?",
            (frame, account, KIND_NUMBERS[kind], rev),
        )

    @guarded
    def commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except BaseException:
            self._failed = True
            raise
        if self._erased:
            self._empty_wal()

    @guarded
    def rollback(self) -> None:
        """Harmless where no transaction is open. Raises Damaged where even that fails; then close."""
        if self._failed:
            return
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._erased = False
        self._applier.dropped_blobs.clear()
        self._applier.forget()

    def _empty_wal(self) -> None:
        """Bring everything into the database file and empty the WAL; tried again at the next commit if in use."""
        self._db.set_busy_timeout(0)
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._erased = False
        except (apsw.BusyError, apsw.LockedError):
            pass
        finally:
            self._db.set_busy_timeout(BUSY_TIMEOUT_MS)

    def _check(self) -> None:
        if self._failed:
            raise Damaged("a commit of this core failed", where="core", hint="close it and open it again")

    # -- beside transactions

    def reader(self) -> SqliteReads:
        """Another connection; close it when done, or with the core. On a seam this same connection, which is shared."""
        self._check()
        if self._file.disk is not None:
            return _SharedReads(self._opened, self._moment)
        reader = SqliteReads(open_reader(self._file))
        self._readers.append(reader)
        return reader

    # -- its own care (ports.care)

    def page_count(self) -> int:
        return self._pages().count()

    @property
    def page_bytes(self) -> int:
        return self._pages().page_bytes

    @guarded
    def bad_pages(self, first: int, count: int) -> list[int]:
        return self._pages().bad(first, count)

    @guarded
    def last_journal(self) -> int:
        last: Any = self._db.execute("SELECT MAX(seq) FROM journal").get
        return last or 0

    @guarded
    def rotten_rows(self, first: int, last: int, limit: int) -> list[int]:
        return care.rotten_rows(self._db, first, last, limit)

    @guarded
    def place_of(self, lost: LostBody) -> ChangePlace | None:
        return care.place_of(self._db, lost)

    @guarded
    def mend_page(self, number: int) -> PageState:
        self._check()
        state = care.mend_page(self._db, self._pages(), number)
        self._db.release_memory()
        return state

    @guarded
    def mend_change(self, journal: int, change: Change) -> bool:
        self._check()
        return care.mend_change(self._opened, journal, change, self._pages().page_bytes)

    def _pages(self) -> RawPages:
        if self._raw is None:
            self._raw = RawPages(self._file)
        return self._raw

    @guarded
    def bulk(self, on: bool) -> None:
        assert not self._db.in_transaction, "bulk within a transaction"
        db = self._db
        if on:
            for name in DEFERRED_INDEXES:
                db.execute(f"DROP INDEX IF EXISTS {name}")
            db.pragma("cache_size", -BULK_CACHE_KIB)
            # New pages need no place in a rollback journal, and are written once where a WAL would write them twice.
            db.pragma("locking_mode", "exclusive")
            _require_mode(db, "truncate")
            return
        db.pragma("cache_size", -INDEX_CACHE_KIB)
        db.pragma("shrink_memory")
        with db:
            for name, sql in DEFERRED_INDEXES.items():
                db.execute(f"DROP INDEX IF EXISTS {name}")
                db.execute(sql)
        if self._file.disk is None:
            db.pragma("locking_mode", "normal")
        _require_mode(db, "wal")

    @guarded
    def filling(self, on: bool) -> None:
        assert not self._db.in_transaction, "filling within a transaction"
        if on is not self._filling:
            self._filling = on
            set_checkpoints(self._db, rarer=on)

    def abandon(self) -> None:
        """Let go of the file without writing to it any more, as a process that dies does."""
        self._failed = True
        self.close()

    def close(self) -> None:
        """Close the readers and this connection; the WAL is brought into the file, unless a commit failed."""
        for reader in self._readers:
            try:
                reader.close()
            except apsw.ThreadingViolationError:
                continue  # in use by its thread, with which it ends
        self._readers.clear()
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()
        if self._failed:
            with suppress(apsw.ConnectionClosedError):
                self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        super().close()


class _SharedReads(SqliteReads):
    """A reader on the writer's own connection: it ends with it."""

    def close(self) -> None:
        return


def _reason(kind: Kind, reason: str | None, *, waits: bool) -> str | None:
    """That for which a stream is held: one that is whole, for what waits in its account's intake."""
    return INTAKE if waits and reason is None and kind is not Kind.IDENTITY else reason


def _require_mode(db: apsw.Connection, mode: str) -> None:
    found = db.pragma("journal_mode", mode)
    if found != mode:
        raise OperatorError(f"the core's journal cannot be made a {mode} ({found})", hint="see who else has it open")


@guarded
def _made(opened: Opened, file: CoreFile) -> SqliteCore:
    return SqliteCore(opened, file)


_: type[CoreStore] = SqliteCore
___: type[CareStore] = SqliteCore
__: type[CoreReads] = SqliteReads
