"""Blobs in vaults: encrypted once, in constant memory, the same bytes in every vault."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import pyrage

from safehold.formats import blob
from safehold.formats.blob import BlobTrailer, blob_object
from safehold.formats.keys import Opener, Sealer
from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged, Held, OutOfSpace
from safehold.ports.blobs import BlobArchive
from safehold.ports.disk import Disk, File
from safehold.ports.streams import FileSink, FileSource, HashedSink, PulledSource
from safehold.ports.vault import Vault, VaultDown, VaultFull

CHUNK_BYTES = 1024 * 1024
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))

#: Told of an object that is new in the sync vaults: its name, and the size and SHA-256 that a seal states of it.
NoteBlob = Callable[[str, int, bytes], None]


def ignore(_name: str, _size: int, _digest: bytes) -> None:
    """A NoteBlob for where nobody listens."""


class VaultBlobs:
    """Implements ports.blobs.BlobArchive.

    `sync` vaults get every blob before `store` returns; `others` are only read from. The vault instances are its own
    (not those of the log); only their put, get and size are used.
    """

    def __init__(
        self,
        sync: Sequence[Vault],
        others: Sequence[Vault],
        sealer: Sealer,
        opener: Opener,
        disk: Disk,
        scratch: str,
        note: NoteBlob = ignore,
    ) -> None:
        self.use(sync, others)
        self._sealer = sealer
        self._opener = opener
        self._disk = disk
        self._scratch = scratch
        self._note = note
        #: Why a sync vault had no room for the last body; None once one was taken.
        self.refusal: OutOfSpace | None = None

    def use(self, sync: Sequence[Vault], others: Sequence[Vault]) -> None:
        """From the next call on, these vaults; a call that runs ends with those it began with."""
        self._sync = tuple(sync)
        self._others = tuple(others)

    def use_keys(self, sealer: Sealer, opener: Opener) -> None:
        """From the next call on, these keys. `opener` may hold no identity: only `fetch` needs one."""
        self._sealer = sealer
        self._opener = opener

    def level(self) -> int:
        """Give each sync vault the blobs that it lacks and another one has whole; how many. Raises as `store`."""
        holders: dict[str, list[Vault]] = {}
        sync = self._sync
        for vault in sync if len(sync) > 1 else ():
            for info in vault.list(blob.BLOB_PREFIX):
                holders.setdefault(info.name, []).append(vault)
        copied = 0
        for object_, having in holders.items():
            lacking = [vault for vault in sync if vault not in having]
            name = blob.parse_object(object_)
            if not lacking or name is None:
                continue
            for good in having:
                if self._is_good(good, object_, name):
                    copied += sum(vault.put(object_, _chunks_of(good, object_)) for vault in lacking)
                    break
        return copied

    def _is_good(self, vault: Vault, object_: str, name: bytes) -> bool:
        try:
            self._verify(vault, object_, name, vault.size(object_) or 0)
        except (Damaged, KeyError):
            return False
        return True

    def store(self, name: bytes, source: ByteSource) -> None:
        try:
            self._store(name, source)
        except VaultFull as error:
            self.refusal = error
            raise
        self.refusal = None

    def _store(self, name: bytes, source: ByteSource) -> None:
        object_ = blob_object(name)
        sync = self._sync
        lacking = [vault for vault in sync if vault.size(object_) is None]
        holders = [vault for vault in sync if vault not in lacking]
        for vault in holders:
            self._vouch(vault, object_, name)
        if holders:
            for vault in lacking:
                vault.put(object_, _chunks_of(holders[0], object_))
            return
        path, file = self._temporary(name)
        try:
            trailer = self._encrypt(name, source, file)
            for vault in lacking:
                vault.put(object_, _chunks_in(file))
        except OSError as error:
            raise _refusal(error) from error
        finally:
            file.close()
            self._disk.remove(path)
        self._note(object_, blob.HEADER_BYTES + trailer.sealed_bytes, trailer.digest)

    def _vouch(self, vault: Vault, object_: str, name: bytes) -> None:
        """That a vault has an object whole, under a name that is synced. Raises Held where it is damaged there."""
        if not self._is_good(vault, object_, name):
            raise Held(
                f"{vault.name} has a damaged copy of this body ({object_}), which nothing here may replace",
                hint="run `safehold vault repair`: it says what it would mend, and with --yes mends it",
            )
        vault.put(object_, ())

    def fetch(self, name: bytes, begin: Callable[[], ByteSink], digest: bytes | None = None) -> None:
        object_ = blob_object(name)
        self._opener.require("a body that only the vaults hold")
        bad: list[str] = []
        down: VaultDown | None = None
        for vault in (*self._sync, *self._others):
            try:
                size = vault.size(object_)
                if size is None:
                    continue
                trailer = self._verify(vault, object_, name, size)
                self._decrypt(vault, object_, trailer, begin(), digest)
            except VaultDown as error:
                down = error
            except (Damaged, KeyError) as error:
                bad.append(f"{vault.name}: {object_}: {error}")
            else:
                return
        if bad:
            raise Damaged("; ".join(bad), where=object_)
        if down is not None:
            raise down
        raise KeyError(object_)

    def _encrypt(self, name: bytes, source: ByteSource, file: File) -> BlobTrailer:
        """Header, age file and trailer into the file."""
        sink = FileSink(file)
        sink.write(blob.encode_header(name))
        try:
            self._sealer.encrypt_stream(source, sink)
        except (pyrage.EncryptError, OSError) as error:
            raise sink.error or getattr(source, "error", None) or error from error
        trailer = BlobTrailer(sink.offset - blob.HEADER_BYTES, sink.digest.digest(), name)
        sink.write(blob.encode_trailer(trailer))
        return trailer

    def _verify(self, vault: Vault, object_: str, name: bytes, size: int) -> BlobTrailer:
        """Both ends and the digest of what is between. Raises Damaged, VaultDown."""
        if size < blob.OVERHEAD_BYTES:
            raise Damaged(f"it is {size} bytes long, too short for a blob")
        trailer = blob.parse_trailer(vault.get(object_, size - blob.TRAILER_BYTES), name)
        if trailer.sealed_bytes + blob.OVERHEAD_BYTES != size:
            raise Damaged(f"it is {size} bytes long; its end says {trailer.sealed_bytes + blob.OVERHEAD_BYTES}")
        blob.check_header(vault.get(object_, 0, blob.HEADER_BYTES), name)
        actual = sha256()
        end = size - blob.TRAILER_BYTES
        for offset in range(0, end, CHUNK_BYTES):
            actual.update(vault.get(object_, offset, min(CHUNK_BYTES, end - offset)))
        if actual.digest() != trailer.digest:
            raise Damaged("its digest does not match")
        return trailer

    def _decrypt(self, vault: Vault, object_: str, trailer: BlobTrailer, sink: ByteSink, digest: bytes | None) -> None:
        """Raises Damaged, VaultDown, and what the sink raises."""
        source = PulledSource(
            lambda offset, count: vault.get(object_, offset, count),
            blob.HEADER_BYTES,
            trailer.sealed_bytes,
            CHUNK_BYTES,
        )
        hashed = HashedSink(sink)
        try:
            self._opener.decrypt_stream(source, hashed)
        except Damaged as error:
            raise source.error or hashed.error or error from error
        if digest is not None and hashed.digest.digest() != digest:
            raise Damaged("it decrypts to another body")

    def _temporary(self, name: bytes) -> tuple[str, File]:
        try:
            self._disk.make_folders(self._scratch)
            number = 0
            while True:
                path = f"{self._scratch}/{name.hex()[:16]}-{number}.sealed"
                try:
                    return path, self._disk.open(path, write=True, create=True, exclusive=True)
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise _refusal(error) from error


def _chunks_of(vault: Vault, object_: str) -> Iterator[bytes]:
    size = vault.size(object_) or 0
    for offset in range(0, size, CHUNK_BYTES):
        yield vault.get(object_, offset, CHUNK_BYTES)


def _chunks_in(file: File) -> Iterator[bytes]:
    source = FileSource(file)
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _refusal(error: OSError) -> Held:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return OutOfSpace(f"there is no room to encrypt a large body: {reason}", hint="make room on the data disk")
    return Held(f"a large body could not be encrypted: {reason}", hint="see what is wrong with the data disk")


_: type[BlobArchive] = VaultBlobs
