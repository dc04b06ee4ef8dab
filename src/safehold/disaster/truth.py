"""What would be left of each vault if the power went now, against what is said of it."""

from __future__ import annotations

from safehold.disaster.house import House
from safehold.lab.oracle import Oracle, Wrong
from safehold.ports.log import LogFrame
from safehold.vault.folder import FolderVault
from safehold.vault.log import VaultLogReader


class Truth:
    """Looks once; the disks must be whole meanwhile."""

    def __init__(self, house: House, oracle: Oracle) -> None:
        survivor = house.disk.survivor()
        opener = house.keyring.opener
        near, far = (VaultLogReader([FolderVault(v, f"/{v}", survivor)], opener) for v in ("near", "far"))
        end = far.end()
        self._near_lacks = house.reads.unarchived(near.end().frame)[0]
        self._far_lacks = house.reads.unarchived(end.frame)[0]
        self._age_seconds = 0.0
        if self._far_lacks and not self._near_lacks:
            beyond = (
                e for e in near.entries() if isinstance(e, LogFrame) and e.changes and e.position.frame > end.frame
            )
            at = max(next(beyond).at, oracle.lacking_since(self._far_lacks))
            self._age_seconds = (house.clock.now() - at) / 1_000_000

    def check_near(self) -> None:
        """I1: what is acknowledged is durable in the sync vault."""
        if self._near_lacks:
            raise Wrong(f"{self._near_lacks} acknowledged changes are not durable in the sync vault", "I1")

    def check_far(self, reported: int, lag_seconds: float | None) -> None:
        """Status never says less than there is. Of what is archived again, the lag counts from then."""
        if reported < self._far_lacks:
            raise Wrong(f"the async vault lacks {self._far_lacks} changes; status says {reported}", "I31")
        if lag_seconds is not None and lag_seconds < self._age_seconds - 0.001:
            raise Wrong(f"the async vault lags {self._age_seconds} s behind; status says {lag_seconds}", "I31")
