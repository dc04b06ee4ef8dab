"""Which streams a run enters, and which of them its report counts.

Identity is always entered, of all accounts: without it nobody can knock, and a phone whose account is unknown would
be told 401 where 503 is meant. What a run leaves out is held, so that nobody is served emptiness.
"""

from __future__ import annotations

import msgspec

from safehold.model.kinds import Kind

#: The account of the installation itself.
SYSTEM = bytes(16)


class Selection(msgspec.Struct, frozen=True):
    """None means all. `keep` names streams that the present core holds whole: a filtered run does not lose them."""

    accounts: tuple[bytes, ...] | None = None
    kinds: tuple[Kind, ...] | None = None
    keep: tuple[tuple[bytes, Kind], ...] = ()

    @property
    def whole(self) -> bool:
        return self.accounts is None and self.kinds is None

    def counted(self, account: bytes, kind: Kind) -> bool:
        """Whether a report speaks of this stream: one that was asked for, or the identity it needs."""
        if account != SYSTEM and self.accounts is not None and account not in self.accounts:
            return False
        return kind is Kind.IDENTITY or self.kinds is None or kind in self.kinds

    def entered(self, account: bytes, kind: Kind) -> bool:
        """Whether a run enters this stream."""
        return kind is Kind.IDENTITY or self.counted(account, kind) or (account, kind) in self.keep
