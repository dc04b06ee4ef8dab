"""The status object of the contract: what is here, how far each vault is, and what is at risk, in plain words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from safehold.archiver.log import Mode
from safehold.assembly.site import Site
from safehold.assembly.writer import Writer
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError
from safehold.model.kinds import DATA_KINDS
from safehold.ports.core import CoreReads
from safehold.vault.log import VaultLogReader

#: A folder that the service's own user can write to is append-only because we keep to it, not because we must.
BY_CONVENTION = "by convention"
_OBJECTIVES = ("rpo", "rto", "first_contact")
_MICROSECONDS = 1_000_000


def status_object(
    site: Site, reads: CoreReads, writer: Writer | None, devices_ahead: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """As DESIGN's contract has it. `writer` is the running one, or None where nothing runs."""
    counts = reads.counts()
    vaults = describe_vaults(site, writer, reads)
    incidents = [*_incidents(vaults, writer), *devices_ahead]
    return {
        "service": _service_state(writer),
        "timeline": _timeline(reads, writer),
        "accounts": counts["accounts"],
        "changes": counts["changes"],
        "items": {kind.value: counts.get(kind.value, 0) for kind in DATA_KINDS},
        "vaults": vaults,
        "objectives": {
            name: {"target_seconds": None, "actual_seconds": None, "state": "not set"} for name in _OBJECTIVES
        },
        "incidents": incidents,
        "recovery": None,
        "risks": _risks(site, vaults),
    }


def _timeline(reads: CoreReads, writer: Writer | None) -> int:
    """The one that is written in; with no writer that of the last frame."""
    if writer is not None and writer.engine.stopped is None:
        return writer.engine.log.timeline
    return reads.log_position().timeline


def _service_state(writer: Writer | None) -> str:
    if writer is None:
        return "stopped"
    return "serving" if writer.engine.stopped is None else "read-only"


def describe_vaults(site: Site, writer: Writer | None, reads: CoreReads | None = None) -> list[dict[str, Any]]:
    """One line for each configured vault."""
    return [_describe(site, vault, writer, reads) for vault in site.config.vaults]


def _describe(site: Site, config: VaultConfig, writer: Writer | None, reads: CoreReads | None) -> dict[str, Any]:
    folder = config.folder(site.data)
    vault = site.vault(config)
    available = vault.available()
    vault.close()
    unarchived, lag, trouble = _backlog(site, config, writer, reads) if available else (None, None, None)
    return {
        "name": config.name,
        "url": f"folder:{folder}",
        "mode": config.mode,
        "state": "missing" if not available else trouble or "reachable",
        "append_only": BY_CONVENTION,
        "unarchived_changes": unarchived,
        "lag_seconds": lag,
        "failure_domain": _domain(str(folder)) if available else None,
        "last_scrub": None,
        "last_drill": None,
    }


def _backlog(
    site: Site, config: VaultConfig, writer: Writer | None, reads: CoreReads | None
) -> tuple[int | None, float | None, str | None]:
    """(changes not in the vault, age of the oldest of them in seconds, what hinders)."""
    if writer is not None and writer.engine.stopped is None:
        for shipper in writer.shippers:
            if shipper.name.rpartition(" ")[2] == config.name:
                try:
                    return shipper.unarchived_changes, shipper.lag_seconds, shipper.trouble
                except OperatorError:  # it has never seen its source: the core tells what the vault lacks
                    break
        if config.mode == Mode.SYNC:
            return 0, 0.0, None  # a change that it does not hold is not in the core either
    if reads is None:
        return None, None, None
    vault = site.vault(config)
    try:
        end = VaultLogReader([vault], site.keyring.opener).end()
    except OperatorError as error:
        return None, None, error.message
    finally:
        vault.close()
    count, oldest = reads.unarchived(end.frame)
    lag = 0.0 if oldest is None else max(0.0, (site.clock.now() - oldest) / _MICROSECONDS)
    return count, lag, None


def _domain(folder: str) -> str:
    """What it shares its fate with, as far as the system tells: the device that its folder lies on."""
    device = os.stat(folder).st_dev
    return f"device {os.major(device)}:{os.minor(device)}"


def _incidents(vaults: list[dict[str, Any]], writer: Writer | None) -> list[dict[str, Any]]:
    found = []
    if writer is not None and writer.engine.stopped is not None:
        stopped = writer.engine.stopped
        found.append({"what": "writing stopped", "message": stopped.message, "hint": stopped.hint})
    for vault in vaults:
        if vault["state"] == "missing":
            message = f"the vault {vault['name']} is not at {vault['url']}"
            hint = f"mount its disk, or make it anew with `safehold vault add {vault['name']}`"
            found.append({"what": "vault missing", "message": message, "hint": hint})
    return found


def _risks(site: Site, vaults: list[dict[str, Any]]) -> list[str]:
    """Parts that would be lost together."""
    core = _domain(str(site.data))
    risks = [
        f"the vault {v['name']} lies on the same device as the core"
        for v in vaults
        if v["failure_domain"] == core and v["state"] != "missing"
    ]
    if site.keys_folder.exists():
        risks.append("the key that opens the vaults lies beside the core: keep a copy of keys/recovery.txt elsewhere")
    return risks
