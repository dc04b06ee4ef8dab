"""calendar-query and free-busy-query over a real core: the examples of RFC 4791 sections 7.8 and 7.10, and clients'."""

from __future__ import annotations

from typing import Any

import pytest

from safehold.content.lines import unfold
from safehold.model.commands import DeleteItem
from safehold.model.kinds import Kind
from safehold.web import dav_free_busy
from tests.support.asgi import DECLARED, ICAL, Device, event
from tests.support.queries import (
    CALENDAR,
    RFC,
    calendar_query,
    data,
    in_comp,
    in_time,
    names,
    report,
    with_examples,
)

DEFAULT = "/dav/anna/calendars/default/"


@pytest.fixture
def examples(device: Device) -> Device:
    with_examples(device)
    return device


def stored(number: int) -> bytes:
    return (RFC / f"rfc4791-b-abcd{number}.ics").read_bytes()


def abcd(*numbers: int) -> set[str]:
    return {f"abcd{number}.ics" for number in numbers}


DAY = in_time("20060104T000000Z", "20060105T000000Z")


def test_7_8_1_partial_retrieval_of_events_by_time_range(examples: Device) -> None:
    prop = (
        '<D:getetag/><C:calendar-data><C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT">'
        '<C:prop name="SUMMARY"/><C:prop name="UID"/><C:prop name="DTSTART"/><C:prop name="DTEND"/>'
        '<C:prop name="DURATION"/><C:prop name="RRULE"/><C:prop name="RDATE"/><C:prop name="EXRULE"/>'
        '<C:prop name="EXDATE"/><C:prop name="RECURRENCE-ID"/></C:comp><C:comp name="VTIMEZONE"/></C:comp>'
        "</C:calendar-data>"
    )
    answer = report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY), prop))
    assert names(answer) == abcd(2, 3)
    third = data(answer, CALENDAR + "abcd3.ics").decode().replace("\r\n", "\n")
    assert third.startswith("BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VTIMEZONE\nLAST-MODIFIED:20040110T032845Z\n")
    assert third.count("BEGIN:STANDARD") == third.count("BEGIN:DAYLIGHT") == 1
    assert third.endswith(
        "END:VTIMEZONE\nBEGIN:VEVENT\nDTSTART;TZID=US/Eastern:20060104T100000\nDURATION:PT1H\nSUMMARY:Event #3\n"
        "UID:DC6C50A017428C5216A2F1CD@example.com\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    second = data(answer, CALENDAR + "abcd2.ics").decode()
    assert second.count("BEGIN:VEVENT") == 3
    assert "DTSTAMP" not in second.partition("BEGIN:VEVENT")[2]


def test_7_8_2_partial_retrieval_of_recurring_events(examples: Device) -> None:
    prop = (
        '<C:calendar-data><C:limit-recurrence-set start="20060103T000000Z" end="20060105T000000Z"/></C:calendar-data>'
    )
    answer = report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY), prop))
    assert names(answer) == abcd(2, 3)
    second = data(answer, CALENDAR + "abcd2.ics").decode()
    assert second.count("BEGIN:VEVENT") == 2
    assert "Event #2 bis\r\n" in second
    assert "Event #2 bis bis" not in second


def test_7_8_3_expanded_retrieval_of_recurring_events(examples: Device) -> None:
    prop = '<C:calendar-data><C:expand start="20060103T000000Z" end="20060105T000000Z"/></C:calendar-data>'
    answer = report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY), prop))
    assert names(answer) == abcd(2, 3)
    second = data(answer, CALENDAR + "abcd2.ics").decode().replace("\r\n", "\n")
    assert "VTIMEZONE" not in second
    assert second.count("BEGIN:VEVENT") == 2
    assert {"DTSTART:20060103T170000Z", "DTSTART:20060104T190000Z"} <= set(second.split("\n"))
    assert {"RECURRENCE-ID:20060103T170000Z", "RECURRENCE-ID:20060104T170000Z"} <= set(second.split("\n"))
    assert "RRULE" not in second
    assert "DTSTART:20060104T150000Z" in data(answer, CALENDAR + "abcd3.ics").decode()


