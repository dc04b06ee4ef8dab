"""One suite for every core store: on this machine's files with and without page checksums, and on a simulated disk.

Long, as a contract is one list: every store passes all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.change import GENESIS, Change, Op, canonical_props, props_digest
from safehold.model.commands import Body
from safehold.model.errors import Held
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Head
from safehold.ports.core import (
    EMPTY_INTAKE,
    EMPTY_LOG,
    INTAKE,
    CoreStore,
    IntakeFigures,
    LogPosition,
    PastCollection,
    Stored,
    WholeStream,
)
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import SECOND, Streams, account_id, card, collection_id

ANN, BEN = account_id(1), account_id(2)
BOOK = "contacts/default"

Open = Callable[[], CoreStore]


@pytest.fixture(params=["files", "files without checksums", "simulated disk"])
def open_core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same core again at each call, the one before closed."""
    disk = SimDisk()
    disk.make_folders("/core")
    last: list[SqliteCore] = []

    def open_() -> CoreStore:
        if last:
            last.pop().close()
        if request.param == "simulated disk":
            last.append(SqliteCore.open("/core/core.db", disk=disk, create=True))
        else:
            last.append(SqliteCore.open(str(tmp_path / "core.db"), create=True, checksum=request.param == "files"))
        return last[0]

    yield open_
    if last:
        last.pop().close()


@pytest.fixture
def core(open_core: Open) -> CoreStore:
    return open_core()


@pytest.fixture
def streams() -> Streams:
    return Streams()


def enter(core: CoreStore, *changes: Change, frame: int = 1) -> None:
    core.begin()
    for change in changes:
        core.apply(change, frame)
    core.commit()


def before_and_after(core: CoreStore, open_core: Open) -> Iterator[CoreStore]:
    """The core as it is, then as it is when opened again."""
    yield core
    yield open_core()


def founded(core: CoreStore, streams: Streams, account: bytes = ANN, name: str = "ann", listed: bool = False) -> int:
    """An account with an identity and an address book; its number."""
    enter(
        core,
        streams.mkcol(account, Kind.IDENTITY, "identity", {"type": "identity"}),
        streams.profile(account, name, listed),
        streams.mkcol(account, Kind.CONTACTS, BOOK),
    )
    found = core.account_by_id(account)
    assert found is not None
    return found.number


def test_an_empty_core(core: CoreStore) -> None:
    assert core.accounts() == []
    assert core.account_named("ann") is core.account_by_id(ANN) is None
    assert core.head(1, Kind.CONTACTS) == EMPTY_HEAD
    assert core.hash_at(1, Kind.CONTACTS, 0) == GENESIS
    assert core.hash_at(1, Kind.CONTACTS, 1) is None
    assert core.held(1, Kind.CONTACTS) is None
    assert core.collection(1, BOOK) is None
    assert core.collections(1) == core.changes() == []
    assert core.log_position() == EMPTY_LOG
    assert core.unarchived(0) == (0, None)
    assert set(core.counts().values()) == {0}
    assert set(core.counts()) == {*map(str, Kind), "accounts", "changes"}


def test_changes_come_back_verbatim(open_core: Open, streams: Streams) -> None:
    core = open_core()
    founded(core, streams)
    enter(
        core,
        streams.put_card(ANN, BOOK, "a.vcf"),
        streams.make(
            ANN,
            Kind.CONTACTS,
            Op.PUT,
            collection_id(BOOK),
            "b.vcf",
            body=card("b"),
            blob=b"blob name",
            media="text/vcard",
            props={"{DAV:}displayname": "x"},
        ),
        streams.make(ANN, Kind.CONTACTS, Op.PROPS, collection_id(BOOK), "b.vcf", props={}),
        streams.make(ANN, Kind.CONTACTS, Op.SETCOL, collection_id(BOOK), props={"type": "addressbook", "x": "é"}),
        streams.make(ANN, Kind.CONTACTS, Op.REFUSED, collection_id(BOOK), "a.vcf", body=b"refused"),
        streams.make(ANN, Kind.CONTACTS, Op.REFUSED, b"\1" * 16, "a.vcf", body=b"refused"),
        streams.delete(ANN, Kind.CONTACTS, BOOK, "a.vcf"),
        streams.make(ANN, Kind.CONTACTS, Op.GAP, b"", props={"first": "3"}),
        streams.make(ANN, Kind.CONTACTS, Op.RMCOL, collection_id(BOOK), BOOK),
        frame=7,
    )
    founded(core, streams, BEN, "ben")
    lost_body = streams.make(BEN, Kind.CONTACTS, Op.PUT, collection_id(BOOK), "c.vcf", body=card("c"))
    lost_body = lost_body.__class__(*(*_fields(lost_body)[:-3], None, None, None))
    streams.made[-1] = lost_body
    enter(core, lost_body)
    for again in before_and_after(core, open_core):
        rows = again.changes()
        assert [row[2] for row in rows] == streams.made
        assert [row[0] for row in rows] == sorted({row[0] for row in rows})
        assert [row[1] for row in rows] == [1] * 3 + [7] * 9 + [1] * 4
        assert again.changes(after_journal=rows[4][0], limit=2) == rows[5:7]
        assert all(again.change(number) == change for number, _, change in rows)
        assert again.counts()["changes"] == len(rows)


def _fields(change: Change) -> tuple[object, ...]:
    return tuple(getattr(change, name) for name in change.__struct_fields__)


