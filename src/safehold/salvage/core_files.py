"""A core's pages out of its file and its log, good or damaged, and payloads put together over overflow pages.

Invariants:

1. each page is read as it lies: a damaged one too, and every version of it that a log still has;
2. memory does not grow with the file: a payload's overflow pages are read when they are asked for, at their offset;
3. what hostile bytes may make this read is bounded: all overflow pages together by a multiple of what the files have.

A damaged page that one changed byte explains is put right first, where its checksum proves it (store/sqlite/pages.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from safehold.formats.sqlite_file import BtreePage, Cell, Malformed, btree_page, follow, free_trunk, overflow_pages
from safehold.salvage.core_layout import CHUNK_BYTES, SECTOR_BYTES, Layout, Medium, candidates, holds_good_page
from safehold.salvage.core_log import CoreLog
from safehold.salvage.core_rows import JOURNAL_HEADER
from safehold.store.sqlite.pages import is_good, with_one_byte_right

#: All overflow pages read together, as a multiple of the bytes of the files: a page belongs to one row, which may lie
#: in many versions of its leaf.
_OVERFLOW_FACTOR = 16
_OVERFLOW_FLOOR = 64 << 20
_MAX_FREE_TRUNKS = 1 << 20
#: Damaged pages of which it is tried whether one byte explains them: each takes milliseconds.
_MENDS = 50_000


class Page(NamedTuple):
    """A page that may hold rows. `strays` are offsets in it of what looks like the header of a journal row's record."""

    data: bytes
    number: int  # 0 where it is not known
    offset: int  # in its file
    frame: int  # of the log, counted from 0; -1 in the main file
    log: int  # which log; -1 in the main file
    good: bool  # what it says can be relied upon: its checksum holds, or the file has none
    proved: bool  # its checksum, or that of its frame, holds
    newest: bool  # no newer version of it is known
    committed: bool
    base: int | None
    btree: BtreePage | None
    strays: tuple[int, ...]

    @property
    def where(self) -> str:
        if self.log >= 0:
            return f"frame {self.frame + 1} at {self.offset}, page {self.number}"
        return f"page {self.number}" if self.number else f"byte {self.offset}"


