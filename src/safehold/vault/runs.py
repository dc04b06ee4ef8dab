"""Reads generations out of any number of vaults, each frame from the first vault that has a good copy.

A generation counts when its manifest is signed by a writer or keeper that the installation's root certifies, decrypts,
and names runs that cover every partition from the log's beginning to its position without a gap. What it promises is
verified as it is read: a frame by the digest that the directory, itself signed, has of it; a change by its own hash
and the chain, for which who reads is to care (model/stream.py).

Where the directory of a run object is gone in every vault, its frames are found by scanning for them, and each is
believed for its own signature and for `prev`, which ties it to that object.

Damage costs the frame it is in. Of a lost INDEX frame the changes are missing: the next one's rev does not follow. Of a
lost BODIES frame the changes come without their body, which names the items. All that is wrong is noted in words.

Longer than most: what is believed of a manifest, of a directory and of a frame is one thought, read from top to bottom.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from safehold.formats import generation as manifests
from safehold.formats import run
from safehold.formats.frame import TRAILER_BYTES, BadRange, FrameType, RawFrame, scan_frames, verify_frame
from safehold.formats.generation import Manifest, RunEntry
from safehold.formats.keys import Opener, Role
from safehold.formats.payload import Unpacker
from safehold.formats.run import Directory, FramePlace, Index, RunBase, RunHeader, RunStream
from safehold.model.change import GENESIS, Change
from safehold.model.counting import count_text
from safehold.model.errors import Damaged
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.model.stream import Head
from safehold.ports.core import LogPosition
from safehold.ports.vault import Vault, VaultDown

#: Decoded frames kept, in bytes: readers of neighbours come back to them. A change of an INDEX frame is reckoned at
#: what it takes with its body.
CACHE_BYTES = 8 * 1024 * 1024
_CHANGE_BYTES = 1536
#: The end of a run object that is fetched first; most directories lie in it whole.
_TAIL_BYTES = 64 * 1024
_WINDOW_BYTES = 4 * 1024 * 1024
_MAX_PROBLEMS = 1000
_ORDER = {kind: place for place, kind in enumerate(RESTORE_ORDER)}
_PLACE = (1 << run.PLACE_BITS) - 1
_set = msgspec.structs.force_setattr

#: Told of everything that is found wrong, in plain words.
Note = Callable[[str], None]
#: Which changes are wanted with their bodies.
Wanted = Callable[[Change], bool]
StreamKey = tuple[bytes, Kind]


def stream_order(key: StreamKey) -> tuple[int, bytes]:
    """Streams of a run are sorted by this: kind in restore order, then account."""
    return _ORDER[key[1]], key[0]


class Generation(NamedTuple):
    """A generation whose manifest holds. Nothing is said yet of its run objects."""

    number: int
    manifest: Manifest
    digest: bytes  # of its GENERATION frame
    role: Role  # of who wrote it
    signer: bytes  # public key of who wrote it
    vaults: tuple[str, ...]  # names of those that list it

    @property
    def position(self) -> LogPosition:
        """Up to where it covers the log."""
        return LogPosition(*self.manifest.upto)


class StreamPart(NamedTuple):
    """A stream's part of one run object."""

    object: RunFile
    stream: RunStream


class StreamEntry(NamedTuple):
    """A stream as all runs of a generation together have it."""

    account: bytes
    kind: Kind
    base: RunBase
    head: Head  # at the generation
    root: bytes  # state root at the generation; b"" where nobody computed it
    changes: int
    parts: tuple[StreamPart, ...]  # oldest first

    @property
    def key(self) -> StreamKey:
        return self.account, self.kind


