"""What a salvage found, in one SQLite file: `ports.survivors.Finds` and `ports.survivors.Survivors`.

Layout. `salvage.db` lies in the salvage folder. Changes are kept as msgpack of `Change` without their bodies, which lie
once each in `body` under their digest, whichever of changes, items and exports they came with: so a change whose record
was found in one source gets the body that another source had. Meta `state` is a running digest of all that was put and
was new: two salvages with the same state hold the same, put in the same order. Paths of files in the folder itself are
kept from there on, so that it can be moved; those of others in full.

Invariants:

1. putting a thing twice changes nothing, `state` included; a record of the same hash found with more (its properties,
   its blob's name, a better proof) replaces what is there;
2. what is put lies in transactions of BATCH_PUTS puts or BATCH_BYTES bytes; a kill loses the last of them, and putting
   the same sources again adds what is missing;
3. what is read is streamed: memory does not grow with the salvage.

Long, as the tables, what is put into them and what is read of them are one format.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

import apsw
import msgspec

from safehold.model.change import Change
from safehold.model.errors import Damaged, NewerCore, OperatorError
from safehold.model.kinds import RESTORE_ORDER
from safehold.model.stream import Head
from safehold.ports.disk import Disk
from safehold.ports.survivors import (
    Aside,
    KnownItem,
    Loose,
    Proof,
    SalvageSource,
    StreamKey,
    Survivor,
    Witnessed,
)
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite.connection import CoreFile, Opened, close, configure, connect
from safehold.store.sqlite.errors import guarded, guarded_iterator, in_words
from safehold.store.sqlite.vfs import CHECKSUM_BYTES

STORE_NAME = "salvage.db"
#: "Sahs": marks the file as a salvage (PRAGMA application_id).
APPLICATION_ID = 0x53616873
VERSION = 1
BATCH_PUTS = 5_000
BATCH_BYTES = 8 << 20
CACHE_KIB = 16 << 10

_KINDS = {kind: number for number, kind in enumerate(RESTORE_ORDER)}
_CHAIN, _PAGE = 0, 1
_PROOFS = {Proof.CHAIN: _CHAIN, Proof.PAGE: _PAGE}
_PROOF_OF = {number: proof for proof, number in _PROOFS.items()}

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE source (
    number INTEGER PRIMARY KEY, path TEXT NOT NULL, sort TEXT NOT NULL, size INTEGER NOT NULL, UNIQUE (path, sort)
) STRICT;
CREATE TABLE problem (
    number INTEGER PRIMARY KEY, source INTEGER NOT NULL, words TEXT NOT NULL, UNIQUE (source, words)
) STRICT;
CREATE TABLE survivor (
    account BLOB NOT NULL, kind INTEGER NOT NULL, rev INTEGER NOT NULL, hash BLOB NOT NULL,
    proof INTEGER NOT NULL, digest BLOB NOT NULL,
    source INTEGER NOT NULL, place TEXT NOT NULL, frame INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (account, kind, rev, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE known (
    account BLOB NOT NULL, kind INTEGER NOT NULL, collection BLOB NOT NULL, name TEXT NOT NULL, rev INTEGER NOT NULL,
    digest BLOB NOT NULL, size INTEGER NOT NULL, media TEXT NOT NULL, at INTEGER NOT NULL,
    source INTEGER NOT NULL, place TEXT NOT NULL,
    PRIMARY KEY (account, kind, collection, name, rev, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE loose (
    number INTEGER PRIMARY KEY,
    account TEXT NOT NULL, kind INTEGER NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL, media TEXT NOT NULL,
    digest BLOB NOT NULL, size INTEGER NOT NULL, at INTEGER, has_body INTEGER NOT NULL, path TEXT NOT NULL,
    source INTEGER NOT NULL, place TEXT NOT NULL,
    UNIQUE (account, kind, collection, name, digest, path)
) STRICT;
CREATE TABLE witness (
    account BLOB NOT NULL, kind INTEGER NOT NULL, rev INTEGER NOT NULL, hash BLOB NOT NULL, what TEXT NOT NULL,
    at INTEGER, source INTEGER NOT NULL,
    PRIMARY KEY (account, kind, rev, hash, what)
) STRICT, WITHOUT ROWID;
CREATE TABLE aside (
    number INTEGER PRIMARY KEY,
    source INTEGER NOT NULL, place TEXT NOT NULL, why TEXT NOT NULL, what TEXT NOT NULL, mark BLOB NOT NULL,
    data BLOB NOT NULL, account BLOB, kind INTEGER, name TEXT NOT NULL,
    UNIQUE (source, place, what, why, mark)
) STRICT;
CREATE TABLE account (account BLOB PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE erased (account BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE body (digest BLOB NOT NULL UNIQUE, source INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE blob (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, source INTEGER NOT NULL, UNIQUE (name, path)
) STRICT;
"""

