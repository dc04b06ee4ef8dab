"""On 26 September 2025 batteries that were being moved caught fire in the data centre of the South Korean government in
Daejeon. 96 systems burned, among them the drive on which officials had been told to keep all their work rather than on
their own machines: 858 TB of 125,000 people in 74 authorities, of some of them the work of eight years.

The other systems were backed up every day, most of them to another city too. The drive was not: it was, an official
said, too large for it. That was known, and no alarm went off over it, since no backup had failed. Everything in it
was lost; what its owners had mailed, printed or filed elsewhere was all that could be gathered again.

Here the async vault is moved to another disk, without its large bodies, since they would have taken days; what comes
after is excluded too. Everything else is shipped as always: the log, the generations, each small item. Somebody sees
to what the alarm says after a time drawn from the seed, and the core and the sync vault burn after another. Either may
come first.

That a backup ran says nothing about what it holds. The large bodies that live items name are compared with what each
vault lists, and a vault that lacks some is an alarm that counts them, whether or not anything failed. What a vault
does not have it is given again by its repair, from another. After the fire each item comes back as far as its body is
somewhere; a photo of which nothing is left stays listed as a ghost and is named as lost, so that a phone that has it
keeps it.

Scored: it is noticed within five minutes of the move; nothing but large bodies is lost, each by name, and none where
somebody has seen to it before the fire.
"""

from __future__ import annotations

from safehold.disaster import operator
from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.vault_work import repair_vaults
from safehold.disaster.watch import SOON_SECONDS

_LARGE_BYTES = 66_000
_BODIES = "/far/blobs"


def strike(world: World) -> None:
    rng = world.rng
    for number in range(rng.randint(4, 8)):
        body = rng.randbytes(_LARGE_BYTES + rng.randrange(3000))
        world.put(rng.choice(world.users), "files/photos", f"work{number}.jpg", body, "image/jpeg")
        world.pass_time(rng.uniform(60, 4000))
    world.struck("the async vault is moved, without its large bodies")
    _exclude(world)
    _live(world, SOON_SECONDS)
    seen_to, burns = (rng.uniform(0.02, 1.5) * DAY_SECONDS for _ in range(2))
    _live(world, min(seen_to, burns))
    if seen_to < burns:
        world.note("somebody sees to it: the vault is repaired, and excludes nothing more")
        repair_vaults(world.house, serving=True)
        world.pass_time(burns - seen_to)
        world.edit(4)
        world.sync()
        world.pass_time(120)
    world.collapsed("the core and the sync vault burn")
    world.go_down(kill=False, torn=rng.getrandbits(32))
    for folder in (CORE_FOLDER, "/blobs", "/near", "/run", "/generations"):
        world.disk.lose(folder)


def _exclude(world: World) -> None:
    for path in world.disk.files(_BODIES):
        world.disk.lose(path)


def _live(world: World, seconds: float) -> None:
    end = world.clock.monotonic() + seconds
    while (left := end - world.clock.monotonic()) > 1:
        if world.rng.random() < 0.3:
            world.photo(world.rng.choice(world.users))
        world.house.scheduler.run_for(10)
        _exclude(world)
        world.pass_time(min(left, 30.0 if seconds <= SOON_SECONDS else 21_600.0))
        _exclude(world)


def expects(world: World, found: Score) -> str:
    repaired = any("sees to it" in line for line in world.story)
    if found.older:
        return f"{found.older} items are older"
    if found.lost and repaired:
        return f"{found.lost} items are lost, although the vault had been repaired"
    return ""


SCENARIO = Scenario(
    name="g-drive-2025",
    title="One kind is too large to be backed up, and nothing has failed",
    year=2025,
    lost_then="858 TB of 125,000 officials, the work of up to eight years",
    sources=(
        "http://gokawiil.com/article/162617",
        "https://cloudnews.tech/south-korea-learns-the-hard-way-the-importance-of-backups-a-fire-destroys-858-tb-without-backup-on-the-government-g-drive",
        "https://varindia.com/news/south-korea-faces-massive-data-loss-after-fire-destroys-government-data-center",
        "http://world.kbs.co.kr/service/news_view.htm?lang=e&Seq_Code=196429",
    ),
    strike=strike,
    notice=operator.start,
    expects=expects,
    days=1.0,
)
