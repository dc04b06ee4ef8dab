"""A keeper's day with a vault of a simulated installation: scrub, attest, retain, as `assembly.keeping` has it."""

from __future__ import annotations

from safehold.config import VaultConfig
from safehold.disaster.house import House
from safehold.disaster.vault_work import scrub_vault
from safehold.lab.sealing import LabSealer
from safehold.ports.world import Clock
from safehold.recovery.attest import Verdict
from safehold.recovery.judging import Problem
from safehold.recovery.keeper import VaultKeeper
from safehold.recovery.retention import DEFAULT_POLICY, Plan, Policy
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.recoveries import open_recoveries


def kept(house: House, config: VaultConfig, clock: Clock | None = None) -> KeptFolderVault:
    """A vault with its keeper's credentials. `clock` is the keeper's, where its machine has another than the house."""
    installation = house.keyring.installation
    return KeptFolderVault(config.name, House.folder(config), house.disk, installation, clock=clock or house.clock)


def keeper_of(
    house: House, config: VaultConfig, policy: Policy = DEFAULT_POLICY, clock: Clock | None = None
) -> VaultKeeper:
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
    house: House, config: VaultConfig, policy: Policy = DEFAULT_POLICY, clock: Clock | None = None, *, serving: bool
) -> tuple[list[Verdict], Plan]:
    """The day's work; what was attested, and what was removed. `serving`: a process writes meanwhile.

    Raises what hinders it.
    """
    scrubbed = scrub_vault(house, config, serving=serving)
    keeper = keeper_of(house, config, policy, clock)
    verdicts = keeper.attest()
    first = next((d for d in scrubbed.damaged if d.problem is not Problem.UNEXPECTED), None)
    damaged = f"{first.object} is {first.problem}" if first is not None else ""
    plan = keeper.retain(kept(house, config, clock), damaged)
    if gone := len(plan.remove) + len(plan.shorten) + len(plan.aside):
        house.removals[config.name] = (house.clock.now(), gone)
    return verdicts, plan


def frozen_by(vault: KeptFolderVault) -> str:
    """Why nothing may be removed; "" where it may."""
    timelines = open_recoveries(vault)
    return f"a recovery is open in timeline {timelines[-1]}" if timelines else ""