def test_7_8_4_stored_free_busy_is_not_kept_here(examples: Device) -> None:
    inner = in_comp("VFREEBUSY", in_time("20060102T000000Z", "20060103T000000Z"))
    assert names(report(examples, CALENDAR, calendar_query(inner))) == set()


def test_7_8_5_to_dos_by_alarm_time_range(examples: Device) -> None:
    inner = in_comp("VTODO", in_comp("VALARM", in_time("20060106T100000Z", "20060107T100000Z")))
    answer = report(examples, CALENDAR, calendar_query(inner, "<D:getetag/><C:calendar-data/>"))
    assert names(answer) == abcd(5)
    assert data(answer, CALENDAR + "abcd5.ics") == stored(5)


def test_7_8_6_retrieval_of_event_by_uid(examples: Device) -> None:
    match = '<C:text-match collation="i;octet">DC6C50A017428C5216A2F1CD@example.com</C:text-match>'
    inner = in_comp("VEVENT", f'<C:prop-filter name="UID">{match}</C:prop-filter>')
    answer = report(examples, CALENDAR, calendar_query(inner, "<D:getetag/><C:calendar-data/>"))
    assert names(answer) == abcd(3)
    assert data(answer, CALENDAR + "abcd3.ics") == stored(3)
    assert names(report(examples, CALENDAR, calendar_query(inner.replace("DC6C", "dc6c")))) == set()


def test_7_8_7_retrieval_of_events_by_partstat(examples: Device) -> None:
    inner = in_comp(
        "VEVENT",
        '<C:prop-filter name="ATTENDEE">'
        '<C:text-match collation="i;ascii-casemap">mailto:lisa@example.com</C:text-match>'
        '<C:param-filter name="PARTSTAT"><C:text-match collation="i;ascii-casemap">NEEDS-ACTION</C:text-match>'
        "</C:param-filter></C:prop-filter>",
    )
    assert names(report(examples, CALENDAR, calendar_query(inner))) == abcd(3)
    assert names(report(examples, CALENDAR, calendar_query(inner.replace("lisa", "cyrus")))) == set()


def test_7_8_8_retrieval_of_events_only(examples: Device) -> None:
    answer = report(examples, CALENDAR, calendar_query(in_comp("VEVENT"), "<D:getetag/><C:calendar-data/>"))
    assert names(answer) == abcd(1, 2, 3)
    assert data(answer, CALENDAR + "abcd1.ics") == stored(1)
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VTODO")))) == abcd(4, 5, 6, 7)
    assert names(report(examples, CALENDAR, calendar_query(""))) == abcd(1, 2, 3, 4, 5, 6, 7)


def test_7_8_9_retrieval_of_all_pending_to_dos(examples: Device) -> None:
    inner = in_comp(
        "VTODO",
        '<C:prop-filter name="COMPLETED"><C:is-not-defined/></C:prop-filter><C:prop-filter name="STATUS">'
        '<C:text-match negate-condition="yes">CANCELLED</C:text-match></C:prop-filter>',
    )
    assert names(report(examples, CALENDAR, calendar_query(inner))) == abcd(4, 5)


def test_7_8_10_an_unknown_collation(examples: Device) -> None:
    match = '<C:text-match collation="i;unicode-upper">x</C:text-match>'
    inner = in_comp("VEVENT", f'<C:prop-filter name="SUMMARY">{match}</C:prop-filter>')
    answer = report(examples, CALENDAR, calendar_query(inner))
    assert (answer.status, answer.error) == (403, "C:supported-collation")


def busy(device: Device, path: str, start: str, end: str, depth: str = "1"):
    body = f"<C:free-busy-query {DECLARED}>{in_time(start, end)}</C:free-busy-query>"
    return report(device, path, body, Depth=depth)


def test_7_10_1_free_busy(examples: Device) -> None:
    answer = busy(examples, CALENDAR, "20060104T140000Z", "20060105T220000Z")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    lines = unfold(answer.body).decode().splitlines()
    assert lines[:2] == ["BEGIN:VCALENDAR", "VERSION:2.0"]
    assert {"DTSTART:20060104T140000Z", "DTEND:20060105T220000Z"} <= set(lines)
    times = sorted(line for line in lines if line.startswith("FREEBUSY"))
    assert times == [
        "FREEBUSY:20060104T190000Z/20060104T200000Z,20060105T170000Z/20060105T180000Z",
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060104T150000Z/20060104T160000Z",
    ]
    assert lines.count("BEGIN:VFREEBUSY") == 1
    for depth in ("0", "infinity"):
        assert busy(examples, CALENDAR, "20060104T140000Z", "20060105T220000Z", depth).body == answer.body


