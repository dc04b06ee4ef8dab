"""An undo as the edge asks for it: planned by a reader, done by the writer, in as many parts as it needs."""

from __future__ import annotations

from safehold.model.commands import Outcome, Undo
from safehold.model.errors import Held
from safehold.ports.core import CoreReads
from safehold.service.undo_plan import plan_undo
from safehold.service.undone import Undone
from safehold.web.gate import Gate


async def planned(gate: Gate, command: Undo) -> Undone:
    """What it would do, off the event loop; nobody's writes wait for it. Raises as `plan_undo`."""
    now = gate.clock.now()

    def plan(reads: CoreReads) -> Undone:
        with reads.snapshot() as moment:
            account = moment.account_by_id(command.account)
            if account is None:
                raise Held("this account was erased in this moment")
            found = plan_undo(moment, account, command, now)
            return Undone(Outcome(changed=False, undone=found.lines(), revs=found.revs))

    return await gate.in_thread(plan)


async def done(gate: Gate, command: Undo) -> Undone:
    """Do it. Raises as the engine; where a later part fails the ones before it stand, and asking again goes on."""
    undone = Undone(await gate.execute(command))
    while undone.more:
        undone.add(await gate.execute(undone.next(command)))
    return undone
