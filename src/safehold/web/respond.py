"""Answers on their way out: what a handler returns, and how it is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from safehold.model.errors import NotAllowed, OperatorError, OutOfSpace, SafeholdError
from safehold.ports.world import Entropy
from safehold.protocol.multistatus import CLOSE, OPEN, sync_token
from safehold.protocol.problems import (
    RETRY_AFTER_SECONDS,
    XML_TYPE,
    Headers,
    document,
    error_body,
    headers_of,
    jittered,
    status_of,
)
from safehold.web.request import Disconnected, Receive, Send, within_time
from safehold.web.tracing import request_id

_log = logging.getLogger("safehold.web")

#: Responses of a multistatus that are encoded and sent at a time.
LINES_AT_ONCE = 1000


class Reply(NamedTuple):
    """An answer. Either `body`, or `chunks`, which come after the status has gone out.

    What raises within `chunks` breaks the connection off, so that the client knows it has not got everything.
    """

    status: int
    headers: Headers
    body: bytes = b""
    chunks: AsyncGenerator[bytes, None] | None = None


def empty(status: int, headers: Headers | None = None) -> Reply:
    """An answer without a body; 204 and 304 have no Content-Length either (RFC 9110 section 8.6)."""
    headers = headers if headers is not None else []
    if status not in (204, 304):
        headers.append((b"content-length", b"0"))
    return Reply(status, headers)


def xml(status: int, body: bytes, headers: Headers | None = None) -> Reply:
    return Reply(status, [XML_TYPE, (b"content-length", b"%d" % len(body)), *(headers or [])], body)


def multistatus(lines: Sequence[str], headers: Headers, token: str = "") -> Reply:
    """A 207 around complete responses: in one piece, or in several where it is long."""
    if len(lines) <= LINES_AT_ONCE:
        return xml(207, "".join((OPEN, *lines, sync_token(token), CLOSE)).encode(), headers)
    return Reply(207, [XML_TYPE, *headers], chunks=_in_pieces(lines, token))


async def _in_pieces(lines: Sequence[str], token: str) -> AsyncGenerator[bytes, None]:
    yield OPEN.encode()
    for start in range(0, len(lines), LINES_AT_ONCE):
        yield "".join(lines[start : start + LINES_AT_ONCE]).encode()
    yield (sync_token(token) + CLOSE).encode()


def problem(error: SafeholdError, entropy: Entropy, *, account: str = "", allow: bytes = b"") -> Reply:
    """A typed error as an answer."""
    status = status_of(error)
    if isinstance(error, OperatorError | OutOfSpace):
        _log.error("a request could not be served: %s (%s)", error.message, error.hint or "no hint")
    headers = headers_of(error, status, entropy.bytes(1)[0])
    if isinstance(error, NotAllowed):
        headers.append((b"allow", allow))
    return xml(status, error_body(error, account, request_id()), headers)


def broken_off(error: Disconnected) -> Reply:
    """The answer to a request that was never complete, for whoever still listens; the connection is of no more use."""
    return xml(error.status, document("", error.message, request=request_id()), [(b"connection", b"close")])


def unexpected(entropy: Entropy) -> Reply:
    """The answer to a fault of our own, inside an except clause: 503, for a 500 says that trying again is no use."""
    _log.exception("a request failed for no fault of its own")
    headers = [(b"retry-after", b"%d" % jittered(RETRY_AFTER_SECONDS, entropy.bytes(1)[0]))]
    said = document("", "something went wrong here; the operator's log says what", request=request_id())
    return xml(503, said, headers)


async def send_reply(send: Send, reply: Reply, receive: Receive | None = None, *, head: bool = False) -> None:
    """Send an answer; to a HEAD, without its body. With `receive` no more is made of one than somebody waits for.

    Raises Stalled where nothing of a long one is taken.
    """
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    if reply.chunks is None or head:
        await send({"type": "http.response.body", "body": b"" if head else reply.body})
        return
    gone = asyncio.ensure_future(_departure(receive)) if receive is not None else None
    try:
        async for chunk in reply.chunks:
            # What is sent to nobody is taken all the same, as fast as it can be made.
            if gone is not None and gone.done():
                return
            await within_time(send({"type": "http.response.body", "body": chunk, "more_body": True}))
    finally:
        if gone is not None:
            gone.cancel()
        await reply.chunks.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _departure(receive: Receive) -> None:
    """Return once the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
