"""Evidence in vaults: put by whoever scrubs, repairs, attests or retains; read back only where it is verified.

The same object goes into every vault that can be reached. Its facts say into which (`vaults`), so that a vault that
was away is not taken for one that lost it. Each names the signer's one before it by digest (`before`), so that one
that is gone everywhere is missed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.formats import evidence as formats
from safehold.formats.ends import END_BYTES
from safehold.formats.evidence import EVIDENCE_PREFIX, Evidence, EvidenceName
from safehold.formats.frame import BadRange, FrameHeader, FrameType, encode_frame, scan_frames, verify_frame
from safehold.formats.keys import Opener, Role, Sealer
from safehold.formats.payload import Packer, Unpacker
from safehold.formats.run import RunHeader, role_of
from safehold.model.errors import Damaged, OutOfSpace
from safehold.ports.vault import Vault, VaultDown
from safehold.ports.world import Clock

#: Names of the vaults that an evidence was put into; a fact of every one.
VAULTS = "vaults"
#: Objects that were, or are about to be, removed on purpose: scrub excuses them.
REMOVES = "removes"
#: Evidence that names one before it which is in no vault, as a scrub has found.
LINKS = "links"
#: Objects that are lost or damaged for good and made up for elsewhere: name to SHA-256 of what is left, in hex.
MADE_UP = "made_up"


class Foreign(Damaged):
    """A record of another installation, or by a key that this one's root did not certify."""


class Misplaced(Damaged):
    """A whole record of this installation under another one's name."""


class Newer(Damaged):
    """A record of a version that only a newer release reads."""


class Found(NamedTuple):
    """Evidence that holds. `role` is that of its signer; what only a keeper may attest counts only from a keeper."""

    name: str
    evidence: Evidence
    role: Role
    signer: bytes  # public key
    digest: bytes  # SHA-256 of the object
    size: int


def put_evidence(vaults: Sequence[Vault], sealer: Sealer, clock: Clock, evidence: Evidence) -> Found:
    """Sign and put it into every vault that can be reached; `at`, `before` and the fact `vaults` are set here.

    Raises VaultDown where no vault takes it.
    """
    there = [vault for vault in vaults if vault.available()]
    last, before = _last_of(there, sealer.writer.public)
    at = max(last + 1, clock.now())
    facts = {**evidence.facts, VAULTS: [vault.name for vault in there]}
    while True:
        value = msgspec.structs.replace(evidence, version=formats.VERSION, at=at, before=before, facts=facts)
        name = str(EvidenceName(at, sealer.writer.public.hex()[:8]))
        data = _encode(value, sealer)
        if _put_into(there, name, data):
            break
        at += 1  # somebody else has put one in the same microsecond, or what lies there is no record
    role = role_of(_header(value, sealer), sealer.installation)
    assert role is not None, "signed with a key that the root did not certify"
    return Found(name, value, role, sealer.writer.public, sha256(data).digest(), len(data))


def _put_into(vaults: Sequence[Vault], name: str, data: bytes) -> bool:
    """False, and nothing done, where the first that takes any has another object of this name. Raises VaultDown."""
    taken = False
    trouble: VaultDown | OutOfSpace | None = None
    for vault in vaults:
        try:
            if not vault.put(name, (data,)) and not taken and vault.get(name) != data:
                return False
            taken = True
        except (VaultDown, OutOfSpace) as error:
            trouble = error
    if not taken:
        raise trouble or VaultDown("no vault can be reached to keep evidence in", hint="mount one")
    return True


def read_evidence(
    vaults: Iterable[Vault],
    installation: bytes,
    opener: Opener,
    skip: Container[str] = (),
    unread: dict[str, str] | None = None,
) -> list[Found]:
    """All that any of the vaults holds and that verifies, newest first. What does not is passed over: scrub tells.

    `skip` are names of what has been read before: evidence is never changed. `unread` is given the names of which no
    vault has a copy that verifies, each with a vault that has one; not those that another installation signed.
    """
    bad: dict[str, str] = {}
    unpacker = Unpacker(opener)
    found: dict[str, Found] = {}
    for vault in vaults:
        try:
            names = [info.name for info in vault.list(EVIDENCE_PREFIX)]
            for name in names:
                if name in found or name in skip or formats.parse_evidence_name(name) is None:
                    continue
                try:
                    found[name] = verify_evidence(name, vault.get(name), installation, unpacker)
                except Foreign:
                    continue
                except (Damaged, KeyError, VaultDown):  # one that cannot be read must not hide the rest
                    bad.setdefault(name, vault.name)
        except VaultDown:
            continue
    if unread is not None:
        unread.update({name: vault for name, vault in bad.items() if name not in found})
    return [found[name] for name in sorted(found, reverse=True)]


def missing_links(found: Iterable[Found], evidence_from: int = 0) -> list[str]:
    """Names of evidence whose signer's one before it (`before`) is not among all that was found.

    What is older than `evidence_from` (µs) may have been retained away, and with it what the first after that names;
    what a keeper's scrub has told already (the fact `links`) is on record.
    """
    everything = list(found)
    told = told_links(everything)
    return sorted(gap.after for gap in chain_gaps(everything, evidence_from) if gap.after not in told)


