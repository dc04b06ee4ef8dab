"""What survives of a core, below SQLite's own reading of it: `scan_core`.

A core file, whole or with pages zeroed, damaged or overwritten, cut short or without its beginning; with its log, torn
or alone; or lying anywhere in an image of a disk. Each page is read by itself, each row proved by itself:

    core_layout.py   where pages lie, and how large they are
    core_log.py      frames of the write-ahead log
    core_files.py    pages, and payloads over overflow pages
    core_rows.py     rows told by their shape
    core_reading.py  pages -> rows, into a scratch (store/carved.py)
    core_proofs.py   rows -> survivors, with core_streams.py

Read once and a half: once swiftly to find out where pages lie, once for their rows. Memory is bounded (but for some 40
bytes for each frame of a log); the scratch takes about as much room as the core.

What an image can pretend: a file in it that is a core in all respects, checksums and hashes included, is read as one.
In the core's own files that cannot be done: a body is never read as a page, see core_files.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from safehold.formats.sqlite_file import Malformed
from safehold.model.counting import count_text
from safehold.model.errors import OperatorError, OutOfSpace
from safehold.ports.disk import Disk
from safehold.ports.survivors import Finds
from safehold.salvage.core_files import CoreFiles
from safehold.salvage.core_layout import Layout, Medium, holds_good_page, survey
from safehold.salvage.core_log import CoreLog
from safehold.salvage.core_proofs import NOTHING_KNOWN, Known, Proving
from safehold.salvage.core_reading import RowReader
from safehold.store.carved import Carved
from safehold.store.sqlite.vfs import CHECKSUM_BYTES

Progress = Callable[[int, int], None]  # bytes done, bytes in all


class CoreSource(NamedTuple):
    """A core file or an image, and the log beside it; either may be "": not there."""

    disk: Disk
    path: str
    log: str = ""


class CoreFound(NamedTuple):
    """What came out of one source."""

    rows: int  # of the journal, copies included
    chain: int
    page: int
    aside: int

    def plus(self, other: CoreFound) -> CoreFound:
        return CoreFound(*(a + b for a, b in zip(self, other, strict=True)))


def scan_core(
    files: Sequence[CoreSource],
    finds: Finds,
    *,
    known: Known = NOTHING_KNOWN,
    progress: Progress = lambda _done, _all: None,
    scratch: str = "",
) -> CoreFound:
    """Put all that survives in these into `finds`; files that hold nothing of a core give nothing, and a problem.

    `scratch` is a folder for a temporary file, "" that of SQLite. Raises OperatorError where a file cannot be opened,
    OutOfSpace where the scratch or the find has no room.
    """
    found = CoreFound(0, 0, 0, 0)
    try:
        for source in files:
            found = found.plus(_Scan(source, finds, known, progress, scratch).run())
    except OutOfSpace as error:
        raise OutOfSpace(
            "there is no room for what is salvaged",
            hint="free some space or salvage into a folder on another disk, and run it again: it goes on",
        ) from error
    return found


class _Scan:
    def __init__(self, source: CoreSource, finds: Finds, known: Known, progress: Progress, scratch: str) -> None:
        self._source = source
        self._finds = finds
        self._known = known
        self._scratch = scratch
        self._progress = progress
        self._done = self._total = 0

    def run(self) -> CoreFound:
        with ExitStack() as stack:
            main = self._open(stack, self._source.path)
            beside = self._open(stack, self._source.log)
            size, log_size = main.size if main else 0, beside.size if beside else 0
            self._total = 2 * size + log_size
            found = self._all(main, beside)
            self._progress(self._total, self._total)
            for medium in (main, beside):
                if medium is not None and medium.unreadable_bytes:
                    number = self._main if medium is main else self._log
                    self._finds.problem(number, f"{count_text(medium.unreadable_bytes, 'byte')} cannot be read")
            return found

    def _open(self, stack: ExitStack, path: str) -> Medium | None:
        if not path:
            return None
        try:
            medium = Medium(self._source.disk.open(path))
        except OSError as error:
            raise OperatorError(f"{path} cannot be read: {error.strerror or error}", hint="check its name") from error
        stack.enter_context(closing(medium))
        return medium

    def _all(self, main: Medium | None, beside: Medium | None) -> CoreFound:
        looked = survey(main, self._step) if main is not None else None
        layouts = list(looked.layouts) if looked is not None else []
        of_file = next((layout for layout in layouts if layout.whole and layout.header is not None), None)
        if of_file is not None:  # a core's pages are of one size: others are what somebody wrote into a body
            layouts = [of_file]
        self._done = main.size if main is not None else 0
        is_core = any(layout.whole for layout in layouts) or not layouts
        self._main = self._log = 0
        if main is not None:
            self._main = self._finds.source(self._source.path, "core" if is_core else "image", main.size)
        logs: list[tuple[CoreLog, int]] = []
        if beside is not None:
            self._log = self._finds.source(self._source.log, "wal", beside.size)
            logs += self._read_log(beside, layouts[0].page_bytes if len(layouts) == 1 else None, 0, self._log)
        if main is not None and looked is not None:
            for begin in looked.logs:
                if any(layout.whole and holds_good_page(main, layout, begin) for layout in layouts):
                    continue  # in a body
                logs += self._read_log(main, None, begin, self._main, within=begin > 0 or bool(layouts))
        for log, _ in logs:
            if all(layout.page_bytes != log.page_bytes for layout in layouts):
                header = log.file_header()
                reserved = CHECKSUM_BYTES if header is None else header.reserved
                layouts.append(Layout(log.page_bytes, reserved, (0,), False, None))
        if not layouts and main is not None:
            self._finds.problem(self._main, "no page of a core was found")
        found = CoreFound(0, 0, 0, 0)
        for layout in layouts:
            larger = tuple(each for each in layouts if each.whole and each.page_bytes > layout.page_bytes)
            found = found.plus(self._one(layout, main, logs, larger))
            self._progress(self._done, self._total)
        return found

    def _read_log(
        self, medium: Medium, page_bytes: int | None, begin: int, source: int, *, within: bool = False
    ) -> list[tuple[CoreLog, int]]:
        try:
            log = CoreLog(medium, page_bytes, begin, within=within)
            log.file_header()
        except Malformed:
            if not within:
                self._finds.problem(source, "no frame of a core's log was found")
            return []
        if not len(log):
            return []
        if log.bad and not within:
            self._finds.problem(source, f"{log.bad} of {len(log)} frames whose checksum does not hold")
        return [(log, source)]

    def _step(self, done: int) -> None:
        self._progress(self._done + done, self._total)

    def _one(
        self, layout: Layout, main: Medium | None, logs: list[tuple[CoreLog, int]], larger: tuple[Layout, ...]
    ) -> CoreFound:
        mine = [(log, source) for log, source in logs if log.page_bytes == layout.page_bytes]
        files = CoreFiles(layout, main, tuple(log for log, _ in mine), larger)
        with closing(Carved(self._scratch)) as carved:
            reader = RowReader(files, carved, self._main, tuple(source for _, source in mine))
            for page in files.log_pages():
                reader.page(page)
            for page in files.main_pages(self._step):
                reader.page(page)
            carved.sort()
            proving = Proving(carved, self._finds, self._known)
            proving.run()
        self._tell(files, reader, proving)
        return CoreFound(reader.rows, proving.chain, proving.page, proving.aside)

    def _tell(self, files: CoreFiles, reader: RowReader, proving: Proving) -> None:
        number = self._main or self._log
        told = [
            (files.bad_pages, "pages whose checksum does not hold"),
            (files.mended_pages, "pages of which one byte was put right by their checksum"),
            (reader.odd_cells, "cells that cannot be read"),
            (len(proving.lost_accounts), "accounts whose id is lost with the pages that named it"),
            (len(proving.lost_collections), "collections whose id is lost with the pages that named it"),
        ]
        for count, words in told:
            if count:
                self._finds.problem(number, f"{count:,} {words}")
        if files.exhausted:
            self._finds.problem(number, "overflow pages that lead in circles: not all of them were followed")
        if reader.log_position is not None:
            timeline, frame = reader.log_position
            self._finds.problem(number, f"the core stood at frame {frame} of the log, on timeline {timeline}")
