"""Large bodies out of a find, where the vaults do not have them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged
from safehold.ports.blobs import BlobArchive
from safehold.ports.vault import VaultDown
from safehold.recovery.find import Find


class FindArchive:
    """Implements ports.blobs.BlobArchive: the vaults, and the find for what these cannot give."""

    def __init__(self, vaults: BlobArchive, find: Find) -> None:
        self._vaults = vaults
        self._find = find

    def store(self, name: bytes, source: ByteSource) -> None:
        self._vaults.store(name, source)

    def fetch(self, name: bytes, begin: Callable[[], ByteSink], digest: bytes | None = None) -> None:
        """See ports.blobs. Without a digest nothing that was found can be believed, and the vaults alone are asked."""
        try:
            self._vaults.fetch(name, begin, digest)
        except (KeyError, Damaged, VaultDown):
            chunks = self._find.chunks(name, digest) if digest is not None else None
            if chunks is None:
                raise
            whole, sink = sha256(), begin()
            for chunk in chunks:
                whole.update(chunk)
                sink.write(chunk)
            if whole.digest() != digest:
                raise Damaged("a body that was found changed while it was read", where=name.hex()) from None


_: type[BlobArchive] = FindArchive
