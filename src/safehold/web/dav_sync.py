"""REPORT sync-collection (RFC 6578): what changed in a collection since a token, and tokens that prove a loss."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from safehold.model.errors import BadRequest, BadToken
from safehold.model.items import Account, Collection
from safehold.model.kinds import (
    DATA_KINDS,
    HOME_CALENDARS,
    HOME_CONTACTS,
    HOME_SCORES,
    ROOT_NOTES,
    ROOT_PHOTOS,
    CollectionType,
    Kind,
)
from safehold.model.token import SyncPoint, make_token, parse_token
from safehold.ports.core import CoreReads, Touched
from safehold.protocol.multistatus import ItemTemplate, status_response, sync_token
from safehold.protocol.names import DAV, quote_segment
from safehold.protocol.problems import VALID_SYNC_TOKEN
from safehold.protocol.sync import DeviceAhead, judge_collection, judge_point
from safehold.protocol.webdav import SyncCollection
from safehold.service.ahead import ACCEPT, KEEP, word_of
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_entries import Entries, Entry, entries_reply, template_of
from safehold.web.dav_propfind import INLINE_ITEMS, ItemLines, is_small, item_lines, listing_reply
from safehold.web.respond import Reply, multistatus

_log = logging.getLogger("safehold.web")
_KINDS_BELOW = {
    HOME_CONTACTS: (Kind.CONTACTS,),
    HOME_CALENDARS: (Kind.CALENDAR, Kind.TASKS, Kind.NOTES),
    ROOT_NOTES: (Kind.NOTES,),
    ROOT_PHOTOS: (Kind.PHOTOS,),
    HOME_SCORES: (Kind.SCORES,),
}


class _News(NamedTuple):
    """What a sync has to tell: items that live, names that are gone, the token after it, whether there is more."""

    touched: Sequence[Touched]
    collection: Collection
    token: str
    truncated: bool


async def sync(call: Call, collection: Collection, asked: SyncCollection) -> Reply:
    gate = call.gate
    point = None
    try:
        point = parse_token(call.token_key, asked.token) if asked.token else None
        template = template_of(call, asked.asked, collection)
        if template.data_name:
            return await _sync_with_bodies(call, collection, asked, point, template)
        few = is_small(collection) if point is None else collection.rev - point.rev <= INLINE_ITEMS
        work = partial(_sync_lines, call, asked, collection.path, point)
        told, token = work(gate.reads) if few else await call.long_read(work)
    except BadToken as error:
        raise _bearable(call, collection, error) from None
    except DeviceAhead as error:
        assert point is not None, "a first sync has seen nothing"
        return await _as_the_person_says(call, collection, asked, point, error)
    if told.later:
        return await listing_reply(call, collection.path, template, told, tail=sync_token(token))
    return multistatus(told.lines, call.preferred(), token)


async def _as_the_person_says(
    call: Call, collection: Collection, asked: SyncCollection, point: SyncPoint, error: DeviceAhead
) -> Reply:
    """503, until the person has said of this very state what is to become of it (service/ahead.py).

    `keep`: all that lives here is news, no delete is told, and the token that comes with it counts from then on. That
    is an answer to a sync, not a new start, so that no client removes what it does not name. `accept`: a new start.
    """
    word = word_of(call.gate.reads, call.account, point)
    if word == KEEP:
        _log.warning("%s of %s goes on with what it has", call.device, call.account.name)
        return await sync(call, collection, asked._replace(token=""))
    if word == ACCEPT:
        hint = "sync again from the beginning"
        given_up = BadToken("what this device has seen was given up", hint=hint, element=VALID_SYNC_TOKEN)
        raise _bearable(call, collection, given_up)
    _report_loss(call, error, point)
    raise error


def _report_loss(call: Call, error: DeviceAhead, point: SyncPoint) -> None:
    """Proof that something was lost here, and the name of a device that may still have it."""
    path = call.target.full_path
    _log.error("%s (account %s, %s, %s)", error.message, call.account.name, path, call.device)
    here = call.gate.reads.collection(call.account.number, path)
    newer = None
    if here is not None:
        beyond = point.rev - call.gate.reads.head(call.account.number, here.kind).rev
        newer = beyond if beyond > 0 else None
    call.gate.device_ahead(call.account, path, call.device, point, newer)


def judge_absence(call: Call, asked: SyncCollection) -> None:
    """No collection lies here. Raises DeviceAhead where the device's token proves that one was lost with its making."""
    try:
        point = parse_token(call.token_key, asked.token)
        reads = call.gate.reads
        base_rev = _recorded_from(reads, call.account, call.target.full_path)
        judge_collection(point, _on_record(reads, call.account), base_rev)
    except BadToken:
        return
    except DeviceAhead as error:
        _report_loss(call, error, point)
        raise


def _on_record(reads: CoreReads, account: Account) -> frozenset[bytes]:
    """The ids of the account's collections, and of those that were removed, wherever they lay.

    A token may be shown at another place than its own: it proves a loss there no more than at its own.
    """
    live = (collection.id for collection in reads.collections(account.number))
    removed = (r.collection.id for kind in DATA_KINDS for r in reads.removed_collections(account.number, kind))
    return frozenset((*live, *removed))


