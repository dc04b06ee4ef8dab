"""From a vault's URL to a vault: the one place that knows which sorts there are.

folder:PATH    a folder that this process's user may write to (vault/folder.py)
keeper:PATH    the Unix socket of a keeper that holds the vault as another user (vault/remote.py)
s3:BUCKET/…    a bucket at an S3 store (vault/s3.py)
https://…      a vault server on another machine (vault/http_vault.py); its token lies in keys/

A token's file has a line each for the token and, where that is pinned, the server's key:

    token: 64 hexadecimal digits
    key: sha256:64 hexadecimal digits
    code: which code it came with
"""

from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from safehold.adapters.private_file import why_not_private
from safehold.config import FOLDER_SCHEME, SERVER_SCHEMES, VaultConfig, is_loopback, is_pin
from safehold.formats import vaultcode
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.ports.disk import Disk
from safehold.ports.link import NoAnswer, NotSent
from safehold.ports.objectstore import Costs, StoreError
from safehold.ports.world import Entropy
from safehold.vault.folder import FolderVault
from safehold.vault.remote import RemoteVault
from safehold.vault.s3 import S3Vault

if TYPE_CHECKING:  # sockets, TLS and stores, which most vaults do not need
    from safehold.adapters.objectstore import S3ObjectStore
    from safehold.adapters.vault_http import Access

AnyVault = FolderVault | RemoteVault | S3Vault
_MAX_TOKEN_BYTES = 4096

#: One store for each bucket and prefix: what it costs and what it ignores is known of it as long as the process lives.
_STORES: dict[tuple[VaultConfig, Path], S3ObjectStore] = {}
#: What went over all links to one vault at a server.
_COSTS: dict[tuple[str, Path], Costs] = {}


def open_vault(config: VaultConfig, data: Path, disk: Disk, installation: bytes | None) -> AnyVault:
    """A fresh instance, for one thread; nothing is looked at yet."""
    if config.is_s3:
        return S3Vault(config.name, place_of(config), s3_store(config, data), installation, sync=config.mode == "sync")
    if config.is_server:
        return _at_server(config, data, disk, installation)
    place = str(config.place(data))
    if config.is_folder:
        return FolderVault(config.name, place, disk, installation)
    from safehold.adapters.vault_link import UnixLink  # sockets, which most vaults do not need

    return RemoteVault(config.name, place, lambda: UnixLink(place), installation, lock=threading.Lock())


def _at_server(config: VaultConfig, data: Path, disk: Disk, installation: bytes | None) -> RemoteVault:
    from safehold.adapters.vault_http import HttpLink
    from safehold.vault.http_vault import HttpVault

    def access() -> Access:
        return _access(config, data, disk)

    costs = _COSTS.setdefault((config.url, data), Costs())
    return HttpVault(
        config.name, config.url, lambda: HttpLink(access, costs=costs), installation, lock=threading.Lock()
    )


def _access(config: VaultConfig, data: Path, disk: Disk) -> Access:
    """Raises NotSent, which says what is missing."""
    from safehold.adapters.vault_http import Access

    if config.scheme == "http:" and not config.insecure and not is_loopback(config.url):
        raise NotSent("without TLS its token could be read on its way: `insecure = true` allows that")
    path = config.token_path(data)
    if why := why_not_private(str(path), "a token"):
        raise NotSent(why)
    try:
        text = _token_text(disk, path)
        lines = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line and line[:1] != "#")
        token = bytes.fromhex(lines["token"])
    except (KeyError, ValueError):
        raise NotSent(
            f"there is no token for it in {path}: a code of the server's operator brings one (`safehold vault join`)"
        ) from None
    return Access(config.url, token, _pin(config, data, lines.get("key", "").strip()))


def _token_text(disk: Disk, path: Path) -> str:
    """ "" where there is none that can be read."""
    try:
        file = disk.open(str(path))
    except OSError:
        return ""
    try:
        return file.read_at(0, _MAX_TOKEN_BYTES).decode("ascii", "replace")
    finally:
        file.close()


