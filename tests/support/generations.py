"""A core on a simulated disk that takes changes, and the writer of generations over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from safehold.archiver.generations import GenerationWriter, InTurn, Workers, Written
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs, StreamKey
from tests.support.changes import Streams, account_id, collection_id
from tests.support.logs import OPENER, SEALER

KINDS = (Kind.CONTACTS, Kind.NOTES)


class Home:
    """A core, vaults in memory, and what was entered as (frame, change). Every stream has one collection at first."""

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
        self.on_log: Callable[[LogPosition], bool] = lambda position: position.frame <= self.frame
        self.accounts = [account_id(number) for number in range(accounts)]
        self.enter([self.streams.mkcol(a, kind, f"{kind}/x") for a in self.accounts for kind in KINDS])

    def enter(self, changes: Sequence[Change]) -> None:
        """One frame."""
        self.frame += 1
        self.core.begin()
        for change in changes:
            self.core.apply(change, self.frame)
            self.history.append((self.frame, change))
        self.core.set_log_position(position(self.frame))
        self.core.commit()

    def put(self, count: int, account: int = 0, kind: Kind = Kind.CONTACTS, body: bytes = b"") -> None:
        """So many items, each in a frame of its own."""
        for number in range(count):
            name = f"{self.frame}-{number}.txt"
            self.enter([self.item(account, kind, name, body or name.encode())])

    def item(self, account: int, kind: Kind, name: str, body: bytes) -> Change:
        id_ = collection_id(f"{kind}/x")
        return self.streams.make(self.accounts[account], kind, Op.PUT, id_, name, body=body, media="text/plain")

    def writer(self, vaults: Sequence[Vault] | None = None, workers: Workers | None = None) -> GenerationWriter:
        return GenerationWriter(
            self.vaults if vaults is None else vaults,
            SEALER,
            self.clock,
            self.disk,
            "/data/scratch",
            "/data/generations",
            workers or InTurn(lambda: self.core, self.disk, SEALER),
            self.on_log,
        )

    def snapshot(self, *, full: bool = False, dropped_upto: int = 0) -> Written:
        """Written, and sealed."""
        writer = self.writer()
        written = writer.write(self.core, full=full, may_drop=lambda: dropped_upto)
        writer.sealed()
        return written

    def journal(self, upto: int) -> dict[StreamKey, list[Change]]:
        """By stream, what came up to a frame."""
        found: dict[StreamKey, list[Change]] = {}
        for frame, change in self.history:
            if frame <= upto:
                found.setdefault((change.account, change.kind), []).append(change)
        return found


def position(frame: int) -> LogPosition:
    return LogPosition(1, frame, frame.to_bytes(32, "big"))


def read(vault: Vault, number: int | None = None) -> dict[StreamKey, list[Change]]:
    """All changes of a generation (the newest), with bodies, by the product's reader; nothing may be wrong with it."""
    runs = Runs([vault], OPENER)
    found = next(g for g in runs.generations() if number in (None, g.number))
    changes = {entry.key: list(of) for entry, of in runs.reader(found).changes()}
    assert runs.problems() == []
    return changes
