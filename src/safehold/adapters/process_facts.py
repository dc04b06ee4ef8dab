"""What this process takes of the machine, by the names that Prometheus' client libraries have for it.

Read from /proc, so there is nothing but the interpreter's own where that is not there.
"""

from __future__ import annotations

import gc
import os
import resource
from contextlib import suppress
from functools import cache


def process_facts() -> dict[str, float]:
    """By name of the metric, in base units. A few dozen µs."""
    found: dict[str, float] = {}
    with suppress(OSError, ValueError, IndexError):
        found |= _of_proc()
    for generation, told in enumerate(gc.get_stats()):
        found[f"python_gc_collections_total/{generation}"] = told["collections"]
    return found


def _of_proc() -> dict[str, float]:
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()  # the program's name may hold anything
    ticks = os.sysconf("SC_CLK_TCK")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "process_cpu_seconds_total": (int(fields[11]) + int(fields[12])) / ticks,
        "process_threads": int(fields[17]),
        "process_start_time_seconds": _booted() + int(fields[19]) / ticks,
        "process_virtual_memory_bytes": int(fields[20]),
        "process_resident_memory_bytes": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        "process_open_fds": len(os.listdir("/proc/self/fd")) - 1,  # that of the listing itself
        "process_max_fds": float("inf") if soft == resource.RLIM_INFINITY else soft,
    }


@cache
def _booted() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        return float(next(line.split()[1] for line in file if line.startswith("btime ")))
