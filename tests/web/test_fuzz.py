"""Any request, valid, bent or hostile, against an account in memory: it is answered, and the account is as it says.

Each example is a story of some requests on a new core, so that hypothesis can tell a failing one again and shorten it.
`--fuzz N` asks N requests, new ones in each run. Those that took the most processor time are told at the end (`-s`).
"""

from __future__ import annotations

import logging
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.support.asgi import DavGate, Device
from tests.support.fuzz.dice import Dice
from tests.support.fuzz.judge import Got, hold_against, judge
from tests.support.fuzz.model import World
from tests.support.fuzz.requests import Asked, request

STORY = 40  # requests on one core
AT_ONCE = 250  # stories
CI_REQUESTS = 2000
LONG_REQUESTS = 30_000
#: A request that takes so long is a hang: of processor time, whatever else the machine does, and of waiting.
CPU_SECONDS = 20
WAIT_SECONDS = 300


class Hung(BaseException):
    """A request takes for ever. No Exception, so that nobody takes it for a fault and answers."""


@contextmanager
def bounded(asked: Asked) -> Iterator[None]:
    """Raises Hung, with the request, where it does not come to an end."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise Hung(str(asked))

    before = [(s, signal.signal(s, give_up)) for s in (signal.SIGVTALRM, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


class Slowest:
    """The requests that cost most, to be looked at by a person; nothing is judged by them."""

    def __init__(self, count: int = 5) -> None:
        self._count = count
        self.told: list[tuple[float, str]] = []

    def note(self, seconds: float, asked: Asked) -> None:
        if len(self.told) < self._count or seconds > self.told[-1][0]:
            self.told = sorted([*self.told, (seconds, str(asked)[:1500])], reverse=True)[: self._count]

    def __str__(self) -> str:
        return "\n".join(f"{seconds:.3f} s: {asked}" for seconds, asked in self.told)


class Faults(logging.Handler):
    """What was logged as a fault of our own. It is answered 503, so only the log tells."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    handler = Faults()
    logger = logging.getLogger("safehold")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Teller:
    """A device that asks what the dice say and keeps the model."""

    def __init__(self, folder: Path, faults: Faults, slowest: Slowest) -> None:
        gate = DavGate(folder)
        gate.add_account("ada")
        gate.add_account("bob")
        self.device = Device(gate, "ada")
        self.device.loop.set_exception_handler(self._on_loop_fault)
        self.world = World("ada", "http://pim.example:8460")
        self._faults, self._slowest = faults, slowest

    def _on_loop_fault(self, loop: Any, context: dict[str, Any]) -> None:
        self._faults.told.append(f"{context.get('message')} {context.get('exception')!r}")

    def ask(self, asked: Asked) -> Got:
        own = self.device.authorization
        assert own is not None
        headers = {"Host": "pim.example:8460"} | {
            k: v for k, v in asked.headers.items() if all(ord(c) < 256 for c in v)
        }
        login = {"me": own, "none": None, "wrong": "Basic YWRhOndyb25n", "odd": "Basic \xff"}[asked.login]
        path, _, query = asked.target.partition("?")
        raw = path.encode()
        self.device.authorization = login
        body = asked.body
        chunks = [body[:1000], body[1000:2000], body[2000:]] if asked.chunked and body else None
        text = unquote_to_bytes(raw).decode(errors="replace")
        try:
            answer = self.device.ask(
                asked.method, raw, body, headers, chunks=chunks, path=text, query_string=query.encode("latin-1"),
                scheme="http", http_version="1.1", server=("pim.example", 8460), asgi={"version": "3.0"},
            )  # fmt: skip
        finally:
            self.device.authorization = own
        return Got(answer.status, list(answer.headers.items()), answer.body)

    def step(self, dice: Dice) -> None:
        asked = request(dice, self.world)
        note(str(asked))
        begun = time.process_time()
        with bounded(asked):
            got = self.ask(asked)
        self._slowest.note(time.process_time() - begun, asked)
        note(f"-> {got}")
        assert not self._faults.told, self._faults.told.pop()
        judge(asked, got)
        if asked.login == "me":
            self.world.learn(asked, got.status, got.headers, got.body)

    def close(self) -> None:
        self.device.close()


def tell_stories(count: int, faults: Faults, slowest: Slowest) -> None:
    """So many stories that hypothesis draws. Those of another call are others, unless one has failed before."""

    @settings(max_examples=count, report_multiple_bugs=False)
    @given(source=st.randoms(use_true_random=False))
    def story(source: random.Random) -> None:
        faults.told.clear()
        with tempfile.TemporaryDirectory() as folder:
            teller = Teller(Path(folder), faults, slowest)
            try:
                dice = Dice(source)
                for _ in range(STORY):
                    teller.step(dice)
                hold_against(teller.world, teller.ask)
            finally:
                teller.close()

    story()


@pytest.mark.parametrize("requests", [CI_REQUESTS, pytest.param(LONG_REQUESTS, marks=pytest.mark.long)])
def test_whatever_is_asked_is_answered(faults: Faults, pytestconfig: pytest.Config, requests: int) -> None:
    left = max(1, (pytestconfig.getoption("--fuzz") or requests) // STORY)
    slowest = Slowest()
    while left:  # in pieces: hypothesis remembers all that it has drawn
        tell_stories(min(left, AT_ONCE), faults, slowest)
        left -= min(left, AT_ONCE)
    print(f"\n{slowest}")
