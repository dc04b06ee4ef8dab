"""What devices are told of writes to what is not here yet, over the real application."""

from __future__ import annotations

import json

import pytest

from safehold.disaster.house import House
from safehold.formats.intake import BY_INTAKE
from safehold.model.change import Op
from safehold.model.kinds import Kind
from safehold.service.notices import INTAKE_CONFLICT, INTAKE_DROPPED, INTAKE_MOVED, MASS_DELETE, notices_of
from tests.support.absent import bring_back, hold, take_away

BOOK = "/dav/ann/contacts/default"
CALENDAR = "/dav/ann/calendars/default"
TASKS = "/dav/ann/calendars/tasks"
NOTES = "/dav/ann/files/notes"
PHOTOS = "/dav/ann/files/photos"
VCARD = {"Content-Type": "text/vcard", "User-Agent": "phone"}
VEVENT = {"Content-Type": "text/calendar"}
NEW = {"If-None-Match": "*"}
LARGE = bytes(range(256)) * 400


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def thing(uid: str, component: str = "VEVENT") -> bytes:
    start = "DTSTART:20260101T100000Z\r\n" if component == "VEVENT" else ""
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//house//EN\r\nBEGIN:{component}\r\n"
        f"UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n{start}END:{component}\r\nEND:VCALENDAR\r\n"
    ).encode()


@pytest.fixture
def house() -> House:
    return House.new(seed="intake")


def put(house: House, path: str, body: bytes, headers: dict[str, str] | None = None, status: int = 204) -> str:
    """The entity tag that came back; "" where none did."""
    answer = house.request("PUT", path, body, headers or VCARD)
    assert answer.status == status, answer
    return answer.headers.get("etag", "")


def told(house: House) -> list[tuple[str, str, str]]:
    return [(n.what, n.collection, n.name) for n in notices_of(house.reads, house.account())]


def body(house: House, path: str) -> bytes | None:
    answer = house.request("GET", path)
    assert answer.status in (200, 404), answer
    return answer.body if answer.status == 200 else None


def waiting(house: House) -> int:
    return house.reads.intake(house.account().number).items


# -- while it is not here --------------------------------------------------------------------------------------


def test_a_put_is_taken_without_an_entity_tag_and_is_there_afterwards(house: House) -> None:
    put(house, f"{BOOK}/old.vcf", card("old"), status=201)
    away = take_away(house, Kind.CONTACTS)
    assert put(house, f"{BOOK}/old.vcf", card("old", "newer")) == ""
    assert put(house, f"{BOOK}/new.vcf", card("new"), VCARD | NEW, 201) == ""
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert body(house, f"{BOOK}/old.vcf") == card("old", "newer")
    assert body(house, f"{BOOK}/new.vcf") == card("new")
    assert waiting(house) == 0
    assert told(house) == []


def test_nothing_of_it_is_read_before_it_is_there(house: House) -> None:
    """503, whatever is asked: never a 404, and never an older state for a newer one."""
    put(house, f"{BOOK}/old.vcf", card("old"), status=201)
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/new.vcf", card("new"), VCARD | NEW, 201)
    requests = [
        ("GET", f"{BOOK}/new.vcf"),
        ("GET", f"{BOOK}/old.vcf"),
        ("PROPFIND", f"{BOOK}/"),
        ("PROPFIND", "/dav/ann/contacts/"),
    ]
    for method, path in requests:
        answer = house.request(method, path, b"", {"Depth": "1"})
        assert answer.status == 503, (method, path)
        assert int(answer.headers["retry-after"]) > 0
    bring_back(house, house.account(), Kind.CONTACTS, away, drain=False)
    for method, path in requests:
        assert house.request(method, path, b"", {"Depth": "1"}).status == 503, "what was sent comes first"
    assert house.tick()
    assert body(house, f"{BOOK}/new.vcf") == card("new")


