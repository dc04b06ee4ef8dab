"""A core that a drill has recovered where there is no live one: compared with what the core had stated in the vault.

For a keeper on another machine, which has vaults and the key, and no core. What the core states is signed and was
computed on its own path: heads of streams in seals, heads and state roots in the generation (archiver/told.py over the
live journal). For each stream:

    the recovered journal   row by row, by the archiver's own code: at the generation's rev it must come to the state
                            root that is stated there, at the last seal's rev to the head that is stated there
    the recovered tables    must hold what that journal tells, by state root and item by item

What only a live core could show, a table of it that is not what its journal tells, a drill beside the core shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from safehold.archiver.told import Told
from safehold.assembly.drill_compare import MAX_DIFFERENCES, Compared, tables
from safehold.model.kinds import Kind
from safehold.model.stream import Head
from safehold.ports.core import CoreReads, LogPosition
from safehold.ports.log import LogReader
from safehold.recovery.chains import StreamKey
from safehold.recovery.reconcile import core_root
from safehold.vault.runs import GenerationReader, Runs

_REST_AFTER = 200


class StatedStream(NamedTuple):
    """What is stated of one stream: its head in the generation and the state root there, and its head in the seals."""

    there: Head | None = None
    root: bytes = b""
    sealed: Head | None = None

    @property
    def last(self) -> int:
        return max((head.rev for head in (self.there, self.sealed) if head is not None), default=0)


def stated(runs: Runs, reader: LogReader, upto: LogPosition) -> dict[StreamKey, StatedStream]:
    """By the newest generation and the seals after it, the newest seal of each stream. Raises VaultDown, KeyAway."""
    found: dict[StreamKey, StatedStream] = {}
    generation = next(iter(runs.generations()), None)
    since = 0
    if generation is not None:
        since = generation.position.frame
        entries: GenerationReader = runs.reader(generation)
        for entry in entries.streams():
            found[entry.key] = StatedStream(entry.head, entry.root)
    for number, heads in reader.seals(upto):
        if number <= since:
            break
        for key, head in heads.items():
            known = found.get(key, StatedStream())
            if known.sealed is None:
                found[key] = known._replace(sealed=head)
    return found


class StatedComparison:
    """One comparison. `watched` streams leave what the recovered journal tells of them in `told`."""

    def __init__(
        self,
        scratch: CoreReads,
        expected: Mapping[StreamKey, StatedStream],
        erased: Iterable[bytes],
        selected: Callable[[bytes, Kind], bool],
        watched: Callable[[StreamKey], bool] = lambda _: False,
        rest: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        gone = frozenset(erased)
        self._scratch = scratch
        self._expected = {k: s for k, s in expected.items() if k[0] not in gone and selected(*k)}
        self._selected = selected
        self._watched = watched
        self._rest = rest
        self._progress = progress
        self.told: dict[StreamKey, Told] = {}

    def run(self) -> Compared:
        there = {key for key, rev in self._scratch.stream_ends().items() if rev and self._selected(*key)}
        keys = sorted({*there, *self._expected}, key=lambda key: (key[0], str(key[1])))
        equal = 0
        differences: list[str] = []
        for done, key in enumerate(keys):
            found = self._stream(key, self._expected.get(key, StatedStream()))
            differences += found[: max(0, MAX_DIFFERENCES - len(differences))]
            equal += not found
            self._rest()
            self._progress(done + 1, len(keys))
        return Compared(len(keys), equal, 0, differences)

    def _stream(self, key: StreamKey, meant: StatedStream) -> list[str]:
        """What differs, in words."""
        id_, kind = key
        row = self._scratch.account_by_id(id_)
        name = (row.name if row is not None else "") or id_.hex()
        who = f"{name}, {kind}" if any(id_) else f"the installation, {kind}"
        if row is None:
            return [f"{who}: nothing of it was recovered; it is stated up to rev {meant.last}"]
        held = self._scratch.held(row.number, kind)
        found = [f"{who}: it would be held: {held}"] if held is not None else []
        head = self._scratch.head(row.number, kind)
        told = Told()
        for count, change in enumerate(self._scratch.run_rows(row.number, kind, 0, head.rev), 1):
            told.add(change)
            found += [f"{who}: {why}" for why in _at(told, meant)]
            if count % _REST_AFTER == 0:
                self._rest()
        if head.rev < meant.last:
            found.append(f"{who}: recovered up to rev {head.rev}; it is stated up to rev {meant.last}")
        if told.hash != head.hash:
            found.append(f"{who}: the recovered journal ends with another change than it says")
        if told.root() != core_root(self._scratch, row.number, kind):
            found.append(f"{who}: what lives in the recovered tables is not what their journal tells")
        found += [f"{who}: recovered {problem}" for problem in tables(self._scratch, row.number, kind, told)]
        if self._watched(key):
            self.told[key] = told
        return found


def _at(told: Told, meant: StatedStream) -> Iterable[str]:
    """What is not as it was stated of the rev that was just told."""
    if meant.there is not None and told.rev == meant.there.rev:
        if told.hash != meant.there.hash:
            yield f"rev {told.rev} is another change than the generation states"
        if meant.root and told.root() != meant.root:
            yield f"the state root at rev {told.rev} is not the one that the core stated"
    if meant.sealed is not None and told.rev == meant.sealed.rev and told.hash != meant.sealed.hash:
        yield f"rev {told.rev} is another change than a seal states"
