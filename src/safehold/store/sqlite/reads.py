"""What the core gives to read: `ports.core.CoreReads` on one connection.

`Cursor.get` of apsw gives the value, the row or the list of rows, whichever is the least that holds the result: it is
used where there is one row at most.

A collection that is handed in counts by its numbers and kind: what else it says may be older than the core.

Long, as the port is wide: one class, each of whose methods is a query and the rows that come of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from operator import itemgetter
from typing import Any

import apsw
import msgspec

from safehold.model.change import GENESIS, Change, Op, parse_props
from safehold.model.errors import Damaged, Held
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import PATH_IDENTITY, RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD, Base, Head
from safehold.ports.care import BodySource
from safehold.ports.core import (
    EMPTY_INTAKE,
    EMPTY_LOG,
    INTAKE,
    Bodiless,
    CoreReads,
    EnteredCollection,
    IntakeFigures,
    JournalSum,
    LogPosition,
    PastCollection,
    PastItem,
    Removal,
    Removed,
    RunRow,
    RunSpan,
    Standing,
    Stored,
    StreamFigures,
    Touched,
    Version,
)
from safehold.store.sqlite import bodies, outgoing, past
from safehold.store.sqlite.connection import Opened, close
from safehold.store.sqlite.errors import guarded, guarded_iterator
from safehold.store.sqlite.rows import (
    ACCOUNT_COLUMNS,
    CHANGE_SELECT,
    COLLECTION_COLUMNS,
    INTAKE_ROWS,
    ITEM_COLUMNS,
    ITEM_COLUMNS_I,
    account_of,
    change_of,
    collection_of,
    decode_intake,
)
from safehold.store.sqlite.schema import BASES_SINCE, BYTES_SINCE, KIND_NUMBERS, OP_NUMBERS, version

#: Bodies read together by items_with_bodies; between two chunks no read is open.
BODIES_CHUNK = 128
#: What no name under a prefix comes after.
_LAST = "\U0010ffff" * 4
_LAST_JOURNAL = (1 << 63) - 1
#: Changes that are summed at a time.
_SUMMED_AT_ONCE = 10_000

_IDENTITY = KIND_NUMBERS[Kind.IDENTITY]

_first = itemgetter(0)
_encode_names = msgspec.json.encode
_decode_position = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode

_SUMS = """
    SELECT a.id, j.kind, j.count, j.last, j.stated, j.inline FROM account a JOIN (
        SELECT account, kind, COUNT(*) AS count, MAX(rev) AS last, SUM(size) AS stated,
            COALESCE(SUM(LENGTH(body)), 0) AS inline
        FROM journal NOT INDEXED WHERE seq BETWEEN ? AND ? GROUP BY account, kind
    ) j ON j.account = a.number
"""
_BODY_OF = """
    SELECT j.body FROM collection c JOIN item i ON i.collection = c.number JOIN journal j ON j.seq = i.journal
    WHERE c.account = ? AND c.path = ? AND c.deleted_rev IS NULL AND i.name = ?
"""
_BODIES_OF = """
    SELECT i.name, j.body FROM collection c JOIN item i ON i.collection = c.number JOIN journal j ON j.seq = i.journal
    WHERE c.account = ? AND c.path = ? AND c.deleted_rev IS NULL AND i.name >= ? AND i.name < ? ORDER BY i.name
"""
_IDENTITY_ITEMS = f"""
    SELECT {ITEM_COLUMNS_I} FROM collection c JOIN item i ON i.collection = c.number
    WHERE c.account = ? AND c.path = ? AND c.deleted_rev IS NULL AND i.name >= ? AND i.name < ? ORDER BY i.name
"""
_COLLECTION = f"SELECT {COLLECTION_COLUMNS} FROM collection WHERE account = ? AND path = ? AND deleted_rev IS NULL"
_COLLECTIONS = f"""
    SELECT {COLLECTION_COLUMNS} FROM collection
    WHERE account = ? AND path >= ? AND path < ? AND deleted_rev IS NULL ORDER BY path
