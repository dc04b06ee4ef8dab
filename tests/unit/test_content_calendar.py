"""Which components take up a range of time: the tables of RFC 4791 section 9.9, recurrence, alarms, hostile objects.

Long, as the tables of the standard are.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from safehold.content.budget import STEPS, Budget, OverBudget
from safehold.content.calendar import (
    OBJECT_STEPS,
    CalendarObject,
    effective_end_overlaps,
    property_overlaps,
)
from safehold.content.lines import Component, property_name
from safehold.content.timerange import TimeRange
from safehold.content.times import BadTime, Duration, parse_duration, parse_when, to_utc
from safehold.content.timing import Timing
from tests.support import corpus
from tests.support.calendars import BERLIN, objects, ranges

BERLIN_ZONE = ZoneInfo("Europe/Berlin")
needs_archives = pytest.mark.skipif(
    not corpus.archives(), reason=f"no source archives in {corpus.folder()}: bin/test fetches them"
)


def utc(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


def between(start: str, end: str) -> TimeRange:
    return TimeRange(utc(start), utc(end))


def calendar(*components: str, zones: str = "") -> CalendarObject:
    """One object; each component is its lines, separated by `|`, the first of which is its name."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", *zones.splitlines()]
    for component in components:
        name, *own = component.split("|")
        lines += [f"BEGIN:{name}", "UID:1", *own, f"END:{name}"]
    return CalendarObject.parse("\n".join([*lines, "END:VCALENDAR", ""]).encode())


def overlaps(component: str, start: str, end: str, zones: str = "") -> bool:
    obj = calendar(component, zones=zones)
    assert obj.master is not None
    return obj.overlaps(obj.master, between(start, end), UTC)


# -- the tables, to the letter -------------------------------------------------------------------------------


def event_row(p: dict[str, Any], start: int, end: int) -> bool:
    """RFC 4791 section 9.9, VEVENT; but what ends as it begins or before is taken as one without an end."""
    dtstart, day = p["DTSTART"], p["DAY"]
    if "DTEND" in p and p["DTEND"] > dtstart:
        return bool(start < p["DTEND"] and end > dtstart)
    if "DTEND" not in p and "DURATION" in p:
        if p["DURATION"] > 0:
            return bool(start < dtstart + p["DURATION"] and end > dtstart)
        return bool(start <= dtstart and end > dtstart)
    if day:
        return bool(start < dtstart + 86_400 and end > dtstart)
    return bool(start <= dtstart and end > dtstart)


def task_row(p: dict[str, Any], start: int, end: int) -> bool:
    """RFC 4791 section 9.9, VTODO."""
    dtstart, due, done, made = (p.get(name) for name in ("DTSTART", "DUE", "COMPLETED", "CREATED"))
    if dtstart is not None and "DURATION" in p and due is None:
        until = dtstart + p["DURATION"]
        return bool(start <= until and (end > dtstart or end >= until))
    if dtstart is not None and due is not None:
        return bool((start < due or start <= dtstart) and (end > dtstart or end >= due))
    if dtstart is not None:
        return bool(start <= dtstart and end > dtstart)
    if due is not None:
        return bool(start < due and end >= due)
    if done is not None and made is not None:
        return bool((start <= made or start <= done) and (end >= made or end >= done))
    if done is not None:
        return bool(start <= done and end >= done)
    return bool(end > made) if made is not None else True


def journal_row(p: dict[str, Any], start: int, end: int) -> bool:
    """RFC 4791 section 9.9, VJOURNAL."""
    dtstart = p.get("DTSTART")
    if dtstart is None:
        return False
    if p["DAY"]:
        return bool(start < dtstart + 86_400 and end > dtstart)
    return bool(start <= dtstart and end > dtstart)


ROWS = {"VEVENT": event_row, "VTODO": task_row, "VJOURNAL": journal_row}
_NOON = 1_780_315_200  # 2026-06-01T12:00:00Z
_offsets = st.sampled_from([-86_400, -43_200, -3600, -1, 0, 1, 3600, 43_200, 86_400, 2 * 86_400])


