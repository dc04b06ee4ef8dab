"""The writer's end of the log.

    Log.claim     look, claim the next timeline, level the sync vaults           (claiming.py)
    tail          what the log holds after the core's position, to be taken in
    start         the claim frame: from here on frames are taken
    prepare       encode, encrypt and sign one group commit                      no I/O
    write         append to every sync vault and sync, then look for a higher timeline
    seal, tick    what was written since the last seal; close a segment that is old
    close

`position` is the last frame that is synced in every sync vault, while no higher timeline was there (I1, I6). A frame
that no vault took is not on the log: the next one takes its number into a new segment, which by the rules of reading
voids it wherever a part of it may lie. Where some sync vaults took it and another did not, or a sync failed, nobody
knows what is there: this log takes nothing more, and a new one has to be claimed, which takes in what it finds (I4).

One thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, NoReturn

from safehold.archiver.claiming import Claimed, LogVault, Mode, claim_timeline
from safehold.archiver.unsealed import Heads, Unsealed, blobs_of, heads_of, unsealed_segments
from safehold.formats import claim, segment
from safehold.formats.blob import blob_object
from safehold.formats.frame import FrameHeader, FrameType, encode_frame, parse_header
from safehold.formats.keys import Opener, Sealer
from safehold.formats.payload import Packer
from safehold.formats.seal import SealedObject
from safehold.formats.segment import SegmentName, claim_object
from safehold.model.change import GENESIS, Change
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole, LogFrame, LogWriter, PreparedFrame, Superseded
from safehold.ports.vault import LengthMismatch, VaultDown, VaultSuspect
from safehold.ports.world import Clock
from safehold.vault.log import NotOnTheLog, VaultLogReader

__all__ = ["Log", "LogLimits", "LogVault", "Mode", "Written"]


class LogLimits(NamedTuple):
    """When a segment is closed."""

    segment_bytes: int = 4 * 1024 * 1024
    segment_seconds: float = 10.0


class Written(NamedTuple):
    """What a write added to an object of the log; shippers are told of it."""

    object: str
    size: int  # of the object now
    changes: int
    at: int  # µs
    blobs: tuple[str, ...] = ()  # objects that these changes name


#: Changes that the core has in frames after the first number and up to the last, in pieces, in commit order.
ChangesInCore = Callable[[int, int], Iterator[Sequence[Change]]]


class _Open:
    """The segment that is being appended to."""

    __slots__ = ("digest", "header", "name", "opened_at", "size")

    def __init__(self, name: SegmentName, header: bytes, opened_at: float, *, there: bool) -> None:
        self.name = name
        self.header = b"" if there else header  # what is still to be written before the first frame
        self.size = len(header) if there else 0
        self.digest = sha256(header)
        self.opened_at = opened_at


DEFAULT_LIMITS = LogLimits()


class Log:
    """Implements ports.log.LogWriter; see the module's text."""

    def __init__(
        self,
        claimed: Claimed,
        sealer: Sealer,
        opener: Opener,
        clock: Clock,
        core: LogPosition,
        limits: LogLimits,
        on_written: Callable[[Written], None],
    ) -> None:
        self._timeline = claimed.timeline
        self._sync = claimed.sync
        self._others = claimed.others
        self._sealer = sealer
        self._clock = clock
        self._limits = limits
        self._on_written = on_written
        self._packer = Packer(sealer)
        self._reader = VaultLogReader(claimed.sync, opener, claimed.others)
        self._problems = claimed.problems
        self._position = self._parent = core
        self._core = core
        self._opened = 0  # number of the claim frame; 0 until the tail was read
        self._started = False
        self._unsealed = Unsealed()
        self._prepared: dict[bytes, tuple[Heads, list[bytes]]] = {}  # by digest: for the next seal
        self._segment: _Open | None = None
        self._next_segment = 0
        self._stopped: OperatorError | None = None
        #: Names the blobs that some async vault lacks, for the seal.
        self.pending_blobs: Callable[[], Sequence[str]] = list
        for untold in claimed.to_tell:
            on_written(Written(str(untold.segment), untold.end, untold.changes, untold.at))

    @classmethod
    def claim(
        cls,
        vaults: Sequence[LogVault],
        sealer: Sealer,
        opener: Opener,
        clock: Clock,
        core: LogPosition,
        limits: LogLimits = DEFAULT_LIMITS,
        on_written: Callable[[Written], None] = lambda _: None,
    ) -> Log:
        """The next timeline, claimed; see claiming.py for what is refused.

        Raises VaultDown, OutOfSpace, Superseded, OperatorError.
        """
        return cls(claim_timeline(vaults, sealer, opener, core), sealer, opener, clock, core, limits, on_written)

    # -- opening

    def tail(self, in_core: ChangesInCore | None = None) -> Iterator[LogFrame | Hole]:
        """What the log holds after the core's position. To be read to its end before `start`.

        Begins at the last seal where that is earlier, to learn what the next seal must state, and passes over what the
        core has: frames that are verified but not opened, since `in_core` tells their changes. So the recovery key is
        needed only where the log is ahead of the core. Raises VaultDown, NotOnTheLog, KeyAway.
        """
        unsealed = Unsealed()
        sealed_at = self._reader.last_seal()
        begin = min(sealed_at, self._core, key=lambda position: position.frame)
        unsealed.since = begin
        if in_core is not None and begin != self._core:
            for changes in in_core(begin.frame, self._core.frame):
                unsealed.add(heads_of(changes), blobs_of(changes))
        if self._reader.end() != EMPTY_LOG:  # else it begins anew, after a generation: claiming.py has seen to that
            self._reader.check(self._core)
        for entry in self._reader.entries(begin, closed_upto=0 if in_core is None else self._core.frame):
            if isinstance(entry, Hole):
                if entry.last > self._core.frame:
                    yield entry
                continue
            unsealed.add(heads_of(entry.changes), blobs_of(entry.changes))
            if entry.sealed:
                unsealed = Unsealed()
                unsealed.since = entry.position
            if entry.position.frame == self._core.frame and entry.position != self._core:
                raise NotOnTheLog(
                    f"frame {self._core.frame} of the core and of the log are not the same: their histories differ",
                    hint="run `safehold recover plan` to compare them",
                )
            if entry.position.frame > self._core.frame:
                self._position = entry.position
                yield entry
        unsealed.segments = list(unsealed_segments(self._sync, unsealed.since, self._timeline))
        unsealed.blobs |= self._unsealed.blobs
        unsealed.objects |= self._unsealed.objects
        self._unsealed = unsealed
        self._opened = self._position.frame + 1

    def start(self) -> None:
        """Write the claim frame. Raises as `write`."""
        assert self._opened, "the tail must be read to its end first"
        self._parent = self._position
        name = SegmentName(self._timeline, 0, 0)
        self._segment = _Open(name, self._header(name), self._clock.monotonic(), there=True)
        value = claim.Claim(claim.VERSION, self._timeline, self._parent, self._sealer.writer.public, self._clock.now())
        self._write(self._encode(FrameType.CLAIM, self._packer.pack(value), 0))
        self._unsealed.dirty = self._started = True

    # -- the port

    @property
    def timeline(self) -> int:
        return self._timeline

    @property
    def position(self) -> LogPosition:
        return self._position

    def problems(self) -> list[str]:
        """What was found wrong while opening and writing, in plain words."""
        return [*self._problems, *self._reader.problems()]

    def prepare(self, changes: Sequence[Change]) -> PreparedFrame:
        frame = self._encode(FrameType.CHANGES, self._packer.pack_changes(changes), len(changes))
        self._prepared[frame.position.digest] = heads_of(changes), blobs_of(changes)
        return frame

    def write(self, frame: PreparedFrame) -> None:
        heads, blobs = self._prepared[frame.position.digest]
        self._write(frame, tuple(map(blob_object, blobs)))
        self._prepared = {}
        self._unsealed.add(heads, blobs)

    def note_blob(self, name: str, size: int, digest: bytes) -> None:
        """A blob that is new in the sync vaults, for the next seal. Safe from any thread."""
        self._unsealed.blobs[name] = SealedObject(name, size, digest)

    def note_object(self, object_: SealedObject) -> None:
        """A run object, manifest or evidence new in the sync vaults, for the next seal. Safe from any thread."""
        self._unsealed.objects[object_.name] = object_
        self._unsealed.dirty = True

    def mark_dirty(self) -> None:
        """Let the next seal be written though nothing is new: it says that a writer is there."""
        self._unsealed.dirty = True

    def seal(self) -> None:
        """Raises as `write`."""
        if not self._unsealed.dirty:
            return
        self._unsealed.look_up_blobs(self._sync)
        stated = self._unsealed.seal(self._position, self.pending_blobs())
        self._write(self._encode(FrameType.SEAL, self._packer.pack(stated), 0))
        self._unsealed.clear(stated, self._position)

    def tick(self) -> None:
        """Close the open segment where it is old. To be called about once a second."""
        opened = self._segment
        if opened is None or self._stopped is not None:
            return
        if self._clock.monotonic() - opened.opened_at >= self._limits.segment_seconds:
            self._close_segment()

    def rest(self) -> None:
        """Close the open segment, whatever its age: somebody wants to look at it, or mend it."""
        if self._segment is not None and self._stopped is None:
            self._close_segment()

    def close(self) -> None:
        """Raises as `write`, with everything closed all the same."""
        try:
            if self._started and self._stopped is None:
                self.seal()
                self._close_segment()
        finally:
            self._stopped = self._stopped or OperatorError("the log is closed")
            for vault in (*self._sync, *self._others):
                vault.close()

    # -- frames

    def _encode(self, type_: FrameType, payload: bytes, changes: int) -> PreparedFrame:
        number = self._position.frame + 1
        header = FrameHeader(
            type_,
            self._timeline,
            self._parent.timeline,
            self._opened,
            number,
            self._clock.now(),
            changes,
            len(payload),
            self._position.digest or GENESIS,
        )
        data = encode_frame(header, payload, self._sealer.writer.sign)
        return PreparedFrame(LogPosition(self._timeline, number, sha256(data).digest()), data)

    def _write(self, frame: PreparedFrame, blobs: tuple[str, ...] = ()) -> None:
        """Invariants 1 to 3."""
        if self._stopped is not None:
            raise self._stopped
        header = parse_header(frame.data)
        assert header is not None and header.number == self._position.frame + 1
        assert header.prev == (self._position.digest or GENESIS), "prepared before another frame was written"
        opened = self._segment
        if opened is None:
            name = SegmentName(self._timeline, self._next_segment, header.number)
            opened = self._segment = _Open(name, self._header(name), self._clock.monotonic(), there=False)
        data = opened.header + frame.data
        taken: list[str] = []
        try:
            for vault in self._sync:
                vault.append(str(opened.name), opened.size, data)
                taken.append(vault.name)
            for vault in self._sync:
                if vault.size(claim_object(self._timeline + 1)) is not None:
                    self._stop_superseded(vault.name)
        except (VaultDown, OutOfSpace) as error:
            if taken:
                self._stop_apart(taken, frame, error)
            self._leave_segment()
            raise
        except LengthMismatch as error:
            self._stop_mismatched(error)
        except BaseException as error:
            self._stopped = _stopped_by(error)
            raise
        opened.digest.update(frame.data)
        opened.header = b""
        opened.size += len(data)
        self._position = frame.position
        self._on_written(Written(str(opened.name), opened.size, header.changes, header.at, blobs))
        if opened.size >= self._limits.segment_bytes:
            self._close_segment()

    def _stop_apart(self, taken: list[str], frame: PreparedFrame, error: SafeholdError) -> NoReturn:
        """A vault that took a frame is never asked to make it void; a log opened anew takes it in instead."""
        self._stopped = VaultSuspect(
            f"frame {frame.position.frame} is in {' and '.join(taken)}, and one did not take it: {error.message}",
            hint=error.hint,
        )
        raise self._stopped from error

    def _stop_superseded(self, vault: str) -> NoReturn:
        self._stopped = Superseded(
            f"another writer has claimed timeline {self._timeline + 1} in vault {vault}; this one ends",
            hint="see which other process or machine serves from these vaults; only one may",
        )
        raise self._stopped

    def _stop_mismatched(self, error: LengthMismatch) -> NoReturn:
        """Somebody else appended, or a vault forgot: nothing can be said of the frame."""
        self._stopped = VaultSuspect(error.message, hint=error.hint)
        for vault in self._sync:
            if vault.size(claim_object(self._timeline + 1)) is not None:
                self._stop_superseded(vault.name)
        raise self._stopped from error

    # -- segments

    def _header(self, name: SegmentName) -> bytes:
        return segment.encode_header(segment.header_for(name, self._sealer))

    def _leave_segment(self) -> None:
        """Go on in a new segment, leaving this one without a footer."""
        opened, self._segment = self._segment, None
        assert opened is not None
        self._next_segment = opened.name.number + 1
        if not opened.header and opened.size > segment.HEADER_BYTES:
            self._unsealed.segments.append(SealedObject(str(opened.name), opened.size, opened.digest.digest()))

    def _close_segment(self) -> None:
        """Append the footer. What cannot be closed is left: every frame in it is synced."""
        opened = self._segment
        if opened is None:
            return
        footer = segment.encode_footer(segment.header_for(opened.name, self._sealer))
        try:
            for vault in self._sync:
                vault.append(str(opened.name), opened.size, footer)
        except SafeholdError as error:
            self._problems.append(f"{opened.name} could not be closed: {error.message}")
        else:
            opened.digest.update(footer)
            opened.size += len(footer)
            self._on_written(Written(str(opened.name), opened.size, 0, self._clock.now()))
        self._leave_segment()


def _stopped_by(error: BaseException) -> OperatorError:
    if isinstance(error, OperatorError):
        return error
    return VaultSuspect(f"a write broke off: {error}", hint="start again: what was written is read back then")


_: type[LogWriter] = Log
