"""What the next seal has to state: heads, segments, blobs and other objects since the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from safehold.formats import blob, seal
from safehold.formats.seal import Seal, SealedHead, SealedObject
from safehold.formats.segment import SegmentName
from safehold.model.change import Change
from safehold.model.errors import Damaged
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.vault import Vault
from safehold.vault.segments import Copy, segments, timelines

Heads = dict[tuple[bytes, Kind], Head]


class Unsealed:
    """Collects; `seal` says it, `clear` forgets what the seal just written says."""

    def __init__(self) -> None:
        self.since = EMPTY_LOG
        self.heads: Heads = {}
        self.segments: list[SealedObject] = []
        self.blobs: dict[str, SealedObject] = {}
        self.objects: dict[str, SealedObject] = {}  # runs, generations, evidence
        self._mentioned: dict[bytes, None] = {}  # names of blobs that frames refer to
        self.dirty = False  # whether any frame but a seal was written since

    def add(self, heads: Heads, blobs: Iterable[bytes]) -> None:
        """What a frame with changes adds."""
        self.heads.update(heads)
        self._mentioned.update(dict.fromkeys(blobs))
        self.dirty = True

    def look_up_blobs(self, vaults: Sequence[Vault]) -> None:
        """State the blobs that frames mention and nobody noted, as their trailers say."""
        for name in self._mentioned:
            if blob.blob_object(name) not in self.blobs and (stated := sealed_blob(vaults, name)) is not None:
                self.blobs[stated.name] = stated
        self._mentioned = {}

    def seal(self, after: LogPosition, pending: Sequence[str]) -> Seal:
        heads = [SealedHead(account, kind, head.rev, head.hash) for (account, kind), head in self.heads.items()]
        return Seal(
            seal.VERSION,
            after,
            self.since,
            self.segments,
            list(self.blobs.values()),
            heads,
            list(pending),
            list(self.objects.values()),
        )

    def clear(self, stated: Seal, at: LogPosition) -> None:
        """What came in since `stated` was made (a blob from another thread) stays for the next seal."""
        self.since = at
        self.heads = {}
        self.segments = self.segments[len(stated.segments) :]
        for sealed in stated.blobs:
            self.blobs.pop(sealed.name, None)
        for sealed in stated.objects:
            self.objects.pop(sealed.name, None)
        self.dirty = bool(self.objects)


def heads_of(changes: Iterable[Change]) -> Heads:
    """The head that each stream has after these changes."""
    return {(change.account, change.kind): Head(change.rev, change.hash) for change in changes}


def blobs_of(changes: Iterable[Change]) -> list[bytes]:
    """Names of the blobs that these changes refer to."""
    return [change.blob for change in changes if change.blob is not None]


def unsealed_segments(vaults: Sequence[Vault], since: LogPosition, timeline: int) -> Iterator[SealedObject]:
    """Segments of timelines below `timeline` that no seal up to the one at `since` can have stated.

    The segment that holds that seal was open when it was written, so it is the first.
    """
    for older in timelines(vaults):
        if not since.timeline <= older < timeline:
            continue
        found = segments(vaults, older)
        begins = max((name for name in found if older == since.timeline and name.first <= since.frame), default=None)
        for name, holders in found.items():
            if begins is None or name >= begins:
                yield max((_state(h.vault, name) for h in holders), key=lambda sealed: sealed.size)


def sealed_blob(vaults: Sequence[Vault], name: bytes) -> SealedObject | None:
    """A blob as a seal states it, by its own trailer; None where no vault has it whole."""
    object_ = blob.blob_object(name)
    for vault in vaults:
        size = vault.size(object_)
        if size is None or size < blob.OVERHEAD_BYTES:
            continue
        try:
            trailer = blob.parse_trailer(vault.get(object_, size - blob.TRAILER_BYTES), name)
        except (Damaged, KeyError):
            continue
        return SealedObject(object_, size - blob.TRAILER_BYTES, trailer.digest)
    return None


def _state(vault: Vault, name: SegmentName) -> SealedObject:
    """As much of a segment as is whole, from its start."""
    data = vault.get(str(name))
    copy = Copy(vault.name, name, data)
    size = len(data) if copy.closed and not copy.bad else copy.good_end
    return SealedObject(str(name), size, sha256(data[:size]).digest())
