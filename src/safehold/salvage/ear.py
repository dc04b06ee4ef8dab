"""Hears what scanners find, passes it on, and keeps of it what helps to read the rest.

What belongs to an account that is known to be erased is not passed on.

Accounts, their names and the register of erased ids are told from identities, whichever source these came out of; so
are the keys that other sources need: those of sync tokens and blobs, and identities that were replaced. Memory grows
with the number of accounts and collections, with that of large bodies up to MAX_BLOBS, and with the changes of erased
accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from safehold.formats.travelling import OLDER_IDENTITIES
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.model.token import TOKEN_KEY
from safehold.ports.survivors import (
    Aside,
    Finds,
    KnownItem,
    Loose,
    Proof,
    Survivor,
    Survivors,
    Witnessed,
)
from safehold.recovery.replay import PROFILE, erased_id, name_in
from safehold.recovery.selection import SYSTEM

BLOB_KEY = "blob-key"
AHEAD_PREFIX = "ahead/"
#: Large bodies of which the digest is remembered, to check files that bear their names.
MAX_BLOBS = 500_000
_OF_INTEREST = frozenset((PROFILE, BLOB_KEY, TOKEN_KEY, OLDER_IDENTITIES))
_KEY_BYTES = 32


class Place(NamedTuple):
    """Where a collection belongs."""

    account: bytes
    kind: Kind
    path: str


class Ear:
    """Implements ports.survivors.Finds over another one, of which `bodies` gives what was put there."""

    def __init__(self, finds: Finds, bodies: Callable[[bytes], bytes | None]) -> None:
        self._finds = finds
        self._bodies = bodies
        self._within: tuple[int, list[str]] | None = None
        self._waiting: dict[bytes, list[Change]] = {}  # by digest, until the body is found
        self.accounts: dict[bytes, str] = {}
        self.erased_ids: set[bytes] = set()
        self.erased_blobs: set[bytes] = set()  # names of large bodies of erased accounts
        self.erased_digests: set[bytes] = set()  # of their bodies, which may lie apart from their changes
        self._asides: set[tuple[int, str]] = set()  # where something went aside in an earlier run
        self.collections: dict[bytes, Place] = {}
        self.token_keys: dict[bytes, None] = {}
        self.blob_keys: dict[bytes, dict[bytes, None]] = {}
        self.blob_digests: dict[bytes, bytes] = {}
        self.older_identities: dict[bytes, None] = {}  # items, sealed
        self.proofs: dict[tuple[bytes, str], bytes] = {}  # (account, name) of what devices proved -> JSON

    def learn(self, survivors: Survivors) -> None:
        """From what an earlier salvage put there."""
        for aside in survivors.asides():
            place = aside.where.rpartition(": ")[0] if aside.what == "change" else aside.where
            self._asides.add((aside.source, place))
        for account, name in survivors.accounts().items():
            self.accounts.setdefault(account, name)
        self.erased_ids.update(survivors.erased_accounts())
        for key in list(survivors.keys()):
            for proof in Proof:
                for survivor in survivors.changes(key, proof):
                    self._hear(survivor.change)

    # -- ports.survivors.Finds

    @contextmanager
    def within(self, source: int) -> Iterator[list[str]]:
        """Meanwhile what is found counts as this source's, and what is wrong is collected in place of being told."""
        problems: list[str] = []
        self._within = source, problems
        try:
            yield problems
        finally:
            self._within = None

    def source(self, path: str, sort: str, size: int) -> int:
        return self._finds.source(path, sort, size) if self._within is None else self._within[0]

    def problem(self, source: int, words: str) -> None:
        if self._within is None:
            self._finds.problem(source, words)
        else:
            self._within[1].append(words)

    def is_settled(self, source: int, where: str) -> bool:
        """Whether something had gone aside from a place, where something has proved itself now. Asked once."""
        if (source, where) not in self._asides:
            return False
        self._asides.discard((source, where))
        return True

    def survivor(self, survivor: Survivor) -> None:
        change = survivor.change
        if change.account in self.erased_ids:
            self.erased_blobs.update((change.blob,) if change.blob is not None else ())
            self.erased_digests.update((change.digest,) if change.digest else ())
            return
        self._finds.survivor(survivor)
        self._hear(survivor.change)

    def known(self, item: KnownItem) -> None:
        if item.account not in self.erased_ids:
            self._finds.known(item)

    def loose(self, loose: Loose) -> None:
        self._finds.loose(loose)

    def witness(self, witnessed: Witnessed) -> None:
        if witnessed.account not in self.erased_ids:
            self._finds.witness(witnessed)

    def aside(self, aside: Aside) -> None:
        if aside.account not in self.erased_ids:
            self._finds.aside(aside)

    def account(self, account: bytes, name: str) -> None:
        if account in self.erased_ids:
            return
        if name or account not in self.accounts:
            self.accounts[account] = name
        self._finds.account(account, name)

    def erased(self, account: bytes) -> None:
        self.erased_ids.add(account)
        self.accounts.pop(account, None)
        self._finds.erased(account)

    def body(self, digest: bytes, body: bytes, source: int) -> None:
        self._finds.body(digest, body, source)
        for change in self._waiting.pop(digest, ()):
            self._hear_item(change, body)

    def blob(self, name: bytes, path: str, size: int, source: int) -> None:
        if name not in self.erased_blobs:
            self._finds.blob(name, path, size, source)

    # -- what is kept of it

    def _hear(self, change: Change) -> None:
        account = change.account
        if account not in self.accounts and account != SYSTEM:
            self.account(account, "")
        if change.kind is Kind.IDENTITY:
            self._hear_identity(change)
        elif change.op is Op.MKCOL:
            self.collections.setdefault(change.collection, Place(account, change.kind, change.name))
        elif change.blob is not None and len(self.blob_digests) < MAX_BLOBS:
            self.blob_digests.setdefault(change.blob, change.digest)

    def _hear_identity(self, change: Change) -> None:
        if change.op is not Op.PUT:
            return
        gone = erased_id(change)
        if gone is not None:
            self.erased(gone)
        if change.name not in _OF_INTEREST and not change.name.startswith(AHEAD_PREFIX):
            return
        body = change.body if change.body is not None else self._bodies(change.digest)
        if body is None:
            self._waiting.setdefault(change.digest, []).append(change)
        else:
            self._hear_item(change, body)

    def _hear_item(self, change: Change, body: bytes) -> None:
        account, name = change.account, change.name
        if name == PROFILE:
            self.account(account, name_in(body))
        elif name == BLOB_KEY and len(body) == _KEY_BYTES:
            self.blob_keys.setdefault(account, {})[body] = None
        elif name == TOKEN_KEY and account == SYSTEM:
            self.token_keys[body] = None
        elif name == OLDER_IDENTITIES and account == SYSTEM:
            self.older_identities[body] = None
        elif name.startswith(AHEAD_PREFIX):
            self.proofs[account, name] = body
