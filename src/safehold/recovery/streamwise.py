"""One stream at a time, whole, out of a generation and the log after it: verified, and made rows of.

A stream of which nothing is missing or wrong is *settled*, as portions.py does it; the log after the generation is its
second leg. Any other one is *followed* by a replay of its own, as Build has one of all streams: mended from older
generations, the log and an old core where the generation has it damaged, and held with the words of what it lacks.

Rows are numbered as they are read: the core moves them to where its journal is (`CoreStore.enter_together`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from safehold.formats.run import partition_of
from safehold.model.change import Change
from safehold.model.stream import Base, Head
from safehold.ports.core import UNARCHIVED, CoreReads, StreamMaker
from safehold.recovery.build import missing_words
from safehold.recovery.chains import StreamKey
from safehold.recovery.mending import Mended, Mender
from safehold.recovery.origin import Origin, feed, finish, ignore
from safehold.recovery.portions import Leg, Settled, settle_stream
from safehold.recovery.replay import Entered, Replay, Witness, erased_id
from safehold.recovery.report import KindCount
from safehold.recovery.selection import SYSTEM
from safehold.recovery.tail import Tail
from safehold.recovery.tally import Tally, Unsure, make_tally, unsure_of
from safehold.recovery.verify import BlobItem, Meant, compare_settled, compare_stream
from safehold.vault.runs import StreamEntry, stream_order

#: Makes the maker of a stream's rows, once its base is known.
Make = Callable[[Base | None], StreamMaker]


class Ready(NamedTuple):
    """A stream on its way into the core. `words` say what it lacks, "" where it is whole.

    `rows` are empty where nothing of it is there, or its maker put them in; they are numbered from `first`. `meant` is
    what the core must have of it then, where that can be said of many streams at once; else `compare` tells.
    """

    key: StreamKey
    rows: bytes
    first: int
    head: Head
    changes: int
    body_bytes: int
    inline_bytes: int
    words: str
    refused: int
    problems: Sequence[str]
    tally: Tally
    unsure: Unsure
    meant: Meant | None
    compare: Callable[[CoreReads, Callable[[BlobItem], None]], Sequence[str]]

    @property
    def is_whole(self) -> bool:
        return not self.words and not self.refused


class Streamwise:
    """Prepares streams out of one origin. For one thread at a time."""

    def __init__(self, origin: Origin, tail: Tail, witness: Witness | None, name_of: Callable[[bytes], str]) -> None:
        self._origin = origin
        self._tail = tail
        self._witness = witness
        self._name_of = name_of
        self._mender: Mender | None = None
        self._mended: set[StreamKey] = set()  # that the mender was made for
        self._doubtful = origin.doubtful()
        #: Accounts that the installation's identity says were erased.
        self.erased: set[bytes] = set()

    @property
    def has_witness(self) -> bool:
        return self._witness is not None

    def use_witness(self, witness: Witness | None) -> None:
        """From now on this one is asked for what no vault has."""
        self._witness = witness
        self._mender, self._mended = None, set()

    def survey(self) -> tuple[Sequence[StreamKey], bool]:
        """Where directories are lost in every vault: the streams there, and whether none can have escaped.

        Reads older generations, and the log as far as it goes back. To be called before anything is prepared.
        """
        if not self._doubtful:
            return (), True
        self._mended = set(self._origin.unheard_of())
        self._make_mender()
        assert self._mender is not None
        return self._mender.keys, self._mender.knows_all(self._doubtful)

    def stands_alone(self, key: StreamKey) -> bool:
        """Whether the generation has all of this stream that there is, as far as it tells.

        A seal that states the very head that the generation ends it with changes nothing.
        """
        events = self._tail.events(key)
        if events:
            entry = self._origin.entry(key)
            head = None if entry is None else entry.head
            if any(event != head for event in events):
                return False
        return not self._is_doubtful(key)

    def stated(self, key: StreamKey) -> Head | None:
        """The head that an older generation states, which must be on the stream."""
        return self._origin.stated.get(key)

    def settled(self, key: StreamKey, entry: StreamEntry | None, make: Make) -> Ready | None:
        """A stream that is whole; None where it has to be followed."""
        legs, base = self._legs(key, entry)
        if not legs or self._is_doubtful(key):
            return None
        maker = make(base)
        first = maker.next_journal
        found = settle_stream(legs, base, maker, self._seen(key))
        return None if found is None else self.ready(key, found, first)

    def _legs(self, key: StreamKey, entry: StreamEntry | None) -> tuple[list[Leg], Base | None]:
        legs: list[Leg] = []
        base = None
        if entry is not None:
            base = self._origin.base_of(entry)
            legs.append(Leg(self._watched(key, self._origin.changes_of(entry)), entry.head, entry.root))
        after = self._tail.changes(key)
        if after:
            last = after[-1][1]
            legs.append(Leg(self._watched(key, after), Head(last.rev, last.hash), b""))
        return legs, base

    def _seen(self, key: StreamKey) -> dict[int, bytes]:
        seen = {head.rev: head.hash for head in self._tail.heads(key)}
        stated = self.stated(key)
        if stated is not None:
            seen[stated.rev] = stated.hash
        return seen

    def ready(self, key: StreamKey, settled: Settled, first: int) -> Ready:
        """A stream that was settled here or elsewhere, its rows numbered from there."""
        items = {key[1]: KindCount(settled.state.live, settled.state.live, 0, 0)}
        tally = Tally(0, 1, settled.changes, settled.changes, items, [])
        meant = Meant(key, self._name_of(key[0]), settled.head, settled.changes, settled.state)
        return Ready(
            key,
            settled.rows,
            first,
            settled.head,
            settled.changes,
            settled.body_bytes,
            settled.inline_bytes,
            "",
            0,
            (),
            tally,
            Unsure(),
            None if settled.state.blobs else meant,
            lambda core, on_blob: compare_settled(core, meant, on_blob),
        )

    # -- streams of which something is missing

    def needs_mender(self, key: StreamKey, entry: StreamEntry | None) -> bool:
        """Whether the generation has it damaged, so that all that is left of it must be looked through."""
        if self._is_doubtful(key):
            return True
        if entry is None:
            return key in self._origin.stated
        log = Replay(witness=self._witness)
        feed(log, key, self._origin.base_of(entry), self._origin.pieces(entry), ignore)
        finish(log, entry)
        return not log.chains.whole(key) or self._origin.behind(entry)

    def use_origin(self, origin: Origin) -> None:
        """The same one, read anew."""
        self._origin = origin
        self._mender, self._mended = None, set()

    def prepare_mender(self, keys: Iterable[StreamKey]) -> None:
        """For the first of these streams, and at once for all others that need it.

        It reads older generations, and the log as far as that goes back.
        """
        first, *others = keys
        if self._mender is None or first not in self._mended:
            self._mended.add(first)
            self._mended.update(key for key in others if self.needs_mender(key, self._origin.entry(key)))
            self._make_mender()

    def _make_mender(self) -> None:
        self._mender = self._origin.mender(sorted(self._mended, key=stream_order), self._witness)
        self._mended.update(self._mender.keys)

    def _is_doubtful(self, key: StreamKey) -> bool:
        return bool(self._doubtful) and partition_of(key[0]) in self._doubtful

    def followed(self, key: StreamKey, entry: StreamEntry | None, make: Make, *, late: bool = False) -> Ready:
        """A stream as far as it can be had; mended where `prepare_mender` was called for it.

        With `late` also what only the witness has of its end, which is in no vault until it has been archived.
        """
        log = Replay(witness=self._witness)
        mended = self._mender.stream(key) if self._mender is not None and key in self._mended else None
        base = mended.base if mended is not None else None if entry is None else self._origin.base_of(entry)
        maker = make(base)
        first = maker.next_journal

        def enter(frame: int, one: Entered) -> None:
            maker.add(one.change, frame, one.after_gap)
            self._watch(one.change)

        self._feed(log, key, entry, mended, enter)
        for one in log.finish(ask=late):
            enter(UNARCHIVED, one)
        return self._told(log, key, maker, first)

    def _feed(
        self,
        log: Replay,
        key: StreamKey,
        entry: StreamEntry | None,
        mended: Mended | None,
        enter: Callable[[int, Entered], None],
    ) -> None:
        if mended is not None:
            feed(log, key, mended.base, mended.pieces, enter)
            log.end(key, mended.head, mended.short)
        elif entry is not None:
            feed(log, key, self._origin.base_of(entry), self._origin.pieces(entry), enter)
            finish(log, entry)
        for event in self._tail.events(key):
            if isinstance(event, Head):
                log.seal({key: event})
                continue
            frame, change = event
            for one in log.feed(change):
                enter(frame, one)

    def _told(self, log: Replay, key: StreamKey, maker: StreamMaker, first: int) -> Ready:
        name, changes = self._name_of(key[0]), maker.next_journal - first
        log.names.setdefault(key[0], name)
        taken = log.taken.get(key)
        return Ready(
            key,
            maker.packed() if log.chains.head(key).rev else b"",
            first,
            log.chains.head(key),
            changes,
            0 if taken is None else taken.bytes,
            0 if taken is None else taken.inline,
            missing_words(log, key),
            log.chains.refused,
            log.chains.problems,
            make_tally(log, lambda *_: True, ()),
            unsure_of(log, key),
            None,
            lambda core, on_blob: compare_stream(core, log, key, on_blob) if key in log.chains.heads else (),
        )

    # -- identities

    def _watched(self, key: StreamKey, changes: Iterable[tuple[int, Change]]) -> Iterable[tuple[int, Change]]:
        return self._watching(changes) if key[0] == SYSTEM else changes

    def _watching(self, changes: Iterable[tuple[int, Change]]) -> Iterator[tuple[int, Change]]:
        for frame, change in changes:
            self._watch(change)
            yield frame, change

    def _watch(self, change: Change) -> None:
        gone = erased_id(change)
        if gone is not None:
            self.erased.add(gone)
