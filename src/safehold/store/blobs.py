"""Live blobs."""

from __future__ import annotations

from collections.abc import Iterator

from safehold.ports.blobs import BlobArchive, BodyStage
from safehold.ports.disk import Disk


class LiveBlobs:
    """Implements ports.blobs.Blobs."""

    def __init__(self, disk: Disk, folder: str, scratch: str, archive: BlobArchive) -> None:
        raise NotImplementedError

    def stage(self, key: bytes) -> BodyStage:
        raise NotImplementedError

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        raise NotImplementedError
