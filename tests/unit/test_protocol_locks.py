"""LOCK and UNLOCK on values: bodies, headers, and the properties that tell of locks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from safehold.model.errors import BadRequest, Forbidden, TooLarge, UnsupportedMedia
from safehold.model.locks import Lock, Scope
from safehold.protocol.locks import (
    DEFAULT_SECONDS,
    MAX_OWNER_BYTES,
    MAX_SECONDS,
    SUPPORTED,
    lock_document,
    parse_lock_token,
    parse_timeout,
    read_lockinfo,
)
from tests.support.asgi import DECLARED, q


def lockinfo(inner: str) -> bytes:
    return f"<D:lockinfo {DECLARED}>{inner}</D:lockinfo>".encode()


WRITE = "<D:locktype><D:write/></D:locktype>"
EXCLUSIVE = "<D:lockscope><D:exclusive/></D:lockscope>"


def test_a_lockinfo_names_scope_and_owner() -> None:
    info = read_lockinfo(lockinfo(EXCLUSIVE + WRITE))
    assert (info.scope, info.owner) == (Scope.EXCLUSIVE, "")
    shared = lockinfo(
        f'<D:owner xml:lang="de"><D:href>http://a/?b&amp;c</D:href></D:owner>{WRITE}'
        "<D:lockscope><D:shared/></D:lockscope>"
    )
    info = read_lockinfo(shared)
    assert info.scope is Scope.SHARED
    owner = etree.fromstring(info.owner)
    assert owner.tag == q("D:owner")
    assert owner.findtext(q("D:href")) == "http://a/?b&c"
    assert owner.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"


@pytest.mark.parametrize(
    ("inner", "error"),
    [
        ("", BadRequest),
        (EXCLUSIVE, BadRequest),
        (WRITE, BadRequest),
        (EXCLUSIVE + EXCLUSIVE + WRITE, BadRequest),
        ("<D:lockscope><D:exclusive/><D:shared/></D:lockscope>" + WRITE, BadRequest),
        ("<D:lockscope><D:sole/></D:lockscope>" + WRITE, Forbidden),
        (EXCLUSIVE + "<D:locktype><D:read/></D:locktype>", Forbidden),
        (EXCLUSIVE + WRITE + f"<D:owner>{'x' * MAX_OWNER_BYTES}</D:owner>", TooLarge),
    ],
)
def test_what_is_no_lockinfo(inner: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_lockinfo(lockinfo(inner))


def test_another_document_is_no_lockinfo() -> None:
    with pytest.raises(UnsupportedMedia):
        read_lockinfo(b'<propfind xmlns="DAV:"/>')
    with pytest.raises(BadRequest):
        read_lockinfo(b"<lockinfo")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, DEFAULT_SECONDS),
        ("", DEFAULT_SECONDS),
        ("Second-60", 60),
        ("second-60", 60),
        ("Infinite, Second-4100000000", MAX_SECONDS),
        ("Second-4100000000", MAX_SECONDS),
        ("Second-" + "9" * 5000, MAX_SECONDS),
        ("Second-0", 1),
        ("Extend-5, Second-7", 7),
        ("Second-x", DEFAULT_SECONDS),
        ("Second--1", DEFAULT_SECONDS),
    ],
)
def test_timeouts_are_bounded(value: str | None, seconds: int) -> None:
    assert parse_timeout(value) == seconds


@given(st.text(max_size=40))
def test_any_timeout_gives_a_lock_that_ends(value: str) -> None:
    assert 1 <= parse_timeout(value) <= MAX_SECONDS


def test_the_lock_token_header() -> None:
    assert parse_lock_token(" <urn:uuid:1> ") == "urn:uuid:1"
    for value in (None, "", "urn:uuid:1", "<>", "<x>", "<urn:a b>", "<urn:a>,<urn:b>", "(<urn:a>)", "<urn:é\x00>"):
        with pytest.raises(BadRequest):
            parse_lock_token(value)


def test_lockdiscovery() -> None:
    lock = Lock(
        token="urn:safehold:t",
        root="files/notes/ä b",
        folder=True,
        scope=Scope.SHARED,
        deep=True,
        owner='<owner xmlns="DAV:">me</owner>',
        until=100.0,
    )
    root = etree.fromstring(lock_document([lock], "anna", 40.5))
    active = root.find(f"{q('D:lockdiscovery')}/{q('D:activelock')}")
    assert root.tag == q("D:prop")
    assert active is not None
    assert [etree.QName(e).localname for e in active] == [
        *("locktype", "lockscope", "depth", "owner", "timeout", "locktoken", "lockroot")
    ]
    assert active.findtext(q("D:timeout")) == "Second-60"
    assert active.findtext(q("D:owner")) == "me"
    assert active.findtext(f"{q('D:locktoken')}/{q('D:href')}") == "urn:safehold:t"
    assert active.findtext(f"{q('D:lockroot')}/{q('D:href')}") == "/dav/anna/files/notes/%C3%A4%20b/"


def test_supportedlock_names_both_scopes() -> None:
    root = etree.fromstring(f"<x {DECLARED}>{SUPPORTED}</x>")
    scopes = [e[0].tag for e in root.iter(q("D:lockscope"))]
    assert scopes == [q("D:exclusive"), q("D:shared")]
