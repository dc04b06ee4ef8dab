"""What Safehold does in a process of its own, timed from within: `python -m bench.steps STEP …`.

The last line of its output is a JSON object with `seconds`, the work alone, without the start of an interpreter and
what it has to import, and `peak_bytes`, the memory of this process at its fullest.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from typing import Any

from bench.child import own_peak_bytes
from safehold.cli.main import COMMANDS
from safehold.cli.main import main as safehold
from safehold.store.sqlite.connection import CoreFile, Opened, close, open_reader, open_writer

#: Rows that are read, then inserted.
BATCH_ROWS = 20_000
CACHE_KIB = 256 << 10
#: What every command imports once its line has been read.
_NEEDED = ("safehold.cli.context", "safehold.cli.output", "safehold.assembly.installation")


def command(*arguments: str) -> dict[str, Any]:
    """A command of Safehold, as from a shell. Its answer comes before the last line. Raises SystemExit."""
    for module in (*_NEEDED, *(f"safehold.cli.{COMMANDS[word][0]}" for word in arguments if word in COMMANDS)):
        import_module(module)
    began = time.perf_counter()
    code = safehold(arguments)
    seconds = time.perf_counter() - began
    if code:
        raise SystemExit(code)
    return {"seconds": seconds}


def bare_load(source: str, target: str) -> dict[str, Any]:
    """The rows of a core, every table, inserted into an empty core file of the same schema as fast as SQLite can.

    No journal, no synchronising, no index but those that a table is made of; the indexes are built at the end, then
    the file is synced. Reading the rows is not counted.
    """
    rows = open_reader(CoreFile(source, None, True))
    opened = open_writer(CoreFile(target, None, True), create=True)
    seconds, counts = 0.0, {}
    try:
        db = opened.db
        for name, value in {"journal_mode": "delete", "locking_mode": "exclusive", "synchronous": "off"}.items():
            db.pragma(name, value)
        for name, value in {"journal_mode": "off", "secure_delete": 0, "cache_size": -CACHE_KIB}.items():
            db.pragma(name, value)
        tables = [str(n) for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        indexes = list(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.execute("BEGIN EXCLUSIVE")
        for table in tables:
            db.execute(f"DELETE FROM {table}")
            for batch in _batches(rows, table):
                began = time.perf_counter()
                db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(batch[0]))})", batch)
                seconds += time.perf_counter() - began
        began = time.perf_counter()
        db.execute("COMMIT")
        for _, sql in indexes:
            db.execute(sql)
        seconds += time.perf_counter() - began
        counts = {table: _count(opened, table) for table in tables}
        assert counts == {table: _count(rows, table) for table in tables}, "rows were dropped"
    finally:
        close(rows)
        close(opened)
    began = time.perf_counter()
    with open(target, "rb+") as file:
        os.fsync(file.fileno())
    return {"seconds": seconds + time.perf_counter() - began, "rows": sum(counts.values())}


def _batches(opened: Opened, table: str) -> Iterator[list[tuple[Any, ...]]]:
    cursor = opened.db.execute(f"SELECT * FROM {table}")
    while batch := list(islice(cursor, BATCH_ROWS)):
        yield batch


def _count(opened: Opened, table: str) -> int:
    return int(opened.db.execute(f"SELECT COUNT(*) FROM {table}").get)


def main() -> None:
    step, *arguments = sys.argv[1:]
    report = {"command": command, "bare_load": bare_load}[step](*arguments)
    print(json.dumps(report | {"peak_bytes": own_peak_bytes()}))


if __name__ == "__main__":
    main()
