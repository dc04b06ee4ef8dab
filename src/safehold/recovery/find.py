"""What a salvage found, as a recovery reads it: one more source of changes, bodies and heads.

A find is believed no further than it proves itself: each change is checked against its own hash and digests again, and
goes on a stream only where the chain leads through it (joining.py).

Whether a stream of the vaults gains by a find is told from *tips*: changes that nothing else in the find continues.
Where a tip is on the stream all is that leads to it, for the hashes say so. So a `Probe` keeps the tips alone while all
streams are read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.model.stream import BadChange, Head, check_self
from safehold.ports.core import UNARCHIVED
from safehold.ports.disk import Disk
from safehold.ports.survivors import KnownItem, Loose, Proof, StreamKey, Survivor, Survivors
from safehold.recovery.mending import Piece
from safehold.recovery.replay import erased_id
from safehold.recovery.selection import SYSTEM
from safehold.recovery.sources import SalvageMark
from safehold.vault.runs import stream_order

CHUNK_BYTES = 256 * 1024
#: Operations that set properties, which must be there for the change to be whole.
_SETS_PROPS = frozenset((Op.MKCOL, Op.SETCOL, Op.PROPS))


class Salvage(NamedTuple):
    """A salvage folder that was given, and what stands for all that it holds."""

    path: str
    state: bytes
    survivors: Survivors


def salvage_words(path: str) -> str:
    """A salvage among the sources of a stream, as a plan says it."""
    return f"salvage: {path}"


def marks_of(salvages: Sequence[Salvage]) -> list[SalvageMark]:
    return [SalvageMark(salvage.path, salvage.state.hex()) for salvage in salvages]


class Find:
    """All salvages that were given, as one. Reading it once over, at the making, is what it costs.

    `disk` is where the files lie that it names; without one they are not read.
    """

    def __init__(self, salvages: Sequence[Salvage], disk: Disk | None = None) -> None:
        self._disk = disk
        self.salvages = list(salvages)
        #: Accounts that must not come back, by any salvage's word, or by the register where a change of it was found.
        self.erased = self._erased()
        #: The highest timeline of any change, and the last moment of which anything is known (µs).
        self.timeline = 0
        self.last_at: int | None = None
        self._files: dict[bytes, str] | None = None  # by digest, of things that lie in files of their own
        self._tips: dict[StreamKey, dict[int, set[bytes]]] = {}
        keys = {key for salvage in self.salvages for key in iter(salvage.survivors.keys())}
        self.keys = sorted((key for key in keys if key[0] not in self.erased), key=stream_order)
        for key in self.keys:
            self._survey(key)

    def marks(self) -> list[SalvageMark]:
        return marks_of(self.salvages)

    def _erased(self) -> frozenset[bytes]:
        found: set[bytes] = set()
        for salvage in self.salvages:
            found |= salvage.survivors.erased_accounts()
            for proof in Proof:
                for one in salvage.survivors.changes((SYSTEM, Kind.IDENTITY), proof):
                    gone = erased_id(one.change)
                    if gone is not None:
                        found.add(gone)
        return frozenset(found)

    def _survey(self, key: StreamKey) -> None:
        """Tips, the highest timeline, the last time."""
        rev = 0
        open_: set[bytes] = set()  # of that rev, what nothing has continued yet
        tips: dict[int, set[bytes]] = {}
        for one in self._changes(key, Proof.CHAIN):
            change = one.change
            self._saw(change.timeline, change.at)
            if change.rev != rev:
                if open_ and change.rev > rev + 1:
                    tips[rev], open_ = open_, set()
                before, open_, rev = open_, set(), change.rev
                if before:
                    tips[rev - 1] = before
            open_.add(change.hash)
            continued = tips.get(rev - 1)
            if continued is not None:
                continued.discard(change.prev)
                if not continued:
                    del tips[rev - 1]
        if open_:
            tips[rev] = open_
        if tips:
            self._tips[key] = tips
        for salvage in self.salvages:
            for witnessed in salvage.survivors.witnesses(key):
                self._saw(0, witnessed.at)

    def _saw(self, timeline: int, at: int | None) -> None:
        self.timeline = max(self.timeline, timeline)
        if at is not None:
            self.last_at = at if self.last_at is None else max(self.last_at, at)

    def _changes(self, key: StreamKey, proof: Proof) -> Iterator[Survivor]:
        """Of all salvages, by rev; the same change may come from several."""
        readers = [salvage.survivors.changes(key, proof) for salvage in self.salvages]
        if len(readers) == 1:
            yield from readers[0]
            return
        heads = [next(reader, None) for reader in readers]
        while any(head is not None for head in heads):
            least = min((h.change.rev, n) for n, h in enumerate(heads) if h is not None)[1]
            head = heads[least]
            assert head is not None
            yield head
            heads[least] = next(readers[least], None)

    def probe(self) -> Probe:
        return Probe({key: {rev: set(hashes) for rev, hashes in tips.items()} for key, tips in self._tips.items()})

    def pieces(self, key: StreamKey) -> Iterator[Piece]:
        """Changes that are what their hashes say, by rev, each salvage for itself."""
        if key[0] in self.erased:
            return
        for salvage in self.salvages:
            words = salvage_words(salvage.path)
            for one in salvage.survivors.changes(key, Proof.CHAIN):
                if (one.change.account, one.change.kind) == key and is_sound(one.change):
                    yield Piece(UNARCHIVED, one.change, is_whole(one.change), words)

    def heads(self, key: StreamKey, since: Change | None = None) -> Iterator[Head]:
        """Heads that anything found remembers: witnesses, and changes that lie on good pages.

        With `since` those alone that are known to be of its time or after it.
        """
        if key[0] in self.erased:
            return
        for salvage in self.salvages:
            for each in salvage.survivors.witnesses(key):
                if since is None or (each.at is not None and each.at >= since.at):
                    yield each.head
        for one in self._changes(key, Proof.PAGE):
            if since is None or one.change.timeline >= since.timeline:
                yield Head(one.change.rev, one.change.hash)

    def body_of(self, digest: bytes) -> bytes | None:
        for salvage in self.salvages:
            body = salvage.survivors.body_of(digest)
            if body is not None:
                return body
        return None

    def has_body(self, blob: bytes, digest: bytes) -> bool:
        """Whether a body lies somewhere in it, whole; arguments as for `chunks`."""
        return self.chunks(blob, digest) is not None

    def chunks(self, blob: bytes, digest: bytes) -> Iterator[bytes] | None:
        """A body by the name of its blob (b"" where it has none) and its digest; None where no good copy is there.

        A file is read through before a byte of it is given.
        """
        body = self.body_of(digest)
        if body is not None:
            return iter((body,))
        for path in self._files_of(blob, digest):
            if self._is_good(path, digest):
                return self._read(path)
        return None

    def _is_good(self, path: str, digest: bytes) -> bool:
        whole = sha256()
        try:
            for chunk in self._read(path):
                whole.update(chunk)
        except OSError:
            return False
        return whole.digest() == digest

    def _read(self, path: str) -> Iterator[bytes]:
        if self._disk is None:
            return
        file = self._disk.open(path)
        try:
            offset = 0
            while chunk := file.read_at(offset, CHUNK_BYTES):
                yield chunk
                offset += len(chunk)
        finally:
            file.close()

    def _files_of(self, blob: bytes, digest: bytes) -> Iterator[str]:
        """Where files lie that may be this body: by its blob's name, or as things out of exports."""
        for salvage in self.salvages:
            path = salvage.survivors.blob_path(blob) if blob else None
            if path is not None:
                yield path
        if self._files is None:
            loose = (item for salvage in self.salvages for item in salvage.survivors.loose_items())
            self._files = {item.digest: item.path for item in loose if item.path}
        if digest in self._files:
            yield self._files[digest]

    def page_changes(self, key: StreamKey) -> Iterator[Survivor]:
        """Changes that lie on good pages, and whose place in the chain is lost."""
        return self._changes(key, Proof.PAGE) if key[0] not in self.erased else iter(())

    def chain_changes(self, key: StreamKey) -> Iterator[Survivor]:
        """Changes whose hash holds, whether they are on a stream or not."""
        return self._changes(key, Proof.CHAIN) if key[0] not in self.erased else iter(())

    def known_items(self, key: StreamKey) -> Iterator[KnownItem]:
        """Items that a core's remains list as living."""
        for salvage in self.salvages if key[0] not in self.erased else ():
            yield from salvage.survivors.known_items(key)

    def loose_items(self) -> Iterator[Loose]:
        """Things without a change record."""
        for salvage in self.salvages:
            yield from salvage.survivors.loose_items()


