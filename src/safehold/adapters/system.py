"""Clock and entropy of the operating system."""

from __future__ import annotations

import os
import time

_NANOSECONDS_PER_MICROSECOND = 1000


class SystemClock:
    """`ports.world.Clock`: the wall clock may jump when somebody sets it; the monotonic one does not."""

    def now(self) -> int:
        return time.time_ns() // _NANOSECONDS_PER_MICROSECOND

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    """`ports.world.Entropy`: the kernel's generator."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


def pause(seconds: float) -> None:
    """Wait, for those who keep to a pace."""
    time.sleep(seconds)
