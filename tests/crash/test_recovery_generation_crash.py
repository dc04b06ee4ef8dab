"""A run from a generation that is killed, or loses power, at any write point ends as one never killed (I27).

As test_recovery_crash.py, for a core into which streams are entered whole: out of real vaults, one of whose run objects
has lost a frame for good, so that a stream is held.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.run import HEADER_BYTES
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.kinds import Kind
from safehold.recovery import build as build_module
from safehold.recovery import portions as portions_module
from safehold.recovery.plan import make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, card, state_of
from tests.support.recovery_vaults import Vaults
from tests.support.runs import Generations, framed
from tests.support.thinning import every

DATA = "/data"
#: Write points are many, and alike: every so many-th is tried.
STEP = 5


class Kill(BaseException):
    """SIGKILL: no code of ours runs after it."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "BATCH_CHANGES", 7)
    monkeypatch.setattr(build_module, "ROWS", 3)
    monkeypatch.setattr(portions_module, "PORTION_CHANGES", 6)


@pytest.fixture(scope="module")
def vaults() -> Vaults:
    """A generation in the middle, of whose contacts a frame of bodies is lost; the log before it is gone."""
    history = History()
    history.family("ada", "bob", cards=4)
    for n in range(8):
        history.put("ada", Kind.CONTACTS, f"more-{n}.vcf", card(f"more-{n}"))
    made = Vaults(history, segment_bytes=4096)
    entries = list(made.reader().entries())
    position = next(e.position for e in entries if e.position.frame == 44)  # type: ignore[union-attr]
    Generations([made.near], made.keyring.sealer).make(framed(entries), position)
    names = made.segments()
    for name, later in pairwise(names):
        if int(later[-16:-4]) <= 44:
            del made.near.objects[name]
    for name in [n for n in made.near.objects if n.endswith(".run")]:
        data = bytearray(made.near.objects[name])
        frames = [f for f in scan_frames(bytes(data), HEADER_BYTES) if isinstance(f, RawFrame)]
        bodies = [f for f in frames if f.header.type is FrameType.BODIES]
        data[bodies[len(bodies) // 2].offset + 100] ^= 1
        made.near.objects[name] = bytes(data)
    return made


def core_at(disk: SimDisk) -> Callable[[str], SqliteCore]:
    return lambda folder: SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)


def new_disk() -> SimDisk:
    disk = SimDisk()
    disk.make_folders(DATA)
    return disk


def recover(vaults: Vaults, near: MemoryVault, disk: SimDisk) -> Result:
    opener = vaults.keyring.opener
    core = core_at(disk)(f"{DATA}/core") if disk.exists(f"{DATA}/core/core.db") else None
    try:
        plan = make_plan(
            VaultLogReader([near], opener), [near], FakeClock(), core=core, runs=Runs([near], opener), sync=("near",)
        )
    finally:
        if core is not None:
            core.close()
    return run_plan(
        plan,
        VaultLogReader([near], opener),
        make_core=core_at(disk),
        blobs=FakeBlobs(),
        disk=disk,
        data=DATA,
        clock=FakeClock(),
        claim=lambda: vaults.claim(near),
        look=lambda: look([near]),
        runs=Runs([near], opener),
    )


def copied(vaults: Vaults) -> MemoryVault:
    near = MemoryVault("near")
    near.objects = dict(vaults.near.objects)
    return near


def outcome(disk: SimDisk) -> dict[str, object]:
    core = core_at(disk)(f"{DATA}/core")
    try:
        state = state_of(core)
        state["changes"] = sorted(state["changes"], key=lambda each: each[1].hash)  # type: ignore[call-overload]
        return state
    finally:
        core.close()


def points(vaults: Vaults) -> int:
    disk = new_disk()
    count = [0]

    def hook(operation: str, path: str) -> None:
        count[0] += 1

    disk.on_write_point = hook
    recover(vaults, copied(vaults), disk)
    return count[0]


def killed_at(vaults: Vaults, near: MemoryVault, number: int, how: type[BaseException]) -> SimDisk:
    disk = new_disk()
    left = [number]

    def hook(operation: str, path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise how

    disk.on_write_point = hook
    with pytest.raises(BaseException):  # noqa: B017
        recover(vaults, near, disk)
    disk.on_write_point = None
    assert left[0] < 0, "it ended before its end was ordered"
    return disk


def test_the_loss_is_there_to_be_told(vaults: Vaults) -> None:
    result = recover(vaults, copied(vaults), new_disk())
    assert any(loss.name for loss in result.report.lost)
    assert result.notes


@every(3)
def test_a_run_that_is_killed_anywhere_goes_on(vaults: Vaults, step: int) -> None:
    undisturbed = new_disk()
    first = recover(vaults, copied(vaults), undisturbed).report
    expected = outcome(undisturbed)
    for number in range(0, points(vaults), STEP * step):
        near = copied(vaults)
        disk = killed_at(vaults, near, number, Kill)
        report = recover(vaults, near, disk).report
        assert outcome(disk) == expected, f"killed at write point {number}"
        assert (report.items, report.lost, report.changes_recovered) == (
            first.items,
            first.lost,
            first.changes_recovered,
        ), f"killed at write point {number}"


@pytest.mark.parametrize("seed", [None, 1])
@every(3)
def test_a_run_that_loses_power_anywhere_goes_on(vaults: Vaults, seed: int | None, step: int) -> None:
    undisturbed = new_disk()
    recover(vaults, copied(vaults), undisturbed)
    expected = outcome(undisturbed)
    for number in range(0, points(vaults), 5 * STEP * step):
        near = copied(vaults)
        disk = killed_at(vaults, near, number, Crash).crash(seed)
        recover(vaults, near, disk)
        assert outcome(disk) == expected, f"power lost at write point {number}"
