"""CALDAV:expand, limit-recurrence-set and limit-freebusy-set (RFC 4791 sections 9.6.5 to 9.6.7).

What has not to change is given byte for byte, folds included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, tzinfo

from safehold.content.budget import STEPS, Budget, OverBudget
from safehold.content.calendar import CalendarObject, Instance
from safehold.content.lines import Component, Line, property_name
from safehold.content.raw import RawComponent, RawLine, line_of, newline_of, raw_by_component, raw_components
from safehold.content.timerange import ALWAYS, Span, TimeRange
from safehold.content.times import BadTime, When, format_date, format_date_time, parse_period, parse_when, to_local
from safehold.content.timing import UNKNOWN_ZONE_SECONDS, Start, end_of_period
from safehold.model.errors import Forbidden
from safehold.model.kinds import COMPONENTS

#: Instances of one object in an answer, and what they may amount to.
MAX_INSTANCES = 5_000
MAX_EXPANDED_BYTES = 16 * 1024 * 1024

#: RFC 4791 section 7.8: what a query returns lies within limits. (CALDAV:max-instances is about what is stored.)
WITHIN_LIMITS = "{DAV:}number-of-matches-within-limits"
_RECURRENCE = frozenset(("RRULE", "RDATE", "EXDATE", "EXRULE"))
_TZID = re.compile(r';TZID=(?:"[^"]*"|[^";:]*)', re.IGNORECASE)


class TooManyInstances(Forbidden):
    """An expansion that would have more instances, or cost more work, than is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="ask for a shorter range of time", element=WITHIN_LIMITS)


# -- expand --------------------------------------------------------------------------------------------------


def expanded(body: bytes, within: TimeRange, floating: tzinfo) -> bytes:
    """RFC 4791 section 9.6.5: each instance within the range as a component of its own, in UTC and without time zones.

    An object that does not recur is whole, also outside of the range. Floating times and dates stay what they are.
    Raises LineError, TooManyInstances.
    """
    obj = CalendarObject.parse(body)
    if obj.unsure:
        return body  # what cannot be read is not taken apart
    roots = raw_components(body)
    raws = raw_by_component(obj.document, roots)
    newline = newline_of(body)
    instances = [(raws[id(i.component)], i) for i in _instances(obj, within, floating)]
    pieces: list[bytes] = []
    size = 0
    for root in roots:
        own = {id(raw) for raw in root.components}
        pieces.append(root.begin)
        for part in root.parts:
            if isinstance(part, RawLine):
                pieces.append(part.raw)
            elif part.name not in (*COMPONENTS, "VTIMEZONE"):
                pieces.append(part.written())
        for raw, instance in instances:
            if id(raw) in own:
                one = b"".join(_Instance(obj, instance, floating, newline).pieces(raw))
                size += len(one)
                if size > MAX_EXPANDED_BYTES:
                    raise TooManyInstances("the instances in this range are more than one answer may hold")
                pieces.append(one)
        pieces.append(root.end)
    return b"".join(pieces)


def _instances(obj: CalendarObject, within: TimeRange, floating: tzinfo) -> list[Instance]:
    """In the order of their time; all components of an object that does not recur. Raises TooManyInstances."""
    if not obj.recurs:
        return [Instance(c, obj.timing(c), Start(0), ALWAYS, None) for c in obj.components]
    found: list[Instance] = []
    try:
        for instance in obj.instances(within, floating, Budget(STEPS)):
            found.append(instance)
            if len(found) > MAX_INSTANCES:
                raise TooManyInstances(f"more than {MAX_INSTANCES} instances lie in this range")
    except OverBudget:
        raise TooManyInstances("it takes too much work to find the instances in this range") from None
    return sorted(found, key=lambda instance: instance.span.start or 0)


