"""Repair wired to a data folder: a plan for each vault, carried out with the keeper's verbs; the rest by the core.

1. Every chosen vault is read and judged as a scrub does; a running service closes what it appends to first.
2. What another vault has is copied (recovery/repair.py).
3. What no vault has and the core has, the core writes again: changes into new frames, bodies into new blobs. A running
   service does that; else a writer is opened here. Then 1 and 2 once more, since other vaults lack that too.
4. What is lost of the log is made up for then, and evidence says so: scrub passes over it as long as it stays as it is.

Evidence of kind `repair` names all that was mended and what remains, for each vault.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from safehold.adapters.lock import FolderLock
from safehold.archiver.claiming import Mode
from safehold.assembly.keeping import keeper_lock
from safehold.assembly.scrubbing import MAX_NAMED, Scrubbing, damage_object, evidence_sealer, notebook_folder, record
from safehold.assembly.site import Site
from safehold.assembly.snapshot import take_snapshot
from safehold.assembly.vault_urls import place_of, s3_store
from safehold.config import VaultConfig
from safehold.formats import blob, segment
from safehold.formats.generation import parse_manifest_name
from safehold.formats.run import parse_run_name
from safehold.model.errors import Damaged, OperatorError, OutOfSpace
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import KeptVault, VaultDown
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.judging import Damage, Inventory, Problem
from safehold.recovery.mended_ends import evidence_mends, log_mends, tell_before
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.repair import Mend, Repairer, Way
from safehold.recovery.report import Progress, silent
from safehold.recovery.scrub import ScrubResult, named_blobs
from safehold.service.control import MakeUp, decode_json, encode_make_up
from safehold.vault.evidence import MADE_UP
from safehold.vault.log import VaultLogReader
from safehold.vault.looking import RepairedVault
from safehold.vault.remote import RemoteVault
from safehold.vault.remote_keeping import KeptRemoteVault
from safehold.vault.s3_keeping import KeptS3Vault


@dataclass
class RepairResult:
    """Of one vault. `mends` are planned or, once carried out, done; `remaining` is what nothing could be done about."""

    vault: str
    objects: int = 0
    bytes: int = 0
    mends: list[Mend] = field(default_factory=list)
    remaining: list[Damage] = field(default_factory=list)
    trouble: str = ""
    made_up: dict[str, str] = field(default_factory=dict)

    def note_core(self, before: Sequence[Damage]) -> None:
        """Of what only the core could mend, what is no longer wrong."""
        known = {damage.object for damage in self.remaining} | {mend.damage.object for mend in self.mends}
        self.mends += [Mend(damage, Way.CORE) for damage in before if damage.object not in known]

    @property
    def found(self) -> bool:
        return bool(self.mends or self.remaining)


class Repairing:
    """One `vault repair`."""

    def __init__(self, site: Site, only: str | None, progress: Progress = silent) -> None:
        self._site = site
        self._only = only
        self._progress = progress
        self._results: dict[str, RepairResult] = {}

    def plan(self) -> list[RepairResult]:
        """What would be done; nothing is changed."""
        scrubbing = Scrubbing(self._site, progress=self._progress)
        for config in scrubbing.chosen(self._only):
            self._each(scrubbing, config, self._plan_one)
        return list(self._results.values())

    def carry_out(self) -> list[RepairResult]:
        """Raises OperatorError where it cannot begin; what hinders it in one vault is that vault's `trouble`."""
        with ExitStack() as stack:
            stack.enter_context(FolderLock(str(self._site.data / "run" / "repair")))
            stack.enter_context(keeper_lock(self._site))  # what is put back must not be removed meanwhile
            scrubbing = self._copy_all()
            remaining = {name: result.remaining for name, result in self._results.items()}
            if any(remaining.values()) and self._site.has_core() and self._write_again(scrubbing):
                for name, damaged in remaining.items():
                    self._notebook(name).forget({damage.object: None for damage in damaged})
                scrubbing = self._copy_all()
                self._make_up(scrubbing)
                for name, damaged in remaining.items():
                    self._results[name].note_core(damaged)
            self._record(scrubbing)
        return list(self._results.values())

    # -- one vault

    def _copy_all(self) -> Scrubbing:
        scrubbing = Scrubbing(self._site, progress=self._progress)
        for config in scrubbing.chosen(self._only):
            self._each(scrubbing, config, partial(self._copy_one, scrubbing))
        return scrubbing

    def _each(
        self,
        scrubbing: Scrubbing,
        config: VaultConfig,
        work: Callable[[RepairResult, Repairer], None],
    ) -> None:
        result = self._results.setdefault(config.name, RepairResult(config.name))
        result.remaining, result.trouble = [], ""
        try:
            repairer = self._repairer(scrubbing, config)
            result.objects, result.bytes = len(repairer.inventory.listing), repairer.inventory.bytes
            work(result, repairer)
        except (OperatorError, OutOfSpace, Damaged) as error:
            result.trouble = f"{error.message}. {error.hint}" if error.hint else error.message

    def _repairer(self, scrubbing: Scrubbing, config: VaultConfig) -> Repairer:
        """Raises VaultDown."""
        site = self._site
        _require_own(site, config)
        vault = self._kept(config)
        if not vault.available():
            vault.size("FORMAT")
            raise VaultDown(f"the vault {config.name} cannot be reached", hint="mount it or bring it back")
        scrubber = scrubbing.scrubber(vault)
        inventory: Inventory = scrubber.read()
        peers, standing = scrubbing.peers(config), scrubbing.standing(config)
        if pulled := scrubbing.pulled():  # what is newer there comes by the next pull
            peers, standing = [*peers, *pulled], standing._replace(complete=False)
        everyone = [vault, *(peer.vault for peer in peers)]
        opener = scrubbing.opener
        return Repairer(
            vault,
            scrubber,
            peers,
            standing,
            inventory,
            remembered=scrubbing.notebook(config).remembered(),
            excuses=EvidenceExcuses.read(config.name, everyone, site.opener.installation, opener),
            named=list(named_blobs(vault, opener, inventory)) if opener is not None else (),
            elsewhere=config.is_server,
            progress=self._progress,
        )

    @staticmethod
    def _plan_one(result: RepairResult, repairer: Repairer) -> None:
        result.mends = repairer.plan()

    def _copy_one(self, scrubbing: Scrubbing, result: RepairResult, repairer: Repairer) -> None:
        self._require_no_witness(scrubbing, result, repairer)
        try:
            result.remaining = repairer.carry_out()
        finally:
            result.mends += repairer.mended
            self._notebook(result.vault).forget({mend.damage.object: None for mend in repairer.mended})

    def _require_no_witness(self, scrubbing: Scrubbing, result: RepairResult, repairer: Repairer) -> None:
        """While there is no core that can be read, a damaged log of a sync vault is what shows that its end may lack
        something. A recovery has to see it before it is mended, unless somebody names that vault (I81). Raises
        OperatorError.

        What is mended all the same, or beside a core that nobody has open, is in evidence before: a recovery, or a
        start, hears of it from there (I93).
        """
        name, core = result.vault, scrubbing.core
        if self._config(result).mode != Mode.SYNC:
            return
        plan = repairer.plan()
        log = log_mends(plan)
        if log and core == EMPTY_LOG and self._only != name:
            first = log[0].damage
            raise OperatorError(
                f"{first.object} is {first.problem} and the core {self._site.why_no_core()}: once that is mended, "
                "nothing but what lies in aside/ still shows what the end of the log may lack",
                hint="run `safehold recover plan` and `safehold recover run` first, which read what is left as it is; "
                f"or mend it all the same with `safehold vault repair {name} --yes`",
            )
        if scrubbing.settled.frame is None:
            self._tell_before(name, [*log, *evidence_mends(plan)], core)

    def _tell_before(self, name: str, log: Sequence[Mend], core: LogPosition) -> None:
        sealer = evidence_sealer(self._site)
        if sealer is not None:
            vaults = [vault for vault in map(self._site.vault, self._site.config.vaults) if vault.available()]
            tell_before(vaults, sealer, self._site.clock, name, log, core)

    def _notebook(self, vault: str) -> FileNotebook:
        return FileNotebook(self._site.disk, notebook_folder(self._site), vault)

    # -- what only the core has

    def _write_again(self, scrubbing: Scrubbing) -> bool:
        """Whether the core wrote again what the vaults lack of the log, and the large bodies that none has."""
        remaining = [damage.object for result in self._results.values() for damage in result.remaining]
        in_log = any(segment.parse_name(name) for name in remaining)
        in_runs = any(_is_of_runs(name) for name in remaining)
        blobs = self._lost_blobs()
        if not blobs and not in_log and not in_runs:
            return False
        self._ask_core(self._lost_frames(scrubbing) if in_log else [], blobs)
        if in_log or in_runs:  # of what was in the log only this has every stream whole and in order
            take_snapshot(self._site, full=True)
        return True

    def _ask_core(self, frames: list[tuple[int, int]], blobs: list[bytes]) -> None:
        """The writer, where it runs, or one opened here. Raises what hinders it."""
        wanted = MakeUp(frames, [name.hex() for name in blobs])
        with ExitStack() as stack:
            answer = self._site.ask_or_lock(encode_make_up(wanted), stack)
            if answer is None:
                writer = self._site.make_writer()
                try:
                    writer.make_up(frames, blobs)
                finally:
                    writer.close()
                writer.ship_all()
                return
        told = decode_json(answer)
        if not told.get("ok"):
            raise OperatorError(f"the service could not write again what the vaults have lost: {told.get('why')}")

    def _lost_blobs(self) -> list[bytes]:
        """Bodies that no vault has whole; what is left of them is moved aside, so that they can be put again."""
        found: dict[bytes, None] = {}
        for result in self._results.values():
            for damage in result.remaining:
                name = blob.parse_object(damage.object)
                if name is None:
                    continue
                found[name] = None
                if damage.problem is Problem.CORRUPT and not self._config(result).is_server:
                    self._kept(self._config(result)).set_aside(damage.object)
        return list(found)

    def _config(self, result: RepairResult) -> VaultConfig:
        return next(v for v in self._site.config.vaults if v.name == result.vault)

    def _kept(self, config: VaultConfig) -> KeptVault:
        site = self._site
        if config.is_server:
            return kept_elsewhere(site, config)
        if config.is_s3:
            store, installation = s3_store(config, site.data), site.opener.installation
            return KeptS3Vault(config.name, place_of(config), store, installation, clock=site.clock)
        return RepairedVault(
            config.name, str(config.folder(site.data)), site.disk, site.opener.installation, clock=site.clock
        )

    def _lost_frames(self, scrubbing: Scrubbing) -> list[tuple[int, int]]:
        """Frames that no vault gives a good copy of and that the core has taken in."""
        if scrubbing.opener is None:
            return []
        vaults = [v for v in map(scrubbing.vault, self._site.config.vaults) if v.available()]
        core = scrubbing.core.frame
        entries = VaultLogReader(vaults, scrubbing.opener).entries()
        return [(e.first, min(e.last, core)) for e in entries if isinstance(e, Hole) and e.first <= core]

    def _make_up(self, scrubbing: Scrubbing) -> None:
        """What is still wrong with the log, after the core has written all of it again, is made up for."""
        for result in self._results.values():
            repairer = self._repairer(scrubbing, self._config(result))
            for damage in list(result.remaining):
                if segment.parse_name(damage.object) is not None or _is_of_runs(damage.object):
                    result.made_up[damage.object] = repairer.left_of(damage.object)
                    result.mends.append(Mend(damage, Way.CORE))
                    result.remaining.remove(damage)

    def _record(self, scrubbing: Scrubbing) -> None:
        for result in self._results.values():
            recorded = [m for m in result.mends if m.way is Way.RECORD]
            if not result.found:
                continue
            config = self._config(result)
            made_up = {**result.made_up, **{m.damage.object: "" for m in recorded}}
            facts: dict[str, object] = {
                "repaired": [{**damage_object(m.damage), "from": m.repaired_from} for m in result.mends[:MAX_NAMED]],
                "repaired_count": len(result.mends),
                "remaining": [damage_object(damage) for damage in result.remaining[:MAX_NAMED]],
                MADE_UP: made_up,
            }
            scrubbed = ScrubResult(result.vault, result.objects, result.bytes, result.remaining)
            record(self._site, scrubbing, "repair", config, scrubbing.core, facts, scrubbed)


