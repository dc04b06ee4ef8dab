"""MKCOL, extended MKCOL and MKCALENDAR: status and element of each refusal."""

from __future__ import annotations

import pytest

from safehold.model.kinds import Kind
from tests.support.asgi import DECLARED, ICAL, Device, event, q

CONTACTS = "/dav/anna/contacts/"
CALENDARS = "/dav/anna/calendars/"
NOTES = "/dav/anna/files/notes/"
BOOK_TYPE = "<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype>"
CALENDAR_TYPE = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>"
FOLDER_TYPE = "<D:resourcetype><D:collection/></D:resourcetype>"


def make(device: Device, path: str, inner: str, root: str = "D:mkcol", method: str = "MKCOL"):
    body = f"<{root} {DECLARED}><D:set><D:prop>{inner}</D:prop></D:set></{root}>"
    return device.ask(method, path, body, {"Content-Type": "application/xml; charset=utf-8"})


def mkcalendar(device: Device, path: str, inner: str = ""):
    if not inner:
        return device.ask("MKCALENDAR", path)
    return make(device, path, inner, "C:mkcalendar", "MKCALENDAR")


def components(*names: str) -> str:
    inner = "".join(f'<C:comp name="{n}"/>' for n in names)
    return f"<C:supported-calendar-component-set>{inner}</C:supported-calendar-component-set>"


def test_an_address_book_with_its_name(device: Device) -> None:
    answer = make(device, CONTACTS + "friends", BOOK_TYPE + "<D:displayname>Friends</D:displayname>")
    assert (answer.status, answer.body) == (201, b"")
    listed = device.propfind(CONTACTS, "D:displayname", "D:resourcetype", depth="1")
    assert listed.text(CONTACTS + "friends/", "D:displayname") == "Friends"
    assert q("A:addressbook") in [e.tag for e in listed.responses[CONTACTS + "friends/"][200]["D:resourcetype"]]


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (("VEVENT",), Kind.CALENDAR),
        (("VTODO",), Kind.TASKS),
        (("VJOURNAL",), Kind.NOTES),
        (("VEVENT", "VTODO"), Kind.CALENDAR),
        ((), Kind.CALENDAR),
    ],
)
def test_calendars_by_their_components(device: Device, wanted: tuple[str, ...], kind: Kind) -> None:
    answer = mkcalendar(device, CALENDARS + "new/", components(*wanted) if wanted else "")
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-cache")
    account = device.gate.reads.account_named("anna")
    assert device.gate.reads.collection(account.number, "calendars/new").kind is kind
    name = "C:supported-calendar-component-set"
    found = device.propfind(CALENDARS + "new", name).responses[CALENDARS + "new/"][200][name]
    assert [c.get("name") for c in found] == sorted(wanted or ("VEVENT", "VTODO", "VJOURNAL"))
    assert device.put(CALENDARS + "new/e.ics", event("e"), ICAL).status == (
        201 if "VEVENT" in wanted or not wanted else 403
    )


def test_a_calendar_by_extended_mkcol(device: Device) -> None:
    assert make(device, CALENDARS + "c", CALENDAR_TYPE + components("VTODO")).status == 201


def test_folders(device: Device) -> None:
    assert device.ask("MKCOL", NOTES + "a/").status == 201
    assert make(device, NOTES + "b", FOLDER_TYPE + "<D:displayname>B</D:displayname>").status == 201
    assert device.propfind(NOTES + "b", "D:displayname").text(NOTES + "b/", "D:displayname") == "B"


