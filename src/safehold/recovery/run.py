"""`recover run`: carry out a plan with the service stopped.

    claim     a new timeline in the vaults, so that an old core that still writes is fenced; then read
    enter     every change verbatim, stream by stream from a generation and then in log order, into a core in the
              scratch folder
    verify    that core, opened anew, against a replay of what was read and against the plan
    blobs     of live items fetched back and read where the service reads them
    hold      streams that miss revs, and those that this run left out
    place     the old core aside, the new one into place, as the last step

Invariants (docs/invariants.md): only verified changes enter, and verbatim (I24, I25); everything is written beside what
is there, and renamed into place once it is verified (I26); a run that was killed anywhere is simply started again, goes
on from where the scratch core is, and ends as if it had never been killed (I27); erased accounts stay erased
(I28); streams that miss revs are held (I14).

All kinds are entered in one pass; the report charges each stream of a generation to its kind, and each frame of the
log to the kinds in it. The building itself is in build.py.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads, CoreStore
from safehold.ports.disk import Disk
from safehold.ports.log import LogReader
from safehold.ports.world import Clock
from safehold.recovery.anew import KEY, hold_installation, lacks_key
from safehold.recovery.build import Accepted, Build, Built, gap_words
from safehold.recovery.examine import State
from safehold.recovery.find import Find
from safehold.recovery.place import Memo, Place
from safehold.recovery.plan import ByParity, Plan
from safehold.recovery.report import Progress, Report, Stage, silent
from safehold.recovery.returns import Returned
from safehold.recovery.shares import Helpers
from safehold.recovery.sources import Source, check_salvages, check_unchanged
from safehold.recovery.unknown import in_doubt
from safehold.recovery.witness import CoreWitness
from safehold.vault.log import NotOnTheLog
from safehold.vault.runs import Runs


class Result(msgspec.Struct):
    """A run in full: its report, where the core that was there before lies, and what deserves a sentence."""

    report: Report
    moved_aside: str | None
    accepted: list[str]
    notes: list[str]
    #: What was accepted, to be put on record by whoever can write.
    taken: list[Accepted] = []
    #: What a find has put back as new changes, where one was given.
    returned: Returned | None = None
    #: What vaults computed again from their own parity.
    by_parity: list[ByParity] = []
    #: Why a start would be refused: the installation's own key is lost, and may still come back.
    refused: str = ""


class _Run:
    """One run's parts and its stop-watch."""

    def __init__(self, plan: Plan, place: Place, clock: Clock, progress: Progress) -> None:
        self.plan = plan
        self.place = place
        self.clock = clock
        self.progress = progress
        self.began = clock.monotonic()

    @staticmethod
    def restart_stages() -> dict[Kind, float]:
        return dict.fromkeys(RESTORE_ORDER, 0.0)


def run_plan(
    plan: Plan,
    reader: LogReader,
    *,
    make_core: Callable[[str], CoreStore],
    blobs: Blobs,
    disk: Disk,
    data: str,
    clock: Clock,
    claim: Callable[[], int],
    look: Callable[[], list[Source]] | None = None,
    runs: Runs | None = None,
    old: CoreReads | None = None,
    helpers: Helpers | None = None,
    accept_loss: bool = False,
    may_found: bool = False,
    find: Find | None = None,
    after: Callable[[CoreStore], None] | None = None,
    progress: Progress = silent,
) -> Result:
    """Recover what the plan says into `data`/core.

    `make_core` opens the core in a folder, making it where it is empty. `claim` opens a new timeline in every vault
    that can be reached and returns its number; it is called once, before the log is read. `look` sums up the sources:
    where they are not those of the plan any more, OperatorError names the difference and nothing is done (a run that
    was killed is let go on, since it has claimed a timeline in them). `runs` are the generations in the vaults, of
    which the plan names the one to begin with; `helpers` read streams of it in other processes. `old` is the core
    that is there, if it can be read: it may fill gaps, where the chain proves what it offers. `accept_loss` leaves
    streams with gaps unheld. `may_found`: a key of the installation that this run does not bring back is in no source
    (anew.py). `find` is what was salvaged, as the plan was made from it. `after` gets the core in place, as the last
    step.
    Raises Damaged where the new core does not agree with its journal or the plan: then nothing is put into place.
    """
    run = _Run(plan, Place(disk, data), clock, progress)
    memo = Memo(plan.selection, tuple(plan.erased), plan.generation, salvages=tuple(plan.salvages))
    begun = run.place.memo()
    if begun is not None and plan.core is State.MISSING and _same_filter(begun, memo):
        # Killed between the two renames: what the core that is aside now was to keep is known from the memo alone.
        plan.selection, memo = begun.selection, begun
    resumed = begun == memo
    if look is not None and not resumed:
        check_unchanged(plan.sources, look())
    check_salvages(plan.salvages, find.marks() if find is not None else [])
    if plan.core is State.NEWER:
        raise OperatorError(
            f"the core is left as it is: {plan.core_reason}",
            hint="run the newer Safehold; to go back all the same, move the core folder away first",
        )
    if plan.core is State.WHOLE:
        return _leave_alone(run, make_core, accept_loss, may_found, after)
    if resumed:
        run.place.resume()
    else:
        run.place.begin(memo)
    timeline = claim()
    in_place = plan.core is State.BEHIND
    # Of the same timeline there may be two, where the vaults of one recovery were away at the next.
    mark = None if in_place else f"{timeline}-{clock.now():x}"
    witness = None if in_place or old is None else CoreWitness(old)
    folder = run.place.core if in_place else run.place.building

    carried = _still_in_doubt(run, make_core) if in_place else in_doubt(old, plan.end)

    def build() -> Built:
        seconds = run.restart_stages()
        made = Build(
            plan, reader, runs, make_core, blobs, witness, mark, helpers, run.clock, run.progress, seconds, find
        )
        made.carried, made.may_found = carried, may_found
        return made.whole(folder, accept_loss, new=not in_place)

    try:
        built = build()
    except (Damaged, NotOnTheLog) as error:
        if not resumed or in_place:
            raise
        run.place.clear()
        built = build()
        built.notes.append(f"what an earlier run had built was not whole and was built anew: {error.message}")
    aside = None if in_place else run.place.put(clock.now())
    taken = _in_order(built.accepted)
    result = Result(built.report, aside, list(map(str, taken)), built.notes, taken)
    run.place.forget()
    result.report.timeline = timeline
    return _finish(run, make_core, after, result)


