"""Uses on their way into the record: beside the request, and without harm where it cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from safehold.lab.world import SimClock
from safehold.model.commands import NoteUse, Outcome
from safehold.model.errors import Held, NotFound
from safehold.model.items import Account
from safehold.service.auth import SignedIn
from safehold.service.uses import RETRY_SECONDS, Uses
from safehold.web.noting import UseNotes

WHO = SignedIn(Account(1, bytes(16), "ann", False), "phone")


class Writer:
    """Takes commands once it is let, and fails as it is told."""

    def __init__(self) -> None:
        self.commands: list[NoteUse] = []
        self.failure: Exception | None = None
        self.let = asyncio.Event()
        self.let.set()

    async def execute(self, command: NoteUse) -> Outcome:
        self.commands.append(command)
        await self.let.wait()
        if self.failure is not None:
            raise self.failure
        return Outcome()


def run(test: Callable[[Writer, UseNotes, SimClock], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        writer, clock = Writer(), SimClock()
        await test(writer, UseNotes(Uses(clock), writer.execute), clock)

    asyncio.run(main())


def test_the_request_does_not_wait_and_the_end_does() -> None:
    async def test(writer: Writer, notes: UseNotes, _: SimClock) -> None:
        writer.let.clear()
        notes.note(WHO, "khal")
        notes.note(WHO, "khal")
        assert writer.commands == []
        ending = asyncio.create_task(notes.drain())
        while not writer.commands:
            await asyncio.sleep(0)
        assert not ending.done()
        writer.let.set()
        await ending
        assert [command.program for command in writer.commands] == ["khal"]

    run(test)


@pytest.mark.parametrize("failure", [Held("a vault is away"), RuntimeError("a bug")])
def test_what_failed_is_written_later_and_is_raised_nowhere(failure: Exception) -> None:
    async def test(writer: Writer, notes: UseNotes, clock: SimClock) -> None:
        writer.failure = failure
        notes.note(WHO, "khal")
        await notes.drain()
        notes.note(WHO, "khal")
        await notes.drain()
        assert len(writer.commands) == 1
        clock.advance(RETRY_SECONDS + 1)
        notes.note(WHO, "khal")
        await notes.drain()
        assert len(writer.commands) == 2

    run(test)


def test_a_password_that_was_revoked_meanwhile_is_not_tried_again() -> None:
    async def test(writer: Writer, notes: UseNotes, clock: SimClock) -> None:
        writer.failure = NotFound("there is no app password 'phone'")
        notes.note(WHO, "khal")
        await notes.drain()
        clock.advance(RETRY_SECONDS + 1)
        notes.note(WHO, "khal")
        await notes.drain()
        assert len(writer.commands) == 1
        notes.forget(WHO.account.id)
        notes.note(WHO, "khal")
        await notes.drain()
        assert len(writer.commands) == 2

    run(test)
