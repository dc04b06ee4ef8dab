"""Backups of Safehold beside restic, BorgBackup, Litestream and pg_dump, of the same items in the same minutes.

    python -m bench.backup [--large] [--quick] [--rounds 3] [--work DIR] [--tools Safehold,restic,…] [--items N]

A round takes a full backup with each tool, changes 1 % of the items, takes another, verifies what is stored, fetches
one account's contacts and restores the whole; from round to round the tools take turns in another order, and medians
are compared. What each has restored is read, counted and digested.

It measures 100,000 items (200 accounts of 500) and keeps what it has of other sizes; `--large` measures 1,000,000 in
one round, without the tools that keep one file an item. It writes bench/backup.json and docs/performance.md, and exits
with 1 where what Safehold brought back was wrong, with 2 where a tool is missing. `--quick` and `--items` take small
numbers, `--tools` some of the tools: they write nothing. The items and an installation that holds them are kept in
`--work` for the next run; a run that was broken off goes on with making them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from subprocess import CalledProcessError
from typing import Any

from bench import backup_page, house, page
from bench.backup_goals import faults, verdicts
from bench.child import Failed, Ran
from bench.house import Safehold
from bench.items import Print, Reference, fingerprint
from bench.machine import machine, versions
from bench.servers import ROOT, peers_environment
from bench.tools import DATABASES, STEPS, TREES, Litestream, Missing, Sources, Tool, litestream_in

SEED = 1
ITEMS_EACH = 500
SMALL, LARGE = 100_000, 1_000_000
CHANGED = 0.01
#: A step of a peer is broken off after so long.
LIMIT_SECONDS = 900.0

Found = dict[str, dict[str, Any]]


class Size:
    """The items of one size, in a folder of their own."""

    def __init__(self, work: Path, total: int) -> None:
        # What other code has made is no longer what this code would make.
        made_by = sha256(b"".join((ROOT / f"bench/{name}.py").read_bytes() for name in ("items", "house"))).hexdigest()
        self.folder = work / f"{total}-{made_by[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = Reference(self.folder / "items.db", SEED, total // ITEMS_EACH, ITEMS_EACH)
        self.pristine = self.folder / "safehold"

    def make(self) -> None:
        """What every round begins with."""
        self.reference.make()
        house.make(self.pristine, self.reference)


def measure(size: Size, kinds: list[type[Tool]], rounds: int, limit_seconds: float) -> dict[str, Any]:
    """Every figure of every round, and their medians."""
    size.make()
    Safehold.pristine = size.pristine
    taken: dict[str, list[Found]] = {kind.name: [] for kind in kinds}
    for number in range(rounds):
        turn = number % len(kinds)
        for name, found in _round(size, number, [*kinds[turn:], *kinds[:turn]], limit_seconds).items():
            taken[name].append(found)
    return {
        "machine": machine(),
        "versions": versions(),
        "left_out": [kind.name for kind in (*DATABASES, *TREES) if kind not in kinds],
        "items": size.reference.total,
        "accounts": size.reference.accounts,
        "body_bytes": sum(len(row[3]) for row in size.reference.rows()),
        "rounds": rounds,
        "limit_seconds": limit_seconds,
        "tools": {
            kind.name: {"version": kind.version(), "settings": kind.settings, "steps": _medians(taken[kind.name])}
            for kind in kinds
        },
    }


def _round(size: Size, number: int, kinds: list[type[Tool]], limit_seconds: float) -> dict[str, Found]:
    found: dict[str, Found] = {kind.name: {} for kind in kinds}
    with _folder(size.folder / "round") as folder:
        sources = Sources(folder / "sources", size.reference, tree=any(kind in TREES for kind in kinds))
        with _tools(folder, sources, kinds, limit_seconds) as tools:
            for tool in tools:
                _step(tool, "full backup", found[tool.name], number)
            changed = size.reference.changed(CHANGED, number + 2)
            sources.change(changed)
            for tool in tools:
                tool.change(changed)
            for step in [*STEPS][1:]:
                for tool in tools:
                    _step(tool, step, found[tool.name], number)
    return found


def _step(tool: Tool, step: str, found: Found, number: int) -> None:
    """Measure one step, unless the tool lacks it or could not end an earlier one."""
    method = STEPS[step]
    if method not in tool.can or any(each["broken_off"] for each in found.values()):
        return
    account = (number * 7 + 3) % tool.sources.reference.accounts
    ran: Ran
    wrong: list[str] = []
    os.sync()  # what others have left to be written is not this tool's
    before = tool.stored_bytes()
    if method == "contacts":
        ran, brought = tool.contacts(account)
        wrong = _difference(brought, fingerprint(tool.sources.rows(account)))
    else:
        ran = getattr(tool, method)()
    stored = tool.stored_bytes() - before
    if method == "restore" and not ran.broken_off:
        wrong = _difference(fingerprint(tool.restored_rows()), fingerprint(tool.sources.rows()))
    found[step] = {
        "seconds": ran.seconds,
        "inner_seconds": ran.inner_seconds,
        "cpu_seconds": ran.cpu_seconds,
        "peak_bytes": ran.peak_bytes,
        "stored_bytes": stored,
        "broken_off": ran.broken_off,
        "wrong": wrong,
    }
    inner = "" if ran.inner_seconds is None else f" ({ran.inner_seconds:.3f} within)"
    print(
        f"{number + 1}: {tool.name}, {step}: {ran.seconds:.2f} s{inner}, {ran.peak_bytes / 1e6:.0f} MB held, "
        f"{stored / 1e6:.2f} MB stored {' '.join(wrong)}",
        file=sys.stderr,
    )


def _difference(brought: Print, wanted: Print) -> list[str]:
    if brought == wanted:
        return []
    return [f"{brought.rows} of {wanted.rows} items" if brought.rows != wanted.rows else "other items than wanted"]


def _medians(rounds: list[Found]) -> Found:
    """A step's figures over the rounds in which it was taken, each round's seconds besides."""
    merged: Found = {}
    for step in STEPS:
        taken = [found[step] for found in rounds if step in found]
        if not taken:
            continue
        figures: dict[str, Any] = {
            figure: median(each[figure] for each in taken)
            for figure in ("seconds", "cpu_seconds", "stored_bytes", "inner_seconds")
            if taken[0][figure] is not None
        }
        merged[step] = figures | {
            "peak_bytes": max(each["peak_bytes"] for each in taken),
            "broken_off": any(each["broken_off"] for each in taken),
            "wrong": sorted({wrong for each in taken for wrong in each["wrong"]}),
            "by_round": [each["seconds"] for each in taken],
        }
    return merged


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """An empty folder, for as long as it is needed."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def _tools(folder: Path, sources: Sources, kinds: list[type[Tool]], limit_seconds: float) -> Iterator[list[Tool]]:
    tools: list[Tool] = []
    try:
        for number, kind in enumerate(kinds):
            tool = kind(folder / f"tool-{number}", sources, limit_seconds)
            tools.append(tool)
            tool.prepare()
        yield tools
    finally:
        for tool in tools:
            tool.close()


