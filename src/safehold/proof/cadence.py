"""How often to scrub, keep, drill and seal, so that the objectives hold; and which of them cannot, as measured.

Evidence is oldest just before the next of its sort ends: when the pause between two has gone by and the next has taken
its time. So one begins early enough for that, and for one more try: at three quarters of the age that is allowed, less
what it takes. It never begins more often than it can end.
"""

from __future__ import annotations

from typing import NamedTuple

from safehold.proof.durations import DAY, WEEK, duration_words
from safehold.proof.objectives import ROOM, Objectives

#: Of the age that evidence may have, so much goes by before the next begins.
BEGIN_SHARE = 0.75
#: A seal bounds how long nobody can know of what was written last; more often than this it would cost too much.
SEAL_SECONDS = (1.0, 10.0)
#: Rolling drills: a share of the accounts a day, so that each has had its turn within a week.
ROLLING_SECONDS = DAY
ROLLING_SHARES = round(WEEK / DAY)


class Measured(NamedTuple):
    """What one takes, and how far the nearest vault that outlives the core was behind. Seconds; None: not measured."""

    scrub: float | None = None
    replay: float | None = None
    drill: float | None = None
    lag: float | None = None


NOTHING_MEASURED = Measured()


class Unmeetable(NamedTuple):
    """An objective that cannot be met with what was measured, why, and the nearest that can."""

    objective: str
    target_seconds: float
    why: str
    nearest_seconds: float


class Cadence(NamedTuple):
    """Seconds from the beginning of one to the beginning of the next; None: not by an objective."""

    scrub: float | None
    keep: float | None
    drill: float | None
    rolling: float | None
    seal: float
    unmeetable: tuple[Unmeetable, ...] = ()


def cadence(objectives: Objectives, measured: Measured = NOTHING_MEASURED) -> Cadence:
    """Pure: the same objectives and measurements give the same."""
    unmeetable = []
    for name, target in (("scrub", objectives.scrub), ("replay", objectives.replay), ("drill", objectives.drill)):
        takes = getattr(measured, name)
        if target is not None and takes is not None and takes * ROOM > target:
            why = f"one takes {duration_words(takes)}"
            unmeetable.append(Unmeetable(name, target, why, takes * ROOM))
    if objectives.rpo is not None and measured.lag is not None and measured.lag > objectives.rpo:
        why = f"the nearest vault outside was {duration_words(measured.lag)} behind"
        unmeetable.append(Unmeetable("rpo", objectives.rpo, why, measured.lag))
    rolling = None if objectives.drill is None else min(ROLLING_SECONDS, objectives.drill)
    least, most = SEAL_SECONDS
    return Cadence(
        scrub=begin_every(objectives.scrub, measured.scrub),
        keep=begin_every(objectives.replay, measured.replay),
        drill=begin_every(objectives.drill, measured.drill),
        rolling=rolling,
        seal=most if objectives.rpo is None else min(most, max(least, objectives.rpo / 2)),
        unmeetable=tuple(unmeetable),
    )


def begin_every(target: float | None, takes: float | None) -> float | None:
    """From one beginning to the next, for evidence that is never older than `target`."""
    if target is None:
        return None
    takes = takes or 0.0
    return max(BEGIN_SHARE * target - takes, takes * ROOM, min(target, 1.0))
