"""Recovery wired to a data folder: which vaults, which keys, which core; the work is recovery's.

Long, as a run is one course of steps, each of which needs what those before it have made.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from safehold.adapters.lock import FolderLock
from safehold.adapters.processes import ForkedWorkers
from safehold.archiver.claiming import LogVault, Mode, claim_timeline
from safehold.assembly.after import ghost_notes, in_batches, keep_report, notices
from safehold.assembly.bare import bring_what_travels, with_older_identities
from safehold.assembly.salvaged import archive_found, make_ready, open_find, put_back
from safehold.assembly.session import Session
from safehold.assembly.site import Site
from safehold.assembly.suspecting import suspicions
from safehold.assembly.vault_urls import AnyVault, is_code, open_vault, redeem_code, with_scheme
from safehold.assembly.writer import InstallationLost
from safehold.config import VaultConfig, check_vault
from safehold.formats.evidence import VERSION, Evidence
from safehold.formats.keys import FINGERPRINT_BYTES, SEALED_TO_OTHERS, Opener
from safehold.formats.parity import PARITY_PREFIX
from safehold.model.commands import AcceptEnd, AcceptLoss, Undo
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, NewerCore, NotFound, OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.blobs import BlobArchive
from safehold.ports.core import EMPTY_LOG, TO_FOUND, CoreReads, LogPosition
from safehold.ports.vault import VaultDown
from safehold.recovery.after import RUN, Read, after_report, read_sources
from safehold.recovery.anew import count_key, everything_read, lacks_key
from safehold.recovery.build import Accepted
from safehold.recovery.examine import State
from safehold.recovery.excuses import LOG_FROM, REPAIR
from safehold.recovery.find import Find, salvage_words
from safehold.recovery.find_bodies import FindArchive
from safehold.recovery.glance import NotAsGlanced, glance
from safehold.recovery.plan import ByParity, Plan, make_plan
from safehold.recovery.portions import Portion, Settled, settle
from safehold.recovery.report import Progress, Suspicion, silent
from safehold.recovery.run import Result, run_plan
from safehold.recovery.shares import Found, Share, work
from safehold.recovery.sources import look
from safehold.service.ahead import doubts_of
from safehold.service.control import MAX_COMMANDS
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.service.undone import Undone
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault import recoveries
from safehold.vault.blobs import VaultBlobs
from safehold.vault.evidence import put_evidence
from safehold.vault.keyring import is_complete, load_identity
from safehold.vault.log import VaultLogReader
from safehold.vault.parity import ParityVault
from safehold.vault.runs import GenerationReader, Runs

_NAMELESS_TOLD = 20
#: More processes than this would wait for the one that enters what they read.
MOST_WORKERS = 4
END_IN_DOUBT = (
    "how the log had ended is not known: devices are given no list, and told of nothing that it is gone, so that none "
    "deletes what only it still has; they go on by their sync tokens, and every write is taken. Recover further if any "
    "vault may hold more; else end it with `safehold recover run --yes --accept-loss` (and the same --salvage, if one "
    "was given), or let each person do so on /devices"
)


class Sources:
    """The vaults that a recovery reads, and the key that opens them."""

    def __init__(
        self,
        site: Site,
        *,
        only: str | None = None,
        url: str | None = None,
        identity: Path | None = None,
        salvages: Sequence[str] = (),
    ) -> None:
        """`salvages` are folders of what was salvaged: with them neither a vault nor a key need be there."""
        self._site = site
        self._given = url is not None
        self.salvages = list(salvages)
        self._by_parity: dict[ByParity, None] = {}
        if identity is not None:
            site.use_identity(load_identity(site.disk, str(identity)))
        if url is not None and is_code(url):
            url = redeem_code(url, site.data, site.disk, site.entropy, site.opener.installation)
        self._configs = _chosen(site, only, url)
        if self.salvages and identity is None and not is_complete(site.disk, str(site.keys_folder)):
            self._configs = []
            self.opener = Opener((), bytes(FINGERPRINT_BYTES))
            return
        self.opener = site.opener
        self.opener.require()
        if identity is not None:
            self.opener = with_older_identities(self.reader(), self.runs(), self.opener)
            site.use_identity(self.opener)

    def take_keys(self) -> None:
        """Those that have been made since, where there were none."""
        if not self.opener.can_open and is_complete(self._site.disk, str(self._site.keys_folder)):
            self.opener = self._site.opener

    def vaults(self) -> list[AnyVault]:
        """Fresh instances, sync ones first: their copies are preferred."""
        data, disk = self._site.data, self._site.disk
        return [
            open_vault(c, data, disk, self.opener.installation)
            for c in sorted(self._configs, key=lambda c: c.mode != Mode.SYNC)
        ]

    def reader(self) -> VaultLogReader:
        """Of the vaults that are there, and their parity; the plan names the others."""
        there = [v for v in self.vaults() if v.available()]
        return VaultLogReader(there, self.opener, spare=self.parity(there))

    def runs(self) -> Runs:
        """The generations in those vaults."""
        there = [v for v in self.vaults() if v.available()]
        return Runs([*there, *self.parity(there)], self.opener)

    def parity(self, vaults: Sequence[AnyVault] | None = None) -> list[ParityVault]:
        """What these vaults can compute again of what they have lost; nothing of those that have no parity."""
        there = [v for v in self.vaults() if v.available()] if vaults is None else vaults
        return [ParityVault(vault, partial(self._came_by_parity, vault.name)) for vault in there if _has_parity(vault)]

    def _came_by_parity(self, vault: str, name: str) -> None:
        self._by_parity[ByParity(vault, name)] = None

    def by_parity(self) -> list[ByParity]:
        """What came out of parity so far, as far as this process has read it."""
        return list(self._by_parity)

    def without_parity(self) -> GivesRuns:
        """For worker processes: what they cannot read is read here, where it is noted from what it came."""
        return _WithoutParity(self)

    def again(self) -> tuple[VaultLogReader, Runs]:
        """Readers that remember nothing of what could not be read before."""
        return self.reader(), self.runs()

    def given(self) -> AnyVault | None:
        """The vault that was given by its URL, where one was."""
        return self.vaults()[0] if self._given else None

    def suspicions(self, below: int | None = None) -> list[Suspicion]:
        """From when on what these vaults hold may be somebody else's; timelines from `below` on are our own."""
        vaults = self.vaults()
        try:
            return suspicions(vaults, self.opener, names=not self._given, below=below)
        finally:
            for vault in vaults:
                vault.close()

    def names(self) -> list[str]:
        return [config.name for config in self._configs]

    def sync_names(self) -> list[str]:
        """Those that acknowledgements waited for. Of a vault that is given by its URL nobody knows that."""
        return [] if self._given else [c.name for c in self._configs if c.mode == Mode.SYNC]

    def blobs(self, find: Find | None = None) -> LiveBlobs:
        """Live blobs, which are fetched from the vaults, and from a find where these do not have them."""
        site = self._site
        keyring = site.keyring
        archive: BlobArchive = VaultBlobs(
            [], [*self.vaults(), *self.parity()], keyring.sealer, self.opener, site.disk, str(site.scratch_folder)
        )
        if find is not None:
            archive = FindArchive(archive, find)
        return LiveBlobs(site.disk, str(site.blobs_folder), str(site.scratch_folder), archive)


