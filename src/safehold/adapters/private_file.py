"""Whether a file of secrets is its owner's alone, as ssh asks of its keys."""

from __future__ import annotations

import os
import stat

_OTHERS = 0o077


def why_not_private(path: str, what: str) -> str:
    """What is wrong with who may read a file, and what to do; "" where nothing is, or no file is there."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return ""
    return f"{path} holds {what}, and others may read it: chmod 600 {path}" if mode & _OTHERS else ""
