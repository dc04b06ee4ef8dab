"""Request bodies of WebDAV: PROPFIND, PROPPATCH, MKCOL (RFC 4918, 5689), sync-collection (RFC 6578), REPORT's root.

A body becomes a value; devices send the same few bodies again and again, so small ones are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple, TypeVar

from safehold.model.errors import BadRequest
from safehold.protocol.names import DAV
from safehold.protocol.partial import ADDRESS_DATA, CALENDAR_DATA, Choice, read_choice
from safehold.protocol.xml import Element, child, children, clark, keep, parse, text_of

T = TypeVar("T")

_REMEMBERED_BYTES = 4096
_REMEMBERED_BODIES = 256
#: Names in one PROPFIND or REPORT: more than any client has properties.
MAX_NAMES = 256


def remembering(reader: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """The same reader, with the values of small bodies kept. Only for readers whose values are immutable."""
    cached = lru_cache(maxsize=_REMEMBERED_BODIES)(reader)
    return lambda body: cached(body) if len(body) <= _REMEMBERED_BYTES else reader(body)


class Mode(Enum):
    """What a PROPFIND asks for."""

    PROP = auto()  # these properties
    ALLPROP = auto()  # the dead ones, those of RFC 4918, and these
    PROPNAME = auto()  # the names of all


class PropFind(NamedTuple):
    mode: Mode
    names: tuple[str, ...] = ()
    #: What a report has of calendar-data and address-data among the names, each with the part that it asks for.
    bodies: tuple[tuple[str, Choice | None], ...] = ()
    data: str = ""  # the one of them that is given, by its Clark name
    choice: Choice | None = None  # the part of it; None for all of the body as it is stored

    def giving(self, data: str) -> PropFind:
        """The same, with bodies under this name where they are asked for; any other is a property that is not there."""
        choices = dict(self.bodies)
        return self._replace(data=data, choice=choices[data]) if data in choices else self._replace(data="")


ALLPROP = PropFind(Mode.ALLPROP)
_DATA = (CALENDAR_DATA, ADDRESS_DATA)


@remembering
def read_propfind(body: bytes) -> PropFind:
    """RFC 4918 section 9.1; no body means allprop. Raises BadRequest."""
    if not body.strip():
        return ALLPROP
    return which_properties(parse(body, root=DAV + "propfind"))


def which_properties(root: Element) -> PropFind:
    """The prop, allprop (with include) or propname within a propfind. Raises BadRequest."""
    asked = children(root, DAV + "prop", DAV + "allprop", DAV + "propname")
    if len(asked) != 1:
        raise BadRequest("exactly one of prop, allprop and propname is needed")
    kind = clark(asked[0])
    if kind == DAV + "propname":
        return PropFind(Mode.PROPNAME)
    if kind == DAV + "allprop":
        return PropFind(Mode.ALLPROP, _names(child(root, DAV + "include")))
    return PropFind(Mode.PROP, _names(asked[0]))


def report_properties(root: Element) -> PropFind:
    """The same within a report, which may ask for bodies too, or parts of them. Raises BadRequest, Forbidden."""
    asked = which_properties(root)
    prop = child(root, DAV + "prop")
    if prop is None:
        return asked
    found = [(name, child(prop, name)) for name in _DATA]
    return asked._replace(bodies=tuple((name, read_choice(e)) for name, e in found if e is not None))


def _names(element: Element | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(clark(c) for c in element)) if element is not None else ()
    if len(names) > MAX_NAMES:
        raise BadRequest(f"{len(names)} properties are asked for; the limit is {MAX_NAMES}")
    return names


class Instruction(NamedTuple):
    """One step of a PROPPATCH, in document order: set a property to a value (a whole element), or remove it."""

    name: str
    value: str | None
    #: The text of a value that is text only; what a rule about the value looks at.
    text: str = ""


def read_proppatch(body: bytes) -> list[Instruction]:
    """RFC 4918 section 9.2. Raises BadRequest."""
    steps = instructions(changed_properties(parse(body, root=DAV + "propertyupdate"), DAV + "set", DAV + "remove"))
    if not steps:
        raise BadRequest("a propertyupdate sets or removes at least one property")
    return steps


def changed_properties(root: Element, *actions: str) -> list[Element]:
    """The properties within DAV:set (and DAV:remove) elements, in document order. Raises BadRequest: too many."""
    found = [p for action in children(root, *actions) for prop in children(action, DAV + "prop") for p in prop]
    if len(found) > MAX_NAMES:
        raise BadRequest(f"{len(found)} properties are changed at once; the limit is {MAX_NAMES}")
    return found


def instructions(properties: Sequence[Element]) -> list[Instruction]:
    """Set or remove each, as the element says that it stands in. Raises BadRequest."""
    return [
        Instruction(clark(p), None) if _removed(p) else Instruction(clark(p), keep(p), "".join(p.itertext()))
        for p in properties
    ]


def _removed(element: Element) -> bool:
    return next(element.iterancestors(DAV + "remove"), None) is not None


class SyncCollection(NamedTuple):
    """RFC 6578 section 6.1. `token` is "" for the first sync; `limit` None where all is wanted."""

    token: str
    limit: int | None
    asked: PropFind


def read_report(body: bytes) -> Element:
    """The root of a REPORT body, whose name says which report it is. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("a REPORT needs a body that names the report")
    return parse(body)


def read_sync_collection(root: Element) -> SyncCollection:
    """Raises BadRequest. What has sync tokens holds no collections, so its infinite level is its first."""
    token = text_of(child(root, DAV + "sync-token"))
    return SyncCollection(token, result_limit(root, DAV), report_properties(root))


def result_limit(root: Element, namespace: str) -> int | None:
    """The limit of a report's answer, in the report's own namespace; None where all is wanted. Raises BadRequest."""
    limits = child(root, namespace + "limit")
    if limits is None:
        return None
    said = text_of(child(limits, namespace + "nresults"))
    if not said.isascii() or not said.isdigit() or not 0 < len(said) <= 9 or int(said) == 0:
        raise BadRequest("nresults is a positive number")
    return int(said)
