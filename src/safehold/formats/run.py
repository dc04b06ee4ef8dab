"""A run object: changes sorted for restoring. The page: docs/formats/run.md.

    header    176 bytes  ends.py; first is the generation, number the object's place in it
    frames               INDEX and BODIES, as they come
    directory            the last frame: which streams, and where every frame is
    footer    176 bytes  the header again, under another mark

Name: `runs/GGGGGGGGGGGG/NNN.run` in decimal. Generation G covers the log up to frame G; the object holds the changes of
its partitions whose frame is after `since` and not after G. Changes are sorted by kind in restore order, account id and
rev. Every frame's `prev` is the SHA-256 of the object's header, and its `number` its place in the object from 0: no
frame passes for one of another object or place.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.formats.ends import END_BYTES, encode_end, parse_end
from safehold.formats.keys import Role, Sealer, certificate_holds
from safehold.model.change import Change
from safehold.model.kinds import Kind

HEADER_MAGIC = b"\x93SHruns\n"
FOOTER_MAGIC = b"\x94SHruns\n"
RUNS_PREFIX = "runs/"
HEADER_BYTES = END_BYTES
VERSION = 1
PARTITIONS = 64
#: Bounds of frames, before compression. A single change or body may be larger, and then has a frame of its own.
INDEX_CHANGES = 1024
INDEX_BYTES = 256 * 1024
BODIES_BYTES = 256 * 1024
#: Of the frames of a run. Level 3 makes them 6 % smaller and takes 60 % longer, an eighth of all that a run costs.
ZSTD_LEVEL = 1
#: A pointer to a body: the frame's number in the object, shifted, and the body's place in the frame.
PLACE_BITS = 20
NO_BODY = -1
_NAME = re.compile(r"runs/(\d{12})/(\d{3})\.run\Z", re.ASCII)


def partition_of(account: bytes) -> int:
    """Which of the 64 partitions an account belongs to; those of a run object are neighbours."""
    return account[0] >> 2


class RunName(NamedTuple):
    generation: int
    number: int

    def __str__(self) -> str:
        return f"{generation_prefix(self.generation)}{self.number:03d}.run"


class RunHeader(NamedTuple):
    timeline: int  # of the log frame that the generation covers last
    number: int
    generation: int
    installation: bytes  # 16 bytes
    writer_public: bytes  # 32 bytes: of the writer or keeper
    root_public: bytes  # 32 bytes
    certificate: bytes  # 64 bytes

    @property
    def name(self) -> RunName:
        return RunName(self.generation, self.number)


class FramePlace(msgspec.Struct, frozen=True, array_like=True):
    """A frame of the object. Frames are listed in the order of their numbers, from 0; the directory is not."""

    offset: int
    size: int
    digest: bytes  # SHA-256 of all of it


class RunBase(msgspec.Struct, frozen=True, array_like=True):
    """Where a stream begins here: what was before is represented by what lived at the base. Rev 0: nothing dropped."""

    timeline: int
    rev: int
    head: bytes  # hash at rev, GENESIS for 0
    root: bytes  # state root at rev (model/root.py); b"" for 0


class RunStream(msgspec.Struct, frozen=True, array_like=True):
    """One stream's part of a run object; changes are counted from 0 through its index frames.

    Of a delta `base` is where the run before ended: base.root is b"", and every rev after base.rev is here.
    """

    account: bytes
    kind: Kind
    base: RunBase
    rev: int  # the stream's head at the end of this run
    head: bytes
    root: bytes  # state root at rev; b"" where it was not computed (deltas)
    changes: int  # how many are here
    items: int  # live at rev; 0 in deltas
    index: int  # number of the index frame that holds the first
    place: int  # of the first in that index frame


class Directory(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a DIRECTORY frame. Streams are sorted by kind in restore order, then account id."""

    version: int
    generation: int
    number: int
    since: int  # frame: changes after it; 0 for all
    first_partition: int
    last_partition: int
    frames: list[FramePlace]
    streams: list[RunStream]
    blobs: list[bytes]  # names of the blobs that changes here name, sorted


class Index(msgspec.Struct, frozen=True, array_like=True):
    """The payload of an INDEX frame.

    `prev` of a change is b"" where it is the hash of the change before it in its stream here.
    `bodies` has, for each change, the pointer to its body, or NO_BODY where it has none inline.
    """

    changes: list[Change]
    bodies: list[int]


#: The payload of a BODIES frame.
Bodies = list[bytes]

DIRECTORY_DECODER = msgspec.msgpack.Decoder(Directory)
INDEX_DECODER = msgspec.msgpack.Decoder(Index)
BODIES_DECODER = msgspec.msgpack.Decoder(Bodies)


def generation_prefix(generation: int) -> str:
    """The folder of a generation's objects."""
    return f"{RUNS_PREFIX}{generation:012d}/"


def parse_run_name(name: str) -> RunName | None:
    """None where it is no run object's name."""
    match = _NAME.match(name)
    return RunName(*map(int, match.groups())) if match else None


def run_header(timeline: int, name: RunName, sealer: Sealer) -> RunHeader:
    """The header of an object that this sealer writes."""
    return RunHeader(
        timeline,
        name.number,
        name.generation,
        sealer.installation,
        sealer.writer.public,
        sealer.root_public,
        sealer.certificate,
    )


def encode_run_header(header: RunHeader) -> bytes:
    return encode_end(HEADER_MAGIC, header)


def encode_run_footer(header: RunHeader) -> bytes:
    return encode_end(FOOTER_MAGIC, header)


def parse_run_header(data: bytes) -> RunHeader | None:
    """From the first bytes of an object, or None."""
    fields = parse_end(HEADER_MAGIC, data[:HEADER_BYTES])
    return None if fields is None else RunHeader(*fields)


def parse_run_footer(data: bytes) -> RunHeader | None:
    """From the last bytes of an object, or None."""
    fields = parse_end(FOOTER_MAGIC, data[-HEADER_BYTES:])
    return None if fields is None else RunHeader(*fields)


def object_digest(header: RunHeader) -> bytes:
    """What every frame of the object carries as `prev`."""
    return sha256(encode_run_header(header)).digest()


def role_of(header: RunHeader, installation: bytes) -> Role | None:
    """Whose word the object is, by the root's certificate; None where it is nobody's of this installation."""
    if header.installation != installation:
        return None
    for role in Role:
        if certificate_holds(installation, header.root_public, header.writer_public, header.certificate, role):
            return role
    return None


def body_pointer(frame: int, place: int) -> int:
    """See PLACE_BITS."""
    assert place < 1 << PLACE_BITS
    return frame << PLACE_BITS | place


def split_pointer(pointer: int) -> tuple[int, int]:
    """Frame and place of a body."""
    return pointer >> PLACE_BITS, pointer & (1 << PLACE_BITS) - 1
