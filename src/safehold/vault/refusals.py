"""Requests that a served vault has refused because they would have made void what it holds: from when on, and after
which frame. It is the holder's own note, in a folder that its clients cannot write to.

    RUN/refused.json    beside the vault's folder: `../run/` of it
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from safehold.ports.disk import Disk
from safehold.ports.vault import Vault, VaultDown
from safehold.ports.whole_file import read_json, write_whole
from safehold.ports.world import Clock
from safehold.vault.folder import FolderVault
from safehold.vault.segments import load_copy, segments, timelines

FILE_NAME = "refused.json"
#: What was refused is one story as long as no more than this lies between two.
REMEMBERED = 30 * 86_400 * 1_000_000
#: Two writers that raced are refused once or twice, and open their log anew; more is somebody else.
RACES = 2


class Refused(msgspec.Struct, frozen=True):
    """Requests of one client's that would have made void what its vault holds. Times in µs, by the holder's clock.

    `frame` is the newest that was there when the first of them came: what came after it may be somebody else's.
    """

    first: int
    last: int
    count: int
    frame: int
    why: str


class Refusals:
    """What was refused of one vault: `folder` is the vault's, `run` the holder's own."""

    def __init__(self, folder: str, run: str, disk: Disk, clock: Clock) -> None:
        self._folder, self._run, self._disk, self._clock = folder, run, disk, clock

    def note(self, why: str) -> None:
        """Whoever asks for that is not the writer as we know it; written down at once, as it may be the first sign."""
        known, now = self.read(), self._clock.now()
        if known is None or now - known.last > REMEMBERED:
            known = Refused(now, now, 0, newest_frame(FolderVault("vault", self._folder, self._disk)), why)
        known = msgspec.structs.replace(known, last=now, count=known.count + 1)
        with suppress(OSError):
            write_whole(self._disk, f"{self._run}/{FILE_NAME}", msgspec.json.encode(known))

    def read(self) -> Refused | None:
        return read_json(self._disk, f"{self._run}/{FILE_NAME}", Refused)

    def told(self) -> dict[str, object]:
        """For the vault's clients, among what its server says of itself: nothing where nothing was refused."""
        found = self.read()
        return {} if found is None else {"refused": msgspec.structs.asdict(found)}


def newest_frame(vault: Vault) -> int:
    """Its number, by the headers alone; 0 where there is none."""
    with suppress(VaultDown, KeyError):
        for timeline in reversed(timelines([vault])):
            for name in reversed(list(segments([vault], timeline))):
                if numbers := load_copy(vault, name).frames:
                    return max(numbers)
    return 0
