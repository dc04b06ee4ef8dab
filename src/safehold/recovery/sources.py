"""What a plan was made from, so that a later run notices when it is no longer that.

Each folder below `log/` of each vault (a timeline each) is summed up by the count, bytes and a digest of the names and
sizes of its objects. What the objects hold is verified while they are read, each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from safehold.formats.generation import parse_manifest_name
from safehold.formats.run import RUNS_PREFIX
from safehold.model.errors import OperatorError
from safehold.ports.vault import Vault, VaultDown

PREFIX = "log/"

#: Of the end of a log, so many objects are remembered: each start that fails adds one.
LAST_OBJECTS = 20


class FolderSum(msgspec.Struct, frozen=True):
    objects: int
    size: int
    digest: str


class Source(msgspec.Struct, frozen=True):
    """A vault as it was. `problem` says why it could not be read, else it is empty."""

    vault: str
    url: str
    folders: dict[str, FolderSum]
    problem: str = ""
    last: tuple[str, ...] = ()  # names of the last objects of its log
    generation: int = 0  # the newest whose manifest is there

    @property
    def size(self) -> int:
        return sum(folder.size for folder in self.folders.values())


class SalvageMark(msgspec.Struct, frozen=True):
    """A salvage folder as it was: `state` (hex) stands for all that was found."""

    path: str
    state: str


def look(vaults: Sequence[Vault]) -> list[Source]:
    """Sum up the logs of these vaults. A vault that cannot be read has a problem instead of folders."""
    return [_look_at(vault) for vault in vaults]


def _look_at(vault: Vault) -> Source:
    counts: dict[str, list[int]] = {}
    digests = {}
    last: deque[str] = deque(maxlen=LAST_OBJECTS)
    try:
        if not vault.available():
            vault.folders(PREFIX)  # says why, in the vault's own words: another installation, no vault, not mounted
            return Source(vault.name, vault.url, {}, "it is not there, or is no vault")
        numbers = [parse_manifest_name(info.name) for info in vault.list(RUNS_PREFIX)]
        for info in vault.list(PREFIX):
            last.append(info.name)
            folder = info.name.rpartition("/")[0]
            if folder not in counts:
                counts[folder] = [0, 0]
                digests[folder] = sha256()
            counts[folder][0] += 1
            counts[folder][1] += info.size
            digests[folder].update(f"{info.name} {info.size}\n".encode())
    except VaultDown as error:
        return Source(vault.name, vault.url, {}, error.message)
    sums = {name: FolderSum(n, size, digests[name].hexdigest()) for name, (n, size) in counts.items()}
    return Source(vault.name, vault.url, sums, last=tuple(last), generation=max(filter(None, numbers), default=0))


def differences(planned: Sequence[Source], now: Sequence[Source]) -> list[str]:
    """What changed between two looks, in plain words."""
    found = []
    before, after = {s.vault: s for s in planned}, {s.vault: s for s in now}
    found += [f"vault {name} is not among the sources any more" for name in before.keys() - after.keys()]
    found += [f"vault {name} is new" for name in after.keys() - before.keys()]
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old.problem and not new.problem and not new.folders:
            continue  # it was made for this run, and has nothing to say
        if old.problem != new.problem:
            found.append(f"vault {name}: {new.problem or 'can be read now'}")
            continue
        for folder in sorted(old.folders.keys() | new.folders.keys()):
            was, is_ = old.folders.get(folder), new.folders.get(folder)
            if was != is_:
                found.append(f"vault {name}: {folder} {_change(was, is_)}")
    return found


def _change(was: FolderSum | None, is_: FolderSum | None) -> str:
    if was is None:
        return "is new"
    if is_ is None:
        return "is gone"
    if (was.objects, was.size) == (is_.objects, is_.size):
        return "holds other objects"
    return f"had {was.objects} objects of {was.size} bytes, has {is_.objects} of {is_.size}"


def check_salvages(planned: Sequence[SalvageMark], now: Sequence[SalvageMark]) -> None:
    """Raises OperatorError (exit 3) where the salvages are not those that a plan was made from."""
    states = {mark.path: mark.state for mark in now}
    for mark in planned:
        if mark.path not in states:
            raise OperatorError(
                f"the plan was made with the salvage in {mark.path}, which was not given",
                hint=f"give it: --salvage {mark.path}",
            )
        if states[mark.path] != mark.state:
            raise OperatorError(
                f"the salvage in {mark.path} has found more since the plan was made",
                hint="make a new plan with `safehold recover plan` and look at it",
            )


def check_unchanged(planned: Sequence[Source], now: Sequence[Source]) -> None:
    """Raises OperatorError (exit 3) that names the differences."""
    found = differences(planned, now)
    if found:
        raise OperatorError(
            "the sources are no longer those of the plan: " + "; ".join(found[:10]),
            hint="make a new plan with `safehold recover plan` and look at it",
        )
