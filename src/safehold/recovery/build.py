"""The building of a core, and what makes sure that it is what the vaults say.

Two ways in. A *new* core takes the streams of a generation whole, as rows for each table, and then the log after it
change by change. A core that is there, or a new one where no generation helps, takes the log change by change. Streams
that a find has a part in are put together by themselves, with all of the log, and enter whole.

What a new core was given has been verified on its way in, change by change, against hashes, chain, digests and seals,
and a replay has followed what lives (`Replay`). Then it is compared with that replay, from the file, opened anew:
heads, collections and items row by row, the root of every stream whose root the generation states, and sums over the
journal, which read every page of it and so verify every page's checksum. A core that was there before, or that an
earlier run began, has its journal walked as well: what that holds this run has not seen go in.

Long, as what goes in and what it is compared with stand side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import EMPTY_HEAD, Base, Head
from safehold.ports.blobs import Blobs
from safehold.ports.core import EMPTY_LOG, NOT_YET, UNARCHIVED, CoreReads, CoreStore, StreamMaker
from safehold.ports.log import Hole, LogReader
from safehold.ports.world import Clock
from safehold.recovery.anew import KEY, hold_installation, lacks_key
from safehold.recovery.blobs import loss_of, restore
from safehold.recovery.chains import Gap, StreamKey
from safehold.recovery.contents import SettledState
from safehold.recovery.find import Find
from safehold.recovery.glance import NotAsGlanced
from safehold.recovery.mending import Mended, Mender, Piece
from safehold.recovery.origin import Origin, divide, feed, finish, ignore
from safehold.recovery.plan import Plan, share_seconds
from safehold.recovery.portions import Wanted, portions
from safehold.recovery.reconcile import core_root
from safehold.recovery.replay import Entered, Replay
from safehold.recovery.report import Progress, Report, Stage
from safehold.recovery.selection import SYSTEM
from safehold.recovery.shares import NOTHING_FOUND, Helpers, Shares
from safehold.recovery.tally import BlobLoss, make_tally
from safehold.recovery.verify import compare_accounts, compare_journal, compare_kind, walk_journal
from safehold.recovery.witness import CoreWitness
from safehold.vault.runs import Runs, StreamEntry, stream_order

#: Changes per transaction: a commit syncs what they weigh, and a kill costs at most so many changes.
BATCH_CHANGES = 25_000
#: Rows of the journal that are put in at a time.
ROWS = 500


class Accepted(NamedTuple):
    """A stream of which somebody took the loss on them."""

    account: bytes
    kind: Kind
    name: str  # of the account
    why: str

    def __str__(self) -> str:
        return f"{_who(self.name, self.kind)}: {self.why}"


class Built:
    """What came of it: a report, what was accepted, and what deserves a sentence."""

    def __init__(self, report: Report, accepted: list[Accepted], notes: list[str]) -> None:
        self.report = report
        self.accepted = accepted
        self.notes = notes


class Build:
    """Builds one core and verifies it. `seconds` by kind grow meanwhile."""

    def __init__(
        self,
        plan: Plan,
        reader: LogReader,
        runs: Runs | None,
        make_core: Callable[[str], CoreStore],
        blobs: Blobs,
        witness: CoreWitness | None,
        mark: str | None,
        helpers: Helpers | None,
        clock: Clock,
        progress: Progress,
        seconds: dict[Kind, float],
        find: Find | None = None,
    ) -> None:
        """`mark` names this recovery in a core that it puts into place: clients compare it with what they remember.

        `helpers` verify streams, and compare them in the end, in other processes; None does it in this one.
        """
        self._plan = plan
        self._reader = reader
        self._runs = runs
        self._make_core = make_core
        self._blobs = blobs
        self._witness = witness
        self._mark = mark
        self._helpers = helpers
        self._clock = clock
        self._progress = progress
        self._seconds = seconds
        self._find = find
        #: Streams that a find has a part in: put together by themselves, with all of the log.
        self._joined = frozenset(plan.joined)
        self._total = sum(stream.head.rev for stream in plan.streams)
        self._stated: dict[StreamKey, tuple[Head, bytes]] = {}  # state roots that the generation states, and where
        self._shares: Shares | None = None  # of the last comparison, as far as others make it
        self._done = self._pending = 0
        self._watch = 0.0
        self.carried = b""  # what an earlier recovery has said of the log's end, and still holds
        self.may_found = False  # whether a key of the installation that is not here is in no source (anew.py)

    def whole(self, folder: str, accept_loss: bool, *, new: bool) -> Built:
        """Enter, verify, fetch blobs and hold; the core is closed and on disk afterwards."""
        log, fresh = self._enter(folder, new)
        core = self._make_core(folder)
        try:
            if not new or not (fresh or self._reads_all):
                return self._check(core, self._journal(core, log), log, accept_loss, proved=False)
            for key in list(log.chains.streams()):
                if not self._plan.selection.entered(*key):
                    log.forget_stream(key)
            if self._helpers is not None:
                self._shares = Shares(self._helpers, folder, log, core.next_journal() - 1)
            self._require_entered(core, log, fresh)
            return self._check(core, log, log, accept_loss, proved=True)
        finally:
            core.close()

    @property
    def _reads_all(self) -> bool:
        """Whether everything is read, whatever an earlier part of a killed run entered."""
        return bool(self._plan.generation or self._joined)

    # -- enter -----------------------------------------------------------------------------------------------

    def _enter(self, folder: str, new: bool) -> tuple[Replay, bool]:
        """The replay of what was read, and whether the core was empty before."""
        core = self._make_core(folder)
        try:
            if new:
                core.bulk(True)
            fresh = core.next_journal() == 1 and core.log_position() == EMPTY_LOG
            log = Replay(self._plan.erased, self._witness, track=new)
            if not new or not self._reads_all:
                _resume_heads(core, log)
                self._read_log(core, log, None)
            else:
                plan = self._plan
                seals = bool(plan.damaged)
                origin = Origin(self._reader, self._runs, number=plan.generation, older=plan.older, seals=seals)
                if origin.generation is None and plan.generation:
                    raise OperatorError(
                        f"generation {self._plan.generation}, which the plan begins with, is in no vault any more",
                        hint="make a new plan with `safehold recover plan` and look at it",
                    )
                if origin.generation is not None:
                    self._read_generation(core, log, origin)
                self._join(core, log, origin)
                self._read_log(core, log, origin)
            self._drop_erased(core, log)
            if new:
                core.bulk(False)
        finally:
            core.close()
        return log, fresh

    # -- from a generation

    def _read_generation(self, core: CoreStore, log: Replay, origin: Origin) -> None:
        """Every stream is fed to the replay; what an earlier part of a killed run entered is not entered again.

        First the identities, which tell who was erased; then what can be settled by itself; the rest one by one.
        """
        mender = self._mender(origin)
        mended = {one.key: one for one in mender.streams()} if mender is not None else {}
        core.begin()
        self._pending = 0
        self._watch = self._clock.monotonic()
        chosen = []
        for entry in origin.streams():
            if entry.key in self._joined:
                continue
            if self._plan.selection.entered(*entry.key):
                chosen.append(entry)
            else:
                log.chains.heads[entry.key] = entry.head
        identities, rest = divide(chosen)
        for entry in identities:
            self._one(core, log, origin, entry, mended.pop(entry.key, None))
        rest = [entry for entry in rest if entry.account not in log.erased]
        settled = self._settle(core, log, origin, [entry for entry in rest if entry.key not in mended])
        for entry in rest:
            if entry.key not in settled:
                self._one(core, log, origin, entry, mended.pop(entry.key, None))
        for one in mended.values():  # of which the generation says nothing any more
            if one.key not in self._joined and self._plan.selection.entered(*one.key) and one.key[0] not in log.erased:
                self._entered(core, one.key[1], self._enter_mended(core, log, one))
        if core.log_position().frame < origin.position.frame:
            core.set_log_position(origin.position)
        core.commit()
        self._done += self._pending

    def _settle(self, core: CoreStore, log: Replay, origin: Origin, entries: Sequence[StreamEntry]) -> set[StreamKey]:
        """Enter the streams that are whole and do not go on; which those were."""
        touched = origin.touched()
        number = core.next_journal()
        wanted = []
        for entry in entries:
            if entry.key in touched:
                continue
            account = core.account_number(entry.account)
            witnessed = origin.stated.get(entry.key)
            if core.head(account, entry.kind) != EMPTY_HEAD:
                wanted.append((entry, Wanted(entry.key, witnessed=witnessed)))
            else:
                wanted.append((entry, Wanted(entry.key, account, number, witnessed)))
                number += entry.changes
        jobs = portions(origin.number, wanted)
        done: set[StreamKey] = set()
        settling = self._helpers or origin.settling(core.stream_maker)
        for job, answers in zip(jobs, settling.run(jobs), strict=True):
            for one, settled in zip(job.streams, answers, strict=True):
                if settled is None:
                    continue
                if settled.rows:
                    core.enter_packed(settled.rows)
                log.settle(one.key, settled)
                done.add(one.key)
                self._entered(core, one.key[1], settled.changes if settled.rows else 0)
        return done

    def _one(self, core: CoreStore, log: Replay, origin: Origin, entry: StreamEntry, mended: Mended | None) -> None:
        if entry.account in log.erased:
            return
        if mended is not None:
            count = self._enter_mended(core, log, mended)
        else:
            count = self._enter_stream(core, log, entry.key, origin.base_of(entry), origin.pieces(entry))
            finish(log, entry)
            if not log.chains.whole(entry.key) or origin.behind(entry):
                self._require_plan(entry.key)
            elif entry.root:
                self._stated[entry.key] = entry.head, entry.root
        self._entered(core, entry.kind, count)

    def _entered(self, core: CoreStore, kind: Kind, count: int) -> None:
        """So many changes of a kind are in the open transaction."""
        self._pending = self._commit_some(core, self._pending + count)
        now = self._clock.monotonic()
        self._seconds[kind] += now - self._watch
        self._watch = now

    def _mender(self, origin: Origin) -> Mender | None:
        return origin.mender(self._plan.damaged, self._witness) if self._plan.damaged else None

    def _commit_some(self, core: CoreStore, pending: int) -> int:
        if pending < BATCH_CHANGES:
            return pending
        core.commit()
        self._done += pending
        self._progress("enter", self._done, max(self._total, self._done), "changes")
        core.begin()
        return 0

    def _enter_mended(self, core: CoreStore, log: Replay, mended: Mended) -> int:
        count = self._enter_stream(core, log, mended.key, mended.base, mended.pieces)
        log.end(mended.key, mended.head, mended.short)
        return count

    def _enter_stream(
        self, core: CoreStore, log: Replay, key: StreamKey, base: Base | None, pieces: Iterable[Piece]
    ) -> int:
        """One stream, whole, within the open transaction; how many changes were entered."""
        row = core.account_by_id(key[0])
        if row is not None and core.head(row.number, key[1]) != EMPTY_HEAD:
            feed(log, key, base, pieces, ignore)
            return 0
        # An account of which nothing is entered is none: it is not made before there is something.
        maker: StreamMaker | None = None
        first = core.next_journal()

        def make() -> StreamMaker:
            return core.stream_maker(core.account_number(key[0]), key[1], base, first)

        def enter(frame: int, one: Entered) -> None:
            nonlocal maker
            maker = maker or make()
            maker.add(one.change, frame, one.after_gap)
            if maker.waiting >= ROWS:
                core.enter_journal(maker.take())

        feed(log, key, base, pieces, enter)
        if maker is None and base is None:
            return 0
        maker = maker or make()
        core.enter_journal(maker.take())
        core.enter_stream(maker.finish())
        return maker.next_journal - first

    # -- with a find

    def _join(self, core: CoreStore, log: Replay, origin: Origin) -> None:
        """Streams that a find has a part in, one by one; identities, which tell who was erased, come first."""
        if not self._joined:
            return
        assert self._find is not None, "the plan was made with a salvage"
        heads = {(account, kind): head for account, kind, head in self._plan.core_heads}
        keys = sorted(self._joined, key=stream_order)
        for key in keys:
            log.forget_stream(key)
        joiner = origin.joiner(keys, self._find, self._witness, heads)
        core.begin()
        self._pending = 0
        self._watch = self._clock.monotonic()
        for key in keys:
            if key[0] in log.erased:
                continue
            mended = joiner.stream(key)
            if self._plan.selection.entered(*key):
                self._entered(core, key[1], self._enter_mended(core, log, mended))
            else:
                log.chains.heads[key] = mended.head
        core.commit()
        self._done += self._pending

    # -- from the log

    def _read_log(self, core: CoreStore, log: Replay, origin: Origin | None) -> None:
        """The log after a generation; where there is none, from the core's position on.

        What the core has already is fed to the replay in the first case; in the other, what is before the plan's end is
        read for its seals alone.
        """
        position = core.log_position()
        end = position
        pending = 0
        start = min(position, self._plan.end, key=lambda p: p.frame)
        core.begin()
        before = self._clock.monotonic()
        for entry in self._reader.entries(start) if origin is None else origin.tail():
            if isinstance(entry, Hole):
                continue
            new = entry.position.frame > position.frame
            if new or origin is not None:
                for change in entry.changes:
                    if (change.account, change.kind) in self._joined:
                        continue
                    entered = log.feed(change)
                    pending += self._apply(core, entered, entry.position.frame) if new else 0
            if new:
                end = entry.position
                if pending >= BATCH_CHANGES:
                    core.set_log_position(end)
                    pending = self._commit_some(core, pending)
            if entry.sealed:
                log.seal({key: head for key, head in entry.heads.items() if key not in self._joined})
            now = self._clock.monotonic()
            share_seconds(entry, now - before, self._seconds)
            before = now
        self._planned_seals(log)
        if self._plan.glanced and (log.chains.refused or not all(map(log.chains.whole, log.chains.streams()))):
            self._require_plan(None)
        last = [one for one in log.finish() if not _has(core, one)]  # what only the old core had
        pending += self._apply(core, last, UNARCHIVED)
        core.set_log_position(end)
        core.commit()
        self._done += pending
        self._progress("enter", self._done, max(self._total, self._done), "changes")

    def _require_plan(self, key: StreamKey | None) -> None:
        """Nothing that is not whole is entered for a glance's sake. Raises NotAsGlanced."""
        if self._plan.glanced:
            where = "the log" if key is None else f"{key[1]} of account {key[0].hex()}"
            raise NotAsGlanced(
                f"{where} is not whole", hint="make a plan that reads everything: `safehold recover plan`"
            )

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

    def _check(self, core: CoreStore, replay: Replay, log: Replay, accept_loss: bool, *, proved: bool) -> Built:
        """Compare with `replay`; `log` is what was read, which is the same where it was `proved` on its way in."""
        plan = self._plan
        before = self._clock.monotonic()
        for problem in [*compare_accounts(core, replay), *self._unlike_plan(core, replay)]:
            raise Damaged(f"the new core is not what was planned: {problem}")
        self._charge(replay, self._clock.monotonic() - before)
        lost_blobs: list[BlobLoss] = []
        changes, done = replay.changes, 0
        total = sum(changes.values())
        for kind in RESTORE_ORDER:
            self._progress("verify", done, total, "changes")
            before = self._clock.monotonic()
            lost_blobs += self._kind(core, replay, kind, proved=proved)
            self._seconds[kind] += self._clock.monotonic() - before
            done += changes.get(kind, 0)
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
                Stage(kind, tally.items[kind].exact + tally.items[kind].older, self._seconds[kind])
                for kind in RESTORE_ORDER
            ],
            first_contact_seconds=0.0,
            seconds=0.0,
            verified=plan.report.verified and not log.chains.refused,
            timeline=0,
            not_exact=tally.not_exact,
        )
        return Built(report, accepted, notes + log.chains.problems)

    def _require_entered(self, core: CoreStore, log: Replay, fresh: bool) -> None:
        """Compare the replay that saw everything go in with the journal's sums. Raises Damaged."""
        sums = core.journal_sums() if self._shares is None else self._shares.sums()
        for problem in compare_journal(sums, log):
            raise Damaged(f"the new core does not hold what was entered: {problem}")
        if not fresh:
            walked = Replay(log.erased, bases=core.bases(), track=False)
            walk_journal(core, walked, self._progress, self._total)
            for key, head in log.chains.heads.items():
                if walked.chains.head(key) != head:
                    raise Damaged(f"{_who(log.name_of(key[0]), key[1])}: what an earlier run entered is not whole")

    def _journal(self, core: CoreStore, log: Replay) -> Replay:
        """The core's own journal, walked. Raises Damaged."""
        replay = Replay(log.erased, bases=core.bases())
        walk_journal(core, replay, self._progress, self._total)
        for key, head in log.chains.sealed.items():
            if self._plan.selection.entered(*key) and replay.chains.head(key).rev < head.rev:
                replay.chains.sealed[key] = head
        replay.finish()
        return replay

    def _followed_for_the_find(self, replay: Replay, key: StreamKey) -> bool:
        """Whether a plan has followed a stream that is settled here, to see what a find has of it.

        What it then says of the stream's end is of the other sort; the same head without a gap is the same history.
        """
        return self._find is not None and isinstance(replay.contents.end(key), SettledState)

    def _charge(self, replay: Replay, seconds: float) -> None:
        changes = replay.changes
        total = sum(changes.values())
        for kind, count in changes.items():
            self._seconds[kind] += seconds * count / total if total else 0.0

    def _unlike_plan(self, core: CoreReads, replay: Replay) -> list[str]:
        """Streams that are not where the plan said, or hold something else there.

        A stream that the plan has settled is known by its state root; a journal that is walked tells no names.
        """
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
                elif (
                    missing == stream.missing
                    and not self._plan.glanced
                    and replay.contents.end(key).fingerprint() != stream.state
                    and not self._followed_for_the_find(replay, key)
                    and _root_of(core, key) != stream.state
                ):
                    found.append(f"{who}: the items are not those of the plan")
        return found

    def _kind(self, core: CoreStore, replay: Replay, kind: Kind, *, proved: bool) -> list[BlobLoss]:
        """One stage: rows against the replay, then the blobs of live items. Raises Damaged.

        Bodies that were `proved` on their way in are not read again, but for the sums over all of them.
        """
        found = self._shares.kind(kind) if self._shares is not None else NOTHING_FOUND
        blobs = list(found.blobs)
        problems = compare_kind(
            core,
            replay,
            kind,
            blobs.append,
            bodies=not proved,
            roots=self._roots_at(replay),
            settled=self._shares is None,
        )
        for problem in (*found.problems, *problems):
            raise Damaged(f"the new core does not agree with its journal: {problem}")
        losses = []
        done, total = 0, sum(one.item.size for one in blobs)
        for one in blobs:
            if not restore(self._blobs, one.blob, one.item.size, one.item.digest):
                row = core.account_by_id(one.account)
                assert row is not None, "compare_kind has found the account"
                losses.append(loss_of(core, row.number, one, self._blobs))
            done += one.item.size
            self._progress(kind, done, total, "bytes")
        return losses

    def _roots_at(self, replay: Replay) -> dict[StreamKey, bytes]:
        """Roots that a generation states of streams that have not gone on since."""
        return {key: root for key, (head, root) in self._stated.items() if replay.chains.head(key) == head}

    # -- hold ------------------------------------------------------------------------------------------------

    def _hold(self, core: CoreStore, replay: Replay, accept_loss: bool) -> tuple[list[str], list[Accepted]]:
        """Hold what must not be served; sentences about it, and about what was accepted."""
        notes: list[str] = []
        accepted: list[Accepted] = []
        core.begin()
        if self._mark is not None:
            core.set_recovery_mark(self._mark)
        core.set_end_in_doubt(b"" if accept_loss else self._doubt())
        for stream in self._plan.streams:
            key = (stream.account, stream.kind)
            if not self._plan.selection.entered(*key) and stream.account not in replay.erased:
                core.hold(*key, NOT_YET)
        lost = lacks_key(core)
        if lost:
            may_found = self.may_found or accept_loss
            why, now = missing_words(replay, KEY), self._clock.now()
            notes.append(hold_installation(core, why, now, may_found=may_found, in_doubt=not accept_loss))
        for key in list(replay.chains.streams()):
            account, kind = key
            why = missing_words(replay, key)
            if lost and key == KEY:
                continue
            if not why:
                self._release(core, key)
            elif accept_loss:
                self._release(core, key)
                accepted.append(Accepted(account, kind, replay.name_of(account), why))
            else:
                core.hold(account, kind, why)
                notes.append(f"{_who(replay.name_of(account), kind)} is held: {why}")
        core.commit()
        return notes, accepted

    def _doubt(self) -> bytes:
        """What is to be said of the log's end: that it could not be read, or what stays of an earlier doubt."""
        unknown = self._plan.report.unknown_seconds
        if not unknown:
            return self.carried
        now = self._clock.now()
        return encode_doubt(Doubt(now, unknown, self._mark or f"{now:x}"))

    @staticmethod
    def _release(core: CoreStore, key: StreamKey) -> None:
        """Where writes wait in the account's intake, held for these: it may be read before a writer opens (I60)."""
        row = core.account_by_id(key[0])
        if row is not None and (core.held(row.number, key[1]) is not None or core.intake(row.number).items):
            core.hold(*key, None)


