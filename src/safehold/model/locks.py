"""Write locks (RFC 4918 sections 6 and 7) as values: which resources one covers, and which of them exclude each other.

A path is one under the account. A lock protects its root, with `deep` everything below it too, and where the root is
a folder also the list of what lies right in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from safehold.model.paths import below, parent


class Scope(StrEnum):
    """The value is the name of the standard's element."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """One lock of one account."""

    token: str  # a URI, unique for all time
    root: str
    folder: bool  # whether the root is one
    scope: Scope
    deep: bool  # Depth: infinity
    owner: str = ""  # the DAV:owner element as it came, or ""
    until: float  # when it ends by itself: seconds of the monotonic clock

    @property
    def href(self) -> str:
        """The root as an address below the account's."""
        return self.root + "/" if self.folder else self.root


class Protected(NamedTuple):
    """A resource that a change needs to be free or opened for it, and the locks that cover it: one of their tokens."""

    path: str
    locks: list[Lock]


class HeldLocks:
    """The locks of one account at one moment. Immutable; a change makes another."""

    __slots__ = ("_by_root", "_earliest")

    def __init__(self, locks: Iterable[Lock] = ()) -> None:
        by_root: dict[str, tuple[Lock, ...]] = {}
        earliest = float("inf")
        for lock in locks:
            by_root[lock.root] = (*by_root.get(lock.root, ()), lock)
            earliest = min(earliest, lock.until)
        self._by_root: Mapping[str, tuple[Lock, ...]] = MappingProxyType(by_root)
        self._earliest = earliest

    def __iter__(self) -> Iterator[Lock]:
        return (lock for locks in self._by_root.values() for lock in locks)

    def __len__(self) -> int:
        return sum(map(len, self._by_root.values()))

    def __bool__(self) -> bool:
        return bool(self._by_root)

    @property
    def earliest(self) -> float:
        """When the first of them ends; infinity where there is none."""
        return self._earliest

    # -- which protect what ----------------------------------------------------------------------------------

    def covering(self, path: str) -> list[Lock]:
        """Those whose scope a resource is in. Costs a look for each folder above it, however many there are."""
        found = list(self._by_root.get(path, ()))
        above = parent(path)
        while above:
            found += [lock for lock in self._by_root.get(above, ()) if lock.deep]
            above = parent(above)
        return found

    def below(self, path: str) -> list[Lock]:
        """Those whose roots lie below a path."""
        return [lock for root, locks in self._by_root.items() if below(root, path) for lock in locks]

    def protecting(self, path: str, *, member: bool, tree: bool) -> list[Protected]:
        """What a change of a resource touches that is locked.

        `member`: it comes into being or goes, so the folder above changes too. `tree`: all below it goes too.
        """
        touched = [path, parent(path)] if member else [path]
        if tree:
            touched += sorted({lock.root for lock in self.below(path)})
        found = [Protected(each, self.covering(each)) for each in touched]
        return [each for each in found if each.locks]

    def overlapping(self, root: str, *, deep: bool) -> list[Lock]:
        """Those that cover something which a new lock would cover too."""
        return self.covering(root) + (self.below(root) if deep else [])

    def conflicting(self, root: str, *, deep: bool, scope: Scope) -> Lock | None:
        """One that a new lock cannot be granted beside (section 6.2): they overlap, and either is exclusive."""
        overlapping = self.overlapping(root, deep=deep)
        return next((each for each in overlapping if Scope.EXCLUSIVE in (each.scope, scope)), None)

    # -- other sets ------------------------------------------------------------------------------------------

    def alive(self, now: float) -> HeldLocks:
        """Without those whose time is over."""
        return self if now < self._earliest else HeldLocks(lock for lock in self if lock.until > now)

    def with_lock(self, lock: Lock) -> HeldLocks:
        """With one more, or in the place of the one that has its token."""
        return HeldLocks([*(each for each in self if each.token != lock.token), lock])

    def without(self, dropped: Iterable[Lock]) -> HeldLocks:
        tokens = {lock.token for lock in dropped}
        return HeldLocks(each for each in self if each.token not in tokens)


NO_LOCKS = HeldLocks()
