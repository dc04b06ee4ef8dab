"""Parity on a real installation that has one vault: configured, covered, and mended from itself by `vault repair`."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from safehold.config import ConfigError, VaultConfig, check_vault, parse
from safehold.vault.parity import PARITY_SOURCE
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada

__all__ = ["run", "with_ada"]

ALONE = '[vaults.near]\nurl = "folder:vaults/near"\nmode = "sync"\nparity = "4+2"\n'


@pytest.fixture
def alone(with_ada: Run, tmp_path: Path) -> Path:
    """An installation that has lived, and has the vault near alone; near's folder."""
    import_cards(with_ada, tmp_path / "cards", "one", "two", "three")
    large = tmp_path / "large"
    large.mkdir()
    for number in range(6):
        (large / f"{number}.jpg").write_bytes(random.Random(number).randbytes(100_000))
    assert with_ada("import", "ada", str(large))[0] == 0
    assert with_ada("snapshot")[0] == 0
    shutil.rmtree(tmp_path / "data" / "vaults" / "far")
    (tmp_path / "data" / "safehold.toml").write_text(ALONE)
    return tmp_path / "data" / "vaults" / "near"


def test_a_vault_is_covered_damaged_and_mended_from_itself(alone: Path, with_ada: Run) -> None:
    code, told = with_ada("vault", "parity", "--all")
    assert code == 0
    (covered,) = told["vaults"]
    assert covered["groups_written"] > 0 and covered["objects_waiting"] == 0 and covered["parity"] == "4+2"
    assert with_ada("vault", "parity", "near")[1]["vaults"][0]["groups_written"] == 0
    assert with_ada("scrub")[0] == 0
    blobs = sorted(path for path in (alone / "blobs").rglob("*") if path.is_file())
    runs = sorted(path for path in (alone / "runs").rglob("*.run"))
    before = {path: path.read_bytes() for path in (*blobs, *runs)}
    blobs[0].unlink()
    for path in (blobs[1], runs[0]):
        data = bytearray(before[path])
        data[len(data) // 2] ^= 8
        path.write_bytes(data)
    shutil.rmtree(alone.parents[1] / "blobs")  # nor has the core them any more
    code, told = with_ada("scrub")
    hit = {str(path.relative_to(alone)) for path in (blobs[0], blobs[1], runs[0])}
    assert code == 1 and {d["object"] for d in told["vaults"][0]["damaged"]} == hit
    code, told = with_ada("vault", "repair", "near", "--yes")
    assert {d["object"]: d["repaired_from"] for d in told["vaults"][0]["damaged"]} == dict.fromkeys(hit, PARITY_SOURCE)
    assert {path: path.read_bytes() for path in before} == before
    assert with_ada("scrub")[0] == 0


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def test_a_recovery_from_a_damaged_vault_alone_reads_its_parity(alone: Path, with_ada: Run) -> None:
    assert with_ada("vault", "parity", "--all")[0] == 0
    blobs = sorted(path for path in (alone / "blobs").rglob("*") if path.is_file())
    segments = [path for path in sorted((alone / "log").rglob("*.seg")) if path.stat().st_size > 1000]
    hit = {blobs[0], blobs[1], segments[0], min(alone.rglob("*.run"))}
    names = {str(path.relative_to(alone)) for path in hit}
    blobs[0].unlink()
    for path in hit - {blobs[0]}:
        spoil(path)
    for folder in ("blobs", "core"):
        shutil.rmtree(alone.parents[1] / folder)
    code, plan = with_ada("recover", "plan")
    assert (code, plan["lost"], plan["verified"], plan["unknown_seconds"]) == (0, [], True, 0.0), plan
    given = {one["object"] for one in plan["by_parity"]}
    # What a plan reads: the runs, and of bodies only whether they are there.
    assert given == {name for name in names if name.endswith(".run")}
    assert {one["vault"] for one in plan["by_parity"]} == {"near"}
    assert "came from its own parity" in Path(plan["plan"]).read_text()
    before = {path: path.read_bytes() for path in alone.rglob("*.run")}
    code, report = with_ada("recover", "run", plan["plan"])
    assert (code, report["lost"], report["items"]["photos"]["exact"]) == (0, [], 6), report
    assert {one["object"] for one in report["by_parity"]} == {name for name in names if not name.startswith("log/")}
    assert all(path.read_bytes() == data for path, data in before.items()), "nothing is mended by the way"
    assert with_ada("vault", "repair", "near", "--yes")[0] == 0
    code, plan = with_ada("recover", "plan")
    assert (code, plan["by_parity"]) == (0, [])


def test_a_recovery_from_the_log_alone_reads_its_parity(with_ada: Run, tmp_path: Path) -> None:
    for number in range(3):
        import_cards(with_ada, tmp_path / f"{number}", *(f"{number}-{n}" for n in range(20)))
    near = tmp_path / "data" / "vaults" / "near"
    shutil.rmtree(near.parent / "far")
    (tmp_path / "data" / "safehold.toml").write_text(ALONE)
    assert with_ada("vault", "parity", "--all")[0] == 0
    hit = max((near / "log").rglob("*.seg"), key=lambda path: path.stat().st_size)
    spoil(hit)
    shutil.rmtree(tmp_path / "data" / "core")
    code, plan = with_ada("recover", "plan")
    assert (code, plan["lost"], plan["items"]["contacts"]["exact"]) == (0, [], 60), plan
    assert plan["by_parity"] == [{"vault": "near", "object": str(hit.relative_to(near))}]
    code, report = with_ada("recover", "run", "--yes")
    assert (code, report["lost"], report["by_parity"]) == (0, [], plan["by_parity"])


def test_what_is_beyond_the_strength_of_parity_is_lost_and_named(alone: Path, with_ada: Run) -> None:
    assert with_ada("vault", "parity", "--all")[0] == 0
    for path in [path for path in (alone / "blobs").rglob("*") if path.is_file()]:
        path.unlink()
    for folder in ("blobs", "core"):
        shutil.rmtree(alone.parents[1] / folder)
    assert with_ada("recover", "run", "--yes")[0] == 1
    code, report = with_ada("recover", "report")
    assert code == 1 and report["items"]["photos"]["lost"] == 6


def test_status_says_what_waits_for_parity_and_since_when(alone: Path, with_ada: Run, tmp_path: Path) -> None:
    def parity() -> dict[str, object]:
        (vault,) = with_ada("status")[1]["vaults"]
        found = vault["parity"]
        assert isinstance(found, dict)
        return found

    assert parity() == {
        "parity": "4+2",
        "at": None,
        "waiting": None,
        "waiting_bytes": None,
        "waiting_since": None,
        "too_long": None,
    }
    (covered,) = with_ada("vault", "parity")[1]["vaults"]
    first = parity()
    assert first["waiting"] == covered["objects_waiting"] > 0 and first["waiting_bytes"] == covered["bytes_waiting"]
    assert first["waiting_since"] == first["at"]
    import_cards(with_ada, tmp_path / "later", "seven")
    with_ada("vault", "parity")
    again = parity()
    assert again["waiting_since"] == first["waiting_since"] and again["at"] != first["at"]
    assert alone.exists() and with_ada("vault", "parity", "--all")[0] == 0
    assert (parity()["waiting"], parity()["waiting_since"]) == (0, None)


def test_who_asks_for_none_has_none(with_ada: Run, tmp_path: Path) -> None:
    assert with_ada("vault", "parity") == (0, {"vaults": []})
    assert with_ada("vault", "parity", "near")[0] == 2
    assert not (tmp_path / "data" / "vaults" / "near" / "parity").exists()


def test_what_may_be_configured() -> None:
    assert parse(ALONE).vaults == (VaultConfig("near", "folder:vaults/near", "sync", parity=(4, 2)),)
    assert check_vault("near", "folder:x", "sync").parity is None
    for wrong in ("10", "10+0", "0+2", "254+2", "10+2+1", "-1+2", "ten+2", "10 + 2"):
        with pytest.raises(ConfigError, match="parity"):
            check_vault("near", "folder:x", "sync", wrong)
    with pytest.raises(ConfigError, match="folder"):
        check_vault("near", "keeper:/x", "sync", "10+2")
