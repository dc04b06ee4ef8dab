"""COPY and MOVE: from request to command, from outcome to answer."""

from __future__ import annotations

from safehold.model.commands import Transfer
from safehold.model.errors import BadRequest, Forbidden, NotFound
from safehold.protocol.conditions import INFINITY, parse_depth, parse_overwrite
from safehold.protocol.destination import read_destination
from safehold.protocol.target import Place, Target
from safehold.web.dav_call import Call
from safehold.web.dav_writes import conditions
from safehold.web.respond import Reply, empty

_SOURCES = frozenset((Place.COLLECTION, Place.ITEM, Place.FILE))
#: Not in the place of a whole address book, calendar or tree of files, and not beside one.
_DESTINATIONS = frozenset((Place.ITEM, Place.FILE))


async def copy(call: Call) -> Reply:
    """RFC 4918 section 9.8."""
    return await _transfer(call, move=False)


async def move(call: Call) -> Reply:
    """RFC 4918 section 9.9."""
    return await _transfer(call, move=True)


async def _transfer(call: Call, *, move: bool) -> Reply:
    """All or nothing. What is at either end is judged within the transaction."""
    if call.target.place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if call.target.place not in _SOURCES:
        raise Forbidden("this belongs to the account and can be neither copied nor moved")
    destination = _destination(call)
    depth = parse_depth(call.request.headers)
    if depth == 1:
        raise BadRequest("a collection is copied with Depth: 0 or infinity")
    if_match, if_none_match = conditions(call)
    outcome = await call.gate.execute(
        Transfer(
            account=call.account.id,
            actor=call.actor,
            source=call.target.full_path,
            destination=destination.full_path,
            move=move,
            deep=depth == INFINITY,
            overwrite=parse_overwrite(call.request.headers),
            if_match=if_match,
            if_none_match=if_none_match,
            guard=call.guard(),
        )
    )
    return empty(201 if outcome.created else 204)


def _destination(call: Call) -> Target:
    """Raises BadRequest, OtherServer, and Forbidden for another's home or an address where nothing can be put."""
    destination = read_destination(call.request.header(b"destination"), call.hosts)
    if destination.place not in _DESTINATIONS:
        raise Forbidden("nothing can be put at the destination")
    if destination.account != call.account.name:
        raise Forbidden("the destination is not yours")
    return destination
