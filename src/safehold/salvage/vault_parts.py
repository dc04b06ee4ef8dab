"""Vaults with any holes, and single objects of vaults, whatever they are called and wherever they lie.

Objects are known by their marks (marks.py), not by names or listings. Each frame stands alone: it counts where a key
that the root has certified signed it, it opens with the identity, and each change in it is true to its own hash. So one
torn frame costs that frame. A body that is found without its change, and a change without its body, are put as such:
they find each other by the digest, whichever objects they come from.

What a seal or the directory of a run says of the heads of streams is a witness. What does not verify goes aside, opened
where it can be opened, so that a person can look at it.

No evidence names heads of streams; it is verified, counted, and tells nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.formats import run, seal, travelling
from safehold.formats.frame import FrameType, RawFrame
from safehold.formats.keys import Opener, SealedToOthers
from safehold.formats.payload import Unpacker
from safehold.formats.run import RunHeader
from safehold.formats.segment import SegmentHeader
from safehold.model.change import Change
from safehold.model.counting import count_text
from safehold.model.errors import Damaged
from safehold.model.stream import BadChange, Head, check_self
from safehold.ports.disk import Disk
from safehold.ports.survivors import Aside, Proof, Survivor, Witnessed
from safehold.salvage.certified import Certified
from safehold.salvage.ear import Ear
from safehold.salvage.keep import Keep
from safehold.salvage.marks import BlobStart, BrokenFrame, Gap, RunEnd, SegmentEnd, is_zeros, pieces
from safehold.salvage.reading import FoundFile, Held, Reading, Step, no_step, reading
from safehold.salvage.sealed_blobs import SealedBlobs

#: Of what goes aside, so many bytes are kept; the source has the rest.
ASIDE_BYTES = 1024 * 1024
#: Frames that may be verified once more is known. Those beyond go aside at once.
MAX_WAITING = 200_000
_ENDS = run.HEADER_BYTES
End = SegmentHeader | RunHeader
_UNSIGNED = "no key that the installation certified has signed these bytes: they are damaged, or somebody else's"
_GIVEN_UP = "its write failed and was done again in a later segment: it was never acknowledged"


class _Waiting(NamedTuple):
    """A frame that could not be verified or opened when it was come to."""

    found: FoundFile
    source: int
    offset: int


class VaultParts:
    """Scans files one by one. `glance` at all of them first tells whose signatures count."""

    def __init__(
        self,
        ear: Ear,
        disk: Disk,
        opener: Opener,
        keep: Keep,
        blob_path: Callable[[bytes], str | None],
        settled: Callable[[int, str], None],
    ) -> None:
        """`blob_path` says where a blob was found before; `settled` takes back what had gone aside from a place."""
        self.ear = ear
        self._disk = disk
        self.blobs = SealedBlobs(ear, disk, keep, blob_path, self.count)
        self._settled = settled
        self._opener = opener
        self._unpacker = Unpacker(opener)
        self.certified = Certified(opener.installation)
        self._waiting: list[_Waiting] = []
        self._found: Counter[tuple[int, tuple[str, str]]] = Counter()  # (source, words for one and for many)
        self.frames = 0  # good ones

    def glance(self, files: Sequence[FoundFile]) -> None:
        """Learn from both ends of files who may sign, and where segments begin."""
        for found in files:
            try:
                with reading(self._disk, found) as file:
                    for offset in {0, max(0, found.size - _ENDS)}:
                        for piece in pieces(Reading(Held(file.at(offset, _ENDS)), _ENDS)):
                            if isinstance(piece, (SegmentEnd, RunEnd)):
                                self.certified.vouched(piece.header)
            except OSError:
                continue

    def scan(self, found: FoundFile, source: int, step: Step = no_step, *, image: bool = False) -> int:
        """How many pieces of a vault it holds. Of an `image` nothing is said of what is no piece."""
        with reading(self._disk, found) as file:
            count = _Scan(self, file, found, source, image).run(step)
            if file.unread:
                self.ear.problem(source, f"{found.name}: the disk did not give {count_text(file.unread, 'byte')}")
        return count

    def finish(self, step: Step = no_step) -> None:
        """Try once more what could not be verified or opened, open blobs, and say what was wrong with each source."""
        while self._learn_identities() and self._waiting:
            self._try_again(last=False)
        self._try_again(last=True)
        self.blobs.finish(self._opener, step)
        for (source, word), count in sorted(self._found.items()):
            self.ear.problem(source, count_text(count, *word))
        self._found.clear()

    def _learn_identities(self) -> bool:
        """Whether an identity that was replaced came to light, which opens what was written before that."""
        before = self._opener.identities
        for item in list(self.ear.older_identities):
            try:
                self._opener = self._opener.with_older(travelling.open_identities(item, self._opener))
            except Damaged:
                continue
        if self._opener.identities == before:
            return False
        self._unpacker = Unpacker(self._opener)
        return True

    def _try_again(self, *, last: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            try:
                with reading(self._disk, each.found) as file:
                    frame = next(pieces(file, each.offset), None)
            except OSError:
                continue
            if isinstance(frame, RawFrame) and frame.offset == each.offset:
                self.take(frame, each.found, each.source, None, last=last)

    # -- one frame

    def take(
        self,
        frame: RawFrame,
        found: FoundFile,
        source: int,
        end: End | None,
        *,
        last: bool = False,
    ) -> None:
        """Verify and open a frame; put what is in it."""
        where = _where(found, frame)
        if not self.certified.signs(frame, end):
            if not self._wait(frame, found, source, last):
                self.count(
                    source, _of("frame", "whose signature does not match: damaged, or signed by nobody certified")
                )
                self._set_aside(frame, source, where, _UNSIGNED)
            return
        try:
            changes = self._open(frame, source)
        except SealedToOthers as error:
            if not self._wait(frame, found, source, last):
                self.count(source, _of("frame", "sealed to a key that was not given"))
                self._aside_frame(frame, source, where, error.message)
            return
        except Damaged as error:
            self.count(source, _of("frame", "that cannot be opened"))
            self._aside_frame(frame, source, where, error.message)
            return
        self.frames += 1
        if isinstance(end, SegmentHeader) and self.certified.given_up(frame, end):
            self._aside_changes(changes, source, where, _GIVEN_UP)
            return
        if self.ear.is_settled(source, where):
            self._settled(source, where)
        for change in changes:
            self._put(change, source, where, frame.header.number if frame.header.type is FrameType.CHANGES else 0)

    def _open(self, frame: RawFrame, source: int) -> Sequence[Change]:
        """The changes in a frame, after all else that it holds has been put. Raises Damaged."""
        unpack, type_, at = self._unpacker.unpack, frame.header.type, frame.header.at
        if type_ is FrameType.CHANGES:
            return self._unpacker.unpack_changes(frame.payload)
        if type_ is FrameType.INDEX:
            return _chained(unpack(frame.payload, run.INDEX_DECODER).changes)
        if type_ is FrameType.BODIES:
            for body in unpack(frame.payload, run.BODIES_DECODER):
                self.ear.body(sha256(body).digest(), body, source)
        elif type_ is FrameType.SEAL:
            for head in unpack(frame.payload, seal.DECODER).heads:
                self.ear.witness(Witnessed(head.account, head.kind, Head(head.rev, head.hash), at, "seal", source))
        elif type_ is FrameType.DIRECTORY:
            for stream in unpack(frame.payload, run.DIRECTORY_DECODER).streams:
                for rev, hash_ in ((stream.rev, stream.head), (stream.base.rev, stream.base.head)):
                    if rev:
                        told = Witnessed(stream.account, stream.kind, Head(rev, hash_), at, "generation", source)
                        self.ear.witness(told)
        return ()

    def _put(self, change: Change, source: int, where: str, frame: int) -> None:
        try:
            check_self(change)
        except BadChange as error:
            body = change.body
            bare = msgspec.structs.replace(change, body=None)
            self._aside_change(change, source, where, str(error))
            try:
                check_self(bare)
            except BadChange:
                return
            change = bare if body is not None else change
        self.ear.survivor(Survivor(change, Proof.CHAIN, source, where, frame))

    # -- aside

    def _wait(self, frame: RawFrame, found: FoundFile, source: int, last: bool) -> bool:
        """Whether it is tried again later."""
        if last or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(_Waiting(found, source, frame.offset))
        return True

    def _set_aside(self, frame: RawFrame, source: int, where: str, why: str) -> None:
        """Opened, where it is one of changes and can be: what was in it can be looked at then."""
        if frame.header.type in (FrameType.CHANGES, FrameType.INDEX):
            try:
                changes = self._open(frame, source)
            except Damaged:
                pass
            else:
                self._aside_changes(changes, source, where, why)
                return
        self._aside_frame(frame, source, where, why)

    def _aside_frame(self, frame: RawFrame, source: int, where: str, why: str) -> None:
        self.ear.aside(Aside(source, where, why, "frame", frame.data[:ASIDE_BYTES]))

    def _aside_changes(self, changes: Sequence[Change], source: int, where: str, why: str) -> None:
        for change in changes:
            self._aside_change(change, source, where, why)

    def _aside_change(self, change: Change, source: int, where: str, why: str) -> None:
        where = f"{where}: {change.kind} rev {change.rev}"
        data = (change.body or b"")[:ASIDE_BYTES]
        self.ear.aside(Aside(source, where, why, "change", data, change.account, change.kind, change.name))

    def count(self, source: int, word: tuple[str, str], count: int = 1) -> None:
        self._found[source, word] += count


def _of(what: str, which: str) -> tuple[str, str]:
    return f"{what} {which}", f"{what}s {which}"


class _Scan:
    """One file, from its first byte to its last."""

    def __init__(self, parts: VaultParts, file: Reading, found: FoundFile, source: int, image: bool) -> None:
        self._parts = parts
        self._file = file
        self._found = found
        self._source = source
        self._image = image
        self._end: End | None = None  # of the object that is being read
        self._broken: BrokenFrame | None = None  # a frame whose bytes follow as a gap
        self._cut_blob = False  # the gap that follows is what is left of a blob, told already
        self._closing = self._last_end()

    def run(self, step: Step) -> int:
        count = reached = 0
        for piece in pieces(self._file):
            step(piece.offset - reached)
            reached = piece.offset
            if isinstance(piece, Gap):
                self._gap(piece)
                self._cut_blob = False
                continue
            self._cut_blob = isinstance(piece, BlobStart) and piece.end is None
            count += 1
            self._tell_broken()
            if isinstance(piece, RawFrame):
                self._parts.take(piece, self._found, self._source, self._end or self._closing)
            elif isinstance(piece, (SegmentEnd, RunEnd)):
                self._take_end(piece)
            elif isinstance(piece, BlobStart):
                self._parts.blobs.note(self._found, self._source, piece)
            else:
                self._broken = piece
        self._tell_broken()
        step(self._file.size - reached)
        return count

    def _last_end(self) -> End | None:
        """The footer at the end of a file: it speaks for frames whose header is lost. Not of an image."""
        if self._image or self._file.size < _ENDS:
            return None
        tail = Reading(Held(self._file.at(self._file.size - _ENDS, _ENDS)), _ENDS)
        piece = next(pieces(tail), None)
        if not isinstance(piece, (SegmentEnd, RunEnd)) or not piece.closing:
            return None
        return piece.header if self._parts.certified.vouched(piece.header) else None

    def _take_end(self, piece: SegmentEnd | RunEnd) -> None:
        if self._parts.certified.vouched(piece.header):
            self._end = None if piece.closing else piece.header
            return
        self._end = None
        other = piece.header.installation
        if other != self._parts.certified.installation:
            word = _of("object", f"of another installation ({other.hex()})")
        else:
            word = _of("object", "whose writer the installation never certified")
        if not piece.closing:
            self._parts.count(self._source, word)

    def _tell_broken(self) -> None:
        """A frame of which the header alone is right, without a byte behind it that is no other piece."""
        if self._broken is not None:
            self._aside_broken(self._broken, b"")
            self._broken = None

    def _aside_broken(self, broken: BrokenFrame, behind: bytes) -> None:
        self._parts.count(self._source, ("frame that is damaged", "frames that are damaged"))
        header = broken.header
        where = f"{self._found.name}: frame {header.number} at byte {broken.offset}"
        head = self._file.at(broken.offset, 88)
        self._parts.ear.aside(Aside(self._source, where, broken.reason, "frame", head + behind))

    def _gap(self, gap: Gap) -> None:
        if self._broken is not None:
            size = min(gap.end - gap.offset, self._broken.header.payload_bytes + 76, ASIDE_BYTES)
            self._aside_broken(self._broken, self._file.at(gap.offset, size))
            self._broken = None
            return
        if self._image or self._cut_blob:
            return
        size = gap.end - gap.offset
        if is_zeros(self._file, gap):
            self._parts.count(
                self._source, ("stretch of zeros where frames should be", "stretches of zeros where frames should be")
            )
            return
        self._parts.count(self._source, ("stretch that is no frame", "stretches that are no frame"))
        where = f"{self._found.name}: {count_text(size, 'byte')} at byte {gap.offset}"
        data = self._file.at(gap.offset, min(size, ASIDE_BYTES))
        self._parts.ear.aside(Aside(self._source, where, "no frame begins there", "frame", data))


def _chained(changes: Sequence[Change]) -> Sequence[Change]:
    """The changes of an INDEX frame, with the `prev` that is left out where it is the hash of the change before it."""
    before: Change | None = None
    for change in changes:
        if not change.prev and before is not None and (before.account, before.kind) == (change.account, change.kind):
            msgspec.structs.force_setattr(change, "prev", before.hash)
        before = change
    return changes


def _where(found: FoundFile, frame: RawFrame) -> str:
    return f"{found.name}: frame {frame.header.number} at byte {frame.offset}"
