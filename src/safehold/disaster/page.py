"""docs/disasters.md, made from what `disaster run all --json` says, and from the pages of the scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safehold.disaster.scenario import Scenario, scenario_named

_HEAD = """# Disasters

What real services have lost, and what Safehold loses where the same happens to it. Each row is a scenario of the
disaster lab: a small world of people with devices that lives for some days on a simulated disk, is struck in the way of
the incident, and is brought back by the real code. Every acknowledged item is then compared, one by one.

Made by `safehold disaster run all --seeds {seeds} --page docs/disasters.md`; `safehold disaster run NAME --seed N` runs
one world, and tells its story.

| disaster | what was lost then | what Safehold loses | noticed after | first contact | last photo |
| --- | --- | --- | --- | --- | --- |
"""
_FOOT = """
Times are those of the simulated clock: the middle of all seeds, and the worst in brackets. On it the disk's work takes
time (a local disk 0.1 ms an operation and 5 ms a megabyte, the first vault 0.5 ms and 20 ms, every other vault 20 ms
and 100 ms), a new start of the process 5 seconds, and a person 15 minutes from when they are told until they act.
*Lost* and *older* items are each named by the recovery's report, or counted by the revision that is missing; *unknown*
ones were written after the last moment that any source knows of, within the seconds that the report states. Nothing
else is missing, nothing that was deleted came back, and no device deleted what no person did: a world in which that
happens has failed.
"""


def make_page(data: Mapping[str, Any]) -> str:
    """`data` is the object of `disaster run all --json`."""
    seeds = max((each["seeds"] for each in data["disasters"]), default=1)
    rows = "".join(_row(each) for each in data["disasters"])
    stories = "".join(_story(scenario_named(each["scenario"])) for each in data["disasters"])
    return _HEAD.format(seeds=seeds) + rows + _FOOT + stories


def _row(each: Mapping[str, Any]) -> str:
    cells = [
        f"[{each['scenario']}](#{each['scenario']})",
        each["lost_then"],
        _loss(each),
        _time(each["detected_seconds"]),
        _time(each["first_contact_seconds"]),
        _time(each["last_photo_seconds"]),
    ]
    return f"| {' | '.join(cells)} |\n"


def _loss(each: Mapping[str, Any]) -> str:
    """Of all seeds together."""
    total = each["acknowledged"]
    said = [f"{each[name]:,} {name}" for name in ("lost", "older", "unknown") if each[name]]
    bad = [f"**{each[name]:,} {name}**" for name in ("silent", "resurrected", "devices_wiped") if each[name]]
    of = f"of {total:,} items in {each['seeds']} worlds"
    return f"{', '.join([*said, *bad])} {of}" if said or bad else f"nothing, {of}"


def _time(times: Mapping[str, float] | None) -> str:
    return "never" if times is None else f"{_in_words(times['median'])} ({_in_words(times['worst'])})"


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def _story(scenario: Scenario) -> str:
    lines = [f"\n## {scenario.name}\n", f"*{scenario.title}*\n", scenario.prose.strip() + "\n", "Sources:\n"]
    return "\n".join([*lines, *(f"- <{url}>" for url in scenario.sources)]) + "\n"
