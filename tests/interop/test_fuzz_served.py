"""The fuzz over the wire: against the program that people run, with real connections, real threads and a real disk.

`--fuzz N` sends N / 10 requests, `--fuzz-seed` other ones; the same seed sends the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from tests.interop.conftest import Running
from tests.support.fuzz.dice import Dice, mangled
from tests.support.fuzz.judge import Got, hold_against, judge, look, take_in
from tests.support.fuzz.model import World
from tests.support.fuzz.requests import Asked, request
from tests.support.fuzz.wire import Wire, heard

CI_REQUESTS = 1500
LONG_REQUESTS = 15_000
RAW_REQUESTS = 150
#: What the process may have grown by in the second half: its caches are full by then.
GROWTH_BYTES = 24 << 20
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d ").match
_FAULT = re.compile(r"Traceback|no fault of its own|panicked|never retrieved")

MALFORMED = (
    *(
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\x00" * 100,
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\n",
        b"GET /\r\n\r\n",
    ),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dav/ HTTP/1.1\nHost: x\n\n",
    b"GET /dav/ HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nA b: y\r\n\r\n",
    b"GET /dav/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\xc3\x84T /dav/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/dav/ HTTP/1.1\r\nHost: y\r\n\r\n",
    b"GET //x//dav/ HTTP/1.1\r\nHost: y\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 2_000_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nx",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000,
    b"PUT /dav/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AA\r\n\r\n",
    b"GET /dav/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
)


@pytest.fixture(scope="module")
def wire(running: Running) -> Iterator[Wire]:
    running.service.add_account("bob", "another horse")
    found = Wire(running.service.port, running.user, running.password)
    yield found
    found.close()


def no_fault_logged(running: Running) -> None:
    told = running.service.log.read_text(errors="replace")
    found = _FAULT.search(told)
    assert found is None, told[max(0, found.start() - 500) :][:6000]


@pytest.mark.parametrize("requests", [CI_REQUESTS, pytest.param(LONG_REQUESTS, marks=pytest.mark.long)])
def test_the_served_program_bears_it_and_does_not_grow(
    running: Running, wire: Wire, pytestconfig: pytest.Config, requests: int
) -> None:
    seed = pytestconfig.getoption("--fuzz-seed")
    asked = (pytestconfig.getoption("--fuzz") or requests * 10) // 10
    print(f"--fuzz-seed {seed}, {asked} requests")
    dice = Dice(random.Random(seed))
    world = World(running.user, running.url)
    wire.refused_by_server = wire.closed_without_answer = 0

    def ask(request: Asked) -> Got:
        got = wire.ask(request)
        assert got is not None, f"the connection was closed on {request}"
        return got

    def some(count: int) -> None:
        for number in range(count):
            request_ = request(dice, world)
            got = wire.ask(request_)
            if got is None:
                take_in(world, ask, heard(request_))
                continue
            try:
                judge(request_, got)
                if request_.login == "me":
                    world.learn(heard(request_), got.status, got.headers, got.body)
            except AssertionError as error:
                raise AssertionError(f"request {number} of seed {seed}: {request_}\n-> {got}") from error
        no_fault_logged(running)

    world.items, world.collections = look(world, ask)
    some(asked // 2)
    before = running.service.memory()
    some(asked - asked // 2)
    grown = running.service.memory() - before
    hold_against(world, ask)
    assert wire.closed_without_answer + wire.refused_by_server < asked / 4, "most of it is HTTP"
    assert grown < GROWTH_BYTES, f"{grown >> 20} MiB more than half-way"


def test_what_is_no_http_is_refused_or_left(running: Running, wire: Wire, pytestconfig: pytest.Config) -> None:
    dice = Dice(random.Random(pytestconfig.getoption("--fuzz-seed")))
    world = World(running.user, running.url)
    made = [mangled(dice, wire.written(request(dice, world))[:20_000]) for _ in range(RAW_REQUESTS)]
    for data in (*MALFORMED, *made):
        said = wire.raw(data)
        assert not said or _STATUS_LINE(said), (data[:2000], said[:200])
        assert not said.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), (data[:2000], said[:500])
    assert running.service.health() == 200
    no_fault_logged(running)