def _has_parity(vault: AnyVault) -> bool:
    try:
        return next(iter(vault.list(PARITY_PREFIX)), None) is not None
    except VaultDown:
        return False


class GivesRuns(Protocol):
    """Fresh instances, for a process of its own."""

    def runs(self) -> Runs: ...


class _WithoutParity:
    """The generations as the vaults have them."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def runs(self) -> Runs:
        return Runs([v for v in self._sources.vaults() if v.available()], self._sources.opener)


class _Helper:
    """What a worker process does: it opens vaults of its own at the first portion, and keeps what it read of them.

    The core it opens for each share: a connection that is left open would be in the way of its being put into place.
    """

    def __init__(self, sources: GivesRuns) -> None:
        self._sources = sources
        self._readers: dict[int, GenerationReader] = {}

    def __call__(self, job: Portion | Share) -> list[Settled | None] | Found:
        return work(_core_to_read, job) if isinstance(job, Share) else self._settle(job)

    def _settle(self, portion: Portion) -> list[Settled | None]:
        reader = self._readers.get(portion.generation)
        if reader is None:
            runs = self._sources.runs()
            generation = runs.generation(portion.generation)
            if generation is None:
                return [None] * len(portion.streams)
            reader = self._readers[portion.generation] = runs.reader(generation)
        return settle(reader, portion, StreamRows)


class _Helpers:
    """`Helpers` for recovery: worker processes."""

    def __init__(self, workers: ForkedWorkers[Portion | Share, list[Settled | None] | Found]) -> None:
        self._workers = workers

    def run(self, jobs: Sequence[Portion]) -> Iterator[list[Settled | None]]:
        return cast(Iterator[list[Settled | None]], self._workers.run(jobs))

    def ready(self, seconds: float) -> bool:
        return self._workers.ready(seconds)

    def compare(self, shares: Sequence[Share]) -> Iterator[Found]:
        return cast(Iterator[Found], self._workers.run(shares))


def helpers_of(sources: GivesRuns, stack: ExitStack, lock: FolderLock | None = None) -> _Helpers | None:
    """Worker processes, where there is more than one processor. To be called before anything is open but the lock."""
    count = min(MOST_WORKERS, len(os.sched_getaffinity(0)))
    if count == 1:
        return None
    begin = lock.leave if lock is not None else (lambda: None)
    return _Helpers(stack.enter_context(ForkedWorkers(count, _Helper(sources), begin)))


@contextmanager
def _core_to_read(folder: str) -> Iterator[CoreReads]:
    core = SqliteCore.open(f"{folder}/core.db", read_only=True)
    try:
        yield core
    finally:
        core.close()


def _chosen(site: Site, only: str | None, url: str | None) -> Sequence[VaultConfig]:
    if url is not None:
        return [check_vault("given", with_scheme(url), "sync")]
    configs = site.config.vaults
    if only is None:
        return configs
    chosen = [c for c in configs if c.name == only]
    if not chosen:
        names = ", ".join(c.name for c in configs)
        raise OperatorError(f"there is no vault {only!r}", hint=f"the configured ones are {names}", exit_code=2)
    return chosen


def plan_recovery(
    site: Site,
    sources: Sources,
    *,
    account: str | None = None,
    kind: Kind | None = None,
    to: int | None = None,
    at_once: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Read and verify everything; write nothing. Raises OperatorError.

    A run that follows `at_once`, with nobody looking at the plan, needs a glance only, where that suffices.
    """
    plan = _plan_recovery(site, sources, account=account, kind=kind, to=to, at_once=at_once, progress=progress)
    plan.report.suspect = sources.suspicions()
    plan.by_parity = sources.by_parity()
    return plan


