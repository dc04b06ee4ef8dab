"""Streams entered whole: the rows are those that come of entering change by change."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.lab.simdisk import SimDisk
from safehold.model.change import GENESIS, Change, Op, rehash
from safehold.model.errors import HistoryDropped
from safehold.model.kinds import Kind
from safehold.model.stream import Base
from safehold.ports.core import WholeStream
from safehold.store.sqlite.bulk import StreamRows
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import Streams, account_id, card, collection_id
from tests.support.runs import live_changes, root_of

ANN = account_id(1)
#: What may happen: (what, collection, name).
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "put", "put", "again", "delete", "props", "refused", "setcol", "rmcol", "mkcol", "blob"]
        ),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=40,
)


def made(kind: Kind, steps: list[tuple[str, int, int]]) -> list[Change]:
    """A stream's changes, as a service could make them."""
    streams = Streams()
    live: set[int] = set()
    times = [0, 0, 0]

    def id_of(number: int) -> bytes:
        return collection_id(f"scores/{number}", times[number])

    def mkcol(number: int) -> None:
        times[number] += 1
        streams.make(ANN, kind, Op.MKCOL, id_of(number), f"scores/{number}", props={"type": "game"})
        live.add(number)

    mkcol(0)
    for step, (what, number, item) in enumerate(steps):
        if what == "mkcol" and number not in live:
            mkcol(number)
        elif number not in live:
            continue
        elif what == "rmcol":
            streams.make(ANN, kind, Op.RMCOL, id_of(number), f"scores/{number}")
            live.discard(number)
        elif what == "setcol":
            streams.make(ANN, kind, Op.SETCOL, id_of(number), props={"type": "game", "n": str(step)})
        elif what == "delete":
            streams.make(ANN, kind, Op.DELETE, id_of(number), f"{item}.vcf")
        elif what == "props":
            props = {"{urn:x}p": f"<p>{step}</p>"} if step % 3 else {}
            streams.make(ANN, kind, Op.PROPS, id_of(number), f"{item}.vcf", props=props)
        elif what == "refused":
            streams.make(ANN, kind, Op.REFUSED, id_of(number), f"{item}.vcf", body=b"no")
        else:
            body, media = card(f"uid-{item if what == 'put' else step}"), "text/vcard"
            if kind is Kind.SCORES:
                body, media = (
                    b'{"score": %d, "at": "2026-01-%02dT00:00:00Z"}' % (step % 7, item + 1),
                    "application/json",
                )
            blob = b"blob" if what == "blob" else None
            streams.make(ANN, kind, Op.PUT, id_of(number), f"{item}.vcf", body=body, blob=blob, media=media)
    return streams.made


def new_core() -> SqliteCore:
    disk = SimDisk()
    disk.make_folders("/c")
    return SqliteCore.open("/c/core.db", disk=disk, create=True)


def tables(core: SqliteCore) -> dict[str, list[Any]]:
    """All rows, with the ids of collections in the place of their numbers."""
    ids = dict(core._db.execute("SELECT number, hex(id) FROM collection"))
    named = "CASE WHEN typeof(collection) = 'integer' THEN collection ELSE hex(collection) END"
    journal = list(core._db.execute(f"SELECT {named}, * FROM journal ORDER BY seq"))
    items = list(core._db.execute("SELECT * FROM item"))
    collections = list(core._db.execute("SELECT * FROM collection"))
    return {
        "journal": [(ids.get(row[0], row[0]), *row[1:10], *row[11:]) for row in journal],
        "item": sorted((ids[row[0]], *row[1:]) for row in items),
        "collection": sorted(row[1:] for row in collections),
        **{t: sorted(core._db.execute(f"SELECT * FROM {t}")) for t in ("stream", "account", "best")},
    }


def by_changes(changes: list[Change], gaps: bool = False) -> SqliteCore:
    core = new_core()
    core.begin()
    for change in changes:
        core.apply(change, 7, gaps)
    core.commit()
    return core


