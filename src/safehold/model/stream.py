"""A stream's chain: how it grows, and how it is checked.

Rules, each of which a typed error names when it is broken:

1. rev runs 1, 2, 3 … without gaps;
2. prev is the hash of the change before (GENESIS for the first);
3. hash is the SHA-256 of the canonical encoding;
4. digest and size are those of the body, props_digest that of props, where these are present.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from safehold.model.change import GENESIS, Change, props_digest, rehash


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The end of a stream: the last rev and its hash. An empty stream is Head(0, GENESIS)."""

    rev: int
    hash: bytes


EMPTY_HEAD = Head(0, GENESIS)


class Base(msgspec.Struct, frozen=True, array_like=True):
    """Where a stream begins whose older history has been dropped: what lived then stands for all before it."""

    timeline: int  # of the change at rev
    rev: int
    head: bytes  # the hash at rev
    root: bytes  # state root at rev (model/root.py)
    at: int  # µs: what lived at a time is known from then on, and for what came after rev


class ChainError(Exception):
    """A change that does not continue its stream, or whose parts do not match its digests."""


class BrokenChain(ChainError):
    """rev or prev does not continue the head: something is missing, doubled or foreign before it."""


class BadChange(ChainError):
    """The change itself is not what its hash or digests say."""


def check_self(change: Change) -> None:
    """Rules 3 and 4. Raises BadChange."""
    where = f"{change.kind} rev {change.rev}"
    if rehash(change) != change.hash:
        raise BadChange(f"{where}: the hash does not match")
    if change.body is not None and (len(change.body) != change.size or sha256(change.body).digest() != change.digest):
        raise BadChange(f"{where}: the body does not match its digest")
    if change.props is not None and props_digest(change.props) != change.props_digest:
        raise BadChange(f"{where}: the properties do not match their digest")


def check_next(head: Head, change: Change) -> Head:
    """All four rules for a change that should follow `head`; the new head. Raises ChainError."""
    if change.rev != head.rev + 1:
        raise BrokenChain(f"{change.kind}: rev {change.rev} does not follow rev {head.rev}")
    if change.prev != head.hash:
        raise BrokenChain(f"{change.kind}: rev {change.rev} continues another history")
    check_self(change)
    return Head(change.rev, change.hash)
