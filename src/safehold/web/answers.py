"""What REST, pages and status share at the edge: who asks, the body within its bound, and an answer in every case.

No request ends in 500: a fault of ours is logged and answered 503, since it says nothing about the data.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from safehold.model.errors import BodiesDamaged, Held, NotAllowed, SafeholdError, TooLarge
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.protocol.problems import headers_of
from safehold.protocol.rest import JSON_TYPE, PROBLEM_TYPE, problem
from safehold.service.uses import program_of
from safehold.web.gate import Gate
from safehold.web.request import Disconnected, patient
from safehold.web.respond import broken_off, send_reply
from safehold.web.tracing import kind_of_path, request_id

_log = logging.getLogger("safehold.web")

Handler = Callable[[Request], Awaitable[Response]]
#: Turns an error into an answer: JSON for programs, HTML for people. Gets a random byte to spread retries with.
Refuse = Callable[[Request, SafeholdError, int], Response]


async def signed_in(gate: Gate, request: Request) -> Account:
    """The account behind the request. Raises Unauthenticated, TooManyAttempts, Held."""
    header = request.headers.get
    return await gate.authenticate(header("authorization"), _peer(request), header("user-agent", ""))


async def owner_signed_in(gate: Gate, request: Request) -> Account:
    """The account whose own password came with the request. Raises as `signed_in`, also for an app password."""
    return await gate.authenticate_owner(request.headers.get("authorization"), _peer(request))


async def in_place(gate: Gate, account: Account, *kinds: Kind) -> None:
    """Wait a moment for streams that a recovery has not entered yet. What is not in by then is still held."""
    if gate.recovering:
        await gate.ready(account, kinds)


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def actor(request: Request) -> str:
    """Who acts, for the history: the program as it names itself."""
    return "device:" + program_of(request.headers.get("user-agent", ""))


async def read_body(request: Request, limit: int) -> bytes:
    """The body, in memory. Raises TooLarge as soon as it is known to be."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(f"a request here may be {limit} bytes, not {declared[:20]}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"a request here may be {limit} bytes")
    return bytes(body)


def json_answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, media_type=JSON_TYPE)


def refuse_json(_: Request, error: SafeholdError, dice: int) -> Response:
    """A problem document (RFC 9457)."""
    status, body = problem(error, request_id())
    response = Response(body, status, {"cache-control": "no-store"}, media_type=PROBLEM_TYPE)
    response.raw_headers += headers_of(error, status, dice)
    return response


class Resource:
    """One resource as an ASGI application: a handler for each method; HEAD is GET without the body."""

    def __init__(self, gate: Gate, handlers: Mapping[str, Handler], refuse: Refuse) -> None:
        self._gate = gate
        self._refuse = refuse
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
        self._allow = ", ".join(sorted((*self._handlers, "OPTIONS")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, patient(receive))
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            await send_reply(send, broken_off(Disconnected()))
            return
        except Disconnected as error:
            await send_reply(send, broken_off(error))
            return
        except SafeholdError as error:
            response = self._refuse(request, error, self._dice())
        except Exception:
            _log.exception("%s %s failed", request.method[:20], kind_of_path(request.url.path))
            held = Held("this request could not be answered", hint="try again; the operator's log says more")
            response = self._refuse(request, held, self._dice())
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        if handler is not None:
            try:
                return await handler(request)
            except BodiesDamaged as error:
                await self._gate.mend(error)
                if request.method not in ("GET", "HEAD"):
                    raise
                return await handler(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": self._allow})
        refusal = NotAllowed(f"{request.method} does not apply here", hint=f"use {self._allow}")
        response = self._refuse(request, refusal, 0)
        response.headers["allow"] = self._allow
        return response

    def _dice(self) -> int:
        return self._gate.entropy.bytes(1)[0]
