"""Filters of queries: collations, match types, and the letter of RFC 4791 section 9.7 and RFC 6352 section 10.5."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.calendar import CalendarObject
from safehold.content.filters import (
    CardFilter,
    Collation,
    CompFilter,
    MatchType,
    ParamFilter,
    PropFilter,
    TextMatch,
    calendar_matcher,
    calendar_matches,
    calendar_needles,
    card_matcher,
    card_matches,
    card_needles,
    folded,
    may_hold,
    text_match,
)
from safehold.content.lines import fold, parse
from safehold.content.timerange import TimeRange

CARD = (
    b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:u1\r\nFN:Anna M\xc3\xbcller\\, Dr.\r\nN:M\xc3\xbcller;Anna;Maria,Lena;;\r\n"
    b"NICKNAME:me,Ann\\,ie\r\nEMAIL;TYPE=HOME,PREF:anna@example.com\r\nEMAIL;TYPE=work:boss@work.example\r\n"
    b'item1.TEL;X-P="a^\'b":+49 30 1\r\nitem1.X-ABLabel:Boat\r\nitem2.TEL:+49 30 2\r\nNOTE:one\\ntwo\r\n'
    b"ORG:Sm\r\n ith;Sales\r\nEND:VCARD\r\n"
)
TODO = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTODO\r\nUID:t\r\nSUMMARY:Buy milk\r\n"
    b"CATEGORIES:HOME,SHOP\r\n"
    b'ATTENDEE;PARTSTAT=NEEDS-ACTION;CN="Lisa D":mailto:lisa@example.com\r\n'
    b"ATTENDEE;PARTSTAT=ACCEPTED:mailto:bernard@example.com\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\n"
    b"END:VALARM\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
)


def text(
    said: str, type_: str = "contains", collation: Collation = Collation.UNICODE, *, no: bool = False
) -> TextMatch:
    return text_match(said, collation, MatchType(type_), negated=no)


def card(*props: PropFilter, any_of: bool = True) -> bool:
    return card_matches(CardFilter(props, any_of), parse(CARD))


def todo(*props: PropFilter, comps: tuple[CompFilter, ...] = ()) -> bool:
    inner = CompFilter("VTODO", props=props, comps=comps)
    return calendar_matches(CompFilter("VCALENDAR", comps=(inner,)), CalendarObject.parse(TODO), UTC)


@pytest.mark.parametrize(
    ("a", "b", "octet", "ascii_", "unicode"),
    [
        ("abc", "ABC", False, True, True),
        ("müller", "MÜLLER", False, False, True),
        ("mÜller", "MÜLLER", False, True, True),
        ("straße", "STRASSE", False, False, False),  # RFC 5051 maps one character to one
        ("ﬁ", "fi", False, False, True),
        ("é", "e\u0301", False, False, True),
        ("é", "e", False, False, False),
        ("ǆ", "ǅ", False, False, True),
        ("\u212a", "k", False, False, True),  # the Kelvin sign
        ("[", "{", False, False, False),
    ],
)
def test_collations(a: str, b: str, octet: bool, ascii_: bool, unicode: bool) -> None:
    for collation, equal in ((Collation.OCTET, octet), (Collation.ASCII, ascii_), (Collation.UNICODE, unicode)):
        assert (folded(a, collation) == folded(b, collation)) is equal


@given(st.text(), st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_folds_alike_within_other_text(value: str, plain: str) -> None:
    for collation in Collation:
        assert folded(plain, collation) in folded(f"{value}\u4e00{plain}\u4e00", collation)


@pytest.mark.parametrize(
    ("prop", "match", "found"),
    [
        ("FN", text("müller, dr"), True),  # escapes are undone
        ("FN", text("müller\\, dr"), False),
        ("FN", text("MULLER"), False),
        ("FN", text("anna", "starts-with"), True),
        ("FN", text("müller", "starts-with"), False),
        ("FN", text("dr.", "ends-with"), True),
        ("FN", text("anna müller, dr.", "equals"), True),
        ("FN", text("anna", "equals"), False),
        ("FN", text("ANNA", collation=Collation.OCTET), False),
        ("FN", text("Anna", collation=Collation.OCTET), True),
        ("FN", text("MÜLLER", collation=Collation.ASCII), False),
        ("N", text("müller", "equals"), True),  # an element of a structured value
        ("N", text("lena", "equals"), True),  # an element of a list in it
        ("N", text("le", "equals"), False),
        ("N", text("müller;anna"), True),
        ("NICKNAME", text("ann,ie", "equals"), True),
        ("NICKNAME", text("ie", "equals"), False),
        ("NOTE", text("one\ntwo", "equals"), True),
        ("ORG", text("smith"), True),  # folded over two lines
        ("EMAIL", text("work.example", "ends-with"), True),
        ("EMAIL", text("example", no=True), False),
        ("EMAIL", text("work", no=True), True),  # one of the two does not say it
        ("PHOTO", text("x", no=True), False),  # there is no value that does not say it
        ("TEL", text("2", "ends-with"), True),
        ("ITEM1.TEL", text("2", "ends-with"), False),
        ("ITEM1.TEL", text("1", "ends-with"), True),
        ("ITEM3.TEL", text("1"), False),
    ],
)
def test_texts_of_cards(prop: str, match: TextMatch, found: bool) -> None:
    assert card(PropFilter(prop, texts=(match,))) is found


def test_what_is_there_and_what_is_not() -> None:
    assert card(PropFilter("NOTE"))
    assert not card(PropFilter("PHOTO"))
    assert card(PropFilter("PHOTO", absent=True))
    assert not card(PropFilter("NOTE", absent=True))
    assert not card(PropFilter("ITEM1.NOTE"))
    assert card(PropFilter("ITEM2.X-ABLABEL", absent=True))
    assert card()  # an empty filter


def test_any_and_all_of_properties_and_of_conditions() -> None:
    yes, no = PropFilter("NOTE"), PropFilter("PHOTO")
    assert card(yes, no)
    assert not card(yes, no, any_of=False)
    assert card(yes, yes, any_of=False)
    assert not card(no, no)
    home = ParamFilter("TYPE", text=text("home", "equals"))
    for any_of, found in ((True, True), (False, False)):
        # Of the two, one has the text and the other has the type.
        assert card(PropFilter("EMAIL", texts=(text("boss"),), params=(home,), any_of=any_of)) is found
    both = PropFilter("EMAIL", texts=(text("anna"), text("example")), params=(home,))
    assert card(both)


@pytest.mark.parametrize(
    ("param", "found"),
    [
        (ParamFilter("TYPE"), True),
        (ParamFilter("X-P"), False),
        (ParamFilter("X-P", absent=True), True),
        (ParamFilter("TYPE", absent=True), False),
        (ParamFilter("TYPE", text=text("pref", "equals")), True),
        (ParamFilter("TYPE", text=text("cell")), False),
        (ParamFilter("TYPE", text=text("cell", no=True)), True),
        (ParamFilter("LANGUAGE", text=text("en", no=True)), False),
    ],
)
def test_parameters(param: ParamFilter, found: bool) -> None:
    assert card(PropFilter("EMAIL", params=(param,))) is found


def test_a_parameter_says_what_its_carets_stand_for() -> None:
    quoted = ParamFilter("X-P", text=text('A"B', "equals"))
    assert card(PropFilter("TEL", params=(quoted,)))


def test_a_negated_parameter_has_no_value_that_matches() -> None:
    # HOME,PREF says home; work does not.
    negated = ParamFilter("TYPE", text=text("home", "equals", no=True))
    assert not card(PropFilter("EMAIL", texts=(text("anna"),), params=(negated,)))
    assert card(PropFilter("EMAIL", texts=(text("boss"),), params=(negated,)))


def test_calendars() -> None:
    assert todo()
    assert todo(PropFilter("SUMMARY", texts=(text("MILK"),)))
    assert todo(PropFilter("CATEGORIES", texts=(text("shop", "equals"),)))
    assert todo(PropFilter("COMPLETED", absent=True))
    assert not todo(PropFilter("SUMMARY"), PropFilter("COMPLETED"))  # all are needed
    lisa = (text("mailto:lisa@example.com", collation=Collation.ASCII),)
    needs = ParamFilter("PARTSTAT", text=text("NEEDS-ACTION", collation=Collation.ASCII))
    accepted = ParamFilter("PARTSTAT", text=text("ACCEPTED", collation=Collation.ASCII))
    assert todo(PropFilter("ATTENDEE", texts=lisa, params=(needs,)))
    assert not todo(PropFilter("ATTENDEE", texts=lisa, params=(accepted,)))  # of the same attendee
    assert todo(comps=(CompFilter("VALARM"),))
    assert todo(comps=(CompFilter("VALARM", props=(PropFilter("ACTION", texts=(text("display"),)),)),))
    assert not todo(comps=(CompFilter("VALARM", absent=True),))
    assert not todo(comps=(CompFilter("VALARM", props=(PropFilter("ATTENDEE"),)),))
    obj = CalendarObject.parse(TODO)
    for f, found in (
        (CompFilter("VCALENDAR"), True),
        (CompFilter("VCALENDAR", comps=(CompFilter("VEVENT"),)), False),
        (CompFilter("VCALENDAR", comps=(CompFilter("VEVENT", absent=True),)), True),
        (CompFilter("VCALENDAR", absent=True), False),
        (CompFilter("VCALENDAR", props=(PropFilter("PRODID"),)), True),
        (CompFilter("VCALENDAR", props=(PropFilter("METHOD"),)), False),
    ):
        assert calendar_matches(f, obj, UTC) is found


@pytest.mark.parametrize("body", [b"\xff", b"BEGIN:VCALENDAR\r\n", b"BEGIN:VCARD\r\nFN:x\r\n", b"words\r\n", b"a\rb"])
def test_what_cannot_be_read_matches(body: bytes) -> None:
    """It may not look absent."""
    assert calendar_matcher(CompFilter("VCALENDAR", comps=(CompFilter("VEVENT"),)), UTC)(b"X:VEVENT\r\n" + body)
    assert card_matcher(CardFilter((PropFilter("PHOTO", texts=(text("\u00e9", no=True),)),)))(body)


def test_what_costs_too_much_work_matches() -> None:
    """A filter that no card fulfils: a small one is refused, one that cannot be judged within bounds is not."""
    lists = PropFilter("X", texts=(text("a", "ends-with"), text("b", "ends-with", no=True), text("b", "ends-with")))
    params = (ParamFilter("P", text=text("c", "equals")), ParamFilter("Q", absent=True))
    for f, line in (
        (lists, b"X:b" + b",a" * 20_000 + b"\r\n"),
        (PropFilter("Y", params=params), b"Y;P=b:1\r\n" * 10_000),
    ):
        matches = card_matcher(CardFilter((f,) * 20))
        assert not matches(b"BEGIN:VCARD\r\n" + line[:100].partition(b"\r\n")[0] + b"\r\nEND:VCARD\r\n")
        assert matches(b"BEGIN:VCARD\r\n" + line + b"END:VCARD\r\n")


# -- the look at the bytes -----------------------------------------------------------------------------------

WORDS = st.sampled_from(["anna", "Müller", "ﬁne", "a,b", "x;y", "one\ntwo", "smith", "ß", "É", "e", "K", "\u212a", ""])
MATCHES = st.builds(
    text_match,
    WORDS,
    st.sampled_from(list(Collation)),
    st.sampled_from(list(MatchType)),
    negated=st.booleans(),
)
PARAMS = st.builds(ParamFilter, st.sampled_from(["TYPE", "X-A"]), st.booleans(), st.none() | MATCHES)
NAMES = st.sampled_from(["FN", "NOTE", "X-B", "ITEM1.FN"])
PROPS = st.builds(
    PropFilter,
    NAMES,
    st.booleans(),
    st.none(),
    st.lists(MATCHES, max_size=2).map(tuple),
    st.lists(PARAMS, max_size=2).map(tuple),
    st.booleans(),
)


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;").replace("\n", "\\n")


LINES = st.tuples(NAMES, st.sampled_from(["", ";TYPE=home", ';X-A="q,r";TYPE=a,b']), st.lists(WORDS, max_size=3)).map(
    lambda t: fold(f"{t[0]}{t[1]}:{escaped(' '.join(t[2]))}".encode())
)


@given(st.lists(LINES, max_size=4), st.lists(PROPS, max_size=3).map(tuple), st.booleans())
def test_the_look_at_the_bytes_never_refuses_what_matches(
    lines: list[bytes], props: tuple[PropFilter, ...], any_of: bool
) -> None:
    body = b"BEGIN:VCARD\r\n" + b"".join(lines) + b"END:VCARD\r\n"
    f = CardFilter(props, any_of)
    found = card_matches(f, parse(body))
    assert may_hold(card_needles(f), body) or not found
    assert card_matcher(f)(body) is found


@given(st.lists(LINES, max_size=4), st.lists(PROPS.map(lambda p: p._replace(any_of=False)), max_size=2).map(tuple))
def test_the_look_at_the_bytes_of_calendars(lines: list[bytes], props: tuple[PropFilter, ...]) -> None:
    body = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + b"".join(lines) + b"END:VEVENT\r\nEND:VCALENDAR\r\n"
    for name in ("VEVENT", "VTODO", "X-OTHER"):
        f = CompFilter("VCALENDAR", comps=(CompFilter(name, props=props),))
        found = calendar_matches(f, CalendarObject.parse(body), UTC)
        assert may_hold(calendar_needles(f), body) or not found
        assert calendar_matcher(f, UTC)(body) is found


def test_a_plain_text_is_looked_for_in_the_bytes() -> None:
    f = CardFilter((PropFilter("FN", texts=(text("Bernard"),)), PropFilter("EMAIL", texts=(text("bernard"),))))
    assert card_needles(f) is not None
    assert not may_hold(card_needles(f), b"BEGIN:VCARD\r\nFN:Anna\r\nEND:VCARD\r\n")
    assert may_hold(card_needles(f), b"BEGIN:VCARD\r\nFN:BERN\r\n ARD\r\nEND:VCARD\r\n")


@pytest.mark.parametrize(
    ("component", "name", "lines", "matches"),
    [
        ("VEVENT", "DTEND", "DTSTART:20260601T100000Z\r\nDURATION:PT1H", True),
        ("VEVENT", "DTEND", "DTSTART:20260601T100000Z\r\nDTEND:20260601T110000Z", True),
        ("VEVENT", "DTEND", "DTSTART:20260601T100000Z\r\nDURATION:PT2H", False),
        ("VEVENT", "DTEND", "DTSTART:20260601T100000Z", False),
        ("VTODO", "DUE", "DTSTART:20260601T100000Z\r\nDURATION:PT1H", True),
        ("VTODO", "DTEND", "DTSTART:20260601T100000Z\r\nDURATION:PT1H", False),
    ],
)
def test_an_end_may_be_told_by_a_duration(component: str, name: str, lines: str, matches: bool) -> None:
    inner = f"BEGIN:{component}\r\nUID:e\r\n{lines}\r\nEND:{component}"
    body = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inner}\r\nEND:VCALENDAR\r\n"
    at = 1_780_311_600  # 2026-06-01 11:00 UTC
    asked = CompFilter(component, props=(PropFilter(name, within=TimeRange(at, at + 60)),))
    assert (
        calendar_matches(CompFilter("VCALENDAR", comps=(asked,)), CalendarObject.parse(body.encode()), UTC) is matches
    )
