"""`recover run`: carry out a plan with the service stopped.

    claim     a new timeline in the vaults, so that an old core that still writes is fenced; then read
    enter     every change verbatim, in log order, into a core in the scratch folder
    verify    that core, opened anew, against a replay of its own journal and against the plan
    blobs     of live items fetched back and read where the service reads them
    hold      streams that miss revs, and those that this run left out
    place     the old core aside, the new one into place, as the last step

Invariants (docs/invariants.md): only verified changes enter, and verbatim (I24, I25); everything is written beside what
is there, and renamed into place once it is verified (I26); a run that was killed anywhere is simply started again, goes
on from the log position in the scratch core, and ends as if it had never been killed (I27); erased accounts stay erased
(I28); streams that miss revs are held (I14).

All kinds are entered in one pass, since the log is in commit order and reading it is what takes long; the report
charges each frame to the kinds in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from safehold.model.errors import Damaged
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD
from safehold.ports.blobs import Blobs
from safehold.ports.core import NOT_YET, UNARCHIVED, CoreReads, CoreStore, LogPosition
from safehold.ports.disk import Disk
from safehold.ports.log import Hole, LogReader
from safehold.ports.world import Clock
from safehold.recovery.blobs import loss_of, restore
from safehold.recovery.chains import Gap, StreamKey
from safehold.recovery.examine import State
from safehold.recovery.place import Memo, Place
from safehold.recovery.plan import Plan, share_seconds
from safehold.recovery.replay import Entered, Replay
from safehold.recovery.report import Progress, Report, Stage, silent
from safehold.recovery.selection import SYSTEM
from safehold.recovery.sources import Source, check_unchanged
from safehold.recovery.tally import BlobLoss, make_tally
from safehold.recovery.verify import BlobItem, compare_accounts, compare_kind, walk_journal
from safehold.recovery.witness import CoreWitness
from safehold.vault.log import NotOnTheLog

#: Changes per transaction: a commit costs some milliseconds, and a kill costs at most so many changes.
BATCH_CHANGES = 5000


class Result(msgspec.Struct):
    """A run in full: its report, where the core that was there before lies, and what deserves a sentence."""

    report: Report
    moved_aside: str | None
    accepted: list[str]
    notes: list[str]


class _Run:
    """One run's parts and its stop-watch."""

    def __init__(self, plan: Plan, place: Place, clock: Clock, progress: Progress) -> None:
        self.plan = plan
        self.place = place
        self.clock = clock
        self.progress = progress
        self.began = clock.monotonic()
        self.restart_stages()

    def restart_stages(self) -> None:
        self.seconds: dict[Kind, float] = dict.fromkeys(RESTORE_ORDER, 0.0)


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
    old: CoreReads | None = None,
    accept_loss: bool = False,
    after: Callable[[CoreStore], None] | None = None,
    progress: Progress = silent,
) -> Result:
    """Recover what the plan says into `data`/core.

    `make_core` opens the core in a folder, making it where it is empty. `claim` opens a new timeline in every vault
    that can be reached and returns its number; it is called once, before the log is read. `look` sums up the sources:
    where they are not those of the plan any more, OperatorError names the difference and nothing is done (a run that
    was killed is let go on, since it has claimed a timeline in them). `old` is the core that is there, if it can be
    read: it may fill gaps, where the chain proves what it offers. `accept_loss` leaves streams with gaps unheld.
    `after` gets the core in place, as the last step.
    Raises Damaged where the new core does not agree with its journal or the plan: then nothing is put into place.
    """
    run = _Run(plan, Place(disk, data), clock, progress)
    memo = Memo(plan.selection, tuple(plan.erased))
    begun = run.place.memo()
    if begun is not None and plan.core is State.MISSING and _same_filter(begun, memo):
        # Killed between the two renames: what the core that is aside now was to keep is known from the memo alone.
        plan.selection, memo = begun.selection, begun
    resumed = begun == memo
    if look is not None and not resumed:
        check_unchanged(plan.sources, look())
    if plan.core is State.WHOLE:
        return _leave_alone(run, make_core, accept_loss, after)
    if resumed:
        run.place.resume()
    else:
        run.place.begin(memo)
    timeline = claim()
    in_place = plan.core is State.BEHIND
    # Of the same timeline there may be two, where the vaults of one recovery were away at the next.
    mark = None if in_place else f"{timeline}-{clock.now():x}"
    build = _Build(run, reader, make_core, blobs, None if in_place or old is None else CoreWitness(old), mark)
    try:
        result = build.whole(run.place.core if in_place else run.place.building, accept_loss, bulk=not in_place)
    except (Damaged, NotOnTheLog) as error:
        if not resumed or in_place:
            raise
        run.place.clear()
        run.restart_stages()
        result = build.whole(run.place.building, accept_loss, bulk=True)
        result.notes.append(f"what an earlier run had built was not whole and was built anew: {error.message}")
    if not in_place:
        result.moved_aside = run.place.put(clock.now())
    run.place.forget()
    result.report.timeline = timeline
    return _finish(run, make_core, after, result)


