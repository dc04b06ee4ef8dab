"""Copies log, blobs, runs and evidence, byte for byte and in order, from a sync vault to one async vault.

Where it stands follows from the two vaults alone: an object that is shorter in the target is continued. It is looked
up once, at the first step that reaches both; from then on the writer's notes say what is new.

What is counted as shipped is synced in the target. The last append before this process began may never have been: it is
synced once more (the process before may have been killed between write and sync) and compared with the source (a power
loss may have kept any part of it, with a hole before its end). A difference is told and stays counted as lag, since
nothing here can overwrite it. After a failed sync nothing counts any more: the bytes can be read there and may still be
gone tomorrow. Blobs go before frames, so no frame in the target
mentions a blob that it lacks, unless the source lacks it too.

Run objects and evidence are shipped while the log has nothing to ship, in the order of their names: a manifest comes
after its run objects. What is older than the oldest generation and evidence of the target was retained away there.

What the target had and has lost meanwhile is shipped like the rest, and told (shipped.py).

`live`: a writer appends to the source meanwhile. Then the end of its newest segment is shipped only as far as the
notes say that it is synced; else a frame could survive in the target that the source lost.

Long, as each step goes on from what the one before has synced, compared and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from safehold.archiver.log import Written
from safehold.archiver.shipped import Book, Excused, Memory
from safehold.formats import blob, evidence, generation, run, segment
from safehold.formats.frame import HEADER_BYTES as FRAME_HEADER
from safehold.formats.frame import parse_header
from safehold.model.errors import SafeholdError
from safehold.ports.vault import Vault, VaultSuspect, VaultUnanswered
from safehold.ports.world import Clock
from safehold.vault.segments import Beginning, Copy, begins, load_copy, timelines

CHUNK_BYTES = 1024 * 1024
#: Of an object that is put: each piece may be a request, which costs the same however long it is.
_PUT_BYTES = 4 * 1024 * 1024
_MICROSECONDS = 1_000_000
_BACKOFF_SECONDS = (1.0, 60.0)
#: An append is no longer than a chunk, and each is synced before the next: what is before was synced.
_COMPARED_BYTES = CHUNK_BYTES
_BLOB_FOLDERS = 256
OBJECT_PREFIXES = (run.RUNS_PREFIX, evidence.EVIDENCE_PREFIX)

T = TypeVar("T")


class Piece(NamedTuple):
    """The part of an object up to `end`, still to be shipped, or on its way."""

    object: str
    end: int
    changes: int
    since: float  # monotonic seconds: when the oldest of it was written
    open: bool = False  # of a live source's newest segment, found by looking: wait for a note
    found: bool = False  # by looking: nobody has vouched that the source has synced it


class _Shrunk(SafeholdError):
    """What was found in the source is not there any more: it had not synced it, and lost its power."""


class Shipper:
    """A Worker. The vault instances are its own. Wake it (Scheduler.wake) after `note` and `note_blob`."""

    def __init__(
        self,
        source: Vault,
        target: Vault,
        clock: Clock,
        *,
        live: bool = False,
        gather_seconds: float = 0.0,
        gather_bytes: int = 0,
        book: Book | None = None,
        excuses: Callable[[], Excused] | None = None,
    ) -> None:
        """`gather_seconds`: what is written within so short a time of the last append travels together, but no more of
        it than `gather_bytes` waits, unless that is 0.

        `book`: where it keeps what the target has; `excuses` says what a keeper removed there on record.
        """
        self._gather_seconds = gather_seconds
        self._gather_bytes = gather_bytes
        self._appended_at = -gather_seconds
        #: Whether no step comes before the next `wake`. Read it after a note: who then sees True must wake.
        self.asleep = False
        self._source = source
        self._target = target
        self._clock = clock
        self._live = live
        self._notes: deque[Piece] = deque()  # appended to by the writer's thread
        self._backlog: tuple[Piece, ...] = ()  # replaced as a whole, by the shipper's thread
        self._blob_notes: deque[str] = deque()
        self._blobs: dict[str, None] = {}
        self._blob_folder = 0  # of 256: how far the blobs of both were compared
        self._blob_folders: frozenset[str] = frozenset()  # those of them that are there in either
        self._object_notes: deque[str] = deque()
        self._objects: dict[str, None] = {}  # runs and evidence to be shipped
        self._objects_compared = False
        self._looked = False
        self._newest = 0  # timeline up to which the source was looked at
        self._noted = ("", 0)  # the latest note: object and end
        self._at: tuple[str, int] | None = None  # the object being shipped, and its length in the target
        self._backoff = _BACKOFF_SECONDS[0]
        self._trouble: str | None = None
        self._dead = False
        self._differences: dict[str, None] = {}
        self._memory = Memory(source.name, target.name, book, excuses)

    @property
    def name(self) -> str:
        return f"ship to {self._target.name}"

    @property
    def target(self) -> str:
        """The name of the vault that it ships to."""
        return self._target.name

    # -- from other threads

    def note(self, written: Written) -> None:
        """The writer's word that an object is synced up to a length. Safe from any thread."""
        since = self._clock.monotonic() - max(0.0, (self._clock.now() - written.at) / _MICROSECONDS)
        self._blob_notes.extend(written.blobs)  # before the frame that names them
        self._notes.append(Piece(written.object, written.size, written.changes, since))
        self._noted = max(self._noted, (written.object, written.size))

    def note_blob(self, name: str, size: int = 0, digest: bytes = b"") -> None:
        """A blob object that is new in the source. Safe from any thread."""
        del size, digest
        self._blob_notes.append(name)

    def note_object(self, name: str) -> None:
        """A run object, manifest or evidence that is new in the source. Safe from any thread."""
        self._object_notes.append(name)

    @property
    def compared(self) -> bool:
        """Whether the two have been compared: from then on its figures are counted, before each is a look at both."""
        return self._looked

    @property
    def unarchived_changes(self) -> int:
        """Changes that are not known to be synced in the target.

        Before the two were compared, all that the target does not have in full, or may not have synced.
        """
        if not self._looked:
            return sum(piece.changes for piece in self._look(certain=False))
        return sum(piece.changes for piece in self._waiting())

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest frame that is not known to be synced in the target; 0 where there is none."""
        waiting = self._waiting() if self._looked else [*self._look(certain=False)]
        oldest = min((piece.since for piece in waiting), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest)

    @property
    def caught_up(self) -> bool:
        """Whether all of the log that was noted so far is synced in the target."""
        return self._looked and not self._waiting()

    @property
    def level(self) -> bool:
        """Whether the target has all that the source is known to have, synced."""
        nothing_waits = not self._waiting() and not self.pending_blobs()
        return self._looked and nothing_waits and self._blob_folder == _BLOB_FOLDERS and self._objects_compared

    @property
    def trouble(self) -> str | None:
        """Why it does not get on, in plain words; None while it does."""
        return self._trouble

    def pending_blobs(self) -> list[str]:
        """Blobs, runs and evidence that the target is known to lack."""
        return [*self._blobs, *_frozen(self._blob_notes), *self._objects, *_frozen(self._object_notes)]

    def differences(self) -> list[str]:
        """Objects that are longer in the target than in the source, or not the same: left as they are."""
        return list(self._differences)

    def missed(self) -> list[str]:
        """What the target had, and had lost when it was compared; each in words."""
        return self._memory.missed()

    # -- the work

    def step(self) -> float | None:
        self.asleep = False
        if self._dead:
            return None
        try:
            pause = self._work()
        except (VaultUnanswered, _Shrunk) as error:  # and no failed sync here: look again at all that is there
            self._looked, self._blob_folder, self._at = False, 0, None
            return self._back_off(error)
        except VaultSuspect as error:
            self._dead = True
            self._trouble = f"{error.message}; nothing more is shipped there until the service starts again"
            return None
        except (SafeholdError, KeyError) as error:
            self._at = None
            return self._back_off(error)
        self._trouble = None
        self._backoff = _BACKOFF_SECONDS[0]
        self.asleep = pause is None
        if self.asleep and self.level and self._memory.is_due(self._clock.monotonic()):
            self._remember()
        if self.asleep and (
            self._notes or self._blob_notes or self._object_notes
        ):  # it came while nobody was asleep yet
            self.asleep = False
            return 0.0
        return pause

    def _remember(self) -> None:
        with suppress(SafeholdError):  # else another time
            self._memory.note_level(*self._last_in_target(), self._clock.monotonic())

    def _back_off(self, error: Exception) -> float:
        self._trouble = str(error)
        pause, self._backoff = self._backoff, min(self._backoff * 2, _BACKOFF_SECONDS[1])
        return pause

    def end(self) -> None:
        """Take no further step: another one takes over. Safe from any thread."""
        self._dead = True

    def hurry(self) -> None:
        """Gather no more: ship at once. For an end."""
        self._gather_seconds = 0.0
        self._memory.hurry()

    def _work(self) -> float | None:
        """One bounded piece: compare, or a blob, or up to a megabyte of the log."""
        if not self._looked:
            self._begin()
            return 0.0
        self._fold_notes()
        if self._blobs:
            self._ship_blob()
            return 0.0
        if self._blob_folder < _BLOB_FOLDERS:
            self._compare_blobs()
            return 0.0
        pause = self._ship_log()
        return 0.0 if pause != 0.0 and self._ship_object() else pause

    def _ship_log(self) -> float | None:
        if not self._backlog:
            return None
        wait = self._appended_at + self._gather_seconds - self._clock.monotonic()
        if wait > 0 and len(self._backlog) == 1 and not self._is_batch(self._backlog[0]):
            return wait
        return 0.0 if self._ship_piece(self._backlog[0]) else None

    def _is_batch(self, piece: Piece) -> bool:
        """Whether enough of it waits to travel before its time."""
        at = self._at
        have = at[1] if at is not None and at[0] == piece.object else 0
        return 0 < self._gather_bytes <= piece.end - have

    def _ship_object(self) -> bool:
        """Compare, or ship one object; False where there is nothing to do."""
        if not self._objects_compared:
            self._compare_objects()
            return True
        while self._object_notes:
            self._objects[self._object_notes[0]] = None
            self._object_notes.popleft()
        name = next(iter(self._objects), None)
        if name is None:
            return False
        size = self._source.size(name)
        if size is not None and self._target.size(name) is None:
            self._target.put(name, self._chunks(name, size))
        self._memory.note_object(name)
        del self._objects[name]
        return True

    def _compare_objects(self) -> None:
        for prefix in OBJECT_PREFIXES:
            have = {info.name: info.size for info in self._target.list(prefix)}
            if have:  # as with blobs
                self._target.put(max(have), ())
            oldest = min(have, default="")
            if prefix == run.RUNS_PREFIX:
                oldest = oldest.rpartition("/")[0]
            missing = []
            for info in self._source.list(prefix):
                if not _is_object(info.name):
                    self._differ(f"{info.name} in {self._source.name} is no object of a vault: it is not shipped")
                elif info.name not in have and info.name >= oldest:
                    missing.append(info.name)
                elif have.get(info.name, info.size) != info.size:
                    self._differ(f"{info.name} is not as long in {self._target.name} as in {self._source.name}")
            if prefix == run.RUNS_PREFIX:
                self._memory.runs_lack(have, missing)
            self._objects.update(dict.fromkeys(missing))
        self._objects_compared = True

    def _begin(self) -> None:
        """Compare the logs. Notes from before are covered by what is found."""
        if not self._target.available():
            self._target.size("FORMAT")  # says what is wrong, in the vault's own words
        covered = len(self._notes)
        newest = max(timelines([self._source]), default=0)
        backlog = tuple(self._look())
        self._memory.log_lacks((piece.object, self._target.size(piece.object) or 0) for piece in backlog)
        self._sync_last()
        self._backlog = backlog
        self._newest = newest
        self._looked = True
        for _ in range(covered):
            self._notes.popleft()

    def _look(self, *, certain: bool = True) -> Iterator[Piece]:
        """What the target lacks of the log, with the changes in it: from both listings and the source's frames.

        A target that cannot be reached counts as empty: what it has is not known. What was appended last there counts
        as lacking too, unless it is `certain` to be synced.
        """
        there = self._target.available()
        last = self._last_in_target()[0] if there else ""
        newest = max(timelines([self._source]), default=0)
        own = begins(self._target) if there else Beginning(None)
        source_begins = str(begins(self._source).first or "")
        opened = _openings(self._source)
        for timeline in timelines([self._source]):
            prefix = segment.timeline_prefix(timeline)
            have = {info.name: info.size for info in self._target.list(prefix)} if there else {}
            held = [info for info in self._source.list(prefix) if segment.parse_name(info.name)]
            for info, later in zip_longest(held, held[1:]):
                shipped = have.get(info.name, 0)
                name = segment.parse_name(info.name)
                assert name is not None
                if own.is_retained(name) or (info.name < source_begins and shipped >= info.size):
                    continue  # retained away in one of the two, or in both
                if shipped > info.size:
                    self._differ(f"{info.name} is longer in {self._target.name} than in {self._source.name}")
                    continue
                if info.name == last:
                    shipped = self._same_until(info.name, shipped) if certain else max(0, shipped - CHUNK_BYTES)
                if shipped < info.size:
                    open_ = self._live and timeline == newest and later is None
                    void_from = opened.get(timeline)
                    piece = self._piece(
                        info.name, shipped, info.size, later.name if later else "", open_=open_, void_from=void_from
                    )
                    if piece.end > shipped:
                        yield piece

    def _piece(self, object_: str, shipped: int, size: int, later: str, *, open_: bool, void_from: int | None) -> Piece:
        """What is left of a segment, without frames that the one after it made void and does not repeat: given up ones.

        And without those from number `void_from` on, before which a later timeline continues: an append that got no
        answer may come to the source after the next writer has read its end. A vault that is served takes them, and
        then does not let them be made void.
        """
        name, following = segment.parse_name(object_), segment.parse_name(later)
        assert name is not None
        copy = Copy(self._source.name, name, self._source.get(object_, 0, size))
        if following is not None and not copy.closed:
            beyond = {number: frame for number, frame in copy.frames.items() if number >= following.first}
            again = load_copy(self._source, following).frames if beyond else {}
            void = [f.offset for number, f in beyond.items() if number not in again or again[number].data != f.data]
            size = min([size, *void])
        if void_from is not None:
            size = min([size, *(frame.offset for number, frame in copy.frames.items() if number >= void_from)])
        headers = [f.header for f in copy.frames.values() if f.offset + len(f.data) > shipped]
        now, wall = self._clock.monotonic(), self._clock.now()
        since = min((now - max(0.0, (wall - h.at) / _MICROSECONDS) for h in headers), default=now)
        return Piece(object_, size, sum(h.changes for h in headers), since, open_ and not copy.closed, found=True)

    def _last_in_target(self) -> tuple[str, int]:
        """The last object that a shipper appended to in the target, and its size there; ("", 0) where there is none.

        Later timelines may have the header of their first segment, which the claim put there.
        """
        for timeline in reversed(timelines([self._target])):
            held = self._target.list(segment.timeline_prefix(timeline))
            appended = [info for info in held if info.size > segment.HEADER_BYTES]
            if appended:
                return appended[-1].name, appended[-1].size
        return "", 0

    def _sync_last(self) -> None:
        """Sync once more what a shipper that was killed between write and sync may have appended."""
        object_, size = self._last_in_target()
        if object_:
            self._target.append(object_, size, b"")

    def _same_until(self, object_: str, have: int) -> int:
        """Up to where an object in the target is the source's. Only its end is compared."""
        start = max(0, have - _COMPARED_BYTES)
        ours, theirs = (vault.get(object_, start, have - start) for vault in (self._source, self._target))
        if ours == theirs:
            return have
        self._differ(f"{object_} is not the same in {self._target.name} and {self._source.name}")
        return start + next(i for i, pair in enumerate(zip_longest(ours, theirs)) if pair[0] != pair[1])

    def _fold_notes(self) -> None:
        """Move the notes into the backlog, those of one object into one piece."""
        count = len(self._notes)  # looked at first: the blobs of so many are noted already
        while self._blob_notes:
            self._blobs[self._blob_notes[0]] = None
            self._blob_notes.popleft()
        if not count:
            return
        notes = [self._notes[i] for i in range(count)]
        newest = max(name.timeline for note in notes if (name := segment.parse_name(note.object)))
        left_open = self._left_open(newest) if newest > self._newest else ()
        self._backlog = tuple(_joined([*self._backlog, *left_open, *notes]))
        self._newest = max(self._newest, newest)
        for _ in range(count):
            self._notes.popleft()

    def _left_open(self, newest: int) -> Iterator[Piece]:
        """What a writer left without a note at the end of its last segment: settled, now that another began."""
        opened = _openings(self._source)
        for timeline in timelines([self._source]):
            if not self._newest <= timeline < newest:
                continue
            known: dict[str, int] = {}
            for piece in self._backlog:
                known[piece.object] = max(piece.end, known.get(piece.object, 0))
            held = list(self._source.list(segment.timeline_prefix(timeline)))
            for info, later in zip_longest(held, held[1:]):
                shipped = max(known.get(info.name, 0), self._target.size(info.name) or 0)
                if info.size > shipped:
                    void_from = opened.get(timeline)
                    piece = self._piece(
                        info.name, shipped, info.size, later.name if later else "", open_=False, void_from=void_from
                    )
                    if piece.end > shipped:
                        yield Piece(info.name, piece.end, 0, self._clock.monotonic(), found=True)

    def _settled(self, piece: Piece) -> int:
        """Up to where a piece may be shipped now."""
        object_, end = self._noted
        if not piece.open or piece.object < object_:
            return piece.end
        return min(end, piece.end) if piece.object == object_ else 0

    def _ship_piece(self, piece: Piece) -> bool:
        """Up to a megabyte of the first piece, or a closed segment; False where it has to wait for a note."""
        settled = self._settled(piece)
        if self._at is None or self._at[0] != piece.object:
            if settled == piece.end and self._put_whole(piece):
                self._backlog = self._backlog[1:]
                return True
            self._at = (piece.object, self._continue(piece.object))
        have = self._at[1]
        if have < settled:
            data = self._source_has(piece, have, min(CHUNK_BYTES, settled - have))
            self._target.append(piece.object, have, data)
            self._at = (piece.object, have + len(data))
            self._appended_at = self._clock.monotonic() if len(data) < CHUNK_BYTES else -self._gather_seconds
        if self._at[1] >= piece.end:
            self._backlog = self._backlog[1:]
            return True
        return have < settled

    def _source_has(self, piece: Piece, offset: int, count: int) -> bytes:
        """Some bytes of a piece. Raises SafeholdError where the source has none there any more."""
        with suppress(KeyError):
            if data := self._source.get(piece.object, offset, count):
                return data
        kind = _Shrunk if piece.found else SafeholdError
        raise kind(f"{piece.object} is shorter in {self._source.name} than was written")

    def _put_whole(self, piece: Piece) -> bool:
        """Ship a closed segment of which the target has nothing; False where it is another sort.

        All or nothing: a segment that repeats frames of the one before it makes these void by its mere name, so it may
        not be there in part.
        """
        end = self._source_has(piece, max(0, piece.end - segment.HEADER_BYTES), 2 * segment.HEADER_BYTES)
        if segment.parse_segment_footer(end) is None or len(end) > segment.HEADER_BYTES:
            return False
        if self._target.size(piece.object) is not None:
            return False
        return self._target.put(piece.object, self._chunks(piece.object, piece.end))

    def _continue(self, object_: str) -> int:
        """The length of an object in the target, synced, and the same as the source's there."""
        have = self._target.size(object_) or 0
        if have:
            if self._same_until(object_, have) < have:
                raise SafeholdError(
                    f"{object_} is not the same in {self._target.name} and {self._source.name}",
                    hint=f"run `safehold vault repair {self._target.name}`",
                )
            self._target.append(object_, have, b"")
        return have

    def _ship_blob(self) -> None:
        name = next(iter(self._blobs))
        size = self._source.size(name)
        if size is None:
            self._differ(f"{name} is missing in {self._source.name}")
        elif self._target.size(name) is None:
            self._target.put(name, self._chunks(name, size))
        self._memory.note_blob(name)
        del self._blobs[name]

    def _chunks(self, name: str, size: int) -> Iterator[bytes]:
        for offset in range(0, size, _PUT_BYTES):
            yield self._source.get(name, offset, min(_PUT_BYTES, size - offset))

    def _compare_blobs(self) -> None:
        """The next folder that is there: most vaults have few, and each costs a request where one is far away."""
        if not self._blob_folder:
            vaults = (self._source, self._target)
            self._blob_folders = frozenset(name for vault in vaults for name in vault.folders(blob.BLOB_PREFIX))
        while f"{self._blob_folder:02x}" not in self._blob_folders:
            self._blob_folder += 1
            if self._blob_folder == _BLOB_FOLDERS:
                return
        prefix = f"{blob.BLOB_PREFIX}{self._blob_folder:02x}/"
        have = {info.name for info in self._target.list(prefix)}
        if have:  # of the last one put the name may not be on disk; this makes sure of all in the folder
            self._target.put(min(have), ())
        held = [info.name for info in self._source.list(prefix)]
        missing = [name for name in held if name not in have and blob.parse_object(name) is not None]
        self._memory.blobs_lack(have, missing)
        self._blobs.update(dict.fromkeys(missing))
        self._blob_folder += 1

    def _waiting(self) -> list[Piece]:
        """Everything not known to be shipped. The notes are read first: a piece moves from them to the backlog."""
        return [*_frozen(self._notes), *self._backlog]

    def _differ(self, text: str) -> None:
        self._differences[text] = None


