"""From a vault's URL to a vault: the one place that knows which sorts there are.

folder:PATH    a folder that this process's user may write to (vault/folder.py)
keeper:PATH    the Unix socket of a keeper that holds the vault as another user (vault/remote.py)
"""

from __future__ import annotations

import threading
from pathlib import Path

from safehold.config import FOLDER_SCHEME, VaultConfig
from safehold.model.errors import SafeholdError
from safehold.ports.disk import Disk
from safehold.vault.folder import FolderVault
from safehold.vault.remote import RemoteVault

AnyVault = FolderVault | RemoteVault


def open_vault(config: VaultConfig, data: Path, disk: Disk, installation: bytes | None) -> AnyVault:
    """A fresh instance, for one thread; nothing is looked at yet."""
    place = str(config.place(data))
    if config.is_folder:
        return FolderVault(config.name, place, disk, installation)
    from safehold.adapters.vault_link import UnixLink  # sockets, which most vaults do not need

    return RemoteVault(config.name, place, lambda: UnixLink(place), installation, lock=threading.Lock())


def create_vault(config: VaultConfig, data: Path, disk: Disk, installation: bytes) -> None:
    """Make it; harmless where it is there. A keeper's is made by its keeper: here it only has to be the right one.

    Raises OperatorError.
    """
    if config.is_folder:
        FolderVault.create(config.name, str(config.place(data)), disk, installation).close()
        return
    vault = open_vault(config, data, disk, installation)
    try:
        vault.size("FORMAT")  # raises VaultDown in the vault's own words
    finally:
        vault.close()


def full_url(config: VaultConfig, data: Path) -> str:
    """The URL with its path absolute."""
    return f"{config.scheme}{config.place(data)}"


def has_history(config: VaultConfig, data: Path, disk: Disk) -> bool:
    """Whether a vault that can be reached holds a log with anything in it, whoever it belongs to."""
    if config.is_folder:
        return any((config.place(data) / "log").glob("*/*"))
    vault = open_vault(config, data, disk, None)
    try:
        return next(iter(vault.list("log/")), None) is not None
    except SafeholdError:
        return False
    finally:
        vault.close()


def with_scheme(url: str) -> str:
    """A URL as somebody types it: a bare path names a folder."""
    return url if ":" in url.partition("/")[0] else f"{FOLDER_SCHEME}{url}"
