"""Writes generations: from a core's journal into the sync vaults, run objects first, the manifest last.

    GenerationWriter.write   finish the one that was under way, then write what came since
        plan                 which runs make it up (levels.py), noted in the ledger before any is written
        each run object      encoded once into a scratch file, noted in the ledger, put into each vault
        manifest             with it the generation exists

A plan under way is finished first, where its position is still on the log: objects of it that a vault has are compared
with what the ledger says of them, and stay. Objects are put if absent and never changed. A vault that is down is left
out and told; the others are not kept waiting. What a vault lacks of earlier generations is copied to it from another.

A generation says what the core held at one frame of the log: changes of later frames are left out by their frame
number, so that the core may go on meanwhile. Where the log went back behind it meanwhile (a vault was lost, and changes
are archived again in other frames) the generation is not written. Where changes of its stretch were given other frames
or erased later, the count of changes tells, and the next generation is a full one.

Long, as each step goes on from where a killed one stopped: plan, objects and manifest share what the ledger says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import NamedTuple, Protocol

import msgspec

from safehold.archiver.generation_ledger import (
    GenerationPlan,
    Ledger,
    Newest,
    PlannedRun,
    load_ledger,
    save_ledger,
)
from safehold.archiver.levels import FULL, Choice, choose, levels, parts
from safehold.archiver.run_frames import RunFrames
from safehold.archiver.run_writer import RunInput, core_inputs, write_streams
from safehold.formats import generation as manifests
from safehold.formats import run
from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.generation import Manifest, RunEntry
from safehold.formats.keys import Sealer
from safehold.formats.payload import Packer
from safehold.formats.run import RunName
from safehold.formats.seal import SealedObject
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.ports.core import EMPTY_LOG, NOT_YET, CoreReads, LogPosition
from safehold.ports.disk import Disk
from safehold.ports.vault import Vault
from safehold.ports.world import Clock

#: A run object holds about so many changes: enough that its directory is little, and few enough that work is shared,
#: and that the first are on their way into the vaults while others are made.
OBJECT_CHANGES = 25_000
_CHUNK_BYTES = 1024 * 1024
#: The installation's own account, whose identity has an item of this prefix for each account that was erased.
_SYSTEM = bytes(16)
_ERASED_PREFIX = "erased/"
_SCRATCH_FILE = re.compile(r"run-[0-9]+\.sealed")


class RunJob(NamedTuple):
    """One run object to be made from the core, for a worker that may be another process."""

    timeline: int
    generation: int
    at: int
    dropped_upto: int
    planned: PlannedRun
    path: str  # of the scratch file


class Workers(Protocol):
    """Makes run objects, several at once where it can; results in the order of the jobs, as they come."""

    def run(self, jobs: Sequence[RunJob]) -> Iterator[RunEntry]: ...


class Written(NamedTuple):
    """What a call has done. `objects` are in the vaults and in no seal yet; a manifest after its run objects."""

    generation: int  # the newest one
    new: bool  # whether it was written by this call
    full: bool
    changes: int  # in the run objects written
    bytes: int  # of those
    objects: list[SealedObject]
    down: dict[str, str]  # vaults that were left out, and why
    copied: int  # objects that a vault lacked and got from another


def make_run(core: CoreReads, disk: Disk, sealer: Sealer, job: RunJob) -> RunEntry:
    """One run object from a core, into its scratch file. Raises Damaged, OSError."""
    planned = job.planned
    ids = account_ids(planned.first_partition, planned.last_partition)
    with core.snapshot():
        spans = core.run_spans(planned.since, job.generation, *ids)
        dropped = core.run_spans(0, job.dropped_upto, *ids) if planned.since == 0 and job.dropped_upto else []
        return run_of(core_inputs(core, spans, since=planned.since, dropped=dropped), disk, sealer, job)


def run_of(inputs: Iterable[RunInput], disk: Disk, sealer: Sealer, job: RunJob) -> RunEntry:
    """One run object of these streams, into its scratch file. Raises Damaged, OSError."""
    planned = job.planned
    if disk.exists(job.path):
        disk.remove(job.path)
    file = disk.open(job.path, write=True, create=True)
    try:
        frames = RunFrames(file, job.timeline, RunName(job.generation, planned.number), sealer, job.at)
        written = write_streams(frames, inputs, full=planned.since == 0)
        partitions = (planned.first_partition, planned.last_partition)
        frames.finish(planned.since, partitions, written.streams, written.blobs)
    finally:
        file.close()
    return RunEntry(frames.object, planned.since, job.generation, *partitions, written.changes)


class InTurn:
    """Workers of one process: one object after the other."""

    def __init__(self, open_core: Callable[[], CoreReads], disk: Disk, sealer: Sealer) -> None:
        self._open_core = open_core
        self._disk = disk
        self._sealer = sealer

    def run(self, jobs: Sequence[RunJob]) -> Iterator[RunEntry]:
        core = self._open_core()
        for job in jobs:
            yield make_run(core, self._disk, self._sealer, job)


class GenerationWriter:
    """One at a time for each ledger and scratch folder.

    `vaults` are the sync vaults, instances of its own. `on_log` tells whether a position is on the log they hold.
    `newest` gives generations of the vaults, the newest first, as far as they can be read (with the identity); where
    none of them stands, the ledger's own word counts.
    """

    def __init__(
        self,
        vaults: Sequence[Vault],
        sealer: Sealer,
        clock: Clock,
        disk: Disk,
        scratch: str,
        ledger: str,
        workers: Workers,
        on_log: Callable[[LogPosition], bool],
        newest: Callable[[], Iterable[Newest]] = tuple,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._all = list(vaults)
        self._sealer = sealer
        self._clock = clock
        self._disk = disk
        self._scratch = scratch
        self._ledger_path = ledger
        self._workers = workers
        self._on_log = on_log
        self._read_newest = newest
        self._progress = progress
        self._down: dict[str, str] = {}
        self._changes = self._bytes = 0

    def write(self, core: CoreReads, *, full: bool = False, may_drop: Callable[[], int] = lambda: 0) -> Written:
        """The newest generation of what the core holds now. `full` writes full runs, whatever there is.

        `may_drop` is asked before full runs are written: up to which frame of the log history may be dropped.
        Raises OperatorError where no vault can be reached, Damaged where the core is not what its hashes say.
        """
        self._begin()
        ledger = self._ledger()
        finished = ledger.plan is not None
        if ledger.plan is not None:
            try:
                ledger = self._carry_out(ledger, ledger.plan)
            except Damaged:
                # The core was damaged, or what it lacks has been put on record since: another plan may go through.
                # One of which an object may be in a vault already is gone on with.
                noted = self._ledger().plan
                if noted is None or noted.done:
                    raise
                ledger, finished = Ledger(ledger.newest, None, ledger.unsealed), False
        copied = self._level(ledger)
        plan = self._plan(core, ledger, full=full, may_drop=may_drop)
        new = plan is not None
        if plan is not None:
            ledger = self._carry_out(ledger, plan)
        newest = ledger.newest
        return Written(
            0 if newest is None else newest.manifest.upto[1],
            new or finished,
            plan is not None and any(planned.since == 0 for planned in plan.runs),
            self._changes,
            self._bytes,
            list(ledger.unsealed),
            dict(self._down),
            copied,
        )

    def write_full(
        self,
        position: LogPosition,
        changes: Sequence[int],
        *,
        streams: int,
        items: Mapping[str, int],
        dropped_upto: int = 0,
    ) -> Written:
        """A generation of full runs at this position, from workers that read no core (archiver/merging.py).

        `changes` are about how many each partition has. Nothing is done where a generation is there. Raises as `write`.
        """
        self._begin()
        ledger = self._ledger()
        newest = ledger.newest
        number = position.frame
        if newest is None or newest.manifest.upto[1] < number:
            plan = self._plan_of(position, newest, FULL, changes, streams, items, dropped_upto)
            ledger = self._carry_out(ledger, plan)
            return Written(number, True, True, self._changes, self._bytes, list(ledger.unsealed), dict(self._down), 0)
        return Written(newest.manifest.upto[1], False, False, 0, 0, list(ledger.unsealed), dict(self._down), 0)

    def sealed(self) -> None:
        """A seal has stated the objects that `write` told of."""
        ledger = load_ledger(self._disk, self._ledger_path)
        if ledger.unsealed:
            self._save(Ledger(ledger.newest, ledger.plan))

    # -- vaults

    @property
    def _vaults(self) -> list[Vault]:
        return [vault for vault in self._all if vault.name not in self._down]

    def _begin(self) -> None:
        """Look which vaults are there, and remove what a killed writer left in scratch."""
        self._down.clear()
        self._changes = self._bytes = 0
        for vault in self._all:
            self._each(vault, _size_of, "FORMAT")
        self._require_vaults()
        self._disk.make_folders(self._scratch)
        for entry in list(self._disk.list(self._scratch)):
            if _SCRATCH_FILE.fullmatch(entry.name):
                self._disk.remove(f"{self._scratch}/{entry.name}")

    def _each(self, vault: Vault, work: Callable[..., object], *args: object) -> None:
        """A vault that fails is left out from then on."""
        try:
            work(vault, *args)
        except SafeholdError as error:
            self._down[vault.name] = error.message

    def _require_vaults(self) -> None:
        if not self._vaults:
            why = "; ".join(self._down.values()) or "no sync vault is configured"
            raise OperatorError(f"no generation can be written: {why}", hint="bring a vault back, then try again")

    # -- what there is

    def _ledger(self) -> Ledger:
        """What is on record and still holds: on the log, and in a vault."""
        ledger = load_ledger(self._disk, self._ledger_path)
        known = (ledger.newest,) if ledger.newest is not None else ()
        newest = next((found for found in chain(self._read_newest(), known) if self._stands(found)), None)
        plan = ledger.plan
        if plan is not None and not self._on_log(LogPosition(*plan.upto)):
            plan = None
        if plan is not None and newest is not None and newest.manifest.upto[1] >= plan.upto[1]:
            plan = None
        return Ledger(newest, plan, ledger.unsealed)

    def _stands(self, newest: Newest) -> bool:
        if not self._on_log(LogPosition(*newest.manifest.upto)):
            return False
        wanted = [newest.object, *(entry.object for entry in newest.manifest.runs)]
        return all(any(self._size(vault, object_.name) == object_.size for vault in self._vaults) for object_ in wanted)

    def _size(self, vault: Vault, name: str) -> int | None:
        try:
            return vault.size(name)
        except SafeholdError as error:
            self._down[vault.name] = error.message
            return None

    def _level(self, ledger: Ledger) -> int:
        """Give each vault what it lacks of the newest generation and another one has whole; how many objects."""
        newest = ledger.newest
        if newest is None:
            return 0
        copied = 0
        for object_ in (*(entry.object for entry in newest.manifest.runs), newest.object):
            holders = {vault.name: self._size(vault, object_.name) for vault in self._vaults}
            lacking = [vault for vault in self._vaults if holders.get(vault.name) is None]
            if not lacking:
                continue
            good = next((v for v in self._vaults if v not in lacking and _is(v, object_)), None)
            for vault in lacking if good is not None else ():
                assert good is not None
                self._each(vault, _put_into, object_.name, _chunks_of(good, object_.name, object_.size))
                copied += vault.name not in self._down
        return copied

    # -- the plan

    def _plan(
        self, core: CoreReads, ledger: Ledger, *, full: bool, may_drop: Callable[[], int]
    ) -> GenerationPlan | None:
        """None where nothing came since the newest generation."""
        with core.snapshot():
            position = core.log_position()
            if position == EMPTY_LOG:
                raise OperatorError("the core holds nothing yet", hint="start `safehold serve` once")
            _require_whole(core)
            newest = ledger.newest
            choice = FULL
            if newest is not None:
                manifest = newest.manifest
                upto = manifest.upto[1]
                # Twice: retention never goes below two generations, and both have to be without it.
                full = full or erased_since(core, manifest.previous[0], position.frame)
                came = core.framed_changes(upto, position.frame)
                same = _is_same(core, manifest)
                if position.frame <= upto or (same and not came and not full):
                    return None
                if same and not full and not _all_old(manifest, may_drop()):
                    choice = choose(manifest.runs, came)
            dropped_upto = 0 if newest is None else newest.manifest.dropped_upto
            if choice is FULL:  # what was dropped once stays so: nobody could attest what is before it any more
                dropped_upto = max(dropped_upto, min(may_drop(), position.frame))
            return self._planned(core, position, newest, choice, dropped_upto)

    def _planned(
        self, core: CoreReads, position: LogPosition, newest: Newest | None, choice: Choice, dropped_upto: int
    ) -> GenerationPlan:
        counts = [0] * run.PARTITIONS
        for span in core.run_spans(choice.since, position.frame):
            counts[run.partition_of(span.id)] += span.rev - span.after_rev
        items = {name: count for name, count in core.counts().items() if name not in ("accounts", "changes")}
        streams = core.run_streams(position.frame)
        return self._plan_of(position, newest, choice, counts, streams, items, dropped_upto)

    def _plan_of(
        self,
        position: LogPosition,
        newest: Newest | None,
        choice: Choice,
        changes: Sequence[int],
        streams: int,
        items: Mapping[str, int],
        dropped_upto: int,
    ) -> GenerationPlan:
        number = self._free_number(position.frame)
        return GenerationPlan(
            (position.timeline, position.frame, position.digest),
            self._clock.now(),
            (0, b"") if newest is None else (newest.manifest.upto[1], newest.digest),
            dropped_upto,
            list(choice.kept),
            [
                PlannedRun(number + place, choice.since, first, last, count)
                for place, (first, last, count) in enumerate(parts(changes, OBJECT_CHANGES))
            ],
            streams,
            dict(items),
        )

    def _free_number(self, generation: int) -> int:
        """The first number that no object of this generation's folder bears in any vault."""
        used = -1
        for vault in self._vaults:
            for info in vault.list(run.generation_prefix(generation)):
                name = run.parse_run_name(info.name)
                used = max(used, name.number if name is not None else -1)
        return used + 1

    # -- carrying it out

    def _carry_out(self, ledger: Ledger, plan: GenerationPlan) -> Ledger:
        """Write what is missing of a planned generation, then its manifest.

        The plan goes on record with its first object: before that nothing of it can be in a vault, and a newer plan
        does as well.
        """
        done = {number: entry for number, entry in plan.done.items() if self._spread(entry.object)}
        plan = self._renumbered(plan, done)
        total = sum(planned.changes for planned in plan.runs)
        missing = [planned for planned in plan.runs if planned.number not in done]
        written = sum(entry.changes for entry in done.values())
        self._progress(written, total)
        timeline, generation, _ = plan.upto
        jobs = [
            RunJob(timeline, generation, plan.at, plan.dropped_upto, planned, self._scratch_path(planned.number))
            for planned in missing
        ]
        try:
            for job, entry in zip(jobs, self._workers.run(jobs), strict=True):
                done[job.planned.number] = entry
                plan = msgspec.structs.replace(plan, done=dict(done))
                self._save(Ledger(ledger.newest, plan, ledger.unsealed))
                self._put(entry.object, partial(_file_chunks, self._disk, job.path))
                written += entry.changes
                self._changes += entry.changes
                self._bytes += entry.object.size
                self._progress(written, total)
        finally:
            for job in jobs:
                if self._disk.exists(job.path):
                    self._disk.remove(job.path)
        if not self._on_log(LogPosition(*plan.upto)):
            raise OperatorError(
                f"frame {generation} is not on the log any more, so no generation can end there",
                hint="try again: a newer one is written",
            )
        entries = [*plan.kept, *(done[planned.number] for planned in plan.runs)]
        newest = self._finish(plan, entries)
        new = [done[planned.number].object for planned in plan.runs] + [newest.object]
        ledger = Ledger(newest, None, [*ledger.unsealed, *new])
        self._save(ledger)
        return ledger

    def _renumbered(self, plan: GenerationPlan, done: dict[int, RunEntry]) -> GenerationPlan:
        """A plan whose missing objects bear names that no vault has: what is there and is not whole stays as it is."""
        taken = {planned.number for planned in plan.runs}
        free = max(self._free_number(plan.upto[1]), max(taken, default=-1) + 1)
        runs = []
        for planned in plan.runs:
            name = str(RunName(plan.upto[1], planned.number))
            if planned.number not in done and any(self._size(vault, name) is not None for vault in self._vaults):
                planned = msgspec.structs.replace(planned, number=free)
                free += 1
            runs.append(planned)
        return msgspec.structs.replace(plan, runs=runs, done=done)

    def _scratch_path(self, number: int) -> str:
        return f"{self._scratch}/run-{number}.sealed"

    def _spread(self, object_: SealedObject) -> bool:
        """Whether the object is in all vaults in reach now, as the ledger says it is; copied where one lacks it."""
        for vault in self._vaults:
            if self._size(vault, object_.name) is not None and _is(vault, object_):
                self._put(object_, partial(_chunks_of, vault, object_.name, object_.size))
                return True
        return False

    def _put(self, object_: SealedObject, chunks: Callable[[], Iterable[bytes]]) -> None:
        for vault in self._vaults:
            if self._size(vault, object_.name) is not None:
                self._each(vault, _vouch, object_)
            elif vault.name not in self._down:
                self._each(vault, _put_into, object_.name, chunks())
        self._require_vaults()

    def _finish(self, plan: GenerationPlan, entries: list[RunEntry]) -> Newest:
        manifest = Manifest(
            manifests.VERSION,
            plan.upto,
            plan.at,
            plan.previous,
            plan.dropped_upto,
            entries,
            plan.streams,
            sum(entry.changes for entry in entries),
            plan.items,
        )
        timeline, generation, _ = plan.upto
        header = run.run_header(timeline, RunName(generation, 0), self._sealer)
        head = manifests.encode_manifest_header(header)
        frame_header = FrameHeader(FrameType.GENERATION, timeline, 0, 0, 0, plan.at, 0, 0, sha256(head).digest())
        frame = encode_frame(frame_header, Packer(self._sealer).pack(manifest), self._sealer.writer.sign)
        data = head + frame + manifests.encode_manifest_footer(header)
        name = manifests.manifest_object(generation)
        object_ = SealedObject(name, len(data), sha256(data).digest())
        self._put(object_, lambda: (data,))
        return Newest(manifest, sha256(frame).digest(), object_)

    def _save(self, ledger: Ledger) -> None:
        try:
            save_ledger(self._disk, self._ledger_path, ledger)
        except OSError as error:
            raise OperatorError(
                f"what is written of a generation cannot be noted: {error.strerror or error}",
                hint="see what is wrong with the data disk",
            ) from error


