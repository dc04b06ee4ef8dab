"""Power loss at every write point of a writer's life: what was acknowledged is there, and the next writer goes on."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from safehold.archiver.log import LogLimits
from safehold.archiver.shipper import Shipper
from safehold.disaster.faults import power_loss_after
from safehold.lab.simdisk import WRITE_POINTS, Crash, SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame
from safehold.ports.vault import Vault
from tests.support.changes import Streams
from tests.support.logs import Writing, folder_vault, make_vault, objects, read

#: Small, so that a few frames rotate.
LIMITS = LogLimits(3000, 5.0)


class Core:
    """As much of a core as the log needs: what was committed, and up to which frame. Survives every crash."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.position = EMPTY_LOG

    def commit(self, changes: Sequence[Change], position: LogPosition) -> None:
        self.changes += changes
        self.position = position

    def streams(self) -> Streams:
        """A writer's streams that go on where the core stands."""
        streams = Streams()
        for change in self.changes:
            streams.heads[change.account, change.kind] = Head(change.rev, change.hash)
        streams.made = list(self.changes)
        return streams


def open_writer(disk: SimDisk, core: Core, names: Sequence[str], clock: SimClock) -> Writing:
    writing = Writing(
        [folder_vault(disk, name) for name in names],
        core=core.position,
        limits=LIMITS,
        clock=clock,
        streams=core.streams(),
    )
    for entry in writing.tail:
        assert isinstance(entry, LogFrame), f"a crash made a hole: {entry}"
        core.commit(entry.changes, entry.position)
    writing.streams = core.streams()
    return writing


def live(disk: SimDisk, core: Core, names: Sequence[str], lives: int = 2) -> None:
    """Open, write over several segments, seal, close; more than once."""
    clock = SimClock()
    for _ in range(lives):
        writing = open_writer(disk, core, names, clock)
        for number in range(7):
            change = writing.change(len(writing.streams.made))
            writing.log.write(writing.log.prepare([change]))
            core.commit([change], writing.log.position)
            clock.advance(2)
            writing.log.tick()
            if number == 3:
                writing.log.seal()
        writing.log.close()


def points(names: Sequence[str]) -> int:
    disk = SimDisk()
    for name in names:
        make_vault(disk, name)
    start = disk.operations.copy()
    live(disk, Core(), names)
    return sum((disk.operations - start)[point] for point in WRITE_POINTS)


def crash_at(point: int, names: Sequence[str]) -> tuple[SimDisk, Core]:
    """A life that ends at the given write point; the disk as it was, and the core."""
    disk = SimDisk()
    for name in names:
        make_vault(disk, name)
    disk.on_write_point = power_loss_after(point)
    core = Core()
    with pytest.raises(Crash):
        live(disk, core, names)
    return disk, core


@pytest.mark.parametrize("names", [("near",), ("near", "nigh")])
def test_nothing_acknowledged_is_lost_wherever_the_power_goes(names: tuple[str, ...]) -> None:
    count = points(names)
    assert count > 50
    rng = random.Random(7)
    for point in range(0, count, 2 if len(names) == 1 else 7):
        disk, core = crash_at(point, names)
        acknowledged = list(core.changes)
        for seed in (None, rng.randrange(1000)):
            after = disk.crash(seed)
            for name in names:
                changes, holes, _ = read(folder_vault(after, name))
                assert changes[: len(acknowledged)] == acknowledged, (point, seed, name)
                assert len(changes) <= len(acknowledged) + 1
                assert not holes
            again = Core()
            again.commit(acknowledged, core.position)
            live(after, again, names, lives=1)
            for vaults in ([folder_vault(after, n) for n in names], [folder_vault(after, names[-1])]):
                changes, holes, reader = read(*vaults)
                assert changes == again.changes, (point, seed)
                assert not holes
                assert reader.end().frame >= again.position.frame


def test_a_core_that_was_restored_from_a_copy_takes_in_what_it_lacks() -> None:
    for point in range(40, points(("near",)), 5):
        disk, core = crash_at(point, ("near",))
        acknowledged = list(core.changes)
        after = disk.crash(point)
        empty = Core()
        live(after, empty, ("near",), lives=1)
        assert empty.changes[: len(acknowledged)] == acknowledged
        changes, holes, _ = read(folder_vault(after, "near"))
        assert changes == empty.changes
        assert not holes


def test_a_crash_while_starting_again_loses_nothing() -> None:
    """The start itself mends: level, keep once more, claim. It may be cut anywhere, twice over."""
    names = ("near", "nigh")
    for first in range(30, points(names), 61):
        disk, core = crash_at(first, names)
        acknowledged = list(core.changes)
        for second in range(0, 60, 4):
            after = disk.crash(first)
            after.on_write_point = power_loss_after(second)
            again = Core()
            again.commit(acknowledged, core.position)
            try:
                live(after, again, names, lives=1)
            except Crash:
                after = after.crash(second)
            after.on_write_point = None
            last = Core()
            last.commit(again.changes, again.position)
            live(after, last, names, lives=1)
            changes, holes, _ = read(*[folder_vault(after, name) for name in names])
            assert changes == last.changes
            assert not holes


def test_a_shipper_that_is_killed_anywhere_ends_with_the_same_bytes() -> None:
    source = SimDisk()
    make_vault(source, "near")
    live(source, Core(), ("near",))
    near = folder_vault(source, "near")
    for number in range(3):
        near.put(f"blobs/0{number}/0{number}" + "ab" * 31, [bytes([number]) * 5000])
    expected = objects(near)
    for point in range(1000):
        target = SimDisk()
        make_vault(target, "far")
        kills = [point // 2, point]
        while True:
            if kills:
                target.on_write_point = power_loss_after(kills.pop())
            try:
                ship_all(near, target)
                break
            except Crash:
                target = target.crash(point + len(kills))
                far = folder_vault(target, "far")
                lacking = len(read(near)[0]) - len(read(far)[0])
                assert Shipper(near, far, SimClock()).unarchived_changes >= lacking
        assert objects(folder_vault(target.crash(), "far")) == expected
        if kills:  # it was not struck even once
            assert point > 20
            return
    raise AssertionError("the shipper never ended")


def ship_all(near: Vault, target: SimDisk) -> None:
    shipper = Shipper(near, folder_vault(target, "far"), SimClock())
    while not shipper.level:
        before = shipper.unarchived_changes
        shipper.step()
        assert shipper.trouble is None
        assert shipper.unarchived_changes <= before
