"""Alarms: what is wrong now becomes few messages, each said in time, again after a while, and taken back when over.

    Condition   something that is not as it should be, now: an incident of the status object, or what a rule found
    Alarm       a condition that was raised, by (what, key): since when, how often it was told, whether somebody has it
    Alarms      the engine: `look` takes all conditions of one moment and gives what is to be told now
    Told        one message: RAISED, REPEATED or CLEARED, with its alarm

`look` is called about every 30 s (LOOK_SECONDS) with *all* conditions that hold. One that is new is raised at once; one
that goes on is repeated after a day, then after two, four and at most seven (an acknowledged one is not); one that was
not seen for the grace is cleared. An alarm that comes back within a day of its end flaps: its grace doubles each time,
up to an hour, so that what comes and goes each minute is told twice, not a thousand times.

Intervals are counted in the engine's own time: monotonic seconds while it runs, and between two runs what the wall
clock says, at most half a day of it. So a clock that is set a year forth does not repeat everything (I87). All state is
in `state`, which the caller keeps on disk: after a restart nothing that was raised is raised again.

Pure: no clock, disk or thread. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from safehold.proof.runbook_names import runbook_of

#: How often conditions are looked at; what one look costs must be small against it.
LOOK_SECONDS = 30.0
REPEAT_SECONDS = 86_400.0
LAST_REPEAT_SECONDS = 7 * 86_400.0
GRACE_SECONDS = 300.0
LAST_GRACE_SECONDS = 3600.0
#: What is over is remembered for so long: it is shown, and one that comes back within it flaps.
REMEMBERED_SECONDS = 86_400.0
#: Alarms kept, open ones first; and conditions of one `what` that are told one by one.
MOST_ALARMS = 1000
MOST_ALIKE = 20
#: Between two runs no more than this is taken to have passed, whatever the clock says.
MOST_AWAY_SECONDS = 43_200.0

RAISED, REPEATED, CLEARED = "raised", "repeated", "cleared"
_MICROSECONDS = 1_000_000


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it should be. `what` and `key` say which one it is; `message` may change while it lasts."""

    what: str
    message: str  # for the operator: what was seen, with figures
    hint: str = ""  # what to do first
    key: str = ""  # what distinguishes two of the same `what`: a vault's name, a kind
    runbook: str = ""  # "": by `what` (runbook_names)
    summary: str = ""  # the same in a few words that anybody may read


class Alarm(msgspec.Struct, kw_only=True):
    """A condition that was raised. Times in µs of the wall clock are for people; `…_seconds` are the engine's time."""

    what: str
    key: str
    message: str
    hint: str
    runbook: str
    raised: int  # µs
    last_seen: int  # µs
    cleared: int | None = None  # µs
    acked: int | None = None  # µs: somebody has it; it is not repeated
    acked_by: str = ""
    times: int = 0  # told, the first time included
    flaps: int = 0  # came back within a day of its end
    raised_seconds: float = 0.0
    seen_seconds: float = 0.0
    told_seconds: float = 0.0
    cleared_seconds: float = 0.0

    @property
    def open(self) -> bool:
        return self.cleared is None

    @property
    def name(self) -> str:
        """How a person names it to a command."""
        return f"{self.what}/{self.key}" if self.key else self.what

    def grace_seconds(self) -> float:
        return float(min(GRACE_SECONDS * 2**self.flaps, LAST_GRACE_SECONDS))

    def repeat_seconds(self) -> float:
        return float(min(REPEAT_SECONDS * 2 ** max(0, self.times - 1), LAST_REPEAT_SECONDS))

    def facts(self) -> dict[str, Any]:
        """For the status object, times in µs."""
        return {
            "name": self.name,
            "what": self.what,
            "key": self.key,
            "message": self.message,
            "hint": self.hint,
            "runbook": self.runbook,
            "raised": self.raised,
            "last_seen": self.last_seen,
            "cleared": self.cleared,
            "acked": self.acked,
            "acked_by": self.acked_by,
            "times": self.times,
        }


class Told(msgspec.Struct, frozen=True):
    """What is to be told now. The alarm is as it was at that moment."""

    sort: str  # RAISED, REPEATED or CLEARED
    alarm: Alarm


class State(msgspec.Struct):
    """What `run/alarms.json` holds of the engine."""

    version: int = 1
    seconds: float = 0.0  # the engine's time at the last look
    wall: int = 0  # µs, at the last look
    alarms: list[Alarm] = []


