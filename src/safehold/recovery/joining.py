"""Streams of which a find has something that the vaults lack, put together from all that is left of them.

`join` is the rule, and pure. At each rev the change counts that continues the one before it. Where two do, the history
forks, and that of the higher timeline counts; of one timeline, that of the source which is believed first. All that
goes on from the other is off. After revs that nobody has, a change counts unless its timeline is lower than what came
before: timelines never fall along a stream. Where what stands before such revs, and what stands after them, exclude
each other, they are of two histories of which the fork is lost, and the same rule says which counts; of one timeline,
that of the vaults, then the longer.

`Joiner` gathers what `join` chooses from, in the order in which it is believed: generations from the newest on, the
whole log, the find, an old core. Bodies that are gone come from the find by their digest. Revs whose loss somebody
accepted stay lost: devices have gone on without them.

What is kept in memory: of the log what of these streams no generation has whole; otherwise one stream at a time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from safehold.model.change import Change, Op, parse_props
from safehold.model.stream import EMPTY_HEAD, Base, Head
from safehold.ports.core import EMPTY_LOG, UNARCHIVED
from safehold.ports.log import Hole, LogReader
from safehold.recovery.chains import Gap, StreamKey
from safehold.recovery.find import Find, is_sound, is_whole
from safehold.recovery.mending import CORE, LOG, Mended, Piece, generation_words
from safehold.recovery.replay import Witness
from safehold.vault.runs import GenerationReader, StreamEntry, stream_order

_REVISIONS = re.compile(r"revisions ([0-9–, ]+) of ")


class Other(NamedTuple):
    """Changes of a history that the stream did not go on with."""

    key: StreamKey
    fork: int  # the first rev of which there are two
    changes: int
    timeline: int  # of the first of them
    source: str


class Chosen(NamedTuple):
    """What `join` chose, by rev, and what it passed over."""

    pieces: list[Piece]
    passed: list[Piece]


def join(before: Head, timeline: int, offers: Mapping[int, Sequence[Piece]]) -> Chosen:
    """The stream after `before`, whose timeline is given, out of what there is of each rev, best believed first."""
    return _Join(before, timeline, offers).run()


class _Join:
    """One stream's changes as a tree, by the hashes that they continue; `off` are those of other histories."""

    def __init__(self, before: Head, timeline: int, offers: Mapping[int, Sequence[Piece]]) -> None:
        self._before = before
        self._timeline = timeline
        self._by_rev = {rev: _by_hash(offers[rev]) for rev in sorted(offers) if rev > before.rev}
        self._there = {piece.change.hash for pieces in self._by_rev.values() for piece in pieces}
        self._children: dict[bytes, list[Piece]] = {}
        for pieces in self._by_rev.values():
            for piece in pieces:
                self._children.setdefault(piece.change.prev, []).append(piece)
        self._off: set[bytes] = set()
        self._revs = list(self._by_rev)

    def run(self) -> Chosen:
        self._part()
        chosen: list[Piece] = []
        head, timeline = self._before, self._timeline
        while start := self._next(head, timeline):
            stretch = self._settled(self._stretch(start))
            chosen += stretch
            if stretch:
                last = stretch[-1].change
                head, timeline = Head(last.rev, last.hash), last.timeline
        taken = {piece.change.hash for piece in chosen}
        passed = [p for pieces in self._by_rev.values() for p in pieces if p.change.hash not in taken]
        return Chosen(chosen, passed)

    def _part(self) -> None:
        """Where two changes continue the same one, one history is off. A first rev is written once: there timelines say
        nothing, and another one is another installation's.
        """
        first = self._before.rev + 1
        for piece in self._by_rev.get(first, ()):
            if piece.change.prev != self._before.hash:
                self._leave(piece)
        for rev, pieces in self._by_rev.items():
            for piece in pieces:
                siblings = [p for p in self._children[piece.change.prev] if p.change.hash not in self._off]
                if len(siblings) > 1:
                    best = siblings[0] if rev == 1 else max(siblings, key=lambda p: p.change.timeline)
                    for other in siblings:
                        if other is not best:
                            self._leave(other)

    def _leave(self, piece: Piece) -> None:
        """A change and all that goes on from it belong to another history."""
        waiting = [piece]
        while waiting:
            change = waiting.pop().change
            self._off.add(change.hash)
            waiting += self._children.get(change.hash, ())

    def _next(self, head: Head, timeline: int) -> Piece | None:
        """What continues the head; else, after revs that nobody has, the next that may."""
        for piece in self._children.get(head.hash, ()):
            if piece.change.hash not in self._off and piece.change.rev == head.rev + 1:
                return piece
        for rev in islice(self._revs, bisect_right(self._revs, head.rev), None):
            pieces = self._by_rev[rev]
            for piece in pieces:
                change = piece.change
                # At the next rev it would have to continue the head, and timelines never fall along a stream.
                if change.hash not in self._off and (rev == head.rev + 1 or change.timeline < timeline):
                    self._leave(piece)
            open_ = [piece for piece in pieces if piece.change.hash not in self._off]
            if open_:
                return max(open_, key=lambda piece: piece.change.timeline)
        return None

    def _stretch(self, start: Piece) -> list[Piece]:
        """A change and what goes on from it, rev after rev."""
        found = [start]
        while following := [p for p in self._children.get(found[-1].change.hash, ()) if p.change.hash not in self._off]:
            found.append(following[0])
        return found

    def _settled(self, stretch: list[Piece]) -> list[Piece]:
        """What of a stretch stands against all that begins beside it, after revs that nobody has, and excludes it."""
        first = stretch[0].change.rev
        at = first
        while stretch and at <= stretch[-1].change.rev + 1:
            for rival in self._by_rev.get(at, ()):
                if rival.change.hash in self._off or not self._excludes(rival, stretch):
                    continue
                if self._beats(rival, stretch):
                    stretch = self._cut(rival, stretch)
                else:
                    self._leave(rival)
            at += 1
        return stretch

    def _excludes(self, rival: Piece, stretch: Sequence[Piece]) -> bool:
        """Whether it cannot be on the same stream: it stands beside one of these, or continues another one."""
        if rival.change.prev in self._there:  # then its history begins elsewhere, and is looked at there
            return False
        place = rival.change.rev - stretch[0].change.rev if stretch else -1
        if not 0 <= place <= len(stretch):
            return False
        beside = place < len(stretch) and stretch[place].change.hash != rival.change.hash
        return beside or (0 < place == len(stretch) and stretch[place - 1].change.hash != rival.change.prev)

    def _beats(self, rival: Piece, stretch: Sequence[Piece]) -> bool:
        """Whether its history counts: that of the higher timeline where they part, or the vaults', or the longer."""
        place = rival.change.rev - stretch[0].change.rev
        beside = stretch[min(place, len(stretch) - 1)].change.timeline
        if rival.change.timeline != beside:
            return rival.change.timeline > beside
        own, theirs = stretch[max(0, place - 1) :], self._stretch(rival)
        vaulted = any(map(_is_vaulted, theirs)), any(map(_is_vaulted, own))
        return vaulted[0] if vaulted[0] != vaulted[1] else len(theirs) > len(own)

    def _cut(self, rival: Piece, stretch: list[Piece]) -> list[Piece]:
        """What of a stretch may be on the same stream as a history that counts."""
        keep = max(0, rival.change.rev - stretch[0].change.rev - 1)
        self._leave(stretch[keep])
        return stretch[:keep]


