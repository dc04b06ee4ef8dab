"""Streams one by one, as a plan would bring them back, for who has something to say of each item.

Read from where the plan reads: the generation, mended where it is damaged, and the log after it; or the core, where
that is whole. The log lies in the order of time: what of it is kept is a group of streams at a time, of a bounded
weight, and the log is read once for each group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from safehold.model.change import GENESIS, Change, Op
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Base, Head
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.log import Hole, LogReader
from safehold.ports.vault import Vault
from safehold.recovery.chains import StreamKey
from safehold.recovery.examine import State
from safehold.recovery.find import Find
from safehold.recovery.items_ledger import StreamLedger
from safehold.recovery.joining import Joiner
from safehold.recovery.mending import CORE, LOG, Mender, Piece, generation_words
from safehold.recovery.origin import Origin, finish
from safehold.recovery.plan import Plan, StreamPlan
from safehold.recovery.replay import Entered, Replay
from safehold.recovery.witness import CoreWitness
from safehold.vault.runs import Runs, stream_order

#: Bytes of the log's changes that are kept at a time: bodies, and for each change what it takes beside its body.
GROUP_BYTES = 64 * 1024 * 1024
_CHANGE_BYTES = 1100
_HEAD_BYTES = 200

_Event = tuple[int, Change] | Head
_Events = dict[StreamKey, list[_Event]]


class ItemSources(NamedTuple):
    """What a plan was made from, to be read once more: the arguments of `make_plan`."""

    reader: LogReader
    vaults: Sequence[Vault]
    runs: Runs | None = None
    core: CoreReads | None = None
    blobs: Blobs | None = None
    find: Find | None = None


class ReadStream(NamedTuple):
    """A stream as it would come back: what a replay knows of it, and the names."""

    key: StreamKey
    name: str  # of the account
    sources: tuple[str, ...]
    replay: Replay
    ledger: StreamLedger


class ItemsReading:
    """Of one plan. Streams of accounts that are erased, or that the plan does not speak of, are left out."""

    def __init__(self, plan: Plan, sources: ItemSources) -> None:
        self._plan = plan
        self._core = sources.core if plan.core is State.WHOLE else None
        self._witness = CoreWitness(sources.core) if sources.core is not None and self._core is None else None
        number = plan.generation if sources.runs is not None else 0
        self._origin = Origin(sources.reader, sources.runs, number=number, older=plan.older, seals=bool(plan.damaged))
        self._mender: Mender | None = None
        if plan.damaged:
            self._mender = self._origin.mender(plan.damaged, self._witness)
        self._damaged = set(plan.damaged)
        self._joiner: Joiner | None = None
        self._joined = set(plan.joined)
        if plan.joined:
            assert sources.find is not None, "the plan was made with a salvage"
            heads = {(account, kind): head for account, kind, head in plan.core_heads}
            keys = sorted(plan.joined, key=stream_order)
            self._joiner = self._origin.joiner(keys, sources.find, self._witness, heads)

    def streams(self) -> Iterator[ReadStream]:
        """In the order of kind and account: identities come first."""
        erased = set(self._plan.erased)
        planned = [one for one in self._plan.streams if self._plan.selection.counted(one.account, one.kind)]
        planned = [one for one in planned if one.account not in erased]
        planned.sort(key=lambda one: stream_order((one.account, one.kind)))
        for group, events in self._groups(planned):
            for one in group:
                yield self._one(one, events.pop((one.account, one.kind), []))
        yield from self._of_core_alone({(one.account, one.kind) for one in planned}, erased)

    # -- the log after the generation, group by group

    def _groups(self, planned: Sequence[StreamPlan]) -> Iterator[tuple[list[StreamPlan], _Events]]:
        kept, weights = self._weigh()
        if kept is not None:
            yield list(planned), kept
            return
        group: list[StreamPlan] = []
        weight = 0
        for one in planned:
            own = weights.get((one.account, one.kind), 0)
            if group and weight + own > GROUP_BYTES:
                yield group, self._collect({(o.account, o.kind) for o in group})
                group, weight = [], 0
            group.append(one)
            weight += own
        if group:
            yield group, self._collect({(o.account, o.kind) for o in group})

    def _weigh(self) -> tuple[_Events | None, dict[StreamKey, int]]:
        """All of the log at once where it is light; else None, and what each stream's part of it weighs."""
        kept: _Events | None = {}
        weights: dict[StreamKey, int] = {}
        total = 0
        for key, event in self._events():
            weight = _HEAD_BYTES if isinstance(event, Head) else _CHANGE_BYTES + len(event[1].body or b"")
            weights[key] = weights.get(key, 0) + weight
            total += weight
            if total > GROUP_BYTES:
                kept = None
            if kept is not None:
                kept.setdefault(key, []).append(event)
        return kept, weights

    def _collect(self, wanted: set[StreamKey]) -> _Events:
        found: _Events = {}
        for key, event in self._events():
            if key in wanted:
                found.setdefault(key, []).append(event)
        return found

    def _events(self) -> Iterator[tuple[StreamKey, _Event]]:
        for entry in self._origin.tail():
            if isinstance(entry, Hole):
                continue
            for change in entry.changes:
                yield (change.account, change.kind), (entry.position.frame, change)
            if entry.sealed:
                yield from entry.heads.items()

    # -- one stream

    def _one(self, planned: StreamPlan, events: Sequence[_Event]) -> ReadStream:
        key = planned.account, planned.kind
        found = self._from_vaults(key, planned, events)
        if self._core is None:
            return found
        own = self._from_core(key, planned.name, planned.sealed)
        # What a core misses has no name in its journal; where the vaults miss the same, they know what it was.
        theirs, chains = found.replay.chains, own.replay.chains
        same = chains.head(key) == theirs.head(key) and chains.missing(key) == theirs.missing(key)
        return found if not chains.whole(key) and same else own

    def _replay(self, name: str, key: StreamKey, *, ask: bool = True) -> Replay:
        replay = Replay(self._plan.erased, self._witness if ask else None)
        if name != key[0].hex():
            replay.names[key[0]] = name
        return replay

    def _from_vaults(self, key: StreamKey, planned: StreamPlan, events: Sequence[_Event]) -> ReadStream:
        replay, ledger = self._replay(planned.name, key), StreamLedger(key[1])
        entry = self._origin.entry(key)
        if self._joiner is not None and key in self._joined:  # with all of the log
            mended = self._joiner.stream(key)
            _feed(replay, ledger, key, mended.base, mended.pieces, "")
            replay.end(key, mended.head, mended.short)
            _enter(ledger, replay.finish(), None, CORE)
            return ReadStream(key, planned.name, planned.sources, replay, ledger)
        if self._mender is not None and key in self._damaged:
            mended = self._mender.stream(key)
            _feed(replay, ledger, key, mended.base, mended.pieces, "")
            replay.end(key, mended.head, mended.short)
        elif entry is not None:
            words = generation_words(self._origin.number)
            _feed(replay, ledger, key, self._origin.base_of(entry), self._origin.pieces(entry), words)
            finish(replay, entry)
        for event in events:
            if isinstance(event, Head):
                replay.seal({key: event})
            else:
                _enter(ledger, replay.feed(event[1]), event[1], LOG)
        _enter(ledger, replay.finish(), None, CORE)
        return ReadStream(key, planned.name, planned.sources, replay, ledger)

    def _from_core(self, key: StreamKey, name: str, sealed: Head | None) -> ReadStream:
        assert self._core is not None
        replay, ledger = self._replay(name, key, ask=False), StreamLedger(key[1])
        row = self._core.account_by_id(key[0])
        number = 0 if row is None else row.number
        base = self._core.base(number, key[1])
        if base is not None:
            replay.begin(key, Head(base.rev, base.head))
        for change in _changes_of(self._core, number, key):
            _enter(ledger, replay.feed(change), change, CORE)
        replay.chains.reach_bases()
        if sealed is not None and replay.chains.head(key).rev < sealed.rev:
            replay.chains.sealed[key] = sealed
            replay.finish()
        return ReadStream(key, name, (CORE,), replay, ledger)

    def _of_core_alone(self, planned: set[StreamKey], erased: set[bytes]) -> Iterator[ReadStream]:
        """Streams of a whole core that no vault has."""
        if self._core is None:
            return
        names = {account.id: account.name for account in self._core.accounts()}
        for key in sorted(self._core.stream_ends(), key=stream_order):
            if key not in planned and key[0] not in erased and self._plan.selection.counted(*key):
                yield self._from_core(key, names.get(key[0], ""), None)


