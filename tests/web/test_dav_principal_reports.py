"""Reports on principals and access (RFC 3253 section 3.8, RFC 3744 section 9), with the bodies that clients send."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from safehold.model.errors import RequestError
from safehold.model.kinds import Kind
from safehold.protocol.names import DAV
from safehold.protocol.principal_reports import READERS
from safehold.protocol.xml import parse
from tests.support.asgi import DECLARED, Answer, DavGate, Device, event, q, vcard

ROOT, PRINCIPALS, ANNA = "/dav/", "/dav/principals/", "/dav/principals/anna/"
CALENDAR, BOOK, NOTES = "/dav/anna/calendars/default/", "/dav/anna/contacts/default/", "/dav/anna/files/notes/"
PLACES = (ROOT, PRINCIPALS, ANNA, "/dav/anna/", "/dav/anna/contacts/", "/dav/anna/calendars/", "/dav/anna/files/")

#: What macOS asks of a principal at its start.
MACOS_EXPAND = """<?xml version="1.0" encoding="UTF-8"?>
<A:expand-property xmlns:A="DAV:">
  <A:property name="calendar-proxy-read-for" namespace="http://calendarserver.org/ns/">
    <A:property name="email-address-set" namespace="http://calendarserver.org/ns/"/>
    <A:property name="displayname" namespace="DAV:"/>
  </A:property>
  <A:property name="calendar-proxy-write-for" namespace="http://calendarserver.org/ns/">
    <A:property name="displayname" namespace="DAV:"/>
  </A:property>
