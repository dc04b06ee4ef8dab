"""Generations written from a core: read back they are the journal, whatever their levels, kills and vaults."""

from __future__ import annotations

from collections.abc import Sequence

from safehold.archiver.generations import GenerationWriter, InTurn, Written
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.changes import Streams, account_id, collection_id
from tests.support.logs import OPENER, SEALER
from tests.support.runs import root_of


class Home:
    """A core on a simulated disk, vaults in memory, and what was entered as (frame, change)."""

    def __init__(self, vaults: int = 1, accounts: int = 3) -> None:
        self.disk = SimDisk()
        self.disk.make_folders("/data/core")
        self.core = SqliteCore.open("/data/core/core.db", disk=self.disk, create=True)
        self.vaults = [MemoryVault(f"v{number}") for number in range(vaults)]
        for vault in self.vaults:
            vault.put("FORMAT", (b"x",))
        self.clock = SimClock()
        self.streams = Streams()
        self.history: list[tuple[int, Change]] = []
        self.frame = 0
        self.accounts = [account_id(number) for number in range(accounts)]
        self.enter(
            [self.streams.mkcol(a, kind, f"{kind}/x") for a in self.accounts for kind in (Kind.CONTACTS, Kind.NOTES)]
        )

    def enter(self, changes: Sequence[Change]) -> None:
        """One frame."""
        self.frame += 1
        self.core.begin()
        for change in changes:
            self.core.apply(change, self.frame)
            self.history.append((self.frame, change))
        self.core.set_log_position(LogPosition(1, self.frame, self.frame.to_bytes(32, "big")))
        self.core.commit()

    def put(
        self, count: int, account: int = 0, kind: Kind = Kind.CONTACTS, body: bytes = b"", prefix: str = ""
    ) -> None:
        """So many items, each in a frame of its own."""
        for number in range(count):
            name = f"{prefix}{self.frame}-{number}.txt"
            self.enter([self.item(account, kind, name, body or name.encode())])

    def item(self, account: int, kind: Kind, name: str, body: bytes) -> Change:
        id_ = collection_id(f"{kind}/x")
        return self.streams.make(self.accounts[account], kind, Op.PUT, id_, name, body=body, media="text/plain")

    def writer(self) -> GenerationWriter:
        return GenerationWriter(
            self.vaults,
            SEALER,
            self.clock,
            self.disk,
            "/data/scratch",
            "/data/core/generations",
            InTurn(lambda: self.core, self.disk, SEALER),
            lambda position: position.frame <= self.frame,
        )

    def snapshot(self, *, full: bool = False, dropped_upto: int = 0) -> Written:
        writer = self.writer()
        written = writer.write(self.core, full=full, dropped_upto=dropped_upto)
        writer.sealed()
        return written


def read(vault: MemoryVault, generation: int | None = None) -> dict[tuple[bytes, Kind], list[Change]]:
    """All changes of the newest generation of a vault, with bodies; nothing may be wrong with it."""
    runs = Runs([vault], OPENER)
    found = next(g for g in runs.generations() if generation in (None, g.number))
    reader = runs.reader(found)
    changes = {entry.key: list(of) for entry, of in reader.changes()}
    assert runs.problems() == []
    return changes


def journal(home: Home, upto: int) -> dict[tuple[bytes, Kind], list[Change]]:
    found: dict[tuple[bytes, Kind], list[Change]] = {}
    for frame, change in home.history:
        if frame <= upto:
            found.setdefault((change.account, change.kind), []).append(change)
    return found


def test_a_full_generation_is_the_journal() -> None:
    home = Home()
    home.put(40)
    home.put(3, 1, Kind.NOTES, body=b"n" * 300_000)
    home.put(3, 2, Kind.NOTES)
    written = home.snapshot()
    assert written.new and written.full and written.generation == home.frame
    assert read(home.vaults[0]) == journal(home, home.frame)


def test_roots_are_those_of_the_changes() -> None:
    home = Home()
    home.put(20)
    home.snapshot()
    runs = Runs(home.vaults, OPENER)
    (generation,) = runs.generations()
    for entry in runs.reader(generation).streams():
        assert entry.root == root_of(journal(home, home.frame)[entry.key])


def test_a_delta_goes_on_where_the_full_one_ended() -> None:
    home = Home()
    home.put(100)
    first = home.snapshot()
    home.put(5, 1)
    second = home.snapshot()
    assert second.new and not second.full and second.changes == 5
    assert read(home.vaults[0]) == journal(home, home.frame)
    assert read(home.vaults[0], first.generation) == journal(home, first.generation)


def test_nothing_new_is_told_and_writes_nothing() -> None:
    home = Home()
    home.put(3)
    first = home.snapshot()
    before = dict(home.vaults[0].objects)
    again = home.snapshot()
    assert not again.new and again.generation == first.generation and again.objects == []
    assert home.vaults[0].objects == before
