"""How much of what is too much: thresholds of the rules, with their defaults. docs/alarms.md lists them."""

from __future__ import annotations

import msgspec

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in seconds, sizes in bytes."""

    # freshness
    behind: float = 3 * MINUTE  # an async vault lacks changes and gets none
    behind_at_all: float = 60 * MINUTE  # … or is that far behind, though it gets some
    unsealed: float = 30 * MINUTE  # changes without a seal
    scrub_age: float = 8 * DAY
    replay_age: float = 8 * DAY
    drill_age: float = 8 * DAY
    snapshot_age: float = 3 * DAY
    writer_silent: float = 45 * MINUTE  # three heartbeats of the writer
    alarm_test_age: float = 37 * DAY
    # size and completeness
    learned: float = 14 * DAY  # history before silence says anything
    kind_silence: float = DAY  # a kind is silent for at least so long …
    account_silence: float = 14 * DAY  # people go on holiday
    silence_times: float = 3.0  # … and for so many times its longest silence
    active_days: int = 7  # days of those two weeks on which something came: else silence is nothing new
    fewer_times: float = 10.0  # or so many times fewer than on its slowest day
    fewer_least: int = 20  # where that was at least so many
    shrink_share: float = 0.02  # a vault has lost more than this share of its objects …
    shrink_least: int = 3  # … and at least so many more than retention tells of
    # disks
    slow_times: float = 8.0  # p99 of the last minutes against the median of hourly ones
    slow_least: float = 0.25
    slow_unlearned: float = 2.0  # where there is no day of history yet
    room_days: float = 14.0  # full in fewer days
    room_least: int = 256 * MIB
    # clocks and ends
    jump: float = 60.0
    off: float = 5 * MINUTE
    away: float = 30 * DAY  # nothing was seen for so long, at a start
    end_days: float = 21.0
    told: float = DAY  # what is an event is an alarm for so long


DEFAULT_LIMITS = Limits()


def lasting(seconds: float) -> str:
    """A duration in words: "40 seconds", "12 minutes", "5 hours", "9 days"."""
    for unit, words in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {words}"
    return f"{seconds:.0f} seconds"


def sized(count: float) -> str:
    """Bytes in words: "312 MiB"."""
    for unit, word in ((1024**3, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {word}"
    return f"{count:.0f} bytes"
