"""What the core that is there is worth, compared with the log."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from safehold.model.counting import count_text
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.ports.core import EMPTY_LOG, NOT_YET, CoreReads, LogPosition
from safehold.recovery.chains import Chains, StreamKey
from safehold.recovery.replay import Replay
from safehold.recovery.report import Progress
from safehold.recovery.verify import BlobItem, compare_accounts, compare_kind, walk_journal


class State(StrEnum):
    """What a run has to do with the core that is there."""

    MISSING = "missing"  # build one
    DAMAGED = "damaged"  # build one, and move this aside
    NEWER = "of a newer release"  # nothing: that release can read it
    OTHER = "of another history"  # build one, and move this aside
    PARTIAL = "partial"  # build one, and move this aside
    BEHIND = "behind"  # enter what it lacks
    WHOLE = "whole"  # nothing


class Finding(msgspec.Struct, frozen=True):
    """`holds` are the streams that the core has whole; `replay` is that of its journal where it is sound."""

    state: State
    reason: str
    position: LogPosition = EMPTY_LOG
    holds: tuple[StreamKey, ...] = ()
    replay: Replay | None = None


def inspect(core: CoreReads | None, problem: str, progress: Progress, newer: str = "") -> Finding:
    """Verify the core by itself. WHOLE here means sound: `compare` says how it stands to the log.

    `problem` says why there is something that could not be opened, `newer` that a newer release has written it. A
    damaged file may fail in any way, so any exception counts as damage.
    """
    if newer:
        return Finding(State.NEWER, newer)
    if problem:
        return Finding(State.DAMAGED, problem)
    if core is None:
        return Finding(State.MISSING, "there is no core")
    try:
        return _inspect(core, progress)
    except SafeholdError as error:
        return Finding(State.DAMAGED, error.message)
    except Exception as error:
        return Finding(State.DAMAGED, f"{type(error).__name__}: {error}")


def _inspect(core: CoreReads, progress: Progress) -> Finding:
    with core.snapshot() as reads:
        position = reads.log_position()
        replay = Replay(bases=reads.bases())
        walk_journal(reads, replay, progress, stage="examine core")
        found = compare_accounts(reads, replay)
        for kind in Kind:
            found += compare_kind(reads, replay, kind, _ignore)
        fault = found[0] if found else reads.fault()
        if fault is not None:
            return Finding(State.DAMAGED, fault, position)
        holds = []
        for account, kind in replay.chains.heads:
            row = reads.account_by_id(account)
            if row is not None and reads.held(row.number, kind) != NOT_YET:
                holds.append((account, kind))
    if not holds:
        return Finding(State.PARTIAL, "the core is empty", position)
    return Finding(State.WHOLE, "", position, tuple(holds), replay)


def _ignore(item: BlobItem) -> None:
    """Blobs are looked at apart."""


def compare(core: CoreReads, found: Finding, log: Chains, position_seen: bool) -> Finding:
    """How a sound core stands to the log. `position_seen`: whether its log position is on the log."""
    assert found.replay is not None
    own = found.replay.chains
    behind = lacking = 0
    for key in list(log.streams()):
        if key[0] in found.replay.erased:
            continue
        verdict = _stream(core, own, log, key)
        if verdict is State.OTHER:
            return Finding(State.OTHER, f"its {key[1]} of account {key[0].hex()[:8]} is not that of the log")
        behind += verdict is State.BEHIND
        lacking += verdict is State.PARTIAL
    if lacking or (behind and not position_seen):
        reason = (
            f"{count_text(lacking + behind, 'stream of it lacks', 'streams of it lack')} changes that the vaults have"
        )
        return msgspec.structs.replace(found, state=State.PARTIAL, reason=reason)
    if behind:
        reason = f"{count_text(behind, 'stream of it ends', 'streams of it end')} before the log does"
        return msgspec.structs.replace(found, state=State.BEHIND, reason=reason)
    for key, sealed in log.sealed.items():
        if own.head(key).rev < sealed.rev:
            own.sealed[key] = sealed
    found.replay.finish()
    return msgspec.structs.replace(found, reason=_ahead(own, log))


def _stream(core: CoreReads, own: Chains, log: Chains, key: StreamKey) -> State:
    """WHOLE, BEHIND, PARTIAL (a gap, or left out) or OTHER for one stream."""
    account, kind = key
    head = log.head(key)
    mine = own.head(key)
    theirs = {rev for gap in log.missing(key) for rev in (gap.first, gap.last)}
    gaps = [gap for gap in own.missing(key) if gap.first not in theirs or gap.last not in theirs]
    row = core.account_by_id(account)
    if gaps or (row is not None and core.held(row.number, kind) == NOT_YET):
        return State.PARTIAL
    if any(rev <= head.rev and rev not in log.ghosts.get(key, {}) for rev in own.ghosts.get(key, ())):
        return State.PARTIAL  # the vaults have bodies that it has not
    if mine.rev < head.rev:
        return State.BEHIND
    if head.rev and (row is None or core.hash_at(row.number, kind, head.rev) != head.hash):
        return State.OTHER
    return State.WHOLE


def _ahead(own: Chains, log: Chains) -> str:
    beyond = sum(max(0, own.head(key).rev - log.head(key).rev) for key in own.heads)
    return (
        f"it holds {count_text(beyond, 'change')} that these vaults have not" if beyond else "it agrees with the vaults"
    )
