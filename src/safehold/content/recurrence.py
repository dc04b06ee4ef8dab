"""Recurrence rules (RFC 5545 section 3.3.10): parsed, and walked through from any point in time.

A rule is taken as its parts say: each BY part that speaks of days narrows the days of a period (a year, month, week,
day), each that speaks of the clock says which times of such a day count; what no part says comes from DTSTART. That is
the standard's table of "expand" and "limit" in one rule. Two differences to it, where it leaves the result undefined:
parts that a frequency must not have (BYWEEKNO in a monthly rule) narrow like any other, and the number before a
weekday counts only in monthly and yearly rules without BYWEEKNO.

Times are local seconds (`content.times`). A rule without COUNT is entered where the range asked for begins, and so is
one with COUNT whose periods all hold the same number of instances; others are counted from DTSTART. Each day or time
that is looked at costs a step of a budget.
"""

from __future__ import annotations

import itertools
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from safehold.content.budget import Budget
from safehold.content.times import DAY, EPOCH_ORDINAL, FIRST, LAST, BadTime, When, parse_when

#: A longer rule is not looked into: with every part in full it has some 1,500 characters.
MAX_RULE_CHARS = 2500
FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_CLOCK_SECONDS = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
#: By part: the largest value, whether it may be negative, whether it may be 0.
_NUMBERS = {
    "BYSECOND": (60, False, True),
    "BYMINUTE": (59, False, True),
    "BYHOUR": (23, False, True),
    "BYMONTHDAY": (31, True, False),
    "BYYEARDAY": (366, True, False),
    "BYWEEKNO": (53, True, False),
    "BYMONTH": (12, False, False),
    "BYSETPOS": (366, True, False),
}
_MAX_NUMBER = 10**9


class BadRule(Exception):
    """A rule that cannot be understood."""


class Rule(NamedTuple):
    """A rule as it stands. Empty parts are not given. Weekdays count from Monday = 0."""

    freq: str
    interval: int
    times: int | None  # COUNT
    until: When | None  # without a zone unless it is UTC
    wkst: int
    by_month: frozenset[int]
    by_week: frozenset[int]
    by_year_day: frozenset[int]
    by_month_day: frozenset[int]
    by_day: tuple[tuple[int, int], ...]  # (number or 0, weekday)
    by_hour: tuple[int, ...]
    by_minute: tuple[int, ...]
    by_second: tuple[int, ...]
    by_position: tuple[int, ...]


