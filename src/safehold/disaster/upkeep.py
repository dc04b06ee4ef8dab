"""The care of a simulated installation's vaults, as its service and its keeper have it: scrub, repair, attest, retain.

The judging, mending and removing are the product's own; what a data folder adds to that (notebooks, which vault is
whose peer, evidence of a repair) is wired here to a house on a simulated disk as `assembly` wires it to a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from safehold.config import VaultConfig
from safehold.disaster.house import House
from safehold.formats import blob, segment
from safehold.lab.sealing import LabSealer
from safehold.model.errors import SafeholdError
from safehold.ports.core import EMPTY_LOG
from safehold.ports.log import Hole
from safehold.ports.world import Clock
from safehold.recovery.attest import Verdict
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.judging import Damage, Problem, Standing
from safehold.recovery.keeper import VaultKeeper
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.repair import Mend, Repairer
from safehold.recovery.retention import DEFAULT_POLICY, Plan, Policy
from safehold.recovery.scrub import LookedAt, Pace, Scrubber, ScrubResult, named_blobs, scrub
from safehold.vault import recoveries
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.looking import RepairedVault, ScrubbedVault
from safehold.vault.recoveries import open_recoveries

NOTEBOOKS = "/run/scrub"


class Repaired(NamedTuple):
    """What was mended, and what nothing could be done about."""

    mended: Sequence[Mend]
    remaining: Sequence[Damage]


def scrub_vault(house: House, config: VaultConfig) -> ScrubResult:
    """As the scrub that is due once a day. Where the house writes, it closes what it appends to first."""
    vault = ScrubbedVault(config.name, House.folder(config), house.disk, house.keyring.installation)
    if not vault.available():
        return ScrubResult(config.name, 0, 0, [], trouble=f"the vault {config.name} is not there")
    peers = _peers(house, config)
    keyring = house.keyring
    house.disk.make_folders(NOTEBOOKS)
    return scrub(
        _scrubber(house, vault),
        peers,
        _standing(house, config),
        opener=keyring.opener,
        notebook=FileNotebook(house.disk, NOTEBOOKS, config.name),
        excuses=lambda: _excuses(house, config),
        now=house.clock.now(),
    )


def repair_vault(house: House, config: VaultConfig) -> Repaired:
    """As `vault repair --yes` beside a service: copied from other vaults, and what none has, written by the core again.

    Raises what hinders it.
    """
    repairer = _repairer(house, config)
    remaining = repairer.carry_out()
    mended = list(repairer.mended)
    if remaining and _written_again(house, config, remaining):
        house.scheduler.run_for(5)
        repairer = _repairer(house, config)
        remaining = repairer.carry_out()
        mended += repairer.mended
    FileNotebook(house.disk, NOTEBOOKS, config.name).forget({mend.damage.object: None for mend in mended})
    return Repaired(mended, remaining)


def kept(house: House, config: VaultConfig, clock: Clock | None = None) -> KeptFolderVault:
    """A vault with its keeper's credentials. `clock` is the keeper's."""
    installation = house.keyring.installation
    return KeptFolderVault(config.name, House.folder(config), house.disk, installation, clock=clock or house.clock)


def keeper_of(
    house: House, config: VaultConfig, policy: Policy = DEFAULT_POLICY, clock: Clock | None = None
) -> VaultKeeper:
    """`clock` is the keeper's, where its machine has another one than the house."""
    clock = clock or house.clock
    keyring = house.keyring
    assert keyring.keeper is not None, "the keeper's key lies with the house"
    vault = kept(house, config, clock)
    others = [kept(house, other, clock) for other in house.vaults if other != config]
    return VaultKeeper(
        vault,
        [other for other in others if other.available()],
        LabSealer(keyring.keeper),
        keyring.opener,
        clock,
        policy,
        frozen=lambda: frozen_by(vault),
    )


