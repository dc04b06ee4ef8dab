"""The keeper of a running service, in a process of its own; and keepers that are killed at their work."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safehold.assembly import scheduled_keeper
from safehold.assembly.installation import Installation
from safehold.assembly.keeping import frozen, keep_vaults, kept_vault, last_keep
from safehold.assembly.scheduled_keeper import ScheduledKeeper
from safehold.assembly.snapshot import take_snapshot
from safehold.config import DEFAULT_TEXT, FILE_NAME, load, write
from safehold.vault import recoveries
from safehold.vault.keyring import IDENTITY
from tests.interop.test_kept_installation import Weeks, tree
from tests.support import waiting

PATIENCE_SECONDS = 300.0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setattr(scheduled_keeper, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(scheduled_keeper, "LOOK_SECONDS", 0.0)
    data = tmp_path / "data"
    write(data / FILE_NAME, DEFAULT_TEXT)
    site = Installation(data, load(data / FILE_NAME))
    site.make()
    take_snapshot(site, full=False, workers=1)
    return site


def until(keeper: ScheduledKeeper, running: bool) -> None:
    def is_so() -> bool:
        keeper.tick()
        return keeper.status()["running"] is running

    waiting.until(is_so, PATIENCE_SECONDS)


def objects(folder: Path) -> int:
    """How many there are, while some go."""
    return sum(len(files) for _, _, files in os.walk(folder))


def test_once_a_day_a_child_keeps_the_vaults(site: Installation) -> None:
    keeper = ScheduledKeeper(site)
    assert keeper.status()["last"] is None
    until(keeper, running=True)
    child = keeper._child
    assert child is not None
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == scheduled_keeper.NICENESS
    until(keeper, running=False)
    status = keeper.status()
    assert {kept["vault"] for kept in status["vaults"]} == {"near", "far"}
    assert all(kept["attested"] for kept in status["vaults"])
    assert not keeper.incidents()
    keeper.tick()
    assert not keeper.status()["running"], "it has been done today"
    json.dumps(status)


def test_a_service_that_ends_ends_its_keeper(site: Installation) -> None:
    keeper = ScheduledKeeper(site)
    until(keeper, running=True)
    child = keeper._child
    assert child is not None
    keeper.stop()
    assert child.returncode == -signal.SIGTERM
    assert last_keep(site) is None


def test_one_that_fails_is_told_and_tried_again_later(site: Installation) -> None:
    (site.data / "keys" / "keeper.txt").write_text("damaged")
    keeper = ScheduledKeeper(site)
    until(keeper, running=True)
    until(keeper, running=False)
    assert keeper.incidents()[0]["what"] == "no keeping"
    keeper.tick()
    assert not keeper.status()["running"]


def test_nothing_is_kept_here_where_the_keys_are_elsewhere_or_it_is_not_wanted(site: Installation) -> None:
    (site.data / "keys" / IDENTITY).rename(site.data / "identity-elsewhere")
    assert not ScheduledKeeper(site).able()
    (site.data / "identity-elsewhere").rename(site.data / "keys" / IDENTITY)
    assert ScheduledKeeper(site).able()
    write(site.data / FILE_NAME, DEFAULT_TEXT.replace("hours = 24             # so", "hours = 0              # so"))
    assert not ScheduledKeeper(Installation(site.data, load(site.data / FILE_NAME))).able()


def test_retention_that_is_killed_as_a_process_goes_on(tmp_path: Path) -> None:
    weeks = Weeks(tmp_path / "data", history=3)
    weeks.clock.jump((time.time() * 1_000_000 - weeks.clock.now()) / 1_000_000 - 10 * 86_400)
    weeks.add("ann")
    for _ in range(10):
        weeks.pass_day(changes=2)
    rng = random.Random(3)
    line = [sys.executable, "-m", "safehold", "--data", str(weeks.data), "vault", "retain", "near", "--yes"]
    weeks.site = Installation(weeks.data, load(weeks.data / FILE_NAME))
    for _ in range(6):
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there, gone = objects(weeks.data / "vaults/near"), rng.randrange(1, 6)
        waiting.until(
            lambda: child.poll() is not None or objects(weeks.data / "vaults/near") <= there - gone,  # noqa: B023
            PATIENCE_SECONDS,
        )
        child.kill()
        child.wait()
    for kept in keep_vaults(weeks.site).vaults:
        assert not kept.trouble and not kept.damaged and not kept.refused, kept
    assert tree(weeks.data / "vaults/near")
    weeks.recovered("near")


def test_an_open_recovery_freezes_retention_in_the_vault_that_bears_its_mark(site: Installation) -> None:
    near, far = site.config.vaults
    assert frozen(site, near) == frozen(site, far) == ""
    vault = kept_vault(site, near)
    vault.put(recoveries.opened(1), (b"",))
    assert "timeline 1" in frozen(site, near)
    assert frozen(site, far) == ""
    vault.put(recoveries.done(1), (b"",))
    assert frozen(site, near) == ""
