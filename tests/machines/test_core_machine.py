"""The core against a plain model: the list of changes, replayed naively whenever something is asked.

Writers change items and collections in transactions of any size, roll back, power is lost, the core is opened again;
after every step the core says of the present what the replay says, and of the past too when asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op, parse_props
from safehold.model.items import Collection
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Head
from safehold.ports.core import LogPosition
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import SECOND, Streams, account_id, card, collection_id

ACCOUNTS = [account_id(1), account_id(2)]
PATHS = {"contacts/a": Kind.CONTACTS, "contacts/b": Kind.CONTACTS, "files/notes": Kind.NOTES}
ITEM_OPS = (Op.PUT, Op.PROPS, Op.DELETE, Op.REFUSED)

accounts = st.sampled_from(ACCOUNTS)
paths = st.sampled_from(sorted(PATHS))
UIDS = [f"uid {number}" for number in range(4)]
#: Some tell the UID of what may be put there.
names = st.sampled_from(["1", "é", "uid 1.vcf", "uid 2.ics"])


class Live(NamedTuple):
    body: Change
    last: int
    props: Change | None


class World:
    """What a list of one account's changes comes to."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.collections: dict[bytes, tuple[str, Kind, Change]] = {}  # path, kind, last change of its properties
        self.items: dict[bytes, dict[str, Live]] = {}
        for change in changes:
            self._take(change)

    def _take(self, change: Change) -> None:
        items = self.items.setdefault(change.collection, {})
        live = items.get(change.name)
        if change.op is Op.MKCOL:
            self.collections[change.collection] = (change.name, change.kind, change)
        elif change.op is Op.SETCOL:
            path, kind, _ = self.collections[change.collection]
            self.collections[change.collection] = (path, kind, change)
        elif change.op is Op.RMCOL:
            del self.collections[change.collection]
            items.clear()
        elif change.op is Op.PUT:
            props = live.props if live else None
            if change.props is not None:
                props = change if change.props_digest else None
            items[change.name] = Live(change, change.rev, props)
        elif change.op is Op.DELETE:
            items.pop(change.name, None)
        elif change.op is Op.PROPS and live:
            items[change.name] = Live(live.body, change.rev, change if change.props_digest else None)

    def at(self, path: str) -> bytes | None:
        return next((id_ for id_, (p, _, _) in self.collections.items() if p == path), None)


class CoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk()
        self.disk.make_folders("/core")
        self.streams = Streams()
        self.committed: list[Change] = []
        self.open: list[Change] | None = None  # changes of the open transaction
        self.times_made: dict[tuple[bytes, str], int] = {}
        self.frame = 0
        self.core = SqliteCore.open("/core/core.db", disk=self.disk, create=True)

    def teardown(self) -> None:
        self.core.close()

    # -- what happens

    @initialize()
    def found(self) -> None:
        self.begin()
        for account in ACCOUNTS:
            self.make_collection(account, "contacts/a")
        self.commit()

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        self.core.begin()
        self.open = []
        self.frame += 1

    @precondition(lambda self: self.open is not None)
    @rule(account=accounts, path=paths)
    def make_collection(self, account: bytes, path: str) -> None:
        if self.world(account).at(path) is None:
            times = self.times_made[account, path] = self.times_made.get((account, path), 0) + 1
            self.append(account, PATHS[path], Op.MKCOL, collection_id(path, times), path, props={"type": "folder"})

    @precondition(lambda self: self.open is not None)
    @rule(account=accounts, path=paths, remove=st.booleans(), text=st.text(max_size=3))
    def change_collection(self, account: bytes, path: str, remove: bool, text: str) -> None:
        id_ = self.world(account).at(path)
        if id_ is not None and remove:
            self.append(account, PATHS[path], Op.RMCOL, id_, path)
        elif id_ is not None:
            self.append(account, PATHS[path], Op.SETCOL, id_, props={"type": "folder", "text": text})

    @precondition(lambda self: self.open is not None)
    @rule(
        account=accounts, path=paths, changes=st.lists(st.tuples(names, st.sampled_from(ITEM_OPS), st.integers(0, 3)))
    )
    def change_items(self, account: bytes, path: str, changes: list[tuple[str, Op, int]]) -> None:
        id_ = self.world(account).at(path)
        if id_ is None:
            return
        for name, op, number in changes:
            live = self.world(account).items.get(id_, {}).get(name)
            if op is Op.PUT or op is Op.REFUSED:
                body = card(UIDS[number])
                self.append(account, PATHS[path], op, id_, name, body=body, media="text/vcard")
            elif live is not None:
                props = {"x": str(number)} if number else {}
                self.append(account, PATHS[path], op, id_, name, props=props if op is Op.PROPS else None)

    @precondition(lambda self: self.open is not None)
    @rule(account=accounts, ends=st.tuples(paths, names, paths, names), move=st.booleans())
    def transfer_item(self, account: bytes, ends: tuple[str, str, str, str], move: bool) -> None:
        """A copy, or a move: a delete and a put in one group, the put with the properties of the source."""
        path, name, to_path, to_name = ends
        world = self.world(account)
        id_, to_id = world.at(path), world.at(to_path)
        live = world.items.get(id_, {}).get(name) if id_ is not None else None
        if id_ is None or to_id is None or live is None or (path, name) == (to_path, to_name):
            return
        kind, group = PATHS[to_path], None
        if move and PATHS[path] is kind:
            group = self.head(account, kind).rev + 1
            self.append(account, kind, Op.DELETE, id_, name, group=group)
        props = parse_props(live.props.props) if live.props else {}
        body, media = live.body.body, live.body.media
        self.append(account, kind, Op.PUT, to_id, to_name, body=body, media=media, props=props, group=group)

    @precondition(lambda self: self.open is not None)
    @rule(account=accounts, path=paths, to_path=paths, move=st.booleans())
    def transfer_collection(self, account: bytes, path: str, to_path: str, move: bool) -> None:
        """What is at the new path goes, the copy is made with all items, and after a move the old one goes."""
        world = self.world(account)
        id_, old_id = world.at(path), world.at(to_path)
        if id_ is None or path == to_path or PATHS[path] is not PATHS[to_path]:
            return
        kind = PATHS[path]
        group = self.head(account, kind).rev + 1
        if old_id is not None:
            self.append(account, kind, Op.RMCOL, old_id, to_path, group=group)
        times = self.times_made[account, to_path] = self.times_made.get((account, to_path), 0) + 1
        new_id = collection_id(to_path, times)
        props = parse_props(world.collections[id_][2].props)
        self.append(account, kind, Op.MKCOL, new_id, to_path, props=props, group=group)
        for name, live in world.items.get(id_, {}).items():
            own = parse_props(live.props.props) if live.props else None
            body, media = live.body.body, live.body.media
            self.append(account, kind, Op.PUT, new_id, name, body=body, media=media, props=own, group=group)
        if move:
            self.append(account, kind, Op.RMCOL, id_, path, group=group)

    @precondition(lambda self: self.open is not None)
    @rule()
    def commit(self) -> None:
        self.core.set_log_position(LogPosition(1, self.frame, bytes(32)))
        self.core.commit()
        self.committed += self.open or []
        self.open = None

    @precondition(lambda self: self.open is not None)
    @rule()
    def rollback(self) -> None:
        self.core.rollback()
        self.forget_open()

    @precondition(lambda self: self.open is None)
    @rule()
    def open_again(self) -> None:
        self.core.close()
        self.core = SqliteCore.open("/core/core.db", disk=self.disk)

    @rule(seed=st.none() | st.integers(0, 1 << 16))
    def lose_power(self, seed: int | None) -> None:
        self.core.abandon()
        self.disk = self.disk.crash(seed)
        self.core = SqliteCore.open("/core/core.db", disk=self.disk)
        self.forget_open()

    @rule(seconds=st.integers(-20, 20))
    def set_clock(self, seconds: int) -> None:
        self.streams.at += seconds * SECOND

    # -- what is said of the past

    @rule(account=accounts, path=paths, back=st.integers(0, 30), limit=st.none() | st.integers(1, 3))
    def ask_touched(self, account: bytes, path: str, back: int, limit: int | None) -> None:
        collection = self.collection(account, path)
        if collection is None:
            return
        head = self.head(account, PATHS[path])
        since = max(0, head.rev - back)
        live = self.world(account).items.get(collection.id, {})
        last: dict[str, int] = {}
        deleted: dict[str, int] = {}
        for change in self.of(account, collection.id):
            if change.rev > since and change.op in ITEM_OPS:
                last[change.name] = change.rev
                if change.op is Op.DELETE:
                    deleted[change.name] = change.rev
        told = {name: rev if name in live else deleted.get(name) for name, rev in last.items()}
        expected = sorted((rev, name) for name, rev in told.items() if rev is not None)[:limit]
        touched = self.core.touched(collection, since, limit)
        assert [(t.rev, t.name) for t in touched] == expected
        assert [t.deleted for t in touched] == [name not in live for _, name in expected]
        assert [t.item for t in touched] == [self.core.item(collection, name) for _, name in expected]

    @rule(account=accounts, path=paths, name=st.none() | names)
    def ask_history(self, account: bytes, path: str, name: str | None) -> None:
        number = self.number(account)
        ids = [collection_id(path, n + 1) for n in range(self.times_made.get((account, path), 0))]
        expected = [c for c in self.of(account) if c.collection in ids and (name is None or c.name == name)]
        versions = list(self.core.history(number, path=path, name=name))
        assert [(v.rev, v.op, v.digest) for v in versions] == [(c.rev, c.op, c.digest) for c in reversed(expected)]
        assert all(self.core.change(v.journal) == c for v, c in zip(versions, reversed(expected), strict=True))

    @rule(account=accounts, path=paths, back=st.integers(-5, 60))
    def ask_how_it_was(self, account: bytes, path: str, back: int) -> None:
        number, kind, at = self.number(account), PATHS[path], self.streams.at - back * SECOND
        stream = [c for c in self.of(account) if c.kind is kind]
        rev = max((c.rev for c in stream if c.at <= at), default=0)
        then = World(stream[:rev])
        past = self.core.collections_at(number, kind, at)
        assert {c.id: (c.path, c.props) for c in past} == {
            id_: (p, parse_props(change.props)) for id_, (p, _, change) in then.collections.items()
        }
        for id_ in {c.collection for c in stream}:
            items = self.core.items_at(number, id_, at)
            expected = then.items.get(id_, {})
            assert set(items) == set(expected)
            for name, item in items.items():
                assert self.core.change(item.journal) == expected[name].body
                props = expected[name].props
                assert (None if item.props_journal is None else self.core.change(item.props_journal)) == props

    # -- what holds at every moment

    @invariant()
    def state_is_what_the_changes_say(self) -> None:
        counts = dict.fromkeys((Kind.CONTACTS, Kind.NOTES), 0)
        for account in ACCOUNTS:
            if self.core.account_by_id(account) is None:
                assert not self.of(account)
                continue
            number, world, used = self.number(account), self.world(account), 0
            live = self.core.collections(number)
            assert [(c.path, c.id) for c in live] == sorted((p, id_) for id_, (p, _, _) in world.collections.items())
            for collection in live:
                _, kind, change = world.collections[collection.id]
                last = self.of(account, collection.id)[-1]
                assert (collection.kind, collection.props) == (kind, parse_props(change.props))
                assert (collection.rev, collection.head, collection.changed_at) == (last.rev, last.hash, last.at)
                self.check_items(collection, world.items[collection.id])
                counts[kind] += len(world.items[collection.id])
                used += sum(item.size for item in self.core.items(collection))
            assert self.core.used_bytes(number) == used
            for kind in counts:
                assert self.core.head(number, kind) == self.head(account, kind)
        told = self.core.counts()
        assert {kind: told[kind] for kind in counts} == counts
        assert told["changes"] == len(self.committed) + len(self.open or [])

    def check_items(self, collection: Collection, expected: dict[str, Live]) -> None:
        items = self.core.items(collection)
        assert [i.name for i in items] == sorted(expected)
        for item in items:
            live = expected[item.name]
            assert (item.rev, item.digest, item.at) == (live.last, live.body.digest, live.body.at)
            assert self.core.body(item).inline == live.body.body
            assert self.core.props(item) == (parse_props(live.props.props) if live.props else {})
        for uid in UIDS:
            oldest = min((i for i in items if i.uid == uid), key=lambda i: i.rev, default=None)
            assert self.core.item_by_uid(collection, uid) == oldest

    @invariant()
    def the_journal_is_what_was_entered(self) -> None:
        assert [change for _, _, change in self.core.changes()] == self.committed + (self.open or [])

    # -- the model

    def append(self, account: bytes, kind: Kind, op: Op, collection: bytes, name: str = "", **more: object) -> None:
        assert self.open is not None
        change = self.streams.make(account, kind, op, collection, name, **more)  # type: ignore[arg-type]
        self.core.apply(change, self.frame)
        self.open.append(change)

    def forget_open(self) -> None:
        self.open = None
        self.streams.heads = {}
        for change in self.committed:
            self.streams.heads[change.account, change.kind] = Head(change.rev, change.hash)

    def of(self, account: bytes, collection: bytes | None = None) -> list[Change]:
        return [
            c for c in self.committed + (self.open or []) if c.account == account and collection in (None, c.collection)
        ]

    def world(self, account: bytes) -> World:
        return World(self.of(account))

    def head(self, account: bytes, kind: Kind) -> Head:
        return next((Head(c.rev, c.hash) for c in reversed(self.of(account)) if c.kind is kind), EMPTY_HEAD)

    def number(self, account: bytes) -> int:
        found = self.core.account_by_id(account)
        return found.number if found is not None else -1

    def collection(self, account: bytes, path: str) -> Collection | None:
        return self.core.collection(self.number(account), path)


class MoreCore(CoreMachine):
    """The same, more often."""


TestCore = CoreMachine.TestCase
TestCore.settings = settings(max_examples=20, stateful_step_count=40, deadline=None, print_blob=True)
TestMoreCore = pytest.mark.long(MoreCore.TestCase)
TestMoreCore.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, print_blob=True)
