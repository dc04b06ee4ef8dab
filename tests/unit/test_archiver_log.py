"""The log written and read back: what is refused, what is healed, what a crash leaves.

Long, as writing and reading are told by the same few helpers, and each case is short.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence

import pytest

from safehold.archiver.log import Log, LogLimits, LogVault, Mode
from safehold.formats import segment
from safehold.formats.frame import BadRange, FrameType, RawFrame, scan_frames
from safehold.formats.keys import Opener, Sealer, SigningKey, certify, fingerprint, recipient_of
from safehold.formats.payload import Unpacker
from safehold.formats.seal import DECODER as SEAL_DECODER
from safehold.formats.seal import Seal, SealedObject
from safehold.formats.segment import HEADER_BYTES, claim_object
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame, Superseded
from safehold.ports.vault import VaultDown, VaultFull, VaultSuspect
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.logs import (
    IDENTITY,
    OPENER,
    QUIET,
    ROOT,
    SEALER,
    SMALL,
    Writing,
    folder_vault,
    make_vault,
    objects,
    read,
)


def frames_of(vault: MemoryVault) -> list[RawFrame]:
    return [
        item
        for name, data in sorted(vault.objects.items())
        if name.startswith("log/")
        for item in scan_frames(data, segment.HEADER_BYTES)
        if isinstance(item, RawFrame)
    ]


def spoil(vault: MemoryVault, name: str, place: int, flip: int = 0x10) -> None:
    data = bytearray(vault.objects[name])
    data[place] ^= flip
    vault.objects[name] = bytes(data)


# -- writing and reading


def test_what_was_written_is_read_over_timelines_and_segments() -> None:
    vault, clock = MemoryVault("near"), SimClock()
    acknowledged: list[Change] = []
    position, streams = EMPTY_LOG, None
    for timeline in (1, 2, 3):
        writing = Writing([vault], core=position, limits=SMALL, clock=clock, streams=streams)
        assert writing.log.timeline == timeline
        writing.write(12, each=2)
        acknowledged += writing.acknowledged
        writing.log.close()
        streams, position = writing.streams, writing.log.position
    changes, holes, reader = read(vault)
    assert changes == acknowledged
    assert holes == reader.problems() == []
    assert reader.end() == position
    assert len(vault.objects) > 6


def test_positions_lead_to_what_follows_them() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault], limits=SMALL)
    writing.write(20)
    writing.log.close()
    reader = VaultLogReader([vault], OPENER)
    entries = [entry for entry in reader.entries() if isinstance(entry, LogFrame)]
    assert [entry.position.frame for entry in entries] == list(range(1, 23))
    assert entries[0].claim
    assert entries[-1].sealed
    for index in range(0, len(entries), 5):
        assert list(reader.entries(entries[index].position)) == entries[index + 1 :]


def test_only_the_segments_that_are_needed_are_read() -> None:
    class Counting(MemoryVault):
        gets: list[str]

        def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
            self.gets.append(name)
            return super().get(name, offset, count)

    vault = Counting("near")
    vault.gets = []
    first = Writing([vault], limits=SMALL)
    first.write(120)
    first.log.close()
    second = Writing([vault], limits=SMALL, core=first.log.position, streams=first.streams)
    second.write(10)
    second.log.close()
    vault.gets.clear()
    assert len(list(VaultLogReader([vault], OPENER).entries(first.log.position))) == 12
    assert {segment.parse_name(name).timeline for name in vault.gets} <= {1, 2}  # type: ignore[union-attr]
    assert len(set(vault.gets)) < len(vault.objects) / 2


def test_a_seal_states_segments_heads_and_blobs() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault], limits=SMALL)
    writing.write(10)
    writing.log.note_blob("blobs/ab/abcd", 5, b"d" * 32)
    writing.log.seal()
    position = writing.log.position
    writing.log.seal()
    assert writing.log.position == position, "nothing was written since"
    entries = list(VaultLogReader([vault], OPENER).entries())
    last = entries[-1]
    assert isinstance(last, LogFrame)
    assert last.sealed
    change = writing.acknowledged[-1]
    assert last.heads == {(change.account, change.kind): Head(change.rev, change.hash)}


def test_old_segments_are_closed_by_the_clock() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault], limits=LogLimits(4 * 1024 * 1024, 10.0))
    writing.write(2)
    writing.log.tick()
    assert len(vault.objects) == 1
    writing.clock.advance(10)
    writing.log.tick()
    writing.log.tick()
    (data,) = vault.objects.values()
    assert segment.parse_segment_footer(data) == segment.parse_segment_header(data)
    writing.write(1)
    assert len(vault.objects) == 2


# -- damage


def small_log() -> tuple[MemoryVault, list[Change]]:
    vault = MemoryVault("near")
    first = Writing([vault], limits=LogLimits(2500, 1e9))
    first.write(4)
    first.log.close()
    second = Writing([vault], limits=LogLimits(2500, 1e9), core=first.log.position, streams=first.streams)
    second.write(2)
    second.log.close()
    return vault, first.acknowledged + second.acknowledged


def test_every_flip_is_noticed_and_never_gives_wrong_data() -> None:
    whole, acknowledged = small_log()
    for name, data in whole.objects.items():
        for place in range(0, len(data), 23):
            vault = MemoryVault("near")
            vault.objects = dict(whole.objects)
            spoil(vault, name, place)
            changes, holes, reader = read(vault)
            assert [c for c in acknowledged if c in changes] == changes
            lost = len(acknowledged) - len(changes)
            assert lost <= 1, (name, place, holes)
            assert bool(lost) <= bool(holes), (name, place)
            assert reader.problems(), (name, place)


def test_a_flip_is_healed_from_the_other_vault_and_told() -> None:
    whole, acknowledged = small_log()
    for name, data in whole.objects.items():
        for place in range(segment.HEADER_BYTES + 3, len(data) - segment.HEADER_BYTES, 211):
            near, far = MemoryVault("near"), MemoryVault("far")
            near.objects, far.objects = dict(whole.objects), dict(whole.objects)
            spoil(near, name, place)
            changes, holes, reader = read(near, far)
            assert changes == acknowledged
            assert holes == []
            assert any("near" in problem and name in problem for problem in reader.problems()), place


def test_a_missing_segment_is_a_hole_with_its_numbers() -> None:
    vault, acknowledged = small_log()
    names = sorted(vault.objects)
    gone = vault.objects.pop(names[1])
    lost = [f.header for f in scan_frames(gone, segment.HEADER_BYTES) if isinstance(f, RawFrame)]
    changes, (hole,), _ = read(vault)
    assert (hole.first, hole.last) == (lost[0].number, lost[-1].number)
    assert len(changes) == len(acknowledged) - sum(header.changes for header in lost)


def test_a_torn_end_is_no_hole_but_a_problem() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(3)
    (name,) = vault.objects
    whole = vault.objects[name]
    last = frames_of(vault)[-1]
    for cut in (1, 50, len(last.data) - 1):
        vault.objects[name] = whole[:-cut]
        changes, holes, reader = read(vault)
        assert changes == writing.acknowledged[:2]
        assert holes == []
        assert any("cut short" in problem for problem in reader.problems())
        assert reader.end().frame == last.header.number - 1


@pytest.mark.parametrize("what", ["garbage", "zeros", "flips"])
def test_what_remains_beyond_one_frame_is_damage_and_no_torn_end(what: str) -> None:
    """However much of the end: from within a frame on, or from where one begins."""
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(6)
    (name,) = vault.objects
    whole = vault.objects[name]
    frames = frames_of(vault)
    for good in range(1, len(frames) - 1):
        ends = frames[good - 1].offset + len(frames[good - 1].data)
        for begins in (ends, ends + 40, ends + 100, ends + len(frames[good].data) - 5):
            if what == "zeros" and begins < ends + 88:
                continue  # zeros alone, of any length, may be one write that never came
            rest = len(whole) - begins
            rubbish = bytes(rest) if what == "zeros" else random.Random(begins).randbytes(rest)
            if what == "flips":
                rubbish = bytes(byte ^ 0x40 if at % 64 == 0 else byte for at, byte in enumerate(whole[begins:]))
            vault.objects[name] = whole[:begins] + rubbish
            _, holes, reader = read(vault)
            assert holes, (good, begins - ends)
            assert holes[0].first == frames[good].header.number
            assert reader.end() == LogPosition(1, frames[good - 1].header.number, frames[good - 1].digest)


def test_sectors_of_one_write_that_did_not_come_are_a_torn_end() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(3)
    (name,) = vault.objects
    whole = vault.objects[name]
    last = frames_of(vault)[-1]
    rng = random.Random(8)
    for _ in range(200):
        torn = bytearray(whole)
        for first in range(last.offset // 128 * 128, len(whole), 128):  # smaller sectors than any: more ways to be torn
            if rng.random() < 0.5:
                torn[max(first, last.offset) : first + 128] = bytes(
                    min(first + 128, len(whole)) - max(first, last.offset)
                )
        if rng.random() < 0.5:
            del torn[rng.randrange(last.offset, len(torn)) :]
        vault.objects[name] = bytes(torn)
        _, holes, _ = read(vault)
        assert holes == []


def test_damage_before_the_last_frame_is_a_hole_even_at_the_end() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(3)
    (name,) = vault.objects
    *_, second, last = frames_of(vault)
    spoil(vault, name, second.offset + 200)
    spoil(vault, name, last.offset + 200)
    changes, (hole,), _ = read(vault)
    assert changes == writing.acknowledged[:1]
    assert (hole.first, hole.last) == (second.header.number, second.header.number)


def test_a_lost_claim_does_not_hide_what_its_timeline_continues() -> None:
    vault, acknowledged = small_log()
    name = claim_object(2)
    spoil(vault, name, segment.HEADER_BYTES + 150)
    changes, (hole,), _ = read(vault)
    assert changes == acknowledged
    assert hole.first == hole.last


def test_a_last_timeline_of_which_nothing_can_be_read_is_a_hole() -> None:
    vault, acknowledged = small_log()
    name = claim_object(2)
    spoilt = [f for f in frames_of(vault) if f.header.timeline == 2 and f.offset < len(vault.objects[name])]
    for frame in spoilt:
        spoil(vault, name, frame.offset + 200)
    changes, holes, reader = read(vault)
    assert changes == [c for c in acknowledged if c in changes]
    assert len(changes) == 4
    assert holes[-1].last == spoilt[-1].header.number
    assert sum(hole.last - hole.first + 1 for hole in holes) == len(spoilt)
    assert reader.end().timeline == 1


def test_another_writers_frames_do_not_count() -> None:
    vault, acknowledged = small_log()
    stranger = SigningKey(b"s" * 32)
    root = SigningKey(b"S" * 32)
    sealer = Sealer(recipient_of(IDENTITY), stranger, root.public, certify(root, stranger.public))
    forged = MemoryVault("near")
    log = Log.claim(
        [LogVault(forged, Mode.SYNC)], sealer, Opener(IDENTITY, fingerprint(root.public)), SimClock(), EMPTY_LOG
    )
    assert list(log.tail()) == []
    log.start()
    log.write(log.prepare(acknowledged[:1]))
    log.close()
    vault.objects[claim_object(3)] = forged.objects[claim_object(1)]
    changes, _, reader = read(vault)
    assert changes == acknowledged
    assert any("not certified" in p or "can be read" in p for p in reader.problems())
    with pytest.raises(OperatorError, match="another installation"):
        Log.claim([LogVault(vault, Mode.SYNC)], SEALER, OPENER, SimClock(), reader.end())


def test_a_writer_key_may_be_replaced() -> None:
    vault, acknowledged = small_log()
    end = VaultLogReader([vault], OPENER).end()
    writer = SigningKey(b"n" * 32)
    sealer = Sealer(recipient_of(IDENTITY), writer, ROOT.public, certify(ROOT, writer.public))
    log = Log.claim([LogVault(vault, Mode.SYNC)], sealer, OPENER, SimClock(), end)
    assert list(log.tail()) == []
    log.start()
    log.close()
    changes, holes, reader = read(vault)
    assert (changes, holes, reader.problems()) == (acknowledged, [], [])


def test_a_false_seal_is_told() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(2)
    writing.log._unsealed.heads = {k: Head(9, h.hash) for k, h in writing.log._unsealed.heads.items()}
    writing.log.seal()
    _, holes, reader = read(vault)
    assert holes == []
    assert any("rev 9" in problem for problem in reader.problems())


# -- branches


def fork() -> tuple[MemoryVault, MemoryVault, Writing, Writing]:
    """Near was rolled back after two frames; timeline 2 goes on from there, while far kept timeline 1's rest."""
    far = MemoryVault("far")
    first = Writing([far])
    first.write(2)
    near = MemoryVault("near")
    near.objects = dict(far.objects)
    first.write(2)
    first.log.close()
    core = VaultLogReader([near], OPENER).end()
    second = Writing([near], core=core)
    second.write(3)
    second.log.close()
    return near, far, first, second


