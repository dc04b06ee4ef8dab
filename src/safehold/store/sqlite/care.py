"""Rot in the file of a core: found, traced to what it hits, and mended in place where every byte can be proved.

Which damage is mended here, and by what proof:

- a page whose checksum tells the one byte that changed (pages.py);
- a page that nothing uses: it becomes zeros;
- overflow pages of an inline body: SQLite reads the row with verification off; the body may differ from the verified
  one within the first page of its chain that fails, and nowhere after: so the pointers that lead on from it are whole.
  Then the body is written anew, and nothing else is touched;
- a body that is not what its digest says, on pages whose checksums hold.

All else (rows, pages of trees and indexes) is left as it is: the core has to be renewed from the vaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from safehold.model.change import Change
from safehold.model.errors import LostBody
from safehold.model.kinds import RESTORE_ORDER
from safehold.ports.care import ChangePlace, PageState
from safehold.store.sqlite.connection import Opened
from safehold.store.sqlite.errors import is_rot
from safehold.store.sqlite.pages import RawPages, with_one_byte_right
from safehold.store.sqlite.rows import CHANGE_SELECT, change_of
from safehold.store.sqlite.vfs import CHECKSUM_BYTES

#: Bytes of an overflow page that say which page comes next.
_POINTER_BYTES = 4
#: Rows read at once while the rotten ones among them are looked for.
ROWS_AT_ONCE = 1000

#: Reads every column of every row, with all pages of its body.
_READ_ALL = "SELECT COUNT(*), MAX(hash), MAX(props), MAX(body) FROM journal NOT INDEXED WHERE seq BETWEEN ? AND ?"
_PLACE = """
    SELECT a.id, j.kind, j.rev, {} FROM journal j {} JOIN account a ON a.number = j.account
    WHERE j.seq = ?
"""
_BY_ROW = _PLACE.format("j.collection, j.name", "NOT INDEXED")
#: Covered by the index, which is walked: the row itself is not looked at.
_BY_INDEX = _PLACE.format("j.collection, ''", "INDEXED BY journal_stream")
_BY_ITEM = """
    SELECT a.id, c.kind, 0, c.number, i.name, i.digest FROM item i JOIN collection c ON c.number = i.collection
    JOIN account a ON a.number = c.account WHERE i.journal = ?
"""


def rotten_rows(db: apsw.Connection, first: int, last: int, limit: int) -> list[int]:
    found: list[int] = []
    spans = [(first, last)]
    while spans and len(found) < limit:
        start, end = spans.pop()
        try:
            db.execute(_READ_ALL, (start, end)).fetchall()
        except apsw.Error as error:
            if not is_rot(error):
                raise
            if start == end:
                found.append(start)
                continue
            middle = (start + end) // 2
            spans += [(middle + 1, end), (start, middle)]
    return found


def place_of(db: apsw.Connection, lost: LostBody) -> ChangePlace | None:
    """From the row, from the index of streams, from the item: whichever can be read first."""
    for sql in (_BY_ROW, _BY_INDEX, _BY_ITEM):
        try:
            row: Any = db.execute(sql, (lost.journal,)).get
        except apsw.Error as error:
            if not is_rot(error):
                raise
            continue
        if row is not None and (row[2] or lost.digest or len(row) > 5):
            digest = lost.digest or (row[5] if len(row) > 5 else b"")
            path, name = _named(db, row[3], row[4], lost.journal)
            return ChangePlace(row[0], RESTORE_ORDER[row[1]], row[2], digest, path, name)
    return None


def _named(db: apsw.Connection, collection: Any, name: str, journal: int) -> tuple[str, str]:
    """In words, as far as they can be had: for who is to be told."""
    try:
        path: Any = db.execute("SELECT path FROM collection WHERE number = ?", (collection,)).get
        if not name:
            name = db.execute("SELECT name FROM item WHERE collection = ? AND journal = ?", (collection, journal)).get
    except apsw.Error:
        return "", name
    return path or "", name or ""


def mend_page(db: apsw.Connection, raw: RawPages, number: int) -> PageState:
    """The writer's turn: nobody else writes. What was committed is brought into the file first, as far as can be."""
    busy, in_wal, moved = _checkpoint(db)
    page = raw.read(number)
    if not page or raw.is_good(page):
        return PageState.SOUND
    right = with_one_byte_right(page) if len(page) == raw.page_bytes else None
    if right is None and not busy and in_wal == moved and number in raw.free():
        right = raw.empty()
    if right is None:
        return PageState.DAMAGED
    raw.write(number, right)
    return PageState.MENDED if raw.is_good(raw.read(number)) else PageState.DAMAGED