def chosen(names: str | None, *, trees: bool) -> list[type[Tool]]:
    """The tools that are wanted: all, or those whose names begin so. Raises Missing where one is not installed."""
    kinds: list[type[Tool]] = [Safehold, *DATABASES, *(TREES if trees else ())]
    if names:
        wanted = tuple(names.lower().split(","))
        kinds = [kind for kind in kinds if kind.name.lower().startswith(wanted)]
    missing = []
    if Litestream in kinds:
        try:
            Litestream.path = litestream_in(peers_environment())
        except (CalledProcessError, Missing) as error:
            missing.append(f"litestream is missing, requirements/peers.txt could not be installed: {error}")
    for kind in kinds:
        try:
            kind.require()
        except Missing as error:
            missing.append(str(error))
    if missing:
        raise Missing("\n".join(sorted(set(missing))))
    return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 items in one round; writes nothing")
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} items in one round, without files")
    parser.add_argument("--items", type=int, help="another number of items; writes nothing")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--tools", help="the beginnings of their names, with commas; writes nothing")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds after which a step is broken off")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "safehold-bench-backup")
    args = parser.parse_args()
    try:
        kinds = chosen(args.tools, trees=not args.large)
    except Missing as error:
        print(f"{error}\n`--tools` measures the others alone", file=sys.stderr)
        return 2
    total = args.items or (5_000 if args.quick else LARGE if args.large else SMALL)
    rounds = args.rounds or (1 if args.quick or args.large else 3)
    results: dict[str, Any] = page.older_backup()
    results["sizes"][str(total)] = measure(Size(args.work, total), kinds, rounds, args.limit)
    results["goals"] = verdicts(results)
    wrong = faults(results)
    for fault in wrong:
        print(f"wrong: {fault}", file=sys.stderr)
    if args.quick or args.items or args.tools:
        print(json.dumps(results["sizes"][str(total)], indent=1))
    else:
        page.write(backup=results)
        print(backup_page.section(results))
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"{error}")
