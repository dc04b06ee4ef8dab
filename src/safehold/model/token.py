"""Sync tokens and collection tags (RFC 6578 section 4): what a device last saw, in words that survive a recovery.

    urn:safehold:sync:1:<base64url of: collection id (16) | rev (8, big-endian) | hash (16, first half) | mac (16)>

mac is HMAC-SHA-256 over the first 40 bytes, cut to 16, under the account's key, which is derived from one that is
restored with the identity. A token is good for as long as that hash is on the stream, whatever timeline wrote it.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from safehold.model.errors import BadToken

PREFIX = "urn:safehold:sync:1:"
#: The item of the installation's identity that holds the key of which the accounts' are derived.
TOKEN_KEY = "token-key"  # noqa: S105  (the name of one)
_BODY_BYTES = 40
_MAC_BYTES = 16


class SyncPoint(NamedTuple):
    """A place on a stream as one collection saw it; `hash` is the first 16 bytes of the hash at rev."""

    collection: bytes
    rev: int
    hash: bytes


@lru_cache(maxsize=1024)
def account_key(key: bytes, account: bytes) -> bytes:
    """The key of an account's tokens. One of another account, or of an erased one of the same name, is none of ours."""
    return hmac.digest(key, b"sync tokens of " + account, sha256)


def make_token(key: bytes, collection: bytes, rev: int, head: bytes) -> str:
    """The token for a collection whose last change is `rev`, at which the stream's hash is `head`."""
    body = collection + rev.to_bytes(8, "big") + head[:16]
    mac = hmac.digest(key, body, sha256)[:_MAC_BYTES]
    return PREFIX + urlsafe_b64encode(body + mac).decode()


def parse_token(key: bytes, token: str) -> SyncPoint:
    """The point a token names. Raises BadToken where it is not one of ours."""
    raw = _raw(token)
    body, mac = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
    if not raw or not hmac.compare_digest(mac, hmac.digest(key, body, sha256)[:_MAC_BYTES]):
        raise BadToken("this sync token was not given out here", hint="sync again from the beginning")
    return _point(body)


def point_named(token: str) -> SyncPoint | None:
    """The point that a token of our form names, whoever made it; None where it is of another form."""
    raw = _raw(token)
    return _point(raw) if raw else None


def _raw(token: str) -> bytes:
    """Empty where it is no token of our form."""
    try:
        raw = urlsafe_b64decode(token.removeprefix(PREFIX).encode("ascii"))
    except (Base64Error, ValueError):
        return b""
    return raw if token.startswith(PREFIX) and len(raw) == _BODY_BYTES + _MAC_BYTES else b""


def _point(body: bytes) -> SyncPoint:
    return SyncPoint(body[:16], int.from_bytes(body[16:24], "big"), body[24:40])
