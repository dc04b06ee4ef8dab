"""Large bodies, written out once each: a salvage stands by itself once it is made, whatever becomes of its sources.

They lie in the salvage folder as `bodies/XX/X…`, by the SHA-256 of what they hold; half of one never bears that name.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from safehold.model.errors import OperatorError, OutOfSpace
from safehold.ports.disk import Disk

FOLDER = "bodies"


class Kept(NamedTuple):
    digest: bytes
    size: int
    path: str


_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """What hinders writing ends a salvage, and must not pass for damage in what it reads."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpace(
                f"there is no room for what is found: {path}",
                hint="make room, or give --out on a larger disk; what was found is kept, and a second run goes on",
            ) from error
        raise OperatorError(f"{path} cannot be written: {error.strerror or error}") from error


class Half:
    """A body that is being written; it bears its name once it is finished. Raises OutOfSpace, OperatorError."""

    def __init__(self, disk: Disk, folder: str, path: str) -> None:
        self._disk = disk
        self._folder = folder
        self._path = path
        with _told(path):
            self._file = disk.open(path, write=True, create=True, exclusive=True)
        self._digest = sha256()
        self._size = 0

    def write(self, data: bytes, /) -> int:
        with _told(self._path):
            self._file.write_at(self._size, data)
        self._digest.update(data)
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def finish(self) -> Kept:
        with _told(self._path):
            return self._finish()

    def _finish(self) -> Kept:
        self._file.sync()
        self._file.close()
        text = self._digest.hexdigest()
        folder = f"{self._folder}/{text[:2]}"
        if self._disk.exists(f"{folder}/{text}") and self._disk.size(f"{folder}/{text}") == self._size:
            self._disk.remove(self._path)
        else:
            self._disk.make_folders(folder)
            self._disk.rename(self._path, f"{folder}/{text}")
            self._disk.sync_folder(folder)
        return Kept(self._digest.digest(), self._size, f"{folder}/{text}")

    def abort(self) -> None:
        """Nothing stays behind."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._disk.remove(self._path)


class Keep:
    """Writes below one salvage folder."""

    def __init__(self, disk: Disk, out: str) -> None:
        self._disk = disk
        self._folder = f"{out}/{FOLDER}"
        self._numbers = 0

    def begin(self) -> Half:
        """A body to be written."""
        with _told(self._folder):
            self._disk.make_folders(self._folder)
        return Half(self._disk, self._folder, self._free_name())

    def put(self, chunks: Iterable[bytes]) -> Kept:
        """Raises what `chunks` raises, and as `Half` does; then nothing stays behind."""
        half = self.begin()
        try:
            for chunk in chunks:
                half.write(chunk)
            return half.finish()
        except BaseException:
            half.abort()
            raise

    def has(self, path: str) -> bool:
        """Whether a body was written here, and is still there."""
        return path.startswith(f"{self._folder}/") and self._disk.exists(path)

    def _free_name(self) -> str:
        while True:
            self._numbers += 1
            path = f"{self._folder}/half-{self._numbers:08d}"
            if not self._disk.exists(path):
                return path
            with contextlib.suppress(OSError):  # of a salvage that was killed
                self._disk.remove(path)
