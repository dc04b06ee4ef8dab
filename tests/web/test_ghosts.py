"""A ghost over the DAV edge: listed with its ETag, alone in failing, made whole by a write, deleted by a word only.

What a recovery enters, a change without its body, is entered here by hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest

from safehold.lab.clients.client import Client
from safehold.lab.clients.tables import CLIENTS, Table
from safehold.lab.wire import Answer as WireAnswer
from safehold.lab.wire import Request
from safehold.model.change import NO_DIGEST, Change, Op, hashed
from safehold.model.commands import AcceptLoss, DropGhosts, NoteGhosts, Undo
from safehold.model.errors import Held, OperatorError
from safehold.model.gaps import ghosts_in
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, CoreStore
from safehold.recovery.after import AccountPart, AfterReport
from safehold.recovery.report import KindCount, Loss
from safehold.web.app import make_app
from tests.support.asgi import Device, event, tag_of, vcard
from tests.support.edge import Edge
from tests.web.test_account_state import forms, post

BOOK = "/dav/anna/contacts/default/"
CALENDAR = "/dav/anna/calendars/default/"


def ghost(device: Device, path: str, name: str, body: bytes) -> None:
    """As a recovery enters it: its change, without its body."""
    engine = device.gate.engine
    account = engine.core.account_named(device.user)
    assert account is not None
    collection = engine.core.collection(account.number, path)
    assert collection is not None
    kind, media = collection.kind, media_of(path)
    head = engine.core.head(account.number, kind)
    rev = head.rev + 1
    change = hashed(
        Change(
            account.id, kind, 1, rev, rev, device.gate.clock.now(), Op.PUT, collection.id, name, media,
            sha256(body).digest(), len(body), NO_DIGEST, "device:x", head.hash, NO_DIGEST,
        )
    )  # fmt: skip
    aside(device, lambda core: core.apply(change, 1))


def aside(device: Device, work: Callable[[CoreStore], object]) -> None:
    """What a recovery does to the core while the writer waits."""
    engine = device.gate.engine
    engine.pause(OperatorError("a recovery is at work"))
    engine.core.begin()
    work(engine.core)
    engine.core.commit()
    assert engine.try_resume()


def media_of(path: str) -> str:
    return "text/calendar" if "calendars" in path else "text/vcard"


def reads(device: Device) -> CoreReads:
    return device.gate.reads


def account_id(device: Device) -> bytes:
    account = reads(device).account_named(device.user)
    assert account is not None
    return account.id


@pytest.fixture
def book(device: Device) -> Device:
    """Two cards, and between them a ghost."""
    assert device.put(BOOK + "a.vcf", vcard("a")).status == 201
    ghost(device, "contacts/default", "g.vcf", vcard("g"))
    assert device.put(BOOK + "b.vcf", vcard("b")).status == 201
    return device


def test_a_ghost_is_listed_with_its_tag_everywhere(book: Device) -> None:
    listed = book.propfind(BOOK, "D:getetag", "D:getcontenttype", depth="1")
    assert listed.text(BOOK + "g.vcf", "D:getetag") == tag_of(vcard("g"))
    assert book.sync(BOOK).text(BOOK + "g.vcf", "D:getetag") == tag_of(vcard("g"))
    assert book.ask("HEAD", BOOK + "g.vcf").headers["etag"] == tag_of(vcard("g"))


def test_in_a_multiget_it_fails_alone_and_a_get_of_it_is_503(book: Device) -> None:
    answer = book.multiget(BOOK, [BOOK + "a.vcf", BOOK + "g.vcf", BOOK + "b.vcf", BOOK + "never.vcf"])
    found = {r["href"].rpartition("/")[2]: r["status"] for r in answer.listed}
    assert found == {"a.vcf": None, "g.vcf": 503, "b.vcf": None, "never.vcf": 404}
    assert answer.text(BOOK + "b.vcf", "A:address-data").encode() == vcard("b")
    got = book.ask("GET", BOOK + "g.vcf")
    assert got.status == 503 and int(got.headers["retry-after"]) > 0


def test_a_body_that_is_not_restored_yet_still_fails_the_whole_multiget(
    book: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object) -> bytes:
        raise Held("not yet")

    monkeypatch.setattr("safehold.web.dav_entries.body_of", held)
    assert book.multiget(BOOK, [BOOK + "a.vcf", BOOK + "g.vcf"]).status == 503


def test_a_sync_that_asks_for_bodies_fails_whole(book: Device) -> None:
    """No client is known that asks so; what one would make of a member without its data nobody knows."""
    answer = book.sync(BOOK, prop="<D:getetag/><A:address-data/>")
    assert answer.status == 503


def query(filter_: str, prop: str = "<D:getetag/>") -> str:
    return (
        '<A:addressbook-query xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">'
        f"<D:prop>{prop}</D:prop><A:filter>{filter_}</A:filter></A:addressbook-query>"
    )


def test_a_query_lists_it_whatever_it_asks_for(book: Device) -> None:
    none = '<A:prop-filter name="FN"><A:text-match>zzz</A:text-match></A:prop-filter>'
    answer = book.ask("REPORT", BOOK, query(none), {"depth": "1"})
    assert [r["href"] for r in answer.listed] == [BOOK + "g.vcf"]
    assert book.ask("REPORT", BOOK, query(none, "<A:address-data/>"), {"depth": "1"}).status == 503


def test_a_query_by_time_and_free_busy_leave_nothing_out(device: Device) -> None:
    body = event("g")
    ghost(device, "calendars/default", "g.ics", body)
    asked = (
        '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop>'
        '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        '<C:time-range start="19900101T000000Z" end="19900102T000000Z"/></C:comp-filter></C:comp-filter></C:filter>'
        "</C:calendar-query>"
    )
    answer = device.ask("REPORT", CALENDAR, asked, {"depth": "1"})
    assert answer.text(CALENDAR + "g.ics", "D:getetag") == tag_of(body)
    busy = (
        '<C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav">'
        '<C:time-range start="19900101T000000Z" end="19900102T000000Z"/></C:free-busy-query>'
    )
    assert device.ask("REPORT", CALENDAR, busy, {"depth": "1"}).status == 503


def test_its_tag_holds_as_a_condition_and_a_write_makes_it_whole(book: Device) -> None:
    assert book.put(BOOK + "g.vcf", vcard("g", "new"), **{"if-match": '"other"'}).status == 412
    assert book.put(BOOK + "g.vcf", vcard("g", "new"), **{"if-match": tag_of(vcard("g"))}).status == 204
    assert book.ask("GET", BOOK + "g.vcf").body == vcard("g", "new")


def test_the_very_same_bytes_make_it_whole_and_every_device_is_told(book: Device) -> None:
    token = book.sync(BOOK).token
    assert book.put(BOOK + "g.vcf", vcard("g"), **{"if-match": tag_of(vcard("g"))}).status == 204
    assert book.ask("GET", BOOK + "g.vcf").body == vcard("g")
    assert [r["href"] for r in book.sync(BOOK, token).listed] == [BOOK + "g.vcf"]
    token = book.sync(BOOK).token
    book.put(BOOK + "g.vcf", vcard("g"))
    assert book.sync(BOOK).token == token, "the same again changes nothing any more"


def test_a_device_may_delete_it_and_then_it_is_gone(book: Device) -> None:
    assert book.ask("DELETE", BOOK + "g.vcf", headers={"if-match": tag_of(vcard("g"))}).status == 204
    assert book.ask("GET", BOOK + "g.vcf").status == 404


def test_it_is_not_copied_as_if_it_were_whole(book: Device) -> None:
    answer = book.ask("COPY", BOOK + "g.vcf", headers={"destination": BOOK + "h.vcf"})
    assert answer.status == 503
    assert book.ask("GET", BOOK + "h.vcf").status == 404


def test_that_it_is_gone_is_recorded_once_in_its_own_stream(book: Device) -> None:
    engine, id_ = book.gate.engine, account_id(book)
    assert engine.execute(NoteGhosts(account=id_, actor="recovery")).changed
    account = reads(book).account_by_id(id_)
    assert account is not None
    (found,) = reads(book).bodiless(account.number).values()
    assert set(found.revs) == set().union(*map(ghosts_in, found.records))
    assert not engine.execute(NoteGhosts(account=id_, actor="recovery")).changed
    assert reads(book).held(account.number, Kind.CONTACTS) is None
    assert book.sync(BOOK).text(BOOK + "g.vcf", "D:getetag") == tag_of(vcard("g"))


def test_large_bodies_are_recorded_where_a_recovery_names_them(device: Device) -> None:
    sea = b"jpeg" * 50_000
    assert device.put("/dav/anna/files/photos/sea.jpg", sea, "image/jpeg").status == 201
    assert device.put("/dav/anna/files/photos/small.jpg", b"jpeg", "image/jpeg").status == 201
    account = reads(device).account_named("anna")
    assert account is not None
    engine, revs = device.gate.engine, {Kind.PHOTOS: (1, 2, 3, 99)}
    assert not engine.execute(NoteGhosts(account=account.id)).changed, "the core cannot know"
    assert engine.execute(NoteGhosts(account=account.id, large=revs)).changed
    assert not engine.execute(NoteGhosts(account=account.id, large=revs)).changed
    (found,) = reads(device).bodiless(account.number).values()
    assert [ghosts_in(props) for props in found.records] == [{2}], "that which is a blob, and no other rev"
    assert device.ask("GET", "/dav/anna/files/photos/sea.jpg").body == sea, "one that turns up is served"


def test_a_stream_that_is_held_is_recorded_with_its_loss(book: Device) -> None:
    engine, id_ = book.gate.engine, account_id(book)
    aside(book, lambda core: core.hold(id_, Kind.CONTACTS, "revisions 7 of contacts are in no vault"))
    assert not engine.execute(NoteGhosts(account=id_, actor="recovery")).changed
    assert engine.execute(AcceptLoss(account=id_, kind=Kind.CONTACTS)).changed
    assert not engine.execute(NoteGhosts(account=id_, actor="recovery")).changed, "it came with the word"


def test_the_persons_word_deletes_ghosts_and_nothing_else(book: Device) -> None:
    token = book.sync(BOOK).token
    assert book.gate.engine.execute(DropGhosts(account=account_id(book), actor="person")).changed
    rows = {r["href"].rpartition("/")[2]: r["status"] for r in book.sync(BOOK, token).listed}
    assert rows == {"g.vcf": 404}
    assert not book.gate.engine.execute(DropGhosts(account=account_id(book), actor="person")).changed


def test_a_page_of_its_history_tells_that_it_was_there(book: Device) -> None:
    account = reads(book).account_named("anna")
    assert account is not None
    versions = list(reads(book).history(account.number, path="contacts/default", name="g.vcf"))
    assert [version.op for version in versions] == [Op.PUT]
    assert reads(book).version_body(versions[0].journal).inline is None


def test_what_is_gone_does_not_hinder_an_undo_of_the_rest(book: Device) -> None:
    before = {Kind.CONTACTS: 4}
    for name in ("a.vcf", "g.vcf"):
        assert book.ask("DELETE", BOOK + name).status == 204
    undo = Undo(account=account_id(book), actor="undo", revs=before, path="contacts/default", deleted_only=True)
    lines = {line.name: line.action for line in book.gate.engine.execute(undo).undone}
    assert lines == {"a.vcf": "added", "g.vcf": "left"}
    assert book.ask("GET", BOOK + "a.vcf").status == 200 and book.ask("GET", BOOK + "g.vcf").status == 404
    assert book.put(BOOK + "a.vcf", vcard("a", "new")).status == 204
    undo = Undo(account=account_id(book), actor="undo", revs=before, kind=Kind.CONTACTS, confirmed=True)
    assert {line.name: line.action for line in book.gate.engine.execute(undo).undone}["g.vcf"] == "left"


# -- the person's own page


def report_of(device: Device) -> AfterReport:
    lost = [Loss("anna", Kind.CONTACTS, "contacts/default", "g.vcf", [3])]
    part = AccountPart("anna", account_id(device).hex(), {Kind.CONTACTS: KindCount(3, 2, 0, 1)}, lost)
    return AfterReport(
        1, 0, "run", 2, True, 2, 1, 14, 9, 8, {}, [part], False, 0.0, 1.0, 1.0, [], 3, [], [], []
    )  # fmt: skip


def test_its_owner_sees_it_by_name_and_can_say_that_it_is_gone(book: Device) -> None:
    book.gate.after_report = report_of(book)
    edge = Edge(book.gate, make_app(book.gate))
    told = edge.ask("GET", "/api/v1/state", user=("anna", "secret")).json
    assert [(one["collection"], one["name"]) for one in told["ghosts"]] == [("contacts/default", "g.vcf")]
    assert told["ghost_count"] == 1
    assert edge.ask("GET", "/api/v1/state", user=("bob", "secret")).json["ghosts"] == []
    page = edge.ask("GET", "/account/state?lang=es", user=("anna", "secret")).text
    assert "Solo queda el nombre" in page and "contacts/default/g.vcf" in page
    (fields,) = forms(edge, "/account/ghosts")
    assert post(edge, "/account/ghosts", {}).status in (400, 403)
    assert book.ask("GET", BOOK + "g.vcf").status == 503
    assert post(edge, "/account/ghosts", fields).status == 303
    assert book.ask("GET", BOOK + "g.vcf").status == 404
    assert edge.ask("GET", "/api/v1/state", user=("anna", "secret")).json["ghosts"] == []


# -- real clients' tables


@pytest.mark.parametrize("table", CLIENTS, ids=lambda table: table.client)
def test_no_client_deletes_for_a_ghost(device: Device, table: Table) -> None:
    """One that has the item keeps it, one that is new is given the others; nobody removes anything."""
    removed: list[tuple[str, str]] = []

    def client(name: str, seed: int) -> Client:
        return Client(
            name, "anna", table, random.Random(seed), device.gate.clock,
            on_removed=lambda _, path, item, why: removed.append((item, why)),
            on_wish=lambda *_: None,
        )  # fmt: skip

    def send(request: Request) -> WireAnswer:
        answer = device.ask(request.method, request.path, request.body, request.headers)
        return WireAnswer(answer.status, answer.headers, answer.body)

    bodies = {"contacts/default": vcard("g"), "calendars/default": event("g")}
    names = {"contacts/default": "g.vcf", "calendars/default": "g.ics"}
    old, new = client("old", 1), client("new", 2)
    for path, body in bodies.items():
        device.put(f"/dav/anna/{path}/{names[path]}", body, media_of(path))
        device.put(f"/dav/anna/{path}/x{names[path]}", body.replace(b"UID:g", b"UID:x"), media_of(path))
    old.sync(send)
    had = {path: set(kept.items) for path, kept in old.kept.items()}
    assert any(had.values()) or table.kinds == ("folder",)
    for path, body in bodies.items():
        device.put(f"/dav/anna/{path}/{names[path]}", body.replace(b"Anna", b"Bell"), media_of(path))
        ghost(device, path, names[path], body)  # with the tag that a device has seen
    device.gate.engine.execute(NoteGhosts(account=account_id(device), actor="recovery"))
    for _ in range(3):
        for one in (old, new):
            device.gate.clock.advance(7200)
            one.sync(send)
    assert removed == []
    assert {path: set(kept.items) for path, kept in old.kept.items()} == had
