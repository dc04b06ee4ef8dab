"""The commands where the identities of an installation and of its accounts are in no vault any more."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safehold.cli.main import main

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*args: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main(["--data", str(tmp_path / "data"), "--json", *args])
        told = json.loads(capsys.readouterr().out)
        assert isinstance(told, dict)
        return code, told

    return command


@pytest.fixture
def lost(run: Run, tmp_path: Path) -> Run:
    """Two timelines of the log are gone from both vaults, and the core with them; ada's app password is left."""
    assert run("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0
    assert run("account", "app-password", "ada", "--label", "phone")[0] == 0
    lose_the_beginning(tmp_path / "data")
    return run


def lose_the_beginning(data: Path) -> None:
    for vault in ("near", "far"):
        for timeline in ("00000001", "00000002"):
            shutil.rmtree(data / "vaults" / vault / "log" / timeline)
    shutil.rmtree(data / "core")


def test_a_run_names_what_is_lost_and_accounts_get_their_names_back(lost: Run) -> None:
    code, told = lost("recover", "run", "--yes")
    assert code == 1
    assert any("THE INSTALLATION'S OWN KEY IS LOST" in note for note in told["notes"])
    (key,) = (loss for loss in told["lost"] if loss["name"] == "token-key")
    assert (key["account"], key["revs"]) == ("", [2])
    assert any("nobody can sign in to them" in note for note in told["notes"])
    incidents = {incident["what"]: incident for incident in lost("status")[1]["incidents"]}
    assert incidents["the installation was founded anew"]["runbook"] == "recover"
    assert "the end of the log is in doubt" in incidents
    ((account,),) = (lost("account", "list")[1]["accounts"],)
    assert (account["name"], account["password"], account["app_passwords"]) == ("", False, [])
    naming = ("account", "name", account["id"][:8], "ada", "--password-stdin")
    code, told = lost(*naming, stdin="another\n")
    assert (code, "--accept-loss" in told["hint"]) == (3, True), "its identity is held"

    assert lost("recover", "run", "--yes", "--accept-loss")[0] == 1
    code, told = lost("account", "add", "ada", "--password-stdin", stdin="secret\n")
    assert (code, f"account name {account['id']}" in told["hint"]) == (2, True)
    assert lost("history", account["id"])[0] == 0
    assert lost("account", "name", "0000", "ada", "--password-stdin", stdin="another\n")[0] == 2
    assert lost(*naming, stdin="another\n") == (0, {"account": "ada", "id": account["id"]})
    (account,) = lost("account", "list")[1]["accounts"]
    assert (account["name"], account["password"], account["app_passwords"]) == ("ada", True, ["phone"])
    assert lost("account", "add", "bob", "--password-stdin", stdin="secret\n")[0] == 0
    assert not [one for one in lost("status")[1]["incidents"] if one["what"] == "the end of the log is in doubt"]


def test_a_vault_that_is_away_is_waited_for(lost: Run, tmp_path: Path) -> None:
    far = tmp_path / "data" / "vaults" / "far"
    far.rename(tmp_path / "far")
    assert any("nothing can be served without its key" in note for note in lost("recover", "run", "--yes")[1]["notes"])
    code, told = lost("account", "add", "bob", "--password-stdin", stdin="secret\n")
    assert (code, "`safehold vault add NAME`" in told["hint"]) == (3, True)
    (tmp_path / "far").rename(far)
    assert any("THE INSTALLATION'S OWN KEY IS LOST" in problem for problem in lost("recover", "plan")[1]["problems"])
    assert lost("recover", "run", "--yes", "--accept-loss")[0] == 1
    assert lost("status")[0] == 0


def test_an_account_of_whose_identity_nobody_knows_can_be_named_too(run: Run, tmp_path: Path) -> None:
    assert run("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0
    (tmp_path / "cards").mkdir()
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:grace\r\nFN:grace\r\nN:;;;;\r\nEND:VCARD\r\n"
    (tmp_path / "cards" / "grace.vcf").write_text(card)
    assert run("import", "ada", str(tmp_path / "cards"))[1]["added"] == 1
    lose_the_beginning(tmp_path / "data")
    assert run("recover", "run", "--yes", "--accept-loss")[0] == 1
    (account,) = run("account", "list")[1]["accounts"]
    assert account["name"] == ""
    named = run("account", "name", account["id"], "ada", "--password-stdin", stdin="another\n")
    assert named == (0, {"account": "ada", "id": account["id"]})
    assert [one["name"] for one in run("history", "ada")[1]["history"] if one["kind"] == "contacts" and one["name"]]
    assert run("account", "passwd", "ada", "--password-stdin", stdin="a third\n")[0] == 0
