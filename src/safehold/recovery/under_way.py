"""Evidence that somebody puts while somebody else looks: it goes into one vault after the other.

Who lists one vault before, and another one after it was put into both, sees it missing in the first. So before it is
called missing it is looked for again; and where it was made a moment ago, for as long as it may still be on its way.
"""

from __future__ import annotations

from collections.abc import Callable

from safehold.formats.evidence import parse_evidence_name
from safehold.ports.vault import Vault
from safehold.ports.world import Clock

#: Evidence that is not older may still be on its way into a vault.
FRESH_SECONDS = 60.0
#: It is waited for so long in all, in so many looks: counted, as a clock may stand still.
PATIENCE_SECONDS = 5.0
LOOKS = 50

_MICROSECONDS = 1_000_000


class UnderWay:
    """Of one look at vaults: the patience is for all that it misses."""

    def __init__(self, clock: Clock, wait: Callable[[float], None]) -> None:
        self._clock = clock
        self._wait = wait
        self._looks = LOOKS

    def has_come(self, vault: Vault, name: str) -> bool:
        """Whether an object that was not listed is there now, or is within a moment. Raises VaultDown."""
        while vault.size(name) is None:
            if self._looks <= 0 or not self._is_fresh(name):
                return False
            self._looks -= 1
            self._wait(PATIENCE_SECONDS / LOOKS)
        return True

    def _is_fresh(self, name: str) -> bool:
        parsed = parse_evidence_name(name)
        return parsed is not None and 0 <= self._clock.now() - parsed.at < FRESH_SECONDS * _MICROSECONDS
