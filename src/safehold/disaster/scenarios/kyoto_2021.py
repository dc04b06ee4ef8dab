"""In December 2021 the maker of a university's supercomputer improved the script that backs up its large file system.
The script also tidied its own logs: it removed those older than ten days. The new version was copied over the old one
while that was running. The shell, which reads a script as it goes, went on in the middle of the new text, where a
variable that it had never set stood for the folder of the logs. So it removed files older than ten days from the file
system itself, for almost two days.

77 TB were gone, 34 million files of 14 groups; 28 TB of them, of four groups, had no other copy. No alarm rang, since
the program that should have noticed was the one that deleted. Someone whose files were missing asked where they were.
The maker took the whole blame.

Here an installation has lived for some two weeks. Then a tidying that runs beside the core, as the core's user, loses
its way. In each of its runs, hours apart and for up to two days, it removes some of what has not been written to for
ten days from the core's large bodies and from the sync vault: segments of the log, runs, bodies, in some seeds the
mark by which the vault is known. It has the core's rights only, so that the async vault, its keeper's, is out of its
reach. The service goes on meanwhile, and nothing reads what is gone.

What runs beside the core cannot remove anything from a keeper's vault (law 6), so one whole copy is left. Seals state
every object that a vault has to have: the next scrub finds each one that is missing, by name, and repair brings the
same bytes from the other vault. A large body that is gone from the core is fetched when somebody asks for it. A vault
without its mark is missing, not empty: writing stops at once. No start and no listing takes a missing file for a
deleted item.

Scored: nothing is lost, no device drops anything, and somebody is alarmed: a vault whose objects grow fewer without a
retention on record is one within minutes, whoever removes them, and so is a large body that a vault no longer lists.
Where so little goes that no such rule speaks, the next due scrub names it.
"""

from __future__ import annotations

from safehold.disaster import operator
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.vault_work import repair_vaults

_OLD_DAYS = 10.0
_LARGE_BYTES = 66_000
_MARK = ("/near/FORMAT", "/near/reader.py")


def strike(world: World) -> None:
    rng = world.rng
    for number in range(rng.randint(3, 6)):
        body = rng.randbytes(_LARGE_BYTES + rng.randrange(3000))
        world.put(rng.choice(world.users), "files/photos", f"old{number}.jpg", body, "image/jpeg")
        world.pass_time(rng.uniform(20, 4000))
    old = [path for folder in ("/blobs", "/near") for path in world.disk.files(folder)]
    old = [path for path in old if "/tmp/" not in path]
    world.live(2.0, edits=6)
    world.snapshot()  # as each day on which something came
    world.pass_time((_OLD_DAYS - 2 + rng.uniform(0, 0.9)) * DAY_SECONDS)  # and little happens
    world.live(1.0, edits=4)
    world.pass_time(rng.uniform(0, 0.9) * DAY_SECONDS)
    if rng.random() < 0.7:
        old = [path for path in old if path not in _MARK]
    world.struck(f"a tidying begins to remove {len(old)} files that are older than ten days")
    world.knock()
    for run in range(rng.randint(1, 3)):
        if run and _noticed_within(world, rng.randint(2, 12)):
            return  # somebody stops it
        share = rng.uniform(0.2, 1.0)
        there = [path for path in old if world.disk.exists(path)]
        gone = rng.sample(there, max(1, round(share * len(there)))) if there else []
        for path in gone:
            world.disk.lose(path)
        world.note(f"{len(gone)} files are removed")


def _noticed_within(world: World, hours: int) -> bool:
    """Whether the service has said something by the tidying's next run."""
    for _ in range(2 * hours):
        world.pass_time(1800)
        world.sync([world.rng.choice(world.devices)])
        if world.watch.look():
            return True
    return False


def recover(world: World) -> None:
    """The tidying is stopped; vaults are repaired from each other, and the service goes on."""
    world.clock.advance(OPERATOR_SECONDS)
    left = repair_vaults(world.house, serving=world.serving)
    for vault, damages in left.items():
        if damages:
            world.wrong.append(f"{vault}: {len(damages)} objects could not be repaired, {damages[0].object} first")
    for _ in range(3):
        world.pass_time(60)
        if world.house.engine.stopped is None:
            break
    operator.recover(world)


SCENARIO = Scenario(
    name="kyoto-2021",
    title="The backup software deletes what it should protect",
    year=2021,
    lost_then="77 TB of research, 28 TB of it for good",
    sources=(
        "https://www.iimc.kyoto-u.ac.jp/services/comp/pdf/file_loss_insident_20211228.pdf",
        "https://tomshardware.com/news/77tb-of-critical-research-data-lost-because-of-hpe-software-update",
        "https://www.outlookseries.com/A0772/Infrastructure/3643_Kyoto_University_Loses_77TB_Research_Data.htm",
    ),
    strike=strike,
    recover=recover,
    days=2.0,
)
