"""GET and HEAD."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from functools import partial
from hashlib import sha256

from safehold.content.lines import LineError
from safehold.content.media import ICALENDAR, VCARD
from safehold.content.vcard_convert import converted, version_of
from safehold.model.errors import Held, NotAllowed, NotFound
from safehold.model.items import Item
from safehold.model.private import Private
from safehold.ports.core import Stored
from safehold.protocol.conditions import etag, http_date, not_modified, parse_range
from safehold.protocol.negotiation import card_version, names_version
from safehold.protocol.problems import Headers
from safehold.protocol.target import Place
from safehold.web.dav_call import Call, find
from safehold.web.gate import Gate
from safehold.web.request import SMALL_BYTES
from safehold.web.respond import Reply, empty

_log = logging.getLogger("safehold.web")

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
    return Reply(status, headers, chunks=_stream(gate, item, stored.blob, first, pieces, whole=count == item.size))


async def _stream(
    gate: Gate, item: Item, name: bytes, first: bytes, pieces: Iterator[bytes], *, whole: bool
) -> AsyncGenerator[bytes, None]:
    """The pieces of a blob. The last is held back until the digest of all is right: better none than a wrong one."""
    hasher = sha256()
    held = first
    while held:
        hasher.update(held)
        piece = await gate.run_blocking(partial(next, pieces, b""))
        if not piece and whole and hasher.digest() != item.digest:
            gate.blobs.doubt(name)
            raise Held(f"the body of {item.name} is not what its digest says")
        yield held
        held = piece


def is_ghost(stored: Stored) -> bool:
    """Whether a recovery has found the body nowhere: it will not come by itself, as one that is not restored yet does.

    (A body that cannot be read for damage here is asked of the vaults before, or raises Held.)
    """
    return stored.inline is None and stored.blob is None


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
        _log.error("the body of %s (journal %d) is not what its digest says", Private(item.name), item.journal)
        raise Held(f"the body of {item.name} is damaged here", hint="it is to be mended from a vault")
    return body