def erased_since(core: CoreReads, frame: int, upto: int) -> bool:
    """Whether an account was erased after this frame: no run that was written before may be part of what follows."""
    system = core.account_by_id(_SYSTEM)
    span = next(iter(core.run_spans(frame, upto, _SYSTEM, _SYSTEM)), None)  # it has no other kind than identity
    return (
        system is not None
        and span is not None
        and any(
            item.rev > span.after_rev and item.name.startswith(_ERASED_PREFIX)
            for collection in core.collections(system.number)
            for item in core.items(collection)
        )
    )


def _all_old(manifest: Manifest, dropped_upto: int) -> bool:
    """Whether all history in the full runs may be dropped: then new ones are due, however little has come since."""
    return all(entry.upto <= dropped_upto for entry in manifest.runs if entry.since == 0)


def _require_whole(core: CoreReads) -> None:
    """A generation of a core that is known to lack what the log holds would pass for more than it is."""
    missing = core.held_for(NOT_YET)
    if missing:
        raise OperatorError(
            f"{count_text(missing, 'stream has', 'streams have')} not been recovered yet, so no generation can be "
            "written",
            hint="run `safehold recover run` for what was left out, then this",
        )


def _is_same(core: CoreReads, manifest: Manifest) -> bool:
    """Whether the core still has what it had when a generation was written, under the same frames.

    Not after an account was erased, or changes were archived again. Of full runs without dropped history, and of
    deltas, it is known how many changes there have to be.
    """
    upto = manifest.upto[1]
    counted = levels(manifest.runs)[1 if manifest.dropped_upto else 0 :]
    return core.run_streams(upto) == manifest.streams and all(
        core.framed_changes(level.since, level.upto) == level.changes for level in counted
    )


