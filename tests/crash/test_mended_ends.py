"""What shows that the end of a log may lack something stays in sight: through refused starts, kills and repairs (I93).

Each house has acknowledged a contact that the async vault never got, and has lost it in core and sync vault: nobody can
say what it was, and that something may be missing must be told.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.archiver.claiming import Mode
from safehold.config import VaultConfig
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.operator import begin_serving, recover_run
from safehold.disaster.vault_work import make_anew, mend_marks, reader_of, repair_vaults, runs_of, vaults_of
from safehold.formats.evidence import VERSION, Evidence, EvidenceName
from safehold.formats.segment import SegmentName, parse_name
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import Vault
from safehold.recovery.excuses import REPAIR
from safehold.recovery.mended_ends import FRAMES, mended_ends
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.unknown import UNREAD
from safehold.service.ahead import doubts_of
from safehold.vault.evidence import put_evidence
from tests.crash.test_core_behind import copy_of, put, put_back

NEAR, FAR = "/near", "/far"
HOUR = 3600 * 1_000_000


@pytest.fixture
def house() -> Iterator[House]:
    house = House.new("mended ends")
    put(house, "early")
    house.old = copy_of(house.disk)  # type: ignore[attr-defined]
    put(house, "middle")
    put(house, "more")
    house.engine.seal()
    house.scheduler.run_for(60)
    assert house.writer.shippers[0].unarchived_changes == 0
    house.sim_clock.advance(15)
    put(house, "later")
    put(house, "late")
    old = house.old  # type: ignore[attr-defined]
    house = house.kill()
    house.old = old  # type: ignore[attr-defined]
    house.load_keys()
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    yield house
    house.abandon()


def log_of(house: House, vault: str) -> dict[SegmentName, str]:
    """Path by name, in the order of the log."""
    found = {parse_name(path.removeprefix(f"{vault}/")): path for path in house.disk.files(f"{vault}/log")}
    return {name: found[name] for name in sorted(name for name in found if name is not None)}


def sync_vault(house: House) -> Vault:
    return next(house.vault(config) for config in house.vaults if config.mode == Mode.SYNC)


def garble(house: House, path: str) -> None:
    house.disk.overwrite(path, 0, b"\x5a" * house.disk.length(path))


def tear_near(house: House) -> None:
    """What far has too, of the end, and what it never got."""
    far = log_of(house, FAR)
    for name, path in log_of(house, NEAR).items():
        if name not in far or name == max(far) or house.disk.length(path) > house.disk.length(far[name]):
            garble(house, path)


def lose_core(house: House, how: str) -> None:
    if how == "gone":
        house.disk.lose(CORE_FOLDER)
    else:
        for path in house.disk.files(CORE_FOLDER):
            garble(house, path)


def tear_end(house: House, how: str) -> None:
    """Of the last frame that was acknowledged a part is not what it was."""
    path = list(log_of(house, NEAR).values())[-1]
    size = house.disk.length(path)
    if how == "cut":
        house.disk.cut(path, size - 20)
    else:
        house.disk.overwrite(path, size - 300, bytes(300) if how == "zeros" else b"\x5a" * 300)


def killed_again(house: House) -> House:
    """Before a core was in its place."""
    house = house.kill()
    house.disk.lose(CORE_FOLDER)
    house.load_keys()
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    return house


def plan_of(house: House) -> Plan:
    vaults = vaults_of(house, everything=True)
    return make_plan(reader_of(house), vaults, house.clock, sync=house.sync_names(), runs=runs_of(house))


def unknown(house: House) -> float:
    return recover_run(house)[0].report.unknown_seconds


@pytest.mark.parametrize("core", ["gone", "damaged"])
def test_a_refused_start_that_claimed_a_timeline_in_one_vault_hinders_no_recovery(house: House, core: str) -> None:
    lose_core(house, core)
    tear_near(house)
    house.disk.lose(f"{FAR}/FORMAT")
    with pytest.raises(OperatorError, match=r"can(not)? be read"):
        begin_serving(house)
    assert max(log_of(house, NEAR)).timeline > max(log_of(house, FAR)).timeline
    mend_marks(house)
    assert unknown(house) >= 1


@pytest.mark.parametrize("how", ["cut", "zeros", "noise"])
def test_the_claim_of_a_recovery_hides_no_torn_end(house: House, how: str) -> None:
    """It makes the frames before the end certain in a segment of their own; what is torn lies in the one before."""
    lose_core(house, "gone")
    tear_end(house, how)
    told = plan_of(house).report.unknown_seconds
    assert told >= 1
    begin_serving(house)
    assert len(log_of(house, NEAR)) > len(log_of(house, FAR)), "frames were made certain"
    house = killed_again(house)
    assert plan_of(house).report.unknown_seconds >= 1, "nor where it comes no further"
    begin_serving(house)
    house.boot()
    while house.recovery_turn():
        pass
    assert house.recovered is not None
    assert house.recovered.unknown_seconds >= 1
    assert len(doubts_of(house.reads)) == 1


def test_a_claim_after_a_repair_hides_it_no_better(house: House) -> None:
    lose_core(house, "damaged")
    tear_near(house)
    repair_vaults(house, serving=False, named=["near"])
    begin_serving(house)
    house = killed_again(house)
    assert plan_of(house).report.unknown_seconds >= 1


@pytest.mark.parametrize("core", ["gone", "damaged"])
def test_a_repair_of_all_leaves_a_torn_log_until_a_recovery_has_read_it(house: House, core: str) -> None:
    lose_core(house, core)
    tear_near(house)
    before = {path: house.disk.bytes_of(path) for path in log_of(house, NEAR).values()}
    assert repair_vaults(house, serving=False)["near"]
    assert {path: house.disk.bytes_of(path) for path in log_of(house, NEAR).values()} == before
    assert unknown(house) >= 1


@pytest.mark.parametrize("core", ["gone", "damaged"])
def test_a_repair_of_the_vault_by_its_name_is_told_by_evidence(house: House, core: str) -> None:
    lose_core(house, core)
    tear_near(house)
    repair_vaults(house, serving=False, named=["near"])
    assert not any(b"\x5a" * 400 in house.disk.bytes_of(path) for path in log_of(house, NEAR).values())
    assert unknown(house) >= 1


def test_a_start_whose_core_lacks_more_hears_of_a_repair(house: House) -> None:
    put_back(house.disk, house.old)  # type: ignore[attr-defined]
    tear_near(house)
    with pytest.raises(SafeholdError, match="near"):
        house.boot()
    house.abandon()
    house.load_keys()
    repair_vaults(house, serving=False, named=["near"])
    house.boot()
    assert house.writer.taken_in
    assert len(doubts_of(house.reads)) == 1


def test_a_start_whose_core_lacks_more_hears_of_a_vault_that_was_made_anew(house: House) -> None:
    put_back(house.disk, house.old)  # type: ignore[attr-defined]
    house.disk.lose(NEAR)
    make_anew(house, VaultConfig("near", "folder:/near", Mode.SYNC), aside=False)
    house.boot()
    assert house.writer.taken_in
    assert len(doubts_of(house.reads)) == 1


def test_a_recovery_hears_of_a_vault_that_was_made_anew_from_one_behind(house: House) -> None:
    lose_core(house, "damaged")
    house.disk.lose(NEAR)
    make_anew(house, VaultConfig("near", "folder:/near", Mode.SYNC), aside=False)
    assert unknown(house) >= 1


def test_a_repair_beside_a_core_that_has_all_hides_nothing(house: House) -> None:
    """The core that is there knows how the log ends, and stands for it later too."""
    house.disk.flip_bit(log_of(house, NEAR)[min(log_of(house, NEAR))], 600)
    repair_vaults(house, serving=False)
    house.boot()
    assert doubts_of(house.reads) == []
    house = house.kill()
    house.load_keys()
    lose_core(house, "gone")
    assert unknown(house) == 0


def test_a_core_knows_of_all_changes_though_a_seal_came_after_the_last(house: House) -> None:
    house.boot()
    put(house, "last")
    before = copy_of(house.disk)
    house.engine.seal()
    house.scheduler.run_for(60)
    house = house.kill()
    house.load_keys()
    put_back(house.disk, before)
    house.disk.flip_bit(max(log_of(house, NEAR).items())[1], 600)
    repair_vaults(house, serving=False)
    assert [path for path in house.disk.files(NEAR) if "/evidence/" in path]
    lose_core(house, "gone")
    assert unknown(house) == 0


def test_what_was_written_since_ends_it(house: House) -> None:
    lose_core(house, "damaged")
    tear_near(house)
    repair_vaults(house, serving=False, named=["near"])
    assert unknown(house) >= 1
    house.boot(mend=True)
    assert len(doubts_of(house.reads)) == 1, "from here on it is on record"
    house.engine.seal()
    house.close()
    house = house.kill()
    house.load_keys()
    lose_core(house, "gone")
    assert unknown(house) == 0
    house.boot()
    assert len(doubts_of(house.reads)) == 1


def test_of_a_cut_the_core_of_nobody_knew(house: House) -> None:
    """What `keeper cut` sets aside may have been acknowledged, for all that a vault can tell."""
    vault = next(house.vault(config) for config in house.vaults if config.mode == Mode.SYNC)
    opener, sealer = house.keyring.opener, house.keyring.sealer
    name = max(log_of(house, NEAR))
    facts = {"repaired": [{"object": str(name), "from": "cut"}], FRAMES: [9, 9]}
    put_evidence([vault], sealer, house.clock, Evidence(VERSION, REPAIR, 0, "near", LogPosition(1, 8, b""), b"", facts))
    at = LogPosition(1, 8, b"")
    assert mended_ends([vault], opener, at, at, None)
    assert not mended_ends([vault], opener, at, LogPosition(1, 9, b""), None), "the log has gone on since"


@pytest.mark.parametrize(
    ("core", "hours", "counts"),
    [(LogPosition(1, 5, b""), 1, True), (LogPosition(1, 5, b""), 25, False)]
    + [(EMPTY_LOG, hours, True) for hours in (1, 25, 24 * 365, -24 * 365)],
)
def test_clocks_end_only_what_a_core_mended_that_knew_of_the_timeline(
    house: House, core: LogPosition, hours: int, counts: bool
) -> None:
    """Else the clock may have been behind that of the frames, as after a power loss that it did not survive."""
    vault = sync_vault(house)
    opener, sealer = house.keyring.opener, house.keyring.sealer
    facts = {"repaired": [{"object": str(max(log_of(house, NEAR))), "from": "far"}]}
    put_evidence([vault], sealer, house.clock, Evidence(VERSION, REPAIR, 0, "near", core, b"", facts))
    at, last = house.clock.now(), LogPosition(1, 8, b"")
    assert bool(mended_ends([vault], opener, last, last, at + hours * HOUR)) == counts


def test_a_mend_is_told_though_the_clock_was_reset_by_the_power_loss(house: House) -> None:
    """It ran from the year before when the repair was made, and was set right before the recovery."""
    lose_core(house, "damaged")
    tear_near(house)
    year = 365 * 24 * 3600
    house.sim_clock.jump(-year)
    repair_vaults(house, serving=False, named=["near"])
    house.sim_clock.jump(year)
    lose_core(house, "gone")
    assert unknown(house) >= 1


def evidence_of_mend(house: House) -> str:
    """The path of what tells that near's log was mended, beside no core."""
    lose_core(house, "damaged")
    tear_near(house)
    repair_vaults(house, serving=False, named=["near"])
    lose_core(house, "gone")
    return max(path for path in house.disk.files(NEAR) if "/evidence/" in path)


