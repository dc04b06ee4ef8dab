"""From command to changes: one entry, one rule book for each family of commands."""

from __future__ import annotations

from safehold.model.commands import (
    AcceptEnd,
    AcceptLoss,
    AddAccount,
    AddAppPassword,
    AddScore,
    Announce,
    AnyCommand,
    ApplyIntake,
    DeleteItem,
    DismissNotice,
    DropGhosts,
    EraseAccount,
    FoundInstallation,
    LetGo,
    MakeCollection,
    NameAccount,
    NoteAhead,
    NoteDoubt,
    NoteErased,
    NoteGhosts,
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
    SetMail,
    SetPassword,
    TakeBackErasure,
    TakeLock,
    TellNotice,
    TellRest,
    Transfer,
    Undo,
    Withdraw,
)
from safehold.model.kinds import Kind
from safehold.ports.world import Entropy
from safehold.service import addresses
from safehold.service.ahead import AheadRules
from safehold.service.announcements import AnnouncementRules
from safehold.service.brake_notices import NoticeTeller
from safehold.service.brakes import DEFAULT_BRAKES, BrakeLimits, Brakes
from safehold.service.collections import CollectionRules
from safehold.service.erasure_rules import ErasureRules
from safehold.service.ghosts import GhostRules
from safehold.service.guards import Guards
from safehold.service.homes import HOMES, HomeRules
from safehold.service.identity import SYSTEM_ACCOUNT, IdentityRules
from safehold.service.intake import IntakeRules
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

    def __init__(
        self,
        ledger: Ledger,
        entropy: Entropy,
        locks: LockTable,
        quota_bytes: int = 0,
        limits: BrakeLimits = DEFAULT_BRAKES,
    ) -> None:
        self._ledger = ledger
        self.brakes = Brakes(ledger, limits, NoticeTeller(ledger, limits.window))
        guards = Guards(ledger, locks)
        self._quota = QuotaRules(ledger, quota_bytes)
        self._collections = CollectionRules(ledger, entropy, guards)
        self._items = ItemRules(ledger, entropy, self._collections, guards, self._quota)
        self._ghosts = GhostRules(ledger)
        self._intake = IntakeRules(ledger, self._collections, self._items, guards, self._quota, self.brakes)
        self._transfers = TransferRules(ledger, self._collections, guards)
        self._locking = LockRules(ledger, entropy, self._collections, guards, locks)
        self._identity = IdentityRules(ledger, entropy, self._collections)
        self._homes = HomeRules(ledger, guards)
        self._announcements = AnnouncementRules(ledger)
        self._erasures = ErasureRules(ledger, self._identity, limits)
        self._undo = UndoRules(ledger, entropy, limits)
        self._ahead = AheadRules(ledger)

    def judge(self, command: AnyCommand) -> Outcome:
        before = self._quota.used_before(command)
        goes = [each for each in (self.brakes.look_ahead(command), self.brakes.look_at_source(command)) if each]
        made = len(self._ledger.changes)
        outcome = self._apply(command)
        self._quota.require_after(command, before)
        if not isinstance(command, AcceptLoss | ApplyIntake):  # what waited is counted as what it is
            self.brakes.count(command, self._ledger.changes[made:], goes)
        return outcome

    def _apply(self, command: AnyCommand) -> Outcome:
        match command:
            case PutItem() | DeleteItem() | AddScore() if self._intake.takes(command):
                return self._intake.take(command)
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
            case NameAccount():
                return self._identity.name_account(command)
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
            case NoteDoubt():
                return self._ahead.note_doubt(command)
            case AcceptEnd():
                return self._ahead.accept_end(command)
            case SetListed():
                return self._identity.set_listed(command)
            case TellNotice():
                return Notices.told(self._ledger, command)
            case DismissNotice():
                return Notices.dismiss(self._ledger, command)
            case Announce():
                return self._announcements.announce(command)
            case Withdraw():
                return self._announcements.withdraw(command)
            case SetMail():
                return addresses.set_mail(self._ledger, command)
            case NoteErased():
                return self._identity.note_erased(command)
            case EraseAccount():
                return self._erasures.erase(command)
            case TakeBackErasure():
                return self._erasures.take_back(command)
            case TellRest():
                return self._tell_rest()
            case AcceptLoss():
                return self._accept_loss(command)
            case NoteGhosts():
                return self._ghosts.note(command)
            case DropGhosts():
                return self._ghosts.drop(command)
            case ApplyIntake():
                return self._intake.apply(command)

    def _accept_loss(self, command: AcceptLoss) -> Outcome:
        """What was sent meanwhile comes with it; where it is much, the rest of it comes right afterwards."""
        outcome = self._identity.accept_loss(command)
        if outcome.changed:
            if command.account == SYSTEM_ACCOUNT and command.kind is Kind.IDENTITY:  # with its first change, for good
                self._ahead.note_doubt(NoteDoubt(account=command.account, actor=command.actor))
            self._ghosts.note(NoteGhosts(account=command.account, actor=command.actor))
            self._intake.apply(ApplyIntake(account=command.account, actor=command.actor))
        return outcome

    def _tell_rest(self) -> Outcome:
        made = len(self._ledger.changes)
        self.brakes.tell_rest()
        return Outcome(changed=len(self._ledger.changes) > made)

    def _patch(self, command: PatchProps) -> Outcome:
        if command.name is not None:
            return self._items.patch(command)
        return (self._homes if command.path in HOMES else self._collections).patch(command)
