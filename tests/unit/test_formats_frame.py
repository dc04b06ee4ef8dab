"""Frames, segments, payloads, seals, claims and blob headers: round trips, bounds, damage."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.formats import blob, claim, frame, payload, seal, segment
from safehold.formats.frame import BadRange, FrameHeader, FrameType, RawFrame, encode_frame, scan_frames, verify_frame
from safehold.formats.keys import SigningKey
from safehold.formats.segment import SegmentHeader, SegmentName
from safehold.model.change import Change, Op
from safehold.model.errors import Damaged
from safehold.model.kinds import Kind
from tests.support.changes import Streams, account_id
from tests.support.logs import INSTALLATION, OPENER, SEALER, WRITER

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
SIGNED = st.integers(-(2**63), 2**63 - 1)
HASH = st.binary(min_size=32, max_size=32)
HEADERS = st.builds(FrameHeader, st.sampled_from(FrameType), U32, U32, U64, U64, SIGNED, U32, st.just(0), HASH)


@given(HEADERS, st.binary(max_size=300))
def test_frames_come_back(header: FrameHeader, body: bytes) -> None:
    data = encode_frame(header, body, WRITER.sign)
    (raw,) = scan_frames(data)
    assert isinstance(raw, RawFrame)
    assert raw.header == header._replace(payload_bytes=len(body))
    assert raw.payload == body
    assert raw.digest == sha256(data).digest()
    verify_frame(raw, WRITER.public)
    with pytest.raises(Damaged, match="signature"):
        verify_frame(raw, SigningKey(b"x" * 32).public)


def some_frames(count: int = 4) -> list[bytes]:
    return [
        encode_frame(FrameHeader(FrameType.CHANGES, 1, 0, 1, n, n, 1, 0, bytes(32)), bytes([n]) * (40 + n), WRITER.sign)
        for n in range(1, count + 1)
    ]


def good(data: bytes) -> set[bytes]:
    """Frames that scan as whole and bear the writer's signature."""
    found = set()
    for item in scan_frames(data):
        if isinstance(item, RawFrame):
            try:
                verify_frame(item, WRITER.public)
            except Damaged:
                continue
            found.add(item.data)
    return found


def test_every_flip_of_a_byte_costs_one_frame_and_gives_no_other() -> None:
    frames = some_frames()
    data = b"".join(frames)
    owner = [i for i, one in enumerate(frames) for _ in one]
    for place in range(len(data)):
        for flip in (0x01, 0xFF):
            spoilt = bytearray(data)
            spoilt[place] ^= flip
            assert good(bytes(spoilt)) == set(frames) - {frames[owner[place]]}, place


@given(st.data())
def test_ranges_cover_all_bytes_in_order(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.one_of(st.sampled_from(some_frames()), st.binary(max_size=100)), max_size=6))
    joined = b"".join(pieces)
    cut = joined[: data.draw(st.integers(0, len(joined)))]
    at = 0
    for item in scan_frames(cut):
        assert item.offset == at
        at = item.end if isinstance(item, BadRange) else item.offset + len(item.data)
    assert at == len(cut)


def test_a_torn_end_names_its_frame() -> None:
    first, second = some_frames(2)
    *_, last = scan_frames(first + second[:-1])
    assert isinstance(last, BadRange)
    assert last.header is not None
    assert last.header.number == 2
    assert "cut short" in last.reason
    *_, last = scan_frames(first + second[: frame.HEADER_BYTES - 1])
    assert isinstance(last, BadRange)
    assert last.header is None


def test_a_length_beyond_the_bound_is_no_header() -> None:
    data = encode_frame(FrameHeader(FrameType.SEAL, 1, 0, 1, 1, 1, 0, 0, bytes(32)), b"", WRITER.sign)
    huge = frame._HEADER.pack(frame.MAGIC, 1, 3, 0, 1, 0, 1, 1, 1, 0, frame.MAX_PAYLOAD_BYTES + 1, bytes(32))
    assert frame.parse_header(data) is not None
    assert frame.parse_header(huge + frame.crc32(huge).to_bytes(4, "big")) is None


NAMES = st.builds(SegmentName, st.integers(0, 99_999_999), st.integers(0, 99_999_999), st.integers(0, 999_999_999_999))


@given(st.lists(NAMES, max_size=5))
def test_segment_names_come_back_and_sort_as_text(names: list[SegmentName]) -> None:
    assert [segment.parse_name(str(name)) for name in names] == names
    assert [str(name) for name in sorted(names)] == sorted(str(name) for name in names)


@pytest.mark.parametrize(
    "name", ["FORMAT", "log/1/2-3.seg", "log/00000001/00000000-000000000000.seg.new", "blobs/ab/ab"]
)
def test_other_names_are_no_segments(name: str) -> None:
    assert segment.parse_name(name) is None