def _feed(
    replay: Replay, ledger: StreamLedger, key: StreamKey, base: Base | None, pieces: Iterable[Piece], source: str
) -> None:
    replay.begin(key, EMPTY_HEAD if base is None else Head(base.rev, base.head))
    for piece in pieces:
        change = piece.change
        entered = replay.feed(change) if piece.whole else replay.lose(change)
        _enter(ledger, entered, change, piece.source or source)


def _enter(ledger: StreamLedger, entered: Sequence[Entered], read: Change | None, source: str) -> None:
    """What a witness gave beside the change that was read has the core for its source."""
    for one in entered:
        ledger.apply(one.change, source if one.change is read else CORE)


def _changes_of(core: CoreReads, number: int, key: StreamKey) -> Iterator[Change]:
    """A core's own, in rev order, whole: where the change before is the row before, `prev` is that one's hash."""
    account, kind = key
    last = b""
    for row in core.run_rows(number, kind, 0, core.head(number, kind).rev):
        timeline, rev, group, at, op, collection, name, media, digest, size, props_digest, actor, prev, own = row[:14]
        body, blob, props = row[14:]
        yield Change(
            account,
            Kind(kind),
            timeline,
            rev,
            group,
            at,
            Op(op),
            collection,
            name,
            media,
            digest,
            size,
            props_digest,
            actor,
            prev if prev is not None else last or GENESIS,
            own,
            body,
            blob,
            props,
        )
        last = own
