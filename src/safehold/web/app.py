"""The one ASGI application: DAV goes straight to its edge, everything else through routes.

All of it is counted, and bears a request id."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safehold.protocol.target import ROOT_HREF
from safehold.web import account, devices, metrics, pages, past_pages, rest, status
from safehold.web.dav import Dav, well_known
from safehold.web.gate import Gate
from safehold.web.metrics import Meter
from safehold.web.reached import as_sent
from safehold.web.request import lingering
from safehold.web.respond import Reply, empty, send_reply, unexpected
from safehold.web.tracing import RequestIds, Tracer

_WELL_KNOWN = frozenset(f"/.well-known/{service}{slash}" for service in ("caldav", "carddav") for slash in ("", "/"))
_ALL = b"OPTIONS, GET, HEAD, PUT, POST, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT, MKCOL, LOCK, UNLOCK"
#: A device that was given the bare host begins by asking the root, and few follow a redirect from there.
_ROOT_METHODS = frozenset(("PROPFIND", "OPTIONS"))


def make_app(gate: Gate, tracer: Tracer | None = None) -> ASGIApp:
    """The application for one installation. `tracer` gives requests their ids; without one it is made here."""
    meter = Meter(gate.clock.monotonic)
    source = status.remembered(gate)
    dav = Dav(gate)
    routed = Starlette(
        routes=[
            *account.routes(gate, source),
            *rest.routes(gate, source),
            *status.routes(gate, source),
            *metrics.routes(gate, meter, source),
            *pages.routes(gate),
            *devices.routes(gate),
            *past_pages.routes(gate),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        receive, send = lingering(scope, receive, send)
        scope = as_sent(scope, gate.proxies)
        path: str = scope["path"]
        if not path.startswith("/") or path.startswith("//"):  # of a proxy's making: 404 would say that it is gone
            await send_reply(send, _no_path(scope), head=scope["method"] == "HEAD")
        elif path.startswith("/dav/") or path == "/dav":
            await dav(scope, receive, send)
        elif path == "/" and scope["method"] in _ROOT_METHODS:
            await dav({**scope, "path": ROOT_HREF, "raw_path": ROOT_HREF.encode()}, receive, send)
        elif path in _WELL_KNOWN:
            await well_known(scope, send)
        elif "\ufffd" in path and not _is_text(scope):
            await send_reply(send, empty(400), head=scope["method"] == "HEAD")
        else:
            await _guarded(gate, routed, scope, receive, send)

    tracer = tracer or Tracer(RequestIds.drawn(gate.entropy), lambda: gate.proxies)
    return tracer.wrap(meter.wrap(app))


def _is_text(scope: Scope) -> bool:
    """Whether a path is UTF-8. The server replaces what is not, so that two names could become one."""
    try:
        unquote_to_bytes(scope["raw_path"]).decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_path(scope: Scope) -> Reply:
    """`OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7); other targets without a path are none."""
    if scope["path"] == "*" and scope["method"] == "OPTIONS":
        return empty(200, [(b"allow", _ALL)])
    return empty(400)


async def _guarded(gate: Gate, routed: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """No path answers 500: a fault of our own is 503, or a broken connection where the answer has begun."""
    begun = False
    head = scope["method"] == "HEAD"

    async def watched(message: Message) -> None:
        nonlocal begun
        if message["type"] == "http.response.start":
            if message["status"] == 500:  # the framework's own answer to a fault, which it raises again after it
                raise _Fault
            begun = True
        elif head:  # the framework sends what a GET would get
            message = {**message, "body": b""}
        await send(message)

    try:
        await routed(scope, receive, watched)
    except Exception:
        if begun:
            raise
        await send_reply(send, unexpected(gate.entropy), head=head)


class _Fault(Exception):
    """The framework is about to answer 500."""


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Assembly starts and stops everything itself; a server only wants to hear that it may go on."""
    while scope["type"] == "lifespan":
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