@st.composite
def single(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """A component that does not recur: its name, its lines, and its properties as numbers."""
    kind = draw(st.sampled_from(list(ROWS)))
    day = draw(st.booleans())
    numbers: dict[str, Any] = {"DAY": day}
    lines = []

    def put(name: str, moment: int, *, as_date: bool = False) -> None:
        when = datetime.fromtimestamp(moment, UTC)
        if as_date:
            when = when.replace(hour=0, minute=0, second=0)
        numbers[name] = int(when.timestamp())
        lines.append(f"{name};VALUE=DATE:{when:%Y%m%d}" if as_date else f"{name}:{when:%Y%m%dT%H%M%SZ}")

    if kind == "VEVENT" or draw(st.booleans()):
        put("DTSTART", _NOON, as_date=day)
    if kind == "VEVENT" and draw(st.booleans()):
        put("DTEND", _NOON + draw(_offsets), as_date=day)
    elif kind == "VTODO" and draw(st.booleans()):
        put("DUE", _NOON + draw(_offsets), as_date=day)
    elif kind != "VJOURNAL" and draw(st.booleans()):
        numbers["DURATION"] = draw(st.sampled_from([0, 1, 3600, 86_400, 200_000]))
        lines.append(f"DURATION:PT{numbers['DURATION']}S")
    if kind == "VTODO":
        for name in ("COMPLETED", "CREATED"):
            if draw(st.booleans()):
                put(name, _NOON + draw(_offsets))
    return kind, "|".join([kind, *lines]), numbers


@settings(max_examples=1000)
@given(single(), st.data())
def test_the_tables_of_the_standard(component: tuple[str, str, dict[str, Any]], data: st.DataObject) -> None:
    kind, text, numbers = component
    marks = [value for name, value in numbers.items() if name not in ("DAY", "DURATION")] or [_NOON]
    if "DTSTART" in numbers and "DURATION" in numbers:
        marks.append(numbers["DTSTART"] + numbers["DURATION"])
    near = st.builds(lambda mark, by: mark + by, st.sampled_from(marks), _offsets)
    start, end = sorted((data.draw(near), data.draw(near)))
    end += start == end
    obj = calendar(text)
    assert obj.master is not None
    found = obj.overlaps(obj.master, TimeRange(start, end), UTC)
    assert found == ROWS[kind](numbers, start, end)
    assert obj.overlaps(obj.master, TimeRange(start, None), UTC) == ROWS[kind](numbers, start, 10**12)
    assert obj.overlaps(obj.master, TimeRange(None, end), UTC) == ROWS[kind](numbers, -(10**12), end)


def test_dates_and_floating_times_are_those_of_the_zone_that_is_asked_for() -> None:
    for lines in ("DTSTART;VALUE=DATE:20260601", "DTSTART:20260601T000000|DURATION:P1D"):
        obj = calendar(f"VEVENT|{lines}")
        assert obj.master is not None
        for zone, first, last in (
            (UTC, "20260601T000000Z", "20260602T000000Z"),
            (BERLIN_ZONE, "20260531T220000Z", "20260601T220000Z"),
            (ZoneInfo("America/New_York"), "20260601T040000Z", "20260602T040000Z"),
        ):
            assert obj.overlaps(obj.master, TimeRange(None, utc(first) + 1), zone)
            assert not obj.overlaps(obj.master, TimeRange(None, utc(first)), zone)
            assert obj.overlaps(obj.master, TimeRange(utc(last) - 1, None), zone)
            assert not obj.overlaps(obj.master, TimeRange(utc(last), None), zone)


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days", "seconds"),
    [
        ("P15DT5H0M20S", 15, 18_020),
        ("P7W", 49, 0),
        ("-PT10M", 0, -600),
        ("+P1D", 1, 0),
        ("PT0S", 0, 0),
        ("p1dt1h", 1, 3600),
    ],
)
def test_durations(text: str, days: int, seconds: int) -> None:
    assert parse_duration(text) == Duration(days, seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "1D", "P1", "P1DT", "PT1", "P1Y", "P٣D", "P1D ago", "P9999999999D"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadTime):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260230",
        "00000101",
        "20261301",
        "20260101T",
        "20260101T250000",
        "20260101T126000",
        "2026-01-01",
        "٢٠٢٦٠١٠١",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadTime):
        parse_when(text)


