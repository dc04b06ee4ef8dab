"""Damages at random to a vault that has nothing but its own parity: mended up to its strength, and named beyond it.

What the strength is, is computed here from the bytes alone: a group gives everything back where no row of its blocks
lacks more columns than there are parity columns whole in that row. Nothing that is put back is ever anything else than
what was there (I101).
"""

from __future__ import annotations

import random
from functools import cache

import pytest

from safehold.formats import parity
from safehold.formats.parity import Group
from safehold.ports.core import EMPTY_LOG
from safehold.recovery.judging import Standing
from safehold.recovery.repair import Repairer
from safehold.recovery.scrub import LookedAt
from safehold.vault.parity import PARITY_SOURCE, ParityVault, ParityWriter, groups_of
from tests.support.damages import DamagedWorld, KeptMemoryVault, Objects, harm

WORLDS = 3
SHAPES = ((4, 2), (3, 1), (2, 3))


@cache
def world(number: int) -> tuple[DamagedWorld, Objects, list[Group]]:
    """A world, its near vault covered, and the groups."""
    here = DamagedWorld(number, runs=number % 2 == 0)
    vault = KeptMemoryVault("near", here.near)
    writer = ParityWriter(vault, *SHAPES[number % len(SHAPES)])
    assert writer.cover(everything=True) > 0
    assert writer.cover(everything=True) == 0
    groups = list(groups_of(vault))
    covered = {member.name for group in groups for member in group.members}
    assert len(covered) > len(here.near) // 2, (number, len(covered), len(here.near))
    return here, vault.objects, groups


def repairer(here: DamagedWorld, vault: KeptMemoryVault) -> Repairer:
    scrubber = here.scrubber(vault)
    peers = [LookedAt(here.scrubber(ParityVault(vault)))]  # type: ignore[arg-type]
    standing = Standing(core=here.core)
    return Repairer(vault, scrubber, peers, standing, scrubber.read(), remembered=here.remembered)


def lost_columns(group: Group, whole: Objects, hit: Objects) -> list[int]:
    """In each row of a group, how many of its k + m blocks are not what they were."""
    shape = group.shape
    start = parity.HEADER_BYTES + len(group.table)

    def columns(objects: Objects) -> list[bytes]:
        data = b"".join(objects.get(m.name, b"")[: m.size].ljust(m.size, b"\xff") for m in group.members)
        more = [objects.get(name, b"")[start : start + shape.column_bytes] for name in group.objects()]
        return [*parity.split(data, shape), *(column.ljust(shape.column_bytes, b"\xff") for column in more)]

    step = shape.block_bytes
    pairs = list(zip(columns(whole), columns(hit), strict=True))
    return [sum(a[r * step :][:step] != b[r * step :][:step] for a, b in pairs) for r in range(shape.rows)]


def within_strength(groups: list[Group], whole: Objects, hit: Objects) -> set[str]:
    """The objects of groups that can give everything back."""
    found: set[str] = set()
    for group in groups:
        described = any(hit.get(name) == whole[name] for name in group.objects())
        if described and max(lost_columns(group, whole, hit)) <= group.shape.parity:
            found.update(member.name for member in group.members)
    return found


@pytest.mark.parametrize("seeds", [60, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("many", [1, 3], ids=["one at a time", "a few at a time"])
def test_damages_are_mended_up_to_the_strength_and_named_beyond_it(many: int, seeds: int) -> None:
    mended = beyond = 0
    for seed in range(seeds):
        here, whole, groups = world(seed % WORLDS)
        rng = random.Random(f"parity {many} {seed}")
        hit = whole
        for _ in range(rng.randint(1, many)):
            hit, _ = harm(hit, rng)
        vault = KeptMemoryVault("near", hit)
        strong = within_strength(groups, whole, hit)
        repairing = repairer(here, vault)
        remaining = {damage.object for damage in repairing.carry_out()}
        for name in whole:
            after = vault.objects.get(name)
            damaged = hit.get(name) != whole[name]
            trimmed = name not in strong and after is not None and hit.get(name, b"").startswith(after)
            assert trimmed or after in (whole[name], hit.get(name), None), (seed, name, "other bytes than there were")
            if name in strong:
                assert after == whole[name], (seed, name)
                mended += damaged
            elif name.startswith("parity/") and not any(n in hit for n in whole if n.startswith(name[:-2])):
                continue  # nothing tells of a group of which nothing is left: the writer covers its members anew
            elif damaged and after != whole[name]:
                told = remaining | {mend.damage.object for mend in repairing.mended}
                assert name in told, (seed, name)
                beyond += 1
        sources = {m.damage.object: m.repaired_from for m in repairing.mended}
        by_parity = [n for n in strong if hit.get(n) != whole[n] and sources.get(n) == PARITY_SOURCE]
        assert set(by_parity) <= strong
    assert mended > 20 and (beyond > 3 or many == 1), (mended, beyond)


def test_a_scrub_finds_by_parity_alone_what_is_missing() -> None:
    """No seal need state it, no other vault, no core, and nothing is remembered."""
    found = 0
    for number in range(WORLDS):
        here, whole, groups = world(number)
        for group in groups:
            for member in group.members:
                hit = {name: data for name, data in whole.items() if name != member.name}
                vault = KeptMemoryVault("near", hit)
                repairing = repairer(here, vault)
                repairing._standing, repairing._remembered = Standing(core=EMPTY_LOG), {}
                if member.name.startswith(("log/", "blobs/", "runs/")):
                    assert member.name in {damage.object for damage in repairing.judge().damaged}, member.name
                    found += 1
                if found % 5 == 0:
                    repairing.carry_out()
                    assert vault.objects[member.name] == whole[member.name]
    assert found > 20


def test_parity_objects_are_written_again_from_what_they_cover() -> None:
    for number in range(WORLDS):
        here, whole, groups = world(number)
        rng = random.Random(number)
        for group in groups:
            names = group.objects()
            for name in names[1:] or names:
                data = bytearray(whole[name])
                data[rng.randrange(len(data) - 60, len(data))] ^= 1
                hit = (
                    {**whole, name: bytes(data)}
                    if rng.random() < 0.5
                    else {k: v for k, v in whole.items() if k != name}
                )
                vault = KeptMemoryVault("near", hit)
                repairing = repairer(here, vault)
                found = {damage.object for damage in repairing.judge().damaged}
                if len(names) > 1 or name in hit:
                    assert found == {name}
                    repairing.carry_out()
                    assert vault.objects[name] == whole[name]