def _is_vaulted(piece: Piece) -> bool:
    return piece.frame != UNARCHIVED


def _by_hash(pieces: Sequence[Piece]) -> list[Piece]:
    """Each change once: where it is whole, where it is whole in any."""
    found: dict[bytes, Piece] = {}
    for piece in pieces:
        had = found.get(piece.change.hash)
        if had is None:
            found[piece.change.hash] = piece
        elif piece.whole and not had.whole:
            found[piece.change.hash] = piece._replace(frame=min(piece.frame, had.frame))
    return list(found.values())


class Joiner:
    """`keys` are the streams; `core_heads` how far an old core is known to have them, which the find may end before."""

    def __init__(
        self,
        keys: Iterable[StreamKey],
        readers: Sequence[GenerationReader],
        log: LogReader | None,
        find: Find,
        witness: Witness | None,
        core_heads: Mapping[StreamKey, Head],
        distrusted: frozenset[StreamKey] = frozenset(),
    ) -> None:
        """Of `distrusted` streams the newest generation says something else than an older one: it is not asked."""
        self.keys = sorted(keys, key=stream_order)
        self._readers = readers
        self._find = find
        self._witness = witness
        self._core_heads = core_heads
        self._distrusted = distrusted
        self._from_log: dict[StreamKey, list[Piece]] = {key: [] for key in self.keys}
        self._had = {key: self._hashes_held(key) for key in self.keys} if readers else {}
        self._sealed: dict[StreamKey, Head] = {}
        self.others: list[Other] = []
        if log is not None and self.keys:
            self._read(log)

    def _read(self, log: LogReader) -> None:
        for entry in log.entries(EMPTY_LOG):
            if isinstance(entry, Hole):
                continue
            for change in entry.changes:
                key = (change.account, change.kind)
                if key not in self._from_log:
                    continue
                if change.hash not in self._had.get(key, ()):
                    self._from_log[key].append(Piece(entry.position.frame, change, is_whole(change), LOG))
                if change.op is Op.GAP:  # what was sealed before it is given up
                    self._sealed.pop(key, None)
            for key, head in entry.heads.items():
                if key in self._from_log:
                    self._sealed[key] = head

    def _hashes_held(self, key: StreamKey) -> set[bytes]:
        """Of changes that some generation has whole."""
        entries = ((reader, reader.stream(*key)) for reader in self._of(key))
        return {
            change.hash
            for reader, entry in entries
            if entry is not None
            for _, change in reader.changes_of(entry)
            if is_whole(change) and is_sound(change)
        }

    def stream(self, key: StreamKey) -> Mended:
        entries = [entry for reader in self._of(key) if (entry := reader.stream(*key)) is not None]
        offers = _without_accepted(self._offers(key))
        tried = [self._from_base(key, entry, offers) for entry in [*filter(_is_based, entries), None]]
        mended, passed = min(tried, key=lambda one: one[0].short + _missing(one[0]))
        self._tell(key, passed)
        return mended

    def _of(self, key: StreamKey) -> Sequence[GenerationReader]:
        """Generations that are asked for a stream."""
        return self._readers[1:] if key in self._distrusted else self._readers

    def _offers(self, key: StreamKey) -> dict[int, list[Piece]]:
        offers: dict[int, list[Piece]] = {}
        for piece in self._sources(key):
            offers.setdefault(piece.change.rev, []).append(piece)
        if self._witness is not None:
            last = max([*offers, self._core_heads.get(key, EMPTY_HEAD).rev], default=0)
            for rev in range(1, last + 1):
                if not any(piece.whole for piece in offers.get(rev, ())):
                    for change in self._witness.changes(*key, rev, rev):
                        if (change.account, change.kind) == key and is_sound(change) and is_whole(change):
                            offers.setdefault(rev, []).append(Piece(UNARCHIVED, change, True, CORE))
        return offers

    def _sources(self, key: StreamKey) -> Iterator[Piece]:
        for reader in self._of(key):
            entry = reader.stream(*key)
            if entry is not None:
                source = generation_words(reader.generation.number)
                for frame, change in reader.changes_of(entry):
                    if is_sound(change):
                        yield self._completed(Piece(frame, change, is_whole(change), source))
        for piece in self._from_log[key]:
            if is_sound(piece.change):
                yield self._completed(piece)
        for piece in self._find.pieces(key):
            yield self._completed(piece)

    def _completed(self, piece: Piece) -> Piece:
        """With its body, where that is gone and the find has it."""
        change = piece.change
        if piece.whole or not change.digest or change.body is not None or change.blob is not None:
            return piece
        body = self._find.body_of(change.digest)
        if body is None:
            return piece
        whole = msgspec.structs.replace(change, body=body)
        return Piece(piece.frame, whole, is_sound(whole), piece.source)

    def _from_base(
        self, key: StreamKey, entry: StreamEntry | None, offers: dict[int, list[Piece]]
    ) -> tuple[Mended, list[Piece]]:
        """The stream from this entry's base on, from its first change where it is None; and what was passed over."""
        pieces: list[Piece] = []
        base: Base | None = None
        short = 0
        if entry is not None and entry.base.rev:
            base = Base(entry.base.timeline, entry.base.rev, entry.base.head, entry.base.root, self._at(entry))
            pieces, short = self._below(entry, offers)
        before = EMPTY_HEAD if base is None else Head(base.rev, base.head)
        found = join(before, 0 if base is None else base.timeline, offers)
        end = Head(found.pieces[-1].change.rev, found.pieces[-1].change.hash) if found.pieces else before
        off = {piece.change.hash for piece in found.passed}
        stated = [head for head in self._stated(key, found.pieces) if head.hash not in off]
        head = max([end, *stated], key=lambda h: h.rev)
        return Mended(key, base, [*pieces, *_archived(found.pieces)], head, short), found.passed

    def _stated(self, key: StreamKey, pieces: Sequence[Piece]) -> Iterator[Head]:
        """How far anybody says that the stream went. Where a loss was accepted, what says more may be from before."""
        for reader in self._of(key):
            entry = reader.stream(*key)
            if entry is not None:
                yield entry.head
        if key in self._sealed:
            yield self._sealed[key]
        if key in self._core_heads:
            yield self._core_heads[key]
        accepted = [piece.change for piece in pieces if piece.change.op is Op.GAP]
        yield from self._find.heads(key, since=accepted[-1] if accepted else None)

    def _at(self, entry: StreamEntry) -> int:
        return self._reader_of(entry).generation.manifest.at

    def _reader_of(self, entry: StreamEntry) -> GenerationReader:
        return next(r for r in self._readers if any(part.object in r.objects for part in entry.parts))

    def _below(self, entry: StreamEntry, offers: dict[int, list[Piece]]) -> tuple[list[Piece], int]:
        """What stands for the history before the base, whole where any source has it so; how much is missing."""
        found: list[Piece] = []
        stream = entry.parts[0].stream
        expected = stream.changes - (stream.rev - stream.base.rev)
        reader = self._reader_of(entry)
        source = generation_words(reader.generation.number)
        for frame, change in reader.changes_of(entry):
            if change.rev > stream.base.rev:
                break
            if not is_sound(change):
                continue
            piece = self._completed(Piece(frame, change, is_whole(change), source))
            same = [p for p in offers.get(change.rev, ()) if p.whole and p.change.hash == change.hash]
            found.append(same[0]._replace(frame=frame) if same and not piece.whole else piece)
        return found, max(0, expected - len(found))

    def _tell(self, key: StreamKey, passed: Sequence[Piece]) -> None:
        """Note a history that was passed over: by what it comes from, once."""
        by_source: dict[str, list[Change]] = {}
        seen: set[bytes] = set()
        for piece in passed:
            if piece.change.hash not in seen:
                seen.add(piece.change.hash)
                by_source.setdefault(piece.source, []).append(piece.change)
        for source, changes in by_source.items():
            first = changes[0]
            self.others.append(Other(key, first.rev, len(changes), first.timeline, source))


