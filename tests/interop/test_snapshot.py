"""`safehold snapshot` as people run it: beside a service, alone, scheduled, killed, with vaults away."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_serve import PASSWORD, put_cards
from tests.support.service import Service, command_line, environment
from tests.support.waiting import LONG_SECONDS, until


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    yield service
    service.close()


def objects(service: Service, vault: str) -> dict[str, bytes]:
    folder = service.data / "vaults" / vault
    return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "runs").rglob("*") if p.is_file()}


def generations(service: Service, vault: str) -> list[str]:
    return sorted(name for name in objects(service, vault) if name.endswith("generation"))


def snapshot(service: Service, *args: str, code: int = 0) -> dict[str, Any]:
    out = service.run("snapshot", *args, codes=(code,)).out
    assert out is not None
    return out


def test_beside_a_service_it_is_sealed_and_shipped(service: Service) -> None:
    service.start()
    put_cards(service, 0, 20)
    first = snapshot(service)
    assert (first["new"], first["full"], first["sealed"], first["away"]) == (True, True, True, [])
    put_cards(service, 100, 2)
    second = snapshot(service)
    assert (second["new"], second["full"], second["changes"]) == (True, False, 2)
    again = snapshot(service)
    assert (again["new"], again["generation"]) == (False, second["generation"])
    full = snapshot(service, "--full")
    assert full["full"] and full["generation"] > second["generation"]
    until(lambda: objects(service, "far") == objects(service, "near"))
    assert len(generations(service, "near")) == 3
    assert service.stop() == 0


def test_alone_it_seals_and_ships_by_itself(service: Service) -> None:
    first = snapshot(service, "--workers", "2")
    assert first["new"] and first["sealed"] and not first["away"]
    assert generations(service, "near") == generations(service, "far") != []
    log = {str(p) for p in (service.data / "vaults").rglob("*.seg")}
    assert not snapshot(service)["new"]
    assert {str(p) for p in (service.data / "vaults").rglob("*.seg")} == log  # nothing to seal claims no timeline


def test_an_async_vault_that_is_away_is_named_and_gets_it_later(service: Service) -> None:
    far = service.data / "vaults" / "far"
    far.rename(far.with_name("away"))
    told = snapshot(service, code=3)
    assert told["new"] and told["sealed"] and [one["vault"] for one in told["away"]] == ["far"]
    far.with_name("away").rename(far)
    told = snapshot(service)
    assert not told["new"] and told["away"] == []
    assert objects(service, "far") == objects(service, "near") != {}


def test_the_only_sync_vault_away_is_told(service: Service) -> None:
    near = service.data / "vaults" / "near"
    near.rename(near.with_name("away"))
    told = snapshot(service, code=3)
    assert "near" in told["error"] and told["hint"]


def test_one_of_two_sync_vaults_away_stops_no_other(service: Service) -> None:
    service.run("vault", "add", "second", "--mode", "sync")
    second = service.data / "vaults" / "second"
    second.rename(second.with_name("away"))
    told = snapshot(service, code=3)
    assert told["new"] and not told["sealed"] and "second" in [one["vault"] for one in told["away"]]
    second.with_name("away").rename(second)
    told = snapshot(service)
    assert told["sealed"] and told["copied"] > 0
    assert objects(service, "second") == objects(service, "near") != {}


def test_a_new_vault_gets_the_runs(service: Service) -> None:
    snapshot(service)
    service.run("vault", "add", "third")
    assert objects(service, "third") == objects(service, "near") != {}


def test_two_at_once_do_not_meet(service: Service) -> None:
    service.start()
    put_cards(service, 0, 20)
    lines = [
        subprocess.Popen(
            command_line(service.data, "--json", "snapshot"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        for _ in range(3)
    ]
    codes = []
    for line in lines:
        _, err = line.communicate(timeout=LONG_SECONDS)
        codes.append(line.returncode)
        assert line.returncode == 0 or b"another snapshot" in err or b"at the job snapshot" in err
    assert 0 in codes
    assert len(generations(service, "near")) == 1


@pytest.mark.parametrize("there", ["run/snapshot", "vaults/near/tmp/*", "vaults/near/runs/**/*.run", "generations"])
def test_a_command_that_is_killed_is_gone_on_with(service: Service, there: str) -> None:
    """With all its workers, once it has come so far; the service does not notice."""
    service.start()
    put_cards(service, 0, 40)
    line = command_line(service.data, "--json", "snapshot", "--workers", "3")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    until(lambda: process.poll() is not None or any(service.data.glob(there)))
    process.kill()
    process.wait()
    put_cards(service, 100, 3)

    def ended() -> bool:  # a worker that was at work holds the lock of snapshots until it is done
        return service.run("snapshot", codes=(0, 3)).code == 0

    until(ended)
    assert not snapshot(service)["new"]
    until(lambda: objects(service, "far") == objects(service, "near"))
    assert service.stop() == 0
    shutil.rmtree(service.data / "core")
    shutil.rmtree(service.data / "blobs")
    service.run("recover", "run", "--yes")
    service.start()
    assert len(service.client("ada", PASSWORD).listing("/dav/ada/contacts/default/")[0]) == 43


def often(service: Service) -> None:
    """Configured so that a snapshot is due at once."""
    config = service.data / "safehold.toml"
    config.write_text(config.read_text().replace('tail = "16 MiB"', 'tail = "1 KiB"'))


def test_a_service_takes_snapshots_by_itself(service: Service) -> None:
    often(service)
    service.start()
    until(lambda: generations(service, "near") != [])
    until(lambda: not service.status()["snapshots"]["running"])
    told = service.status()["snapshots"]
    assert told["generation"] == int(generations(service, "near")[0].split("/")[1])
    assert service.stop() == 0


def test_a_snapshot_that_cannot_be_taken_is_an_incident(service: Service) -> None:
    often(service)
    hold = os.open(service.data / "run" / "snapshot", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(hold, fcntl.LOCK_EX)
    service.start()

    def tried() -> bool:
        return any(one["what"] == "no snapshot" for one in service.status()["incidents"])

    until(tried)
    os.close(hold)
    assert service.stop() == 0
