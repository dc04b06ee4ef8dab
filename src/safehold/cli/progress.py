"""Progress of long commands on standard error: a bar on a terminal, one line a stage elsewhere.

`Reporter` is a `recovery.report.Progress`: it is called often with (stage, done, total, unit). `Follower` shows how the
recovery of a running service goes on, by what the service says of it: for machines one JSON object a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from safehold.cli.output import is_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

#: A bar is drawn again no sooner than this.
REDRAW_SECONDS = 0.1


class Reporter:
    """Use as a context manager; the bars go when it ends."""

    def __init__(self) -> None:
        self._rich: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._stage = ""
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if is_terminal(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[told]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._rich.start()
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        if self._rich is None:
            if stage != self._stage:
                self._stage = stage
                say(f"{stage} …")
            return
        now = time.monotonic()
        if stage == self._stage and done != total and now - self._drawn < REDRAW_SECONDS:
            return
        self._stage, self._drawn = stage, now
        told = f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}"
        if stage not in self._tasks:
            self._tasks[stage] = self._rich.add_task(stage, total=total or None, told=told)
        self._rich.update(self._tasks[stage], completed=done, total=total or None, told=told)


class Follower:
    """Called with the `recovery` of status objects, as often as they come. Use as a context manager."""

    def __init__(self, *, as_json: bool) -> None:
        self._reporter = None if as_json else Reporter()

    def __enter__(self) -> Self:
        if self._reporter is not None:
            self._reporter.__enter__()
        return self

    def __exit__(
        self, type_: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reporter is not None:
            self._reporter.__exit__(type_, value, trace)

    def __call__(self, recovery: Mapping[str, Any]) -> None:
        if self._reporter is None:
            print(json.dumps(recovery), file=sys.stderr, flush=True)
            return
        for kind, counted in recovery["kinds"].items():
            if counted["entered"]:
                self._reporter(kind, counted["entered"], counted["expected"], "items")
