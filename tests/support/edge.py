"""An ASGI application over the real service on a core in a folder, asked in memory, on one thread.

What is not real: the log (in memory, it always succeeds unless told otherwise), the clock, the entropy, the slow hash.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from safehold.adapters.process_facts import process_facts
from safehold.lab.world import CheapHasher, SeededEntropy, SimClock
from safehold.model.change import Change
from safehold.model.commands import AddAccount, AnyCommand, FoundInstallation, Outcome, SetPassword
from safehold.model.errors import BodiesDamaged, Held
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.model.token import TOKEN_KEY
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads, LogPosition
from safehold.ports.log import PreparedFrame
from safehold.protocol.forwarded import NOBODY
from safehold.recovery.after import AfterReport
from safehold.service.ahead import Proofs
from safehold.service.auth import Authenticator
from safehold.service.engine import Engine
from safehold.service.identity import SYSTEM_ACCOUNT, touches_credentials
from safehold.service.uses import Uses
from safehold.store.sqlite.core import SqliteCore
from safehold.web.gate import Figures
from safehold.web.noting import UseNotes
from safehold.web.signin import SignIn
from safehold.web.span_cache import SpanCache

T = TypeVar("T")


class MemoryLog:
    """A log that keeps nothing but its end. `failure`, where set, is raised instead of the next write."""

    timeline = 1

    def __init__(self) -> None:
        self.position = LogPosition(1, 0, b"")
        self.failure: Exception | None = None

    def prepare(self, changes: Sequence[Change]) -> PreparedFrame:
        frame = self.position.frame + 1
        return PreparedFrame(LogPosition(1, frame, frame.to_bytes(32, "big")), b"")

    def write(self, frame: PreparedFrame) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.position = frame.position

    def seal(self) -> None:
        pass

    def close(self) -> None:
        pass


class TestGate:
    """`web.gate.Gate`: commands go through the real engine, one transaction each."""

    __test__ = False
    blobs = cast(Blobs, None)
    public_url = ""
    proxies = NOBODY
    max_object_bytes = 1 << 20
    max_file_bytes = 1 << 30
    max_request_bytes = 8 << 20
    erased_days = 104
    sends_mail = True
    quota_bytes = 0
    recovering = False

    def __init__(self, folder: Path, quota_bytes: int = 0) -> None:
        self.quota_bytes = quota_bytes
        self.free: int | None = 1 << 40
        self.clock = SimClock()
        self.spans = SpanCache()
        self.proofs = Proofs()
        self.entropy = SeededEntropy(1)
        self.hasher = CheapHasher()
        self.log = MemoryLog()
        self.core = SqliteCore.open(str(folder / "core.db"), create=True)
        self.engine = Engine(
            self.clock,
            self.entropy,
            reopen=lambda: (self.core, self.log),
            on_committed=self._committed,
            quota_bytes=quota_bytes,
        )
        assert self.engine.try_resume()
        self.engine.execute(FoundInstallation(account=SYSTEM_ACCOUNT, config=""))
        self.reads: CoreReads = self.core.reader()
        key = self.reads.secret(0, TOKEN_KEY)
        assert key is not None
        self.token_key = key
        self.authenticator = Authenticator(self.reads, self.hasher, self.clock, self.entropy)
        self._sign_in = SignIn(self.authenticator)
        self.uses = UseNotes(Uses(self.clock), self.execute)
        self.peers: list[str] = []  # from where somebody signed in, one for each request
        self.state: dict[str, Any] = {"service": "serving"}
        self.status_calls = 0
        self.ahead: list[tuple[str, str, str]] = []
        self.after_report: AfterReport | None = None
        self.broken: Exception | None = None
        self.knocks: list[tuple[str, Kind]] = []
        self.on_knock: Callable[[Account, Kind], None] = lambda account, kind: None

    def _committed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if touches_credentials(change) and change.account != SYSTEM_ACCOUNT:
                self.authenticator.invalidate(change.account)
                self.uses.forget(change.account)

    def add_account(self, name: str, password: str = "secret") -> Account:
        id_ = self.entropy.bytes(16)
        self.engine.execute(AddAccount(account=id_, name=name, password=self.hasher.hash(password)))
        account = self.reads.account_by_id(id_)
        assert account is not None
        return account

    def set_password(self, account: Account, password: str) -> None:
        self.engine.execute(SetPassword(account=account.id, password=self.hasher.hash(password)))

    def hold(self, account: Account, kind: Kind, reason: str | None) -> None:
        self.core.begin()
        self.core.hold(account.id, kind, reason)
        self.core.commit()
        self.engine.pause(Held("what is whole has changed"))
        assert self.engine.try_resume()
        self.authenticator.invalidate(account.id)

    def close(self) -> None:
        self._sign_in.close()
        self.core.close()

    # -- the gate ------------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:
        who = await self._sign_in.authenticate(authorization, peer)
        self.peers.append(peer)
        self.uses.note(who, program)
        await self.uses.drain()
        return who.account

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        self.peers.append(peer)
        return await self._sign_in.owner(authorization, peer)

    async def ready(self, account: Account, kinds: Iterable[Kind]) -> None:
        """Notes the knock; `on_knock`, where set, is what a recovery does meanwhile."""
        for kind in kinds:
            self.knocks.append((account.name, kind))
            self.on_knock(account, kind)

    async def execute(self, command: AnyCommand) -> Outcome:
        return self.engine.execute(command)

    def locks(self, account: Account) -> HeldLocks:
        return self.engine.locks.held(account.id, self.clock.monotonic())

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        if self.broken is not None:
            raise self.broken
        return work(self.reads)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return work()

    def recovery_report(self) -> AfterReport | None:
        return self.after_report

    async def mend(self, error: BodiesDamaged) -> None:
        raise error

    def device_ahead(self, account: Account, path: str, device: str) -> None:
        self.ahead.append((account.name, path, device))

    def free_bytes(self) -> int | None:
        return self.free

    def figures(self) -> Figures:
        return Figures(3, self.engine.append_seconds, self.engine.commit_seconds, process_facts())

    def status(self) -> dict[str, Any]:
        self.status_calls += 1
        if self.broken is not None:
            raise self.broken
        return self.state


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Edge:
    """A client of an application. `user` is (name, password), sent as Basic credentials."""

    def __init__(self, gate: TestGate, routes: Sequence[BaseRoute] | ASGIApp) -> None:
        self.gate = gate
        self.app: ASGIApp = Starlette(routes=list(routes)) if isinstance(routes, Sequence) else routes
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.close()
        self.gate.close()

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        json_body: Any = None,
        user: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
        peer: str = "192.0.2.1",
        scheme: str = "http",
        chunks: Sequence[bytes] = (),
    ) -> Answer:
        """One request. `chunks` sends a body in pieces and without Content-Length."""
        sent = {"host": "pim.example:8460"} | (headers or {})
        if user is not None:
            sent["authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        if json_body is not None:
            body = json.dumps(json_body).encode()
        if body is not None:
            sent.setdefault("content-length", str(len(body)))
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in sent.items()],
            "client": (peer, 40000),
            "server": ("pim.example", 8460),
        }
        return self._loop.run_until_complete(self._ask(scope, list(chunks) or [body or b""]))

    async def _ask(self, scope: dict[str, Any], chunks: list[bytes]) -> Answer:
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)} for i, chunk in enumerate(chunks)
        ]
        messages: list[Any] = []

        async def receive() -> Any:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *parts = messages
        headers = {k.decode(): v.decode("latin-1") for k, v in start["headers"]}
        return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))