def test_a_leap_second_is_the_second_before() -> None:
    assert parse_when("20161231T235960Z").local == utc("20161231T235959Z")
    assert parse_when("20161231T2359Z").local == utc("20161231T235900Z")


# -- recurrence ----------------------------------------------------------------------------------------------

DAILY = "VEVENT|DTSTART:20260601T100000Z|DURATION:PT1H|RRULE:FREQ=DAILY;COUNT=5"


def starts(obj: CalendarObject, start: str = "20260101T000000Z", end: str = "20270101T000000Z") -> list[str]:
    found = obj.instances(between(start, end), UTC, Budget(STEPS))
    return sorted(datetime.fromtimestamp(i.span.start or 0, UTC).strftime("%m%dT%H") for i in found)


def test_a_rule_with_more_and_fewer_dates() -> None:
    obj = calendar(DAILY + "|RDATE:20260610T120000Z,20260611T120000Z|EXDATE:20260602T100000Z|EXDATE:20260603T100000Z")
    assert starts(obj) == ["0601T10", "0604T10", "0605T10", "0610T12", "0611T12"]


def test_several_rules_are_one_set() -> None:
    obj = calendar(DAILY + "|RRULE:FREQ=DAILY;INTERVAL=2;COUNT=4")
    assert starts(obj) == ["0601T10", "0602T10", "0603T10", "0604T10", "0605T10", "0607T10"]


def test_exrule_which_is_no_more_leaves_nothing_out() -> None:
    assert starts(calendar(DAILY + "|EXRULE:FREQ=DAILY;INTERVAL=2")) == starts(calendar(DAILY))


def test_dtstart_is_an_instance_whatever_the_rule_says() -> None:
    obj = calendar("VEVENT|DTSTART:20260602T100000Z|RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2")
    assert starts(obj) == ["0602T10", "0608T10", "0615T10"]


def test_what_a_rule_says_of_the_clock_is_nothing_to_dates() -> None:
    for rule in ("FREQ=HOURLY;INTERVAL=7;UNTIL=20260603", "FREQ=DAILY;BYHOUR=5,6;COUNT=6"):
        obj = calendar(f"VEVENT|DTSTART;VALUE=DATE:20260601|RRULE:{rule}")
        assert starts(obj) == ["0601T00", "0602T00", "0603T00"]


def test_a_period_has_its_own_end() -> None:
    obj = calendar("VEVENT|DTSTART:20260601T100000Z|DURATION:PT1H|RDATE;VALUE=PERIOD:20260701T100000Z/P3D")
    assert obj.master is not None
    assert obj.overlaps(obj.master, between("20260704T095959Z", "20260704T100000Z"), UTC)
    assert not obj.overlaps(obj.master, between("20260704T100000Z", "20260704T110000Z"), UTC)


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20260603T100000Z", "0603T10"),
        ("20260603T095959Z", "0602T10"),
        ("20260603", "0603T10"),
        ("20260603T120000", "0603T10"),
    ],
)
def test_until(until: str, last: str) -> None:
    assert starts(calendar(f"VEVENT|DTSTART:20260601T100000Z|RRULE:FREQ=DAILY;UNTIL={until}"))[-1] == last


def test_until_in_utc_of_a_zone() -> None:
    rule = "RRULE:FREQ=DAILY;UNTIL=20260603T080000Z"
    obj = calendar(f"VEVENT|DTSTART;TZID=Europe/Berlin:20260601T100000|{rule}", zones=BERLIN)
    assert starts(obj) == ["0601T08", "0602T08", "0603T08"]
    obj = calendar(f"VEVENT|DTSTART;VALUE=DATE:20260601|{rule}")
    assert starts(obj) == ["0601T00", "0602T00", "0603T00"]


def test_the_same_hour_of_a_zone_through_the_year() -> None:
    obj = calendar("VEVENT|DTSTART;TZID=Europe/Berlin:20260320T100000|RRULE:FREQ=WEEKLY;COUNT=3", zones=BERLIN)
    assert starts(obj) == ["0320T09", "0327T09", "0403T08"]


