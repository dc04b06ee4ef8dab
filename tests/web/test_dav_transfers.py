"""COPY and MOVE: RFC 4918 sections 9.8 and 9.9 on files and folders, RFC 4791 and 6352 on objects; every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from safehold.model.kinds import Kind
from safehold.service import transfers
from tests.support.asgi import CARD, ICAL, Answer, Device, event, tag_of, vcard

NOTES = "/dav/anna/files/notes/"
PHOTOS = "/dav/anna/files/photos/"
BOOK = "/dav/anna/contacts/default/"
CALENDAR = "/dav/anna/calendars/default/"
TASKS = "/dav/anna/calendars/tasks/"
LARGE = bytes(range(256)) * 400


def send(device: Device, method: str, source: str, destination: str, **headers: str) -> Answer:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return device.ask(method, source, b"", {"Destination": destination, **named})


def copy(device: Device, source: str, destination: str, **headers: str) -> int:
    return send(device, "COPY", source, destination, **headers).status


def move(device: Device, source: str, destination: str, **headers: str) -> int:
    return send(device, "MOVE", source, destination, **headers).status


def body(device: Device, path: str) -> bytes | None:
    """What lies there; None for nothing."""
    answer = device.ask("GET", path)
    assert answer.status in (200, 404), answer.status
    return answer.body if answer.status == 200 else None


def tree(device: Device, path: str) -> dict[str, str]:
    """All below a folder, by path from it: an entity tag, or "" for a folder."""
    found: dict[str, str] = {}
    for href, response in device.propfind(path, "D:getetag", "D:resourcetype", depth="1").responses.items():
        if href == path:
            continue
        if href.endswith("/"):
            found[href[len(path) :]] = ""
            found.update({href[len(path) :] + inner: tag for inner, tag in tree(device, href).items()})
        else:
            found[href[len(path) :]] = response[200]["D:getetag"].text
    return found


def grow(device: Device, root: str) -> dict[str, str]:
    """A folder with a folder in it, three files, one of them large, and a property on each of two things."""
    for path in (root, root + "inner/"):
        assert device.ask("MKCOL", path).status == 201
    for path, data in (("a.txt", b"a"), ("inner/b.txt", b"b"), ("inner/large", LARGE)):
        assert device.put(root + path, data, "text/plain").status == 201
    set_color(device, root + "a.txt", "red")
    set_color(device, root + "inner/", "blue")
    return tree(device, root)


def set_color(device: Device, path: str, color: str) -> None:
    assert device.proppatch(path, f"<D:set><D:prop><E:color>{color}</E:color></D:prop></D:set>").status == 207


def color(device: Device, path: str) -> str | None:
    (response,) = device.propfind(path, "E:color").listed
    return response[200]["E:color"].text if 200 in response else None


def changes(device: Device) -> int:
    return device.gate.reads.counts()["changes"]


# -- files ---------------------------------------------------------------------------------------------------


def test_a_copy_is_another_file_with_the_same_body_and_properties(device: Device) -> None:
    device.put(NOTES + "a.md", b"one", "text/markdown")
    set_color(device, NOTES + "a.md", "red")
    answer = send(device, "COPY", NOTES + "a.md", NOTES + "b.md")
    assert (answer.status, answer.body) == (201, b"")
    got = device.ask("GET", NOTES + "b.md")
    assert (got.body, got.headers["etag"], got.headers["content-type"]) == (b"one", tag_of(b"one"), "text/markdown")
    assert color(device, NOTES + "b.md") == "red"
    device.put(NOTES + "a.md", b"two", "text/markdown")
    set_color(device, NOTES + "b.md", "green")
    assert (body(device, NOTES + "b.md"), color(device, NOTES + "a.md")) == (b"one", "red")


def test_a_move_takes_everything_with_it(device: Device) -> None:
    device.put(NOTES + "a.md", b"one", "text/markdown")
    set_color(device, NOTES + "a.md", "red")
    assert move(device, NOTES + "a.md", NOTES + "b.md") == 201
    assert body(device, NOTES + "a.md") is None
    assert (body(device, NOTES + "b.md"), color(device, NOTES + "b.md")) == (b"one", "red")
    device.put(NOTES + "a.md", b"again", "text/markdown")
    assert color(device, NOTES + "a.md") is None, "a new file under an old name has nothing of the old one"


def test_a_move_is_a_delete_and_a_put_in_one_group(device: Device) -> None:
    device.put(NOTES + "a", b"one", "text/plain")
    before = changes(device)
    assert move(device, NOTES + "a", NOTES + "b") == 201
    made = [change for _, _, change in device.gate.reads.changes(after_journal=before)]
    assert [(c.op, c.name, c.group) for c in made] == [("delete", "a", made[0].rev), ("put", "b", made[0].rev)]
    assert {frame for _, frame, _ in device.gate.reads.changes(after_journal=before)} == {
        device.gate.log.position.frame
    }


def test_a_large_body_is_not_copied(device: Device) -> None:
    device.put(PHOTOS + "a.jpg", LARGE, "image/jpeg")
    assert copy(device, PHOTOS + "a.jpg", PHOTOS + "b.jpg") == 201
    assert copy(device, PHOTOS + "a.jpg", NOTES + "b.jpg") == 201
    assert len(device.gate.memory_blobs.kept) == 1
    assert len(device.gate.memory_blobs.stages) == 1
    assert [body(device, path) for path in (PHOTOS + "b.jpg", NOTES + "b.jpg")] == [LARGE, LARGE]


def test_overwrite(device: Device) -> None:
    for name, data in (("a", b"a"), ("b", b"b"), ("c", b"c")):
        device.put(NOTES + name, data, "text/plain")
    set_color(device, NOTES + "b", "red")
    assert copy(device, NOTES + "a", NOTES + "b", overwrite="F") == 412
    assert move(device, NOTES + "a", NOTES + "b", overwrite="f") == 412
    assert (body(device, NOTES + "a"), body(device, NOTES + "b")) == (b"a", b"b")
    assert copy(device, NOTES + "a", NOTES + "b", overwrite="x") == 400
    assert copy(device, NOTES + "a", NOTES + "b") == 204
    assert (body(device, NOTES + "b"), color(device, NOTES + "b")) == (b"a", None), "nothing of the old one is left"
    assert move(device, NOTES + "c", NOTES + "b", overwrite="T") == 204
    assert (body(device, NOTES + "b"), body(device, NOTES + "c")) == (b"c", None)
    assert copy(device, NOTES + "b", NOTES + "c", overwrite="F") == 201


def test_files_and_folders_replace_each_other(device: Device) -> None:
    wanted = grow(device, NOTES + "folder/")
    device.put(NOTES + "file", b"file", "text/plain")
    assert copy(device, NOTES + "folder/", NOTES + "file") == 204
    assert tree(device, NOTES + "file/") == wanted
    device.put(NOTES + "other", b"other", "text/plain")
    assert move(device, NOTES + "other", NOTES + "folder") == 204
    assert body(device, NOTES + "folder") == b"other"
    assert device.ask("PROPFIND", NOTES + "folder/inner/", b"", {"Depth": "0"}).status == 404


# -- folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slashes", [("/", "/"), ("", "/"), ("/", ""), ("", "")])
def test_a_folder_goes_with_all_that_is_in_it(device: Device, slashes: tuple[str, str]) -> None:
    wanted = grow(device, NOTES + "one/")
    assert copy(device, NOTES + "one" + slashes[0], NOTES + "two" + slashes[1], depth="infinity") == 201
    assert tree(device, NOTES + "two/") == tree(device, NOTES + "one/") == wanted
    assert (color(device, NOTES + "two/a.txt"), color(device, NOTES + "two/inner/")) == ("red", "blue")
    assert move(device, NOTES + "two" + slashes[0], NOTES + "one/three" + slashes[1]) == 201
    assert tree(device, NOTES + "one/three/") == wanted
    assert (color(device, NOTES + "one/three/a.txt"), color(device, NOTES + "one/three/inner/")) == ("red", "blue")
    assert device.ask("PROPFIND", NOTES + "two/", b"", {"Depth": "0"}).status == 404
    assert len(device.gate.memory_blobs.kept) == 1


def test_a_folder_is_replaced_not_merged(device: Device) -> None:
    wanted = grow(device, NOTES + "one/")
    device.ask("MKCOL", NOTES + "two/")
    device.ask("MKCOL", NOTES + "two/old/")
    device.put(NOTES + "two/old/x", b"x", "text/plain")
    assert copy(device, NOTES + "one/", NOTES + "two/", overwrite="F") == 412
    assert copy(device, NOTES + "one/", NOTES + "two/") == 204
    assert tree(device, NOTES + "two/") == wanted
    device.put(NOTES + "two/more", b"x", "text/plain")
    assert move(device, NOTES + "one/", NOTES + "two/") == 204
    assert tree(device, NOTES) == {"two/": "", **{"two/" + path: tag for path, tag in wanted.items()}}


def test_a_shallow_copy_has_the_folders_properties_only(device: Device) -> None:
    grow(device, NOTES + "one/")
    assert copy(device, NOTES + "one/inner/", NOTES + "two/", depth="0") == 201
    assert (tree(device, NOTES + "two/"), color(device, NOTES + "two/")) == ({}, "blue")
    assert copy(device, NOTES + "one/inner/", NOTES + "one/inner/itself/", depth="0") == 201
    assert copy(device, NOTES + "one/", NOTES + "three/", depth="1") == 400
    assert move(device, NOTES + "one/", NOTES + "three/", depth="0") == 400
    assert move(device, NOTES + "one/a.txt", NOTES + "a.txt", depth="0") == 201, "a file has no depth"


def test_a_root_of_files_is_copied_and_stays(device: Device) -> None:
    device.put(NOTES + "a", b"a", "text/plain")
    assert copy(device, NOTES, PHOTOS + "notes/") == 201
    assert tree(device, PHOTOS) == {"notes/": "", "notes/a": tag_of(b"a")}
    before = changes(device)
    assert move(device, NOTES, PHOTOS + "moved/") == 403
    assert copy(device, PHOTOS + "notes/", NOTES) == 403
    assert move(device, PHOTOS + "notes/", NOTES) == 403
    assert changes(device) == before


# -- refusals ------------------------------------------------------------------------------------------------


def test_destinations_that_cannot_be(device: Device) -> None:
    device.put(NOTES + "a", b"a", "text/plain")
    before = changes(device)
    host = {"Host": "pim.example"}
    for method in ("COPY", "MOVE"):
        assert device.ask(method, NOTES + "a").status == 400
        for destination, status in (
            ("b", 400),
            (NOTES + "b?x", 400),
            (NOTES + "b c", 400),
            (NOTES + "%ff", 400),
            (NOTES + "b//c", 400),
            (NOTES + "../b", 400),
            (NOTES + "%2e%2e", 400),
            (NOTES + "b%2Fc", 400),
            (NOTES + "x" * 256, 400),
            ("http://other.example" + NOTES + "b", 502),
            ("http://pim.example:8080" + NOTES + "b", 502),
            ("ftp://pim.example" + NOTES + "b", 502),
            ("/dav/bob/files/notes/b", 403),
            ("http://pim.example/dav/bob/files/notes/b", 403),
            ("/elsewhere", 403),
            ("/dav/", 403),
            ("/dav/anna/", 403),
            ("/dav/anna/files/", 403),
            ("/dav/anna/files/other/", 403),
            ("/dav/anna/contacts/new/", 403),
            ("/dav/anna/contacts/default/", 403),
            (NOTES + "no/such/folder", 409),
            (NOTES + "a/b", 409),
            (NOTES + "a", 403),
            (NOTES, 403),
        ):
            answer = device.ask(method, NOTES + "a", b"", {"Destination": destination, **host})
            assert (method, destination, answer.status) == (method, destination, status)
            assert answer.xml is not None
    assert changes(device) == before
    for place in ("http://pim.example", "https://PIM.example:443", "http://pim.example:80", ""):
        answer = device.ask("COPY", NOTES + "a", b"", {"Destination": place + NOTES + "b", **host})
        assert answer.status in (201, 204)


def test_sources_that_cannot_be(device: Device) -> None:
    for method in ("COPY", "MOVE"):
        for path, status in (
            (NOTES + "none", 404),
            (NOTES + "none/x", 404),
            (BOOK + "none.vcf", 404),
            ("/dav/anna/files/other/", 404),
            (BOOK, 403),
            (CALENDAR, 403),
            ("/dav/anna/files/", 403),
            ("/dav/anna/", 403),
            ("/dav/", 403),
            ("/dav/principals/anna/", 403),
            ("/dav/bob/files/notes/x", 403),
        ):
            assert (method, path, send(device, method, path, NOTES + "there").status) == (method, path, status)
    assert copy(device, NOTES + "none", NOTES + "b", if_match="*") == 404, "as without the condition"


def test_nothing_goes_into_itself_or_onto_what_holds_it(device: Device) -> None:
    grow(device, NOTES + "one/")
    before = changes(device)
    for method in ("COPY", "MOVE"):
        for source, destination in (
            ("one/", "one/"),
            ("one", "one/"),
            ("one/", "one/two"),
            ("one/", "one/inner"),
            ("one/inner/", "one"),
            ("one/a.txt", "one"),
        ):
            assert send(device, method, NOTES + source, NOTES + destination).status == 403
    assert changes(device) == before


def test_a_move_stays_within_its_stream(device: Device) -> None:
    grow(device, NOTES + "one/")
    before = changes(device)
    assert move(device, NOTES + "one/", PHOTOS + "one/") == 403
    assert move(device, NOTES + "one/a.txt", PHOTOS + "a.txt") == 403
    assert changes(device) == before
    assert copy(device, NOTES + "one/", PHOTOS + "one/") == 201
    assert tree(device, PHOTOS + "one/") == tree(device, NOTES + "one/")


def test_conditions_are_about_the_source(device: Device) -> None:
    device.put(NOTES + "a", b"a", "text/plain")
    device.put(NOTES + "b", b"b", "text/plain")
    before = changes(device)
    for method in ("COPY", "MOVE"):
        for headers in (
            {"if_match": tag_of(b"b")},
            {"if_none_match": tag_of(b"a")},
            {"if_none_match": "*"},
            {"if_unmodified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
            {"if": f"([{tag_of(b'b')}])"},
            {"if": f"<{NOTES}b> ([{tag_of(b'a')}])"},
            {"if": f"<{NOTES}c> (Not <DAV:no-lock> [{tag_of(b'a')}])"},
            {"if": "(<DAV:no-lock>)"},
        ):
            answer = send(device, method, NOTES + "a", NOTES + "b", **headers)
            assert (method, headers, answer.status) == (method, headers, 412)
        assert send(device, method, NOTES + "a", NOTES + "b", **{"if": "nonsense"}).status == 400
        assert send(device, method, NOTES + "a", NOTES + "b", if_match="nonsense").status == 400
    assert changes(device) == before, "what is refused leaves nothing, half done or noted"
    both = f"<{NOTES}a> ([{tag_of(b'a')}]) <{NOTES}x> ([{tag_of(b'x')}])"
    assert copy(device, NOTES + "a", NOTES + "b", **{"if": both}) == 204
    assert (
        move(device, NOTES + "a", NOTES + "c", if_match=tag_of(b"a"), **{"if": f"<{NOTES}c> (Not [{tag_of(b'c')}])"})
        == 201
    )
    device.ask("MKCOL", NOTES + "folder")
    assert copy(device, NOTES + "folder", NOTES + "two", if_match="*") == 201
    assert copy(device, NOTES + "folder", NOTES + "three", if_match=tag_of(b"a")) == 412
    assert copy(device, NOTES + "folder", NOTES + "three", if_none_match="*") == 412


def test_one_request_is_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(device, NOTES + "one/")
    monkeypatch.setattr(transfers, "MAX_RESOURCES", 4)
    before = changes(device)
    for method in ("COPY", "MOVE"):
        answer = send(device, method, NOTES + "one/", NOTES + "two/")
        assert answer.status == 403
        assert b"4 files and folders" in answer.body
    monkeypatch.setattr(transfers, "MAX_RESOURCES", 5)
    device.proppatch(NOTES + "one/a.txt", "<D:remove><D:prop><E:color/></D:prop></D:remove>")
    device.proppatch(NOTES + "one/inner/", "<D:remove><D:prop><E:color/></D:prop></D:remove>")
    before = changes(device)
    monkeypatch.setattr(transfers, "MAX_COPIED_BYTES", 1)
    assert copy(device, NOTES + "one/", NOTES + "two/") == 403
    assert changes(device) == before
    monkeypatch.setattr(transfers, "MAX_COPIED_BYTES", 2)
    assert copy(device, NOTES + "one/", NOTES + "two/") == 201, "a large body is not counted: it is not copied"


@pytest.mark.parametrize("path", ["one/a.txt", "one/inner/", "one/"])
def test_properties_count_for_what_they_weigh(device: Device, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are copied, and thousands of them would make a frame that no reader takes."""
    grow(device, NOTES + "one/")
    set_color(device, NOTES + path, "x" * 5_000)
    monkeypatch.setattr(transfers, "MAX_COPIED_BYTES", 5_000)
    before = changes(device)
    for method in ("COPY", "MOVE"):
        assert send(device, method, NOTES + "one/", NOTES + "two/").status == 403
    assert changes(device) == before
    monkeypatch.setattr(transfers, "MAX_COPIED_BYTES", 6_000)
    assert move(device, NOTES + "one/", NOTES + "two/") == 201
    assert color(device, NOTES + path.replace("one", "two")) == "x" * 5_000


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_properties_that_are_damaged_do_not_travel_as_none(device: Device, method: str) -> None:
    grow(device, NOTES + "one/")
    set_color(device, NOTES + "one/a.txt", "green")
    seq = device.gate.core.changes()[-1][0]
    device.gate.core._db.execute("UPDATE journal SET props = NULL WHERE seq = ?", (seq,))
    before = changes(device)
    assert send(device, method, NOTES + "one/a.txt", NOTES + "b.txt").status == 503
    assert send(device, method, NOTES + "one/", NOTES + "two/").status == 503
    assert changes(device) == before


