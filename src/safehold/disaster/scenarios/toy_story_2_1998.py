"""One day in 1998 somebody at a film studio tidied up on the machine that held a film in the making, with a command
that removes everything below a folder, in a folder too high. Those who worked on it saw a figure's hat vanish, then the
figure, then whole scenes. By the time the machine had been switched off some nine tenths of the film were gone.

There were backups on tape. But the backups had been failing for about a month: by the account of one who was there,
the data had outgrown what a volume took, what came after was dropped, and the messages that said so could not be
written either, since the log lay on the full disk. Everything had looked right. A director who had just become a
mother had a copy at home, from which the film was pieced together by hand within days, file by file. That the backup
did not work was noticed when it was needed.

Here at a moment drawn from the seed the disk of the async vault is full, and does not say so: it takes every write,
says that it is done, and keeps nothing of it. Life goes on. Somebody sees to what the alarm says after a time drawn
from the seed; somebody removes the wrong folder, with the core and the sync vault in it, after another. Either may
come first.

No vault's word is taken for what it holds: the newest frame that it has acknowledged is read back through a fresh
handle, and compared. A vault that drops what it takes is an alarm of its own, which names it, and says what else
still holds what it lost. A vault that refuses, as a full one should, is the lesser case.

Scored: it is noticed within five minutes of the first change that is dropped, long before the vault is needed; where
somebody sees to it before the wrong folder goes nothing is lost; else what the vault dropped is counted as unknown.
"""

from __future__ import annotations

from safehold.disaster import operator
from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.vault_work import make_anew
from safehold.disaster.watch import SOON_SECONDS

_FAR = "/far"


class Full:
    """A disk that takes everything and keeps nothing beyond what it had."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._had = {path: world.disk.length(path) for path in world.disk.files(_FAR)}

    def drop(self) -> None:
        disk = self._world.disk
        for path in disk.files(_FAR):
            had = self._had.get(path)
            if had is None:
                disk.lose(path)
            elif disk.length(path) > had:
                disk.cut(path, had)


def strike(world: World) -> None:
    rng = world.rng
    world.pass_time(60)
    full = Full(world)
    world.by_hand(world.users[0], 2)
    world.struck("the disk of the async vault is full, and says that all is well")
    _live(world, full, SOON_SECONDS)
    seen_to, removed = (rng.uniform(0.02, 2.0) * DAY_SECONDS for _ in range(2))
    _live(world, full, min(seen_to, removed))
    if seen_to < removed:
        _see_to_it(world)
        world.pass_time(removed - seen_to)
        world.edit(4)
        world.sync()
        world.pass_time(120)
    world.collapsed("the wrong folder is removed")
    world.go_down(kill=True)
    for folder in (CORE_FOLDER, "/blobs", "/near"):
        world.disk.lose(folder)


def _live(world: World, full: Full, seconds: float) -> None:
    """Some edits, in steps of a look at first; whatever reaches the vault is dropped."""
    end = world.clock.monotonic() + seconds
    while (left := end - world.clock.monotonic()) > 1:
        if world.rng.random() < 0.5:
            world.edit(1)
            world.sync([world.rng.choice(world.devices)])
        world.house.scheduler.run_for(10)
        full.drop()
        world.pass_time(min(left, 30.0 if seconds <= SOON_SECONDS else 21_600.0))
        full.drop()


def _see_to_it(world: World) -> None:
    """The vault is made anew on a larger disk, and filled."""
    world.note("the vault is made anew on a larger disk")
    far = next(config for config in world.house.vaults if config.name == "far")
    world.house.close()
    world.go_down(kill=True)
    world.house.load_keys()
    make_anew(world.house, far, aside=True)
    operator.start(world)
    world.pass_time(120)


def expects(world: World, found: Score) -> str:
    if found.lost or found.older:
        return f"{found.lost} items are lost and {found.older} are older, which the unknown end does not explain"
    if found.unknown and any("larger disk" in line for line in world.story):
        return f"{found.unknown} items are not known, although the vault had been made anew"
    return ""


SCENARIO = Scenario(
    name="toy-story-2-1998",
    title="The backup is full, and reports success",
    year=1998,
    lost_then="nine tenths of a film in the making, but for a copy at somebody's home",
    sources=(
        "https://thenextweb.com/news/how-pixars-toy-story-2-was-deleted-twice-once-by-technology-and-again-for-its-own-good",
        "https://freerepublic.com/focus/f-chat/4385093/posts",
        "https://laughingsquid.com/pixars-the-movie-vanishes-how-toy-story-2-was-nearly-lost/",
    ),
    strike=strike,
    notice=operator.start,
    expects=expects,
    days=2.0,
)