def test_the_branch_of_the_last_timeline_counts_and_the_rest_is_told() -> None:
    near, far, first, second = fork()
    for vaults in ((near, far), (far, near)):
        changes, holes, reader = read(*vaults)
        assert changes == first.acknowledged[:2] + second.acknowledged
        assert holes == []
        assert any("abandoned" in problem for problem in reader.problems())
        assert reader.end() == second.log.position


def test_a_core_of_an_abandoned_branch_is_refused() -> None:
    near, _, first, _ = fork()
    old = LogPosition(1, first.log.position.frame, first.log.position.digest)
    with pytest.raises(NotOnTheLog, match="does not lead past"):
        list(VaultLogReader([near], OPENER).entries(old))
    log = Log.claim([LogVault(near, Mode.SYNC)], SEALER, OPENER, SimClock(), old)
    with pytest.raises(NotOnTheLog):
        list(log.tail())


def test_an_abandoned_timeline_between_is_left_out() -> None:
    near, _, first, second = fork()
    third = Writing([near], core=second.log.position, streams=second.streams)
    third.log.close()
    changes, holes, _ = read(near)
    assert changes == first.acknowledged[:2] + second.acknowledged
    assert holes == []


# -- refusals at the start


def test_a_sync_vault_that_lost_frames_is_named() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(3)
    (name,) = vault.objects
    last = frames_of(vault)[-1]
    vault.objects[name] = vault.objects[name][: last.offset]
    with pytest.raises(OperatorError, match=r"the core has frame 4, which vault near has lost: it ends at frame 3"):
        Writing([vault], core=writing.log.position)
    assert len(vault.objects) == 1, "a refused start claims nothing"


