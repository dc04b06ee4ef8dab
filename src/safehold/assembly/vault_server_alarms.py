"""A vault server's own alarms: who of its guests has fallen silent, whose vault is not as it should be or nearly full.

They work when every host of a guest is gone: the server looks into the folders that it holds itself, needs no key, and
tells whom its `server.toml` names. A guest's alarms lie in `installations/<guest>/run/`, so that a restart says nothing
twice. How long a guest may be silent was said when it was invited; a guest that has not come yet is not missed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from safehold.adapters.threads import Rounds, ThreadScheduler
from safehold.assembly.alarming import Alarming, limits_of, make_channels
from safehold.assembly.looking import writers_seen
from safehold.assembly.looking_vault import VaultLook, VaultLooks
from safehold.assembly.vault_server import ServerFolder, read_refused
from safehold.assembly.vault_server_config import ServerConfig
from safehold.config import Config
from safehold.ports.whole_file import read_whole, write_whole
from safehold.ports.world import Worker
from safehold.proof.alarm_words import Sender
from safehold.proof.alarms import LOOK_SECONDS, Told
from safehold.proof.seen import RoomSeen, Sight, VaultSeen
from safehold.service.items import stamp
from safehold.vault.folder import FolderVault
from safehold.vault.http_guests import Guest, GuestRecord
from safehold.vault.refusals import RACES

_log = logging.getLogger("safehold.alarms")

#: A guest that may be silent for a short time only is looked at so many times within it.
LOOKS_WITHIN = 4
END_SECONDS = 3.0
#: What was refused is told of for a day after the last.
DAY_MICROSECONDS = 86_400 * 1_000_000
ROLE, HEARD = "vault server", "heard.json"


class _Configured(NamedTuple):
    data: Path
    config: Config


class Heard(msgspec.Struct):
    """What was last new of a guest, and when the server saw it (µs), as run/heard.json has it."""

    newest: list[int]
    at: int


class _GuestAlarms:
    """Of one guest. Its record may be replaced by a newer one."""

    def __init__(self, server: ServerFolder, config: ServerConfig, guest: Guest) -> None:
        self.guest = guest
        self._server = server
        record = guest.record
        self.alarming = Alarming(
            server.clock,
            server.disk,
            server.guests.run_folder(guest.id),
            make_channels(_Configured(server.folder, config.channels)),
            Sender(record.installation, f"{record.name} at {config.url}", ROLE),
            limits_of(config.channels),
        )
        self._folder = server.guests.run_folder(guest.id)
        self._last = self._remembered()
        ago = max(0, server.clock.now() - self._last.at) / 1_000_000
        self._heard_at = server.clock.monotonic() - ago
        folder, installation = server.guests.vault_folder(guest.id), bytes.fromhex(record.installation)
        self._looks = VaultLooks(lambda: FolderVault(record.name, folder, server.disk, installation), server.clock)
        self._began = server.clock.monotonic()

    def look(self) -> list[Told]:
        clock, record = self._server.clock, self.guest.record
        rules = self.alarming.rules
        rules.limits = msgspec.structs.replace(rules.limits, writer_silent=float(record.dead_man_seconds))
        look = self._looks.look(None, ())
        since = {record.name: self._heard(look)} if record.dead_man_seconds else {}
        sight = Sight(
            now=clock.now(),
            monotonic=clock.monotonic(),
            up_seconds=clock.monotonic() - self._began,
            vaults=(VaultSeen(name=record.name, sync=True, available=look.available, dropped=look.dropped),),
            rooms=tuple(self._rooms(record, look)),
            writers=writers_seen(since, clock.monotonic()),
            witnesses=tuple(self.alarming.box.witnesses()),
        )
        return self.alarming.look(sight, {"incidents": list(self._incidents())})

    def _incidents(self) -> Iterator[dict[str, str]]:
        """Two writers that raced are refused once or twice, and open their log anew; more is somebody else."""
        if why := self._server.guests.closed.get(self.guest.id):
            yield {
                "what": "guest closed",
                "key": self.guest.record.name,
                "message": f"the record of {self.guest.record.name} cannot be read: {why}. Nobody is let in for it",
                "summary": "A guest's record cannot be read",
                "hint": f"bring back guest.json in installations/{self.guest.id}",
            }
        refused = read_refused(self._server, self.guest.id)
        now = self._server.clock.now()
        if refused is None or refused.count <= RACES or now - refused.last > DAY_MICROSECONDS:
            return
        name = self.guest.record.name
        yield {
            "what": "forks refused",
            "key": name,
            "message": f"{refused.count} requests with the token of {name} would have made void what its vault holds, "
            f"the first at {stamp(refused.first)}, after frame {refused.frame}: {refused.why}",
            "summary": "Somebody tries to make a vault void",
            "hint": "nothing was lost here. What came after that frame may be somebody else's: see who has the keys of "
            "the installation, and take its token back (`safehold vault guests --revoke`)",
        }

    def _heard(self, look: VaultLook) -> float:
        """When something new was last seen of the guest, by the monotonic clock; a restart of the server is no sign."""
        clock = self._server.clock
        newest = [look.last_number, look.last_frame or 0]
        if look.available and newest != self._last.newest:
            self._last = Heard(newest, clock.now())
            self._heard_at = clock.monotonic()
            with suppress(OSError):  # lost, it is missed a little later
                write_whole(self._server.disk, f"{self._folder}/{HEARD}", msgspec.json.encode(self._last))
        return self._heard_at

    def _remembered(self) -> Heard:
        try:
            return msgspec.json.decode(read_whole(self._server.disk, f"{self._folder}/{HEARD}"), type=Heard)
        except msgspec.DecodeError:
            return Heard([], self._server.clock.now())

    def _rooms(self, record: GuestRecord, look: VaultLook) -> Iterator[RoomSeen]:
        if record.quota_bytes and look.bytes is not None:
            room = max(0, record.quota_bytes - look.bytes)
            yield RoomSeen(f"the quota of {record.name}", room, record.quota_bytes)


class ServerAlarms:
    """`look` by a thread of its own, or by who drives it without one."""

    def __init__(self, server: ServerFolder, config: ServerConfig) -> None:
        self._server = server
        self._config = config
        self._guests: dict[str, _GuestAlarms] = {}
        self._scheduler = ThreadScheduler()
        self._rounds = Rounds("alarms", lambda: self.look(deliver=True), self._pause)

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        if self._rounds.stop(END_SECONDS):
            for known in self._guests.values():
                known.alarming.stop()
        self._scheduler.stop(END_SECONDS)

    def _pause(self) -> float:
        shortest = min((g.guest.record.dead_man_seconds or LOOK_SECONDS for g in self._guests.values()), default=4.0)
        return max(0.5, min(LOOK_SECONDS, shortest / LOOKS_WITHIN))

    def look(self, *, deliver: bool = False) -> list[Told]:
        """One look at every guest that has come. What one guest's vault does is in no other's way."""
        told = []
        there = {guest.id: guest for guest in self._server.guests.all() if guest.record.installation}
        for name in set(self._guests) - set(there):
            del self._guests[name]
        for name, guest in there.items():
            known = self._guests.get(name) or self._begin(guest, deliver)
            known.guest = guest
            try:
                told += known.look()
            except Exception:
                _log.exception("the look at a guest failed; it is tried again")
        return told

    def _begin(self, guest: Guest, deliver: bool) -> _GuestAlarms:
        found = _GuestAlarms(self._server, self._config, guest)
        if deliver:
            for worker in found.alarming.workers:
                self._scheduler.add(worker)
                found.alarming.wake = self._scheduler.wake
        self._guests[guest.id] = found
        return found

    def workers(self) -> Iterator[Worker]:
        """Of all guests, for who drives them without threads."""
        for known in self._guests.values():
            yield from known.alarming.workers
