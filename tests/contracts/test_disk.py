"""One suite for every disk: what ports.disk promises while nothing fails. The simulated one then fails on purpose."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from safehold.lab.simdisk import SECTOR_BYTES, Crash, SimDisk
from safehold.ports.disk import Disk, Entry
from safehold.store.realdisk import RealDisk


@pytest.fixture(params=["real", "simulated"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, str]:
    """A disk and an empty folder on it."""
    disk: Disk = RealDisk() if request.param == "real" else SimDisk()
    folder = str(tmp_path / "here")
    disk.make_folders(folder)
    return disk, folder


def write(disk: Disk, path: str, data: bytes, *, sync: bool = False) -> None:
    file = disk.open(path, write=True, create=True)
    file.write_at(0, data)
    if sync:
        file.sync()
    file.close()


def read(disk: Disk, path: str) -> bytes:
    file = disk.open(path)
    try:
        return file.read_at(0, 1 << 20)
    finally:
        file.close()


def names(disk: Disk, folder: str) -> set[str]:
    return {entry.name for entry in disk.list(folder)}


def test_what_was_written_is_read(place: tuple[Disk, str]) -> None:
    disk, folder = place
    path = f"{folder}/a"
    file = disk.open(path, write=True, create=True)
    file.write_at(0, b"hello world")
    file.write_at(6, b"there")
    assert file.read_at(0, 100) == b"hello there"
    assert file.read_at(6, 2) == b"th"
    assert file.read_at(50, 5) == b""
    file.write_at(20, b"far")
    assert file.size() == disk.size(path) == 23
    assert file.read_at(9, 14) == b"re" + bytes(9) + b"far"
    file.truncate(5)
    file.sync()
    file.close()
    assert read(disk, path) == b"hello"
    file = disk.open(path, write=True)
    file.truncate(7)
    file.close()
    assert read(disk, path) == b"hello\0\0"


def test_opening(place: tuple[Disk, str]) -> None:
    disk, folder = place
    path = f"{folder}/a"
    with pytest.raises(FileNotFoundError):
        disk.open(path)
    with pytest.raises(FileNotFoundError):
        disk.open(path, write=True)
    with pytest.raises(FileNotFoundError):
        disk.open(f"{folder}/none/a", create=True)
    disk.open(path, create=True, exclusive=True).close()
    with pytest.raises(FileExistsError):
        disk.open(path, create=True, exclusive=True)
    disk.open(path, create=True).close()
    with pytest.raises(OSError) as error:
        disk.open(path).write_at(0, b"x")
    assert error.value.errno == errno.EBADF


def test_names(place: tuple[Disk, str]) -> None:
    disk, folder = place
    a, b = f"{folder}/a", f"{folder}/b"
    write(disk, a, b"one")
    disk.link(a, b)
    assert read(disk, b) == b"one"
    write(disk, f"{folder}/c", b"two!")
    with pytest.raises(FileExistsError):
        disk.link(f"{folder}/c", b)
    assert set(disk.list(folder)) == {Entry("a", False, 3), Entry("b", False, 3), Entry("c", False, 4)}
    disk.rename(f"{folder}/c", b)
    assert read(disk, b) == b"two!"
    assert names(disk, folder) == {"a", "b"}
    disk.remove(a)
    assert names(disk, folder) == {"b"}
    assert not disk.exists(a)
    for missing in (lambda: disk.remove(a), lambda: disk.size(a), lambda: disk.rename(a, b), lambda: disk.link(a, b)):
        with pytest.raises(FileNotFoundError):
            missing()
    disk.sync_folder(folder)


def test_a_removed_file_stays_readable_while_it_is_open(place: tuple[Disk, str]) -> None:
    disk, folder = place
    write(disk, f"{folder}/a", b"one")
    file = disk.open(f"{folder}/a")
    disk.remove(f"{folder}/a")
    assert file.read_at(0, 10) == b"one"
    file.close()
    file.close()


def test_folders(place: tuple[Disk, str]) -> None:
    disk, folder = place
    deep = f"{folder}/x/y/z"
    disk.make_folders(deep)
    disk.make_folders(deep)
    assert disk.exists(deep)
    assert list(disk.list(f"{folder}/x")) == [Entry("y", True, 0)]
    write(disk, f"{deep}/a", b"1")
    disk.rename(f"{folder}/x/y", f"{folder}/w")
    assert read(disk, f"{folder}/w/z/a") == b"1"
    with pytest.raises(FileNotFoundError):
        list(disk.list(deep))
    with pytest.raises(FileExistsError):
        disk.make_folders(f"{folder}/w/z/a")
    assert disk.free_bytes(folder) > 0


def test_only_what_was_synced_survives() -> None:
    disk = SimDisk()
    disk.make_folders("/d")
    write(disk, "/d/synced", b"kept", sync=True)
    disk.sync_folder("/d")
    file = disk.open("/d/synced", write=True)
    file.write_at(0, b"lost")
    write(disk, "/d/name-not-synced", b"x", sync=True)
    disk.remove("/d/synced")
    after = disk.crash()
    assert names(after, "/d") == {"synced"}
    assert read(after, "/d/synced") == b"kept"
    with pytest.raises(Crash):
        file.read_at(0, 1)
    with pytest.raises(Crash):
        disk.exists("/d")


def test_a_rename_is_whole_or_not_at_all() -> None:
    for seed in range(20):
        disk = SimDisk()
        disk.make_folders("/d")
        write(disk, "/d/new", b"new", sync=True)
        write(disk, "/d/old", b"old", sync=True)
        disk.sync_folder("/d")
        disk.rename("/d/new", "/d/old")
        after = disk.crash(seed)
        assert (names(after, "/d"), read(after, "/d/old")) in (({"new", "old"}, b"old"), ({"old"}, b"new"))


def test_unsynced_writes_are_torn_at_sectors() -> None:
    sectors = 8
    seen = set()
    for seed in range(200):
        disk = SimDisk()
        write(disk, "/f", b"a" * SECTOR_BYTES * sectors, sync=True)
        disk.sync_folder("/")
        file = disk.open("/f", write=True)
        file.write_at(0, b"b" * SECTOR_BYTES * sectors)
        after = read(disk.crash(seed), "/f")
        pieces = [after[i : i + SECTOR_BYTES] for i in range(0, len(after), SECTOR_BYTES)]
        assert all(piece in (b"a" * SECTOR_BYTES, b"b" * SECTOR_BYTES) for piece in pieces)
        seen.add(bytes(piece[0] for piece in pieces))
    assert {b"a" * sectors, b"b" * sectors} < seen
    assert any(b"ba" in state for state in seen)
    assert any(b"ab" in state for state in seen)


def test_the_same_seed_gives_the_same_wreck() -> None:
    def wreck(seed: int) -> bytes:
        disk = SimDisk()
        write(disk, "/f", bytes(4096), sync=True)
        disk.sync_folder("/")
        write(disk, "/f", b"x" * 4096)
        return read(disk.crash(seed), "/f")

    assert [wreck(seed) for seed in range(20)] == [wreck(seed) for seed in range(20)]


def test_a_crash_at_a_write_point() -> None:
    disk = SimDisk()
    points: list[tuple[str, str]] = []

    def at_the_sync(operation: str, path: str) -> None:
        points.append((operation, path))
        if operation == "sync":
            raise Crash

    disk.on_write_point = at_the_sync
    with pytest.raises(Crash):
        write(disk, "/f", b"x", sync=True)
    assert points == [("create", "/f"), ("write", "/f"), ("sync", "/f")]
    assert not disk.crash().exists("/f")


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("create", lambda d: d.open("/new", create=True)),
        ("write", lambda d: d.open("/f", write=True).write_at(0, b"abcd")),
        ("truncate", lambda d: d.open("/f", write=True).truncate(1)),
        ("sync", lambda d: d.open("/f", write=True).sync()),
        ("rename", lambda d: d.rename("/f", "/g")),
        ("link", lambda d: d.link("/f", "/g")),
        ("remove", lambda d: d.remove("/f")),
        ("sync_folder", lambda d: d.sync_folder("/")),
        ("make_folder", lambda d: d.make_folders("/x")),
        ("read", lambda d: d.open("/f").read_at(0, 1)),
    ],
)
def test_ordered_failures(operation: str, act: Callable[[SimDisk], object]) -> None:
    disk = SimDisk()
    write(disk, "/f", b"old!")
    disk.fail(operation)
    with pytest.raises(OSError) as error:
        act(disk)
    assert error.value.errno == errno.EIO
    act(disk)


def test_the_nth_operation_fails_and_those_after_it() -> None:
    disk = SimDisk()
    write(disk, "/f", b"old!")
    disk.fail("*", nth=2, times=2, path="/f", error=errno.ENOSPC)
    file = disk.open("/f", write=True)
    file.write_at(0, b"1")
    for _ in range(2):
        with pytest.raises(OSError) as error:
            file.write_at(0, b"23")
        assert error.value.errno == errno.ENOSPC
    file.write_at(1, b"4")
    assert read(disk, "/f") == b"24d!"


def test_a_failed_sync_is_not_made_good_by_the_next() -> None:
    disk = SimDisk()
    write(disk, "/f", b"old", sync=True)
    disk.sync_folder("/")
    file = disk.open("/f", write=True)
    file.write_at(0, b"new")
    disk.fail("sync")
    with pytest.raises(OSError):
        file.sync()
    assert file.read_at(0, 3) == b"new"
    file.sync()
    assert read(disk.crash(), "/f") == b"old"


def test_a_full_disk_takes_what_fits() -> None:
    disk = SimDisk(capacity_bytes=10)
    file = disk.open("/f", write=True, create=True)
    file.write_at(0, b"12345678")
    with pytest.raises(OSError) as error:
        file.write_at(8, b"90abc")
    assert error.value.errno == errno.ENOSPC
    assert read(disk, "/f") == b"1234567890"
    assert disk.free_bytes("/") == 0
    file.write_at(0, b"over")
    disk.capacity_bytes = None
    file.write_at(10, b"abc")


def test_a_lying_disk_and_bit_rot() -> None:
    disk = SimDisk()
    write(disk, "/f", b"old", sync=True)
    disk.sync_folder("/")
    disk.lies_about_sync = True
    write(disk, "/f", b"new", sync=True)
    after = disk.crash()
    assert read(after, "/f") == b"old"
    after.flip_bit("/f", 0)
    assert read(after, "/f") == b"nld"
    assert read(after.crash(), "/f") == b"nld"
    assert after.operations["read"] == 2
