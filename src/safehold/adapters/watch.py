"""Looks at things that may hang: a network mount that is gone answers neither yes nor no.

A look runs in a thread of its own, one at a time, and never keeps its asker waiting: who asks gets what the last look
found, and how old that is. The thread is a daemon, so that a look that never ends does not keep the process alive.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from safehold.ports.world import Clock

_log = logging.getLogger("safehold.watch")
T = TypeVar("T")


class Seen(NamedTuple, Generic[T]):
    """What was found, and how long ago; None where no look has ended yet. `overdue`: one that has begun takes long."""

    found: T | None
    age_seconds: float | None
    overdue: bool


class Watch(Generic[T]):
    """One thing to look at. All methods return at once, but for `wait`; safe from any thread."""

    def __init__(
        self, name: str, look: Callable[[], T], clock: Clock, *, fresh_seconds: float, patience_seconds: float
    ) -> None:
        """A look that takes longer than `patience_seconds` is overdue."""
        self._name = name
        self._look = look
        self._clock = clock
        self._fresh = fresh_seconds
        self._patience = patience_seconds
        self._condition = threading.Condition()
        self._began: float | None = None  # the look that is under way
        self._found: tuple[T, float] | None = None

    def seen(self) -> Seen[T]:
        with self._condition:
            now = self._clock.monotonic()
            overdue = self._began is not None and now - self._began > self._patience
            if self._found is None:
                return Seen(None, None, overdue)
            found, at = self._found
            return Seen(found, now - at, overdue)

    def refresh(self) -> None:
        """Begin a look where the last is no longer fresh and none is under way."""
        self._begin(self._fresh)

    def _begin(self, fresh_seconds: float) -> None:
        with self._condition:
            now = self._clock.monotonic()
            if self._began is not None or (self._found is not None and now - self._found[1] < fresh_seconds):
                return
            self._began = now
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:  # no more threads are to be had now: another look will come
            _log.error("%s cannot begin: %s", self._name, error)
            self._end(None)

    def _run(self) -> None:
        try:
            found: tuple[T, float] | None = (self._look(), self._clock.monotonic())
        except Exception:
            _log.exception("%s failed", self._name)
            found = None
        self._end(found)

    def _end(self, found: tuple[T, float] | None) -> None:
        with self._condition:
            self._began = None
            self._found = found or self._found
            self._condition.notify_all()

    def wait(self, seconds: float) -> None:
        """Look now, and wait for the end of that look, at most so long."""
        self._begin(0.0)
        with self._condition:
            self._condition.wait_for(lambda: self._began is None, seconds)
