"""How the rows of a stream are proved: each change by its hash and that of the one before.

The journal keeps `prev` only where the row before is not there, and numbers in place of the ids of accounts and
collections. So a row is proved by finding what its hash was made of: the ids that its numbers stand for in any row or
index entry that is left, else ids that are known from elsewhere; and as `prev` its own, or the hash of any row of the
rev before, or a head that is remembered for it.

Invariants (I67, I68):

1. nothing is given as Proof.CHAIN whose hash does not come out of all its fields;
2. Proof.PAGE: all pages of the row have good checksums, its body its digest, its numbers one id each, and no row of
   its rev is proved by the chain; where a collection's id is lost wherever it stood, another one stands in for it;
3. a stray row, to which no pointer led, counts only where it continues one that counts, or ends in a remembered head:
   a person's body may look like a row, but nobody knows the hashes of another's stream;
4. of an account that was erased nothing is given, as far as its register of erased ids is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from safehold.model.change import GENESIS, ID_BYTES, Change, Op, change_hash
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.ports.survivors import Proof, Witnessed
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.store.carved import CarvedCollection, CarvedRow, Rank, Whole
from safehold.store.sqlite.apply import profile_of
from safehold.store.sqlite.schema import OPS

if TYPE_CHECKING:
    from safehold.salvage.core_proofs import Proving

#: Stray rows that wait for one that counts, and what their bodies may weigh.
_PENDING, _PENDING_BYTES = 256, 16 << 20
#: Accounts that a number may stand for, of whose streams it is asked what is known elsewhere.
_ASKED_OF = 4
#: Rows of a stream for which an account is searched among those that are known; it is none of them, then.
_SEARCHES = 64


class Ids(NamedTuple):
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


class StreamProof:
    """One stream's rows, rev by rev."""

    def __init__(self, proving: Proving, account: int, kind: int, ids: Ids) -> None:
        self._all = proving
        self._carved = proving.carved
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
        self._failed = 0  # rows that were not proved
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
            if self._name and not self._carved.account_name(self._account):
                self._all.finds.account(account, self._name)
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
        if self._failed >= _SEARCHES and not any(sure for _, sure in self._ids.accounts):
            return None
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
        self._failed += bool(here)
        return None

    def _tried(self, row: CarvedRow, account: bytes, prevs: Iterable[bytes]) -> Change | None:
        if not prevs:
            return None
        collection = row.fields.collection
        for id_ in self._collection_ids(collection, account):
            for prev in prevs:
                if change_hash(*self._hashed(row, account, id_, prev)) == row.hash:
                    self._learn(account, collection, id_)
                    return self._change(row, account, id_, prev)
                if not self._all.may_search():
                    return None
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

    def _hashed(
        self, row: CarvedRow, account: bytes, collection: bytes, prev: bytes
    ) -> tuple[bytes, Kind, int, int, int, int, Op, bytes, str, str, bytes, int, bytes, str, bytes]:
        """What a change's hash covers, in the order in which Change and change_hash have it."""
        fields = row.fields
        return (
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
        return Change(*self._hashed(row, account, collection, prev), row.hash, row.body, fields.blob, fields.props)

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
                    self._all.finds.witness(Witnessed(account, self._kind, Head(rev, hash_), None, "core", source))
