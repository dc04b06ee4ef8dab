"""Generations read back out of vaults: merged over runs, healed from another vault, damage named."""

from __future__ import annotations

import msgspec
import pytest

from safehold.formats.frame import FrameType, RawFrame, parse_header, scan_frames
from safehold.formats.run import HEADER_BYTES
from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, check_next
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import GenerationReader, Runs, list_generations, stream_order
from tests.support.recovery_fakes import History, an_id
from tests.support.recovery_vaults import Vaults, keyring
from tests.support.runs import Framed, Generations, framed, root_of


class World:
    """Vaults that hold the log of a history, and generations of it."""

    def __init__(self, *, cards: int = 8) -> None:
        self.history = History()
        self.history.family("ada", "bob", "eve", cards=cards)
        self.vaults = Vaults(self.history)
        self.framed: list[Framed] = framed(self.vaults.reader().entries())
        self.ends = {e.position.frame: e.position for e in self.vaults.reader().entries()}  # type: ignore[union-attr]
        self.generations = Generations([self.vaults.near, self.vaults.far], self.vaults.keyring.sealer)

    def runs(self) -> Runs:
        return Runs([self.vaults.near, self.vaults.far], self.vaults.keyring.opener)

    def newest(self) -> GenerationReader:
        runs = self.runs()
        return runs.reader(next(runs.generations()))

    def at(self, frame: int, **options: object) -> None:
        self.generations.make(self.framed, self.ends[frame], **options)  # type: ignore[arg-type]

    def meant(self, frame: int) -> dict[tuple[bytes, Kind], list[Change]]:
        streams: dict[tuple[bytes, Kind], list[Change]] = {}
        for number, change in self.framed:
            if number <= frame:
                streams.setdefault((change.account, change.kind), []).append(change)
        return streams


@pytest.fixture
def world() -> World:
    return World()


def read(reader: GenerationReader) -> dict[tuple[bytes, Kind], list[Change]]:
    return {entry.key: list(changes) for entry, changes in reader.changes()}


def test_a_full_generation_gives_every_change_in_order(world: World) -> None:
    world.at(60)
    meant = world.meant(60)
    found = read(world.newest())
    assert found == meant
    assert list(found) == sorted(meant, key=stream_order)
    for entry, changes in world.newest().changes():
        head = EMPTY_HEAD
        for change in changes:
            head = check_next(head, change)
        assert head == entry.head
        assert entry.root == root_of(meant[entry.key])


def test_deltas_are_merged_behind_full_runs(world: World) -> None:
    first = world.generations.make(world.framed, world.ends[40])
    world.at(70, since=(40, 55), older=first.runs)
    assert read(world.newest()) == world.meant(70)
    assert [generation.number for generation in world.runs().generations()] == [70, 40]


def test_one_stream_is_found_without_the_rest(world: World) -> None:
    world.at(80)
    reader = world.newest()
    entry = reader.stream(an_id("bob"), Kind.CONTACTS)
    assert entry is not None
    assert [c for _, c in reader.changes_of(entry)] == world.meant(80)[an_id("bob"), Kind.CONTACTS]
    assert reader.stream(an_id("nobody"), Kind.CONTACTS) is None


def test_a_manifest_that_is_gone_or_damaged_in_both_gives_an_older_one(world: World) -> None:
    world.at(40)
    world.at(60)
    name = "runs/000000000060/generation"
    near, far = world.vaults.near.objects, world.vaults.far.objects
    near[name] = near[name][:300] + b"\0" + near[name][301:]
    assert [g.number for g in world.runs().generations()] == [60, 40]
    del far[name]
    runs = world.runs()
    assert [g.number for g in runs.generations()] == [40]
    assert any("near: runs/000000000060/generation" in problem for problem in runs.problems())
    assert [g.number for g in list_generations([world.vaults.near], world.vaults.keyring.opener)] == [40]


def frames_of(world: World, generation: int) -> list[tuple[str, int, int]]:
    """(object, offset, size) of every frame of the generation's run objects, directories included."""
    found = []
    for name, data in world.vaults.near.objects.items():
        if name.startswith(f"runs/{generation:012d}/") and name.endswith(".run"):
            for frame in scan_frames(data, HEADER_BYTES, len(data) - HEADER_BYTES):
                assert isinstance(frame, RawFrame)
                found.append((name, frame.offset, len(frame.data)))
    return found


