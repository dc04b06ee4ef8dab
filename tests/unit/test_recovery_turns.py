"""Who drives a recovery while serving (I58): turns, knocks, troubles. On a real event loop, with made-up streams."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from safehold.assembly import serving, serving_recovery
from safehold.assembly.serving_recovery import ServingRecovery, UnderWay
from safehold.lab.world import SimClock
from safehold.model.commands import AddScore, Outcome, Undo
from safehold.model.errors import Held, OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.vault import VaultDown
from safehold.recovery.after import SERVING, AfterReport, after_report
from safehold.recovery.report import KindCount, Report, StreamCount
from safehold.recovery.staged import StreamState
from safehold.web.pump import Pump
from tests.support.waiting import LONG_SECONDS

ADA = b"a" * 16


class Streams:
    """Stands for recovery.staged.Staged: streams that enter one a step, those that are knocked for first."""

    began_at = 1_000_000
    without_bodies = 0
    generation = 7
    worked_seconds = 0.0

    def __init__(self, keys: list[tuple[bytes, Kind]], step_seconds: float = 0.0) -> None:
        self.queue = list(keys)
        self.entered: list[tuple[bytes, Kind]] = []
        self.asked: list[int] = []
        self.step_seconds = step_seconds
        self.failing: list[Exception] = []
        self.trouble = ""
        self.closed = self.fetched = False
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def state(self, account: bytes, kind: Kind) -> StreamState:
        return StreamState.QUEUED if (account, kind) in self.queue else StreamState.WHOLE

    def knock(self, account: bytes, kind: Kind) -> None:
        self.queue.remove((account, kind))
        self.queue.insert(0, (account, kind))

    def prepare(self, most: int) -> bool:
        return bool(self.queue)

    def step(self, core: Any, most: int) -> bool:
        self.gate.wait(LONG_SECONDS)
        self.threads.add(threading.current_thread().name)
        self.asked.append(most)
        if self.failing:
            raise self.failing.pop(0)
        time.sleep(self.step_seconds)
        if self.queue and not self.trouble:
            self.entered.append(self.queue.pop(0))
        return bool(self.queue)

    def fetch(self, core: Any, blobs: Any, most: int) -> bool:
        self.fetched = True
        return False

    def close(self, core: Any) -> Report:
        self.closed = True
        return self.outcome(core)

    def outcome(self, core: Any) -> Report:
        assert self.fetched
        return Report(1, 1, 1, 1, {Kind.CONTACTS: KindCount(1, 1)}, [], 0.0, [], 0.0, 0.0, True, 1)

    def progress(self) -> Any:
        return SimpleNamespace(stage="contacts" if self.queue else "done", kinds={}, seconds=0.0, forecast_seconds=None)

    def held(self) -> list[str]:
        return []


class World:
    """A driver over such streams, with a pump and a disk thread."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.rolled_back = 0
        self.paused: list[SafeholdError] = []
        self.stopped: Exception | None = None
        self.marks_done = self.releases = self.kept = 0
        self.cannot_keep: list[Exception] = []
        self.told: list[dict[str, Any]] = []
        self.clock = SimClock()
        self._disk = ThreadPoolExecutor(1, "commit")
        self.pump = Pump(cast(Any, None), self._disk)
        sources = SimpleNamespace(blobs=lambda: None, names=lambda: ["near"], suspicions=lambda _: [], by_parity=list)
        claim = SimpleNamespace(done=self._done)
        self.recovery = ServingRecovery(
            UnderWay(cast(Any, streams), cast(Any, sources), cast(Any, claim), cast(Any, self)),
            self.pump,
            cast(Any, self._core),
            self.paused.append,
            self._count_release,
            self.clock,
            self._keep,
            self._hear,
        )

    async def _keep(self, report: AfterReport) -> None:
        assert not self.streams.closed, "with the record goes what the report is made of"
        self.kept += 1
        if self.cannot_keep:
            raise self.cannot_keep.pop()
        assert (report.how, report.generation, [read.vault for read in report.sources]) == (SERVING, 7, ["near"])

    def _hear(self, last: dict[str, Any]) -> None:
        assert self.kept
        self.told.append(last)

    def __call__(self) -> Any:
        return SimpleNamespace(close=lambda: None)

    def _count_release(self) -> None:
        self.releases += 1

    def _done(self) -> None:
        assert not self.streams.closed, "the record goes last"
        self.marks_done += 1

    def _core(self) -> Any:
        if self.stopped is not None:
            raise self.stopped
        return self

    def rollback(self) -> None:
        self.rolled_back += 1

    async def ended(self) -> dict[str, Any]:
        await come_true(lambda: bool(self.told))
        return self.told[0]


