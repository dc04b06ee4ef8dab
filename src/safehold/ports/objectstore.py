"""A bucket of an object store, as a vault needs it: put if absent, read ranges, list. Keys are text, `/` a mere letter.

A store that keeps versions keeps what was under a key first, whoever puts or deletes it again. Whoever reads here gets
that *first* version, never the one that lies on top of it: a delete marker and a shadowing version change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

import msgspec


class StoreError(Exception):
    """The store cannot be reached, or refuses; the text says why."""


class StoreFull(StoreError):
    """The store has no room, or its quota is used up."""


class StoreUnanswered(StoreError):
    """What was sent may or may not have been carried out."""


class Put(Enum):
    """What came of a put: it is there, or the key is taken; `UNSURE`, perhaps by an earlier try of this very put."""

    DONE = auto()
    TAKEN = auto()
    UNSURE = auto()


class Stored(NamedTuple):
    """The first version of a key; `version` is "" in a bucket that keeps none.

    `modified`: when it was put, by the store's own clock, in seconds since 1970; 0 where that is not known.
    """

    key: str
    size: int
    version: str = ""
    modified: int = 0


class Part(NamedTuple):
    """Bytes of a stored object: from `start` up to `stop`."""

    stored: Stored
    start: int
    stop: int


class Features(msgspec.Struct, frozen=True):
    """What a bucket is set to do. `lock_days` is what its default retention says, 0 where there is none.

    `versioned`: versions are there, and the first counts. `suspended`: that was so, and what is put over something now,
    or deleted, is kept no more; what was a version before still is.
    """

    versioned: bool = False
    lock_days: int = 0
    lock_mode: str = ""
    suspended: bool = False

    @property
    def keeps(self) -> bool:
        """Whether what was put stays, whatever is put or deleted on top of it."""
        return self.versioned and not self.suspended


class Costs(msgspec.Struct):
    """What was asked of a store since this process began, as stores charge it."""

    writes: int = 0  # put, post and list
    reads: int = 0  # get and head
    deletes: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    failures: int = 0  # requests that came to nothing, each after its tries


class Traits(msgspec.Struct):
    """What was found out of a store while it was used."""

    conditional: bool | None = None  # whether a put under the condition that nothing is there is refused where it is
    mark: bytes | None = None  # the vault's FORMAT, where it cannot change any more


class ObjectStore(Protocol):
    """Safe from any thread. Everything raises StoreError."""

    @property
    def costs(self) -> Costs: ...

    @property
    def traits(self) -> Traits: ...

    def features(self, *, anew: bool = False) -> Features:
        """Asked once, then remembered; `anew`: asked once more, since a bucket's owner can change them."""
        ...

    def put(self, key: str, data: bytes, *, unless_there: bool = True) -> Put:
        """Put a whole object, under the condition that the key is free. Raises StoreUnanswered, StoreFull."""
        ...

    def put_large(self, key: str, chunks: Iterable[bytes]) -> Put:
        """The same in parts, which bear no name before the last one is there. UNSURE does not come."""
        ...

    def get(self, stored: Stored, start: int = 0, stop: int | None = None) -> bytes:
        """Raises KeyError where it is gone."""
        ...

    def get_parts(self, parts: Sequence[Part]) -> Sequence[bytes]:
        """Several at once. Raises KeyError where one is gone."""
        ...

    def find(self, key: str) -> Stored | None:
        """The first version under this very key, asked for by its name: listings are not relied on."""
        ...

    def peek(self, key: str) -> bool:
        """Whether something lies under this key, by a request that costs least: a deletion on top hides it here."""
        ...

    def list(self, prefix: str) -> Iterator[Stored]:
        """The first versions of all keys that begin so, in the order of the keys' bytes."""
        ...

    def folders(self, prefix: str) -> Sequence[str]:
        """What stands between prefix and the next `/` of longer keys, sorted."""
        ...

    def versions(self, prefix: str) -> Iterator[tuple[Stored, bool]]:
        """All versions, those of one key from the newest to the first, each with whether it is a delete marker."""
        ...

    def takes_wrong_checksum(self, key: str) -> bool:
        """Put bytes there with the checksum of others, and say whether they are taken."""
        ...

    def delete(self, stored: Stored) -> None:
        """Remove this version; without one, the key. Raises StoreError where it is refused."""
        ...
