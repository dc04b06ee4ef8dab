"""What a find puts back as new changes: what the stream knows better stays as it is, and nothing comes back twice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from safehold.assembly.returning import return_found
from safehold.disaster.house import House
from safehold.lab.wire import Request
from safehold.model.change import GENESIS, Change, Op, canonical_props
from safehold.model.commands import AcceptLoss, AddScore, MakeCollection, NoteErased
from safehold.model.items import Account
from safehold.model.kinds import CollectionType, Kind
from safehold.model.stream import Head
from safehold.ports.core import Version
from safehold.ports.survivors import Finds, KnownItem, Loose, Proof, Survivor
from safehold.recovery.find import Find
from safehold.recovery.returns import Candidate, Memory, Returned, Verdict, decide, newest
from safehold.service.identity import BLOB_KEY, SYSTEM_ACCOUNT
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import Streams, collection_id
from tests.support.finds import find_in, put_pages, store_of

BOOK = collection_id("contacts/default")
PHOTO = b"\xff\xd8 the sea " * 9000
CONTACTS = Kind.CONTACTS


def card(uid: str, text: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid} {text}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


def event(uid: str, component: str = "VEVENT") -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//y//EN", f"BEGIN:{component}", f"UID:{uid}"]
    lines += ["DTSTAMP:20260101T000000Z", "DTSTART:20260102T000000Z", f"END:{component}", "END:VCALENDAR", ""]
    return "\r\n".join(lines).encode()


# -- deciding


def version(rev: int, op: Op = Op.PUT, name: str = "a.vcf", body: bytes = b"x", at: int = 0) -> Version:
    digest = sha256(body).digest() if op is Op.PUT else b""
    at = at or rev
    return Version(rev, 1, CONTACTS, rev, rev, at, op, BOOK, "contacts/default", name, "", digest, len(body), "")


def candidate(rev: int, timeline: int = 1, body: bytes = b"y", at: int | None = None, name: str = "a.vcf") -> Candidate:
    at = rev if at is None else at
    return Candidate(CONTACTS, BOOK, "", name, "", sha256(body).digest(), len(body), timeline, rev, at, b"")


def memory(*versions: Version, timelines: dict[int, int] | None = None, doubtful: str = "") -> Memory:
    newest_first = sorted(versions, key=lambda v: -v.rev)
    return Memory(newest_first, lambda journal: (timelines or {}).get(journal, 1), doubtful=doubtful)


@pytest.mark.parametrize(
    ("of", "known", "verdict"),
    [
        (candidate(5), memory(), Verdict.PUT),
        (candidate(5), memory(version(3)), Verdict.PUT),
        (candidate(5), memory(version(7)), Verdict.SKIP),
        (candidate(5, body=b"x"), memory(version(3)), Verdict.SKIP),
        (candidate(5), memory(version(7, Op.DELETE)), Verdict.SKIP),
        (candidate(5), memory(version(3), version(4, Op.DELETE)), Verdict.PUT),
        (candidate(5), memory(version(4, Op.DELETE, at=9)), Verdict.ASIDE),
        (candidate(5), memory(version(9, Op.RMCOL, "contacts/default")), Verdict.SKIP),
        (candidate(5, timeline=1), memory(version(4), timelines={4: 2}), Verdict.SKIP),
        (candidate(5, timeline=1), memory(version(4, Op.DELETE), timelines={4: 2}), Verdict.SKIP),
        (candidate(5, timeline=2), memory(version(7)), Verdict.PUT),
        (candidate(5, timeline=0), memory(version(4)), Verdict.PUT),
        (candidate(5, timeline=0, at=1), memory(version(4)), Verdict.ASIDE),
        (candidate(5, timeline=0, at=1), memory(version(4, Op.DELETE)), Verdict.ASIDE),
        (candidate(3, timeline=0), memory(version(4, Op.DELETE)), Verdict.SKIP),
        (candidate(0), memory(), Verdict.PUT),
        (candidate(0), memory(doubtful="its end is in doubt"), Verdict.ASIDE),
        (candidate(0), memory(version(2)), Verdict.ASIDE),
        (candidate(0, body=b"x", name="b.vcf"), memory(version(2), version(3)), Verdict.SKIP),
        (candidate(0, body=b"x"), memory(version(2), version(3, Op.DELETE)), Verdict.SKIP),
    ],
)
def test_the_stream_is_asked_what_it_knows_better(of: Candidate, known: Memory, verdict: Verdict) -> None:
    assert decide(of, known).verdict is verdict


def test_identities_are_not_put_back_out_of_their_order() -> None:
    assert decide(candidate(5)._replace(kind=Kind.IDENTITY), memory()).verdict is Verdict.ASIDE


def test_a_delete_that_a_page_tells_of_counts_as_well() -> None:
    streams = Streams()
    streams.make(b"a" * 16, CONTACTS, Op.PUT, BOOK, "a.vcf", body=b"y")
    delete = streams.make(b"a" * 16, CONTACTS, Op.DELETE, BOOK, "a.vcf")
    known = memory()
    known.hear(delete)
    assert decide(candidate(1, at=streams.at), known).verdict is Verdict.SKIP


def test_what_a_page_tells_of_has_been_heard_of() -> None:
    streams = Streams()
    known = memory()
    known.hear(streams.make(b"a" * 16, CONTACTS, Op.PUT, BOOK, "a.vcf", body=card("u")))
    known.hear(streams.make(b"a" * 16, CONTACTS, Op.DELETE, BOOK, "a.vcf"))
    assert decide(candidate(0, name="a.vcf"), known).verdict is Verdict.ASIDE
    assert decide(candidate(0, name="b.vcf", body=card("u")), known).verdict is Verdict.SKIP
    other = card("u", "as it was before")
    assert decide(candidate(0, name="b.vcf", body=other), known, other).verdict is Verdict.ASIDE


def test_of_each_item_the_last_version_counts() -> None:
    many = [candidate(rev, timeline) for rev, timeline in ((5, 1), (3, 2), (9, 1), (4, 0))]
    random.Random(4).shuffle(many)
    assert [(c.rev, c.timeline) for c in newest(many)] == [(3, 2)]


# -- in a house


@pytest.fixture
def house() -> House:
    house = House.new(accounts=("ann",))
    assert house.request("PUT", "/dav/ann/contacts/default/old.vcf", card("old")).status == 201
    return house


def bring(house: House, find: Find, *, in_doubt: bool = False, accounts: Sequence[bytes] | None = None) -> Returned:
    def key(account: Account) -> bytes:
        found = house.reads.secret(account.number, BLOB_KEY)
        assert found is not None
        return found

    return return_found(
        find,
        reads=house.reads,
        blobs=house.blobs,
        blob_key=key,
        execute=house.engine.execute,
        in_doubt=in_doubt,
        accounts=accounts,
    )


def loose(name: str, body: bytes, kind: Kind = CONTACTS, *, account: str = "ann", **more: Any) -> Loose:
    made = Loose(account, kind, "", name, "text/vcard", sha256(body).digest(), len(body), None, body, "", 1, "card 1")
    return made._replace(**more)


def found(*things: Loose) -> Find:
    def fill(finds: Finds) -> None:
        for thing in things:
            finds.loose(thing)

    return find_in(store_of(fill))


def listed(house: House, path: str) -> list[str]:
    collection = house.reads.collection(house.account().number, path)
    return [] if collection is None else [item.name for item in house.reads.items(collection)]


def changes(house: House) -> int:
    return len(house.reads.changes(limit=100_000))


def test_what_nobody_heard_of_goes_where_it_was_and_comes_once(house: House) -> None:
    find = found(
        loose("new.vcf", card("new"), collection="default"),
        loose("lone.vcf", card("lone")),
        loose("meet.ics", event("meet"), Kind.CALENDAR, media="text/calendar"),
        loose("do.ics", event("do", "VTODO"), Kind.TASKS, media="text/calendar"),
        loose("milk.txt", b"milk", Kind.NOTES, media="text/plain"),
        loose("day.ics", event("day", "VJOURNAL"), Kind.NOTES, media="text/calendar"),
        loose("deep.txt", b"deep", Kind.NOTES, media="text/plain", collection="a/b"),
        loose("sea.jpg", PHOTO, Kind.PHOTOS, media="image/jpeg"),
        loose("1", msgspec.json.encode({"score": 7, "at": "2026-01-01T00:00:00Z"}), Kind.SCORES, collection="chess"),
    )
    first = bring(house, find)
    assert (first.put, first.aside) == (9, [])
    assert listed(house, "contacts/default") == ["new.vcf", "old.vcf"]
    assert listed(house, "contacts/recovered") == ["lone.vcf"]
    assert listed(house, "calendars/recovered-calendar") == ["meet.ics"]
    assert listed(house, "calendars/recovered-tasks") == ["do.ics"]
    assert listed(house, "calendars/recovered-notes") == ["day.ics"]
    assert listed(house, "files/notes") == ["milk.txt"]
    assert listed(house, "files/notes/a/b") == ["deep.txt"]
    assert len(listed(house, "scores/chess")) == 1
    assert house.request("GET", "/dav/ann/files/photos/sea.jpg").body == PHOTO
    assert house.writer._core is not None
    made = [change for _, _, change in house.reads.changes(limit=1000) if change.actor == "recovery"]
    assert len(made) >= 9
    before = changes(house)
    second = bring(house, find)
    assert (second.put, second.skipped, changes(house)) == (0, 9, before)


def test_only_who_is_asked_for_gets_something_back(house: House) -> None:
    find = found(loose("new.vcf", card("new"), collection="default"))
    returned = bring(house, find, accounts=())
    assert (returned.put, returned.aside_count, returned.held) == (0, 0, [])
    assert bring(house, find, accounts=(house.account().id,)).put == 1


def test_what_came_back_and_was_deleted_since_stays_deleted(house: House) -> None:
    find = found(loose("new.vcf", card("new"), collection="default"))
    assert bring(house, find).put == 1
    assert house.request("DELETE", "/dav/ann/contacts/default/new.vcf").status == 204
    assert bring(house, find).put == 0
    assert listed(house, "contacts/default") == ["old.vcf"]


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (loose("old.vcf", card("other"), collection="default"), "name is known"),
        (loose("x.vcf", card("old", "again"), collection="default"), "UID is known"),
        (loose("x.vcf", b"no card at all"), "no card"),
        (loose("x.vcf", card("x"), account="eve"), "no account eve"),
        (loose("x.vcf", card("x"), account=""), "nobody knows whose"),
        (loose("a/b.vcf", card("x")), "not a name"),
    ],
)
def test_what_is_not_sure_is_left_aside_with_its_reason(house: House, thing: Loose, why: str) -> None:
    before = changes(house)
    returned = bring(house, found(thing))
    assert (returned.put, returned.aside_count) == (0, 1)
    assert why in returned.aside[0].why
    assert changes(house) in (before, before + 1)  # a collection may have been made


def test_bytes_that_were_replaced_or_deleted_since_stay_that(house: House) -> None:
    assert house.request("PUT", "/dav/ann/contacts/default/old.vcf", card("old", "2")).status == 204
    assert bring(house, found(loose("old.vcf", card("old")))).skipped == 1
    assert house.request("DELETE", "/dav/ann/contacts/default/old.vcf").status == 204
    assert bring(house, found(loose("else.vcf", card("old", "2")))).skipped == 1
    assert listed(house, "contacts/default") == []


def test_where_a_body_is_gone_nobody_knows_that_a_uid_was_never_there(house: House) -> None:
    path = "/dav/ann/contacts/default/ghost.vcf"
    assert house.request("PUT", path, card("u")).status == 201
    assert house.request("DELETE", path).status == 204
    core = house.engine.core
    assert isinstance(core, SqliteCore)
    core._db.execute("UPDATE journal SET body = NULL WHERE name = 'ghost.vcf'")
    returned = bring(house, found(loose("u.vcf", card("u", "as it was before"), collection="default")))
    assert (returned.put, returned.aside_count) == (0, 1)


def test_nothing_without_a_rev_comes_back_while_the_end_is_in_doubt(house: House) -> None:
    find = found(loose("new.vcf", card("new")))
    returned = bring(house, find, in_doubt=True)
    assert "not known" in returned.aside[0].why
    assert bring(house, find).put == 1


def test_a_held_stream_gets_its_returns_once_its_loss_is_accepted(house: House) -> None:
    find = found(loose("new.vcf", card("new"), collection="default"))
    account = house.account()
    core = house.engine.core
    core.begin()
    core.hold(account.id, CONTACTS, "revisions 3 of contacts are in no vault")
    core.commit()
    returned = bring(house, find)
    assert (returned.put, returned.held) == (0, ["ann, contacts"])
    house.engine.execute(AcceptLoss(account=account.id, actor="recovery", kind=CONTACTS))
    assert bring(house, find).put == 1


def page(house: House, collection: bytes, name: str, body: bytes, rev: int = 50) -> Change:
    streams = Streams(timeline=9)
    streams.heads[house.account().id, CONTACTS] = Head(rev - 1, GENESIS)
    return streams.make(house.account().id, CONTACTS, Op.PUT, collection, name, body=body, media="text/vcard")


def test_a_change_on_a_good_page_goes_into_its_collection_or_one_made_as_that_was(house: House) -> None:
    lost, unknown = collection_id("contacts/lost"), collection_id("contacts/unknown")
    default = house.reads.collection(house.account().number, "contacts/default")
    assert default is not None
    props = canonical_props({"type": "addressbook", "{DAV:}displayname": "<displayname xmlns='DAV:'>L</displayname>"})
    making = msgspec.structs.replace(
        page(house, lost, "", b"", 49), op=Op.MKCOL, name="contacts/lost", digest=b"", size=0, body=None, props=props
    )
    puts = [
        page(house, default.id, "a.vcf", card("a")),
        page(house, lost, "b.vcf", card("b"), 51),
        page(house, unknown, "c.vcf", card("c"), 52),
    ]
    find = find_in(store_of(lambda finds: put_pages(finds, [making, *puts])))
    assert bring(house, find).put == 3
    assert listed(house, "contacts/default") == ["a.vcf", "old.vcf"]
    assert listed(house, "contacts/lost") == ["b.vcf"]
    assert listed(house, f"contacts/recovered-{unknown[:4].hex()}") == ["c.vcf"]
    made = house.reads.collection(house.account().number, "contacts/lost")
    assert made is not None
    assert "{DAV:}displayname" in made.props
    before = changes(house)
    assert (bring(house, find).put, changes(house)) == (0, before)


def test_what_came_back_and_was_removed_with_its_collection_stays_removed(house: House) -> None:
    unknown = collection_id("contacts/unknown")
    store = store_of(lambda finds: put_pages(finds, [page(house, unknown, "c.vcf", card("c"), 52)]))
    assert bring(house, find_in(store)).put == 1
    path = f"contacts/recovered-{unknown[:4].hex()}"
    assert house.request("DELETE", f"/dav/ann/{path}/").status == 204
    before = changes(house)
    assert (bring(house, find_in(store)).put, changes(house)) == (0, before)
    assert house.reads.collection(house.account().number, path) is None


def test_two_things_of_one_name_do_not_take_each_others_place(house: House) -> None:
    one, other = collection_id("one"), collection_id("other")
    at = "contacts/back"
    makings = [
        msgspec.structs.replace(
            page(house, each, "", b"", 60 + n),
            op=Op.MKCOL,
            name=at,
            digest=b"",
            size=0,
            body=None,
            props=canonical_props({"type": "addressbook"}),
        )
        for n, each in enumerate((one, other))
    ]
    puts = [page(house, each, "a.vcf", card(f"u{n}"), 70 + n) for n, each in enumerate((one, other))]
    returned = bring(house, find_in(store_of(lambda finds: put_pages(finds, [*makings, *puts]))))
    assert (returned.put, returned.aside_count) == (1, 1)
    assert listed(house, at) == ["a.vcf"]


def test_an_item_that_a_core_listed_comes_back_by_its_body(house: House) -> None:
    default = house.reads.collection(house.account().number, "contacts/default")
    assert default is not None
    body = card("listed")
    item = KnownItem(
        house.account().id,
        CONTACTS,
        default.id,
        "listed.vcf",
        40,
        sha256(body).digest(),
        len(body),
        "text/vcard",
        9 << 50,
        1,
        "",
    )

    def fill(finds: Finds) -> None:
        finds.known(item)
        finds.known(item._replace(name="ghost.vcf", digest=b"g" * 32))
        finds.body(item.digest, body, 1)

    assert bring(house, find_in(store_of(fill))).put == 1
    assert listed(house, "contacts/default") == ["listed.vcf", "old.vcf"]


def test_what_was_lost_by_somebodys_word_comes_back_anew(house: House) -> None:
    account = house.account()
    default = house.reads.collection(account.number, "contacts/default")
    assert default is not None
    lost = page(house, default.id, "lost.vcf", card("lost"))
    store = store_of(lambda finds: finds.survivor(Survivor(lost, Proof.CHAIN, 1, "")))
    assert bring(house, find_in(store)).put == 0  # of another history, whose loss nobody has accepted
    house.engine.execute(
        AcceptLoss(
            account=account.id, actor="recovery", kind=CONTACTS, missing="revisions 50 of contacts are in no vault"
        )
    )
    assert bring(house, find_in(store)).put == 1
    assert listed(house, "contacts/default") == ["lost.vcf", "old.vcf"]


def test_a_score_that_is_there_is_not_recorded_again(house: House) -> None:
    at = 1_767_225_600_000_000
    house.engine.execute(AddScore(account=house.account().id, game="chess", score=7, at=at, detail='{"b": 1, "a": 2}'))
    body = msgspec.json.encode({"score": 7.0, "at": "2026-01-01T01:00:00+01:00", "detail": {"a": 2, "b": 1}})
    find = found(loose("1", body, Kind.SCORES, collection="chess"))
    assert (bring(house, find).put, len(listed(house, "scores/chess"))) == (0, 1)


def test_a_thing_of_the_wrong_sort_for_its_collection_is_left_aside(house: House) -> None:
    house.engine.execute(
        MakeCollection(
            account=house.account().id,
            path="calendars/only",
            type=CollectionType.CALENDAR,
            components=frozenset(("VTODO",)),
        )
    )
    returned = bring(house, found(loose("e.ics", event("e"), Kind.TASKS, media="text/calendar", collection="only")))
    assert (returned.put, returned.aside_count) == (0, 1)


def test_whom_another_source_knows_as_erased_is_entered_in_the_register_once(house: House) -> None:
    eve, ann = b"e" * 16, house.account().id
    command = NoteErased(account=SYSTEM_ACCOUNT, actor="recovery", erased=(eve, ann, eve))
    assert house.engine.execute(command).changed
    assert house.reads.secret(0, f"erased/{eve.hex()}") is not None
    assert house.account().id == ann
    assert house.reads.secret(0, f"erased/{ann.hex()}") is None
    before = changes(house)
    assert not house.engine.execute(command).changed
    assert changes(house) == before


def test_a_request_beside_it_is_answered_as_ever(house: House) -> None:
    assert bring(house, found(loose("new.vcf", card("new"), collection="default"))).put == 1
    answer = house.requests([Request("GET", "/dav/ann/contacts/default/new.vcf")])[0]
    assert (answer.status, answer.body) == (200, card("new"))
