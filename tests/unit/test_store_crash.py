"""The core on a disk that fails: power lost at every write point, full, refusing to sync, rotting."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.change import Change
from safehold.model.errors import Damaged, OutOfSpace, SafeholdError
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.vfs import OLD_PAGE_BYTES, PAGE_BYTES
from tests.support import schema_dump
from tests.support.changes import Streams, account_id

ANN = account_id(1)
BOOK = "contacts/default"
PATH = "/core/core.db"


def new_disk() -> SimDisk:
    disk = SimDisk()
    disk.make_folders("/core")
    return disk


def group(streams: Streams, count: int = 8, account: bytes = ANN) -> list[Change]:
    return [streams.put_card(account, BOOK, f"{count}-{i}.vcf", text="x" * 600) for i in range(count)]


def commit(core: SqliteCore, changes: list[Change], frame: int) -> None:
    core.begin()
    for change in changes:
        core.apply(change, frame)
    core.set_log_position(LogPosition(1, frame, bytes(32)))
    core.commit()


def founded(disk: SimDisk) -> tuple[SqliteCore, Streams]:
    core = SqliteCore.open(PATH, disk=disk, create=True)
    streams = Streams()
    commit(core, [streams.mkcol(ANN, Kind.CONTACTS, BOOK), *group(streams, 3)], 1)
    return core, streams


def write_points(act: Callable[[SimDisk], object]) -> int:
    """How many write points an act has that begins on a founded core."""
    disk = new_disk()
    founded(disk)[0].close()
    return count_write_points(disk, lambda: act(disk))


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_power_lost_at_any_write_point_leaves_all_of_a_group_or_none(seed: int | None) -> None:
    def act(disk: SimDisk) -> None:
        core = SqliteCore.open(PATH, disk=disk)
        streams = Streams()
        streams.mkcol(ANN, Kind.CONTACTS, BOOK)
        group(streams, 3)
        commit(core, group(streams), 2)
        acknowledged.append(2)
        core.close()

    acknowledged: list[int] = []
    points = write_points(act)
    assert points > 10
    outcomes = set()
    for point in range(points + 1):
        disk = new_disk()
        founded(disk)[0].close()
        acknowledged.clear()
        disk.on_write_point = power_loss_after(point)
        if point < points:
            with pytest.raises(Crash):
                act(disk)
        else:
            act(disk)
        core = SqliteCore.open(PATH, disk=disk.crash(seed))
        journal = [change.name for _, _, change in core.changes()]
        position = core.log_position().frame
        assert (len(journal), position) in ((4, 1), (12, 2))
        assert position == 2 or not acknowledged, "what commit returned from is there"
        collection = core.collection(1, BOOK)
        assert collection is not None
        assert sorted(item.name for item in core.items(collection)) == sorted(journal[1:])
        assert core.counts()["contacts"] == len(journal) - 1
        outcomes.add(position)
        core.close()
    assert outcomes == {1, 2}


def test_power_lost_while_a_core_is_made() -> None:
    points = write_points(lambda disk: SqliteCore.open("/core/new.db", disk=disk, create=True).close())
    for point in range(points):
        disk = new_disk()
        disk.on_write_point = power_loss_after(point)
        with pytest.raises(Crash):
            SqliteCore.open(PATH, disk=disk, create=True).close()
            SqliteCore.open(PATH, disk=disk, create=True).close()
            raise AssertionError("every point is reached")
        core = SqliteCore.open(PATH, disk=disk.crash(point), create=True)
        streams = Streams()
        commit(core, [streams.mkcol(ANN, Kind.CONTACTS, BOOK)], 1)
        assert core.counts()["changes"] == 1
        core.close()


def test_the_name_of_a_wal_that_a_killed_process_left_is_synced_by_the_next() -> None:
    """Were it not, a power loss would take the WAL with all that was committed since, or bring an older one back."""

    def syncs_wal(operation: str, path: str) -> None:
        if operation == "sync" and path.endswith("-wal"):
            raise Crash

    disk = new_disk()
    core, streams = founded(disk)
    core.close()
    core = SqliteCore.open(PATH, disk=disk)
    disk.on_write_point = syncs_wal
    with pytest.raises((Crash, SafeholdError)):
        commit(core, [streams.put_card(ANN, BOOK, "killed.vcf")], 2)
    disk = disk.kill()
    core.abandon()
    core = SqliteCore.open(PATH, disk=disk)
    streams.heads[ANN, Kind.CONTACTS] = core.head(1, Kind.CONTACTS)  # with or without what was not synced
    commit(core, [streams.put_card(ANN, BOOK, "kept.vcf")], 3)
    before = core.head(1, Kind.CONTACTS)
    after = disk.crash()
    core.abandon()
    core = SqliteCore.open(PATH, disk=after)
    assert core.head(1, Kind.CONTACTS) == before
    core.close()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_bulk_load_is_durable_when_it_has_ended(seed: int | None) -> None:
    disk = new_disk()
    core = SqliteCore.open(PATH, disk=disk, create=True)
    core.bulk(True)
    streams = Streams()
    commit(core, [streams.mkcol(ANN, Kind.CONTACTS, BOOK)], 1)
    for frame in range(2, 40):
        commit(core, group(streams, 64), frame)
    core.bulk(False)
    core.abandon()
    core = SqliteCore.open(PATH, disk=disk.crash(seed))
    assert [change for _, _, change in core.changes(limit=10_000)] == streams.made
    assert core.log_position().frame == 39
    core.close()


def test_a_full_disk_refuses_and_goes_on_when_there_is_room() -> None:
    disk = new_disk()
    core, streams = founded(disk)
    disk.capacity_bytes = disk.used_bytes() + 4096
    before = streams.heads.copy()
    with pytest.raises(OutOfSpace):
        commit(core, group(streams, 64), 2)
    core.rollback()
    disk.capacity_bytes = None
    core.abandon()
    core = SqliteCore.open(PATH, disk=disk)
    assert core.log_position().frame == 1
    streams.heads = before
    commit(core, group(streams), 2)
    assert core.counts()["contacts"] == 11
    core.close()


def test_a_failed_sync_stops_the_core_until_it_is_opened_again() -> None:
    disk = new_disk()
    core, streams = founded(disk)
    disk.fail("sync", path="-wal")
    with pytest.raises(Damaged):
        commit(core, group(streams), 2)
    core.rollback()
    with pytest.raises(Damaged):
        core.begin()
    core.close()
    core = SqliteCore.open(PATH, disk=disk)
    assert core.log_position().frame in (1, 2)
    assert core.counts()["changes"] in (4, 12)
    core.close()
    core = SqliteCore.open(PATH, disk=disk.crash())
    assert core.log_position().frame >= 1
    core.close()


def test_a_full_disk_during_apply_can_be_rolled_back() -> None:
    disk = new_disk()
    core, streams = founded(disk)
    core._db.pragma("cache_size", 5)
    disk.capacity_bytes = disk.used_bytes() + 20_000
    with pytest.raises(OutOfSpace):
        commit(core, group(streams, 200), 2)
    core.rollback()
    core.abandon()
    disk.capacity_bytes = None
    core = SqliteCore.open(PATH, disk=disk)
    assert core.counts()["changes"] == 4
    core.close()


def test_a_flipped_bit_in_any_page_is_found_when_it_is_read() -> None:
    disk = new_disk()
    core, streams = founded(disk)
    commit(core, group(streams, 64), 2)
    core.close()
    found = 0
    for offset in range(200, disk.size(PATH), PAGE_BYTES):
        disk.flip_bit(PATH, offset, 3)
        with pytest.raises(Damaged):
            read_all(disk)
            raise AssertionError(f"the bit at {offset} was not noticed")
        disk.flip_bit(PATH, offset, 3)
        found += 1
    assert found > 10
    read_all(disk)


def read_all(disk: SimDisk) -> None:
    core = SqliteCore.open(PATH, disk=disk)
    try:
        if core._db.execute("PRAGMA integrity_check").get != "ok":
            raise Damaged("integrity_check")
    except apsw.IOError as error:
        raise Damaged(str(error)) from error
    finally:
        core.abandon()


def test_a_flipped_bit_on_this_machines_files(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    core = SqliteCore.open(str(path), create=True)
    streams = Streams()
    commit(core, [streams.mkcol(ANN, Kind.CONTACTS, BOOK), *group(streams, 64)], 1)
    core.close()
    assert [p.name for p in tmp_path.iterdir()] == ["core.db"]
    data = bytearray(path.read_bytes())
    bodies = [match.start() for match in re.finditer(b"x" * 600, data)]
    data[bodies[len(bodies) // 2] + 300] ^= 1
    path.write_bytes(data)
    core = SqliteCore.open(str(path))
    with pytest.raises(Damaged) as error:
        core.changes()
    assert "SQLite 8202" in error.value.message, "SQLITE_IOERR_DATA: a page's checksum"
    core.close()


def test_the_checksums_cannot_be_turned_off_by_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    SqliteCore.open(str(path), create=True).close()
    data = bytearray(path.read_bytes())
    data[20] ^= 8
    path.write_bytes(data)
    with pytest.raises(Damaged):
        SqliteCore.open(str(path))
    with pytest.raises(Damaged):
        SqliteCore.open(str(path), read_only=True)


def test_a_file_of_the_simulated_disk_is_a_file_of_this_machine(tmp_path: Path) -> None:
    """Page checksums over the seam are those of SQLite's own checksum VFS."""
    disk = new_disk()
    core, streams = founded(disk)
    core.close()
    file = disk.open(PATH)
    (tmp_path / "core.db").write_bytes(file.read_at(0, file.size()))
    real = SqliteCore.open(str(tmp_path / "core.db"))
    assert [change for _, _, change in real.changes()] == streams.made
    real.close()


