"""Shipping: order, honesty of its numbers, what happens when a vault is away or differs."""

from __future__ import annotations

import errno
from collections.abc import Callable

import msgspec
import pytest

from safehold.archiver.log import DEFAULT_LIMITS, LogLimits, Written
from safehold.archiver.shipped import FileBook
from safehold.archiver.shipper import Shipper
from safehold.formats import segment
from safehold.formats.blob import blob_object
from safehold.formats.segment import SegmentName
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SimClock
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedVault
from tests.support.links import direct
from tests.support.logs import INSTALLATION, OPENER, Writing, folder_vault, make_vault, objects, read


class Pair:
    """A writer to near, and a shipper from near to far that is told of what is written."""

    def __init__(self, limits: LogLimits = DEFAULT_LIMITS) -> None:
        self.near, self.far, self.clock = MemoryVault("near"), MemoryVault("far"), SimClock()
        self.limits = limits
        self.shipper = Shipper(self.near, self.far, self.clock, live=True)
        self.writing = self.open()

    def open(self, **more: object) -> Writing:
        return Writing(
            [self.near],
            [self.far],
            limits=self.limits,
            clock=self.clock,
            on_written=self.shipper.note,
            **more,  # type: ignore[arg-type]
        )

    def ship(self) -> None:
        for _ in range(2000):
            pause = self.shipper.step()
            if pause is None or pause > 0:
                return
        raise AssertionError("the shipper never ends")


def test_it_ships_what_was_written_and_says_so() -> None:
    pair = Pair(LogLimits(3000, 10.0))
    assert pair.shipper.unarchived_changes == 0
    pair.ship()
    assert pair.shipper.level
    pair.writing.write(7, each=2)
    assert pair.shipper.unarchived_changes == 14
    assert not pair.shipper.level
    pair.clock.advance(3)
    assert 4.4 < pair.shipper.lag_seconds < 4.6  # 3 s and the six quarters since the first was written
    pair.ship()
    assert pair.shipper.level
    assert (pair.shipper.unarchived_changes, pair.shipper.lag_seconds) == (0, 0.0)
    assert pair.far.objects == pair.near.objects
    pair.writing.log.close()
    pair.ship()
    assert pair.far.objects == pair.near.objects


