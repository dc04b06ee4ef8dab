"""Recovery from a generation and the log after it: the same core as from the log alone; damage named frame by frame."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from safehold.disaster.house import House as Installation
from safehold.formats.frame import FrameType, RawFrame, parse_header, scan_frames
from safehold.formats.run import HEADER_BYTES
from safehold.formats.segment import parse_name
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads
from safehold.recovery.examine import State
from safehold.recovery.plan import Plan, make_plan, parse_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, an_id, card, state_of
from tests.support.recovery_vaults import Vaults
from tests.support.runs import Framed, Generations, framed

DATA = "/data"


class World:
    """Two vaults with the log of a history, generations of it, and recoveries out of them."""

    def __init__(self, history: History | None = None) -> None:
        if history is None:
            history = History()
            history.family("ada", "bob", "eve", cards=6)
            for n in range(12):
                history.put("bob", Kind.CONTACTS, f"more-{n}.vcf", card(f"more-{n}"))
                history.put("ada", Kind.NOTES, f"{n}.txt", b"note %d" % n)
        self.history = history
        self.vaults = Vaults(history)
        self.near, self.far = self.vaults.near, self.vaults.far
        self.framed: list[Framed] = framed(self.vaults.reader().entries())
        self.ends = {e.position.frame: e.position for e in self.vaults.reader().entries()}  # type: ignore[union-attr]
        self.last = max(self.ends)
        self.generations = Generations([self.near, self.far], self.vaults.keyring.sealer)

    def at(self, frame: int, **options: Any) -> Any:
        return self.generations.make(self.framed, self.ends[frame], **options)

    def recovery(self, *sources: MemoryVault, log: bool = True) -> Recovery:
        return Recovery(self, list(sources) or [self.near, self.far])

    def cut_log(self, first: int) -> None:
        """Take away the segments that end before this frame, as retention does."""
        names = self.vaults.segments()
        for name, later in pairwise(names):
            parsed = parse_name(later)
            assert parsed is not None
            if parsed.first <= first and parsed.first > 0:
                for vault in (self.near, self.far):
                    del vault.objects[name]

    def copy(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        return dict(self.near.objects), dict(self.far.objects)


class Recovery:
    def __init__(self, world: World, sources: list[MemoryVault]) -> None:
        self.world = world
        self.sources = sources
        self.disk = SimDisk()
        self.disk.make_folders(DATA)
        self.clock = FakeClock(world.vaults.clock.now() + 5_000_000)

    def core(self, folder: str = f"{DATA}/core") -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=self.disk, create=True)

    def reader(self) -> VaultLogReader:
        return self.world.vaults.reader(*self.sources)

    def runs(self) -> Runs:
        return Runs(self.sources, self.world.vaults.keyring.opener)

    def plan(self, **options: Any) -> Plan:
        options.setdefault("runs", self.runs())
        plan = make_plan(self.reader(), self.sources, self.clock, sync=("near",), **options)
        assert parse_plan(plan.to_json()) == plan
        return plan

    def run(self, plan: Plan, **options: Any) -> Result:
        options.setdefault("claim", lambda: self.world.vaults.claim(*self.sources))
        return run_plan(
            plan,
            self.reader(),
            make_core=self.core,
            blobs=FakeBlobs(),
            disk=self.disk,
            data=DATA,
            clock=self.clock,
            look=lambda: look(self.sources),
            runs=self.runs(),
            **options,
        )

    def whole(self, **options: Any) -> Result:
        return self.run(self.plan(**options))

    def state(self) -> dict[str, object]:
        core = self.core()
        try:
            return comparable(core)
        finally:
            core.close()


def comparable(core: CoreReads) -> dict[str, object]:
    """What a core holds, whatever the order in which streams came and the frames that runs do not tell."""
    state = state_of(core)
    changes = state.pop("changes")
    state["changes"] = sorted(
        ((c.account, c.kind, c.rev, c) for _, c in changes),  # type: ignore[attr-defined]
        key=lambda each: each[:3],
    )
    return state


def what_lives(state: dict[str, object]) -> dict[str, object]:
    """Without the revs of collections, of which those are not known that only dropped changes tell."""
    return {
        key: (value[0], *value[2:]) if "/" in key else value  # type: ignore[index]
        for key, value in state.items()
        if key not in ("changes", "counts")
    }


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def meant(world: World) -> dict[str, object]:
    """What the log alone gives."""
    recovery = Recovery(World(world.history), [])
    recovery.sources = [recovery.world.near]
    recovery.run(recovery.plan(runs=None))
    return recovery.state()


def test_the_core_is_the_same_as_from_the_log_alone(world: World, meant: dict[str, object]) -> None:
    world.at(50)
    recovery = world.recovery()
    plan = recovery.plan()
    assert (plan.generation, plan.damaged) == (50, [])
    result = recovery.run(plan)
    assert recovery.state() == meant
    assert (result.report.exit_code, result.report.unknown_seconds, result.report.verified) == (0, 0.0, True)
    assert result.report.changes_recovered == len(world.history.changes)
    assert result.report.items == plan.report.items


def test_deltas_and_a_tail_make_the_same_core(world: World, meant: dict[str, object]) -> None:
    first = world.at(30)
    second = world.at(45, since=(30,), older=first.runs)
    world.at(70, since=(45,), older=second.runs)
    recovery = world.recovery()
    assert recovery.whole().report.exit_code == 0
    assert recovery.state() == meant


def test_changes_lie_in_the_frames_that_their_runs_cover(world: World) -> None:
    """So that the next delta, which begins where one of the runs ends, holds none of them twice and leaves none out."""
    first = world.at(30)
    world.at(70, since=(30,), older=first.runs)
    recovery = world.recovery()
    recovery.whole()
    core = recovery.core()
    frame_of = {c.hash: frame for frame, c in world.framed}
    for _, frame, change in core.changes(limit=10_000):
        true = frame_of[change.hash]
        assert frame == (30 if true <= 30 else 70 if true <= 70 else true)
    assert core.unarchived(core.log_position().frame) == (0, None)
    core.close()


def test_a_plan_says_what_each_stream_is_read_from(world: World) -> None:
    world.at(60)
    later = {(c.account, c.kind) for f, c in world.framed if f > 60}
    sources = {(s.account, s.kind): s.sources for s in world.recovery().plan().streams}
    earlier = {(c.account, c.kind) for f, c in world.framed if f <= 60}
    assert earlier - later and earlier & later
    for key, said in sources.items():
        assert said == (("generation 60",) if key in earlier else ()) + (("log",) if key in later else ())
    name, offset, size = next(
        (name, offset, size)
        for name, offset, size, type_, _ in frames_of(world.near.objects, "runs/")
        if type_ is FrameType.BODIES
    )
    for vault in (world.near, world.far):
        spoil(vault, name, offset + size // 2)
    plan = world.recovery().plan()
    assert plan.damaged
    for stream in plan.streams:
        if (stream.account, stream.kind) in plan.damaged:
            assert set(stream.sources) <= {"generation 60", "log"} and "log" in stream.sources
    assert plan.come_from()[0][1] > 0 and sum(count for _, count in plan.come_from()) == len(plan.streams)


def test_a_generation_at_the_very_end_leaves_nothing_unknown(world: World, meant: dict[str, object]) -> None:
    world.at(world.last)
    recovery = world.recovery()
    plan = recovery.plan()
    assert plan.report.unknown_seconds == 0.0
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant


def test_a_log_that_begins_at_a_generation(world: World, meant: dict[str, object]) -> None:
    world.at(60)
    world.cut_log(60)
    assert next(world.vaults.reader().entries()).__class__.__name__ == "Hole"
    recovery = world.recovery()
    plan = recovery.plan()
    assert (plan.generation, plan.holes) == (60, [])
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant


def test_a_core_from_a_generation_is_whole_afterwards(world: World) -> None:
    world.at(60)
    recovery = world.recovery()
    recovery.whole()
    core = recovery.core()
    plan = recovery.plan(core=core)
    core.close()
    assert (plan.core, plan.report.exit_code) == (State.WHOLE, 0)


def test_an_account_erased_before_or_after_the_generation_does_not_come_back(world: World) -> None:
    world.history.erase("eve")
    before = World(world.history)
    before.at(before.last)
    world = World(world.history)
    world.at(60)
    for each in (before, world):
        recovery = each.recovery()
        assert recovery.whole().report.accounts == 2
        core = recovery.core()
        assert [a.name for a in core.accounts()] == ["ada", "bob"]
        core.close()


def test_a_filter_reads_what_it_needs_and_holds_the_rest(world: World) -> None:
    world.at(60)
    recovery = world.recovery()
    result = recovery.run(recovery.plan(accounts=["ada"], kinds=[Kind.CONTACTS]))
    assert (result.report.accounts, result.report.exit_code) == (1, 0)
    core = recovery.core()
    ada, bob = core.account_by_id(an_id("ada")), core.account_by_id(an_id("bob"))
    assert ada is not None and bob is not None
    assert core.held(ada.number, Kind.CONTACTS) is None
    assert core.held(ada.number, Kind.NOTES) == core.held(bob.number, Kind.CONTACTS) == "not recovered yet"
    core.close()


def frames_of(objects: dict[str, bytes], prefix: str) -> list[tuple[str, int, int, FrameType, int]]:
    found = []
    for name, data in objects.items():
        if name.startswith(prefix):
            for frame in scan_frames(data, HEADER_BYTES, len(data) - HEADER_BYTES):
                if isinstance(frame, RawFrame):
                    header = parse_header(data, frame.offset)
                    assert header is not None
                    found.append((name, frame.offset, len(frame.data), header.type, header.changes))
    return found


def spoil(vault: MemoryVault, name: str, at: int) -> None:
    data = bytearray(vault.objects[name])
    data[at] ^= 0x40
    vault.objects[name] = bytes(data)


def test_any_frame_that_is_bad_in_all_vaults_is_mended_from_the_log(world: World, meant: dict[str, object]) -> None:
    world.at(60)
    whole = world.copy()
    for name, offset, size, _, _ in frames_of(whole[0], "runs/"):
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        recovery = world.recovery()
        plan = recovery.plan()
        assert plan.generation == (0 if name.endswith("/generation") else 60)
        result = recovery.run(plan)
        assert result.report.exit_code == 0, (name, offset, result.report.lost)
        assert recovery.state() == meant, (name, offset)
        assert plan.problems
        world.near.objects, world.far.objects = map(dict, whole)


def test_without_the_log_an_older_generation_mends_what_it_covers(world: World, meant: dict[str, object]) -> None:
    """The log begins with the generation's own frame, so that only the older one can help.

    A change after it that the log has is lost nevertheless where it concerns a collection whose making is lost: its
    item is there, but under no path.
    """
    last = max(name.first for text in world.vaults.segments() if (name := parse_name(text)) and name.first <= 70)
    world.at(last - 10)
    world.at(last)
    world.cut_log(last)
    whole = world.copy()
    late = {(c.account, c.kind, c.rev) for f, c in world.framed if last - 10 < f < last}
    made = {c.collection: (c.account, c.kind, c.rev) for _, c in world.framed if c.op is Op.MKCOL}
    by_key = {(c.account, c.kind, c.rev): c for _, c in world.framed}
    indexes = 0
    for name, offset, size, type_, _ in frames_of(whole[0], f"runs/{last:012}/0"):
        indexes += type_ is FrameType.INDEX
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        recovery = world.recovery()
        result = recovery.whole()
        lost = {(loss.account, loss.kind, rev) for loss in result.report.lost for rev in loss.revs}
        ids = {"": bytes(16), "ada": an_id("ada"), "bob": an_id("bob"), "eve": an_id("eve")}
        # A loss bears the account's id where the damage hides its name.
        found = {(ids[a] if a in ids else bytes.fromhex(a), k, r) for a, k, r in lost}
        pathless = {key for key in found if made.get(by_key[key].collection) in found & late}
        assert found <= late | pathless, (last, name, type_, found - late - pathless)
        if not lost:
            assert recovery.state() == meant, (last, name, type_)
        world.near.objects, world.far.objects = map(dict, whole)
    assert indexes > 5


def test_a_lost_bodies_frame_names_its_items_and_nothing_else(world: World) -> None:
    """The damaged vault alone, its log begun at the generation: what was hit is lost, each by name."""
    world.at(60)
    world.cut_log(60)
    whole = world.copy()
    logged = {c.hash for e in world.vaults.reader(world.near).entries() for c in getattr(e, "changes", ())}
    seen = ghosts = 0
    for name, offset, size, type_, _ in frames_of(whole[0], "runs/000000000060/0"):
        if type_ is not FrameType.BODIES:
            continue
        assert len(logged) < len(world.history.changes)
        spoil(world.near, name, offset + size // 2)
        hit = [change for change in bodies_in(world, world.near) if change.hash not in logged]
        recovery = world.recovery(world.near)
        plan = recovery.plan()
        result = recovery.run(plan, claim=lambda: 2)
        assert result.report.items == plan.report.items
        assert result.report.lost == plan.report.lost
        ids = {a.hex(): a for a in world.history.accounts.values()} | world.history.accounts
        named = {(ids[loss.account], loss.kind, loss.name, *loss.revs) for loss in result.report.lost}
        assert named == {(c.account, c.kind, c.name, c.rev) for c in hit}
        assert result.report.changes_expected - result.report.changes_recovered == len(hit)
        for count in result.report.items.values():
            assert count.expected == count.exact + count.older + count.lost
        core = recovery.core()
        for change in hit:
            row = core.account_by_id(change.account)
            assert row is not None
            if change.kind is Kind.IDENTITY:
                assert "revisions" in (core.held(row.number, change.kind) or "")
                continue
            assert core.held(row.number, change.kind) is None
            entered = core.version_at(row.number, change.kind, change.rev)
            assert entered is not None
            assert core.change(entered.journal) == change, "verbatim, without its body"
            assert change.rev in core.bodiless(row.number)[change.kind].revs
            ghosts += 1
        core.close()
        seen += 1
        world.near.objects, world.far.objects = map(dict, whole)
    assert seen > 3 and ghosts > 3


def bodies_in(world: World, vault: MemoryVault) -> list[Change]:
    runs = Runs([vault], world.vaults.keyring.opener)
    reader = runs.reader(next(runs.generations()))
    return [
        change
        for _, changes in reader.changes()
        for change in changes
        if change.digest and change.body is None and change.blob is None
    ]


def test_losing_a_whole_object_with_the_log_gone_is_told_in_full(world: World) -> None:
    world.at(60, parts=4)
    world.cut_log(60)
    for vault in (world.near, world.far):
        del vault.objects["runs/000000000060/001.run"]
    recovery = world.recovery()
    plan = recovery.plan()
    assert any("001.run" in problem for problem in plan.problems)
    assert not plan.report.verified
    assert recovery.run(plan).report.exit_code == 1


def test_a_base_stands_for_what_was_dropped(world: World, meant: dict[str, object]) -> None:
    world.at(70, dropped_upto=50)
    world.cut_log(70)
    recovery = world.recovery()
    plan = recovery.plan()
    result = recovery.run(plan)
    assert result.report.exit_code == 0
    assert result.report.changes_recovered < len(world.history.changes)
    assert what_lives(recovery.state()) == what_lives(meant)
    core = recovery.core()
    again = recovery.plan(core=core)
    assert (again.core, again.report.exit_code) == (State.WHOLE, 0)
    bases = core.bases()
    assert bases
    for (account, kind), base in bases.items():
        row = core.account_by_id(account)
        assert row is not None
        assert core.hash_at(row.number, kind, base.rev) == base.head
    core.close()


@pytest.mark.parametrize("goes_on", [False, True])
def test_properties_that_are_older_than_the_body_they_are_kept_under_come_back(goes_on: bool) -> None:
    """What lives at a base is then a PROPS, and after it the PUT: the body that the PROPS was about is dropped."""
    history = History()
    history.family("ada", cards=3)
    history.put("ada", Kind.NOTES, "n.txt", b"one")
    history.props("ada", Kind.NOTES, "n.txt", {"{urn:x}p": "<p>kept</p>"})
    digest = history.changes[-1].props_digest
    collection = history.changes[-1].collection
    history.change("ada", Kind.NOTES, Op.PUT, collection, "n.txt", b"two", kept_props=digest)
    dropped = len(history.frames)
    history.put("ada", Kind.NOTES, "later.txt", b"later")
    history.seal()
    world = World(history)
    alone = Recovery(world, [world.near])
    alone.run(alone.plan(runs=None))
    meant = alone.state()
    again = World(history)
    until = dropped if goes_on else again.last
    again.at(until, dropped_upto=dropped)
    again.cut_log(until)
    recovery = again.recovery()
    plan = recovery.plan()
    result = recovery.run(plan)
    assert result.report.exit_code == 0
    assert result.report.items == plan.report.items
    assert plan.report.items[Kind.NOTES].older == 0
    assert what_lives(recovery.state()) == what_lives(meant)
    core = recovery.core()
    row = core.account_by_id(history.accounts["ada"])
    assert row is not None
    found = [
        core.props(item)
        for collection in core.collections(row.number)
        for item in core.items(collection)
        if item.name == "n.txt"
    ]
    assert found == [{"{urn:x}p": "<p>kept</p>"}]
    core.close()


def test_every_frame_of_a_generation_with_bases_may_be_lost(world: World) -> None:
    world.at(70, dropped_upto=50)
    world.cut_log(70)
    whole = world.copy()
    for name, offset, size, type_, _ in frames_of(whole[0], "runs/000000000070/0"):
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        recovery = world.recovery()
        plan = recovery.plan()
        result = recovery.run(plan)
        if type_ is FrameType.DIRECTORY:
            assert not result.report.verified or result.report.exit_code == 0
        else:
            assert result.report.lost or (type_ is FrameType.INDEX and result.report.exit_code == 1), (
                name,
                offset,
                type_,
            )
        for count in result.report.items.values():
            assert count.expected == count.exact + count.older + count.lost
        world.near.objects, world.far.objects = map(dict, whole)


def test_an_older_body_below_a_base_is_not_exact_where_the_newer_one_is_lost() -> None:
    """It is there for the properties that it set: without the change that followed it, nobody may call it exact."""
    history = History()
    history.family("ada", cards=3)
    collection = history.put("ada", Kind.NOTES, "z.txt", b"z").collection
    first = history.change("ada", Kind.NOTES, Op.PUT, collection, "n.txt", b"one", {"{urn:x}p": "<p>kept</p>"})
    for n in range(20):
        history.put("ada", Kind.NOTES, f"{n}.txt", b"note %d" % n)
    history.change("ada", Kind.NOTES, Op.PUT, collection, "n.txt", b"two", kept_props=first.props_digest)
    for n in range(20):
        history.put("ada", Kind.NOTES, f"more-{n}.txt", b"more")
    dropped = len(history.frames)
    for n in range(40):
        history.put("ada", Kind.NOTES, f"later-{n}.txt", b"later")
    history.seal()
    world = World(history)
    world.at(world.last, dropped_upto=dropped)
    world.cut_log(world.last)
    whole = world.copy()
    older = 0
    for name, offset, size, type_, _ in frames_of(whole[0], f"runs/{world.last:012d}/0"):
        if type_ is not FrameType.INDEX:
            continue
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        recovery = world.recovery()
        result = recovery.whole()
        core = recovery.core()
        row = core.account_by_id(history.accounts["ada"])
        for found in core.collections(row.number) if row is not None else ():
            for _, stored in core.items_with_bodies(found, ["n.txt"]):
                if stored.inline == b"one":
                    older += 1
                    assert result.report.items[Kind.NOTES].older >= 1
        core.close()
        world.near.objects, world.far.objects = map(dict, whole)
    assert older


def test_random_damage_in_one_vault_never_costs_anything(world: World, meant: dict[str, object]) -> None:
    first = world.at(30)
    world.at(70, since=(30, 50), older=first.runs)
    whole = world.copy()
    dice = random.Random(7)
    for _ in range(40):
        vault = dice.choice((world.near, world.far))
        for _ in range(dice.randint(1, 6)):
            name = dice.choice([n for n in vault.objects if n.startswith(("runs/", "log/"))])
            act = dice.randrange(3)
            if act == 0:
                del vault.objects[name]
            elif act == 1:
                spoil(vault, name, dice.randrange(len(vault.objects[name])))
            else:
                vault.objects[name] = vault.objects[name][: dice.randrange(1, len(vault.objects[name]))]
        recovery = world.recovery()
        result = recovery.run(recovery.plan(), claim=lambda: 2)
        assert result.report.exit_code == 0, result.report.lost
        assert recovery.state() == meant
        world.near.objects, world.far.objects = map(dict, whole)


def test_random_damage_in_both_loses_what_it_says_and_no_more(world: World, meant: dict[str, object]) -> None:
    first = world.at(30)
    world.at(70, since=(30, 50), older=first.runs)
    world.cut_log(50)
    whole = world.copy()
    dice = random.Random(11)
    changes = {(c.account, c.kind, c.rev): c for c in world.history.changes}
    for _ in range(40):
        for vault in (world.near, world.far):
            for _ in range(dice.randint(1, 4)):
                name = dice.choice([n for n in vault.objects if n.startswith(("runs/", "log/"))])
                spoil(vault, name, dice.randrange(len(vault.objects[name])))
        recovery = world.recovery()
        result = recovery.run(recovery.plan(), claim=lambda: 2)
        core = recovery.core()
        there = {(c.account, c.kind, c.rev): c for _, _, c in core.changes(limit=10_000)}
        core.close()
        assert all(changes[key] == change for key, change in there.items())
        missing = changes.keys() - there.keys()
        names = {id_: n for n, id_ in world.history.accounts.items()}
        told = {(loss.account, loss.kind, rev) for loss in result.report.lost for rev in loss.revs}
        silent = {(names[a], k, r) for a, k, r in missing if (a.hex(), k, r) not in told} - told
        assert not silent or not result.report.verified or result.report.unknown_seconds, silent
        assert bool(missing) <= (result.report.exit_code == 1 or result.report.unknown_seconds > 0)
        world.near.objects, world.far.objects = map(dict, whole)


def test_a_generation_of_another_log_is_left_out(world: World, meant: dict[str, object]) -> None:
    position = world.ends[60]._replace(digest=b"\1" * 32)
    world.generations.make(world.framed, position)
    recovery = world.recovery()
    plan = recovery.plan()
    assert plan.generation == 0
    assert any("another log" in problem for problem in plan.problems)
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant


def test_an_index_that_lies_is_refused_and_mended(world: World, meant: dict[str, object]) -> None:
    """Signed by a certified writer, and not what the log says: hashes do not hold, so that nothing of it enters."""
    lying = [
        (f, msgspec.structs.replace(c, name="other.vcf") if c.name == "more-3.vcf" else c) for f, c in world.framed
    ]
    world.generations.make(lying, world.ends[60])
    recovery = world.recovery()
    result = recovery.whole()
    assert recovery.state() == meant
    assert result.report.exit_code == 0


def forged(world: World, hidden: bytes) -> list[Framed]:
    """The history without the contacts of one account, and with a note of another one's making in another's stream."""
    return [(f, c) for f, c in world.framed if (c.account, c.kind) != (hidden, Kind.CONTACTS)]


def test_a_generation_that_hides_a_stream_is_contradicted_by_an_older_one(
    world: World, meant: dict[str, object]
) -> None:
    """Signed by a certified writer, well formed, and silent about contacts that an older generation has."""
    world.at(50)
    world.generations.make(forged(world, an_id("ada")), world.ends[60])
    recovery = world.recovery()
    plan = recovery.plan()
    assert (plan.generation, plan.older, plan.damaged) == (60, 50, [(an_id("ada"), Kind.CONTACTS)])
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant


def test_a_generation_that_tells_another_history_is_not_believed(world: World, meant: dict[str, object]) -> None:
    other = History()
    other.family("ada", "bob", "eve", cards=3)
    lying = {(an_id("bob"), Kind.CONTACTS)}
    mixed = [(f, c) for f, c in world.framed if (c.account, c.kind) not in lying]
    mixed += [(60, c) for c in other.changes if (c.account, c.kind) in lying]
    world.at(50)
    world.generations.make(mixed, world.ends[60])
    recovery = world.recovery()
    plan = recovery.plan()
    assert plan.damaged == [(an_id("bob"), Kind.CONTACTS)]
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.state() == meant


def test_a_start_tells_how_much_an_old_core_has_taken_in(caplog: pytest.LogCaptureFixture) -> None:
    house = Installation.new(1)
    image = SimDisk.survivor(house.disk)
    for n in range(3):
        house.request("PUT", f"/dav/ann/files/notes/{n}.txt", b"note")
    house = house.kill()
    house.disk.lose("/core")
    house.disk.make_folders("/core")
    for entry in image.list("/core"):
        source, target = image.open(f"/core/{entry.name}"), house.disk.open(f"/core/{entry.name}", create=True)
        target.write_at(0, source.read_at(0, source.size()))
        target.sync()
    house.disk.sync_folder("/core")
    house.boot()
    assert house.writer.taken_in >= 3
    assert "the core lacked the last" in caplog.text
    assert house.request("GET", "/dav/ann/files/notes/2.txt").body == b"note"
    house.abandon()
