"""Rules of the standards that no other test here is about: docs/standards.md names them section by section."""

from __future__ import annotations

import pytest
from lxml import etree

from safehold.content.lines import unfold
from safehold.model.kinds import Kind
from tests.support.asgi import CARD, DECLARED, ICAL, Device, event, q, tag_of, vcard
from tests.support.queries import RFC, book_query, calendar_query, data, in_comp, in_time, names, report, with_text

BOOK, CALENDAR, TASKS = "/dav/anna/contacts/default/", "/dav/anna/calendars/default/", "/dav/anna/calendars/tasks/"
NOTES, PHOTOS = "/dav/anna/files/notes/", "/dav/anna/files/photos/"
LOCKINFO = (
    f"<D:lockinfo {DECLARED}><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>"
)
PATCH = f"<D:propertyupdate {DECLARED}><D:set><D:prop><x>1</x></D:prop></D:set></D:propertyupdate>"
EMPTY_SYNC = f"<D:sync-collection {DECLARED}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop/></D:sync-collection>"


def header(device: Device, path: str, name: str) -> str:
    return device.ask("HEAD", path).headers[name]


# -- RFC 4918 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["DELETE", "COPY", "MOVE", "UNLOCK"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_would_not_be_heeded_is_refused(device: Device, method: str, chunked: bool) -> None:
    """Section 8.4: its sender must not take it for heeded."""
    device.put(NOTES + "a", b"a", "text/plain")
    token = device.ask("LOCK", NOTES + "a", LOCKINFO).headers["lock-token"]
    headers = {"Destination": NOTES + "b", "Lock-Token": token, "If": f"({token})"}
    sent = {"chunks": [b"", b"<x/>"]} if chunked else {"body": b"<x/>"}
    answer = device.ask(method, NOTES + "a", headers=headers, **sent)
    assert (answer.status, answer.error) == (415, "")
    assert device.ask("GET", NOTES + "a").body == b"a"
    assert device.put(NOTES + "a", b"b").status == 423, "the lock stands as well"
    assert device.ask(method, NOTES + "a", headers=headers, chunks=[b"", b""]).status in (201, 204)


def test_who_asks_is_judged_before_any_condition(device: Device) -> None:
    """Sections 8.1 and 8.5: a stranger learns nothing from a condition, nor from a body that makes no sense."""
    body = vcard("a")
    device.put(BOOK + "a.vcf", body)
    conditions = [
        {"If-Match": tag_of(b"x")},
        {"If-None-Match": tag_of(body)},
        {"If": f"([{tag_of(b'x')}])"},
        {"If": "("},
    ]
    for method in ("GET", "PUT", "DELETE", "PROPFIND", "REPORT", "COPY"):
        for path in (BOOK + "a.vcf", BOOK + "none.vcf"):
            for condition in conditions:
                assert device.ask(method, path.replace("anna", "bob"), b"<", condition).status == 403
    device.authorization = None
    for method in ("GET", "PUT", "DELETE", "PROPFIND", "REPORT", "COPY"):
        for condition in conditions:
            assert device.ask(method, BOOK + "a.vcf", b"<", condition).status == 401


