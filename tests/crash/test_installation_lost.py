"""An installation whose own identity is lost in every vault: no start makes a new one in its place."""

from __future__ import annotations

import pytest

from safehold.assembly.writer import InstallationLost
from safehold.disaster.course import quietly
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import recover
from safehold.lab.simdisk import SimDisk
from safehold.model.kinds import Kind
from tests.crash.test_core_behind import BOOK, put


def test_a_start_without_the_installations_own_identity_says_what_to_do() -> None:
    house = House.new(1)
    for config in ("one", "another"):  # the second stands in a segment of its own
        house.sim_clock.advance(11)
        house.tick()
        house.writer.found(config)
    house.scheduler.run_for(60)
    house.close()
    house = house.kill()
    lose_the_first_segment(house.disk)
    for folder in (CORE_FOLDER, "/blobs"):
        house.disk.lose(folder)
    house.load_keys()
    with quietly():
        plan, _ = recover(house)
        with pytest.raises(InstallationLost, match="register of who was erased") as caught:
            house.boot(set_aside=plan.holes)
    assert "safehold salvage" in caught.value.hint
    assert "--salvage DIR" in caught.value.hint
    assert "--accept-loss" in caught.value.hint
    house.abandon()


def test_a_start_goes_on_where_the_installations_own_identity_misses_what_it_can_do_without() -> None:
    """Nothing can be entered there until the loss is on record; the accounts need not wait for that."""
    house = House.new(1)
    for config in ("one", "another", "a third"):
        house.sim_clock.advance(11)
        house.tick()
        house.writer.found(config)
    house.sim_clock.advance(11)
    house.tick()
    put(house, "card")
    house.scheduler.run_for(60)
    house.close()
    house = house.kill()
    for vault in ("/near", "/far"):
        house.disk.lose(sorted(house.disk.files(f"{vault}/log"))[2])
    for folder in (CORE_FOLDER, "/blobs"):
        house.disk.lose(folder)
    house.load_keys()
    with quietly():
        plan, _ = recover(house)
        assert plan.holes
        house.boot(set_aside=plan.holes)
    assert house.reads.held(0, Kind.IDENTITY)
    assert house.request("GET", f"{BOOK}/card.vcf").status == 200
    house.abandon()


def lose_the_first_segment(disk: SimDisk) -> None:
    for vault in ("/near", "/far"):
        first = min(disk.files(f"{vault}/log"))
        disk.lose(first)
