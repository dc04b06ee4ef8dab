"""The write-ahead log beside a core, or what is left of it: which frame has which page, and which were committed.

A frame counts as good where its sums hold, seeded with those of the frame before, so that a hole costs one frame more.
The present salt is the header's, or that of the first frame. Frames of another salt are of a log before: what they say
of the present is outdated, but a row of the journal in them is a row of the journal. A frame is committed where a good
commit frame of its salt follows: rows behind the last one were never acknowledged, unless it was that one which was
lost.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from safehold.formats.sqlite_file import FileHeader, Malformed, file_header
from safehold.formats.sqlite_sums import Sums
from safehold.formats.sqlite_wal import FRAME_BYTES, HEADER_BYTES, FrameHead, WalHeader, frame_head, holds, wal_header
from safehold.salvage.core_layout import SIZES, Medium
from safehold.store.sqlite.schema import APPLICATION_ID

#: Frames that are nothing of a log, one after another, after which one in the midst of an image has ended.
_STRANGE_FRAMES = 64
_UNKNOWN = 0  # in place of the number of a salt


class Frame(NamedTuple):
    number: int  # from 1 on, as `where` names it
    offset: int  # of its page
    page: int
    good: bool
    present: bool  # its salt is the present one
    committed: bool


class CoreLog:
    """Frames of one log, read once; some 40 bytes of memory for each."""

    def __init__(self, medium: Medium, page_bytes: int | None, begin: int = 0, *, within: bool = False) -> None:
        """`within` says that the file is more than a log. Raises Malformed where nothing here is one."""
        self._medium = medium
        self._begin = begin
        self.header = self._read_header(begin)
        found = self.header.page_bytes if self.header is not None else page_bytes or self._guess()
        if found not in SIZES:
            raise Malformed("no log of a core")
        self.page_bytes = found
        self._step = FRAME_BYTES + found
        self.bad = 0
        self.commits = 0
        self._pages = array("Q")
        self._good = bytearray()
        self._group = array("I")  # number of the frame's salt
        self._salts: dict[bytes, int] = {} if self.header is None else {self.header.salt: 1}
        self._present: int | None = None if self.header is None else 1
        self._commits: dict[int, array[int]] = {}
        self._of_page: dict[int, array[int]] = {}
        self._read(within)

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def end(self) -> int:
        """Where it ends in its file."""
        return self._begin + HEADER_BYTES + len(self) * self._step

    def frame(self, index: int) -> Frame:
        group = self._group[index]
        commits = self._commits.get(group)
        return Frame(
            index + 1,
            self._offset(index) + FRAME_BYTES,
            self._pages[index],
            bool(self._good[index]),
            group == self._present,
            commits is not None and index <= commits[-1],
        )

    def file_header(self) -> FileHeader | None:
        """That of the core, where page 1 is here. Raises Malformed where it is the log of another program's file."""
        found = None
        for index in reversed(self._of_page.get(1, ())):
            found = file_header(self.data(index))
            if found.application == APPLICATION_ID:
                return found
        if found is not None:
            raise Malformed("the log of a file that is no core")
        return None

    def data(self, index: int) -> bytes:
        """The page in a frame."""
        return self._medium.page(self._offset(index) + FRAME_BYTES, self.page_bytes)

    def newest(self, page: int) -> int | None:
        """The last good committed frame of a page in the present log."""
        if self._present is None:
            return None
        commits = self._commits.get(self._present)
        return None if commits is None else self._last(page, self._present, commits[-1])

    def as_of(self, page: int, index: int) -> int | None:
        """The page as it was when the transaction of that frame ended."""
        group = self._group[index]
        commits = self._commits.get(group, array("Q"))
        place = bisect_left(commits, index)
        return self._last(page, group, commits[place] if place < len(commits) else len(self))

    def _last(self, page: int, group: int, upto: int) -> int | None:
        frames = self._of_page.get(page)
        if frames is None:
            return None
        for place in range(bisect_right(frames, upto) - 1, -1, -1):
            if self._group[frames[place]] == group:
                return frames[place]
        return None

    # -- reading

    def _offset(self, index: int) -> int:
        return self._begin + HEADER_BYTES + index * self._step

    def _read_header(self, begin: int) -> WalHeader | None:
        try:
            return wal_header(self._medium.read(begin, HEADER_BYTES))
        except Malformed:
            return None

    def _guess(self) -> int:
        """The size at which heads of frames repeat their salt."""
        for size in SIZES:
            steps = [self._begin + HEADER_BYTES + n * (FRAME_BYTES + size) for n in range(9)]
            heads = [self._head(self._medium.read(at, FRAME_BYTES)) for at in steps]
            salts = [head.salt for head in heads if head is not None and any(head.salt)]
            if len(salts) > len(set(salts)):
                return size
        return 0

    @staticmethod
    def _head(data: bytes) -> FrameHead | None:
        try:
            return frame_head(data)
        except Malformed:
            return None

    def _read(self, within: bool) -> None:
        before: Sums | None = None if self.header is None else self.header.sums
        order = "<" if self.header is None else self.header.order
        strange = 0
        limit = self._medium.size
        while self._offset(len(self)) + FRAME_BYTES < limit and strange < _STRANGE_FRAMES:
            frame = self._medium.read(self._offset(len(self)), self._step)
            head = self._head(frame)
            good = head is not None and before is not None and len(frame) == self._step
            good = good and head is not None and before is not None and holds(frame, head, before, order)
            if within:
                known = head is not None and (good or head.salt in self._salts)
                strange = 0 if known else strange + 1
            self._add(head, good)
            before = None if head is None else head.sums
        if within and strange:
            for _ in range(strange):
                self._pages.pop()
                self._good.pop()
                self._group.pop()

    def _add(self, head: FrameHead | None, good: bool) -> None:
        index = len(self)
        group = self._group_of(head, good)
        self._pages.append(head.page if head is not None else 0)
        self._good.append(good)
        self._group.append(group)
        self.bad += not good
        if good and head is not None:
            self._of_page.setdefault(head.page, array("Q")).append(index)
            if head.commit:
                self.commits += 1
                self._commits.setdefault(group, array("Q")).append(index)

    def _group_of(self, head: FrameHead | None, good: bool) -> int:
        """Salts are believed that a good frame bears, or the header or else the first frame."""
        if head is None:
            return _UNKNOWN
        if good or (self._present is None and not len(self)):
            group = self._salts.setdefault(head.salt, len(self._salts) + 1)
            if self._present is None and not len(self):
                self._present = group
            return group
        return self._salts.get(head.salt, _UNKNOWN)
