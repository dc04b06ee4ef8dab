"""Blobs: bodies too large for the journal, each a file in the data folder and an object in every vault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from safehold.model.commands import Body

#: Bodies up to this size travel inline in the journal and in frames.
INLINE_LIMIT_BYTES = 64 * 1024


class BodyStage(Protocol):
    """A body on its way in, in constant memory: digested as it comes, spilled to disk past the inline limit."""

    def write(self, data: bytes) -> None:
        """Raises OutOfSpace."""
        ...

    def finish(self) -> Body:
        """Inline, or as a blob that lies synced in every sync vault and in the live folder.

        Raises OutOfSpace, VaultDown.
        """
        ...

    def abort(self) -> None:
        """Throw away what came so far. Harmless after finish."""
        ...


class Blobs(Protocol):
    def stage(self, key: bytes) -> BodyStage:
        """`key` is the account's blob key: the name is HMAC-SHA-256(key, digest of the body)."""
        ...

    def read(self, name: bytes, size: int, offset: int = 0, count: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 256 KiB. Fetched back from a vault, verified, where the live file is missing.

        Raises Held where no vault that can be reached has it.
        """
        ...
