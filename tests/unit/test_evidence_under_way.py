"""Evidence that is put into one vault after the other while somebody reads them is missing nowhere (I94)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from safehold.disaster.house import House
from safehold.formats.evidence import Evidence
from safehold.lab.sealing import LabSealer
from safehold.ports.core import EMPTY_LOG
from safehold.ports.vault import ObjectInfo
from safehold.recovery.evidence_check import Checked, Problem, check_evidence
from safehold.recovery.judging import Damage, Standing
from safehold.recovery.judging import Problem as Harm
from safehold.recovery.scrub import LookedAt, Pace, Scrubber, scrub
from safehold.recovery.under_way import FRESH_SECONDS, LOOKS, UnderWay
from safehold.vault.evidence import Found, put_evidence
from tests.support.damages import KeptMemoryVault, objects


class Watched(KeptMemoryVault):
    """Does something once, when all of it, or its evidence, has been listed."""

    listed: Callable[[], None] | None = None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from list(super().list(prefix))
        act = self.listed
        if act is not None and prefix in ("", "evidence/"):
            self.listed = None
            act()


class World:
    """Two vaults, and somebody who puts evidence into far, and only some looks later into near."""

    def __init__(self) -> None:
        house = House.new(1)
        house.close()
        self.clock = house.sim_clock
        self.clock.advance(100)
        self.keyring = house.keyring
        self.near, self.far = (Watched(v.name, objects(house.vault(v))) for v in house.vaults)
        self.waits = 0
        self._arrives = -1
        self._coming: Found | None = None

    def put(self, number: int = 0) -> Found:
        assert self.keyring.keeper is not None
        value = Evidence(1, "drill", 0, "near", EMPTY_LOG, b"", {"number": number})
        return put_evidence([self.near, self.far], LabSealer(self.keyring.keeper), self.clock, value)

    def put_slowly(self, looks: int) -> None:
        """Into far now, into near when it has been waited for so often."""
        self._coming = self.put()
        self._held = self.near.objects.pop(self._coming.name)
        self._arrives = self.waits + looks
        self._arrive()

    def wait(self, _seconds: float) -> None:
        self.waits += 1
        self._arrive()

    def _arrive(self) -> None:
        if self._coming is not None and self.waits >= self._arrives:
            self.near.objects[self._coming.name] = self._held
            self._coming = None

    def scrub(self) -> list[Damage]:
        near, far = (
            Scrubber(vault, self.keyring.installation, self.keyring.opener, Pace(self.clock, self.wait))
            for vault in (self.near, self.far)
        )
        return scrub(near, [LookedAt(far)], Standing(), opener=self.keyring.opener).damaged

    def check(self, vaults: Iterable[Watched]) -> Checked:
        under_way = UnderWay(self.clock, self.wait)
        return check_evidence(list(vaults), self.keyring.installation, self.keyring.opener, under_way)


@pytest.mark.parametrize("looks", [0, 1, LOOKS])
def test_what_comes_while_a_vault_is_scrubbed_is_no_damage(looks: int) -> None:
    world = World()
    world.near.listed = lambda: world.put_slowly(looks)
    assert world.scrub() == []
    assert world.waits == looks


def test_what_never_comes_is_missing_once_patience_has_ended() -> None:
    world = World()
    gone = [world.put(number).name for number in range(3)]
    for name in gone:
        del world.near.objects[name]
    assert [(each.object, each.problem) for each in world.scrub()] == [(name, Harm.MISSING) for name in gone]
    assert world.waits == LOOKS, "patience is for all of them together"


def test_what_is_not_fresh_is_missing_at_once() -> None:
    world = World()
    name = world.put().name
    del world.near.objects[name]
    world.clock.advance(FRESH_SECONDS)
    assert [each.object for each in world.scrub()] == [name]
    assert {(flaw.object, flaw.vault, flaw.problem) for flaw in world.check([world.near, world.far]).flaws} == {
        (name, "near", Problem.REMOVED)
    }
    assert world.waits == 0


@pytest.mark.parametrize("looks", [0, 1, LOOKS])
def test_what_comes_while_evidence_is_verified_is_not_taken_for_removed(looks: int) -> None:
    world = World()
    world.near.listed = lambda: world.put_slowly(looks)
    checked = world.check([world.near, world.far])
    assert checked.ok and not checked.flaws
    assert [checked.copies[one.name] for one in checked.found][-1] == ["far", "near"]


def test_what_comes_damaged_meanwhile_is_told() -> None:
    world = World()

    def put() -> None:
        name = world.put().name
        world.near.objects[name] = world.near.objects[name][:-1] + b"?"

    world.near.listed = put
    checked = world.check([world.near, world.far])
    assert [(flaw.vault, flaw.problem) for flaw in checked.flaws] == [("near", Problem.TAMPERED)]


def test_two_that_are_put_in_the_same_microsecond_both_stay() -> None:
    world = World()
    # What another process has put there since the last one was looked for: as if `list` had come too early.
    before = dict(world.near.objects), dict(world.far.objects)
    first = world.put(1)
    world.near.objects, now = dict(before[0]), world.near.objects
    world.far.objects, there = dict(before[1]), world.far.objects

    def both() -> None:
        world.near.objects, world.far.objects = now, there

    world.far.listed = both
    second = world.put(2)
    assert second.name != first.name
    assert all({first.name, second.name} <= set(vault.objects) for vault in (world.near, world.far))