class Runs:
    """The generations in these vaults, whose copies are preferred in the order given."""

    def __init__(self, vaults: Sequence[Vault], opener: Opener) -> None:
        self._vaults = list(vaults)
        self._opener = opener
        self._problems: dict[str, None] = {}

    @property
    def vaults(self) -> Sequence[Vault]:
        return self._vaults

    @property
    def opener(self) -> Opener:
        return self._opener

    def problems(self) -> list[str]:
        """What was found wrong so far, whether healed from another vault or not; the first thousand."""
        return list(self._problems)

    def note(self, problem: str) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems[problem] = None

    def numbers(self) -> dict[int, list[Vault]]:
        """Of all generations that a vault has a manifest of, newest first; the vaults, of which one down is noted."""
        found: dict[int, list[Vault]] = {}
        for vault in self._vaults:
            try:
                for folder in vault.folders(run.RUNS_PREFIX):
                    if len(folder) == 12 and folder.isascii() and folder.isdigit():
                        found.setdefault(int(folder), []).append(vault)
            except VaultDown as error:
                self.note(f"{vault.name}: its runs cannot be listed: {error.message}")
        return dict(sorted(found.items(), reverse=True))

    def generations(self) -> Iterator[Generation]:
        """Newest first, each verified when it is come to; those that do not hold are noted and passed over."""
        for number, vaults in self.numbers().items():
            found = self.generation(number, vaults)
            if found is not None:
                yield found

    def generation(self, number: int, vaults: Sequence[Vault] | None = None) -> Generation | None:
        """One generation, or None where no vault has a good manifest of it."""
        name = manifests.manifest_object(number)
        for vault in self._vaults if vaults is None else vaults:
            try:
                data = vault.get(name)
            except KeyError:  # one that is being written, or was never finished
                continue
            except VaultDown as error:
                self.note(f"{vault.name}: {name} cannot be read: {error.message}")
                continue
            try:
                return self._verified(number, data, tuple(v.name for v in vaults or self._vaults))
            except Damaged as error:
                self.note(f"{vault.name}: {name}: {error.message}")
        return None

    def _verified(self, number: int, data: bytes, vaults: tuple[str, ...]) -> Generation:
        header, role, frame = open_manifest(data, number, self._opener.installation)
        manifest = Unpacker(self._opener).unpack(frame.payload, manifests.DECODER)
        _require_known(manifest.version, manifests.VERSION)
        if manifest.upto[:2] != (header.timeline, number):
            raise Damaged("it does not say what its header says")
        check_cover(manifest)
        return Generation(number, manifest, frame.digest, role, header.writer_public, vaults)

    def reader(self, generation: Generation) -> GenerationReader:
        return GenerationReader(generation, self._vaults, self._opener, self.note)


def list_generations(vaults: Sequence[Vault], opener: Opener, note: Note | None = None) -> list[Generation]:
    """All generations whose manifest holds, newest first. `note` is told of what does not."""
    runs = Runs(vaults, opener)
    found = list(runs.generations())
    for problem in runs.problems() if note is not None else ():
        assert note is not None
        note(problem)
    return found


def open_manifest(data: bytes, number: int, installation: bytes) -> tuple[RunHeader, Role, RawFrame]:
    """A manifest's bytes, as far as no key is needed: ends, certificate, signature. Raises Damaged.

    One of the two ends may be damaged.
    """
    header = manifests.parse_manifest_header(data) or manifests.parse_manifest_footer(data)
    if header is None:
        raise Damaged("its header and its footer are damaged")
    role = _role(header, number, 0, installation)
    start = run.HEADER_BYTES
    frame = next(scan_frames(data, start, len(data) - run.HEADER_BYTES), None)
    if not isinstance(frame, RawFrame):
        raise Damaged(frame.reason if frame is not None else "it holds no frame")
    digest = sha256(manifests.encode_manifest_header(header)).digest()
    if frame.header.type is not FrameType.GENERATION or frame.header.number or frame.header.prev != digest:
        raise Damaged("its frame belongs to another object")
    verify_frame(frame, header.writer_public)
    return header, role, frame


def manifest_position(frame: RawFrame, opener: Opener) -> LogPosition:
    """Up to where a generation covers the log, by the frame of its manifest. Raises Damaged, KeyAway."""
    manifest = Unpacker(opener).unpack(frame.payload, manifests.DECODER)
    _require_known(manifest.version, manifests.VERSION)
    return LogPosition(*manifest.upto)


def _require_known(version: int, known: int) -> None:
    """Raises Damaged where this release does not know how to read it: its bytes are good all the same."""
    if version != known:
        raise Damaged(f"it is of version {version}, which a newer release reads; this one reads version {known}")


