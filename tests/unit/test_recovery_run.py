"""Runs: a new core out of a log, on a disk in memory; verified, held where it must be, put into place last."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any

import pytest

from safehold.cli.recover import _report_data
from safehold.lab.simdisk import SimDisk
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import DATA_KINDS, RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD
from safehold.ports.core import NOT_YET, CoreStore
from safehold.recovery.examine import State
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.sqlite.core import SqliteCore
from tests.support.recovery_fakes import SYSTEM, FakeBlobs, FakeClock, History, an_id, card, state_of

DATA = "/data"


class House:
    """A data folder on a disk in memory, beside the vaults of a history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.disk = SimDisk()
        self.disk.make_folders(DATA)
        self.clock = FakeClock()
        self.blobs = FakeBlobs()

    def core(self, folder: str = f"{DATA}/core") -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=self.disk, create=True)

    def live(self) -> SqliteCore:
        """The core as a service that never failed would have it."""
        self.disk.make_folders(f"{DATA}/core")
        core = self.core()
        core.begin()
        for frame in self.history.frames:
            for change in frame.changes:
                core.apply(change, frame.position.frame)
            core.set_log_position(frame.position)
        core.commit()
        return core

    def plan(self, lost: Collection[int] = (), **options: Any) -> Plan:
        options.setdefault("sync", ("near",))
        exists = self.disk.exists(f"{DATA}/core/core.db")
        core, problem = None, ""
        if exists:
            try:
                core = self.core()
            except Damaged as error:
                problem = error.message
        try:
            return make_plan(
                self.history.reader(lost), [self.history.vault], self.clock, core=core, core_problem=problem, **options
            )
        finally:
            if core is not None:
                core.close()

    def run(self, plan: Plan, lost: Collection[int] = (), **options: Any) -> Result:
        options.setdefault("claim", self.history.claim)
        return run_plan(
            plan,
            self.history.reader(lost),
            make_core=self.core,
            blobs=self.blobs,
            disk=self.disk,
            data=DATA,
            clock=self.clock,
            look=lambda: look([self.history.vault]),
            **options,
        )

    def state(self) -> dict[str, object]:
        core = self.core()
        try:
            return state_of(core)
        finally:
            core.close()

    def read(self, ask: Callable[[SqliteCore], Any]) -> Any:
        core = self.core()
        try:
            return ask(core)
        finally:
            core.close()

    def aside(self) -> list[str]:
        if not self.disk.exists(f"{DATA}/scratch"):
            return []
        return sorted(e.name for e in self.disk.list(f"{DATA}/scratch") if e.name.startswith("core-"))


@pytest.fixture
def house() -> House:
    history = History()
    history.family("ada", "bob")
    return House(history)


def held(house: House, account: str, kind: Kind) -> str | None:
    def ask(core: SqliteCore) -> str | None:
        row = core.account_by_id(an_id(account))
        assert row is not None
        return core.held(row.number, kind)

    found: str | None = house.read(ask)
    return found


def test_the_whole_core_comes_back_as_it_was(house: House) -> None:
    core = house.live()
    before = state_of(core)
    core.close()
    house.disk.rename(f"{DATA}/core", f"{DATA}/gone")
    result = house.run(house.plan())
    report = result.report
    assert house.state() == before
    assert report.exit_code == 0
    assert (report.accounts, report.streams, report.timeline, report.verified) == (2, 15, 2, True)
    assert [stage.kind for stage in report.stages] == list(RESTORE_ORDER)
    assert sum(stage.seconds for stage in report.stages) <= report.seconds
    assert report.first_contact_seconds == report.seconds
    assert result.moved_aside is None
    assert house.read(lambda core: core.log_position()) == house.history.position, "the claim is read too"
    assert not house.disk.exists(f"{DATA}/scratch/recovery/run.json")


def test_every_core_that_is_put_into_place_bears_a_mark_of_its_own(house: House) -> None:
    house.live().close()
    house.run(house.plan())  # whole: left as it is
    marks = [house.read(lambda core: core.recovery_mark())]
    for n in range(3):
        house.disk.rename(f"{DATA}/core", f"{DATA}/gone-{n}")
        house.run(house.plan())
        marks.append(house.read(lambda core: core.recovery_mark()))
    assert marks[0] == ""
    assert all(marks[1:])
    assert len(set(marks)) == 4