def test_segment_headers() -> None:
    header = segment.header_for(SegmentName(3, 2, 77), SEALER)
    head, foot = segment.encode_header(header), segment.encode_footer(header)
    assert len(head) == len(foot) == segment.HEADER_BYTES <= 512
    assert segment.parse_segment_header(head + b"rest") == segment.parse_segment_footer(b"rest" + foot) == header
    assert segment.parse_segment_footer(head) is None
    assert segment.vouched(header, INSTALLATION)
    for place in range(len(head)):
        spoilt = bytearray(head)
        spoilt[place] ^= 0x40
        assert segment.parse_segment_header(bytes(spoilt)) is None
    strangers: list[SegmentHeader] = [
        header._replace(writer_public=SigningKey(b"x" * 32).public),
        header._replace(root_public=SigningKey(b"x" * 32).public),
        header._replace(certificate=bytes(64)),
        header._replace(installation=b"o" * 16),
    ]
    assert not any(segment.vouched(stranger, INSTALLATION) for stranger in strangers)
    assert not segment.vouched(header, b"o" * 16)


TEXT = st.text(max_size=20)
CHANGES = st.lists(
    st.builds(
        Change,
        st.binary(min_size=16, max_size=16),
        st.sampled_from(Kind),
        st.integers(0, 2**32 - 1),
        st.integers(1, 2**40),
        st.integers(1, 2**40),
        st.integers(-(2**60), 2**60),
        st.sampled_from(Op),
        st.binary(max_size=16),
        TEXT,
        TEXT,
        st.binary(max_size=32),
        st.integers(0, 2**40),
        st.binary(max_size=32),
        TEXT,
        HASH,
        HASH,
        st.none() | st.binary(max_size=50),
        st.none() | HASH,
        st.none() | st.binary(max_size=50),
    ),
    max_size=4,
)


@settings(max_examples=50)
@given(CHANGES)
def test_changes_come_back(changes: list[Change]) -> None:
    assert payload.Unpacker(OPENER).unpack_changes(payload.Packer(SEALER).pack_changes(changes)) == changes


def squeezed(plain: bytes) -> bytes:
    return SEALER.encrypt(zstandard.ZstdCompressor().compress(plain))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"age-encryption.org/v1\n-> X25519 x\n",
        SEALER.encrypt(b"not compressed"),
        SEALER.encrypt(b""),
        squeezed(b"\xc1"),
        squeezed(b""),
        squeezed(msgspec.msgpack.encode([["too", "short"]])),
        squeezed(msgspec.msgpack.encode({"a": "map"})),
        squeezed(msgspec.msgpack.encode([]) + b"more"),
        SEALER.encrypt(zstandard.ZstdCompressor(write_content_size=False).compress(b"\x90")),
        SEALER.encrypt(zstandard.ZstdCompressor().compress(b"\x90") + b"more"),
        SEALER.encrypt(zstandard.ZstdCompressor().compress(b"\x90" * 1000)[:-3]),
    ],
)
def test_bad_payloads_are_damage(data: bytes) -> None:
    with pytest.raises(Damaged):
        payload.Unpacker(OPENER).unpack_changes(data)


def test_a_payload_that_states_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = payload.Packer(SEALER).pack(["x" * 2000])
    monkeypatch.setattr(payload, "MAX_PLAIN_BYTES", 1000)
    with pytest.raises(Damaged, match="2004 bytes"):
        payload.Unpacker(OPENER).unpack_changes(bomb)
    with pytest.raises(AssertionError):
        payload.Packer(SEALER).pack(["x" * 2000])


def test_claims_and_seals_come_back() -> None:
    packer, unpacker = payload.Packer(SEALER), payload.Unpacker(OPENER)
    claimed = claim.Claim(1, 2, (1, 7, b"d" * 32), WRITER.public, 5)
    assert unpacker.unpack(packer.pack(claimed), claim.DECODER) == claimed
    streams = Streams()
    change = streams.put_card(account_id(1), "contacts/default", "a.vcf")
    sealed = seal.Seal(
        1,
        (1, 7, b"d" * 32),
        (0, 0, b""),
        [seal.SealedObject("log/x", 5, b"s" * 32)],
        [seal.SealedObject("blobs/x", 9, b"b" * 32)],
        [seal.SealedHead(change.account, change.kind, change.rev, change.hash)],
        ["blobs/y"],
    )
    assert unpacker.unpack(packer.pack(sealed), seal.DECODER) == sealed


@given(HASH, st.binary(max_size=50))
def test_blob_ends(name: bytes, body: bytes) -> None:
    assert blob.parse_object(blob.blob_object(name)) == name
    head = blob.encode_header(name)
    trailer = blob.BlobTrailer(len(body), sha256(head + body).digest(), name)
    data = head + body + blob.encode_trailer(trailer)
    assert len(data) == blob.OVERHEAD_BYTES + len(body)
    blob.check_header(data, name)
    assert blob.parse_trailer(data, name) == trailer
    other = sha256(name).digest()
    with pytest.raises(Damaged):
        blob.check_header(data, other)
    with pytest.raises(Damaged):
        blob.parse_trailer(data, other)
    with pytest.raises(Damaged):
        blob.parse_trailer(data[:-1], name)
