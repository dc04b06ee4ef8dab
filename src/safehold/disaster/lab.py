"""A small world for a disaster: an installation, people with devices, days of life, and what was acknowledged to whom.

A scenario (scenario.py) takes it through

    live        days: edits, syncs, photos, scores, a delete now and then; generations, seals, shipping, checks when due
    strike      its faults; from here on the disk's work takes time (costs.py)
    notice      until the service itself says that something is wrong (watch.py)
    recover     as an operator does (operator.py), devices knocking meanwhile
    aftermath   every device learns what there is; some are replaced by new ones, that have nothing

and is then scored against what was acknowledged (ledger.py, scoring.py). Disk, clock, network, clients and the sealing
with age are simulated; everything else is the real thing. The same seed makes the same world.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256

from safehold.config import VaultConfig
from safehold.disaster.copies import Copies
from safehold.disaster.costs import RESTART_SECONDS, Meter
from safehold.disaster.generations import snapshot as take_snapshot
from safehold.disaster.house import VAULTS, House
from safehold.disaster.ledger import Ledger
from safehold.disaster.vault_work import NOTEBOOKS
from safehold.disaster.watch import Watch
from safehold.lab.clients.client import Client
from safehold.lab.clients.files import FileClient
from safehold.lab.clients.tables import CLIENTS, Table
from safehold.lab.clients.verdict import Key, Persons
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.wire import Answer, Request
from safehold.model.change import Change
from safehold.model.commands import EraseAccount
from safehold.model.errors import BodiesDamaged, SafeholdError
from safehold.model.items import Item
from safehold.model.kinds import DATA_KINDS
from safehold.recovery.report import Report
from safehold.service.ahead import doubts_of

DAY_SECONDS = 86_400.0
#: Accounts whose people have devices; further ones are written to by hand.
WITH_DEVICES = 3
#: Photos are now and then larger than what the journal takes.
_LARGE_BYTES = 66_000
_DAV = tuple(table for table in CLIENTS if table.kinds != ("folder",))
_FILES = tuple(table for table in CLIENTS if table.kinds == ("folder",))


class World:
    """One world of one seed. `rng` is for the scenario's draws too."""

    def __init__(self, scenario: str, seed: int, accounts: int = 2, *, vaults: Sequence[VaultConfig] = VAULTS) -> None:
        self.scenario = scenario
        self.seed = seed
        self.rng = random.Random(f"{scenario} {seed}")
        self.users = [user_name(number) for number in range(accounts)]
        self.house = House.new(f"{scenario} {seed}", tuple(self.users), vaults=vaults, books=NOTEBOOKS)
        self.clock = self.house.sim_clock
        #: By id: a recovery may have to do without the identity that holds a name.
        self.names = {account.id: account.name for account in self.house.reads.accounts()}
        self.ledger = Ledger(self.clock.now)
        self.persons = Persons()
        #: What happened, for people: "day 3 04:12:09 …".
        self.story: list[str] = []
        #: What went wrong by the house's own word or the devices': reasons for which a run has failed.
        self.wrong: list[str] = []
        #: What a strike notes for the expectation: whether one vault is left as it was; which was hurt; what there was.
        self.far_is_whole = True
        self.copies: Copies | None = None  # of what a strike leaves, where a scenario has it noted
        self.salvages = False  # whether an operator has the remains salvaged before a recovery
        self.remembered: object = None  # of the strike's own, for what comes after it
        self.hurt = ""
        self.objects_before: dict[str, set[str]] = {}
        self.wiped: dict[tuple[str, str, str], str] = {}  # device, path, name: why it was dropped there
        #: Reports of recoveries, the last one counts; since when they do not know what was written (µs).
        self.reports: list[Report] = []
        self.unknown_from: int | None = None
        #: Frames of the log that recoveries could not read, and of which they said that what they held is not known.
        self.lost_frames: list[tuple[int, int]] = []
        self.struck_at: int | None = None  # µs
        self.ailing = False  # whether something is wrong before the strike, of which the service may tell
        self.down_at: int | None = None  # from when on it could not be used: the strike, unless that came later
        self.noticed_at: int | None = None
        self.contact_at: int | None = None
        self.back_at: int | None = None
        self.photo_at: int | None = None
        self._changes: list[Change] = []
        self._without_snapshot = 0  # days
        self._fresh: list[Client] = []
        self.excused: Collection[Key] = ()  # items that are not exact, once they have been counted
        self._began = self.clock.now()
        self._meter = Meter(self.clock, [House.folder(vault) for vault in vaults])
        self.attach()
        self.watch = Watch(self)
        self.devices = self._draw_devices()

    # -- the house ---------------------------------------------------------------------------------------------

    @property
    def disk(self) -> SimDisk:
        return self.house.disk

    def attach(self) -> None:
        """To a house that is new, or another one after a crash: hear what it commits, and time its disk."""
        self.house.on_committed = self._committed
        self.house.disk.meter = self._meter
        if hasattr(self, "watch"):
            self.watch.moved()

    def _committed(self, changes: Sequence[Change]) -> None:
        self._changes += changes
        data = [change for change in changes if change.kind in DATA_KINDS]
        if data:
            self.ledger.committed(self.house.engine.core, data)

    def go_down(self, *, kill: bool = False, torn: int | None = None) -> None:
        """The power goes (with what that leaves drawn by `torn`), or the process is killed."""
        if not self.house.disk.dead:
            self.note("the process is killed" if kill else "the power is gone")
        self.house = self.house.kill() if kill else self.house.crash(torn)
        self.attach()

    @property
    def serving(self) -> bool:
        """Whether there is a process that answers, and whose core can be read."""
        return hasattr(self.house, "app") and not self.house.disk.dead and self.house.readable

    # -- people and their devices ------------------------------------------------------------------------------

    def _draw_devices(self) -> list[Client]:
        """For each of the first accounts two of those that sync, of different sorts, and one that keeps files."""
        made: list[Client] = []
        for user in self.users[:WITH_DEVICES]:
            for table in (*self.rng.sample(_DAV, 2), self.rng.choice(_FILES)):
                made.append(self._device(f"d{len(made)}", user, table))
        return made

    def _device(self, name: str, user: str, table: Table) -> Client:
        make = FileClient if table.kinds == ("folder",) else Client
        rng = random.Random(f"{self.scenario} {self.seed} {name}")
        return make(name, user, table, rng, self.clock, on_removed=self._removed, on_wish=self.persons.delete)

    def replaced(self, device: Client) -> Client:
        """Power-cycled as in 2009, or lost and bought anew: the same program, which has nothing and fetches all."""
        fresh = self._device(f"{device.name}'", device.user, device.table)
        self.devices[self.devices.index(device)] = fresh
        self._fresh.append(fresh)
        self.note(f"{device.table.client} ({device.name}) of {device.user} starts from nothing")
        return fresh

    def send(self, request: Request) -> Answer:
        """What a device asks. 503 from nobody at all while no process is there. A crash passes through."""
        if not self.serving:
            return Answer(503, {"retry-after": "60"}, b"")
        self._changes = []
        try:
            answer = self.house.requests([request])[0]
        except Crash:
            self.ledger.heard(request, None)
            raise
        self.ledger.heard(request, answer)
        if answer.status == 500:
            self.wrong.append(f"{request.method} {request.path} was answered 500")
        return answer

    def _removed(self, device: Client, path: str, name: str, why: str) -> None:
        if self.persons.wished(path, name) or self.ledger.fits((path, name), None):
            return
        if (path, name) in self.ledger.refused and not self.ledger.accepted((path, name)):
            return  # never taken, by a client that does not send it again
        self.wiped[device.name, path, name] = f"{device.table.client} dropped {path}/{name} for its {why}"

    def sync(self, devices: Sequence[Client] | None = None) -> None:
        """Each sends what waits and learns what there is."""
        for device in self.devices if devices is None else devices:
            device.sync(self.send)
            if device in self._fresh:
                self._check_fresh(device)

    def edit(self, count: int) -> None:
        for device in self.rng.choices(self.devices, k=count):
            if device.kept:
                device.edit()

    def _check_fresh(self, device: Client) -> None:
        """A device that starts from nothing must not be told that there is nothing: what it was listed is all there is.

        Asked right after its sync. Items are excused of which the service says that they are lost.
        """
        for path, kept in device.kept.items():
            for key in self.ledger.living(path) if kept.settled else ():
                if key[1] not in kept.items and key not in self.excused and not self.ledger.in_doubt(key):
                    why = f"{device.table.client} started from nothing and was not given {path}/{key[1]}"
                    self.wiped.setdefault((device.name, *key), why)

    def put(self, user: str, path: str, name: str, body: bytes, media: str = "application/octet-stream") -> Answer:
        """By hand; `path` is below the account."""
        headers = {"Content-Type": media}
        return self.send(Request("PUT", f"/dav/{user}/{path}/{name}", body, headers, user))

    def photo(self, user: str) -> None:
        size = _LARGE_BYTES + self.rng.randrange(4000) if self.rng.random() < 0.5 else self.rng.randrange(3000)
        name = f"photo{self.rng.randrange(1000)}.jpg"
        self.put(user, "files/photos", name, self.rng.randbytes(size), "image/jpeg")

    def score(self, user: str) -> None:
        if not self.serving:
            return
        body = b'{"score": %d}' % self.rng.randrange(10_000)
        headers = {"Content-Type": "application/json"}
        self._changes = []
        answer = self.house.request("POST", "/api/v1/scores/chess", body, headers, user=user)
        if answer.status < 300:
            self.ledger.scored(self.house.reads, user, self._changes)

    def by_hand(self, user: str, count: int) -> None:
        """So many things of every kind, for people without devices and for a world's first day."""
        for _ in range(count):
            dice, number = self.rng.random(), self.rng.randrange(10_000)
            if dice < 0.5:
                card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:h{number}\r\nFN:{number}\r\nN:{number};;;;\r\nEND:VCARD\r\n"
                self.put(user, "contacts/default", f"h{number}.vcf", card.encode(), "text/vcard")
            elif dice < 0.7:
                self.put(user, "files/notes", f"h{number}.txt", self.rng.randbytes(300), "text/plain")
            elif dice < 0.85:
                self.photo(user)
            else:
                self.score(user)

    def erase(self, user: str) -> None:
        """The operator erases an account on its person's word."""
        self.note(f"{user} is erased")
        self.ledger.erase(user)
        self.house.engine.execute(EraseAccount(account=self.house.account(user).id))
        self.devices = [device for device in self.devices if device.user != user]

    # -- days --------------------------------------------------------------------------------------------------

    def live(self, days: float, *, edits: int = 12, snapshots: bool = True) -> None:
        """So many days as any other: people and devices by day, generations and checks by night.

        `edits` a day of all together. At their end some time has passed since the last snapshot, and the async vaults
        may lag by what was written last.
        """
        whole, began = max(1, round(days)), self._elapsed()
        for day in range(whole):
            for _ in range(2):
                self.edit(edits // 2)
                self.sync(self.rng.sample(self.devices, max(1, len(self.devices) // 2)))
                user = self.rng.choice(self.users)
                self.by_hand(user, 2)
                self.pass_time(self.rng.uniform(0.2, 0.4) * DAY_SECONDS)
            for user in self.users[WITH_DEVICES:]:
                self.by_hand(user, 1)
            self.pass_time(max(60.0, began + (day + 1) * DAY_SECONDS * days / whole - self._elapsed()))
            if snapshots and (self.rng.random() < 0.7 or self._without_snapshot):
                self.snapshot()
            else:
                self._without_snapshot += 1

    def _elapsed(self) -> float:
        return (self.clock.now() - self._began) / 1_000_000

    def snapshot(self, *, full: bool = False) -> None:
        """As the running service takes one by itself."""
        self._without_snapshot = 0
        if self.house.recovering or not self.serving or self.house.engine.stopped is not None:
            return
        try:
            take_snapshot(self.house, full=full)
        except SafeholdError as error:
            self.watch.snapshot_trouble = error.message
        else:
            self.watch.snapshot_trouble = ""
        self.house.scheduler.run_for(5)

    def pass_time(self, seconds: float) -> None:
        """The house goes on by itself: shippers, seals, housekeeping, checks that fall due, a recovery under way."""
        if not self.serving:
            self.clock.advance(seconds)
            return
        self.house.scheduler.run_for(min(seconds, 30.0))
        self.house.tick()
        self.watch.look()
        self.clock.advance(max(0.0, seconds - 30.0))
        self.house.tick()
        self.house.scheduler.run_for(1)
        self.watch.care()

    # -- the strike, and after it ------------------------------------------------------------------------------

    def struck(self, words: str) -> None:
        """Now: from here on time is measured, and the disk takes its time."""
        self.struck_at = self.down_at = self.clock.now()
        self.watch.set_deadline()
        self.note(words)
        self._meter.running = True

    def collapsed(self, words: str) -> None:
        """What was struck before, and served on, is down now: recovering is timed from here."""
        self.down_at, self.contact_at, self.back_at, self.photo_at = self.clock.now(), None, None, None
        self.note(words)

    @contextmanager
    def unmetered(self) -> Iterator[None]:
        """Somebody looks who is none of this world."""
        running, self._meter.running = self._meter.running, False
        try:
            yield
        finally:
            self._meter.running = running

    def noticed(self, words: str) -> None:
        """The service itself has said so."""
        if self.noticed_at is None and self.struck_at is not None:
            self.noticed_at = self.clock.now()
            self.note(f"noticed: {words}")

    def knock(self) -> None:
        """Somebody asks for a contact that they had, again and again; the first answer is the first contact."""
        if self.contact_at is not None or not self.serving:
            return
        for key in self.ledger.items():
            path, name = key
            user, _, rest = path.partition("/")
            if rest.startswith("contacts/") and self.ledger.last(key).state is not None:
                answer = self.house.requests([Request("GET", f"/dav/{path}/{name}", user=user)])[0]
                if answer.status == 200 and self.ledger.fits(key, sha256(answer.body).digest()):
                    self.contact_at = self.clock.now()
                    self.note("the first contact is back")
                    return
                if answer.status == 503:
                    return

    def restart_by_itself(self) -> None:
        """What a supervisor does after a process has ended."""
        self.clock.advance(RESTART_SECONDS)

    def is_back(self) -> None:
        """All that can come back has, and the service writes."""
        if self.back_at is None:
            self.back_at = self.clock.now()
            self.note("all that can come back is back")

    # -- looking -----------------------------------------------------------------------------------------------

    def there(self) -> dict[Key, bytes]:
        """The digest of every item in the core whose body can be had, whole, as the service would serve it."""
        found: dict[Key, bytes] = {}
        if not self.serving:
            return found
        with self.unmetered():
            reads = self.house.reads
            for account in reads.accounts():
                user = self.names.get(account.id, account.name)
                for collection in reads.collections(account.number):
                    if collection.kind in DATA_KINDS:
                        path = f"{user}/{collection.path}"
                        for item in reads.items(collection):
                            if self._can_be_had(item):
                                found[path, item.name] = item.digest
        return found

    def _can_be_had(self, item: Item) -> bool:
        """As a GET would have it: what is damaged is fetched from a vault."""
        reads = self.house.reads
        for _ in range(2):
            try:
                stored = reads.body(item)
                if stored.inline is not None:
                    body = stored.inline
                elif stored.blob is not None:
                    body = b"".join(self.house.blobs.read(stored.blob, stored.size, digest=item.digest))
                else:
                    return False
            except BodiesDamaged as error:
                with suppress(SafeholdError):
                    self.house.repair.bring(error.bodies)
            except SafeholdError:
                return False
            else:
                return sha256(body).digest() == item.digest
        return False

    def told_unknown(self) -> int | None:
        """Since when (µs) the service says that it does not know what was written; None where it says no such thing."""
        told = [] if self.unknown_from is None else [self.unknown_from]
        if self.serving:
            with self.unmetered():
                told += [doubt.at - round(doubt.unknown_seconds * 1e6) for doubt in doubts_of(self.house.reads)]
        return min(told, default=None)

    def say_of(self, change: Callable[[], object]) -> None:
        """A command of a person or an operator that changes items: both sides of it are looked at."""
        before = self.there()
        change()
        after = self.there()
        self.persons.undo(before, after)
        self.ledger.compare(before, after)

    def note(self, text: str) -> None:
        seconds = self._elapsed()
        day, rest = divmod(int(seconds), int(DAY_SECONDS))
        hours, rest = divmod(rest, 3600)
        self.story.append(f"day {day + 1} {hours:02}:{rest // 60:02}:{rest % 60:02} {text}")


def user_name(number: int) -> str:
    names = ("ann", "bob", "cleo", "dan", "eve", "finn", "gina", "hugo")
    return names[number] if number < len(names) else f"person{number + 1}"
