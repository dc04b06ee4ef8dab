"""What a service sees to by itself, over simulated weeks: real records and locks, and children that end when told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold.adapters.lock import FolderLock
from safehold.assembly import scheduled, scheduled_keeper, scheduler
from safehold.assembly.drill_record import note_drill
from safehold.assembly.installation import Installation
from safehold.assembly.jobs import DRILL, KEEP, SCRUB, job_run, last_run
from safehold.assembly.keeping import KeptVault, LastKeep, remember
from safehold.assembly.objectives import Measures
from safehold.assembly.scheduled import Tail
from safehold.assembly.scheduler import FIRST_SECONDS, Scheduler
from safehold.assembly.scrubbing import notebook_folder
from safehold.config import DEFAULT_TEXT, FILE_NAME, load, write
from safehold.lab.world import SimClock
from safehold.model.errors import OperatorError
from safehold.proof.drills import ROLLING
from safehold.proof.durations import DAY, HOUR
from safehold.proof.schedule import pause_seconds
from safehold.recovery.notebook import FileNotebook, LastScrub
from tests.support.drilling import drilled

NO_KEEPER = DEFAULT_TEXT.replace("hours = 24             # so", "hours = 0              # so")


class Child:
    """One that runs until its time has come, then does what the command would leave behind."""

    def __init__(self, world: World, words: tuple[str, ...]) -> None:
        self.world, self.words, self.began = world, words, world.clock.monotonic()
        self.pid = 1 << 30
        self.returncode: int | None = None
        self.output = b"{}"

    def poll(self) -> int | None:
        if self.returncode is None and self.world.clock.monotonic() - self.began >= self.world.takes_seconds:
            self.returncode = self.world.fails or self.leave()
            if self.world.fails:
                self.output = json.dumps({"error": "the disk is away"}).encode()
            self.world.ended.append(" ".join(self.words))
        return self.returncode

    def leave(self) -> int:
        site, now = self.world.site, self.world.clock.now()
        if self.words[:2] == ("vault", "scrub"):
            with job_run(site, SCRUB):
                book = FileNotebook(site.disk, notebook_folder(site), self.words[2])
                book.ended(LastScrub(now, "scrub", 1, 1, 0), {})
        elif self.words[0] == "keeper":
            with job_run(site, KEEP):
                remember(site, LastKeep(now, 1.0, [KeptVault("near", 1), KeptVault("far", 1)]))
        else:
            more: dict[str, Any] = {"scope": ROLLING, "share": (1, 7)} if "--rolling" in self.words else {}
            with job_run(site, DRILL):
                note_drill(site, drilled(100, 1.0, at=now, **more))
        return 0

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        return self.output, b""

    def terminate(self) -> None:
        self.returncode = -15


class World:
    def __init__(self, data: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        write(data / FILE_NAME, text)
        self.clock = SimClock(1_790_000_000_000_000)
        self.site = Installation(data, load(data / FILE_NAME))
        self.site.clock = self.clock  # type: ignore[assignment]
        self.site.make()
        self.started: list[tuple[float, str]] = []
        self.ended: list[str] = []
        self.children: list[Child] = []
        self.takes_seconds = 600.0
        self.fails = 0
        self.most = 0  # children at one time
        for module in (scheduler, scheduled_keeper):
            monkeypatch.setattr(module, "start_child", self._start)
        monkeypatch.setattr(scheduled, "look_at_tail", lambda _: Tail(0, None, 0, 0, 0))
        self.restart()

    def restart(self) -> None:
        self.jobs = Scheduler(self.site)

    def _start(self, _site: Any, *words: str, **_: Any) -> Child:
        self.started.append((self.clock.monotonic(), " ".join(words)))
        self.children.append(Child(self, words))
        self.most = max(self.most, sum(child.returncode is None for child in self.children))
        return self.children[-1]

    def pass_by(self, seconds: float, step: float = 300.0, seen: Callable[[], None] = lambda: None) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.jobs.tick(writing=True, whole=True)
            seen()

    def began(self, word: str) -> list[float]:
        return [at for at, words in self.started if words.startswith(word)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path / "data", NO_KEEPER, monkeypatch)


def test_for_weeks_everything_is_done_as_often_as_the_objectives_ask(world: World) -> None:
    told: list[Any] = []
    world.pass_by(16 * DAY, 1800, lambda: told.extend(world.jobs.missed()))
    assert told == [], "a healthy service misses nothing"
    assert world.most == 1, "heavy ones go one at a time"
    for vault in ("near", "far"):
        times = world.began(f"vault scrub {vault}")
        assert 3 <= len(times) <= 4
        assert max(b - a for a, b in itertools.pairwise(times)) < 7 * DAY
    whole = [at for at, words in world.started if words == "drill run --throttle 0.1"]
    assert 3 <= len(whole) <= 4
    assert 13 <= len(world.began("drill run")) <= 21, "rolling ones daily, and whole ones"
    evidence = Measures(world.site)._ages()
    assert all(evidence[name].age_seconds is not None for name in ("scrub", "drill"))
    assert world.jobs.jobs()["scrub near"]["every_seconds"] == pytest.approx(5.25 * DAY, rel=0.01)


def test_nothing_heavy_begins_right_after_a_start_or_beside_a_recovery(world: World) -> None:
    world.pass_by(FIRST_SECONDS - 100, 50)
    assert world.started == []
    for _ in range(20):
        world.clock.advance(600)
        world.jobs.tick(writing=True, whole=False)
    assert world.started == []
    world.pass_by(100, 50)
    assert len(world.started) == 1


def test_the_keepers_scrubs_count_and_it_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "data", DEFAULT_TEXT, monkeypatch)
    kept = Child.leave

    def leave(child: Child) -> int:
        if child.words[0] == "keeper":
            for name in ("near", "far"):
                book = FileNotebook(world.site.disk, notebook_folder(world.site), name)
                book.ended(LastScrub(world.clock.now(), "scrub", 1, 1, 0), {})
        return kept(child)

    monkeypatch.setattr(Child, "leave", leave)
    world.pass_by(10 * DAY, 1800)
    assert 9 <= len(world.began("keeper run")) <= 11
    assert len(world.began("vault scrub")) <= 2 and world.most == 1


def test_one_that_fails_is_tried_again_ever_less_often_and_missed_in_the_end(world: World) -> None:
    write(world.site.data / FILE_NAME, NO_KEEPER)
    world.takes_seconds, world.fails = 0.0, 3
    world.pass_by(2 * DAY, 60)
    near = world.began("vault scrub near")
    gaps = [b - a for a, b in itertools.pairwise(near)]
    wanted = [pause_seconds(n) for n in range(1, len(gaps) + 1)]
    assert all(want <= gap <= want + 600 for want, gap in zip(wanted, gaps, strict=True)), gaps
    run = last_run(world.site, SCRUB)
    assert run is not None and not run.done and run.failures and "the disk is away" in run.why
    world.pass_by(7 * DAY, 3600)
    missed = {one["key"]: one for one in world.jobs.incidents()}
    assert {"scrub near", "scrub far", "drill"} <= set(missed)
    assert all(one["runbook"] == "missed-job" and "the disk is away" in one["message"] for one in missed.values())
    world.fails = 0
    world.pass_by(DAY, 600)
    assert world.jobs.incidents() == [], "caught up with"


def test_what_a_machine_that_was_off_has_missed_is_told_at_its_start_and_caught_up_with(world: World) -> None:
    world.pass_by(3 * DAY, 1800)
    assert world.jobs.missed() == []
    world.clock.advance(20 * DAY)
    stopped = Scheduler(world.site).missed()  # nothing runs: who asks for the status is told as well
    assert {one["key"] for one in stopped} == {"scrub near", "scrub far", "drill", "drill-rolling"}
    world.restart()
    assert {one["key"] for one in world.jobs.missed()} == {one["key"] for one in stopped}
    assert "machine off" in stopped[0]["message"]
    world.pass_by(6 * HOUR, 300)
    assert world.jobs.missed() == []


def test_a_job_that_another_process_is_at_is_neither_begun_nor_a_failure(world: World) -> None:
    lock = FolderLock(str(world.site.data / "run/jobs/scrub.lock"))
    with lock:
        world.pass_by(2 * HOUR, 300)
        assert world.began("vault scrub") == []
        with pytest.raises(OperatorError, match="another process is at the job scrub"), job_run(world.site, SCRUB):
            raise AssertionError
    run = last_run(world.site, SCRUB)
    assert run is not None and not run.failures
    world.pass_by(2 * HOUR, 300)
    assert len(world.began("vault scrub")) == 2


def test_what_was_done_by_hand_is_not_done_again(world: World) -> None:
    for name in ("near", "far"):
        Child(world, ("vault", "scrub", name)).leave()
    world.pass_by(3 * DAY, 1800)
    assert world.began("vault scrub") == []


def test_a_run_that_is_cut_off_leaves_word_of_it(world: World) -> None:
    with pytest.raises(KeyboardInterrupt), job_run(world.site, DRILL):
        raise KeyboardInterrupt
    run = last_run(world.site, DRILL)
    assert run is not None and (run.ok, run.done, run.failures) == (False, 0, 1) and "KeyboardInterrupt" in run.why
    with job_run(world.site, DRILL) as job:
        job.found("something is wrong")
    run = last_run(world.site, DRILL)
    assert run is not None and (run.ok, run.done, run.failures) == (False, run.began, 0)
    path = world.site.data / "run/jobs/drill.json"
    path.write_bytes(b"torn")
    assert last_run(world.site, DRILL) is None


def test_a_service_that_ends_ends_what_it_began(world: World) -> None:
    world.pass_by(FIRST_SECONDS + 600, 300)
    (child,) = [child for child in world.children if child.returncode is None]
    world.jobs.stop()
    assert child.returncode == -15


def test_a_record_of_a_newer_version_is_no_error(world: World) -> None:
    path = world.site.data / "run/jobs/drill.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode({"began": 5, "done": 5, "surprise": True}))
    run = last_run(world.site, DRILL)
    assert run is not None and run.done == 5