def _pin(config: VaultConfig, data: Path, noted: str) -> bytes:
    """The digest of the key that the server must show. Raises NotSent."""
    wanted = config.certificate or noted
    if not wanted:
        return b""
    if is_pin(wanted):
        return bytes.fromhex(wanted.partition(":")[2])
    import ssl

    from safehold.adapters.vault_http import key_digest

    try:
        return key_digest(ssl.PEM_cert_to_DER_cert((data / wanted).read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise NotSent(f"the certificate {wanted} cannot be read: {error}") from None


def redeem_code(
    text: str, data: Path, disk: Disk, entropy: Entropy, installation: bytes, *, to_write: bool = False
) -> str:
    """Use a one-time code of a vault server: the URL of the vault, whose token lies in keys/ then.

    The token is on disk before the code is used, so that a code whose answer got lost can be used again from here.
    Raises OperatorError.
    """
    from safehold.adapters.vault_http import join

    try:
        code = vaultcode.parse_code(text)
    except Damaged as error:
        raise OperatorError(error.message, hint="copy the whole line that the server's operator sent") from None
    if to_write and code.read_only:
        raise OperatorError(
            "the token that comes with this code may only read",
            hint="`safehold vault join CODE` takes it, for a keeper; to add a vault another code is needed",
            exit_code=2,
        )
    url = f"{code.address}/v1/{code.guest.hex()}"
    path = VaultConfig("joined", url, "async").token_path(data)
    mark = f"code: {sha256(code.secret).hexdigest()[:16]}"
    there = _token_text(disk, path)
    if mark in there.splitlines():
        return url
    if code.read_only and there:
        raise OperatorError(
            f"there is a token for this vault in {path}, and this code's may only read",
            hint="use the code where it is for: in the folder of a keeper",
            exit_code=2,
        )
    new = path.with_name(f"{path.name}.{sha256(code.secret).hexdigest()[:8]}.new")
    disk.make_folders(str(path.parent))
    if mark not in _token_text(disk, new).splitlines():  # its last line: without it, it was cut short and used nowhere
        pin = f"key: sha256:{code.pin.hex()}\n" if code.pin else ""
        _write_secret(disk, str(new), f"# A token for {url}\ntoken: {entropy.bytes(32).hex()}\n{pin}{mark}\n")
    config = VaultConfig("joined", url, "async", token_file=str(new))
    try:
        token = _access(config, data, disk).token
        join(url, code.pin, code.secret, installation, sha256(token).digest())
    except NotSent as error:
        raise OperatorError(str(error), hint="ask the server's operator for a code: `safehold vault invite`") from None
    except NoAnswer as error:
        raise OperatorError(str(error), hint="try again with the same code") from None
    disk.rename(str(new), str(path))
    disk.sync_folder(str(path.parent))
    return url


def _write_secret(disk: Disk, path: str, text: str) -> None:
    file = disk.open(path, write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, text.encode())
        file.sync()
    finally:
        file.close()


def is_code(text: str) -> bool:
    """Whether this is meant to be a one-time code, rather than a URL."""
    return vaultcode.is_code(text)


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


def place_of(config: VaultConfig) -> str:
    """Bucket and prefix of a vault in a bucket."""
    return config.url.removeprefix(config.scheme)


def s3_store(config: VaultConfig, data: Path) -> S3ObjectStore:
    """The store of a vault in a bucket; nothing is asked of it yet."""
    from safehold.adapters.objectstore import S3ObjectStore
    from safehold.adapters.s3_credentials import find_settings

    key = (config, data)
    if key not in _STORES:
        bucket = config.url.removeprefix(config.scheme).partition("@")[0].partition("/")[0]
        options = config.s3
        _STORES[key] = S3ObjectStore(
            lambda: find_settings(
                bucket, options.endpoint, options.region, options.credentials_file, str(data / "keys")
            )
        )
    return _STORES[key]


def store_costs(config: VaultConfig, data: Path) -> dict[str, int] | None:
    """What this process has asked of a bucket's store or of a vault server; None for other vaults."""
    if config.is_server:
        return msgspec.structs.asdict(_COSTS.get((config.url, data), Costs()))
    return msgspec.structs.asdict(s3_store(config, data).costs) if config.is_s3 else None


def _create_in_bucket(config: VaultConfig, data: Path, installation: bytes) -> None:
    """With the retention that the configuration asks for, before anything is put. Raises OperatorError."""
    store, days = s3_store(config, data), config.s3.lock_days
    try:
        _ = store.settings
    except StoreError as error:
        raise OperatorError(
            f"the vault {config.name} cannot be reached: {error}",
            hint="give the core credentials of its own, in a file that its owner alone may read (docs/s3.md)",
        ) from error
    try:
        if days > store.features().lock_days:
            store.set_lock(days)
    except StoreError as error:
        raise OperatorError(
            f"the bucket of {config.url} does not keep what is put for {days} days: {error}",
            hint="make the bucket with Object Lock, and a default retention of so many days, as its owner (docs/s3.md)",
        ) from error
    S3Vault.create(config.name, place_of(config), store, installation, sync=config.mode == "sync").close()


def full_url(config: VaultConfig, data: Path) -> str:
    """The URL with its path absolute."""
    return config.url if config.is_server or config.is_s3 else f"{config.scheme}{config.place(data)}"


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


def is_network(url: str) -> bool:
    """Whether what this URL names is reached over the network."""
    return url.startswith(SERVER_SCHEMES)
