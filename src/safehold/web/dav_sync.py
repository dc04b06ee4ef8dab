"""REPORT sync-collection (RFC 6578): what changed in a collection since a token, and tokens that prove a loss."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from safehold.model.commands import NoteAhead
from safehold.model.errors import BadRequest, BadToken, SafeholdError
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
from safehold.model.private import Private
from safehold.model.token import SyncPoint, make_token, parse_token, point_named
from safehold.ports.core import CoreReads, Touched
from safehold.protocol.multistatus import ItemTemplate, status_response, sync_token
from safehold.protocol.names import DAV, quote_segment
from safehold.protocol.problems import VALID_SYNC_TOKEN
from safehold.protocol.sync import DeviceAhead, judge_collection, judge_point
from safehold.protocol.webdav import SyncCollection
from safehold.service.ahead import KEEP, Proof, let_go, on_record, proofs_of
from safehold.service.anew import token_key_was_lost
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
    gate, point = call.gate, None
    try:
        if asked.token:
            point = _point_of(call, asked.token)
        else:
            call.require_listable(gate.reads, collection)
        template = template_of(call, asked.asked, collection)
        if template.data_name:
            return await _sync_with_bodies(call, collection, asked, point, template)
        few = is_small(collection) if point is None else collection.rev - point.rev <= INLINE_ITEMS
        work = partial(_sync_lines, call, asked, collection.path, point)
        told, token = work(gate.reads) if few else await call.long_read(work)
    except BadToken as error:
        call.require_listable(gate.reads, collection)  # the device would start over, and delete what is not listed
        raise _bearable(call, collection, error) from None
    except DeviceAhead as error:
        assert point is not None, "only a token tells"
        word = let_go(gate.reads, call.account, point)
        if word:
            call.require_listable(gate.reads, collection)
            if word == KEEP:  # no new start: no client removes what such an answer does not name
                return await sync(call, collection, asked._replace(token=""))
            raise _bearable(call, collection, _start_over()) from None
        await _report_loss(call, error, point)
        raise
    if told.later:
        return await listing_reply(call, collection.path, template, told, tail=sync_token(token))
    return multistatus(told.lines, call.preferred(), token)


async def _report_loss(call: Call, error: DeviceAhead, point: SyncPoint) -> None:
    """Proof that something was lost here, and the name of a device that may still have it; kept, with the point."""
    gate, account, path = call.gate, call.account, call.target.full_path
    _log.error("%s (account %s, %s)", error.message, account.id.hex()[:8], call.device)
    _log.debug("that account is %s, at %s", Private(account.name), Private(path))
    gate.device_ahead(account, path, call.device)
    proof = Proof(point.collection.hex(), path, point.rev, point.hash.hex(), call.device, gate.clock.now())
    if any(known.name == proof.name for known in proofs_of(gate.reads, account)):
        return
    gate.proofs.remember(account, proof)
    command = NoteAhead(
        account=account.id,
        collection=point.collection,
        path=path,
        rev=point.rev,
        hash=point.hash,
        device=call.device,
        actor=call.actor,
    )
    try:
        await gate.execute(command)
    except SafeholdError as failure:
        _log.warning("what a device has seen is not on record yet: %s", failure.message)
    else:
        gate.proofs.forget(account, proof)


async def judge_absence(call: Call, asked: SyncCollection) -> None:
    """No collection lies here. Raises DeviceAhead where the device's token proves that one was lost with its making."""
    try:
        point = _point_of(call, asked.token)
    except BadToken:
        return
    reads = call.gate.reads
    base_rev = _recorded_from(reads, call.account, call.target.full_path)
    try:
        judge_collection(point, on_record(reads, call.account), base_rev)
    except DeviceAhead as error:
        if let_go(reads, call.account, point):
            return
        await _report_loss(call, error, point)
        raise


def _point_of(call: Call, token: str) -> SyncPoint:
    """What a token names. Raises BadToken where it was not given out here, as far as anybody can tell (I104)."""
    try:
        return parse_token(call.token_key, token)
    except BadToken:
        point = point_named(token) if token_key_was_lost(call.gate.reads) else None
        if point is None:
            raise
        return point


def _start_over() -> BadToken:
    return BadToken(
        "what this device had seen beyond the server was let go of",
        hint="sync again from the beginning",
        element=VALID_SYNC_TOKEN,
    )


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
            judge_collection(point, on_record(moment, call.account), _recorded_from(moment, call.account, path))
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
