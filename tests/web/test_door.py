"""While nobody can be known yet (I58): 503 for everything, and what everybody may see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from lxml import etree

from safehold.lab.world import SeededEntropy
from safehold.web.door import Door

STATUS = {"service": "recovering", "recovery": {"state": "identity", "sources": ["/secret/vault"]}, "vaults": []}


def ask(door: Door, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("192.0.2.1", 4711),
        "server": ("here", 80),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(door(scope, receive, send))
    found = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:])


@pytest.fixture
def door() -> Door:
    return Door(SeededEntropy(1), lambda: STATUS)


@pytest.mark.parametrize("method", ["PROPFIND", "REPORT", "PUT", "GET", "DELETE", "OPTIONS", "MKCOL", "WHATEVER"])
@pytest.mark.parametrize("path", ["/dav/", "/dav/ann/contacts/default/", "/.well-known/carddav", "/dav/nobody/x"])
def test_a_device_is_told_to_come_again_and_not_that_it_is_a_stranger(door: Door, method: str, path: str) -> None:
    status, headers, body = ask(door, method, path, {"authorization": "Basic eDp5"})
    assert status == 503
    assert headers["content-type"] == "application/xml; charset=utf-8"
    assert etree.fromstring(body).tag == "{DAV:}error"
    assert 1 <= int(headers["retry-after"]) <= 13
    assert "www-authenticate" not in headers


@pytest.mark.parametrize("method", ["PROPFIND", "OPTIONS", "REPORT"])
def test_a_device_that_was_given_the_bare_host_too(door: Door, method: str) -> None:
    status, headers, body = ask(door, method, "/")
    assert (status, headers["content-type"]) == (503, "application/xml; charset=utf-8")
    assert etree.fromstring(body).tag == "{DAV:}error"


@pytest.mark.parametrize("path", ["/", "/sign-in", "/devices", "/no/such/page"])
def test_a_person_gets_a_page(door: Door, path: str) -> None:
    status, headers, body = ask(door, "GET", path)
    assert status == 503
    assert headers["content-type"].startswith("text/html")
    assert b"Nothing has been deleted" in body
    assert "retry-after" in headers


@pytest.mark.parametrize("path", ["/api/v1/scores/chess", "/api/v1/openapi.json", "/metrics"])
def test_a_program_gets_a_problem(door: Door, path: str) -> None:
    status, headers, body = ask(door, "GET", path)
    assert status == 503
    assert json.loads(body)["status"] == 503
    assert "retry-after" in headers


def test_retries_are_spread(door: Door) -> None:
    assert len({ask(door, "PROPFIND", "/dav/")[1]["retry-after"] for _ in range(50)}) > 2


def test_health_and_status_are_for_everybody(door: Door) -> None:
    assert ask(door, "GET", "/healthz")[::2] == (200, b"recovering\n")
    assert ask(door, "HEAD", "/healthz")[::2] == (200, b"")
    status, headers, body = ask(door, "GET", "/readyz")
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    told = json.loads(body)
    assert (told["ready"], told["reads"], told["writes"], told["reason"]) == (False, False, False, "recovering")
    status, _, body = ask(door, "GET", "/status", {"accept": "application/json"})
    assert status == 200
    assert json.loads(body)["service"] == "recovering"
    assert b"secret" not in body
    status, headers, body = ask(door, "GET", "/status", {"accept": "text/html"})
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"A recovery is under way" in body


def test_once_it_is_open_it_passes_on(door: Door) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 207, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})

    door.open(behind)
    assert ask(door, "PROPFIND", "/dav/")[::2] == (207, b"inside")


@pytest.mark.parametrize("path", ["/status", "/status.json", "/status.atom"])
def test_the_status_is_there_in_each_form_and_language(door: Door, path: str) -> None:
    status, headers, body = ask(door, "GET", path, {"accept-language": "es", "host": "pim.example"})
    assert status == 200
    assert b"secret" not in body
    kinds = {"/status": "text/html", "/status.json": "application/json", "/status.atom": "application/atom+xml"}
    assert headers["content-type"].startswith(kinds[path])
    if path != "/status.json":
        assert "El servicio responde mientras recupera" in body.decode()
