"""Clock, entropy, scheduler, password cost and the local channel between processes of one installation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for intervals."""

    def now(self) -> int:
        """UTC, microseconds since 1970. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never runs backwards."""
        ...


class Entropy(Protocol):
    """Unpredictable bytes."""

    def bytes(self, count: int) -> bytes: ...


class PasswordHasher(Protocol):
    """A slow hash for passwords that people choose (argon2id); its cost is a port, for tests."""

    def hash(self, password: str) -> str: ...

    def verify(self, hashed: str, password: str) -> bool: ...


class Worker(Protocol):
    """A piece of background work that is done in bounded steps."""

    @property
    def name(self) -> str: ...

    def step(self) -> float | None:
        """Do a bounded piece. Returns the seconds until the next is wanted (0: at once), None: when woken."""
        ...


class Scheduler(Protocol):
    """Runs workers: one thread each in a real process, one at a time in seeded order in the simulator."""

    def add(self, worker: Worker) -> None: ...

    def wake(self, worker: Worker) -> None:
        """Something came in for it. Safe from any thread."""
        ...

    def stop(self) -> None:
        """Let every running step end, start no other, return when all have ended."""
        ...


class Channel(Protocol):
    """Request and answer between processes of one installation (a Unix socket; a queue in the simulator)."""

    def request(self, address: str, payload: bytes) -> bytes:
        """One answer for one payload. Raises ConnectionError where nobody listens or the answer does not come."""
        ...


Handler = Callable[[bytes], bytes]