def _recorded_from(reads: CoreReads, account: Account, path: str) -> int:
    """The rev from which on all is on record in whatever stream a collection at this path may be of; 0: all ever was.

    A stream that no history was dropped from has it all: what it does not know of then was lost.
    """
    kinds = next((kinds for home, kinds in _KINDS_BELOW.items() if f"{path}/".startswith(f"{home}/")), DATA_KINDS)
    bases = [reads.base(account.number, kind) for kind in kinds]
    return min(0 if base is None else base.rev for base in bases)


def _bearable(call: Call, collection: Collection, error: BadToken) -> Exception:
    """The answer to a bad token that this client acts upon.

    Thunderbird's address books resync on 400 and fail for ever on the 403 that RFC 6578 asks for; its calendars,
    like everyone else, want the 403.
    """
    if collection.type is CollectionType.ADDRESSBOOK and "Thunderbird" in (call.request.header(b"user-agent") or ""):
        return BadRequest(error.message, hint=error.hint, element=VALID_SYNC_TOKEN)
    return error


def _news(call: Call, asked: SyncCollection, path: str, point: SyncPoint | None, moment: CoreReads) -> _News:
    """What changed since the token's point, within one snapshot. Raises BadToken, DeviceAhead."""
    key = call.token_key
    collection = collection_at(moment, call.account, path)
    now = make_token(key, collection.id, collection.rev, collection.head)
    since = 0
    if point is not None:
        if point.collection != collection.id:
            judge_collection(point, _on_record(moment, call.account), _recorded_from(moment, call.account, path))
            hint = "sync again from the beginning"
            raise BadToken("this sync token is of another collection", hint=hint, element=VALID_SYNC_TOKEN)
        base = moment.base(collection.account, collection.kind)
        at_point = moment.hash_at(collection.account, collection.kind, point.rev)
        since = judge_point(point, at_point, 0 if base is None else base.rev)
        if since >= collection.rev:  # what most syncs find
            return _News((), collection, now, False)
    if asked.limit is None:
        if point is not None:
            return _News(moment.touched(collection, since), collection, now, False)
        items = [Touched(item.name, item.rev, item, False) for item in moment.items(collection)]
        return _News(items, collection, now, False)
    page, reached = _page(moment, collection, since, asked.limit, first=point is None)
    if reached is None:
        return _News(page, collection, now, False)
    at = moment.hash_at(collection.account, collection.kind, reached)
    assert at is not None, "a rev that touched an item is on the stream"
    return _News(page, collection, make_token(key, collection.id, reached, at), True)


def _page(
    moment: CoreReads, collection: Collection, since: int, limit: int, *, first: bool
) -> tuple[list[Touched], int | None]:
    """At most limit names after since, and the rev they reach; None for it where there are no more.

    The first sync leaves out what was deleted before it began (RFC 6578 section 3.4).
    """
    page: list[Touched] = []
    while True:
        wanted = limit - len(page)
        got = moment.touched(collection, since, wanted)
        page += [t for t in got if t.item is not None or not first]
        if len(got) < wanted:
            return page, None
        since = got[-1].rev
        if len(page) == limit:
            return page, since if moment.touched(collection, since, 1) else None


def _sync_lines(
    call: Call, asked: SyncCollection, path: str, point: SyncPoint | None, reads: CoreReads
) -> tuple[ItemLines, str]:
    """The responses of a sync without bodies, and its token."""
    with reads.snapshot() as moment:
        news = _news(call, asked, path, point, moment)
        view = call.view_of(news.collection)
        template = template_of(call, asked.asked, news.collection)
        told = item_lines(template, [t.item for t in news.touched if t.item is not None])
        lines = told.lines
        lines += [_gone(view.href + quote_segment(t.name)) for t in news.touched if t.item is None and t.deleted]
        if news.truncated:
            lines.append(truncated_response(view.href))
        return told, news.token


async def _sync_with_bodies(
    call: Call, collection: Collection, asked: SyncCollection, point: SyncPoint | None, template: ItemTemplate
) -> Reply:
    """A sync that asks for calendar-data or address-data: the names at one moment, the bodies as they are then read.

    A body may so be newer than the token; the next sync tells it again.
    """

    def names(reads: CoreReads) -> _News:
        with reads.snapshot() as moment:
            return _news(call, asked, collection.path, point, moment)

    news = await call.long_read(names)
    view = call.view_of(collection)
    told = [(t.name, t.item is not None) for t in news.touched if t.item is not None or t.deleted]
    entries = Entries(told, lambda t: Entry(view.href + quote_segment(t[0]), t[0] if t[1] else None))
    tail = truncated_response(view.href) if news.truncated else ""
    return await entries_reply(call, collection.path, template, entries, tail + sync_token(news.token))


def _gone(href: str) -> str:
    return status_response(href, "404 Not Found")


def truncated_response(href: str) -> str:
    """RFC 6578 section 3.6."""
    return status_response(href, "507 Insufficient Storage", DAV + "number-of-matches-within-limits")
