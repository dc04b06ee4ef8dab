"""The writing side of an installation, opened in the one order that is safe.

1. open the core; 2. claim the next timeline in every vault; 3. read the log's tail and take it in; 4. start the log.
Only then is anything accepted (law 1).

Long, as all that one writer opens, and in which order, has to be seen together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from safehold.archiver.log import Log, LogVault, Mode, Written
from safehold.archiver.shipped import Book, Excused
from safehold.archiver.shipper import Shipper
from safehold.assembly.mode_record import modes_now, recorded_modes
from safehold.config import VaultConfig
from safehold.formats import keys, travelling
from safehold.formats.blob import blob_object
from safehold.formats.doubt import Doubt
from safehold.formats.doubt import encode as encode_doubt
from safehold.formats.frame import BadRange
from safehold.formats.modes import MODES, encode_modes
from safehold.formats.seal import SealedObject
from safehold.formats.travelling import CONFIG, OLDER_IDENTITIES, ROOT_KEY
from safehold.model.change import Change
from safehold.model.commands import AcceptLoss, FoundInstallation, NoteDoubt, NoteInstallation
from safehold.model.errors import Damaged, Held, OperatorError, OutOfSpace, SafeholdError
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.model.private import Private
from safehold.model.stream import Head
from safehold.model.token import TOKEN_KEY
from safehold.ports.care import BodySource
from safehold.ports.core import EMPTY_LOG, NOT_YET, TO_FOUND, LogPosition
from safehold.ports.disk import Disk
from safehold.ports.log import Hole, LogFrame
from safehold.ports.vault import Vault
from safehold.ports.world import Clock, Entropy
from safehold.recovery.excuses import EvidenceExcuses
from safehold.recovery.mended_ends import mended_ends
from safehold.recovery.unknown import at_end, unknown_seconds
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits
from safehold.service.engine import Engine
from safehold.service.identity import SYSTEM_ACCOUNT, touches_credentials
from safehold.service.takein import archive_unarchived, changes_in, mark_frames, mark_unarchived, take_in
from safehold.store.blobs import LiveBlobs
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.blobs import VaultBlobs
from safehold.vault.folder import place_reader
from safehold.vault.keyring import Keyring
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.runs import Runs
from safehold.vault.segments import load_copy, segments, timelines

#: Steps that a closing writer gives each shipper to bring its vault level.
CLOSING_STEPS = 10_000
CLOSING_SECONDS = 8.0
#: A seal follows so soon on what it seals.
SEAL_SECONDS = 10.0
#: Where nothing was written for so long, a seal says that somebody is there (rules: `writer silent`).
BEAT_SECONDS = 900.0
#: Accounts whose grace is over, and incidents whose notice is behind, are looked at so often.
TEND_SECONDS = 60.0
#: Frames that follow each other so closely are shipped to async vaults together: a sync for each would slow the rest.
GATHER_SECONDS = 0.05
#: Where a log ends is seen in these: a claim may have begun another segment after the one that it found torn.
LAST_SEGMENTS = 3
#: A try to go on may claim a timeline, which stays in the vaults for ever: after so many in vain they become rare.
QUICK_TRIES = 30
SLOW_TRY_SECONDS = 60.0

_log = logging.getLogger("safehold.writer")


#: Does all of the works, in at most so many seconds; False where some have not ended.
SideBySide = Callable[[Sequence[Callable[[], object]], float], bool]


def one_by_one(works: Sequence[Callable[[], object]], _seconds: float) -> bool:
    """On one thread: where nothing hangs."""
    for work in works:
        work()
    return True


class InstallationLost(OperatorError):
    """The installation's own identity was written once, and its beginning is in no vault that was read."""

    def __init__(self) -> None:
        super().__init__(
            "the identity of this installation itself (the key of its sync tokens, its configuration, the register of "
            "who was erased) is lost in every vault that was read",
            hint="bring back a vault or an old core that still has it: `safehold recover plan` reads every vault that "
            "is configured, `safehold salvage SOURCE... --out DIR` whatever else is left, and `safehold recover run "
            "--salvage DIR` brings it in. Where nothing has it, `safehold recover run --yes` lets the next start make "
            "a new key, once every vault that is configured can be read (`safehold vault add NAME` makes one anew that "
            "is gone for good), and with --accept-loss at once. Do not make a new installation here: devices would "
            "take it for theirs, and delete",
        )


