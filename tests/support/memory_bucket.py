"""A bucket in memory: what ports.objectstore.ObjectStore promises, without a server. What rots is set by tests.

`versioned`: a put over a key is a new version, a deletion a marker on top. `lock_days`: no version can be
deleted before, by the clock `now`. `may_delete`: whether these credentials may delete at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from safehold.ports.objectstore import Costs, Features, Part, Put, Stored, StoreError, Traits


class MemoryBucket:
    """Implements ports.objectstore.ObjectStore. `keys`: of each key its versions, the first first; None is a marker."""

    def __init__(self, *, versioned: bool = False, lock_days: int = 0, may_delete: bool = True) -> None:
        self.keys: dict[str, list[tuple[str, bytes | None, int]]] = {}
        self._features = Features(
            versioned or lock_days > 0, lock_days=lock_days, lock_mode="COMPLIANCE" if lock_days else ""
        )
        self.may_delete = may_delete
        self.now = 1_800_000_000
        #: So long no version can be deleted.
        self.lock_seconds = lock_days * 86_400
        self._numbers = itertools.count(1)
        self._costs, self._traits = Costs(), Traits()

    @property
    def costs(self) -> Costs:
        return self._costs

    @property
    def traits(self) -> Traits:
        return self._traits

    def features(self, *, anew: bool = False) -> Features:
        del anew
        return self._features

    # -- what tests do behind its back

    def lay(self, key: str, data: bytes) -> None:
        """Let this be all that is under a key, as if it had always been."""
        self.keys[key] = [(self._version(), data, self.now)]

    def first(self, key: str) -> bytes:
        found = self.find(key)
        assert found is not None
        return self.get(found)

    def _version(self) -> str:
        return f"v{next(self._numbers)}" if self._features.versioned else ""

    # -- the port

    def put(self, key: str, data: bytes, *, unless_there: bool = True) -> Put:
        self._costs.writes += 1
        there = self.keys.get(key)
        if unless_there and there and there[-1][1] is not None:
            return Put.TAKEN
        version = (self._version(), bytes(data), self.now)
        if self._features.versioned:
            self.keys.setdefault(key, []).append(version)
        else:
            self.keys[key] = [version]
        return Put.DONE

    def put_large(self, key: str, chunks: Iterable[bytes]) -> Put:
        return self.put(key, b"".join(chunks))

    def get(self, stored: Stored, start: int = 0, stop: int | None = None) -> bytes:
        self._costs.reads += 1
        for version, data, _ in self.keys.get(stored.key, ()):
            if data is not None and (not stored.version or version == stored.version):
                return data[start : stored.size if stop is None else min(stop, stored.size)]
        raise KeyError(stored.key)

    def get_parts(self, parts: Sequence[Part]) -> Sequence[bytes]:
        return [self.get(*part) for part in parts]

    def find(self, key: str) -> Stored | None:
        self._costs.reads += 1
        return self._first(key)

    def _first(self, key: str) -> Stored | None:
        for version, data, moment in self.keys.get(key, ()):
            if data is not None:
                return Stored(key, len(data), version, moment)
        return None

    def peek(self, key: str) -> bool:
        self._costs.reads += 1
        there = self.keys.get(key)
        return bool(there) and there[-1][1] is not None  # type: ignore[index]

    def list(self, prefix: str) -> Iterator[Stored]:
        self._costs.writes += 1
        found = (self._first(key) for key in sorted(self.keys) if key.startswith(prefix))
        return iter([stored for stored in found if stored is not None])

    def folders(self, prefix: str) -> Sequence[str]:
        self._costs.writes += 1
        rests = (key.removeprefix(prefix) for key in self.keys if key.startswith(prefix) and self.peek(key))
        return sorted({folder for folder, slash, _ in (rest.partition("/") for rest in rests) if slash})

    def versions(self, prefix: str) -> Iterator[tuple[Stored, bool]]:
        self._costs.writes += 1
        found: list[tuple[Stored, bool]] = []
        for key in sorted(key for key in self.keys if key.startswith(prefix)):
            for version, data, moment in reversed(self.keys[key]):
                found.append((Stored(key, len(data or b""), version, moment), data is None))
        return iter(found)

    def takes_wrong_checksum(self, key: str) -> bool:
        del key
        return False

    def delete(self, stored: Stored) -> None:
        self._costs.deletes += 1
        if not self.may_delete:
            raise StoreError("403 AccessDenied")
        if not self._features.versioned:
            self.keys.pop(stored.key, None)
            return
        if not stored.version:
            self.keys.setdefault(stored.key, []).append((self._version(), None, self.now))
            return
        versions = self.keys.get(stored.key, ())
        held = [v for v, data, at in versions if data is not None and at + self.lock_seconds > self.now]
        if self.lock_seconds and stored.version in held:
            raise StoreError("403 AccessDenied: it is locked")
        left = [each for each in self.keys.get(stored.key, ()) if each[0] != stored.version]
        if left:
            self.keys[stored.key] = left
        else:
            self.keys.pop(stored.key, None)
