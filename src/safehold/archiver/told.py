"""What lives in a stream, as the core's own journal tells it: row by row, in rev order, by nobody's tables.

The way by which the archiver computes what it states of streams, with what people see besides: times, sizes, media.
It shares no code with how the core keeps its tables (store/sqlite/apply.py), nor with how a recovery replays.
"""

from __future__ import annotations

from typing import NamedTuple

from safehold.model.root import RootCollection, RootItem, state_root
from safehold.ports.core import RunRow


class ToldItem(NamedTuple):
    """A live item: when its body was last set (µs), and the rev that touched it last."""

    digest: bytes
    size: int
    media: str
    at: int
    rev: int
    props: bytes  # digest; b"" where it has none


class ToldCollection:
    """A live collection, its items by name."""

    __slots__ = ("items", "path", "props")

    def __init__(self, path: str, props: bytes) -> None:
        self.path = path
        self.props = props
        self.items: dict[str, ToldItem] = {}


class Told:
    """Fed with rows of one stream, in rev order."""

    def __init__(self) -> None:
        self.collections: dict[bytes, ToldCollection] = {}
        self.rev = 0
        self.hash = b""

    def add(self, row: RunRow) -> None:
        _, rev, _, at, op, id_, name, media, digest, size, props, _, _, hash_, *_ = row
        self.rev, self.hash = rev, hash_
        if op == "mkcol":
            self.collections[id_] = ToldCollection(name, props)
            return
        there = self.collections.get(id_)
        if there is None:
            return
        if op == "put":
            there.items[name] = ToldItem(digest, size, media, at, rev, props)
        elif op == "delete":
            there.items.pop(name, None)
        elif op == "props":
            item = there.items.get(name)
            if item is not None:
                there.items[name] = item._replace(props=props, rev=rev)
        elif op == "setcol":
            there.props = props
        elif op == "rmcol":
            del self.collections[id_]

    @property
    def items(self) -> int:
        return sum(len(collection.items) for collection in self.collections.values())

    def root(self) -> bytes:
        """The state root."""
        return state_root(
            RootCollection(
                id_,
                found.path.encode(),
                found.props,
                (
                    RootItem(name.encode(), found.items[name].digest, found.items[name].props)
                    for name in sorted(found.items)
                ),
            )
            for id_, found in sorted(self.collections.items())
        )
