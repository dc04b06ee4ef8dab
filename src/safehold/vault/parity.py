"""Parity within one vault: objects from which damaged ones of the same vault are computed again (formats/parity.py).

It covers closed segments, blobs, runs, manifests and evidence, in groups, each written once: objects of about one
length, in the order in which they came as far as their names tell it. A group takes objects until they are together at
least k times as long as the longest of them: then any one of them may go missing whole. What came last waits for its
group; `waiting` says so. What is longer than a group may be is not covered: `too_long`.

Who rebuilds reads a group whole and believes a block where its digest holds, and an object where its SHA-256 does:
what does not come out right is not given at all (I101). Parity is not signed: what was rebuilt is judged by seals and
signatures, as a copy from anywhere is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from safehold.formats import blob, parity, reed_solomon, segment
from safehold.formats.evidence import EVIDENCE_PREFIX, parse_evidence_name
from safehold.formats.generation import parse_manifest_name
from safehold.formats.parity import Group
from safehold.formats.run import RUNS_PREFIX, parse_run_name
from safehold.model.errors import Damaged
from safehold.ports.vault import KeptVault, ObjectInfo, Vault, VaultDown

#: The name under which rebuilt objects are a source beside other vaults. No vault can have it.
PARITY_SOURCE = "its own parity"
BLOCK_BYTES = 4096
#: A group is held in memory whole, about three times. What is longer by itself is not covered.
MAX_GROUP_BYTES = 64 * 1024 * 1024
#: Shorter groups are not worth their table.
MIN_GROUP_BYTES = 64 * 1024
_PREFIXES = (segment.LOG_PREFIX, blob.BLOB_PREFIX, RUNS_PREFIX, EVIDENCE_PREFIX)


def is_covered_kind(name: str) -> bool:
    """Whether parity covers such objects: those that are never added to again."""
    return (
        segment.parse_name(name) is not None
        or blob.parse_object(name) is not None
        or parse_run_name(name) is not None
        or parse_manifest_name(name) is not None
        or parse_evidence_name(name) is not None
    )


def read_group(vault: Vault, name: str, size: int) -> Group | None:
    """What a parity object says of its group; None where that is damaged or not to be read. Reads its beginning."""
    try:
        length = parity.table_bytes(vault.get(name, 0, parity.HEADER_BYTES))
        return parity.parse_group(vault.get(name, 0, parity.HEADER_BYTES + length), name, size)
    except (Damaged, KeyError, VaultDown):  # a disk may refuse one object and give the rest
        return None


def groups_of(vault: Vault) -> Iterator[Group]:
    """Each group of a vault, by the first of its objects whose beginning is whole. Raises VaultDown."""
    seen = ""
    for info in vault.list(parity.PARITY_PREFIX):
        named = parity.parse_parity_name(info.name)
        group = read_group(vault, info.name, info.size) if named is not None and named[0] != seen else None
        if group is not None:
            seen = group.id
            yield group


class ParityWriter:
    """Covers what has come since. One at a time; `data` + `count` as in `parity = "10+2"`."""

    def __init__(self, vault: Vault, data: int, count: int, *, max_group_bytes: int = MAX_GROUP_BYTES) -> None:
        self._vault = vault
        self._data, self._count = data, count
        self._max_group_bytes = max_group_bytes
        self.waiting: Sequence[ObjectInfo] = ()  # what no group covers yet
        self.too_long: Sequence[ObjectInfo] = ()  # what none will

    def cover(self, *, everything: bool = False) -> int:
        """Write the groups that are due, or one over what is left of each class too; how many. Raises as a put."""
        covered = {m.name: m.size for group in groups_of(self._vault) for m in group.members}
        new = [info for info in self._objects() if covered.get(info.name) != info.size and self._is_closed(info)]
        self.too_long = [info for info in new if info.size > self._max_group_bytes]
        left: list[ObjectInfo] = []
        written = 0
        for alike in _by_class(info for info in new if info.size <= self._max_group_bytes):
            start = 0
            while count := self._due(alike, start, everything=everything):
                self._write(alike[start : start + count])
                start, written = start + count, written + 1
            left += alike[start:]
        self.waiting = left
        return written

    def _write(self, infos: Sequence[ObjectInfo]) -> None:
        members = [(info.name, self._vault.get(info.name)) for info in infos]
        group, columns = parity.make_group(members, self._data, self._count, BLOCK_BYTES)
        for index, column in enumerate(columns):
            self._vault.put(parity.parity_object(group.id, index), (parity.encode_parity(group, index, column),))

    def _objects(self) -> Iterator[ObjectInfo]:
        for prefix in _PREFIXES:
            for info in self._vault.list(prefix):
                if info.size and is_covered_kind(info.name):
                    yield info

    def _is_closed(self, info: ObjectInfo) -> bool:
        if segment.parse_name(info.name) is None:
            return True
        end = self._vault.get(info.name, max(0, info.size - segment.HEADER_BYTES))
        return info.size > segment.HEADER_BYTES and segment.parse_segment_footer(end) is not None

    def _due(self, alike: Sequence[ObjectInfo], start: int, *, everything: bool) -> int:
        """How many of these make up the next group; 0 where it is not full yet."""
        total = longest = 0
        for index in range(start, len(alike)):
            size = alike[index].size
            if total and total + size > self._max_group_bytes:
                return index - start
            total, longest = total + size, max(longest, size)
            if total >= max(MIN_GROUP_BYTES, self._data * longest):
                return index - start + 1
        return len(alike) - start if everything else 0


def _by_class(infos: Iterable[ObjectInfo]) -> list[list[ObjectInfo]]:
    """By length, each class up to four times as long as the one before: else short ones would wait for long ones."""
    found: dict[int, list[ObjectInfo]] = {}
    for info in infos:
        found.setdefault((info.size.bit_length() + 1) // 2, []).append(info)
    return [found[key] for key in sorted(found)]


class ParityVault:
    """Implements ports.vault.Vault for who only reads: the members of a vault's groups, as they were when covered.

    So are the parity objects themselves. An object that is damaged beyond what its group can give is not there.
    """

    def __init__(self, vault: Vault, given: Callable[[str], None] = lambda _: None) -> None:
        """`given` is told of each object that was given and that the vault itself has otherwise, or not at all."""
        self._vault = vault
        self._given = given
        self._listing: dict[str, int] | None = None
        self._names: list[str] = []
        self._member_of: dict[str, str] = {}  # by object: the id of its group
        self._rebuilt: tuple[str, dict[str, bytes]] = ("", {})
        self.beyond: dict[str, None] = {}  # objects that were asked for, and are lost beyond the strength of a group

    @property
    def name(self) -> str:
        return PARITY_SOURCE

    @property
    def url(self) -> str:
        return self._vault.url

    def available(self) -> bool:
        return self._vault.available()

    def folders(self, prefix: str) -> Sequence[str]:
        names = (info.name[len(prefix) :] for info in self.list(prefix))
        return sorted({rest.split("/")[0] for rest in names if "/" in rest})

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        known = self._known()
        for name in self._names[bisect_left(self._names, prefix) :]:
            if not name.startswith(prefix):
                return
            yield ObjectInfo(name, known[name])

    def size(self, name: str) -> int | None:
        return self._known().get(name)

    def get(self, name: str, offset: int = 0, count: int | None = None) -> bytes:
        if name not in self._known():
            raise KeyError(name)
        id_ = self._member_of[name]
        if self._rebuilt[0] != id_:
            self._rebuilt = (id_, dict(rebuilt(self._vault, self._group(id_))))
        data = self._rebuilt[1].get(name)
        if data is None:
            self.beyond[name] = None
            raise KeyError(name)
        if _read(self._vault, name, len(data)) != data:
            self._given(name)
        return data[offset : None if count is None else offset + count]

    def put(self, name: str, chunks: Iterable[bytes]) -> bool:
        del name, chunks
        raise VaultDown(f"{PARITY_SOURCE} is only read")

    def append(self, name: str, expected: int, data: bytes) -> None:
        del name, expected, data
        raise VaultDown(f"{PARITY_SOURCE} is only read")

    def close(self) -> None:
        pass

    def _known(self) -> Mapping[str, int]:
        if self._listing is None:
            self._listing = {}
            for group in groups_of(self._vault):
                sizes = {m.name: m.size for m in group.members if is_covered_kind(m.name)}
                sizes.update(dict.fromkeys(group.objects(), group.object_bytes))
                self._listing.update(sizes)
                self._member_of.update(dict.fromkeys(sizes, group.id))
            self._names = sorted(self._listing)
        return self._listing

    def _group(self, id_: str) -> Group:
        """Raises VaultDown where its description has gone meanwhile."""
        for info in self._vault.list(f"{parity.PARITY_PREFIX}{id_}/"):
            group = read_group(self._vault, info.name, info.size)
            if group is not None:
                return group
        raise VaultDown(f"the parity {id_} of vault {self._vault.name} has gone while it was read")


def rebuilt(vault: Vault, group: Group) -> Iterator[tuple[str, bytes]]:
    """Every object of a group that can be had, whole and proved by its digest. Raises VaultDown."""
    shape = group.shape
    columns = parity.split(b"".join(_part(vault, m.name, m.size) for m in group.members), shape)
    for name in group.objects():
        data = _read(vault, name)
        start = parity.HEADER_BYTES + len(group.table)
        columns.append(data[start : start + shape.column_bytes].ljust(shape.column_bytes, b"\0"))
    good = [
        [group.is_block(c, r, column[r * shape.block_bytes : (r + 1) * shape.block_bytes]) for r in range(shape.rows)]
        for c, column in enumerate(columns)
    ]
    whole = b"".join(_mended(columns, good, shape))
    at = 0
    sound = True
    for member in group.members:
        content = whole[at : at + member.size]
        at += member.size
        if sha256(content).digest() == member.digest:
            yield member.name, content
        else:
            sound = False
    if sound:
        for index, column in enumerate(reed_solomon.encode(parity.split(whole, shape), shape.parity)):
            yield parity.parity_object(group.id, index), parity.encode_parity(group, index, column)


def _mended(columns: Sequence[bytes], good: Sequence[Sequence[bool]], shape: parity.Shape) -> list[bytes]:
    """The data columns; rows that lack the same columns are computed together. What cannot be had stays as it is."""
    mended = [bytearray(column) for column in columns[: shape.data]]
    by_pattern: dict[tuple[bool, ...], list[int]] = {}
    for row in range(shape.rows):
        pattern = tuple(column[row] for column in good)
        if not all(pattern[: shape.data]):
            by_pattern.setdefault(pattern, []).append(row)
    step = shape.block_bytes
    for pattern, rows in by_pattern.items():
        taken = [
            b"".join(column[r * step : (r + 1) * step] for r in rows) if there else None
            for column, there in zip(columns, pattern, strict=True)
        ]
        found = reed_solomon.rebuild(taken, shape.data)
        if found is None:
            continue
        for index in range(shape.data):
            for place, row in enumerate(rows):
                mended[index][row * step : (row + 1) * step] = found[index][place * step : (place + 1) * step]
    return [bytes(column) for column in mended]


def _read(vault: Vault, name: str, count: int | None = None) -> bytes:
    try:
        return vault.get(name, 0, count)
    except (KeyError, VaultDown):  # a disk may refuse one object and give the rest
        return b""


def _part(vault: Vault, name: str, size: int) -> bytes:
    return _read(vault, name, size).ljust(size, b"\0")


def drop_groups(vault: KeptVault, going: Collection[str]) -> int:
    """Remove the groups that name any of these objects; how many. What else they named waits for a group anew.

    Done before the objects are removed: as long as parity is left, they could be computed again (I102). So a group of
    which no object says whom it names goes too: it may name them, and somebody else may be able to read it.
    """
    by_group: dict[str, list[ObjectInfo]] = {}
    for info in vault.list(parity.PARITY_PREFIX) if going else ():
        if (named := parity.parse_parity_name(info.name)) is not None:
            by_group.setdefault(named[0], []).append(info)
    dropped = 0
    for infos in by_group.values():
        found = (read_group(vault, info.name, info.size) for info in infos)
        group = next((group for group in found if group is not None), None)
        if group is None or any(member.name in going for member in group.members):
            for name in sorted({*(info.name for info in infos), *(group.objects() if group is not None else ())}):
                vault.remove(name)
            dropped += 1
    return dropped


_: type[Vault] = ParityVault
