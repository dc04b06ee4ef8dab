"""Rules of time: a wall clock that jumped or is off, and what ends on a day: certificates and keys."""

from __future__ import annotations

from collections.abc import Iterator

from safehold.proof.alarms import Condition
from safehold.proof.limits import DAY, Limits, lasting
from safehold.proof.seen import Memory, Sight, Witness

_MICROSECONDS = 1_000_000
_HINT = "compare `date -u` with another machine, and see whether time is synchronised (`timedatectl`)"


def clock_jumped(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Between two looks the wall clock went otherwise than the monotonic one; or, at a start, back. Told for a day."""
    if before is not None:
        drift = (sight.now - before.now) / _MICROSECONDS - (sight.monotonic - before.monotonic)
    else:
        drift = min(0.0, (sight.now - memory.wall) / _MICROSECONDS) if memory.wall else 0.0
    if abs(drift) > limits.jump:
        forth = "forth" if drift > 0 else "back"
        memory.jumped, memory.jumped_at = f"the clock was set {forth} by {lasting(abs(drift))}", memory.seconds
    if memory.jumped and memory.seconds - memory.jumped_at <= limits.told:
        yield Condition(what="clock jumped", message=memory.jumped, hint=_HINT, summary="The clock is not right")


def clock_off(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Another clock says otherwise; or, at a start, nothing was seen for so long that the clock is to be doubted."""
    witnesses = [*sight.witnesses]
    if before is None and memory.wall:
        witnesses.append(Witness("the last look of the run before", memory.wall, earlier=True))
    said: list[tuple[float, str]] = []
    for witness in witnesses:
        seconds = (sight.now - witness.at) / _MICROSECONDS
        if seconds < -limits.off:
            said.append((-seconds, f"{lasting(-seconds)} behind {witness.name}"))
        elif witness.exact and seconds > limits.off:
            said.append((seconds, f"{lasting(seconds)} ahead of {witness.name}"))
    floor = [(sight.now - witness.at) / _MICROSECONDS for witness in witnesses if witness.earlier]
    if not said and floor and min(floor) > limits.away and sight.up_seconds < limits.told:
        said.append((min(floor), f"{lasting(min(floor))} later than anything that was ever written here"))
    if said:
        yield Condition(
            what="clock off",
            message=f"the clock is {max(said)[1]}",
            hint=_HINT,
            summary="The clock is not right",
        )


def things_end(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Certificates and keys that hold no longer, or not for long."""
    del before, memory
    for end in sight.ends:
        days = (end.at - sight.now) / _MICROSECONDS / DAY
        if days > limits.end_days:
            continue
        when = f"ends in {days:.0f} days" if days >= 1 else "ends today" if days > 0 else f"ended {-days:.0f} days ago"
        yield Condition(
            what=f"{end.what} ends",
            key=end.name,
            message=f"the {end.what} of {end.name} {when}",
            hint="renew it" if end.what == "certificate" else "`safehold vault keys rotate writer` makes a new one",
            summary=f"A {end.what} is about to end",
        )
