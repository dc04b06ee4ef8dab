"""In the first days of October 2009 the service behind the Sidekick, a phone that kept everything on its operator's
servers, began to fail. The company that ran it, Danger, had been bought by Microsoft the year before; T-Mobile sold
the phones to some 800,000 people. On 10 October both told them that contacts, calendar entries, to-do lists and
photographs that were no longer on a phone had almost certainly been lost, in a failure on the servers. The press
heard that the storage network had been upgraded by a contractor and that no backup had been made before; Microsoft
later spoke of a failure that hit the core database and its backup together. Neither copy could simply be put back.

The phones made it worse. One that was reset, or whose battery was taken out, or that ran empty, started from nothing
and fetched what its service had: nothing. So people were told not to switch their phones off.

It took weeks to rebuild the system component by component. What was found was checked and given back in stages, the
contacts first; in the end the company said that it had recovered most, if not all, of what had been lost. Who had
lost what it could not say.

Here a storage upgrade tears the core and the vault that acknowledgements wait for, together and at different points:
either may be gone, end somewhere, or have pages of zeros or of something else. On most seeds the other vault is
whole, and lags behind by what was written in the last moments. On the others nothing is whole: of that vault too some
objects are cut, lost or hit. Then the process starts again, and people switch their phones off and on, which start
from nothing in the midst of the recovery.
"""

from __future__ import annotations

from safehold.disaster.copies import Copies
from safehold.disaster.faults import damage_objects, tear
from safehold.disaster.house import CORE_FOLDER
from safehold.disaster.lab import World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score

#: Of so many seeds no vault is left whole.
_NONE_INTACT = 0.4


def _strike(world: World) -> None:
    rng = world.rng
    world.sync()
    world.pass_time(30)
    for _ in range(rng.randrange(4)):  # what the far vault does not have yet
        world.edit(3)
        world.sync([rng.choice(world.devices)])
        world.clock.advance(rng.uniform(0.5, 20))
    world.copies = Copies(world)
    world.struck("a storage upgrade fails")
    world.go_down(kill=rng.random() < 0.5, torn=rng.getrandbits(32))
    world.note(tear(world.disk, CORE_FOLDER, rng))
    world.note(tear(world.disk, "/near", rng))
    if rng.random() < 0.5:
        world.disk.lose("/blobs")
    world.far_is_whole = rng.random() >= _NONE_INTACT
    world.salvages = not world.far_is_whole
    if not world.far_is_whole:
        for words in damage_objects(world.disk, "/far", rng, rng.randint(1, 4)):
            world.note(words)
    world.copies.look()
    for device in rng.sample(world.devices, rng.randint(1, 3)):
        world.replaced(device)


def _expects(world: World, found: Score) -> str:
    """With the far vault whole all is exact but what the recovery says it does not know.

    In every case what a whole copy is left of has to be back: `world.copies` sees to that.
    """
    if world.far_is_whole and (found.older or found.lost):
        return f"the far vault is whole, and {found.older} items are older and {found.lost} lost"
    return ""


SCENARIO = Scenario(
    name="sidekick-2009",
    title="A storage upgrade takes the core and its backup together",
    year=2009,
    lost_then="the data of an unknown part of 800,000 people for weeks, some of it for good",
    sources=(
        "https://www.informationweek.com/it-leadership/microsoft-t-mobile-apologize-for-data-loss-offer-month-credit",
        "http://www.technopinions.com/2009/10/12/t-mobile-sidekick-microsoft-danger/",
        "http://blogs.dailynews.com/click/tag/t-mobile-sidekick/",
    ),
    strike=_strike,
    expects=_expects,
)
