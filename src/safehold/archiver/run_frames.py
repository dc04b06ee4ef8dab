"""The bytes of one run object: frames as they fill, in bounded memory, into a file.

    put_change   an envelope, as msgpack, and its body
    finish       the last frames, the directory and the footer

Bodies lie in BODIES frames before the INDEX frame that points to them. The first envelope of a stream in an INDEX
frame says its `prev` in full, so that each frame can be read without the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from safehold.formats import run
from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.keys import Sealer
from safehold.formats.payload import Packer
from safehold.formats.run import Directory, FramePlace, RunName, RunStream
from safehold.formats.seal import SealedObject
from safehold.ports.disk import File
from safehold.ports.streams import FileSink

_encode = msgspec.msgpack.Encoder().encode


class RunFrames:
    """Writes one run object to a file that is empty. `at` (µs) goes into every frame."""

    def __init__(self, file: File, timeline: int, name: RunName, sealer: Sealer, at: int) -> None:
        self._sink = FileSink(file)
        self._name = name
        self._timeline = timeline
        self._at = at
        self._sign = sealer.writer.sign
        self._pack = Packer(sealer, run.ZSTD_LEVEL).pack_plain
        header = run.run_header(timeline, name, sealer)
        self._prev = run.object_digest(header)
        self._footer = run.encode_run_footer(header)
        self._sink.write(run.encode_run_header(header))
        self._places: list[FramePlace] = []
        #: Of the INDEX frame that is filling: envelopes, pointers to bodies, bytes of the envelopes.
        self._envelopes: list[bytes] = []
        self._pointers: list[int] = []
        self._index_bytes = 0
        #: Of the BODIES frame that is filling, and where in the index their envelopes are.
        self._bodies: list[bytes] = []
        self._bodies_bytes = 0
        self._owners: list[int] = []
        #: Streams that begin in the INDEX frame that is filling: number in `streams`, place.
        self._begun: list[tuple[int, int]] = []
        self._index_of: list[tuple[int, int]] = []  # for each stream: INDEX frame, place

    def begin_stream(self) -> None:
        """The next envelope is a stream's first. Not for a stream without any."""
        self._begun.append((len(self._index_of), len(self._envelopes)))
        self._index_of.append((0, 0))

    def empty_stream(self) -> None:
        """A stream of which nothing is here."""
        self._index_of.append((0, 0))

    def room_for(self, size: int) -> bool:
        """Whether an envelope of so many bytes goes into the INDEX frame that is filling; flush where not."""
        count = len(self._envelopes)
        return not count or (count < run.INDEX_CHANGES and self._index_bytes + size <= run.INDEX_BYTES)

    def put_change(self, envelope: bytes, body: bytes | None) -> None:
        if body is None:
            self._pointers.append(run.NO_BODY)
        else:
            size = len(body)
            if self._bodies and self._bodies_bytes + size > run.BODIES_BYTES:
                self._flush_bodies()
            self._owners.append(len(self._envelopes))
            self._bodies.append(body)
            self._bodies_bytes += size
            self._pointers.append(0)
        self._envelopes.append(envelope)
        self._index_bytes += len(envelope)

    def flush(self) -> None:
        """Write what is filling."""
        self._flush_bodies()
        if not self._envelopes:
            return
        changes = msgspec.Raw(b"".join((_array(len(self._envelopes)), *self._envelopes)))
        number = self._frame(FrameType.INDEX, _encode((changes, self._pointers)), len(self._envelopes))
        for stream, place in self._begun:
            self._index_of[stream] = (number, place)
        self._begun.clear()
        self._envelopes.clear()
        self._pointers.clear()
        self._index_bytes = 0

    def finish(self, since: int, partitions: tuple[int, int], streams: Sequence[RunStream], blobs: list[bytes]) -> None:
        """Streams in the order in which they were begun; their places are filled in here."""
        self.flush()
        assert len(streams) == len(self._index_of)
        placed = [
            msgspec.structs.replace(stream, index=index, place=place)
            for stream, (index, place) in zip(streams, self._index_of, strict=True)
        ]
        name = self._name
        directory = Directory(
            run.VERSION, name.generation, name.number, since, *partitions, list(self._places), placed, blobs
        )
        self._frame(FrameType.DIRECTORY, _encode(directory), 0)
        self._sink.write(self._footer)

    @property
    def object(self) -> SealedObject:
        """What was written, as a seal states it."""
        return SealedObject(str(self._name), self._sink.offset, self._sink.digest.digest())

    def _flush_bodies(self) -> None:
        if not self._bodies:
            return
        number = self._frame(FrameType.BODIES, _encode(self._bodies), 0)
        for place, owner in enumerate(self._owners):
            self._pointers[owner] = run.body_pointer(number, place)
        self._bodies.clear()
        self._owners.clear()
        self._bodies_bytes = 0

    def _frame(self, type_: FrameType, plain: bytes, changes: int) -> int:
        number = len(self._places)
        header = FrameHeader(type_, self._timeline, 0, 0, number, self._at, changes, 0, self._prev)
        data = encode_frame(header, self._pack(plain), self._sign)
        self._places.append(FramePlace(self._sink.offset, len(data), sha256(data).digest()))
        self._sink.write(data)
        return number


def _array(count: int) -> bytes:
    """The head of a msgpack array."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big")
