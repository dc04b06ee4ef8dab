"""An installation of Safehold that holds the items: made once for a size, then copied for each round.

Changes go in as the writer takes them: applied to the core, written ahead to the vault as one frame, committed. They
are not judged, and a frame has many of them, so that a million items take minutes and not hours. They come in bursts,
as devices send them: a few items of one account, then a few of another; so the core's journal is as mixed as that of
a service in use.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path

from bench.child import Ran
from bench.items import Item, Print, Reference, Row, account_name
from bench.servers import ROOT, described
from bench.tools import STEPS, Sources, Tool
from safehold import config as configuration
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.writer import Writer
from safehold.lab.world import SeededEntropy
from safehold.model.commands import AddAccount, AnyCommand, Body, MakeCollection
from safehold.model.kinds import CollectionType, Kind
from safehold.service.collections import CollectionRules
from safehold.service.guards import Guards
from safehold.service.ledger import Ledger
from safehold.service.locks import LockTable
from safehold.store.sqlite.core import SqliteCore

#: Items of one account that come together, and accounts whose bursts share a frame.
BURST, TOGETHER = 25, 40
FRAMES_EACH_SEAL = 50

_MEDIA = {".vcf": "text/vcard", ".ics": "text/calendar", ".txt": "text/plain", ".json": "application/json"}
_SECOND = (("contacts/work", CollectionType.ADDRESSBOOK), ("calendars/work", CollectionType.CALENDAR))
_ACTOR = "device:bench"
CONFIG = """\
[vaults.near]
url = "folder:vaults/near"
mode = "sync"
"""


def account_id(number: int) -> bytes:
    return sha256(account_name(number).encode()).digest()[:16]


def installation(data: Path) -> Installation:
    return open_installation(data, configuration.parse(CONFIG), make=False, config_path=data / "safehold.toml")


def make(data: Path, reference: Reference) -> None:
    """Make it, or what is missing of it after a run that was broken off."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "safehold.toml").write_text(CONFIG)
    made = installation(data)
    made.make()
    with filling(made) as filler:
        began, before = time.perf_counter(), filler.items()
        filler.add_accounts(reference.accounts)
        for done in filler.fill(reference):
            seconds = time.perf_counter() - began
            pace = (done - before) / seconds
            print(f"\r{done:,} of {reference.total:,} items, {pace:,.0f} a second", end="", file=sys.stderr)
        print(file=sys.stderr)


def change(data: Path, changed: Iterable[Item]) -> None:
    """Put new bodies for items, scattered as they are."""
    with filling(installation(data)) as filler:
        filler.put(changed)


@contextmanager
def filling(made: Installation) -> Iterator[Filler]:
    with made.lock():
        writer = made.make_writer()
        try:
            writer.open()
            yield Filler(writer)
        finally:
            writer.close()


