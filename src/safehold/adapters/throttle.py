"""Staying out of the way: a share of one processor at most, and the lowest priority for processor and disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

#: So much of the processor is used between two rests: what somebody else waits for at most, where there is one core.
SLICE_SECONDS = 0.01
#: The longest rest at a time.
LONGEST_SECONDS = 5.0
_NICE = 19


class Throttle:
    """`rest` waits as long as is needed for the process to have used no more than `share` of a processor.

    `share` 0 or 1 and above: it never waits. `waited_seconds` is what it has waited in all.
    """

    def __init__(
        self,
        share: float,
        cpu: Callable[[], float] = time.process_time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._cpu = cpu
        self._wait = wait
        self._before = cpu()
        self.waited_seconds = 0.0

    @property
    def active(self) -> bool:
        return 0 < self._share < 1

    def rest(self) -> None:
        """Cheap where there is nothing to wait for; called often."""
        if not self.active:
            return
        used = self._cpu() - self._before
        if used < SLICE_SECONDS:
            return
        left = used * (1 / self._share - 1)
        self.waited_seconds += left
        while left > 0:
            self._wait(min(left, LONGEST_SECONDS))
            left -= LONGEST_SECONDS
        self._before = self._cpu()


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
