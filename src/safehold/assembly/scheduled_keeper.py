"""The keeper of a running service's own vaults: once a day, in a child process, out of the way of serving.

It runs where the keeper's key and the identity lie beside the core, unless `keeper.hours` is 0. The child is `safehold
keeper run --once` in an interpreter of its own, with low priority. It is ended with the service: whatever it was at is
gone on with by the next one. One that fails is tried again after a pause that doubles, and told among the incidents.
"""

from __future__ import annotations

import logging
import subprocess
from typing import Any

import msgspec

from safehold.assembly.children import end_child, start_child
from safehold.assembly.keeping import LastKeep, keeper_incidents, last_keep
from safehold.assembly.site import Site
from safehold.vault.keyring import KEEPER

#: The first time after a start it waits: a start has enough to do.
FIRST_SECONDS = 600.0
#: Whether it is due is looked at so often.
LOOK_SECONDS = 30.0
NICENESS = 19
BACKOFF_SECONDS = (300.0, 6 * 3600.0)
ENDING_SECONDS = 3.0
_HOUR_SECONDS = 3600.0
_MICROSECONDS = 1_000_000
#: Exit codes of a child that came to an end: done, and found something wrong.
_ENDED = (0, 1)

_log = logging.getLogger("safehold.keeper")


class ScheduledKeeper:
    """Used on one thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._child: subprocess.Popen[bytes] | None = None
        self._began = site.clock.monotonic()
        self._looked = -LOOK_SECONDS
        self._not_before = 0.0
        self._pause = BACKOFF_SECONDS[0]
        self._trouble = ""
        self._last: LastKeep | None = last_keep(site)
        #: Besides `keeper.hours`: as often as the objectives ask for it, in seconds.
        self.wanted_seconds: float | None = None

    def tick(self, *, can_start: bool = True) -> None:
        """To be called about once a second."""
        now = self._site.clock.monotonic()
        if self._child is not None:
            code = self._child.poll()
            if code is not None:
                self._child = None
                self._ended(code)
            return
        if not can_start or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if now - self._began >= FIRST_SECONDS and now >= self._not_before and self._due():
            self._start()

    def stop(self) -> None:
        """End a child that runs."""
        child, self._child = self._child, None
        end_child(child, ENDING_SECONDS)

    @property
    def running(self) -> bool:
        return self._child is not None

    @property
    def every_seconds(self) -> float:
        hours = self._site.config.keeper_hours * _HOUR_SECONDS
        return min(hours, self.wanted_seconds) if self.wanted_seconds is not None else hours

    def able(self) -> bool:
        """Whether this service keeps its own vaults at all."""
        site = self._site
        return (
            site.config.keeper_hours > 0 and site.identity_beside and site.disk.exists(str(site.keys_folder / KEEPER))
        )

    def status(self) -> dict[str, Any]:
        last = self._last
        return {
            "here": self.able(),
            "running": self._child is not None,
            "last": None if last is None else last.at,
            "seconds": None if last is None else last.seconds,
            "vaults": [] if last is None else [msgspec.structs.asdict(kept) for kept in last.vaults],
        }

    def incidents(self) -> list[dict[str, Any]]:
        found = keeper_incidents(self._last)
        if self._trouble:
            hint = "see what `safehold keeper run --once` says"
            found.append(
                {"what": "no keeping", "message": f"the vaults could not be kept: {self._trouble}", "hint": hint}
            )
        return found

    def _due(self) -> bool:
        """A clock that was set back makes it due. Somebody may have done it by hand meanwhile."""
        self._last = last_keep(self._site)
        if not self.able():
            return False
        age = 0 if self._last is None else self._site.clock.now() - self._last.at
        return self._last is None or not 0 <= age < self.every_seconds * _MICROSECONDS

    def _start(self) -> None:
        try:
            child = start_child(self._site, "keeper", "run", "--once", niceness=NICENESS)
        except OSError as error:
            self._failed(f"it could not be started: {error.strerror or error}")
            return
        self._child = child

    def _ended(self, code: int) -> None:
        self._last = last_keep(self._site)
        if code in _ENDED:
            self._trouble, self._pause = "", BACKOFF_SECONDS[0]
            _log.info("the vaults were kept in %g seconds", self._last.seconds if self._last is not None else 0.0)
        else:
            troubles = [kept.trouble for kept in self._last.vaults if kept.trouble] if self._last is not None else []
            self._failed("; ".join(troubles) or f"it ended with code {code}")

    def _failed(self, why: str) -> None:
        _log.warning("the vaults could not be kept: %s; it is tried again in %g seconds", why, self._pause)
        self._trouble = why
        self._not_before = self._site.clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, BACKOFF_SECONDS[1])
