"""DATE, DATE-TIME, DURATION and PERIOD values (RFC 5545 section 3.3), as whole numbers.

A moment of some local clock is counted in seconds as if that clock showed UTC: *local seconds*, from the clock's own
1970-01-01T00:00:00 on. So all arithmetic on dates is arithmetic on integers, and no date is too early or late for it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

DAY = 86_400
#: The ordinal of 1970-01-01 for `date.fromordinal`.
EPOCH_ORDINAL = 719_163
#: Local seconds of the first and the last second that a DATE-TIME can name (RFC 3339 years 1 to 9999).
FIRST = -62_135_596_800
LAST = 253_402_300_799

_EPOCH = datetime(1970, 1, 1)
_DATE_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})?(Z?))?", re.IGNORECASE)
_DURATION = re.compile(
    r"([+-]?)P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?",
    re.IGNORECASE,
)


class BadTime(Exception):
    """A value that is no DATE, DATE-TIME, DURATION or PERIOD."""


class When(NamedTuple):
    """A DATE or DATE-TIME. `zone` is None where its clock is whoever looks at it: floating times and all dates."""

    local: int  # local seconds
    zone: tzinfo | None = None
    is_date: bool = False

    def utc(self, floating: tzinfo) -> int:
        """Seconds since 1970 UTC."""
        return to_utc(self.local, self.zone or floating)


class Duration(NamedTuple):
    """A nominal duration: days of the calendar, which may have 23 or 25 hours, and seconds (RFC 5545 section 3.3.6)."""

    days: int
    seconds: int

    @property
    def nominal(self) -> int:
        """In seconds, with days of 24 hours."""
        return self.days * DAY + self.seconds

    def after(self, local: int, zone: tzinfo) -> int:
        """Seconds since 1970 UTC, this long after a local time: first the days by the calendar, then the exact time."""
        return to_utc(local + self.days * DAY, zone) + self.seconds


def parse_when(value: str, zone: tzinfo | None = None) -> When:
    """A DATE or DATE-TIME, told by its form; `zone` is that of a DATE-TIME without Z. Raises BadTime."""
    match = _DATE_TIME.fullmatch(value.strip())
    if match is None:
        raise BadTime(value[:40])
    year, month, day, hour, minute, second, utc = match.groups()
    try:
        midnight = (date(int(year), int(month), int(day)).toordinal() - EPOCH_ORDINAL) * DAY
    except ValueError:
        raise BadTime(value[:40]) from None
    if hour is None:
        return When(midnight, None, True)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise BadTime(value[:40])
    # A leap second counts as the one before (section 3.3.12).
    clock = int(hour) * 3600 + int(minute) * 60 + min(int(second or 0), 59)
    return When(midnight + clock, UTC if utc else zone, False)


def parse_duration(value: str) -> Duration:
    """Raises BadTime."""
    text = value.strip()
    match = _DURATION.fullmatch(text)
    if match is None or not text[-1:].isalpha() or text[-1:] in "PTpt":
        raise BadTime(value[:40])
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    sign = -1 if match.group(1) == "-" else 1
    return Duration(sign * (weeks * 7 + days), sign * (hours * 3600 + minutes * 60 + seconds))


def parse_period(value: str, zone: tzinfo | None = None) -> tuple[When, When | Duration]:
    """A PERIOD: its start, and its end or duration (RFC 5545 section 3.3.9). Raises BadTime."""
    start, slash, end = value.partition("/")
    if not slash:
        raise BadTime(value[:40])
    begin = parse_when(start, zone)
    return begin, parse_duration(end) if "P" in end.upper() else parse_when(end, zone)


def to_utc(local: int, zone: tzinfo) -> int:
    """Seconds since 1970 UTC of a local time; the earlier one where the clock shows it twice (section 3.3.5)."""
    if zone is UTC:
        return local
    offset = zone.utcoffset((_EPOCH + timedelta(0, _clamped(local))).replace(tzinfo=zone))
    return local if offset is None else local - offset.days * DAY - offset.seconds


def to_local(utc: int, zone: tzinfo) -> int:
    """What the clocks of a zone show, in local seconds."""
    if zone is UTC:
        return utc
    clamped = min(max(utc, FIRST + 2 * DAY), LAST - 2 * DAY)
    shown = zone.fromutc((_EPOCH + timedelta(0, clamped)).replace(tzinfo=zone)).replace(tzinfo=None) - _EPOCH
    return shown.days * DAY + shown.seconds + (utc - clamped)


def format_date(local: int) -> str:
    """As a DATE value."""
    return _shown(local).strftime("%Y%m%d").zfill(8)


def format_date_time(local: int, *, utc: bool) -> str:
    """As a DATE-TIME value, in UTC or without a zone."""
    return _shown(local).strftime("%Y%m%dT%H%M%S").zfill(15) + ("Z" if utc else "")


def _shown(local: int) -> datetime:
    return _EPOCH + timedelta(0, _clamped(local))


def _clamped(local: int) -> int:
    return min(max(local, FIRST), LAST)