def spoil(vault: MemoryVault, name: str, at: int) -> None:
    data = bytearray(vault.objects[name])
    data[at] ^= 0x20
    vault.objects[name] = bytes(data)


def test_a_frame_that_is_bad_in_one_vault_comes_from_the_other(world: World) -> None:
    world.at(60)
    meant = world.meant(60)
    for vault in (world.vaults.near, world.vaults.far):
        whole = dict(vault.objects)
        for name, offset, size in frames_of(world, 60):
            spoil(vault, name, offset + size // 2)
            runs = world.runs()
            assert read(runs.reader(next(runs.generations()))) == meant, (name, offset)
            assert vault is world.vaults.far or any(p.startswith("near: runs/") for p in runs.problems())
            vault.objects = dict(whole)


def test_a_frame_that_is_bad_in_both_costs_that_frame_only(world: World) -> None:
    world.at(60)
    meant = world.meant(60)
    whole = [dict(world.vaults.near.objects), dict(world.vaults.far.objects)]
    kinds = set()
    for name, offset, size in frames_of(world, 60):
        for vault in (world.vaults.near, world.vaults.far):
            spoil(vault, name, offset + size // 2)
        runs = world.runs()
        found = read(runs.reader(next(runs.generations())))
        missing = bodiless = 0
        for key, changes in meant.items():
            by_rev = {c.rev: c for c in found.get(key, [])}
            for change in changes:
                there = by_rev.get(change.rev)
                missing += there is None
                if there is not None and there != change:
                    assert there == msgspec.structs.replace(change, body=None)
                    bodiless += 1
        number = parse_header(whole[0][name], offset)
        assert number is not None
        kinds.add(number.type)
        if number.type is FrameType.DIRECTORY:
            assert (missing, bodiless) == (0, 0), (name, offset)
        elif number.type is FrameType.INDEX:
            assert (missing, bodiless) == (number.changes, 0), (name, offset)
        else:
            assert missing == 0 and bodiless > 0, (name, offset)
        assert runs.problems()
        world.vaults.near.objects, world.vaults.far.objects = map(dict, whole)
    assert kinds == {FrameType.DIRECTORY, FrameType.INDEX, FrameType.BODIES}


def test_a_directory_that_is_lost_is_made_of_frames_found_by_scanning(world: World) -> None:
    first = world.generations.make(world.framed, world.ends[40])
    world.at(70, since=(40,), older=first.runs)
    for vault in (world.vaults.near, world.vaults.far):
        for name in [n for n in vault.objects if n.endswith(".run")]:
            spoil(vault, name, len(vault.objects[name]) - HEADER_BYTES - 20)
            vault.objects[name] = bytes(HEADER_BYTES // 2) + vault.objects[name][HEADER_BYTES // 2 :]
    assert read(world.newest()) == world.meant(70)


def test_an_object_that_is_gone_costs_its_partitions_only(world: World) -> None:
    world.at(60, parts=4)
    gone = "runs/000000000060/001.run"
    for vault in (world.vaults.near, world.vaults.far):
        del vault.objects[gone]
    found = read(world.newest())
    assert found == {k: v for k, v in world.meant(60).items() if not 16 <= k[0][0] >> 2 < 32}


def test_a_strangers_generation_is_none_of_ours(world: World) -> None:
    other = keyring("theirs")
    Generations([world.vaults.near], other.sealer).make(world.framed, world.ends[60])
    runs = world.runs()
    assert list(runs.generations()) == []
    assert any("not certified" in problem for problem in runs.problems())


def test_a_vault_that_is_down_is_passed_over(world: World) -> None:
    world.at(60)
    world.vaults.near.down = True
    assert read(world.newest()) == world.meant(60)


def test_a_base_stands_for_what_was_dropped(world: World) -> None:
    world.at(70, dropped_upto=50)
    reader = world.newest()
    key = an_id("ada"), Kind.CONTACTS
    entry = reader.stream(*key)
    assert entry is not None
    dropped = [c for f, c in world.framed if f <= 50 and (c.account, c.kind) == key]
    assert (entry.base.rev, entry.base.head) == (dropped[-1].rev, dropped[-1].hash)
    found = [c for _, c in reader.changes_of(entry)]
    assert len(found) < len(world.meant(70)[key])
    assert root_of([c for c in found if c.rev <= entry.base.rev]) == entry.base.root
    assert root_of(found) == entry.root == root_of(world.meant(70)[key])