def test_accounts_follow_their_profiles(open_core: Open, streams: Streams) -> None:
    core = open_core()
    number = founded(core, streams)
    founded(core, streams, BEN, "ben", listed=True)
    assert [(a.id, a.name, a.listed) for a in core.accounts()] == [(ANN, "ann", False), (BEN, "ben", True)]
    enter(
        core,
        streams.profile(ANN, "anna", True),
        streams.identity(ANN, "password", b"secret"),
        streams.identity(ANN, "app/phone", b"1"),
        streams.identity(ANN, "app/é", b"2"),
    )
    for again in before_and_after(core, open_core):
        assert again.account_named("ann") is None
        assert again.account_named("") is None
        anna = again.account_named("anna")
        assert anna is not None
        assert anna == again.account_by_id(ANN)
        assert (anna.number, anna.listed) == (number, True)
        assert again.secret(number, "password") == b"secret"
        assert again.secret(number, "none") is None
        assert again.secrets(number, "app/") == [("app/phone", b"1"), ("app/é", b"2")]
        assert again.counts()["accounts"] == 2


def test_the_installation_is_account_zero_and_not_listed(core: CoreStore, streams: Streams) -> None:
    installation = bytes(16)
    enter(
        core,
        streams.mkcol(installation, Kind.IDENTITY, "identity", {"type": "identity"}),
        streams.identity(installation, "token-key", b"k" * 32),
    )
    found = core.account_by_id(installation)
    assert found is not None
    assert found.number == 0
    assert core.accounts() == []
    assert core.secret(0, "token-key") == b"k" * 32
    assert core.counts() == {**dict.fromkeys(map(str, Kind), 0), "accounts": 0, "changes": 2}


def test_two_accounts_of_one_name_are_held(core: CoreStore, streams: Streams) -> None:
    """Streams come back one by one: the first to bear a name may not have given it up yet."""
    founded(core, streams, ANN, "ann")
    founded(core, streams, BEN, "ann")
    with pytest.raises(Held):
        core.account_named("ann")
    enter(core, streams.profile(ANN, "other"))
    found = core.account_named("ann")
    assert found is not None
    assert found.id == BEN


def test_items(open_core: Open, streams: Streams) -> None:
    core = open_core()
    number = founded(core, streams)
    book = core.collection(number, BOOK)
    assert book is not None
    made = streams.at + SECOND
    enter(
        core,
        streams.put_card(ANN, BOOK, "b.vcf", "uid-b"),
        streams.put_card(ANN, BOOK, "a.vcf", "uid-a"),
        streams.put_card(ANN, BOOK, "b.vcf", "uid-b", text="newer"),
    )
    for again in before_and_after(core, open_core):
        a, b = again.items(book)
        assert (a.name, b.name) == ("a.vcf", "b.vcf")
        assert again.item(book, "b.vcf") == b == again.item_by_uid(book, "uid-b")
        assert (b.created_at, b.at, b.rev) == (made, made + 2 * SECOND, 4)
        assert b.digest == streams.made[-1].digest
        assert b.media.startswith("text/vcard")
        assert again.body(b) == Stored(card("uid-b", "newer"), None, b.size)
        assert again.item(book, "c.vcf") is again.item_by_uid(book, "uid-c") is None
        names = ["b.vcf", "none", "a.vcf"]
        assert [(i, s.inline) for i, s in again.items_with_bodies(book, names)] == [
            (b, card("uid-b", "newer")),
            (a, card("uid-a")),
        ]
        assert [i for i, _ in again.items_with_bodies(book, ["a.vcf", "b.vcf", "a.vcf\x00", "a.vcf"])] == [a, b, a]
        assert again.items_named(book, [*names, "b.vcf\x00", 'x"\u00e9\\', ""]) == [b, a]
        assert again.items_named(book, []) == []
        assert again.counts()["contacts"] == 2
        live = again.collection(number, BOOK)
        assert live is not None
        assert (live.rev, live.head) == (4, streams.made[-1].hash) == tuple(_head(again, number))
        assert (live.created_rev, live.changed_at) == (1, streams.at)


def _head(core: CoreStore, account: int) -> tuple[int, bytes]:
    head = core.head(account, Kind.CONTACTS)
    return head.rev, head.hash


