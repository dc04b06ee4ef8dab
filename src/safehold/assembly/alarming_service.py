"""Alarms of a running service: a thread that looks every 30 s, and one for each vault, channel and certificate.

Nothing here is waited for by a request: the event loop is asked for the status object, as the local socket asks it, and
everything that may hang (a vault's disk, a mail server, a certificate's host) is looked at in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from safehold.adapters.certificate import certificate_end
from safehold.adapters.threads import ThreadScheduler
from safehold.adapters.watch import Watch
from safehold.assembly.alarming import Alarming, last_test, limits_of, make_channels, make_heartbeat, sender_of
from safehold.assembly.keeping import last_keep
from safehold.assembly.looking import Keys, Looking, Parts, Timings
from safehold.assembly.looking_core import Heard
from safehold.assembly.looking_vault import VaultLook
from safehold.assembly.site import Site
from safehold.assembly.writer import Writer
from safehold.config import VaultConfig
from safehold.formats.keys import Opener
from safehold.model.errors import Damaged, OperatorError, SafeholdError
from safehold.ports.core import CoreReads, LogPosition
from safehold.proof.alarms import LOOK_SECONDS
from safehold.proof.seen import End, RoomSeen
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import RECOVERY, load_identity, load_keyring

#: The first look waits: a start has enough to do.
FIRST_SECONDS = 10.0
#: A look into a vault is waited for so long, and believed for so long.
VAULT_SECONDS, VAULT_KNOWN_SECONDS = 3.0, 120.0
STATUS_SECONDS = 20.0
CERTIFICATE_SECONDS = 6 * 3600.0
ROOM_SECONDS = 30.0
#: Durations kept between two looks; what is more is told apart by nobody.
MOST_TIMED = 5000
END_SECONDS = 3.0

_log = logging.getLogger("safehold.alarms")


class ServiceAlarms:
    """`committed` and `timed` from the writer's thread, `facts` from any, the rest from the service's."""

    def __init__(
        self, site: Site, writer: Writer, status: Callable[[], dict[str, Any]], recovering: Callable[[], bool]
    ) -> None:
        self._site = site
        self._writer = writer
        self._status = status
        self._recovering = recovering
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard = Heard()
        self._appends: deque[float] = deque(maxlen=MOST_TIMED)
        self._commits: deque[float] = deque(maxlen=MOST_TIMED)
        self._reader: SqliteCore | None = None
        self._told_status: dict[str, Any] | None = None
        self._position: LogPosition | None = None
        self._keys = Keys(())
        self._vaults: dict[VaultConfig, Watch[VaultLook]] = {}
        self._rooms: Watch[list[tuple[str, int, int]]] = Watch(
            "room for alarms", site.rooms, site.clock, fresh_seconds=ROOM_SECONDS, patience_seconds=VAULT_SECONDS
        )
        self._certificate: Watch[list[End]] = Watch(
            "a certificate",
            partial(certificates, site.config.public_url),
            site.clock,
            fresh_seconds=CERTIFICATE_SECONDS,
            patience_seconds=60.0,
        )
        self._folder = str(site.data / "run")
        self.alarming = Alarming(
            site.clock, site.disk, self._folder, make_channels(site), sender_of(site), limits_of(site.config)
        )
        self._looking = Looking(self._parts(), self._heard)
        self._heartbeat = make_heartbeat(site.config.alarms, self.alarming)
        self.committed = self._heard.committed

    def timed(self, write: float, commit: float) -> None:
        """How long a frame and its commit took."""
        self._appends.append(write)
        self._commits.append(commit)

    def facts(self) -> dict[str, Any]:
        """For the status object: `alarms`."""
        return self.alarming.facts()

    def start(self, scheduler: ThreadScheduler) -> None:
        for worker in self.alarming.workers:
            scheduler.add(worker)
        if self._heartbeat is not None:
            scheduler.add(self._heartbeat)
        self.alarming.wake = scheduler.wake
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """To be called off the event loop: the thread may wait for the status there."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)
            if not self._thread.is_alive():
                self.alarming.stop()
                if self._reader is not None:
                    self._reader.close()

    # -- the thread

    def _run(self) -> None:
        self._stop.wait(FIRST_SECONDS)
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                _log.exception("the look for alarms failed; it is tried again")
            self._stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """One look at everything; for the thread, and for who wants one now."""
        self._keys = read_keys(self._site)
        self._position = self._looking.position()
        looks = {}
        for config in self._site.config.vaults:
            watch = self._vaults.get(config) or self._watch(config)
            watch.wait(VAULT_SECONDS)
            seen = watch.seen()
            if seen.found is not None and (seen.age_seconds or 0.0) <= VAULT_KNOWN_SECONDS and not seen.overdue:
                looks[config.name] = seen.found
        self._rooms.wait(VAULT_SECONDS)
        self._certificate.refresh()
        self._told_status = self._ask_status() or self._told_status
        if not self._stop.is_set():
            # How old scrubs, replays and drills are is the objectives' to say, which the status object tells.
            self.alarming.look(self._looking.sight(looks, self._keys), self._told_status)

    def _watch(self, config: VaultConfig) -> Watch[VaultLook]:
        watch = self._vaults[config] = Watch(
            f"a look for alarms at the vault {config.name}",
            lambda: self._looking.look_at_vault(config, self._position, self._keys),
            self._site.clock,
            fresh_seconds=LOOK_SECONDS,
            patience_seconds=VAULT_SECONDS,
        )
        return watch

    def _ask_status(self) -> dict[str, Any] | None:
        async def status() -> dict[str, Any]:
            return self._status()

        if self._stop.is_set():
            return None
        future = asyncio.run_coroutine_threadsafe(status(), self._loop)
        try:
            return future.result(STATUS_SECONDS)
        except (Late, TimeoutError):
            future.cancel()
            return None

    # -- where the pieces come from

    def _parts(self) -> Parts:
        site, engine = self._site, self._writer.engine
        tested = partial(last_test, site.disk, self._folder)
        configured = site.config.alarms.any
        return Parts(
            clock=site.clock,
            configs=lambda: site.config.vaults,
            make_vault=site.vault,
            keys=lambda: self._keys,
            reads=self._reads,
            shippers=lambda: self._writer.shippers if engine.stopped is None else (),
            stopped=lambda: engine.stopped,
            refusal=lambda: engine.refusal,
            body_refusal=lambda: self._writer.archive.refusal,
            recovering=self._recovering,
            rooms=self._rooms_seen,
            timings=self._take_timings,
            blob_names=lambda reads: reads.blob_names() if isinstance(reads, SqliteCore) else set(),
            removals=self._removals,
            ends=lambda: self._certificate.seen().found or (),
            witnesses=self.alarming.box.witnesses,
            channels=self.alarming.box.failing,
            last_test=lambda: (found.at if (found := tested()) else 0) if configured else None,
        )

    def _reads(self) -> CoreReads | None:
        """A connection of this thread; None where the core cannot be read: whoever cares for it tells of that."""
        if self._reader is None:
            with suppress(SafeholdError, OSError):
                self._reader = self._site.open_reads()
        return self._reader

    def _rooms_seen(self) -> list[RoomSeen]:
        return [RoomSeen(*room) for room in self._rooms.seen().found or ()]

    def _take_timings(self) -> Timings:
        return Timings(_emptied(self._appends), _emptied(self._commits))

    def _removals(self, vault: str) -> tuple[int, int]:
        """When retention last removed something here, and how many objects."""
        last = last_keep(self._site)
        for kept in last.vaults if last is not None else ():
            if kept.vault == vault and kept.removed:
                return last.at if last is not None else 0, kept.removed
        return 0, 0


