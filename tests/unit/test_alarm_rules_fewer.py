"""Rules over weeks: a kind of which less and less lives, and a generation that something has waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.proof.limits import DAY, HOUR
from safehold.proof.rules import Rules
from safehold.proof.rules_fewer import DAYS
from safehold.proof.runbook_names import runbook_of
from safehold.proof.seen import Sight

MICROSECONDS = 1_000_000


class Days:
    """Looks over time: what is told of one sort."""

    def __init__(self, what: str) -> None:
        self.rules, self.what = Rules(), what
        self.seconds = 0.0

    def look(self, after: float, **seen: object) -> list[str]:
        self.seconds += after
        sight = Sight(now=round((1e9 + self.seconds) * MICROSECONDS), monotonic=self.seconds, **seen)  # type: ignore[arg-type]
        return [one.message for one in self.rules.judge(sight) if one.what == self.what]

    def at(self, seconds: float) -> int:
        return round((1e9 + seconds) * MICROSECONDS)


@pytest.fixture
def photos() -> Iterator[Days]:
    yield Days("kind shrank")


def test_what_goes_slowly_is_told_once_a_quarter_is_gone_whoever_deleted_it(photos: Days) -> None:
    count, told = 200, []
    while not told:
        told = photos.look(HOUR, items={"photos": count, "notes": 7})
        if not told:
            count -= 2
    assert count == 148
    assert "148 photos live, where there were 200" in told[0]
    assert runbook_of("kind shrank") == "mass-deletion"
    assert photos.look(DAY, items={"photos": 160, "notes": 7}) == []  # somebody has brought some back


def test_few_of_few_and_a_recovery_tell_nothing(photos: Days) -> None:
    photos.look(0, items={"photos": 19, "tasks": 1000})
    assert photos.look(60, items={"photos": 0, "tasks": 800}) == []
    assert photos.look(60, items={"photos": 0, "tasks": 0}, recovering=True) == []


def test_after_four_weeks_less_is_what_there_is(photos: Days) -> None:
    photos.look(0, items={"photos": 100})
    days = [bool(photos.look(DAY, items={"photos": 50})) for _ in range(DAYS + 2)]
    assert days == [True] * (DAYS - 1) + [False] * 3
    assert len(photos.rules.memory.most["photos"]) <= DAYS


def test_a_snapshot_is_late_by_what_waits_for_it() -> None:
    days = Days("no snapshot")
    taken = days.at(0)
    assert days.look(0, changes=10, last_snapshot=taken) == []
    for _ in range(9):  # nothing comes for nine days, then something does
        assert days.look(DAY, changes=10, last_snapshot=taken) == []
    assert days.look(60, changes=11, last_snapshot=taken) == []
    assert days.look(2 * DAY, changes=12, last_snapshot=taken) == []
    assert "13 days old" in days.look(1.5 * DAY, changes=12, last_snapshot=taken)[0]
    assert days.look(60, changes=12, last_snapshot=days.at(days.seconds)) == []


def test_no_snapshot_at_all_is_late_three_days_after_the_first_change() -> None:
    days = Days("no snapshot")
    assert days.look(0, changes=0, last_snapshot=0) == []
    assert days.look(10 * DAY, changes=1, last_snapshot=0) == []
    assert days.look(2 * DAY, changes=1, last_snapshot=0) == []
    assert "there is no snapshot" in days.look(2 * DAY, changes=1, last_snapshot=0)[0]
