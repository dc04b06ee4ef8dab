"""The request as its client sent it: what a trusted proxy tells of the client, put where everything looks for it.

Done once for each request, before DAV, REST and pages part, so that all of them mean the same client and the same
address by `client`, `scheme` and Host of the scope.
"""

from __future__ import annotations

from collections.abc import Mapping

from safehold.protocol.forwarded import Proxies, asked
from safehold.web.request import Scope, joined_headers

#: Key of the scope under which the Host stands that the proxy itself sent.
INNER_HOST = "safehold.inner_host"


def as_sent(scope: Scope, proxies: Proxies) -> Scope:
    """The same scope where no trusted proxy stands between, else one with the client, scheme and Host it tells of."""
    client = scope.get("client")
    peer: str = client[0] if client else ""
    if not proxies.trusts(peer):
        return scope
    headers = joined_headers(scope["headers"])
    who = asked(peer, scope.get("scheme", "http"), headers, proxies)
    others = [pair for pair in scope["headers"] if pair[0] != b"host"]
    return {
        **scope,
        "client": (who.peer, 0),
        "scheme": who.scheme,
        "headers": [(b"host", who.host.encode("latin-1")), *others],
        INNER_HOST: headers.get(b"host", b"").decode("latin-1"),
    }


def own_hosts(scope: Scope, headers: Mapping[bytes, bytes], public_url: str) -> tuple[str, ...]:
    """What this server is called in one request: Host, the Host that a proxy has made of it, the configured one.

    A Destination (RFC 4918 section 10.3) names one of them. Behind a proxy that ends TLS it is an https URL.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    return tuple(name for name in (host, scope.get(INNER_HOST, ""), public_url.partition("://")[2]) if name)
