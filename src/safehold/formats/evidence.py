"""Evidence: a signed record of what was done to a vault or found in it. The page: docs/formats/evidence.md.

    header    176 bytes  ends.py, under its own mark; first is the time in µs
    frame                one EVIDENCE frame; number 0, prev the SHA-256 of the header
    footer    176 bytes

Name: `evidence/UUUUUUUUUUUUUUUU-KKKKKKKK.ev`: µs since 1970 in 16 digits, the first 8 hex digits of the signer's public
key. The same object may lie in every vault. What only a keeper may attest counts only under a keeper's certificate.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from safehold.formats.ends import END_BYTES, encode_end, parse_end
from safehold.formats.run import RunHeader

HEADER_MAGIC = b"\x93SHevid\n"
FOOTER_MAGIC = b"\x94SHevid\n"
VERSION = 1
EVIDENCE_PREFIX = "evidence/"
_NAME = re.compile(r"evidence/(\d{16})-([0-9a-f]{8})\.ev\Z", re.ASCII)


class EvidenceName(NamedTuple):
    at: int  # µs
    signer: str  # 8 hex digits

    def __str__(self) -> str:
        return f"{EVIDENCE_PREFIX}{self.at:016d}-{self.signer}.ev"


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """The payload of an EVIDENCE frame.

    `kind`: scrub, repair, attest, retain, recovery, drill, alarm, runbook, surprise, probe, mode. `facts` are of that
    kind, JSON values only.
    """

    version: int
    kind: str
    at: int  # µs, the signer's clock
    vault: str  # name of the vault that it is about; "" for the installation
    upto: tuple[int, int, bytes]  # log position that it speaks of
    before: bytes  # SHA-256 of the signer's evidence object before this one; b"" for none
    facts: dict[str, Any]


DECODER = msgspec.msgpack.Decoder(Evidence)


def parse_evidence_name(name: str) -> EvidenceName | None:
    """None where it is no evidence's name."""
    match = _NAME.match(name)
    return EvidenceName(int(match[1]), match[2]) if match else None


def encode_evidence_header(header: RunHeader) -> bytes:
    """`header.generation` is the time in µs, timeline and number are 0."""
    return encode_end(HEADER_MAGIC, header)


def encode_evidence_footer(header: RunHeader) -> bytes:
    return encode_end(FOOTER_MAGIC, header)


def parse_evidence_header(data: bytes) -> RunHeader | None:
    fields = parse_end(HEADER_MAGIC, data[:END_BYTES])
    return None if fields is None else RunHeader(*fields)


def parse_evidence_footer(data: bytes) -> RunHeader | None:
    fields = parse_end(FOOTER_MAGIC, data[-END_BYTES:])
    return None if fields is None else RunHeader(*fields)
