"""`recover plan` and `recover run` with `--salvage`, on data folders of which little or nothing is left.

They end with 1 where no vault could vouch for what came back, whatever there is.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from safehold.assembly.recovering import refuse_less
from safehold.assembly.salvaged import archive_found
from safehold.assembly.site import Site
from safehold.cli.main import main
from safehold.config import load
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.recovery.examine import State
from safehold.recovery.plan import parse_plan
from safehold.recovery.sources import SalvageMark
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.store.sqlite.core import SqliteCore
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada

__all__ = ["run", "with_ada"]

Elsewhere = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def old(with_ada: Run, tmp_path: Path) -> Path:
    """What is left of an installation: its keys, and a copy of its near vault; it is made anew by nobody."""
    import_cards(with_ada, tmp_path / "cards", "one", "two")
    left = tmp_path / "left"
    shutil.copytree(tmp_path / "data" / "vaults" / "near", left / "near")
    shutil.copytree(tmp_path / "data" / "keys", left / "keys")
    shutil.rmtree(tmp_path / "data")
    return left


def contacts(run: Run) -> int:
    code, told = run("status")
    assert code == 0
    count = told["items"]["contacts"]
    assert isinstance(count, int)
    return count


def test_a_raw_source_is_salvaged_first_and_goes_into_new_vaults_with_new_keys(
    run: Run, old: Path, tmp_path: Path
) -> None:
    key = str(old / "keys" / "recovery.txt")
    assert run("salvage", str(old / "near"), "--out", str(tmp_path / "found"), "--identity", key)[0] < 2
    code, plan = run("recover", "plan", "--salvage", str(tmp_path / "found"))
    assert (code, plan["items"]["contacts"]["exact"], plan["verified"]) == (1, 2, False)
    assert plan["salvages"] == [str(tmp_path / "found")]
    assert [each["sources"] for each in plan["read_from"]] == [f"salvage: {tmp_path / 'found'}"]
    assert not (tmp_path / "data" / "keys").exists()
    code, told = run("recover", "run", str(tmp_path / "data" / "recovery-plan.json"))
    assert (code, told["items"]["contacts"]["exact"]) == (1, 2)
    assert any("new keys" in note for note in told["notes"])
    assert contacts(run) == 2
    assert all(vault["unarchived_changes"] == 0 for vault in run("status")[1]["vaults"])
    shutil.rmtree(tmp_path / "data" / "core")
    code, told = run("recover", "run", "--yes")
    assert (code, contacts(run)) == (0, 2)


def test_with_the_old_recovery_key_the_old_keys_come_back(run: Run, old: Path, tmp_path: Path) -> None:
    key = str(old / "keys" / "recovery.txt")
    code, told = run("recover", "run", "--yes", "--salvage", str(old / "near"), "--identity", key)
    assert (code, told["items"]["contacts"]["exact"]) == (1, 2)
    keys = tmp_path / "data" / "keys"
    assert (keys / "root.txt").read_bytes() == (old / "keys" / "root.txt").read_bytes()
    assert contacts(run) == 2
    code, told = run("account", "list")
    assert [(a["name"], a["password"]) for a in told["accounts"]] == [("ada", True)]


def test_vaults_that_may_only_be_away_are_not_made_in_their_place(run: Run, old: Path, tmp_path: Path) -> None:
    shutil.copytree(old / "keys", tmp_path / "data" / "keys")
    code, told = run("recover", "run", "--yes", "--salvage", str(old / "near"))
    assert code == 3
    assert "vault add" in told["hint"]
    assert run("vault", "add", "near")[0] == 0
    assert run("vault", "add", "far")[0] == 0
    assert run("recover", "run", "--yes", "--salvage", str(old / "near"))[0] == 1
    assert contacts(run) == 2


def test_a_plan_is_refused_once_its_salvage_has_more(run: Run, old: Path, tmp_path: Path) -> None:
    key, out = str(old / "keys" / "recovery.txt"), str(tmp_path / "found")
    assert run("salvage", str(old / "near"), "--out", out, "--identity", key)[0] < 2
    assert run("recover", "plan", "--salvage", out)[0] == 1
    more = tmp_path / "more"
    more.mkdir()
    (more / "x.vcf").write_bytes(b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:x\r\nFN:X\r\nN:X;;;;\r\nEND:VCARD\r\n")
    assert run("salvage", str(more), "--account", "ada", "--out", out)[0] < 2
    plan = str(tmp_path / "data" / "recovery-plan.json")
    code, told = run("recover", "run", plan)
    assert code == 3
    assert "has found more" in told["error"]
    assert run("recover", "run", plan, "--salvage", out)[0] == 2


def test_things_of_an_export_come_back_once_the_end_is_accepted(run: Run, old: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    (export / "x.vcf").write_bytes(b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:x\r\nFN:X\r\nN:X;;;;\r\nEND:VCARD\r\n")
    out, key = str(tmp_path / "found"), str(old / "keys" / "recovery.txt")
    assert run("salvage", str(old / "near"), "--out", out, "--identity", key)[0] < 2
    assert run("salvage", str(export), "--account", "ada", "--out", out)[0] < 2
    code, told = run("recover", "run", "--yes", "--salvage", out)
    assert (code, told["returned"]["put"], told["returned"]["aside_count"]) == (1, 0, 1)
    code, told = run("recover", "run", "--yes", "--salvage", out, "--accept-loss")
    assert (code, told["returned"]["put"], contacts(run)) == (0, 1, 3)
    code, told = run("recover", "run", "--yes", "--salvage", out)
    assert (code, told["returned"]["put"], told["returned"]["skipped"]) == (0, 0, 1)


def test_an_export_alone_says_how_it_comes_into_an_account(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, out = tmp_path / "export", str(tmp_path / "found")
    export.mkdir()
    (export / "x.vcf").write_bytes(b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:x\r\nFN:X\r\nN:X;;;;\r\nEND:VCARD\r\n")

    def said(*args: str) -> list[str]:
        assert main(["--data", str(tmp_path / "data"), "salvage", str(export), *args]) == 1
        return capsys.readouterr().out.splitlines()

    lines = said("--out", str(tmp_path / "nobodys"))
    assert "--account NAME" in lines[-1]
    lines = said("--out", out, "--account", "ada")
    assert "vault" not in "".join(lines) and "1 item of exports" in lines[2]
    assert lines[-1].startswith("next: safehold account add ada; then safehold recover run --yes --salvage")
    (told,) = (word.rstrip(",") for line in lines for word in line.split() if word.endswith(".txt,"))
    assert Path(told).exists()
    assert run("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0
    code, told_of = run("recover", "run", "--yes", "--salvage", out)
    assert (code, told_of["returned"]["put"], contacts(run)) == (0, 1, 1)


def test_where_something_is_lost_a_plan_names_salvage(
    run: Run, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = str(old / "keys" / "recovery.txt")

    def said(*args: str) -> str:
        main(["--data", str(tmp_path / "data"), "recover", "plan", "--identity", key, *args])
        return capsys.readouterr().out

    given = ("--vault", f"folder:{old / 'near'}")
    assert "safehold salvage" not in said(*given)
    segment = max((old / "near" / "log").rglob("*.seg"), key=lambda path: path.stat().st_size)
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2] + bytes(300) + whole[len(whole) // 2 + 300 :])
    text = said(*given)
    assert "lost: " in text and "safehold salvage SOURCE" in text


def test_where_only_the_register_refuses_nothing_is_said_of_the_vaults(with_ada: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with_ada("recover", "plan", "--output", str(tmp_path / "plan.json"))
    plan = replace(parse_plan((tmp_path / "plan.json").read_bytes()), erased=[b"e" * 16])
    core = SqliteCore.open(str(data / "core" / "core.db"))
    core.begin()
    core.hold(SYSTEM_ACCOUNT, Kind.IDENTITY, "revisions are missing")
    core.commit()
    core.close()
    site = Site(data, load(data / "safehold.toml"))
    (note,) = archive_found(site, plan)
    assert "register" in note and "revisions are missing" in note
    assert "vaults" not in note
    assert all(vault["unarchived_changes"] == 0 for vault in with_ada("status")[1]["vaults"])


def test_what_is_no_source_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("recover", "plan", "--salvage", str(tmp_path / "nothing"))[0] == 2
    other = tmp_path / "other"
    other.mkdir()
    sqlite3.connect(other / "salvage.db").execute("CREATE TABLE theirs (x)")
    code, told = run("recover", "plan", "--salvage", str(other))
    assert code == 3
    assert "not a salvage" in told["error"]


def test_a_core_that_has_more_than_a_plan_brings_back_is_not_replaced_by_less(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "one", "two")
    with_ada("recover", "plan", "--output", str(tmp_path / "plan.json"))
    plan = replace(parse_plan((tmp_path / "plan.json").read_bytes()), core=State.PARTIAL)
    core = SqliteCore.open(str(tmp_path / "data" / "core" / "core.db"), read_only=True)
    there = core.counts()["changes"]
    for recovered, salvages in ((there, []), (there - 1, [SalvageMark("/srv/found", "")])):
        refuse_less(replace(plan, report=replace(plan.report, changes_recovered=recovered), salvages=salvages), core)
    with pytest.raises(OperatorError, match=f"holds {there} changes, this plan brings back {there - 1}") as refused:
        refuse_less(replace(plan, report=replace(plan.report, changes_recovered=there - 1)), core)
    assert "--salvage" in refused.value.hint
    core.close()
