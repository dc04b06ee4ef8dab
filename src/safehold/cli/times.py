"""Moments as people write them: `2026-11-20T08:30Z`, `2026-11-20 08:30`, `2h`, `30m`, `1d`, `2 hours ago`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from safehold.cli.exits import UsageError

_MICROS = 1_000_000
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
_UNIT_OF = {word: unit for unit, words in _WORDS.items() for word in words}
_PART = re.compile(r"(\d{1,9})\s*([a-z]+)\s*")
_HINT = "write a time such as 2026-11-20T08:30Z or 2026-11-20 08:30, or how long ago: 30m, 2h, 1d, 2 hours ago"


def parse_time(text: str, now: int) -> int:
    """The moment a text means, in microseconds since 1970 (UTC).

    A time without a zone is local time of this machine, a bare date its midnight. Raises UsageError: unreadable,
    or after `now`.
    """
    given = text.strip()
    ago = _seconds_ago(given.lower())
    at = now - ago * _MICROS if ago is not None else _moment(given)
    if at > now:
        raise UsageError(f"{text!r} lies in the future", hint=_HINT)
    if at < 0:
        raise UsageError(f"{text!r} lies before 1970", hint=_HINT)
    return at


def parse_until(text: str, now: int) -> int:
    """The moment until which something is to stand: a time as above, or how long from now. Raises UsageError."""
    given = text.strip()
    lasting = _seconds_ago(given.lower())
    at = now + lasting * _MICROS if lasting is not None else _moment(given)
    if at <= now:
        raise UsageError(f"{text!r} is over", hint="write a time such as 2026-11-20T08:30Z, or how long: 30m, 2h, 1d")
    return at


def _seconds_ago(text: str) -> int | None:
    if text == "now":
        return 0
    rest = text.removesuffix("ago").strip()
    total, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        unit = _UNIT_OF.get(part[2]) if part else None
        if part is None or unit is None:
            return None
        total += int(part[1]) * _UNIT_SECONDS[unit]
        position = part.end()
    return total if rest else None


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.astimezone().timestamp()) * _MICROS + moment.microsecond
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is not a time", hint=_HINT) from None


def parse_day(text: str) -> int:
    """The beginning, in UTC, of a day such as 2026-11-20; µs. Raises UsageError."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a day", hint="write it as 2026-11-20") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * _MICROS


def parse_day_end(text: str) -> int:
    """The end of that day, which is the beginning of the next."""
    return parse_day(text) + _UNIT_SECONDS["d"] * _MICROS
