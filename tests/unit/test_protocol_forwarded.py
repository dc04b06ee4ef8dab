"""Who asks: what proxies tell, whom they are believed, and that nobody else changes anything by a header (I42)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.protocol.forwarded import MAX_HOPS, NOBODY, Asked, Proxies, asked, read_proxies

PROXY, CLIENT, OTHER = "127.0.0.1", "203.0.113.9", "198.51.100.1"
TRUSTED = read_proxies(["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8:aaaa::/48"])
HOST = "dav.example.org"


def ask(headers: dict[str, str], peer: str = PROXY, proxies: Proxies = TRUSTED, scheme: str = "http") -> Asked:
    sent = {"host": "inner:8460"} | headers
    return asked(peer, scheme, {k.lower().encode(): v.encode("latin-1") for k, v in sent.items()}, proxies)


DIRECT = Asked(PROXY, "http", "inner:8460")


# -- the client ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "peer"),
    [
        (CLIENT, CLIENT),
        (f"{OTHER}, {CLIENT}", CLIENT),  # what stands before the first stranger is the stranger's word
        (f"{CLIENT}, 10.1.2.3, 127.0.0.1", CLIENT),
        (f"{CLIENT},10.1.2.3", CLIENT),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),  # all of them are ours: the farthest
        (f"{CLIENT}:51000", CLIENT),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("[2001:db8::7]:51000", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"{CLIENT}, ::ffff:10.1.2.3", CLIENT),
        (f"{CLIENT}, 2001:db8:aaaa::5", CLIENT),
        ("unix:", "unix:"),
        # What is no address ends the walk at the proxy that told of it.
        ("unknown", PROXY),
        ("", PROXY),
        (",", PROXY),
        ("_hidden", PROXY),
        ("localhost", PROXY),
        ("999.1.1.1", PROXY),
        ("1.2.3", PROXY),
        ("[::1", PROXY),
        (f"{CLIENT};", PROXY),
        ("\xe4", PROXY),
        (f"{OTHER}, unknown", PROXY),
        (f"{OTHER}, unknown, 10.1.2.3", "10.1.2.3"),
    ],
)
def test_x_forwarded_for(value: str, peer: str) -> None:
    assert ask({"X-Forwarded-For": value}).peer == peer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"for={CLIENT}", DIRECT._replace(peer=CLIENT)),
        (f"for={CLIENT};proto=https;host={HOST}", Asked(CLIENT, "https", HOST)),
        (f'FOR="{CLIENT}" ; Proto=HTTPS;by=203.0.113.43', Asked(CLIENT, "https", "inner:8460")),
        ('for="[2001:db8:cafe::17]:4711"', DIRECT._replace(peer="2001:db8:cafe::17")),
        (f'for="{CLIENT}:80", for=10.0.0.2', DIRECT._replace(peer=CLIENT)),
        (f"for={OTHER};host=evil.example, for={CLIENT};host={HOST}", Asked(CLIENT, "http", HOST)),
        (f'for={CLIENT};host="dav.example.org:8443"', Asked(CLIENT, "http", "dav.example.org:8443")),
        ("for=unknown", DIRECT),
        ("for=_gazonk", DIRECT),
        ('for="_gazonk:4711";proto=https', DIRECT._replace(scheme="https")),
        ("proto=https", DIRECT._replace(scheme="https")),
        (f'for="{CLIENT}', DIRECT),
        (f'for="x, for={CLIENT}', DIRECT),
        (f"for={CLIENT},", DIRECT),
        (f"for={CLIENT}; proto = https", DIRECT),
        ("nonsense", DIRECT),
        ("", DIRECT),
        (f"for={CLIENT};for={OTHER}", DIRECT._replace(peer=CLIENT)),
        ('for="\\1\\9\\8.51.100.1"', DIRECT._replace(peer=OTHER)),
    ],
)
def test_forwarded(value: str, expected: Asked) -> None:
    """RFC 7239 section 4; malformed ones tell nothing."""
    assert ask({"Forwarded": value}) == expected


def test_headers_of_both_sorts_must_tell_of_the_same_client() -> None:
    """A proxy that writes one sort passes the other on as the client sent it."""
    same = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "Forwarded": f"for={CLIENT};host={HOST}"}
    assert ask(same) == Asked(CLIENT, "https", HOST)
    assert ask({"X-Forwarded-For": CLIENT, "Forwarded": f"for={OTHER}"}) == DIRECT
    assert ask({"X-Forwarded-For": OTHER, "Forwarded": f"for={CLIENT}"}) == DIRECT
    assert ask({"X-Forwarded-For": CLIENT, "Forwarded": "garbage"}) == DIRECT


def test_scheme_and_host_come_from_the_hop_that_is_the_client() -> None:
    of = {"X-Forwarded-For": f"{CLIENT}, 10.0.0.2"}
    assert ask(of | {"X-Forwarded-Proto": "https, http"}).scheme == "https"
    assert ask(of | {"X-Forwarded-Proto": "https"}).scheme == "https"
    assert ask(of | {"X-Forwarded-Host": f"{HOST}, inner"}).host == HOST
    assert ask(of | {"X-Forwarded-Host": HOST}).host == HOST
    assert ask({"X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST}) == Asked(PROXY, "https", HOST)


@pytest.mark.parametrize("value", ["ftp", "https://", "", "HTTPS ,", "javascript", "x" * 400])
def test_a_scheme_that_is_none_is_not_taken(value: str) -> None:
    assert ask({"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": value}) == DIRECT._replace(peer=CLIENT)


@pytest.mark.parametrize("value", ["<script>", "a b", "a/b", "a@b", "a:b", "a:99999", "", "x" * 400, "\xe9"])
def test_a_host_that_is_none_is_not_taken(value: str) -> None:
    assert ask({"X-Forwarded-For": CLIENT, "X-Forwarded-Host": value}) == DIRECT._replace(peer=CLIENT)
    assert asked(PROXY, "http", {b"host": value.encode("latin-1")}, NOBODY).host == ""


def test_peers_of_a_socket_are_trusted_only_where_they_are_named() -> None:
    with_unix = read_proxies(["unix:"])
    for peer in ("", "unix:", "unix:/run/safehold.sock"):
        assert ask({"X-Forwarded-For": CLIENT}, peer).peer == peer
        assert ask({"X-Forwarded-For": CLIENT}, peer, with_unix).peer == CLIENT
    assert ask({"X-Forwarded-For": CLIENT}, PROXY, with_unix).peer == PROXY
    both = read_proxies(["unix:", "127.0.0.1"])
    assert ask({"X-Forwarded-For": f"{CLIENT}, unix:"}, PROXY, both).peer == CLIENT
    assert ask({"X-Forwarded-For": f"{CLIENT}, unix:"}, PROXY, TRUSTED).peer == "unix:"


def test_hops_are_bounded() -> None:
    many = ", ".join([CLIENT, *["10.0.0.1"] * 1000])
    assert ask({"X-Forwarded-For": many}).peer == "10.0.0.1"
    few = ", ".join([CLIENT, *["10.0.0.1"] * (MAX_HOPS - 1)])
    assert ask({"X-Forwarded-For": few}).peer == CLIENT


# -- properties ------------------------------------------------------------------------------------------------

_NODES = st.sampled_from(
    [PROXY, CLIENT, OTHER, "10.1.2.3", "::1", "[::1]:80", "2001:db8::7", "unknown", "_x", "unix:", "", '"', "a,b", ";"]
) | st.text(st.characters(max_codepoint=255), max_size=20)
_VALUES = (
    st.lists(_NODES, max_size=6).map(", ".join)
    | st.lists(_NODES.map(lambda node: f'for="{node}";proto=https;host=evil.example'), max_size=6).map(", ".join)
    | st.sampled_from(["https", "http", "evil.example", "https, http"])
    | st.text(st.characters(max_codepoint=255), max_size=60)
)
_NAMES = st.sampled_from(
    [b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"x-forwarded-port"]
)
_HEADERS = st.dictionaries(_NAMES, _VALUES.map(lambda value: value.encode("latin-1")))
_ADDRESSES = st.ip_addresses().map(str)


@given(_ADDRESSES | st.sampled_from(["", "unix:"]), st.sampled_from(["http", "https"]), _HEADERS)
def test_no_header_of_a_peer_that_is_not_trusted_changes_anything(
    peer: str, scheme: str, headers: dict[bytes, bytes]
) -> None:
    proxies = TRUSTED if not TRUSTED.trusts(peer) else NOBODY
    assert asked(peer, scheme, {b"host": HOST.encode()} | headers, proxies) == Asked(peer, scheme, HOST)


@given(_HEADERS)
def test_whatever_a_trusted_proxy_passes_on_the_answer_is_one_that_can_be_used(headers: dict[bytes, bytes]) -> None:
    found = asked(PROXY, "http", {b"host": HOST.encode()} | headers, TRUSTED)
    assert found.scheme in ("http", "https")
    assert found.peer == "unix:" or ip_address(found.peer)
    assert found.host and not set(found.host) & set(' /@<>"')


@given(_ADDRESSES, st.lists(_VALUES, max_size=3))
def test_what_the_client_writes_before_the_proxys_own_word_changes_nothing(client: str, forged: list[str]) -> None:
    """A proxy that appends: the client is what it appended, whatever stood there."""
    value = ", ".join([*forged, client])
    found = ask({"X-Forwarded-For": value})
    if not TRUSTED.trusts(client):
        assert ip_address(found.peer) == (getattr(ip_address(client), "ipv4_mapped", None) or ip_address(client))