class Probe:
    """Which tips of a find have not been seen on the streams as these are read."""

    def __init__(self, tips: dict[StreamKey, dict[int, set[bytes]]]) -> None:
        self._tips = tips

    def __contains__(self, key: StreamKey) -> bool:
        return key in self._tips

    def saw(self, change: Change) -> None:
        """This change is on its stream."""
        tips = self._tips.get((change.account, change.kind))
        hashes = tips.get(change.rev) if tips else None
        if tips and hashes:
            hashes.discard(change.hash)
            if not hashes:
                del tips[change.rev]

    def watch(self, changes: Iterable[Change]) -> None:
        """These are."""
        for change in changes:
            self.saw(change)

    def watched(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces of a stream on their way."""
        for piece in pieces:
            self.saw(piece.change)
            yield piece

    def unseen(self, bases: Mapping[StreamKey, Head]) -> list[StreamKey]:
        """Streams of which the find has a change that was not read; what was dropped below a base is not missed."""
        return [
            key
            for key, tips in self._tips.items()
            if any(rev > (bases[key].rev if key in bases else 0) for rev in tips)
        ]


def is_sound(change: Change) -> bool:
    """Whether a change is what its hash and digests say, its body's loss aside."""
    try:
        check_self(change)
    except BadChange:
        return False
    return True


def is_whole(change: Change) -> bool:
    """Whether all is there that it needs to be entered."""
    if change.op in _SETS_PROPS and change.props_digest and change.props is None:
        return False
    return change.body is not None or change.blob is not None or not change.digest
