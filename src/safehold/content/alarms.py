"""When an alarm rings (RFC 5545 sections 3.6.6, 3.8.6.2 and 3.8.6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import NamedTuple

from safehold.content.lines import Component, parse_params, property_name
from safehold.content.timerange import TimeRange
from safehold.content.times import DAY, BadTime, Duration, When, parse_duration, parse_when, to_utc
from safehold.content.timing import MARGIN, Start, Timing
from safehold.content.zones import Zones


class Trigger(NamedTuple):
    """A moment, or an offset to the start or end of the component; and `repeat` more times, `every` seconds apart."""

    at: When | None
    offset: Duration
    at_end: bool
    repeat: int
    every: int

    def rings_at(self, first: int, within: TimeRange) -> bool:
        """Whether one of its rings, the first at this second UTC, lies in a range."""
        if self.at is None:
            first += self.offset.nominal
        if within.end is not None and first >= within.end:
            return False
        if within.start is None or first >= within.start:
            return True
        if self.repeat == 0 or self.every <= 0:
            return False
        number = -((first - within.start) // self.every)
        return number <= self.repeat and (within.end is None or first + number * self.every < within.end)

    def widened(self, within: TimeRange) -> TimeRange:
        """The range in which instances may lie whose alarm rings within a range."""
        before = max(0, self.offset.nominal) + self.repeat * max(0, self.every)
        after = max(0, -self.offset.nominal)
        start = None if within.start is None else within.start - before - MARGIN
        return TimeRange(start, None if within.end is None else within.end + after + MARGIN)

    def anchors(self, timing: Timing, start: Start, floating: tzinfo) -> Iterator[int]:
        """What the offset counts from, in seconds UTC, for one instance.

        A task with DUE alone has no start; then both its due moment and, where that is a date, the end of that day are
        taken, as in RFC 4791 section 7.8.5.
        """
        anchor = timing.anchor
        if anchor is None:
            return
        zone = anchor.zone or floating
        begin = to_utc(start.local, zone)
        if timing.start is None:
            yield begin
            if anchor.is_date:
                yield to_utc(start.local + DAY, zone)
            return
        if not self.at_end:
            yield begin
            return
        end = timing.end_of(start, floating)
        if end is not None:
            yield end
        else:
            yield to_utc(start.local + DAY, zone) if anchor.is_date and timing.kind != "VTODO" else begin


def trigger_of(alarm: Component, zones: Zones) -> Trigger:
    """Raises BadTime, also where there is no TRIGGER."""
    trigger: tuple[When | None, Duration, bool] | None = None
    repeat, every = 0, 0
    for line in alarm.lines:
        name = property_name(line)
        if name == "TRIGGER" and trigger is None:
            if line[2].strip()[:1].isdigit():
                zone, _ = zones.of(line)
                trigger = (parse_when(line[2], zone), Duration(0, 0), False)
            else:
                related = [v.upper() for key, values in parse_params(line[1]) if key == "RELATED" for v in values]
                trigger = (None, parse_duration(line[2]), related == ["END"])
        elif name == "REPEAT":
            text = line[2].strip()
            if not (text.isascii() and text.isdigit()):
                raise BadTime(text[:20])
            repeat = int(text[:9])
        elif name == "DURATION":
            every = parse_duration(line[2]).nominal
    if trigger is None:
        raise BadTime("an alarm without TRIGGER")
    return Trigger(*trigger, repeat, every)
