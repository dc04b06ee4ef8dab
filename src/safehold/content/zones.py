"""Time zones: by a VTIMEZONE that comes with an object, else by name (RFC 5545 sections 3.2.19 and 3.6.5).

A definition within the body counts, for that is what the client that wrote it meant. Clients shorten definitions to the
years around an event: before its first change, and a year after the last one where no rule of it goes on, the zone of
that name counts, if there is one. Where there is no definition that can be followed, the name is looked up: an IANA
name, also behind a vendor's prefix as in `/freeassociation.sourceforge.net/Europe/Berlin`, a Windows name, an offset,
or a label such as `(UTC+01:00) Amsterdam, Berlin`. A name that tells nothing is None.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from safehold.content.budget import Budget, OverBudget
from safehold.content.lines import Component, Document, Line, LineError, parse, parse_params, property_name
from safehold.content.recurrence import BadRule, parse_rule, rule_starts
from safehold.content.times import DAY, LAST, BadTime, parse_when
from safehold.content.windows_zones import WINDOWS_ZONES

#: Longer ones are no name of a zone, and longer definitions are not remembered.
MAX_NAME_CHARS = 200
MAX_REMEMBERED_CHARS = 8192
#: Observances of a VTIMEZONE, and work to follow its rules: 130 years of two changes each are some 20,000 steps.
MAX_OBSERVANCES = 200
DEFINITION_STEPS = 60_000
#: Rules of a VTIMEZONE are followed until here; a later year is taken for one of the last 28 that has the same days.
HORIZON_YEAR = 2100

_HORIZON = (datetime(HORIZON_YEAR, 1, 1) - datetime(1970, 1, 1)).days * DAY
_EPOCH = datetime(1970, 1, 1)
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})?")
_FIXED = re.compile(r"(?:UTC|GMT)?\s*([+-])([0-9]{1,2})(?::?([0-9]{2}))?", re.IGNORECASE)
_LABEL = re.compile(r"\((?:UTC|GMT)\s*(?:([+-])([0-9]{1,2}):?([0-9]{2}))?\)\s*(.*)", re.IGNORECASE)
_UTC_NAMES = frozenset(("utc", "z", "gmt", "etc/utc", "etc/gmt", "zulu", "coordinated universal time"))


class BadZone(Exception):
    """A VTIMEZONE that cannot be followed."""


class DefinedZone(tzinfo):
    """A VTIMEZONE as a tzinfo. Immutable; what its clock shows is told by the changes up to HORIZON_YEAR."""

    def __init__(
        self, name: str, first: int, changes: Sequence[tuple[int, int]], outside: tzinfo | None, ends: int | None
    ) -> None:
        """`first` is the offset before the first change; `changes`: (seconds UTC, offset from then on), ascending.

        `outside` is the zone that counts before the first change and from `ends` on (None: never), where there is one.
        """
        self._name = name
        self.outside = outside
        self._begins = changes[0][0]
        self._ends = ends
        self._onsets = [onset for onset, _ in changes]
        self._offsets = [first, *(offset for _, offset in changes)]
        steps = list(zip(self._onsets, self._offsets, self._offsets[1:], strict=False))
        # From which local time on the next offset counts: of a time shown twice, the first, and of one never shown,
        # the offset before the gap (RFC 5545 section 3.3.5, PEP 495).
        self._early = [onset + max(before, after) for onset, before, after in steps]
        self._late = [onset + min(before, after) for onset, before, after in steps]

    @property
    def least_offset(self) -> int:
        return min(self._offsets)

    @property
    def greatest_offset(self) -> int:
        return max(self._offsets)

    def _is_outside(self, seconds: int) -> bool:
        return seconds < self._begins or (self._ends is not None and seconds >= self._ends)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        if dt is None:
            return None
        offset = self._offset_by_changes(dt)
        if self.outside is not None and self._is_outside(_seconds(dt) - offset):
            return self.outside.utcoffset(dt.replace(tzinfo=self.outside))
        return timedelta(0, offset)

    def _offset_by_changes(self, local: datetime) -> int:
        seconds = _seconds(_within_horizon(local))
        return self._offsets[bisect_right(self._late if local.fold else self._early, seconds)]

    def dst(self, _: datetime | None, /) -> None:
        """Not known: nothing here asks which part of an offset is daylight saving."""

    def tzname(self, _: datetime | None, /) -> str:
        return self._name

    def fromutc(self, dt: datetime) -> datetime:
        if self.outside is not None and self._is_outside(_seconds(dt)):
            return self.outside.fromutc(dt.replace(tzinfo=self.outside)).replace(tzinfo=self)
        seconds = _seconds(_within_horizon(dt))
        index = bisect_right(self._onsets, seconds)
        shown = dt + timedelta(0, self._offsets[index])
        again = index > 0 and seconds + self._offsets[index] < self._onsets[index - 1] + self._offsets[index - 1]
        return shown.replace(fold=1) if again else shown

    def __repr__(self) -> str:
        return f"DefinedZone({self._name!r})"


def _seconds(moment: datetime) -> int:
    since = moment.replace(tzinfo=None) - _EPOCH
    return since.days * DAY + since.seconds


def _within_horizon(moment: datetime) -> datetime:
    """The same day of one of the 28 years before the horizon, among which is every kind of year."""
    if moment.year < HORIZON_YEAR:
        return moment
    wanted = (datetime(moment.year, 1, 1).weekday(), _is_leap(moment.year))
    for year in range(HORIZON_YEAR - 28, HORIZON_YEAR):
        if (datetime(year, 1, 1).weekday(), _is_leap(year)) == wanted:
            return moment.replace(year=year)
    raise AssertionError("28 years hold every kind of year")


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


class Zones:
    """The zones of one calendar object: what its TZID parameters mean."""

    def __init__(self, document: Document) -> None:
        self._definitions: dict[str, Component] = {}
        self._found: dict[str, tzinfo | None] = {}
        self._budget = Budget(DEFINITION_STEPS)
        for root in document.roots:
            for component in root.components:
                if component.name == "VTIMEZONE":
                    for name in component.values("TZID"):
                        self._definitions.setdefault(name.strip(), component)

    def named(self, tzid: str) -> tzinfo | None:
        """The zone of a TZID; None where nothing is known of it."""
        tzid = tzid.strip()
        if tzid not in self._found:
            zone: tzinfo | None = None
            definition = self._definitions.get(tzid)
            if definition is not None:
                zone = zone_of(definition, self._budget)
            self._found[tzid] = zone or zone_of_name(tzid)
        return self._found[tzid]

    def of(self, line: Line) -> tuple[tzinfo | None, bool]:
        """The zone of a property's values, and whether it names one that is unknown."""
        if not line[1]:
            return None, False
        tzid = next((values[0] for name, values in parse_params(line[1]) if name == "TZID" and values), "")
        if not tzid:
            return None, False
        zone = self.named(tzid)
        return zone, zone is None