class Filler:
    """Enters items into the core and the log of an open writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._core, self._log = writer.engine.core, writer.engine.log
        self._ledger = Ledger(self._core, self._log.timeline)
        guards = Guards(self._ledger, LockTable())
        self._collections = CollectionRules(self._ledger, SeededEntropy(self._log.timeline), guards)
        self._frames = 0

    def items(self) -> int:
        """How many data items there are."""
        counts = self._core.counts()
        return sum(count for kind, count in counts.items() if kind in set(Kind) - {Kind.IDENTITY})

    def add_accounts(self, count: int) -> None:
        """Those that are missing of so many, each with a second address book and a second calendar."""
        engine = self._writer.engine
        for first in range(self._core.counts()["accounts"], count, TOGETHER):
            numbers = range(first, min(first + TOGETHER, count))
            commands = [AddAccount(account=account_id(n), name=account_name(n)) for n in numbers]
            more = [
                MakeCollection(account=account_id(number), path=path, type=type_)
                for number in numbers
                for path, type_ in _SECOND
            ]
            for result in engine.execute_all([*commands, *more]):
                if isinstance(result, Exception):
                    raise result
        self._ledger.forget()

    def fill(self, reference: Reference) -> Iterator[int]:
        """Put the items that are not there yet, a frame at a time; how many there are then."""
        done = self.items()
        skipped = 0
        for first in range(0, reference.items_each, BURST):
            places = range(first, min(first + BURST, reference.items_each))
            for account in range(0, reference.accounts, TOGETHER):
                accounts = range(account, min(account + TOGETHER, reference.accounts))
                size = len(places) * len(accounts)
                if skipped < done:  # frames are there whole or not at all
                    skipped += size
                    continue
                self.put(reference.burst(accounts, places))
                skipped += size
                done = skipped
                yield done

    def execute(self, command: AnyCommand) -> None:
        """As the service would. Raises what refuses it."""
        self._writer.engine.execute(command)
        self._ledger.forget()

    def put(self, items: Iterable[Item]) -> None:
        items = iter(items)
        while batch := list(islice(items, BURST * TOGETHER)):
            self._frame(batch)

    def _frame(self, items: list[Item]) -> None:
        """One transaction, one frame, written ahead."""
        core, log, ledger = self._core, self._log, self._ledger
        ledger.begin(log.position.frame + 1, time.time_ns() // 1000)
        core.begin()
        for item in items:
            account = ledger.account(account_id(item.account))
            collection = ledger.collection(account, item.collection)
            if collection is None:
                assert item.kind == Kind.SCORES, f"{item.collection} has not been made"
                type_ = CollectionType.GAME
                collection = self._collections.create(account, Kind.SCORES, item.collection, type_, _ACTOR)
            body = Body(sha256(item.body).digest(), len(item.body), inline=item.body)
            media = _MEDIA[Path(item.name).suffix]
            ledger.put(account, collection, item.name, media, body, _ACTOR)
        frame = log.prepare(ledger.changes)
        core.set_log_position(frame.position)
        log.write(frame)
        core.commit()
        self._frames += 1
        if self._frames % FRAMES_EACH_SEAL == 0:
            self._writer.engine.seal()


def rows(core_path: Path) -> Iterator[Row]:
    """Every data item of a core, its bodies read as the service reads them."""
    core = SqliteCore.open(str(core_path), read_only=True)
    try:
        for account in core.accounts():
            for collection in core.collections(account.number):
                if collection.kind is Kind.IDENTITY:
                    continue
                names = [item.name for item in core.items(collection)]
                for item, stored in core.items_with_bodies(collection, names):
                    assert stored.inline is not None
                    yield account.name, collection.path, item.name, stored.inline
    finally:
        core.close()


class Safehold(Tool):
    """Its backup is what a snapshot writes into the vault; the log is there already, as it is for Litestream."""

    name = "Safehold"
    settings = "one folder vault, keys beside the core; `snapshot`, `scrub`, `recover run`"
    can = tuple(STEPS.values())

    #: An installation of this size that is copied for each round; set before a run.
    pristine: Path

    def __init__(self, folder: Path, sources: Sources, limit_seconds: float) -> None:
        super().__init__(folder, sources, limit_seconds)
        self._data = folder / "data"
        self._vault = self._data / "vaults/near"
        self.repository = self._vault / "runs"

    @staticmethod
    def version() -> str:
        return described()

    def prepare(self) -> None:
        shutil.copytree(self.pristine, self._data)

    def full(self) -> Ran:
        return self._command("snapshot")

    def change(self, changed: list[Item]) -> None:
        change(self._data, changed)

    def incremental(self) -> Ran:
        return self._command("snapshot")

    def verify(self) -> Ran:
        return self._step("scrub_runs", self._data)

    def verify_log(self) -> Ran:
        return self._command("vault", "scrub", "near")

    def contacts(self, account: int) -> tuple[Ran, Print]:
        ran = self._step("contacts", self._data, account_id(account).hex(), account_name(account))
        told = json.loads(ran.out.splitlines()[-1])
        return ran, Print(*told["print"])

    def restore(self) -> Ran:
        self.restored.mkdir()
        (self._data / "core").rename(self.restored / "before")
        return self._command("recover", "run", "--yes")

    def restored_rows(self) -> Iterator[Row]:
        return rows(self._data / "core/core.db")

    def bare_load(self) -> Ran:
        return self._step("bare_load", self.restored / "before/core.db", self.restored / "bare.db")

    def _command(self, *words: str) -> Ran:
        return self._step("command", "--data", self._data, "--json", *words)

    def _step(self, step: str, *words: str | Path) -> Ran:
        """Its own figures in the place of what can be seen from outside."""
        ran = self._run(sys.executable, "-m", "bench.steps", step, *words, cwd=ROOT)
        if ran.broken_off:
            return ran
        told = json.loads(ran.out.splitlines()[-1])
        return ran._replace(inner_seconds=told["seconds"], peak_bytes=max(ran.peak_bytes, told["peak_bytes"]))

    def environment(self) -> dict[str, str]:
        """Its modules are compiled once, as an installed package's are, whatever this process was told."""
        return {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.pristine.parent / "compiled"),
        }