"""
_ITEM = f"SELECT {ITEM_COLUMNS} FROM item WHERE collection = ? AND name = ?"
#: By name where the name tells the UID, else by the index of those others. That is named, because without statistics
#: SQLite expects a collection to be small and walks it; and its condition repeated, or SQLite may not use it.
_ITEM_BY_UID = f"""
    SELECT {ITEM_COLUMNS} FROM item
    WHERE collection = ?1 AND name IN (?2 || '.vcf', ?2 || '.ics') AND uid = ?2
    UNION ALL
    SELECT {ITEM_COLUMNS} FROM item INDEXED BY item_uid
    WHERE collection = ?1 AND uid = ?2 AND name <> uid || '.vcf' AND name <> uid || '.ics'
"""
_ITEMS = f"SELECT {ITEM_COLUMNS} FROM item WHERE collection = ? ORDER BY name LIMIT ?"
#: A fraction of the cost of a statement for each name. CROSS JOIN keeps SQLite from walking the collection instead.
_ITEMS_NAMED = f"""
    SELECT {ITEM_COLUMNS_I} FROM json_each(?) n
    CROSS JOIN item i ON i.collection = ? AND i.name = n.value ORDER BY n.key
"""
_ITEMS_WITH_BLOBS = f"""
    SELECT c.path, j.blob, {ITEM_COLUMNS_I} FROM collection c JOIN item i ON i.collection = c.number
    JOIN journal j ON j.seq = i.journal
    WHERE c.account = ? AND c.kind = ? AND c.deleted_rev IS NULL AND j.blob IS NOT NULL ORDER BY c.path, i.name
"""
_GHOST_ITEMS = f"""
    SELECT c.path, {ITEM_COLUMNS_I} FROM collection c JOIN item i ON i.collection = c.number
    JOIN journal j ON j.seq = i.journal
    WHERE c.account = ? AND c.kind = ? AND c.deleted_rev IS NULL AND j.blob IS NULL AND j.body IS NULL
        AND LENGTH(j.digest) > 0 ORDER BY c.path, i.name
"""
_BODILESS = f"""
    SELECT kind, rev, op, props FROM journal WHERE account = ? AND (
        (body IS NULL AND blob IS NULL AND LENGTH(digest) > 0) OR op = {OP_NUMBERS[Op.GAP]}
    ) ORDER BY kind, rev
"""
_ITEM_OPS = ", ".join(str(OP_NUMBERS[op]) for op in (Op.PUT, Op.PROPS, Op.DELETE, Op.REFUSED))
#: Per name its last rev, or the rev of its last DELETE where it does not live: a refused write that came after the
#: DELETE must not carry it past the end of a page. What neither lives nor was deleted since drops out.
_TOUCHED = f"""
    SELECT t.name, CASE WHEN i.name IS NULL THEN t.deleted ELSE t.last END AS told, {ITEM_COLUMNS_I} FROM (
        SELECT j.name AS name, MAX(j.rev) AS last, MAX(CASE j.op WHEN {OP_NUMBERS[Op.DELETE]} THEN j.rev END) AS deleted
        FROM journal j
        WHERE j.account = ?4 AND j.kind = ?5 AND j.rev > ?2 AND j.collection = ?1 AND j.op IN ({_ITEM_OPS})
        GROUP BY j.name
    ) t LEFT JOIN item i ON i.collection = ?1 AND i.name = t.name
    WHERE i.name IS NOT NULL OR t.deleted IS NOT NULL ORDER BY told LIMIT ?3
"""


_STANDING = """
    SELECT a.number, s.held, s.rev, s.head, s.rev - s.missing, s.items, s.bytes
    FROM account a LEFT JOIN stream s ON s.account = a.number AND s.kind = ?2 WHERE a.id = ?1
"""
_ITEMS_MADE = """
    SELECT collection, name, digest, size, rev, CASE WHEN props_journal IS NULL THEN NULL ELSE (
        SELECT props FROM journal WHERE seq = props_journal
    ) END FROM item WHERE collection BETWEEN ? AND ? ORDER BY collection, name
"""
_NAMES_TOLD = f"""
    SELECT {", ".join(f"a.{column}" for column in ACCOUNT_COLUMNS.split(", "))}, (
        SELECT j.body FROM collection c JOIN item i ON i.collection = c.number JOIN journal j ON j.seq = i.journal
        WHERE c.account = a.number AND c.path = ? AND c.deleted_rev IS NULL AND i.name = 'profile'
        ORDER BY c.number DESC LIMIT 1
    ) FROM account a WHERE a.number <> 0 ORDER BY a.number
