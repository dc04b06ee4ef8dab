"""A segment: an object of the log that holds frames of one timeline. The page: docs/formats/segment.md.

    header   176 bytes  who wrote it, and the root's word for that
    frames
    footer   176 bytes  the header again, under another mark, once the segment is closed

Name: `log/TTTTTTTT/SSSSSSSS-NNNNNNNNNNNN.seg` in decimal: timeline, segment number 0, 1, 2 … within it, and the number
of its first frame. The first segment of a timeline is made before that number is known: there it is 0, and the
segment's exclusive creation is the claim of the timeline.

A frame whose number is not below the first frame of the next segment was given up: its write failed, it was never
acknowledged, and the writer went on with the same number in the next segment.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safehold.formats.ends import END_BYTES, encode_end, parse_end
from safehold.formats.keys import Sealer, certificate_holds

HEADER_MAGIC = b"\x93SHsegm\n"
FOOTER_MAGIC = b"\x94SHsegm\n"
LOG_PREFIX = "log/"
HEADER_BYTES = END_BYTES
#: Of a header, those that say which segment it is of: mark, version, timeline, number, first frame.
NAMED_BYTES = 28
_NAME = re.compile(r"log/(\d{8})/(\d{8})-(\d{12})\.seg\Z", re.ASCII)


class SegmentName(NamedTuple):
    """Where a segment stands; sorts as the names do."""

    timeline: int
    number: int
    first: int  # number of its first frame; 0 in a timeline's first segment

    def __str__(self) -> str:
        return f"{timeline_prefix(self.timeline)}{self.number:08d}-{self.first:012d}.seg"


class SegmentHeader(NamedTuple):
    timeline: int
    number: int
    first: int
    installation: bytes  # 16 bytes
    writer_public: bytes  # 32 bytes
    root_public: bytes  # 32 bytes
    certificate: bytes  # 64 bytes: the root's for the writer

    @property
    def name(self) -> SegmentName:
        return SegmentName(self.timeline, self.number, self.first)


def timeline_prefix(timeline: int) -> str:
    """The folder of a timeline's segments."""
    return f"{LOG_PREFIX}{timeline:08d}/"


def claim_object(timeline: int) -> str:
    """The object whose existence is the claim of a timeline."""
    return str(SegmentName(timeline, 0, 0))


def parse_name(name: str) -> SegmentName | None:
    """None where it is no segment's name."""
    match = _NAME.match(name)
    return SegmentName(*map(int, match.groups())) if match else None


def header_for(name: SegmentName, sealer: Sealer) -> SegmentHeader:
    """The header of a segment that this writer makes."""
    return SegmentHeader(*name, sealer.installation, sealer.writer.public, sealer.root_public, sealer.certificate)


def encode_header(header: SegmentHeader) -> bytes:
    return encode_end(HEADER_MAGIC, header)


def may_be_torn(name: SegmentName, beginning: bytes) -> bool:
    """Whether an object of this name that begins so may be one whose header was cut short: what stands there is its
    own, as far as that says which segment it is, and zeros follow."""
    own = encode_header(SegmentHeader(*name, bytes(16), bytes(32), bytes(32), bytes(64)))[:NAMED_BYTES]
    beginning = beginning[:NAMED_BYTES]
    came = next((n for n, byte in enumerate(beginning) if byte != own[n]), len(beginning))
    return not any(beginning[came:])


def encode_footer(header: SegmentHeader) -> bytes:
    return encode_end(FOOTER_MAGIC, header)


def parse_segment_header(data: bytes) -> SegmentHeader | None:
    """The header at the beginning of a segment, or None where it is missing or damaged."""
    fields = parse_end(HEADER_MAGIC, data[:HEADER_BYTES])
    return None if fields is None else SegmentHeader(*fields)


def parse_segment_footer(data: bytes) -> SegmentHeader | None:
    """The footer at the end of a segment that was closed, or None."""
    fields = parse_end(FOOTER_MAGIC, data[-HEADER_BYTES:])
    return None if fields is None else SegmentHeader(*fields)


def vouched(header: SegmentHeader, installation: bytes) -> bool:
    """Whether the segment is this installation's and its writer certified by the installation's root."""
    return header.installation == installation and certificate_holds(
        installation, header.root_public, header.writer_public, header.certificate
    )
