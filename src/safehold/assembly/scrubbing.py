"""Scrub wired to a data folder: which vaults, which key, what the core and a running service say, where it is noted."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from safehold.adapters.system import pause
from safehold.archiver.claiming import Mode
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import open_vault, place_of, s3_store
from safehold.config import VaultConfig
from safehold.formats import evidence as evidence_format
from safehold.formats.evidence import Evidence
from safehold.formats.keys import Opener, Role, Sealer
from safehold.model.errors import Damaged, OperatorError, OutOfSpace, SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import Vault
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.judging import Damage, Remembered, Standing
from safehold.recovery.notebook import FileNotebook, LastScrub
from safehold.recovery.reconcile import reconcile
from safehold.recovery.report import Progress, silent
from safehold.recovery.scrub import Level, LookedAt, Pace, Scrubber, ScrubResult, scrub
from safehold.vault.evidence import LINKS, missing_links, put_evidence, read_evidence
from safehold.vault.looking import ScrubbedVault
from safehold.vault.parity import ParityVault
from safehold.vault.s3_keeping import ScrubbedS3Vault

#: Of one scrub, so many damaged objects are named in its evidence.
MAX_NAMED = 500

_log = logging.getLogger("safehold.scrub")


@dataclass(frozen=True)
class Settled:
    """What a running service says: up to which frame all is closed and sealed, and which async vaults have it.

    `frame` None: nothing is being written.
    """

    frame: int | None
    level: frozenset[str]


def settle(site: Site) -> Settled:
    """Ask a running service to close what it appends to. Raises OperatorError where one runs and does not answer."""
    names = frozenset(v.name for v in site.config.vaults)
    if not site.socket_path.exists():
        return Settled(None, names)
    from safehold.service.control import SETTLE, decode_json  # not waited for where there is no service

    answer = site.ask_service(SETTLE)
    if answer is None:
        return Settled(None, names)
    told = decode_json(answer)
    return Settled(told.get("frame"), frozenset(told.get("level", ())))


class Scrubbing:
    """One scrub, or the reading that a repair begins with."""

    def __init__(
        self,
        site: Site,
        *,
        level: Level = Level.SCRUB,
        limit_bytes: int = 0,
        restart: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.site = site
        self.level = level
        self.opener: Opener | None = site.opener if site.opener.can_open else None
        self._limit = limit_bytes
        self._restart = restart
        self._progress = progress
        self.settled = settle(site)
        self.core = core_position(site)

    def chosen(self, only: str | None) -> list[VaultConfig]:
        return [find_vault(self.site, only)] if only is not None else list(self.site.config.vaults)

    def vault(self, config: VaultConfig) -> Vault:
        site = self.site
        if config.is_s3:
            return ScrubbedS3Vault(config.name, place_of(config), s3_store(config, site.data), site.opener.installation)
        if not config.is_folder:
            return open_vault(config, site.data, site.disk, site.opener.installation)
        return ScrubbedVault(config.name, str(config.folder(site.data)), site.disk, site.opener.installation)

    def scrubber(self, vault: Vault) -> Scrubber:
        pace = Pace(self.site.clock, pause, self._limit)
        return Scrubber(
            vault, self.site.opener.installation, self.opener, pace, level=self.level, progress=self._progress
        )

    def peers(self, config: VaultConfig) -> list[LookedAt]:
        """The other vaults that are there, sync ones first; then the vault's own parity, where it has any."""
        others = sorted((v for v in self.site.config.vaults if v != config), key=lambda v: v.mode != Mode.SYNC)
        found = [self.vault(other) for other in others]
        own = ParityVault(self.vault(config))
        parity = [own] if own.available() and next(own.list(), None) is not None else []
        return [LookedAt(self.scrubber(vault)) for vault in (*(v for v in found if v.available()), *parity)]

    def pulled(self) -> list[LookedAt]:
        """The vaults that a keeper copies from, as far as they are there."""
        configs = [VaultConfig(f"source-{n}", url, Mode.ASYNC) for n, url in enumerate(self.site.config.keeper_pull)]
        return [LookedAt(self.scrubber(vault)) for vault in map(self.vault, configs) if vault.available()]

    def standing(self, config: VaultConfig) -> Standing:
        complete = config.mode == Mode.SYNC or config.name in self.settled.level
        if config.is_server and self.site.is_keeper:  # a core elsewhere writes to it while it is read
            complete = False
        return Standing(complete, self.settled.frame, self.core)

    def notebook(self, config: VaultConfig) -> FileNotebook:
        folder = notebook_folder(self.site)
        return FileNotebook(self.site.disk, folder, config.name, restart=self._restart)

    def run(self, config: VaultConfig, notebook: FileNotebook | None = None) -> ScrubResult:
        """Scrub one vault; what hinders it is told in the result."""
        vault = self.vault(config)
        if not vault.available():
            return ScrubResult(config.name, 0, 0, [], trouble=_why_away(vault))
        peers = self.peers(config)
        everyone = [vault, *(peer.vault for peer in peers)]
        result = scrub(
            self.scrubber(vault),
            peers,
            self.standing(config),
            opener=self.opener,
            notebook=notebook,
            excuses=lambda: EvidenceExcuses.read(config.name, everyone, self.site.opener.installation, self.opener),
            level=self.level,
            now=self.site.clock.now(),
            progress=self._progress,
        )
        return result if result.trouble else result._replace(shadowed=_shadowed(vault))

    def missing_links(self) -> list[str]:
        """Evidence whose one before it is gone; none where a vault is away, or the identity: there it may be."""
        vaults = [self.vault(config) for config in self.site.config.vaults]
        if self.opener is None or not all(vault.available() for vault in vaults):
            return []
        found = read_evidence(vaults, self.site.opener.installation, self.opener)
        words = [each.evidence for each in found if each.role is Role.KEEPER]
        removed = [EvidenceExcuses(vault.name, words).evidence_from for vault in vaults]
        return missing_links(found, max(removed, default=0))

    def reconcile(self, config: VaultConfig, result: ScrubResult) -> ScrubResult:
        """Compare the core too. Raises OperatorError where it, or the key, is not here."""
        if self.opener is None:
            raise OperatorError("core and vault are reconciled with the identity only", hint="bring the recovery key")
        core = self.site.open_reads()
        try:
            complete = self.standing(config).complete
            found = reconcile(core, self.vault(config), self.opener, complete=complete, progress=self._progress)
        except SafeholdError as error:
            return result._replace(trouble=f"it could not be reconciled with the core: {error.message}")
        finally:
            core.close()
        return result._replace(reconciled=found)


