"""CalDAV bodies: MKCALENDAR and the values of calendar properties (RFC 4791), calendar-multiget."""

from __future__ import annotations

from safehold.model.kinds import COMPONENTS
from safehold.protocol.names import CALDAV
from safehold.protocol.webdav import Instruction
from safehold.protocol.xml import Element, children

SUPPORTED_COMPONENTS = CALDAV + "supported-calendar-component-set"
CALENDAR_TIMEZONE = CALDAV + "calendar-timezone"
CALENDAR_DATA = CALDAV + "calendar-data"
CALENDAR_MULTIGET = CALDAV + "calendar-multiget"
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
