"""`drill surprise` where nothing serves: what may be broken, how it is timed, and that all of it is put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from safehold.assembly.installation import Installation
from safehold.assembly.surprise import candidates, passes, run_surprise, strike, under_way
from safehold.config import ConfigError, load, parse
from safehold.model.errors import OperatorError
from safehold.proof.surprises import SURPRISES, VAULT_AWAY
from safehold.vault.evidence import read_evidence
from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]


def site_of(folder: Path) -> Installation:
    data = folder / "data"
    return Installation(data, load(data / "safehold.toml"))


@pytest.fixture
def site(with_ada: Run, tmp_path: Path) -> Installation:
    path = tmp_path / "data" / "safehold.toml"
    path.write_text(path.read_text().replace("surprise = []", f"surprise = [{', '.join(map(repr, SURPRISES))}]"))
    return site_of(tmp_path)


def test_nothing_is_broken_that_the_operator_does_not_name(with_ada: Run, tmp_path: Path) -> None:
    assert with_ada("drill", "surprise") == (0, {"executed": False, "candidates": []})
    code, told = with_ada("drill", "surprise", "--yes")
    assert code == 2
    assert "surprise" in told["hint"]
    with pytest.raises(ConfigError, match="needs a list"):
        parse('[drills]\nsurprise = ["erase everything"]\n')
    with pytest.raises(ConfigError):
        parse("[drills]\nsurprise = [[1]]\n")
    assert site_of(tmp_path).config.surprises == ()


def test_without_yes_it_only_says_what_might_be(with_ada: Run, site: Installation) -> None:
    code, told = with_ada("drill", "surprise")
    assert (code, told["executed"]) == (0, False)
    assert {one["what"]: bool(one["hindrance"]) for one in told["candidates"]} == {
        "async vault away": False,
        "service stopped": True,
        "core moved aside": True,
    }
    assert all(one["undone"] and one["runbook"] for one in told["candidates"])
    assert (site.data / "vaults" / "far").exists()


def test_people_are_timed_until_the_vault_is_there_again(site: Installation) -> None:
    far = site.data / "vaults" / "far"
    waits = []

    def people(seconds: float) -> None:
        waits.append(seconds)
        assert not far.exists()
        if len(waits) == 3:
            far.with_name("far.away").rename(far)

    told: list[str] = []
    found = run_surprise(site, by="ada", wait=people, tell=told.append)
    assert (found.what, found.vault, found.ok, found.undone) == (VAULT_AWAY, "far", True, "")
    assert len(waits) == 3
    assert "safehold runbook run lost-vault" in told[0]
    assert under_way(site) is None
    evidence = read_evidence([site.vault(c) for c in site.config.vaults], site.opener.installation, site.opener)
    facts = next(one.evidence.facts for one in evidence if one.name == found.evidence)
    assert (facts["ok"], facts["approved_by"], facts["runbook"]) == (True, "ada", "lost-vault")


def test_what_nobody_puts_right_is_put_back_at_the_end(site: Installation) -> None:
    found = run_surprise(site, limit_seconds=0.001, wait=lambda _: None)
    assert (found.ok, found.undone) == (False, "far was put back")
    assert (site.data / "vaults" / "far" / "FORMAT").exists()


def test_another_vault_in_its_place_is_left_there(site: Installation) -> None:
    far = site.data / "vaults" / "far"

    def people(_seconds: float) -> None:
        far.mkdir(exist_ok=True)

    found = run_surprise(site, limit_seconds=0.001, wait=people)
    assert "another far is in its place" in found.undone
    assert (far.with_name("far.away") / "FORMAT").exists()


def test_one_whose_process_was_killed_is_undone_by_the_next(site: Installation) -> None:
    struck = strike(site, VAULT_AWAY, "ada", lambda _: 0)
    assert not passes(site, struck)
    assert under_way(site) == struck
    assert {what for what, why in candidates(site).items() if not why} == set()
    told: list[str] = []
    run_surprise(site, limit_seconds=0.001, wait=lambda _: None, tell=told.append)
    assert "an earlier surprise (async vault away) was not ended: far was put back" in told[0]
    assert under_way(site) is None
    assert (site.data / "vaults" / "far" / "FORMAT").exists()


def test_what_is_in_the_way_is_not_moved_over(site: Installation) -> None:
    (site.data / "vaults" / "far.away").mkdir()
    with pytest.raises(OperatorError, match="in the way"):
        strike(site, VAULT_AWAY, "", lambda _: 0)
    assert (site.data / "vaults" / "far").exists()
    assert under_way(site) is None
