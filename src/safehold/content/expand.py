"""CALDAV:expand, limit-recurrence-set and limit-freebusy-set (RFC 4791 sections 9.6.5 to 9.6.7)."""

from __future__ import annotations

from datetime import tzinfo

from safehold.content.timerange import TimeRange
from safehold.model.errors import RequestError

MAX_INSTANCES = "{urn:ietf:params:xml:ns:caldav}max-instances"


class TooManyInstances(RequestError):
    """An expansion that would have more instances, or cost more work, than is allowed; `element` says which condition."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="ask for a shorter range of time", element=MAX_INSTANCES)


def expanded(body: bytes, within: TimeRange, floating: tzinfo) -> bytes:
    """RFC 4791 section 9.6.5. Raises LineError, TooManyInstances."""
    return body


def limited(body: bytes, within: TimeRange) -> bytes:
    """RFC 4791 section 9.6.6: the master and those overrides that matter within the range. Raises LineError."""
    return body


def without_busy_outside(body: bytes, within: TimeRange) -> bytes:
    """RFC 4791 section 9.6.7: without FREEBUSY values outside of the range. Raises LineError."""
    return body
