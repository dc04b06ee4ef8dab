"""`safehold snapshot`: a generation of what the core holds now, written into the sync vaults and sealed in the log.

It works beside a running service, whose core it reads as it is committed, and which it tells over the local socket what
to seal and ship; where none runs it opens a writer itself, which seals and ships at its end. Where nothing can be
sealed now (a sync vault is away, so that the log stands still) the objects wait in the ledger for the next call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from safehold.adapters.lock import Locked
from safehold.adapters.processes import ForkedWorkers
from safehold.archiver.claiming import Mode
from safehold.archiver.generation_ledger import Newest
from safehold.archiver.generations import GenerationWriter, RunJob, Workers, Written, make_run
from safehold.assembly.site import Site
from safehold.formats.generation import RunEntry, manifest_object
from safehold.formats.seal import SealedObject
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.core import CoreReads, LogPosition
from safehold.ports.vault import Vault
from safehold.service.control import decode_json, encode_objects
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.runs import Runs

if TYPE_CHECKING:
    from safehold.archiver.shipper import Shipper

#: More processes than this would wait for the disk.
MOST_WORKERS = 4
#: Called with how many changes are written, and of how many.
Told = Callable[[int, int], None]


class Snapshot(NamedTuple):
    written: Written
    sealed: bool
    why_not_sealed: str
    down: dict[str, str]  # vaults that could not be brought level, and why


def take_snapshot(site: Site, *, full: bool, workers: int = 0, told: Told = lambda _done, _all: None) -> Snapshot:
    """Write what came since the newest generation. `workers`: processes that share the work; 0: one for each core.

    The calling process must have no core open and no threads. Raises OperatorError, Damaged.
    """
    _ = site.keyring  # once, for the workers too
    if not site.has_core():
        site.refuse_history_without_core()
    count = workers or min(MOST_WORKERS, _processors())
    with ExitStack() as stack:
        _lock(site, stack)
        maker = _RunMaker(site)
        stack.callback(maker.close)
        pool: Workers = stack.enter_context(ForkedWorkers(count, maker)) if count > 1 else _Alone(maker)
        if site.ask_or_lock(encode_objects([]), stack) is not None:
            return _beside_service(site, stack, pool, full=full, told=told)
        return _alone(site, stack, pool, full=full, told=told)


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """What the command answers."""
    written = snapshot.written
    return {
        "generation": written.generation,
        "new": written.new,
        "full": written.full,
        "changes": written.changes,
        "bytes": written.bytes,
        "copied": written.copied,
        "sealed": snapshot.sealed,
        "away": [{"vault": name, "why": why} for name, why in sorted(snapshot.down.items())],
    }


def _lock(site: Site, stack: ExitStack) -> None:
    try:
        stack.enter_context(site.snapshot_lock())
    except Locked:
        raise OperatorError("another snapshot is being taken", hint="wait until it has ended") from None


def _beside_service(site: Site, stack: ExitStack, workers: Workers, *, full: bool, told: Told) -> Snapshot:
    core = site.open_reads()
    stack.callback(core.close)
    generations = generation_writer(site, workers, told)
    written = generations.write(core, full=full, may_drop=lambda: _allowed_to_drop(site))
    down = dict(written.down)
    said = _tell_service(site, written.objects)
    if said is None:
        return Snapshot(written, not written.objects, "the service has ended meanwhile", down)
    down.update(said.get("down", {}))
    if said["ok"]:
        generations.sealed()
    return Snapshot(written, bool(said["ok"]), said.get("why") or "", down)


def _tell_service(site: Site, objects: Sequence[SealedObject]) -> dict[str, Any] | None:
    """What a running service answers that is to seal these; None where none runs."""
    answer = site.ask_service(encode_objects(objects))
    return None if answer is None else decode_json(answer)


def _alone(site: Site, stack: ExitStack, workers: Workers, *, full: bool, told: Told) -> Snapshot:
    """The lock is held."""
    core = site.open_reads()
    stack.callback(core.close)
    generations = generation_writer(site, _LoadingMeanwhile(workers), told)
    written = generations.write(core, full=full, may_drop=lambda: _allowed_to_drop(site))
    why, shippers = _seal(site, generations, written) if written.objects else ("", _ship_alone(site))
    level = {s.target: s.trouble or "it could not be brought level in time" for s in shippers if not s.level}
    return Snapshot(written, not why, why, {**written.down, **level})


def _seal(site: Site, generations: GenerationWriter, written: Written) -> tuple[str, Sequence[Shipper]]:
    """Open a writer (which claims a timeline), seal and ship. Why it was not sealed, or ""; the shippers."""
    writer = site.make_writer()
    why = ""
    try:
        writer.open()
        writer.note_objects(written.objects)
        generations.sealed()
    except SafeholdError as error:
        why = error.message
    finally:
        writer.close()
    writer.ship_all()
    return why, writer.shippers


def _ship_alone(site: Site) -> list[Shipper]:
    """Bring the async vaults level while nobody writes. The caller holds the lock."""
    followers = [v for v in site.config.vaults if v.mode != Mode.SYNC]
    if not followers:
        return []
    from safehold.archiver.shipper import Shipper  # not waited for where no vault follows
    from safehold.assembly.writer import CLOSING_SECONDS

    source = next(v for v in site.config.vaults if v.mode == Mode.SYNC)
    shippers = [Shipper(site.vault(source), site.vault(v), site.clock) for v in followers]
    for shipper in shippers:
        until = site.clock.monotonic() + CLOSING_SECONDS
        while not shipper.level and site.clock.monotonic() < until:
            shipper.step()
            if shipper.trouble:
                break
    return shippers


def generation_writer(site: Site, workers: Workers, told: Told = lambda _done, _all: None) -> GenerationWriter:
    """Over fresh instances of the vaults."""
    sync = [site.vault(v) for v in site.config.vaults if v.mode == Mode.SYNC]
    others = [site.vault(v) for v in site.config.vaults if v.mode != Mode.SYNC]

    def on_log(position: LogPosition) -> bool:
        there = [vault for vault in (*sync, *others) if vault.available()]
        try:
            VaultLogReader(there, site.keyring.opener).check(position)
        except NotOnTheLog:
            return False
        return True

    return GenerationWriter(
        sync,
        site.keyring.sealer,
        site.clock,
        site.disk,
        str(site.scratch_folder),
        str(site.ledger_path),
        workers,
        on_log,
        lambda: newest_in(sync, site),
        told,
    )


def _allowed_to_drop(site: Site) -> int:
    from safehold.assembly.allowed_drop import allowed_to_drop  # asked for only where full runs may be written

    return allowed_to_drop(site)


def newest_in(vaults: Sequence[Vault], site: Site) -> Iterator[Newest]:
    """The generations of these vaults, newest first, where the identity is here to read them."""
    there = [vault for vault in vaults if vault.available()]
    try:
        for found in Runs(there, site.keyring.opener).generations():
            name = manifest_object(found.number)
            data = next(vault for vault in there if vault.name == found.vaults[0]).get(name)
            yield Newest(found.manifest, found.digest, SealedObject(name, len(data), sha256(data).digest()))
    except (SafeholdError, KeyError):
        return


class _RunMaker:
    """Makes run objects from a core that is opened at the first of them: in the process that does the work."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._core: SqliteCore | None = None

    def __call__(self, job: RunJob) -> RunEntry:
        if self._core is None:
            self._core = self._site.open_reads()
        reads: CoreReads = self._core
        return make_run(reads, self._site.disk, self._site.keyring.sealer, job)

    def close(self) -> None:
        if self._core is not None:
            self._core.close()


class _LoadingMeanwhile:
    """Workers beside whose first jobs this process, which would only wait, loads what sealing takes."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def run(self, jobs: Sequence[RunJob]) -> Iterator[RunEntry]:
        entries = self._workers.run(jobs)
        import_module("safehold.assembly.writer")
        return entries


class _Alone:
    """Workers of this process."""

    def __init__(self, maker: _RunMaker) -> None:
        self._maker = maker

    def run(self, jobs: Sequence[RunJob]) -> Iterator[RunEntry]:
        return map(self._maker, jobs)
