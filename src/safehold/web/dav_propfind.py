"""PROPFIND, and what it has in common with reports that tell of items without their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from safehold.model.errors import Forbidden, NotFound
from safehold.model.items import Collection, Item
from safehold.model.kinds import ROOT_NOTES, ROOT_PHOTOS, CollectionType
from safehold.model.paths import kinds_under
from safehold.ports.core import CoreReads
from safehold.protocol.conditions import INFINITY, parse_depth
from safehold.protocol.multistatus import ItemTemplate, view_response
from safehold.protocol.names import DAV, quote_segment
from safehold.protocol.target import Place
from safehold.protocol.webdav import PropFind, read_propfind
from safehold.web.dav_call import Call, collection_at, find, require_whole
from safehold.web.dav_entries import Entries, Entry, entries_reply, own_properties
from safehold.web.respond import Reply, multistatus

#: Collections that may hold more items than this are listed off the event loop.
INLINE_ITEMS = 500


async def propfind(call: Call) -> Reply:
    """RFC 4918 section 9.1. Depth infinity, also by default, is refused on collections."""
    depth = parse_depth(call.request.headers)
    asked = await call.read_body(read_propfind)
    place = call.target.place
    if place not in (Place.COLLECTION, Place.ITEM, Place.FILE):
        if place is Place.NOWHERE:
            raise NotFound("nothing lies at this address")
        _refuse_infinity(depth)
        noroot = depth != 0 and call.prefers.noroot
        return multistatus(_fixed_lines(call, asked, depth)[noroot:], call.preferred(noroot=noroot))
    reads = call.gate.reads
    collection, item = find(call, reads)
    if item is not None:
        template = ItemTemplate(asked, call.view_of(collection), minimal=call.minimal)
        return multistatus([template.line(item, own_properties(template, item, reads))], call.preferred())
    _refuse_infinity(depth)
    if depth == 0:
        view = call.view_of(collection, call.facts(asked, reads))
        return multistatus([view_response(view, asked, minimal=call.minimal)], call.preferred())
    noroot = call.prefers.noroot
    work = partial(_listing, call, asked, collection.path, noroot=noroot)
    template, told = work(reads) if is_small(collection) else await call.long_read(work)
    if told.later:
        return await listing_reply(call, collection.path, template, told, noroot=noroot)
    return multistatus(told.lines, call.preferred(noroot=noroot))


def _refuse_infinity(depth: int) -> None:
    if depth == INFINITY:
        raise Forbidden("trees are listed one level at a time", hint="ask with Depth: 0 or 1", element=_FINITE)


_FINITE = DAV + "propfind-finite-depth"


def is_small(collection: Collection) -> bool:
    """Whether it surely has few items: no more than there were changes in its stream since it was made."""
    return collection.rev - collection.created_rev <= INLINE_ITEMS


def _listing(
    call: Call, asked: PropFind, path: str, reads: CoreReads, *, noroot: bool
) -> tuple[ItemTemplate, ItemLines]:
    """A collection (unless `noroot`), the folders in it, and its items, as of one moment."""
    with reads.snapshot() as moment:
        collection = collection_at(moment, call.account, path)
        call.require_listable(moment, collection)
        facts = call.facts(asked, moment)
        view = call.view_of(collection, facts)
        lines = [] if noroot else [view_response(view, asked, minimal=call.minimal)]
        if collection.type is CollectionType.FOLDER:
            below = moment.collections(call.account.number, path + "/")
            inner = [c for c in below if "/" not in c.path[len(path) + 1 :]]
            lines += [view_response(call.view_of(c, facts), asked, minimal=call.minimal) for c in inner]
        template = ItemTemplate(asked, view, minimal=call.minimal)
        told = item_lines(template, moment.items(collection))
        return template, told._replace(lines=lines + told.lines)


class ItemLines(NamedTuple):
    """Responses about items, and the names of those that have properties of their own, which may take much memory."""

    lines: list[str]
    later: list[str]


def item_lines(template: ItemTemplate, items: Sequence[Item]) -> ItemLines:
    """About items whose bodies are not asked for. What `later` names is to be told a piece at a time."""
    later: list[str] = []
    if template.needs_dead:
        later = [item.name for item in items if item.props_journal is not None]
        items = [item for item in items if item.props_journal is None]
    if not template.locked:
        return ItemLines(template.lines(items), later)
    return ItemLines([template.line(item, template.locks_of(item)) for item in items], later)


async def listing_reply(
    call: Call, path: str, template: ItemTemplate, told: ItemLines, *, tail: str = "", noroot: bool = False
) -> Reply:
    """The 207 of a listing; `tail` goes at its end. The items of `later` are told as they are when their turn comes."""
    href = template.href
    entries = Entries(told.later, lambda name: Entry(href + quote_segment(name), name))
    return await entries_reply(call, path, template, entries, tail, lines=told.lines, noroot=noroot)


def _fixed_lines(call: Call, asked: PropFind, depth: int) -> list[str]:
    """The places that every account has, and what lies directly in them."""
    here, facts = call.target, call.facts(asked, call.gate.reads)
    view = partial(call.view, facts=facts)
    views = [view(here.place, here.path)]
    if depth:
        match here.place:
            case Place.ROOT:
                views += [view(Place.PRINCIPALS), view(Place.USER)]
            case Place.PRINCIPALS:
                views.append(view(Place.PRINCIPAL))
            case Place.USER:
                homes = ((Place.CONTACTS, "contacts"), (Place.CALENDARS, "calendars"), (Place.FILES, "files"))
                views += [view(place, path) for place, path in homes]
            case Place.CONTACTS | Place.CALENDARS | Place.FILES:
                views += [call.view_of(collection, facts) for collection in _members(call)]
    return [view_response(one, asked, minimal=call.minimal) for one in views]


def _members(call: Call) -> list[Collection]:
    """The collections of a home. Raises Held where one of them might be missing."""
    home, number = call.target.path, call.account.number
    with call.gate.reads.snapshot() as moment:
        if call.target.place is Place.FILES:
            return [collection_at(moment, call.account, root) for root in (ROOT_NOTES, ROOT_PHOTOS)]
        for kind in kinds_under(home):
            require_whole(moment, call.account, kind)
        call.gate.proofs.require_home(moment, call.account, home)
        return moment.collections(number, home + "/")
