"""The tables of a core on SQLite, and the numbered steps that lead an older core to them.

`PRAGMA user_version` is the number of the last step taken. Each step runs in one transaction, so that a crash
leaves the core at one version or the next. A step, once released, is never edited; tests/vectors/schema keeps a
dump of every version, and a test upgrades each.

account     number is the core's local key; number 0 is the installation itself. Names are not unique here: a
            recovery brings streams back one by one, and two accounts may bear a name until both are whole.
stream      one row for each (account, kind) that has a change or is held: where it ends, how many revisions
            before its end are missing here, how many items it has alive, and how many bytes their bodies have.
            base_rev is not 0 where history up to there was dropped: of that, only what lived is here (the rest
            counts as missing). base_at (µs): from then on it is known what lived at a time.
journal     every change in commit order, verbatim. `collection` is the collection's number, or the id as it came
            where the core has no such collection; `prev` is NULL where it is the hash of the rev before.
collection  one row for each collection that ever was. deleted_rev is NULL while it lives; 0 where its making is
            missing (changes came after a gap): its items are kept, but it has no path and is not listed.
item        what lives in collections: state derived from the journal, pointing into it. `score` is that of a score.
best        the best score of an account in a game.
meta        by name: the log's position, marks, and for each account with a number in whose intake writes wait, how many
            and how large they are (`intake/NUMBER`).

Numbers of accounts, collections and changes are never given twice, whatever is erased: others may remember them.
"""

from __future__ import annotations

import apsw

from safehold.model.change import Op
from safehold.model.errors import Damaged, NewerCore, OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind

#: "Sahd": marks the file as a Safehold core (PRAGMA application_id).
APPLICATION_ID = 0x53616864

#: Kinds and operations as the tables hold them. Append only: the numbers lie in files.
KIND_NUMBERS: dict[Kind, int] = {kind: number for number, kind in enumerate(RESTORE_ORDER)}
OPS: tuple[Op, ...] = (Op.MKCOL, Op.SETCOL, Op.RMCOL, Op.PUT, Op.PROPS, Op.DELETE, Op.REFUSED, Op.GAP)
OP_NUMBERS: dict[Op, int] = {op: number for number, op in enumerate(OPS)}

#: Indexes that `apply` does not read, so that a bulk load may build them at its end.
DEFERRED_INDEXES: dict[str, str] = {
    # Sync, history and hash_at.
    "journal_stream": "CREATE INDEX journal_stream ON journal(account, kind, rev, collection)",
    # What a vault lacks, and since when.
    "journal_frame": "CREATE INDEX journal_frame ON journal(frame, at)",
    # Of the items whose name does not tell their UID; the others are found by their name.
    "item_uid": (
        "CREATE INDEX item_uid ON item(collection, uid) WHERE name <> uid || '.vcf' AND name <> uid || '.ics'"
    ),
}

_V1 = f"""
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL DEFAULT '',
    listed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX account_name ON account(name) WHERE name <> '';

CREATE TABLE stream (
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    head BLOB NOT NULL,
    missing INTEGER NOT NULL DEFAULT 0,
    items INTEGER NOT NULL DEFAULT 0,
    held TEXT,
    PRIMARY KEY (account, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    frame INTEGER NOT NULL,
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    timeline INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    at INTEGER NOT NULL,
    op INTEGER NOT NULL,
    collection ANY NOT NULL,
    name TEXT NOT NULL,
    media TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    props_digest BLOB NOT NULL,
    actor TEXT NOT NULL,
    prev BLOB,
    hash BLOB NOT NULL,
    blob BLOB,
    props BLOB,
    body BLOB
) STRICT;
{DEFERRED_INDEXES["journal_stream"]};
{DEFERRED_INDEXES["journal_frame"]};

CREATE TABLE collection (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    account INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    path TEXT NOT NULL,
    rev INTEGER NOT NULL,
    head BLOB NOT NULL,
    created_rev INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    deleted_rev INTEGER,
    props BLOB
) STRICT;
CREATE UNIQUE INDEX collection_id ON collection(account, id);
CREATE INDEX collection_path ON collection(account, path);

CREATE TABLE item (
    collection INTEGER NOT NULL,
    name TEXT NOT NULL,
    rev INTEGER NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    media TEXT NOT NULL,
    at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    journal INTEGER NOT NULL,
    uid TEXT,
    props_journal INTEGER,
    score ANY,
    PRIMARY KEY (collection, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_uid ON item(collection, uid) WHERE uid IS NOT NULL;
CREATE INDEX item_score ON item(collection, score DESC, at) WHERE score IS NOT NULL;

CREATE TABLE best (
    account INTEGER NOT NULL,
    game TEXT NOT NULL,
    score ANY NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, game)
) STRICT, WITHOUT ROWID;
CREATE INDEX best_game ON best(game, score DESC, at);
"""

