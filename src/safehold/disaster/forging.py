"""Somebody with the writer's key: what they might sign, to make void what a vault took."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from safehold.formats import claim, segment
from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.keys import Sealer
from safehold.formats.payload import Packer
from safehold.formats.segment import SegmentName
from safehold.model.change import GENESIS, Change, Op, change_hash
from safehold.model.kinds import Kind
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault


class Forger:
    """Signs what it likes."""

    def __init__(self, vault: Vault, at: LogPosition, opened: int, sealer: Sealer, ahead: int = 0) -> None:
        """`at` is the end of the log that is written, `ahead` µs that the forger's clock is."""
        self.vault = vault
        self.sealer = sealer
        self.now = 1 + ahead
        self.at = at
        self.opened = opened  # the claim of the timeline that is written
        self.before, self.timeline, self.next = at.timeline - 1, at.timeline, at.timeline + 1

    def change(self, number: int) -> Change:
        """One that nobody asked for, of an account that there is not."""
        body = b"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:f\r\nFN:Forged\r\nEND:VCARD\r\n"
        account = sha256(b"forged").digest()[:16]
        fields = (
            account,
            Kind.CONTACTS,
            self.timeline,
            number,
            number,
            self.now,
            Op.PUT,
            account,
            f"forged{number}.vcf",
            "text/vcard",
            sha256(body).digest(),
            len(body),
            b"",
            "device:phone",
            GENESIS,
        )
        return Change(*fields, change_hash(*fields), body, None, None)

    def frame(
        self, timeline: int, parent: int, opened: int, number: int, type_: FrameType = FrameType.CHANGES
    ) -> bytes:
        packer = Packer(self.sealer)
        if type_ is FrameType.CLAIM:
            value = claim.Claim(
                claim.VERSION, timeline, LogPosition(parent, number - 1, GENESIS), self.sealer.writer.public, self.now
            )
            payload, count = packer.pack(value), 0
        else:
            payload, count = packer.pack_changes([self.change(number)]), 1
        header = FrameHeader(type_, timeline, parent, opened, number, self.now, count, len(payload), GENESIS)
        return encode_frame(header, payload, self.sealer.writer.sign)

    def segment(self, name: SegmentName, *frames: bytes, closed: bool = True) -> bytes:
        header = segment.header_for(name, self.sealer)
        footer = segment.encode_footer(header) if closed else b""
        return b"".join((segment.encode_header(header), *frames, footer))

    def put(self, name: SegmentName, *frames: bytes) -> Forger:
        self.vault.put(str(name), [self.segment(name, *frames, closed=bool(frames))])
        return self

    def append(self, name: SegmentName, *frames: bytes, header: bool = True) -> Forger:
        size = self.vault.size(str(name)) or 0
        data = self.segment(name, *frames, closed=False) if not size else b"".join(frames)
        self.vault.append(str(name), size, data)
        return self


