"""The simulated world: it stands still unless told, and takes the same course for the same seed."""

from __future__ import annotations

import pytest

from safehold.lab.world import CheapHasher, MemoryChannel, SeededEntropy, SimClock, SimScheduler


def test_time_passes_only_when_told_and_a_jump_moves_the_wall_clock_alone() -> None:
    clock = SimClock(1_000_000)
    assert (clock.now(), clock.monotonic()) == (1_000_000, 0.0)
    clock.advance(1.5)
    clock.jump(-10)
    assert (clock.now(), clock.monotonic()) == (-7_500_000, 1.5)


def test_entropy_repeats_for_a_seed_and_differs_between_seeds() -> None:
    first, again, other = SeededEntropy(1), SeededEntropy(1), SeededEntropy(2)
    drawn = [first.bytes(8) for _ in range(3)]
    assert drawn == [again.bytes(8) for _ in range(3)]
    assert len(set(drawn)) == 3
    assert other.bytes(8) not in drawn


def test_the_cheap_hasher_knows_passwords_apart() -> None:
    hasher = CheapHasher()
    hashed = hasher.hash("a")
    assert hasher.verify(hashed, "a")
    assert not hasher.verify(hashed, "b")
    assert (hasher.hashed, hasher.verified) == (1, 2)


class Worker:
    """Writes its name into a journal at each step; `pauses` are what the steps return, None afterwards."""

    def __init__(self, name: str, journal: list[str], *pauses: float | Exception | None) -> None:
        self.name = name
        self._journal = journal
        self._pauses = list(pauses)

    def step(self) -> float | None:
        self._journal.append(self.name)
        pause = self._pauses.pop(0) if self._pauses else None
        if isinstance(pause, Exception):
            raise pause
        return pause


def course(seed: int) -> list[str]:
    journal: list[str] = []
    scheduler = SimScheduler(SimClock(), seed)
    for name in "abcde":
        scheduler.add(Worker(name, journal, 0, 0, 0))
    scheduler.run_ready()
    return journal


def test_the_order_of_steps_is_drawn_from_the_seed() -> None:
    assert course(7) == course(7)
    assert len({tuple(course(seed)) for seed in range(10)}) > 5
    assert sorted(course(7)) == sorted("abcde" * 4)


def test_steps_come_when_they_are_due_and_not_before() -> None:
    clock, journal = SimClock(), list[str]()
    scheduler = SimScheduler(clock, 1)
    scheduler.add(Worker("slow", journal, 10, 10))
    scheduler.add(Worker("fast", journal, *[1] * 100))
    assert scheduler.run_ready() == 2
    scheduler.run_for(9.5)
    assert journal.count("slow") == 1
    assert journal.count("fast") == 10
    assert clock.monotonic() == pytest.approx(9.5)
    scheduler.run_for(0.5)
    assert journal.count("slow") == 2


def test_a_worker_that_waits_runs_when_woken() -> None:
    journal: list[str] = []
    scheduler = SimScheduler(SimClock(), 1)
    worker = Worker("w", journal)
    scheduler.add(worker)
    scheduler.run_ready()
    assert not scheduler.run_one()
    scheduler.wake(worker)
    assert scheduler.run_one()
    assert journal == ["w", "w"]


def test_a_step_that_fails_is_kept_and_tried_again_later() -> None:
    clock, journal = SimClock(), list[str]()
    scheduler = SimScheduler(clock, 1)
    worker = Worker("w", journal, ValueError("one"), ValueError("two"))
    scheduler.add(worker)
    assert scheduler.run_ready() == 1
    scheduler.wake(worker)
    assert scheduler.run_ready() == 0, "a wake does not shorten the wait after a failure"
    scheduler.run_for(1)
    assert len(journal) == 2
    scheduler.run_for(1.9)
    assert len(journal) == 2
    scheduler.run_for(0.1)
    assert len(journal) == 3
    assert [(name, str(error)) for name, error in scheduler.failures] == [("w", "one"), ("w", "two")]


def test_a_simulated_crash_passes_through() -> None:
    class Crash(BaseException):
        pass

    class Dies:
        name = "dies"

        def step(self) -> float | None:
            raise Crash

    scheduler = SimScheduler(SimClock(), 1)
    scheduler.add(Dies())
    with pytest.raises(Crash):
        scheduler.run_ready()


def test_after_stop_nothing_runs() -> None:
    journal: list[str] = []
    scheduler = SimScheduler(SimClock(), 1)
    worker = Worker("w", journal)
    scheduler.add(worker)
    scheduler.stop()
    scheduler.wake(worker)
    assert not scheduler.run_one()
    assert journal == []


def test_a_worker_that_never_rests_is_found_out() -> None:
    scheduler = SimScheduler(SimClock(), 1)
    scheduler.add(Worker("busy", [], *[0] * 1000))
    with pytest.raises(AssertionError, match="busy"):
        scheduler.run_ready(limit=100)


def test_the_channel_answers_while_somebody_listens() -> None:
    channel = MemoryChannel()
    with pytest.raises(ConnectionError):
        channel.request("a", b"x")
    channel.listen("a", lambda payload: payload * 2)
    assert channel.request("a", b"x") == b"xx"
    channel.close("a")
    with pytest.raises(ConnectionError):
        channel.request("a", b"x")


def test_a_handler_that_fails_gives_no_answer() -> None:
    channel = MemoryChannel()

    def handler(_: bytes) -> bytes:
        raise ValueError("broken")

    channel.listen("a", handler)
    with pytest.raises(ConnectionError):
        channel.request("a", b"x")


def test_time_gets_past_a_due_time_between_two_ticks() -> None:
    journal: list[str] = []
    scheduler = SimScheduler(SimClock(), 1)
    scheduler.add(Worker("a", journal, 1e-7, 0.3e-6))
    scheduler.run_for(1)
    assert journal == ["a"] * 3
