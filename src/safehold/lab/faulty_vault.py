"""A vault that misbehaves as told: a wrapper over any vault, driven by a plan that a seed draws.

Which faults there are, and what must hold under each, whoever writes, ships or reads:

- slow       time passes at a request. Lag grows and is told; nothing else changes.
- down       a request is refused (VaultDown), nothing is done, for some requests. Writes are refused or wait.
- full       nothing more is taken (VaultFull) for some requests; of an append a torn part may be there.
- torn       a vault that dies in the midst of an append: a part of it is there, and VaultDown is raised. Of a put that
             dies half-way nothing bears the name.
- unanswered the answer is lost (VaultUnanswered): all, a part or nothing of it was done. Who wrote looks.
- unsynced   a sync failed (VaultSuspect): the bytes can be read, and no later sync brings them to the disk; a power
             loss may take them. Only an append of nothing, which writes them once more, makes them certain.
- lying      it acknowledges what it has not synced. A power loss takes it, until a later honest sync. Nobody can notice
             before that; afterwards a log that is ahead of such a vault is refused or made whole, never believed.
- late       listings lack the newest objects for some requests, and sizes in them are old; looks at one name are true.

A vault that gives other bytes than it was given is not among them: that is damage, see disaster.faults.

What is not synced lies in a cache that all instances of a place share; `power_loss` drops what the plan draws from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from safehold.ports.vault import (
    LengthMismatch,
    ObjectInfo,
    Vault,
    VaultDown,
    VaultFull,
    VaultSuspect,
    VaultUnanswered,
)

#: Requests that a fault which lasts goes on for, at most.
LASTING_REQUESTS = 12
_LOOKS_FOR_A_CHANGE = 20
SLOW_SECONDS = (0.05, 4.0)


class Fault(StrEnum):
    """See the module's text."""

    SLOW = "slow"
    DOWN = "down"
    FULL = "full"
    TORN = "torn"
    UNANSWERED = "unanswered"
    UNSYNCED = "unsynced"
    LYING = "lying"
    LATE = "late"


#: Those that strike at a look as well as at a change.
_AT_LOOKS = (Fault.SLOW, Fault.DOWN, Fault.LATE)
_LASTING = (Fault.DOWN, Fault.FULL, Fault.LYING, Fault.LATE)


class Plan:
    """Which fault strikes at the next request: drawn from a seed, each kind by its weight, or set by `next`.

    `share` of all changes begin a fault, and fewer of all looks, since there are many more of them; 0 is a calm sea.
    What struck is counted in `struck`.
    """

    def __init__(self, seed: int | str, share: float = 0.0, weights: Mapping[Fault, float] | None = None) -> None:
        self.rng = random.Random(seed)
        self.share = share
        self._weights = dict.fromkeys(Fault, 1.0) if weights is None else dict(weights)
        self._lasting: dict[Fault, int] = {}
        self.next: list[Fault] = []  # set by hand: each strikes at the next request that it can strike at
        self.struck: dict[Fault, int] = {}

    def calm(self) -> None:
        """Nothing strikes any more."""
        self.share = 0.0
        self._lasting.clear()
        self.next.clear()

    def draw(self, *, change: bool) -> Fault | None:
        possible = tuple(Fault) if change else _AT_LOOKS
        fault = self._drawn(possible)
        if fault is not None:
            self.struck[fault] = self.struck.get(fault, 0) + 1
        return fault

    def _drawn(self, possible: Sequence[Fault]) -> Fault | None:
        if self.next:
            return self.next.pop(0) if self.next[0] in possible else None
        for fault in [f for f in self._lasting if f in possible]:
            self._lasting[fault] -= 1
            if not self._lasting[fault]:
                del self._lasting[fault]
            return fault
        wanted = [fault for fault in possible if self._weights.get(fault)]
        share = self.share if Fault.TORN in possible else self.share / _LOOKS_FOR_A_CHANGE
        if not wanted or self.rng.random() >= share:
            return None
        fault = self.rng.choices(wanted, [self._weights[f] for f in wanted])[0]
        if fault in _LASTING:
            self._lasting[fault] = self.rng.randint(1, LASTING_REQUESTS)
        return fault


