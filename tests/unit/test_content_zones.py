"""Time zones: by definition, by name, at the changes of the clock, and when a definition is meant to cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.calendar import CalendarObject, zone_of_text
from safehold.content.lines import parse
from safehold.content.times import to_local, to_utc
from safehold.content.windows_zones import WINDOWS_ZONES
from safehold.content.zones import DefinedZone, Zones, zone_of_name
from tests.support.calendars import BERLIN
from tests.support.corpus import RFC_FOLDER

NEW_YORK_NAME = "America/New_York"


def defined(text: str, tzid: str) -> tzinfo | None:
    return Zones(parse(f"BEGIN:VCALENDAR\n{text}END:VCALENDAR\n".encode())).named(tzid)


BERLIN_DEFINED = zone_of_text(f"BEGIN:VCALENDAR\r\n{BERLIN}END:VCALENDAR")


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@given(st.datetimes(datetime(1997, 1, 1), datetime(2037, 12, 31)), st.sampled_from([0, 1]))
def test_a_definition_is_followed_as_the_zone_of_that_name(moment: datetime, fold: int) -> None:
    assert isinstance(BERLIN_DEFINED, DefinedZone)
    shown = moment.replace(tzinfo=BERLIN_DEFINED, fold=fold)
    assert shown.utcoffset() == moment.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).utcoffset()
    there = moment.replace(tzinfo=UTC).astimezone(BERLIN_DEFINED)
    named = moment.replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
    assert (there.replace(tzinfo=None), there.fold) == (named.replace(tzinfo=None), named.fold)


def test_the_example_of_the_standard_changes_when_new_york_did() -> None:
    zones = Zones(parse((RFC_FOLDER / "rfc5545-3.6.5-new-york.ics").read_bytes()))
    found = zones.named(NEW_YORK_NAME)
    assert isinstance(found, DefinedZone)
    for year in (*range(1968, 1974), *range(2007, 2100)):
        for month in range(1, 13):
            for day in (1, 10, 20, 28):
                local = datetime(year, month, day, 12)
                wanted = local.replace(tzinfo=ZoneInfo(NEW_YORK_NAME)).utcoffset()
                assert local.replace(tzinfo=found).utcoffset() == wanted, local
    # In between the example names no summer time.
    assert datetime(1990, 7, 1, tzinfo=found).utcoffset() == timedelta(hours=-5)


@pytest.mark.parametrize("zone", [ZoneInfo("Europe/Berlin"), BERLIN_DEFINED], ids=["named", "defined"])
def test_a_time_that_is_shown_twice_or_never(zone: tzinfo) -> None:
    """RFC 5545 section 3.3.5: the first of two; of one in a gap, by the offset before the gap."""
    assert to_utc(seconds("2026-10-25T02:30"), zone) == seconds("2026-10-25T00:30")
    assert to_utc(seconds("2026-03-29T02:30"), zone) == seconds("2026-03-29T01:30")
    assert to_local(seconds("2026-10-25T00:30"), zone) == seconds("2026-10-25T02:30")
    assert to_local(seconds("2026-10-25T01:30"), zone) == seconds("2026-10-25T02:30")


@pytest.mark.parametrize("year", [2100, 2400, 3000, 9999])
def test_a_definition_is_followed_after_its_horizon(year: int) -> None:
    """On the last Sundays of March and October, as before."""
    for month, before, after in ((3, 1, 2), (10, 2, 1)):
        sunday = max(d for d in range(25, 32) if datetime(year, month, d).weekday() == 6)
        noon = datetime(year, month, sunday, 12, tzinfo=BERLIN_DEFINED)
        day_before = datetime(year, month, sunday - 1, 12, tzinfo=BERLIN_DEFINED)
        assert (day_before.utcoffset(), noon.utcoffset()) == (timedelta(hours=before), timedelta(hours=after))


def test_times_at_the_ends_of_the_calendar_have_an_offset() -> None:
    for zone in (ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York"), BERLIN_DEFINED):
        assert zone is not None
        for local in (seconds("0001-01-01T00:00"), seconds("9999-12-31T23:59:59")):
            assert abs(to_utc(local, zone) - local) < 86_400
            assert abs(to_local(local, zone) - local) < 86_400


def test_before_its_first_change_a_definition_shows_what_it_changes_from() -> None:
    text = BERLIN.replace("19700329", "20200329").replace("19701025", "20201025")
    zone = defined(text.replace("Europe/Berlin", "Here"), "Here")
    assert datetime(2019, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=1)


def test_outside_of_the_years_that_a_definition_covers_its_name_counts() -> None:
    """As a client writes it that lists the changes around the moment at which it wrote."""
    rule = "RRULE:FREQ=YEARLY;BYMONTH={};BYDAY=-1SU\n"
    text = BERLIN.replace(rule.format(3), "RDATE:20200329T020000\n").replace(rule.format(10), "RDATE:20191027T030000\n")
    text = text.replace("19700329", "20190331").replace("19701025", "20181028")
    for name, offsets in (("Europe/Berlin", [1, 2, 2, 1, 2]), ("Here", [2, 2, 2, 2, 2])):
        zone = defined(text.replace("Europe/Berlin", name), name)
        months = [(2016, 12), (2018, 7), (2019, 7), (2026, 1), (2026, 7)]
        found = [datetime(year, month, 1, tzinfo=zone).utcoffset() for year, month in months]
        assert found == [timedelta(hours=offset) for offset in offsets]
        there = datetime(2026, 1, 1, tzinfo=UTC).astimezone(zone)
        assert there.utcoffset() == found[3]


def test_the_definition_counts_and_not_its_name() -> None:
    zone = defined(BERLIN.replace("TZID:Europe/Berlin", "TZID:America/New_York"), NEW_YORK_NAME)
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("TZOFFSETTO:+0200\n", ""),
        ("TZOFFSETFROM:+0100", "TZOFFSETFROM:+9900"),
        ("DTSTART:19700329T020000\n", ""),
        ("DTSTART:19700329T020000", "DTSTART:soon"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "FREQ=NOW"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "FREQ=SECONDLY"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "FREQ=DAILY"),
    ],
)
def test_a_definition_that_cannot_be_followed_leaves_the_name(found: str, instead: str) -> None:
    assert found in BERLIN
    text = BERLIN.replace(found, instead)
    assert defined(text, "Europe/Berlin") is ZoneInfo("Europe/Berlin")
    assert defined(text.replace("Europe/Berlin", "My Zone"), "My Zone") is None


def test_many_definitions_share_one_budget() -> None:
    """Too long to be remembered, so that each is followed anew."""
    texts = [BERLIN.replace("Europe/Berlin", f"z{n}").replace("TZNAME:CET", "TZNAME:" + "x" * 9000) for n in range(30)]
    zones = Zones(parse(f"BEGIN:VCALENDAR\n{''.join(texts)}END:VCALENDAR\n".encode()))
    found = [zones.named(f"z{n}") for n in range(30)]
    assert found[0] is not None
    assert found[-1] is None


NAMES = {
    "UTC": "UTC",
    "GMT": "UTC",
    "Europe/Berlin": "Europe/Berlin",
    "europe/berlin": "Europe/Berlin",
    '"Europe/Berlin"': "Europe/Berlin",
    "/freeassociation.sourceforge.net/Europe/Berlin": "Europe/Berlin",
    "/freeassociation.sourceforge.net/Tzfile/America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "/softwarestudio.org/Olson_20011030_5/America/New_York": "America/New_York",
    "/citadel.org/20070227_1/Europe/London": "Europe/London",
    "W. Europe Standard Time": "Europe/Berlin",
    "w. europe standard time": "Europe/Berlin",
    "Eastern Standard Time": "America/New_York",
    "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna": "Europe/Amsterdam",
    "(GMT+00:00) Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London": "Europe/Lisbon",
    "(UTC-03:30) Newfoundland": "Canada/Newfoundland",
}


@pytest.mark.parametrize(("name", "zone"), NAMES.items())
def test_a_name_is_understood(name: str, zone: str) -> None:
    found = zone_of_name(name)
    for month in (1, 7):
        moment = datetime(2026, month, 15, 12)
        assert found is not None
        assert moment.replace(tzinfo=found).utcoffset() == moment.replace(tzinfo=ZoneInfo(zone)).utcoffset()


@pytest.mark.parametrize(
    ("name", "offset"), [("GMT+0100", 3600), ("UTC-05:30", -19_800), ("+02", 7200), ("(UTC+05:00) Nowhere", 18_000)]
)
def test_an_offset_is_a_zone(name: str, offset: int) -> None:
    assert zone_of_name(name) == timezone(timedelta(seconds=offset))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Nowhere",
        "../../etc/passwd",
        "/etc/passwd",
        "Europe",
        "Europe/",
        "x" * 10_000,
        "GMT+99",
        "\x00",
        "Customized Time Zone",
    ],
)
def test_a_name_that_tells_nothing_is_no_zone(name: str) -> None:
    assert zone_of_name(name) is None


def test_every_windows_name_leads_to_a_zone() -> None:
    for name in WINDOWS_ZONES:
        assert zone_of_name(name) is not None, name


def test_a_zone_is_told_by_a_text() -> None:
    assert zone_of_text("Europe/Berlin") is ZoneInfo("Europe/Berlin")
    assert isinstance(zone_of_text(f"BEGIN:VCALENDAR\r\n{BERLIN}END:VCALENDAR\r\n"), DefinedZone)
    assert isinstance(zone_of_text(BERLIN), DefinedZone)
    assert zone_of_text("BEGIN:VCALENDAR\nEND:VCALENDAR") is None
    assert zone_of_text("BEGIN:VCALENDAR\nno line") is None


def test_an_unknown_zone_may_be_any() -> None:
    body = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;TZID=Nowhere:20260601T120000\nEND:VEVENT\nEND:VCALENDAR\n"
    obj = CalendarObject.parse(body.encode())
    assert obj.master is not None
    span = obj.timing(obj.master).once(UTC)
    assert span is not None
    assert (span.start, span.end) == (seconds("2026-05-31T10:00"), seconds("2026-06-02T14:00:01"))
