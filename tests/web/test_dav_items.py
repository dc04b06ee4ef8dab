"""GET, HEAD, PUT and DELETE: bodies byte for byte, conditions, ranges, and every refusal."""

from __future__ import annotations

import pytest

from safehold.model.commands import SetPassword
from safehold.model.errors import OperatorError
from tests.support.asgi import CARD, ICAL, Device, event, tag_of, vcard

BOOK = "/dav/anna/contacts/default/"
CALENDAR = "/dav/anna/calendars/default/"
TASKS = "/dav/anna/calendars/tasks/"
NOTES = "/dav/anna/files/notes/"
PHOTOS = "/dav/anna/files/photos/"


def test_what_was_put_comes_back_byte_for_byte(device: Device) -> None:
    body = vcard("a", "é", extra="NOTE:" + "long " * 40 + "\r\n")
    put = device.put(BOOK + "a.vcf", body)
    assert (put.status, put.headers["etag"]) == (201, tag_of(body))
    got = device.ask("GET", BOOK + "a.vcf")
    assert (got.status, got.body) == (200, body)
    assert got.headers["etag"] == tag_of(body)
    assert got.headers["content-type"] == "text/vcard; charset=utf-8"
    assert got.headers["last-modified"].endswith("GMT")
    head = device.ask("HEAD", BOOK + "a.vcf")
    assert head.status == 200
    assert head.headers == got.headers
    again = device.put(BOOK + "a.vcf", body)
    assert (again.status, again.headers["etag"]) == (204, tag_of(body))
    changed = vcard("a", "B")
    assert device.put(BOOK + "a.vcf", changed).status == 204
    assert device.ask("GET", BOOK + "a.vcf").body == changed
    assert device.ask("DELETE", BOOK + "a.vcf").status == 204
    assert device.ask("GET", BOOK + "a.vcf").status == 404
    assert device.ask("DELETE", BOOK + "a.vcf").status == 404


def test_calendar_objects_go_where_their_component_belongs(device: Device) -> None:
    assert device.put(CALENDAR + "e.ics", event("e"), ICAL).status == 201
    assert device.put(TASKS + "t.ics", event("t", "VTODO"), ICAL).status == 201
    answer = device.put(TASKS + "e.ics", event("e"), ICAL)
    assert (answer.status, answer.error) == (403, "C:supported-calendar-component")
    assert device.ask("GET", CALENDAR + "e.ics").headers["content-type"] == "text/calendar; charset=utf-8"


def test_files_are_opaque(device: Device) -> None:
    for name, media, shown in (
        ("page.html", "text/html", "text/html"),
        ("x.jpg", "", "image/jpeg"),
        ("y.bin", "application/x-www-form-urlencoded", "application/octet-stream"),
        ("z", "not a type", "application/octet-stream"),
        ("w", "text/plain; charset=latin-1", "text/plain; charset=latin-1"),
    ):
        body = b"<script>\x00\xff" + name.encode()
        assert device.put(PHOTOS + name, body, media).status == 201
        got = device.ask("GET", PHOTOS + name)
        assert (got.body, got.headers["content-type"]) == (body, shown)
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"].startswith("sandbox")
    assert device.put(NOTES + "empty", b"").status == 201
    assert device.ask("GET", NOTES + "empty").body == b""


# -- conditions ----------------------------------------------------------------------------------------------


def test_conditional_get(device: Device) -> None:
    body = vcard("a")
    device.put(BOOK + "a.vcf", body)
    date = device.ask("GET", BOOK + "a.vcf").headers["last-modified"]

    def status(**headers: str) -> int:
        return device.ask("GET", BOOK + "a.vcf", b"", {k.replace("_", "-"): v for k, v in headers.items()}).status

    assert status(if_none_match=tag_of(body)) == 304
    assert status(if_none_match="W/" + tag_of(body)) == 304
    assert status(if_none_match="*") == 304
    assert status(if_none_match=tag_of(b"")) == 200
    assert status(if_modified_since=date) == 304
    assert status(if_match=tag_of(b"")) == 412
    assert status(if_match=tag_of(body)) == 200
    assert status(if_unmodified_since="Thu, 01 Jan 1970 00:00:00 GMT") == 412
    assert status(if_none_match="unquoted") == 400
    unmodified = device.ask("GET", BOOK + "a.vcf", b"", {"If-None-Match": tag_of(body)})
    assert unmodified.headers["etag"] == tag_of(body)