def test_a_duration_of_a_day_is_a_day_of_the_calendar_and_an_end_is_exact() -> None:
    """RFC 5545 section 3.8.5.3, over the night of 25 October, which has one hour more."""
    start = "VEVENT|DTSTART;TZID=Europe/Berlin:20261023T120000|RRULE:FREQ=DAILY;COUNT=5"
    for end, hour in (("DURATION:P1D", 11), ("DTEND;TZID=Europe/Berlin:20261024T120000", 10)):
        obj = calendar(f"{start}|{end}", zones=BERLIN)
        found = obj.instances(between("20261001T000000Z", "20261101T000000Z"), UTC, Budget(STEPS))
        ends = [datetime.fromtimestamp(i.span.end or 0, UTC) for i in found]
        assert [one.hour for one in ends] == [10, hour, 11, 11, 11]


def test_an_override_stands_for_itself_and_not_for_what_it_replaces() -> None:
    moved = "VEVENT|RECURRENCE-ID:20260603T100000Z|DTSTART:20260620T100000Z|DURATION:PT1H"
    obj = calendar(DAILY, moved)
    assert obj.master is not None
    (override,) = obj.overrides
    third, later = between("20260603T000000Z", "20260604T000000Z"), between("20260620T000000Z", "20260621T000000Z")
    assert [obj.overlaps(c, third, UTC) for c in (obj.master, override)] == [False, False]
    assert [obj.overlaps(c, later, UTC) for c in (obj.master, override)] == [False, True]
    assert starts(obj) == ["0601T10", "0602T10", "0604T10", "0605T10", "0620T10"]


def test_an_override_names_its_instance_by_any_clock() -> None:
    for id_ in ("RECURRENCE-ID;TZID=Europe/Berlin:20260603T120000", "RECURRENCE-ID:20260603T100000Z"):
        obj = calendar(DAILY, f"VEVENT|{id_}|DTSTART:20260620T100000Z", zones=BERLIN)
        assert starts(obj) == ["0601T10", "0602T10", "0604T10", "0605T10", "0620T10"]


def test_an_override_for_this_and_what_follows() -> None:
    first = "VEVENT|RECURRENCE-ID;RANGE=THISANDFUTURE:20260602T100000Z|DTSTART:20260602T130000Z|DURATION:PT2H"
    then = "VEVENT|RECURRENCE-ID;RANGE=THISANDFUTURE:20260604T100000Z|DTSTART:20260605T090000Z|DURATION:PT1H"
    single_ = "VEVENT|RECURRENCE-ID:20260603T100000Z|DTSTART:20260603T200000Z"
    assert starts(calendar(DAILY, first)) == ["0601T10", "0602T13", "0603T13", "0604T13", "0605T13"]
    assert starts(calendar(DAILY, first, then, single_)) == ["0601T10", "0602T13", "0603T20", "0605T09", "0606T09"]
    obj = calendar(DAILY, first)
    assert obj.overlaps(obj.overrides[0], between("20260605T145959Z", "20260605T150000Z"), UTC)
    assert not obj.overlaps(obj.overrides[0], between("20260605T150000Z", "20260606T000000Z"), UTC)


def test_overrides_alone() -> None:
    obj = calendar("VEVENT|RECURRENCE-ID:20260603T100000Z|DTSTART:20260620T100000Z")
    assert obj.master is None
    assert starts(obj) == ["0620T10"]


def test_a_task_that_recurs_by_its_due_date() -> None:
    obj = calendar("VTODO|DUE:20260601T100000Z|RRULE:FREQ=DAILY;COUNT=3")
    assert obj.master is not None
    assert obj.overlaps(obj.master, between("20260603T090000Z", "20260603T100000Z"), UTC)
    assert not obj.overlaps(obj.master, between("20260603T100000Z", "20260604T000000Z"), UTC)


# -- the oracle ----------------------------------------------------------------------------------------------

#: Where recurring-ical-events finds other instances in its own and icalendar's test files, and why.
DIFFERENT = {
    "rfc5545-3.6.5-new-york": "it takes the zone's name, this the definition, which leaves summers out",
    "rfc5545-4-zoned": "the same",
    "issue_526": "it does not know the zone of its definition",
    "end_before_start": "it exchanges an end that lies before the start",
    "issue_132_swapped_start_and_end": "the same",
    "issue_117_until_before_dtstart": "it leaves out DTSTART where UNTIL lies before it",
    "issue_148_edge_case": "it leaves out an override whose instance an EXDATE takes away",
    "issue_86_x_wr_timezone": "it takes the zone of X-WR-TIMEZONE for floating times",
}


