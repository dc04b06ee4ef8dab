"""A load client that costs little: whole requests are made beforehand, and a connection is one small protocol object.

It speaks just enough HTTP/1.1 for answers with Content-Length, in chunks, or to the end of the connection; a server
that closes a connection after an answer gets a new one for the next request, and connecting is not counted.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import uvloop

from bench.processes import tree

WORDS = ("spring", "budget", "review", "call", "noon", "birthday", "cake", "neighbour", "autumn", "garden", "house")
#: What a server does once its answers are out (ship to the async vaults, collect garbage) belongs to the requests: its
#: CPU is read when it has used less than IDLE_SHARE of an interval, or after SETTLE_SECONDS.
IDLE_SHARE = 0.03
SETTLE_INTERVAL_SECONDS = 0.1
SETTLE_SECONDS = 3.0


class Round(NamedTuple):
    """What one round of requests took: seconds in all, each latency in seconds, each answer's body if kept.

    `errors` counts what was answered other than 2xx, by status, and connections that broke, as "closed".
    """

    seconds: float
    latencies: list[float]
    server_cpu_seconds: float
    bodies: list[bytes]
    errors: Counter[str]

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
    text = "\r\n".join([*lines, *folded(f"NOTE:{note} {revision}"), "END:VCARD", ""])
    return f"{uid}.vcf", text.encode()


def folded(line: str) -> Iterator[str]:
    """A content line of ASCII, folded as RFC 5545 section 3.1 has it."""
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


class Source:
    """The requests of a round, which all its connections draw from, and what came of them.

    No request is begun after `cap_seconds`. Where `strict`, the first answer other than 2xx ends the round.
    """

    def __init__(self, requests: Sequence[bytes], *, keep: bool, strict: bool, cap_seconds: float) -> None:
        self._requests = iter(requests)
        self._end = time.perf_counter() + cap_seconds
        self._keep = keep
        self._strict = strict
        self.latencies: list[float] = []
        self.bodies: list[bytes] = []
        self.errors: Counter[str] = Counter()

    def next(self) -> bytes | None:
        return next(self._requests, None) if time.perf_counter() < self._end else None

    def answered(self, seconds: float, status: str, body: bytes) -> None:
        """Raises RuntimeError where the round is strict and this is no success."""
        self.latencies.append(seconds)
        if status[:1] != "2":
            self.errors[status] += 1
            if self._strict:
                raise RuntimeError(f"answer {status} {body[:300]!r}")
        if self._keep:
            self.bodies.append(body)


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is whole. `done` gives whether to connect again."""

    def __init__(self, source: Source) -> None:
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._source = source
        self._waiting = False
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        following = self._source.next()
        self._buffer = bytearray()
        self._head: bytes | None = None
        self._waiting = following is not None
        if following is None:
            self._finish(again=False)
            return
        self._sent = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._buffer[: end + 2]).lower()
            del self._buffer[: end + 4]
            size = _field(self._head, b"content-length")
            self._chunked = b"chunked" in _field(self._head, b"transfer-encoding")
            self._size = 0 if self._head[9:12] in (b"204", b"304") else int(size) if size else None
        if self._chunked:
            # The last chunk ends so, and nothing follows it: no trailers are asked for.
            if self._buffer.endswith(b"0\r\n\r\n") and (body := _unchunked(self._buffer)) is not None:
                self._answered(body)
        elif self._size is not None and len(self._buffer) >= self._size:
            self._answered(bytes(self._buffer))

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.done.done():
            return
        if self._head is not None and self._size is None and not self._chunked:
            self._answered(bytes(self._buffer), closed=True)
        elif self._waiting:
            self._record("closed", b"the connection was closed")
        self._finish(again=True)

    def _answered(self, body: bytes, *, closed: bool = False) -> None:
        assert self._head is not None
        self._waiting = False
        if not self._record(self._head[9:12].decode(), body):
            return
        if closed or b"close" in _field(self._head, b"connection") or self._head.startswith(b"http/1.0"):
            self._finish(again=True)
        else:
            self._next()

    def _record(self, status: str, body: bytes) -> bool:
        try:
            self._source.answered(time.perf_counter() - self._sent, status, body)
        except RuntimeError as error:
            if not self.done.done():
                self.done.set_exception(error)
            self._transport.close()
            return False
        return True

    def _finish(self, *, again: bool) -> None:
        if not self.done.done():
            self.done.set_result(again)
        self._transport.close()


async def connected(source: Source, port: int) -> None:
    """Send requests, one after the other, until there are no more; over a new connection where the last is closed."""
    again = True
    while again:
        made = await asyncio.get_running_loop().create_connection(lambda: _Connection(source), "127.0.0.1", port)
        again = await made[1].done


def _field(head: bytes, name: bytes) -> bytes:
    """The value of a header field in a head of lower case; b"" where there is none."""
    at = head.find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""


def _unchunked(buffer: bytearray) -> bytes | None:
    """The body within a chunked coding (RFC 9112 section 7.1); None where it is not whole yet."""
    pieces: list[bytes] = []
    at = 0
    while True:
        line = buffer.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(bytes(buffer[at:line]).partition(b";")[0], 16)
        if size == 0:
            return b"".join(pieces)
        if line + 4 + size > len(buffer):
            return None
        pieces.append(bytes(buffer[line + 2 : line + 2 + size]))
        at = line + 4 + size


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, all their threads, also those that have ended.

    From the CPU clock of each process (clock_getcpuclockid(3)): it counts nanoseconds where /proc/PID/stat has ticks.
    """
    return sum(time.clock_gettime((~process << 3) | 2) for process in tree(pid))


def settled_cpu_seconds(pid: int, limit_seconds: float = SETTLE_SECONDS) -> float:
    """The same once the process has come to rest, or after so many seconds."""
    end = time.perf_counter() + limit_seconds
    before = cpu_seconds(pid)
    while True:
        time.sleep(SETTLE_INTERVAL_SECONDS)
        now = cpu_seconds(pid)
        if now - before < IDLE_SHARE * SETTLE_INTERVAL_SECONDS or time.perf_counter() > end:
            return now
        before = now


def send(
    port: int,
    pid: int,
    requests: Sequence[bytes],
    connections: int,
    *,
    keep: bool = False,
    strict: bool = True,
    settle: bool = False,
    cap_seconds: float = float("inf"),
) -> Round:
    """Send all requests over so many connections, each one request after the other.

    `keep` keeps the bodies; not `strict` counts what was not answered with 2xx instead of raising RuntimeError;
    `settle` counts also the CPU that the server needs until it rests; `cap_seconds` is when no more is begun.
    """

    async def run() -> Round:
        source = Source(requests, keep=keep, strict=strict, cap_seconds=cap_seconds)
        start = time.perf_counter()
        await asyncio.gather(*(connected(source, port) for _ in range(min(connections, len(requests)))))
        return Round(time.perf_counter() - start, source.latencies, 0.0, source.bodies, source.errors)

    cpu = cpu_seconds(pid)
    done = uvloop.run(run())
    return done._replace(server_cpu_seconds=(settled_cpu_seconds if settle else cpu_seconds)(pid) - cpu)
