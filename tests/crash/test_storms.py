"""Vaults that are slow, full, away, torn, unanswered, unsynced, lying or late, by seed.

Nothing acknowledged is lost, the backlog is caught up, and status is true at every step.
"""

from __future__ import annotations

import pytest

from tests.support.storms import Storm

SEEDS = 120
STEPS = 60


def course(storm: Storm, steps: int) -> None:
    for _ in range(steps):
        storm.act()
        storm.check_status()


@pytest.mark.parametrize("block", range(4))
def test_no_storm_loses_what_was_acknowledged(block: int) -> None:
    struck: dict[str, int] = {}
    acknowledged = 0
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        storm = Storm(seed, share=(0.02, 0.1, 0.3)[seed % 3])
        course(storm, STEPS)
        storm.settle()
        acknowledged += len(storm.acknowledged)
        for place in storm.places:
            for fault, count in place.plan.struck.items():
                struck[fault] = struck.get(fault, 0) + count
    assert len(struck) == 8 and min(struck.values()) > 5, struck
    assert acknowledged > 300