def whole(changes: list[Change], base: Base | None = None, packed: bool = False) -> SqliteCore:
    core = new_core()
    core.bulk(True)
    core.begin()
    maker = core.stream_maker(core.account_number(ANN), changes[0].kind, base, core.next_journal())
    rev = 0
    for change in changes:
        maker.add(change, 7, change.rev != rev + 1)
        rev = change.rev
        if not packed and maker.waiting > 5:
            core.enter_journal(maker.take())
    if packed:
        core.enter_packed(maker.packed())
    else:
        core.enter_journal(maker.take())
        core.enter_stream(maker.finish())
    core.commit()
    core.bulk(False)
    return core


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Kind.CONTACTS, Kind.SCORES]), STEPS, st.booleans())
def test_rows_are_those_of_entering_change_by_change(
    kind: Kind, steps: list[tuple[str, int, int]], packed: bool
) -> None:
    changes = made(kind, steps)
    one, other = by_changes(changes), whole(changes, packed=packed)
    assert tables(other) == tables(one)
    assert other.changes() == one.changes()
    assert other.next_journal() == one.next_journal()
    one.close()
    other.close()


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sets(st.integers(2, 30), max_size=6))
def test_rows_after_gaps_are_those_of_entering_change_by_change(
    steps: list[tuple[str, int, int]], lost: set[int]
) -> None:
    changes = [change for change in made(Kind.CONTACTS, steps) if change.rev not in lost]
    one, other = by_changes(changes, gaps=True), whole(changes)
    assert tables(other) == tables(one)
    one.close()
    other.close()


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sets(st.integers(2, 30), max_size=6))
def test_properties_kept_under_later_bodies_are_the_same_either_way(
    steps: list[tuple[str, int, int]], lost: set[int]
) -> None:
    """Also where the body that they were set on is lost; see Applier._props_before."""
    changes = [change for change in kept_props(made(Kind.CONTACTS, steps)) if change.rev not in lost]
    one, other = by_changes(changes, gaps=True), whole(changes)
    assert tables(other) == tables(one)
    one.close()
    other.close()


def kept_props(changes: list[Change]) -> list[Change]:
    """The same stream, where bodies say which properties their item keeps."""
    said: dict[tuple[bytes, str], bytes] = {}
    found: list[Change] = []
    head = GENESIS
    for change in changes:
        key = change.collection, change.name
        if change.op is Op.PROPS:
            said[key] = change.props_digest
        elif change.op is Op.DELETE:
            said.pop(key, None)
        elif change.op is Op.PUT:
            change = msgspec.structs.replace(change, props_digest=said.get(key, b""))
        change = msgspec.structs.replace(change, prev=head)
        change = msgspec.structs.replace(change, hash=rehash(change))
        head = change.hash
        found.append(change)
    return found


def based(steps: list[tuple[str, int, int]], at: int) -> tuple[list[Change], Base, SqliteCore]:
    """A stream whose revs up to `at` are reduced to what lived then, in a core."""
    changes = made(Kind.CONTACTS, steps)
    before = changes[:at]
    base = Base(1, before[-1].rev, before[-1].hash, root_of(before), before[-1].at + 1)
    return changes, base, whole([*live_changes(before), *changes[at:]], base)


SOME = [("put", 0, 0), ("put", 0, 1), ("put", 0, 0), ("delete", 0, 1), ("put", 0, 2), ("delete", 0, 2), ("put", 0, 3)]


def test_a_core_with_a_base_goes_on_and_says_where_it_begins() -> None:
    changes, base, core = based(SOME, 7)
    account = core.account_by_id(ANN)
    assert account is not None
    assert core.base(account.number, Kind.CONTACTS) == base
    assert core.head(account.number, Kind.CONTACTS).rev == changes[-1].rev
    assert core.hash_at(account.number, Kind.CONTACTS, base.rev) == base.head
    assert core.hash_at(account.number, Kind.CONTACTS, 6) is None, "dropped, as is the change after it"
    (collection,) = core.collections(account.number)
    assert {item.name for item in core.items(collection)} == {"0.vcf", "3.vcf"}
    assert core.counts()["changes"] == 2 + 1
    assert [c.hash for _, _, c in core.changes()] == [changes[0].hash, changes[3].hash, changes[7].hash]
    core.close()