async def come_true(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_SECONDS):
        while not true():
            await asyncio.sleep(0.001)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(serving_recovery, "RETRY_SECONDS", (0.01, 0.02))
    yield


def many(count: int = 20) -> list[tuple[bytes, Kind]]:
    return [(bytes([number]) * 16, kind) for number in range(count) for kind in DATA_KINDS]


def test_everything_enters_then_bodies_then_the_marks_then_the_record() -> None:
    async def work() -> None:
        world = World(Streams(many()))
        world.recovery.start()
        last = await world.ended()
        assert len(world.streams.entered) == len(many())
        assert world.streams.closed
        assert world.marks_done == 1
        assert world.releases == len(many()), "what waits for a stream is applied as soon as it has come"
        assert last["items"]["contacts"]["exact"] == 1
        assert last["lost"] == 0
        assert world.streams.threads == {"commit_0"}, "steps are turns of the writer's thread"

    run(work)


def test_who_knocks_comes_first_and_returns_when_it_is_in() -> None:
    async def work() -> None:
        world = World(Streams(many(), step_seconds=0.002))
        world.recovery.start()
        wanted = many()[-1]
        await world.recovery.ready(wanted[0], [wanted[1]])
        assert wanted in world.streams.entered
        assert len(world.streams.entered) < len(many()) / 2
        await world.recovery.ready(wanted[0], [wanted[1]])  # at once
        await world.recovery.stop()

    run(work)


def test_a_knock_waits_a_moment_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_recovery, "KNOCK_SECONDS", 0.05)

    async def work() -> None:
        world = World(Streams([(ADA, Kind.CONTACTS)]))
        world.streams.gate.clear()
        world.recovery.start()
        began = time.monotonic()
        await world.recovery.ready(ADA, [Kind.CONTACTS, Kind.SCORES])
        assert time.monotonic() - began > 0.04
        assert world.recovery.waits(ADA, Kind.CONTACTS)
        world.streams.gate.set()
        await world.ended()

    run(work)


def test_only_so_many_wait_and_the_others_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_recovery, "KNOCKING", 2)
    monkeypatch.setattr(serving_recovery, "KNOCK_SECONDS", 2 * LONG_SECONDS)

    async def work() -> None:
        world = World(Streams([(ADA, kind) for kind in DATA_KINDS]))
        world.streams.gate.clear()
        world.recovery.start()
        waiting = [asyncio.ensure_future(world.recovery.ready(ADA, [kind])) for kind in DATA_KINDS[:2]]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(LONG_SECONDS):
            await world.recovery.ready(ADA, [Kind.SCORES])  # does not wait
        assert world.recovery.waits(ADA, Kind.SCORES)
        world.streams.gate.set()
        await asyncio.gather(*waiting)
        await world.ended()

    run(work)


def test_changes_come_between_turns() -> None:
    """Whoever wants a turn of the writer's thread waits for one piece, not for all of them."""

    async def work() -> None:
        world = World(Streams(many(), step_seconds=0.003))
        world.recovery.start()
        await asyncio.sleep(0.02)
        for _ in range(10):
            before = len(world.streams.entered)
            await world.pump.exclusive(lambda: None)
            assert len(world.streams.entered) - before <= 2
        await world.recovery.stop()
        assert len(world.streams.entered) < len(many())

    run(work)


def test_turns_are_made_shorter_until_they_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        world = World(Streams(many()))
        recovery = world.recovery
        for seconds, grows in ((0.001, True), (0.001, True), (0.2, False)):
            before = recovery._changes
            recovery._pace(seconds)
            assert (recovery._changes > before) == grows
        for _ in range(50):
            recovery._pace(1.0)
        assert recovery._changes == serving_recovery.FEWEST_CHANGES
        for _ in range(50):
            recovery._pace(0.0)
        assert recovery._changes == serving_recovery.MOST_CHANGES

    run(work)


