"""What a disaster came to: every item as it was acknowledged last, against what there is and what the service says.

`acknowledged` counts every item of which a person was ever told 2xx, by the last word on it, which may be that it is
gone; items of erased accounts are left out. Each is, in this order,

    exact     as that word says
    unknown   not so, and the word lies where the recovery says that it does not know what there was: after a moment
              near the end, or in frames of the log that it names, of which nothing tells what they held
    older     an earlier acknowledged version is there (or it lives although its delete was the last word)
    lost      nothing of it is there

so that exact + older + lost + unknown = acknowledged. Of older and lost ones the recovery must have told: by name, or
by the rev of the change. `silent` counts those of which it has not, bodies that nobody ever sent, and items that nobody
ever made. `resurrected` counts what was deleted and lives, where the loss of the delete was not told, and whatever is
left of an erased account. Both have to be 0, as `devices_wiped` has: items that a device has deleted (or, one that
starts from nothing, was not given) although no person did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from safehold.disaster.ledger import Word
from safehold.lab.clients.verdict import Key
from safehold.recovery.report import Loss, Report

if TYPE_CHECKING:
    from safehold.disaster.lab import World

#: Reasons that are told, of each sort.
_TOLD = 5
#: The clock of a report is one of seconds.
_SLACK = 1000  # µs


class Score(msgspec.Struct):
    """The contract's object, and after it: when the last photo was back, and why it has not passed."""

    scenario: str
    seed: int
    acknowledged: int = 0
    exact: int = 0
    older: int = 0
    lost: int = 0
    unknown: int = 0
    silent: int = 0
    resurrected: int = 0
    devices_wiped: int = 0
    detected_seconds: float | None = None
    rpo_seconds: float = 0.0
    rto_seconds: float | None = None
    first_contact_seconds: float | None = None
    last_photo_seconds: float | None = None
    passed: bool = False
    why: list[str] = []


class Told:
    """What the service has said of losses, by name and by rev."""

    def __init__(
        self,
        reports: Sequence[Report],
        unknown_from: int | None,
        lost_frames: Sequence[tuple[int, int]],
        names: Mapping[bytes, str],
    ) -> None:
        """`names` of accounts by id, for a report that knows the id alone."""
        self._names = {id_.hex(): name for id_, name in names.items()}
        self._named: set[tuple[str, str, str]] = set()  # account, collection, name
        self._revs: set[tuple[str, str, int]] = set()  # account, kind, rev
        self._wholly: set[tuple[str, str]] = set()  # account, kind: something of it, nobody knows what
        self._unknown_from = unknown_from
        self._lost_frames = lost_frames
        for report in reports:
            for loss in report.lost:
                self._take(loss)

    def _take(self, loss: Loss) -> None:
        account = self._names.get(loss.account, loss.account)
        if loss.collection is not None and loss.name is not None:
            self._named.add((account, loss.collection, loss.name))
        self._revs.update((account, loss.kind.value, rev) for rev in loss.revs)
        if not loss.revs:
            self._wholly.add((account, loss.kind.value))

    def unknown(self, word: Word) -> bool:
        if any(first <= word.frame <= last for first, last in self._lost_frames):
            return True
        return self._unknown_from is not None and word.at >= self._unknown_from - _SLACK

    def of(self, key: Key, word: Word) -> bool:
        user, _, path = key[0].partition("/")
        stream = user, word.kind.value
        return (user, path, key[1]) in self._named or (*stream, word.rev) in self._revs or stream in self._wholly


class Counted:
    """The items of a world at one moment, sorted out. `lost_since`: time of the oldest word that does not hold."""

    def __init__(self, world: World) -> None:
        self.exact = self.older = self.lost = self.unknown = 0
        self.silent: list[str] = []
        self.resurrected: list[str] = []
        self.not_exact: dict[Key, str] = {}
        self.lost_since: int | None = None
        ledger, there = world.ledger, world.there()
        told = Told(world.reports, world.told_unknown(), world.lost_frames, world.names)
        for key in ledger.items():
            word, state = ledger.last(key), there.get(key)
            if ledger.fits(key, state):
                self.exact += 1
                continue
            self._count(key, word, state, told, ever=ledger.was_ever(key, state))
        for key, digest in there.items():
            user = key[0].partition("/")[0]
            if user in ledger.erased:
                self.resurrected.append(f"{'/'.join(key)} of an erased account lives")
            elif not ledger.was_ever(key, digest):
                self.silent.append(f"{'/'.join(key)} was never sent so")

    def _count(self, key: Key, word: Word, state: bytes | None, told: Told, *, ever: bool) -> None:
        self.lost_since = word.at if self.lost_since is None else min(self.lost_since, word.at)
        what = "older" if state is not None else "lost"
        if told.unknown(word):
            self.unknown += 1
            self.not_exact[key] = "unknown"
            return
        self.not_exact[key] = what
        self.older += state is not None
        self.lost += state is None
        if told.of(key, word):
            return
        if word.state is None:
            self.resurrected.append(f"{'/'.join(key)} was deleted (rev {word.rev}) and lives")
        elif ever or state is None:
            self.silent.append(f"{'/'.join(key)} (rev {word.rev}) is {what}, and nothing says so")

    @property
    def acknowledged(self) -> int:
        return self.exact + self.older + self.lost + self.unknown


def score(world: World, counted: Counted, after: Counted | None) -> Score:
    """`counted` right after the recovery, `after` once every device has learned what there is."""
    found = Score(world.scenario, world.seed)
    found.acknowledged = counted.acknowledged
    found.exact, found.older, found.lost, found.unknown = counted.exact, counted.older, counted.lost, counted.unknown
    both = [counted] if after is None else [counted, after]
    silent = list(dict.fromkeys(each for one in both for each in one.silent))
    resurrected = list(dict.fromkeys(each for one in both for each in one.resurrected))
    found.silent, found.resurrected, found.devices_wiped = len(silent), len(resurrected), len(world.wiped)
    struck = world.struck_at
    assert struck is not None, "nothing was struck"

    down = world.down_at if world.down_at is not None else struck

    def since(at: int | None, from_: int = down) -> float | None:
        return None if at is None else round((at - from_) / 1_000_000, 1)

    found.detected_seconds = since(world.noticed_at, struck)
    found.rto_seconds = since(world.back_at)
    found.first_contact_seconds = since(world.contact_at)
    found.last_photo_seconds = since(world.photo_at if world.photo_at is not None else world.back_at)
    if counted.lost_since is not None:
        found.rpo_seconds = round(max(0.0, (down - counted.lost_since) / 1_000_000), 1)
    found.why = [*world.wrong[:_TOLD], *silent[:_TOLD], *resurrected[:_TOLD], *list(world.wiped.values())[:_TOLD]]
    if found.detected_seconds is None:
        found.why.append("the service has not said that anything was wrong")
    elif found.detected_seconds > world.watch.deadline_seconds:
        found.why.append(f"it was noticed after {found.detected_seconds} s, later than by the next due check")
    if found.rto_seconds is None:
        found.why.append("it is not back")
    return found
