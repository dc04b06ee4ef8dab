"""A house lives through months: what retention leaves is always enough."""

from __future__ import annotations

import pytest

from safehold.formats.blob import BLOB_PREFIX
from safehold.formats.run import RUNS_PREFIX
from safehold.formats.segment import HEADER_BYTES, LOG_PREFIX
from safehold.recovery.retention import Policy
from tests.support.months import NAMES, Months


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


@pytest.mark.parametrize("seed", [1, 2])
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


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 6))
def test_two_hundred_days(seed: int) -> None:
    months = Months(seed, Policy(30, 5, 3, 3))
    live(months, 200, check_every=10)
