"""What the log holds after a generation, or all of it, stream by stream, for who enters streams whole.

A recovery while serving needs any stream at any moment: its changes are kept in memory, up to a bound, in the order of
the log, with the heads that seals named in between. A log that is longer is for who reads it in its order (run.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.model.stream import Head
from safehold.ports.core import LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.recovery.chains import StreamKey
from safehold.recovery.unknown import Uncovered

#: Bytes that are kept: bodies, and for each change what it takes beside its body.
MOST_BYTES = 160 * 1024 * 1024
_CHANGE_BYTES = 1100
_HEAD_BYTES = 200

#: A change and its frame, or a head that a seal names here.
Event = tuple[int, Change] | Head


class TooLong(OperatorError):
    """The log after the newest generation is longer than what may be kept of it in memory."""


class Tail:
    """`end` is the position of the last good frame, or where reading began."""

    def __init__(self, start: LogPosition, claimed: int | None = None) -> None:
        """`claimed` is the timeline of the recovery itself: its claim tells nothing of how the log ended."""
        self.end = self.before = start  # `before`: of the last good frame before that claim
        self.last_at: int | None = None  # of that frame: its time, and the vault that it was read from
        self.last_from = ""
        self.spoken = start  # the last frame that says what was written
        self.spoken_at: int | None = None
        self._claimed = claimed
        self.holes: list[Hole] = []
        #: Whether there can be no stream that nothing names: a seal came after each hole that speaks of all before it.
        self.all_known = True
        #: How long the holes lasted for which that is not so.
        self.uncovered_seconds = 0.0
        self._events: dict[StreamKey, list[Event]] = {}
        self._bytes = 0

    def read(self, entries: Iterable[LogFrame | Hole], upto: int | None = None) -> None:
        """Up to frame `upto`, or to the log's end. Raises TooLong."""
        uncovered = Uncovered()
        for entry in entries:
            first = entry.first if isinstance(entry, Hole) else entry.position.frame
            if upto is not None and first > upto:
                break
            if isinstance(entry, Hole):
                self.holes.append(entry)
                uncovered.hole(entry)
                continue
            uncovered.frame(entry)
            self._take(entry)
        self.uncovered_seconds = uncovered.seconds()
        self.all_known = uncovered.all_known

    def _take(self, frame: LogFrame) -> None:
        number = frame.position.frame
        for change in frame.changes:
            self._add((change.account, change.kind), (number, change))
            self._bytes += _CHANGE_BYTES + len(change.body or b"")
        if frame.sealed:
            for key, head in frame.heads.items():
                self._add(key, head)
                self._bytes += _HEAD_BYTES
        self.end = frame.position
        if self._claimed is None or self.end.timeline < self._claimed:
            self.before, self.last_at, self.last_from = frame.position, frame.at, frame.source
        if frame.changes or frame.sealed:
            self.spoken, self.spoken_at = frame.position, frame.at
        if self._bytes > MOST_BYTES:
            raise TooLong(
                "the log after the newest generation is too long to be recovered from while serving",
                hint="stop the service and run `safehold recover run --yes`",
            )

    def _add(self, key: StreamKey, event: Event) -> None:
        found = self._events.get(key)
        if found is None:
            self._events[key] = [event]
        else:
            found.append(event)

    @property
    def lost_at_end(self) -> bool:
        """Whether frames after the last good one are known: what they held no stream misses."""
        return any(hole.first > self.before.frame for hole in self.holes)

    @property
    def beyond(self) -> Sequence[Hole]:
        """What is known to come after `end`, and cannot be read."""
        return [hole for hole in self.holes if hole.first > self.end.frame]

    def keys(self) -> Sequence[StreamKey]:
        return list(self._events)

    def events(self, key: StreamKey) -> Sequence[Event]:
        """Of one stream, in the order of the log."""
        return self._events.get(key, ())

    def count(self, key: StreamKey) -> int:
        """How many changes of a stream there are."""
        return len(self.changes(key)) if key in self._events else 0

    def changes(self, key: StreamKey) -> list[tuple[int, Change]]:
        return [event for event in self.events(key) if not isinstance(event, Head)]

    def heads(self, key: StreamKey) -> list[Head]:
        return [event for event in self.events(key) if isinstance(event, Head)]

    def drop(self, key: StreamKey) -> None:
        """Nobody asks for this stream any more."""
        self._events.pop(key, None)
