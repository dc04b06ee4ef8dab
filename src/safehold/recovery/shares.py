"""The comparison of a core with what went into it, cut into shares that other processes take.

Each opens the finished core for itself, to read: ranges of the journal, of which it returns sums, and settled streams,
whose rows it compares with figures that travel with the share. All else is compared in the process that asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.core import CoreReads, JournalSum
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import SettledState
from safehold.recovery.portions import Settling
from safehold.recovery.replay import Replay
from safehold.recovery.verify import BlobItem, Meant, compare_settled, meant_of

#: Rows of the journal of a share, which holds bodies of 64 KiB at most; and changes of the streams of one.
JOURNAL_ROWS = 5_000
STREAM_CHANGES = 5_000


class Share(NamedTuple):
    """Part of the work on the core in `folder`: the journal from one row to another, or streams."""

    folder: str
    first_journal: int = 0
    last_journal: int = -1
    streams: tuple[Meant, ...] = ()


class Found(NamedTuple):
    """What came of a share."""

    sums: dict[StreamKey, JournalSum]
    problems: list[str]
    blobs: list[BlobItem]


NOTHING_FOUND = Found({}, [], [])


class Helpers(Settling, Protocol):
    """Other processes. Answers come in the order of what was asked."""

    def compare(self, shares: Sequence[Share]) -> Iterator[Found]: ...


def work(open_core: Callable[[str], AbstractContextManager[CoreReads]], share: Share) -> Found:
    """What a helper does. Raises Damaged where pages of the core are not sound."""
    with open_core(share.folder) as core:
        found = Found({}, [], [])
        if share.first_journal <= share.last_journal:
            found.sums.update(core.journal_sums(share.first_journal, share.last_journal))
        for meant in share.streams:
            found.problems.extend(compare_settled(core, meant, found.blobs.append))
    return found


class Shares:
    """All shares of one comparison, taken in this order: the journal, then kind after kind."""

    def __init__(self, helpers: Helpers, folder: str, replay: Replay, rows: int) -> None:
        """The journal has at most so many rows."""
        ranges = [Share(folder, first, first + JOURNAL_ROWS - 1) for first in range(1, rows + 1, JOURNAL_ROWS)]
        streams = {kind: list(_of_kind(folder, replay, kind)) for kind in RESTORE_ORDER}
        self._ranges = len(ranges)
        self._counts = {kind: len(shares) for kind, shares in streams.items()}
        self._answers = helpers.compare([*ranges, *(share for shares in streams.values() for share in shares)])

    def sums(self) -> dict[StreamKey, JournalSum]:
        """Over the whole journal."""
        total: dict[StreamKey, JournalSum] = {}
        for _ in range(self._ranges):
            for key, sums in next(self._answers).sums.items():
                before = total.get(key)
                total[key] = sums if before is None else before.with_more(sums)
        return total

    def kind(self, kind: Kind) -> Found:
        """The streams of the next kind."""
        all_ = Found({}, [], [])
        for _ in range(self._counts[kind]):
            found = next(self._answers)
            all_.problems.extend(found.problems)
            all_.blobs.extend(found.blobs)
        return all_


def _of_kind(folder: str, replay: Replay, kind: Kind) -> Iterator[Share]:
    some: list[Meant] = []
    count = 0
    for key in replay.chains.heads:
        state = replay.contents.end(key) if key[1] is kind else None
        if not isinstance(state, SettledState):
            continue
        some.append(meant_of(replay, key, state))
        count += some[-1].changes
        if count >= STREAM_CHANGES:
            yield Share(folder, streams=tuple(some))
            some, count = [], 0
    if some:
        yield Share(folder, streams=tuple(some))
