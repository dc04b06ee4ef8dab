"""From a vault's URL to a vault: the one place that knows which sorts there are.

folder:PATH    a folder that this process's user may write to (vault/folder.py)
keeper:PATH    the Unix socket of a keeper that holds the vault as another user (vault/remote.py)
s3:BUCKET/…    a bucket at an S3 store (vault/s3.py)
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from safehold.config import FOLDER_SCHEME, VaultConfig
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.disk import Disk
from safehold.ports.objectstore import StoreError
from safehold.vault.folder import FolderVault
from safehold.vault.remote import RemoteVault
from safehold.vault.s3 import S3Vault

if TYPE_CHECKING:
    from safehold.adapters.objectstore import S3ObjectStore

AnyVault = FolderVault | RemoteVault | S3Vault

#: One store for each bucket and prefix: what it costs and what it ignores is known of it as long as the process lives.
_STORES: dict[tuple[VaultConfig, Path], S3ObjectStore] = {}


def open_vault(config: VaultConfig, data: Path, disk: Disk, installation: bytes | None) -> AnyVault:
    """A fresh instance, for one thread; nothing is looked at yet."""
    if config.is_s3:
        place = config.url.removeprefix(config.scheme)
        return S3Vault(config.name, place, s3_store(config, data), installation, sync=config.mode == "sync")
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
    if config.is_s3:
        _create_in_bucket(config, data, installation)
        return
    vault = open_vault(config, data, disk, installation)
    try:
        vault.size("FORMAT")  # raises VaultDown in the vault's own words
    finally:
        vault.close()


def s3_store(config: VaultConfig, data: Path) -> S3ObjectStore:
    """The store of a vault in a bucket; nothing is asked of it yet."""
    from safehold.adapters.objectstore import S3ObjectStore
    from safehold.adapters.s3_credentials import find_settings

    key = (config, data)
    if key not in _STORES:
        bucket = config.url.removeprefix(config.scheme).partition("/")[0]
        options = config.s3
        _STORES[key] = S3ObjectStore(
            lambda: find_settings(
                bucket, options.endpoint, options.region, options.credentials_file, str(data / "keys")
            )
        )
    return _STORES[key]


def store_costs(config: VaultConfig, data: Path) -> dict[str, int] | None:
    """What this process has asked of a bucket's store; None for other vaults."""
    return msgspec.structs.asdict(s3_store(config, data).costs) if config.is_s3 else None


def _create_in_bucket(config: VaultConfig, data: Path, installation: bytes) -> None:
    """With the retention that the configuration asks for, before anything is put. Raises OperatorError."""
    store, days = s3_store(config, data), config.s3.lock_days
    try:
        if days > store.features().lock_days:
            store.set_lock(days)
    except StoreError as error:
        raise OperatorError(
            f"the bucket of {config.url} does not keep what is put for {days} days: {error}",
            hint="make the bucket with Object Lock, and a default retention of so many days, as its owner (docs/s3.md)",
        ) from error
    place = config.url.removeprefix(config.scheme)
    S3Vault.create(config.name, place, store, installation, sync=config.mode == "sync").close()


def full_url(config: VaultConfig, data: Path) -> str:
    """The URL with its path absolute."""
    if config.is_s3:
        return config.url
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
