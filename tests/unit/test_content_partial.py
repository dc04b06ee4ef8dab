"""Parts of bodies: what is chosen, and what is given whole because it cannot be had in part."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.filters import (
    CardFilter,
    Collation,
    CompFilter,
    ParamFilter,
    PropFilter,
    calendar_matcher,
    card_matcher,
    text_match,
)
from safehold.content.lines import Component, parse, unfold
from safehold.content.partial import (
    AddressData,
    CalendarData,
    CompChoice,
    PropChoice,
    calendar_part,
    card_part,
)
from safehold.content.timerange import TimeRange

TODO = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\nBEGIN:VTIMEZONE\r\nTZID:Z\r\nBEGIN:STANDARD\r\n"
    b"DTSTART:16010101T000000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VTODO\r\nUID:t\r\n"
    b"SUMMARY;LANGUAGE=en:Buy milk and a great many other things that do not fit on one\r\n  line\r\nBEGIN:VALARM\r\n"
    b"ACTION:DISPLAY\r\nEND:VALARM\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
)


def part(choice: CompChoice) -> str:
    return calendar_part(TODO, CalendarData(choice), UTC).decode().replace("\r\n", "\n")


def test_components_and_properties_that_are_chosen() -> None:
    uid = CompChoice("VTODO", (PropChoice("UID"),), ())
    version = (PropChoice("VERSION"),)
    assert part(CompChoice("VCALENDAR", version, (uid,))) == (
        "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VTODO\nUID:t\nEND:VTODO\nEND:VCALENDAR\n"
    )
    assert part(CompChoice("VCALENDAR", (), ())) == "BEGIN:VCALENDAR\nEND:VCALENDAR\n"
    assert part(CompChoice("VCALENDAR", version, (CompChoice("VTODO", (), None),))) == (
        "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VTODO\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM\nEND:VTODO\nEND:VCALENDAR\n"
    )
    assert part(CompChoice("VCALENDAR", (), (CompChoice("VEVENT"),))) == "BEGIN:VCALENDAR\nEND:VCALENDAR\n"
    bare = CompChoice("VTODO", (PropChoice("SUMMARY", bare=True),), ())
    assert part(CompChoice("VCALENDAR", (), (bare,))) == (
        "BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY;LANGUAGE=en:\nEND:VTODO\nEND:VCALENDAR\n"
    )


def test_everything_is_everything() -> None:
    assert unfold(calendar_part(TODO, CalendarData(CompChoice("VCALENDAR")), UTC)) == unfold(TODO)


def test_nothing_chosen_is_byte_for_byte_what_is_stored() -> None:
    odd = b"begin:vcalendar\nversion : 2.0\nend:vcalendar"
    assert calendar_part(odd, CalendarData(), UTC) is odd
    assert card_part(odd, AddressData()) is odd


@pytest.mark.parametrize("body", [b"\xff", b"BEGIN:VCALENDAR\r\n", b"words"])
def test_what_cannot_be_read_is_given_whole(body: bytes) -> None:
    assert calendar_part(body, CalendarData(CompChoice("VCALENDAR", (), ())), UTC) == body
    assert card_part(body, AddressData((PropChoice("FN"),))) == body
    assert card_part(body, AddressData(version="4.0")) == body


def test_cards() -> None:
    card = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:a\r\nitem1.TEL;TYPE=pref:1\r\nTEL:2\r\nEND:VCARD\r\n"
    tel = AddressData((PropChoice("TEL"),))
    assert card_part(card, tel) == b"BEGIN:VCARD\r\nitem1.TEL;TYPE=pref:1\r\nTEL:2\r\nEND:VCARD\r\n"
    grouped = AddressData((PropChoice("ITEM1.TEL"),))
    assert card_part(card, grouped) == b"BEGIN:VCARD\r\nitem1.TEL;TYPE=pref:1\r\nEND:VCARD\r\n"
    assert (
        card_part(card, tel._replace(version="4.0")) == b"BEGIN:VCARD\r\nitem1.TEL;PREF=1:1\r\nTEL:2\r\nEND:VCARD\r\n"
    )


NAMES = st.sampled_from(["VCALENDAR", "VTODO", "VALARM", "VTIMEZONE", "STANDARD"])
PROPS = st.none() | st.lists(
    st.builds(PropChoice, st.sampled_from(["UID", "SUMMARY", "TZID", "ACTION"]), st.booleans()), max_size=3
).map(tuple)
CHOICES = st.recursive(
    st.builds(CompChoice, NAMES, PROPS, st.none() | st.just(())),
    lambda inner: st.builds(CompChoice, NAMES, PROPS, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)


@given(CHOICES)
def test_a_part_is_part_of_the_whole(choice: CompChoice) -> None:
    def check(some: Component, whole: Component, choice: CompChoice) -> None:
        names = {line[0] for line in some.lines}
        assert names <= {line[0] for line in whole.lines}
        assert choice.props is None or names <= {prop.name for prop in choice.props}
        for inner in some.components:
            own = next(c for c in choice.comps or (CompChoice(inner.name),) if c.name == inner.name)
            check(inner, next(c for c in whole.components if c.name == inner.name), own)

    body = calendar_part(TODO, CalendarData(choice), UTC)
    roots = parse(body).roots
    assert len(roots) == (choice.name == "VCALENDAR")
    for root in roots:
        check(root, parse(TODO).roots[0], choice)


WITHIN = TimeRange(1_136_246_400, 1_136_419_200)  # 3 and 4 January 2006
ASKED = [
    CalendarData(expand=WITHIN),
    CalendarData(recurrence=WITHIN, busy=WITHIN),
    CalendarData(CompChoice("VCALENDAR", (), (CompChoice("VEVENT", (PropChoice("DTSTART"),), ()),))),
]
EVENT = CompFilter("VEVENT", within=WITHIN, props=(PropFilter("DTSTART", within=WITHIN),))
ALARM = CompFilter("VTODO", comps=(CompFilter("VALARM", within=WITHIN),))
FN = PropFilter("FN", texts=(text_match("a", Collation.UNICODE),), params=(ParamFilter("TYPE"),), any_of=True)
EXAMPLES = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data" / "rfc").glob("*.[iv]c[sf]"))]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example of a standard with some of its bytes replaced, dropped or said twice."""
    body = bytearray(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        length = draw(st.integers(0, 12))
        body[at : at + length] = draw(st.binary(max_size=12) | st.just(bytes(body[at : at + 2 * length])))
    return bytes(body)


@given(damaged() | st.binary(max_size=200))
def test_no_body_breaks_a_report(body: bytes) -> None:
    for asked in ASKED:
        assert isinstance(calendar_part(body, asked, UTC), bytes)
    for version in ("3.0", "4.0"):
        assert isinstance(card_part(body, AddressData((PropChoice("FN"),), version)), bytes)
    for f in (EVENT, ALARM):
        assert calendar_matcher(CompFilter("VCALENDAR", comps=(f,)), UTC)(body) in (True, False)
    assert card_matcher(CardFilter((FN,)))(body) in (True, False)
