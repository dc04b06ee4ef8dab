"""Where a recovery begins to read: the newest generation that the log goes on from, else the log's first frame.

Where a keeper has attested generations, the newest of these (trust.py): the others are a writer's word alone.

A generation is read stream by stream, what comes after it frame by frame. A stream of it that is damaged in every vault
is put together from all that is left (mending.py): older generations, the log as far as it goes back, an old core.

Of one that no keeper has attested, every stream must bear the heads that the generation before it and the log's seals
state: who holds the writer's key can sign another history, but has not written those (`stated`). A stream of which
nothing states the very head is told: nobody vouches for it but who wrote the generation.

Where nothing is left of the log, nothing speaks for or against a generation: the newest that no keeper refused is all
that there is, and what came after it nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Base, Head
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole, LogFrame, LogReader
from safehold.recovery.chains import StreamKey
from safehold.recovery.find import Find
from safehold.recovery.joining import Joiner
from safehold.recovery.mending import Mender, Piece
from safehold.recovery.portions import InTurn, MakeRows, Settling, base_of
from safehold.recovery.replay import Entered, Replay, Witness
from safehold.recovery.trust import Verdicts, verdicts_of
from safehold.vault.log import NotOnTheLog
from safehold.vault.runs import Generation, GenerationReader, Runs, StreamEntry

#: A tail of the log up to so many bytes, as stored, is kept in memory rather than read twice.
KEPT_BYTES = 4 * 1024 * 1024
#: Told of each change that belongs into the core: the frame it is archived in, and whether revs before it are not here.
Enter = Callable[[int, Entered], None]


class Origin:
    """A generation to begin with, and those before it. `number` 0 and EMPTY_LOG where there is none."""

    def __init__(
        self,
        reader: LogReader,
        runs: Runs | None,
        *,
        number: int | None = None,
        older: int = 0,
        seals: bool = True,
    ) -> None:
        """`number` and `older` are the generations that a plan was made from, where one was.

        `seals` False: who has looked at a plan knows which streams are not what the log's seals state.
        """
        self._reader = reader
        self._runs = runs
        self._readers: list[GenerationReader] = []
        self._entries: list[StreamEntry] | None = None
        self._rest: Iterator[Generation] = iter(())
        #: The frame of the log that the generation covers last, where it can be read.
        self.last: LogFrame | None = None
        self._attested = False
        self._tail: list[LogFrame | Hole] | None = None
        self._tail_end: int | None = None
        self._confirmed: set[StreamKey] = set()  # that a seal of the tail ends as the generation does
        #: Heads that an older generation and seals state, which one that no keeper attested must know; and which
        #: generation that is.
        self.stated: dict[StreamKey, Head] = {}
        self.older = older
        #: Whether nothing is left of the log in any vault.
        self.log_is_gone = next(iter(reader.entries()), None) is None
        if runs is None or number == 0:
            return
        self._rest = self._begin(runs, number)
        if self._readers and (older or (number is None and not self._attested)):
            self._ask_older(runs)
        if self._readers and seals and not self._attested:
            self._ask_seals()

    def _begin(self, runs: Runs, number: int | None) -> Iterator[Generation]:
        """Choose the one to begin with, where there is one; those that come after it.

        One that a keeper refused is taken only where there is no other, and the log's beginning is gone too.
        """
        found = runs.generations()
        if number is not None:
            self._take(runs, (generation for generation in found if generation.number == number))
            return found
        verdicts = verdicts_of(runs.vaults, runs.opener)
        if self.log_is_gone:
            return self._begin_alone(runs, list(found), verdicts)
        passed: list[Generation] = []
        refused: list[Generation] = []
        for generation in found:
            verdict = generation.number, generation.digest.hex()
            if verdict in verdicts.attested and self._take(runs, iter((generation,))):
                self._attested = True
                return found
            (refused if verdict in verdicts.refused else passed).append(generation)
        rest = iter(passed)
        if not self._take(runs, rest) and refused and self._begins_late():
            rest = iter(refused)
            if self._take(runs, rest):
                runs.note(f"generation {self.number} is taken, though a keeper refused it: there is no other")
        return rest

    def _begin_alone(self, runs: Runs, found: Sequence[Generation], verdicts: Verdicts) -> Iterator[Generation]:
        """The newest, where there is no log: what it has beyond an attested one is nowhere else."""
        refused = [g for g in found if (g.number, g.digest.hex()) in verdicts.refused]
        rest = iter([g for g in found if g not in refused] or refused)
        if self._take(runs, rest):
            chosen = self._readers[0].generation
            self._attested = (chosen.number, chosen.digest.hex()) in verdicts.attested
            runs.note(f"nothing is left of the log: what came after generation {chosen.number} is not known")
            if chosen in refused:
                runs.note(f"generation {chosen.number} is taken, though a keeper refused it: there is no other")
        return rest

    def _begins_late(self) -> bool:
        """Whether the log's own beginning is gone: where it is not, the log has all that a generation has."""
        return not isinstance(next(iter(self._reader.entries()), None), LogFrame)

    def _take(self, runs: Runs, found: Iterator[Generation]) -> bool:
        """Begin with the first of these that is on the log."""
        for generation in found:
            if self._on_the_log(generation):
                self._readers.append(runs.reader(generation))
                return True
        return False

    def _ask_older(self, runs: Runs) -> None:
        """The heads of the generation before this one, which whoever wrote this one cannot have changed."""
        for generation in self._rest:
            if generation.number >= self.number or not self._on_the_log(generation):
                continue
            reader = runs.reader(generation)
            self._readers.append(reader)
            if self.older in (0, generation.number):
                self.older = generation.number
                self.stated = {entry.key: entry.head for entry in reader.streams()}
                return

    def _ask_seals(self) -> None:
        """The last word of the log's own seals on each stream, those included that the generation hides."""
        heard: set[StreamKey] = set()
        for frame, heads in self._reader.seals(self.position):
            later = frame >= self.older  # than what the generation before states
            for key, head in heads.items():
                if key not in heard and (later or key not in self.stated):
                    self.stated[key] = head
            heard.update(heads)

    def unwitnessed(self) -> list[StreamKey]:
        """Streams of which nothing but the generation itself says how they end."""
        if self._attested or not self._readers:
            return []
        told = self.touched() | self._confirmed
        return [
            entry.key for entry in self.streams() if entry.key not in told and self.stated.get(entry.key) != entry.head
        ]

    def unheard_of(self) -> list[StreamKey]:
        """Streams that an older generation has and this one has not; those of erased accounts may be among them."""
        there = {entry.key for entry in self.streams()} if self.stated else set()
        return [key for key in self.stated if key not in there]

    def behind(self, entry: StreamEntry) -> bool:
        """Whether an older generation has more of a stream than this one."""
        stated = self.stated.get(entry.key)
        return stated is not None and entry.head.rev < stated.rev

    def contradicted(self, key: StreamKey) -> bool:
        """Whether the generation has another history of this stream than an older one."""
        stated = self.stated.get(key)
        entry = self._readers[0].stream(*key)
        if stated is None or entry is None:
            return stated is not None
        if entry.head.rev < stated.rev:
            return True
        changes = self._readers[0].changes_of(entry, bodies=False)
        return any(change.rev == stated.rev and change.hash != stated.hash for _, change in changes)

    def _on_the_log(self, generation: Generation) -> bool:
        assert self._runs is not None
        position = generation.position
        if self.log_is_gone:
            return True
        try:
            self._reader.check(position)
            first = next(iter(self._reader.entries(_before(position))), None)
        except NotOnTheLog as error:
            self._runs.note(f"generation {generation.number} is left out: {error.message}")
            return False
        if isinstance(first, LogFrame) and first.position.frame == position.frame:
            if first.position != position:
                self._runs.note(f"generation {generation.number} is left out: it was made of another log")
                return False
            if not self._readers:
                self.last = first
        return True

    def tail(self) -> Iterator[LogFrame | Hole]:
        """What the log holds after the generation; all of it where there is none.

        Once `touched` was asked, what it saw and no more.
        """
        if self._tail is not None:
            yield from self._tail
            return
        for entry in self._after():
            if self._tail_end is not None and _last_of(entry) > self._tail_end:
                return
            yield entry

    def _after(self) -> Iterator[LogFrame | Hole]:
        return iter(()) if self.log_is_gone else self._reader.entries(self.position)

    def touched(self) -> frozenset[StreamKey]:
        """The streams that the log goes on with after the generation, whose end the generation does not tell.

        A seal that states the very head that the generation ends a stream with confirms it, and leaves it as it is.
        """
        found: set[StreamKey] = set()
        ends = {entry.key: entry.head for entry in self.streams()}
        kept: list[LogFrame | Hole] = []
        size = last = 0
        for entry in self._after():
            last = max(last, _last_of(entry))
            if isinstance(entry, LogFrame):
                size += entry.size
                found.update((change.account, change.kind) for change in entry.changes)
                for key, head in entry.heads.items():
                    (self._confirmed if ends.get(key) == head else found).add(key)
            if size <= KEPT_BYTES:
                kept.append(entry)
        self._tail, self._tail_end = (kept if size <= KEPT_BYTES else None), last
        return frozenset(found)

    @property
    def generation(self) -> Generation | None:
        return self._readers[0].generation if self._readers else None

    @property
    def number(self) -> int:
        return self._readers[0].generation.number if self._readers else 0

    @property
    def position(self) -> LogPosition:
        """After which the log is to be read."""
        return self._readers[0].generation.position if self._readers else EMPTY_LOG

    def readers(self) -> Sequence[GenerationReader]:
        """All generations on the log's branch, newest first."""
        if self._runs is not None:
            for generation in self._rest:
                if self._on_the_log(generation):
                    self._readers.append(self._runs.reader(generation))
        return self._readers

    def streams(self) -> Sequence[StreamEntry]:
        """Of the generation, in the order of kind and account. Put together once."""
        if self._entries is None:
            self._entries = list(self._readers[0].streams()) if self._readers else []
        return self._entries

    def has(self, key: StreamKey) -> bool:
        """Whether the generation names this stream."""
        return bool(self._readers) and self._readers[0].stream(*key) is not None

    def doubtful(self) -> frozenset[int]:
        """Partitions of which it is not known what the generation has: a directory is lost in every vault."""
        found: set[int] = set()
        for object_ in self._readers[0].objects if self._readers else ():
            if object_.doubtful:
                found.update(range(object_.entry.first_partition, object_.entry.last_partition + 1))
        return frozenset(found)

    def base_of(self, entry: StreamEntry) -> Base | None:
        return base_of(self._readers[0], entry)

    def settling(self, make_rows: MakeRows) -> Settling:
        """For who has no other processes."""
        return InTurn(self._readers[0], make_rows)

    def entry(self, key: StreamKey) -> StreamEntry | None:
        """A stream of the generation."""
        return self._readers[0].stream(*key) if self._readers else None

    def changes_of(self, entry: StreamEntry) -> Iterator[tuple[int, Change]]:
        """A stream as the generation has it, unverified: see GenerationReader."""
        return self._readers[0].changes_of(entry)

    def bodiless(self, key: StreamKey) -> Iterator[Change]:
        """A stream as the generation has it, unverified, without its bodies."""
        entry = self._readers[0].stream(*key)
        for _, change in self._readers[0].changes_of(entry, bodies=False) if entry is not None else ():
            yield change

    def pieces(self, entry: StreamEntry) -> Iterator[Piece]:
        """A stream as the generation has it. A change whose body is lost is not whole."""
        stated = self.stated.get(entry.key)
        for frame, change in self._readers[0].changes_of(entry):
            if stated is not None and change.rev == stated.rev and change.hash != stated.hash:
                return
            if not change.prev:  # what came before it is lost, and with it the means to check its hash
                continue
            yield Piece(frame, change, change.body is not None or change.blob is not None or not change.digest)

    def joiner(
        self, keys: Sequence[StreamKey], find: Find, witness: Witness | None, core_heads: Mapping[StreamKey, Head]
    ) -> Joiner:
        """For streams that a find has a part in. Reads the whole log."""
        distrusted = frozenset(key for key in keys if self.contradicted(key)) if self._readers else frozenset()
        log = None if self.log_is_gone else self._reader
        return Joiner(keys, self.readers(), log, find, witness, core_heads, distrusted)

    def mender(self, damaged: Sequence[StreamKey], witness: Witness | None) -> Mender:
        """For these streams. Reads the log as far as it goes back."""
        distrusted = frozenset(key for key in damaged if self.contradicted(key))
        return Mender(self.readers(), self._reader, self.position, damaged, distrusted, self.doubtful(), witness)