class Alarms:
    """The engine over a state, which it changes in place."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state if state is not None else State()
        self._monotonic: float | None = None  # at the last look of this run
        self._alarms = {(alarm.what, alarm.key): alarm for alarm in self.state.alarms}

    def look(self, now: int, monotonic: float, conditions: Iterable[Condition]) -> list[Told]:
        """All conditions that hold now (`now` in µs, `monotonic` in seconds); what is to be told of them, in order."""
        seconds = self._pass_time(now, monotonic)
        told: list[Told] = []
        for condition in _bounded(conditions):
            told += self._seen(condition, now, seconds)
        for alarm in self._alarms.values():
            if alarm.open and seconds - alarm.seen_seconds >= alarm.grace_seconds():
                alarm.cleared, alarm.cleared_seconds = now, seconds
                told.append(_told(CLEARED, alarm))
        self._forget(seconds)
        self.state.alarms = list(self._alarms.values())
        return told

    def open(self) -> list[Alarm]:
        """Those that stand, oldest first."""
        return sorted((a for a in self._alarms.values() if a.open), key=lambda a: a.raised_seconds)

    def over(self) -> list[Alarm]:
        """Those that have ended within the last day, the latest first."""
        return sorted((a for a in self._alarms.values() if not a.open), key=lambda a: -a.cleared_seconds)

    def ack(self, name: str, now: int, by: str = "") -> list[Alarm]:
        """Somebody has it: open alarms of that name (`what` or `what/key`) are not repeated; those that were meant."""
        meant = [alarm for alarm in self.open() if name in (alarm.name, alarm.what)]
        for alarm in meant:
            alarm.acked, alarm.acked_by = now, by
        return meant

    def _pass_time(self, now: int, monotonic: float) -> float:
        state = self.state
        if self._monotonic is not None:
            state.seconds += max(0.0, monotonic - self._monotonic)
        elif state.wall:
            state.seconds += min(max(0.0, (now - state.wall) / _MICROSECONDS), MOST_AWAY_SECONDS)
            # What was open when the last run ended was not looked at since: that is no proof that it is over.
            for alarm in state.alarms:
                if alarm.open:
                    alarm.seen_seconds = state.seconds
        self._monotonic, state.wall = monotonic, now
        return state.seconds

    def _seen(self, condition: Condition, now: int, seconds: float) -> list[Told]:
        where = (condition.what, condition.key)
        alarm = self._alarms.get(where)
        if alarm is None or not alarm.open:
            flaps = 0 if alarm is None else alarm.flaps + 1
            alarm = self._alarms[where] = Alarm(
                what=condition.what,
                key=condition.key,
                message=condition.message,
                hint=condition.hint,
                runbook=condition.runbook or runbook_of(condition.what),
                raised=now,
                last_seen=now,
                flaps=flaps,
                times=1,
                raised_seconds=seconds,
                seen_seconds=seconds,
                told_seconds=seconds,
            )
            return [_told(RAISED, alarm)]
        alarm.message, alarm.hint = condition.message, condition.hint
        alarm.last_seen, alarm.seen_seconds = now, seconds
        if alarm.acked is not None or seconds - alarm.told_seconds < alarm.repeat_seconds():
            return []
        alarm.times += 1
        alarm.told_seconds = seconds
        return [_told(REPEATED, alarm)]

    def _forget(self, seconds: float) -> None:
        kept = [a for a in self._alarms.values() if a.open or seconds - a.cleared_seconds < REMEMBERED_SECONDS]
        kept.sort(key=lambda a: (not a.open, -a.raised_seconds))
        self._alarms = {(a.what, a.key): a for a in kept[:MOST_ALARMS]}


def conditions_of(status: Mapping[str, Any]) -> list[Condition]:
    """What the status object says is wrong: its incidents that are not over, and objectives that are violated."""
    found = [
        Condition(
            what=str(incident["what"]),
            key=str(incident.get("key") or ""),
            message=str(incident.get("message") or incident.get("summary") or incident["what"]),
            hint=str(incident.get("hint") or ""),
            runbook=str(incident.get("runbook") or ""),
            summary=str(incident.get("summary") or ""),
        )
        for incident in status.get("incidents") or ()
        if incident.get("until") is None
    ]
    told = {condition.key for condition in found if "objective" in condition.what}
    for name, objective in (status.get("objectives") or {}).items():
        if not isinstance(objective, Mapping) or objective.get("state") != "violated" or name in told:
            continue
        why = str(objective.get("why") or f"it is {objective.get('actual_seconds')} s")
        found.append(
            Condition(
                what="objective violated",
                key=name,
                message=f"the objective {name} of {objective.get('target_seconds')} s is not met: {why}",
                hint="`safehold status` says what it rests on",
                summary=f"The objective {name} is not met",
            )
        )
    return found


def _bounded(conditions: Iterable[Condition]) -> Sequence[Condition]:
    """Each (what, key) once, and of very many alike some by name and the rest as a number."""
    alike: dict[str, dict[str, Condition]] = {}
    for condition in conditions:
        alike.setdefault(condition.what, {}).setdefault(condition.key, condition)
    found: list[Condition] = []
    for what, each in alike.items():
        shown = list(each.values())
        found += shown[:MOST_ALIKE]
        if len(shown) > MOST_ALIKE:
            rest = len(shown) - MOST_ALIKE
            more = msgspec.structs.replace(shown[0], key="and more", message=f"{what}: {rest} more like these")
            found.append(more)
    return found


def _told(sort: str, alarm: Alarm) -> Told:
    return Told(sort, msgspec.structs.replace(alarm))
