"""The table of locks: state of the writer, in memory only. A restart ends all locks, as RFC 4918 section 6.6 allows.

It takes part in the writer's transactions: what a batch does to it is seen by the commands after it, by readers once
the batch is committed, and by nobody where the batch comes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from safehold.model.locks import NO_LOCKS, HeldLocks, Lock


class LockTable:
    """Changed by the writer's thread; `held` may be asked from any."""

    def __init__(self) -> None:
        self._committed: dict[bytes, HeldLocks] = {}
        self._changed: dict[bytes, HeldLocks] = {}  # by the transaction that is open
        self._now = 0.0
        self._earliest = inf  # when the first committed lock may end

    def held(self, account: bytes, now: float) -> HeldLocks:
        """The locks of an account (by its id) that are committed and not over at a time of the monotonic clock."""
        locks = self._committed.get(account)
        return NO_LOCKS if locks is None else locks.alive(now)

    # -- within a transaction --------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """`now` is the time by the monotonic clock, in seconds, for all of the transaction.

        What a transaction did that never came to its end did not happen.
        """
        self._changed.clear()
        self._now = now
        if now >= self._earliest:
            self._forget_ended()

    @property
    def now(self) -> float:
        return self._now

    @property
    def changed(self) -> bool:
        """Whether this transaction has changed a lock."""
        return bool(self._changed)

    def of(self, account: bytes) -> HeldLocks:
        """As the commands before in this transaction left them."""
        locks = self._changed.get(account) if self._changed else None
        if locks is None:
            locks = self._committed.get(account, NO_LOCKS)
        return locks.alive(self._now)

    def put(self, account: bytes, lock: Lock) -> None:
        """Add a lock, or renew the one that has its token."""
        self._changed[account] = self.of(account).with_lock(lock)

    def drop(self, account: bytes, locks: Iterable[Lock]) -> None:
        self._changed[account] = self.of(account).without(locks)

    def commit(self) -> None:
        for account, locks in self._changed.items():
            self._set(account, locks)
        self._changed.clear()

    def rollback(self) -> None:
        self._changed.clear()

    def _forget_ended(self) -> None:
        """Locks of whoever never comes back take no room."""
        for account in [a for a, locks in self._committed.items() if locks.earliest <= self._now]:
            self._set(account, self._committed[account].alive(self._now))
        self._earliest = min((locks.earliest for locks in self._committed.values()), default=inf)

    def _set(self, account: bytes, locks: HeldLocks) -> None:
        if locks:
            self._committed[account] = locks
            self._earliest = min(self._earliest, locks.earliest)
        else:
            self._committed.pop(account, None)
