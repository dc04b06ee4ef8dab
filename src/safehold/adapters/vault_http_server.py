"""The server's end of links to vaults: sessions by number, an ASGI application, and granian to serve it.

What goes over the wire is said in adapters/vault_http.py. Nothing of a body is read before its sender is known, but for
the 4 KiB with which a code is redeemed, and strangers are all answered alike, whatever they ask for. A guest may have
so many requests and sessions at a time. Requests are carried out in threads, since they wait for disks and for each
other: each guest's in threads that are its own, and those of its tokens that may only read in others again, so that
nobody is in another one's way, and a stolen token of a keeper's not in the writer's (I109).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from safehold.adapters.listening import until_listening
from safehold.adapters.vault_http import DIGEST, MAX_JOIN_BYTES, MEDIA_TYPE, NUMBER, SESSION, content_digest
from safehold.formats import vaultwire
from safehold.formats.vaultwire import MAX_REQUEST_BYTES
from safehold.model.errors import Damaged
from safehold.ports.link import Session

_log = logging.getLogger("safehold.vault-server")

#: A request's body must have come whole within so long.
BODY_SECONDS = 60.0
HEADER_SECONDS = 15
#: Of one guest, of its tokens that may append and again of those that may read: requests that are carried out at a
#: time, those that wait besides, and links.
ACTIVE, WAITING, SESSIONS = 8, 24, 48
#: A link that nothing came over for so long is forgotten; with an upload on its way, later.
IDLE_SECONDS, UPLOAD_IDLE_SECONDS = 900.0, 6 * 3600.0
#: Answers up to this size are kept until the next request of their link.
KEPT_BYTES = 64 * 1024
#: Codes that are redeemed at a time.
JOINS = 4
STOP_SECONDS = 10.0
_STATUS = {"missing": 404, "length": 409, "full": 507, "down": 503, "suspect": 500, "refused": 403}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guest(Protocol):
    """Whoever a token belongs to."""

    @property
    def key(self) -> tuple[str, bool, bool]:
        """The guest, and whether this token may append, and mend: links of one are none of the other."""
        ...

    def open_session(self) -> Session: ...


class Host(Protocol):
    """What the application asks of the vault server. `admit` is called by the event loop, the others in threads."""

    def admit(self, guest: str, token: bytes) -> Guest | None: ...

    def redeem(self, guest: str, secret: bytes, installation: bytes, token: bytes) -> bool: ...


class _Gone(Exception):
    """The link is not known (any more), or this is not its next request."""


class _Linked:
    """One link. Its requests are carried out one after another, each number once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._number = 0
        self._digest = b""
        self._kept: bytes | None = None
        self._closed = False
        self.used_at = time.monotonic()
        self.under_way = 0

    @property
    def uploading(self) -> bool:
        return bool(getattr(self._session, "incoming", False))

    def answer(self, number: int, body: bytes) -> bytes:
        """Raises _Gone."""
        digest = sha256(body).digest()
        with self._lock:
            self.used_at = time.monotonic()
            if self._closed:
                raise _Gone
            if (number, digest) == (self._number, self._digest):
                if self._kept is not None:
                    return self._kept
            elif number != self._number + 1:
                raise _Gone
            self._number, self._digest, self._kept = number, digest, None
            try:
                found = self._session.answer(body)
            except BaseException:  # half of it may be done: it is not carried out another time
                self._close()
                raise
            if found is None:
                self._close()
                raise _Gone
            if len(found) <= KEPT_BYTES:  # what is longer is a look, and is looked at again
                self._kept = found
            self.used_at = time.monotonic()
            return found

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._session.close()


