"""What a recovery while serving reads next, and what it has read and not entered: knocks first, then kind by kind.

One thread reads at a time; who comes while another reads goes on without. Portions of streams that the log does not go
on with are read by helpers, in the order of the queue, ahead of their time; who knocks does not wait for them: the
stream is read here. Streams that are damaged come last, so that all that is left of them is looked through once,
unless somebody knocks for one.

Bounds: what is ready are some steps' changes; helpers are ahead by as many portions as they take; a stream of more than
LONGEST changes is not read ahead at all, but as it enters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.model.stream import Base
from safehold.ports.core import CoreStore
from safehold.ports.vault import VaultDown
from safehold.recovery.chains import StreamKey
from safehold.recovery.portions import LONGEST, MakeRows, Portion, Settled, Settling, Wanted, portions
from safehold.recovery.streamwise import Make, Ready, Streamwise
from safehold.vault.runs import StreamEntry, stream_order

#: Changes of a portion: somebody who knocks may have to wait until one has been taken from a helper.
PORTION_CHANGES = 1_000
#: Whoever waits for a helper looks so often whether somebody has knocked meanwhile.
KNOCK_LOOK_SECONDS = 0.003
#: Bytes of rows that enter in one step, unless a single stream has more.
STEP_BYTES = 8 << 20
#: Streams that are read here and enter together, of those that have to be in before anything else.
TOGETHER = 250
#: Rows of the journal that are put in at a time, of a stream that is read as it enters.
ROWS = 500


class Long:
    """A stream that is read as it enters. Unless `mend`, only where it is whole."""

    def __init__(self, key: StreamKey, changes: int, *, mend: bool) -> None:
        self.key = key
        self.changes = changes
        self.mend = mend


class Ahead:
    """The streams that are still to come. `waiting` holds all of them, read or not."""

    def __init__(
        self,
        streamwise: Streamwise,
        make_rows: MakeRows,
        entries: dict[StreamKey, StreamEntry],
        changes_of: Callable[[StreamKey], int],
        generation: int,
        helpers: Settling | None,
        away: Callable[[], str],
        freshen: Callable[[], None],
    ) -> None:
        """`changes_of` says how many changes a stream has, `generation` where `entries` are from.

        `away` says which vault of those that were there cannot be read now, "" where all can; `freshen` forgets what
        could not be read before. What one of them has is not lost, however often it could not be read.
        """
        self.waiting: set[StreamKey] = set()
        #: Local numbers of accounts.
        self.numbers: dict[bytes, int] = {}
        #: Why nothing more can be read for now; "" where nothing hinders.
        self.trouble = ""
        self._streamwise = streamwise
        self._make_rows = make_rows
        self._entries = entries
        self._changes_of = changes_of
        self._generation = generation
        self._helpers = helpers
        #: `Polled.ready` of helpers that have it.
        self._poll: Callable[[float], bool] | None = getattr(helpers, "ready", None)
        self._away = away
        self._freshen = freshen
        self._stale = False  # whether something could not be read since all was forgotten
        self._queue: deque[StreamKey] = deque()
        self._knocked: deque[StreamKey] = deque()
        self._damaged: deque[StreamKey] = deque()
        self._ready: deque[Ready | Long] = deque()
        self._taken: set[StreamKey] = set()  # ready, or entering
        self._failed: set[StreamKey] = set()  # long ones that were not whole
        self._portions: dict[StreamKey, Portion] | None = None  # by the first stream of each
        self._answers: Iterator[list[Settled | None]] = iter(())
        self._number = 1  # that the rows read next begin with, so that those of neighbours are moved together
        self._free = deque([True])  # taken by who reads

    def line_up(self, keys: Iterable[StreamKey]) -> None:
        """In the order in which they are to come, unless somebody knocks."""
        self._queue.extend(sorted(keys, key=stream_order))

    def knock(self, key: StreamKey) -> None:
        """From any thread."""
        if key in self.waiting:
            self._knocked.append(key)

    # -- reading

    def read(self, most_changes: int) -> bool:
        """Have about so many changes ready; False where nothing is left to read. At once where another reads."""
        if not self.take_turn():
            return True
        try:
            self.trouble = ""
            while self._knocked or self._wants_more(most_changes):
                key, first = self._next()
                if key is None:
                    return bool(self._ready)
                try:
                    if not first and key in (self._portions or ()) and not self._take_portion(key):
                        self._queue.appendleft(key)  # somebody has knocked while helpers were waited for
                    elif self._is_wanted(key) and not self._read(key, first=first):
                        return True
                except BaseException:  # whoever tries again finds it where it was
                    self._queue.appendleft(key)
                    raise
            return True
        finally:
            self.end_turn()

    def _wants_more(self, most_changes: int) -> bool:
        ready = tuple(self._ready)
        return sum(one.changes for one in ready) < most_changes and sum(map(_size, ready)) < STEP_BYTES

    def take_turn(self) -> bool:
        """Whether the caller may read now. Then `end_turn` has to follow."""
        try:
            return self._free.pop()
        except IndexError:
            return False

    def end_turn(self) -> None:
        self._free.append(True)

    def _next(self) -> tuple[StreamKey | None, bool]:
        """The next stream to read, and whether it has to be read whatever it takes: somebody has knocked for it, or
        nothing else is left.
        """
        while self._knocked:
            key = self._knocked.popleft()
            if self._is_wanted(key):
                return key, True
        if self._portions is None:
            self._begin_portions()
        while self._queue:
            key = self._queue.popleft()
            if key in (self._portions or ()) or self._is_wanted(key):  # answers of helpers are taken in their order
                return key, False
        while self._damaged:
            key = self._damaged.popleft()
            if self._is_wanted(key):
                return key, True
        return None, False

    def _is_wanted(self, key: StreamKey) -> bool:
        return key in self.waiting and key not in self._taken

    def _read(self, key: StreamKey, *, first: bool) -> bool:
        """Have one ready, the next to enter where it is `first`; False where it cannot be read now."""
        changes = self._changes_of(key)
        ready: Ready | Long | None
        if changes > LONGEST:
            mend = key in self._failed
            ready = None if mend and not self._is_fresh() else Long(key, changes, mend=mend)
        else:
            ready = self.settle_now(key, self._rows_of(key))
            if ready is None:
                self._stale = True
                ready = self._read_again(key) if first else None
        if ready is None:
            self._damaged.append(key)
            return not self.trouble
        if isinstance(ready, Ready):
            self._number = ready.first + ready.changes
        self._taken.add(key)
        if first:
            self._ready.appendleft(ready)
        else:
            self._ready.append(ready)
        return True

    def _read_again(self, key: StreamKey) -> Ready | None:
        """One that is not whole, from vaults that are all there before and after; None where they are not."""
        if not self._is_fresh():
            return None
        ready = self.read_now(key)
        self.trouble = "" if ready.is_whole else self._away()
        return None if self.trouble else ready

    def _is_fresh(self) -> bool:
        """Have nothing that could not be read remembered; False where a vault is away."""
        self.trouble = self._away()
        if self._stale and not self.trouble:
            self._freshen()
            self._stale = False
        return not self.trouble

    def require_there(self) -> None:
        """Raises VaultDown where a stream cannot be said to be damaged now."""
        self.trouble = self._away()
        if self.trouble:
            raise VaultDown(self.trouble)

    def failed(self, key: StreamKey) -> None:
        """A long stream that is not whole, or cannot be read now: it comes again."""
        self._stale = True
        self._failed.add(key)
        self._taken.discard(key)
        self._damaged.append(key)

    def _rows_of(self, key: StreamKey) -> Make:
        return lambda base: self._make_rows(self.numbers[key[0]], key[1], base, self._number)

    def read_now(self, key: StreamKey, *, late: bool = False) -> Ready:
        """One stream, whatever it takes; `late` as in `Streamwise.followed`."""
        make = self._rows_of(key)
        ready = self.settle_now(key, make)
        return self.follow_now(key, make, late=late) if ready is None else ready

    def read_all(self, keys: Sequence[StreamKey]) -> Iterator[list[Ready]]:
        """All of these streams, whatever it takes, some at a time and in any order; each as `read_now` late.

        Helpers, where there are any, have begun with theirs when this returns.
        """
        jobs = self._portions_of(keys) if self._helpers is not None else []
        answers = self._helpers.run(jobs) if self._helpers is not None and jobs else iter(())
        return self._read_all(keys, jobs, answers)

    def _read_all(
        self, keys: Sequence[StreamKey], jobs: Sequence[Portion], answers: Iterator[list[Settled | None]]
    ) -> Iterator[list[Ready]]:
        left = dict.fromkeys(keys)
        for job in jobs:
            try:
                settled = next(answers)
            except Exception:  # a helper died: all is read here
                break
            some = [
                self._streamwise.ready(one.key, found, one.first_journal)
                for one, found in zip(job.streams, settled, strict=True)
                if found is not None
            ]
            for ready in some:
                del left[ready.key]
            yield some
        keys = list(left)
        for start in range(0, len(keys), TOGETHER):
            some = []
            for key in keys[start : start + TOGETHER]:
                some.append(self.read_now(key, late=True))
                self._number = some[-1].first + some[-1].changes
            yield some

    def settle_now(self, key: StreamKey, make: Make) -> Ready | None:
        """None where it is not whole: what was made of it by then counts for nothing."""
        return self._streamwise.settled(key, self._entries.get(key), make)

    def follow_now(self, key: StreamKey, make: Make, *, late: bool = False) -> Ready:
        """One that could not be settled."""
        entry = self._entries.get(key)
        if self._streamwise.needs_mender(key, entry):
            self._streamwise.prepare_mender([key, *self._damaged])
        return self._streamwise.followed(key, entry, make, late=late)

    # -- helpers

    def _begin_portions(self) -> None:
        """Hand out all that can be read by itself, in the order of the queue."""
        self._portions = {}
        if self._helpers is None:
            return
        jobs = self._portions_of(self._queue)
        self._portions = {job.streams[0].key: job for job in jobs}
        self._answers = self._helpers.run(jobs)

    def _portions_of(self, keys: Iterable[StreamKey]) -> list[Portion]:
        """Those of these streams that helpers can read, cut into portions. All are numbered as if they came in turn."""
        wanted, number = [], self._number
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and self._streamwise.stands_alone(key):
                witnessed = self._streamwise.stated(key)
                wanted.append((entry, Wanted(key, self.numbers[key[0]], number, witnessed)))
            number += self._changes_of(key)
        return portions(self._generation, wanted, PORTION_CHANGES)

    def _take_portion(self, first: StreamKey) -> bool:
        """What a helper made of the portion that begins with this stream; the rest is read here.

        False, and nothing is taken, where somebody knocks before a helper has answered.
        """
        assert self._portions is not None
        while self._poll is not None and not self._poll(KNOCK_LOOK_SECONDS):
            if self._knocked:
                return False
        job = self._portions.pop(first)
        try:
            answers = next(self._answers)
        except Exception:  # a helper died: all is read here
            self._portions = {}
            return True
        for one, settled in zip(job.streams, answers, strict=True):
            if settled is not None and self._is_wanted(one.key):
                self._taken.add(one.key)
                self._ready.append(self._streamwise.ready(one.key, settled, one.first_journal))
                self._number = one.first_journal + settled.changes
        return True

    # -- entering

    def take(self, most_changes: int) -> list[Ready | Long]:
        """What is ready, up to so many changes, at least one; a long stream comes alone."""
        batch: list[Ready | Long] = []
        count = size = 0
        while self._ready:
            one = self._ready.popleft()
            count, size = count + one.changes, size + _size(one)
            if batch and (isinstance(one, Long) or count > most_changes or size > STEP_BYTES):
                self._ready.appendleft(one)
                break
            batch.append(one)
            if isinstance(one, Long):
                break
        return batch

    @property
    def has_ready(self) -> bool:
        """Whether there is something to enter."""
        return bool(self._ready)

    def done(self, key: StreamKey) -> None:
        """It has entered, or its account is gone."""
        self.waiting.discard(key)
        self._taken.discard(key)

    def put_back(self, batch: Sequence[Ready | Long]) -> None:
        """They did not enter."""
        self._ready.extendleft(reversed(batch))


def _size(one: Ready | Long) -> int:
    return 0 if isinstance(one, Long) else len(one.rows)


class Direct:
    """A StreamMaker whose rows go into the open transaction as they are made; what it packs is empty."""

    def __init__(self, core: CoreStore, account: int, kind: Kind, base: Base | None) -> None:
        self._core = core
        self._maker = core.stream_maker(account, kind, base, core.next_journal())

    @property
    def next_journal(self) -> int:
        return self._maker.next_journal

    @property
    def waiting(self) -> int:
        return self._maker.waiting

    def add(self, change: Change, frame: int, after_gap: bool = False) -> None:
        self._maker.add(change, frame, after_gap)
        if self._maker.waiting >= ROWS:
            self._core.enter_journal(self._maker.take())

    def take(self) -> list[Any]:
        return self._maker.take()

    def finish(self) -> Any:
        return self._maker.finish()

    def packed(self) -> bytes:
        self._core.enter_journal(self._maker.take())
        self._core.enter_stream(self._maker.finish())
        return b""