def test_a_uid_moves_with_the_body(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    book = core.collection(number, BOOK)
    assert book is not None
    enter(core, streams.put_card(ANN, BOOK, "a.vcf", "one"), streams.put_card(ANN, BOOK, "a.vcf", "two"))
    assert core.item_by_uid(book, "one") is None
    found = core.item_by_uid(book, "two")
    assert found is not None
    assert found.uid == "two"
    enter(core, streams.delete(ANN, Kind.CONTACTS, BOOK, "a.vcf"))
    assert core.item_by_uid(book, "two") is None
    assert core.items(book) == []
    assert core.counts()["contacts"] == 0


@pytest.mark.parametrize("name", ["one.vcf", "one.ics", "one", "one.VCF", "one.vcf.vcf", "another"])
def test_an_item_is_found_by_its_uid_whatever_its_name(core: CoreStore, streams: Streams, name: str) -> None:
    number = founded(core, streams)
    book = core.collection(number, BOOK)
    assert book is not None
    enter(core, streams.put_card(ANN, BOOK, name, "one"), streams.put_card(ANN, BOOK, "two.vcf", "other"))
    assert core.item_by_uid(book, "one") == core.item(book, name)
    assert core.item_by_uid(book, "two") is None, "the name alone says nothing"
    enter(core, streams.put_card(ANN, BOOK, name, "two"))
    assert core.item_by_uid(book, "one") is None
    assert core.item_by_uid(book, "two") == core.item(book, name)
    enter(core, streams.put_card(ANN, BOOK, name, "one"), streams.put_card(ANN, BOOK, "later", "one"))
    enter(core, streams.put_card(ANN, BOOK, "one.ics", "one"))
    found = core.item_by_uid(book, "one")
    assert found == min((i for i in core.items(book) if i.uid == "one"), key=lambda i: i.rev)
    enter(core, *(streams.delete(ANN, Kind.CONTACTS, BOOK, n) for n in {name, "later", "one.ics"}))
    assert core.item_by_uid(book, "one") is None


def test_properties_stay_with_a_put_unless_it_sets_them(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    book = core.collection(number, BOOK)
    assert book is not None
    props = {"{DAV:}displayname": "<x/>"}

    def now() -> dict[str, str]:
        item = core.item(book, "a.vcf")
        assert item is not None
        return core.props(item)

    enter(core, streams.put_card(ANN, BOOK, "a.vcf"))
    assert now() == {}
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.PROPS, collection_id(BOOK), "a.vcf", props=props))
    assert now() == props
    enter(core, streams.put_card(ANN, BOOK, "a.vcf"))
    assert now() == props
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.PROPS, collection_id(BOOK), "a.vcf", props={}))
    item = core.item(book, "a.vcf")
    assert item is not None
    assert (item.props_journal, item.rev) == (None, 5)


def test_collections(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    folder = {"type": "folder"}
    paths = ["files/notes", "files/notes/a", "files/notes/a/b", "files/notesbook"]
    enter(core, *(streams.mkcol(ANN, Kind.NOTES, path, folder) for path in paths))
    assert [c.path for c in core.collections(number)] == [BOOK, *paths, "identity"]
    assert [c.path for c in core.collections(number, "files/notes/")] == paths[1:3]
    assert core.collections(number + 1) == []
    enter(core, streams.make(ANN, Kind.NOTES, Op.SETCOL, collection_id(paths[1]), props={**folder, "{DAV:}x": "<y/>"}))
    changed = core.collection(number, paths[1])
    assert changed is not None
    assert (changed.props, changed.rev) == ({**folder, "{DAV:}x": "<y/>"}, 5)


def test_a_new_collection_under_an_old_path_is_another(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    enter(core, streams.put_card(ANN, BOOK, "a.vcf"))
    old = core.collection(number, BOOK)
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.RMCOL, collection_id(BOOK), BOOK))
    assert core.collection(number, BOOK) is None
    assert core.counts()["contacts"] == 0
    new_id = collection_id(BOOK, 1)
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.MKCOL, new_id, BOOK, props={"type": "addressbook"}))
    new = core.collection(number, BOOK)
    assert old is not None
    assert new is not None
    assert (new.id, core.items(new)) == (new_id, [])
    removed = core.removed_collections(number, Kind.CONTACTS)
    assert [(r.collection.id, r.rev, r.collection.path) for r in removed] == [(old.id, 3, BOOK)]
    assert [v.rev for v in core.history(number, path=BOOK)] == [4, 3, 2, 1]
    assert [v.rev for v in core.history(number, path=BOOK, name="a.vcf")] == [2]


