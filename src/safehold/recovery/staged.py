"""Recovery into a core that serves, stream by stream.

    begin     a new timeline; the newest generation's directory, and the log after it; a core beside what is there, with
              every identity entered and verified and every other stream held with NOT_YET; then renamed into place
    knock     somebody asks for a stream: it comes next
    step      in the writer's turn: some streams enter, whole, and are released in the same transaction
    fetch     large bodies that live items need and that are not in the blobs folder, once all streams are in
    close     in the writer's turn: the record is removed, and the report given

A core of which `resume` says that a recovery is under way is a core like any other: who writes to it needs to know
nothing of all this but that held streams are held. Numbers in the journal are given in the writer's turn, so that what
enters and what is written meanwhile never collide: within a stream they ascend with its revs, which is all that readers
may rely on, and what is written after a stream's release comes after what entered.

Invariants (docs/invariants.md): nothing enters unverified (I24, I48), all verbatim (I25); the erased stay erased (I28);
a stream that is not in, or misses revs, is held (I12, I14); none is released that was not compared (I65); a kill
between any two writes leaves no core, or one that `resume` goes on with (I56); a step neither loses nor doubles what
was written beside it (I57).

Longer than most: what one recovery is, from its first moment to its report, is told where its invariants are; reading
ahead, single streams, the tail and the record have modules of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple, Self

from safehold.formats import doubt
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD, Base
from safehold.ports.blobs import Blobs
from safehold.ports.core import EMPTY_LOG, NOT_YET, CoreReads, CoreStore, JournalSum, LogPosition, WholeStream
from safehold.ports.disk import Disk
from safehold.ports.log import Hole, LogReader
from safehold.ports.vault import Vault, VaultDown
from safehold.ports.world import Clock
from safehold.recovery import staged_record as records
from safehold.recovery.ahead import Ahead, Direct, Long
from safehold.recovery.blobs import loss_of, restore
from safehold.recovery.chains import StreamKey
from safehold.recovery.mended_ends import mended_ends
from safehold.recovery.origin import Origin
from safehold.recovery.place import Memo, Place
from safehold.recovery.plan import check_sources
from safehold.recovery.portions import MakeRows
from safehold.recovery.replay import name_in
from safehold.recovery.report import Loss, Progress, Report, StreamCount, silent
from safehold.recovery.selection import SYSTEM, Selection
from safehold.recovery.shares import Helpers
from safehold.recovery.sources import look
from safehold.recovery.staged_record import Doubt, Record
from safehold.recovery.streamwise import Ready, Streamwise
from safehold.recovery.tail import Tail
from safehold.recovery.tally import BlobLoss, Unsure
from safehold.recovery.unknown import in_doubt, unknown_seconds, whole_at_end
from safehold.recovery.verify import BlobItem, compare_entered
from safehold.recovery.witness import CoreWitness
from safehold.vault.runs import Runs, items_of, stream_order

#: Changes that enter in one step, unless a single stream has more.
STEP_CHANGES = 500


class StreamState(StrEnum):
    """How far a stream is. SERVING: it is in; large bodies may still come from the vaults. PARTIAL: it is held."""

    LOST = "lost"
    QUEUED = "queued"
    SERVING = "serving"
    WHOLE = "whole"
    PARTIAL = "partial"


class KindProgress(NamedTuple):
    """One kind: expected and entered. Items that are expected are counted exactly once their stream has entered."""

    streams: int
    streams_entered: int
    changes: int
    changes_entered: int
    items: int
    items_entered: int


class StagedProgress(NamedTuple):
    """`stage` is the kind that is entered now, then "blobs", then "done". `forecast_seconds`: None before any pace."""

    stage: str
    kinds: dict[Kind, KindProgress]
    blobs: int  # looked at so far
    blob_bytes: int
    seconds: float  # since this process began or resumed
    forecast_seconds: float | None


class _Count:
    """Of one kind, as it grows."""

    __slots__ = ("changes", "changes_in", "items", "items_in", "streams", "streams_in")

    def __init__(self) -> None:
        self.streams = self.streams_in = self.changes = self.changes_in = self.items = self.items_in = 0


#: Opens the core in a folder to read; None where that cannot be done.
OpenOld = Callable[[str], CoreStore | None]
#: Gives readers that have read nothing yet, of all vaults that are there.
Again = Callable[[], tuple[LogReader, Runs | None]]
#: What always travels inline is never a blob: see ports/blobs.py.
KINDS_WITH_BLOBS = (Kind.NOTES, Kind.PHOTOS, Kind.SCORES)


def no_old_core(_folder: str) -> CoreStore | None:
    """An OpenOld for who has none."""
    return None


class Staged:
    """One recovery. Made by `begin` or `resume`. `knock`, `state` and `progress` may be called from any thread.

    `prepare` is for outside of the writer's turn, `step` and `close` for within it; `prepare` may run beside `step`.
    """

    def __init__(
        self,
        origin: Origin,
        tail: Tail,
        record: Record,
        clock: Clock,
        make_rows: MakeRows,
        old: CoreStore | None,
        helpers: Helpers | None,
        vaults: Sequence[Vault],
        again: Again | None,
    ) -> None:
        """Internal: see `begin` and `resume`."""
        self._origin = origin
        self._tail = tail
        self._record = record
        self._clock = clock
        self._old = old
        self._vaults = [vault for vault in vaults if _is_there(vault)]
        self._again = again
        self._streamwise = Streamwise(origin, tail, None if old is None else CoreWitness(old), self._name_of)
        self._entries = {entry.key: entry for entry in origin.streams()}
        self._ahead = Ahead(
            self._streamwise,
            make_rows,
            self._entries,
            self._changes_of,
            origin.number,
            helpers,
            self._away,
            self._freshen,
        )
        self._names: dict[bytes, str] = {}
        self._began = clock.monotonic()
        self._doubts: dict[StreamKey, Doubt] = {}
        self._counts = {kind: _Count() for kind in RESTORE_ORDER}
        self._with_blobs: deque[StreamKey] = deque()  # in, and to be looked through for blobs
        self._without: set[StreamKey] = set()  # in, and some of its blobs are not
        self._blobs_left: deque[BlobItem] = deque()  # of the stream that is looked through
        self._lost_blobs: list[BlobLoss] = []
        self._items_in: dict[StreamKey, int] = {}  # of streams that lost one
        self._blobs = self._blob_bytes = 0
        self._paced = 0  # changes that this process has entered
        self._identities: list[Ready] = []  # that entered a new core, whose journal is to be compared
        self._closed = False
        #: What the last step took but for its commit, which costs about the same whatever it brings in.
        self.worked_seconds = 0.0

    # -- beginning ---------------------------------------------------------------------------------------------

    @classmethod
    def begin(
        cls,
        reader: LogReader,
        runs: Runs | None,
        vaults: Sequence[Vault],
        *,
        make_core: Callable[[str], CoreStore],
        make_rows: MakeRows,
        disk: Disk,
        data: str,
        clock: Clock,
        claim: Callable[[], int],
        open_old: OpenOld = no_old_core,
        sync: Sequence[str] = (),
        lost_at: int | None = None,
        helpers: Helpers | None = None,
        again: Again | None = None,
        judge: Callable[[Sequence[Hole]], None] = lambda _: None,
        judge_register: Callable[[str], None] = lambda _: None,
        progress: Progress = silent,
    ) -> Self:
        """Put a core into place, `data`/core, that holds every identity and knows of every other stream; it is closed.

        What is in `data`/core is moved to `data`/scratch/core-UTC. `make_core` opens the core in a folder, making it
        where that is empty; `make_rows` makes its rows (a StreamMaker). `claim` opens a new timeline in every vault
        that can be reached and returns its number; it is called before the log is read. `open_old` opens the core in a
        folder to read, or gives None where that cannot be: what it remembers may fill gaps, where the chain proves it.
        `vaults` are those behind `reader`, `sync` the names of those that acknowledgements waited for, `lost_at` (µs)
        the last moment at which something may have been acknowledged, now if None. `helpers` read in other processes.
        `again` gives fresh readers: what one of the vaults could not give for a moment is then not taken for lost.
        `judge` is shown what is known of the log beyond what can be read, before anything is moved, and may raise; so
        is `judge_register` what the installation's own identity lacks, if anything: it names the accounts erased.
        Raises OperatorError where nothing can be recovered; TooLong where `recover run` has to do it.
        """
        place = Place(disk, data)
        before = place.moved()
        now = clock.now()
        aside = place.aside(now) or before or ""
        place.begin(Memo(Selection(), (), aside=aside))
        sources = look(vaults)
        check_sources(sources)
        timeline = claim()
        origin = Origin(reader, runs)
        if origin.log_is_gone and origin.number:
            raise OperatorError(
                f"nothing is left of the log: what came after generation {origin.number} is not known",
                hint="`safehold recover plan` says what that has, `safehold recover run` goes on from it",
            )
        tail = Tail(origin.position, timeline)
        tail.read(reader.entries(origin.position))
        if tail.before == EMPTY_LOG:
            raise OperatorError(
                "nothing can be recovered from these vaults: no frame of the log can be read with this key",
                hint="see `safehold recover plan`",
            )
        judge(tail.beyond)
        last_at, last_from = tail.last_at, tail.last_from
        if last_at is None and origin.generation is not None:
            last_at = origin.generation.manifest.at
            if origin.last is not None:
                last_at, last_from = origin.last.at, origin.last.source
        problems = [*reader.problems(), *(runs.problems() if runs is not None else ())]
        if runs is not None:
            problems += mended_ends(runs.vaults, runs.opener, tail.spoken, tail.spoken_at)
        whole = whole_at_end(sources, sync, last_from, tail.spoken, problems) and not tail.lost_at_end
        record = Record(
            timeline=timeline,
            generation=origin.number,
            older=origin.older,
            end=(tail.end.timeline, tail.end.frame, tail.end.digest),
            began_at=now,
            aside=aside,
            unknown_seconds=unknown_seconds(whole, last_at, now if lost_at is None else lost_at)
            + tail.uncovered_seconds,
            complete=tail.all_known and not tail.lost_at_end,
            accounts=0,
        )
        old = open_old(before or place.core) if aside else None
        staged = cls(origin, tail, record, clock, make_rows, old, helpers, vaults, again)
        try:
            core = make_core(place.building)
            try:
                staged._found(core, f"{timeline}-{now:x}", progress, judge_register)
            finally:
                core.close()
        finally:
            if old is not None:
                old.close()
        place.put(now)
        place.forget()
        staged._use_old(open_old(aside) if aside else None)
        return staged

    @classmethod
    def resume(
        cls,
        core: CoreReads,
        reader: LogReader,
        runs: Runs | None,
        *,
        make_rows: MakeRows,
        clock: Clock,
        vaults: Sequence[Vault] = (),
        open_old: OpenOld = no_old_core,
        helpers: Helpers | None = None,
        again: Again | None = None,
    ) -> Self | None:
        """Go on with what `core`, the one in place, says is under way; None where nothing is.

        To be called before the writer opens, or while it does nothing. Parameters are those of `begin`. Raises TooLong,
        and OperatorError where the vaults that are there have less than it was begun with: held streams stay held.
        """
        data = core.recovery_record()
        if data is None:
            return None
        record = records.parse(data)
        origin = Origin(reader, runs, number=record.generation, older=record.older)
        if origin.generation is None:  # what it began with is gone, or it was the log alone
            origin = Origin(reader, runs)
        tail = Tail(origin.position)
        tail.read(reader.entries(origin.position), record.end[1])
        old = open_old(record.aside) if record.aside else None
        staged = cls(origin, tail, record, clock, make_rows, old, helpers, vaults, again)
        staged._take_up(core)
        return staged

    def _found(self, core: CoreStore, mark: str, progress: Progress, judge_register: Callable[[str], None]) -> None:
        """Fill a new core: identities, and what is known of the rest."""
        core.bulk(True)
        core.begin()
        surveyed, all_known = self._streamwise.survey()
        self._record.complete &= all_known
        known = dict.fromkeys([*self._entries, *self._tail.keys(), *self._origin.unheard_of(), *surveyed])
        if (SYSTEM, Kind.IDENTITY) in known:  # the installation's own comes first, and says who was erased
            self._ahead.numbers[SYSTEM] = core.account_number(SYSTEM)
            self._enter_identities(core, [self._ahead.read_now((SYSTEM, Kind.IDENTITY), late=True)])
            if lacks := self.register_lacks:
                judge_register(lacks)
        accounts = sorted({account for account, _ in known} - self._streamwise.erased - {SYSTEM})
        self._record.accounts = len(accounts)
        self._ahead.numbers.update(core.account_numbers(accounts))
        numbers = self._ahead.numbers
        identities = [(account, Kind.IDENTITY) for account in accounts if (account, Kind.IDENTITY) in known]
        coming = self._ahead.read_all(identities)  # by others, while this process looks after the rest
        rest = [key for key in known if key[1] is not Kind.IDENTITY and key[0] in numbers]
        core.hold_back(sorted(rest, key=itemgetter(0)), NOT_YET)
        self._expect(rest)
        done = 0
        for some in coming:
            self._enter_identities(core, some)
            done += len(some)
            progress(Kind.IDENTITY, done, len(identities), "accounts")
        self._require_journal(core)
        self._take_names(core)
        for key in self._only_old_core_has(rest):
            self._enter_late(core, key)
        core.set_log_position(self.end)
        core.set_recovery_mark(mark)
        core.set_end_in_doubt(self._end_in_doubt(mark))
        self._record.spend(Kind.IDENTITY, self._clock.monotonic() - self._began)
        core.set_recovery_record(records.encode(self._record))
        core.commit()
        core.bulk(False)
        self._ahead.line_up(key for key in rest if key in self._ahead.waiting)

    def _end_in_doubt(self, mark: str) -> bytes:
        """What is to be said of the log's end: that it could not be read, or what the old core said of an earlier."""
        if self._record.unknown_seconds:
            return doubt.encode(doubt.Doubt(self._record.began_at, self._record.unknown_seconds, mark))
        return in_doubt(self._old, self._tail.end)

    def _take_names(self, core: CoreReads) -> None:
        """Raises Damaged where the core calls an account something else than its profile does."""
        for account, profile in core.names_told():
            if profile is not None and name_in(profile) != account.name:
                raise Damaged(f"account {account.id.hex()} is called {account.name} in the core")
            self._names[account.id] = account.name
            self._ahead.numbers[account.id] = account.number

    def _only_old_core_has(self, keys: Sequence[StreamKey]) -> list[StreamKey]:
        """Streams that a seal names further than the log leads, where an old core may have the end of them.

        What it has is archived again when the writer opens, before anything is written after it.
        """
        if not self._streamwise.has_witness:
            return []
        found = []
        for key in keys:
            changes = self._tail.changes(key)
            entry = self._entries.get(key)
            last = changes[-1][1].rev if changes else entry.head.rev if entry is not None else 0
            if any(head.rev > last for head in self._tail.heads(key)):
                found.append(key)
        return found

    def _enter_identities(self, core: CoreStore, identities: Sequence[Ready]) -> None:
        """In the open transaction. Their journal is compared once all of them are in."""
        self._require_there(identities)
        self._put_in(core, identities, core.next_journal(), sums=False)
        self._identities += identities
        self._have_entered(identities)

    def _enter_late(self, core: CoreStore, key: StreamKey) -> None:
        """A stream of which the end is in the old core alone, in the open transaction."""
        ready = self._ahead.read_now(key, late=True)
        self._require_there([ready])
        self._enter(core, [ready])
        self._have_entered([ready])

    def _require_there(self, some: Iterable[Ready]) -> None:
        """Raises VaultDown where a stream is not whole and a vault is away."""
        if not all(ready.is_whole for ready in some):
            self._ahead.require_there()

    def _have_entered(self, some: Iterable[Ready]) -> None:
        for ready in some:
            self._record.add(ready.tally, ready.refused)
            self._ahead.waiting.discard(ready.key)
            self._entered(ready)

    def _take_up(self, core: CoreReads) -> None:
        """Where an earlier process got to."""
        self._take_names(core)
        for note in core.recovery_notes():
            doubt = records.parse_doubt(note)
            self._doubts[doubt.account, doubt.kind] = doubt
        waiting = set(core.held_streams(NOT_YET))
        surveyed, _ = self._streamwise.survey() if waiting else ((), True)
        sourced = {*self._entries, *self._tail.keys(), *self._origin.unheard_of(), *surveyed}
        if waiting and (self._tail.end.frame < self._record.end[1] or not waiting <= sourced):
            raise OperatorError(
                "the vaults that are there have less than the recovery that is under way was begun with",
                hint="bring back those that are missing and start again; `safehold recover run` makes do without them",
            )
        known = dict.fromkeys([*self._entries, *self._tail.keys(), *waiting])
        for key in known:
            account, kind = key
            if account not in self._ahead.numbers:  # erased meanwhile, or the installation's own
                continue
            self._expect((key,))
            if key not in waiting:
                count = self._counts[kind]
                count.streams_in += 1
                count.changes_in += self._changes_of(key)
                count.items_in += self._items_of(key)
                self._ahead.waiting.discard(key)
                if kind in KINDS_WITH_BLOBS:
                    self._with_blobs.append(key)
                    self._without.add(key)
                self._tail.drop(key)
        self._ahead.line_up(waiting)

    def _use_old(self, old: CoreStore | None) -> None:
        self._old = old
        self._streamwise.use_witness(None if old is None else CoreWitness(old))

    def _away(self) -> str:
        """Which of the vaults that were there when this process began cannot be read now."""
        return ", ".join(f"{vault.name} cannot be read now" for vault in self._vaults if not _is_there(vault))

    def _freshen(self) -> None:
        """Readers anew, which remember nothing that they could not read."""
        if self._again is None:
            return
        reader, runs = self._again()
        origin = Origin(reader, runs if self._origin.number else None, number=self._origin.number)
        if origin.number != self._origin.number:
            return
        origin.stated, origin.older = self._origin.stated, self._origin.older
        self._origin = origin
        self._streamwise.use_origin(origin)
        self._entries.update((entry.key, entry) for entry in origin.streams())

    def _expect(self, keys: Collection[StreamKey]) -> None:
        for key in keys:
            count = self._counts[key[1]]
            count.streams += 1
            count.changes += self._changes_of(key)
            count.items += self._items_of(key)
        self._ahead.waiting.update(keys)

    def _changes_of(self, key: StreamKey) -> int:
        entry = self._entries.get(key)
        return self._tail.count(key) + (0 if entry is None else entry.changes)

    def _items_of(self, key: StreamKey) -> int:
        """About so many items live in it."""
        entry = self._entries.get(key)
        return self._tail.count(key) + (0 if entry is None else items_of(entry))

    def _name_of(self, account: bytes) -> str:
        return "" if account == SYSTEM else self._names.get(account) or account.hex()

    # -- what others ask ---------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything is left to do; False after `close`."""
        return not self._closed

    @property
    def end(self) -> LogPosition:
        """Up to where the log was read: from there on the core is written to in the normal way."""
        return LogPosition(*self._record.end)

    @property
    def timeline(self) -> int:
        """That was claimed when it began; marks in the vaults bear it (vault/recoveries.py)."""
        return self._record.timeline

    @property
    def generation(self) -> int:
        """That is read from; 0 where it is the log alone."""
        return self._origin.number

    @property
    def aside(self) -> str:
        """The folder into which the core was moved that was there; "" where none was."""
        return self._record.aside

    @property
    def began_at(self) -> int:
        """When it was begun (µs), by whichever process."""
        return self._record.began_at

    @property
    def without_bodies(self) -> int:
        """How many streams are in and still lack large bodies."""
        return len(self._without)

    @property
    def holes(self) -> Sequence[Hole]:
        """What no vault gives of the log. The writer opens only where those after `end` are set aside."""
        return self._tail.holes

    @property
    def register_lacks(self) -> str:
        """What the installation's own identity lacks, which names the accounts erased; "" where it is whole."""
        doubt = self._doubts.get((SYSTEM, Kind.IDENTITY))
        return doubt.words if doubt is not None else ""

    @property
    def trouble(self) -> str:
        """Why nothing more can be read for now, so that `step` enters nothing; "" where nothing hinders."""
        return self._ahead.trouble

    def knock(self, account_id: bytes, kind: Kind) -> None:
        """Somebody asks for this stream: it comes next. Harmless where it is in, or nothing is known of it."""
        self._ahead.knock((account_id, kind))

    def state(self, account_id: bytes, kind: Kind) -> StreamState:
        """How far a stream is. One of which no source ever said anything is whole."""
        key = (account_id, kind)
        if key in self._ahead.waiting:
            return StreamState.QUEUED
        doubt = self._doubts.get(key)
        if doubt is not None:
            return StreamState.LOST if doubt.nothing else StreamState.PARTIAL
        return StreamState.SERVING if key in self._without else StreamState.WHOLE

    def progress(self) -> StagedProgress:
        kinds = {
            kind: KindProgress(c.streams, c.streams_in, c.changes, c.changes_in, c.items, c.items_in)
            for kind, c in self._counts.items()
        }
        first = next((kind for kind, c in self._counts.items() if c.streams_in < c.streams), None)
        stage: str = first if first is not None else "blobs" if self._without else "done"
        seconds = self._clock.monotonic() - self._began
        return StagedProgress(
            stage, kinds, self._blobs, self._blob_bytes, seconds, self._forecast(kinds.values(), seconds)
        )

    def _forecast(self, kinds: Iterable[KindProgress], seconds: float) -> float | None:
        left = sum(kind.changes - kind.changes_entered for kind in kinds)
        if not left:
            return 0.0
        return left * seconds / self._paced if self._paced else None

    # -- reading and entering ----------------------------------------------------------------------------------

    def prepare(self, most_changes: int = STEP_CHANGES) -> bool:
        """Read and verify, outside of the writer's turn, so that `step` only has to enter. False if nothing is left to.

        Where somebody has knocked, until that stream is ready; else until about so many changes are. For who has a
        thread for it: `step` reads by itself where nothing is ready and nobody else reads. Raises VaultDown where what
        is left can only be read once a vault is back.
        """
        more = self._ahead.read(most_changes)
        if self._ahead.trouble and not self._ahead.has_ready:
            raise VaultDown(self._ahead.trouble)
        return more

    def step(self, core: CoreStore, most_changes: int = STEP_CHANGES) -> bool:
        """Enter streams of about so many changes, at least one, in a transaction of its own; False if none is left.

        To be called in the writer's turn, with no transaction open. What it raises the commit raised (or the disk): the
        transaction is rolled back as far as that can be, the streams stay in the queue, and the writer has to be opened
        anew.
        """
        before = self._clock.monotonic()
        batch = self._ahead.take(most_changes)
        if not batch and self._ahead.read(1):
            batch = self._ahead.take(most_changes)
        if not batch:
            return bool(self._ahead.waiting)
        if not isinstance(batch[0], Long):
            return self._enter_all(core, batch, before)
        if not self._ahead.take_turn():  # it would be read now, and another reads
            self._ahead.put_back(batch)
            return True
        try:
            return self._enter_all(core, batch, before)
        finally:
            self._ahead.end_turn()

    def _enter_all(self, core: CoreStore, batch: Sequence[Ready | Long], before: float) -> bool:
        # As the core has it: a commit that failed may have been one all the same.
        record = records.parse(core.recovery_record() or records.encode(self._record))
        core.filling(True)
        core.begin()
        try:
            results = self._enter(core, batch)
            entered = [ready for ready in results if ready is not None]
            for ready in entered:
                record.add(ready.tally, ready.refused)
                record.spend(ready.key[1], (self._clock.monotonic() - before) / len(entered))
            core.set_recovery_record(records.encode(record))
            self.worked_seconds = self._clock.monotonic() - before
            core.commit()
        except (_NotWhole, VaultDown):
            self._ahead.failed(batch[0].key)
            core.rollback()
            return True
        except BaseException:
            self._ahead.put_back(batch)
            core.rollback()
            raise
        self._record = record
        for one, result in zip(batch, results, strict=True):
            self._ahead.done(one.key)
            if result is None and isinstance(one, Ready) and core.account_by_id(one.key[0]) is not None:
                result = one  # it entered by such a commit
            if result is None:
                self._gone(one.key)
            else:
                self._entered(result)
        return bool(self._ahead.waiting)

    def _enter(self, core: CoreStore, batch: Sequence[Ready | Long]) -> list[Ready | None]:
        """In the open transaction; None for each that is awaited no more: its account was erased, or it is in."""
        results: list[Ready | None] = []
        first = core.next_journal()
        for one, standing in zip(batch, core.standings([one.key for one in batch]), strict=True):
            if standing is None or standing.held != NOT_YET:
                results.append(None)
                continue
            assert standing.head == EMPTY_HEAD, "a stream enters whole, and once"
            results.append(self._read_into(core, one) if isinstance(one, Long) else one)
        self._put_in(core, [ready for ready in results if ready is not None], first)
        return results

    def _put_in(self, core: CoreStore, entering: Sequence[Ready], first: int, *, sums: bool = True) -> None:
        """Their rows, which begin at this number in the journal, and a note of each that is not whole. Raises Damaged.

        Without `sums` over the journal somebody else compares these.
        """
        core.enter_together(
            [WholeStream(*ready.key, ready.rows, ready.first, ready.changes, ready.words or None) for ready in entering]
        )
        there, last = [ready for ready in entering if ready.head.rev], core.next_journal() - 1
        if there and sums:
            _require_sums(core.journal_sums(first, last), there, self._who)
        self._require_state(core, there, first, last)
        for ready in entering:
            if ready.words or ready.tally.lost:
                self._note(core, ready)

    def _note(self, core: CoreStore, ready: Ready) -> None:
        """What it lacks, on record beside it."""
        count = next(iter(ready.tally.not_exact), None)
        doubt = Doubt(
            *ready.key, ready.words, ready.tally.lost, list(ready.problems), not ready.changes, ready.unsure, count
        )
        core.add_recovery_note(records.encode(doubt))
        self._doubts[ready.key] = doubt

    def _read_into(self, core: CoreStore, one: Long) -> Ready:
        """A long stream, its rows going in as they are read. The transaction is begun anew where it has to be.

        Raises _NotWhole, VaultDown.
        """
        key = one.key

        def make(base: Base | None) -> Direct:
            return Direct(core, self._ahead.numbers[key[0]], key[1], base)

        ready = self._ahead.settle_now(key, make)
        if ready is not None:
            return ready
        if not one.mend:
            raise _NotWhole
        core.rollback()
        core.begin()
        ready = self._ahead.follow_now(key, make)
        if not ready.is_whole:
            self._ahead.require_there()
        return ready

    def _who(self, key: StreamKey) -> str:
        return f"{self._name_of(key[0]) or 'the installation'}, {key[1]}"

    def _require_journal(self, core: CoreReads) -> None:
        """Whether the journal of a new core holds the identities that were read, and nothing else. Raises Damaged."""
        identities, self._identities = self._identities, []
        sums = core.journal_sums()
        _require_sums(sums, identities, self._who)
        if len(sums) > sum(ready.changes > 0 for ready in identities):
            raise Damaged("the new core holds more than was read")

    def _require_state(self, core: CoreReads, entered: Sequence[Ready], first: int, last: int) -> None:
        """Whether what lives in the core is what was read. Raises Damaged."""
        problems = compare_entered(core, [ready.meant for ready in entered if ready.meant is not None], first, last)
        for problem in problems:
            raise Damaged(f"the core does not agree with what was read: {problem}")
        for ready in entered:
            if ready.meant is None:
                self._require_single_state(core, ready)

    def _require_single_state(self, core: CoreReads, ready: Ready) -> None:
        blobs: list[BlobItem] = []
        for problem in ready.compare(core, blobs.append):
            raise Damaged(f"the core does not agree with what was read: {problem}")
        if blobs:
            self._without.add(ready.key)

    def _gone(self, key: StreamKey) -> None:
        """Its account was erased while it waited."""
        count = self._counts[key[1]]
        count.streams -= 1
        count.changes -= self._changes_of(key)
        count.items -= self._items_of(key)
        self._tail.drop(key)

    def _entered(self, ready: Ready) -> None:
        key = ready.key
        count = self._counts[key[1]]
        items = ready.tally.items[key[1]].expected
        if key[1] is Kind.IDENTITY:  # which nobody waited for
            self._expect((key,))
            self._ahead.waiting.discard(key)
        count.changes += ready.changes - self._changes_of(key)
        count.items += items - self._items_of(key)
        count.streams_in += 1
        count.changes_in += ready.changes
        count.items_in += items
        self._paced += ready.changes
        if key in self._without:
            self._with_blobs.append(key)
        self._tail.drop(key)

    # -- large bodies, and the end -----------------------------------------------------------------------------

    def fetch(self, core: CoreReads, blobs: Blobs, most_bytes: int) -> bool:
        """Bring about so many bytes of large bodies to where the service reads them; False where none is left.

        For a thread with a reader of its own. One that no vault has whole is told in the report. Raises OutOfSpace, and
        VaultDown where that cannot be said now: a vault that was there is away.
        """
        done = 0
        while done < most_bytes:
            if not self._blobs_left:
                if not self._with_blobs:
                    return False
                self._look_through(core, self._with_blobs.popleft())
                continue
            one = self._blobs_left[0]
            if not restore(blobs, one.blob, one.item.size, one.item.digest):
                away = self._away()
                if away:
                    raise VaultDown(away)
                row = core.account_by_id(one.account)
                if row is not None:
                    self._items_in[one.account, one.kind] = core.figures(row.number, one.kind).items
                    self._lost_blobs.append(loss_of(core, row.number, one, blobs))
            self._blobs_left.popleft()
            done += one.item.size
            self._blobs += 1
            self._blob_bytes += one.item.size
            if not self._blobs_left:
                self._without.discard((one.account, one.kind))
        return True

    def _look_through(self, core: CoreReads, key: StreamKey) -> None:
        account, kind = key
        row = core.account_by_id(account)
        if row is not None:
            self._blobs_left.extend(
                BlobItem(account, kind, path, item, blob)
                for path, item, blob in core.items_with_blobs(row.number, kind)
            )
        if not self._blobs_left:
            self._without.discard(key)

    def outcome(self, core: CoreReads) -> Report:
        """In the writer's turn, once `step` and `fetch` gave False: what is to be told before `close`."""
        assert not self._ahead.waiting, "streams are still to come"
        there = {account.id for account in core.accounts()} | {SYSTEM}
        self._doubts = {key: doubt for key, doubt in self._doubts.items() if key[0] in there}
        self._lost_blobs = [loss for loss in self._lost_blobs if loss.account in there]
        return self.report()

    def close(self, core: CoreStore) -> Report:
        """In the writer's turn, once `step` and `fetch` gave False and the marks in the vaults say that it is done.

        With the record goes what is known of losses: before that, `outcome` says it, to be kept.
        """
        report = self.outcome(core)
        core.begin()
        try:
            core.set_recovery_record(None)
            core.commit()
            core.filling(False)
        except BaseException:
            core.rollback()
            raise
        self._closed = True
        if self._old is not None:
            self._old.close()
        return report

    def report(self) -> Report:
        """What came of it, as far as it is."""
        lost = [loss for doubt in list(self._doubts.values()) for loss in doubt.lost]
        record = records.parse(records.encode(self._record))
        by_stream: dict[StreamKey, list[BlobLoss]] = {}
        for loss in self._lost_blobs:
            by_stream.setdefault((loss.account, loss.kind), []).append(loss)
            lost.append(Loss(self._name_of(loss.account), loss.kind, loss.path, loss.name, [loss.rev]))
        counts = {key: doubt.count for key, doubt in list(self._doubts.items()) if doubt.count is not None}
        for key, losses in by_stream.items():
            account, kind = key
            items, doubt = self._items_in[key], self._doubts.get(key)
            count = counts.get(key) or StreamCount(self._name_of(account), account.hex(), kind, items, items, 0, 0)
            counts[key] = record.lose_bodies(count, losses, doubt.unsure if doubt is not None else Unsure())
        return record.report(lost, [counts[key] for key in sorted(counts, key=stream_order)])

    def held(self) -> list[str]:
        """A sentence for each stream that is held for what it lacks."""
        return [
            f"{self._who((doubt.account, doubt.kind))} is held: {doubt.words}"
            for doubt in list(self._doubts.values())
            if doubt.words
        ]


def _require_sums(
    sums: Mapping[StreamKey, JournalSum], meant: Iterable[Ready], who: Callable[[StreamKey], str]
) -> None:
    """Whether the journal has of each stream what was read. Raises Damaged."""
    for ready in meant:
        found = sums.get(ready.key)
        has = (0, 0, 0) if found is None else (found.changes, found.stated_bytes, found.inline_bytes)
        wanted = (ready.changes, ready.body_bytes, ready.inline_bytes)
        if has != wanted:
            where = who(ready.key)
            raise Damaged(f"{where}: (changes, bytes, bytes inline) are {has} in the core; read were {wanted}")


class _NotWhole(Exception):
    """A long stream was read as one that is whole, and is not."""


def _is_there(vault: Vault) -> bool:
    try:
        return vault.available()
    except SafeholdError:
        return False
