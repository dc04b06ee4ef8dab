"""The recovering part of a drill: what `recover run` does, into a scratch folder, from what one vault gives.

It is the same plan (glance.py, plan.py) and the same run (run.py, build.py). What differs is what a drill must not do:
no timeline is claimed, no vault is written to, and large bodies are verified one after the other and not kept.

    glance   of the newest generation and the log after it; where that does not suffice, a plan that reads everything
    choose   all accounts, or those of one share
    run      a new core in `data`, verified as every recovery is

First contact is measured as a serving recovery makes it (staged.py): every identity, then the stream that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.ports.blobs import Blobs, BodyStage
from safehold.ports.core import CoreStore
from safehold.ports.disk import Disk
from safehold.ports.log import LogReader
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.recovery.glance import NotAsGlanced, glance
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.portions import MakeRows
from safehold.recovery.report import Progress, Report, silent
from safehold.recovery.run import run_plan
from safehold.recovery.selection import SYSTEM, Selection
from safehold.recovery.shares import Helpers
from safehold.recovery.staged import Staged, StreamState
from safehold.vault.runs import Runs

#: Readers that remember nothing yet.
Again = Callable[[], tuple[LogReader, Runs]]


class Rebuilt(NamedTuple):
    """A scratch core, closed, in `data`/core. Seconds by the clock: throttling has to be taken off."""

    plan: Plan
    report: Report
    notes: list[str]
    accounts: tuple[bytes, ...]  # that were recovered
    read_seconds: float
    enter_seconds: float


class Passing:
    """Blobs that are fetched, verified, read once, and dropped: so that a drill needs room for one of them."""

    def __init__(self, blobs: Blobs, drop: Callable[[bytes], None]) -> None:
        self._blobs = blobs
        self._drop = drop

    def stage(self, key: bytes) -> BodyStage:
        return self._blobs.stage(key)

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        found = self._blobs.read(name, size, offset, count, digest=digest)

        def passing() -> Iterator[bytes]:
            try:
                yield from found
            finally:
                self._drop(name)

        return passing()

    def doubt(self, name: bytes) -> None:
        self._blobs.doubt(name)


def in_share(account: bytes, share: tuple[int, int]) -> bool:
    """Whether an account belongs to this share (1 to N, of N): by the hash of its id, so that it stays in its share."""
    number, of = share
    return int.from_bytes(sha256(account).digest()[:8], "big") % of == number - 1


def rebuild(
    again: Again,
    vaults: Callable[[], Sequence[Vault]],
    share: tuple[int, int],
    *,
    make_core: Callable[[str], CoreStore],
    blobs: Blobs,
    disk: Disk,
    data: str,
    clock: Clock,
    sync: Sequence[str] = (),
    helpers: Helpers | None = None,
    progress: Progress = silent,
) -> Rebuilt:
    """Recover all accounts, or those of a share, into `data`/core, which is made anew.

    `sync` are names of vaults whose end is taken for the end of what was asked for. Raises OperatorError where nothing
    can be recovered, Damaged where the core that was built does not agree with what was read.
    """
    began = clock.monotonic()
    reader, runs = again()
    plan = glance(reader, vaults(), clock, runs, sync=sync) or _whole(again, vaults, clock, sync, helpers, progress)
    plan, accounts = _choose(plan, share)
    read = clock.monotonic() - began
    before = clock.monotonic()

    def run(plan: Plan) -> tuple[Report, list[str]]:
        reader, runs = again()
        result = run_plan(
            plan,
            reader,
            make_core=make_core,
            blobs=blobs,
            disk=disk,
            data=data,
            clock=clock,
            claim=lambda: plan.end.timeline + 1,  # nobody's: nothing is written into any vault
            runs=runs,
            helpers=helpers,
            progress=progress,
        )
        return result.report, result.notes

    try:
        report, notes = run(plan)
    except NotAsGlanced:
        plan, accounts = _choose(_whole(again, vaults, clock, sync, helpers, progress), share)
        report, notes = run(plan)
    return Rebuilt(plan, report, notes, accounts, read, clock.monotonic() - before)


def _whole(
    again: Again,
    vaults: Callable[[], Sequence[Vault]],
    clock: Clock,
    sync: Sequence[str],
    helpers: Helpers | None,
    progress: Progress,
) -> Plan:
    reader, runs = again()
    return make_plan(reader, vaults(), clock, sync=sync, runs=runs, settling=helpers, progress=progress)


def _choose(plan: Plan, share: tuple[int, int]) -> tuple[Plan, tuple[bytes, ...]]:
    erased = set(plan.erased)
    accounts = sorted({stream.account for stream in plan.streams} - erased - {SYSTEM})
    chosen = tuple(account for account in accounts if in_share(account, share))
    if share[1] == 1:
        return plan, chosen
    selection = Selection(accounts=chosen)
    return msgspec.structs.replace(plan, selection=selection), chosen


def first_contact(
    again: Again,
    vaults: Sequence[Vault],
    account: bytes,
    *,
    make_core: Callable[[str], CoreStore],
    make_rows: MakeRows,
    disk: Disk,
    data: str,
    clock: Clock,
    timeline: int,
    sync: Sequence[str] = (),
    rest: Callable[[], None] = lambda: None,
) -> float | None:
    """Seconds until this account's contacts could be answered, complete, by a start that recovers while it serves.

    None where that start would not recover by itself, or the stream is not whole in this vault.
    """
    began = clock.monotonic()
    reader, runs = again()
    try:
        staged = Staged.begin(
            reader,
            runs,
            vaults,
            make_core=make_core,
            make_rows=make_rows,
            disk=disk,
            data=data,
            clock=clock,
            claim=lambda: timeline,
            sync=sync,
            again=again,
        )
        core = make_core(f"{data}/core")
        try:
            staged.knock(account, Kind.CONTACTS)
            while staged.state(account, Kind.CONTACTS) is StreamState.QUEUED:
                staged.prepare(1)
                staged.step(core, 1)
                rest()
            whole = staged.state(account, Kind.CONTACTS) in (StreamState.WHOLE, StreamState.SERVING)
        finally:
            core.close()
    except SafeholdError:
        return None
    return clock.monotonic() - began if whole else None
