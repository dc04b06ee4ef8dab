"""Request bodies as values, hostile ones included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from safehold.model.errors import BadRequest, UnsupportedMedia
from safehold.model.kinds import COMPONENTS, CollectionType
from safehold.protocol.making import read_mkcalendar, read_mkcol
from safehold.protocol.properties import MAX_VALUE_BYTES, refusal
from safehold.protocol.webdav import (
    ALLPROP,
    Instruction,
    Mode,
    PropFind,
    read_propfind,
    read_proppatch,
    read_report,
    read_sync_collection,
)
from safehold.protocol.xml import keep, parse

NS = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav"'


def propfind(inner: str) -> PropFind:
    return read_propfind(f"<D:propfind {NS}>{inner}</D:propfind>".encode())


def test_propfind() -> None:
    assert read_propfind(b"") == read_propfind(b" \r\n") == ALLPROP
    assert propfind("<D:allprop/>") == ALLPROP
    assert propfind("<D:allprop/><D:include><D:sync-token/></D:include>").names == ("{DAV:}sync-token",)
    assert propfind("<D:propname/>") == PropFind(Mode.PROPNAME)
    asked = propfind('<D:prop><D:getetag/><x/><y xmlns="urn:y"/><D:getetag/></D:prop>')
    assert asked == PropFind(Mode.PROP, ("{DAV:}getetag", "{}x", "{urn:y}y"))
    assert not propfind("<D:prop><C:calendar-data/></D:prop>").bodies  # bodies are for reports
    assert propfind("<D:prop/>") == PropFind(Mode.PROP)
    assert propfind("<D:prop><!-- nothing --><?pi x?><D:getetag/></D:prop>").names == ("{DAV:}getetag",)


@pytest.mark.parametrize(
    "body",
    [
        b"<",
        b"text",
        b"\x00",
        b"<a/>",
        b'<propfind xmlns="other"><prop/></propfind>',
        b'<D:propfind xmlns:D="DAV:"/>',
        b'<D:propfind xmlns:D="DAV:"><D:prop/><D:allprop/></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><bar:foo xmlns:bar=""/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><unbound:foo/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><D:x>&undefined;</D:x></D:prop></D:propfind>',
        b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop>\xff</D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop>' + b"<a>" * 5000 + b"</a>" * 5000 + b"</D:prop></D:propfind>",
        b'<D:propfind xmlns:D="DAV:"><D:prop>'
        + b"".join(b"<p%d/>" % i for i in range(300))
        + b"</D:prop></D:propfind>",
    ],
)
def test_bad_propfinds_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_propfind(body)


BOMB = """<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<D:propfind xmlns:D="DAV:"><D:prop><D:x>&b;</D:x></D:prop></D:propfind>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_document_type_is_refused(encoding: str) -> None:
    with pytest.raises(BadRequest):
        read_propfind(BOMB.encode(encoding))


