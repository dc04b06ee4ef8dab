"""Snapshots that a running service has taken: in a child process, out of the way of serving.

One is due when the log has grown by more than a bound since the newest generation (the greater of `snapshots.tail` and
a quarter of what that generation consists of), or `snapshots.hours` have gone by and anything was changed. So what a
recovery has to read of the log is bounded: for each account and kind by what all of them together may have.

The child is `safehold snapshot` in an interpreter of its own, with one worker and low priority; it tells this process
what to seal as it does when a person calls it. It is ended with the service. One that fails is tried again later, after
a pause that doubles, and told among the incidents until one succeeds.
"""

from __future__ import annotations

import json
import logging
import subprocess
from typing import Any, NamedTuple

from safehold.adapters.watch import Watch
from safehold.archiver.generation_ledger import load_ledger
from safehold.archiver.generations import erased_since
from safehold.archiver.log import Mode
from safehold.assembly.children import end_child, start_child
from safehold.assembly.site import Site
from safehold.ports.vault import Vault
from safehold.vault.segments import segments, timelines

#: How far the log has grown is looked at so often.
LOOK_SECONDS = 30.0
PATIENCE_SECONDS = 30.0
NICENESS = 10
BACKOFF_SECONDS = (60.0, 3600.0)
#: A child that was asked to end is killed after this.
ENDING_SECONDS = 5.0
_MICROSECONDS = 1_000_000
_HOUR_SECONDS = 3600

_log = logging.getLogger("safehold.snapshots")


class Tail(NamedTuple):
    """What the log holds that the newest generation does not."""

    generation: int  # 0: there is none
    at: int | None  # µs: when it was written, or the first change where there is none; None: nothing was changed
    changes: int
    bytes: int  # of the log
    run_bytes: int  # of the run objects that the generation consists of


class ScheduledSnapshots:
    """Used on one thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._watch: Watch[Tail] = Watch(
            "a look at the log's tail",
            lambda: look_at_tail(site),
            site.clock,
            fresh_seconds=LOOK_SECONDS,
            patience_seconds=PATIENCE_SECONDS,
        )
        self._child: subprocess.Popen[bytes] | None = None
        self._looked_at: Tail | None = None  # what the child was started for
        self._trouble: dict[str, str] | None = None
        self._pause = BACKOFF_SECONDS[0]
        self._not_before = 0.0

    def tick(self, *, can_start: bool = True) -> None:
        """To be called about once a second."""
        child = self._child
        if child is not None:
            if child.poll() is None:
                return
            self._child = None
            self._ended(child)
            self._watch.wait(0)  # begins a look, though the last one may be fresh
        self._watch.refresh()
        tail = self._watch.seen().found
        if not can_start or tail is None or tail == self._looked_at or not self._due(tail):
            return
        if self._site.clock.monotonic() >= self._not_before:
            self._start(tail)

    def look_again(self) -> None:
        """Somebody has taken a snapshot: what the last look saw no longer holds."""
        self._watch.wait(0)

    def stop(self) -> None:
        """End a child that runs; what it has written is gone on with by the next one."""
        child, self._child = self._child, None
        end_child(child, ENDING_SECONDS)

    def status(self) -> dict[str, Any]:
        """How far the newest generation is behind, as last looked at."""
        tail = self._watch.seen().found
        return {**described(tail), "running": self._child is not None}

    def incidents(self) -> list[dict[str, Any]]:
        return [] if self._trouble is None else [self._trouble]

    def _due(self, tail: Tail) -> bool:
        config = self._site.config
        if not tail.changes or tail.at is None:
            return False
        age = (self._site.clock.now() - tail.at) / _MICROSECONDS
        bound = max(config.snapshot_tail_bytes, tail.run_bytes // 4)
        return tail.bytes > bound or age >= config.snapshot_hours * _HOUR_SECONDS

    def _start(self, tail: Tail) -> None:
        try:
            child = start_child(self._site, "snapshot", "--workers", "1", niceness=NICENESS, stdout=subprocess.PIPE)
        except OSError as error:
            self._failed(f"it could not be started: {error.strerror or error}")
            return
        self._child, self._looked_at = child, tail

    def _ended(self, child: subprocess.Popen[bytes]) -> None:
        output, _ = child.communicate()
        try:
            said = json.loads(output)
        except ValueError:
            said = {}
        if child.returncode == 0:
            _log.info(
                "generation %s: %s changes in %s bytes", *(said.get(k) for k in ("generation", "changes", "bytes"))
            )
            self._trouble, self._pause = None, BACKOFF_SECONDS[0]
        else:
            self._failed(_reason(said) or f"it ended with code {child.returncode}")

    def _failed(self, why: str) -> None:
        _log.warning("no snapshot could be taken: %s; it is tried again in %g seconds", why, self._pause)
        hint = "the log holds everything; see what `safehold snapshot` says"
        self._trouble = {"what": "no snapshot", "message": f"no snapshot could be taken: {why}", "hint": hint}
        self._looked_at = None
        self._not_before = self._site.clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, BACKOFF_SECONDS[1])


def _reason(said: dict[str, Any]) -> str:
    """Why a child did not get all of it done, in its own words."""
    away = "; ".join(f"{one['vault']}: {one['why']}" for one in said.get("away", ()))
    return str(said.get("error") or away)


def described(tail: Tail | None) -> dict[str, Any]:
    """For the status object."""
    if tail is None:
        return {"generation": None, "at": None, "tail_changes": None, "tail_bytes": None}
    at = tail.at if tail.generation else None
    return {"generation": tail.generation or None, "at": at, "tail_changes": tail.changes, "tail_bytes": tail.bytes}


def look_at_tail(site: Site) -> Tail:
    """From the ledger, the core, and a listing of the log. For a thread that may hang."""
    newest = load_ledger(site.disk, str(site.ledger_path)).newest
    timeline, frame = (0, 0) if newest is None else newest.manifest.upto[:2]
    core = site.open_reads()
    try:
        changes, oldest = core.unarchived(frame)
        if newest is not None and not changes and core.log_position().frame > frame:
            changes = int(erased_since(core, newest.manifest.previous[0], frame))
    finally:
        core.close()
    vault = next((v for v in map(site.vault, _sync_first(site)) if v.available()), None)
    return Tail(
        frame,
        oldest if newest is None else newest.manifest.at,
        changes,
        0 if vault is None else log_bytes(vault, timeline, frame),
        0 if newest is None else sum(entry.object.size for entry in newest.manifest.runs),
    )


def _sync_first(site: Site) -> list[Any]:
    return sorted(site.config.vaults, key=lambda vault: vault.mode != Mode.SYNC)


def log_bytes(vault: Vault, timeline: int, frame: int) -> int:
    """Bytes of segments that hold frames after this one. The segment that it lies in is left out."""
    total = 0
    for later in timelines([vault]):
        if later < timeline:
            continue
        for name, holders in segments([vault], later).items():
            if name.first > frame or later > timeline:
                total += holders[0].size
    return total
