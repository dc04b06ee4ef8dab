"""The dead-man's switch of a vault server: it misses a guest whose every host is gone, each guest by its own time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.assembly.installation import Installation
from safehold.assembly.vault_server_alarms import ServerAlarms
from safehold.assembly.vault_urls import redeem_code
from safehold.assembly.writer import BEAT_SECONDS
from safehold.config import Config
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount
from tests.support.hooks import HookServer
from tests.support.service import Service
from tests.support.vault_http import HttpServer
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until


class Watched:
    """A vault server whose alarms are looked at without their threads, and installations that keep a vault there."""

    def __init__(self, folder: Path, hook: HookServer) -> None:
        self.folder = folder
        self.clock = SimClock()
        self.server = HttpServer(folder / "server", tls=False)
        self.server.server.clock = self.clock  # type: ignore[assignment]
        self.server.server.guests._clock = self.clock
        self.tell(hook)
        self.server.start()
        self.installations: dict[str, Installation] = {}
        self.alarms = ServerAlarms(self.server.server, self.server.config)

    def tell(self, hook: HookServer) -> None:
        toml = self.folder / "server" / "server.toml"
        toml.write_text(toml.read_text().replace("webhooks = []", f'webhooks = ["{hook.url}"]'))
        self.server.config = self.server.server.make()

    def come(self, name: str, dead_man_seconds: int) -> None:
        installation = Installation(self.folder / name, Config())
        installation.clock = self.clock  # type: ignore[assignment]
        installation.make()
        _, code = self.server.server.invite(name, dead_man_seconds=dead_man_seconds)
        url = redeem_code(
            code, installation.data, installation.disk, installation.entropy, installation.opener.installation
        )
        installation.vault_add("friend", url, "sync")
        self.installations[name] = installation
        self.server.host.refresh()

    def write(self, name: str) -> None:
        with self.installations[name].session() as session:
            session.execute(AddAccount(account=session.entropy.bytes(16), name=_fresh(), password=None))

    def pass_minutes(self, minutes: int, *writing: str) -> list[str]:
        """One look every five minutes; what is told meanwhile. Those who write do so once a heartbeat."""
        told = []
        for minute in range(5, minutes + 1, 5):
            self.clock.advance(300)
            if minute * 60 % BEAT_SECONDS == 0:
                for name in writing:
                    self.write(name)
            told += [f"{one.sort} {one.alarm.what} {one.alarm.key}" for one in self.alarms.look()]
        return told

    def deliver(self) -> None:
        for worker in self.alarms.workers():
            while worker.step() == 0.0:
                pass


_names = iter(f"name{n}" for n in range(10_000))


def _fresh() -> str:
    return next(_names)


@pytest.fixture
def hook() -> Iterator[HookServer]:
    found = HookServer()
    yield found
    found.close()


@pytest.fixture
def watched(tmp_path: Path, hook: HookServer) -> Iterator[Watched]:
    found = Watched(tmp_path, hook)
    yield found
    found.server.stop()


def test_each_guest_is_missed_by_its_own_time(watched: Watched, hook: HookServer) -> None:
    watched.come("ada", 3600)
    watched.come("bob", 2 * 3600)
    watched.come("eve", 0)
    watched.server.server.invite("nobody yet", dead_man_seconds=60)
    assert watched.pass_minutes(90, "ada", "bob") == []
    # Every host of all of them is gone, with whatever lay there.
    for name in ("ada", "bob", "eve"):
        shutil.rmtree(watched.folder / name)
    assert watched.pass_minutes(60) == []
    assert watched.pass_minutes(5) == ["raised writer silent ada"]
    assert watched.pass_minutes(55) == []
    assert watched.pass_minutes(5) == ["raised writer silent bob"]
    assert watched.pass_minutes(6 * 60) == []
    watched.deliver()
    assert [message["key"] for message in hook.received] == ["ada", "bob"]
    assert hook.received[0]["from"]["role"] == "vault server"
    # A server that is started anew says nothing twice.
    watched.alarms.stop()
    watched.alarms = ServerAlarms(watched.server.server, watched.server.config)
    assert watched.pass_minutes(180) == []
    watched.server.server.invite(again="ada", dead_man_seconds=0)
    assert watched.pass_minutes(60) == ["cleared writer silent ada"]


def test_a_vault_that_loses_something_is_told(watched: Watched) -> None:
    watched.come("ada", 3600)
    assert watched.pass_minutes(15, "ada") == []
    (guest,) = watched.server.server.guests.all()
    logs = sorted(Path(watched.server.server.guests.vault_folder(guest.id)).glob("log/*/*.seg"))
    logs[-1].write_bytes(logs[-1].read_bytes()[:-10])
    assert "raised vault drops ada" in watched.pass_minutes(5)


def test_the_real_server_alarms_once_the_house_is_gone(tmp_path: Path, hook: HookServer) -> None:
    server = VaultServerProcess(tmp_path / "server")
    server.start()
    toml = server.folder / "server.toml"
    toml.write_text(toml.read_text().replace("webhooks = []", f'webhooks = ["{hook.url}"]'))
    assert server.stop() == 0
    server.start()
    service = Service(tmp_path / "data")
    try:
        service.add_account("ada", "correct horse")
        service.run("vault", "add", "friend", server.invite("--name", "ada", "--dead-man", "4s"))
        shutil.rmtree(service.data)  # keys, token and all
        until(lambda: any(message["what"] == "writer silent" for message in hook.received))
    finally:
        service.close()
        server.kill()