def test_a_tag_and_a_date_are_those_of_the_body_alone(device: Device) -> None:
    """Section 8.6: neither properties nor locks change them, for a client would take that for a new body."""
    device.put(NOTES + "a", b"a", "text/plain")
    before = (header(device, NOTES + "a", "etag"), header(device, NOTES + "a", "last-modified"))
    device.gate.clock.advance(10)
    assert device.ask("PROPPATCH", NOTES + "a", PATCH).status == 207
    assert device.ask("LOCK", NOTES + "a", LOCKINFO).status == 200
    assert (header(device, NOTES + "a", "etag"), header(device, NOTES + "a", "last-modified")) == before
    assert device.propfind(NOTES + "a", "D:getlastmodified").text(NOTES + "a", "D:getlastmodified") == before[1]


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_what_comes_to_an_address_is_newer_than_what_was_there(device: Device, method: str) -> None:
    """Section 8.8: a cache that asks with the old date or tag gets the new body."""
    device.put(NOTES + "older", b"older", "text/plain")
    device.gate.clock.advance(10)
    device.put(NOTES + "a", b"a", "text/plain")
    cached = {"If-Modified-Since": header(device, NOTES + "a", "last-modified")}
    tagged = {"If-None-Match": header(device, NOTES + "a", "etag")}
    assert [device.ask("GET", NOTES + "a", b"", asked).status for asked in (cached, tagged)] == [304, 304]
    device.gate.clock.advance(10)
    assert device.ask(method, NOTES + "older", b"", {"Destination": NOTES + "a"}).status == 204
    assert [device.ask("GET", NOTES + "a", b"", asked).body for asked in (cached, tagged)] == [b"older", b"older"]


def test_a_collection_has_no_body_to_get_or_to_post_to(device: Device) -> None:
    device.ask("MKCOL", NOTES + "f")
    for path in ("/dav/", "/dav/anna/", "/dav/anna/contacts/", BOOK, CALENDAR, NOTES, NOTES + "f", NOTES + "f/"):
        for method in ("GET", "HEAD", "POST"):
            answer = device.ask(method, path)
            assert (path, method, answer.status) == (path, method, 405)
            assert method not in answer.headers["allow"].split(", ")


READS = [
    ("GET", NOTES + "a", "", 200),
    ("HEAD", NOTES + "a", "", 200),
    ("PROPFIND", NOTES + "a", "", 207),
    ("PROPFIND", BOOK, "", 207),
    ("REPORT", BOOK, EMPTY_SYNC, 207),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), READS)
def test_the_if_header_is_judged_on_what_only_reads(
    device: Device, method: str, path: str, body: str, status: int
) -> None:
    """Section 10.4: on every method that it may come with."""
    device.put(NOTES + "a", b"one", "text/plain")
    one, other = tag_of(b"one"), tag_of(b"other")
    token = device.ask("LOCK", NOTES + "a", LOCKINFO).headers["lock-token"]
    sync = f"<{device.propfind(BOOK, 'D:sync-token').text(BOOK, 'D:sync-token')}>"

    def ask(value: str) -> int:
        return device.ask(method, path, body, {"Depth": "0", "If": value}).status

    for holds in (f"<{NOTES}a> ([{one}] {token})", f"<{NOTES}a> ([{other}]) (Not <urn:x>)", f"<{BOOK}> ({sync})"):
        assert ask(holds) == status
    for fails in ("(<DAV:no-lock>)", f"<{NOTES}a> ([{other}])", f"<{NOTES}b> ([{one}])", f"<{BOOK}> ({token})"):
        assert ask(fails) == 412
    assert ask("nonsense") == 400
    device.put(BOOK + "a.vcf", vcard("a"))
    assert ask(f"<{BOOK}> ({sync})") == 412
    device.gate.hold(device.gate.reads.account_named("anna"), Kind.PHOTOS, "revisions are missing")
    assert ask(f"<{PHOTOS}none> ([{one}])") == 503, "whether it holds is not known"


@pytest.mark.parametrize(
    "path",
    ["/dav/", "/dav/principals/", "/dav/principals/anna/", "/dav/anna/", "/dav/anna/contacts/", "/dav/anna/files/"],
)
def test_places_of_an_account_have_no_tags(device: Device, path: str) -> None:
    for value, status in ((f"([{tag_of(b'')}])", 412), (f"(Not [{tag_of(b'')}])", 207), ("(<urn:x>)", 412)):
        assert device.ask("PROPFIND", path, b"", {"Depth": "0", "If": value}).status == status


