"""REPORT free-busy-query (RFC 4791 section 7.10): when the owner of a calendar is busy, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from functools import partial

from safehold.content.budget import Meter
from safehold.content.calendar import CalendarObject
from safehold.content.expand import TooManyInstances
from safehold.content.freebusy import BusyTimes
from safehold.content.lines import LineError
from safehold.content.media import ICALENDAR
from safehold.content.spans import Spans
from safehold.content.timerange import TimeRange
from safehold.model.items import Collection
from safehold.ports.core import CoreReads
from safehold.protocol.caldav import floating_zone
from safehold.web.bodies import PIECE_BODIES, PIECE_BYTES, PIECE_STEPS, items_and_bodies
from safehold.web.dav_call import Call, collection_at
from safehold.web.dav_index import by_index
from safehold.web.dav_reads import body_of
from safehold.web.request import LISTING_BYTES
from safehold.web.respond import Reply


async def free_busy_query(call: Call, collection: Collection, within: TimeRange) -> Reply:
    """On a calendar, whatever Depth says: there is nothing below its items.

    The events are those of one moment, gathered a piece at a time: each counts as it then is.
    """
    await call.request.take_room(LISTING_BYTES)
    floating = floating_zone(collection.props)
    names = await by_index(call, collection, lambda _moment, _here, index: _names(index, within, floating))
    busy = BusyTimes(within, floating)
    done = 0
    while done < len(names):
        done = await call.gate.in_thread(partial(_gather, call, collection.path, busy, names, done))
    stamp = call.gate.clock.now() // 1_000_000
    body = await call.gate.in_thread(lambda _reads: busy.written(stamp))
    headers = [(b"content-type", f"{ICALENDAR}; charset=utf-8".encode()), (b"content-length", b"%d" % len(body))]
    return Reply(200, headers, body)


def _names(index: Spans, within: TimeRange, floating: tzinfo) -> list[str]:
    sure, maybe = index.candidates("VEVENT", within, floating)
    return [*sure, *maybe]


def _gather(call: Call, path: str, busy: BusyTimes, names: Sequence[str], start: int, reads: CoreReads) -> int:
    """A piece of the objects from name `start` on; where to go on.

    Raises Held where a body cannot be had, TooManyInstances where it cannot be read: to leave it out would call its
    times free.
    """
    window = names[start : start + PIECE_BODIES]
    size = 0
    with reads.snapshot() as moment, Meter() as meter:
        for item, stored in items_and_bodies(moment, collection_at(moment, call.account, path), window):
            try:
                busy.add(CalendarObject.parse(body_of(call.gate, item, stored)))
            except LineError:
                raise TooManyInstances(f"{item.name} cannot be read, so that its times are not known") from None
            size += item.size
            if size > PIECE_BYTES or meter.steps() > PIECE_STEPS:
                return start + window.index(item.name) + 1
    return start + len(window)
