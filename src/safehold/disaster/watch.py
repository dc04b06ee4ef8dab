"""How long until an operator is alarmed, and the checks that the service makes by its own schedule.

What counts is the moment at which the engine of alarms (proof/alarms.py) raises one: for what the rules
(proof/rules.py) find in what was looked at, by the same looks as a service's (alarmed.py), or for an incident of the
service: the writer has stopped; a device is ahead; a scrub found damage; a core asks to be made anew; an end of the
log is in doubt. A start that is refused, or that recovers, is told by whoever starts it. An alarm while nothing is
wrong is a failure of the run.

The core is checked when `assembly.core_check` says that it is due (once a day), every vault is scrubbed once a day as
the keeper does it, both by the simulated clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from safehold.assembly.core_check import IDLE_SECONDS, PASS_SECONDS
from safehold.disaster.alarmed import Alarmed
from safehold.disaster.vault_work import scrub_vault
from safehold.model.errors import Damaged, SafeholdError
from safehold.proof.alarms import RAISED, Condition
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
#: A world takes snapshots where its scenario says so: that one is late is nothing to be alarmed at.
_LATE_SNAPSHOT = "no snapshot/old"


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
        self.alarmed = Alarmed(world.house)
        #: Names of all alarms that were raised, in their order.
        self.raised: list[str] = []
        #: What a scenario has looked at besides: drills.
        self.more: Callable[[], list[Condition]] = list

    # -- checks that are due -----------------------------------------------------------------------------------

    def care(self) -> None:
        """Whatever is due now, and a look at all there is."""
        world = self._world
        if not world.serving:
            return
        self.look()
        now = world.clock.monotonic()
        self._check_core()
        if now - self._scrubbed_at >= SCRUB_SECONDS:
            self._scrubbed_at = now
            self.scrub_all()
            self.look()

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

    def moved(self) -> None:
        """The world lives in another house, or in one that was started again."""
        self.alarmed.move(self._world.house)

    def says(self) -> list[str]:
        """Every incident that the service would tell of now, but for what the rules find."""
        return [f"{one.what}: {one.message}" for one in self.incidents()]

    def incidents(self) -> list[Condition]:
        """As the status object has them, which the engine of alarms is given."""
        found = [Condition(what="start", key=str(n), message=said) for n, said in enumerate(self.refusals)]
        world = self._world
        if not world.serving:
            return found
        house = world.house

        def add(what: str, message: str, key: str = "") -> None:
            found.append(Condition(what=what, key=key, message=message))

        if house.engine.stopped is not None:
            add("writing stopped", house.engine.stopped.message)
        for incident in house.incidents.incidents():
            add(str(incident["what"]), str(incident["message"]), str(incident.get("key", "")))
        for user, path, _ in house.ahead:
            add("device ahead", f"a device of {user} has seen what {path} lacks", f"{user}/{path}")
        if house.renewals:
            add("core damaged", f"the core is to be made anew: {house.renewals[-1]}", "renewal")
        if self.snapshot_trouble:
            add("no snapshot", self.snapshot_trouble)
        for shipper in house.writer.shippers:
            for difference in shipper.differences():
                add("not the same", difference, shipper.target)
            for missed in shipper.missed():
                add("vault lost objects", missed, shipper.target)
        with world.unmetered():
            for config in house.vaults:
                if not house.vault(config).available():
                    add("vault missing", f"the vault {config.name} is missing", config.name)
            try:
                if house.engine.stopped is None and doubts_of(house.reads):
                    add("the end of the log is in doubt", "what the last moments held is not known")
            except Damaged as error:  # met by this look; the service's own check traces it
                add("core damaged", error.message, "met")
        for result in self.scrubs.values():
            if result.damaged:
                first = result.damaged[0]
                more = f", and {len(result.damaged) - 1} more" if len(result.damaged) > 1 else ""
                why = f"the vault {result.vault} is damaged: {first.object}: {first.why or first.problem}{more}"
                add("vault damaged", why, result.vault)
            elif result.trouble:
                add("job failed", f"the vault {result.vault} cannot be scrubbed: {result.trouble}", result.vault)
        return [*found, *self.more()]

    def look(self) -> bool:
        """Whether an alarm stands now that was raised since the strike; the world takes note of when that was first."""
        world = self._world
        if world.house.disk.dead or not world.serving:
            return world.noticed_at is not None
        with world.unmetered():
            told = self.alarmed.look(self.incidents())
        raised = [one.alarm for one in told if one.sort == RAISED and one.alarm.name != _LATE_SNAPSHOT]
        self.raised += [alarm.name for alarm in raised]
        struck = world.struck_at
        if struck is None:
            if raised and not world.ailing:
                world.wrong.append(f"an alarm while nothing was wrong: {raised[0].name}: {raised[0].message}")
            return bool(raised)
        since = [
            alarm for alarm in self.alarmed.alarms.open() if alarm.raised >= struck and alarm.name != _LATE_SNAPSHOT
        ]
        for alarm in since[:1]:
            world.noticed(f"{alarm.name}: {alarm.message} (runbook {alarm.runbook})")
        return bool(since)

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
