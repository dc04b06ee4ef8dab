"""Worker processes for computing: forked before anything is open that a fork must not share.

SQLite's connections, threads and event loops do not survive a fork. So the workers are made first, while the process
has none of these, and open what they need by themselves. Each does one job after the other; what it raises is raised
where its result is asked for. A worker whose maker has gone ends with the job it is at.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from safehold.model.errors import OperatorError

#: Jobs that a worker has been given and not answered: one to do, one to go on with at once.
_AHEAD = 2

Job = TypeVar("Job")
Result = TypeVar("Result")


class ForkedWorkers(Generic[Job, Result]):
    """`count` processes that do `work`. Jobs and results are pickled. Use as a context manager."""

    def __init__(self, count: int, work: Callable[[Job], Result]) -> None:
        self._workers: dict[Connection, int] = {}
        for _ in range(count):
            ours, theirs = Pipe()
            process = os.fork()
            if process == 0:
                ours.close()
                for other in self._workers:  # else nobody would see it end
                    other.close()
                _serve(theirs, work)
            theirs.close()
            self._workers[ours] = process

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Results in the order of the jobs. Raises what a job raised; OperatorError where a worker died."""
        waiting = deque(enumerate(jobs))
        busy = {worker: deque[int]() for worker in self._workers}
        results: dict[int, Any] = {}
        for place in range(len(jobs)):
            while place not in results:
                for worker, given in busy.items():
                    while waiting and len(given) < _AHEAD:
                        number, job = waiting.popleft()
                        worker.send(job)
                        given.append(number)
                for ready in wait([worker for worker, given in busy.items() if given]):
                    assert isinstance(ready, Connection)
                    results[busy[ready].popleft()] = _answer(ready)
            good, value = results.pop(place)
            if not good:
                raise value
            yield value

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
        answer: tuple[bool, Any] = worker.recv()
    except (EOFError, OSError):
        return False, OperatorError("a worker process ended in the middle of its work", hint="try again")
    return answer


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """The life of a worker. Never returns into what its maker was doing."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the maker, who ends its workers
    try:
        while True:
            job = connection.recv()
            try:
                answer = True, work(job)
            except Exception as error:
                answer = False, error
            connection.send(answer)
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)
