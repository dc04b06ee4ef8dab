"""The intake: its bounds, its order, when it is entered, and what becomes of it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.disaster.house import House
from safehold.disaster.rebuilding import recover
from safehold.formats.intake import DELETE, PREFIX, PUT, Waiting, item_name, read_waiting, waiting_props
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Op, canonical_props, parse_props
from safehold.model.commands import AcceptLoss, Body, DeleteItem, EraseAccount, PutItem, Tags, TakeLock
from safehold.model.errors import Damaged, Held, Locked, OverQuota
from safehold.model.guards import OPEN
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.locks import Scope
from safehold.ports.core import EMPTY_INTAKE, INTAKE, IntakeFigures
from safehold.service import engine, intake
from safehold.service.identity import touches_credentials
from safehold.service.intake import held_for_intake
from safehold.service.notices import INTAKE_LOST, notices_of
from safehold.service.transfer import export_from
from safehold.store.sqlite.core import SqliteCore
from tests.support.absent import bring_back, hold, take_away
from tests.support.changes import Streams, account_id, collection_id

BOOK = "contacts/default"
MISSING = "revisions 2 to 3 of contacts are in no vault"


@pytest.fixture
def house() -> House:
    return House.new(seed="intake")


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def body(data: bytes) -> Body:
    return Body(sha256(data).digest(), len(data), inline=data)


def send(house: House, name: str, note: str = "", path: str = BOOK) -> bool:
    """A PUT as the edge sends it; whether it waits."""
    data = card(name.removesuffix(".vcf"), note)
    command = PutItem(
        account=house.account().id,
        actor="device:phone",
        path=path,
        name=name,
        body=body(data),
        media="text/vcard",
        uid=name.removesuffix(".vcf"),
        guard=OPEN,
        intake=True,
    )
    return house.engine.execute(command).taken


def figures(house: House) -> IntakeFigures:
    return house.reads.intake(house.account().number)


def names(house: House, path: str = BOOK) -> list[str]:
    collection = house.reads.collection(house.account().number, path)
    return [] if collection is None else [item.name for item in house.reads.items(collection)]


# -- the format ------------------------------------------------------------------------------------------------

tags = (
    st.none()
    | st.just(Tags(any=True))
    | st.lists(st.binary(min_size=32, max_size=32)).map(lambda digests: Tags(digests=tuple(digests)))
)


@given(
    method=st.sampled_from([PUT, DELETE]),
    path=st.text(min_size=1),
    name=st.text(min_size=1),
    component=st.none() | st.sampled_from(["VEVENT", "VTODO"]),
    if_match=tags,
    if_none_match=tags,
)
def test_what_waits_is_read_as_it_was_written(**fields: object) -> None:
    waiting = Waiting(**fields)  # type: ignore[arg-type]
    assert read_waiting(parse_props(canonical_props(waiting_props(waiting)))) == waiting


@pytest.mark.parametrize(
    "props",
    [
        {},
        {"method": "PATCH", "path": "a", "name": "b"},
        {"method": "PUT", "name": "b"},
        {"method": "PUT", "path": "a"},
        {"method": "PUT", "path": "a", "name": "b", "if-match": "no tag"},
        {"method": "PUT", "path": "a", "name": "b", "if-none-match": "00"},
    ],
)
def test_what_is_not_known_is_damage(props: dict[str, str]) -> None:
    with pytest.raises(Damaged):
        read_waiting(props)


def test_names_sort_as_the_writes_came() -> None:
    revs = [1, 9, 10, 255, 256, 1 << 40]
    assert sorted(map(item_name, revs)) == [item_name(rev) for rev in revs]


def test_the_worked_example_of_the_page() -> None:
    data = canonical_props(waiting_props(Waiting(method=PUT, path=BOOK, name="ann.vcf", if_none_match=Tags(any=True))))
    page = (Path(__file__).parents[2] / "docs/formats/intake.md").read_text()
    assert f"{len(data)} bytes, SHA-256: {sha256(data).hexdigest()}" in page


# -- the figures -----------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_items_however_they_entered() -> None:
    ann, identity = account_id(1), collection_id("identity")
    streams = Streams()
    streams.make(ann, Kind.IDENTITY, Op.MKCOL, identity, "identity", props={"type": "identity"})
    for name, data, blob in (("a", b"123", None), ("b", b"12345", b"blob"), ("c", b"1", None), ("d", b"", None)):
        streams.make(ann, Kind.IDENTITY, Op.PUT, identity, PREFIX + name, body=data, blob=blob)
    streams.make(ann, Kind.IDENTITY, Op.PUT, identity, PREFIX + "a", body=b"1234")
    streams.make(ann, Kind.IDENTITY, Op.DELETE, identity, PREFIX + "c")
    streams.make(ann, Kind.IDENTITY, Op.DELETE, identity, PREFIX + "never")
    streams.make(ann, Kind.IDENTITY, Op.PUT, identity, "profile", body=b"{}")
    one, other = (new_core() for _ in range(2))
    one.begin()
    for change in streams.made:
        one.apply(change, 1)
    one.commit()
    other.begin()
    maker = other.stream_maker(other.account_number(ann), Kind.IDENTITY, None, 1)
    for change in streams.made:
        maker.add(change, 1)
    other.enter_packed(maker.packed())
    other.commit()
    assert one.intakes() == other.intakes() == {ann: IntakeFigures(3, 4, 5)}
    for core in (one, other):
        core.begin()
        core.hold(ann, Kind.NOTES, None)
        core.hold(ann, Kind.CONTACTS, None)
        assert [core.held(1, kind) for kind in (Kind.NOTES, Kind.CONTACTS, Kind.TASKS)] == [INTAKE, INTAKE, None]
    gone = [streams.make(ann, Kind.IDENTITY, Op.DELETE, identity, PREFIX + name) for name in "abd"]
    for core in (one, other):
        for change in gone:
            core.apply(change, 2)
        assert core.intakes() == {ann: EMPTY_INTAKE}, "streams are still held for it"
        core.release(ann, Kind.CONTACTS)
        assert core.intakes() == {ann: EMPTY_INTAKE}
        core.release(ann, Kind.NOTES)
        core.commit()
        assert core.intakes() == {}
        assert core.intake(1) == EMPTY_INTAKE


def new_core() -> SqliteCore:
    disk = SimDisk()
    disk.make_folders("/core")
    return SqliteCore.open("/core/core.db", disk=disk, create=True)


# -- bounds ----------------------------------------------------------------------------------------------------


def test_so_many_wait_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_ITEMS", 3)
    away = take_away(house, Kind.CONTACTS)
    for number in range(3):
        assert send(house, f"{number}.vcf")
    with pytest.raises(Held) as caught:
        send(house, "3.vcf")
    assert caught.value.retry_after_seconds == intake.FULL_RETRY_SECONDS
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert names(house) == ["0.vcf", "1.vcf", "2.vcf"]


def test_so_many_bytes_wait_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    take_away(house, Kind.CONTACTS)
    take_away(house, Kind.NOTES)
    monkeypatch.setattr(intake, "MAX_INLINE_BYTES", 3 * len(card("0")))
    monkeypatch.setattr(intake, "MAX_BLOB_BYTES", 150_000)
    for number in range(3):
        assert send(house, f"{number}.vcf")
    with pytest.raises(Held):
        send(house, "3.vcf")
    assert house.request("PUT", "/dav/ann/files/notes/a.bin", bytes(100_000)).status == 204
    assert house.request("PUT", "/dav/ann/files/notes/b.bin", bytes(100_000)).status == 503
    assert figures(house) == IntakeFigures(4, 3 * len(card("0")), 100_000)
    command = DeleteItem(account=house.account().id, path=BOOK, name="0.vcf", guard=OPEN, intake=True)
    assert house.engine.execute(command).taken, "what takes no room is taken all the same"


def test_what_waits_counts_for_the_quota_and_is_entered_past_it() -> None:
    house = House.new(seed="quota", quota_bytes=2 * len(card("a")))
    assert not send(house, "a.vcf")
    away = take_away(house, Kind.CONTACTS)
    assert send(house, "b.vcf")
    assert send(house, "c.vcf")
    with pytest.raises(OverQuota):
        send(house, "d.vcf")
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert names(house) == ["a.vcf", "b.vcf", "c.vcf"]


# -- what is judged at the door --------------------------------------------------------------------------------


def test_only_what_asks_for_it_is_taken(house: House) -> None:
    """An import and the operator's commands are told to come again."""
    take_away(house, Kind.CONTACTS)
    for command in (
        PutItem(account=house.account().id, path=BOOK, name="a.vcf", body=body(card("a")), media="text/vcard", uid="a"),
        DeleteItem(account=house.account().id, path=BOOK, name="a.vcf"),
    ):
        with pytest.raises(Held):
            house.engine.execute(command)
    assert figures(house) == EMPTY_INTAKE


