"""A plan for a run that follows at once: what the newest generation says of itself, and the log after it.

Directories, identities and the tail of the log are read and verified; bodies and envelopes are not. What a glance takes
for whole the run verifies while it builds its core beside what is there: where it turns out otherwise the run stops
(`NotAsGlanced`), nothing of that stream is entered, and a plan is made by reading everything (plan.py). So whoever runs
without looking at a plan first does not read everything twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from safehold.model.errors import OperatorError
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.ports.log import Hole, LogReader
from safehold.ports.vault import Vault
from safehold.ports.world import Clock
from safehold.recovery.chains import StreamKey
from safehold.recovery.examine import Finding, State
from safehold.recovery.forecast import glanced, glanced_basis
from safehold.recovery.mended_ends import mended_ends
from safehold.recovery.origin import Origin, divide, feed, finish, ignore
from safehold.recovery.plan import (
    MAX_PROBLEMS,
    PLAN_VERSION,
    Plan,
    StreamPlan,
    check_sources,
    read_from,
    select,
    vouched_by_nobody,
)
from safehold.recovery.replay import Replay
from safehold.recovery.report import KindCount, Report, Stage
from safehold.recovery.selection import SYSTEM
from safehold.recovery.sources import look
from safehold.recovery.unknown import unknown_seconds, whole_at_end
from safehold.vault.runs import Runs, StreamEntry


class NotAsGlanced(OperatorError):
    """A run found damage that a glance did not show: a plan that reads everything is needed."""


def glance(
    reader: LogReader,
    vaults: Sequence[Vault],
    clock: Clock,
    runs: Runs,
    *,
    accounts: Sequence[str] = (),
    kinds: Sequence[Kind] = (),
    to: int | None = None,
    sync: Collection[str] = (),
) -> Plan | None:
    """Where there is no core. None where everything has to be read: no generation, or damage that shows already.

    Parameters and errors as those of `make_plan`.
    """
    now = clock.now()
    sources = look(vaults)
    check_sources(sources)
    origin = Origin(reader, runs)
    if origin.generation is None or origin.doubtful():
        return None
    log = Replay(track=False)
    identities, rest = divide(origin.streams())
    for entry in identities:
        if entry.account not in log.erased:
            feed(log, entry.key, origin.base_of(entry), origin.pieces(entry), ignore)
            finish(log, entry)
    if any(key[0] not in log.erased for key in origin.unheard_of()):
        return None
    live = {entry.key: _live(entry) for entry in (*identities, *rest) if entry.account not in log.erased}
    for entry in rest:
        if entry.account not in log.erased:
            log.state(entry.key, origin.base_of(entry), entry.head, entry.changes)
    end, last_at, last_from = origin.position, origin.generation.manifest.at, ""
    spoken, spoken_at = end, last_at
    if origin.last is not None:
        last_at, last_from = origin.last.at, origin.last.source
    from_log: set[StreamKey] = set()
    for frame in origin.tail():
        if isinstance(frame, Hole):
            return None
        for change in frame.changes:
            log.feed(change)
            from_log.add((change.account, change.kind))
        if frame.sealed:
            log.seal(frame.heads)
        end, last_at, last_from = frame.position, frame.at, frame.source
        if frame.changes or frame.sealed:
            spoken, spoken_at = end, frame.at
    log.finish()
    if any(origin.behind(entry) for entry in rest if entry.account not in log.erased):
        return None
    if any(key[0] not in log.erased and key in origin.stated for key in origin.unwitnessed()):
        return None  # where it says more than what vouches for it, only reading it tells whether it goes on from there
    if log.chains.refused or not all(log.chains.whole(key) for key in log.chains.streams()):
        return None
    selection = select(log, accounts, kinds, Finding(State.MISSING, ""))
    counted = [key for key in log.chains.streams() if selection.counted(*key)]
    mended = mended_ends(runs.vaults, runs.opener, spoken, spoken_at)
    problems = [*reader.problems(), *runs.problems(), *mended, *vouched_by_nobody(origin, log)]
    seconds = glanced(log.changes)
    total = sum(seconds.values())
    items = _items(counted, live)
    changes = sum(log.chains.expected(key) for key in counted)
    report = Report(
        accounts=len({account for account, _ in counted} - {SYSTEM}),
        streams=len(counted),
        changes_expected=changes,
        changes_recovered=changes,
        items=items,
        lost=[],
        unknown_seconds=unknown_seconds(whole_at_end(sources, sync, last_from, spoken, problems), last_at, now),
        stages=[Stage(kind, items[kind].exact, seconds[kind]) for kind in RESTORE_ORDER],
        first_contact_seconds=total,
        seconds=total,
        verified=True,
        timeline=end.timeline,
    )
    return Plan(
        version=PLAN_VERSION,
        made_at=now,
        sources=sources,
        generation=origin.number,
        older=origin.older,
        damaged=[],
        end=end,
        core=State.MISSING,
        core_reason="there is no core",
        selection=selection,
        to=to,
        erased=sorted(log.erased),
        holes=[],
        streams=[
            StreamPlan(
                *key,
                log.name_of(key[0]),
                log.chains.head(key),
                None,
                (),
                live.get(key, 0),
                b"",
                read_from(key, origin, from_log),
            )
            for key in log.chains.streams()
        ],
        problems=problems[:MAX_PROBLEMS],
        basis=glanced_basis(),
        report=report,
        travelling=log.travelling,
        glanced=True,
    )


def _live(entry: StreamEntry) -> int:
    """About how many items live in a stream: what full runs say, and one for each change since."""
    return sum(part.stream.items or part.stream.changes for part in entry.parts)


def _items(counted: Sequence[StreamKey], live: dict[StreamKey, int]) -> dict[Kind, KindCount]:
    items = {kind: KindCount() for kind in RESTORE_ORDER}
    for key in counted:
        count = items[key[1]]
        count.expected += live.get(key, 0)
        count.exact = count.expected
    return items