def zone_of(component: Component, budget: Budget | None = None) -> tzinfo | None:
    """The zone that a VTIMEZONE defines; None where it cannot be followed."""
    text = tuple((c.name, tuple(c.lines)) for c in component.components)
    name = next(iter(component.values("TZID")), "").strip()[:MAX_NAME_CHARS]
    size = sum(len(part) for _, lines in text for line in lines for part in line)
    try:
        if size <= MAX_REMEMBERED_CHARS:
            return _remembered(name, text)
        return _defined(name, text, budget or Budget(DEFINITION_STEPS))
    except BadZone:
        return None


Observances = tuple[tuple[str, tuple[Line, ...]], ...]


@lru_cache(maxsize=256)
def _followed(name: str, text: Observances) -> DefinedZone | None:
    try:
        return _defined(name, text, Budget(DEFINITION_STEPS))
    except BadZone:
        return None


def _remembered(name: str, text: Observances) -> DefinedZone:
    zone = _followed(name, text)
    if zone is None:
        raise BadZone(name)
    return zone


def _defined(name: str, text: Observances, budget: Budget) -> DefinedZone:
    """Raises BadZone."""
    observances = [lines for kind, lines in text if kind in ("STANDARD", "DAYLIGHT")]
    if not 0 < len(observances) <= MAX_OBSERVANCES:
        raise BadZone(f"{len(observances)} observances")
    changes: list[tuple[int, int, int]] = []
    goes_on = False
    try:
        for lines in observances:
            own, own_goes_on = _changes(lines, budget)
            changes.extend(own)
            goes_on = goes_on or own_goes_on
    except (BadTime, BadRule, OverBudget) as error:
        raise BadZone(str(error)) from None
    changes.sort()
    ends = None if goes_on else changes[-1][0] + 366 * DAY
    by_onset = [(onset, offset) for onset, _, offset in changes]
    return DefinedZone(name, changes[0][1], by_onset, zone_of_name(name), ends)


