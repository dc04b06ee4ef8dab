"""An undo as the edge asks for it: planned by a reader, done by the writer, in as many parts as it needs."""

from __future__ import annotations

from collections.abc import Sequence

from safehold.model.commands import Outcome, Undo
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.paths import kinds_under
from safehold.ports.core import CoreReads
from safehold.service.undo_plan import plan_undo
from safehold.service.undone import Undone
from safehold.web.answers import in_place
from safehold.web.gate import Gate


def kinds_meant(kind: Kind | None, path: str | None) -> Sequence[Kind]:
    """The kinds that a question about a kind, a path or everything is about: those have to be in place."""
    if kind is not None:
        return (kind,)
    return DATA_KINDS if path is None else kinds_under(path)


async def planned(gate: Gate, account: Account, command: Undo) -> Undone:
    """What it would do, off the event loop; nobody's writes wait for it. Raises as `plan_undo`."""
    await in_place(gate, account, *kinds_meant(command.kind, command.path))
    now = gate.clock.now()

    def plan(reads: CoreReads) -> Undone:
        with reads.snapshot() as moment:
            found = plan_undo(moment, account, command, now)
            return Undone(Outcome(changed=False, undone=found.lines(), revs=found.revs))

    return await gate.in_thread(plan)


async def done(gate: Gate, account: Account, command: Undo) -> Undone:
    """Do it. Raises as the engine; where a later part fails the ones before it stand, and asking again goes on."""
    await in_place(gate, account, *kinds_meant(command.kind, command.path))
    undone = Undone(await gate.execute(command))
    while undone.more:
        undone.add(await gate.execute(undone.next(command)))
    return undone
