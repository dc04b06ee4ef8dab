"""Heads, gaps and sealed heads of all streams, as the log or a journal is read from its beginning.

A stream is whole when its changes chain from the first to the head that the last seal names. What is not there is a
gap: in the middle (a change arrives whose rev does not follow) or at the end (a sealed head was not reached).
A GAP change, by which somebody took a loss on them, closes the gaps before it.

A stream whose older history was dropped begins at its base: the changes up to there that are left stand for what lived
then, and chain to nothing but themselves; from the base on the stream chains as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from safehold.model.change import Change
from safehold.model.gaps import accepts_loss
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
    DROPPED = "after dropped history"  # continues it; what came before it is not kept
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
        #: Where streams begin whose older history was dropped; how many changes stand for it, and how many should.
        self.bases: dict[StreamKey, Head] = {}
        self.kept: dict[StreamKey, int] = {}
        self.short: dict[StreamKey, int] = {}
        #: Changes that are known, by rev, and whose body is gone: their revs are missing, their items have names.
        self.named: dict[StreamKey, dict[int, Change]] = {}
        #: Changes that are on the stream, by rev, and whose body no source has.
        self.ghosts: dict[StreamKey, dict[int, Change]] = {}
        #: Of streams that lost bodies last: where they stood before, and where after.
        self._before_lost: dict[StreamKey, tuple[Head, Head]] = {}
        self.problems: list[str] = []
        self._refused: dict[StreamKey, int] = {}

    @property
    def refused(self) -> int:
        """How many changes and seals were not what they should be."""
        return sum(self._refused.values())

    def _refuse(self, key: StreamKey) -> None:
        self._refused[key] = self._refused.get(key, 0) + 1

    def head(self, key: StreamKey) -> Head:
        return self.heads.get(key, EMPTY_HEAD)

    def follow(self, change: Change) -> Step:
        """Judge a change and, unless it is bad, move its stream's head to it."""
        key = (change.account, change.kind)
        if key in self.bases:
            base = self.bases[key]
            if change.rev <= base.rev:
                return self._below(key, base, change)
            self._reach_base(key)
        try:
            self.heads[key] = check_next(self.heads.get(key, EMPTY_HEAD), change)
        except BadChange as error:
            return self._bad(change, str(error))
        except BrokenChain as error:
            return self._broken(key, change, str(error))
        if key in self.sealed:
            self._passed(key, change)
        if key in self.gaps and accepts_loss(change):
            self.accepted.setdefault(key, []).extend(self.gaps.pop(key))
            self.named.pop(key, None)
        return Step.NEXT

    def begin(self, key: StreamKey, base: Head) -> None:
        """This stream's history up to `base` was dropped: what is fed up to there stands for it."""
        if base.rev:
            self.bases[key] = base
            self.kept[key] = 0

    def _below(self, key: StreamKey, base: Head, change: Change) -> Step:
        head = self.heads.get(key, EMPTY_HEAD)
        if change.rev == head.rev and change.hash == head.hash:
            return Step.DOUBLE
        why = f"{change.kind}: rev {change.rev} does not belong below its base"
        follows = change.rev == head.rev + 1
        if change.rev <= head.rev or (follows and change.prev != head.hash):
            return self._bad(change, why)
        try:
            check_self(change)
        except BadChange as error:
            return self._bad(change, str(error))
        if change.rev == base.rev and change.hash != base.hash:
            return self._bad(change, why)
        self.heads[key] = Head(change.rev, change.hash)
        self.kept[key] += 1
        return Step.NEXT if follows else Step.DROPPED

    def reach_bases(self) -> None:
        """All has been fed: streams of which nothing came after their base end there."""
        for key in self.bases:
            self._reach_base(key)

    def _reach_base(self, key: StreamKey) -> None:
        if self.heads.get(key, EMPTY_HEAD).rev < self.bases[key].rev:
            self.heads[key] = self.bases[key]

    def lose(self, change: Change) -> Step:
        """A change whose body is gone: the chain goes on through it, and its rev is missing."""
        key = (change.account, change.kind)
        before = self.heads.get(key, EMPTY_HEAD)
        step = self.follow(change)
        if step not in (Step.BAD, Step.DOUBLE):
            first, last = self._before_lost.get(key, (before, before))
            self._before_lost[key] = first if last == before else before, self.heads[key]
            self.gaps.setdefault(key, []).append(Gap(change.rev, change.rev))
            self.named.setdefault(key, {})[change.rev] = change
        return step

    def end(self, key: StreamKey, head: Head, short: int = 0) -> None:
        """A stream should have reached this head here; `short` changes that stand for dropped history are not there."""
        if key in self.bases:
            self._reach_base(key)
        if short > 0:
            self.short[key] = short
        self._retreat(key)
        self.seal({key: head})

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
        self._refuse((change.account, change.kind))
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
                self._refuse(key)
                self.note(f"account {key[0].hex()[:8]}: {key[1]} rev {head.rev} is not the one that was sealed")

    def _retreat(self, key: StreamKey) -> None:
        """Where the last changes of a stream are lost, it ends before them."""
        before, after = self._before_lost.pop(key, (EMPTY_HEAD, EMPTY_HEAD))
        head = self.heads.get(key, EMPTY_HEAD)
        base = self.bases.get(key, EMPTY_HEAD)
        if after != head or not head.rev or head.rev <= base.rev:
            return
        kept = [gap for gap in self.gaps.pop(key) if gap.last <= before.rev]
        if kept:
            self.gaps[key] = kept
        if before.rev or base.rev:
            self.heads[key] = max(before, base, key=lambda h: h.rev)
        else:
            del self.heads[key]
        self.sealed[key] = head

    def close(self, key: StreamKey) -> None:
        """The last gap of this stream has been filled."""
        gaps = self.gaps[key]
        gaps.pop()
        if not gaps:
            del self.gaps[key]

    def whole(self, key: StreamKey) -> bool:
        """Whether nothing of the stream is missing, as far as it is known, and each body is there."""
        return key not in self.gaps and key not in self.sealed and key not in self.short and key not in self.ghosts

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
        """Changes that the stream had: its last known rev, without those dropped, or whose loss was accepted."""
        sealed = self.sealed.get(key)
        last = self.head(key).rev if sealed is None else sealed.rev
        if key in self.bases:
            last -= self.bases[key].rev - self.kept[key] - self.short.get(key, 0)
        return last - sum(gap.revs for gap in self.accepted.get(key, ()))

    def reached(self, key: StreamKey) -> int:
        """Changes that are there, with or without their body."""
        return self.expected(key) - sum(gap.revs for gap in self.missing(key)) - self.short.get(key, 0)

    def forget(self, account: bytes) -> None:
        """An erased account: not expected, not missed."""
        for kind in Kind:
            self.forget_stream((account, kind))

    def forget_stream(self, key: StreamKey) -> None:
        """As if it had not been read."""
        for known in (
            self.heads,
            self.gaps,
            self.accepted,
            self.sealed,
            self.before_gap,
            self.bases,
            self.kept,
            self.short,
            self.named,
            self.ghosts,
            self._refused,
            self._before_lost,
        ):
            known.pop(key, None)
