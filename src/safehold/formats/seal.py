"""The payload of a seal: a signed statement of what was written since the seal before.

The page: docs/formats/seal.md.
"""

from __future__ import annotations

import msgspec

from safehold.model.kinds import Kind


class SealedObject(msgspec.Struct, frozen=True, array_like=True):
    """An object that a vault must have: at least `size` bytes, of which the first `size` have this digest.

    A segment in which a write failed may be longer by what that write left.
    """

    name: str
    size: int
    digest: bytes  # SHA-256


class SealedHead(msgspec.Struct, frozen=True, array_like=True):
    """The head of a stream that changed since the seal before."""

    account: bytes
    kind: Kind
    rev: int
    hash: bytes


class Seal(msgspec.Struct, frozen=True, array_like=True):
    """`after` is the log's position before this frame; `since` the one of the seal before, (0, 0, b"") for none."""

    version: int
    after: tuple[int, int, bytes]
    since: tuple[int, int, bytes]
    segments: list[SealedObject]  # closed since
    blobs: list[SealedObject]  # added since
    heads: list[SealedHead]
    pending: list[str]  # blobs and objects that some async vault did not have yet
    objects: list[SealedObject] = []  # runs and generations added since


VERSION = 1
DECODER = msgspec.msgpack.Decoder(Seal)
