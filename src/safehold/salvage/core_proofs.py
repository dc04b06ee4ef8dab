"""What a core's carved rows are worth: stream by stream, each change against its hash and that of the one before.

The journal keeps `prev` only where the row before is not there, and numbers in place of the ids of accounts and
collections. So a row is proved by finding what its hash was made of: the ids that its numbers stand for in any row or
index entry that is left, else ids that are known from elsewhere; and as `prev` its own, or the hash of any row of the
rev before, or a head that is remembered for it.

Invariants:

1. nothing is given as Proof.CHAIN whose hash does not come out of all its fields;
2. Proof.PAGE: all pages of the row have good checksums, its body its digest, its numbers one id each, and no row of
   its rev is proved by the chain; where a collection's id is lost wherever it stood, another one stands in for it;
3. a stray row, to which no pointer led, counts only where it continues one that counts, or ends in a remembered head:
   a person's body may look like a row, but nobody knows the hashes of another's stream;
4. of an account that was erased nothing is given, as far as its register of erased ids is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from safehold.model.change import GENESIS, ID_BYTES, Change, Op, change_hash
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.ports.survivors import Aside, Finds, KnownItem, Proof, Survivor, Witnessed
from safehold.service.identity import SYSTEM_ACCOUNT, erased_id
from safehold.store.carved import Carved, CarvedCollection, CarvedRow, Rank, Whole
from safehold.store.sqlite.apply import profile_of
from safehold.store.sqlite.schema import OPS

_SUPERSEDED_AT_ONCE = 2_000
#: Stray rows that wait for one that counts, and what their bodies may weigh.
_PENDING, _PENDING_BYTES = 256, 16 << 20
#: Rows that wait until it is known which ids their numbers stand for.
_DEFERRED = 1 << 20
#: Accounts that a number may stand for, of whose streams it is asked what is known elsewhere.
_ASKED_OF = 4
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
        self._carved = carved
        self._finds = finds
        self._known = known
        self._tries = _TRIES
        self._superseded: list[tuple[int, str, int]] = []
        self._deferred: list[tuple[int, int]] = []  # kind and rev, of the account at hand
        self.erased: set[bytes] = set()
        self.chain = self.page = self.aside = 0
        self.lost_accounts: set[int] = set()
        self.lost_collections: set[int] = set()

    def run(self) -> None:
        self._read_register()
        number, ids = -1, _Ids([], {})
        for account, kind in self._carved.streams():
            if account != number:
                self._look_again(number, ids)
                number, ids = account, self._ids(account)
            _Stream(self, account, kind, ids).run()
        self._look_again(number, ids)
        self._flush_superseded()
        self._items()
        self._asides()

    def _asides(self) -> None:
        """What could not even be read as a row."""
        number, account = -1, None
        for aside in self._carved.asides():
            if aside.account is not None and aside.account != number:
                number = aside.account
                account = _Ids(self._carved.account_ids(number), {}).sure_account()
            owner = None if aside.account is None else account
            if owner in self.erased:
                continue
            self.aside += 1
            in_range = aside.kind is not None and 0 <= aside.kind < len(RESTORE_ORDER)
            kind = RESTORE_ORDER[aside.kind] if in_range and aside.kind is not None else None
            where, what = (aside.source, aside.place, aside.why), (aside.what, aside.data)
            self._finds.aside(Aside(*where, *what, owner, kind, aside.name))

    def _look_again(self, account: int, ids: _Ids) -> None:
        """At rows of an account whose numbers meant nothing when they came: a later row may have told."""
        deferred, self._deferred = self._deferred, []
        stream: _Stream | None = None
        for kind, rev in deferred:
            if stream is None or stream.kind_number != kind:
                stream = _Stream(self, account, kind, ids)
            stream.last_word(rev)

    def defer(self, kind: int, rev: int) -> bool:
        if len(self._deferred) >= _DEFERRED:
            return False
        self._deferred.append((kind, rev))
        return True

    # -- ids

    def _ids(self, number: int) -> _Ids:
        accounts = self._carved.account_ids(number)
        if number == 0 and all(id_ != SYSTEM_ACCOUNT for id_, _ in accounts):
            accounts.append((SYSTEM_ACCOUNT, True))
        if not any(sure for _, sure in accounts):
            self.lost_accounts.add(number)
            accounts += [(id_, False) for id_ in sorted(self._known.accounts)]
        collections: dict[int, list[CarvedCollection]] = {}
        for collection in self._carved.collections_of(number):
            collections.setdefault(collection.number, []).append(collection)
        ids = _Ids(accounts, collections)
        for id_, sure in accounts:
            name = self._carved.account_name(number) if sure and id_ != SYSTEM_ACCOUNT else ""
            if name and id_ not in self.erased:
                self._finds.account(id_, name)
        return ids

    def spend(self) -> bool:
        self._tries -= 1
        return self._tries > 0

    @property
    def known(self) -> Known:
        return self._known

    # -- the register of erased accounts

    def _read_register(self) -> None:
        """Items of the installation's own identity say who was erased; its changes do too, once they are read."""
        own = {collection.number for collection in self._carved.collections_of(0)}
        for item in self._carved.items_like("erased/"):
            if item[0] in own:
                self.note_erased(item[1])

    def note_erased(self, name: str) -> None:
        try:
            id_ = erased_id(name)
        except ValueError:
            return
        if id_ is not None and len(id_) == ID_BYTES and id_ != SYSTEM_ACCOUNT:
            self.erased.add(id_)
            self._finds.erased(id_)

    # -- items that live

    def superseded(self, collection: int, change: Change) -> None:
        """A proved change says that what an item's row says of an earlier rev is not so any more."""
        if change.op is Op.RMCOL:
            self._flush_superseded()
            self._carved.supersede_all(collection, change.rev)
        elif change.op in (Op.PUT, Op.PROPS, Op.DELETE):
            self._superseded.append((collection, change.name, change.rev))
            if len(self._superseded) >= _SUPERSEDED_AT_ONCE:
                self._flush_superseded()

    def _flush_superseded(self) -> None:
        self._carved.supersede(self._superseded)
        self._superseded = []

    def _items(self) -> None:
        number, owner = -1, None
        for collection, name, rev, digest, size, media, at, source, place in self._carved.items():
            if collection != number:
                number, owner = collection, self._owner(collection)
            if owner is None:
                data = f"{name}\nrev {rev}\nsha-256 {digest.hex()}\n{size} bytes, {media}\n".encode()
                why = f"nothing that is left says which collection has number {collection}"
                self._finds.aside(Aside(source, place, why, "item", data, name=name))
                continue
            account, kind, id_ = owner
            if account not in self.erased:
                self._finds.known(KnownItem(account, kind, id_, name, rev, digest, size, media, at, source, place))

    def _owner(self, collection: int) -> tuple[bytes, Kind, bytes] | None:
        """Account, kind and id of a collection where its number stands for one only."""
        found = [each for each in self._carved.collections_numbered(collection) if each.sure]
        if len(found) != 1 or found[0].kind is None:
            return None
        accounts = [id_ for id_, sure in self._carved.account_ids(found[0].account) if sure]
        if found[0].account == 0:
            accounts = [SYSTEM_ACCOUNT]
        return (accounts[0], RESTORE_ORDER[found[0].kind], found[0].id) if len(accounts) == 1 else None

    # -- what comes out

    def give(self, change: Change, proof: Proof, row: CarvedRow) -> None:
        if change.account in self.erased:
            return
        self.chain += proof is Proof.CHAIN
        self.page += proof is Proof.PAGE
        self._finds.survivor(Survivor(change, proof, row.source, row.place, row.fields.frame))

    def put_aside(self, row: CarvedRow, why: str, account: bytes | None) -> None:
        if account in self.erased:
            return
        self.aside += 1
        fields = row.fields
        data = row.body if row.body is not None else msgspec.json.encode(_printable(row))
        kind = RESTORE_ORDER[row.kind]
        why = f"{why} ({OPS[fields.op]}, rev {row.rev} of account {row.account}'s {kind})"
        self._finds.aside(Aside(row.source, row.place, why, "change", data, account, kind, fields.name))


