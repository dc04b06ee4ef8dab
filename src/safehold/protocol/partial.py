"""CALDAV:calendar-data and CARDDAV:address-data within a report's DAV:prop, and times in reports, as values.

RFC 4791 sections 9.6 and 9.9, RFC 6352 section 10.4.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from safehold.content.check import CALENDAR_VERSION, CARD_VERSIONS, SUPPORTED_ADDRESS_DATA, SUPPORTED_CALENDAR_DATA
from safehold.content.media import ICALENDAR, VCARD
from safehold.content.partial import AddressData, CalendarData, CompChoice, PropChoice
from safehold.content.timerange import TimeRange
from safehold.model.errors import BadRequest, Forbidden
from safehold.protocol.names import CALDAV, CARDDAV
from safehold.protocol.xml import Element, child, children

CALENDAR_DATA = CALDAV + "calendar-data"
ADDRESS_DATA = CARDDAV + "address-data"

#: Components within components, and names of components and properties, in one calendar-data or address-data.
MAX_DEPTH = 8
MAX_CHOICES = 256

_UTC_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z").fullmatch

Choice = CalendarData | AddressData


def time_range(element: Element, *, both: bool = False, refusal: Exception | None = None) -> TimeRange:
    """The start and end of an element (RFC 4791 section 9.9), with `both` not one of them alone.

    Raises `refusal`, else BadRequest, where they are no times in UTC, or the end is not after the start.
    """
    start, end = (_moment(element.get(name), refusal) for name in ("start", "end"))
    if (start is None and end is None) or (both and (start is None or end is None)):
        raise refusal or BadRequest("a range of time needs a start" + (" and an end" if both else " or an end"))
    if start is not None and end is not None and end <= start:
        raise refusal or BadRequest("a range of time ends after it starts")
    return TimeRange(start, end)


def _moment(said: str | None, refusal: Exception | None) -> int | None:
    if said is None:
        return None
    match = _UTC_TIME(said)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = map(int, match.groups())
        return int(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp())
    except ValueError:
        raise refusal or BadRequest("start and end are times in UTC, as 20260131T120000Z") from None


def read_choice(element: Element) -> Choice | None:
    """What a calendar-data or address-data chooses; None where that is the whole body as it is stored.

    Raises BadRequest; Forbidden for a media type or version that is not offered.
    """
    if element.tag == CALENDAR_DATA:
        calendar = _calendar_data(element)
        return None if calendar.whole else calendar
    card = _address_data(element)
    return None if card.whole else card


def _calendar_data(element: Element) -> CalendarData:
    if (element.get("content-type", ICALENDAR), element.get("version", CALENDAR_VERSION)) != (
        ICALENDAR,
        CALENDAR_VERSION,
    ):
        raise Forbidden("calendar objects are given as text/calendar 2.0", element=SUPPORTED_CALENDAR_DATA)
    comp = child(element, CALDAV + "comp")
    ranges = {
        name: time_range(found, both=True)
        for name in ("expand", "limit-recurrence-set", "limit-freebusy-set")
        if (found := child(element, CALDAV + name)) is not None
    }
    if "expand" in ranges and "limit-recurrence-set" in ranges:
        raise BadRequest("expand and limit-recurrence-set exclude each other")
    choice = _comp_choice(comp, [0], 1) if comp is not None else None
    return CalendarData(
        choice, ranges.get("expand"), ranges.get("limit-recurrence-set"), ranges.get("limit-freebusy-set")
    )


def _comp_choice(element: Element, counted: list[int], depth: int) -> CompChoice:
    """An empty comp stands for the whole component, as the VTIMEZONE of RFC 4791 section 7.8.1 does."""
    _count(counted)
    if depth > MAX_DEPTH:
        raise BadRequest(f"components are chosen within each other more than {MAX_DEPTH} deep")
    props, comps = children(element, CALDAV + "prop"), children(element, CALDAV + "comp")
    all_props = child(element, CALDAV + "allprop") is not None
    all_comps = child(element, CALDAV + "allcomp") is not None
    empty = not (props or comps or all_props or all_comps)
    return CompChoice(
        _name(element),
        None if all_props or empty else tuple(_prop_choice(prop, counted) for prop in props),
        None if all_comps or empty else tuple(_comp_choice(comp, counted, depth + 1) for comp in comps),
    )


def _prop_choice(element: Element, counted: list[int]) -> PropChoice:
    _count(counted)
    return PropChoice(_name(element), element.get("novalue") == "yes")


def _count(counted: list[int]) -> None:
    counted[0] += 1
    if counted[0] > MAX_CHOICES:
        raise BadRequest(f"more than {MAX_CHOICES} properties and components are chosen")


def _name(element: Element) -> str:
    name = (element.get("name") or "").strip().upper()
    if not name:
        raise BadRequest("a property or component is chosen by its name")
    return name


def _address_data(element: Element) -> AddressData:
    type_, version = element.get("content-type", VCARD), element.get("version", "")
    if type_ != VCARD or (version and version not in CARD_VERSIONS):
        raise Forbidden("vCards are given as text/vcard 3.0 or 4.0", element=SUPPORTED_ADDRESS_DATA)
    counted = [0]
    props = tuple(_prop_choice(prop, counted) for prop in children(element, CARDDAV + "prop"))
    everything = child(element, CARDDAV + "allprop") is not None or not props
    return AddressData(None if everything else props, version)
