"""A recovery that goes on while the service serves: who drives it, who waits for it, and what is said of it.

`recovery.staged` knows what is to be entered and how, and nothing of threads. Here each of its parts gets a place:

    prepare    in a thread of its own, while worker processes read and verify ahead
    step       in turns of the writer's thread, some milliseconds each, more where nobody waits; a change that does
               comes between any two
    fetch      of large bodies, once all streams are in, in that other thread again

Whoever knocks waits on the event loop for the streams it needs, for a moment and no longer, and as many at a time as
the service can bear. All that is on disk is the core itself: a kill at any moment, a stop too, leaves one that the next
start goes on with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from safehold.model.commands import AddScore, AnyCommand, Transfer, Undo
from safehold.model.errors import OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.paths import kinds_under
from safehold.model.private import Private
from safehold.ports.core import CoreStore
from safehold.ports.vault import VaultDown
from safehold.ports.world import Clock
from safehold.recovery.after import SERVING, AfterReport, Read, after_report
from safehold.recovery.staged import Staged, StagedProgress, StreamState
from safehold.service.items import stamp
from safehold.web.pump import Pump

if TYPE_CHECKING:
    from safehold.assembly.recovering import Claim, Sources
    from safehold.recovery.report import Report, Suspicion
    from safehold.store.sqlite.core import SqliteCore

T = TypeVar("T")

#: Whoever knocks waits so long at most …
KNOCK_SECONDS = 4.0
#: … and so many requests at a time: beyond, they are told to come again, and what they need comes to the front too.
KNOCKING = 256
#: What one turn of the writer's thread may take, about, besides its commit, which costs a sync however little it brings
#: in: the changes of a turn are made more or fewer to that end.
TURN_SECONDS = 0.010
#: The same once nobody has knocked or written for so long.
QUIET_SECONDS, QUIET_TURN_SECONDS = 0.2, 0.060
FEWEST_CHANGES, MOST_CHANGES = 50, 5_000
#: Of large bodies so many bytes are fetched at a time, and one whole body at least.
FETCH_BYTES = 4 << 20
#: A recovery that cannot go on (no vault in reach, the writer stopped) tries again after so long, then more rarely.
RETRY_SECONDS = (1.0, 5.0)
#: Streams that are held for good are named in the status object, up to so many.
NAMED = 100

_log = logging.getLogger("safehold.recovery")
_Key = tuple[bytes, Kind]


class UnderWay(NamedTuple):
    """A recovery that has begun: identity is in. `claim` ends the marks that it has left in the vaults.

    `reads` opens the core for reading, in the thread that calls it.
    """

    staged: Staged
    sources: Sources
    claim: Claim
    reads: Callable[[], SqliteCore]


class ServingRecovery:
    """Drives one `Staged`. Used on the event loop's thread."""

    def __init__(
        self,
        under_way: UnderWay,
        pump: Pump,
        core: Callable[[], CoreStore],
        pause: Callable[[SafeholdError], None],
        released: Callable[[], None],
        clock: Clock,
        keep: Callable[[AfterReport], Awaitable[None]],
        ended: Callable[[dict[str, Any]], None],
    ) -> None:
        """`core` is the writer's, and raises what keeps it from writing; `pause` has it opened anew; `released` applies
        what waits for streams that have come. They are called in the writer's thread. `keep` keeps the report
        and tells whom it concerns, before the record goes, and so again after a kill; `ended` hears what came of it.
        """
        self._staged, self._sources, self._claim, self._reads = under_way
        self._pump = pump
        self._core = core
        self._pause = pause
        self._released = released
        self._clock = clock
        self._keep = keep
        self._kept = False
        self._ended = ended
        self._thread = ThreadPoolExecutor(1, "recovery")
        self._arrivals: dict[_Key, asyncio.Future[None]] = {}
        self._knocking = 0
        self._changes = FEWEST_CHANGES
        self._asked_at = clock.monotonic()  # when somebody last waited for the writer, or for a stream
        self._trouble = ""
        self._stage = ""
        self._since = under_way.staged.began_at
        self._task: asyncio.Task[None] | None = None

    # -- knocks ----------------------------------------------------------------------------------------------

    def waits(self, account: bytes, kind: Kind) -> bool:
        """Whether a stream is not in yet."""
        return self._staged.state(account, kind) is StreamState.QUEUED

    async def ready(self, account: bytes, kinds: Iterable[Kind]) -> None:
        """Bring these streams to the front; wait until they are in, for a moment (I58)."""
        waiting = [kind for kind in kinds if self.waits(account, kind)]
        if not waiting:
            return
        self._asked_at = self._clock.monotonic()
        for kind in waiting:
            self._staged.knock(account, kind)
        if self._knocking >= KNOCKING or self._task is None:
            return
        self._knocking += 1
        try:
            await asyncio.wait([self._arrival((account, kind)) for kind in waiting], timeout=KNOCK_SECONDS)
        finally:
            self._knocking -= 1

    async def ready_for(self, command: AnyCommand) -> None:
        """The same for a command of the local socket."""
        await self.ready(command.account, _kinds_of(command))

    def _arrival(self, key: _Key) -> asyncio.Future[None]:
        """One for everybody who waits for this stream."""
        if key not in self._arrivals:
            self._arrivals[key] = asyncio.get_running_loop().create_future()
        return self._arrivals[key]

    def _tell_arrived(self) -> None:
        for key in [key for key in self._arrivals if not self.waits(*key)]:
            self._arrivals.pop(key).set_result(None)

    # -- turns -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Let what is under way end. What is not in yet is entered after the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        await self._again_and_again(self._enter)
        await self._again_and_again(self._fetch)
        report = await self._again_and_again(self._close)
        self._thread.shutdown(wait=False)
        self._ended(self._told(report))

    async def _again_and_again(self, work: Callable[[], Awaitable[T]]) -> T:
        """Until it has come to its end. What is in stays in: each try goes on where the last one stopped."""
        pause = RETRY_SECONDS[0]
        while True:
            try:
                return await work()
            except Exception as error:
                said = error.message if isinstance(error, SafeholdError) else f"{type(error).__name__}: {error}"
                if self._tell_trouble(said, traceback=not isinstance(error, SafeholdError)):
                    pause = RETRY_SECONDS[0]
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS[1])

    async def _enter(self) -> None:
        """Streams, one piece after the other; the next one is read while one enters."""
        more, reading = True, self._read()
        try:
            while more:
                await reading
                reading = self._read()
                more = await self._pump.exclusive(self._turn)
                if self._pump.busy:
                    self._asked_at = self._clock.monotonic()
                self._tell_arrived()
                self._tell_stage()
                self._tell_trouble(self._staged.trouble)
                if self._trouble and more:  # a vault is away: nothing more can be read until it is back
                    await asyncio.sleep(RETRY_SECONDS[0])
        finally:
            await asyncio.wait((reading,))

    def _read(self) -> asyncio.Future[bool]:
        """Have a turn's changes ready; one for which somebody knocks does not wait for others."""
        return asyncio.ensure_future(self._elsewhere(partial(self._staged.prepare, self._changes)))

    def _turn(self) -> bool:
        """In the writer's thread: a piece of it. False once nothing is left."""
        core = self._core()
        try:
            more = self._staged.step(core, self._changes)
        except VaultDown:
            core.rollback()
            raise
        except Exception as error:  # whether it is on disk shows when the core is opened anew
            self._pause(OperatorError(f"a step of the recovery failed: {error}"))
            raise
        quiet = self._clock.monotonic() - self._asked_at >= QUIET_SECONDS
        self._pace(self._staged.worked_seconds, QUIET_TURN_SECONDS if quiet else TURN_SECONDS)
        self._released()
        return more

    def _pace(self, seconds: float, turn: float = TURN_SECONDS) -> None:
        """A turn that took long is followed by one of fewer changes. Half as much again is the most it grows by."""
        wanted = self._changes * turn / max(seconds, turn / 1.5)
        self._changes = max(FEWEST_CHANGES, min(MOST_CHANGES, int(wanted)))

    async def _fetch(self) -> None:
        """Large bodies that the blobs folder lacks. What is asked for meanwhile comes out of the vaults by itself."""
        blobs, core = self._sources.blobs(), await self._elsewhere(self._reads)
        try:
            while await self._elsewhere(partial(self._staged.fetch, core, blobs, FETCH_BYTES)):
                self._tell_stage()
        finally:
            await self._elsewhere(core.close)

    async def _close(self) -> Report:
        """The marks in the vaults first: while they stand nothing is retained, and nobody would end them later.

        Then what came of it is kept and told; the record, without which nobody would know, goes last.
        """
        await self._elsewhere(self._claim.done)
        if not self._kept:
            outcome = await self._pump.exclusive(lambda: self._staged.outcome(self._core()))
            outcome.suspect = await self._elsewhere(partial(self._suspicions, outcome.timeline))
            await self._keep(self._after(outcome))
            self._kept = True
        return await self._pump.exclusive(lambda: self._staged.close(self._core()))

    def _suspicions(self, timeline: int) -> list[Suspicion]:
        """`timeline` is the recovery's own. What cannot be asked hinders no recovery."""
        try:
            return self._sources.suspicions(timeline)
        except SafeholdError as error:
            _log.warning("whether the log is suspect cannot be told: %s", error)
            return []

    async def _elsewhere(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _tell_trouble(self, said: str, *, traceback: bool = False) -> bool:
        """Whether it is another than before. Told once."""
        if said == self._trouble:
            return False
        self._trouble = said
        if said:
            _log.error("the recovery cannot go on now: %s", said, exc_info=traceback)
        return True

    # -- what is said ----------------------------------------------------------------------------------------

    def _tell_stage(self) -> None:
        stage = self._staged.progress().stage
        if stage != self._stage:
            self._stage = stage
            _log.info("recovery: %s", stage)

    def status(self) -> dict[str, Any]:
        """The contract's `recovery`, of a status object."""
        progress = self._staged.progress()
        return {
            "state": "waiting" if self._trouble else "running",
            "stage": progress.stage,
            "since": stamp(self._since),
            "kinds": {
                kind.value: {"expected": count.items, "entered": count.items_entered}
                for kind, count in progress.kinds.items()
            },
            "streams": self._streams(progress),
            "seconds": round(progress.seconds, 1),
            "forecast_seconds": None if progress.forecast_seconds is None else round(progress.forecast_seconds, 1),
            "sources": self._sources.names(),
            "held": self._staged.held()[:NAMED],
            "trouble": self._trouble or None,
        }

    def _streams(self, progress: StagedProgress) -> dict[str, int]:
        """How many streams are in which state."""
        entered = sum(count.streams_entered for count in progress.kinds.values())
        partly, without = len(self._staged.held()), self._staged.without_bodies
        return {
            StreamState.QUEUED.value: sum(count.streams for count in progress.kinds.values()) - entered,
            StreamState.SERVING.value: without,
            StreamState.WHOLE.value: max(0, entered - partly - without),
            StreamState.PARTIAL.value: partly,
        }

    def _told(self, report: Report) -> dict[str, Any]:
        """What came of it, for the log and the status object."""
        now = self._clock.now()
        seconds = (now - self._since) / 1_000_000
        items = {kind.value: msgspec.to_builtins(count) for kind, count in report.items.items()}
        total = report.total()
        _log.warning(
            "the core is recovered: %d items exact, %d older, %d lost, of %d accounts, in %.1f seconds",
            total.exact,
            total.older,
            total.lost,
            report.accounts,
            seconds,
        )
        for loss in report.lost[:NAMED]:
            where = "/".join(filter(None, (loss.collection, loss.name))) or "something that nobody can name"
            _log.warning("lost: account %s, %s: %s", Private(loss.account), loss.kind, Private(where))
        return {
            "at": now,
            "since": self._since,
            "seconds": round(seconds, 1),
            "items": items,
            "lost": len(report.lost),
            "unknown_seconds": report.unknown_seconds,
            "verified": report.verified,
        }

    def _after(self, report: Report) -> AfterReport:
        """The report that is kept, by account."""
        now = self._clock.now()
        seconds = (now - self._since) / 1_000_000
        sources = [Read(name) for name in self._sources.names()]
        made = after_report(report, at=now, how=SERVING, generation=self._staged.generation, sources=sources)
        from safehold.assembly.recovering import parity_told

        made.seconds = seconds
        made.notes = [*self._staged.held(), *parity_told(self._sources.by_parity())]
        return made


def _kinds_of(command: AnyCommand) -> Iterable[Kind]:
    """The streams that a command of the local socket needs, besides identity."""
    if isinstance(command, Transfer):
        return (*kinds_under(command.source), *kinds_under(command.destination))
    if isinstance(command, AddScore):
        return (Kind.SCORES,)
    kind, path = getattr(command, "kind", None), getattr(command, "path", None)
    if kind is not None:
        return (kind,)
    if path is not None:
        return kinds_under(path)
    return DATA_KINDS if isinstance(command, Undo) else ()
