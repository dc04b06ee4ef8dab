"""Adding a vault, or making one anew whose folder is gone: what it lacks comes from another vault or from the core."""

from __future__ import annotations

from typing import Any

from safehold import config as configuration
from safehold.archiver.log import Mode
from safehold.archiver.shipper import Shipper
from safehold.assembly.probing import probe_and_remember
from safehold.assembly.scrubbing import core_position, evidence_sealer, notebook_folder
from safehold.assembly.site import Site
from safehold.assembly.taking_up import take_up
from safehold.assembly.vault_urls import create_vault, full_url
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError
from safehold.ports.core import EMPTY_LOG
from safehold.ports.vault import Vault
from safehold.recovery.mended_ends import log_copied, tell_before
from safehold.recovery.notebook import FileNotebook


def add_vault(site: Site, vault: VaultConfig) -> dict[str, Any]:
    """Make it, bring it level with what the others and the core hold, and enter it in the configuration.

    A service that runs takes it up at once. Raises OperatorError.
    """
    others = [v for v in site.config.vaults if v.name != vault.name]
    _require_core_or_nothing(site, vault, others)
    create_vault(vault, site.data, site.disk, site.keyring.installation)
    copied_from = _copy(site, vault, others)
    FileNotebook(site.disk, notebook_folder(site), vault.name).forget()
    site.book_of(vault).forget()
    site.config = configuration.add_vault(site.config_path, vault)
    take_up(site)
    probe_and_remember(site, vault)
    return {
        "name": vault.name,
        "url": full_url(vault, site.data),
        "mode": vault.mode,
        "copied_from": copied_from,
    }


def _require_core_or_nothing(site: Site, vault: VaultConfig, others: list[VaultConfig]) -> None:
    """A sync vault copied from async ones would vouch for a tail that these never had: the core comes back first."""
    if vault.mode != Mode.SYNC or core_position(site) != EMPTY_LOG:
        return
    there = [o for o in others if site.vault(o).available()]
    if there and all(o.mode != Mode.SYNC for o in there):
        raise OperatorError(
            f"the core {site.why_no_core()}, and {there[0].name}, from which it would be copied, may lack the last "
            "changes",
            hint="run `safehold recover run` first, then this",
        )


def _copy(site: Site, vault: VaultConfig, others: list[VaultConfig]) -> list[str]:
    """Byte for byte, from every other vault that is there: sync ones first, for they hold the most."""
    for other in sorted(others, key=lambda v: v.mode != Mode.SYNC):
        source = site.vault(other)
        if source.available():
            if vault.mode == Mode.SYNC and other.mode != Mode.SYNC:
                _tell_before(site, vault, source)
            copy_vault(site, source, site.vault(vault))
            return [other.name]
    return []


def _tell_before(site: Site, vault: VaultConfig, source: Vault) -> None:
    """What is copied from an async vault vouches for no end but one that the core knows (I93)."""
    sealer = evidence_sealer(site)
    if sealer is not None:
        copies = log_copied(source)
        tell_before([source, site.vault(vault)], sealer, site.clock, vault.name, copies, core_position(site))


def copy_vault(site: Site, source: Vault, target: Vault) -> None:
    """All that one vault has and another lacks, byte for byte. Raises OperatorError."""
    shipper = Shipper(source, target, site.clock)
    while not shipper.level:
        shipper.step()
        if shipper.trouble:
            raise OperatorError(f"{source.name} could not be copied to {target.name}: {shipper.trouble}")
    source.close()
    target.close()
