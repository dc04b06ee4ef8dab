"""Large bodies out of a salvage, for whoever fetches blobs: after the vaults, the files that bear their names.

Such a file is a blob object of a vault, sealed, or a live blob in the clear; its first bytes say which. Nobody has read
it since it was found, so it is believed for the digest that the change states, and without that for the digest at its
end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from safehold.formats import blob
from safehold.formats.keys import KeyAway, Opener
from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.errors import Damaged
from safehold.ports.blobs import BlobArchive
from safehold.ports.disk import Disk, File
from safehold.ports.streams import HashedSink, PulledSource
from safehold.ports.survivors import Survivors

CHUNK_BYTES = 1024 * 1024


class FoundBlobs:
    """Implements ports.blobs.BlobArchive over the vaults' own, which may hold nothing of what is asked for."""

    def __init__(self, archive: BlobArchive, finds: Sequence[Survivors], opener: Opener, disk: Disk) -> None:
        self._archive = archive
        self._finds = list(finds)
        self._opener = opener
        self._disk = disk

    def store(self, name: bytes, source: ByteSource) -> None:
        self._archive.store(name, source)

    def fetch(self, name: bytes, begin: Callable[[], ByteSink], digest: bytes | None = None) -> None:
        try:
            self._archive.fetch(name, begin, digest)
        except (KeyError, Damaged, KeyAway) as error:
            if not self._from_finds(name, begin, digest):
                raise error

    def _from_finds(self, name: bytes, begin: Callable[[], ByteSink], digest: bytes | None) -> bool:
        for find in self._finds:
            body = find.body_of(digest) if digest is not None else None
            if body is not None:
                begin().write(body)
                return True
            path = find.blob_path(name)
            if path is None:
                continue
            try:
                file = self._disk.open(path)
            except OSError:  # the source it lay in is not here any more
                continue
            try:
                self._give(file, name, begin(), digest)
            except (Damaged, KeyAway):
                continue
            else:
                return True
            finally:
                file.close()
        return False

    def _give(self, file: File, name: bytes, sink: ByteSink, digest: bytes | None) -> None:
        """Raises Damaged, KeyAway, and what the sink raises."""
        size = file.size()
        hashed = HashedSink(sink)
        if file.read_at(0, len(blob.MAGIC)) == blob.MAGIC:
            self._open(file, size, name, hashed)
        else:
            for offset in range(0, size, CHUNK_BYTES):
                hashed.write(file.read_at(offset, min(CHUNK_BYTES, size - offset)))
            if digest is None:
                raise Damaged("nothing says what this body should be")
        if digest is not None and hashed.digest.digest() != digest:
            raise Damaged("it is another body")

    def _open(self, file: File, size: int, name: bytes, sink: HashedSink) -> None:
        end = size - blob.TRAILER_BYTES
        blob.check_header(file.read_at(0, blob.HEADER_BYTES), name)
        trailer = blob.parse_trailer(file.read_at(max(0, end), blob.TRAILER_BYTES), name)
        if trailer.sealed_bytes + blob.OVERHEAD_BYTES != size:
            raise Damaged("it is cut short")
        actual = sha256()
        for offset in range(0, end, CHUNK_BYTES):
            actual.update(file.read_at(offset, min(CHUNK_BYTES, end - offset)))
        if actual.digest() != trailer.digest:
            raise Damaged("its digest does not match")
        source = PulledSource(file.read_at, blob.HEADER_BYTES, trailer.sealed_bytes, CHUNK_BYTES)
        try:
            self._opener.decrypt_stream(source, sink)
        except Damaged as error:
            raise source.error or sink.error or error from error


_: type[BlobArchive] = FoundBlobs
