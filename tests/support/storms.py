"""A writer, a shipper and readers over vaults that misbehave, and what must hold of them at every step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from safehold.adapters.vault_http import HttpLink
from safehold.archiver.log import Log, LogLimits, LogVault, Mode, Written
from safehold.archiver.shipper import Shipper
from safehold.formats.blob import blob_object
from safehold.formats.segment import parse_name
from safehold.lab.faulty_link import Network
from safehold.lab.faulty_vault import Fault, Place, Plan
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.errors import OutOfSpace, SafeholdError
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import Vault, VaultDown
from safehold.store.realdisk import RealDisk
from safehold.vault.folder import FolderVault
from safehold.vault.http_vault import HttpVault
from safehold.vault.memory import MemoryVault
from safehold.vault.remote import RemoteVault
from safehold.vault.segments import load_copy
from safehold.vault.served import ServedVault
from tests.support.changes import Streams, account_id
from tests.support.links import direct
from tests.support.logs import INSTALLATION, OPENER, SEALER, make_vault, read
from tests.support.vault_http import HttpServer

#: What strikes at a sync vault. One that lies breaks law 1's ground, and one whose listing is late the port's promise.
SYNC_FAULTS = dict.fromkeys((Fault.SLOW, Fault.DOWN, Fault.FULL, Fault.TORN, Fault.UNANSWERED, Fault.UNSYNCED), 1.0)
ASYNC_FAULTS = {**dict.fromkeys(Fault, 1.0), Fault.LYING: 3.0, Fault.UNSYNCED: 2.0}
LIMITS = LogLimits(3000, 20.0)


class Storm:
    """One course, by its seed: sync vaults near (and at times second), far is async; what is committed is the core's.

    `acknowledged` is what a write returned from. A write that was refused, or of which nobody knows, is neither.
    """

    def __init__(
        self,
        seed: int,
        *,
        share: float = 0.15,
        sync_faults: Mapping[Fault, float] = SYNC_FAULTS,
        async_faults: Mapping[Fault, float] = ASYNC_FAULTS,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(f"storm {seed}")
        self.clock = SimClock()
        names = ["near", "second"] if self.rng.random() < 0.3 else ["near"]
        self.sync = [self._place(name, share, sync_faults) for name in names]
        self.far = self._place("far", share, async_faults)
        self.core: LogPosition = EMPTY_LOG
        self.in_core: list[Change] = []
        self.acknowledged: list[Change] = []
        self.streams = Streams()
        self.log: Log | None = None
        self.refused = 0
        self.last_written = ("", 0)
        self.opened = 0
        self.told: list[str] = []
        #: far has lost what it had said to be synced: it is not counted any more until another takes its place.
        self.bereft = False
        self.shipper = self._new_shipper()

    def _place(self, name: str, share: float, faults: Mapping[Fault, float]) -> Place:
        return Place(MemoryVault(name), Plan(f"{name} {self.seed}", share, faults), self.clock.advance)

    @property
    def places(self) -> list[Place]:
        return [*self.sync, self.far]

    # -- acts

    def act(self) -> str:
        acts: dict[Callable[[], object], float] = {
            self.write: 8,
            self.ship: 14,
            self.tick: 2,
            self.put_blob: 1,
            self.restart: 0.7,
            self.lose_power: 0.7,
            self.look: 0.7,
        }
        act = self.rng.choices(list(acts), list(acts.values()))[0]
        act()
        self.clock.advance(self.rng.choice((0.0, 0.01, 0.3, 2.0)))
        return act.__name__

    def write(self) -> None:
        if self.log is None and not self.open():
            return
        assert self.log is not None
        heads = dict(self.streams.heads)
        made = [self._change() for _ in range(self.rng.randint(1, 3))]
        try:
            self.log.write(self.log.prepare(made))
        except (VaultDown, OutOfSpace):  # not in the log
            self.streams.heads = heads
            self.refused += 1
        except SafeholdError:  # nobody knows: what is there is taken in by the next to open
            self.streams.heads = heads
            self.refused += 1
            self.log = None
        else:
            name, size = self.last_written
            short = [place.inner.name for place in self.sync if place.said_to_be_synced(name) < size]
            assert not short, (self.seed, "acknowledged before it was synced", short)  # law 1
            self.acknowledged += made
            self._commit(made, self.log.position)

    def _change(self) -> Change:
        account = account_id(self.rng.randint(1, 3))
        text = self.rng.randbytes(self.rng.choice((10, 10, 300))).hex()
        return self.streams.put_card(account, "contacts/default", f"{len(self.streams.made)}.vcf", text=text)

    def _commit(self, changes: list[Change], position: LogPosition) -> None:
        self.in_core += changes
        self.core = position
        for change in changes:
            self.streams.heads[change.account, change.kind] = Head(change.rev, change.hash)

    def open(self) -> bool:
        """As a writer opens: claim, take in the tail, start. False where a vault refused."""
        vaults = [LogVault(place.open(), Mode.SYNC) for place in self.sync]
        vaults.append(LogVault(self.far.open(), Mode.ASYNC))
        try:
            log = Log.claim(vaults, SEALER, OPENER, self.clock, self.core, LIMITS, self._note)
            for entry in list(log.tail()):
                if isinstance(entry, Hole):  # a vault refused within: service.takein goes no further
                    raise VaultDown(f"frames {entry.first} to {entry.last} cannot be read")
                self._commit(list(entry.changes), entry.position)
            log.start()
        except SafeholdError as error:
            self.told.append(str(error))
            return False
        self.opened += 1
        self.log = log
        return True

    def tick(self) -> None:
        if self.log is None:
            return
        try:
            self.log.tick() if self.rng.random() < 0.5 else self.log.seal()
        except (VaultDown, OutOfSpace):
            return
        except SafeholdError:
            self.log = None
            return
        self.core = self.log.position

    def put_blob(self) -> None:
        """Large bodies come in beside the log: in every sync vault before a frame may name them."""
        name = self.rng.randbytes(32)
        body = self.rng.randbytes(2000)
        try:
            for place in self.sync:
                place.open().put(blob_object(name), (body[:900], body[900:]))
        except SafeholdError:
            return
        self.shipper.note_blob(blob_object(name))

    def restart(self) -> None:
        """The process is killed: its log is not closed, its shipper and what it had not shipped are forgotten."""
        self.log = None
        self.shipper = self._new_shipper()

    def lose_power(self) -> None:
        place = self.rng.choice(self.places)
        names = {*(info.name for info in place.inner.list()), *place.lied}  # it may have lied about a whole object
        said = {name: place.said_to_be_synced(name) for name in names}
        place.power_loss()
        if place is self.far and any(place.said_to_be_synced(name) < size for name, size in said.items()):
            self.bereft = True

    def ship(self) -> None:
        for _ in range(self.rng.randint(1, 8)):
            pause = self.shipper.step()
            if pause is None:
                self.check_asleep()
                return
            if pause:
                self.clock.advance(min(pause, 5.0))

    def look(self) -> None:
        """Who reads either is told that a vault refuses, or gets all that was acknowledged."""
        vaults: list[Vault] = [place.open() for place in (*self.sync, self.far)]
        refused = [place.plan.struck.get(Fault.DOWN, 0) for place in self.sync]
        try:
            changes, holes, reader = read(*vaults)
        except SafeholdError:
            return
        if refused != [place.plan.struck.get(Fault.DOWN, 0) for place in self.sync]:
            assert not holes or reader.problems(), (self.seed, holes)
            return
        assert not holes, (self.seed, holes)
        self._assert_there(changes)

    def _new_shipper(self) -> Shipper:
        return Shipper(self.sync[0].open(), self.far.open(), self.clock, live=True)

    def _note(self, written: Written) -> None:
        self.last_written = (written.object, written.size)
        self.shipper.note(written)

    # -- what must hold

    def missing(self) -> list[tuple[int, int]]:
        """Frames of the core of which far has no synced copy: number of changes, and when they were written (µs).

        What far acknowledged and did not sync counts as there: nobody can know before it is gone.
        """
        beneath, there = self.sync[0].inner, self.far
        copies: dict[int, list[bool]] = {}
        facts: dict[int, tuple[int, int]] = {}
        for info in beneath.list("log/"):
            name = parse_name(info.name)
            assert name is not None
            have = there.said_to_be_synced(info.name)
            for number, frame in load_copy(beneath, name).frames.items():
                copies.setdefault(number, []).append(frame.offset + len(frame.data) <= have)
                facts[number] = (frame.header.changes, frame.header.at)
        return [facts[n] for n, there_ in copies.items() if n <= self.core.frame and facts[n][0] and not any(there_)]

    def check_status(self) -> None:
        """Status never says less than is missing, nor that it is younger than it is.

        What a vault lost that had said it was synced, no shipper is told. It compares at a start, and cannot tell a
        beginning that was lost from one that was retained away: scrubs do.
        """
        if self.bereft:
            return
        missing, now = self.missing(), self.clock.now()  # before a slow vault is asked
        try:
            said, lag, level = self.shipper.unarchived_changes, self.shipper.lag_seconds, self.shipper.level
        except SafeholdError:  # a vault refused the look: that is said instead
            return
        assert said >= sum(changes for changes, _ in missing), (self.seed, said, missing)
        oldest = max((now - at for _, at in missing), default=0) / 1_000_000
        assert lag >= oldest - 0.001, (self.seed, lag, oldest)
        assert not (level and missing), (self.seed, missing)

    def check_asleep(self) -> None:
        """A shipper that waits to be woken either has shipped everything, or says why not."""
        if self.shipper.trouble is None and self.shipper.asleep and not self.bereft:
            assert not self.missing() or self.log is None, (self.seed, self.missing())

    def _assert_there(self, changes: list[Change]) -> None:
        found = {change.hash for change in changes}
        lost = [change.name for change in self.acknowledged if change.hash not in found]
        assert not lost, (self.seed, lost)

    def settle(self) -> None:
        """The storm is over: all is brought to rest, and everything acknowledged is in both."""
        self.calm()
        self.log = None
        if self.bereft:
            self.far = self._place("far", 0.0, {})
            self.shipper = self._new_shipper()
        assert self.open(), (self.seed, self.told[-1])
        if self.shipper.step() is None and self.shipper.trouble is not None:  # what it needs is a start
            self.shipper = self._new_shipper()
        self.write()
        assert self.log is not None, self.seed
        self.log.close()
        for pause in self._steps():
            self.clock.advance(pause)
        assert self.shipper.trouble is None, (self.seed, self.shipper.trouble)
        assert self.shipper.level and not self.missing(), (self.seed, self.missing())
        assert (self.shipper.unarchived_changes, self.shipper.lag_seconds) == (0, 0.0), self.seed
        for vault in (*(place.inner for place in self.sync), self.far.inner):
            changes, holes, _ = read(vault)
            assert not holes, (self.seed, vault.name, holes)
            self._assert_there(changes)
            assert [c.hash for c in changes] == [c.hash for c in self.in_core], (self.seed, vault.name)

    def calm(self) -> None:
        for place in self.places:
            place.plan.calm()

    def _steps(self) -> Iterator[float]:
        for _ in range(3000):
            pause = self.shipper.step()
            if pause is None:
                return
            yield pause
        raise AssertionError(f"seed {self.seed}: the shipper never ends: {self.shipper.trouble}")


class LinkedPlace(Place):
    """A folder vault that is served, judged as every served vault is, and reached over a network that misbehaves."""

    def __init__(self, name: str, network_seed: str, clock: SimClock, share: float) -> None:
        disk = SimDisk()
        super().__init__(make_vault(disk, name), Plan(0))
        self.network = Network(direct(ServedVault(f"/{name}", disk)), clock, network_seed, share)

    def open(self) -> Vault:  # type: ignore[override]
        return RemoteVault(self.inner.name, f"/{self.inner.name}", self.network.connect, INSTALLATION)


class NetworkStorm(Storm):
    """Whole vaults over a bad network: far always, near by the seed, so that law 1 is put to the test as well."""

    def _place(self, name: str, share: float, faults: Mapping[Fault, float]) -> Place:
        if name == "far" or self.seed % 2:
            return LinkedPlace(name, f"{name} {self.seed}", self.clock, share)
        return super()._place(name, 0.0, faults)

    @property
    def networks(self) -> list[Network]:
        return [place.network for place in self.places if isinstance(place, LinkedPlace)]

    def calm(self) -> None:
        super().calm()
        for network in self.networks:
            network.settle()


class ServerPlace(Place):
    """A vault at a real vault server, in threads of this process, over a network that misbehaves."""

    def __init__(self, server: HttpServer, name: str, network_seed: str, clock: SimClock, share: float) -> None:
        guest = server.invite(name)
        folder = FolderVault(name, str(server.folder(guest)), RealDisk(), INSTALLATION)
        super().__init__(folder, Plan(0))
        self._access = server.access(guest)
        self.network = Network(lambda: HttpLink(lambda: self._access), clock, network_seed, share)
        self._opened: list[Vault] = []

    def open(self) -> Vault:  # type: ignore[override]
        self._opened.append(HttpVault(self.inner.name, self._access.url, self.network.connect, INSTALLATION))
        return self._opened[-1]

    def close(self) -> None:
        for vault in self._opened:
            vault.close()


class ServerStorm(NetworkStorm):
    """As NetworkStorm, at a vault server."""

    def __init__(self, seed: int, server: HttpServer, share: float) -> None:
        self._server = server
        super().__init__(seed, share=share)

    def _place(self, name: str, share: float, faults: Mapping[Fault, float]) -> Place:
        if name == "far" or self.seed % 2:
            return ServerPlace(self._server, name, f"{name} {self.seed}", self.clock, share)
        return Storm._place(self, name, 0.0, faults)

    @property
    def networks(self) -> list[Network]:
        return [place.network for place in self.places if isinstance(place, ServerPlace)]

    def close(self) -> None:
        for place in self.places:
            if isinstance(place, ServerPlace):
                place.close()