@pytest.mark.parametrize(
    ("path", "inner", "status", "error"),
    [
        (CONTACTS + "default", BOOK_TYPE, 405, "D:resource-must-be-null"),
        (CONTACTS, BOOK_TYPE, 405, "D:resource-must-be-null"),
        ("/dav/", "", 405, "D:resource-must-be-null"),
        (NOTES, "", 405, "D:resource-must-be-null"),
        (CONTACTS + "x", "", 403, "D:valid-resourcetype"),
        (CONTACTS + "x", CALENDAR_TYPE, 403, "C:calendar-collection-location-ok"),
        (CALENDARS + "x", BOOK_TYPE, 403, "A:addressbook-collection-location-ok"),
        (NOTES + "x", CALENDAR_TYPE, 403, "C:calendar-collection-location-ok"),
        (CONTACTS + "default/x", BOOK_TYPE, 403, ""),
        (CONTACTS + "none/x", BOOK_TYPE, 409, ""),
        (NOTES + "none/x", "", 409, ""),
        ("/dav/anna/files/other/", "", 403, ""),
        ("/dav/anna/scores/chess", "", 403, ""),
    ],
)
def test_where_no_collection_can_be_made(device: Device, path: str, inner: str, status: int, error: str) -> None:
    answer = make(device, path, inner) if inner else device.ask("MKCOL", path)
    assert (answer.status, answer.error) == (status, error)
    if status == 405:
        assert "PROPFIND" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        (CALENDARS + "default", 403, "D:resource-must-be-null"),
        (CALENDARS, 403, "D:resource-must-be-null"),
        (CALENDARS + "default/x", 403, "C:calendar-collection-location-ok"),
        (CALENDARS + "none/x", 409, ""),
        (CONTACTS + "x", 403, "C:calendar-collection-location-ok"),
        (NOTES + "x", 403, "C:calendar-collection-location-ok"),
        ("/dav/anna/x/y", 403, "C:calendar-collection-location-ok"),
    ],
)
def test_where_no_calendar_can_be_made(device: Device, path: str, status: int, error: str) -> None:
    answer = mkcalendar(device, path)
    assert (answer.status, answer.error) == (status, error)


def test_bodies_that_are_not_taken(device: Device) -> None:
    path = NOTES + "x"
    assert device.ask("MKCOL", path, b"afafaf", {"Content-Type": "xyz-foo/bar"}).status == 415
    assert device.ask("MKCOL", path, b"<other/>", {"Content-Type": "text/xml"}).status == 415
    assert device.ask("MKCOL", path, b"<", {"Content-Type": "text/xml"}).status == 400
    assert device.ask("MKCOL", path, b'<!DOCTYPE x><x xmlns="DAV:"/>').error == "D:no-external-entities"
    assert device.ask("MKCALENDAR", CALENDARS + "x", b"<other/>").status == 415
    assert device.ask("MKCALENDAR", CALENDARS + "x", b"<").status == 400
    assert device.propfind(path).status == device.propfind(CALENDARS + "x").status == 404


def stats(answer) -> dict[str, list[str]]:
    return {
        p.findtext(q("D:status"))[9:12]: [e.tag for e in p.find(q("D:prop"))] for p in answer.xml.iter(q("D:propstat"))
    }


def test_a_property_that_cannot_be_set_fails_the_making(device: Device) -> None:
    answer = make(device, CONTACTS + "x", BOOK_TYPE + "<D:getetag>1</D:getetag><D:displayname>n</D:displayname>")
    assert (answer.status, answer.xml.tag) == (403, q("D:mkcol-response"))
    assert stats(answer) == {"403": [q("D:getetag")], "424": [q("D:resourcetype"), q("D:displayname")]}
    strange = make(device, CONTACTS + "x", "<D:resourcetype><D:collection/><D:strange/></D:resourcetype>")
    assert strange.xml.find(f".//{q('D:error')}/{q('D:valid-resourcetype')}") is not None
    calendar = mkcalendar(device, CALENDARS + "x", components("VPOLL") + "<D:displayname>n</D:displayname>")
    assert (calendar.status, calendar.xml.tag) == (403, q("C:mkcalendar-response"))
    assert calendar.xml.find(f".//{q('D:error')}/{q('C:supported-calendar-component')}") is not None
    zone = mkcalendar(device, CALENDARS + "x", "<C:calendar-timezone>x</C:calendar-timezone>")
    assert zone.xml.find(f".//{q('D:error')}/{q('C:valid-calendar-data')}") is not None
    assert [device.propfind(p + "x").status for p in (CONTACTS, CALENDARS)] == [404, 404]
