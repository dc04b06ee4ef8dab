"""How long before the loss acknowledged writes may lie that no source has, and what is left on record of that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from safehold.formats.segment import SegmentName, parse_name
from safehold.model.errors import Damaged
from safehold.ports.core import CoreReads, LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.recovery.sources import Source

_SECOND = 1_000_000
#: Where the end is not known that is told, whatever the clocks say: 0 means that it is known.
LEAST_SECONDS = 1.0
#: What a problem ends with that tells of an object which looks whole (mended_ends.py).
MENDED = "it was mended before a recovery had read it"
#: And one that tells of evidence which may have said so: of what, and of which vault, nobody can tell.
UNREAD = "it cannot be read, and may tell of the end of a log that was mended"
#: In so many segments of a timeline stands what stood at its end: each start that was cut short may have added one.
LAST_SEGMENTS = 4


def whole_at_end(
    sources: Sequence[Source], sync: Collection[str], last_from: str, spoken: LogPosition, problems: Sequence[str]
) -> bool:
    """Whether the end of the log was read from a vault that every acknowledgement waited for, undamaged there.

    `last_from` is the vault that the last frame came from; `spoken` the last frame that says what was written, by
    changes or a seal: what comes after it, starts that failed have left, and they knew no more of the end before them.
    `problems` are those of the log reader, each of which begins with `VAULT: OBJECT:`, and what was mended before a
    recovery had read it (mended_ends.py). Damage further up, healed from another vault or counted as lost, does not
    matter here.

    One that lacks a generation which others have, though it was the first to be given it, has lost what it had: then
    its log may have lost its end as well, wherever that looks whole.
    """
    newest = max((source.generation for source in sources), default=0)
    for source in sources:
        if source.vault == last_from and source.vault in sync and not source.problem:
            if source.generation < newest:
                return False
            names = [name for text in source.last if (name := parse_name(text)) is not None]
            return not any(at_end(source.vault, names, problem, spoken) for problem in problems)
    return False


def at_end(vault: str, names: Collection[SegmentName], problem: str, spoken: LogPosition) -> bool:
    """Whether a problem is of the end of this vault's log, which begins with the segment that holds this frame.

    Where none of the segments (`names`, the last ones) does, all are younger. What stands there no more, for it was
    moved aside, is after it by its name all the same. What was mended need not hold the frame any more: whoever
    claimed a timeline since has made the frames certain in a segment after it. What may have told of a mend, and cannot
    be read, is of the end of every vault's log.
    """
    if problem.endswith(UNREAD):
        return True
    whose, _, rest = problem.partition(": ")
    name = parse_name(rest.partition(":")[0]) if whose == vault else None
    if name is None:
        return False
    begun = sorted(each for each in names if (each.timeline, each.first) <= (spoken.timeline, spoken.frame))
    if problem.endswith(MENDED):
        held = [each for each in begun if each.timeline == spoken.timeline][-LAST_SEGMENTS:]
        return name.timeline >= spoken.timeline and (not held or name >= held[0])
    return name >= (begun[-1] if begun else min(names, default=name))


def unknown_seconds(whole: bool, last_at: int | None, lost_at: int) -> float:
    """An upper bound, in seconds: 0 where a sync vault took part whole, else from the last frame to the loss.

    `last_at` is the time of the last frame that could be read (µs; None where none could); `lost_at` the last moment at
    which something may have been acknowledged, or now where nobody knows better. A writer's clock that ran ahead of
    this one's tells less than has passed, down to a second: then the bound rests on the clocks, and is never 0.
    """
    if whole:
        return 0.0
    if last_at is None:
        return max(LEAST_SECONDS, lost_at / _SECOND)
    return max(LEAST_SECONDS, (lost_at - last_at) / _SECOND)


class Uncovered:
    """Holes of the log that no later seal speaks for: a stream may have changed in one, and not since.

    Nothing names such a change, so that all that can be said of it is when it was. To be shown every entry of the log.
    """

    def __init__(self) -> None:
        #: Whether there can be no stream, and no end of one, that nothing names.
        self.all_known = True
        self._seconds = 0.0
        self._first = 0  # frame of the first such hole that no seal has been seen after
        self._since: int | None = None  # µs: of the last frame before it, and of the first after the last such hole
        self._until: int | None = None
        self._at: int | None = None

    def hole(self, hole: Hole) -> None:
        if not self._first:
            self._first, self._since = hole.first, self._at
        self._until = None

    def frame(self, frame: LogFrame) -> None:
        if self._first and self._until is None:
            self._until = frame.at
        if frame.sealed and self._first:
            self._settle(covered=frame.since < self._first)
        self._at = frame.at

    def seconds(self) -> float:
        """How long these holes lasted, all together; to be asked at the log's end.

        One after which nothing came counts as the end of the log does (`unknown_seconds`).
        """
        if self._first and self._until is not None:
            self._settle(covered=False)
        return self._seconds

    def _settle(self, *, covered: bool) -> None:
        if not covered:
            self.all_known = False
            since = self._since if self._since is not None else self._until
            lasted = ((self._until or 0) - (since or 0)) / _SECOND
            self._seconds += max(LEAST_SECONDS, lasted)
        self._first, self._since, self._until = 0, None, None


def in_doubt(old: CoreReads | None, end: LogPosition) -> bytes:
    """What stays of the doubt that an earlier recovery has left in a core, once the log was read up to `end`.

    It stands there only until a writer opens that core. Where the log leads further than the core all the same, that
    recovery's end was no end, and what it lacked has been read.
    """
    try:
        if old is None or end.frame > old.log_position().frame:
            return b""
        return old.end_in_doubt()
    except Damaged:
        return b""
