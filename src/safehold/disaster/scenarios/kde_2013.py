"""In March 2013 the KDE project shut down the virtual machine of its main Git server for an update of its host. When
it came up again its file system was damaged. Servers around the world mirrored the 1,500 repositories, each every
twenty minutes or so, and were thought of as the backup. What there was they learned from a list that the main server
made of its repositories; and that list, made on a damaged disk, had become short. What is not listed has been
deleted: so the mirrors deleted it too, and of the rest they fetched the damaged state, for nothing in between looked
at what it copied. All but one server lost nearly everything. That one was new, not yet in service; its copy had been
delayed, and was whole. It saved the project.

Here the machine of the sync vault comes up again with damaged directories: part of what lies in it is not listed any
more, or is not there, for good: of the log, of generations, of large bodies or of all. The other vault follows that
one. On some seeds it is the other way round. Devices go on syncing all the while, and delete whatever is
not listed.
"""

from __future__ import annotations

from safehold.disaster.faults import damage_listing
from safehold.disaster.lab import World
from safehold.disaster.operator import recover, tend
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score

#: Whose directories are damaged, and how often of ten.
_STRUCK = ("/near",) * 7 + ("/far",) * 3
_PARTS = ("", "/log", "/runs", "/blobs")


def _strike(world: World) -> None:
    rng = world.rng
    world.sync()
    world.pass_time(120)
    world.objects_before = _objects(world)
    world.struck("a machine comes up again with damaged directories")
    if rng.random() < 0.7:
        world.go_down(kill=True)
    world.hurt = rng.choice(_STRUCK)
    for_good = rng.random() < 0.5
    part = world.hurt + rng.choice([part for part in _PARTS if world.disk.files(world.hurt + part)])
    world.note(damage_listing(world.disk, part, rng, for_good=for_good))


def _objects(world: World) -> dict[str, set[str]]:
    """What each vault holds, by its folder, whoever lists it."""
    return {
        folder: {path for path in world.disk.files(folder) if "/tmp/" not in path}
        for folder in map(world.house.folder, world.house.vaults)
    }


def _recover(world: World) -> None:
    """A person mends the directories, then the vault from the other one."""
    recover(world)
    world.disk.mend_folders()
    world.watch.scrub_all()
    tend(world)


def _expects(world: World, found: Score) -> str:
    if found.exact != found.acknowledged:
        return f"{found.acknowledged - found.exact} items are not exact"
    now = _objects(world)
    for folder, before in world.objects_before.items():
        gone = before - now[folder]
        if gone and folder != world.hurt:
            return f"{folder} has followed: {len(gone)} objects of it are gone"
    return ""


SCENARIO = Scenario(
    name="kde-2013",
    title="A damaged listing, and mirrors that delete what is not listed",
    year=2013,
    lost_then="1,500 repositories on every mirror, saved by one server that had not synced yet",
    sources=(
        "http://www.h-online.com/open/news/item/KDE-narrowly-avoids-disaster-1829776.html",
        "http://blog.neverendingo.de/2013/03/",
        "https://slashdot.mozz.us/stories/13/03/24/1252237/",
    ),
    strike=_strike,
    expects=_expects,
    recover=_recover,
)