class CoreFiles:
    """One layout of one main file (or none), with its logs."""

    def __init__(
        self, layout: Layout, main: Medium | None, logs: tuple[CoreLog, ...], larger: tuple[Layout, ...] = ()
    ) -> None:
        """`larger` are layouts of the same file: what lies on a good page of theirs is no page of this one."""
        self.layout = layout
        self._larger = larger
        self._main = main
        self._logs = tuple(log for log in logs if log.page_bytes == layout.page_bytes)
        self.bad_pages = self.mended_pages = 0
        size = 0 if main is None else main.size
        self._budget = _OVERFLOW_FLOOR + _OVERFLOW_FACTOR * (size + sum(log.end for log in self._logs))
        self._mends = _MENDS
        self._free = self._free_pages()

    @property
    def logs(self) -> tuple[CoreLog, ...]:
        return self._logs

    @property
    def exhausted(self) -> bool:
        """Overflow pages lead in circles, or many rows claim the same ones: the bound of invariant 3 was reached."""
        return self._budget <= 0

    # -- pages

    def log_pages(self) -> Iterator[Page]:
        """Every frame of the logs, the newest log's first."""
        for which, log in enumerate(self._logs):
            for index in range(len(log)):
                frame = log.frame(index)
                data = log.data(index)
                newest = frame.present and frame.committed and log.newest(frame.page) == index
                strays: tuple[int, ...] = () if frame.good else tuple(m.start() for m in JOURNAL_HEADER.finditer(data))
                yield Page(
                    data,
                    frame.page,
                    frame.offset,
                    index,
                    which,
                    frame.good,
                    frame.good,
                    newest,
                    frame.committed,
                    None,
                    self._btree(data),
                    strays,
                )

    def main_pages(self, progress: Callable[[int], None]) -> Iterator[Page]:
        """Pages of the main file in order, those of them that may hold rows."""
        if self._main is None:
            return
        size = self.layout.page_bytes
        for offset in range(0, self._main.size, CHUNK_BYTES):
            chunk = self._main.read(offset, CHUNK_BYTES + size)
            chunk += bytes(-len(chunk) % SECTOR_BYTES + size)  # a last page that was cut short, and room for it
            strays = self._strays(chunk, offset)
            ends = min(CHUNK_BYTES, self._main.size - offset)
            found = {at for at in candidates(chunk[:ends]) if self._may_begin(chunk, at, offset)}
            for at in sorted(found | strays.keys()):
                if any(holds_good_page(self._main, layout, offset + at) for layout in self._larger):
                    continue
                page = self._main_page(chunk[at : at + size], offset + at, strays.get(at, ()))
                if page is not None:
                    yield page
            progress(offset + ends)

    def _strays(self, chunk: bytes, offset: int) -> dict[int, tuple[int, ...]]:
        """What looks like a row's record, by the page of the grid in the chunk that it begins in."""
        if not self.layout.whole:
            return {}
        size = self.layout.page_bytes
        phase = (self.layout.bases[0] - offset) % size
        found: dict[int, list[int]] = {}
        for match in JOURNAL_HEADER.finditer(chunk, 0, CHUNK_BYTES + size):
            page = match.start() - (match.start() - phase) % size
            if 0 <= page < CHUNK_BYTES:
                found.setdefault(page, []).append(match.start() - page)
        return {page: tuple(places) for page, places in found.items()}

    def _may_begin(self, chunk: bytes, at: int, offset: int) -> bool:
        """Whether a page there is worth looking at; off the grid only what its checksum proves."""
        size, usable = self.layout.page_bytes, self.layout.usable
        if self._base_of(offset + at) is not None:
            return True
        if not self.layout.checked:
            return False
        page = chunk[at : at + size]
        try:
            if not btree_page(page, usable).cells:
                return False
        except Malformed:
            return False
        # What lies within a good page is what somebody wrote into a body, whatever it looks like.
        return is_good(page) and not any(is_good(around) for around in self._around(offset + at))

    def _around(self, offset: int) -> Iterator[bytes]:
        """Pages of the grids that overlap one at this offset."""
        assert self._main is not None
        size = self.layout.page_bytes
        for phase in {base % size for base in self.layout.bases}:
            begin = offset - (offset - phase) % size
            for at in (begin, begin + size):
                if at >= 0:
                    yield self._main.page(at, size)

    def _main_page(self, data: bytes, offset: int, strays: tuple[int, ...]) -> Page | None:
        btree = self._btree(data)
        if btree is None and not strays:
            return None
        proved = self.layout.checked and is_good(data)
        if not proved and self.layout.checked and self.layout.whole:
            right = self.mended(data)
            if right is not None:
                data, proved, btree = right, True, self._btree(right)
                self.mended_pages += 1
        if proved and btree is None:
            return None  # an overflow page: what looks like a row in it is somebody's body
        self.bad_pages += self.layout.checked and not proved
        base = self._base_of(offset)
        number = 0 if base is None else (offset - base) // self.layout.page_bytes + 1
        newest = number not in self._free and all(log.newest(number) is None for log in self._logs)
        good = proved or not self.layout.checked
        return Page(data, number, offset, -1, -1, good, proved, newest, True, base, btree, strays)

    def mended(self, data: bytes) -> bytes | None:
        """The page that was written, where one byte of it has changed since."""
        self._mends -= 1
        return with_one_byte_right(data) if self._mends >= 0 else None

    def _btree(self, data: bytes) -> BtreePage | None:
        try:
            return btree_page(data, self.layout.usable)
        except Malformed:
            return None

    def _base_of(self, offset: int) -> int | None:
        """Where the page 1 lies to which a page at this offset belongs."""
        for base in self.layout.bases:
            if base <= offset and (offset - base) % self.layout.page_bytes == 0:
                return base
        return None

    def _free_pages(self) -> frozenset[int]:
        """Pages on the list of free ones: what they hold does not live any more."""
        header, found = self.layout.header, set[int]()
        if header is None or self._main is None or self._logs:
            return frozenset()
        trunk = header.free_trunk
        base = self.layout.bases[0]
        while trunk and trunk not in found and len(found) < _MAX_FREE_TRUNKS:
            found.add(trunk)
            page = self.main_page(base, trunk)
            try:
                trunk, leaves = free_trunk(page or b"", self.layout.usable)
            except Malformed:
                break
            found.update(leaves)
        return frozenset(found)

    # -- payloads

    def payloads(self, page: Page, cell: Cell) -> Iterator[tuple[bytes, Callable[[], bool], bool]]:
        """What a cell's payload may be, the likeliest first: each as much as there is of it, whether it lies on good
        pages, and whether it is a guess, which counts where its digest is right and nowhere else: that its last page
        was written as zeros. One whose pages were taken for something else since differs from its digest; so several
        are tried.
        """
        if not cell.overflow:
            yield cell.local, lambda: True, False
            return
        seen: set[int] = set()
        for read in self._readers(page):
            if self._budget <= 0:
                return
            self._budget -= overflow_pages(cell.size, len(cell.local), self.layout.usable) * self.layout.page_bytes
            payload, pages = follow(cell, self.layout.usable, read)
            key = hash(payload)
            if key not in seen:
                seen.add(key)
                yield payload, partial(self._are_proved, read, pages), False
                missing = cell.size - len(payload)
                if 0 < missing <= self.layout.usable - 4:
                    yield payload + bytes(missing), lambda: False, True

    def _are_proved(self, read: _Reader, pages: list[int]) -> bool:
        return all(read.is_proved(number) for number in pages)

    def _readers(self, page: Page) -> Iterator[_Reader]:
        first = self.layout.bases[0] if page.base is None else page.base
        if page.log >= 0:
            log = self._logs[page.log]
            yield _Reader(self, first, lambda number: _some(log, log.as_of(number, page.frame)))
        else:
            yield _Reader(self, first)
        if self._logs:
            yield _Reader(self, first, self._newest)
        for base in self.layout.bases:
            if base != first or page.log >= 0:
                yield _Reader(self, base)
        if self.layout.checked:
            yield _Reader(self, first, mend=True)

    def _newest(self, number: int) -> _Version:
        for log in self._logs:
            found = _some(log, log.newest(number))
            if found is not None:
                return found
        return None

    def main_page(self, base: int, number: int) -> bytes | None:
        """None for a page that is not there, or has nothing on it."""
        offset = base + (number - 1) * self.layout.page_bytes
        if self._main is None or offset < 0 or offset >= self._main.size:
            return None
        data = self._main.page(offset, self.layout.page_bytes)
        return data if any(data) else None


_Version = tuple[CoreLog, int] | None


def _some(log: CoreLog, index: int | None) -> _Version:
    return None if index is None else (log, index)


class _Reader:
    """Reads pages by number: out of a log's frame where `version` names one, else out of the main file."""

    def __init__(
        self, files: CoreFiles, base: int, version: Callable[[int], _Version] = lambda _: None, *, mend: bool = False
    ) -> None:
        self._files = files
        self._base = base
        self._version = version
        self._mend = mend

    def __call__(self, number: int) -> bytes | None:
        version = self._version(number)
        if version is not None:
            return version[0].data(version[1])
        data = self._files.main_page(self._base, number)
        if data is None or not self._mend or is_good(data):
            return data
        return self._files.mended(data) or data

    def is_proved(self, number: int) -> bool:
        """Whether the page that a call gave has a checksum that holds."""
        version = self._version(number)
        if version is not None:
            return version[0].frame(version[1]).good
        data = self(number)
        return data is not None and self._files.layout.checked and is_good(data)
