"""What scrubs of one vault keep between them: where one was broken off, what has to be found again, how the last went.

One file a vault, msgpack, replaced as a whole by a rename. It may be lost at any time: then the next scrub begins anew,
and takes what no seal covers as it finds it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from safehold.ports.disk import Disk
from safehold.ports.whole_file import write_whole
from safehold.recovery.judging import Remembered
from safehold.recovery.scrub import Unfinished

VERSION = 1


class LastScrub(msgspec.Struct, frozen=True):
    """How the last scrub of a vault that came to its end went. `at` is in µs, the clock of who scrubbed."""

    at: int
    level: str
    objects: int
    bytes: int
    damaged: int
    evidence: str = ""
    links: int = 0  # pieces of evidence whose one before it is gone


class _Page(msgspec.Struct):
    version: int = VERSION
    unfinished: Unfinished | None = None
    remembered: dict[str, Remembered] = {}
    last: LastScrub | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Page).decode


class FileNotebook:
    """Implements recovery.scrub.Notebook in a folder of the disk. Raises OSError where it cannot be written."""

    def __init__(self, disk: Disk, folder: str, vault: str, *, restart: bool = False) -> None:
        self._disk = disk
        self._folder = folder
        self._path = f"{folder}/{vault}.scrub"
        self._page = self._load()
        if restart:
            self._page.unfinished = None

    def unfinished(self) -> Unfinished | None:
        return self._page.unfinished

    def note(self, unfinished: Unfinished) -> None:
        self._page.unfinished = unfinished
        self._save()

    def remembered(self) -> Mapping[str, Remembered]:
        return self._page.remembered

    def finish(self, remembered: Mapping[str, Remembered]) -> None:
        self._page.unfinished = None
        self._page.remembered = dict(remembered)
        self._save()

    def last(self) -> LastScrub | None:
        return self._page.last

    def ended(self, last: LastScrub | None, placed: Mapping[str, Remembered]) -> None:
        """The last scrub, and the evidence that was put of it."""
        self._page.last = last
        self._page.remembered.update(placed)
        self._save()

    def forget(self, names: Mapping[str, object] | None = None) -> None:
        """What was mended is no longer what it was; without names nothing is: the vault was made anew."""
        self._page.unfinished = None
        if names is None:
            self._page.remembered = {}
        for name in names or ():
            self._page.remembered.pop(name, None)
        self._save()

    def _load(self) -> _Page:
        try:
            file = self._disk.open(self._path)
        except OSError:
            return _Page()
        try:
            page = _decode(file.read_at(0, file.size()))
        except (msgspec.DecodeError, UnicodeDecodeError, OSError):
            return _Page()
        finally:
            file.close()
        return page if page.version == VERSION else _Page()

    def _save(self) -> None:
        write_whole(self._disk, self._path, _encode(self._page))
