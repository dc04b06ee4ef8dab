"""A recovery that could not know how the log had ended says so: the end of history is in doubt.

    {"at", "unknown_seconds", "mark"}      JSON; `at` in µs, `mark` names the recovery

It stands in the core's own records from the transaction that completes it, and as an item `doubt/MARK` of the
installation's identity from the first start of a writer, so that it comes back with every later recovery.
"""

from __future__ import annotations

import msgspec

PREFIX = "doubt/"


class Doubt(msgspec.Struct, frozen=True):
    """`unknown_seconds`: how long before the loss acknowledged writes may lie that nobody has, at most."""

    at: int
    unknown_seconds: float
    mark: str

    @property
    def name(self) -> str:
        """Of the item."""
        return PREFIX + self.mark


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Doubt).decode


def encode(doubt: Doubt) -> bytes:
    return _encode(doubt)


def parse(data: bytes, mark: str = "unreadable") -> Doubt:
    """What cannot be read is a doubt all the same."""
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return Doubt(0, 0.0, mark)
