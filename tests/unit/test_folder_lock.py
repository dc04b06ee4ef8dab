"""The lock on a data folder: who finds it taken, and for how long they wait."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from safehold.adapters.lock import FolderLock, Locked

_HOLD = """
import sys
from safehold.adapters.lock import FolderLock
with FolderLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_without_patience_a_lock_that_is_taken_is_told_at_once_by_whom(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        with pytest.raises(Locked, match=str(process.pid)):
            FolderLock(str(tmp_path / "lock")).acquire()
        process.communicate("\n")


def test_with_patience_it_is_had_once_its_holder_has_ended(tmp_path: Path) -> None:
    lock = FolderLock(str(tmp_path / "lock"), patience_seconds=60)
    with _holder(tmp_path / "lock") as process:
        assert process.stdin is not None
        process.stdin.close()  # its holder ends with that, some moments later
        with lock:
            assert process.wait() == 0


def test_patience_ends(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        with pytest.raises(Locked):
            FolderLock(str(tmp_path / "lock"), patience_seconds=0.2).acquire()
        process.communicate("\n")