def rot_evidence(house: House, path: str) -> None:
    for vault in (NEAR, FAR):
        if house.disk.exists(there := path.replace(NEAR, vault)):
            house.disk.flip_bit(there, 200)


def test_evidence_that_cannot_be_read_may_have_told_of_a_mend(house: House) -> None:
    rot_evidence(house, path := evidence_of_mend(house))
    name, last = path.removeprefix(f"{NEAR}/"), LogPosition(1, 8, b"")
    assert f"near: {name}: {UNREAD}" in mended_ends([sync_vault(house)], house.keyring.opener, last, last, None)
    assert unknown(house) >= 1


def test_a_repair_that_sets_it_aside_does_not_hide_it(house: House) -> None:
    rot_evidence(house, path := evidence_of_mend(house))
    repair_vaults(house, serving=False)
    assert not house.disk.exists(path), "else this shows nothing"
    assert unknown(house) >= 1


def test_a_stray_that_nobody_can_read_is_ended_by_what_is_written_and_by_a_repair(house: House) -> None:
    vault, opener, at = sync_vault(house), house.keyring.opener, house.clock.now()
    last = LogPosition(1, 8, b"")

    def told(hours: int) -> list[str]:
        return mended_ends([vault], opener, last, last, at + hours * HOUR)

    assert not told(0)
    vault.put(str(EvidenceName(at, "00000000")), [b"stray"])
    assert told(0) and not told(25)
    vault.put(str(EvidenceName(at + 24 * 3650 * HOUR, "00000000")), [b"stray"])
    assert told(25)
    repair_vaults(house, serving=False)
    assert told(0) and not told(25)


def test_evidence_of_another_installation_hides_nothing(house: House) -> None:
    """It holds, so that it is not one of ours that has rotted."""
    vault, other = sync_vault(house), House.new("other")
    name = put_evidence(
        [vault], other.keyring.sealer, house.clock, Evidence(VERSION, REPAIR, 0, "near", EMPTY_LOG, b"", {})
    ).name
    assert vault.size(name) is not None
    last = LogPosition(1, 8, b"")
    assert not mended_ends([vault], house.keyring.opener, last, last, None)
    other.abandon()