def test_turns_are_longer_while_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And short again from the turn on in which somebody has knocked or written."""
    monkeypatch.setattr(serving_recovery, "QUIET_SECONDS", 10.0)

    async def work() -> None:
        world = World(Streams(many()))
        recovery = world.recovery
        turns: list[float] = []
        monkeypatch.setattr(recovery, "_pace", lambda _, turn: turns.append(turn))
        recovery._turn()
        world.clock.advance(11.0)
        recovery._turn()
        account, kind = many()[-1]
        await recovery.ready(account, [kind])
        recovery._turn()
        assert turns == [
            serving_recovery.TURN_SECONDS,
            serving_recovery.QUIET_TURN_SECONDS,
            serving_recovery.TURN_SECONDS,
        ]

    run(work)


@pytest.mark.parametrize("error", [VaultDown("it is away"), OperatorError("no room"), RuntimeError("a fault")])
def test_a_step_that_fails_is_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    async def work() -> None:
        world = World(Streams(many(2)))
        world.streams.failing = [error, error]
        world.recovery.start()
        await world.ended()
        assert len(world.streams.entered) == len(many(2))
        if isinstance(error, VaultDown):
            assert (world.rolled_back, world.paused) == (2, [])
        else:
            assert len(world.paused) == 2, "whether it is on disk shows when the core is opened anew"

    run(work)
    assert len([record for record in caplog.records if "cannot go on" in record.message]) == 1, "told once"


def test_while_the_writer_has_stopped_it_waits_and_says_why() -> None:
    async def work() -> None:
        world = World(Streams(many(1)))
        world.stopped = OperatorError("a sync vault is away")
        world.recovery.start()
        await come_true(lambda: world.recovery.status()["state"] == "waiting")
        assert world.recovery.status()["trouble"] == "a sync vault is away"
        world.stopped = None
        await world.ended()

    run(work)


def test_while_nothing_can_be_read_it_does_not_spin() -> None:
    async def work() -> None:
        world = World(Streams(many(1)))
        world.streams.trouble = "the vault near is away"
        world.recovery.start()
        await come_true(lambda: world.recovery.status()["trouble"] == "the vault near is away")
        await asyncio.sleep(0.1)
        assert len(world.streams.asked) < 15
        world.streams.trouble = ""
        await world.ended()
        assert world.recovery.status()["trouble"] is None

    run(work)


def test_a_command_of_the_local_socket_knocks_for_what_it_needs() -> None:
    async def work() -> None:
        world = World(Streams([(ADA, kind) for kind in DATA_KINDS]))
        world.streams.gate.clear()
        world.recovery.start()
        knocked: list[Kind] = []
        world.streams.knock = lambda account, kind: knocked.append(kind)  # type: ignore[method-assign]
        for command in (AddScore(account=ADA, game="chess", score=1), Undo(account=ADA, to=1, path="contacts/default")):
            before = len(knocked)
            asking = asyncio.ensure_future(world.recovery.ready_for(command))
            await come_true(lambda before=before: len(knocked) > before)  # type: ignore[misc]
            asking.cancel()
        assert knocked == [Kind.SCORES, Kind.CONTACTS]
        world.streams.gate.set()
        await world.ended()

    run(work)


def test_what_a_recovery_has_to_tell_is_told_once_something_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    count = StreamCount("ann", "aa" * 16, Kind.CONTACTS, 10, 7, 1, 2)
    lost = Report(1, 1, 1, 1, {Kind.CONTACTS: KindCount(10, 7)}, [], 0.0, [], 0.0, 0.0, True, 1, [count])
    answers: list[Any] = [Held("the vault is away"), Outcome()]
    told: list[bytes] = []

    async def execute_all(batch: list[Any]) -> list[Any]:
        told.extend(command.account for command in batch)
        return [answers.pop(0) for _ in batch]

    async def run_blocking(work: Any) -> Any:
        return work()

    async def in_thread(work: Any) -> Any:
        return work(reads)

    monkeypatch.setattr(serving, "keep_report", lambda _site, report, _upto, again: report)
    monkeypatch.setattr(serving, "ghost_notes", lambda _site, _report: [])
    monkeypatch.setattr(serving, "TELL_AGAIN_SECONDS", 0.0)
    reads = SimpleNamespace(log_position=lambda: None, account_by_id=lambda _id: None)
    service = SimpleNamespace(
        reads=reads,
        run_blocking=run_blocking,
        in_thread=in_thread,
        installation=None,
        _telling=SimpleNamespace(recovered=lambda _report: None),
        pump=SimpleNamespace(execute_all=execute_all),
    )

    async def work() -> None:
        await serving.Service._keep_report(cast(Any, service), after_report(lost, at=1, how=SERVING))
        await serving.Service._tell_rest(cast(Any, service))

    service._told = lambda notices: serving.Service._told(cast(Any, service), notices)
    asyncio.run(work())
    assert told == [b"\xaa" * 16] * 2
    assert not answers


def test_what_came_of_it_is_kept_before_the_record_goes() -> None:
    async def work() -> None:
        world = World(Streams(many(1)))
        world.cannot_keep = [OperatorError("the vault is away")]
        world.recovery.start()
        await world.ended()
        assert world.kept == 2

    run(work)
