"""A load client that costs little: whole requests are made beforehand, and a connection is one small protocol object.

It speaks just enough HTTP/1.1 for answers with Content-Length over kept-alive connections; anything else ends the run.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

WORDS = ("spring", "budget", "review", "call", "noon", "birthday", "cake", "neighbour", "autumn", "garden", "house")
TICK = os.sysconf("SC_CLK_TCK")


class Round(NamedTuple):
    """What one round of requests took: seconds in all, each latency in seconds, each answer's body if kept."""

    seconds: float
    latencies: list[float]
    server_cpu_seconds: float
    bodies: list[bytes]

    @property
    def a_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_ms_each(self) -> float:
        return self.server_cpu_seconds * 1000 / len(self.latencies)


def contact(number: int, revision: int = 0) -> tuple[str, bytes]:
    """A vCard of about one kilobyte, the same for the same numbers."""
    draw = random.Random(number * 1000 + revision)
    uid = f"{draw.getrandbits(128):032x}" if revision == 0 else f"{random.Random(number * 1000).getrandbits(128):032x}"
    note = " ".join(draw.choices(WORDS, k=95))
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"UID:{uid}",
        f"FN:Person {number}",
        f"N:{number};Person;;;",
        f"TEL;TYPE=CELL:+49{draw.randrange(10**10):010}",
        f"TEL;TYPE=WORK:+49{draw.randrange(10**10):010}",
        f"EMAIL;TYPE=HOME:person{number}@example.org",
        f"ADR;TYPE=HOME:;;{draw.randrange(200)} Long Street;Lübeck;;{draw.randrange(99999):05};DE",
        f"BDAY:19{draw.randrange(40, 99)}-01-1{draw.randrange(9)}",
    ]
    text = "\r\n".join([*lines, *_folded(f"NOTE:{note} {revision}"), "END:VCARD", ""])
    return f"{uid}.vcf", text.encode()


def _folded(line: str) -> Iterator[str]:
    yield line[:75]
    for at in range(75, len(line), 74):
        yield " " + line[at : at + 74]


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A whole request, ready to be sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    if body or method == "PUT":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is whole."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float], keep: list[bytes] | None) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._latencies = latencies
        self._keep = keep
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        following = next(self._requests, None)
        if following is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"\r\ncontent-length:")
        size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head_end + 4 + size:
            return
        if head[9:10] != b"2":
            self._fail(f"answer {self._buffer[: head_end + 304]!r}")
        elif b"transfer-encoding:" in head:
            self._fail("an answer without Content-Length")
        else:
            self._latencies.append(time.perf_counter() - self._sent)
            if self._keep is not None:
                self._keep.append(self._buffer[head_end + 4 :])
            self._buffer = b""
            self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self._fail("the connection was closed")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
            self._transport.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def send(port: int, pid: int, requests: Sequence[bytes], connections: int, *, keep: bool = False) -> Round:
    """Send all requests over so many connections, each one request after the other."""

    async def run() -> Round:
        loop = asyncio.get_running_loop()
        source = iter(requests)
        latencies: list[float] = []
        bodies: list[bytes] = []
        cpu, start = cpu_seconds(pid), time.perf_counter()
        made = [
            (
                await loop.create_connection(
                    lambda: _Connection(source, latencies, bodies if keep else None), "127.0.0.1", port
                )
            )[1]
            for _ in range(connections)
        ]
        await asyncio.gather(*(c.done for c in made))
        return Round(time.perf_counter() - start, latencies, cpu_seconds(pid) - cpu, bodies)

    return uvloop.run(run())
