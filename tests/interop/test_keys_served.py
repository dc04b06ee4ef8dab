"""Keys changed under a running service, and a service without the identity."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Client, Service, command_line, environment
from tests.support.writers import CARD, card

PASSWORD = "correct horse"
BOOK = "/dav/ada/contacts/default/"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    yield service
    service.close()


def put(service: Service, name: str) -> int:
    client = service.client("ada", PASSWORD)
    return client.put(f"{BOOK}{name}.vcf", card(name, random.Random(name)), CARD).status


def keys(service: Service) -> dict[str, Any]:
    out = service.run("vault", "keys").out
    assert out is not None
    return out


def test_a_running_service_takes_new_keys_up_at_once(service: Service, tmp_path: Path) -> None:
    service.start()
    assert put(service, "one") == 201
    before, timeline = keys(service), service.status()["timeline"]
    service.run("vault", "keys", "rotate", "writer", "--yes")
    assert put(service, "two") == 201
    service.run("vault", "keys", "rotate", "identity", "--yes")
    assert put(service, "three") == 201
    after = keys(service)
    assert service.status()["timeline"] == timeline + 2
    assert [w["current"] for w in after["writers"]] == [True, False]
    assert after["writers"][0]["timelines"] == [timeline + 1, timeline + 2]
    assert after["recipients"] != before["recipients"]
    assert (after["identity"]["older"], after["identity"]["older_travel"]) == (1, True)
    service.run("vault", "keys", "move", "identity", str(tmp_path / "away"), "--yes")
    assert put(service, "four") == 201
    assert service.status()["keys"]["identity"] == "elsewhere"
    service.run("vault", "keys", "move", "root", str(tmp_path / "root"), "--yes")
    assert put(service, "five") == 201
    assert service.status()["keys"] | {"keeper": None} == {
        "installation": before["installation"],
        "identity": "elsewhere",
        "root": "elsewhere",
        "root_travels": False,
        "recipients": 1,
        "keeper": None,
    }
    assert service.stop() == 0
    plan = service.run("recover", "plan", "--identity", str(tmp_path / "away" / "recovery.txt")).out
    assert plan is not None and plan["items"]["contacts"]["exact"] == 5


def test_writes_go_on_while_keys_change(service: Service) -> None:
    """Whoever writes at that moment is answered 201, or 503 and may try again; nothing acknowledged is lost."""
    service.start()
    acknowledged: set[str] = set()
    statuses: set[int] = set()
    done = threading.Event()

    def write(client: Client) -> None:
        number = 0
        while not done.is_set():
            number += 1
            name = f"n{number}"
            status = client.put(f"{BOOK}{name}.vcf", card(name, random.Random(name)), CARD).status
            statuses.add(status)
            if status == 201:
                acknowledged.add(f"{name}.vcf")

    thread = threading.Thread(target=write, args=(service.client("ada", PASSWORD),))
    thread.start()
    for what in ("writer", "identity", "writer"):
        service.run("vault", "keys", "rotate", what, "--yes")
    done.set()
    thread.join()
    assert statuses <= {201, 503}
    assert set(service.client("ada", PASSWORD).listing(BOOK)[0]) == acknowledged
    assert service.stop() == 0
    plan = service.run("recover", "plan").out
    assert plan is not None and plan["items"]["contacts"]["exact"] == len(acknowledged)


def lose_the_end_of_the_core(service: Service, older: Path) -> None:
    """The core as it was before the last change, as a power loss between append and commit leaves it."""
    core = service.data / "core"
    for path in core.iterdir():
        path.unlink()
    for path in older.iterdir():
        (core / path.name).write_bytes(path.read_bytes())


def test_where_the_log_is_ahead_serve_waits_for_the_key(service: Service, tmp_path: Path) -> None:
    away, older = tmp_path / "away", tmp_path / "older"
    service.run("vault", "keys", "move", "identity", str(away), "--yes")
    service.start()
    assert put(service, "one") == 201
    assert service.stop() == 0
    older.mkdir()
    for path in (service.data / "core").iterdir():
        (older / path.name).write_bytes(path.read_bytes())
    service.start()
    assert put(service, "two") == 201
    assert service.stop() == 0
    lose_the_end_of_the_core(service, older)

    ended = subprocess.run(
        command_line(service.data, "serve", "--listen", f"127.0.0.1:{service.port}"),
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert b"can be opened only with the recovery key" in ended.stderr
    assert b"--identity FILE" in ended.stderr

    service.start("--identity", str(away / "recovery.txt"))
    assert set(service.client("ada", PASSWORD).listing(BOOK)[0]) == {"one.vcf", "two.vcf"}
    assert put(service, "three") == 201
    assert service.status()["keys"]["identity"] == "in memory until the service ends"
    assert service.stop() == 0
    assert not (service.data / "keys" / "identity.txt").exists(), "it was held in memory only"
    service.start()
    assert put(service, "four") == 201
    assert service.status()["keys"]["identity"] == "elsewhere"


def test_the_key_of_another_installation_is_refused(service: Service, tmp_path: Path) -> None:
    other = Service(tmp_path / "other")
    other.add_account("mallory", "x")
    ended = subprocess.run(
        command_line(service.data, "serve", "--identity", str(other.data / "keys" / "recovery.txt")),
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert b"of another installation" in ended.stderr