def _plan_recovery(
    site: Site,
    sources: Sources,
    *,
    account: str | None,
    kind: Kind | None,
    to: int | None,
    at_once: bool,
    progress: Progress,
) -> Plan:
    if at_once and not site.core_path.exists() and not sources.salvages:
        glanced = glance(
            sources.reader(),
            sources.vaults(),
            site.clock,
            sources.runs(),
            accounts=[account] if account is not None else (),
            kinds=[kind] if kind is not None else (),
            to=to,
            sync=sources.sync_names(),
        )
        if glanced is not None:
            return glanced
    with ExitStack() as stack:
        helpers = helpers_of(sources.without_parity(), stack)
        find = open_find(site, sources.salvages, stack)
        closed = not _has_wal(site)
        core, problem, newer = core_there(site, stack)
        return make_plan(
            sources.reader(),
            sources.vaults(),
            site.clock,
            accounts=[account] if account is not None else (),
            kinds=[kind] if kind is not None else (),
            to=to,
            sync=sources.sync_names(),
            core=core,
            core_problem=problem,
            core_newer=newer,
            core_closed=closed,
            blobs=sources.blobs() if is_complete(site.disk, str(site.keys_folder)) else None,
            runs=sources.runs(),
            settling=helpers,
            find=find,
            parity=sources.parity(),
            progress=progress,
        )


