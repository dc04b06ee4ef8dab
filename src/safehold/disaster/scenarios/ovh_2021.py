"""In the night to 10 March 2021 a data centre of a large European host burned in Strasbourg. One building was
destroyed with all that was in it, a third of the one beside it too, and the power of the whole site was cut; what
still stood came back over the following weeks, room by room.

Thousands of customers lost whatever of theirs had no copy elsewhere. Some had paid for daily backups that were
advertised as kept apart from the server: they had lain on the same site, and courts dealt for years with what that
meant. A maker of games lost 25 servers with all that was on them, and started them empty. The fire was hard to miss;
that the backup was in it was noticed afterwards.

Here an installation has lived for a week, with a generation and its keepers' work every day, and keeps history for a
few days only. Then its core and its sync vault burn together. The machine of the async vault stands in the next
building: it survives without power, for a time drawn from the seed that is often longer than all the history that is
kept. When it is switched on again it does, before anybody looks, what it does every day: it scrubs, attests, and
retains. Its clock is right, or stands where the power went, or, with an empty battery, is years away in either
direction; this is drawn from the seed, as is whether that happens before the recovery opens, while it is open, or
both.

What fails together is looked at beforehand, and status names it in plain words. Retention removes only what two
generations cover that a keeper has attested by replay, and reads both whole before it does; a date alone makes
nothing go (I52). While a recovery is open nothing goes at all. What had not been shipped when the fire began is
counted as unknown seconds, and no device is given a list until somebody has accepted that.

Scored: all that the surviving vault had taken is exact; what is younger is unknown, by the second; retention has
removed nothing that the recovery needs.
"""

from __future__ import annotations

from safehold.disaster import operator
from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.upkeep import keep
from safehold.lab.world import SimClock
from safehold.model.errors import SafeholdError
from safehold.recovery.retention import Plan, Policy

POLICY = Policy(history_days=2, daily=2, weekly=1, monthly=1)
_YEARS = 10 * 365.0
#: What the clock of a machine that was dark is off, in days; None: it stood.
_SKEWS = (0.0, 0.0, None, _YEARS, -_YEARS)


def strike(world: World) -> None:
    rng = world.rng
    for _ in range(rng.randint(4, 5)):
        world.edit(4)
        world.sync(rng.sample(world.devices, 2))
        world.by_hand(rng.choice(world.users), 2)
        world.pass_time(rng.uniform(0.3, 0.6) * DAY_SECONDS)
        world.snapshot()
        world.pass_time(0.5 * DAY_SECONDS)
        for config in world.house.vaults:
            keep(world.house, config, POLICY, serving=True)
    for _ in range(rng.randrange(3)):  # what the far vault has not been given yet
        world.edit(3)
        world.sync([rng.choice(world.devices)])
        world.clock.advance(rng.uniform(0.5, 20))
    world.struck("the core and the sync vault burn")
    world.go_down(kill=False, torn=rng.getrandbits(32))
    for folder in (CORE_FOLDER, "/blobs", "/near", "/run", "/generations"):
        world.disk.lose(folder)


def recover(world: World) -> None:
    """The other machine is switched on, works as every day, and everything is recovered out of it."""
    rng = world.rng
    dark = rng.choice((0.2, 2.0, 6.0, 30.0))
    world.clock.advance(dark * DAY_SECONDS)
    skew = rng.choice(_SKEWS)
    away = -dark if skew is None else skew
    clock = SimClock(world.clock.now() + round(away * DAY_SECONDS * 1e6))
    world.note(f"the far machine is on again after {dark:g} days; its clock is {away:+g} days off")
    before, within = rng.choice(((True, False), (False, True), (True, True)))
    world.house.load_keys()
    if before:
        _works(world, clock)
    if within:
        _works_within(world, clock)
    operator.recover(world)


def _works(world: World, clock: SimClock) -> Plan | None:
    """A keeper's day; what it came to, None where it gave up."""
    try:
        verdicts, plan = keep(world.house, world.house.vaults[1], POLICY, clock, serving=False)
    except SafeholdError as error:
        world.note(f"its keeper gives up: {error.message}")
        return None
    gone = len(plan.remove) + len(plan.shorten) + len(plan.aside)
    refused = sum(not verdict.facts.ok for verdict in verdicts)
    world.note(f"its keeper removes {gone} objects, refuses {refused} generations; {plan.blocked or 'not hindered'}")
    return plan


def _works_within(world: World, clock: SimClock) -> None:
    """The keeper's work comes right after the recovery has marked that it is open."""
    disk, marked = world.disk, False

    def point(operation: str, path: str) -> None:
        nonlocal marked
        if operation == "link" and path.startswith("/far/recovery/"):
            marked = True
        elif marked:
            disk.on_write_point = None
            plan = _works(world, clock)
            if plan is not None and not plan.empty:
                world.wrong.append("a keeper has removed something while a recovery was open")

    disk.on_write_point = point


def expects(world: World, found: Score) -> str:
    del world
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    return ""


SCENARIO = Scenario(
    name="ovh-2021",
    title="The vaults burn with the core, and the host that comes back begins to delete",
    year=2021,
    lost_then="the servers of thousands of customers, for some the backups that lay in the same fire",
    sources=(
        "https://www.geekersdigest.com/ovhcloud-datacenter-sbg2-lost-fire-strasbourg/",
        "https://cloud7.news/data-center/ovhcloud-plans-to-reopen-strasbourg-site-on-15th-march/",
        "https://www.silicon.fr/ovhcloud-fait-appel-condamnation-rappel-faits-460246.html",
        "https://www.lemagit.fr/actualites/366623278/Incendie-de-2021-OVHcloud-gagne-en-appel-face-a-Bati-Courtage",
        "https://www.eurogamer.net/rust-developer-warns-large-amount-of-data-lost-in-devastating-server-blaze",
    ),
    strike=strike,
    notice=operator.start,
    recover=recover,
    expects=expects,
    days=1.0,
)