def test_a_core_with_pages_of_the_old_size_is_served_as_it_is(tmp_path: Path) -> None:
    """On this machine's files and, with the same checksums, over the seam."""
    path, kept = tmp_path / "core.db", Path(__file__).parents[1] / "vectors" / "schema" / "v2.sql"
    schema_dump.load(path, kept.read_text(encoding="utf-8"))
    real = SqliteCore.open(str(path))
    made = real.changes()
    assert real._db.pragma("page_size") == OLD_PAGE_BYTES != PAGE_BYTES
    real.close()
    disk = new_disk()
    file = disk.open(PATH, write=True, create=True)
    file.write_at(0, path.read_bytes())
    core = SqliteCore.open(PATH, disk=disk)
    streams = Streams(timeline=4)
    commit(core, [streams.mkcol(account_id(9), Kind.CONTACTS, BOOK), *group(streams, account=account_id(9))], 9)
    core.close()
    path.write_bytes(file.read_at(0, file.size()))
    real = SqliteCore.open(str(path))
    assert [change for _, _, change in real.changes()] == [change for _, _, change in made] + streams.made
    assert real._db.pragma("page_size") == OLD_PAGE_BYTES
    assert real.fault() is None
    real.close()
    for offset in range(200, disk.size(PATH), OLD_PAGE_BYTES):
        disk.flip_bit(PATH, offset, 3)
        with pytest.raises(Damaged):
            read_all(disk)
            raise AssertionError(f"the bit at {offset} was not noticed")
        disk.flip_bit(PATH, offset, 3)


@pytest.mark.parametrize("operation", ["read", "write", "sync", "create", "truncate", "remove", "sync_folder"])
def test_any_error_of_the_disk_comes_typed(operation: str) -> None:
    for nth in range(1, 4):
        disk = new_disk()
        core, streams = founded(disk)
        core.close()
        disk.fail(operation, nth=nth, error=errno.EIO)
        try:
            core = SqliteCore.open(PATH, disk=disk)
            commit(core, group(streams), 2)
            core.close()
        except SafeholdError:
            core.abandon()
        disk.mend()
        core = SqliteCore.open(PATH, disk=disk.crash())
        assert core.counts()["changes"] in (4, 12)
        core.close()
