"""expand, limit-recurrence-set and limit-freebusy-set: the standard's examples, and what has to stay as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from safehold.content import expand
from safehold.content.budget import Budget
from safehold.content.calendar import CalendarObject
from safehold.content.expand import WITHIN_LIMITS, TooManyInstances, expanded, limited, without_busy_outside
from safehold.content.lines import LineError, parse, property_name
from safehold.content.raw import raw_components
from safehold.content.timerange import TimeRange
from tests.support import corpus
from tests.support.calendars import BERLIN, objects, ranges

BERLIN_ZONE = ZoneInfo("Europe/Berlin")


def utc(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())


def between(start: str, end: str) -> TimeRange:
    return TimeRange(utc(start), utc(end))


def example(number: int) -> bytes:
    return (corpus.RFC_FOLDER / f"rfc4791-b-abcd{number}.ics").read_bytes()


def body(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in ("BEGIN:VCALENDAR", "VERSION:2.0", *lines, "END:VCALENDAR")).encode()


def event(*lines: str) -> list[str]:
    return ["BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT"]


TWO_DAYS = between("20060103T000000Z", "20060105T000000Z")


# -- expand --------------------------------------------------------------------------------------------------


def test_the_standards_example_of_expansion() -> None:
    """RFC 4791 section 7.8.3, with the Z that its erratum puts to the times."""
    assert expanded(example(2), TWO_DAYS, UTC) == body(
        "PRODID:-//Example Corp.//CalDAV Client//EN",
        "BEGIN:VEVENT",
        "DTSTAMP:20060206T001121Z",
        "DTSTART:20060103T170000Z",
        "RECURRENCE-ID:20060103T170000Z",
        "DURATION:PT1H",
        "SUMMARY:Event #2",
        "UID:00959BC664CA650E933C892C@example.com",
        "END:VEVENT",
        "BEGIN:VEVENT",
        "DTSTAMP:20060206T001121Z",
        "DTSTART:20060104T190000Z",
        "DURATION:PT1H",
        "RECURRENCE-ID:20060104T170000Z",
        "SUMMARY:Event #2 bis",
        "UID:00959BC664CA650E933C892C@example.com",
        "END:VEVENT",
    )
    third = expanded(example(3), TWO_DAYS, UTC)
    assert b"\r\nDTSTART:20060104T150000Z\r\n" in third
    assert b"RECURRENCE-ID" not in third
    assert b"VTIMEZONE" not in third
    assert b"X-ABC-GUID:E1CX5Dr-0007ym-Hz@example.com" in third


def test_what_has_not_to_change_stays_byte_for_byte() -> None:
    lines = (
        b'description;ALTREP="cid:x":a line that is folded at a place where nobody else would do it,\r\n'
        b"  and once\r\n\t more; \xc3\xa9\r\n"
    )
    alarm = b"BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\n"
    once = body(*event("DTSTART:20260601T100000Z")).replace(b"END:VEVENT", lines + alarm + b"END:VEVENT")
    assert expanded(once, between("20260601T000000Z", "20260602T000000Z"), UTC) == once
    daily = once.replace(b"T100000Z\r\n", b"T100000Z\r\nRRULE:FREQ=DAILY;COUNT=2\r\nEXDATE:20270101T000000Z\r\n")
    found = expanded(daily, between("20260601T000000Z", "20260603T000000Z"), UTC)
    assert found.count(lines + alarm) == 2
    assert b"RRULE" not in found
    assert b"EXDATE" not in found


def test_an_object_that_does_not_recur_is_whole_outside_of_the_range() -> None:
    assert expanded(example(3), between("20300101T000000Z", "20300102T000000Z"), UTC).count(b"BEGIN:VEVENT") == 1


def test_each_instance_has_its_own_start_end_and_id() -> None:
    data = body(
        *BERLIN.splitlines(),
        *event(
            "DTSTART;TZID=Europe/Berlin:20261024T120000",
            "DTEND;TZID=Europe/Berlin:20261024T133000",
            "RRULE:FREQ=DAILY;COUNT=2",
            "X-SEEN;TZID=Europe/Berlin:20261024T120000",
        ),
    )
    found = expanded(data, between("20261001T000000Z", "20261101T000000Z"), UTC)
    assert found == body(
        *event(
            "DTSTART:20261024T100000Z",
            "RECURRENCE-ID:20261024T100000Z",
            "DTEND:20261024T113000Z",
            "X-SEEN:20261024T100000Z",
        ),
        *event(
            "DTSTART:20261025T110000Z",
            "RECURRENCE-ID:20261025T110000Z",
            "DTEND:20261025T123000Z",
            "X-SEEN:20261024T100000Z",
        ),
    )


def test_dates_stay_dates_and_floating_times_float() -> None:
    days = body(*event("DTSTART;VALUE=DATE:20261024", "DTEND;VALUE=DATE:20261026", "RRULE:FREQ=WEEKLY;COUNT=2"))
    found = expanded(days, between("20261101T000000Z", "20261102T000000Z"), BERLIN_ZONE)
    assert found == body(
        *event("DTSTART;VALUE=DATE:20261031", "RECURRENCE-ID;VALUE=DATE:20261031", "DTEND;VALUE=DATE:20261102")
    )
    times = body(*event("DTSTART:20261024T120000", "DTEND:20261024T130000", "RRULE:FREQ=DAILY;COUNT=2"))
    found = expanded(times, between("20261025T000000Z", "20261026T000000Z"), BERLIN_ZONE)
    assert found == body(*event("DTSTART:20261025T120000", "RECURRENCE-ID:20261025T120000", "DTEND:20261025T130000"))


def test_tasks_periods_and_moved_instances() -> None:
    task = body("BEGIN:VTODO", "UID:1", "DUE:20260601T100000Z", "RRULE:FREQ=DAILY;COUNT=3", "END:VTODO")
    assert expanded(task, between("20260602T090000Z", "20260602T095900Z"), UTC) == body()
    assert expanded(task, between("20260602T095900Z", "20260602T100000Z"), UTC) == body(
        "BEGIN:VTODO", "UID:1", "DUE:20260602T100000Z", "RECURRENCE-ID:20260602T100000Z", "END:VTODO"
    )
    period = body(*event("DTSTART:20260601T100000Z", "DURATION:PT1H", "RDATE;VALUE=PERIOD:20260701T100000Z/P1D"))
    assert expanded(period, between("20260702T000000Z", "20260703T000000Z"), UTC) == body(
        *event("DTSTART:20260701T100000Z", "RECURRENCE-ID:20260701T100000Z", "DTEND:20260702T100000Z")
    )
    moved = body(
        *event("DTSTART:20260601T100000Z", "RRULE:FREQ=DAILY;COUNT=4"),
        *event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260602T100000Z", "DTSTART:20260602T120000Z", "SUMMARY:later"),
    )
    assert expanded(moved, between("20260602T000000Z", "20260604T000000Z"), UTC) == body(
        *event("RECURRENCE-ID:20260602T100000Z", "DTSTART:20260602T120000Z", "SUMMARY:later"),
        *event("RECURRENCE-ID:20260603T100000Z", "DTSTART:20260603T120000Z", "SUMMARY:later"),
    )


@settings(max_examples=300)
@given(objects(), ranges())
def test_what_is_expanded_is_the_instances_and_nothing_else(data: bytes, within: TimeRange) -> None:
    if within.start is None or within.end is None or within.end - within.start > 32 * 86_400:
        return
    obj = CalendarObject.parse(data)
    try:
        found = expanded(data, within, BERLIN_ZONE)
    except TooManyInstances:
        return
    if obj.unsure:
        assert found == data
        return
    again = CalendarObject.parse(found)
    unknown = any(obj.timing(component).unknown_zone for component in obj.components)
    names = {property_name(line) for component in again.components for line in component.lines}
    assert not names & {"RRULE", "RDATE", "EXDATE"} or not obj.recurs
    assert b"VTIMEZONE" not in found
    if not obj.recurs or unknown or any(obj.timing(component).anchor is None for component in obj.components):
        return
    wanted = sorted(instance.span for instance in obj.instances(within, BERLIN_ZONE, Budget(10**6)))
    spans = sorted(again.timing(component).once(BERLIN_ZONE) or wanted[0] for component in again.components)
    # A nominal duration has another length where it is not counted from its own zone's clock.
    assert len(spans) == len(wanted)
    assert all(abs((a.start or 0) - (b.start or 0)) <= 3600 for a, b in zip(spans, wanted, strict=True))
    ids = [line[2] for c in again.components for line in c.lines if property_name(line) == "RECURRENCE-ID"]
    assert len(ids) == len(spans)


@pytest.mark.parametrize(
    "lines",
    [
        ["DTSTART:20260101T000000Z", "RRULE:FREQ=MINUTELY"],
        ["DTSTART:00010101T000000Z", "RRULE:FREQ=YEARLY;COUNT=99999999;BYMONTH=2;BYMONTHDAY=30"],
    ],
)
def test_too_much_is_refused_as_the_standard_says(lines: list[str]) -> None:
    with pytest.raises(TooManyInstances) as caught:
        expanded(body(*event(*lines)), between("20260601T000000Z", "20260701T000000Z"), UTC)
    assert caught.value.element == WITHIN_LIMITS
    assert caught.value.hint


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_EXPANDED_BYTES", 10_000)
    data = body(*event("DTSTART:20260101T000000Z", "RRULE:FREQ=DAILY", "X-LONG:" + "x" * 2000))
    assert expanded(data, between("20260601T000000Z", "20260603T000000Z"), UTC).count(b"BEGIN:VEVENT") == 2
    with pytest.raises(TooManyInstances):
        expanded(data, between("20260601T000000Z", "20260610T000000Z"), UTC)


def test_what_is_no_calendar_raises() -> None:
    for function in (limited, without_busy_outside):
        with pytest.raises(LineError):
            function(b"no calendar", TWO_DAYS)
    with pytest.raises(LineError):
        expanded(b"no calendar", TWO_DAYS, UTC)


# -- limit-recurrence-set ------------------------------------------------------------------------------------


def test_the_standards_example_of_a_limited_set() -> None:
    """RFC 4791 section 7.8.2: of the overrides the one of 4 January is left."""
    data = example(2)
    at = data.rindex(b"BEGIN:VEVENT")
    end = data.rindex(b"END:VCALENDAR")
    assert limited(data, TWO_DAYS) == data[:at] + data[end:]
    assert limited(example(3), TWO_DAYS) == example(3)


def test_an_override_matters_by_what_it_replaces_and_by_what_it_is() -> None:
    master = event("DTSTART:20260601T100000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=30")
    moved = event("RECURRENCE-ID:20260603T100000Z", "DTSTART:20260620T100000Z", "DURATION:PT1H")
    data = body(*master, *moved)
    for day, kept in ((3, True), (20, True), (10, False)):
        within = between(f"202606{day:02}T000000Z", f"202606{day:02}T235900Z")
        assert limited(data, within) == (data if kept else body(*master))
    future = body(*master, *event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260603T100000Z", "DTSTART:20260603T120000Z"))
    assert limited(future, between("20260625T000000Z", "20260626T000000Z")) == future
    assert limited(future, between("20260528T000000Z", "20260529T000000Z")) == body(*master)


# -- limit-freebusy-set --------------------------------------------------------------------------------------


def test_busy_times_outside_of_a_range_are_left_out() -> None:
    """RFC 4791 section 9.6.7: of abcd8 what meets the second of January."""
    found = without_busy_outside(example(8), between("20060102T000000Z", "20060103T000000Z"))
    kept = [
        line for line in example(8).splitlines() if b"FREEBUSY" not in line or b"20060102" in line or b"V" in line[:7]
    ]
    assert found.splitlines() == [line for line in kept if not line.startswith(b"FREEBUSY:")]
    row = body("BEGIN:VFREEBUSY", "FREEBUSY:20060101T100000Z/PT1H,20060102T100000Z/PT1H,never", "END:VFREEBUSY")
    found = without_busy_outside(row, between("20060102T000000Z", "20060103T000000Z"))
    assert found == row.replace(b"20060101T100000Z/PT1H,", b"")
    assert without_busy_outside(example(2), TWO_DAYS) == example(2)


# -- lines as they stand -------------------------------------------------------------------------------------


@given(objects())
def test_components_are_written_as_they_stood(data: bytes) -> None:
    assert b"".join(root.written() for root in raw_components(data)) == data


@pytest.mark.parametrize("number", range(1, 9))
def test_the_examples_are_written_as_they_stood(number: int) -> None:
    assert b"".join(root.written() for root in raw_components(example(number))) == example(number)


def test_a_limited_object_is_still_one() -> None:
    for _, data in corpus.load().events[:200]:
        start = int((datetime(2019, 3, 1, tzinfo=UTC) + timedelta(days=3)).timestamp())
        left = limited(data, TimeRange(start, start + 86_400))
        assert len(parse(left).roots) == 1