class Sessions:
    """All links, by guest. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[tuple[str, bool, bool], dict[str, _Linked]] = {}

    def answer(self, guest: Guest, session: str, number: int, body: bytes) -> bytes:
        """Raises _Gone."""
        linked = self._take(guest, session, number)
        try:
            return linked.answer(number, body)
        finally:
            with self._lock:
                linked.under_way -= 1

    def _take(self, guest: Guest, session: str, number: int) -> _Linked:
        gone = None
        with self._lock:
            links = self._links.setdefault(guest.key, {})
            found = links.get(session)
            if found is None:
                if number != 1:
                    raise _Gone
                gone = self._make_room(links)
                found = links[session] = _Linked(guest.open_session())
            found.under_way += 1
        if gone is not None:
            gone.close()  # may wait for its vault, and others' links are not to wait with it
        return found

    def _make_room(self, links: dict[str, _Linked]) -> _Linked | None:
        if len(links) < SESSIONS:
            return None
        idle = [(linked.uploading, linked.used_at, name) for name, linked in links.items() if not linked.under_way]
        if not idle:
            raise _Gone
        return links.pop(min(idle)[2])

    def expire(self) -> None:
        """Forget links that nobody has used for long."""
        now = time.monotonic()
        with self._lock:
            gone = []
            for links in self._links.values():
                for name, linked in list(links.items()):
                    patience = UPLOAD_IDLE_SECONDS if linked.uploading else IDLE_SECONDS
                    if not linked.under_way and now - linked.used_at > patience:
                        gone.append(links.pop(name))
        for linked in gone:
            linked.close()

    def close(self) -> None:
        with self._lock:
            links, self._links = self._links, {}
        for linked in (linked for by_name in links.values() for linked in by_name.values()):
            linked.close()


class _Answer(NamedTuple):
    status: int
    body: bytes = b""
    media: str = "text/plain; charset=utf-8"


_STRANGER = _Answer(401, b"no such vault, or not with this token\n")
_NOTHING = _Answer(404, b"nothing is here\n")
_BAD = _Answer(400, b"this is no request to a vault\n")
_BUSY = _Answer(429, b"too many requests at a time\n")
_GONE = _Answer(410, b"this link is not known, or not at this request\n")
_LONG = _Answer(413, b"the request is too long\n")
_LATE = _Answer(408, b"the request did not come whole in time\n")
_FAULT = _Answer(500, b"a fault of the server's own\n")


class _Turns:
    """Requests with one guest's tokens at a time, and threads of their own for them."""

    def __init__(self) -> None:
        self.count = 0
        self.active = asyncio.Semaphore(ACTIVE)
        self.pool = ThreadPoolExecutor(ACTIVE, "vault-server")


