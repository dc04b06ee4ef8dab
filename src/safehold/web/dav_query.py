"""REPORT calendar-query (RFC 4791 section 7.8) and addressbook-query (RFC 6352 section 8.6).

A query answers which names match as of one moment, found in the occurrence index where it asks for a range of time.
Names of which a body has to be looked at are judged a piece at a time, each by its body as it is then read: what was
deleted meanwhile is left out, and what was changed is judged anew. No piece keeps a reading thread for long.

A device takes a name that is missing for a delete (I38). So one body that cannot be had fails the whole answer, one
that cannot be understood matches, and nothing is cut short unless the query sets a limit. Depth is not looked at: a
query on a collection is about its items whatever the header says, for some clients leave it out or send 0.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import NamedTuple

from safehold.content.budget import Meter
from safehold.content.filters import CompFilter, Matcher, calendar_matcher, card_matcher
from safehold.content.spans import Spans
from safehold.content.timerange import TimeRange
from safehold.model.items import Collection, Item
from safehold.model.kinds import COMPONENTS
from safehold.ports.core import CoreReads
from safehold.protocol.caldav import floating_zone
from safehold.protocol.multistatus import CLOSE, OPEN, ItemTemplate
from safehold.protocol.problems import XML_TYPE
from safehold.protocol.queries import AddressbookQuery, CalendarQuery
from safehold.protocol.target import Place
from safehold.web.bodies import PIECE_BODIES, PIECE_BYTES, PIECE_STEPS, items_and_bodies
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_entries import BATCH_CHARACTERS, own_properties, template_of
from safehold.web.dav_index import by_index
from safehold.web.dav_propfind import item_lines
from safehold.web.dav_reads import body_of, is_ghost
from safehold.web.dav_sync import truncated_response
from safehold.web.request import LISTING_BYTES
from safehold.web.respond import Reply, multistatus

#: Bodies of a piece where each has to be read as lines and its times computed.
_PIECE_COSTLY_BODIES = 32


class Plan(NamedTuple):
    """How a query is answered: items that match for certain, and names of which the bodies have to be looked at."""

    sure: Sequence[Item]
    maybe: Sequence[str]


#: The index is None where the search does not ask for it.
Planner = Callable[[CoreReads, Collection, Spans | None], Plan]


class _Search(NamedTuple):
    """A query under way."""

    call: Call
    collection: Collection
    template: ItemTemplate
    plan: Planner
    matches: Matcher
    limit: int | None
    indexed: bool = False  # by the occurrence index


class _Begun(NamedTuple):
    """The names still to be looked at, and the first responses."""

    lines: list[str]
    names: Sequence[str]
    certain: frozenset[str]  # those that need not be judged, but of which a body or properties are wanted


async def calendar_query(call: Call, collection: Collection, asked: CalendarQuery) -> Reply:
    """On a calendar, or on one of its items."""
    floating = asked.floating or floating_zone(collection.props)
    timed = _timed(asked.filter) if call.target.place is not Place.ITEM else None

    def plan(moment: CoreReads, collection: Collection, index: Spans | None) -> Plan:
        if timed is not None and index is not None:
            sure, maybe = index.candidates(timed.component, timed.within, floating)
            if timed.all:
                return Plan(moment.items_named(collection, sure), maybe)
            return Plan((), [*sure, *maybe])
        items = moment.items(collection)
        return Plan(items, ()) if _is_everything(asked.filter, collection) else Plan((), [i.name for i in items])

    template = template_of(call, asked.asked, collection, floating)
    matches = calendar_matcher(asked.filter, floating)
    return await _answer(
        _Search(call, collection, template, _planner(call, plan), matches, None, indexed=timed is not None)
    )


async def addressbook_query(call: Call, collection: Collection, asked: AddressbookQuery) -> Reply:
    """On an address book, or on one of its items."""

    def plan(moment: CoreReads, collection: Collection, _: Spans | None) -> Plan:
        items = moment.items(collection)
        return Plan((), [item.name for item in items]) if asked.filter.props else Plan(items, ())

    template = template_of(call, asked.asked, collection)
    matches = card_matcher(asked.filter)
    return await _answer(_Search(call, collection, template, _planner(call, plan), matches, asked.limit))


def _planner(call: Call, plan: Planner) -> Planner:
    """On an item there is no more to be looked at than that."""
    return plan if call.target.place is not Place.ITEM else lambda *_: Plan((), [call.target.name])


class _Timed(NamedTuple):
    """A condition that the occurrence index knows, and whether it is `all` that a filter asks for."""

    component: str
    within: TimeRange
    all: bool


def _timed(f: CompFilter) -> _Timed | None:
    """The condition that everything that matches fulfils: a component of a kind in a range of time."""
    for inner in f.comps:
        if not f.absent and inner.within is not None and inner.name in COMPONENTS:
            plain = not (f.props or inner.props or inner.comps)
            return _Timed(inner.name, inner.within, plain and len(f.comps) == 1)
    return None


def _is_everything(f: CompFilter, collection: Collection) -> bool:
    """Whether the filter asks for a calendar object with a component that all items of the collection have."""
    only = CompFilter("VCALENDAR", comps=tuple(map(CompFilter, sorted(collection.components))))
    return f == CompFilter("VCALENDAR") or (len(collection.components) == 1 and f == only)


# -- how the answer is made ----------------------------------------------------------------------------------


async def _answer(search: _Search) -> Reply:
    """The 207. Tags alone are complete before anything is sent; with bodies or properties it is sent in pieces."""
    call, template = search.call, search.template
    await call.request.take_room(LISTING_BYTES)
    found = _found(search)
    lines: list[str] = []
    size = 0
    async for more in found:
        lines += more
        size += sum(map(len, more))
        if (template.data_name or template.needs_dead) and size > BATCH_CHARACTERS:
            return Reply(207, [XML_TYPE, *call.preferred()], chunks=_stream(lines, found))
    return multistatus(lines, call.preferred())


async def _stream(lines: list[str], found: AsyncGenerator[list[str], None]) -> AsyncGenerator[bytes, None]:
    try:
        yield "".join((OPEN, *lines)).encode()
        async for more in found:
            yield "".join(more).encode()
        yield CLOSE.encode()
    finally:
        await found.aclose()


async def _found(search: _Search) -> AsyncGenerator[list[str], None]:
    """Responses about what matches, a piece at a time; after as many as the query wants, one that there are more."""
    gate, limit = search.call.gate, search.limit
    if search.indexed:
        begun = await by_index(search.call, search.collection, partial(_begin, search))
    else:
        begun = await gate.in_thread(partial(_begin_unindexed, search))
    lines, done, told = begun.lines, 0, 0
    while True:
        if limit is not None and told + len(lines) > limit:
            base = search.call.view(Place.COLLECTION, search.collection.path).href
            yield [*lines[: limit - told], truncated_response(base)]
            return
        told += len(lines)
        yield lines
        if done >= len(begun.names):
            return
        room = None if limit is None else limit - told + 1  # one more tells that there are more
        lines, done = await gate.in_thread(partial(_piece, search, begun, done, room))


def _begin_unindexed(search: _Search, reads: CoreReads) -> _Begun:
    with reads.snapshot() as moment:
        return _begin(search, moment, collection_at(moment, search.call.account, search.collection.path), None)


def _begin(search: _Search, moment: CoreReads, collection: Collection, index: Spans | None) -> _Begun:
    """As of one moment: what matches, as far as no body has to be looked at."""
    template = search.template
    plan = search.plan(moment, collection, index)
    if template.data_name:
        certain = [item.name for item in plan.sure]
        return _Begun([], [*certain, *plan.maybe], frozenset(certain))
    lines, later = item_lines(template, plan.sure)
    return _Begun(lines, [*later, *plan.maybe], frozenset(later))


def _piece(search: _Search, begun: _Begun, start: int, room: int | None, reads: CoreReads) -> tuple[list[str], int]:
    """Responses about those names from `start` on that match, `room` at most, and where to go on. Raises Held."""
    template = search.template
    costly = not template.whole or (search.indexed and start >= len(begun.certain))
    window = begun.names[start : start + (_PIECE_COSTLY_BODIES if costly else PIECE_BODIES)]
    places = {name: place for place, name in enumerate(window, start + 1)}
    lines: list[str] = []
    read = written = 0
    with reads.snapshot() as moment, Meter() as meter:
        collection = collection_at(moment, search.call.account, search.collection.path)
        for item, stored in items_and_bodies(moment, collection, window):
            certain = item.name in begun.certain
            certain |= is_ghost(stored)  # what nobody can look at matches (I38)
            body = b"" if certain and not template.data_name else body_of(search.call.gate, item, stored)
            read += len(body)
            if certain or search.matches(body):
                own = own_properties(template, item, moment)
                lines.append(template.line(item, own, template.data(body) if template.data_name else ""))
                written += len(lines[-1])
            full = read > PIECE_BYTES or written > BATCH_CHARACTERS or meter.steps() > PIECE_STEPS
            if full or len(lines) == room:
                return lines, places[item.name]
    return lines, start + len(window)
