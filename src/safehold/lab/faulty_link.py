"""A network that misbehaves, as links to a vault's server see it: a wrapper over any `ports.link.Connect`.

What the network does at a time, for a while each, drawn from a seed:

- whole    messages arrive
- slow     each takes seconds; one that takes longer than its sender waits is carried out and not heard of
- cut      nobody is reached, and links that were open break: before the request arrived, or after it was carried out
- deaf     half-closed towards the server: requests vanish, the sender waits its time out. A request may still arrive,
           after others that were sent later over other links: one link keeps its order, two have none
- mute     half-closed towards the client: requests are carried out, and no answer comes

What must hold whoever is behind it: what was acknowledged is there, what is not there was not acknowledged, and once
the network is whole again, the backlog is caught up. Time passes by the clock that is given.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import StrEnum

from safehold.lab.world import SimClock
from safehold.ports.link import Connect, Link, NoAnswer, NotSent

#: How long a sender waits, as the links of adapters do.
PATIENCE_SECONDS, HURRY_SECONDS = 20.0, 3.0
SPELL_SECONDS = (1.0, 120.0)
SLOW_SECONDS = (0.05, 25.0)
LATE_SECONDS = (0.0, 90.0)


class State(StrEnum):
    """See the module's text."""

    WHOLE = "whole"
    SLOW = "slow"
    CUT = "cut"
    DEAF = "deaf"
    MUTE = "mute"


class Network:
    """Between one client and one server. `share` of the spells are bad ones; `settle` ends them for good."""

    def __init__(self, connect: Connect, clock: SimClock, seed: int | str, share: float = 0.5) -> None:
        self._connect = connect
        self.clock = clock
        self.rng = random.Random(f"network {seed}")
        self._share = share
        self._state = State.WHOLE
        self._until = 0.0
        self._late: list[tuple[float, Callable[[], object]]] = []
        self.spells: dict[State, int] = {}
        self.arrived_late = 0

    def connect(self) -> Link:
        """`ports.link.Connect`."""
        self.deliver()
        state = self.state()
        if state in (State.CUT, State.DEAF):
            self.clock.advance(0.0 if state is State.CUT else HURRY_SECONDS)
            raise NotSent("nobody is reached")
        return FaultyLink(self, self._connect())

    def state(self) -> State:
        while self.clock.monotonic() >= self._until:
            bad = self.rng.random() < self._share
            self._state = self.rng.choice([s for s in State if s is not State.WHOLE]) if bad else State.WHOLE
            self.spells[self._state] = self.spells.get(self._state, 0) + 1
            self._until = max(self._until, self.clock.monotonic()) + self.rng.uniform(*SPELL_SECONDS)
        return self._state

    def set(self, state: State, seconds: float = 1e12) -> None:
        """By hand: so it is for so long."""
        self._state, self._until = state, self.clock.monotonic() + seconds

    def settle(self) -> None:
        """Whole from now on; what is still on its way arrives."""
        self.set(State.WHOLE)
        self.deliver(everything=True)

    def send_late(self, act: Callable[[], object]) -> None:
        self._late.append((self.clock.monotonic() + self.rng.uniform(*LATE_SECONDS), act))

    def deliver(self, *, everything: bool = False) -> None:
        """Requests that were under way arrive."""
        due = [entry for entry in self._late if everything or entry[0] <= self.clock.monotonic()]
        self._late = [entry for entry in self._late if entry not in due]
        for _, act in due:
            self.arrived_late += 1
            act()


class FaultyLink:
    """Implements ports.link.Link over a link of the network beneath."""

    def __init__(self, network: Network, inner: Link) -> None:
        self._network = network
        self._inner: Link | None = inner

    def ask(self, request: bytes, *, hurry: bool = False) -> bytes:
        network, inner = self._network, self._inner
        network.deliver()
        if inner is None:
            raise NotSent("the link is closed")
        patience = HURRY_SECONDS if hurry else PATIENCE_SECONDS
        match network.state():
            case State.CUT:
                arrived = network.rng.random() < 0.4
                if arrived:
                    self._ask(inner, request)
                self.close()
                raise NoAnswer("the link broke") if arrived or network.rng.random() < 0.5 else NotSent("the link broke")
            case State.DEAF:
                self._give_up(inner, request)
                network.clock.advance(patience)
                raise NoAnswer("no answer in time", late=True)
            case State.MUTE:
                self._ask(inner, request)
                self.close()
                network.clock.advance(patience)
                raise NoAnswer("no answer in time", late=True)
            case State.SLOW:
                seconds = network.rng.uniform(*SLOW_SECONDS)
                network.clock.advance(min(seconds, patience))
                answer = self._ask(inner, request)
                if seconds > patience or answer is None:
                    self.close()
                    raise NoAnswer("no answer in time", late=seconds > patience)
                return answer
            case _:
                try:
                    return inner.ask(request, hurry=hurry)
                except (NotSent, NoAnswer):
                    self._inner = None
                    raise

    def close(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()

    def _ask(self, inner: Link, request: bytes) -> bytes | None:
        try:
            return inner.ask(request)
        except (NotSent, NoAnswer):
            return None

    def _give_up(self, inner: Link, request: bytes) -> None:
        """The client's end is gone; the server's may still get the request, and only then learns that it is."""
        self._inner = None

        def arrive() -> None:
            self._ask(inner, request)
            inner.close()

        if self._network.rng.random() < 0.5:
            self._network.send_late(arrive)
        else:
            inner.close()


_: type[Link] = FaultyLink