class Place:
    """What all instances of a faulty vault share: the vault beneath, the plan, and what is not synced."""

    def __init__(self, inner: Vault, plan: Plan, pass_seconds: Callable[[float], None] = lambda _: None) -> None:
        self.inner = inner
        self.plan = plan
        self.pass_seconds = pass_seconds
        self.cached: dict[str, bytes] = {}  # what lies beyond the vault beneath, by name; of a put all of it
        self.lied: dict[str, None] = {}  # of these nobody was told
        self.told_late: dict[str, int] | None = None  # what a late listing says

    def open(self) -> FaultyVault:
        return FaultyVault(self)

    def size(self, name: str) -> int | None:
        size = self.inner.size(name)
        cached = self.cached.get(name)
        return size if cached is None else (size or 0) + len(cached)

    def said_to_be_synced(self, name: str) -> int:
        """How many bytes of an object are synced, as far as anybody has been told: lies are taken for the truth."""
        return (self.size(name) if name in self.lied else self.inner.size(name)) or 0

    def add(self, name: str, data: bytes, *, cached: bool, lied: bool = False) -> None:
        """At the end of an object. What follows bytes that are not synced is not synced either."""
        if not cached:
            self._flush_lies()
        if cached or name in self.cached:
            self.cached[name] = self.cached.get(name, b"") + data
            if lied:
                self.lied[name] = None
            else:
                self.lied.pop(name, None)
        else:
            self.inner.append(name, self.inner.size(name) or 0, data)

    def put(self, name: str, data: bytes, *, cached: bool, lied: bool = False) -> bool:
        if self.size(name) is not None:
            return False
        if not cached:
            self._flush_lies()
            return self.inner.put(name, (data,))
        self.cached[name] = data
        if lied:
            self.lied[name] = None
        return True

    def make_certain(self, name: str) -> None:
        """Written once more, and synced."""
        self._flush_lies()
        self._settle(name)

    def power_loss(self) -> None:
        """Of what is not synced any beginning may be left; of an object that was put all or nothing."""
        for name in list(self.cached):
            data = self.cached.pop(name)
            there = self.inner.size(name)
            kept = self.plan.rng.choice((0, len(data), self.plan.rng.randint(0, len(data))))
            if there is None and kept == len(data):
                self.inner.put(name, (data,))
            elif there is not None and kept:
                self.inner.append(name, there, data[:kept])
        self.lied.clear()

    def _flush_lies(self) -> None:
        """An honest sync empties a cache that lied before."""
        for name in list(self.lied):
            self._settle(name)
        self.lied.clear()

    def _settle(self, name: str) -> None:
        data = self.cached.pop(name, None)
        self.lied.pop(name, None)
        if data is None:
            return
        if self.inner.size(name) is None:
            self.inner.put(name, (data,))
        else:
            self.inner.append(name, self.inner.size(name) or 0, data)


