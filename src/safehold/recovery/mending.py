"""Streams that are damaged in a generation, put together from all that is left of them.

Sources, in the order in which they are believed: the generations from the newest on, the log as far as it goes back, an
old core. Each change must be what its own hash says; where two sources differ, the one counts that continues the change
before it. The stream begins at the base, of any of the generations, from which the least is missing.

What is kept in memory: of the log only what no generation has whole; otherwise one stream at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from safehold.formats.run import partition_of
from safehold.model.change import Change
from safehold.model.stream import EMPTY_HEAD, BadChange, Base, Head, check_self
from safehold.ports.core import LogPosition
from safehold.ports.log import Hole, LogReader
from safehold.recovery.chains import StreamKey
from safehold.recovery.replay import Witness
from safehold.vault.runs import GenerationReader, StreamEntry, stream_order

#: What a stream is read from, as plans say it; beside generations, see `generation_words`.
LOG = "log"
CORE = "core"


def generation_words(number: int) -> str:
    return f"generation {number}"


class Piece(NamedTuple):
    """A change, the frame it is archived in or before, whether its body is there, and what it was read from."""

    frame: int
    change: Change
    whole: bool
    source: str = ""


class Mended(NamedTuple):
    """A stream as it was put together: `head` is the furthest that any source has of it."""

    key: StreamKey
    base: Base | None
    pieces: list[Piece]
    head: Head
    short: int  # changes that stand for dropped history and are nowhere

    @property
    def sources(self) -> tuple[str, ...]:
        """What it was put together from, as a plan says it, in the order of its changes."""
        return tuple(dict.fromkeys(piece.source for piece in self.pieces))


class Mender:
    """`damaged` streams, and whatever else there is of the doubtful partitions, which the generation may not name.

    Of `distrusted` ones the newest generation says something else than an older one: it is not asked.
    """

    def __init__(
        self,
        readers: Sequence[GenerationReader],
        log: LogReader,
        upto: LogPosition,
        damaged: Iterable[StreamKey],
        distrusted: frozenset[StreamKey],
        doubtful: frozenset[int],
        witness: Witness | None,
    ) -> None:
        self._readers = readers
        self._witness = witness
        self._distrusted = distrusted
        self._upto = upto
        keys = set(damaged)
        if doubtful:
            for reader in readers:
                keys.update(e.key for e in reader.streams() if partition_of(e.account) in doubtful)
        self._holes_upto = 0
        #: Of the log before the generation, where it had to be read: what cannot be.
        self.holes: list[Hole] = []
        self._had = {key: self._revs_held(key) for key in keys}
        self._from_log: dict[StreamKey, dict[int, Piece]] = {}
        for piece in self._in_log(log, doubtful):
            change = piece.change
            self._from_log.setdefault((change.account, change.kind), {})[change.rev] = piece
        self.keys = sorted(keys | self._from_log.keys(), key=stream_order)

    def _revs_held(self, key: StreamKey) -> set[int]:
        """Revs that some generation has whole."""
        return {piece.change.rev for reader in self._of(key) for piece in _pieces(reader, key) if piece.whole}

    def _of(self, key: StreamKey) -> Sequence[GenerationReader]:
        """Generations that are asked for a stream."""
        return self._readers[1:] if key in self._distrusted else self._readers

    def _in_log(self, log: LogReader, doubtful: frozenset[int]) -> Iterator[Piece]:
        for entry in log.entries():
            if isinstance(entry, Hole):
                self._holes_upto = max(self._holes_upto, min(entry.last, self._upto.frame))
                self.holes.append(entry)
                continue
            if entry.position.frame > self._upto.frame:
                return
            for change in entry.changes:
                held = self._had.get((change.account, change.kind))
                if change.rev not in held if held is not None else partition_of(change.account) in doubtful:
                    yield Piece(entry.position.frame, change, True, LOG)

    def knows_all(self, doubtful: frozenset[int]) -> bool:
        """Whether no stream of these partitions can have escaped: the log, or it and an older generation, has all."""
        return self._holes_upto == 0 or any(
            reader.generation.number >= self._holes_upto
            and not any(o.doubtful for o in reader.objects if any(o.covers(partition) for partition in doubtful))
            for reader in self._readers
        )

    def streams(self) -> Iterator[Mended]:
        for key in self.keys:
            yield self.stream(key)

    def stream(self, key: StreamKey) -> Mended:
        entries = [entry for reader in self._of(key) if (entry := reader.stream(*key)) is not None]
        offers: dict[int, list[Piece]] = {}
        head = EMPTY_HEAD
        for reader in self._of(key):
            for piece in _pieces(reader, key):
                offers.setdefault(piece.change.rev, []).append(piece)
        for rev, piece in self._from_log.get(key, {}).items():
            offers.setdefault(rev, []).append(piece)
        for entry in entries:
            head = max(head, entry.head, key=lambda h: h.rev)
        if offers:
            last = offers[max(offers)][0].change
            head = max(head, Head(last.rev, last.hash), key=lambda h: h.rev)
        return min(
            (self._from_base(key, entry, offers, head) for entry in [*filter(_is_based, entries), None]),
            key=lambda mended: mended.short + _missing(mended),
        )

    def _from_base(
        self, key: StreamKey, entry: StreamEntry | None, offers: dict[int, list[Piece]], head: Head
    ) -> Mended:
        """The stream from this entry's base on; from its first change where it is None."""
        pieces: list[Piece] = []
        base: Base | None = None
        short = 0
        if entry is not None and entry.base.rev:
            base = Base(entry.base.timeline, entry.base.rev, entry.base.head, entry.base.root, self._at(entry))
            pieces, short = self._below(key, entry, offers)
        pieces += self._chained(key, base, offers, head)
        return Mended(key, base, pieces, head, short)

    def _at(self, entry: StreamEntry) -> int:
        for reader in self._readers:
            if any(part.object in reader.objects for part in entry.parts):
                return reader.generation.manifest.at
        return 0

    def _below(self, key: StreamKey, entry: StreamEntry, offers: dict[int, list[Piece]]) -> tuple[list[Piece], int]:
        """What stands for the history before the base, whole where any source has it so; how much is missing."""
        found: list[Piece] = []
        stream = entry.parts[0].stream
        expected = stream.changes - (stream.rev - stream.base.rev)
        reader = next(r for r in self._readers if any(part.object in r.objects for part in entry.parts))
        for piece in _pieces(reader, key):
            if piece.change.rev > stream.base.rev:
                break
            same = [p for p in offers.get(piece.change.rev, ()) if p.whole and p.change.hash == piece.change.hash]
            found.append(same[0] if same else self._remembered(piece))
        return found, max(0, expected - len(found))

    def _remembered(self, piece: Piece) -> Piece:
        """The witness's own copy of a change whose body is gone, if it has it."""
        change = piece.change
        if self._witness is not None and not piece.whole:
            for offered in self._witness.changes(change.account, change.kind, change.rev, change.rev):
                if offered.hash == change.hash and _is_sound(offered) and _is_whole(offered):
                    return Piece(piece.frame, offered, True, CORE)
        return piece

    def _chained(self, key: StreamKey, base: Base | None, offers: dict[int, list[Piece]], head: Head) -> list[Piece]:
        """Revs after the base, each from the first source that continues the one before it, where that is known."""
        first = 1 if base is None else base.rev + 1
        before: bytes | None = EMPTY_HEAD.hash if base is None else base.head
        found: list[Piece] = []
        for rev in range(first, head.rev + 1):
            candidates = offers.get(rev, [])
            if not any(piece.whole for piece in candidates):
                candidates = [*self._offered(key, rev), *candidates]
            following = [p for p in candidates if before is None or p.change.prev == before]
            choice = next((p for p in following if p.whole), following[0] if following else None)
            before = None if choice is None else choice.change.hash
            if choice is not None:
                found.append(choice)
        return found

    def _offered(self, key: StreamKey, rev: int) -> list[Piece]:
        if self._witness is None:
            return []
        return [
            Piece(self._upto.frame, change, True, CORE)
            for change in self._witness.changes(*key, rev, rev)
            if (change.account, change.kind) == key and _is_sound(change) and _is_whole(change)
        ]


def _is_based(entry: StreamEntry) -> bool:
    """Whether something stands for what is before its base; else that is only where a lost part of it ended."""
    return not entry.base.rev or bool(entry.base.root)


def _pieces(reader: GenerationReader, key: StreamKey) -> Iterator[Piece]:
    """Those that are what their hashes say."""
    entry = reader.stream(*key)
    if entry is not None:
        source = generation_words(reader.generation.number)
        for frame, change in reader.changes_of(entry):
            if _is_sound(change):
                yield Piece(frame, change, _is_whole(change), source)


def _is_sound(change: Change) -> bool:
    try:
        check_self(change)
    except BadChange:
        return False
    return True


def _is_whole(change: Change) -> bool:
    return change.body is not None or change.blob is not None or not change.digest


def _missing(mended: Mended) -> int:
    there = sum(piece.whole for piece in mended.pieces)
    below = 0 if mended.base is None else sum(p.change.rev <= mended.base.rev for p in mended.pieces)
    return mended.head.rev - (0 if mended.base is None else mended.base.rev) + below - there


#: What `Mender` is made with, for who makes it later.
MakeMender = Callable[[Sequence[StreamKey]], Mender]
