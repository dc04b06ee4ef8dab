"""Whether a body may be stored as an address object or a calendar object, and what the store must know of it.

Rules of RFC 6352 sections 5.1 and 6.3.2.1 and of RFC 4791 sections 4.1 and 5.3.2.1; what of RFC 6350, 2426 and 5545
is asked for beyond them is what other clients stumble over. docs/decisions/0005-content-validation.md lists what is
accepted although the standards forbid it, and why. Every refusal is an InvalidContent that names the precondition.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from safehold.content.lines import Component, Document, Line, LineError, parse, property_name
from safehold.model.errors import InvalidContent
from safehold.model.kinds import COMPONENTS

CARDDAV = "{urn:ietf:params:xml:ns:carddav}"
CALDAV = "{urn:ietf:params:xml:ns:caldav}"
VALID_ADDRESS_DATA = CARDDAV + "valid-address-data"
SUPPORTED_ADDRESS_DATA = CARDDAV + "supported-address-data"
VALID_CALENDAR_DATA = CALDAV + "valid-calendar-data"
VALID_CALENDAR_OBJECT = CALDAV + "valid-calendar-object-resource"
SUPPORTED_CALENDAR_DATA = CALDAV + "supported-calendar-data"
SUPPORTED_CALENDAR_COMPONENT = CALDAV + "supported-calendar-component"

CARD_VERSIONS = ("3.0", "4.0")
CALENDAR_VERSION = "2.0"
#: Octets of a UID; it is a key of an index. The longest that clients are known to make have some 200.
MAX_UID_BYTES = 1024

#: Components that stand alone. Within another one their UID could be taken for the object's.
_OUTER = frozenset((*COMPONENTS, "VCALENDAR", "VCARD", "VFREEBUSY", "VTIMEZONE"))
_DATES = frozenset(("DTSTART", "DTEND", "DUE", "RECURRENCE-ID"))
#: Properties of which a component has at most one (RFC 5545 section 3.6.1) and that give it its place and identity.
_ONCE = _DATES | {"UID"}
_DATE = re.compile(
    r"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:T(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9]|60)Z?)?"
)


class CardFacts(NamedTuple):
    """What is to be known of a valid vCard."""

    uid: str
    version: str  # "3.0" or "4.0"


class CalendarFacts(NamedTuple):
    """What is to be known of a valid calendar object."""

    uid: str
    component: str  # VEVENT, VTODO or VJOURNAL
    master: bool  # False where it holds overridden instances only
    instances: int  # components of that UID: the master and its overrides


def check_vcard(body: bytes) -> CardFacts:
    """The facts of a body that is exactly one vCard 3.0 or 4.0 with one UID. Raises InvalidContent."""
    document = _parsed(body, VALID_ADDRESS_DATA)
    card = _only_root(document, "VCARD", VALID_ADDRESS_DATA)
    if card.components:
        inner = card.components[0]
        _refuse(document, inner.begin, f"BEGIN:{inner.name[:40]} within a vCard", VALID_ADDRESS_DATA)
    uid = version = None
    for line in card.lines:
        name = property_name(line)
        if name == "UID":
            if uid is not None:
                _refuse(document, line, "a second UID", VALID_ADDRESS_DATA)
            uid = _uid(document, line, VALID_ADDRESS_DATA)
        elif name == "VERSION":
            if version is not None:
                _refuse(document, line, "a second VERSION", VALID_ADDRESS_DATA)
            version = line[2].strip()
            if version not in CARD_VERSIONS:
                reason = f"vCard version {version[:20]!r}; versions 3.0 and 4.0 are kept here"
                _refuse(document, line, reason, SUPPORTED_ADDRESS_DATA)
    if version is None:
        _refuse(document, card.begin, "this vCard has no VERSION", VALID_ADDRESS_DATA)
    if uid is None:
        _refuse(document, card.begin, "this vCard has no UID", VALID_ADDRESS_DATA)
    return CardFacts(uid, version)


def check_icalendar(body: bytes) -> CalendarFacts:
    """The facts of a body that is one calendar object resource. Raises InvalidContent."""
    document = _parsed(body, VALID_CALENDAR_DATA)
    calendar = _only_root(document, "VCALENDAR", VALID_CALENDAR_DATA)
    _check_calendar_properties(document, calendar)
    uid = type_ = ""
    masters = instances = 0
    for component in calendar.components:
        _check_inner(document, component)
        if component.name == "VTIMEZONE":
            _check_timezone(document, component)
            continue
        if component.name not in COMPONENTS:
            reason = f"a {component.name[:40]}; VEVENT, VTODO and VJOURNAL are kept here"
            _refuse(document, component.begin, reason, SUPPORTED_CALENDAR_COMPONENT)
        own_uid, is_master = _check_instance(document, component)
        if not instances:
            uid, type_ = own_uid, component.name
        elif component.name != type_:
            reason = f"a {component.name} beside a {type_}: one resource holds components of one type"
            _refuse(document, component.begin, reason, VALID_CALENDAR_OBJECT)
        elif own_uid != uid:
            reason = f"UID {own_uid[:60]!r} beside UID {uid[:60]!r}: one resource holds components of one UID"
            _refuse(document, component.begin, reason, VALID_CALENDAR_OBJECT)
        instances += 1
        masters += is_master
        if masters > 1:
            reason = f"a second {type_} of this UID without RECURRENCE-ID"
            _refuse(document, component.begin, reason, VALID_CALENDAR_OBJECT)
    if not instances:
        _refuse(document, calendar.begin, "this calendar holds no VEVENT, VTODO or VJOURNAL", VALID_CALENDAR_OBJECT)
    return CalendarFacts(uid, type_, masters == 1, instances)


def _check_calendar_properties(document: Document, calendar: Component) -> None:
    version = None
    for line in calendar.lines:
        name = property_name(line)
        if name == "METHOD":
            reason = "METHOD: a stored calendar object is no scheduling message"
            _refuse(document, line, reason, VALID_CALENDAR_OBJECT)
        if name == "VERSION":
            if version is not None:
                _refuse(document, line, "a second VERSION", VALID_CALENDAR_DATA)
            version = line[2].strip()
            if version != CALENDAR_VERSION:
                reason = f"iCalendar version {version[:20]!r}; version 2.0 is kept here"
                _refuse(document, line, reason, SUPPORTED_CALENDAR_DATA)
    if version is None:
        _refuse(document, calendar.begin, "this calendar has no VERSION", VALID_CALENDAR_DATA)


def _check_inner(document: Document, component: Component) -> None:
    """RFC 5545 section 3.6: alarms and the like lie within a component, never one that stands alone."""
    for inner in component.components:
        if inner.name in _OUTER:
            _refuse(document, inner.begin, f"a {inner.name} within a {component.name[:40]}", VALID_CALENDAR_DATA)
        _check_inner(document, inner)


def _check_timezone(document: Document, timezone: Component) -> None:
    if len(timezone.values("TZID")) != 1:
        _refuse(document, timezone.begin, "a VTIMEZONE needs exactly one TZID", VALID_CALENDAR_DATA)


def _check_instance(document: Document, component: Component) -> tuple[str, bool]:
    """The UID of an event, to-do or journal entry, and whether it is a master (has no RECURRENCE-ID)."""
    uid = None
    seen: set[str] = set()
    for line in component.lines:
        name = property_name(line)
        if name not in _ONCE:
            continue
        if name in seen:
            _refuse(document, line, f"a second {name} in this {component.name}", VALID_CALENDAR_DATA)
        seen.add(name)
        if name == "UID":
            uid = _uid(document, line, VALID_CALENDAR_OBJECT)
        elif not _DATE.fullmatch(line[2]):
            _refuse(document, line, f"{name}: {line[2][:40]!r} is no DATE or DATE-TIME", VALID_CALENDAR_DATA)
    if uid is None:
        _refuse(document, component.begin, f"this {component.name} has no UID", VALID_CALENDAR_OBJECT)
    if component.name == "VEVENT" and "DTSTART" not in seen:
        _refuse(document, component.begin, "this VEVENT has no DTSTART", VALID_CALENDAR_DATA)
    return uid, "RECURRENCE-ID" not in seen


def _parsed(body: bytes, element: str) -> Document:
    try:
        return parse(body)
    except LineError as error:
        raise InvalidContent(str(error), element=element) from None


def _only_root(document: Document, name: str, element: str) -> Component:
    if not document.roots:
        raise InvalidContent("the body is empty", element=element)
    root = document.roots[0]
    if root.name != name:
        _refuse(document, root.begin, f"BEGIN:{root.name[:40]} where BEGIN:{name} should stand", element)
    if len(document.roots) > 1:
        second = document.roots[1]
        element = VALID_CALENDAR_OBJECT if element == VALID_CALENDAR_DATA else element
        _refuse(document, second.begin, f"a second object: one resource holds one {name}", element)
    return root


def _uid(document: Document, line: Line, element: str) -> str:
    uid = line[2].strip()
    if not uid:
        _refuse(document, line, "the UID is empty", element)
    if len(uid.encode()) > MAX_UID_BYTES:
        _refuse(document, line, f"the UID is longer than {MAX_UID_BYTES} bytes", element)
    return uid


def _refuse(document: Document, line: Line, reason: str, element: str) -> NoReturn:
    raise InvalidContent(f"line {document.number(line)}: {reason}", element=element)
