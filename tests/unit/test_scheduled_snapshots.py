"""When a service has a snapshot taken, and what becomes of one that fails."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly import scheduled
from safehold.assembly.scheduled import ScheduledSnapshots, Tail, log_bytes
from safehold.config import Config
from safehold.lab.world import SimClock
from safehold.vault.memory import MemoryVault
from tests.support.logs import QUIET, SMALL, Writing

MIB = 1 << 20
HOUR = 3_600_000_000


class Site:
    """As much of a data folder as a schedule asks of it."""

    def __init__(self) -> None:
        self.config = Config()
        self.clock = SimClock()
        self.data = Path("/data")
        self.config_path = Path("/data/safehold.toml")


class Child:
    """A snapshot that runs until it is told how it ends."""

    def __init__(self, line: list[str], **_: Any) -> None:
        self.line = line
        self.pid = 1 << 30  # nobody's
        self.returncode: int | None = None
        self.output = b""
        self.asked: list[str] = []
        self.stubborn = False

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        if self.returncode is None and timeout is not None and self.stubborn:
            raise subprocess.TimeoutExpired(self.line, timeout)
        return self.output, b""

    def terminate(self) -> None:
        self.asked.append("terminate")

    def kill(self) -> None:
        self.asked.append("kill")


class Schedule:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = Site()
        self.children: list[Child] = []
        self.tail = Tail(0, None, 0, 0, 0)
        self.snapshots = ScheduledSnapshots(self.site)  # type: ignore[arg-type]
        monkeypatch.setattr(scheduled.subprocess, "Popen", self._popen)
        monkeypatch.setattr(scheduled, "look_at_tail", lambda _: self.tail)

    def _popen(self, line: list[str], **more: Any) -> Child:
        self.children.append(Child(line, **more))
        return self.children[-1]

    def look(self, generation: int, age_hours: float, changes: int, bytes_: int, runs: int = 0) -> None:
        """What a look at the log finds from now on."""
        at = self.site.clock.now() - int(age_hours * HOUR)
        self.tail = Tail(generation, at, changes, bytes_, runs)
        self.snapshots._watch.wait(5)

    def tick(self) -> int:
        """How many children have been started by now."""
        self.snapshots.tick()
        return len(self.children)

    def end(self, code: int, output: bytes = b"{}") -> None:
        self.children[-1].returncode, self.children[-1].output = code, output


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    return Schedule(monkeypatch)


@pytest.mark.parametrize(
    ("age_hours", "changes", "bytes_", "runs", "due"),
    [
        (1, 100, 15 * MIB, 0, False),
        (1, 100, 17 * MIB, 0, True),
        (1, 100, 17 * MIB, 100 * MIB, False),  # less than a quarter of the runs
        (1, 100, 26 * MIB, 100 * MIB, True),
        (23, 1, 100, 0, False),
        (25, 1, 100, 0, True),
        (1000, 0, 17 * MIB, 0, False),  # seals and claims alone
    ],
)
def test_when_one_is_due(schedule: Schedule, age_hours: float, changes: int, bytes_: int, runs: int, due: bool) -> None:
    schedule.look(7, age_hours, changes, bytes_, runs)
    assert schedule.tick() == due


def test_one_at_a_time_and_none_for_the_same_reason_twice(schedule: Schedule) -> None:
    schedule.look(7, 1, 5, 20 * MIB)
    assert schedule.tick() == schedule.tick() == 1
    assert schedule.snapshots.status()["running"]
    assert "--workers" in schedule.children[0].line and "/data" in schedule.children[0].line
    schedule.end(0, b'{"generation": 9}')
    assert schedule.tick() == 1
    assert not schedule.snapshots.status()["running"] and schedule.snapshots.incidents() == []
    schedule.look(9, 0, 3, 20 * MIB)
    assert schedule.tick() == 2


def test_one_that_fails_is_told_and_tried_again_ever_less_often(schedule: Schedule) -> None:
    schedule.look(7, 1, 5, 20 * MIB)
    assert schedule.tick() == 1
    pauses = (60, 120, 240)
    for number, pause in enumerate(pauses, 2):
        schedule.end(3, b'{"away": [{"vault": "near", "why": "it is full"}]}')
        schedule.tick()
        (told,) = schedule.snapshots.incidents()
        assert "near: it is full" in told["message"] and told["hint"]
        schedule.site.clock.advance(pause - 1)
        assert schedule.tick() == number - 1
        schedule.site.clock.advance(2)
        assert schedule.tick() == number
    schedule.end(0)
    schedule.tick()
    assert schedule.snapshots.incidents() == []


def test_one_that_says_nothing_is_told_by_its_code(schedule: Schedule) -> None:
    schedule.look(7, 1, 5, 20 * MIB)
    schedule.tick()
    schedule.end(-9, b"")
    schedule.tick()
    assert "code -9" in schedule.snapshots.incidents()[0]["message"]


def test_none_is_started_while_nothing_can_be_written(schedule: Schedule) -> None:
    schedule.look(7, 1, 5, 20 * MIB)
    schedule.snapshots.tick(can_start=False)
    assert schedule.children == []


@pytest.mark.parametrize("stubborn", [False, True])
def test_the_end_of_the_service_ends_it(schedule: Schedule, stubborn: bool) -> None:
    schedule.look(7, 1, 5, 20 * MIB)
    schedule.tick()
    schedule.children[0].stubborn = stubborn
    schedule.snapshots.stop()
    assert schedule.children[0].asked == (["terminate", "kill"] if stubborn else ["terminate"])
    schedule.snapshots.stop()


def test_bytes_of_the_log_after_a_frame() -> None:
    near = MemoryVault("near")
    writing = Writing([near], limits=SMALL)
    writing.write(20, each=4)
    segments = sorted(name for name in near.objects if name.endswith(".seg"))
    assert len(segments) > 3
    sizes = [len(near.objects[name]) for name in segments]
    assert log_bytes(near, 0, 0) == sum(sizes)
    first_of = [int(name.rpartition("-")[2].removesuffix(".seg")) for name in segments]
    for place in range(1, len(segments)):
        assert log_bytes(near, 1, first_of[place]) == sum(sizes[place + 1 :])
    later = Writing([near], limits=QUIET, core=writing.log.position)
    later.write(1)
    assert log_bytes(near, 1, writing.log.position.frame) > 0
