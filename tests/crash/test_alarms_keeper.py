"""The dead-man's switch: a keeper in a folder of its own misses a service that is gone, and not one that is quiet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.assembly.alarming_keeper import KeeperAlarms
from safehold.assembly.installation import Installation
from safehold.assembly.keeper import init_keeper, open_site, pull
from safehold.assembly.writer import BEAT_SECONDS
from safehold.config import Config, load
from safehold.disaster.house import House
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount
from safehold.vault.keyring import IDENTITY, KEEPER, RECIPIENTS
from tests.support.hooks import HookServer


class Kept:
    """An installation on a real disk, and a keeper beside it with alarms, which is looked at without its threads."""

    def __init__(self, folder: Path, hook: HookServer) -> None:
        self.clock = SimClock()
        self.service = Installation(folder / "data", Config())
        self.service.clock = self.clock  # type: ignore[assignment]
        self.service.make()
        self.near = folder / "data" / "vaults" / "near"
        self.add("ann")
        keys, keeper = folder / "keys", folder / "keeper"
        keys.mkdir()
        for name in (IDENTITY, RECIPIENTS, KEEPER):
            shutil.copy(folder / "data" / "keys" / name, keys / name)
        init_keeper(keeper, keys=keys, pull=[f"folder:{self.near}"], socket="", name="kept", based_on=Config())
        toml = keeper / "safehold.toml"
        toml.write_text(toml.read_text().replace("webhooks = []", f'webhooks = ["{hook.url}"]'))
        self.site = open_site(keeper)
        self.site.clock = self.clock  # type: ignore[assignment]
        assert pull(self.site) == []
        self.alarms = KeeperAlarms(self.site, str(keeper / "run"))

    def add(self, name: str) -> None:
        """Something is written."""
        with self.service.session() as session:
            session.execute(AddAccount(account=session.entropy.bytes(16), name=name, password=None))

    def pass_minutes(self, minutes: int) -> list[str]:
        """One look every five minutes; what is told meanwhile."""
        told = []
        for _ in range(minutes // 5):
            self.clock.advance(300)
            told += [f"{one.sort} {one.alarm.what}" for one in self.alarms.look()]
        return told

    def deliver(self) -> None:
        for worker in self.alarms.alarming.workers:
            while worker.step() == 0.0:
                pass


@pytest.fixture
def hook() -> Iterator[HookServer]:
    found = HookServer()
    yield found
    found.close()


@pytest.fixture
def kept(tmp_path: Path, hook: HookServer) -> Kept:
    return Kept(tmp_path, hook)


def test_a_service_that_falls_silent_is_missed(kept: Kept, hook: HookServer) -> None:
    assert kept.pass_minutes(50) == []
    assert kept.pass_minutes(5) == ["raised writer silent"]
    kept.deliver()
    [message] = hook.received
    assert message["from"]["role"] == "keeper" and message["runbook"] == "silent-writer"
    kept.add("bob")
    assert kept.pass_minutes(15) == ["cleared writer silent"]


def test_a_vault_that_is_gone_is_silence_too(kept: Kept) -> None:
    kept.near.rename(kept.near.with_name("away"))
    assert "raised writer silent" in kept.pass_minutes(60)


def test_a_quiet_writer_says_that_it_is_there() -> None:
    house = House.new(5)
    house.tick()
    house.sim_clock.advance(60)
    house.tick()  # what the start left is sealed
    before = house.engine.log.position
    house.sim_clock.advance(BEAT_SECONDS - 1)
    house.writer.beat()
    assert house.engine.log.position == before
    house.sim_clock.advance(2)
    house.writer.beat()
    house.writer.beat()
    after = house.engine.log.position
    assert after.frame == before.frame + 1, "one seal, which states nothing new"
    house = house.crash(1)
    house.boot()
    assert house.engine.stopped is None and house.engine.log.position.frame > after.frame


def test_a_keepers_folder_says_where_its_alarms_go(tmp_path: Path, kept: Kept, hook: HookServer) -> None:
    config = load(tmp_path / "keeper" / "safehold.toml")
    assert config.alarms.silent_minutes == 45 and config.alarms.webhooks == (hook.url,)