def account_ids(first_partition: int, last_partition: int) -> tuple[bytes, bytes]:
    """The least and the greatest account id of these partitions."""
    return bytes([first_partition << 2]) + bytes(15), bytes([last_partition << 2 | 3]) + b"\xff" * 15


def _is(vault: Vault, object_: SealedObject) -> bool:
    """Whether a vault has an object with this size and digest."""
    try:
        if vault.size(object_.name) != object_.size:
            return False
        actual = sha256()
        for chunk in _chunks_of(vault, object_.name, object_.size):
            actual.update(chunk)
    except (SafeholdError, KeyError):
        return False
    return actual.digest() == object_.digest


def _size_of(vault: Vault, name: str) -> int | None:
    return vault.size(name)


def _put_into(vault: Vault, name: str, chunks: Iterable[bytes]) -> None:
    vault.put(name, chunks)


def _vouch(vault: Vault, object_: SealedObject) -> None:
    """That a name which is taken is taken by this very object, and synced."""
    if not _is(vault, object_):
        raise OperatorError(
            f"{vault.name} has another object under the name {object_.name}",
            hint=f"run `safehold vault repair {vault.name}`",
        )
    vault.put(object_.name, ())


def _chunks_of(vault: Vault, name: str, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _CHUNK_BYTES):
        yield vault.get(name, offset, min(_CHUNK_BYTES, size - offset))


def _file_chunks(disk: Disk, path: str) -> Iterator[bytes]:
    file = disk.open(path)
    try:
        for offset in range(0, file.size(), _CHUNK_BYTES):
            yield file.read_at(offset, _CHUNK_BYTES)
    finally:
        file.close()
