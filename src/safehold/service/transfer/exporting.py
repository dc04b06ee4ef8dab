"""Export: an account's data as files, verified against its digests on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec

from safehold.model.errors import Damaged, Held, OperatorError
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import DATA_KINDS, HOME_SCORES, CollectionType, Kind
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads, Stored
from safehold.ports.disk import Disk
from safehold.service.transfer.layout import (
    COLLECTIONS_FILE,
    FORMAT,
    CollectionEntry,
    ExportIndex,
    ItemEntry,
    Problem,
    ScoreEntry,
    ScoreFile,
    reason_of,
)
from safehold.service.transfer.names import file_name, media_for, original_name

#: Items read together with their bodies.
BATCH_ITEMS = 200


class ExportReport(msgspec.Struct):
    """What an export wrote. It is whole where `problems` is empty."""

    target: str
    collections: int = 0
    items: dict[str, int] = {}  # by kind
    bytes: int = 0
    problems: list[Problem] = []


def export_from(
    account: Account,
    target: str,
    *,
    reads: CoreReads,
    disk: Disk,
    blobs: Blobs,
    kinds: Iterable[Kind] = DATA_KINDS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportReport:
    """Write the account's collections of these kinds, as of one moment, into a folder that is new or empty.

    `progress` is told items done and items in all. Raises OperatorError where the folder holds something, OSError
    where it cannot be written.
    """
    if disk.exists(target) and next(iter(disk.list(target)), None) is not None:
        raise OperatorError(f"{target} is not empty", hint="give a folder that does not exist yet", exit_code=2)
    disk.make_folders(target)
    report = ExportReport(target)
    with reads.snapshot() as view:
        _Export(account, target, view, disk, blobs, report, progress).run(set(kinds))
    return report


class _Export:
    def __init__(
        self,
        account: Account,
        target: str,
        reads: CoreReads,
        disk: Disk,
        blobs: Blobs,
        report: ExportReport,
        progress: Callable[[int, int], None],
    ) -> None:
        self._account = account
        self._target = target
        self._reads = reads
        self._disk = disk
        self._blobs = blobs
        self._report = report
        self._progress = progress
        self._done = 0
        self._total = 0
        #: Folder of each exported path, relative, and the folded names in use in each folder.
        self._folders: dict[str, str] = {"": ""}
        self._taken: dict[str, set[str]] = {}

    def run(self, kinds: set[Kind]) -> None:
        for kind in DATA_KINDS:
            held = self._reads.held(self._account.number, kind) if kind in kinds else None
            if held is not None:
                self._problem(str(kind), f"cannot be read now: {held}")
                kinds = kinds - {kind}
        waiting = self._reads.intake(self._account.number).items
        if waiting:
            changes = "1 change" if waiting == 1 else f"{waiting} changes"
            self._problem("intake", f"{changes} that devices sent wait for what is being restored; they are not here")
        found = [c for c in self._reads.collections(self._account.number) if c.kind in kinds & set(DATA_KINDS)]
        listed = [(collection, self._reads.items(collection)) for collection in found]
        self._total = sum(len(items) for _, items in listed)
        entries = []
        for collection, items in listed:
            if collection.type is CollectionType.GAME:
                entries.append(self._game(collection, items))
            else:
                entries.append(self._collection(collection, items))
            self._report.collections += 1
        index = ExportIndex(FORMAT, self._account.name, entries)
        text = msgspec.json.format(msgspec.json.encode(index), indent=1)
        self._write(f"{self._target}/{COLLECTIONS_FILE}", [text])
        self._disk.sync_folder(self._target)

    def _collection(self, collection: Collection, items: Sequence[Item]) -> CollectionEntry:
        folder = self._folder(collection.path)
        here = f"{self._target}/{folder}"
        self._disk.make_folders(here)
        taken = self._taken.setdefault(collection.path, set())
        told: dict[str, ItemEntry] = {}
        for start in range(0, len(items), BATCH_ITEMS):
            names = [item.name for item in items[start : start + BATCH_ITEMS]]
            for item, stored in self._bodies(collection, names):
                file = file_name(item.name, taken)
                if self._item(collection, item, stored, f"{here}/{file}"):
                    entry = self._entry(item, file)
                    if entry != ItemEntry():
                        told[file] = entry
        self._disk.sync_folder(here)
        return _collection_entry(collection, folder, told)

    def _bodies(self, collection: Collection, names: Sequence[str]) -> Iterator[tuple[Item, Stored]]:
        """Items with bodies; where one of a batch is damaged, the others one by one."""
        try:
            found = list(self._reads.items_with_bodies(collection, names))
            yield from found
            for name in set(names) - {item.name for item, _ in found}:
                self._problem(f"{collection.path}/{name}", "the body is lost")
                self._step()
            return
        except (Damaged, Held) as error:
            if len(names) == 1:
                self._problem(f"{collection.path}/{names[0]}", reason_of(error))
                self._step()
                return
        for name in names:
            yield from self._bodies(collection, [name])

    def _item(self, collection: Collection, item: Item, stored: Stored, path: str) -> bool:
        """Write one body. False, with a problem noted and no file left, where it cannot be read or is not whole."""
        where = f"{collection.path}/{item.name}"
        self._step()
        try:
            chunks = _chunks(self._blobs, item, stored)
            digest, size = self._write(path, chunks)
        except (Damaged, Held) as error:
            self._problem(where, reason_of(error))
            self._drop(path)
            return False
        if digest != item.digest:
            self._problem(where, "the body does not match its digest")
            self._drop(path)
            return False
        self._count(collection.kind, size)
        return True

    def _entry(self, item: Item, file: str) -> ItemEntry:
        name = item.name if original_name(file) != item.name else None
        media = item.media if item.media != media_for(item.name) else None
        props = self._reads.props(item) if item.props_journal is not None else {}
        return ItemEntry(name, media, props)

    def _game(self, collection: Collection, items: Sequence[Item]) -> CollectionEntry:
        """A game's scores as one file, oldest first."""
        game = collection.path.rpartition("/")[2]
        folder = self._folder(HOME_SCORES)
        self._disk.make_folders(f"{self._target}/{folder}")
        history = []
        for start in range(0, len(items), BATCH_ITEMS):
            names = [item.name for item in items[start : start + BATCH_ITEMS]]
            for item, stored in self._bodies(collection, names):
                self._step()
                where = f"{collection.path}/{item.name}"
                try:
                    data = b"".join(_chunks(self._blobs, item, stored))
                    if sha256(data).digest() != item.digest:
                        self._problem(where, "the body does not match its digest")
                        continue
                    history.append(msgspec.json.decode(data, type=ScoreEntry))
                except (Damaged, Held, msgspec.DecodeError) as error:
                    self._problem(where, reason_of(error))
                    continue
                self._count(collection.kind, len(data))
        file = file_name(f"{game}.json", self._taken.setdefault(HOME_SCORES, set()))
        text = msgspec.json.format(msgspec.json.encode(ScoreFile(game, history)), indent=1)
        self._write(f"{self._target}/{folder}/{file}", [text])
        return _collection_entry(collection, f"{folder}/{file}", {})

    # -- files and counts ------------------------------------------------------------------------------------

    def _folder(self, path: str) -> str:
        """The folder of a path under the account, relative to the target."""
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            file = file_name(name, self._taken.setdefault(above, set()))
            folder = self._folder(above)
            self._folders[path] = f"{folder}/{file}" if folder else file
        return self._folders[path]

    def _write(self, path: str, chunks: Iterable[bytes]) -> tuple[bytes, int]:
        """A new file, synced; the digest and size of what was written."""
        digest, size = sha256(), 0
        file = self._disk.open(path, write=True, create=True, exclusive=True)
        try:
            for chunk in chunks:
                file.write_at(size, chunk)
                digest.update(chunk)
                size += len(chunk)
            file.sync()
        finally:
            file.close()
        return digest.digest(), size

    def _drop(self, path: str) -> None:
        if self._disk.exists(path):
            self._disk.remove(path)

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)

    def _count(self, kind: Kind, size: int) -> None:
        self._report.items[str(kind)] = self._report.items.get(str(kind), 0) + 1
        self._report.bytes += size

    def _problem(self, where: str, reason: str) -> None:
        self._report.problems.append(Problem(where, reason))


def _chunks(blobs: Blobs, item: Item, stored: Stored) -> Iterable[bytes]:
    if stored.inline is not None:
        return (stored.inline,)
    if stored.blob is None:
        raise Damaged("the body is lost")
    return blobs.read(stored.blob, stored.size, digest=item.digest)


def _collection_entry(collection: Collection, folder: str, items: dict[str, ItemEntry]) -> CollectionEntry:
    props = {name: value for name, value in collection.props.items() if name.startswith("{")}
    components = sorted(collection.components)
    return CollectionEntry(collection.path, collection.kind, collection.type, folder, components, props, items)
