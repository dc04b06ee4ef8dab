"""The least that a stream of bytes must do to be read from or written to."""

from __future__ import annotations

from typing import Protocol


class ByteSource(Protocol):
    def read(self, count: int = -1, /) -> bytes:
        """Up to count bytes, more than none while there are any; b"" at the end."""
        ...


class ByteSink(Protocol):
    def write(self, data: bytes, /) -> int:
        """All of data; its length."""
        ...

    def flush(self) -> None: ...
