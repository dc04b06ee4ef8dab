"""`safehold keeper` and `safehold vault retain` as they are typed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.installation import Installation
from safehold.assembly.snapshot import take_snapshot
from safehold.config import DEFAULT_TEXT, FILE_NAME, load, write
from safehold.vault.keyring import IDENTITY, KEEPER, RECIPIENTS
from tests.support.waiting import until

PATIENCE_SECONDS = 300.0


def safehold(*words: str, exit: int = 0) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "safehold", *words, "--json"], capture_output=True, check=False)
    assert done.returncode == exit, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    write(data / FILE_NAME, DEFAULT_TEXT)
    site = Installation(data, load(data / FILE_NAME))
    site.make()
    take_snapshot(site, full=False, workers=1)
    away = tmp_path / "away"
    away.mkdir()
    for name in (IDENTITY, RECIPIENTS, KEEPER):
        shutil.copy(data / "keys" / name, away / name)
    return data


def test_retention_prints_a_plan_and_says_why_nothing_goes(data: Path) -> None:
    planned = safehold("vault", "retain", "near", "--data", str(data))
    assert planned["done"] is False
    assert [vault["vault"] for vault in planned["vaults"]] == ["near"]
    assert "fewer than two generations" in planned["vaults"][0]["blocked"]
    assert safehold("vault", "retain", "--yes", "--data", str(data))["done"] is True
    assert safehold("vault", "retain", "nowhere", "--data", str(data), exit=2)["error"]


def test_a_keeper_is_made_and_does_its_work_once(data: Path, tmp_path: Path) -> None:
    keeper = str(tmp_path / "keeper")
    near = f"folder:{data / 'vaults/near'}"
    words = ("keeper", "init", keeper, "--keys", str(tmp_path / "away"), "--pull", near, "--data", str(data))
    made = safehold(*words)
    assert made == safehold(*words), "harmless where it is there"
    assert safehold("keeper", "status", "--data", keeper)["at"] is None
    done = safehold("keeper", "run", "--once", "--data", keeper)
    assert done["vaults"][0]["attested"] > 0
    assert safehold("keeper", "status", "--data", keeper) == done
    assert safehold("keeper", "run", "--once", "--data", str(tmp_path / "nothing"), exit=2)["error"]
    first = next(path for path in (tmp_path / "keeper/vault/log/00000001").iterdir())
    data_in = bytearray(first.read_bytes())
    data_in[len(data_in) // 2] ^= 1
    first.write_bytes(data_in)
    assert safehold("keeper", "run", "--once", "--data", keeper, exit=1)["vaults"][0]["damaged"] == 1


def test_a_keeper_serves_its_vault_pulls_and_ends_when_told(data: Path, tmp_path: Path) -> None:
    keeper = tmp_path / "keeper"
    near = f"folder:{data / 'vaults/near'}"
    socket = str(tmp_path / "kept.sock")
    safehold("keeper", "init", str(keeper), "--keys", str(tmp_path / "away"), "--pull", near, "--socket", socket)
    line = [sys.executable, "-m", "safehold", "keeper", "run", "--data", str(keeper)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def at_work() -> bool:
            assert process.poll() is None
            return (keeper / "run/keeper.json").exists() and os.path.exists(socket)

        until(at_work, PATIENCE_SECONDS)
        assert any((keeper / "vault/runs").iterdir())
        busy = safehold("keeper", "run", "--once", "--data", str(keeper), exit=3)
        assert "another keeper" in busy["error"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_keeper_mends_its_vault_from_the_one_it_copies(data: Path, tmp_path: Path) -> None:
    keeper = tmp_path / "keeper"
    near = f"folder:{data / 'vaults/near'}"
    words = ("keeper", "init", str(keeper), "--keys", str(tmp_path / "away"), "--pull", near, "--data", str(data))
    safehold(*words)
    assert safehold("keeper", "run", "--once", "--data", str(keeper))["vaults"][0]["damaged"] == 0
    run = next((keeper / "vault" / "runs").rglob("*.run"))
    whole = run.read_bytes()
    run.write_bytes(whole[:-1])
    told = safehold("scrub", "--data", str(keeper), exit=1)
    assert [each["problem"] for each in told["vaults"][0]["damaged"]] == ["corrupt"]
    told = safehold("vault", "repair", "--yes", "--data", str(keeper))
    assert [each["repaired_from"] for each in told["vaults"][0]["damaged"]] == ["source-0"]
    assert run.read_bytes() == whole
    assert safehold("scrub", "--data", str(keeper))["ok"]
    told = safehold("status", "--data", str(keeper), exit=2)
    assert "keeper status" in told["hint"], "nothing tells a keeper to recover a core that it never had"
