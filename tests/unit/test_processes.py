"""Forked workers: results in order, errors where they are asked for, nobody left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from safehold.adapters.lock import FolderLock
from safehold.adapters.processes import ForkedWorkers
from safehold.model.errors import Damaged, OperatorError
from tests.support.waiting import until


def square(number: int) -> int:
    time.sleep(0.001 * (7 - number % 7))
    return number * number


def fussy(number: int) -> int:
    if number == 3:
        raise Damaged("three", where="here", hint="two")
    return number


def deadly(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(count: int) -> None:
    with ForkedWorkers(count, square) as workers:
        assert list(workers.run(range(23))) == [n * n for n in range(23)]
        assert list(workers.run([])) == []
        assert list(workers.run([4])) == [16]


def test_the_work_is_done_elsewhere() -> None:
    with ForkedWorkers(2, lambda _: os.getpid()) as workers:
        found = set(workers.run(range(8)))
    assert os.getpid() not in found and found
    assert not any(alive(process) for process in found)


def test_what_a_job_raises_is_raised_for_it() -> None:
    with ForkedWorkers(2, fussy) as workers:
        results = workers.run(range(6))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(Damaged) as told:
            next(results)
    assert (told.value.message, told.value.where, told.value.hint) == ("three", "here", "two")


def test_a_worker_that_dies_is_told() -> None:
    with ForkedWorkers(1, deadly) as workers, pytest.raises(OperatorError, match="worker process ended"):
        list(workers.run(range(4)))


def test_workers_end_where_their_maker_is_gone() -> None:
    """They are not left waiting for jobs that nobody will give them."""
    ours, theirs = os.pipe()
    maker = os.fork()
    if maker == 0:
        workers = ForkedWorkers(3, square)
        os.write(theirs, ",".join(map(str, workers._workers.values())).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(maker, 0)
    left = [int(text) for text in os.read(ours, 1000).decode().split(",")]
    until(lambda: not any(_runs(process) for process in left))
    os.close(ours)
    os.close(theirs)


def _runs(process: int) -> bool:
    """Not one that has ended and was not waited for by whoever inherited it."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_that_nobody_asked_for_are_not_those_of_the_next_jobs() -> None:
    with ForkedWorkers(2, square) as workers:
        begun = workers.run(range(9))
        assert next(begun) == 0
        workers.run(range(20, 30))  # begun, and never asked for anything
        assert list(workers.run(range(3, 9))) == [n * n for n in range(3, 9)]


def test_a_result_may_be_large() -> None:
    with ForkedWorkers(2, bytes) as workers:
        assert [len(result) for result in workers.run([5 << 20, 0, 3 << 20])] == [5 << 20, 0, 3 << 20]


def test_a_lock_is_its_makers_alone(tmp_path: Path) -> None:
    """A process that is killed leaves it at once, whatever its workers are at."""
    lock = FolderLock(str(tmp_path / "lock"))
    with lock, ForkedWorkers(2, _slow, lock.leave) as workers:
        assert list(workers.run([0.0] * 4)) == [None] * 4  # two each: both have begun
        lock.release()
        with FolderLock(str(tmp_path / "lock")):
            pass


def test_it_can_be_asked_whether_a_result_is_there() -> None:
    with ForkedWorkers(1, _slow) as workers:
        run = workers.run([0.5, 0.0])
        assert not workers.ready(0.01)
        assert workers.ready(10)
        assert workers.ready(0), "it stays until it is asked for"
        assert list(run) == [None, None]
        assert not workers.ready(0)


def _slow(seconds: float) -> None:
    time.sleep(seconds)
