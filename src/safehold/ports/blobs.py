"""Blobs: bodies too large for the journal, each a file in the data folder and an object in every vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from safehold.formats.streams import ByteSink, ByteSource
from safehold.model.commands import Body

#: Files up to this size travel inline in the journal and in frames. vCards and iCalendar objects always do, up to
#: the limit on objects: their UID is read from the body wherever a change is applied.
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

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        """Chunks of at most 256 KiB. Fetched back from a vault where the live file is missing or of another size.

        With `digest` (SHA-256 of the body) also where the live file is another body; and what is fetched back is
        checked against it before it is taken.
        Raises Held where no vault that can be reached has it.
        """
        ...

    def doubt(self, name: bytes) -> None:
        """Whoever read all of a blob found that it is not what its digest says."""
        ...


class BlobArchive(Protocol):
    """Where the live blobs keep their other copies: the vaults."""

    def store(self, name: bytes, source: ByteSource) -> None:
        """Encrypt and put into every sync vault; nothing where they have it, whole.

        Raises OutOfSpace, VaultDown, VaultSuspect, Held where one has it damaged.
        """
        ...

    def fetch(self, name: bytes, begin: Callable[[], ByteSink], digest: bytes | None = None) -> None:
        """Decrypt from the first vault that has a good copy; with `digest`, one whose body has that SHA-256.

        `begin` is called once for each try and gives an empty sink. Raises KeyError where every vault was asked and
        none has it, Damaged where only bad copies were found, VaultDown where none has it and one could not be asked.
        """
        ...
