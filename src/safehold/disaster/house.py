"""A whole installation on a simulated disk: core, two vaults, writer, shippers and edge, on one thread.

`House.boot` opens it as a start of the process does; `crash` throws away what was not synced and gives the house
that finds the rest; `close` ends it as SIGTERM does. Requests go through the real ASGI application, and those that
come together share one group commit. Shippers run when `scheduler` is told to.

Readers share the writer's one connection (a core on a simulated disk has no other), so there is nothing to read
while the writer has given its core up; `readable` says so.

Long, as all parts of an installation are put together here once, with neither thread nor clock of their own.
"""

from __future__ import annotations

import asyncio
import atexit
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Self, TypeVar

import apsw

from safehold.archiver.claiming import LogVault, Mode, claim_timeline
from safehold.archiver.shipped import FileBook
from safehold.assembly.core_check import CoreCare
from safehold.assembly.read_repair import ReadRepair
from safehold.assembly.writer import Writer
from safehold.config import VaultConfig
from safehold.lab.sealing import LabOpener, LabSealer
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.wire import Answer, Request
from safehold.lab.world import CheapHasher, SeededEntropy, SimClock, SimScheduler
from safehold.model.change import Change
from safehold.model.commands import AddAccount, AnyCommand, Outcome
from safehold.model.errors import BodiesDamaged
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.model.token import TOKEN_KEY
from safehold.ports.blobs import Blobs
from safehold.ports.care import CareStore
from safehold.ports.core import EMPTY_LOG, CoreReads
from safehold.ports.log import Hole
from safehold.ports.world import Clock, Entropy
from safehold.protocol.forwarded import NOBODY
from safehold.recovery.after import AfterReport
from safehold.recovery.one_body import fetch
from safehold.recovery.report import Report
from safehold.recovery.staged import Staged, StreamState
from safehold.service.ahead import Proofs
from safehold.service.auth import Authenticator, SignedIn
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits
from safehold.service.engine import Result
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.service.incidents import Incidents
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import ensure_keyring
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from safehold.web.app import make_app
from safehold.web.gate import Figures
from safehold.web.span_cache import SpanCache
from safehold.web.tracing import RequestIds, Tracer

T = TypeVar("T")

VAULTS = (VaultConfig("near", "folder:/near", "sync"), VaultConfig("far", "folder:/far", "async"))
CORE_FOLDER = "/core"
CORE_PATH = "/core/core.db"
PASSWORD = "correct horse"

_asking: ContextVar[int] = ContextVar("asking")
#: One for all houses: making one takes longer than most requests.
_loop = asyncio.new_event_loop()
atexit.register(_loop.close)


class Group:
    """Commands that went to the engine together, in their order.

    `requests` says where each came from; `results` stays None where the power went meanwhile.
    """

    def __init__(self, requests: list[int]) -> None:
        self.requests = requests
        self.results: Sequence[Result] | None = None