def _archived(pieces: Sequence[Piece]) -> list[Piece]:
    """Frames for what no vault has: what comes before something archived is not archived again, for who reads the log
    could not put it there; what comes after all that is, the next writer archives.
    """
    found: list[Piece] = []
    frame = UNARCHIVED
    for piece in reversed(pieces):
        frame = piece.frame if piece.frame != UNARCHIVED else frame
        found.append(piece._replace(frame=frame))
    return found[::-1]


def _without_accepted(offers: dict[int, list[Piece]]) -> dict[int, list[Piece]]:
    """Without what the vaults lack of revs whose loss is on record."""
    gaps = [
        Gap(gap.first, min(gap.last, rev - 1))
        for rev, pieces in offers.items()
        for piece in pieces
        if piece.change.op is Op.GAP
        for gap in gaps_in(parse_props(piece.change.props).get("missing", ""))
    ]
    if not gaps:
        return offers
    return {
        rev: pieces if not any(g.first <= rev <= g.last for g in gaps) else [p for p in pieces if p.frame != UNARCHIVED]
        for rev, pieces in offers.items()
    }


def gaps_in(words: str) -> list[Gap]:
    """The revisions that somebody accepted as lost, out of the words of `build.gap_words`."""
    found = _REVISIONS.search(words)
    spans = [part.strip().split("–") for part in found[1].split(",")] if found else []
    return [Gap(int(span[0]), int(span[-1])) for span in spans if all(map(str.isdigit, span))]


def _is_based(entry: StreamEntry) -> bool:
    """Whether something stands for what is before its base; else that is only where a lost part of it ended."""
    return not entry.base.rev or bool(entry.base.root)


def _missing(mended: Mended) -> int:
    there = sum(piece.whole for piece in mended.pieces)
    base = 0 if mended.base is None else mended.base.rev
    below = sum(p.change.rev <= base for p in mended.pieces)
    return mended.head.rev - base + below - there
