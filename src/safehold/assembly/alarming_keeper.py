"""A keeper's own alarms: above all the dead-man's switch, which works when nothing beside the core does any more.

A writer says something at least every quarter of an hour (`Writer.beat`). So the keeper looks at the vaults that it
copies from, or, where a core appends to its own, at that: a newest frame that stays the same for longer than
`alarms.silent_minutes` is an alarm, whatever the reason. It looks in a thread of its own, also while a day's work goes
on, and each vault in one more, since a mount that hangs must not silence it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from safehold.adapters.threads import Rounds, ThreadScheduler
from safehold.adapters.watch import Watch
from safehold.assembly.alarming import Alarming, last_test, limits_of, make_channels, make_heartbeat, sender_of
from safehold.assembly.keeping import keeper_incidents, last_keep
from safehold.assembly.looking import writers_seen
from safehold.assembly.looking_vault import VaultLook, VaultLooks
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import open_vault
from safehold.config import VaultConfig
from safehold.ports.vault import Vault
from safehold.proof.alarms import LOOK_SECONDS, Told
from safehold.proof.seen import RoomSeen, Sight, VaultSeen, Witness

VAULT_SECONDS = 3.0
END_SECONDS = 3.0

_log = logging.getLogger("safehold.alarms")


class Silence:
    """Since when nothing new was seen of each writer. Pure but for what it is told."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}
        self._since: dict[str, float] = {}

    def note(self, name: str, look: VaultLook | None, monotonic: float) -> None:
        """One look at where it writes; None, or a vault that is not there, brings nothing new."""
        self._since.setdefault(name, monotonic)
        if look is None or not look.available:
            return
        newest = (look.last_number, look.last_frame or 0)
        if self._newest.get(name) not in (None, newest):
            self._since[name] = monotonic
        self._newest[name] = newest

    def since(self) -> dict[str, float]:
        return dict(self._since)


class KeeperAlarms:
    """`start`, `stop` and `differences` by the keeper's thread; `look` by its own, or by who drives it without one."""

    def __init__(self, site: Site, folder: str) -> None:
        self._site = site
        self._folder = folder
        self.alarming = Alarming(
            site.clock, site.disk, folder, make_channels(site), sender_of(site, "keeper"), limits_of(site.config)
        )
        self.differences: Sequence[str] = ()  # of the last pull
        self._silence = Silence()
        self._rounds = Rounds("alarms", self.look, lambda: LOOK_SECONDS)
        self._scheduler = ThreadScheduler()
        self._began = site.clock.monotonic()
        urls = [VaultConfig(url, url, "async") for url in site.config.keeper_pull]
        self._writers = [config.name for config in urls] or [config.name for config in site.config.vaults]
        self._watches = {config.name: self._watch(config) for config in (*site.config.vaults, *urls)}

    def _watch(self, config: VaultConfig) -> Watch[VaultLook]:
        looks = VaultLooks(partial(self._open, config), self._site.clock)
        return Watch(
            f"a look for alarms at {config.name}",
            lambda: looks.look(None, ()),
            self._site.clock,
            fresh_seconds=LOOK_SECONDS,
            patience_seconds=VAULT_SECONDS,
        )

    def _open(self, config: VaultConfig) -> Vault:
        return open_vault(config, self._site.data, self._site.disk, self._site.opener.installation)

    def start(self) -> None:
        for worker in self.alarming.workers:
            self._scheduler.add(worker)
        heartbeat = make_heartbeat(self._site.config.alarms, self.alarming)
        if heartbeat is not None:
            self._scheduler.add(heartbeat)
        self.alarming.wake = self._scheduler.wake
        self._rounds.start()

    def stop(self) -> None:
        if self._rounds.stop(END_SECONDS):
            self.alarming.stop()
        self._scheduler.stop(END_SECONDS)

    def look(self) -> list[Told]:
        """One look at everything."""
        clock = self._site.clock
        looks: dict[str, VaultLook | None] = {}
        for name, watch in self._watches.items():
            watch.wait(VAULT_SECONDS)
            seen = watch.seen()
            looks[name] = None if seen.overdue else seen.found
        for name in self._writers:
            self._silence.note(name, looks.get(name), clock.monotonic())
        tested = last_test(self._site.disk, self._folder)
        configured = self._site.config.alarms.any
        sight = Sight(
            now=clock.now(),
            monotonic=clock.monotonic(),
            up_seconds=clock.monotonic() - self._began,
            writing=True,  # it does its own work: its heartbeat is about that
            vaults=tuple(_seen(c.name, look) for c in self._site.config.vaults if (look := looks.get(c.name))),
            rooms=tuple(RoomSeen(*room) for room in self._site.rooms()),
            writers=writers_seen(self._silence.since(), clock.monotonic()),
            witnesses=(*self.alarming.box.witnesses(), *_frames(looks)),
            channels=self.alarming.box.failing(),
            last_alarm_test=(0 if tested is None else tested.at) if configured else None,
        )
        return self.alarming.look(sight, {"incidents": self._incidents()})

    def _incidents(self) -> list[dict[str, Any]]:
        hint = "nothing was changed in the copy; see what happened to the vault it is pulled from"
        found = keeper_incidents(last_keep(self._site))
        known = {incident.get("message") for incident in found}
        # What begins with a URL is why it could not be pulled from: where that lasts, its writer is silent.
        urls = tuple(self._site.config.keeper_pull) or ("\0",)
        new = [one for one in self.differences if one not in known and not one.startswith(urls)]
        return [*found, *({"what": "not the same", "key": one, "message": one, "hint": hint} for one in new)]


def _seen(name: str, look: VaultLook) -> VaultSeen:
    return VaultSeen(name=name, sync=True, available=look.available, dropped=look.dropped)


def _frames(looks: dict[str, VaultLook | None]) -> list[Witness]:
    return [
        Witness(f"the newest frame in {name}", look.last_frame)
        for name, look in looks.items()
        if look is not None and look.last_frame is not None
    ]
