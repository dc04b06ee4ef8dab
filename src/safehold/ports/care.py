"""What keeps a core sound while it serves: looks at its file and rows, and ways to put right what rotted.

Bodies that the core has and cannot give come from a `BodySource`, which is the vaults: whoever reads gets the right
bytes at once, and the row is mended afterwards. Nothing here derives anything anew: what is written is, byte for byte,
what was there before, and is proved by digests before it is written and read again after.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from safehold.model.change import Change
from safehold.model.errors import LostBody
from safehold.model.kinds import Kind


class BodySource(Protocol):
    """Where changes come from whose rows cannot be read. May be used from several threads."""

    def get(self, journal: int) -> Change | None:
        """A change that was brought, by its number in the journal."""
        ...

    def ask(self, lost: Sequence[LostBody]) -> None:
        """Bring them, so that `get` has them; or raise BodiesDamaged, where who reads here must not wait.

        Raises Held, OperatorError where one cannot be had.
        """
        ...


class ChangePlace(NamedTuple):
    """Where a change belongs, as far as the core can still tell; `rev` is 0 where it cannot, `digest` then is known.

    Of an item that was found by `digest` any change of its stream with the same body will do.
    """

    account: bytes  # id
    kind: Kind
    rev: int
    digest: bytes  # of its body
    path: str  # of its collection; "" where that is not known
    name: str


class PageState(Enum):
    """What became of a page whose checksum did not match."""

    SOUND = "sound"  # it matches now: a write was under way, or a newer page took its place
    MENDED = "mended"
    DAMAGED = "damaged"


class CareReads(Protocol):
    """Looks at what the core's file holds. None of them keeps a read transaction open from one call to the next."""

    def page_count(self) -> int:
        """Pages of the database file."""
        ...

    @property
    def page_bytes(self) -> int: ...

    def bad_pages(self, first: int, count: int) -> list[int]:
        """Those of `count` pages from `first` (the lowest is 1) on whose checksum does not match as they lie there.

        Also free pages, and those that a newer page in the write-ahead log has replaced: `mend_page` tells.
        """
        ...

    def last_journal(self) -> int:
        """The highest number in the journal."""
        ...

    def rotten_rows(self, first: int, last: int, limit: int) -> list[int]:
        """Numbers of the journal's rows from `first` to `last` that cannot be read; about `limit` at most."""
        ...

    def place_of(self, lost: LostBody) -> ChangePlace | None:
        """Where a change belongs whose row may be damaged; None where nothing of it can be read."""
        ...


class CareStore(CareReads, Protocol):
    """The writer's part, outside of transactions."""

    def mend_page(self, number: int) -> PageState:
        """Put a page right whose content the checksum itself proves, or that nothing uses.

        Raises Damaged where the file cannot be written.
        """
        ...

    def mend_change(self, journal: int, change: Change) -> bool:
        """Write a row's body again, in place, from the verified change; whether it reads right now.

        False where that cannot be done without touching what cannot be proved.
        """
        ...
