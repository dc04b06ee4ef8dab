"""Which URL names what, and that no path makes the parser do anything but answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.model.errors import BadRequest
from safehold.protocol.names import quote_segment
from safehold.protocol.target import Place, Target, href_of, parse_href, parse_target


@pytest.mark.parametrize(
    ("path", "place", "account", "under", "name"),
    [
        ("/dav", Place.ROOT, "", "", ""),
        ("/dav/", Place.ROOT, "", "", ""),
        ("/dav/principals", Place.PRINCIPALS, "", "", ""),
        ("/dav/principals/anna/", Place.PRINCIPAL, "anna", "", ""),
        ("/dav/principals/anna/x", Place.NOWHERE, "anna", "", ""),
        ("/dav/anna", Place.USER, "anna", "", ""),
        ("/dav/anna/contacts/", Place.CONTACTS, "anna", "contacts", ""),
        ("/dav/anna/calendars", Place.CALENDARS, "anna", "calendars", ""),
        ("/dav/anna/contacts/default", Place.COLLECTION, "anna", "contacts/default", ""),
        ("/dav/anna/contacts/default/", Place.COLLECTION, "anna", "contacts/default", ""),
        ("/dav/anna/contacts/default/a%20b.vcf", Place.ITEM, "anna", "contacts/default", "a b.vcf"),
        ("/dav/anna/contacts/default/a/b", Place.NOWHERE, "anna", "contacts/default/a/b", ""),
        ("/dav/anna/files/", Place.FILES, "anna", "files", ""),
        ("/dav/anna/files/notes/", Place.COLLECTION, "anna", "files/notes", ""),
        ("/dav/anna/files/other/x", Place.NOWHERE, "anna", "files/other/x", ""),
        ("/dav/anna/files/photos/2009/x.jpg", Place.FILE, "anna", "files/photos/2009", "x.jpg"),
        ("/dav/anna/scores/chess/", Place.NOWHERE, "anna", "scores/chess", ""),
        ("/dav/anna/identity", Place.NOWHERE, "anna", "identity", ""),
        ("/dav/Zo%C3%AB/contacts", Place.CONTACTS, "Zoë", "contacts", ""),
    ],
)
def test_places(path: str, place: Place, account: str, under: str, name: str) -> None:
    target = parse_target(path.encode())
    assert target[:4] == (place, account, under, name)


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"/",
        b"/other",
        b"dav/",
        b"//dav/",
        b"/dav//",
        b"/dav//anna",
        b"/dav/anna//contacts",
        b"/dav/anna/contacts/default//",
        b"/dav/anna/../bob/",
        b"/dav/anna/./contacts",
        b"/dav/anna/contacts/%2e%2e/x",
        b"/dav/anna/contacts/a%2Fb/",
        b"/dav/anna/contacts/a%00b",
        b"/dav/anna/contacts/%0d%0aX",
        b"/dav/anna/contacts/%ff%fe",
        b"/dav/anna/contacts/\xff",
        b"/dav/anna/contacts/" + b"a" * 256,
        b"/dav/anna/files/notes/" + b"a/" * 5000,
        b"/dav/" + b"%41" * 100_000,
    ],
)
def test_bad_paths_are_refused(path: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_target(path)


def test_a_path_over_the_limit_of_paths_is_nowhere() -> None:
    assert parse_target(b"/dav/anna/files/notes/" + b"abcdefgh/" * 260).place is Place.NOWHERE


@given(st.binary(max_size=80))
def test_any_bytes_give_a_target_or_bad_request(tail: bytes) -> None:
    try:
        found = parse_target(b"/dav/" + tail)
    except BadRequest:
        return
    assert isinstance(found, Target)


_segment = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=40
).filter(lambda s: s not in (".", ".."))


@given(_segment, _segment, _segment)
def test_an_href_names_what_it_was_made_of(account: str, collection: str, name: str) -> None:
    target = Target(Place.ITEM, account, f"contacts/{collection}", name)
    href = href_of(target)
    assert href.isascii()
    assert not set(href) & set(" <>&\"'")
    if account != "principals":
        assert parse_href(href) == target
        assert parse_href("https://example.org:8460" + href) == target


def test_hrefs_of_strangers_name_nothing() -> None:
    for href in ("", "/", "/other/x", "http://[bad", "mailto:a@b", "x.vcf", "/dav/a//b", "/dav/%ff"):
        assert parse_href(href) is None


def test_quoting_keeps_only_unreserved_characters() -> None:
    assert quote_segment("a-b_c.d~e") == "a-b_c.d~e"
    assert quote_segment("a b&c<d>é@:") == "a%20b%26c%3Cd%3E%C3%A9%40%3A"