def test_a_core_with_another_history_is_refused() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault])
    writing.write(1)
    with pytest.raises(OperatorError, match="not the same"):
        Writing([vault], core=writing.log.position._replace(digest=b"x" * 32))
    writing.write(1)
    with pytest.raises(NotOnTheLog, match="not the same"):
        Writing([vault], core=LogPosition(1, 2, b"x" * 32))


def test_a_near_that_was_rolled_back_is_refused() -> None:
    near, far = MemoryVault("near"), MemoryVault("far")
    writing = Writing([near], [far])
    writing.write(1)
    before = dict(near.objects)
    writing.write(2)
    far.objects = dict(near.objects)
    near.objects = before
    with pytest.raises(OperatorError, match=r"far has frame 4.*near was rolled back"):
        Writing([near], [far], core=VaultLogReader([near], OPENER).end())
    near.objects.clear()
    with pytest.raises(OperatorError, match="near was rolled back or lost"):
        Writing([near], [far])


def test_no_sync_vault_and_one_that_is_down() -> None:
    near, far = MemoryVault("near"), MemoryVault("far")
    with pytest.raises(VaultDown, match="no sync vault"):
        Writing([], [far])
    near.down = True
    with pytest.raises(VaultDown, match="near"):
        Writing([near], [far])
    near.down, far.down = False, True
    writing = Writing([near], [far])
    assert any("far" in problem for problem in writing.log.problems())