def test_unlock_heeds_the_if_header(device: Device) -> None:
    device.put(NOTES + "a", b"one", "text/plain")
    token = device.ask("LOCK", NOTES + "a", LOCKINFO).headers["lock-token"]
    for tag, status in ((tag_of(b"other"), 412), (tag_of(b"one"), 204)):
        answer = device.ask("UNLOCK", NOTES + "a", b"", {"Lock-Token": token, "If": f"([{tag}])"})
        assert answer.status == status


def test_a_multistatus_says_where_its_resources_are_and_nothing_else_does(device: Device) -> None:
    """Section 13: once each, as absolute paths; no Location beside it."""
    device.put(BOOK + "a.vcf", vcard("a"))
    for answer in (
        device.propfind("/dav/anna/", depth="1"),
        device.propfind(BOOK, depth="1"),
        device.sync(BOOK),
        device.ask("PROPPATCH", BOOK, PATCH),
    ):
        hrefs = [response["href"] for response in answer.listed]
        assert len(set(hrefs)) == len(hrefs) > 0
        assert all(href.startswith("/dav/anna/") for href in hrefs)
        assert "location" not in answer.headers


def test_live_properties_say_what_the_headers_say(device: Device) -> None:
    """Section 15."""
    device.put(NOTES + "a.html", b"<p>", "text/html")
    asked = ("creationdate", "getcontentlength", "getcontenttype", "getetag", "getlastmodified", "resourcetype")

    def told(path: str) -> dict[str, str | None]:
        found = device.propfind(path, *(f"D:{name}" for name in asked)).responses[path][200]
        return {name: found[f"D:{name}"].text for name in asked}

    first = told(NOTES + "a.html")
    got = device.ask("GET", NOTES + "a.html").headers
    assert first["getcontentlength"] == got["content-length"] == "3"
    assert first["getcontenttype"] == got["content-type"] == "text/html"
    assert (first["getetag"], first["getlastmodified"]) == (got["etag"], got["last-modified"])
    assert first["resourcetype"] is None
    device.gate.clock.advance(100)
    device.put(NOTES + "a.html", b"<b>", "text/html")
    second = told(NOTES + "a.html")
    assert second["creationdate"] == first["creationdate"]
    assert second["getlastmodified"] != first["getlastmodified"]
    assert device.ask("COPY", NOTES + "a.html", b"", {"Destination": NOTES + "b.html"}).status == 201
    assert told(NOTES + "b.html")["creationdate"] != first["creationdate"], "a copy is made when it is copied"
    for name in asked:
        assert 403 in device.proppatch(NOTES + "a.html", f"<D:set><D:prop><D:{name}/></D:prop></D:set>").listed[0]


def test_what_is_not_known_in_a_body_is_passed_over(device: Device) -> None:
    """Section 17: elements and attributes of whatever namespace, wherever they stand."""
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    body = (
        f'<D:propfind {DECLARED} xmlns:x="urn:x" x:a="1" new="2"><x:before><D:allprop/></x:before><D:new/>'
        '<D:prop x:b="3"><D:getetag why="4"/></D:prop><x:after/></D:propfind>'
    )
    assert set(device.ask("PROPFIND", BOOK + "a.vcf", body).listed[0][200]) == {"D:getetag"}
    patch = PATCH.replace("<D:set>", '<x xmlns="urn:x"><D:set/></x><D:set why="1"><D:new/>')
    assert set(device.ask("PROPPATCH", BOOK, patch).listed[0][200]) == {"x"}
    sync = EMPTY_SYNC.replace("<D:prop/>", '<x xmlns="urn:x"/><D:prop><D:getetag/></D:prop>')
    assert [r["href"] for r in device.ask("REPORT", BOOK, sync).listed] == [BOOK + "a.vcf"]
    lock = LOCKINFO.replace("<D:lockscope>", '<x xmlns="urn:x"/><D:lockscope why="1">')
    assert device.ask("LOCK", NOTES + "a", lock).status == 201


