"""What was: history, and collections and items as of a time. Reads of the journal; each costs what it looks through.

A time is resolved within one stream: the state after its last rev whose `at` is not later. Wall clocks may run
backwards; revs do not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apsw

from safehold.model.change import EMPTY_PROPS, Op, parse_props
from safehold.model.errors import HistoryDropped
from safehold.model.items import Collection
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import PastCollection, PastItem, Removal, Removed, Version
from safehold.store.sqlite.errors import guarded_iterator
from safehold.store.sqlite.rows import COLLECTION_COLUMNS, VERSION_SELECT, collection_of, version_of
from safehold.store.sqlite.schema import BASES_SINCE, KIND_NUMBERS, OP_NUMBERS, version

HISTORY_CHUNK = 256
_NO_END = 1 << 62
_PUT, _PROPS, _DELETE = OP_NUMBERS[Op.PUT], OP_NUMBERS[Op.PROPS], OP_NUMBERS[Op.DELETE]
_MKCOL, _SETCOL, _RMCOL = OP_NUMBERS[Op.MKCOL], OP_NUMBERS[Op.SETCOL], OP_NUMBERS[Op.RMCOL]


def history(
    db: apsw.Connection,
    account: int,
    kind: Kind | None,
    path: str | None,
    name: str | None,
    below: Mapping[Kind, int] | None = None,
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
    ends = {} if below is None else {KIND_NUMBERS[k]: rev for k, rev in below.items()}
    streams = [
        _stream_history(db, account, number, only, name, ends.get(number, _NO_END)) for number, only in by_kind.items()
    ]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda v: v.at, reverse=True)


@guarded_iterator
def _stream_history(
    db: apsw.Connection, account: int, kind: int, collections: Sequence[int] | None, name: str | None, below: int
) -> Iterator[Version]:
    """Of one stream, newest first, in chunks: no read stays open while the reader takes its time."""
    wanted = "" if collections is None else f" AND j.collection IN ({', '.join(map(str, collections))})"
    if name is not None:
        wanted += " AND j.name = :name"
    sql = (
        f"{VERSION_SELECT} WHERE j.account = :account AND j.kind = :kind AND j.rev < :below{wanted}"
        " ORDER BY j.rev DESC LIMIT :limit"
    )
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


def rev_at(db: apsw.Connection, account: int, kind: Kind, at: int) -> int:
    """The last rev of a stream whose `at` is not later; 0 where there is none. Raises HistoryDropped."""
    row: Any = db.execute(
        "SELECT rev FROM journal WHERE account = ? AND kind = ? AND at <= ? ORDER BY rev DESC LIMIT 1",
        (account, KIND_NUMBERS[kind], at),
    ).get
    rev: int = row or 0
    base_rev, base_at = _base(db, account, KIND_NUMBERS[kind])
    if rev <= base_rev != 0:
        if at < base_at and rev < base_rev:
            raise _dropped(kind, base_at)
        rev = max(rev, base_rev)
    return rev


def _base(db: apsw.Connection, account: int, kind: int) -> tuple[int, int]:
    """The rev up to which history was dropped, and from when on (µs) it is known what lived; (0, 0): all of it."""
    row: Any = (
        db.execute("SELECT base_rev, base_at FROM stream WHERE account = ? AND kind = ?", (account, kind)).get
        if version(db) >= BASES_SINCE
        else None
    )
    return row or (0, 0)


def _dropped(kind: Kind, base_at: int) -> HistoryDropped:
    since = datetime.fromtimestamp(base_at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return HistoryDropped(
        f"what {kind} were at that time is not known any more: the history of before {since} has been dropped",
        hint=f"choose a time after {since}",
    )


def _upto(db: apsw.Connection, account: int, kind: Kind, at: int | None, rev: int | None) -> int:
    """The rev up to which a question is about, put as a time or as a rev. Raises HistoryDropped."""
    assert (at is None) != (rev is None), "a moment is a time or a rev"
    if at is not None:
        return rev_at(db, account, kind, at)
    assert rev is not None
    base_rev, base_at = _base(db, account, KIND_NUMBERS[kind])
    if rev < base_rev:
        raise _dropped(kind, base_at)
    return rev


def collections_at(
    db: apsw.Connection, account: int, kind: Kind, at: int | None, rev: int | None
) -> list[PastCollection]:
    """See CoreReads. Sorted by path."""
    number = KIND_NUMBERS[kind]
    rows: Any = db.execute(
        f"""
        SELECT c.number, c.id, c.path, j.op, j.props FROM collection c JOIN journal j
            ON j.account = c.account AND j.kind = c.kind AND j.rev <= ? AND j.collection = c.number
        WHERE c.account = ? AND c.kind = ? AND j.op IN ({_MKCOL}, {_SETCOL}, {_RMCOL}) ORDER BY j.rev
        """,
        (_upto(db, account, kind, at, rev), account, number),
    )
    then: dict[int, PastCollection] = {}
    for collection, id_, path, op, props in rows:
        if op == _RMCOL:
            then.pop(collection, None)
        elif op == _MKCOL or collection in then:
            then[collection] = PastCollection(id_, path, parse_props(props))
    return sorted(then.values(), key=lambda c: c.path)


def items_at(
    db: apsw.Connection, account: int, collection: bytes, at: int | None, rev: int | None, name: str | None
) -> dict[str, PastItem]:
    """See CoreReads. Empty where the collection did not live then."""
    row: Any = db.execute("SELECT number, kind FROM collection WHERE account = ? AND id = ?", (account, collection)).get
    if row is None:
        return {}
    number, kind = row
    only = "" if name is None else f" AND (name = ? OR op = {_RMCOL})"
    then: dict[str, PastItem] = {}
    rows: Any = db.execute(
        f"""
        SELECT seq, op, name, digest, size, media, props, props_digest FROM journal
        WHERE account = ? AND kind = ? AND rev <= ? AND collection = ?{only} ORDER BY rev
        """,
        (
            account,
            kind,
            _upto(db, account, RESTORE_ORDER[kind], at, rev),
            number,
            *(() if name is None else (name,)),
        ),
    )
    for seq, op, named, digest, size, media, props, props_digest in rows:
        before = then.get(named)
        has_props = props is not None and props != EMPTY_PROPS
        if op == _PUT:
            props_journal = before.props_journal if before is not None else None
            if props is not None:
                props_journal = seq if has_props else None
            then[named] = PastItem(named, seq, digest, size, media, props_journal, props_digest)
        elif op == _PROPS and before is not None:
            props_journal = seq if has_props else None
            then[named] = before._replace(props_journal=props_journal, props_digest=props_digest)
        elif op == _DELETE:
            then.pop(named, None)
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


@guarded_iterator
def removals(db: apsw.Connection, account: int, kind: Kind, collection: bytes) -> Iterator[Removal]:
    """See CoreReads. In chunks: whoever has seen enough stops."""
    number: Any = db.execute("SELECT number FROM collection WHERE account = ? AND id = ?", (account, collection)).get
    below = _NO_END
    while True:
        rows: Any = db.execute(
            """
            SELECT rev, grp, at, op, actor, collection = ? FROM journal
            WHERE account = ? AND kind = ? AND rev < ? ORDER BY rev DESC LIMIT ?
            """,
            (number, account, KIND_NUMBERS[kind], below, HISTORY_CHUNK),
        ).fetchall()
        for rev, group, at, op, actor, here in rows:
            weight = (op == _DELETE) - (op == _PUT) if here else 0
            yield Removal(rev, group, at, weight, actor)
        if len(rows) < HISTORY_CHUNK:
            return
        below = rows[-1][0]


def _collection(row: Any) -> Collection:
    return collection_of(row[:-1])
