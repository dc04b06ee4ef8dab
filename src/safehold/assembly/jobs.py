"""Jobs that are done regularly, by whoever does them: a running service, a timer, a person.

    run/jobs/NAME.lock     held while one runs: never two of a name at once, whatever the process (I86)
    run/jobs/NAME.json     how the last run went (proof/schedule.py)

The commands take the lock and keep the record themselves, so that a timer's run counts as a service's own does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from safehold.adapters.lock import FolderLock, Locked
from safehold.assembly.site import Site
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.whole_file import read_json, write_whole
from safehold.proof.schedule import LastRun

SNAPSHOT, KEEP, SCRUB, DRILL, ALARM_TEST = "snapshot", "keep", "scrub", "drill", "alarm-test"
#: Every job, with the command that does it.
JOBS = {
    SNAPSHOT: "snapshot",
    KEEP: "keeper run --once",
    SCRUB: "scrub",
    DRILL: "drill run --rolling",
    ALARM_TEST: "alarm test",
}


@dataclass
class Run:
    """What a run says of itself before it ends; one that says nothing has gone well."""

    ok: bool = True
    why: str = ""
    finished: bool = True  # it came to its end, whatever it found

    def found(self, why: str) -> None:
        """It came to its end, and something is wrong."""
        self.ok, self.why = False, why

    def failed(self, why: str) -> None:
        """It did not come to its end."""
        self.ok, self.why, self.finished = False, why, False


def _path(site: Site, name: str) -> str:
    return str(site.data / "run" / "jobs" / name)


@contextmanager
def job_run(site: Site, name: str) -> Iterator[Run]:
    """Do a job under its lock, and keep how it went. Raises OperatorError where another process is at it."""
    lock = FolderLock(f"{_path(site, name)}.lock")
    try:
        lock.acquire()
    except Locked as error:
        raise OperatorError(
            f"another process is at the job {name}", hint=f"wait until it has ended: `safehold {JOBS.get(name, name)}`"
        ) from error
    try:
        before = last_run(site, name) or LastRun(since=site.clock.now())
        began = site.clock.now()
        _note(site, name, msgspec.structs.replace(before, began=began, ended=0, ok=False, why=""))
        run = Run()
        try:
            yield run
        except BaseException as error:
            run.failed(error.message if isinstance(error, SafeholdError) else str(error) or type(error).__name__)
            raise
        finally:
            done = began if run.finished else before.done
            failures = 0 if run.finished else before.failures + 1
            ended = site.clock.now()
            last = LastRun(began=began, ended=ended, ok=run.ok, why=run.why, done=done, failures=failures)
            _note(site, name, msgspec.structs.replace(last, since=before.since))
    finally:
        lock.release()


def is_running(site: Site, name: str) -> bool:
    """Whether some process holds the lock now."""
    lock = FolderLock(f"{_path(site, name)}.lock")
    try:
        lock.acquire()
    except Locked:
        return True
    lock.release()
    return False


def last_run(site: Site, name: str) -> LastRun | None:
    """None where it never ran here, or the record cannot be read."""
    return read_json(site.disk, f"{_path(site, name)}.json", LastRun)


def begin_to_count(site: Site, name: str) -> LastRun:
    """From now on a run of it is missed where none comes: to be called by whoever is to see to it."""
    last = last_run(site, name)
    if last is None:
        last = LastRun(since=site.clock.now())
        _note(site, name, last)
    return last


def note_failure(site: Site, name: str, why: str) -> None:
    """A run that could not even begin to keep its own record: a child that did not start, or was killed."""
    before = last_run(site, name) or LastRun(since=site.clock.now())
    now = site.clock.now()
    failures = before.failures + 1
    _note(site, name, msgspec.structs.replace(before, began=now, ended=now, ok=False, why=why, failures=failures))


def _note(site: Site, name: str, last: LastRun) -> None:
    """Whole or not at all; a disk that takes nothing does not hinder the job."""
    with suppress(OSError):
        write_whole(site.disk, f"{_path(site, name)}.json", msgspec.json.encode(last))
