"""What the bytes of one object of a vault say by themselves: every byte is under some digest or signature.

segment    header and footer by their checksums, certificate and name; frames by signature, number and the digest of the
           frame before; what is left at the end of a segment without a footer is `tail`, for others to judge
blob       both ends and the digest
run object, manifest, evidence   ends, certificate and name; frames by signature, number and the digest of the header
FORMAT     the very text

No key is needed, but for what seals and manifests state of other objects: with an opener that is read too. Which
objects should be there, and whether a tail or a missing frame matters, is for others to say (recovery/judging.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.formats import blob, evidence, generation, run, seal, segment
from safehold.formats.ends import END_BYTES
from safehold.formats.frame import (
    HEADER_BYTES,
    LOG_TYPES,
    MAGIC,
    BadRange,
    FrameType,
    RawFrame,
    parse_header,
    scan_frames,
    verify_frame,
)
from safehold.formats.keys import SealedToOthers
from safehold.formats.payload import Unpacker
from safehold.formats.run import RunHeader
from safehold.formats.seal import SealedObject
from safehold.formats.segment import SegmentName
from safehold.model.errors import Damaged
from safehold.vault.evidence import VAULTS

CHUNK_BYTES = 1024 * 1024
_SECTOR_BYTES = 512
#: (offset, count) -> that many bytes of an object, fewer at its end.
Read = Callable[[int, int], bytes]


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that are not what they should be. `number` is the frame's whose header stands there, 0 where none does."""

    offset: int
    end: int
    why: str
    number: int = 0


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Frames that follow each other, number by number and digest by digest."""

    first: int
    prev: bytes  # of the first
    last: int
    digest: bytes  # of the last
    end: int  # byte after the last


class SegmentSeen(msgspec.Struct):
    """A segment, read whole."""

    name: str
    size: int
    digest: bytes
    headed: bool = False  # its header is whole, names this place and is certified
    foreign: str = ""  # why the header, though whole, is not that of this object
    closed: bool = False
    good_end: int = 0  # where the frames end that follow each other from the start
    good_digest: bytes = b""
    spans: list[Span] = []
    faults: list[Fault] = []
    tail: Fault | None = None
    opened: int = 0  # what its frames say: number of the timeline's claim
    parent: int = 0  # and the timeline that this one continues
    seals: list[int] = []  # numbers of seals in it
    stated: list[SealedObject] = []  # what those state
    pending: list[str] = []
    unopened: int = 0  # seals that are sealed to a key that was not given

    @property
    def last(self) -> int:
        """The highest number of a good frame; 0 where there is none."""
        return max((span.last for span in self.spans), default=0)


class Keys:
    """Who may have signed: writers whose certificate was seen in any header, and the key that opens, if any."""

    def __init__(self, installation: bytes, unpacker: Unpacker | None = None) -> None:
        self.installation = installation
        self.unpacker = unpacker
        self._writers: dict[bytes, bool] = {}
        self._roles: dict[tuple[bytes, ...], bool] = {}

    def certified(self, header: segment.SegmentHeader) -> bool:
        key = (header.installation, header.writer_public, header.root_public, header.certificate)
        if key not in self._roles:
            self._roles[key] = segment.vouched(header, self.installation)
        if self._roles[key]:
            self._writers[header.writer_public] = True
        return self._roles[key]

    def writers(self) -> Iterable[bytes]:
        return list(self._writers)

    def has_role(self, header: RunHeader) -> bool:
        """Whether the root certified whoever wrote a run object or evidence, as a writer or as a keeper."""
        key = (b"role", header.installation, header.writer_public, header.root_public, header.certificate)
        if key not in self._roles:
            self._roles[key] = run.role_of(header, self.installation) is not None
        return self._roles[key]


# -- segments


def read_segment(name: SegmentName, data: bytes, keys: Keys) -> SegmentSeen:
    """Everything that can be said of these bytes under this name."""
    seen = SegmentSeen(str(name), len(data), sha256(data).digest())
    header, footer = segment.parse_segment_header(data), segment.parse_segment_footer(data)
    if header is not None and header.name != name:
        seen.foreign = f"it is {header.name}, under another name"
    elif header is not None and not keys.certified(header):
        seen.foreign = "its writer is not certified by this installation"
    seen.headed = header is not None and not seen.foreign
    start = segment.HEADER_BYTES if header is not None else 0
    if not seen.headed:
        seen.faults.append(Fault(0, min(len(data), segment.HEADER_BYTES), seen.foreign or "its header is damaged"))
    whole_footer = footer is not None and (footer.name == name and keys.certified(footer))
    if footer is not None and len(data) >= 2 * segment.HEADER_BYTES:
        seen.closed = True
        if not whole_footer or (seen.headed and footer != header):
            seen.faults.append(Fault(len(data) - segment.HEADER_BYTES, len(data), "its footer is another object's"))
    known = header if seen.headed else footer if whole_footer else None
    writers = [known.writer_public] if known is not None else list(keys.writers())
    stop = len(data) - segment.HEADER_BYTES * seen.closed
    _read_frames(seen, name, data, start, stop, writers, keys.unpacker)
    return seen


def _read_frames(
    seen: SegmentSeen,
    name: SegmentName,
    data: bytes,
    start: int,
    stop: int,
    writers: Iterable[bytes],
    unpacker: Unpacker | None,
) -> None:
    items = list(scan_frames(data, start, stop))
    seen.good_end = start
    expected = name.first if name.number else 0  # of the first frame; a timeline's first segment does not say
    after_fault = not seen.headed
    for place, item in enumerate(items):
        final = place == len(items) - 1 and not seen.closed
        why = _complaint(seen, name, item, writers)
        if why:
            number = item.header.number if item.header is not None else 0
            end = item.end if isinstance(item, BadRange) else item.offset + len(item.data)
            fault = Fault(item.offset, end, why, number)
            if item.offset == 0 and not seen.headed:
                continue  # the header's own damage, told already
            if final and (strange := _strange_tail(data, item.offset, expected)):
                seen.faults.append(fault if item.header is not None else msgspec.structs.replace(fault, why=strange))
            elif final:
                seen.tail = fault
            else:
                seen.faults.append(fault)
            after_fault = True
            continue
        assert isinstance(item, RawFrame)
        if not _extend(seen, item, expected, after_fault):
            seen.faults.append(
                Fault(
                    item.offset,
                    item.offset + len(item.data),
                    "it does not continue the frame before it",
                    item.header.number,
                )
            )
        after_fault = False
        expected = item.header.number + 1
        if not seen.faults:
            seen.good_end = item.offset + len(item.data)
        if item.header.type is FrameType.SEAL:
            _note_seal(seen, item, unpacker)
    _note_footer(seen, data)
    seen.good_digest = seen.digest if seen.good_end == len(data) else sha256(data[: seen.good_end]).digest()


def _complaint(seen: SegmentSeen, name: SegmentName, item: RawFrame | BadRange, writers: Iterable[bytes]) -> str:
    """Why these bytes are no frame of this segment; "" where they are one."""
    if isinstance(item, BadRange):
        return item.reason
    header = item.header
    if header.type not in LOG_TYPES:
        return "a frame that belongs into no log"
    if header.timeline != name.timeline:
        return f"a frame of timeline {header.timeline}"
    if not any(is_signed(item, writer) for writer in writers):
        return "its signature does not match"
    if seen.opened and (seen.opened, seen.parent) != (header.opened, header.parent):
        return "it says something else of what its timeline continues"
    seen.opened, seen.parent = header.opened, header.parent
    return ""


def belongs(frame: RawFrame, name: SegmentName, last: int | None) -> bool:
    """Whether a frame may stand in a segment; `last` is the last number that counts in it, None where none is known."""
    header = frame.header
    if header.type not in LOG_TYPES or header.timeline != name.timeline or header.number < name.first:
        return False
    return last is None or header.number <= last


def is_signed(frame: RawFrame, writer: bytes) -> bool:
    try:
        verify_frame(frame, writer)
    except Damaged:
        return False
    return True


def _extend(seen: SegmentSeen, frame: RawFrame, expected: int, after_fault: bool) -> bool:
    """Add a good frame; False where it does not follow what is before it and no damage explains that."""
    header, end, digest = frame.header, frame.offset + len(frame.data), frame.digest
    last = seen.spans[-1] if seen.spans else None
    if last is not None and not after_fault and header.number == last.last + 1 and header.prev == last.digest:
        seen.spans[-1] = Span(last.first, last.prev, header.number, digest, end)
        return True
    seen.spans.append(Span(header.number, header.prev, header.number, digest, end))
    if after_fault:
        return last is None or header.number > last.last
    return last is None and expected in (0, header.number)


def _strange_tail(data: bytes, offset: int, expected: int) -> str:
    """Why bytes behind the last good frame are not even the beginning of a write that failed; "" where they may be.

    Such a write begins with the mark of a frame or a footer; of sectors that never came to disk there may be zeros.
    """
    sector = data[offset : (offset // _SECTOR_BYTES + 1) * _SECTOR_BYTES]
    if not any(sector):
        return ""
    if segment.parse_segment_footer(data[offset : offset + segment.HEADER_BYTES]) is not None:
        return "bytes stand behind its footer"
    marks = (MAGIC, segment.FOOTER_MAGIC)
    if not any(sector[: len(magic)] == magic[: len(sector)] for magic in marks):
        return "bytes that nobody wrote stand at its end"
    if sector.startswith(MAGIC) and len(sector) >= HEADER_BYTES:
        header = parse_header(sector)
        if header is None or (expected and header.number != expected):
            return "no frame header, or its checksum does not match"
    return ""


def _note_seal(seen: SegmentSeen, frame: RawFrame, unpacker: Unpacker | None) -> None:
    seen.seals.append(frame.header.number)
    if unpacker is None:
        return
    try:
        sealed = unpacker.unpack(frame.payload, seal.DECODER)
    except SealedToOthers:
        seen.unopened += 1
        return
    except Damaged as error:  # well signed, so written like this: its heads and objects are unknown
        end = frame.offset + len(frame.data)
        seen.faults.append(Fault(frame.offset, end, f"the seal cannot be read: {error.message}", frame.header.number))
        return
    seen.stated += [*sealed.segments, *sealed.blobs, *sealed.objects]
    seen.pending += sealed.pending


def _note_footer(seen: SegmentSeen, data: bytes) -> None:
    """A last stretch that is nearly the header again was a footer, not the beginning of a frame."""
    end = data[-segment.HEADER_BYTES :]
    if seen.closed or seen.tail is None or len(data) < 2 * segment.HEADER_BYTES:
        return
    same = sum(a == b for a, b in zip(end, data[: segment.HEADER_BYTES], strict=True))
    if same > segment.HEADER_BYTES // 2:
        seen.faults.append(Fault(len(data) - segment.HEADER_BYTES, len(data), "its footer is damaged"))


# -- blobs


def check_blob(name: bytes, size: int, read: Read) -> tuple[str, SealedObject | None]:
    """What is wrong with a blob object, and how a seal would state it as it is. Reads all of it once."""
    object_ = blob.blob_object(name)
    if size < blob.OVERHEAD_BYTES:
        return f"it is {size} bytes long, too short for a blob", None
    end = size - blob.TRAILER_BYTES
    whole = sha256()
    why = ""
    for offset in range(0, end, CHUNK_BYTES):
        chunk = read(offset, min(CHUNK_BYTES, end - offset))
        if not offset:
            why = _header_fault(chunk, name)
        whole.update(chunk)
    stated = SealedObject(object_, end, whole.digest())
    tail = read(end, blob.TRAILER_BYTES)
    try:
        trailer = blob.parse_trailer(tail, name)
    except Damaged as error:
        return why or error.message, stated
    if blob.encode_trailer(trailer) != tail:
        why = why or "the blob's end is damaged"
    if trailer.sealed_bytes + blob.OVERHEAD_BYTES != size:
        why = why or f"it is {size} bytes long; its end says {trailer.sealed_bytes + blob.OVERHEAD_BYTES}"
    if trailer.digest != stated.digest:
        why = why or "its digest does not match"
    return why, stated


def _header_fault(data: bytes, name: bytes) -> str:
    try:
        blob.check_header(data, name)
    except Damaged as error:
        return error.message
    return ""


# -- run objects, manifests, evidence: ends and frames


class Framed(NamedTuple):
    """What a framed object came to: `why` it is damaged, its digest, what it states of others, where it was put."""

    why: str
    digest: bytes
    stated: Sequence[SealedObject] = ()
    placed: Sequence[str] = ()
    unopened: bool = False  # what it states is sealed to a key that was not given


class _Sort(NamedTuple):
    parse_header: Callable[[bytes], RunHeader | None]
    parse_footer: Callable[[bytes], RunHeader | None]
    types: frozenset[FrameType]  # of all frames but the last
    last: FrameType
    place: Callable[[RunHeader], str]  # the name that the header gives


_RUN = _Sort(
    run.parse_run_header,
    run.parse_run_footer,
    frozenset((FrameType.INDEX, FrameType.BODIES)),
    FrameType.DIRECTORY,
    lambda header: str(header.name),
)
_MANIFEST = _Sort(
    generation.parse_manifest_header,
    generation.parse_manifest_footer,
    frozenset(),
    FrameType.GENERATION,
    lambda header: generation.manifest_object(header.generation),
)
_EVIDENCE = _Sort(
    evidence.parse_evidence_header,
    evidence.parse_evidence_footer,
    frozenset(),
    FrameType.EVIDENCE,
    lambda header: str(evidence.EvidenceName(header.generation, header.writer_public.hex()[:8])),
)


def check_framed(object_: str, size: int, read: Read, keys: Keys) -> Framed | None:
    """A run object, manifest or evidence by its name; None where the name is none of these. Reads all of it once."""
    if run.parse_run_name(object_) is not None:
        sort = _RUN
    elif generation.parse_manifest_name(object_) is not None:
        sort = _MANIFEST
    elif evidence.parse_evidence_name(object_) is not None:
        sort = _EVIDENCE
    else:
        return None
    whole = sha256()

    def take(offset: int, count: int) -> bytes:
        data = read(offset, count)
        whole.update(data)
        return data

    try:
        stated, placed = _check_framed(object_, size, take, keys, sort)
    except SealedToOthers:  # the last that is looked at: all the rest of it holds
        return Framed("", whole.digest(), unopened=True)
    except Damaged as error:
        return Framed(error.message, b"")
    return Framed("", whole.digest(), stated, placed)


def _check_framed(object_: str, size: int, read: Read, keys: Keys, sort: _Sort) -> tuple[list[SealedObject], list[str]]:
    """What it states of others, and where it was put. Raises Damaged."""
    if size < 2 * END_BYTES:
        raise Damaged(f"it is {size} bytes long, too short for what it is")
    head = read(0, END_BYTES)
    header = sort.parse_header(head)
    if header is None:
        raise Damaged("its header is damaged")
    if sort.place(header) != object_:
        raise Damaged(f"it is {sort.place(header)}, under another name")
    if not keys.has_role(header):
        raise Damaged("whoever wrote it is not certified by this installation")
    offset, number, stop, digest = END_BYTES, 0, size - END_BYTES, sha256(head).digest()
    last: RawFrame | None = None
    places: list[run.FramePlace] = []
    while offset < stop:
        if last is not None:
            places.append(run.FramePlace(last.offset, len(last.data), last.digest))
            if last.header.type not in sort.types:
                raise Damaged(f"frame {number - 1} does not belong there")
        last = _next_frame(read, offset, stop, header, number, digest)
        offset += len(last.data)
        number += 1
    if last is None or last.header.type is not sort.last:
        raise Damaged("its last frame is missing")
    foot = read(stop, END_BYTES)
    if sort.parse_footer(foot) != header:
        raise Damaged("its footer is damaged")
    return _stated(last, places, keys)


def _next_frame(read: Read, offset: int, stop: int, header: RunHeader, number: int, digest: bytes) -> RawFrame:
    head = read(offset, min(HEADER_BYTES, stop - offset))
    parsed = parse_header(head)
    if parsed is None:
        raise Damaged(f"no frame stands at byte {offset}")
    if offset + parsed.total_bytes > stop:
        raise Damaged(f"the frame at byte {offset} is cut short")
    data = head + read(offset + len(head), parsed.total_bytes - len(head))
    item = next(scan_frames(data))
    if isinstance(item, BadRange):
        raise Damaged(f"the frame at byte {offset}: {item.reason}")
    if parsed.number != number or parsed.prev != digest:
        raise Damaged(f"the frame at byte {offset} is not the one that belongs there")
    try:
        verify_frame(item, header.writer_public)
    except Damaged as error:
        raise Damaged(f"the frame at byte {offset}: {error.message}") from None
    return item._replace(offset=offset)


def _stated(last: RawFrame, places: list[run.FramePlace], keys: Keys) -> tuple[list[SealedObject], list[str]]:
    """With a key: a directory must name the frames that are there; a manifest states its run objects."""
    if keys.unpacker is None:
        return [], []
    if last.header.type is FrameType.DIRECTORY:
        directory = keys.unpacker.unpack(last.payload, run.DIRECTORY_DECODER)
        if directory.frames != places:
            raise Damaged("its directory does not name the frames that are there")
        return [], []
    if last.header.type is FrameType.GENERATION:
        manifest = keys.unpacker.unpack(last.payload, generation.DECODER)
        return [entry.object for entry in manifest.runs], []
    placed = keys.unpacker.unpack(last.payload, evidence.DECODER).facts.get(VAULTS)
    return [], [str(name) for name in placed] if isinstance(placed, list) else []
