"""A social network of the 2000s moved its old uploads to other servers. From early 2018 on people noticed that songs
older than three years did not play. They were told that it was known and would be mended; later, that the files had
been damaged in the move and could not be transferred; and in March 2019 a banner advised everybody to keep copies of
their own.

Gone were photos, videos and music from before 2016: some 50 million songs of 14 million artists, by a common
estimate. Nobody reads cold files, so nobody noticed while the originals still existed; the people did, a year before
anything was said in public. A list of what was lost was never given.

Here people have taken photos for days, and look at none of the old ones. Then the large bodies are moved to another
disk, those of the core and those of the sync vault. The move damages a share of them, both drawn from the seed, in
the ways that moves do: cut short, zeros from some place on, empty, exchanged with another's, one bit, gone. In one
seed of four a few of the same are damaged in the async vault too, so that no whole copy is left of them. The service
starts again, and life goes on: the core checks itself, vaults are scrubbed when that is due, now and then somebody
opens an old photo.

A large body is named by a keyed digest, and checked whenever it is read. Whoever opens a damaged one gets it whole
out of a vault in the same request, or a 503; never other bytes (I61). Without any reader the core goes through all
its bodies once a day, and a scrub through each vault's. Damage is told at its object and repaired by the same bytes
from another vault, or written again by the core. Where no whole copy is left the item stays listed with its tag, so
that a phone that has it keeps it; the body is named, and counted as lost.

Scored: everything of which one whole copy exists comes back, and nothing else is lost; what is lost is named; nothing
is served that is not what its tag says; it is noticed within the next due check.
"""

from __future__ import annotations

import random

from safehold.disaster import operator
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.told import items_gone
from safehold.disaster.vault_work import repair_vaults
from safehold.formats.blob import parse_object
from safehold.lab.simdisk import SimDisk
from safehold.lab.wire import Request
from safehold.model.kinds import Kind

_LARGE_BYTES = 66_000
_NOTHING_LEFT = 0.25


def strike(world: World) -> None:
    rng = world.rng
    for number in range(rng.randint(6, 12)):
        body = rng.randbytes(_LARGE_BYTES + rng.randrange(3000))
        world.put(rng.choice(world.users), "files/photos", f"old{number}.jpg", body, "image/jpeg")
        world.pass_time(rng.uniform(0.02, 0.3) * DAY_SECONDS)
    world.pass_time(60)
    world.struck("the large bodies are moved to another disk")
    world.go_down(kill=True)
    share = rng.uniform(0.2, 0.9)
    for folder in ("/blobs", "/near/blobs"):
        world.note(_move(world.disk, folder, share, rng))
    if rng.random() < _NOTHING_LEFT:
        _leave_nothing(world)
    operator.start(world)
    world.knock()


def _move(disk: SimDisk, folder: str, share: float, rng: random.Random) -> str:
    files = disk.files(folder)
    hit = [path for path in files if rng.random() < share]
    for path in hit:
        _damage(disk, path, files, rng)
    return f"of {len(files)} files in {folder} {len(hit)} are damaged on the way"


def _damage(disk: SimDisk, path: str, files: list[str], rng: random.Random) -> None:
    size = disk.length(path)
    way = rng.choice(("cut", "zeros", "empty", "other", "bit", "gone"))
    if way == "cut":
        disk.cut(path, rng.randrange(max(1, size)))
    elif way == "zeros":
        start = rng.randrange(max(1, size))
        disk.overwrite(path, start, bytes(size - start))
    elif way == "empty":
        disk.cut(path, 0)
    elif way == "other":
        other = disk.bytes_of(rng.choice([each for each in files if disk.exists(each)]))
        disk.overwrite(path, 0, other)
        disk.cut(path, min(size, len(other)))
    elif way == "bit" and size:
        disk.flip_bit(path, rng.randrange(size), rng.randrange(8))
    else:
        disk.lose(path)


def _leave_nothing(world: World) -> None:
    """Of a few bodies every copy goes."""
    disk, rng = world.disk, world.rng
    names = [path.removeprefix("/far/blobs/") for path in disk.files("/far/blobs")]
    for name in rng.sample(names, min(len(names), rng.randint(1, 2))):
        for folder in ("/blobs", "/near/blobs", "/far/blobs"):
            if disk.exists(f"{folder}/{name}"):
                disk.cut(f"{folder}/{name}", rng.randrange(1000))
        world.note(f"of the body {name} no whole copy is left")


def notice(world: World) -> None:
    """Now and then somebody opens an old photo; else the next check finds it."""
    if world.rng.random() < 0.4:
        for key in [key for key in world.ledger.items() if key[1].startswith("old")][:3]:
            path, name = key
            answer = world.send(Request("GET", f"/dav/{path}/{name}", user=path.partition("/")[0]))
            world.note(f"somebody opens {name}: {answer.status}")
    world.watch.notice()


def recover(world: World) -> None:
    """A person repairs the vaults, and the core fetches what it lacks; what nothing has whole is named by its body."""
    world.clock.advance(OPERATOR_SECONDS)
    left = repair_vaults(world.house, serving=world.serving)
    world.pass_time(60)
    operator.recover(world)
    named = {parse_object(damage.object) for damages in left.values() for damage in damages}
    gone = []
    reads = world.house.reads
    for account in reads.accounts():
        for collection in reads.collections(account.number):
            for item in reads.items(collection) if collection.kind is Kind.PHOTOS else ():
                if reads.body(item).blob in named:
                    gone.append((account.name, collection.kind, collection.path, item.name))
    items_gone(world, gone)
    for _, _, path, name in gone:
        world.note(f"lost, and named: {path}/{name}")


def expects(world: World, found: Score) -> str:
    lost = sum("no whole copy" in line for line in world.story)
    if found.older or found.unknown or found.lost > lost:
        return f"{found.older} items are older, {found.unknown} unknown and {found.lost} lost, where {lost} may be"
    return ""


SCENARIO = Scenario(
    name="myspace-2019",
    title="Cold files are damaged in a migration",
    year=2019,
    lost_then="some 50 million songs of 14 million artists, and photos and videos",
    sources=(
        "https://www.computerweekly.com/news/252459621/MySpace-data-loss-Botched-server-migration-prompts-user-concerns-over-fate-of-lost-songs",
        "https://www.siliconrepublic.com/enterprise/myspace-2016-user-data-server-migration",
        "https://nsrd.info/blog/2019/03/19/myspace-data-loss-some-questions",
    ),
    strike=strike,
    notice=notice,
    recover=recover,
    expects=expects,
    days=1.0,
)
