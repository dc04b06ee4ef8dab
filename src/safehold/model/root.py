"""The state root of a stream: one digest over what lives in it. The page: docs/formats/run.md.

SHA-256 over the collections sorted by id, each followed by its items sorted by name (as UTF-8 bytes):

    collection   `01`, id (16 bytes), length of the path (4 bytes, big-endian), path, property digest (32 bytes)
    item         `02`, length of the name (4 bytes, big-endian), name, digests of body and properties (32 bytes each)

A digest that is not there (no properties) is 32 zero bytes. Nothing in it says when or by whom: two ways to the same
state have the same root.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

_NONE = bytes(32)
#: Items that are hashed with one call, which costs more than the hashing of one.
_AT_ONCE = 1_000


class RootItem(NamedTuple):
    name: bytes  # UTF-8
    digest: bytes  # of the body
    props: bytes  # digest of the properties, or b""


class RootCollection(NamedTuple):
    id: bytes
    path: bytes  # UTF-8
    props: bytes  # digest of the properties, or b""
    items: Iterable[tuple[bytes, bytes, bytes]]  # RootItem, sorted by name


def state_root(collections: Iterable[RootCollection]) -> bytes:
    """The root of live collections, given sorted by id, each with its items sorted by name."""
    total = sha256()
    for collection in collections:
        path = collection.path
        total.update(b"\x01" + collection.id + len(path).to_bytes(4, "big") + path + (collection.props or _NONE))
        items = iter(collection.items)
        while some := [
            b"\x02%b%b%b%b" % (len(name).to_bytes(4, "big"), name, digest, props or _NONE)
            for name, digest, props in islice(items, _AT_ONCE)
        ]:
            total.update(b"".join(some))
    return total.digest()


EMPTY_ROOT = state_root(())
