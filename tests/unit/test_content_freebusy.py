"""Free-busy: RFC 4791 section 7.10."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.content import freebusy
from safehold.content.calendar import CalendarObject
from safehold.content.expand import TooManyInstances
from safehold.content.freebusy import BusyTimes
from safehold.content.lines import parse, property_name
from safehold.content.timerange import TimeRange
from tests.support import corpus

STAMP = int(datetime(2006, 1, 1, tzinfo=UTC).timestamp())
DAY = TimeRange(int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 6, 2, tzinfo=UTC).timestamp()))


def event(*lines: str) -> CalendarObject:
    text = ("BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT", "END:VCALENDAR", "")
    return CalendarObject.parse("\n".join(text).encode())


def free_busy(objects: list[CalendarObject], within: TimeRange, floating: tzinfo) -> bytes:
    times = BusyTimes(within, floating)
    for obj in objects:
        times.add(obj)
    return times.written(STAMP)


def busy(objects: list[CalendarObject], within: TimeRange = DAY, floating: ZoneInfo | None = None) -> list[str]:
    answer = free_busy(objects, within, floating or UTC)
    (calendar,) = parse(answer).roots
    (component,) = calendar.components
    return [line[1] + ":" + line[2] for line in component.lines if property_name(line) == "FREEBUSY"]


def test_the_standards_example() -> None:
    """Section 7.10 over the objects of appendix B."""
    objects = [
        CalendarObject.parse((corpus.RFC_FOLDER / f"rfc4791-b-abcd{number}.ics").read_bytes()) for number in range(1, 9)
    ]
    start = int(datetime(2006, 1, 4, 14, tzinfo=UTC).timestamp())
    end = int(datetime(2006, 1, 5, 22, tzinfo=UTC).timestamp())
    answer = free_busy(objects, TimeRange(start, end), UTC)
    assert answer.startswith(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
    assert b"DTSTAMP:20060101T000000Z\r\nDTSTART:20060104T140000Z\r\nDTEND:20060105T220000Z\r\n" in answer
    assert busy(objects, TimeRange(start, end)) == [
        ":20060104T190000Z/20060104T200000Z,20060105T170000Z/20060105T180000Z",
        ";FBTYPE=BUSY-UNAVAILABLE:20060105T100000Z/20060105T120000Z",
        ";FBTYPE=BUSY-TENTATIVE:20060104T150000Z/20060104T160000Z",
    ]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["DTSTART:20260601T100000Z", "DTEND:20260601T110000Z"], [":20260601T100000Z/20260601T110000Z"]),
        (["DTSTART:20260531T230000Z", "DTEND:20260601T010000Z"], [":20260601T000000Z/20260601T010000Z"]),
        (["DTSTART:20260601T230000Z", "DURATION:P9D"], [":20260601T230000Z/20260602T000000Z"]),
        (["DTSTART:20260601T100000Z"], []),
        (["DTSTART:20260601T100000Z", "DTEND:20260601T110000Z", "TRANSP:TRANSPARENT"], []),
        (["DTSTART:20260601T100000Z", "DTEND:20260601T110000Z", "STATUS:CANCELLED"], []),
        (
            ["DTSTART:20260601T100000Z", "DTEND:20260601T110000Z", "STATUS:tentative"],
            [";FBTYPE=BUSY-TENTATIVE:20260601T100000Z/20260601T110000Z"],
        ),
        (["DTSTART;VALUE=DATE:20260601"], [":20260601T000000Z/20260602T000000Z"]),
        (["DTSTART;TZID=Nowhere:20260601T100000", "DURATION:PT1H"], [":20260601T100000Z/20260601T110000Z"]),
        (
            ["DTSTART:20200101T100000Z", "DURATION:PT1H", "RRULE:FREQ=HOURLY;INTERVAL=8"],
            [":20260601T020000Z/20260601T030000Z,20260601T100000Z/20260601T110000Z,20260601T180000Z/20260601T190000Z"],
        ),
    ],
)
def test_what_an_event_takes_up(lines: list[str], found: list[str]) -> None:
    assert busy([event(*lines)]) == found


def test_a_day_is_one_of_the_zone_that_is_asked_for() -> None:
    found = busy([event("DTSTART;VALUE=DATE:20260601")], floating=ZoneInfo("America/New_York"))
    assert found == [":20260601T040000Z/20260602T000000Z"]


def test_tasks_take_up_no_time() -> None:
    text = "BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:1\nDTSTART:20260601T100000Z\nDURATION:PT1H\nEND:VTODO\nEND:VCALENDAR\n"
    assert busy([CalendarObject.parse(text.encode())]) == []


def test_periods_are_joined_and_the_stronger_counts() -> None:
    objects = [
        event("DTSTART:20260601T100000Z", "DTEND:20260601T120000Z"),
        event("DTSTART:20260601T120000Z", "DTEND:20260601T130000Z"),
        event("DTSTART:20260601T110000Z", "DTEND:20260601T113000Z"),
        event("DTSTART:20260601T090000Z", "DTEND:20260601T140000Z", "STATUS:TENTATIVE"),
    ]
    assert busy(objects) == [
        ":20260601T100000Z/20260601T130000Z",
        ";FBTYPE=BUSY-TENTATIVE:20260601T090000Z/20260601T100000Z,20260601T130000Z/20260601T140000Z",
    ]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(-60, 1500), st.integers(0, 300), st.sampled_from(["CONFIRMED", "TENTATIVE", "CANCELLED"])
        ),
        max_size=12,
    )
)
def test_every_minute_is_what_the_events_say(events: list[tuple[int, int, str]]) -> None:
    assert DAY.start is not None
    objects = []
    for start, length, status in events:
        begin = datetime.fromtimestamp(DAY.start + start * 60, UTC)
        objects.append(event(f"DTSTART:{begin:%Y%m%dT%H%M%SZ}", f"DURATION:PT{length}M", f"STATUS:{status}"))
    said: dict[int, str] = {}
    for line in busy(objects):
        params, _, value = line.partition(":")
        for period in value.split(","):
            first, last = (
                int(datetime.strptime(one, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() - DAY.start) // 60
                for one in period.split("/")
            )
            for minute in range(first, last):
                assert minute not in said
                said[minute] = params
    for minute in range(24 * 60):
        over = {status for start, length, status in events if start <= minute < start + length}
        wanted = "" if "CONFIRMED" in over else ";FBTYPE=BUSY-TENTATIVE" if "TENTATIVE" in over else None
        assert said.get(minute) == wanted


@pytest.mark.parametrize(
    "lines",
    [
        ["DTSTART:20260101T000000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY"],
        ["DTSTART:20260101T000000Z", "RRULE:FREQ=SOMETIMES"],
    ],
)
def test_what_is_not_certain_is_not_called_free(lines: list[str]) -> None:
    with pytest.raises(TooManyInstances):
        busy([event(*lines)])


def test_periods_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freebusy, "MAX_PERIODS", 10)
    often = event("DTSTART:20260101T000000Z", "DURATION:PT5M", "RRULE:FREQ=HOURLY")
    with pytest.raises(TooManyInstances):
        busy([often])
