"""A drill, as it is remembered and told: a timed recovery into a scratch core, compared, then asked as clients ask.

Facts of an evidence of the kind `drill` (JSON values), and a line of the list that a data folder keeps of its last
drills: forecasts, objectives and reports are made of these.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: What was recovered: all, or one share of the accounts, so that in a week all have had their turn.
WHOLE, ROLLING = "whole", "rolling"


class KindTimed(msgspec.Struct, frozen=True):
    """What a drill recovered of one kind."""

    changes: int
    items: int
    bytes: int  # of bodies, large ones included
    seconds: float


class Drilled(msgspec.Struct, frozen=True, kw_only=True):
    """How one drill went."""

    at: int  # µs, when it began
    vault: str
    scope: str  # WHOLE or ROLLING
    share: tuple[int, int]  # which of how many shares of the accounts; (1, 1) for a whole one
    to: str  # "latest", or the time of the point that was recovered, RFC 3339
    ok: bool
    streams_compared: int
    streams_equal: int
    accounts: int
    changes: int
    items: int
    bytes: int
    seconds: float  # of recovering and comparing, without what throttling has waited
    waited_seconds: float  # what throttling has waited
    first_contact_seconds: float | None  # until one account's contacts, complete, could be answered
    stages: dict[str, float]  # read, enter, compare, serve: seconds
    kinds: dict[str, KindTimed]
    requests: int  # DAV requests that the scratch service was asked
    rule: str  # how the sample of them was drawn, in words
    forecast_rto_seconds: float | None  # what had been forecast for this drill before it began
    forecast_first_contact_seconds: float | None
    deviations: list[str]  # what was not equal, in words
    damaged: list[dict[str, Any]]  # objects: object, problem, why
    approved_by: str = ""  # who asked for it; "" for the schedule
    evidence: str = ""  # name of the evidence object, once it is put
