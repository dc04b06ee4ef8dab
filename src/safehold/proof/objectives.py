"""Objectives: what a service promises of its own loss, and how what is measured stands to it.

`rpo`: at most so much may be lost where the core, and all that fails together with it, is. `rto`: everything is back
within. `first_contact`: the first account has its contacts back within. `scrub`, `replay`, `drill`: evidence of them is
never older. All in seconds; None: not wanted. For a kind of data the first three may be others than for the whole.

What cannot be told is *unknown*, never *met* (I85): without a drill nobody knows how long a recovery takes (law 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from safehold.model.kinds import Kind
from safehold.proof.durations import DAY, HOUR, duration_words
from safehold.proof.forecast import Forecast

#: States of an objective.
MET, AT_RISK, VIOLATED, UNKNOWN, NOT_SET = "met", "at risk", "violated", "unknown", "not set"
#: Of loss and time, and of the age of evidence.
PROMISES = ("rpo", "rto", "first_contact")
AGES = ("scrub", "replay", "drill")
#: From this share of its target on a figure is at risk.
RISK_SHARE = 0.8
#: Growth that breaks an objective within so many days puts it at risk.
RISK_DAYS = 60.0
#: What was measured is promised with so much room.
ROOM = 1.1


class Targets(NamedTuple):
    """Of one kind of data; None: as for the whole."""

    rpo: float | None = None
    rto: float | None = None
    first_contact: float | None = None


class Objectives(NamedTuple):
    """All of them, in seconds; None: not wanted."""

    rpo: float | None = 60.0
    rto: float | None = 4 * HOUR
    first_contact: float | None = 60.0
    scrub: float | None = 7 * DAY
    replay: float | None = 7 * DAY
    drill: float | None = 7 * DAY
    kinds: tuple[tuple[Kind, Targets], ...] = ()

    def of_kind(self, kind: Kind) -> Targets:
        """What holds for a kind: its own targets, else those of the whole."""
        own = dict(self.kinds).get(kind, Targets())
        whole = Targets(self.rpo, self.rto, self.first_contact)
        return Targets(*(mine if mine is not None else theirs for mine, theirs in zip(own, whole, strict=True)))


DEFAULT_OBJECTIVES = Objectives()


class Verdict(NamedTuple):
    """How one objective stands, with the reason in plain words."""

    target_seconds: float | None
    actual_seconds: float | None
    state: str
    why: str
    nearest_seconds: float | None = None  # where it cannot be met: the nearest target that can

    def facts(self) -> dict[str, Any]:
        """For the status object."""
        return {**self._asdict(), "actual_seconds": _rounded(self.actual_seconds)}


def not_set() -> Verdict:
    return Verdict(None, None, NOT_SET, "no target is set")


# -- loss ------------------------------------------------------------------------------------------------------


class VaultLag(NamedTuple):
    """How far one vault is behind, and whether it outlives what takes the core.

    `outside`: it shares nothing with the core that fails at once; None: where it lies is not known. `worst_seconds`:
    the longest that it was behind of late. Seconds None: not known.
    """

    name: str
    sync: bool
    outside: bool | None
    lag_seconds: float | None
    worst_seconds: float | None = None
    there: bool = True


def judge_rpo(target: float | None, vaults: Sequence[VaultLag]) -> Verdict:
    """What would be lost if the core went now, and all that fails together with it.

    A sync vault outside of that holds everything; else what the nearest vault outside is behind would be lost.
    """
    if target is None:
        return not_set()
    safe = next((v for v in vaults if v.sync and v.outside and v.there), None)
    if safe is not None:
        why = f"{safe.name} holds every change before it is answered, and does not fail together with the core"
        return Verdict(target, 0.0, MET, why)
    outside = [v for v in vaults if v.outside]
    if not outside:
        return _nothing_outside(target, vaults)
    known = [v for v in outside if v.there and v.lag_seconds is not None]
    if not known:
        names = ", ".join(v.name for v in outside)
        return Verdict(target, None, UNKNOWN, f"how far {names} is behind is not known now")
    nearest = min(known, key=_behind)
    actual = _behind(nearest)
    why = f"{nearest.name}, the nearest vault that does not fail together with the core, was {duration_words(actual)}"
    why += " behind at most of late"
    if actual > target:
        return Verdict(target, actual, VIOLATED, f"{why}; a vault in mode sync outside would bring it to 0", actual)
    return Verdict(target, actual, AT_RISK if actual > RISK_SHARE * target else MET, why)


def _behind(vault: VaultLag) -> float:
    assert vault.lag_seconds is not None
    return max(vault.lag_seconds, vault.worst_seconds or 0.0)


def _nothing_outside(target: float, vaults: Sequence[VaultLag]) -> Verdict:
    if any(v.outside is None for v in vaults):
        names = ", ".join(v.name for v in vaults if v.outside is None)
        return Verdict(target, None, UNKNOWN, f"where {names} lies is not known, nor what it fails together with")
    why = "every vault fails together with the core: what takes that disk takes everything, however old"
    return Verdict(target, None, UNKNOWN, f"{why}; of a loss of the core alone nothing would be lost")


# -- time ------------------------------------------------------------------------------------------------------


def judge_time(target: float | None, forecast: Forecast | None) -> Verdict:
    """Of `rto` and `first_contact`: the forecast at today's size.

    Only a forecast that drills stand behind can say that it is met; one without can say that it is not.
    """
    if target is None:
        return not_set()
    if forecast is None:
        return Verdict(target, None, UNKNOWN, "nothing is known that a forecast could be made of")
    takes, span = duration_words(forecast.seconds), f"{duration_words(forecast.low)} to {duration_words(forecast.high)}"
    if forecast.seconds > target:
        why = f"it is forecast to take {takes} ({forecast.basis})"
        return Verdict(target, forecast.seconds, VIOLATED, why, forecast.high)
    if not forecast.drills:
        why = f"no drill has shown how long it takes; {forecast.basis}: {takes}"
        return Verdict(target, None, UNKNOWN, why)
    why = f"forecast from drills: {takes}, four times in five within {span}"
    days = forecast.violated_in_days
    breaks = "" if days is None else f"; growth breaks it in about {days:.0f} days"
    if forecast.high > target:
        why = f"{why}, within which the target lies{breaks}"
        return Verdict(target, forecast.seconds, AT_RISK, why)
    if days is not None and days <= RISK_DAYS:
        return Verdict(target, forecast.seconds, AT_RISK, why + breaks)
    why += breaks
    return Verdict(target, forecast.seconds, MET, why)


# -- evidence --------------------------------------------------------------------------------------------------


class Aged(NamedTuple):
    """How old evidence of one sort is: of each vault, or of each share of the accounts, the oldest.

    `age_seconds` None: there is none; then `waited_seconds` says for how long there could have been, None: not known.
    `takes_seconds`: how long one takes, as measured; None: never measured.
    """

    age_seconds: float | None
    waited_seconds: float | None = None
    takes_seconds: float | None = None
    what: str = ""  # which vault or share it is the age of
    hindered: str = ""  # why none can be made here


def judge_age(name: str, target: float | None, aged: Aged) -> Verdict:
    """Of `scrub`, `replay` and `drill`: whether evidence is young enough, and can be."""
    if target is None:
        return not_set()
    of = f" of {aged.what}" if aged.what else ""
    takes = aged.takes_seconds
    if takes is not None and takes * ROOM > target:
        why = f"a {name}{of} takes {duration_words(takes)}: its evidence cannot always be that young"
        return Verdict(target, aged.age_seconds, VIOLATED, why, takes * ROOM)
    hindered = f": {aged.hindered}" if aged.hindered else ""
    if aged.age_seconds is None:
        if aged.waited_seconds is not None and aged.waited_seconds > target:
            why = f"no {name}{of} has come to its end for {duration_words(aged.waited_seconds)}{hindered}"
            return Verdict(target, None, VIOLATED, why)
        return Verdict(target, None, UNKNOWN, f"no {name}{of} has come to its end yet{hindered}")
    why = f"the last {name}{of} was {duration_words(aged.age_seconds)} ago"
    if aged.age_seconds > target:
        return Verdict(target, aged.age_seconds, VIOLATED, why + hindered)
    return Verdict(target, aged.age_seconds, AT_RISK if aged.age_seconds > 0.95 * target else MET, why)


# -- what is told ----------------------------------------------------------------------------------------------


_SUMMARIES = {
    "rpo": "More may be lost than is promised",
    "rto": "A recovery would take longer than is promised",
    "first_contact": "The first contacts would be back later than is promised",
    "scrub": "A vault has not been read whole for longer than is promised",
    "replay": "Generations have not been replayed for longer than is promised",
    "drill": "Recovery has not been rehearsed for longer than is promised",
}
_HINTS = {
    "rpo": "give a vault on another disk or machine the mode sync, or state a longer rpo",
    "rto": "see `safehold status`; put the vaults on faster disks, or state a longer rto",
    "first_contact": "see `safehold status`; put the vaults on faster disks, or state a longer first_contact",
    "scrub": "run `safehold scrub`, or state a greater age in [objectives]",
    "replay": "run `safehold keeper run --once`, or state a greater age in [objectives]",
    "drill": "run `safehold drill run`, or state a greater age in [objectives]",
}


def objective_incidents(verdicts: dict[str, Verdict]) -> list[dict[str, Any]]:
    """One for each that is violated. Names: as in `[objectives]`, or `photos.rto` of a kind."""
    found = []
    for name, verdict in verdicts.items():
        if verdict.state != VIOLATED or verdict.target_seconds is None:
            continue
        plain = name.rpartition(".")[2]
        nearest = verdict.nearest_seconds
        reach = f"; the nearest that can be met is {duration_words(nearest)}" if nearest is not None else ""
        message = f"the objective {name} of {duration_words(verdict.target_seconds)} is violated: {verdict.why}{reach}"
        found.append(
            {
                "what": "objective violated",
                "key": name,
                "message": message,
                "summary": _SUMMARIES[plain],
                "hint": _HINTS[plain],
                "runbook": "objective",
                "since": None,
                "until": None,
            }
        )
    return found


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
