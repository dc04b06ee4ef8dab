"""What a run was made with: the machine and the versions."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("granian", "uvloop", "apsw", "msgspec", "zstandard", "pyrage", "cryptography", "lxml")


def machine() -> str:
    """The processor, how many of it, memory and the kernel."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"


def versions() -> str:
    found = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version} in the bare handler"]
    return ", ".join(found + [f"{name} {version(name)}" for name in LIBRARIES])
