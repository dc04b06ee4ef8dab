"""Recovery out of real vaults, encrypted and signed, with the damage that vaults suffer."""

from __future__ import annotations

from typing import Any

import pytest

from safehold.archiver.log import Log, LogVault, Mode
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.keys import Opener
from safehold.formats.segment import HEADER_BYTES
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.ports.core import EMPTY_LOG, UNARCHIVED
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, an_id, card, state_of
from tests.support.recovery_vaults import Vaults, keyring

DATA = "/data"


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.family("ada", "bob", cards=8)
    for n in range(30):
        history.put("bob", Kind.CONTACTS, f"more-{n}.vcf", card(f"more-{n}"))
    return history


@pytest.fixture
def vaults(history: History) -> Vaults:
    return Vaults(history)


class Recovery:
    """Plan and run out of some vaults into a data folder of its own."""

    def __init__(self, world: Vaults, *sources: MemoryVault) -> None:
        self.world = world
        self.sources = list(sources)
        self.disk = SimDisk()
        self.disk.make_folders(DATA)
        self.clock = FakeClock(world.clock.now() + 5_000_000)

    def core(self, folder: str = f"{DATA}/core") -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=self.disk, create=True)

    def plan(self, **options: Any) -> Plan:
        return make_plan(self.world.reader(*self.sources), self.sources, self.clock, sync=("near",), **options)

    def run(self, plan: Plan, **options: Any) -> Result:
        options.setdefault("claim", lambda: self.world.claim(*self.sources))
        return run_plan(
            plan,
            self.world.reader(*self.sources),
            make_core=self.core,
            blobs=FakeBlobs(),
            disk=self.disk,
            data=DATA,
            clock=self.clock,
            look=lambda: look(self.sources),
            **options,
        )

    def changes(self) -> list[Change]:
        core = self.core()
        try:
            return [change for _, _, change in core.changes(limit=10_000)]
        finally:
            core.close()


def test_everything_comes_back_from_both(history: History, vaults: Vaults) -> None:
    recovery = Recovery(vaults, vaults.near, vaults.far)
    result = recovery.run(recovery.plan())
    assert recovery.changes() == history.changes
    report = result.report
    assert (report.exit_code, report.unknown_seconds, report.timeline, report.verified) == (0, 0.0, 2, True)


def test_far_alone_gives_all_it_has_and_bounds_what_is_unknown(history: History, vaults: Vaults) -> None:
    """An async vault cannot say what came after its last frame; the caller's clock can."""
    recovery = Recovery(vaults, vaults.far)
    report = recovery.run(recovery.plan()).report
    assert recovery.changes() == history.changes
    assert report.exit_code == 0
    assert report.unknown_seconds == pytest.approx(5, abs=0.5)


def test_far_that_lags_is_older_by_whole_changes(history: History, vaults: Vaults) -> None:
    last = vaults.segments()[-1]
    del vaults.far.objects[last]
    recovery = Recovery(vaults, vaults.far)
    report = recovery.run(recovery.plan()).report
    recovered = recovery.changes()
    assert recovered == history.changes[: len(recovered)]
    assert 0 < len(recovered) < len(history.changes)
    assert report.unknown_seconds > 5


def test_a_hole_in_one_vault_is_healed_by_the_other(history: History, vaults: Vaults) -> None:
    vaults.spoil(history.changes[20], vaults.near)
    vaults.spoil(history.changes[40], vaults.far)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    plan = recovery.plan()
    assert plan.report.exit_code == 0
    assert any(problem.startswith("near: log/") for problem in plan.problems)
    assert recovery.run(plan).report.exit_code == 0
    assert recovery.changes() == history.changes


def test_a_hole_in_both_is_named_and_held(history: History, vaults: Vaults) -> None:
    change = next(c for c in history.changes if c.name == "more-5.vcf")
    vaults.spoil(change, vaults.near, vaults.far)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    plan = recovery.plan()
    result = recovery.run(plan)
    assert result.report.exit_code == 1
    (loss,) = result.report.lost
    assert (loss.account, loss.kind, loss.revs) == ("bob", Kind.CONTACTS, [change.rev])
    count = result.report.items[Kind.CONTACTS]
    assert (count.expected, count.lost) == (count.exact + count.older + count.lost, 1)
    core = recovery.core()
    row = core.account_by_id(an_id("bob"))
    assert row is not None
    assert core.held(row.number, Kind.CONTACTS) is not None
    assert core.held(row.number, Kind.NOTES) is None
    core.close()
    assert recovery.changes() == [c for c in history.changes if c is not change]


def test_an_old_core_heals_a_hole_in_both(history: History, vaults: Vaults) -> None:
    whole = Recovery(vaults, vaults.near)
    whole.run(whole.plan())
    lost = [c for c in history.changes if c.name in ("more-5.vcf", "more-6.vcf")]
    for change in lost:
        vaults.spoil(change, vaults.near, vaults.far)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    old = whole.core()
    plan = recovery.plan()
    result = recovery.run(plan, old=old)
    old.close()
    assert result.report.exit_code == 0
    assert sorted(c.hash for c in recovery.changes()) == sorted(c.hash for c in history.changes)


