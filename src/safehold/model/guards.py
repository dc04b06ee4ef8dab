"""What a request submits in its If header (RFC 4918 section 10.4): conditions on state, and tokens of locks.

It travels inside the command, so that it is judged within the transaction.
"""

from __future__ import annotations

import msgspec


class Condition(msgspec.Struct, frozen=True):
    """A state token, or an entity tag where `token` is empty. `negated` by Not.

    `digest` is that of a tag of ours; b"" stands for a tag that cannot be ours and matches nothing.
    """

    token: str = ""
    digest: bytes = b""
    negated: bool = False


class ConditionList(msgspec.Struct, frozen=True):
    """Conditions of which all must hold for one resource: `path` under the account, None for one that is not there."""

    path: str | None
    conditions: tuple[Condition, ...]


class Guard(msgspec.Struct, frozen=True):
    """One of the lists must hold, where there are any. A command with a guard, if an empty one, honours locks."""

    lists: tuple[ConditionList, ...] = ()

    @property
    def tokens(self) -> frozenset[str]:
        """The state tokens that are submitted. One after Not is asked about, and opens nothing."""
        return frozenset(c.token for each in self.lists for c in each.conditions if c.token and not c.negated)


#: Of a request without an If header.
OPEN = Guard()
