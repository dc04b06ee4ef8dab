"""Every record is proved or refused by name: altered, foreign, renamed, taken away from one vault or from all."""

from __future__ import annotations

from pathlib import Path

import pytest

from safehold.assembly import Installation, open_installation
from safehold.assembly.evidence import check_site_evidence
from safehold.config import load
from safehold.formats.evidence import Evidence
from safehold.recovery.evidence_check import Checked, Flaw, Problem
from safehold.vault.evidence import Found, put_evidence
from tests.unit.test_cli_commands import Run, run, with_ada

__all__ = ["run", "with_ada"]


class World:
    """An installation whose vaults hold four records of its keeper's and one of its writer's."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.site: Installation = open_installation(data, load(data / "safehold.toml"), make=False)
        keys = self.site.keyring
        assert keys.keeper is not None
        vaults = [self.site.vault(config) for config in self.site.config.vaults]
        self.put: list[Found] = []
        for number in range(5):
            sealer = keys.sealer if number == 2 else keys.keeper
            value = Evidence(1, "drill", 0, "near", (0, 0, b""), b"", {"number": number})
            self.put.append(put_evidence(vaults, sealer, self.site.clock, value))

    def path(self, number: int, vault: str = "near") -> Path:
        return self.data / "vaults" / vault / self.put[number].name

    def paths(self, number: int) -> list[Path]:
        return [self.path(number, vault) for vault in ("near", "far")]

    def check(self) -> Checked:
        return check_site_evidence(self.site)


@pytest.fixture
def world(with_ada: Run, tmp_path: Path) -> World:
    return World(tmp_path / "data")


def told(flaws: list[Flaw]) -> set[tuple[str, str, Problem]]:
    return {(flaw.object, flaw.vault, flaw.problem) for flaw in flaws}


def test_what_is_whole_holds(world: World, run: Run) -> None:
    checked = world.check()
    assert [one.name for one in checked.found if one.evidence.kind == "drill"] == [one.name for one in world.put]
    assert checked.ok and not checked.flaws and not checked.branches
    assert all(checked.copies[one.name] == ["near", "far"] for one in world.put)
    code, said = run("evidence", "verify")
    assert (code, said["ok"], said["refused"]) == (0, True, [])
    code, said = run("evidence", "list", "--kind", "drill")
    assert (code, [one["name"] for one in said["records"]]) == (0, [one.name for one in world.put])
    assert [one["signed_by"] for one in said["records"]] == ["keeper", "keeper", "writer", "keeper", "keeper"]
    code, said = run("evidence", "show", world.put[3].name.removeprefix("evidence/").removesuffix(".ev"))
    assert (code, said["facts"]["number"], said["before"]) == (0, 3, world.put[1].digest.hex())
    assert run("evidence", "show", "no-such")[0] == 2
    assert run("evidence", "list", "--to", "2020-01-01")[1]["records"] == []
    assert run("evidence", "list", "--from", "yesterday")[0] == 2


@pytest.mark.parametrize("part", range(8))
def test_any_altered_bit_is_refused_and_named_and_the_other_copy_counts(world: World, run: Run, part: int) -> None:
    path = world.path(1)
    data = bytearray(path.read_bytes())
    data[part * (len(data) - 1) // 7] ^= 1 << part
    path.chmod(0o644)
    path.write_bytes(data)
    checked = world.check()
    name = world.put[1].name
    assert {(flaw.object, flaw.vault) for flaw in checked.flaws} == {(name, "near")}
    assert checked.copies[name] == ["far"] and not checked.ok
    code, said = run("evidence", "verify")
    assert (code, [one["object"] for one in said["refused"]]) == (1, [name])
    assert run("evidence", "show", name)[0] == 1


def test_one_that_is_altered_everywhere_does_not_count_and_is_named_once_a_vault(world: World) -> None:
    for path in world.paths(1):
        path.write_bytes(path.read_bytes()[:-1])
    name = world.put[1].name
    checked = world.check()
    assert name not in {one.name for one in checked.found}
    assert told(checked.flaws) == {(name, "near", Problem.TAMPERED), (name, "far", Problem.TAMPERED)}


def test_two_that_change_places_are_both_named(world: World) -> None:
    first, second = world.path(1), world.path(3)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    checked = world.check()
    assert told(checked.flaws) == {(world.put[n].name, "near", Problem.MISPLACED) for n in (1, 3)}
    assert world.put[3].name in next(flaw.why for flaw in checked.flaws if flaw.object == world.put[1].name)


def test_another_installations_record_is_foreign(world: World, tmp_path: Path) -> None:
    from safehold.cli.main import main

    assert main(["--data", str(tmp_path / "other"), "status"]) == 0
    other = World(tmp_path / "other")
    stray = world.data / "vaults" / "near" / other.put[0].name
    stray.write_bytes(other.path(0).read_bytes())
    (world.data / "vaults" / "far" / "evidence" / "minutes.txt").write_text("all went well")
    assert told(world.check().flaws) == {
        (other.put[0].name, "near", Problem.FOREIGN),
        ("evidence/minutes.txt", "far", Problem.FOREIGN),
    }


def test_one_that_was_removed_from_one_vault_or_from_all_is_named(world: World, run: Run) -> None:
    world.path(0).unlink()
    for path in world.paths(3):
        path.unlink()
    checked = world.check()
    digest = f"sha256:{world.put[3].digest.hex()}"
    assert told(checked.flaws) == {(world.put[0].name, "near", Problem.REMOVED), (digest, "", Problem.MISSING)}
    assert world.put[4].name in next(flaw.why for flaw in checked.flaws if flaw.object == digest)
    code, said = run("evidence", "verify")
    assert (code, {one["problem"] for one in said["refused"]}) == (1, {"removed", "missing"})


def test_with_a_vault_away_nothing_is_called_missing(world: World, run: Run) -> None:
    world.path(3).unlink()
    (world.data / "vaults" / "far").rename(world.data / "vaults" / "elsewhere")
    checked = world.check()
    assert (checked.flaws, checked.away) == ([], ["far"])
    assert [flaw.problem for flaw in checked.unsettled] == [Problem.MISSING]
    assert run("evidence", "verify")[0] == 3


def test_the_last_one_is_missed_by_what_remembers_it_and_a_told_loss_is_no_news(run: Run, world: World) -> None:
    assert run("scrub")[0] == 0
    last = world.check().found[-1]
    assert last.evidence.kind == "scrub"
    for vault in ("near", "far"):
        (world.data / "vaults" / vault / last.name).unlink()
    checked = world.check()
    assert told(checked.flaws) == {(last.name, "", Problem.MISSING)}
    run("scrub")
    run("scrub")
    checked = world.check()
    assert [(flaw.problem, bool(flaw.told)) for flaw in checked.flaws] == [(Problem.MISSING, True)]
    assert checked.ok and run("evidence", "verify")[0] == 0