def test_a_vault_that_was_away_gets_every_claim() -> None:
    near, far = MemoryVault("near"), MemoryVault("far")
    position, streams = EMPTY_LOG, None
    for down in (False, True, True, False):
        far.down = down
        writing = Writing([near], [far], core=position, streams=streams)
        writing.write(1)
        writing.log.close()
        position, streams = writing.log.position, writing.streams
    assert list(far.folders("log/")) == [f"{n:08d}" for n in (1, 2, 3, 4)]
    for name, data in far.objects.items():
        assert near.objects[name].startswith(data)


# -- two writers


def test_the_older_writer_is_superseded_before_it_acknowledges() -> None:
    near = MemoryVault("near")
    older = Writing([near])
    older.write(2)
    newer = Writing([near], core=older.log.position, streams=older.streams)
    with pytest.raises(Superseded, match="timeline 2"):
        older.write(1)
    with pytest.raises(Superseded):
        older.write(1)
    newer.write(2)
    changes, holes, _ = read(near)
    assert changes == older.acknowledged + newer.acknowledged
    assert holes == []


def test_what_the_older_writes_between_claim_and_reading_is_taken_in_or_never_acknowledged() -> None:
    near = MemoryVault("near")
    older = Writing([near])
    older.write(1)
    newer = Log.claim([LogVault(near, Mode.SYNC)], SEALER, OPENER, SimClock(), older.log.position)
    with pytest.raises(Superseded):
        older.write(1)
    (entry,) = newer.tail()
    assert isinstance(entry, LogFrame)
    assert list(entry.changes) == [older.streams.made[-1]]
    newer.start()
    newer.close()
    changes, _, _ = read(near)
    assert changes == older.streams.made


