"""Staying out of the way: a share of one processor at most, and the lowest priority for processor and disk.

A rest that is only taken between steps of work is as coarse as the longest step, and whoever asks meanwhile meets a
processor, or caches and memory that two share, that are taken for all of it. So rests are also taken in the middle of a
step, when the system tells that so much has been used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: So much of the processor is used between two rests. The system may count in ticks of some ms.
SLICE_SECONDS = 0.002
#: The longest rest at a time.
LONGEST_SECONDS = 5.0
_NICE = 19


class Throttle:
    """`rest` waits as long as is needed for the process to have used no more than `share` of a processor.

    `share` 0 or 1 and above: it never waits. `waited_seconds` is what it has waited in all, as `now` (monotonic) tells:
    whoever stands back at the lowest priority sleeps longer than was asked for, and that is no work either.
    """

    def __init__(
        self,
        share: float,
        cpu: Callable[[], float] = time.process_time,
        wait: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._cpu = cpu
        self._wait = wait
        self._now = now
        self._before = cpu()
        self._resting = False
        self.waited_seconds = 0.0

    @property
    def active(self) -> bool:
        return 0 < self._share < 1

    def rest(self) -> None:
        """Cheap where there is nothing to wait for; called often."""
        if not self.active or self._resting:
            return
        used = self._cpu() - self._before
        if used < SLICE_SECONDS:
            return
        self._resting = True
        left = used * (1 / self._share - 1)
        began = self._now()
        while left > 0:
            self._wait(min(left, LONGEST_SECONDS))
            left -= LONGEST_SECONDS
        self.waited_seconds += self._now() - began
        self._before = self._cpu()
        self._resting = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Rest wherever the main thread is, after each slice that is used, not only where it asks to."""
        if not self.active or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGPROF, lambda *_: self.rest())
        signal.setitimer(signal.ITIMER_PROF, SLICE_SECONDS, SLICE_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


def step_back() -> None:
    """The lowest priority of this process, and the idle class of processor and disk where the system offers them.

    Niceness alone lets a process that wakes wait until this one has had its turn; from the idle class it takes over at
    once.
    """
    with suppress(OSError):
        os.nice(_NICE)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    ionice = shutil.which("ionice")
    if ionice is not None:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([ionice, "-c", "3", "-p", str(os.getpid())], check=False, capture_output=True, timeout=5)