class FaultyVault:
    """Implements ports.vault.Vault over the vault beneath its place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def name(self) -> str:
        return self.place.inner.name

    @property
    def url(self) -> str:
        return self.place.inner.url

    def available(self) -> bool:
        try:
            self._look()
        except VaultDown:
            return False
        return self.place.inner.available()

    def folders(self, prefix: str) -> Sequence[str]:
        late = self._look()
        names = (name[len(prefix) :] for name in self._sizes(late) if name.startswith(prefix))
        return sorted({rest.split("/")[0] for rest in names if "/" in rest})

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        late = self._look()
        for name, size in sorted(self._sizes(late).items()):
            if name.startswith(prefix):
                yield ObjectInfo(name, size)

    def size(self, name: str) -> int | None:
        self._look()
        return self.place.size(name)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        self._look()
        cached = self.place.cached.get(name)
        if cached is None:
            return self.place.inner.get(name, offset, count)
        whole = (self.place.inner.get(name) if self.place.inner.size(name) is not None else b"") + cached
        return whole[offset : None if count is None else offset + count]

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        place, fault = self.place, self._change()
        if place.size(name) is not None:
            if name not in place.lied:
                place.make_certain(name)  # as ports.vault has it: the name is synced before it is said to be taken
            return False
        data = b"".join(chunks)
        if fault in (Fault.TORN, Fault.FULL) or (fault is Fault.UNANSWERED and place.plan.rng.random() < 0.5):
            raise self._raised(fault)
        done = place.put(name, data, cached=fault in (Fault.UNSYNCED, Fault.LYING), lied=fault is Fault.LYING)
        if fault in (Fault.UNSYNCED, Fault.UNANSWERED):
            raise self._raised(fault)
        return done

    def append(self, name: str, expected: int, data: bytes) -> None:
        place, fault = self.place, self._change()
        length = place.size(name) or 0
        if length != expected:
            raise LengthMismatch(f"vault {self.name}: {name} is {length} bytes long and should be {expected}")
        if fault in (Fault.TORN, Fault.FULL, Fault.UNANSWERED):
            parts = (0, len(data), place.plan.rng.randint(0, len(data)))
            kept = place.plan.rng.choice(parts if fault is Fault.UNANSWERED else (parts[0], parts[2]))
            if data[:kept]:
                place.add(name, data[:kept], cached=False)
            raise self._raised(fault)
        if not data and fault is None:
            place.make_certain(name)
            return
        place.add(name, data, cached=fault in (Fault.UNSYNCED, Fault.LYING), lied=fault is Fault.LYING)
        if fault is Fault.UNSYNCED:
            raise self._raised(fault)

    def close(self) -> None:
        self.place.inner.close()

    # -- striking

    def _look(self) -> bool:
        """Whether listings are late. Raises VaultDown."""
        fault = self._struck(change=False)
        if fault is not Fault.LATE:
            self.place.told_late = None
        elif self.place.told_late is None:
            sizes = self._sizes(late=False)
            newest = sorted(sizes)[-self.place.plan.rng.randint(1, 3) :]
            shorter = {name: max(0, sizes[name] - self.place.plan.rng.randint(0, 3000)) for name in newest}
            self.place.told_late = {**sizes, **shorter}
            for name in newest:
                if self.place.plan.rng.random() < 0.7:
                    del self.place.told_late[name]
        return fault is Fault.LATE

    def _change(self) -> Fault | None:
        fault = self._struck(change=True)
        return None if fault in (Fault.SLOW, Fault.LATE) else fault

    def _struck(self, *, change: bool) -> Fault | None:
        fault = self.place.plan.draw(change=change)
        if fault is Fault.SLOW:
            self.place.pass_seconds(self.place.plan.rng.uniform(*SLOW_SECONDS))
        if fault is Fault.DOWN:
            raise VaultDown(f"vault {self.name} is down")
        return fault

    def _sizes(self, late: bool) -> dict[str, int]:
        if late and self.place.told_late is not None:
            return self.place.told_late
        sizes = {info.name: info.size for info in self.place.inner.list()}
        for name, data in self.place.cached.items():
            sizes[name] = sizes.get(name, 0) + len(data)
        return sizes

    def _raised(self, fault: Fault) -> Exception:
        match fault:
            case Fault.FULL:
                return VaultFull(f"vault {self.name} is full")
            case Fault.UNSYNCED:
                return VaultSuspect(f"vault {self.name}: a sync failed")
            case Fault.UNANSWERED:
                return VaultUnanswered(f"vault {self.name}: no answer came")
            case _:
                return VaultDown(f"vault {self.name} died half-way")


_: type[Vault] = FaultyVault