#: What an account holds is known without looking at what it holds.
_V2 = """
ALTER TABLE stream ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE stream SET bytes = s.bytes FROM (
    SELECT c.account AS account, c.kind AS kind, SUM(i.size) AS bytes
    FROM item i JOIN collection c ON c.number = i.collection GROUP BY c.account, c.kind
) s WHERE s.account = stream.account AND s.kind = stream.kind;
"""

#: Nearly all clients name an item by its UID: those need no entry in an index, which each PUT would have to write.
_V3 = f"""
DROP INDEX IF EXISTS item_uid;
{DEFERRED_INDEXES["item_uid"]};
"""

#: A stream may begin at a base, up to which its history was dropped.
_V4 = """
ALTER TABLE stream ADD COLUMN base_timeline INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN base_rev INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN base_head BLOB;
ALTER TABLE stream ADD COLUMN base_root BLOB;
ALTER TABLE stream ADD COLUMN base_at INTEGER NOT NULL DEFAULT 0;
"""

#: Step n leads from version n to version n + 1.
STEPS: tuple[str, ...] = (_V1, _V2, _V3, _V4)
VERSION = len(STEPS)
#: The first versions that keep count of a stream's bytes, and whose streams may have a base.
BYTES_SINCE = 2
BASES_SINCE = 4


def version(db: apsw.Connection) -> int:
    """The schema version of an open core; 0 for an empty file."""
    return int(db.pragma("user_version"))


def check(db: apsw.Connection, path: str) -> None:
    """Raise where this is no core of ours: OperatorError for another program's file or a newer version."""
    found = version(db)
    application = db.pragma("application_id")
    if (found or _has_tables(db)) and application != APPLICATION_ID:
        raise OperatorError(f"{path} is a SQLite database, but not a Safehold core", hint="give another data folder")
    if found > VERSION:
        raise NewerCore(
            f"{path} has schema version {found}; this Safehold knows versions up to {VERSION}",
            hint="run the newer Safehold that last used it",
        )


def upgrade(db: apsw.Connection, path: str) -> list[int]:
    """Take the steps that are missing, each in one transaction; the versions reached. Raises as `check`."""
    check(db, path)
    reached = []
    for number in range(version(db), VERSION):
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(STEPS[number])
            db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        reached.append(number + 1)
    return reached


def require_core(db: apsw.Connection, path: str) -> None:
    """Raise Damaged where the file holds no core at all, else as `check`."""
    check(db, path)
    if version(db) == 0:
        raise Damaged(f"{path} holds no core", where=path, hint="see `safehold recover plan`")


def require_current(db: apsw.Connection, path: str) -> None:
    """Raise OperatorError where the core needs an upgrade first, else as `require_core`."""
    require_core(db, path)
    found = version(db)
    if found < VERSION:
        raise OperatorError(f"{path} has schema version {found}", hint="start `safehold serve` once to upgrade it")


def restore_indexes(db: apsw.Connection) -> None:
    """Build those that a bulk load, cut short, left out."""
    for name, sql in DEFERRED_INDEXES.items():
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).get is None:
            db.execute(sql)


def _has_tables(db: apsw.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").get is not None