_NOT_ERASED = "account NOT IN (SELECT account FROM erased)"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode


class FindCounts(NamedTuple):
    """`loose` items, `bodies` that lie here, files that bear names of `blobs`, pieces set `aside`."""

    chain: int
    page: int
    loose: int
    bodies: int
    blobs: int
    aside: int


class SurvivorStore:
    """One salvage: written by one process at a time, read by others meanwhile. Closing it keeps what was put."""

    def __init__(self, opened: Opened, folder: str, *, read_only: bool) -> None:
        self._opened = opened
        self._base = f"{os.path.abspath(folder)}/"
        self._db = opened.db
        self._read_only = read_only
        self._closed = False
        self._puts = self._bytes = 0
        self._state = self._meta("state") or b""

    @classmethod
    def open(
        cls, folder: str, *, disk: Disk | None = None, create: bool = False, read_only: bool = False
    ) -> SurvivorStore:
        """The salvage in this folder, which is made (for its owner alone) with `create`.

        `disk` puts it on a disk port in place of this machine's: then one connection only. Raises OperatorError
        (missing and not `create`, another program's file), NewerCore, Damaged, OutOfSpace.
        """
        path = f"{folder}/{STORE_NAME}"
        on = disk or RealDisk()
        if not (on.exists(path) and on.size(path) > 0):
            if not create:
                raise OperatorError(f"there is no salvage in {folder}", hint="`safehold salvage SOURCE --out DIR`")
            on.make_folders(folder)
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        if read_only and disk is None:
            flags = apsw.SQLITE_OPEN_READONLY
        opened = connect(CoreFile(path, disk, True), flags)
        try:
            _prepare(opened, path, writes=flags != apsw.SQLITE_OPEN_READONLY)
            if create:
                on.sync_folder(folder)
            return cls(opened, folder, read_only=read_only)
        except BaseException as error:
            with suppress(apsw.Error):  # it is `error` that says what is wrong
                close(opened)
            typed = in_words(error) if isinstance(error, apsw.Error) else None
            if typed is not None:
                raise typed from error
            raise

    @guarded
    def commit(self) -> None:
        """What was put is on disk."""
        if self._db.in_transaction:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (self._state,))
            self._db.execute("COMMIT")
        self._puts = self._bytes = 0

    def close(self) -> None:
        """Commit, and close. Harmless when repeated."""
        try:
            if not self._closed:
                self.commit()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without what was put since the last commit."""
        self._closed = True
        close(self._opened)

    def __enter__(self) -> SurvivorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self) -> bytes:
        """Stands for everything that was put; b"" where nothing was."""
        return self._state

    # -- ports.survivors.Finds

    @guarded
    def source(self, path: str, sort: str, size: int) -> int:
        """Its number; the same for the same path and sort."""
        self._put("INSERT INTO source (path, sort, size) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (path, sort, size))
        (number,) = self._row("SELECT number FROM source WHERE path = ? AND sort = ?", (_text(path), sort))
        return int(number)

    @guarded
    def problem(self, source: int, words: str) -> None:
        self._put("INSERT INTO problem (source, words) VALUES (?, ?) ON CONFLICT DO NOTHING", (source, words))

    @guarded
    def survivor(self, survivor: Survivor) -> None:
        change = survivor.change
        if change.body is not None:
            self._body(change.digest, change.body, survivor.source)
        bare = change if change.body is None else msgspec.structs.replace(change, body=None)
        place = change.account, _KINDS[change.kind], change.rev, change.hash
        proof = _PROOFS[survivor.proof]
        rest = change.digest, survivor.source, survivor.where, survivor.frame
        if self._put(
            "INSERT INTO survivor VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*place, proof, *rest, _encode(bare)),
        ):
            return
        had, record, frame = self._row(
            "SELECT proof, record, frame FROM survivor WHERE account = ? AND kind = ? AND rev = ? AND hash = ?", place
        )
        fuller = bare if proof < had else _decode(record)
        if proof == had:
            fuller = msgspec.structs.replace(
                fuller, blob=fuller.blob or bare.blob, props=fuller.props if fuller.props is not None else bare.props
            )
        if (packed := _encode(fuller)) != record or (proof == had and survivor.frame and not frame):
            self._put(
                "UPDATE survivor SET proof = ?, frame = ?, record = ?, digest = ?"
                " WHERE account = ? AND kind = ? AND rev = ? AND hash = ?",
                (min(proof, had), frame or survivor.frame, packed, fuller.digest, *place),
            )

    @guarded
    def known(self, item: KnownItem) -> None:
        self._put(
            "INSERT INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (item.account, _KINDS[item.kind], *item[2:]),
        )

    @guarded
    def loose(self, loose: Loose) -> None:
        if loose.body is not None:
            self._body(loose.digest, loose.body, loose.source)
        self._put(
            "INSERT INTO loose"
            " (account, kind, collection, name, media, digest, size, at, has_body, path, source, place)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                loose.account,
                _KINDS[loose.kind],
                loose.collection,
                loose.name,
                loose.media,
                loose.digest,
                loose.size,
                loose.at,
                loose.body is not None,
                self._kept(loose.path),
                loose.source,
                loose.where,
            ),
        )

    @guarded
    def witness(self, witnessed: Witnessed) -> None:
        """Of one head seen several times by the same sort of witness, the latest time counts."""
        self._put(
            "INSERT INTO witness VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at"
            " WHERE excluded.at > coalesce(witness.at, excluded.at - 1)",
            (
                witnessed.account,
                _KINDS[witnessed.kind],
                witnessed.head.rev,
                witnessed.head.hash,
                witnessed.what,
                witnessed.at,
                witnessed.source,
            ),
        )

    @guarded
    def aside(self, aside: Aside) -> None:
        self._put(
            "INSERT INTO aside (source, place, why, what, mark, data, account, kind, name)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                aside.source,
                aside.where,
                aside.why,
                aside.what,
                sha256(aside.data).digest(),
                aside.data,
                aside.account,
                None if aside.kind is None else _KINDS[aside.kind],
                aside.name,
            ),
            len(aside.data),
        )

    @guarded
    def account(self, account: bytes, name: str) -> None:
        """The first name that is not empty stays."""
        self._put(
            "INSERT INTO account VALUES (?, ?) ON CONFLICT DO UPDATE SET name = excluded.name"
            " WHERE account.name = '' AND excluded.name <> ''",
            (account, name),
        )

    @guarded
    def erased(self, account: bytes) -> None:
        self._put("INSERT INTO erased VALUES (?) ON CONFLICT DO NOTHING", (account,))

    @guarded
    def body(self, digest: bytes, body: bytes, source: int) -> None:
        self._body(digest, body, source)

    @guarded
    def blob(self, name: bytes, path: str, size: int, source: int) -> None:
        self._put(
            "INSERT INTO blob (name, path, size, source) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, self._kept(path), size, source),
        )

    # -- ports.survivors.Survivors

    @guarded
    def sources(self) -> Sequence[SalvageSource]:
        problems: dict[int, list[str]] = {}
        for source, words in self._db.execute("SELECT source, words FROM problem ORDER BY number"):
            problems.setdefault(source, []).append(words)
        rows = self._db.execute("SELECT number, path, sort, size FROM source ORDER BY number")
        return [
            SalvageSource(number, path, sort, size, tuple(problems.get(number, ())))
            for number, path, sort, size in rows
        ]

    @guarded_iterator
    def keys(self) -> Iterator[StreamKey]:
        """In restore order, then by account."""
        for account, kind in self._db.execute(
            f"SELECT account, kind FROM (SELECT account, kind FROM survivor UNION SELECT account, kind FROM known"
            f" UNION SELECT account, kind FROM witness) WHERE {_NOT_ERASED} ORDER BY kind, account"
        ):
            yield account, RESTORE_ORDER[kind]

    @guarded_iterator
    def changes(self, key: StreamKey, proof: Proof) -> Iterator[Survivor]:
        for record, body, source, place, frame in self._db.execute(
            "SELECT record, body.body, survivor.source, place, frame FROM survivor"
            " LEFT JOIN body ON body.digest = survivor.digest AND survivor.digest <> x''"
            f" WHERE account = ? AND kind = ? AND proof = ? AND {_NOT_ERASED}"
            " ORDER BY rev, hash",
            (key[0], _KINDS[key[1]], _PROOFS[proof]),
        ):
            change = _decode(record)
            if body is not None and change.blob is None:
                msgspec.structs.force_setattr(change, "body", body)
            yield Survivor(change, proof, source, place, frame)

    @guarded_iterator
    def known_items(self, key: StreamKey) -> Iterator[KnownItem]:
        for row in self._db.execute(
            "SELECT account, kind, collection, name, rev, digest, size, media, at, source, place FROM known"
            f" WHERE account = ? AND kind = ? AND {_NOT_ERASED} ORDER BY collection, name, rev, digest",
            (key[0], _KINDS[key[1]]),
        ):
            yield KnownItem(row[0], RESTORE_ORDER[row[1]], *row[2:])

    @guarded_iterator
    def witnesses(self, key: StreamKey) -> Iterator[Witnessed]:
        """By rev."""
        for rev, hash_, what, at, source in self._db.execute(
            f"SELECT rev, hash, what, at, source FROM witness WHERE account = ? AND kind = ? AND {_NOT_ERASED}"
            " ORDER BY rev, hash, what",
            (key[0], _KINDS[key[1]]),
        ):
            yield Witnessed(*key, Head(rev, hash_), at, what, source)

    @guarded_iterator
    def loose_items(self) -> Iterator[Loose]:
        """In the order in which they were put."""
        for row in self._db.execute(
            "SELECT account, kind, collection, name, media, loose.digest, size, at,"
            " CASE WHEN has_body THEN body.body END, path, loose.source, place"
            " FROM loose LEFT JOIN body ON body.digest = loose.digest ORDER BY number"
        ):
            item = Loose(row[0], RESTORE_ORDER[row[1]], *row[2:])
            yield item._replace(path=self._place(item.path))

    @guarded
    def owners(self) -> list[str]:
        """For whom things of exports were given; "" among them where that is not known of all."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT account FROM loose ORDER BY account")]

    @guarded_iterator
    def asides(self) -> Iterator[Aside]:
        """In the order in which they were put; those of erased accounts too, without what they hold."""
        for source, place, why, what, data, account, kind, name, gone in self._db.execute(
            f"SELECT source, place, why, what, data, account, kind, name, account IS NOT NULL AND NOT {_NOT_ERASED}"
            " FROM aside ORDER BY number"
        ):
            known = None if kind is None else RESTORE_ORDER[kind]
            yield Aside(source, place, why, what, b"" if gone else data, account, known, "" if gone else name)

    @guarded
    def accounts(self) -> dict[bytes, str]:
        """Names of those that are not erased."""
        return dict(self._db.execute(f"SELECT account, name FROM account WHERE {_NOT_ERASED}"))

    @guarded
    def erased_accounts(self) -> frozenset[bytes]:
        return frozenset(account for (account,) in self._db.execute("SELECT account FROM erased"))

    @guarded
    def body_of(self, digest: bytes) -> bytes | None:
        row = self._db.execute("SELECT body FROM body WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else row[0]

    @guarded
    def blob_path(self, name: bytes) -> str | None:
        """The first that was found, of the largest."""
        row = self._db.execute(
            "SELECT path FROM blob WHERE name = ? ORDER BY size DESC, number LIMIT 1", (name,)
        ).fetchone()
        return None if row is None else self._place(row[0])

    @guarded
    def counts(self) -> FindCounts:
        """How much there is of each sort, but for what was erased."""
        changes = f"SELECT count(*) FROM survivor WHERE proof = ? AND {_NOT_ERASED}"
        others = ("loose", "body", "blob", "aside")
        return FindCounts(
            *(int(self._row(changes, (proof,))[0]) for proof in (_CHAIN, _PAGE)),
            *(int(self._row(f"SELECT count(*) FROM {table}", ())[0]) for table in others),
        )

    # -- taking back what was put

    @guarded
    def settle(self, source: int, place: str) -> None:
        """What went aside from this place, or from within it, has proved itself since."""
        within = f"{_text(place)}: "
        self._put(
            "DELETE FROM aside WHERE source = ? AND (place = ? OR substr(place, 1, ?) = ?)",
            (source, place, len(within), within),
        )

    @guarded
    def forget_erased(self, blobs: Collection[bytes] = (), bodies: Iterable[bytes] = ()) -> list[str]:
        """Remove what belongs to erased accounts; paths of files that nothing names any more.

        `blobs` are names known to be theirs, `bodies` digests. Of bodies those go that only their changes named. What
        is removed is overwritten, in the log too.
        """
        digests, names = set(bodies), set(blobs)
        if not names and not digests and self._row("SELECT count(*) FROM erased", ())[0] == 0:
            return []
        self.commit()
        self._db.pragma("secure_delete", True)
        gone = "account IN (SELECT account FROM erased)"
        for (record,) in self._db.execute(f"SELECT record FROM survivor WHERE {gone}"):
            change = _decode(record)
            digests.add(change.digest)
            names.update((change.blob,) if change.blob is not None else ())
        for table in ("survivor", "known", "witness", "aside", "account"):
            self._put(f"DELETE FROM {table} WHERE {gone}", ())
        still = " UNION ".join(f"SELECT digest FROM {table}" for table in ("survivor", "known", "loose"))
        for digest in sorted(digests):
            self._put(f"DELETE FROM body WHERE digest = ? AND digest NOT IN ({still})", (digest,))
        paths: list[str] = []
        for name in sorted(names):
            paths += [path for (path,) in self._db.execute("SELECT path FROM blob WHERE name = ?", (name,))]
            self._put("DELETE FROM blob WHERE name = ?", (name,))
        self.commit()
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        named = "SELECT (SELECT count(*) FROM blob WHERE path = ?1) + (SELECT count(*) FROM loose WHERE path = ?1)"
        return [self._place(path) for path in paths if not self._row(named, (path,))[0]]

    # -- writing

    def _body(self, digest: bytes, body: bytes, source: int) -> None:
        assert sha256(body).digest() == digest, "a body was found under a digest that is not its own"
        self._put("INSERT INTO body VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (digest, source, body), len(body))

    def _kept(self, path: str) -> str:
        """As it is kept: from this folder on for what lies in it, so that the folder can be moved."""
        return path.removeprefix(self._base)

    def _place(self, path: str) -> str:
        """Where what is kept under this path lies now."""
        return f"{self._base}{path}" if path and not path.startswith("/") else path

    def _put(self, sql: str, values: tuple[Any, ...], size: int = 0) -> bool:
        """Whether it changed anything. Commits where the batch is full."""
        assert not self._read_only, "put into a salvage that was opened to be read"
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        before = self._db.total_changes()
        values = tuple(_text(value) if isinstance(value, str) else value for value in values)
        self._db.execute(sql, values)
        if self._db.total_changes() == before:
            return False
        self._state = sha256(self._state + _encode((sql, values))).digest()
        self._puts += 1
        self._bytes += size
        if self._puts >= BATCH_PUTS or self._bytes >= BATCH_BYTES:
            self.commit()
        return True

    def _row(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        row = self._db.execute(sql, values).fetchone()
        assert row is not None, "what was just put is not there"
        return tuple(row)

    def _meta(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]


def _text(value: str) -> str:
    """As it can be kept: names of files need not be in any encoding that is known, and come as lone surrogates then."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _prepare(opened: Opened, path: str, *, writes: bool) -> None:
    """Settings, and tables where there are none. Raises OperatorError (another program's file), NewerCore, Damaged."""
    db = opened.db
    if opened.seam is not None:
        db.pragma("locking_mode", "exclusive")  # before anything is read: a WAL needs shared memory else
    if writes and db.pragma("page_count") == 0:
        db.reserve_bytes(reserve=CHECKSUM_BYTES)
    configure(db, CACHE_KIB)
    if writes and _is_empty(db):
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.execute(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT"
        )
    if db.pragma("application_id") != APPLICATION_ID:
        raise OperatorError(f"{path} is not a salvage", hint="name the folder that `safehold salvage --out` made")
    if db.pragma("user_version") > VERSION:
        raise NewerCore(f"{path} was made by a newer Safehold", hint="use that one")
    if db.reserve_bytes() != CHECKSUM_BYTES:
        raise Damaged(
            f"{path}: its header asks for no page checksums", where="salvage", hint="salvage its sources again"
        )
    if writes:
        db.pragma("synchronous", "full")


def _is_empty(db: apsw.Connection) -> bool:
    """Nothing is in it yet: it was made just now, or a kill came between."""
    marked = db.pragma("application_id") or db.pragma("user_version")
    return not marked and db.execute("SELECT count(*) FROM sqlite_schema").get == 0
