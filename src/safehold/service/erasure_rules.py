"""Erasing accounts, and the brake on it: a script that goes wrong erases a few accounts, not all of them.

Within a while only so many accounts (`BrakeLimits.erasures`) are erased at once. Those beyond are locked: nobody can
sign in, devices are told 503, and all stays where it is until the grace is over and the writer erases them; until then
they can be taken back.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.model.change import Op
from safehold.model.commands import Body, EraseAccount, Outcome, TakeBackErasure
from safehold.model.errors import Conflict, NotFound
from safehold.model.kinds import PATH_IDENTITY, Kind
from safehold.service.brakes import BrakeLimits
from safehold.service.erasing import ERASING_PREFIX, encode_erasing, erasing_accounts, erasing_of
from safehold.service.erasures import erased_accounts
from safehold.service.identity import MEDIA_OCTETS, SYSTEM_ACCOUNT, IdentityRules
from safehold.service.ledger import Ledger

_DAY = 86_400 * 1_000_000


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
        data = encode_erasing(now, due)
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
