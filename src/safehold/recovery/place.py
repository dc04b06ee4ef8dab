"""The folders of a run, and the renames that put a new core where the old one was.

    DATA/scratch/recovery/run.json   what the scratch core is being built for
    DATA/scratch/recovery/core/      the core being built
    DATA/scratch/core-<UTC time>/    a core that was there before; never deleted by us
    DATA/core/                       the core in place

Order, each step durable before the next: the scratch core is complete and synced; the old core is moved aside; the
scratch core is moved into place; `run.json` is removed. A kill between any two leaves what the next run completes.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from safehold.ports.disk import Disk
from safehold.recovery.selection import Selection
from safehold.recovery.sources import SalvageMark


class Memo(msgspec.Struct, frozen=True):
    """What a scratch core is built for. A run with another memo begins anew."""

    selection: Selection
    erased: tuple[bytes, ...]
    generation: int = 0
    salvages: tuple[SalvageMark, ...] = ()
    aside: str = ""  # where a recovery into a serving core is about to move the core that is there


class Place:
    """`data` is the data folder."""

    def __init__(self, disk: Disk, data: str) -> None:
        self._disk = disk
        self._data = data
        self._scratch = f"{data}/scratch"
        self._recovery = f"{data}/scratch/recovery"
        self._memo = f"{data}/scratch/recovery/run.json"
        self.core = f"{data}/core"
        self.building = f"{data}/scratch/recovery/core"

    def memo(self) -> Memo | None:
        """What the scratch core that is there is for; None where there is none, or it cannot be read."""
        if not self._disk.exists(self._memo):
            return None
        file = self._disk.open(self._memo)
        try:
            return msgspec.json.decode(file.read_at(0, file.size()), type=Memo)
        except msgspec.MsgspecError:
            return None
        finally:
            file.close()

    def begin(self, memo: Memo) -> None:
        """Start with an empty scratch core. The memo is written last: it vouches for the emptiness."""
        self._disk.make_folders(self.building)
        self.forget()
        self.clear()
        self._write(self._memo, msgspec.json.encode(memo))

    def resume(self) -> None:
        """Go on with what is there; a kill or a power loss may have left nothing."""
        self._disk.make_folders(self.building)

    def clear(self) -> None:
        """Throw away what has been built so far."""
        self._disk.make_folders(self.building)
        for entry in list(self._disk.list(self.building)):
            if not entry.is_folder:
                self._disk.remove(f"{self.building}/{entry.name}")
        self._disk.sync_folder(self.building)

    def forget(self) -> None:
        """The run is over, or begins anew."""
        if self._disk.exists(self._memo):
            self._disk.remove(self._memo)
            self._disk.sync_folder(self._recovery)

    def _write(self, path: str, data: bytes) -> None:
        temporary = path + ".new"
        file = self._disk.open(temporary, write=True, create=True)
        try:
            file.truncate(0)
            file.write_at(0, data)
            file.sync()
        finally:
            file.close()
        self._disk.rename(temporary, path)
        self._disk.sync_folder(self._recovery)

    def aside(self, now: int) -> str | None:
        """Where `put` will move the core that is there; None where none is."""
        return self._free_name(now) if self._disk.exists(self.core) else None

    def moved(self) -> str | None:
        """Where a recovery into a serving core, killed between its two renames, has moved the core that was there."""
        memo = self.memo()
        there = memo is not None and memo.aside and not self._disk.exists(self.core) and self._disk.exists(memo.aside)
        return memo.aside if memo is not None and there else None

    def put(self, now: int) -> str | None:
        """Move the built core into place; where the one that was there went, or None. `now` in µs."""
        aside = None
        if self._disk.exists(self.core):
            aside = self._free_name(now)
            self._disk.rename(self.core, aside)
            self._disk.sync_folder(self._scratch)
            self._disk.sync_folder(self._data)
        self._disk.sync_folder(self.building)
        self._disk.rename(self.building, self.core)
        self._disk.sync_folder(self._data)
        self._disk.sync_folder(self._recovery)
        return aside

    def _free_name(self, now: int) -> str:
        stamp = datetime.fromtimestamp(now / 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{self._scratch}/core-{stamp}"
        number = 1
        while self._disk.exists(name if number == 1 else f"{name}-{number}"):
            number += 1
        return name if number == 1 else f"{name}-{number}"
