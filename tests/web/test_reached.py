"""Behind a proxy: client, scheme and host as the whole application sees them, DAV, REST and pages alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.protocol.forwarded import NOBODY, read_proxies
from safehold.web.app import make_app
from safehold.web.reached import as_sent, own_hosts
from safehold.web.request import Scope, joined_headers
from tests.support.asgi import DavGate
from tests.support.edge import Edge

ANNA = ("anna", "secret")
PROXY, CLIENT = "127.0.0.1", "203.0.113.9"
PATHS = ("/dav/anna/contacts/", "/api/v1/account", "/", "/devices")
TOLD = {"x-forwarded-for": CLIENT, "x-forwarded-proto": "https", "x-forwarded-host": "dav.example.org"}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    gate = DavGate(tmp_path)
    gate.add_account("anna")
    edge = Edge(gate, make_app(gate))
    yield edge
    edge.close()


def trust(edge: Edge, *proxies: str) -> None:
    edge.gate.proxies = read_proxies(proxies)


@pytest.mark.parametrize("path", PATHS)
def test_a_trusted_proxy_tells_who_asks(edge: Edge, path: str) -> None:
    trust(edge, PROXY)
    edge.ask("PROPFIND" if "/dav" in path else "GET", path, user=ANNA, headers=TOLD, peer=PROXY)
    assert edge.gate.peers == [CLIENT]


@pytest.mark.parametrize("path", PATHS)
def test_anybody_else_does_not(edge: Edge, path: str) -> None:
    for proxies, peer in (((), PROXY), ((PROXY,), "127.0.0.2")):
        trust(edge, *proxies)
        edge.gate.peers.clear()
        edge.ask("PROPFIND" if "/dav" in path else "GET", path, user=ANNA, headers=TOLD, peer=peer)
        assert edge.gate.peers == [peer]


def test_pages_show_the_address_that_the_proxy_was_asked_for(edge: Edge) -> None:
    inside = edge.ask("GET", "/", headers=TOLD, peer=PROXY).text
    assert "http://pim.example:8460/dav/" in inside
    assert "dav.example.org" not in inside
    trust(edge, PROXY)
    outside = edge.ask("GET", "/", headers=TOLD, peer=PROXY).text
    assert "https://dav.example.org/dav/" in outside
    assert "without encryption" not in outside


def test_the_configured_address_is_shown_however_a_visitor_came(edge: Edge) -> None:
    edge.gate.public_url = "https://pim.example.net:8443"
    text = edge.ask("GET", "/", headers={"host": "evil.example"}).text
    assert "https://pim.example.net:8443/dav/" in text
    assert "evil.example" not in text
    assert "without encryption" not in text


def test_guessing_is_slowed_for_each_client_of_a_proxy(edge: Edge) -> None:
    trust(edge, PROXY)

    def guess(client: str, password: str) -> int:
        user, headers = ("anna", password), {"x-forwarded-for": client}
        return edge.ask("OPTIONS", "/dav/", user=user, headers=headers, peer=PROXY).status

    assert [guess(CLIENT, f"wrong {n}") for n in range(12)][-1] == 429
    assert {guess("203.0.113.10", f"other {n}") for n in range(5)} == {401}
    assert guess(CLIENT, "last") == 429


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip"]),
        st.sampled_from([b"198.51.100.7", b"for=198.51.100.7;proto=https;host=evil", b"https", b"evil.example", b"::1"])
        | st.binary(max_size=40),
    ),
    max_size=6,
)


@given(_HEADERS, st.sampled_from(["192.0.2.1", "127.0.0.2", "::2", "", "unix:"]), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stranger_changes_nothing_of_the_request(
    headers: list[tuple[bytes, bytes]], peer: str, any_trusted: bool
) -> None:
    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "headers": [(b"host", b"pim.example"), *headers],
        "client": (peer, 1),
    }
    proxies = read_proxies([PROXY, "::1"]) if any_trusted else NOBODY
    assert as_sent(scope, proxies) is scope


def test_no_client_at_all_is_no_fault() -> None:
    scope: Scope = {"type": "http", "scheme": "http", "headers": [], "client": None}
    assert as_sent(scope, read_proxies([PROXY])) is scope
    assert as_sent(scope, read_proxies(["unix:"]))["client"] == ("", 0)


def test_a_server_is_known_by_what_the_device_the_proxy_and_the_configuration_call_it() -> None:
    """COPY and MOVE send the address that the device knows (RFC 4918 section 10.3)."""
    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "headers": [(b"host", b"127.0.0.1:8460"), (b"x-forwarded-host", b"dav.example.org")],
        "client": (PROXY, 1),
    }
    for proxies, public_url, hosts in (
        (read_proxies([PROXY]), "", ("dav.example.org", "127.0.0.1:8460")),
        (NOBODY, "", ("127.0.0.1:8460",)),
        (NOBODY, "https://pim.example:8443", ("127.0.0.1:8460", "pim.example:8443")),
        (read_proxies([PROXY]), "https://a.example", ("dav.example.org", "127.0.0.1:8460", "a.example")),
    ):
        sent = as_sent(scope, proxies)
        assert own_hosts(sent, joined_headers(sent["headers"]), public_url) == hosts
