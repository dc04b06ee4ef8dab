"""The service: writer, sign-in, edge, local socket and shippers in one process.

Long, as all that the process runs, and in which order it begins and ends, has to be seen together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

from safehold.adapters.channel import ChannelServer
from safehold.adapters.passwords import Argon2Hasher
from safehold.adapters.process_facts import process_facts
from safehold.adapters.threads import ThreadScheduler, in_daemon
from safehold.archiver.shipper import Shipper
from safehold.assembly.after import ghost_notes, in_batches, keep_report, not_yet_told, notices
from safehold.assembly.alarming_service import ServiceAlarms
from safehold.assembly.caring import Caring
from safehold.assembly.finding import Lost, find_why_not
from safehold.assembly.installation import Installation
from safehold.assembly.objectives import Measures
from safehold.assembly.scheduler import Scheduler
from safehold.assembly.series import SeriesRecorder
from safehold.assembly.sizes import note_size
from safehold.assembly.status import RECOVERING, SERVING, status_object, status_without_core
from safehold.assembly.telling import Telling
from safehold.assembly.watching import Watching
from safehold.assembly.writer import InstallationLost
from safehold.config import Config
from safehold.formats.keys import KeyAway
from safehold.formats.seal import SealedObject
from safehold.model.change import Change
from safehold.model.commands import AnyCommand, NoteGhosts, Outcome, TellNotice
from safehold.model.errors import BadRequest, BodiesDamaged, Damaged, Held, OperatorError, SafeholdError
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.model.token import TOKEN_KEY
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads, CoreStore
from safehold.ports.world import Clock, Entropy
from safehold.recovery.after import AfterReport
from safehold.recovery.retention import erased_days
from safehold.service.ahead import Proofs
from safehold.service.auth import Authenticator, Limits
from safehold.service.control import (
    MAX_COMMANDS,
    NOTE_OBJECTS,
    RELOAD,
    SETTLE,
    STATUS,
    MakeUp,
    Wanted,
    decode_commands,
    decode_make_up,
    decode_objects,
    decode_wanted,
    encode_json,
    encode_results,
)
from safehold.service.identity import SYSTEM_ACCOUNT, touches_credentials
from safehold.service.incidents import DevicesAhead
from safehold.service.uses import Uses
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import Keyring
from safehold.web.gate import Figures
from safehold.web.noting import UseNotes
from safehold.web.pump import Pump
from safehold.web.signin import SignIn
from safehold.web.span_cache import SpanCache
from safehold.web.tracing import carrying

if TYPE_CHECKING:  # brought in where something is to be recovered
    from safehold.assembly.serving_recovery import ServingRecovery, UnderWay

_log = logging.getLogger("safehold.serve")
T = TypeVar("T")

#: Long reads side by side. More would only contend for the interpreter.
READING_THREADS = 2
#: Large bodies side by side: one on its way into the vaults may take a minute, and must not keep others waiting.
BLOB_THREADS = 4
TICK_SECONDS = 1.0
#: At the end each stage is given so long, and all of them together; with what the requests under way are given (10
#: seconds) and the last shipping (8) that stays below 30 seconds (I36).
ALL_STOP_SECONDS = 8.0
STOP_SECONDS = 4.0

#: Async vaults are given so long to catch up before somebody looks at them.
SETTLE_SECONDS = 5.0
#: What a recovery has to tell people, and could not since nothing was written, is tried again after so long.
TELL_AGAIN_SECONDS = 30.0
#: How large the core is, is noted so often.
SIZES_SECONDS = 6 * 3600.0
#: Whoever asks for a fresh look at the vaults waits so long for each.
LOOK_SECONDS = 2.0
#: A thread that computes gives way after this long; the default of 5 ms would stall the event loop behind it.
SWITCH_SECONDS = 0.0005


class CoreLost(OperatorError):
    """The writer found that the core has to be recovered before anything can be served."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(f"the core {lost.why}", hint="run `safehold recover plan`")
        self.lost = lost


