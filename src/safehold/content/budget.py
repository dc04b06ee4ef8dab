"""How much work one question about a calendar object may cost.

A recurrence rule of forty characters can describe no instance at all in ten thousand years, or one each second. So
whatever walks through one counts its steps, and gives up where they are used up; what that means is the caller's.
"""

from __future__ import annotations

#: Days looked at, candidates made, values compared: a step is some tenths of a microsecond.
STEPS = 50_000


class OverBudget(Exception):
    """The steps are used up before the answer is certain."""


class Budget:
    """Steps that are left. One budget serves all that one question needs."""

    __slots__ = ("left",)

    def __init__(self, steps: int = STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Raises OverBudget."""
        self.left -= steps
        if self.left < 0:
            raise OverBudget
