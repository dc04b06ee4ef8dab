"""Whatever a client sends, it gets an answer, and the answer is not that we failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.protocol import names
from tests.support.asgi import DECLARED, DavGate, Device, event, vcard


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    gate = DavGate(folder)
    gate.add_account("anna")
    found = Device(gate)
    yield found
    found.close()


_METHODS = st.sampled_from(
    ("GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR", "OPTIONS", "LOCK", "X")
)
_PIECES = (
    *("dav", "anna", "principals", "contacts", "calendars", "files", "notes", "photos", "default", "tasks"),
    *("a.vcf", "e.ics", "new", "", ".", "..", "%2F", "%00", "%ff", "%", "%zz", "é", "a" * 300, "*", "?x"),
)
_WILD = st.lists(st.sampled_from(_PIECES), max_size=7).map(lambda p: ("/dav/" + "/".join(p)).encode())
_HOMES = ("contacts/default/", "calendars/default/", "calendars/tasks/", "files/notes/", "files/photos/", "contacts/")
_NEAR = st.tuples(st.sampled_from(_HOMES), st.sampled_from(("", "a.vcf", "e.ics", "new", "new/x", "new/"))).map(
    lambda p: f"/dav/anna/{p[0]}{p[1]}".encode()
)
_VALUES = st.sampled_from(
    (
        *(
            "0",
            "1",
            "infinity",
            "",
            "-1",
            "*",
            '"x"',
            'W/"x"',
            '"' + "a" * 64 + '"',
            "bytes=0-",
            "bytes=-1",
            "bytes=9-1",
        ),
        *("text/vcard", "text/calendar", "text/xml", "gzip", "return=minimal", "t", "\xff", "0, 0", "x" * 5000),
        "Thu, 01 Jan 1970 00:00:00 GMT",
    )
)
_NAMES = st.sampled_from(
    (
        *("Depth", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range", "If"),
        *("Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "Prefer", "Brief", "User-Agent"),
    )
)
_PROP = "<D:prop><D:getetag/><D:sync-token/><x xmlns='urn:x'/><A:address-data/><C:calendar-data/></D:prop>"
_BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        (
            b"",
            vcard("u"),
            event("u"),
            f"<D:propfind {DECLARED}>{_PROP}</D:propfind>".encode(),
            f"<D:propfind {DECLARED}><D:propname/></D:propfind>".encode(),
            f"<D:propertyupdate {DECLARED}><D:set>{_PROP}</D:set></D:propertyupdate>".encode(),
            f"<D:propertyupdate {DECLARED}><D:set><D:prop><x/></D:prop></D:set></D:propertyupdate>".encode(),
            f"<D:sync-collection {DECLARED}><D:sync-token/>{_PROP}</D:sync-collection>".encode(),
            f"<A:addressbook-multiget {DECLARED}>{_PROP}<D:href>/dav/%ff</D:href></A:addressbook-multiget>".encode(),
            f"<C:calendar-multiget {DECLARED}>{_PROP}<D:href>e.ics</D:href></C:calendar-multiget>".encode(),
            f"<D:mkcol {DECLARED}><D:set>{_PROP}</D:set></D:mkcol>".encode(),
            f"<C:mkcalendar {DECLARED}/>".encode(),
        )
    ),
)


@settings(max_examples=400)
@given(
    method=_METHODS,
    path=st.one_of(_NEAR, _NEAR, _WILD),
    headers=st.dictionaries(_NAMES, _VALUES, max_size=4),
    body=_BODIES,
)
def test_every_request_gets_an_answer(
    shared: Device, method: str, path: bytes, headers: dict[str, str], body: bytes
) -> None:
    answer = shared.ask(method, path, body, headers)
    assert 200 <= answer.status < 500
    if answer.status >= 400 and method != "HEAD" and answer.status != 416:
        assert answer.xml is not None
    if answer.status == 207:
        assert list(answer.xml)


def test_many_namespaces_or_properties_are_refused_before_they_cost_anything(device: Device) -> None:
    """Each property is kept with every namespace around it: 20,000 of them and 200 properties took minutes."""
    namespaces = " ".join(f'xmlns:n{n}="urn:{n}"' for n in range(20_000))
    many = f"<D:propertyupdate {DECLARED} {namespaces}><D:set><D:prop>{'<x/>' * 200}</D:prop></D:set>"
    assert device.ask("PROPPATCH", "/dav/anna/contacts/default/", many + "</D:propertyupdate>").status == 400
    few = f"<D:propertyupdate {DECLARED}><D:set><D:prop>{'<x/>' * 100_000}</D:prop></D:set></D:propertyupdate>"
    assert device.ask("PROPPATCH", "/dav/anna/contacts/default/", few).status == 400


def test_long_names_are_not_remembered(device: Device) -> None:
    before = names._tag.cache_info().currsize
    for n in range(3):
        body = f"<D:propfind {DECLARED}><D:prop><x xmlns='urn:{n}{'y' * 10_000}'/></D:prop></D:propfind>"
        answer = device.ask("PROPFIND", "/dav/anna/", body, {"Depth": "0"})
        assert len(answer.listed[0][404]) == 1
    assert names._tag.cache_info().currsize == before


def test_a_name_with_the_prefix_xml_can_be_said_again(device: Device) -> None:
    body = f"<D:propfind {DECLARED}><D:prop><xml:x/></D:prop></D:propfind>"
    answer = device.ask("PROPFIND", "/dav/anna/", body, {"Depth": "0"})
    assert list(answer.listed[0][404]) == ["{http://www.w3.org/XML/1998/namespace}x"]


def test_a_proxys_double_slash_is_not_told_as_an_absence(device: Device) -> None:
    for path in ("//dav/anna/contacts/default/", "/dav//anna/contacts/default/"):
        assert device.ask("PROPFIND", path, b"", {"Depth": "0"}).status == 400


def test_names_that_are_no_text_are_not_made_into_one(device: Device) -> None:
    """As the server hands them over: what is no UTF-8 is replaced in `path`."""

    def ask(raw: bytes) -> int:
        body = b'{"score":1}'
        return device.ask("POST", b"/api/v1/scores/" + raw, body, path="/api/v1/scores/\ufffd").status

    assert ask(b"%ff") == 400
    assert ask(b"%EF%BF%BD") == 201