class House:
    """Implements web.gate.Gate. `seed` decides ids and keys; the clock is the caller's."""

    def __init__(
        self, disk: SimDisk, clock: SimClock, seed: int | str, vaults: Sequence[VaultConfig] | None = None
    ) -> None:
        self.disk = disk
        self.vaults = tuple(VAULTS if vaults is None else vaults)
        self.clock: Clock = clock
        self.sim_clock = clock
        self._chance = SeededEntropy(seed)
        self.entropy: Entropy = self._chance
        self.seed = seed
        self.public_url = ""
        self.proxies = NOBODY
        self.max_object_bytes = 1 << 20
        self.max_file_bytes = 1 << 24
        self.max_request_bytes = 1 << 20
        self.erased_days = 104
        self.sends_mail = False
        self.quota_bytes = 0
        self.staged: Staged | None = None  # a recovery that goes on while the house serves
        self.recovered: Report | None = None  # of the last one that came to its end
        #: Whether whoever knocks waits until its streams are in, asked for each step.
        self.patience: Callable[[], bool] = lambda: True
        self.brakes = DEFAULT_BRAKES
        #: The folder in which shippers keep what their vaults have; "" where they keep nothing.
        self.books = ""
        #: By vault: when its keeper removed something last (µs), and how many objects.
        self.removals: dict[str, tuple[int, int]] = {}
        self.spans = SpanCache()
        self.proofs = Proofs()
        self.ahead: list[tuple[str, str, str]] = []
        self.after_report: AfterReport | None = None
        self.scheduler = SimScheduler(clock, seed)
        #: Of the last `requests`: what was answered (all there is, after a crash) and what was committed together.
        self.answers: list[Answer | None] = []
        self.groups: list[Group] = []
        self._waiting: list[tuple[int, AnyCommand, asyncio.Future[Outcome]]] = []
        self._cores: list[SqliteCore] = []
        self.on_committed: Callable[[Sequence[Change]], None] = lambda _: None

    # -- starting --------------------------------------------------------------------------------------------

    @classmethod
    def new(
        cls,
        seed: int | str = 1,
        accounts: tuple[str, ...] = ("ann",),
        quota_bytes: int = 0,
        brakes: BrakeLimits = DEFAULT_BRAKES,
        vaults: Sequence[VaultConfig] | None = None,
        books: str = "",
    ) -> House:
        """An installation made from nothing, with these accounts, whose password is PASSWORD."""
        house = cls(SimDisk(), SimClock(), seed, vaults)
        house.books = books
        house.quota_bytes = quota_bytes
        house.brakes = brakes
        house.load_keys()
        for vault in house.vaults:
            FolderVault.create(vault.name, house.folder(vault), house.disk, house.keyring.installation).close()
        for folder in (CORE_FOLDER, "/blobs", "/scratch"):
            house.disk.make_folders(folder)
        SqliteCore.open(CORE_PATH, disk=house.disk, create=True).close()
        house.boot()
        for name in accounts:
            house.engine.execute(house.new_account(name))
        return house

    def load_keys(self) -> None:
        """The real keys, but for age's chance."""
        keys = ensure_keyring(self.disk, "/keys", self.entropy)
        self.keyring = replace(keys, sealer=LabSealer(keys.sealer), opener=LabOpener(keys.opener))

    def new_account(self, name: str) -> AddAccount:
        return AddAccount(account=self.entropy.bytes(16), name=name, password=CheapHasher().hash(PASSWORD))

    @staticmethod
    def folder(vault: VaultConfig) -> str:
        return vault.url.removeprefix("folder:")

    def vault(self, config: VaultConfig) -> FolderVault:
        return FolderVault(config.name, self.folder(config), self.disk, self.keyring.installation)

    def sync_names(self) -> tuple[str, ...]:
        """The vaults that acknowledgements wait for."""
        return tuple(vault.name for vault in self.vaults if vault.mode == Mode.SYNC)

    def opened(self, core: SqliteCore) -> SqliteCore:
        """Let go of it with the house."""
        self._cores.append(core)
        return core

    def open_core(self) -> SqliteCore:
        return self.opened(SqliteCore.open(CORE_PATH, disk=self.disk))

    def make_writer(self) -> Writer:
        return Writer(
            open_core=self.open_core,
            vaults=self.vaults,
            make_vault=self.vault,
            keyring=self.keyring,
            disk=self.disk,
            blobs="/blobs",
            scratch="/scratch",
            clock=self.clock,
            entropy=self.entropy,
            wake=self.scheduler.wake,
            on_committed=self._committed,
            quota_bytes=self.quota_bytes,
            brakes=self.brakes,
            book_of=self.book_of,
        )

    def book_of(self, config: VaultConfig) -> FileBook | None:
        return FileBook(self.disk, self.books, config.name) if self.books else None

    def boot(self, *, mend: bool = False, set_aside: Sequence[Hole] = ()) -> None:
        """Raises what hinders the writer from opening. `mend`: as after `vault add`, to level all vaults.

        `set_aside`: what the plan of a recovery just carried out named as lost of the log.
        """
        self.load_keys()
        self.scheduler = SimScheduler(self.sim_clock, f"{self.seed} shippers")
        self.writer = self.make_writer()
        self.engine = self.writer.engine
        self._mind()
        if mend:
            self.writer.change_vaults(self.vaults)
        self.writer.open(set_aside)
        self.writer.found("")
        for shipper in self.writer.take_new_shippers():
            self.scheduler.add(shipper)
        self.reopen_reads()
        key = self.reads.secret(0, TOKEN_KEY)
        assert key is not None
        self.token_key = key
        self.blobs: Blobs = LiveBlobs(
            self.disk, "/blobs", "/scratch", self.writer.archive, on_mended=self.care.blob_mended
        )
        self.app = make_app(self, Tracer(RequestIds("lab"), lambda: self.proxies))

    def reseed(self, seed: str) -> None:
        """What it draws from now on hangs on this seed alone, also after it went down. Never the same one twice."""
        self.seed = seed
        self._chance.reseed(seed)
        self.scheduler.reseed(f"{seed} shippers")

    # -- recovering while it serves ----------------------------------------------------------------------------

    @property
    def recovering(self) -> bool:
        """Asked of a house whose recovery goes on and ends between two calls."""
        return self.staged is not None

    def serve_recovering(self, *, anew: bool) -> None:
        """As `serve` starts on a core that is gone or damaged (`anew`), or in which a recovery is under way.

        Raises what hinders it.
        """
        self.load_keys()
        there = [vault for vault in map(self.vault, self.vaults) if vault.available()]
        reader, runs = VaultLogReader(there, self.keyring.opener), Runs(there, self.keyring.opener)
        if anew:
            self.staged = Staged.begin(
                reader,
                runs,
                there,
                make_core=self._make_core,
                make_rows=StreamRows,
                disk=self.disk,
                data="",
                clock=self.clock,
                claim=self.claim,
                sync=self.sync_names(),
            )
        else:
            core = self.open_core()
            self.staged = Staged.resume(core, reader, runs, make_rows=StreamRows, clock=self.clock)
            core.close()
        self.boot()

    def claim(self) -> int:
        """The next timeline in every vault that is there; the one that leads furthest stands for all."""
        keyring = self.keyring
        there = [vault for vault in map(self.vault, self.vaults) if vault.available()]
        ends = [(VaultLogReader([vault], keyring.opener).end(), vault) for vault in there]
        ends.sort(key=lambda each: (each[0].timeline, each[0].frame), reverse=True)
        vaults = [LogVault(vault, Mode.ASYNC if n else Mode.SYNC) for n, (_, vault) in enumerate(ends)]
        return claim_timeline(vaults, keyring.sealer, keyring.opener, EMPTY_LOG, recovering=True).timeline

    def _make_core(self, folder: str) -> SqliteCore:
        return self.opened(SqliteCore.open(f"{folder}/core.db", disk=self.disk, create=True))

    def recovery_turn(self, most_changes: int = 20) -> bool:
        """One turn of the writer for the recovery that is under way; whether it still is. Raises what it raises."""
        staged = self.staged
        if staged is None or self.engine.stopped is not None:
            return staged is not None
        core = self.engine.core
        blobs = LiveBlobs(self.disk, "/blobs", "/scratch", self.writer.archive)
        if not staged.step(core, most_changes) and not staged.fetch(core, blobs, 200_000):
            self.recovered = staged.close(core)
            self.staged = None
        self.engine.drain_intakes()
        return self.staged is not None

    def reopen_reads(self) -> None:
        """On a simulated disk readers share the writer's connection, which is a new one once it has been reopened."""
        self.reads: CoreReads = self.engine.core
        self.authenticator = Authenticator(self.reads, CheapHasher(), self.clock, self.entropy)

    @property
    def readable(self) -> bool:
        """Whether the writer's connection stands: not after a failed commit, nor a failed attempt to open anew."""
        if self.engine.stopped is None:
            return True
        core = self._cores[-1]
        return self.reads is core and not core._failed and _is_open(core)

    def tick(self) -> bool:
        """The writer's housekeeping, which opens it anew where it has stopped; whether it writes."""
        stopped = self.engine.stopped is not None
        self.writer.tick()
        if stopped and self.engine.stopped is None:
            self.reopen_reads()
        return self.engine.stopped is None

    # -- ending ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """As SIGTERM does: seal, close, ship."""
        self.scheduler.stop()
        self.writer.close()
        self.writer.ship_all()

    def abandon(self) -> None:
        """Let go of everything without another write, as a process that is killed."""
        self.scheduler.stop()
        for core in self._cores:
            with suppress(Crash):  # once for each connection that has not noticed yet that the disk is dead
                core.abandon()

    def crash(self, seed: int | None = None) -> Self:
        """Power loss: the same installation on what the disk kept, not yet booted."""
        return self._on(self.disk.crash(seed))

    def kill(self) -> Self:
        """The process is killed: the same installation on the same disk, not yet booted."""
        return self._on(self.disk.kill())

    def _on(self, disk: SimDisk) -> Self:
        self.abandon()
        after = type(self)(disk, self.sim_clock, f"{self.seed}+", self.vaults)
        after.brakes, after.books, after.removals = self.brakes, self.books, self.removals
        return after

    # -- the gate --------------------------------------------------------------------------------------------

    def _committed(self, changes: Sequence[Change]) -> None:
        self.on_committed(changes)
        for account in {change.account for change in changes if change.kind is Kind.IDENTITY}:
            if hasattr(self, "authenticator"):
                if account == SYSTEM_ACCOUNT:  # as the service does
                    self.authenticator.forget_all()
                self.authenticator.invalidate(account)

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:
        found = self.authenticator.begin(authorization, peer)
        who = found if isinstance(found, SignedIn) else self.authenticator.finish(found, found.run())
        return who.account

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        return await self.authenticate(authorization, peer)

    async def ready(self, account: Account, kinds: Iterable[Kind]) -> None:
        staged = self.staged
        assert staged is not None, "nothing is recovering"
        for kind in kinds:
            staged.knock(account.id, kind)
            while staged.state(account.id, kind) is StreamState.QUEUED and self.patience():
                self.recovery_turn()

    async def execute(self, command: AnyCommand) -> Outcome:
        """Joins the group that `requests` commits together; alone it is a group of one."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((_asking.get(), command, future))
        return await future

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        group = Group([index for index, _, _ in waiting])
        self.groups.append(group)
        results = self.engine.execute_all([command for _, command, _ in waiting])
        if self.disk.dead:  # the crash got lost on its way through a library
            raise Crash
        group.results = results
        for (_, _, future), result in zip(waiting, results, strict=True):
            if isinstance(result, Outcome):
                future.set_result(result)
            else:
                future.set_exception(result)

    def locks(self, account: Account) -> HeldLocks:
        return self.engine.locks.held(account.id, self.clock.monotonic())

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        return work(self.reads)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return work()

    def recovery_report(self) -> AfterReport | None:
        return self.after_report

    async def mend(self, error: BodiesDamaged) -> None:
        self.repair.bring(error.bodies)

    def step_care(self, steps: int = 1) -> None:
        """What the thread that cares for the core does, for so many steps."""
        for _ in range(steps):
            self.care.step()

    def _in_turn(self, work: Callable[[CareStore], T]) -> T | None:
        return None if self.engine.stopped is not None else work(self._care_core())

    def _care_core(self) -> SqliteCore:
        core = self._cores[-1]
        assert core is self.engine.core
        return core

    def _mind(self) -> None:
        """Read repair and the check of the core, as the service has them, on one thread."""
        self.incidents = Incidents(self.clock)
        self.renewals: list[str] = []
        self.repair = ReadRepair(
            lambda wanted: fetch(lambda: [self.vault(v) for v in self.vaults], self.keyring.opener, wanted),
            self._care_core,
            self.clock,
            self.incidents,
        )
        self.care = CoreCare(
            self.repair,
            self._care_core,
            self._in_turn,
            self.clock,
            self.incidents,
            self.disk,
            "/run/core-check.json",
            bytes_per_second=1 << 40,
            check_blob=self._check_blob,
            renew=self.renewals.append,
        )
        self.writer.body_source, self.writer.on_damage = self.repair.hasty, self.care.met

    def _check_blob(self, name: bytes, size: int, digest: bytes) -> tuple[bool, bool]:
        assert isinstance(self.blobs, LiveBlobs)
        fine = self.blobs.check(name, size, digest)
        if fine is False:
            self.blobs.restore(name, size, digest)
        return True, fine is False

    def device_ahead(self, account: Account, path: str, device: str) -> None:
        self.ahead.append((account.name, path, device))

    def free_bytes(self) -> int | None:
        return self.disk.free_bytes("/")

    def figures(self) -> Figures:
        return Figures(0, self.engine.append_seconds, self.engine.commit_seconds, {})

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

    def requests(self, wanted: Sequence[Request]) -> list[Answer]:
        """Several at once: those that change something share one group commit.

        A crash passes through, with `answers` and `groups` telling how far it had come.
        """
        self.answers = [None] * len(wanted)
        self.groups = []
        tasks = [_loop.create_task(self._ask(index, each)) for index, each in enumerate(wanted)]
        try:
            while not all(task.done() for task in tasks):
                _loop.run_until_complete(self._turns(tasks))
                _raise_first([task for task in tasks if task.done()])
                if self._waiting:
                    self._commit()
            _raise_first(tasks)
        finally:
            self._waiting = []
            for task in tasks:
                task.cancel()
            _loop.run_until_complete(_ended(tasks))
        return [answer for answer in self.answers if answer is not None]

    async def _turns(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Until each task has come as far as it can without the others: it is done, or waits for the commit."""
        for _ in range(50):
            await asyncio.sleep(0)
            if sum(not task.done() for task in tasks) <= len(self._waiting):
                return

    async def _ask(self, index: int, request: Request) -> None:
        _asking.set(index)
        credentials = b64encode(f"{request.user}:{PASSWORD}".encode()).decode()
        sent = {"host": "house", "authorization": f"Basic {credentials}", "content-length": str(len(request.body))}
        sent.update({name.lower(): value for name, value in request.headers.items()})
        self.answers[index] = await _ask(self.app, request.method, request.path, sent, request.body)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_first(done: Sequence[asyncio.Task[None]]) -> None:
    """What a request raised, a crash above all: nothing runs after one."""
    for task in done:
        error = task.exception()
        if error is not None:
            raise error


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
        if not incoming:
            await asyncio.Event().wait()  # nothing more comes, and the client stays
        return incoming.pop()

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status = message["status"]
            answered = {k.decode().lower(): v.decode() for k, v in message.get("headers", [])}
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, answered, b"".join(parts))


def _is_open(core: SqliteCore) -> bool:
    try:
        return core._db.in_transaction in (True, False)
    except apsw.ConnectionClosedError:
        return False