def core_there(site: Site, stack: ExitStack) -> tuple[CoreReads | None, str, str]:
    """The core that is there, opened for reading, or why it cannot be, or that a newer release has written it.

    One of an older version is no damage.
    """
    if not site.core_path.exists():
        return None, "", ""
    try:
        core = SqliteCore.open(str(site.core_path), read_only=True, older=True)
    except NewerCore as error:
        return None, "", error.message
    except (Damaged, OperatorError) as error:
        return None, error.message, ""
    stack.callback(core.close)
    return core, "", ""


def _has_wal(site: Site) -> bool:
    """Whether the last process that had the core open did not close it: it was killed, or the power went."""
    wal = f"{site.core_path}-wal"
    return site.disk.exists(wal) and site.disk.size(wal) > 0


def sealed_to_others(plan: Plan) -> int:
    """The frame from which on the end of the log is sealed to other keys than were given; 0 where it is not."""
    after = [hole for hole in plan.holes if hole.first > plan.end.frame]
    closed = any(SEALED_TO_OTHERS in problem for hole in after for problem in hole.problems)
    return after[0].first if closed else 0


def refuse_less(plan: Plan, old: CoreReads | None) -> None:
    """Raises OperatorError where the core that an earlier run left has more than this plan brings back.

    It may have had it from a salvage, and no vault has it yet.
    """
    if old is None or plan.core is not State.PARTIAL or not plan.selection.whole or plan.salvages:
        return
    there, planned = old.counts()["changes"], plan.report.changes_recovered
    if there > planned:
        raise OperatorError(
            f"the core that is here holds {count_text(there, 'change')}, this plan brings back {planned}; nothing was "
            "changed",
            hint="give again by --salvage what that core was recovered from, or start the service, which writes to the "
            "vaults what they lack; to go on without it, move the folder core/ away first",
        )


