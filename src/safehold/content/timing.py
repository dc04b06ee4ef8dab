"""What a component says of its time, and the span of each of its instances (RFC 4791 section 9.9).

The tables of that section become half-open spans, in whole seconds UTC. Where the standards leave it open, the span is
the longer one: a DTEND that is not after DTSTART counts as none. A time in a zone that nothing is known of may be
anywhere within UNKNOWN_ZONE_SECONDS of where it would be as a floating one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from typing import NamedTuple, Protocol

from safehold.content.budget import Budget
from safehold.content.lines import Line, parse_params, property_name
from safehold.content.recurrence import BadRule, Rule, merged, parse_rule, rule_starts
from safehold.content.timerange import ALWAYS, Span, TimeRange
from safehold.content.times import (
    DAY,
    FIRST,
    LAST,
    BadTime,
    Duration,
    When,
    parse_duration,
    parse_period,
    parse_when,
    to_local,
    to_utc,
)

#: Two clocks differ by at most 26 hours (UTC-12 and UTC+14).
UNKNOWN_ZONE_SECONDS = 26 * 3600
#: Rules, and values of RDATE and EXDATE together, of one component. With more of them it is not known when it happens.
MAX_RULES = 20
MAX_DATES = 10_000
#: What local times and UTC may lie apart, with something to spare.
MARGIN = 2 * DAY

End = When | Duration


class ZonesOfLines(Protocol):
    """What a TZID parameter means in one body."""

    def of(self, line: Line) -> tuple[tzinfo | None, bool]:
        """The zone of a property's values, and whether it names one that is unknown."""
        ...


class Start(NamedTuple):
    """An instance: its start in local seconds of the component's clock, and its end where a PERIOD gives it its own."""

    local: int
    end: End | None = None


