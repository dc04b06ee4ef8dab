"""The numbered invariants (docs/invariants.md) that can be asserted at any quiet moment of a course.

Quiet: nothing runs, no fault is ordered, and the writer writes; where it has stopped, or a recovery is under way, less
can be said, and less is asked. What is asked of the core costs what was written since the last look; what is asked of
the vaults, and of what would be left of them if the power went now, costs all that they hold, and is asked seldom.

    after each action   I7 the journal chains, and what lives is what it says; I9 groups are of one frame; I15 the
                        point that a token would name is on its stream; I18 nothing in a vault was overwritten,
                        shortened or removed; I14 a stream that lacks revs is held; I28 who was erased is not there;
                        I60 no write waits for a stream that is open; I62 who lost much of a collection is told
    now and then        I1 what is committed is durable in the sync vault; I2, I3 core and log say the same, and the log
                        has nothing that the core has not taken in; I19 what the async vault has is of the same log;
                        I20 seals state what the log holds; I31 status reports no less than the async vault lacks
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safehold.disaster.house import House
from safehold.formats.intake import PREFIX as INTAKE_PREFIX
from safehold.formats.intake import read_waiting
from safehold.lab.oracle import Wrong
from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op
from safehold.model.items import Account
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.model.paths import kinds_under
from safehold.model.stream import EMPTY_HEAD, BrokenChain, ChainError, Head, check_next
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import LogFrame
from safehold.recovery.reconcile import reconcile
from safehold.recovery.replay import erased_id
from safehold.service.brakes import DEVICE, BrakeLimits
from safehold.service.notices import MASS_DELETE, notices_of
from safehold.vault.folder import FolderVault
from safehold.vault.log import NotOnTheLog, VaultLogReader

Stream = tuple[bytes, Kind]  # by the account's id
_VAULTS = ("near", "far")


class Inspector:
    """Looks again and again at one installation, and remembers what it saw since the last start."""

    def __init__(self) -> None:
        self.looks = self.thorough_looks = 0
        self._house: House | None = None
        self._journal = Journal()
        self._objects: dict[str, dict[str, bytes]] = {}

    def look(self, house: House, *, thorough: bool) -> None:
        """Raises Wrong."""
        if house is not self._house:  # it went down, and what it lies on may have changed
            self._house, self._journal, self._objects = house, Journal(), {}
        self._check_objects(house.disk)
        if not house.readable or house.engine.stopped is not None:
            return
        self.looks += 1
        self._journal.read(house)
        self._journal.check(house)
        _check_intakes(house)
        if thorough:
            self.thorough_looks += 1
            _check_vaults(house)

    def _check_objects(self, disk: SimDisk) -> None:
        """I18."""
        for vault in _VAULTS:
            now = {name: data for name, data in disk.contents(f"/{vault}").items() if not name.startswith("tmp/")}
            for name, before in self._objects.get(vault, {}).items():
                if name not in now:
                    raise Wrong(f"{vault}: {name} was removed", "I18")
                if not now[name].startswith(before):
                    raise Wrong(f"{vault}: {name} was overwritten or cut", "I18")
            self._objects[vault] = now


class _Living(NamedTuple):
    digest: bytes
    size: int


class Journal:
    """What a core must hold, told from its journal alone, read on from where the last look ended."""

    def __init__(self) -> None:
        self._after = 0
        self._heads: dict[Stream, Head] = {}
        self._items: dict[Stream, dict[bytes, dict[str, _Living]]] = {}
        self._frames: dict[tuple[bytes, Kind, int], int] = {}
        self._erased: set[bytes] = set()
        self._unsure: set[Stream] = set()  # of which something is missing, and somebody took the loss
        self._broken: dict[Stream, str] = {}  # of which something is missing
        self._deletes: dict[tuple[bytes, bytes], list[int]] = {}  # by devices, of one collection: when (µs)
        self._gone_much: dict[tuple[bytes, bytes], int] = {}  # collections of which a great share went, and how many

    def read(self, house: House) -> None:
        """I7, I9: what came since."""
        while found := house.reads.changes(after_journal=self._after, limit=500):
            for number, frame, change in found:
                self._after = number
                self._take(frame, change, house.brakes)

    def _take(self, frame: int, change: Change, brakes: BrakeLimits) -> None:
        stream = (change.account, change.kind)
        if change.op is Op.GAP:
            self._unsure.add(stream)
        if stream in self._unsure or stream in self._broken:
            return
        try:
            self._heads[stream] = check_next(self._heads.get(stream, EMPTY_HEAD), change)
        except BrokenChain as error:
            self._broken[stream] = str(error)
            return
        except ChainError as error:
            raise Wrong(f"the journal holds a change that is not what it says: {error}", "I7") from error
        if self._frames.setdefault((*stream, change.group), frame) != frame:
            raise Wrong(f"{change.kind}: rev {change.rev} is not of the frame of its group", "I9")
        gone = erased_id(change)
        if gone is not None:
            self._erased.add(gone)
        if change.kind in DATA_KINDS:
            there = self._items.setdefault(stream, {})
            self._live(there, change)
            if change.op is Op.DELETE and change.group == change.rev and change.actor.startswith(DEVICE):
                self._count(change, len(there[change.collection]), brakes)

    def _count(self, change: Change, live: int, brakes: BrakeLimits) -> None:
        key = (change.account, change.collection)
        lately = self._deletes.setdefault(key, [])
        lately.append(change.at)
        gone = sum(at > change.at - brakes.window for at in lately)
        if brakes.is_mass(gone, gone + live):
            self._gone_much[key] = gone

    def _live(self, there: dict[bytes, dict[str, _Living]], change: Change) -> None:
        match change.op:
            case Op.MKCOL:
                there[change.collection] = {}
            case Op.RMCOL:
                there.pop(change.collection, None)
            case Op.PUT:
                there[change.collection][change.name] = _Living(change.digest, change.size)
            case Op.DELETE:
                there[change.collection].pop(change.name, None)

    def check(self, house: House) -> None:
        """I7, I15, I28: what the tables say now."""
        reads = house.reads
        for id_ in self._erased:
            if reads.account_by_id(id_) is not None:
                raise Wrong(f"account {id_.hex()} was erased, and is there", "I28")
        for account in reads.accounts():
            self._check_told(house, account)
            for kind in DATA_KINDS:
                if (account.id, kind) in self._broken and reads.held(account.number, kind) is None:
                    raise Wrong(f"{account.name}, {kind} is served: {self._broken[account.id, kind]}", "I14")
                if reads.held(account.number, kind) is None and (account.id, kind) not in self._unsure:
                    self._check_stream(house, account, kind)

    def _check_told(self, house: House, account: Account) -> None:
        """I62."""
        much = {id_: gone for (owner, id_), gone in self._gone_much.items() if owner == account.id}
        if not much:
            return
        told = {notice.collection for notice in notices_of(house.reads, account) if notice.what == MASS_DELETE}
        for collection in house.reads.collections(account.number):
            if collection.id in much and collection.path not in told:
                where = f"{account.name}/{collection.path}"
                raise Wrong(f"{much[collection.id]} items were deleted from {where}, and nobody is told", "I62")

    def _check_stream(self, house: House, account: Account, kind: Kind) -> None:
        reads, stream = house.reads, (account.id, kind)
        where = f"{account.name}, {kind}"
        head = reads.head(account.number, kind)
        if head != self._heads.get(stream, EMPTY_HEAD):
            raise Wrong(f"{where}: the head is rev {head.rev}, and not what the journal ends with", "I7")
        if head.rev and reads.hash_at(account.number, kind, head.rev) != head.hash:
            raise Wrong(f"{where}: its head is not on it", "I15")
        wanted = self._items.get(stream, {})
        collections = [each for each in reads.collections(account.number) if each.kind is kind]
        if {each.id for each in collections} != wanted.keys():
            raise Wrong(f"{where}: {len(collections)} collections live; the journal says {len(wanted)}", "I7")
        items = size = 0
        for each in collections:
            there = {item.name: _Living(item.digest, item.size) for item in reads.items(each)}
            if there != wanted[each.id]:
                raise Wrong(f"{account.name}/{each.path}: what lives is not what the journal says", "I7")
            items += len(there)
            size += sum(living.size for living in there.values())
        figures = reads.figures(account.number, kind)
        if (figures.items, figures.bytes) != (items, size):
            raise Wrong(
                f"{where}: {figures.items} items and {figures.bytes} bytes are counted; {items} with {size} live", "I7"
            )


def _check_intakes(house: House) -> None:
    """I60."""
    if house.recovering:
        return
    reads = house.reads
    for account in reads.accounts():
        for item in reads.secret_items(account.number, INTAKE_PREFIX) if account.number else ():
            waiting = read_waiting(reads.props(item))
            if all(reads.held(account.number, kind) is None for kind in kinds_under(waiting.path)):
                raise Wrong(f"{account.name}: {waiting.path}/{waiting.name} waits for a stream that is open", "I60")


def _check_vaults(house: House) -> None:
    opener, disk = house.keyring.opener, house.disk
    near, far = (FolderVault(name, f"/{name}", disk) for name in _VAULTS)
    position = house.reads.log_position()
    for difference in reconcile(house.reads, near, opener).differences:
        raise Wrong(f"core and sync vault differ: {difference}", "I2")
    reader = VaultLogReader([near], opener)
    for entry in reader.entries(position):
        if isinstance(entry, LogFrame) and entry.changes:
            raise Wrong(f"frame {entry.position.frame} of the sync vault was never taken in", "I3")
    for problem in _seals_that_lie(reader):
        raise Wrong(problem, "I20")
    survivor = disk.survivor()
    _check_durable(house, VaultLogReader([FolderVault("near", "/near", survivor)], opener).end())
    if far.available():
        lasting = VaultLogReader([FolderVault("far", "/far", survivor)], opener).end()
        _check_far(house, reader, lasting)


def _seals_that_lie(reader: VaultLogReader) -> Iterator[str]:
    for _ in reader.entries():
        pass
    for problem in reader.problems():
        if ": the seal in frame " in problem:
            yield problem


def _check_durable(house: House, end: LogPosition) -> None:
    """I1."""
    lacks = house.reads.unarchived(end.frame)[0]
    if lacks:
        raise Wrong(f"{lacks} acknowledged changes are not durable in the sync vault", "I1")


def _check_far(house: House, near: VaultLogReader, end: LogPosition) -> None:
    """I19, I31."""
    shipper = house.writer.shippers[0]
    if shipper.differences():  # of those status tells, and the vault has to be made anew
        return
    try:
        near.check(end)
    except NotOnTheLog as error:
        raise Wrong(f"the async vault has frames of another log: {error.message}", "I19") from error
    # Counted in the log: a core that was recovered from a generation has all changes up to it in its frame.
    beyond = near.entries(end) if end != EMPTY_LOG else near.entries()
    lacks = sum(len(entry.changes) for entry in beyond if isinstance(entry, LogFrame))
    if shipper.unarchived_changes < lacks:
        raise Wrong(f"the async vault lacks {lacks} changes; status says {shipper.unarchived_changes}", "I31")