def run_recovery(site: Site, plan: Plan, sources: Sources, *, accept_loss: bool, progress: Progress = silent) -> Result:
    """Carry a plan out, with nothing else running; then undo what came after `plan.to`, where that is set.

    Raises OperatorError where the end of the log is whole and the key to it was not given: to go on without it would
    leave out, for good, what devices were told is safe.
    """
    frame = sealed_to_others(plan)
    if frame and not accept_loss:
        raise OperatorError(
            f"from frame {frame} on the log is sealed to a key that was not given; nothing was changed",
            hint="give the newest recovery key by --identity FILE (several may stand in one file, one a line); "
            "--accept-loss goes on without what came since",
        )
    with site.lock() as lock, ExitStack() as stack:
        made = make_ready(site, plan, given=sources.given() is not None)
        sources.take_keys()
        helpers = helpers_of(sources.without_parity(), stack, lock)
        old, _, _ = core_there(site, stack)
        refuse_less(plan, old)
        find = open_find(site, sources.salvages, stack)
        brought = [*made, *bring_what_travels(site, plan, sources.given())]
        sources.take_keys()
        site.disk.make_folders(str(site.scratch_folder))
        site.disk.make_folders(str(site.blobs_folder))
        claim = Claim(site, sources, above=max(plan.end.timeline, plan.highest))

        def run(plan: Plan) -> Result:
            return run_plan(
                plan,
                sources.reader(),
                make_core=make_core,
                blobs=sources.blobs(find),
                disk=site.disk,
                data=str(site.data),
                clock=site.clock,
                claim=claim,
                look=lambda: look(sources.vaults()),
                runs=sources.runs(),
                helpers=helpers,
                old=old,
                accept_loss=accept_loss,
                may_found=everything_read(plan, [config.name for config in site.config.vaults]),
                find=find,
                progress=progress,
            )

        try:
            result = run(plan)
        except NotAsGlanced:
            suspect = plan.report.suspect
            plan = _read_everything(site, plan, sources, helpers, progress)
            plan.report.suspect = suspect
            result = run(plan)
        site.mark_used()
        result.report.suspect = plan.report.suspect
        result.by_parity = list(dict.fromkeys([*plan.by_parity, *sources.by_parity()]))
        result.notes += parity_told(result.by_parity)
        _record_lost_log(site, plan, result.report.timeline)
        result.notes = [*brought, *result.notes, *_go_on(site, plan)]
        claim.done()
    if plan.salvages:
        result.notes += archive_found(site, plan)
    result.notes += _found_anew(site, result)
    if result.taken:
        result.notes += _record_losses(site, result.taken)
    result.notes += _settle_end(site, accept_loss)
    result.notes += _nameless(site)
    if plan.to is not None:
        _undo_to(site, plan, plan.to)
    result.notes += _record_ghosts(site, result)
    if plan.salvages:
        result.returned, problems = put_back(site, plan, sources.salvages)
        result.notes += problems
    if plan.core is not State.WHOLE:
        result.notes += _tell_after(site, plan, result)
    return result


def parity_told(given: Sequence[ByParity]) -> list[str]:
    """For people: a line for each vault."""
    counts = Counter(one.vault for one in given)
    return [
        f"{vault}: {count_text(count, 'object')}, damaged or missing there, came from its own parity; "
        "`safehold vault repair` mends it there"
        for vault, count in sorted(counts.items())
    ]


def _tell_after(site: Site, plan: Plan, result: Result) -> list[str]:
    """Keep the report in the vaults, and tell whom it concerns. What hinders that is no failure of the recovery."""
    report = keep_report(
        site,
        after_report(
            result.report,
            at=site.clock.now(),
            how=RUN,
            generation=plan.generation,
            sources=[*read_sources(plan.sources), *(Read(salvage_words(mark.path)) for mark in plan.salvages)],
            accepted=result.accepted,
            notes=result.notes,
        ),
        plan.end,
    )
    told = notices(report)
    problems = [] if report.evidence else ["the report could not be kept in any vault; it lies beside the core"]
    if told:
        try:
            with Session(site) as session:
                for batch in in_batches(told, MAX_COMMANDS):
                    session.execute_all(batch)
        except SafeholdError as error:
            problems.append(f"those whom it concerns could not be told on their pages: {error.message}")
    return problems


def _read_everything(site: Site, glanced: Plan, sources: Sources, helpers: _Helpers | None, progress: Progress) -> Plan:
    """The plan that a glance stood for."""
    selection = glanced.selection
    return make_plan(
        sources.reader(),
        sources.vaults(),
        site.clock,
        accounts=[account.hex() for account in selection.accounts or ()],
        kinds=selection.kinds or (),
        to=glanced.to,
        sync=sources.sync_names(),
        blobs=sources.blobs(),
        runs=sources.runs(),
        settling=helpers,
        parity=sources.parity(),
        progress=progress,
    )


