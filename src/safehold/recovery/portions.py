"""Streams of a generation verified, and made rows of, by themselves: what may be done in several processes at once.

A stream is *settled* here when nothing of it is missing or wrong: every change is what its hash says, chains to the one
before, has its body, and the last one is the head that the generation states; what was dropped is proved by the base's
state root, what lives by the root at the end, where the generation states one. Any other stream is left to who asked
(`Replay` and `mending`), who takes longer and says what is wrong with it. So are long streams, for the memory's sake.

The state is derived here by itself, from names and digests in full: neither the rows nor `contents` have a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from safehold.model.change import GENESIS, Change, Op, props_digest, rehash
from safehold.model.kinds import Kind
from safehold.model.root import RootCollection, state_root
from safehold.model.stream import Base, Head
from safehold.ports.core import StreamMaker
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import BlobRef, SettledState
from safehold.vault.runs import GenerationReader, StreamEntry

#: Longer streams are not settled here: all rows of a portion are in memory at once.
LONGEST = 20_000
#: A portion holds streams of about so many changes.
PORTION_CHANGES = 3_000

MakeRows = Callable[[int, Kind, Base | None, int], StreamMaker]


class Wanted(NamedTuple):
    """One stream of a portion. With `account` 0 or more its rows are wanted, for an account of that number."""

    key: StreamKey
    account: int = -1
    first_journal: int = 0
    witnessed: Head | None = None  # which an older generation states: it must be on the stream


class Portion(NamedTuple):
    """Neighbours of one generation."""

    generation: int
    streams: tuple[Wanted, ...]


class Settled(NamedTuple):
    """A stream that is whole. `rows` are those that a StreamMaker made, packed, where they were wanted."""

    head: Head
    base: Base | None
    kept: int  # changes that stand for dropped history
    changes: int
    body_bytes: int  # wherever those bodies lie
    inline_bytes: int
    state: SettledState
    rows: bytes


class Settling(Protocol):
    """Settles portions, several at once where it can. Answers come in the order of the portions.

    An answer has a place for each stream of its portion, None where a stream is not settled.
    """

    def run(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]: ...


class Polled(Protocol):
    """Settling by others: who has something else to do need not wait for them."""

    def ready(self, seconds: float) -> bool:
        """Whether the next answer is there, or comes within so many seconds."""
        ...


class InTurn:
    """Settles one portion after the other, in this process."""

    def __init__(self, reader: GenerationReader, make_rows: MakeRows) -> None:
        self._reader = reader
        self._make_rows = make_rows

    def run(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]:
        for job in jobs:
            yield settle(self._reader, job, self._make_rows)


def portions(
    generation: int, wanted: Sequence[tuple[StreamEntry, Wanted]], most_changes: int | None = None
) -> list[Portion]:
    """Cut streams, given in their order, into portions. Those that are too long are left out."""
    most = PORTION_CHANGES if most_changes is None else most_changes
    found: list[Portion] = []
    some: list[Wanted] = []
    count = 0
    for entry, one in wanted:
        if entry.changes > LONGEST:
            continue
        if some and count + entry.changes > most:
            found.append(Portion(generation, tuple(some)))
            some, count = [], 0
        some.append(one)
        count += entry.changes
    if some:
        found.append(Portion(generation, tuple(some)))
    return found


def settle(reader: GenerationReader, portion: Portion, make_rows: MakeRows) -> list[Settled | None]:
    """All streams of a portion. Raises nothing for what is damaged."""
    assert reader.generation.number == portion.generation
    found: list[Settled | None] = []
    for one in portion.streams:
        entry = reader.stream(*one.key)
        base = None if entry is None else base_of(reader, entry)
        maker = make_rows(one.account, one.key[1], base, one.first_journal) if one.account >= 0 else None
        found.append(None if entry is None else _settled(reader, entry, base, maker, one.witnessed))
    return found


def no_rows(account: int, kind: Kind, base: Base | None, first_journal: int) -> StreamMaker:
    """A MakeRows for who wants none."""
    raise AssertionError((account, kind, base, first_journal))


def base_of(reader: GenerationReader, entry: StreamEntry) -> Base | None:
    """Where a stream of the generation begins; None where nothing of it was dropped.

    A base without a state root is only where the part before ended, which is lost: nothing stands for what it held.
    """
    base = entry.base
    if not base.rev or not base.root:
        return None
    return Base(base.timeline, base.rev, base.head, base.root, reader.generation.manifest.at)


def _settled(
    reader: GenerationReader, entry: StreamEntry, base: Base | None, maker: StreamMaker | None, witnessed: Head | None
) -> Settled | None:
    seen = {} if witnessed is None else {witnessed.rev: witnessed.hash}
    return settle_stream([Leg(reader.changes_of(entry), entry.head, entry.root)], base, maker, seen)


class Leg(NamedTuple):
    """Part of a stream, in rev order: where it must end, and the state root there, b"" where nobody states one."""

    changes: Iterable[tuple[int, Change]]
    head: Head
    root: bytes


def settle_stream(
    legs: Sequence[Leg], base: Base | None, maker: StreamMaker | None, seen: Mapping[int, bytes]
) -> Settled | None:
    """One stream, leg after leg; None where anything is missing or wrong. It must have the hashes `seen`, by rev."""
    base_rev = base.rev if base is not None else 0
    if seen and max(seen) > legs[-1].head.rev:
        return None
    rev, head, proved = 0, GENESIS, base is None
    live = Live()
    kept = count = total = inline = 0
    root = b""
    for leg in legs:
        for frame, change in leg.changes:
            after_gap = change.rev != rev + 1
            if not proved and base is not None and change.rev > base_rev:
                if live.root() != base.root:
                    return None
                rev, head, proved = base_rev, base.head, True
            if after_gap:
                if change.rev > base_rev and change.rev != rev + 1:
                    return None
                if change.rev <= rev:
                    return None
            if (change.rev == rev + 1 and change.prev != head) or not is_whole(change):
                return None
            rev, head = change.rev, change.hash
            if seen and seen.get(rev, head) != head:
                return None
            if base is not None and rev == base_rev and head != base.head:
                return None
            kept += rev <= base_rev
            count += 1
            total += change.size
            inline += len(change.body) if change.body is not None else 0
            if not live.apply(change):
                return None
            if maker is not None:
                maker.add(change, frame, after_gap)
        if not proved and base is not None:
            if live.root() != base.root:
                return None
            rev, head, proved = base_rev, base.head, True
        root = live.root() if leg.root or leg is legs[-1] else b""
        if Head(rev, head) != leg.head or (leg.root and root != leg.root):
            return None
    return Settled(
        Head(rev, head),
        base,
        kept,
        count,
        total,
        inline,
        live.settled(root),
        b"" if maker is None else maker.packed(),
    )


def is_whole(change: Change) -> bool:
    """Whether a change is what its hash and digests say, with its body."""
    body, props = change.body, change.props
    if rehash(change) != change.hash:
        return False
    if body is not None:
        if len(body) != change.size or sha256(body).digest() != change.digest:
            return False
    elif change.digest and change.blob is None:
        return False
    return props is None or props_digest(props) == change.props_digest


class _LiveCollection:
    __slots__ = ("blobs", "items", "path", "props")

    def __init__(self, path: str, props: bytes) -> None:
        self.path = path
        self.props = props
        self.items: dict[str, tuple[bytes, bytes, int, int]] = {}  # digest, properties' digest, size, rev
        self.blobs: dict[str, BlobRef] = {}


class Live:
    """What lives in one stream, by names and digests in full. A change whose collection is not there is refused."""

    def __init__(self) -> None:
        self._collections: dict[bytes, _LiveCollection] = {}

    def apply(self, change: Change) -> bool:
        op = change.op
        if op is Op.MKCOL:
            self._collections[change.collection] = _LiveCollection(change.name, change.props_digest)
            return True
        collection = self._collections.get(change.collection)
        if op is Op.PUT:
            if collection is None:
                return False
            name = change.name
            collection.items[name] = (change.digest, change.props_digest, change.size, change.rev)
            if change.blob is not None:
                collection.blobs[name] = BlobRef(change.blob, change.size)
            elif collection.blobs:
                collection.blobs.pop(name, None)
            return True
        if op is Op.REFUSED or op is Op.GAP:
            return op is not Op.GAP
        if collection is None:
            return False
        if op is Op.DELETE:
            collection.items.pop(change.name, None)
            collection.blobs.pop(change.name, None)
        elif op is Op.PROPS:
            item = collection.items.get(change.name)
            if item is not None:
                collection.items[change.name] = (item[0], change.props_digest, item[2], change.rev)
        elif op is Op.SETCOL:
            collection.props = change.props_digest
        else:
            assert op is Op.RMCOL
            del self._collections[change.collection]
        return True

    def root(self) -> bytes:
        return state_root(
            RootCollection(
                id_,
                collection.path.encode(),
                collection.props,
                [(name.encode(), item[0], item[1]) for name, item in sorted(collection.items.items())],
            )
            for id_, collection in sorted(self._collections.items())
        )

    def settled(self, root: bytes) -> SettledState:
        items = size = revs = 0
        blobs = []
        paths = {}
        for id_, collection in self._collections.items():
            items += len(collection.items)
            for _, _, bytes_, rev in collection.items.values():
                size += bytes_
                revs += rev
            if collection.blobs:
                blobs += [(id_, name, ref) for name, ref in collection.blobs.items()]
                paths[id_] = collection.path
        return SettledState(root, len(self._collections), items, size, revs, blobs, paths)