#: What a keeper admits, since it makes nothing void that is there; a reader has to see what it is.
ADMITTED: dict[str, Callable[[Forger], object]] = {
    "a frame that continues another than the last": lambda t: t.append(
        SegmentName(t.timeline, 60, t.at.frame + 1), t.frame(t.timeline, t.before, t.opened, t.at.frame + 1)
    ),
}
#: What a keeper refuses.
FORKS: dict[str, Callable[[Forger], object]] = {
    "a claim that continues an earlier frame": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.before, 3, 3, FrameType.CLAIM)),
    ],
    "changes that say so": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.before, 3, 3)),
    ],
    "a claim that passes a timeline over": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.before, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)),
    ],
    "a claim that continues itself or a later one": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.next, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)),
    ],
    "a claim that continues another frame than the last": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(
            SegmentName(t.next, 0, 0), t.frame(t.next, t.timeline, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)
        ),
    ],
    "a fork put whole": lambda t: t.put(
        SegmentName(t.next, 0, 0), t.frame(t.next, 0, 1, 1, FrameType.CLAIM), t.frame(t.next, 0, 1, 2)
    ),
    "a fork behind a good claim": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(
            SegmentName(t.next, 0, 0), t.frame(t.next, t.timeline, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)
        ),
        t.append(SegmentName(t.next, 1, 1), t.frame(t.next, t.before, 2, 2)),
    ],
    "a fork behind a good claim whose signature is bad": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(
            SegmentName(t.next, 0, 0),
            unsigned(t.frame(t.next, t.timeline, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)),
        ),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.before, 2, t.at.frame + 2)),
    ],
    "a fork in the timeline that is written": lambda t: t.append(
        SegmentName(t.timeline, 9, t.at.frame + 1), t.frame(t.timeline, 0, 1, 500)
    ),
    "an early number in the timeline that is written": lambda t: t.append(
        SegmentName(t.timeline, 9, t.at.frame + 1), t.frame(t.timeline, t.before, t.opened, 2)
    ),
    "a segment that begins early": lambda t: t.put(SegmentName(t.timeline, 50, t.at.frame - 3)),
    "a segment that begins with the last frame": lambda t: t.put(SegmentName(t.timeline, 50, t.at.frame)),
    "a segment that begins early, appended to": lambda t: t.append(
        SegmentName(t.timeline, 50, t.at.frame - 1),
        t.frame(t.timeline, t.before, t.opened, t.at.frame - 1),
    ),
    "a segment between others that begins early": lambda t: t.put(SegmentName(t.timeline, 2, 1)),
    "a second name for a segment's number": lambda t: t.put(SegmentName(t.before, 1, 2)),
    "a first segment that is not numbered as one": lambda t: t.put(SegmentName(t.timeline, 0, 5)),
    "a step of two timelines": lambda t: t.put(SegmentName(t.next + 1, 0, 0)),
    "the last timeline of all": lambda t: t.put(SegmentName(99_999_999, 0, 0)),
    "a frame of another timeline": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next + 4, t.timeline, t.at.frame + 1, t.at.frame + 1)),
    ],
    "a frame of another sort": lambda t: t.append(
        SegmentName(t.timeline, 50, t.at.frame + 1),
        t.frame(t.timeline, t.before, t.opened, t.at.frame + 1, FrameType.BODIES),
    ),
    "a fork in two halves": lambda t: _in_pieces(t, 60),
    "a fork byte by byte": lambda t: _in_pieces(t, 1),
    "a fork behind rubbish": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(SegmentName(t.next, 0, 0), b"rubbish" * 100 + t.frame(t.next, t.before, 3, 3)),
    ],
    "a fork within a frame that is cut short": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.append(
            SegmentName(t.next, 0, 0),
            t.frame(t.next, t.timeline, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM)[:100]
            + t.frame(t.next, t.before, 3, 3),
        ),
    ],
    "a late first frame for a timeline that was passed over": lambda t: [
        t.put(SegmentName(t.next, 0, 0)),
        t.put(SegmentName(t.next + 1, 0, 0)),
        t.append(
            SegmentName(t.next + 1, 0, 0),
            t.frame(t.next + 1, t.timeline, t.at.frame + 1, t.at.frame + 1, FrameType.CLAIM),
        ),
        t.append(SegmentName(t.next, 0, 0), t.frame(t.next, t.before, 3, 3)),
    ],
}


def unsigned(frame: bytes) -> bytes:
    place = len(frame) - 40
    return frame[:place] + bytes((frame[place] ^ 1,)) + frame[place + 1 :]


def _in_pieces(forger: Forger, count: int) -> None:
    name = SegmentName(forger.next, 0, 0)
    forger.put(name)
    data = forger.frame(forger.next, forger.before, 3, 3)
    forger.vault.append(str(name), segment.HEADER_BYTES, data[:count])
    for start in range(count, len(data), count):
        forger.vault.append(str(name), segment.HEADER_BYTES + start, data[start : start + count])
