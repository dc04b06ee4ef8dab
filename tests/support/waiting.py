"""Waiting for something to become true in another process, which has no other way to tell."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_SECONDS = 0.02
#: Nothing takes so long unless it fails, however busy the machine is.
LONG_SECONDS = 300.0


def until(true: Callable[[], bool], seconds: float = LONG_SECONDS) -> None:
    """Look until it is true. What raises in it ends the wait; so does the time, as a failure."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(EVERY_SECONDS)
