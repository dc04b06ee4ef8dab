"""What is stored and what is refused, with which element of the standards and at which line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content import check
from safehold.content.check import CalendarFacts, CardFacts, check_icalendar, check_vcard
from safehold.content.media import ICALENDAR, VCARD, icalendar_media, sniff, vcard_media
from safehold.content.uid import quick_uid
from safehold.model.errors import InvalidContent, UnsupportedMedia


def card(*lines: str) -> bytes:
    return "\r\n".join(("BEGIN:VCARD", *lines, "END:VCARD", "")).encode()


def calendar(*lines: str) -> bytes:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", "")).encode()


def event(
    *lines: str, uid: str = "1", name: str = "VEVENT", start: str = "DTSTART:20260101T100000Z"
) -> tuple[str, ...]:
    return (f"BEGIN:{name}", f"UID:{uid}", *([start] if start else []), *lines, f"END:{name}")


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (card("VERSION:3.0", "UID:a", "FN:Ann"), CardFacts("a", "3.0")),
        (card("VERSION:4.0", "UID:urn:uuid:1"), CardFacts("urn:uuid:1", "4.0")),
        (card("FN:Ann", "UID: a ", "version: 3.0"), CardFacts("a", "3.0")),
        (card("VERSION:3.0", "item1.UID;X=1:a", "PHOTO;ENCODING=b:" + "A" * 200_000), CardFacts("a", "3.0")),
        (card("VERSION:3.0", "UID:a", "AGENT:BEGIN:VCARD\\nEND:VCARD\\n"), CardFacts("a", "3.0")),
        (card("VERSION:3.0", "UID:a").replace(b"\r\n", b"\n").rstrip(), CardFacts("a", "3.0")),
        (b"\xef\xbb\xbf\r\n" + card("VERSION:3.0", "UID:a") + b"\r\n\r\n", CardFacts("a", "3.0")),
        (card("VERSION:3.0", "UID:a").replace(b"BEGIN", b"home.BEGIN"), CardFacts("a", "3.0")),
    ],
)
def test_vcards_that_are_stored(body: bytes, facts: CardFacts) -> None:
    assert check_vcard(body) == facts
    assert quick_uid(body) == facts.uid


@pytest.mark.parametrize(
    ("body", "element", "reason"),
    [
        (b"", check.VALID_ADDRESS_DATA, "empty"),
        (b"hello", check.VALID_ADDRESS_DATA, "line 1: no colon"),
        (calendar(*event()), check.VALID_ADDRESS_DATA, "line 1: BEGIN:VCALENDAR where BEGIN:VCARD"),
        (card("VERSION:2.1", "UID:a"), check.SUPPORTED_ADDRESS_DATA, "line 2: vCard version '2.1'"),
        (card("UID:a"), check.VALID_ADDRESS_DATA, "no VERSION"),
        (card("VERSION:3.0", "VERSION:3.0", "UID:a"), check.VALID_ADDRESS_DATA, "line 3: a second VERSION"),
        (card("VERSION:3.0"), check.VALID_ADDRESS_DATA, "no UID"),
        (card("VERSION:3.0", "UID:"), check.VALID_ADDRESS_DATA, "line 3: the UID is empty"),
        (card("VERSION:3.0", "UID:a", "UID:a"), check.VALID_ADDRESS_DATA, "line 4: a second UID"),
        (card("VERSION:3.0", "UID:" + "a" * 1025), check.VALID_ADDRESS_DATA, "longer than 1024 bytes"),
        (card("VERSION:3.0", "UID:a") * 2, check.VALID_ADDRESS_DATA, "line 5: a second object"),
        (card("VERSION:3.0", "UID:a", "BEGIN:X", "END:X"), check.VALID_ADDRESS_DATA, "line 4: BEGIN:X within"),
        (card("VERSION:3.0", "UID:a", "NOTE:\x07"), check.VALID_ADDRESS_DATA, "line 4: the control character 0x07"),
        (card("VERSION:3.0", "UID:a", "NOTE:é").decode().encode("latin-1"), check.VALID_ADDRESS_DATA, "line 4: text"),
    ],
)
def test_vcards_that_are_refused(body: bytes, element: str, reason: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        check_vcard(body)
    assert (caught.value.element, reason in caught.value.message) == (element, True), caught.value.message


OVERRIDE = "RECURRENCE-ID:20260108T100000Z"


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (calendar(*event()), CalendarFacts("1", "VEVENT", True, 1)),
        (calendar(*event("RRULE:FREQ=WEEKLY"), *event(OVERRIDE)), CalendarFacts("1", "VEVENT", True, 2)),
        (calendar(*event(OVERRIDE)), CalendarFacts("1", "VEVENT", False, 1)),
        (calendar(*event(start="DTSTART;VALUE=DATE:20240229")), CalendarFacts("1", "VEVENT", True, 1)),
        (calendar(*event(start="dtstart;tzid=Europe/Berlin:20261231T235960")), CalendarFacts("1", "VEVENT", True, 1)),
        (calendar(*event("DTEND:20260101T110000Z", "DURATION:PT0S")), CalendarFacts("1", "VEVENT", True, 1)),
        (calendar(*event("X-ENTOURAGE_UUID:5")), CalendarFacts("1", "VEVENT", True, 1)),
        (calendar(*event(name="VTODO", start="")), CalendarFacts("1", "VTODO", True, 1)),
        (
            calendar(*event("RRULE:FREQ=WEEKLY", "DUE;VALUE=DATE:20180101", name="VTODO", start="")),
            CalendarFacts("1", "VTODO", True, 1),
        ),
        (calendar(*event(name="VJOURNAL", start="")), CalendarFacts("1", "VJOURNAL", True, 1)),
        (calendar("UID:whole", "X-WR-CALNAME:y", *event()), CalendarFacts("1", "VEVENT", True, 1)),
        (
            calendar("BEGIN:VTIMEZONE", "TZID:Z", "END:VTIMEZONE", *event()),
            CalendarFacts("1", "VEVENT", True, 1),
        ),
        (
            calendar(*event("BEGIN:VALARM", "UID:alarm", "TRIGGER:-PT5M", "END:VALARM")),
            CalendarFacts("1", "VEVENT", True, 1),
        ),
        (calendar(*event()).replace(b"PRODID:x\r\n", b""), CalendarFacts("1", "VEVENT", True, 1)),
    ],
)
def test_calendar_objects_that_are_stored(body: bytes, facts: CalendarFacts) -> None:
    assert check_icalendar(body) == facts
    assert quick_uid(body) == facts.uid


@pytest.mark.parametrize(
    ("body", "element", "reason"),
    [
        (card("VERSION:3.0", "UID:a"), check.VALID_CALENDAR_DATA, "line 1: BEGIN:VCARD where BEGIN:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nEND:VEVENT\n", check.VALID_CALENDAR_DATA, "line 2: END:VEVENT stands where"),
        (calendar(), check.VALID_CALENDAR_OBJECT, "no VEVENT, VTODO or VJOURNAL"),
        (calendar("BEGIN:VTIMEZONE", "TZID:Z", "END:VTIMEZONE"), check.VALID_CALENDAR_OBJECT, "no VEVENT"),
        (calendar("BEGIN:VTIMEZONE", "END:VTIMEZONE", *event()), check.VALID_CALENDAR_DATA, "exactly one TZID"),
        (calendar("METHOD:REQUEST", *event()), check.VALID_CALENDAR_OBJECT, "line 4: METHOD"),
        (calendar(*event()) * 2, check.VALID_CALENDAR_OBJECT, "a second object"),
        (calendar(*event(), *event(uid="2")), check.VALID_CALENDAR_OBJECT, "line 8: UID '2' beside UID '1'"),
        (calendar(*event(), *event(name="VTODO")), check.VALID_CALENDAR_OBJECT, "a VTODO beside a VEVENT"),
        (calendar(*event(), *event()), check.VALID_CALENDAR_OBJECT, "a second VEVENT of this UID without RECURRENCE"),
        (calendar("BEGIN:VFREEBUSY", "UID:1", "END:VFREEBUSY"), check.SUPPORTED_CALENDAR_COMPONENT, "a VFREEBUSY"),
        (calendar(*event()).replace(b"2.0", b"1.0"), check.SUPPORTED_CALENDAR_DATA, "version '1.0'"),
        (calendar(*event()).replace(b"VERSION:2.0\r\n", b""), check.VALID_CALENDAR_DATA, "no VERSION"),
        (calendar("VERSION:2.0", *event()), check.VALID_CALENDAR_DATA, "line 4: a second VERSION"),
        (calendar("BEGIN:VEVENT", "DTSTART:20260101", "END:VEVENT"), check.VALID_CALENDAR_OBJECT, "no UID"),
        (calendar(*event("UID:1")), check.VALID_CALENDAR_DATA, "line 7: a second UID in this VEVENT"),
        (calendar(*event(start="")), check.VALID_CALENDAR_DATA, "no DTSTART"),
        (calendar(*event("DTSTART:20260101")), check.VALID_CALENDAR_DATA, "a second DTSTART"),
        (calendar(*event(start="DTSTART:2026-01-01")), check.VALID_CALENDAR_DATA, "line 6: DTSTART: '2026-01-01'"),
        (calendar(*event(start="DTSTART:20261301")), check.VALID_CALENDAR_DATA, "is no DATE or DATE-TIME"),
        (calendar(*event(start="DTSTART:20260101T250000")), check.VALID_CALENDAR_DATA, "is no DATE or DATE-TIME"),
        (calendar(*event("DTEND:")), check.VALID_CALENDAR_DATA, "line 7: DTEND: ''"),
        (calendar(*event("DUE:soon", name="VTODO")), check.VALID_CALENDAR_DATA, "DUE: 'soon'"),
        (calendar(*event("RECURRENCE-ID:now")), check.VALID_CALENDAR_DATA, "RECURRENCE-ID: 'now'"),
        # The index of UIDs would take the inner one's.
        (calendar(*event(*event(uid="2"))), check.VALID_CALENDAR_DATA, "line 7: a VEVENT within a VEVENT"),
        (
            calendar(*event("BEGIN:VALARM", *event(name="VTODO", uid="2"), "END:VALARM")),
            check.VALID_CALENDAR_DATA,
            "line 8: a VTODO within a VALARM",
        ),
        (
            calendar("BEGIN:VTIMEZONE", "TZID:Z", *event(uid="2"), "END:VTIMEZONE", *event()),
            check.VALID_CALENDAR_DATA,
            "line 6: a VEVENT within a VTIMEZONE",
        ),
    ],
)
def test_calendar_objects_that_are_refused(body: bytes, element: str, reason: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        check_icalendar(body)
    assert (caught.value.element, reason in caught.value.message) == (element, True), caught.value.message


STRUCTURE = "BEGIN:VCARD END:VCARD BEGIN:VCALENDAR END:VCALENDAR BEGIN:VEVENT END:VEVENT BEGIN:VTIMEZONE END:VTIMEZONE"
PROPERTIES = 'VERSION:3.0 VERSION:2.0 TZID:Z UID:1 DTSTART:20260101 RECURRENCE-ID:20260101 g.UID;A="b:":2 g_1.uid:3'
FRAGMENTS = st.lists(
    st.sampled_from([f"{line}\n".encode() for line in (*STRUCTURE.split(), *PROPERTIES.split(), " fold", "\tfold", "")])
    | st.sampled_from([b"\r\n", b" ", b"\t", b"\xff"]),
    max_size=25,
).map(b"".join)


@given(st.binary(max_size=300) | FRAGMENTS)
def test_any_bytes_have_facts_or_are_refused(body: bytes) -> None:
    for judge, space in ((check_vcard, check.CARDDAV), (check_icalendar, check.CALDAV)):
        try:
            facts: CardFacts | CalendarFacts = judge(body)
        except InvalidContent as refusal:
            assert refusal.element.startswith(space)
            assert refusal.message
        else:
            assert facts.uid == facts.uid.strip() != ""
            assert quick_uid(body) == facts.uid


INNER = st.lists(
    st.sampled_from(
        ['g.UID;A="b:":2', "g_1.uid:3", "UID:4", "U\n ID:5", "UID:\n 6", "UID:7\n\t8", "NOTE:\n UID:9", "X:", ""]
    ),
    max_size=5,
)


@given(INNER, st.booleans())
def test_the_index_of_uids_sees_what_the_check_sees(lines: list[str], crlf: bool) -> None:
    alarm = ("BEGIN:VALARM", *lines, "END:VALARM")
    bodies = card("VERSION:3.0", *lines), calendar("UID:0", *event(*alarm, *lines, uid="")).replace(b"UID:\r\n", b"", 1)
    for body, judge in zip(bodies, (check_vcard, check_icalendar), strict=True):
        body = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n" if crlf else b"\n")
        try:
            facts: CardFacts | CalendarFacts = judge(body)
        except InvalidContent:
            continue
        assert quick_uid(body) == facts.uid


@pytest.mark.parametrize(
    "header", ["text/vcard", "text/vcard; charset=utf-8", 'TEXT/X-VCARD;charset="UTF-8"', "text/directory", None, ""]
)
def test_media_types_of_vcards(header: str | None) -> None:
    assert vcard_media(header, card("VERSION:3.0")) == VCARD


@pytest.mark.parametrize("header", ["text/calendar", "text/calendar;component=VEVENT; charset=utf8", None])
def test_media_types_of_calendar_objects(header: str | None) -> None:
    assert icalendar_media(header, calendar()) == ICALENDAR


@pytest.mark.parametrize(
    "header", ["text/plain", "text/calendar", "text/vcard; charset=iso-8859-1", "application/vcard"]
)
def test_media_types_that_are_refused(header: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        vcard_media(header, card())
    assert caught.value.element == check.SUPPORTED_ADDRESS_DATA


def test_a_body_without_media_type_must_be_recognised() -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        icalendar_media(None, card())
    assert caught.value.element == check.SUPPORTED_CALENDAR_DATA
    assert sniff(b"\xef\xbb\xbf\r\nbegin:vcalendar\r\n") == ICALENDAR
    assert sniff(b"BEGIN:VCARDS\r\n") is None
