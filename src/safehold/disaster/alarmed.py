"""Alarms over a simulated house: the real looks, rules and engine, on one thread, under the simulated clock.

    alarmed = Alarmed(house)
    alarmed.look()              # every LOOK_SECONDS of simulated time, or less often; what is told now
    alarmed.move(house)         # after a crash or kill: the installation goes on in another house

Commands to a house by hand between two looks arrive by its `on_committed`, which this takes over.
"""

from __future__ import annotations

from collections.abc import Sequence

from safehold.archiver.shipper import Shipper
from safehold.assembly.looking import Keys, Looking, Parts, Timings
from safehold.assembly.looking_core import Heard
from safehold.disaster.house import House
from safehold.lab.sealing import LabOpener
from safehold.model.change import Change
from safehold.model.errors import OperatorError, SafeholdError
from safehold.ports.core import CoreReads
from safehold.proof.alarms import Alarms, Condition, Told
from safehold.proof.limits import DEFAULT_LIMITS, Limits
from safehold.proof.rules import Rules
from safehold.proof.seen import RoomSeen, Sight
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import load_keyring


class Alarmed:
    """One house's alarms."""

    def __init__(self, house: House, limits: Limits = DEFAULT_LIMITS) -> None:
        self.alarms = Alarms()
        self.rules = Rules(limits=limits)
        self.told: list[Told] = []
        self.sight: Sight | None = None
        self._heard = Heard()
        self._appends: list[float] = []
        self._commits: list[float] = []
        self._chained = house.on_committed
        self._known_keys: tuple[tuple[tuple[str, bytes], ...], Keys] | None = None
        self.move(house)

    def move(self, house: House) -> None:
        """The installation goes on in this house."""
        self.house = house
        house.on_committed = self._committed
        self._looking = Looking(self._parts(), self._heard)

    def look(self, conditions: Sequence[Condition] = ()) -> list[Told]:
        """Look at all there is, judge, and say what is told now; `conditions` are what others found."""
        self.house.engine.on_timed = self._timed
        self.sight = sight = self._looking.look_at_all()
        told = self.alarms.look(sight.now, sight.monotonic, [*conditions, *self.rules.judge(sight)])
        self.told += told
        return told

    def _committed(self, changes: Sequence[Change]) -> None:
        self._chained(changes)
        self._heard.committed(changes)

    def _timed(self, write: float, commit: float) -> None:
        self._appends.append(write)
        self._commits.append(commit)

    def _take_timings(self) -> Timings:
        found = Timings(tuple(self._appends), tuple(self._commits))
        self._appends, self._commits = [], []
        return found

    def _parts(self) -> Parts:
        house = self.house
        return Parts(
            clock=house.clock,
            configs=lambda: house.vaults,
            make_vault=house.vault,
            keys=self._keys,
            reads=self._reads,
            shippers=self._shippers,
            stopped=lambda: house.engine.stopped,
            refusal=lambda: house.engine.refusal,
            body_refusal=lambda: house.writer.archive.refusal,
            recovering=lambda: house.recovering,
            rooms=lambda: [RoomSeen("the installation", house.disk.free_bytes("/"))],
            timings=self._take_timings,
            blob_names=_blob_names,
            removals=lambda vault: house.removals.get(vault, (0, 0)),
        )

    def _keys(self) -> Keys:
        """Read again only where the files have changed: that is most of what a look costs."""
        disk = self.house.disk
        files = tuple((path, disk.bytes_of(path)) for path in disk.files("/keys"))
        if self._known_keys is None or self._known_keys[0] != files:
            self._known_keys = (files, self._read_keys())
        return self._known_keys[1]

    def _read_keys(self) -> Keys:
        try:
            keys = load_keyring(self.house.disk, "/keys")
        except (OperatorError, OSError) as error:
            return Keys((), wrong=str(error))
        return Keys((("identity", LabOpener(keys.opener)),), keys.sealer.recipients)

    def _reads(self) -> CoreReads | None:
        return self.house.reads if self.house.readable else None

    def _shippers(self) -> Sequence[Shipper]:
        stopped: SafeholdError | None = self.house.engine.stopped
        return () if stopped is not None else self.house.writer.shippers


def _blob_names(reads: CoreReads) -> set[bytes]:
    assert isinstance(reads, SqliteCore)
    return reads.blob_names()