def test_what_accounts_hold_is_known_after_a_recovery_as_before(house: House) -> None:
    def used(core: SqliteCore) -> dict[str, int]:
        return {account.name: core.used_bytes(account.number) for account in core.accounts()}

    core = house.live()
    before = used(core)
    items = {
        account.name: sum(
            item.size
            for collection in core.collections(account.number)
            if collection.kind is not Kind.IDENTITY
            for item in core.items(collection)
        )
        for account in core.accounts()
    }
    core.close()
    assert before == items
    assert all(before.values())
    house.disk.rename(f"{DATA}/core", f"{DATA}/gone")
    house.run(house.plan())
    assert house.read(used) == before


def test_the_report_has_the_fields_of_the_contract_and_no_other(house: House) -> None:
    report = _report_data(house.run(house.plan()).report)
    assert set(report) == {
        *("accounts", "streams", "changes_expected", "changes_recovered", "items", "lost", "unknown_seconds"),
        *("stages", "first_contact_seconds", "seconds", "verified", "timeline"),
    }
    assert set(report["items"]) == set(Kind)
    assert set(report["items"]["contacts"]) == {"expected", "exact", "older", "lost"}
    assert set(report["stages"][0]) == {"kind", "items", "seconds"}


def test_the_claim_comes_before_the_reading(house: House) -> None:
    """What an old core still wrote before it was fenced comes back too; the plan allows for the claim alone."""
    plan = house.plan()
    late = []

    def claim() -> int:
        late.append(house.history.put("ada", Kind.CONTACTS, "late.vcf", card("late")))
        return house.history.claim()

    result = house.run(plan, claim=claim)
    assert result.report.changes_recovered == len(house.history.changes)
    assert house.read(lambda core: core.head(core.account_by_id(an_id("ada")).number, Kind.CONTACTS)).rev == late[0].rev


def test_a_source_that_changed_since_the_plan_is_refused(house: House) -> None:
    plan = house.plan()
    house.history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    with pytest.raises(OperatorError, match="no longer those of the plan: vault near: log/00000001 had"):
        house.run(plan)
    assert not house.disk.exists(f"{DATA}/core")
    assert house.history.timeline == 1, "nothing was claimed"


def test_a_whole_core_is_left_alone(house: House) -> None:
    house.live().close()
    plan = house.plan()
    assert plan.core is State.WHOLE
    writes = house.disk.operations["write"]
    result = house.run(plan)
    assert result.report.exit_code == 0
    assert house.disk.operations["write"] == writes
    assert house.history.timeline == 1
    assert house.aside() == []


def test_a_whole_core_stands_where_the_vaults_have_holes(house: House) -> None:
    house.live().close()
    plan = house.plan(range(3, 12))
    assert plan.core is State.WHOLE
    assert plan.report.exit_code == 0
    assert plan.report.unknown_seconds == 0


def test_a_core_that_is_ahead_of_the_vaults_is_left_alone(house: House) -> None:
    house.live().close()
    last = len(house.history.frames)
    house.history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    core = house.core()
    core.begin()
    core.apply(house.history.changes[-1], last + 1)
    core.set_log_position(house.history.position)
    core.commit()
    core.close()
    plan = house.plan({last + 1})
    assert plan.core is State.WHOLE
    assert "1 change that these vaults have not" in plan.core_reason


def test_a_core_that_is_behind_takes_in_the_rest_in_place(house: House) -> None:
    house.live().close()
    house.history.put("ada", Kind.CONTACTS, "x.vcf", card("x"))
    house.history.account("eve")
    plan = house.plan()
    assert plan.core is State.BEHIND
    result = house.run(plan)
    assert result.report.exit_code == 0
    assert house.aside() == []
    assert house.read(lambda core: core.counts()["changes"]) == len(house.history.changes)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "a flipped bit"])
