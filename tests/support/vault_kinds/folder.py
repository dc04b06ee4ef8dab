"""Folder vaults, on a real and on a simulated disk, and those of a keeper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehold.lab.simdisk import SimDisk
from safehold.ports.disk import Disk
from safehold.ports.vault import KeptVault
from safehold.ports.world import Clock
from safehold.store.realdisk import RealDisk
from tests.support.logs import folder_vault, make_kept_vault, make_vault
from tests.support.vault_kinds import KeptVaultKind, Open, VaultKind


def folder(disk: Disk, path: str) -> Open:
    make_vault(disk, "v", path).close()
    return lambda: folder_vault(disk, "v", path)


@contextmanager
def on_a_real_disk(root: Path) -> Iterator[Open]:
    yield folder(RealDisk(), str(root / "v"))


@contextmanager
def on_a_simulated_disk(root: Path) -> Iterator[Open]:
    yield folder(SimDisk(), str(root / "v"))


@contextmanager
def of_a_keeper(root: Path) -> Iterator[Open]:
    disk, path = RealDisk(), str(root / "v")
    yield lambda: make_kept_vault(disk, "v", path)


@contextmanager
def kept_on_a_real_disk(root: Path, clock: Clock) -> Iterator[KeptVault]:
    yield make_kept_vault(RealDisk(), "v", str(root / "v"), clock)


@contextmanager
def kept_on_a_simulated_disk(root: Path, clock: Clock) -> Iterator[KeptVault]:
    yield make_kept_vault(SimDisk(), "v", str(root / "v"), clock)


KINDS: tuple[VaultKind, ...] = (
    VaultKind("folder on a real disk", on_a_real_disk, many_objects=300),
    VaultKind("folder on a simulated disk", on_a_simulated_disk, threads=False),
    VaultKind("folder of a keeper", of_a_keeper, many_objects=300),
)
KEPT_KINDS = (
    KeptVaultKind("folder on a real disk", kept_on_a_real_disk),
    KeptVaultKind("folder on a simulated disk", kept_on_a_simulated_disk),
)
