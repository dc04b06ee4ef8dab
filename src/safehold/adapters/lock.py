"""The lock on a data folder: one process writes to a core."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Self

from safehold.model.errors import OperatorError


class Locked(OperatorError):
    """Another process has the lock; `holder` is its pid, where it is known."""

    holder: int | None = None


#: How long it is waited for another command's work, which mostly takes less than a second.
PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


class FolderLock:
    """An advisory lock on a file, held until `release` or the end of the process. The file names its holder's pid."""

    def __init__(self, path: str, patience_seconds: float = 0.0) -> None:
        self._path = path
        self._patience_seconds = patience_seconds
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises Locked where another process has it, at once or once patience has come to its end."""
        assert self._descriptor is None
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._comes_free(descriptor):
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            taken = Locked(
                f"another Safehold process{f' ({holder})' if holder else ''} is writing to this data folder",
                hint="stop it, or wait until it has ended",
            )
            taken.holder = int(holder) if holder.isdecimal() else None
            raise taken
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def _comes_free(self, descriptor: int) -> bool:
        give_up = time.monotonic() + self._patience_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    return False
                time.sleep(_PAUSE_SECONDS)
            else:
                return True

    def release(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def leave(self) -> None:
        """In a forked process: it is its maker's alone, and ends with that."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