def _checkpoint(db: apsw.Connection) -> tuple[bool, int, int]:
    """Bring the WAL into the file without waiting for anybody: whether it was busy, its frames, those that moved."""
    try:
        in_wal, moved = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except (apsw.BusyError, apsw.LockedError):
        return True, 0, 0
    return False, in_wal, moved


def mend_change(opened: Opened, journal: int, change: Change, page_bytes: int) -> bool:
    """In a transaction of its own. Raises apsw.Error where it cannot be written."""
    db, right = opened.db, change.body
    if right is None:
        return False
    try:
        seen = _row(db, journal)
    except apsw.Error as error:
        if not is_rot(error):
            raise
    else:  # its pages say that they are whole
        if seen is None or seen.hash != change.hash:
            return False
        if seen == change:
            # Perhaps in this connection's memory only, while the file has rotted: so the pages are written from there.
            return _in_transaction(db, lambda: _write_twice(db, journal, change))
        return _in_transaction(db, lambda: _write_row(db, journal, change))
    if not _front_is_whole(db, journal):
        return False
    # Looked for outside of a transaction, which a read that fails may end.
    bad = _first_bad_byte(db, journal, len(right))
    if bad is None:
        return False
    with _unverified(opened):
        return _in_transaction(db, lambda: _write_anew(db, journal, change, bad, page_bytes))


def _in_transaction(db: apsw.Connection, work: Callable[[], bool]) -> bool:
    """What the work says, which is taken back where that is no."""
    db.execute("BEGIN IMMEDIATE")
    try:
        done = work() and db.in_transaction
        if done:
            db.execute("COMMIT")
        return done
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _write_row(db: apsw.Connection, journal: int, change: Change) -> bool:
    db.execute("UPDATE journal SET body = ? WHERE seq = ?", (change.body, journal))
    return _row(db, journal) == change


def _write_anew(db: apsw.Connection, journal: int, change: Change, bad: int, page_bytes: int) -> bool:
    """Write a body anew, of which the page with byte `bad` is the first that is damaged."""
    right = change.body
    assert right is not None
    end = bad + page_bytes - CHECKSUM_BYTES - _POINTER_BYTES
    if bad == 0 and len(right) <= end:
        return False  # where the page that the body begins on ends is not known, nor whether another comes after it
    seen = _row(db, journal)
    if seen is None or seen.hash != change.hash or seen.body is None or len(seen.body) != len(right):
        return False
    # The next page of the chain is the right one where what it holds is right; the last one leads nowhere.
    if seen.body[:bad] != right[:bad] or seen.body[end:] != right[end:]:
        return False
    # So its pages are given back, whose pointers but the last are proved, and taken anew.
    return _write_twice(db, journal, change)


def _write_twice(db: apsw.Connection, journal: int, change: Change) -> bool:
    """First without the body: what is written over by the same bytes SQLite does not write at all."""
    for body in (b"", change.body):
        db.execute("UPDATE journal SET body = ? WHERE seq = ?", (body, journal))
    return _row(db, journal) == change


def _row(db: apsw.Connection, journal: int) -> Change | None:
    row = db.execute(f"{CHANGE_SELECT} WHERE j.seq = ?", (journal,)).get
    return None if row is None else change_of(row)[2]


def _front_is_whole(db: apsw.Connection, journal: int) -> bool:
    """Whether the page that holds the beginning of the row can be read."""
    try:
        return db.execute("SELECT account, kind, rev FROM journal WHERE seq = ?", (journal,)).get is not None
    except apsw.Error as error:
        if not is_rot(error):
            raise
        return False


def _first_bad_byte(db: apsw.Connection, journal: int, size: int) -> int | None:
    """The first byte of a body that lies on a page whose checksum fails: the first byte of that page, but for 0.

    To read a byte SQLite walks the chain of pages up to it.
    """
    low, high = 0, size - 1

    def reads(at: int) -> bool:
        try:
            with db.blob_open("main", "journal", "body", journal, False) as blob:
                blob.seek(at)
                blob.read(1)
        except apsw.Error as error:
            if not is_rot(error):
                raise
            return False
        return True

    if not size or reads(high):
        return None
    if not reads(0):
        return 0
    while low + 1 < high:  # low reads, high does not
        middle = (low + high) // 2
        low, high = (middle, high) if reads(middle) else (low, middle)
    return high


@contextmanager
def _unverified(opened: Opened) -> Iterator[None]:
    """Page checksums are not looked at; nothing that was read so is left in the cache."""
    _verify(opened, on=False)
    try:
        yield
    finally:
        _verify(opened, on=True)
        opened.db.release_memory()


def _verify(opened: Opened, *, on: bool) -> None:
    if opened.seam is not None:
        opened.seam.verifies = on
    else:
        opened.db.execute(f"PRAGMA checksum_verification = {'ON' if on else 'OFF'}").fetchall()