def test_free_busy_where_there_is_none(examples: Device) -> None:
    assert b"FREEBUSY:" not in busy(examples, DEFAULT, "20060104T140000Z", "20060105T220000Z").body
    for path in ("/dav/anna/calendars/", CALENDAR + "abcd1.ics", "/dav/anna/contacts/default/"):
        answer = busy(examples, path, "20060104T140000Z", "20060105T220000Z")
        assert (answer.status, answer.error) == (403, "D:supported-report")
    assert busy(examples, CALENDAR, "20060105T220000Z", "20060104T140000Z").status == 400


# -- what clients send ---------------------------------------------------------------------------------------


def test_davx5_lists_a_calendar_with_and_without_a_limit_of_time(examples: Device) -> None:
    """By etag alone; then it asks for what is new by multiget."""
    for depth in ("0", "1", "infinity"):
        everything = report(examples, CALENDAR, calendar_query(in_comp("VEVENT")), Depth=depth)
        assert names(everything) == abcd(1, 2, 3)
        late = report(examples, CALENDAR, calendar_query(in_comp("VEVENT", in_time("20060105T000000Z"))), Depth=depth)
        assert names(late) == abcd(2)
    assert names(examples.ask("REPORT", CALENDAR, calendar_query(in_comp("VEVENT")))) == abcd(1, 2, 3)
    hrefs = [CALENDAR + name for name in sorted(names(everything))]
    assert len(examples.multiget(CALENDAR, hrefs).listed) == 3


def test_an_apple_device_asks_for_what_is_still_to_come(examples: Device) -> None:
    inner = in_comp("VEVENT", in_time(start="20060104T160000Z"))
    answer = report(examples, CALENDAR, calendar_query(inner, "<D:getetag/><D:resourcetype/><D:getcontenttype/>"))
    assert names(answer) == abcd(2)
    found = answer.responses[CALENDAR + "abcd2.ics"][200]
    assert found["D:getcontenttype"].text.startswith("text/calendar")


def test_thunderbird_lists_events_and_to_dos_one_after_another(examples: Device) -> None:
    prop = "<D:getetag/><D:getcontenttype/>"
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VEVENT"), prop))) == abcd(1, 2, 3)
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VTODO"), prop))) == abcd(4, 5, 6, 7)
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VJOURNAL"), prop))) == set()


def test_a_calendar_of_one_component_is_listed_without_a_look_at_bodies(device: Device) -> None:
    for n in range(3):
        device.put(f"{DEFAULT}{n}.ics", event(f"e{n}"), ICAL)
    device.gate.core._db.execute("UPDATE journal SET body = NULL WHERE name = '1.ics'")
    assert len(names(report(device, DEFAULT, calendar_query(in_comp("VEVENT"))))) == 3
    assert names(report(device, DEFAULT, calendar_query(in_comp("VTODO")))) == {"1.ics"}, "whatever was in it"


def test_both_kinds_at_once_are_no_object(examples: Device) -> None:
    """All of a filter's conditions are about one object (RFC 4791 section 9.7.1)."""
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VEVENT") + in_comp("VTODO")))) == set()
    without = in_comp("VTODO", "<C:is-not-defined/>")
    assert names(report(examples, CALENDAR, calendar_query(without))) == abcd(1, 2, 3)
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY) + without))) == abcd(2, 3)


def test_conditions_beside_a_range_of_time(examples: Device) -> None:
    prop = '<C:prop-filter name="SUMMARY"><C:text-match>{}</C:text-match></C:prop-filter>'
    for text, found in (("event #3", abcd(3)), ("event", abcd(2, 3)), ("#1", set())):
        assert names(report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY + prop.format(text))))) == found
    stamp = '<C:prop-filter name="DTSTAMP">{}</C:prop-filter>'.format(in_time("20060206T001200Z", "20060206T001300Z"))
    assert names(report(examples, CALENDAR, calendar_query(in_comp("VEVENT", stamp)))) == abcd(3)


