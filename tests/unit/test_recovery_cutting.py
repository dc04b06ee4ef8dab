"""Cutting off what stands at the end of a vault's log for nothing, under its keeper's credentials."""

from __future__ import annotations

import pytest

from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.segment import SegmentName
from safehold.lab.simdisk import SimDisk
from safehold.model.errors import OperatorError
from safehold.ports.core import LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.recovery.cutting import carry_out, plan_cut
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.log import VaultLogReader
from tests.support.logs import OPENER, SEALER, SMALL, Writing, make_kept_vault
from tests.support.thief import Thief


class World:
    """A writer that ended without a word, in two small segments, and a thief of its key."""

    def __init__(self) -> None:
        disk = SimDisk()
        self.vault: KeptFolderVault = make_kept_vault(disk, "kept")
        self.writing = Writing([self.vault], limits=SMALL)
        self.writing.write(8)
        self.end = self.writing.log.position
        self.last = max(info.name for info in self.vault.list("log/"))
        self.before = self.objects()

    def objects(self) -> dict[str, bytes]:
        return {info.name: self.vault.get(info.name) for info in self.vault.list("log/")}

    def garbage(self, timeline: int = 1) -> bytes:
        """The next frame, well signed, which nobody can open; and one more."""
        frames = []
        opened = 1 if timeline == 1 else self.end.frame + 1
        prev = self.end.digest
        for number in (self.end.frame + 1, self.end.frame + 2):
            header = FrameHeader(FrameType.CHANGES, timeline, timeline - 1, opened, number, 1, 7, 100, prev)
            frames.append(encode_frame(header, b"?" * 100, SEALER.writer.sign))
        return b"".join(frames) + b"rubbish"

    def entries(self) -> list[LogFrame | Hole]:
        return list(VaultLogReader([self.vault], OPENER).entries())


def test_a_log_that_can_be_read_is_left_alone() -> None:
    world = World()
    assert plan_cut(world.vault, [], OPENER).empty


@pytest.mark.parametrize("where", ["in the last segment", "in one of its own", "in the next timeline"])
def test_what_nobody_can_open_is_cut_off_and_a_writer_goes_on(where: str) -> None:
    world = World()
    vault, garbage = world.vault, world.garbage()
    thief = Thief(vault, world.end)
    if where == "in the last segment":
        vault.append(world.last, vault.size(world.last) or 0, garbage)
    elif where == "in one of its own":
        name = SegmentName(1, 77, world.end.frame + 1)
        vault.append(str(name), 0, thief.segment(name, closed=False) + garbage)
    else:
        thief.put(SegmentName(2, 0, 0))
        thief.append(SegmentName(2, 0, 0), world.garbage(2))
    assert isinstance(world.entries()[-1], Hole)
    cut = plan_cut(vault, [], OPENER)
    assert (cut.upto, cut.first, cut.changes) == (world.end, world.end.frame + 1, 0)
    assert cut.why
    left = carry_out(cut, vault)
    assert set(left) == {piece.object for piece in cut.pieces}
    assert world.objects() == world.before
    assert plan_cut(vault, [], OPENER).empty
    again = Writing([vault], core=world.end)
    again.write(2)
    assert not any(isinstance(entry, Hole) for entry in world.entries())


def test_damage_in_the_middle_or_mended_by_another_vault_is_none_of_its_business() -> None:
    world = World()
    other = make_kept_vault(SimDisk(), "other")
    for name, data in world.before.items():
        other.put(name, (data,))
    data = bytearray(world.before[world.last])
    data[-30] ^= 1
    world.vault.replace(world.last, (bytes(data),))
    assert plan_cut(world.vault, [other], OPENER).empty
    world = World()
    first = min(world.before)
    data = bytearray(world.before[first])
    data[400] ^= 1
    world.vault.replace(first, (bytes(data),))
    assert any(isinstance(entry, Hole) for entry in world.entries())
    assert plan_cut(world.vault, [], OPENER).empty


def test_a_cut_before_a_frame_that_is_named() -> None:
    """As where a vault took a frame that its writer gave up, so that it refuses the one that bears its number now."""
    world = World()
    cut = plan_cut(world.vault, [], OPENER, first=world.end.frame)
    assert (cut.first, cut.last, cut.changes) == (world.end.frame, world.end.frame, 1)
    carry_out(cut, world.vault)
    assert VaultLogReader([world.vault], OPENER).end().frame == world.end.frame - 1
    with pytest.raises(OperatorError, match="not on the log"):
        plan_cut(world.vault, [], OPENER, first=world.end.frame + 5)


def test_where_more_can_be_read_behind_it_its_keeper_has_to_say_so() -> None:
    world = World()
    thief, first = Thief(world.vault, world.end), world.end.frame + 1
    thief.put(SegmentName(2, 0, 0))
    thief.append(SegmentName(2, 0, 0), *(thief.frame(2, 1, first, number) for number in (first, first + 1)))
    cut = plan_cut(world.vault, [], OPENER)
    assert cut.empty
    assert cut.holes == [(first, first)]
    cut = plan_cut(world.vault, [], OPENER, first=first)
    assert cut.changes == 1
    carry_out(cut, world.vault)
    assert world.objects() == world.before


def test_nothing_is_cut_where_nothing_can_be_read() -> None:
    world = World()
    for name in world.before:
        world.vault.replace(name, (b"?" * 500,))
    cut = None
    try:
        cut = plan_cut(world.vault, [], OPENER)
    except OperatorError as error:
        assert "nothing is cut" in error.message
    assert cut is None or cut.empty
    assert cut is None or cut.upto == LogPosition(0, 0, b"")
