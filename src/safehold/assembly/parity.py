"""Parity wired to a data folder: the vaults whose configuration asks for it are covered, and it is told how far."""

from __future__ import annotations

from typing import NamedTuple

from safehold.assembly.scrubbing import find_vault
from safehold.assembly.site import Site
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError
from safehold.vault.folder import FolderVault
from safehold.vault.parity import ParityWriter


class Covered(NamedTuple):
    """One vault: groups written now, and what no group covers yet, or will as it is too long: objects and bytes."""

    vault: str
    parity: tuple[int, int]
    written: int
    waiting: int
    waiting_bytes: int
    too_long: int
    too_long_bytes: int


def cover_vault(site: Site, config: VaultConfig, *, everything: bool = False) -> Covered | None:
    """`everything`: also what fills no group. None where the configuration asks for no parity.

    Raises VaultDown, VaultFull, VaultSuspect.
    """
    if config.parity is None:
        return None
    vault = FolderVault(config.name, str(config.folder(site.data)), site.disk, site.opener.installation)
    writer = ParityWriter(vault, *config.parity)
    try:
        written = writer.cover(everything=everything)
    finally:
        vault.close()
    waiting, too_long = ((len(infos), sum(i.size for i in infos)) for infos in (writer.waiting, writer.too_long))
    return Covered(config.name, config.parity, written, *waiting, *too_long)


def cover_vaults(site: Site, only: str | None = None, *, everything: bool = False) -> list[Covered]:
    """Those that ask for it. Raises as `cover_vault`, OperatorError where `only` asks for none."""
    chosen = list(site.config.vaults) if only is None else [find_vault(site, only)]
    found = [covered for config in chosen if (covered := cover_vault(site, config, everything=everything)) is not None]
    if only is not None and not found:
        raise OperatorError(
            f"the configuration asks for no parity in the vault {only}",
            hint=f'write parity = "10+2" below [vaults.{only}] in safehold.toml',
            exit_code=2,
        )
    return found
