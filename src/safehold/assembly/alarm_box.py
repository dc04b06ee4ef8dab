"""What is kept of alarms in `run/alarms.json`, and the queues out of it into the channels.

The engine's state and what is still to be said are written in one file, whole or not at all, before anything is
said: so an alarm that was raised is said after any crash, and none is raised twice (I88). Each channel has a queue and
a thread of its own: one that hangs or fails keeps neither the others nor the service waiting. What a channel did not
take waits, is tried again with a back-off of up to a quarter of an hour, and is given up after a week.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from safehold.ports.alarms import AlarmFailed, Channel
from safehold.ports.disk import Disk
from safehold.ports.whole_file import read_whole, write_whole
from safehold.ports.world import Clock
from safehold.proof.alarms import State
from safehold.proof.seen import Witness

FILE_NAME = "alarms.json"
#: Messages that wait for one channel, at most; the oldest makes room.
MOST_WAITING = 500
BACKOFF_SECONDS = (5.0, 900.0)
GIVE_UP_MICROSECONDS = 7 * 86_400 * 1_000_000
#: What another clock said is believed for so long.
DATE_SECONDS = 3600.0
#: What the heartbeat is called among the channels: this, and its host.
HEARTBEAT = "heartbeat"
#: A heartbeat that is missed once is no trouble yet.
MISSED_BEATS = 3
_MICROSECONDS = 1_000_000

_log = logging.getLogger("safehold.alarms")

Fetch = Callable[[str], int | None]


class Queued(msgspec.Struct):
    since: int  # µs
    message: dict[str, Any]


class Outcome(msgspec.Struct):
    """How a channel does."""

    taken: int = 0
    dropped: int = 0
    last_ok: int | None = None  # µs
    last_failed: int | None = None
    failing_since: int | None = None
    why: str = ""  # it fails now; "" where it does not


class Kept(msgspec.Struct):
    """The file."""

    version: int = 1
    engine: State = msgspec.field(default_factory=State)
    queues: dict[str, list[Queued]] = {}
    outcomes: dict[str, Outcome] = {}


class AlarmBox:
    """Safe from any thread."""

    def __init__(self, disk: Disk, folder: str, clock: Clock) -> None:
        self._disk = disk
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self.kept = read_kept(disk, folder)
        #: What the engine works on. The file gets it as it was when messages were last queued: what is raised is never
        #: kept without what is to be said of it.
        self.engine = _copy(self.kept.engine)
        self._dates: dict[str, tuple[int, float]] = {}

    def put(self, channels: Iterable[str], messages: Sequence[dict[str, Any]]) -> None:
        """Queue them for every channel, and keep that with the engine's state. Never raises: told in the log."""
        with self._lock:
            now = self._clock.now()
            names = list(channels)
            for gone in [name for name in self.kept.queues if name not in names]:
                del self.kept.queues[gone]
            for gone in [name for name in self.kept.outcomes if name not in names and not name.startswith(HEARTBEAT)]:
                del self.kept.outcomes[gone]
            for name in names:
                queue = self.kept.queues.setdefault(name, [])
                queue += [Queued(now, message) for message in messages]
                outcome = self.kept.outcomes.setdefault(name, Outcome())
                outcome.dropped += max(0, len(queue) - MOST_WAITING)
                del queue[:-MOST_WAITING]
            self.kept.engine = _copy(self.engine)
            self._save()

    def first(self, channel: str) -> Queued | None:
        with self._lock:
            queue = self.kept.queues.get(channel) or []
            now = self._clock.now()
            while queue and now - queue[0].since > GIVE_UP_MICROSECONDS:
                queue.pop(0)
                self.kept.outcomes.setdefault(channel, Outcome()).dropped += 1
            return queue[0] if queue else None

    def taken(self, channel: str, queued: Queued | None, date: int | None) -> None:
        """It was taken; `date` (µs) is what the other side's clock said."""
        with self._lock:
            queue = self.kept.queues.get(channel) or []
            if queued is not None and queue and queue[0] is queued:
                queue.pop(0)
            outcome = self.kept.outcomes.setdefault(channel, Outcome())
            outcome.taken += 1
            outcome.last_ok, outcome.failing_since, outcome.why = self._clock.now(), None, ""
            if date is not None:
                self._dates[channel] = (date, self._clock.monotonic())
            if queued is not None:
                self._save()

    def failed(self, channel: str, why: str) -> None:
        with self._lock:
            outcome = self.kept.outcomes.setdefault(channel, Outcome())
            now = self._clock.now()
            if outcome.failing_since is None:
                _log.warning(
                    "an alarm does not get through by %s; `safehold alarm list` says why", channel.split(maxsplit=1)[0]
                )
                outcome.failing_since = now
            outcome.last_failed, outcome.why = now, why

    def failing(self) -> dict[str, str]:
        """Channels that do not get through now, and why."""
        with self._lock:
            return {name: outcome.why for name, outcome in self.kept.outcomes.items() if outcome.why}

    def witnesses(self) -> list[Witness]:
        """What the clocks of those who answered say now."""
        now = self._clock.monotonic()
        with self._lock:
            return [
                Witness(f"the clock of {name.rpartition(' ')[2]}", at + round((now - then) * _MICROSECONDS), exact=True)
                for name, (at, then) in self._dates.items()
                if now - then <= DATE_SECONDS
            ]

    def save(self) -> None:
        """As the engine is now; by whoever drives it, after what it told was queued."""
        with self._lock:
            self.kept.engine = _copy(self.engine)
            self._save()

    def facts(self) -> list[dict[str, Any]]:
        """For the status object: `channels`."""
        with self._lock:
            return channel_facts(self.kept)

    def _save(self) -> None:
        try:
            write_whole(self._disk, f"{self._folder}/{FILE_NAME}", msgspec.json.encode(self.kept))
        except OSError as error:
            _log.error("what is kept of alarms could not be written: %s", error.strerror or error)


