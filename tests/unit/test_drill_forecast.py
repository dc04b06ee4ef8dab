"""The forecast out of drills: monotone, exact where the world is a line, and with an interval that holds."""

from __future__ import annotations

from itertools import pairwise
from math import exp
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.model.kinds import Kind
from safehold.proof.drills import Drilled
from safehold.proof.forecast import (
    FIRST_CONTACT,
    RTO,
    Forecaster,
    Size,
    Sized,
    days_until,
    growth,
    kind_seconds,
    reckoned,
    size_of,
)
from tests.support.drilling import drilled

SIZES = (2_000, 5_000, 12_000, 30_000, 70_000, 150_000)


def line(changes: int, *, fixed: float = 2.0, each: float = 90e-6, account: float = 2e-3) -> float:
    return fixed + changes * each + max(1, changes // 500) * account


def at(changes: int) -> Size:
    return size_of(drilled(changes, 1.0))


def test_linear_data_are_forecast_exactly_far_beyond_what_was_drilled() -> None:
    forecaster = Forecaster(RTO, [drilled(n, line(n)) for n in SIZES])
    for changes in (1_000, 60_000, 1_000_000):
        assert forecaster.forecast(at(changes)).seconds == pytest.approx(line(changes), rel=0.01)


def test_bytes_and_changes_are_told_apart_where_drills_tell_them_apart() -> None:
    def took(changes: int, photo_bytes: int) -> float:
        return 1.0 + changes * 60e-6 + photo_bytes * 20e-9

    pairs = [(n, b) for n in (5_000, 20_000, 80_000) for b in (0, 10**8, 4 * 10**9)]
    drills = [drilled(n, took(n, b), photo_bytes=b) for n, b in pairs]
    found = Forecaster(RTO, drills).forecast(size_of(drilled(50_000, 1.0, photo_bytes=10**10)))
    assert found.seconds == pytest.approx(took(50_000, 10**10), rel=0.02)


def test_drills_of_one_size_do_not_make_a_forecast_that_never_grows() -> None:
    forecaster = Forecaster(RTO, [drilled(50_000, 6.0) for _ in range(8)])
    small, large = (forecaster.forecast(at(n)).seconds for n in (50_000, 1_000_000))
    assert small == pytest.approx(6.0, rel=0.05)
    assert 40 <= large <= 130, "about in proportion, as the reckoning says"


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.01, 10**4)), max_size=12),
    st.lists(st.integers(0, 10**7), min_size=2, max_size=6),
    st.sampled_from((RTO, FIRST_CONTACT)),
)
@settings(max_examples=60, deadline=None)
def test_more_to_bring_back_is_never_forecast_to_take_less(
    pairs: list[tuple[int, float]], sizes: list[int], what: str
) -> None:
    forecaster = Forecaster(what, [drilled(n, s, first_contact_seconds=s / 10) for n, s in pairs])
    for place in range(4):
        told = []
        for size in sorted(sizes):
            values = [100.0, 10_000.0, 1e7, 1e7]
            values[place] = float(size)
            told.append(forecaster.forecast(Size(*values)))
        assert all(b.seconds >= a.seconds - 1e-9 for a, b in pairwise(told))
        assert all(0 <= f.low <= f.seconds <= f.high for f in told)


