"""What a command does not bring in: starting up is most of what a short command takes.

Held by the modules that a process of its own has loaded at its end, not by a clock.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """\
import sys
from safehold.cli.main import main
code = main(sys.argv[1:])
print("\\n".join(("", "loaded", *sys.modules)))
sys.exit(code)
"""
#: For devices and browsers; for terminals; for signing in; for bringing a core back; for what writes a core.
EDGE = ("safehold.web", "safehold.protocol.webdav", "starlette", "granian", "lxml", "uvloop", "asyncio")
DRAWING = ("rich", "segno")
SIGN_IN = ("argon2", "safehold.adapters.passwords")
RECOVERY = (
    "safehold.recovery.plan",
    "safehold.recovery.build",
    "safehold.recovery.run",
    "safehold.assembly.recovering",
)
WRITING = ("safehold.service", "safehold.assembly.writer", "safehold.archiver.log", "safehold.archiver.shipper")
#: What opens a core or a vault.
ANYTHING = ("safehold.assembly", "safehold.store", "safehold.vault", "msgspec", "apsw", "cryptography", "pyrage")


def loaded(*words: str) -> set[str]:
    """The modules that a command line has loaded when it is done."""
    done = subprocess.run([sys.executable, "-c", SHOW, *words], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.rpartition("\nloaded\n")[2].split())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that has a generation."""
    data = tmp_path_factory.mktemp("startup") / "data"
    loaded("--data", str(data), "snapshot")
    return data


def test_help_brings_in_nothing_of_the_house() -> None:
    there = loaded("--help")
    assert "safehold.cli.parser" in there
    assert not there & {*ANYTHING, *EDGE, *DRAWING, *SIGN_IN}


def test_a_scrub_brings_in_neither_edge_nor_recovery(data: Path) -> None:
    there = loaded("--data", str(data), "vault", "scrub")
    assert "safehold.recovery.scrub" in there
    assert not there & {*EDGE, *DRAWING, *SIGN_IN, *RECOVERY}


@pytest.mark.parametrize("words", [("snapshot",), ("snapshot", "--full")])
def test_a_snapshot_brings_in_neither_edge_nor_sign_in_nor_recovery(words: tuple[str, ...], data: Path) -> None:
    there = loaded("--data", str(data), *words)
    assert "safehold.vault.runs" in there
    assert not there & {*EDGE, *DRAWING, *SIGN_IN, *RECOVERY}
