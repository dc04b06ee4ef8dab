"""REPORT free-busy-query (RFC 4791 section 7.10): when the owner of a calendar is busy, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from safehold.content.calendar import CalendarObject
from safehold.content.expand import TooManyInstances
from safehold.content.freebusy import free_busy
from safehold.content.lines import LineError
from safehold.content.media import ICALENDAR
from safehold.content.spans import Spans
from safehold.content.timerange import TimeRange
from safehold.model.items import Collection
from safehold.ports.core import CoreReads
from safehold.protocol.caldav import floating_zone
from safehold.web.bodies import items_and_bodies
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_reads import body_of
from safehold.web.respond import Reply
from safehold.web.span_cache import advance


async def free_busy_query(call: Call, collection: Collection, within: TimeRange) -> Reply:
    """On a calendar, whatever Depth says: there is nothing below its items. As of one moment."""
    gate = call.gate
    spans = gate.spans.get(collection.id)
    now = gate.clock.now() // 1_000_000

    def work(reads: CoreReads) -> tuple[bytes, Spans]:
        with reads.snapshot() as moment:
            here = collection_at(moment, call.account, collection.path)
            index = advance(spans, moment, here, now)
            floating = floating_zone(here.props)
            sure, maybe = index.candidates("VEVENT", within, floating)
            return free_busy(_objects(call, moment, here, [*sure, *maybe]), within, floating, now), index

    body, index = await call.long_read(work)
    gate.spans.put(index)
    headers = [(b"content-type", f"{ICALENDAR}; charset=utf-8".encode()), (b"content-length", b"%d" % len(body))]
    return Reply(200, headers, body)


def _objects(call: Call, moment: CoreReads, collection: Collection, names: list[str]) -> Iterator[CalendarObject]:
    """The objects of these names, one at a time.

    Raises Held where a body cannot be had, TooManyInstances where it cannot be read: to leave it out would call its
    times free.
    """
    for item, stored in items_and_bodies(moment, collection, names):
        try:
            yield CalendarObject.parse(body_of(call.gate, item, stored))
        except LineError:
            raise TooManyInstances(f"{item.name} cannot be read, so that its times are not known") from None
