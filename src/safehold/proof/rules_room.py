"""Rules of disks: writes that take longer than they did, room that runs out, a vault that is full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from safehold.proof.alarms import Condition
from safehold.proof.limits import DAY, HOUR, Limits, sized
from safehold.proof.seen import HourOf, Memory, Sight

#: What is held against history is what was written within so long.
RECENT_SECONDS = 240.0
#: So many slow writes, over at least so long: one hiccup is none.
LEAST_SLOW = 3
LEAST_LASTING = 45.0
MOST_RECENT = 2000
#: Longest durations kept of an hour: exact p99 of up to a hundred times as many writes.
MOST_LONGEST = 64
HOURS = 14 * 24
LEARNED_HOURS = 24
ROOM_HOURS = 14 * 24


def disk_slow(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """The p99 of writes over minutes, against the median of the hourly ones of two weeks."""
    del before
    for name, durations, words in (
        ("vaults", sight.appends, "a write into the sync vaults"),
        ("core", sight.commits, "a commit of the core"),
    ):
        bound = _slow_bound(memory.slow.get(name, ()), limits)
        recent = memory.recent.setdefault(name, [])
        recent += [(memory.seconds, duration) for duration in durations]
        since = memory.seconds - RECENT_SECONDS
        memory.recent[name] = recent = [one for one in recent if one[0] >= since][-MOST_RECENT:]
        _note_hour(memory, name, durations)
        if not recent:
            continue
        now = p99([duration for _, duration in recent])
        slow = [at for at, duration in recent if duration > bound]
        if now > bound and len(slow) >= LEAST_SLOW and slow[-1] - slow[0] >= LEAST_LASTING:
            usual = memory.slow.get(name)
            against = f"usually {median(usual) * 1000:.0f} ms" if usual else "no usual time is known yet"
            yield Condition(
                what="disk slow",
                key=name,
                message=f"{words} takes up to {now * 1000:.0f} ms (p99 of the last minutes; {against})",
                hint="see whether the disk is failing (`smartctl -a`), full, or busy with something else",
                summary="A disk is slow",
            )


def p99(durations: Sequence[float]) -> float:
    """The duration that one of a hundred exceeds; the longest of fewer."""
    ordered = sorted(durations)
    return ordered[max(0, len(ordered) - 1 - len(ordered) // 100)]


def _slow_bound(hours: Sequence[float], limits: Limits) -> float:
    if len(hours) < LEARNED_HOURS:
        return limits.slow_unlearned
    return max(limits.slow_least, limits.slow_times * median(hours))


def _note_hour(memory: Memory, name: str, durations: Sequence[float]) -> None:
    hour = memory.hour.setdefault(name, HourOf(memory.seconds))
    if memory.seconds - hour.began >= HOUR:
        if hour.count:
            rank = min(hour.count // 100, len(hour.longest) - 1)
            memory.slow[name] = [*memory.slow.get(name, []), hour.longest[rank]][-HOURS:]
        hour = memory.hour[name] = HourOf(memory.seconds)
    if durations:
        hour.count += len(durations)
        hour.longest = sorted((*hour.longest, *durations), reverse=True)[:MOST_LONGEST]


def disk_filling(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Room runs out: there is hardly any, or at the pace of the last days there will be none."""
    del before
    for room in sight.rooms:
        samples = memory.rooms.setdefault(room.name, [])
        if not samples or memory.seconds - samples[-1][0] >= HOUR:
            samples.append((memory.seconds, room.free_bytes))
            del samples[:-ROOM_HOURS]
        days = days_left(samples, room.free_bytes)
        if room.free_bytes < limits.room_least:
            said = f"only {sized(room.free_bytes)} are free"
        elif days is not None and days < limits.room_days:
            said = f"full in about {max(1, round(days))} days: {sized(room.free_bytes)} are free"
        else:
            continue
        yield Condition(
            what="disk filling",
            key=room.name,
            message=f"the disk of {room.name} is filling: {said}",
            hint="make room, or move it to a larger disk, before writes are refused",
            summary="A disk is filling",
        )


def days_left(samples: Sequence[tuple[float, int]], free_bytes: int) -> float | None:
    """Days until nothing is free, at the pace of the samples; None where it does not fall, or they span no day.

    The pace is that between the medians of the first and the last third: one large file that came and went counts not.
    """
    if len(samples) < 6 or samples[-1][0] - samples[0][0] < DAY:
        return None
    third = len(samples) // 3
    first, last = samples[:third], samples[-third:]
    seconds = median(at for at, _ in last) - median(at for at, _ in first)
    fallen = median(free for _, free in first) - median(free for _, free in last)
    if fallen <= 0 or seconds <= 0:
        return None
    return float(free_bytes / (fallen / seconds) / DAY)


def vault_full(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """A vault that refuses for want of room. A sync one stops all writing."""
    del before, memory, limits
    for vault in sight.vaults:
        if vault.full or vault.full_for_bodies:
            effect = "no change is accepted" if vault.sync else "changes are not copied there"
            if not vault.full:
                effect = "photos and other large pieces are not accepted"
            yield Condition(
                what="vault full",
                key=vault.name,
                message=f"the vault {vault.name} is full: {effect}",
                hint="make room on its disk; nothing in the vault itself may be removed by hand",
                summary=f"The vault {vault.name} is full",
            )
