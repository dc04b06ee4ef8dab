"""Prefer by its grammar (RFC 7240 section 2), and what of it is known here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.protocol.prefer import MINIMAL, REPRESENTATION, Preferences, applied, parse_preferences


def parsed(prefer: bytes) -> Preferences:
    return parse_preferences({b"prefer": prefer})


@pytest.mark.parametrize(
    "prefer",
    [
        b"return=minimal",
        b"respond-async, Return = Minimal",
        b'return="minimal"',
        b'return="min\\imal"',
        b"return=minimal; foo",
        b'return=minimal ; foo = "some text, with commas; and more" ; bar=1',
        b";return=representation"[:0] + b"wait=10;return=representation, return=minimal",
        b"return=minimal, return=representation",
        b" , ,return=minimal,",
        b"return=minimal, (what is this?",
        b"a;;;b, return=minimal;",
    ],
)
def test_minimal(prefer: bytes) -> None:
    assert parsed(prefer) == Preferences(MINIMAL)
    assert parsed(prefer).minimal


@pytest.mark.parametrize(
    "prefer",
    [
        b"",
        b"return",
        b"return=",
        b"return=everything",
        b"xreturn=minimal",
        b"return=minimalist",
        b'foo="return=minimal"',
        b'foo="a, return=minimal, b"',
        b"foo; return=minimal",
        b"return=everything, return=minimal",
        b"return minimal",
        b'return="minimal',
        b"\xff return=minimal",
        b"a=b=c, return=minimal",
        b"return=minimal, " * 300,
    ],
)
def test_not_minimal(prefer: bytes) -> None:
    assert parsed(prefer) == Preferences()


def test_the_others() -> None:
    assert parsed(b"return=representation") == Preferences(REPRESENTATION)
    assert parsed(b"depth-noroot;x=y, return=minimal") == Preferences(MINIMAL, noroot=True)
    assert parse_preferences({b"brief": b" T "}) == Preferences(MINIMAL)
    assert parse_preferences({b"brief": b"f"}) == parse_preferences({}) == Preferences()
    assert parse_preferences({b"brief": b"t", b"prefer": b"return=representation"}) == Preferences(REPRESENTATION)
    assert parse_preferences({b"brief": b"t", b"prefer": b"depth-noroot"}) == Preferences(MINIMAL, noroot=True)


def test_what_was_followed_is_told() -> None:
    assert applied() == []
    assert dict(applied("return=minimal", "depth-noroot"))[b"preference-applied"] == b"return=minimal, depth-noroot"


TOKENS = st.text("abcABC-_.!~", min_size=1, max_size=6)
WORDS = TOKENS | st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Z"])).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
SPACE = st.sampled_from(["", " ", "\t "])


@given(st.lists(st.tuples(TOKENS, WORDS | st.none(), SPACE, st.lists(st.tuples(TOKENS, WORDS), max_size=2))), SPACE)
def test_whatever_stands_before_it_is_passed_over(
    others: list[tuple[str, str | None, str, list[tuple[str, str]]]], space: str
) -> None:
    text = ""
    for name, word, gap, parameters in others:
        text += name + (f"{gap}={gap}{word}" if word is not None else "")
        text += "".join(f"{gap};{gap}{n}{gap}={gap}{w}" for n, w in parameters) + f"{gap},"
    sent = f"{text}{space}return{space}={space}minimal".encode("latin-1")
    assert parsed(sent).minimal == (len(sent) <= 4096)


@given(st.binary(max_size=200) | st.text('a,;="\\ \t', max_size=400).map(str.encode))
def test_anything_may_be_sent(prefer: bytes) -> None:
    assert parsed(prefer).returned in ("", MINIMAL, REPRESENTATION)
