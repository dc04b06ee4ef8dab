"""A whole installation on a simulated disk: core, two vaults, writer and edge, on one thread.

`House.boot` opens it as a start of the process does; `crash` throws away what was not synced and gives the house
that finds the rest. Requests go through the real ASGI application.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from safehold.assembly.writer import Writer
from safehold.config import VaultConfig
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import CheapHasher, SeededEntropy, SimClock
from safehold.model.commands import AddAccount, AnyCommand, Outcome
from safehold.model.items import Account
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.world import Clock, Entropy
from safehold.service.auth import Authenticator
from safehold.service.identity import TOKEN_KEY
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import ensure_keyring
from safehold.web.app import make_app

T = TypeVar("T")

VAULTS = (VaultConfig("near", "folder:/near", "sync"), VaultConfig("far", "folder:/far", "async"))
CORE_FOLDER = "/core"
CORE_PATH = "/core/core.db"
PASSWORD = "correct horse"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Request(NamedTuple):
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012
    user: str = "ann"


class House:
    """Implements web.gate.Gate. `seed` decides ids and keys; the clock is the caller's."""

    def __init__(self, disk: SimDisk, clock: SimClock, seed: int | str) -> None:
        self.disk = disk
        self.clock: Clock = clock
        self.sim_clock = clock
        self.entropy: Entropy = SeededEntropy(seed)
        self.seed = seed
        self.max_object_bytes = 1 << 20
        self.max_file_bytes = 1 << 24
        self.max_request_bytes = 1 << 20
        self._waiting: list[tuple[AnyCommand, asyncio.Future[Outcome]]] = []

    # -- starting --------------------------------------------------------------------------------------------

    @classmethod
    def new(cls, seed: int | str = 1, accounts: tuple[str, ...] = ("ann",)) -> House:
        """An installation made from nothing, with these accounts, whose password is PASSWORD."""
        house = cls(SimDisk(), SimClock(), seed)
        house.keyring = ensure_keyring(house.disk, "/keys", house.entropy)
        for vault in VAULTS:
            FolderVault.create(vault.name, house.folder(vault), house.disk, house.keyring.installation).close()
        for folder in (CORE_FOLDER, "/blobs", "/scratch"):
            house.disk.make_folders(folder)
        SqliteCore.open(CORE_PATH, disk=house.disk, create=True).close()
        house.boot()
        for name in accounts:
            hashed = CheapHasher().hash(PASSWORD)
            house.engine.execute(AddAccount(account=house.entropy.bytes(16), name=name, password=hashed))
        return house

    @staticmethod
    def folder(vault: VaultConfig) -> str:
        return vault.url.removeprefix("folder:")

    def make_vault(self, config: VaultConfig) -> FolderVault:
        return FolderVault(config.name, self.folder(config), self.disk, self.keyring.installation)

    def make_writer(self) -> Writer:
        return Writer(
            open_core=lambda: SqliteCore.open(CORE_PATH, disk=self.disk),
            vaults=VAULTS,
            make_vault=self.make_vault,
            keyring=self.keyring,
            disk=self.disk,
            scratch="/scratch",
            clock=self.clock,
            entropy=self.entropy,
        )

    def boot(self) -> None:
        """Raises what hinders the writer from opening."""
        self.keyring = ensure_keyring(self.disk, "/keys", self.entropy)
        self.writer = self.make_writer()
        self.writer.open()
        self.writer.found("")
        self.engine = self.writer.engine
        self.reopen_reads()
        key = self.reads.secret(0, TOKEN_KEY)
        assert key is not None
        self.token_key = key
        self.blobs: Blobs = LiveBlobs(self.disk, "/blobs", "/scratch", self.writer.archive)
        self.app = make_app(self)

    def reopen_reads(self) -> None:
        """On a simulated disk readers share the writer's connection, which is a new one once it has been reopened."""
        self.reads: CoreReads = self.engine.core
        self.authenticator = Authenticator(self.reads, CheapHasher(), self.clock, self.entropy)

    def crash(self, seed: int | None = None) -> House:
        """Power loss: the same installation on what the disk kept, not yet booted."""
        return House(self.disk.crash(seed), self.sim_clock, f"{self.seed}+")

    # -- the gate --------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None, peer: str) -> Account:
        found = self.authenticator.begin(authorization, peer)
        return found if isinstance(found, Account) else self.authenticator.finish(found, found.run())

    async def execute(self, command: AnyCommand) -> Outcome:
        """Joins the group that `requests` commits together; alone it is a group of one."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        return await future

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        results = self.engine.execute_all([command for command, _ in waiting])
        for (_, future), result in zip(waiting, results, strict=True):
            if isinstance(result, Outcome):
                future.set_result(result)
            else:
                future.set_exception(result)

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        return work(self.reads)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return work()

    def status(self) -> dict[str, Any]:
        return {"service": "serving"}

    # -- asking ----------------------------------------------------------------------------------------------

    def account(self, name: str = "ann") -> Account:
        account = self.reads.account_named(name)
        assert account is not None
        return account

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, user: str = "ann"
    ) -> Answer:
        """One request through the application, as a device sends it."""
        return self.requests([Request(method, path, body, headers or {}, user)])[0]

    def requests(self, wanted: list[Request]) -> list[Answer]:
        """Several at once: those that change something share one group commit."""
        loop = asyncio.new_event_loop()
        try:
            tasks = [loop.create_task(self._ask(each)) for each in wanted]
            while not all(task.done() for task in tasks):
                # Enough turns for each to come as far as it can without the others.
                loop.run_until_complete(_turns(50))
                if self._waiting:
                    self._commit()
            return [task.result() for task in tasks]
        finally:
            self._waiting = []
            loop.close()

    async def _ask(self, request: Request) -> Answer:
        credentials = b64encode(f"{request.user}:{PASSWORD}".encode()).decode()
        sent = {"host": "house", "authorization": f"Basic {credentials}", "content-length": str(len(request.body))}
        sent.update({name.lower(): value for name, value in request.headers.items()})
        return await _ask(self.app, request.method, request.path, sent, request.body)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _ask(app: Any, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    raw, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("192.0.2.1", 4711),
        "server": ("house", 80),
    }
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    status, answered, parts = 0, {}, []

    async def receive() -> dict[str, Any]:
        return incoming.pop() if incoming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status = message["status"]
            answered = {k.decode().lower(): v.decode() for k, v in message.get("headers", [])}
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, answered, b"".join(parts))
