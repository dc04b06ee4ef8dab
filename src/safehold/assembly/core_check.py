"""The care of a running core: what was brought is mended, damage is traced, and all of it is read at a set pace.

Three things, in this order, a piece at a time (`step`), by one thread that nobody waits for:

1. rows whose bodies the vaults gave back are mended in place;
2. damage that a read or write met is traced at once: all pages are looked at, those that are bad mended where that can
   be proved, rows that cannot be read brought from the vaults and mended;
3. a *pass* over the whole core, once a day: the checksum of every page, free ones included; every change of the
   journal by hash, chain and digests; large bodies by their files; every stream's end, counts and state root, computed
   from its changes and from the core's tables. It goes on after a restart where it was.

What remains damaged after 1 and 2, and any disagreement between journal and tables, asks for a new core (renewal.py).

No read transaction is kept open between two pieces, so that none keeps the WAL from being brought into the file. The
writer's turn is taken for a page or row that is to be mended, and for nothing else.

Long, as the three share what was met, and how far the pass has come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from safehold.assembly.read_repair import ReadRepair
from safehold.model.change import NO_DIGEST, Change, Op
from safehold.model.counting import count_text
from safehold.model.errors import Damaged, Held, LostBody, SafeholdError
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, check_self
from safehold.ports.care import CareReads, CareStore, PageState
from safehold.ports.core import CoreReads, RunRow
from safehold.ports.disk import Disk
from safehold.ports.world import Clock
from safehold.recovery.reconcile import core_root
from safehold.recovery.states import LiveState
from safehold.service.incidents import Incidents

#: A piece of work takes about so long at the set pace; and rows of the journal, or of a stream, of one.
PIECE_SECONDS = 0.1
ROWS_AT_ONCE = 50
PASS_SECONDS = 24 * 3600
IDLE_SECONDS = 1.0
#: Damage that is met is traced at this pace: somebody waits for it.
URGENT_PAGES = 4096
#: More rows than these are not mended one by one.
MOST_ROWS = 200
#: Where the tracing found nothing that could be mended, the next one waits so long.
TRACE_AGAIN_SECONDS = 300.0
TRACE_SOON_SECONDS = 5.0
NOTE_SECONDS = 10.0
_ROW_BYTES = 300  # of a row beside its body, about
_MICROSECONDS = 1_000_000

DAMAGED = "core damaged"

_log = logging.getLogger("safehold.care")
T = TypeVar("T")


class Core(CoreReads, CareReads, Protocol):
    """A connection of one's own."""


class Checked(msgspec.Struct):
    """A pass that came to its end."""

    at: int  # µs
    seconds: float
    bytes: int
    changes: int
    streams: int
    blobs: int
    mended: int
    damaged: int


class Standing(msgspec.Struct):
    """What is remembered in run/core-check.json: the last pass, and how far the one under way has come."""

    last: Checked | None = None
    began: int = 0  # µs; 0 while none is under way
    stage: int = 0
    next: int = 0  # page, journal number or stream that comes next
    bytes: int = 0
    changes: int = 0
    streams: int = 0
    blobs: int = 0
    mended: int = 0
    damaged: int = 0
    mended_ever: int = 0


class InTurn(Protocol):
    """Does work on the writer's core between batches; None where nothing is written now."""

    def __call__(self, work: Callable[[CareStore], T], /) -> T | None: ...


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Standing).decode

#: Whether a blob is what it should be, after it was fetched back where it was not: (fine, mended).
CheckBlob = Callable[[bytes, int, bytes], "tuple[bool, bool]"]
Piece = Generator[int, None, None]


