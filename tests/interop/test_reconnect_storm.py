"""Five hundred devices at one moment against a service that has just been started again after a kill.

The same with simulated time, many more accounts and no patience for luck: tests/web/test_password_storm.py.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.waiting import until

DEVICES = 500
PEOPLE = tuple(f"user{number}" for number in range(10))
PASSWORD = "correct horse"
WAIT_SECONDS = 600.0
_BODY = b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    for name in PEOPLE:
        service.add_account(name, PASSWORD)
    yield service
    service.close()


def credentials(service: Service) -> list[str]:
    """Of half of the people their own passwords, of the others one of an app."""
    found = []
    for number, name in enumerate(PEOPLE):
        password = PASSWORD
        if number % 2:
            out = service.run("account", "app-password", name, "--label", "phone").out
            assert out is not None
            password = str(out["password"])
        found.append("Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())
    return found


async def ask(port: int, number: int, header: str) -> int:
    """One device lists its address book, over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/dav/{PEOPLE[number % len(PEOPLE)]}/contacts/default/"
    head = (
        f"PROPFIND {path} HTTP/1.1\r\nHost: storm\r\nDepth: 1\r\nAuthorization: {header}\r\n"
        f"User-Agent: device {number}\r\nContent-Length: {len(_BODY)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + _BODY)
    await writer.drain()
    line = await reader.readline()
    await reader.read()
    writer.close()
    return int(line.split()[1])


async def storm(port: int, headers: list[str]) -> tuple[Counter[int], float, float]:
    """What all were told at first, when half of them were in, and when all were; who is told 503 comes again."""
    began = time.monotonic()
    first: Counter[int] = Counter()
    done: list[float] = []

    async def device(number: int) -> None:
        status = await ask(port, number, headers[number % len(headers)])
        first[status] += 1
        while status == 503:
            assert time.monotonic() - began < WAIT_SECONDS
            await asyncio.sleep(1)
            status = await ask(port, number, headers[number % len(headers)])
        assert status == 207, status
        done.append(time.monotonic() - began)

    await asyncio.gather(*(device(number) for number in range(DEVICES)))
    return first, sorted(done)[DEVICES // 2], max(done)


@pytest.mark.long
def test_all_devices_at_once_after_a_restart(service: Service) -> None:
    service.start()
    headers = credentials(service)
    service.kill()
    service.start()
    until(lambda: service.health() == 200)
    first, half, all_in = asyncio.run(storm(service.port, headers))
    print(f"first answers {dict(first)}; half in after {half:.2f} s, all after {all_in:.2f} s")
    assert set(first) <= {207, 503}
    again, half, all_in = asyncio.run(storm(service.port, headers))
    print(f"once more: {dict(again)}; half in after {half:.2f} s, all after {all_in:.2f} s")
    assert again == {207: DEVICES}