# -- RFC 4791 and 6352 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "media"),
    [
        (BOOK + "a.vcf", vcard("a", "Ä"), CARD),
        (CALENDAR + "a.ics", event("a"), ICAL),
        (TASKS + "a.ics", event("a", "VTODO"), ICAL),
    ],
)
def test_an_object_has_one_strong_tag_wherever_it_is_told(device: Device, path: str, body: bytes, media: str) -> None:
    """RFC 4791 section 5.3.4, RFC 6352 section 6.3.2.3."""
    told = [
        device.put(path, body, media).headers["etag"],
        device.ask("GET", path).headers["etag"],
        device.propfind(path, "D:getetag").text(path, "D:getetag"),
        device.multiget(path.rpartition("/")[0] + "/", [path]).text(path, "D:getetag"),
        device.sync(path.rpartition("/")[0] + "/").text(path, "D:getetag"),
    ]
    assert set(told) == {tag_of(body)}


def test_what_collections_tell_of_themselves(device: Device) -> None:
    """RFC 4791 section 5.2, RFC 6352 section 6.2: only what is kept to; allprop does not tell of it."""
    device.gate.max_object_bytes = 4321
    calendar = ("C:supported-calendar-data", "C:max-resource-size", "C:supported-calendar-component-set")
    bounds = ("C:min-date-time", "C:max-date-time", "C:max-instances", "C:max-attendees-per-instance")
    found = device.propfind(CALENDAR, *calendar, *bounds).responses[CALENDAR]
    assert (set(found[200]), set(found[404])) == (set(calendar), set(bounds))
    assert [dict(e.attrib) for e in found[200]["C:supported-calendar-data"]] == [
        {"content-type": "text/calendar", "version": "2.0"}
    ]
    assert found[200]["C:max-resource-size"].text == "4321"
    book = ("A:supported-address-data", "A:max-resource-size")
    found = device.propfind(BOOK, *book, "A:principal-address").responses[BOOK]
    assert set(found[404]) == {"A:principal-address"}
    assert [(e.tag, e.get("version")) for e in found[200]["A:supported-address-data"]] == [
        (q("A:address-data-type"), "3.0"),
        (q("A:address-data-type"), "4.0"),
    ]
    assert found[200]["A:max-resource-size"].text == "4321"
    for path, own in ((CALENDAR, calendar), (BOOK, book)):
        assert not {*own, "C:supported-collation-set", "A:supported-collation-set"} & set(
            device.propfind(path).responses[path][200]
        )
        for name in own:
            answer = device.proppatch(path, f"<D:set><D:prop><{name}/></D:prop></D:set>").listed[0]
            assert answer["403 error"] == ["D:cannot-modify-protected-property"]


