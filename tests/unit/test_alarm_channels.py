"""Alarms on their way: real servers and programs, queues that outlive a kill, and channels that fail and say so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path

import pytest

from safehold.adapters.alarm_channels import Command, MailTo, Webhook
from safehold.adapters.smtp import SmtpMailer, SmtpServer
from safehold.assembly.alarm_box import BACKOFF_SECONDS, GIVE_UP_MICROSECONDS, Heartbeat
from safehold.assembly.alarming import Ack, Alarming, fetch, kept_facts, note_ack
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.ports.alarms import AlarmFailed, Channel
from safehold.proof.alarm_words import Sender, letter_of, trial_message
from safehold.proof.limits import Limits
from safehold.proof.seen import Sight, VaultSeen
from tests.support.hooks import HookServer
from tests.support.smtp import MailServer

SENDER = Sender("ab" * 16, "https://dav.example.org")


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


def mailer(server: MailServer) -> SmtpMailer:
    return SmtpMailer(SmtpServer("127.0.0.1", server.port, "none", "", "safehold@example.org", lambda: ""))


class World:
    """Alarming over a simulated disk and clock; what is sent really goes out."""

    def __init__(self, channels: Sequence[Channel], disk: SimDisk | None = None, clock: SimClock | None = None) -> None:
        self.disk = disk or SimDisk()
        self.clock = clock or SimClock()
        self.channels = channels
        self.alarming = Alarming(self.clock, self.disk, "/run", channels, SENDER, Limits())

    def look(self, *vaults: VaultSeen, seconds: float = 30.0) -> list[str]:
        """One look after so long; what is told."""
        self.clock.advance(seconds)
        clock, box = self.clock, self.alarming.box
        near = VaultSeen(name="near", sync=True, available=True)
        sight = Sight(
            now=clock.now(),
            monotonic=clock.monotonic(),
            writing=True,
            vaults=(near, *vaults),
            channels=box.failing(),
            witnesses=tuple(box.witnesses()),
        )
        return [f"{told.sort} {told.alarm.name}" for told in self.alarming.look(sight, None)]

    def deliver(self) -> None:
        """What the channels' threads do, until none has anything to do now."""
        for worker in self.alarming.workers:
            while worker.step() == 0.0:
                pass

    def killed(self, channels: Sequence[Channel] | None = None) -> World:
        """The process is killed; another one on what the disk has."""
        return World(channels if channels is not None else self.channels, self.disk.crash(), self.clock)


DROPS = VaultSeen(name="far", sync=False, available=True, dropped="frame 7 of timeline 1 is not there")


