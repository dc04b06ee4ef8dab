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
