"""What the writer of generations remembers on its own disk: the newest one, and the plan of one under way.

It is kept beside the core, since a writer without the identity cannot read what it wrote to the vaults. Losing it costs
no more than a full generation where a delta would have done, and the objects of one that was under way.
"""

from __future__ import annotations

import posixpath

import msgspec

from safehold.formats.generation import Manifest, RunEntry
from safehold.formats.seal import SealedObject
from safehold.ports.disk import Disk


class PlannedRun(msgspec.Struct, frozen=True, array_like=True):
    """A run object to be written. `changes` is about how many it will have."""

    number: int
    since: int
    first_partition: int
    last_partition: int
    changes: int


class GenerationPlan(msgspec.Struct, frozen=True, array_like=True):
    """All that has to be known to write a generation, or to finish it after a kill."""

    upto: tuple[int, int, bytes]  # log position
    at: int  # µs
    previous: tuple[int, bytes]
    dropped_upto: int
    kept: list[RunEntry]
    runs: list[PlannedRun]
    streams: int
    items: dict[str, int]
    #: Objects that may be in a vault already, by number: they are put there as they are or not at all.
    done: dict[int, RunEntry] = {}


class Newest(msgspec.Struct, frozen=True, array_like=True):
    """The generation that was written last."""

    manifest: Manifest
    digest: bytes  # of its GENERATION frame
    object: SealedObject


class Ledger(msgspec.Struct, array_like=True):
    newest: Newest | None = None
    plan: GenerationPlan | None = None
    #: What is in the vaults, and no seal has stated yet.
    unsealed: list[SealedObject] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ledger).decode


def load_ledger(disk: Disk, path: str) -> Ledger:
    """An empty one where there is none, or none that can be read."""
    try:
        file = disk.open(path)
    except OSError:
        return Ledger()
    try:
        return _decode(file.read_at(0, file.size()))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Ledger()
    finally:
        file.close()


def save_ledger(disk: Disk, path: str, ledger: Ledger) -> None:
    """Atomic, and synced. Raises OSError."""
    folder = posixpath.dirname(path)
    disk.make_folders(folder)
    temporary = f"{path}.new"
    if disk.exists(temporary):
        disk.remove(temporary)
    file = disk.open(temporary, write=True, create=True)
    try:
        file.write_at(0, _encode(ledger))
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_folder(folder)
