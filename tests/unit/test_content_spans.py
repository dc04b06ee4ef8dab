"""The occurrence index: what it is sure of is so, what it leaves out does not match, and it costs no bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safehold.content.calendar import CalendarObject
from safehold.content.glance import timing_at_a_glance
from safehold.content.spans import UNKNOWN, Candidates, Spans, entry_of, window_around
from safehold.content.timerange import TimeRange
from safehold.content.timing import Timing
from safehold.content.zones import zone_of_text
from tests.support import corpus
from tests.support.calendars import AROUND, BERLIN, objects, ranges

NOW = int(AROUND.replace(tzinfo=UTC).timestamp())
DEFINED = zone_of_text(f"BEGIN:VCALENDAR\n{BERLIN}END:VCALENDAR\n")
FLOATING = st.sampled_from(
    [
        UTC,
        timezone(timedelta(hours=-9, minutes=-30)),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/New_York"),
        ZoneInfo("Australia/Lord_Howe"),
        DEFINED,
    ]
)
KINDS = ("VEVENT", "VTODO", "VJOURNAL")


def event(*lines: str) -> bytes:
    text = "\r\n".join(
        ("BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT", "END:VCALENDAR", "")
    )
    return text.encode()


NOVEMBER_2 = TimeRange(
    int(datetime(2026, 11, 2, tzinfo=UTC).timestamp()), int(datetime(2026, 11, 2, 0, 0, 1, tzinfo=UTC).timestamp())
)


def index_of(bodies: dict[str, bytes], now: int = NOW) -> Spans:
    window = window_around(now)
    return Spans(b"id", 1, b"head", window, {name: entry_of(body, window) for name, body in bodies.items()})


def matches(body: bytes, kind: str, within: TimeRange, floating: tzinfo) -> bool:
    obj = CalendarObject.parse(body)
    return any(obj.overlaps(c, within, floating) for c in obj.components if c.name == kind)


def agree(found: Candidates, bodies: dict[str, bytes], kind: str, within: TimeRange, floating: tzinfo) -> None:
    assert len(set(found.sure + found.maybe)) == len(found.sure) + len(found.maybe)
    for name, body in bodies.items():
        if name in found.sure:
            assert matches(body, kind, within, floating), f"{name} is sure, and does not match"
        elif name not in found.maybe:
            assert not matches(body, kind, within, floating), f"{name} is left out, and matches"


@settings(max_examples=800)
@example(event("DTSTART;VALUE=DATE:20261102", "RRULE:FREQ=WEEKLY;UNTIL=20261028"), NOVEMBER_2, UTC, 0)
@example(event("DTSTART;VALUE=DATE:20261102", "EXDATE;VALUE=DATE:20261102"), NOVEMBER_2, UTC, 0)
@given(objects(), ranges(), FLOATING, st.sampled_from([0, 0, 0, 400, -3000]))
def test_the_index_and_the_bodies_never_disagree(body: bytes, within: TimeRange, floating: tzinfo, moved: int) -> None:
    index = index_of({"one": body}, NOW + moved * 86_400)
    for kind in KINDS:
        agree(index.candidates(kind, within, floating), {"one": body}, kind, within, floating)


@settings(max_examples=500)
@given(objects())
def test_a_glance_sees_what_a_parse_sees(body: bytes) -> None:
    seen = timing_at_a_glance(body)
    obj = CalendarObject.parse(body)
    if seen is None:
        return
    assert len(obj.components) == 1
    whole = obj.timing(obj.components[0])
    assert {name: getattr(seen, name) for name in Timing.__slots__} == {
        name: getattr(whole, name) for name in Timing.__slots__
    }


def test_a_glance_is_enough_for_what_is_usual() -> None:
    bodies = [body for name, body in (*corpus.load().events, *corpus.load().tasks) if name.startswith("rfc")]
    assert sum(timing_at_a_glance(body) is not None for body in bodies) >= len(bodies) - 2


@pytest.mark.parametrize("floating", [ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")], ids=str)
def test_the_index_agrees_about_real_objects(floating: ZoneInfo) -> None:
    loaded = corpus.load()
    bodies = dict((*loaded.events[:400], *loaded.tasks[:100], *loaded.journals))
    for year, month, days in ((2026, 6, 30), (2006, 1, 7), (2019, 3, 31), (2015, 10, 90), (2021, 1, 1)):
        start = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
        index = index_of(bodies, start)
        within = TimeRange(start, start + days * 86_400)
        for kind in KINDS:
            agree(index.candidates(kind, within, floating), bodies, kind, within, floating)


# -- what it is for ------------------------------------------------------------------------------------------


JUNE = TimeRange(int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()))


@pytest.mark.parametrize(
    ("lines", "sure"),
    [
        (["DTSTART:20260610T100000Z", "DTEND:20260610T110000Z"], True),
        (["DTSTART:20260630T235959Z"], True),
        (["DTSTART:20260701T000000Z"], False),
        (["DTSTART;TZID=America/New_York:20260531T200000", "DURATION:PT1H"], True),
        (["DTSTART;TZID=America/New_York:20260531T190000", "DURATION:PT1H"], False),
        (["DTSTART;VALUE=DATE:20260615"], True),
        (["DTSTART:20200101T000000Z", "DTEND:20300101T000000Z"], True),
        (["DTSTART:20200101T100000Z", "RRULE:FREQ=WEEKLY"], True),
        (["DTSTART;TZID=Europe/Berlin:20200101T100000", "RRULE:FREQ=DAILY;INTERVAL=10"], True),
        (["DTSTART:20200101T100000Z", "RRULE:FREQ=WEEKLY;UNTIL=20260101T000000Z"], False),
        (["DTSTART:20200115T100000Z", "RRULE:FREQ=MONTHLY"], True),
        (["DTSTART:20200501T100000Z", "RRULE:FREQ=YEARLY"], False),
        (["DTSTART:20260101T100000Z", "RRULE:FREQ=DAILY;COUNT=30"], False),
    ],
)
def test_the_usual_is_answered_without_a_look_at_bodies(lines: list[str], sure: bool) -> None:
    index = index_of({"one": event(*lines)}, JUNE.start or 0)
    found = index.candidates("VEVENT", JUNE, ZoneInfo("Europe/Berlin"))
    assert found == Candidates(["one"] if sure else [], [])


@pytest.mark.parametrize(
    "lines",
    [
        ["DTSTART;TZID=Nowhere:20260610T100000", "DTEND:20260610T110000Z"],
        ["DTSTART:20260610T100000Z", "RRULE:FREQ=SECONDLY"],
        ["DTSTART:20260610T100000Z", "RRULE:FREQ=SOMETIMES"],
        ["DTSTART:20269910T100000Z"],
        ["DTSTART:20260610T100000", "DTEND:20260610T110000Z"],
    ],
)
def test_what_it_cannot_tell_is_maybe_at_all_times(lines: list[str]) -> None:
    for year in (1990, 2026, 2090):
        within = TimeRange(int(datetime(year, 1, 1, tzinfo=UTC).timestamp()), None)
        index = index_of({"one": event(*lines), "two": b"no calendar"})
        assert set(index.candidates("VEVENT", within, UTC).maybe) == {"one", "two"}


def test_of_alarms_and_the_like_nothing_is_known() -> None:
    index = index_of({"one": event("DTSTART:20260610T100000Z")})
    assert index.candidates("VALARM", JUNE, UTC) == Candidates([], ["one"])


# -- immutable, and advanced by copy ----------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from("abcdefghijklmnop"), objects(), max_size=12),
    st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.none() | objects(), max_size=4),
    ranges(),
)
def test_an_advanced_index_is_as_one_made_anew(
    bodies: dict[str, bytes], changes: dict[str, bytes | None], within: TimeRange
) -> None:
    old = index_of(bodies)
    before = [old.candidates(kind, within, UTC) for kind in KINDS]
    entries = {name: None if body is None else entry_of(body, old.window) for name, body in changes.items()}
    new = old.advanced(2, b"later", entries)
    fresh = index_of({name: body for name, body in {**bodies, **changes}.items() if body is not None})
    assert (new.rev, new.head, len(new)) == (2, b"later", len(fresh))
    for kind in KINDS:
        one, other = new.candidates(kind, within, UTC), fresh.candidates(kind, within, UTC)
        assert (sorted(one.sure), sorted(one.maybe)) == (sorted(other.sure), sorted(other.maybe))
    assert [old.candidates(kind, within, UTC) for kind in KINDS] == before


def test_one_change_of_many_is_entered_by_itself() -> None:
    bodies = {f"{number:03}": event(f"DTSTART:202606{number % 30 + 1:02}T100000Z") for number in range(100)}
    old = index_of(bodies)
    new = old.advanced(
        2, b"", {"003": entry_of(event("DTSTART:20270101T000000Z"), old.window), "004": None, "x": UNKNOWN}
    )
    assert sorted(old.candidates("VEVENT", JUNE, UTC).sure) == sorted(bodies)
    assert sorted(new.candidates("VEVENT", JUNE, UTC).sure) == sorted(set(bodies) - {"003", "004"})
    assert new.candidates("VEVENT", JUNE, UTC).maybe == ["x"]
    assert len(new) == 100


def test_another_window_takes_only_what_recurs() -> None:
    bodies = {
        "once": event("DTSTART:20260610T100000Z"),
        "weekly": event("DTSTART:20200101T000000Z", "RRULE:FREQ=WEEKLY"),
    }
    old = index_of(bodies, int(datetime(2010, 1, 1, tzinfo=UTC).timestamp()))
    assert old.names_by_window == ["weekly"]
    assert old.candidates("VEVENT", JUNE, UTC) == Candidates(["once"], ["weekly"])
    window = window_around(JUNE.start or 0)
    new = old.moved(window, {"weekly": entry_of(bodies["weekly"], window)})
    assert set(new.candidates("VEVENT", JUNE, UTC).sure) == {"once", "weekly"}
