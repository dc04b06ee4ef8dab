"""CalDAV names, and the values of calendar properties (RFC 4791, RFC 7809)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import lru_cache

from safehold.content.calendar import zone_of_text
from safehold.model.kinds import COMPONENTS
from safehold.protocol.names import CALDAV
from safehold.protocol.webdav import Instruction
from safehold.protocol.xml import Element, children, parse

SUPPORTED_COMPONENTS = CALDAV + "supported-calendar-component-set"
CALENDAR_TIMEZONE = CALDAV + "calendar-timezone"
CALENDAR_TIMEZONE_ID = CALDAV + "calendar-timezone-id"
CALENDAR_MULTIGET = CALDAV + "calendar-multiget"
CALENDAR_QUERY = CALDAV + "calendar-query"
FREE_BUSY_QUERY = CALDAV + "free-busy-query"
MKCALENDAR = CALDAV + "mkcalendar"


def component_set(element: Element) -> frozenset[str] | None:
    """The components a supported-calendar-component-set names; None where one of them is not supported here."""
    names = frozenset(str(c.get("name", "")).upper() for c in children(element, CALDAV + "comp"))
    return names if names and names <= frozenset(COMPONENTS) else None


def refuses_value(step: Instruction) -> str:
    """The precondition element that the value of a calendar property breaks, or "" (RFC 4791 section 5.2.2)."""
    if step.name != CALENDAR_TIMEZONE or step.value is None:
        return ""
    lines = [line.strip().upper() for line in step.text.splitlines()]
    good = "BEGIN:VCALENDAR" in lines and lines.count("BEGIN:VTIMEZONE") == 1 and "END:VTIMEZONE" in lines
    return "" if good else CALDAV + "valid-calendar-data"


def floating_zone(props: Mapping[str, str]) -> tzinfo:
    """The zone of times that name none, in a collection with these properties (RFC 4791 section 5.2.2); else UTC."""
    for name in (CALENDAR_TIMEZONE, CALENDAR_TIMEZONE_ID):
        zone = _stored_zone(props[name]) if name in props else None
        if zone is not None:
            return zone
    return UTC


@lru_cache(maxsize=256)
def _stored_zone(value: str) -> tzinfo | None:
    """The zone that a stored property, one whole element, names."""
    return zone_of_text("".join(parse(value.encode()).itertext()))
