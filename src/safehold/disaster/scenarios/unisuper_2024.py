"""In the first days of May 2024 everything that an Australian pension fund with some 620,000 members ran at a cloud
provider was gone: machines, networks, databases. A year before, the provider's staff had set up the fund's private
cloud with a tool of their own and left one field empty. By default that meant a term of a year, and when the year was
over the subscription was deleted, as a customer's own wish would have been, without a word beforehand.

The fund had its data in two regions so that one might fail. The account was one, so both went together, and so did
the backups that lay in it. What saved the fund were backups with another provider. Members could sign in again after
a week; all systems were back after two.

Here an installation has its core, its sync vault and one async vault with one provider, in two places, and another
async vault with another provider. At a moment drawn from the seed the provider closes the account: the core, its
large bodies and both vaults are gone at once, with all that ran there, so nothing is left that could say so. In some
seeds the vault elsewhere lags by what was written last. The recovery key lies in a drawer of the operator's.

What fails together is looked at beforehand: two vaults behind one account are one failure domain, and status names
it. The keeper of the vault elsewhere hears from the writer at least every quarter of an hour, and raises an alarm by
itself where it does not. Everything is recovered out of that one vault, on new machines; what it had not been given
yet is counted as unknown seconds, and closes every list until somebody has accepted that.

Scored: all that the vault elsewhere had taken is exact, nothing else is lost, and its keeper has alarmed within three
of the writer's heartbeats.
"""

from __future__ import annotations

from safehold.config import VaultConfig
from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.proof.alarms import RAISED, Alarms
from safehold.proof.limits import DEFAULT_LIMITS
from safehold.proof.rules import Rules
from safehold.proof.seen import Sight, WriterSeen

VAULTS = (
    VaultConfig("near", "folder:/near", "sync"),
    VaultConfig("region", "folder:/region", "async"),
    VaultConfig("elsewhere", "folder:/elsewhere", "async"),
)
_AT_THE_PROVIDER = (CORE_FOLDER, "/blobs", "/near", "/region", "/run", "/generations", "/scratch")
_LOOK_SECONDS = 30.0


def strike(world: World) -> None:
    rng = world.rng
    for _ in range(rng.randint(1, 3)):
        world.edit(4)
        world.sync()
        world.by_hand(rng.choice(world.users), 2)
        world.pass_time(rng.uniform(60, 20_000))
    for _ in range(rng.randrange(3)):  # what has not been shipped yet
        world.edit(3)
        world.sync([rng.choice(world.devices)])
        world.clock.advance(rng.uniform(0.5, 20))
    world.struck("the provider closes the account")
    world.go_down(kill=True)
    for folder in _AT_THE_PROVIDER:
        world.disk.lose(folder)


def notice(world: World) -> None:
    """Nothing runs that could tell, but the keeper at the other provider, which hears nothing any more."""
    rules, alarms = Rules(), Alarms()
    began = world.clock.monotonic() - world.rng.uniform(0, 900)  # its last heartbeat
    while world.clock.monotonic() - began < 2 * DEFAULT_LIMITS.writer_silent:
        silent = world.clock.monotonic() - began
        now, monotonic = world.clock.now(), world.clock.monotonic()
        writer = WriterSeen(name="elsewhere", silent_seconds=silent)
        found = rules.judge(Sight(now=now, monotonic=monotonic, writers=(writer,)))
        for told in alarms.look(now, monotonic, found):
            if told.sort == RAISED:
                world.noticed(f"{told.alarm.name}: {told.alarm.message} (runbook {told.alarm.runbook})")
                return
        world.clock.advance(_LOOK_SECONDS)


def expects(world: World, found: Score) -> str:
    del world
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    return ""


SCENARIO = Scenario(
    name="unisuper-2024",
    title="The provider closes the whole account",
    year=2024,
    lost_then="all systems for one to two weeks; the data was saved by backups with another provider",
    sources=(
        "https://cloud.google.com/blog/products/infrastructure/details-of-google-cloud-gcve-incident",
        "https://www.itpro.com/cloud/cloud-computing/multi-cloud-all-the-way-why-google-clouds-unisuper-fiasco-shows-you-shouldnt-rely-on-a-single-cloud-provider",
        "https://getpixelstash.com/blog/the-importance-of-backups-lessons-from-the-unisuper-and-google-cloud-incident",
    ),
    strike=strike,
    notice=notice,
    expects=expects,
    vaults=VAULTS,
    days=2.0,
)
