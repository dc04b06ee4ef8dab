"""It has happened in many homes, and is told in the trackers of small servers. A machine dies; its owner has an image
of it, weeks or months old, restores it and is glad. Then the devices sync. One owner of a Radicale server asked in
2023 how to keep that from doing harm; another one tried it out, and wrote: do not. Owners of ownCloud servers had
told the same of files ten years before.

A device that shows a token which the old server has never given is told to list everything anew, and what that list
lacks is deleted on the device. So whatever had been added or changed since the image, and still existed on every
phone, was deleted by every phone, one after the other. The owners noticed when they looked for a new appointment.

Here devices of every sort live with an installation for days. On the way an image of its core is taken, drawn from
the seed, sometimes with the large bodies; later the core dies, and the image is put in its place. In half of the
seeds the vaults are as they were, and the operator simply starts the service. In the others the sync vault is lost
with the core, and the operator makes it anew and starts. Every device syncs, edits and syncs again.

A core remembers how far in the log it has come, and no start accepts a write before the tails of the sync vaults have
been taken in (I5): an old core reads what it has missed, and is a new one. Where it cannot be brought forward it is
refused. Where the end is lost for good, a token that lies beyond it proves that the device saw what the server has
not: it is answered 503, never 403, nothing is listed, and an incident names the device (I64), until the person has
said whether it may keep what it has.

Scored: with the vaults everything is exact; without the sync vault what the async one had is exact, and the rest is
not known, by the second. No device drops an item that no person deleted.
"""

from __future__ import annotations

from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.operator import start
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.lab.simdisk import SimDisk


def strike(world: World) -> None:
    rng = world.rng
    folders = (CORE_FOLDER, "/blobs") if rng.random() < 0.5 else (CORE_FOLDER,)
    image = {path: world.disk.bytes_of(path) for folder in folders for path in world.disk.files(folder)}
    world.note("an image of the core is taken")
    for _ in range(rng.randint(1, 4)):
        world.edit(6)
        world.sync()
        world.by_hand(rng.choice(world.users), 2)
        world.pass_time(rng.uniform(0.1, 1.5) * DAY_SECONDS)
        if rng.random() < 0.3:
            world.snapshot()
    world.edit(4)
    world.sync()
    world.clock.advance(rng.uniform(0.5, 60))
    without_near = rng.random() < 0.5
    world.struck("the core dies, and its image is put back" + (": the sync vault is gone too" if without_near else ""))
    world.go_down(kill=rng.random() < 0.5)
    for folder in (*folders, *(("/near",) if without_near else ())):
        world.disk.lose(folder)
    for path, data in image.items():
        put_back(world.disk, path, data)


def put_back(disk: SimDisk, path: str, data: bytes) -> None:
    """A file as somebody copies it back, synced."""
    folder = path.rpartition("/")[0]
    disk.make_folders(folder)
    file = disk.open(path, write=True, create=True)
    file.truncate(0)
    file.write_at(0, data)
    file.sync()
    file.close()
    disk.sync_folder(folder)


def notice(world: World) -> None:
    """A start that brings an old core forward says how much it lacked."""
    if start(world) and world.house.writer.taken_in:
        world.watch.refused(f"the core lacked the last {world.house.writer.taken_in} changes of the log")
    world.watch.notice()


def expects(world: World, found: Score) -> str:
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    if found.unknown and not any("sync vault is gone" in line for line in world.story):
        return f"{found.unknown} items are not known, although the sync vault is whole"
    return ""


SCENARIO = Scenario(
    name="radicale-rollback",
    title="An old copy of the core comes back among live devices",
    year=2023,
    lost_then="on every phone, whatever had been added or changed since the copy was made",
    sources=(
        "https://github.com/Kozea/Radicale/issues/1312",
        "https://github.com/owncloud/client/issues/2325",
        "https://github.com/owncloud/client/issues/1038",
        "https://github.com/owncloud/core/issues/11621",
    ),
    strike=strike,
    notice=notice,
    expects=expects,
    days=2.0,
)
