"""Files of many objects: nothing of them is lost or changed on the way apart and together again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.check import check_icalendar, check_vcard
from safehold.content.join import join_calendars, join_vcards
from safehold.content.split import Flaw, calendar_parts, derived_uid, split_calendar, split_vcards

ZONE = "BEGIN:VTIMEZONE\r\nTZID:{0}\r\nX-LONG:{1}\r\nEND:VTIMEZONE\r\n"
EVENT = "BEGIN:VEVENT\r\nUID:{0}\r\nDTSTART;TZID={1}:20260101T100000\r\n{2}END:VEVENT\r\n"


def vcard(uid: str, note: str = "x") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:N\r\nUID:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def vcalendar(*components: str, head: str = "VERSION:2.0\r\nPRODID:p\r\n") -> bytes:
    return ("BEGIN:VCALENDAR\r\n" + head + "".join(components) + "END:VCALENDAR\r\n").encode()


def test_vcards_are_cut_without_touching_a_byte() -> None:
    first, second = vcard("1", "a\r\n  folded"), vcard("2").replace(b"\r\n", b"\n")
    parts = split_vcards(b"\xef\xbb\xbf" + first + b"\r\n\n" + second)
    assert [piece.body for piece in parts.pieces] == [first, second]
    assert [piece.line for piece in parts.pieces] == [1, 10]
    assert not parts.flaws


@pytest.mark.parametrize("around", [b"", b"\r\n", b"\xef\xbb\xbf"])
def test_a_file_of_one_vcard_is_kept_whole(around: bytes) -> None:
    data = around + vcard("1").rstrip(b"\r\n")
    assert [piece.body for piece in split_vcards(data).pieces] == [data]


def test_a_vcard_that_is_cut_short_costs_itself_only() -> None:
    parts = split_vcards(vcard("1") + vcard("2")[:40] + b"\r\n" + vcard("3") + vcard("4")[:30])
    assert [check_vcard(piece.body).uid for piece in parts.pieces] == ["1", "3"]
    assert [flaw.line for flaw in parts.flaws] == [7, 18]


def test_a_vcard_without_uid_gets_the_same_one_each_time() -> None:
    data = vcard("1").replace(b"UID:1\r\n", b"") + vcard("2").replace(b"UID:2\r\n", b"UID:\r\n")
    parts = split_vcards(data)
    assert [piece.uid_given for piece in parts.pieces] == [True, True]
    assert parts == split_vcards(data)
    uids = {check_vcard(piece.body).uid for piece in parts.pieces}
    assert len(uids) == 2
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uid) for uid in uids)


def test_a_calendar_is_cut_by_uid_with_the_zones_that_are_named() -> None:
    zones = ZONE.format("Z/1", 1), ZONE.format("Z/2", 2)
    override = EVENT.format("a", "Z/2", "RECURRENCE-ID;TZID=Z/1:20260108T100000\r\n")
    others = EVENT.format("a", '"Z/1"', ""), EVENT.format("b", "Z/3", ""), override
    head = "METHOD:PUBLISH\r\nVERSION:2.0\r\nX-WR-CALNAME:Work\r\nCALSCALE:GREGORIAN\r\n"
    parts = split_calendar(vcalendar(*zones, *others, head=head))
    kept = "VERSION:2.0\r\nCALSCALE:GREGORIAN\r\n"
    assert [piece.body for piece in parts.pieces] == [
        vcalendar(*zones, others[0], override, head=kept),
        vcalendar(others[1], head=kept),
    ]
    assert parts.properties == {"METHOD": "PUBLISH", "X-WR-CALNAME": "Work"}
    assert [check_icalendar(piece.body).instances for piece in parts.pieces] == [2, 1]


def test_a_calendar_of_one_object_is_kept_whole() -> None:
    data = vcalendar(ZONE.format("unused", ""), EVENT.format("a", "Z", ""), head="VERSION:2.0\r\nX-WR-CALNAME:w\r\n")
    assert [piece.body for piece in split_calendar(data).pieces] == [data]
    assert [piece.body for piece in split_calendar(b"\r\n" + data).pieces] == [b"\r\n" + data]


def test_a_method_and_a_missing_version_are_mended() -> None:
    event = EVENT.format("a", "Z", "")
    (piece,) = split_calendar(vcalendar(event, head="METHOD:PUBLISH\r\nPRODID:p\r\n")).pieces
    assert piece.body == vcalendar(event, head="VERSION:2.0\r\nPRODID:p\r\n")


def test_a_folded_head_is_understood() -> None:
    event = EVENT.format("a", "Z", "")
    (piece,) = split_calendar(vcalendar(event, head="VERSION\r\n :2.0\r\nMETHOD\r\n :PUBLISH\r\n")).pieces
    assert piece.body == vcalendar(event, head="VERSION\r\n :2.0\r\n")


def test_an_event_without_uid_gets_one_and_its_alarm_keeps_its_own() -> None:
    alarm = "BEGIN:VALARM\r\nUID:alarm\r\nEND:VALARM\r\n"
    (piece,) = split_calendar(vcalendar(EVENT.format("a", "Z", alarm).replace("UID:a\r\n", ""))).pieces
    assert piece.uid_given
    assert check_icalendar(piece.body).uid not in ("", "alarm")


def test_of_several_versions_of_an_event_the_latest_is_kept() -> None:
    old, new, older = (EVENT.format("a", "Z", f"SEQUENCE:{number}\r\n") for number in (1, 2, 0))
    override = EVENT.format("a", "Z", "RECURRENCE-ID:20260108T100000Z\r\n")
    parts = split_calendar(vcalendar(old, override, new, older))
    assert [piece.body for piece in parts.pieces] == [vcalendar(override, new)]
    assert [flaw.line for flaw in parts.flaws] == [4, 19]


def test_what_is_no_object_of_its_own_is_told() -> None:
    busy = "BEGIN:VFREEBUSY\r\nUID:f\r\nEND:VFREEBUSY\r\n"
    parts = split_calendar(vcalendar(busy, EVENT.format("a", "Z", ""), head="VERSION:2.0\r\nbad line\r\n"))
    assert [check_icalendar(piece.body).uid for piece in parts.pieces] == ["a"]
    assert [flaw.reason[:10] for flaw in parts.flaws] == ["in the hea", "VFREEBUSY "]
    assert split_calendar(b"nothing").flaws == [Flaw(1, "there is no VCALENDAR in it")]


NOTES = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=40)


@given(st.lists(NOTES, max_size=8))
def test_vcards_joined_and_cut_are_the_same(notes: list[str]) -> None:
    bodies = [vcard(str(number), note) for number, note in enumerate(notes)]
    joined = b"".join(join_vcards(bodies))
    assert [piece.body for piece in split_vcards(joined).pieces] == bodies


def test_a_joined_vcard_ends_its_line() -> None:
    assert b"".join(join_vcards([b"\xef\xbb\xbf" + vcard("1").rstrip(), vcard("2")])) == vcard("1") + vcard("2")


@given(st.lists(st.tuples(st.sampled_from(["Z/1", "Z/2", "Z 3"]), NOTES, st.booleans()), max_size=8))
def test_calendars_joined_and_cut_have_the_same_components(rows: list[tuple[str, str, bool]]) -> None:
    bodies = []
    for number, (zone, note, recurs) in enumerate(rows):
        event = EVENT.format(number, zone, f"SUMMARY:{note}\r\n")
        override = EVENT.format(number, zone, "RECURRENCE-ID:20260108T100000Z\r\n") if recurs else ""
        bodies.append(vcalendar(ZONE.format(zone, zone), event, override))
    cut = split_calendar(join_calendars(bodies)).pieces
    assert [calendar_parts(piece.body) for piece in cut] == [calendar_parts(body) for body in bodies]
    assert split_calendar(join_calendars(bodies)) == split_calendar(join_calendars(piece.body for piece in cut))


def test_of_a_zone_defined_twice_the_longer_definition_is_kept() -> None:
    short, long = ZONE.format("Z", "s"), ZONE.format("Z", "long")
    joined = join_calendars([vcalendar(short, EVENT.format("a", "Z", "")), vcalendar(long, EVENT.format("b", "Z", ""))])
    assert joined.count(b"BEGIN:VTIMEZONE") == 1
    assert long.encode() in joined


@given(st.binary(max_size=300))
def test_any_bytes_can_be_cut(data: bytes) -> None:
    for parts in (split_vcards(data), split_calendar(data)):
        assert parts.pieces or parts.flaws


def test_a_derived_uid_depends_on_every_byte() -> None:
    assert len({derived_uid(b"a"), derived_uid(b"b"), derived_uid(b"")}) == 3
