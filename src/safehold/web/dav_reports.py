"""REPORT (RFC 3253 section 3.6): which report is asked for, whether it exists where it is asked, and who answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from safehold.model.errors import Forbidden, NotFound, RequestError
from safehold.model.items import Collection
from safehold.model.kinds import CollectionType
from safehold.protocol import principal_reports
from safehold.protocol.caldav import CALENDAR_MULTIGET, CALENDAR_QUERY, FREE_BUSY_QUERY
from safehold.protocol.carddav import ADDRESSBOOK_MULTIGET, ADDRESSBOOK_QUERY
from safehold.protocol.names import DAV
from safehold.protocol.properties import SYNC_COLLECTION
from safehold.protocol.queries import (
    read_addressbook_query,
    read_calendar_query,
    read_free_busy_query,
    read_multiget,
)
from safehold.protocol.target import Place
from safehold.protocol.webdav import read_report, read_sync_collection
from safehold.protocol.xml import Element, clark
from safehold.web.dav_call import Call, find
from safehold.web.dav_free_busy import free_busy_query
from safehold.web.dav_multiget import multiget
from safehold.web.dav_principal_reports import principal_report
from safehold.web.dav_query import addressbook_query, calendar_query
from safehold.web.dav_sync import judge_absence, sync
from safehold.web.respond import Reply

#: How the body of each report is read.
_READERS: Mapping[str, Callable[[Element], Any]] = {
    SYNC_COLLECTION: read_sync_collection,
    CALENDAR_MULTIGET: read_multiget,
    CALENDAR_QUERY: read_calendar_query,
    FREE_BUSY_QUERY: read_free_busy_query,
    ADDRESSBOOK_MULTIGET: read_multiget,
    ADDRESSBOOK_QUERY: read_addressbook_query,
    **principal_reports.READERS,
}

#: Who answers on a collection or on an item in it, given what the reader of that report has made of the body.
_Answer = Callable[[Call, Collection, Any], Awaitable[Reply]]
_ON_COLLECTIONS: Mapping[CollectionType, Mapping[str, _Answer]] = {
    CollectionType.ADDRESSBOOK: {
        SYNC_COLLECTION: sync,
        ADDRESSBOOK_MULTIGET: multiget,
        ADDRESSBOOK_QUERY: addressbook_query,
    },
    CollectionType.CALENDAR: {
        SYNC_COLLECTION: sync,
        CALENDAR_MULTIGET: multiget,
        CALENDAR_QUERY: calendar_query,
        FREE_BUSY_QUERY: free_busy_query,
    },
}
_ON_ITEMS: Mapping[CollectionType, Mapping[str, _Answer]] = {
    CollectionType.ADDRESSBOOK: {ADDRESSBOOK_MULTIGET: multiget, ADDRESSBOOK_QUERY: addressbook_query},
    CollectionType.CALENDAR: {CALENDAR_MULTIGET: multiget, CALENDAR_QUERY: calendar_query},
}

#: What a device takes for a list of all that there is.
_LISTING = frozenset((CALENDAR_QUERY, FREE_BUSY_QUERY, ADDRESSBOOK_QUERY))


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
    if asked.name in principal_reports.READERS:
        return principal_report(call, asked.name, asked.value, asked.flaw)
    if call.target.place in (Place.COLLECTION, Place.ITEM, Place.FILE):
        try:
            collection, item = find(call, call.gate.reads)
        except NotFound:
            if asked.name == SYNC_COLLECTION and asked.flaw is None:
                await judge_absence(call, asked.value)
            raise
        answers = _ON_COLLECTIONS if item is None else _ON_ITEMS
        answer = answers.get(collection.type, {}).get(asked.name)
        if answer is not None:
            if asked.flaw is not None:
                raise asked.flaw
            if asked.name in _LISTING and item is None:
                call.require_listable(call.gate.reads, collection)
            return await answer(call, collection, asked.value)
    raise Forbidden(f"there is no report {asked.name} here", element=DAV + "supported-report")
