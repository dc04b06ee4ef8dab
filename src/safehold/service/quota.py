"""What an account may hold: the bodies of its live items together (RFC 4331); identity and history do not count."""

from __future__ import annotations

from safehold.model.commands import (
    AcceptEnd,
    AcceptLoss,
    AnyCommand,
    ApplyIntake,
    DropGhosts,
    EraseAccount,
    LetGo,
    NoteAhead,
    NoteDoubt,
    NoteGhosts,
    Undo,
)
from safehold.model.errors import OverQuota
from safehold.model.items import Account
from safehold.service.ledger import Ledger

#: What is never refused: bringing back what the account once held, what was taken already, and dropping all of it.
_ALWAYS = (
    Undo,
    AcceptEnd,
    AcceptLoss,
    ApplyIntake,
    DropGhosts,
    EraseAccount,
    NoteAhead,
    NoteDoubt,
    NoteGhosts,
    LetGo,
)


class QuotaRules:
    """Judged within the transaction (I41). A `limit_bytes` of 0 is none."""

    def __init__(self, ledger: Ledger, limit_bytes: int) -> None:
        self._ledger = ledger
        self.limit_bytes = limit_bytes

    def require(self, account: Account, more: int) -> None:
        """Before a change that takes so many bytes more. Raises OverQuota; what takes none always passes."""
        if not self.limit_bytes or more <= 0:
            return
        waiting = self._ledger.core.intake(account.number)
        used = self._ledger.core.used_bytes(account.number) + waiting.inline_bytes + waiting.blob_bytes
        if used + more > self.limit_bytes:
            raise over_quota(self.limit_bytes, used, more)

    def used_before(self, command: AnyCommand) -> int | None:
        """What the command's account holds, to be handed to `require_after`; None where that does not matter."""
        if not self.limit_bytes or isinstance(command, _ALWAYS):
            return None
        account = self._ledger.core.account_by_id(command.account)
        return None if account is None else self._ledger.core.used_bytes(account.number)

    def require_after(self, command: AnyCommand, before: int | None) -> None:
        """After a command of several changes, of which it is the sum that counts. Raises OverQuota."""
        if before is None:
            return
        now = self._ledger.core.used_bytes(self._ledger.account(command.account).number)
        if now > before and now > self.limit_bytes:
            raise over_quota(self.limit_bytes, before, now - before)


def over_quota(limit: int, used: int, more: int) -> OverQuota:
    return OverQuota(f"this account may hold {limit:,} bytes; it holds {used:,}, and this would be {more:,} more")
