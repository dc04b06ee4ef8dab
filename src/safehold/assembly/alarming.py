"""Alarms of one installation: what was seen and what the status says are judged, kept, and sent out.

`Alarming` does one look, on the caller's thread and clock: rules, engine, queues. What it needs to survive a restart
lies in `run/`: alarms.json (what stands, and what is still to be said; before anything is said), alarms-seen.json (what
the rules compare with; losing some minutes of it does no harm), alarm-test.json (the last test of the channels) and
acks/ (words of people, one file each, until they are taken up).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from safehold.adapters.alarm_channels import Command, MailTo, Webhook
from safehold.adapters.http import HttpFailed, ask
from safehold.assembly.alarm_box import (
    AlarmBox,
    ChannelWorker,
    Heartbeat,
    channel_facts,
    read_kept,
)
from safehold.assembly.site import Site
from safehold.assembly.telling import Configured, make_mailer
from safehold.config import AlarmConfig, Config
from safehold.ports.alarms import AlarmFailed, Channel
from safehold.ports.disk import Disk
from safehold.ports.whole_file import read_whole, write_whole
from safehold.ports.world import Clock, Worker
from safehold.proof.alarm_words import Sender, letter_of, message_of
from safehold.proof.alarms import Alarm, Alarms, Told, conditions_of
from safehold.proof.limits import DAY, HOUR, MINUTE, Limits
from safehold.proof.rules import Rules
from safehold.proof.seen import Memory, Sight

SEEN, TEST, ACKS = "alarms-seen.json", "alarm-test.json", "acks"
#: What the rules remember is written so often; less often than they look.
SAVE_SECONDS = 600.0
#: A look that is older says nothing of how the service is now.
STALE_SECONDS = 300.0
#: While one of these stands there is no heartbeat.
UNWELL = frozenset(
    (
        "writing stopped",
        "core missing",
        "core unreadable",
        "core damaged",
        "chain broken",
        "archiver stopped",
        "vault drops",
        "vault full",
        "wrong key",
        "objective violated",
    )
)


class Tested(msgspec.Struct):
    """The last test of the channels, as `run/alarm-test.json` has it."""

    at: int  # µs
    ok: bool
    channels: list[dict[str, Any]]
    evidence: str = ""


class Ack(msgspec.Struct):
    name: str
    by: str = ""


class Alarming:
    """`look` and `stop` on one thread; `well` and `facts` from any."""

    def __init__(
        self, clock: Clock, disk: Disk, folder: str, channels: Sequence[Channel], sender: Sender, limits: Limits
    ) -> None:
        """`folder` is where what is kept lies (`run/`)."""
        self._clock = clock
        self._disk = disk
        self._folder = folder
        self._sender = sender
        self.channels = list(channels)
        self.box = AlarmBox(disk, folder, clock)
        self.alarms = Alarms(self.box.engine)
        self._open = [alarm.facts() for alarm in self.alarms.open()]
        self.rules = Rules(_memory(disk, folder), limits)
        self.workers: list[Worker] = [ChannelWorker(channel, self.box, clock) for channel in channels]
        self._saved_at = clock.monotonic()
        self._well_at: float | None = None
        self.wake: Callable[[Worker], None] = lambda _: None

    def look(self, sight: Sight, status: Mapping[str, Any] | None) -> list[Told]:
        """One look; what is told now is queued, on disk, when this returns."""
        conditions = [*(conditions_of(status) if status is not None else ()), *self.rules.judge(sight)]
        told = self.alarms.look(sight.now, sight.monotonic, conditions)
        acked = self._take_acks(sight.now)
        still_open = self.alarms.open()
        self._open = [alarm.facts() for alarm in still_open]
        if told:
            messages = [message_of(one, self._sender, sight.now, len(still_open)) for one in told]
            self.box.put([channel.name for channel in self.channels], messages)
            for worker in self.workers:
                self.wake(worker)
        elif acked:
            self.box.save()
        now = self._clock.monotonic()
        if now - self._saved_at >= SAVE_SECONDS:
            self._save()
        self._well_at = now if _is_well(sight, status, still_open) else None
        return told

    def well(self) -> bool:
        """Whether the last look was lately, and found all well enough to say so."""
        at = self._well_at
        return at is not None and self._clock.monotonic() - at <= STALE_SECONDS

    def facts(self) -> dict[str, Any]:
        """For the status object: `alarms`."""
        return {
            "open": self._open,
            "channels": self.box.facts(),
            "last_test": test_facts(last_test(self._disk, self._folder)),
        }

    def stop(self) -> None:
        self._save()

    def _take_acks(self, now: int) -> bool:
        acked = False
        for path, ack in acks(self._disk, self._folder):
            self.alarms.ack(ack.name, now, ack.by)
            acked = True
            self._disk.remove(path)
        return acked

    def _save(self) -> None:
        self._saved_at = self._clock.monotonic()
        self.box.save()
        with suppress(OSError):  # a full disk is told by its own alarm
            write_whole(self._disk, f"{self._folder}/{SEEN}", msgspec.json.encode(self.rules.memory))


def _is_well(sight: Sight, status: Mapping[str, Any] | None, still_open: Sequence[Alarm]) -> bool:
    violated = any(
        isinstance(objective, Mapping) and objective.get("state") == "violated"
        for objective in ((status or {}).get("objectives") or {}).values()
    )
    there = all(vault.available for vault in sight.vaults if vault.sync)
    return sight.writing and there and not violated and not any(alarm.what in UNWELL for alarm in still_open)


# -- what is configured ------------------------------------------------------------------------------------------


def make_channels(site: Configured) -> list[Channel]:
    """Those of `[alarms]`, each under a name of its own."""
    config = site.config.alarms
    found: list[Channel] = [Webhook(url) for url in config.webhooks]
    mailer = make_mailer(site)
    if mailer is not None:
        found += [MailTo(address, mailer, letter_of) for address in config.mail]
    if config.command:
        found.append(Command(config.command))
    return _named_apart(found)


def make_heartbeat(config: AlarmConfig, alarming: Alarming) -> Worker | None:
    """None where none is configured."""
    if not config.heartbeat:
        return None
    return Heartbeat(config.heartbeat, config.heartbeat_seconds, alarming.well, fetch, alarming.box)


def fetch(url: str) -> int | None:
    """A heartbeat: the other side's clock, in µs. Raises AlarmFailed."""
    try:
        return ask("GET", url, headers={"User-Agent": "safehold"}).date
    except HttpFailed as error:
        raise AlarmFailed(error.message) from error


