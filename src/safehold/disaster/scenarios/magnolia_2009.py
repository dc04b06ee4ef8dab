"""Ma.gnolia kept people's bookmarks. One man ran it, with some half a terabyte in a MySQL database. On 30 January
2009 the database failed: its files had been going bad for a while. The backup was a copy of those files, made over
FireWire to a second machine and kept in step with the first. It checked nothing, kept no older versions, and nobody
had ever brought anything back from it. So it held the same bad files. A recovery service could not read them either,
and in February the site was closed; some people got their public bookmarks back out of what search engines and feeds
had kept.

Here bits rot for two or three weeks, in the core's file, in large bodies, and in the vaults, a little each day, while
people go on and generations are written from that very core. The core checks itself once a day, and every vault is
scrubbed once a day; what is found is mended from the vaults, and a person repairs vaults the day after they are told.
Then the core fails for good, and everything has to come out of the vaults.
"""

from __future__ import annotations

from safehold.disaster.faults import rot_bits
from safehold.disaster.house import CORE_FOLDER, CORE_PATH
from safehold.disaster.lab import World
from safehold.disaster.operator import start_anew, tend
from safehold.disaster.scenario import Scenario

#: What bits rot in, the core most of all.
_PLACES = (*(CORE_PATH,) * 4, "/blobs", *("/near",) * 2, *("/far",) * 2)


def _strike(world: World) -> None:
    world.struck("bits begin to rot")
    _rot(world, CORE_PATH)  # which may hit a page that is written anew before anybody reads it
    _rot(world, world.rng.choice(("/near", "/far")))


def _rot(world: World, place: str) -> None:
    words = rot_bits(world.disk, place, world.rng, world.rng.choice((1, 2, 5)))
    if words:
        world.note(words)


def _recover(world: World) -> None:
    rng = world.rng
    for _ in range(rng.randint(10, 18)):
        tend(world)
        if rng.random() < 0.6:
            _rot(world, rng.choice(_PLACES))
        world.live(1, edits=4)
    tend(world)
    world.collapsed("the core fails for good")
    world.go_down(kill=rng.random() < 0.5, torn=rng.getrandbits(32))
    world.disk.lose(CORE_FOLDER)
    if rng.random() < 0.5:
        world.disk.lose("/blobs")
    start_anew(world)


SCENARIO = Scenario(
    name="magnolia-2009",
    title="Files go bad for weeks, and the backup is a copy of them",
    year=2009,
    lost_then="all bookmarks of all people, but for what search engines had kept; the site closed",
    sources=(
        "http://www.globaldatavault.com/blog/magnolia-autopsy/",
        "https://www.backblaze.com/blog/magnolia-wilts-with-no-backup/",
        "https://www.red-gate.com/simple-talk/databases/sql-server/database-administration-sql-server/"
        "backups-what-are-they-good-for/",
    ),
    strike=_strike,
    recover=_recover,
)
