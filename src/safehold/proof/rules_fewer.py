"""The rule of shrinking: a kind of which much less lives than did in the last weeks, each delete a proper one.

Brakes judge what one device deletes of one collection within an hour. What goes slowly, from many collections, or by
a program that is trusted to, is seen only by what is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from safehold.proof.alarms import Condition
from safehold.proof.limits import DAY, Limits
from safehold.proof.seen import Memory, Sight

#: Days of which the most that lived is remembered.
DAYS = 28
#: Fewer by this share of the most, and by so many, is told.
SHARE, LEAST = 0.25, 20


def kind_shrank(sight: Sight, before: Sight | None, memory: Memory, limits: Limits) -> Iterator[Condition]:
    """Stands until the most of the last weeks is no longer so much more, or somebody has brought them back."""
    del before, limits
    if sight.recovering:
        return
    day = int(memory.seconds // DAY)
    for kind, count in sorted(sight.items.items()):
        known = memory.most.setdefault(kind, [])
        if not known or known[-1][0] != day:
            known.append((day, count))
        elif count > known[-1][1]:
            known[-1] = (day, count)
        memory.most[kind] = known = [one for one in known if one[0] > day - DAYS]
        most = max(items for _, items in known)
        gone = most - count
        if gone >= LEAST and gone > SHARE * most:
            yield Condition(
                what="kind shrank",
                key=kind,
                message=f"{count} {kind} live, where there were {most} within the last {DAYS} days",
                hint="`safehold history` says who deleted them; `safehold undo` brings them back within the retention",
                summary=f"Many {kind} have been deleted",
            )
