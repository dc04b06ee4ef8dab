"""A walk through a runbook: what is asked, run and checked, how it stops and goes on, and what goes on record."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from safehold import config as configuration
from safehold.assembly.site import Site
from safehold.cli.main import main
from safehold.proof.runbooks import runbook_named
from safehold.proof.runbooks.walk import NOT_NEEDED, RUN, Done, Walk, begin, failed_at
from safehold.vault.evidence import read_evidence


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk:
    """A person before a terminal, and a data folder."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self._patch = monkeypatch
        self._capsys = capsys

    def run(self, *args: str, typed: str | None = None) -> tuple[int, dict[str, Any], str]:
        """Exit code, the object and what was told; `typed` are lines, None is no terminal."""
        self._capsys.readouterr()
        with self._patch.context() as patched:
            patched.setattr("sys.stdin", io.StringIO() if typed is None else Terminal(typed.replace(" ", "\n") + "\n"))
            told = Terminal()
            if typed is not None:
                patched.setattr("sys.stderr", told)
            code = main(["--data", str(self.data), "runbook", "run", *args, "--json"])
        said = self._capsys.readouterr()
        return code, json.loads(said.out), told.getvalue() + said.err

    def evidence(self) -> list[dict[str, Any]]:
        """Facts of the walks on record, the oldest first."""
        site = Site(self.data, configuration.load(self.data / "safehold.toml"))
        vaults = [site.vault(each) for each in site.config.vaults]
        try:
            found = read_evidence(vaults, site.opener.installation, site.opener)
        finally:
            for vault in vaults:
                vault.close()
        return [one.evidence.facts for one in reversed(found) if one.evidence.kind == "runbook"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("walks") / "data"
    assert main(["--data", str(data), "account", "list"]) == 0
    return data


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    shutil.copytree(made, tmp_path / "data")
    return Desk(tmp_path / "data", monkeypatch, capsys)


def answers(said: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(step["step"], step["answer"], step["ok"]) for step in said["steps"]]


def test_nobody_is_asked_without_a_terminal(desk: Desk) -> None:
    code, said, _ = desk.run("add-vault")
    assert code == 2 and "no terminal" in said["error"] and "--yes" in said["hint"]
    code, said, _ = desk.run("add-vault", "--yes", "--set", "vault=third")
    assert code == 2 and "url" in said["hint"] and "vault" not in said["hint"]
    assert not (desk.data / "run" / "runbooks" / "add-vault.json").exists()


@pytest.mark.parametrize("given", ["no-such=1", "vault", "sync=perhaps"])
def test_what_nothing_asks_for_is_refused(desk: Desk, given: str) -> None:
    code, said, _ = desk.run("add-vault", "--yes", "--set", given)
    assert code == 2 and said["hint"]


def test_a_name_that_is_no_runbook_is_refused_and_one_is_proposed(desk: Desk) -> None:
    code, said, _ = desk.run("lost-vaults", "--yes")
    assert code == 2 and "lost-vault" in said["hint"]


def test_a_person_stops_goes_on_and_it_is_on_record(desk: Desk) -> None:
    """Stops at the first step; goes on: runs it, needs none of the cases, skips the scrub, and says yes."""
    code, said, told = desk.run("lost-vault", "--by", "ada", typed="t")
    assert (code, said["next"], said["steps"]) == (3, "look", [])
    assert "status" in told and "[r]un it" in told
    code, said, told = desk.run("lost-vault", "--resume", typed="r n n n s slow-disk y")
    assert code == 1, "one that was skipped is not good"
    assert answers(said) == [
        ("look", "run", True),
        ("bring-back", "not needed", True),
        ("instead", "not needed", True),
        ("anew", "not needed", True),
        ("scrubbed", "skipped", False),
        ("modes", "yes", True),
    ]
    assert said["steps"][0]["command"] == ["status"] and said["steps"][0]["exit"] == 0
    assert said["steps"][4]["why"] == "slow-disk" and not said["ok"] and said["by"] == "ada"
    assert not (desk.data / "run" / "runbooks" / "lost-vault.json").exists()
    (facts,) = desk.evidence()
    assert facts["steps"] == said["steps"] and facts["ok"] is False and facts["name"] == "lost-vault"


def test_a_check_that_fails_is_told_tried_again_and_kept(desk: Desk) -> None:
    """The vault is away: said to be back, it is not; tried again, it is."""
    far = desk.data / "vaults" / "far"
    away = desk.data / "away"
    shutil.move(far, away)
    code, said, told = desk.run("lost-vault", "--lang", "es", typed="e s far h p")
    assert code == 1 and said["next"] == "bring-back", told
    assert "no es lo esperado" in told and "missing" in told and "[h]echo" in told
    assert answers(said)[-1] == ("bring-back", "by hand", False)
    shutil.move(away, far)
    code, said, _ = desk.run("lost-vault", "--resume", typed="h n n e s")
    assert code == 0 and said["ok"]
    assert answers(said)[1:3] == [("bring-back", "by hand", False), ("bring-back", "by hand", True)]
    assert said["lang"] == "es", "a walk stays in its language"


def test_one_that_was_stopped_goes_on_record_when_another_begins(desk: Desk) -> None:
    assert desk.run("lost-vault", typed="r t")[0] == 3
    code, said, _ = desk.run("lost-vault", "--yes", "--by", "cron")
    assert code == 0 and answers(said)[-1] == ("modes", "not asked", True)
    first, second = desk.evidence()
    assert (first["ok"], first["ended"], len(first["steps"])) == (False, None, 1)
    assert second["ok"] is True and second["by"] == "cron"
    code, said, _ = desk.run("lost-vault", "--yes", "--resume")
    assert code == 2 and "was stopped" in said["error"]


def test_a_dangerous_step_is_asked_for_twice(desk: Desk) -> None:
    code, said, told = desk.run("damaged-vault", typed="r n r r n t")
    assert code == 3 and said["next"] == "mend"
    assert told.count("Run it?") == 1


def test_a_record_waits_for_a_vault(desk: Desk) -> None:
    vaults = desk.data / "vaults"
    shutil.move(vaults, desk.data / "away")
    code, said, _ = desk.run("lost-vault", typed="m y n n n s away y")
    assert code == 1 and said["evidence"] is None
    assert len(list((desk.data / "run" / "runbooks" / "ended").glob("*.json"))) == 1
    shutil.move(desk.data / "away", vaults)
    code, said, _ = desk.run("lost-vault", "--yes")
    assert code == 0 and said["evidence"]
    assert [facts["ok"] for facts in desk.evidence()] == [False, True]
    assert list((desk.data / "run" / "runbooks" / "ended").glob("*.json")) == []


def test_nothing_is_made_where_there_is_nothing(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    desk = Desk(tmp_path / "bare", monkeypatch, capsys)
    code, said, _ = desk.run("bare-machine", typed="y folder:here recovery.txt t")
    assert code == 3 and said["next"] == "look"
    assert sorted(path.name for path in desk.data.iterdir()) == ["run"]


def test_a_copy_that_was_not_made_is_not_taken_for_one(desk: Desk, tmp_path: Path) -> None:
    """Looking for an installation would make one, which the check would then find."""
    copy = tmp_path / "copy"
    code, said, _ = desk.run("move-host", "--yes", "--set", f"new={copy}")
    assert code == 3 and said["next"] == "copy" and not copy.exists()


def test_a_walk_reads_back_as_it_was_kept() -> None:
    book = runbook_named("lost-vault")
    walk = begin(book, "es", "ada", 7)
    walk.note(Done(step="look", answer=RUN, ok=False, seconds=1.5, command=["status"], exit=3), on=False)
    walk.note(Done(step="look", answer=RUN, ok=True, seconds=0.5, command=["status"], exit=0))
    walk.note(Done(step="bring-back", answer=NOT_NEEDED, ok=True, seconds=0.0))
    assert msgspec.json.decode(msgspec.json.encode(walk), type=Walk) == walk
    assert walk.at == 2 and walk.next(book) == book.steps[2]
    assert failed_at(walk) == [] and not walk.ok
    walk.ended = 8
    assert walk.ok
