"""Accounts that are locked until they are erased: what waits, as the installation's own identity has it on record.

An item `erasing/` and the account's id, in hex, for each: the JSON object of `Erasing` without its id.
"""

from __future__ import annotations

import msgspec

from safehold.model.commands import EraseAccount
from safehold.ports.core import CoreReads

ERASING_PREFIX = "erasing/"
#: Beyond all times.
NEVER = 1 << 62


class _Record(msgspec.Struct):
    asked: int
    due: int


class Erasing(msgspec.Struct, frozen=True):
    """When it was asked for, and when the account will be erased (µs)."""

    id: bytes
    asked: int
    due: int


_decode = msgspec.json.Decoder(_Record).decode


def encode_erasing(asked: int, due: int) -> bytes:
    return msgspec.json.encode(_Record(asked, due))


def erasing_accounts(reads: CoreReads) -> list[Erasing]:
    """Those that wait to be erased, the next one first. What cannot be read counts as never due, and is not lost."""
    found = [
        _parsed(bytes.fromhex(name.removeprefix(ERASING_PREFIX)), body)
        for name, body in reads.secrets(0, ERASING_PREFIX)
    ]
    return sorted(found, key=lambda erasing: (erasing.due, erasing.id))


def erasing_of(reads: CoreReads, id_: bytes) -> Erasing | None:
    """Whether an account waits to be erased."""
    body = reads.secret(0, ERASING_PREFIX + id_.hex())
    return None if body is None else _parsed(id_, body)


def _parsed(id_: bytes, body: bytes) -> Erasing:
    try:
        record = _decode(body)
    except msgspec.MsgspecError:
        return Erasing(id_, 0, NEVER)
    return Erasing(id_, record.asked, record.due)


def due_erasures(reads: CoreReads, now: int) -> list[EraseAccount]:
    """What the writer has to do now: the grace of these is over."""
    return [
        EraseAccount(account=erasing.id)
        for erasing in erasing_accounts(reads)
        if erasing.due <= now and reads.account_by_id(erasing.id) is not None
    ]
