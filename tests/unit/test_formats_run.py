"""Ends, names and payloads of run objects, generations and evidence."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.formats import evidence, generation, run
from safehold.formats.frame import FrameHeader, FrameType, encode_frame, scan_frames, verify_frame
from safehold.formats.keys import Role, Sealer, SigningKey, certify, fingerprint, identity_of, recipient_of
from safehold.formats.run import RunName
from safehold.model.errors import Damaged
from safehold.model.root import EMPTY_ROOT, RootCollection, RootItem, state_root

ROOT = SigningKey(b"r" * 32)
WRITER = SigningKey(b"w" * 32)
INSTALLATION = fingerprint(ROOT.public)


def _sealer(role: Role) -> Sealer:
    recipient = recipient_of(identity_of(b"i" * 32))
    return Sealer(recipient, WRITER, ROOT.public, certify(ROOT, WRITER.public, role))


@given(st.integers(0, 10**12 - 1), st.integers(0, 999))
def test_a_name_reads_back(generation_: int, number: int) -> None:
    assert run.parse_run_name(str(RunName(generation_, number))) == (generation_, number)
    assert generation.parse_manifest_name(generation.manifest_object(generation_)) == generation_


@pytest.mark.parametrize("name", ["runs/1/0.run", "runs/000000000001/000.run/x", "runs/000000000001/0000.run", "log/x"])
def test_other_names_are_none(name: str) -> None:
    assert run.parse_run_name(name) is None
    assert generation.parse_manifest_name(name) is None
    assert evidence.parse_evidence_name(name) is None


def test_an_evidence_name_reads_back() -> None:
    name = evidence.EvidenceName(1_790_000_000_000_000, "0123abcd")
    assert evidence.parse_evidence_name(str(name)) == name


@pytest.mark.parametrize(
    ("encode", "parse"),
    [
        (run.encode_run_header, run.parse_run_header),
        (run.encode_run_footer, run.parse_run_footer),
        (generation.encode_manifest_header, generation.parse_manifest_header),
        (generation.encode_manifest_footer, generation.parse_manifest_footer),
        (evidence.encode_evidence_header, evidence.parse_evidence_header),
        (evidence.encode_evidence_footer, evidence.parse_evidence_footer),
    ],
)
def test_every_bit_of_an_end_counts(encode, parse) -> None:  # type: ignore[no-untyped-def]
    header = run.run_header(3, RunName(17, 2), _sealer(Role.WRITER))
    data = encode(header)
    assert parse(data) == header
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert parse(bytes(flipped)) is None


@pytest.mark.parametrize("role", list(Role))
def test_the_root_says_whose_word_an_object_is(role: Role) -> None:
    header = run.run_header(3, RunName(17, 2), _sealer(role))
    assert run.role_of(header, INSTALLATION) is role
    assert run.role_of(header, b"o" * 16) is None
    assert run.role_of(header._replace(certificate=bytes(64)), INSTALLATION) is None


def test_a_signature_of_one_sort_of_frame_is_none_of_another() -> None:
    """What a key signed as part of a run can never stand in a log, whatever its header says."""
    header = FrameHeader(FrameType.INDEX, 1, 0, 0, 1, 0, 0, 0, bytes(32))
    data = encode_frame(header, b"payload", WRITER.sign)
    (frame,) = scan_frames(data)
    verify_frame(frame, WRITER.public)  # type: ignore[arg-type]
    as_log = encode_frame(header._replace(type=FrameType.CHANGES), b"payload", WRITER.sign)
    swapped = as_log[: -64 - 12] + data[-64 - 12 :]
    (forged,) = scan_frames(swapped)
    with pytest.raises(Damaged):
        verify_frame(forged, WRITER.public)  # type: ignore[arg-type]


@given(st.integers(0, 2**30), st.integers(0, (1 << run.PLACE_BITS) - 1))
def test_a_pointer_reads_back(frame: int, place: int) -> None:
    assert run.split_pointer(run.body_pointer(frame, place)) == (frame, place)


def test_accounts_of_neighbouring_ids_share_a_partition() -> None:
    partitions = [run.partition_of(bytes([first]) + bytes(15)) for first in range(256)]
    assert partitions == sorted(partitions) and set(partitions) == set(range(run.PARTITIONS))


def test_a_state_root_tells_every_difference() -> None:
    item = RootItem(b"a.vcf", b"d" * 32, b"")
    whole = RootCollection(b"c" * 16, b"contacts/default", b"p" * 32, [item])
    others = [
        whole._replace(id=b"d" * 16),
        whole._replace(path=b"contacts/work"),
        whole._replace(props=b""),
        whole._replace(items=[]),
        whole._replace(items=[item._replace(name=b"b.vcf")]),
        whole._replace(items=[item._replace(digest=b"e" * 32)]),
        whole._replace(items=[item._replace(props=b"q" * 32)]),
        whole._replace(items=[item, item._replace(name=b"b.vcf")]),
    ]
    assert len({state_root([one]) for one in (whole, *others)} | {EMPTY_ROOT}) == len(others) + 2


def test_payloads_read_back() -> None:
    entry = generation.RunEntry(generation.SealedObject("runs/000000000001/000.run", 1, b"d" * 32), 0, 1, 0, 63, 5)
    manifest = generation.Manifest(1, (1, 1, b"d" * 32), 5, (0, b""), 0, [entry], 1, 5, {"contacts": 2})
    assert generation.DECODER.decode(msgspec.msgpack.encode(manifest)) == manifest
    said = evidence.Evidence(1, "scrub", 5, "near", (1, 1, b"d" * 32), b"", {"objects": 3, "damaged": []})
    assert evidence.DECODER.decode(msgspec.msgpack.encode(said)) == said
