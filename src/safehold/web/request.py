"""A request as the edge reads it: headers by name, the body within a limit, whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from safehold.model.errors import BadRequest, TooLarge

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MAX_LENGTH_DIGITS = 18


class Disconnected(Exception):
    """The client went away before its request was complete: nobody is left to answer."""


class Request:
    """Method, path, headers and body of one HTTP request."""

    __slots__ = ("_receive", "headers", "method", "peer", "raw_path")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        raw = scope.get("raw_path")
        self.raw_path: bytes = raw if raw else quote(scope["path"]).encode()
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(pairs)
        if len(headers) != len(pairs):
            headers = _joined(pairs)
        self.headers = headers
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        self._receive = receive

    def header(self, name: bytes) -> str | None:
        """A header as text; None where it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def length(self) -> int | None:
        """Content-Length; None where the body comes in chunks or there is none. Raises BadRequest."""
        value = self.headers.get(b"content-length")
        if value is None:
            return None
        if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
            raise BadRequest("Content-Length is not a number")
        return int(value)

    async def read(self, limit: int, element: str = "") -> bytes:
        """The whole body. Raises TooLarge over `limit` bytes (with `element`), Disconnected, BadRequest."""
        parts = [chunk async for chunk in self.chunks(limit, element)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self, limit: int, element: str = "") -> AsyncIterator[bytes]:
        """The body as it comes. Raises as `read` does; a body shorter than was announced is a client that went away."""
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


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers sent more than once are one list (RFC 9110 section 5.3)."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers
