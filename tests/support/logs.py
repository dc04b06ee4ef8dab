"""A writer and its vaults under control: fixed keys, a simulated disk, the archiver's log opened as a start does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from safehold.archiver.log import Log, LogLimits, LogVault, Mode, Written
from safehold.formats import blob
from safehold.formats.keys import Opener, Sealer, SigningKey, certify, fingerprint, identity_of, recipient_of
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.disk import Disk
from safehold.ports.log import Hole, LogFrame
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.log import VaultLogReader
from tests.support.changes import Streams, account_id

IDENTITY = identity_of(bytes(range(32)))
ROOT = SigningKey(b"r" * 32)
WRITER = SigningKey(b"w" * 32)
INSTALLATION = fingerprint(ROOT.public)
SEALER = Sealer(recipient_of(IDENTITY), WRITER, ROOT.public, certify(ROOT, WRITER.public))
OPENER = Opener(IDENTITY, INSTALLATION)
QUIET = LogLimits(4 * 1024 * 1024, 1e9)
SMALL = LogLimits(4 * 1024, 1e9)


def folder_vault(disk: Disk, name: str, path: str = "") -> FolderVault:
    """An instance for a vault that is there."""
    return FolderVault(name, path or f"/{name}", disk, INSTALLATION)


def make_vault(disk: Disk, name: str, path: str = "") -> FolderVault:
    return FolderVault.create(name, path or f"/{name}", disk, INSTALLATION)


def make_kept_vault(disk: Disk, name: str, path: str = "", clock: Clock | None = None) -> KeptFolderVault:
    """With its keeper's credentials."""
    make_vault(disk, name, path).close()
    return KeptFolderVault(name, path or f"/{name}", disk, INSTALLATION, clock=clock or SimClock())


class Writing:
    """One life of a writer: claims, takes in the tail, writes; what `write` returned from is in `acknowledged`."""

    def __init__(
        self,
        sync: Sequence[Vault],
        others: Sequence[Vault] = (),
        *,
        core: LogPosition = EMPTY_LOG,
        limits: LogLimits = QUIET,
        clock: SimClock | None = None,
        streams: Streams | None = None,
        on_written: Callable[[Written], None] = lambda _: None,
    ) -> None:
        self.clock = clock or SimClock()
        self.streams = streams or Streams()
        self.acknowledged: list[Change] = []
        vaults = [LogVault(v, Mode.SYNC) for v in sync] + [LogVault(v, Mode.ASYNC) for v in others]
        self.log = Log.claim(vaults, SEALER, OPENER, self.clock, core, limits, on_written)
        self.tail: list[LogFrame | Hole] = list(self.log.tail())
        self.log.start()

    def change(self, number: int, account: int = 1) -> Change:
        return self.streams.put_card(account_id(account), "contacts/default", f"{number}.vcf")

    def write(self, count: int = 1, each: int = 1) -> None:
        """`count` frames of `each` changes."""
        for _ in range(count):
            self.clock.advance(0.25)
            changes = [self.change(len(self.streams.made)) for _ in range(each)]
            self.log.write(self.log.prepare(changes))
            self.acknowledged += changes


def read(*vaults: Vault) -> tuple[list[Change], list[Hole], VaultLogReader]:
    """All changes and holes that these vaults give."""
    reader = VaultLogReader(vaults, OPENER)
    changes: list[Change] = []
    holes: list[Hole] = []
    for entry in reader.entries():
        if isinstance(entry, Hole):
            holes.append(entry)
        else:
            changes += entry.changes
    return changes, holes, reader


def objects(vault: Vault, prefix: str = "") -> dict[str, bytes]:
    return {info.name: vault.get(info.name) for info in vault.list(prefix)}


def near_on(disk: SimDisk) -> FolderVault:
    return make_vault(disk, "near")


def sealed_blob(name: bytes, body: bytes) -> bytes:
    """A blob object."""
    sealed = SEALER.encrypt(body)
    head = blob.encode_header(name)
    return head + sealed + blob.encode_trailer(blob.BlobTrailer(len(sealed), sha256(head + sealed).digest(), name))
