"""What leaves the core for a run: spans of streams, and their changes in rev order, many thousands a second.

The rows come from SQLite as the tuples that are handed on, so that no step for each of them is taken here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import apsw

from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import RunRow, RunSpan
from safehold.store.sqlite.schema import KIND_NUMBERS, OPS

_OP_TEXT = " ".join(f"WHEN {number} THEN '{op}'" for number, op in sorted(enumerate(OPS), key=lambda o: o[1] != "put"))

_ROWS = f"""
    SELECT j.timeline, j.rev, j.grp, j.at, CASE j.op {_OP_TEXT} END, COALESCE(c.id, j.collection), j.name, j.media,
        j.digest, j.size, j.props_digest, j.actor, j.prev, j.hash, j.body, j.blob, j.props
    FROM journal j INDEXED BY journal_stream LEFT JOIN collection c ON c.number = j.collection
    WHERE j.account = ? AND j.kind = ? AND j.rev > ? AND j.rev <= ? ORDER BY j.rev
"""
#: Heads of streams that no later frame touches are in the table of streams; of the others they are looked up.
_LATER = "SELECT DISTINCT account, kind FROM journal INDEXED BY journal_frame WHERE frame > ?"
_BETWEEN = f"{_LATER} AND frame <= ?"
_STREAMS = """
    SELECT s.account, a.id, s.kind, s.rev, s.base_rev FROM stream s JOIN account a ON a.number = s.account
    WHERE a.id >= ? AND a.id <= ? AND s.rev > 0
"""
_HEAD_AT = """
    SELECT rev FROM journal INDEXED BY journal_stream WHERE account = ? AND kind = ? AND frame <= ?
    ORDER BY rev DESC LIMIT 1
"""
#: Streams that have a head at a frame, without looking up which it is.
_COUNT = f"""
    SELECT COUNT(*) FROM stream s JOIN account a ON a.number = s.account
    WHERE s.rev > 0 AND (
        s.base_rev > 0 OR (s.account, s.kind) NOT IN ({_LATER})
        OR EXISTS (
            SELECT 1 FROM journal j INDEXED BY journal_stream
            WHERE j.account = s.account AND j.kind = s.kind AND j.frame <= ?
        )
    )
"""

#: Fetched at a time, each with a body of 64 KiB at most: less than a step through three generators for each of them.
ROWS = 100


def framed_changes(db: apsw.Connection, after: int, upto: int) -> int:
    sql = "SELECT COUNT(*) FROM journal INDEXED BY journal_frame WHERE frame > ? AND frame <= ?"
    count: Any = db.execute(sql, (after, upto)).get
    return int(count)


def run_streams(db: apsw.Connection, upto: int) -> int:
    """See ports.core."""
    count: Any = db.execute(_COUNT, (upto, upto)).get
    return int(count)


def run_spans(db: apsw.Connection, after: int, upto: int, first_id: bytes, last_id: bytes) -> list[RunSpan]:
    """See ports.core. Within one read transaction."""
    later: set[Any] = set(db.execute(_LATER, (upto,)))
    wanted: set[Any] | None = set(db.execute(_BETWEEN, (after, upto))) if after else None
    spans: list[tuple[int, bytes, int, int, int]] = []
    rows: Any = db.execute(_STREAMS, (first_id, last_id)).fetchall()
    for account, id_, kind, rev, dropped in rows:
        if wanted is not None and (account, kind) not in wanted:
            continue
        head = max(dropped, _head_at(db, account, kind, upto)) if (account, kind) in later else rev
        base = max(dropped, _head_at(db, account, kind, after)) if after else 0
        if head > base:
            spans.append((kind, id_, account, base, head))
    spans.sort()
    return [RunSpan(account, id_, RESTORE_ORDER[kind], base, head) for kind, id_, account, base, head in spans]


def _head_at(db: apsw.Connection, account: int, kind: int, frame: int) -> int:
    rev: Any = db.execute(_HEAD_AT, (account, kind, frame)).get
    return 0 if rev is None else int(rev)


def run_rows(db: apsw.Connection, account: int, kind: Kind, after_rev: int, upto_rev: int) -> Iterator[RunRow]:
    rows: Any = db.execute(_ROWS, (account, KIND_NUMBERS[kind], after_rev, upto_rev))
    while some := list(islice(rows, ROWS)):
        yield from some
