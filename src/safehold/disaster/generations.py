"""Generations of a simulated installation, as the snapshot that its service starts writes them."""

from __future__ import annotations

from safehold.archiver.generations import GenerationWriter, InTurn, Written
from safehold.disaster.house import House
from safehold.ports.core import LogPosition
from safehold.vault.log import NotOnTheLog, VaultLogReader

LEDGER = "/generations"


def generation_writer(house: House) -> GenerationWriter:
    vaults = [house.vault(v) for v in house.vaults]
    sync = [v for v, config in zip(vaults, house.vaults, strict=True) if config.mode == "sync"]

    def on_log(position: LogPosition) -> bool:
        try:
            VaultLogReader([v for v in vaults if v.available()], house.keyring.opener).check(position)
        except NotOnTheLog:
            return False
        return True

    workers = InTurn(lambda: house.engine.core, house.disk, house.keyring.sealer)
    return GenerationWriter(sync, house.keyring.sealer, house.clock, house.disk, "/scratch", LEDGER, workers, on_log)


def snapshot(house: House, *, full: bool = False) -> Written:
    """As the command does it beside a service."""
    writer = generation_writer(house)
    written = writer.write(house.engine.core, full=full)
    house.writer.note_objects(written.objects)
    writer.sealed()
    return written
