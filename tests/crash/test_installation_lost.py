"""An installation whose own identity is lost in every vault: no start makes a new one in its place."""

from __future__ import annotations

import pytest

from safehold.assembly.writer import InstallationLost
from safehold.disaster.course import quietly
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import recover
from safehold.lab.simdisk import SimDisk


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
        plan, _ = recover(house, accept_loss=True)
        with pytest.raises(InstallationLost, match="register of who was erased") as caught:
            house.boot(set_aside=plan.holes)
    assert "safehold salvage" in caught.value.hint
    assert "--salvage DIR" in caught.value.hint
    house.abandon()


def lose_the_first_segment(disk: SimDisk) -> None:
    for vault in ("/near", "/far"):
        first = min(disk.files(f"{vault}/log"))
        disk.lose(first)
