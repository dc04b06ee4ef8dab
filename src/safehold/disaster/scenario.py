"""A scenario: what happened somewhere once, as faults in a small world, and what has to come of it.

Each lies in a module of scenarios/ by its name, with a page of prose as the module's text: what happened then, and what
its faults here are. `SCENARIO` in it says the rest. The list below is the order in which people read of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import msgspec

from safehold.config import VaultConfig
from safehold.disaster.course import quietly
from safehold.disaster.house import VAULTS
from safehold.disaster.lab import World
from safehold.disaster.operator import notice, recover
from safehold.disaster.scoring import Counted, Score, score
from safehold.lab.simdisk import Crash
from safehold.model.errors import OperatorError

#: Module of scenarios/ by the name of its scenario.
MODULES = {
    "toy-story-2-1998": "toy_story_2_1998",
    "sidekick-2009": "sidekick_2009",
    "magnolia-2009": "magnolia_2009",
    "journalspace-2009": "journalspace_2009",
    "gmail-2011": "gmail_2011",
    "google-music-2012": "google_music_2012",
    "kde-2013": "kde_2013",
    "code-spaces-2014": "code_spaces_2014",
    "gitlab-2017": "gitlab_2017",
    "myspace-2019": "myspace_2019",
    "ovh-2021": "ovh_2021",
    "kyoto-2021": "kyoto_2021",
    "atlassian-2022": "atlassian_2022",
    "unisuper-2024": "unisuper_2024",
    "g-drive-2025": "g_drive_2025",
    "radicale-rollback": "radicale_rollback",
    "chaos": "chaos",
}
#: Rounds in which every device syncs after a recovery.
ROUNDS = 2


def whole(_world: World, found: Score) -> str:
    """The expectation of most: every acknowledged item is exact."""
    return "" if found.exact == found.acknowledged else f"{found.acknowledged - found.exact} items are not exact"


def told(_world: World, found: Score) -> str:
    """Losses are possible, and none is silent."""
    del found
    return ""


class Scenario(msgspec.Struct, frozen=True):
    """`strike` does what happened then, and calls `world.struck` at its moment; it draws from `world.rng`.

    Before it the world lives `days`. After it `notice` waits until the service has said something (a start does, where
    the strike has ended the process), `recover` brings everything back, and `expects` says what is not as it should be
    ("" if all is).
    """

    name: str
    title: str
    year: int
    lost_then: str  # what the incident lost, in a clause
    sources: tuple[str, ...]  # URLs
    strike: Callable[[World], None]
    expects: Callable[[World, Score], str] = whole
    recover: Callable[[World], None] = recover
    notice: Callable[[World], object] = notice
    days: float = 3.0
    vaults: Sequence[VaultConfig] = VAULTS

    @property
    def prose(self) -> str:
        """The page: the text of the scenario's module."""
        return import_module(f"safehold.disaster.scenarios.{MODULES[self.name]}").__doc__ or ""


def scenario_named(name: str) -> Scenario:
    """Raises OperatorError (exit 2) where there is none of this name."""
    if name not in MODULES:
        raise OperatorError(f"there is no disaster {name}", hint=f"there are {', '.join(MODULES)}", exit_code=2)
    found = import_module(f"safehold.disaster.scenarios.{MODULES[name]}").SCENARIO
    assert isinstance(found, Scenario)
    assert found.name == name
    return found


def all_scenarios() -> list[Scenario]:
    return [scenario_named(name) for name in MODULES]


def run(scenario: Scenario, seed: int, accounts: int = 2) -> tuple[Score, World]:
    """One world, from its first day to its score."""
    with quietly():
        world = World(scenario.name, seed, accounts, vaults=scenario.vaults)
        try:
            return _course(scenario, world), world
        finally:
            world.house.abandon()


def _course(scenario: Scenario, world: World) -> Score:
    counted = after = None
    try:
        world.live(scenario.days)
        scenario.strike(world)
        assert world.struck_at is not None, "a strike says when it struck"
        scenario.notice(world)
        scenario.recover(world)
        if world.serving:
            counted = Counted(world)
            world.excused = counted.not_exact
            if world.copies is not None:
                world.wrong += world.copies.left_behind(counted.not_exact)
            aftermath(world)
            after = Counted(world)
    except (Crash, AssertionError):
        raise
    except Exception as error:  # of the service's own: the run has failed, and says why
        world.wrong.append(f"{type(error).__name__}: {error}")
        if world.struck_at is None:
            raise
    found = score(world, counted if counted is not None else Counted(world), after)
    unmet = scenario.expects(world, found)
    if unmet:
        found.why.append(unmet)
    wrong = found.silent + found.resurrected + found.devices_wiped
    found.passed = not wrong and not found.why
    return found


def aftermath(world: World) -> None:
    """Every device learns what there is, in rounds some hours apart."""
    for _ in range(ROUNDS):
        world.pass_time(7201)  # longer than any Retry-After is believed
        world.sync()