</A:expand-property>
"""


def expand(device: Device, path: str, inner: str, **headers: str) -> Answer:
    return device.ask("REPORT", path, f"<D:expand-property {DECLARED}>{inner}</D:expand-property>", headers)


def report(device: Device, path: str, name: str, inner: str = "", **headers: str) -> Answer:
    return device.ask("REPORT", path, f"<D:{name} {DECLARED}>{inner}</D:{name}>", headers)


# -- expand-property -------------------------------------------------------------------------------------------


def test_from_a_calendar_to_the_homes_of_its_owner_in_one_request(device: Device) -> None:
    answer = expand(
        device,
        CALENDAR,
        '<D:property name="owner"><D:property name="displayname"/>'
        '<D:property name="calendar-home-set" namespace="urn:ietf:params:xml:ns:caldav">'
        '<D:property name="resourcetype"/><D:property name="nothing"/></D:property></D:property>'
        '<D:property name="displayname"/><D:property name="group"/><D:property name="none" namespace="urn:x"/>',
    )
    found = answer.responses[CALENDAR]
    assert found[200]["D:displayname"].text == "Calendar"
    assert set(found[404]) == {"{urn:x}none"}
    [owner] = found[200]["D:owner"]
    assert owner.tag == q("D:response")
    assert owner.findtext(q("D:href")) == ANNA
    assert owner.findtext(f".//{q('D:displayname')}") == "anna"
    [home] = owner.find(f".//{q('C:calendar-home-set')}")
    assert home.findtext(q("D:href")) == "/dav/anna/calendars/"
    assert home.find(f".//{q('D:resourcetype')}/{q('D:collection')}") is not None
    assert [e.text for e in home.iter(q("D:status"))] == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]


@pytest.mark.parametrize("path", [*PLACES, CALENDAR, BOOK, NOTES, CALENDAR + "e.ics", NOTES + "n.txt"])
def test_every_resource_expands_its_properties(device: Device, path: str) -> None:
    device.put(CALENDAR + "e.ics", event("e"), "text/calendar")
    device.put(NOTES + "n.txt", b"n", "text/plain")
    answer = expand(
        device,
        path,
        '<D:property name="current-user-principal"><D:property name="principal-URL"/></D:property>'
        '<D:property name="supported-report-set"/>',
        Depth="0",
    )
    assert answer.listed[0]["href"] == path
    [inner] = answer.listed[0][200]["D:current-user-principal"]
    assert inner.findtext(f".//{q('D:principal-URL')}/{q('D:href')}") == ANNA
    minimal = expand(device, path, '<D:property name="nothing"/>', Prefer="return=minimal")
    assert minimal.responses[path] == {"href": path, "status": None, 200: {}, "200 error": [], "error": []}


def test_what_a_client_set_is_given_back_and_not_followed(device: Device) -> None:
    value = '<x:link xmlns:x="urn:x"><D:href xmlns:D="DAV:">/dav/principals/bob/</D:href></x:link>'
    device.proppatch(BOOK, f"<D:set><D:prop>{value}</D:prop></D:set>")
    inner = '<D:property name="link" namespace="urn:x"><D:property name="displayname"/></D:property>'
    found = expand(device, BOOK, inner).responses[BOOK][200]["{urn:x}link"]
    assert [e.tag for e in found] == [q("D:href")]
    assert b"displayname" not in expand(device, BOOK, inner).body


def test_macos_asks_for_proxies(device: Device) -> None:
    found = device.ask("REPORT", ANNA, MACOS_EXPAND, {"Depth": "0"}).responses[ANNA]
    assert set(found[404]) == {"S:calendar-proxy-read-for", "S:calendar-proxy-write-for"}


def test_quotas_are_expanded_as_they_are(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    inner = (
        '<D:property name="addressbook-home-set" namespace="urn:ietf:params:xml:ns:carddav">'
        '<D:property name="quota-used-bytes"/></D:property>'
    )
    answer = expand(device, ANNA, inner)
    assert [e.text for e in answer.xml.iter(q("D:quota-used-bytes"))] == [str(len(vcard("a")))]


@pytest.mark.parametrize(
    "inner",
    [
        '<D:property name="a b"/>',
        '<D:property name="&lt;x"/>',
        '<D:property name="x/>&lt;y"/>',
        "<D:property/>",
        '<D:property name="x" namespace="}y{"/>',
        '<D:property name="x" namespace="&lt;"/>',
        '<D:property name="x:y"/>',
        '<D:property name="x a=&apos;b&apos;"/>',
        "".join(f'<D:property name="x{n}"/>' for n in range(257)),
        '<D:property name="owner">' * 9 + "</D:property>" * 9,
        "<D:property name='owner'>" * 300 + "</D:property>" * 300,
    ],
)
def test_hostile_bodies(device: Device, inner: str) -> None:
    answer = expand(device, CALENDAR, inner)
    assert (answer.status, answer.error) == (400, "")


def test_names_cannot_break_out_of_the_answer(device: Device) -> None:
    inner = '<D:property name="x" namespace="a:b?c=&amp;d=&apos;e"/><D:property name="é" namespace=""/>'
    assert set(expand(device, CALENDAR, inner).responses[CALENDAR][404]) == {"{a:b?c=&d='e}x", "é"}


def test_the_largest_tree_stays_small(device: Device) -> None:
    """Each property names one resource at most, so an answer has no more responses than its request has properties."""
    inner = "".join(
        '<D:property name="owner"><D:property name="current-user-principal"><D:property name="owner">'
        f'<D:property name="p{n}"/></D:property></D:property></D:property>'.replace("owner", f"owner{n or ''}", 1)
        for n in range(60)
    )
    answer = expand(device, CALENDAR, inner)
    assert answer.status == 207
    assert sum(1 for _ in answer.xml.iter(q("D:response"))) <= 241


def test_what_is_not_whole_is_not_expanded(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    device.gate.hold(account, Kind.CALENDAR, "revisions are missing")
    answer = expand(device, CALENDAR, '<D:property name="owner"/>')
    assert (answer.status, answer.error) == (503, "")
    assert expand(device, "/dav/anna/contacts/none/", "").status == 404
    assert expand(device, "/dav/anna/nowhere/", "").status == 404
    assert expand(device, "/dav/principals/bob/", "").status == 403


# -- principals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PLACES)
def test_what_can_be_searched(device: Device, path: str) -> None:
    answer = device.ask("REPORT", path, '<A:principal-search-property-set xmlns:A="DAV:"/>')
    assert answer.status == 200
    assert answer.xml.tag == q("D:principal-search-property-set")
    names = [e[0].tag for e in answer.xml.iter(q("D:prop"))]
    assert names == [q("D:displayname"), q("C:calendar-user-address-set")]
    assert all(
        e.text and e.get("{http://www.w3.org/XML/1998/namespace}lang") for e in answer.xml.iter(DAV + "description")
    )


def search(*clauses: tuple[str, str], test: str = "", how: str = "") -> str:
    inner = "".join(
        f"<D:property-search><D:prop><{name}/></D:prop><D:match{how}>{text}</D:match></D:property-search>"
        for name, text in clauses
    )
    return (
        f"<D:principal-property-search {DECLARED}{test}>{inner}"
        "<D:prop><D:displayname/><D:principal-URL/></D:prop></D:principal-property-search>"
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (search(("D:displayname", "NN")), True),
        (search(("D:displayname", "")), True),
        (search(("D:displayname", "bob")), False),
        (search(("C:calendar-user-address-set", "/principals/anna")), True),
        (search(("S:email-address-set", "anna")), False),
        (search(("D:displayname", "anna"), ("S:email-address-set", "anna")), False),
        (search(("D:displayname", "an"), ("S:first-name", "an"), test=' test="anyof"'), True),
        (search(("D:displayname", "an"), how=' match-type="starts-with"'), True),
        (search(("D:displayname", "nna"), how=' match-type="starts-with"'), False),
        (search(("D:displayname", "nna"), how=' match-type="ends-with"'), True),
        (search(("D:displayname", "Anna"), how=' match-type="equals"'), True),
    ],
)
def test_who_is_found(device: Device, body: str, found: bool) -> None:
    for path in (PRINCIPALS, ANNA, ROOT):
        answer = device.ask("REPORT", path, body, {"Depth": "0"})
        assert [r["href"] for r in answer.listed] == [ANNA] * found
        if found:
            assert answer.text(ANNA, "D:displayname") == "anna"


def test_nobody_learns_who_else_lives_here(device: Device) -> None:
    """Whatever is searched for, another account is found as little as one that is not there."""
    for text in ("bob", "nobody", "b", "o"):
        answer = device.ask("REPORT", PRINCIPALS, search(("D:displayname", text)))
        assert (answer.status, answer.listed) == (207, [])
    names = device.propfind(PRINCIPALS, "D:displayname", depth="1")
    assert b"bob" not in names.body


def test_which_principal_is_the_sender(device: Device) -> None:
    self_ = "<D:self/><D:prop><D:principal-URL/></D:prop>"
    for path in (ROOT, PRINCIPALS):
        assert [r["href"] for r in report(device, path, "principal-match", self_).listed] == [ANNA]
    for path in (ANNA, "/dav/anna/", CALENDAR, NOTES):
        assert report(device, path, "principal-match", self_).listed == []
    owner = "<D:principal-property><D:owner/></D:principal-property>"
    assert [r["href"] for r in report(device, PRINCIPALS, "principal-match", owner).listed] == [ANNA]
    unknown = "<D:principal-property><D:x/></D:principal-property>"
    assert report(device, PRINCIPALS, "principal-match", unknown).listed == []
    answer = report(device, CALENDAR, "principal-match", owner)
    assert (answer.status, answer.error) == (403, "D:number-of-matches-within-limits")


def test_principals_that_an_acl_names(device: Device) -> None:
    device.put(CALENDAR + "e.ics", event("e"), "text/calendar")
    asked = "<D:prop><D:displayname/><D:x/></D:prop>"
    for path in (CALENDAR, CALENDAR + "e.ics", NOTES, "/dav/anna/", ANNA):
        [found] = report(device, path, "acl-principal-prop-set", asked).listed
        assert (found["href"], found[200]["D:displayname"].text, set(found[404])) == (ANNA, "anna", {"D:x"})
    assert report(device, ROOT, "acl-principal-prop-set", asked).listed == []


@pytest.mark.parametrize("name", ["principal-property-search", "principal-search-property-set", "principal-match"])
def test_reports_exist_where_they_are_told_to(device: Device, name: str) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    for path in (*PLACES, BOOK, BOOK + "a.vcf", NOTES):
        told = device.propfind(path, "D:supported-report-set").responses[path][200]["D:supported-report-set"]
        there = f"D:{name}" in {f"D:{etree.QName(e[0][0]).localname}" for e in told}
        answer = report(device, path, name, "<D:self/>")
        assert (answer.status == 403 and answer.error == "D:supported-report") == (not there)


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("principal-property-search", ""),
        ("principal-property-search", "<D:property-search><D:match>x</D:match></D:property-search>"),
        ("principal-property-search", "<D:property-search><D:prop><D:x/></D:prop></D:property-search>"),
        ("principal-property-search", "<D:property-search/>" * 300),
        (
            "principal-property-search",
            "<D:property-search><D:prop><D:x/></D:prop><D:match match-type='x'>x</D:match></D:property-search>",
        ),
        ("principal-match", ""),
        ("principal-match", "<D:principal-property/>"),
        ("principal-match", "<D:principal-property><D:a/><D:b/></D:principal-property>"),
        ("acl-principal-prop-set", "<D:prop/><D:prop/>"),
    ],
)
def test_bodies_that_make_no_sense(device: Device, name: str, inner: str) -> None:
    answer = report(device, PRINCIPALS, name, inner)
    assert (answer.status, answer.error) == (400, "")


def test_they_are_about_one_resource(device: Device) -> None:
    for depth in ("1", "infinity"):
        assert report(device, PRINCIPALS, "principal-match", "<D:self/>", Depth=depth).status == 400
        assert expand(device, CALENDAR, "", Depth=depth).status == 400


@given(
    st.sampled_from(sorted(READERS)),
    st.recursive(
        st.sampled_from(["", "<D:self/>", "<D:match>x</D:match>", '<D:property name="x"/>', '<D:property name=":"/>']),
        lambda inner: st.tuples(
            st.sampled_from(["D:prop", "D:property-search", "D:property", "D:principal-property", "D:match", "x"]),
            inner,
            inner,
        ).map(lambda t: f'<{t[0]} name="owner">{t[1]}{t[2]}</{t[0]}>'),
        max_leaves=12,
    ),
)
def test_every_body_is_read_or_refused(name: str, inner: str) -> None:
    root = parse(f'<{name[6:]} xmlns="DAV:" xmlns:D="DAV:">{inner}</{name[6:]}>'.encode())
    with contextlib.suppress(RequestError):
        READERS[name](root)


# -- ACL ---------------------------------------------------------------------------------------------------------


def test_acl_is_refused_with_a_reason(device: Device) -> None:
    body = (
        f"<D:acl {DECLARED}><D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege>"
        "</D:grant></D:ace></D:acl>"
    )
    device.put(BOOK + "a.vcf", vcard("a"))
    for path in (BOOK, BOOK + "a.vcf", "/dav/anna/", ROOT, ANNA):
        before = device.propfind(path, "D:acl").body
        answer = device.ask("ACL", path, body)
        assert (answer.status, answer.error) == (403, "D:no-protected-ace-conflict")
        assert device.propfind(path, "D:acl").body == before
        assert "ACL" not in device.ask("OPTIONS", path).headers["allow"]
    assert device.ask("ACL", BOOK + "none.vcf", body).status == 404
    assert device.ask("ACL", "/dav/anna/nowhere/", body).status == 404
    for bad in ("", "<", f"<D:x {DECLARED}/>"):
        assert device.ask("ACL", BOOK, bad).status == 400


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Device]:
    device = Device(DavGate(tmp_path))
    device.authorization = None
    yield device
    device.close()


def test_strangers_are_told_nothing(stranger: Device) -> None:
    for path in ("/", ROOT, PRINCIPALS, ANNA):
        for method in ("PROPFIND", "REPORT", "ACL"):
            if path == "/" and method != "PROPFIND":
                continue
            answer = stranger.ask(method, path, MACOS_EXPAND)
            assert (answer.status, answer.error) == (401, "")
            assert "www-authenticate" in answer.headers