def _same_filter(one: Memo, other: Memo) -> bool:
    return one.erased == other.erased and (one.selection.accounts, one.selection.kinds) == (
        other.selection.accounts,
        other.selection.kinds,
    )


def _leave_alone(
    run: _Run, make_core: Callable[[str], CoreStore], accept_loss: bool, after: Callable[[CoreStore], None] | None
) -> Result:
    """The core that is there is whole: nothing is written, but for a loss that is accepted now."""
    accepted: list[str] = []
    if accept_loss and run.plan.report.changes_expected > run.plan.report.changes_recovered:
        core = make_core(run.place.core)
        core.begin()
        for stream in run.plan.streams:
            if stream.missing:
                core.hold(stream.account, stream.kind, None)
                accepted.append(f"{_who(stream.name, stream.kind)}: {_missing(stream.kind, stream.missing)}")
        core.commit()
        core.close()
    report = msgspec.structs.replace(
        run.plan.report, stages=[Stage(s.kind, s.items, 0.0) for s in run.plan.report.stages]
    )
    notes = [f"the core is left as it is: {run.plan.core_reason}"]
    run.place.forget()
    return _finish(run, make_core, after, Result(report, None, accepted, notes))


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


class _Build:
    """Builds one core and verifies it."""

    def __init__(
        self,
        run: _Run,
        reader: LogReader,
        make_core: Callable[[str], CoreStore],
        blobs: Blobs,
        witness: CoreWitness | None,
        mark: str | None,
    ) -> None:
        """`mark` names this recovery in a core that it puts into place: clients compare it with what they remember."""
        self._run = run
        self._mark = mark
        self._plan = run.plan
        self._reader = reader
        self._make_core = make_core
        self._blobs = blobs
        self._witness = witness
        self._total = sum(stream.head.rev for stream in run.plan.streams)

    def whole(self, folder: str, accept_loss: bool, *, bulk: bool) -> Result:
        """Enter, verify, fetch blobs and hold; the core is closed and on disk afterwards."""
        log = self._enter(folder, bulk)
        core = self._make_core(folder)
        try:
            return self._check(core, log, accept_loss)
        finally:
            core.close()

    # -- enter -----------------------------------------------------------------------------------------------

    def _enter(self, folder: str, bulk: bool) -> Replay:
        core = self._make_core(folder)
        try:
            if bulk:
                core.bulk(True)
            position = core.log_position()
            log = Replay(self._plan.erased, self._witness, track=False)
            _resume_heads(core, log)
            self._read_log(core, log, position)
            self._drop_erased(core, log)
            if bulk:
                core.bulk(False)
        finally:
            core.close()
        return log

    def _read_log(self, core: CoreStore, log: Replay, position: LogPosition) -> None:
        """The log from the core's position on; what is before the plan's end is read for its seals alone."""
        run = self._run
        end = position
        pending = done = 0
        core.begin()
        before = run.clock.monotonic()
        for entry in self._reader.entries(min(position, self._plan.end, key=lambda p: p.frame)):
            if isinstance(entry, Hole):
                continue
            if entry.position.frame > position.frame:
                end = entry.position
                for change in entry.changes:
                    pending += self._apply(core, log.feed(change), end.frame)
                if pending >= BATCH_CHANGES:
                    core.set_log_position(end)
                    core.commit()
                    done += pending
                    pending = 0
                    run.progress("enter", done, max(self._total, done), "changes")
                    core.begin()
            if entry.sealed:
                log.seal(entry.heads)
            now = run.clock.monotonic()
            share_seconds(entry, now - before, run.seconds)
            before = now
        self._planned_seals(log)
        done += pending + self._apply(core, log.finish(), UNARCHIVED)  # what only the old core had
        core.set_log_position(end)
        core.commit()
        run.progress("enter", done, max(self._total, done), "changes")

    def _apply(self, core: CoreStore, entered: Sequence[Entered], frame: int) -> int:
        """Enter what belongs to the selection; how many that was."""
        count = 0
        for one in entered:
            if self._plan.selection.entered(one.change.account, one.change.kind):
                core.apply(one.change, frame, one.after_gap)
                count += 1
        return count

    def _planned_seals(self, log: Replay) -> None:
        """Seals that an earlier part of a killed run read: heads that the plan missed and that are still missed."""
        for stream in self._plan.streams:
            key = (stream.account, stream.kind)
            if stream.sealed is not None and log.chains.head(key) == stream.head and key[0] not in log.erased:
                log.chains.sealed.setdefault(key, stream.sealed)

    def _drop_erased(self, core: CoreStore, log: Replay) -> None:
        """Accounts whose erasure was read after their changes had been entered."""
        core.begin()
        for account in sorted(log.erased - set(self._plan.erased)):
            if core.account_by_id(account) is not None:
                core.drop_account(account)
        core.commit()

    # -- verify ----------------------------------------------------------------------------------------------

    def _check(self, core: CoreStore, log: Replay, accept_loss: bool) -> Result:
        run, plan = self._run, self._plan
        replay = self._journal(core, log)
        lost_blobs: list[BlobLoss] = []
        for kind in RESTORE_ORDER:
            before = run.clock.monotonic()
            lost_blobs += self._kind(core, replay, kind)
            run.seconds[kind] += run.clock.monotonic() - before
        notes, accepted = self._hold(core, replay, accept_loss)
        tally = make_tally(replay, plan.selection.counted, lost_blobs)
        report = Report(
            accounts=tally.accounts,
            streams=tally.streams,
            changes_expected=tally.changes_expected,
            changes_recovered=tally.changes_recovered,
            items=tally.items,
            lost=tally.lost,
            unknown_seconds=plan.report.unknown_seconds,
            stages=[
                Stage(kind, tally.items[kind].exact + tally.items[kind].older, run.seconds[kind])
                for kind in RESTORE_ORDER
            ],
            first_contact_seconds=0.0,
            seconds=0.0,
            verified=plan.report.verified and not log.chains.refused,
            timeline=0,
        )
        return Result(report, None, accepted, notes + log.chains.problems)

    def _journal(self, core: CoreStore, log: Replay) -> Replay:
        """The journal, walked and compared with the plan. Raises Damaged."""
        run = self._run
        before = run.clock.monotonic()
        replay = Replay(log.erased)

        walk_journal(core, replay, run.progress, self._total)
        for key, head in log.chains.sealed.items():
            if self._plan.selection.entered(*key) and replay.chains.head(key).rev < head.rev:
                replay.chains.sealed[key] = head
        replay.finish()
        self._charge(replay, run.clock.monotonic() - before)
        for problem in [*compare_accounts(core, replay), *self._unlike_plan(replay)]:
            raise Damaged(f"the new core is not what was planned: {problem}")
        return replay

    def _charge(self, replay: Replay, seconds: float) -> None:
        total = sum(replay.changes.values())
        for kind, count in replay.changes.items():
            self._run.seconds[kind] += seconds * count / total if total else 0.0

    def _unlike_plan(self, replay: Replay) -> list[str]:
        """Streams that are not where the plan said, or hold something else there."""
        found = []
        for stream in self._plan.streams:
            key = (stream.account, stream.kind)
            if not self._plan.selection.entered(*key) or stream.account in replay.erased:
                continue
            head = replay.chains.head(key)
            who = _who(stream.name, stream.kind)
            if head.rev < stream.head.rev or (head.rev == stream.head.rev and head != stream.head):
                found.append(f"{who}: it ends at rev {head.rev}, and not at rev {stream.head.rev} as planned")
            elif head == stream.head:
                missing = tuple(replay.chains.missing(key))
                if not _within(missing, stream.missing):
                    found.append(f"{who}: revs are missing that the plan had")
                elif missing == stream.missing and replay.contents.stream(key).fingerprint() != stream.state:
                    found.append(f"{who}: the items are not those of the plan")
        return found

    def _kind(self, core: CoreStore, replay: Replay, kind: Kind) -> list[BlobLoss]:
        """One stage: rows against the journal, then the blobs of live items. Raises Damaged."""
        blobs: list[BlobItem] = []
        for problem in compare_kind(core, replay, kind, blobs.append):
            raise Damaged(f"the new core does not agree with its journal: {problem}")
        losses = []
        done, total = 0, sum(one.item.size for one in blobs)
        for one in blobs:
            if not restore(self._blobs, one.blob, one.item.size, one.item.digest):
                row = core.account_by_id(one.account)
                assert row is not None, "compare_kind has found the account"
                losses.append(loss_of(core, row.number, one, self._blobs))
            done += one.item.size
            self._run.progress(kind, done, total, "bytes")
        return losses

    # -- hold ------------------------------------------------------------------------------------------------

    def _hold(self, core: CoreStore, replay: Replay, accept_loss: bool) -> tuple[list[str], list[str]]:
        """Hold what must not be served; sentences about it, and about what was accepted."""
        notes: list[str] = []
        accepted: list[str] = []
        core.begin()
        if self._mark is not None:
            core.set_recovery_mark(self._mark)
        for stream in self._plan.streams:
            key = (stream.account, stream.kind)
            if not self._plan.selection.entered(*key) and stream.account not in replay.erased:
                core.hold(*key, NOT_YET)
        for key in list(replay.chains.streams()):
            missing = replay.chains.missing(key)
            account, kind = key
            if not missing:
                self._release(core, key)
            elif accept_loss:
                self._release(core, key)
                accepted.append(f"{_who(replay.name_of(account), kind)}: {_missing(kind, missing)}")
            else:
                core.hold(account, kind, _missing(kind, missing))
                notes.append(f"{_who(replay.name_of(account), kind)} is held: {_missing(kind, missing)}")
        core.commit()
        return notes, accepted

    @staticmethod
    def _release(core: CoreStore, key: StreamKey) -> None:
        row = core.account_by_id(key[0])
        if row is not None and core.held(row.number, key[1]) is not None:
            core.hold(*key, None)


def _resume_heads(core: CoreReads, log: Replay) -> None:
    """Where an earlier part of a killed run got to."""
    system = core.account_by_id(SYSTEM)
    for account in [*core.accounts(), *([system] if system is not None else [])]:
        for kind in Kind:
            head = core.head(account.number, kind)
            if head != EMPTY_HEAD:
                log.chains.heads[account.id, kind] = head


def _within(gaps: Sequence[Gap], planned: Sequence[Gap]) -> bool:
    return all(any(p.first <= gap.first and gap.last <= p.last for p in planned) for gap in gaps)


def _who(name: str, kind: Kind) -> str:
    return f"{name or 'the installation'}, {kind}"


def _missing(kind: Kind, gaps: Sequence[Gap]) -> str:
    """The reason for which a stream is held."""
    ranges = ", ".join(str(g.first) if g.revs == 1 else f"{g.first}–{g.last}" for g in gaps)
    return f"revisions {ranges} of {kind} are in no vault"
