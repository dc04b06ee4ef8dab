"""Sign-in on an event loop: one slow hash for the same credentials, and nothing left behind when it goes wrong."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from safehold.lab.world import CheapHasher, SeededEntropy, SimClock
from safehold.model.errors import Held, Unauthenticated
from safehold.model.items import Account
from safehold.service.auth import Authenticator
from safehold.web.signin import SignIn
from tests.support.identities import Identities

PEER = "192.0.2.1"
PATIENCE_SECONDS = 300.0


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anna:{password}".encode()).decode()


class GatedHasher(CheapHasher):
    """A hash that is as slow as the test wants: `verify` waits until `gate` is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    def verify(self, hashed: str, password: str) -> bool:
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.fault is not None:
            raise self.fault
        return super().verify(hashed, password)


class World:
    def __init__(self) -> None:
        self.hasher = GatedHasher()
        self.reads = Identities()
        self.anna = self.reads.add("anna", self.hasher.hash("right"))
        auth = Authenticator(cast(Any, self.reads), self.hasher, SimClock(), SeededEntropy(1))
        self.sign_in = SignIn(auth)

    def ask(self, password: str = "right") -> Any:
        return self._account(password)

    async def _account(self, password: str) -> Account:
        return (await self.sign_in.authenticate(basic(password), PEER)).account


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.sign_in.close()


def test_the_same_credentials_at_once_are_hashed_once(world: World) -> None:
    async def run() -> None:
        world.hasher.gate.clear()
        asked = [asyncio.create_task(world.ask()) for _ in range(50)]
        await asyncio.sleep(0)
        world.hasher.gate.set()
        assert await asyncio.gather(*asked) == [world.anna] * 50

    asyncio.run(run())
    assert world.hasher.verified == 1


def test_a_wrong_password_is_told_to_everybody_who_sent_it(world: World) -> None:
    async def run() -> list[Any]:
        return await asyncio.gather(*(world.ask("wrong") for _ in range(5)), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(run())] == [Unauthenticated] * 5
    assert world.hasher.verified == 1


def test_a_request_that_is_broken_off_does_not_take_the_check_from_others(world: World) -> None:
    async def run() -> None:
        world.hasher.gate.clear()
        first, second = asyncio.create_task(world.ask()), asyncio.create_task(world.ask())
        await asyncio.sleep(0)
        first.cancel()
        world.hasher.gate.set()
        assert await second == world.anna
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_a_check_that_everybody_left_still_ends(world: World) -> None:
    async def run() -> None:
        world.hasher.gate.clear()
        asked = asyncio.create_task(world.ask("wrong"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        world.hasher.gate.set()
        assert await world.ask() == world.anna

    asyncio.run(run())


@pytest.mark.parametrize("fault", [lambda: Held("no memory"), lambda: ValueError("a bug")])
def test_a_hash_that_cannot_be_worked_out_is_503_and_no_wrong_password(
    world: World, fault: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        world.hasher.fault = fault()
        for _ in range(30):
            with pytest.raises(Held):
                await world.ask()
        world.hasher.fault = None
        assert await world.ask() == world.anna

    asyncio.run(run())
    assert str(fault()) in caplog.text