NON_STANDARD_EVENT = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nX-WR-CALNAME:mine\r\nBEGIN:VEVENT\r\nUID:x\r\n"
    b"DTSTAMP:20260101T000000Z\r\nDTSTART;X-P=1:20260101T000000Z\r\nX-ABC-GUESS;X-Q=yes:blue\r\n"
    b"BEGIN:X-ABC-PART\r\nX-ABC-SIZE:3\r\nEND:X-ABC-PART\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_what_no_standard_names_is_kept_found_and_given(device: Device) -> None:
    """RFC 4791 sections 5.3.3 and 7.7, RFC 6352 sections 6.3.2.2 and 8.5."""
    assert device.put(CALENDAR + "x.ics", NON_STANDARD_EVENT, ICAL).status == 201
    assert device.ask("GET", CALENDAR + "x.ics").body == NON_STANDARD_EVENT
    guess = (
        '<C:prop-filter name="X-ABC-GUESS"><C:text-match>{}</C:text-match><C:param-filter name="X-Q"/></C:prop-filter>'
    )
    part = in_comp("X-ABC-PART", '<C:prop-filter name="X-ABC-SIZE"/>')
    for inner, found in ((guess.format("blue"), True), (guess.format("red"), False), (part, True)):
        asked = calendar_query(in_comp("VEVENT", inner))
        assert names(report(device, CALENDAR, asked)) == ({"x.ics"} if found else set())
    chosen = (
        '<C:calendar-data><C:comp name="VCALENDAR"><C:comp name="VEVENT"><C:prop name="X-ABC-GUESS"/>'
        '<C:comp name="X-ABC-PART"/></C:comp></C:comp></C:calendar-data>'
    )
    given = data(device.multiget(CALENDAR, [CALENDAR + "x.ics"], prop=chosen), CALENDAR + "x.ics")
    assert given.split(b"\r\n")[2:-3] == NON_STANDARD_EVENT.split(b"\r\n")[8:-3]
    card = vcard("x", extra="X-ABC-GUESS;X-Q=yes:blue\r\n")
    assert device.put(BOOK + "x.vcf", card).status == 201
    assert device.ask("GET", BOOK + "x.vcf").body == card
    for text, found in (("blue", True), ("red", False)):
        assert names(report(device, BOOK, book_query(with_text("X-ABC-GUESS", text)))) == (
            {"x.vcf"} if found else set()
        )
    one = '<A:address-data><A:prop name="X-ABC-GUESS"/></A:address-data>'
    given = data(device.multiget(BOOK, [BOOK + "x.vcf"], prop=one), BOOK + "x.vcf", "A:address-data")
    assert given == b"BEGIN:VCARD\r\nX-ABC-GUESS;X-Q=yes:blue\r\nEND:VCARD\r\n"


@pytest.mark.parametrize(
    ("path", "kind"), [(BOOK + "a.vcf", "A:addressbook"), (CALENDAR + "a.ics", "C:calendar")], ids=["card", "event"]
)
def test_reports_on_one_object(device: Device, path: str, kind: str) -> None:
    """RFC 4791 sections 7, 7.5.1 and 7.9, RFC 6352 sections 8, 8.3.1 and 8.7: on objects as on their collections."""
    other = path.replace("a.", "b.")
    for each in (path, other):
        body, media = (vcard(each), CARD) if kind == "A:addressbook" else (event(each), ICAL)
        assert device.put(each, body, media).status == 201
    answer = device.multiget(path, [path, other, path.replace("a.", "none.")])
    assert [r["status"] for r in answer.listed] == [None, 403, 403], "what was not asked is not said to be absent"
    assert answer.text(path, "D:getetag") == device.ask("GET", path).headers["etag"]
    assert device.multiget(path.replace("a.", "none."), [path]).status == 404
    collations = f"{kind[0]}:supported-collation-set"
    found = device.propfind(path, "D:supported-report-set", collations).responses[path][200]
    reports = {e[0][0].tag for e in found["D:supported-report-set"]}
    assert {q(f"{kind}-query"), q(f"{kind}-multiget"), q("D:expand-property")} <= reports
    assert {"i;octet", "i;ascii-casemap", "i;unicode-casemap"} == {e.text for e in found[collations]}


@pytest.mark.parametrize("attribute", ["", 'collation="default"'])
def test_which_collation_is_taken_where_none_is_said(device: Device, attribute: str) -> None:
    """RFC 4791 section 7.5: letters of ASCII are alike; RFC 6352 section 8.3: all letters are."""
    device.put(CALENDAR + "a.ics", event("a").replace(b"SUMMARY:x", "SUMMARY:Ärger".encode()), ICAL)
    device.put(BOOK + "a.vcf", vcard("a", "Ärger"))
    for text, in_calendar, in_book in (("ÄRGER", True, True), ("ärger", False, True)):
        match = f'<C:prop-filter name="SUMMARY"><C:text-match {attribute}>{text}</C:text-match></C:prop-filter>'
        assert bool(names(report(device, CALENDAR, calendar_query(in_comp("VEVENT", match))))) is in_calendar
        assert bool(names(report(device, BOOK, book_query(with_text("FN", text, attribute))))) is in_book