def scrub_vaults(
    site: Site,
    only: str | None = None,
    *,
    level: Level = Level.SCRUB,
    limit_bytes: int = 0,
    restart: bool = False,
    with_core: bool = False,
    progress: Progress = silent,
) -> list[ScrubResult]:
    """Scrub one vault or all, note how it went, and put evidence of it into every vault. Raises OperatorError.

    `with_core`: reconcile each with the core too.
    """
    scrubbing = Scrubbing(site, level=level, limit_bytes=limit_bytes, restart=restart, progress=progress)
    done: list[tuple[VaultConfig, ScrubResult, float]] = []
    for config in scrubbing.chosen(only):
        began = site.clock.monotonic()
        result = scrubbing.run(config, scrubbing.notebook(config))
        if with_core and not result.trouble:
            result = scrubbing.reconcile(config, result)
        done.append((config, result, site.clock.monotonic() - began))
    links = scrubbing.missing_links()
    done = [(config, result._replace(links=links), seconds) for config, result, seconds in done]
    for config, result, seconds in done:
        if not result.trouble:
            facts = scrub_facts(result, scrubbing.level, seconds, scrubbing.opener is not None)
            record(site, scrubbing, "scrub", config, result.end, facts, result)
    return [result for _, result, _ in done]


def scrub_facts(result: ScrubResult, level: Level, seconds: float, opened: bool) -> dict[str, object]:
    """What evidence says of a scrub. `opened`: with the identity, so that seals were read."""
    return {
        "ok": result.ok,
        "level": str(level),
        "opened": opened,
        "objects": result.objects,
        "bytes": result.bytes,
        "seconds": round(seconds, 3),
        "damaged": [damage_object(damage) for damage in result.damaged[:MAX_NAMED]],
        "damaged_count": len(result.damaged),
        LINKS: list(result.links),
        "shadowed": sorted(result.shadowed)[:MAX_NAMED],
        "shadowed_count": len(result.shadowed),
        "reconciled": None if result.reconciled is None else result.reconciled._asdict(),
    }


