"""Uses of app passwords on their way into the record, beside the requests that they came with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from safehold.model.commands import NoteUse, Outcome
from safehold.model.errors import NotFound, SafeholdError
from safehold.service.auth import SignedIn
from safehold.service.uses import Uses

_log = logging.getLogger("safehold.uses")


class UseNotes:
    """Takes uses down without keeping the request waiting. On the event loop."""

    def __init__(self, uses: Uses, execute: Callable[[NoteUse], Awaitable[Outcome]]) -> None:
        self._uses = uses
        self._execute = execute
        self._running: set[asyncio.Task[None]] = set()

    def note(self, who: SignedIn, user_agent: str) -> None:
        command = self._uses.note(who, user_agent)
        if command is not None:
            task = asyncio.create_task(self._write(command))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _write(self, command: NoteUse) -> None:
        try:
            await self._execute(command)
        except NotFound:  # revoked meanwhile
            pass
        except SafeholdError as error:
            self._uses.failed(command)
            _log.warning("the use of an app password is not on record yet: %s", error.message)
        except Exception:
            self._uses.failed(command)
            _log.exception("the use of an app password is not on record")

    def forget(self, account_id: bytes) -> None:
        """The account's app passwords have changed."""
        self._uses.forget(account_id)

    async def drain(self) -> None:
        """Until all that was noted has been written, or could not be."""
        while self._running:
            await asyncio.wait(set(self._running))
