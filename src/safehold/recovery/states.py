"""What lives in a stream, with names, and its state root: the keeper's own path to it (model/root.py).

Fed with the changes of one stream in rev order, or with those that a run keeps of what lived at its base.
"""

from __future__ import annotations

from safehold.model.change import Change, Op
from safehold.model.root import RootCollection, RootItem, state_root


class _Collection:
    __slots__ = ("items", "path", "props")

    def __init__(self, path: str, props: bytes) -> None:
        self.path = path
        self.props = props
        self.items: dict[str, tuple[bytes, bytes]] = {}  # name -> digests of body and properties


class LiveState:
    """One stream's live collections and items. The rules of each operation are those of model/change.py."""

    def __init__(self) -> None:
        self._collections: dict[bytes, _Collection] = {}

    def apply(self, change: Change) -> None:
        op = change.op
        if op is Op.MKCOL:
            self._collections[change.collection] = _Collection(change.name, change.props_digest)
            return
        if op is Op.RMCOL:
            self._collections.pop(change.collection, None)
            return
        collection = self._collections.get(change.collection)
        if collection is None:
            return
        if op is Op.SETCOL:
            collection.props = change.props_digest
        elif op is Op.PUT:
            collection.items[change.name] = change.digest, change.props_digest
        elif op is Op.DELETE:
            collection.items.pop(change.name, None)
        elif op is Op.PROPS and change.name in collection.items:
            collection.items[change.name] = collection.items[change.name][0], change.props_digest

    def root(self) -> bytes:
        return state_root(
            RootCollection(id_, found.path.encode(), found.props, _sorted(found))
            for id_, found in sorted(self._collections.items())
        )

    @property
    def items(self) -> int:
        return sum(len(collection.items) for collection in self._collections.values())


def _sorted(collection: _Collection) -> list[RootItem]:
    items = [RootItem(name.encode(), digest, props) for name, (digest, props) in collection.items.items()]
    return sorted(items)
