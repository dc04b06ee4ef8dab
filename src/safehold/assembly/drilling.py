"""A drill wired to a data folder: one vault alone, recovered into a scratch core, compared, asked, and timed.

    DATA/scratch/drill/          all that a drill makes; gone at its end, and swept by the next drill or start
    DATA/run/drill               the lock of whoever drills

1. first contact   a start that recovers while it serves, until one account's contacts are in
2. read, enter     the plan and the run of `recover run` (recovery/drill.py), up to the vault's last frame or an earlier
3. compare         every stream with the live core, each side by its own path (drill_compare.py)
4. serve           the service itself over the scratch core, asked as devices ask (drill_serving.py)
5. check           the objects that were read, and those that should be there, as a scrub judges them
6. record          evidence in every vault, and a line of run/drills.json (drill_record.py)

Nothing is written into a vault before 6, no timeline is claimed and no mark of a recovery is set, so that a service
beside it goes on and retention is not frozen. The core that serves is only read (I82, I83).

Where there is no live core, at a keeper on another machine, 3 compares with what the core has stated in the vault
(drill_stated.py), and first contact comes last, as only then it is known who is there.

Long, as a drill is one course of steps that share what they have found so far.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safehold.adapters.lock import FolderLock, Locked
from safehold.adapters.throttle import Throttle, step_back
from safehold.archiver.claiming import Mode
from safehold.archiver.told import Told
from safehold.assembly.drill_compare import Compared, Comparison
from safehold.assembly.drill_record import drills, record_drill
from safehold.assembly.drill_serving import DAV_KINDS, Sampled, ScratchGate, draw, sample
from safehold.assembly.drill_stated import StatedComparison, stated
from safehold.assembly.recovering import helpers_of, make_core
from safehold.assembly.scrubbing import Scrubbing, damage_object, find_vault
from safehold.assembly.site import Site
from safehold.assembly.sizes import measure
from safehold.config import VaultConfig
from safehold.formats.keys import KeyAway, Opener
from safehold.formats.segment import LOG_PREFIX
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import EMPTY_LOG, CoreReads, LogPosition
from safehold.ports.log import Hole, LogReader
from safehold.ports.vault import Vault, VaultDown
from safehold.proof.drills import ROLLING, WHOLE, Drilled, KindTimed
from safehold.proof.forecast import FIRST_CONTACT, RTO, Forecaster, Size
from safehold.recovery.chains import StreamKey
from safehold.recovery.drill import Passing, Rebuilt, first_contact, in_share, rebuild
from safehold.recovery.judging import Damage, Problem
from safehold.recovery.report import Progress, Report, silent
from safehold.recovery.retention import erased_days
from safehold.recovery.scrub import Level
from safehold.recovery.selection import SYSTEM
from safehold.service.items import stamp
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from safehold.vault.upto import NotedVault, UptoReader, UptoRuns

_log = logging.getLogger("safehold.drill")

#: Points to which is recovered, but for a time.
LATEST, RANDOM = "latest", "random"
#: Shares of a rolling drill: with one a day every account is drilled weekly.
SHARES = 7
#: Room that is left to the service, and what a scratch core takes for each byte of the live one.
SPARE_BYTES = 64 * 1024 * 1024
ROOM_FACTOR = 1.5
#: Sentences and objects that a record names.
MAX_NAMED = 200
_MICROSECONDS = 1_000_000


@dataclass
class Wanted:
    """What drill is asked for. `to` in µs, or LATEST or RANDOM; `vault` "": by rotation."""

    vault: str = ""
    scope: str = WHOLE
    to: int | str = LATEST
    throttle: float = 0.0  # of one processor; 0: as fast as a recovery goes
    shares: int = SHARES
    by: str = ""


@dataclass
class _Found:
    """What a drill has found so far."""

    deviations: list[str] = field(default_factory=list)
    damaged: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    kinds: dict[str, KindTimed] = field(default_factory=dict)
    compared: Compared = field(default_factory=lambda: Compared(0, 0, 0, []))
    sampled: Sampled = field(default_factory=lambda: Sampled(0, [], "nothing was asked"))
    first_contact_seconds: float | None = None
    forecast_seconds: float | None = None
    forecast_first_contact_seconds: float | None = None
    accounts: int = 0

    def differs(self, sentences: Sequence[str]) -> None:
        self.deviations += sentences[: max(0, MAX_NAMED - len(self.deviations))]


class WorkClock:
    """A clock whose monotonic time leaves out what throttling has waited."""

    def __init__(self, site: Site, throttle: Throttle) -> None:
        self._clock = site.clock
        self._throttle = throttle

    def now(self) -> int:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic() - self._throttle.waited_seconds


class DrillSources:
    """One vault, as it was at a frame, read only; and where large bodies pass through."""

    def __init__(self, site: Site, config: VaultConfig, folder: Path, rest: Callable[[], None]) -> None:
        self.opener: Opener = site.opener
        self.opener.require()
        self.upto: LogPosition = EMPTY_LOG
        self.noted: set[str] = set()
        self._site = site
        self._config = config
        self._folder = folder
        self._rest = rest

    def vaults(self) -> list[Vault]:
        return [NotedVault(self._site.vault(self._config), self.noted, self._rest)]

    def reader(self) -> LogReader:
        return UptoReader(self.vaults(), self.opener, self.upto)

    def runs(self) -> Runs:
        return UptoRuns(self.vaults(), self.opener, self.upto)

    def again(self) -> tuple[LogReader, Runs]:
        return self.reader(), self.runs()

    def blobs(self) -> Passing:
        site, scratch = self._site, str(self._folder / "bodies")
        archive = VaultBlobs([], self.vaults(), site.keyring.sealer, self.opener, site.disk, scratch)
        live = LiveBlobs(site.disk, str(self._folder / "blobs"), scratch, archive)
        return Passing(live, live.remove)


# -- what to drill


def choose(site: Site, wanted: Wanted) -> tuple[VaultConfig, tuple[int, int]]:
    """The vault and the share whose turn it is: what was drilled longest ago. Raises OperatorError."""
    known = drills(site)
    configs = list(site.config.vaults) if not wanted.vault else [find_vault(site, wanted.vault)]
    share = (1, 1)
    if wanted.scope == ROLLING:
        names = {config.name for config in configs}
        mine = [one for one in known if one.vault in names]
        share = min(
            ((number, wanted.shares) for number in range(1, wanted.shares + 1)),
            key=lambda share: (_last(mine, None, share), share),
        )
    config = min(configs, key=lambda config: (_last(known, config.name, share), config.mode != Mode.SYNC))
    return config, share


def _last(known: Sequence[Drilled], vault: str | None, share: tuple[int, int]) -> int:
    """When a share was drilled last, by itself or with all; 0 where it never was."""
    there = [one for one in known if vault is None or one.vault == vault]
    return max((one.at for one in there if one.scope == WHOLE or one.share == share), default=0)


def drill_lock(site: Site) -> FolderLock:
    return FolderLock(str(site.data / "run" / "drill"))


def drill_folder(site: Site) -> Path:
    return site.scratch_folder / "drill"


def sweep_drills(site: Site) -> None:
    """Remove what a drill that was killed has left; nothing where one is under way."""
    if not drill_folder(site).exists():
        return
    try:
        with drill_lock(site):
            shutil.rmtree(drill_folder(site), ignore_errors=True)
    except Locked:
        return


@contextmanager
def _scratch(site: Site) -> Iterator[tuple[FolderLock, Path]]:
    """The folder of one drill, empty, and gone afterwards."""
    folder = drill_folder(site)
    lock = drill_lock(site)
    try:
        lock.acquire()
    except Locked as error:
        raise OperatorError(
            "another drill of this data folder is under way", hint="wait until it has ended, then try again"
        ) from error
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("data/scratch", "first/scratch", "bodies", "blobs"):
            site.disk.make_folders(str(folder / name))
        yield lock, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def require_room(site: Site, parts: int) -> None:
    """Raises OutOfSpace where a scratch core would leave too little to the service."""
    live = site.core_path.stat().st_size if site.core_path.exists() else 0
    needed = int(live * ROOM_FACTOR / parts) + SPARE_BYTES
    free = site.disk.free_bytes(str(site.data))
    if free < needed:
        raise OutOfSpace(
            f"a drill needs about {needed // 2**20} MiB beside the core, and {free // 2**20} MiB are free; nothing was "
            "begun",
            hint="make room on the data disk, or drill a share of the accounts: `safehold drill run --rolling`",
        )


# -- a drill


def run_drill(site: Site, wanted: Wanted, progress: Progress = silent) -> Drilled:
    """Drill one vault, keep evidence of it, and say how it went.

    Raises OperatorError, VaultDown, KeyAway, OutOfSpace where it could not be done: then nothing is on record.
    """
    beside_core = not site.is_keeper
    if beside_core:
        site.open_reads().close()  # a live core is what is compared with
    config, share = choose(site, wanted)
    throttle = Throttle(wanted.throttle)
    with _scratch(site) as (lock, folder), ExitStack() as stack:
        require_room(site, share[1])
        if throttle.active:
            step_back()
            stack.enter_context(throttle.kept())
        sources = DrillSources(site, config, folder, throttle.rest)
        if not sources.vaults()[0].available():
            raise VaultDown(
                f"the vault {config.name} cannot be reached", hint="mount its disk, or drill another: --vault NAME"
            )
        course = (_Course if beside_core else _KeeperCourse)(
            site, config, share, wanted, sources, folder, throttle, progress
        )
        # Worker processes are made before anything is open that a fork must not share.
        course.helpers = None if throttle.active else helpers_of(sources, stack, lock)
        drilled = course.run()
    return record_drill(site, drilled, sources.upto)


class _Course:
    def __init__(
        self,
        site: Site,
        config: VaultConfig,
        share: tuple[int, int],
        wanted: Wanted,
        sources: DrillSources,
        folder: Path,
        throttle: Throttle,
        progress: Progress,
    ) -> None:
        self._site = site
        self._config = config
        self._share = share
        self._wanted = wanted
        self._sources = sources
        self._folder = folder
        self._throttle = throttle
        self._clock = WorkClock(site, throttle)
        self._told = progress
        self._at = site.clock.now()
        self._found = _Found()
        self._streams: dict[StreamKey, Told] = {}  # of the sample, as the live core's journal tells them
        self.helpers: Any = None

    def run(self) -> Drilled:
        to = self._resolve()
        self._forecast()
        self._first_contact()
        try:
            rebuilt = self._rebuild()
        except (VaultDown, KeyAway, OutOfSpace):
            raise
        except Exception as error:
            # Also a fault of our own: that recovery has one is what a drill is to find out before it is needed.
            self._fault(f"nothing could be recovered from the vault {self._config.name}", error)
        else:
            self._judge(rebuilt)
            try:
                self._beside(rebuilt)
            except (VaultDown, OutOfSpace):
                raise
            except Exception as error:
                self._fault("what was recovered could not be compared", error)
        before = self._clock.monotonic()
        self._check()
        self._found.stages["check"] = self._clock.monotonic() - before
        return self._drilled(to)

    def _fault(self, what: str, error: Exception) -> None:
        known = isinstance(error, SafeholdError)
        _log.warning("%s: %s", what, error, exc_info=not known)
        self._found.differs([f"{what}: {error}" if known else f"{what}: {type(error).__name__}: {error}"])

    def _progress(self, stage: str, done: int, total: int, unit: str) -> None:
        self._throttle.rest()
        self._told(stage, done, total, unit)

    # -- the point

    def _resolve(self) -> str:
        """Where the recovery is to end: `sources.upto` is set; the point as it is remembered. Raises OperatorError."""
        end = VaultLogReader(self._sources.vaults(), self._sources.opener).end()
        position = self._core_position(end)
        # What the vault has beyond the core is on its way into it, or is taken in by the next start.
        self._sources.upto = position if end.frame > position.frame else end
        if self._wanted.to == LATEST:
            return LATEST
        to = self._random_time() if self._wanted.to == RANDOM else int(self._wanted.to)
        self._sources.upto = self._position_at(to)
        return stamp(to)

    def _core_position(self, end: LogPosition) -> LogPosition:  # noqa: ARG002 - where there is no core, the vault's end
        with closing(self._site.open_reads()) as core:
            return core.log_position()

    def _position_at(self, to: int) -> LogPosition:
        """The last frame that is not later than a time. Raises OperatorError where the vault does not reach so far."""
        start = next((g for g in self._sources.runs().generations() if g.manifest.at <= to), None)
        found = start.position if start is not None else EMPTY_LOG
        for frame in self._sources.reader().entries(found):
            if isinstance(frame, Hole):
                continue
            if frame.at > to:
                break
            found = frame.position
        if found == EMPTY_LOG:
            raise OperatorError(
                f"the vault {self._config.name} has nothing from before {stamp(to)}", hint="name a later time"
            )
        return found

    def _random_time(self) -> int:
        generations = list(self._sources.runs().generations())
        oldest = generations[-1] if generations else None
        first = last = oldest.manifest.at if oldest is not None else 0
        for frame in self._sources.reader().entries(oldest.position if oldest is not None else EMPTY_LOG):
            if not isinstance(frame, Hole):
                first, last = first or frame.at, max(last, frame.at)
        return first + self._seed() % max(1, last - first + 1)

    def _seed(self) -> int:
        return int.from_bytes(self._site.entropy.bytes(6), "big")

    # -- recovering

    def _forecast(self) -> None:
        """What is forecast for this drill before it begins, of a share its part: so that forecasts can be judged."""
        with closing(self._site.open_reads()) as core:
            size = Size(*(figure / self._share[1] for figure in measure(core, self._at).size()))
        known = drills(self._site)
        self._found.forecast_seconds = Forecaster(RTO, known).forecast(size, self._config.name).seconds
        first = Forecaster(FIRST_CONTACT, known).forecast(size, self._config.name)
        self._found.forecast_first_contact_seconds = first.seconds

    def _first_contact(self) -> None:
        """As soon as one account's contacts, drawn at random, could be answered."""
        with closing(self._site.open_reads()) as core:
            self._first_contact_of(core)

    def _first_contact_of(self, core: CoreReads) -> None:
        there = [id_ for id_, kind in core.stream_ends() if kind is Kind.CONTACTS and in_share(id_, self._share)]
        if not there:
            return
        account = random.Random(self._seed()).choice(sorted(there))  # noqa: S311 - a sample
        self._found.first_contact_seconds = first_contact(
            self._sources.again,
            self._sources.vaults(),
            account,
            make_core=make_core,
            make_rows=StreamRows,
            disk=self._site.disk,
            data=str(self._folder / "first"),
            clock=self._clock,
            timeline=self._sources.upto.timeline + 1,
            sync=[self._config.name],
            rest=self._throttle.rest,
        )
        shutil.rmtree(self._folder / "first", ignore_errors=True)

    def _rebuild(self) -> Rebuilt:
        rebuilt = rebuild(
            self._sources.again,
            self._sources.vaults,
            self._share,
            make_core=make_core,
            blobs=self._sources.blobs(),
            disk=self._site.disk,
            data=str(self._folder / "data"),
            clock=self._clock,
            sync=[self._config.name],
            helpers=self.helpers,
            progress=self._progress,
        )
        self._found.stages |= {"read": rebuilt.read_seconds, "enter": rebuilt.enter_seconds}
        self._found.accounts = len(rebuilt.accounts)
        return rebuilt

    def _judge(self, rebuilt: Rebuilt) -> None:
        """What the recovery itself says that it lacks."""
        report: Report = rebuilt.report
        for loss in report.lost:
            name = f" {loss.collection or '?'}/{loss.name}" if loss.name else ""
            self._found.differs([f"{loss.account}, {loss.kind}:{name} revs {loss.revs[:5]} cannot be recovered"])
        for count in report.not_exact:
            self._found.differs(
                [f"{count.account}, {count.kind}: {count.older} items would come back older, {count.lost} not at all"]
            )
        if not report.verified:
            self._found.differs(["not all that was read could be verified"])

    # -- comparing and serving

    def _beside(self, rebuilt: Rebuilt) -> None:
        """The scratch core beside the live one."""
        path = self._settled()
        with closing(self._site.open_reads()) as live, closing(SqliteCore.open(path, read_only=True)) as scratch:
            self._kinds(scratch, rebuilt)
            seed = self._seed()
            self._compare(live, scratch, rebuilt, seed)
            self._serve(scratch, seed)

    def _settled(self) -> str:
        """Where the scratch core lies, which ends where it was told to."""
        scratch = make_core(str(self._folder / "data" / "core"))
        try:
            scratch.begin()
            scratch.set_end_in_doubt(b"")
            scratch.commit()
        finally:
            scratch.close()
        return str(self._folder / "data" / "core" / "core.db")

    def _kinds(self, scratch: CoreReads, rebuilt: Rebuilt) -> None:
        seconds = {stage.kind: stage.seconds for stage in rebuilt.report.stages}
        chosen = set(rebuilt.accounts) | {SYSTEM}
        figures: dict[Kind, list[int]] = {kind: [0, 0, 0] for kind in RESTORE_ORDER}
        for account, kind in scratch.stream_ends():
            row = scratch.account_by_id(account)
            if row is None or account not in chosen:
                continue
            there = scratch.figures(row.number, kind)
            for place, count in enumerate(there):
                figures[kind][place] += count
        self._found.kinds = {
            str(kind): KindTimed(counts[0], counts[1], counts[2], round(seconds.get(kind, 0.0), 4))
            for kind, counts in figures.items()
            if counts[0]
        }

    def _selected(self, account: bytes, kind: Kind) -> bool:
        return account == SYSTEM or kind is Kind.IDENTITY or in_share(account, self._share)

    def _compare(self, live: CoreReads, scratch: CoreReads, rebuilt: Rebuilt, seed: int) -> None:
        before = self._clock.monotonic()
        chosen = set(rebuilt.accounts)
        drawn = draw(rebuilt.accounts, seed)
        comparison = Comparison(
            live,
            scratch,
            self._sources.upto.frame,
            self._selected,
            lambda key: key[0] in drawn and key[0] in chosen and key[1] in DAV_KINDS,
            self._throttle.rest,
            lambda done, total: self._told("compare", done, total, "streams"),
        )
        self._compare_by(comparison, before)

    def _compare_by(self, comparison: Comparison | StatedComparison, before: float) -> None:
        """Carry it out, and note what it found and how long it took since `before`."""
        self._found.compared = comparison.run()
        self._found.differs(self._found.compared.differences)
        self._found.stages["compare"] = self._clock.monotonic() - before
        self._streams = comparison.told

    def _serve(self, scratch: CoreReads, seed: int) -> None:
        before = self._clock.monotonic()
        site = self._site
        gate = ScratchGate(
            scratch,
            self._sources.blobs(),
            site.clock,
            site.entropy,
            site.config,
            erased_days(site.config.retention),
        )
        self._found.sampled = sample(gate, self._streams, seed, self._throttle.rest)
        self._found.differs(self._found.sampled.differences)
        self._found.stages["serve"] = self._clock.monotonic() - before

    # -- the objects themselves

    def _check(self) -> None:
        """Every byte of what was read, and what should be there, as a scrub judges it."""
        listing = Scrubbing(self._site, level=Level.LIST, progress=self._progress)
        result = listing.run(self._config)
        if result.trouble:
            self._found.differs([f"the vault {self._config.name} could not be looked through: {result.trouble}"])
        needed = self._needed()
        damaged = {one.object: one for one in result.damaged if _concerns(one, needed, self._generation())}
        reading = Scrubbing(self._site, level=Level.SCRUB, progress=self._progress)
        vault = reading.vault(self._config)
        scrubber = reading.scrubber(vault)
        try:
            for name in sorted(needed - damaged.keys()):
                size = None if name.startswith(LOG_PREFIX) else vault.size(name)  # the log was read just now
                if size is not None:
                    bad = scrubber.look(name, size).bad
                    damaged |= {each: Damage(each, Problem.CORRUPT, why) for each, why in bad.items()}
                self._throttle.rest()
        finally:
            vault.close()
        self._found.damaged = [damage_object(damaged[name]) for name in sorted(damaged)[:MAX_NAMED]]

    def _needed(self) -> set[str]:
        """What this recovery has asked the vault for, whichever process did."""
        names = set(self._sources.noted)
        generation = next(self._sources.runs().generations(), None)
        if generation is not None:
            names |= {entry.object.name for entry in generation.manifest.runs}
        return names

    def _generation(self) -> int:
        return max(self._sources.runs().numbers(), default=0)

    # -- the record

    def _drilled(self, to: str) -> Drilled:
        found = self._found
        stages = found.stages
        people = [timed for kind, timed in found.kinds.items() if kind != Kind.IDENTITY]
        streams, equal, _, _ = found.compared
        return Drilled(
            at=self._at,
            vault=self._config.name,
            scope=self._wanted.scope,
            share=self._share,
            to=to,
            ok=not found.deviations and not found.damaged and streams == equal,
            streams_compared=streams,
            streams_equal=equal,
            accounts=found.accounts,
            changes=sum(timed.changes for timed in found.kinds.values()),
            items=sum(timed.items for timed in people),
            bytes=sum(timed.bytes for timed in people),
            seconds=round(sum(stages.get(name, 0.0) for name in ("read", "enter", "compare")), 4),
            waited_seconds=round(self._throttle.waited_seconds, 4),
            first_contact_seconds=_rounded(found.first_contact_seconds),
            stages={name: round(seconds, 4) for name, seconds in stages.items()},
            kinds=found.kinds,
            requests=found.sampled.requests,
            rule=found.sampled.rule,
            forecast_rto_seconds=_rounded(found.forecast_seconds),
            forecast_first_contact_seconds=_rounded(found.forecast_first_contact_seconds),
            deviations=found.deviations,
            damaged=found.damaged,
            approved_by=self._wanted.by,
        )


