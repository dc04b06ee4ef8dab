"""Bringing a house on a simulated disk back after a disaster, in the steps that the commands take."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from safehold.archiver.claiming import LogVault, Mode
from safehold.archiver.log import Log
from safehold.archiver.shipper import Shipper
from safehold.disaster.house import CORE_FOLDER, VAULTS, House
from safehold.formats.segment import parse_name
from safehold.lab.oracle import Wrong
from safehold.model.change import Change
from safehold.model.errors import OutOfSpace, SafeholdError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.log import LogFrame
from safehold.recovery.examine import State
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs

NEAR, FAR = VAULTS


def make_near(house: House) -> None:
    """As `vault add near` does, before it opens the writer. Raises OutOfSpace, Wrong where far cannot be copied."""
    FolderVault.create(NEAR.name, "/near", house.disk, house.keyring.installation).close()
    shipper = Shipper(house.vault(FAR), house.vault(NEAR), house.clock)
    while not shipper.level:
        shipper.step()
        if shipper.differences():
            # What an earlier attempt left there is torn: it has to be taken away first.
            house.disk.lose("/near")
            make_near(house)
            return
        if shipper.trouble and house.disk.capacity_bytes is not None:
            raise OutOfSpace(shipper.trouble)
        if shipper.trouble:
            raise Wrong(f"far could not be copied to near: {shipper.trouble}", "I19")


def recover(
    house: House, accounts: Sequence[str] = (), kinds: Sequence[Kind] = (), *, accept_loss: bool = False
) -> tuple[Plan, Result]:
    """As `recover plan` and `recover run` do. Raises what they raise."""
    disk, keyring = house.disk, house.keyring
    for folder in ("/scratch", "/blobs"):
        disk.make_folders(folder)
    archive = VaultBlobs([], vaults_of(house), keyring.sealer, keyring.opener, disk, "/scratch")
    blobs = LiveBlobs(disk, "/blobs", "/scratch", archive)

    def make_core(folder: str) -> SqliteCore:
        return house.opened(SqliteCore.open(f"{folder}/core.db", disk=disk, create=True))

    core, problem = None, ""
    if disk.exists(f"{CORE_FOLDER}/core.db"):
        try:
            core = make_core(CORE_FOLDER)
        except SafeholdError as error:
            problem = error.message
    plan = make_plan(
        _reader(house),
        vaults_of(house),
        house.clock,
        accounts=accounts,
        kinds=kinds,
        sync=(NEAR.name,),
        core=core,
        core_problem=problem,
        blobs=blobs,
        runs=_runs(house),
    )
    if core is not None and plan.core in (State.BEHIND, State.WHOLE):  # it is written to: nobody else has it open
        core.close()
        core = None
    try:
        result = run_plan(
            plan,
            _reader(house),
            make_core=make_core,
            blobs=blobs,
            disk=disk,
            data="",
            clock=house.clock,
            claim=house.claim,
            look=lambda: look(vaults_of(house)),
            runs=_runs(house),
            old=core,
            accept_loss=accept_loss,
        )
    finally:
        if core is not None:
            with suppress(SafeholdError):  # a damaged one need not close well
                core.close()
    return plan, result


def take_over(house: House) -> None:
    """Another process begins to write to these vaults: it claims the next timeline, and says so in its first frame."""
    vaults = [LogVault(house.vault(NEAR), Mode.SYNC)]
    end = _reader(house).end()
    log = Log.claim(vaults, house.keyring.sealer, house.keyring.opener, house.clock, end)
    for _ in log.tail():
        pass
    log.start()
    for vault, _ in vaults:
        vault.close()


class LostSegment(NamedTuple):
    """A segment of the log that no vault has, and the names that its changes bore: of items, and paths."""

    object: str
    names: frozenset[str]


def lose_segment(house: House, rng: random.Random) -> LostSegment | None:
    """One that holds data, and nothing of an identity, is gone from every vault; None where there is none such.

    Rather one with the end of a stream, which only a seal after it still names: nothing else can tell of that loss.
    """
    there = vaults_of(house)[:1]
    reader = VaultLogReader(there, house.keyring.opener)
    frames: dict[tuple[int, int], Sequence[Change]] = {}
    seals: list[tuple[tuple[int, int], Mapping[tuple[bytes, Kind], Head]]] = []
    for entry in reader.entries():
        if isinstance(entry, LogFrame):
            at = entry.position.timeline, entry.position.frame
            frames[at] = entry.changes
            if entry.sealed:
                seals.append((at, entry.heads))
    ends = {(c.account, c.kind): Head(c.rev, c.hash) for at in sorted(frames) for c in frames[at]}
    objects = [each.name for vault in there for each in vault.list("log/")]
    names = sorted(name for name in map(parse_name, objects) if name is not None)
    some: list[LostSegment] = []
    sealed: list[LostSegment] = []
    for name, after in pairwise(names):
        upto = after.first if after.timeline == name.timeline else 1 << 62
        inside = [at for at in frames if at[0] == name.timeline and name.first <= at[1] < upto]
        changes = [change for at in inside for change in frames[at]]
        if name.first and changes and all(change.kind is not Kind.IDENTITY for change in changes):
            some.append(LostSegment(str(name), frozenset(change.name for change in changes)))
            heads = {(c.account, c.kind): Head(c.rev, c.hash) for c in changes}
            last = {key for key, head in heads.items() if ends[key] == head}
            if any(at not in inside and stated.get(key) == ends[key] for at, stated in seals for key in last):
                sealed.append(some[-1])
    if not some:
        return None
    chosen = rng.choice(sealed or some)
    for vault in VAULTS:
        house.disk.lose(f"{house.folder(vault)}/{chosen.object}")
    return chosen


def vaults_of(house: House) -> list[FolderVault]:
    """Those that are there, the sync one first."""
    return [vault for vault in map(house.vault, house.vaults) if vault.available()]


def _reader(house: House) -> VaultLogReader:
    return VaultLogReader(vaults_of(house), house.keyring.opener)


def _runs(house: House) -> Runs:
    return Runs(vaults_of(house), house.keyring.opener)