@pytest.mark.parametrize("name", ["plain", "no%20dot", "%C3%A4.%2B%26", "x" * 200])
def test_an_object_is_made_under_any_name_and_replaced_only_where_that_is_wished(device: Device, name: str) -> None:
    """RFC 4791 section 5.3.2, RFC 6352 section 6.3.2."""
    for home, first, second, media in (
        (BOOK, vcard("a"), vcard("a", "B"), CARD),
        (CALENDAR, event("a"), event("a").replace(b"SUMMARY:x", b"SUMMARY:y"), ICAL),
    ):
        path = home + name
        assert device.put(path, first, media, If_None_Match="*").status == 201
        assert device.put(path, second, media, If_None_Match="*").status == 412
        assert device.put(path, second, media, If_Match=tag_of(second)).status == 412
        assert device.ask("GET", path).body == first
        assert device.put(path, second, media, If_Match=tag_of(first)).status == 204
        assert [r["href"] for r in device.propfind(home, depth="1").listed] == [home, path]


def test_an_object_keeps_its_uid(device: Device) -> None:
    """RFC 4791 section 5.3.2.1, RFC 6352 section 6.3.2.1: one UID does not take the place of another."""
    for path, first, second, media, element in (
        (BOOK + "a.vcf", vcard("a"), vcard("b"), CARD, "A:no-uid-conflict"),
        (CALENDAR + "a.ics", event("a"), event("b"), ICAL, "C:no-uid-conflict"),
    ):
        assert device.put(path, first, media).status == 201
        answer = device.put(path, second, media)
        assert (answer.status, answer.error) == (409, element)
        assert answer.xml.findtext(f".//{q('D:href')}") == path
        assert device.ask("GET", path).body == first


def within(component: str, *lines: str) -> bytes:
    inner = "".join(f"{line}\r\n" for line in lines)
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:{component}\r\nUID:t\r\nDTSTAMP:20250101T000000Z\r\n"
        f"{inner}END:{component}\r\nEND:VCALENDAR\r\n"
    ).encode()


#: What is asked: 10 January 2026, midnight to midnight.
FROM, TO = "20260110T000000Z", "20260111T000000Z"
ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x")


