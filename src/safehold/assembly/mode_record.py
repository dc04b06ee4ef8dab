"""The record of the vaults' modes in the installation's identity, and how it follows the configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from safehold.config import VaultConfig
from safehold.formats.modes import GONE, MODES, RecordedMode, parse_modes
from safehold.model.errors import Damaged
from safehold.ports.core import CoreReads

THE_CONFIGURATION = "the configuration"

_log = logging.getLogger("safehold.modes")


def recorded_modes(reads: CoreReads | None) -> dict[str, RecordedMode]:
    """By the vault's name; none where there is no record yet, or it cannot be read."""
    item = reads.secret(0, MODES) if reads is not None else None
    if item is None:
        return {}
    try:
        return parse_modes(item)
    except Damaged as error:
        _log.warning("%s", error.message)
        return {}


def modes_now(
    recorded: Mapping[str, RecordedMode], vaults: Iterable[VaultConfig], now: int, by: str = THE_CONFIGURATION
) -> dict[str, RecordedMode]:
    """The record as it has to be for these vaults; what differs from it is entered, and said in the log."""
    result = dict(recorded)
    configured = {vault.name: str(vault.mode) for vault in vaults}
    for name, mode in configured.items():
        old = recorded.get(name)
        before = "" if old is None else old.mode
        if before != mode:
            result[name] = RecordedMode(mode, now, by, before=before)
            if recorded:
                _log.warning("the vault %s is %s now; it was %s", name, mode, before or "not there")
    for name, old in recorded.items():
        if name not in configured and old.mode != GONE:
            result[name] = RecordedMode(GONE, now, by, before=old.mode)
            _log.warning("the vault %s, which was %s, is in the configuration no more", name, old.mode)
    return result
