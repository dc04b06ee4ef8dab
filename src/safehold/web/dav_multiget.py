"""REPORT calendar-multiget (RFC 4791 section 7.9) and addressbook-multiget (RFC 6352 section 8.7)."""

from __future__ import annotations

from functools import partial

from safehold.model.items import Collection
from safehold.protocol.multistatus import ItemTemplate
from safehold.protocol.names import escape
from safehold.protocol.queries import Multiget
from safehold.protocol.target import Place, parse_href, plain_name
from safehold.web.dav_call import Call
from safehold.web.dav_entries import Entries, Entry, entries_reply
from safehold.web.respond import Reply


async def multiget(call: Call, collection: Collection, asked: Multiget) -> Reply:
    """RFC 4791 section 7.9, RFC 6352 section 8.7: an answer for each href, in the order asked."""
    view = call.view_of(collection)
    template = ItemTemplate(asked.asked, view, minimal=call.minimal)
    entries = Entries(asked.hrefs, partial(_entry, call, collection, view.href))
    return await entries_reply(call, collection.path, template, entries, "")


def _entry(call: Call, collection: Collection, base: str, href: str) -> Entry:
    """What an href asks for. It is given back as it came: the client looks its own words up."""
    said = escape(href)
    name = plain_name(href, base)
    if name is not None:
        return Entry(said, name)
    target = parse_href(href)
    if target is None or target.place is Place.NOWHERE:
        return Entry(said, None)
    if target.place is Place.ITEM and target.account == call.account.name and target.path == collection.path:
        return Entry(said, target.name)
    # Whether it is there was not asked at the right place; not found must not be the answer.
    return Entry(said, None, "403 Forbidden")
