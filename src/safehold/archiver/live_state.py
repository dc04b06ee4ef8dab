"""What lives in a stream, as its changes say, one after the other: for state roots, and for what a base must keep.

It holds the names of all that lives: about 300 bytes for each item of the one stream that is being gone through.
"""

from __future__ import annotations

from hashlib import sha256

from safehold.model.root import EMPTY_ROOT

_NONE = bytes(32)


class _Collection:
    __slots__ = ("items", "kept", "made", "path", "props", "set")

    def __init__(self, path: str, props: bytes, rev: int) -> None:
        self.path = path
        self.props = props
        self.made = rev
        self.set = 0
        #: What a state root has of an item after its name: digests of body and properties.
        self.items: dict[str, bytes] = {}
        #: Revs of an item's body, and of what set its properties (0: nothing did).
        self.kept: dict[str, tuple[int, int]] = {}


class LiveState:
    """Changes are to be given in rev order. With `keep` it also knows which revs make up what lives."""

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._collections: dict[bytes, _Collection] = {}

    def put(self, rev: int, collection: bytes, name: str, digest: bytes, props_digest: bytes, sets: bool) -> None:
        """`sets`: whether the change carries properties."""
        there = self._collections.get(collection)
        if there is None:
            return
        there.items[name] = digest + (props_digest or _NONE)
        if self._keep:
            old = there.kept.get(name)
            there.kept[name] = (rev, rev if sets else 0 if old is None else old[1])

    def other(self, op: str, rev: int, collection: bytes, name: str, props_digest: bytes) -> None:
        """Any change but a PUT."""
        there = self._collections.get(collection)
        if op == "mkcol":
            self._collections[collection] = _Collection(name, props_digest, rev)
        elif there is None:
            return
        elif op == "delete":
            there.items.pop(name, None)
            there.kept.pop(name, None)
        elif op == "props":
            if name in there.items:
                there.items[name] = there.items[name][:32] + (props_digest or _NONE)
                if self._keep:
                    there.kept[name] = (there.kept[name][0], rev)
        elif op == "setcol":
            there.props = props_digest
            there.set = rev
        elif op == "rmcol":
            del self._collections[collection]

    def items(self) -> int:
        return sum(len(collection.items) for collection in self._collections.values())

    def root(self) -> bytes:
        """As model.root.state_root makes it, over what lives now."""
        if not self._collections:
            return EMPTY_ROOT
        total = sha256()
        for id_ in sorted(self._collections):
            there = self._collections[id_]
            path = there.path.encode()
            parts = [b"\x01", id_, len(path).to_bytes(4, "big"), path, there.props or _NONE]
            items = there.items
            for name in sorted(items):  # by code points, which is the order of UTF-8 bytes
                raw = name.encode()
                parts += (b"\x02", len(raw).to_bytes(4, "big"), raw, items[name])
            total.update(b"".join(parts))
        return total.digest()

    def revs(self) -> set[int]:
        """The revs that make up what lives: see formats/run.py on bases."""
        assert self._keep
        found: set[int] = set()
        for there in self._collections.values():
            found.update((there.made, there.set))
            for body, props in there.kept.values():
                found.update((body, props))
        found.discard(0)
        return found
