"""Files as a salvage reads them: at any offset, on a disk that may refuse some of its sectors.

What the disk does not give is read as zeros and counted: the formats above tell damage by their own checksums, so that
a bad sector costs what lies on it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from safehold.ports.disk import Disk

#: What is asked for again where a larger piece could not be read.
SECTOR_BYTES = 4096
CHUNK_BYTES = 1024 * 1024
#: So much is read at once, and kept, where less than this is asked for.
_WINDOW_BYTES = 1024 * 1024
_SMALL_BYTES = 64 * 1024


class FoundFile(NamedTuple):
    """A plain file below a source. `name` is its path from there, for people; `at` its time in µs, where known."""

    path: str
    name: str
    size: int
    at: int | None = None


class ReadAt(Protocol):
    """What is asked of an open file."""

    def read_at(self, offset: int, count: int, /) -> bytes: ...


class Held:
    """Bytes as a file that is read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_at(self, offset: int, count: int, /) -> bytes:
        return self._data[offset : offset + count]


class Reading:
    """An open file. `unread` counts the bytes that the disk did not give."""

    def __init__(self, file: ReadAt, size: int) -> None:
        self._file = file
        self.size = size
        self._bad: set[int] = set()  # sectors that the disk does not give
        self._held = b""  # the window that was read last, and where it begins
        self._held_at = 0

    @property
    def unread(self) -> int:
        return len(self._bad) * SECTOR_BYTES

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end of the file."""
        count = max(0, min(count, self.size - offset))
        if count > _SMALL_BYTES:
            return self._read(offset, count)
        self._hold(offset, count)
        return self._held[offset - self._held_at : offset - self._held_at + count]

    def find(self, words: Sequence[bytes], offset: int) -> int | None:
        """Where the first of these words stands, at `offset` or later; None where none does."""
        overlap = max(map(len, words)) - 1
        while offset < self.size:
            self._hold(offset, min(overlap + 1, self.size - offset))
            start = offset - self._held_at
            hits = [place for word in words if (place := self._held.find(word, start)) != -1]
            if hits:
                return self._held_at + min(hits)
            end = self._held_at + len(self._held)
            if end >= self.size:
                return None
            offset = max(offset + 1, end - overlap)
        return None

    def _hold(self, offset: int, count: int) -> None:
        if not self._held_at <= offset or offset + count > self._held_at + len(self._held):
            self._held = self._read(offset, min(_WINDOW_BYTES, self.size - offset))
            self._held_at = offset

    def _read(self, offset: int, count: int) -> bytes:
        try:
            data = self._file.read_at(offset, count)
        except OSError:
            data = self._by_sectors(offset, count)
        return data if len(data) == count else data + bytes(count - len(data))

    def chunks(self, offset: int, end: int, count: int = CHUNK_BYTES) -> Iterator[bytes]:
        for at in range(offset, end, count):
            yield self.at(at, min(count, end - at))

    def _by_sectors(self, offset: int, count: int) -> bytes:
        parts = []
        at, end = offset, offset + count
        while at < end:
            sector = at // SECTOR_BYTES
            upto = min(end, (sector + 1) * SECTOR_BYTES)
            part = b""
            if sector not in self._bad:
                try:
                    part = self._file.read_at(at, upto - at)
                except OSError:
                    self._bad.add(sector)
            parts.append(part + bytes(upto - at - len(part)))
            at = upto
        return b"".join(parts)


@contextmanager
def reading(disk: Disk, found: FoundFile) -> Iterator[Reading]:
    """Raises OSError where it cannot be opened."""
    file = disk.open(found.path)
    try:
        yield Reading(file, found.size)
    finally:
        file.close()


#: Told how far it is, in bytes: done since the last call.
Step = Callable[[int], None]


def no_step(_count: int) -> None:
    """A Step for nobody."""
