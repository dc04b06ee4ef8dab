"""Every version of the schema that ever was is kept as a dump, and led to the present one."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from safehold.model.errors import Damaged, OperatorError
from safehold.recovery.examine import State, inspect
from safehold.store.sqlite import schema
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.vfs import checksum_vfs
from tests.support import schema_dump

KEPT = sorted((Path(__file__).parents[1] / "vectors" / "schema").glob("v*.sql"), key=lambda p: int(p.stem[1:]))


def test_every_version_is_kept() -> None:
    assert [path.stem for path in KEPT] == [f"v{n + 1}" for n in range(schema.VERSION)]


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_a_kept_core_is_upgraded_whole(kept: Path, tmp_path: Path) -> None:
    """It says afterwards what a new core says that takes the same changes."""
    path = tmp_path / "core.db"
    schema_dump.load(path, kept.read_text(encoding="utf-8"))
    old = SqliteCore.open(str(path))
    new = SqliteCore.open(str(tmp_path / "new.db"), create=True)
    schema_dump.fill(new)
    assert old._db.pragma("user_version") == schema.VERSION
    assert schema_dump.dump(old._db) == schema_dump.dump(new._db)
    assert old._db.execute("PRAGMA integrity_check").get == "ok"
    assert old.changes() == new.changes()
    old.close()
    new.close()


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_recovery_reads_a_kept_core_as_it_is(kept: Path, tmp_path: Path) -> None:
    """Called damaged, a core that is whole would be replaced by what the vaults still have."""
    path = tmp_path / "core.db"
    schema_dump.load(path, kept.read_text(encoding="utf-8"))
    old = SqliteCore.open(str(path), read_only=True, older=True)
    new = SqliteCore.open(str(tmp_path / "new.db"), create=True)
    schema_dump.fill(new)
    found, wanted = (inspect(core, "", lambda *_: None) for core in (old, new))
    assert (found.state, found.reason, found.holds) == (wanted.state, wanted.reason, wanted.holds)
    assert found.state is State.WHOLE
    assert old._db.pragma("user_version") == int(kept.stem[1:])
    old.close()
    new.close()


def test_the_present_schema_is_the_last_one_kept(tmp_path: Path) -> None:
    """A change of the schema without a step of its own would go unnoticed else."""
    schema_dump.load(tmp_path / "kept.db", KEPT[-1].read_text(encoding="utf-8"))
    kept = apsw.Connection(str(tmp_path / "kept.db"), vfs=checksum_vfs())
    core = SqliteCore.open(str(tmp_path / "core.db"), create=True)
    assert schema_dump.schema(core._db) == schema_dump.schema(kept)
    core.close()
    kept.close()


def core_with(path: Path, pragma: str) -> str:
    SqliteCore.open(str(path), create=True).close()
    db = apsw.Connection(str(path), vfs=checksum_vfs())
    db.execute(f"PRAGMA {pragma}")
    db.close()
    return str(path)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_core_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = core_with(tmp_path / "core.db", f"user_version = {schema.VERSION + 1}")
    with pytest.raises(OperatorError, match=f"schema version {schema.VERSION + 1}"):
        SqliteCore.open(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = core_with(tmp_path / "core.db", "application_id = 7")
    with pytest.raises(OperatorError, match="not a Safehold core"):
        SqliteCore.open(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_no_core_is_made_unasked(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(OperatorError, match="there is no core"):
        SqliteCore.open(str(tmp_path / "core.db"), read_only=read_only)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_damage(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "core.db").write_bytes(b"no database at all\n" * 1000)
    with pytest.raises(Damaged):
        SqliteCore.open(str(tmp_path / "core.db"), read_only=read_only)
