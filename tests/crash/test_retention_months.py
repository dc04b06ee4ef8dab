"""A house lives through months: what retention leaves is always enough."""

from __future__ import annotations

from contextlib import suppress

import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.formats.blob import BLOB_PREFIX
from safehold.formats.run import RUNS_PREFIX
from safehold.formats.segment import HEADER_BYTES, LOG_PREFIX
from safehold.lab.simdisk import Crash
from safehold.recovery.retention import Policy
from safehold.vault.parity import ParityWriter, groups_of
from tests.support.months import DAY_SECONDS, NAMES, Months
from tests.support.thinning import every


def live(months: Months, days: int, *, check_every: int = 5) -> dict[str, list[int]]:
    """Days of random load, restarts and losses of power; the sizes of the vaults after each."""
    sizes: dict[str, list[int]] = {name: [] for name in NAMES}
    rng = months.random
    for day in range(days):
        months.pass_day(requests=rng.randrange(8))
        if rng.random() < 0.15:
            months.restart(power=rng.choice([None, rng.randrange(1000)]))
        if rng.random() < 0.8:
            months.snapshot()
        months.keep()
        for name in NAMES:
            sizes[name].append(sum(info.size for info in months.kept(name).list()))
            if day % check_every == check_every - 1:
                months.check(name)
    return sizes


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_two_months_of_random_load_and_a_keeper_every_day(seed: int) -> None:
    months = Months(seed, Policy(10, 3, 2, 2))
    sizes = live(months, 55)
    for name in NAMES:
        vault = months.kept(name)
        assert max(sizes[name][30:]) < 2.5 * max(sizes[name][10:25]), "it grows for ever"
        named = {c.blob for _, c in months.framed if c.blob is not None}
        left = [info.name for info in vault.list(BLOB_PREFIX)]
        assert 0 < len(left) < len(named) - 4, "superseded photos are gone"
        shortened = [i for i in vault.list(LOG_PREFIX) if i.size == HEADER_BYTES]
        assert shortened
        assert len(list(vault.list(RUNS_PREFIX))) < 60


def furnished() -> Months:
    """A house of some weeks at a moment when its keeper has something of each sort to remove."""
    months = Months(4, Policy(8, 2, 2, 1))
    for _ in range(40):
        months.pass_day(requests=6)
        if months.random.random() < 0.2:
            months.restart()
        months.snapshot()
        plan = months.keeper("near").plan()
        sorts = {going.name.split("/")[0] for going in plan.remove}
        if plan.shorten and plan.aside and sorts == {"log", "runs", "evidence"}:
            months.keeper("near").attest()
            return months
        months.keep()
    raise AssertionError("there was no such day")


def names(months: Months, *, evidence: bool = False) -> dict[str, int]:
    listed = {info.name: info.size for info in months.kept("near").list()}
    return {name: size for name, size in listed.items() if evidence or not name.startswith("evidence/")}


@every(3)
def test_retention_that_is_killed_anywhere_loses_nothing_and_goes_on(step: int) -> None:
    months = furnished()
    months.elsewhere = months.copied("near")
    before = names(months, evidence=True)
    points = count_write_points(months.elsewhere, lambda: months.keeper("near").retain(months.kept("near")))
    meant = names(months)
    gone = before.keys() - names(months, evidence=True).keys()
    assert points > 40
    for point in range(0, points, step if points < 150 else 2 * step):
        disk = months.elsewhere = months.copied("near")
        disk.on_write_point = power_loss_after(point)
        with suppress(Crash):
            months.keeper("near").retain(months.kept("near"))
        months.elsewhere = disk.crash(point if point % 2 else None)
        if point % 8 == 0:
            months.check("near")
        named = removed_on_record(months)
        for name in before.keys() - names(months, evidence=True).keys():
            assert name in named or name.startswith(LOG_PREFIX), f"{name} was removed before it was named"
        months.keeper("near").retain(months.kept("near"))
        assert names(months) == meant, f"killed at write point {point}"
        left = names(months, evidence=True).keys() & gone
        assert not left, f"killed at write point {point}: {left}"
    months.check("near")


def test_parity_goes_before_what_it_covers_wherever_retention_is_killed() -> None:
    """I102: nothing that was removed can be computed again, and what stays is covered anew."""
    months = furnished()
    months.elsewhere = months.copied("near")
    writer = ParityWriter(months.kept("near"), 3, 2)
    assert writer.cover(everything=True) > 2
    before, after = len(list(groups_of(months.kept("near")))), 0
    covered = months.elsewhere.survivor()
    points = count_write_points(months.elsewhere, lambda: months.keeper("near").retain(months.kept("near")))
    for point in [*range(0, points, max(1, points // 12)), points - 1]:
        disk = months.elsewhere = covered.survivor()
        disk.on_write_point = power_loss_after(point)
        with suppress(Crash):
            months.keeper("near").retain(months.kept("near"))
        months.elsewhere = disk.crash(point if point % 2 else None)
        left = names(months, evidence=True)
        groups = list(groups_of(months.kept("near")))
        for group in groups:
            assert all(left.get(m.name) == m.size for m in group.members), f"killed at write point {point}"
        after = len(groups)
    assert after < before
    months.keeper("near").retain(months.kept("near"))
    assert ParityWriter(months.kept("near"), 3, 2).cover(everything=True) > 0
    members = [member.name for group in groups_of(months.kept("near")) for member in group.members]
    assert len(members) == len(set(members))
    months.check("near")


def removed_on_record(months: Months) -> set[str]:
    found = set()
    for retained in months.keeper("near").receipts().retained:
        found |= {*retained.facts.removed, *retained.facts.aside}
    return found


def test_the_writers_clock_ten_years_ahead_ages_nothing() -> None:
    months = Months(5, Policy(10, 3, 2, 2))
    months.house.sim_clock.jump(3650 * DAY_SECONDS)
    months.keeper_skew = -3650.0 * DAY_SECONDS
    for _ in range(10):
        months.pass_day(requests=3)
        months.snapshot()
        for plan in months.keep().values():
            assert plan.blocked and plan.empty
    months.house.sim_clock.jump(3650 * DAY_SECONDS)
    months.keeper_skew *= 2
    months.pass_day()
    months.snapshot()
    for plan in months.keep().values():
        assert not plan.blocked
    for name in NAMES:
        months.check(name)


def test_the_keepers_own_clock_that_jumps_ages_by_days_at_most() -> None:
    months = Months(6, Policy(10, 3, 2, 2))
    for day in range(8):
        months.pass_day(requests=3)
        months.snapshot()
        if day == 4:
            months.keeper_skew += 3650.0 * DAY_SECONDS
        if day == 6:
            months.keeper_skew = 0.0
        for plan in months.keep().values():
            assert plan.blocked and plan.empty
    for name in NAMES:
        months.check(name)


def test_an_open_recovery_freezes_everything_even_in_the_middle() -> None:
    months = furnished()
    before = names(months)
    months.frozen = "recovery 7 is open"
    plan = months.keeper("near").retain(months.kept("near"))
    assert (plan.blocked, names(months)) == ("recovery 7 is open", before)
    months.frozen = ""
    looks = iter(["", "recovery 7 was opened just now"])
    keeper = months.keeper("near")
    keeper._frozen = lambda: next(looks)
    assert not keeper.retain(months.kept("near")).empty
    assert names(months) == before, "it was opened after the plan was made"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 6))
def test_two_hundred_days(seed: int) -> None:
    months = Months(seed, Policy(30, 5, 3, 3))
    live(months, 200, check_every=10)