class _Ids(NamedTuple):
    """What the numbers of an account and its collections may stand for."""

    accounts: list[tuple[bytes, bool]]  # (id, whether that is sure), the likeliest first
    collections: dict[int, list[CarvedCollection]]

    def sure_account(self) -> bytes | None:
        sure = [id_ for id_, is_sure in self.accounts if is_sure]
        return sure[0] if len(sure) == 1 else None

    def sure_collection(self, value: int | bytes) -> bytes | None:
        if isinstance(value, bytes):
            return value
        sure = {each.id for each in self.collections.get(value, ()) if each.sure}
        return sure.pop() if len(sure) == 1 else None


class _Stream:
    """One stream's rows, rev by rev."""

    def __init__(self, proving: Proving, account: int, kind: int, ids: _Ids) -> None:
        self._all = proving
        self._carved = proving._carved
        self._account = account
        self._kind = RESTORE_ORDER[kind]
        self.kind_number = kind
        self._ids = ids
        self._heads: dict[int, dict[bytes, int]] = {}
        for rev, hash_, source in self._carved.heads(account, kind):
            self._heads.setdefault(rev, {})[hash_] = source
        self._seen: dict[int, set[bytes]] = {}  # heads of those revs of which there is a proved row
        self._rev = 0
        self._before: set[bytes] = set()  # hashes of all rows of the rev before
        self._counting: set[bytes] = set()  # those of them that count
        self._name = ""
        self._stood_for: set[int] = set()  # collections that have a stand-in for their id
        self._pending: list[tuple[CarvedRow, Change]] = []  # strays, each of which continues the one before

    def run(self) -> None:
        group: list[CarvedRow] = []
        for row in self._carved.rows(self._account, self.kind_number):
            if group and row.rev != group[0].rev:
                self._group(group)
                group = []
            group.append(row)
        if group:
            self._group(group)
        self._drop_pending()
        account = self._ids.sure_account()
        if account is not None and account not in self._all.erased:
            if self._name:
                self._all._finds.account(account, self._name)
            self._witness(account)

    def _group(self, rows: list[CarvedRow]) -> None:
        """All rows of one rev, the best found first."""
        rev = rows[0].rev
        if rev != self._rev + 1:
            self._drop_pending()
            self._before, self._counting = set(), set()
        proved: dict[bytes, bool] = {}  # by hash: whether with all it should have
        strays: list[tuple[CarvedRow, Change]] = []
        unproved: list[CarvedRow] = []
        committed = False
        for row in rows:
            if proved.get(row.hash):
                continue
            change = self._proved(row)
            if change is None:
                unproved.append(row)
            elif row.hash in proved:
                proved[row.hash] = self._count(row, change)
            elif row.rank is Rank.STRAY and not self._continues(change):
                strays.append((row, change))
            elif row.rank is Rank.UNCOMMITTED and committed:
                why = "it was written and never committed: another change has its rev"
                self._all.put_aside(row, why, change.account)
            else:
                committed = committed or row.rank is Rank.FOUND
                proved[row.hash] = self._count(row, change)
        self._weak(unproved, proved)
        self._wait(strays)
        self._rev = rev
        self._before = {row.hash for row in rows}
        self._counting = set(proved)

    # -- stray rows

    def _wait(self, strays: list[tuple[CarvedRow, Change]]) -> None:
        """Those that continue nothing that counts may yet be continued by what does; some at a time are kept."""
        before, self._pending = self._pending, []
        for row, change in strays:
            fits = not before or change.prev == before[-1][1].hash
            if (
                fits
                and not self._pending
                and len(before) < _PENDING
                and sum(len(r.body or b"") for r, _ in before) < _PENDING_BYTES
            ):
                self._pending = [*before, (row, change)]
            else:
                self._put_stray_aside(row, change)
        if not self._pending:
            for row, change in before:
                self._put_stray_aside(row, change)

    def _drop_pending(self) -> None:
        pending, self._pending = self._pending, []
        for row, change in pending:
            self._put_stray_aside(row, change)

    def _put_stray_aside(self, row: CarvedRow, change: Change) -> None:
        self._all.put_aside(row, "no pointer leads to it, and nothing that counts continues it", change.account)

    def _release(self, change: Change) -> None:
        """A change that counts continues those that wait: so they count."""
        if self._pending and self._pending[-1][1].hash == change.prev:
            pending, self._pending = self._pending, []
            for row, earlier in pending:
                self._count(row, earlier)

    def _count(self, row: CarvedRow, change: Change) -> bool:
        """Give it; whether with all that it should have."""
        self._release(change)
        self._all.give(change, Proof.CHAIN, row)
        if row.fields.parts_lost and row.whole is not Whole.LOST:
            self._all.put_aside(
                row, "it is proved, but its properties or the name of its blob are lost", change.account
            )
        if row.rev in self._heads:
            self._seen.setdefault(row.rev, set()).add(row.hash)
        if self._kind is Kind.IDENTITY:
            if change.account == SYSTEM_ACCOUNT and change.op is Op.PUT:
                self._all.note_erased(change.name)
            profile = profile_of(change)
            if profile is not None and change.account != SYSTEM_ACCOUNT:
                self._name = profile[0]
        if isinstance(row.fields.collection, int):
            self._all.superseded(row.fields.collection, change)
        return row.whole is not Whole.LOST and not row.fields.parts_lost

    def _continues(self, change: Change) -> bool:
        heads = self._heads
        return (
            change.prev in self._counting
            or change.prev in heads.get(change.rev - 1, ())
            or change.hash in heads.get(change.rev, ())
            or change.hash in self._all.known.heads(change.account, change.kind, change.rev)
        )

    # -- by the chain

    def _proved(self, row: CarvedRow) -> Change | None:
        """The change that a row is, where its hash comes out of what is known."""
        here = self._prevs(row)
        for account, _ in self._ids.accounts:
            change = self._tried(row, account, here)
            if change is not None:
                return change
        # Asked last, and not of everybody: to find out what others know of a stream may mean to read it.
        if row.fields.prev is None and row.rev > 1:
            for account, _ in self._ids.accounts[:_ASKED_OF]:
                change = self._tried(row, account, self._all.known.heads(account, self._kind, row.rev - 1))
                if change is not None:
                    return change
        return None

    def _tried(self, row: CarvedRow, account: bytes, prevs: Iterable[bytes]) -> Change | None:
        if not prevs:
            return None
        collection = row.fields.collection
        for id_ in self._collection_ids(collection, account):
            for prev in prevs:
                if not self._all.spend():
                    return None
                if self._hash(row, account, id_, prev) == row.hash:
                    self._learn(account, collection, id_)
                    return self._change(row, account, id_, prev)
        return None

    def _prevs(self, row: CarvedRow) -> Iterable[bytes]:
        """What this core says may stand before a row."""
        if row.fields.prev is not None:
            return (row.fields.prev,)
        if row.rev == 1:
            return (GENESIS,)
        heads = self._heads.get(row.rev - 1)
        return {*self._before, *heads} if heads else self._before

    def _collection_ids(self, value: int | bytes, account: bytes) -> Iterable[bytes]:
        if isinstance(value, bytes):
            return (value,)
        found = [each.id for each in self._ids.collections.get(value, ())]
        if any(each.sure for each in self._ids.collections.get(value, ())):
            return found
        self._all.lost_collections.add(value)
        ids = {each.id for collections in self._ids.collections.values() for each in collections}
        return [*found, *sorted(ids | self._all.known.collections.get(account, frozenset()))]

    def _learn(self, account: bytes, number: int | bytes, id_: bytes) -> None:
        """What a hash has proved is sure, and needs no trying any more."""
        if self._ids.accounts[0] != (account, True):
            others = [(other, sure) for other, sure in self._ids.accounts if other != account and sure]
            self._ids.accounts[:] = [(account, True), *others]
            self._carved.put_account(self._account, account, sure=True)
            self._all.lost_accounts.discard(self._account)
        if isinstance(number, int):
            known = self._ids.collections.setdefault(number, [])
            learned = CarvedCollection(number, id_, self._account, self.kind_number, True)
            if learned not in known:
                known[:] = [learned, *(each for each in known if each.id != id_)]
                self._carved.put_collection(learned)
                self._all.lost_collections.discard(number)

    def _hash(self, row: CarvedRow, account: bytes, collection: bytes, prev: bytes) -> bytes:
        fields = row.fields
        return change_hash(
            account,
            self._kind,
            fields.timeline,
            row.rev,
            fields.group,
            fields.at,
            OPS[fields.op],
            collection,
            fields.name,
            fields.media,
            fields.digest,
            fields.size,
            fields.props_digest,
            fields.actor,
            prev,
        )

    def _change(self, row: CarvedRow, account: bytes, collection: bytes, prev: bytes) -> Change:
        fields = row.fields
        return Change(
            account,
            self._kind,
            fields.timeline,
            row.rev,
            fields.group,
            fields.at,
            OPS[fields.op],
            collection,
            fields.name,
            fields.media,
            fields.digest,
            fields.size,
            fields.props_digest,
            fields.actor,
            prev,
            row.hash,
            row.body,
            fields.blob,
            fields.props,
        )

    # -- by its pages alone

    def _weak(self, rows: list[CarvedRow], proved: Mapping[bytes, bool], *, last: bool = False) -> None:
        """Rows that the chain does not prove."""
        account = self._ids.sure_account()
        given: set[bytes] = set()
        for row in rows:
            if row.hash in proved or row.hash in given:
                continue  # a damaged copy of one that is there
            id_ = self._ids.sure_collection(row.fields.collection)
            nameless = account is None or id_ is None
            if nameless and not proved and not last and self._all.defer(self.kind_number, row.rev):
                return
            stands_in = id_ is None and account is not None and last
            if stands_in and account is not None:
                id_ = self._stand_in(row, account)
            why = self._why_not(row, account, id_, contradicted=bool(proved), stands_in=stands_in)
            if why:
                self._all.put_aside(row, why, account)
                continue
            assert account is not None and id_ is not None, "asked for in _why_not"
            given.add(row.hash)
            change = self._change(row, account, id_, b"" if stands_in else row.fields.prev or b"")
            if account == SYSTEM_ACCOUNT and self._kind is Kind.IDENTITY and change.op is Op.PUT:
                self._all.note_erased(change.name)
            self._all.give(change, Proof.PAGE, row)

    def last_word(self, rev: int) -> None:
        """On rows of a rev that were deferred."""
        self._weak(list(self._carved.rows_at(self._account, self.kind_number, rev)), {}, last=True)

    def _stand_in(self, row: CarvedRow, account: bytes) -> bytes | None:
        """In place of the id of a collection that is lost wherever it stood, so that what was in it stays together.

        Only where the change that made it is here and names its path: else nobody could tell what it meets there.
        """
        number = row.fields.collection
        assert isinstance(number, int), "an id stands for itself"
        if OPS[row.fields.op] is Op.MKCOL and row.good and not row.fields.parts_lost:
            self._stood_for.add(number)
        if number not in self._stood_for:
            return None
        return sha256(b"a collection without its id" + account + number.to_bytes(8, "big")).digest()[:ID_BYTES]

    def _why_not(
        self, row: CarvedRow, account: bytes | None, id_: bytes | None, *, contradicted: bool, stands_in: bool
    ) -> str:
        """Why a row is not even worth Proof.PAGE; "" where it is."""
        if account is None:
            return f"nothing that is left says which account has number {self._account}"
        if id_ is None:
            return f"nothing that is left says which collection has number {row.fields.collection!r}"
        if contradicted:
            return "its hash does not come out, and another change has its rev"
        if row.rank is not Rank.FOUND:
            return "the change before it is lost, and no pointer leads to it or it was never committed"
        if not row.good:
            return "the change before it is lost, and the checksum of its page does not hold"
        if row.whole is Whole.LOST or row.fields.parts_lost:
            return "the change before it is lost, and with it the pages of its body"
        if not stands_in and (row.fields.prev is not None or row.rev == 1):
            return "its hash does not come out of what it says"
        return ""

    # -- heads

    def _witness(self, account: bytes) -> None:
        """The last head that the core remembers, and those of which the change is not there."""
        last = max(self._heads, default=0)
        for rev, heads in self._heads.items():
            for hash_, source in heads.items():
                if rev == last or hash_ not in self._seen.get(rev, ()):
                    self._all._finds.witness(Witnessed(account, self._kind, Head(rev, hash_), None, "core", source))


def _printable(row: CarvedRow) -> dict[str, object]:
    fields = row.fields
    found: dict[str, object] = {"op": OPS[fields.op], "name": fields.name, "rev": row.rev, "timeline": fields.timeline}
    found |= {"at": fields.at, "media": fields.media, "digest": fields.digest.hex(), "size": fields.size}
    found |= {"actor": fields.actor, "hash": row.hash.hex()}
    return found
