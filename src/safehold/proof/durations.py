"""Durations as people write and read them: "30s", "15m", "4h", "7d", "2w"; in seconds everywhere else."""

from __future__ import annotations

import re

MINUTE, HOUR, DAY, WEEK = 60.0, 3600.0, 86_400.0, 604_800.0

_UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_MOST_SECONDS = 100 * 365 * DAY
#: From so many of a unit on it is used: "90 minutes", not "1.5 hours", and "41 days".
_FROM = 2.0
_NAMES = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))


def parse_duration(text: str) -> float:
    """Seconds of `4h` and the like. Raises ValueError, whose text says what is wrong."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= _MOST_SECONDS:
        raise ValueError(f"{text!r} is no duration that can be kept to")
    return seconds


def duration_words(seconds: float) -> str:
    """In the greatest unit of which there are at least two: "9 hours", "90 seconds", "0.4 seconds"."""
    for length, name in _NAMES:
        if seconds >= _FROM * length:
            return f"{seconds / length:.3g} {name}s"
    return "1 second" if seconds == 1 else f"{seconds:.3g} seconds"