def test_a_core_that_ends_at_its_base_takes_the_next_change() -> None:
    changes, base, core = based(SOME, 8)
    streams = Streams()
    streams.heads[ANN, Kind.CONTACTS] = core.head(1, Kind.CONTACTS)
    assert streams.heads[ANN, Kind.CONTACTS].hash == base.head
    following = streams.make(ANN, Kind.CONTACTS, Op.PUT, changes[0].collection, "z.vcf", body=b"z")
    core.begin()
    core.apply(following, 9)
    core.commit()
    assert core.changes()[-1][2] == following, "its prev is kept, though the change before it is not here"
    core.close()


def test_a_collection_is_at_the_base_where_what_touched_it_last_was_dropped() -> None:
    """Else a device would be told to start over with each sync: its token would name a rev before the base."""
    _, base, core = based(SOME, 7)
    (collection,) = core.collections(1)
    assert collection.rev >= base.rev
    assert core.hash_at(1, Kind.CONTACTS, collection.rev) == collection.head
    core.close()


def test_what_was_before_the_base_is_said_to_be_dropped() -> None:
    changes, base, core = based(SOME, 7)
    (collection,) = core.collections(1)
    for ask in (
        lambda at: core.collections_at(1, Kind.CONTACTS, at),
        lambda at: core.items_at(1, collection.id, at),
    ):
        with pytest.raises(HistoryDropped, match="before 20"):
            ask(changes[2].at)
        assert ask(base.at)
    with pytest.raises(HistoryDropped, match="before 20"):
        core.collections_at(1, Kind.CONTACTS, rev=base.rev - 1)
    assert core.items_at(1, collection.id, rev=base.rev) == core.items_at(1, collection.id, base.at)
    assert set(core.items_at(1, collection.id, base.at)) == {"0.vcf"}
    assert set(core.items_at(1, collection.id, changes[-1].at)) == {"0.vcf", "3.vcf"}
    core.close()


def test_the_rows_of_a_stream_go_with_it() -> None:
    """A worker makes thousands, whose bodies would stay until cycles are looked for."""
    rows = StreamRows(1, Kind.CONTACTS, None, 1)
    for change in made(Kind.CONTACTS, [("put", 0, 1), ("delete", 0, 1)]):
        rows.add(change, 1)
    rows.packed()
    gone = weakref.ref(rows)
    gc.disable()
    try:
        del rows
        assert gone() is None
    finally:
        gc.enable()


def beside_ben(changes: list[Change], *, moved: bool) -> SqliteCore:
    """The stream in a core that has something of another account before, so that its numbers are not the first."""
    core = new_core()
    ben, streams = account_id(2), Streams()
    core.begin()
    core.apply(streams.mkcol(ben, Kind.CONTACTS, "contacts/default"), 3)
    core.apply(streams.put_card(ben, "contacts/default", "b.vcf", "uid-b"), 3)
    number = core.account_number(ANN)
    if moved:
        maker = core.stream_maker(number, changes[0].kind, None, 1)
        for change in changes:
            maker.add(change, 7)
        core.enter_together([WholeStream(ANN, changes[0].kind, maker.packed(), 1, len(changes), None)])
    for change in () if moved else changes:
        core.apply(change, 7)
    core.apply(streams.put_card(ben, "contacts/default", "c.vcf", "uid-c"), 8)
    core.commit()
    return core


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Kind.CONTACTS, Kind.SCORES]), STEPS)
def test_rows_that_are_moved_are_those_of_entering_change_by_change(
    kind: Kind, steps: list[tuple[str, int, int]]
) -> None:
    """While something else is written before and after."""
    changes = made(kind, steps)
    one, other = beside_ben(changes, moved=False), beside_ben(changes, moved=True)
    assert tables(other) == tables(one)
    assert other.changes() == one.changes()
    assert other.next_journal() == one.next_journal()
    one.close()
    other.close()


def test_what_waits_in_an_intake_is_moved_too() -> None:
    streams = Streams()
    changes = [
        streams.mkcol(ANN, Kind.IDENTITY, "identity", {"type": "identity"}),
        streams.identity(ANN, f"{INTAKE_PREFIX}{1:016x}", b"a write"),
        streams.identity(ANN, f"{INTAKE_PREFIX}{2:016x}", b"another"),
    ]
    one, other = beside_ben(changes, moved=False), beside_ben(changes, moved=True)
    number = one.account_by_id(ANN)
    assert number is not None
    assert one.intake(number.number).items == 2
    assert other.intake(number.number) == one.intake(number.number)
    assert tables(other) == tables(one)
