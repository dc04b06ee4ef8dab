"""Free-busy of calendar objects (RFC 4791 section 7.10).

Events take up time unless they are transparent or cancelled; tentative ones do so tentatively. VFREEBUSY components,
which no calendar collection here holds, would count as what they say. Periods are cut to the range and joined where
they touch; where something is both, the stronger one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from safehold.content.budget import STEPS, Budget, OverBudget
from safehold.content.calendar import CalendarObject
from safehold.content.expand import TooManyInstances
from safehold.content.join import PRODID
from safehold.content.lines import Component, fold, parse_params, property_name
from safehold.content.split import derived_uid
from safehold.content.timerange import TimeRange
from safehold.content.times import FIRST, LAST, BadTime, format_date_time, parse_period
from safehold.content.timing import end_of_period

#: Periods that are gathered before they are joined.
MAX_PERIODS = 50_000
BUSY, UNAVAILABLE, TENTATIVE = "BUSY", "BUSY-UNAVAILABLE", "BUSY-TENTATIVE"
#: By strength.
_TYPES = (BUSY, UNAVAILABLE, TENTATIVE)

Period = tuple[int, int]


class BusyTimes:
    """What objects take up of a range of time, gathered one object after the other.

    A time that cannot be read, or takes too much work to find, raises: to call it free would be wrong.
    """

    def __init__(self, within: TimeRange, floating: tzinfo) -> None:
        self._low = FIRST if within.start is None else within.start
        self._high = LAST if within.end is None else within.end
        self._floating = floating
        self._found: dict[str, list[Period]] = {type_: [] for type_ in _TYPES}
        self._count = 0

    def add(self, obj: CalendarObject) -> None:
        """Raises TooManyInstances."""
        low, high = self._low, self._high
        for type_, start, end in _periods(obj, TimeRange(low, high), self._floating):
            start, end = max(start, low), min(end, high)
            if start < end:
                self._found[type_].append((start, end))
                self._count += 1
                if self._count > MAX_PERIODS:
                    raise TooManyInstances(f"more than {MAX_PERIODS} periods lie in this range")

    def written(self, stamp: int) -> bytes:
        """A VCALENDAR with one VFREEBUSY for the range. `stamp` is its DTSTAMP, in seconds."""
        lines = [
            f"DTSTAMP:{format_date_time(stamp, utc=True)}",
            f"DTSTART:{format_date_time(self._low, utc=True)}",
            f"DTEND:{format_date_time(self._high, utc=True)}",
        ]
        stronger: list[Period] = []
        for type_ in _TYPES:
            periods = list(_outside(_joined(self._found[type_]), stronger))
            stronger = _joined([*stronger, *periods])
            if periods:
                param = "" if type_ == BUSY else f";FBTYPE={type_}"
                lines.append(f"FREEBUSY{param}:" + ",".join(map(_written, periods)))
        uid = derived_uid("\n".join(lines).encode())
        head = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODID.decode()}", "BEGIN:VFREEBUSY", f"UID:{uid}"]
        return b"".join(fold(line.encode()) for line in (*head, *lines, "END:VFREEBUSY", "END:VCALENDAR"))


def _written(period: Period) -> str:
    return f"{format_date_time(period[0], utc=True)}/{format_date_time(period[1], utc=True)}"


def _periods(obj: CalendarObject, within: TimeRange, floating: tzinfo) -> Iterator[tuple[str, int, int]]:
    """(type, start, end) of what an object takes up. Raises TooManyInstances."""
    types = {id(component): _type_of(component) for component in obj.components}
    budget = Budget(STEPS)
    try:
        if obj.component == "VEVENT" and any(types.values()):
            if obj.unsure:
                raise BadTime("a time")
            for instance in obj.instances(within, floating, budget):
                type_ = types[id(instance.component)]
                start, end = instance.timing.span(instance.start, floating, padded=False)
                if type_ is not None and start is not None and end is not None and end > start + 1:
                    yield type_, start, end  # what ends as it begins has a span of one second, and takes up none
        for root in obj.document.roots:
            for component in root.components:
                if component.name == "VFREEBUSY":
                    yield from _stored(obj, component, floating)
    except OverBudget:
        raise TooManyInstances("it takes too much work to find the instances in this range") from None
    except BadTime:
        raise TooManyInstances("an event in this calendar says its time in a way that cannot be read") from None


def _type_of(component: Component) -> str | None:
    """RFC 4791 section 7.10: by STATUS and TRANSP; None where it takes up no time."""
    values = {property_name(line): line[2].strip().upper() for line in component.lines}
    if values.get("TRANSP") == "TRANSPARENT" or values.get("STATUS") == "CANCELLED":
        return None
    return TENTATIVE if values.get("STATUS") == "TENTATIVE" else BUSY


def _stored(obj: CalendarObject, component: Component, floating: tzinfo) -> Iterator[tuple[str, int, int]]:
    """The FREEBUSY values of a VFREEBUSY; an unknown type is BUSY (RFC 5545 section 3.2.9). Raises BadTime."""
    for line in component.lines:
        if property_name(line) != "FREEBUSY":
            continue
        named = [value.upper() for name, values in parse_params(line[1]) if name == "FBTYPE" for value in values]
        if named == ["FREE"]:
            continue
        type_ = named[0] if named and named[0] in _TYPES else BUSY
        zone, _ = obj.zones.of(line)
        for value in filter(None, line[2].split(",")):
            begin, end = parse_period(value, zone)
            yield type_, begin.utc(floating), end_of_period(begin, end, floating)


def _joined(periods: list[Period]) -> list[Period]:
    """Ascending, with those that overlap or touch made one."""
    joined: list[Period] = []
    for start, end in sorted(periods):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _outside(periods: list[Period], stronger: list[Period]) -> Iterator[Period]:
    """What of these periods no stronger one covers; both lists are joined."""
    index = 0
    for start, end in periods:
        while index < len(stronger) and stronger[index][1] <= start:
            index += 1
        at = index
        while at < len(stronger) and stronger[at][0] < end:
            if stronger[at][0] > start:
                yield start, stronger[at][0]
            start = max(start, stronger[at][1])
            at += 1
        if start < end:
            yield start, end