def test_a_query_of_one_object(examples: Device) -> None:
    for number, found in ((1, set()), (2, abcd(2))):
        answer = report(examples, f"{CALENDAR}abcd{number}.ics", calendar_query(in_comp("VEVENT", DAY)), Depth="0")
        assert names(answer) == found


# -- time zones ----------------------------------------------------------------------------------------------

NEW_YORK = (RFC / "rfc4791-b-abcd1.ics").read_text().partition("BEGIN:VEVENT")[0] + "END:VCALENDAR\r\n"


def floating(device: Device) -> str:
    body = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:f\r\nDTSTAMP:20260101T000000Z\r\n"
        "DTSTART:20260301T090000\r\nDURATION:PT1H\r\nSUMMARY:x\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    assert device.put(DEFAULT + "f.ics", body.encode(), ICAL).status == 201
    return DEFAULT


def test_which_zone_times_without_one_are_in(device: Device) -> None:
    path = floating(device)
    at_nine, at_fourteen = (in_time(f"20260301T{h}3000Z", f"20260301T{h}4500Z") for h in ("09", "14"))

    def found(within: str, more: str = "") -> bool:
        return bool(names(report(device, path, calendar_query(in_comp("VEVENT", within), more=more))))

    assert (found(at_nine), found(at_fourteen)) == (True, False)  # UTC
    zone = f"<C:timezone>{NEW_YORK}</C:timezone>"
    assert (found(at_nine, zone), found(at_fourteen, zone)) == (False, True)
    by_id = "<C:timezone-id>America/New_York</C:timezone-id>"
    assert (found(at_nine, by_id), found(at_fourteen, by_id)) == (False, True)
    set_ = f"<D:set><D:prop><C:calendar-timezone>{NEW_YORK}</C:calendar-timezone></D:prop></D:set>"
    assert device.proppatch(path, set_).status == 207
    assert (found(at_nine), found(at_fourteen)) == (False, True)
    utc = "<C:timezone-id>Etc/UTC</C:timezone-id>"
    assert (found(at_nine, utc), found(at_fourteen, utc)) == (True, False)


def test_times_without_a_zone_in_a_multiget(device: Device) -> None:
    """A report that names no zone expands in the collection's."""
    path = floating(device)
    daily = device.ask("GET", path + "f.ics").body.replace(b"SUMMARY:x", b"RRULE:FREQ=DAILY;COUNT=1\r\nSUMMARY:x")
    device.put(path + "f.ics", daily, ICAL)
    prop = '<C:calendar-data><C:expand start="20260301T143000Z" end="20260301T144500Z"/></C:calendar-data>'

    def expanded() -> list[bool]:
        answers = (device.multiget(path, [path + "f.ics"], prop=prop), device.sync(path, prop=prop))
        return [b"BEGIN:VEVENT" in data(answer, path + "f.ics") for answer in answers]

    assert expanded() == [False, False]
    device.proppatch(path, f"<D:set><D:prop><C:calendar-timezone>{NEW_YORK}</C:calendar-timezone></D:prop></D:set>")
    assert expanded() == [True, True]


# -- what breaks, and what must never look absent ------------------------------------------------------------


def test_preconditions(examples: Device) -> None:
    for body, error in (
        (f"<C:calendar-query {DECLARED}><D:prop/></C:calendar-query>", "C:valid-filter"),
        (calendar_query(in_comp("VEVENT", in_time("20060104"))), "C:valid-filter"),
        (calendar_query(in_time("20060104T000000Z")), "C:valid-filter"),
        (calendar_query(in_comp("VEVENT") * 200), "C:supported-filter"),
        (calendar_query("", '<C:calendar-data content-type="a/b"/>'), "C:supported-calendar-data"),
        (calendar_query("", more="<C:timezone>nonsense</C:timezone>"), "C:valid-calendar-data"),
        (calendar_query("", more="<C:timezone-id>Mars/Olympus</C:timezone-id>"), "C:valid-timezone"),
    ):
        answer = report(examples, CALENDAR, body)
        assert (answer.status, answer.error) == (403, error)


