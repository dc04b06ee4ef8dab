"""The DAV edge: who asks, for what, by which method; and every failure as an answer that a device can bear.

A plain ASGI callable, without a framework: polls and small GETs are most of what a server of devices does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from safehold.model.errors import (
    BodiesDamaged,
    Forbidden,
    NotAllowed,
    NotFound,
    SafeholdError,
    TooLarge,
    UnsupportedMedia,
)
from safehold.protocol.methods import allow, features
from safehold.protocol.target import ROOT_HREF, Place, Target, parse_target
from safehold.web import dav_locks, dav_propfind, dav_reads, dav_reports, dav_transfers, dav_writes
from safehold.web.dav_call import Call
from safehold.web.gate import Gate
from safehold.web.knock import knock
from safehold.web.request import LISTING_ROOM_BYTES, ROOM_BYTES, Disconnected, Receive, Request, Room, Scope, Send
from safehold.web.respond import Reply, broken_off, empty, problem, send_reply, unexpected

Handler = Callable[[Call], Awaitable[Reply]]


async def _options(call: Call) -> Reply:
    """RFC 4918 section 10.1. Tells nothing of what is there, only of what could be."""
    headers = [(b"dav", features(call.target)), (b"allow", allow(call.target)), (b"ms-author-via", b"DAV")]
    return empty(200, headers)


_METHODS: dict[str, Handler] = {
    "GET": dav_reads.get,
    "HEAD": dav_reads.get,
    "PUT": dav_writes.put,
    "PROPFIND": dav_propfind.propfind,
    "REPORT": dav_reports.report,
    "DELETE": dav_writes.delete,
    "PROPPATCH": dav_writes.proppatch,
    "MKCOL": dav_writes.mkcol,
    "MKCALENDAR": dav_writes.mkcalendar,
    "COPY": dav_transfers.copy,
    "MOVE": dav_transfers.move,
    "LOCK": dav_locks.lock,
    "UNLOCK": dav_locks.unlock,
    "OPTIONS": _options,
    "ACL": dav_writes.acl,
}


#: Methods whose answers are long where there is much to tell.
_LISTING = frozenset(("PROPFIND", "REPORT"))
#: Methods that change nothing, and whose If header is judged here.
_READING = _LISTING | {"GET", "HEAD"}
#: Methods of which no body is defined: one that came along would not be heeded (RFC 4918 section 8.4).
_BODILESS = frozenset(("DELETE", "COPY", "MOVE", "UNLOCK"))


async def _refuse_body(request: Request) -> None:
    """Raises UnsupportedMedia where there is one, so that its sender does not take it for heeded."""
    try:
        await request.read(0)
    except TooLarge:
        raise UnsupportedMedia(f"{request.method} takes no body") from None


class Dav:
    """Everything under /dav/."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # A listing is under way for as long as its reader takes: that must not keep changes waiting.
        self._room, self._listing_room = Room(ROOM_BYTES), Room(LISTING_ROOM_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self._listing_room if scope["method"] in _LISTING else self._room)
        try:
            try:
                reply = await self._answer(request)
            except Disconnected as error:
                reply = broken_off(error)
            except Exception:
                reply = unexpected(self._gate.entropy)
            await send_reply(send, reply, receive, head=request.method == "HEAD")
        finally:
            request.release()

    async def _answer(self, request: Request) -> Reply:
        gate = self._gate
        name, target = "", Target(Place.NOWHERE)
        try:
            program = request.header(b"user-agent") or ""
            account = await gate.authenticate(request.header(b"authorization"), request.peer, program)
            name = account.name
            target = parse_target(request.raw_path)
            if target.account and target.account != name:
                # The same whether that account exists or not: nobody learns who else lives here.
                raise Forbidden("this is not yours to see", hint=f"your own data is below {ROOT_HREF}{name}/")
            handler = _METHODS.get(request.method)
            if handler is None:
                raise NotAllowed(f"{request.method[:20]} is not supported here")
            call = Call(gate, account, request, target)
            if request.method in _BODILESS:
                await _refuse_body(request)
            if gate.recovering:
                await knock(call)
            if request.method in _READING and b"if" in request.headers:
                call.judge_conditions()
            try:
                return await handler(call)
            except BodiesDamaged as error:
                await gate.mend(error)
                if request.method not in _READING:  # its body is read, and cannot be read again
                    raise
                return await handler(call)
            except NotFound:
                if request.method in _READING:
                    call.require_sure_absence()
                raise
        except SafeholdError as error:
            allowed = allow(target, request.method) if isinstance(error, NotAllowed) else b""
            return problem(error, gate.entropy, account=name, allow=allowed)


async def well_known(scope: Scope, send: Send) -> None:
    """RFC 6764 section 5: whatever the method, the service begins at /dav/."""
    reply = empty(301, [(b"location", ROOT_HREF.encode()), (b"cache-control", b"max-age=86400")])
    await send_reply(send, reply, head=scope["method"] == "HEAD")