def test_what_only_an_old_core_has_is_to_be_archived_again(history: History, vaults: Vaults) -> None:
    whole = Recovery(vaults, vaults.near)
    whole.run(whole.plan())
    last = next(c for c in reversed(history.changes) if (c.account, c.kind) == (an_id("bob"), Kind.CONTACTS))
    vaults.spoil(last, vaults.near, vaults.far)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    old = whole.core()
    assert recovery.run(recovery.plan(), old=old).report.exit_code == 0
    old.close()
    core = recovery.core()
    assert [change for _, _, change in core.changes_after_frame(vaults.end.frame)] == [last]
    assert core.unarchived(UNARCHIVED - 1)[0] == 1, "the next writer gives it to the vaults"
    core.close()


def test_damage_at_the_very_end_is_told(history: History, vaults: Vaults) -> None:
    """The seal is gone with the frame before it: no stream misses a rev, and yet something was there."""
    name = vaults.segments()[-1]
    for vault in (vaults.near, vaults.far):
        frames = [f for f in scan_frames(vault.objects[name], HEADER_BYTES) if isinstance(f, RawFrame)]
        data = bytearray(vault.objects[name])
        for frame in frames[-2:]:
            data[frame.offset + len(frame.data) // 2] ^= 0x10
        vault.objects[name] = bytes(data)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    plan = recovery.plan()
    assert [(hole.first, hole.last) for hole in plan.holes] == [(vaults.end.frame - 1, vaults.end.frame)]
    assert plan.report.unknown_seconds > 0
    report = recovery.run(plan).report
    assert not report.verified
    assert report.exit_code == 1


def test_a_torn_tail_loses_no_change_before_it(history: History, vaults: Vaults) -> None:
    for vault in (vaults.near, vaults.far):
        vaults.cut(vault, 500)
    recovery = Recovery(vaults, vaults.near, vaults.far)
    plan = recovery.plan()
    report = recovery.run(plan).report
    assert recovery.changes() == history.changes, "the last frame was a seal"
    assert report.exit_code == 0
    assert report.unknown_seconds > 0, "what was cut off cannot be told from damage"


def test_another_key_reads_nothing(vaults: Vaults) -> None:
    stranger = keyring("theirs")
    for opener in (stranger.opener, Opener(stranger.opener.identities, vaults.keyring.installation)):
        reader = VaultLogReader([vaults.near], opener)
        with pytest.raises(OperatorError, match="nothing can be recovered from these vaults: near"):
            make_plan(reader, [vaults.near], FakeClock())


def test_the_vault_of_another_installation_adds_nothing(history: History, vaults: Vaults) -> None:
    other = Log.claim(
        [LogVault(MemoryVault("stranger"), Mode.SYNC)],
        keyring("theirs").sealer,
        keyring("theirs").opener,
        vaults.clock,
        core=EMPTY_LOG,
    )
    assert not list(other.tail())
    other.start()
    strange = [c for c in history.changes if c.account == an_id("ada")]
    other.write(other.prepare(strange))
    (stranger,) = other._sync
    assert isinstance(stranger, MemoryVault)
    recovery = Recovery(vaults, stranger, vaults.far)
    with pytest.raises(OperatorError, match="the log of another installation"):
        recovery.run(recovery.plan())
    report = recovery.run(recovery.plan(), claim=lambda: vaults.claim(vaults.far)).report
    assert report.exit_code == 0
    assert recovery.changes() == history.changes


def test_a_vault_that_is_gone_is_named(vaults: Vaults) -> None:
    vaults.near.down = True
    with pytest.raises(OperatorError, match="near: vault near is down"):
        Recovery(vaults, vaults.near).plan()


def test_a_writer_goes_on_after_a_recovery_and_everything_is_one_log(history: History, vaults: Vaults) -> None:
    recovery = Recovery(vaults, vaults.near, vaults.far)
    recovery.run(recovery.plan())
    core = recovery.core()
    position = core.log_position()
    core.close()
    log = Log.claim(
        [LogVault(vaults.near, Mode.SYNC), LogVault(vaults.far, Mode.ASYNC)],
        vaults.keyring.sealer,
        vaults.keyring.opener,
        vaults.clock,
        position,
    )
    assert not list(log.tail())
    log.start()
    assert log.timeline == 3
    frames = [entry for entry in vaults.reader(vaults.near).entries() if getattr(entry, "changes", ())]
    assert [c for frame in frames for c in getattr(frame, "changes", ())] == history.changes


def test_two_recoveries_out_of_the_same_vaults_are_equal(vaults: Vaults) -> None:
    first, second = Recovery(vaults, vaults.near), Recovery(vaults, vaults.far)
    for recovery in (first, second):
        recovery.run(recovery.plan())
    one, other = first.core(), second.core()
    assert state_of(one) == state_of(other)
    one.close()
    other.close()
