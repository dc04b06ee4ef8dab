"""A drill in a simulated world: recover one vault alone into a scratch core, and compare it with the live one.

The recovering is that of `recovery.drill`. What is compared are the state roots of streams whose heads are the same,
each side's from its own tables: what one code has made of the changes, against what another has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from safehold.config import VaultConfig
from safehold.disaster.house import House
from safehold.model.errors import SafeholdError
from safehold.ports.core import CoreReads
from safehold.recovery.drill import rebuild
from safehold.recovery.reconcile import core_root
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs

_FOLDER = "/drill"


def drill(house: House, config: VaultConfig) -> list[str]:
    """What is not the same, in words; a recovery that fails is one of these."""
    vault, keyring, disk = house.vault(config), house.keyring, house.disk
    disk.lose(_FOLDER)
    disk.make_folders(f"{_FOLDER}/blobs")
    archive = VaultBlobs([], [vault], keyring.sealer, keyring.opener, disk, "/scratch")
    cores: list[SqliteCore] = []

    def make_core(folder: str) -> SqliteCore:
        cores.append(SqliteCore.open(f"{folder}/core.db", disk=disk, create=True))
        return cores[-1]

    try:
        rebuild(
            lambda: (VaultLogReader([vault], keyring.opener), Runs([vault], keyring.opener)),
            lambda: [vault],
            (1, 1),
            make_core=make_core,
            blobs=LiveBlobs(disk, f"{_FOLDER}/blobs", "/scratch", archive),
            disk=disk,
            data=_FOLDER,
            clock=house.clock,
        )
        scratch = SqliteCore.open(f"{_FOLDER}/core/core.db", disk=disk)
    except SafeholdError as error:
        return [f"the vault {config.name} could not be recovered: {error.message}"]
    try:
        return list(_differences(house, scratch, config.name))
    finally:
        for core in (*cores, scratch):
            with suppress(SafeholdError):
                core.close()
        disk.lose(_FOLDER)


def _differences(house: House, scratch: CoreReads, vault: str) -> Iterator[str]:
    """Streams that have gone on since, or are held, are left for the next drill."""
    live = house.reads
    for id_, kind in sorted(scratch.stream_ends(), key=lambda key: (key[0], key[1].value)):
        here, there = live.account_by_id(id_), scratch.account_by_id(id_)
        if here is None or there is None or live.held(here.number, kind) is not None:
            continue
        if live.head(here.number, kind) != scratch.head(there.number, kind):
            continue
        if core_root(live, here.number, kind) != core_root(scratch, there.number, kind):
            yield f"{kind} of account {id_.hex()[:8]} are not the same in the core and in the vault {vault}"
