"""The keeper's work wired to a data folder: which vaults, whose keys, what freezes it, and what is remembered of it.

The same code for a service that keeps its own vaults, for `vault retain`, and for a keeper with a folder of its own.
Kept are vaults in folders, and those in buckets whose section says so (`keep`): each attestation reads there what it
attests, which stores charge for. One behind a keeper's socket is kept by that keeper. One at a vault server is scrubbed
and attested from here where the token is a keeper's; what retention removes is removed where it lies.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from safehold.adapters.lock import FolderLock
from safehold.assembly.parity import cover_vault
from safehold.assembly.scrubbing import find_vault, notebook_folder, scrub_vaults
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import place_of, s3_store
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError, OutOfSpace
from safehold.ports.whole_file import read_json, write_whole
from safehold.recovery.attest import Verdict
from safehold.recovery.judging import Problem, Remembered
from safehold.recovery.keeper import VaultKeeper
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.place import Place
from safehold.recovery.report import Progress, silent
from safehold.recovery.retention import Plan
from safehold.recovery.scrub import Level, ScrubResult
from safehold.vault.evidence import Found
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.recoveries import open_recoveries
from safehold.vault.s3_keeping import KeptS3Vault

_log = logging.getLogger("safehold.keeper")


class KeptVault(msgspec.Struct, omit_defaults=True):
    """What was done in one vault, for people and for the status."""

    vault: str
    attested: int = 0  # generation, the newest that is attested
    drop_upto: int = 0
    refused: list[str] = []
    damaged: int = 0
    removed: int = 0  # objects
    removed_bytes: int = 0
    blocked: str = ""  # why nothing was removed
    wants_generation: bool = False  # so that erased accounts can go
    trouble: str = ""  # why the work came to no end


class LastKeep(msgspec.Struct, omit_defaults=True):
    """The last time that the work was done, as `run/keeper.json` has it."""

    at: int  # µs
    seconds: float
    vaults: list[KeptVault] = []
    differences: list[str] = []  # what a keeper's copy has otherwise than the vault that it is pulled from


def kept_configs(site: Site, only: str | None = None, *, folders_only: bool = False) -> list[VaultConfig]:
    """The vaults that are kept here. Raises OperatorError where `only` is none of them."""
    if only is None:
        return [v for v in site.config.vaults if v.is_folder or (v.s3.keep and not folders_only)]
    config = find_vault(site, only)
    if config.is_s3 and (folders_only or not config.s3.keep):
        raise OperatorError(
            f"the vault {only} is in a bucket" + ("" if folders_only else ", and nothing says that it is kept here"),
            hint="this can be done in folders only" if folders_only else _keep_hint(only),
            exit_code=2,
        )
    if not config.is_folder and not config.is_s3:
        who = "the vault server" if config.is_server else "a keeper"
        raise OperatorError(
            f"the vault {only} is held by {who} at {config.url}",
            hint="retention is done where it lies: run it there",
            exit_code=2,
        )
    return [config]


def _keep_hint(name: str) -> str:
    return (
        f'write keep = "retain" below [vaults.{name}] in safehold.toml, with credentials that may delete (docs/s3.md)'
    )


def attested_configs(site: Site) -> list[VaultConfig]:
    """The vaults that are scrubbed and attested here: those that are kept, and those at servers, over the network."""
    at_servers = [v for v in site.config.vaults if v.is_server and site.is_keeper]
    return [v for v in site.config.vaults if v in (*kept_configs(site), *at_servers)]


def kept_vault(site: Site, config: VaultConfig) -> KeptFolderVault | KeptS3Vault:
    """With its keeper's credentials, as far as a folder has any."""
    if config.is_s3:
        store, installation = s3_store(config, site.data), site.opener.installation
        return KeptS3Vault(config.name, place_of(config), store, installation, clock=site.clock)
    folder = str(config.folder(site.data))
    return KeptFolderVault(config.name, folder, site.disk, site.opener.installation, clock=site.clock)


def keeper_lock(site: Site) -> FolderLock:
    """One keeper at a time."""
    return FolderLock(str(site.data / "run" / "keeper"))


def make_keeper(site: Site, config: VaultConfig) -> VaultKeeper:
    """Raises OperatorError where the keeper's key or the identity is not here."""
    keeper = site.keyring.keeper
    if keeper is None or not site.opener.can_open:
        raise OperatorError(
            "the keeper's key and the identity are not both here, and nothing can be attested without them",
            hint="run it where they are, or bring them back: `safehold vault keys` says where they lie",
        )
    others = [site.vault(other) for other in attested_configs(site) if other != config]
    vault = site.vault(config) if config.is_server else kept_vault(site, config)
    bucket = vault if isinstance(vault, KeptS3Vault) else None

    def placed(found: Found) -> None:
        for other in site.config.vaults:
            book = FileNotebook(site.disk, notebook_folder(site), other.name)
            book.ended(book.last(), {found.name: Remembered(found.size, found.digest)})

    return VaultKeeper(
        vault,
        [vault for vault in others if vault.available()],
        keeper,
        site.opener,
        site.clock,
        site.config.retention,
        frozen=lambda: frozen(site, config),
        placed=placed,
        taken=bucket.evidence_taken if bucket is not None else None,
        held=bucket.held if bucket is not None else None,
    )


def frozen(site: Site, config: VaultConfig) -> str:
    """Why nothing may be removed; "" where it may."""
    if Place(site.disk, str(site.data)).memo() is not None:
        return "a recovery has begun here and has not ended"
    timelines = open_recoveries(site.vault(config))
    if timelines:
        return f"a recovery is open in timeline {timelines[-1]}"
    return "its section does not say that anything is removed from it" if config.s3.keep == "attest" else ""