def _still_in_doubt(run: _Run, make_core: Callable[[str], CoreStore]) -> bytes:
    core = make_core(run.place.core)
    try:
        return in_doubt(core, run.plan.end)
    finally:
        core.close()


def _same_filter(one: Memo, other: Memo) -> bool:
    return one.erased == other.erased and (one.selection.accounts, one.selection.kinds) == (
        other.selection.accounts,
        other.selection.kinds,
    )


def _leave_alone(
    run: _Run,
    make_core: Callable[[str], CoreStore],
    accept_loss: bool,
    may_found: bool,
    after: Callable[[CoreStore], None] | None,
) -> Result:
    """The core that is there is whole: nothing is written, but for a loss that is accepted now."""
    accepted: list[Accepted] = []
    if accept_loss:
        core = make_core(run.place.core)
        if core.end_in_doubt():
            core.begin()
            core.set_end_in_doubt(b"")
            core.commit()
        core.close()
    if accept_loss and run.plan.report.changes_expected > run.plan.report.changes_recovered:
        core = make_core(run.place.core)
        core.begin()
        lost = lacks_key(core)
        for stream in run.plan.streams:
            if stream.missing and not (lost and (stream.account, stream.kind) == KEY):
                core.hold(stream.account, stream.kind, None)
                why = gap_words(stream.kind, stream.missing)
                accepted.append(Accepted(stream.account, stream.kind, stream.name, why))
        core.commit()
        core.close()
    if run.plan.report.unknown_seconds and not accept_loss:
        _doubt_end(run, make_core)
    told = _look_for_key(run, make_core, accept_loss=accept_loss, may_found=may_found)
    report = msgspec.structs.replace(
        run.plan.report, stages=[Stage(s.kind, s.items, 0.0) for s in run.plan.report.stages]
    )
    notes = [f"the core is left as it is: {run.plan.core_reason}", *told]
    run.place.forget()
    accepted = _in_order(accepted)
    return _finish(run, make_core, after, Result(report, None, list(map(str, accepted)), notes, accepted))


def _in_order(accepted: list[Accepted]) -> list[Accepted]:
    """Identities first: what is put on record of other streams needs theirs."""
    return sorted(accepted, key=lambda one: one.kind is not Kind.IDENTITY)


def _look_for_key(run: _Run, make_core: Callable[[str], CoreStore], *, accept_loss: bool, may_found: bool) -> list[str]:
    """What is to be said where the core lacks the installation's own key."""
    core = make_core(run.place.core)
    try:
        if not lacks_key(core):
            return []
        missing = next((s.missing for s in run.plan.streams if (s.account, s.kind) == KEY), ())
        why = gap_words(Kind.IDENTITY, missing)
        core.begin()
        may_found |= accept_loss
        told = hold_installation(core, why, run.clock.now(), may_found=may_found, in_doubt=not accept_loss)
        core.commit()
        return [told]
    finally:
        core.close()


def _doubt_end(run: _Run, make_core: Callable[[str], CoreStore]) -> None:
    """The core is whole by itself, and nothing says that its end is the end of all that was acknowledged (I64)."""
    core = make_core(run.place.core)
    try:
        if not core.end_in_doubt():
            now = run.clock.now()
            core.begin()
            core.set_end_in_doubt(encode_doubt(Doubt(now, run.plan.report.unknown_seconds, f"{now:x}")))
            core.commit()
    finally:
        core.close()


def _finish(
    run: _Run, make_core: Callable[[str], CoreStore], after: Callable[[CoreStore], None] | None, result: Result
) -> Result:
    if after is not None:
        core = make_core(run.place.core)
        try:
            after(core)
        finally:
            core.close()
    seconds = run.clock.monotonic() - run.began
    result.report.seconds = result.report.first_contact_seconds = seconds
    return result
