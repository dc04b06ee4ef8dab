"""The door: it takes connections before the house behind it is open.

A service whose core has to be recovered listens at once. Until identity is in nobody can be known, so nobody is: every
request is answered 503, never 401 or 404, on which devices would act; `/healthz` and `/status` alone say what is going
on. Once the application behind it is there the door is a call that passes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from safehold.model.errors import Held
from safehold.ports.world import Entropy
from safehold.protocol.forwarded import NOBODY
from safehold.web.answers import refuse_json
from safehold.web.layout import refuse_page
from safehold.web.request import lingering
from safehold.web.respond import problem, send_reply
from safehold.web.status import STATUS_PATHS, answer, public, ready
from safehold.web.status_pages import moment_of
from safehold.web.tracing import RequestIds, Tracer

#: Identity takes moments: whoever is refused may come back soon.
RETRY_SECONDS = 10
#: What only programs that speak DAV send, wherever they send it.
_DAV_METHODS = frozenset(
    [
        "PROPFIND",
        "PROPPATCH",
        "REPORT",
        "MKCOL",
        "MKCALENDAR",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "ACL",
        "OPTIONS",
        "PUT",
        "DELETE",
    ]
)
#: What everybody may see, whatever the method.
_OPEN = frozenset(("/healthz", "/readyz", *STATUS_PATHS))


class Door:
    """An ASGI application. `open` gives it what is behind it; used on the event loop's thread.

    `status` is what is known of the service meanwhile: a status object, of which everybody sees what is public.
    """

    def __init__(
        self,
        entropy: Entropy,
        status: Callable[[], dict[str, Any]],
        public_url: str = "",
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self._entropy = entropy
        self._traced = (tracer or Tracer(RequestIds.drawn(entropy), lambda: NOBODY)).wrap(self._refuse)
        self._public_url = public_url
        self._status = status
        self._behind: ASGIApp | None = None

    def open(self, app: ASGIApp) -> None:
        self._behind = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._behind is not None:
            await self._behind(scope, receive, send)
        elif scope["type"] != "http":
            await _lifespan(scope, receive, send)
        else:
            await self._traced(scope, *lingering(scope, receive, send))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if (path.startswith(("/dav", "/.well-known/")) or method in _DAV_METHODS) and path not in _OPEN:
            await send_reply(send, problem(_held(), self._entropy), head=method == "HEAD")
            return
        response = self._page(Request(scope, receive), path)
        if method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    def _page(self, request: Request, path: str) -> Response:
        if path == "/healthz":
            return PlainTextResponse(f"{self._status()['service']}\n", headers={"cache-control": "no-store"})
        if path == "/readyz":
            return ready(self._status(), strangers=True)
        if path in STATUS_PATHS:
            shown = public(self._status())
            since = moment_of((shown["recovery"] or {}).get("since"), 0)
            return answer(request, shown, since=since, public_url=self._public_url)
        refuse = refuse_json if path.startswith("/api/") or path == "/metrics" else refuse_page
        return refuse(request, _held(), self._entropy.bytes(1)[0])


def _held() -> Held:
    return Held(
        "the service is being recovered, and does not know anybody yet",
        hint="nothing is deleted; come back in a moment",
        retry_after_seconds=RETRY_SECONDS,
    )


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    while scope["type"] == "lifespan":
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
