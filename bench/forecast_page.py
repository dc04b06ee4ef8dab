"""The section of docs/performance.md about forecasts."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.goals import Verdict

_SECTION = """
## Forecast against actual

Machine: {machine}.
Versions: {versions}.

Installations of so many items are restored by `recover run` from their vault, {rounds} rounds after a few restores of
the smallest ones, each round in an order of its own. Each restore is forecast, before it begins, from those that were
measured before it in the same run; the first of a size that is larger than all before it is forecast from smaller ones
only. Seconds are the recovery's own. "Within" counts the restores that took as long as the interval says, which is
meant to hold four times in five.

{goals}

| items | restores | median s | forecast s | median error | worst | within |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


def section(results: dict[str, Any]) -> str:
    goals = [Verdict(*verdict) for verdict in results["goals"]]
    lines = [f"| {v.goal} | {v.found} | {'met' if v.met else '**missed**'} |" for v in goals]
    judged = [each for each in results["restores"] if each["judged"]]
    rows = [_row(items, [e for e in judged if e["items"] == items]) for items in sorted({e["items"] for e in judged})]
    return _SECTION.format(
        machine=results["machine"],
        versions=results["versions"],
        rounds=results["rounds"],
        goals="\n".join(["| goal | found | |", "| --- | --- | --- |", *lines]),
        rows="\n".join(rows),
    )


def _row(items: int, restores: list[dict[str, Any]]) -> str:
    errors = [abs(each["forecast"] / each["seconds"] - 1) for each in restores]
    within = sum(each["low"] <= each["seconds"] <= each["high"] for each in restores)
    took, told = (median(each[figure] for each in restores) for figure in ("seconds", "forecast"))
    return (
        f"| {items:,} | {len(restores)} | {took:.2f} | {told:.2f} | {median(errors):.1%} | {max(errors):.1%} "
        f"| {within} of {len(restores)} |"
    )
