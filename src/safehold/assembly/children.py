"""Work of a running service in processes of their own: other commands of this program, with low priority."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from safehold.assembly.site import Site


def start_child(site: Site, *words: str, niceness: int, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """`safehold WORDS --json` for this data folder; nothing of it is shown. Raises OSError."""
    line = [sys.executable, "-m", "safehold", *words, "--json"]
    line += ["--data", str(site.data), "--config", str(site.config_path)]
    child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, child.pid, niceness)
    return child


def end_child(child: subprocess.Popen[bytes] | None, seconds: float) -> None:
    """Ask a child that runs to end, and kill it after so many seconds. What it was at the next one goes on with."""
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