def test_only_one_of_two_that_start_together_wins() -> None:
    near = MemoryVault("near")

    class Racing(MemoryVault):
        def put(self, name: str, chunks: object) -> bool:
            return False

    racing = Racing("near")
    racing.objects = near.objects
    with pytest.raises(Superseded, match="same moment"):
        Writing([racing])


# -- writes that fail


def test_a_full_vault_refuses_and_the_next_frame_goes_on() -> None:
    disk = SimDisk()
    vaults = [make_vault(disk, "near"), make_vault(disk, "nigh")]
    writing = Writing(vaults)
    writing.write(2)
    for _ in range(2):
        disk.fail("write", error=errno.ENOSPC, path="/near/")
        with pytest.raises(VaultFull):
            writing.write(1)
        disk.mend()
        writing.streams.made.pop()
        writing.streams.heads[writing.acknowledged[-1].account, writing.acknowledged[-1].kind] = Head(
            writing.acknowledged[-1].rev, writing.acknowledged[-1].hash
        )
    writing.write(2)
    writing.log.close()
    for order in (vaults, vaults[::-1], vaults[:1], vaults[1:]):
        changes, holes, reader = read(*order)
        assert changes == writing.acknowledged
        assert holes == []
        assert reader.end() == writing.log.position


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_frame_that_only_some_vaults_took_is_taken_in_and_never_made_void(error: int) -> None:
    disk = SimDisk()
    names = ("near", "nigh")
    writing = Writing([make_vault(disk, name) for name in names])
    writing.write(2)
    disk.fail("write", error=error, path="/nigh/")
    for _ in range(2):
        with pytest.raises(VaultSuspect, match="is in near"):
            writing.write(1)
    disk.mend()
    doubtful = writing.streams.made[len(writing.acknowledged)]
    del writing.streams.made[len(writing.acknowledged) + 1 :]
    after = Writing([folder_vault(disk, name) for name in names], core=writing.log.position, streams=writing.streams)
    assert [c for entry in after.tail for c in getattr(entry, "changes", ())] == [doubtful]
    for name in names:
        changes, holes, _ = read(folder_vault(disk, name))
        assert changes == [*writing.acknowledged, doubtful]
        assert holes == []


