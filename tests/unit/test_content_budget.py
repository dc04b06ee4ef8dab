"""What work is counted, and by whom."""

from __future__ import annotations

import pytest

from safehold.content.budget import Budget, Meter, OverBudget


def test_a_meter_counts_what_all_budgets_are_used_for() -> None:
    before = Budget(10)
    with Meter() as meter:
        assert meter.steps() == 0
        first, second = Budget(10), Budget(10)
        first.spend(3)
        second.spend(4)
        before.spend(5)
        assert meter.steps() == 7  # what was made before is somebody else's
        assert meter.steps() == 7
        Budget(10).spend(2)
        assert meter.steps() == 9
    Budget(10).spend(1)
    assert meter.steps() == 9


def test_what_is_refused_counts_as_all_that_was_granted() -> None:
    with Meter() as meter:
        with pytest.raises(OverBudget):
            Budget(10).spend(1_000_000)
        assert meter.steps() == 10


def test_an_inner_meter_has_its_own() -> None:
    with Meter() as outer:
        with Meter() as inner:
            Budget(10).spend(3)
        Budget(10).spend(4)
        assert (outer.steps(), inner.steps()) == (4, 3)
