"""Proof that something was lost here, as devices bring it: who saw what the server does not have."""

from __future__ import annotations

from typing import Any

import msgspec

from safehold.ports.world import Clock
from safehold.service.items import stamp

#: Devices remembered; the one heard of longest ago makes room.
LIMIT = 1000


class _Seen(msgspec.Struct):
    since: int  # µs
    last: int
    times: int


class DevicesAhead:
    """Devices whose sync tokens lie beyond what the server has.

    Kept in memory: a device that is ahead says so again at each of its syncs, after a restart too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str, str], _Seen] = {}

    def note(self, account: str, path: str, device: str) -> None:
        now = self._clock.now()
        key = (account, path, device)
        seen = self._seen.pop(key, None) or _Seen(now, now, 0)
        seen.last = now
        seen.times += 1
        if len(self._seen) >= LIMIT:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = seen

    def incidents(self) -> list[dict[str, Any]]:
        """For the status object: `message` and `hint` are the operator's, `summary` and `steps` anybody's."""
        return [
            {
                "what": "device ahead",
                "since": stamp(seen.since),
                "until": None,
                "last_seen": stamp(seen.last),
                "account": account,
                "collection": path,
                "device": device,
                "message": f"{device} of {account} has seen changes in {path} that the server does not have",
                "hint": "recover further if a vault may hold more; else export them from the device",
                "summary": "A device has newer data than the server.",
                "steps": ["Do not reset the device: what it holds can be recovered from."],
            }
            for (account, path, device), seen in self._seen.items()
        ]