def _emptied(durations: deque[float]) -> tuple[float, ...]:
    found = []
    with suppress(IndexError):
        while True:
            found.append(durations.popleft())
    return tuple(found)


def read_keys(site: Site) -> Keys:
    """The keys as they lie on disk now: another process, or somebody's hand, may have changed them."""
    folder = str(site.keys_folder)
    try:
        keyring = load_keyring(site.disk, folder)
    except (OperatorError, OSError, Damaged) as error:
        return Keys((), wrong=f"the keys in {folder} cannot be used: {error}")
    openers: list[tuple[str, Opener]] = []
    if keyring.opener.can_open:
        openers.append(("identity", keyring.opener))
    wrong = ""
    recovery = f"{folder}/{RECOVERY}"
    if site.disk.exists(recovery):
        try:
            opener = load_identity(site.disk, recovery)
        except OperatorError as error:
            wrong = f"the recovery key in {recovery} cannot be read: {error.message}"
        else:
            openers.append(("recovery key", opener))
            if opener.installation != keyring.installation:
                wrong = f"the recovery key in {recovery} is of another installation"
    return Keys(openers, keyring.sealer.recipients, wrong)


def certificates(public_url: str) -> list[End]:
    """The end of the certificate that visitors are shown; nothing where there is none, or nobody answers."""
    parts = urlsplit(public_url)
    if parts.scheme != "https" or not parts.hostname:
        return []
    try:
        return [End("certificate", parts.hostname, certificate_end(parts.hostname, parts.port or 443))]
    except OSError as error:
        _log.info("the certificate of %s could not be looked at: %s", parts.hostname, error)
        return []
