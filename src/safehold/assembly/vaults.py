"""Adding a vault, or making one anew whose folder is gone: what it lacks comes from another vault or from the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safehold import config as configuration
from safehold.archiver.log import Log, LogVault, Mode
from safehold.archiver.shipper import Shipper
from safehold.config import VaultConfig
from safehold.model.errors import OperatorError
from safehold.service.control import RELOAD
from safehold.service.engine import take_in
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.folder import FolderVault

if TYPE_CHECKING:
    from safehold.assembly.installation import Installation

#: Changes that are archived again in one frame.
CHUNK = 500


def add_vault(installation: Installation, vault: VaultConfig) -> dict[str, Any]:
    """Make it, bring it level with what the others and the core hold, and enter it in the configuration.

    A service that runs takes it up at once. Raises OperatorError.
    """
    path = str(vault.folder(installation.data))
    FolderVault.create(vault.name, path, installation.disk, installation.keyring.installation).close()
    others = [v for v in installation.config.vaults if v.name != vault.name]
    copied_from = _copy(installation, vault, others)
    installation.config = configuration.add_vault(installation.config_path, vault)
    answer = installation.ask_service(RELOAD)
    if answer is None and installation.core_path.exists():
        with installation.lock():
            archived = _archive_again(installation)
    else:
        archived = 0
    if answer is not None and not answer.get("ok"):
        raise OperatorError(f"the service took up the vault, but cannot write: {answer.get('why')}")
    return {
        "name": vault.name,
        "url": f"folder:{path}",
        "mode": vault.mode,
        "copied_from": copied_from,
        "archived_again": archived,
    }


def _copy(installation: Installation, vault: VaultConfig, others: list[VaultConfig]) -> list[str]:
    """Byte for byte, from every other vault that is there: sync ones first, for they hold the most."""
    sources = []
    for other in sorted(others, key=lambda v: v.mode != Mode.SYNC):
        source = installation.vault(other)
        if not source.available():
            continue
        target = installation.vault(vault)
        shipper = Shipper(source, target, installation.clock)
        while not shipper.level:
            shipper.step()
            if shipper.trouble:
                raise OperatorError(f"{other.name} could not be copied to {vault.name}: {shipper.trouble}")
        source.close()
        target.close()
        sources.append(other.name)
        break
    return sources


def _archive_again(installation: Installation) -> int:
    """Changes that the core holds and no vault: they go into new frames, the changes themselves as they are."""
    core = installation.open_core()
    try:
        return _archive_missing(installation, core)
    finally:
        core.close()


def _archive_missing(installation: Installation, core: SqliteCore) -> int:
    from safehold.vault.log import VaultLogReader

    vaults = [installation.vault(v) for v in installation.config.vaults]
    there = [v for v in vaults if v.available()]
    end = VaultLogReader(there, installation.keyring.opener).end()
    for v in vaults:
        v.close()
    if core.log_position().frame <= end.frame:
        return 0
    keys = installation.keyring
    log = Log.claim(
        [LogVault(installation.vault(v), Mode(v.mode)) for v in installation.config.vaults],
        keys.sealer,
        keys.opener,
        installation.clock,
        end,
    )
    take_in(core, log.tail())
    log.start()
    count = 0
    missing = core.changes_after_frame(end.frame, limit=CHUNK)
    while missing:
        frame = log.prepare([change for _, _, change in missing])
        log.write(frame)
        core.begin()
        core.set_frame(missing[0][0], missing[-1][0], frame.position.frame)
        core.set_log_position(frame.position)
        core.commit()
        count += len(missing)
        missing = core.changes(after_journal=missing[-1][0], limit=CHUNK)
    log.close()
    return count
