"""Moments as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.cli.exits import UsageError
from safehold.cli.output import time_text
from safehold.cli.times import parse_time

SECOND = 1_000_000
NOW = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [
        ("now", 0),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("2 hours ago", 7200),
        ("2 Hours", 7200),
        ("1 hour ago", 3600),
        ("1d", 86_400),
        ("1 week ago", 604_800),
        ("1h30m", 5400),
        ("1 day 2 hours ago", 93_600),
        ("2026-11-20T11:00Z", 3600),
        ("2026-11-20T11:00:00Z", 3600),
        ("2026-11-20 11:00+00:00", 3600),
        ("2026-11-20T12:00+02:00", 7200),
    ],
)
def test_times_that_people_write(text: str, seconds_ago: int) -> None:
    assert parse_time(text, NOW) == NOW - seconds_ago * SECOND


def test_without_a_zone_it_is_local_time() -> None:
    local = datetime(2026, 11, 19, 8, 30).astimezone()
    assert parse_time("2026-11-19 08:30", NOW) == int(local.timestamp()) * SECOND
    assert parse_time("2026-11-19", NOW) == int(datetime(2026, 11, 19).astimezone().timestamp()) * SECOND


@pytest.mark.parametrize(
    "text", ["", "ago", "yesterday", "2x", "h2", "2h x", "2026-13-01", "0001-01-01", "2026-11-20T25:00Z"]
)
def test_what_is_no_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["2026-11-20T12:00:01Z", "9999-01-01"])
def test_the_future_cannot_be_gone_back_to(text: str) -> None:
    with pytest.raises(UsageError, match="future"):
        parse_time(text, NOW)


def test_before_1970_is_refused() -> None:
    with pytest.raises(UsageError, match="1970"):
        parse_time("999999999w", NOW)


@given(st.integers(0, NOW))
def test_what_is_printed_is_read_back_exactly(at: int) -> None:
    assert parse_time(time_text(at), NOW) == at


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_wrong_usage(text: str) -> None:
    with suppress(UsageError):
        assert 0 <= parse_time(text, NOW) <= NOW
