"""Building 207 answers (RFC 4918 section 13).

As text, not as a tree: a listing has thousands of responses that differ in an href and a few values, so the text
between them is made once for each request and filled in for each item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo

from safehold.content.media import VCARD
from safehold.content.partial import AddressData, CalendarData, calendar_part, card_part
from safehold.model.items import Item
from safehold.protocol.locks import LOCKDISCOVERY
from safehold.protocol.names import DECLARATIONS, XML_DECLARATION, empty, escape, quote_segment, tag
from safehold.protocol.properties import (
    ALLPROP_NAMES,
    ITEM_ALLPROP,
    ITEM_LIVE_OF_VIEW,
    View,
    item_live,
    live_of,
)
from safehold.protocol.webdav import Instruction, Mode, PropFind

OPEN = f"{XML_DECLARATION}<D:multistatus {DECLARATIONS}>"
CLOSE = "</D:multistatus>"

_OK = "<D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
_MISSING = "<D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
_PROPSTAT = "<D:propstat><D:prop>"


def response(href: str, found: str, missing: str) -> str:
    """One response with propstats; `href` is escaped already."""
    tail = f"{_PROPSTAT}{missing}</D:prop>{_MISSING}" if missing else ""
    head = f"{_PROPSTAT}{found}</D:prop>{_OK}" if found or not missing else ""
    return f"<D:response><D:href>{href}</D:href>{head}{tail}</D:response>"


def status_response(href: str, status: str, error: str = "") -> str:
    """One response without properties; `error` is a Clark name or ""."""
    why = f"<D:error>{empty(error)}</D:error>" if error else ""
    return f"<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {status}</D:status>{why}</D:response>"


def view_response(view: View, asked: PropFind, *, minimal: bool = False) -> str:
    """One response about a resource that is no item."""
    live, dead = live_of(view), view.dead
    if asked.mode is Mode.PROPNAME:
        names = [*live, *(name for name in dead if name[0] == "{" and name not in live)]
        return response(view.href, "".join(map(empty, names)), "")
    wanted: Iterable[str] = asked.names
    if asked.mode is Mode.ALLPROP:
        present = [name for name in ALLPROP_NAMES if name in live]
        wanted = dict.fromkeys([*present, *(name for name in dead if name[0] == "{"), *asked.names])
    found, missing = [], []
    for name in wanted:
        make = live.get(name)
        if make is not None and (value := make(view)):
            found.append(value)
        elif name in dead:
            found.append(dead[name])
        elif not minimal:
            missing.append(empty(name))
    return response(view.href, "".join(found), "".join(missing))


class ItemTemplate:
    """Responses about the items of one collection, for one request.

    `href` is the collection's. Items with dead properties need them handed in, and those in `locked` what stands
    there; the rest is filled into one template. `data_name` is calendar-data or address-data where that is asked for
    and has to be handed in; `needs_dead` says whether the answer depends on dead properties at all.
    """

    __slots__ = (
        "_asked",
        "_format",
        "_getters",
        "_live",
        "_minimal",
        "_view",
        "data",
        "data_name",
        "href",
        "locked",
        "needs_dead",
        "whole",
    )

    def __init__(self, asked: PropFind, view: View, *, minimal: bool, floating: tzinfo = UTC) -> None:
        self._asked, self._view, self._minimal = asked, view, minimal
        self.href = view.href
        self.data_name = asked.data
        self.whole = asked.choice is None  # whether bodies are given as they are stored, which costs next to nothing
        self.data = data_maker(asked, floating)  # of a stored body, the element that is handed in
        self._live = item_live(view)
        live = (*self._live, *ITEM_LIVE_OF_VIEW, asked.data)
        self.needs_dead = asked.mode is not Mode.PROP or any(name not in live for name in asked.names)
        self.locked = view.locked_items if view.locks else {}
        self._format, self._getters = self._compile()

    def _compile(self) -> tuple[str, tuple[Callable[[Item], str], ...]]:
        """The template for items without dead properties, and what fills its holes after the name."""
        asked = self._asked
        if asked.mode is Mode.PROPNAME:
            found = "".join(map(empty, (*self._live, *ITEM_LIVE_OF_VIEW))).replace("%", "%%")
            return response("%s", found, ""), ()
        wanted = asked.names
        if asked.mode is Mode.ALLPROP:
            wanted = tuple(dict.fromkeys([*ITEM_ALLPROP, *asked.names]))
        pieces, getters, missing = [], [], []
        for name in wanted:
            if name == asked.data:
                continue
            piece = self._live.get(name)
            if isinstance(piece, tuple):
                pieces.append(piece[0])
                getters.append(piece[1])
            elif piece is not None:
                pieces.append(_percent(piece))
            elif name in ITEM_LIVE_OF_VIEW:
                pieces.append(_percent(ITEM_LIVE_OF_VIEW[name](self._view)))
            elif not self._minimal:
                missing.append(_percent(empty(name)))
        if self.data_name:
            pieces.append("%s")
        return response("%s", "".join(pieces), "".join(missing)), tuple(getters)

    def lines(self, items: Iterable[Item]) -> list[str]:
        """Responses for items without dead properties, or where these do not matter; no data is asked for."""
        template, getters, href = self._format, self._getters, self.href
        if len(getters) == 1:
            only = getters[0]
            return [template % (href + quote_segment(item.name), only(item)) for item in items]
        return [template % (href + quote_segment(item.name), *[get(item) for get in getters]) for item in items]

    def locks_of(self, item: Item) -> dict[str, str]:
        """What stands for the item's locks among its properties."""
        locks = self.locked.get(item.name)
        return {} if locks is None else {LOCKDISCOVERY: locks}

    def line(self, item: Item, dead: Mapping[str, str], data: str = "", href: str = "") -> str:
        """One response; `data` is the element of the body where it is asked for, `href` another way to say its own."""
        href = href or self.href + quote_segment(item.name)
        if dead:
            return self._line_with_dead(href, item, dead, data)
        values = [get(item) for get in self._getters]
        if self.data_name:
            values.append(data)
        return self._format % (href, *values)

    def _line_with_dead(self, href: str, item: Item, dead: Mapping[str, str], data: str) -> str:
        asked = self._asked
        if asked.mode is Mode.PROPNAME:
            return response(href, "".join(map(empty, dict.fromkeys([*self._live, *ITEM_LIVE_OF_VIEW, *dead]))), "")
        wanted: Iterable[str] = asked.names
        if asked.mode is Mode.ALLPROP:
            wanted = dict.fromkeys([*ITEM_ALLPROP, *dead, *asked.names])
        found, missing = [], []
        for name in wanted:
            piece = self._live.get(name)
            if name == asked.data:
                found.append(data)
            elif isinstance(piece, tuple):
                found.append(piece[0] % piece[1](item))
            elif piece is not None:
                found.append(piece)
            elif name in dead:
                found.append(dead[name])
            elif name in ITEM_LIVE_OF_VIEW:
                found.append(ITEM_LIVE_OF_VIEW[name](self._view))
            elif not self._minimal:
                missing.append(empty(name))
        return response(href, "".join(found), "".join(missing))


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def data_element(name: str, body: bytes, attributes: str = "") -> str:
    """calendar-data or address-data around a body, as text."""
    prefix = "C" if "caldav" in name else "A"
    local = name[name.index("}") + 1 :]
    return f"<{prefix}:{local}{attributes}>{escape(body.decode('utf-8', 'replace'))}</{prefix}:{local}>"


