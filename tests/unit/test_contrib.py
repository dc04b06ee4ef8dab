"""Units and crontab in contrib/: systemd takes them, and every command in them is one of this program's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from safehold.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "contrib" / "systemd"
PROGRAM = "/opt/safehold/bin/safehold"
#: Without these a service could do more than it needs.
HARDENED = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "CapabilityBoundingSet=",
)


def lines() -> list[tuple[str, str]]:
    """Every line that calls this program, from its first word on, by the file it stands in."""
    found = []
    for path in [*sorted(UNITS.glob("*.service")), ROOT / "contrib/cron/safehold"]:
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                found += [(path.name, call) for call in re.findall(rf"{PROGRAM} ([^>|]+)", line)]
    return found


@pytest.mark.parametrize(("name", "call"), lines())
def test_every_call_can_be_parsed(name: str, call: str) -> None:
    words = call.split()
    if words[0] == "alarm" and "alarm" not in COMMANDS:
        pytest.skip("the command is not there")
    build_parser(words[0]).parse_args(words)
    assert name


def test_every_job_has_a_unit_and_a_timer() -> None:
    jobs = {"snapshot", "scrub", "keeper", "drill", "alarm-test"}
    servers = {"safehold", "safehold-vault-server"}
    assert {path.stem for path in UNITS.glob("*.service")} == {*servers, *(f"safehold-{job}" for job in jobs)}
    assert {path.stem for path in UNITS.glob("*.timer")} == {f"safehold-{job}" for job in jobs}
    for path in UNITS.glob("*.service"):
        text = path.read_text()
        assert all(option in text for option in HARDENED), path.name
    assert all("Persistent=yes" in path.read_text() for path in UNITS.glob("*.timer"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_them(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, str(program)))
    units = sorted(str(tmp_path / path.name) for path in UNITS.iterdir())
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], check=False, capture_output=True, text=True, timeout=60
    )
    wrong = [line for line in told.stderr.splitlines() if str(tmp_path) in line or "safehold" in line]
    assert told.returncode == 0 and wrong == [], told.stderr
    (tmp_path / "safehold-scrub.timer").write_text("[Timer]\nOnCalendar=sometimes\n")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units[-1], str(tmp_path / "safehold-scrub.timer")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "sometimes" in told.stderr, "what is wrong is seen"
