"""Bodies that lie outside the journal: which of them a vault still has, and which items that touches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.formats.blob import BLOB_PREFIX, OVERHEAD_BYTES, parse_object
from safehold.model.change import Change, Op
from safehold.model.errors import OutOfSpace, SafeholdError
from safehold.ports.blobs import Blobs
from safehold.ports.core import CoreReads
from safehold.ports.vault import Vault, VaultDown
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import BlobRef, Contents, name_key
from safehold.recovery.tally import BlobLoss
from safehold.recovery.verify import BlobItem

#: A live item by stream, collection id and name key.
ItemKey = tuple[StreamKey, bytes, int]


def live_blobs(contents: Contents, counted: Iterable[StreamKey]) -> Iterator[tuple[ItemKey, BlobRef]]:
    """The blobs that live items of these streams name."""
    for key in counted:
        state = contents.streams.get(key)
        for id_, item, ref in state.live_blobs() if state is not None else ():
            yield (key, id_, item), ref


def absent(vaults: Sequence[Vault], wanted: Mapping[bytes, int]) -> set[bytes]:
    """Those of the wanted blobs (name -> bytes of the body) that no vault has, or only cut short.

    Told from listings alone; what they hold is checked when they are fetched.
    """
    missing = set(wanted)
    for vault in vaults:
        if not missing:
            break
        try:
            for info in vault.list(BLOB_PREFIX):
                name = parse_object(info.name)
                if name in missing and info.size >= wanted[name] + OVERHEAD_BYTES:
                    missing.discard(name)
        except VaultDown:
            continue
    return missing


class _Version(NamedTuple):
    rev: int
    blob: bytes | None
    size: int
    digest: bytes
    whole: bool  # whether its body is inline, and there


def name_losses(
    changes: Iterable[Change],
    hurt: set[ItemKey],
    contents: Contents,
    vaults: Sequence[Vault],
    blobs: Blobs | None,
    found_elsewhere: Callable[[bytes, bytes], bool] | None = None,
) -> list[BlobLoss]:
    """Names for items whose blob no vault has, from another reading of all changes, and whether they are merely older.

    What lies in the live blobs all the same is not lost, nor what is `found_elsewhere` by its blob's name and digest.
    """
    names: dict[ItemKey, str] = {}
    versions: dict[ItemKey, list[_Version]] = {key: [] for key in hurt}
    for change in changes:
        if change.op is Op.PUT:
            item = ((change.account, change.kind), change.collection, name_key(change.name))
            if item in versions:
                names[item] = change.name
                whole = change.body is not None or not change.digest
                versions[item].append(_Version(change.rev, change.blob, change.size, change.digest, whole))
        elif change.op is Op.DELETE:  # what was before it is no older version of what came after
            item = ((change.account, change.kind), change.collection, name_key(change.name))
            if item in versions:
                versions[item].clear()
    gone = absent(vaults, {v.blob: v.size for found in versions.values() for v in found if v.blob is not None})

    def there(version: _Version) -> bool:
        if version.blob is None:
            return version.whole
        if found_elsewhere is not None and found_elsewhere(version.blob, version.digest):
            return True
        return version.blob not in gone or (
            blobs is not None and restore(blobs, version.blob, version.size, version.digest)
        )

    losses = []
    for item, found in versions.items():
        stream, id_, _ = item
        if found and not there(found[-1]):
            earlier = any(there(version) for version in found[:-1])
            path = contents.end(stream).path_of(id_)
            losses.append(BlobLoss(*stream, path, names[item], found[-1].rev, earlier))
    return losses


def restore(blobs: Blobs, name: bytes, size: int, digest: bytes) -> bool:
    """Bring a live blob to where the service reads it, and read it there. False where no good copy is to be had.

    Raises OutOfSpace: a disk that is full is no loss.
    """
    whole = sha256()
    length = 0
    try:
        for chunk in blobs.read(name, size, digest=digest):
            whole.update(chunk)
            length += len(chunk)
    except OutOfSpace:
        raise
    except (SafeholdError, OSError):
        return False
    return length == size and whole.digest() == digest


def loss_of(core: CoreReads, number: int, lost: BlobItem, blobs: Blobs) -> BlobLoss:
    """What is lost with this blob; an earlier version that is there makes the item older instead."""
    older = False
    rev = lost.item.rev
    for version in core.history(number, kind=lost.kind, path=lost.path, name=lost.item.name):
        if version.op is Op.DELETE and version.journal < lost.item.journal:
            break
        if version.op is not Op.PUT:
            continue
        if version.journal == lost.item.journal:
            rev = version.rev
        elif version.journal < lost.item.journal:
            stored = core.version_body(version.journal)
            older = stored.blob is None or restore(blobs, stored.blob, stored.size, version.digest)
            if older:
                break
    return BlobLoss(lost.account, lost.kind, lost.path, lost.item.name, rev, older)
