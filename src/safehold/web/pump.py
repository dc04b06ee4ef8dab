"""From many requests to few transactions: what comes in while one batch is on its way to disk makes the next.

The engine's CPU half (`prepare`) runs on the event loop's thread and its disk half (`finish`) in one other, so
the two never contend for the interpreter: a thread that waits for a disk holds no lock. One batch is on its way
at a time; seals and other work on the writer take their turn between batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context
from typing import TypeVar

from safehold.model.commands import AnyCommand, Outcome, PutItem, Transfer
from safehold.model.errors import Held, SafeholdError
from safehold.service.engine import Batch, Engine
from safehold.web.tracing import REQUESTS, carrying

_log = logging.getLogger("safehold.pump")
T = TypeVar("T")

#: One group commit holds so many commands and inline bytes, at most.
BATCH_COMMANDS = 128
BATCH_BYTES = 4 * 1024 * 1024
#: What a copy or move counts for, whose size shows only when it is judged: most are of one file.
TRANSFER_BYTES = 1024 * 1024
#: Commands that may wait; beyond, the answer is to come again.
QUEUE_LIMIT = 4096

#: A command, its answer, and the requests it is done for.
_Waiting = tuple[AnyCommand, "asyncio.Future[Outcome]", tuple[str, ...]]


class Pump:
    """Feeds an engine from one event loop."""

    def __init__(self, engine: Engine, disk_thread: Executor) -> None:
        self._engine = engine
        self._disk_thread = disk_thread
        self._waiting: deque[_Waiting] = deque()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def execute(self, command: AnyCommand) -> Outcome:
        """Raises what the command's answer is, if an error."""
        if len(self._waiting) >= QUEUE_LIMIT:
            raise Held("too many changes are waiting to be written", retry_after_seconds=5)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future, REQUESTS.get()))
        if self._task is None:
            # In a context of its own: what it logs is not this request's alone.
            self._task = asyncio.create_task(self._run(), context=Context())
        return await future

    async def execute_all(self, commands: Sequence[AnyCommand]) -> list[Outcome | SafeholdError]:
        """Several commands in one transaction of their own, in their order."""
        async with self._turn:
            return (await self._commit(commands)).results

    async def exclusive(self, work: Callable[[], T]) -> T:
        """Run work on the writer between batches, in the disk thread."""
        async with self._turn:
            return await self._on_disk(work)

    @property
    def waiting(self) -> int:
        """Commands that wait for their turn."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a change waits, or is on its way."""
        return self._task is not None

    async def drain(self) -> None:
        """Return once nothing waits."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            while self._waiting:
                async with self._turn:
                    taken = self._take()
                    results = await self._results(taken)
                for (_, future, _), result in zip(taken, results, strict=True):
                    if future.done():  # the request was cancelled; its change stands all the same
                        continue
                    if isinstance(result, SafeholdError):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._task = None

    async def _results(self, taken: Sequence[_Waiting]) -> Sequence[Outcome | SafeholdError]:
        """One for each, whatever happens: nobody is left waiting for an answer that does not come."""
        try:
            REQUESTS.set(tuple(dict.fromkeys(id_ for _, _, ids in taken for id_ in ids)))
            return (await self._commit([command for command, _, _ in taken])).results
        except Exception:
            _log.exception("a batch of %d commands failed", len(taken))
            return [Held("whether this change was taken is not known", hint="try again")] * len(taken)
        except BaseException:
            for _, future, _ in taken:
                future.cancel()
            raise

    async def _commit(self, commands: Sequence[AnyCommand]) -> Batch:
        batch = self._engine.prepare(commands)
        if batch.frame is not None:
            await self._on_disk(lambda: self._engine.finish(batch))
            if batch.frame is not None:
                _log.debug("frame %d: %d changes", batch.frame.position.frame, len(batch.changes))
        return batch

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Whoever is cancelled meanwhile keeps the turn until the work has ended: nobody else may touch the writer."""
        running = asyncio.get_running_loop().run_in_executor(self._disk_thread, carrying(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((running,))
            raise

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and len(taken) < BATCH_COMMANDS and size < BATCH_BYTES:
            entry = self._waiting.popleft()
            size += _weight(entry[0])
            taken.append(entry)
        return taken


def _weight(command: AnyCommand) -> int:
    """Inline bytes that a command brings into its batch, as far as can be told."""
    if isinstance(command, PutItem):
        return len(command.body.inline or b"")
    return TRANSFER_BYTES if isinstance(command, Transfer) else 0
