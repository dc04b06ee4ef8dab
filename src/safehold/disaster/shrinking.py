"""What of a course a failure needs: the same seed with actions left out, for as long as the same thing goes wrong.

Whole stretches of actions are left out first, then ever shorter ones, down to single actions; a stretch without which
the failure stays is left out for good. The same thing: the same rule broken, told in the same words, whatever the names
and numbers in them. The result is the shortest that was found within a number of tries, and not the shortest there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from safehold.disaster.course import Failure

#: Courses that are run to shrink one; some tens of seconds at most.
TRIES = 120
#: Words of a message that are compared.
_WORDS = 8

#: Runs a course with only these actions; what went wrong, or None.
Try = Callable[[Sequence[int]], Failure | None]


class Shrunk(NamedTuple):
    """`failure` is that of the shortest course found; `tries` how many courses that took."""

    failure: Failure
    tries: int


def shrink(failure: Failure, attempt: Try, tries: int = TRIES) -> Shrunk:
    """`failure` is that of a course that `attempt` can run again."""
    search = _Search(failure, attempt, tries)
    search.leave_out([number for number in failure.kept if number > failure.step])
    size = max(1, len(search.best.kept) // 2)
    while size:
        left = len(search.best.kept)
        search.pass_over(size)
        if size > 1:
            size //= 2
        elif len(search.best.kept) == left or search.tries >= tries:
            size = 0
    return Shrunk(search.best, search.tries)


class _Search:
    def __init__(self, failure: Failure, attempt: Try, most: int) -> None:
        self.best = failure
        self.tries = 0
        self._attempt = attempt
        self._most = most
        self._wanted = likeness(failure)

    def pass_over(self, size: int) -> None:
        """Try to do without each stretch of this size, one after the other, the last first."""
        end = len(self.best.kept)
        while end > 0 and self.tries < self._most:
            self.leave_out(self.best.kept[max(0, end - size) : end])
            end -= size

    def leave_out(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        self.tries += 1
        found = self._attempt([number for number in self.best.kept if number not in numbers])
        if found is not None and likeness(found) == self._wanted:
            self.best = found


def likeness(failure: Failure) -> tuple[str, str]:
    """What two failures that are the same have in common: the rule, and the words without names and numbers."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\[[^]]*\]|\S*[\d/]\S*", "", failure.message)
    return failure.rule, " ".join(plain.split()[:_WORDS])
