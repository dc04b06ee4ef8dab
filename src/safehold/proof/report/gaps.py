"""Days and spans of a period without evidence: named, never hidden (I90)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from safehold.proof.series import DAY


class Days(NamedTuple):
    """Days in a row, both included; each µs is the beginning of a day (UTC)."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return (self.last - self.first) // DAY + 1


class Span(NamedTuple):
    """A time without a record of a sort; µs."""

    begin: int
    end: int


def days_of(begin: int, end: int) -> list[int]:
    """The beginning of each day from that of `begin` on, before `end`."""
    return list(range(begin // DAY * DAY, end, DAY))


def days_without(begin: int, end: int, moments: Iterable[int]) -> list[Days]:
    """The days of a period on which nothing happened."""
    seen = {at // DAY * DAY for at in moments}
    return in_rows(day for day in days_of(begin, end) if day not in seen)


def in_rows(days: Iterable[int]) -> list[Days]:
    """Days, in order, as rows of such as follow each other."""
    rows: list[Days] = []
    for day in days:
        if rows and rows[-1].last + DAY == day:
            rows[-1] = Days(rows[-1].first, day)
        else:
            rows.append(Days(day, day))
    return rows


def spans_without(begin: int, end: int, moments: Sequence[int], most: int) -> list[Span]:
    """Where more than `most` µs went by without one; what was before the period counts for its beginning.

    Where there was none before it, waiting begins with the period.
    """
    before = [at for at in moments if at < begin]
    since = max(before, default=begin)
    spans = []
    for at in [*sorted(at for at in moments if begin <= at < end), end]:
        if at - since > most:
            spans.append(Span(since, at))
        since = at
    return spans