class Timing:
    """The properties of an event, task or journal entry that speak of time."""

    __slots__ = (
        "completed",
        "created",
        "duration",
        "end",
        "exdates",
        "kind",
        "rdates",
        "recurrence_id",
        "rules",
        "start",
        "this_and_future",
        "unknown_zone",
        "unsure",
    )

    def __init__(self, kind: str, lines: Iterable[Line], zones: ZonesOfLines) -> None:
        """`lines` are those of the component itself; those that do not speak of time are passed over."""
        self.kind = kind
        self.start: When | None = None
        self.end: When | None = None  # DTEND or DUE
        self.duration: Duration | None = None
        self.completed: When | None = None
        self.created: When | None = None
        self.recurrence_id: When | None = None
        self.this_and_future = False
        self.rules: list[Rule] = []
        self.rdates: list[tuple[When, End | None]] = []
        self.exdates: list[When] = []
        self.unknown_zone = False
        self.unsure = False  # something cannot be read: what it says of its time is not known
        for line in lines:
            name = property_name(line)
            if name in TIMES:
                try:
                    self._read(name, line, zones)
                except (BadTime, BadRule):
                    self.unsure = True
        if len(self.rules) > MAX_RULES or len(self.rdates) + len(self.exdates) > MAX_DATES:
            self.unsure = True

    def _read(self, name: str, line: Line, zones: ZonesOfLines) -> None:
        match name:
            case "DTSTART":
                self.start = self.start or self._when(line, zones)
            case "DTEND" | "DUE":
                if name == ("DUE" if self.kind == "VTODO" else "DTEND"):
                    self.end = self.end or self._when(line, zones)
            case "DURATION":
                self.duration = self.duration or parse_duration(line[2])
            case "COMPLETED" | "CREATED":
                self._read_undated(name, line, zones)
            case "RECURRENCE-ID":
                self.recurrence_id = self.recurrence_id or self._when(line, zones)
                params = parse_params(line[1])
                self.this_and_future = any(
                    key == "RANGE" and [value.upper() for value in values] == ["THISANDFUTURE"]
                    for key, values in params
                )
            case "RRULE":
                self.rules.append(parse_rule(line[2].strip()))
            case "RDATE" | "EXDATE":
                self._read_dates(name, line, zones)

    def _read_undated(self, name: str, line: Line, zones: ZonesOfLines) -> None:
        """What counts only of a task, and only where it has no other time."""
        if self.kind != "VTODO":
            return
        if name == "COMPLETED":
            self.completed = self.completed or self._when(line, zones)
        else:
            self.created = self.created or self._when(line, zones)

    def _when(self, line: Line, zones: ZonesOfLines) -> When:
        when = parse_when(line[2])
        if line[1] and not when.is_date and when.zone is None:
            zone, unknown = zones.of(line)
            self.unknown_zone = self.unknown_zone or unknown
            return when._replace(zone=zone)
        return when

    def _read_dates(self, name: str, line: Line, zones: ZonesOfLines) -> None:
        zone, unknown = zones.of(line)
        self.unknown_zone = self.unknown_zone or unknown
        for value in filter(None, (value.strip() for value in line[2].split(",", MAX_DATES + 1))):
            if name == "EXDATE":
                self.exdates.append(parse_when(value, zone))
            elif "/" in value:
                self.rdates.append(parse_period(value, zone))
            else:
                self.rdates.append((parse_when(value, zone), None))
            if len(self.rdates) + len(self.exdates) > MAX_DATES:
                self.unsure = True
                return

    # -- the recurrence set ----------------------------------------------------------------------------------

    @property
    def anchor(self) -> When | None:
        """What instances begin from: DTSTART, or DUE of a task without one."""
        return self.start or (self.end if self.kind == "VTODO" else None)

    @property
    def recurs(self) -> bool:
        """Whether it says that it does, and from when on."""
        return self.anchor is not None and bool(self.rules or self.rdates)

    def on_clock(self, when: When, floating: tzinfo) -> int | None:
        """A DATE or DATE-TIME in local seconds of this component's clock; None where a DATE meets times."""
        anchor = self.anchor
        if anchor is None:
            return None
        if anchor.is_date:
            return when.local - when.local % DAY
        if when.is_date:
            return None
        if when.zone is anchor.zone:
            return when.local
        return to_local(when.utc(floating), anchor.zone or floating)

    def starts(self, after: int, before: int, floating: tzinfo, budget: Budget) -> Iterator[Start]:
        """The recurrence set (RFC 5545 section 3.8.5): DTSTART, RRULEs and RDATEs without EXDATEs, ascending.

        From `after` on and before `before`, in local seconds. EXRULE, which the standard no longer has, is not
        followed. DTSTART is an instance even where its rule does not say so, and then none of those that COUNT
        counts. Raises OverBudget.
        """
        anchor = self.anchor
        if anchor is None:
            return
        budget.spend(len(self.rdates) + len(self.exdates))
        extra: dict[int, End | None] = {}
        for when, end in self.rdates:
            local = self._added(when, floating)
            if after <= local < before and extra.get(local) is None:
                extra[local] = end
        excluded = {self.on_clock(when, floating) for when in self.exdates}
        series: list[Iterator[int]] = [iter(sorted({*extra, anchor.local}))]
        series += [self._ruled(rule, anchor, after, before, floating, budget) for rule in self.rules]
        if anchor.is_date:  # what a rule says of the clock means nothing then (section 3.3.10)
            series = [(local - local % DAY for local in one) for one in series]
        for local in merged(series):
            if after <= local < before and local not in excluded:
                budget.spend()
                yield Start(local, extra.get(local))

    def _added(self, when: When, floating: tzinfo) -> int:
        local = self.on_clock(when, floating)
        return when.local if local is None else local

    def _ruled(
        self, rule: Rule, anchor: When, after: int, before: int, floating: tzinfo, budget: Budget
    ) -> Iterator[int]:
        until = rule.until
        if until is None:
            yield from rule_starts(rule, anchor.local, after, before, budget)
            return
        zone = anchor.zone or floating
        exact = until.zone is not None and not anchor.is_date
        if until.is_date or anchor.is_date:
            last = until.local - until.local % DAY + DAY - 1  # the whole of that day
        else:
            last = to_local(until.local, zone) + MARGIN if exact else until.local
        for local in rule_starts(rule, anchor.local, after, min(before, last + 1), budget):
            if exact and to_utc(local, zone) > until.local:
                return
            yield local

    # -- spans -----------------------------------------------------------------------------------------------

    @property
    def longest(self) -> int:
        """No instance's span ends later than this many seconds after its start, but those of PERIODs."""
        length = 0
        if self.duration is not None:
            length = abs(self.duration.days) * DAY + abs(self.duration.seconds)
        elif self.end is not None and self.start is not None:
            length = abs(self.end.local - self.start.local)
        return length + MARGIN

    def once(self, floating: tzinfo) -> Span | None:
        """The span of what does not recur; None where it takes up no time at all."""
        if self.anchor is not None:
            return self.span(Start(self.anchor.local), floating)
        if self.kind == "VTODO":
            return self._padded(_undated(self.completed, self.created, floating))
        return None

    def span(self, start: Start, floating: tzinfo, *, padded: bool = True) -> Span:
        """The span of an instance, by the table of its component; wider where its zone is unknown, if `padded`."""
        anchor = self.anchor
        assert anchor is not None, "only what has a start has instances"
        zone = anchor.zone or floating
        begin = to_utc(start.local, zone)
        end = self.end_of(start, floating)
        if self.kind == "VTODO":
            return self._padded(self._task(begin, end))
        if end is None or end <= begin:
            end = to_utc(start.local + DAY, zone) if anchor.is_date and self._takes_days(end) else begin + 1
        span = Span(begin, end)
        return self._padded(span) if padded else span

    def _takes_days(self, end: int | None) -> bool:
        """Whether a component with a DATE and no end after it takes that day: not one with DURATION:PT0S."""
        return end is None or self.duration is None

    def _task(self, begin: int, end: int | None) -> Span:
        if self.start is None:
            return Span(begin - 1, begin)  # DUE alone
        if end is None:
            return Span(begin, begin + 1)
        later = end + 1 if self.end is None else end  # with DURATION a range may begin at its very end
        return Span(min(begin, end - 1), max(later, begin + 1))

    def end_of(self, start: Start, floating: tzinfo) -> int | None:
        """When an instance ends, in seconds UTC: with DTEND or DUE after the same exact time, with DURATION nominal.

        RFC 5545 section 3.8.5.3. None where nothing says so.
        """
        anchor = self.anchor
        assert anchor is not None, "only what has a start has instances"
        zone = anchor.zone or floating
        if start.end is not None:
            return end_of_period(anchor._replace(local=start.local), start.end, floating)
        if self.start is None:
            return None
        if self.end is not None:
            if self.end.zone is None and self.start.zone is None:
                return to_utc(start.local + self.end.local - self.start.local, zone)
            exact = self.end.utc(floating) - self.start.utc(floating)
            return to_utc(start.local, zone) + exact
        return None if self.duration is None else self.duration.after(start.local, zone)

    def _padded(self, span: Span) -> Span:
        if not self.unknown_zone:
            return span
        start = None if span.start is None else span.start - UNKNOWN_ZONE_SECONDS
        return Span(start, None if span.end is None else span.end + UNKNOWN_ZONE_SECONDS)

    def window(self, within: TimeRange, shift: int = 0) -> tuple[int, int]:
        """Local starts, from and before, among which are all instances whose span may meet a range.

        `shift` is how far instances may lie from the starts, in seconds.
        """
        margin = MARGIN + abs(shift) + (UNKNOWN_ZONE_SECONDS if self.unknown_zone else 0)
        after = FIRST if within.start is None else within.start - margin - self._reach()
        return after, LAST + 1 if within.end is None else within.end + margin + self._lead()

    def _reach(self) -> int:
        """How long before a range the start of something that lasts into it may lie."""
        reach = self.longest
        for when, end in self.rdates:
            if isinstance(end, Duration):
                reach = max(reach, abs(end.days) * DAY + abs(end.seconds))
            elif end is not None:
                reach = max(reach, end.local - when.local + MARGIN)
        return reach

    def _lead(self) -> int:
        """How long after a range the start of something may lie that ends before it starts, as only the odd does."""
        own = self.end if self.end is not None else self.duration
        backward = [
            -end.nominal if isinstance(end, Duration) else when.local - end.local
            for when, end in ((self.start, own), *self.rdates)
            if when is not None and end is not None
        ]
        longest = max(backward, default=0)
        return longest + MARGIN if longest > 0 else 0


#: The properties that are read.
TIMES = frozenset(
    (
        "DTSTART",
        "DTEND",
        "DUE",
        "DURATION",
        "COMPLETED",
        "CREATED",
        "RECURRENCE-ID",
        "RRULE",
        "RDATE",
        "EXDATE",
    )
)


def end_of_period(begin: When, end: End, floating: tzinfo) -> int:
    """When a PERIOD ends, in seconds UTC."""
    return end.utc(floating) if isinstance(end, When) else end.after(begin.local, begin.zone or floating)


def _undated(completed: When | None, created: When | None, floating: tzinfo) -> Span:
    """A task with neither DTSTART nor DUE: the last four rows of its table."""
    done = None if completed is None else completed.utc(floating)
    made = None if created is None else created.utc(floating)
    if done is not None and made is not None:
        return Span(min(made, done) - 1, max(made, done) + 1)
    if done is not None:
        return Span(done - 1, done + 1)
    return ALWAYS if made is None else Span(made, None)
