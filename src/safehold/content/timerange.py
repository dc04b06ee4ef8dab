"""Ranges of time: what a query asks for, and what an instance of a component takes up.

All moments are seconds since 1970 UTC, in whole numbers. Both kinds of range are half-open, so one comparison serves
every row of the tables of RFC 4791 section 9.9: where a table says `start <= X`, the span ends at X + 1.
"""

from __future__ import annotations

from typing import NamedTuple


class TimeRange(NamedTuple):
    """What is asked for: from start on, before end; seconds since 1970 UTC, None = open on that side."""

    start: int | None
    end: int | None

    def widened(self, seconds: int) -> TimeRange:
        """By so much on each side that is not open."""
        start = None if self.start is None else self.start - seconds
        return TimeRange(start, None if self.end is None else self.end + seconds)


class Span(NamedTuple):
    """What is taken up: from start on, before end. None = without bound on that side."""

    start: int | None
    end: int | None

    def meets(self, within: TimeRange) -> bool:
        """Whether both share a moment."""
        before = within.end is None or self.start is None or self.start < within.end
        return before and (within.start is None or self.end is None or self.end > within.start)


ALWAYS = Span(None, None)
