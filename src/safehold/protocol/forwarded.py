"""Who asks, and under which address: what proxies tell of it, as far as they are believed.

A proxy connects in the client's place. What it tells of the client stands in `Forwarded` (RFC 7239) or in
X-Forwarded-For, -Proto and -Host. Anybody can send these headers, so they count only where the peer of the connection
is a proxy that the configuration names; then the hops are read from the nearest on, and the first that is not such a
proxy is the client. Rules:

- A peer that is not trusted changes nothing by any header (I42).
- A hop that is no address (`unknown`, an obfuscated name, something malformed) ends the walk: what stands before it
  may be the client's own invention, and the proxy that told of it takes its place.
- Where both sorts of headers are there and tell of different clients, neither is believed: most proxies write one
  sort and pass the other on as the client sent it.
- Hosts and schemes that are none are not taken.

Pure and bounded: at most MAX_HOPS hops are looked at, of at most MAX_VALUE characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

MAX_HOPS = 16
MAX_VALUE = 300

#: A peer that came by a socket of the file system and has no address; nginx writes it so too.
UNIX = "unix:"

_SCHEMES = frozenset(("http", "https"))
#: A Host (RFC 9110 section 7.2): a name or an address, and a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?", re.ASCII)
_PAIR = re.compile(r"""[ \t]*([A-Za-z]{1,20})=(?:"((?:[^"\\]|\\.){0,300})"|([^\s",;=]{1,300}))[ \t]*([;,]|\Z)""")
_QUOTED = re.compile(r"\\(.)")
_PORTED = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[A-Za-z0-9._-]{1,32})?", re.ASCII)

Network = IPv4Network | IPv6Network
Headers = Mapping[bytes, bytes]


class Proxies(NamedTuple):
    """Whom forwarded headers are believed: addresses, networks, and `unix:` for peers without an address."""

    entries: tuple[str, ...] = ()

    def trusts(self, peer: str) -> bool:
        """Whether this address is that of a proxy of ours."""
        return bool(self.entries) and _trusts(self.entries, peer)


NOBODY = Proxies()


@lru_cache(maxsize=1024)
def _trusts(entries: tuple[str, ...], peer: str) -> bool:
    if not peer or peer.startswith(UNIX):
        return UNIX in entries
    address = _address(peer)
    return address is not None and any(address in network for network in _networks(entries))


@lru_cache(maxsize=16)
def _networks(entries: tuple[str, ...]) -> list[Network]:
    return [ip_network(entry) for entry in entries if entry != UNIX]


def read_proxies(entries: Iterable[str]) -> Proxies:
    """Addresses, networks (`10.0.0.0/8`) and `unix:` as the configuration names them. Raises ValueError.

    That is also where one of them would be everybody.
    """
    found = Proxies(tuple(entries))
    for entry in found.entries:
        if entry != UNIX:
            _check_network(entry)
    return found


def _check_network(entry: str) -> None:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        raise ValueError("it is neither an address nor a network") from None
    if network.prefixlen == 0:
        raise ValueError("it is everybody: name your proxies")
    if "/" in entry and ip_address(entry.partition("/")[0]) != network.network_address:
        raise ValueError(f"it is an address with a network's length: the network is {network}")


class Asked(NamedTuple):
    """Who asks and under which address. `host` is as in Host, "" where there is none or it is none."""

    peer: str
    scheme: str
    host: str


class _Told(NamedTuple):
    """The headers as they came, in the order of _NAMES; None where one is not there."""

    forwarded: bytes | None
    peers: bytes | None
    schemes: bytes | None
    hosts: bytes | None


_NAMES = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_REMEMBERED_BYTES = 512


class _Hop(NamedTuple):
    """What one proxy tells of who connected to it; None where it does not, or not in a way that can be understood."""

    peer: str | None
    scheme: str | None = None
    host: str | None = None


def asked(peer: str, scheme: str, headers: Headers, proxies: Proxies) -> Asked:
    """Who asks. `peer`, the other end of the connection, and `scheme` are as the server sees them.

    Headers that were sent more than once are joined with commas, as RFC 9110 section 5.3 has it.
    """
    direct = Asked(peer, scheme if scheme in _SCHEMES else "http", _host(_text(headers.get(b"host"))) or "")
    if not proxies.trusts(peer):
        return direct
    told = _Told(*map(headers.get, _NAMES))
    decide = _remembered if sum(len(value or b"") for value in told) <= _REMEMBERED_BYTES else _decided
    return decide(direct, told, proxies)


def _decided(direct: Asked, told: _Told, proxies: Proxies) -> Asked:
    ways = [hops for hops in (_forwarded(told.forwarded), _x_forwarded(told)) if hops is not None]
    found = [_client(hops, proxies) for hops in ways]
    if not found or any(hop.peer != found[0].peer for hop in found):
        return direct
    return Asked(
        found[0].peer or direct.peer,
        next((hop.scheme for hop in found if hop.scheme), direct.scheme),
        next((hop.host for hop in found if hop.host), direct.host),
    )


#: A device sends the same through the same proxy for as long as it lives.
_remembered = lru_cache(maxsize=1024)(_decided)


def _client(hops: list[_Hop], proxies: Proxies) -> _Hop:
    """The farthest hop that can be believed. Its peer is None where not even the nearest one can."""
    found = _Hop(None, hops[-1].scheme, hops[-1].host)
    for hop in reversed(hops):
        if hop.peer is None:
            break
        found = hop
        if not proxies.trusts(hop.peer):
            break
    return found


# -- headers ---------------------------------------------------------------------------------------------------


def _forwarded(value: bytes | None) -> list[_Hop] | None:
    """RFC 7239 section 4: the hops of Forwarded, nearest last; None where it is not there."""
    text = _text(value)
    if text is None:
        return None
    hops: list[dict[str, str]] = [{}]
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:  # what can be understood of it may be what the client wants to be understood
            return [_Hop(None)]
        name, quoted, token, end = match.groups()
        hops[-1].setdefault(name.lower(), token if quoted is None else _QUOTED.sub(r"\1", quoted))
        if end == ",":
            hops.append({})
        place = match.end()
    return [_Hop(_node(hop.get("for")), _scheme(hop.get("proto")), _host(hop.get("host"))) for hop in hops[-MAX_HOPS:]]


def _x_forwarded(told: _Told) -> list[_Hop] | None:
    """The hops of X-Forwarded-For, nearest last; None where no header of this sort is there.

    Proto and Host are told by hop where there are as many of them; else the nearest proxy's word holds for all.
    """
    peers, schemes, hosts = _list(told.peers), _list(told.schemes), _list(told.hosts)
    if not peers and not schemes and not hosts:
        return None
    nodes = [_node(peer) for peer in peers] or [None]
    hops = zip(nodes, _for_each(schemes, len(nodes)), _for_each(hosts, len(nodes)), strict=True)
    return [_Hop(node, _scheme(scheme), _host(host)) for node, scheme, host in hops]


def _for_each(values: list[str], count: int) -> list[str | None]:
    return [*values] if len(values) == count else [values[-1] if values else None] * count


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1").strip()


def _list(value: bytes | None) -> list[str]:
    """The last MAX_HOPS values of a list."""
    text = _text(value)
    return [value.strip() for value in text.rsplit(",", MAX_HOPS)[-MAX_HOPS:]] if text else []


# -- values ----------------------------------------------------------------------------------------------------


def _node(text: str | None) -> str | None:
    """The address in a node (RFC 7239 section 6) or in a value of X-Forwarded-For, port left out; None: it is none."""
    if text is None or len(text) > MAX_VALUE:
        return None
    if text.startswith(UNIX):
        return UNIX
    match = _PORTED.fullmatch(text)
    address = _address((match[1] or match[2] or "") if match else text)
    return None if address is None else str(address)


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without its zone; an IPv4 address that is written as an IPv6 one is an IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _scheme(text: str | None) -> str | None:
    return text.lower() if text is not None and text.lower() in _SCHEMES else None


def _host(text: str | None) -> str | None:
    return text if text is not None and is_host(text) else None


def is_host(text: str) -> bool:
    """Whether it is a host as in Host: a name or an address, with or without a port."""
    match = _HOST.fullmatch(text)
    return match is not None and int((match[2] or ":0")[1:]) <= 65535
