"""What a power loss leaves of a segment's header, and what it never leaves."""

from __future__ import annotations

import pytest

from safehold.formats.segment import HEADER_BYTES, SegmentHeader, SegmentName, encode_header, may_be_torn

NAME = SegmentName(4, 5, 51)


def _header(name: SegmentName) -> bytes:
    return encode_header(SegmentHeader(*name, b"i" * 16, b"w" * 32, b"r" * 32, b"c" * 64))


def test_every_beginning_of_its_own_header_may_be_torn_with_zeros_behind_or_without() -> None:
    own = _header(NAME)
    for size in range(HEADER_BYTES):
        assert may_be_torn(NAME, own[:size])
        assert may_be_torn(NAME, own[:size] + bytes(HEADER_BYTES - size))


@pytest.mark.parametrize("other", [NAME._replace(timeline=3), NAME._replace(number=4), NAME._replace(first=48)])
def test_no_header_of_another_segment_is_taken_for_one(other: SegmentName) -> None:
    assert not may_be_torn(NAME, _header(other)[:100])


def test_nor_are_bytes_that_no_writer_wrote() -> None:
    assert not may_be_torn(NAME, b"read me")
    assert not may_be_torn(NAME, bytes(8) + b"x")