def test_a_failed_sync_stops_the_writer() -> None:
    disk = SimDisk()
    writing = Writing([make_vault(disk, "near")])
    writing.write(2)
    disk.fail("sync", error=errno.EIO)
    for _ in range(2):
        with pytest.raises(VaultSuspect):
            writing.write(1)


def test_what_is_taken_in_after_a_failed_sync_is_made_certain_first() -> None:
    """The frame can be read, from the cache, and is not on disk; the core is about to believe it."""
    disk = SimDisk()
    writing = Writing([make_vault(disk, "near")])
    writing.write(2)
    core = writing.log.position
    disk.fail("sync", error=errno.EIO)
    with pytest.raises(VaultSuspect):
        writing.write(1)
    doubtful = writing.streams.made[-1]
    after = Writing([folder_vault(disk, "near")], core=core, streams=writing.streams)
    assert [c for entry in after.tail for c in getattr(entry, "changes", ())] == [doubtful]
    after.write(1)
    changes, holes, _ = read(folder_vault(disk.crash(), "near"))
    assert changes == [*writing.acknowledged, doubtful, *after.acknowledged]
    assert holes == []


def test_a_vanished_vault_refuses() -> None:
    disk = SimDisk()
    writing = Writing([make_vault(disk, "near")])
    writing.write(1)
    disk.rename("/near", "/elsewhere")
    with pytest.raises(VaultDown):
        writing.write(1)
    disk.rename("/elsewhere", "/near")
    writing.streams.made.pop()
    writing.write(1)
    changes, holes, _ = read(folder_vault(disk, "near"))
    assert writing.acknowledged[-1] in changes
    assert holes == []


def test_sync_vaults_that_a_crash_left_apart_are_levelled() -> None:
    disk = SimDisk()
    vaults = [make_vault(disk, "near"), make_vault(disk, "nigh")]
    writing = Writing(vaults)
    writing.write(2)
    core = writing.log.position
    disk.fail("write", error=errno.EIO, path="/nigh/")
    with pytest.raises(VaultSuspect):
        writing.write(1)
    disk.mend()
    last = writing.streams.made[-1]
    again = [folder_vault(disk, "near"), folder_vault(disk, "nigh")]
    after = Writing(again, core=core, streams=writing.streams)
    assert [c for entry in after.tail for c in getattr(entry, "changes", ())] == [last]
    after.write(1)
    after.log.close()
    for vault in again:
        changes, holes, _ = read(vault)
        assert changes == [*writing.acknowledged, last, *after.acknowledged]
        assert holes == []
    assert objects(again[0], "log/00000002/") == objects(again[1], "log/00000002/")


def test_frames_carry_their_count_and_type() -> None:
    vault = MemoryVault("near")
    writing = Writing([vault], limits=QUIET)
    writing.write(1, each=3)
    writing.log.close()
    assert [(f.header.type, f.header.changes) for f in frames_of(vault)] == [
        (FrameType.CLAIM, 0),
        (FrameType.CHANGES, 3),
        (FrameType.SEAL, 0),
    ]
    assert not [b for d in vault.objects.values() for b in scan_frames(d, 176, len(d) - 176) if isinstance(b, BadRange)]


