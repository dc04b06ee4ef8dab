"""Nothing in particular has happened. The other scenarios strike as something real once did, and each is a course of
events that somebody has thought of. This one draws.

Here one to four faults come one after the other, each at a moment drawn from the seed with life between them, and
each with an operator's plain answer to it: start; where that is refused, recover; repair the vaults; make anew what
is gone. They are, of the disk: bits and pages that flip in the core, in a vault, in large bodies; a loss of power at
any write, with torn and reordered sectors; a disk that is full; errors in any part of it; a disk, the core's or the
sync vault's, that said "synced" and was not. Of the vaults: the sync vault lost, the async one lost, objects missing
or cut. Of the process: killed at any write. Of the core: lost, alone or with the sync vault; an old copy put back. Of
the clock: set forth or back, by minutes or hours. Of people: a phone that deletes most of an address book; an account
that is erased.

They leave a copy of what was acknowledged, but for the core that is lost with the sync vault: then the end of the log
may be gone, and that has to be said. (Where every disk lies at once and the power goes, nothing is left that knows.)

What is expected is what the laws say, and no more: what was acknowledged is exact, or it is named, or counted as
unknown seconds that were told. What a phone deletes is deleted, told, and comes back with one command. What is erased
stays erased.

Scored: `silent`, `resurrected` and `devices_wiped` are 0 in every seed, and damage is noticed at the next start, read
or due check.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from safehold.disaster import operator
from safehold.disaster.costs import OPERATOR_SECONDS
from safehold.disaster.faults import break_disk, damage_objects, rot
from safehold.disaster.house import CORE_FOLDER, CORE_PATH
from safehold.disaster.lab import DAY_SECONDS, World
from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score
from safehold.disaster.vault_work import make_anew, repair_vaults
from safehold.lab.simdisk import Crash
from safehold.model.commands import Undo
from safehold.model.errors import SafeholdError
from safehold.model.kinds import Kind
from safehold.service.notices import notices_of

#: Contacts of which a phone deletes most; brakes count from twenty on.
_CARDS = 24
_MOST_FAULTS = 4
#: Seconds by which clocks are set.
_JUMPS = (-7200.0, -60.0, 60.0, 7200.0)
_CLOCK = "the clock is set"
#: After this the end of the log may be lost.
_LOSSY = "the core and the sync vault are lost"
#: These have to be noticed, each of them.
_NOTICED = frozenset(
    (
        "objects of the sync vault are damaged",
        "objects of the async vault are damaged",
        "the sync vault is lost",
        "the async vault is lost",
        "the core is lost",
        "the core and the sync vault are lost",
    )
)

Image = dict[str, bytes]


class Chaos:
    """The faults of one world. Each says whether the process is there after it, or whether it harmed nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self.images: list[Image] = []
        self._accounts = 0
        self._said: set[str] = set()
        self._struck_something = True
        self.faults: dict[str, tuple[Callable[[], None], float]] = {
            "the core rots": (self._rot_core, 1),
            "objects of the sync vault are damaged": (lambda: self._rot_vault("/near"), 1),
            "objects of the async vault are damaged": (lambda: self._rot_vault("/far"), 1),
            "large bodies are damaged": (lambda: self._rot_vault("/blobs"), 1),
            "the power goes at a write": (lambda: self._fuse(kill=False), 1.5),
            "the process is killed at a write": (lambda: self._fuse(kill=True), 1),
            "the disk is full": (self._full, 1),
            "the disk fails in a part": (self._errors, 1),
            "a disk says synced and is not": (self._lies, 1),
            "the sync vault is lost": (lambda: self._lose("/near"), 1),
            "the async vault is lost": (lambda: self._lose("/far"), 1),
            "the core is lost": (lambda: self._lose(CORE_FOLDER, "/blobs"), 1.5),
            "the core and the sync vault are lost": (lambda: self._lose(CORE_FOLDER, "/blobs", "/near"), 1.5),
            "an old core is put back": (self._old_core, 1.5),
            _CLOCK: (self._clock, 1),
            "a phone deletes an address book": (self._delete, 1),
            "an account is erased": (self._erase, 1),
        }

    def run(self) -> None:
        count = self.rng.randint(1, _MOST_FAULTS)
        names = list(self.faults)
        weights = [weight for _, weight in self.faults.values()]
        self._keep_image()
        for number in range(count):
            self._between()
            self._struck_something = True
            # The clock comes later: times of the score begin with the first fault.
            name = self.rng.choices(
                names, weights if number else [w * (n != _CLOCK) for n, w in zip(names, weights, strict=True)]
            )[0]
            if number:
                self.world.note(name)
            else:
                self.world.struck(name)
            before, refusals = set(self.world.watch.says()), len(self.world.watch.refusals)
            self._said.clear()
            self.faults[name][0]()
            self._answer()
            self._look()
            told = len(self.world.watch.refusals) > refusals or self._said - before
            if name in _NOTICED and self._struck_something and not told:
                self.world.wrong.append(f"nobody has said that {name}")
            self.world.noticed("it did no harm")

    def _look(self) -> None:
        self.world.watch.look()
        self._said |= set(self.world.watch.says())

    # -- between -----------------------------------------------------------------------------------------------

    def _between(self) -> None:
        """Life goes on; the vaults are level before the next fault, but for what comes last."""
        world, rng = self.world, self.rng
        world.edit(4)
        world.sync()
        world.by_hand(rng.choice(world.users), 2)
        world.pass_time(rng.uniform(0.02, 0.6) * DAY_SECONDS)
        if rng.random() < 0.5:
            world.snapshot()
        if rng.random() < 0.5:
            self._keep_image()
        if world.serving:
            world.house.scheduler.run_for(130)
        for _ in range(rng.randrange(3)):
            world.edit(2)
            world.sync([rng.choice(world.devices)])
            world.clock.advance(rng.uniform(0.5, 20))

    def _keep_image(self) -> None:
        disk = self.world.disk
        self.images.append({path: disk.bytes_of(path) for path in disk.files(CORE_FOLDER)})

    def _work(self) -> None:
        """What people do while something is wrong. A crash passes through."""
        world = self.world
        for _ in range(3):
            world.edit(3)
            world.sync([self.rng.choice(world.devices)])
            if world.serving:
                world.house.scheduler.run_for(3)
                world.house.tick()

    # -- faults ------------------------------------------------------------------------------------------------

    def _rot_core(self) -> None:
        self.world.go_down(kill=True)
        rot(self.world.disk, CORE_PATH, self.rng)

    def _rot_vault(self, folder: str) -> None:
        told = damage_objects(self.world.disk, folder, self.rng, self.rng.randint(1, 3))
        self._struck_something = bool(told)
        for words in told:
            self.world.note(words)

    def _fuse(self, *, kill: bool) -> None:
        left = self.rng.randint(1, 80)

        def point(_operation: str, _path: str) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash

        self.world.disk.on_write_point = point
        with suppress(Crash):
            self._work()
        self.world.disk.on_write_point = None
        self.world.go_down(kill=kill, torn=self.rng.choice((None, self.rng.getrandbits(32))))

    def _full(self) -> None:
        disk = self.world.disk
        disk.capacity_bytes = disk.used_bytes() + self.rng.randint(0, 20_000)
        self._work()
        self._look()
        disk.capacity_bytes = None

    def _errors(self) -> None:
        self.world.note(break_disk(self.world.disk, self.rng))
        self._work()
        self._look()
        self.world.disk.mend()
        self.world.disk.capacity_bytes = None

    def _lies(self) -> None:
        disk = self.world.disk
        disk.lies_about_sync, disk.lies_below = True, self.rng.choice((CORE_FOLDER, "/near"))
        self.world.note(f"it is the one below {disk.lies_below}")
        self._work()
        self.world.go_down(torn=self.rng.choice((None, self.rng.getrandbits(32))))

    def _lose(self, *folders: str) -> None:
        self.world.go_down(kill=self.rng.random() < 0.5, torn=self.rng.getrandbits(32))
        for folder in folders:
            self.world.disk.lose(folder)

    def _old_core(self) -> None:
        self.world.go_down(kill=self.rng.random() < 0.5)
        disk = self.world.disk
        disk.lose(CORE_FOLDER)
        disk.make_folders(CORE_FOLDER)
        for path, data in self.rng.choice(self.images).items():
            file = disk.open(path, write=True, create=True)
            file.write_at(0, data)
            file.sync()
            file.close()
        disk.sync_folder(CORE_FOLDER)

    def _clock(self) -> None:
        seconds = self.rng.choice(_JUMPS)
        self.world.note(f"by {seconds:+g} s")
        self.world.clock.jump(seconds)
        self._work()

    def _delete(self) -> None:
        """One that syncs an address book deletes nearly all of it; the owner is told, and may take it back."""
        world, rng = self.world, self.rng
        path = "contacts/default"
        phones = [d for d in world.devices if f"{d.user}/{path}" in d.kept]
        if not phones or not world.serving:
            return
        phone = rng.choice(phones)
        for number in range(_CARDS):
            card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:m{number}\r\nFN:{number}\r\nN:{number};;;;\r\nEND:VCARD\r\n"
            world.put(phone.user, path, f"m{number}.vcf", card.encode(), "text/vcard")
        world.clock.advance(7201)
        world.sync([phone])
        before = world.clock.now()
        mine = f"{phone.user}/{path}"
        gone = [name for name in phone.kept[mine].items if name.startswith("m")]
        world.clock.advance(60)
        for name in gone:
            phone.delete(mine, name)
        world.sync([phone])
        account = world.house.account(phone.user)
        told = [notice.what for notice in notices_of(world.house.reads, account) if "delete" in notice.what]
        left = [name for name in gone if name in phone.kept[mine].items]
        if told:
            world.noticed(f"{phone.user} is told: {told[-1]}")
        if gone and not left and not told:
            world.wrong.append("a phone deleted an address book, and nobody was told")
        if rng.random() < 0.5:
            world.note("it is taken back")
            undo = Undo(account=account.id, to=before, kind=Kind.CONTACTS, path=path, deleted_only=True)
            with suppress(SafeholdError):
                world.say_of(lambda: world.house.engine.execute(undo))

    def _erase(self) -> None:
        world = self.world
        if not world.serving or world.house.engine.stopped is not None:
            return
        self._accounts += 1
        name = f"gone{self._accounts}"
        world.house.engine.execute(world.house.new_account(name))
        world.by_hand(name, 3)
        world.house.scheduler.run_for(130)
        world.erase(name)

    # -- an operator -------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """As the runbooks say: start, or recover; make anew what is gone; have damage found, and repair it."""
        world = self.world
        if not world.serving:
            if operator.start(world) and world.house.writer.taken_in > 1:
                world.watch.refused(f"the core lacked the last {world.house.writer.taken_in} changes of the log")
            operator.recover(world)
        else:
            self._go_on()
        if not world.serving:
            return
        for config in world.house.vaults:
            if not world.house.vault(config).available():
                self._look()
                self._make_anew(config.name)
        world.watch.scrub_all()
        self._look()
        world.clock.advance(OPERATOR_SECONDS)
        if any(found.damaged or found.trouble for found in world.watch.scrubs.values()):
            repair_vaults(world.house, serving=True)
        self._renew()
        world.house.scheduler.run_for(130)

    def _go_on(self) -> None:
        """A writer that has stopped goes on by itself once the disk is whole; else its process is started anew."""
        world = self.world
        for _ in range(3):
            world.pass_time(61)
            if world.house.engine.stopped is None:
                return
        world.go_down(kill=True)
        operator.start(world)
        operator.recover(world)

    def _make_anew(self, name: str) -> None:
        world = self.world
        world.go_down(kill=True)
        world.house.load_keys()
        make_anew(world.house, next(v for v in world.house.vaults if v.name == name), aside=False)
        operator.start(world)
        operator.recover(world)

    def _renew(self) -> None:
        """A core that asks for it is made anew, as the service does by itself at its next start."""
        world = self.world
        world.watch.care()
        if not world.house.renewals:
            return
        self._look()
        world.note(f"the core is made anew: {world.house.renewals[0]}")
        world.go_down(kill=True)
        world.disk.lose(CORE_FOLDER)
        operator.start(world)
        operator.recover(world)


def strike(world: World) -> None:
    Chaos(world).run()


def recover(world: World) -> None:
    """All has been answered already."""
    operator.recover(world)


def expects(world: World, found: Score) -> str:
    lossy = any(_LOSSY in line for line in world.story)
    inexact = found.older + found.lost + found.unknown
    return f"{inexact} items are not exact, and no fault took them" if inexact and not lossy else ""


SCENARIO = Scenario(
    name="chaos",
    title="Faults of every kind, drawn from the seed",
    year=0,
    lost_then="nothing in particular",
    sources=("https://danluu.com/file-consistency/",),
    strike=strike,
    notice=lambda world: world.watch.look(),
    recover=recover,
    expects=expects,
    days=1.5,
)
