"""A `ports.disk.File` as a stream. What goes wrong is kept in `error`: libraries wrap what a stream raises."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from safehold.formats.streams import ByteSink
from safehold.ports.disk import File


class FileSource:
    """Reads a file from its start."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._offset = 0
        self.error: OSError | None = None

    def read(self, count: int = -1, /) -> bytes:
        try:
            data = self._file.read_at(self._offset, self._file.size() - self._offset if count < 0 else count)
        except OSError as error:
            self.error = error
            raise
        self._offset += len(data)
        return data


class FileSink:
    """Writes a file from where it is told. `digest` is the SHA-256 of what was written."""

    def __init__(self, file: File, offset: int = 0) -> None:
        self._file = file
        self.offset = offset
        self.digest = sha256()
        self.error: OSError | None = None

    def write(self, data: bytes, /) -> int:
        try:
            self._file.write_at(self.offset, data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        self.offset += len(data)
        return len(data)

    def flush(self) -> None:
        pass


class PulledSource:
    """Reads through a function (offset, count) -> bytes, up to `size` bytes from `start`, in chunks of its own."""

    def __init__(self, pull: Callable[[int, int], bytes], start: int, size: int, chunk_bytes: int) -> None:
        self._pull = pull
        self._at = start
        self._end = start + size
        self._chunk_bytes = chunk_bytes
        self._held = memoryview(b"")
        self.error: Exception | None = None

    def read(self, count: int = -1, /) -> bytes:
        if count < 0:
            count = self._end - self._at + len(self._held)
        if not self._held and self._at < self._end:
            try:
                self._held = memoryview(self._pull(self._at, min(self._chunk_bytes, self._end - self._at)))
            except Exception as error:
                self.error = error
                raise
            self._at += len(self._held)
        data, self._held = self._held[:count], self._held[count:]
        return bytes(data)


class HashedSink:
    """Passes on and digests."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self.digest = sha256()
        self.error: Exception | None = None

    def write(self, data: bytes, /) -> int:
        try:
            self._sink.write(data)
        except Exception as error:
            self.error = error
            raise
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        self._sink.flush()