@needs_archives
def test_recurring_ical_events_finds_the_same_in_real_calendars() -> None:
    compared, different = 0, set()
    for name, body in corpus.load().events[:700]:
        obj = CalendarObject.parse(body)
        anchor = obj.timing(obj.components[0]).anchor
        if obj.unsure or anchor is None:
            continue
        for days in (-3, 200):
            start = anchor.utc(UTC) + days * 86_400
            wanted = _oracle(body, start, start + 120 * 86_400)
            if wanted is None:
                continue
            compared += 1
            if _starts_within(obj, start, start + 120 * 86_400) != wanted:
                different.add(name)
    assert compared > 1000
    assert {name for name in different if not any(known in name for known in DIFFERENT)} == set()


def _oracle(body: bytes, start: int, end: int) -> set[int] | None:
    """Starts of instances that begin within the range; None where it cannot tell."""
    low, high = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    try:
        found = recurring_ical_events.of(icalendar.Calendar.from_ical(body)).between(low, high)
    except Exception:
        return None
    moments = {_moment(one["DTSTART"].dt) for one in found if "DTSTART" in one}
    return {moment for moment in moments if start <= moment < end}


def _moment(value: date) -> int:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


def _starts_within(obj: CalendarObject, start: int, end: int) -> set[int]:
    found = set()
    for instance in obj.instances(TimeRange(start, end), UTC, Budget(10**6)):
        anchor = instance.timing.anchor
        if anchor is not None:
            found.add(to_utc(instance.start.local, anchor.zone or UTC))
    return {moment for moment in found if start <= moment < end}


_RULES = st.sampled_from(
    [
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=DAILY;COUNT=20",
        "FREQ=WEEKLY;BYDAY={day},{other}",
        "FREQ=WEEKLY;INTERVAL=2",
        "FREQ=MONTHLY",
        "FREQ=YEARLY",
        "FREQ=DAILY;UNTIL=20261101T120000Z",
    ]
)


@settings(max_examples=150)
@given(
    st.datetimes(datetime(2026, 9, 1), datetime(2026, 11, 30)).map(
        lambda at: at.replace(minute=0, second=0, microsecond=0)
    ),
    _RULES,
    st.lists(st.integers(0, 8), max_size=3, unique=True),
    st.lists(st.integers(0, 8), max_size=2, unique=True),
    st.sampled_from(["{:%Y%m%dT%H%M%SZ}", ";TZID=Europe/Berlin:{:%Y%m%dT%H%M%S}", ";VALUE=DATE:{:%Y%m%d}"]),
    st.integers(-10, 100),
)
def test_recurring_ical_events_finds_the_same(
    start: datetime, rule: str, left_out: list[int], moved: list[int], form: str, days: int
) -> None:
    assume("UNTIL" not in rule or start < datetime(2026, 11, 1))  # see DIFFERENT

    def line(name: str, moment: datetime) -> str:
        return name + (":" if form.startswith("{") else "") + form.format(moment)

    start = start.replace(hour=start.hour if start.hour >= 4 else 4)  # not in the hour that Berlin shows twice
    names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
    rule = rule.format(day=names[start.weekday()], other=names[(start.weekday() + 2) % 7])
    if "DATE" in form:
        rule = rule.replace("T120000Z", "")
    master = ["VEVENT", line("DTSTART", start), f"RRULE:{rule}"]
    step = 7 if "WEEKLY" in rule else 3
    master += [line("EXDATE", start + timedelta(days=step * number)) for number in left_out]
    overrides = []
    if "MONTHLY" not in rule and "YEARLY" not in rule and "INTERVAL=2" not in rule:
        for number in set(moved) - set(left_out):
            original = start + timedelta(days=step * number)
            overrides.append(
                "|".join(("VEVENT", line("RECURRENCE-ID", original), line("DTSTART", original + timedelta(days=1))))
            )
    obj = calendar("|".join(master), *overrides, zones=BERLIN)
    body = "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *BERLIN.splitlines()])
    for component in ("|".join(master), *overrides):
        name, *own = component.split("|")
        body += "\n" + "\n".join([f"BEGIN:{name}", "UID:1", *own, f"END:{name}"])
    low = int(start.replace(tzinfo=UTC).timestamp()) + days * 86_400
    wanted = _oracle((body + "\nEND:VCALENDAR\n").encode(), low, low + 60 * 86_400)
    assert wanted is not None
    assert _starts_within(obj, low, low + 60 * 86_400) == wanted