def test_a_lock_is_honoured(house: House) -> None:
    lock = TakeLock(
        account=house.account().id,
        path="files/notes/a.txt",
        scope=Scope.EXCLUSIVE,
        deep=False,
        seconds=600,
        media="text/plain",
        guard=OPEN,
    )
    token = house.engine.execute(lock).locks[0].token
    take_away(house, Kind.NOTES)
    assert house.request("PUT", "/dav/ann/files/notes/a.txt", b"a").status == 423
    with pytest.raises(Locked):
        house.engine.execute(
            DeleteItem(
                account=house.account().id,
                path="files/notes",
                name="a.txt",
                if_match=Tags(digests=(bytes(32),)),
                guard=OPEN,
                intake=True,
            )
        )
    answer = house.request("PUT", "/dav/ann/files/notes/a.txt", b"a", {"If": f"(<{token}>)"})
    assert answer.status == 204
    assert figures(house).items == 1


def test_nobodys_password_is_forgotten_over_it(house: House) -> None:
    take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")
    assert not touches_credentials(house.reads.changes(limit=1 << 20)[-1][2])


# -- entering --------------------------------------------------------------------------------------------------


def test_it_is_entered_in_portions_and_released_with_the_last(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PORTION_ITEMS", 2)
    away = take_away(house, Kind.CONTACTS)
    for number in range(5):
        send(house, "a.vcf", str(number))
    frames: list[int] = []
    seen: list[str | None] = []

    def look(changes: object) -> None:
        frames.append(len(changes))  # type: ignore[arg-type]
        seen.append(house.reads.held(house.account().number, Kind.CONTACTS))

    house.on_committed = look
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert frames == [4, 4, 2]
    assert seen == [INTAKE, INTAKE, None]
    assert house.request("GET", "/dav/ann/contacts/default/a.vcf").body == card("a", "4")


def test_each_is_applied_and_removed_in_one_frame(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")
    send(house, "b.vcf")
    bring_back(house, house.account(), Kind.CONTACTS, away)
    found = [(frame, c) for _, frame, c in house.reads.changes(limit=1 << 20)]
    for name in ("a.vcf", "b.vcf"):
        (entered,) = [frame for frame, c in found if c.kind is Kind.CONTACTS and c.name == name]
        removed = [frame for frame, c in found if c.name.startswith(PREFIX) and c.op is Op.DELETE]
        assert set(removed) == {entered}
    assert [c.op for _, c in found if c.name.startswith(PREFIX)] == [Op.PUT, Op.PUT, Op.DELETE, Op.DELETE]


def test_a_stream_whose_intake_cannot_be_entered_stays_held(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")
    house.disk.fail("write", path="/near/log", times=1000)
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert house.reads.held(house.account().number, Kind.CONTACTS) == INTAKE
    house.disk.mend()
    for _ in range(3):
        house.sim_clock.advance(60)
        house.tick()
    assert house.reads.held(house.account().number, Kind.CONTACTS) is None
    assert names(house) == ["a.vcf"]


def test_streams_that_are_here_do_not_wait_for_others(house: House) -> None:
    away = {kind: take_away(house, kind) for kind in (Kind.CONTACTS, Kind.NOTES)}
    send(house, "a.vcf")
    assert house.request("PUT", "/dav/ann/files/notes/n.txt", b"n").status == 204
    bring_back(house, house.account(), Kind.NOTES, away[Kind.NOTES])
    assert house.request("GET", "/dav/ann/files/notes/n.txt").body == b"n"
    assert held_for_intake(house.reads, house.account()) == []
    assert figures(house).items == 1
    bring_back(house, house.account(), Kind.CONTACTS, away[Kind.CONTACTS])
    assert figures(house) == EMPTY_INTAKE


def test_a_loss_that_is_accepted_lets_it_in(house: House) -> None:
    send(house, "old.vcf")
    hold(house, Kind.CONTACTS, MISSING)
    assert send(house, "a.vcf")
    outcome = house.engine.execute(AcceptLoss(account=house.account().id, kind=Kind.CONTACTS))
    assert outcome.changed
    assert house.reads.held(house.account().number, Kind.CONTACTS) is None
    assert names(house) == ["a.vcf", "old.vcf"]
    after = house.crash()
    after.boot()
    assert after.reads.held(after.account().number, Kind.CONTACTS) is None
    assert names(after) == ["a.vcf", "old.vcf"]


def test_every_start_enters_what_a_recovered_core_has_waiting(house: House) -> None:
    """A recovery from the vaults makes streams that are held for nothing, beside an intake."""
    send(house, "old.vcf")
    hold(house, Kind.CONTACTS, MISSING)
    send(house, "a.vcf")
    assert (
        house.request("PUT", "/dav/ann/contacts/default/b.vcf", card("b"), {"Content-Type": "text/vcard"}).status == 204
    )
    house.close()
    house.disk.lose("/core")
    recover(house)
    after = house.kill()
    after.boot()
    assert names(after) == ["a.vcf", "b.vcf", "old.vcf"]
    assert figures(after) == EMPTY_INTAKE
    assert all(after.reads.held(after.account().number, kind) is None for kind in DATA_KINDS)


def test_a_large_body_that_waits_comes_out_of_the_vaults(house: House) -> None:
    take_away(house, Kind.PHOTOS, reason="revisions 1 to 2 of photos are in no vault")
    data = bytes(range(256)) * 400
    assert house.request("PUT", "/dav/ann/files/photos/a.jpg", data, {"Content-Type": "image/jpeg"}).status == 204
    house.close()
    for part in ("/core", "/blobs"):
        house.disk.lose(part)
    _, result = recover(house)
    assert result.report.verified
    after = house.kill()
    after.boot()
    assert after.request("GET", "/dav/ann/files/photos/a.jpg").body == data


def test_what_cannot_be_read_is_told_and_stops_nothing(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")
    account = house.account()
    house.engine.prepare([])
    core, ledger = house.engine.core, house.engine._ledger
    ledger.begin(house.engine.log.position.frame + 1, house.clock.now())
    core.begin()
    identity = ledger.collection(account, "identity")
    assert identity is not None
    name = item_name(ledger.head(account, Kind.IDENTITY).rev + 1)
    ledger.append(account, Kind.IDENTITY, Op.PUT, identity.id, "x", name=name, body=body(b"?"), props={"method": "?"})
    frame = house.engine.log.prepare(ledger.changes)
    core.set_log_position(frame.position)
    house.engine.log.write(frame)
    core.commit()
    send(house, "b.vcf")
    bring_back(house, account, Kind.CONTACTS, away)
    assert names(house) == ["a.vcf", "b.vcf"]
    assert figures(house) == EMPTY_INTAKE
    assert [(n.what, n.name) for n in notices_of(house.reads, account)] == [(INTAKE_LOST, name)]


# -- erasing, exporting ----------------------------------------------------------------------------------------


def test_it_goes_with_its_account(house: House) -> None:
    take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")
    number = house.account().number
    house.engine.execute(EraseAccount(account=house.account().id))
    assert house.reads.intakes() == {}
    assert house.reads.intake(number) == EMPTY_INTAKE
    assert not any(PREFIX in c.name for _, _, c in house.reads.changes(limit=1 << 20))


def test_an_export_tells_of_it(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    send(house, "a.vcf")

    def problems(target: str) -> list[str]:
        report = export_from(house.account(), target, reads=house.reads, disk=house.disk, blobs=house.blobs)
        return [problem.where for problem in report.problems]

    assert problems("/one") == ["contacts", "intake"]
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert problems("/two") == []


def test_many_intakes_are_entered_a_turn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start after a disaster does not wait for all of them; but nothing of theirs is read before."""
    monkeypatch.setattr(engine, "DRAIN_ACCOUNTS", 2)
    users = ("ann", "bob", "cid", "dan", "eve")
    house = House.new(seed="many", accounts=users)
    for user in users:
        hold(house, Kind.CONTACTS, MISSING, user)
        headers = {"Content-Type": "text/vcard"}
        path = f"/dav/{user}/contacts/default/a.vcf"
        assert house.request("PUT", path, card("a"), headers, user=user).status == 204
        hold(house, Kind.CONTACTS, None, user)
    after = house.crash()
    after.boot()

    def seen() -> list[int]:
        return [after.request("GET", f"/dav/{user}/contacts/default/a.vcf", user=user).status for user in users]

    assert sorted(seen()) == [200, 200, 503, 503, 503]
    assert after.tick()
    assert sorted(seen()) == [200, 200, 200, 200, 503]
    assert after.tick()
    assert seen() == [200] * 5