def check_cover(manifest: Manifest) -> None:
    """Whether its runs cover each partition from the log's beginning to its end. Raises Damaged."""
    reached = [0] * run.PARTITIONS
    for entry in manifest.runs:
        if not 0 <= entry.first_partition <= entry.last_partition < run.PARTITIONS:
            raise Damaged("a run of it has partitions that do not exist")
        for partition in range(entry.first_partition, entry.last_partition + 1):
            if reached[partition] != entry.since:
                raise Damaged(f"its runs leave out, or double, frames of partition {partition}")
            reached[partition] = entry.upto
    if any(upto != manifest.upto[1] for upto in reached):
        raise Damaged("its runs do not reach as far as it says")


def _role(header: RunHeader, generation: int, number: int, installation: bytes) -> Role:
    if header.generation != generation or header.number != number:
        raise Damaged("its header names another object")
    role = run.role_of(header, installation)
    if role is None:
        raise Damaged("who wrote it is not certified by this installation")
    return role


class GenerationReader:
    """Streams and changes of one generation. For one thread at a time; keeps what it verified of directories."""

    def __init__(self, generation: Generation, vaults: Sequence[Vault], opener: Opener, note: Note) -> None:
        self.generation = generation
        self._frames = _Frames(vaults, opener, note)
        self._objects = [RunFile(entry, self._frames) for entry in generation.manifest.runs]

    @property
    def objects(self) -> Sequence[RunFile]:
        """Its run objects, oldest first."""
        return self._objects

    def streams(
        self, kinds: Collection[Kind] | None = None, accounts: Collection[bytes] | None = None
    ) -> Iterator[StreamEntry]:
        """In the order of kind and account; all where None is given."""
        wanted = None if accounts is None else {run.partition_of(account) for account in accounts}
        found: dict[StreamKey, list[StreamPart]] = {}
        for object_ in self._objects:
            if wanted is not None and not any(object_.covers(partition) for partition in wanted):
                continue
            if accounts is not None and len(accounts) == 1:
                streams: Iterable[RunStream] = object_.streams_of(next(iter(accounts)))
            else:
                streams = object_.streams()
            for stream in streams:
                if (kinds is None or stream.kind in kinds) and (accounts is None or stream.account in accounts):
                    found.setdefault((stream.account, stream.kind), []).append(StreamPart(object_, stream))
        for key in sorted(found, key=stream_order):
            yield _entry(key, found[key])

    def stream(self, account: bytes, kind: Kind) -> StreamEntry | None:
        """One stream; None where the generation has none of it."""
        partition, key = run.partition_of(account), (account, kind)
        parts = [
            StreamPart(object_, stream)
            for object_ in self._objects
            if object_.covers(partition)
            for stream in object_.stream(key)
        ]
        return _entry(key, parts) if parts else None

    def changes(
        self, kinds: Collection[Kind] | None = None, accounts: Collection[bytes] | None = None, *, bodies: bool = True
    ) -> Iterator[tuple[StreamEntry, Iterator[Change]]]:
        """Each stream with its changes in rev order; see `changes_of`."""
        for entry in self.streams(kinds, accounts):
            yield entry, (change for _, change in self.changes_of(entry, bodies=bodies))

    def changes_of(self, entry: StreamEntry, *, bodies: bool | Wanted = True) -> Iterator[tuple[int, Change]]:
        """(frame, change) in rev order, with bodies, or those of wanted changes; neither hash nor chain is looked at.

        `frame` is the last frame of the log that the run it came from covers: the change is in it or in an earlier
        one. Revs that do not follow each other tell of lost INDEX frames, a change with a digest but neither body nor
        blob of a lost BODIES frame.
        """
        head = GENESIS
        for part in entry.parts:
            upto = part.object.entry.upto
            for change in part.object.changes_of(part.stream, head, bodies=bodies):
                head = change.hash
                yield upto, change


def items_of(entry: StreamEntry) -> int:
    """About so many items live in a stream, as far as its directory tells."""
    if len(entry.parts) == 1:
        stream = entry.parts[0].stream
        return stream.items or stream.changes
    return sum(part.stream.items or part.stream.changes for part in entry.parts)


def _entry(key: StreamKey, parts: list[StreamPart]) -> StreamEntry:
    first, last = parts[0].stream, parts[-1].stream
    return StreamEntry(
        *key,
        first.base,
        Head(last.rev, last.head),
        last.root,
        last.changes if len(parts) == 1 else sum(part.stream.changes for part in parts),
        tuple(parts),
    )