class _Instance:
    """How one instance is written."""

    def __init__(self, obj: CalendarObject, instance: Instance, floating: tzinfo, newline: bytes) -> None:
        self._obj = obj
        self._instance = instance
        self._floating = floating
        self._newline = newline

    def pieces(self, raw: RawComponent) -> Iterator[bytes]:
        """The lines of its component, with those that depend on the instance made anew."""
        yield raw.begin
        lines = [part.line for part in raw.parts if isinstance(part, RawLine)]
        identified = any(property_name(line) == "RECURRENCE-ID" for line in lines)
        anchor = "DTSTART" if self._instance.timing.start is not None else "DUE"
        for part in raw.parts:
            if isinstance(part, RawComponent):
                yield from self._alarm(part)
                continue
            name = property_name(part.line)
            if name in _RECURRENCE and self._obj.recurs:
                continue
            yield from self._line(name, part)
            if name == anchor and not identified and self._instance.recurrence_id is not None:
                yield self._identity(self._instance.recurrence_id)
                identified = True
        yield raw.end

    def _line(self, name: str, part: RawLine) -> Iterator[bytes]:
        timing, start = self._instance.timing, self._instance.start
        anchor = timing.anchor
        id_ = self._instance.recurrence_id
        if id_ is not None and anchor is not None:
            if name == "RECURRENCE-ID":
                yield self._identity(id_) if timing.this_and_future else self._written(part, id_)
                return
            if name == "DTSTART" or (name == "DUE" and timing.start is None):
                yield self._written(part, anchor._replace(local=start.local))
                return
            if name == "DURATION" and start.end is not None:
                yield self._written_end(start, "DUE" if timing.kind == "VTODO" else "DTEND")
                return
            if name == ("DUE" if timing.kind == "VTODO" else "DTEND") and timing.end is not None:
                yield self._written(part, self._end(timing.end))
                return
        yield self._without_zone(part)

    def _end(self, end: When) -> When:
        """The DTEND or DUE of this instance, of the form of the stored one."""
        timing, start = self._instance.timing, self._instance.start
        if end.zone is None and timing.start is not None and timing.start.zone is None and start.end is None:
            return end._replace(local=start.local + end.local - timing.start.local)
        utc = timing.end_of(start, self._floating)
        assert utc is not None, "with DTEND or DUE there is an end"
        if end.zone is None:
            return end._replace(local=to_local(utc, self._floating))
        return When(utc, UTC)

    def _written_end(self, start: Start, name: str) -> bytes:
        anchor = self._instance.timing.anchor
        assert anchor is not None and start.end is not None, "a PERIOD gives both"
        end = end_of_period(anchor._replace(local=start.local), start.end, self._floating)
        return line_of(name, "", format_date_time(end, utc=True), self._newline)

    def _identity(self, when: When) -> bytes:
        """RECURRENCE-ID: the original start of this instance."""
        params = ";VALUE=DATE" if when.is_date else ""
        return line_of("RECURRENCE-ID", params, self._value(when), self._newline)

    def _value(self, when: When) -> str:
        if when.is_date:
            return format_date(when.local)
        if when.zone is None:
            return format_date_time(when.local, utc=False)
        return format_date_time(when.utc(self._floating), utc=True)

    def _written(self, part: RawLine, when: When) -> bytes:
        """A line with another value, or as it stands where that is the same."""
        value = self._value(when)
        params = part.line[1] if when.zone is None else _TZID.sub("", part.line[1])
        if value == part.line[2] and params == part.line[1]:
            return part.raw
        return line_of(part.line[0], params, value, self._newline)

    def _without_zone(self, part: RawLine) -> bytes:
        """A line whose times are brought to UTC, since the zone that they name is not in the answer."""
        line = part.line
        if "TZID" not in line[1].upper():
            return part.raw
        zone, _ = self._obj.zones.of(line)
        if zone is None:
            return part.raw
        try:
            values = [self._moved(value, zone) for value in line[2].split(",")]
        except BadTime:
            return part.raw
        return line_of(line[0], _TZID.sub("", line[1]), ",".join(values), self._newline)

    def _moved(self, value: str, zone: tzinfo) -> str:
        """Raises BadTime."""
        if "/" not in value:
            return self._value(parse_when(value, zone))
        begin, end = parse_period(value, zone)
        return f"{self._value(begin)}/{self._value(end) if isinstance(end, When) else value.partition('/')[2]}"

    def _alarm(self, raw: RawComponent) -> Iterator[bytes]:
        yield raw.begin
        for part in raw.parts:
            if isinstance(part, RawComponent):
                yield from self._alarm(part)
            else:
                yield self._without_zone(part)
        yield raw.end