def test_conditional_put_and_delete(device: Device) -> None:
    path, first, second = BOOK + "a.vcf", vcard("a"), vcard("a", "B")
    assert device.put(path, first, if_match="*").status == 412
    assert device.put(path, first, if_match=tag_of(first)).status == 412
    assert device.put(path, first, if_none_match="*").status == 201
    assert device.put(path, second, if_none_match="*").status == 412
    assert device.put(path, second, if_none_match=tag_of(first)).status == 412
    assert device.put(path, second, if_match="W/" + tag_of(first)).status == 412
    assert device.put(path, second, if_match='"foreign"').status == 412
    assert device.put(path, second, if_match=tag_of(first)).status == 204
    refused = device.put(path, first, if_match=tag_of(first))
    assert (refused.status, refused.error) == (412, "")
    assert device.put(path, first, if_match="open").status == 400
    assert device.put(path, first, if_unmodified_since="Thu, 01 Jan 1970 00:00:00 GMT").status == 412
    assert device.ask("DELETE", path, b"", {"If-Match": tag_of(first)}).status == 412
    assert device.ask("DELETE", path, b"", {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}).status == 412
    assert device.ask("GET", path).body == second
    later = device.ask("GET", path).headers["last-modified"]
    assert device.put(path, first, if_unmodified_since=later).status == 204
    assert device.ask("DELETE", path, b"", {"If-Match": tag_of(first)}).status == 204
    assert device.ask("DELETE", path, b"", {"If-Match": "*"}).status == 404


def test_conditions_sent_twice_are_one_list(device: Device) -> None:
    body = vcard("a")
    device.put(BOOK + "a.vcf", body)
    twice = [(b"if-none-match", b'"other"'), (b"if-none-match", tag_of(body).encode())]
    assert device.ask("GET", BOOK + "a.vcf", raw_headers=twice).status == 304


# -- ranges, large bodies ------------------------------------------------------------------------------------

LARGE = bytes(range(256)) * 4000  # 1,024,000 bytes: a blob


