"""What lives at the end of each stream, in some 200 bytes an item, whatever the bodies weigh.

A collection maps the first 8 bytes of SHA-256(name) to `digest prefix (8 bytes) << 64 | rev`, both as integers: a name
that is needed for a report is read again, which is rare. The rules of each operation are those of model/change.py.

`fingerprint` of a stream is the SHA-256 over its collections sorted by id, each followed by its items sorted by key:
two replays that agree on it agree on every (collection, name, body digest, property digest, rev) but for prefixes of
8 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.model.change import Change, Op
from safehold.model.gaps import accepts_loss, lacks_body
from safehold.recovery.chains import StreamKey

_PREFIX = 8
_LOW = (1 << 64) - 1
_from_bytes = int.from_bytes
_item_line = struct.Struct(">QQQ8s").pack


def name_key(name: str) -> int:
    """What stands for a name."""
    return _from_bytes(sha256(name.encode()).digest()[:_PREFIX], "big")


def item_value(digest: bytes, rev: int) -> int:
    """What stands for an item: its body, and the rev that touched it last."""
    return _from_bytes(digest[:_PREFIX], "big") << 64 | rev


class BlobRef(NamedTuple):
    """A body that lies outside the journal."""

    name: bytes
    size: int


class CollectionState:
    """A live collection. `path` is None where the change that made it is missing."""

    __slots__ = ("bare", "blobs", "ghosts", "gone", "item_props", "items", "path", "props", "stale", "unsure")

    def __init__(self, path: str | None, props: bytes) -> None:
        self.path = path
        self.props = props
        self.items: dict[int, int] = {}
        self.item_props: dict[int, bytes] = {}
        self.blobs: dict[int, bytes] = {}  # blob name + size as 8 bytes
        #: Items last known before a gap, which a missing rev may have changed or removed.
        self.unsure: set[int] = set()
        #: Items known to be there (a later change names them) whose body is in a gap: key -> (name, rev).
        self.ghosts: dict[int, tuple[str, int]] = {}
        #: Items whose newest body is known to be gone: of those in `stale` an older version is here. As above.
        #: `bare` are those of them that live all the same, as ghosts: under the digest of what is gone.
        self.bare: set[int] = set()
        self.stale: dict[int, tuple[str, int]] = {}
        self.gone: dict[int, tuple[str, int]] = {}

    def revs(self) -> Iterator[int]:
        """Of each item, the rev that touched it last."""
        return (value & _LOW for value in self.items.values())

    def blob(self, key: int) -> BlobRef | None:
        packed = self.blobs.get(key)
        return None if packed is None else BlobRef(packed[:-8], _from_bytes(packed[-8:], "big"))


def _set_props(collection: CollectionState, key: int, digest: bytes) -> None:
    if digest:
        collection.item_props[key] = digest[:_PREFIX]
    else:
        collection.item_props.pop(key, None)


def _found(collection: CollectionState, key: int) -> None:
    """A newer version, or a delete: what was lost of the item before does not matter any more."""
    collection.ghosts.pop(key, None)
    collection.stale.pop(key, None)
    collection.gone.pop(key, None)
    collection.bare.discard(key)


class StreamState:
    """Live collections of one stream by id. Fed with changes that `Chains` let pass, in order."""

    __slots__ = ("collections",)

    def __init__(self) -> None:
        self.collections: dict[bytes, CollectionState] = {}

    def gap(self) -> None:
        """Revs are missing here: whatever lives may not be the newest."""
        for collection in self.collections.values():
            collection.unsure.update(collection.items)

    def settle(self) -> None:
        """Somebody accepted the loss of revs: what lives is what there is. Ghosts stay what they are."""
        for collection in self.collections.values():
            collection.unsure.clear()
            collection.ghosts.clear()
            bare = collection.bare
            collection.stale = {key: found for key, found in collection.stale.items() if key in bare}
            collection.gone = {key: found for key, found in collection.gone.items() if key in bare}

    def lose(self, change: Change) -> None:
        """A change whose body is gone, and that is not on the stream. One that was refused had nothing that lives."""
        if change.op is not Op.PUT:
            return
        collection = self._collection(change)
        key = name_key(change.name)
        where = collection.stale if key in collection.items else collection.gone
        where[key] = (change.name, change.rev)

    def apply(self, change: Change) -> None:
        op = change.op
        if op is Op.PUT:
            self._put(self._collection(change), change)
        elif op is Op.DELETE:
            self._delete(self._collection(change), name_key(change.name))
        elif op is Op.PROPS:
            self._props(self._collection(change), change)
        elif op is Op.MKCOL:
            self.collections[change.collection] = CollectionState(change.name, change.props_digest)
        elif op is Op.SETCOL:
            self._collection(change).props = change.props_digest
        elif op is Op.RMCOL:
            self.collections.pop(change.collection, None)
        elif accepts_loss(change):
            self.settle()

    def _collection(self, change: Change) -> CollectionState:
        found = self.collections.get(change.collection)
        if found is None:
            found = self.collections[change.collection] = CollectionState(None, b"")
        return found

    @staticmethod
    def _put(collection: CollectionState, change: Change) -> None:
        key = name_key(change.name)
        if change.props is not None:
            _set_props(collection, key, change.props_digest)
        elif key not in collection.items and change.props_digest[:_PREFIX] != collection.item_props.get(key, b""):
            _set_props(collection, key, b"")  # what was set before is not what it keeps
        older = key in collection.items and key not in collection.gone
        collection.items[key] = _from_bytes(change.digest[:_PREFIX], "big") << 64 | change.rev
        if change.blob is not None:
            collection.blobs[key] = change.blob + change.size.to_bytes(8, "big")
        elif collection.blobs:
            collection.blobs.pop(key, None)
        if change.props_digest[:_PREFIX] != collection.item_props.get(key, b""):
            collection.unsure.add(key)  # the properties that it keeps were set in a gap
        elif collection.unsure:
            collection.unsure.discard(key)
        if collection.ghosts or collection.stale or collection.gone:
            _found(collection, key)
        if change.body is None and lacks_body(change):
            collection.bare.add(key)
            (collection.stale if older else collection.gone)[key] = (change.name, change.rev)

    @staticmethod
    def _delete(collection: CollectionState, key: int) -> None:
        collection.items.pop(key, None)
        collection.item_props.pop(key, None)
        collection.blobs.pop(key, None)
        collection.unsure.discard(key)
        _found(collection, key)

    @staticmethod
    def _props(collection: CollectionState, change: Change) -> None:
        key = name_key(change.name)
        value = collection.items.get(key)
        _set_props(collection, key, change.props_digest)  # also for a body that comes later and keeps them
        if value is not None:
            collection.items[key] = value & ~_LOW | change.rev
        elif key not in collection.gone:
            collection.ghosts[key] = (change.name, change.rev)

    @property
    def live(self) -> int:
        return sum(len(collection.items) for collection in self.collections.values())

    @property
    def unsure(self) -> int:
        return sum(len(collection.unsure) for collection in self.collections.values())

    def live_blobs(self) -> Iterator[tuple[bytes, int, BlobRef]]:
        """(collection id, name key, blob) of the items whose body is one."""
        for id_, collection in self.collections.items():
            for key in collection.blobs if collection.path is not None else ():
                ref = collection.blob(key)
                if ref is not None:
                    yield id_, key, ref

    def path_of(self, collection: bytes) -> str | None:
        found = self.collections.get(collection)
        return None if found is None else found.path

    def fingerprint(self) -> bytes:
        total = sha256()
        for id_, collection in sorted(self.collections.items()):
            path = (collection.path or "").encode()
            total.update(id_ + len(path).to_bytes(4, "big") + path + collection.props.ljust(32, b"\0"))
            props = collection.item_props
            for key, value in sorted(collection.items.items()):
                total.update(_item_line(key, value >> 64, value & _LOW, props.get(key, b"")))
        return total.digest()


class SettledState:
    """The end of a stream of which nothing is missing and that does not go on: in sums, however much lives in it."""

    __slots__ = ("blobs", "bytes", "collections_count", "live", "paths", "revs", "root")

    #: Nothing here is in doubt.
    unsure = 0

    def __init__(
        self,
        root: bytes,
        collections: int,
        items: int,
        size: int,
        revs: int,
        blobs: Sequence[tuple[bytes, str, BlobRef]],
        paths: dict[bytes, str],
    ) -> None:
        """`root` is the state root; `revs` the sum over live items of the rev that touched each last.

        `blobs` are (collection id, name, blob) of the items whose body is one, `paths` those of their collections.
        """
        self.root = root
        self.collections_count = collections
        self.live = items
        self.bytes = size
        self.revs = revs
        self.blobs = blobs
        self.paths = paths

    @property
    def collections(self) -> dict[bytes, CollectionState]:
        """Those in which something is in doubt: none."""
        return {}

    def live_blobs(self) -> Iterator[tuple[bytes, int, BlobRef]]:
        for id_, name, ref in self.blobs:
            yield id_, name_key(name), ref

    def path_of(self, collection: bytes) -> str | None:
        return self.paths.get(collection)

    def fingerprint(self) -> bytes:
        return self.root


class Contents:
    """The live state of every stream."""

    def __init__(self) -> None:
        self.streams: dict[StreamKey, StreamState | SettledState] = {}

    def stream(self, key: StreamKey) -> StreamState:
        """One that goes on."""
        found = self.streams.get(key)
        if found is None:
            found = self.streams[key] = StreamState()
        assert isinstance(found, StreamState), "a settled stream does not go on"
        return found

    def end(self, key: StreamKey) -> StreamState | SettledState:
        """How a stream ended; an empty one where nothing is known of it."""
        return self.streams.get(key) or StreamState()
