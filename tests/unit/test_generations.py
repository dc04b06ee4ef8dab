"""Generations written from a core: read back they are the journal, whatever their levels, drops and vaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.archiver import live_state
from safehold.archiver.generation_ledger import Ledger, load_ledger, save_ledger
from safehold.archiver.generations import GenerationWriter, InTurn
from safehold.archiver.levels import choose, levels, parts
from safehold.archiver.live_state import LiveState
from safehold.archiver.merging import MergingWorkers
from safehold.formats import run
from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.generation import RunEntry
from safehold.formats.payload import Unpacker
from safehold.formats.seal import SealedObject
from safehold.model.change import Change, Op
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.core import NOT_YET
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.changes import account_id, collection_id
from tests.support.generations import KINDS, Home, position, read
from tests.support.logs import OPENER, SEALER
from tests.support.runs import live_changes, root_of
from tests.unit.test_recovery_generations import World

# -- what is read back is the journal ------------------------------------------------------------------------------


def test_a_full_generation_is_the_journal() -> None:
    home = Home()
    home.put(40)
    home.put(3, 1, Kind.NOTES, body=b"n" * 300_000)
    home.put(3, 2, Kind.NOTES)
    written = home.snapshot()
    assert written.new and written.full and written.generation == home.frame
    assert read(home.vaults[0]) == home.journal(home.frame)


def test_a_delta_goes_on_where_the_full_one_ended() -> None:
    home = Home()
    home.put(100)
    first = home.snapshot()
    home.put(5, 1)
    second = home.snapshot()
    assert second.new and not second.full and second.changes == 5
    assert read(home.vaults[0]) == home.journal(home.frame)
    assert read(home.vaults[0], first.generation) == home.journal(first.generation)


def test_nothing_new_is_told_and_writes_nothing() -> None:
    home = Home()
    home.put(3)
    first = home.snapshot()
    before = dict(home.vaults[0].objects)
    again = home.snapshot()
    assert not again.new and again.generation == first.generation and again.objects == []
    assert home.vaults[0].objects == before


class Scribe:
    """Draws changes of all sorts that a service could have made, and enters them in frames of one to four."""

    def __init__(self, home: Home, data: st.DataObject) -> None:
        self.home = home
        self.data = data
        self.props: dict[tuple[bytes, Kind, str, str], bytes] = {}  # of items that live
        self.paths = {(a, k): {f"{k}/x"} for a in home.accounts for k in KINDS}
        self.times: dict[tuple[bytes, Kind, str], int] = {}

    def frame(self) -> None:
        self.home.enter([self.change() for _ in range(self.data.draw(st.integers(1, 4)))])

    def change(self) -> Change:
        draw, make = self.data.draw, self.home.streams.make
        account = draw(st.sampled_from(self.home.accounts))
        kind = draw(st.sampled_from(KINDS))
        paths = self.paths[account, kind]
        op = draw(st.sampled_from((Op.PUT,) * 6 + (Op.DELETE, Op.PROPS, Op.SETCOL, Op.RMCOL, Op.MKCOL, Op.REFUSED)))
        path = draw(st.sampled_from(sorted(paths) or [""]))
        if op is Op.MKCOL or not path:
            path = draw(st.sampled_from([p for p in (f"{kind}/x", f"{kind}/y", f"{kind}/é") if p not in paths] or [""]))
            if not path:
                return self.change()
            paths.add(path)
            times = self.times[account, kind, path] = self.times.get((account, kind, path), 0) + 1
            return make(account, kind, Op.MKCOL, collection_id(path, times), path, props={"type": draw(TEXTS)})
        id_ = collection_id(path, self.times.get((account, kind, path), 0))
        if op is Op.SETCOL:
            return make(account, kind, op, id_, props=draw(PROPS))
        if op is Op.RMCOL:
            paths.discard(path)
            self.props = {key: value for key, value in self.props.items() if key[:3] != (account, kind, path)}
            return make(account, kind, op, id_, path)
        name = draw(st.sampled_from(("a", "b", "ü", "zz", "B")))
        key = (account, kind, path, name)
        if op is Op.PUT or (op is not Op.REFUSED and key not in self.props):
            return self.put(key, id_)
        if op is Op.REFUSED:
            return make(account, kind, op, id_, name, body=draw(BODIES), media="text/plain")
        if op is Op.DELETE:
            del self.props[key]
            return make(account, kind, op, id_, name)
        change = make(account, kind, Op.PROPS, id_, name, props=draw(PROPS))
        self.props[key] = change.props_digest
        return change

    def put(self, key: tuple[bytes, Kind, str, str], id_: bytes) -> Change:
        account, kind, _, name = key
        made = dict[str, Any](media="text/plain", body=self.data.draw(BODIES))
        if self.data.draw(st.integers(0, 3)) == 0:
            made["blob"] = self.data.draw(st.binary(min_size=32, max_size=32))
        if self.data.draw(st.booleans()):
            made["props"] = self.data.draw(PROPS)
        change = self.home.streams.make(
            account, kind, Op.PUT, id_, name, kept_props_digest=self.props.get(key, b""), **made
        )
        self.props[key] = change.props_digest
        return change


TEXTS = st.sampled_from(("one", "two"))
PROPS = st.dictionaries(TEXTS, TEXTS, max_size=2)
BODIES = st.binary(max_size=40)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), freeze=st.sampled_from((1, 2, 3, 1000)))
def test_generations_are_the_journal_at_their_frame(data: st.DataObject, freeze: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_state, "FREEZE_ITEMS", freeze)
        _generations_are_the_journal(data)


def _generations_are_the_journal(data: st.DataObject) -> None:
    home = Home(vaults=2)
    scribe = Scribe(home, data)
    made: dict[int, int] = {}  # frame -> dropped up to
    dropped = 0
    for _ in range(data.draw(st.integers(1, 5))):
        for _ in range(data.draw(st.integers(1, 6))):
            scribe.frame()
        full = data.draw(st.booleans())
        if full and made:
            dropped = data.draw(st.sampled_from([dropped, *(frame for frame in made if frame >= dropped)]))
        written = home.snapshot(full=full, dropped_upto=dropped)
        _, generation = _newest(home.vaults[1])
        made[written.generation] = generation.manifest.dropped_upto
    for number, upto in made.items():
        found = read(home.vaults[0], number)
        for key, changes in home.journal(number).items():
            before = home.journal(upto).get(key, [])
            after = changes[len(before) :]
            kept = live_changes(before)
            assert found.get(key, []) == [*kept, *after]
        _check_entries(home, number, upto)
        assert home.core.run_streams(number) == len(home.core.run_spans(0, number))
    assert home.vaults[0].objects == home.vaults[1].objects


def test_streams_that_began_later_are_not_counted() -> None:
    home = Home(accounts=2)
    before = home.frame
    late = account_id(7)
    home.enter([home.streams.mkcol(late, Kind.NOTES, "notes/x")])
    home.put(2, 1)
    counted = [home.core.run_streams(frame) for frame in range(home.frame + 1)]
    assert counted == [len(home.core.run_spans(0, frame)) for frame in range(home.frame + 1)]
    assert counted[0] == 0 and counted[before] == 2 * len(KINDS) and counted[-1] == 2 * len(KINDS) + 1


def _newest(vault: MemoryVault) -> tuple[Runs, Any]:
    runs = Runs([vault], OPENER)
    return runs, next(iter(runs.generations()))


def _check_entries(home: Home, number: int, upto: int) -> None:
    """Heads, bases and roots of a generation against the journal."""
    runs = Runs(home.vaults, OPENER)
    generation = next(g for g in runs.generations() if g.number == number)
    newest_full = max(entry.upto for entry in generation.manifest.runs if entry.since == 0)
    for entry in runs.reader(generation).streams():
        changes = home.journal(number)[entry.key]
        assert entry.head == Head(changes[-1].rev, changes[-1].hash)
        before = home.journal(upto).get(entry.key, [])
        if before:
            last = before[-1]
            assert entry.base == (run.RunBase(last.timeline, last.rev, last.hash, root_of(before)))
        else:
            assert entry.base == run.RunBase(0, 0, bytes(32), b"")
        if len(entry.parts) == 1 and newest_full == number:
            assert entry.root == root_of(changes)
            assert entry.parts[0].stream.items == _living(changes)
    assert runs.problems() == []


def _living(changes: Sequence[Change]) -> int:
    state = LiveState()
    for change in changes:
        if change.op is Op.PUT:
            state.put(change.rev, change.collection, change.name, change.digest, change.props_digest, False)
        else:
            state.other(change.op, change.rev, change.collection, change.name, change.props_digest)
    return state.root_and_items()[1]


def test_a_generation_is_made_again_from_its_vault() -> None:
    """What a keeper writes from a generation and the log after it is what the core would have written."""
    home = Home()
    home.put(30)
    home.put(4, 1, Kind.NOTES, body=b"x" * 1000)
    first = home.snapshot()
    home.put(5, 2, Kind.NOTES)
    home.put(5, 0)
    runs, generation = _newest(home.vaults[0])
    tail: dict[Any, list[tuple[int, Change]]] = {}
    for frame, change in home.history:
        if frame > first.generation:
            tail.setdefault((change.account, change.kind), []).append((frame, change))
    workers = MergingWorkers(runs.reader(generation), tail, home.disk, SEALER)
    writer = home.writer(workers=workers)
    end = position(home.frame)
    written = writer.write_full(end, workers.changes(), streams=6, items={}, dropped_upto=first.generation)
    assert written.new and written.full
    found = read(home.vaults[0])
    for key, changes in home.journal(home.frame).items():
        before = home.journal(first.generation)[key]
        assert found[key] == [*live_changes(before), *changes[len(before) :]]
    _check_entries(home, home.frame, first.generation)


def test_a_vault_that_lost_a_body_makes_no_generation() -> None:
    home = Home()
    home.put(30)
    home.snapshot()
    name = next(name for name in home.vaults[0].objects if name.endswith(".run"))
    data = bytearray(home.vaults[0].objects[name])
    body_frame = next(
        f
        for f in scan_frames(bytes(data), run.HEADER_BYTES)
        if isinstance(f, RawFrame) and f.header.type is FrameType.BODIES
    )
    data[body_frame.offset + 200] ^= 1
    home.vaults[0].objects[name] = bytes(data)
    home.put(1)
    runs, generation = _newest(home.vaults[0])
    workers = MergingWorkers(runs.reader(generation), {}, home.disk, SEALER)
    with pytest.raises(Damaged):
        home.writer(workers=workers).write_full(position(home.frame), workers.changes(), streams=6, items={})
    assert Runs(home.vaults, OPENER).generation(home.frame) is None


# -- frames --------------------------------------------------------------------------------------------------------


def test_every_frame_is_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "INDEX_CHANGES", 16)
    monkeypatch.setattr(run, "INDEX_BYTES", 4096)
    monkeypatch.setattr(run, "BODIES_BYTES", 2000)
    home = Home()
    for size in (10, 300, 1900, 2000, 2001, 5000, 0, 1):
        home.enter([home.item(0, Kind.CONTACTS, f"{size}-{n}", bytes([n]) * size) for n in range(12)])
    home.enter([home.item(1, Kind.NOTES, "n" * 6000, b"body")])
    home.snapshot()
    assert read(home.vaults[0]) == home.journal(home.frame)
    sizes = list(_frames(home.vaults[0]))
    for type_, value in sizes:
        if type_ is FrameType.INDEX:
            weight = sum(len(msgspec.msgpack.encode(change)) for change in value.changes)
            assert len(value.changes) <= 16 and (weight <= 4096 or len(value.changes) == 1)
        elif type_ is FrameType.BODIES:
            assert sum(map(len, value)) <= 2000 or len(value) == 1
    assert sum(type_ is FrameType.INDEX for type_, _ in sizes) > 5


def _frames(vault: MemoryVault) -> Iterator[tuple[FrameType, Any]]:
    decoders: dict[FrameType, msgspec.msgpack.Decoder[Any]] = {
        FrameType.INDEX: run.INDEX_DECODER,
        FrameType.BODIES: run.BODIES_DECODER,
        FrameType.DIRECTORY: run.DIRECTORY_DECODER,
    }
    for name, data in vault.objects.items():
        if not name.endswith(".run"):
            continue
        for item in scan_frames(data, run.HEADER_BYTES, len(data) - run.HEADER_BYTES):
            assert isinstance(item, RawFrame)
            type_ = item.header.type
            yield type_, Unpacker(OPENER).unpack(item.payload, decoders[type_])


# -- what a core holds that is not right ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "'other'"),
        ("body", "x'00'"),
        ("hash", "zeroblob(32)"),
        ("at", "at + 1"),
        ("rev", "rev + 100"),
        ("digest", "zeroblob(32)"),
    ],
)
def test_a_change_that_rotted_in_the_core_does_not_leave_it(column: str, value: str) -> None:
    home = Home()
    home.put(10)
    home.core._db.execute(f"UPDATE journal SET {column} = {value} WHERE seq = 12")
    with pytest.raises(Damaged) as told:
        home.snapshot()
    assert told.value.hint
    assert not any(name.endswith("generation") for name in home.vaults[0].objects)
    assert not list(home.disk.list("/data/scratch"))


def test_a_change_that_is_gone_from_the_core_is_missed() -> None:
    home = Home()
    home.put(10)
    home.core._db.execute("DELETE FROM journal WHERE seq = 12")
    with pytest.raises(Damaged):
        home.snapshot()


def test_a_core_that_is_not_whole_yet_makes_no_generation() -> None:
    home = Home()
    home.put(3)
    home.core.begin()
    home.core.hold(home.accounts[0], Kind.PHOTOS, NOT_YET)
    home.core.commit()
    with pytest.raises(OperatorError, match="not been recovered"):
        home.snapshot()


def test_changes_that_got_another_frame_make_the_next_one_full() -> None:
    home = Home()
    home.put(40)
    home.snapshot()
    home.put(1)
    home.core.begin()
    home.core.set_frame(20, 22, home.frame + 1)
    home.core.set_log_position(position(home.frame + 1))
    home.core.commit()
    home.frame += 1
    written = home.snapshot()
    assert written.full and read(home.vaults[0]) == home.journal(home.frame)


def test_an_erased_account_is_in_no_new_generation() -> None:
    home = Home()
    home.put(10, 0)
    home.put(10, 1)
    home.snapshot()
    home.core.begin()
    home.core.drop_account(home.accounts[0])
    home.core.commit()
    home.put(1, 1)
    written = home.snapshot()
    assert written.full
    assert home.accounts[0] not in {account for account, _ in read(home.vaults[0])}


def test_what_comes_later_than_the_generation_is_left_out() -> None:
    """The core goes on while a generation is written: changes of later frames, also ones that remove all, stay out."""
    home = Home()
    home.put(20)
    upto = home.frame
    writer = home.writer()

    class Slow:
        def run(self, jobs: Any) -> Iterator[RunEntry]:
            home.put(5)
            id_ = collection_id("contacts/x")
            home.enter([home.streams.make(home.accounts[0], Kind.CONTACTS, Op.RMCOL, id_, "contacts/x")])
            yield from home.writer()._workers.run(jobs)

    writer._workers = Slow()
    written = writer.write(home.core)
    assert written.generation == upto
    assert read(home.vaults[0]) == home.journal(upto)
    _check_entries(home, upto, 0)


def test_a_generation_whose_position_left_the_log_does_not_come_to_be() -> None:
    home = Home()
    home.put(5)
    looks = iter((False, False, False))
    home.on_log = lambda _: next(looks)
    with pytest.raises(OperatorError, match="not on the log"):
        home.snapshot()
    assert not any(name.endswith("generation") for name in home.vaults[0].objects)


# -- vaults --------------------------------------------------------------------------------------------------------


def test_a_vault_that_is_away_is_named_and_levelled_when_it_is_back() -> None:
    home = Home(vaults=2)
    home.put(60)
    home.snapshot()
    home.vaults[1].down = True
    home.put(3)
    written = home.snapshot()
    assert list(written.down) == ["v1"] and written.new
    assert read(home.vaults[0]) == home.journal(home.frame)
    home.vaults[1].down = False
    again = home.snapshot()
    assert not again.new and again.copied == 2 and not again.down
    assert home.vaults[0].objects == home.vaults[1].objects


def test_no_vault_at_all_is_told() -> None:
    home = Home()
    home.put(1)
    home.vaults[0].down = True
    with pytest.raises(OperatorError, match="no generation can be written"):
        home.snapshot()


def test_an_object_of_another_sort_under_the_name_is_left_alone() -> None:
    home = Home(vaults=2)
    home.put(5)
    name = str(run.RunName(home.frame, 0))
    home.vaults[0].put(name, (b"strange",))
    written = home.snapshot()
    assert home.vaults[0].objects[name] == b"strange" and not written.down
    assert str(run.RunName(home.frame, 1)) in home.vaults[1].objects
    assert read(home.vaults[0]) == read(home.vaults[1]) == home.journal(home.frame)


def test_objects_wait_in_the_ledger_until_a_seal_has_them() -> None:
    home = Home()
    home.put(5)
    first = home.writer().write(home.core)
    assert [o.name.rpartition("/")[2] for o in first.objects] == ["000.run", "generation"]
    again = home.writer().write(home.core)
    assert not again.new and again.objects == first.objects
    for object_ in again.objects:
        assert len(home.vaults[0].objects[object_.name]) == object_.size
    writer = home.writer()
    writer.write(home.core)
    writer.sealed()
    assert home.writer().write(home.core).objects == []


def test_a_generation_that_a_vault_lost_is_written_anew() -> None:
    home = Home()
    home.put(50)
    home.snapshot()
    for name in [n for n in home.vaults[0].objects if n.startswith("runs/")]:
        del home.vaults[0].objects[name]
    home.put(1)
    assert home.snapshot().full
    assert read(home.vaults[0]) == home.journal(home.frame)


# -- the ledger ----------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_no_ledger_counts_as_none() -> None:
    home = Home()
    home.disk.make_folders("/x")
    assert load_ledger(home.disk, "/x/l") == Ledger()
    file = home.disk.open("/x/l", write=True, create=True)
    file.write_at(0, b"\x93abc")
    file.close()
    assert load_ledger(home.disk, "/x/l") == Ledger()
    save_ledger(home.disk, "/x/l", Ledger(unsealed=[SealedObject("runs/x", 1, b"d")]))
    assert load_ledger(home.disk, "/x/l").unsealed[0].name == "runs/x"


# -- levels --------------------------------------------------------------------------------------------------------


def _entry(since: int, upto: int, changes: int) -> RunEntry:
    return RunEntry(SealedObject(f"r{since}-{upto}", 1, b""), since, upto, 0, 63, changes)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200))
def test_levels_stay_few_and_cover_everything(sizes: list[int]) -> None:
    runs: list[RunEntry] = []
    total = rewritten = 0
    for frame, size in enumerate(sizes, 1):
        choice = choose(runs, size)
        count = total + size - sum(entry.changes for entry in choice.kept)
        total += size
        rewritten += count
        runs = [*choice.kept, _entry(choice.since, frame, count)]
        reached = 0
        for entry in runs:
            assert entry.since == reached
            reached = entry.upto
        assert reached == frame and sum(entry.changes for entry in runs) == total
        deltas = [level.changes for level in levels(runs)[1:]]
        assert all(older >= 2 * newer for older, newer in pairwise(deltas))
        assert len(runs) <= 2 + total.bit_length()
        assert sum(deltas) <= 2 * levels(runs)[0].changes
    assert rewritten <= total * (2 + 2 * total.bit_length())


@given(st.lists(st.integers(0, 1000), min_size=64, max_size=64), st.integers(1, 20_000))
def test_parts_cover_all_partitions(counts: list[int], target: int) -> None:
    found = parts(counts, target)
    assert [p for first, last, _ in found for p in range(first, last + 1)] == list(range(64))
    assert [size for _, _, size in found] == [sum(counts[first : last + 1]) for first, last, _ in found]
    share = sum(counts) / max(1, round(sum(counts) / target))
    assert all(size <= share + max(counts) for _, _, size in found)


# -- a core whose history was dropped ------------------------------------------------------------------------------


@pytest.mark.parametrize("may_drop", [0, 60])
def test_a_core_that_came_back_without_old_history_is_written_as_it_is(may_drop: int) -> None:
    """Its streams keep their bases, unless history may be dropped further."""
    world = World()
    world.at(70, dropped_upto=50)
    recovery = world.recovery()
    recovery.whole()
    core = recovery.core()
    keyring = world.vaults.keyring
    workers = InTurn(lambda: core, recovery.disk, keyring.sealer)
    writer = GenerationWriter(
        [world.near, world.far],
        keyring.sealer,
        recovery.clock,
        recovery.disk,
        "/data/scratch",
        "/data/generations",
        workers,
        lambda _: True,
    )
    written = writer.write(core, full=True, may_drop=lambda: may_drop)
    assert written.new and written.full
    runs = Runs([world.near], keyring.opener)
    generation = next(iter(runs.generations()))
    assert generation.number == written.generation
    for entry in runs.reader(generation).streams():
        changes = [c for f, c in world.framed if (c.account, c.kind) == entry.key]
        # A recovery knows of a change of a run that it is in the run's last frame at the latest, and no more.
        before = [c for f, c in world.framed if (c.account, c.kind) == entry.key and f <= 50]
        if before:
            assert entry.base.rev == before[-1].rev and entry.base.root == root_of(before)
        found = [change for _, change in runs.reader(generation).changes_of(entry)]
        assert found == [*live_changes(before), *changes[len(before) :]]
    assert runs.problems() == []
    core.close()


def test_properties_that_are_older_than_their_body_are_kept_each_time_history_is_dropped() -> None:
    """The PROPS is kept without the body it was about, and has to be kept again from a core that came of that."""
    state = LiveState(keep=True)
    collection, digest, props = b"c" * 16, b"d" * 32, b"p" * 32
    state.other("mkcol", 1, collection, "notes/x", b"")
    state.other("props", 3, collection, "n.txt", props)  # of rev 2, which was dropped
    state.put(4, collection, "n.txt", digest, props, sets=False)
    state.put(5, collection, "n.txt", digest, props, sets=False)
    assert state.revs() == {1, 3, 5}
    state.put(6, collection, "n.txt", digest, b"", sets=True)
    assert state.revs() == {1, 6}
    state.other("props", 7, collection, "m.txt", props)
    state.other("delete", 8, collection, "m.txt", b"")
    state.put(9, collection, "m.txt", digest, b"", sets=False)
    assert state.revs() == {1, 6, 9}
