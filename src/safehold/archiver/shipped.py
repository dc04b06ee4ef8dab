"""What an async vault is known to have had, so that what it lost is told before it is shipped once more.

A shipper that starts brings whatever the target lacks, and from two listings alone what was lost cannot be told from
what was never there. So each time that the target is level, once a minute at most, a page is written of what it has:
where its log ends, the newest of its runs, and the names of a few large bodies in each folder. At the next start what
the page names, the source has, the target lacks, and no keeper removed on record, is lost (I80).

The page may itself be lost at any time: then nothing is told, and the next scrub is as it always was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec

from safehold.formats import run
from safehold.ports.disk import Disk
from safehold.ports.whole_file import write_whole

_log = logging.getLogger(__name__)

VERSION = 1
#: A page is written no more often.
PAGE_SECONDS = 60.0
#: Large bodies of each of 256 folders that a page names.
_BLOBS_A_FOLDER = 2

#: Whether an object that is missing was removed on record.
Excused = Callable[[str], bool]


class Shipped(msgspec.Struct, frozen=True):
    """What a vault had, synced: the last segment of its log and its length, its newest run object, large bodies."""

    log: str
    log_bytes: int
    newest_run: str = ""
    blobs: tuple[str, ...] = ()
    version: int = VERSION


class Book(Protocol):
    """Where the page of one vault is kept."""

    def read(self) -> Shipped | None: ...

    def write(self, page: Shipped) -> None: ...


class Memory:
    """One shipper's: its target's page as it was, what of it is missing, and the page as it will be."""

    def __init__(
        self, source: str, target: str, book: Book | None, excuses: Callable[[], Excused] | None = None
    ) -> None:
        self._source, self._target = source, target
        self._book = book
        self._had = book.read() if book is not None else None
        self._written = self._had
        self._written_at: float | None = None
        self._excuses = excuses
        self._newest_run = ""
        self._blobs: dict[str, list[str]] = {}
        self._missed: dict[str, dict[str, None]] = {}  # by their sort: names

    def missed(self) -> list[str]:
        """What the target had and has lost, in words; it was shipped once more since, or will be."""
        told = []
        for sort, names in self._missed.items():
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            first = next(iter(names))
            told.append(f"{self._target} has lost {sort}: {first}{more}; {self._source} gives them again")
        return told

    # -- what is missing

    def log_lacks(self, pieces: Iterable[tuple[str, int]]) -> None:
        """Segments to be shipped, each with how much of it the target has. Raises what reading excuses raises."""
        had = self._had
        if had is not None:
            lost = [n for n, has in pieces if n < had.log or (n == had.log and has < had.log_bytes)]
            self._miss("part of its log", lost)

    def runs_lack(self, have: Iterable[str], missing: Iterable[str]) -> None:
        """After runs have been compared. Raises as `log_lacks`."""
        self._newest_run = max(have, default="")
        had = self._had
        if had is not None:
            self._miss("run objects", [name for name in missing if name <= had.newest_run])

    def blobs_lack(self, have: Iterable[str], missing: Iterable[str]) -> None:
        """After large bodies of one folder have been compared. Raises as `log_lacks`."""
        for name in sorted(have)[:_BLOBS_A_FOLDER]:
            self._note_blob(name)
        had = self._had
        if had is not None:
            named = set(had.blobs)
            self._miss("large bodies", [name for name in missing if name in named])

    def _miss(self, sort: str, names: list[str]) -> None:
        if not names:
            return
        excused: Excused = self._excuses() if self._excuses is not None else lambda _: False
        known = self._missed.get(sort, {})
        lost = dict.fromkeys(name for name in names if name not in known and not excused(name))
        if lost:
            self._missed[sort] = {**known, **lost}
            _log.warning("vault %s has lost %s: %s; it is shipped again", self._target, sort, ", ".join(list(lost)[:3]))

    # -- the next page

    def note_object(self, name: str) -> None:
        if name.startswith(run.RUNS_PREFIX):
            self._newest_run = max(self._newest_run, name)

    def note_blob(self, name: str) -> None:
        self._note_blob(name)

    def _note_blob(self, name: str) -> None:
        names = self._blobs.setdefault(name.rpartition("/")[0], [])
        if len(names) < _BLOBS_A_FOLDER and name not in names:
            names.append(name)

    def is_due(self, now: float) -> bool:
        """Whether a page may be written at this moment (monotonic seconds)."""
        since = self._written_at
        return self._book is not None and (since is None or now - since >= PAGE_SECONDS)

    def hurry(self) -> None:
        """The next page is due at once: for an end."""
        self._written_at = None

    def note_level(self, log: str, log_bytes: int, now: float) -> None:
        """The target is level, and its log ends here: write the page, if it says something new."""
        names = sorted(name for names in self._blobs.values() for name in names)
        page = Shipped(log, log_bytes, self._newest_run, tuple(names))
        self._written_at = now
        if self._book is not None and page != self._written:
            with suppress(OSError):  # the page of before stands, and says less
                self._book.write(page)
                self._written = page


class FileBook:
    """Implements Book in a folder of the disk: one file a vault, msgpack, replaced as a whole by a rename."""

    def __init__(self, disk: Disk, folder: str, vault: str) -> None:
        self._disk = disk
        self._folder = folder
        self._path = f"{folder}/{vault}.shipped"

    def read(self) -> Shipped | None:
        """None where there is none that can be read."""
        try:
            file = self._disk.open(self._path)
            try:
                page = msgspec.msgpack.decode(file.read_at(0, file.size()), type=Shipped)
            finally:
                file.close()
        except (msgspec.DecodeError, UnicodeDecodeError, OSError):
            return None
        return page if page.version == VERSION else None

    def write(self, page: Shipped) -> None:
        """Raises OSError."""
        write_whole(self._disk, self._path, msgspec.msgpack.encode(page))

    def forget(self) -> None:
        """The vault is another one from now on. Raises OSError."""
        with suppress(FileNotFoundError):
            self._disk.remove(self._path)
