"""App passwords on a running service: uses are on record, on page and command line; locking out is at once (I43)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.service import Client, Service

PASSWORD = "correct horse"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    service.start()
    yield service
    service.close()


def new_password(service: Service, label: str) -> str:
    out = service.run("account", "app-password", "ada", "--label", label).out
    assert out is not None
    return str(out["password"])


def use(client: Client, program: str) -> int:
    return client.ask("OPTIONS", "/dav/", headers={"User-Agent": program}).status


def known(service: Service) -> dict[str, Any]:
    """What the command line tells of the app passwords, by label."""
    out = service.run("account", "app-password", "ada", "--list").out
    assert out is not None
    return {entry["label"]: entry for entry in out["app_passwords"]}


def test_uses_survive_a_restart_and_show_everywhere(service: Service) -> None:
    password = new_password(service, "phone")
    new_password(service, "tablet")
    for program in ("DAVx5/4.5", "khal/0.13", "DAVx5/4.5"):
        assert use(service.client("ada", password), program) == 200
    assert service.stop() == 0, "what was noted is written before it ends"
    told = known(service)
    assert {p["program"] for p in told["phone"]["programs"]} == {"DAVx5/4.5", "khal/0.13"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["phone"]["last_used"])
    assert told["tablet"]["last_used"] is None
    changes = service.status()["changes"]

    service.start()
    assert use(service.client("ada", password), "DAVx5/4.5") == 200
    page = service.client("ada", PASSWORD).ask("GET", "/devices").body.decode()
    assert "DAVx5/4.5" in page and "khal/0.13" in page
    assert service.stop() == 0
    days = {p["last_used"] for p in known(service)["phone"]["programs"]}
    assert service.status()["changes"] == changes + (len(days) - 1), "a use that is on record is no change"


def test_uses_come_back_from_a_vault(service: Service) -> None:
    import shutil

    password = new_password(service, "phone")
    assert use(service.client("ada", password), "DAVx5/4.5") == 200
    assert service.stop() == 0
    before = known(service)
    shutil.rmtree(service.data / "core")
    service.run("recover", "run", "--yes")
    assert known(service) == before


def test_the_command_line_locks_a_device_out_at_once(service: Service) -> None:
    password = new_password(service, "phone")
    phone = service.client("ada", password)
    assert use(phone, "DAVx5/4.5") == 200
    service.run("account", "app-password", "ada", "--revoke", "phone")
    assert use(phone, "DAVx5/4.5") == 401, "although it was remembered, and its connection is open"
    assert known(service) == {}


def test_the_page_makes_a_password_and_locks_it_out(service: Service) -> None:
    browser = service.client("ada", PASSWORD)

    def send(path: str, page: bytes, **fields: str) -> Any:
        token = re.search(rb'name="token" value="([0-9a-f]+)"', page)
        assert token is not None
        body = urlencode({"token": token[1].decode(), **fields}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{service.port}"}
        return browser.ask("POST", path, body, headers)

    made = send("/devices", browser.ask("GET", "/devices").body, sort="davx5", label="phone")
    assert made.status == 200
    password = re.search(rb">([a-z2-7]{5}(?:-[a-z2-7]{5}){3})<", made.body)
    assert password is not None
    phone = service.client("ada", password[1].decode())
    assert use(phone, "DAVx5/4.5") == 200
    assert send("/devices/revoke", browser.ask("GET", "/devices").body, label="phone").status == 303
    assert use(phone, "DAVx5/4.5") == 401
    assert password[1].decode() not in service.log.read_text(), "the log does not hold it"
