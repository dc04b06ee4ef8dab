"""Recovery out of real folders, in processes as a command has them: at a glance where it runs at once, else in full."""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.scrubbing import scrub_vaults
from safehold.assembly.snapshot import take_snapshot
from safehold.config import Config
from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.run import HEADER_BYTES
from safehold.formats.segment import claim_object
from safehold.model.commands import AddAccount, Body, PutItem
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.ports.log import LogFrame
from safehold.recovery import portions
from safehold.recovery.examine import State
from safehold.recovery.scrub import Level
from safehold.store.sqlite import schema
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.vfs import checksum_vfs
from safehold.vault import recoveries
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.runs import Runs
from tests.support.recovery_fakes import card, state_of


def put(installation: Installation, account: bytes, numbers: range) -> None:
    with installation.session() as session:
        for n in numbers:
            body = card(f"uid-{n}", "x" * 50)
            session.execute(
                PutItem(
                    account=account,
                    actor="import",
                    path="contacts/default",
                    name=f"uid-{n}.vcf",
                    media="text/vcard",
                    uid=f"uid-{n}",
                    body=Body(sha256(body).digest(), len(body), inline=body),
                )
            )


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two accounts with contacts in a generation, one of which has changed since."""
    monkeypatch.setattr(portions, "PORTION_CHANGES", 20)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    installation = open_installation(tmp_path / "data", Config(), make=True)
    ids = {name: (name * 16).encode()[:16] for name in ("ann", "bob")}
    for name, id_ in ids.items():
        with installation.session() as session:
            session.execute(AddAccount(account=id_, name=name, password="hash"))
        put(installation, id_, range(30))
    take_snapshot(installation, full=True, workers=1)
    put(installation, ids["bob"], range(30, 33))
    return tmp_path / "data"


def core_state(data: Path) -> dict[str, object]:
    core = SqliteCore.open(str(data / "core/core.db"), read_only=True)
    try:
        state = state_of(core)
        state["changes"] = sorted(c.hash for _, _, c in core.changes(limit=10_000))
        return state
    finally:
        core.close()


def bodies_frames(data: Path) -> list[tuple[Path, int]]:
    found = []
    for path in sorted((data / "vaults").glob("*/runs/*/*.run")):
        raw = path.read_bytes()
        for frame in scan_frames(raw, HEADER_BYTES, len(raw) - HEADER_BYTES):
            if isinstance(frame, RawFrame) and frame.header.type is FrameType.BODIES:
                found.append((path, frame.offset + len(frame.data) // 2))
    return found


def test_at_a_glance_in_worker_processes(data: Path) -> None:
    before = core_state(data)
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    plan = installation.recovery_plan(at_once=True)
    assert plan.glanced
    assert plan.generation > 0
    report = installation.recover(plan).report
    assert (report.exit_code, report.verified) == (0, True)
    assert report.changes_recovered == plan.report.changes_recovered
    assert core_state(data) == before


def test_in_full_in_worker_processes(data: Path) -> None:
    before = core_state(data)
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    plan = installation.recovery_plan()
    assert not plan.glanced
    report = installation.recover(plan).report
    assert report.items == plan.report.items
    assert report.exit_code == 0
    assert core_state(data) == before


@pytest.mark.parametrize("log", [True, False])
def test_damage_that_a_glance_does_not_see_is_found_and_read_in_full(data: Path, log: bool) -> None:
    before = core_state(data)
    for path, at in bodies_frames(data):
        raw = bytearray(path.read_bytes())
        raw[at] ^= 1
        path.write_bytes(raw)
    if not log:
        near = FolderVault("near", str(data / "vaults/near"), Installation(data, Config()).disk)
        generation = next(Runs([near], Installation(data, Config()).opener).generations())
        for folder in sorted((data / "vaults").glob("*/log/*")):
            if int(folder.name) < generation.position.timeline:
                shutil.rmtree(folder)
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    plan = installation.recovery_plan(at_once=True)
    if plan.glanced:
        assert plan.report.exit_code == 0
    report = installation.recover(plan).report
    if log:
        assert (report.exit_code, report.lost) == (0, [])
        assert core_state(data) == before
    else:
        assert report.exit_code == 1
        assert {loss.name for loss in report.lost if loss.kind is Kind.CONTACTS} >= {f"uid-{n}.vcf" for n in range(30)}


def test_vaults_know_that_a_recovery_is_open(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(data, Config())
    near = FolderVault("near", str(data / "vaults/near"), installation.disk)
    far = FolderVault("far", str(data / "vaults/far"), installation.disk)
    assert recoveries.open_recoveries(near) == []
    shutil.rmtree(data / "core")
    plan = installation.recovery_plan()

    def broken(_folder: str) -> SqliteCore:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("safehold.assembly.recovering.make_core", broken)
        with pytest.raises(KeyboardInterrupt):
            installation.recover(plan)
    assert recoveries.open_recoveries(near) == recoveries.open_recoveries(far) != []
    installation.recover(plan)
    assert recoveries.open_recoveries(near) == recoveries.open_recoveries(far) == []


def test_a_later_recovery_that_is_done_closes_those_before_it() -> None:
    vault = MemoryVault("v")
    for timeline in (3, 5):
        vault.put(recoveries.opened(timeline), (b"",))
    assert recoveries.open_recoveries(vault) == [3, 5]
    vault.put(recoveries.done(99), (b"",))
    assert recoveries.open_recoveries(vault) == [3, 5], "nobody has claimed that timeline"
    vault.put(claim_object(5), (b"",))
    vault.put(recoveries.done(5), (b"",))
    assert recoveries.open_recoveries(vault) == []
    vault.put(recoveries.opened(7), (b"",))
    assert recoveries.open_recoveries(vault) == [7]


def test_a_core_of_a_newer_release_is_told_as_such_and_left_alone(data: Path) -> None:
    path = data / "core/core.db"
    db = apsw.Connection(str(path), vfs=checksum_vfs())
    db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    db.close()
    before = path.read_bytes()
    installation = Installation(data, Config())
    plan = installation.recovery_plan()
    assert plan.core is State.NEWER
    assert f"schema version {schema.VERSION + 1}" in plan.core_reason
    with pytest.raises(OperatorError, match="left as it is") as raised:
        installation.recover(plan)
    assert "newer" in raised.value.hint
    assert path.read_bytes() == before


def test_a_stream_whose_sum_of_sizes_is_wrong_is_found(data: Path) -> None:
    path = data / "core/core.db"
    db = apsw.Connection(str(path), vfs=checksum_vfs())
    db.execute("UPDATE stream SET bytes = bytes + 1 WHERE kind = 1")
    db.close()
    plan = Installation(data, Config()).recovery_plan()
    assert plan.core is State.DAMAGED
    assert "reckons" in plan.core_reason


def damage(installation: Installation) -> list[object]:
    return [each for result in scrub_vaults(installation, level=Level.REPLAY) for each in result.damaged]


def lose_the_log(data: Path) -> None:
    for folder in (data / "vaults").glob("*/log"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_generation_stands_for_a_log_that_is_gone(data: Path, at_once: bool) -> None:
    """All that the generation has comes back; the log begins anew after it, and everything works on."""
    shutil.rmtree(data / "core")
    lose_the_log(data)
    installation = Installation(data, Config())
    plan = installation.recovery_plan(at_once=at_once)
    assert (plan.generation, plan.glanced) == (plan.end.frame, at_once)
    assert plan.report.unknown_seconds > 0
    assert any("nothing is left of the log" in problem for problem in plan.problems)
    result = installation.recover(plan)
    assert (result.report.exit_code, result.report.lost) == (0, [])
    assert result.report.timeline > plan.end.timeline
    ids = {name: (name * 16).encode()[:16] for name in ("ann", "bob")}
    put(installation, ids["ann"], range(30, 40))
    near = FolderVault("near", str(data / "vaults/near"), installation.disk)
    first = next(iter(VaultLogReader([near], installation.opener).entries(plan.end)))
    assert isinstance(first, LogFrame)
    assert (first.claim, first.position.frame) == (True, plan.end.frame + 1)
    assert damage(installation) == [], damage(installation)
    take_snapshot(installation, full=True, workers=1)
    put(installation, ids["bob"], range(40, 45))
    state = core_state(data)
    assert damage(installation) == [], damage(installation)
    shutil.rmtree(data / "core")
    again = Installation(data, Config())
    plan = again.recovery_plan()
    assert plan.holes == []
    assert again.recover(plan).report.exit_code == 0
    assert core_state(data) == state