def test_a_webhook_gets_what_the_page_says(hook: HookServer) -> None:
    world = World([Webhook(hook.url)])
    assert world.look(DROPS) == ["raised vault drops/far"]
    world.deliver()
    [message] = hook.received
    page = (Path(__file__).resolve().parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert set(message) == set(shown) and set(message["from"]) == set(shown["from"])
    assert (message["event"], message["alarm"], message["runbook"]) == ("raised", "vault drops/far", "damaged-vault")
    assert message["runbook_command"] == "safehold runbook show damaged-vault"
    for _ in range(12):
        world.look()
    world.deliver()
    assert [one["event"] for one in hook.received] == ["raised", "cleared"]
    assert hook.received[1]["lasted_seconds"] >= 0


def test_a_letter_says_what_to_do(mail: MailServer) -> None:
    world = World([MailTo("eve@example.org", mailer(mail), letter_of)])
    world.look(DROPS)
    world.deliver()
    [(_, to, letter)] = mail.letters
    text = letter.get_content()
    assert to == ["eve@example.org"] and letter["Subject"] == "Safehold: vault drops/far"
    assert "First: " in text and "safehold runbook show damaged-vault" in text
    assert "safehold alarm ack 'vault drops/far'" in text


def test_a_command_gets_the_json_and_its_exit_code_counts(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    program = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    Command([sys.executable, "-c", program, str(out)]).send({"alarm": "año"})
    assert json.loads(out.read_text(encoding="utf-8")) == {"alarm": "año"}
    with pytest.raises(AlarmFailed, match="ended with 3: no pager"):
        Command([sys.executable, "-c", "import sys; print('no pager'); sys.exit(3)"]).send({})
    with pytest.raises(AlarmFailed, match="did not end within"):
        Command([sys.executable, "-c", "import time; time.sleep(60)"], timeout_seconds=0.2).send({})
    with pytest.raises(AlarmFailed, match="No such file"):
        Command(["/nowhere/page-me"]).send({})


def test_mail_that_bounces_is_an_alarm_by_the_other_channels(hook: HookServer, mail: MailServer) -> None:
    mail.refuse["eve@example.org"] = "550 no such user"
    world = World([Webhook(hook.url), MailTo("eve@example.org", mailer(mail), letter_of)])
    world.look(DROPS)
    world.deliver()
    assert world.look(DROPS) == ["raised alarm channel/mail eve@example.org"], "within a minute of the bounce"
    world.deliver()
    told = hook.received[-1]
    assert told["alarm"] == "alarm channel/mail eve@example.org" and told["runbook"] == "alarm-channel"
    assert "550 no such user" in told["message"]
    facts = {one["channel"]: one for one in world.alarming.facts()["channels"]}
    assert facts["mail eve@example.org"]["waiting"] == 2, "it waits until somebody mends that"
    mail.refuse.clear()
    world.clock.advance(BACKOFF_SECONDS[1])
    world.deliver()
    assert len(mail.letters) == 2 and not world.alarming.box.failing()


def test_what_was_not_taken_waits_on_disk_over_a_kill(hook: HookServer) -> None:
    """I88."""
    hook.status = 503
    world = World([Webhook(hook.url)])
    world.look(DROPS)
    world.deliver()
    world = world.killed()
    assert world.look(DROPS) == [], "raised once"
    hook.status = 204
    world.deliver()
    assert [one["event"] for one in hook.received] == ["raised"]
    assert world.killed().alarming.facts()["channels"][0]["waiting"] == 0


def test_a_channel_that_fails_is_asked_less_and_less(hook: HookServer) -> None:
    hook.status = 500
    world = World([Webhook(hook.url)])
    world.look(DROPS)
    [worker] = world.alarming.workers
    pauses = []
    for _ in range(12):
        pause = worker.step()
        assert pause
        pauses.append(pause)
        world.clock.advance(pause)
    assert pauses[:3] == [5.0, 10.0, 20.0] and pauses[-1] == BACKOFF_SECONDS[1]
    world.clock.advance(GIVE_UP_MICROSECONDS / 1_000_000)
    assert worker.step() is None, "after a week nobody is woken by it any more"


def test_a_redirect_is_not_followed_to_somebody_else(hook: HookServer) -> None:
    other = HookServer()
    try:
        hook.status, hook.location = 302, other.url
        with pytest.raises(AlarmFailed, match="not followed"):
            Webhook(hook.url).send({})
        with pytest.raises(AlarmFailed, match="not followed"):
            fetch(hook.url)
        assert other.received == [] and other.fetched == []
    finally:
        other.close()


def test_a_webhook_names_no_secret() -> None:
    assert Webhook("https://user:pw@hooks.example.org/T0/secret").name == "webhook hooks.example.org"


def test_the_heartbeat_stops_with_what_is_unwell(hook: HookServer) -> None:
    world = World([])
    beat = Heartbeat(hook.url, 60, world.alarming.well, fetch, world.alarming.box)
    assert beat.step() == 60 and hook.fetched == [], "nothing was looked at yet"
    world.look()
    beat.step()
    assert len(hook.fetched) == 1
    world.look(DROPS)
    beat.step()
    assert len(hook.fetched) == 1, "a vault drops"
    for _ in range(12):
        world.look()
    beat.step()
    assert len(hook.fetched) == 2
    world.clock.advance(301)
    beat.step()
    assert len(hook.fetched) == 2, "whoever looks has stopped: that is no good news"


def test_the_clock_of_whoever_answers_is_believed(hook: HookServer) -> None:
    clock = SimClock()
    hook.date = formatdate(clock.now() / 1_000_000 - 365 * 86_400, usegmt=True)
    world = World([Webhook(hook.url)], clock=clock)
    world.look(DROPS)
    world.deliver()
    assert world.look(DROPS) == ["raised clock off"]
    assert "365 days ahead of the clock of 127.0.0.1" in world.alarming.alarms.open()[-1].message


def test_an_acknowledgement_is_taken_up_once(hook: HookServer) -> None:
    world = World([Webhook(hook.url)])
    world.look(DROPS)
    note_ack(world.disk, "/run", Ack("vault drops", "eve"), "1")
    world.look(DROPS)
    assert list(world.disk.list("/run/acks")) == []
    facts = kept_facts(world.killed().disk, "/run")
    assert [(one["name"], one["acked_by"]) for one in facts["open"]] == [("vault drops/far", "eve")]


def test_a_test_is_marked_as_one(hook: HookServer) -> None:
    Webhook(hook.url).send(trial_message(SENDER, SimClock().now(), "webhook"))
    [message] = hook.received
    assert message["event"] == "test" and "Nothing is wrong" in message["message"]
    assert letter_of(message)[0].startswith("Safehold: TEST")
