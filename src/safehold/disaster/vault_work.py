"""What an operator does to vaults: scrub, repair, make a lost one anew; as the commands do, on a simulated disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from safehold.archiver.claiming import Mode
from safehold.archiver.shipper import Shipper
from safehold.config import VaultConfig
from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, House
from safehold.formats import blob, mark, segment
from safehold.model.errors import SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.judging import Damage, Problem, Standing
from safehold.recovery.mended_ends import evidence_mends, log_copied, log_mends, tell_before
from safehold.recovery.notebook import FileNotebook
from safehold.recovery.repair import Mend, Repairer
from safehold.recovery.scrub import LookedAt, Pace, Scrubber, ScrubResult, named_blobs, scrub
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.looking import RepairedVault, ScrubbedVault
from safehold.vault.runs import Runs

NOTEBOOKS = "/run"
#: Below a vault's folder.
LOG_FOLDER = "/log"
#: Steps that filling a new vault may take.
_MOST_STEPS = 10_000


# -- which there are -----------------------------------------------------------------------------------------------


def vaults_of(house: House, *, everything: bool = False) -> list[FolderVault]:
    """Those that are there (`everything`: those that are not, too), the sync ones first."""
    configs = sorted(house.vaults, key=lambda config: config.mode != Mode.SYNC)
    return [vault for vault in map(house.vault, configs) if everything or vault.available()]


def reader_of(house: House) -> VaultLogReader:
    return VaultLogReader(vaults_of(house), house.keyring.opener)


def runs_of(house: House) -> Runs:
    return Runs(vaults_of(house), house.keyring.opener)


# -- scrub ---------------------------------------------------------------------------------------------------------


def scrub_vault(house: House, config: VaultConfig, *, serving: bool) -> ScrubResult:
    """As `safehold scrub` does it. `serving`: a process writes, and closes what it appends to first."""
    vault = _tolerant(house, config)
    if not vault.available():
        return ScrubResult(config.name, 0, 0, [], trouble=f"the vault {config.name} is not there")
    house.disk.make_folders(NOTEBOOKS)
    peers = _peers(house, config)
    everyone = [vault, *(peer.vault for peer in peers)]
    keyring = house.keyring
    return scrub(
        _scrubber(house, vault),
        peers,
        _standing(house, config, serving=serving),
        opener=keyring.opener,
        notebook=FileNotebook(house.disk, NOTEBOOKS, config.name),
        excuses=lambda: EvidenceExcuses.read(config.name, everyone, keyring.installation, keyring.opener),
        now=house.clock.now(),
    )


def _tolerant(house: House, config: VaultConfig) -> ScrubbedVault:
    return ScrubbedVault(config.name, house.folder(config), house.disk, house.keyring.installation)


def _scrubber(house: House, vault: FolderVault) -> Scrubber:
    return Scrubber(vault, house.keyring.installation, house.keyring.opener, Pace(house.clock, lambda _: None))


def _peers(house: House, config: VaultConfig) -> list[LookedAt]:
    others = sorted((v for v in house.vaults if v != config), key=lambda v: v.mode != Mode.SYNC)
    found = [_tolerant(house, other) for other in others]
    return [LookedAt(_scrubber(house, vault)) for vault in found if vault.available()]


def _standing(house: House, config: VaultConfig, *, serving: bool) -> Standing:
    if not serving or house.engine.stopped is not None:
        return Standing(config.mode == Mode.SYNC, None, EMPTY_LOG)
    house.engine.seal()
    core = house.engine.core.log_position()
    level = {shipper.target for shipper in house.writer.shippers if shipper.level}
    return Standing(config.mode == Mode.SYNC or config.name in level, core.frame, core)


# -- repair --------------------------------------------------------------------------------------------------------


def repair_vaults(house: House, *, serving: bool, named: Collection[str] = ()) -> dict[str, list[Damage]]:
    """As `safehold vault repair --yes`: copied from each other, then written again by the core; what remains.

    `named`: vaults of which that is said once more, by their names.
    """
    remaining = _copy_all(house, serving=serving, named=named)
    if serving and house.engine.stopped is None and any(remaining.values()):
        with suppress(SafeholdError):
            _write_again(house, [damage for damages in remaining.values() for damage in damages])
            remaining = _copy_all(house, serving=serving)
    return remaining


def mend_marks(house: House) -> None:
    """Put FORMAT back where it is missing or damaged in what is a vault of this installation otherwise."""
    for config in house.vaults:
        kept = _kept(house, config)
        if not house.vault(config).available() and kept.available():
            path = f"{house.folder(config)}/{mark.NAME}"
            file = house.disk.open(path, write=True, create=True)
            file.truncate(0)
            file.write_at(0, mark.encode_mark(house.keyring.installation))
            file.sync()
            file.close()
            house.disk.sync_folder(house.folder(config))


def _copy_all(house: House, *, serving: bool, named: Collection[str] = ()) -> dict[str, list[Damage]]:
    found = {}
    for config in house.vaults:
        kept = _kept(house, config)
        if not kept.available():
            continue
        scrubber = _scrubber(house, kept)
        peers = _peers(house, config)
        everyone = [kept, *(peer.vault for peer in peers)]
        keyring = house.keyring
        inventory = scrubber.read()
        house.disk.make_folders(NOTEBOOKS)
        notebook = FileNotebook(house.disk, NOTEBOOKS, config.name)
        repairer = Repairer(
            kept,
            scrubber,
            peers,
            _standing(house, config, serving=serving),
            inventory,
            remembered=notebook.remembered(),
            excuses=EvidenceExcuses.read(config.name, everyone, keyring.installation, keyring.opener),
            named=list(named_blobs(kept, keyring.opener, inventory)),
        )
        plan = repairer.plan() if config.mode == Mode.SYNC and not serving else []
        log, evidence = log_mends(plan), evidence_mends(plan)
        if log or evidence:
            # It shows what the end of the log may lack (I81).
            if log and _core_position(house) == EMPTY_LOG and config.name not in named:
                found[config.name] = [mend.damage for mend in log]
                continue
            _tell_before(house, config, [*log, *evidence])
        found[config.name] = repairer.carry_out()
        notebook.forget({mend.damage.object: None for mend in repairer.mended})
    return found


def _core_position(house: House) -> LogPosition:
    """Up to where a core that can be read has taken the log in; EMPTY_LOG where it cannot say."""
    path = f"{CORE_FOLDER}/core.db"
    if not house.disk.exists(path) or not house.disk.size(path):
        return EMPTY_LOG
    try:
        core = house.opened(SqliteCore.open(path, disk=house.disk.copy(CORE_FOLDER)))
        try:
            return core.log_position()
        finally:
            core.close()
    except SafeholdError:
        return EMPTY_LOG


def _tell_before(house: House, config: VaultConfig, log: Sequence[Mend]) -> None:
    core = _core_position(house)
    tell_before(vaults_of(house), house.keyring.sealer, house.clock, config.name, log, core)


def _kept(house: House, config: VaultConfig) -> RepairedVault:
    return RepairedVault(config.name, house.folder(config), house.disk, house.keyring.installation, clock=house.clock)


def _write_again(house: House, remaining: Sequence[Damage]) -> None:
    """What no vault has and the core does."""
    blobs: dict[bytes, None] = {}
    for damage in remaining:
        name = blob.parse_object(damage.object)
        if name is not None:
            blobs[name] = None
            for config in house.vaults if damage.problem is Problem.CORRUPT else ():
                with suppress(SafeholdError, KeyError):
                    _kept(house, config).set_aside(damage.object)
    in_log = any(segment.parse_name(damage.object) for damage in remaining)
    core = house.engine.core.log_position().frame
    holes = [hole for hole in reader_of(house).entries() if isinstance(hole, Hole) and hole.first <= core]
    house.writer.make_up([(hole.first, min(hole.last, core)) for hole in holes] if in_log else [], list(blobs))
    house.reopen_reads()
    snapshot(house, full=True)


# -- a vault anew --------------------------------------------------------------------------------------------------


def make_anew(house: House, config: VaultConfig, *, aside: bool) -> None:
    """A vault that is lost, or moved aside for what is wrong with it, as `vault add` makes it.

    One that acknowledgements wait for is filled from another that is there; a shipper fills the others.
    """
    folder = house.folder(config)
    if house.disk.files(folder):  # whatever it is, it may be all that is left
        house.disk.rename(folder, f"/aside-{config.name}-{house.clock.now()}")
    else:
        house.disk.lose(folder)
    FolderVault.create(config.name, folder, house.disk, house.keyring.installation).close()
    book = house.book_of(config)
    if book is not None:
        book.forget()
    others = [vault for vault in vaults_of(house) if vault.name != config.name]
    if config.mode != Mode.SYNC or not others:
        return
    _tell_before(house, config, log_copied(others[0]))
    shipper = Shipper(others[0], house.vault(config), house.clock)
    for _ in range(_MOST_STEPS):
        if shipper.level or shipper.trouble:
            break
        shipper.step()
