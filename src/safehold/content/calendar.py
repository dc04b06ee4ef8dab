"""One calendar object resource: the instances of its components, and which of them take up a range of time.

RFC 4791 section 9.9. A question costs at most the steps of one budget (`content.budget`); where they are used up before
the answer is certain, or a component says something of its time that cannot be read, the answer is yes: a listing may
be too long, never too short. All questions to one object together cost at most OBJECT_STEPS, however many overrides it
has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import tzinfo
from functools import cached_property
from typing import NamedTuple

from safehold.content import alarms
from safehold.content.budget import STEPS, Budget, OverBudget
from safehold.content.lines import Component, Document, Line, parse, property_name
from safehold.content.timerange import Span, TimeRange
from safehold.content.times import DAY, BadTime, When, parse_period, parse_when, to_local, to_utc
from safehold.content.timing import UNKNOWN_ZONE_SECONDS, Start, Timing, end_of_period
from safehold.content.zones import Zones, zone_of_text
from safehold.model.kinds import COMPONENTS

__all__ = ["CalendarObject", "Instance", "effective_end_overlaps", "property_overlaps", "zone_of_text"]

#: What all questions to one object may cost together.
OBJECT_STEPS = 4 * STEPS


class Instance(NamedTuple):
    """One instance: whose properties it has, when it is, and which instance of the master's it is or replaces."""

    component: Component
    timing: Timing
    start: Start
    span: Span
    recurrence_id: When | None  # None where the object does not recur


