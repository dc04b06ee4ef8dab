"""A run that is killed, or loses power, at any write point, ends as one never killed when it is run again (I27).

Killed: what was written stays, synced or not; nothing more runs. Power loss: what was not synced is gone, or torn in
one of the ways that SimDisk draws from a seed. Either way the second run must succeed without help, leave the core
that was there before aside and untouched, and put nothing into place that is not whole.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.recovery import build as build_module
from safehold.recovery.examine import State
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.sqlite.core import SqliteCore
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, card, state_of
from tests.support.thinning import every

DATA = "/data"


class Kill(BaseException):
    """SIGKILL: no code of ours runs after it."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "BATCH_CHANGES", 7)


@pytest.fixture
def history() -> History:
    history = History()
    history.family("ada", cards=4)
    lost = history.put("ada", Kind.CONTACTS, "lost.vcf", card("lost"))
    history.put("ada", Kind.CONTACTS, "kept.vcf", card("kept"))
    history.seal()
    history.lost = history.frame_of(lost)  # type: ignore[attr-defined]
    return history


def core_at(disk: SimDisk) -> Callable[[str], SqliteCore]:
    return lambda folder: SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)


def with_old_core() -> SimDisk:
    """A data folder whose core is garbage."""
    disk = SimDisk()
    disk.make_folders(f"{DATA}/core")
    file = disk.open(f"{DATA}/core/core.db", write=True, create=True)
    file.write_at(0, b"garbage " * 1000)
    file.sync()
    file.close()
    disk.sync_folder(f"{DATA}/core")
    return disk


def plan(history: History, disk: SimDisk) -> Plan:
    core, problem = None, ""
    if disk.exists(f"{DATA}/core/core.db"):
        try:
            core = core_at(disk)(f"{DATA}/core")
        except SafeholdError as error:
            problem = error.message
    try:
        return make_plan(
            history.reader({history.lost}),  # type: ignore[attr-defined]
            [history.vault],
            FakeClock(),
            sync=("near",),
            core=core,
            core_problem=problem,
        )
    finally:
        if core is not None:
            core.close()


def recover(history: History, disk: SimDisk) -> Result:
    made = plan(history, disk)
    return run_plan(
        made,
        history.reader({history.lost}),  # type: ignore[attr-defined]
        make_core=core_at(disk),
        blobs=FakeBlobs(),
        disk=disk,
        data=DATA,
        clock=FakeClock(),
        claim=history.claim,
        look=lambda: look([history.vault]),
    )


def outcome(disk: SimDisk) -> dict[str, object]:
    core = core_at(disk)(f"{DATA}/core")
    try:
        return state_of(core)
    finally:
        core.close()


def asides(disk: SimDisk) -> list[bytes]:
    found = []
    for entry in disk.list(f"{DATA}/scratch"):
        if entry.name.startswith("core-"):
            file = disk.open(f"{DATA}/scratch/{entry.name}/core.db")
            found.append(file.read_at(0, file.size()))
    return found


def points(history: History) -> int:
    """How many write points a run has."""
    disk = with_old_core()
    count = [0]

    def hook(operation: str, path: str) -> None:
        count[0] += 1

    made = plan(history, disk)
    assert made.core is State.DAMAGED
    disk.on_write_point = hook
    recover(history, disk)
    return count[0]


def killed_at(history: History, number: int, how: type[BaseException]) -> SimDisk:
    """The disk on which a run ended at this write point."""
    disk = with_old_core()
    left = [number]

    def hook(operation: str, path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise how

    disk.on_write_point = hook
    # SQLite may report an error of its own on the way out; what matters is that nothing was written after it.
    with pytest.raises(BaseException):  # noqa: B017
        recover(history, disk)
    disk.on_write_point = None
    assert left[0] < 0, "it ended before its end was ordered"
    return disk


@every(3)
def test_a_run_that_is_killed_anywhere_goes_on(history: History, step: int) -> None:
    undisturbed = with_old_core()
    first = recover(history, undisturbed).report
    expected = outcome(undisturbed)
    for number in range(0, points(history), step):
        disk = killed_at(history, number, Kill)
        report = recover(history, disk).report
        assert outcome(disk) == expected, f"killed at write point {number}"
        assert (report.items, report.lost, report.changes_recovered) == (
            first.items,
            first.lost,
            first.changes_recovered,
        ), f"killed at write point {number}"
        assert asides(disk) == [b"garbage " * 1000], f"killed at write point {number}"


@pytest.mark.parametrize("seed", [None, 1, 2])
@every(3)
def test_a_run_that_loses_power_anywhere_goes_on(history: History, seed: int | None, step: int) -> None:
    undisturbed = with_old_core()
    recover(history, undisturbed)
    expected = outcome(undisturbed)
    for number in range(0, points(history), step if seed is None else 3 * step):
        disk = killed_at(history, number, Crash).crash(seed)
        recover(history, disk)
        assert outcome(disk) == expected, f"power lost at write point {number}"


def test_a_run_that_was_killed_late_does_not_begin_anew(history: History) -> None:
    number = points(history) - 12
    disk = killed_at(history, number, Kill)
    writes = disk.operations["write"]
    recover(history, disk)
    assert disk.operations["write"] - writes < writes / 2
