"""A request as the edge reads it: headers by name, the body within a limit, whole or in pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeVar
from urllib.parse import quote

from safehold.model.errors import BadRequest, Held, TooLarge

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

_MAX_LENGTH_DIGITS = 18
_CLOSING = (b"connection", b"close")

#: A body of which nothing comes for so long is given up, and so is an answer of which nothing is taken: a phone that
#: lost its network says no goodbye, and its connection would stay for ever.
STALL_SECONDS = 60.0
#: Bodies up to this size are read at once; larger ones share the room.
SMALL_BYTES = 64 * 1024
#: Memory for larger bodies that are held whole, of all requests together.
ROOM_BYTES = 64 * 1024 * 1024
#: The same for what is asked about many items: the question, and the answer while its reader takes it.
LISTING_ROOM_BYTES = 256 * 1024 * 1024
#: What a long listing counts for, made before its length is known: some 30,000 items.
LISTING_BYTES = 16 * 1024 * 1024
#: What a request waits for room, at most.
ROOM_SECONDS = 60.0

#: What is still read of a body that its answer did not need, and for how long, so that the sender gets to the answer.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 5.0


class Disconnected(Exception):
    """The client went away, or broke its body off, before its request was complete."""

    status = 400
    message = "the body is not complete"


class Stalled(Disconnected):
    """Nothing of the body came, or nothing of the answer was taken, for `STALL_SECONDS`."""

    status = 408
    message = f"nothing of the body came for {STALL_SECONDS:.0f} seconds"


async def within_time(waiting: Awaitable[T]) -> T:
    """Raises Stalled where it takes too long. As `asyncio.timeout`, at half its cost."""
    task = asyncio.current_task()
    assert task is not None, "a request is answered in a task"
    stalled = False

    def give_up() -> None:
        nonlocal stalled
        stalled = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(STALL_SECONDS, give_up)
    try:
        return await waiting
    except asyncio.CancelledError:
        if stalled and task.uncancel() == 0:
            raise Stalled from None
        raise
    finally:
        timer.cancel()


def patient(receive: Receive) -> Receive:
    """The same, but it raises Stalled where nothing comes."""
    return lambda: within_time(receive())


def lingering(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The same, but an answer goes out once the body of its request has come in, where that is small.

    An answer that closes the connection while its request is still under way is lost with it (RFC 9112 section 9.6):
    phones, which ask without credentials first, would see a broken connection in place of the 401. Who expects a
    100 sends nothing until it is told to.
    """
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0" if b"transfer-encoding" not in headers else b"")
    if b"expect" in headers or (length.isdigit() and not 0 < int(length[:_MAX_LENGTH_DIGITS]) <= LINGER_BYTES):
        return receive, send
    left = LINGER_BYTES  # to be read, at most; 0 at the body's end

    async def watched_receive() -> Message:
        nonlocal left
        message = await receive()
        left = left - len(message.get("body", b"")) if message.get("more_body", False) else 0
        return message

    async def watched_send(message: Message) -> None:
        if left > 0 and message["type"] == "http.response.start" and _CLOSING not in message["headers"]:
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    while left > 0:
                        await watched_receive()
            except TimeoutError:
                pass
        await send(message)

    return watched_receive, watched_send


class Room:
    """Memory for bodies: who finds none left waits, unread, until others are done. First come, first served."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self.size = self.free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> int:
        """Returns what is to be given back. Raises Held where there is no room for long."""
        count = min(count, self.size)
        if not self._waiting and count <= self.free:
            self.free -= count
            return count
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, future))
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self.give_back(count)
            future.cancel()
            if isinstance(error, TimeoutError):
                raise Held("too many large requests are under way", retry_after_seconds=10) from None
            raise
        return count

    def give_back(self, count: int) -> None:
        self.free += count
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            wanted, future = self._waiting.popleft()
            if not future.done():
                self.free -= wanted
                future.set_result(None)


class Request:
    """Method, path, headers and body of one HTTP request. `release` must follow once it is answered."""

    __slots__ = ("_read", "_receive", "_room", "_taken", "headers", "method", "peer", "raw_path", "scope")

    def __init__(self, scope: Scope, receive: Receive, room: Room) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        raw = scope.get("raw_path")
        self.raw_path: bytes = raw if raw else quote(scope["path"]).encode()
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(pairs)
        if len(headers) != len(pairs):
            headers = joined_headers(pairs)
        self.headers = headers
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        self._receive = patient(receive)
        self._room = room
        self._taken = 0
        self._read: bytes | None = None

    async def take_room(self, count: int) -> None:
        """Memory for the body, or for a long answer, until `release`. Raises Held where there is none for long."""
        self._taken += await self._room.take(count)

    def release(self) -> None:
        """Give back what was taken."""
        if self._taken:
            self._room.give_back(self._taken)
            self._taken = 0

    def header(self, name: bytes) -> str | None:
        """A header as text; None where it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def length(self) -> int | None:
        """Content-Length; None where the body comes in chunks or there is none. Raises BadRequest.

        With Transfer-Encoding beside it somebody on the way may read the request otherwise (RFC 9112 section 6.1).
        """
        value = self.headers.get(b"content-length")
        if value is None:
            return None
        if b"transfer-encoding" in self.headers:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other")
        if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
            raise BadRequest("Content-Length is not a number")
        return int(value)

    async def read(self, limit: int, element: str = "") -> bytes:
        """The whole body. Raises TooLarge over `limit` bytes (with `element`), Disconnected, BadRequest, Held.

        It may be asked for again: a request that met damage is answered anew once that has been mended.
        """
        if self._read is not None:
            return self._read
        length = self.length
        if length is not None and SMALL_BYTES < length <= limit:
            await self.take_room(length)
        parts = []
        size = 0
        async for chunk in self.chunks(limit, element):
            parts.append(chunk)
            size += len(chunk)
            if size > SMALL_BYTES and not self._taken:
                await self.take_room(limit)
        self._read = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._read

    async def chunks(self, limit: int, element: str = "") -> AsyncIterator[bytes]:
        """The body as it comes. Raises as `read` does, Disconnected also for one that is shorter than was announced."""
        length = self.length
        if length is not None and length > limit:
            raise _too_large(limit, element)
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            more = message.get("more_body", False)
            data = message.get("body", b"")
            if data:
                size += len(data)
                if size > limit:
                    raise _too_large(limit, element)
                yield data
        if length is not None and size != length:
            raise Disconnected


def _too_large(limit: int, element: str) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes", element=element)


def joined_headers(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers sent more than once are one list (RFC 9110 section 5.3)."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
