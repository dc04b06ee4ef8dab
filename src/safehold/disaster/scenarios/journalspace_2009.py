"""JournalSpace had hosted blogs for six years when, in the last days of 2008, all of them were gone. Its database lay
on two disks of one server that mirrored each other, and that was its backup. Both were in order; what was on them had
been written over, from beginning to end. A mirror does at once to the other disk what is done to the first, so it had
been done to both. Whether a fault of the system did it or a former employee, who had harmed other servers of theirs
before, never became known. A recovery service found nothing left to read. On 2 January 2009 the owner said so, and
that the site was over.

Here something on the host writes over the core, the large bodies and two vaults that acknowledgements wait for, all
that it can reach: with zeros, with noise, or with the same byte. On some seeds the service still runs while that
happens. A third vault is out of its reach, since a keeper holds it as another user, and follows a moment behind. The
keys come from where they are kept besides.
"""

from __future__ import annotations

from safehold.config import VaultConfig
from safehold.disaster.faults import write_over
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.lab import World
from safehold.disaster.operator import start_anew
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score

KEPT = VaultConfig("kept", "folder:/kept", "async")
VAULTS = (
    VaultConfig("near", "folder:/near", "sync"),
    VaultConfig("mirror", "folder:/mirror", "sync"),
    KEPT,
)


def _strike(world: World) -> None:
    rng = world.rng
    world.sync()
    world.pass_time(30)
    for _ in range(rng.randrange(3)):  # what the keeper does not have yet
        world.edit(3)
        world.sync([rng.choice(world.devices)])
    world.struck("something writes over all that it can reach")
    if rng.random() < 0.6:
        world.go_down(kill=rng.random() < 0.5, torn=rng.getrandbits(32))
    reach = [CORE_FOLDER, "/blobs", *(House.folder(v) for v in VAULTS if v != KEPT)]
    pattern = rng.choice(("zeros", "noise", "one byte"))
    for folder in reach:
        written = write_over(world.disk, folder, rng, pattern)
        world.note(f"{written} files of {folder} are written over with {pattern}")


def _expects(_world: World, found: Score) -> str:
    """All but what the keeper's vault did not have yet, which has to be told."""
    if found.older or found.lost:
        return f"the keeper's vault is whole, and {found.older} items are older and {found.lost} lost"
    return ""


SCENARIO = Scenario(
    name="journalspace-2009",
    title="Every mirror is written over",
    year=2009,
    lost_then="all blogs of six years; the site closed",
    sources=(
        "http://blog.remote-backup.com/the-autopsy-of-journalspacecom/",
        "http://wiki.bacula.org/doku.php?id=horror_stories:mirroring_is_not_backing_up",
        "https://www.computerworld.com/article/2481263/no-database---no-backup---no-business--ex-employee-blamed.html",
    ),
    strike=_strike,
    expects=_expects,
    recover=start_anew,
    vaults=VAULTS,
)