@lru_cache(maxsize=2048)
def parse_rule(text: str) -> Rule:
    """Raises BadRule. Unknown parts are passed over, as section 3.1 says of what is not known."""
    if len(text) > MAX_RULE_CHARS:
        raise BadRule("a rule that is too long")
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        parts.setdefault(name.strip(), value.strip())
    freq = parts.get("FREQ", "")
    if freq not in FREQUENCIES:
        raise BadRule(f"FREQ={freq[:20]}")
    if parts.get("RSCALE", "GREGORIAN") not in ("GREGORIAN", "GREGORY") or parts.get("SKIP", "OMIT") != "OMIT":
        raise BadRule("another calendar than the Gregorian (RFC 7529)")
    numbers = {name: _numbers(parts, name) for name in _NUMBERS}
    return Rule(
        freq,
        max(1, _number(parts.get("INTERVAL", "1"))),
        _number(parts["COUNT"]) if "COUNT" in parts else None,
        _until(parts["UNTIL"]) if "UNTIL" in parts else None,
        _weekday(parts.get("WKST", "MO")),
        frozenset(numbers["BYMONTH"]),
        frozenset(numbers["BYWEEKNO"]),
        frozenset(numbers["BYYEARDAY"]),
        frozenset(numbers["BYMONTHDAY"]),
        _by_day(parts.get("BYDAY", "")),
        numbers["BYHOUR"],
        numbers["BYMINUTE"],
        tuple(sorted({min(second, 59) for second in numbers["BYSECOND"]})),
        numbers["BYSETPOS"],
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRule(f"the number {text[:20]!r}")
    return min(int(text), _MAX_NUMBER)


def _numbers(parts: dict[str, str], name: str) -> tuple[int, ...]:
    limit, negative, zero = _NUMBERS[name]
    found = set()
    for text in filter(None, (piece.strip() for piece in parts.get(name, "").split(","))):
        sign = -1 if text[0] == "-" else 1
        number = sign * _number(text[1:] if text[0] in "+-" else text)
        if abs(number) > limit or (number < 0 and not negative) or (number == 0 and not zero):
            raise BadRule(f"{name}={text[:20]}")
        found.add(number)
    return tuple(sorted(found))


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        raise BadRule(f"the weekday {text[:20]!r}")
    return _WEEKDAYS.index(text)


def _by_day(text: str) -> tuple[tuple[int, int], ...]:
    found = set()
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        number, weekday = piece[:-2].strip(), _weekday(piece[-2:])
        sign = -1 if number[:1] == "-" else 1
        count = sign * _number(number.lstrip("+-")) if number else 0
        if abs(count) > 53 or (number and not count):
            raise BadRule(f"BYDAY={piece[:20]}")
        found.add((count, weekday))
    return tuple(sorted(found))


def _until(text: str) -> When:
    try:
        return parse_when(text)
    except BadTime:
        raise BadRule(f"UNTIL={text[:20]}") from None


def rule_starts(rule: Rule, dtstart: int, after: int, before: int, budget: Budget) -> Iterator[int]:
    """Instances of a rule from `after` on and before `before`, ascending, all not before DTSTART; local seconds.

    DTSTART itself is among them only where the rule says so. UNTIL is the caller's, who knows the zone. Raises
    OverBudget.
    """
    before = min(before, LAST + 1)
    after = max(after, dtstart)
    periods: _Periods | _ClockPeriods = (
        _ClockPeriods(rule, dtstart) if rule.freq in _CLOCK_SECONDS else _Periods(rule, dtstart, budget)
    )
    left = rule.times
    number = periods.number_at(after) if left is None else 0
    if left is not None:
        number, skipped = _counted_ahead(rule, periods, dtstart, after, budget)
        left -= skipped
    while left is None or left > 0:
        found = periods.at(number, before, budget)
        if found is None:
            return
        number, times = found
        for time in times:
            if time < dtstart:
                continue
            if time >= before or left == 0:
                return
            if left is not None:
                left -= 1
            if time >= after:
                yield time
        number += 1


def _counted_ahead(
    rule: Rule, periods: _Periods | _ClockPeriods, dtstart: int, after: int, budget: Budget
) -> tuple[int, int]:
    """Where to enter a rule with COUNT, and how many instances lie before that.

    Where nothing narrows the days, every period but the first, which DTSTART may cut, holds as many as the next.
    """
    number = periods.number_at(after)
    even = not (rule.by_month or rule.by_week or rule.by_year_day or rule.by_month_day)
    if rule.freq in _CLOCK_SECONDS:
        narrowing = rule.by_minute if rule.freq != "HOURLY" else ()
        narrowing += rule.by_second if rule.freq == "SECONDLY" else ()
        even = even and not (rule.by_day or rule.by_hour or narrowing)
    else:
        even = even and (rule.freq == "WEEKLY" or (rule.freq == "DAILY" and not rule.by_day))
    if number < 2 or not even:
        return 0, 0
    first, second = periods.at(0, LAST + 1, budget), periods.at(1, LAST + 1, budget)
    if first is None or second is None:
        return 0, 0
    in_first = sum(1 for time in first[1] if time >= dtstart)
    return number, in_first + (number - 1) * len(second[1])


class _Days:
    """Which days count, by the parts of a rule that speak of days."""

    def __init__(self, rule: Rule, dtstart: int) -> None:
        start = _date(dtstart // DAY)
        self.months = rule.by_month
        self.weeks = rule.by_week
        self.wkst = rule.wkst
        self.year_days = rule.by_year_day
        self.month_days = rule.by_month_day
        numbered = rule.freq == "MONTHLY" or (rule.freq == "YEARLY" and not rule.by_week)
        self.weekdays = frozenset(day for number, day in rule.by_day if not number or not numbered)
        self.nth = frozenset((number, day) for number, day in rule.by_day if number and numbered)
        self.nth_of_year = rule.freq == "YEARLY" and not rule.by_month
        given = rule.by_week or rule.by_year_day or rule.by_month_day or rule.by_day
        if rule.freq == "YEARLY" and rule.by_week and not (rule.by_year_day or rule.by_month_day or rule.by_day):
            self.weekdays = frozenset((start.weekday(),))
        elif not given and rule.freq in ("YEARLY", "MONTHLY"):
            self.month_days = frozenset((start.day,))
            if rule.freq == "YEARLY" and not self.months:
                self.months = frozenset((start.month,))
        elif not given and rule.freq == "WEEKLY":
            self.weekdays = frozenset((start.weekday(),))
        self.by_weekday = bool(self.weekdays or self.nth)
        #: Nothing narrows the days.
        self.all = not (self.months or self.weeks or self.year_days or self.month_days or self.by_weekday)

    def count(self, day: int) -> bool:
        """Whether a day (days since 1970) counts."""
        if self.all:
            return True
        on = _date(day)
        if self.months and on.month not in self.months:
            return False
        if self.by_weekday and on.weekday() not in self.weekdays and not (self.nth and self._is_nth(on)):
            return False
        if self.month_days and on.day not in self.month_days:
            length = monthrange(on.year, on.month)[1]
            if on.day - length - 1 not in self.month_days:
                return False
        if self.year_days:
            first = date(on.year, 1, 1).toordinal()
            in_year = on.toordinal() - first + 1
            if in_year not in self.year_days and in_year - _year_length(on.year) - 1 not in self.year_days:
                return False
        return not self.weeks or self._in_week(on)

    def _is_nth(self, on: date) -> bool:
        weekday = on.weekday()
        if self.nth_of_year:
            index, length = on.toordinal() - date(on.year, 1, 1).toordinal(), _year_length(on.year)
        else:
            index, length = on.day - 1, monthrange(on.year, on.month)[1]
        return (index // 7 + 1, weekday) in self.nth or (-((length - 1 - index) // 7) - 1, weekday) in self.nth

    def _in_week(self, on: date) -> bool:
        """Weeks as section 3.3.10 counts them: the first has at least four days of the year."""
        day = on.toordinal() - EPOCH_ORDINAL
        monday = day - (on.weekday() - self.wkst) % 7
        year = _date_clamped(monday + 3).year
        first = _first_week(year, self.wkst)
        last = _first_week(year + 1, self.wkst)
        number, total = (monday - first) // 7 + 1, (last - first) // 7
        return number in self.weeks or number - total - 1 in self.weeks


class _Periods:
    """The years, months, weeks or days of a rule, numbered from that of DTSTART."""

    def __init__(self, rule: Rule, dtstart: int, budget: Budget) -> None:
        """Raises OverBudget, for there may be 86,400 times of day."""
        self._freq = rule.freq
        self._interval = rule.interval
        self._positions = rule.by_position
        self._days = _Days(rule, dtstart)
        self._start_day = dtstart // DAY
        self._date = _date(self._start_day)
        self._week = self._start_day - (self._date.weekday() - rule.wkst) % 7
        clock = dtstart % DAY
        hours = rule.by_hour or (clock // 3600,)
        minutes = rule.by_minute or (clock // 60 % 60,)
        seconds = rule.by_second or (clock % 60,)
        budget.spend(len(hours) * len(minutes) * len(seconds))
        self._clock = [h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds]

    def number_at(self, local: int) -> int:
        """The number of the last period that begins not after this."""
        day = min(max(local, FIRST), LAST) // DAY
        if self._freq == "DAILY":
            units = day - self._start_day
        elif self._freq == "WEEKLY":
            units = (day - self._week) // 7
        else:
            on = _date(day)
            units = on.year - self._date.year
            if self._freq == "MONTHLY":
                units = units * 12 + on.month - self._date.month
        return max(0, units // self._interval)

    def at(self, number: int, before: int, budget: Budget) -> tuple[int, list[int]] | None:
        """The next period from this number on, and its instances; None where it begins at `before` or later."""
        while True:
            days = self._range(number)
            if days is None or days.start * DAY >= before:
                return None
            if len(days) == 1 and not self._days.all and not self._days.count(days.start):
                budget.spend()
                number += 1
                if self._days.months and _date(days.start).month not in self._days.months:
                    number = max(number, self.number_at(_next_month(days.start) * DAY - DAY) + 1)
                continue
            return number, self._instances(days, budget)

    def _range(self, number: int) -> range | None:
        """The days of a period; None where it lies after the year 9999."""
        units = number * self._interval
        if self._freq == "DAILY":
            first, length = self._start_day + units, 1
        elif self._freq == "WEEKLY":
            first, length = self._week + 7 * units, 7
        elif self._freq == "MONTHLY":
            year, month = divmod(self._date.year * 12 + self._date.month - 1 + units, 12)
            if year > 9999:
                return None
            first, length = _ordinal(year, month + 1), monthrange(year, month + 1)[1]
        else:
            year = self._date.year + units
            if year > 9999:
                return None
            first, length = _ordinal(year, 1), _year_length(year)
        if first * DAY > LAST:
            return None
        return range(max(first, FIRST // DAY), min(first + length, LAST // DAY + 1))

    def _instances(self, days: range, budget: Budget) -> list[int]:
        counted = [day for day in self._narrowed(days, budget) if self._days.count(day)]
        budget.spend(1 + len(counted) * len(self._clock))
        times = [day * DAY + clock for day in counted for clock in self._clock]
        return _at_positions(times, self._positions)

    def _narrowed(self, days: range, budget: Budget) -> Iterator[int]:
        """The days of a period, those of a year only in the months that count."""
        if self._freq != "YEARLY" or not self._days.months:
            budget.spend(len(days))
            yield from days
            return
        year = _date(days.start).year
        for month in sorted(self._days.months):
            first, length = _ordinal(year, month), monthrange(year, month)[1]
            budget.spend(length)
            if len(self._days.month_days) == 1 and not self._days.by_weekday:
                (only,) = self._days.month_days
                if abs(only) <= length:
                    yield first + (only - 1 if only > 0 else length + only)
                continue
            yield from range(first, first + length)


class _ClockPeriods:
    """The hours, minutes or seconds of a rule, numbered from that of DTSTART."""

    def __init__(self, rule: Rule, dtstart: int) -> None:
        unit = _CLOCK_SECONDS[rule.freq]
        self._base = dtstart - dtstart % unit
        self._step = unit * rule.interval
        self._days = _Days(rule, dtstart)
        self._hours = frozenset(rule.by_hour)
        self._minutes = frozenset(rule.by_minute) if rule.freq != "HOURLY" else frozenset()
        self._seconds = frozenset(rule.by_second) if rule.freq == "SECONDLY" else frozenset()
        self._positions = rule.by_position
        inner_minutes = (rule.by_minute or (dtstart // 60 % 60,)) if rule.freq == "HOURLY" else (0,)
        inner_seconds = (rule.by_second or (dtstart % 60,)) if rule.freq != "SECONDLY" else (0,)
        self._inner = [m * 60 + s for m in inner_minutes for s in inner_seconds]

    def number_at(self, local: int) -> int:
        """The number of the last period that begins not after this."""
        return max(0, (local - self._base) // self._step)

    def at(self, number: int, before: int, budget: Budget) -> tuple[int, list[int]] | None:
        """The next period with instances from this number on; None where there is none before `before`."""
        while True:
            begin = self._base + number * self._step
            if begin >= before:
                return None
            budget.spend()
            passed = self._passed_over(begin)
            if passed is None:
                budget.spend(len(self._inner) - 1)
                times = [begin + inner for inner in self._inner]
                return number, _at_positions(times, self._positions)
            number = max(number + 1, -((self._base - passed) // self._step))

    def _passed_over(self, begin: int) -> int | None:
        """None where a period counts, else the first moment after it that may."""
        day = begin // DAY
        if not self._days.count(day):
            if self._days.months and _date(day).month not in self._days.months:
                return _next_month(day) * DAY
            return (day + 1) * DAY
        if self._hours and begin // 3600 % 24 not in self._hours:
            return begin - begin % 3600 + 3600
        if self._minutes and begin // 60 % 60 not in self._minutes:
            return begin - begin % 60 + 60
        if self._seconds and begin % 60 not in self._seconds:
            return begin + 1
        return None


def _at_positions(times: list[int], positions: tuple[int, ...]) -> list[int]:
    """BYSETPOS: those at these places among the instances of a period."""
    if not positions:
        return times
    length = len(times)
    places = {place - 1 if place > 0 else length + place for place in positions}
    return [times[place] for place in sorted(places) if 0 <= place < length]


def merged(series: list[Iterator[int]]) -> Iterator[int]:
    """Ascending series as one, each moment once."""
    import heapq

    ordered = series[0] if len(series) == 1 else heapq.merge(*series)
    for time, _ in itertools.groupby(ordered):
        yield time


def _date(day: int) -> date:
    return date.fromordinal(day + EPOCH_ORDINAL)


def _date_clamped(day: int) -> date:
    return date.fromordinal(min(max(day + EPOCH_ORDINAL, 1), date.max.toordinal()))


def _ordinal(year: int, month: int) -> int:
    return date(year, month, 1).toordinal() - EPOCH_ORDINAL


def _next_month(day: int) -> int:
    on = _date(day)
    return day - on.day + 1 + monthrange(on.year, on.month)[1]


def _year_length(year: int) -> int:
    return 366 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 365


@lru_cache(maxsize=4096)
def _first_week(year: int, wkst: int) -> int:
    """The day on which week 1 of a year begins; days since 1970, also for the year 10000."""
    fourth = _ordinal(year, 1) + 3 if year <= 9999 else LAST // DAY + 4
    return fourth - (fourth + 3 - wkst) % 7
