"""Bodies of queries as values: what the standards say, what breaks a precondition, and hostile ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.filters import Collation, CompFilter, MatchType, ParamFilter, PropFilter, text_match
from safehold.content.partial import AddressData, CalendarData, CompChoice, PropChoice
from safehold.content.timerange import TimeRange
from safehold.model.errors import BadRequest, Forbidden, RequestError
from safehold.protocol.partial import Choice
from safehold.protocol.queries import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_TEXT,
    read_addressbook_query,
    read_calendar_query,
    read_free_busy_query,
    read_multiget,
)
from safehold.protocol.webdav import Mode, PropFind
from safehold.protocol.xml import parse

NS = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav"'
GETETAG = PropFind(Mode.PROP, ("{DAV:}getetag",))
PROP = "<D:prop><D:getetag/></D:prop>"


def moment(*at: int) -> int:
    return int(datetime(*at, tzinfo=UTC).timestamp())


def calendar(inner: str, prop: str = PROP, more: str = ""):
    body = f"<C:calendar-query {NS}>{prop}<C:filter>{inner}</C:filter>{more}</C:calendar-query>"
    return read_calendar_query(parse(body.encode()))


def book(inner: str, test: str = "", more: str = ""):
    body = f"<A:addressbook-query {NS}>{PROP}<A:filter {test}>{inner}</A:filter>{more}</A:addressbook-query>"
    return read_addressbook_query(parse(body.encode()))


def in_event(inner: str) -> str:
    return f'<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">{inner}</C:comp-filter></C:comp-filter>'


def test_a_calendar_query() -> None:
    asked = calendar(
        in_event(
            '<C:time-range start="20060104T000000Z" end="20060105T000000Z"/>'
            '<C:prop-filter name="uid"><C:text-match collation="i;octet">DC6C</C:text-match></C:prop-filter>'
            '<C:prop-filter name="ATTENDEE"><C:text-match negate-condition="yes"> x </C:text-match>'
            '<C:param-filter name="PARTSTAT"><C:text-match match-type="equals">N</C:text-match></C:param-filter>'
            '<C:param-filter name="ROLE"><C:is-not-defined/></C:param-filter></C:prop-filter>'
            '<C:prop-filter name="DTSTART"><C:time-range end="20060105T000000Z"/></C:prop-filter>'
            '<C:comp-filter name="VALARM"><C:is-not-defined/></C:comp-filter>'
        )
    )
    assert asked.asked == GETETAG
    assert asked.floating is None
    start, end = moment(2006, 1, 4), moment(2006, 1, 5)
    attendee = PropFilter(
        "ATTENDEE",
        texts=(text_match(" x ", Collation.ASCII, negated=True),),  # a text is what it is, spaces included
        params=(
            ParamFilter("PARTSTAT", text=text_match("N", Collation.ASCII, MatchType.EQUALS)),
            ParamFilter("ROLE", absent=True),
        ),
    )
    event = CompFilter(
        "VEVENT",
        within=TimeRange(start, end),
        props=(
            PropFilter("UID", texts=(text_match("DC6C", Collation.OCTET),)),
            attendee,
            PropFilter("DTSTART", within=TimeRange(None, end)),
        ),
        comps=(CompFilter("VALARM", absent=True),),
    )
    assert asked.filter == CompFilter("VCALENDAR", comps=(event,))


def test_an_addressbook_query() -> None:
    asked = book(
        '<A:prop-filter name="FN" test="allof"><A:text-match>a</A:text-match>'
        '<A:text-match match-type="starts-with" collation="i;ascii-casemap">b</A:text-match></A:prop-filter>'
        '<A:prop-filter name="x-abc.tel"><A:is-not-defined/></A:prop-filter>',
        'test="allof"',
        "<A:limit><A:nresults>3</A:nresults></A:limit>",
    )
    first = text_match("a", Collation.UNICODE)
    second = text_match("b", Collation.ASCII, MatchType.STARTS)
    assert asked.filter.props == (
        PropFilter("FN", texts=(first, second)),
        PropFilter("X-ABC.TEL", absent=True, any_of=True),
    )
    assert not asked.filter.any_of
    assert asked.limit == 3
    assert book('<A:prop-filter name="FN"/>').filter.props == (PropFilter("FN", any_of=True),)
    assert book("").filter.any_of
    assert book("").limit is None


def test_a_query_may_ask_for_nothing_or_for_everything() -> None:
    assert calendar(in_event(""), prop="").asked == PropFind(Mode.PROP)
    assert calendar(in_event(""), prop="<D:allprop/>").asked.mode is Mode.ALLPROP
    assert calendar(in_event(""), prop="<D:propname/>").asked.mode is Mode.PROPNAME


def test_zones() -> None:
    assert calendar(in_event(""), more="<C:timezone-id>UTC</C:timezone-id>").floating is UTC
    for more, element in (
        ("<C:timezone-id>Mars/Olympus</C:timezone-id>", "valid-timezone"),
        ("<C:timezone>UTC</C:timezone>", "valid-calendar-data"),
        ("<C:timezone>BEGIN:VTIMEZONE</C:timezone>", "valid-calendar-data"),
        ("<C:timezone/>", "valid-calendar-data"),
    ):
        with pytest.raises(Forbidden) as error:
            calendar(in_event(""), more=more)
        assert error.value.element.endswith("}" + element)
    with pytest.raises(BadRequest):
        calendar(in_event(""), more="<C:timezone-id>UTC</C:timezone-id><C:timezone/>")


ALARMS = '<C:comp-filter name="VALARM">'
DEEP = '<C:comp-filter name="X-IN">' * MAX_DEPTH + "</C:comp-filter>" * MAX_DEPTH


@pytest.mark.parametrize(
    ("inner", "element"),
    [
        ("", "valid-filter"),
        ('<C:comp-filter name="VCALENDAR"/><C:comp-filter name="VCALENDAR"/>', "valid-filter"),
        ('<C:comp-filter name="VEVENT"/>', "valid-filter"),
        ('<C:comp-filter name="X-OTHER"/>', "valid-filter"),
        ('<C:comp-filter name=""/>', "valid-filter"),
        ("<C:comp-filter/>", "valid-filter"),
        (in_event('<C:comp-filter name="VTODO"/>'), "valid-filter"),
        (in_event('<C:comp-filter name="VCALENDAR"/>'), "valid-filter"),
        (f'<C:comp-filter name="VCALENDAR">{ALARMS}</C:comp-filter></C:comp-filter>', "valid-filter"),
        ('<C:comp-filter name="VCALENDAR"><C:time-range start="20060104T000000Z"/></C:comp-filter>', "valid-filter"),
        (in_event("<C:time-range/>"), "valid-filter"),
        (in_event('<C:time-range start="20060104T000000"/>'), "valid-filter"),
        (in_event('<C:time-range start="20060104"/>'), "valid-filter"),
        (in_event('<C:time-range start="20061304T000000Z"/>'), "valid-filter"),
        (in_event('<C:time-range start="20060104T000000Z" end="20060104T000000Z"/>'), "valid-filter"),
        (in_event('<C:time-range start="20060105T000000Z" end="20060104T000000Z"/>'), "valid-filter"),
        (
            in_event('<C:prop-filter name="SUMMARY"><C:time-range start="20060104T000000Z"/></C:prop-filter>'),
            "valid-filter",
        ),
        (in_event('<C:is-not-defined/><C:prop-filter name="UID"/>'), "valid-filter"),
        (
            in_event('<C:prop-filter name="UID"><C:text-match negate-condition="maybe"/></C:prop-filter>'),
            "valid-filter",
        ),
        (in_event('<C:prop-filter name="UID"><C:text-match match-type="like"/></C:prop-filter>'), "valid-filter"),
        (in_event('<C:prop-filter name="UID"><C:regex/></C:prop-filter>'), "valid-filter"),
        (
            in_event('<C:prop-filter name="UID"><C:text-match collation="i;klingon"/></C:prop-filter>'),
            "supported-collation",
        ),
        (
            in_event('<C:prop-filter name="UID"><C:text-match collation="i;*"/></C:prop-filter>'),
            "supported-collation",
        ),
        (in_event(DEEP), "supported-filter"),
        (in_event('<C:prop-filter name="UID"/>' * MAX_CONDITIONS), "supported-filter"),
        (
            in_event(f'<C:prop-filter name="UID"><C:text-match>{"x" * (MAX_TEXT + 1)}</C:text-match></C:prop-filter>'),
            "supported-filter",
        ),
    ],
)
def test_conditions_of_calendar_queries(inner: str, element: str) -> None:
    with pytest.raises(Forbidden) as error:
        calendar(inner)
    assert error.value.element == "{urn:ietf:params:xml:ns:caldav}" + element


@pytest.mark.parametrize(
    ("inner", "test", "element"),
    [
        ('<A:prop-filter name="FN"/>', 'test="most"', "valid-filter"),
        ('<A:prop-filter name="FN" test="x"/>', "", "valid-filter"),
        ('<A:comp-filter name="VCARD"/><A:prop-filter/>', "", "valid-filter"),
        ('<A:prop-filter name="FN"><A:is-not-defined/><A:text-match/></A:prop-filter>', "", "valid-filter"),
        ('<A:prop-filter name="FN"><A:text-match collation="x"/></A:prop-filter>', "", "supported-collation"),
        (
            '<A:prop-filter name="TEL"><A:param-filter name="TYPE"><A:text-match/><A:text-match/></A:param-filter>'
            "</A:prop-filter>",
            "",
            "valid-filter",
        ),
        ('<A:prop-filter name="FN"/>' * (MAX_CONDITIONS + 1), "", "supported-filter"),
    ],
)
def test_conditions_of_addressbook_queries(inner: str, test: str, element: str) -> None:
    with pytest.raises(Forbidden) as error:
        book(inner, test)
    assert error.value.element == "{urn:ietf:params:xml:ns:carddav}" + element


def test_what_is_not_there() -> None:
    for read, root, element in (
        (read_calendar_query, "C:calendar-query", "{urn:ietf:params:xml:ns:caldav}valid-filter"),
        (read_addressbook_query, "A:addressbook-query", "{urn:ietf:params:xml:ns:carddav}valid-filter"),
    ):
        with pytest.raises(Forbidden) as error:
            read(parse(f"<{root} {NS}>{PROP}</{root}>".encode()))
        assert error.value.element == element
    for limit in ("<A:limit/>", "<A:limit><A:nresults>0</A:nresults></A:limit>"):
        with pytest.raises(BadRequest):
            book("", more=limit)


def test_free_busy() -> None:
    def read(inner: str) -> TimeRange:
        return read_free_busy_query(parse(f"<C:free-busy-query {NS}>{inner}</C:free-busy-query>".encode()))

    within = read('<C:time-range start="20060104T140000Z" end="20060105T220000Z"/>')
    assert within == TimeRange(moment(2006, 1, 4, 14), moment(2006, 1, 5, 22))
    for inner in ("", '<C:time-range start="20060104T140000Z"/>', '<C:time-range start="x" end="y"/>'):
        with pytest.raises(BadRequest):
            read(inner)


# -- parts of bodies -----------------------------------------------------------------------------------------


def asked_part(data: str) -> Choice | None:
    body = f"<C:calendar-multiget {NS}><D:prop><D:getetag/>{data}</D:prop><D:href>/a</D:href></C:calendar-multiget>"
    [(_, choice)] = read_multiget(parse(body.encode())).asked.bodies
    return choice


def test_parts_of_calendar_objects() -> None:
    assert asked_part("<C:calendar-data/>") is None
    assert asked_part('<C:calendar-data content-type="text/calendar" version="2.0"/>') is None
    chosen = asked_part(
        '<C:calendar-data><C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT"><C:allprop/>'
        '</C:comp><C:comp name="VTODO"><C:prop name="uid" novalue="yes"/><C:allcomp/></C:comp>'
        '<C:comp name="VTIMEZONE"/></C:comp></C:calendar-data>'
    )
    assert chosen == CalendarData(
        CompChoice(
            "VCALENDAR",
            (PropChoice("VERSION"),),
            (
                CompChoice("VEVENT", None, ()),
                CompChoice("VTODO", (PropChoice("UID", bare=True),), None),
                CompChoice("VTIMEZONE", None, None),
            ),
        )
    )
    times = 'start="20060103T000000Z" end="20060105T000000Z"'
    within = TimeRange(moment(2006, 1, 3), moment(2006, 1, 5))
    assert asked_part(f"<C:calendar-data><C:expand {times}/></C:calendar-data>") == CalendarData(expand=within)
    both = f"<C:calendar-data><C:limit-recurrence-set {times}/><C:limit-freebusy-set {times}/></C:calendar-data>"
    assert asked_part(both) == CalendarData(recurrence=within, busy=within)


def test_parts_of_cards() -> None:
    assert asked_part("<A:address-data/>") is None
    assert asked_part("<A:address-data><A:allprop/></A:address-data>") is None
    named = asked_part(
        '<A:address-data version="4.0"><A:prop name="FN"/><A:prop name="TEL" novalue="yes"/></A:address-data>'
    )
    assert named == AddressData((PropChoice("FN"), PropChoice("TEL", bare=True)), "4.0")


@pytest.mark.parametrize(
    ("data", "element"),
    [
        ('<C:calendar-data content-type="application/calendar+json"/>', "supported-calendar-data"),
        ('<C:calendar-data version="1.0"/>', "supported-calendar-data"),
        ('<A:address-data content-type="application/vcard+json"/>', "supported-address-data"),
        ('<A:address-data version="2.1"/>', "supported-address-data"),
        ('<C:calendar-data><C:expand start="20060103T000000Z"/></C:calendar-data>', ""),
        ("<C:calendar-data><C:comp/></C:calendar-data>", ""),
        ("<C:calendar-data>" + '<C:comp name="X">' * 9 + "</C:comp>" * 9 + "</C:calendar-data>", ""),
        ("<A:address-data>" + '<A:prop name="X"/>' * 300 + "</A:address-data>", ""),
    ],
)
def test_parts_that_cannot_be_had(data: str, element: str) -> None:
    with pytest.raises(RequestError) as error:
        asked_part(data)
    assert error.value.element.rpartition("}")[2] == element


# -- hostile ones --------------------------------------------------------------------------------------------

ELEMENTS = st.sampled_from(
    [
        *("C:filter", "C:comp-filter", "C:prop-filter", "C:param-filter", "C:text-match", "C:time-range"),
        *("C:is-not-defined", "C:timezone", "C:limit", "D:prop", "D:allprop", "C:calendar-data", "C:comp", "C:expand"),
        *("A:filter", "A:prop-filter", "A:text-match", "A:address-data", "A:limit", "A:nresults", "x"),
    ]
)
VALUES = ["VCALENDAR", "VEVENT", "UID", "", "20060104T000000Z", "99999999T999999Z", "anyof", "i;octet", "yes"]
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["name", "start", "end", "test", "collation", "match-type", "negate-condition", "version"]),
    st.sampled_from(VALUES),
    max_size=2,
)


def tree(name: str, attributes: dict[str, str], inner: list[str]) -> str:
    said = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<{name} {said}>{''.join(inner)}</{name}>"


TREES = st.recursive(
    st.just(""), lambda inner: st.builds(tree, ELEMENTS, ATTRIBUTES, st.lists(inner, max_size=3)), max_leaves=12
)


@given(TREES, TREES)
def test_any_tree_is_read_or_refused(a: str, b: str) -> None:
    root = parse(f"<x {NS}>{a}{b}</x>".encode())
    for read in (read_calendar_query, read_addressbook_query, read_free_busy_query, read_multiget):
        try:
            read(root)
        except RequestError as error:
            assert isinstance(error, (BadRequest, Forbidden))
