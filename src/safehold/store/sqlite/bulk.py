"""How a whole stream becomes rows at once: what `Applier` does change by change, for a core that is being built.

`StreamRows` derives the rows in memory, without a database, so that it may work in another process; `enter` puts them
in with one statement for each table, of one stream or of many. Both together leave the very rows that `Applier` would,
but for the numbers of collections: here one bears the number of the first change that names it, which needs no asking.

Invariants, asserted beneath: a stream is entered once and whole, into a core that has nothing of it; revs ascend, and
one that does not follow the one before is told as such (`after_gap`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from safehold.content.uid import quick_uid
from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.model.change import EMPTY_PROPS, GENESIS, Change, Op
from safehold.model.kinds import HOME_SCORES, Kind
from safehold.model.stream import Base
from safehold.ports.core import WholeStream
from safehold.store.sqlite.apply import JOURNAL, UNMADE, WITH_UID, journal_row, profile_of, score_of, when
from safehold.store.sqlite.rows import INTAKE_ROWS, encode_intake, intake_item
from safehold.store.sqlite.schema import KIND_NUMBERS

#: Fields of an item's row that are looked at: see the table `item` in schema.py. BODY is kept for scores only.
_NAME, _REV, _SIZE, _AT, _JOURNAL, _PROPS, _SCORE, _BODY = 1, 2, 4, 6, 8, 10, 11, 12

_ITEM = """
    INSERT INTO item (collection, name, rev, digest, size, media, at, created_at, journal, uid, props_journal, score)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COLLECTION = """
    INSERT INTO collection
        (number, id, account, kind, path, rev, head, created_rev, created_at, changed_at, deleted_rev, props)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OF_STREAM = (
    "account",
    "kind",
    "rev",
    "head",
    "missing",
    "items",
    "bytes",
    "base_timeline",
    "base_rev",
    "base_head",
    "base_root",
    "base_at",
)


def _stream(fields: Sequence[str]) -> str:
    """A stream's row, whether there was one before (of a stream that was held) or not."""
    anew = ", ".join(f"{field} = excluded.{field}" for field in fields[2:])
    return f"""
        INSERT INTO stream ({", ".join(fields)}) VALUES ({", ".join("?" * len(fields))})
        ON CONFLICT (account, kind) DO UPDATE SET {anew}
    """


_STREAM = _stream(_OF_STREAM)
_STREAM_HELD = _stream([*_OF_STREAM, "held"])


class _Collection:
    __slots__ = (
        "changed_at",
        "created_at",
        "created_rev",
        "deleted_rev",
        "head",
        "id",
        "items",
        "number",
        "path",
        "props",
        "props_before",
        "rev",
    )

    def __init__(self, number: int, change: Change) -> None:
        self.number = number
        self.id = change.collection
        self.path = ""
        self.rev = self.created_rev = change.rev
        self.created_at = self.changed_at = change.at
        self.head = change.hash
        self.deleted_rev: int | None = UNMADE
        self.props: bytes | None = None
        self.items: dict[str, list[Any]] = {}
        #: Properties of items whose body is not here: number in the journal, digest. See Applier._props_before.
        self.props_before: dict[str, tuple[int, bytes]] = {}


class StreamEnd(msgspec.Struct, array_like=True):
    """The rows of a stream beside those of its journal."""

    stream: tuple[Any, ...]
    collections: list[tuple[Any, ...]]
    items: list[Sequence[Any]]  # sorted by collection number and name
    best: list[tuple[Any, ...]]  # (account, game, score, at)
    profile: tuple[str, bool] | None  # name and listed, where the stream says so
    intake: tuple[int, int, int] | None = None  # what waits in the account's intake, where anything does


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[list[tuple[Any, ...]], StreamEnd]).decode