class CoreCare:
    """Used by one thread, but for `met`, `status` and `renewing`."""

    def __init__(
        self,
        repair: ReadRepair,
        reads: Callable[[], Core],
        in_turn: InTurn,
        clock: Clock,
        incidents: Incidents,
        disk: Disk,
        place: str,
        *,
        bytes_per_second: int,
        check_blob: CheckBlob = lambda *_: (True, False),
        renew: Callable[[str], None] = lambda _: None,
        record: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        """`renew` is told why the core has to be made anew, `record` what was mended, in words."""
        self._repair = repair
        self._reads = reads
        self._in_turn = in_turn
        self._clock = clock
        self._incidents = incidents
        self._disk = disk
        self._place = place
        self._pace = bytes_per_second
        self._check_blob = check_blob
        self._renew = renew
        self._record = record
        self._met = ""
        self._blobs_mended: list[bytes] = []
        self._traced_at = -TRACE_AGAIN_SECONDS
        self._pass: Piece | None = None
        self._noted_at = 0.0
        self._mended: list[str] = []
        self._mended_at = 0.0
        self._open: set[str] = set()  # damage that is there, in words
        self._standing = _remembered(disk, place)
        last = self._standing.last
        # Somebody may have made the core anew since.
        self._again = self._standing.damaged > 0 or (last is not None and last.damaged > 0)
        if self._again:
            self._standing = Standing(last, mended_ever=self._standing.mended_ever)

    def met(self, error: Damaged) -> None:
        """A read or a write met damage. From any thread."""
        self._met = error.message

    def blob_mended(self, name: bytes) -> None:
        """A large body was fetched back for a reader. From any thread."""
        self._blobs_mended.append(name)

    def status(self) -> dict[str, object]:
        """For the status object: `core`."""
        return {**_told(self._standing), "damaged": len(self._open)}

    def step(self) -> float:
        """One piece; the seconds to wait before the next."""
        if self._repair.wanting():
            self._mend_rows()
        while self._blobs_mended:
            self._count_blob(self._blobs_mended.pop())
        if self._mended and self._clock.monotonic() - self._mended_at > NOTE_SECONDS:
            mended, self._mended = self._mended, []
            self._record(mended)
        if self._met and self._clock.monotonic() - self._traced_at >= TRACE_AGAIN_SECONDS:
            self._trace()
            return 0.0
        if self._pass is None:
            if not self._due():
                return IDLE_SECONDS
            self._pass = self._whole()
        try:
            done = next(self._pass)
        except StopIteration:
            self._pass = None
            return IDLE_SECONDS
        except SafeholdError as error:  # the pass goes on behind it once it has been traced
            self._pass = None
            self._standing.next += 1
            self.met(Damaged(error.message, where="core"))
            return IDLE_SECONDS
        self._remember(at_once=False)
        return max(0.0, done / self._pace) if self._pace else 0.0

    # -- mending

    def _mend_rows(self) -> None:
        """Rows of which the vaults gave the body back."""
        wanting = self._repair.wanting()
        left = 0
        for journal, change in wanting:
            try:
                mended = self._in_turn(partial(_mend_change, journal, change))
            except Damaged:
                mended = False
            if mended is None:
                return  # nothing is written now: later
            self._repair.settle(journal, mended=mended)
            if mended:
                self._count_mended(f"the body of change {journal}")
            else:
                left += 1
        if left:
            self.met(
                Damaged(f"{count_text(left, 'row')} of the journal could not be mended by themselves", where="core")
            )

    def _count_blob(self, name: bytes) -> None:
        self._incidents.end("large body damaged", name.hex())
        self._incidents.note(
            "large body mended",
            name.hex(),
            message=f"the large body {name.hex()} was damaged here, and was fetched back from a vault",
            hint="nothing was lost; where this comes again, see what is wrong with the disk",
            over=True,
        )
        self._count_mended(f"the large body {name.hex()}")

    def _count_mended(self, what: str) -> None:
        _log.warning("mended in the core: %s", what)
        self._standing.mended += 1
        self._standing.mended_ever += 1
        self._mended.append(what)
        self._mended_at = self._clock.monotonic()
        self._remember(at_once=True)

    def _trace(self) -> None:
        """Find out what was met, mend it, or ask for a new core."""
        why, self._met = self._met, ""
        self._traced_at = self._clock.monotonic()
        before = self._standing.damaged
        try:
            core = self._reads()
            starts = range(1, core.page_count() + 1, URGENT_PAGES)
            bad = [page for first in starts for page in core.bad_pages(first, URGENT_PAGES)]
            if not self._attend(core, bad):
                self._met = why
            elif not bad and (fault := core.fault()) is not None:
                self._is_damaged(f"the core's file disagrees with itself: {fault}")
        except SafeholdError as error:
            self._is_damaged(f"{why}: {error.message}")
        if self._standing.damaged == before:  # what is met next is something else
            self._traced_at -= TRACE_AGAIN_SECONDS - TRACE_SOON_SECONDS

    def _attend(self, core: Core, bad: list[int]) -> bool:
        """Mend these pages, or ask for a new core. False where nothing is written now."""
        left = self._mend_pages(bad)
        if left:
            self._mend_rows_of(core)
            left = self._mend_pages(left)
        if left:
            one = len(left) == 1
            what = "a page of the core's file is" if one else f"{len(left)} pages of the core's file are"
            self._is_damaged(f"{what} damaged ({', '.join(map(str, left[:10]))}{' …' if len(left) > 10 else ''})")
        return left is not None

    def _mend_pages(self, bad: list[int]) -> list[int] | None:
        """Those that remain; None where nothing is written now."""
        left = []
        for page in bad:
            state = self._in_turn(partial(_mend_page, page))
            if state is None:
                return None
            if state is PageState.MENDED:
                self._count_mended(f"page {page}")
            elif state is PageState.DAMAGED:
                left.append(page)
        return left

    def _mend_rows_of(self, core: Core) -> None:
        rows = core.rotten_rows(1, core.last_journal(), MOST_ROWS)
        if 0 < len(rows) < MOST_ROWS:
            try:
                self._repair.bring([LostBody(journal, NO_DIGEST) for journal in rows])
            except SafeholdError as error:
                _log.warning("not all of what is damaged could be brought: %s", error.message)
            self._repair.want(rows)
            self._mend_rows()

    def _is_damaged(self, what: str) -> None:
        self._open.add(what)
        self._standing.damaged += 1
        _log.error("the core is damaged: %s", what)
        self._incidents.note(
            DAMAGED,
            message=f"the core is damaged: {what}",
            hint="it is made anew from the vaults as soon as they hold everything; `safehold recover plan` tells",
            facts={"summary": "A part of the server's data is being repaired. Nothing of it is lost."},
        )
        self._renew(what)

    # -- a pass

    def _due(self) -> bool:
        """One that was begun goes on; a clock that was set back makes it due."""
        if not self._pace:
            return False
        last = self._standing.last
        since = PASS_SECONDS + 1 if last is None else (self._clock.now() - last.at) / _MICROSECONDS
        return self._standing.began > 0 or not 0 <= since < PASS_SECONDS

    def _whole(self) -> Piece:
        standing = self._standing
        self._again = False
        if not standing.began:
            self._standing = standing = Standing(standing.last, self._clock.now(), mended_ever=standing.mended_ever)
        stages = (self._check_pages, self._check_journal, self._check_streams)
        while standing.stage < len(stages):
            yield from stages[standing.stage]()
            standing.stage += 1
            standing.next = 0
        seconds = max(0, self._clock.now() - standing.began) / _MICROSECONDS
        standing.last = Checked(
            self._clock.now(),
            seconds,
            standing.bytes,
            standing.changes,
            standing.streams,
            standing.blobs,
            standing.mended,
            standing.damaged,
        )
        if not standing.damaged:
            self._open.clear()
            self._incidents.end(DAMAGED)
        standing.began = standing.stage = standing.next = 0
        self._remember(at_once=True)
        _log.info("the whole core was checked in %g seconds: %d damaged", seconds, standing.damaged)

    def _check_pages(self) -> Piece:
        core, standing = self._reads(), self._standing
        pages = max(1, int(self._pace * PIECE_SECONDS) // core.page_bytes)
        while standing.next < core.page_count():
            first = standing.next + 1
            bad = core.bad_pages(first, pages)
            if bad and not self._attend(core, bad):
                yield self._pace  # the writer's turn cannot be had now: look at them again
                continue
            standing.next += pages
            standing.bytes += pages * core.page_bytes
            yield pages * core.page_bytes

    def _check_journal(self) -> Piece:
        core, standing = self._reads(), self._standing
        last = core.last_journal()
        while standing.next < last:
            try:
                rows = core.changes(after_journal=standing.next, limit=ROWS_AT_ONCE)
            except Damaged:
                rotten = core.rotten_rows(standing.next + 1, standing.next + ROWS_AT_ONCE, MOST_ROWS)
                self._want(rotten)
                rows = [row for n in range(ROWS_AT_ONCE) for row in self._one(core, standing.next + n + 1, rotten)]
                standing.next += ROWS_AT_ONCE
            else:
                standing.next = rows[-1][0] if rows else last
            size = 0
            for journal, _, change in rows:
                size += _ROW_BYTES + len(change.body or b"")
                self._check_change(journal, change)
                if change.blob is not None:
                    size += self._check_file(change)
            standing.changes += len(rows)
            yield size

    @staticmethod
    def _one(core: Core, journal: int, rotten: list[int]) -> list[tuple[int, int, Change]]:
        if journal in rotten:
            return []
        return [row for row in core.changes(after_journal=journal - 1, limit=1) if row[0] == journal]

    def _want(self, rows: list[int]) -> None:
        try:
            self._repair.bring([LostBody(journal, NO_DIGEST) for journal in rows])
        except SafeholdError as error:
            self.met(Damaged(error.message, where="core"))

    def _check_change(self, journal: int, change: Change) -> None:
        try:
            check_self(change)
        except BadChange as error:
            if change.body is not None:
                bare = msgspec.structs.replace(change, body=None)
                try:
                    check_self(bare)
                except BadChange:
                    pass
                else:
                    self._want([journal])
                    return
            self._is_damaged(f"change {journal} of the journal is not what was written ({error})")

    def _check_file(self, change: Change) -> int:
        assert change.blob is not None
        try:
            fine, mended = self._check_blob(change.blob, change.size, change.digest)
        except Held as error:
            self._incidents.note(
                "large body damaged",
                change.blob.hex(),
                message=f"the large body of {change.name} is damaged: {error.message}",
                hint=error.hint,
            )
            self._standing.damaged += 1
            return change.size
        if mended:
            self._count_blob(change.blob)
        self._standing.blobs += fine
        return change.size

    def _check_streams(self) -> Piece:
        core, standing = self._reads(), self._standing
        streams = sorted(core.stream_ends(), key=lambda key: (key[0], key[1].value))
        while standing.next < len(streams):
            id_, kind = streams[standing.next]
            account = core.account_by_id(id_)
            if account is not None:  # else erased meanwhile
                yield from self._check_stream(core, account.number, kind)
            standing.streams += 1
            standing.next += 1

    def _check_stream(self, core: Core, account: int, kind: Kind) -> Iterator[int]:
        """Two paths to what lives in it: through its changes, and through the core's tables."""
        for _ in range(3):
            head = core.head(account, kind)
            if core.held(account, kind) is not None or core.base(account, kind) is not None:
                return  # what is missing of it is not here to be compared
            state, count, after, end = LiveState(), 0, 0, b""
            while after < head.rev:
                upto = min(head.rev, after + 10 * ROWS_AT_ONCE)
                for row in core.run_rows(account, kind, after, upto):
                    count += 1
                    end = row[13]
                    state.apply(_envelope(account, kind, row))
                after = upto
                yield 10 * ROWS_AT_ONCE * _ROW_BYTES
            figures = core.figures(account, kind)
            if figures.changes != head.rev:
                return  # a person took a loss on them: what lives cannot be told from what is here
            root = core_root(core, account, kind)
            if core.head(account, kind) != head:
                continue  # it went on meanwhile
            told = (count, state.items, end or head.hash, state.root())
            if told != (figures.changes, figures.items, head.hash, root):
                self._is_damaged(f"{kind} of account {account}: its tables do not agree with its changes")
            return

    # -- what is remembered

    def _remember(self, *, at_once: bool) -> None:
        """Where a pass goes on after a restart. Not synced: a pass that begins anew does no harm."""
        now = self._clock.monotonic()
        if not at_once and now - self._noted_at < NOTE_SECONDS:
            return
        self._noted_at = now
        try:
            self._disk.make_folders(self._place.rpartition("/")[0])
            file = self._disk.open(f"{self._place}.new", write=True, create=True)
            try:
                file.truncate(0)
                file.write_at(0, _encode(self._standing))
            finally:
                file.close()
            self._disk.rename(f"{self._place}.new", self._place)
        except OSError as error:
            _log.warning("how far the core was checked could not be noted: %s", error.strerror)


def check_remembered(disk: Disk, place: str) -> dict[str, object]:
    """As `CoreCare.status`, where nothing runs: `place` is where a service has noted it."""
    standing = _remembered(disk, place)
    return {**_told(standing), "renewal": None}


def _told(standing: Standing) -> dict[str, object]:
    last = standing.last
    return {
        "last_check": None if last is None else last.at,
        "bytes": 0 if last is None else last.bytes,
        "mended": standing.mended_ever,
        "damaged": standing.damaged if standing.began or last is None else last.damaged,
        "checking": standing.began > 0,
        "check_seconds": None if last is None else last.seconds,
    }


def _remembered(disk: Disk, place: str) -> Standing:
    try:
        file = disk.open(place)
    except OSError:
        return Standing()
    try:
        return _decode(file.read_at(0, 1 << 16))
    except (OSError, msgspec.DecodeError):
        return Standing()
    finally:
        file.close()


def _mend_change(journal: int, change: Change, core: CareStore) -> bool:
    return core.mend_change(journal, change)


def _mend_page(page: int, core: CareStore) -> PageState:
    return core.mend_page(page)


def _envelope(account: int, kind: Kind, row: RunRow) -> Change:
    """A change of `run_rows`, as far as what lives follows from it."""
    timeline, rev, group, at, op, collection, name, media, digest, size, props, actor, prev, hash_, *_ = row
    who = account.to_bytes(16, "big")
    fields = (timeline, rev, group, at, Op(op), collection, name, media, digest, size, props, actor, prev or b"")
    return Change(who, kind, *fields, hash_)
