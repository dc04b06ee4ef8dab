"""Names as clients send them: kept as they are, whatever they hold that a URL can say."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest

from tests.support.asgi import Device, tag_of

NOTES = "/dav/anna/files/notes/"

NFC, NFD = unicodedata.normalize("NFC", "Grüße ñ.txt"), unicodedata.normalize("NFD", "Grüße ñ.txt")
NAMES = [
    NFC,
    NFD,
    "a;b=c,d",
    "a#b?c&d",
    "a%2Fb",
    "100%",
    "a b+c",
    "'quotes\" and \\",
    "[x] {y} <z>",
    "日本語 👩‍👩‍👧",
    "ﬁ ligature",
    "._x",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "~$doc.docx",
    "...",
    "CON",
    "trailing.",
    " space ",
    "x" * 255,
    "ä" * 127 + "x",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back_as_it_was_sent(device: Device, name: str) -> None:
    path = NOTES + quote(name, safe="")
    assert device.put(path, name.encode(), "text/plain").status == 201
    assert device.ask("GET", path).body == name.encode()
    listed = device.propfind(NOTES, "D:getetag", depth="1").responses
    assert set(listed) == {NOTES, path}
    assert device.ask("MOVE", path, b"", {"Destination": NOTES + "other"}).status == 201
    assert device.ask("MOVE", NOTES + "other", b"", {"Destination": "http://h" + path, "Host": "h"}).status == 201
    assert device.ask("GET", path).headers["etag"] == tag_of(name.encode())
    if len(name.encode()) <= 200:
        folder = NOTES + quote("in " + name, safe="")
        assert device.ask("MKCOL", folder + "/").status == 201
        assert device.ask("COPY", path, b"", {"Destination": f"{folder}/{quote(name, safe='')}"}).status == 201
        assert device.ask("GET", f"{folder}/{quote(name, safe='')}").body == name.encode()
        assert device.ask("MOVE", folder, b"", {"Destination": NOTES + "folder"}).status == 201
        assert device.ask("GET", f"{NOTES}folder/{quote(name, safe='')}").body == name.encode()
    assert device.ask("DELETE", path).status == 204


def test_two_forms_of_one_letter_are_two_names(device: Device) -> None:
    for name in (NFC, NFD):
        assert device.put(NOTES + quote(name), name.encode(), "text/plain").status == 201
    listed = device.propfind(NOTES, "D:getetag", depth="1").responses
    assert set(listed) == {NOTES, NOTES + quote(NFC), NOTES + quote(NFD)}
    assert [device.ask("GET", NOTES + quote(name)).body for name in (NFC, NFD)] == [NFC.encode(), NFD.encode()]


def test_case_makes_another_name(device: Device) -> None:
    assert device.put(NOTES + "Readme", b"1", "text/plain").status == 201
    assert device.put(NOTES + "README", b"2", "text/plain").status == 201
    assert device.ask("MOVE", NOTES + "Readme", b"", {"Destination": NOTES + "readme"}).status == 201
    assert device.ask("GET", NOTES + "readme").body == b"1"


def test_one_name_however_it_is_encoded(device: Device) -> None:
    assert device.put(NOTES + "%61b%7Ec", b"1", "text/plain").status == 201
    for spelled in ("ab~c", "%61%62%7e%63", "a%62~c"):
        assert device.ask("GET", NOTES + spelled).body == b"1"
        assert device.ask("COPY", NOTES + spelled, b"", {"Destination": NOTES + "ab%7ec"}).status == 403
        assert device.ask("PUT", NOTES + "x", b"", {"If": f"<{NOTES}{spelled}> ([{tag_of(b'1')}])"}).status in (
            201,
            204,
        )


@pytest.mark.parametrize(
    "name", ["a%2Fb", "%2e", "%2E%2e", "%00", "a%0Ab", "%c3", "%ed%a0%80", "x" * 256, "%C3%A4" * 128, "a%7F", "%C2%85"]
)
def test_names_that_cannot_be(device: Device, name: str) -> None:
    device.put(NOTES + "a", b"1", "text/plain")
    path = NOTES + name
    assert device.put(path, b"1", "text/plain").status == 400
    for method in ("MKCOL", "GET", "DELETE", "LOCK", "COPY"):
        assert device.ask(method, path).status == 400, method
    for method in ("COPY", "MOVE"):
        assert device.ask(method, NOTES + "a", b"", {"Destination": path}).status == 400
    assert device.ask("PUT", NOTES + "a", b"1", {"If": f"<{path}> (Not <DAV:no-lock>)"}).status == 400
    assert set(device.propfind(NOTES, "D:getetag", depth="1").responses) == {NOTES, NOTES + "a"}


def test_slashes_at_the_end(device: Device) -> None:
    assert device.put(NOTES + "x/", b"1", "text/plain").status == 405
    assert device.put(NOTES + "file", b"1", "text/plain").status == 201
    assert device.ask("MKCOL", NOTES + "one").status == 201
    assert device.ask("MKCOL", NOTES + "two/").status == 201
    for folder in ("one", "one/", "two", "two/"):
        assert device.ask("GET", NOTES + folder).status == 405
        assert device.put(NOTES + folder, b"1", "text/plain").status == 405
        assert device.ask("MKCOL", NOTES + folder).status == 405
        (told,) = device.propfind(NOTES + folder, "D:resourcetype").listed
        assert told["href"] == NOTES + folder.rstrip("/") + "/"
    assert device.ask("MKCOL", NOTES + "file").status == 405
    assert device.ask("MKCOL", NOTES + "file/").status == 405
    assert device.ask("DELETE", NOTES + "one").status == 204
    assert device.ask("DELETE", NOTES + "two/").status == 204


def test_a_part_of_a_body_is_not_put(device: Device) -> None:
    device.put(NOTES + "a", b"0123456789", "text/plain")
    answer = device.ask("PUT", NOTES + "a", b"xx", {"Content-Range": "bytes 2-3/10"})
    assert answer.status == 400
    assert device.ask("GET", NOTES + "a").body == b"0123456789"
