"""What a core's carved rows are worth: the streams one by one, then what lives, then what cannot be read.

How a row is proved: core_streams.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from safehold.model.change import ID_BYTES, Change, Op
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.survivors import Aside, Finds, KnownItem, Proof, Survivor
from safehold.salvage.core_streams import Ids, StreamProof
from safehold.service.identity import SYSTEM_ACCOUNT, erased_id
from safehold.store.carved import Carved, CarvedCollection, CarvedRow
from safehold.store.sqlite.schema import OPS

_SUPERSEDED_AT_ONCE = 2_000
#: Rows that wait until it is known which ids their numbers stand for.
_DEFERRED = 1 << 20
#: Hashes that are taken to find lost ids, in all: some minutes.
_TRIES = 20_000_000


class Known(NamedTuple):
    """What is known from elsewhere (vaults, seals, other finds), for numbers whose ids are lost."""

    accounts: frozenset[bytes] = frozenset()
    collections: Mapping[bytes, frozenset[bytes]] = {}  # by account
    #: Hashes that the stream is known to have had at a rev.
    heads: Callable[[bytes, Kind, int], Sequence[bytes]] = lambda _account, _kind, _rev: ()


NOTHING_KNOWN = Known()


class Proving:
    """Takes the rows out of a scratch and gives what they are worth to `finds`."""

    def __init__(self, carved: Carved, finds: Finds, known: Known) -> None:
        self.carved = carved
        self.finds = finds
        self.known = known
        self._tries = _TRIES
        self._superseded: list[tuple[int, str, int]] = []
        self._deferred: list[tuple[int, int]] = []  # kind and rev, of the account at hand
        self.erased: set[bytes] = set()
        self.chain = self.page = self.aside = 0
        self.lost_accounts: set[int] = set()
        self.lost_collections: set[int] = set()

    def run(self) -> None:
        self._read_register()
        number, ids = -1, Ids([], {})
        for account, kind in self.carved.streams():
            if account != number:
                self._look_again(number, ids)
                number, ids = account, self._ids(account)
            StreamProof(self, account, kind, ids).run()
        self._look_again(number, ids)
        self._flush_superseded()
        self._items()
        self._asides()

    def _asides(self) -> None:
        """What could not even be read as a row."""
        number, account = -1, None
        for aside in self.carved.asides():
            if aside.account is not None and aside.account != number:
                number = aside.account
                account = Ids(self.carved.account_ids(number), {}).sure_account()
            owner = None if aside.account is None else account
            if owner in self.erased:
                continue
            self.aside += 1
            in_range = aside.kind is not None and 0 <= aside.kind < len(RESTORE_ORDER)
            kind = RESTORE_ORDER[aside.kind] if in_range and aside.kind is not None else None
            where, what = (aside.source, aside.place, aside.why), (aside.what, aside.data)
            self.finds.aside(Aside(*where, *what, owner, kind, aside.name))

    def _look_again(self, account: int, ids: Ids) -> None:
        """At rows of an account whose numbers meant nothing when they came: a later row may have told."""
        deferred, self._deferred = self._deferred, []
        stream: StreamProof | None = None
        for kind, rev in deferred:
            if stream is None or stream.kind_number != kind:
                stream = StreamProof(self, account, kind, ids)
            stream.last_word(rev)

    def defer(self, kind: int, rev: int) -> bool:
        if len(self._deferred) >= _DEFERRED:
            return False
        self._deferred.append((kind, rev))
        return True

    # -- ids

    def _ids(self, number: int) -> Ids:
        accounts = self.carved.account_ids(number)
        if number == 0 and all(id_ != SYSTEM_ACCOUNT for id_, _ in accounts):
            accounts.append((SYSTEM_ACCOUNT, True))
        if not any(sure for _, sure in accounts):
            self.lost_accounts.add(number)
            accounts += [(id_, False) for id_ in sorted(self.known.accounts)]
        collections: dict[int, list[CarvedCollection]] = {}
        for collection in self.carved.collections_of(number):
            collections.setdefault(collection.number, []).append(collection)
        ids = Ids(accounts, collections)
        for id_, sure in accounts:
            name = self.carved.account_name(number) if sure and id_ != SYSTEM_ACCOUNT else ""
            if name and id_ not in self.erased:
                self.finds.account(id_, name)
        return ids

    def may_search(self) -> bool:
        """Whether one more hash may be taken in the search for what is lost."""
        self._tries -= 1
        return self._tries > 0

    # -- the register of erased accounts

    def _read_register(self) -> None:
        """Items of the installation's own identity say who was erased; its changes do too, once they are read."""
        own = {collection.number for collection in self.carved.collections_of(0)}
        for item in self.carved.items_like("erased/"):
            if item[0] in own:
                self.note_erased(item[1])

    def note_erased(self, name: str) -> None:
        try:
            id_ = erased_id(name)
        except ValueError:
            return
        if id_ is not None and len(id_) == ID_BYTES and id_ != SYSTEM_ACCOUNT:
            self.erased.add(id_)
            self.finds.erased(id_)

    # -- items that live

    def superseded(self, collection: int, change: Change) -> None:
        """A proved change says that what an item's row says of an earlier rev is not so any more."""
        if change.op is Op.RMCOL:
            self._flush_superseded()
            self.carved.supersede_all(collection, change.rev)
        elif change.op in (Op.PUT, Op.PROPS, Op.DELETE):
            self._superseded.append((collection, change.name, change.rev))
            if len(self._superseded) >= _SUPERSEDED_AT_ONCE:
                self._flush_superseded()

    def _flush_superseded(self) -> None:
        self.carved.supersede(self._superseded)
        self._superseded = []

    def _items(self) -> None:
        number, owner = -1, None
        for collection, name, rev, digest, size, media, at, source, place in self.carved.items():
            if collection != number:
                number, owner = collection, self._owner(collection)
            if owner is None:
                data = f"{name}\nrev {rev}\nsha-256 {digest.hex()}\n{size} bytes, {media}\n".encode()
                why = f"nothing that is left says which collection has number {collection}"
                self.finds.aside(Aside(source, place, why, "item", data, name=name))
                continue
            account, kind, id_ = owner
            if account not in self.erased:
                self.finds.known(KnownItem(account, kind, id_, name, rev, digest, size, media, at, source, place))

    def _owner(self, collection: int) -> tuple[bytes, Kind, bytes] | None:
        """Account, kind and id of a collection where its number stands for one only."""
        found = [each for each in self.carved.collections_numbered(collection) if each.sure]
        if len(found) != 1 or found[0].kind is None:
            return None
        accounts = [id_ for id_, sure in self.carved.account_ids(found[0].account) if sure]
        if found[0].account == 0:
            accounts = [SYSTEM_ACCOUNT]
        return (accounts[0], RESTORE_ORDER[found[0].kind], found[0].id) if len(accounts) == 1 else None

    # -- what comes out

    def give(self, change: Change, proof: Proof, row: CarvedRow) -> None:
        if change.account in self.erased:
            return
        self.chain += proof is Proof.CHAIN
        self.page += proof is Proof.PAGE
        self.finds.survivor(Survivor(change, proof, row.source, row.place, row.fields.frame))

    def put_aside(self, row: CarvedRow, why: str, account: bytes | None) -> None:
        if account in self.erased:
            return
        self.aside += 1
        fields = row.fields
        data = row.body if row.body is not None else msgspec.json.encode(_printable(row))
        kind = RESTORE_ORDER[row.kind]
        why = f"{why} ({OPS[fields.op]}, rev {row.rev} of account {row.account}'s {kind})"
        self.finds.aside(Aside(row.source, row.place, why, "change", data, account, kind, fields.name))


def _printable(row: CarvedRow) -> dict[str, object]:
    fields = row.fields
    found: dict[str, object] = {"op": OPS[fields.op], "name": fields.name, "rev": row.rev, "timeline": fields.timeline}
    found |= {"at": fields.at, "media": fields.media, "digest": fields.digest.hex(), "size": fields.size}
    found |= {"actor": fields.actor, "hash": row.hash.hex()}
    return found
