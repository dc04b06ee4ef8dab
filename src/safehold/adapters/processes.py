"""Worker processes for computing: forked before anything is open that a fork must not share.

SQLite's connections, threads and event loops do not survive a fork. So the workers are made first, while the process
has none of these, and open what they need by themselves. Each does one job after the other; what it raises is raised
where its result is asked for. A worker whose maker has gone ends with the job it is at.

Results lie in memory that is handed over: through a pipe, which holds little, a worker would have to wait with each
until its maker has time for it.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import recv_handle, send_handle
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from safehold.model.errors import OperatorError

#: Jobs that a worker has been given and not answered: one to do, one to go on with at once.
_AHEAD = 2
#: New objects between two collections in a worker, which makes many and hardly any cycles.
_COLLECT_AFTER = 200_000

Job = TypeVar("Job")
Result = TypeVar("Result")


class ForkedWorkers(Generic[Job, Result]):
    """`count` processes that do `work`. Jobs and results are pickled. Use as a context manager."""

    def __init__(self, count: int, work: Callable[[Job], Result], begin: Callable[[], None] = lambda: None) -> None:
        """`begin` is called once in each: to let go of what is its maker's alone."""
        self._workers: dict[Connection, int] = {}
        for _ in range(count):
            ours, theirs = Pipe()
            process = os.fork()
            if process == 0:
                ours.close()
                for other in self._workers:  # else nobody would see it end
                    other.close()
                begin()
                _serve(theirs, work)
            theirs.close()
            self._workers[ours] = process
        #: The places of the jobs that a worker has been given and not answered.
        self._given = {worker: deque[int]() for worker in self._workers}
        self._waiting = deque[tuple[int, Job]]()
        self._answers: dict[int, tuple[bool, Any]] = {}  # by place, that nobody has asked for yet
        self._next = 0  # the place of the answer that is asked for next

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Results in the order of the jobs. Raises what a job raised; OperatorError where a worker died.

        The first jobs are begun at once, others as results are asked for. One run at a time: the next one ends it.
        """
        for worker, given in self._given.items():
            for _ in given:  # which nobody has asked for
                _answer(worker)
            given.clear()
        self._waiting = deque(enumerate(jobs))
        self._answers, self._next = {}, 0
        self._give()
        return self._results(len(jobs))

    def ready(self, seconds: float) -> bool:
        """Whether the next result of the run is there, or comes within so many seconds."""
        self._give()
        if self._next not in self._answers:
            self._gather(seconds)
        return self._next in self._answers

    def _results(self, count: int) -> Iterator[Result]:
        while self._next < count:
            while self._next not in self._answers:
                self._give()
                self._gather(None)
            good, value = self._answers.pop(self._next)
            self._next += 1
            if not good:
                raise value
            yield value

    def _gather(self, seconds: float | None) -> None:
        """What workers have answered; waits for one that has, at most so long."""
        for ready in wait([worker for worker, given in self._given.items() if given], seconds):
            assert isinstance(ready, Connection)
            self._answers[self._given[ready].popleft()] = _answer(ready)

    def _give(self) -> None:
        for worker, given in self._given.items():
            while self._waiting and len(given) < _AHEAD:
                number, job = self._waiting.popleft()
                worker.send(job)
                given.append(number)

    def close(self) -> None:
        for worker, process in self._workers.items():
            worker.close()
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            with suppress(ChildProcessError):
                os.waitpid(process, 0)
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answer(worker: Connection) -> tuple[bool, Any]:
    try:
        size = worker.recv()
        descriptor = recv_handle(worker)
    except (EOFError, OSError, RuntimeError):  # the last is what a descriptor that does not come is told by
        return False, OperatorError("a worker process ended in the middle of its work", hint="try again")
    try:
        with mmap(descriptor, size, access=ACCESS_READ) as data:
            answer: tuple[bool, Any] = pickle.loads(data)  # noqa: S301 - of a process that this one has made
    finally:
        os.close(descriptor)
    return answer


def _hand_over(connection: Connection, answer: tuple[bool, Any]) -> None:
    with open(os.memfd_create("answer"), "wb") as memory:
        pickle.dump(answer, memory, pickle.HIGHEST_PROTOCOL)
        memory.flush()
        connection.send(memory.tell())
        send_handle(connection, memory.fileno(), os.getppid())


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """The life of a worker. Never returns into what its maker was doing."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the maker, who ends its workers
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    try:
        while True:
            job = connection.recv()
            try:
                answer = True, work(job)
            except Exception as error:
                answer = False, error
            _hand_over(connection, answer)
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)
