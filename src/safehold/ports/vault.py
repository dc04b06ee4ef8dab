"""A vault: append, put-if-absent, get, list. Nothing in `Vault` can overwrite, shorten or expire anything (I18).

What repair and retention need beyond that is `KeptVault`, which only a keeper is given: it runs under credentials that
nothing beside the core has.

Object names are relative paths of safe ASCII segments (`log/00000001/00000000.seg`, `blobs/ab/abcd…`), each of up to
100 characters, and none lies below another object's. Any other name is refused by what adds (VaultDown), and nothing is
there under it for what looks: nothing outside of the vault is ever read or written, whatever the name.

Who looks sees of an append all, none or a part of it from its beginning, and of a put all or nothing. What an instance
returned from is seen by every other at once. A listing has what was there when it began, and may have what came since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from safehold.model.errors import OperatorError, OutOfSpace


class ObjectInfo(NamedTuple):
    name: str
    size: int


class VaultDown(OperatorError):
    """The vault cannot be reached, is missing, or refuses."""


class VaultFull(OutOfSpace):
    """The vault has no room. Nothing of the object, or a torn part at its end, may be there."""


class VaultSuspect(OperatorError):
    """A sync failed: what was written may or may not be there. The writer stops and reads back."""


class VaultUnanswered(VaultSuspect):
    """The answer to an append or a put was lost on its way: it may or may not be there, synced if it is.

    Nothing is known to be wrong with the vault: who reads back what is there can go on.
    """


class LengthMismatch(OperatorError):
    """An append expected another length: somebody else wrote, or the vault forgot."""


class Vault(Protocol):
    """A store of append-only objects. One instance is used by one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str: ...

    def available(self) -> bool:
        """Whether it is there and bears the mark of a vault (its FORMAT object)."""
        ...

    def folders(self, prefix: str) -> Sequence[str]:
        """Names of the folders directly below prefix (`log/`), sorted, without looking into them. Raises VaultDown."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose name begins with prefix, sorted by name. Raises VaultDown."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object; None where it is not there. Raises VaultDown."""
        ...

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        """A part of an object, to its end where count is None. Raises VaultDown, KeyError where it is not there."""
        ...

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        """Store a whole object and sync it; False, and nothing done, where the name is taken. Raises as append."""
        ...

    def append(self, name: str, expected: int, data: bytes) -> None:
        """Add data at the end of an object whose length must be `expected`, and sync it before returning.

        Without data: make certain of the object, its name and its last MiB, which another process may have failed to
        sync. That may need room for a second copy of a short one.

        Raises LengthMismatch, VaultFull, VaultSuspect, VaultDown.
        """
        ...

    def close(self) -> None: ...


class KeptVault(Vault, Protocol):
    """A vault with its keeper's credentials. All of these raise VaultDown, VaultFull, VaultSuspect.

    Not for an object that somebody appends to. One keeper at a time.
    """

    def set_aside(self, name: str) -> str:
        """Move an object out of the way, where nobody reads; its new name, beginning with `aside/`.

        Never overwrites what was set aside before. Raises KeyError where it is not there.
        """
        ...

    def replace(self, name: str, chunks: Iterable[bytes]) -> None:
        """Put a whole, synced object in the place of one that is damaged, which is set aside, or missing.

        Works for FORMAT too, also where it can no longer be read.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove an object for good, synced; harmless where it is not there. FORMAT is refused with OperatorError."""
        ...

    def purge_aside(self, before: int | None) -> int:
        """Remove for good what was set aside before that moment (microseconds since 1970), or all; how many objects."""
        ...
