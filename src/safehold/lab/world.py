"""A world under control: time that passes when told, randomness from a seed, workers one step at a time.

With these every run with the same seed takes the same course. What they leave out of the real world:

- SimClock: time passes only in `advance`; the wall clock may be set back or forth with `jump`.
- SimScheduler: no two steps overlap, but their order is any order that threads could take, drawn from the seed.
- MemoryChannel: a request is answered within the call, or refused as if nobody listened.
- CheapHasher: a fast hash in place of the slow one.
"""

from __future__ import annotations

import random
from hashlib import sha256

from safehold.ports.world import Handler, Worker

MICROSECONDS = 1_000_000
#: 2026-01-01T00:00:00Z
DEFAULT_START = 1_767_225_600 * MICROSECONDS


class SimClock:
    """`ports.world.Clock`. Monotonic time begins at 0."""

    def __init__(self, start: int = DEFAULT_START) -> None:
        self._start = start
        self._elapsed = 0

    def now(self) -> int:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed / MICROSECONDS

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time does not run backwards; `jump` sets the wall clock"
        self._elapsed += round(seconds * MICROSECONDS)

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forth or back; no time passes."""
        self._start += round(seconds * MICROSECONDS)


class SeededEntropy:
    """`ports.world.Entropy`, predictable."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def reseed(self, seed: int | str) -> None:
        """What comes hangs on this seed, and not on what was drawn before."""
        self._random.seed(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class CheapHasher:
    """`ports.world.PasswordHasher`: one SHA-256. `hashed` and `verified` count what was asked."""

    def __init__(self) -> None:
        self.hashed = 0
        self.verified = 0

    def hash(self, password: str) -> str:
        self.hashed += 1
        return self._text(password)

    def verify(self, hashed: str, password: str) -> bool:
        self.verified += 1
        return hashed == self._text(password)

    def _text(self, password: str) -> str:
        return "cheap$" + sha256(password.encode("utf-8", "surrogatepass")).hexdigest()


class _Slot:
    """A worker and when it wants to run: `due` by the clock (None: when woken); deaf to wake-ups after a failure."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.due: float | None = None
        self.woken = True
        self.deaf = False
        self.backoff_seconds = 1.0

    def ready(self, now: float) -> bool:
        return (self.woken and not self.deaf) or (self.due is not None and self.due <= now)


class SimScheduler:
    """`ports.world.Scheduler` on the caller's thread: nothing runs except within `run_one` and what calls it.

    A step that raises an Exception is kept in `failures` and tried again after 1, 2, 4 … 60 seconds, as in a real
    process; anything else (a simulated crash) passes through.
    """

    def __init__(self, clock: SimClock, seed: int | str) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._slots: dict[int, _Slot] = {}
        self.failures: list[tuple[str, Exception]] = []

    def reseed(self, seed: int | str) -> None:
        """What is drawn from now on hangs on this seed alone."""
        self._random.seed(seed)

    def add(self, worker: Worker) -> None:
        assert id(worker) not in self._slots, f"{worker.name} runs already"
        self._slots[id(worker)] = _Slot(worker)

    def wake(self, worker: Worker) -> None:
        slot = self._slots.get(id(worker))
        if slot is not None:
            slot.woken = True

    def stop(self) -> None:
        self._slots.clear()

    def run_one(self) -> bool:
        """One step of one worker that is ready, drawn from the seed; False where none is."""
        now = self._clock.monotonic()
        ready = [slot for slot in self._slots.values() if slot.ready(now)]
        if not ready:
            return False
        self._step(self._random.choice(ready))
        return True

    def run_ready(self, limit: int = 10_000) -> int:
        """Steps until no worker is ready; how many. Time stands still. Asserts that it ends within the limit."""
        for count in range(limit):
            if not self.run_one():
                return count
        raise AssertionError(f"workers are still busy after {limit} steps")

    def run_for(self, seconds: float, limit: int = 10_000) -> int:
        """Let time pass, from one due step to the next; how many steps were taken."""
        end = self._clock.monotonic() + seconds
        count = self.run_ready(limit)
        while (due := self._next_due()) is not None and due <= end:
            # A due time may lie between two ticks of the clock, and time must get past it.
            self._clock.advance(max(1 / MICROSECONDS, due - self._clock.monotonic()))
            count += self.run_ready(limit)
        self._clock.advance(max(0.0, end - self._clock.monotonic()))
        return count

    def _next_due(self) -> float | None:
        return min((slot.due for slot in self._slots.values() if slot.due is not None), default=None)

    def _step(self, slot: _Slot) -> None:
        slot.woken = False
        try:
            pause = slot.worker.step()
        except Exception as error:
            self.failures.append((slot.worker.name, error))
            pause, slot.deaf = slot.backoff_seconds, True
            slot.backoff_seconds = min(slot.backoff_seconds * 2, 60.0)
        else:
            slot.deaf = False
            slot.backoff_seconds = 1.0
        slot.due = None if pause is None else self._clock.monotonic() + pause


class MemoryChannel:
    """`ports.world.Channel`, and the listening side with `listen` and `close`."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def listen(self, address: str, handler: Handler) -> None:
        assert address not in self._handlers, f"somebody listens at {address} already"
        self._handlers[address] = handler

    def close(self, address: str) -> None:
        self._handlers.pop(address, None)

    def request(self, address: str, payload: bytes) -> bytes:
        handler = self._handlers.get(address)
        if handler is None:
            raise ConnectionError(f"nobody listens at {address}")
        try:
            return handler(payload)
        except Exception as error:
            raise ConnectionError(f"no answer at {address}: {error}") from error