def limits_of(config: Config) -> Limits:
    """The thresholds that follow from the configuration."""
    return Limits(
        snapshot_age=max(3 * DAY, 3 * config.snapshot_hours * HOUR),
        alarm_test_age=(config.alarms.test_days + 7) * DAY,
        writer_silent=config.alarms.silent_minutes * MINUTE,
    )


def sender_of(site: Site, role: str = "service") -> Sender:
    return Sender(site.opener.installation.hex(), site.config.public_url or str(site.data), role)


def _named_apart(channels: list[Channel]) -> list[Channel]:
    """Two webhooks of one host are two channels."""
    seen: dict[str, int] = {}
    for channel in channels:
        count = seen[channel.name] = seen.get(channel.name, 0) + 1
        if count > 1 and isinstance(channel, Webhook):
            channel.name = f"{channel.name} ({count})"
    return channels


# -- what is kept ------------------------------------------------------------------------------------------------


def kept_facts(disk: Disk, folder: str) -> dict[str, Any]:
    """As `Alarming.facts`, where nothing runs, from what was kept last."""
    kept = read_kept(disk, folder)
    return {
        "open": [alarm.facts() for alarm in Alarms(kept.engine).open()],
        "channels": channel_facts(kept),
        "last_test": test_facts(last_test(disk, folder)),
    }


def last_test(disk: Disk, folder: str) -> Tested | None:
    """None where the channels were never tested."""
    try:
        return msgspec.json.decode(read_whole(disk, f"{folder}/{TEST}"), type=Tested)
    except msgspec.DecodeError:
        return None


def test_facts(tested: Tested | None) -> dict[str, Any] | None:
    return None if tested is None else msgspec.structs.asdict(tested)


def note_test(disk: Disk, folder: str, tested: Tested) -> None:
    """Raises OSError."""
    write_whole(disk, f"{folder}/{TEST}", msgspec.json.encode(tested))


def note_ack(disk: Disk, folder: str, ack: Ack, unique: str) -> None:
    """Somebody has it; taken up at the next look. Raises OSError."""
    write_whole(disk, f"{folder}/{ACKS}/{unique}.json", msgspec.json.encode(ack))


def acks(disk: Disk, folder: str) -> list[tuple[str, Ack]]:
    """Words that were not taken up yet, with where they lie."""
    found = []
    try:
        names = sorted(entry.name for entry in disk.list(f"{folder}/{ACKS}") if entry.name.endswith(".json"))
    except OSError:
        return []
    for name in names:
        path = f"{folder}/{ACKS}/{name}"
        try:
            found.append((path, msgspec.json.decode(read_whole(disk, path), type=Ack)))
        except msgspec.DecodeError:
            continue
    return found


def _memory(disk: Disk, folder: str) -> Memory:
    """What rules remember; nothing where it is gone or damaged: they learn anew."""
    try:
        return msgspec.json.decode(read_whole(disk, f"{folder}/{SEEN}"), type=Memory)
    except msgspec.DecodeError:
        return Memory()