class _KeeperCourse(_Course):
    """Where there is no live core: what is recovered is compared with what the core has stated in the vault."""

    def _core_position(self, end: LogPosition) -> LogPosition:
        return end

    def _forecast(self) -> None:
        """Nothing here says how much the service holds before it is recovered."""

    def _first_contact(self) -> None:
        """Only what is recovered tells who is there: measured after it."""

    def _beside(self, rebuilt: Rebuilt) -> None:
        with closing(SqliteCore.open(self._settled(), read_only=True)) as scratch:
            self._kinds(scratch, rebuilt)
            seed = self._seed()
            self._compare_stated(scratch, rebuilt, seed)
            self._serve(scratch, seed)
            self._first_contact_of(scratch)

    def _compare_stated(self, scratch: CoreReads, rebuilt: Rebuilt, seed: int) -> None:
        before = self._clock.monotonic()
        drawn = draw(rebuilt.accounts, seed)
        comparison = StatedComparison(
            scratch,
            stated(self._sources.runs(), self._sources.reader(), self._sources.upto),
            rebuilt.plan.erased,
            self._selected,
            lambda key: key[0] in drawn and key[1] in DAV_KINDS,
            self._throttle.rest,
            lambda done, total: self._told("compare", done, total, "streams"),
        )
        self._compare_by(comparison, before)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _concerns(damage: Damage, needed: set[str], generation: int) -> bool:
    """Whether a recovery would read, or miss, this object."""
    if damage.object in needed or damage.object.startswith(LOG_PREFIX):
        return True
    if damage.problem is not Problem.MISSING:
        return False
    number = damage.object.split("/")[1] if damage.object.startswith("runs/") else ""
    return number.isdigit() and int(number) >= generation
