"""Blob objects of vaults: opened once all frames have been read, and written out once each.

By then the changes are known that name them, which say what their bodies must be, and which belong to an account that
was erased; and the identities that were replaced. Whoever reads the find needs no key.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from safehold.formats import blob
from safehold.formats.keys import Opener, SealedToOthers
from safehold.model.errors import Damaged
from safehold.ports.disk import Disk
from safehold.ports.streams import HashedSink, PulledSource
from safehold.ports.survivors import Aside
from safehold.salvage.ear import Ear
from safehold.salvage.keep import Keep
from safehold.salvage.marks import BlobStart
from safehold.salvage.reading import CHUNK_BYTES, FoundFile, Reading, Step, reading

ASIDE_BYTES = 1024 * 1024
DAMAGED = "blob that is damaged", "blobs that are damaged"
UNOPENED = "blob sealed to a key that was not given", "blobs sealed to a key that was not given"
#: Objects that are remembered; some 150 bytes each.
MAX_OBJECTS = 20_000_000


class _Object(NamedTuple):
    found: FoundFile
    source: int
    start: BlobStart


class SealedBlobs:
    """`blob_path` says where a blob was found before, `count` is told what was wrong."""

    def __init__(
        self,
        ear: Ear,
        disk: Disk,
        keep: Keep,
        blob_path: Callable[[bytes], str | None],
        count: Callable[[int, tuple[str, str]], None],
    ) -> None:
        self._ear = ear
        self._disk = disk
        self._keep = keep
        self._blob_path = blob_path
        self._count = count
        self._objects: list[_Object] = []

    def note(self, found: FoundFile, source: int, start: BlobStart) -> None:
        """To be opened later."""
        if len(self._objects) < MAX_OBJECTS:
            self._objects.append(_Object(found, source, start))

    def finish(self, opener: Opener, step: Step) -> None:
        """Open all that were noted. Raises OSError where nothing can be written."""
        objects, self._objects = self._objects, []
        for each in objects:
            if each.start.name in self._ear.erased_blobs or self._keep.has(self._blob_path(each.start.name) or ""):
                continue
            try:
                file = self._disk.open(each.found.path)
            except OSError as error:
                self._ear.problem(each.source, f"{each.found.name} cannot be read: {error.strerror or error}")
                continue
            file.close()
            with reading(self._disk, each.found) as source:
                self._take(source, each, opener, step)

    def _take(self, file: Reading, each: _Object, opener: Opener, step: Step) -> None:
        start = each.start
        end = start.end if start.end is not None else min(file.size, start.offset + ASIDE_BYTES)
        word, why = DAMAGED, "its end is missing"
        if start.end is not None:
            step(start.end - start.offset)
            try:
                self._open(file, each, start.end, opener)
            except SealedToOthers as error:
                word, why = UNOPENED, error.message
            except Damaged as error:
                why = error.message
            else:
                return
        self._count(each.source, word)
        where = f"{each.found.name}: blob {start.name.hex()[:16]}… at byte {start.offset}"
        data = b"" if word == UNOPENED else file.at(start.offset, min(ASIDE_BYTES, end - start.offset))
        self._ear.aside(Aside(each.source, where, why, "body", data))

    def _open(self, file: Reading, each: _Object, end: int, opener: Opener) -> None:
        """Raises Damaged, OSError."""
        name, offset = each.start.name, each.start.offset
        trailer = blob.parse_trailer(file.at(end - blob.TRAILER_BYTES, blob.TRAILER_BYTES), name)
        actual = sha256()
        for chunk in file.chunks(offset, end - blob.TRAILER_BYTES):
            actual.update(chunk)
        if actual.digest() != trailer.digest:
            raise Damaged("its digest does not match")
        pulled = PulledSource(file.at, offset + blob.HEADER_BYTES, trailer.sealed_bytes, CHUNK_BYTES)
        half = self._keep.begin()
        sink = HashedSink(half)
        try:
            try:
                opener.decrypt_stream(pulled, sink)
            except Damaged as error:
                raise sink.error or error from error
            digest = sink.digest.digest()
            if self._ear.blob_digests.get(name, digest) != digest:
                raise Damaged("it holds another body than the change says that names it")
            kept = half.finish()
        except BaseException:
            half.abort()
            raise
        self._ear.blob(name, kept.path, kept.size, each.source)
