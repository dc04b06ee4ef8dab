"""Recovery into a core that serves: stream by stream, the same core and the same report as `recover run` gives.

Long, as every way in is held against the same world and the same `recover run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from safehold.formats.frame import FrameType
from safehold.lab.simdisk import SimDisk
from safehold.model.errors import Damaged, OperatorError, OutOfSpace
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import NOT_YET, WholeStream
from safehold.ports.vault import VaultDown
from safehold.recovery import ahead, tail
from safehold.recovery.portions import Portion, Settled, settle
from safehold.recovery.report import Report
from safehold.recovery.shares import Found, Share
from safehold.recovery.staged import Staged, StreamState
from safehold.recovery.tail import TooLong
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.memory import MemoryVault
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, an_id, card
from tests.support.thinning import every
from tests.unit.test_recovery_generations import DATA, Recovery, World, comparable, frames_of, spoil


class Serving:
    """A recovery into a core that serves, out of a world's vaults, driven step by step."""

    def __init__(self, world: World, *sources: MemoryVault, runs: bool = True) -> None:
        self.world = world
        self.sources = list(sources) or [world.near, world.far]
        self.disk = SimDisk()
        self.disk.make_folders(DATA)
        self.clock = FakeClock(world.vaults.clock.now() + 5_000_000)
        self.blobs = FakeBlobs()
        self._with_runs = runs

    def core(self, folder: str = f"{DATA}/core") -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=self.disk, create=True)

    def _old(self, folder: str) -> SqliteCore | None:
        return self.core(folder) if self.disk.exists(f"{folder}/core.db") else None

    def _sources(self) -> tuple[Any, Any]:
        recovery = self.world.recovery(*self.sources)
        return recovery.reader(), recovery.runs() if self._with_runs else None

    def begin(self, **options: Any) -> Staged:
        reader, runs = self._sources()
        options.setdefault("claim", lambda: self.world.vaults.claim(*self.sources))
        return Staged.begin(
            reader,
            runs,
            self.sources,
            make_core=self.core,
            make_rows=StreamRows,
            disk=self.disk,
            data=DATA,
            clock=self.clock,
            open_old=self._old,
            sync=("near",),
            again=self._sources,
            **options,
        )

    def resume(self) -> Staged | None:
        reader, runs = self._sources()
        core = self.core()
        try:
            return Staged.resume(
                core,
                reader,
                runs,
                make_rows=StreamRows,
                clock=self.clock,
                vaults=self.sources,
                open_old=self._old,
                again=self._sources,
            )
        finally:
            core.close()

    def finish(self, staged: Staged, core: SqliteCore, most_changes: int = 5) -> Report:
        while staged.step(core, most_changes):
            pass
        while staged.fetch(core, self.blobs, 1):
            pass
        return staged.close(core)

    def whole(self) -> tuple[dict[str, object], Report]:
        staged = self.begin()
        core = self.core()
        try:
            report = self.finish(staged, core)
            return comparable(core), report
        finally:
            core.close()


def without_seconds(report: Report) -> Report:
    stages = [msgspec.structs.replace(stage, seconds=0.0) for stage in report.stages]
    not_exact = sorted(report.not_exact, key=lambda count: (count.id, count.kind))
    return msgspec.structs.replace(report, stages=stages, seconds=0.0, first_contact_seconds=0.0, not_exact=not_exact)


def run_beside(world: World, *sources: MemoryVault) -> tuple[dict[str, object], Report]:
    """What `recover run` makes of the same vaults."""
    recovery = Recovery(world, list(sources) or [world.near, world.far])
    report = recovery.whole().report
    return recovery.state(), report


def assert_same(world: World, *sources: MemoryVault) -> Report:
    """Copies of the vaults give the same core and the same report, whichever way."""
    kept = world.copy()
    meant, told = run_beside(world, *sources)
    world.near.objects, world.far.objects = kept
    found, report = Serving(world, *sources).whole()
    assert found == meant
    assert without_seconds(report) == without_seconds(told)
    return report


@pytest.fixture
def world() -> World:
    return World()


def test_from_the_log_alone(world: World) -> None:
    assert assert_same(world).exit_code == 0


def test_from_a_generation_and_the_log_after_it(world: World) -> None:
    world.at(50)
    assert assert_same(world).exit_code == 0


def test_from_a_generation_with_dropped_history(world: World) -> None:
    world.at(60, dropped_upto=40)
    assert assert_same(world).exit_code == 0


