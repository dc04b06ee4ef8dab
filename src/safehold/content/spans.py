"""The occurrence index of one collection at one moment: which items may, or surely do, take up a range of time.

Of an item that occurs once the index knows its span, of one that recurs two sets of days within a window of some
years: the days on which an instance surely begins, and those that one may touch. So a range is answered without a
look at the bodies, but for instances at its very edges and for times outside of the window.

Times with a zone lie on the axis of UTC. Floating times and dates lie on a local axis, to which a range is brought by
the zone that the query names: to one second where its clock does not change nearby, else to the hour that is in doubt.
What the index cannot tell, for whatever reason, is `maybe`; nothing that matches is ever left out.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from datetime import UTC, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from safehold.content.budget import Budget, OverBudget
from safehold.content.calendar import CalendarObject
from safehold.content.glance import timing_at_a_glance
from safehold.content.lines import LineError
from safehold.content.recurrence import Rule
from safehold.content.timerange import Span, TimeRange
from safehold.content.times import DAY, Duration, When, to_local
from safehold.content.timing import MARGIN, Timing
from safehold.content.zones import DefinedZone

#: Without bound, in seconds; no date is as far away.
NEVER = 1 << 60
#: The window of days: from so long before the moment for which it is made, to so long after it.
DAYS_BEFORE = 2 * 366
DAYS_AFTER = 3 * 366
#: Spans up to this length are found by their start; longer ones are looked at one by one.
SHORT_SECONDS = 2 * DAY
#: Work to find the days of one item; what needs more is looked at whenever it is asked for.
ENTRY_STEPS = 20_000
#: An instance that touches more days than this is not kept by days.
MOST_DAYS = 400
#: Days before and after a window whose instances may touch it, by their length and by the offset of their zone.
_PAD_BEFORE = MOST_DAYS + 3
_PAD_AFTER = 3


class Candidates(NamedTuple):
    """Names of items of which a component of the kind asked for overlaps the range."""

    sure: list[str]  # certainly
    maybe: list[str]  # the body has to be looked at with `CalendarObject.overlaps`


class Window(NamedTuple):
    """A row of days, as days since 1970."""

    first: int
    days: int

    @property
    def start(self) -> int:
        """In seconds."""
        return self.first * DAY

    @property
    def end(self) -> int:
        return (self.first + self.days) * DAY

    def mask(self, first: int, last: int) -> int:
        """The days from `first` to before `last`, as bits."""
        low, high = max(first - self.first, 0), min(last - self.first, self.days)
        return ((1 << high) - (1 << low)) if high > low else 0


def window_around(moment: int) -> Window:
    """The window for queries about the time around a moment, in seconds."""
    return Window(moment // DAY - DAYS_BEFORE, DAYS_BEFORE + DAYS_AFTER)


class Entry(NamedTuple):
    """What is known of one item.

    `begins` and `touches` are bits of the window's days; None where `start` and `end` are its one span. `unknown`: the
    body has to be looked at.
    """

    component: str  # "" where not even that is known
    local: bool = False  # on the local axis
    start: int = -NEVER  # no span begins before
    end: int = NEVER  # no span ends after
    begins: int | None = None
    touches: int = 0
    unknown: bool = False
    reread: bool = False  # depends on the window


UNKNOWN = Entry("", unknown=True)


def entry_of(body: bytes, window: Window) -> Entry:
    """What the index knows of a body."""
    timing = timing_at_a_glance(body)
    if timing is not None and timing.recurrence_id is None:
        return _entry_of_timing(timing, window) or _entry_of_object(body, window)
    return _entry_of_object(body, window)


def _entry_of_timing(timing: Timing, window: Window) -> Entry | None:
    """Of an object with one component; None where its instances have to be gone through."""
    unknown = Entry(timing.kind, unknown=True)
    if timing.unsure:
        return unknown
    local = _axis(timing)
    if local is None:
        return unknown
    if not timing.recurs and not timing.exdates:
        span = timing.once(UTC)
        if span is None:
            return Entry(timing.kind, local, NEVER, -NEVER)  # takes up no time
        return Entry(timing.kind, local, *_bounds(span))
    return _entry_of_days(timing, local, window)


def _entry_of_object(body: bytes, window: Window) -> Entry:
    """By going through all instances within the window."""
    try:
        obj = CalendarObject.parse(body)
    except LineError:
        return UNKNOWN
    unknown = Entry(obj.component, unknown=True)
    components = obj.components
    axes = {_axis(obj.timing(component)) for component in components}
    kinds = {component.name for component in components}
    if obj.unsure or len(axes) != 1 or None in axes or len(kinds) != 1:
        return Entry("", unknown=True) if len(kinds) > 1 else unknown
    (local,) = axes
    budget = Budget(ENTRY_STEPS)
    begins = touches = 0
    try:
        for instance in obj.instances(TimeRange(window.start, window.end), UTC, budget):
            start, end = _bounds(instance.span)
            first, last = start // DAY, (end - 1) // DAY
            begins |= window.mask(first, first + 1)
            touches |= window.mask(first, last + 1)
        early = next(obj.instances(TimeRange(None, window.start), UTC, budget), None) is not None
        late = next(obj.instances(TimeRange(window.end, None), UTC, budget), None) is not None
    except OverBudget:
        return unknown
    start = -NEVER if early else window.start
    return Entry(obj.component, local is True, start, NEVER if late else window.end, begins, touches, reread=True)


def _bounds(span: Span) -> tuple[int, int]:
    return -NEVER if span.start is None else span.start, NEVER if span.end is None else span.end


def _axis(timing: Timing) -> bool | None:
    """Whether all that a component says lies on the local axis, or (False) in UTC; None where it lies on both.

    A duration that does not end with whole days, and lasts one or more, lasts by another clock than the local one.
    """
    if timing.unknown_zone and timing.anchor is not None and timing.anchor.zone is None:
        return None
    anchor = timing.anchor
    told = [timing.start, timing.end, *timing.exdates] if anchor else [timing.completed, timing.created]
    told += [when for when, _ in timing.rdates]
    told += [end for _, end in timing.rdates if isinstance(end, When)]
    if anchor is None or not anchor.is_date:
        told += [rule.until for rule in timing.rules if rule.until is not None and rule.until.zone is not None]
    if timing.recurrence_id is not None:
        told.append(timing.recurrence_id)
    zones = {when.zone is None for when in told if when is not None}
    if len(zones) > 1:
        return None
    local = zones == {True}
    durations = [timing.duration, *(end for _, end in timing.rdates if isinstance(end, Duration))]
    if local and any(one is not None and one.seconds and abs(one.nominal) >= DAY for one in durations):
        return None
    return local


# -- days by arithmetic --------------------------------------------------------------------------------------


def _entry_of_days(timing: Timing, local: bool, window: Window) -> Entry | None:
    """Of a daily or weekly rule that nothing narrows: its days are a pattern that repeats. None for any other."""
    start = timing.start
    if start is None or len(timing.rules) != 1 or timing.rdates or timing.unknown_zone:
        return None
    until = timing.rules[0].until
    if until is not None and until.local < start.local:
        return None  # DTSTART is an instance all the same
    length = _length(timing, start)
    wide = Window(window.first - _PAD_BEFORE, window.days + _PAD_BEFORE + _PAD_AFTER)
    days = _pattern(timing.rules[0], start, wide)
    if days is None or length is None:
        return None
    low, high = (0, 0) if start.zone is None else _offsets(start.zone, window)
    clock = start.local % DAY
    # The days, counted from the local one, on which an instance begins in UTC, and the last that it touches.
    first, last = (clock - high) // DAY, (clock - low) // DAY
    reach = (clock - low + length - 1 + (high - low)) // DAY
    if reach - first > MOST_DAYS:
        return None
    end = NEVER if until is None else until.local + 2 * MARGIN + length
    touches = 0
    for shift in range(first, reach + 1):
        touches |= _shifted(days, shift - _PAD_BEFORE)
    begins = _shifted(days, first - _PAD_BEFORE) if first == last else 0
    for when in timing.exdates:
        begins &= ~window.mask(when.local // DAY - 2, when.local // DAY + 3)
    if until is not None:
        sure_end = until.local // DAY - 2
        begins &= window.mask(window.first, sure_end)
        touches &= window.mask(window.first, end // DAY + 1)
    full = (1 << window.days) - 1
    return Entry(timing.kind, local, start.local - MARGIN, end, begins & full, touches & full, reread=True)


def _pattern(rule: Rule, start: When, window: Window) -> int | None:
    """The local days on which instances begin, as bits of a window. None where they are no such pattern."""
    narrowed = rule.by_month or rule.by_week or rule.by_year_day or rule.by_month_day or rule.by_position
    if rule.freq not in ("DAILY", "WEEKLY") or rule.times is not None or narrowed:
        return None
    if rule.by_hour or rule.by_minute or rule.by_second or (rule.freq == "DAILY" and rule.by_day):
        return None
    day = start.local // DAY
    if rule.freq == "DAILY":
        period, first, pattern = rule.interval, day, 1
    else:
        weekday = (day + 3) % 7
        period, first = 7 * rule.interval, day - (weekday - rule.wkst) % 7
        pattern = 0
        for other in {one for _, one in rule.by_day} or {weekday}:
            pattern |= 1 << (other - rule.wkst) % 7
    if period > window.days:
        return None
    # From the last period that begins before the window, but not before the first of all.
    skipped = max(0, (window.first - first) // period)
    ahead = first + skipped * period - window.first
    if ahead > window.days:
        return 0
    days = _shifted(_repeated(period, window.days) * pattern, ahead)
    days &= ~((1 << max(0, day - window.first)) - 1)
    return days | window.mask(day, day + 1)


@lru_cache(maxsize=64)
def _repeated(period: int, count: int) -> int:
    """A bit each `period` days, over `count` days and one period more."""
    return sum(1 << day for day in range(0, count + period, period))


def _shifted(days: int, by: int) -> int:
    return days << by if by >= 0 else days >> -by


def _length(timing: Timing, start: When) -> int | None:
    """How long the span of an instance is, in seconds; None where it is not clear that it begins with the instance."""
    length = 0
    if timing.end is not None:
        length = timing.end.utc(UTC) - start.utc(UTC)
    elif timing.duration is not None:
        length = timing.duration.nominal
    if length <= 0:
        if timing.kind == "VTODO" and (timing.end is not None or timing.duration is not None):
            return None
        return DAY if start.is_date else 1
    return length + 1


@lru_cache(maxsize=256)
def _offsets(zone: tzinfo, window: Window) -> tuple[int, int]:
    """The least and greatest offset of a zone within a window, in seconds: looked at every third day."""
    moments = range(window.start - _PAD_BEFORE * DAY, window.end + _PAD_AFTER * DAY, 3 * DAY)
    return _offsets_at(moments, zone)


def _offsets_at(moments: range, zone: tzinfo) -> tuple[int, int]:
    """The least and greatest offset of a zone near these moments; of one that a client defined, its extremes."""
    if isinstance(zone, DefinedZone):
        own = (zone.least_offset, zone.greatest_offset)
        if zone.outside is None:
            return own
        outside = _offsets_at(moments, zone.outside)
        return min(own[0], outside[0]), max(own[1], outside[1])
    if not isinstance(zone, (ZoneInfo, timezone)):
        return -DAY, DAY
    found = [to_local(moment, zone) - moment for moment in moments]
    return min(found), max(found)


# -- the index -----------------------------------------------------------------------------------------------


class _Range(NamedTuple):
    """A range on one axis: what does not meet the outer one is out, what meets the inner one is in."""

    outer_start: int
    outer_end: int
    inner_start: int
    inner_end: int


class _Table(NamedTuple):
    """The entries of one component on one axis."""

    short: list[tuple[int, int, str]]  # (start, end, name), by start
    long: dict[str, Entry]
    recurring: dict[str, Entry]


class Spans:
    """Immutable: the occurrence index of the collection `id` as it was at `rev` and `head`."""

    def __init__(self, id_: bytes, rev: int, head: bytes, window: Window, entries: Mapping[str, Entry]) -> None:
        self.id = id_
        self.rev = rev
        self.head = head
        self.window = window
        self._entries = dict(entries)
        self._unknown: dict[str, str] = {}
        self._tables: dict[tuple[str, bool], _Table] = {}
        for name, entry in self._entries.items():
            self._enter(name, entry, sorted_=False)
        for table in self._tables.values():
            table.short.sort()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def names_by_window(self) -> list[str]:
        """Items whose entry is good for this window only."""
        return [name for name, entry in self._entries.items() if entry.reread]

    def _enter(self, name: str, entry: Entry, *, sorted_: bool) -> None:
        if entry.unknown:
            self._unknown[name] = entry.component
            return
        key = (entry.component, entry.local)
        table = self._tables.setdefault(key, _Table([], {}, {}))
        if entry.begins is not None:
            table.recurring[name] = entry
        elif entry.end - entry.start > SHORT_SECONDS:
            table.long[name] = entry
        elif entry.end > entry.start and sorted_:
            insort(table.short, (entry.start, entry.end, name))
        elif entry.end > entry.start:
            table.short.append((entry.start, entry.end, name))

    def _leave(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        if entry.unknown:
            del self._unknown[name]
            return
        table = self._tables[entry.component, entry.local]
        table.recurring.pop(name, None)
        table.long.pop(name, None)
        row = (entry.start, entry.end, name)
        at = bisect_left(table.short, row)
        if at < len(table.short) and table.short[at] == row:
            del table.short[at]

    def advanced(self, rev: int, head: bytes, changes: Mapping[str, Entry | None]) -> Spans:
        """The index at a later moment, with these entries in place of the old ones; None where an item is gone."""
        if len(changes) > len(self._entries) // 8:
            entries = {**self._entries, **changes}
            kept = {name: entry for name, entry in entries.items() if entry is not None}
            return Spans(self.id, rev, head, self.window, kept)
        new = Spans(self.id, rev, head, self.window, {})
        new._entries = self._entries.copy()
        new._unknown = self._unknown.copy()
        new._tables = {
            key: _Table(t.short.copy(), t.long.copy(), t.recurring.copy()) for key, t in self._tables.items()
        }
        for name, entry in changes.items():
            new._leave(name)
            if entry is not None:
                new._entries[name] = entry
                new._enter(name, entry, sorted_=True)
        return new

    def moved(self, window: Window, entries: Mapping[str, Entry]) -> Spans:
        """The index with another window, for which these are the entries of `names_by_window`."""
        return Spans(self.id, self.rev, self.head, window, {**self._entries, **entries})

    def candidates(self, component: str, within: TimeRange, floating: tzinfo) -> Candidates:
        """The items that have a component of this name (VEVENT, VTODO, VJOURNAL) which overlaps a range.

        Never leaves out a name that matches. Of other components nothing is known, so all items may have one.
        """
        if component not in ("VEVENT", "VTODO", "VJOURNAL"):
            return Candidates([], list(self._entries))
        found = Candidates([], [name for name, kind in self._unknown.items() if kind in ("", component)])
        for local in (False, True):
            table = self._tables.get((component, local))
            if table is not None:
                asked = _local_range(within, floating) if local else _utc_range(within)
                _look_up(table, asked, self.window, found)
        return found


def _look_up(table: _Table, asked: _Range, window: Window, found: Candidates) -> None:
    low, high, inner_low, inner_high = asked
    if low >= high:
        return
    short = table.short
    for start, end, name in short[bisect_left(short, (low - SHORT_SECONDS,)) : bisect_left(short, (high,))]:
        if end > low:
            (found.sure if start < inner_high and end > inner_low else found.maybe).append(name)
    for name, entry in table.long.items():
        if entry.start < high and entry.end > low:
            (found.sure if entry.start < inner_high and entry.end > inner_low else found.maybe).append(name)
    inside = window.mask(-(-inner_low // DAY), inner_high // DAY)
    around = window.mask(low // DAY, -(-high // DAY))
    before, after = low < window.start, high > window.end
    for name, entry in table.recurring.items():
        if entry.start >= high or entry.end <= low:
            continue
        assert entry.begins is not None, "it recurs"
        if entry.begins & inside:
            found.sure.append(name)
        elif entry.touches & around or (before and entry.start < window.start) or (after and entry.end > window.end):
            found.maybe.append(name)


def _utc_range(within: TimeRange) -> _Range:
    start = -NEVER if within.start is None else within.start
    end = NEVER if within.end is None else within.end
    return _Range(start, end, start, end)


def _local_range(within: TimeRange, floating: tzinfo) -> _Range:
    """A range on the local axis of a zone: its outer bounds by the one, its inner by the other offset that is near."""
    low = inner_low = -NEVER
    high = inner_high = NEVER
    if within.start is not None:
        least, greatest = _offsets_near(within.start, floating)
        low, inner_low = within.start + least, within.start + greatest
    if within.end is not None:
        least, greatest = _offsets_near(within.end, floating)
        high, inner_high = within.end + greatest, within.end + least
    return _Range(low, high, inner_low, inner_high)


def _offsets_near(moment: int, zone: tzinfo) -> tuple[int, int]:
    """The least and greatest offset of a zone within two days of a moment."""
    return _offsets_at(range(moment - 2 * DAY, moment + 2 * DAY + 1, DAY), zone)
