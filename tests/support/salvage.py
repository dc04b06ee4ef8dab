"""A salvage of files that a test lays out: real scanners, a real store, a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from safehold.assembly.salvaging import look
from safehold.formats.keys import Opener
from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.ports.disk import Disk
from safehold.ports.survivors import Aside, Loose, Proof, Survivor, Witnessed
from safehold.recovery.report import silent
from safehold.salvage.ear import Ear
from safehold.salvage.scan import Scanner
from safehold.store.realdisk import RealDisk
from safehold.store.survivors import SurvivorStore


class Salvage:
    """One salvage folder below `root`, opened again at each run."""

    def __init__(self, root: Path, opener: Opener | None, disk: Disk | None = None) -> None:
        self.out = root / "salvage"
        self.opener = opener
        self.disk = disk or RealDisk()

    def run(self, *sources: Path, account: str = "", writers: Sequence[bytes] = ()) -> Salvage:
        with SurvivorStore.open(str(self.out), create=True) as store:
            ear = Ear(store, store.body_of)
            if store.state():
                ear.learn(store)
            out = str(self.out)
            scanner = Scanner(
                ear, self.disk, look, self.opener, out, store, silent, account, os.listdir, writers, store.settle
            )
            scanner.run(list(map(str, sources)))
            for path in store.forget_erased(ear.erased_blobs, ear.erased_digests):
                Path(path).unlink(missing_ok=True)
        return self

    def open(self) -> SurvivorStore:
        return SurvivorStore.open(str(self.out), read_only=True)

    def survivors(self) -> list[Survivor]:
        with self.open() as store:
            return [each for key in list(store.keys()) for each in store.changes(key, Proof.CHAIN)]

    def changes(self) -> dict[bytes, Change]:
        """By hash."""
        return {each.change.hash: each.change for each in self.survivors()}

    def asides(self) -> list[Aside]:
        with self.open() as store:
            return list(store.asides())

    def loose(self) -> list[Loose]:
        with self.open() as store:
            return list(store.loose_items())

    def witnesses(self, account: bytes, kind: Kind) -> list[Witnessed]:
        with self.open() as store:
            return list(store.witnesses((account, kind)))

    def problems(self) -> list[str]:
        with self.open() as store:
            return [problem for source in store.sources() for problem in source.problems]

    def sorts(self) -> list[str]:
        with self.open() as store:
            return [source.sort for source in store.sources()]

    def state(self) -> bytes:
        with self.open() as store:
            return store.state()

    def body_of(self, loose: Loose) -> bytes:
        return loose.body if loose.body is not None else Path(loose.path).read_bytes()


def lay_out(root: Path, objects: Mapping[str, bytes]) -> Path:
    """Objects as files below a folder."""
    for name, data in objects.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
