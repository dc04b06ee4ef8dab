"""Ghosts: items whose change is on the stream, and whose body no source has (DESIGN section 5).

A recovery enters such a change as it was, without its body: the item stays listed with its ETag, so that a device that
has it keeps it. That the body is gone is then put on record in the same stream, by a GAP change that names the revs
(model/gaps.py). A change without its body that no record names is damage, for who writes a generation or attests it.

A ghost ends by a write to its name, be it of the very same bytes; by a delete; or by the person's word (`DropGhosts`),
which deletes those of an account. Nothing else makes one a delete (I74).
"""

from __future__ import annotations

from safehold.model.change import Op
from safehold.model.commands import DropGhosts, NoteGhosts, Outcome
from safehold.model.errors import Held
from safehold.model.gaps import GHOSTS, MAX_NAMED, ghost_words, ghosts_in
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.service.ledger import Ledger

#: Deleted by one command, at most: all of a group is in one frame.
MAX_DROPPED = 2000


class GhostRules:
    """Judged within the transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def note(self, command: NoteGhosts) -> Outcome:
        """Put on record whose bodies are gone, as far as nothing says so yet. Streams that are held wait."""
        account = self._ledger.account(command.account)
        rows = self._ledger.core.bodiless(account.number)
        noted = 0
        for kind in DATA_KINDS:
            found = rows.get(kind)
            bare = set(found.revs) if found is not None else set()
            bare.update(rev for rev in command.large.get(kind, ()) if self._has_blob(account, kind, rev))
            for props in found.records if found is not None else ():
                bare -= ghosts_in(props)
            if bare and self._ledger.held(account, kind) is None:
                self._record(account, kind, sorted(bare), command.actor)
                noted += len(bare)
        return Outcome(changed=noted > 0)

    def _has_blob(self, account: Account, kind: Kind, rev: int) -> bool:
        version = self._ledger.core.version_at(account.number, kind, rev)
        return version is not None and self._ledger.core.version_body(version.journal).blob is not None

    def _record(self, account: Account, kind: Kind, revs: list[int], actor: str) -> None:
        collections = [c.id for c in self._ledger.core.collections(account.number) if c.kind is kind]
        for start in range(0, len(revs), MAX_NAMED):
            props = {GHOSTS: ghost_words(revs[start : start + MAX_NAMED])}
            where = collections[0] if collections else bytes(16)
            self._ledger.append(account, kind, Op.GAP, where, actor, props=props)

    def drop(self, command: DropGhosts) -> Outcome:
        """The person's word that what is gone is to be listed no more: a delete each, in one group."""
        account = self._ledger.account(command.account)
        kinds = DATA_KINDS if command.kind is None else (command.kind,)
        held = [kind for kind in kinds if self._ledger.held(account, kind) is not None]
        if held:
            raise Held(f"your {held[0]} cannot be changed now", hint="say so again once it is whole")
        found = [pair for kind in kinds for pair in self._ledger.core.ghost_items(account.number, kind)]
        with self._ledger.group():
            for path, item in found[:MAX_DROPPED]:
                collection = self._ledger.core.collection(account.number, path)
                assert collection is not None, "a ghost lives in a collection"
                self._ledger.append(account, collection.kind, Op.DELETE, collection.id, command.actor, name=item.name)
        return Outcome(changed=bool(found), more=len(found) > MAX_DROPPED)
