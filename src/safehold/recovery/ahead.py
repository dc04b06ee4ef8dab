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
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.model.stream import Base
from safehold.ports.core import CoreStore
from safehold.recovery.chains import StreamKey
from safehold.recovery.portions import LONGEST, MakeRows, Portion, Settled, Settling, Wanted, portions
from safehold.recovery.streamwise import Make, Ready, Streamwise
from safehold.vault.runs import StreamEntry, stream_order

#: Changes of a portion: somebody who knocks may have to wait until one has been taken from a helper.
PORTION_CHANGES = 1_000
#: Whoever waits for a helper looks so often whether somebody has knocked meanwhile.
KNOCK_LOOK_SECONDS = 0.003
#: Rows of the journal that are put in at a time, of a stream that is read as it enters.
ROWS = 500


class Long:
    """A stream that is read as it enters."""

    def __init__(self, key: StreamKey, changes: int) -> None:
        self.key = key
        self.changes = changes


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
    ) -> None:
        """`changes_of` says how many changes a stream has, `generation` where `entries` are from."""
        self.waiting: set[StreamKey] = set()
        #: Local numbers of accounts.
        self.numbers: dict[bytes, int] = {}
        self._streamwise = streamwise
        self._make_rows = make_rows
        self._entries = entries
        self._changes_of = changes_of
        self._generation = generation
        self._helpers = helpers
        #: `Polled.ready` of helpers that have it.
        self._poll: Callable[[float], bool] | None = getattr(helpers, "ready", None)
        self._queue: deque[StreamKey] = deque()
        self._knocked: deque[StreamKey] = deque()
        self._damaged: deque[StreamKey] = deque()
        self._ready: deque[Ready | Long] = deque()
        self._portions: dict[StreamKey, Portion] | None = None  # by the first stream of each
        self._answers: Iterator[list[Settled | None]] = iter(())
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
            while self._knocked or sum(one.changes for one in self._ready) < most_changes:
                key, knocked = self._next()
                if key is None:
                    return bool(self._ready)
                if not knocked and key in (self._portions or ()) and not self._take_portion(key):
                    self._queue.appendleft(key)  # somebody has knocked while helpers were waited for
                elif self._is_wanted(key):
                    self._read(key, knocked)
            return True
        finally:
            self.end_turn()

    def take_turn(self) -> bool:
        """Whether the caller may read now. Then `end_turn` has to follow."""
        try:
            return self._free.pop()
        except IndexError:
            return False

    def end_turn(self) -> None:
        self._free.append(True)

    def _next(self) -> tuple[StreamKey | None, bool]:
        """The next stream to read, and whether somebody has knocked for it."""
        if self._portions is None:
            self._begin_portions()
        for queue in (self._knocked, self._queue, self._damaged):
            while queue:
                key = queue.popleft()
                begins = queue is self._queue and key in (self._portions or ())  # answers are taken in their order
                if begins or self._is_wanted(key):
                    return key, queue is self._knocked
        return None, False

    def _is_wanted(self, key: StreamKey) -> bool:
        return key in self.waiting and all(one.key != key for one in self._ready)

    def _read(self, key: StreamKey, knocked: bool) -> None:
        changes = self._changes_of(key)
        long = Long(key, changes) if changes > LONGEST else None
        ready = long or self._read_whole(key, mend=knocked or not self._queue)
        if ready is None:
            self._damaged.append(key)
        elif knocked:
            self._ready.appendleft(ready)
        else:
            self._ready.append(ready)

    def _read_whole(self, key: StreamKey, *, mend: bool) -> Ready | None:
        """None where it would have to be mended, and is not to be now."""
        make = self._rows_of(key)
        ready = self.settle_now(key, make)
        if ready is None and (mend or not self._streamwise.needs_mender(key, self._entries.get(key))):
            ready = self.follow_now(key, make)
        return ready

    def _rows_of(self, key: StreamKey) -> Make:
        return lambda base: self._make_rows(self.numbers[key[0]], key[1], base, 1)

    def read_now(self, key: StreamKey) -> Ready:
        """One stream, whatever it takes, with what only a witness has of its end."""
        make = self._rows_of(key)
        ready = self.settle_now(key, make)
        return self.follow_now(key, make, late=True) if ready is None else ready

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
        wanted = []
        for key in self._queue:
            entry = self._entries.get(key)
            if entry is not None and self._streamwise.stands_alone(key):
                witnessed = self._streamwise.stated(key)
                wanted.append((entry, Wanted(key, self.numbers[key[0]], 1, witnessed)))
        jobs = portions(self._generation, wanted, PORTION_CHANGES)
        self._portions = {job.streams[0].key: job for job in jobs}
        self._answers = self._helpers.run(jobs)

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
        except SafeholdError:  # a helper died: all is read here
            self._portions = {}
            return True
        for one, settled in zip(job.streams, answers, strict=True):
            if settled is not None and self._is_wanted(one.key):
                self._ready.append(self._streamwise.ready(one.key, settled))
        return True

    # -- entering

    def take(self, most_changes: int) -> list[Ready | Long]:
        """What is ready, up to so many changes, at least one; a long stream comes alone."""
        batch: list[Ready | Long] = []
        count = 0
        while self._ready:
            one = self._ready[0]
            if batch and (isinstance(one, Long) or count + one.changes > most_changes):
                break
            batch.append(self._ready.popleft())
            count += one.changes
            if isinstance(one, Long):
                break
        return batch

    def put_back(self, batch: Sequence[Ready | Long]) -> None:
        """They did not enter."""
        self._ready.extendleft(reversed(batch))


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