def _resume_heads(core: CoreReads, log: Replay) -> None:
    """Where an earlier part of a killed run got to."""
    system = core.account_by_id(SYSTEM)
    for account in [*core.accounts(), *([system] if system is not None else [])]:
        for kind in Kind:
            head = core.head(account.number, kind)
            if head != EMPTY_HEAD:
                log.chains.heads[account.id, kind] = head


def _has(core: CoreReads, one: Entered) -> bool:
    """Whether an earlier part of a killed run entered it."""
    row = core.account_by_id(one.change.account)
    return row is not None and core.head(row.number, one.change.kind).rev >= one.change.rev


def _within(gaps: Sequence[Gap], planned: Sequence[Gap]) -> bool:
    return all(any(p.first <= gap.first and gap.last <= p.last for p in planned) for gap in gaps)


def _root_of(core: CoreReads, key: StreamKey) -> bytes:
    account = core.account_by_id(key[0])
    return b"" if account is None else core_root(core, account.number, key[1])


def _who(name: str, kind: Kind) -> str:
    return f"{name or 'the installation'}, {kind}"


def missing_words(replay: Replay, key: StreamKey) -> str:
    """The reason for which a stream is held; "" where nothing of it is missing."""
    why = gap_words(key[1], replay.chains.missing(key))
    short = replay.chains.short.get(key, 0)
    if not short:
        return why
    lost = f"{short} of the changes of {key[1]} that stand for dropped history are in no vault"
    return f"{why}; {lost}" if why else lost


def gap_words(kind: Kind, gaps: Sequence[Gap]) -> str:
    """Which revisions are missing; "" where none are."""
    ranges = ", ".join(str(g.first) if g.revs == 1 else f"{g.first}–{g.last}" for g in gaps)
    return f"revisions {ranges} of {kind} are in no vault" if gaps else ""
