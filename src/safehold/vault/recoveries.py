"""Marks that a recovery leaves in the vaults while it is open: nothing may be retained away from under it.

    recovery/TTTTTTTT.open    put when it has claimed timeline T, before it reads
    recovery/TTTTTTTT.done    put when its core is in place

Empty objects, put if absent. A recovery that was killed stays open until it is run again, or a later one is done: that
has read what the earlier one was to read. A `.done` of a timeline that nobody has claimed counts for nothing: put ahead
of time it would keep retention from ever heeding a recovery again.
"""

from __future__ import annotations

import re

from safehold.ports.vault import Vault
from safehold.vault.segments import timelines

PREFIX = "recovery/"
_NAME = re.compile(r"recovery/(\d{8})\.(open|done)\Z", re.ASCII)


def opened(timeline: int) -> str:
    return f"{PREFIX}{timeline:08d}.open"


def done(timeline: int) -> str:
    return f"{PREFIX}{timeline:08d}.done"


def is_mark(name: str) -> bool:
    """Whether an object of this name is such a mark."""
    return _NAME.match(name) is not None


def open_recoveries(vault: Vault) -> list[int]:
    """Timelines of the recoveries that are open, ascending. Raises VaultDown."""
    begun: set[int] = set()
    ended = 0
    claimed = max(timelines([vault]), default=0)
    for info in vault.list(PREFIX):
        match = _NAME.match(info.name)
        if match is None:
            continue
        if match[2] == "open":
            begun.add(int(match[1]))
        elif int(match[1]) <= claimed:
            ended = max(ended, int(match[1]))
    return sorted(timeline for timeline in begun if timeline > ended)
