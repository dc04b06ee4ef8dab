"""Forms: their fields, that they come from here, and their token."""

from __future__ import annotations

import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.model.errors import BadRequest, Forbidden, UnsupportedMedia
from safehold.protocol.forms import FORM_TYPE, check_form_token, check_from_here, form_token, read_form

KEY = bytes(32)
OWN = frozenset(("https://dav.example.org", "http://127.0.0.1:8460"))


_TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(st.dictionaries(_TEXTS, _TEXTS, max_size=10))
def test_fields_come_as_they_were_entered(fields: dict[str, str]) -> None:
    assert read_form(f"{FORM_TYPE}; charset=utf-8", urlencode(fields).encode()) == fields


@given(st.binary(max_size=200))
def test_no_body_breaks_it(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        read_form(FORM_TYPE, body)


def test_what_is_no_form_is_refused() -> None:
    for type_ in ("", "text/plain", "multipart/form-data; boundary=x", "application/json"):
        with pytest.raises(UnsupportedMedia):
            read_form(type_, b"a=b")
    with pytest.raises(BadRequest):
        read_form(FORM_TYPE, b"a=%ff")
    with pytest.raises(BadRequest):
        read_form(FORM_TYPE, b"&".join(b"f%d=1" % n for n in range(100)))


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        ("same-origin", "https://dav.example.org"),
        ("same-origin", None),
        (None, "https://dav.example.org"),
        (None, "https://DAV.example.org:443"),
        (None, "http://127.0.0.1:8460"),
    ],
)
def test_a_form_from_here(site: str | None, origin: str | None) -> None:
    check_from_here(site, origin, OWN)


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        (None, None),
        ("cross-site", None),
        ("same-site", None),
        ("none", None),
        ("", None),
        ("cross-site", "https://dav.example.org"),
        ("same-origin", "https://evil.example"),
        (None, "https://evil.example"),
        (None, "http://dav.example.org"),
        (None, "https://dav.example.org:8443"),
        (None, "https://dav.example.org.evil.example"),
        (None, "null"),
        (None, ""),
        (None, "https://["),
    ],
)
def test_a_form_from_elsewhere(site: str | None, origin: str | None) -> None:
    with pytest.raises(Forbidden):
        check_from_here(site, origin, OWN)


def test_a_token_is_good_for_its_day_and_the_next_and_under_its_key() -> None:
    token = form_token(KEY, 100)
    check_form_token(KEY, 100, token)
    check_form_token(KEY, 101, token)
    for key, day, given_token in (
        (KEY, 102, token),
        (KEY, 99, token),
        (b"x" * 32, 100, token),
        (KEY, 100, ""),
        (KEY, 100, token[:-1]),
        (KEY, 100, "\ud800"),
    ):
        with pytest.raises(Forbidden):
            check_form_token(key, day, given_token)
