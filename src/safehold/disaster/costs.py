"""What reading and writing costs on the simulated clock, from the moment of a strike on.

The same for all scenarios and seeds, so that their figures can be compared; small worlds on slow disks, so that
figures say something. Before the strike time passes by the calendar alone.

    where                an operation   a sync     a megabyte
    core, blobs, rest    0.1 ms         2 ms       5 ms        a local SSD
    the first vault      0.5 ms         5 ms       20 ms       another disk of the house; the time to open and
                                                               verify what is read is in the megabyte
    every other vault    20 ms          40 ms      100 ms      elsewhere, behind a line
    a new start          5 s                                   the supervisor of the process
    a person             15 min                                from when the operator is told until they act, each time

Only what goes through the disk counts: no work of the processor beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from safehold.lab.world import SimClock

RESTART_SECONDS = 5.0
OPERATOR_SECONDS = 900.0
_MIB = 1 << 20


class Cost(NamedTuple):
    """Seconds."""

    operation: float
    sync: float
    megabyte: float


LOCAL = Cost(0.0001, 0.002, 0.005)
NEARBY = Cost(0.0005, 0.005, 0.020)
AWAY = Cost(0.020, 0.040, 0.100)


class Meter:
    """A `SimDisk.meter` that lets a clock go on while it is `running`. `vaults` are folders, the nearest first."""

    def __init__(self, clock: SimClock, vaults: Sequence[str]) -> None:
        self._clock = clock
        self._costs = {folder: NEARBY if number == 0 else AWAY for number, folder in enumerate(vaults)}
        self.running = False

    def __call__(self, path: str, operation: str, count: int) -> None:
        if not self.running:
            return
        cost = self._costs.get("/" + path.lstrip("/").partition("/")[0], LOCAL)
        if operation == "bytes":
            self._clock.advance(count * cost.megabyte / _MIB)
        elif operation in ("sync", "sync_folder"):
            self._clock.advance(cost.sync)
        else:
            self._clock.advance(cost.operation)
