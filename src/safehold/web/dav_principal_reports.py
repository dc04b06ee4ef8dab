"""REPORT on principals and access: expand-property (RFC 3253 section 3.8), RFC 3744 section 9.

The only principal that anybody is ever told of is the sender's own: nobody learns who else lives here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from html import unescape
from typing import Any

from safehold.model.errors import BadRequest, Forbidden, NotFound, RequestError
from safehold.model.items import Item
from safehold.protocol.conditions import parse_depth
from safehold.protocol.multistatus import response, view_response
from safehold.protocol.names import CALDAV, DAV, empty, escape
from safehold.protocol.principal_reports import SEARCH_PROPERTIES, Match, Search, Wanted, finds, names_in
from safehold.protocol.principals import (
    ACL_PRINCIPAL_PROP_SET,
    EXPAND_PROPERTY,
    PRINCIPAL_MATCH,
    PRINCIPAL_PROPERTY_SEARCH,
    PRINCIPAL_SEARCH_PROPERTY_SET,
    REPORTS_OF_ALL,
    REPORTS_OF_COLLECTIONS,
    REPORTS_OF_PLACES,
    href,
)
from safehold.protocol.properties import DISPLAYNAME, ITEM_LIVE_OF_VIEW, View, item_live, live_of
from safehold.protocol.target import Place, href_of, parse_href, principal_href
from safehold.protocol.webdav import Mode, PropFind
from safehold.web.dav_call import Call, find
from safehold.web.respond import Reply, multistatus, xml

_WITH_ITEMS = frozenset((Place.COLLECTION, Place.ITEM, Place.FILE))
#: Below them lies the sender's principal, and nobody else's.
_ABOVE_PRINCIPALS = frozenset((Place.ROOT, Place.PRINCIPALS))
_HREF = re.compile(r"<D:href>([^<]*)</D:href>")

#: Of one resource: a property's value as its whole element, "" where it has none, and whether we made it.
_Value = Callable[[str], tuple[str, bool]]


def principal_report(call: Call, name: str, value: Any, flaw: RequestError | None) -> Reply:
    """The answer to a report of `ANSWERS`. Raises Forbidden with supported-report where there is none of it here."""
    if name not in _reports_here(call):
        raise Forbidden(f"there is no report {name} here", element=DAV + "supported-report")
    if flaw is not None:
        raise flaw
    if parse_depth(call.request.headers, default=0) != 0:
        raise BadRequest("this report is about one resource", hint="ask with Depth: 0")
    return ANSWERS[name](call, value)


def _reports_here(call: Call) -> tuple[str, ...]:
    """Those of the reports of this module that the target has. Raises NotFound, Held."""
    place = call.target.place
    if place is Place.NOWHERE:
        raise NotFound("nothing lies at this address")
    if place not in _WITH_ITEMS:
        return REPORTS_OF_PLACES
    return REPORTS_OF_COLLECTIONS if find(call, call.gate.reads).item is None else REPORTS_OF_ALL


# -- expand-property -------------------------------------------------------------------------------------------


def _expand(call: Call, wanted: tuple[Wanted, ...]) -> Reply:
    """The properties of the target; where a value names resources, those of them that are asked for in their place.

    Only values that are made here are expanded, and these name fixed places of the account: what it costs is bounded
    by the number of properties in the request.
    """
    href, value = _target(call, PropFind(Mode.PROP, names_in(wanted)))
    return multistatus([_expanded(call, href, value, wanted)], call.preferred())


def _expanded(call: Call, href: str, value: _Value, wanted: tuple[Wanted, ...]) -> str:
    found, missing = [], []
    for one in wanted:
        text, ours = value(one.name)
        if not text:
            missing.append(empty(one.name))
        elif one.within and ours:
            found.append(_HREF.sub(partial(_in_place, call, one.within), text))
        else:
            found.append(text)
    return response(href, "".join(found), "" if call.minimal else "".join(missing))


def _in_place(call: Call, within: tuple[Wanted, ...], match: re.Match[str]) -> str:
    """A response about a resource where its href stood; the href where it names none of the account's places."""
    target = parse_href(unescape(match[1]))
    if target is None or target.place in (*_WITH_ITEMS, Place.NOWHERE) or target.account not in ("", call.account.name):
        return match[0]
    asked = PropFind(Mode.PROP, names_in(within))
    view = call.view(target.place, target.path, facts=call.facts(asked, call.gate.reads))
    return _expanded(call, escape(view.href), _of_view(view), within)