"""
_BASE = "base_timeline, base_rev, base_head, base_root, base_at"


class Moment:
    """The read transaction of a connection, entered any number of times at once."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._depth = 0
        self._opened = False

    @property
    def open(self) -> bool:
        return self._opened

    def enter(self) -> None:
        if self._depth == 0 and not self._db.in_transaction:
            self._db.execute("BEGIN")
            self._opened = True
        self._depth += 1

    def leave(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._opened:
            self._opened = False
            if self._db.in_transaction:
                self._db.execute("COMMIT")


class _Snapshot:
    def __init__(self, reads: SqliteReads, moment: Moment) -> None:
        self._reads = reads
        self._moment = moment

    def __enter__(self) -> CoreReads:
        self._moment.enter()
        return self._reads

    def __exit__(self, *exc: object) -> None:
        self._moment.leave()


class SqliteReads:
    """CoreReads on one connection, for one thread at a time."""

    def __init__(self, opened: Opened, moment: Moment | None = None) -> None:
        self._opened = opened
        self._db = opened.db
        self._moment = moment or Moment(opened.db)
        #: Where bodies come from that cannot be read here; None: what is damaged is given as it is, or raises Damaged.
        self.source: BodySource | None = None
        #: Told of every read or write that met damage in the file.
        self.on_damage: Callable[[Damaged], None] | None = None

    def snapshot(self) -> _Snapshot:
        return _Snapshot(self, self._moment)

    @guarded
    def close(self) -> None:
        """Close the connection; harmless when repeated. What was committed is on disk, whatever this raises."""
        close(self._opened)

    # -- accounts and their secrets

    @guarded
    def accounts(self) -> list[Account]:
        """Sorted by name. One whose profile is not here (yet) has the name ""."""
        rows = self._db.execute(f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE number <> 0 ORDER BY name")
        return [account_of(row) for row in rows]

    @guarded
    def account_named(self, name: str) -> Account | None:
        """Raises Held where two bear the name: some change of theirs is not back yet."""
        if not name:
            return None
        rows = self._db.execute(
            f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE name = ? AND name <> ''", (name,)
        ).fetchall()
        if len(rows) > 1:
            raise Held(f"two accounts bear the name {name} until all their changes are back")
        return account_of(rows[0]) if rows else None

    @guarded
    def nameless(self, limit: int) -> list[Account]:
        rows = self._db.execute(
            f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE name = '' AND number <> 0 ORDER BY number LIMIT ?", (limit,)
        )
        return [account_of(row) for row in rows]

    @guarded
    def account_by_id(self, id_: bytes) -> Account | None:
        row = self._db.execute(f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE id = ?", (id_,)).get
        return None if row is None else account_of(row)

    @guarded
    def secret(self, account: int, name: str) -> bytes | None:
        if self.source is not None:
            return bodies.secret(self._db, self.source, account, name)
        rows: Any = self._db.execute(_BODY_OF, (account, PATH_IDENTITY, name)).fetchall()
        return rows[-1][0] if rows else None

    @guarded
    def secrets(self, account: int, prefix: str) -> list[tuple[str, bytes]]:
        if self.source is not None:
            return bodies.secrets(self._db, self.source, account, prefix, prefix + _LAST)
        rows: Any = self._db.execute(_BODIES_OF, (account, PATH_IDENTITY, prefix, prefix + _LAST))
        return [(name, body) for name, body in rows if body is not None]

    @guarded
    def secret_items(self, account: int, prefix: str) -> list[Item]:
        rows: Any = self._db.execute(_IDENTITY_ITEMS, (account, PATH_IDENTITY, prefix, prefix + _LAST))
        return list(starmap(Item, rows))

    @guarded
    def intake(self, account: int) -> IntakeFigures:
        value: Any = self._db.execute("SELECT value FROM meta WHERE name = ?", (f"{INTAKE_ROWS}{account}",)).get
        return EMPTY_INTAKE if value is None else IntakeFigures(*decode_intake(value))

    @guarded
    def intakes(self) -> dict[bytes, IntakeFigures]:
        rows: Any = self._db.execute(
            """
            SELECT a.id, m.value FROM meta m JOIN account a ON a.number = CAST(SUBSTR(m.name, ?1) AS INTEGER)
            WHERE m.name >= ?2 AND m.name < ?3 ORDER BY a.id
            """,
            (len(INTAKE_ROWS) + 1, INTAKE_ROWS, INTAKE_ROWS + _LAST),
        )
        return {id_: IntakeFigures(*decode_intake(value)) for id_, value in rows}

    @guarded
    def entering(self, limit: int) -> list[bytes]:
        rows: Any = self._db.execute(
            """
            SELECT DISTINCT a.id FROM meta m JOIN account a ON a.number = CAST(SUBSTR(m.name, ?1) AS INTEGER)
            JOIN stream s ON s.account = a.number
            WHERE m.name >= ?2 AND m.name < ?3 AND s.held = ?4 LIMIT ?5
            """,
            (len(INTAKE_ROWS) + 1, INTAKE_ROWS, INTAKE_ROWS + _LAST, INTAKE, limit),
        )
        return [id_ for (id_,) in rows]

    # -- streams

    @guarded
    def head(self, account: int, kind: Kind) -> Head:
        row: Any = self._db.execute(
            "SELECT rev, head FROM stream WHERE account = ? AND kind = ?", (account, KIND_NUMBERS[kind])
        ).get
        return EMPTY_HEAD if row is None else Head(*row)

    @guarded
    def held(self, account: int, kind: Kind) -> str | None:
        reason: Any = self._db.execute(
            "SELECT held FROM stream WHERE account = ? AND kind = ?", (account, KIND_NUMBERS[kind])
        ).get
        return reason  # type: ignore[no-any-return]

    @guarded
    def held_for(self, reason: str) -> int:
        count: Any = self._db.execute("SELECT COUNT(*) FROM stream WHERE held = ?", (reason,)).get
        return int(count)

    @guarded
    def held_streams(self, reason: str) -> list[tuple[bytes, Kind]]:
        rows: Any = self._db.execute(
            "SELECT a.id, s.kind FROM stream s JOIN account a ON a.number = s.account WHERE s.held = ?", (reason,)
        )
        return [(id_, RESTORE_ORDER[kind]) for id_, kind in rows]

    @guarded
    def hash_at(self, account: int, kind: Kind, rev: int) -> bytes | None:
        """GENESIS for rev 0. The last rev of a gap is told by the change after it."""
        if rev == 0:
            return GENESIS
        sql = "SELECT {} FROM journal WHERE account = ? AND kind = ? AND rev = ?"
        number = KIND_NUMBERS[kind]
        found: Any = self._db.execute(sql.format("hash"), (account, number, rev)).get
        if found is None:
            found = self._db.execute(sql.format("prev"), (account, number, rev + 1)).get
        if found is None:
            base = self.base(account, kind)
            found = base.head if base is not None and base.rev == rev else None
        return found  # type: ignore[no-any-return]

    @guarded
    def figures(self, account: int, kind: Kind) -> StreamFigures:
        size = "bytes"
        if version(self._db) < BYTES_SINCE:
            size = (
                "(SELECT COALESCE(SUM(i.size), 0) FROM item i JOIN collection c ON c.number = i.collection"
                " WHERE c.account = stream.account AND c.kind = stream.kind)"
            )
        row: Any = self._db.execute(
            f"SELECT rev - missing, items, {size} FROM stream WHERE account = ? AND kind = ?",
            (account, KIND_NUMBERS[kind]),
        ).get
        return StreamFigures(*(row or (0, 0, 0)))

    @guarded
    def stream_ends(self) -> dict[tuple[bytes, Kind], int]:
        rows: Any = self._db.execute(
            "SELECT a.id, s.kind, s.rev FROM stream s JOIN account a ON a.number = s.account WHERE s.rev > 0"
        )
        return {(id_, RESTORE_ORDER[kind]): rev for id_, kind, rev in rows}

    @guarded
    def journal_sums(self, first: int = 1, last: int | None = None) -> dict[tuple[bytes, Kind], JournalSum]:
        """In the order of the table, so that each of its pages is read once, and a piece of it at a time: whatever is
        grouped goes through a sorter, bodies and all.
        """
        sums: dict[tuple[bytes, Kind], JournalSum] = {}
        with self.snapshot():
            bounds: Any = self._db.execute(
                "SELECT MIN(seq), MAX(seq) FROM journal WHERE seq BETWEEN ? AND ?",
                (first, _LAST_JOURNAL if last is None else last),
            ).get
            if bounds[0] is None:
                return sums
            for start in range(bounds[0], bounds[1] + 1, _SUMMED_AT_ONCE):
                rows: Any = self._db.execute(_SUMS, (start, min(start + _SUMMED_AT_ONCE - 1, bounds[1])))
                for id_, kind, *found in rows:
                    key, one = (id_, RESTORE_ORDER[kind]), JournalSum(*found)
                    before = sums.get(key)
                    sums[key] = one if before is None else before.with_more(one)
        return sums

    @guarded
    def standings(self, streams: Sequence[tuple[bytes, Kind]]) -> list[Standing | None]:
        found: list[Standing | None] = []
        for account, kind in streams:
            row: Any = self._db.execute(_STANDING, (account, KIND_NUMBERS[kind])).get
            if row is None:
                found.append(None)
            elif row[2] is None:
                found.append(Standing(row[0], None, EMPTY_HEAD, StreamFigures(0, 0, 0)))
            else:
                number, held, rev, head, changes, items, size = row
                found.append(Standing(number, held, Head(rev, head), StreamFigures(changes, items, size)))
        return found

    @guarded_iterator
    def collections_made(self, first: int, last: int) -> Iterator[EnteredCollection]:
        made: list[Any] = self._db.execute(
            "SELECT number, account, kind, id, path, props FROM collection "
            "WHERE number BETWEEN ? AND ? AND deleted_rev IS NULL ORDER BY number",
            (first, last),
        ).fetchall()
        items: dict[int, list[Any]] = {row[0]: [] for row in made}
        for row in self._db.execute(_ITEMS_MADE, (first, last)):
            there: Any = items.get(row[0])
            if there is not None:
                there.append(row[1:])
        for number, account, kind, id_, path, props in made:
            yield EnteredCollection(account, RESTORE_ORDER[kind], id_, path, props, items[number])

    @guarded
    def names_told(self) -> list[tuple[Account, bytes | None]]:
        rows: Any = self._db.execute(_NAMES_TOLD, (PATH_IDENTITY,))
        return [(account_of(row), row[4]) for row in rows]

    @guarded
    def base(self, account: int, kind: Kind) -> Base | None:
        if version(self._db) < BASES_SINCE:
            return None
        row: Any = self._db.execute(
            f"SELECT {_BASE} FROM stream WHERE account = ? AND kind = ? AND base_rev > 0", (account, KIND_NUMBERS[kind])
        ).get
        return None if row is None else Base(*row)

    @guarded
    def bases(self) -> dict[tuple[bytes, Kind], Base]:
        if version(self._db) < BASES_SINCE:
            return {}
        rows: Any = self._db.execute(
            f"SELECT a.id, s.kind, {_BASE} FROM stream s JOIN account a ON a.number = s.account WHERE s.base_rev > 0"
        )
        return {(id_, RESTORE_ORDER[kind]): Base(*base) for id_, kind, *base in rows}

    # -- collections and items

    @guarded
    def collection(self, account: int, path: str) -> Collection | None:
        """Where two bear the path (a change that removes the older one is not back yet), the one entered last."""
        rows = self._db.execute(_COLLECTION, (account, path)).fetchall()
        return collection_of(rows[-1]) if rows else None

    @guarded
    def collections(self, account: int, prefix: str = "") -> list[Collection]:
        rows = self._db.execute(_COLLECTIONS, (account, prefix, prefix + _LAST))
        return [collection_of(row) for row in rows]

    @guarded
    def item(self, collection: Collection, name: str) -> Item | None:
        row: Any = self._db.execute(_ITEM, (collection.number, name)).get
        return None if row is None else Item(*row)

    @guarded
    def item_by_uid(self, collection: Collection, uid: str) -> Item | None:
        """Where several bear it (plain files may), the one whose change is the oldest."""
        rows: Any = self._db.execute(_ITEM_BY_UID, (collection.number, uid)).fetchall()
        return min(starmap(Item, rows), key=lambda item: item.rev) if rows else None

    @guarded
    def items(self, collection: Collection, limit: int | None = None) -> list[Item]:
        rows: Any = self._db.execute(_ITEMS, (collection.number, -1 if limit is None else limit))
        return list(starmap(Item, rows))

    @guarded
    def items_named(self, collection: Collection, names: Sequence[str]) -> list[Item]:
        rows: Any = self._db.execute(_ITEMS_NAMED, (_encode_names(names).decode(), collection.number))
        return list(starmap(Item, rows))

    @guarded
    def body(self, item: Item) -> Stored:
        if self.source is not None:
            return bodies.stored(self._db, self.source, item.journal, item.digest)
        return self.version_body(item.journal)

    @guarded_iterator
    def items_with_bodies(self, collection: Collection, names: Sequence[str]) -> Iterator[tuple[Item, Stored]]:
        """Read in chunks, each at one moment; within a snapshot all at one."""
        for start in range(0, len(names), BODIES_CHUNK):
            chunk = names[start : start + BODIES_CHUNK]
            if self.source is not None:
                yield from bodies.of_items(self.items_named, self._db, self.source, collection, chunk)
                continue
            wanted = _encode_names(chunk).decode()
            rows: Any = self._db.execute(bodies.ITEMS_WITH_BODIES, (wanted, collection.number)).fetchall()
            for row in sorted(rows, key=_first):
                item = Item(*row[4:])
                if row[1] is None:
                    raise Damaged(f"the change of {item.name} is gone from the journal", where="core")
                yield item, Stored(row[2], row[3], item.size)

    @guarded
    def items_with_blobs(self, account: int, kind: Kind) -> list[tuple[str, Item, bytes]]:
        rows: Any = self._db.execute(_ITEMS_WITH_BLOBS, (account, KIND_NUMBERS[kind]))
        return [(row[0], Item(*row[2:]), row[1]) for row in rows]

    @guarded
    def ghost_items(self, account: int, kind: Kind) -> list[tuple[str, Item]]:
        rows: Any = self._db.execute(_GHOST_ITEMS, (account, KIND_NUMBERS[kind]))
        return [(row[0], Item(*row[1:])) for row in rows]

    @guarded
    def has_body(self, journal: int) -> bool:
        sql = "SELECT body IS NOT NULL OR blob IS NOT NULL OR LENGTH(digest) = 0 FROM journal WHERE seq = ?"
        found: Any = self._db.execute(sql, (journal,)).get
        return found is None or bool(found)

    @guarded
    def bodiless(self, account: int) -> dict[Kind, Bodiless]:
        rows: Any = self._db.execute(_BODILESS, (account,))
        found: dict[Kind, Bodiless] = {}
        for kind, rev, op, props in rows:
            one = found.setdefault(RESTORE_ORDER[kind], Bodiless([], []))
            if op != OP_NUMBERS[Op.GAP]:
                one.revs.append(rev)
            elif props is not None:
                one.records.append(props)
        return found

    def props(self, item: Item) -> dict[str, str]:
        return {} if item.props_journal is None else self.props_at(item.props_journal)

    @guarded
    def touched(self, collection: Collection, since_rev: int, limit: int | None = None) -> list[Touched]:
        rows: Any = self._db.execute(
            _TOUCHED,
            (
                collection.number,
                since_rev,
                -1 if limit is None else limit,
                collection.account,
                KIND_NUMBERS[collection.kind],
            ),
        )
        return [
            Touched(row[0], row[1], None, True) if row[2] is None else Touched(row[0], row[1], Item(*row[2:]), False)
            for row in rows
        ]

    # -- the journal

    def history(
        self,
        account: int,
        *,
        kind: Kind | None = None,
        path: str | None = None,
        name: str | None = None,
        below: Mapping[Kind, int] | None = None,
    ) -> Iterator[Version]:
        return past.history(self._db, account, kind, path, name, below)

    @guarded
    def version_at(self, account: int, kind: Kind, rev: int) -> Version | None:
        return past.version_at(self._db, account, kind, rev)

    @guarded
    def version_body(self, journal: int) -> Stored:
        if self.source is not None:
            return bodies.stored(self._db, self.source, journal, b"")
        row: Any = self._db.execute("SELECT body, blob, size FROM journal WHERE seq = ?", (journal,)).get
        assert row is not None, f"no change has the journal number {journal}"
        return Stored(*row)

    @guarded
    def rev_at(self, account: int, kind: Kind, at: int) -> int:
        return past.rev_at(self._db, account, kind, at)

    @guarded
    def collections_at(
        self, account: int, kind: Kind, at: int | None = None, *, rev: int | None = None
    ) -> list[PastCollection]:
        with self.snapshot():
            return past.collections_at(self._db, account, kind, at, rev)

    @guarded
    def items_at(
        self,
        account: int,
        collection: bytes,
        at: int | None = None,
        *,
        rev: int | None = None,
        name: str | None = None,
    ) -> dict[str, PastItem]:
        with self.snapshot():
            return past.items_at(self._db, account, collection, at, rev, name)

    @guarded
    def count_items(self, collection: Collection, limit: int) -> int:
        rows: Any = self._db.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM item WHERE collection = ? LIMIT ?)", (collection.number, limit)
        ).get
        return int(rows)

    def removals(self, account: int, kind: Kind, collection: bytes) -> Iterator[Removal]:
        return past.removals(self._db, account, kind, collection)

    @guarded
    def removed_collections(self, account: int, kind: Kind) -> list[Removed]:
        return past.removed_collections(self._db, account, kind)

    @guarded
    def props_at(self, journal: int) -> dict[str, str]:
        if self.source is not None:
            return parse_props(bodies.props(self._db, self.source, journal))
        props: Any = self._db.execute("SELECT props FROM journal WHERE seq = ?", (journal,)).get
        return parse_props(props)

    @guarded
    def change(self, journal: int) -> Change:
        row = self._db.execute(f"{CHANGE_SELECT} WHERE j.seq = ?", (journal,)).get
        assert row is not None, f"no change has the journal number {journal}"
        return change_of(row)[2]

    @guarded
    def changes(self, *, after_journal: int = 0, limit: int = 1000) -> list[tuple[int, int, Change]]:
        rows = self._db.execute(f"{CHANGE_SELECT} WHERE j.seq > ? ORDER BY j.seq LIMIT ?", (after_journal, limit))
        return [change_of(row) for row in rows]

    @guarded
    def changes_after_frame(
        self, frame: int, limit: int = 1000, *, after_journal: int = 0
    ) -> list[tuple[int, int, Change]]:
        if after_journal == 0:
            # From the first of them on nearly all are wanted: frames grow with journal numbers but for a recovery's.
            first: Any = self._db.execute(
                "SELECT MIN(seq) FROM journal INDEXED BY journal_frame WHERE frame > ?", (frame,)
            ).get
            if first is None:
                return []
            after_journal = first - 1
        rows = self._db.execute(
            f"{CHANGE_SELECT} WHERE j.frame > ? AND j.seq > ? ORDER BY j.seq LIMIT ?", (frame, after_journal, limit)
        )
        return [change_of(row) for row in rows]

    @guarded
    def unarchived(self, frame: int) -> tuple[int, int | None]:
        row: Any = self._db.execute(
            "SELECT COUNT(*), MIN(at) FROM journal INDEXED BY journal_frame WHERE frame > ?", (frame,)
        ).get
        return (row[0], row[1])

    @guarded
    def framed_changes(self, after: int, upto: int) -> int:
        return outgoing.framed_changes(self._db, after, upto)

    @guarded
    def run_spans(self, after: int, upto: int, first_id: bytes = b"", last_id: bytes = b"\xff" * 16) -> list[RunSpan]:
        with self.snapshot():
            return outgoing.run_spans(self._db, after, upto, first_id, last_id)

    @guarded
    def run_streams(self, upto: int) -> int:
        return outgoing.run_streams(self._db, upto)

    @guarded_iterator
    def run_rows(self, account: int, kind: Kind, after_rev: int, upto_rev: int) -> Iterator[RunRow]:
        yield from outgoing.run_rows(self._db, account, kind, after_rev, upto_rev)

    @guarded
    def log_position(self) -> LogPosition:
        value: Any = self._db.execute("SELECT value FROM meta WHERE name = 'log_position'").get
        return EMPTY_LOG if value is None else LogPosition(*_decode_position(value))

    # -- figures

    @guarded
    def fault(self) -> str | None:
        """SQLite's integrity check, beneath which every page's checksum is verified."""
        found: Any = self._db.execute("PRAGMA integrity_check(1)").get
        return None if found == "ok" else str(found)

    @guarded
    def counts(self) -> dict[str, int]:
        """Live items by kind (those of the installation itself left out), `accounts`, and `changes` of all streams."""
        counts = {str(kind): 0 for kind in RESTORE_ORDER}
        with self.snapshot():
            changes = 0
            rows: Any = self._db.execute(
                """
                SELECT kind, SUM(CASE account WHEN 0 THEN 0 ELSE items END), SUM(rev - missing) FROM stream
                GROUP BY kind
                """
            )
            for kind, items, kept in rows:
                counts[str(RESTORE_ORDER[kind])] = items
                changes += kept
            accounts: Any = self._db.execute("SELECT COUNT(*) FROM account WHERE number <> 0").get
        return {**counts, "accounts": accounts, "changes": changes}

    @guarded
    def sizes(self) -> dict[str, int]:
        """Bytes of live items by kind, those of the installation itself left out."""
        rows: Any = self._db.execute("SELECT kind, SUM(bytes) FROM stream WHERE account <> 0 GROUP BY kind")
        return {str(kind): 0 for kind in RESTORE_ORDER} | {str(RESTORE_ORDER[kind]): size for kind, size in rows}

    @guarded
    def used_bytes(self, account: int) -> int:
        used: Any = self._db.execute(
            "SELECT COALESCE(SUM(bytes), 0) FROM stream WHERE account = ? AND kind <> ?", (account, _IDENTITY)
        ).get
        return int(used)

    @guarded
    def recovery_mark(self) -> str:
        mark: Any = self._db.execute("SELECT value FROM meta WHERE name = 'recovery_mark'").get
        return "" if mark is None else str(mark)

    @guarded
    def end_in_doubt(self) -> bytes:
        doubt: Any = self._db.execute("SELECT value FROM meta WHERE name = 'end_in_doubt'").get
        return b"" if doubt is None else bytes(doubt)

    @guarded
    def recovery_record(self) -> bytes | None:
        record: Any = self._db.execute("SELECT value FROM meta WHERE name = 'recovery'").get
        return None if record is None else bytes(record)

    @guarded
    def recovery_notes(self) -> list[bytes]:
        rows: Any = self._db.execute("SELECT value FROM meta WHERE name GLOB 'recovery/*' ORDER BY name")
        return [bytes(note) for (note,) in rows]

    @guarded
    def blobs_swept(self) -> bool:
        """Whether the live blobs were compared with the journal since an account was last dropped."""
        return self._db.execute("SELECT value FROM meta WHERE name = 'blobs_swept'").get is not None

    @guarded
    def blob_names(self) -> set[bytes]:
        """Names of all blobs that the journal names. Reads the whole journal."""
        return {name for (name,) in self._db.execute("SELECT DISTINCT blob FROM journal WHERE blob IS NOT NULL")}

    @guarded
    def best_score(self, account: int, game: str) -> float | None:
        score: Any = self._db.execute("SELECT score FROM best WHERE account = ? AND game = ?", (account, game)).get
        return score  # type: ignore[no-any-return]

    @guarded
    def leaderboard(self, game: str, limit: int) -> list[tuple[str, float, int]]:
        rows: Any = self._db.execute(
            """
            SELECT a.name, b.score, b.at FROM best b JOIN account a ON a.number = b.account
            WHERE b.game = ? AND a.listed AND a.name <> '' ORDER BY b.score DESC, b.at, a.name LIMIT ?
            """,
            (game, limit),
        )
        return list(rows)
