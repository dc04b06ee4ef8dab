"""A replay in numbers and names: what is exact, older and lost.

The rule, so that `exact` is never rounded up (I29):

- an item whose body is there and after whose last change no rev of its stream is missing is exact;
- each missing rev counts as one lost item, since it may have made one; and one item that lives from before the gap
  counts as older, since it may have changed or removed that. Which one it is nobody knows, so neither has a name;
- a change that is known but for its body names its item: that is older where an earlier version is there, else lost,
  and exact where a later change replaced it; the rev is named all the same;
- of what stands for dropped history, each change that is missing is one lost item without a name, and may be what an
  item was at the base of which an older body, or other properties, are here: one that lives counts as older;
- an item that a later change names and whose body lies in a gap is lost by name, in place of one missing rev;
- an item of a collection whose making lies in a gap is there, but under no path: it is lost, by its rev;
- an item whose blob no vault holds is older where an earlier version's body is there, else lost: by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import name_key
from safehold.recovery.replay import Replay
from safehold.recovery.report import KindCount, Loss, StreamCount
from safehold.recovery.selection import SYSTEM


class BlobLoss(msgspec.Struct, frozen=True):
    """A live item whose body is a blob that no vault holds whole."""

    account: bytes
    kind: Kind
    path: str | None
    name: str
    rev: int
    older: bool  # whether an earlier version's body is there


class Tally(msgspec.Struct):
    """`accounts` leaves out the installation itself."""

    accounts: int
    streams: int
    changes_expected: int
    changes_recovered: int
    items: dict[Kind, KindCount]
    lost: list[Loss]
    not_exact: list[StreamCount] = []


def make_tally(replay: Replay, counted: Callable[[bytes, Kind], bool], blob_losses: Sequence[BlobLoss]) -> Tally:
    """Count the streams for which `counted` says so."""
    tally = Tally(0, 0, 0, 0, {kind: KindCount() for kind in RESTORE_ORDER}, [])
    by_stream: dict[StreamKey, list[BlobLoss]] = {}
    for loss in blob_losses:
        by_stream.setdefault((loss.account, loss.kind), []).append(loss)
    accounts = set()
    for key in replay.chains.streams():
        account, kind = key
        if not counted(account, kind):
            continue
        tally.streams += 1
        tally.changes_expected += replay.chains.expected(key)
        tally.changes_recovered += replay.chains.reached(key) - len(replay.chains.ghosts.get(key, ()))
        if account != SYSTEM:
            accounts.add(account)
        _count_stream(tally, replay, key, by_stream.get(key, ()))
    tally.accounts = len(accounts)
    order = {kind: place for place, kind in enumerate(RESTORE_ORDER)}
    tally.lost.sort(key=lambda loss: (order[loss.kind], loss.account, loss.revs))
    tally.not_exact.sort(key=lambda count: (order[count.kind], count.account, count.id))
    return tally


class Unsure(NamedTuple):
    """Of one stream, what a blob's loss that is found later has to be weighed against."""

    most: int = 0  # so many items may be older
    whole: int = 0  # so many items are there with their newest body, as far as it is known

    def older(self, lost_blobs: int) -> int:
        """How many count as older, where so many of the whole ones have lost their blob."""
        return min(self.most, max(0, self.whole - lost_blobs))


def unsure_of(replay: Replay, key: StreamKey) -> Unsure:
    """As `make_tally` reckons it for this stream."""
    state = replay.contents.streams.get(key)
    if state is None:
        return Unsure()
    collections = state.collections.values()
    apart = sum(len(c.items) if c.path is None else len(c.stale.keys() | c.bare) for c in collections)
    unsure = sum(len(c.unsure - c.stale.keys() - c.bare) for c in collections if c.path is not None)
    named = replay.chains.named.get(key, {})
    missing = sum(gap.revs for gap in replay.chains.missing(key))
    missing -= sum(gap.first <= rev <= gap.last for gap in replay.chains.missing(key) for rev in named)
    return Unsure(min(missing + replay.chains.short.get(key, 0), unsure), state.live - apart)


def _count_stream(tally: Tally, replay: Replay, key: StreamKey, blob_losses: Sequence[BlobLoss]) -> None:
    account, kind = key
    state = replay.contents.streams.get(key)
    live = state.live if state is not None else 0
    who = replay.name_of(account)
    for loss in blob_losses:
        tally.lost.append(Loss(who, kind, loss.path, loss.name, [loss.rev]))
    blobs_lost: dict[str | None, set[int]] = {}
    for loss in blob_losses:
        blobs_lost.setdefault(loss.path, set()).add(name_key(loss.name))
    ghosts = astray = stale = gone = bare = unsure = 0
    for collection in state.collections.values() if state is not None else ():
        if collection.path is None and collection.items:
            astray += len(collection.items)
            tally.lost.append(Loss(who, kind, None, None, sorted(collection.revs())))
        else:
            told = blobs_lost.get(collection.path, set())
            stale += len(collection.stale.keys() - told)
            unsure += len(collection.unsure - collection.stale.keys() - collection.bare - told)
            gone += len(collection.gone)
            bare += len(collection.gone.keys() & collection.bare)
        for name, rev in collection.ghosts.values():
            ghosts += 1
            tally.lost.append(Loss(who, kind, collection.path, name, [rev]))
    for change in replay.chains.ghosts.get(key, {}).values():
        path = state.path_of(change.collection) if state is not None else None
        tally.lost.append(Loss(who, kind, path, change.name, [change.rev]))
    named = replay.chains.named.get(key, {})
    short = replay.chains.short.get(key, 0)
    tally.lost += [Loss(who, kind, None, None, [])] * (short > 0)
    missing = 0
    for gap in replay.chains.missing(key):
        revs = range(gap.first, gap.last + 1)
        for change in (named[rev] for rev in revs if rev in named):
            path = state.path_of(change.collection) if state is not None else None
            tally.lost.append(Loss(who, kind, path, change.name, [change.rev]))
        nameless = [rev for rev in revs if rev not in named]
        missing += len(nameless)
        tally.lost += [Loss(who, kind, None, None, nameless)] * bool(nameless)
    blob_older = sum(loss.older for loss in blob_losses)
    whole = live - len(blob_losses) - astray - stale - bare
    maybe_older = min(missing + short, unsure, whole)
    count = tally.items[kind]
    older = blob_older + maybe_older + stale
    lost = len(blob_losses) - blob_older + astray + max(missing, ghosts) + gone + short
    exact = whole - maybe_older
    count.exact += exact
    count.older += older
    count.lost += lost
    count.expected += exact + older + lost
    if older or lost:
        tally.not_exact.append(StreamCount(who, account.hex(), kind, exact + older + lost, exact, older, lost))
