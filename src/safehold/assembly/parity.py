"""Parity wired to a data folder: the vaults whose configuration asks for it are covered, and it is told how far.

run/parity/NAME.json    what no group of the vault covers yet, and when each was first seen so; may be lost
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from safehold.assembly.scrubbing import find_vault
from safehold.assembly.site import Site
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError
from safehold.ports.whole_file import read_json, write_whole
from safehold.vault.folder import FolderVault
from safehold.vault.parity import ParityWriter

#: Of what waits, so many objects are remembered by name.
MAX_NAMED = 10_000


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
    _note(site, config.name, writer)
    waiting, too_long = ((len(infos), sum(i.size for i in infos)) for infos in (writer.waiting, writer.too_long))
    return Covered(config.name, config.parity, written, *waiting, *too_long)


class _Waiting(msgspec.Struct):
    """`since` µs by the name of the object; `counted` are all, of which MAX_NAMED are named. `at` is when."""

    at: int
    counted: int
    bytes: int
    too_long: int
    since: dict[str, int]


def _note(site: Site, vault: str, writer: ParityWriter) -> None:
    now = site.clock.now()
    known = _waiting(site, vault)
    before = known.since if known is not None else {}
    since = {info.name: min(before.get(info.name, now), now) for info in writer.waiting[:MAX_NAMED]}
    found = _Waiting(now, len(writer.waiting), sum(i.size for i in writer.waiting), len(writer.too_long), since)
    with suppress(OSError):  # lost, an object waits since it is seen again
        write_whole(site.disk, _path(site, vault), msgspec.json.encode(found))


def _waiting(site: Site, vault: str) -> _Waiting | None:
    return read_json(site.disk, _path(site, vault), _Waiting)


def _path(site: Site, vault: str) -> str:
    return str(site.data / "run" / "parity" / f"{vault}.json")


def parity_object(site: Site, config: VaultConfig) -> dict[str, Any] | None:
    """What status says: how far the parity of a vault was when it was last written. None where it asks for none."""
    if config.parity is None:
        return None
    data, count = config.parity
    asked = {"parity": f"{data}+{count}"}
    found = _waiting(site, config.name)
    if found is None:
        return {**asked, "at": None, "waiting": None, "waiting_bytes": None, "waiting_since": None, "too_long": None}
    return {
        **asked,
        "at": found.at,
        "waiting": found.counted,
        "waiting_bytes": found.bytes,
        "waiting_since": min(found.since.values(), default=None),
        "too_long": found.too_long,
    }


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