def test_a_write_between_the_stream_and_its_intake_comes_after_it(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/a.vcf", card("a", "1"), VCARD | NEW, 201)
    bring_back(house, house.account(), Kind.CONTACTS, away, drain=False)
    assert put(house, f"{BOOK}/a.vcf", card("a", "2")) == ""
    assert house.tick()
    assert body(house, f"{BOOK}/a.vcf") == card("a", "2")
    assert put(house, f"{BOOK}/a.vcf", card("a", "3")) != "", "from here on it is judged as always"


def test_what_is_no_card_is_refused_at_the_door(house: House) -> None:
    take_away(house, Kind.CONTACTS)
    assert house.request("PUT", f"{BOOK}/a.vcf", b"BEGIN:VCARD", VCARD).status == 403
    assert house.request("PUT", f"{BOOK}/a.vcf", card("a"), {"Content-Type": "text/plain"}).status == 415
    assert house.request("PUT", f"{BOOK}/a.vcf", card("a", "x" * (1 << 20)), VCARD).status == 413
    assert waiting(house) == 0


@pytest.mark.parametrize(
    ("method", "path", "content", "headers"),
    [
        ("MKCOL", "/dav/ann/files/notes/new", b"", {}),
        ("MKCALENDAR", "/dav/ann/calendars/new", b"", {}),
        ("PROPPATCH", f"{NOTES}/", b'<propertyupdate xmlns="DAV:"><set><prop><x/></prop></set></propertyupdate>', {}),
        ("MOVE", f"{NOTES}/a.txt", b"", {"Destination": f"{NOTES}/b.txt"}),
        ("COPY", f"{NOTES}/a.txt", b"", {"Destination": f"{NOTES}/b.txt"}),
        (
            "LOCK",
            f"{NOTES}/a.txt",
            b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
            {},
        ),
        ("DELETE", "/dav/ann/calendars/default/", b"", {}),
        ("DELETE", f"{NOTES}/a.txt/", b"", {}),
        ("DELETE", f"{NOTES}/a.txt", b"", {}),
        ("PUT", f"{NOTES}/a.txt", b"a", {"If": '(["tag"])'}),
        ("PUT", f"{NOTES}/a.txt", b"a", {"If-Unmodified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}),
    ],
)
def test_what_cannot_be_applied_blindly_is_503(
    house: House, method: str, path: str, content: bytes, headers: dict[str, str]
) -> None:
    put(house, f"{NOTES}/a.txt", b"a", {}, 201)
    for kind in (Kind.NOTES, Kind.CALENDAR):
        take_away(house, kind)
    answer = house.request(method, path, content, headers)
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    assert waiting(house) == 0


def test_without_identity_nothing_is_taken(house: House) -> None:
    take_away(house, Kind.CONTACTS)
    hold(house, Kind.IDENTITY, "revisions are missing")
    assert house.request("PUT", f"{BOOK}/a.vcf", card("a"), VCARD).status == 503
    assert waiting(house) == 0


# -- afterwards ------------------------------------------------------------------------------------------------


def test_a_put_wins_and_what_it_superseded_is_in_the_history_and_told(house: House) -> None:
    put(house, f"{BOOK}/a.vcf", card("a", "1"), status=201)
    seen = put(house, f"{BOOK}/a.vcf", card("a", "2"))
    put(house, f"{BOOK}/a.vcf", card("a", "by another device"))
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/a.vcf", card("a", "mine"), VCARD | {"If-Match": seen})
    put(house, f"{BOOK}/a.vcf", card("a", "mine again"), VCARD | {"If-Match": seen})
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert body(house, f"{BOOK}/a.vcf") == card("a", "mine again")
    versions = list(
        house.reads.history(house.account().number, kind=Kind.CONTACTS, name="a.vcf", path="contacts/default")
    )
    assert [v.actor.startswith(f"device:phone{BY_INTAKE}") for v in versions] == [True, True, False, False, False]
    assert house.reads.version_body(versions[2].journal).inline == card("a", "by another device")
    assert told(house) == [(INTAKE_CONFLICT, "contacts/default", "a.vcf")], "once: its own write is none of another's"


def test_a_put_whose_condition_holds_is_not_told(house: House) -> None:
    tag = put(house, f"{BOOK}/a.vcf", card("a", "1"), status=201)
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/a.vcf", card("a", "2"), VCARD | {"If-Match": tag})
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert body(house, f"{BOOK}/a.vcf") == card("a", "2")
    assert told(house) == []


def test_the_same_put_sent_twice_is_one_change(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/a.vcf", card("a"), VCARD | NEW, 201)
    put(house, f"{BOOK}/a.vcf", card("a"), VCARD | NEW, 201)
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert house.reads.head(house.account().number, Kind.CONTACTS).rev == len(away) + 1
    assert told(house) == []


def test_a_delete_is_judged_when_it_is_applied(house: House) -> None:
    seen = {name: put(house, f"{BOOK}/{name}.vcf", card(name), status=201) for name in ("same", "changed", "gone")}
    put(house, f"{BOOK}/changed.vcf", card("changed", "by another device"))
    put(house, f"{BOOK}/any.vcf", card("any"), status=201)
    house.request("DELETE", f"{BOOK}/gone.vcf")
    away = take_away(house, Kind.CONTACTS)
    for name, tag in seen.items():
        answer = house.request("DELETE", f"{BOOK}/{name}.vcf", b"", {"If-Match": tag})
        assert answer.status == 204
    assert house.request("DELETE", f"{BOOK}/any.vcf").status == 204
    bring_back(house, house.account(), Kind.CONTACTS, away)
    found = {name: body(house, f"{BOOK}/{name}.vcf") for name in (*seen, "any")}
    assert found == {"same": None, "changed": card("changed", "by another device"), "gone": None, "any": None}
    assert told(house) == [(INTAKE_DROPPED, "contacts/default", "changed.vcf")]
    last = house.reads.version_at(house.account().number, Kind.CONTACTS, len(away) + 2)
    assert last is not None
    assert last.op is Op.REFUSED, "the revision moves, so that the device fetches it again"


def test_a_put_and_a_delete_of_it_come_in_their_order(house: House) -> None:
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/a.vcf", card("a"), VCARD | NEW, 201)
    assert house.request("DELETE", f"{BOOK}/a.vcf").status == 204
    put(house, f"{BOOK}/b.vcf", card("b"), VCARD | NEW, 201)
    assert house.request("DELETE", f"{BOOK}/b.vcf").status == 204
    put(house, f"{BOOK}/b.vcf", card("b", "again"), VCARD | NEW, 201)
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert body(house, f"{BOOK}/a.vcf") is None
    assert body(house, f"{BOOK}/b.vcf") == card("b", "again")


@pytest.mark.parametrize("content", [b"a note", LARGE], ids=["inline", "blob"])
def test_files_are_taken_in_folders_that_nobody_knows(house: House, content: bytes) -> None:
    assert house.request("MKCOL", f"{NOTES}/inner").status == 201
    away = take_away(house, Kind.NOTES)
    put(house, f"{NOTES}/inner/a.bin", content, {"Content-Type": "text/plain"})
    put(house, f"{NOTES}/none/b.bin", content, {})
    bring_back(house, house.account(), Kind.NOTES, away)
    assert body(house, f"{NOTES}/inner/a.bin") == content
    assert house.request("GET", f"{NOTES}/inner/a.bin").headers["content-type"].startswith("text/plain")
    assert body(house, f"{NOTES}/kept/b.bin") == content, "it is lost nowhere"
    assert told(house) == [(INTAKE_MOVED, "files/notes/kept", "b.bin")]


def test_a_file_where_a_folder_lies_gets_another_name(house: House) -> None:
    assert house.request("MKCOL", f"{NOTES}/a.txt").status == 201
    away = take_away(house, Kind.NOTES)
    put(house, f"{NOTES}/a.txt", b"a", {})
    assert house.request("DELETE", f"{NOTES}/a.txt", b"", {"If-Match": f'"{"0" * 64}"'}).status == 204
    bring_back(house, house.account(), Kind.NOTES, away)
    assert body(house, f"{NOTES}/a-2.txt") == b"a"
    assert house.reads.collection(house.account().number, "files/notes/a.txt") is not None, "no folder is deleted"


def test_a_uid_that_another_name_bears_is_changed_there(house: House) -> None:
    put(house, f"{BOOK}/a.vcf", card("u"), status=201)
    away = take_away(house, Kind.CONTACTS)
    put(house, f"{BOOK}/b.vcf", card("u", "newer"), VCARD | NEW, 201)
    put(house, f"{BOOK}/a.vcf", card("other"))
    bring_back(house, house.account(), Kind.CONTACTS, away)
    assert body(house, f"{BOOK}/a.vcf") == card("u", "newer")
    assert body(house, f"{BOOK}/b.vcf") is None
    assert body(house, f"{BOOK}/a-2.vcf") == card("other"), "a resource keeps its UID"
    (notice,) = notices_of(house.reads, house.account())
    assert notice.what == INTAKE_MOVED
    assert notice.facts == {"device": "phone", "came_as": "contacts/default/a.vcf"}
    assert notice.names == ("a.vcf", "a-2.vcf")


def test_what_has_no_collection_any_more_is_kept(house: House) -> None:
    for path in ("/dav/ann/contacts/gone", "/dav/ann/calendars/gone"):
        method = "MKCALENDAR" if "calendars" in path else "MKCOL"
        content = (
            b'<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype><collection/>'
            b"<C:addressbook/></resourcetype></prop></set></mkcol>"
        )
        assert house.request(method, path, content if method == "MKCOL" else b"").status == 201
        assert house.request("DELETE", f"{path}/").status == 204
    away = {kind: take_away(house, kind) for kind in (Kind.CONTACTS, Kind.CALENDAR, Kind.TASKS)}
    put(house, "/dav/ann/contacts/gone/a.vcf", card("a"))
    put(house, "/dav/ann/contacts/gone/b.vcf", card("a", "of the same UID"))
    put(house, "/dav/ann/calendars/gone/e.ics", thing("e"), VEVENT)
    assert house.request("DELETE", "/dav/ann/calendars/gone/f.ics").status == 204
    for kind, stream in away.items():
        bring_back(house, house.account(), kind, stream)
    assert body(house, "/dav/ann/contacts/kept/a.vcf") == card("a")
    assert body(house, "/dav/ann/contacts/kept-2/b.vcf") == card("a", "of the same UID")
    assert body(house, "/dav/ann/calendars/kept/e.ics") == thing("e")
    assert house.reads.collection(house.account().number, "contacts/gone") is None
    assert waiting(house) == 0
    assert {what for what, _, _ in told(house)} == {INTAKE_MOVED}


def test_what_a_calendar_does_not_hold_is_kept_once_all_are_here(house: House) -> None:
    away = {kind: take_away(house, kind) for kind in (Kind.CALENDAR, Kind.TASKS)}
    put(house, f"{TASKS}/e.ics", thing("e"), VEVENT)
    bring_back(house, house.account(), Kind.TASKS, away[Kind.TASKS])
    assert waiting(house) == 1
    assert house.request("PROPFIND", f"{TASKS}/", b"", {"Depth": "1"}).status == 207, "it is none of its own"
    bring_back(house, house.account(), Kind.CALENDAR, away[Kind.CALENDAR])
    assert body(house, "/dav/ann/calendars/kept/e.ics") == thing("e")
    assert waiting(house) == 0


def test_a_calendar_that_is_not_known_yet_may_be_of_any_kind(house: House) -> None:
    away = {kind: take_away(house, kind) for kind in (Kind.CALENDAR, Kind.TASKS)}
    put(house, f"{TASKS}/t.ics", thing("t", "VTODO"), VEVENT | NEW, 201)
    put(house, f"{CALENDAR}/e.ics", thing("e"), VEVENT | NEW, 201)
    bring_back(house, house.account(), Kind.CALENDAR, away[Kind.CALENDAR])
    assert body(house, f"{CALENDAR}/e.ics") == thing("e")
    assert house.request("GET", f"{TASKS}/t.ics").status == 503
    bring_back(house, house.account(), Kind.TASKS, away[Kind.TASKS])
    assert body(house, f"{TASKS}/t.ics") == thing("t", "VTODO")
    assert told(house) == []


# -- scores ----------------------------------------------------------------------------------------------------


def test_a_score_is_202_and_recorded_afterwards(house: House) -> None:
    def post(score: int, game: str = "chess") -> tuple[int, object]:
        content = json.dumps({"score": score}).encode()
        answer = house.request("POST", f"/api/v1/scores/{game}", content, {"Content-Type": "application/json"})
        return answer.status, json.loads(answer.body)["best"]

    assert post(10) == (201, 10)
    away = take_away(house, Kind.SCORES)
    assert post(5) == (202, None), "the best one is not known"
    assert post(7, "new") == (202, None)
    assert house.request("GET", "/api/v1/scores/chess").status == 503
    bring_back(house, house.account(), Kind.SCORES, away)
    chess = json.loads(house.request("GET", "/api/v1/scores/chess").body)
    assert chess["best"] == 10
    assert sorted(line["score"] for line in chess["history"]) == [5, 10]
    assert json.loads(house.request("GET", "/api/v1/scores/new").body)["best"] == 7
    assert post(20) == (201, 20)


def test_deletes_that_waited_are_counted_by_the_brakes(house: House) -> None:
    for n in range(24):
        put(house, f"{BOOK}/{n}.vcf", card(str(n)), status=201)
    away = take_away(house, Kind.CONTACTS)
    for n in range(10):
        assert house.request("DELETE", f"{BOOK}/{n}.vcf", b"", {"User-Agent": "phone"}).status == 204
        house.sim_clock.advance(1)
    bring_back(house, house.account(), Kind.CONTACTS, away)
    (notice,) = notices_of(house.reads, house.account())
    assert notice.what == MASS_DELETE
    assert notice.facts["device"] == "phone"
