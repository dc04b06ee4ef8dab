"""On 6 February 2012 a service for music began to delete by a new pipeline what its users had deleted: first what it
knew of each track, then the audio itself. A race between two of its steps, which had rested on one taking less time
than it came to take, made it take live tracks for deleted ones. Nothing failed, every delete was a proper one, and
nobody saw anything amiss. On 6 March a user reported that tracks were skipped; a day later an engineer found that the
pipeline had removed them: some 600,000 references to audio of 21,000 users, a month before.

Backups were on tape, in storage elsewhere: more than 5,000 tapes were brought by lorry and read within days. Of the
600,000 some 436,000 came back from them. The others had been taken away before they had ever been backed up; most were
bought songs that could be had from the shop again, or were asked of their owners' devices. The flaw itself was found
by rebuilding what had been deleted, and why.

Here a program that is trusted to tidy goes through people's photos, with their own password, and deletes a share of
them that is drawn from the seed: a few an hour, so that no hour's share is worth a brake. Devices that sync drop what
was deleted, as they should. Nobody acts for a month, in which keepers scrub, attest and retain.
Then each person takes it back, from the history.

A delete is a change like any other, and what it deleted stays in the history for the retention, 90 days by default.
What lives of each kind is compared with the most that lived in the last weeks: where a quarter is gone an alarm says
so, whoever deleted it and however slowly, and names the runbook for a mass deletion. An undo brings back by name what
was deleted since a moment, as new changes, and leaves alone what was added since.

Scored: every photo that was wrongly deleted is back, bit for bit, after a month; nothing else has changed; the alarm
came on the day of the deletes.
"""

from __future__ import annotations

from safehold.disaster import operator
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.upkeep import keep
from safehold.lab.clients.verdict import Key
from safehold.lab.wire import Request
from safehold.model.commands import Undo
from safehold.model.kinds import Kind

_PHOTOS = "files/photos"
#: Of each person, so that a brake would judge them and a share of them counts.
_MANY = (26, 34)
#: In one of the program's rounds, of what was there: less than a brake's quarter.
_ROUND_SHARE = 0.12


class Gone:
    """What the program has deleted, and when it began."""

    def __init__(self) -> None:
        self.items: dict[Key, bytes] = {}  # digests
        self.began = 0


def strike(world: World) -> None:
    rng = world.rng
    tracks: list[Key] = []
    for user in world.users:
        for number in range(rng.randint(*_MANY)):
            body, name = rng.randbytes(rng.randrange(200, 2000)), f"track{number}.jpg"
            world.put(user, _PHOTOS, name, body, "image/jpeg")
            tracks.append((f"{user}/{_PHOTOS}", name))
    world.sync()
    world.live(1.0, edits=4)
    gone = world.remembered = Gone()
    gone.began = world.clock.now()
    world.clock.advance(1)
    share = rng.uniform(0.4, 0.8)
    condemned = {user: _condemned(world, user, tracks, share) for user in world.users}
    world.struck(f"a program that tidies deletes {sum(map(len, condemned.values()))} photos of {len(tracks)}")
    while any(condemned.values()):
        for keys in condemned.values():
            for key in [keys.pop() for _ in range(min(len(keys), round(_ROUND_SHARE * _MANY[0])))]:
                last = world.ledger.last(key).state
                answer = world.send(Request("DELETE", f"/dav/{key[0]}/{key[1]}", user=key[0].partition("/")[0]))
                if answer.status == 204 and last is not None:
                    gone.items[key] = last
        world.sync([rng.choice(world.devices)])
        world.pass_time(rng.uniform(3601, 5400))


def _condemned(world: World, user: str, tracks: list[Key], share: float) -> list[Key]:
    mine = [key for key in tracks if key[0].partition("/")[0] == user]
    return world.rng.sample(mine, round(share * len(mine)))


def recover(world: World) -> None:
    """A month later each person takes back what was deleted since."""
    gone = world.remembered
    assert isinstance(gone, Gone)
    for fifth in range(5):
        world.edit(2)
        world.sync()
        world.pass_time(6 * DAY_SECONDS)
        world.snapshot()
        if fifth % 2 == 1:
            for config in world.house.vaults:
                keep(world.house, config, serving=True)
    world.collapsed("somebody acts")
    for user in world.users:
        account = world.house.account(user)
        undo = Undo(account=account.id, to=gone.began, kind=Kind.PHOTOS, path=_PHOTOS, deleted_only=True)

        def take_back(undo: Undo = undo) -> None:
            world.house.engine.execute(undo)

        world.say_of(take_back)
    there = world.there()
    missing = [key for key, digest in gone.items.items() if there.get(key) != digest]
    if missing:
        world.wrong.append(f"{len(missing)} of {len(gone.items)} photos are not back, {'/'.join(missing[0])} first")
    world.note(f"{len(gone.items) - len(missing)} photos are back")
    operator.recover(world)


SCENARIO = Scenario(
    name="google-music-2012",
    title="Proper deletes of the wrong things, noticed after a month",
    year=2012,
    lost_then="600,000 references to audio of 21,000 users; 436,000 of them came back from tape",
    sources=(
        "https://sre.google/sre-book/data-integrity/",
        "https://fliphtml5.com/xfcb/wtma/Site_Reliability_Engineering_-_How_Google_Runs_Production_Systems/388",
        "https://www.besthub.dev/articles/how-google-music-recovered-1-5-pb-of-lost-data-after-a-massive-deletion-bug-733eba1fe411",
    ),
    strike=strike,
    recover=recover,
    days=1.0,
)