class RunFile:
    """One run object, in all vaults that have it."""

    def __init__(self, entry: RunEntry, frames: _Frames) -> None:
        self.entry = entry
        self.name = entry.object.name
        self._frames = frames
        self._directory: Directory | None = None
        self._order: list[tuple[int, bytes]] = []

    @property
    def doubtful(self) -> bool:
        """Whether its directory is lost in every vault, so that nobody knows which streams it had."""
        self.directory()
        return self._frames.was_scanned(self.name)

    def covers(self, partition: int) -> bool:
        return self.entry.first_partition <= partition <= self.entry.last_partition

    def directory(self) -> Directory:
        """Verified; made from the frames that can be found where it is lost. Raises nothing: it may be empty."""
        if self._directory is None:
            self._directory = self._frames.directory(self.entry)
        return self._directory

    def streams(self) -> Sequence[RunStream]:
        return self.directory().streams

    def streams_of(self, account: bytes) -> Iterator[RunStream]:
        """Those of one account, without going through them all."""
        for kind in RESTORE_ORDER:
            yield from self.stream((account, kind))

    def stream(self, key: StreamKey) -> Sequence[RunStream]:
        """This one, where it has it."""
        streams = self.streams()
        if len(self._order) != len(streams):
            self._order = [(_ORDER[stream.kind], stream.account) for stream in streams]
        place = _ORDER[key[1]], key[0]
        at = bisect_left(self._order, place)
        return (streams[at],) if at < len(streams) and self._order[at] == place else ()

    def changes_of(self, stream: RunStream, head: bytes, *, bodies: bool | Wanted = True) -> Iterator[Change]:
        """The changes of one of its streams in rev order. `head` is the hash of the one before, from an older run."""
        key = stream.account, stream.kind
        mine = stream_order(key)
        left = stream.changes
        place = stream.place
        number: int | None = stream.index
        known = True  # whether `head` is that of the envelope before
        holder, held = -1, None  # the BODIES frame that was looked into last
        while number is not None and left > 0:
            index = self._frames.index(self, number)
            if index is None:
                place, known = 0, False
            else:
                changes, pointers = index.changes, index.bodies
                for at in range(place, len(changes)):
                    change = changes[at]
                    if change.account != key[0] or change.kind is not key[1]:
                        if stream_order((change.account, change.kind)) > mine:
                            return
                        continue
                    if not change.prev and known:
                        _set(change, "prev", head)
                    wanted = bodies if isinstance(bodies, bool) else bodies(change)
                    if wanted and pointers[at] >= 0 and change.body is None:
                        pointer = pointers[at]
                        if pointer >> run.PLACE_BITS != holder:
                            holder = pointer >> run.PLACE_BITS
                            held = self._frames.bodies(self, holder)
                        body = pointer & _PLACE
                        if held is not None and body < len(held):
                            _set(change, "body", held[body])
                    head, known = change.hash, True
                    left -= 1
                    yield change
                place = 0
            if left > 0:
                number = self._frames.next_index(self, number)