def _openings(vault: Vault) -> dict[int, int]:
    """By timeline: the number of the claim frame of the next one that was written to. From there on it is void."""
    found: dict[int, int] = {}
    opened: int | None = None
    for timeline in reversed(timelines([vault])):
        if opened is not None:
            found[timeline] = opened
        with suppress(KeyError):
            head = parse_header(vault.get(segment.claim_object(timeline), segment.HEADER_BYTES, FRAME_HEADER))
            if head is not None and head.timeline == timeline:
                opened = head.opened
    return found


def _is_object(name: str) -> bool:
    """Whether a run, a manifest or evidence may bear this name; anything else in their folders is a stray."""
    known = run.parse_run_name(name), generation.parse_manifest_name(name), evidence.parse_evidence_name(name)
    return any(each is not None for each in known)


def _frozen(notes: deque[T]) -> list[T]:
    """A copy of what another thread appends to meanwhile."""
    while True:
        try:
            return list(notes)
        except RuntimeError:  # it grew while it was copied
            continue


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours of one object as one piece, in the order of the log."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last.object == piece.object and not last.open:
            found = max(last, piece, key=lambda each: each.end).found
            changes, since = last.changes + piece.changes, min(last.since, piece.since)
            joined[-1] = Piece(piece.object, max(last.end, piece.end), changes, since, found=found)
        else:
            joined.append(piece)
    return joined
