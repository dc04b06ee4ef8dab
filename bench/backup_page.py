"""The section of docs/performance.md about backups."""

from __future__ import annotations

from typing import Any

from bench.backup_goals import OURS, ours, peers
from bench.goals import Verdict
from bench.tools import STEPS

_HEAD = """
## Beside backup tools

The same made-up items of people (contacts, events, notes, tasks, scores; 860 bytes each) in a Safehold installation,
in a SQLite file, as one file an item and in PostgreSQL. In a round each tool takes a full backup; then 1 % of the
items, scattered, get new bodies, and each takes another; then each verifies all that it has stored, fetches one
account's contacts of the newest state, and restores the whole. Everything lies on the same disk and is in the page
cache. Seconds are those of whole commands, medians of the rounds; those in brackets are Safehold's work within its
process, without the start of an interpreter. What came back was read, counted and digested, whoever brought it.

- Safehold's log holds every change before it is answered, so its backups here are what a snapshot adds to it; "log and
  all" also verifies the log. Litestream follows its database likewise, here from one call to the next.
- A database file, and PostgreSQL's dump, give one account's contacts only by way of the whole.
- The bare bulk load is the yardstick of a restore: the rows of the same core inserted into an empty file of the same
  schema by the same library, without a journal, indexes at the end, then synced; reading them is not counted.
- Memory is what all processes of a command held together at their fullest, shared pages counted once (PSS); of
  PostgreSQL, the clients alone.

{goals}
"""

_SIZE = """
### {items:,} items in {accounts:,} accounts

Machine: {machine}.
Versions: {versions}.
Bodies: {megabytes:.0f} MB. Rounds: {rounds}.{limit}

{tables}
{settings}{flaws}"""


def section(results: dict[str, Any]) -> str:
    goals = [Verdict(*verdict) for verdict in results["goals"]]
    lines = [f"| {v.goal} | {v.found} | {'met' if v.met else '**missed**'} |" for v in goals]
    sizes = sorted(results["sizes"].values(), key=lambda measured: int(measured["items"]))
    head = _HEAD.format(goals="\n".join(["| goal | found | |", "| --- | --- | --- |", *lines]))
    return head + "".join(map(_size, sizes))


def _size(measured: dict[str, Any]) -> str:
    tables = [
        _table(measured, "seconds", _seconds),
        _table(
            measured, "MB stored", lambda found: f"{found['stored_bytes'] / 1e6:.2f}", ("full backup", "1 % changed")
        ),
        _table(measured, "MB of memory", lambda found: f"{found['peak_bytes'] / 1e6:.0f}"),
        _ratios(measured),
    ]
    settings = [f"- {name} {tool['version']}: {tool['settings']}." for name, tool in measured["tools"].items()]
    limit = ""
    if any(found["broken_off"] for tool in measured["tools"].values() for found in tool["steps"].values()):
        limit = f" A step that took longer than {measured['limit_seconds']:.0f} s was broken off there."
    if measured["left_out"]:
        limit += f" Left out, for the time they take: {', '.join(measured['left_out'])}."
    return _SIZE.format(
        tables="\n".join(tables),
        settings="\n".join(settings) + "\n",
        flaws=_flaws(measured),
        limit=limit,
        megabytes=measured["body_bytes"] / 1e6,
        **{key: measured[key] for key in ("items", "accounts", "machine", "versions", "rounds")},
    )


def _table(measured: dict[str, Any], title: str, text: Any, steps: tuple[str, ...] = tuple(STEPS)) -> str:
    """A row for each tool, a column for each step."""
    lines = [f"| {title} | {' | '.join(steps)} |", f"| --- |{' --- |' * len(steps)}"]
    for name, tool in measured["tools"].items():
        cells = (text(tool["steps"][step]) if step in tool["steps"] else "" for step in steps)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _seconds(found: dict[str, Any]) -> str:
    if found["broken_off"]:
        return f"over {found['seconds']:.0f}"
    inner = found.get("inner_seconds")
    return f"{found['seconds']:.2f}" + ("" if inner is None else f" ({inner:.3f})")


def _ratios(measured: dict[str, Any]) -> str:
    """How many times as long the peers take."""
    steps = [step for step in STEPS if peers(measured, step)]
    lines = [f"| times as long as {OURS} | {' | '.join(steps)} |", f"| --- |{' --- |' * len(steps)}"]
    for name in measured["tools"]:
        if name == OURS:
            continue
        cells = []
        for step in steps:
            own, other = ours(measured, step), peers(measured, step).get(name)
            cells.append("" if own is None or other is None else f"{other['seconds'] / own['seconds']:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _flaws(measured: dict[str, Any]) -> str:
    lines = [
        f"- {name}, {step}: {wrong}."
        for name, tool in measured["tools"].items()
        for step, found in tool["steps"].items()
        for wrong in found["wrong"]
    ]
    return "\nBrought back other than it should have been:\n\n" + "\n".join(lines) + "\n" if lines else ""
