"""On 31 January 2017 a hosting service for source code fought a wave of spam that loaded its one PostgreSQL primary.
Replication to its one standby fell behind until it stopped. Late in the evening an engineer tried to set the standby
up anew; its data folder has to be empty for that. The command that removes it was typed in the window of the other
machine. It was stopped after a second or two: of some 300 GB about 4.5 were left.

Each net was found to have a hole. The nightly dump ran the tools of an older PostgreSQL than the database, failed at
once and left nothing in its bucket; the mails that said so were refused by whoever was to receive them, as they were
not signed. Snapshots of disks had never been switched on for the database. Replication was what had just been broken.
What saved the service was a snapshot that the same engineer had happened to take by hand six hours before, to fill a
test machine. Copying it back took most of a day.

Lost were six hours of the database: some 5,000 projects, 5,000 comments and 700 accounts, by the operator's own
estimate; nobody could name them. That the dumps did not exist was noticed when they were needed.

Here at a moment drawn from the seed every write to the async vault begins to fail, with one error of those that a
disk and its rights have; in some seeds the vault has just been made anew, and so holds nothing. Nobody looks, for
some hours of life. Then somebody removes the wrong folder: the core with its large bodies, or, where the async vault
has at least its beginning, everything on that host, the sync vault too.

An answer waits for the sync vault, so a wiped core costs nothing: the next start finds vaults and no core, makes no
empty one, and recovers to the last acknowledged change. The async vault is not silent: its shipper says why it cannot
get on, and what it lacks is counted, at each look at the status. Where core and sync vault go together, what the
async one lacks is counted as unknown seconds, the end of the log is in doubt, and no device is given a list until
somebody has accepted that.

Scored are loss, wiped devices, and the alarm: within five minutes of the first change that the starving vault does
not take it has been raised, hours before the vault is needed, and names the runbook for a writer that fell silent.
What the table counts as noticed is the wiping itself, by the next start.
"""

from __future__ import annotations

import errno

from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.operator import start
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.watch import SOON_SECONDS
from safehold.vault.folder import FolderVault

_FOR_EVER = 1 << 40
_ERRORS = (errno.EACCES, errno.EROFS, errno.EIO, errno.ENOSPC)


def strike(world: World) -> None:
    rng = world.rng
    far = world.house.vaults[1]
    empty = rng.random() < 0.4
    if empty:
        world.go_down(kill=True)
        world.disk.lose("/far")
        world.house.load_keys()
        FolderVault.create(far.name, "/far", world.disk, world.house.keyring.installation).close()
        world.note("the async vault has been made anew, and holds nothing yet")
    error = rng.choice(_ERRORS)
    world.disk.fail("*", path="/far/", error=error, times=_FOR_EVER)
    world.note(f"from now on the async vault takes nothing: {errno.errorcode[error]}")
    if empty:
        world.house.boot()
        world.attach()
    _check_it_is_told(world)
    for _ in range(rng.randint(1, 4)):
        world.edit(4)
        world.sync()
        world.by_hand(rng.choice(world.users), 2)
        world.pass_time(rng.uniform(0.05, 0.25) * DAY_SECONDS)
    whole_host = not empty and rng.random() < 0.5
    world.struck("the wrong folder is removed" + (", and with it all that is on that host" if whole_host else ""))
    faults = world.disk.mend()
    world.go_down(kill=True)
    if not whole_host:
        world.disk.restore(faults)  # nobody has seen to it yet
    for folder in (CORE_FOLDER, "/blobs", *(("/near",) if whole_host else ())):
        world.disk.lose(folder)


def _check_it_is_told(world: World) -> None:
    """Within five minutes of the first change that the vault does not take somebody is alarmed, and told what it is."""
    world.ailing = True
    world.by_hand(world.users[0], 1)
    began = world.clock.monotonic()
    while not {"archiver stopped", "vault behind/far"} & set(world.watch.raised):
        world.pass_time(30)
        if world.clock.monotonic() - began > SOON_SECONDS:
            world.wrong.append("the async vault takes nothing, and nobody is alarmed")
            return
    world.note(f"alarmed after {world.clock.monotonic() - began:.0f} s: {world.watch.raised[-1]}")
    if not world.house.writer.shippers[0].unarchived_changes:
        world.wrong.append("the async vault takes nothing, and the status counts nothing that it lacks")


def expects(world: World, found: Score) -> str:
    """What the sync vault still has is exact; else only what the async one was refused is not known."""
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    if found.unknown and not any("on that host" in line for line in world.story):
        return f"{found.unknown} items are not known, although the sync vault is whole"
    return ""


SCENARIO = Scenario(
    name="gitlab-2017",
    title="The wrong host is wiped, and the backups are silently empty",
    year=2017,
    lost_then="six hours of the database: some 5,000 projects, 5,000 comments and 700 accounts, by estimate",
    sources=(
        "https://about.gitlab.com/blog/2017/02/01/gitlab-dot-com-database-incident/",
        "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        "https://www.marksei.com/gitlab-com-meltdown-5-different-strategies-failed/",
    ),
    strike=strike,
    notice=start,  # the process is gone: its next start is the first to say something
    expects=expects,
    days=2.0,
)