class VaultApp:
    """The ASGI application."""

    def __init__(self, host: Host, *, body_seconds: float = BODY_SECONDS) -> None:
        self._host = host
        self._body_seconds = body_seconds
        self.sessions = Sessions()
        self._turns: dict[tuple[str, bool, bool], _Turns] = {}
        self._joining = 0
        self._join_pool = ThreadPoolExecutor(JOINS, "vault-server-joins")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("a request failed")
            answer = _FAULT
        headers = [
            (b"content-type", answer.media.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if answer.media == MEDIA_TYPE:
            headers.append((DIGEST.lower().encode(), content_digest(answer.body).encode()))
        if answer.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
            headers.append((b"connection", b"close"))  # else it would depend on how much of the body had come
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        path = scope["path"].split("/")
        if scope["method"] == "GET" and scope["path"] == "/healthz":
            return _Answer(200, b"ok\n")
        if scope["method"] != "POST" or path[:2] != ["", "v1"] or len(path) not in (3, 4):
            return _NOTHING
        headers: dict[bytes, bytes] = dict(scope["headers"])
        secret = _bearer(headers.get(b"authorization", b""))
        if len(path) == 4:
            return await self._join(path[2], secret, headers, receive) if path[3] == "join" else _NOTHING
        guest = self._host.admit(path[2], secret)
        if guest is None:
            return _STRANGER
        turns = self._turns.get(guest.key) or self._turns.setdefault(guest.key, _Turns())
        if turns.count >= ACTIVE + WAITING:
            return _BUSY
        turns.count += 1
        try:
            async with turns.active:
                return await self._ask(guest, turns.pool, headers, receive)
        finally:
            turns.count -= 1

    async def _ask(
        self, guest: Guest, pool: ThreadPoolExecutor, headers: dict[bytes, bytes], receive: Receive
    ) -> _Answer:
        session = headers.get(SESSION.lower().encode(), b"").decode("ascii", "replace")
        number = headers.get(NUMBER.lower().encode(), b"")
        if len(session) != 32 or not session.isalnum() or not number.isdigit() or len(number) > 15:
            return _BAD
        body = await self._body(headers, receive, MAX_REQUEST_BYTES)
        if isinstance(body, _Answer):
            return body
        loop = asyncio.get_running_loop()
        try:
            work = partial(self.sessions.answer, guest, session, int(number), body)
            answer = await loop.run_in_executor(pool, work)
        except _Gone:
            return _GONE
        return _Answer(_status(answer), answer, MEDIA_TYPE)

    async def _join(self, guest: str, secret: bytes, headers: dict[bytes, bytes], receive: Receive) -> _Answer:
        body = await self._body(headers, receive, MAX_JOIN_BYTES)
        if isinstance(body, _Answer):
            return body
        try:
            asked = json.loads(body)
            installation, token = bytes.fromhex(asked["installation"]), bytes.fromhex(asked["token"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return _BAD
        if self._joining >= JOINS:
            return _BUSY
        loop = asyncio.get_running_loop()
        self._joining += 1
        try:
            let_in = await loop.run_in_executor(self._join_pool, self._host.redeem, guest, secret, installation, token)
        finally:
            self._joining -= 1
        return _Answer(200, b"{}", "application/json") if let_in else _STRANGER

    async def _body(self, headers: dict[bytes, bytes], receive: Receive, most: int) -> bytes | _Answer:
        """The whole body, which must be what its digest says; or why there is none."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 15 or int(length) > most:
            return _LONG
        try:
            body = await asyncio.wait_for(_read(receive, most), self._body_seconds)
        except TimeoutError:
            return _LATE
        if body is None:
            return _LONG
        if headers.get(DIGEST.lower().encode(), b"") != content_digest(body).encode():
            return _BAD
        return body

    def close(self) -> None:
        for pool in (self._join_pool, *(turns.pool for turns in self._turns.values())):
            pool.shutdown(wait=False, cancel_futures=True)
        self.sessions.close()


async def _read(receive: Receive, most: int) -> bytes | None:
    """None where it is longer, or its sender ended in its midst."""
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts += message.get("body", b"")
        if len(parts) > most:
            return None
        if not message.get("more_body", False):
            return bytes(parts)


def _bearer(header: bytes) -> bytes:
    """What is said to be the token; something that is none where it cannot be read."""
    scheme, _, text = header.partition(b" ")
    if scheme.lower() == b"bearer" and len(text) <= 128:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(text.decode("ascii", "replace").strip())
    return b""


def _status(answer: bytes) -> int:
    if b"Refusal" not in answer[:9]:
        return 200
    try:
        refusal = vaultwire.parse_answer(answer)
    except Damaged:
        return 200
    return _STATUS.get(refusal.error, 403) if isinstance(refusal, vaultwire.Refusal) else 200


async def serve(
    app: VaultApp,
    host: str,
    port: int,
    stopping: asyncio.Event,
    *,
    certificate: Path | None,
    key: Path | None,
    listening: Callable[[], None] = lambda: None,
) -> None:
    """Until told to stop. Raises OSError where nothing can be listened at."""
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    logging.getLogger("_granian").setLevel(logging.ERROR)
    server: Any = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        websockets=False,
        backlog=1024,
        backpressure=1024,
        log_enabled=False,
        log_level=LogLevels.error,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    serving = asyncio.create_task(server.serve())
    told = asyncio.create_task(stopping.wait())
    await until_listening(host, port, serving)
    listening()
    while not serving.done() and not told.done():
        await asyncio.wait((serving, told), timeout=60, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.get_running_loop().run_in_executor(None, app.sessions.expire)
    if serving.done():
        told.cancel()
        await serving
        return
    server.stop()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(serving, STOP_SECONDS)
