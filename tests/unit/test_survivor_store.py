"""The store of a salvage: what is put is given, once, whatever disk it lies on and however it was interrupted."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import apsw
import msgspec
import pytest

from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.change import Change, Op, canonical_props
from safehold.model.errors import Damaged, OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.survivors import Aside, Finds, KnownItem, Loose, Proof, Survivor, Survivors, Witnessed
from safehold.store import survivors as module
from safehold.store.survivors import STORE_NAME, SurvivorStore
from tests.support.changes import Streams, account_id, card, collection_id

A, B = account_id(1), account_id(2)
KEY = (A, Kind.CONTACTS)
BOOK = collection_id("contacts/default")


@pytest.fixture(params=["real", "simulated"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SurvivorStore]:
    disk = SimDisk() if request.param == "simulated" else None
    with SurvivorStore.open("/salvage" if disk else str(tmp_path / "salvage"), disk=disk, create=True) as made:
        yield made


def some_changes() -> list[Change]:
    streams = Streams()
    streams.make(A, Kind.CONTACTS, Op.MKCOL, BOOK, "contacts/default", props={"type": "addressbook"})
    for n in range(4):
        streams.make(A, Kind.CONTACTS, Op.PUT, BOOK, f"{n}.vcf", body=card(str(n)), media="text/vcard")
    streams.make(A, Kind.CONTACTS, Op.DELETE, BOOK, "2.vcf")
    return streams.made


def survivor(change: Change, proof: Proof = Proof.CHAIN, source: int = 1) -> Survivor:
    return Survivor(change, proof, source, f"page {change.rev}", 7)


def bare(change: Change) -> Change:
    return msgspec.structs.replace(change, body=None)


def changes(store: Survivors, proof: Proof = Proof.CHAIN) -> list[Change]:
    return [one.change for one in store.changes(KEY, proof)]


def loose(name: str, body: bytes | None, path: str = "") -> Loose:
    digest = sha256(body or b"elsewhere").digest()
    return Loose("anna", Kind.CONTACTS, "friends", name, "text/vcard", digest, 9, None, body, path, 1, "card 3")


def put_all(finds: Finds) -> None:
    source = finds.source("/old/core.db", "core", 4096)
    finds.problem(source, "12 pages whose checksum does not hold")
    for change in some_changes():
        finds.survivor(survivor(change, source=source))
    finds.known(KnownItem(A, Kind.CONTACTS, BOOK, "9.vcf", 9, b"d" * 32, 5, "text/vcard", 3, source, "page 8"))
    finds.loose(loose("8.vcf", card("8")))
    finds.witness(Witnessed(A, Kind.CONTACTS, Head(12, b"h" * 32), 5, "seal", source))
    finds.aside(Aside(source, "page 3", "its digest does not hold", "body", b"torn", A, Kind.CONTACTS, "x"))
    finds.account(A, "anna")
    finds.body(sha256(b"alone").digest(), b"alone", source)
    finds.blob(b"n" * 32, "/old/blobs/n", 70_000, source)


def test_changes_are_given_by_rev_as_they_were_put(store: SurvivorStore) -> None:
    made = some_changes()
    for change in reversed(made):
        store.survivor(survivor(change))
    assert changes(store) == made
    assert list(store.changes(KEY, Proof.PAGE)) == []
    assert next(store.changes(KEY, Proof.CHAIN)) == survivor(made[0])


def test_putting_twice_changes_nothing(store: SurvivorStore) -> None:
    put_all(store)
    state = store.state()
    assert state
    put_all(store)
    assert store.state() == state
    assert len(changes(store)) == len(some_changes())
    assert len(list(store.asides())) == len(list(store.loose_items())) == 1


def test_a_body_found_elsewhere_completes_a_change(store: SurvivorStore) -> None:
    put = some_changes()[1]
    store.survivor(survivor(bare(put)))
    assert changes(store)[0].body is None
    assert put.body is not None
    store.body(put.digest, put.body, 2)
    assert changes(store) == [put]
    assert store.body_of(put.digest) == put.body
    assert store.body_of(b"?" * 32) is None


def test_a_body_under_a_digest_that_is_not_its_own_is_a_mistake(store: SurvivorStore) -> None:
    with pytest.raises(AssertionError):
        store.body(b"?" * 32, b"text", 1)


def test_a_record_found_with_more_replaces_the_poorer_one(store: SurvivorStore) -> None:
    made = some_changes()[0]
    assert made.props is not None
    page = msgspec.structs.replace(made, prev=b"", props=None)
    store.survivor(survivor(page, Proof.PAGE))
    store.survivor(survivor(msgspec.structs.replace(made, props=None)))
    assert changes(store, Proof.PAGE) == []
    assert changes(store)[0].props is None
    store.survivor(survivor(made))
    assert changes(store) == [made]
    store.survivor(survivor(page, Proof.PAGE))
    assert changes(store) == [made]
    assert changes(store, Proof.PAGE) == []


def test_two_histories_are_both_given(store: SurvivorStore) -> None:
    one, other = Streams(timeline=1), Streams(timeline=2)
    for streams in (one, other):
        streams.make(A, Kind.CONTACTS, Op.PUT, BOOK, "a.vcf", body=card(str(streams.timeline)))
    for change in one.made + other.made:
        store.survivor(survivor(change))
    assert sorted(change.timeline for change in changes(store)) == [1, 2]


def test_what_else_is_put_is_given(store: SurvivorStore) -> None:
    put_all(store)
    (source,) = store.sources()
    assert source.path == "/old/core.db"
    assert source.problems == ("12 pages whose checksum does not hold",)
    assert [item.name for item in store.known_items(KEY)] == ["9.vcf"]
    assert next(store.known_items(KEY)).kind is Kind.CONTACTS
    assert [found.head.rev for found in store.witnesses(KEY)] == [12]
    assert list(store.loose_items()) == [loose("8.vcf", card("8"))]
    assert [found.data for found in store.asides()] == [b"torn"]
    assert store.accounts() == {A: "anna"}
    assert store.blob_path(b"n" * 32) == "/old/blobs/n"
    assert store.blob_path(b"?" * 32) is None
    assert list(store.keys()) == [KEY]


def test_a_loose_item_that_lies_in_a_file_has_no_body_here(store: SurvivorStore) -> None:
    store.body(sha256(b"elsewhere").digest(), b"elsewhere", 1)
    store.loose(loose("a.vcf", None, "/photos/a"))
    assert [item.body for item in store.loose_items()] == [None]


def test_the_latest_time_of_a_witnessed_head_counts(store: SurvivorStore) -> None:
    head = Head(3, b"h" * 32)
    for at in (None, 5, 9, 7, None):
        store.witness(Witnessed(A, Kind.CONTACTS, head, at, "token", 1))
    assert [found.at for found in store.witnesses(KEY)] == [9]


def test_nothing_of_an_erased_account_is_given(store: SurvivorStore) -> None:
    put_all(store)
    store.account(B, "bert")
    store.erased(A)
    assert store.erased_accounts() == {A}
    assert list(store.keys()) == []
    assert changes(store) == []
    assert list(store.known_items(KEY)) == []
    assert list(store.witnesses(KEY)) == []
    assert store.accounts() == {B: "bert"}
    assert [(found.data, found.name) for found in store.asides()] == [(b"", "")]


def test_streams_come_in_restore_order(store: SurvivorStore) -> None:
    for account, kind in itertools.product((B, A), (Kind.PHOTOS, Kind.IDENTITY)):
        store.witness(Witnessed(account, kind, Head(1, b"h" * 32), None, "seal", 1))
    first, last = sorted((A, B))
    assert list(store.keys()) == [
        (first, Kind.IDENTITY),
        (last, Kind.IDENTITY),
        (first, Kind.PHOTOS),
        (last, Kind.PHOTOS),
    ]


def test_it_can_be_read_while_more_is_put(store: SurvivorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_PUTS", 2)
    made = some_changes()
    for change in made:
        store.survivor(survivor(change))
    for count, one in enumerate(store.changes(KEY, Proof.CHAIN)):
        store.known(KnownItem(A, Kind.CONTACTS, BOOK, one.change.name, count, b"", 0, "", 0, 1, ""))
    assert len(list(store.known_items(KEY))) == len(made)


def test_it_can_be_moved_with_the_bodies_that_lie_in_it(tmp_path: Path) -> None:
    def put(folder: Path) -> bytes:
        with SurvivorStore.open(str(folder), create=True) as store:
            put_all(store)
            store.blob(b"m" * 32, f"{folder}/bodies/ab/abc", 70_000, 1)
            store.loose(loose("big.vcf", None, f"{folder}/bodies/cd/cde"))
            return store.state()

    def places(store: SurvivorStore) -> tuple[str | None, str | None, list[str]]:
        return store.blob_path(b"m" * 32), store.blob_path(b"n" * 32), [item.path for item in store.loose_items()]

    made, moved = tmp_path / "made", tmp_path / "moved"
    state = put(made)
    made.rename(moved)
    assert put(tmp_path / "other") == state, "where a salvage lies says nothing of what it holds"
    with SurvivorStore.open(str(moved)) as store:
        assert places(store) == (f"{moved}/bodies/ab/abc", "/old/blobs/n", ["", f"{moved}/bodies/cd/cde"])
        assert put(moved) == state
        assert store.forget_erased([b"m" * 32]) == [f"{moved}/bodies/ab/abc"]


def test_it_is_there_when_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "salvage"
    with SurvivorStore.open(str(folder), create=True) as store:
        put_all(store)
        state = store.state()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with SurvivorStore.open(str(folder), read_only=True) as store:
        assert store.state() == state
        assert changes(store) == some_changes()
        with SurvivorStore.open(str(folder)) as writer:
            put_all(writer)
            assert writer.state() == state
            writer.erased(B)
            writer.commit()
        assert store.erased_accounts() == {B}


def test_what_is_no_salvage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="there is no salvage"):
        SurvivorStore.open(str(tmp_path))
    other = apsw.Connection(str(tmp_path / STORE_NAME))
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(OperatorError, match="not a salvage"):
        SurvivorStore.open(str(tmp_path), create=True)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    with SurvivorStore.open(str(tmp_path), create=True) as store:
        put_all(store)
    path = tmp_path / STORE_NAME
    data = bytearray(path.read_bytes())
    place = data.index(b"12 pages whose checksum")
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged), SurvivorStore.open(str(tmp_path)) as store:
        store.sources()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_without_power_at_any_write_point_and_run_again_it_holds_the_same(
    seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_PUTS", 3)

    def fill(disk: SimDisk) -> None:
        with SurvivorStore.open("/salvage", disk=disk, create=True) as store:
            put_all(store)

    for point in itertools.count():
        disk = SimDisk()
        left = [point]

        def cut(_operation: str, _path: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        disk.on_write_point = cut
        # SQLite may report an error of its own on the way out; what matters is that nothing was written after it.
        with suppress(BaseException):
            fill(disk)
        if left[0] >= 0:
            break
        disk.on_write_point = None
        after = disk.crash(seed)
        fill(after)
        with SurvivorStore.open("/salvage", disk=after) as store:
            assert changes(store) == some_changes(), f"cut at {point}"
            assert len(list(store.asides())) == len(list(store.loose_items())) == 1, f"cut at {point}"
            assert store.accounts() == {A: "anna"}, f"cut at {point}"
    assert point > 10


def test_properties_are_kept(store: SurvivorStore) -> None:
    made = some_changes()[0]
    store.survivor(survivor(made))
    assert changes(store)[0].props == canonical_props({"type": "addressbook"})