def test_what_is_lost_never_looks_absent(examples: Device) -> None:
    timed = calendar_query(in_comp("VEVENT", in_time("20060101T000000Z", "20060110T000000Z")))
    assert names(report(examples, CALENDAR, timed)) == abcd(1, 2, 3)
    account = examples.gate.reads.account_named("anna")
    examples.gate.core._db.execute("UPDATE journal SET body = NULL WHERE name = 'abcd3.ics'")
    for body in (
        calendar_query(in_comp("VEVENT")),
        calendar_query(in_comp("VTODO", '<C:prop-filter name="SUMMARY"/>')),
        calendar_query(in_comp("VEVENT", DAY + '<C:prop-filter name="SUMMARY"/>')),
    ):
        assert "abcd3.ics" in names(report(examples, CALENDAR, body)), "nobody can say that it does not match"
    answer = report(examples, CALENDAR, calendar_query(in_comp("VEVENT", DAY), "<C:calendar-data/>"))
    assert (answer.status, answer.error) == (503, "")
    assert busy(examples, CALENDAR, "20060104T140000Z", "20060105T220000Z").status == 503
    examples.gate.spans = type(examples.gate.spans)()  # nothing is known of times any more
    assert "abcd3.ics" in names(report(examples, CALENDAR, timed))
    examples.gate.hold(account, Kind.CALENDAR, "revisions 2 to 3 are missing")
    for path in (CALENDAR, CALENDAR + "abcd1.ics", CALENDAR + "none.ics", "/dav/anna/calendars/lost/"):
        assert report(examples, path, timed).status == 503
    assert busy(examples, CALENDAR, "20060104T140000Z", "20060105T220000Z").status == 503


def test_a_damaged_body_is_not_taken_for_one_at_another_time(examples: Device) -> None:
    elsewhere = stored(3).replace(b"20060104T100000", b"20060203T100000")
    examples.gate.core._db.execute("UPDATE journal SET body = ? WHERE name = 'abcd3.ics'", (elsewhere,))
    for body in (calendar_query(in_comp("VEVENT", DAY)), calendar_query(in_comp("VTODO", "<C:is-not-defined/>"))):
        assert report(examples, CALENDAR, body).status == 503


def test_the_index_follows_what_changes(examples: Device) -> None:
    body = calendar_query(in_comp("VEVENT", DAY))
    assert names(report(examples, CALENDAR, body)) == abcd(2, 3)
    examples.ask("DELETE", CALENDAR + "abcd2.ics")
    assert names(report(examples, CALENDAR, body)) == abcd(3)
    moved = stored(3).replace(b"20060104T100000", b"20060203T100000")
    assert examples.put(CALENDAR + "abcd3.ics", moved, ICAL).status == 204
    assert names(report(examples, CALENDAR, body)) == set()
    again = stored(1).replace(b"20060102T100000", b"20060104T100000").replace(b"74855313", b"99999999")
    examples.put(CALENDAR + "new.ics", again, ICAL)
    assert names(report(examples, CALENDAR, body)) == {"new.ics"}


