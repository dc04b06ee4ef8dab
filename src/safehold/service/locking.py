"""The rules of LOCK and UNLOCK (RFC 4918 sections 9.10, 9.11): on the trees of files only."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

from msgspec.structs import replace

from safehold.model.change import Op
from safehold.model.commands import Body, Outcome, RefreshLock, ReleaseLock, TakeLock
from safehold.model.errors import BadRequest, Conflict, Forbidden, Locked, NotAllowed, NotFound, PreconditionFailed
from safehold.model.items import Account
from safehold.model.kinds import CollectionType
from safehold.model.locks import Lock
from safehold.model.paths import parent
from safehold.ports.world import Entropy
from safehold.service.collections import CollectionRules
from safehold.service.guards import Guards
from safehold.service.ledger import Ledger
from safehold.service.locks import LockTable

CONFLICTING_LOCK = "{DAV:}no-conflicting-lock"
NOT_OF_THIS = "{DAV:}lock-token-matches-request-uri"

#: Locks of one account at a time: a file system over WebDAV takes one for each file that it is about to send.
MAX_LOCKS = 1000
#: Shared locks that lie over each other: a listing tells of all of them again for each thing that they cover.
MAX_SHARED = 8
TOKEN_BYTES = 16

_EMPTY = Body(sha256(b"").digest(), 0, inline=b"")


class LockRules:
    def __init__(
        self, ledger: Ledger, entropy: Entropy, collections: CollectionRules, guards: Guards, locks: LockTable
    ) -> None:
        self._ledger = ledger
        self._entropy = entropy
        self._collections = collections
        self._guards = guards
        self._locks = locks

    def take(self, command: TakeLock) -> Outcome:
        account, path = self._ledger.account(command.account), command.path
        self._guards.conditions(account, command.guard)
        folder = self._ledger.collection(account, path)
        if folder is not None:
            self._ledger.head(account, folder.kind)
            if folder.type is not CollectionType.FOLDER:
                raise NotAllowed("address books and calendars cannot be locked", hint="use If-Match")
        self._judge_conflicts(account, command)
        made = None if folder is not None else self._file(account, command)
        lock = Lock(
            token=_new_token(self._entropy.bytes(TOKEN_BYTES)),
            root=path,
            folder=folder is not None,
            scope=command.scope,
            deep=command.deep,
            owner=command.owner,
            until=self._locks.now + command.seconds,
        )
        self._locks.put(account.id, lock)
        return self._outcome(account, path, lock, created=made is not None, rev=made or 0)

    def _judge_conflicts(self, account: Account, command: TakeLock) -> None:
        held = self._locks.of(account.id)
        other = held.conflicting(command.path, deep=command.deep, scope=command.scope)
        if other is not None:
            raise Locked(
                f"{other.root} is locked already",
                hint="wait until that lock ends, or end it by its token",
                element=CONFLICTING_LOCK,
                href=other.href,
            )
        if len(held.overlapping(command.path, deep=command.deep)) >= MAX_SHARED:
            raise Forbidden(
                f"{MAX_SHARED} shared locks at a time may lie over each other", hint="end one of them first"
            )
        if len(held) >= MAX_LOCKS:
            raise Forbidden(f"an account may hold {MAX_LOCKS} locks at a time", hint="end some of them first")

    def _file(self, account: Account, command: TakeLock) -> int | None:
        """The file to be locked: None where there is one, else the rev of the empty one made here (section 7.3)."""
        path, name = parent(command.path), command.path.rpartition("/")[2]
        above = self._ledger.collection(account, path)
        if above is None:
            self._collections.sure_of_absence(account, path)
            raise Conflict(f"there is no folder at {path}", hint="make the folder first")
        self._ledger.head(account, above.kind)
        if above.type is not CollectionType.FOLDER:
            raise NotAllowed("items of address books and calendars cannot be locked", hint="use If-Match")
        if self._ledger.core.item(above, name) is not None:
            return None
        if not command.make:
            raise NotFound(f"there is nothing at {command.path}")
        self._guards.locks(account, command.guard, command.path, member=True)
        return self._ledger.append(
            account, above.kind, Op.PUT, above.id, command.actor, name=name, media=command.media, body=_EMPTY
        ).rev

    def refresh(self, command: RefreshLock) -> Outcome:
        """Raises PreconditionFailed where the token is not that of a lock in whose scope the path is."""
        account = self._ledger.account(command.account)
        tokens = command.guard.tokens if command.guard is not None else frozenset()
        if len(tokens) != 1:
            raise BadRequest("a lock is refreshed by an If header with its token alone")
        lock = self._covering(account, command.path, min(tokens))
        if lock is None:
            raise PreconditionFailed("no lock of this token covers what is here", element=NOT_OF_THIS)
        self._guards.conditions(account, command.guard)
        renewed = replace(lock, until=self._locks.now + command.seconds)
        self._locks.put(account.id, renewed)
        return self._outcome(account, command.path, renewed)

    def release(self, command: ReleaseLock) -> Outcome:
        account = self._ledger.account(command.account)
        self._guards.conditions(account, command.guard)
        lock = self._covering(account, command.path, command.token)
        if lock is None:
            raise Conflict("no lock of this token covers what is here", element=NOT_OF_THIS)
        self._locks.drop(account.id, [lock])
        return Outcome(changed=False, path=command.path)

    def _covering(self, account: Account, path: str, token: str) -> Lock | None:
        return next((lock for lock in self._locks.of(account.id).covering(path) if lock.token == token), None)

    def _outcome(self, account: Account, path: str, lock: Lock, *, created: bool = False, rev: int = 0) -> Outcome:
        others = [each for each in self._locks.of(account.id).covering(path) if each.token != lock.token]
        return Outcome(created=created, changed=created, rev=rev, path=path, locks=(lock, *others))


def _new_token(random: bytes) -> str:
    """A URI that no other lock ever bears. As a UUID it would be ten characters longer, and an If header that names
    it beside two of our entity tags would not fit into the 200 bytes that programs set aside for one."""
    return "urn:safehold:" + urlsafe_b64encode(random).decode().rstrip("=")
