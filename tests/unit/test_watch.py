"""Looks that may hang: who asks is told at once what was seen last, and how long ago that was."""

from __future__ import annotations

import threading

import pytest

from safehold.adapters.watch import Seen, Watch
from safehold.lab.world import SimClock

PATIENCE_SECONDS, FRESH_SECONDS = 5.0, 10.0
LONG_SECONDS = 300.0  # no test waits so long unless it fails


class Place:
    """Something to look at. While `answers` is not set, a look at it hangs."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.looks = 0
        self.broken: Exception | None = None

    def look(self) -> int:
        self.looks += 1
        assert self.answers.wait(LONG_SECONDS)
        if self.broken is not None:
            raise self.broken
        return self.looks


def watch(place: Place, clock: SimClock) -> Watch[int]:
    return Watch("a look", place.look, clock, fresh_seconds=FRESH_SECONDS, patience_seconds=PATIENCE_SECONDS)


def test_what_was_seen_is_told_with_its_age() -> None:
    place, clock = Place(), SimClock()
    watching = watch(place, clock)
    assert watching.seen() == Seen(None, None, False)
    watching.wait(LONG_SECONDS)
    clock.advance(3)
    watching.refresh()  # still fresh
    assert watching.seen() == Seen(1, 3.0, False)
    watching.wait(LONG_SECONDS)
    assert watching.seen() == Seen(2, 0.0, False)


def test_one_that_hangs_keeps_nobody_waiting_and_is_not_asked_twice() -> None:
    place, clock = Place(), SimClock()
    watching = watch(place, clock)
    watching.wait(LONG_SECONDS)
    place.answers.clear()
    clock.advance(FRESH_SECONDS)
    for _ in range(3):
        watching.refresh()
        watching.wait(0)
    clock.advance(PATIENCE_SECONDS)
    assert watching.seen() == Seen(1, FRESH_SECONDS + PATIENCE_SECONDS, False)
    clock.advance(1)
    assert watching.seen() == Seen(1, FRESH_SECONDS + PATIENCE_SECONDS + 1, True)
    place.answers.set()
    watching.wait(LONG_SECONDS)
    assert watching.seen() == Seen(2, 0.0, False)
    assert place.looks == 2


def test_the_very_first_look_may_hang() -> None:
    place, clock = Place(), SimClock()
    place.answers.clear()
    watching = watch(place, clock)
    watching.wait(0)
    clock.advance(PATIENCE_SECONDS + 1)
    assert watching.seen() == Seen(None, None, True)
    place.answers.set()


def test_a_look_that_fails_is_tried_again() -> None:
    place, clock = Place(), SimClock()
    watching = watch(place, clock)
    watching.wait(LONG_SECONDS)
    place.broken = OSError("no")
    watching.wait(LONG_SECONDS)
    clock.advance(1)
    assert watching.seen() == Seen(1, 1.0, False)
    place.broken = None
    watching.wait(LONG_SECONDS)
    assert watching.seen() == Seen(3, 0.0, False)


def test_a_look_that_cannot_begin_is_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The housekeeping that asks for it goes on, whatever it finds."""
    place, clock = Place(), SimClock()
    watching = watch(place, clock)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        watching.refresh()
        watching.wait(LONG_SECONDS)
    clock.advance(PATIENCE_SECONDS + 1)
    assert watching.seen() == Seen(None, None, False)
    watching.wait(LONG_SECONDS)
    assert watching.seen() == Seen(1, 0.0, False)
