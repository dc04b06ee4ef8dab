"""Folders and archives as one thing: members with a path, a size and bytes, in an order that does not change.

Archives are hostile until proved otherwise. Nothing is ever written under a name that an archive gives; what is read of
it is bounded, by what really comes out and not by what it says: one member, all of it, how many members, and how much a
byte may swell. An archive within an archive is not opened.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple, Protocol, cast

from safehold.model.errors import Damaged
from safehold.ports.disk import Disk
from safehold.salvage.reading import CHUNK_BYTES, FoundFile, Reading, reading

MAX_MEMBERS = 1_000_000
MAX_MEMBER_BYTES = 16 * 1024**3
MAX_ARCHIVE_BYTES = 1024**4
#: Beyond this size nothing swells more than so many times that is not made to.
MAX_SWELL = 1000
FREE_BYTES = 16 * 1024 * 1024
#: Of what a tar says of one member.
MAX_ATTRIBUTES_BYTES = 1024 * 1024

#: What Python's libraries raise over archives that are broken, or made to break them.
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError),
    *(OSError, ValueError, IndexError, KeyError, OverflowError),
)


class TooMuch(Damaged):
    """An archive that holds, or swells to, more than is taken from one."""


class Member(NamedTuple):
    """One file. `parts` are its folders and its name. `chunks` may be called while it is the last that was given."""

    parts: tuple[str, ...]
    size: int  # as the tree says
    at: int | None  # µs
    chunks: Callable[[], Iterator[bytes]]

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def where(self) -> str:
        return "/".join(self.parts)


class Tree(Protocol):
    def members(self) -> Iterator[Member]:
        """From the first again at each call. Raises Damaged where it cannot be read on, TooMuch, OSError."""
        ...


class FolderTree:
    """Plain files, as a walk found them."""

    def __init__(self, disk: Disk, files: list[FoundFile]) -> None:
        self._disk = disk
        self._files = files

    def members(self) -> Iterator[Member]:
        for found in self._files:
            parts = tuple(found.name.split("/"))
            yield Member(parts, found.size, found.at, lambda found=found: self._chunks(found))  # type: ignore[misc]

    def _chunks(self, found: FoundFile) -> Iterator[bytes]:
        file = self._disk.open(found.path)
        try:
            offset = 0
            while data := file.read_at(offset, CHUNK_BYTES):
                offset += len(data)
                yield data
        finally:
            file.close()


class ZipTree:
    """A zip archive."""

    def __init__(self, disk: Disk, found: FoundFile) -> None:
        self._disk = disk
        self._found = found

    def members(self) -> Iterator[Member]:
        with reading(self._disk, self._found) as file, _as_damage():
            budget = _Budget(self._found.size)
            with zipfile.ZipFile(cast(IO[bytes], _Seekable(file))) as archive:
                for info in archive.infolist():
                    parts = _parts(info.filename)
                    if info.is_dir() or not parts:
                        continue
                    budget.member()
                    at = _zip_time(info)
                    yield Member(parts, info.file_size, at, lambda info=info: _unzipped(archive, info, budget))  # type: ignore[misc]


class _Info(tarfile.TarInfo):
    """A member whose long name or attributes, which are read into memory, are no longer than any that are honest."""

    def _proc_gnulong(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        return self._bounded(archive, "_proc_gnulong")

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        return self._bounded(archive, "_proc_pax")

    def _bounded(self, archive: tarfile.TarFile, read: str) -> tarfile.TarInfo:
        if self.size > MAX_ATTRIBUTES_BYTES:
            raise TooMuch(f"what it says of a member is longer than {MAX_ATTRIBUTES_BYTES} bytes")
        found: tarfile.TarInfo = getattr(super(), read)(archive)
        return found


class TarTree:
    """A tar archive, compressed or not. Links and devices are no members."""

    def __init__(self, disk: Disk, found: FoundFile) -> None:
        self._disk = disk
        self._found = found

    def members(self) -> Iterator[Member]:
        with reading(self._disk, self._found) as file, _as_damage():
            budget = _Budget(self._found.size)
            stream = cast(IO[bytes], io.BufferedReader(_Seekable(file), CHUNK_BYTES))
            with tarfile.open(fileobj=stream, mode="r|*", errorlevel=2, encoding="utf-8", tarinfo=_Info) as archive:
                for info in archive:
                    cast(Any, archive).members = []  # it would remember all of them
                    budget.member()
                    parts = _parts(info.name)
                    if not info.isreg() or not parts:
                        continue
                    at = int(info.mtime * 1_000_000) if 0 < info.mtime < 1 << 33 else None
                    yield Member(parts, info.size, at, lambda info=info: _untarred(archive, info, budget))  # type: ignore[misc]


class _Budget:
    """What may still come out of one archive of `stored` bytes."""

    def __init__(self, stored: int) -> None:
        self._stored = max(1, stored)
        self._members = 0
        self._bytes = 0

    def member(self) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise TooMuch(f"it has more than {MAX_MEMBERS} members")

    def take(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_ARCHIVE_BYTES:
            raise TooMuch(f"more than {MAX_ARCHIVE_BYTES} bytes come out of it")
        if self._bytes > FREE_BYTES and self._bytes > MAX_SWELL * self._stored:
            raise TooMuch(f"it swells more than {MAX_SWELL} times")


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Iterator[bytes]:
    if info.flag_bits & 1:
        raise Damaged("it is encrypted")
    with _as_damage(), archive.open(info) as file:
        yield from _bounded(file, info.compress_size, budget)


def _untarred(archive: tarfile.TarFile, info: tarfile.TarInfo, budget: _Budget) -> Iterator[bytes]:
    with _as_damage():
        file = archive.extractfile(info)
        if file is not None:
            yield from _bounded(file, None, budget)


def _bounded(file: IO[bytes], stored: int | None, budget: _Budget) -> Iterator[bytes]:
    size = 0
    while data := file.read(CHUNK_BYTES):
        size += len(data)
        if size > MAX_MEMBER_BYTES:
            raise TooMuch(f"more than {MAX_MEMBER_BYTES} bytes come out of it")
        if stored is not None and size > FREE_BYTES and size > MAX_SWELL * max(1, stored):
            raise TooMuch(f"it swells more than {MAX_SWELL} times")
        budget.take(len(data))
        yield data


@contextmanager
def _as_damage() -> Iterator[None]:
    """What the libraries raise over a broken archive, as Damaged."""
    try:
        yield
    except Damaged:
        raise
    except _BROKEN as error:
        raise Damaged(f"the archive cannot be read here ({type(error).__name__}: {error})") from error


def _parts(name: str) -> tuple[str, ...]:
    """The path of a member, without what would lead anywhere else."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _zip_time(info: zipfile.ZipInfo) -> int | None:
    """µs; zip knows no zone, so that it is right to a day only."""
    try:
        at = datetime(*info.date_time, tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) * 1_000_000 if at.year > 1980 else None


class _Seekable(io.RawIOBase):
    """A file of the disk port as Python's libraries want one."""

    def __init__(self, file: Reading) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning of the file")
        self._at = base + offset
        return self._at

    def read(self, count: int | None = -1) -> bytes:
        count = self._file.size - self._at if count is None or count < 0 else count
        data = self._file.at(self._at, count)
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
