"""What import and export share: the file `collections.json`, problems, and small steps on a Disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from safehold.model.errors import SafeholdError
from safehold.model.kinds import CollectionType, Kind
from safehold.ports.disk import Disk

FORMAT = "safehold-export/1"
COLLECTIONS_FILE = "collections.json"
CHUNK_BYTES = 256 * 1024
#: Folders within folders that are followed; a loop of links ends here.
MAX_FOLDER_DEPTH = 64
#: What desktops leave in folders.
_LITTER = frozenset(("thumbs.db", "desktop.ini", "icon\r"))


class Problem(msgspec.Struct, frozen=True):
    """Something that was not taken over: where, and why, in words for a person."""

    where: str  # a path on disk or under the account, and the line where one is known
    reason: str


class ItemEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file's name and bytes do not say of an item."""

    name: str | None = None  # where the file name does not give it
    media: str | None = None  # where the extension does not give it
    props: dict[str, str] = {}


class CollectionEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One collection; `folder` is where its files lie, relative to the export."""

    path: str
    kind: Kind
    type: CollectionType
    folder: str
    components: list[str] = []
    props: dict[str, str] = {}
    items: dict[str, ItemEntry] = {}  # by file name


class ExportIndex(msgspec.Struct, frozen=True):
    """The content of collections.json."""

    format: str
    account: str
    collections: list[CollectionEntry]


class ScoreEntry(msgspec.Struct, frozen=True):
    """One score; `at` is RFC 3339, `detail` any JSON value."""

    score: float | int
    at: str
    detail: msgspec.Raw = msgspec.Raw(b"null")


class ScoreFile(msgspec.Struct, frozen=True):
    """The content of scores/<game>.json, oldest first."""

    game: str
    history: list[ScoreEntry]


class Found(NamedTuple):
    """A file below a folder: the names of the folders between, its own name and its size."""

    folders: tuple[str, ...]
    name: str
    size: int


def is_folder(disk: Disk, path: str) -> bool:
    """Raises FileNotFoundError."""
    try:
        next(iter(disk.list(path)), None)
    except NotADirectoryError:
        return False
    return True


def walk(disk: Disk, path: str, folders: tuple[str, ...] = ()) -> Iterator[Found]:
    """Files below a folder, by name, hidden ones and litter left out."""
    entries = sorted(disk.list(path))
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        if not entry.is_folder:
            yield Found(folders, entry.name, entry.size)
        elif len(folders) < MAX_FOLDER_DEPTH:
            yield from walk(disk, f"{path}/{entry.name}", (*folders, entry.name))


def read_chunks(disk: Disk, path: str) -> Iterator[bytes]:
    file = disk.open(path)
    try:
        offset = 0
        while data := file.read_at(offset, CHUNK_BYTES):
            offset += len(data)
            yield data
    finally:
        file.close()


def read_file(disk: Disk, path: str) -> bytes:
    return b"".join(read_chunks(disk, path))


def reason_of(error: Exception) -> str:
    """An error as the reason of a problem."""
    if isinstance(error, SafeholdError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