class CalendarObject:
    """One parsed calendar object resource."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.component = ""
        self.master: Component | None = None
        self.overrides: list[Component] = []
        self.zones = Zones(document)
        self._timings: dict[int, Timing] = {}
        self._steps_left = OBJECT_STEPS
        self._replaced_for: tuple[tzinfo, _Replaced] | None = None
        for root in document.roots:
            for component in root.components:
                if component.name in COMPONENTS:
                    self._add(component)

    def _add(self, component: Component) -> None:
        self.component = self.component or component.name
        if self.master is None and not component.values("RECURRENCE-ID"):
            self.master = component
        else:
            self.overrides.append(component)

    @classmethod
    def parse(cls, body: bytes) -> CalendarObject:
        """Raises LineError."""
        return cls(parse(body))

    @cached_property
    def components(self) -> list[Component]:
        """The master and its overrides."""
        return self.overrides if self.master is None else [self.master, *self.overrides]

    def timing(self, component: Component) -> Timing:
        """What one of the object's components says of its time."""
        found = self._timings.get(id(component))
        if found is None:
            found = self._timings[id(component)] = Timing(component.name, component.lines, self.zones)
        return found

    @cached_property
    def recurs(self) -> bool:
        """Whether its instances are told apart by RECURRENCE-ID."""
        return bool(self.overrides) or (self.master is not None and self.timing(self.master).recurs)

    @cached_property
    def unsure(self) -> bool:
        """Whether any of its components says something of its time that cannot be read."""
        return any(self.timing(component).unsure for component in self.components)

    def overlaps(
        self, component: Component, within: TimeRange, floating: tzinfo, parent: Component | None = None
    ) -> bool:
        """Whether one component of the object takes up some of a range: RFC 4791 section 9.9.

        The master stands for its instances that no override replaces, an override for itself (and with
        RANGE=THISANDFUTURE for those that follow); VALARM with its parent; VFREEBUSY too. True where that is not
        certain. `floating` is the clock of floating times and of dates.
        """
        granted = min(STEPS, self._steps_left)
        budget = Budget(granted)
        try:
            if component.name == "VALARM":
                return parent is None or self._rings(component, parent, within, floating, budget)
            if component.name == "VFREEBUSY":
                return any(span.meets(within) for span in self.busy_spans(component, floating))
            if component.name not in COMPONENTS or self._is_unsure(component):
                return True
            return any(i.span.meets(within) for i in self.instances_of(component, within, floating, budget))
        except (OverBudget, BadTime):
            return True
        finally:
            self._steps_left -= granted - max(0, budget.left)

    def _is_unsure(self, component: Component) -> bool:
        """Whether it is not known when a component takes place. One that goes on rests on the master's rule."""
        timing = self.timing(component)
        return timing.unsure or (timing.this_and_future and self.unsure)

    def _rings(self, alarm: Component, parent: Component, within: TimeRange, floating: tzinfo, budget: Budget) -> bool:
        """Raises OverBudget, BadTime."""
        trigger = alarms.trigger_of(alarm, self.zones)
        if trigger.at is not None:
            return trigger.rings_at(trigger.at.utc(floating), within)
        if parent.name not in COMPONENTS or self._is_unsure(parent):
            return True
        if self.timing(parent).unknown_zone:
            within = within.widened(UNKNOWN_ZONE_SECONDS)
        wider = trigger.widened(within)
        return any(
            trigger.rings_at(anchor, within)
            for instance in self.instances_of(parent, wider, floating, budget)
            for anchor in trigger.anchors(instance.timing, instance.start, floating)
        )

    def busy_spans(self, component: Component, floating: tzinfo) -> list[Span]:
        """What a VFREEBUSY takes up. Raises BadTime."""
        times: dict[str, int] = {}
        periods: list[Span] = []
        for line in component.lines:
            name = property_name(line)
            zone, _ = self.zones.of(line) if name in ("DTSTART", "DTEND", "FREEBUSY") else (None, False)
            if name in ("DTSTART", "DTEND"):
                times.setdefault(name, parse_when(line[2], zone).utc(floating))
            elif name == "FREEBUSY":
                for value in filter(None, line[2].split(",")):
                    begin, end = parse_period(value, zone)
                    periods.append(Span(begin.utc(floating), end_of_period(begin, end, floating)))
        if "DTSTART" in times and "DTEND" in times:
            return [Span(times["DTSTART"], times["DTEND"] + 1)]
        return periods

    # -- instances -------------------------------------------------------------------------------------------

    def instances(self, within: TimeRange, floating: tzinfo, budget: Budget) -> Iterator[Instance]:
        """All instances of the object whose span meets a range, component by component. Raises OverBudget."""
        for component in self.components:
            for instance in self.instances_of(component, within, floating, budget):
                if instance.span.meets(within):
                    yield instance

    def instances_of(
        self, component: Component, within: TimeRange, floating: tzinfo, budget: Budget
    ) -> Iterator[Instance]:
        """The instances that a component stands for: at least those that meet a range. Raises OverBudget."""
        timing = self.timing(component)
        if component is self.master:
            yield from self._own_instances(timing, within, floating, budget)
            return
        span = timing.once(floating)
        if span is not None:
            start = Start(timing.anchor.local) if timing.anchor is not None else Start(0)
            yield Instance(component, timing, start, span, timing.recurrence_id)
        if timing.this_and_future:
            yield from self._following(component, timing, within, floating, budget)

    def _own_instances(self, timing: Timing, within: TimeRange, floating: tzinfo, budget: Budget) -> Iterator[Instance]:
        """Those of the master that no override replaces."""
        master, anchor = self.master, timing.anchor
        assert master is not None, "there is a master"
        if anchor is None:
            span = timing.once(floating)
            if span is not None:
                yield Instance(master, timing, Start(0), span, None)
            return
        recurs = self.recurs
        replaced, futures = self._replaced(timing, floating)
        after, before = timing.window(within)
        before = min([before, *futures[:1]])
        for start in timing.starts(after, before, floating, budget):
            if start.local not in replaced:
                id_ = When(start.local, anchor.zone, anchor.is_date) if recurs else None
                yield Instance(master, timing, start, timing.span(start, floating), id_)

    def _following(
        self, component: Component, timing: Timing, within: TimeRange, floating: tzinfo, budget: Budget
    ) -> Iterator[Instance]:
        """The later instances that an override with RANGE=THISANDFUTURE stands for (RFC 5545 section 3.2.13).

        They lie as far from their places as it lies from its own, up to the next such override.
        """
        if self.master is None or timing.recurrence_id is None or timing.anchor is None:
            return
        base = self.timing(self.master)
        anchor, own = base.anchor, base.on_clock(timing.recurrence_id, floating)
        if anchor is None or own is None:
            return
        replaced, futures = self._replaced(base, floating)
        moved = _Moved(own, anchor, timing.anchor, floating)
        after, before = timing.window(within, moved.distance)
        after = max(after, own + 1)
        following = bisect_right(futures, own)
        before = min([before, *futures[following : following + 1]])
        for original in base.starts(after, before, floating, budget):
            if original.local not in replaced:
                local = moved.local(original.local)
                start = Start(local - local % DAY if timing.anchor.is_date else local)
                id_ = When(original.local, anchor.zone, anchor.is_date)
                yield Instance(component, timing, start, timing.span(start, floating), id_)

    def _replaced(self, base: Timing, floating: tzinfo) -> _Replaced:
        """Instances of the master that overrides replace, by local start; and where those begin that go on for ever."""
        if self._replaced_for is None or self._replaced_for[0] is not floating:
            self._replaced_for = (floating, self._find_replaced(base, floating))
        return self._replaced_for[1]

    def _find_replaced(self, base: Timing, floating: tzinfo) -> _Replaced:
        replaced: set[int] = set()
        futures: list[int] = []
        for override in self.overrides:
            timing = self.timing(override)
            local = None if timing.recurrence_id is None else base.on_clock(timing.recurrence_id, floating)
            if local is not None:
                replaced.add(local)
                if timing.this_and_future:
                    futures.append(local)
        return replaced, sorted(futures)


