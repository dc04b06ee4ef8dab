"""What lives in a stream, as its changes say, one after the other: for state roots, and for what a base must keep.

It holds the names of all that lives in the one stream that is being gone through. A collection's items are a table in
memory that is frozen, when it has grown large, into sorted records without any overhead: about 100 bytes for an item,
so that two million of them in one collection stay below 300 MB. A later table goes before an earlier one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from heapq import merge
from itertools import groupby
from operator import itemgetter

from safehold.model.root import EMPTY_ROOT

#: Items that a table holds before it is frozen.
FREEZE_ITEMS = 150_000

_NONE = bytes(32)
_GONE = b""  # what a table has of an item that an earlier one may have
_DIGESTS_BYTES = 64
_PARTS = 10_000  # digested together
_REV_BYTES = 8

#: Of an item: digests of body and properties, as a state root has them; then, where they are kept, the revs of what
#: set body and properties (0: nothing did).
Value = bytes


class _Frozen:
    """A table that does not change any more: its names sorted by their UTF-8 bytes."""

    def __init__(self, table: dict[str, Value]) -> None:
        names = sorted(table)  # by code points, which is the order of UTF-8 bytes
        self._names = array("Q", [0])
        self._values = array("Q", [0])
        text = bytearray()
        values = bytearray()
        for name in names:
            text += name.encode()
            values += table[name]
            self._names.append(len(text))
            self._values.append(len(values))
        self._text, self._data = bytes(text), bytes(values)

    def __len__(self) -> int:
        return len(self._names) - 1

    def name(self, place: int) -> bytes:
        return self._text[self._names[place] : self._names[place + 1]]

    def value(self, place: int) -> Value:
        return self._data[self._values[place] : self._values[place + 1]]

    def get(self, name: bytes) -> Value | None:
        place = bisect_left(range(len(self)), name, key=self.name)
        return self.value(place) if place < len(self) and self.name(place) == name else None

    def records(self, age: int) -> Iterator[tuple[bytes, int, Value]]:
        for place in range(len(self)):
            yield self.name(place), age, self.value(place)


class _Collection:
    __slots__ = ("frozen", "made", "path", "props", "props_before", "set", "table")

    def __init__(self, path: str, props: bytes, rev: int) -> None:
        self.path = path
        self.props = props
        self.made = rev
        self.set = 0
        self.table: dict[str, Value] = {}
        self.frozen: list[_Frozen] = []  # newest first
        #: Rev and digest of properties whose item is not here: its body was superseded, and dropped with older history.
        self.props_before: dict[str, tuple[bytes, bytes]] = {}

    def get(self, name: str) -> Value:
        """_GONE where no such item lives."""
        found = self.table.get(name)
        if found is None and self.frozen:
            raw = name.encode()
            found = next((value for old in self.frozen if (value := old.get(raw)) is not None), None)
        return found or _GONE

    def remove(self, name: str) -> None:
        if self.frozen:
            self.table[name] = _GONE
        else:
            self.table.pop(name, None)

    def freeze(self) -> None:
        self.frozen.insert(0, _Frozen(self.table))
        self.table = {}

    def items(self) -> Iterator[tuple[bytes, Value]]:
        """What lives, by name."""
        if not self.frozen:
            table = self.table
            return ((name.encode(), table[name]) for name in sorted(table))
        tables = [_Frozen(self.table), *self.frozen]
        records = merge(*(table.records(age) for age, table in enumerate(tables)))
        newest = (next(same) for _, same in groupby(records, itemgetter(0)))
        return ((name, value) for name, _, value in newest if value)


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
        value = digest + (props_digest or _NONE)
        if self._keep:
            set_by = there.get(name)[-_REV_BYTES:] or bytes(_REV_BYTES)
            before = there.props_before.pop(name, None) if there.props_before else None
            if sets:
                set_by = rev.to_bytes(_REV_BYTES, "big")
            elif before is not None and before[1] == props_digest:
                set_by = before[0]
            value += rev.to_bytes(_REV_BYTES, "big") + set_by
        table = there.table
        table[name] = value
        if len(table) >= FREEZE_ITEMS:
            there.freeze()

    def other(self, op: str, rev: int, collection: bytes, name: str, props_digest: bytes) -> None:
        """Any change but a PUT."""
        there = self._collections.get(collection)
        if op == "mkcol":
            self._collections[collection] = _Collection(name, props_digest, rev)
        elif there is None:
            return
        elif op == "delete":
            there.remove(name)
            there.props_before.pop(name, None)
        elif op == "props":
            old = there.get(name)
            if old:
                value = old[:32] + (props_digest or _NONE)
                if self._keep:
                    value += old[_DIGESTS_BYTES:-_REV_BYTES] + rev.to_bytes(_REV_BYTES, "big")
                there.table[name] = value
            elif self._keep:
                there.props_before[name] = rev.to_bytes(_REV_BYTES, "big"), props_digest
        elif op == "setcol":
            there.props = props_digest
            there.set = rev
        elif op == "rmcol":
            del self._collections[collection]

    def root_and_items(self) -> tuple[bytes, int]:
        """The state root, as model.root.state_root makes it, over what lives now; and how many items that is."""
        if not self._collections:
            return EMPTY_ROOT, 0
        total = sha256()
        count = 0
        plain = not self._keep
        for id_ in sorted(self._collections):
            there = self._collections[id_]
            path = there.path.encode()
            parts = [b"\x01", id_, len(path).to_bytes(4, "big"), path, there.props or _NONE]
            for name, value in there.items():
                parts += (b"\x02", len(name).to_bytes(4, "big"), name, value if plain else value[:_DIGESTS_BYTES])
                count += 1
                if len(parts) > _PARTS:
                    total.update(b"".join(parts))
                    parts.clear()
            total.update(b"".join(parts))
        return total.digest(), count

    def root(self) -> bytes:
        return self.root_and_items()[0]

    def revs(self) -> set[int]:
        """The revs that make up what lives: see formats/run.py on bases."""
        assert self._keep
        found: set[int] = set()
        for there in self._collections.values():
            found.update((there.made, there.set))
            for _, value in there.items():
                found.add(int.from_bytes(value[_DIGESTS_BYTES:-_REV_BYTES], "big"))
                found.add(int.from_bytes(value[-_REV_BYTES:], "big"))
        found.discard(0)
        return found
