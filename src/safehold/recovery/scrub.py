"""Scrub: read a vault whole, authenticate and digest every byte, and say what is wrong with it. It only reports.

list     the log is read, since it says what should be there; of other objects names and sizes are looked at
scrub    everything is read
replay   besides, all changes are opened and chained to the sealed heads; needs the identity

`Scrubber.read` makes the inventory of one vault, at a pace, and resumes where it was broken off; `judging.Judge`
says what is wrong with it, given the others and the core. A vault is read in this order: mark, log, evidence,
manifests, run objects, blobs, and whatever else is there; within each by name.

Long, as reading, looking at a peer and replaying share the reader and what it learns on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec

from safehold.formats import blob, mark, segment
from safehold.formats.evidence import EVIDENCE_PREFIX, parse_evidence_name
from safehold.formats.frame import RawFrame
from safehold.formats.generation import parse_manifest_name
from safehold.formats.keys import SEALED_TO_OTHERS, Opener
from safehold.formats.parity import check_parity, parse_parity_name
from safehold.formats.payload import Unpacker
from safehold.formats.run import RUNS_PREFIX, parse_run_name
from safehold.formats.segment import SegmentHeader, SegmentName
from safehold.model.change import Change
from safehold.model.errors import Damaged
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import Vault, VaultDown
from safehold.ports.world import Clock
from safehold.recovery.chains import Chains, Step
from safehold.recovery.judging import (
    Damage,
    Excuses,
    Inventory,
    Judge,
    Problem,
    Remembered,
    Standing,
)
from safehold.recovery.reconcile import Reconciled
from safehold.recovery.report import Progress, silent
from safehold.recovery.under_way import UnderWay
from safehold.vault import recoveries
from safehold.vault.log import VaultLogReader
from safehold.vault.objects import Keys, Read, SegmentSeen, check_blob, check_framed, is_signed, read_segment
from safehold.vault.runs import Runs

#: What is being put, and what was set aside: never looked at.
IGNORED = ("tmp/", "aside/")
_CHUNK_BYTES = 1024 * 1024
#: Work is noted at least so often: what a kill costs is read again.
NOTED_BYTES = 64 * 1024 * 1024
#: Of what nothing else states, and need not be found again.
_UNSTATED = Remembered(0, b"")


class Level(StrEnum):
    LIST = "list"
    SCRUB = "scrub"
    REPLAY = "replay"


class Pace:
    """Counts bytes, and waits so that they are no more than so many a second. 0: as fast as it goes."""

    def __init__(self, clock: Clock, wait: Callable[[float], None], bytes_per_second: int = 0) -> None:
        self._clock = clock
        self._wait = wait
        self._rate = bytes_per_second
        self._began = clock.monotonic()
        self.taken = 0
        #: What is being put meanwhile.
        self.under_way = UnderWay(clock, wait)

    def took(self, count: int) -> None:
        self.taken += count
        if not self._rate:
            return
        ahead = self.taken / self._rate - (self._clock.monotonic() - self._began)
        if ahead > 0:
            self._wait(ahead)


class Unfinished(msgspec.Struct):
    """A reading that was broken off: all up to `after` has been read."""

    level: Level
    began_at: int  # µs
    after: tuple[int, str]
    inventory: Inventory


class Notebook(Protocol):
    """Where a scrub keeps what it has to know again: it may lose it, at the price of reading again."""

    def unfinished(self) -> Unfinished | None: ...

    def note(self, unfinished: Unfinished) -> None: ...

    def remembered(self) -> Mapping[str, Remembered]: ...

    def finish(self, remembered: Mapping[str, Remembered]) -> None:
        """The reading has come to its end: forget it, and remember this."""
        ...


class ScrubResult(NamedTuple):
    """`objects` and `bytes` were looked at; `end` is where the log ends in this vault."""

    vault: str
    objects: int
    bytes: int
    damaged: list[Damage]
    end: LogPosition = EMPTY_LOG
    inventory: Inventory | None = None
    trouble: str = ""  # why it could not be read to its end; "" where it could
    reconciled: Reconciled | None = None
    #: Objects whose bytes hold, of which what they say is sealed to a key that was not given: not checked any further.
    unopened: Sequence[str] = ()
    #: Evidence, of any vault, that names one of its signer before it which is in none.
    links: Sequence[str] = ()
    #: In a bucket that keeps versions: keys over which something was put or deleted, and since when (seconds since
    #: 1970, by the store's clock). The first version counts, so that nothing is lost by it.
    shadowed: Mapping[str, int] = {}

    @property
    def differs(self) -> bool:
        return self.reconciled is not None and bool(self.reconciled.differences)

    @property
    def ok(self) -> bool:
        return not self.damaged and not self.trouble and not self.differs and not self.links


class Scrubber:
    """Reads one vault. `opener` may be None: then what seals and manifests state stays unknown."""

    def __init__(
        self,
        vault: Vault,
        installation: bytes,
        opener: Opener | None,
        pace: Pace,
        *,
        level: Level = Level.SCRUB,
        texts: Mapping[str, Sequence[bytes]] | None = None,
        progress: Progress = silent,
    ) -> None:
        self.vault = vault
        self._keys = Keys(installation, Unpacker(opener) if opener is not None else None)
        self._pace = pace
        self._level = level
        #: The readable objects of a vault, of each the versions that count.
        known = {mark.NAME: (mark.encode_mark(installation),), mark.READER: (mark.reader(),)}
        self.texts = texts if texts is not None else known
        self._progress = progress

    def read(self, notebook: Notebook | None = None, now: int = 0) -> Inventory:
        """The inventory; goes on with one that was broken off at the same level. Raises VaultDown."""
        listing = list_objects(self.vault)
        before = notebook.unfinished() if notebook is not None else None
        inventory, after = Inventory(self.vault.name), (-1, "")
        if before is not None and before.level is self._level:
            inventory, after, now = before.inventory, before.after, before.began_at
        self._follow_listing(inventory, listing)
        total = sum(listing.values())
        for headed in sorted(n for n in listing if segment.parse_name(n) is not None):
            self._learn_writer(headed)
        noted = inventory.bytes
        for rank, name in sorted((_rank(name), name) for name in listing):
            if (rank, name) <= after and self._known(inventory, name):
                continue
            self._read_object(inventory, name, listing[name])
            inventory.bytes += listing[name]
            self._progress(f"scrub {self.vault.name}", inventory.bytes, total, "bytes")
            if notebook is not None and inventory.bytes - noted >= NOTED_BYTES:
                notebook.note(Unfinished(self._level, now, (rank, name), inventory))
                noted = inventory.bytes
        return inventory

    def segment(self, name: str, size: int | None = None) -> SegmentSeen | None:
        """A segment, read now. Raises VaultDown."""
        parsed = segment.parse_name(name)
        if parsed is None:
            return None
        try:
            data = self.vault.get(name, 0, size)
        except KeyError:
            return None
        self._pace.took(len(data))
        self._learn(segment.parse_segment_header(data))
        return read_segment(parsed, data, self._keys)

    def segment_of(self, name: SegmentName, data: bytes) -> SegmentSeen:
        """What these bytes are under this name."""
        return read_segment(name, data, self._keys)

    def is_signed(self, frame: RawFrame, header: bytes) -> bool:
        """Whether whoever wrote a segment with this header signed a frame."""
        parsed = segment.parse_segment_header(header)
        return parsed is not None and self._keys.certified(parsed) and is_signed(frame, parsed.writer_public)

    def has_come(self, name: str) -> bool:
        """Whether evidence that was not listed is there now. Raises VaultDown."""
        return self._pace.under_way.has_come(self.vault, name)

    def look(self, name: str, size: int) -> Inventory:
        """An inventory of one object alone. Raises VaultDown."""
        inventory = Inventory(self.vault.name, {name: size})
        self._read_object(inventory, name, size)
        return inventory

    def _follow_listing(self, inventory: Inventory, listing: Mapping[str, int]) -> None:
        """What is no longer there, or has another size, was not read yet."""
        for name in [n for n, size in inventory.listing.items() if listing.get(n) != size]:
            inventory.bytes -= inventory.listing[name]
            inventory.segments.pop(name, None)
            inventory.bad.pop(name, None)
            inventory.sound.pop(name, None)
            inventory.stated.pop(name, None)
            inventory.placed.pop(name, None)
            if name in inventory.unopened:
                inventory.unopened.remove(name)
        inventory.listing = dict(listing)

    def _known(self, inventory: Inventory, name: str) -> bool:
        return name in inventory.segments or name in inventory.bad or name in inventory.sound

    def _learn_writer(self, name: str) -> None:
        """A segment whose own header is damaged may be signed by a writer known from another."""
        try:
            self._learn(segment.parse_segment_header(self.vault.get(name, 0, segment.HEADER_BYTES)))
        except KeyError:
            return

    def _learn(self, header: SegmentHeader | None) -> None:
        if header is not None:
            self._keys.certified(header)

    def _read_object(self, inventory: Inventory, name: str, size: int) -> None:
        if segment.parse_name(name) is not None:
            seen = self.segment(name, size)
            if seen is not None:
                inventory.segments[name] = seen
            else:
                inventory.listing.pop(name, None)
            return
        read = self._reader(name)
        blob_name = blob.parse_object(name)
        try:
            if name in self.texts:
                why = "" if read(0, size) in self.texts[name] else "it is not the text that belongs there"
                self._note(inventory, name, why, _UNSTATED)
            elif recoveries.is_mark(name):
                self._note(inventory, name, f"it is {size} bytes long and should be empty" if size else "", _UNSTATED)
            elif parse_parity_name(name) is not None:
                why, digest = _check_parity(read(0, size), name)
                self._note(inventory, name, why, Remembered(size, digest))
            elif blob_name is not None and self._level is Level.LIST:
                why = "" if size >= blob.OVERHEAD_BYTES else f"it is {size} bytes long, too short for a blob"
                self._note(inventory, name, why, _UNSTATED)
            elif blob_name is not None:
                why, stated = check_blob(blob_name, size, read)
                sound = None if stated is None else Remembered(stated.size, stated.digest)
                self._note(inventory, name, why, sound)
            else:
                self._read_framed(inventory, name, size, read)
        except KeyError:
            inventory.listing.pop(name, None)

    def _read_framed(self, inventory: Inventory, name: str, size: int, read: Read) -> None:
        framed = check_framed(name, size, read, self._keys)
        if framed is None:
            inventory.bad[name] = "no object of a vault bears such a name"
            return
        self._note(inventory, name, framed.why, Remembered(size, framed.digest))
        if framed.stated:
            inventory.stated[name] = list(framed.stated)
        if framed.unopened:
            inventory.unopened.append(name)
        if framed.placed:
            inventory.placed[name] = list(framed.placed)

    @staticmethod
    def _note(inventory: Inventory, name: str, why: str, sound: Remembered | None) -> None:
        if why or sound is None:
            inventory.bad[name] = why or "it cannot be read"
        else:
            inventory.sound[name] = sound

    def _reader(self, name: str) -> Read:
        def read(offset: int, count: int) -> bytes:
            data = self.vault.get(name, offset, count)
            self._pace.took(len(data))
            return data

        return read


def _check_parity(data: bytes, name: str) -> tuple[str, bytes]:
    """What is wrong with a parity object, and its digest."""
    try:
        check_parity(data, name)
    except Damaged as error:
        return error.message, b""
    return "", sha256(data).digest()


def list_objects(vault: Vault) -> dict[str, int]:
    """Names and sizes. The log comes first: what it names was there before it. Raises VaultDown."""
    log = {info.name: info.size for info in vault.list(segment.LOG_PREFIX)}
    found = {info.name: info.size for info in vault.list() if not info.name.startswith((*IGNORED, segment.LOG_PREFIX))}
    return log | found


class LookedAt:
    """A `judging.Peer`: another vault, of which as little is read as the question needs."""

    def __init__(self, scrubber: Scrubber, inventory: Inventory | None = None) -> None:
        self._scrubber = scrubber
        self._inventory = inventory
        self._listing: dict[str, int] | None = None
        self._segments: dict[str, SegmentSeen | None] = {}
        self._looks: dict[str, Inventory] = {}

    @property
    def name(self) -> str:
        return self._scrubber.vault.name

    @property
    def vault(self) -> Vault:
        return self._scrubber.vault

    def listing(self) -> Mapping[str, int]:
        if self._inventory is not None:
            return self._inventory.listing
        if self._listing is None:
            try:
                self._listing = list_objects(self._scrubber.vault)
            except VaultDown:
                self._listing = {}
        return self._listing

    def segment(self, name: str) -> SegmentSeen | None:
        if self._inventory is not None:
            return self._inventory.segments.get(name)
        if name not in self._segments:
            self._segments[name] = None
            if name in self.listing():
                with suppress(VaultDown):
                    self._segments[name] = self._scrubber.segment(name)
        return self._segments[name]

    def sound(self, name: str) -> bool:
        return name in self._look(name).sound

    def placed(self, name: str) -> Sequence[str]:
        return self._look(name).placed.get(name, ())

    def stated(self, name: str) -> Remembered | None:
        """A sound object as a seal would state it."""
        return self._look(name).sound.get(name)

    def _look(self, name: str) -> Inventory:
        if self._inventory is not None:
            return self._inventory
        if name not in self._looks:
            self._looks[name] = Inventory(self.name)
            if name in self.listing():
                with suppress(VaultDown):
                    self._looks[name] = self._scrubber.look(name, self.listing()[name])
        return self._looks[name]


def scrub(
    scrubber: Scrubber,
    peers: Sequence[LookedAt],
    standing: Standing,
    *,
    opener: Opener | None = None,
    notebook: Notebook | None = None,
    inventory: Inventory | None = None,
    excuses: Callable[[], Excuses] | None = None,
    level: Level = Level.SCRUB,
    now: int = 0,
    progress: Progress = silent,
) -> ScrubResult:
    """Read (unless `inventory` says what was read) and judge one vault. What hinders it is `trouble`, not an error.

    `excuses` are asked for once it is read: what is removed meanwhile was named before.
    """
    vault = scrubber.vault
    try:
        if inventory is None:
            inventory = scrubber.read(notebook, now)
        named = named_blobs(vault, opener, inventory) if opener is not None else ()
        excused = excuses() if excuses is not None else None
        judge = Judge(
            inventory,
            peers,
            standing,
            reread=vault.get,
            remembered=notebook.remembered() if notebook is not None else None,
            excuses=excused,
            named=named,
            texts=scrubber.texts,
            has_come=scrubber.has_come,
        )
        damaged, remember, end = judge.judge()
        unopened = {*inventory.unopened, *(name for name, seen in inventory.segments.items() if seen.unopened)}
        if level is Level.REPLAY and opener is not None:
            partly = excused is not None and _is_partly_gone(excused, (*judge.stated, *inventory.segments))
            told, closed = _replayed(vault, opener, inventory, damaged, progress, partly=partly)
            damaged = sorted([*damaged, *told], key=lambda d: d.object)
            unopened.update(closed)
    except VaultDown as error:
        return ScrubResult(vault.name, 0, 0, [], trouble=error.message)
    if notebook is not None:
        notebook.finish(remember)
    listed = len(inventory.listing)
    return ScrubResult(vault.name, listed, inventory.bytes, damaged, end, inventory, unopened=sorted(unopened))


def named_blobs(vault: Vault, opener: Opener, inventory: Inventory) -> Iterable[str]:
    """Blobs that changes after the last seal name, as far as the log was read: no seal states them yet."""
    reader = VaultLogReader([vault], opener)
    last = max((seen.last for seen in inventory.segments.values()), default=0)
    found: dict[str, None] = {}
    for entry in reader.entries(reader.last_seal()):
        if isinstance(entry, Hole):
            continue
        if entry.position.frame > last:
            break
        for change in entry.changes:
            if change.blob is not None:
                found[blob.blob_object(change.blob)] = None
    return found


def _is_partly_gone(excuses: Excuses, names: Iterable[str]) -> bool:
    """Whether some of the log was removed on record, or made up for."""
    made_up = (excuses.made_up(name) for name in names if segment.parse_name(name) is not None)
    return excuses.log_from != (0, 0) or any(digest is not None for digest in made_up)


def _replayed(
    vault: Vault,
    opener: Opener,
    inventory: Inventory,
    damaged: Sequence[Damage],
    progress: Progress,
    *,
    partly: bool,
) -> tuple[list[Damage], set[str]]:
    """Changes that do not open, do not chain, or do not reach the sealed heads, where nothing else is wrong there.

    And the segments with frames that are sealed to a key that was not given.

    `partly`: the log is not whole on purpose; it is followed from the newest generation.
    """
    known = {damage.object for damage in damaged}
    chains = Chains()
    found: dict[str, Damage] = {}
    closed: set[str] = set()
    count = 0

    def tell(timeline: int, frame: int, why: str) -> None:
        name = _holder(inventory, timeline, frame)
        if name not in known:
            found.setdefault(name, Damage(name, Problem.CORRUPT, f"frame {frame}: {why}"))

    last = max((seen.last for seen in inventory.segments.values()), default=0)
    last_timeline = 0
    begin = EMPTY_LOG
    runs = Runs([vault], opener)
    newest = next((g for g in runs.generations() if g.number <= last), None) if partly else None
    if newest is not None:
        begin = newest.position
        chains.heads.update({stream.key: stream.head for stream in runs.reader(newest).streams()})
    for entry in VaultLogReader([vault], opener).entries(begin):
        if not isinstance(entry, Hole) and entry.position.frame > last:
            break
        last_timeline = entry.timeline if isinstance(entry, Hole) else entry.position.timeline
        if isinstance(entry, Hole):
            if any(SEALED_TO_OTHERS in problem for problem in entry.problems):
                closed.add(_holder(inventory, entry.timeline, entry.first))
            else:
                tell(entry.timeline, entry.first, entry.problems[0] if entry.problems else "it cannot be read")
            continue
        for change in entry.changes:
            why = _step(chains, change)
            if why and not known and not closed:
                tell(entry.position.timeline, entry.position.frame, why)
        if entry.sealed:
            refused = chains.refused
            chains.seal(entry.heads)
            if chains.refused > refused and not known and not closed:
                tell(entry.position.timeline, entry.position.frame, chains.problems[-1])
        count += len(entry.changes)
        progress(f"replay {vault.name}", count, 0, "changes")
    for (_, kind), head in chains.sealed.items():
        if not known and not closed:
            tell(last_timeline, last, f"a seal names rev {head.rev} of {kind}, which is not reached")
    return list(found.values()), closed


def _step(chains: Chains, change: Change) -> str:
    step = chains.follow(change)
    if step is Step.BAD:
        return chains.problems[-1] if chains.problems else "a change that does not belong there"
    if step is Step.AFTER_GAP:
        return f"revs before rev {change.rev} of {change.kind} are missing"
    return ""


def _holder(inventory: Inventory, timeline: int, frame: int) -> str:
    """The segment that holds a frame, or should."""
    names = [n for text in inventory.segments if (n := segment.parse_name(text)) is not None]
    below = [n for n in names if n.timeline == timeline and n.first <= frame]
    return str(max(below, default=SegmentName(timeline, 0, 0)))


def _rank(name: str) -> int:
    """In which order objects are read: what states others first."""
    if name == mark.NAME:
        return 0
    if name.startswith(segment.LOG_PREFIX):
        return 1
    if name.startswith(EVIDENCE_PREFIX) or parse_evidence_name(name) is not None:
        return 2
    if parse_manifest_name(name) is not None:
        return 3
    if name.startswith(RUNS_PREFIX) or parse_run_name(name) is not None:
        return 4
    return 5 if name.startswith(blob.BLOB_PREFIX) else 6
