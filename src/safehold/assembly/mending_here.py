"""What a vault's server does at the word of a keeper elsewhere: a sound object in the place of a damaged one (I112).

No key is needed for it. What is taken is judged by what its own bytes prove, and whoever stole a keeper's token, and
the writer's keys too, makes nothing void by it:

    a segment       none that may still be written to; whole, closed and signed throughout; it holds every signed frame
                    that is there, byte for byte. That it changes nothing of what its timeline continues,
                    vault/admission.py has judged before
    blob, run,      whole by itself, where what is there is not
    manifest,
    evidence

Anything else is mended where the vault lies. What was there is set aside, as by every repair.
"""

from __future__ import annotations

from safehold.formats import blob, mark, segment
from safehold.formats.frame import RawFrame, scan_frames
from safehold.formats.keys import FINGERPRINT_BYTES
from safehold.formats.segment import SegmentName
from safehold.model.errors import Damaged
from safehold.ports.disk import Disk
from safehold.ports.vault import VaultDown
from safehold.ports.world import Clock
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.objects import Keys, check_blob, check_framed, is_signed, read_segment
from safehold.vault.segments import segments, timelines

_HINT = "its operator mends it where it lies: `vault repair` with a keeper's folder there (docs/vault-server.md)"


def mend_here(folder: str, disk: Disk, clock: Clock, name: str, data: bytes) -> None:
    """Judge these bytes in the place of an object that is there, and put them there. Raises VaultDown, VaultFull."""
    vault = KeptFolderVault("vault", folder, disk, clock=clock)
    try:
        try:
            keys = Keys(mark.parse_mark(vault.get(mark.NAME)))
            there = vault.get(name)
        except (Damaged, KeyError):
            raise _refused(name, "it, or the vault's mark, cannot be read") from None
        assert len(keys.installation) == FINGERPRINT_BYTES
        if there == data:
            return  # done before: its answer was lost
        why = "it may still be written to" if _is_last(vault, name) else _why_not(name, there, data, keys)
        if why:
            raise _refused(name, why)
        vault.replace(name, (data,))
    finally:
        vault.close()


def _is_last(vault: KeptFolderVault, name: str) -> bool:
    """Whether it is the segment at the end of the log."""
    last = max(timelines([vault]), default=0)
    return bool(last) and name == str(max(segments([vault], last), default=""))


def _why_not(name: str, there: bytes, data: bytes, keys: Keys) -> str:
    """Why these bytes may not take its place; "" where they may."""
    parsed = segment.parse_name(name)
    if parsed is not None:
        return _why_not_segment(parsed, there, data, keys)
    fault, new_fault = _fault(name, there, keys), _fault(name, data, keys)
    if fault is None or new_fault is None:
        return "objects of this sort are not mended from elsewhere"
    if new_fault:
        return f"what was sent is not sound: {new_fault}"
    return "" if fault else "what is there is sound by itself, and gives way to nothing"


def _fault(name: str, data: bytes, keys: Keys) -> str | None:
    """What is wrong with an object by its own bytes; "" for nothing, None where that cannot be told without a key."""

    def read(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    named = blob.parse_object(name)
    if named is not None:
        return check_blob(named, len(data), read)[0]
    framed = check_framed(name, len(data), read, keys)
    return None if framed is None else framed.why


def _why_not_segment(name: SegmentName, there: bytes, data: bytes, keys: Keys) -> str:
    new = read_segment(name, data, keys)
    if new.faults or new.tail is not None or not (new.headed and new.closed and new.spans):
        return "what was sent is no whole, closed segment"
    kept = {f.header.number: f.data for f in scan_frames(data) if isinstance(f, RawFrame)}
    for frame in scan_frames(there):
        if not isinstance(frame, RawFrame) or kept.get(frame.header.number) == frame.data:
            continue
        if any(is_signed(frame, writer) for writer in _writers(name, there, keys)):
            return f"frame {frame.header.number} is there, signed, and not in what was sent"
    return ""


def _writers(name: SegmentName, there: bytes, keys: Keys) -> list[bytes]:
    """Who may have signed what is there: its own writer, or any that is known where its ends are damaged."""
    for header in (segment.parse_segment_header(there), segment.parse_segment_footer(there)):
        if header is not None and header.name == name and keys.certified(header):
            return [header.writer_public]
    return list(keys.writers())


def _refused(name: str, why: str) -> VaultDown:
    return VaultDown(f"{name} is not mended from elsewhere: {why}", hint=_HINT)
