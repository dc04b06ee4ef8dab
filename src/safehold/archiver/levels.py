"""Which runs the next generation consists of: pure.

A new delta absorbs the deltas before it that are not twice as large as itself, by reaching back to where they began.
When it has absorbed all, and is at least half as large as the full runs, full ones are written. So each delta that
stays is at least twice as large as the next one, there are never more of them than the full runs have binary digits,
and a change is written again at most about that often. Sizes are counted in changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safehold.formats.generation import RunEntry


class Level(NamedTuple):
    """Run objects of one stretch of the log."""

    since: int
    upto: int
    changes: int
    entries: tuple[RunEntry, ...]


class Choice(NamedTuple):
    """`since`: the frame after which the new runs begin, 0 for full ones; `kept`: what stays of the one before."""

    since: int
    kept: tuple[RunEntry, ...]


FULL = Choice(0, ())


def levels(runs: Sequence[RunEntry]) -> list[Level]:
    """The runs of a generation by stretches, oldest first."""
    found: dict[tuple[int, int], list[RunEntry]] = {}
    for entry in runs:
        found.setdefault((entry.since, entry.upto), []).append(entry)
    return [
        Level(since, upto, sum(entry.changes for entry in entries), tuple(entries))
        for (since, upto), entries in sorted(found.items())
    ]


def choose(runs: Sequence[RunEntry], new_changes: int) -> Choice:
    """What to write after the generation of these runs, when so many changes have come since."""
    all_levels = levels(runs)
    if not all_levels:
        return FULL
    full, deltas = all_levels[0], all_levels[1:]
    size, since = new_changes, all_levels[-1].upto
    while deltas and deltas[-1].changes < 2 * size:
        absorbed = deltas.pop()
        size += absorbed.changes
        since = absorbed.since
    if not deltas and 2 * size >= full.changes:
        return FULL
    kept = [*full.entries, *(entry for level in deltas for entry in level.entries)]
    return Choice(since, tuple(kept))


def parts(changes: Sequence[int], target: int) -> list[tuple[int, int, int]]:
    """The partitions, given by how many changes each has, as neighbours (first, last, changes) of like size.

    As many as make about `target` changes each. All partitions are covered, also those that have none.
    """
    total = sum(changes)
    count = max(1, round(total / target))
    found: list[tuple[int, int, int]] = []
    first = size = before = 0
    for partition, there in enumerate(changes):
        # Cut where the middle of this partition lies in a later part than the first of this one does.
        if size and (2 * (before + size) + there) * count > 2 * total * (len(found) + 1):
            found.append((first, partition - 1, size))
            first, before, size = partition, before + size, 0
        size += there
    found.append((first, len(changes) - 1, size))
    return found
