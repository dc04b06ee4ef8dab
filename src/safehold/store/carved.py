"""Rows that were carved out of a core's pages, until it is known what each is worth: a scratch of one's own.

A private database of SQLite, in its folder for temporary files or in `folder`, gone when it is closed: so that sorting
the rows of a large core by stream takes no memory. Rows come in any order, and may come twice.

`row.data` is the msgpack of Fields; the body stands beside it. `rank` says how a row was found: see Rank.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

import apsw
import msgspec

from safehold.store.sqlite.errors import guarded

_BATCH_ROWS = 2_000
_BATCH_BYTES = 4 << 20
_CACHE_KIB = 48 << 10

_SCHEMA = """
CREATE TABLE row (
    account INTEGER, kind INTEGER, rev INTEGER, hash BLOB, rank INTEGER, good INTEGER, source INTEGER, place TEXT,
    data BLOB, whole INTEGER, body BLOB
);
CREATE TABLE account (number INTEGER, id BLOB, sure INTEGER, PRIMARY KEY (number, id)) WITHOUT ROWID;
CREATE TABLE account_name (number INTEGER PRIMARY KEY, name TEXT, newest INTEGER);
CREATE TABLE collection (
    number INTEGER, id BLOB, account INTEGER, kind INTEGER, sure INTEGER, PRIMARY KEY (number, id, account)
) WITHOUT ROWID;
CREATE INDEX collection_account ON collection(account);
CREATE TABLE head (
    account INTEGER, kind INTEGER, rev INTEGER, hash BLOB, source INTEGER, PRIMARY KEY (account, kind, rev, hash)
) WITHOUT ROWID;
CREATE TABLE aside (
    account INTEGER, kind INTEGER, source INTEGER, place TEXT, why TEXT, what TEXT, name TEXT, data BLOB
);
CREATE TABLE item (
    collection INTEGER, name TEXT, rev INTEGER, digest BLOB, size INTEGER, media TEXT, at INTEGER,
    source INTEGER, place TEXT, PRIMARY KEY (collection, name)
) WITHOUT ROWID;
"""

_PUT = {
    "row": "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "account": "INSERT INTO account VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sure = max(sure, excluded.sure)",
    "account_name": """
        INSERT INTO account_name VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE
        SET name = excluded.name, newest = excluded.newest WHERE excluded.newest >= newest""",
    "collection": """
        INSERT INTO collection VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
        SET kind = coalesce(excluded.kind, kind), sure = max(sure, excluded.sure)""",
    "head": "INSERT OR IGNORE INTO head VALUES (?, ?, ?, ?, ?)",
    "aside": "INSERT INTO aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "item": """
        INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
        SET rev = excluded.rev, digest = excluded.digest, size = excluded.size, media = excluded.media,
            at = excluded.at, source = excluded.source, place = excluded.place
        WHERE excluded.rev > rev""",
}


class Rank(IntEnum):
    """How a row was found, the better the higher."""

    STRAY = 0  # where no pointer led: a body that looks like a row would be found so as well
    UNCOMMITTED = 1  # in a log, after the last commit that is there
    FOUND = 2


class Whole(IntEnum):
    """What became of a row's body."""

    NONE = 0  # it has none here: nothing is said of one, or a blob has it
    HERE = 1  # its digest was checked
    LOST = 2


class Fields(msgspec.Struct, frozen=True, array_like=True):
    """What a row of the journal says beside what `row` has in columns."""

    frame: int
    timeline: int
    group: int
    at: int
    op: int
    collection: int | bytes
    name: str
    media: str
    digest: bytes
    size: int
    props_digest: bytes
    actor: str
    prev: bytes | None
    blob: bytes | None
    props: bytes | None
    parts_lost: bool  # properties or the blob's name were lost with a page


class CarvedRow(NamedTuple):
    account: int
    kind: int
    rev: int
    hash: bytes
    rank: Rank
    good: bool  # all pages that it lies on have good checksums
    source: int
    place: str
    fields: Fields
    whole: Whole
    body: bytes | None


class CarvedCollection(NamedTuple):
    number: int
    id: bytes
    account: int
    kind: int | None
    sure: bool  # a page with a good checksum says so, or a hash


class CarvedAside(NamedTuple):
    """What cannot be read as a row, or a body that is not what it should be. Numbers are None where they are lost."""

    account: int | None
    kind: int | None
    source: int
    place: str
    why: str
    what: str
    name: str
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Fields).decode


