"""Counts in sentences for people."""

from __future__ import annotations


def count_text(count: int, one: str, many: str = "") -> str:
    """`1 item`, `2 items`; `one` and `many` may be as much of the sentence as changes with the number."""
    return f"{count} {one if count == 1 else many or one + 's'}"
