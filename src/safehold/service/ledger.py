"""One open transaction as the rules see it: what is there, and `append`, which makes the next change of a stream.

Invariants, asserted below or by the core:

- a change gets the next rev of its stream, the hash before it, and the number of the log frame that will carry it;
- changes of one group are consecutive in their stream and lie in one frame;
- after a rollback nothing remembered here survives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safehold.model.change import NO_DIGEST, Change, Op, canonical_props, hashed, props_digest
from safehold.model.commands import Body
from safehold.model.errors import Held, NotFound
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.stream import Head
from safehold.ports.core import INTAKE, CoreStore

#: Streams and collections remembered between transactions, at most; then forgotten together.
MEMORY_LIMIT = 50_000


class Ledger:
    """The writer's working memory over the core. Used by one thread."""

    def __init__(self, core: CoreStore, timeline: int) -> None:
        self.core = core
        self.timeline = timeline
        self.changes: list[Change] = []
        self._frame = 0
        self._at = 0
        self._group: dict[tuple[bytes, Kind], int] | None = None
        self._entering = False
        self._accounts: dict[bytes, Account] = {}
        self._heads: dict[tuple[bytes, Kind], Head] = {}
        self._collections: dict[tuple[int, str], Collection] = {}

    def begin(self, frame: int, at: int) -> None:
        """Start collecting the changes of one frame; `at` stamps them all (µs)."""
        if len(self._heads) + len(self._collections) + len(self._accounts) > MEMORY_LIMIT:
            self.forget()
        self.changes = []
        self._frame = frame
        self._at = at

    def forget(self) -> None:
        """Drop what is remembered; required after every rollback."""
        self.changes = []
        self._accounts.clear()
        self._heads.clear()
        self._collections.clear()

    @property
    def now(self) -> int:
        """The time of this frame (µs)."""
        return self._at

    # -- what is there ---------------------------------------------------------------------------------------

    def account(self, id_: bytes) -> Account:
        """Raises NotFound for an id that no account has (erased, or never made)."""
        account = self._accounts.get(id_)
        if account is None:
            account = self.core.account_by_id(id_)
            if account is None:
                raise NotFound("there is no such account")
            self._accounts[id_] = account
        return account

    def collection(self, account: Account, path: str) -> Collection | None:
        """The live collection at a path. Its rev, head and properties may lag: use `fresh` where they matter."""
        key = (account.number, path)
        found = self._collections.get(key)
        if found is None:
            found = self.core.collection(account.number, path)
            if found is not None:
                self._collections[key] = found
        return found

    def fresh(self, account: Account, path: str) -> Collection | None:
        return self.core.collection(account.number, path)

    def head(self, account: Account, kind: Kind) -> Head:
        """The stream's head. Raises Held where the stream may not be read or written now."""
        key = (account.id, kind)
        head = self._heads.get(key)
        if head is None:
            reason = self.core.held(account.number, kind)
            if reason is not None and not (self._entering and reason == INTAKE):
                raise Held(f"{kind} of this account cannot be changed now: {reason}")
            head = self._heads[key] = self.core.head(account.number, kind)
        return head

    def held(self, account: Account, kind: Kind) -> str | None:
        """Why the stream may not be read or written now; None where it may."""
        return None if (account.id, kind) in self._heads else self.core.held(account.number, kind)

    # -- what becomes of it ----------------------------------------------------------------------------------

    @contextmanager
    def entering(self, account: Account) -> Iterator[None]:
        """Inside, streams of this account that are held for their intake alone may be changed: so it is entered."""
        self._entering = True
        try:
            yield
        finally:
            self._entering = False
            for kind in DATA_KINDS:
                if self.core.held(account.number, kind) is not None:
                    self._heads.pop((account.id, kind), None)

    @contextmanager
    def group(self) -> Iterator[None]:
        """Changes appended inside stand or fall together: those of one stream share the first one's rev."""
        assert self._group is None, "groups do not nest"
        self._group = {}
        try:
            yield
        finally:
            self._group = None

    def append(
        self,
        account: Account,
        kind: Kind,
        op: Op,
        collection: bytes,
        actor: str,
        *,
        name: str = "",
        media: str = "",
        body: Body | None = None,
        props: dict[str, str] | None = None,
        kept_props_digest: bytes = NO_DIGEST,
    ) -> Change:
        """Make the next change of (account, kind) and enter it in the core.

        `props` replaces the properties; where it is None, `kept_props_digest` is that of those which stay.
        """
        head = self.head(account, kind)
        rev = head.rev + 1
        group = rev if self._group is None else self._group.setdefault((account.id, kind), rev)
        canonical = None if props is None else canonical_props(props)
        p_digest = kept_props_digest if canonical is None else props_digest(canonical)
        digest, size = (body.digest, body.size) if body is not None else (NO_DIGEST, 0)
        change = hashed(
            Change(
                account=account.id,
                kind=kind,
                timeline=self.timeline,
                rev=rev,
                group=group,
                at=self._at,
                op=op,
                collection=collection,
                name=name,
                media=media,
                digest=digest,
                size=size,
                props_digest=p_digest,
                actor=actor,
                prev=head.hash,
                hash=NO_DIGEST,
                body=body.inline if body is not None else None,
                blob=body.blob if body is not None else None,
                props=canonical,
            )
        )
        self.core.apply(change, self._frame)
        self.changes.append(change)
        self._heads[account.id, kind] = Head(rev, change.hash)
        if op in (Op.MKCOL, Op.SETCOL, Op.RMCOL):
            self._collections.clear()
        if kind is Kind.IDENTITY:
            self._accounts.pop(account.id, None)
        return change

    def put(self, account: Account, collection: Collection, name: str, media: str, body: Body, actor: str) -> Change:
        """A new body for an item, whose properties stay."""
        return self.append(
            account,
            collection.kind,
            Op.PUT,
            collection.id,
            actor,
            name=name,
            media=media,
            body=body,
            kept_props_digest=self.props_digest(self.core.item(collection, name)),
        )

    def props_digest(self, item: Item | None) -> bytes:
        """The digest of an item's properties; b"" where it has none."""
        if item is None or item.props_journal is None:
            return NO_DIGEST
        return self.core.change(item.props_journal).props_digest

    def forget_account(self, account: Account) -> None:
        """Nothing of an erased account may be remembered."""
        self._accounts.pop(account.id, None)
        self._heads = {key: head for key, head in self._heads.items() if key[0] != account.id}
        self._collections.clear()