def keep(
    house: House, config: VaultConfig, policy: Policy = DEFAULT_POLICY, clock: Clock | None = None
) -> tuple[list[Verdict], Plan]:
    """A keeper's day: scrub, attest, retain. Raises what hinders it."""
    scrubbed = scrub_vault(house, config)
    keeper = keeper_of(house, config, policy, clock)
    verdicts = keeper.attest()
    first = next((d for d in scrubbed.damaged if d.problem is not Problem.UNEXPECTED), None)
    damaged = f"{first.object} is {first.problem}" if first is not None else ""
    return verdicts, keeper.retain(kept(house, config, clock), damaged)


def frozen_by(vault: KeptFolderVault) -> str:
    """Why nothing may be removed; "" where it may."""
    timelines = open_recoveries(vault)
    return f"a recovery is open in timeline {timelines[-1]}" if timelines else ""


def mark_recovery(house: House, timeline: int, *, done: bool = False) -> None:
    """What a recovery leaves in every vault that is there when it begins, and when it has ended."""
    name: Callable[[int], str] = recoveries.done if done else recoveries.opened
    for vault in map(house.vault, house.vaults):
        if vault.available():
            vault.put(name(timeline), (b"",))


def _scrubber(house: House, vault: ScrubbedVault | RepairedVault) -> Scrubber:
    pace = Pace(house.clock, lambda _: None)
    return Scrubber(vault, house.keyring.installation, house.keyring.opener, pace)


def _peers(house: House, config: VaultConfig) -> list[LookedAt]:
    installation = house.keyring.installation
    others = [
        ScrubbedVault(other.name, House.folder(other), house.disk, installation)
        for other in house.vaults
        if other != config
    ]
    return [LookedAt(_scrubber(house, vault)) for vault in others if vault.available()]


def _standing(house: House, config: VaultConfig) -> Standing:
    """A house that does not write has nothing under way, and a core that cannot be read says nothing."""
    writer = getattr(house, "writer", None)
    if writer is None or writer.engine.stopped is not None:
        return Standing(complete=config.mode == "sync", settled=None, core=EMPTY_LOG)
    settled = writer.settle()
    complete = config.mode == "sync" or config.name in writer.level_vaults()
    return Standing(complete, settled, house.reads.log_position())


def _excuses(house: House, config: VaultConfig) -> EvidenceExcuses:
    there = [vault for vault in map(house.vault, house.vaults) if vault.available()]
    return EvidenceExcuses.read(config.name, there, house.keyring.installation, house.keyring.opener)


def _repairer(house: House, config: VaultConfig) -> Repairer:
    keyring = house.keyring
    vault = RepairedVault(config.name, House.folder(config), house.disk, keyring.installation, clock=house.clock)
    standing = _standing(house, config)
    scrubber = _scrubber(house, vault)
    inventory = scrubber.read()
    house.disk.make_folders(NOTEBOOKS)
    return Repairer(
        vault,
        scrubber,
        _peers(house, config),
        standing,
        inventory,
        remembered=FileNotebook(house.disk, NOTEBOOKS, config.name).remembered(),
        excuses=_excuses(house, config),
        named=list(named_blobs(vault, keyring.opener, inventory)),
    )


def _written_again(house: House, config: VaultConfig, remaining: Sequence[Damage]) -> bool:
    """Whether the core has written again what no vault has; what is left of a body is moved aside for that."""
    if house.engine.stopped is not None:
        return False
    vault = RepairedVault(config.name, House.folder(config), house.disk, house.keyring.installation, clock=house.clock)
    blobs = []
    for damage in remaining:
        name = blob.parse_object(damage.object)
        if name is None:
            continue
        blobs.append(name)
        if damage.problem is Problem.CORRUPT:
            vault.set_aside(damage.object)
    frames: list[tuple[int, int]] = []
    if any(segment.parse_name(damage.object) for damage in remaining):
        core = house.reads.log_position().frame
        entries = VaultLogReader([house.vault(v) for v in house.vaults], house.keyring.opener).entries()
        frames = [(e.first, min(e.last, core)) for e in entries if isinstance(e, Hole) and e.first <= core]
    if not blobs and not frames:
        return False
    try:
        house.writer.make_up(frames, blobs)
    except SafeholdError:  # the core has it neither
        return False
    finally:
        house.tick()
        house.reopen_reads()
    return True
