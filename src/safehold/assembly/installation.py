"""What can be done with a data folder as a whole: make it, work in it, recover it, say how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safehold.assembly.site import Site
from safehold.config import Config, S3Options, check_vault
from safehold.model.errors import Damaged, OperatorError
from safehold.recovery.report import Progress, silent

if TYPE_CHECKING:  # a method brings in what it needs, so that each command waits for its own part of the house only
    from safehold.assembly.announced import Announced
    from safehold.assembly.recovering import Sources
    from safehold.assembly.session import Session
    from safehold.model.kinds import Kind
    from safehold.ports.core import CoreReads
    from safehold.recovery.after import AfterReport
    from safehold.recovery.items_report import ItemsWritten
    from safehold.recovery.plan import Plan
    from safehold.recovery.run import Result


class Installation(Site):
    """A data folder, as the commands see it."""

    def make(self) -> None:
        """Make what is missing of a new installation; harmless on one that is there.

        Raises CoreMissing rather than make an empty core where there was one before (I16).
        """
        if self.has_core():
            self.mark_used()
            return
        if self.socket_path.exists() and self.is_locked():  # a service runs, and is bringing its core back
            return
        with self.lock():
            if self.has_core():
                return
            from safehold.assembly.vault_urls import create_vault
            from safehold.store.sqlite.core import SqliteCore
            from safehold.vault.keyring import ensure_keyring

            self.refuse_history_without_core()
            self._keyring = ensure_keyring(self.disk, str(self.keys_folder), self.entropy)
            for vault in self.config.vaults:
                create_vault(vault, self.data, self.disk, self._keyring.installation)
            self.disk.make_folders(str(self.blobs_folder))
            self.disk.make_folders(str(self.scratch_folder))
            self.disk.make_folders(str(self.core_path.parent))
            SqliteCore.open(str(self.core_path), create=True).close()
            self.mark_used()
        with self.session() as session:
            session.execute_all([])  # opens a writer, which makes the installation's own identity

    def session(self) -> Session:
        from safehold.assembly.session import Session

        return Session(self)

    # -- recovery --------------------------------------------------------------------------------------------

    def recovery_plan(
        self,
        *,
        account: str | None = None,
        kind: Kind | None = None,
        to: int | None = None,
        source: str | None = None,
        vault: str | None = None,
        identity: Path | None = None,
        salvages: Sequence[str] = (),
        at_once: bool = False,
        progress: Progress = silent,
    ) -> Plan:
        """What would come back, from `source` (a configured vault) or `vault` (a URL) alone if given.

        `salvages` are folders that a salvage made, or what is to be salvaged first.

        With `at_once` it is carried out at once, and verified then: a glance may do.
        """
        from safehold.assembly.plan_forecast import by_drills
        from safehold.assembly.recovering import Sources, plan_recovery
        from safehold.assembly.salvaged import salvage_folders

        folders = salvage_folders(self, salvages, identity=identity, progress=progress)
        sources = Sources(self, only=source, url=vault, identity=identity, salvages=folders)
        plan = plan_recovery(self, sources, account=account, kind=kind, to=to, at_once=at_once, progress=progress)
        return by_drills(self, plan)

    def recover(
        self, plan: Plan, *, accept_loss: bool = False, identity: Path | None = None, progress: Progress = silent
    ) -> Result:
        """Carry a plan out; the service must be stopped. `identity` opens the vaults where this folder has no keys."""
        from safehold.assembly.recovering import run_recovery

        sources = self._sources_of(plan, identity)
        return run_recovery(self, plan, sources, accept_loss=accept_loss, progress=progress)

    def _sources_of(self, plan: Plan, identity: Path | None) -> Sources:
        from safehold.assembly.recovering import Sources

        planned = {s.vault for s in plan.sources}
        only = next(iter(planned)) if len(planned) == 1 else None
        url = plan.sources[0].url if only == "given" else None
        salvages = [mark.path for mark in plan.salvages]
        return Sources(self, only=only, url=url, identity=identity, salvages=salvages)

    def account_for(
        self, plan: Plan, folder: Path, *, identity: Path | None = None, progress: Progress = silent
    ) -> ItemsWritten:
        """Write what becomes of each item, by a plan that was read in full, into a folder of its owner's alone."""
        from safehold.assembly.accounting import account_for

        return account_for(self, plan, self._sources_of(plan, identity), folder, progress)

    def recovery_reports(self) -> list[AfterReport]:
        """Those of all recoveries that the vaults remember, the newest first. Raises OperatorError."""
        from safehold.assembly.after import all_reports

        return all_reports(self)

    def refuse_beside_recovery(self) -> None:
        """Raises OperatorError where a service runs that is recovering this core by itself."""
        if self.socket_path.exists() and self.recovery_status()["recovery"] is not None and self.is_locked():
            raise OperatorError(
                "a running service is recovering this core, while it serves",
                hint="`safehold recover status --wait` shows how far it is; to recover here instead, stop it first",
            )

    # -- telling people --------------------------------------------------------------------------------------

    def announced(self) -> Announced:
        from safehold.assembly.announced import Announced

        return Announced(self)

    def publish_status(self) -> None:
        """Write the status file, where one is configured and no service runs that does it."""
        from safehold.service.control import STATUS

        if not self.config.status_folder or self.ask_service(STATUS) is not None:
            return
        from safehold.assembly.announced import as_facts
        from safehold.assembly.status_file import StatusFile

        away = {"service": "stopped", "announcements": as_facts(self.announced().all(None))}
        status = self.status() if self.has_core() else away
        StatusFile(self.data / self.config.status_folder, self.clock, self.config.public_url).last(status)

    def offer_status(self, status: Mapping[str, Any]) -> None:
        """Begin to write the status file, where one is configured; whoever serves does it from then on."""
        if self.config.status_folder:
            from safehold.assembly.status_file import StatusFile

            StatusFile(self.data / self.config.status_folder, self.clock, self.config.public_url).offer(status)

    # -- how it stands ---------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The contract's status object: the running service's own word where one runs, else what lies there."""
        from safehold.service.control import STATUS, decode_json

        running = self.ask_service(STATUS)
        if running is not None:
            return decode_json(running)
        from safehold.assembly.status import status_without_core

        try:
            core = self.open_reads()
        except (OperatorError, Damaged) as error:
            return self._with_missed({**status_without_core(self, error), **self._status_besides(None)})
        try:
            with closing(core):
                return self._status_of(core)
        except Damaged as error:  # a page that nothing has met before
            return self._with_missed({**status_without_core(self, error), **self._status_besides(None)})

    def _status_of(self, core: CoreReads) -> dict[str, Any]:
        from safehold.assembly.scheduled import described, look_at_tail
        from safehold.assembly.status import status_object
        from safehold.assembly.stopped_recovery import stopped_recovery

        snapshots = {**described(look_at_tail(self)), "running": False}
        own = {"snapshots": snapshots, "recovery": stopped_recovery(self)}
        return self._with_missed({**status_object(self, core, None), **self._status_besides(core), **own})

    def _with_missed(self, status: dict[str, Any]) -> dict[str, Any]:
        """Jobs that nobody did are told where no service runs as well."""
        from safehold.assembly.scheduler import Scheduler

        return {**status, "incidents": [*status["incidents"], *Scheduler(self).missed()]}

    def _status_besides(self, core: CoreReads | None) -> dict[str, Any]:
        """What of the status object is known without a core as well."""
        from safehold.assembly.alarming import kept_facts
        from safehold.assembly.announced import as_facts
        from safehold.assembly.core_check import check_remembered
        from safehold.assembly.scheduler import Scheduler

        jobs = Scheduler(self)
        return {
            "keeper": jobs.keeper.status(),
            "jobs": jobs.jobs(),
            "announcements": as_facts(self.announced().all(core)),
            "core": check_remembered(self.disk, str(self.core_check_path)),
            "last_recovery": None,
            "alarms": kept_facts(self.disk, str(self.data / "run")),
        }

    def recovery_status(self) -> dict[str, Any]:
        """`{recovery, last}`: the one under way, and the one that the running service has ended; None: none."""
        from safehold.service.control import STATUS, decode_json

        running = self.ask_service(STATUS)
        if running is not None:
            status = decode_json(running)
            return {"recovery": status.get("recovery"), "last": status.get("last_recovery")}
        from safehold.assembly.stopped_recovery import stopped_recovery

        return {"recovery": stopped_recovery(self), "last": None}

    def vaults(self) -> list[dict[str, Any]]:
        """One object for each configured vault, as in `status`."""
        from safehold.service.control import STATUS, decode_json

        running = self.ask_service(STATUS)
        if running is not None:
            return list(decode_json(running)["vaults"])
        from safehold.assembly.status import describe_vaults, looks_now

        try:
            core = self.open_reads()
        except (OperatorError, Damaged):
            return describe_vaults(self, None, looks_now(self))
        with closing(core):
            return describe_vaults(self, None, looks_now(self), core)

    def vault_add(self, name: str, url: str, mode: str, s3: S3Options | None = None) -> dict[str, Any]:
        """Make a vault, or make one anew whose folder is missing, and bring it level. Raises OperatorError."""
        from safehold.assembly.vaults import add_vault

        return add_vault(self, replace(check_vault(name, url, mode), s3=s3 or S3Options()))


def open_installation(data: Path, config: Config, *, make: bool, config_path: Path | None = None) -> Installation:
    """The installation in a data folder; with `make` it is made where there is none. Raises OperatorError."""
    installation = Installation(data, config, config_path)
    if make:
        installation.make()
    return installation
