"""Reads the log out of any number of vaults, each frame from the first vault that has a good copy.

A frame counts when its writer is certified by the installation's root, its signature holds, its number is the next
one, its `prev` is the digest of the frame before (where that one could be read), and its payload decrypts to what its
header promises, with every change true to its own hash. All but the last can be told without the recovery key: a
reader without one gives claims and seals unopened, and ends with KeyAway at the first frame of changes.

Which frames make up the log:

1. the highest timeline with a good frame counts to its end;
2. what it continues, each of its frames says: the parent timeline counts up to the frame before the claim, and so on
   down; timelines in between, and what the parent holds beyond, were abandoned;
3. within a timeline a segment counts up to the number before the first of the segments after it: what is beyond was
   a write that failed and was done again.

A write cut short at the very end was never acknowledged: that is no hole, but it is told in `problems`. It leaves no
more than one frame can account for (segments.py): where more remains, frames were lost there, one at least.

Long, as these rules are one: which frames count is asked of the same listings, copies and signatures throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from safehold.formats import claim, seal, segment
from safehold.formats.frame import LOG_TYPES, FrameHeader, FrameType, RawFrame, scan_frames, verify_frame
from safehold.formats.keys import Opener
from safehold.formats.payload import Unpacker
from safehold.formats.segment import SegmentName
from safehold.model.change import GENESIS, Change
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, Head, check_self
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole, LogFrame, LogReader
from safehold.ports.vault import Vault, VaultDown
from safehold.vault.segments import Copy, Holder, limits, load_copy, lost_at_end, segments, timelines

_GLANCE_BYTES = 64 * 1024
#: Of a timeline the end is looked for in so many segments: each start that was cut short may have added one.
_LAST_SEGMENTS = 4
_MAX_PROBLEMS = 1000
T = TypeVar("T")
_UNSIGNED = "its signature does not match"


class NotOnTheLog(OperatorError):
    """A position that the log does not lead past: of an abandoned branch, or of another log."""


class Stretch:
    """The part of a timeline that counts: up to `last`, or to its end where that is None."""

    __slots__ = ("last", "opened", "parent", "timeline")

    def __init__(self, timeline: int, opened: int, parent: int, last: int | None) -> None:
        self.timeline = timeline
        self.opened = opened  # number of its claim; 0 where no frame of it could be read
        self.parent = parent
        self.last = last


class Branch:
    """The stretches that count, from the last one down as far as the log goes back."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self.stretches = stretches

    def left(self, position: LogPosition) -> bool:
        """Whether the log went on without this position: a later timeline continues before it, or passes it over.

        Of positions before all that is left of the log nothing is known that speaks against them.
        """
        timeline = position.timeline
        if any(s.timeline > timeline and s.opened <= position.frame for s in self.stretches):
            return True
        return any(s.parent < timeline < s.timeline for s in self.stretches)


