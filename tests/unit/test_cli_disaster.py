"""`safehold disaster`: one object on standard output, the contract's exit codes, and nothing of an installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safehold.cli.main import main
from safehold.disaster.figures import all_runs
from safehold.disaster.page import make_page
from safehold.disaster.scenario import MODULES, Scenario, all_scenarios, scenario_named
from safehold.disaster.scoring import Score

CONTRACT = {
    "scenario",
    "seed",
    "acknowledged",
    "exact",
    "older",
    "lost",
    "unknown",
    "silent",
    "resurrected",
    "devices_wiped",
    "detected_seconds",
    "rpo_seconds",
    "rto_seconds",
    "first_contact_seconds",
    "passed",
}


def test_one_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    code = main(["disaster", "run", "sidekick-2009", "--seed", "3", "--accounts", "1", "--json", "--data", str(data)])
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= CONTRACT
    assert found["exact"] + found["older"] + found["lost"] + found["unknown"] == found["acknowledged"] > 0
    assert (found["seed"], found["passed"], code) == (3, True, 0)
    assert not data.exists()


def test_the_story_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disaster", "run", "sidekick-2009", "--seed", "3", "--accounts", "1"]) == 0
    told = capsys.readouterr().out
    assert "a storage upgrade fails" in told
    assert "1 world passed" in told


def test_several_seeds_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    arguments = ["disaster", "run", "sidekick-2009", "--seeds", "2", "--accounts", "1", "--page", str(page), "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in found["runs"]] == [1, 2]
    assert found["disasters"][0]["acknowledged"] == sum(run["acknowledged"] for run in found["runs"])
    assert "| [sidekick-2009](#sidekick-2009) |" in page.read_text()


@pytest.mark.parametrize("arguments", [["run", "pompeii-79"], ["run", "all", "--seeds", "0"]])
def test_what_cannot_be_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disaster", *arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["hint"]


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disaster", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["disasters"]
    assert [each["scenario"] for each in found] == list(MODULES)
    for each in found:
        assert len(each["story"].split()) > 100, "a page of prose"
        assert each["scenario"] == "chaos" or all(url.startswith("http") for url in each["sources"])


def test_a_run_that_failed_is_told_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(scenario: Scenario, seed: int, _accounts: int = 2) -> tuple[Score, None]:
        return Score(scenario.name, seed, silent=1, why=["an item is gone, and nothing says so"]), None

    monkeypatch.setattr("safehold.disaster.scenario.run", run)
    assert main(["disaster", "run", "kde-2013", "--seed", "8", "--seeds", "2"]) == 1
    told = capsys.readouterr().out
    assert "safehold disaster run kde-2013 --seed 9" in told
    assert "an item is gone" in told


def test_the_page_of_what_has_failed_says_so() -> None:
    scenario = scenario_named("kde-2013")
    data = all_runs([(scenario, [Score("kde-2013", 1, acknowledged=3, exact=2, lost=1, silent=1)])], 2)
    page = make_page(data)
    assert "1 lost, **1 silent** of 3 items" in page
    assert "never" in page


def test_the_page_in_the_docs_has_a_row_for_every_disaster() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "disasters.md").read_text()
    for scenario in all_scenarios():
        assert f"## {scenario.name}\n" in page
        assert "**" not in next(line for line in page.splitlines() if line.startswith(f"| [{scenario.name}]"))


@pytest.mark.parametrize("wrong", [["--seed", "-1"], ["--page", "/nowhere/at/all.md"]])
def test_what_cannot_be_is_refused_before_any_work(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disaster", "run", "all", *wrong, "--json"]) == 2
    assert json.loads(capsys.readouterr().out).keys() == {"error", "hint"}
