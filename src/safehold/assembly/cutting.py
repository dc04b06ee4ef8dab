"""`keeper cut` wired to a data folder: of every vault that is kept here, what stands at the log's end for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from safehold.archiver.claiming import Mode
from safehold.assembly.keeping import keeper_lock, kept_configs, kept_vault
from safehold.assembly.scrubbing import evidence_sealer
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import open_vault
from safehold.config import VaultConfig
from safehold.formats.evidence import VERSION, Evidence
from safehold.model.errors import OperatorError
from safehold.ports.vault import Vault
from safehold.recovery.cutting import Cut, carry_out, plan_cut
from safehold.recovery.excuses import REPAIR
from safehold.vault.evidence import MADE_UP, put_evidence


def cut_vaults(site: Site, only: str | None = None, *, first: int = 0, yes: bool = False) -> Sequence[Cut]:
    """Plan, or with `yes` cut. Raises OperatorError."""
    site.opener.require()
    done = []
    with _alone(site, yes):
        for config in kept_configs(site, only, folders_only=True):
            vault = kept_vault(site, config)
            cut = plan_cut(vault, _others(site, config), site.opener, first)
            done.append(cut)
            if yes and not cut.empty:
                facts: dict[str, object] = {
                    "repaired": [{"object": p.object, "from": "cut"} for p in cut.pieces],
                    "repaired_count": len(cut.pieces),
                    "remaining": [],
                    MADE_UP: carry_out(cut, vault),
                    "frames": [cut.first, cut.last],
                }
                value = Evidence(VERSION, REPAIR, 0, config.name, cut.upto, b"", facts)
                sealer = evidence_sealer(site)
                if sealer is not None:
                    put_evidence([vault], sealer, site.clock, value)
    return done


@contextmanager
def _alone(site: Site, yes: bool) -> Iterator[None]:
    """Raises OperatorError where a keeper works here, or a service writes to these vaults."""
    with ExitStack() as stack:
        if yes:
            stack.enter_context(keeper_lock(site))
            if site.has_core():
                stack.enter_context(site.lock())
        yield


def _others(site: Site, config: VaultConfig) -> list[Vault]:
    """Those that may have what is bad here. Raises OperatorError where one is away: it may be the one that has it."""
    pulled = [VaultConfig(f"source-{n}", url, Mode.ASYNC) for n, url in enumerate(site.config.keeper_pull)]
    found: list[Vault] = []
    for other in [*(v for v in site.config.vaults if v != config), *pulled]:
        vault = open_vault(other, site.data, site.disk, site.opener.installation)
        if not vault.available():
            raise OperatorError(
                f"the vault {other.name} ({other.url}) cannot be reached: it may have what is bad in {config.name}",
                hint="bring it back, or take it out of the configuration",
            )
        found.append(vault)
    return found
