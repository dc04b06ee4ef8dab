"""Drills that were never run: records as a data folder keeps them, of any size and time."""

from __future__ import annotations

from typing import Any

from safehold.model.kinds import DATA_KINDS
from safehold.proof.drills import WHOLE, Drilled, KindTimed

DAY_MICROSECONDS = 86_400_000_000


def drilled(changes: int, seconds: float, **more: Any) -> Drilled:
    """Of so many changes, an eighth of them photos, that took so long."""
    accounts = more.pop("accounts", max(1, changes // 500))
    each, photo_bytes = more.pop("each", 900), more.pop("photo_bytes", 0)
    share = changes // len(DATA_KINDS)
    kinds = {
        kind.value: KindTimed(
            share, share, photo_bytes if kind == "photos" else share * each, seconds / len(DATA_KINDS)
        )
        for kind in DATA_KINDS
    }
    values: dict[str, Any] = {
        "at": 1_800_000_000_000_000,
        "vault": "near",
        "scope": WHOLE,
        "share": (1, 1),
        "to": "latest",
        "ok": True,
        "streams_compared": accounts * 7,
        "streams_equal": accounts * 7,
        "accounts": accounts,
        "changes": changes,
        "items": changes,
        "bytes": sum(kind.bytes for kind in kinds.values()),
        "seconds": seconds,
        "waited_seconds": 0.0,
        "first_contact_seconds": 0.5 + accounts * 1e-3,
        "stages": {"read": seconds / 2, "enter": seconds / 4, "compare": seconds / 4, "serve": 0.1},
        "kinds": kinds,
        "requests": 20,
        "rule": "every account once",
        "forecast_rto_seconds": None,
        "forecast_first_contact_seconds": None,
        "deviations": [],
        "damaged": [],
    }
    return Drilled(**{**values, **more})
