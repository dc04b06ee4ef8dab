"""Core and log brought to agree at a start, before anything is accepted.

    take_in             what the log holds beyond the core's position enters the core
    changes_in          what the core holds of frames up to there, for the next seal: nobody needs to open them
    mark_unarchived     what the core holds beyond the log's end is marked; the core's position becomes that end
    archive_unarchived  what is so marked goes into new frames, the changes as they are

The mark is kept in the core until the change is in every sync vault, so that a crash anywhere between loses nothing
and doubles nothing: a frame that was written, but not noted in the core, comes back through `take_in`, which finds
its changes there already and takes the mark from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from safehold.model.change import Change, Op
from safehold.model.errors import OperatorError
from safehold.model.gaps import accepts_loss
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, ChainError, Head, check_next
from safehold.ports.core import UNARCHIVED, CoreReads, CoreStore, LogPosition
from safehold.ports.log import Hole, LogFrame, LogWriter
from safehold.service.identity import SYSTEM_ACCOUNT, erased_id

#: Frames taken in per transaction.
TAKE_IN_FRAMES = 500
#: Changes looked at together for those of lost frames.
MARKED_AT_ONCE = 1000
#: About so many changes, and bytes of their bodies, are archived again in one frame. A commit is never parted.
ARCHIVED_AT_ONCE = 500
ARCHIVED_BYTES = 4 * 1024 * 1024
#: Changes read at once of those that the core has. Inline bodies come with them: 64 KiB each at most.
READ_AT_ONCE = 200


def take_in(core: CoreStore, entries: Iterable[LogFrame | Hole], known: Sequence[Hole] = ()) -> int:
    """Enter the log's tail, beyond the core's position, as verified changes; the number of changes entered.

    `known` holes are passed over: somebody was told what they may have held and went on without it, or the core has it.
    Raises OperatorError where the tail cannot be entered whole: then nothing may be written before a recovery.
    """
    count = 0
    pending = 0
    heads: dict[tuple[bytes, Kind], Head] = {}
    core.begin()
    try:
        for entry in entries:
            if isinstance(entry, Hole):
                if _covered(entry, known):
                    continue
                raise OperatorError(
                    f"frames {entry.first} to {entry.last} of the log cannot be read from any vault",
                    hint="`safehold recover plan` says what that affects, `safehold recover run` goes on without them",
                )
            count += sum(_enter(core, change, entry.position.frame, heads) for change in entry.changes)
            core.set_log_position(entry.position)
            pending += 1
            if pending == TAKE_IN_FRAMES:
                core.commit()
                core.begin()
                pending = 0
        core.commit()
    except BaseException:
        core.rollback()
        raise
    return count


def changes_in(core: CoreReads, after: int, upto: int) -> Iterator[Sequence[Change]]:
    """Changes that the core has in frames after `after` and up to `upto`, in pieces, in commit order."""
    journal = 0
    while found := core.changes_after_frame(after, READ_AT_ONCE, after_journal=journal):
        yield [change for _, frame, change in found if frame <= upto]
        journal = found[-1][0]


def _covered(hole: Hole, known: Sequence[Hole]) -> bool:
    number = hole.first
    for other in sorted(known, key=lambda each: each.first):
        if other.first <= number <= other.last:
            number = other.last + 1
    return number > hole.last


def _enter(core: CoreStore, change: Change, frame: int, heads: dict[tuple[bytes, Kind], Head]) -> bool:
    """Whether the change was new to the core."""
    key = (change.account, change.kind)
    account = core.account_by_id(change.account)
    head = heads.get(key)
    if head is None:
        if account is None and _is_erased(core, change.account):
            return False
        head = core.head(account.number, change.kind) if account is not None else EMPTY_HEAD
    if account is not None and core.hash_at(account.number, change.kind, change.rev) == change.hash:
        core.set_frame_of(account.number, change.kind, change.rev, frame)
        return False
    try:
        heads[key] = check_next(head, change)
    except ChainError as error:
        raise OperatorError(
            f"the vault's tail does not continue the core: {error}",
            hint="run `safehold recover plan` to compare them",
        ) from error
    core.apply(change, frame)
    if accepts_loss(change):  # somebody took the loss on them
        core.hold(change.account, change.kind, None)
    if change.account == SYSTEM_ACCOUNT and change.op is Op.PUT:
        gone = erased_id(change.name)
        if gone is not None:
            core.drop_account(gone)
            for kind in Kind:
                heads.pop((gone, kind), None)
    return True


def _is_erased(core: CoreStore, account: bytes) -> bool:
    return core.secret(0, f"erased/{account.hex()}") is not None


def mark_unarchived(
    core: CoreStore,
    end: LogPosition,
    log: Iterable[LogFrame | Hole],
    covered: Mapping[tuple[bytes, Kind], Head] | None = None,
) -> None:
    """The log ends at `end`, before the core's position: mark what came after. One transaction.

    `covered` are the ends of streams at the generation that the log, as it is given, goes on from; without one the log
    is given from its first frame. Raises OperatorError where the log is not an earlier state of the core's own: its
    changes are not in the core.
    """
    archived = {key: head.rev for key, head in (covered or {}).items()}
    for (id_, kind), head in (covered or {}).items():
        account = core.account_by_id(id_)
        if account is not None and core.hash_at(account.number, kind, head.rev) not in (head.hash, None):
            raise _another_core(f"the generation that the vaults hold has a change of {kind} (rev {head.rev})")
    for entry in log:
        if isinstance(entry, Hole):
            continue
        for change in entry.changes:
            account = core.account_by_id(change.account)
            if account is None and _is_erased(core, change.account):
                continue
            if account is None or not _holds(core, account.number, change):
                raise _another_core(
                    f"frame {entry.position.frame} of the vaults holds a change of {change.kind} (rev {change.rev})"
                )
            archived[change.account, change.kind] = change.rev
    core.begin()
    try:
        # What came out of a generation bears that one's frame, which may be beyond this end: numbers that are used anew
        # would leave it out of the next generation.
        core.set_frames_upto(end.frame)
        for (id_, kind), last in core.stream_ends().items():
            if last > archived.get((id_, kind), 0):
                core.set_frame_after(id_, kind, archived.get((id_, kind), 0), UNARCHIVED)
        core.set_log_position(end)
        core.commit()
    except BaseException:
        core.rollback()
        raise


def _another_core(what: str) -> OperatorError:
    return OperatorError(
        f"{what} that is not in the core: another core wrote to them",
        hint="run `safehold recover plan` to compare them",
    )


def _holds(core: CoreStore, account: int, change: Change) -> bool:
    """Whether the core has this very change, or is known to miss it: a gap, or a stream not recovered yet."""
    hash_ = core.hash_at(account, change.kind, change.rev)
    if hash_ is not None:
        return hash_ == change.hash
    return change.rev <= core.head(account, change.kind).rev or core.held(account, change.kind) is not None


def mark_frames(core: CoreStore, first: int, last: int) -> int:
    """Mark the changes of these frames, which no vault has whole any more; how many. One transaction."""
    marked = after = 0
    core.begin()
    try:
        while batch := core.changes_after_frame(first - 1, limit=MARKED_AT_ONCE, after_journal=after):
            for number, frame, _ in batch:
                if frame <= last:
                    core.set_frame(number, number, UNARCHIVED)
                    marked += 1
            after = batch[-1][0]
        core.commit()
    except BaseException:
        core.rollback()
        raise
    return marked


def archive_unarchived(core: CoreStore, log: LogWriter, keep_blob: Callable[[Change], None]) -> int:
    """Write all marked changes into new frames, in their order; how many. Raises as `LogWriter.write`.

    `keep_blob` sees to it, before such a frame is written, that the sync vaults have the blob that a change names (I8).
    """
    count = 0
    while chunk := _next_chunk(core):
        for _, _, change in chunk:
            if change.blob is not None:
                keep_blob(change)
        frame = log.prepare([change for _, _, change in chunk])
        core.begin()
        try:
            for first, last in _neighbours([number for number, _, _ in chunk]):
                core.set_frame(first, last, frame.position.frame)
            core.set_log_position(frame.position)
            log.write(frame)
            core.commit()
        except BaseException:
            core.rollback()
            raise
        count += len(chunk)
    return count


def _neighbours(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges: what lies between two of them in the journal may be archived already."""
    first = 0
    for place, number in enumerate(numbers, 1):
        if place == len(numbers) or numbers[place] != number + 1:
            yield numbers[first], number
            first = place


def _next_chunk(core: CoreStore) -> list[tuple[int, int, Change]]:
    """The next marked changes, cut between two commits."""
    limit = ARCHIVED_AT_ONCE
    while True:
        found = core.changes_after_frame(UNARCHIVED - 1, limit=limit + 1)
        cut = _cut([change for _, _, change in found], whole=len(found) <= limit)
        if cut or not found:
            return found[:cut]
        limit *= 2


def _cut(changes: Sequence[Change], *, whole: bool) -> int:
    """How many of these make a frame; 0 where more have to be seen first. Changes of one commit share their time.

    Two commits within one tick of the clock travel together, which does no harm.
    """
    cut = size = 0
    for place, change in enumerate(changes):
        if place and change.at != changes[place - 1].at:
            if cut and (place > ARCHIVED_AT_ONCE or size > ARCHIVED_BYTES):
                return cut
            cut = place
        size += len(change.body or b"")
    if not whole or (cut and (len(changes) > ARCHIVED_AT_ONCE or size > ARCHIVED_BYTES)):
        return cut
    return len(changes)
