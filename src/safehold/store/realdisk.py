"""The operating system's disk behind `ports.disk`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator

from safehold.ports.disk import Disk, Entry, File

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class RealFile:
    """An open file, read and written at offsets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count, offset)
        if len(data) == count or not data:
            return data
        parts = [data]
        got = len(data)
        while got < count and (data := os.pread(self._descriptor, count - got, offset + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def write_at(self, offset: int, data: bytes) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        _flush(self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """Files and folders of this machine. What it makes is readable by its own user only. Holds no state."""

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        flags = os.O_RDWR if write or create else os.O_RDONLY
        if create:
            flags |= os.O_CREAT | (os.O_EXCL if exclusive else 0)
        return RealFile(os.open(path, flags, _FILE_MODE))

    def exists(self, path: str) -> bool:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def list(self, folder: str) -> Iterator[Entry]:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    info = entry.stat()
                except FileNotFoundError:  # removed meanwhile, or a link to nothing
                    continue
                is_folder = stat.S_ISDIR(info.st_mode)
                yield Entry(entry.name, is_folder, 0 if is_folder else info.st_size)

    def make_folders(self, path: str) -> None:
        missing = []
        here = os.path.abspath(path)
        while not os.path.isdir(here):
            missing.append(here)
            here = os.path.dirname(here)
        for folder in reversed(missing):
            try:
                os.mkdir(folder, _FOLDER_MODE)
            except FileExistsError:
                if not os.path.isdir(folder):
                    raise
            self.sync_folder(os.path.dirname(folder))

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def link(self, source: str, target: str) -> None:
        os.link(source, target)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def sync_folder(self, path: str) -> None:
        descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: str) -> int:
        info = os.statvfs(path)
        return info.f_bavail * info.f_frsize


if sys.platform == "darwin":
    import fcntl

    def _flush(descriptor: int) -> None:
        # fsync(2) there leaves the data in the drive's cache.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

else:

    def _flush(descriptor: int) -> None:
        # Writes the bytes and what is needed to find them again (the size); times may be lost.
        os.fdatasync(descriptor)


_: type[Disk] = RealDisk