# -- limit-recurrence-set ------------------------------------------------------------------------------------


def limited(body: bytes, within: TimeRange) -> bytes:
    """RFC 4791 section 9.6.6: the master, and those overrides that matter to instances within the range.

    An override matters where it or the instance that it replaces meets the range, and with RANGE=THISANDFUTURE where it
    begins before the end. Where floating times lie is not known here, so more may be kept. Raises LineError.
    """
    obj = CalendarObject.parse(body)
    dropped = [component for component in obj.overrides if not _matters(obj, component, within)]
    if not dropped:
        return body
    roots = raw_components(body)
    raws = raw_by_component(obj.document, roots)
    gone = {id(raws[id(component)]) for component in dropped}
    return b"".join(_without(root, gone) for root in roots)


def _matters(obj: CalendarObject, override: Component, within: TimeRange) -> bool:
    timing = obj.timing(override)
    id_ = timing.recurrence_id
    if obj.master is None or obj.unsure or id_ is None:
        return True
    wide = within.widened(UNKNOWN_ZONE_SECONDS)
    own = timing.once(UTC)
    if own is None or own.meets(wide):
        return True
    if timing.this_and_future:
        return wide.end is None or id_.utc(UTC) < wide.end
    base = obj.timing(obj.master)
    local = base.on_clock(id_, UTC)
    return local is None or base.anchor is None or base.span(Start(local), UTC).meets(wide)


def _without(root: RawComponent, gone: set[int]) -> bytes:
    kept = RawComponent(root.name, root.begin)
    kept.parts = [part for part in root.parts if id(part) not in gone]
    kept.end = root.end
    return kept.written()


# -- limit-freebusy-set --------------------------------------------------------------------------------------


def without_busy_outside(body: bytes, within: TimeRange) -> bytes:
    """RFC 4791 section 9.6.7: without the FREEBUSY values that do not meet the range. Raises LineError."""
    obj = CalendarObject.parse(body)
    if not any(c.name == "VFREEBUSY" for root in obj.document.roots for c in root.components):
        return body
    roots = raw_components(body)
    newline = newline_of(body)
    for root in roots:
        for component in root.components:
            if component.name == "VFREEBUSY":
                component.parts = [p for part in component.parts for p in _busy_within(obj, part, within, newline)]
    return b"".join(root.written() for root in roots)


def _busy_within(
    obj: CalendarObject, part: RawLine | RawComponent, within: TimeRange, newline: bytes
) -> Iterator[RawLine | RawComponent]:
    if isinstance(part, RawComponent) or property_name(part.line) != "FREEBUSY":
        yield part
        return
    name, params, value = part.line
    values = value.split(",")
    kept = [period for period in values if _meets(obj, part.line, period, within)]
    if len(kept) == len(values):
        yield part
    elif kept:
        line = (name, params, ",".join(kept))
        yield RawLine(line_of(*line, newline), line)


def _meets(obj: CalendarObject, line: Line, period: str, within: TimeRange) -> bool:
    """True also where the period cannot be read."""
    zone, _ = obj.zones.of(line)
    try:
        begin, end = parse_period(period, zone)
    except BadTime:
        return True
    span = Span(begin.utc(UTC), end_of_period(begin, end, UTC))
    return span.meets(within if begin.zone is not None else within.widened(UNKNOWN_ZONE_SECONDS))