class Claim:
    """The timeline that a run opens, once, and the marks by which vaults know that a recovery is open."""

    def __init__(self, site: Site, sources: Sources, timeline: int | None = None, *, above: int = 0) -> None:
        """`timeline` is that of a run that is gone on with; `above`: up to which others know, whatever is left of the
        log.
        """
        self._site = site
        self._sources = sources
        self._timeline = timeline
        self._above = above

    def __call__(self) -> int:
        if self._timeline is None:
            self._timeline = _claim(self._site, self._sources, self._above)
            self._mark(recoveries.opened)
        return self._timeline

    def done(self) -> None:
        """Retention may go on."""
        if self._timeline is not None:
            self._mark(recoveries.done)

    def _mark(self, name: Callable[[int], str]) -> None:
        """In every vault that can be reached: in one that cannot, nothing is retained meanwhile either."""
        assert self._timeline is not None
        for config in self._site.config.vaults:
            vault = self._site.vault(config)
            try:
                vault.put(name(self._timeline), (b"",))
            except SafeholdError:
                continue
            finally:
                vault.close()


def _record_lost_log(site: Site, plan: Plan, timeline: int) -> None:
    """Where nothing was left of the log: that it begins after the generation, as a keeper's word where its key is here.

    Else scrub goes on telling that its beginning is missing, which is for the keeper to judge.
    """
    if any(source.folders for source in plan.sources) or not plan.generation:
        return
    facts: dict[str, Any] = {LOG_FROM: [timeline, plan.end.frame + 1], "generation": plan.generation}
    vaults = [vault for vault in map(site.vault, site.config.vaults) if vault.available()]
    generation = Runs(vaults, site.opener).generation(plan.generation)
    if generation is not None:
        facts["manifest"] = generation.digest.hex()
    sealer = site.keyring.keeper or site.keyring.sealer
    for source in plan.sources:
        names = [source.vault] if any(v.name == source.vault for v in vaults) else [v.name for v in vaults]
        for name in names if not source.problem else ():
            put_evidence(vaults, sealer, site.clock, Evidence(VERSION, REPAIR, 0, name, plan.end, b"", facts))


def _go_on(site: Site, plan: Plan) -> list[str]:
    """Where the end of the log cannot be read: the next timeline, opened here, goes on before it, on record.

    No start does that by itself; here somebody has seen the plan. Vaults that this run has not read have their say.
    """
    if not plan.holes:
        return []
    writer = site.make_writer()
    try:
        writer.open(set_aside=plan.holes)
    except SafeholdError as error:
        return [f"no change can be taken yet: {error.message}. {error.hint}"]
    finally:
        writer.close()
    return []


def make_core(folder: str) -> SqliteCore:
    return SqliteCore.open(f"{folder}/core.db", create=True)


def open_old_core(folder: str) -> SqliteCore | None:
    """What is left of a core, to read; None where it cannot be."""
    try:
        return SqliteCore.open(f"{folder}/core.db", read_only=True, older=True)
    except (Damaged, OperatorError):
        return None


def _claim(site: Site, sources: Sources, above: int) -> int:
    """The next timeline in every vault that can be reached: whoever still writes to the old core is refused now.

    The vault whose log leads furthest stands for all, whatever its mode: the others may be behind it or gone.
    """
    ends: list[tuple[LogPosition, AnyVault]] = []
    for config in site.config.vaults:
        vault = site.vault(config)
        try:
            ends.append((VaultLogReader([vault], sources.opener).end(), vault))
        except VaultDown:
            vault.close()
    if not ends:
        raise VaultDown("none of the configured vaults can be reached", hint="mount one, or `safehold vault add` one")
    ends.sort(key=lambda e: (e[0].timeline, e[0].frame), reverse=True)
    vaults = [LogVault(vault, Mode.ASYNC if n else Mode.SYNC) for n, (_, vault) in enumerate(ends)]
    keyring = site.keyring
    try:
        return claim_timeline(vaults, keyring.sealer, keyring.opener, EMPTY_LOG, above, recovering=True).timeline
    finally:
        for entry in vaults:
            entry.vault.close()


