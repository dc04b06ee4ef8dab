"""Erasing accounts, and the brake on it: a script that goes wrong erases a few accounts, not all of them.

Within a while only so many accounts (`BrakeLimits.erasures`) are erased at once. Those beyond are locked: nobody can
sign in, devices are told 503, and all stays where it is until the grace is over and the writer erases them; until then
they can be taken back. What waits is on record in the installation's own identity, as `erasing/` and the account's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.model.change import Op
from safehold.model.commands import AnyCommand, Body, EraseAccount, Outcome, TakeBackErasure
from safehold.model.errors import Conflict, NotFound
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.ports.core import CoreReads
from safehold.service.brakes import BrakeLimits
from safehold.service.erasures import erased_accounts
from safehold.service.identity import MEDIA_OCTETS, SYSTEM_ACCOUNT, IdentityRules
from safehold.service.ledger import Ledger

ERASING_PREFIX = "erasing/"
_DAY = 86_400 * 1_000_000


class _Record(msgspec.Struct):
    asked: int
    due: int


class Erasing(NamedTuple):
    """An account that is locked: when that was asked for, and when it will be erased (µs)."""

    id: bytes
    asked: int
    due: int


_decode = msgspec.json.Decoder(_Record).decode


def erasing_accounts(reads: CoreReads) -> list[Erasing]:
    """Those that wait to be erased, the next one first."""
    found = []
    for name, body in reads.secrets(0, ERASING_PREFIX):
        record = _decode(body)
        found.append(Erasing(bytes.fromhex(name.removeprefix(ERASING_PREFIX)), record.asked, record.due))
    return sorted(found, key=lambda erasing: (erasing.due, erasing.id))


def erasing_of(reads: CoreReads, id_: bytes) -> Erasing | None:
    """Whether an account waits to be erased."""
    body = reads.secret(0, ERASING_PREFIX + id_.hex())
    if body is None:
        return None
    record = _decode(body)
    return Erasing(id_, record.asked, record.due)


class ErasureRules:
    def __init__(self, ledger: Ledger, identity: IdentityRules, limits: BrakeLimits) -> None:
        self._ledger = ledger
        self._identity = identity
        self._limits = limits

    def erase(self, command: EraseAccount) -> Outcome:
        waits = erasing_of(self._ledger.core, command.account)
        if command.braked and waits is not None:
            return Outcome(changed=False, due=waits.due)
        if command.braked and command.account != SYSTEM_ACCOUNT and self._are_many():
            return self._lock(command)
        outcome = self._identity.erase(command)
        if waits is not None:
            self._unlock(command)
        return outcome

    def _are_many(self) -> bool:
        if not self._limits.grace_days:
            return False
        core, since = self._ledger.core, self._ledger.now - self._limits.window
        lately = sum(erased.at > since for erased in erased_accounts(core))
        lately += sum(erasing.asked > since for erasing in erasing_accounts(core))
        return lately >= self._limits.erasures

    def _lock(self, command: EraseAccount) -> Outcome:
        account = self._ledger.account(command.account)
        now = self._ledger.now
        due = now + self._limits.grace_days * _DAY
        system = self._ledger.account(SYSTEM_ACCOUNT)
        identity = self._ledger.collection(system, PATH_IDENTITY)
        assert identity is not None, "the installation has an identity"
        data = msgspec.json.encode(_Record(now, due))
        body = Body(sha256(data).digest(), len(data), inline=data)
        name = ERASING_PREFIX + account.id.hex()
        change = self._ledger.put(system, identity, name, MEDIA_OCTETS, body, command.actor)
        return Outcome(rev=change.rev, name=account.name, due=due)

    def take_back(self, command: TakeBackErasure) -> Outcome:
        account = self._ledger.account(command.account)
        if erasing_of(self._ledger.core, account.id) is None:
            raise NotFound(f"{account.name} does not wait to be erased")
        return Outcome(rev=self._unlock(command), name=account.name)

    def _unlock(self, command: EraseAccount | TakeBackErasure) -> int:
        system = self._ledger.account(SYSTEM_ACCOUNT)
        identity = self._ledger.collection(system, PATH_IDENTITY)
        if identity is None:
            raise Conflict("the installation has no identity")
        name = ERASING_PREFIX + command.account.hex()
        return self._ledger.append(system, Kind.IDENTITY, Op.DELETE, identity.id, command.actor, name=name).rev


def due_erasures(reads: CoreReads, now: int) -> Sequence[AnyCommand]:
    """What the writer has to do now: the grace of these is over."""
    return [
        EraseAccount(account=erasing.id, actor="operator")
        for erasing in erasing_accounts(reads)
        if erasing.due <= now and reads.account_by_id(erasing.id) is not None
    ]
