"""GET, HEAD and PROPFIND."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from hashlib import sha256

from safehold.content.lines import LineError
from safehold.content.media import ICALENDAR, VCARD
from safehold.content.vcard_convert import converted, version_of
from safehold.model.errors import Forbidden, Held, NotAllowed, NotFound
from safehold.model.items import Collection, Item
from safehold.model.kinds import ROOT_NOTES, ROOT_PHOTOS, CollectionType
from safehold.model.paths import kinds_under
from safehold.ports.core import CoreReads, Stored
from safehold.protocol.conditions import INFINITY, etag, http_date, not_modified, parse_depth, parse_range
from safehold.protocol.locks import LOCKDISCOVERY
from safehold.protocol.multistatus import ItemTemplate, view_response
from safehold.protocol.names import DAV
from safehold.protocol.negotiation import card_version, names_version
from safehold.protocol.problems import Headers
from safehold.protocol.target import Place
from safehold.protocol.webdav import PropFind, read_propfind
from safehold.web.dav_call import Call, collection_at, find, require_whole
from safehold.web.gate import Gate
from safehold.web.request import SMALL_BYTES
from safehold.web.respond import Reply, empty, multistatus

_log = logging.getLogger("safehold.web")

#: Collections that may hold more items than this are listed off the event loop.
INLINE_ITEMS = 500

_CALENDAR_TYPES = frozenset((VCARD, ICALENDAR))
# A person's own file may be a page with scripts, which must not act as this site, or a picture, which no other site
# may show or look for.
_HARMLESS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"private, no-cache"),
    (b"accept-ranges", b"bytes"),
]


async def get(call: Call) -> Reply:
    """RFC 9110 sections 9.3.1 and 9.3.2, conditional and partial."""
    reads, headers = call.gate.reads, call.request.headers
    item = find(call, reads).item if call.target.place in (Place.ITEM, Place.FILE, Place.COLLECTION) else None
    if item is None:
        if call.target.place is Place.NOWHERE:
            raise NotFound("nothing lies at this address")
        raise NotAllowed("a collection has no body to get", hint="list it with PROPFIND")
    answer = headers_of_body(item)
    if call.target.place is Place.ITEM and item.media == VCARD:
        answer.append((b"vary", b"Accept"))
        version = await _other_version(call, item)
        if version is not None:
            return version
    if not_modified(item, headers):
        return empty(304, answer)
    answer.append(content_type(item.media))
    if call.request.method == "HEAD":
        answer.append((b"content-length", b"%d" % item.size))
        return Reply(200, answer)
    part = parse_range(item, headers)
    if part is None:
        return await with_body(call.gate, item, 200, answer, 0, item.size)
    offset, count = part
    if count == 0:
        return empty(416, [*answer[:1], (b"content-range", b"bytes */%d" % item.size)])
    answer.append((b"content-range", b"bytes %d-%d/%d" % (offset, offset + count - 1, item.size)))
    return await with_body(call.gate, item, 206, answer, offset, count)


def headers_of_body(item: Item) -> Headers:
    """What goes with a stored body, but for its type and length."""
    return [(b"etag", etag(item.digest).encode()), (b"last-modified", http_date(item.at).encode()), *_HARMLESS]


def content_type(media: str) -> tuple[bytes, bytes]:
    """The type of a stored body; calendars and cards are UTF-8, whatever was said when they came."""
    said = f"{media}; charset=utf-8" if media in _CALENDAR_TYPES else media
    return b"content-type", (said or "application/octet-stream").encode("latin-1", "replace")


async def _other_version(call: Call, item: Item) -> Reply | None:
    """A vCard in the version that is wanted, where that is not the stored one (RFC 6352 section 5.1.1); else None.

    Its tag is weak: it says the same as the stored card, in other bytes (RFC 9110 section 8.8.1).
    """
    gate, accept = call.gate, call.request.header(b"accept")
    if accept is None or not names_version(accept):
        return None
    stored = gate.reads.body(item)

    def convert() -> bytes | None:
        body = body_of(gate, item, stored)
        try:
            own = version_of(body)
            version = card_version(accept, own)
            return None if version == own else converted(body, version)
        except LineError:
            return None

    body = convert() if item.size <= SMALL_BYTES and stored.blob is None else await gate.run_blocking(convert)
    if body is None:
        return None
    answer: Headers = [
        (b"etag", b"W/" + etag(item.digest).encode()),
        (b"last-modified", http_date(item.at).encode()),
        *(header for header in _HARMLESS if header[0] != b"accept-ranges"),
        (b"vary", b"Accept"),
    ]
    if not_modified(item, call.request.headers):
        return empty(304, answer)
    answer += [(b"content-type", f"{VCARD}; charset=utf-8".encode()), (b"content-length", b"%d" % len(body))]
    return Reply(200, answer, body)


async def with_body(gate: Gate, item: Item, status: int, headers: Headers, offset: int, count: int) -> Reply:
    """The answer with count bytes of the body from offset. Raises Held where they cannot be had."""
    stored = gate.reads.body(item)
    headers.append((b"content-length", b"%d" % count))
    if stored.inline is not None:
        body = checked(item, stored.inline)
        return Reply(status, headers, body if count == item.size else body[offset : offset + count])
    if stored.blob is None:
        raise Held(f"the body of {item.name} is not here now")
    pieces = gate.blobs.read(stored.blob, item.size, offset, count, digest=item.digest)
    first = await gate.run_blocking(partial(next, pieces, b""))
    return Reply(status, headers, chunks=_stream(gate, item, first, pieces, whole=count == item.size))


async def _stream(
    gate: Gate, item: Item, first: bytes, pieces: Iterator[bytes], *, whole: bool
) -> AsyncGenerator[bytes, None]:
    """The pieces of a blob. The last is held back until the digest of all is right: better none than a wrong one."""
    hasher = sha256()
    held = first
    while held:
        hasher.update(held)
        piece = await gate.run_blocking(partial(next, pieces, b""))
        if not piece and whole and hasher.digest() != item.digest:
            raise Held(f"the body of {item.name} is not what its digest says")
        yield held
        held = piece


def body_of(gate: Gate, item: Item, stored: Stored) -> bytes:
    """A whole body, checked. Raises Held."""
    if stored.inline is not None:
        return checked(item, stored.inline)
    if stored.blob is None:
        raise Held(f"the body of {item.name} is not here now")
    return checked(item, b"".join(gate.blobs.read(stored.blob, item.size, digest=item.digest)))


def checked(item: Item, body: bytes) -> bytes:
    """The body, if it is what its digest says. Raises Held."""
    if sha256(body).digest() != item.digest:
        _log.error("the body of %s (journal %d) is not what its digest says", item.name, item.journal)
        raise Held(f"the body of {item.name} is damaged here", hint="it is to be mended from a vault")
    return body


# -- PROPFIND ------------------------------------------------------------------------------------------------


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
        return multistatus(item_lines(template, [item], reads), call.preferred())
    _refuse_infinity(depth)
    if depth == 0:
        view = call.view_of(collection, call.facts(asked, reads))
        return multistatus([view_response(view, asked, minimal=call.minimal)], call.preferred())
    noroot = call.prefers.noroot
    work = partial(_listing, call, asked, collection.path, noroot=noroot)
    lines = work(reads) if is_small(collection) else await call.long_read(work)
    return multistatus(lines, call.preferred(noroot=noroot))


def _refuse_infinity(depth: int) -> None:
    if depth == INFINITY:
        raise Forbidden("trees are listed one level at a time", hint="ask with Depth: 0 or 1", element=_FINITE)


_FINITE = DAV + "propfind-finite-depth"


def is_small(collection: Collection) -> bool:
    """Whether it surely has few items: no more than there were changes in its stream since it was made."""
    return collection.rev - collection.created_rev <= INLINE_ITEMS


def _listing(call: Call, asked: PropFind, path: str, reads: CoreReads, *, noroot: bool) -> list[str]:
    """A collection (unless `noroot`), the folders in it, and its items, as of one moment."""
    with reads.snapshot() as moment:
        collection = collection_at(moment, call.account, path)
        facts = call.facts(asked, moment)
        view = call.view_of(collection, facts)
        lines = [] if noroot else [view_response(view, asked, minimal=call.minimal)]
        if collection.type is CollectionType.FOLDER:
            below = moment.collections(call.account.number, path + "/")
            inner = [c for c in below if "/" not in c.path[len(path) + 1 :]]
            lines += [view_response(call.view_of(c, facts), asked, minimal=call.minimal) for c in inner]
        lines += item_lines(ItemTemplate(asked, view, minimal=call.minimal), moment.items(collection), moment)
        return lines


def item_lines(template: ItemTemplate, items: list[Item], reads: CoreReads) -> list[str]:
    """Responses about items whose bodies are not asked for."""
    if not template.locked and (not template.needs_dead or all(item.props_journal is None for item in items)):
        return template.lines(items)
    return [template.line(item, _own(template, item, reads)) for item in items]


def _own(template: ItemTemplate, item: Item, reads: CoreReads) -> dict[str, str]:
    """The properties that one item has and its neighbours do not: dead ones, and its locks."""
    own = reads.props(item) if item.props_journal is not None else {}
    locks = template.locked.get(item.name)
    return own if locks is None else {**own, LOCKDISCOVERY: locks}


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
        return moment.collections(number, home + "/")
