"""How much work one question about a calendar object may cost.

A recurrence rule of forty characters can describe no instance at all in ten thousand years, or one each second. So
whatever walks through one counts its steps, and gives up where they are used up; what that means is the caller's.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

#: Days looked at, candidates made, values compared: a step is some tenths of a microsecond.
STEPS = 50_000


class OverBudget(Exception):
    """The steps are used up before the answer is certain."""


class Budget:
    """Steps that are left. One budget serves all that one question needs."""

    __slots__ = ("granted", "left")

    def __init__(self, steps: int = STEPS) -> None:
        self.granted = self.left = steps
        meter = _METER.get()
        if meter is not None:
            meter.watch(self)

    def spend(self, steps: int = 1) -> None:
        """Raises OverBudget."""
        self.left -= steps
        if self.left < 0:
            raise OverBudget


class Meter:
    """What all budgets that are made while it is on are used for: many questions, none of which knows of the others.

    It tells when a piece of work that consists of many questions has gone on for long enough. On in its own thread.
    """

    __slots__ = ("_budgets", "_steps", "_token")

    def __init__(self) -> None:
        self._budgets: list[Budget] = []
        self._steps = 0

    def __enter__(self) -> Meter:
        self._token: Token[Meter | None] = _METER.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _METER.reset(self._token)

    def watch(self, budget: Budget) -> None:
        self._budgets.append(budget)

    def steps(self) -> int:
        """Steps used so far. To be asked between questions: what a budget is used for later does not count."""
        if self._budgets:
            self._steps += sum(budget.granted - max(0, budget.left) for budget in self._budgets)
            self._budgets.clear()
        return self._steps


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)
