"""Request ids: every request has one, its answer bears it as X-Request-Id, and so does every line logged for it.

A trusted proxy's id is taken over where it is one; anybody else's is not, for it would stand in the log as its sender
likes. The id lives in a context variable, which is set here and read where lines are written: the pump takes it along
with a change, so that what a group commit logs names all requests that are in it.

The access log (`[log] access`) is one line a request, without names of accounts or items: a path is shown by its kind
(`/dav/*/contacts/…`). At level debug the whole path stands beside it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safehold.model.private import Private
from safehold.ports.world import Entropy
from safehold.protocol.forwarded import Proxies

T = TypeVar("T")
_access = logging.getLogger("safehold.access")

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._-]{4,64}")
_PREFIX_BYTES = 5

#: Methods that are told by name; a client may send any word as a method.
METHODS = frozenset(
    (
        *("GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL"),
        *("PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR"),
    )
)

#: Ids of the requests that the code running now works for: one, or those of a group commit, or none.
REQUESTS: ContextVar[tuple[str, ...]] = ContextVar("requests", default=())

#: Words of our own URLs; what else stands in a path may be a name that somebody has given.
_HOMES = frozenset(("contacts", "calendars", "files"))
_FILES = frozenset(("notes", "photos"))
_OURS = frozenset(
    ("account", "devices", "sign-in", "status", "status.json", "status.atom", "metrics", "healthz", "readyz")
)
_API = frozenset(("scores", "leaderboards", "account", "photos", "openapi.json", "history", "past"))


def request_id() -> str:
    """The id of the request that is being answered; "" outside of one."""
    found = REQUESTS.get()
    return found[0] if found else ""


def current_requests() -> tuple[str, ...]:
    return REQUESTS.get()


def carrying(work: Callable[[], T]) -> Callable[[], T]:
    """The same work for another thread, with the ids of here."""
    return partial(copy_context().run, work)


class RequestIds:
    """Ids that no other request of this installation has: drawn at the start, then counted."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0

    @classmethod
    def drawn(cls, entropy: Entropy) -> RequestIds:
        return cls(entropy.bytes(_PREFIX_BYTES).hex())

    def next(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count:x}"


class Tracer:
    """Gives requests their ids, and writes the access log where that is wanted. On the event loop's thread."""

    def __init__(
        self, ids: RequestIds, proxies: Callable[[], Proxies], *, access: Callable[[], float] | None = None
    ) -> None:
        """`access` is the monotonic clock that requests are timed by; None: there is no access log."""
        self._ids = ids
        self._proxies = proxies
        self._access = access

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            id_ = self._id_of(scope)
            pair = (HEADER, id_.encode())
            status = 0

            async def send_named(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message = {**message, "headers": [*message["headers"], pair]}
                await send(message)

            begun = self._access() if self._access is not None else 0.0
            before = REQUESTS.set((id_,))
            try:
                await app(scope, receive, send_named)
            finally:
                if self._access is not None:
                    _note(scope, status, self._access() - begun)
                REQUESTS.reset(before)

        return traced

    def _id_of(self, scope: Scope) -> str:
        proxies = self._proxies()
        if proxies.entries:
            client = scope.get("client")
            if proxies.trusts(client[0] if client else ""):
                sent = [value for name, value in scope["headers"] if name == HEADER]
                if len(sent) == 1 and _SANE.fullmatch(sent[0]):
                    return str(sent[0].decode())
        return self._ids.next()


def _note(scope: Scope, status: int, seconds: float) -> None:
    place = kind_of_path(scope["path"])
    facts = {
        "method": scope["method"] if scope["method"] in METHODS else "other",
        "place": place,
        "status": status,
        "seconds": round(seconds, 6),
        "path": Private(scope["path"]),
    }
    _access.info("answered", extra={"facts": facts})


def kind_of_path(path: str) -> str:
    """A path with nothing left in it that somebody has named: `/dav/*/contacts/…`, `/api/v1/scores/…`."""
    first, _, rest = path.removeprefix("/").partition("/")
    if not first:
        return "/"
    if first == "dav":
        return "/dav/" + _dav(rest)
    if first == ".well-known":
        return f"/.well-known/{rest}" if rest.rstrip("/") in ("caldav", "carddav") else "/…"
    if first == "api":
        version, _, below = rest.partition("/")
        word, _, more = below.partition("/")
        if version != "v1" or word not in _API:
            return "/api/…"
        return f"/api/v1/{word}" + ("/…" if more else "")
    return "/…" if first not in _OURS else f"/{first}" + ("/…" if rest else "")


def _dav(rest: str) -> str:
    account, _, below = rest.partition("/")
    if not account:
        return ""
    if account == "principals":
        return "principals/*"
    home, _, inside = below.partition("/")
    if home not in _HOMES:
        return "*/…" if home else "*"
    folder, _, more = inside.partition("/")
    if home == "files" and folder in _FILES:
        return f"*/files/{folder}" + ("/…" if more else "")
    return f"*/{home}" + ("/…" if inside else "")
