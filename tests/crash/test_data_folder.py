"""Data folders as accidents leave them: damage at the end of a log, a vault rolled back, starts that were killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.recovering import END_IN_DOUBT
from safehold.assembly.status import status_object
from safehold.config import Config
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.segment import HEADER_BYTES
from safehold.model.commands import AddAccount
from safehold.model.errors import OperatorError
from safehold.recovery.report import EXIT_LOSS


def add(installation: Installation, name: str) -> None:
    with installation.session() as session:
        session.execute(AddAccount(account=session.entropy.bytes(16), name=name, password="hash"))


def names(installation: Installation) -> list[str]:
    with installation.session() as session:
        return sorted(account.name for account in session.reads.accounts())


def spoil_last(data: Path, vault: str, count: int) -> None:
    """The last frames that hold anything, in a segment that was closed."""
    path = sorted(p for p in (data / "vaults" / vault / "log").glob("*/*") if p.stat().st_size > HEADER_BYTES)[-1]
    content = bytearray(path.read_bytes())
    frames = [f for f in scan_frames(bytes(content), HEADER_BYTES, len(content)) if isinstance(f, RawFrame)]
    for frame in frames[-count:]:
        content[frame.offset + len(frame.data) // 2] ^= 1
    path.write_bytes(content)


def opened(data: Path) -> Installation:
    return open_installation(data, Config(), make=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    installation = opened(tmp_path / "new")
    for name in ("ann", "bob"):
        add(installation, name)
    return tmp_path / "new"


def test_what_cannot_be_read_at_the_end_is_set_aside_by_a_recovery_alone(data: Path) -> None:
    for vault in ("near", "far"):
        spoil_last(data, vault, 2)
    shutil.rmtree(data / "core")
    installation = Installation(data, Config())
    plan = installation.recovery_plan()
    assert plan.holes
    result = installation.recover(plan)
    assert result.report.exit_code == EXIT_LOSS
    assert result.notes == [END_IN_DOUBT], "and nobody knows what came after"
    assert names(installation) == ["ann"]
    add(installation, "cid")
    shutil.rmtree(data / "core")
    again = installation.recovery_plan()
    assert again.holes == []
    installation.recover(again)
    assert names(installation) == ["ann", "cid"]


def test_a_start_never_sets_anything_aside(data: Path) -> None:
    installation = Installation(data, Config())
    before = installation.core_path.read_bytes()
    add(installation, "cid")
    installation.core_path.write_bytes(before)  # an old core, put back
    for vault in ("near", "far"):
        spoil_last(data, vault, 2)
    with pytest.raises(OperatorError, match="cannot be read from any vault"):
        add(installation, "dan")
    assert names(installation) == ["ann", "bob"]


def test_status_does_not_vouch_for_a_vault_that_was_rolled_back(data: Path) -> None:
    for vault in ("near", "far"):
        shutil.copytree(data / "vaults" / vault, data / f"old-{vault}")
    installation = Installation(data, Config())
    add(installation, "cid")
    assert [v["unarchived_changes"] for v in installation.vaults()] == [0, 0]
    for vault in ("near", "far"):
        shutil.rmtree(data / "vaults" / vault)
        (data / f"old-{vault}").rename(data / "vaults" / vault)
    with installation.lock(), pytest.raises(OperatorError, match="has lost"):
        writer = installation.make_writer()
        try:
            writer.open()
        finally:
            reads = installation.open_reads()
            vaults = status_object(installation, reads, writer)["vaults"]
            reads.close()
            writer.close()
    assert all(vault["unarchived_changes"] >= 10 for vault in vaults), "an account and its folders"


def test_what_killed_processes_left_half_written_is_swept(data: Path) -> None:
    installation = Installation(data, Config())
    left = [data / "scratch" / "body-00000003", data / "scratch" / "ab12-0.sealed"]
    left += [data / "vaults" / vault / "tmp" / "00000000" for vault in ("near", "far")]
    kept = [data / "scratch" / "core-20260101T000000Z" / "core.db", data / "vaults" / "near" / "FORMAT"]
    for path in [*left, kept[0]]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    with installation.lock():
        installation.sweep()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_start_that_was_killed_while_it_made_the_core_is_made_up_for(tmp_path: Path) -> None:
    data = tmp_path / "new"
    (data / "core").mkdir(parents=True)
    (data / "core" / "core.db").touch()
    add(opened(data), "ann")
    assert names(Installation(data, Config())) == ["ann"]