def test_an_external_entity_is_not_fetched(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    body = f'<!DOCTYPE p [<!ENTITY e SYSTEM "file://{secret}">]><p>&e;</p>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(BadRequest) as refused:
            parse(body.encode(encoding))
        assert "hidden" not in refused.value.message


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for reader in (read_propfind, read_proppatch, read_report, read_mkcol, read_mkcalendar):
        try:
            reader(body)
        except (BadRequest, UnsupportedMedia):
            continue


def patch(inner: str) -> list[Instruction]:
    return read_proppatch(f"<D:propertyupdate {NS}>{inner}</D:propertyupdate>".encode())


def test_proppatch_keeps_document_order() -> None:
    steps = patch(
        "<D:set><D:prop><D:displayname>a</D:displayname></D:prop></D:set>"
        "<D:remove><D:prop><D:displayname/><x/></D:prop></D:remove>"
        '<D:set><D:prop><x xmlns="urn:x"><y/></x></D:prop></D:set>'
    )
    assert [(s.name, s.value is None) for s in steps] == [
        ("{DAV:}displayname", False),
        ("{DAV:}displayname", True),
        ("{}x", True),
        ("{urn:x}x", False),
    ]
    for bad in ("", "<D:set/>", "<D:set><D:prop/></D:set>", "<D:other/>"):
        with pytest.raises(BadRequest):
            patch(bad)


def kept(inner: str) -> str:
    return keep(parse(f'<D:set {NS} xmlns:u="urn:u" xml:lang="de"><D:prop>{inner}</D:prop></D:set>'.encode())[0][0])


def same(a: str, b: str) -> bool:
    return etree.tostring(etree.fromstring(a), method="c14n") == etree.tostring(etree.fromstring(b), method="c14n")


def test_a_value_is_kept_whole() -> None:
    assert kept("<x>a &lt; b &amp; c</x>tail") == '<x xml:lang="de">a &lt; b &amp; c</x>'
    assert kept('<x xml:lang="fr"/>') == '<x xml:lang="fr"/>'
    assert kept("<x>\r\n a&#13;b</x>") == '<x xml:lang="de">\n a&#13;b</x>'
    assert kept("<x><![CDATA[<b>]]></x>") == '<x xml:lang="de">&lt;b&gt;</x>'
    nested = '<u:x a="1" u:b="2"><D:y xmlns:v="urn:v"><v:z/>t</D:y></u:x>'
    assert same(
        kept(nested),
        '<u:x xmlns:u="urn:u" xmlns:D="DAV:" a="1" u:b="2" xml:lang="de"><D:y xmlns:v="urn:v"><v:z/>t</D:y></u:x>',
    )
    assert "carddav" not in kept(nested)
    # A prefix that only the application understands keeps its declaration.
    assert 'xmlns:u="urn:u"' in kept("<x>u:word</x>")
    assert 'xmlns:u="urn:u"' in kept('<x type="u:word"/>')


def test_a_kept_value_can_be_kept_again() -> None:
    once = kept('<u:x u:a="u:b">é😀<D:y/></u:x>')
    assert keep(parse(once.encode())) == once


def test_a_kept_property_may_have_any_letters_in_its_name() -> None:
    once = '<größe xmlns="urn:u" 幅="广">茶</größe>'
    assert keep(parse(once.encode())) == once


def test_sync_collection() -> None:
    def read(inner: str):
        return read_sync_collection(parse(f"<D:sync-collection {NS}>{inner}</D:sync-collection>".encode()))

    prop = "<D:prop><D:getetag/></D:prop>"
    assert read(f"<D:sync-token/><D:sync-level>1</D:sync-level>{prop}")[:2] == ("", None)
    assert read(f"<D:sync-token> t </D:sync-token>{prop}").token == "t"
    assert read(f"<D:limit><D:nresults>7</D:nresults></D:limit>{prop}").limit == 7
    for limit in ("", "0", "-1", "x", "²", "9" * 40):
        with pytest.raises(BadRequest):
            read(f"<D:limit><D:nresults>{limit}</D:nresults></D:limit>{prop}")
    with pytest.raises(BadRequest):
        read("<D:sync-token/>")
    assert read(f"<D:sync-level>infinite</D:sync-level>{prop}") == read(prop)
    with pytest.raises(BadRequest):
        read_report(b"")


def mkcol(inner: str, root: str = "D:mkcol"):
    body = f"<{root} {NS}><D:set><D:prop>{inner}</D:prop></D:set></{root}>".encode()
    return read_mkcol(body) if root == "D:mkcol" else read_mkcalendar(body)


def test_extended_mkcol() -> None:
    assert read_mkcol(b"").type is CollectionType.FOLDER
    book = mkcol("<D:resourcetype><D:collection/><A:addressbook/></D:resourcetype><D:displayname>B</D:displayname>")
    assert (book.type, book.refused) == (CollectionType.ADDRESSBOOK, {})
    assert list(book.props) == ["{DAV:}displayname"]
    calendar = mkcol("<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>")
    assert (calendar.type, calendar.components) == (CollectionType.CALENDAR, frozenset(COMPONENTS))
    strange = mkcol("<D:resourcetype><D:collection/><D:principal/></D:resourcetype>")
    assert strange.refused == {"{DAV:}resourcetype": ("403 Forbidden", "{DAV:}valid-resourcetype")}
    live = mkcol("<D:getetag>x</D:getetag><D:displayname>n</D:displayname>")
    assert list(live.refused) == ["{DAV:}getetag"]
    with pytest.raises(UnsupportedMedia):
        read_mkcol(b"<other/>")


def test_mkcalendar() -> None:
    assert read_mkcalendar(b"").components == frozenset(COMPONENTS)
    comps = '<C:supported-calendar-component-set><C:comp name="VTODO"/></C:supported-calendar-component-set>'
    assert mkcol(comps, "C:mkcalendar").components == {"VTODO"}
    unknown = '<C:supported-calendar-component-set><C:comp name="VPOLL"/></C:supported-calendar-component-set>'
    reason = mkcol(unknown, "C:mkcalendar").refused["{urn:ietf:params:xml:ns:caldav}supported-calendar-component-set"]
    assert reason[1].endswith("supported-calendar-component")
    assert mkcol(comps).refused  # a folder has no components
    zone = "BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nEND:VTIMEZONE\r\nEND:VCALENDAR"
    assert not mkcol(f"<C:calendar-timezone>{zone}</C:calendar-timezone>", "C:mkcalendar").refused
    bad = mkcol("<C:calendar-timezone>Europe/Berlin</C:calendar-timezone>", "C:mkcalendar").refused
    assert [why for _, why in bad.values()] == ["{urn:ietf:params:xml:ns:caldav}valid-calendar-data"]


def test_what_cannot_be_set() -> None:
    assert refusal(Instruction("{DAV:}displayname", "<x/>")) is None
    assert refusal(Instruction("{urn:x}y", None)) is None
    for name in ("getetag", "resourcetype", "sync-token", "lockdiscovery", "current-user-principal", "creationdate"):
        for value in ("<x/>", None):
            assert refusal(Instruction("{DAV:}" + name, value)) == (
                "403 Forbidden",
                "{DAV:}cannot-modify-protected-property",
            )
    assert refusal(Instruction("{urn:x}y", "x" * (MAX_VALUE_BYTES + 1))) == ("507 Insufficient Storage", "")