class Writer:
    """Core, log, engine, blobs and shippers of one process. `make_vault` gives a fresh vault instance by config."""

    def __init__(
        self,
        *,
        open_core: Callable[[], SqliteCore],
        vaults: Sequence[VaultConfig],
        make_vault: Callable[[VaultConfig], Vault],
        keyring: Keyring,
        disk: Disk,
        blobs: str,
        scratch: str,
        clock: Clock,
        entropy: Entropy,
        wake: Callable[[Shipper], None] = lambda _: None,
        on_committed: Callable[[Sequence[Change]], None] = lambda _: None,
        quota_bytes: int = 0,
        brakes: BrakeLimits = DEFAULT_BRAKES,
        side_by_side: SideBySide = one_by_one,
        answers: Callable[[Callable[[], bool]], bool] = lambda look: look(),
        book_of: Callable[[VaultConfig], Book | None] = lambda _: None,
        seal_seconds: float = SEAL_SECONDS,
    ) -> None:
        """`side_by_side` does several things that may hang, in a time; `answers` asks one that may, and takes no
        answer for a no. `book_of` says where the shipper of a vault keeps what that vault has.
        """
        self._open_core = open_core
        self._seal_seconds = seal_seconds
        self._vaults = list(vaults)
        self._make_vault = make_vault
        self._keyring = keyring
        self._clock = clock
        self._wake = wake
        self._tell_committed = on_committed
        self._side_by_side = side_by_side
        self._answers = answers
        self._book_of = book_of
        self._sealed_at = clock.monotonic()
        self._wrote_at = clock.monotonic()
        self._tended_at = clock.monotonic()
        self._mend = False  # whether vaults that lack what the core holds are to be given it
        self._lost: Sequence[tuple[int, int]] = ()  # frames that no vault has whole: the core writes them again
        self._set_aside: Sequence[Hole] = ()
        self._tries = 0  # of which none held for a minute
        self._tried_at = clock.monotonic()
        self._was_away = False
        #: Changes that the core lacked when the writer last opened, and that it has taken in from the log.
        self.taken_in = 0
        #: What the core of a writer that opens reads damaged bodies from, and who is told of damage.
        self.body_source: BodySource | None = None
        self.on_damage: Callable[[Damaged], None] | None = None
        self._core: SqliteCore | None = None
        self._log: Log | None = None
        self._not_started: list[Shipper] = []
        self.shippers = self._make_shippers(self._vaults)
        self.archive = VaultBlobs([], [], keyring.sealer, keyring.opener, disk, scratch, self._note_blob)
        self.use_for_blobs(vaults)
        self._live_blobs = LiveBlobs(disk, blobs, scratch, self.archive)
        self.engine = Engine(
            clock,
            entropy,
            reopen=self._reopen,
            on_committed=self._on_committed,
            quota_bytes=quota_bytes,
            brakes=brakes,
        )

    def _make_shippers(self, vaults: Sequence[VaultConfig]) -> list[Shipper]:
        """One for each async vault, fed by the first sync vault."""
        source = next(v for v in self._vaults if v.mode == Mode.SYNC)
        made = [
            Shipper(
                self._make_vault(source),
                self._make_vault(v),
                self._clock,
                live=True,
                gather_seconds=v.s3.batch_seconds if v.is_s3 else GATHER_SECONDS,
                gather_bytes=v.s3.batch_bytes if v.is_s3 else 0,
                book=self._book_of(v),
                excuses=partial(self._excuses, v),
            )
            for v in vaults
            if v.mode != Mode.SYNC
        ]
        self._not_started += made
        return made

    def _excuses(self, config: VaultConfig) -> Excused:
        """What a keeper removed from a vault on record. Raises VaultDown."""
        keys = self._keyring
        return EvidenceExcuses.read(config.name, [self._make_vault(config)], keys.installation, keys.opener).missing

    def take_new_shippers(self) -> list[Shipper]:
        """Those that nobody has been given yet, to be run by the caller's scheduler."""
        new, self._not_started = self._not_started, []
        return new

    def change_vaults(self, vaults: Sequence[VaultConfig]) -> None:
        """Take up vaults that were added or made anew; the writer is closed and opened again over all of them.

        What the core holds and no vault does (a sync vault was lost, async ones lagged behind) is archived again.
        """
        self._vaults = list(vaults)
        self.use_for_blobs(vaults)
        for shipper in self.shippers:
            shipper.end()
        self._not_started = []
        self.shippers = self._make_shippers(vaults)
        self.engine.pause(OperatorError("the vaults are being changed"))
        self._mend = True
        self.engine.try_resume()

    def make_up(self, frames: Sequence[tuple[int, int]], blobs: Sequence[bytes]) -> list[str]:
        """Write again what no vault has whole and the core has: changes of these frames, and what lies past the log's
        end; large bodies by the names of their blobs, which no sync vault may have any more. Raises what hinders.

        Returns what the core has not either, in plain words.
        """
        self.engine.pause(OperatorError("what the vaults have lost is written again"))
        self._mend = True
        self._lost = frames
        self.engine.try_resume()
        self.require_open()
        return self._archive_blobs(set(blobs))

    def _archive_blobs(self, wanted: set[bytes]) -> list[str]:
        assert self._core is not None
        after = 0
        while wanted and (batch := self._core.changes(after_journal=after)):
            for _, _, change in batch:
                if change.blob in wanted and self._live_blobs.archive_again(change.blob, change.size, change.digest):
                    wanted.discard(change.blob)
            after = batch[-1][0]
        self.engine.seal()
        return [f"{blob_object(name)} is not among the live blobs either" for name in sorted(wanted)]

    def use_for_blobs(self, vaults: Sequence[VaultConfig]) -> None:
        """The vaults for blobs, before they are those of the log. To be called in the thread that blobs come in by."""
        self.archive.use(
            [self._make_vault(v) for v in vaults if v.mode == Mode.SYNC],
            [self._make_vault(v) for v in vaults if v.mode != Mode.SYNC],
        )

    # -- opening ---------------------------------------------------------------------------------------------

    def open(self, set_aside: Sequence[Hole] = ()) -> None:
        """Raises OperatorError where nothing can be written; `engine.stopped` then says so too.

        `set_aside` are holes of the log that a recovery has told of: the log goes on before them.
        """
        self._set_aside = set_aside
        self.engine.try_resume()
        self.require_open()

    def require_open(self) -> None:
        """Raises what hinders the writer."""
        if self.engine.stopped is not None:
            raise self.engine.stopped

    def _reopen(self) -> tuple[SqliteCore, Log]:
        self._close_parts()
        core = self._core = self._open_core()
        core.source, core.on_damage = self.body_source, self.on_damage
        known = [*self._set_aside, *(self._mark_missing(core) if self._mend else ())]
        for first, last in self._lost:
            mark_frames(core, first, last)
        self._lost = ()
        log = self._log = self._claim(core.log_position())
        log.pending_blobs = self._pending_blobs
        credentials: dict[bytes, Change] = {}
        lacked: list[LogFrame] = []
        self.taken_in = take_in(core, self._told(log.tail(partial(changes_in, core)), credentials, lacked), known)
        if self.taken_in:
            _log.warning("the core lacked the last %d changes of the log, and has taken them in", self.taken_in)
        self._doubt_end(core, log, lacked)
        log.start()
        if self._mend:
            self.archive.level()
        archive_unarchived(core, log, self._keep_blob)
        self._mend = False
        self._set_aside = ()
        self._on_committed(list(credentials.values()))
        self._sweep_blobs(core)
        return core, log

    def _claim(self, position: LogPosition) -> Log:
        # An async vault that hangs must not hinder the start; its shipper waits for it in a thread of its own.
        wanted = [v for v in self._vaults if v.mode == Mode.SYNC or self._answers(partial(self._is_there, v))]
        vaults = [LogVault(self._make_vault(v), Mode(v.mode)) for v in wanted]
        self._place_readers([vault for vault, _ in vaults])
        try:
            return Log.claim(
                vaults,
                self._keyring.sealer,
                self._keyring.opener,
                self._clock,
                position,
                on_written=self._after_append,
            )
        except BaseException:
            for vault, _ in vaults:
                vault.close()
            raise

    @staticmethod
    def _place_readers(vaults: Sequence[Vault]) -> None:
        """Vaults that an earlier release made get the reader. A vault that refuses is spoken of by the claim."""
        for vault in vaults:
            try:
                if vault.available():
                    place_reader(vault)
            except (OperatorError, OutOfSpace) as error:
                _log.warning("%s has no reader.py: %s", vault.name, error.message)

    def _mark_missing(self, core: SqliteCore) -> list[Hole]:
        """Where the vaults end before the core does, mark what only the core holds: it is archived again.

        Returns what cannot be read of the log from there on, which the core does hold.
        """
        vaults = [vault for vault in map(self._make_vault, self._vaults) if vault.available()]
        position = core.log_position()
        try:
            reader = VaultLogReader(vaults, self._keyring.opener)
            end = reader.end()
            if end.frame >= position.frame:
                return []
            self._doubt_what_is_not_in(core, reader, end)
            after, covered = _newest_covered(reader, Runs(vaults, self._keyring.opener), end)
            mark_unarchived(core, end, reader.entries(after), covered)
        finally:
            for vault in vaults:
                vault.close()
        return [Hole(end.frame + 1, position.frame, position.timeline, ())]

    def _doubt_what_is_not_in(self, core: SqliteCore, reader: VaultLogReader, end: LogPosition) -> None:
        """Vaults that end before a core which has not all streams in have lost what it was still to be given (I64).

        What else came after their end the core holds, and archives again. On record before the core's position, which
        alone tells of that end, is set back.
        """
        if core.end_in_doubt() or not core.held_streams(NOT_YET):
            return
        at_end = reader.entries(end._replace(frame=end.frame - 1, digest=b""))
        last = next((entry for entry in at_end if isinstance(entry, LogFrame)), None)
        self._put_end_in_doubt(core, f"{end.timeline}-{end.frame}", None if last is None else last.at)

    def _put_end_in_doubt(self, core: SqliteCore, mark: str, last_at: int | None) -> None:
        now = self._clock.now()
        seconds = unknown_seconds(False, last_at, now)
        _log.error("core and vaults have lost what was synced: what the last %g s held is not known", seconds)
        core.begin()
        core.set_end_in_doubt(encode_doubt(Doubt(now, seconds, f"{mark}-{now:x}")))
        core.commit()

    def _told(
        self, tail: Iterable[LogFrame | Hole], credentials: dict[bytes, Change], lacked: list[LogFrame]
    ) -> Iterator[LogFrame | Hole]:
        """The tail on its way into the core. Who hears of commits hears of it too: shippers of its blobs at once.

        Of what the core lacked the first frames and the last are remembered in `lacked`.
        """
        for entry in tail:
            if isinstance(entry, LogFrame) and entry.changes:
                del lacked[2:]
                lacked.append(entry)
            for change in entry.changes if isinstance(entry, LogFrame) else ():
                self._tell_of_blob(change)
                if touches_credentials(change):
                    credentials[change.account] = change
            yield entry

    def _doubt_end(self, core: SqliteCore, log: Log, lacked: Sequence[LogFrame]) -> None:
        """Where core and sync vaults have both lost what was synced, nobody knows how the log had ended (I64).

        A commit follows its frame: of what was acknowledged a sound core lacks nothing, and at most one frame that was
        not. One that lacks more has been put back, or its disk has lost what it had synced. If then the log does not
        end cleanly in any sync vault, what stood there is damage, and not a write that was cut short. Nor does it where
        that was mended since, or the vault made anew from one that was behind (I93).
        """
        if len(lacked) < 2 or core.end_in_doubt():
            return
        last = lacked[-1]
        sync = [config for config in self._vaults if config.mode == Mode.SYNC]
        hidden = self._mended(last)
        if any(config.name not in hidden and self._ends_cleanly(config, log, last.position) for config in sync):
            return
        self._put_end_in_doubt(core, str(log.timeline), last.at)

    def _mended(self, last: LogFrame) -> set[str]:
        """The vaults of which evidence says that what stood in their log from this frame on was mended."""
        at = last.position
        vaults = [vault for vault in map(self._make_vault, self._vaults) if vault.available()]
        try:
            told = mended_ends(vaults, self._keyring.opener, at, at, last.at)
            names = {vault.name: segments([vault], at.timeline) for vault in vaults}
            return {vault for vault in names if any(at_end(vault, names[vault], problem, at) for problem in told)}
        finally:
            for vault in vaults:
                vault.close()

    def _ends_cleanly(self, config: VaultConfig, log: Log, last: LogPosition) -> bool:
        """Whether a vault's log has nothing unreadable after this frame, in the timelines before the newest."""
        vault = self._make_vault(config)
        try:
            for timeline in timelines([vault]):
                if last.timeline <= timeline < log.timeline:
                    for name in list(segments([vault], timeline))[-LAST_SEGMENTS:]:
                        copy = load_copy(vault, name)
                        hurt = copy.faults or isinstance(copy.last, BadRange)
                        if hurt and max(copy.frames, default=last.frame) >= last.frame:
                            return False
            return True
        finally:
            vault.close()

    def _keep_blob(self, change: Change) -> None:
        """I8, for a change that is archived again."""
        assert change.blob is not None
        try:
            why = "" if self._live_blobs.archive_again(change.blob, change.size, change.digest) else "it is gone"
        except OutOfSpace:
            raise
        except Held as error:
            why = error.message
        if why:  # its loss is none of the change's, which is archived all the same
            _log.warning("the large body of %r cannot be given to the vaults again: %s", Private(change.name), why)

    def found(self, config_text: str) -> None:
        """The installation's own identity, where it is not there yet; what travels in it is brought up to date.

        Where it was there once, and is in no source, a recovery has to have said so: then its key is made anew, on
        record (I103). Raises InstallationLost where none has.
        """
        assert self._core is not None
        if self._core.account_by_id(SYSTEM_ACCOUNT) is None and self._core.accounts():
            raise InstallationLost()
        sealed = self._to_travel()
        modes = {MODES: encode_modes(modes_now(recorded_modes(self._core), self._vaults, self._clock.now()))}
        if self._core.account_by_id(SYSTEM_ACCOUNT) is None:
            self.engine.execute(FoundInstallation(account=SYSTEM_ACCOUNT, config=config_text, items=sealed | modes))
            return
        if self._core.collection(0, PATH_IDENTITY) is None or self._core.secret(0, TOKEN_KEY) is None:
            missing = self._core.held(0, Kind.IDENTITY) or ""
            if not missing.startswith(TO_FOUND):
                raise InstallationLost()
            _log.error("the key of sync tokens is made anew: %s", missing.removeprefix(TO_FOUND))
            self.engine.execute(AcceptLoss(account=SYSTEM_ACCOUNT, actor="recovery", kind=Kind.IDENTITY))
        items: dict[str, bytes | None] = {CONFIG: config_text.encode(), **sealed, **modes}
        if any(self._core.secret(0, name) != data for name, data in items.items()):
            self._note(NoteInstallation(account=SYSTEM_ACCOUNT, items=items), "what travels in it")
        self._note_doubt()

    def _note(self, command: NoteInstallation | NoteDoubt, what: str) -> None:
        """In the installation's own identity. Where that misses revisions it is held until their loss is on record; the
        accounts, which are whole, need not wait for a person's word on that.
        """
        try:
            self.engine.execute(command)
        except Held as error:
            _log.warning("%s could not be entered: %s", what, error.message)

    def _note_doubt(self) -> None:
        """What a recovery has left in the core alone goes into the log with the first frame that can be written."""
        if self._core is not None and self._core.end_in_doubt():
            self._note(NoteDoubt(account=SYSTEM_ACCOUNT, actor="recovery"), "that the end of the log is in doubt")

    def _to_travel(self) -> dict[str, bytes]:
        """Keys that are here and do not travel yet, or travel sealed to others than today's recipients."""
        keyring, core = self._keyring, self._core
        assert core is not None

        def lacks(name: str) -> bool:
            item = core.secret(0, name)
            return item is None or travelling.recipients_of(item) != keyring.sealer.recipients

        items: dict[str, bytes] = {}
        if keyring.root is not None and lacks(ROOT_KEY):
            items[ROOT_KEY] = travelling.seal_root(keyring.root, keyring.sealer)
        # By recipient, not by place: somebody may have given the recovery key of an older one.
        older = [i for i in keyring.opener.identities if keys.recipient_of(i) not in keyring.sealer.recipients]
        if older and lacks(OLDER_IDENTITIES):
            items[OLDER_IDENTITIES] = travelling.seal_identities(older, keyring.sealer)
        return items

    def use_keyring(self, keyring: Keyring) -> None:
        """Keys that were changed: the log opened next is written with them, blobs are from now on."""
        self._keyring = keyring
        self.archive.use_keys(keyring.sealer, keyring.opener)

    # -- along the way ---------------------------------------------------------------------------------------

    def _after_append(self, written: Written) -> None:
        self._wrote_at = self._clock.monotonic()
        for shipper in self.shippers:
            shipper.note(written)
            if shipper.asleep:
                self._wake(shipper)

    def _note_blob(self, name: str, size: int, digest: bytes) -> None:
        if self._log is not None:
            self._log.note_blob(name, size, digest)
        for shipper in self.shippers:
            shipper.note_blob(name)
            self._wake(shipper)

    def note_objects(self, objects: Sequence[SealedObject]) -> None:
        """Objects that were put into the sync vaults beside the log: sealed at once, and shipped.

        Raises OperatorError where nothing can be written now.
        """
        self.require_open()
        assert self._log is not None
        for object_ in objects:
            self._log.note_object(object_)
            for shipper in self.shippers:
                shipper.note_object(object_.name)
        self._sealed_at = self._clock.monotonic()
        self.engine.seal()
        for shipper in self.shippers:
            self._wake(shipper)
        self.require_open()

    def _tell_of_blob(self, change: Change) -> None:
        if change.blob is not None:
            for shipper in self.shippers:
                shipper.note_blob(blob_object(change.blob))
                self._wake(shipper)

    def _on_committed(self, changes: Sequence[Change]) -> None:
        """What was committed; of an account that was erased the large bodies go, as everything else of it went."""
        self._tell_committed(changes)
        for name in self._core.take_dropped_blobs() if self._core is not None else ():
            try:
                self._live_blobs.remove(name)
            except OSError as error:  # the next start sweeps
                _log.warning("a large body of an erased account is still there: %s", error.strerror)

    def _sweep_blobs(self, core: SqliteCore) -> None:
        """Remove live blobs that nothing names: of erased accounts, and of uploads that never came to an end.

        Not while streams are still to be recovered: what they name nobody knows.
        """
        if core.blobs_swept() or core.held_for(NOT_YET):
            return
        try:
            self._live_blobs.sweep(core.blob_names())
        except OSError as error:
            _log.warning("large bodies that nothing names could not be removed: %s", error.strerror)
            return
        core.begin()
        core.set_blobs_swept()
        core.commit()

    def _pending_blobs(self) -> list[str]:
        return sorted({name for shipper in self.shippers for name in shipper.pending_blobs()})

    def tick(self) -> None:
        """Called about once a second, between batches: seal, close an old segment, go on after a stop."""
        if self.engine.stopped is not None:
            self._try_again()
            return
        now = self._clock.monotonic()
        if now - self._tried_at >= SLOW_TRY_SECONDS:
            self._tries = 0
        if now - self._sealed_at >= self._seal_seconds:
            self._sealed_at = now
            self.engine.seal()
        if now - self._tended_at >= TEND_SECONDS:
            self._tended_at = now
            self.engine.tend()
        if self._log is not None:
            self._log.tick()
        self.engine.drain_intakes()

    def beat(self) -> None:
        """Say that somebody writes here, where nothing else was written for a while: a seal, though nothing is new.

        Between batches. Whoever holds a vault misses it where the writer falls silent.
        """
        quiet = self._clock.monotonic() - self._wrote_at
        if self.engine.stopped is None and self._log is not None and quiet >= BEAT_SECONDS:
            self._log.mark_dirty()
            self.engine.seal()

    def _is_there(self, config: VaultConfig) -> bool:
        vault = self._make_vault(config)
        try:
            return vault.available()
        finally:
            vault.close()

    def settle(self) -> int | None:
        """Seal, and close the segment that is being appended to; the last frame, or None where nothing is written."""
        self.engine.seal()
        if self.engine.stopped is not None or self._log is None:
            return None
        self._log.rest()
        return self._log.position.frame

    def level_vaults(self) -> list[str]:
        """The async vaults that have all that was written, by name."""
        return [shipper.name.rpartition(" ")[2] for shipper in self.shippers if shipper.level]

    def _try_again(self) -> None:
        away = not all(self._is_there(v) for v in self._vaults if v.mode == Mode.SYNC)
        if self._was_away and not away:
            self._tries = 0
        self._was_away = away
        now = self._clock.monotonic()
        if self._tries < QUICK_TRIES or now - self._tried_at >= SLOW_TRY_SECONDS:
            self._tried_at = now
            self._tries += 1
            if self.engine.try_resume():
                self._note_doubt()

    # -- closing ---------------------------------------------------------------------------------------------

    def ship_all(self, busy: Sequence[object] = ()) -> bool:
        """Bring the async vaults level as far as they let us, without waiting for one that is down.

        `busy` are shippers in whose step another thread still is. False where one of the others hangs.
        """
        mine = [shipper for shipper in self.shippers if shipper not in busy]
        return self._side_by_side([partial(self._ship_level, s) for s in mine], CLOSING_SECONDS)

    def _ship_level(self, shipper: Shipper) -> None:
        shipper.hurry()
        until = self._clock.monotonic() + CLOSING_SECONDS
        for _ in range(CLOSING_STEPS):
            if shipper.step() is None or shipper.trouble or self._clock.monotonic() > until:
                break

    def close(self) -> None:
        """Seal and close; then the vaults are told all there is to tell, except what async ones still lack."""
        self.engine.pause(OperatorError("the writer is closed"))
        self._close_parts()

    def _close_parts(self) -> None:
        log, self._log = self._log, None
        core, self._core = self._core, None
        try:
            if log is not None:
                log.close()
        except SafeholdError as error:
            _log.warning("the log was closed without a last seal: %s", error.message)
        finally:
            if core is not None:
                core.close()


def _newest_covered(
    reader: VaultLogReader, runs: Runs, end: LogPosition
) -> tuple[LogPosition, dict[tuple[bytes, Kind], Head]]:
    """The newest generation that lies on the log: where, and the ends of its streams. Else the log's beginning."""
    for generation in runs.generations():
        if generation.position.frame > end.frame:
            continue
        try:
            reader.check(generation.position)
        except NotOnTheLog:
            continue
        return generation.position, {entry.key: entry.head for entry in runs.reader(generation).streams()}
    return EMPTY_LOG, {}