def test_what_is_known_at_first(world: World) -> None:
    """Identities are in, all other streams are held, and the log is read up to its end."""
    world.at(50)
    serving = Serving(world)
    staged = serving.begin()
    core = serving.core()
    assert [account.name for account in core.accounts()] == ["ada", "bob", "eve"]
    for account in core.accounts():
        for kind in RESTORE_ORDER:
            whole = kind is Kind.IDENTITY
            assert core.held(account.number, kind) == (None if whole else NOT_YET)
            state = staged.state(account.id, kind)
            assert state is (StreamState.WHOLE if whole else StreamState.QUEUED)
    assert core.log_position() == staged.end
    assert core.recovery_mark()
    assert staged.progress().stage == Kind.CONTACTS
    assert staged.progress().forecast_seconds


def test_who_knocks_comes_next(world: World) -> None:
    world.at(50)
    serving = Serving(world)
    staged = serving.begin()
    core = serving.core()
    staged.knock(an_id("eve"), Kind.NOTES)
    staged.step(core, 1)
    assert staged.state(an_id("eve"), Kind.NOTES) is StreamState.WHOLE
    assert staged.state(an_id("ada"), Kind.CONTACTS) is StreamState.QUEUED
    staged.step(core, 1)
    assert staged.progress().kinds[Kind.CONTACTS].streams_entered == 1


def test_a_start_after_a_kill_goes_on(world: World) -> None:
    world.at(50)
    kept = world.copy()
    meant, told = run_beside(world)
    world.near.objects, world.far.objects = kept
    serving = Serving(world)
    staged: Staged | None = serving.begin()
    while staged is not None:
        core = serving.core()
        if not staged.step(core, 1):
            report = serving.finish(staged, core)
            assert comparable(core) == meant
            assert without_seconds(report) == without_seconds(told)
        core.close()
        staged = serving.resume()


_THE_LAST = "WHERE number = (SELECT MAX(number) FROM collection)"
_OF_THE_LAST = "WHERE collection = (SELECT MAX(collection) FROM item)"
DAMAGE = {
    "a body": "UPDATE journal SET body = CAST(body || 'x' AS BLOB) WHERE kind > 0 AND body NOTNULL",
    "a change that is gone": "DELETE FROM journal WHERE seq = (SELECT MAX(seq) FROM journal)",
    "an item's digest": f"UPDATE item SET digest = zeroblob(32) {_OF_THE_LAST}",
    "an item's rev": f"UPDATE item SET rev = rev + 1 {_OF_THE_LAST}",
    "an item's size": f"UPDATE item SET size = size + 1 {_OF_THE_LAST}",
    "an item that is gone": f"DELETE FROM item {_OF_THE_LAST}",
    "a collection's path": f"UPDATE collection SET path = path || 'x' {_THE_LAST}",
    "a collection's properties": f"UPDATE collection SET props = NULL {_THE_LAST}",
    "a collection that is gone": f"DELETE FROM collection {_THE_LAST}",
    "a head": "UPDATE stream SET head = zeroblob(32) WHERE held IS NULL AND kind > 0",
    "what a stream is said to have": "UPDATE stream SET items = items + 1 WHERE held IS NULL AND kind > 0",
}


@pytest.mark.parametrize("sql", DAMAGE.values(), ids=DAMAGE)
def test_what_the_core_made_something_else_of_is_not_released(world: World, sql: str) -> None:
    """I65: all that enters in one step is compared with what was read, before any of it can be read."""
    world.at(world.last)
    kept = world.copy()
    meant, _ = run_beside(world)
    world.near.objects, world.far.objects = kept
    serving = Serving(world)
    staged = serving.begin()
    core = serving.core()
    waiting = sorted(core.held_streams(NOT_YET))
    enter = core.enter_together

    def entered_otherwise(streams: Sequence[WholeStream]) -> None:
        enter(streams)
        assert len(streams) > 1, "several enter together"
        core._db.execute(sql)
        assert core._db.changes()

    core.enter_together = entered_otherwise  # type: ignore[method-assign]
    staged.prepare(100)
    with pytest.raises(Damaged):
        staged.step(core, 100)
    assert sorted(core.held_streams(NOT_YET)) == waiting
    del core.enter_together
    serving.finish(staged, core)
    assert comparable(core) == meant


def test_a_core_that_nothing_is_under_way_in(world: World) -> None:
    recovery = world.recovery()
    recovery.whole()
    serving = Serving(world)
    serving.disk = recovery.disk
    assert serving.resume() is None


