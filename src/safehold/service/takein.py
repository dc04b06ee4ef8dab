"""Core and log brought to agree at a start, before anything is accepted.

    take_in             what the log holds beyond the core's position enters the core
    mark_unarchived     what the core holds beyond the log's end is marked; the core's position becomes that end
    archive_unarchived  what is so marked goes into new frames, the changes as they are

The mark is kept in the core until the change is in every sync vault, so that a crash anywhere between loses nothing
and doubles nothing: a frame that was written, but not noted in the core, comes back through `take_in`, which finds
its changes there already and takes the mark from them.
"""

from __future__ import annotations

from collections.abc import Iterable

from safehold.model.change import Change, Op
from safehold.model.errors import OperatorError
from safehold.model.kinds import Kind
from safehold.model.stream import ChainError, Head, check_next
from safehold.ports.core import CoreStore, LogPosition
from safehold.ports.log import Hole, LogFrame, LogWriter
from safehold.service.identity import SYSTEM_ACCOUNT, erased_id

#: Frames taken in per transaction.
TAKE_IN_FRAMES = 500
#: The frame of changes that no vault holds: later than any.
UNARCHIVED = 1 << 62
#: Changes that are archived again in one frame, about: a group stays together.
ARCHIVED_AT_ONCE = 500


def take_in(core: CoreStore, entries: Iterable[LogFrame | Hole]) -> int:
    """Enter the log's tail, beyond the core's position, as verified changes; the number of changes entered.

    Raises OperatorError where the tail cannot be entered whole: then nothing may be written before a recovery.
    """
    count = 0
    pending = 0
    heads: dict[tuple[bytes, Kind], Head] = {}
    core.begin()
    try:
        for entry in entries:
            if isinstance(entry, Hole):
                raise OperatorError(
                    f"frames {entry.first} to {entry.last} of the log cannot be read from any vault",
                    hint="run `safehold recover plan` to see what is affected",
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


def _enter(core: CoreStore, change: Change, frame: int, heads: dict[tuple[bytes, Kind], Head]) -> bool:
    """Whether the change was new to the core."""
    key = (change.account, change.kind)
    account = core.account_by_id(change.account)
    head = heads.get(key)
    if head is None:
        if account is None and _is_erased(core, change.account):
            return False
        head = core.head(account.number, change.kind) if account is not None else Head(0, change.prev)
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
    if change.account == SYSTEM_ACCOUNT and change.op is Op.PUT:
        gone = erased_id(change.name)
        if gone is not None:
            core.drop_account(gone)
    return True


def _is_erased(core: CoreStore, account: bytes) -> bool:
    return core.secret(0, f"erased/{account.hex()}") is not None


def mark_unarchived(core: CoreStore, end: LogPosition) -> None:
    """The log ends at `end`, before the core's position: what came after is in no vault. One transaction."""
    first = core.changes_after_frame(end.frame, limit=1)
    core.begin()
    try:
        if first:
            core.set_frame(first[0][0], UNARCHIVED, UNARCHIVED)
        core.set_log_position(end)
        core.commit()
    except BaseException:
        core.rollback()
        raise


def archive_unarchived(core: CoreStore, log: LogWriter) -> int:
    """Write all marked changes into new frames, in their order; how many. Raises as `LogWriter.write`."""
    count = 0
    while chunk := _next_chunk(core):
        frame = log.prepare([change for _, _, change in chunk])
        core.begin()
        try:
            core.set_frame(chunk[0][0], chunk[-1][0], frame.position.frame)
            core.set_log_position(frame.position)
            log.write(frame)
            core.commit()
        except BaseException:
            core.rollback()
            raise
        count += len(chunk)
    return count


def _next_chunk(core: CoreStore) -> list[tuple[int, int, Change]]:
    """The next marked changes, cut where a group begins."""
    limit = ARCHIVED_AT_ONCE
    while True:
        found = core.changes_after_frame(UNARCHIVED - 1, limit=limit + 1)
        if len(found) <= limit:
            return found
        for cut in range(limit, 0, -1):
            change = found[cut][2]
            if change.group == change.rev:
                return found[:cut]
        limit *= 2