class _Frames:
    """Fetches, verifies and decodes frames of run objects. What was decoded last is kept."""

    def __init__(self, vaults: Sequence[Vault], opener: Opener, note: Note) -> None:
        self._vaults = list(vaults)
        self._opener = opener
        self._unpacker = Unpacker(opener)
        self._note = note
        self._cache: OrderedDict[tuple[str, int], tuple[int, Any]] = OrderedDict()
        self._cached_bytes = 0
        self._kinds: dict[tuple[str, int], FrameType | None] = {}
        self._lost: set[tuple[str, int]] = set()
        self._scanned_names: set[str] = set()

    # -- directories

    def directory(self, entry: RunEntry) -> Directory:
        for vault in self._vaults:
            try:
                return self._directory_in(vault, entry)
            except (KeyError, VaultDown) as error:
                self._note(f"{vault.name}: {entry.object.name} cannot be read: {_words(error)}")
            except Damaged as error:
                self._note(f"{vault.name}: {entry.object.name}: {error.message}")
        self._scanned_names.add(entry.object.name)
        return self._scanned(entry)

    def was_scanned(self, name: str) -> bool:
        return name in self._scanned_names

    def _directory_in(self, vault: Vault, entry: RunEntry) -> Directory:
        """Raises Damaged, KeyError, VaultDown."""
        name, size = entry.object.name, entry.object.size
        tail_at = max(0, size - _TAIL_BYTES)
        tail = vault.get(name, tail_at, size - tail_at)
        header = self._header(vault, entry, tail)
        end = len(tail) - run.HEADER_BYTES
        if len(tail) != size - tail_at or end < TRAILER_BYTES:
            raise Damaged("it is shorter than its manifest says")
        length = int.from_bytes(tail[end - TRAILER_BYTES : end - TRAILER_BYTES + 4], "big")
        at = size - run.HEADER_BYTES - length
        if not run.HEADER_BYTES <= at < size:
            raise Damaged("its directory is damaged")
        data = tail[end - length : end] if length <= end else vault.get(name, at, length)
        frame = next(scan_frames(data), None)
        if not isinstance(frame, RawFrame) or frame.header.total_bytes != length:
            raise Damaged("its directory is damaged")
        _check_frame(frame, header)
        if frame.header.type is not FrameType.DIRECTORY:
            raise Damaged("its last frame is no directory")
        directory = self._unpacker.unpack(frame.payload, run.DIRECTORY_DECODER)
        _require_known(directory.version, run.VERSION)
        said = (directory.generation, directory.number, directory.since)
        told = (header.generation, header.number, entry.since)
        parts = (directory.first_partition, directory.last_partition)
        if said != told or parts != (entry.first_partition, entry.last_partition):
            raise Damaged("its directory is that of another object")
        return directory

    def _header(self, vault: Vault, entry: RunEntry, tail: bytes) -> RunHeader:
        """From the end or, failing that, the beginning. Raises Damaged."""
        name = run.parse_run_name(entry.object.name)
        if name is None:
            raise Damaged("its manifest names something that is no run object")
        header = run.parse_run_footer(tail) or run.parse_run_header(vault.get(entry.object.name, 0, run.HEADER_BYTES))
        if header is None:
            raise Damaged("its header and its footer are damaged")
        _role(header, name.generation, name.number, self._opener.installation)
        return header

    def _scanned(self, entry: RunEntry) -> Directory:
        """A directory made from the frames themselves. Bases are not known: a stream begins where its changes do."""
        places: dict[int, FramePlace] = {}
        indexes: dict[int, Index] = {}
        for vault in self._vaults:
            try:
                header = self._header(vault, entry, vault.get(entry.object.name, max(0, entry.object.size - 176), 176))
                for frame in _scan(vault, entry.object.name, entry.object.size):
                    number = frame.header.number
                    if number in places or frame.header.type is FrameType.DIRECTORY:
                        continue
                    try:
                        _check_frame(frame, header)
                        if frame.header.type is FrameType.INDEX:
                            indexes[number] = self._unpacker.unpack(frame.payload, run.INDEX_DECODER)
                    except Damaged:
                        continue
                    places[number] = FramePlace(frame.offset, len(frame.data), frame.digest)
                    self._kinds[entry.object.name, number] = frame.header.type
            except (KeyError, VaultDown, Damaged) as error:
                self._note(f"{vault.name}: {entry.object.name} cannot be searched for frames: {_words(error)}")
        if places:
            found = count_text(len(places), "frame was", "frames were")
            self._note(f"{entry.object.name}: its directory is lost in every vault; {found} found")
        nothing = FramePlace(0, 0, b"")
        frames = [places.get(number, nothing) for number in range(max(places, default=-1) + 1)]
        name = run.parse_run_name(entry.object.name)
        return Directory(
            run.VERSION,
            name.generation if name is not None else 0,
            name.number if name is not None else 0,
            entry.since,
            entry.first_partition,
            entry.last_partition,
            frames,
            _streams_in(indexes),
            [],
        )

    # -- frames

    def index(self, object_: RunFile, number: int) -> Index | None:
        """None where no vault has a good copy."""
        found = self._decoded(object_, number, FrameType.INDEX, run.INDEX_DECODER)
        if found is not None and len(found.changes) != len(found.bodies):
            return None
        return found

    def bodies(self, object_: RunFile, number: int) -> list[bytes] | None:
        """None where no vault has a good copy."""
        return self._decoded(object_, number, FrameType.BODIES, run.BODIES_DECODER)

    def next_index(self, object_: RunFile, number: int) -> int | None:
        """The number of the next INDEX frame; None where there is none."""
        for later in range(number + 1, len(object_.directory().frames)):
            if self._kind(object_, later) is FrameType.INDEX:
                return later
        return None

    def _kind(self, object_: RunFile, number: int) -> FrameType | None:
        key = object_.name, number
        if key not in self._kinds:
            frame = self._fetch(object_, number)
            self._kinds[key] = frame.header.type if frame is not None else None
        return self._kinds[key]

    def _decoded(
        self, object_: RunFile, number: int, type_: FrameType, decoder: msgspec.msgpack.Decoder[Any]
    ) -> Any | None:
        key = object_.name, number
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key][1]
        if key in self._lost:
            return None
        frame = self._fetch(object_, number)
        if frame is None:
            return None
        try:
            if frame.header.type is not type_:
                raise Damaged(f"it is no {type_.name} frame")
            value = self._unpacker.unpack(frame.payload, decoder)
        except Damaged as error:
            self._note(f"{object_.name}: frame {number}: {error.message}")
            self._lost.add(key)
            return None
        weight = len(value.changes) * _CHANGE_BYTES if type_ is FrameType.INDEX else sum(map(len, value))
        self._cache[key] = weight, value
        self._cached_bytes += weight
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 2:
            self._cached_bytes -= self._cache.popitem(last=False)[1][0]
        return value

    def _fetch(self, object_: RunFile, number: int) -> RawFrame | None:
        """A frame from the first vault whose copy has the digest that the directory has of it."""
        key = object_.name, number
        places = object_.directory().frames
        if number >= len(places) or key in self._lost:
            return None
        place = places[number]
        for vault in self._vaults if place.size else ():
            try:
                data = vault.get(object_.name, place.offset, place.size)
            except (KeyError, VaultDown) as error:
                self._note(f"{vault.name}: {object_.name} cannot be read: {_words(error)}")
                continue
            frame = next(scan_frames(data), None) if sha256(data).digest() == place.digest else None
            if isinstance(frame, RawFrame):
                self._kinds[key] = frame.header.type
                return frame
            self._note(
                f"{vault.name}: {object_.name}: frame {number} at byte {place.offset}: its digest does not match"
            )
        self._lost.add(key)
        return None


