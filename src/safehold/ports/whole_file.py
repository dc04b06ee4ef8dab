"""Small files that are read and replaced whole: records of an installation that are no history.

Replaced so that a kill at any moment leaves the old or the new one: a temporary beside it, synced, renamed, the folder
synced.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from safehold.ports.disk import Disk

T = TypeVar("T")


def write_whole(disk: Disk, path: str, data: bytes) -> None:
    """Replace a file, whole or not at all, synced; its folder is made. Raises OSError."""
    folder = path.rpartition("/")[0]
    disk.make_folders(folder)
    file = disk.open(f"{path}.new", write=True, create=True)
    try:
        file.truncate(0)
        file.write_at(0, data)
        file.sync()
    finally:
        file.close()
    disk.rename(f"{path}.new", path)
    disk.sync_folder(folder)


def read_whole(disk: Disk, path: str) -> bytes:
    """b"" where it is not there or cannot be read."""
    try:
        file = disk.open(path)
    except OSError:
        return b""
    try:
        return file.read_at(0, file.size())
    except OSError:
        return b""
    finally:
        file.close()


def read_json(disk: Disk, path: str, type_: type[T]) -> T | None:
    """None where it is not there, cannot be read, or is something else."""
    try:
        return msgspec.json.decode(read_whole(disk, path), type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