def test_an_account_that_is_erased_in_the_tail() -> None:
    history = History()
    history.family("ada", "bob")
    history.put("ada", Kind.NOTES, "late.txt", b"late")
    history.erase("ada")
    history.put("bob", Kind.NOTES, "late.txt", b"late")
    history.seal()
    world = World(history)
    world.at(30)
    report = assert_same(world)
    assert report.accounts == 1


@pytest.mark.parametrize("place", ["log", "log alone"])
def test_a_register_of_the_erased_that_misses_a_revision_is_judged_before_anything_is_moved(place: str) -> None:
    """Else the account whose erasure it held would come back, with nobody asked."""
    history = History()
    history.family("ada", "bob")
    gone = history.erase("ada")
    history.put("", Kind.IDENTITY, f"erased/{an_id('eve').hex()}", b"{}")
    history.put("bob", Kind.NOTES, "late.txt", b"late")
    history.seal()
    world = World(history)
    if place == "log":
        world.at(world.vaults.holds(gone)[1].header.number - 5)
    world.vaults.spoil(gone, world.near, world.far)
    serving = Serving(world)
    serving.disk.make_folders(f"{DATA}/core")
    serving.core().close()

    def judge(lacks: str) -> None:
        raise OperatorError(lacks)

    for _ in range(2):
        with pytest.raises(OperatorError, match="of identity"):
            serving.begin(judge_register=judge)
        assert serving.disk.exists(f"{DATA}/core/core.db")
        assert not [entry.name for entry in serving.disk.list(f"{DATA}/scratch") if entry.name.startswith("core-")]
    staged = serving.begin()
    assert staged.register_lacks
    again = serving.resume()
    assert again is not None
    assert again.register_lacks == staged.register_lacks
    problems = world.recovery().plan().problems
    assert problems[0].startswith("ERASED ACCOUNTS MAY COME BACK")


def test_a_register_that_a_generation_alone_had_is_judged() -> None:
    history = History()
    history.family("ada", "bob")
    history.erase("ada")
    history.seal()
    world = World(history)
    world.at(world.last)
    world.cut_log(world.last)
    whole = world.copy()
    judged: list[str] = []
    for name, offset, size, _, _ in frames_of(whole[0], "runs/"):
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        try:
            Serving(world).begin(judge_register=judged.append)
        except OperatorError:  # nothing is left
            continue
        finally:
            world.near.objects, world.far.objects = map(dict, whole)
    assert judged


def test_blobs_are_fetched_and_lost_ones_told() -> None:
    history = History()
    history.family("ada")
    history.put("ada", Kind.PHOTOS, "one.jpg", card("one"), blob=b"1" * 32)
    history.put("ada", Kind.PHOTOS, "two.jpg", card("two"), blob=b"2" * 32)
    history.seal()
    world = World(history)
    serving = Serving(world)
    serving.blobs.held[b"1" * 32] = card("one")
    staged = serving.begin()
    core = serving.core()
    while staged.step(core):
        pass
    assert staged.state(an_id("ada"), Kind.PHOTOS) is StreamState.SERVING
    report = serving.finish(staged, core)
    assert [(loss.collection, loss.name) for loss in report.lost] == [("files/photos", "two.jpg")]
    assert (report.items[Kind.PHOTOS].exact, report.items[Kind.PHOTOS].lost) == (1, 1)
    [count] = report.not_exact
    assert (count.kind, count.expected, count.exact, count.older, count.lost) == (Kind.PHOTOS, 2, 1, 0, 1)
    assert staged.state(an_id("ada"), Kind.PHOTOS) is StreamState.WHOLE


# -- damage


def assert_like_run(world: World, *sources: MemoryVault, where: object = "") -> Report:
    """As `assert_same`, saying where."""
    kept = tuple(map(dict, world.copy()))
    meant, told = run_beside(world, *sources)
    world.near.objects, world.far.objects = map(dict, kept)
    found, report = Serving(world, *sources).whole()
    world.near.objects, world.far.objects = map(dict, kept)
    assert found == meant, where
    assert without_seconds(report) == without_seconds(told), where
    return report