class Service:
    """Implements web.gate.Gate over one installation. Made and used on the event loop's thread."""

    def __init__(self, installation: Installation) -> None:
        """Raises CoreLost, OperatorError."""
        config = installation.config
        self.installation = installation
        self.clock: Clock = installation.clock
        self.entropy: Entropy = installation.entropy
        self.public_url = config.public_url
        self.proxies = config.trusted_proxies
        self.max_object_bytes = config.max_object_bytes
        self.max_file_bytes = config.max_file_bytes
        self.max_request_bytes = config.max_request_bytes
        self.erased_days = erased_days(config.retention)
        self.quota_bytes = config.quota_bytes
        self.sends_mail = bool(config.mail.host)
        self.spans = SpanCache()
        self.proofs = Proofs()
        self._ahead = DevicesAhead(installation.clock)
        self._scheduler = ThreadScheduler()
        self._shipping: set[int] = set()
        self._stop_until = 0.0
        self.hanging = False  # whether a stop left something behind that hangs
        self._disk_thread = ThreadPoolExecutor(1, "commit")
        self._blob_threads = ThreadPoolExecutor(BLOB_THREADS, "blobs")
        self._readers = ThreadPoolExecutor(READING_THREADS, "read")
        self._local = local()
        self._open_readers: list[SqliteCore] = []
        self._telling = Telling(installation, self._beside)
        self._loop = asyncio.get_running_loop()
        self.writer = installation.make_writer(wake=self._wake, on_committed=self._committed)
        self._alarms = ServiceAlarms(installation, self.writer, self.status, lambda: self.recovering)
        self.writer.engine.on_timed = self._alarms.timed
        self.pump = Pump(self.writer.engine, self._disk_thread)
        self.renewing = False  # whether it ends to begin again with a new core
        self._caring = Caring(installation, self.writer, self.pump.exclusive, self._end_to_renew)
        self._caring.resting = lambda: self.recovering
        self._open_writer()
        self._watching = Watching(installation, self.writer)
        self._watching.wait(LOOK_SECONDS)
        self.reads: CoreReads = self._reader(may_wait=False)
        key = self.reads.secret(0, TOKEN_KEY)
        if key is None:
            raise OperatorError("the installation's identity is not in the core", hint="run `safehold recover plan`")
        self.token_key = key
        live_blobs = LiveBlobs(
            installation.disk,
            str(installation.blobs_folder),
            str(installation.scratch_folder),
            self.writer.archive,
            monotonic=installation.clock.monotonic,
            on_mended=self._caring.blob_mended,
        )
        self.blobs: Blobs = live_blobs
        self._caring.use_blobs(live_blobs)
        self._authenticator = Authenticator(
            self.reads,
            Argon2Hasher(),
            self.clock,
            self.entropy,
            Limits.of(
                failures=config.auth_failures,
                window_seconds=config.auth_window_seconds,
                remember_seconds=config.auth_remember_seconds,
            ),
        )
        self._sign_in = SignIn(self._authenticator)
        self._uses = UseNotes(Uses(self.clock), self.pump.execute)
        self._channel = ChannelServer(str(installation.socket_path), self._answer)
        self._recovery: ServingRecovery | None = None
        self._last_recovery: dict[str, Any] | None = None
        self._after: asyncio.Task[None] | None = None  # keeps it alive
        self._untold: list[NoteGhosts | TellNotice] = []
        self._measures = Measures(installation)
        self._jobs = Scheduler(installation, self._measures)
        self._sizes_at = -SIZES_SECONDS
        self._series = SeriesRecorder(installation)
        self._ticking: asyncio.Task[None] | None = None

    def _open_writer(self) -> None:
        """A vault that is away stops writing, not reading: what is whole is served, and the writer tries again.

        Raises KeyAway where the log is ahead of the core: only a person can bring the key; InstallationLost.
        """
        try:
            self.writer.open()
            self.writer.found(self.installation.config.text)
        except (InstallationLost, KeyAway):
            self.writer.close()
            raise
        except SafeholdError as error:
            lost = find_why_not(self.installation, error)
            if lost is not None:
                self.writer.close()
                raise CoreLost(lost) from error
            _log.error("no change can be taken: %s. %s", error.message, error.hint)

    # -- the gate --------------------------------------------------------------------------------------------

    async def authenticate(self, authorization: str | None, peer: str, program: str = "") -> Account:
        who = await self._again(lambda: self._sign_in.authenticate(authorization, peer))
        if who.label:
            self._uses.note(who, program)
        return who.account

    async def authenticate_owner(self, authorization: str | None, peer: str) -> Account:
        return await self._again(lambda: self._sign_in.owner(authorization, peer))

    @property
    def recovering(self) -> bool:
        return self._recovery is not None

    async def ready(self, account: Account, kinds: Iterable[Kind]) -> None:
        if self._recovery is not None:
            await self._recovery.ready(account.id, kinds)

    async def execute(self, command: AnyCommand) -> Outcome:
        return await self._again(lambda: self.pump.execute(command))

    async def mend(self, error: BodiesDamaged) -> None:
        await self._caring.bring(error)

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What was asked for; where that met damaged bodies once more, with them at hand."""
        try:
            return await ask()
        except BodiesDamaged as error:
            await self.mend(error)
            return await ask()

    def locks(self, account: Account) -> HeldLocks:
        return self.writer.engine.locks.held(account.id, self.clock.monotonic())

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        return await self._loop.run_in_executor(self._readers, carrying(partial(self._with_reader, work)))

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._blob_threads, carrying(work))

    def device_ahead(self, account: Account, path: str, device: str) -> None:
        self._ahead.note(account.name, path, device)

    def recovery_report(self) -> AfterReport | None:
        return self._telling.report()

    def free_bytes(self) -> int | None:
        return self._watching.free_bytes()

    def figures(self) -> Figures:
        engine = self.writer.engine
        return Figures(self.pump.waiting, engine.append_seconds, engine.commit_seconds, process_facts())

    def status(self) -> dict[str, Any]:
        noted = self._caring.incidents.incidents()
        incidents = [*self._ahead.incidents(), *noted, *self._jobs.incidents(), *self._telling.incidents()]
        looks = self._watching.vaults()
        site, writer, measures = self.installation, self.writer, self._measures
        try:
            status = status_object(site, self.reads, writer, incidents, looks, measures)
            announced = self._telling.announcements(self.reads)
        except Damaged as error:  # a page of the core; whoever minds it has been told of that
            status = status_without_core(site, error, writer, incidents, looks, measures)
            announced = self._telling.announcements(None)
        more: dict[str, Any] = {
            **self._jobs.status(),
            "announcements": announced,
            "core": self._caring.status(),
            "alarms": self._alarms.facts(),
        }
        if self._recovery is not None:
            more["recovery"] = self._recovery.status()
            if status["service"] == SERVING:
                more["service"] = RECOVERING
        return {**status, **more, "last_recovery": self._last_recovery}

    def _beside(self, work: Callable[[CoreReads], None]) -> None:
        """Begin a long read that nobody waits for; from any thread."""
        with contextlib.suppress(RuntimeError):  # the service ends
            self._readers.submit(self._with_reader, work)

    def _reader(self, *, may_wait: bool) -> SqliteCore:
        reader = self._caring.look_after(self.installation.open_reads(), may_wait=may_wait)
        self._open_readers.append(reader)
        return reader

    def _with_reader(self, work: Callable[[CoreReads], T]) -> T:
        if not hasattr(self._local, "reader"):
            self._local.reader = self._reader(may_wait=True)
        return work(self._local.reader)

    # -- along the way ---------------------------------------------------------------------------------------

    def _committed(self, changes: Sequence[Change]) -> None:
        """In the disk thread. A change of credentials ends what was remembered of them."""
        accounts = {c.account for c in changes if touches_credentials(c)}
        if accounts:
            self._loop.call_soon_threadsafe(self._forget_credentials, accounts)
        self._telling.committed(changes)
        self._alarms.committed(changes)

    def _forget_credentials(self, accounts: set[bytes]) -> None:
        if SYSTEM_ACCOUNT in accounts:  # somebody was erased, and is no longer there to be named
            self._authenticator.forget_all()
        for account in accounts:
            self._authenticator.invalidate(account)
            self._uses.forget(account)

    def _answer(self, payload: bytes) -> bytes:
        """A request at the local socket, in a thread of the channel."""
        if payload == STATUS:
            self._watching.wait(LOOK_SECONDS)
            return asyncio.run_coroutine_threadsafe(self._status_json(), self._loop).result()
        if payload == RELOAD:
            return asyncio.run_coroutine_threadsafe(self._reload(), self._loop).result()
        if payload == SETTLE:
            return asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result()
        try:
            wanted = decode_make_up(payload)
            if wanted is not None:
                return asyncio.run_coroutine_threadsafe(self._make_up(wanted), self._loop).result()
            if (streams := decode_wanted(payload)) is not None:
                return asyncio.run_coroutine_threadsafe(self._bring_in(streams), self._loop).result()
            if payload.startswith(NOTE_OBJECTS):
                objects = decode_objects(payload)
                return asyncio.run_coroutine_threadsafe(self._note_objects(objects), self._loop).result()
            commands = decode_commands(payload)
        except BadRequest as error:
            return encode_results([error])
        results = asyncio.run_coroutine_threadsafe(self._execute_all(commands), self._loop).result()
        return encode_results(results)

    async def _execute_all(self, commands: Sequence[AnyCommand]) -> list[Outcome | SafeholdError]:
        """What a command at the local socket needs is brought in first, as for whoever knocks."""
        if self._recovery is not None:
            for command in commands:
                await self._recovery.ready_for(command)
        return await self.pump.execute_all(commands)

    async def _bring_in(self, wanted: Wanted) -> bytes:
        """Streams that a command is about to read by itself."""
        if self._recovery is None:
            return encode_json({"held": []})
        kinds = [Kind(kind) for kind in wanted.kinds]
        await self._recovery.ready(wanted.account, kinds)
        return encode_json({"held": [kind for kind in kinds if self._recovery.waits(wanted.account, kind)]})

    async def _status_json(self) -> bytes:
        return encode_json(self.status())

    async def _note_objects(self, objects: Sequence[SealedObject]) -> bytes:
        """Somebody put objects into the sync vaults: seal and ship them."""
        why: str | None = None
        if objects:
            try:
                await self.pump.exclusive(lambda: self.writer.note_objects(objects))
                self._jobs.snapshots.look_again()
            except SafeholdError as error:
                why = error.message
        down = {shipper.target: shipper.trouble for shipper in self.writer.shippers if shipper.trouble}
        return encode_json({"ok": why is None, "why": why, "down": down})

    async def _reload(self) -> bytes:
        """Vaults or keys have changed: close the writer and open it over the new ones, in a timeline of their own."""
        from safehold.config import load

        config = load(self.installation.config_path)
        self.installation.config = config
        keyring = self.installation.reload_keys()
        await self.run_blocking(lambda: self.writer.use_for_blobs(config.vaults))
        await self.pump.exclusive(lambda: self._change_over(keyring, config))
        self._start_shippers()
        self._watching.refresh()
        stopped = self.writer.engine.stopped
        return encode_json({"ok": stopped is None, "why": None if stopped is None else stopped.message})

    def _change_over(self, keyring: Keyring, config: Config) -> None:
        self.writer.use_keyring(keyring)
        self.writer.change_vaults(config.vaults)
        if self.writer.engine.stopped is None:
            try:
                self.writer.found(config.text)
            except SafeholdError as error:  # the next start brings it up to date
                _log.warning("what travels in the vaults is not up to date: %s", error.message)

    async def _settle(self) -> bytes:
        """Close and seal what is being written, for who wants to read or mend it."""
        frame = await self.pump.exclusive(self.writer.settle)
        shippers = len(self.writer.shippers)
        until = self.clock.monotonic() + SETTLE_SECONDS
        while len(level := self.writer.level_vaults()) < shippers and self.clock.monotonic() < until:
            await asyncio.sleep(SETTLE_SECONDS / 100)
        return encode_json({"frame": frame, "level": level})

    async def _make_up(self, wanted: MakeUp) -> bytes:
        """What no vault has whole any more, the core writes again."""
        blobs = [bytes.fromhex(name) for name in wanted.blobs]
        try:
            lacking = await self.pump.exclusive(lambda: self.writer.make_up(wanted.frames, blobs))
        except SafeholdError as error:
            return encode_json({"ok": False, "why": error.message, "lacking": []})
        return encode_json({"ok": True, "why": None, "lacking": lacking})

    # -- starting and ending ---------------------------------------------------------------------------------

    def listen(self) -> None:
        """At the local socket. Whoever sees the port answer finds that it answers too: to be called before."""
        self._channel.start()

    def start(self) -> None:
        self._start_shippers()
        self._caring.start()
        self._alarms.start(self._scheduler)
        if self._recovery is not None:
            self._recovery.start()
        if self._telling.postbox is not None:
            self._scheduler.add(self._telling.postbox)
        self._ticking = asyncio.create_task(self._tick())

    def _start_shippers(self) -> None:
        for shipper in self.writer.take_new_shippers():
            self._scheduler.add(shipper)
            self._shipping.add(id(shipper))

    def _wake(self, shipper: Shipper) -> None:
        """One that does not run yet begins with a step anyway."""
        if id(shipper) in self._shipping:
            self._scheduler.wake(shipper)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._watching.refresh()
                await self.pump.exclusive(self.writer.tick)
                if self._recovery is None:
                    await self.pump.exclusive(self.writer.beat)
                # In a core that is not whole yet nothing is to be written, compared or dropped.
                self._jobs.tick(writing=self.writer.engine.stopped is None, whole=self._recovery is None)
                self._note_size()
                self._series.tick(self.status)
                await self._tell()
            except Exception:
                _log.exception("the writer's housekeeping failed; it is tried again")

    def _note_size(self) -> None:
        """Now and then, beside everything else: what growth is known by."""
        now = self.clock.monotonic()
        if self._recovery is None and now - self._sizes_at >= SIZES_SECONDS:
            self._sizes_at = now
            self._beside(self._size)

    def _size(self, reads: CoreReads) -> None:
        try:
            note_size(self.installation, reads)
        except OSError as error:
            _log.warning("how large the core is could not be noted: %s", error.strerror)

    def _end_to_renew(self) -> None:
        self.renewing = True
        signal.raise_signal(signal.SIGTERM)

    async def _tell(self) -> None:
        """Publish, write, and enter what was announced while there was no identity."""
        self._telling.tick(self.status)
        if self._telling.postbox is not None:
            self._scheduler.wake(self._telling.postbox)
        waiting = self._telling.waiting() if self.writer.engine.stopped is None else []
        if waiting:
            results = await self.pump.execute_all(waiting)
            if not any(isinstance(result, SafeholdError) for result in results):
                self._telling.entered()

    async def stop(self) -> None:
        """Finish what waits, seal, ship, close. What hangs is left (`hanging` says so), for I36."""
        self._stop_until = self.clock.monotonic() + ALL_STOP_SECONDS
        if self._ticking is not None:
            self._ticking.cancel()
            if not await self._in_time("the writer's housekeeping", self._ended(self._ticking)):
                return
        await self._in_time("the look for alarms", in_daemon(self._alarms.stop, "stop"))
        await self._in_time("the care of the core", in_daemon(self._caring.stop, "stop"))
        if self._recovery is not None:
            await self._in_time("the recovery", self._recovery.stop())
        last = self.status() if self._telling.publishes else {}
        await self._in_time("the published status", in_daemon(partial(self._telling.stop, last), "stop"))
        await self._in_time("what is done regularly", in_daemon(self._jobs.stop, "stop"))
        await self._in_time("the local socket", in_daemon(self._channel.stop, "stop"))
        drained = await self._in_time("the changes that wait", self._drain())
        self._sign_in.close()
        # Before the writer's connection: the last one to close brings the WAL into the file, and a reader cannot.
        await self._in_time("a reader", in_daemon(self._readers.shutdown, "stop"))
        for reader in self._open_readers:
            reader.close()
        if drained:
            await self._in_time("a sync vault", self.pump.exclusive(self.writer.close))
        busy = await asyncio.wrap_future(in_daemon(partial(self._scheduler.stop, STOP_SECONDS), "stop"))
        level = await asyncio.wrap_future(in_daemon(partial(self.writer.ship_all, busy), "stop"))
        if busy or not level:
            _log.error("an async vault hangs: what it lacks is shipped after the next start")
            self.hanging = True
        for pool in (self._disk_thread, self._blob_threads):
            await self._in_time("a thread", in_daemon(partial(pool.shutdown, wait=not self.hanging), "stop"))

    async def _drain(self) -> None:
        await self._uses.drain()
        await self.pump.drain()

    async def _ended(self, task: asyncio.Task[None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _in_time(self, what: str, work: Future[T] | Coroutine[Any, Any, T]) -> bool:
        """Whether something ended in time. Where it did not it goes on, and nothing that needs it follows."""
        task = asyncio.ensure_future(asyncio.wrap_future(work) if isinstance(work, Future) else work)
        left = self._stop_until - self.clock.monotonic()
        done, _ = await asyncio.wait((task,), timeout=max(0.5, min(STOP_SECONDS, left)))
        if done:
            await task
            return True
        _log.error("%s hangs: the service ends without waiting for it", what)
        self.hanging = True
        return False

    # -- a recovery that goes on -----------------------------------------------------------------------------

    def recover(self, under_way: UnderWay) -> None:
        """Go on with what has been begun, while serving. To be called before `start`."""
        from safehold.assembly.serving_recovery import ServingRecovery

        engine = self.writer.engine
        self._recovery = ServingRecovery(
            under_way,
            self.pump,
            self._core_to_fill,
            engine.pause,
            engine.drain_intakes,
            self.clock,
            self._keep_report,
            self._recovered,
        )
        self._telling.recovery(self._recovery.status())

    def _core_to_fill(self) -> CoreStore:
        """In the disk thread. Raises what keeps the writer from writing."""
        self.writer.require_open()
        return self.writer.engine.core

    async def _keep_report(self, report: AfterReport) -> None:
        """Keep it in the vaults, and tell those whom it concerns; after a kill nothing is told twice."""
        upto = self.reads.log_position()
        kept = await self.run_blocking(lambda: keep_report(self.installation, report, upto, again=True))
        self._telling.recovered(kept)
        wanted: list[NoteGhosts | TellNotice] = list(
            await self.run_blocking(lambda: ghost_notes(self.installation, kept))
        )
        wanted += await self.in_thread(lambda reads: not_yet_told(reads, notices(kept)))
        self._untold = await self._told(wanted)

    def _recovered(self, last: dict[str, Any]) -> None:
        self._recovery, self._last_recovery = None, last
        self._jobs.snapshots.look_again()
        self._telling.recovery(None)
        self._after = asyncio.create_task(self._tell_rest())

    async def _told(self, notices: Sequence[NoteGhosts | TellNotice]) -> list[NoteGhosts | TellNotice]:
        """Those that could not be entered now."""
        untold: list[NoteGhosts | TellNotice] = []
        for batch in in_batches(notices, MAX_COMMANDS):
            results = await self.pump.execute_all(batch)
            untold += [one for one, result in zip(batch, results, strict=True) if isinstance(result, Held)]
        return untold

    async def _tell_rest(self) -> None:
        """Those whose identity could not be written while the record stood."""
        try:
            while self._untold:
                self._untold = await self._told(self._untold)
                await asyncio.sleep(TELL_AGAIN_SECONDS)
        except Exception:
            _log.exception("what came of the recovery could not be told to all whom it concerns")