def test_an_expansion_without_end_is_given_as_it_is_stored(device: Device) -> None:
    body = (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:s\r\nDTSTAMP:20260101T000000Z\r\n"
        b"DTSTART:20000101T000000Z\r\nRRULE:FREQ=SECONDLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    device.put(DEFAULT + "s.ics", body, ICAL)
    prop = '<C:calendar-data><C:expand start="20000101T000000Z" end="20300101T000000Z"/></C:calendar-data>'
    assert data(device.multiget(DEFAULT, [DEFAULT + "s.ics"], prop=prop), DEFAULT + "s.ics") == body
    answer = busy(device, DEFAULT, "20000101T000000Z", "20300101T000000Z")
    assert (answer.status, answer.error) in ((200, ""), (403, "D:number-of-matches-within-limits"))


def test_what_is_claimed(device: Device) -> None:
    device.put(DEFAULT + "e.ics", event("e"), ICAL)
    asked = ("D:supported-report-set", "C:supported-collation-set")
    found = device.propfind(DEFAULT, *asked).responses[DEFAULT][200]
    kinds = {e.tag.rpartition("}")[2] for e in found["D:supported-report-set"].iter()}
    assert {"calendar-query", "calendar-multiget", "free-busy-query", "sync-collection"} <= kinds
    assert "i;ascii-casemap" in [e.text for e in found["C:supported-collation-set"]]
    item = device.propfind(DEFAULT + "e.ics", "D:supported-report-set").responses[DEFAULT + "e.ics"][200]
    assert [e.tag.rpartition("}")[2] for e in item["D:supported-report-set"].iter()][-1] == "calendar-query"


# -- pieces --------------------------------------------------------------------------------------------------

#: Uses up all steps that a question may take: there is no such day.
NEVER = "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
FROM_NOW_ON = in_time("20270101T000000Z")


def fill(device: Device, count: int, start: str, *lines: str) -> None:
    for number in range(count):
        body = "\r\n".join(
            (
                *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", f"UID:u{number}"),
                *("DTSTAMP:20260101T000000Z", f"DTSTART:{start}", *lines, "END:VEVENT", "END:VCALENDAR", ""),
            )
        )
        assert device.put(f"{DEFAULT}{number:03}.ics", body.encode(), ICAL).status == 201


def test_hostile_bodies_are_judged_a_few_at_a_time(device: Device) -> None:
    fill(device, 12, "20260101T000000Z", NEVER)
    names(report(device, DEFAULT, calendar_query(in_comp("VEVENT", FROM_NOW_ON))))  # makes the index
    before = device.gate.in_threads
    answer = report(device, DEFAULT, calendar_query(in_comp("VEVENT", FROM_NOW_ON)))
    assert len(names(answer)) == 12  # for what is not certain is listed
    assert device.gate.in_threads - before >= 12  # each used its steps up


def test_hostile_bodies_are_expanded_a_few_at_a_time(device: Device) -> None:
    fill(device, 12, "20260101T000000Z", NEVER)
    part = '<C:calendar-data><C:expand start="20270101T000000Z" end="99980101T000000Z"/></C:calendar-data>'
    before = device.gate.in_threads
    answer = device.multiget(DEFAULT, [f"{DEFAULT}{number:03}.ics" for number in range(12)], prop=part)
    assert len(names(answer)) == 12
    assert device.gate.in_threads - before >= 12


def test_free_busy_is_gathered_in_pieces(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(device, 30, "20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;INTERVAL=3")
    asked = ("20260101T000000Z", "20260201T000000Z")
    whole = busy(device, DEFAULT, *asked)
    before = device.gate.in_threads
    monkeypatch.setattr(dav_free_busy, "PIECE_BODIES", 4)
    assert busy(device, DEFAULT, *asked).body == whole.body
    assert unfold(whole.body).count(b"Z/") == 11
    assert device.gate.in_threads - before == 1 + 8 + 1  # the index, the pieces, the answer


def test_free_busy_ends_a_piece_by_steps(device: Device) -> None:
    fill(device, 6, "20260101T000000Z", "DURATION:PT5S", "RRULE:FREQ=HOURLY;BYMINUTE=0,1,2;BYSECOND=0,10,20")
    asked = ("20260101T000000Z", "20260318T000000Z")  # 16,416 instances of each, at two steps
    assert busy(device, DEFAULT, "20260101T000000Z", "20260101T010000Z").status == 200  # makes the index
    before = device.gate.in_threads
    assert busy(device, DEFAULT, *asked).status == 403  # more periods than are told
    assert device.gate.in_threads - before == 1 + 4  # the index, and the fourth object has one too many


def test_what_changes_between_pieces_of_free_busy_counts_as_it_then_is(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(device, 6, "20260101T100000Z", "DURATION:PT1H")
    monkeypatch.setattr(dav_free_busy, "PIECE_BODIES", 2)
    in_thread = device.gate.in_thread
    jobs = 0

    async def meddled(work: Any) -> Any:
        nonlocal jobs
        jobs += 1
        made = await in_thread(work)
        if jobs == 2:  # the index and the first piece
            account = device.gate.reads.account_named("anna")
            assert account is not None
            for number in (2, 3, 4, 5):
                await device.gate.execute(
                    DeleteItem(account=account.id, path="calendars/default", name=f"{number:03}.ics")
                )
        return made

    monkeypatch.setattr(device.gate, "in_thread", meddled)
    answer = busy(device, DEFAULT, "20260101T000000Z", "20260201T000000Z")
    assert answer.status == 200
    assert b"FREEBUSY:20260101T100000Z/20260101T110000Z" in answer.body
    assert jobs == 5
