"""The care of a running service's core, wired: read repair for its readers, and a thread that mends and checks.

The thread is the service's own: it computes little, sleeps most of the time, and what takes long in it (page checksums,
reads of the core) runs outside of the interpreter's lock. The writer's turn it takes as housekeeping does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from safehold.adapters.threads import in_daemon
from safehold.assembly import renewal
from safehold.assembly.core_check import CoreCare
from safehold.assembly.read_repair import repair_for
from safehold.assembly.scrubbing import evidence_sealer
from safehold.assembly.site import Site
from safehold.assembly.writer import Writer
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.model.errors import BodiesDamaged, Damaged, OperatorError, OutOfSpace, SafeholdError
from safehold.ports.care import CareStore
from safehold.service.incidents import Incidents
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.evidence import put_evidence

#: A start has enough to do: the check begins so much later.
FIRST_SECONDS = 5.0
#: The thread looks at least so often whether there is something to mend.
LOOK_SECONDS = 1.0
#: The writer's turn may take so long to come.
TURN_SECONDS = 60.0
#: Whether the core can be renewed is looked at so often, where it could not.
RENEW_AGAIN_SECONDS = 60.0
#: A core that the start could not make anew is served so long before the next start tries.
SERVED_ON_SECONDS = 3600.0
#: Pieces that evidence names.
MAX_NAMED = 1000
#: Why a core is made anew whose file is not the one that was opened.
REMOVED = "its file was removed or replaced while the service ran"
NOT_RENEWED = "core not renewed"

T = TypeVar("T")
Exclusive = Callable[[Callable[[], Any]], Awaitable[Any]]

_log = logging.getLogger("safehold.care")


class Caring:
    """Made on the event loop's thread, before the writer is opened."""

    def __init__(self, site: Site, writer: Writer, exclusive: Exclusive, renew: Callable[[], None]) -> None:
        """`exclusive` runs work in the writer's turn; `renew` ends the service, which then begins again."""
        self._site = site
        self._writer = writer
        self._exclusive = exclusive
        self._end_to_renew = renew
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._checking: SqliteCore | None = None
        self._blobs: LiveBlobs | None = None
        self._began = site.clock.monotonic()
        self._why_renew = ""
        self._file = _file_at(site.core_path)  # the one that the service has open
        self._renew_looked = -RENEW_AGAIN_SECONDS
        #: Nothing is checked and nothing renewed while a recovery fills the core.
        self.resting: Callable[[], bool] = lambda: False
        self.incidents = Incidents(site.clock)
        self.repair, self._close_repair = repair_for(site, self.incidents)
        self.repair.on_brought = self._wake.set
        self.care = CoreCare(
            self.repair,
            self._check_reads,
            self._in_turn,
            site.clock,
            self.incidents,
            site.disk,
            str(site.core_check_path),
            bytes_per_second=site.config.core_check_bytes,
            check_blob=self._check_blob,
            renew=self._ask_for_renewal,
            record=self._record,
        )
        writer.body_source, writer.on_damage = self.repair.hasty, self.met

    # -- for the service

    def look_after(self, core: SqliteCore, *, may_wait: bool) -> SqliteCore:
        """A connection that reads: where its bodies come from, and who hears of damage."""
        core.source = self.repair.patient if may_wait else self.repair.hasty
        core.on_damage = self.met
        return core

    def met(self, error: Damaged) -> None:
        """From any thread."""
        self.care.met(error)
        self._wake.set()

    def blob_mended(self, name: bytes) -> None:
        self.care.blob_mended(name)
        self._wake.set()

    def use_blobs(self, blobs: LiveBlobs) -> None:
        self._blobs = blobs

    async def bring(self, error: BodiesDamaged) -> None:
        """Raises Held."""
        await asyncio.wrap_future(in_daemon(partial(self.repair.bring, error.bodies), "read repair"))

    def status(self) -> dict[str, Any]:
        wanted = renewal.wanted(self._site)
        return {**self.care.status(), "renewal": None if wanted is None else wanted.reason}

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="core care", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """To be called off the event loop: the thread may wait for a turn there."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TURN_SECONDS)
        self._close_repair()
        if self._checking is not None:
            self._checking.close()

    # -- the thread

    def _run(self) -> None:
        self._wake.wait(FIRST_SECONDS)
        while not self._stop.is_set():
            self._wake.clear()
            seconds = LOOK_SECONDS
            try:
                self._bring_what_stops_the_writer()  # a recovery waits for the writer too
                if not self.resting():
                    self._look_at_the_file()
                    seconds = self.care.step()
                    self._renew_if_wanted()
            except Exception:
                _log.exception("the care of the core failed; it is tried again")
            if seconds > 0:
                self._wake.wait(seconds)

    def _in_turn(self, work: Callable[[CareStore], T]) -> T | None:
        def turn() -> T | None:
            if self._writer.engine.stopped is not None:
                return None
            core = self._writer.engine.core
            assert isinstance(core, SqliteCore)
            return work(core)

        async def wait() -> T | None:
            found: T | None = await self._exclusive(turn)
            return found

        if self._stop.is_set():
            return None
        future = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        try:
            return future.result(TURN_SECONDS)
        except TimeoutError:
            future.cancel()
            return None

    def _bring_what_stops_the_writer(self) -> None:
        stopped = self._writer.engine.stopped
        if isinstance(stopped, BodiesDamaged):
            try:
                self.repair.bring(stopped.bodies)
            except SafeholdError as error:
                _log.error("the writer waits for a body that cannot be had: %s", error.message)

    # -- what the parts need

    def _check_reads(self) -> SqliteCore:
        if self._checking is None:
            self._checking = self._site.open_reads()
        return self._checking

    def _check_blob(self, name: bytes, size: int, digest: bytes) -> tuple[bool, bool]:
        """(fine, mended). Raises Held. What is not here is fetched by who asks for it."""
        if self._blobs is None:
            return True, False
        fine = self._blobs.check(name, size, digest)
        if fine is False:
            self._blobs.restore(name, size, digest)
        return True, fine is False

    def _record(self, mended: list[str]) -> None:
        """Evidence in the vaults, where a key to sign it is here."""
        site = self._site
        sealer = evidence_sealer(site)
        if sealer is None:
            return
        facts = {"of": "core", "mended": mended[:MAX_NAMED], "mended_count": len(mended)}
        position = self._check_reads().log_position()
        value = Evidence(evidence_format.VERSION, "repair", site.clock.now(), "", position, b"", facts)
        vaults = [site.vault(config) for config in site.config.vaults]
        try:
            put_evidence(vaults, sealer, site.clock, value)
        except (OperatorError, OutOfSpace) as error:
            _log.warning("no evidence of what was mended could be kept: %s", error.message)
        finally:
            for vault in vaults:
                vault.close()

    # -- renewing

    def _look_at_the_file(self) -> None:
        """Whoever removes the core below a service leaves it one without a name: it serves on, and ends with it."""
        if _file_at(self._site.core_path) != self._file:
            self._why_renew = self._why_renew or REMOVED
        elif self._why_renew == REMOVED:  # it was put back
            self._why_renew = ""
            self.incidents.end(NOT_RENEWED)

    def _ask_for_renewal(self, reason: str) -> None:
        self._why_renew = reason

    def _renew_if_wanted(self) -> None:
        now = self._site.clock.monotonic()
        if not self._why_renew or now - self._renew_looked < RENEW_AGAIN_SECONDS:
            return
        self._renew_looked = now
        if renewal.wanted(self._site) is not None and now - self._began < SERVED_ON_SECONDS:
            return  # this start could not make it anew

        def mark_in_turn(core: CareStore) -> str:
            assert isinstance(core, SqliteCore)
            why = renewal.why_not(self._site, core, self._writer.engine.log.position)
            if not why and self._site.has_core():  # one that is missing needs no mark
                renewal.mark(self._site, self._why_renew)
            return why

        try:
            why = self._in_turn(mark_in_turn)
        except (SafeholdError, OSError) as error:
            why = str(error)
        if why is None:
            why = "nothing is written now"
        if why:
            self.incidents.note(
                NOT_RENEWED,
                message=f"the core is damaged ({self._why_renew}) and cannot be made anew from the vaults now: {why}",
                hint="what is whole is served; see what `safehold recover plan` says before the core is given up",
            )
            return
        _log.error("the core is made anew from the vaults: %s. The service begins again.", self._why_renew)
        self._loop.call_soon_threadsafe(self._end_to_renew)


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
