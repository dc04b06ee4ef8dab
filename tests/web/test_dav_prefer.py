"""Preferences at the edge (RFC 7240, RFC 8144): what is followed is told, and what is not is passed over."""

from __future__ import annotations

import pytest

from tests.support.asgi import DECLARED, Device, event, tag_of, vcard

BOOK = "/dav/anna/contacts/default/"
CALENDARS = "/dav/anna/calendars/"
NOTES = "/dav/anna/files/notes/"
MINIMAL, REPRESENTATION = {"Prefer": "return=minimal"}, {"Prefer": "return=representation"}
SET = "<D:propertyupdate {}><D:set><D:prop><D:displayname>x</D:displayname>{}</D:prop></D:set></D:propertyupdate>"


@pytest.mark.parametrize("path", [BOOK, BOOK + "a.vcf", NOTES, "/dav/anna/contacts/"])
def test_a_minimal_proppatch_is_answered_without_a_body(device: Device, path: str) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    answer = device.ask("PROPPATCH", path, SET.format(DECLARED, ""), MINIMAL)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert answer.headers["vary"] == "Prefer, Brief"
    assert device.propfind(path, "D:displayname").text(path, "D:displayname") == "x"
    refused = device.ask("PROPPATCH", path, SET.format(DECLARED, "<D:getetag/>"), MINIMAL)
    assert set(refused.responses[path][403]) == {"D:getetag"}
    assert "preference-applied" not in refused.headers
    assert "preference-applied" not in device.ask("PROPPATCH", path, SET.format(DECLARED, "")).headers


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("MKCOL", NOTES + "x", ""),
        ("MKCALENDAR", CALENDARS + "x", ""),
        ("PUT", BOOK + "x.vcf", vcard("x").decode()),
    ],
)
def test_what_is_minimal_anyway_says_so(device: Device, method: str, path: str, body: str) -> None:
    answer = device.ask(method, path, body, MINIMAL)
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["preference-applied"] == "return=minimal"


def test_a_put_gives_back_what_is_stored(device: Device) -> None:
    body, newer = vcard("a", "Ännä"), vcard("a", "Bea")
    made = device.put(BOOK + "a.vcf", body, **REPRESENTATION)
    assert (made.status, made.body, made.headers["etag"]) == (201, body, tag_of(body))
    assert made.headers["content-type"] == "text/vcard; charset=utf-8"
    assert made.headers["content-location"] == BOOK + "a.vcf"
    assert made.headers["preference-applied"] == "return=representation"
    changed = device.put(BOOK + "a.vcf", newer, **REPRESENTATION)
    assert (changed.status, changed.body, changed.headers["etag"]) == (200, newer, tag_of(newer))
    refused = device.put(BOOK + "b.vcf", b"BEGIN:VCARD\r\nEND:VCARD\r\n", **REPRESENTATION)
    assert refused.status == 403
    assert refused.error


def test_a_large_file_is_given_back_too(device: Device) -> None:
    body = bytes(range(256)) * 4096
    answer = device.put(NOTES + "big", body, "image/jpeg", **REPRESENTATION)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (201, body, "image/jpeg")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert len(answer.pieces) > 2


def test_a_write_whose_body_cannot_be_read_back_is_done_all_the_same(device: Device) -> None:
    body = bytes(1 << 20)
    device.gate.memory_blobs.lost = _All()
    answer = device.put(NOTES + "big", body, "image/jpeg", **REPRESENTATION)
    assert (answer.status, answer.body, answer.headers["etag"]) == (201, b"", tag_of(body))
    assert "preference-applied" not in answer.headers
    refused = device.put(NOTES + "big", b"other", "image/jpeg", If_None_Match="*", **REPRESENTATION)
    assert (refused.status, refused.error) == (412, "")


class _All(set[bytes]):
    def __contains__(self, name: object) -> bool:
        return True


def test_a_refused_put_shows_what_is_there(device: Device) -> None:
    body = vcard("a")
    device.put(BOOK + "a.vcf", body)
    for condition in ({"If_None_Match": "*"}, {"If_Match": tag_of(b"other")}):
        shown = device.put(BOOK + "a.vcf", vcard("a", "Bea"), **condition, **REPRESENTATION)
        assert (shown.status, shown.body, shown.headers["etag"]) == (412, body, tag_of(body))
        assert shown.headers["preference-applied"] == "return=representation"
        plain = device.put(BOOK + "a.vcf", vcard("a", "Bea"), **condition)
        assert (plain.status, plain.error) == (412, "")
    absent = device.put(BOOK + "b.vcf", vcard("b"), If_Match="*", **REPRESENTATION)
    assert (absent.status, absent.error) == (412, "")


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (NOTES, [NOTES + "f/", NOTES + "n.txt"]),
        (BOOK, [BOOK + "a.vcf"]),
        ("/dav/anna/contacts/", [BOOK]),
        ("/dav/", ["/dav/principals/", "/dav/anna/"]),
    ],
)
def test_a_listing_without_its_root(device: Device, path: str, members: list[str]) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    device.put(NOTES + "n.txt", b"n", "text/plain")
    device.ask("MKCOL", NOTES + "f")
    answer = device.propfind(path, "D:resourcetype", depth="1", Prefer="depth-noroot, return=minimal")
    assert [r["href"] for r in answer.listed] == members
    assert answer.headers["preference-applied"] == "return=minimal, depth-noroot"
    alone = device.propfind(path, "D:resourcetype", depth="0", Prefer="depth-noroot")
    assert [r["href"] for r in alone.listed] == [path]
    assert "preference-applied" not in alone.headers
    assert len(device.propfind(path, depth="1").listed) == len(members) + 1


def test_a_listing_without_its_root_may_be_empty(device: Device) -> None:
    answer = device.propfind(NOTES, "D:getetag", depth="1", Prefer="depth-noroot")
    assert (answer.status, answer.listed) == (207, [])


@pytest.mark.parametrize("prefer", ['x="return=minimal"', "return=everything", "respond-async, wait=5", '"', "\xff"])
def test_what_is_not_known_changes_nothing(device: Device, prefer: str) -> None:
    device.put(CALENDARS + "default/e.ics", event("e"), "text/calendar")
    plain = device.propfind(CALENDARS + "default/", "D:getetag", "D:x", depth="1")
    asked = device.propfind(CALENDARS + "default/", "D:getetag", "D:x", depth="1", Prefer=prefer)
    assert (asked.body, asked.headers) == (plain.body, plain.headers)
