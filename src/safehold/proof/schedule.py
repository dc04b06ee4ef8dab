"""When a job is due, and when it has been missed: pure rules over what its last runs left.

A job is due one interval after its last run that came to its end began, and a jitter of its own, which is drawn from
its name and the installation so that many machines do not all begin at once. One that failed is tried again after a
pause that doubles. It is *missed* when it has not come to its end for longer than its interval and a grace: whether the
machine was off, nothing was running, or it failed again and again. A clock that was set back makes it due.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from safehold.proof.durations import HOUR, MINUTE, duration_words
from safehold.service.items import stamp

#: A job may begin later than its interval by this share of it.
JITTER_SHARE = 0.05
#: It has been missed once it is late by this share of its interval, and by so long at least.
GRACE_SHARE, LEAST_GRACE_SECONDS = 0.5, HOUR
#: After a failure: the first pause, and the longest.
BACKOFF_SECONDS = (5 * MINUTE, 6 * HOUR)
_MICROSECONDS = 1_000_000


class LastRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`run/jobs/NAME.json`: how the last run went, µs since 1970. `ended` 0 while it runs, or where it was cut off."""

    began: int = 0  # 0: it never ran
    ended: int = 0
    ok: bool = False
    why: str = ""  # it was not
    done: int = 0  # when the last one that came to its end began; 0: none did
    failures: int = 0  # in a row
    since: int = 0  # since when it is known here: what a job that never ran is late by


def jitter_seconds(name: str, installation: bytes, every_seconds: float) -> float:
    """The same for a job of an installation each time."""
    drawn = int.from_bytes(sha256(installation + name.encode()).digest()[:4]) / 2**32
    return drawn * JITTER_SHARE * every_seconds


def due_at(last: LastRun | None, every_seconds: float, jitter: float = 0.0) -> int:
    """µs since 1970; 0: at once."""
    if last is None or not last.done:
        return 0
    return last.done + round((every_seconds + jitter) * _MICROSECONDS)


def is_due(last: LastRun | None, now: int, every_seconds: float, jitter: float = 0.0) -> bool:
    """Whether to begin it now."""
    if last is None:
        return True
    if last.failures and 0 <= now - last.began < pause_seconds(last.failures) * _MICROSECONDS:
        return False
    return now >= due_at(last, every_seconds, jitter) or last.done > now


def pause_seconds(failures: int) -> float:
    """After so many failures in a row."""
    least, most = BACKOFF_SECONDS
    return min(most, least * 2.0 ** min(failures - 1, 30))


def missed_since(last: LastRun | None, now: int, every_seconds: float) -> int | None:
    """When it should have begun, where that is too long ago; None: it is not missed."""
    known = 0 if last is None else last.done or last.since
    if not known or known > now:
        return None
    due = known + round(every_seconds * _MICROSECONDS)
    grace = max(LEAST_GRACE_SECONDS, GRACE_SHARE * every_seconds)
    return due if now - due > grace * _MICROSECONDS else None


def missed_incident(
    name: str, last: LastRun | None, now: int, every_seconds: float, command: str
) -> dict[str, Any] | None:
    """What is told of a job that has been missed; None where it has not."""
    due = missed_since(last, now, every_seconds)
    if due is None or last is None:
        return None
    late = duration_words((now - due) / _MICROSECONDS)
    why = f"the last one failed: {last.why}" if last.failures and last.why else "nothing ran it: was the machine off?"
    if last.began and not last.ended:
        why = "the last one did not come to its end"
    return {
        "what": "missed job",
        "key": name,
        "message": f"the job {name}, due every {duration_words(every_seconds)}, is {late} late; {why}",
        "summary": "Something that is to be done regularly was not done",
        "hint": f"it is caught up with while `safehold serve` runs; or run `safehold {command}` now",
        "runbook": "missed-job",
        "since": stamp(due),
        "until": None,
    }
