"""The payload of a claim: the first frame of a timeline. The page: docs/formats/claim.md."""

from __future__ import annotations

import msgspec


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """Who opened a timeline, and what it continues."""

    version: int
    timeline: int
    parent: tuple[int, int, bytes]  # timeline, frame, digest of the last frame that counts before; (0, 0, b"") for none
    writer: bytes  # public key
    started_at: int  # µs


VERSION = 1
DECODER = msgspec.msgpack.Decoder(Claim)
