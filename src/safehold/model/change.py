"""A change: one step of one stream, and the hash that chains it to the step before.

The hash covers everything but the bodies, which their digests stand for. So the chain of a stream can be
checked without bodies, and a body that is lost can still be named.

Canonical encoding: the msgpack array

    [1, account, kind, timeline, rev, group, at, op, collection, name, media, digest, size, props_digest, actor, prev]

with integers in their shortest form, text as UTF-8 `str` and bytes as `bin`; `hash` is its SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256

import msgspec

from safehold.model.kinds import Kind

CANONICAL_VERSION = 1
DIGEST_BYTES = 32
ID_BYTES = 16
#: `prev` of a stream's first change.
GENESIS = bytes(DIGEST_BYTES)
NO_DIGEST = b""

_encode = msgspec.msgpack.Encoder().encode
_decode_props = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode


class Op(StrEnum):
    """What a change does. The value is the name used in formats and JSON."""

    MKCOL = "mkcol"  # make a collection: name is its path, props its properties
    SETCOL = "setcol"  # replace a collection's properties by props
    RMCOL = "rmcol"  # remove a collection with all that is in it: name is its path
    PUT = "put"  # create an item or replace its body; properties stay unless props is given
    PROPS = "props"  # replace an item's properties by props; the body stays
    DELETE = "delete"  # remove an item
    REFUSED = "refused"  # a write that a precondition refused: its body is kept, nothing else changes
    GAP = "gap"  # recorded by a recovery: revisions, or bodies, that no source holds: see model/gaps.py


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One step of one stream.

    `body`, `blob` and `props` are carried beside the hash. Exactly one of `body` and `blob` is set where
    `digest` is not empty; `props` is set where the operation sets properties. A missing body (both None
    although `digest` is set) is a loss that can be named, not a malformed change.
    """

    account: bytes  # 16 bytes
    kind: Kind
    timeline: int
    rev: int  # 1, 2, 3 … within the stream, without gaps
    group: int  # rev of the first change of its group; its own rev where it stands alone
    at: int  # UTC, microseconds since 1970; may run backwards
    op: Op
    collection: bytes  # 16 bytes, opaque: a new collection under an old path has a new id
    name: str  # the item's name; the collection's path for mkcol and rmcol; else ""
    media: str  # media type of the body, else ""
    digest: bytes  # SHA-256 of the body, else b""
    size: int  # bytes of the body, else 0
    props_digest: bytes  # SHA-256 of the resulting properties in canonical form; b"" where there are none
    actor: str  # who did it: "device:…", "import", "undo", "recovery", "operator"
    prev: bytes  # hash of the change before, GENESIS for the first
    hash: bytes  # SHA-256 of the canonical encoding
    body: bytes | None = None
    blob: bytes | None = None  # name of the blob that holds the body
    props: bytes | None = None  # canonical_props() of all properties after this change


def change_hash(
    account: bytes,
    kind: Kind,
    timeline: int,
    rev: int,
    group: int,
    at: int,
    op: Op,
    collection: bytes,
    name: str,
    media: str,
    digest: bytes,
    size: int,
    props_digest: bytes,
    actor: str,
    prev: bytes,
) -> bytes:
    """SHA-256 of the canonical encoding of these fields; see the module's text."""
    return sha256(
        _encode(
            (
                CANONICAL_VERSION,
                account,
                kind,
                timeline,
                rev,
                group,
                at,
                op,
                collection,
                name,
                media,
                digest,
                size,
                props_digest,
                actor,
                prev,
            )
        )
    ).digest()


def rehash(change: Change) -> bytes:
    """The hash this change must carry."""
    c = change
    return change_hash(
        c.account,
        c.kind,
        c.timeline,
        c.rev,
        c.group,
        c.at,
        c.op,
        c.collection,
        c.name,
        c.media,
        c.digest,
        c.size,
        c.props_digest,
        c.actor,
        c.prev,
    )


def hashed(change: Change) -> Change:
    """The same change with its hash filled in; for one that has just been made and that nobody else holds yet."""
    msgspec.structs.force_setattr(change, "hash", rehash(change))
    return change


def canonical_props(props: Mapping[str, str]) -> bytes:
    """Properties as the msgpack array of [name, value], sorted by name: the bytes that props_digest covers.

    Names in Clark notation (`{DAV:}displayname`) are WebDAV properties, their values the whole element as
    XML text. Names without a brace are Safehold's own (`type`, `components`), their values plain text.
    """
    return _encode(sorted(props.items()))


def parse_props(data: bytes | None) -> dict[str, str]:
    """The mapping behind `canonical_props`; empty for None. Raises msgspec.DecodeError on other bytes."""
    return dict(_decode_props(data)) if data else {}


def props_digest(canonical: bytes | None) -> bytes:
    """SHA-256 of properties in canonical form; b"" where there are none."""
    return sha256(canonical).digest() if canonical and canonical != EMPTY_PROPS else NO_DIGEST


EMPTY_PROPS = canonical_props({})
