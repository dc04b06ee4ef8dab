"""The disk under vaults, blobs and the core: one seam, so that a test can lose what was not synced.

Paths are absolute or relative to the process, as `str`. Errors are OSError as the operating system raises them
(ENOSPC, EIO, FileExistsError, FileNotFoundError …). What survives a crash:

- bytes of a file: those written before the last `sync` of that file that returned;
- a name in a folder (created, linked, renamed, removed): after the `sync_folder` of that folder that followed.

After a `sync` or `sync_folder` that raised, nothing written before it is known to be on disk, and a second call
that succeeds proves nothing: close the file, stop, and read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A name in a folder. `size` is 0 for folders."""

    name: str
    is_folder: bool
    size: int


class File(Protocol):
    """An open file. Not shared between threads."""

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to count bytes; fewer only at the end of the file."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """All of data, or OSError; after an error any part of it may be there."""
        ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None: ...

    def size(self) -> int: ...

    def close(self) -> None: ...


class Disk(Protocol):
    """Files and folders."""

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """`create` makes it where it is missing, `exclusive` (with create) raises FileExistsError where it is not."""
        ...

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int:
        """Raises FileNotFoundError."""
        ...

    def list(self, folder: str) -> Iterator[Entry]:
        """Entries in no order. Raises FileNotFoundError."""
        ...

    def make_folders(self, path: str) -> None:
        """With all above it; each new name synced in its parent. No error where it is there."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Atomic; replaces target."""
        ...

    def link(self, source: str, target: str) -> None:
        """A second name for a file. Raises FileExistsError where target is there: put-if-absent rests on it."""
        ...

    def remove(self, path: str) -> None: ...

    def sync_folder(self, path: str) -> None: ...

    def free_bytes(self, path: str) -> int: ...