class StreamRows:
    """One stream's rows. `account` is its number, `first_journal` the number of its first change in the journal."""

    def __init__(self, account: int, kind: Kind, base: Base | None, first_journal: int) -> None:
        self._account = account
        self._kind = KIND_NUMBERS[kind]
        self._identity = kind is Kind.IDENTITY
        self._scores = kind is Kind.SCORES
        self._base = base
        self._seq = first_journal
        self._rev = 0
        self._head = GENESIS
        self._kept = 0
        self._profile: tuple[str, bool] | None = None
        self._waiting_blobs: set[int] = set()  # numbers in the journal of writes in the intake whose body is a blob
        self._collections: dict[bytes, _Collection] = {}
        #: Rows that were made and not yet taken.
        self.journal: list[tuple[Any, ...]] = []

    @property
    def next_journal(self) -> int:
        return self._seq

    @property
    def waiting(self) -> int:
        return len(self.journal)

    def take(self) -> list[tuple[Any, ...]]:
        """The rows of the journal made since the last call."""
        rows, self.journal = self.journal, []
        return rows

    def add(self, change: Change, frame: int, after_gap: bool = False) -> None:
        op = change.op
        assert after_gap or change.rev == self._rev + 1, f"rev {change.rev} does not follow rev {self._rev}"
        collection: _Collection | None = self._collections.get(change.collection)
        if op is Op.PUT:
            collection = self._touched(collection, change)
            self._put(collection, change)
        elif op is Op.MKCOL:
            collection = self._made(collection, change)
        elif op is Op.REFUSED or op is Op.GAP:
            if collection is not None:
                self._touch(collection, change)
        else:
            collection = self._touched(collection, change)
            _STEPS[op](self, collection, change)
        if self._identity:
            self._profile = profile_of(change) or self._profile
        where = change.collection if collection is None else collection.number
        prev = change.prev if change.rev != self._rev + 1 else None
        self.journal.append(journal_row(self._seq, frame, self._account, self._kind, change, where, prev))
        self._seq += 1
        self._kept += 1
        self._rev = change.rev
        self._head = change.hash

    def finish(self) -> StreamEnd:
        """The other rows. A stream that ends at its base ends there, whatever its last change is."""
        collections = sorted(self._collections.values(), key=lambda collection: collection.number)
        items: list[Sequence[Any]] = []
        count = size = 0
        for collection in collections:
            for name in sorted(collection.items):
                item = collection.items[name]
                size += item[_SIZE]
                items.append(item[:_BODY])
            count += len(collection.items)
        base = self._base
        if base is not None:
            for collection in collections:
                # The change that touched it last may have been dropped: a sync token must name a rev that is kept.
                if collection.rev < base.rev:
                    collection.rev, collection.head = base.rev, base.head
            if base.rev > self._rev:
                self._rev, self._head = base.rev, base.head
        own: tuple[Any, ...] = (0, 0, None, None, 0)
        if base is not None:
            own = (base.timeline, base.rev, base.head, base.root, base.at)
        missing = self._rev - self._kept
        return StreamEnd(
            (self._account, self._kind, self._rev, self._head, missing, count, size, *own),
            [
                (
                    c.number,
                    c.id,
                    self._account,
                    self._kind,
                    c.path,
                    c.rev,
                    c.head,
                    c.created_rev,
                    c.created_at,
                    c.changed_at,
                    c.deleted_rev,
                    c.props,
                )
                for c in collections
            ],
            items,
            self._best(collections) if self._scores else [],
            self._profile,
            self._intake(items) if self._identity else None,
        )

    def _intake(self, items: Sequence[Sequence[Any]]) -> tuple[int, int, int] | None:
        waiting = [
            intake_item(item[_SIZE], item[_JOURNAL] in self._waiting_blobs)
            for item in items
            if item[_NAME].startswith(INTAKE_PREFIX)
        ]
        return tuple(map(sum, zip(*waiting, strict=True))) if waiting else None  # type: ignore[return-value]

    def packed(self) -> bytes:
        return _pack((self.take(), self.finish()))

    # -- collections

    def _touch(self, collection: _Collection, change: Change) -> None:
        collection.rev, collection.head, collection.changed_at = change.rev, change.hash, change.at

    def _touched(self, collection: _Collection | None, change: Change) -> _Collection:
        if collection is None:  # its making is lost: kept without a path
            collection = self._collections[change.collection] = _Collection(self._seq, change)
        else:
            collection.rev, collection.head, collection.changed_at = change.rev, change.hash, change.at
        return collection

    def _made(self, collection: _Collection | None, change: Change) -> _Collection:
        if collection is None:
            collection = self._collections[change.collection] = _Collection(self._seq, change)
        collection.path, collection.props, collection.deleted_rev = change.name, change.props, None
        collection.created_rev = change.rev
        collection.created_at = change.at
        self._touch(collection, change)
        return collection

    def _setcol(self, collection: _Collection, change: Change) -> None:
        if change.props is not None:
            collection.props = change.props

    def _rmcol(self, collection: _Collection, change: Change) -> None:
        collection.items.clear()
        collection.props_before.clear()
        collection.deleted_rev, collection.path = change.rev, change.name

    # -- items

    def _put(self, collection: _Collection, change: Change) -> None:
        body = change.body
        uid = score = None
        if body is not None:
            if change.media.startswith(WITH_UID):
                uid = quick_uid(body)
            elif self._scores:
                score = score_of(body)
        elif self._identity and change.blob is not None and change.name.startswith(INTAKE_PREFIX):
            self._waiting_blobs.add(self._seq)
        old = collection.items.get(change.name)
        props_journal = None if old is None else old[_PROPS]
        before = collection.props_before.pop(change.name, None) if collection.props_before else None
        if change.props is not None:
            props_journal = None if change.props == EMPTY_PROPS else self._seq
        elif before is not None and before[1] == change.props_digest:
            props_journal = before[0]
        at = change.at
        row = [
            collection.number,
            change.name,
            change.rev,
            change.digest,
            change.size,
            change.media,
            at,
            at if old is None else old[_AT + 1],
            self._seq,
            uid,
            props_journal,
            score,
        ]
        if score is not None:
            row.append(body)
        collection.items[change.name] = row

    def _delete(self, collection: _Collection, change: Change) -> None:
        collection.items.pop(change.name, None)
        collection.props_before.pop(change.name, None)

    def _props(self, collection: _Collection, change: Change) -> None:
        item = collection.items.get(change.name)
        if item is not None:
            item[_REV] = change.rev
            item[_PROPS] = self._seq if change.props_digest else None
        elif change.props_digest:
            collection.props_before[change.name] = self._seq, change.props_digest
        else:
            collection.props_before.pop(change.name, None)

    def _best(self, collections: Sequence[_Collection]) -> list[tuple[Any, ...]]:
        """Of two collections that bear a game's path the one that changed last has the say."""
        best: dict[str, tuple[Any, ...] | None] = {}
        for collection in sorted(collections, key=lambda c: c.rev):
            game = collection.path.removeprefix(HOME_SCORES + "/")
            scored = [item for item in collection.items.values() if item[_SCORE] is not None]
            best[game] = None
            if scored and collection.deleted_rev is None:
                first = min(scored, key=lambda item: (-item[_SCORE], item[_AT], item[1]))
                best[game] = (self._account, game, first[_SCORE], when(first[_BODY], first[_AT]))
        return [row for row in best.values() if row is not None]


