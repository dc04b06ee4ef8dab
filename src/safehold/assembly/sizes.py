"""How large what would have to be recovered is, a line a day: what forecasts look ahead by.

    run/sizes.json     {"version": 1, "days": [Day, …]}, oldest first, at most KEPT of them, replaced as a whole

May be lost at any time: then growth is not known until it has been seen for a week again.
"""

from __future__ import annotations

import msgspec

from safehold.assembly.site import Site
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import CoreReads
from safehold.ports.whole_file import read_json, write_whole
from safehold.proof.forecast import Size, Sized

VERSION = 1
KEPT = 400
#: Growth is looked at over so many days.
LOOKED_AT_DAYS = 90
_DAY_MICROSECONDS = 86_400_000_000
_BATCH_STREAMS = 2_000
#: Where nobody has measured it, a body is reckoned at so many bytes.
BODY_BYTES = 1_000


class OfKind(msgspec.Struct, frozen=True):
    changes: int
    items: int
    bytes: int  # of live bodies, large ones included


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What the core held at one moment."""

    at: int  # µs
    accounts: int
    kinds: dict[str, OfKind]

    def size(self) -> Size:
        photos = self.kinds.get(Kind.PHOTOS.value, OfKind(0, 0, 0)).bytes
        every = self.kinds.values()
        return Size(
            float(self.accounts),
            float(sum(kind.changes for kind in every)),
            float(sum(kind.bytes for kind in every) - photos),
            float(photos),
            float(sum(kind.items for name, kind in self.kinds.items() if name != Kind.IDENTITY.value)),
        )


class _Page(msgspec.Struct):
    version: int = VERSION
    days: list[Day] = []


def measure(reads: CoreReads, now: int) -> Day:
    """What a core holds now; reads a row of each stream."""
    accounts = [account.id for account in reads.accounts()]
    totals = {kind: [0, 0, 0] for kind in RESTORE_ORDER}
    streams = [(id_, kind) for id_ in accounts for kind in RESTORE_ORDER]
    for first in range(0, len(streams), _BATCH_STREAMS):
        batch = streams[first : first + _BATCH_STREAMS]
        for (_, kind), standing in zip(batch, reads.standings(batch), strict=True):
            if standing is not None:
                for place, figure in enumerate(standing.figures):
                    totals[kind][place] += figure
    return Day(at=now, accounts=len(accounts), kinds={kind.value: OfKind(*totals[kind]) for kind in RESTORE_ORDER})


def note_size(site: Site, reads: CoreReads) -> Day:
    """Measure, and add a line where the last is of another day, else renew it."""
    day = measure(reads, site.clock.now())
    days = remembered_sizes(site)
    while days and days[-1].at // _DAY_MICROSECONDS >= day.at // _DAY_MICROSECONDS:
        days.pop()  # of the same day; of a later one where a clock was set back
    _save(site, [*days, day][-KEPT:])
    return day


def remembered_sizes(site: Site) -> list[Day]:
    """Oldest first; nothing where the file is not there or cannot be read."""
    page = read_json(site.disk, _path(site), _Page)
    return page.days if page is not None and page.version == VERSION else []


def series(days: list[Day]) -> list[Sized]:
    """For the rules of growth."""
    return [Sized(day.at / _DAY_MICROSECONDS, day.size()) for day in days[-LOOKED_AT_DAYS:]]


def size_now(counts: dict[str, int] | None, last: Day | None, body_bytes: float | None) -> Size | None:
    """Today's size out of the core's own counts, which cost nothing, and what is known of bodies from before."""
    if counts is None:
        return None if last is None else last.size()
    items = float(sum(counts.get(kind.value, 0) for kind in RESTORE_ORDER if kind is not Kind.IDENTITY))
    accounts, changes = float(counts["accounts"]), float(counts["changes"])
    if last is None or not last.size().items:
        return Size(accounts, changes, items * (BODY_BYTES if body_bytes is None else body_bytes), 0.0, items)
    known = last.size()
    grown = items / known.items
    return Size(accounts, changes, known.bytes * grown, known.photo_bytes * grown, items)


def _path(site: Site) -> str:
    return str(site.data / "run" / "sizes.json")


def _save(site: Site, days: list[Day]) -> None:
    """Whole or not at all. Raises OSError."""
    write_whole(site.disk, _path(site), msgspec.json.encode(_Page(VERSION, days)))
