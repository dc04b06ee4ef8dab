"""The parts of a body that a report asks for: CALDAV:calendar-data and CARDDAV:address-data as values. Pure.

RFC 4791 section 9.6, RFC 6352 section 10.4. Without a choice a body is given as it is stored, byte for byte; so is one
that cannot be read, or cannot be expanded within bounds: what a device gets may be more than it asked for, not less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import NamedTuple

from safehold.content.expand import TooManyInstances, expanded, limited, without_busy_outside
from safehold.content.lines import Component, Line, LineError, fold, parse, property_name
from safehold.content.timerange import TimeRange
from safehold.content.vcard_convert import converted


class PropChoice(NamedTuple):
    """A property to give, by its name in upper case; with `bare` without its value (novalue)."""

    name: str
    bare: bool = False


class CompChoice(NamedTuple):
    """What to give of components of a name; None stands for all properties, all components (RFC 4791 section 9.6.1)."""

    name: str
    props: tuple[PropChoice, ...] | None = None
    comps: tuple[CompChoice, ...] | None = None


class CalendarData(NamedTuple):
    """`whole` where nothing is chosen."""

    choice: CompChoice | None = None
    expand: TimeRange | None = None
    recurrence: TimeRange | None = None  # limit-recurrence-set
    busy: TimeRange | None = None  # limit-freebusy-set

    @property
    def whole(self) -> bool:
        return self == WHOLE_CALENDAR


class AddressData(NamedTuple):
    """`version` is "" where the body is wanted in the version that it is stored in."""

    props: tuple[PropChoice, ...] | None = None
    version: str = ""

    @property
    def whole(self) -> bool:
        return self == WHOLE_CARD


WHOLE_CALENDAR = CalendarData()
WHOLE_CARD = AddressData()


def calendar_part(body: bytes, asked: CalendarData, floating: tzinfo) -> bytes:
    """A calendar object as far as it is asked for; `floating` is the zone of times that name none."""
    try:
        if asked.expand is not None:
            body = _expanded(body, asked.expand, floating)
        if asked.recurrence is not None:
            body = limited(body, asked.recurrence)
        if asked.busy is not None:
            body = without_busy_outside(body, asked.busy)
        if asked.choice is None:
            return body
        roots = [root for root in parse(body).roots if root.name == asked.choice.name]
        return b"".join(line for root in roots for line in _component(root, asked.choice))
    except LineError:
        return body


def _expanded(body: bytes, within: TimeRange, floating: tzinfo) -> bytes:
    try:
        return expanded(body, within, floating)
    except TooManyInstances:
        return body


def card_part(body: bytes, asked: AddressData) -> bytes:
    """A vCard as far as it is asked for, in the version that is asked for."""
    try:
        if asked.version:
            body = converted(body, asked.version)
        if asked.props is None:
            return body
        choice = CompChoice("VCARD", asked.props, ())
        return b"".join(line for root in parse(body).roots for line in _component(root, choice))
    except LineError:
        return body


def _component(component: Component, choice: CompChoice) -> Iterator[bytes]:
    yield _written(component.begin)
    for line in component.lines:
        if choice.props is None:
            yield _written(line)
            continue
        chosen = _chosen(line, choice.props)
        if chosen is not None:
            yield _written((line[0], line[1], "") if chosen.bare else line)
    for inner in component.components:
        own = _choice_of(inner.name, choice.comps)
        if own is not None:
            yield from _component(inner, own)
    yield fold(f"END:{component.name}".encode())


def _choice_of(name: str, comps: Sequence[CompChoice] | None) -> CompChoice | None:
    if comps is None:
        return CompChoice(name)
    return next((choice for choice in comps if choice.name == name), None)


def _chosen(line: Line, props: Sequence[PropChoice]) -> PropChoice | None:
    """A name with a group means a property of exactly that group (RFC 6352 section 10.4.2)."""
    full, name = line[0].upper(), property_name(line)
    return next((prop for prop in props if prop.name in (full, name)), None)


def _written(line: Line) -> bytes:
    return fold(f"{line[0]}{line[1]}:{line[2]}".encode())