_Replaced = tuple[set[int], list[int]]


class _Moved:
    """How an override with RANGE=THISANDFUTURE moves the instances that follow: by its clock where it has the same."""

    def __init__(self, own: int, base: When, anchor: When, floating: tzinfo) -> None:
        self._zone = base.zone or floating
        self._to = anchor.zone or floating
        self._same = base.zone is anchor.zone
        self.distance = anchor.local - own if self._same else anchor.utc(floating) - to_utc(own, self._zone)

    def local(self, original: int) -> int:
        """The start of what moves an instance, in local seconds of the override's clock."""
        if self._same:
            return original + self.distance
        return to_local(to_utc(original, self._zone) + self.distance, self._to)


def property_overlaps(line: Line, obj: CalendarObject, within: TimeRange, floating: tzinfo) -> bool:
    """A prop-filter's time-range: COMPLETED, CREATED, DTEND, DTSTART, DTSTAMP, DUE, LAST-MODIFIED and their kin.

    RFC 4791 section 9.9, its last part. True where the value cannot be read.
    """
    zone, unknown = obj.zones.of(line)
    try:
        moment = parse_when(line[2], zone).utc(floating)
    except BadTime:
        return True
    pad = UNKNOWN_ZONE_SECONDS if unknown else 0
    return Span(moment - pad, moment + 1 + pad).meets(within)


def effective_end_overlaps(component: Component, obj: CalendarObject, within: TimeRange, floating: tzinfo) -> bool:
    """A time-range on DTEND of an event, or DUE of a task, that has DTSTART and DURATION instead (section 9.9)."""
    timing = obj.timing(component)
    if timing.unsure:
        return True
    if timing.start is None or timing.end is not None or timing.duration is None:
        return False
    end = timing.end_of(Start(timing.start.local), floating)
    pad = UNKNOWN_ZONE_SECONDS if timing.unknown_zone else 0
    return end is not None and Span(end - pad, end + 1 + pad).meets(within)