#: Not an attribute of each: methods that it is bound to would keep a stream's rows until cycles are looked for.
_STEPS: dict[Op, Callable[[StreamRows, _Collection, Change], None]] = {
    Op.DELETE: StreamRows._delete,
    Op.PROPS: StreamRows._props,
    Op.SETCOL: StreamRows._setcol,
    Op.RMCOL: StreamRows._rmcol,
}


def _numbered(insert: str, move: int, moved: dict[int, str]) -> str:
    """An INSERT whose values, counted from 1, are raised by `move` where `moved` says so; by SQLite, not row by row."""
    if not move:
        return insert
    into, _, values = insert.partition("VALUES")
    count = values.count("?")
    terms = (moved.get(number, "?{0}").format(number, move) for number in range(1, count + 1))
    return f"{into}VALUES ({', '.join(terms)})"


_RAISED = "?{0} + {1}"
#: By the place in JOURNAL, _COLLECTION and _ITEM: numbers of changes and collections. That of a change's collection
#: may be an id, as it came.
_MOVED_JOURNAL = {1: _RAISED, 10: "iif(typeof(?{0}) = 'integer', ?{0} + {1}, ?{0})"}
_MOVED_COLLECTION = {1: _RAISED}
_MOVED_ITEM = {1: _RAISED, 9: _RAISED, 11: _RAISED}


class Entering:
    """Puts the rows of streams in. Used within a transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def packed(self, data: bytes) -> list[tuple[Any, ...]]:
        """All rows of a stream; those of the journal are returned."""
        journal, end = _unpack(data)
        self.journal(journal)
        self.end(end)
        return journal

    def journal(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(JOURNAL, rows)

    def end(self, end: StreamEnd) -> None:
        self._ends([end], 0)
        self._db.execute(_STREAM, end.stream)

    def together(self, streams: Sequence[tuple[WholeStream, str | None]], next_journal: int) -> int:
        """Whole streams, their rows moved to where the journal goes on, with the reasons for which they are held.

        The number after the last one given. Streams whose numbers follow each other are moved with one statement.
        """
        rows: list[tuple[Any, ...]] = []
        ends: list[StreamEnd] = []
        held: list[tuple[Any, ...]] = []
        move = 0
        for stream, reason in streams:
            if ends and stream.first + move != next_journal:
                self._moved(rows, ends, move)
                rows, ends = [], []
            if not ends:
                move = next_journal - stream.first
            journal, end = _unpack(stream.rows)
            assert len(journal) == stream.changes
            assert not journal or journal[0][0] == stream.first, "rows are numbered from where they say"
            rows += journal
            ends.append(end)
            held.append((*end.stream, reason))
            next_journal += stream.changes
        self._moved(rows, ends, move)
        self._db.executemany(_STREAM_HELD, held)
        return next_journal

    def _moved(self, rows: Sequence[tuple[Any, ...]], ends: Sequence[StreamEnd], move: int) -> None:
        self._db.executemany(_numbered(JOURNAL, move, _MOVED_JOURNAL), rows)
        self._ends(ends, move)

    def _ends(self, ends: Sequence[StreamEnd], move: int) -> None:
        """All but the rows of the journal and those of the streams themselves."""
        collections = _numbered(_COLLECTION, move, _MOVED_COLLECTION)
        self._db.executemany(collections, chain.from_iterable(end.collections for end in ends))
        items = _numbered(_ITEM, move, _MOVED_ITEM)
        self._db.executemany(items, chain.from_iterable(end.items for end in ends))
        best = chain.from_iterable(end.best for end in ends)
        self._db.executemany("INSERT OR REPLACE INTO best VALUES (?, ?, ?, ?)", best)
        intakes = [(f"{INTAKE_ROWS}{end.stream[0]}", encode_intake(end.intake)) for end in ends if end.intake]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", intakes)
        profiles = [(*end.profile, end.stream[0]) for end in ends if end.profile]
        self._db.executemany("UPDATE account SET name = ?, listed = ? WHERE number = ?", profiles)
