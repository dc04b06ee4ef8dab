"""The scheduler of a real process: one thread for each worker.

- A wake-up is never lost: it is noted under the worker's lock and taken back only at the moment before a step begins,
  so one that comes during a step causes another step.
- A step that raises is logged and tried again after 1, 2, 4 … 60 seconds; wake-ups do not shorten that wait.
- `stop` ends every wait at once; a running step is let to its end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from safehold.ports.world import Worker

_log = logging.getLogger("safehold.scheduler")
T = TypeVar("T")

FIRST_BACKOFF_SECONDS = 1.0
LAST_BACKOFF_SECONDS = 60.0


class ThreadScheduler:
    """`ports.world.Scheduler`. A worker's first step comes at once after `add`."""

    def __init__(
        self,
        *,
        first_backoff_seconds: float = FIRST_BACKOFF_SECONDS,
        last_backoff_seconds: float = LAST_BACKOFF_SECONDS,
    ) -> None:
        self._backoff = (first_backoff_seconds, last_backoff_seconds)
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._stopped = False

    def add(self, worker: Worker) -> None:
        with self._lock:
            assert not self._stopped, "the scheduler has been stopped"
            assert id(worker) not in self._running, f"{worker.name} runs already"
            running = self._running[id(worker)] = _Running(worker, *self._backoff)
            running.thread.start()

    def wake(self, worker: Worker) -> None:
        """A worker that has not been added yet needs no wake-up: its first step comes with `add`."""
        running = self._running.get(id(worker))
        if running is not None:
            running.wake()

    def stop(self, patience_seconds: float | None = None) -> list[Worker]:
        """As the port says; with a patience, those whose step has not ended by then are left, and returned."""
        with self._lock:
            self._stopped = True
            all_running = list(self._running.values())
        for running in all_running:
            running.stop()
        until = None if patience_seconds is None else time.monotonic() + patience_seconds
        for running in all_running:
            if running.thread is not threading.current_thread():
                running.thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return [running.worker for running in all_running if running.thread.is_alive()]


class Rounds:
    """The same work again and again, in a thread of its own: what raises is logged, and tried again after the pause."""

    def __init__(self, name: str, work: Callable[[], object], pause: Callable[[], float]) -> None:
        """`pause`: seconds, asked after each round."""
        self._name, self._work, self._pause = name, work, pause
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """The first round comes at once."""
        self._thread = threading.Thread(target=self.run, name=self._name, daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.is_set():
            try:
                self._work()
            except Exception:
                _log.exception("a round of %s failed; it is tried again", self._name)
            self._stop.wait(self._pause())

    def stop(self, patience_seconds: float = 0.0) -> bool:
        """No further round begins; False where the last has not ended within so long."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience_seconds)
        return self._thread is None or not self._thread.is_alive()


def side_by_side(works: Sequence[Callable[[], object]], seconds: float) -> bool:
    """Do all of them at once, each in a thread of its own; False where some have not ended after so long.

    Those go on, and keep no process alive. What one raises is logged.
    """
    threads = [threading.Thread(target=_logged, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def in_daemon(work: Callable[[], T], name: str) -> Future[T]:
    """Begin it in a thread that keeps no process alive, however long it hangs."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def answers_within(look: Callable[[], bool], seconds: float) -> bool:
    """What a look says that may hang; False where it says nothing in that time, or fails."""
    try:
        return in_daemon(look, "a look that may hang").result(seconds)
    except Exception:
        return False


def _logged(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        _log.exception("something that was to be done beside others failed")


class _Running:
    """A worker and its thread."""

    def __init__(self, worker: Worker, first_backoff_seconds: float, last_backoff_seconds: float) -> None:
        self.worker = worker
        self._first_backoff = first_backoff_seconds
        self._last_backoff = last_backoff_seconds
        self._condition = threading.Condition()
        self._woken = True
        self._stopping = False
        # A daemon, so that a process that dies without `stop` is not kept alive by a waiting worker.
        self.thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def _run(self) -> None:
        pause: float | None = None
        backoff = self._first_backoff
        deaf = False
        while self._wait(pause, deaf):
            try:
                pause, deaf = self.worker.step(), False
                backoff = self._first_backoff
            except Exception:
                _log.exception("%s failed; it goes on in %g seconds", self.worker.name, backoff)
                pause, deaf = backoff, True
                backoff = min(backoff * 2, self._last_backoff)

    def _wait(self, pause: float | None, deaf: bool) -> bool:
        """Wait for `pause` seconds or a wake-up (`deaf`: for the time alone); False when it is time to stop."""
        until = None if pause is None else time.monotonic() + pause
        with self._condition:
            while not self._stopping:
                left = None if until is None else until - time.monotonic()
                if (self._woken and not deaf) or (left is not None and left <= 0):
                    self._woken = False
                    return True
                self._condition.wait(left)
            return False