@pytest.mark.parametrize("body", [b"0123456789", LARGE])
def test_ranges(device: Device, body: bytes) -> None:
    path = PHOTOS + "p"
    device.put(path, body)
    size = len(body)

    def part(value: str, **headers: str):
        return device.ask("GET", path, b"", {"Range": value, **{k.replace("_", "-"): v for k, v in headers.items()}})

    for value, start, end in (("bytes=2-5", 2, 6), ("bytes=7-", 7, size), ("bytes=-4", size - 4, size)):
        answer = part(value)
        assert (answer.status, answer.body) == (206, body[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = part(f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"], beyond.body) == (416, f"bytes */{size}", b"")
    assert part("bytes=0-1,3-4").body == body
    assert part("bytes=0-1", if_range=tag_of(body)).status == 206
    assert part("bytes=0-1", if_range=tag_of(b"x")).status == 200
    assert device.ask("GET", path).headers["accept-ranges"] == "bytes"
    assert device.ask("HEAD", path, b"", {"Range": "bytes=0-1"}).headers["content-length"] == str(size)


def test_a_large_file_is_streamed_both_ways(device: Device) -> None:
    chunks = [LARGE[n : n + 50_000] for n in range(0, len(LARGE), 50_000)]
    put = device.ask("PUT", PHOTOS + "big", chunks=chunks)
    assert (put.status, put.headers["etag"]) == (201, tag_of(LARGE))
    [stage] = device.gate.memory_blobs.stages
    assert stage.state == "finished"
    assert stage.largest < 512 * 1024
    got = device.ask("GET", PHOTOS + "big")
    assert got.body == LARGE
    assert len(got.pieces) > 3
    assert got.headers["content-length"] == str(len(LARGE))


def test_a_large_card_stays_inline_and_its_uid_is_known(device: Device) -> None:
    body = vcard("a", extra="PHOTO;ENCODING=b:" + "A" * 100_000 + "\r\n")
    assert device.put(BOOK + "a.vcf", body).status == 201
    assert device.gate.memory_blobs.kept == {}
    assert device.ask("GET", BOOK + "a.vcf").body == body
    assert device.put(BOOK + "b.vcf", body).error == "A:no-uid-conflict"


def test_a_client_that_goes_away_leaves_nothing(device: Device) -> None:
    for length in (None, len(LARGE)):
        sent = [(b"content-length", b"%d" % length)] if length else []
        answer = device.ask("PUT", PHOTOS + "big", chunks=[LARGE[:300_000]], gone=True, raw_headers=sent)
        assert (answer.status, answer.headers["connection"]) == (400, "close"), "for whoever still listens"
    short = device.ask("PUT", PHOTOS + "big", chunks=[b"abc"], raw_headers=[(b"content-length", b"10")])
    assert short.status == 400
    assert [s.state for s in device.gate.memory_blobs.stages] == ["aborted", "aborted"]
    assert device.gate.memory_blobs.kept == {}
    assert device.ask("GET", PHOTOS + "big").status == 404


def test_limits(device: Device) -> None:
    device.gate.max_object_bytes = 500
    device.gate.max_file_bytes = 100_000
    big = vcard("a", extra="NOTE:" + "x" * 600 + "\r\n")
    for path, media, element in ((BOOK + "a.vcf", CARD, "A"), (CALENDAR + "a.ics", ICAL, "C")):
        answer = device.put(path, big, media)
        assert (answer.status, answer.error) == (413, element + ":max-resource-size")
        assert device.ask("PUT", path, chunks=[big[:300], big[300:]]).status == 413
    assert device.put(PHOTOS + "p", b"x" * 100_001).status == 413
    assert device.ask("PUT", PHOTOS + "p", chunks=[b"x" * 90_000, b"x" * 90_000]).status == 413
    assert [s.state for s in device.gate.memory_blobs.stages] == ["aborted"]
    device.gate.max_request_bytes = 100
    assert device.propfind(BOOK, *["D:getetag"] * 20).status == 413


def test_a_body_that_is_not_here_is_never_absent(device: Device) -> None:
    device.put(PHOTOS + "big", LARGE)
    [name] = device.gate.memory_blobs.kept
    device.gate.memory_blobs.lost.add(name)
    answer = device.ask("GET", PHOTOS + "big")
    assert (answer.status, answer.error) == (503, "")
    assert device.ask("HEAD", PHOTOS + "big").status == 200
    assert device.propfind(PHOTOS + "big", "D:getetag").status == 207


def test_a_blob_that_rotted_is_never_served_whole(device: Device) -> None:
    device.put(PHOTOS + "big", LARGE)
    [name] = device.gate.memory_blobs.kept
    device.gate.memory_blobs.kept[name] = LARGE[:-1] + b"?"
    with pytest.raises(Exception, match="digest"):
        device.ask("GET", PHOTOS + "big")  # the connection breaks off before the last piece


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "media", "status", "error"),
    [
        (BOOK + "a.vcf", b"nonsense", CARD, 403, "A:valid-address-data"),
        (BOOK + "a.vcf", vcard("a").replace(b"UID:a\r\n", b""), CARD, 403, "A:valid-address-data"),
        (BOOK + "a.vcf", vcard("a").replace(b"3.0", b"2.1"), CARD, 403, "A:supported-address-data"),
        (BOOK + "a.vcf", vcard("a"), "application/json", 415, "A:supported-address-data"),
        (BOOK + "a.vcf", event("a"), ICAL, 415, "A:supported-address-data"),
        (CALENDAR + "a.ics", vcard("a"), CARD, 415, "C:supported-calendar-data"),
        (CALENDAR + "a.ics", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", ICAL, 403, "C:valid-calendar-data"),
        (
            CALENDAR + "a.ics",
            event("a").replace(b"VERSION:2.0", b"VERSION:1.0"),
            ICAL,
            403,
            "C:supported-calendar-data",
        ),
        (BOOK, vcard("a"), CARD, 405, ""),
        (BOOK + "a.vcf/", vcard("a"), CARD, 405, ""),
        ("/dav/anna/contacts/", vcard("a"), CARD, 405, ""),
        ("/dav/", b"x", CARD, 405, ""),
        ("/dav/anna/files/x", b"x", CARD, 403, ""),
        ("/dav/anna/scores/chess/x", b"x", CARD, 403, ""),
        ("/dav/anna/contacts/none/a.vcf", vcard("a"), CARD, 409, ""),
        (NOTES + "none/a.txt", b"x", "text/plain", 409, ""),
    ],
)
def test_what_cannot_be_put(device: Device, path: str, body: bytes, media: str, status: int, error: str) -> None:
    answer = device.put(path, body, media)
    assert (answer.status, answer.error) == (status, error)


def test_one_uid_one_resource(device: Device) -> None:
    device.put(BOOK + "a b.vcf".replace(" ", "%20"), vcard("u"))
    answer = device.put(BOOK + "c.vcf", vcard("u"))
    assert (answer.status, answer.error) == (409, "A:no-uid-conflict")
    assert answer.xml[0][0].text == BOOK + "a%20b.vcf"
    device.put(CALENDAR + "a.ics", event("u"), ICAL)
    assert device.put(CALENDAR + "b.ics", event("u"), ICAL).error == "C:no-uid-conflict"


def test_a_folder_is_no_file(device: Device) -> None:
    device.ask("MKCOL", NOTES + "f")
    device.put(NOTES + "x", b"x")
    assert device.put(NOTES + "f", b"x").status == 405
    assert device.ask("GET", NOTES + "f").status == 405
    assert device.put(NOTES + "x/y", b"x").status == 409
    assert device.ask("MKCOL", NOTES + "x").status == 405


def test_headers_that_a_put_cannot_have(device: Device) -> None:
    assert device.put(NOTES + "x", b"x", Content_Range="bytes 0-0/5").status == 400
    assert device.put(NOTES + "x", b"x", Content_Encoding="gzip").status == 415
    for length in ("-1", "x", "1e3", "9" * 40, ""):
        assert device.ask("PUT", NOTES + "x", b"x", {"Content-Length": length}).status == 400
    assert device.ask("GET", NOTES + "x").status == 404


def test_deleting_collections(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    assert device.ask("DELETE", BOOK, b"", {"Depth": "0"}).status == 400
    assert device.ask("DELETE", BOOK, b"", {"Depth": "infinity"}).status == 204
    assert device.propfind(BOOK).status == 404
    device.ask("MKCOL", NOTES + "a")
    device.put(NOTES + "a/x", b"x")
    assert device.ask("DELETE", NOTES + "a/").status == 204
    assert device.ask("GET", NOTES + "a/x").status == 404
    for path in (
        "/dav/",
        "/dav/anna/",
        "/dav/anna/contacts/",
        "/dav/anna/files/",
        NOTES,
        PHOTOS,
        "/dav/principals/anna/",
    ):
        answer = device.ask("DELETE", path)
        assert (path, answer.status, answer.error) == (path, 403, "")


def test_methods_that_do_not_apply(device: Device) -> None:
    for method in ("POST", "PATCH", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "SEARCH", "FOO", "TRACE"):
        answer = device.ask(method, BOOK + "a.vcf")
        assert (answer.status, answer.error) == (405, "")
        assert "PROPFIND" in answer.headers["allow"]
    assert device.ask("GET", BOOK).status == 405
    assert device.ask("HEAD", "/dav/").status == 405


def test_a_fault_of_ours_is_503_and_logged(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(command: object) -> None:
        raise ZeroDivisionError

    device.gate.execute = broken
    answer = device.put(BOOK + "a.vcf", vcard("a"))
    assert (answer.status, answer.error) == (503, "")
    assert "ZeroDivisionError" in caplog.text


def test_a_vault_that_is_down_is_503(device: Device) -> None:
    device.gate.log.failure = OperatorError("the vault is away")
    answer = device.put(BOOK + "a.vcf", vcard("a"))
    assert (answer.status, answer.error) == (503, "")
    assert device.ask("GET", BOOK + "a.vcf").status == 404


def test_a_new_password_ends_the_old_one(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    assert device.ask("OPTIONS", "/dav/").status == 200
    device.gate.engine.execute(SetPassword(account=account.id, password=device.gate.hasher.hash("new")))
    assert device.ask("OPTIONS", "/dav/").status == 401


BAD_PATHS = [
    b"/dav//anna/",
    b"/dav/anna//contacts/",
    b"/dav/anna/contacts/../../bob/",
    b"/dav/anna/contacts/default/%2e%2e",
    b"/dav/anna/contacts/default/a%00.vcf",
    b"/dav/anna/contacts/default/a%2Fb.vcf",
    b"/dav/anna/contacts/default/%ff.vcf",
    b"/dav/anna/contacts/default/%ED%A0%80",
    b"/dav/anna/contacts/default/" + b"x" * 300,
    b"/dav/anna/files/notes/" + b"x/" * 9000,
]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize(
    "method", ["GET", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "MKCALENDAR", "REPORT", "OPTIONS"]
)
def test_bad_paths(device: Device, path: bytes, method: str) -> None:
    answer = device.ask(method, path)
    assert (answer.status, answer.error) == (400, "")