def _check_frame(frame: RawFrame, header: RunHeader) -> None:
    """Whether a frame is of this object and signed by who wrote it. Raises Damaged."""
    if frame.header.prev != run.object_digest(header):
        raise Damaged("a frame of it belongs to another object")
    verify_frame(frame, header.writer_public)


def _scan(vault: Vault, name: str, size: int) -> Iterator[RawFrame]:
    """All frames of an object whose header, length and end mark are right, in bounded memory."""
    offset = run.HEADER_BYTES
    window = _WINDOW_BYTES
    while offset < size:
        data = vault.get(name, offset, window)
        if not data:
            return
        last = offset + len(data) >= size or len(data) < window  # it may be cut short
        moved = 0
        for item in scan_frames(data):
            end = item.offset + (len(item.data) if isinstance(item, RawFrame) else item.end - item.offset)
            if isinstance(item, RawFrame):
                yield item._replace(offset=offset + item.offset)
            elif end == len(data) and not last and _cut(item, window):
                break
            moved = end
        if moved == 0:
            window *= 2
        else:
            offset += moved
            window = _WINDOW_BYTES


def _cut(item: BadRange, window: int) -> bool:
    """Whether a range that is no frame may be one that the window cuts."""
    if item.header is not None:
        return item.end - item.offset < item.header.total_bytes
    return item.end - item.offset < min(window, run.HEADER_BYTES)


def _streams_in(indexes: dict[int, Index]) -> list[RunStream]:
    found: dict[StreamKey, RunStream] = {}
    for number in sorted(indexes):
        for place, change in enumerate(indexes[number].changes):
            key = change.account, change.kind
            known = found.get(key)
            if known is None:
                base = RunBase(0, 0, GENESIS, b"")
                found[key] = RunStream(*key, base, change.rev, change.hash, b"", 1, 0, number, place)
            else:
                found[key] = msgspec.structs.replace(known, rev=change.rev, head=change.hash, changes=known.changes + 1)
    return [found[key] for key in sorted(found, key=stream_order)]


def _words(error: Exception) -> str:
    return error.message if isinstance(error, (VaultDown, Damaged)) else f"it is not there ({error})"
