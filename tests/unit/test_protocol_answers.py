"""Multistatus and error documents: well formed, complete, and what the standards say."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from safehold.model import errors
from safehold.model.change import GENESIS
from safehold.model.items import Collection, Item
from safehold.model.kinds import Kind
from safehold.model.token import parse_token
from safehold.protocol.multistatus import (
    ItemTemplate,
    data_element,
    document,
    patch_document,
    status_response,
    view_response,
)
from safehold.protocol.names import escape, escape_attribute, tag
from safehold.protocol.problems import error_body, headers_of, jittered, status_of
from safehold.protocol.properties import ALLPROP_NAMES, Facts, View, live_of
from safehold.protocol.sync import DeviceAhead, judge_collection, judge_point
from safehold.protocol.target import Place
from safehold.protocol.webdav import ALLPROP, Instruction, Mode, PropFind

D = "{DAV:}"
KEY = b"k" * 32
DEAD = {
    "{urn:x}note": '<note xmlns="urn:x">100 % &amp; more</note>',
    D + "displayname": '<displayname xmlns="DAV:">B</displayname>',
}
BOOK = Collection(7, b"c" * 16, 1, Kind.CONTACTS, "contacts/b", 9, b"h" * 32, 1, 0, 0, {"type": "addressbook", **DEAD})
CALENDAR = Collection(
    8,
    b"d" * 16,
    1,
    Kind.CALENDAR,
    "calendars/c",
    9,
    b"h" * 32,
    1,
    0,
    0,
    {"type": "calendar", "components": "VEVENT,VTODO"},
)
FOLDER = Collection(9, b"e" * 16, 1, Kind.NOTES, "files/notes", 9, b"h" * 32, 1, 0, 0, {"type": "folder"})


def view(collection: Collection) -> View:
    return View("/dav/anna/x/", Place.COLLECTION, "anna", collection, KEY, (1000, 2000))


def item(name: str, *, props: int | None = None, media: str = "text/vcard") -> Item:
    return Item(name, 2, sha256(name.encode("utf-8", "surrogatepass")).digest(), 5, media, 0, 0, 3, None, props)


def answers(lines: list[str]) -> list[dict[str, dict[str, etree._Element]]]:
    """For each response: status line -> property name -> element."""
    found = []
    for response in etree.fromstring(document(lines)):
        by_status = {}
        for propstat in response.findall(D + "propstat"):
            status = propstat.findtext(D + "status")
            by_status[status.split()[1]] = {e.tag: e for e in propstat.find(D + "prop")}
        found.append(by_status)
    return found


def ask(*names: str) -> PropFind:
    return PropFind(Mode.PROP, names)


def test_a_collection_answers_what_it_has_and_names_what_it_has_not() -> None:
    asked = ask(D + "displayname", D + "sync-token", D + "getetag", "{urn:x}note", "{urn:y}none", "{}bare", "{}type")
    [answer] = answers([view_response(view(BOOK), asked)])
    assert set(answer["200"]) == {D + "displayname", D + "sync-token", "{urn:x}note"}
    assert set(answer["404"]) == {D + "getetag", "{urn:y}none", "bare", "type"}
    point = parse_token(KEY, answer["200"][D + "sync-token"].text)
    assert point == (b"c" * 16, 9, b"h" * 16)
    [brief] = answers([view_response(view(BOOK), asked, minimal=True)])
    assert set(brief) == {"200"}
    [nothing] = answers([view_response(view(BOOK), ask("{urn:y}none"), minimal=True)])
    assert nothing == {"200": {}}


def test_allprop_and_propname_of_collections() -> None:
    [answer] = answers([view_response(view(BOOK), ALLPROP)])
    assert set(answer) == {"200"}
    assert {"{urn:x}note", D + "displayname", D + "resourcetype"} <= set(answer["200"])
    assert D + "sync-token" not in answer["200"]
    [more] = answers([view_response(view(BOOK), PropFind(Mode.ALLPROP, (D + "sync-token", "{urn:y}none")))])
    assert D + "sync-token" in more["200"]
    assert set(more["404"]) == {"{urn:y}none"}
    [names] = answers([view_response(view(BOOK), PropFind(Mode.PROPNAME))])
    assert set(names["200"]) == set(live_of(view(BOOK))) | set(DEAD)
    assert all(e.text is None and len(e) == 0 for e in names["200"].values())


@pytest.mark.parametrize(
    "place", [p for p in Place if p not in (Place.COLLECTION, Place.ITEM, Place.FILE, Place.NOWHERE)]
)
def test_every_fixed_place_answers_its_live_properties(place: Place) -> None:
    here = View("/dav/x/", place, "a&b", None, KEY, account_id=bytes(16), facts=Facts(1, 2, "3"))
    names = tuple(live_of(here))
    [answer] = answers([view_response(here, ask(*names))])
    assert set(answer["200"]) == set(names)
    assert answer["200"][D + "current-user-principal"][0].text == "/dav/principals/a%26b/"


def test_types_and_reports() -> None:
    def types(collection: Collection) -> set[str]:
        [answer] = answers([view_response(view(collection), ask(D + "resourcetype"))])
        return {e.tag for e in answer["200"][D + "resourcetype"]}

    assert types(FOLDER) == {D + "collection"}
    assert types(BOOK) == {D + "collection", "{urn:ietf:params:xml:ns:carddav}addressbook"}
    assert types(CALENDAR) == {D + "collection", "{urn:ietf:params:xml:ns:caldav}calendar"}
    component_set = "{urn:ietf:params:xml:ns:caldav}supported-calendar-component-set"
    [answer] = answers([view_response(view(CALENDAR), ask(component_set, D + "supported-report-set"))])
    assert [c.get("name") for c in answer["200"][component_set]] == ["VEVENT", "VTODO"]
    reports = {e[0][0].tag for e in answer["200"][D + "supported-report-set"]}
    caldav = ("calendar-multiget", "calendar-query", "free-busy-query")
    assert reports >= {D + "sync-collection", *("{urn:ietf:params:xml:ns:caldav}" + local for local in caldav)}
    assert D + "sync-token" not in live_of(view(FOLDER))


def test_items_with_and_without_dead_properties_answer_alike() -> None:
    names = (*ALLPROP_NAMES, D + "owner", D + "current-user-privilege-set", "{urn:x}note", "{urn:100%25}y")
    for asked in (ask(*names), ALLPROP, PropFind(Mode.PROPNAME), PropFind(Mode.ALLPROP, names)):
        for minimal in (False, True):
            template = ItemTemplate(asked, view(BOOK), minimal=minimal)
            assert template.needs_dead
            plain = item("a b&é.vcf")
            [fast] = answers(template.lines([plain]))
            [slow] = answers([template.line(plain, {"{urn:z}other": '<other xmlns="urn:z"/>'})])
            slow.get("200", {}).pop("{urn:z}other", None)
            assert {s: set(p) for s, p in fast.items()} == {s: set(p) for s, p in slow.items()}
            assert [template.line(plain, {})] == template.lines([plain])
    [dead] = answers([ItemTemplate(ask("{urn:x}note"), view(BOOK), minimal=False).line(item("a"), DEAD)])
    assert dead["200"]["{urn:x}note"].text == "100 % & more"


def test_a_listing_that_asks_for_live_properties_needs_no_dead_ones() -> None:
    template = ItemTemplate(ask(D + "getetag", D + "getcontenttype"), view(BOOK), minimal=False)
    assert not template.needs_dead
    first, second = answers(template.lines([item("a"), item("b", media='x/y;a="<&>"')]))
    assert first["200"][D + "getetag"].text == f'"{sha256(b"a").hexdigest()}"'
    assert second["200"][D + "getcontenttype"].text == 'x/y;a="<&>"'


def test_a_listed_item_has_tag_and_type_even_without_a_recorded_type() -> None:
    template = ItemTemplate(ask(D + "getetag", D + "getcontenttype"), view(FOLDER), minimal=True)
    [answer] = answers(template.lines([item("a", media="")]))
    assert answer["200"][D + "getcontenttype"].text == "application/octet-stream"


@given(st.text(max_size=80))
def test_text_survives_as_far_as_xml_can_say_it(text: str) -> None:
    read = etree.fromstring(f'<a b="{escape_attribute(text)}">{escape(text)}</a>'.encode())
    sayable = "".join(c if _sayable(c) else "?" for c in text)
    assert (read.text or "") == sayable
    assert read.get("b") == sayable


def _sayable(c: str) -> bool:
    n = ord(c)
    return n in (9, 10, 13) or 0x20 <= n <= 0xD7FF or 0xE000 <= n <= 0xFFFD or n >= 0x10000


def test_a_body_keeps_its_line_ends() -> None:
    name = "{urn:ietf:params:xml:ns:carddav}address-data"
    body = "BEGIN:VCARD\r\nFN:a<b>&c]]>é\r\n".encode()
    template = ItemTemplate(PropFind(Mode.PROP, (D + "getetag", name), data=name), view(BOOK), minimal=False)
    [answer] = answers([template.line(item("a"), {}, data_element(name, body))])
    assert answer["200"][name].text == body.decode()
    [dead] = answers([template.line(item("a"), DEAD, data_element(name, body))])
    assert dead["200"][name].text == body.decode()
    assert "\ufffd" in data_element(name, b"\xff\x00")


def test_names_without_prefix_declare_their_namespace() -> None:
    assert tag("{DAV:}x") == ("D:x", "")
    assert tag("{}x") == ("x", ' xmlns=""')
    assert tag('{u"&}x') == ("x", ' xmlns="u&quot;&amp;"')


def test_patches_are_atomic_in_their_answer() -> None:
    steps = [Instruction("{urn:a}x", "<x/>"), Instruction("{DAV:}getetag", None), Instruction("{urn:a}x", None)]
    refused = {"{DAV:}getetag": ("403 Forbidden", "{DAV:}cannot-modify-protected-property")}
    root = etree.fromstring(patch_document("/dav/x", steps, refused))
    stats = {p.findtext(D + "status"): [e.tag for e in p.find(D + "prop")] for p in root.iter(D + "propstat")}
    assert stats == {"HTTP/1.1 424 Failed Dependency": ["{urn:a}x"], "HTTP/1.1 403 Forbidden": [D + "getetag"]}
    assert root.find(f".//{D}error/{D}cannot-modify-protected-property") is not None
    done = etree.fromstring(patch_document("/dav/x", steps[:1], {}))
    assert [s.text for s in done.iter(D + "status")] == ["HTTP/1.1 200 OK"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRequest("x"), 400),
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.InvalidContent("x"), 403),
        (errors.BadToken("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.NotAllowed("x"), 405),
        (errors.Conflict("x"), 409),
        (errors.PreconditionFailed("x"), 412),
        (errors.TooLarge("x"), 413),
        (errors.UnsupportedMedia("x"), 415),
        (errors.TooManyAttempts("x"), 429),
        (errors.Held("x"), 503),
        (DeviceAhead("x"), 503),
        (errors.OutOfSpace("x"), 507),
        (errors.OperatorError("x"), 503),
        (errors.Damaged("x"), 503),
    ],
)
def test_every_error_has_its_status_and_an_xml_body(error: errors.SafeholdError, status: int) -> None:
    assert status_of(error) == status
    body = etree.fromstring(error_body(error))
    assert body.tag == D + "error"
    operators = isinstance(error, errors.OutOfSpace | errors.OperatorError | errors.Damaged)
    said = body.findtext("{urn:safehold:error}message")
    assert said and (said == "x") != operators, "what is the operator's names places of theirs"
    names = {name for name, _ in headers_of(error, status, 0)}
    assert (b"retry-after" in names) == (status in (429, 503, 507))
    assert (b"www-authenticate" in names) == (status == 401)


def test_an_error_names_its_element_and_resource() -> None:
    element = "{urn:ietf:params:xml:ns:caldav}no-uid-conflict"
    error = errors.Conflict("taken & gone", hint="<look>", element=element, href="calendars/c/a b.ics")
    body = etree.fromstring(error_body(error, "anna"))
    assert body.findtext(f"{element}/{D}href") == "/dav/anna/calendars/c/a%20b.ics"
    assert body.findtext("{urn:safehold:error}hint") == "<look>"
    assert etree.fromstring(error_body(errors.BadToken("x"))).find(D + "valid-sync-token") is not None
    assert etree.fromstring(error_body(errors.OutOfSpace("x"))).find(D + "sufficient-disk-space") is not None


def test_retries_are_spread_by_a_quarter() -> None:
    spread = {jittered(100, dice) for dice in range(256)}
    assert (min(spread), max(spread)) == (75, 125)
    assert jittered(1, 0) == 1


def test_points_of_tokens() -> None:
    point = parse_token(KEY, view(BOOK).token)
    assert judge_point(point, b"h" * 32) == 9
    for known in (None, GENESIS):
        with pytest.raises(DeviceAhead):
            judge_point(point, known)
    judge_collection(point, {BOOK.id, CALENDAR.id})
    with pytest.raises(DeviceAhead):
        judge_collection(point, {CALENDAR.id})


def test_a_status_without_properties() -> None:
    [response] = etree.fromstring(document([status_response("/dav/x", "404 Not Found", "{urn:e}why")], "t<>"))[:1]
    assert response.findtext(D + "status") == "HTTP/1.1 404 Not Found"
    assert response.find(f"{D}error/{{urn:e}}why") is not None
