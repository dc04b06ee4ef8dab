"""`drill run` and `drill surprise` beside a service that people use, and killed on the way."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_serve import PASSWORD, assert_there, put_cards
from tests.support.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    service.start()
    yield service
    service.close()


def contents(service: Service) -> dict[str, str]:
    folder = service.data / "vaults"
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "evidence" not in path.parts
    }


def drill(service: Service, *args: str, code: int = 0) -> dict[str, Any]:
    ran = service.run("drill", "run", *args, codes=(code,))
    assert ran.out is not None
    return ran.out


def test_beside_a_service_that_goes_on_taking_changes(service: Service) -> None:
    cards = put_cards(service, 0, 30)
    service.run("snapshot")
    timeline = service.status()["timeline"]
    more: dict[str, bytes] = {}
    writing = threading.Thread(target=lambda: more.update(put_cards(service, 100, 150)))
    writing.start()
    near = drill(service, "--vault", "near")
    writing.join()
    far = drill(service, "--vault", "far", "--throttle", "0.5", "--by", "ada")
    for told in (near, far):
        assert (told["ok"], told["deviations"], told["damaged"]) == (True, [], [])
        assert told["streams_compared"] == told["streams_equal"] > 0
    assert far["items"] == 180 >= near["items"] >= 30
    status = service.status()
    assert (status["timeline"], status["service"], status["incidents"]) == (timeline, "serving", [])
    last = {vault["name"]: vault["last_drill"] for vault in status["vaults"]}
    assert last["near"]["evidence"] == near["evidence"]
    assert last["far"]["items"] == 180
    assert_there(service, {**cards, **more})
    assert not [path for path in (service.data / "vaults").rglob("recovery/*") if path.is_file()]
    assert service.run("scrub").out["ok"]  # type: ignore[index]


def test_one_that_is_killed_leaves_nothing_but_its_folder_which_the_next_start_sweeps(service: Service) -> None:
    put_cards(service, 0, 30)
    service.run("snapshot")
    assert service.stop() == 0
    before = contents(service)
    for mark in ("verify", "compare"):
        assert service.interrupt(mark, "drill", "run", "--vault", "near")
        assert contents(service) == before
    assert (service.data / "scratch" / "drill").exists()
    service.start()
    assert not (service.data / "scratch" / "drill").exists()
    assert drill(service)["ok"]
    assert service.status()["timeline"] is not None


@pytest.mark.long
def test_damage_in_one_vault_is_an_incident_until_a_drill_of_it_is_sound(service: Service) -> None:
    put_cards(service, 0, 10)
    service.run("snapshot")
    runs = sorted((service.data / "vaults" / "near" / "runs").rglob("*.run"))
    whole = runs[-1].read_bytes()
    body = bytearray(whole)
    body[len(body) // 2] ^= 1
    runs[-1].write_bytes(body)
    told = drill(service, "--vault", "near", code=1)
    assert not told["ok"]
    assert [one["object"].rpartition("/")[2] for one in told["damaged"]] == [runs[-1].name]
    (incident,) = [one for one in service.status()["incidents"] if one["what"] == "drill failed"]
    assert (incident["key"], incident["runbook"]) == ("near", "drill-failed")
    runs[-1].write_bytes(whole)
    assert drill(service, "--vault", "near")["ok"]
    assert [one for one in service.status()["incidents"] if one["what"] == "drill failed"] == []


@pytest.mark.long
def test_people_who_find_the_service_stopped_and_its_core_gone(service: Service) -> None:
    cards = put_cards(service, 0, 10)
    assert drill(service, "--vault", "near")["ok"]
    path = service.data / "safehold.toml"
    path.write_text(path.read_text().replace("surprise = []", 'surprise = ["core moved aside"]'))
    ended: dict[str, Any] = {}

    def people() -> None:
        while service.wait(0.1) is None:
            pass
        while (service.data / "core").exists():
            service.wait(0.1)
        service.start()

    watching = threading.Thread(target=people)
    watching.start()
    ended = service.run("drill", "surprise", "--yes", "--by", "ada", "--minutes", "2").out or {}
    watching.join()
    assert (ended["what"], ended["ok"], ended["runbook"]) == ("core moved aside", True, "recover")
    assert "is in its place" in ended["undone"]
    assert_there(service, cards)
    shutil.rmtree(service.data / "scratch", ignore_errors=True)
