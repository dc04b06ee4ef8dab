"""Request bodies of the reports on items as values.

calendar-multiget, calendar-query and free-busy-query (RFC 4791 sections 7.8 to 7.10, 9.5 to 9.9), addressbook-multiget
and addressbook-query (RFC 6352 sections 8.6, 8.7 and 10). A filter is bounded in depth, number and text: each of its
conditions is looked at for every body.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from safehold.content.calendar import zone_of_text
from safehold.content.filters import (
    CardFilter,
    Collation,
    CompFilter,
    MatchType,
    ParamFilter,
    PropFilter,
    TextMatch,
    text_match,
)
from safehold.content.timerange import TimeRange
from safehold.model.errors import BadRequest, Forbidden
from safehold.protocol.names import CALDAV, CARDDAV, DAV
from safehold.protocol.partial import time_range
from safehold.protocol.webdav import Mode, PropFind, report_properties, result_limit
from safehold.protocol.xml import Element, child, children, clark, text_of

#: Filters within filters, filters and text matches in all, characters of one text.
MAX_DEPTH = 8
MAX_CONDITIONS = 128
MAX_TEXT = 1024

#: Where components that are known may stand (RFC 5545 section 3.6); others may stand anywhere but outermost.
_PLACES: dict[str, frozenset[str]] = {
    "VCALENDAR": frozenset(("",)),
    **dict.fromkeys(("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE"), frozenset(("VCALENDAR",))),
    "VALARM": frozenset(("VEVENT", "VTODO")),
    **dict.fromkeys(("STANDARD", "DAYLIGHT"), frozenset(("VTIMEZONE",))),
}
#: What RFC 4791 section 9.9 tells the times of.
_TIMED_COMPONENTS = frozenset(("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VALARM"))
_TIMED_PROPERTIES = frozenset(
    (
        *("COMPLETED", "CREATED", "DTEND", "DTSTAMP", "DTSTART", "DUE", "LAST-MODIFIED", "RECURRENCE-ID"),
        *("EXDATE", "RDATE", "FREEBUSY", "ACKNOWLEDGED"),
    )
)


class Multiget(NamedTuple):
    """What is asked of which items; the hrefs as they were sent."""

    asked: PropFind
    hrefs: Sequence[str]


class CalendarQuery(NamedTuple):
    """`floating` is the zone of times that name none, where the query says one."""

    asked: PropFind
    filter: CompFilter
    floating: tzinfo | None


class AddressbookQuery(NamedTuple):
    """`limit` is None where all that matches is wanted."""

    asked: PropFind
    filter: CardFilter
    limit: int | None


def read_multiget(root: Element) -> Multiget:
    """Raises BadRequest, Forbidden."""
    hrefs = [text_of(href) for href in children(root, DAV + "href")]
    asked = report_properties(root)
    if not hrefs:
        raise BadRequest("a multiget names at least one href")
    return Multiget(asked, hrefs)


def read_calendar_query(root: Element) -> CalendarQuery:
    """RFC 4791 section 9.5. Raises BadRequest; Forbidden with the precondition that is not met."""
    asked = _asked(root)
    filters = _Filters(CALDAV, Collation.ASCII)
    return CalendarQuery(asked, filters.calendar(child(root, CALDAV + "filter")), _floating(root))


def read_free_busy_query(root: Element) -> TimeRange:
    """RFC 4791 section 7.10. Raises BadRequest."""
    element = child(root, CALDAV + "time-range")
    if element is None:
        raise BadRequest("a free-busy-query needs a time-range")
    return time_range(element, both=True)


def read_addressbook_query(root: Element) -> AddressbookQuery:
    """RFC 6352 section 10.3. Raises BadRequest; Forbidden with the precondition that is not met."""
    asked = _asked(root)
    filters = _Filters(CARDDAV, Collation.UNICODE)
    return AddressbookQuery(asked, filters.card(child(root, CARDDAV + "filter")), result_limit(root, CARDDAV))


def _asked(root: Element) -> PropFind:
    """Which properties; a query may ask for none."""
    if not children(root, DAV + "prop", DAV + "allprop", DAV + "propname"):
        return PropFind(Mode.PROP)
    return report_properties(root)


def _floating(root: Element) -> tzinfo | None:
    """CALDAV:timezone or CALDAV:timezone-id (RFC 7809 section 6)."""
    timezone, zone_id = child(root, CALDAV + "timezone"), child(root, CALDAV + "timezone-id")
    if timezone is not None and zone_id is not None:
        raise BadRequest("timezone and timezone-id exclude each other")
    if zone_id is not None:
        zone = zone_of_text(text_of(zone_id))
        if zone is None:
            raise Forbidden("this time zone is not known here", element=CALDAV + "valid-timezone")
        return zone
    if timezone is None:
        return None
    text = timezone.text or ""
    # A time zone's name alone would be taken for one, too; here the standard wants the component.
    zone = zone_of_text(text) if "BEGIN:VTIMEZONE" in text.upper() else None
    if zone is None:
        message = "CALDAV:timezone is no iCalendar object with a VTIMEZONE that can be read"
        raise Forbidden(message, element=CALDAV + "valid-calendar-data")
    return zone


class _Filters:
    """Reads the filter of one request, in the namespace of its report, and counts its conditions."""

    def __init__(self, namespace: str, collation: Collation) -> None:
        self._ns = namespace
        self._collation = collation
        self._conditions = 0

    # -- calendars

    def calendar(self, element: Element | None) -> CompFilter:
        """RFC 4791 section 9.7."""
        found = self._inner(element, "comp-filter") if element is not None else []
        if len(found) != 1:
            raise self._invalid("a query needs a filter with exactly one comp-filter, of VCALENDAR")
        return self._comp(found[0], "", 1)

    def _comp(self, element: Element, parent: str, depth: int) -> CompFilter:
        self._count()
        name = self._name(element)
        places = _PLACES.get(name)
        if (places is not None and parent not in places) or (places is None and not parent):
            raise self._invalid(f"a filter for {name} does not belong {'into ' + parent if parent else 'outermost'}")
        if depth > MAX_DEPTH:
            raise self._unsupported(f"filters stand within each other more than {MAX_DEPTH} deep")
        if self._is_absent(element):
            return CompFilter(name, absent=True)
        within = self._within(element, name in _TIMED_COMPONENTS, name)
        props = tuple(self._calendar_prop(prop) for prop in self._inner(element, "prop-filter"))
        comps = tuple(self._comp(comp, name, depth + 1) for comp in self._inner(element, "comp-filter"))
        return CompFilter(name, False, within, props, comps)

    def _calendar_prop(self, element: Element) -> PropFilter:
        found = self._prop(element)
        timed = found.name in _TIMED_PROPERTIES or found.name.startswith("X-")
        return found._replace(within=self._within(element, timed, found.name))

    def _within(self, element: Element, timed: bool, name: str) -> TimeRange | None:
        found = child(element, self._ns + "time-range")
        if found is None:
            return None
        if not timed:
            raise self._invalid(f"{name} takes up no time")
        return time_range(found, refusal=self._invalid("a time-range has a start or an end in UTC, or both in order"))

    # -- cards

    def card(self, element: Element | None) -> CardFilter:
        """RFC 6352 section 10.5."""
        if element is None:
            raise self._invalid("a query needs a filter")
        return CardFilter(tuple(map(self._card_prop, self._inner(element, "prop-filter"))), self._any_of(element))

    def _card_prop(self, element: Element) -> PropFilter:
        return self._prop(element)._replace(any_of=self._any_of(element))

    def _any_of(self, element: Element) -> bool:
        test = element.get("test", "anyof")
        if test not in ("anyof", "allof"):
            raise self._invalid("test is anyof or allof")
        return bool(test == "anyof")

    # -- what both have

    def _prop(self, element: Element) -> PropFilter:
        self._count()
        name = self._name(element)
        if self._is_absent(element):
            return PropFilter(name, absent=True)
        texts = tuple(map(self._text, self._inner(element, "text-match")))
        return PropFilter(name, texts=texts, params=tuple(map(self._param, self._inner(element, "param-filter"))))

    def _param(self, element: Element) -> ParamFilter:
        self._count()
        name = self._name(element)
        if self._is_absent(element):
            return ParamFilter(name, absent=True)
        texts = list(map(self._text, self._inner(element, "text-match")))
        if len(texts) > 1:
            raise self._invalid("a param-filter has one text-match at most")
        return ParamFilter(name, text=texts[0] if texts else None)

    def _text(self, element: Element) -> TextMatch:
        self._count()
        text = element.text or ""
        if len(text) > MAX_TEXT:
            raise self._unsupported(f"a text to match is longer than {MAX_TEXT} characters")
        negated = element.get("negate-condition", "no")
        type_ = element.get("match-type", MatchType.CONTAINS)
        if negated not in ("yes", "no") or type_ not in list(MatchType):
            raise self._invalid("negate-condition is yes or no; match-type equals, contains, starts-with or ends-with")
        return text_match(text, self._collation_of(element), MatchType(type_), negated=negated == "yes")

    def _collation_of(self, element: Element) -> Collation:
        """RFC 4791 section 7.5, RFC 6352 section 8.3."""
        name = element.get("collation", "default")
        if name == "default":
            return self._collation
        if name not in list(Collation):
            raise Forbidden(f"the collation {name[:60]} is not known here", element=self._ns + "supported-collation")
        return Collation(name)

    def _is_absent(self, element: Element) -> bool:
        if child(element, self._ns + "is-not-defined") is None:
            return False
        if len([c for c in element if clark(c).startswith(self._ns)]) > 1:
            raise self._invalid("is-not-defined stands alone")
        return True

    def _inner(self, element: Element, local: str) -> list[Element]:
        """The child elements of a local name. Raises Forbidden where others of the namespace are none of a filter's."""
        for inner in element:
            name = clark(inner)
            if name.startswith(self._ns) and name.removeprefix(self._ns) not in _FILTER_ELEMENTS:
                raise self._invalid(f"{name} is no part of a filter")
        return children(element, self._ns + local)

    def _name(self, element: Element) -> str:
        name = (element.get("name") or "").strip().upper()
        if not name or len(name) > MAX_TEXT:
            raise self._invalid("a filter names a component, a property or a parameter")
        return name

    def _count(self) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise self._unsupported(f"a filter has more than {MAX_CONDITIONS} conditions")

    def _invalid(self, message: str) -> Forbidden:
        return Forbidden(message, element=self._ns + "valid-filter")

    def _unsupported(self, message: str) -> Forbidden:
        return Forbidden(message, element=self._ns + "supported-filter")


_FILTER_ELEMENTS = frozenset(
    ("comp-filter", "prop-filter", "param-filter", "text-match", "time-range", "is-not-defined")
)
