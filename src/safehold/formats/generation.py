"""The manifest of a generation: which run objects make it up. The page: docs/formats/run.md.

    header    176 bytes  as a run object's, under its own mark; number is 0
    frame                one GENERATION frame; number 0, prev the SHA-256 of the header
    footer    176 bytes

Name: `runs/GGGGGGGGGGGG/generation`. It is put last: with it the generation exists. Run objects of a folder without it
are those of a generation that is being written, or never was finished.
"""

from __future__ import annotations

import re

import msgspec

from safehold.formats.ends import encode_end, parse_end
from safehold.formats.run import HEADER_BYTES, RunHeader, generation_prefix
from safehold.formats.seal import SealedObject

HEADER_MAGIC = b"\x93SHgene\n"
FOOTER_MAGIC = b"\x94SHgene\n"
VERSION = 1
_NAME = re.compile(r"runs/(\d{12})/generation\Z", re.ASCII)


class RunEntry(msgspec.Struct, frozen=True, array_like=True):
    """A run object of the generation; it may lie in an older generation's folder."""

    object: SealedObject  # name, size and SHA-256 of all of it
    since: int  # frame: it holds changes after it; 0 for all
    upto: int  # frame: and not after this
    first_partition: int
    last_partition: int
    changes: int


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a GENERATION frame.

    `runs` cover, for each partition, the log from its beginning to `upto` without a gap or an overlap, oldest first.
    """

    version: int
    upto: tuple[int, int, bytes]  # log position: timeline, frame, digest
    at: int  # µs, the clock of who wrote it
    previous: tuple[int, bytes]  # generation before and digest of its GENERATION frame; (0, b"") for none
    dropped_upto: int  # frame: of what is not after it only what lives is kept; 0 where nothing is dropped
    runs: list[RunEntry]
    streams: int
    changes: int
    items: dict[str, int]  # live, by kind; as of the last full runs and what came since, where known


DECODER = msgspec.msgpack.Decoder(Manifest)


def manifest_object(generation: int) -> str:
    return f"{generation_prefix(generation)}generation"


def parse_manifest_name(name: str) -> int | None:
    """The generation; None where it is no manifest's name."""
    match = _NAME.match(name)
    return int(match[1]) if match else None


def encode_manifest_header(header: RunHeader) -> bytes:
    return encode_end(HEADER_MAGIC, header)


def encode_manifest_footer(header: RunHeader) -> bytes:
    return encode_end(FOOTER_MAGIC, header)


def parse_manifest_header(data: bytes) -> RunHeader | None:
    fields = parse_end(HEADER_MAGIC, data[:HEADER_BYTES])
    return None if fields is None else RunHeader(*fields)


def parse_manifest_footer(data: bytes) -> RunHeader | None:
    fields = parse_end(FOOTER_MAGIC, data[-HEADER_BYTES:])
    return None if fields is None else RunHeader(*fields)