# -- alarms and free-busy ------------------------------------------------------------------------------------


def rings(parent: str, alarm: str, start: str, end: str) -> bool:
    name, *own = parent.split("|")
    obj = calendar("|".join([name, *own, "BEGIN:VALARM", *alarm.split("|"), "END:VALARM"]))
    assert obj.master is not None
    return obj.overlaps(obj.master.components[0], between(start, end), UTC, obj.master)


@pytest.mark.parametrize(
    ("parent", "alarm", "at"),
    [
        ("VEVENT|DTSTART:20260601T100000Z|DTEND:20260601T110000Z", "TRIGGER:-PT15M", "20260601T094500Z"),
        ("VEVENT|DTSTART:20260601T100000Z|DTEND:20260601T110000Z", "TRIGGER;RELATED=END:PT5M", "20260601T110500Z"),
        ("VEVENT|DTSTART:20260601T100000Z|DURATION:PT2H", "TRIGGER;RELATED=END:-PT5M", "20260601T115500Z"),
        ("VEVENT|DTSTART;VALUE=DATE:20260601", "TRIGGER;RELATED=END:-PT1H", "20260601T230000Z"),
        ("VEVENT|DTSTART:20260601T100000Z", "TRIGGER;VALUE=DATE-TIME:20260501T080000Z", "20260501T080000Z"),
        ("VEVENT|DTSTART:20260601T100000Z|RRULE:FREQ=DAILY", "TRIGGER:-P2D", "20260801T100000Z"),
        ("VEVENT|DTSTART:20260601T100000Z", "TRIGGER:-PT15M|REPEAT:3|DURATION:PT5M", "20260601T100000Z"),
        ("VTODO|DTSTART:20260601T100000Z|DUE:20260602T100000Z", "TRIGGER;RELATED=END:-PT1H", "20260602T090000Z"),
        ("VTODO|DUE;VALUE=DATE:20260106", "TRIGGER;RELATED=START:-PT10M", "20260106T235000Z"),
        ("VTODO|DUE:20260602T100000Z", "TRIGGER;RELATED=END:-PT10M", "20260602T095000Z"),
    ],
)
def test_when_an_alarm_rings(parent: str, alarm: str, at: str) -> None:
    second = datetime.strptime(at, "%Y%m%dT%H%M%SZ")
    one, next_ = (f"{moment:%Y%m%dT%H%M%SZ}" for moment in (second, second + timedelta(seconds=1)))
    assert rings(parent, alarm, one, next_)
    assert not rings(parent, alarm, next_, f"{second + timedelta(seconds=60):%Y%m%dT%H%M%SZ}")


def test_an_alarm_that_cannot_be_read_may_ring() -> None:
    for alarm in ("ACTION:AUDIO", "TRIGGER:soon", "TRIGGER:-PT5M|REPEAT:x|DURATION:PT1M"):
        assert rings("VEVENT|DTSTART:20260601T100000Z", alarm, "20100101T000000Z", "20100102T000000Z")


def test_the_alarms_of_the_standards_example() -> None:
    """RFC 4791 section 7.8.5: of the tasks of appendix B the alarm of the second one rings in this range."""
    within = between("20060106T100000Z", "20060107T100000Z")
    found = []
    for number in (4, 5):
        obj = CalendarObject.parse((corpus.RFC_FOLDER / f"rfc4791-b-abcd{number}.ics").read_bytes())
        assert obj.master is not None
        if obj.overlaps(obj.master.components[0], within, UTC, obj.master):
            found.append(number)
    assert found == [5]


