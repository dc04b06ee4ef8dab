"""What LOCK and UNLOCK carry, and the properties that tell of locks (RFC 4918 sections 9.10, 9.11, 10, 14, 15)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from safehold.model.errors import BadRequest, Forbidden, TooLarge, UnsupportedMedia
from safehold.model.locks import Lock, Scope
from safehold.protocol.names import DAV, DECLARATIONS, XML_DECLARATION, element, quote_path
from safehold.protocol.target import user_href
from safehold.protocol.xml import child, children, clark, keep, parse

LOCKDISCOVERY = DAV + "lockdiscovery"
SUPPORTEDLOCK = DAV + "supportedlock"

#: A lock lasts so long where nothing else is asked for, and at most: one whose device is gone must not stay for long.
DEFAULT_SECONDS = 600
MAX_SECONDS = 3600
#: What a device writes about a lock's owner, its element included.
MAX_OWNER_BYTES = 2048

_TIMEOUT = re.compile(r"(?:Second-(\d+)|(Infinite))", re.IGNORECASE).fullmatch
_CODED_URL = re.compile(r"[ \t]*<([A-Za-z][A-Za-z0-9+.-]*:[^<>\x00-\x20\x7f]*)>[ \t]*").fullmatch
_SCOPES = {DAV + scope.value: scope for scope in Scope}

_ENTRY = "<D:lockentry><D:lockscope><D:{0}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
#: The property of what can be locked.
SUPPORTED = element(SUPPORTEDLOCK, "".join(_ENTRY.format(scope.value) for scope in Scope))


class LockInfo(NamedTuple):
    """What a LOCK asks for; `owner` is the whole element, or ""."""

    scope: Scope
    owner: str


def read_lockinfo(body: bytes) -> LockInfo:
    """Section 14.11. Raises BadRequest, UnsupportedMedia for another document, Forbidden for another type of lock."""
    root = parse(body)
    if clark(root) != DAV + "lockinfo":
        raise UnsupportedMedia(f"LOCK takes a DAV:lockinfo element, not {clark(root)}")
    scopes = [_SCOPES.get(clark(e)) for scope in children(root, DAV + "lockscope") for e in scope]
    types = [clark(e) for type_ in children(root, DAV + "locktype") for e in type_]
    if len(scopes) != 1 or len(types) != 1:
        raise BadRequest("a lockinfo has one lockscope and one locktype")
    if scopes[0] is None or types[0] != DAV + "write":
        raise Forbidden("exclusive and shared write locks are all there are")
    owner = child(root, DAV + "owner")
    kept = "" if owner is None else keep(owner)
    if len(kept.encode()) > MAX_OWNER_BYTES:
        raise TooLarge(f"the owner of a lock may be {MAX_OWNER_BYTES} bytes of XML")
    return LockInfo(scopes[0], kept)


def parse_timeout(value: str | None) -> int:
    """Section 10.7: seconds that a lock is granted for, by the first wish that is understood."""
    for wish in (value or "").split(","):
        match = _TIMEOUT(wish.strip())
        if match is not None:
            seconds = MAX_SECONDS if match[2] or len(match[1]) > len(str(MAX_SECONDS)) else int(match[1])
            return max(1, min(seconds, MAX_SECONDS))
    return DEFAULT_SECONDS


def parse_lock_token(value: str | None) -> str:
    """Section 10.5. Raises BadRequest where it is absent or malformed."""
    match = _CODED_URL(value or "")
    if match is None:
        raise BadRequest("UNLOCK takes a Lock-Token header with one token in angle brackets")
    return match[1]


def discovery(locks: Iterable[Lock], account: str, now: float) -> str:
    """The property lockdiscovery (section 15.8); `now` is the time by the monotonic clock."""
    return element(LOCKDISCOVERY, "".join(_active(lock, account, now) for lock in locks))


def _active(lock: Lock, account: str, now: float) -> str:
    root = user_href(account) + quote_path(lock.href)
    return (
        f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{lock.scope.value}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.deep else '0'}</D:depth>{lock.owner}"
        f"<D:timeout>Second-{max(0, ceil(lock.until - now))}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken><D:lockroot><D:href>{root}</D:href></D:lockroot>"
        "</D:activelock>"
    )


def lock_document(locks: Iterable[Lock], account: str, now: float) -> bytes:
    """The answer to a LOCK: a DAV:prop with lockdiscovery."""
    return f"{XML_DECLARATION}<D:prop {DECLARATIONS}>{discovery(locks, account, now)}</D:prop>".encode()
