"""The writer: many commands, one transaction, one frame, written ahead.

    prepare    begin; judge and apply each command; encode, encrypt and sign one frame        (CPU)
    finish     append the frame to every sync vault and sync it; commit the core              (disk)

Invariants (docs/invariants.md):

- I1  a command is answered only after its frame is synced in every sync vault and the core has committed;
- I2  the frame is written inside the open transaction, so nothing is readable before it is vaulted;
- I3  the core's log position is committed with the changes of that frame;
- I4  if anything is uncertain after the append began (a failed sync, a failed commit), the writer stops. It goes
      on only with a core and a log opened anew, after the vault's tail has been taken in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from safehold.model.change import Change, Op
from safehold.model.commands import AnyCommand, ApplyIntake, Outcome, TellRest
from safehold.model.errors import Damaged, Held, OperatorError, OutOfSpace, RequestError, SafeholdError
from safehold.model.histogram import DISK_SECONDS, Histogram
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import INTAKE, CoreStore
from safehold.ports.log import LogWriter, PreparedFrame, Superseded
from safehold.ports.vault import VaultDown, VaultFull
from safehold.ports.world import Clock, Entropy
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits
from safehold.service.erasing import due_erasures
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.service.intake import held_for_intake, release
from safehold.service.judge import Judge
from safehold.service.ledger import Ledger
from safehold.service.locks import LockTable

_log = logging.getLogger("safehold.engine")

#: Where what waits in the intake cannot be applied, it is tried again after so long.
DRAIN_RETRY_SECONDS = 30.0
#: Accounts whose intakes are entered in one turn of the writer. The streams of the others stay held meanwhile.
DRAIN_ACCOUNTS = 64

Result = Outcome | SafeholdError


class Batch:
    """The commands of one transaction on their way: results are final once `finish` has returned."""

    __slots__ = ("at", "changes", "commands", "frame", "results", "sure")

    def __init__(self, commands: Sequence[AnyCommand]) -> None:
        self.commands = commands
        self.results: list[Result] = []
        #: So many results at the beginning rest on what is committed, and on no change of this batch.
        self.sure = 0
        self.changes: list[Change] = []
        self.frame: PreparedFrame | None = None
        self.at = 0

    def fail(self, error: SafeholdError) -> None:
        """Nothing of this batch happened, or nobody can say: every command gets this answer.

        So does a refusal that rests on a change of this batch: a 404 because of a delete that did not happen, a 412
        whose body was to be kept in the history.
        """
        self.results = [r if isinstance(r, RequestError) else error for r in self.results[: self.sure]]
        self.results += [error] * (len(self.commands) - len(self.results))
        self.frame = None


class Engine:
    """Owns the core's writing connection and the end of the log."""

    def __init__(
        self,
        clock: Clock,
        entropy: Entropy,
        *,
        reopen: Callable[[], tuple[CoreStore, LogWriter]],
        on_committed: Callable[[Sequence[Change]], None] = lambda _: None,
        quota_bytes: int = 0,
        brakes: BrakeLimits = DEFAULT_BRAKES,
    ) -> None:
        """`reopen` gives a core and a log with the tail taken in; it is first called by `try_resume`.

        `quota_bytes` is what one account may hold, 0 for no limit.
        """
        self._clock = clock
        self._entropy = entropy
        self._reopen = reopen
        self._on_committed = on_committed
        self._quota_bytes = quota_bytes
        self._drain_later: dict[bytes, float] = {}  # accounts whose intakes could not be applied, and until when
        self._brakes = brakes
        #: Told of each frame that was committed: the seconds of writing it into the sync vaults, and of the commit.
        self.on_timed: Callable[[float, float], None] = lambda _write, _commit: None
        #: Why the last frame was not taken by a sync vault; None once one is.
        self.refusal: SafeholdError | None = None
        self._doubtful: list[Change] = []  # of batches at which the writer stopped
        #: Outlives core and log: a device whose lock was forgotten would be surprised by another's write.
        self.locks = LockTable()
        #: How long group commits took in the sync vaults, and then in the core.
        self.append_seconds, self.commit_seconds = Histogram(DISK_SECONDS), Histogram(DISK_SECONDS)
        #: Why nothing is accepted now; None while running.
        self.stopped: SafeholdError | None = OperatorError("the writer has not been opened yet")

    def _attach(self, core: CoreStore, log: LogWriter) -> None:
        self.core, self.log = core, log
        self._ledger = Ledger(core, log.timeline)
        self._judge = Judge(self._ledger, self._entropy, self.locks, self._quota_bytes, self._brakes)
        self.stopped = None

    # -- the way of a write ----------------------------------------------------------------------------------

    def execute(self, command: AnyCommand) -> Outcome:
        """One command in a transaction of its own. Raises what the command's answer is, if an error."""
        result = self.execute_all([command])[0]
        if isinstance(result, SafeholdError):
            raise result
        return result

    def execute_all(self, commands: Sequence[AnyCommand]) -> list[Result]:
        """Several commands in one transaction; one that is refused does not hinder the others."""
        batch = self.prepare(commands)
        self.finish(batch)
        return batch.results

    def prepare(self, commands: Sequence[AnyCommand]) -> Batch:
        """Judge and apply inside a transaction that stays open until `finish`."""
        batch = Batch(commands)
        if self.stopped is not None:
            kind = OutOfSpace if isinstance(self.stopped, OutOfSpace) else Held
            batch.fail(kind(f"no change can be taken now: {self.stopped.message}", hint=self.stopped.hint))
            return batch
        skip: dict[int, SafeholdError] = {}
        while culprit := self._try_prepare(batch, skip):
            index, answer = culprit
            skip[index] = answer
        return batch

    def _try_prepare(self, batch: Batch, skip: dict[int, SafeholdError]) -> tuple[int, SafeholdError] | None:
        """One attempt; the command that has to be left out of the next one and its answer, or None when done."""
        self._begin(batch)
        judged: int | None = None
        try:
            self.core.begin()
            for index, command in enumerate(batch.commands):
                before = len(self._ledger.changes)
                if index not in skip:
                    judged = index
                result = skip.get(index) or self._judge_one(command)
                judged = None
                if isinstance(result, SafeholdError) and self._half_done(before):
                    self._roll_back()
                    return index, result
                batch.results.append(result)
                if not self._ledger.changes and not self.locks.changed:
                    batch.sure = index + 1
            if self._ledger.changes:
                batch.changes = self._ledger.changes
                batch.frame = self.log.prepare(batch.changes)
                self.core.set_log_position(batch.frame.position)
            else:
                self.core.rollback()
                self.locks.commit()
        except (OutOfSpace, OperatorError, Damaged) as error:
            self._roll_back()
            batch.fail(error if isinstance(error, Held) else Held(error.message, hint=error.hint))
        except Exception:
            answer = Held("this change could not be taken", hint="try again; the server's log says more")
            self._roll_back()
            if judged is not None:
                _log.exception("a %s failed and is left out", type(batch.commands[judged]).__name__)
                return judged, answer
            _log.exception("a batch of %d commands failed", len(batch.commands))
            batch.fail(answer)
        return None

    def _half_done(self, before: int) -> bool:
        """Whether a command that was refused has left more than the record of its refusal."""
        return any(change.op is not Op.REFUSED for change in self._ledger.changes[before:])

    def _begin(self, batch: Batch) -> None:
        batch.results = []
        batch.sure = 0
        batch.at = self._clock.now()
        self.locks.begin(self._clock.monotonic())
        self._ledger.begin(self.log.position.frame + 1, batch.at)
        self._judge.brakes.begin()

    def _judge_one(self, command: AnyCommand) -> Result:
        """The outcome, or the refusal. A refusal may have left a REFUSED change: that is part of the transaction."""
        try:
            return self._judge.judge(command)
        except RequestError as refusal:
            return refusal
        except OutOfSpace:
            raise
        except Held as held:
            return held

    def finish(self, batch: Batch) -> None:
        """Write ahead, then commit. Afterwards `batch.results` are the answers."""
        frame = batch.frame
        if frame is None:
            return
        began = self._clock.monotonic()
        try:
            self.log.write(frame)
        except (VaultDown, VaultFull) as error:
            self.refusal = error
            self._roll_back()
            kind = OutOfSpace if isinstance(error, VaultFull) else Held
            batch.fail(kind(error.message, hint=error.hint))
            return
        except Exception as error:
            self._roll_back()
            self._stop(batch, error)
            return
        self.refusal = None
        written = self._clock.monotonic()
        try:
            self.core.commit()
        except Exception as error:
            self._roll_back()
            self._stop(batch, error)
            return
        self.locks.commit()
        write, commit = written - began, self._clock.monotonic() - written
        self.append_seconds.add(write)
        self.commit_seconds.add(commit)
        self.on_timed(write, commit)
        self._tell(batch.changes)

    def _tell(self, changes: Sequence[Change]) -> None:
        try:
            self._on_committed(changes)
        except Exception:
            _log.exception("something that was to be told of a commit failed; the commit stands")

    def _roll_back(self) -> None:
        """Where even that fails the transaction may still be open: nothing goes on with this core."""
        self._ledger.forget()
        self._judge.brakes.forget()
        self.locks.rollback()
        try:
            self.core.rollback()
        except Exception as error:
            _log.exception("the core's rollback failed")
            self.stopped = _as_reason(error)

    def _stop(self, batch: Batch, error: BaseException) -> None:
        """I4: what became of this batch is known only after the tail has been taken in."""
        _log.error("the writer stops: %s", error)
        self._doubtful += batch.changes
        reason = self.stopped = _as_reason(error)
        full = isinstance(reason, OutOfSpace)
        batch.fail((OutOfSpace if full else Held)(reason.message, hint=reason.hint))

    # -- the intake ------------------------------------------------------------------------------------------

    def drain_intake(self, account: bytes, kind: Kind) -> None:
        """Apply what waits for a stream that is here now, and release it (I60). Between batches.

        Where that fails the stream stays held, and `drain_intakes` tries again.
        """
        row = self.core.account_by_id(account) if self.stopped is None else None
        if row is not None and self.core.held(row.number, kind) == INTAKE:
            self._apply_intake(row)

    def drain_intakes(self) -> None:
        """The same for streams of some accounts that only wait for their intake; at each start, and each second."""
        if self.stopped is not None:
            return
        now = self._clock.monotonic()
        later = self._drain_later = {id_: at for id_, at in self._drain_later.items() if at > now}
        found = self.core.entering(DRAIN_ACCOUNTS + len(later))
        for account in [id_ for id_ in found if id_ not in later]:
            if not self._apply_intake(self._ledger.account(account)):
                # Where it is for a reason of its own, the others come with the next call; it may be the vault's.
                later[account] = now + DRAIN_RETRY_SECONDS
                return

    def _apply_intake(self, account: Account) -> bool:
        """Portion by portion. False where it could not be done."""
        while self.stopped is None:
            result = self.execute_all([ApplyIntake(account=account.id, actor="intake")])[0]
            if isinstance(result, SafeholdError):
                _log.warning("what waits in the intake cannot be applied now: %s", result.message)
                return False
            if not result.changed:
                if held_for_intake(self.core, account):
                    self._beside_the_log(partial(release, self.core, account))
                return self.stopped is None
        return False

    def _hold_for_intake(self) -> None:
        """A core that a recovery made has intakes, and no stream that is held for one yet (I60)."""
        accounts = [self._ledger.account(id_) for id_, waiting in self.core.intakes().items() if waiting.items]
        whole = [(a.id, kind) for a in accounts for kind in DATA_KINDS if self.core.held(a.number, kind) is None]

        def hold() -> None:
            for id_, kind in whole:
                self.core.hold(id_, kind, INTAKE)

        if whole:
            self._beside_the_log(hold)

    def _beside_the_log(self, work: Callable[[], None]) -> None:
        """A transaction of the core that no frame belongs to. Where it fails the writer stops."""
        try:
            self.core.begin()
            work()
            self.core.commit()
        except Exception as error:
            self._roll_back()
            self.stopped = _as_reason(error)

    # -- seals, and going on ---------------------------------------------------------------------------------

    def seal(self) -> None:
        """Seal what was written since the last seal. Called between batches."""
        if self.stopped is not None:
            return
        before = self.log.position
        try:
            self.log.seal()
        except (VaultDown, VaultFull) as error:
            _log.warning("no seal could be written: %s", error.message)
            return
        except Exception as error:
            _log.exception("the writer stops: a seal failed")
            self.stopped = _as_reason(error)
            return
        if self.log.position != before:
            self._remember_position()

    def _remember_position(self) -> None:
        """The core's position follows a seal with the next commit; here at once, so that a start reads less."""
        self._beside_the_log(partial(self.core.set_log_position, self.log.position))

    def tend(self) -> None:
        """What is to be done without being asked: called between batches, every minute or so."""
        if self.stopped is not None:
            return
        now = self._clock.now()
        commands: list[AnyCommand] = [*due_erasures(self.core, now)]
        if self._judge.brakes.overdue(now):
            commands.append(TellRest(account=SYSTEM_ACCOUNT, actor="service"))
        for command, result in zip(commands, self.execute_all(commands) if commands else (), strict=True):
            if isinstance(result, SafeholdError):
                _log.error("%s could not be done: %s", type(command).__name__, result.message)

    def pause(self, reason: SafeholdError) -> None:
        """Take nothing until `try_resume`. Called between batches."""
        self.stopped = reason

    def try_resume(self) -> bool:
        """With a core and a log opened anew, go on; False while that is not possible. Superseded is for ever."""
        if self.stopped is None:
            return True
        if isinstance(self.stopped, Superseded):
            return False
        try:
            core, log = self._reopen()
        except SafeholdError as error:
            self.stopped = error
            return False
        self._attach(core, log)
        self._drain_later.clear()
        self._hold_for_intake()
        self.drain_intakes()
        doubtful, self._doubtful = self._doubtful, []
        if doubtful:  # they may well have happened
            self._tell(doubtful)
        _log.info("writing in timeline %d", log.timeline)
        return self.stopped is None


def _as_reason(error: BaseException) -> SafeholdError:
    return error if isinstance(error, SafeholdError) else OperatorError(str(error) or type(error).__name__)
