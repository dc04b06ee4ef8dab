"""Bodies that lie in no file of their own (in an archive, in the middle of an image), written out once each.

They lie in the salvage folder as `bodies/XX/X…`, by the SHA-256 of what they hold; half of one never bears that name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from safehold.ports.disk import Disk

FOLDER = "bodies"


class Kept(NamedTuple):
    digest: bytes
    size: int
    path: str


class Keep:
    """Writes below one salvage folder."""

    def __init__(self, disk: Disk, out: str) -> None:
        self._disk = disk
        self._folder = f"{out}/{FOLDER}"
        self._numbers = 0

    def put(self, chunks: Iterable[bytes]) -> Kept:
        """Raises what `chunks` raises, and OSError where nothing can be written; then nothing stays behind."""
        self._disk.make_folders(self._folder)
        half, digest, size = self._free_name(), sha256(), 0
        file = self._disk.open(half, write=True, create=True, exclusive=True)
        try:
            try:
                for chunk in chunks:
                    file.write_at(size, chunk)
                    digest.update(chunk)
                    size += len(chunk)
                file.sync()
            finally:
                file.close()
            text = digest.hexdigest()
            folder = f"{self._folder}/{text[:2]}"
            self._disk.make_folders(folder)
            self._disk.rename(half, f"{folder}/{text}")
            self._disk.sync_folder(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                self._disk.remove(half)
            raise
        return Kept(digest.digest(), size, f"{folder}/{text}")

    def _free_name(self) -> str:
        while True:
            self._numbers += 1
            path = f"{self._folder}/half-{self._numbers:08d}"
            if not self._disk.exists(path):
                return path
            with contextlib.suppress(OSError):  # of a salvage that was killed
                self._disk.remove(path)