class Unreadable(MemoryVault):
    """Lists its objects and fails to read some of them, as a disk with bad sectors does."""

    bad: frozenset[str] = frozenset()
    unlistable = False

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        if name in self.bad:
            raise VaultDown(f"vault {self.name} cannot be used: Input/output error")
        return super().get(name, offset, count)

    def folders(self, prefix: str) -> Sequence[str]:
        if self.unlistable:
            raise VaultDown(f"vault {self.name} cannot be used: Input/output error")
        return super().folders(prefix)


def test_a_segment_that_cannot_be_read_is_never_taken_for_the_end() -> None:
    whole, acknowledged = small_log()
    for name in whole.objects:
        vault = Unreadable("near")
        vault.objects, vault.bad = dict(whole.objects), frozenset([name])
        changes, holes, reader = read(vault)
        assert len(changes) < len(acknowledged)
        assert holes, name
        assert any("Input/output" in problem for problem in reader.problems())
        assert read(vault, whole)[:2] == (acknowledged, [])
    with pytest.raises(VaultDown, match="Input/output"):
        Writing([vault])
    assert vault.objects == whole.objects


def test_a_spare_vault_that_fails_is_left_out() -> None:
    near, acknowledged = small_log()
    far = Unreadable("far")
    far.objects, far.unlistable = dict(near.objects), True
    reader = VaultLogReader([near], OPENER, [far])
    changes = [c for entry in reader.entries() for c in getattr(entry, "changes", ())]
    assert changes == acknowledged
    assert any("far is left out" in problem for problem in reader.problems())
    with pytest.raises(VaultDown):
        list(VaultLogReader([near, far], OPENER).entries())
    writing = Writing([near], [far], core=reader.end())
    assert any("far" in problem for problem in writing.log.problems())


@pytest.mark.parametrize("left", ["folder", "temporary"])
def test_a_claim_that_was_broken_off_hides_no_later_one(left: str) -> None:
    """A writer looks for the timeline after its own: were that left out, it would never learn that it was followed."""
    disk = SimDisk()
    first = Writing([make_vault(disk, "near")])
    first.write()
    disk.make_folders("/near/log/00000002")
    if left == "temporary":
        disk.open("/near/tmp/00000000", write=True, create=True).close()
    second = Writing([folder_vault(disk, "near")])
    second.write()
    with pytest.raises(Superseded):
        first.write()
    assert read(folder_vault(disk, "near"))[0] == first.acknowledged + second.acknowledged


def seals_in(vault: MemoryVault) -> list[Seal]:
    unpacker = Unpacker(OPENER)
    return [
        unpacker.unpack(frame.payload, SEAL_DECODER)
        for name in sorted(vault.objects)
        if name.endswith(".seg")
        for frame in scan_frames(vault.objects[name], HEADER_BYTES)
        if isinstance(frame, RawFrame) and frame.header.type is FrameType.SEAL
    ]


def test_a_seal_states_objects_that_were_noted() -> None:
    near = MemoryVault("near")
    writing = Writing([near])
    writing.write(1)
    writing.log.seal()
    objects = [SealedObject(f"runs/000000000001/{name}", 7, bytes(32)) for name in ("000.run", "generation")]
    for object_ in objects:
        writing.log.note_object(object_)
    writing.log.seal()  # though no change was written
    writing.log.seal()
    assert [seal.objects for seal in seals_in(near)] == [[], objects]


def test_an_object_that_is_noted_while_a_seal_is_written_waits_for_the_next() -> None:
    near = MemoryVault("near")
    writing = Writing([near])
    writing.write(1)
    late = SealedObject("runs/000000000001/000.run", 7, bytes(32))

    def pending() -> list[str]:
        return []

    writing.log.pending_blobs = pending
    write = writing.log._write

    def slow(*args: object) -> None:
        write(*args)  # type: ignore[arg-type]
        if late.name not in writing.log._unsealed.objects and len(seals_in(near)) == 1:
            writing.log.note_object(late)

    writing.log._write = slow  # type: ignore[method-assign]
    writing.log.seal()
    writing.log.seal()
    assert [seal.objects for seal in seals_in(near)] == [[], [late]]
