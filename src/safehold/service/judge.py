"""From command to changes: one entry, one rule book for each family of commands."""

from __future__ import annotations

from safehold.model.commands import (
    AcceptLoss,
    AddAccount,
    AddAppPassword,
    AddScore,
    AnyCommand,
    DeleteItem,
    DismissNotice,
    EraseAccount,
    FoundInstallation,
    LetGo,
    MakeCollection,
    NoteAhead,
    NoteInstallation,
    NoteUse,
    Outcome,
    PatchProps,
    PutItem,
    RefreshLock,
    ReleaseLock,
    RemoveCollection,
    RevokeAppPassword,
    SetListed,
    SetPassword,
    TakeLock,
    Transfer,
    Undo,
)
from safehold.ports.world import Entropy
from safehold.service.ahead import AheadRules
from safehold.service.collections import CollectionRules
from safehold.service.guards import Guards
from safehold.service.homes import HOMES, HomeRules
from safehold.service.identity import IdentityRules
from safehold.service.items import ItemRules
from safehold.service.ledger import Ledger
from safehold.service.locking import LockRules
from safehold.service.locks import LockTable
from safehold.service.notices import Notices
from safehold.service.quota import QuotaRules
from safehold.service.transfers import TransferRules
from safehold.service.undo import UndoRules


class Judge:
    """Judges a command against the open transaction and applies it there.

    Raises RequestError where the person's request cannot be done, Held where it cannot be judged now. A command
    is judged whole before its first change, so a refusal leaves nothing behind but a REFUSED change.
    """

    def __init__(self, ledger: Ledger, entropy: Entropy, locks: LockTable, quota_bytes: int = 0) -> None:
        guards = Guards(ledger, locks)
        self._ledger = ledger
        self._quota = QuotaRules(ledger, quota_bytes)
        self._collections = CollectionRules(ledger, entropy, guards)
        self._items = ItemRules(ledger, entropy, self._collections, guards, self._quota)
        self._transfers = TransferRules(ledger, self._collections, guards)
        self._locking = LockRules(ledger, entropy, self._collections, guards, locks)
        self._identity = IdentityRules(ledger, entropy, self._collections)
        self._homes = HomeRules(ledger, guards)
        self._undo = UndoRules(ledger, entropy)
        self._ahead = AheadRules(ledger)

    def judge(self, command: AnyCommand) -> Outcome:
        before = self._quota.used_before(command)
        outcome = self._apply(command)
        self._quota.require_after(command, before)
        return outcome

    def _apply(self, command: AnyCommand) -> Outcome:
        match command:
            case PutItem():
                return self._items.put(command)
            case DeleteItem():
                return self._items.delete(command)
            case PatchProps():
                return self._patch(command)
            case MakeCollection():
                return self._collections.make(command)
            case RemoveCollection():
                return self._collections.remove(command)
            case Transfer():
                return self._transfers.transfer(command)
            case TakeLock():
                return self._locking.take(command)
            case RefreshLock():
                return self._locking.refresh(command)
            case ReleaseLock():
                return self._locking.release(command)
            case AddScore():
                return self._items.add_score(command)
            case Undo():
                return self._undo.undo(command)
            case FoundInstallation():
                return self._identity.found(command)
            case NoteInstallation():
                return self._identity.note_installation(command)
            case AddAccount():
                return self._identity.add_account(command)
            case SetPassword():
                return self._identity.set_password(command)
            case AddAppPassword():
                return self._identity.add_app_password(command)
            case RevokeAppPassword():
                return self._identity.revoke_app_password(command)
            case NoteUse():
                return self._identity.note_use(command)
            case NoteAhead():
                return self._ahead.note(command)
            case LetGo():
                return self._ahead.let_go(command)
            case SetListed():
                return self._identity.set_listed(command)
            case DismissNotice():
                return Notices.dismiss(self._ledger, command)
            case EraseAccount():
                return self._identity.erase(command)
            case AcceptLoss():
                return self._identity.accept_loss(command)

    def _patch(self, command: PatchProps) -> Outcome:
        if command.name is not None:
            return self._items.patch(command)
        return (self._homes if command.path in HOMES else self._collections).patch(command)