def test_a_target_that_is_down_is_tried_again_and_again_less_often() -> None:
    pair = Pair()
    pair.ship()
    pair.far.down = True
    pair.writing.write(3)
    pauses = [pair.shipper.step() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pair.shipper.trouble == "vault far is down"
    assert pair.shipper.unarchived_changes == 3
    pair.far.down = False
    pair.ship()
    assert pair.shipper.trouble is None
    assert pair.far.objects == pair.near.objects
    pair.far.down = True
    pair.writing.write(1)
    assert pair.shipper.step() == 1


def test_before_the_first_look_everything_that_the_target_may_lack_counts() -> None:
    pair = Pair()
    pair.writing.write(3)
    pair.ship()
    pair.writing.write(2)
    fresh = Shipper(pair.near, pair.far, pair.clock)
    assert fresh.unarchived_changes == 5, "the end of what is there may not be synced"
    pair.far.down = True
    assert fresh.unarchived_changes == 5
    assert fresh.step() == 1.0
    assert not fresh.level
    assert fresh.unarchived_changes == 5
    pair.far.down = False
    fresh.step()
    assert fresh.unarchived_changes == 2


def test_a_frame_that_was_shipped_in_part_still_counts() -> None:
    pair = Pair()
    pair.writing.write(2)
    (name,) = pair.near.objects
    pair.far.objects[name] = pair.near.objects[name][:-1]
    fresh = Shipper(pair.near, pair.far, pair.clock)
    fresh.step()
    assert fresh.unarchived_changes == 1


def test_notes_from_before_the_first_look_are_not_counted_twice() -> None:
    pair = Pair()
    pair.writing.write(4)
    pair.far.room_bytes = 0
    pair.shipper.step()
    pair.shipper.step()
    assert pair.shipper.unarchived_changes == 4


def test_a_live_source_is_shipped_only_as_far_as_it_is_synced() -> None:
    """A frame that is written and not yet noted may still be lost: the target must not have it then."""
    pair = Pair()
    pair.writing.write(1)
    (name,) = pair.near.objects
    noted = pair.near.objects[name]
    pair.near.objects[name] += b"written, and not yet synced"
    fresh = Shipper(pair.near, pair.far, pair.clock, live=True)
    for _ in range(300):
        fresh.step()
    assert pair.far.objects[name] == noted[: segment.HEADER_BYTES]
    fresh.note(Written(name, len(noted), 1, pair.clock.now()))
    for _ in range(3):
        fresh.step()
    assert pair.far.objects[name] == noted


def test_what_a_writer_left_behind_is_shipped_when_the_next_begins() -> None:
    pair = Pair()
    pair.writing.write(2)
    pair.ship()
    (name,) = pair.near.objects
    pair.near.objects[name] += b"a torn write"
    core = pair.writing.log.position
    pair.open(core=core, streams=pair.writing.streams)
    pair.ship()
    assert pair.far.objects == pair.near.objects
    assert pair.shipper.level


def test_blobs_go_first_and_what_was_there_before_is_found() -> None:
    pair = Pair()
    name = "blobs/ab/ab" + "cd" * 31
    pair.near.put(name, [b"old"])
    pair.ship()
    assert pair.far.objects[name] == b"old"
    new = "blobs/ff/ff" + "cd" * 31
    pair.near.put(new, [b"new" * 1_000_000])
    pair.shipper.note_blob(new, 1, b"")
    pair.writing.write(1)
    assert pair.shipper.pending_blobs() == [new]
    assert not pair.shipper.level
    pair.shipper.step()
    assert pair.far.objects[new] == b"new" * 1_000_000
    assert pair.shipper.unarchived_changes == 1
    pair.ship()
    assert pair.shipper.level


def test_a_frame_never_goes_before_a_blob_that_another_process_brought() -> None:
    """Its note comes with the frame that names it, from the log."""
    pair = Pair()
    pair.ship()
    name = bytes.fromhex("ab" + "cd" * 31)
    pair.near.put(blob_object(name), (b"a photo",))
    change = msgspec.structs.replace(pair.writing.change(1), body=None, blob=name)
    pair.writing.log.write(pair.writing.log.prepare([change]))
    whole = objects(pair.near, "log/")
    while objects(pair.far, "log/") != whole:
        assert pair.shipper.unarchived_changes == 1
        assert pair.shipper.step() == 0
    assert blob_object(name) in pair.far.objects


def test_nothing_counts_any_more_after_a_failed_sync() -> None:
    disk, clock = SimDisk(), SimClock()
    near = MemoryVault("near")
    writing = Writing([near], clock=clock)
    writing.write(2)
    make_vault(disk, "far")
    shipper = Shipper(near, folder_vault(disk, "far"), clock)
    disk.fail("sync", error=errno.EIO)
    for _ in range(400):
        shipper.step()
    assert shipper.unarchived_changes == 2
    assert not shipper.level
    assert "starts again" in (shipper.trouble or "")


def test_objects_that_differ_are_told_and_left() -> None:
    pair = Pair()
    pair.writing.write(2)
    (name,) = pair.near.objects
    other = bytearray(pair.near.objects[name][:-20])
    other[-1] ^= 1
    pair.far.objects[name] = bytes(other)
    pair.ship()
    assert pair.far.objects[name] == bytes(other)
    assert "not the same" in (pair.shipper.trouble or "")
    assert pair.shipper.unarchived_changes == 1
    longer = Shipper(pair.near, pair.far, pair.clock)
    pair.far.objects[name] = pair.near.objects[name] + b"more"
    for _ in range(300):
        longer.step()
    assert any("longer in far" in text for text in longer.differences())
    assert pair.far.objects[name] == pair.near.objects[name] + b"more"


def test_a_closed_segment_is_there_as_a_whole_or_not_at_all() -> None:
    """One that repeats frames of another makes these void, so a part of it would do harm."""
    disk, clock = SimDisk(), SimClock()
    near, far = make_vault(disk, "near"), make_vault(disk, "far")
    Writing([near], clock=clock).write(3)
    again = Writing([folder_vault(disk, "near")], clock=clock)  # frames in doubt are kept once more
    anchor = next(name for name in objects(near, "log/00000001/") if "/00000001-" in name)
    again.log.close()
    shipper = Shipper(folder_vault(disk, "near"), folder_vault(disk, "far"), clock)

    points = [0]

    def count(operation: str, path: str) -> None:
        points[0] += 1

    disk.on_write_point = count
    before = disk.survivor()
    for _ in range(600):
        shipper.step()
    assert objects(far) == objects(near)
    for point in range(1, points[0] + 1):
        attempt = before.survivor()
        left = [point]

        def fuse(operation: str, path: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Crash

        attempt.on_write_point = fuse
        shipper = Shipper(folder_vault(attempt, "near"), folder_vault(attempt, "far"), clock)
        with pytest.raises(Crash):
            for _ in range(600):
                shipper.step()
        for seed in (None, *range(5)):
            after = folder_vault(attempt.survivor(seed), "far")
            assert objects(after, "log/").get(anchor) in (None, objects(near)[anchor])


def test_a_hole_that_a_power_loss_left_at_the_end_is_found_and_counts() -> None:
    pair = Pair()
    pair.writing.write(3, each=2)
    pair.ship()
    pair.writing.log.close()
    pair.ship()
    name, data = list(pair.far.objects.items())[-1]
    middle = len(data) // 2
    pair.far.objects[name] = data[:middle] + bytes(300) + data[middle + 300 :]
    for _ in range(3):  # each start claims a timeline in both
        Writing([pair.near], [pair.far], clock=pair.clock).log.close()
    fresh = Shipper(pair.near, pair.far, pair.clock, live=True)
    assert fresh.unarchived_changes > 0
    for _ in range(600):
        fresh.step()
    assert fresh.unarchived_changes > 0
    assert not fresh.level
    assert fresh.trouble is not None and name in fresh.trouble
    assert fresh.differences()


def test_a_whole_log_is_copied_into_an_empty_vault() -> None:
    near, clock, position, streams = MemoryVault("near"), SimClock(), None, None
    for _ in range(3):
        more = {} if position is None else {"core": position, "streams": streams}
        writing = Writing([near], clock=clock, limits=LogLimits(3000, 10.0), **more)  # type: ignore[arg-type]
        writing.write(8)
        writing.log.close()
        position, streams = writing.log.position, writing.streams
    disk = SimDisk()
    far = make_vault(disk, "far")
    shipper = Shipper(near, far, clock)
    while not shipper.level:
        shipper.step()
        assert shipper.trouble is None
    assert objects(far, "log/") == near.objects
    assert read(folder_vault(disk.crash(), "far"))[0] == read(near)[0]
    assert str(SegmentName(3, 0, 0)) in near.objects


RUNS = ("runs/000000000005/000.run", "runs/000000000005/001.run", "runs/000000000005/generation")


def put_objects(pair: Pair, *names: str, size: int = 3_000_000) -> None:
    for name in names:
        pair.near.put(name, (name.encode() * (size // len(name)),))


def test_runs_and_evidence_that_were_there_before_are_shipped() -> None:
    pair = Pair()
    put_objects(pair, *RUNS, "evidence/0000000000000005-00000000.ev")
    pair.writing.write(3)
    assert not pair.shipper.level
    pair.ship()
    assert pair.shipper.level and pair.far.objects == pair.near.objects


def test_a_manifest_comes_after_its_runs_and_the_log_before_both() -> None:
    pair = Pair()
    pair.ship()
    put_objects(pair, *RUNS)
    for name in RUNS:
        pair.shipper.note_object(name)
    pair.writing.write(3)
    assert set(RUNS) <= set(pair.shipper.pending_blobs()) and not pair.shipper.level
    seen: list[str] = []
    while not pair.shipper.level:
        pair.shipper.step()
        seen += [name for name in RUNS if name in pair.far.objects and name not in seen]
        if seen:
            assert pair.shipper.unarchived_changes == 0
    assert seen == list(RUNS) and pair.far.objects == pair.near.objects
    assert pair.shipper.pending_blobs() == []


def test_a_run_that_does_not_fit_does_not_keep_the_log_waiting() -> None:
    pair = Pair()
    pair.ship()
    put_objects(pair, *RUNS)
    pair.far.room_bytes = 100_000
    for name in RUNS:
        pair.shipper.note_object(name)
    pair.writing.write(3)
    pair.ship()
    assert pair.shipper.unarchived_changes == 0 and pair.shipper.trouble and not pair.shipper.level
    pair.writing.write(3)
    for _ in range(3):
        pair.shipper.step()
    assert pair.shipper.unarchived_changes == 0
    pair.far.room_bytes = None
    pair.ship()
    assert pair.shipper.level and pair.shipper.trouble is None and pair.far.objects == pair.near.objects


def test_a_run_that_the_target_lost_comes_again() -> None:
    pair = Pair()
    put_objects(pair, *RUNS)
    pair.ship()
    del pair.far.objects[RUNS[1]]
    again = Shipper(pair.near, pair.far, pair.clock)
    while not again.level:
        again.step()
    assert pair.far.objects == pair.near.objects


def test_generations_that_were_retained_away_do_not_come_back() -> None:
    pair = Pair()
    put_objects(pair, *RUNS, "runs/000000000009/000.run", "runs/000000000009/generation")
    pair.ship()
    for name in RUNS:
        del pair.far.objects[name]
    again = Shipper(pair.near, pair.far, pair.clock)
    while not again.level:
        again.step()
    assert not set(RUNS) & set(pair.far.objects)


def test_an_object_of_another_length_is_told() -> None:
    pair = Pair()
    put_objects(pair, *RUNS)
    pair.far.put(RUNS[0], (b"torn",))
    pair.ship()
    assert any(RUNS[0] in told for told in pair.shipper.differences())
    assert pair.far.objects[RUNS[0]] == b"torn"


@pytest.mark.parametrize("shipped", [False, True])
def test_a_frame_that_the_writer_gave_up_is_not_shipped(shipped: bool) -> None:
    """A vault behind a socket would take it, and then refuse the segment that bears its number."""
    disk = SimDisk()
    near = MemoryVault("near")
    make_vault(disk, "kept").close()
    kept = RemoteVault("kept", "/kept.sock", direct(ServedVault("/kept", disk, reserve_bytes=0)), INSTALLATION)
    writing = Writing([near], [kept])
    writing.write(3)
    if shipped:
        ship_all(near, kept)
    log = writing.log
    given_up = log.prepare([writing.change(99)])  # its append failed, with all of its bytes on the disk
    assert log._segment is not None
    name = str(log._segment.name)
    near.append(name, log._segment.size, given_up.data)
    log._leave_segment()
    writing.streams.made.pop()
    writing.write(3)
    log.close()
    ship_all(near, kept)
    assert VaultLogReader([kept], OPENER).end() == VaultLogReader([near], OPENER).end()
    assert given_up.data not in b"".join(kept.get(info.name) for info in kept.list("log/"))
    ship_all(near, kept)


def ship_all(source: MemoryVault, target: RemoteVault) -> None:
    shipper = Shipper(source, target, SimClock())
    for _ in range(2000):
        pause = shipper.step()
        assert not shipper.trouble
        if pause is None or pause > 0:
            assert shipper.level
            return
    raise AssertionError("the shipper never ends")


class Bookish:
    """Near and far on one disk, and a shipper that keeps a page of what far has; `again` as after a restart."""

    def __init__(self) -> None:
        self.disk, self.clock = SimDisk(), SimClock()
        self.near, self.far = make_vault(self.disk, "near"), make_vault(self.disk, "far")
        self.removed: set[str] = set()
        self.asked = 0
        self.book = FileBook(self.disk, "/run", "far")
        self.shipper = self.again()
        self.writing = Writing([self.near], [self.far], clock=self.clock, limits=LogLimits(3000, 10.0))
        self.blobs = [blob_object(bytes([n]) * 32) for n in range(5)]
        self.runs = [f"runs/00000000000{n}/000.run" for n in range(4)]

    def again(self) -> Shipper:
        self.shipper = Shipper(self.near, self.far, self.clock, book=self.book, excuses=self.excuses)
        return self.shipper

    def excuses(self) -> Callable[[str], bool]:
        self.asked += 1
        return self.removed.__contains__

    def fill(self) -> None:
        self.writing.write(7, each=2)
        for name in (*self.blobs, *self.runs):
            self.near.put(name, [b"bytes"])

    def ship(self) -> list[str]:
        for _ in range(2000):
            if self.shipper.step() is None:
                return self.shipper.missed()
        raise AssertionError("the shipper never ends")


def filled() -> Bookish:
    world = Bookish()
    world.fill()
    assert world.ship() == []
    return world


@pytest.mark.parametrize(
    ("hurt", "sorts"),
    [
        ("log", ["part of its log"]),
        ("blobs", ["large bodies"]),
        ("runs", ["run objects"]),
        ("", ["part of its log", "large bodies", "run objects"]),
    ],
)
def test_what_the_target_has_lost_is_told_before_it_is_shipped_again(hurt: str, sorts: list[str]) -> None:
    world = filled()
    for path in world.disk.files(f"/far/{hurt}".rstrip("/")):
        if not path.endswith(("/FORMAT", "/reader.py")):
            world.disk.lose(path)
    world.far = folder_vault(world.disk, "far")
    world.again()
    told = world.ship()
    assert [text.partition("far has lost ")[2].partition(":")[0] for text in told] == sorts
    assert objects(world.far) == objects(world.near)
    world.again()
    assert world.ship() == [], "it has them again"


def test_what_the_target_never_had_is_not_missed() -> None:
    world = filled()
    world.writing.write(3)
    for name in (blob_object(b"\x03" * 31 + b"\0"), blob_object(b"\x77" * 32), "runs/000000000009/000.run"):
        world.near.put(name, [b"more"])
    world.again()
    assert world.ship() == []
    assert world.asked == 0


def test_what_a_keeper_removed_on_record_is_not_missed() -> None:
    world = filled()
    world.removed = {world.blobs[1], world.runs[2]}
    for name in world.removed:
        world.disk.lose(f"/far/{name}")
    world.again()
    assert world.ship() == []
    assert world.asked == 2
    world.disk.lose(f"/far/{world.blobs[0]}")
    world.again()
    (told,) = world.ship()
    assert world.blobs[0] in told


def test_without_its_page_nothing_is_missed() -> None:
    world = filled()
    for damage in (b"", b"\x93noise"):
        world.disk.damage("/run/far.shipped", damage)
        world.disk.lose(f"/far/{world.blobs[0]}")
        world.again()
        assert world.ship() == []
    world.book.forget()
    world.book.forget()
    assert world.book.read() is None


def test_a_page_that_cannot_be_written_hinders_nothing() -> None:
    world = Bookish()
    world.fill()
    world.disk.fail("write", path="/run/", times=1000)
    assert world.ship() == []
    assert world.shipper.level


@pytest.mark.parametrize("served", [False, True], ids=["folder", "served"])
def test_strays_in_the_source_are_told_and_hold_up_nothing(served: bool) -> None:
    """A person's or a system's own file among the objects: no vault takes its name."""
    disk, clock = SimDisk(), SimClock()
    near, far = make_vault(disk, "near"), make_vault(disk, "far")
    target = RemoteVault("far", "/far", direct(ServedVault("/far", disk)), INSTALLATION) if served else far
    for stray in ("blobs/ab/.nfs0001", "blobs/ab/copy of it", "runs/.DS_Store", "evidence/list (1).txt"):
        disk.make_folders(f"/near/{stray.rpartition('/')[0]}")
        disk.open(f"/near/{stray}", write=True, create=True).write_at(0, b"stray")
    name = blob_object(b"\xab" * 32)
    near.put(name, [b"bytes"])
    Writing([near], [target], clock=clock).write(3)
    shipper = Shipper(near, target, clock)
    for _ in range(600):
        if shipper.step() is None:
            break
    assert shipper.level and shipper.trouble is None
    assert far.get(name) == b"bytes"
    assert [text.split(" in ")[0] for text in shipper.differences()] == ["runs/.DS_Store", "evidence/list (1).txt"]
    assert {n for n in objects(far) if not n.startswith("log/")} == {"FORMAT", "reader.py", name}