def _target(call: Call, asked: PropFind) -> tuple[str, _Value]:
    """The target's href, and its properties. Raises NotFound, Held."""
    reads, target = call.gate.reads, call.target
    facts = call.facts(asked, reads)
    if target.place not in _WITH_ITEMS:
        view = call.view(target.place, target.path, facts=facts)
        return view.href, _of_view(view)
    collection, item = find(call, reads)
    view = call.view_of(collection, facts)
    if item is None:
        return view.href, _of_view(view)
    return href_of(target), _of_item(view, item, reads.props(item))


def _of_view(view: View) -> _Value:
    live, dead = live_of(view), view.dead

    def value(name: str) -> tuple[str, bool]:
        make = live.get(name)
        return (make(view), True) if make is not None else (dead.get(name, ""), False)

    return value


def _of_item(view: View, item: Item, dead: Mapping[str, str]) -> _Value:
    live = item_live(view)

    def value(name: str) -> tuple[str, bool]:
        piece = live.get(name)
        if piece is not None:
            return (piece if isinstance(piece, str) else piece[0] % piece[1](item)), True
        make = ITEM_LIVE_OF_VIEW.get(name)
        return (make(view), True) if make is not None else (dead.get(name, ""), False)

    return value


# -- principals --------------------------------------------------------------------------------------------------


def _sender(call: Call, asked: PropFind) -> list[str]:
    view = call.view(Place.PRINCIPAL, facts=call.facts(asked, call.gate.reads))
    return [view_response(view, asked, minimal=call.minimal)]


def _match(call: Call, asked: Match) -> Reply:
    """Those below the target that stand for the sender, or name him in a property."""
    place = call.target.place
    if asked.of is not None and place is not Place.PRINCIPALS:
        raise Forbidden(
            "everything below is yours; that is too much to list",
            hint="list it one level at a time with PROPFIND",
            element=DAV + "number-of-matches-within-limits",
        )
    if asked.of is not None:
        value, _ = _of_view(call.view(Place.PRINCIPAL))(asked.of)
        found = href(principal_href(call.account.name)) in value
    else:
        found = place in _ABOVE_PRINCIPALS
    return multistatus(_sender(call, asked.asked) if found else [], call.preferred())


def _search(call: Call, asked: Search) -> Reply:
    name = call.account.name
    values = {DISPLAYNAME: name, CALDAV + "calendar-user-address-set": principal_href(name)}
    found = finds(asked, values)
    return multistatus(_sender(call, asked.asked) if found else [], call.preferred())


def _search_properties(_call: Call, _: None) -> Reply:
    return xml(200, SEARCH_PROPERTIES)


def _acl_principals(call: Call, asked: PropFind) -> Reply:
    """The principals that the target's ACL names: its owner, or none where all may look."""
    named = call.target.place not in _ABOVE_PRINCIPALS
    return multistatus(_sender(call, asked) if named else [], call.preferred())


ANSWERS: Mapping[str, Callable[[Call, Any], Reply]] = {
    EXPAND_PROPERTY: _expand,
    PRINCIPAL_MATCH: _match,
    PRINCIPAL_PROPERTY_SEARCH: _search,
    PRINCIPAL_SEARCH_PROPERTY_SET: _search_properties,
    ACL_PRINCIPAL_PROP_SET: _acl_principals,
}
