"""Free-busy of calendar objects (RFC 4791 section 7.10)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from safehold.content.calendar import CalendarObject
from safehold.content.timerange import TimeRange


def free_busy(objects: Iterable[CalendarObject], within: TimeRange, floating: tzinfo, stamp: int) -> bytes:
    """RFC 4791 section 7.10: a VCALENDAR with one VFREEBUSY. `stamp` is its DTSTAMP, in seconds. Raises TooManyInstances."""
    return b""
