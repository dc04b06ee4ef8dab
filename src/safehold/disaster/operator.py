"""What a supervisor and an operator do after a disaster, in the steps that the commands take.

`start` is what `serve` does at a start: a core that can be served is served; one that is lost is recovered while
serving, where a vault that acknowledgements waited for is at hand; else the start is refused. `bring_back` then does
what the refusal hints at: `recover plan` and `recover run` from everything that is left, a sync vault that is lost
made anew from another, and a start. Nothing is accepted as lost: what is not known to be whole stays held, and devices
keep what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from safehold.archiver.claiming import Mode
from safehold.archiver.shipper import Shipper
from safehold.config import VaultConfig
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.house import CORE_FOLDER, CORE_PATH, House
from safehold.model.errors import Damaged, NewerCore, OperatorError, SafeholdError
from safehold.ports.core import CoreReads
from safehold.ports.log import Hole
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.recovery.staged import Staged
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault import recoveries
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs

if TYPE_CHECKING:
    from safehold.disaster.lab import World

#: Turns that a recovery beside the service may take; between two of them a device may ask.
MOST_TURNS = 10_000
#: Changes that one turn enters.
TURN_CHANGES = 40
_MICROSECONDS = 1_000_000


# -- a start -------------------------------------------------------------------------------------------------------


def start(world: World) -> bool:
    """As a supervisor starts `serve`; whether it serves. What it says is often the first sign."""
    house = world.house
    world.restart_by_itself()
    try:
        house.load_keys()
        lost = _lost(house)
        if lost:
            _require_sync_vault(house, lost)
            world.watch.refused(f"the core {lost}: it is recovered from the vaults, while serving")
            begin_serving(house)
        house.boot()
    except SafeholdError as error:
        world.watch.refused(error)
        world.note(f"the start is refused: {error.message}")
        house.abandon()
        world.go_down(kill=True)
        return False
    world.attach()
    world.knock()
    return True


def _lost(house: House) -> str:
    """Why the core cannot be served as it is; "" where it can."""
    if not house.disk.exists(CORE_PATH) or not house.disk.size(CORE_PATH):
        return "is missing"
    try:
        core = _open_copy(house, CORE_FOLDER)
    except NewerCore:
        raise
    except (Damaged, OperatorError) as error:
        return f"cannot be read ({error.message})"
    try:
        core.log_position()
        core.accounts()
        begun = core.recovery_record() is not None
    except Damaged as error:
        return f"cannot be read ({error.message})"
    finally:
        with suppress(SafeholdError):
            core.close()
    return "is still being recovered" if begun else ""


def _require_sync_vault(house: House, lost: str) -> None:
    """A start recovers by itself only where nothing is left to decide (I58). Raises OperatorError."""
    found = look(_vaults(house, everything=True))
    sync = house.sync_names()
    if not any(source.vault in sync and source.folders for source in found):
        raise OperatorError(
            f"the core {lost}, and of its vaults none can be read that answers have waited for",
            hint="bring that vault back; or see what `safehold recover plan` says, and `safehold recover run`",
        )


def begin_serving(house: House) -> None:
    """Begin a recovery beside the service, or go on with the one that is under way; the caller boots the house."""
    disk = house.disk
    for folder in ("/scratch", "/blobs"):
        disk.make_folders(folder)
    vaults = _vaults(house)

    def fresh() -> tuple[VaultLogReader, Runs]:
        return _reader(house), _runs(house)

    reader, runs = fresh()
    if disk.exists(CORE_PATH) and (core := _old_core(house, CORE_FOLDER)) is not None:
        with suppress(SafeholdError):
            staged = Staged.resume(
                core,
                reader,
                runs,
                make_rows=StreamRows,
                clock=house.clock,
                vaults=vaults,
                open_old=lambda folder: _old_core(house, folder),
                again=fresh,
            )
            core.close()
            if staged is not None:
                house.staged = staged
                return
    house.staged = Staged.begin(
        reader,
        runs,
        vaults,
        make_core=lambda folder: _make_core(house, folder),
        make_rows=StreamRows,
        disk=disk,
        data="",
        clock=house.clock,
        claim=lambda: _claim(house),
        open_old=lambda folder: _old_core(house, folder),
        sync=house.sync_names(),
        again=fresh,
        judge=_judge_end,
        judge_register=_judge_register,
    )


def _judge_end(beyond: Sequence[Hole]) -> None:
    """Raises OperatorError where the log cannot be read to its end (I58)."""
    if beyond:
        raise OperatorError(
            f"frames {beyond[0].first} to {beyond[-1].last} at the end of the log cannot be read from any vault",
            hint="`safehold recover plan` says what that affects, and `safehold recover run` goes on without them",
        )


def _judge_register(lacks: str) -> None:
    raise OperatorError(
        f"who was erased is not known for certain ({lacks})",
        hint="`safehold recover plan` says who might come back, and `safehold recover run` goes on without it",
    )


# -- an operator ---------------------------------------------------------------------------------------------------


def notice(world: World) -> None:
    """Until the service says that something is wrong: at its next start, where it has ended, else as it goes on."""
    if not world.serving:
        start(world)
    world.watch.notice()


def recover(world: World, *, devices: bool = True) -> None:
    """All the way back, from whatever is left: where a start was refused an operator's recovery, else what goes on.

    `devices`: they knock and write while a recovery goes on beside the service. What cannot be done is told in
    `world.wrong`.
    """
    if world.serving and not world.house.recovering and world.house.engine.stopped is None:
        world.knock()
        world.is_back()
        return
    if not world.serving:
        bring_back(world)
    if world.serving and world.house.recovering:
        serve_on(world, devices=devices)
    if world.serving:
        world.knock()
        world.is_back()


def serve_on(world: World, *, devices: bool = True) -> None:
    """Until the recovery that goes on beside the service has come to its end; people ask and write meanwhile."""
    house = world.house
    for turn in range(MOST_TURNS):
        if house.engine.stopped is not None:
            world.pass_time(1.0)
        if not house.recovery_turn(TURN_CHANGES):
            break
        if devices and turn < 3 * len(world.devices) and world.devices:
            world.sync([world.rng.choice(world.devices)])
            world.check_fresh()
        world.knock()
    else:
        world.wrong.append("the recovery beside the service came to no end")
    house.engine.drain_intakes()
    if house.recovered is not None:
        _take_report(world, house.recovered)


def bring_back(world: World) -> None:
    """A person comes, reads the plan, and runs it; a vault that cannot be written to any more is made anew."""
    world.clock.advance(OPERATOR_SECONDS)
    house = world.house
    house.load_keys()
    for folder in ("/scratch", "/blobs"):
        house.disk.make_folders(folder)
    try:
        plan, result = recover_run(house)
    except SafeholdError as error:
        world.wrong.append(f"nothing could be recovered: {error.message}")
        return
    world.note(f"recovered: {result.report.changes_recovered} of {result.report.changes_expected} changes")
    _take_report(world, result.report, plan.made_at)
    _make_lost_vaults(world)
    for attempt in ("", "anew"):
        try:
            if attempt:
                _make_anew(world, _sync(house), aside=True)
            house.boot(mend=True)
        except SafeholdError as error:
            world.note(f"the start after it is refused: {error.message}")
            house.abandon()
            world.go_down(kill=True)
            house = world.house
            house.load_keys()
            continue
        world.attach()
        return
    world.wrong.append("the service did not start after its recovery")


def recover_run(house: House, *, accept_loss: bool = False) -> tuple[Plan, Result]:
    """`recover plan` and `recover run`, the service stopped. Raises what they raise."""
    blobs = _blobs(house)
    old, problem = None, ""
    if house.disk.exists(CORE_PATH):
        try:
            old = _open_copy(house, CORE_FOLDER)
        except (Damaged, OperatorError) as error:
            problem = error.message
    core: CoreReads | None = old
    plan = make_plan(
        _reader(house),
        _vaults(house, everything=True),
        house.clock,
        sync=house.sync_names(),
        core=core,
        core_problem=problem,
        blobs=blobs,
        runs=_runs(house),
    )
    timeline: list[int] = []

    def claim() -> int:
        timeline.append(_claim(house))
        _mark(house, recoveries.opened(timeline[0]))
        return timeline[0]

    result = run_plan(
        plan,
        _reader(house),
        make_core=lambda folder: _make_core(house, folder),
        blobs=blobs,
        disk=house.disk,
        data="",
        clock=house.clock,
        claim=claim,
        look=lambda: look(_vaults(house, everything=True)),
        runs=_runs(house),
        old=old,
        accept_loss=accept_loss,
    )
    _go_on(house, plan)
    for number in timeline:
        _mark(house, recoveries.done(number))
    return plan, result


def _go_on(house: House, plan: Plan) -> None:
    """Where the end of the log cannot be read: the next timeline goes on before it, on record."""
    if not plan.holes:
        return
    writer = house.make_writer()
    try:
        with suppress(SafeholdError):
            writer.open(set_aside=plan.holes)
    finally:
        writer.close()


def _mark(house: House, name: str) -> None:
    for vault in _vaults(house):
        with suppress(SafeholdError):
            vault.put(name, (b"",))


def _take_report(world: World, report: object, at: int | None = None) -> None:
    from safehold.recovery.report import Report

    assert isinstance(report, Report)
    world.reports.append(report)
    if report.unknown_seconds:
        told = (world.clock.now() if at is None else at) - round(report.unknown_seconds * _MICROSECONDS)
        world.unknown_from = told if world.unknown_from is None else min(world.unknown_from, told)
    if world.serving:
        world.knock()


# -- vaults --------------------------------------------------------------------------------------------------------


def _sync(house: House) -> VaultConfig:
    return next(vault for vault in house.vaults if vault.mode == Mode.SYNC)


def _make_lost_vaults(world: World) -> None:
    """Those that are not there: `vault add`."""
    for config in world.house.vaults:
        if not world.house.vault(config).available():
            _make_anew(world, config, aside=False)


def _make_anew(world: World, config: VaultConfig, *, aside: bool) -> None:
    """A vault that is lost, or moved aside for what is wrong with it, is made and filled from another that is there."""
    house = world.house
    folder = house.folder(config)
    world.note(f"the vault {config.name} is made anew")
    if aside and house.disk.exists(f"{folder}/FORMAT"):
        house.disk.rename(folder, f"/aside-{config.name}")
    else:
        house.disk.lose(folder)
    FolderVault.create(config.name, folder, house.disk, house.keyring.installation).close()
    others = [vault for vault in house.vaults if vault != config and house.vault(vault).available()]
    if config.mode != Mode.SYNC or not others:
        return  # a shipper fills it
    shipper = Shipper(house.vault(others[0]), house.vault(config), house.clock)
    for _ in range(MOST_TURNS):
        if shipper.level or shipper.trouble:
            break
        shipper.step()


def _vaults(house: House, *, everything: bool = False) -> list[FolderVault]:
    """Those that are there (`everything`: those that are not too), the sync ones first."""
    configs = sorted(house.vaults, key=lambda config: config.mode != Mode.SYNC)
    return [vault for vault in map(house.vault, configs) if everything or vault.available()]


def _reader(house: House) -> VaultLogReader:
    return VaultLogReader(_vaults(house), house.keyring.opener)


def _runs(house: House) -> Runs:
    return Runs(_vaults(house), house.keyring.opener)


def _blobs(house: House) -> LiveBlobs:
    keyring = house.keyring
    archive = VaultBlobs([], _vaults(house), keyring.sealer, keyring.opener, house.disk, "/scratch")
    return LiveBlobs(house.disk, "/blobs", "/scratch", archive)


def _make_core(house: House, folder: str) -> SqliteCore:
    return house.opened(SqliteCore.open(f"{folder}/core.db", disk=house.disk, create=True))


def _old_core(house: House, folder: str) -> SqliteCore | None:
    try:
        return _open_copy(house, folder)
    except (Damaged, OperatorError):
        return None


def _open_copy(house: House, folder: str) -> SqliteCore:
    """For reading alone, which leaves what lies there as it is: a core on a simulated disk opens for writing only.

    Raises Damaged, OperatorError.
    """
    return house.opened(SqliteCore.open(f"{folder}/core.db", disk=house.disk.copy(folder)))


def _claim(house: House) -> int:
    return house.claim()
