"""A house that lives through months: its people change things, generations are made, its keeper works every day.

Generations are made by the writer of tests/support/runs.py from what the log says, so that nothing here shares code
with what it checks. Everything that was ever acknowledged is remembered, with the day.
"""

from __future__ import annotations

import random

from safehold.disaster.house import VAULTS, House
from safehold.formats.generation import Manifest
from safehold.lab.sealing import LabSealer
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change
from safehold.model.commands import EraseAccount
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.root import EMPTY_ROOT, RootCollection, RootItem, state_root
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame
from safehold.recovery.keeper import VaultKeeper, keeper_words
from safehold.recovery.replay import erased_id
from safehold.recovery.retention import Plan, Policy
from safehold.recovery.states import LiveState
from safehold.vault.evidence import read_evidence
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.log import VaultLogReader
from safehold.vault.receipts import allowed_drop
from safehold.vault.runs import Runs
from tests.support.runs import Framed, Generations

DAY_SECONDS = 86_400
NAMES = tuple(vault.name for vault in VAULTS)


def card(uid: str, text: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\nFN:{text}\r\nEND:VCARD\r\n".encode()


class Months:
    """`house` may be another one after a crash; everything else is remembered here."""

    def __init__(self, seed: int, policy: Policy, accounts: tuple[str, ...] = ("ann", "eve")) -> None:
        self.house = House.new(seed, accounts)
        self.policy = policy
        self.random = random.Random(seed)
        self.accounts = list(accounts)
        self.day = 0
        self.framed: list[Framed] = []
        self.day_of: dict[tuple[bytes, Kind, int], int] = {}
        self.erased: dict[bytes, int] = {}  # id -> frame of the erasure
        self.position = EMPTY_LOG
        self.manifest: Manifest | None = None
        self.sealed_runs: dict[int, int] = {}
        self.photos = 0
        self.frozen = ""
        self.keeper_skew = 0.0  # seconds that the keeper's clock is off the house's
        self.elsewhere: SimDisk | None = None  # where the keeper finds the vaults, if not on the house's disk

    # -- a day -----------------------------------------------------------------------------------------------

    def load(self, requests: int) -> None:
        """Random changes of random people."""
        for _ in range(requests):
            user = self.random.choice(self.accounts)
            number = self.random.randrange(12)
            path = f"/dav/{user}/contacts/default/{number}.vcf"
            what = self.random.random()
            if what < 0.65:
                body = card(f"{user}-{number}", f"{user} {self.day} {self.random.random()}")
                self.house.request("PUT", path, body, {"content-type": "text/vcard"}, user=user)
            elif what < 0.8:
                self.house.request("DELETE", path, user=user)
            else:
                self.photo(user, f"{self.random.randrange(3)}.jpg", f"{user} saw {self.day} {self.random.random()} ")

    def photo(self, user: str, name: str, text: str) -> None:
        body = (text.encode() * 4000)[: 70_000 + self.random.randrange(1000)]
        self.house.request("PUT", f"/dav/{user}/files/photos/{name}", body, user=user)

    def erase(self, user: str) -> bytes:
        account = self.house.account(user)
        self.house.engine.execute(EraseAccount(account=account.id))
        self.accounts.remove(user)
        return account.id

    def pass_day(self, requests: int = 6) -> None:
        self.load(requests)
        self.settle()
        self.house.sim_clock.advance(DAY_SECONDS)
        self.day += 1
        self.house.tick()

    def restart(self, *, power: int | None = None) -> None:
        """The process ends in an orderly way and starts again; or the power goes, with what that leaves drawn."""
        if power is None:
            self.house.close()
            self.house = self.house.kill()
        else:
            self.house = self.house.crash(power)
        self.house.boot()
        self.settle()

    def settle(self) -> None:
        """Seal, ship, and remember what the log has now."""
        self.house.sim_clock.advance(20)
        self.house.tick()
        self.house.scheduler.run_for(1)
        reader = VaultLogReader([self.house.vault(VAULTS[0])], self.house.keyring.opener)
        for entry in reader.entries(self.position):
            assert isinstance(entry, LogFrame), f"the log has a hole: {entry}"
            self.position = entry.position
            for change in entry.changes:
                self.framed.append((entry.position.frame, change))
                self.day_of[change.account, change.kind, change.rev] = self.day
                gone = erased_id(change)
                if gone is not None:
                    self.erased[gone] = entry.position.frame

    # -- generations -----------------------------------------------------------------------------------------

    def snapshot(self, *, full: bool = False) -> None:
        """A generation of all the log so far, in both vaults: full ones each week, deltas between."""
        if self.manifest is not None and self.manifest.upto[1] == self.position.frame:
            return
        vaults = [self.house.vault(vault) for vault in VAULTS]
        builder = Generations(vaults, self.house.keyring.sealer, index_changes=64, bodies=4000)
        known = [(f, c) for f, c in self.framed if c.account not in self.erased]
        last = self.manifest
        anew = last is None or full or self.day % 7 == 1 or any(f > last.upto[1] for f in self.erased.values())
        if anew or last is None:
            self.manifest = builder.make(known, self.position, parts=1, dropped_upto=self.allowed_drop())
        else:
            self.manifest = builder.make(
                known,
                self.position,
                parts=1,
                since=(last.upto[1],),
                older=last.runs,
                dropped_upto=last.dropped_upto,
            )

    def allowed_drop(self) -> int:
        vaults = [self.house.vault(vault) for vault in VAULTS]
        keyring = self.house.keyring
        return allowed_drop(keeper_words(read_evidence(vaults, keyring.installation, keyring.opener)), NAMES)

    # -- the keeper ------------------------------------------------------------------------------------------

    def kept(self, name: str) -> KeptFolderVault:
        config = next(vault for vault in VAULTS if vault.name == name)
        installation = self.house.keyring.installation
        return KeptFolderVault(
            name, House.folder(config), self.elsewhere or self.house.disk, installation, clock=self.keeper_clock()
        )

    def copied(self, name: str) -> SimDisk:
        """A disk of its own that holds a copy of one vault, all of it synced."""
        disk = SimDisk()
        config = next(vault for vault in VAULTS if vault.name == name)
        self._copy(disk, House.folder(config))
        disk.make_folders("/far/tmp")
        return disk

    def _copy(self, disk: SimDisk, folder: str) -> None:
        disk.make_folders(folder)
        for entry in self.house.disk.list(folder):
            path = f"{folder}/{entry.name}"
            if entry.is_folder:
                self._copy(disk, path)
                continue
            source, file = self.house.disk.open(path), disk.open(path, write=True, create=True)
            file.write_at(0, source.read_at(0, source.size()))
            file.sync()
            source.close()
            file.close()
        disk.sync_folder(folder)

    def keeper_clock(self) -> Skewed:
        return Skewed(self)

    def keeper(self, name: str) -> VaultKeeper:
        keyring = self.house.keyring
        assert keyring.keeper is not None
        others = [self.kept(other) for other in NAMES if other != name]
        return VaultKeeper(
            self.kept(name),
            others,
            LabSealer(keyring.keeper),
            keyring.opener,
            self.keeper_clock(),
            self.policy,
            frozen=lambda: self.frozen,
        )

    def keep(self) -> dict[str, Plan]:
        """What the keeper does in a day; every generation that was made is attested."""
        plans = {}
        for name in NAMES:
            for verdict in self.keeper(name).attest():
                assert verdict.facts.ok, verdict.facts.why
            plans[name] = self.keeper(name).retain(self.kept(name))
        return plans

    # -- what must hold --------------------------------------------------------------------------------------

    def check(self, name: str, *, slack_days: int = 0) -> None:
        """From this vault alone comes all that lives, and all history that is not older than the retention."""
        streams = self.read(name)
        house = self.house
        for account in house.reads.accounts():
            assert account.id not in self.erased
            for kind in RESTORE_ORDER:
                state = LiveState()
                for change in streams.get((account.id, kind), {}).values():
                    state.apply(change)
                assert state.root() == self.root_of(account.number, kind), f"{name}: {account.name}'s {kind}"
        young = self.day - self.policy.history_days + slack_days
        for _, change in self.framed:
            key = change.account, change.kind
            if change.account not in self.erased and self.day_of[(*key, change.rev)] > young:
                found = streams.get(key, {}).get(change.rev)
                assert found is not None, f"{name}: rev {change.rev} of {change.kind} is gone on day {self.day}"
                assert found.hash == change.hash
        for key in streams:
            assert key[0] not in self.erased, f"{name}: an erased account comes back"

    def read(self, name: str) -> dict[tuple[bytes, Kind], dict[int, Change]]:
        """Every stream by rev, from the newest attested generation of a vault and its log after that; all verified."""
        vault = self.kept(name)
        opener = self.house.keyring.opener
        runs = Runs([vault], opener)
        receipts = self.keeper(name).receipts()
        attested = [g for g in runs.generations() if receipts.is_attested(g.number, g.digest)]
        assert len(attested) >= min(2, len(receipts.attested)), "fewer than two attested generations"
        streams: dict[tuple[bytes, Kind], dict[int, Change]] = {}
        since = EMPTY_LOG
        if attested:
            since = attested[0].position
            for entry, changes in runs.reader(attested[0]).changes():
                streams[entry.key] = {change.rev: change for change in changes}
        assert not runs.problems(), runs.problems()
        for entry in VaultLogReader([vault], opener).entries(LogPosition(*since)):
            assert isinstance(entry, LogFrame), f"{name}: the log has a hole: {entry}"
            for change in entry.changes:
                streams.setdefault((change.account, change.kind), {})[change.rev] = change
        for key in [key for key in streams if key[0] in self.erased]:
            if since.frame < self.erased[key[0]]:
                del streams[key]  # its erasure is in the log after the generation
        for key, changes in streams.items():
            revs = [rev for rev in changes if changes[rev].account == key[0]]
            for rev in revs:
                if rev - 1 in changes:
                    assert changes[rev].prev == changes[rev - 1].hash, "the chain is broken"
        return streams

    def root_of(self, account: int, kind: Kind) -> bytes:
        """The state root of what the core has."""
        reads = self.house.reads
        found = []
        for collection in sorted(reads.collections(account), key=lambda c: c.id):
            if collection.kind is not kind:
                continue
            items = sorted(
                RootItem(item.name.encode(), item.digest, _digest_of(reads.props(item)))
                for item in reads.items(collection)
            )
            found.append(RootCollection(collection.id, collection.path.encode(), _digest_of(collection.props), items))
        return state_root(found) if found else EMPTY_ROOT


def _digest_of(props: object) -> bytes:
    from safehold.model.change import canonical_props, props_digest

    if not props:
        return b""
    return props_digest(canonical_props(dict(props)))  # type: ignore[call-overload]


class Skewed:
    """The keeper's clock."""

    def __init__(self, months: Months) -> None:
        self._months = months

    def now(self) -> int:
        return self._months.house.clock.now() + round(self._months.keeper_skew * 1_000_000)

    def monotonic(self) -> float:
        return self._months.house.clock.monotonic()
