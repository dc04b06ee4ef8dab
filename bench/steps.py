"""What Safehold does in a process of its own, timed from within: `python -m bench.steps STEP …`.

The last line of its output is a JSON object with `seconds`, the work alone, without the start of an interpreter and
what it has to import, and `peak_bytes`, the memory of this process at its fullest. Each step imports what it needs and
no more, for others take the time of the whole process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.processes import peak_bytes

if TYPE_CHECKING:
    from safehold.assembly.site import Site
    from safehold.model.change import Change
    from safehold.store.sqlite.connection import Opened

#: Rows that are read, then inserted.
BATCH_ROWS = 20_000
CACHE_KIB = 256 << 10
_AS_FAST_AS_IT_GOES = (
    "journal_mode = delete",  # the way from a write-ahead log to none
    "journal_mode = off",
    "locking_mode = exclusive",
    "synchronous = off",
    "secure_delete = 0",
    f"cache_size = -{CACHE_KIB}",
)
#: What every command imports once its line has been read, and what each of these does besides.
_NEEDED = ("safehold.cli.context", "safehold.cli.output", "safehold.assembly.installation")
_BESIDES = {
    "snapshot": ("safehold.assembly.jobs", "safehold.assembly.snapshot"),
    "scrub": ("safehold.assembly.scrubbing",),
}


def command(*arguments: str) -> dict[str, Any]:
    """A command of Safehold, as from a shell. Its answer comes before the last line. Raises SystemExit."""
    from safehold.cli.main import COMMANDS, main

    modules = [*_NEEDED, *(f"safehold.cli.{COMMANDS[word][0]}" for word in arguments if word in COMMANDS)]
    for module in (*modules, *(each for word in arguments for each in _BESIDES.get(word, ()))):
        import_module(module)
    began = time.perf_counter()
    code = main(arguments)
    seconds = time.perf_counter() - began
    if code:
        raise SystemExit(code)
    return {"seconds": seconds}


def scrub_runs(data: str) -> dict[str, Any]:
    """Every byte of every run object and manifest read and authenticated, and compared with what manifests state."""
    from safehold.formats.run import RUNS_PREFIX
    from safehold.formats.seal import SealedObject
    from safehold.recovery.judging import Remembered
    from safehold.recovery.scrub import Pace, Scrubber

    site = _site(data)
    began = time.perf_counter()
    opener = site.keyring.opener
    vault = site.vault(site.config.vaults[0])
    scrubber = Scrubber(vault, opener.installation, opener, Pace(site.clock, time.sleep))
    sound: dict[str, Remembered] = {}
    stated: list[SealedObject] = []
    for info in vault.list(RUNS_PREFIX):
        seen = scrubber.look(info.name, info.size)
        assert not seen.bad, f"{seen.bad}"
        sound |= seen.sound
        stated += [each for found in seen.stated.values() for each in found]
    assert stated, "there is no generation"
    for each in stated:
        assert sound[each.name] == Remembered(each.size, each.digest), f"{each.name} is not what its manifest states"
    return {"seconds": time.perf_counter() - began, "objects": len(sound)}


def contacts(data: str, account: str, name: str) -> dict[str, Any]:
    """One account's live contacts out of the vault alone: from the newest generation and the log after it.

    Each change is verified by its own hash and the chain. `account` is the id as hexadecimal digits, `name` what the
    account is called where copies are compared.
    """
    from bench.items import fingerprint
    from safehold.model.kinds import Kind
    from safehold.model.stream import EMPTY_HEAD, check_next
    from safehold.ports.log import LogFrame
    from safehold.vault.log import VaultLogReader
    from safehold.vault.runs import Runs

    site, id_ = _site(data), bytes.fromhex(account)
    began = time.perf_counter()
    opener = site.keyring.opener
    vault = site.vault(site.config.vaults[0])
    runs = Runs([vault], opener)
    generation = next(runs.generations())
    head = EMPTY_HEAD
    changes: list[Change] = []
    for entry, stream in runs.reader(generation).changes((Kind.CONTACTS,), (id_,)):
        for change in stream:
            head = check_next(head, change)
            changes.append(change)
        assert head == entry.head, "changes are missing"
    for frame in VaultLogReader([vault], opener).entries(generation.position):
        assert isinstance(frame, LogFrame), "the log has a hole"
        for change in frame.changes:
            if (change.account, change.kind) == (id_, Kind.CONTACTS):
                head = check_next(head, change)
                changes.append(change)
    live = _live(changes)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "print": fingerprint((name, *key, body) for key, body in live.items())}


def _live(changes: list[Change]) -> dict[tuple[str, str], bytes]:
    """The bodies that live after these changes, by path of the collection and name."""
    from safehold.model.change import Op

    paths: dict[bytes, str] = {}
    live: dict[tuple[str, str], bytes] = {}
    for change in changes:
        match change.op:
            case Op.MKCOL:
                paths[change.collection] = change.name
            case Op.PUT:
                assert change.body is not None, "a body is missing"
                live[paths[change.collection], change.name] = change.body
            case Op.DELETE:
                del live[paths[change.collection], change.name]
            case _:
                raise AssertionError(f"{change.op} is none of the changes that were made")
    return live


def _site(data: str) -> Site:
    from safehold import config
    from safehold.assembly.site import Site

    return Site(Path(data), config.load(Path(data) / config.FILE_NAME))


def bare_load(source: str, target: str) -> dict[str, Any]:
    """The rows of a core, every table, inserted into an empty core file of the same schema as fast as SQLite can.

    No journal, no synchronising, no index but those that a table is made of; the indexes are built at the end, then
    the file is synced. Reading the rows is not counted.
    """
    from safehold.store.sqlite.connection import CoreFile, close, open_reader, open_writer

    rows = open_reader(CoreFile(source, None, True))
    opened = open_writer(CoreFile(target, None, True), create=True)
    seconds = cpu_seconds = 0.0
    counts = {}
    try:
        db = opened.db
        for pragma in _AS_FAST_AS_IT_GOES:
            db.execute(f"PRAGMA {pragma}")
        tables: list[Any] = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        indexes: list[Any] = list(
            db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        )
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        db.execute("BEGIN EXCLUSIVE")
        for table in tables:
            db.execute(f"DELETE FROM {table}")
            for batch in _batches(rows, table):
                began, cpu_began = time.perf_counter(), time.process_time()
                db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(batch[0]))})", batch)
                seconds, cpu_seconds = _more(seconds, cpu_seconds, began, cpu_began)
        began, cpu_began = time.perf_counter(), time.process_time()
        db.execute("COMMIT")
        for _, sql in indexes:
            db.execute(sql)
        seconds, cpu_seconds = _more(seconds, cpu_seconds, began, cpu_began)
        counts = {table: _count(opened, table) for table in tables}
        assert counts == {table: _count(rows, table) for table in tables}, "rows were dropped"
    finally:
        close(rows)
        close(opened)
    began = time.perf_counter()
    with open(target, "rb+") as file:
        os.fsync(file.fileno())
    return {
        "seconds": seconds + time.perf_counter() - began,
        "cpu_seconds": cpu_seconds,
        "rows": sum(counts.values()),
    }


def _more(seconds: float, cpu_seconds: float, began: float, cpu_began: float) -> tuple[float, float]:
    return seconds + time.perf_counter() - began, cpu_seconds + time.process_time() - cpu_began


def _batches(opened: Opened, table: str) -> Iterator[list[tuple[Any, ...]]]:
    cursor = opened.db.execute(f"SELECT * FROM {table}")
    while batch := list(islice(cursor, BATCH_ROWS)):
        yield batch


def _count(opened: Opened, table: str) -> int:
    return int(opened.db.execute(f"SELECT COUNT(*) FROM {table}").get)


STEPS = {each.__name__: each for each in (command, scrub_runs, contacts, bare_load)}


def main() -> None:
    step, *arguments = sys.argv[1:]
    report = STEPS[step](*arguments)
    print(json.dumps(report | {"peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
