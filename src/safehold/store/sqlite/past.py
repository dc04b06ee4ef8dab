"""What was: history, and collections and items as of a time. Reads of the journal; each costs what it looks through.

A time is resolved within one stream: the state after its last rev whose `at` is not later. Wall clocks may run
backwards; revs do not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from safehold.model.change import EMPTY_PROPS, Op, parse_props
from safehold.model.errors import HistoryDropped
from safehold.model.items import Collection
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import PastCollection, PastItem, Removed, Version
from safehold.store.sqlite.errors import guarded_iterator
from safehold.store.sqlite.rows import COLLECTION_COLUMNS, VERSION_SELECT, collection_of, version_of
from safehold.store.sqlite.schema import BASES_SINCE, KIND_NUMBERS, OP_NUMBERS, version

HISTORY_CHUNK = 256
_PUT, _PROPS, _DELETE = OP_NUMBERS[Op.PUT], OP_NUMBERS[Op.PROPS], OP_NUMBERS[Op.DELETE]
_MKCOL, _SETCOL, _RMCOL = OP_NUMBERS[Op.MKCOL], OP_NUMBERS[Op.SETCOL], OP_NUMBERS[Op.RMCOL]


def history(
    db: apsw.Connection, account: int, kind: Kind | None, path: str | None, name: str | None
) -> Iterator[Version]:
    """See CoreReads. Kinds are merged by time; within a kind the order is that of revs."""
    by_kind: dict[int, list[int] | None] = {}
    if path is None:
        kinds = RESTORE_ORDER if kind is None else (kind,)
        by_kind = {KIND_NUMBERS[k]: None for k in kinds}
    else:
        rows: Any = db.execute("SELECT kind, number FROM collection WHERE account = ? AND path = ?", (account, path))
        for number, collection in rows:
            if kind is None or number == KIND_NUMBERS[kind]:
                (by_kind.setdefault(number, []) or by_kind[number]).append(collection)  # type: ignore[union-attr]
    streams = [_stream_history(db, account, number, only, name) for number, only in by_kind.items()]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda v: v.at, reverse=True)


@guarded_iterator
def _stream_history(
    db: apsw.Connection, account: int, kind: int, collections: Sequence[int] | None, name: str | None
) -> Iterator[Version]:
    """Of one stream, newest first, in chunks: no read stays open while the reader takes its time."""
    wanted = "" if collections is None else f" AND j.collection IN ({', '.join(map(str, collections))})"
    if name is not None:
        wanted += " AND j.name = :name"
    sql = (
        f"{VERSION_SELECT} WHERE j.account = :account AND j.kind = :kind AND j.rev < :below{wanted}"
        " ORDER BY j.rev DESC LIMIT :limit"
    )
    below = 1 << 62
    while True:
        bindings = {"account": account, "kind": kind, "below": below, "limit": HISTORY_CHUNK}
        if name is not None:
            bindings["name"] = name  # type: ignore[assignment]
        rows = [version_of(row) for row in db.execute(sql, bindings)]
        yield from rows
        if len(rows) < HISTORY_CHUNK:
            return
        below = rows[-1].rev


def version_at(db: apsw.Connection, account: int, kind: Kind, rev: int) -> Version | None:
    row = db.execute(
        f"{VERSION_SELECT} WHERE j.account = ? AND j.kind = ? AND j.rev = ?",
        (account, KIND_NUMBERS[kind], rev),
    ).get
    return None if row is None else version_of(row)


def rev_at(db: apsw.Connection, account: int, kind: int, at: int) -> int:
    """The last rev of a stream whose `at` is not later; 0 where there is none. Raises HistoryDropped."""
    row: Any = db.execute(
        "SELECT rev FROM journal WHERE account = ? AND kind = ? AND at <= ? ORDER BY rev DESC LIMIT 1",
        (account, kind, at),
    ).get
    rev: int = row or 0
    base: Any = (
        db.execute("SELECT base_rev, base_at FROM stream WHERE account = ? AND kind = ?", (account, kind)).get
        if version(db) >= BASES_SINCE
        else None
    )
    if base is not None and rev <= base[0] != 0:
        if at < base[1] and rev < base[0]:
            raise HistoryDropped(
                "what was at that time is not known any more: the history of before then has been dropped",
                hint="choose a later time",
            )
        rev = max(rev, base[0])
    return rev


def collections_at(db: apsw.Connection, account: int, kind: Kind, at: int) -> list[PastCollection]:
    """See CoreReads. Sorted by path."""
    number = KIND_NUMBERS[kind]
    rev = rev_at(db, account, number, at)
    rows: Any = db.execute(
        f"""
        SELECT c.number, c.id, c.path, j.op, j.props FROM collection c JOIN journal j
            ON j.account = c.account AND j.kind = c.kind AND j.rev <= ? AND j.collection = c.number
        WHERE c.account = ? AND c.kind = ? AND j.op IN ({_MKCOL}, {_SETCOL}, {_RMCOL}) ORDER BY j.rev
        """,
        (rev, account, number),
    )
    then: dict[int, PastCollection] = {}
    for collection, id_, path, op, props in rows:
        if op == _RMCOL:
            then.pop(collection, None)
        elif op == _MKCOL or collection in then:
            then[collection] = PastCollection(id_, path, parse_props(props))
    return sorted(then.values(), key=lambda c: c.path)


def items_at(db: apsw.Connection, account: int, collection: bytes, at: int) -> dict[str, PastItem]:
    """See CoreReads. Empty where the collection did not live then."""
    row: Any = db.execute("SELECT number, kind FROM collection WHERE account = ? AND id = ?", (account, collection)).get
    if row is None:
        return {}
    number, kind = row
    then: dict[str, PastItem] = {}
    rows: Any = db.execute(
        """
        SELECT seq, op, name, digest, size, media, props, props_digest FROM journal
        WHERE account = ? AND kind = ? AND rev <= ? AND collection = ? ORDER BY rev
        """,
        (account, kind, rev_at(db, account, kind, at), number),
    )
    for seq, op, name, digest, size, media, props, props_digest in rows:
        before = then.get(name)
        has_props = props is not None and props != EMPTY_PROPS
        if op == _PUT:
            props_journal = before.props_journal if before is not None else None
            if props is not None:
                props_journal = seq if has_props else None
            then[name] = PastItem(name, seq, digest, size, media, props_journal, props_digest)
        elif op == _PROPS and before is not None:
            props_journal = seq if has_props else None
            then[name] = before._replace(props_journal=props_journal, props_digest=props_digest)
        elif op == _DELETE:
            then.pop(name, None)
        elif op == _RMCOL:
            then.clear()
    return then


def removed_collections(db: apsw.Connection, account: int, kind: Kind) -> list[Removed]:
    """See CoreReads."""
    rows: Any = db.execute(
        f"""
        SELECT {COLLECTION_COLUMNS}, deleted_rev FROM collection
        WHERE account = ? AND kind = ? AND deleted_rev > 0 ORDER BY deleted_rev DESC
        """,
        (account, KIND_NUMBERS[kind]),
    )
    return [Removed(_collection(row), row[-1]) for row in rows]


def _collection(row: Any) -> Collection:
    return collection_of(row[:-1])