def divide(entries: Iterable[StreamEntry]) -> tuple[list[StreamEntry], list[StreamEntry]]:
    """Identities, and the rest."""
    parts: tuple[list[StreamEntry], list[StreamEntry]] = ([], [])
    for entry in entries:
        parts[entry.kind is not Kind.IDENTITY].append(entry)
    return parts


def _last_of(entry: LogFrame | Hole) -> int:
    return entry.last if isinstance(entry, Hole) else entry.position.frame


def _before(position: LogPosition) -> LogPosition:
    """The place before a frame, whatever its digest."""
    return LogPosition(position.timeline, position.frame - 1, b"")


def feed(log: Replay, key: StreamKey, base: Base | None, pieces: Iterable[Piece], enter: Enter) -> None:
    """Feed a stream's changes to a replay. `enter` is given those that belong into the core."""
    log.begin(key, EMPTY_HEAD if base is None else Head(base.rev, base.head))
    for frame, change, whole, _ in pieces:
        for one in log.feed(change) if whole else log.lose(change):
            enter(frame, one)


def finish(log: Replay, entry: StreamEntry) -> None:
    """After the last of a stream's changes: what a replay lacks of it is told from here on."""
    stream = entry.parts[0].stream
    expected = stream.changes - (stream.rev - stream.base.rev) if stream.base.rev else 0
    log.end(entry.key, entry.head, max(0, expected - log.chains.kept.get(entry.key, 0)))


def ignore(_frame: int, _entered: Entered) -> None:
    """An Enter for who builds no core."""
