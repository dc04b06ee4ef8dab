"""Conditional and partial requests: RFC 9110 sections 13 and 14 on values."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.model.commands import Tags
from safehold.model.errors import BadRequest, PreconditionFailed
from safehold.model.items import Item
from safehold.protocol.conditions import (
    INFINITY,
    etag,
    http_date,
    not_modified,
    parse_depth,
    parse_http_date,
    parse_range,
    parse_tags,
    rfc3339,
)

DIGEST = sha256(b"x").digest()
OTHER = sha256(b"y").digest()
AT = 1_255_000_000_000_000
ITEM = Item("x", 1, DIGEST, 10, "text/plain", AT + 999_999, AT, 1, None, None)


@pytest.mark.parametrize(
    ("value", "weak", "expected"),
    [
        (None, False, None),
        ("*", False, Tags(any=True)),
        (" * ", False, Tags(any=True)),
        (etag(DIGEST), False, Tags(digests=(DIGEST,))),
        (f"{etag(DIGEST)}, {etag(OTHER)}", False, Tags(digests=(DIGEST, OTHER))),
        (f", {etag(DIGEST)},,{etag(OTHER)} ,", False, Tags(digests=(DIGEST, OTHER))),
        (f"W/{etag(DIGEST)}", False, Tags()),
        (f"W/{etag(DIGEST)}", True, Tags(digests=(DIGEST,))),
        ('"foreign"', False, Tags()),
        ('"*"', False, Tags()),
        (etag(DIGEST).upper(), False, Tags()),
        ('"a,b", ' + etag(DIGEST), False, Tags(digests=(DIGEST,))),
    ],
)
def test_tags(value: str | None, weak: bool, expected: Tags | None) -> None:
    if expected is None and value is not None:
        with pytest.raises(BadRequest):
            parse_tags(value, weak=weak)
    else:
        assert parse_tags(value, weak=weak) == expected


@pytest.mark.parametrize("value", ["", " ", ",", DIGEST.hex(), '"open', 'w/"x"', '"a" "b"'])
def test_what_is_no_list_of_tags_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        parse_tags(value)


@given(st.text(max_size=60))
def test_any_header_gives_tags_or_bad_request(value: str) -> None:
    try:
        found = parse_tags(value)
    except BadRequest:
        return
    assert isinstance(found, Tags)


@given(st.integers(0, 253402300799))
def test_dates_are_those_of_the_library(seconds: int) -> None:
    date = datetime.fromtimestamp(seconds, UTC)
    assert http_date(seconds * 1_000_000 + 5) == format_datetime(date, usegmt=True)
    assert parse_http_date(http_date(seconds * 1_000_000)) == seconds
    assert rfc3339(seconds * 1_000_000) == date.strftime("%Y").zfill(4) + date.strftime("-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("value", [None, "", "yesterday", "Thu, 99 Foo 2009 00:00:00 GMT", "0", "Thu, 01 Jan 99999"])
def test_what_is_no_date_is_ignored(value: str | None) -> None:
    assert parse_http_date(value) is None


def test_not_modified() -> None:
    tag, other = etag(DIGEST).encode(), etag(OTHER).encode()
    now, before = http_date(AT).encode(), http_date(AT - 1_000_000).encode()
    assert not not_modified(ITEM, {})
    assert not_modified(ITEM, {b"if-none-match": tag})
    assert not_modified(ITEM, {b"if-none-match": b"*"})
    assert not_modified(ITEM, {b"if-none-match": b"W/" + tag})
    assert not not_modified(ITEM, {b"if-none-match": other})
    assert not_modified(ITEM, {b"if-modified-since": now})
    assert not not_modified(ITEM, {b"if-modified-since": before})
    later = http_date(AT + 3_600_000_000).encode()
    assert not not_modified(ITEM, {b"if-modified-since": later}), "the clock that made the later one was set back"
    assert not not_modified(ITEM, {b"if-modified-since": b"nonsense"})
    # If-None-Match decides alone where it is there.
    assert not not_modified(ITEM, {b"if-none-match": other, b"if-modified-since": now})
    assert not not_modified(ITEM, {b"if-match": tag, b"if-unmodified-since": before})
    for header in ({b"if-match": other}, {b"if-match": b"W/" + tag}, {b"if-unmodified-since": before}):
        with pytest.raises(PreconditionFailed):
            not_modified(ITEM, header)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-3", (0, 4)),
        (b"Bytes=4-", (4, 6)),
        (b"bytes=-3", (7, 3)),
        (b"bytes=-99", (0, 10)),
        (b"bytes=5-99", (5, 5)),
        (b"bytes=10-", (10, 0)),
        (b"bytes=-0", (10, 0)),
        (b"bytes=0-1,3-4", None),
        (b"bytes=5-4", None),
        (b"bytes=-", None),
        (b"bytes=x", None),
        (b"lines=0-1", None),
        (b"bytes=" + b"9" * 30 + b"-", None),
    ],
)
def test_ranges(value: bytes, expected: tuple[int, int] | None) -> None:
    assert parse_range(ITEM, {b"range": value}) == expected


def test_if_range() -> None:
    asked = {b"range": b"bytes=0-3"}
    assert parse_range(ITEM, asked | {b"if-range": etag(DIGEST).encode()}) == (0, 4)
    assert parse_range(ITEM, asked | {b"if-range": etag(OTHER).encode()}) is None
    assert parse_range(ITEM, asked | {b"if-range": b"W/" + etag(DIGEST).encode()}) is None
    assert parse_range(ITEM, asked | {b"if-range": http_date(AT).encode()}) is None, "it may have changed twice in it"


def test_depth() -> None:
    assert [parse_depth({b"depth": v}) for v in (b"0", b"1", b"infinity", b"Infinity")] == [0, 1, INFINITY, INFINITY]
    assert parse_depth({}) == INFINITY
    for value in (b"2", b"-1", b"", b"0, 1", b"\xff", b"9" * 500):
        with pytest.raises(BadRequest):
            parse_depth({b"depth": value})