def test_touched(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    book = core.collection(number, BOOK)
    assert book is not None
    put, gone = streams.put_card, streams.delete
    refused = (ANN, Kind.CONTACTS, Op.REFUSED, collection_id(BOOK))
    enter(
        core,
        put(ANN, BOOK, "a"),  # rev 2
        put(ANN, BOOK, "b"),
        put(ANN, BOOK, "c"),
        gone(ANN, Kind.CONTACTS, BOOK, "b"),  # 5
        put(ANN, BOOK, "d"),
        gone(ANN, Kind.CONTACTS, BOOK, "d"),  # 7
        streams.make(*refused, "never", body=b"x"),
        streams.make(*refused, "a", body=b"x"),  # 9
        streams.make(*refused, "b", body=b"x"),  # 10
        put(ANN, BOOK, "d"),  # 11
    )

    def seen(since: int, limit: int | None = None) -> list[tuple[str, int, bool]]:
        return [(t.name, t.rev, t.deleted) for t in core.touched(book, since, limit)]

    whole = [("c", 4, False), ("b", 5, True), ("a", 9, False), ("d", 11, False)]
    assert seen(0) == whole, "b counts from its delete, whatever was refused after it"
    for limit in (1, 2, 3):
        pages: list[tuple[str, int, bool]] = []
        while page := seen(pages[-1][1] if pages else 0, limit):
            pages += page
        assert pages == whole, "no page may lead past a delete that it does not tell"
    assert seen(9, 2) == [("d", 11, False)], "b was deleted before, and a refused write is no news of it"
    assert seen(4) == whole[1:]
    assert seen(11) == []
    items = {t.name: t.item for t in core.touched(book, 0)}
    assert items["b"] is None
    assert items["a"] == core.item(book, "a")
    live = core.collection(number, BOOK)
    assert live is not None
    assert live.rev == 11


def test_history_is_newest_first_and_whole(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    enter(core, *(streams.put_card(ANN, BOOK, f"{i % 3}", text=str(i)) for i in range(600)))
    enter(core, streams.mkcol(ANN, Kind.NOTES, "files/notes", {"type": "folder"}))
    book = list(core.history(number, path=BOOK))
    assert [v.rev for v in book] == list(range(601, 0, -1))
    assert {v.path for v in book} == {BOOK}
    one = list(core.history(number, path=BOOK, name="1"))
    assert [v.rev for v in one] == list(range(600, 0, -3))
    assert one[0].digest == streams.made[-3].digest
    assert core.version_body(one[0].journal).inline == card("1", "598")
    everything = list(core.history(number))
    assert len(everything) == 604
    assert [v.at for v in everything] == sorted((v.at for v in everything), reverse=True)
    assert [v.kind for v in core.history(number, kind=Kind.NOTES)] == [Kind.NOTES]
    assert list(core.history(number, path="none")) == []
    at = core.version_at(number, Kind.CONTACTS, 600)
    assert at == one[0]
    assert core.version_at(number, Kind.CONTACTS, 602) is None


def test_as_it_was(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    made_at = streams.at
    book = collection_id(BOOK)
    first = streams.put_card(ANN, BOOK, "a", text="1")
    props = streams.make(ANN, Kind.CONTACTS, Op.PROPS, book, "a", props={"x": "1"})
    second = streams.put_card(ANN, BOOK, "b")
    streams.at -= 100 * SECOND  # the clock is set back
    third = streams.put_card(ANN, BOOK, "a", text="2")
    streams.at += 200 * SECOND
    setcol = streams.make(ANN, Kind.CONTACTS, Op.SETCOL, book, props={"type": "addressbook", "x": "2"})
    gone = streams.delete(ANN, Kind.CONTACTS, BOOK, "b")
    removed = streams.make(ANN, Kind.CONTACTS, Op.RMCOL, book, BOOK)
    enter(core, first, props, second, third, setcol, gone, removed)

    def then(at: int) -> dict[str, Change]:
        return {name: core.change(item.journal) for name, item in core.items_at(number, book, at).items()}

    assert then(made_at - 1000 * SECOND) == {}
    assert then(first.at) == {"a": third, "b": second}, "the change with the clock set back is the last that counts"
    assert then(gone.at) == {"a": third}
    assert then(removed.at) == {}
    past = core.items_at(number, book, second.at)["a"]
    assert past.props_journal is not None
    assert core.props_at(past.props_journal) == {"x": "1"}
    assert past.digest == third.digest
    assert core.collections_at(number, Kind.CONTACTS, setcol.at - 1) == [
        PastCollection(book, BOOK, {"type": "addressbook"})
    ]
    assert core.collections_at(number, Kind.CONTACTS, gone.at) == [
        PastCollection(book, BOOK, {"type": "addressbook", "x": "2"})
    ]
    assert core.collections_at(number, Kind.CONTACTS, removed.at) == []
    assert core.items_at(number, bytes(16), removed.at) == {}


def test_rollback_leaves_nothing(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    before = core.changes(), core.counts(), core.head(number, Kind.CONTACTS)
    made = list(streams.made)
    heads = dict(streams.heads)
    core.begin()
    core.apply(streams.put_card(ANN, BOOK, "a.vcf"), 2)
    core.apply(streams.mkcol(BEN, Kind.CONTACTS, BOOK), 2)
    core.set_log_position(LogPosition(1, 2, b"x" * 32))
    assert core.account_by_id(BEN) is not None
    core.rollback()
    core.rollback()
    assert (core.changes(), core.counts(), core.head(number, Kind.CONTACTS)) == before
    assert core.account_by_id(BEN) is None
    assert core.log_position() == EMPTY_LOG
    streams.made, streams.heads = made, heads
    enter(core, streams.mkcol(BEN, Kind.CONTACTS, BOOK), streams.put_card(ANN, BOOK, "b.vcf"))
    assert [c for _, _, c in core.changes()] == streams.made


def test_a_change_that_does_not_continue_its_stream_is_our_mistake(core: CoreStore, streams: Streams) -> None:
    founded(core, streams)
    skipped = streams.put_card(ANN, BOOK, "a.vcf")
    following = streams.put_card(ANN, BOOK, "b.vcf")
    stranger = Streams()
    stranger.mkcol(ANN, Kind.CONTACTS, BOOK, {"type": "other"})
    forked = stranger.put_card(ANN, BOOK, "a.vcf")
    unmade = streams_of_one_put()
    for wrong in (following, forked, streams.made[2], unmade):
        core.begin()
        with pytest.raises(AssertionError):
            core.apply(wrong, 2)
        core.rollback()
    enter(core, skipped, following)


def streams_of_one_put() -> Change:
    """The first change of a stream, into a collection that was never made."""
    return Streams().put_card(BEN, BOOK, "a.vcf")


def test_a_recovery_enters_what_is_left_after_a_gap(open_core: Open, streams: Streams) -> None:
    number = founded(open_core(), streams)
    core = open_core()
    made = streams.put_card(ANN, BOOK, "a.vcf")
    enter(core, made)
    lost = [
        streams.put_card(ANN, BOOK, "lost.vcf"),
        streams.make(ANN, Kind.CONTACTS, Op.MKCOL, collection_id("contacts/b"), "contacts/b"),
    ]
    kept = [streams.put_card(ANN, "contacts/b", "b.vcf"), streams.delete(ANN, Kind.CONTACTS, BOOK, "lost.vcf")]
    core.begin()
    core.apply(kept[0], 9, after_gap=True)
    core.apply(kept[1], 9)
    core.commit()
    assert [c for _, _, c in core.changes()][-3:] == [made, *kept]
    assert core.head(number, Kind.CONTACTS) == Head(6, kept[1].hash)
    assert core.hash_at(number, Kind.CONTACTS, 3) is None
    assert core.hash_at(number, Kind.CONTACTS, 4) == lost[1].hash
    assert core.hash_at(number, Kind.CONTACTS, 7) is None
    assert core.counts()["changes"] == 6
    assert [c.path for c in core.collections(number)] == [BOOK, "identity"], "what was lost is not made up"
    remade = streams.make(ANN, Kind.CONTACTS, Op.MKCOL, collection_id("contacts/b"), "contacts/found", actor="recovery")
    enter(core, remade)
    found = core.collection(number, "contacts/found")
    assert found is not None
    assert [i.name for i in core.items(found)] == ["b.vcf"]


def test_holding_a_stream(core: CoreStore, streams: Streams) -> None:
    core.begin()
    core.hold(ANN, Kind.CONTACTS, "not restored yet")
    core.commit()
    account = core.account_by_id(ANN)
    assert account is not None
    number = account.number
    assert core.held(number, Kind.CONTACTS) == "not restored yet"
    assert core.held(number, Kind.NOTES) is None
    assert core.head(number, Kind.CONTACTS) == EMPTY_HEAD
    founded(core, streams)
    assert core.held(number, Kind.CONTACTS) == "not restored yet"
    core.begin()
    core.hold(ANN, Kind.CONTACTS, None)
    core.commit()
    assert core.held(number, Kind.CONTACTS) is None


def test_the_log_position_and_frames(open_core: Open, streams: Streams) -> None:
    core = open_core()
    founded(core, streams)
    enter(core, *(streams.put_card(ANN, BOOK, str(i)) for i in range(3)), frame=5)
    enter(core, streams.put_card(ANN, BOOK, "x"), frame=6)
    core.begin()
    core.set_log_position(LogPosition(2, 6, b"d" * 32))
    core.commit()
    core = open_core()
    assert core.log_position() == LogPosition(2, 6, b"d" * 32)
    later = core.changes_after_frame(1)
    assert [(frame, change) for _, frame, change in later] == list(zip([5, 5, 5, 6], streams.made[3:], strict=True))
    assert core.changes_after_frame(1, 2) == later[:2]
    assert core.changes_after_frame(1, 2, after_journal=later[1][0]) == later[2:]
    assert core.unarchived(1) == (4, streams.made[3].at)
    assert core.unarchived(6) == (0, None)
    core.begin()
    core.set_frame(later[0][0], later[1][0], 7)
    core.commit()
    assert [frame for _, frame, _ in core.changes_after_frame(1)] == [7, 7, 5, 6]
    assert core.unarchived(5) == (3, streams.made[3].at)


def test_scores(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams, listed=True)
    founded(core, streams, BEN, "ben", listed=False)
    game = "scores/go"

    def score(account: bytes, name: str, value: float, at: str | None = None) -> Change:
        body = json.dumps({"score": value, "at": at, "detail": {"x": 1}}).encode()
        return streams.make(
            account, Kind.SCORES, Op.PUT, collection_id(game), name, body=body, media="application/json"
        )

    enter(
        core,
        streams.mkcol(ANN, Kind.SCORES, game, {"type": "game"}),
        streams.mkcol(BEN, Kind.SCORES, game, {"type": "game"}),
        score(ANN, "1", 10),
        score(ANN, "2", 30.5, "2020-01-01T00:00:00+00:00"),
        score(ANN, "3", 20),
        score(BEN, "1", 99),
    )
    assert core.best_score(number, "go") == 30.5
    assert core.best_score(number, "chess") is None
    assert core.leaderboard("go", 10) == [("ann", 30.5, 1_577_836_800_000_000)]
    enter(core, streams.profile(BEN, "ben", True))
    assert [line[:2] for line in core.leaderboard("go", 10)] == [("ben", 99), ("ann", 30.5)]
    assert [line[0] for line in core.leaderboard("go", 1)] == ["ben"]
    enter(core, streams.delete(ANN, Kind.SCORES, game, "2"))
    assert core.best_score(number, "go") == 20
    enter(core, score(ANN, "3", 1))
    assert core.best_score(number, "go") == 10
    assert core.counts()["scores"] == 3
    enter(core, streams.make(ANN, Kind.SCORES, Op.RMCOL, collection_id(game), game))
    assert core.best_score(number, "go") is None
    assert [line[0] for line in core.leaderboard("go", 10)] == ["ben"]


def test_used_bytes_are_the_sum_of_what_lives(open_core: Open, streams: Streams) -> None:
    core = open_core()
    number = founded(core, streams)
    book, notes = collection_id(BOOK), "files/notes"
    small, large = card("a"), card("a", "Ann" * 100)
    assert core.used_bytes(number) == 0  # identity does not count
    enter(core, streams.put_card(ANN, BOOK, "a.vcf", "a"), streams.put_card(ANN, BOOK, "b.vcf", "b"))
    assert core.used_bytes(number) == len(card("a")) + len(card("b"))
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.PUT, book, "a.vcf", body=large, media="text/vcard"))
    enter(core, streams.make(ANN, Kind.CONTACTS, Op.REFUSED, book, "a.vcf", body=small, media="text/vcard"))
    assert core.used_bytes(number) == len(large) + len(card("b"))
    enter(core, streams.delete(ANN, Kind.CONTACTS, BOOK, "b.vcf"), streams.delete(ANN, Kind.CONTACTS, BOOK, "none"))
    assert core.used_bytes(number) == len(large)
    enter(
        core,
        streams.mkcol(ANN, Kind.NOTES, notes, {"type": "folder"}),
        streams.make(ANN, Kind.NOTES, Op.PUT, collection_id(notes), "big", body=bytes(1000), blob=b"blob", media="x/y"),
        streams.make(ANN, Kind.NOTES, Op.PUT, collection_id(notes), "empty", body=b"", media="x/y"),
    )
    for moment in before_and_after(core, open_core):
        assert moment.used_bytes(number) == len(large) + 1000
    core = open_core()
    core.begin()
    core.apply(streams.make(ANN, Kind.NOTES, Op.RMCOL, collection_id(notes), notes), 1)
    assert core.used_bytes(number) == len(large)
    core.rollback()
    assert core.used_bytes(number) == len(large) + 1000
    core.begin()
    core.drop_account(ANN)
    core.commit()
    assert core.used_bytes(number) == 0


def test_a_doubt_of_the_logs_end_stands_until_it_is_taken_away(core: CoreStore) -> None:
    assert core.end_in_doubt() == b""
    for doubt in (b"one", b"another", b""):
        core.begin()
        core.set_end_in_doubt(doubt)
        core.commit()
        with core.snapshot() as moment:
            assert moment.end_in_doubt() == doubt
    core.begin()
    core.set_end_in_doubt(b"never")
    core.rollback()
    assert core.end_in_doubt() == b""


def test_a_recovery_leaves_its_mark(open_core: Open) -> None:
    core = open_core()
    assert core.recovery_mark() == ""
    core.begin()
    core.set_recovery_mark("7")
    core.commit()
    for moment in before_and_after(core, open_core):
        assert moment.recovery_mark() == "7"


def test_an_erased_account_leaves_no_row_and_no_number(open_core: Open, streams: Streams) -> None:
    core = open_core()
    founded(core, streams, BEN, "ben")
    number = founded(core, streams)
    enter(core, streams.put_card(ANN, BOOK, "a.vcf"))
    last = core.changes()[-1][0]
    core.begin()
    core.drop_account(ANN)
    core.drop_account(account_id(9))
    core.commit()
    for again in before_and_after(core, open_core):
        assert [a.id for a in again.accounts()] == [BEN]
        assert again.account_by_id(ANN) is again.account_named("ann") is None
        assert again.collections(number) == []
        assert {change.account for _, _, change in again.changes()} == {BEN}
        assert again.counts()["contacts"] == 0
    core = open_core()
    anew = founded(core, Streams())
    assert anew > number
    assert core.changes()[-3][0] > last


def test_a_reader_sees_committed_state(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    reader = core.reader()
    assert [c.path for c in reader.collections(number)] == [BOOK, "identity"]
    enter(core, streams.put_card(ANN, BOOK, "a.vcf"))
    with reader.snapshot() as moment, moment.snapshot() as same:
        book = moment.collection(number, BOOK)
        assert book is not None
        assert [i.name for i in same.items(book)] == ["a.vcf"]


def test_a_bulk_load_ends_as_any_other(open_core: Open, streams: Streams) -> None:
    core = open_core()
    core.bulk(True)
    number = founded(core, streams)
    enter(core, *(streams.put_card(ANN, BOOK, f"{i}", f"uid {i}") for i in range(50)))
    core.bulk(False)
    for again in before_and_after(core, open_core):
        book = again.collection(number, BOOK)
        assert book is not None
        found = again.item_by_uid(book, "uid 7")
        assert found is not None
        assert found.name == "7"
        assert [c for _, _, c in again.changes()] == streams.made
        assert len(again.touched(book, 1)) == 50


def test_bodies_in_blobs(core: CoreStore, streams: Streams) -> None:
    number = founded(core, streams)
    body = Body(b"", 0, None, b"name of the blob")
    enter(
        core,
        streams.make(
            ANN, Kind.CONTACTS, Op.PUT, collection_id(BOOK), "big", body=b"x" * 9, blob=body.blob, media="text/vcard"
        ),
    )
    book = core.collection(number, BOOK)
    assert book is not None
    item = core.item(book, "big")
    assert item is not None
    assert core.body(item) == Stored(None, b"name of the blob", 9)
    assert item.uid is None


def test_props_are_kept_as_bytes(core: CoreStore, streams: Streams) -> None:
    founded(core, streams)
    assert core.changes()[0][2].props == canonical_props({"type": "identity"})


def test_a_stream_that_is_released_waits_for_what_is_in_the_intake(open_core: Open) -> None:
    core, streams = open_core(), Streams()
    identity = collection_id("identity")
    streams.make(ANN, Kind.IDENTITY, Op.MKCOL, identity, "identity", props={"type": "identity"})
    streams.make(ANN, Kind.IDENTITY, Op.PUT, identity, "app/phone", body=b"{}")
    streams.make(ANN, Kind.IDENTITY, Op.PUT, identity, "intake/2", body=b"12345", blob=b"name")
    streams.make(ANN, Kind.IDENTITY, Op.PUT, identity, "intake/1", body=b"123")
    core.begin()
    for change in streams.made:
        core.apply(change, 1)
    for kind in (Kind.IDENTITY, Kind.CONTACTS, Kind.NOTES):
        core.hold(ANN, kind, "missing")
        core.hold(ANN, kind, None)
    core.hold(BEN, Kind.CONTACTS, "missing")
    core.hold(BEN, Kind.CONTACTS, None)
    core.commit()
    core = open_core()
    ann, ben = core.account_by_id(ANN), core.account_by_id(BEN)
    assert ann is not None
    assert ben is not None
    assert [core.held(ann.number, kind) for kind in (Kind.CONTACTS, Kind.NOTES)] == [INTAKE, INTAKE]
    assert core.held(ann.number, Kind.IDENTITY) is None, "it is where the intake is"
    assert core.held(ben.number, Kind.CONTACTS) is None
    assert core.intakes() == {ANN: IntakeFigures(2, 3, 5)}
    assert core.entering(10) == [ANN]
    assert core.entering(0) == []
    assert [item.name for item in core.secret_items(ann.number, "intake/")] == ["intake/1", "intake/2"]
    gone = [streams.make(ANN, Kind.IDENTITY, Op.DELETE, identity, f"intake/{n}") for n in (1, 2)]
    core.begin()
    core.apply(gone[0], 2)
    core.release(ANN, Kind.CONTACTS)
    assert core.held(ann.number, Kind.CONTACTS) is None
    core.apply(gone[1], 2)
    assert core.intake(ann.number) == EMPTY_INTAKE
    assert core.entering(10) == [ANN], "one is held for it still"
    core.release(ANN, Kind.NOTES)
    core.commit()
    assert (core.entering(10), core.intakes()) == ([], {})
    core.begin()
    core.apply(streams.make(ANN, Kind.IDENTITY, Op.PUT, identity, "intake/3", body=b"1"), 3)
    core.drop_account(ANN)
    core.commit()
    assert core.intakes() == {}


def test_a_recovery_that_is_under_way_is_on_record(open_core: Open, streams: Streams) -> None:
    core = open_core()
    number = founded(core, streams)
    assert (core.recovery_record(), core.recovery_notes()) == (None, [])
    core.begin()
    core.set_recovery_record(b"one")
    core.add_recovery_note(b"first")
    core.hold_back([(ANN, Kind.TASKS), (BEN, Kind.NOTES)], "not yet")
    core.commit()
    core.begin()
    core.set_recovery_record(b"two")
    core.add_recovery_note(b"second")
    core.rollback()
    core.begin()
    core.add_recovery_note(b"third")
    core.commit()
    core = open_core()
    assert (core.recovery_record(), core.recovery_notes()) == (b"one", [b"first", b"third"])
    assert sorted(core.held_streams("not yet")) == sorted([(ANN, Kind.TASKS), (BEN, Kind.NOTES)])
    assert core.held_streams("something else") == []
    assert core.head(number, Kind.TASKS) == EMPTY_HEAD
    core.begin()
    core.set_recovery_record(None)
    core.commit()
    core = open_core()
    assert (core.recovery_record(), core.recovery_notes()) == (None, [])


def test_a_stream_that_was_made_elsewhere_goes_behind_what_is_there(open_core: Open, streams: Streams) -> None:
    """Held until it is in, and released in the same transaction; what is written next comes after it."""
    core = open_core()
    number = founded(core, streams)
    core.begin()
    core.hold_back([(ANN, Kind.PHOTOS)], "not yet")
    core.commit()
    album, place = "files/photos", collection_id("files/photos")
    made = [
        streams.mkcol(ANN, Kind.PHOTOS, album, {"type": "folder"}),
        streams.make(ANN, Kind.PHOTOS, Op.PUT, place, "b.jpg", body=b"large", blob=b"named", media="image/jpeg"),
        streams.make(ANN, Kind.PHOTOS, Op.PUT, place, "a.txt", body=b"small", media="text/plain"),
    ]
    maker = core.stream_maker(number, Kind.PHOTOS, None, 1)
    for change in made:
        maker.add(change, 4)
    last = core.next_journal() - 1
    core.begin()
    core.enter_together([WholeStream(ANN, Kind.PHOTOS, maker.packed(), 1, len(made), None)])
    core.commit()
    later = streams.make(ANN, Kind.PHOTOS, Op.PUT, place, "c.txt", body=b"later", media="text/plain")
    enter(core, later, frame=5)
    core = open_core()
    assert [change for _, _, change in core.changes(after_journal=last)] == [*made, later]
    assert core.held(number, Kind.PHOTOS) is None
    collection = core.collection(number, album)
    assert collection is not None
    assert [item.name for item in core.items(collection)] == ["a.txt", "b.jpg", "c.txt"]
    assert [(path, item.name, blob) for path, item, blob in core.items_with_blobs(number, Kind.PHOTOS)] == [
        (album, "b.jpg", b"named")
    ]
    assert core.figures(number, Kind.PHOTOS).items == 3


@pytest.mark.parametrize("firsts", [(1, 4, 6), (1, 4, 100), (40, 1, 3)], ids=["in turn", "a gap", "anyhow"])
def test_streams_that_were_made_elsewhere_enter_together(
    open_core: Open, streams: Streams, firsts: tuple[int, ...]
) -> None:
    """However they were numbered; each released, or held with its reason, or for what waits in its account's intake."""
    core = open_core()
    founded(core, streams)
    core.begin()
    numbers = core.account_numbers([ANN, BEN])
    intake = collection_id("identity")
    core.apply(streams.mkcol(BEN, Kind.IDENTITY, "identity", {"type": "identity"}), 2)
    core.apply(streams.make(BEN, Kind.IDENTITY, Op.PUT, intake, "intake/1", body=b"waits"), 2)
    keys = [(ANN, Kind.PHOTOS), (ANN, Kind.NOTES), (BEN, Kind.NOTES)]
    core.hold_back([*keys, (BEN, Kind.TASKS)], "not yet")
    core.commit()
    place, made = collection_id("files/photos"), []
    photos = [
        streams.mkcol(ANN, Kind.PHOTOS, "files/photos", {"type": "folder"}),
        streams.make(ANN, Kind.PHOTOS, Op.PUT, place, "a.txt", body=b"small", media="text/plain"),
        streams.make(ANN, Kind.PHOTOS, Op.PROPS, place, "a.txt", props={"{DAV:}displayname": "a"}),
    ]
    notes = [
        streams.mkcol(ANN, Kind.NOTES, "files/notes", {"type": "folder"}),
        streams.make(ANN, Kind.NOTES, Op.PUT, collection_id("files/notes"), "b.txt", body=b"n", media="text/plain"),
    ]
    of_ben = [streams.make(BEN, Kind.NOTES, Op.MKCOL, collection_id("files/ben"), "files/notes")]
    for key, first, changes, held in zip(keys, firsts, (photos, notes, of_ben), (None, "gone", None), strict=True):
        maker = core.stream_maker(numbers[key[0]], key[1], None, first)
        for change in changes:
            maker.add(change, 4)
        made.append(WholeStream(*key, maker.packed(), first, len(changes), held))
    made.append(WholeStream(BEN, Kind.TASKS, b"", 1, 0, "nothing of it"))
    before = core.next_journal()
    core.filling(True)
    core.begin()
    core.enter_together(made)
    assert core.next_journal() == before + 6
    core.commit()
    core.filling(False)
    core = open_core()
    assert [change for _, _, change in core.changes(after_journal=before - 1)] == [*photos, *notes, *of_ben]
    found = core.standings([*keys, (BEN, Kind.TASKS), (BEN, Kind.SCORES), (account_id(9), Kind.NOTES)])
    assert found[-1] is None
    there = [one for one in found if one is not None]
    assert [one.held for one in there] == [None, "gone", INTAKE, "nothing of it", None]
    assert [one.figures.changes for one in there] == [3, 2, 1, 0, 0]
    assert [one.head.rev for one in there] == [3, 2, 1, 0, 0]
    assert there[-1].head == EMPTY_HEAD
    entered = list(core.collections_made(before, core.next_journal() - 1))
    assert [(one.account, one.kind, one.path) for one in entered] == [
        (numbers[ANN], Kind.PHOTOS, "files/photos"),
        (numbers[ANN], Kind.NOTES, "files/notes"),
        (numbers[BEN], Kind.NOTES, "files/notes"),
    ]
    name, digest, size, rev, props = entered[0].items[0]
    assert (name, digest, size, rev) == ("a.txt", sha256(b"small").digest(), 5, 3)
    assert props_digest(props) == photos[2].props_digest
    assert [len(one.items) for one in entered] == [1, 1, 0]
    collection = core.collection(numbers[ANN], "files/photos")
    assert collection is not None
    item = core.item(collection, "a.txt")
    assert item is not None
    assert core.body(item).inline == b"small"
    assert core.props(item) == {"{DAV:}displayname": "a"}


def test_names_are_told_beside_what_profiles_say(open_core: Open, streams: Streams) -> None:
    core = open_core()
    founded(core, streams)
    told = {account.id: (account.name, body) for account, body in core.names_told()}
    assert told == {account.id: (account.name, core.secret(account.number, "profile")) for account in core.accounts()}
    assert any(body for _, body in told.values())


def test_a_change_without_its_body_is_kept_as_it_is_and_told_of(open_core: Open, streams: Streams) -> None:
    core = open_core()
    number = founded(core, streams)
    small = streams.put_card(ANN, BOOK, "a.vcf")
    gone = msgspec.structs.replace(streams.put_card(ANN, BOOK, "g.vcf"), body=None)
    over = msgspec.structs.replace(streams.put_card(ANN, BOOK, "o.vcf"), body=None)
    whole = streams.put_card(ANN, BOOK, "o.vcf", text="Bell")
    large = streams.make(ANN, Kind.CONTACTS, Op.PUT, collection_id(BOOK), "l.vcf", body=b"large", blob=b"named")
    record = streams.make(ANN, Kind.CONTACTS, Op.GAP, collection_id(BOOK), props={"ghosts": f"{gone.rev},{over.rev}"})
    made = [small, gone, over, whole, large, record]
    enter(core, *made)
    for each in before_and_after(core, open_core):
        assert [(path, item.name) for path, item in each.ghost_items(number, Kind.CONTACTS)] == [(BOOK, "g.vcf")]
        found = each.bodiless(number)
        assert set(found) == {Kind.CONTACTS}
        assert found[Kind.CONTACTS].revs == [gone.rev, over.rev]
        assert found[Kind.CONTACTS].records == [record.props]
        collection = each.collection(number, BOOK)
        assert collection is not None
        items = {item.name: item for item in each.items(collection)}
        assert items["g.vcf"].digest == gone.digest and each.body(items["g.vcf"]).inline is None
        assert {name: each.has_body(item.journal) for name, item in items.items()} == {
            "a.vcf": True, "g.vcf": False, "l.vcf": True, "o.vcf": True,
        }  # fmt: skip
        assert each.has_body(10**6), "what is not there is damage, and no ghost"