class ChannelWorker:
    """`ports.world.Worker`: brings one channel what waits for it."""

    def __init__(self, channel: Channel, box: AlarmBox, clock: Clock) -> None:
        self._channel = channel
        self._box = box
        self._clock = clock
        self._pause = BACKOFF_SECONDS[0]
        self._not_before = 0.0

    @property
    def name(self) -> str:
        return f"alarms by {self._channel.name}"

    def step(self) -> float | None:
        """One message; the seconds until the next try, None where nothing waits. A wake-up shortens no back-off."""
        queued = self._box.first(self._channel.name)
        if queued is None:
            return None
        now = self._clock.monotonic()
        if now < self._not_before:
            return self._not_before - now
        try:
            date = self._channel.send(queued.message)
        except AlarmFailed as error:
            self._box.failed(self._channel.name, error.message)
            pause, self._pause = self._pause, min(self._pause * 2, BACKOFF_SECONDS[1])
            self._not_before = self._clock.monotonic() + pause
            return pause
        self._pause = BACKOFF_SECONDS[0]
        self._box.taken(self._channel.name, queued, date)
        return 0.0


class Heartbeat:
    """`ports.world.Worker`: fetches a URL while all is well, so that whoever waits for it notices when it is not."""

    def __init__(self, url: str, every_seconds: float, well: Callable[[], bool], fetch: Fetch, box: AlarmBox) -> None:
        """`fetch` gives the other side's clock (µs), and raises AlarmFailed."""
        self.name = f"{HEARTBEAT} {urlsplit(url).netloc.rpartition('@')[2]}"
        self._url = url
        self._every = every_seconds
        self._well = well
        self._fetch = fetch
        self._box = box
        self._missed = 0

    def step(self) -> float | None:
        """One beat, or none; the seconds until the next."""
        if self._well():
            try:
                date = self._fetch(self._url)
            except AlarmFailed as error:
                self._missed += 1
                if self._missed >= MISSED_BEATS:
                    self._box.failed(self.name, error.message)
            else:
                self._missed = 0
                self._box.taken(self.name, None, date)
        return self._every


def channel_facts(kept: Kept) -> list[dict[str, Any]]:
    """How each channel does, times in µs."""
    return [
        {"channel": name, "waiting": len(kept.queues.get(name) or ()), **msgspec.structs.asdict(outcome)}
        for name, outcome in sorted(kept.outcomes.items())
    ]


def _copy(state: State) -> State:
    return msgspec.json.decode(msgspec.json.encode(state), type=State)


def read_kept(disk: Disk, folder: str) -> Kept:
    """What was kept; nothing where it is gone or damaged: then what stands is raised anew."""
    data = read_whole(disk, f"{folder}/{FILE_NAME}")
    try:
        return msgspec.json.decode(data, type=Kept) if data else Kept()
    except msgspec.DecodeError:
        _log.warning("%s/%s is damaged: what stands is raised anew", folder, FILE_NAME)
        return Kept()
