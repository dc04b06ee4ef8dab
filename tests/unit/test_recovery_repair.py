"""What repair may not do: replace what is whole by another whole thing."""

from __future__ import annotations

from hashlib import sha256

from safehold.formats.frame import FrameHeader, FrameType, RawFrame, encode_frame, scan_frames
from safehold.formats.payload import Packer
from safehold.formats.seal import VERSION, Seal, SealedObject
from safehold.formats.segment import (
    HEADER_BYTES,
    SegmentName,
    encode_footer,
    encode_header,
    header_for,
    parse_name,
)
from safehold.model.kinds import Kind
from safehold.recovery.judging import Standing
from safehold.recovery.repair import Repairer, Way
from safehold.recovery.scrub import LookedAt, Pace, Scrubber
from safehold.vault.memory import MemoryVault
from tests.support.damages import KeptMemoryVault
from tests.support.recovery_fakes import History, card
from tests.support.recovery_vaults import Vaults


def vaults_of(last: str, more: int) -> Vaults:
    history = History()
    history.family("ada", cards=3)
    for n in range(10):
        history.put("ada", Kind.CONTACTS, f"{n}.vcf", card(f"{n}"))
    history.put("ada", Kind.NOTES, "last.txt", last.encode())
    for n in range(more):
        history.put("ada", Kind.NOTES, f"more-{n}.txt", b"more")
    return Vaults(history, segment_bytes=8 * 1024)


def repairer(honest: Vaults, near: KeptMemoryVault, far: MemoryVault) -> Repairer:
    opener = honest.keyring.opener
    pace = Pace(honest.clock, lambda _: None)
    scrubber = Scrubber(near, opener.installation, opener, pace)
    other = LookedAt(Scrubber(far, opener.installation, opener, pace))
    return Repairer(near, scrubber, [other], Standing(), scrubber.read())


def rewritten(honest: Vaults) -> MemoryVault:
    """The log with its last segment written anew from its second frame on, and one more that seals that."""
    sealer, packer = honest.keyring.sealer, Packer(honest.keyring.sealer)
    far = MemoryVault("far")
    far.objects = dict(honest.near.objects)
    name = parse_name(honest.segments()[-1])
    assert name is not None
    data = far.objects[str(name)]
    first, *others = (f for f in scan_frames(data, HEADER_BYTES) if isinstance(f, RawFrame))
    frames, before = [first.data], first.digest

    def put(header: FrameHeader, payload: bytes) -> None:
        nonlocal before
        after = header._replace(payload_bytes=len(payload), prev=before)
        frames.append(encode_frame(after, payload, sealer.writer.sign))
        before = sha256(frames[-1]).digest()

    for old in others:
        put(old.header._replace(type=FrameType.CHANGES), packer.pack_changes([]))
    header = header_for(name, sealer)
    whole = b"".join((encode_header(header), *frames, encode_footer(header)))
    far.objects[str(name)] = whole
    last = others[-1].header
    frames.clear()
    sealed = SealedObject(str(name), len(whole), sha256(whole).digest())
    position = (name.timeline, last.number, before)
    value = Seal(VERSION, position, (0, 0, b""), [sealed], [], [], [])
    put(last._replace(type=FrameType.SEAL, number=last.number + 1, changes=0), packer.pack(value))
    later = SegmentName(name.timeline, name.number + 1, last.number + 1)
    far.objects[str(later)] = encode_header(header_for(later, sealer)) + frames[0]
    return far


def test_a_segment_whose_frames_are_signed_gives_way_to_no_other_one() -> None:
    """A thief of the writer's key wrote the other vault's log anew, in good order, and longer: no scrub can tell which
    of the two is the true one, and to take the other for a good copy would let the core's credentials rewrite a vault
    that its keeper repairs."""
    honest = vaults_of("true", 40)
    near = KeptMemoryVault("near", dict(honest.near.objects))
    before = dict(near.objects)
    repair = repairer(honest, near, rewritten(honest))
    repair.carry_out()
    assert all(near.objects.get(name) == data for name, data in before.items())
    assert near.objects.keys() - before.keys() == {"FORMAT", "reader.py"}
    told = [mend for mend in repair.plan() if mend.damage.object in before]
    assert told and all(mend.way is Way.NONE and "both are signed" in mend.why for mend in told)


def test_a_segment_that_is_cut_short_is_still_mended() -> None:
    honest = vaults_of("true", 40)
    near = KeptMemoryVault("near", dict(honest.near.objects))
    name = honest.segments()[-2]
    near.objects[name] = near.objects[name][:-3000]
    repairer(honest, near, honest.near).carry_out()
    assert near.objects[name] == honest.near.objects[name]
