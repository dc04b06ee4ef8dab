"""Making collections: MKCOL (RFC 4918 section 9.3), extended MKCOL (RFC 5689), MKCALENDAR (RFC 4791 section 5.3.1)."""

from __future__ import annotations

from typing import NamedTuple

from safehold.model.errors import UnsupportedMedia
from safehold.model.kinds import COMPONENTS, CollectionType
from safehold.protocol.caldav import MKCALENDAR, SUPPORTED_COMPONENTS, component_set
from safehold.protocol.names import CALDAV, CARDDAV, DAV
from safehold.protocol.properties import RESOURCETYPE, refusal
from safehold.protocol.webdav import Instruction, changed_properties, instructions
from safehold.protocol.xml import Element, clark, parse

_FORBIDDEN = "403 Forbidden"
_TYPES = {
    frozenset((DAV + "collection",)): CollectionType.FOLDER,
    frozenset((DAV + "collection", CALDAV + "calendar")): CollectionType.CALENDAR,
    frozenset((DAV + "collection", CARDDAV + "addressbook")): CollectionType.ADDRESSBOOK,
}


class NewCollection(NamedTuple):
    """What a request wants made. Where `refused` is not empty, nothing may be made; it maps names to reasons."""

    type: CollectionType
    components: frozenset[str]
    props: dict[str, str]
    steps: list[Instruction]
    refused: dict[str, tuple[str, str]]


def read_mkcol(body: bytes) -> NewCollection:
    """No body makes a folder. Raises BadRequest, UnsupportedMedia for a document that MKCOL does not take."""
    if not body.strip():
        return NewCollection(CollectionType.FOLDER, frozenset(), {}, [], {})
    root = parse(body)
    if clark(root) != DAV + "mkcol":
        raise UnsupportedMedia(f"MKCOL takes a DAV:mkcol element, not {clark(root)}")
    return _read(root, CollectionType.FOLDER)


def read_mkcalendar(body: bytes) -> NewCollection:
    """Raises BadRequest, UnsupportedMedia."""
    if not body.strip():
        return NewCollection(CollectionType.CALENDAR, frozenset(COMPONENTS), {}, [], {})
    root = parse(body)
    if clark(root) != MKCALENDAR:
        raise UnsupportedMedia(f"MKCALENDAR takes a CALDAV:mkcalendar element, not {clark(root)}")
    return _read(root, CollectionType.CALENDAR)


def _read(root: Element, type_: CollectionType) -> NewCollection:
    components: frozenset[str] = frozenset()
    props: dict[str, str] = {}
    refused: dict[str, tuple[str, str]] = {}
    elements = changed_properties(root, DAV + "set")
    steps = instructions(elements)
    for step, element in zip(steps, elements, strict=True):
        if step.name == RESOURCETYPE:
            asked = _TYPES.get(frozenset(map(clark, element)))
            if asked is None or (clark(root) == MKCALENDAR and asked is not CollectionType.CALENDAR):
                refused[step.name] = (_FORBIDDEN, DAV + "valid-resourcetype")
            else:
                type_ = asked
        elif step.name == SUPPORTED_COMPONENTS:
            found = component_set(element)
            if found is None:
                refused[step.name] = (_FORBIDDEN, CALDAV + "supported-calendar-component")
            else:
                components = found
        elif (why := refusal(step)) is not None:
            refused[step.name] = why
        elif step.value is not None:
            props[step.name] = step.value
    if type_ is CollectionType.CALENDAR:
        components = components or frozenset(COMPONENTS)
    elif components:
        refused[SUPPORTED_COMPONENTS] = (_FORBIDDEN, DAV + "cannot-modify-protected-property")
    return NewCollection(type_, components, props, steps, refused)
