"""On 5 April 2022 a maker of office software retired an old add-on that its customers had installed. One team asked
another to delete it, and gave a list of identifiers: not of the add-on on each site, but of the sites. The interface
took both and asked nothing. The script had two modes, one that marks for deletion and one that deletes for good, made
for erasures that the law demands; it ran in the second. In 23 minutes 883 sites of 775 customers were gone, with them
for many the tool in which they handled their own incidents.

Of the data at most five minutes were lost in the end, as there were backups. But those could bring everybody back to
one moment, or one customer by hand in some seventy steps: the last were without service for 14 days, and could not
even open a ticket, as their contact data was erased with the sites. Nothing had rung, since every deletion was a
proper request. Customers told the company within minutes.

Here an installation has many accounts, of which some were closed. A script is to erase those. Its list, drawn from
the seed, has live ones among them; it goes through the list in an order drawn from the seed, some seconds each, with
the operator's own command. The owners' devices go on asking. The operator sees to it after a time drawn from the
seed, from minutes to days, and takes back what was not meant.

Erasure is real, since people have a right to it, and so it has a brake of its own: beyond three accounts within an
hour an erasure only locks, for a week (I62). A locked account is whole: nobody can sign in, devices are told 503 and
keep what they have, and one command takes it back without a byte restored. The first three of the hour are erased as
asked; what was live among them is lost, on record, account by account. This is the price of erasure being one. Their
devices are told 401, which no client takes for a delete.

Scored: at most three accounts are lost, and the register names them; every other one is exact once it is taken back;
no device drops anything. It is noticed by the first answer to the script that says "locked" and not "erased".
"""

from __future__ import annotations

from safehold.disaster.lab import World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.told import accounts_gone
from safehold.model.commands import EraseAccount, TakeBackErasure
from safehold.service.erasing import erasing_accounts
from safehold.service.erasures import erased_accounts

#: Accounts that are erased in earnest within an hour, by default.
_AT_ONCE = 3
#: Accounts on the list, at least.
_LEAST = _AT_ONCE + 2


def strike(world: World) -> None:
    rng = world.rng
    live, closed = _more_accounts(world)
    wrongly = rng.sample(live, rng.randint(max(2, _LEAST - len(closed)), len(live)))
    listed = [*wrongly, *closed]
    rng.shuffle(listed)
    world.struck(f"a script erases {len(listed)} accounts, {len(wrongly)} of which are live")
    for name in listed:
        account = world.house.account(name)
        due = world.house.engine.execute(EraseAccount(account=account.id, braked=True)).due
        if due:
            world.noticed(f"{name} is locked, and not erased")
        elif name in wrongly:
            world.note(f"{name} is erased, and was not meant")
        else:
            world.ledger.erase(name)
        world.clock.advance(rng.uniform(1, 5))
        world.sync([rng.choice(world.devices)])


def _more_accounts(world: World) -> tuple[list[str], list[str]]:
    """Live ones, the first accounts among them, and closed ones, in which little is left."""
    rng = world.rng
    live, closed = list(world.users), []
    for number in range(rng.randint(12, 24)):
        name = f"more{number}"
        world.house.engine.execute(world.house.new_account(name))
        if rng.random() < 0.6:
            world.by_hand(name, rng.randint(1, 4))
            live.append(name)
        else:
            closed.append(name)
    world.users = live
    return live, closed


def notice(world: World) -> None:
    """The answers to the script are the first to say it; the status says how many wait."""
    if not erasing_accounts(world.house.reads):
        world.wrong.append("nothing waits to be erased")


def recover(world: World) -> None:
    """The operator comes, sees what waits, and takes back all that live; devices ask meanwhile."""
    rng = world.rng
    end = rng.choice((300.0, 7200.0, 86_400.0, 6 * 86_400.0))
    for _ in range(4):
        world.sync()
        world.pass_time(end / 4)
    reads = world.house.reads
    waiting = {erasing.id for erasing in erasing_accounts(reads)}
    erased = {one.id for one in erased_accounts(reads)}
    for name in world.users:
        account = reads.account_named(name)
        if account is not None and account.id in waiting:
            world.house.engine.execute(TakeBackErasure(account=account.id))
    gone = [name for name in world.users if reads.account_named(name) is None]
    world.note(f"taken back: {len(waiting)} accounts; erased for good: {', '.join(gone) or 'none that lived'}")
    if len(erased) > _AT_ONCE or len(gone) > len(erased):
        world.wrong.append(f"{len(erased)} accounts are in the register, and {len(gone)} live ones are gone")
    accounts_gone(world, gone)
    world.devices = [device for device in world.devices if device.user not in gone]
    world.knock()
    world.is_back()


def expects(world: World, found: Score) -> str:
    if found.older or found.unknown:
        return f"{found.older + found.unknown} items are not exact, and were neither erased nor restored"
    gone = [name for name in world.users if world.house.reads.account_named(name) is None]
    lost = sum(key[0].partition("/")[0] in gone for key in world.ledger.items() if world.ledger.last(key).state)
    return "" if found.lost <= lost else f"{found.lost} items are lost, of which erased accounts explain {lost}"


SCENARIO = Scenario(
    name="atlassian-2022",
    title="A script erases live accounts among others",
    year=2022,
    lost_then="775 customers' sites, for up to two weeks, with at most five minutes of data",
    sources=(
        "https://www.atlassian.com/engineering/post-incident-review-april-2022-outage",
        "https://mjtsai.com/blog/2022/04/14/the-longest-atlassian-outage-of-all-time/",
        "https://postmortems.info/t/two-week-outage-for-400-customers-of-atlassian/774",
    ),
    strike=strike,
    notice=notice,
    recover=recover,
    expects=expects,
    days=2.0,
)
