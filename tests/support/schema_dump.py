"""A core as SQL text, to keep for the day when its schema is old.

python -m tests.support.schema_dump > tests/vectors/schema/vN.sql
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import apsw

from safehold.model.change import Op
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.vfs import CHECKSUM_BYTES, checksum_vfs
from tests.support.changes import Streams, account_id, card, collection_id

BOOK, GAME = "contacts/default", "scores/go"


def schema(db: apsw.Connection) -> list[str]:
    """The statements that made the tables and indexes."""
    rows = db.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name"
    )
    return [str(sql) for (sql,) in rows]


def dump(db: apsw.Connection) -> str:
    lines = [f"PRAGMA {name} = {db.pragma(name)};" for name in ("application_id", "user_version")]
    lines += [f"{sql};" for sql in schema(db)]
    tables = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    for table in sorted(tables, key=lambda name: name.startswith("sqlite_")):
        if table.startswith("sqlite_") and table != "sqlite_sequence":
            continue
        if table == "sqlite_sequence":
            lines.append("DELETE FROM sqlite_sequence;")
        for row in db.execute(f"SELECT * FROM {table}"):
            lines.append(f"INSERT INTO {table} VALUES ({', '.join(map(apsw.format_sql_value, row))});")
    return "\n".join(lines) + "\n"


def load(path: Path, sql: str) -> None:
    """Make a database file of a dump."""
    db = apsw.Connection(str(path), vfs=checksum_vfs())
    db.reserve_bytes(reserve=CHECKSUM_BYTES)
    db.execute("BEGIN")
    db.execute(sql)
    db.execute("COMMIT")
    db.close()


def fill(core: SqliteCore) -> Streams:
    """A little of everything that a core can hold."""
    streams = Streams(timeline=3)
    ann, ben, gone = account_id(1), account_id(2), account_id(3)
    core.begin()
    for account, name in ((bytes(16), None), (ann, "ann"), (ben, "ben"), (gone, "gone")):
        core.apply(streams.mkcol(account, Kind.IDENTITY, "identity", {"type": "identity"}), 1)
        if name is not None:
            core.apply(streams.profile(account, name, listed=name == "ann"), 1)
            core.apply(streams.mkcol(account, Kind.CONTACTS, BOOK), 1)
    core.apply(streams.identity(bytes(16), "token-key", bytes(range(32))), 1)
    core.drop_account(gone)
    core.commit()
    core.begin()
    book, media = collection_id(BOOK), "text/vcard; charset=utf-8"
    for change in (
        streams.put_card(ann, BOOK, "é.vcf", "uid-1"),
        streams.put_card(ann, BOOK, "b.vcf", "uid-2"),
        streams.put_card(ann, BOOK, "b.vcf", "uid-2", text="newer"),
        streams.make(ann, Kind.CONTACTS, Op.PROPS, book, "b.vcf", props={"{DAV:}displayname": "<x/>"}),
        streams.make(ann, Kind.CONTACTS, Op.REFUSED, book, "b.vcf", body=card("uid-2", "refused"), media=media),
        streams.make(ann, Kind.CONTACTS, Op.PUT, book, "big.vcf", body=card("uid-3"), blob=b"blob", media=media),
        streams.delete(ann, Kind.CONTACTS, BOOK, "é.vcf"),
        streams.mkcol(ann, Kind.NOTES, "files/notes", {"type": "folder"}),
        streams.make(ann, Kind.NOTES, Op.SETCOL, collection_id("files/notes"), props={"type": "folder", "x": "1"}),
        streams.mkcol(ann, Kind.NOTES, "files/notes/old", {"type": "folder"}),
        streams.make(ann, Kind.NOTES, Op.RMCOL, collection_id("files/notes/old"), "files/notes/old"),
        streams.mkcol(ann, Kind.SCORES, GAME, {"type": "game"}),
        streams.make(
            ann, Kind.SCORES, Op.PUT, collection_id(GAME), "1", body=b'{"score": 7.5}', media="application/json"
        ),
    ):
        core.apply(change, 2)
    streams.put_card(ben, BOOK, "lost.vcf")
    core.apply(streams.put_card(ben, BOOK, "kept.vcf"), 2, after_gap=True)
    core.apply(streams.make(ben, Kind.CONTACTS, Op.GAP, props={"first": "2", "last": "2"}, actor="recovery"), 2)
    core.hold(ben, Kind.CALENDAR, "not restored yet")
    core.set_log_position(LogPosition(3, 2, bytes(range(32))))
    core.commit()
    return streams


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        core = SqliteCore.open(f"{folder}/core.db", create=True)
        fill(core)
        sys.stdout.write(dump(core._db))
        core.close()


if __name__ == "__main__":
    main()
