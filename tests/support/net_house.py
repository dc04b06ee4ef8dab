"""A whole installation, one vault of which is served elsewhere, over a network that misbehaves; and an hour of its use.

The served vault lies on a disk of its own, which outlives whatever happens to the house. What clients were told is kept
beside: a write that was answered 2xx must be there for good, of one that was answered 5xx nobody knows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from safehold.assembly.looking_vault import held
from safehold.assembly.mode_record import recorded_modes
from safehold.config import VaultConfig
from safehold.disaster.house import CORE_FOLDER, CORE_PATH, House
from safehold.formats.segment import parse_name
from safehold.lab.faulty_link import Network
from safehold.lab.simdisk import SimDisk
from safehold.lab.wire import Answer
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.log import LogFrame
from safehold.ports.vault import Vault
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.remote import RemoteVault
from safehold.vault.segments import load_copy
from safehold.vault.served import ServedVault
from tests.support.links import direct

HOUR = 3600.0
AT_SERVER = {"sync": "near", "async": "far"}


class NetHouse(House):
    """`network` leads to the vault that is served from `/kept` of the server's disk."""

    network: Network
    kept: SimDisk
    at_server: str

    @classmethod
    def over(cls, seed: int, mode: str, share: float) -> NetHouse:
        """A new installation whose sync (or async) vault is at the server."""
        clock = SimClock()
        house = cls(SimDisk(), clock, seed)
        house.load_keys()
        house.kept, house.at_server = SimDisk(), AT_SERVER[mode]
        FolderVault.create("kept", "/kept", house.kept, house.keyring.installation).close()
        served = ServedVault("/kept", house.kept, house.keyring.installation, reserve_bytes=0, to_guests=True)
        house.network = Network(direct(served), clock, seed, share)
        house.network.settle()  # until the installation is made
        for vault in house.vaults:
            if vault.name != house.at_server:
                FolderVault.create(vault.name, house.folder(vault), house.disk, house.keyring.installation).close()
        for folder in (CORE_FOLDER, "/blobs", "/scratch"):
            house.disk.make_folders(folder)
        SqliteCore.open(CORE_PATH, disk=house.disk, create=True).close()
        house.boot()
        house.engine.execute(house.new_account("ann"))
        return house

    def vault(self, config: VaultConfig) -> FolderVault:
        if config.name != self.at_server:
            return super().vault(config)
        return RemoteVault(config.name, "/kept", self.network.connect, self.keyring.installation)  # type: ignore[return-value]

    def beneath(self, name: str) -> FolderVault:
        """A vault as it lies on its disk, whatever the network does."""
        if name == self.at_server:
            return FolderVault(name, "/kept", self.kept, self.keyring.installation)
        return FolderVault(name, f"/{name}", self.disk, self.keyring.installation)

    def _on(self, disk: SimDisk) -> Self:
        after = super()._on(disk)
        after.network, after.kept, after.at_server = self.network, self.kept, self.at_server
        return after


class _Frame(NamedTuple):
    changes: int
    at: int  # µs
    end: int  # in its segment