def data_maker(asked: PropFind, floating: tzinfo) -> Callable[[bytes], str]:
    """What makes calendar-data or address-data, with the part that is asked for, of a stored body.

    `floating` is the zone of times that name none. A version that was asked for is named (RFC 6352 section 10.4).
    """
    name, choice = asked.data, asked.choice
    if isinstance(choice, CalendarData):
        calendar = choice
        return lambda body: data_element(name, calendar_part(body, calendar, floating))
    if isinstance(choice, AddressData):
        card = choice
        said = f' content-type="{VCARD}" version="{card.version}"' if card.version else ""
        return lambda body: data_element(name, card_part(body, card), said)
    return lambda body: data_element(name, body)


def document(responses: Sequence[str], token: str = "") -> bytes:
    """A whole multistatus; with the sync token of RFC 6578 where there is one."""
    return "".join((OPEN, *responses, sync_token(token), CLOSE)).encode()


def sync_token(token: str) -> str:
    return f"<D:sync-token>{escape(token)}</D:sync-token>" if token else ""


Refused = Mapping[str, tuple[str, str]]


def patch_propstats(steps: Sequence[Instruction], refused: Refused) -> str:
    """The propstats of a PROPPATCH or an extended MKCOL, by property name in document order.

    `refused` maps a name to (status line, precondition element or ""). Where any is refused, nothing was done,
    and the others failed for its sake: 424.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys(step.name for step in steps):
        other = ("424 Failed Dependency", "") if refused else ("200 OK", "")
        groups.setdefault(refused.get(name, other), []).append(name)
    return "".join(
        f"{_PROPSTAT}{''.join(map(empty, names))}</D:prop><D:status>HTTP/1.1 {status}</D:status>"
        + (f"<D:error>{empty(error)}</D:error>" if error else "")
        + "</D:propstat>"
        for (status, error), names in groups.items()
    )


def patch_document(href: str, steps: Sequence[Instruction], refused: Refused) -> bytes:
    """The 207 of a PROPPATCH."""
    inner = f"<D:response><D:href>{href}</D:href>{patch_propstats(steps, refused)}</D:response>"
    return f"{OPEN}{inner}{CLOSE}".encode()


def make_document(root: str, steps: Sequence[Instruction], refused: Refused) -> bytes:
    """The body of a refused extended MKCOL or MKCALENDAR: `root` is its response element (RFC 5689 section 3.5)."""
    name, _ = tag(root)
    return f"{XML_DECLARATION}<{name} {DECLARATIONS}>{patch_propstats(steps, refused)}</{name}>".encode()
