"""How long until the service itself says that something is wrong, and the checks that it makes by its own schedule.

What counts is what an operator would be told without looking for it: the writer has stopped; an incident; a device that
is ahead; a vault that is missing, differs, or that its shipper cannot get on with; a scrub that found damage; a core
that asks to be made anew; an end of the log that is in doubt; a start that is refused, or that recovers.

The core is checked when `assembly.core_check` says that it is due (once a day), every vault is scrubbed once a day as
the keeper does it, both by the simulated clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safehold.assembly.core_check import IDLE_SECONDS, PASS_SECONDS
from safehold.disaster.vault_work import scrub_vault
from safehold.model.errors import SafeholdError
from safehold.recovery.scrub import ScrubResult
from safehold.service.ahead import doubts_of

if TYPE_CHECKING:
    from safehold.disaster.lab import World

SCRUB_SECONDS = 24 * 3600.0
#: By then damage has been noticed, or by the next due check.
SOON_SECONDS = 300.0
#: A check that is due is begun within so long, and comes to its end within as long again.
_LATE_SECONDS = 1800.0
_MOST_PIECES = 100_000


class Watch:
    """Of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: What starts have said that were refused, or had to recover.
        self.refusals: list[str] = []
        self.scrubs: dict[str, ScrubResult] = {}
        self.snapshot_trouble = ""
        self._scrubbed_at = world.clock.monotonic()
        self.deadline_seconds = SOON_SECONDS

    # -- checks that are due -----------------------------------------------------------------------------------

    def care(self) -> None:
        """Whatever is due now."""
        world = self._world
        if not world.serving:
            return
        now = world.clock.monotonic()
        self._check_core()
        if now - self._scrubbed_at >= SCRUB_SECONDS:
            self._scrubbed_at = now
            self.scrub_all()

    def _check_core(self) -> None:
        """A whole pass, where one is due; else what was met meanwhile is traced and mended."""
        house = self._world.house
        if house.engine.stopped is not None:
            return
        for _ in range(_MOST_PIECES):
            if house.care.step() >= IDLE_SECONDS:
                break

    def set_deadline(self) -> None:
        """At the moment of a strike: when whatever looks at the damaged part looks next."""
        now = self._world.clock.monotonic()
        last = self._world.house.care._standing.last
        core = PASS_SECONDS if last is None else last.at / 1e6 + PASS_SECONDS - self._world.clock.now() / 1e6
        scrubbed = self._scrubbed_at + SCRUB_SECONDS - now
        self.deadline_seconds = max(SOON_SECONDS, core, scrubbed) + 2 * _LATE_SECONDS

    def scrub_all(self) -> list[ScrubResult]:
        """As the keeper does it each day, and as `safehold scrub`."""
        world = self._world
        if not hasattr(world.house, "keyring"):  # a process of its own
            world.house.load_keys()
        found = [scrub_vault(world.house, config, serving=world.serving) for config in world.house.vaults]
        self.scrubs = {result.vault: result for result in found}
        return found

    # -- what is said ------------------------------------------------------------------------------------------

    def says(self) -> list[str]:
        """Everything that is wrong by the service's own word, now."""
        said = [*self.refusals]
        world = self._world
        if not world.serving:
            return said
        house = world.house
        if house.engine.stopped is not None:
            said.append(f"writing stopped: {house.engine.stopped.message}")
        said += [f"{each['what']}: {each['message']}" for each in house.incidents.incidents()]
        said += [f"a device is ahead: {user}/{path}" for user, path, _ in house.ahead]
        said += [f"the core is to be made anew: {why}" for why in house.renewals]
        if self.snapshot_trouble:
            said.append(f"no snapshot could be taken: {self.snapshot_trouble}")
        for shipper in house.writer.shippers:
            said += [*shipper.differences(), *shipper.missed()]
            if shipper.trouble:
                said.append(f"{shipper.target}: {shipper.trouble}")
        with world.unmetered():
            said += [f"the vault {v.name} is missing" for v in house.vaults if not house.vault(v).available()]
            if house.engine.stopped is None and doubts_of(house.reads):
                said.append("the end of the log is in doubt")
        for result in self.scrubs.values():
            if result.damaged:
                first = result.damaged[0]
                more = f", and {len(result.damaged) - 1} more" if len(result.damaged) > 1 else ""
                said.append(f"the vault {result.vault} is damaged: {first.object}: {first.why or first.problem}{more}")
            elif result.trouble:
                said.append(f"the vault {result.vault} cannot be scrubbed: {result.trouble}")
        return said

    def look(self) -> bool:
        """Whether something is said now; the world takes note of when that was first."""
        said = self.says()
        if said:
            self._world.noticed(said[0])
        return bool(said)

    def notice(self, *, busy: bool = True) -> bool:
        """Life goes on until the service says something, or the deadline has passed. `busy`: devices sync meanwhile.

        False where nothing was said in time.
        """
        world = self._world
        assert world.struck_at is not None
        end = world.struck_at / 1e6 + self.deadline_seconds
        step = 30.0
        while not self.look():
            now = world.clock.now() / 1e6
            if now >= end:
                return False
            if world.house.disk.dead or not world.serving:
                return False
            world.knock()
            if busy:
                world.sync([world.rng.choice(world.devices)])
            if self.look():
                return True
            world.pass_time(min(step, max(1.0, end - now)))
            step = 30.0 if now - world.struck_at / 1e6 < SOON_SECONDS else 1800.0
        return True

    def refused(self, error: SafeholdError | str) -> None:
        """A start that ended with this, or had to recover."""
        words = error if isinstance(error, str) else error.message
        self.refusals.append(words)
        self._world.noticed(words)
