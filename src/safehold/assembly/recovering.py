"""Recovery wired to a data folder: which vaults, which keys, which core; the work is recovery's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from safehold.archiver.claiming import LogVault, Mode, claim_timeline
from safehold.assembly.bare import bring_what_travels, with_older_identities
from safehold.assembly.session import Session
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import AnyVault, open_vault, with_scheme
from safehold.config import VaultConfig, check_vault
from safehold.formats.keys import Opener
from safehold.model.commands import Undo
from safehold.model.errors import Damaged, NotFound, OperatorError, SafeholdError
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import EMPTY_LOG, CoreReads, LogPosition
from safehold.ports.vault import VaultDown
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.report import Progress, silent
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.keyring import is_complete, load_identity
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs


class Sources:
    """The vaults that a recovery reads, and the key that opens them."""

    def __init__(
        self,
        site: Site,
        *,
        only: str | None = None,
        url: str | None = None,
        identity: Path | None = None,
    ) -> None:
        self._site = site
        self._configs = _chosen(site, only, url)
        self._given = url is not None
        if identity is not None:
            site.use_identity(load_identity(site.disk, str(identity)))
        self.opener: Opener = site.opener
        self.opener.require()
        if identity is not None:
            self.opener = with_older_identities(self.reader(), self.runs(), self.opener)
            site.use_identity(self.opener)

    def vaults(self) -> list[AnyVault]:
        """Fresh instances, sync ones first: their copies are preferred."""
        data, disk = self._site.data, self._site.disk
        return [
            open_vault(c, data, disk, self.opener.installation)
            for c in sorted(self._configs, key=lambda c: c.mode != Mode.SYNC)
        ]

    def reader(self) -> VaultLogReader:
        """Of the vaults that are there; the plan names the others."""
        return VaultLogReader([v for v in self.vaults() if v.available()], self.opener)

    def runs(self) -> Runs:
        """The generations in those vaults."""
        return Runs([v for v in self.vaults() if v.available()], self.opener)

    def given(self) -> AnyVault | None:
        """The vault that was given by its URL, where one was."""
        return self.vaults()[0] if self._given else None

    def sync_names(self) -> list[str]:
        """Those that acknowledgements waited for. Of a vault that is given by its URL nobody knows that."""
        return [] if self._given else [c.name for c in self._configs if c.mode == Mode.SYNC]

    def blobs(self) -> LiveBlobs:
        site = self._site
        keyring = site.keyring
        archive = VaultBlobs([], self.vaults(), keyring.sealer, self.opener, site.disk, str(site.scratch_folder))
        return LiveBlobs(site.disk, str(site.blobs_folder), str(site.scratch_folder), archive)


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
    progress: Progress = silent,
) -> Plan:
    """Read and verify everything; write nothing. Raises OperatorError."""
    with ExitStack() as stack:
        core, problem = _core_there(site, stack)
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
            blobs=sources.blobs() if is_complete(site.disk, str(site.keys_folder)) else None,
            runs=sources.runs(),
            progress=progress,
        )


def _core_there(site: Site, stack: ExitStack) -> tuple[CoreReads | None, str]:
    """The core that is there, opened for reading, or why it cannot be. One of an older version is no damage."""
    if not site.core_path.exists():
        return None, ""
    try:
        core = SqliteCore.open(str(site.core_path), read_only=True, older=True)
    except (Damaged, OperatorError) as error:
        return None, error.message
    stack.callback(core.close)
    return core, ""


def run_recovery(site: Site, plan: Plan, sources: Sources, *, accept_loss: bool, progress: Progress = silent) -> Result:
    """Carry a plan out, with nothing else running; then undo what came after `plan.to`, where that is set."""
    with site.lock(), ExitStack() as stack:
        old, _ = _core_there(site, stack)
        brought = bring_what_travels(site, plan, sources.given())
        site.disk.make_folders(str(site.scratch_folder))
        site.disk.make_folders(str(site.blobs_folder))
        result = run_plan(
            plan,
            sources.reader(),
            make_core=_make_core,
            blobs=sources.blobs(),
            disk=site.disk,
            data=str(site.data),
            clock=site.clock,
            claim=lambda: _claim(site, sources),
            look=lambda: look(sources.vaults()),
            runs=sources.runs(),
            old=old,
            accept_loss=accept_loss,
            progress=progress,
        )
        site.mark_used()
        result.notes = [*brought, *result.notes, *_go_on(site, plan)]
    if plan.to is not None:
        _undo_to(site, plan, plan.to)
    return result


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


def _make_core(folder: str) -> SqliteCore:
    return SqliteCore.open(f"{folder}/core.db", create=True)


def _claim(site: Site, sources: Sources) -> int:
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
        return claim_timeline(vaults, keyring.sealer, keyring.opener, EMPTY_LOG).timeline
    finally:
        for entry in vaults:
            entry.vault.close()


def _undo_to(site: Site, plan: Plan, to: int) -> None:
    """Everything has come back; what came after `to` is now undone by new changes, for those the plan selects."""
    kinds = [k for k in DATA_KINDS if not plan.selection.kinds or k in plan.selection.kinds]
    with Session(site) as session:
        for account in session.reads.accounts():
            if plan.selection.accounts and account.id not in plan.selection.accounts:
                continue
            for kind in kinds:
                try:
                    session.execute(Undo(account=account.id, actor="recovery", to=to, kind=kind))
                except NotFound:  # it did not exist at that time: it is left alone
                    continue
