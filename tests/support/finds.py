"""Finds filled by hand: what a salvage would have found of given changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change
from safehold.ports.survivors import Finds, Proof, Survivor
from safehold.recovery.find import Find, Salvage
from safehold.store.survivors import SurvivorStore

FOLDER = "/salvage"


def store_of(fill: Callable[[Finds], object], disk: SimDisk | None = None, folder: str = FOLDER) -> SurvivorStore:
    """A salvage on a simulated disk."""
    store = SurvivorStore.open(folder, disk=disk or SimDisk(), create=True)
    fill(store)
    store.commit()
    return store


def find_in(*stores: SurvivorStore) -> Find:
    """Several as one, in folders FOLDER, FOLDER-2 …"""
    paths = [FOLDER if n == 1 else f"{FOLDER}-{n}" for n in range(1, len(stores) + 1)]
    return Find([Salvage(path, store.state(), store) for path, store in zip(paths, stores, strict=True)])


def find_of(changes: Iterable[Change]) -> Find:
    return find_in(store_of(lambda finds: put_chain(finds, changes)))


def put_chain(finds: Finds, changes: Iterable[Change], sort: str = "core") -> None:
    """Changes whose place in the chain is known."""
    source = finds.source("/old/core.db", sort, 4096)
    for change in changes:
        finds.survivor(Survivor(change, Proof.CHAIN, source, f"page {change.rev}"))


def put_pages(finds: Finds, changes: Iterable[Change]) -> None:
    """Changes that lie on good pages, without the one before them."""
    source = finds.source("/old/core.db", "core", 4096)
    for change in changes:
        bare = msgspec.structs.replace(change, prev=b"")
        finds.survivor(Survivor(bare, Proof.PAGE, source, f"page {change.rev}"))