def test_stored_free_busy() -> None:
    """RFC 4791 section 7.8.8 finds abcd8 by this range; the table's rows for VFREEBUSY."""
    obj = CalendarObject.parse((corpus.RFC_FOLDER / "rfc4791-b-abcd8.ics").read_bytes())
    component = obj.document.roots[0].components[0]
    assert obj.overlaps(component, between("20060102T000000Z", "20060103T000000Z"), UTC)
    assert obj.overlaps(component, between("20060108T000000Z", "20060109T000000Z"), UTC)  # start <= DTEND
    assert not obj.overlaps(component, between("20060109T000000Z", "20060110T000000Z"), UTC)
    bare = calendar("VFREEBUSY|FREEBUSY:20260601T100000Z/PT1H,20260602T100000Z/20260602T110000Z")
    component = bare.document.roots[0].components[0]
    assert bare.overlaps(component, between("20260602T105959Z", "20260602T120000Z"), UTC)
    assert not bare.overlaps(component, between("20260601T110000Z", "20260602T100000Z"), UTC)
    nothing = calendar("VFREEBUSY|DTSTART:20260601T100000Z")
    assert not nothing.overlaps(nothing.document.roots[0].components[0], TimeRange(None, None), UTC)


# -- properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "zone", "moment"),
    [
        ("DTSTAMP:20260601T100000Z", UTC, "20260601T100000Z"),
        ("DTSTART;TZID=Europe/Berlin:20260601T100000", UTC, "20260601T080000Z"),
        ("DUE;VALUE=DATE:20260601", BERLIN_ZONE, "20260531T220000Z"),
        ("LAST-MODIFIED:20260601T100000", BERLIN_ZONE, "20260601T080000Z"),
    ],
)
def test_properties(line: str, zone: Any, moment: str) -> None:
    obj = calendar(f"VTODO|{line}", zones=BERLIN)
    assert obj.master is not None
    (own,) = (one for one in obj.master.lines if property_name(one) == line.partition(":")[0].partition(";")[0])
    at = utc(moment)
    assert property_overlaps(own, obj, TimeRange(at, at + 1), zone)
    assert not property_overlaps(own, obj, TimeRange(at + 1, None), zone)
    assert not property_overlaps(own, obj, TimeRange(None, at), zone)


def test_a_property_that_cannot_be_read_may_match() -> None:
    obj = calendar("VTODO|COMPLETED:yes")
    assert obj.master is not None
    assert property_overlaps(obj.master.lines[1], obj, TimeRange(0, 1), UTC)


def test_the_end_that_a_duration_gives() -> None:
    obj = calendar("VEVENT|DTSTART:20260601T100000Z|DURATION:PT1H")
    assert obj.master is not None
    assert effective_end_overlaps(obj.master, obj, between("20260601T110000Z", "20260601T110001Z"), UTC)
    assert not effective_end_overlaps(obj.master, obj, between("20260601T100000Z", "20260601T110000Z"), UTC)
    with_end = calendar("VEVENT|DTSTART:20260601T100000Z|DTEND:20260601T110000Z")
    assert with_end.master is not None
    assert not effective_end_overlaps(with_end.master, with_end, TimeRange(None, None), UTC)


# -- hostile objects -----------------------------------------------------------------------------------------

HOSTILE = [
    "DTSTART:00010101T000000|RRULE:FREQ=SECONDLY;UNTIL=99991231T235959",
    "DTSTART:19700101T000000Z|RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    "DTSTART:00010101T000000Z|RRULE:FREQ=YEARLY;COUNT=999999999;BYMONTH=2;BYMONTHDAY=29",
    "DTSTART:99991231T235959Z|DURATION:P999999999W|RRULE:FREQ=DAILY",
    "DTSTART:00010101|DURATION:-P999999999W",
    "DTSTART:20260101T000000Z|DURATION:P999999D|RRULE:FREQ=MINUTELY",
    "DTSTART:20260101T000000Z|" + "|".join(["RRULE:FREQ=SECONDLY"] * 50),
    "DTSTART:20260101T000000Z|EXDATE:" + ",".join(["20260101T000000Z"] * 20_000) + "|RRULE:FREQ=DAILY",
    "DTSTART:20260101T000000Z|RDATE:" + ",".join(["20260101T000000Z"] * 20_000),
    "DTSTART:20260101T000000Z|RDATE;VALUE=PERIOD:20260101T000000Z/P999999999D|RRULE:FREQ=SECONDLY;UNTIL=20260101T010000Z",
]