@pytest.mark.parametrize("log", ["whole", "cut"])
@pytest.mark.parametrize("older", [False, True])
@every(2)
def test_any_frame_of_a_generation_that_is_bad_in_all_vaults(world: World, log: str, older: bool, step: int) -> None:
    """Mended, or held and told, as `recover run` does."""
    if older:
        world.at(45)
    world.at(60)
    if log == "cut":
        world.cut_log(60)
    whole = tuple(map(dict, world.copy()))
    lossy = 0
    for name, offset, size, type_, _ in list(frames_of(whole[0], "runs/000000000060/0"))[::step]:
        if older and log == "cut" and type_ is FrameType.INDEX:
            continue  # not held yet: decision 0040, "Open"
        for vault in (world.near, world.far):
            spoil(vault, name, offset + size // 2)
        lossy += assert_like_run(world, where=(name, offset, type_)).exit_code
        world.near.objects, world.far.objects = map(dict, whole)
    assert bool(lossy) == (log == "cut")


def test_any_frame_of_the_log_that_is_bad_in_all_vaults(world: World) -> None:
    world.at(60)
    whole = tuple(map(dict, world.copy()))
    lossy = 0
    for change in world.history.changes[::3]:
        world.vaults.spoil(change, world.near, world.far)
        lossy += assert_like_run(world, where=(change.kind, change.rev)).exit_code
        world.near.objects, world.far.objects = map(dict, whole)
    assert lossy > 3


def test_a_whole_object_that_is_lost_with_the_log(world: World) -> None:
    world.at(60, parts=4)
    world.cut_log(60)
    for vault in (world.near, world.far):
        del vault.objects["runs/000000000060/001.run"]
    assert assert_like_run(world).exit_code == 1


def test_what_is_held_is_told(world: World) -> None:
    change = next(c for c in world.history.changes if c.name == "more-3.vcf")
    world.vaults.spoil(change, world.near, world.far)
    serving = Serving(world)
    staged = serving.begin()
    staged.knock(change.account, change.kind)
    core = serving.core()
    staged.step(core, 1)
    row = core.account_by_id(change.account)
    assert row is not None
    assert core.held(row.number, change.kind) == f"revisions {change.rev} of contacts are in no vault"
    assert staged.state(change.account, change.kind) is StreamState.PARTIAL
    assert staged.held() == [f"bob, contacts is held: revisions {change.rev} of contacts are in no vault"]
    core.close()
    again = serving.resume()
    assert again is not None
    assert again.state(change.account, change.kind) is StreamState.PARTIAL
    assert again.held() == staged.held()


# -- an old core that remembers


def with_old_core(world: World) -> SimDisk:
    """A disk with a core of all that the vaults hold now."""
    kept = tuple(map(dict, world.copy()))
    recovery = world.recovery()
    recovery.whole()
    world.near.objects, world.far.objects = map(dict, kept)
    return recovery.disk


@pytest.mark.parametrize("place", ["middle", "end"])
def test_an_old_core_fills_what_the_vaults_lost(world: World, place: str) -> None:
    """Also the end of a stream, which no vault has: it is marked, to be archived when the writer opens."""
    world.at(60)
    disks = [with_old_core(world), with_old_core(world)]
    of_bob = [c for c in world.history.changes if c.name.startswith("more-")]
    world.vaults.spoil(of_bob[-1 if place == "end" else -4], world.near, world.far)
    kept = tuple(map(dict, world.copy()))
    recovery = world.recovery()
    recovery.disk = disks[0]
    old = recovery.core()
    result = recovery.run(recovery.plan(core_problem="its file is torn"), old=old)
    old.close()
    meant = recovery.state()
    world.near.objects, world.far.objects = map(dict, kept)
    serving = Serving(world)
    serving.disk = disks[1]
    found, report = serving.whole()
    assert found == meant
    assert report.lost == []
    assert (report.exit_code, report.changes_recovered) == (0, len(world.history.changes))
    assert result.report.changes_recovered <= report.changes_recovered


def test_where_the_old_core_went_is_known_after_a_kill_between_two_renames(world: World) -> None:
    """Then no core is in place, and the next start begins again, with the old one as a witness all the same."""
    world.at(60)
    lost = next(c for c in reversed(world.history.changes) if c.name.startswith("more-"))
    serving = Serving(world)
    serving.disk = with_old_core(world)
    world.vaults.spoil(lost, world.near, world.far)

    class Kill(BaseException):
        pass

    def hook(operation: str, path: str) -> None:
        if operation == "rename" and path.endswith("/core") and not serving.disk.exists(f"{DATA}/core"):
            raise Kill

    serving.disk.on_write_point = hook
    with pytest.raises(Kill):
        serving.begin()
    serving.disk.on_write_point = None
    assert not serving.disk.exists(f"{DATA}/core")
    _, report = serving.whole()
    assert (report.exit_code, report.changes_recovered) == (0, len(world.history.changes))


# -- reading ahead


class Helping:
    """Helpers of this process, that note what they were given and may fail."""

    def __init__(self, serving: Serving, dies_at: int = 1 << 30) -> None:
        self.jobs: list[Portion] = []
        self.answered = 0
        self._serving = serving
        self._dies_at = dies_at

    def run(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]:
        self.jobs += jobs
        return self._answers(jobs)

    def _answers(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]:
        runs = self._serving.world.recovery(*self._serving.sources).runs()
        reader = runs.reader(next(runs.generations()))
        for job in jobs:
            if self.answered == self._dies_at:
                raise OperatorError("a worker process ended in the middle of its work")
            self.answered += 1
            yield settle(reader, job, StreamRows)

    def compare(self, shares: Sequence[Share]) -> Iterator[Found]:
        raise AssertionError("nothing is compared apart")


@pytest.mark.parametrize("dies_at", [1 << 30, 2])
def test_helpers_read_what_the_log_does_not_go_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr(ahead, "PORTION_CHANGES", 6)
    world.at(70)
    kept = world.copy()
    meant, told = run_beside(world)
    world.near.objects, world.far.objects = kept
    serving = Serving(world)
    helping = Helping(serving, dies_at)
    staged = serving.begin(helpers=helping)
    core = serving.core()
    staged.knock(an_id("eve"), Kind.SCORES)
    report = serving.finish(staged, core)
    assert comparable(core) == meant
    assert without_seconds(report) == without_seconds(told)
    assert len(helping.jobs) > 3
    assert helping.answered == min(dies_at, len(helping.jobs))


def test_who_knocks_does_not_wait_for_helpers(world: World) -> None:
    world.at(world.last)
    serving = Serving(world)
    helping = Helping(serving)
    staged = serving.begin(helpers=helping)
    before = helping.answered  # identities
    staged.knock(an_id("bob"), Kind.CONTACTS)
    core = serving.core()
    staged.step(core, 1)
    assert staged.state(an_id("bob"), Kind.CONTACTS) is StreamState.WHOLE
    assert helping.answered == before
    staged.step(core, 1)
    assert helping.answered == before + 1


@pytest.mark.parametrize("damaged", [False, True])
def test_long_streams_are_read_as_they_enter(world: World, monkeypatch: pytest.MonkeyPatch, *, damaged: bool) -> None:
    monkeypatch.setattr(ahead, "LONGEST", 5)
    monkeypatch.setattr(ahead, "ROWS", 3)
    world.at(60)
    if damaged:
        world.cut_log(60)
        bodies = [f for f in frames_of(world.near.objects, "runs/000000000060/0") if f[3] is FrameType.BODIES]
        for vault in (world.near, world.far):
            for name, offset, size, _, _ in bodies[::2]:
                spoil(vault, name, offset + size // 2)
    assert bool(assert_like_run(world).exit_code) == damaged


def test_nobody_reads_while_another_does(world: World) -> None:
    """A step enters what is ready, and otherwise lets the writer go on."""
    world.at(60)
    serving = Serving(world)
    staged = serving.begin()
    core = serving.core()
    assert staged._ahead.take_turn()
    assert staged.prepare()
    assert staged.step(core)
    assert staged.progress().kinds[Kind.CONTACTS].streams_entered == 0
    staged._ahead.end_turn()
    assert staged.prepare(10)
    assert staged.step(core)
    assert staged.progress().kinds[Kind.CONTACTS].streams_entered > 0


def test_a_step_that_fails_leaves_the_streams_in_the_queue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.at(60)
    kept = world.copy()
    meant, told = run_beside(world)
    world.near.objects, world.far.objects = kept
    serving = Serving(world)
    staged = serving.begin()
    core = serving.core()

    def fails(self: SqliteCore, record: bytes | None) -> None:
        raise OutOfSpace("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteCore, "set_recovery_record", fails)
        with pytest.raises(OutOfSpace):
            staged.step(core)
    report = serving.finish(staged, core)
    assert comparable(core) == meant
    assert without_seconds(report) == without_seconds(told)


def test_a_log_too_long_to_be_kept_is_refused_before_anything_is_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MOST_BYTES", 10_000)
    serving = Serving(world)
    serving.disk = with_old_core(world)
    with pytest.raises(TooLong):
        serving.begin()
    core = serving.core()
    assert len(core.accounts()) == 3
    assert core.recovery_record() is None


@pytest.mark.parametrize("texts", [0, 1, 4])
def test_lost_blobs_of_a_stream_that_misses_revs(texts: int) -> None:
    """What may be older anyhow and what a blob's loss makes older or lost are weighed as a run weighs them."""
    history = History()
    history.family("ada")
    for n in range(3):
        history.put("ada", Kind.PHOTOS, f"{n}.jpg", card(f"{n}"), blob=bytes([n]) * 32)
    for n in range(texts):
        history.put("ada", Kind.PHOTOS, f"{n}.txt", b"small")
    gone = [history.put("ada", Kind.PHOTOS, f"gone-{n}.txt", b"gone") for n in range(2)]
    history.put("ada", Kind.PHOTOS, "last.jpg", card("last"), blob=b"9" * 32)
    history.seal()
    world = World(history)
    for change in gone:
        world.vaults.spoil(change, world.near, world.far)
    report = assert_like_run(world)
    assert len(report.lost) == 5


def test_what_is_expected_is_what_has_entered_in_the_end(world: World) -> None:
    """Also where an account is erased meanwhile, and after a start in between."""
    world.at(50)
    serving = Serving(world)
    staged: Staged | None = serving.begin()
    assert staged is not None
    core = serving.core()
    staged.step(core, 10)
    core.begin()
    core.drop_account(an_id("eve"))
    core.commit()
    staged.step(core, 10)
    core.close()
    staged = serving.resume()
    assert staged is not None
    core = serving.core()
    while staged.step(core, 10):
        assert staged.progress().stage in RESTORE_ORDER
    progress = staged.progress()
    for kind, count in progress.kinds.items():
        assert count.streams == count.streams_entered, kind
        assert count.changes == count.changes_entered, kind
    assert (progress.stage, progress.forecast_seconds) == ("done", 0.0)
    assert serving.finish(staged, core).exit_code == 0
    assert [account.name for account in core.accounts()] == ["ada", "bob"]


# -- vaults that are away for a while


@pytest.mark.parametrize("long", [False, True])
def test_what_a_vault_cannot_give_for_a_while_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, *, long: bool
) -> None:
    """Nothing of it is entered as lost, and it is read anew once the vault is back."""
    if long:
        monkeypatch.setattr(ahead, "LONGEST", 5)
    world.at(60)
    world.cut_log(60)
    kept = tuple(map(dict, world.copy()))
    meant, told = run_beside(world, world.near)
    world.near.objects = dict(kept[0])
    serving = Serving(world, world.near)
    staged = serving.begin()
    core = serving.core()
    staged.step(core, 1)
    there = staged.progress().kinds[Kind.CONTACTS].streams_entered
    world.near.down = True
    staged.knock(an_id("eve"), Kind.NOTES)
    for _ in range(30):
        assert staged.step(core, 1)
    assert staged.trouble == "near cannot be read now"
    with pytest.raises(VaultDown):
        staged.prepare()
    assert staged.state(an_id("eve"), Kind.NOTES) is StreamState.QUEUED
    assert staged.held() == []
    world.near.down = False
    report = serving.finish(staged, core)
    assert staged.trouble == ""
    assert there <= 1
    assert comparable(core) == meant
    assert without_seconds(report) == without_seconds(told)


def test_a_start_with_less_than_was_begun_with_goes_on_with_nothing(world: World) -> None:
    """What is held stays held: what a vault that is away has is not lost."""
    world.at(60)
    world.cut_log(60)
    serving = Serving(world)
    serving.begin()
    kept = world.copy()
    for vault in (world.near, world.far):
        vault.objects = {name: data for name, data in vault.objects.items() if not name.startswith("runs/")}
    with pytest.raises(OperatorError, match="have less"):
        serving.resume()
    world.near.objects, world.far.objects = kept
    staged = serving.resume()
    assert staged is not None
    assert serving.finish(staged, serving.core()).exit_code == 0


def test_a_log_of_which_nothing_is_left_is_no_matter_for_a_start(world: World) -> None:
    """Nobody knows what came after the generation: somebody has to look at the plan first."""
    world.at(60)
    for vault in (world.near, world.far):
        for name in [name for name in vault.objects if name.startswith("log/")]:
            del vault.objects[name]
    with pytest.raises(OperatorError, match="nothing is left of the log"):
        Serving(world).begin()
