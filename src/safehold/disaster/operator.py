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
from safehold.config import VaultConfig
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.house import CORE_FOLDER, CORE_PATH, House
from safehold.disaster.salvaging import Salvaged, put_back, salvage
from safehold.disaster.vault_work import make_anew, mend_marks, reader_of, repair_vaults, runs_of, vaults_of
from safehold.model.errors import Damaged, NewerCore, OperatorError, SafeholdError
from safehold.ports.blobs import BlobArchive
from safehold.ports.core import CoreReads
from safehold.ports.log import Hole
from safehold.recovery.anew import everything_read
from safehold.recovery.find import Find
from safehold.recovery.find_bodies import FindArchive
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.report import Report
from safehold.recovery.run import Result, run_plan
from safehold.recovery.sources import look
from safehold.recovery.staged import Staged
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from safehold.vault import recoveries
from safehold.vault.blobs import VaultBlobs
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs

if TYPE_CHECKING:
    from safehold.disaster.lab import World

#: Turns that a recovery beside the service may take; between two of them a device may ask.
MOST_TURNS = 10_000
#: How often a person tries before giving up.
MOST_ATTEMPTS = 4
#: Changes that one turn enters.
TURN_CHANGES = 40
_MICROSECONDS = 1_000_000


# -- a start -------------------------------------------------------------------------------------------------------


def start(world: World, *, renew: str = "") -> bool:
    """As a supervisor starts `serve`; whether it serves. What it says is often the first sign.

    `renew`: the service before it has asked for a new core, and why.
    """
    house = world.house
    world.restart_by_itself()
    try:
        house.load_keys()
        lost = f"is to be made anew ({renew})" if renew else _lost(house)
        if lost:
            _require_sync_vault(house, lost)
            world.watch.refused(f"the core {lost}: it is recovered from the vaults, while serving")
            begin_serving(house, renew=bool(renew))
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
    found = look(vaults_of(house, everything=True))
    sync = house.sync_names()
    if not any(source.vault in sync and source.folders for source in found):
        raise OperatorError(
            f"the core {lost}, and of its vaults none can be read that answers have waited for",
            hint="bring that vault back; or see what `safehold recover plan` says, and `safehold recover run`",
        )


def begin_serving(house: House, *, renew: bool = False) -> None:
    """Begin a recovery beside the service, or go on with the one that is under way; the caller boots the house."""
    disk = house.disk
    for folder in ("/scratch", "/blobs"):
        disk.make_folders(folder)
    vaults = vaults_of(house)

    def fresh() -> tuple[VaultLogReader, Runs]:
        return reader_of(house), runs_of(house)

    reader, runs = fresh()
    if not renew and disk.exists(CORE_PATH) and (core := _old_core(house, CORE_FOLDER)) is not None:
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
        claim=house.claim,
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


def renew_if_asked(world: World) -> None:
    """A service that has found its core damaged beyond mending ends, and begins again with a new one."""
    house = world.house
    if not (world.serving and house.renewals) or house.recovering:
        return
    why = house.renewals[-1]
    house.close()
    world.go_down(kill=True)
    if start(world, renew=why) and world.house.recovering:
        serve_on(world)


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


def start_anew(world: World) -> None:
    """The process is ended, started again, and whatever is lost brought back."""
    if world.serving:
        world.house.abandon()
        world.go_down(kill=True)
    start(world)
    recover(world)


def tend(world: World) -> None:
    """What a person does each day by what the service says: damaged vaults are repaired."""
    renew_if_asked(world)
    if world.serving and any(result.damaged for result in world.watch.scrubs.values()):
        world.clock.advance(OPERATOR_SECONDS)
        left = repair_vaults(world.house, serving=True)
        world.watch.scrub_all()
        world.note(f"vaults are repaired: {sum(map(len, left.values()))} objects remain damaged")


def serve_on(world: World, *, devices: bool = True) -> None:
    """Until the recovery that goes on beside the service has come to its end; people ask and write meanwhile."""
    house = world.house
    assert house.staged is not None
    began_at, holes = house.staged.began_at, list(house.staged.holes)
    for turn in range(MOST_TURNS):
        if house.engine.stopped is not None:
            world.pass_time(1.0)
        if not house.recovery_turn(TURN_CHANGES):
            break
        if devices and turn < 3 * len(world.devices) and world.devices:
            world.sync([world.rng.choice(world.devices)])
        world.knock()
    else:
        world.wrong.append("the recovery beside the service came to no end")
    house.engine.drain_intakes()
    if house.recovered is not None:
        _take_report(world, house.recovered, began_at, holes)


