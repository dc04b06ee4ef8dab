"""How a change becomes rows: the journal, and the present state derived from it.

Invariants, asserted beneath:

1. a change continues its stream (rev + 1, prev = head), except where a recovery says that revisions are missing;
2. every item points to the journal row of its body, which is never changed or removed while the item lives;
3. what `meta` says of an account's intake is what the items of that prefix in its identity come to;
4. stream.items is the number of the stream's item rows, stream.bytes the sum of their sizes.

What a change costs does not depend on how much is stored, but for RMCOL, which removes the items of its collection.

A verified change is never refused for what it says: after a gap it may concern a collection or item whose making is
lost. Such a collection is kept without a path, not listed, until a later MKCOL of its id gives it one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import apsw
import msgspec

from safehold.content.uid import quick_uid
from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.model.change import EMPTY_PROPS, GENESIS, ID_BYTES, Change, Op
from safehold.model.kinds import HOME_SCORES, Kind
from safehold.ports.core import EMPTY_INTAKE, INTAKE, IntakeFigures
from safehold.store.sqlite.rows import INTAKE_ROWS, decode_intake, encode_intake, intake_item
from safehold.store.sqlite.schema import KIND_NUMBERS, OP_NUMBERS

SYSTEM_ACCOUNT = bytes(ID_BYTES)  # the installation itself: account number 0
PROFILE = "profile"  # the identity item behind the account row
MEMORY_LIMIT = 50_000  # accounts and collections remembered between changes; then forgotten together
UNMADE = 0  # collection.deleted_rev of one whose making is lost

_SCORES = KIND_NUMBERS[Kind.SCORES]
_IDENTITY = KIND_NUMBERS[Kind.IDENTITY]
WITH_UID = ("text/vcard", "text/calendar")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017

JOURNAL = """
    INSERT INTO journal (seq, frame, account, kind, rev, timeline, grp, at, op, collection, name, media, digest, size,
        props_digest, actor, prev, hash, blob, props, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def journal_row(
    seq: int, frame: int, account: int, kind: int, change: Change, collection: int | bytes | None, prev: bytes | None
) -> tuple[Any, ...]:
    """The values of JOURNAL. `prev` is None where it is the hash of the row before in the same stream."""
    return (
        seq,
        frame,
        account,
        kind,
        change.rev,
        change.timeline,
        change.group,
        change.at,
        OP_NUMBERS[change.op],
        collection,
        change.name,
        change.media,
        change.digest,
        change.size,
        change.props_digest,
        change.actor,
        prev,
        change.hash,
        change.blob,
        change.props,
        change.body,
    )


_PUT, _PROPS, _DELETE = OP_NUMBERS[Op.PUT], OP_NUMBERS[Op.PROPS], OP_NUMBERS[Op.DELETE]
_LAST_OF_ITEM = f"""
    SELECT seq, op, props_digest FROM journal INDEXED BY journal_stream
    WHERE account = ? AND kind = ? AND rev < ? AND collection = ? AND name = ? AND op IN ({_PUT}, {_PROPS}, {_DELETE})
    ORDER BY rev DESC LIMIT 1
"""
_INTAKE_ITEM = """
    SELECT i.size, j.blob IS NOT NULL FROM collection c JOIN item i ON i.collection = c.number
    LEFT JOIN journal j ON j.seq = i.journal WHERE c.account = ? AND c.id = ? AND i.name = ?
"""
_ADVANCE = """
    UPDATE stream SET rev = ?1, head = ?2, items = items + ?3, bytes = bytes + ?7
    WHERE account = ?4 AND kind = ?5 AND rev = ?1 - 1 AND head = ?6 RETURNING base_rev
"""
_ADVANCE_ANYHOW = """
    INSERT INTO stream (account, kind, rev, head, items, bytes, missing) VALUES (?4, ?5, ?1, ?2, ?3, ?7, ?6)
    ON CONFLICT (account, kind) DO UPDATE
    SET rev = ?1, head = ?2, items = items + ?3, bytes = bytes + ?7, missing = missing + ?6
"""
_TOUCH_COLLECTION = "UPDATE collection SET rev = ?, head = ?, changed_at = ? WHERE number = ?"
_NEW_ITEM = """
    INSERT INTO item (collection, name, rev, digest, size, media, at, created_at, journal, uid, props_journal, score)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11)
"""
_NEW_BODY = """
    UPDATE item SET rev = ?3, digest = ?4, size = ?5, media = ?6, at = ?7, journal = ?8, props_journal = ?10
    WHERE collection = ?1 AND name = ?2 AND uid IS ?9 AND score IS ?11
"""
_NEW_BODY_AND_KEYS = """
    UPDATE item SET rev = ?3, digest = ?4, size = ?5, media = ?6, at = ?7, journal = ?8, uid = ?9, props_journal = ?10,
        score = ?11
    WHERE collection = ?1 AND name = ?2
"""


class _Profile(msgspec.Struct):
    """Body of the identity item `profile`."""

    name: str = ""
    listed: bool = False


class _Score(msgspec.Struct):
    """Body of a score, as far as it is looked at. `at` is RFC 3339 text."""

    score: int | float
    at: str | None = None


_decode_profile = msgspec.json.Decoder(_Profile).decode
_decode_score = msgspec.json.Decoder(_Score).decode


class _Step(NamedTuple):
    """What a change did: to which collection (its id, where it has no number), and how much more there is of it."""

    collection: int | bytes
    items: int = 0
    bytes: int = 0


class Applier:
    """The one writer of the tables behind `CoreStore.apply`. Used within a transaction, by one thread at a time."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._run: Callable[..., Any] = db.execute
        self._accounts: dict[bytes, int] = {}
        self._collections: dict[tuple[int, bytes], int] = {}
        self._seq = 0
        self.dropped_blobs: list[bytes] = []  # names of blobs of accounts that were dropped
        self._unmade = False  # the step just taken entered a collection whose making is lost
        self._steps: dict[Op, Callable[[int, int, int, Change], _Step]] = {
            Op.PUT: self._put,
            Op.DELETE: self._delete,
            Op.PROPS: self._props,
            Op.REFUSED: self._refused,
            Op.MKCOL: self._mkcol,
            Op.SETCOL: self._setcol,
            Op.RMCOL: self._rmcol,
            Op.GAP: self._refused,
        }
        self.forget()

    def forget(self) -> None:
        """Drop what is remembered; required after a rollback."""
        self._accounts.clear()
        self._collections.clear()
        self._unmade = False
        last: Any = self._run("SELECT MAX(seq) FROM journal").get
        floor: Any = self._run("SELECT value FROM meta WHERE name = 'last_journal'").get
        self._seq = max(last or 0, floor or 0)

    def apply(self, change: Change, frame: int, after_gap: bool) -> None:
        account = self.account(change.account)
        kind = KIND_NUMBERS[change.kind]
        seq = self._seq + 1
        waits = kind == _IDENTITY and change.name.startswith(INTAKE_PREFIX)
        before = self._waiting(account, change) if waits else EMPTY_INTAKE
        step = self._steps[change.op](account, kind, seq, change)
        collection = step.collection
        prev = self._advance(account, kind, change, step, after_gap)
        if self._unmade:
            self._unmade = False
            missing = self._run("SELECT missing FROM stream WHERE account = ? AND kind = ?", (account, kind)).get
            assert missing, f"{change.kind} rev {change.rev}: its collection was never made"
        self._run(JOURNAL, journal_row(seq, frame, account, kind, change, collection, prev))
        self._seq = seq
        if kind == _IDENTITY:
            self._derive_account(account, change)
            if waits:
                self._derive_intake(account, before, self._waiting(account, change))
        elif kind == _SCORES and isinstance(collection, int):
            self._derive_best(account, collection)

    @property
    def next_journal(self) -> int:
        return self._seq + 1

    def skip_to(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """These rows have been put into the journal by other means."""
        if rows:
            assert rows[0][0] > self._seq, "a number in the journal is given once"
            self._seq = rows[-1][0]

    def go_on_at(self, number: int) -> None:
        """The journal has been written up to this number, which is the next one."""
        assert number > self._seq, "a number in the journal is given once"
        self._seq = number - 1

    def account(self, id_: bytes) -> int:
        """The number of an account, given to it at its first change."""
        number = self._accounts.get(id_)
        if number is None:
            if len(self._accounts) + len(self._collections) > MEMORY_LIMIT:
                self._accounts.clear()
                self._collections.clear()
            number = self._run("SELECT number FROM account WHERE id = ?", (id_,)).get
            if number is None:
                self._run("INSERT INTO account (number, id) VALUES (?, ?)", (0 if id_ == SYSTEM_ACCOUNT else None, id_))
                number = self._db.last_insert_rowid()
            self._accounts[id_] = number
        return number

    # -- the stream

    def _advance(self, account: int, kind: int, change: Change, step: _Step, after_gap: bool) -> bytes | None:
        """Move the stream's head to the change. Its prev where the journal must keep it, else None. Invariant 1."""
        base: Any = self._run(
            _ADVANCE, (change.rev, change.hash, step.items, account, kind, change.prev, step.bytes)
        ).get
        if base is not None:  # the change at the base may have been dropped
            return change.prev if base and base == change.rev - 1 else None
        rev, head = self._run("SELECT rev, head FROM stream WHERE account = ? AND kind = ?", (account, kind)).get or (
            0,
            GENESIS,
        )
        missing = change.rev - rev - 1
        where = f"{change.kind} rev {change.rev}"
        assert missing == 0 or (after_gap and missing > 0), f"{where} does not follow rev {rev}"
        assert missing > 0 or change.prev == (head if rev else GENESIS), f"{where} continues another history"
        self._run(_ADVANCE_ANYHOW, (change.rev, change.hash, step.items, account, kind, missing, step.bytes))
        return change.prev if missing else None

    # -- items

    def _put(self, account: int, kind: int, seq: int, change: Change) -> _Step:
        number = self._touch(account, kind, change)
        body = change.body
        uid = score = None
        if body is not None:
            if change.media.startswith(WITH_UID):
                uid = quick_uid(body)
            elif kind == _SCORES:
                score = score_of(body)
        old = self._run(
            "SELECT size, props_journal FROM item WHERE collection = ? AND name = ?", (number, change.name)
        ).get
        props_journal = None if old is None else old[1]
        if change.props is not None:
            props_journal = None if change.props == EMPTY_PROPS else seq
        elif old is None and change.props_digest:
            props_journal = self._props_before(account, kind, number, change)
        values = (
            number,
            change.name,
            change.rev,
            change.digest,
            change.size,
            change.media,
            change.at,
            seq,
            uid,
            props_journal,
            score,
        )
        if old is None:
            self._run(_NEW_ITEM, values)
            return _Step(number, 1, change.size)
        # Most new bodies have the old UID, and then no index has to change.
        self._run(_NEW_BODY, values)
        if self._db.changes() == 0:
            self._run(_NEW_BODY_AND_KEYS, values)
        return _Step(number, 0, change.size - old[0])

    def _props_before(self, account: int, kind: int, number: int, change: Change) -> int | None:
        """Where the properties are that an item keeps whose body before this one is not here, if they are here.

        Costs what the stream holds, and happens after lost or dropped history only.
        """
        last: Any = self._run(_LAST_OF_ITEM, (account, kind, change.rev, number, change.name)).get
        return last[0] if last is not None and last[1:] == (_PROPS, change.props_digest) else None

    def _delete(self, account: int, kind: int, seq: int, change: Change) -> _Step:  # noqa: ARG002
        number = self._touch(account, kind, change)
        gone: Any = self._run(
            "DELETE FROM item WHERE collection = ? AND name = ? RETURNING size", (number, change.name)
        ).get
        return _Step(number) if gone is None else _Step(number, -1, -gone)

    def _props(self, account: int, kind: int, seq: int, change: Change) -> _Step:
        number = self._touch(account, kind, change)
        props_journal = seq if change.props_digest else None
        self._run(
            "UPDATE item SET rev = ?, props_journal = ? WHERE collection = ? AND name = ?",
            (change.rev, props_journal, number, change.name),
        )
        return _Step(number)

    def _refused(self, account: int, kind: int, seq: int, change: Change) -> _Step:  # noqa: ARG002
        """Changes no item; but the collection's rev rises, so that the device that was refused fetches again."""
        number = self._number(account, change.collection)
        if number is None:
            return _Step(change.collection)
        self._run(_TOUCH_COLLECTION, (change.rev, change.hash, change.at, number))
        return _Step(number)

    # -- collections

    def _mkcol(self, account: int, kind: int, seq: int, change: Change) -> _Step:  # noqa: ARG002
        number = self._number(account, change.collection)
        values = (change.name, change.rev, change.hash, change.at, change.props)
        if number is None:
            self._run(
                """
                INSERT INTO collection (id, account, kind, path, rev, head, created_rev, created_at, changed_at, props)
                VALUES (?6, ?7, ?8, ?1, ?2, ?3, ?2, ?4, ?4, ?5)
                """,
                (*values, change.collection, account, kind),
            )
            number = self._db.last_insert_rowid()
            self._collections[account, change.collection] = number
            return _Step(number)
        self._run(
            """
            UPDATE collection SET path = ?1, rev = ?2, head = ?3, created_rev = ?2, created_at = ?4, changed_at = ?4,
                props = ?5, deleted_rev = NULL
            WHERE number = ?6
            """,
            (*values, number),
        )
        return _Step(number)

    def _setcol(self, account: int, kind: int, seq: int, change: Change) -> _Step:  # noqa: ARG002
        number = self._touch(account, kind, change)
        if change.props is not None:
            self._run("UPDATE collection SET props = ? WHERE number = ?", (change.props, number))
        return _Step(number)

    def _rmcol(self, account: int, kind: int, seq: int, change: Change) -> _Step:  # noqa: ARG002
        number = self._touch(account, kind, change)
        size: Any = self._run("SELECT COALESCE(SUM(size), 0) FROM item WHERE collection = ?", (number,)).get
        self._run("DELETE FROM item WHERE collection = ?", (number,))
        items = self._db.changes()
        # Where its making is lost, at least its path is known from here on.
        self._run("UPDATE collection SET deleted_rev = ?, path = ? WHERE number = ?", (change.rev, change.name, number))
        return _Step(number, -items, -size)

    def _number(self, account: int, id_: bytes) -> int | None:
        """The number of a collection, or None where the core does not know it."""
        number = self._collections.get((account, id_))
        if number is None:
            number = self._run("SELECT number FROM collection WHERE account = ? AND id = ?", (account, id_)).get
            if number is not None:
                self._collections[account, id_] = number
        return number

    def _touch(self, account: int, kind: int, change: Change) -> int:
        """The number of the change's collection, whose rev and head are brought up to it."""
        number = self._number(account, change.collection)
        if number is None:
            self._run(
                """
                INSERT INTO collection
                    (id, account, kind, path, rev, head, created_rev, created_at, changed_at, deleted_rev)
                VALUES (?1, ?2, ?3, '', ?4, ?5, ?4, ?6, ?6, ?7)
                """,
                (change.collection, account, kind, change.rev, change.hash, change.at, UNMADE),
            )
            number = self._db.last_insert_rowid()
            self._collections[account, change.collection] = number
            self._unmade = True
        else:
            self._run(_TOUCH_COLLECTION, (change.rev, change.hash, change.at, number))
        return number

    # -- what the journal says about accounts and games

    def _derive_account(self, account: int, change: Change) -> None:
        profile = profile_of(change)
        if profile is not None:
            self._run("UPDATE account SET name = ?, listed = ? WHERE number = ?", (*profile, account))

    def _waiting(self, account: int, change: Change) -> IntakeFigures:
        """What the item that the change names counts for, as it is now."""
        row: Any = self._run(_INTAKE_ITEM, (account, change.collection, change.name)).get
        return EMPTY_INTAKE if row is None else intake_item(*row)

    def _derive_intake(self, account: int, before: IntakeFigures, after: IntakeFigures) -> None:
        name = f"{INTAKE_ROWS}{account}"
        value: Any = self._run("SELECT value FROM meta WHERE name = ?", (name,)).get
        there = EMPTY_INTAKE if value is None else decode_intake(value)
        now = tuple(old - less + more for old, less, more in zip(there, before, after, strict=True))
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, encode_intake(now)))
        if not now[0]:
            self.forget_intake(account)

    def forget_intake(self, account: int) -> None:
        """Of an intake that is empty nothing is kept, once no stream is held for it any more."""
        name = f"{INTAKE_ROWS}{account}"
        value: Any = self._run("SELECT value FROM meta WHERE name = ?", (name,)).get
        if value is None or decode_intake(value)[0]:
            return
        if self._run("SELECT 1 FROM stream WHERE account = ? AND held = ? LIMIT 1", (account, INTAKE)).get is None:
            self._run("DELETE FROM meta WHERE name = ?", (name,))

    def _derive_best(self, account: int, collection: int) -> None:
        path, deleted_rev = self._run("SELECT path, deleted_rev FROM collection WHERE number = ?", (collection,)).get
        game = path.removeprefix(HOME_SCORES + "/")
        best = None
        if deleted_rev is None:
            best = self._run(
                """
                SELECT i.score, i.at, j.body FROM item i JOIN journal j ON j.seq = i.journal
                WHERE i.collection = ? AND i.score IS NOT NULL ORDER BY i.score DESC, i.at LIMIT 1
                """,
                (collection,),
            ).get
        if best is None:
            self._run("DELETE FROM best WHERE account = ? AND game = ?", (account, game))
        else:
            score, at, body = best
            self._run("INSERT OR REPLACE INTO best VALUES (?, ?, ?, ?)", (account, game, score, when(body, at)))

    # -- erasure

    def drop_account(self, id_: bytes) -> None:
        """Remove every row of an account. Costs what the account holds."""
        number = self._run("SELECT number FROM account WHERE id = ?", (id_,)).get
        if number is None:
            return
        self._run("INSERT OR REPLACE INTO meta VALUES ('last_journal', ?)", (self._seq,))
        self._run("DELETE FROM meta WHERE name IN ('blobs_swept', ?)", (f"{INTAKE_ROWS}{number}",))
        blobs = self._run("SELECT DISTINCT blob FROM journal WHERE account = ? AND blob IS NOT NULL", (number,))
        self.dropped_blobs += [name for (name,) in blobs]
        self._run("DELETE FROM item WHERE collection IN (SELECT number FROM collection WHERE account = ?)", (number,))
        for table in ("journal", "collection", "stream", "best"):
            self._run(f"DELETE FROM {table} WHERE account = ?", (number,))
        self._run("DELETE FROM account WHERE number = ?", (number,))
        self.forget()


def profile_of(change: Change) -> tuple[str, bool] | None:
    """Name and whether it is listed, where this change of an identity says anything of them."""
    if change.op is Op.PUT and change.name == PROFILE:
        if change.body is None:
            return None
        try:
            profile = _decode_profile(change.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            profile = _Profile()
        return profile.name, profile.listed
    if change.op is Op.RMCOL or (change.op is Op.DELETE and change.name == PROFILE):
        return "", False
    return None


def score_of(body: bytes) -> int | float | None:
    """The number in a score's body; None where there is none."""
    try:
        score = _decode_score(body).score
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return score if isinstance(score, float) or abs(score) < 1 << 63 else float(score)


def when(body: bytes | None, otherwise: int) -> int:
    """When a score was made (µs): what its body says, else when it came."""
    try:
        text = _decode_score(body or b"").at
        when = None if text is None else datetime.fromisoformat(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return otherwise
    if when is None or when.tzinfo is None:
        return otherwise
    return (when - _EPOCH) // timedelta(microseconds=1)
