"""Which processes descend from one, and what they hold. Imports next to nothing: steps that are timed import it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_SHARE = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for process in found:
        try:
            tasks = os.listdir(f"/proc/{process}/task")
        except OSError:  # it has just ended
            continue
        for task in tasks:
            with suppress(OSError):  # a thread that has just ended
                found += map(int, Path(f"/proc/{process}/task/{task}/children").read_text().split())
    return found


def held_bytes(pid: int) -> int:
    """What a process holds now, of pages that several hold its share; 0 where it has ended."""
    try:
        found = _SHARE.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def cpu_seconds(pid: int) -> float:
    """What a process, and those of its children that it has waited for, have computed so far; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int | str = "self") -> int:
    """What a process has held at its fullest; 0 where it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