@pytest.mark.parametrize(
    ("component", "lines", "found"),
    [
        # VEVENT: with an end, with a duration, with neither; the end of the range is not in it, nor that of the event.
        ("VEVENT", ["DTSTART:20260109T230000Z", "DTEND:20260110T000001Z"], True),
        ("VEVENT", ["DTSTART:20260109T230000Z", "DTEND:20260110T000000Z"], False),
        ("VEVENT", ["DTSTART:20260111T000000Z", "DTEND:20260111T010000Z"], False),
        ("VEVENT", ["DTSTART:20260109T230000Z", "DURATION:PT2H"], True),
        ("VEVENT", ["DTSTART:20260110T000000Z", "DURATION:PT0S"], True),
        ("VEVENT", ["DTSTART:20260110T000000Z"], True),
        ("VEVENT", ["DTSTART:20260109T235959Z"], False),
        ("VEVENT", ["DTSTART;VALUE=DATE:20260110"], True),
        ("VEVENT", ["DTSTART;VALUE=DATE:20260109"], False),
        ("VEVENT", ["DTSTART:20251227T120000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY"], True),
        (
            "VEVENT",
            ["DTSTART:20251227T120000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", "EXDATE:20260110T120000Z"],
            False,
        ),
        ("VEVENT", ["DTSTART:20251228T120000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY"], False),
        # VTODO: each row of the table, the last of which is always true.
        ("VTODO", ["DTSTART:20260109T230000Z", "DURATION:PT2H"], True),
        ("VTODO", ["DTSTART:20260109T220000Z", "DURATION:PT1H"], False),
        ("VTODO", ["DTSTART:20260109T230000Z", "DUE:20260110T010000Z"], True),
        ("VTODO", ["DTSTART:20260112T000000Z", "DUE:20260113T000000Z"], False),
        ("VTODO", ["DTSTART:20260110T000000Z"], True),
        ("VTODO", ["DTSTART:20260111T000000Z"], False),
        ("VTODO", ["DUE:20260111T000000Z"], True),
        ("VTODO", ["DUE:20260112T000000Z"], False),
        ("VTODO", ["COMPLETED:20260110T120000Z", "CREATED:20260101T000000Z"], True),
        ("VTODO", ["COMPLETED:20260110T120000Z"], True),
        ("VTODO", ["COMPLETED:20260109T120000Z"], False),
        ("VTODO", ["CREATED:20260109T120000Z"], True),
        ("VTODO", ["CREATED:20260112T120000Z"], False),
        ("VTODO", [], True),
        # VJOURNAL: with a time, with a date, with neither.
        ("VJOURNAL", ["DTSTART:20260110T120000Z"], True),
        ("VJOURNAL", ["DTSTART:20260111T000000Z"], False),
        ("VJOURNAL", ["DTSTART;VALUE=DATE:20260110"], True),
        ("VJOURNAL", ["DTSTART;VALUE=DATE:20260111"], False),
        ("VJOURNAL", [], False),
    ],
)
def test_what_overlaps_a_range_of_time(device: Device, component: str, lines: list[str], found: bool) -> None:
    """RFC 4791 section 9.9, row by row of its tables."""
    path = {"VEVENT": CALENDAR, "VTODO": TASKS, "VJOURNAL": "/dav/anna/calendars/notes/"}[component]
    assert device.put(path + "t.ics", within(component, *lines), ICAL).status == 201
    asked = in_comp(component, in_time(FROM, TO))
    assert names(report(device, path, calendar_query(asked))) == ({"t.ics"} if found else set())


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["TRIGGER:-PT1H"], False),
        (["TRIGGER:-PT13H"], True),
        (["TRIGGER;RELATED=END:-P1D"], True),
        (["TRIGGER;VALUE=DATE-TIME:20260110T120000Z"], True),
        (["TRIGGER;VALUE=DATE-TIME:20260111T000000Z"], False),
        (["TRIGGER:-P2D", "REPEAT:2", "DURATION:P1D"], True),
    ],
)
def test_which_alarms_ring_in_a_range_of_time(device: Device, lines: list[str], found: bool) -> None:
    """RFC 4791 section 9.9: an alarm with its repetitions. The event begins at noon on the day after, for two hours."""
    body = within("VEVENT", "DTSTART:20260111T120000Z", "DURATION:PT2H", *ALARM, *lines, "END:VALARM")
    assert device.put(CALENDAR + "t.ics", body, ICAL).status == 201
    asked = in_comp("VEVENT", in_comp("VALARM", in_time(FROM, TO)))
    assert names(report(device, CALENDAR, calendar_query(asked))) == ({"t.ics"} if found else set())


