"""Synthetic events whose occurrences in one month are known beforehand.

Spread over the three years around MONTH: one in ten recurs every week for ever, one in twenty lasts all day, and of
the others one third each is in UTC, in Berlin's and in New York's time, with the VTIMEZONE that goes with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bench.load import WORDS, folded

#: June 2026: what a client asks for that shows one month.
MONTH = (datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
_FIRST_DAY, _DAYS = date(2025, 1, 1), 3 * 365
_WEEK = timedelta(days=7)


class _Rule(NamedTuple):
    """One half of a VTIMEZONE: its component, name, offsets before and after, first start, and the day in the year."""

    component: str
    name: str
    before: str
    after: str
    start: str
    day: str


ZONES: dict[str, tuple[_Rule, _Rule]] = {
    "Europe/Berlin": (
        _Rule("DAYLIGHT", "CEST", "+0100", "+0200", "19810329T020000", "BYMONTH=3;BYDAY=-1SU"),
        _Rule("STANDARD", "CET", "+0200", "+0100", "19961027T030000", "BYMONTH=10;BYDAY=-1SU"),
    ),
    "America/New_York": (
        _Rule("DAYLIGHT", "EDT", "-0500", "-0400", "20070311T020000", "BYMONTH=3;BYDAY=2SU"),
        _Rule("STANDARD", "EST", "-0400", "-0500", "20071104T020000", "BYMONTH=11;BYDAY=1SU"),
    ),
}


class Event(NamedTuple):
    """A calendar object, and how many of its instances overlap MONTH."""

    name: str
    body: bytes
    in_month: int


def event(number: int) -> Event:
    """The same for the same number; about one kilobyte, half of it a time zone where it has one."""
    draw = random.Random(number * 1000 + 500)
    uid = f"{draw.getrandbits(128):032x}"
    day = _FIRST_DAY + timedelta(days=draw.randrange(_DAYS))
    zone = draw.choice((None, *ZONES))
    weekly = number % 10 == 3
    length = timedelta(minutes=draw.choice((30, 60, 90, 180)))
    if number % 20 == 7:
        # Not at a month's edges: a date has no zone, and servers differ in which one they take it for.
        day, zone, length = day.replace(day=2 + day.day % 25), None, timedelta(days=1)
        first = datetime.combine(day, time(), UTC)
        when = [f"DTSTART;VALUE=DATE:{first:%Y%m%d}", f"DTEND;VALUE=DATE:{first + length:%Y%m%d}"]
    else:
        clock = time(draw.randrange(7, 20), draw.choice((0, 15, 30)))
        first = datetime.combine(day, clock, ZoneInfo(zone) if zone else UTC)
        told = f";TZID={zone}:" if zone else ":"
        end = "" if zone else "Z"
        when = [f"DTSTART{told}{first:%Y%m%dT%H%M%S}{end}", f"DTEND{told}{first + length:%Y%m%dT%H%M%S}{end}"]
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Safehold//bench//EN",
        *(_vtimezone(zone) if zone else ()),
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T120000Z",
        *when,
        *(["RRULE:FREQ=WEEKLY"] if weekly else []),
        f"SUMMARY:{' '.join(draw.choices(WORDS, k=4))} {number}",
        f"LOCATION:room {number % 40}",
        *folded("DESCRIPTION:" + " ".join(draw.choices(WORDS, k=draw.randrange(20, 60)))),
        "SEQUENCE:0",
        "STATUS:CONFIRMED",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "DESCRIPTION:Reminder",
        "TRIGGER:-PT15M",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    starts = _weekly_until(first, MONTH[1]) if weekly else iter((first,))
    in_month = sum(start < MONTH[1] and start + length > MONTH[0] for start in starts)
    return Event(f"{uid}.ics", "\r\n".join(lines).encode(), in_month)


def _weekly_until(first: datetime, end: datetime) -> Iterator[datetime]:
    """Every week at the same time of the wall clock."""
    while first < end:
        yield first
        first += _WEEK  # of an aware datetime this moves the wall clock


def _vtimezone(zone: str) -> list[str]:
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone}"]
    for rule in ZONES[zone]:
        lines += [
            f"BEGIN:{rule.component}",
            f"TZNAME:{rule.name}",
            f"TZOFFSETFROM:{rule.before}",
            f"TZOFFSETTO:{rule.after}",
            f"DTSTART:{rule.start}",
            f"RRULE:FREQ=YEARLY;{rule.day}",
            f"END:{rule.component}",
        ]
    return [*lines, "END:VTIMEZONE"]
