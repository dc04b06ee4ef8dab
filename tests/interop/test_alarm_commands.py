"""`safehold alarm` on real data folders, and a real service that alarms by itself."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.alarming import Alarming, acks
from safehold.assembly.alarming_service import read_keys
from safehold.assembly.site import Site
from safehold.cli.main import main
from safehold.config import load
from safehold.formats.keys import identity_of, recovery_key
from safehold.proof.alarm_words import Sender
from safehold.proof.limits import Limits
from safehold.proof.seen import Sight, VaultSeen
from tests.support.hooks import HookServer
from tests.support.service import Service
from tests.support.smtp import MailServer

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def hook() -> Iterator[HookServer]:
    found = HookServer()
    yield found
    found.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    found = MailServer()
    yield found
    found.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command with --json on an installation: its exit code and its object."""

    def command(*args: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main(["--data", str(tmp_path / "data"), "--json", *args])
        told = json.loads(capsys.readouterr().out)
        assert isinstance(told, dict)
        return code, told

    assert command("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0
    return command


def configure(data: Path, **settings: object) -> None:
    """Settings of [alarms], and of [mail]: host, port and such."""
    path = data / "safehold.toml"
    text = path.read_text()
    for key, value in settings.items():
        name = key.rstrip("_")
        lines = text.splitlines()
        section = "[mail]" if key.endswith("_") else "[alarms]"
        start = lines.index(section)
        at = next(i for i in range(start, len(lines)) if lines[i].startswith(f"{name} = "))
        lines[at] = f"{name} = {json.dumps(value)}"
        text = "\n".join(lines) + "\n"
    path.write_text(text)


def planted(data: Path) -> None:
    """What a service that has ended left standing."""
    site = Site(data, load(data / "safehold.toml"))
    alarming = Alarming(site.clock, site.disk, str(data / "run"), [], Sender("ab", "here"), Limits())
    drops = VaultSeen(name="far", sync=False, available=True, dropped="frame 7 of timeline 1 is not there")
    alarming.look(Sight(now=site.clock.now(), monotonic=site.clock.monotonic(), vaults=(drops,)), None)
    alarming.stop()


def test_a_test_goes_through_every_channel_and_is_kept(
    run: Run, tmp_path: Path, hook: HookServer, mail: MailServer
) -> None:
    data = tmp_path / "data"
    code, told = run("alarm", "test")
    assert (code, told["ok"], told["channels"], told["evidence"]) == (0, True, [], None), "there is nobody to tell"
    mail_ = {"host_": "127.0.0.1", "port_": mail.port, "tls_": "none", "from_": "safehold@example.org"}
    beat = f"http://127.0.0.1:{hook.port}/beat"
    configure(data, webhooks=[hook.url], mail=["eve@example.org"], command="cat", heartbeat=beat, **mail_)
    code, told = run("alarm", "test")
    assert (code, told["ok"]) == (0, True)
    names = [one["channel"] for one in told["channels"]]
    assert names == [f"webhook 127.0.0.1:{hook.port}", "mail eve@example.org", "command cat", "heartbeat"]
    assert hook.received[0]["event"] == "test" and len(mail.letters) == 1 and hook.fetched == ["/beat"]
    _, listed = run("evidence", "list")
    assert "alarm" in json.dumps(listed)
    assert run("status")[1]["alarms"]["last_test"]["evidence"] == told["evidence"]

    hook.status = 500
    code, told = run("alarm", "test")
    assert (code, told["ok"]) == (1, False)
    assert [one["channel"] for one in told["channels"] if not one["ok"]] == [names[0], "heartbeat"]
    record = json.loads((data / "run" / "jobs" / "alarm-test.json").read_text())
    assert not record.get("ok") and names[0] in record["why"] and record["done"], (
        "it came to its end, and something was wrong"
    )


def test_what_stands_is_listed_and_acknowledged(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run("alarm", "list")[1] == {"open": [], "channels": [], "last_test": None}
    assert run("alarm", "ack", "vault drops")[0] != 0, "nothing stands"
    planted(data)
    [alarm] = run("alarm", "list")[1]["open"]
    assert (alarm["name"], alarm["runbook"], alarm["acked"]) == ("vault drops/far", "damaged-vault", None)
    assert run("status", "--check")[0] == 1
    code, told = run("alarm", "ack", "vault drops/far", "--by", "eve")
    assert (code, told) == (0, {"acknowledged": ["vault drops/far"], "by": "eve"})
    site = Site(data, load(data / "safehold.toml"))
    assert [(ack.name, ack.by) for _, ack in acks(site.disk, str(data / "run"))] == [("vault drops/far", "eve")]


def test_keys_on_disk_that_do_not_fit_are_seen(run: Run, tmp_path: Path) -> None:
    """The real keys: a recovery key of another installation, and an identity that frames are not sealed to."""
    data = tmp_path / "data"
    site = Site(data, load(data / "safehold.toml"))
    keys = read_keys(site)
    assert [name for name, _ in keys.openers] == ["identity", "recovery key"] and not keys.wrong
    path = data / "keys" / "recovery.txt"
    path.write_text(recovery_key(identity_of(bytes(range(32))), b"\x01" * 16) + "\n")
    assert "of another installation" in read_keys(site).wrong
    path.write_text("not a key\n")
    assert "cannot be read" in read_keys(site).wrong
    assert run("status")[0] == 0


@pytest.mark.long
def test_a_running_service_alarms_by_itself(tmp_path: Path, hook: HookServer) -> None:
    service = Service(tmp_path / "data")
    service.add_account("ada", "correct horse")
    configure(tmp_path / "data", webhooks=[hook.url])
    service.start()
    try:
        (tmp_path / "data" / "vaults" / "far").rename(tmp_path / "data" / "vaults" / "away")
        assert hook.heard.wait(120)
        assert [one["alarm"] for one in hook.received] == ["vault missing/far"]
        assert [one["name"] for one in service.status()["alarms"]["open"]] == ["vault missing/far"]
        (tmp_path / "data" / "vaults" / "away").rename(tmp_path / "data" / "vaults" / "far")
        assert service.stop() == 0
    finally:
        service.close()
