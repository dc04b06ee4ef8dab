"""Addresses in headers: Destination (RFC 4918 section 10.3), and the tags of an If header (section 10.4).

Both are a `Simple-ref` (section 8.3): a whole URL, or a path from the root. They are read as the request's own path is,
so that one spelling names one resource wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from safehold.model.errors import BadRequest, OtherServer
from safehold.protocol.target import Place, Target, read_target

_REFERENCE = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*))?(/(?!/)[^?#]*)?").fullmatch
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]").search
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def read_reference(text: str, hosts: Collection[str]) -> Target | None:
    """What a Simple-ref names; None where that is on another server. `hosts` are the names of this one.

    Raises BadRequest where it is no Simple-ref: spaces, a query or fragment, a relative path; or the path is no path.
    """
    match = None if _UNPRINTABLE(text) else _REFERENCE(text)
    if match is None or not text:
        raise BadRequest("an address in a header is a whole URL or a path from the root, and has no query")
    scheme, authority, path = match.groups()
    if scheme is not None and not _is_here(scheme.lower(), authority, hosts):
        return None
    raw = (path or "/").encode("latin-1")
    if raw != b"/dav" and not raw.startswith(b"/dav/"):
        return Target(Place.NOWHERE)
    return read_target(raw)


def read_destination(value: str | None, hosts: Collection[str]) -> Target:
    """The Destination header. Raises BadRequest, OtherServer where it lies elsewhere."""
    if value is None:
        raise BadRequest("COPY and MOVE need a Destination header")
    target = read_reference(value.strip(" \t"), hosts)
    if target is None:
        raise OtherServer("the destination lies on another server", hint="copy within this one")
    return target


def _is_here(scheme: str, authority: str, hosts: Collection[str]) -> bool:
    """Whether a URL's server is this one. The scheme is not compared: a proxy in front may speak TLS for us."""
    port = _DEFAULT_PORTS.get(scheme)
    if port is None:
        return False
    wanted = authority.lower().removesuffix(port)
    return any(wanted == host.lower().removesuffix(port) for host in hosts)
