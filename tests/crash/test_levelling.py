"""Bringing sync vaults level is killed at every write point: each of them alone still gives all that was acknowledged.

A segment that repeats frames makes those before it void by its very name. So it is there whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest

from safehold.archiver.log import Superseded
from safehold.disaster.faults import power_loss_after
from safehold.formats.segment import parse_name
from safehold.lab.faulty_vault import Fault, Place, Plan
from safehold.lab.simdisk import WRITE_POINTS, Crash, SimDisk
from safehold.model.change import Change
from safehold.model.errors import SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import Vault, VaultDown
from safehold.vault.folder import FolderVault
from safehold.vault.memory import MemoryVault
from tests.support.logs import INSTALLATION, Writing, folder_vault, make_vault, objects, read

NAMES = ("near", "nigh")
FRAMES, KNOWN = 6, 2


class Refusing(FolderVault):
    """It goes away when frames are to be kept once more."""

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        if is_repeated(name):
            raise VaultDown(f"vault {self.name} went away")
        return super().put(name, chunks)


def is_repeated(name: str) -> bool:
    parsed = parse_name(name)
    return parsed is not None and parsed.number > 0


def lived() -> tuple[SimDisk, list[Change], LogPosition]:
    """Both vaults have what was acknowledged; the core, a copy of which was brought back, knows the beginning of it."""
    disk = SimDisk()
    writing = Writing([make_vault(disk, name) for name in NAMES])
    writing.write(KNOWN)
    core = writing.log.position
    writing.write(FRAMES - KNOWN)
    return disk.kill(), writing.acknowledged, core


def half_claimed() -> tuple[SimDisk, list[Change], LogPosition]:
    """And a claim came so far that one of them has the frames once more, and the other not."""
    disk, acknowledged, core = lived()
    with pytest.raises(VaultDown):
        Writing([folder_vault(disk, "near"), Refusing("nigh", "/nigh", disk, INSTALLATION)], core=core)
    held = [{name for name in objects(folder_vault(disk, vault)) if is_repeated(name)} for vault in NAMES]
    assert len(held[0]) == 1 and not held[1]
    return disk.kill(), acknowledged, core


def claim(disk: SimDisk, core: LogPosition) -> Writing:
    return Writing([folder_vault(disk, name) for name in NAMES], core=core)


def assert_there(disk: SimDisk, acknowledged: list[Change], *told: object) -> None:
    for vault in NAMES:
        changes, holes, _ = read(folder_vault(disk, vault))
        assert changes[: len(acknowledged)] == acknowledged, (*told, vault, len(changes))
        assert not holes, (*told, vault, holes)


@pytest.mark.parametrize("first", [1, pytest.param(0, marks=pytest.mark.long)])
def test_each_vault_alone_has_all_wherever_levelling_is_killed(first: int) -> None:
    base, acknowledged, core = half_claimed()
    disk = base.kill()
    before = disk.operations.copy()
    claim(disk, core)
    count = sum((disk.operations - before)[point] for point in WRITE_POINTS)
    assert count > 15
    for point in range(first, count, 2):
        for end in ("killed", *(point for _ in range(point % 4 <= 1))):
            disk = base.kill()
            disk.on_write_point = power_loss_after(point)
            with pytest.raises(Crash):
                claim(disk, core)
            after = disk.kill() if end == "killed" else disk.crash(int(end))
            assert_there(after, acknowledged, point, end)
            if point % 5 == 0:
                claim(after, core).log.close()
                assert_there(after, acknowledged, point, end, "claimed again")


@pytest.mark.parametrize("seed", range(24))
def test_each_vault_alone_has_all_whatever_its_vaults_do_while_they_are_levelled(seed: int) -> None:
    """Slow, full, torn, unanswered, unsynced or away at any request, through several claims."""
    faults = dict.fromkeys((Fault.DOWN, Fault.FULL, Fault.TORN, Fault.UNANSWERED, Fault.UNSYNCED), 1.0)
    places = [Place(MemoryVault(name), Plan(f"{name} {seed}", 0.0, faults)) for name in NAMES]
    writing = Writing([place.open() for place in places])
    writing.write(KNOWN)
    core = writing.log.position
    writing.write(FRAMES - KNOWN)
    for tried in range(8):
        for place in places:
            place.plan = Plan(f"{place.inner.name} {seed} {tried}", 0.25, faults)
        with suppress(SafeholdError):
            Writing([place.open() for place in places], core=core)
        for place in places:
            changes, holes, _ = read(place.inner)
            assert changes[:FRAMES] == writing.acknowledged and not holes, (seed, tried, place.inner.name)
    for place in places:
        place.plan.calm()
    Writing([place.open() for place in places], core=core).log.close()
    for place in places:
        changes, holes, _ = read(place.inner)
        assert changes == writing.acknowledged and not holes


class Raced(FolderVault):
    """Where frames are to be kept once more, somebody is faster, and puts something else."""

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        if is_repeated(name):
            super().put(name, [b"something else"])
        return super().put(name, chunks)


@pytest.mark.parametrize("which", NAMES)
def test_frames_are_never_said_to_be_kept_where_another_has_the_name(which: str) -> None:
    disk, _, core = lived()
    vaults: list[Vault] = [
        Raced(name, f"/{name}", disk, INSTALLATION) if name == which else folder_vault(disk, name) for name in NAMES
    ]
    with pytest.raises(Superseded, match=which):
        Writing(vaults, core=core)
    disk, _, core = half_claimed()
    vaults = [folder_vault(disk, "near"), Raced("nigh", "/nigh", disk, INSTALLATION)]
    with pytest.raises(Superseded, match="nigh"):
        Writing(vaults, core=core)


def test_a_core_that_is_gone_changes_nothing_of_that() -> None:
    """As a recovery claims: all frames are in doubt."""
    base, acknowledged, _ = lived()
    for point in range(0, 60, 5):
        disk = base.kill()
        disk.on_write_point = power_loss_after(point)
        try:
            claim(disk, EMPTY_LOG)
        except Crash:
            disk = disk.crash(point)
        disk.on_write_point = None
        assert_there(disk, acknowledged, point)
        claim(disk, EMPTY_LOG).log.close()
        assert_there(disk, acknowledged, point)
