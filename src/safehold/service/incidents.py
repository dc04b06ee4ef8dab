"""What the operator is told of: proof that something was lost, as devices bring it, and all else that went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from safehold.ports.core import CoreReads
from safehold.ports.world import Clock
from safehold.service.ahead import doubts_of
from safehold.service.items import stamp

#: Devices remembered; the one heard of longest ago makes room.
LIMIT = 1000
#: What is over is told for so long.
SHOWN_MICROSECONDS = 24 * 3600 * 1_000_000


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
                "key": f"{account} {path} {device}",
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


def end_in_doubt(reads: CoreReads) -> list[dict[str, Any]]:
    """For the status object: recoveries that could not know how the log had ended (formats/doubt.py)."""
    return [
        {
            "what": "the end of the log is in doubt",
            "since": stamp(doubt.at),
            "until": None,
            "unknown_seconds": round(doubt.unknown_seconds, 1),
            "message": (
                f"what was written in the last {doubt.unknown_seconds:.0f} s before the loss is not known: devices are "
                "given no list, so that none deletes what only it still has"
            ),
            "hint": (
                "recover further if a vault may hold more; else stop the service and say "
                "`safehold recover run --yes --accept-loss`, or let each person decide on /devices"
            ),
            "summary": "It is not known whether the last changes before a loss are all here.",
            "steps": ["Do not reset your devices: they keep what they have."],
        }
        for doubt in doubts_of(reads)
    ]


class _Noted(msgspec.Struct):
    since: int  # µs
    last: int
    times: int
    facts: dict[str, Any]
    until: int | None = None


class Incidents:
    """What the operator is to be told of, by sort and subject, until it is over; what is over is told for a day more.

    Kept in memory: what lasts is found again after a restart by whoever noted it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[tuple[str, str], _Noted] = {}

    def note(
        self,
        what: str,
        subject: str = "",
        *,
        message: str,
        hint: str = "",
        over: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Of one subject the last word counts. `summary` and `steps` among the facts are for anybody to read."""
        now = self._clock.now()
        noted = self._noted.pop((what, subject), None) or _Noted(now, now, 0, {})
        noted.last, noted.until = now, now if over else None
        noted.times += 1
        noted.facts = {"message": message, "hint": hint, "summary": "", "steps": [], **(facts or {})}
        if len(self._noted) >= LIMIT:
            del self._noted[next(iter(self._noted))]
        self._noted[what, subject] = noted

    def end(self, what: str, subject: str = "") -> None:
        """It is over; harmless where nothing was noted."""
        noted = self._noted.get((what, subject))
        if noted is not None and noted.until is None:
            noted.until = self._clock.now()

    def incidents(self) -> list[dict[str, Any]]:
        """For the status object; as those of devices that are ahead."""
        now = self._clock.now()
        for key in [
            key for key, n in self._noted.items() if n.until is not None and now - n.until > SHOWN_MICROSECONDS
        ]:
            del self._noted[key]
        return [
            {
                "what": what,
                "key": subject,
                "since": stamp(noted.since),
                "until": None if noted.until is None else stamp(noted.until),
                "last_seen": stamp(noted.last),
                "times": noted.times,
                **noted.facts,
            }
            for (what, subject), noted in self._noted.items()
        ]