def test_the_interval_holds_four_times_in_five_on_noisy_data() -> None:
    held, asked, errors = 0, 0, []
    for seed in range(12):
        print(f"seed {seed}")
        rng = Random(seed)
        drills: list[Drilled] = []
        for number in range(30):
            changes = int(10_000 * exp(rng.uniform(0, 3)))
            forecast = Forecaster(RTO, drills).forecast(at(changes))
            seconds = line(changes) * exp(rng.gauss(0, 0.12))
            if number >= 6:
                asked += 1
                held += forecast.low <= seconds <= forecast.high
                errors.append(abs(seconds / forecast.seconds - 1))
            drills.append(drilled(changes, seconds, forecast_rto_seconds=forecast.seconds))
    assert 0.72 <= held / asked <= 0.95, held / asked
    assert sorted(errors)[len(errors) // 2] <= 0.13


def test_with_few_drills_the_interval_is_wide_and_without_any_the_basis_says_so() -> None:
    widths = []
    for count in range(5):
        found = Forecaster(RTO, [drilled(12_000, line(12_000))] * count).forecast(at(12_000))
        widths.append(found.high / found.low)
        assert found.drills == count
    assert all(a >= b for a, b in pairwise(widths)) and widths[0] > 2 * widths[4]
    none = Forecaster(RTO, []).forecast(at(12_000))
    assert none.seconds == reckoned(RTO, at(12_000)) and "another machine" in none.basis
    assert Forecaster(RTO, []).forecast(at(12_000), reckoned_seconds=7.0).seconds == 7.0


def test_a_drill_that_went_wrong_teaches_nothing() -> None:
    good = [drilled(n, line(n)) for n in SIZES]
    bad = [drilled(12_000, 500.0, ok=False), drilled(12_000, 500.0, damaged=[{"object": "x"}])]
    assert Forecaster(RTO, [*good, *bad]).forecast(at(9_000)) == Forecaster(RTO, good).forecast(at(9_000))


def test_kept_errors_are_those_of_what_was_said_before() -> None:
    drills = [drilled(n, 12.0, forecast_rto_seconds=10.0) for n in SIZES]
    found = Forecaster(RTO, drills).forecast(at(12_000))
    assert found.error == pytest.approx(0.2) and found.errors == len(SIZES)
    assert found.high / found.seconds == pytest.approx(1.2, rel=0.01)


def test_a_slower_vault_is_forecast_slower() -> None:
    drills = [drilled(n, line(n) * f, vault=v) for n in SIZES for v, f in (("near", 1.0), ("far", 3.0))]
    forecaster = Forecaster(RTO, drills)
    near, far = (forecaster.forecast(at(30_000), vault).seconds for vault in ("near", "far"))
    assert far > 1.5 * near


def test_a_machine_that_became_slower_is_noticed_within_a_few_drills() -> None:
    drills = [drilled(n, line(n)) for n in SIZES] + [drilled(n, 2 * line(n)) for n in SIZES[-3:]]
    assert Forecaster(RTO, drills).forecast(at(30_000)).seconds > 1.4 * line(30_000)


def test_growth_is_the_median_slope_and_says_after_how_many_days_an_objective_breaks() -> None:
    series = [Sized(float(day), at(20_000 + 500 * day + (40_000 if day == 9 else 0))) for day in range(20)]
    added = growth(series)
    assert added is not None and added.changes == pytest.approx(500, rel=0.05)
    assert growth(series[:5]) is None, "a few days say nothing"
    forecaster = Forecaster(RTO, [drilled(n, line(n)) for n in SIZES])
    forecast = forecaster.forecast(series[-1].size)
    slope = forecaster.slope(added)
    days = days_until(forecast.seconds + 41 * slope, forecast, slope)
    assert days == pytest.approx(41)
    wanted = line(20_000 + 500 * (19 + 41)) - line(20_000 + 500 * 19)
    assert 41 * slope == pytest.approx(wanted, rel=0.05)
    assert days_until(forecast.seconds / 2, forecast, slope) == 0.0
    assert days_until(1e9, forecast, slope) is None and days_until(1e9, forecast, 0.0) is None


def test_a_forecast_is_divided_at_each_kinds_own_pace() -> None:
    drills = [drilled(8_000, 7.0)]
    divided = kind_seconds(drills, 100.0, {Kind.CONTACTS: 3_000, Kind.PHOTOS: 1_000, Kind.IDENTITY: 0})
    assert sum(divided.values()) == pytest.approx(100.0)
    assert divided[Kind.CONTACTS] == pytest.approx(75.0) and divided[Kind.IDENTITY] == 0.0
    assert set(kind_seconds([], 10.0, {Kind.NOTES: 0}).values()) == {0.0}
