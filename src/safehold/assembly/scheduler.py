"""What a running service sees to by itself, as often as its objectives ask for it, in child processes of low priority.

    snapshot     when the log has grown, or after `snapshots.hours` (scheduled.py)
    keep         every `keeper.hours`, or as `objectives.replay` asks, where that is more often (scheduled_keeper.py)
    scrub        each vault that the keeper's work does not reach often enough, as `objectives.scrub` asks
    drill        rolling, a share of the accounts a day; and whole, as `objectives.drill` asks
    alarm-test   as `alarms.test_days` asks

Scrubs, keeping and drills are heavy: one at a time. Each child is the ordinary command, which takes the job's lock and
keeps its record (jobs.py), so that what a timer or a person did meanwhile counts, and never two of a name run at once,
whatever process began them. What failed is tried again after a pause that doubles. What was missed, because nothing ran
or all tries failed, is an incident until it is caught up with.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from safehold.assembly.children import end_child, start_child
from safehold.assembly.jobs import (
    ALARM_TEST,
    DRILL,
    KEEP,
    SCRUB,
    begin_to_count,
    is_running,
    last_run,
    note_failure,
)
from safehold.assembly.objectives import Measures
from safehold.assembly.scheduled import ScheduledSnapshots
from safehold.assembly.scheduled_keeper import ScheduledKeeper
from safehold.assembly.site import Site
from safehold.proof.durations import DAY
from safehold.proof.schedule import LastRun, due_at, is_due, jitter_seconds, missed_incident, pause_seconds

#: The first heavy job waits so long after a start, which has enough to do.
FIRST_SECONDS = 600.0
#: Whether one is due is looked at so often.
LOOK_SECONDS = 30.0
NICENESS = 19
ENDING_SECONDS = 3.0
ROLLING = "drill-rolling"
#: Beside a service that answers people a drill takes a tenth of a processor at most.
THROTTLED = ("--throttle", "0.1")
_MICROSECONDS = 1_000_000
#: Exit codes of a child that came to its end: done, and found something wrong.
_ENDED = (0, 1)

_log = logging.getLogger("safehold.jobs")


class Wanted(NamedTuple):
    """Something that is to be done every so often. `key` names it, `job` is whose lock and record it has."""

    key: str
    job: str
    words: tuple[str, ...]
    every_seconds: float
    last: LastRun | None


class _Child(NamedTuple):
    wanted: Wanted
    process: subprocess.Popen[bytes]
    began: int  # µs


class Scheduler:
    """Used on one thread. Made by whoever only asks what was missed, too: nothing begins before `tick`."""

    def __init__(self, site: Site, measures: Measures | None = None) -> None:
        self._site = site
        self._measures = measures or Measures(site)
        self.snapshots = ScheduledSnapshots(site)
        self.keeper = ScheduledKeeper(site)
        self._began = site.clock.monotonic()
        self._looked = -LOOK_SECONDS
        self._counting = False
        self._child: _Child | None = None
        self._failures: dict[str, tuple[int, int, str]] = {}  # by key: how many in a row, when (µs), why

    # -- doing -------------------------------------------------------------------------------------------------

    def tick(self, *, writing: bool, whole: bool) -> None:
        """To be called about once a second. `writing`: changes are taken; `whole`: no recovery is under way."""
        if not self._counting:
            self._counting = True
            for name in (SCRUB, KEEP, DRILL, ALARM_TEST):
                begin_to_count(self._site, name)
        self._poll()
        self.snapshots.tick(can_start=writing and whole)
        if not whole:
            return
        kept = self.keeper.running
        self.keeper.tick(can_start=self._child is None)
        if kept and not self.keeper.running:
            self._measures.look_again()
        now = self._site.clock.monotonic()
        if self._child is None and not self.keeper.running and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self.keeper.wanted_seconds = self._measures.cadence().keep
            if now - self._began >= FIRST_SECONDS:
                self._begin_one()

    def stop(self) -> None:
        """End the children that run; what they were at is gone on with by the next ones."""
        self.snapshots.stop()
        self.keeper.stop()
        child, self._child = self._child, None
        end_child(None if child is None else child.process, ENDING_SECONDS)

    def _begin_one(self) -> None:
        """The one that has been due for longest."""
        now = self._site.clock.now()
        due = [wanted for wanted in self._wanted() if self._is_due(wanted, now)]
        if not due:
            return
        first = min(due, key=lambda wanted: due_at(wanted.last, wanted.every_seconds))
        if is_running(self._site, first.job):
            return  # somebody else is at it
        try:
            process = start_child(self._site, *first.words, niceness=NICENESS, stdout=subprocess.PIPE)
        except OSError as error:
            self._failed(first, f"it could not be started: {error.strerror or error}")
            return
        self._child = _Child(first, process, now)

    def _is_due(self, wanted: Wanted, now: int) -> bool:
        failures, failed_at, _ = self._failures.get(wanted.key, (0, 0, ""))
        if failures and 0 <= now - failed_at < pause_seconds(failures) * _MICROSECONDS:
            return False
        last = wanted.last and msgspec.structs.replace(wanted.last, failures=0)
        jitter = jitter_seconds(wanted.key, self._site.opener.installation, wanted.every_seconds)
        return is_due(last, now, wanted.every_seconds, jitter)

    def _poll(self) -> None:
        child = self._child
        if child is None or child.process.poll() is None:
            return
        self._child = None
        self._measures.look_again()
        output, _ = child.process.communicate()
        code = child.process.returncode
        if code in _ENDED:
            self._failures.pop(child.wanted.key, None)
            _log.info("%s has been done%s", child.wanted.key, "" if code == 0 else ": it found something wrong")
            return
        run = last_run(self._site, child.wanted.job)
        if (run is None or run.began < child.began) and is_running(self._site, child.wanted.job):
            return  # another process was faster
        self._failed(child.wanted, _reason(output) or f"it ended with code {code}", child.began)

    def _failed(self, wanted: Wanted, why: str, began: int | None = None) -> None:
        failures = self._failures.get(wanted.key, (0, 0, ""))[0] + 1
        self._failures[wanted.key] = (failures, self._site.clock.now(), why)
        run = last_run(self._site, wanted.job)
        if began is None or run is None or run.began < began or not run.ended:  # it left no word of its own
            note_failure(self._site, wanted.job, why)
        _log.warning("%s failed: %s; it is tried again in %g seconds", wanted.key, why, pause_seconds(failures))

    # -- what is wanted ----------------------------------------------------------------------------------------

    def _wanted(self) -> Iterator[Wanted]:
        """All that this service begins by itself, but for snapshots and keeping."""
        cadence = self._measures.cadence()
        if cadence.scrub is not None:
            for config in self._site.config.vaults:
                words: tuple[str, ...] = ("vault", "scrub", config.name)
                yield Wanted(f"scrub {config.name}", SCRUB, words, cadence.scrub, self._scrubbed(config.name))
        if self._site.identity_beside:
            drills = self._measures.drills()
            newest = drills[-1].at if drills else 0
            whole = max((d.at for d in drills if d.scope == "whole"), default=0)
            if cadence.drill is not None:
                whole_drill = ("drill", "run", *THROTTLED)
                yield Wanted(DRILL, DRILL, whole_drill, cadence.drill, self._as_run(DRILL, whole))
            if cadence.rolling is not None:
                rolling = ("drill", "run", "--rolling", *THROTTLED)
                yield Wanted(ROLLING, DRILL, rolling, cadence.rolling, self._as_run(DRILL, newest))
        alarms = self._site.config.alarms
        if alarms.any and alarms.test_days:
            run = last_run(self._site, ALARM_TEST)
            yield Wanted(ALARM_TEST, ALARM_TEST, ("alarm", "test"), alarms.test_days * DAY, run)

    def _scrubbed(self, vault: str) -> LastRun:
        return self._as_run(SCRUB, self._measures.scrubbed_at(vault) or 0)

    def _as_run(self, job: str, done: int) -> LastRun:
        """A job's record, with when this part of it was last done."""
        run = last_run(self._site, job) or LastRun()
        return msgspec.structs.replace(run, done=done)

    def _kept(self) -> Wanted | None:
        if not self.keeper.able():
            return None
        last = self.keeper.status()["last"]
        run = last_run(self._site, KEEP) or LastRun()
        if not run.failures:
            run = msgspec.structs.replace(run, done=max(run.done, last or 0))
        return Wanted(KEEP, KEEP, ("keeper", "run", "--once"), self.keeper.every_seconds, run)

    # -- telling -----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"snapshots": self.snapshots.status(), "keeper": self.keeper.status(), "jobs": self.jobs()}

    def jobs(self) -> dict[str, dict[str, Any]]:
        """How each stands: how often, when last and next, and whether one runs. Times in µs."""
        now = self._site.clock.now()
        kept = self._kept()
        found = {}
        for wanted in [*self._wanted(), *([] if kept is None else [kept])]:
            last = wanted.last or LastRun()
            running = self._child is not None and self._child.wanted.key == wanted.key
            failures, _, why = self._failures.get(wanted.key, (0, 0, ""))
            found[wanted.key] = {
                "every_seconds": wanted.every_seconds,
                "done": last.done or None,
                "due": max(now, due_at(last, wanted.every_seconds)),
                "running": running or (wanted.job == KEEP and self.keeper.running),
                "ok": not failures and (not last.ended or last.ok),
                "why": why or (last.why if not last.ok else ""),
            }
        return found

    def incidents(self) -> list[dict[str, Any]]:
        return [*self.snapshots.incidents(), *self.keeper.incidents(), *self.missed()]

    def missed(self) -> list[dict[str, Any]]:
        """Of all jobs that are done regularly here; whoever was to do them."""
        now = self._site.clock.now()
        kept = self._kept()
        found = []
        for wanted in [*self._wanted(), *([] if kept is None else [kept])]:
            command = " ".join(wanted.words)
            told = missed_incident(wanted.key, wanted.last, now, wanted.every_seconds, command)
            if told is not None:
                found.append(told)
        return found


def _reason(output: bytes) -> str:
    """Why a child did not come to its end, in its own words."""
    try:
        said = json.loads(output)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    troubles = [f"{v.get('vault')}: {v['trouble']}" for v in said.get("vaults", ()) if v.get("trouble")]
    return str(said.get("error") or "; ".join(troubles))
