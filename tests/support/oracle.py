"""What must be true after a disaster, from what devices intended before they asked and heard afterwards.

A state is kept for each key, an aspect of one URL: ("body", path) holds the SHA-256 of an item in hex, ("exists",
path) and ("name", path) that a collection is there and its displayname, ("score", game and detail) a score. None
is absence. An attempt is one request with all keys it sets, together or not at all.

What the oracle demands:

1. Keys that one device alone writes: the state is that after all attempts of that device that were acknowledged,
   and perhaps the one that was never answered. Where history may end early (a watermark is given), it may end after
   any attempt from the watermark on: a prefix of what that device did, never a selection.
2. Keys that devices contend for are written with If-Match only, to bodies that are all different. The acknowledged
   writes form one chain, and the state is its end, or what an unanswered write to that end made.
   What any device has read counts as acknowledged: nothing may be readable that can be lost.
3. A key that nobody touched is as it was before, and nothing is there that nobody wrote.
4. A sync token, asked again, answers a difference that makes exactly the present listing of the listing it stood
   for, and names nothing that nobody touched since.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

Key = tuple[str, str]
State = str | None


class Fate(Enum):
    """What a device knows of its request."""

    OPEN = "never answered"
    DONE = "acknowledged"
    REFUSED = "refused"  # 4xx: it changed nothing


@dataclass(eq=False)
class Attempt:
    """One request: the states it sets, noted before it is sent, and what became of it."""

    device: str
    what: str
    effects: dict[Key, State]
    before: State = None  # of a contended key: the state that If-Match names
    contended: bool = False
    begun: int = 0
    ended: int | None = None
    fate: Fate = Fate.OPEN


@dataclass(eq=False)
class View:
    """A sync token and the listing {name: ETag} that its device held when it got it."""

    device: str
    path: str
    token: str
    listing: dict[str, str]
    begun: int
    ended: int


class Reply(NamedTuple):
    """What the service says to a View's token now; `listing` is None where the collection is gone."""

    status: int
    changed: dict[str, str]
    gone: set[str]
    listing: dict[str, str] | None


