"""Whether a request may change what it wants to: its If header first, then the locks in its way (RFC 4918).

A state token is that of a lock, or the sync token of a collection as it is now (RFC 6578 section 5).

Both are asked within the transaction that applies the change (I40). A command without a guard is the operator's (undo,
import): neither is asked then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from safehold.model.errors import Locked, PreconditionFailed
from safehold.model.guards import Condition, ConditionList, Guard
from safehold.model.items import Account, Item
from safehold.model.kinds import Kind
from safehold.model.locks import HeldLocks
from safehold.model.paths import kinds_under, parent
from safehold.model.token import PREFIX, TOKEN_KEY, account_key, make_token
from safehold.ports.core import CoreReads
from safehold.service.ledger import Ledger
from safehold.service.locks import LockTable

LOCKED = "{DAV:}lock-token-submitted"


class Guards:
    """Reads the ledger and the table of locks; ends the locks of what goes."""

    def __init__(self, ledger: Ledger, locks: LockTable) -> None:
        self._ledger = ledger
        self._locks = locks

    def judge(
        self, account: Account, guard: Guard | None, path: str, *, member: bool = False, tree: bool = False
    ) -> None:
        """For a change of one resource; see `HeldLocks.protecting`. Raises PreconditionFailed, Locked, Held."""
        if guard is None:
            return
        if guard.lists:
            self.conditions(account, guard)
        if self._locks.of(account.id):
            self.locks(account, guard, path, member=member, tree=tree)

    def conditions(self, account: Account, guard: Guard | None) -> None:
        """Section 10.4: one of the lists must hold. Raises PreconditionFailed, Held where that cannot be known."""
        if guard is None or not guard.lists:
            return
        whole = partial(self._ledger.head, account)
        judge_conditions(guard, Seen(self._ledger.core, account, self._locks.of(account.id), whole))

    def locks(
        self, account: Account, guard: Guard | None, path: str, *, member: bool = False, tree: bool = False
    ) -> None:
        """Section 7: a token for each locked resource that is touched. Raises Locked."""
        if guard is None:
            return
        submitted = guard.tokens
        for touched, locks in self._locks.of(account.id).protecting(path, member=member, tree=tree):
            if submitted.isdisjoint(lock.token for lock in locks):
                said = f"{touched} is locked"
                raise Locked(said, hint="submit the token of the lock", element=LOCKED, href=locks[0].href)

    def gone(self, account: Account, path: str) -> None:
        """Nothing lies at a path any more, nor below it: locks go with what they locked (section 7.7, 9.6)."""
        self.emptied(account, path)
        held = self._locks.of(account.id)
        if held:
            self._locks.drop(account.id, [lock for lock in held.covering(path) if lock.root == path])

    def emptied(self, account: Account, path: str) -> None:
        """Nothing lies below a path any more."""
        held = self._locks.of(account.id)
        if held and (inner := held.below(path)):
            self._locks.drop(account.id, inner)


class Seen:
    """The state of one account's resources, as far as conditions are about it: what `reads` has, and the locks.

    `require_whole` raises Held for a kind whose stream is not whole: what it lost may not be taken for absent.
    """

    def __init__(
        self, reads: CoreReads, account: Account, locks: HeldLocks, require_whole: Callable[[Kind], object]
    ) -> None:
        self._reads = reads
        self._account = account
        self._locks = locks
        self._require_whole = require_whole

    def holds(self, wanted: ConditionList) -> bool:
        """All of a list. What is there is looked up only where an entity tag or a sync token asks for it."""
        path = wanted.path
        tokens: frozenset[str] = frozenset()
        digest: bytes | None = None
        if path is not None:
            tokens = frozenset(lock.token for lock in self._locks.covering(path))
            if any(not condition.token for condition in wanted.conditions):
                item = self._item(path)
                digest = None if item is None else item.digest
            if any(condition.token.startswith(PREFIX) for condition in wanted.conditions):
                tokens |= self._sync_token(path)
        return all(_holds(condition, tokens, digest) for condition in wanted.conditions)

    def _item(self, path: str) -> Item | None:
        """The item at a path; None for a collection or nothing. Raises Held where it is not sure that nothing is."""
        above = self._reads.collection(self._account.number, parent(path))
        for kind in kinds_under(path) if above is None else (above.kind,):
            self._require_whole(kind)
        return None if above is None else self._reads.item(above, path.rpartition("/")[2])

    def _sync_token(self, path: str) -> frozenset[str]:
        """That of the collection at a path, if there is one. Raises Held where that is not sure."""
        found = self._reads.collection(self._account.number, path)
        for kind in kinds_under(path) if found is None else (found.kind,):
            self._require_whole(kind)
        key = self._reads.secret(0, TOKEN_KEY)
        if found is None or key is None:
            return frozenset()
        return frozenset((make_token(account_key(key, self._account.id), found.id, found.rev, found.head),))


def judge_conditions(guard: Guard, seen: Seen) -> None:
    """One of the lists must hold, where there are any. Raises PreconditionFailed, Held where that cannot be known."""
    if guard.lists and not any(map(seen.holds, guard.lists)):
        raise PreconditionFailed("none of the conditions of the If header holds", hint="look again and decide anew")


def _holds(condition: Condition, tokens: frozenset[str], digest: bytes | None) -> bool:
    state = condition.token in tokens if condition.token else condition.digest == digest
    return state is not condition.negated