class VaultLogReader:
    """Implements ports.log.LogReader. Vaults in the order in which their copies are preferred.

    `spare` vaults come after those: what they hold counts as much, but one that goes down while it is read is left out,
    and told among the problems, where another would end the reading with VaultDown.
    """

    def __init__(self, vaults: Sequence[Vault], opener: Opener, spare: Sequence[Vault] = ()) -> None:
        self._vaults = list(vaults)
        self._spare = list(spare)
        self._installation = opener.installation
        self._opener = opener
        self._unpacker = Unpacker(opener)
        self._problems: dict[str, None] = {}
        self._writers: dict[bytes, bool] = {}  # writer's public key -> whether it is certified
        self._searched = False
        self._closed_upto = 0

    def problems(self) -> list[str]:
        return list(self._problems)

    def entries(self, after: LogPosition = EMPTY_LOG, *, closed_upto: int = 0) -> Iterator[LogFrame | Hole]:
        """See ports.log. Frames up to number `closed_upto` are verified, but not opened: their changes are known.

        Raises NotOnTheLog, VaultDown, KeyAway.
        """
        self._closed_upto = closed_upto
        stretches = list(self._branch(after.timeline))[::-1]
        _check_start(stretches, after)
        run = _Run(after)
        witness = _SealWitness(begins=after == EMPTY_LOG)
        spoken = after
        for stretch in stretches:
            for entry in self._stretch(stretch, run):
                for problem in witness.look(entry):
                    self.note(problem)
                if isinstance(entry, LogFrame) and not entry.claim:
                    spoken = entry.position
                yield entry
        self._note_torn_before(stretches, spoken)
        yield from self._lost_end(run)

    def check(self, position: LogPosition) -> None:
        """Raises NotOnTheLog where the log does not lead past this position, VaultDown."""
        _check_start(list(self._branch(position.timeline))[::-1], position)

    def branch(self) -> Branch:
        """What counts of the timelines. Raises VaultDown."""
        return Branch(tuple(self._branch(0)))

    def leaves_out(self, stretch: Stretch) -> bool:
        """Whether an earlier timeline holds frames from the place on at which this one goes on. Raises VaultDown."""
        for timeline in reversed(self._timelines()):
            if not stretch.parent <= timeline < stretch.timeline:
                continue
            for name, holders in reversed(self._segments(timeline).items()):
                if any(n >= stretch.opened for n in _Copies(self, name, holders).numbers()):
                    return True
                if name.first < stretch.opened:
                    break
        return False

    def end(self) -> LogPosition:
        """See ports.log; reads the last segments only. A frame that does not continue the one before it is none, as in
        `entries`: whoever holds a writer's key can sign one. Raises VaultDown.
        """
        for stretch in self._branch(0):
            self._refuse_blind(stretch.timeline)
            found = self._segments(stretch.timeline)
            names = list(found)
            for name, limit in reversed(list(zip(names, limits(names), strict=True))):
                copies = _Copies(self, name, found[name])
                for number in sorted(copies.numbers(), reverse=True):
                    if limit is not None and number > limit:
                        continue
                    for frame, _ in self._signed(copies, number, None):
                        if self._continues(frame, stretch, copies):
                            return LogPosition(stretch.timeline, number, frame.digest)
        self._refuse_blind(0)
        return EMPTY_LOG

    def _continues(self, frame: RawFrame, stretch: Stretch, copies: _Copies) -> bool:
        """Whether the frame before it has the digest that it names; True where that one is nowhere to be read."""
        before = frame.header.number - 1
        digests = {f.digest for f, _ in self._signed(copies, before, None)}
        if not digests:
            timeline = stretch.timeline if before >= stretch.opened else stretch.parent
            found = self._segments(timeline)
            earlier = [name for name in found if name.first <= before and name != copies.name]
            for name in earlier[-1:]:
                digests = {f.digest for f, _ in self._signed(_Copies(self, name, found[name]), before, None)}
        return not digests or frame.header.prev in digests

    def _refuse_blind(self, timeline: int) -> None:
        """The end cannot be told where a segment at the end can be read in no vault. Raises VaultDown."""
        for later in self._timelines():
            if later < timeline:
                continue
            for name, holders in list(self._segments(later).items())[-1:]:
                copies = _Copies(self, name, holders)
                if copies.blind():
                    raise VaultDown(
                        f"{name} cannot be read: {copies.why_blind()}",
                        hint="see what is wrong with that vault's disk; `safehold recover plan` says what is lost",
                    )

    def note(self, problem: str) -> None:
        """Remember a problem, once; the first thousand."""
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems[problem] = None

    def signed(self, copy: Copy, frame: RawFrame) -> bool:
        """Whether a certified writer signed this frame of this copy."""
        return any(_signed_by(frame, writer) for writer in self._writers_of(copy))

    def last_seal(self) -> LogPosition:
        """The position of the last seal on the log; EMPTY_LOG where there is none. Raises VaultDown."""
        for stretch in self._branch(0):
            found = self._segments(stretch.timeline)
            names = list(found)
            for name, limit in reversed(list(zip(names, limits(names), strict=True))):
                upto = min((n for n in (limit, stretch.last) if n is not None), default=None)
                copies = _Copies(self, name, found[name])
                seals = {n for copy in copies.all() for n, f in copy.frames.items() if f.header.type is FrameType.SEAL}
                for number in sorted((n for n in seals if upto is None or n <= upto), reverse=True):
                    for frame, _ in self._signed(copies, number, None):
                        return LogPosition(stretch.timeline, number, frame.digest)
        return EMPTY_LOG

    def seals(self, upto: LogPosition) -> Iterator[tuple[int, dict[tuple[bytes, Kind], Head]]]:
        """See ports.log. Changes are neither verified nor opened. Raises VaultDown, KeyAway."""
        for stretch in self._branch(0):
            found = self._segments(stretch.timeline)
            names = list(found)
            for name, limit in reversed(list(zip(names, limits(names), strict=True))):
                if name.first > upto.frame or stretch.opened > upto.frame:
                    continue
                last = min(n for n in (limit, stretch.last, upto.frame) if n is not None)
                copies = _Copies(self, name, found[name])
                for number in sorted(copies.seals(), reverse=True):
                    heads = self._heads_in(copies, number) if number <= last else None
                    if heads is not None:
                        yield number, heads

    def _heads_in(self, copies: _Copies, number: int) -> dict[tuple[bytes, Kind], Head] | None:
        """What a seal states; None where no vault has a good copy of it."""
        for frame, _ in self._signed(copies, number, None):
            if frame.header.type is FrameType.SEAL:
                try:
                    stated = self._unpacker.unpack(frame.payload, seal.DECODER)
                except Damaged:
                    continue
                return {(h.account, h.kind): Head(h.rev, h.hash) for h in stated.heads}
        return None

    # -- listings

    def _timelines(self) -> list[int]:
        found: set[int] = set()
        nothing: list[int] = []
        for vault in self._all():
            found.update(self._ask(vault, lambda v: timelines([v]), nothing))
        return sorted(found)

    def _segments(self, timeline: int) -> dict[SegmentName, list[Holder]]:
        found: dict[SegmentName, list[Holder]] = {}
        nothing: dict[SegmentName, list[Holder]] = {}
        for vault in self._all():
            for name, holders in self._ask(vault, lambda v: segments([v], timeline), nothing).items():
                found.setdefault(name, []).extend(holders)
        return dict(sorted(found.items()))

    def _all(self) -> list[Vault]:
        return [*self._vaults, *self._spare]

    def _ask(self, vault: Vault, listing: Callable[[Vault], T], nothing: T) -> T:
        """A listing of one vault; a spare one that is down is left out from then on."""
        try:
            return listing(vault)
        except VaultDown as error:
            if vault not in self._spare:
                raise
            self._spare.remove(vault)
            self.note(f"{vault.name} is left out: {error.message}")
            return nothing

    # -- the branch: rules 1 and 2

    def _branch(self, lowest: int) -> Iterator[Stretch]:
        """The stretches that count, from the last down to the one in timeline `lowest`."""
        wanted: int | None = None  # the timeline that the one above continues; None while looking for the last
        last: int | None = None
        for timeline in reversed(self._timelines()):
            if timeline < lowest:
                break
            if wanted is not None and timeline > wanted:
                self._note_abandoned(timeline)
                continue
            if wanted is not None and timeline < wanted:
                self.note(f"timeline {wanted} is missing in every vault that was read")
            anchor = self._anchor(timeline)
            if anchor is None:
                # At the top: claimed and never written to, or lost (see _lost_end). Below: what it continues is
                # unknown, so that the next one down counts as far as the numbers let it.
                if wanted is not None:
                    self.note(f"timeline {timeline}: no frame of it can be read")
                    wanted = timeline - 1
                continue
            yield Stretch(timeline, anchor.opened, anchor.parent, last)
            wanted, last = anchor.parent, anchor.opened - 1
            if not wanted:
                break

    def _anchor(self, timeline: int) -> FrameHeader | None:
        """The header of the first good frame of a timeline: it says what the timeline continues."""
        found = self._segments(timeline)
        for name, holders in found.items():
            for holder in holders:
                glance = self._glance(holder.vault, name, _GLANCE_BYTES)
                header = segment.parse_segment_header(glance)
                start = segment.HEADER_BYTES if header is not None else 0
                item = next(scan_frames(glance, start), None)
                if isinstance(item, RawFrame) and item.header.type not in LOG_TYPES:
                    item = None
                if isinstance(item, RawFrame) and self._certified(header, name) and header is not None:
                    try:
                        verify_frame(item, header.writer_public)
                    except Damaged:
                        pass
                    else:
                        return item.header
            copies = _Copies(self, name, holders)
            for number in sorted(copies.numbers()):
                for frame, _ in self._signed(copies, number, None):
                    return frame.header
        return None

    def _glance(self, vault: Vault, name: SegmentName, count: int) -> bytes:
        """The first bytes of a segment; none where they cannot be read."""
        try:
            return vault.get(str(name), 0, count)
        except (KeyError, VaultDown) as error:
            self.note(f"{vault.name}: {name} cannot be read: {error}")
            return b""

    def _note_abandoned(self, timeline: int) -> None:
        """A timeline that no later one continues: told where it holds a frame, not where a start was cut short."""
        for name, holders in self._segments(timeline).items():
            if max(h.size for h in holders) > segment.HEADER_BYTES and _Copies(self, name, holders).numbers():
                self.note(f"timeline {timeline} was abandoned: a later one continues without it")
                return

    def _lost_end(self, run: _Run) -> Iterator[Hole]:
        """A hole for timelines at the top that were written to and of which nothing can be read."""
        for timeline in self._timelines():
            if timeline <= run.timeline:
                continue
            found = self._segments(timeline)
            names = list(found)
            certain = max((name.first - 1 for name in names), default=0)
            for name in names:
                copies = _Copies(self, name, found[name])
                certain = max(certain, run.next if copies.blind() or copies.lost_at_end() else 0)
                for copy in copies.all():
                    doubtful = copy.doubtful() if name == names[-1] else None
                    certain = max([certain, *(n for n in copy.numbers() if n != doubtful)])
            if any(h.size > segment.HEADER_BYTES for holders in found.values() for h in holders):
                self.note(f"timeline {timeline}: no frame of it can be read")
            if certain >= run.next:
                yield Hole(run.next, certain, timeline, (f"timeline {timeline}: no frame of it can be read",))
                run.skip(certain, timeline)

    # -- one timeline: rule 3

    def _stretch(self, stretch: Stretch, run: _Run) -> Iterator[LogFrame | Hole]:
        found = self._segments(stretch.timeline)
        names = list(found)
        for name, limit in zip(names, limits(names), strict=True):
            if stretch.last is not None and name.first > stretch.last:
                break
            final = limit is None and stretch.last is None
            upto = min((n for n in (limit, stretch.last) if n is not None), default=None)
            if upto is not None and upto < run.next:
                continue
            yield from self._segment(_Copies(self, name, found[name]), upto, final, run)
        if stretch.last is None:
            return
        if run.next <= stretch.last:
            why = (f"timeline {stretch.timeline}: frames {run.next} to {stretch.last} are in no vault that was read",)
            yield Hole(run.next, stretch.last, stretch.timeline, why)
            run.skip(stretch.last, stretch.timeline)
        self._note_overhang(stretch, found)

    def _segment(self, copies: _Copies, upto: int | None, final: bool, run: _Run) -> Iterator[LogFrame | Hole]:
        """The frames from run.next up to `upto`, or to the end of a timeline's last segment."""
        certain = upto
        if upto is None:
            upto, certain = copies.reach()
            if copies.blind():  # one frame at least, for all that can be known
                upto = certain = max(upto, certain, run.next - 1) + 1
            if final:
                self._note_torn(copies)
        assert certain is not None
        missing: list[str] = []
        number = hole = run.next
        while number <= upto:
            frame, problems = self._frame(copies, number, run)
            if frame is None:
                missing += problems[: max(0, _MAX_PROBLEMS - len(missing))]
                number = copies.next_number(number, upto)
                continue
            if hole < number:
                yield Hole(hole, number - 1, copies.name.timeline, tuple(dict.fromkeys(missing)))
            run.advance(frame.position)
            yield frame
            missing = []
            number = hole = run.next
        if hole <= certain:
            yield Hole(hole, certain, copies.name.timeline, tuple(dict.fromkeys(missing)))
            run.skip(certain, copies.name.timeline)

    def _note_torn(self, copies: _Copies) -> None:
        for copy in copies.loaded():
            self._note_torn_copy(copy)

    def _note_torn_copy(self, copy: Copy, last: SegmentName | None = None) -> None:
        """`last` is the timeline's last segment, which the end of the log is looked for in."""
        if torn := copy.torn_bytes():
            before = "" if last in (None, copy.name) else f"{last}: of {copy.name}, before it, "
            self.note(
                f"{copy.vault}: {before or f'{copy.name}: '}the last {count_text(torn, 'byte is', 'bytes are')} a "
                "write that was cut short and never acknowledged, or damage at the very end"
            )

    def _note_torn_before(self, stretches: Sequence[Stretch], spoken: LogPosition) -> None:
        """Torn ends after the last frame that says what was written, in segments that are the last no more.

        Who claims a timeline makes frames certain in a segment of their own, after one that was left open, and may come
        no further: the one before still shows how the log had ended.
        """
        for stretch in stretches:
            if stretch.timeline < spoken.timeline:
                continue
            names = self._segments(stretch.timeline)
            for name, holders in list(names.items())[-_LAST_SEGMENTS:]:
                for holder in holders:
                    copy = None if self._is_closed(holder, name) else self._copy_of(holder, name)
                    last = max(copy.frames, default=name.first) if copy is not None else 0
                    if copy is not None and last >= spoken.frame and (stretch.last is None or last <= stretch.last):
                        self._note_torn_copy(copy, max(names))

    @staticmethod
    def _copy_of(holder: Holder, name: SegmentName) -> Copy | None:
        try:
            return load_copy(holder.vault, name)
        except (KeyError, VaultDown):
            return None

    def _is_closed(self, holder: Holder, name: SegmentName) -> bool:
        """Whether a footer ends it; True too where it cannot be read, of which others speak."""
        try:
            end = holder.vault.get(str(name), max(0, holder.size - segment.HEADER_BYTES))
        except (KeyError, VaultDown):
            return True
        return segment.parse_segment_footer(end) is not None

    def _note_overhang(self, stretch: Stretch, found: dict[SegmentName, list[Holder]]) -> None:
        """Frames of a timeline beyond the one that the next timeline continues from."""
        assert stretch.last is not None
        beyond = [name for name in found if name.first > stretch.last]
        inside = [name for name in found if name.first <= stretch.last]
        if inside:
            copies = _Copies(self, inside[-1], found[inside[-1]])
            beyond += [inside[-1] for copy in copies.all() if any(n > stretch.last for n in copy.frames)]
        if beyond:
            self.note(
                f"timeline {stretch.timeline}: its frames after {stretch.last} were abandoned: "
                "a later timeline continues before them"
            )

    # -- one frame

    def _frame(self, copies: _Copies, number: int, run: _Run) -> tuple[LogFrame | None, list[str]]:
        """The first good copy of a frame, and what was wrong with those before it."""
        problems: list[str] = []
        for frame, vault in self._signed(copies, number, problems):
            try:
                if number == run.next and run.digest is not None and frame.header.prev != run.digest:
                    raise Damaged("it does not continue the frame before it")
                return self._open(frame, vault), problems
            except Damaged as error:
                problem = f"{vault}: {copies.name}: frame {number} at byte {frame.offset}: {error.message}"
                problems.append(problem)
                self.note(problem)
        return None, problems

    def _signed(self, copies: _Copies, number: int, problems: list[str] | None) -> Iterator[tuple[RawFrame, str]]:
        """The copies of a frame whose signature holds, with their vault's name; the rest go to problems."""
        for copy in copies.each():
            frame = copy.frames.get(number)
            if frame is not None and frame.header.timeline != copies.name.timeline:
                frame = None
            if frame is not None and self.signed(copy, frame):
                yield frame, copy.vault
            elif problems is not None:
                place = f"{copy.vault}: {copies.name}: frame {number}"
                problem = copy.why_not(number) if frame is None else f"{place} at byte {frame.offset}: {_UNSIGNED}"
                problems.append(problem)
                self.note(problem)

    def _open(self, frame: RawFrame, vault: str) -> LogFrame:
        """Decrypt and decode, where that is needed. Raises Damaged, KeyAway."""
        header = frame.header
        position = LogPosition(header.timeline, header.number, frame.digest)
        changes: list[Change] = []
        heads: dict[tuple[bytes, Kind], Head] = {}
        since = 0
        known = header.number <= self._closed_upto
        if known or (header.type is not FrameType.CHANGES and not self._opener.can_open):
            sealed, claimed = header.type is FrameType.SEAL, header.type is FrameType.CLAIM
            return LogFrame(position, header.at, vault, len(frame.data), (), {}, sealed, claimed, opened=False)
        self._opener.require(f"frame {header.number} of the log")
        if header.type is FrameType.CHANGES:
            changes = self._unpacker.unpack_changes(frame.payload)
            try:
                for change in changes:
                    check_self(change)
            except BadChange as error:
                raise Damaged(str(error)) from None
        elif header.type is FrameType.SEAL:
            stated = self._unpacker.unpack(frame.payload, seal.DECODER)
            heads = {(h.account, h.kind): Head(h.rev, h.hash) for h in stated.heads}
            since = stated.since[1]
        else:
            opening = self._unpacker.unpack(frame.payload, claim.DECODER)
            if opening.parent[:2] != (header.parent, header.number - 1) or opening.timeline != header.timeline:
                raise Damaged("the claim does not say what its header says")
        if len(changes) != header.changes:
            raise Damaged(f"it holds {len(changes)} changes; its header says {header.changes}")
        return LogFrame(
            position,
            header.at,
            vault,
            len(frame.data),
            changes,
            heads,
            header.type is FrameType.SEAL,
            header.type is FrameType.CLAIM,
            since=since,
        )

    # -- who may sign

    def _writers_of(self, copy: Copy) -> list[bytes]:
        """Keys that may have signed this copy's frames: its own writer's, or any known where its headers are gone."""
        if self._certified(copy.header, copy.name):
            assert copy.header is not None
            return [copy.header.writer_public]
        if copy.header is not None:
            self.note(f"{copy.vault}: {copy.name}: its writer is not certified by this installation")
        elif not self._searched:
            self._searched = True
            for timeline in self._timelines():
                for name, holders in self._segments(timeline).items():
                    for holder in holders:
                        data = self._glance(holder.vault, name, segment.HEADER_BYTES)
                        self._certified(segment.parse_segment_header(data), name)
        return [writer for writer, certified in self._writers.items() if certified]

    def _certified(self, header: segment.SegmentHeader | None, name: SegmentName) -> bool:
        if header is None or header.name != name:
            return False
        known = self._writers.get(header.writer_public)
        if known is None or not known:
            known = self._writers[header.writer_public] = segment.vouched(header, self._installation)
        return known and header.installation == self._installation