def plan_vaults(site: Site, only: str | None = None) -> list[tuple[VaultConfig, Plan]]:
    """What retention would remove. Raises OperatorError."""
    return [(config, make_keeper(site, config).plan()) for config in kept_configs(site, only)]


def attest_vault(site: Site, config: VaultConfig) -> list[Verdict]:
    """Raises VaultDown, OperatorError, OutOfSpace."""
    return make_keeper(site, config).attest()


def retain_vaults(
    site: Site, only: str | None = None, *, damaged: dict[str, str] | None = None
) -> list[tuple[VaultConfig, Plan]]:
    """Plan and remove. `damaged`: what a scrub has found, by vault. Raises OperatorError."""
    done = []
    for config in kept_configs(site, only):
        made = make_keeper(site, config).retain(kept_vault(site, config), (damaged or {}).get(config.name, ""))
        done.append((config, made))
    return done


def keep_vaults(
    site: Site, *, limit_bytes: int = 0, differences: Sequence[str] = (), progress: Progress = silent
) -> LastKeep:
    """Scrub, attest, retain: every vault that is kept here. What hinders one stops no other. Raises OperatorError."""
    began = site.clock.monotonic()
    results: dict[str, KeptVault] = {}
    able = site.keyring.keeper is not None and site.opener.can_open
    for config in attested_configs(site):
        result = results[config.name] = KeptVault(config.name)
        try:
            _keep(site, config, result, able, limit_bytes, progress)
        except (OperatorError, OutOfSpace) as error:
            result.trouble = error.message
            _log.warning("the vault %s could not be kept: %s", config.name, error.message)
    seconds = round(site.clock.monotonic() - began, 3)
    last = LastKeep(site.clock.now(), seconds, list(results.values()), list(differences))
    remember(site, last)
    return last


def _keep(site: Site, config: VaultConfig, result: KeptVault, able: bool, limit_bytes: int, progress: Progress) -> None:
    level = Level.LIST if config.is_s3 else Level.SCRUB  # what is read there is charged: no large bodies each day
    (scrubbed,) = scrub_vaults(site, config.name, level=level, limit_bytes=limit_bytes, progress=progress)
    if scrubbed.trouble:
        result.trouble = scrubbed.trouble
        return
    result.damaged = len(scrubbed.damaged)
    _retain(site, config, result, scrubbed, able)
    if not result.damaged:  # else what is damaged would wait for a group of its own
        cover_vault(site, config)


def _retain(site: Site, config: VaultConfig, result: KeptVault, scrubbed: ScrubResult, able: bool) -> None:
    if not able:
        result.blocked = "the keeper's key and the identity are not both here: nothing is attested, nothing removed"
        return
    for verdict in attest_vault(site, config):
        if not verdict.facts.ok:
            result.refused.append(f"generation {verdict.facts.generation}: {'; '.join(verdict.facts.why[:3])}")
    if config.is_server:
        result.attested = max((a.generation for a in make_keeper(site, config).receipts().attested), default=0)
        result.blocked = "it is at a vault server: what is to go from it is removed where it lies"
        return
    # What is merely strange in a vault hinders nothing: else whoever can add to it could end all retention.
    first = next((d for d in scrubbed.damaged if d.problem is not Problem.UNEXPECTED), None)
    damaged = {config.name: f"{first.object} is {first.problem}"} if first is not None else {}
    ((_, made),) = retain_vaults(site, config.name, damaged=damaged)
    receipts = make_keeper(site, config).receipts()
    result.attested = max((a.generation for a in receipts.attested), default=0)
    result.drop_upto = receipts.drop_upto
    result.blocked = made.blocked
    result.wants_generation = made.wants_generation
    if not made.blocked:
        result.removed = len(made.remove) + len(made.shorten) + len(made.aside)
        result.removed_bytes = made.bytes


# -- what is remembered ------------------------------------------------------------------------------------------


def _path(site: Site) -> str:
    return str(site.data / "run" / "keeper.json")


def remember(site: Site, last: LastKeep) -> None:
    """Whole or not at all. Raises OperatorError."""
    try:
        write_whole(site.disk, _path(site), msgspec.json.encode(last))
    except OSError as error:
        raise OperatorError(f"what the keeper did cannot be noted in {_path(site)}: {error.strerror}") from error


def last_keep(site: Site) -> LastKeep | None:
    """None where it was never done, or the note cannot be read."""
    return read_json(site.disk, _path(site), LastKeep)


def keeper_incidents(last: LastKeep | None) -> list[dict[str, Any]]:
    """What somebody should look at."""
    found = []
    for kept in last.vaults if last is not None else ():
        for why in kept.refused:
            found.append(
                {
                    "what": "not attested",
                    "key": kept.vault,
                    "message": f"the vault {kept.vault}: {why}",
                    "hint": "nothing is removed on its word; see `safehold vault scrub` and take a new snapshot",
                }
            )
        if kept.trouble:
            found.append(
                {
                    "what": "not kept",
                    "key": kept.vault,
                    "message": kept.trouble,
                    "hint": "it is tried again the next day",
                }
            )
    for difference in last.differences if last is not None else ():
        hint = "nothing was changed in the copy; see what happened to the vault it is pulled from"
        found.append({"what": "not the same", "key": difference, "message": difference, "hint": hint})
    return found
