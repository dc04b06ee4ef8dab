"""Counts in sentences."""

from __future__ import annotations

import pytest

from safehold.model.counting import count_text


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (1, ("item",), "1 item"),
        (0, ("item",), "0 items"),
        (2, ("body", "bodies"), "2 bodies"),
        (1, ("stream of it lacks", "streams of it lack"), "1 stream of it lacks"),
    ],
)
def test_one_is_not_many(count: int, words: tuple[str, ...], text: str) -> None:
    assert count_text(count, *words) == text
