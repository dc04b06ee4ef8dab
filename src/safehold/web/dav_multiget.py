"""REPORT calendar-multiget (RFC 4791 section 7.9) and addressbook-multiget (RFC 6352 section 8.7)."""

from __future__ import annotations

from functools import partial

from safehold.model.items import Collection
from safehold.protocol.names import escape
from safehold.protocol.queries import Multiget
from safehold.protocol.target import Place, parse_href, plain_name
from safehold.web.dav_call import Call
from safehold.web.dav_entries import Entries, Entry, entries_reply, template_of
from safehold.web.respond import Reply

#: Of an item whose body is in no source: it fails alone, and no client that was looked at deletes for it. With 404 some
#: do; with 403 or 410 nobody knows; 507 is taken for the end of an answer that is too long.
GHOST = "503 Service Unavailable"


async def multiget(call: Call, collection: Collection, asked: Multiget) -> Reply:
    """RFC 4791 section 7.9, RFC 6352 section 8.7: an answer for each href, in the order asked.

    Asked of an item, it is about that item alone.
    """
    template = template_of(call, asked.asked, collection)
    entries = Entries(asked.hrefs, partial(_entry, call, collection, call.view_of(collection).href))
    return await entries_reply(call, collection.path, template, entries, "")


def _entry(call: Call, collection: Collection, base: str, href: str) -> Entry:
    """What an href asks for. It is given back as it came: the client looks its own words up."""
    said = escape(href)
    name = plain_name(href, base)
    if name is None:
        target = parse_href(href)
        if target is None or target.place is Place.NOWHERE:
            return Entry(said, None)
        if target.place is Place.ITEM and target.account == call.account.name and target.path == collection.path:
            name = target.name
    if name is not None and call.target.name in ("", name):
        return Entry(said, name, ghost=GHOST)
    # Whether it is there was not asked at the right place; not found must not be the answer.
    return Entry(said, None, "403 Forbidden")