class Hour:
    """Clients write, the housekeeping runs, shippers ship, the house is killed or loses its power, by the seed.

    Status is held against what lies on both disks after every act.
    """

    def __init__(self, seed: int, mode: str, share: float) -> None:
        self.seed, self.mode = seed, mode
        self.rng = random.Random(f"hour {mode} {seed}")
        self.house = NetHouse.over(seed, mode, share)
        self.acknowledged: dict[str, bytes] = {}
        self.removed: set[str] = set()
        self.unknown: set[str] = set()  # deletes that were answered 5xx
        self.refused = self.count = self.checked = self.behind = self.starts = 0
        self.up = True
        self._frames: dict[tuple[str, str, int], dict[int, _Frame]] = {}

    def run(self, seconds: float = HOUR) -> None:
        clock, network = self.house.sim_clock, self.house.network
        network.set(network.state(), 0.0)  # from here on as it draws
        until = clock.monotonic() + seconds
        while clock.monotonic() < until:
            self.act()
            self.check_status()
            clock.advance(self.rng.choice((0.0, 0.2, 1.0, 6.0, 15.0)))
        self.settle()

    # -- acts

    def act(self) -> None:
        if not self.up:
            self.start()
            return
        acts = {self.put: 10, self.delete: 2, self.photo: 0.5, self.tick: 3, self.ship: 8, self.kill: 0.15}
        self.rng.choices(list(acts), list(acts.values()))[0]()

    def put(self) -> None:
        self.count += 1
        name = f"/dav/ann/contacts/default/c{self.count}.vcf"
        text = self.rng.randbytes(self.rng.choice((10, 400))).hex()
        body = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c{self.count}\r\nFN:{text}\r\nN:;;;;\r\nEND:VCARD\r\n".encode()
        self._put(name, body, "text/vcard")

    def photo(self) -> None:
        """A large body: it goes to the vaults beside the log."""
        self.count += 1
        self._put(f"/dav/ann/files/photos/p{self.count}.jpg", self.rng.randbytes(90_000), "image/jpeg")

    def _put(self, name: str, body: bytes, media: str) -> None:
        answer = self._ask("PUT", name, body, {"content-type": media})
        if answer.status == 201:
            self.acknowledged[name] = body
            self._assert_written()

    def delete(self) -> None:
        there = [name for name in self.acknowledged if name not in self.unknown]
        if not there:
            return
        name = self.rng.choice(there)
        answer = self._ask("DELETE", name)
        if answer.status == 204:
            del self.acknowledged[name]
            self.removed.add(name)
            self._assert_written()
        else:
            self.unknown.add(name)

    def _ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        answer = self.house.request(method, path, body, headers)
        if self.mode == "async":  # nobody waits for the server's vault
            assert answer.status in (201, 204), (self.seed, method, path, answer.status, answer.body[:200])
        else:
            assert answer.status in (201, 204, 503), (self.seed, method, path, answer.status, answer.body[:200])
        self.refused += answer.status == 503
        return answer

    def _assert_written(self) -> None:
        """Law 1: what was just acknowledged is in every sync vault."""
        position = self.house.engine.log.position
        for vault in self.house.sync_names():
            assert not held(self.house.beneath(vault), position), (self.seed, vault, position)

    def tick(self) -> None:
        self.house.tick()

    def ship(self) -> None:
        for _ in range(self.rng.randint(1, 30)):
            if not self.house.scheduler.run_one():
                return

    def kill(self) -> None:
        power = self.rng.random() < 0.5
        self.house = self.house.crash(self.rng.randrange(1 << 30)) if power else self.house.kill()
        self.up = False
        self.start()

    def start(self) -> None:
        """Where its sync vault cannot be reached it does not serve: nobody is told anything."""
        try:
            self.house.boot()
        except OperatorError:
            assert self.mode == "sync", self.seed
            self.house = self.house.kill()
            return
        self.up = True
        self.starts += 1

    # -- what must hold

    def check_status(self) -> None:
        """Never less than is missing, nor younger; the mode that is on record is the one that is kept."""
        if not self.up:
            return
        house = self.house
        if house.readable:
            assert isinstance(house.reads, SqliteCore)
            modes = recorded_modes(house.reads)
            assert {name: noted.mode for name, noted in modes.items()} == {v.name: v.mode for v in house.vaults}, (
                self.seed
            )
        (shipper,) = house.writer.shippers
        if house.engine.stopped is not None:
            return  # that is what status says
        missing, now = self._missing(), house.sim_clock.now()
        try:
            said, lag, level = shipper.unarchived_changes, shipper.lag_seconds, shipper.caught_up
        except SafeholdError:  # a vault refused the look: that is said instead
            return
        self.checked += 1
        self.behind += bool(missing)
        assert said >= sum(frame.changes for frame in missing), (self.seed, said, missing)
        assert lag >= max((now - frame.at for frame in missing), default=0) / 1_000_000 - 0.001, (self.seed, lag)
        assert not (level and missing), (self.seed, missing)

    def _missing(self) -> list[_Frame]:
        """Frames of the core that are in the sync vault and not in the other."""
        near, far = self.frames("near"), self.frames("far")
        position = self.house.engine.log.position.frame
        return [frame for number, frame in near.items() if number <= position and frame.changes and number not in far]

    def frames(self, name: str) -> dict[int, _Frame]:
        found: dict[int, _Frame] = {}
        vault = self.house.beneath(name)
        for info in vault.list("log/"):
            key = (name, info.name, info.size)
            if key not in self._frames:
                parsed = parse_name(info.name)
                assert parsed is not None
                copy = load_copy(vault, parsed)
                self._frames[key] = {
                    number: _Frame(frame.header.changes, frame.header.at, frame.offset + len(frame.data))
                    for number, frame in copy.frames.items()
                }
            found.update(self._frames[key])
        return found

    def settle(self) -> None:
        """The network is whole again: writing goes on, the backlog is caught up, and all is where it was said to be."""
        self.house.network.settle()
        if not self.up:
            self.start()
        assert self.up, self.seed
        for _ in range(10):
            self.house.sim_clock.advance(61.0)
            if self.house.tick():
                break
        assert self.house.engine.stopped is None, (self.seed, self.house.engine.stopped)
        before = len(self.acknowledged)
        self.put()
        assert len(self.acknowledged) == before + 1, self.seed
        for _ in range(200):
            self.house.scheduler.run_for(5.0)
            (shipper,) = self.house.writer.shippers
            if shipper.level and not shipper.unarchived_changes:
                break
        assert (shipper.unarchived_changes, shipper.lag_seconds, shipper.trouble) == (0, 0.0, None), self.seed
        self.check_status()
        self._assert_served()
        core = {change.hash for change in self._changes_of_core()}
        for vault in ("near", "far"):
            found = {change.hash for change in self._changes_in(self.house.beneath(vault))}
            assert core <= found, (self.seed, vault, len(core - found))
        self.house.close()

    def _assert_served(self) -> None:
        for name, body in self.acknowledged.items():
            answer = self.house.request("GET", name)
            assert (answer.status == 200 and answer.body == body) or name in self.unknown, (self.seed, name)
        for name in self.removed:
            assert self.house.request("GET", name).status == 404, (self.seed, name)

    def _changes_of_core(self) -> Sequence[Change]:
        return [change for _, _, change in self.house.reads.changes(limit=100_000)]

    def _changes_in(self, vault: Vault) -> Iterator[Change]:
        for entry in VaultLogReader([vault], self.house.keyring.opener).entries():
            assert isinstance(entry, LogFrame), (self.seed, vault.name, entry)
            yield from entry.changes
