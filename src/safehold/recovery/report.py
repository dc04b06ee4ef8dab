"""What `recover plan` and `recover run` say of themselves: the JSON object that scripts rely on, and its exit code."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from safehold.model.kinds import Kind

#: (stage, done, total, unit): total is 0 where it is not known. Called often; it must be cheap.
Progress = Callable[[str, int, int, str], None]

EXIT_EXACT = 0
EXIT_LOSS = 1


def silent(stage: str, done: int, total: int, unit: str) -> None:
    """A Progress for nobody."""


class KindCount(msgspec.Struct):
    """Live items of one kind: expected = exact + older + lost.

    exact: the newest version that was ever logged or sealed is there, body included. older: an earlier version is
    there, or the newest known one, which a missing rev may have changed. lost: nothing of it is there.
    """

    expected: int = 0
    exact: int = 0
    older: int = 0
    lost: int = 0


class Loss(msgspec.Struct, frozen=True):
    """Revs of one stream of which something is missing; `collection` (path) and `name` are None where nobody knows."""

    account: str
    kind: Kind
    collection: str | None
    name: str | None
    revs: list[int]


class StreamCount(msgspec.Struct, frozen=True):
    """A stream that is not exact: its account by name and id (hex), and its live items as in `KindCount`."""

    account: str
    id: str
    kind: Kind
    expected: int
    exact: int
    older: int
    lost: int


class Stage(msgspec.Struct):
    """One kind's part of a recovery."""

    kind: Kind
    items: int
    seconds: float


class Suspicion(msgspec.Struct, frozen=True):
    """From when on what lies in a vault may be somebody else's, as that vault, or its keeper, knows it.

    `what`: `refused` (its holder was asked to take what would make void what is there), `put over` (of a bucket:
    something lies on top of what was there first), `forked` (the log goes on before what was there already), `not
    attested` (a generation was written of another history than the log tells). `at` in µs, by the clock of who knows;
    `frame` is the newest that there was before: what comes after it is suspect. None where nobody knows.
    """

    vault: str
    what: str
    at: int
    frame: int | None
    why: str


class Report(msgspec.Struct):
    """Field for field the object of the contract; and by account, for the after-report, what is not exact.

    Seconds are measured by a run and forecast by a plan.
    """

    accounts: int
    streams: int
    changes_expected: int
    changes_recovered: int
    items: dict[Kind, KindCount]
    lost: list[Loss]
    unknown_seconds: float
    stages: list[Stage]
    first_contact_seconds: float
    seconds: float
    verified: bool
    timeline: int
    #: By account and kind, those that are not exact.
    not_exact: list[StreamCount] = []
    #: Where a vault tells of an attack, the earliest first.
    suspect: list[Suspicion] = []

    @property
    def exit_code(self) -> int:
        """0 if all that is expected is exact, 1 if anything is older, lost or not verified."""
        counts = self.items.values()
        exact = all(count.expected == count.exact for count in counts)
        whole = self.changes_recovered == self.changes_expected and not self.lost
        return EXIT_EXACT if exact and whole and self.verified else EXIT_LOSS

    def total(self) -> KindCount:
        """All that people keep: identities are counted by themselves, as `status` does."""
        counts = [count for kind, count in self.items.items() if kind is not Kind.IDENTITY]
        return KindCount(
            sum(c.expected for c in counts),
            sum(c.exact for c in counts),
            sum(c.older for c in counts),
            sum(c.lost for c in counts),
        )