@pytest.mark.parametrize("lines", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(
    "within",
    [
        between("20260601T000000Z", "20260701T000000Z"),
        TimeRange(None, None),
        TimeRange(10**11, None),
        TimeRange(None, -(10**10)),
    ],
    ids=["month", "all", "after", "before"],
)
def test_a_hostile_object_costs_a_bounded_number_of_steps(lines: str, within: TimeRange) -> None:
    obj = calendar(
        f"VEVENT|{lines}", "VEVENT|RECURRENCE-ID;RANGE=THISANDFUTURE:20260201T000000Z|DTSTART:20260301T000000Z"
    )
    budget = Budget(STEPS)
    try:
        count = sum(1 for _ in obj.instances(within, BERLIN_ZONE, budget))
    except OverBudget:
        count = STEPS
    assert count <= STEPS
    assert budget.left >= -STEPS
    for component in obj.components:
        assert obj.overlaps(component, within, BERLIN_ZONE) in (True, False)


def test_what_overrides_cost_grows_with_their_number_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that moves what follows it rests on all the others."""
    count = 200
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(count)]
    obj = calendar(
        "VEVENT|DTSTART:20260101T000000Z|RRULE:FREQ=DAILY",
        *(
            f"VEVENT|RECURRENCE-ID;RANGE=THISANDFUTURE:{day:%Y%m%d}T000000Z|DTSTART:{day:%Y%m%d}T010000Z"
            for day in days
        ),
    )
    looks = 0
    timing = CalendarObject.timing

    def counted(obj: CalendarObject, component: Component) -> Timing:
        nonlocal looks
        looks += 1
        return timing(obj, component)

    monkeypatch.setattr(CalendarObject, "timing", counted)
    within = between("20300101T000000Z", "20300102T000000Z")
    assert [c for c in obj.components if obj.overlaps(c, within, UTC)] == obj.components[-1:]
    assert looks < 20 * count


def test_all_questions_to_one_object_share_its_steps() -> None:
    obj = calendar("VEVENT|DTSTART:20260101T000000Z|RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
    assert obj.master is not None
    month = between("20260601T000000Z", "20260701T000000Z")
    assert not obj.overlaps(obj.master, month, UTC)
    for _ in range(OBJECT_STEPS // STEPS):
        assert obj.overlaps(obj.master, TimeRange(month.end, None), UTC)
    # Nothing is left for another question, however small, and so the answer to any is yes.
    assert obj.overlaps(obj.master, month, UTC)


def test_where_the_budget_is_used_up_it_may_match() -> None:
    obj = calendar("VEVENT|DTSTART:00010101T000000|RRULE:FREQ=MONTHLY;COUNT=99999;BYMONTHDAY=30,31;BYMONTH=2")
    assert obj.master is not None
    assert obj.overlaps(obj.master, between("20260601T000000Z", "20260701T000000Z"), UTC)


@settings(max_examples=300)
@given(objects(), ranges())
def test_a_wider_range_holds_what_a_narrower_one_does(body: bytes, within: TimeRange) -> None:
    obj = CalendarObject.parse(body)
    for component in obj.components:
        if obj.overlaps(component, within, BERLIN_ZONE):
            assert obj.overlaps(component, TimeRange(within.start, None), BERLIN_ZONE)
            assert obj.overlaps(component, TimeRange(None, within.end), BERLIN_ZONE)


@pytest.mark.parametrize(
    "task",
    [
        "VTODO|DTSTART:20281101T180000Z|RDATE;VALUE=PERIOD:20281106T180000Z/20261231T000000Z",
        "VTODO|DTSTART:20281101T180000Z|DUE:20261231T000000Z|RRULE:FREQ=YEARLY;COUNT=2",
    ],
)
def test_an_instance_of_a_task_may_end_long_before_it_starts(task: str) -> None:
    """RFC 4791 section 9.9 takes DUE and DTSTART in either order."""
    assert overlaps(task, "20270101T000000Z", "20270201T000000Z")
    assert not overlaps(task, "20250101T000000Z", "20250201T000000Z")
