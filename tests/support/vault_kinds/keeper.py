"""Folder vaults that a keeper serves: in the same thread, and over a Unix socket to threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safehold.adapters.vault_link import UnixLink
from safehold.assembly.vault_serving import VaultServer
from safehold.lab.simdisk import SimDisk
from safehold.store.realdisk import RealDisk
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedVault
from tests.support.links import direct
from tests.support.logs import INSTALLATION, make_vault
from tests.support.vault_kinds import Open, VaultKind


@contextmanager
def served(root: Path) -> Iterator[Open]:
    disk, path = SimDisk(), str(root / "v")
    make_vault(disk, "v", path)
    shared = ServedVault(path, disk, lock=threading.Lock())
    yield lambda: RemoteVault("v", path, direct(shared), INSTALLATION)


@contextmanager
def at_a_socket(root: Path) -> Iterator[Open]:
    make_vault(RealDisk(), "v", str(root / "v")).close()
    address = str(root / "v.sock")
    server = VaultServer(str(root / "v"), address)
    server.start()
    try:
        yield lambda: RemoteVault("v", address, lambda: UnixLink(address), INSTALLATION)
    finally:
        server.stop()


KINDS: tuple[VaultKind, ...] = (
    VaultKind("served", served, threads=False),
    VaultKind("keeper at a socket", at_a_socket, many_objects=1_050),  # more than one page of a listing
)