class _Run:
    """Where the reading stands: the next number, and the digest of the frame before where that was good."""

    def __init__(self, after: LogPosition) -> None:
        self.next = after.frame + 1
        self.digest: bytes | None = after.digest or (None if after.frame else GENESIS)
        self.timeline = after.timeline

    def advance(self, position: LogPosition) -> None:
        self.next, self.digest, self.timeline = position.frame + 1, position.digest, position.timeline

    def skip(self, last: int, timeline: int) -> None:
        self.next, self.digest, self.timeline = last + 1, None, timeline


class _Copies:
    """The copies of one segment, loaded when they are needed, in the order of the vaults."""

    def __init__(self, reader: VaultLogReader, name: SegmentName, holders: Sequence[Holder]) -> None:
        self.name = name
        self._reader = reader
        self._waiting = list(holders)
        self._loaded: list[Copy] = []
        self._unread: dict[Holder, str] = {}  # why

    def each(self) -> Iterator[Copy]:
        """Those loaded, then the others one by one."""
        yield from list(self._loaded)
        while self._waiting:
            before = len(self._loaded)
            self._load(self._waiting.pop(0))
            yield from self._loaded[before:]

    def all(self) -> list[Copy]:
        return list(self.each())

    def seals(self) -> set[int]:
        """Numbers of the seals in the first copy that is whole; in any of them where none is."""
        found: set[int] = set()
        for copy in self.each():
            found.update(n for n, frame in copy.frames.items() if frame.header.type is FrameType.SEAL)
            if copy.closed and not copy.bad:
                break
        return found

    def loaded(self) -> list[Copy]:
        return self._loaded

    def numbers(self) -> set[int]:
        return {number for copy in self.all() for number in copy.numbers()}

    def reach(self) -> tuple[int, int]:
        """The last number that any copy may have, and the last that certainly was written whole.

        A copy of the same length as a first one that is whole adds nothing, and is not loaded.
        """
        if not self._loaded and self._waiting:
            self._load(self._waiting.pop(0))
        whole = self._loaded and not self._loaded[0].bad
        if not whole or self._unread or any(holder.size != self._loaded[0].size for holder in self._waiting):
            self.all()
        possible = certain = 0
        for copy in self._loaded:
            numbers, doubtful = copy.numbers(), copy.doubtful()
            possible = max([possible, *numbers])
            certain = max([certain, *(n for n in numbers if n != doubtful)])
            certain = max(certain, (doubtful or 1) - 1)  # was on disk before that one was begun
        if self.lost_at_end():
            certain = max([certain, *(max(copy.frames, default=self.name.first - 1) + 1 for copy in self._loaded)])
        return max(possible, certain), certain

    def lost_at_end(self) -> bool:
        return lost_at_end(self._loaded)

    def next_number(self, number: int, upto: int) -> int:
        """The next number after this one that any copy may have; past `upto` where there is none."""
        return min((n for n in self.numbers() if n > number), default=upto + 1)

    def _load(self, holder: Holder) -> None:
        try:
            copy = load_copy(holder.vault, self.name)
            self._loaded.append(copy)
            for fault in copy.faults:
                self._reader.note(f"{copy.vault}: {self.name}: {fault}")
        except (KeyError, VaultDown) as error:
            self._unread[holder] = str(error)
            self._reader.note(f"{holder.vault.name}: {self.name} cannot be read: {error}")

    def blind(self) -> bool:
        """Whether a copy that cannot be read may hold more than those that can."""
        self.reach()
        longest = max((copy.size for copy in self._loaded), default=segment.HEADER_BYTES)
        return any(holder.size > longest for holder in self._unread)

    def why_blind(self) -> str:
        return "; ".join(f"{holder.vault.name}: {reason}" for holder, reason in self._unread.items())


