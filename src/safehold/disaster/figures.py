"""Many runs in few figures: for the command's answer, and for the page that is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import msgspec

from safehold.disaster.scenario import Scenario
from safehold.disaster.scoring import Score

#: Seconds of which the middle and the worst are told.
TIMES = ("detected_seconds", "rpo_seconds", "rto_seconds", "first_contact_seconds", "last_photo_seconds")
COUNTS = (
    "acknowledged",
    "exact",
    "older",
    "lost",
    "unknown",
    "silent",
    "resurrected",
    "devices_wiped",
)


def summary(scenario: Scenario, scores: Sequence[Score]) -> dict[str, Any]:
    """One scenario over its seeds: counts are sums, times `{median, worst}` over the runs that came to them."""
    found: dict[str, Any] = {
        "scenario": scenario.name,
        "title": scenario.title,
        "year": scenario.year,
        "lost_then": scenario.lost_then,
        "seeds": len(scores),
        "passed": all(score.passed for score in scores),
        "failed_seeds": [score.seed for score in scores if not score.passed],
    }
    found.update({name: sum(getattr(score, name) for score in scores) for name in COUNTS})
    found.update({name: _times(getattr(score, name) for score in scores) for name in TIMES})
    return found


def _times(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return {"median": round(median(known), 1), "worst": max(known)} if known else None


def all_runs(runs: Sequence[tuple[Scenario, Sequence[Score]]], accounts: int) -> dict[str, Any]:
    """What `disaster run all --json` says."""
    summaries = [summary(scenario, scores) for scenario, scores in runs]
    return {
        "passed": all(each["passed"] for each in summaries),
        "accounts": accounts,
        "disasters": summaries,
        "runs": [msgspec.to_builtins(score) for _, scores in runs for score in scores],
    }