@dataclass
class Oracle:
    """Notes of all devices. `baseline` is what was there before the first of them."""

    baseline: Mapping[Key, State]
    attempts: list[Attempt] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    #: Writes whose answers nobody noted (another program's uploads): either outcome is right.
    optional: dict[Key, str] = field(default_factory=dict)
    _seen: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _moment: int = 0
    _acknowledged: int = 0

    def begin(
        self, device: str, what: str, effects: Mapping[Key, State], *, contended: bool = False, before: State = None
    ) -> Attempt:
        """Note a request before it is sent."""
        attempt = Attempt(device, what, dict(effects), before, contended)
        with self._lock:
            self._moment += 1
            attempt.begun = self._moment
            self.attempts.append(attempt)
        return attempt

    def end(self, attempt: Attempt, fate: Fate) -> int:
        """Note its answer; how many have been acknowledged so far."""
        with self._lock:
            self._moment += 1
            attempt.ended, attempt.fate = self._moment, fate
            self._acknowledged += fate is Fate.DONE
            return self._acknowledged

    def saw(self, key: Key, state: State) -> None:
        """Note what a device has read of a contended key."""
        if state is not None:
            with self._lock:
                self._seen[key].add(state)

    def now(self) -> int:
        """This moment, to be compared with `begun` and `ended`."""
        with self._lock:
            self._moment += 1
            return self._moment

    def keep_view(self, view: View) -> None:
        with self._lock:
            self.views.append(view)

    def summary(self, watermark: int | None = None) -> str:
        """What was noted, in a line."""
        fates = Counter(a.fate.value for a in self.attempts)
        late = sum(1 for a in self.attempts if watermark is not None and (a.ended or a.begun) > watermark)
        told = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
        return f"{told}; {late} after the watermark; {len(self.views)} sync tokens"

    def check(self, observed: Mapping[Key, State], watermark: int | None = None) -> list[str]:
        """Complaints about what the service shows now; none if all demands hold.

        `watermark` is the moment up to which everything acknowledged must be there; None demands all.
        """
        complaints: list[str] = []
        own: dict[str, list[Attempt]] = defaultdict(list)
        contended: dict[Key, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            if attempt.fate is Fate.REFUSED:
                continue
            if attempt.contended:
                contended[next(iter(attempt.effects))].append(attempt)
            else:
                own[attempt.device].append(attempt)
        touched = set(contended) | set(self.optional)
        for device, attempts in own.items():
            touched |= {key for a in attempts for key in a.effects}
            complaints += self._check_device(device, attempts, observed, watermark)
        for key, attempts in contended.items():
            complaints += self._check_chain(key, attempts, observed.get(key), watermark)
        for key, state in self.optional.items():
            if observed.get(key) not in (None, state):
                complaints.append(f"{key} is {observed.get(key)}, which nobody wrote")
        for key in (set(self.baseline) | set(observed)) - touched:
            if self.baseline.get(key) != observed.get(key):
                complaints.append(
                    f"{key} was {self.baseline.get(key)} before, nobody touched it, and it is {observed.get(key)}"
                )
        return complaints

    def _check_device(
        self, device: str, attempts: list[Attempt], observed: Mapping[Key, State], watermark: int | None
    ) -> list[str]:
        """Rule 1: the observed states are those after the first n attempts, for an n that is allowed."""
        answered = [a for a in attempts if a.fate is Fate.DONE]
        assert len(attempts) - len(answered) <= 1, f"{device} went on after an answer that never came"
        assert attempts[: len(answered)] == answered, f"{device} went on after an answer that never came"
        least = len(answered)
        if watermark is not None:
            least = sum(1 for a in answered if a.ended is not None and a.ended <= watermark)
        state = {key: self.baseline.get(key) for a in attempts for key in a.effects}
        fewest: list[str] | None = None
        for n in range(len(attempts) + 1):
            if n:
                state |= attempts[n - 1].effects
            if n < least:
                continue
            wrong = [
                f"{key} should be {expected} after {n} of {len(attempts)} attempts of {device}, and is "
                f"{observed.get(key)} (last touched by {_last(attempts[:n], key)})"
                for key, expected in state.items()
                if observed.get(key) != expected
            ]
            if not wrong:
                return []
            if fewest is None or len(wrong) <= len(fewest):
                fewest = wrong
        return fewest or []

    def _check_chain(self, key: Key, attempts: list[Attempt], now: State, watermark: int | None) -> list[str]:
        """Rule 2: one chain through all acknowledged writes, and the state at its end."""
        by_base: dict[State, list[Attempt]] = defaultdict(list)
        for a in attempts:
            by_base[a.before].append(a)
        known = set(self._seen[key]) | {a.before for a in attempts if a.fate is Fate.DONE}
        chain: list[tuple[State, int]] = [(self.baseline.get(key), 0)]
        left = {id(a) for a in attempts if a.fate is Fate.DONE}
        while True:
            here = chain[-1][0]
            surely = [a for a in by_base[here] if a.fate is Fate.DONE or a.effects[key] in known]
            if len(surely) > 1:
                return [f"{key}: {[a.what for a in surely]} all replaced {here}: an update is lost"]
            if not surely:
                break
            chain.append((surely[0].effects[key], surely[0].ended or self._moment))
            left.discard(id(surely[0]))
        if left:
            return [f"{key}: acknowledged writes replaced states that it never had"]
        from_ = 0
        if watermark is None:
            from_ = len(chain) - 1
        else:
            from_ = max(i for i, (_, ended) in enumerate(chain) if ended <= watermark)
        allowed = {s for s, _ in chain[from_:]} | {a.effects[key] for a in by_base[chain[-1][0]]}
        return [] if now in allowed else [f"{key} is {now}, allowed were {allowed}"]

    def check_view(self, view: View, reply: Reply, watermark: int | None = None) -> list[str]:
        """Rule 4, for one token. 503 is right only for a token of a state after the watermark."""
        where = f"{view.path} token of {view.device} at {view.begun}"
        if reply.status == 503:
            early = watermark is None or view.ended <= watermark
            return [f"{where}: 503 although its state must be there"] if early else []
        if reply.listing is None:
            removed = any(a.effects.get(("exists", view.path), "") is None for a in self.attempts)
            right = removed and reply.status == 404
            return [] if right else [f"{where}: {reply.status}, and nobody removed the collection"]
        if reply.status != 207:
            return [f"{where}: answer {reply.status}"]
        complaints = []
        result = {n: e for n, e in (view.listing | reply.changed).items() if n not in reply.gone}
        for name in sorted(set(result) | set(reply.listing)):
            if result.get(name) != reply.listing.get(name):
                complaints.append(
                    f"{where}: {name} becomes {result.get(name)}, and the collection lists {reply.listing.get(name)}"
                )
        since = {
            path.rstrip("/").rpartition("/")[2]
            for a in self.attempts
            if a.ended is None or a.ended > view.begun
            for _, path in a.effects
            if path.startswith(view.path)
        } | {path.rpartition("/")[2] for _, path in self.optional if path.startswith(view.path)}
        complaints += [
            f"{where}: names {n}, which nobody touched since" for n in sorted((set(reply.changed) | reply.gone) - since)
        ]
        return complaints


def _last(attempts: list[Attempt], key: Key) -> str:
    for attempt in reversed(attempts):
        if key in attempt.effects:
            return f"{attempt.what}, {attempt.fate.value}"
    return "nobody"