class _SealWitness:
    """Compares the heads that seals state with those of the changes read.

    A seal states at least the streams that have changed since the seal before. After a recovery it may state others
    again: these can be compared only where the log was read from its beginning.
    """

    def __init__(self, *, begins: bool) -> None:
        self._heads: dict[tuple[bytes, Kind], Head] = {}  # since the seal before
        self._all: dict[tuple[bytes, Kind], Head] | None = {} if begins else None  # where every frame was read

    def look(self, entry: LogFrame | Hole) -> Iterator[str]:
        """Problems, in words."""
        if isinstance(entry, Hole) or not entry.opened:
            self._all = None
            if isinstance(entry, LogFrame) and entry.sealed:
                self._heads.clear()
            return
        for change in entry.changes:
            self._heads[change.account, change.kind] = Head(change.rev, change.hash)
        if self._all is not None:
            self._all |= {(change.account, change.kind): Head(change.rev, change.hash) for change in entry.changes}
        if not entry.sealed:
            return
        for stream, head in entry.heads.items():
            seen = self._heads.get(stream)
            if seen is None and self._all is not None:
                seen = self._all.get(stream)
            if seen != head and (self._all is not None or seen is not None):
                rev = "nothing" if seen is None else f"rev {seen.rev}"
                yield (
                    f"{entry.source}: the seal in frame {entry.position.frame} states rev {head.rev} for {stream[1]} "
                    f"of account {stream[0].hex()}; the log gives {rev}"
                )
        self._heads.clear()


def _check_start(stretches: list[Stretch], after: LogPosition) -> None:
    if after == EMPTY_LOG:
        return
    first = stretches[0] if stretches else None
    inside = first is not None and first.timeline == after.timeline
    if first is not None and first.parent == after.timeline and first.opened > after.frame:
        return  # what lay before has been taken away or lost, and it goes on here; what is between is told as a hole
    if not inside or (first is not None and first.last is not None and after.frame > first.last):
        raise NotOnTheLog(
            f"the log does not lead past frame {after.frame} of timeline {after.timeline}: "
            "another writer went on from an earlier frame, or that timeline is gone",
            hint="this core is an old one; run `safehold recover plan` to see what it holds that the log does not",
        )


def _signed_by(frame: RawFrame, writer: bytes) -> bool:
    try:
        verify_frame(frame, writer)
    except Damaged:
        return False
    return True


_: type[LogReader] = VaultLogReader