def damage_object(damage: Damage) -> dict[str, str]:
    return {"object": damage.object, "problem": str(damage.problem), "why": damage.why}


def record(
    site: Site,
    scrubbing: Scrubbing,
    kind: str,
    config: VaultConfig,
    upto: LogPosition,
    facts: dict[str, object],
    result: ScrubResult,
) -> str:
    """Put evidence, where a key to sign it is here; note it in the notebooks. Its name, "" for none."""
    now = site.clock.now()
    sealer = evidence_sealer(site)
    name = ""
    placed: dict[str, Remembered] = {}
    reached: set[str] = set()  # a vault that is away has not got it
    if sealer is not None:
        value = Evidence(evidence_format.VERSION, kind, now, config.name, upto, b"", facts)
        vaults = [v for v in map(scrubbing.vault, site.config.vaults) if v.available()]
        try:
            put = put_evidence(vaults, sealer, site.clock, value)
        except (OperatorError, OutOfSpace) as error:
            _log.warning("no evidence of this could be kept: %s", error.message)
        else:
            name = put.name
            reached = {vault.name for vault in vaults}
            placed = {put.name: Remembered(put.size, put.digest)}
    for other in site.config.vaults:
        book = FileNotebook(site.disk, notebook_folder(site), other.name)
        last = LastScrub(
            now, str(scrubbing.level), result.objects, result.bytes, len(result.damaged), name, len(result.links)
        )
        book.ended(last if other == config else book.last(), placed if other.name in reached else {})
    return name


def evidence_sealer(site: Site) -> Sealer | None:
    """The keeper's, where its key is here; else the writer's: it vouches for less."""
    return site.keyring.keeper or site.keyring.sealer


def notebook_folder(site: Site) -> str:
    return str(site.data / "run" / "scrub")


def core_position(site: Site) -> LogPosition:
    """Up to where the core has taken the log in; EMPTY_LOG where it cannot say."""
    if not site.has_core():
        return EMPTY_LOG
    try:
        core = site.open_reads()
    except (Damaged, SafeholdError):
        return EMPTY_LOG
    try:
        return core.log_position()
    except SafeholdError:
        return EMPTY_LOG
    finally:
        core.close()


def find_vault(site: Site, name: str) -> VaultConfig:
    """Raises OperatorError (exit 2)."""
    for vault in site.config.vaults:
        if vault.name == name:
            return vault
    names = ", ".join(v.name for v in site.config.vaults)
    raise OperatorError(f"there is no vault {name!r}", hint=f"the configured ones are {names}", exit_code=2)


def _shadowed(vault: Vault) -> dict[str, int]:
    """What lies on top of first versions in a bucket; nothing where that cannot be looked at."""
    try:
        return vault.shadowed() if isinstance(vault, ScrubbedS3Vault) else {}
    except OperatorError as error:
        _log.warning("what was put over first versions cannot be listed: %s", error.message)
        return {}


def _why_away(vault: Vault) -> str:
    try:
        vault.size("FORMAT")
    except OperatorError as error:
        return error.message
    return f"the vault {vault.name} cannot be reached"
