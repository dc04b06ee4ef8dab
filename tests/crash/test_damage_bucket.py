"""A vault in a bucket is damaged at random, key by key: a scrub finds it, a repair mends it, and the next is clean.

The bucket is one in memory (tests/support/memory_bucket.py), of every sort in turn: one that can be written over, one
where these credentials may not delete, one with versions, one that locks them. In the last two somebody has put over
keys, and deletions on top, besides.

`--damages N` does so many; `--damage-seed S` begins with this one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import pytest

from safehold.recovery.judging import Damage, Standing
from safehold.recovery.scrub import scrub
from safehold.vault.s3 import S3Vault
from tests.support.bucket_damages import SORTS, Bucketed, harm_keys, keyed, object_of
from tests.support.damages import DamagedWorld, Harm, Notes, Objects, objects

WORLDS = 8
#: In the ordinary suite, and in long runs.
QUICK, DAMAGES = 60, 500


@cache
def world(seed: int) -> DamagedWorld:
    return DamagedWorld(seed, runs=seed % 2 == 0)


@cache
def whole(seed: int) -> Objects:
    """The near vault of a world, by keys."""
    return keyed(world(seed).near, random.Random(f"slots {seed}"))


@pytest.fixture(params=[QUICK, pytest.param(DAMAGES, marks=pytest.mark.long)])
def damages(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


def seeds(config: pytest.Config, damages: int, share: int = 1) -> Iterator[int]:
    first, count = config.getoption("--damage-seed"), config.getoption("--damages")
    if first is not None and count is None:
        yield first
        return
    yield from range(first or 0, (first or 0) + (count or damages), share)


def damaged(seed: int, count: int = 1) -> tuple[Bucketed, list[Harm]]:
    rng = random.Random(f"damage {seed}")
    keys, done = whole(seed % WORLDS), []
    for _ in range(count):
        keys, one = harm_keys(keys, rng)
        done.append(one)
    return Bucketed(world(seed % WORLDS), keys, SORTS[seed // WORLDS % len(SORTS)], rng), done


def scrubbed(bucket: Bucketed, *, alone: bool = False, notes: bool = True) -> list[Damage]:
    here = bucket.world
    result = scrub(
        here.scrubber(bucket.scrubbed()),  # type: ignore[arg-type]
        here.peers(None if alone else here.far),
        Standing(core=here.core),
        opener=here.opener,
        notebook=Notes(here.remembered) if notes else None,
    )
    assert not result.trouble, result.trouble
    return result.damaged


def names_all(done: Harm, found: list[Damage]) -> bool:
    """Each key that was hit is named, or the object that it is a part of."""
    names = {damage.object for damage in found}
    return all(key in names or object_of(key) in names for key in done.objects)


def there(vault: S3Vault) -> Objects:
    """Without segments in which nothing ever was: nobody misses those."""
    return {name: data for name, data in objects(vault).items() if data or not name.startswith("log/")}


def truth(bucket: Bucketed) -> Objects:
    return {name: data for name, data in bucket.world.near.items() if data or not name.startswith("log/")}


@pytest.mark.parametrize("sort", SORTS)
def test_a_whole_vault_is_clean(sort: str) -> None:
    for seed in range(WORLDS):
        bucket = Bucketed(world(seed), whole(seed), sort, random.Random(seed))
        assert scrubbed(bucket) == []
        assert objects(bucket.reader()) == objects(bucket.scrubbed()) == bucket.world.near
        assert set(bucket.scrubbed().shadowed()) == bucket.shadowed


def test_every_damage_is_found_and_mended(request: pytest.FixtureRequest, damages: int) -> None:
    for seed in seeds(request.config, damages):
        bucket, (done,) = damaged(seed)
        found = scrubbed(bucket)
        assert names_all(done, found), (seed, done, found)
        left = bucket.repairer(bucket.world.far).carry_out()
        assert left == [], (seed, done, left)
        assert there(bucket.reader()) == truth(bucket), (seed, done)
        assert scrubbed(bucket) == [], (seed, done)
        assert bucket.shadowed <= set(bucket.scrubbed().shadowed()), (seed, done)
