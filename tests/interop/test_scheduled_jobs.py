"""A service's regular work by the real commands, in processes of their own; and two of a job at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from safehold.assembly import scheduled_keeper, scheduler
from safehold.assembly.drill_record import remembered_drills
from safehold.assembly.installation import Installation
from safehold.assembly.jobs import DRILL, SCRUB, job_run, last_run
from safehold.assembly.objectives import Measures
from safehold.assembly.scheduler import Scheduler
from safehold.assembly.snapshot import take_snapshot
from safehold.config import DEFAULT_TEXT, FILE_NAME, load, write
from safehold.model.commands import AddAccount
from safehold.proof.drills import WHOLE
from tests.support import waiting

PATIENCE_SECONDS = 300.0
NO_KEEPER = DEFAULT_TEXT.replace("hours = 24             # so", "hours = 0              # so")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    for name in ("FIRST_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(scheduler, name, 0.0)
        monkeypatch.setattr(scheduled_keeper, name, 0.0)
    monkeypatch.setattr(scheduler, "NICENESS", 1)  # on a busy machine the real one may wait for minutes
    data = tmp_path / "data"
    write(data / FILE_NAME, NO_KEEPER)
    site = Installation(data, load(data / FILE_NAME))
    site.make()
    with site.session() as session:
        session.execute(AddAccount(account=session.entropy.bytes(16), name="ada", password=None))
    take_snapshot(site, full=False, workers=1)
    return site


def test_vaults_are_scrubbed_and_drilled_by_the_real_commands_and_status_says_so(site: Installation) -> None:
    jobs = Scheduler(site)
    nice: list[int] = []

    def all_done() -> bool:
        jobs.tick(writing=True, whole=True)
        child = jobs._child
        if child is not None and child.process.poll() is None and not nice:
            nice.append(os.getpriority(os.PRIO_PROCESS, child.process.pid))
        told = jobs.jobs()
        return all(told[name]["done"] for name in ("scrub near", "scrub far", "drill", "drill-rolling"))

    try:
        waiting.until(all_done, PATIENCE_SECONDS)
    finally:
        jobs.stop()
    assert nice == [scheduler.NICENESS]
    drills = remembered_drills(site)
    assert any(drilled.ok and drilled.scope == WHOLE for drilled in drills)
    for name in (SCRUB, DRILL):
        run = last_run(site, name)
        assert run is not None and run.ok and run.done and not run.failures, run
    status = site.status()
    states = {name: one["state"] for name, one in {**status["objectives"], **status["evidence"]}.items()}
    assert states["scrub"] == states["drill"] == states["rto"] == states["first_contact"] == "met", status["evidence"]
    assert status["forecast"]["rto"]["drills"] == len(drills) and status["incidents"] == []
    assert not [one for one in Measures(site).drills() if one.forecast_rto_seconds is None]


def test_a_command_that_another_process_is_at_says_so_and_leaves_the_record_alone(site: Installation) -> None:
    line = [sys.executable, "-m", "safehold", "--data", str(site.data), "--json"]
    with job_run(site, SCRUB):
        before = last_run(site, SCRUB)
        ran = subprocess.run([*line, "scrub"], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert ran.returncode == 3 and "another process is at the job scrub" in json.loads(ran.stdout)["error"]
        assert last_run(site, SCRUB) == before
    ran = subprocess.run([*line, "scrub"], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ran.returncode == 0