def _is_of_runs(name: str) -> bool:
    return parse_run_name(name) is not None or parse_manifest_name(name) is not None


def kept_elsewhere(site: Site, config: VaultConfig) -> KeptRemoteVault:
    """A vault at a server, with a keeper's token."""
    vault = site.vault(config)
    assert isinstance(vault, RemoteVault)
    return KeptRemoteVault(vault)


def may_mend(site: Site, config: VaultConfig) -> bool:
    """Whether the token that is here is a keeper's. Raises VaultDown."""
    vault = site.vault(config)
    try:
        return isinstance(vault, RemoteVault) and vault.about().get("may_mend") is True
    finally:
        vault.close()


def _require_own(site: Site, config: VaultConfig) -> None:
    """Only whoever may write the vault's folder can mend it. Raises OperatorError that names them."""
    if config.is_s3:
        return  # whoever may put can mend: what is put proves itself
    if config.is_server:
        if may_mend(site, config):
            return
        raise OperatorError(
            f"the vault {config.name} is held by the vault server at {config.url}, and this token may not mend it",
            hint="what it lacks is shipped again; what is damaged there is mended by its operator, or by a keeper "
            "elsewhere with a token of its own: `safehold vault invite --keeper` there, `safehold vault join` here",
        )
    if not config.is_folder:
        raise OperatorError(
            f"the vault {config.name} is held by a keeper, and only the keeper may mend it",
            hint=f"run `safehold vault repair {config.name} --yes` where the keeper runs, as its user",
        )
    folder = str(config.folder(site.data))
    if not os.path.isdir(folder) or os.access(folder, os.W_OK | os.X_OK):
        return
    owner = os.stat(folder).st_uid
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    raise OperatorError(
        f"the vault {config.name} in {folder} belongs to the user {name}, and only that user may mend it",
        hint=f"run `safehold vault repair {config.name} --yes` as {name}, the keeper of that vault",
    )


def repair_vaults(
    site: Site, only: str | None = None, *, yes: bool = False, progress: Progress = silent
) -> Sequence[RepairResult]:
    """Plan, or with `yes` mend. Raises OperatorError."""
    repairing = Repairing(site, only, progress)
    return repairing.carry_out() if yes else repairing.plan()