def test_everything_moved_has_an_address(device: Device) -> None:
    path = NOTES
    for _ in range(25):
        path += "d/"
        assert device.ask("MKCOL", path).status == 201
    device.put(path + "file", b"x", "text/plain")
    assert move(device, NOTES + "d/", NOTES + "e/") == 201
    device.ask("MKCOL", NOTES + "long/")
    deep = NOTES + "long/"
    for _ in range(7):
        deep += "x" * 250 + "/"
        assert device.ask("MKCOL", deep).status == 201
    before = changes(device)
    assert move(device, NOTES + "e/", deep + "e/") == 403
    assert device.ask("MKCOL", deep + "y" * 250 + "/").status == 201
    assert copy(device, NOTES + "long/", NOTES + "longer" + "z" * 200) == 403
    assert changes(device) == before + 1


# -- law 2 ---------------------------------------------------------------------------------------------------


def test_what_is_unsure_is_503_at_either_end(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    assert account is not None
    grow(device, NOTES + "one/")
    grow(device, PHOTOS + "one/")
    for kind in (Kind.NOTES, Kind.PHOTOS):
        device.gate.hold(account, kind, "revisions are missing")
        before = changes(device)
        for source, destination in (
            (NOTES + "one/", PHOTOS + "two/"),
            (NOTES + "one/a.txt", PHOTOS + "one/b.txt"),
            (NOTES + "one/a.txt", PHOTOS + "nowhere/b.txt"),
            (PHOTOS + "one/", NOTES + "two/"),
            (PHOTOS + "one/a.txt", NOTES + "one/b.txt"),
        ):
            assert copy(device, source, destination) == 503
            assert move(device, source, destination) in (403, 503)
        held = NOTES if kind is Kind.NOTES else PHOTOS
        for source in ("none", "none/x", "one/none", "one/"):
            assert copy(device, held + source, held + "there") == 503
            assert move(device, held + source, held + "there") == 503
        assert copy(device, held + "one/a.txt", held + "b", **{"if": f"<{held}x> ([{tag_of(b'a')}])"}) == 503
        assert changes(device) == before
        device.gate.hold(account, kind, None)


def test_a_damaged_body_does_not_travel(device: Device) -> None:
    grow(device, NOTES + "one/")
    core = device.gate.core
    core.begin()
    core._db.execute("UPDATE journal SET body = x'00' WHERE name = 'b.txt' AND body IS NOT NULL")
    core.commit()
    before = changes(device)
    for method in ("COPY", "MOVE"):
        assert send(device, method, NOTES + "one/inner/b.txt", NOTES + "b").status == 503
        assert send(device, method, NOTES + "one/", NOTES + "two/").status == 503
    assert changes(device) == before


# -- calendars and address books -----------------------------------------------------------------------------


def make_book(device: Device, path: str) -> None:
    inner = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"
    body = (
        '<D:mkcol xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">'
        f"<D:set><D:prop>{inner}</D:prop></D:set></D:mkcol>"
    )
    assert device.ask("MKCOL", path, body).status == 201


def test_an_object_moves_between_collections_of_its_sort(device: Device) -> None:
    make_book(device, "/dav/anna/contacts/work/")
    assert device.ask("MKCALENDAR", "/dav/anna/calendars/work/").status == 201
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    device.put(CALENDAR + "e.ics", event("e"), ICAL)
    token = device.sync(BOOK).token
    assert move(device, BOOK + "a.vcf", "/dav/anna/contacts/work/b.vcf") == 201
    assert body(device, "/dav/anna/contacts/work/b.vcf") == vcard("a")
    assert device.sync(BOOK, token).responses[BOOK + "a.vcf"]["status"] == 404
    assert move(device, CALENDAR + "e.ics", "/dav/anna/calendars/work/e.ics") == 201
    assert copy(device, "/dav/anna/calendars/work/e.ics", CALENDAR + "e.ics") == 201
    assert body(device, CALENDAR + "e.ics") == event("e")
    assert copy(device, "/dav/anna/calendars/work/e.ics", CALENDAR + "e.ics") == 204


def test_a_uid_occurs_once_in_a_collection(device: Device) -> None:
    make_book(device, "/dav/anna/contacts/work/")
    for name in ("a", "b"):
        device.put(BOOK + f"{name}.vcf", vcard(name), CARD)
    device.put("/dav/anna/contacts/work/other.vcf", vcard("a", "B"), CARD)
    before = changes(device)
    for method, source, destination, bearer in (
        ("COPY", BOOK + "a.vcf", BOOK + "copy.vcf", BOOK + "a.vcf"),
        ("COPY", BOOK + "a.vcf", "/dav/anna/contacts/work/a.vcf", "/dav/anna/contacts/work/other.vcf"),
        ("MOVE", BOOK + "a.vcf", "/dav/anna/contacts/work/a.vcf", "/dav/anna/contacts/work/other.vcf"),
        ("MOVE", BOOK + "a.vcf", BOOK + "b.vcf", BOOK + "b.vcf"),
        ("COPY", BOOK + "b.vcf", "/dav/anna/contacts/work/other.vcf", "/dav/anna/contacts/work/other.vcf"),
    ):
        answer = send(device, method, source, destination)
        assert (answer.status, answer.error) == (409, "A:no-uid-conflict")
        assert answer.xml.findtext(".//{DAV:}href") == bearer
    assert changes(device) == before
    assert move(device, BOOK + "a.vcf", BOOK + "renamed.vcf") == 201
    assert move(device, BOOK + "renamed.vcf", "/dav/anna/contacts/work/other.vcf") == 204
    assert body(device, "/dav/anna/contacts/work/other.vcf") == vcard("a")


def test_a_calendar_takes_its_components_only(device: Device) -> None:
    device.ask("MKCALENDAR", "/dav/anna/calendars/both/")
    device.put(CALENDAR + "e.ics", event("e"), ICAL)
    device.put(TASKS + "t.ics", event("t", "VTODO"), ICAL)
    before = changes(device)
    answer = send(device, "COPY", CALENDAR + "e.ics", TASKS + "e.ics")
    assert (answer.status, answer.error) == (403, "C:supported-calendar-component")
    assert move(device, TASKS + "t.ics", "/dav/anna/calendars/both/t.ics") == 403, "tasks and events are two streams"
    assert changes(device) == before
    assert copy(device, TASKS + "t.ics", "/dav/anna/calendars/both/t.ics") == 201
    assert move(device, CALENDAR + "e.ics", "/dav/anna/calendars/both/e.ics") == 201


def test_sorts_do_not_mix(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"), CARD)
    device.put(CALENDAR + "e.ics", event("e"), ICAL)
    device.put(NOTES + "n.vcf", vcard("n"), CARD)
    device.ask("MKCOL", NOTES + "folder/")
    before = changes(device)
    for method in ("COPY", "MOVE"):
        for source, destination, error in (
            (BOOK + "a.vcf", CALENDAR + "a.vcf", "C:supported-calendar-data"),
            (CALENDAR + "e.ics", BOOK + "e.ics", "A:supported-address-data"),
            (NOTES + "n.vcf", BOOK + "n.vcf", "A:supported-address-data"),
            (BOOK + "a.vcf", NOTES + "a.vcf", ""),
            (NOTES + "folder/", BOOK + "folder", ""),
            (NOTES + "n.vcf", "/dav/anna/contacts/default", ""),
        ):
            answer = send(device, method, source, destination)
            assert (answer.status, answer.error) == (403, error), (method, source, destination)
    assert changes(device) == before


def test_a_transfer_that_cannot_be_vaulted_did_not_happen(device: Device) -> None:
    from safehold.ports.vault import VaultDown

    wanted = grow(device, NOTES + "one/")
    failure: Any = VaultDown("near is away")
    device.gate.log.failure = failure
    assert move(device, NOTES + "one/", NOTES + "two/") == 503
    assert tree(device, NOTES + "one/") == wanted
    assert body(device, NOTES + "two") is None
    assert move(device, NOTES + "one/", NOTES + "two/") == 201