def test_who_is_busy_in_times_without_a_zone(device: Device) -> None:
    """RFC 4791 sections 7.3 and 7.10: they are in the calendar's; what is free, cancelled or over is not busy."""
    for name, lines in (
        ("local", ["DTSTART:20260110T090000", "DURATION:PT1H"]),
        ("more", ["DTSTART:20260110T093000", "DURATION:PT1H"]),
        ("free", ["DTSTART:20260110T120000", "DURATION:PT1H", "TRANSP:TRANSPARENT"]),
        ("cancelled", ["DTSTART:20260110T130000", "DURATION:PT1H", "STATUS:CANCELLED"]),
        ("maybe", ["DTSTART:20260110T140000", "DURATION:PT1H", "STATUS:TENTATIVE"]),
    ):
        body = within("VEVENT", *lines).replace(b"UID:t", b"UID:" + name.encode())
        assert device.put(f"{CALENDAR}{name}.ics", body, ICAL).status == 201
    zone = (RFC / "rfc4791-b-abcd1.ics").read_text().partition("BEGIN:VEVENT")[0] + "END:VCALENDAR\r\n"
    asked = f"<C:free-busy-query {DECLARED}>{in_time(FROM, TO)}</C:free-busy-query>"

    def busy() -> list[str]:
        lines = unfold(device.ask("REPORT", CALENDAR, asked, {"Depth": "1"}).body).decode().splitlines()
        return sorted(line for line in lines if line.startswith("FREEBUSY"))

    def at(*hours: str) -> list[str]:
        first, last, tentative, ends = (f"20260110T{hour}00Z" for hour in hours)
        return [f"FREEBUSY:{first}/{last}", f"FREEBUSY;FBTYPE=BUSY-TENTATIVE:{tentative}/{ends}"]

    assert busy() == at("0900", "1030", "1400", "1500")
    device.proppatch(CALENDAR, f"<D:set><D:prop><C:calendar-timezone>{zone}</C:calendar-timezone></D:prop></D:set>")
    assert busy() == at("1400", "1530", "1900", "2000")


# -- RFC 6578 ------------------------------------------------------------------------------------------------


def test_what_scopes_a_sync(device: Device) -> None:
    """Section 3.3: all members at either level. Depth is not looked at, for some clients say 1."""
    device.put(BOOK + "a.vcf", vcard("a"))
    for depth in ("0", "1", "infinity", ""):
        headers = {"Depth": depth} if depth else {}
        for level in ("<D:sync-level>1</D:sync-level>", "<D:sync-level>infinite</D:sync-level>", ""):
            body = EMPTY_SYNC.replace("<D:sync-level>1</D:sync-level>", level)
            assert [r["href"] for r in device.ask("REPORT", BOOK, body, headers).listed] == [BOOK + "a.vcf"]


def test_members_are_told_by_address_whatever_brought_or_took_them(device: Device) -> None:
    """Sections 3.5.1 and 3.5.2: copied, moved, deleted and made anew."""
    device.ask("MKCALENDAR", "/dav/anna/calendars/other/")
    for name in ("a", "b", "c"):
        device.put(f"{CALENDAR}{name}.ics", event(name), ICAL)
    token = device.sync(CALENDAR).token
    device.ask("MOVE", CALENDAR + "a.ics", b"", {"Destination": "/dav/anna/calendars/other/a.ics"})
    device.ask("MOVE", CALENDAR + "b.ics", b"", {"Destination": CALENDAR + "renamed.ics"})
    device.ask("DELETE", CALENDAR + "c.ics")
    device.put(CALENDAR + "c.ics", event("new"), ICAL)
    device.ask("COPY", "/dav/anna/calendars/other/a.ics", b"", {"Destination": CALENDAR + "copied.ics"})
    told = {href.rpartition("/")[2]: r["status"] for href, r in device.sync(CALENDAR, token).responses.items()}
    assert told == {"a.ics": 404, "b.ics": 404, "renamed.ics": None, "c.ics": None, "copied.ics": None}


def test_the_token_is_a_uri_and_not_told_unasked(device: Device) -> None:
    """Sections 3.2, 4 and 6.4: the property, the report and the multistatus say one thing."""
    device.put(BOOK + "a.vcf", vcard("a"))
    answer = device.sync(BOOK)
    token = answer.token
    assert token.startswith("urn:")
    assert token == device.propfind(BOOK, "D:sync-token").text(BOOK, "D:sync-token")
    assert [etree.QName(e).localname for e in answer.xml] == ["response", "sync-token"]
    assert "D:sync-token" not in device.propfind(BOOK).responses[BOOK][200]
    assert 403 in device.proppatch(BOOK, "<D:set><D:prop><D:sync-token/></D:prop></D:set>").listed[0]