class Carved:
    """Put rows in, then `sort`, then read them. Raises OutOfSpace, Damaged."""

    @guarded
    def __init__(self, folder: str = "") -> None:
        self._path = os.path.join(folder, "carved.scratch") if folder else ""
        self._remove()
        self._db = apsw.Connection(self._path)
        self._db.pragma("journal_mode", "off")
        self._db.pragma("synchronous", "off")
        self._db.pragma("locking_mode", "exclusive")
        self._db.pragma("cache_size", -_CACHE_KIB)
        self._db.execute(_SCHEMA)
        self._waiting: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _PUT}
        self._waiting_bytes = 0

    def close(self) -> None:
        self._db.close()
        self._remove()

    def _remove(self) -> None:
        if self._path and os.path.exists(self._path):
            os.remove(self._path)

    # -- putting

    def put_row(self, row: CarvedRow) -> None:
        self._waiting_bytes += len(row.body or b"")
        data = _encode(row.fields)
        self._put(
            "row",
            (
                row.account,
                row.kind,
                row.rev,
                row.hash,
                int(row.rank),
                row.good,
                row.source,
                row.place,
                data,
                int(row.whole),
                row.body,
            ),
        )

    def put_account(self, number: int, id_: bytes, sure: bool) -> None:
        self._put("account", (number, id_, sure))

    def put_account_name(self, number: int, name: str, newest: bool) -> None:
        self._put("account_name", (number, name, newest))

    def put_collection(self, known: CarvedCollection) -> None:
        self._put("collection", known)

    def put_head(self, account: int, kind: int, rev: int, hash_: bytes, source: int) -> None:
        self._put("head", (account, kind, rev, hash_, source))

    def put_item(
        self,
        collection: int,
        name: str,
        rev: int,
        digest: bytes,
        size: int,
        media: str,
        at: int,
        source: int,
        place: str,
    ) -> None:
        """Of one name the highest rev stays."""
        self._put("item", (collection, name, rev, digest, size, media, at, source, place))

    def put_aside(self, aside: CarvedAside) -> None:
        self._waiting_bytes += len(aside.data)
        self._put("aside", aside)

    def _put(self, table: str, values: tuple[Any, ...]) -> None:
        waiting = self._waiting[table]
        waiting.append(values)
        if len(waiting) >= _BATCH_ROWS or self._waiting_bytes >= _BATCH_BYTES:
            self._flush()

    @guarded
    def _flush(self) -> None:
        if not any(self._waiting.values()):
            return
        with self._db:
            for table, waiting in self._waiting.items():
                if waiting:
                    self._db.executemany(_PUT[table], waiting)
                    waiting.clear()
        self._waiting_bytes = 0

    # -- reading

    @guarded
    def sort(self) -> None:
        """All is there: from here on it can be read."""
        self._flush()
        self._db.execute("CREATE INDEX row_stream ON row(account, kind, rev, rank DESC, whole)")

    def streams(self) -> Iterator[tuple[int, int]]:
        """Numbers of account and kind of all streams that have a row or a head."""
        sql = "SELECT account, kind FROM row UNION SELECT account, kind FROM head ORDER BY account, kind"
        yield from self._select(sql)

    def rows(self, account: int, kind: int) -> Iterator[CarvedRow]:
        """Of a stream, by rev, the best found first."""
        sql = "SELECT * FROM row WHERE account = ? AND kind = ? ORDER BY rev, rank DESC, whole"
        yield from self._rows(sql, (account, kind))

    def rows_at(self, account: int, kind: int, rev: int) -> Iterator[CarvedRow]:
        """Of one rev, the best found first."""
        sql = "SELECT * FROM row WHERE account = ? AND kind = ? AND rev = ? ORDER BY rank DESC, whole"
        yield from self._rows(sql, (account, kind, rev))

    def _rows(self, sql: str, values: tuple[int, ...]) -> Iterator[CarvedRow]:
        for number, of, rev, hash_, rank, good, source, place, data, whole, body in self._select(sql, values):
            fields = _decode(data)
            yield CarvedRow(number, of, rev, hash_, Rank(rank), bool(good), source, place, fields, Whole(whole), body)

    def account_ids(self, number: int) -> list[tuple[bytes, bool]]:
        """(id, sure) of all that a number may stand for, the sure ones first."""
        sql = "SELECT id, sure FROM account WHERE number = ? ORDER BY sure DESC"
        return [(id_, bool(sure)) for id_, sure in self._select(sql, (number,))]

    def account_name(self, number: int) -> str:
        """As the tables have it; "" where they do not say."""
        return next((name for (name,) in self._select("SELECT name FROM account_name WHERE number = ?", (number,))), "")

    def collections_of(self, account: int) -> list[CarvedCollection]:
        sql = "SELECT number, id, account, kind, sure FROM collection WHERE account = ?"
        return [_collection(row) for row in self._select(sql, (account,))]

    def collections_numbered(self, number: int) -> list[CarvedCollection]:
        sql = "SELECT number, id, account, kind, sure FROM collection WHERE number = ?"
        return [_collection(row) for row in self._select(sql, (number,))]

    def heads(self, account: int, kind: int) -> list[tuple[int, bytes, int]]:
        """(rev, hash, source) of a stream, by rev."""
        sql = "SELECT rev, hash, source FROM head WHERE account = ? AND kind = ? ORDER BY rev"
        return list(self._select(sql, (account, kind)))

    def items(self) -> Iterator[tuple[int, str, int, bytes, int, str, int, int, str]]:
        """As `put_item` takes them, by collection."""
        yield from self._select("SELECT * FROM item ORDER BY collection")

    def items_like(self, prefix: str) -> Iterator[tuple[int, str]]:
        """(collection, name) of items whose name begins so."""
        sql = "SELECT collection, name FROM item WHERE substr(name, 1, length(?1)) = ?1"
        yield from self._select(sql, (prefix,))

    def asides(self) -> Iterator[CarvedAside]:
        for row in self._select("SELECT * FROM aside ORDER BY account"):
            yield CarvedAside(*row)

    @guarded
    def supersede(self, ended: list[tuple[int, str, int]]) -> None:
        """Of each (collection, name, rev): an item of an earlier rev does not live as such any more."""
        with self._db:
            self._db.executemany("DELETE FROM item WHERE collection = ? AND name = ? AND rev < ?", ended)

    @guarded
    def supersede_all(self, collection: int, rev: int) -> None:
        """The collection was removed at this rev."""
        self._db.execute("DELETE FROM item WHERE collection = ? AND rev < ?", (collection, rev))

    def _select(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        self._flush()
        return self._db.execute(sql, values)


def _collection(row: Any) -> CarvedCollection:
    number, id_, account, kind, sure = row
    return CarvedCollection(number, id_, account, kind, bool(sure))