def bring_back(world: World) -> None:
    """A person comes, and does what the commands hint at, until the service starts.

    A folder that is a vault but for its mark gets that back, and nothing else is changed before `recover run` has read
    all that is left: a repaired end of a log shows no more that it was damaged. Where nothing can be read, or a start
    is refused, `vault repair`, and once more; at last with the first sync vault moved aside. Lost ones are made anew.
    """
    salvaged: Salvaged | None = None
    for attempt in range(MOST_ATTEMPTS):
        world.clock.advance(OPERATOR_SECONDS)
        house = world.house
        house.load_keys()
        for folder in ("/scratch", "/blobs"):
            house.disk.make_folders(folder)
        try:
            mend_marks(house)
            if attempt == MOST_ATTEMPTS - 1:
                _anew(world, next(config for config in house.vaults if config.mode == Mode.SYNC), aside=True)
            if world.salvages:
                if salvaged is not None:
                    salvaged.close()
                salvaged = salvage(house)
            plan, result = recover_run(house, salvaged=salvaged)
        except SafeholdError as error:
            world.note(f"nothing can be recovered yet: {error.message}")
            repair_vaults(house, serving=False, named=_named(house, error))
            house.abandon()
            world.go_down(kill=True)
            continue
        report = result.report
        world.note(f"recovered: {report.changes_recovered} of {report.changes_expected} changes")
        _take_report(world, report, plan.made_at, plan.holes)
        if _opens(world):
            if salvaged is not None:
                _put_back(world, salvaged)
            return
    world.wrong.append("the service did not start after its recovery")


def _named(house: House, error: SafeholdError) -> list[str]:
    """The vaults whose repair a hint asks for by their names."""
    return [config.name for config in house.vaults if f"vault repair {config.name}" in error.hint]


def _put_back(world: World, salvaged: Salvaged) -> None:
    """What could not go on its stream again comes back as new changes, of which the ledger hears as of any."""
    try:
        returned = put_back(world.house, salvaged)
    except SafeholdError as error:
        world.note(f"what was found is not put back: {error.message}")
    else:
        world.note(f"put back as new changes: {returned.put}")
    finally:
        salvaged.close()


def _opens(world: World) -> bool:
    """Lost vaults are made anew, and the service started."""
    house = world.house
    try:
        for config in house.vaults:
            if not house.vault(config).available():
                _anew(world, config, aside=False)
        house.boot(mend=True)
    except SafeholdError as error:
        world.note(f"the start after it is refused: {error.message}")
        repair_vaults(house, serving=False, named=_named(house, error))  # as the refusal hints at
        house.abandon()
        world.go_down(kill=True)
        return False
    world.attach()
    return True


def _anew(world: World, config: VaultConfig, *, aside: bool) -> None:
    world.note(f"the vault {config.name} is {'moved aside and ' * aside}made anew")
    make_anew(world.house, config, aside=aside)


def recover_run(house: House, *, accept_loss: bool = False, salvaged: Salvaged | None = None) -> tuple[Plan, Result]:
    """`recover plan` and `recover run`, the service stopped. Raises what they raise."""
    find = None if salvaged is None else salvaged.find
    blobs = _blobs(house, find)
    old, problem, closed = None, "", True
    if house.disk.exists(CORE_PATH):
        try:
            closed = not house.disk.exists(f"{CORE_PATH}-wal") or not house.disk.size(f"{CORE_PATH}-wal")
            old = _open_copy(house, CORE_FOLDER)
        except (Damaged, OperatorError) as error:
            problem = error.message
    core: CoreReads | None = old
    plan = make_plan(
        reader_of(house),
        vaults_of(house, everything=True),
        house.clock,
        sync=house.sync_names(),
        core=core,
        core_problem=problem,
        core_closed=closed,
        blobs=blobs,
        runs=runs_of(house),
        find=find,
    )
    timeline: list[int] = []

    def claim() -> int:
        timeline.append(house.claim())
        _mark(house, recoveries.opened(timeline[0]))
        return timeline[0]

    result = run_plan(
        plan,
        reader_of(house),
        make_core=lambda folder: _make_core(house, folder),
        blobs=blobs,
        disk=house.disk,
        data="",
        clock=house.clock,
        claim=claim,
        look=lambda: look(vaults_of(house, everything=True)),
        runs=runs_of(house),
        old=old,
        accept_loss=accept_loss,
        may_found=everything_read(plan, [config.name for config in house.vaults]),
        find=find,
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
    for vault in vaults_of(house):
        with suppress(SafeholdError):
            vault.put(name, (b"",))


def _take_report(world: World, report: Report, at: int, holes: Sequence[Hole]) -> None:
    """`at` (µs) is the moment that its unknown seconds end with."""
    world.reports.append(report)
    if report.unknown_seconds:
        world.lost_frames += [(hole.first, hole.last) for hole in holes]
        told = at - round(report.unknown_seconds * _MICROSECONDS)
        world.unknown_from = told if world.unknown_from is None else min(world.unknown_from, told)
    if world.serving:
        world.knock()


def _blobs(house: House, find: Find | None = None) -> LiveBlobs:
    keyring = house.keyring
    archive: BlobArchive = VaultBlobs([], vaults_of(house), keyring.sealer, keyring.opener, house.disk, "/scratch")
    if find is not None:
        archive = FindArchive(archive, find)
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
