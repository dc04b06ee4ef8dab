"""What a bucket really does to whoever has the core's credentials: tried out on an object that is no part of the vault.

    PREFIX/!probe/MICROSECONDS    a few bytes; `!` begins no object's name, so that no listing shows it

It is put, put once more under the condition that it is not there, put over, put with a wrong checksum, deleted by its
version, and deleted. What counts is what a reader finds afterwards: in a bucket that keeps versions, the first. In one
that locks what it keeps it stays, as long as the lock holds.

Besides, all versions are listed, and it is told what somebody else has put or deleted on top of first ones.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import msgspec

from safehold.ports.objectstore import ObjectStore, Put, StoreError

_FIRST, _OTHER = b"what was there first", b"what was put upon it"


class Enforced(msgspec.Struct, frozen=True):
    """True: the store lets it happen to what is there; False: what is there stays as it was."""

    overwrite: bool
    delete: bool
    conditional: bool  # whether a put under a condition is refused where it does not hold
    checksums: bool  # whether bytes that are not those of their checksum are refused
    versioned: bool  # whether what is put over something, or deleted, stays as a version
    lock_days: int
    suspended: bool = False  # that it did so once, and does no more

    @property
    def ignores(self) -> list[str]:
        """What a safe store would do and this one does not, in words."""
        told = {
            "conditional writes": self.conditional,
            "checksums": self.checksums,
            "Object Lock": self.lock_days > 0,
        }
        told["keeping versions: that is suspended"] = not self.suspended
        return [what for what, done in told.items() if not done]


def try_out(store: ObjectStore, root: str, moment: int) -> Enforced:
    """`root` is the vault's prefix with its slash, `moment` in µs. Raises StoreError."""
    key = f"{root}!probe/{moment:016d}"
    features = store.features(anew=True)
    store.put(key, _FIRST)
    conditional = store.put(key, _OTHER) is not Put.DONE
    if not conditional:
        store.put(key, _FIRST, unless_there=False)
    checksums = not store.takes_wrong_checksum(f"{key}-sum")
    overwrite = _changes(store, key, lambda: store.put(key, _OTHER, unless_there=False))
    first = store.find(key)
    if first is None:
        raise StoreError(f"{key} was put, and is not there")
    delete = _changes(store, key, lambda: store.delete(first)) or _changes(
        store, key, lambda: store.delete(first._replace(version=""))
    )
    lock_days, suspended = features.lock_days, features.suspended
    return Enforced(overwrite, delete, conditional, checksums, features.keeps, lock_days, suspended)


class PutOver(msgspec.Struct, frozen=True):
    """What lies on top of first versions: nobody of ours puts a key twice, or deletes one."""

    keys: int = 0
    since: int = 0  # seconds since 1970, by the store's clock: when the first of it came


def look_for_put_over(store: ObjectStore, root: str) -> PutOver:
    """Lists all versions of a vault; nothing where none are kept. Raises StoreError."""
    if not store.features().versioned:
        return PutOver()
    keys, since = 0, 0
    for key, group in groupby(store.versions(root), key=lambda version: version[0].key):
        later = list(group)[:-1]
        if later and not key.startswith(f"{root}!"):  # else the probe's own
            moment = min(stored.modified for stored, _ in later)
            keys, since = keys + 1, min(since or moment, moment)
    return PutOver(keys, since)


def _changes(store: ObjectStore, key: str, act: Callable[[], object]) -> bool:
    """Whether a reader finds something else afterwards, or nothing. What is refused changes nothing."""
    before = store.find(key)
    was = None if before is None else store.get(before)
    try:
        act()
    except StoreError:
        return False
    after = store.find(key)
    try:
        return after is None or store.get(after) != was
    except KeyError:
        return True