class ChainGap(NamedTuple):
    """A record that is nowhere, as the signer's next one tells."""

    digest: bytes  # SHA-256 of the object that is gone
    after: str  # name of the one that names it
    signer: str  # 8 hex digits
    since: int  # µs: when the last one before the gap is from; 0: there is none
    until: int  # µs: when the one that names it is from


def chain_gaps(found: Iterable[Found], evidence_from: int = 0) -> list[ChainGap]:
    """Where a signer's record names one before it that is not among all that was found, in order of time."""
    chains: dict[bytes, list[Found]] = {}
    digests: set[bytes] = set()
    for one in sorted(found, key=lambda each: each.name):
        chains.setdefault(one.signer, []).append(one)
        digests.add(one.digest)
    gaps: list[ChainGap] = []
    for signer, chain in chains.items():
        earlier = 0
        for one in chain:
            at, before = one.evidence.at, one.evidence.before
            if before and before not in digests and earlier >= evidence_from:
                gaps.append(ChainGap(before, one.name, signer.hex()[:8], earlier, at))
            earlier = at
    return sorted(gaps, key=lambda gap: gap.after)


def told_links(found: Iterable[Found]) -> dict[str, str]:
    """What follows a record that is gone, to the name of the first keeper's record that has told so."""
    told: dict[str, str] = {}
    for one in sorted(found, key=lambda each: each.name):
        if one.role is Role.KEEPER and isinstance(links := one.evidence.facts.get(LINKS), list):
            for name in links:
                if isinstance(name, str):
                    told.setdefault(name, one.name)
    return told


def verify_evidence(name: str, data: bytes, installation: bytes, unpacker: Unpacker) -> Found:
    """The record that an object holds, once all of it is proved. Raises Foreign, Misplaced, Newer, Damaged, KeyAway."""
    header, role, payload = _signed(name, data, installation)
    evidence = unpacker.unpack(payload, formats.DECODER)
    if evidence.version != formats.VERSION:
        raise Newer(f"it is of version {evidence.version}, which a newer release reads")
    if evidence.at != header.generation:
        raise Damaged("it speaks of another moment than its name")
    return Found(name, evidence, role, header.writer_public, sha256(data).digest(), len(data))


def _signed(name: str, data: bytes, installation: bytes) -> tuple[RunHeader, Role, bytes]:
    """Its header, its signer's role and its payload. Raises Foreign, Misplaced, Damaged."""
    header = formats.parse_evidence_header(data)
    if header is None or formats.parse_evidence_footer(data) != header:
        raise Damaged("its ends are damaged")
    role = role_of(header, installation)
    if role is None:
        raise Foreign("its signer was not certified by this installation's root")
    items = list(scan_frames(data, END_BYTES, len(data) - END_BYTES))
    frame = items[0] if len(items) == 1 else None
    if frame is None or isinstance(frame, BadRange) or frame.header.type is not FrameType.EVIDENCE:
        raise Damaged("its frame is damaged")
    if frame.header.prev != sha256(data[:END_BYTES]).digest():
        raise Damaged("its frame is another object's")
    verify_frame(frame, header.writer_public)
    own = str(EvidenceName(header.generation, header.writer_public.hex()[:8]))
    if own != name:
        raise Misplaced(f"its bytes are those of {own}")
    return header, role, frame.payload


def _last_of(vaults: Sequence[Vault], public: bytes) -> tuple[int, bytes]:
    """When the signer's last evidence is from, and its digest; (0, b"") where there is none."""
    own: dict[str, list[Vault]] = {}
    signer = public.hex()[:8]
    for vault in vaults:
        for info in vault.list(EVIDENCE_PREFIX):
            name = formats.parse_evidence_name(info.name)
            if name is not None and name.signer == signer:
                own.setdefault(info.name, []).append(vault)
    for text in sorted(own, reverse=True):
        name = formats.parse_evidence_name(text)
        assert name is not None
        for vault in own[text]:
            try:
                data = vault.get(text)
                header = formats.parse_evidence_header(data)
                if header is not None and header.writer_public == public:
                    _signed(text, data, header.installation)
                    return name.at, sha256(data).digest()
            except (Damaged, KeyError):
                continue
    return 0, b""


def _header(evidence: Evidence, sealer: Sealer) -> RunHeader:
    return RunHeader(
        0, 0, evidence.at, sealer.installation, sealer.writer.public, sealer.root_public, sealer.certificate
    )


def _encode(evidence: Evidence, sealer: Sealer) -> bytes:
    header = _header(evidence, sealer)
    head = formats.encode_evidence_header(header)
    frame = FrameHeader(FrameType.EVIDENCE, 0, 0, 0, 0, evidence.at, 0, 0, sha256(head).digest())
    body = encode_frame(frame, Packer(sealer).pack(evidence), sealer.writer.sign)
    return b"".join((head, body, formats.encode_evidence_footer(header)))
