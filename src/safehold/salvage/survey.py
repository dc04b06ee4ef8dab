"""What a source is: every file below it, told by its first bytes before its name, in units that are read together.

Links are not followed and what is no plain file is passed over: a source may be somebody else's folder. What nobody
knows by its beginning is searched byte by byte as an image, since the beginning may be what was lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from safehold.content.media import sniff
from safehold.formats import mark
from safehold.formats.ends import END_BYTES
from safehold.ports.disk import Disk
from safehold.salvage.blob_folder import BLOB_FILE
from safehold.salvage.device_tokens import is_token_file
from safehold.salvage.files import extensions
from safehold.salvage.loosely import what_is_wrong
from safehold.salvage.marks import BEGINNINGS
from safehold.salvage.reading import FoundFile
from safehold.service.transfer.layout import COLLECTIONS_FILE
from safehold.service.transfer.names import media_for

MAX_DEPTH = 64
MAX_FILES = 5_000_000
#: A file that is no text and shorter than this holds nothing that could be found in it.
LEAST_IMAGE_BYTES = END_BYTES
_HEAD_BYTES = 4096
_SQLITE = b"SQLite format 3\0"
_WAL = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SQUEEZED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
_TAR_AT, _TAR = 257, b"ustar"
_TAR_NAMES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
#: Files of an installation that hold nothing to be salvaged.
_OWN = frozenset(("safehold.toml", "lock", "generations", "core-check.json"))
#: A folder that holds one of these holds keys, and nothing that is salvaged.
_KEY_FILES = ("identity.txt", "writer.txt", "recovery.txt")
_LITTER = frozenset(("thumbs.db", "desktop.ini", ".ds_store"))
#: Where an object lies in a vault, below it.
_IN_VAULT = re.compile(
    r"(?P<root>.*?)(?:log/\d{8}/[^/]+\.seg|runs/\d{12}/(?:\d{3}\.run|generation)|evidence/[^/]+\.ev|blobs/../[0-9a-f]{64})\Z"
)
_CORE_TAILS = ("-wal", "-journal", "-shm")
_CORE_NAME = re.compile(r".*\.(?:db|sqlite|sqlite3)(?:-wal|-journal)?\Z", re.IGNORECASE)
#: How files begin that other programs keep: they are known to be nothing of ours.
_FOREIGN = (
    *(
        b"%PDF",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x7fELF",
        b"MZ",
        b"ID3",
        b"OggS",
        b"fLaC",
        b"RIFF",
        b"Rar!",
        b"7z\xbc\xaf",
    ),
    *(b"\xd0\xcf\x11\xe0", b"\xca\xfe\xba\xbe", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"bplist", b"GIF8", b"\x89PNG"),
)


class Sort(StrEnum):
    """What a unit is. The value is the word of reports."""

    CORE = "core"
    IMAGE = "image"
    VAULT = "vault"
    OBJECTS = "objects"
    BLOBS = "blobs"
    EXPORT = "export"
    ARCHIVE = "archive"
    FILES = "files"
    TOKENS = "device"


class Unit(NamedTuple):
    """Files that are read together, under the path by which people know them."""

    sort: Sort
    path: str
    files: tuple[FoundFile, ...]

    @property
    def size(self) -> int:
        return sum(found.size for found in self.files)


#: What a service notes for itself in its data folder: nothing of anybody's lies there.
_OWN_NOTES = re.compile(
    r"(?:^|/)run/(?:(?:drills|sizes|alarms)\.json|(?:jobs|runbooks)/[^/]+\.json|series/[^/]+\.jsonl|shipped/[^/]+\.shipped)$"
)


class Look(NamedTuple):
    """What lies at a path, links not followed."""

    is_folder: bool
    size: int
    at: int | None = None  # µs


#: None for links, sockets and the like, and for what is not there.
Looks = Callable[[str], Look | None]


class Survey(NamedTuple):
    """`passed` counts, in words, what was not looked at."""

    units: list[Unit]
    passed: dict[str, int]


#: Names in a folder, whatever each of them is. Raises OSError.
Names = Callable[[str], list[str]]


def survey(disk: Disk, looks: Looks, source: str, names: Names | None = None) -> Survey:
    """Raises OSError where the source itself cannot be read. Without `names` the disk is asked."""
    found = names or (lambda folder: [entry.name for entry in disk.list(folder)])
    return _Surveying(disk, looks, found, source.rstrip("/") or "/").run()


class _Surveying:
    def __init__(self, disk: Disk, looks: Looks, names: Names, source: str) -> None:
        self._disk = disk
        self._looks = looks
        self._names = names
        self._source = source
        self._passed: dict[str, int] = {}
        self._exports: set[str] = set()  # folders of Safehold's own exports, as "a/b/"
        self._marks: set[str] = set()  # folders of vaults
        self._files = 0

    def run(self) -> Survey:
        look = self._looks(self._source)
        if look is None:
            raise FileNotFoundError(2, "is no file and no folder", self._source)
        if not look.is_folder:
            name = self._source.rpartition("/")[2]
            found = [FoundFile(self._source, name, look.size, look.at)]
        else:
            found = sorted(self._walk(self._source, "", 0), key=lambda each: each.name)
        sorted_ = [(each, self._sort(each)) for each in found]
        return Survey(list(self._units(sorted_)), self._passed)

    def _walk(self, folder: str, below: str, depth: int) -> Iterator[FoundFile]:
        try:
            names = sorted(self._names(folder))
        except OSError as error:
            if not depth:
                raise
            self._pass(f"folders that cannot be read ({error.strerror})")
            return
        for name in names:
            path = f"{folder}/{name}"
            look = self._looks(path)
            if look is None:
                self._pass("links and special files")
            elif look.is_folder:
                if depth >= MAX_DEPTH:
                    self._pass(f"folders more than {MAX_DEPTH} deep")
                elif not any(self._disk.exists(f"{path}/{key}") for key in _KEY_FILES):
                    yield from self._walk(path, f"{below}{name}/", depth + 1)
            elif self._files >= MAX_FILES:
                self._pass(f"files beyond the first {MAX_FILES}")
            else:
                self._files += 1
                yield FoundFile(path, below + name, look.size, look.at)

    def _pass(self, words: str) -> None:
        self._passed[words] = self._passed.get(words, 0) + 1

    # -- what each is

    def _sort(self, found: FoundFile) -> Sort | None:
        name = found.name.rpartition("/")[2]
        lower = name.lower()
        if not found.size or lower in _LITTER or name in _OWN:
            return None
        try:
            file = self._disk.open(found.path)
            try:
                head = file.read_at(0, _HEAD_BYTES)
            finally:
                file.close()
        except OSError as error:
            if error.errno in (1, 2, 13):  # not permitted, gone
                self._pass(f"files that cannot be opened ({error.strerror})")
                return None
            head = b""  # a bad sector: the rest may be good
        return self._by_content(found, name, lower, head)

    def _by_content(self, found: FoundFile, name: str, lower: str, head: bytes) -> Sort | None:
        below = found.name[: -len(name)]
        if head.startswith(BEGINNINGS):
            self._note_vault(found)
            return Sort.OBJECTS
        if name in (mark.NAME, mark.READER) and (b"vault of Safehold" in head or mark.is_reader(head)):
            if name == mark.NAME:
                self._marks.add(below)
            return None
        if name == mark.READER and b"age" in head and b"safehold" in head.lower():
            return None
        # Whatever a live blob begins with is what somebody wrote: it is never read as anything else.
        if BLOB_FILE.match(name) and not self._note_vault(found):
            return Sort.BLOBS
        if head.startswith(_SQLITE) or head.startswith(_WAL):
            return Sort.CORE
        if head.startswith(_ZIP) and lower.endswith(".zip"):
            return Sort.ARCHIVE
        if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR or (head.startswith(_SQUEEZED) and lower.endswith(_TAR_NAMES)):
            return Sort.ARCHIVE
        if name == COLLECTIONS_FILE and b"safehold-export" in head:
            self._exports.add(below)
            return Sort.FILES
        if is_token_file(head):
            return Sort.TOKENS
        return self._by_name(found, lower, head)

    def _by_name(self, found: FoundFile, lower: str, head: bytes) -> Sort | None:
        media = media_for(lower)
        if media.startswith(("image/", "video/")) and not what_is_wrong(media, head):
            return Sort.FILES
        if _OWN_NOTES.search(found.name):
            return None
        if _is_text(head):
            return None if lower.endswith(_CORE_TAILS) else Sort.FILES
        if sniff(head) is not None or lower.endswith(tuple(extensions())):
            return Sort.FILES
        if lower.endswith("-shm"):
            return None
        self._note_vault(found)
        if found.size >= LEAST_IMAGE_BYTES and not head.startswith(_FOREIGN):
            return Sort.IMAGE
        return Sort.FILES

    def _note_vault(self, found: FoundFile) -> bool:
        """Whether it lies where an object of a vault lies; live blobs lie alike, so they alone make none."""
        match = _IN_VAULT.match(found.name)
        if match is None:
            return False
        if "blobs/" not in found.name[len(match["root"]) :]:
            self._marks.add(match["root"])
        return match["root"] in self._marks

    # -- what belongs together

    def _units(self, found: Iterable[tuple[FoundFile, Sort | None]]) -> Iterator[Unit]:
        groups: dict[tuple[Sort, str], list[FoundFile]] = {}
        for each, sort in found:
            if sort is not None:
                groups.setdefault(self._group(each, sort), []).append(each)
        for (sort, place), files in groups.items():
            path = f"{self._source}/{place}".rstrip("/") if place else self._source
            yield Unit(sort, path, tuple(files))

    def _group(self, found: FoundFile, sort: Sort) -> tuple[Sort, str]:
        vault = _deepest(self._marks, found.name)
        if vault is not None and sort in (Sort.OBJECTS, Sort.IMAGE, Sort.BLOBS):
            return Sort.VAULT, vault
        if sort is Sort.FILES:
            export = _deepest(self._exports, found.name)
            return (Sort.EXPORT, export) if export is not None else (Sort.FILES, "")
        if sort is Sort.CORE or (sort is Sort.IMAGE and _CORE_NAME.match(found.name)):
            name = found.name if found.path != self._source else ""
            for tail in _CORE_TAILS:
                name = name.removesuffix(tail)
            return Sort.CORE, name
        if sort is Sort.BLOBS:
            parts = found.name.split("/")[:-1]
            if parts and parts[-1] == found.name.rpartition("/")[2][:2]:
                parts.pop()
            return sort, "".join(f"{part}/" for part in parts)
        if sort in (Sort.ARCHIVE, Sort.TOKENS):
            return sort, found.name if found.path != self._source else ""
        return sort, ""


def _deepest(folders: set[str], name: str) -> str | None:
    """The folder of these that a file lies in; the deepest where there are several."""
    return max((folder for folder in folders if name.startswith(folder)), key=len, default=None)


def _is_text(head: bytes) -> bool:
    """Whether it looks like a text: no zero bytes, and few that are no characters in any encoding in use."""
    if not head or b"\0" in head:
        return False
    strange = sum(byte < 32 and byte not in b"\t\r\n\f\x1b" for byte in head)
    return strange * 20 < len(head) and _printable(head)


def _printable(head: bytes) -> bool:
    high = sum(byte >= 128 for byte in head)
    if high * 3 < len(head):
        return True
    return "�" not in head.decode("utf-8", "replace")[:-1]
