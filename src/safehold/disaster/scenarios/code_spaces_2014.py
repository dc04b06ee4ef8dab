"""In June 2014 a company that hosted source code and projects on one account of a cloud was attacked. First came a
flood of traffic, then a message left in the control panel of the account itself, asking for money: whoever wrote it
had the panel's credentials. When the company changed its passwords, the intruder used logins that had been made
beforehand, and began to delete: machine images, volumes, buckets, and all snapshots. Within twelve hours of the first
message there was almost nothing left to log in to.

Most of the data was gone, with its backups, the machines' configuration and the copies that were called offsite. They
had been elsewhere by place and in the same hands: one set of credentials could remove the service and every copy of
it. The company closed. It had noticed because the intruder wanted it to.

Here an installation has its sync vault in a folder of its own user, and its async vault with a keeper: another user,
reached over its socket only, who attests and retains once a day. At a moment drawn from the seed somebody becomes the
core's user, with every key that lies beside the core, and does in an order drawn from the seed what these allow. They
remove the core, the large bodies and the sync vault. Over the keeper's socket they put other bytes under every name
that is taken, and append in the middle of segments and beyond their ends. They sign, with the writer's own key,
timelines that go on from an earlier frame, segments that begin where another has frames, old generations under newer
names, evidence that all of this is attested and the rest was removed on purpose, by a clock that is ten years ahead.
They flood the keeper until it takes no more. The keeper then works as on every day, and a recovery begins with its
folder and the recovery key.

The port through which a core reaches a keeper has no verb that overwrites, shortens or removes, and the keeper admits
nothing to its log that would make void what it took, whoever signed it (I54). Retention goes by what the keeper has
attested itself, in the order of its own receipts (I52): no forged word, no clock and no flood ages anything. A vault
in a folder of the core's own user is lost; its status said `by convention`, and named the risk, from the first day.

Scored: every object that the keeper had is there byte for byte; nothing is lost but what had not been shipped when
the attack began, which is counted as unknown seconds and closes every list until somebody accepts it.
"""

from __future__ import annotations

from collections.abc import Callable

from safehold.disaster.intruder import Intruder
from safehold.disaster.lab import World
from safehold.disaster.operator import notice as wait_for_notice
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.upkeep import keep, kept


def strike(world: World) -> None:
    rng = world.rng
    for _ in range(2):
        world.snapshot()
        world.pass_time(30)
        keep(world.house, world.house.vaults[1], serving=world.serving)
        world.edit(4)
        world.sync()
    world.pass_time(rng.choice((30.0, 3600.0)))
    for _ in range(rng.randrange(3)):  # what the keeper has not been given yet
        world.edit(3)
        world.sync([rng.choice(world.devices)])
        world.clock.advance(rng.uniform(0.5, 20))
    before = _objects(world)
    world.struck("somebody has become the core's user")
    intruder = Intruder(world.house, world.house.vaults[1], rng, world.note)
    acts = intruder.acts()
    acts.insert(rng.randrange(len(acts) + 1), lambda: _remove(world, intruder))
    _do(world, intruder, acts)
    _check(world, before)


def _remove(world: World, intruder: Intruder) -> None:
    world.go_down(kill=True)
    world.house.load_keys()
    intruder.moved(world.house)
    intruder.remove_what_is_beside()


def _do(world: World, intruder: Intruder, acts: list[Callable[[], None]]) -> None:
    for act in acts:
        act()
        if world.serving:
            world.clock.advance(world.rng.uniform(1, 60))
            world.sync([world.rng.choice(world.devices)])
            world.watch.look()
    world.note(f"the keeper took {intruder.taken} of what was tried")


def _objects(world: World) -> dict[str, bytes]:
    vault = kept(world.house, world.house.vaults[1])
    with world.unmetered():
        return {info.name: vault.get(info.name) for info in vault.list()}


def _check(world: World, before: dict[str, bytes]) -> None:
    """Every object is as it was; segments may have grown."""
    after = _objects(world)
    for name, data in before.items():
        found = after.get(name, b"")
        if found != data and not (name.startswith("log/") and found.startswith(data)):
            world.wrong.append(f"the keeper's {name} is no longer what it was")


def notice(world: World) -> None:
    """The next start; then the keeper's day comes, as every day."""
    wait_for_notice(world)
    world.house.load_keys()
    before = _objects(world)
    keep(world.house, world.house.vaults[1], serving=world.serving)
    _check(world, {name: data for name, data in before.items() if not name.startswith("evidence/")})


def expects(world: World, found: Score) -> str:
    del world
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    return ""


SCENARIO = Scenario(
    name="code-spaces-2014",
    title="An attacker holds the production credentials",
    year=2014,
    lost_then="most of all customers' data, and the backups; the company closed",
    sources=(
        "https://www.networkcomputing.com/cloud-networking/code-spaces-a-lesson-in-cloud-backup",
        "https://www.itwriting.com/blog/8498-resilience-is-not-backup-how-codespaces-com-lost-its-data-and-its-business.html",
        "https://blog.authentic8.com/lessons-learned-from-code-spaces/",
    ),
    strike=strike,
    notice=notice,
    expects=expects,
)