def _found_anew(site: Site, result: Result) -> list[str]:
    """Where the installation's own key is lost, and may be made anew: a writer does so as it opens. What hinders it."""
    with closing(site.open_reads()) as reads:
        if not lacks_key(reads):
            return []
        count_key(result.report)
        if not (reads.held(0, Kind.IDENTITY) or "").startswith(TO_FOUND):
            refusal = InstallationLost()
            result.refused = f"no start serves it: {refusal.message}. {refusal.hint}"
            return []
    try:
        with Session(site) as session:
            session.execute_all([])
    except SafeholdError as error:
        return [f"the new key could not be made yet: {error.message}; the next start does it"]
    return []


def _nameless(site: Site) -> list[str]:
    """Accounts whose names are in no source: how their people get at them again."""
    with closing(site.open_reads()) as reads:
        nameless = reads.nameless(_NAMELESS_TOLD + 1)
    if not nameless:
        return []
    some = ", ".join(account.id.hex() for account in nameless[:_NAMELESS_TOLD])
    more = " and more" if len(nameless) > _NAMELESS_TOLD else ""
    return [
        f"the names of accounts are lost, and nobody can sign in to them: {some}{more}. Once the loss is accepted "
        "(--accept-loss), look whose they are (`safehold history`), and give each its name: `safehold account name ID "
        "NAME`. Do not make a new account of that name: its devices would delete what they have"
    ]


def _record_losses(site: Site, taken: Sequence[Accepted]) -> list[str]:
    """A GAP change in every stream whose loss was accepted: a keeper attests what goes on after it, and no more says
    at every look that revisions are missing. What hinders that, in plain words.
    """
    try:
        with Session(site) as session:
            for one in taken:
                with suppress(NotFound):  # of what is no account's
                    session.execute(AcceptLoss(account=one.account, actor="recovery", kind=one.kind, missing=one.why))
    except SafeholdError as error:
        return [
            f"that the loss was accepted could not be put on record: {error.message}; once that is mended, say it again"
        ]
    return []


def _record_ghosts(site: Site, result: Result) -> list[str]:
    """Where bodies are in no source: a GAP change that names them; else no generation could be written of the stream.

    What was recorded before is not recorded again: so a run that was killed before this is simply run again.
    """
    wanted = ghost_notes(site, after_report(result.report, at=site.clock.now(), how=RUN))
    try:
        if wanted:
            with Session(site) as session:
                for batch in in_batches(wanted, MAX_COMMANDS):
                    session.execute_all(batch)
    except SafeholdError as error:
        return [f"that bodies are in no source could not be put on record: {error.message}; run this again"]
    return []


def _settle_end(site: Site, accept_loss: bool) -> list[str]:
    """Where the end of the log is in doubt, by this recovery or an earlier one: accept it, or say what that means."""
    try:
        with Session(site) as session:
            if not doubts_of(session.reads):
                return []
            if not accept_loss:
                return [END_IN_DOUBT]
            session.execute(AcceptEnd(account=SYSTEM_ACCOUNT, actor="recovery"))
    except SafeholdError as error:
        if not accept_loss:
            return []
        return [
            f"that the end of the log may be gone could not be put on record: {error.message}; once a vault can be "
            "written to, say so again: safehold recover run --yes --accept-loss"
        ]
    return []


def _undo_to(site: Site, plan: Plan, to: int) -> None:
    """Everything has come back; what came after `to` is now undone by new changes, for those the plan selects."""
    kinds = [k for k in DATA_KINDS if not plan.selection.kinds or k in plan.selection.kinds]
    with Session(site) as session:
        for account in session.reads.accounts():
            if plan.selection.accounts and account.id not in plan.selection.accounts:
                continue
            for kind in kinds:
                try:
                    command = Undo(account=account.id, actor="recovery", to=to, kind=kind, confirmed=True)
                    undone = Undone(session.execute(command))
                    while undone.more:
                        undone.add(session.execute(undone.next(command)))
                except NotFound:  # it did not exist at that time: it is left alone
                    continue
