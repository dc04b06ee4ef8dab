"""REPORT (RFC 3253 section 3.6): which report is asked for, whether it exists where it is asked, and who answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from safehold.model.errors import Forbidden, NotFound, RequestError
from safehold.model.items import Collection
from safehold.model.kinds import CollectionType
from safehold.protocol.caldav import CALENDAR_MULTIGET
from safehold.protocol.carddav import ADDRESSBOOK_MULTIGET
from safehold.protocol.names import DAV
from safehold.protocol.properties import SYNC_COLLECTION
from safehold.protocol.queries import read_multiget
from safehold.protocol.target import Place
from safehold.protocol.webdav import read_report, read_sync_collection
from safehold.protocol.xml import Element, clark
from safehold.web.dav_call import Call, find
from safehold.web.dav_multiget import multiget
from safehold.web.dav_sync import judge_absence, sync
from safehold.web.respond import Reply

#: How the body of each report is read.
_READERS: Mapping[str, Callable[[Element], Any]] = {
    SYNC_COLLECTION: read_sync_collection,
    CALENDAR_MULTIGET: read_multiget,
    ADDRESSBOOK_MULTIGET: read_multiget,
}

#: Who answers on a collection, given what the reader of that report has made of the body.
_Answer = Callable[[Call, Collection, Any], Awaitable[Reply]]
_ON_COLLECTIONS: Mapping[CollectionType, Mapping[str, _Answer]] = {
    CollectionType.ADDRESSBOOK: {SYNC_COLLECTION: sync, ADDRESSBOOK_MULTIGET: multiget},
    CollectionType.CALENDAR: {SYNC_COLLECTION: sync, CALENDAR_MULTIGET: multiget},
}


class _Asked(NamedTuple):
    """A report's body: its name, and its value where it is one of ours."""

    name: str
    value: Any = None
    flaw: RequestError | None = None  # what is wrong with it, if the report exists where it is asked for


def _read(body: bytes) -> _Asked:
    """Raises BadRequest, TooLarge."""
    root = read_report(body)
    name = clark(root)
    reader = _READERS.get(name)
    if reader is None:
        return _Asked(name)
    try:
        return _Asked(name, reader(root))
    except RequestError as error:
        return _Asked(name, flaw=error)


async def report(call: Call) -> Reply:
    """Raises Forbidden with supported-report where the resource has no such report."""
    asked = await call.read_body(_read, call.gate.max_request_bytes)
    if call.target.place in (Place.COLLECTION, Place.ITEM, Place.FILE):
        try:
            collection, item = find(call, call.gate.reads)
        except NotFound:
            if asked.name == SYNC_COLLECTION and asked.flaw is None:
                judge_absence(call, asked.value)
            raise
        answer = _ON_COLLECTIONS.get(collection.type, {}).get(asked.name) if item is None else None
        if answer is not None:
            if asked.flaw is not None:
                raise asked.flaw
            return await answer(call, collection, asked.value)
    raise Forbidden(f"there is no report {asked.name} here", element=DAV + "supported-report")
