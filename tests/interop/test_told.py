"""What people are told, by a real service that loses its core and a real mail server: file, letters, report, page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.smtp import MailServer

PASSWORD = "correct horse"
WAIT_SECONDS = 300.0


@pytest.fixture
def server() -> Iterator[MailServer]:
    found = MailServer()
    found.login = ("safehold", "geheim")
    yield found
    found.close()


@pytest.fixture
def service(tmp_path: Path, server: MailServer) -> Iterator[Service]:
    """One that publishes and writes letters, with two people, of whom one has left an address."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "password").write_text("geheim\n")
    (data / "safehold.toml").write_text(
        f'[status]\nfile = "public"\n[mail]\nhost = "127.0.0.1"\nport = {server.port}\ntls = "none"\n'
        'user = "safehold"\n'
        'password_file = "password"\nfrom = "safehold@example.org"\noperator = "root@example.org"\n'
    )
    found = Service(data)
    for name in ("ada", "bob"):
        found.add_account(name, PASSWORD)
    found.run("account", "mail", "ada", "ada@example.org", "--lang", "es")
    yield found
    found.close()


def wait_for(what: Callable[[], object], service: Service) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < until, service.tail()
        time.sleep(0.05)


def published(service: Service, name: str = "index.html") -> str:
    path = service.data / "public" / name
    return path.read_text() if path.exists() else ""


def test_what_is_announced_is_published_and_vaulted(service: Service) -> None:
    service.start()
    out = service.run("status", "announce", "We move <tonight>.", "--until", "2h").out
    assert out is not None and out["vaulted"] is True
    wait_for(lambda: "We move &lt;tonight&gt;." in published(service), service)
    assert "We move &lt;tonight&gt;." in published(service, "index.es.html")
    assert service.stop() == 0
    assert json.loads(published(service, "status.json"))["service"] == "stopped"
    shutil.rmtree(service.data / "core")
    service.start()
    wait_for(lambda: "We move &lt;tonight&gt;." in published(service), service)


def test_a_recovery_is_told_by_mail_file_page_and_report(service: Service, server: MailServer) -> None:
    service.start()
    assert service.stop() == 0
    shutil.rmtree(service.data / "core")
    shutil.rmtree(service.data / "blobs")
    service.start()
    wait_for(lambda: service.run("recover", "report", codes=None).code == 0, service)
    report = service.run("recover", "report").out
    assert report is not None
    assert (report["how"], report["exact"], report["exact_accounts"]) == ("serving", True, 2)
    assert report["evidence"].startswith("evidence/")
    assert service.run("recover", "report", "--account", "ada").out["exact"] is True  # type: ignore[index]
    answer = service.client("ada", PASSWORD).ask("GET", "/account/state?lang=es")
    assert answer.status == 200
    assert "Todos los tuyos volvieron tal cual." in answer.body.decode()
    assert service.client("ada", PASSWORD).ask("GET", "/status.atom").status == 200
    wait_for(lambda: len(server.letters) == 2, service)
    assert [(to, letter["subject"]) for _, to, letter in server.letters] == [
        (["root@example.org"], "Safehold: recovery began"),
        (["root@example.org"], "Safehold: recovery ended"),
    ], "most people have noticed nothing"