def test_a_damaged_core_is_moved_aside_and_built_anew(house: House, damage: str) -> None:
    core = house.live()
    before = state_of(core)
    core.close()
    path = f"{DATA}/core/core.db"
    file = house.disk.open(path, write=True)
    if damage == "truncated":
        file.truncate(file.size() // 2)
    elif damage == "garbage":
        file.write_at(0, b"garbage!" * 512)
    elif damage == "empty":
        file.truncate(0)
    else:
        house.disk.flip_bit(path, file.size() // 2 + 100)
    hurt = file.read_at(0, file.size())
    file.close()
    plan = house.plan()
    assert plan.core in (State.DAMAGED, State.PARTIAL)
    result = house.run(plan)
    assert result.report.exit_code == 0
    assert house.state() == before
    (aside,) = house.aside()
    assert result.moved_aside == f"{DATA}/scratch/{aside}"
    if damage != "empty":
        kept = house.disk.open(f"{result.moved_aside}/core.db")
        assert kept.read_at(0, kept.size()) == hurt


def test_a_core_of_another_history_is_moved_aside(house: House) -> None:
    other = History()
    other.family("ada", "bob", cards=9)
    stranger = House(other)
    stranger.disk = house.disk
    stranger.live().close()
    plan = house.plan()
    assert plan.core is State.OTHER
    assert house.run(plan).report.exit_code == 0
    assert len(house.aside()) == 1


def test_a_stream_with_lost_revisions_is_held_and_named(house: House) -> None:
    change = house.history.put("ada", Kind.CONTACTS, "lost.vcf", card("lost"))
    house.history.put("ada", Kind.CONTACTS, "kept.vcf", card("kept"))
    lost = {house.history.frame_of(change)}
    plan = house.plan(lost)
    result = house.run(plan, lost)
    assert result.report.exit_code == 1
    assert [loss.revs for loss in result.report.lost] == [[change.rev]]
    assert result.report.items == plan.report.items
    reason = held(house, "ada", Kind.CONTACTS)
    assert reason is not None and f"revisions {change.rev} of contacts" in reason
    assert held(house, "bob", Kind.CONTACTS) is None
    again = house.plan(lost)
    assert again.core is State.WHOLE
    assert again.report.exit_code == 1
    assert house.run(again, lost).report.lost == result.report.lost


def test_accepting_the_loss_releases_the_stream_and_is_told(house: House) -> None:
    change = house.history.put("ada", Kind.CONTACTS, "lost.vcf", card("lost"))
    house.history.put("ada", Kind.CONTACTS, "kept.vcf", card("kept"))
    lost = {house.history.frame_of(change)}
    house.run(house.plan(lost), lost)
    assert held(house, "ada", Kind.CONTACTS) is not None
    result = house.run(house.plan(lost), lost, accept_loss=True)
    assert held(house, "ada", Kind.CONTACTS) is None
    assert result.accepted and result.report.exit_code == 1

    fresh = House(house.history)
    result = fresh.run(fresh.plan(lost), lost, accept_loss=True)
    assert held(fresh, "ada", Kind.CONTACTS) is None
    assert result.accepted == [f"ada, contacts: revisions {change.rev} of contacts are in no vault"]


def test_a_stream_whose_end_is_lost_is_held(house: House) -> None:
    house.history.account("eve")
    change = house.history.put("ada", Kind.NOTES, "lost.txt", b"x")
    house.history.seal()
    of_eve = {house.history.frame_of(c) for c in house.history.changes if c.account == an_id("eve")}
    lost = of_eve | {house.history.frame_of(change)}
    plan = house.plan(lost)
    result = house.run(plan, lost)
    assert result.report.items == plan.report.items
    assert result.report.changes_expected - result.report.changes_recovered == len(lost)
    assert held(house, "ada", Kind.NOTES) is not None
    assert held(house, "eve", Kind.CONTACTS) is not None
    again = house.plan(lost)
    assert again.core is State.WHOLE
    assert again.report.lost == result.report.lost


def test_an_old_core_fills_what_the_vaults_lost(house: House) -> None:
    change = house.history.put("ada", Kind.CONTACTS, "saved.vcf", card("saved"))
    house.history.put("ada", Kind.CONTACTS, "after.vcf", card("after"))
    lost = {house.history.frame_of(change)}
    old = House(house.history)
    witness = old.live()
    before = state_of(witness)
    plan = make_plan(house.history.reader(lost), [house.history.vault], house.clock, core=witness)
    assert plan.report.exit_code == 0
    plan.core = State.DAMAGED
    result = house.run(plan, lost, old=witness)
    assert result.report.exit_code == 0
    recovered = house.state()
    assert {k: v for k, v in recovered.items() if k != "changes"} == {k: v for k, v in before.items() if k != "changes"}


def test_an_erased_account_does_not_come_back(house: House) -> None:
    house.history.erase("bob")
    house.history.seal()
    result = house.run(house.plan())
    assert (result.report.accounts, result.report.exit_code) == (1, 0)
    assert house.read(lambda core: [account.name for account in core.accounts()]) == ["ada"]
    assert an_id("bob") not in {c.account for _, _, c in house.read(lambda core: core.changes(limit=10_000))}


def test_an_account_erased_after_the_plan_does_not_come_back(house: House) -> None:
    def claim() -> int:
        house.history.erase("bob")
        return house.history.claim()

    result = house.run(house.plan(), claim=claim)
    assert result.report.accounts == 1
    assert house.read(lambda core: [account.name for account in core.accounts()]) == ["ada"]


def test_a_filter_holds_the_rest_and_a_later_run_completes(house: House) -> None:
    result = house.run(house.plan(accounts=["ada"], kinds=[Kind.CONTACTS]))
    assert (result.report.accounts, result.report.streams, result.report.exit_code) == (1, 3, 0)
    assert result.report.items[Kind.CONTACTS].exact == 4
    assert held(house, "ada", Kind.CONTACTS) is None
    assert held(house, "bob", Kind.IDENTITY) is None
    for account in ("ada", "bob"):
        for kind in DATA_KINDS:
            if (account, kind) != ("ada", Kind.CONTACTS):
                assert held(house, account, kind) == NOT_YET

    second = house.plan(accounts=["bob"], kinds=[Kind.NOTES])
    assert second.core is State.PARTIAL
    house.run(second)
    assert held(house, "bob", Kind.NOTES) is None
    assert held(house, "ada", Kind.CONTACTS) is None, "what an earlier run brought is kept"
    assert held(house, "ada", Kind.NOTES) == NOT_YET

    whole = house.plan()
    assert whole.core is State.PARTIAL
    assert house.run(whole).report.exit_code == 0
    fresh = House(house.history)
    fresh.run(fresh.plan())
    assert house.state() == fresh.state()


def test_blobs_are_read_back_and_named_where_they_are_gone(house: House) -> None:
    good, gone, first = b"\1" * 32, b"\2" * 32, b"\3" * 32
    history = house.history
    history.put("ada", Kind.PHOTOS, "good.jpg", b"good", blob=good)
    history.put("ada", Kind.PHOTOS, "gone.jpg", b"first", blob=first)
    lost = history.put("ada", Kind.PHOTOS, "gone.jpg", b"second", blob=gone)
    rotten = history.put("ada", Kind.PHOTOS, "rotten.jpg", b"rotten", blob=b"\4" * 32)
    for name in (good, gone, first, b"\4" * 32):
        history.vault.put(f"blobs/{name.hex()[:2]}/{name.hex()}", [bytes(300)])
    house.blobs.held = {good: b"good", first: b"first", b"\4" * 32: b"rotted"}
    report = house.run(house.plan()).report
    count = report.items[Kind.PHOTOS]
    assert (count.expected, count.exact, count.older, count.lost) == (3, 1, 1, 1)
    assert {(loss.name, *loss.revs) for loss in report.lost} == {("gone.jpg", lost.rev), ("rotten.jpg", rotten.rev)}
    assert report.exit_code == 1
    assert report.changes_expected == report.changes_recovered


def test_the_hook_gets_the_core_in_place(house: House) -> None:
    seen: list[int] = []

    def after(core: CoreStore) -> None:
        assert not house.disk.exists(f"{DATA}/scratch/recovery/core")
        seen.append(core.counts()["changes"])

    house.run(house.plan(), after=after)
    house.run(house.plan(), after=after)
    assert seen == [len(house.history.changes)] * 2


def test_a_core_that_derives_something_else_is_not_put_into_place(house: House) -> None:
    def crooked(folder: str) -> SqliteCore:
        core = house.core(folder)
        apply = core.apply

        def wrong(change: Any, frame: int, after_gap: bool = False) -> None:
            apply(change, frame, after_gap)
            if change.name == "3.vcf":
                core._db.execute("UPDATE item SET digest = ? WHERE name = '3.vcf'", (sha256(b"x").digest(),))

        core.apply = wrong  # type: ignore[method-assign]
        return core

    with pytest.raises(Damaged, match=r"3\.vcf is not at the version of the journal"):
        run_plan(
            house.plan(),
            house.history.reader(),
            make_core=crooked,
            blobs=house.blobs,
            disk=house.disk,
            data=DATA,
            clock=house.clock,
            claim=house.history.claim,
        )
    assert not house.disk.exists(f"{DATA}/core")


def test_a_log_that_says_otherwise_than_the_plan_is_not_put_into_place(house: House) -> None:
    plan = house.plan()
    with pytest.raises(Damaged, match=r"as planned|that the plan had"):
        house.run(plan, range(20, 25))
    assert not house.disk.exists(f"{DATA}/core")


def test_nothing_of_the_installation_is_special_but_its_name(house: House) -> None:
    house.run(house.plan())
    system = house.read(lambda core: core.account_by_id(SYSTEM))
    assert house.read(lambda core: core.secret(system.number, "token-key")) == b"k" * 32
    assert house.read(lambda core: core.head(system.number, Kind.CONTACTS)) == EMPTY_HEAD
