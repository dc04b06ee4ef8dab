"""An old core as a witness: what it remembers of changes that no vault holds."""

from __future__ import annotations

from collections.abc import Sequence

from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads


class CoreWitness:
    """An old core, whole or not, that remembers changes. What it offers is proved by the chain, never trusted."""

    def __init__(self, core: CoreReads) -> None:
        self._core = core

    def changes(self, account: bytes, kind: Kind, first: int, last: int) -> Sequence[Change]:
        found: list[Change] = []
        try:
            row = self._core.account_by_id(account)
            if row is None:
                return ()
            for rev in range(first, last + 1):
                version = self._core.version_at(row.number, kind, rev)
                if version is None:
                    return ()
                found.append(self._core.change(version.journal))
        except Exception:  # a damaged file may fail in any way, and then it remembers nothing
            return ()
        return found
