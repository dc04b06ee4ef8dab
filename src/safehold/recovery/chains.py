"""Heads, gaps and sealed heads of all streams, as the log or a journal is read from its beginning.

A stream is whole when its changes chain from the first to the head that the last seal names. What is not there is a
gap: in the middle (a change arrives whose rev does not follow) or at the end (a sealed head was not reached).
A GAP change, by which somebody took a loss on them, closes the gaps before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, BadChange, BrokenChain, Head, check_next, check_self

StreamKey = tuple[bytes, Kind]

#: Sentences kept, at most; what is beyond is counted.
MAX_PROBLEMS = 200


class Gap(NamedTuple):
    """Revs first to last of a stream that no source holds."""

    first: int
    last: int

    @property
    def revs(self) -> int:
        return self.last - self.first + 1


class Step(Enum):
    """What a change is to its stream."""

    NEXT = "next"  # continues it
    AFTER_GAP = "after a gap"  # belongs to it, but revs before it are missing
    DOUBLE = "double"  # is its head already
    BAD = "bad"  # is not what its digests say, or continues another history


class Chains:
    """Fed in log order. `problems` says in plain words what was refused."""

    def __init__(self) -> None:
        self.heads: dict[StreamKey, Head] = {}
        self.gaps: dict[StreamKey, list[Gap]] = {}
        self.accepted: dict[StreamKey, list[Gap]] = {}
        #: Heads that seals name and that were not reached.
        self.sealed: dict[StreamKey, Head] = {}
        #: The hash before the last gap of a stream: what may fill it must continue this.
        self.before_gap: dict[StreamKey, bytes] = {}
        self.problems: list[str] = []
        self.refused = 0

    def head(self, key: StreamKey) -> Head:
        return self.heads.get(key, EMPTY_HEAD)

    def follow(self, change: Change) -> Step:
        """Judge a change and, unless it is bad, move its stream's head to it."""
        key = (change.account, change.kind)
        try:
            self.heads[key] = check_next(self.heads.get(key, EMPTY_HEAD), change)
        except BadChange as error:
            return self._bad(change, str(error))
        except BrokenChain as error:
            return self._broken(key, change, str(error))
        if key in self.sealed:
            self._passed(key, change)
        if change.op is Op.GAP and key in self.gaps:
            self.accepted.setdefault(key, []).extend(self.gaps.pop(key))
        return Step.NEXT

    def _passed(self, key: StreamKey, change: Change) -> None:
        """A seal named a head further on, yet the stream goes on from here: that end was given up before."""
        sealed = self.sealed.pop(key)
        if sealed != Head(change.rev, change.hash):
            self.note(f"{change.kind}: revs up to {sealed.rev} were sealed, and given up before rev {change.rev}")

    def _broken(self, key: StreamKey, change: Change, why: str) -> Step:
        head = self.heads.get(key, EMPTY_HEAD)
        if change.rev == head.rev and change.hash == head.hash:
            return Step.DOUBLE
        sealed = self.sealed.get(key)
        if sealed is not None and sealed.rev == change.rev - 1 and sealed.hash != change.prev:
            return self._bad(change, why + ", and not the sealed one either")
        if change.rev <= head.rev + 1:
            return self._bad(change, why)
        try:
            check_self(change)
        except BadChange as error:
            return self._bad(change, str(error))
        self.gaps.setdefault(key, []).append(Gap(head.rev + 1, change.rev - 1))
        self.before_gap[key] = head.hash
        self.heads[key] = Head(change.rev, change.hash)
        if sealed is not None and sealed.rev <= change.rev:
            del self.sealed[key]
        return Step.AFTER_GAP

    def _bad(self, change: Change, why: str) -> Step:
        self.refused += 1
        self.note(f"account {change.account.hex()[:8]}: {why}")
        return Step.BAD

    def note(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def seal(self, heads: Mapping[StreamKey, Head]) -> None:
        """What a seal says: streams reach these heads here."""
        for key, head in heads.items():
            reached = self.heads.get(key, EMPTY_HEAD)
            if head.rev > reached.rev:
                self.sealed[key] = head
            elif head == reached:
                self.sealed.pop(key, None)
            elif head.rev == reached.rev:
                self.refused += 1
                self.note(f"account {key[0].hex()[:8]}: {key[1]} rev {head.rev} is not the one that was sealed")

    def close(self, key: StreamKey) -> None:
        """The last gap of this stream has been filled."""
        gaps = self.gaps[key]
        gaps.pop()
        if not gaps:
            del self.gaps[key]

    def missing(self, key: StreamKey) -> list[Gap]:
        """Gaps that nobody has accepted, the one at the end included."""
        found = list(self.gaps.get(key, ()))
        sealed = self.sealed.get(key)
        if sealed is not None:
            found.append(Gap(self.head(key).rev + 1, sealed.rev))
        return found

    def streams(self) -> Iterator[StreamKey]:
        """All streams that were seen or sealed."""
        yield from self.heads
        for key in self.sealed:
            if key not in self.heads:
                yield key

    def expected(self, key: StreamKey) -> int:
        """Changes that the stream had: its last known rev, without those whose loss was accepted."""
        sealed = self.sealed.get(key)
        last = self.head(key).rev if sealed is None else sealed.rev
        return last - sum(gap.revs for gap in self.accepted.get(key, ()))

    def reached(self, key: StreamKey) -> int:
        """Changes that are there."""
        return self.expected(key) - sum(gap.revs for gap in self.missing(key))

    def forget(self, account: bytes) -> None:
        """An erased account: not expected, not missed."""
        for kind in Kind:
            key = (account, kind)
            self.heads.pop(key, None)
            self.gaps.pop(key, None)
            self.accepted.pop(key, None)
            self.sealed.pop(key, None)
