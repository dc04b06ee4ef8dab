"""The register of erased accounts, as the core has it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from safehold.ports.core import CoreReads
from safehold.service.identity import SYSTEM_ACCOUNT, erased_id


class Erased(NamedTuple):
    id: bytes
    at: int  # µs, when it was erased


class _Record(msgspec.Struct):
    at: int = 0


_decode = msgspec.json.Decoder(_Record).decode


def erased_accounts(reads: CoreReads) -> list[Erased]:
    """Those that were erased last come first. What a record cannot tell counts as erased at 0."""
    system = reads.account_by_id(SYSTEM_ACCOUNT)
    found: list[Erased] = []
    for collection in reads.collections(system.number) if system is not None else ():
        assert system is not None
        for item in reads.items(collection):
            id_ = erased_id(item.name)
            if id_ is not None:
                found.append(Erased(id_, _at(reads.secret(system.number, item.name))))
    return sorted(found, key=lambda erased: (-erased.at, erased.id))


def _at(record: bytes | None) -> int:
    try:
        return _decode(record or b"{}").at
    except msgspec.MsgspecError:
        return 0