def _changes(lines: Iterable[Line], budget: Budget) -> tuple[list[tuple[int, int, int]], bool]:
    """When an observance begins, as (seconds UTC, offset before, offset after), and whether it does so for ever.

    Raises BadTime, BadRule, OverBudget.
    """
    values: dict[str, list[str]] = {}
    for line in lines:
        values.setdefault(property_name(line), []).append(line[2].strip())
    if not all(len(values.get(one, ())) == 1 for one in ("DTSTART", "TZOFFSETFROM", "TZOFFSETTO")):
        raise BadTime("an observance without its start or offsets")
    before, offset = _offset(values["TZOFFSETFROM"][0]), _offset(values["TZOFFSETTO"][0])
    start = parse_when(values["DTSTART"][0])
    begin = start.local + (before if start.zone is UTC else 0)
    onsets = {begin}
    for text in values.get("RDATE", ()):
        for value in text.split(","):
            budget.spend()
            on = parse_when(value.partition("/")[0])
            onsets.add(on.local + (before if on.zone is UTC else 0))
    goes_on = False
    for text in values.get("RRULE", ()):
        rule = parse_rule(text)
        goes_on = goes_on or (rule.until is None and rule.times is None)
        end = min(_HORIZON, LAST)
        if rule.until is not None:
            end = min(end, rule.until.local + (before if rule.until.zone is UTC else 0) + 1)
        onsets.update(rule_starts(rule, begin, begin, end, budget))
    return [(onset - before, before, offset) for onset in onsets], goes_on


def _offset(text: str) -> int:
    match = _OFFSET.fullmatch(text)
    if match is None:
        raise BadTime(text[:20])
    sign, hours, minutes, seconds = match.groups()
    total = int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
    if total >= DAY:
        raise BadTime(text[:20])
    return -total if sign == "-" else total


@lru_cache(maxsize=1024)
def _zone_of_short_name(tzid: str) -> tzinfo | None:
    name = tzid.strip().strip('"')
    lower = name.lower()
    if lower in _UTC_NAMES:
        return UTC
    known = _names().get(lower) or WINDOWS_ZONES.get(lower)
    if known is None and "/" in name:
        parts = [part for part in lower.split("/") if part]
        tails = ("/".join(parts[-count:]) for count in (3, 2, 1) if count <= len(parts))
        known = next((_names()[tail] for tail in tails if tail in _names()), None)
    if known is not None:
        return ZoneInfo(known)
    match = _LABEL.fullmatch(name)
    if match is not None:
        return _zone_of_label(match)
    match = _FIXED.fullmatch(name)
    return _fixed(*match.groups()) if match is not None else None


def zone_of_name(tzid: str) -> tzinfo | None:
    """The zone of an IANA name (with or without a vendor's prefix), a Windows name, a label or an offset, or None."""
    return _zone_of_short_name(tzid) if len(tzid) <= MAX_NAME_CHARS else None


def _zone_of_label(match: re.Match[str]) -> tzinfo | None:
    """`(UTC+01:00) Amsterdam, Berlin …`: the first of its cities with this offset in winter, else the bare offset."""
    sign, hours, minutes, cities = match.groups()
    fixed = _fixed(sign or "+", hours or "0", minutes)
    for city in cities.split(","):
        key = _cities().get(city.strip().lower().replace(" ", "_"))
        if key is not None and fixed is not None:
            zone, wanted = ZoneInfo(key), fixed.utcoffset(None)
            if wanted in (datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)):
                return zone
    return fixed


def _fixed(sign: str, hours: str, minutes: str | None) -> timezone | None:
    seconds = int(hours) * 3600 + int(minutes or 0) * 60
    if seconds >= DAY:
        return None
    return timezone(timedelta(0, -seconds if sign == "-" else seconds))


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """IANA names by their lower case."""
    return {name.lower(): name for name in available_timezones()}


@lru_cache(maxsize=1)
def _cities() -> dict[str, str]:
    """IANA names by their last part in lower case."""
    return {lower.rpartition("/")[2]: name for lower, name in sorted(_names().items()) if "/" in lower}


def zone_of_text(text: str) -> tzinfo | None:
    """The zone of a CALDAV:timezone value (a VCALENDAR with a VTIMEZONE) or of a TZID; None where it is unknown."""
    if "BEGIN:" not in text.upper():
        return zone_of_name(text)
    try:
        document = parse(text.strip().encode("utf-8", "replace"))
    except LineError:
        return None
    for root in document.roots:
        for component in (root, *root.components):
            if component.name == "VTIMEZONE":
                name = next(iter(component.values("TZID")), "")
                return zone_of(component) or zone_of_name(name)
    return None
