"""quick_uid finds the UID that the check finds, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.uid import quick_uid

CARD = b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Ann\r\n%s\r\nEND:VCARD\r\n"
EVENT = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n%sBEGIN:VEVENT\r\nDTSTART:20260101T000000Z\r\n%sEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


@pytest.mark.parametrize(
    ("line", "uid"),
    [
        (b"UID:abc", "abc"),
        (b"UID: abc ", "abc"),
        (b"uid:abc", "abc"),
        (b"UID;VALUE=text:abc", "abc"),
        (b'UID;X="a:b;c":urn:uuid:1', "urn:uuid:1"),
        (b"item1.UID:abc", "abc"),
        (b"UID:ab\r\n c", "abc"),
        (b"UID:ab\r\n\tc\r\n d", "abcd"),
        (b"U\r\n ID:abc", "abc"),
        ("UID:é\r\nNOTE:x".encode(), "é"),
        (b"NOTE:x\r\n UID:no\r\nUID:yes", "yes"),
        (b"X-UID:no\r\nUID:yes", "yes"),
        (b"NOTE:BEGIN:VEVENT\r\nUID:yes", "yes"),
        (b"UID:", None),
        (b"UID:\xff", None),
        (b"NOTE:none", None),
    ],
)
def test_card(line: bytes, uid: str | None) -> None:
    assert quick_uid(CARD % line) == uid
    assert quick_uid((CARD % line).replace(b"\r\n", b"\n")) == uid


@pytest.mark.parametrize(
    ("before", "within", "uid"),
    [
        (b"", b"UID:abc\r\n", "abc"),
        (b"UID:whole\r\n", b"UID:abc\r\n", "abc"),
        (b"BEGIN:VTIMEZONE\r\nTZID:X\r\nUID:zone\r\nEND:VTIMEZONE\r\n", b"UID:abc\r\n", "abc"),
        (b"begin:vtimezone\r\nUID:zone\r\nend:vtimezone\r\n", b"uid:abc\r\n", "abc"),
        (b"", b"BEGIN:VALARM\r\nUID:alarm\r\nEND:VALARM\r\nUID:abc\r\n", "abc"),
        (b"", b"BEGIN:VALARM\r\nUID:alarm\r\nEND:VALARM\r\n", None),
        (b"BEGIN:VEVENT\r\nSUMMARY:x\r\nEND:VEVENT\r\n", b"UID:abc\r\n", "abc"),
        (b"", b"", None),
    ],
)
def test_calendar(before: bytes, within: bytes, uid: str | None) -> None:
    assert quick_uid(EVENT % (before, within)) == uid


def test_a_byte_order_mark_is_passed_over() -> None:
    assert quick_uid(b"\xef\xbb\xbf" + CARD % b"uid:abc") == "abc"


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"BEGIN:", b"END:", b"UID:", b"\n", b"\r\n ", b"VCARD", b"x"])).map(b"".join)
)
def test_any_bytes_are_taken(body: bytes) -> None:
    uid = quick_uid(body)
    assert uid is None or uid == uid.strip() != ""
