"""Runs a command and measures it: wall clock, CPU, and the memory of all its processes.

Memory is what all processes of the tree held together at their fullest: pages that several of them share, as forked
ones do, count once (PSS). It is looked at every few milliseconds: what is taken for a moment only may be missed, so a
program of ours tells besides what its first process held at its fullest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from bench.processes import held_bytes, tree

LOOK_SECONDS = 0.05
_TOLD_BYTES = 2000  # of what a command that failed has said


class Ran(NamedTuple):
    """What a command took. `seconds` of a command that was broken off is the limit that it reached."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    out: bytes = b""
    broken_off: bool = False
    inner_seconds: float | None = None  # the work alone, without the start of an interpreter

    def and_(self, other: Ran) -> Ran:
        """One after the other."""
        return Ran(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_bytes, other.peak_bytes),
            other.out,
            self.broken_off or other.broken_off,
        )


class Failed(Exception):
    """A command ended with another exit code than 0."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    limit_seconds: float = 3600.0,
) -> Ran:
    """Raises Failed, with the end of what the command said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=os.environ | dict(env or {}),
            stdin=stdin or subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        peaks = _Peaks(process.pid)
        timer = threading.Timer(limit_seconds, _end, [process])
        timer.start()
        peaks.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        peaks.end()
        broken_off = seconds >= limit_seconds
        if process.returncode != 0 and not broken_off:
            raise Failed(f"{command[0]} ended with {process.returncode}: {_end_of(err)}\n{_end_of(out)}")
        out.seek(0)
        told = out.read()
    return Ran(seconds, usage.ru_utime + usage.ru_stime, peaks.bytes(), told, broken_off)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command leads a session of its own: whatever it has started ends with it."""
    os.killpg(process.pid, signal.SIGKILL)


def _end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TOLD_BYTES))
    return file.read().decode(errors="replace").strip()


@contextmanager
def watched(pid: int) -> Iterator[_Peaks]:
    """What a process and all that descend from it hold meanwhile; read its `bytes` at any time."""
    peaks = _Peaks(pid)
    peaks.start()
    try:
        yield peaks
    finally:
        peaks.end()


class _Peaks(threading.Thread):
    """Looks at a process and all that descend from it until told to end."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self._found = 0

    def run(self) -> None:
        while True:
            self._found = max(self._found, sum(map(held_bytes, tree(self._pid))))
            if self._ended.wait(LOOK_SECONDS):
                return

    def end(self) -> None:
        self._ended.set()
        self.join()

    def bytes(self) -> int:
        return self._found
