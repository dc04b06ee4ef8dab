"""What was retained away in one vault does not come back out of another."""

from __future__ import annotations

from safehold.archiver.shipper import Shipper
from safehold.formats.segment import HEADER_BYTES, parse_name
from safehold.lab.simdisk import SimDisk
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.segments import beginning
from tests.support.logs import SMALL, Writing, folder_vault, make_kept_vault, objects

NAMES = ("near", "also", "far")


def written() -> tuple[SimDisk, Writing]:
    """Two sync vaults and an async one that is level, over two timelines and many segments."""
    disk = SimDisk()
    for name in NAMES:
        make_kept_vault(disk, name)
    first = start(disk, None)
    first.write(40)
    first.log.close()
    second = start(disk, first)
    second.write(40)
    second.log.close()
    level(disk, second)
    return disk, second


def start(disk: SimDisk, before: Writing | None) -> Writing:
    near, also, far = (folder_vault(disk, name) for name in NAMES)
    if before is None:
        return Writing([near, also], [far], limits=SMALL)
    return Writing(
        [near, also], [far], core=before.log.position, limits=SMALL, clock=before.clock, streams=before.streams
    )


def level(disk: SimDisk, writing: Writing) -> Shipper:
    shipper = Shipper(folder_vault(disk, "near"), folder_vault(disk, "far"), writing.clock)
    while shipper.step() is not None:
        pass
    assert not shipper.trouble
    return shipper


def retain(vault: KeptFolderVault, segments: int) -> None:
    """Remove so many segments as retention does."""
    for info in list(vault.list("log/"))[:segments]:
        name = parse_name(info.name)
        assert name is not None
        if name.number:
            vault.remove(info.name)
        else:
            vault.replace(info.name, [vault.get(info.name, 0, HEADER_BYTES)])


def kept(disk: SimDisk, name: str) -> KeptFolderVault:
    return make_kept_vault(disk, name)


def log(vault: FolderVault) -> dict[str, bytes]:
    return objects(vault, "log/")


def test_a_shipper_brings_nothing_back_and_does_not_complain() -> None:
    disk, writing = written()
    before = log(folder_vault(disk, "far"))
    retain(kept(disk, "far"), 9)
    assert beginning(folder_vault(disk, "far")) == parse_name(sorted(before)[9])
    left = log(folder_vault(disk, "far"))
    shipper = level(disk, writing)
    assert log(folder_vault(disk, "far")) == left
    assert not shipper.differences()
    assert shipper.unarchived_changes == 0


def test_a_target_that_still_has_what_the_source_has_not_is_level() -> None:
    disk, writing = written()
    before = log(folder_vault(disk, "far"))
    retain(kept(disk, "near"), 9)
    shipper = level(disk, writing)
    assert log(folder_vault(disk, "far")) == before
    assert not shipper.differences()


def test_a_new_vault_gets_what_there_is_with_all_claims() -> None:
    disk, writing = written()
    retain(kept(disk, "near"), 9)
    disk.lose("/far")
    make_kept_vault(disk, "far")
    level(disk, writing)
    assert log(folder_vault(disk, "far")) == log(folder_vault(disk, "near"))


def test_a_start_levels_nothing_that_was_retained_away() -> None:
    disk, writing = written()
    retain(kept(disk, "also"), 9)
    left = log(folder_vault(disk, "also"))
    again = start(disk, writing)
    again.write(3)
    again.log.close()
    now = log(folder_vault(disk, "also"))
    assert {name: data for name, data in now.items() if name in left} == left
    assert sorted(now)[: len(left)] == sorted(left)
    assert log(folder_vault(disk, "near")).items() >= {n: d for n, d in now.items() if n > max(left)}.items()


def test_a_vault_that_lost_its_beginning_gets_it_again_and_one_that_retained_it_does_not() -> None:
    disk, writing = written()
    before = log(folder_vault(disk, "far"))
    first = [name for name in sorted(before) if name.startswith("log/00000001/")]
    lost = kept(disk, "far")
    for name in first:  # with its claim, which retention leaves
        lost.remove(name)
    assert str(beginning(folder_vault(disk, "far"))) > max(first)
    shipper = level(disk, writing)
    assert log(folder_vault(disk, "far")) == before and shipper.unarchived_changes == 0
    # Of a timeline that was retained in part, nothing comes back; of one whose claim is gone too, all of it.
    retain(kept(disk, "far"), len(first) + 3)
    left = log(folder_vault(disk, "far"))
    level(disk, writing)
    assert log(folder_vault(disk, "far")) == left


def test_a_start_levels_what_a_sync_vault_has_lost_of_its_beginning() -> None:
    disk, writing = written()
    before = log(folder_vault(disk, "also"))
    lost = kept(disk, "also")
    for name in [name for name in before if name.startswith("log/00000001/")]:
        lost.remove(name)
    start(disk, writing).log.close()
    assert before.items() <= log(folder_vault(disk, "also")).items()
