"""What lies in one vault, counted as it grows, against what its guest may fill."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from safehold.ports.disk import Disk

#: What a name costs besides its bytes.
OBJECT_BYTES = 8192


class VaultQuota:
    """Implements vault.served.Quota. `limit` is asked each time, as it may be changed; 0: none."""

    def __init__(self, disk: Disk, folder: str, limit: Callable[[], int], lock: AbstractContextManager[Any]) -> None:
        self._disk = disk
        self._folder = folder
        self._limit = limit
        self._lock = lock
        self._used: int | None = None
        self._meanwhile = 0  # came since the count under way began

    def used_bytes(self) -> int:
        """Counted from the folder at first. Raises OSError."""
        with self._lock:
            if self._used is None:
                self._used = _used(self._disk, self._folder)
            return self._used

    def recount(self) -> None:
        """Its keeper has removed something, or somebody else has added. One thread at a time; nobody waits for it.

        What comes while it is counted may be counted twice, until the next time. Raises OSError.
        """
        with self._lock:
            if self._used is None:
                return
            self._meanwhile = 0
        found = _used(self._disk, self._folder)
        with self._lock:
            self._used = found + max(0, self._meanwhile)

    def limit_bytes(self) -> int:
        return self._limit()

    def room_bytes(self) -> int:
        limit = self._limit()
        return max(0, limit - self.used_bytes()) if limit else 1 << 62

    def took(self, count: int) -> None:
        with self._lock:
            self._meanwhile += count
            if self._used is not None:
                self._used = max(0, self._used + count)


def _used(disk: Disk, folder: str) -> int:
    used = 0
    with suppress(FileNotFoundError):
        for entry in list(disk.list(folder)):
            used += OBJECT_BYTES
            used += _used(disk, f"{folder}/{entry.name}") if entry.is_folder else entry.size
    return used
