"""docs/performance.md, of the results that the benchmarks have left: each run renews its own part of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import backup_page, forecast_page
from bench.goals import FIGURES, OURS, PEERS, Verdict, times_better

ROOT = Path(__file__).resolve().parents[1]
RESULTS, DAV, BACKUP = ROOT / "bench/results.json", ROOT / "bench/dav.json", ROOT / "bench/backup.json"
FIRST_CONTACT, DRILL = ROOT / "bench/first_contact.json", ROOT / "bench/drill.json"
FORECAST = ROOT / "bench/forecast.json"
PAGE = ROOT / "docs/performance.md"

_HEAD = """\
# Performance

Written by `python -m bench.run`, `python -m bench.dav`, `python -m bench.backup`, `python -m bench.first_contact`,
`python -m bench.drill` and `python -m bench.forecast`; do not edit. What measures shares the machine with what it
measures, so the ratios count and not the figures: rounds alternate between the sides of a comparison, and medians are
compared.
"""

_RUN = """
## A durable PUT

Machine: {machine}.
Versions: {versions}.

New contacts of about 1 kB over {connections} kept-alive connections, {items_before:,} items present, both vaults on:
each answer waits until the change is encrypted, signed and synced in the sync vault and committed in the core. The
yardstick is [`bench/bare_handler.py`](../bench/bare_handler.py): the same web server, which inserts the body in one
SQLite transaction with WAL and `synchronous=FULL`, and does nothing else.

| | PUT a second | p50 ms | p99 ms | server CPU ms each |
| --- | --- | --- | --- | --- |
{put_rows}

**Ratio {ratio:.2f}** (wanted: at least {wanted_ratio:.2f}); by round: {ratios}.

## Flat as collections grow

The same requests to a service with {small:,} items and to one with {large:,}. Flat means a ratio of at most
{flat_up_to} between the median latencies.

| | p50 ms at {small:,} | p50 ms at {large:,} | ratio | CPU ms at {small:,} | CPU ms at {large:,} |
| --- | --- | --- | --- | --- | --- |
{flat_rows}
"""

_DAV = """
## Beside other servers

Machine: {machine}.
Versions: {versions}.

The same contacts and events, about 1 kB each, in three servers, which are asked in turn in {rounds} rounds. One event
in ten recurs every week for ever, one in twenty lasts all day, and half of them bring a time zone along. PUT, GET and
poll come over {connections} connections, everything else over one. An operation is all that it takes: a first sync to
its last page, for instance. The month is June 2026. CPU is that of the server's processes for an operation, and counts
what a PUT leaves to be done after its answer; the check of a password, which Safehold makes every five minutes and the
peers never, shows in the first answer after a start only. A phase that a peer cannot end in {cap} s is cut short there.
Ratios say how many times better Safehold is than the better peer; a peer counts where it answered rightly.

{settings}

{goals}
{tables}"""

_FIRST_CONTACT = """
## First contact after the core was lost

`serve` is started in turns with its core whole and with `core/` and `blobs/` deleted, on the same installation, whose
newest generation covers all but the last frames of the log. From the start of the process on an account, another one in
each round, asks for its address books and all contacts in them with their bodies, until it has all, byte for byte.
"Later" is what that takes more than with a whole core, median and most; then ten other accounts ask for theirs, one
after the other, while the recovery goes on; "all back" is when it had ended, from the moment on at which a start with a
whole core had answered. The bare load is that of the table of backup tools, which has no interpreter's start in it
either; "CPU" is how many times its CPU time all processes of the service took more than with a whole core. MB are
what they held together at their fullest.

{goals}
| items | accounts | whole s | lost s | later s | most s | others ms | with whole ms | all back s | bare s | CPU | MB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

{machines}
"""

_DRILL = """
## A drill beside a service in use

A service gets requests at a fixed rate, each at its own moment, and its latency counts from that. Rounds alternate
between a throttled drill at work beside it and the same drill stopped. The ratio is the median over the pairs of
rounds of their 99th percentiles' ratio, with the interval that resampling the pairs gives 95 times in 100. MB are what
the drill held at its fullest; s what it took in all, without what throttling waited.

{goals}
| items | accounts | a second | pairs | p99 beside ms | p99 without ms | ratio | interval | drill s | MB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

{machines}
"""

_TITLES = {
    "a_second": "a second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "server_cpu_ms_each": "server CPU ms each",
    "written_bytes_each": "bytes written each",
}


def write(
    run: dict[str, Any] | None = None,
    dav: dict[str, Any] | None = None,
    backup: dict[str, Any] | None = None,
    first_contact: dict[str, Any] | None = None,
    drill: dict[str, Any] | None = None,
    forecast: dict[str, Any] | None = None,
) -> None:
    """Keep new results, and write the page of these and the others' older ones."""
    parts = []
    sections = (
        (RESULTS, run, run_section),
        (DAV, dav, dav_section),
        (BACKUP, backup, backup_page.section),
        (FIRST_CONTACT, first_contact, first_contact_section),
        (DRILL, drill, drill_section),
        (FORECAST, forecast, forecast_page.section),
    )
    for path, new, section in sections:
        if new is not None:
            path.write_text(json.dumps(new, indent=1) + "\n")
        if path.exists():
            parts.append(section(json.loads(path.read_text())))
    PAGE.write_text(_HEAD + "".join(parts))


def older_backup() -> dict[str, Any]:
    """What an earlier run has left: its sizes stay until they are measured again."""
    return dict(json.loads(BACKUP.read_text())) if BACKUP.exists() else {"sizes": {}}


def older_first_contact() -> dict[str, Any]:
    """The same of first contact, but for sizes of which it did not say as much."""
    found = dict(json.loads(FIRST_CONTACT.read_text())) if FIRST_CONTACT.exists() else {"sizes": {}}
    found["sizes"] = {size: told for size, told in found["sizes"].items() if "cpu_times" in told}
    return found


def older_drill() -> dict[str, Any]:
    """The same of drills."""
    return dict(json.loads(DRILL.read_text())) if DRILL.exists() else {"sizes": {}}


def drill_section(results: dict[str, Any]) -> str:
    sizes = sorted(results["sizes"].values(), key=lambda each: int(each["items"]))
    rows = [
        f"| {s['items']:,} | {s['accounts']:,} | {s['rate']:.0f} | {s['pairs']} | {s['p99_beside_ms']:.1f} "
        f"| {s['p99_without_ms']:.1f} | {s['ratio']:.2f} | {s['ratio_low']:.2f} to {s['ratio_high']:.2f} "
        f"| {s['drill_seconds']:.1f} | {s['peak_bytes'] / 1e6:.0f} |"
        for s in sizes
    ]
    machines = dict.fromkeys(f"Machine: {s['machine']}.\nVersions: {s['versions']}." for s in sizes)
    goals = _goals([Verdict(*verdict) for verdict in results["goals"]])
    return _DRILL.format(goals=goals, rows="\n".join(rows), machines="\n\n".join(machines))


def first_contact_section(results: dict[str, Any]) -> str:
    sizes = sorted(results["sizes"].values(), key=lambda each: (each["items"], each["accounts"]))
    rows = [
        f"| {s['items']:,} | {s['accounts']:,} | {s['whole_seconds']:.2f} | {s['lost_seconds']:.2f} "
        f"| {s['later_seconds']:.2f} | {s['later_most_seconds']:.2f} | {s['others_ms']:.0f} "
        f"| {s['whole_others_ms']:.0f} | {s['took_seconds']:.1f} "
        f"| {s['bare_seconds']:.1f} | {s['cpu_times']:.1f} | {s['peak_bytes'] / 1e6:.0f} |"
        for s in sizes
    ]
    machines = dict.fromkeys(f"Machine: {s['machine']}.\nVersions: {s['versions']}." for s in sizes)
    goals = _goals([Verdict(*verdict) for verdict in results["goals"]])
    return _FIRST_CONTACT.format(goals=goals, rows="\n".join(rows), machines="\n\n".join(machines))


def run_section(results: dict[str, Any]) -> str:
    put, growth = results["durable_put"], results["flat"]
    rows = [
        f"| {label} | {s['puts_a_second']:,.0f} | {s['p50_ms']} | {s['p99_ms']} | {s['server_cpu_ms_each']:.2f} |"
        for label, s in (("Safehold", put["safehold"]), ("bare handler", put["bare_handler"]))
    ]
    lines = []
    for name, row in growth["measured"].items():
        small, large = row["small"], row["large"]
        lines.append(
            f"| {name} | {small['p50_ms']:.2f} | {large['p50_ms']:.2f} | {row['ratio']:.2f} "
            f"| {small['server_cpu_ms_each']:.2f} | {large['server_cpu_ms_each']:.2f} |"
        )
    return _RUN.format(
        machine=results["machine"],
        versions=results["versions"],
        put_rows="\n".join(rows),
        flat_rows="\n".join(lines),
        ratios=", ".join(f"{r:.2f}" for r in put["ratios_by_round"]),
        **{k: put[k] for k in ("connections", "items_before", "ratio", "wanted_ratio")},
        **{k: growth[k] for k in ("small", "large", "flat_up_to")},
    )


def dav_section(results: dict[str, Any]) -> str:
    sizes = results["sizes"]
    servers = next(iter(sizes.values()))
    return _DAV.format(
        settings="\n".join(f"- {name} {each['version']}: {each['settings']}." for name, each in servers.items()),
        goals=_goals([Verdict(*verdict) for verdict in results["goals"]]),
        tables="".join(_tables(int(size), servers) for size, servers in sizes.items()),
        cap=f"{results['cap_seconds']:.0f}",
        **{k: results[k] for k in ("machine", "versions", "rounds", "connections")},
    )


def _goals(verdicts: list[Verdict]) -> str:
    lines = [f"| {v.goal} | {v.found} | {'met' if v.met else '**missed**'} |" for v in verdicts]
    return "\n".join(["| goal | found | |", "| --- | --- | --- |", *lines]) + "\n"


def _tables(items: int, servers: dict[str, Any]) -> str:
    names = (OURS, *PEERS)
    memory = ", ".join(f"{name} {servers[name]['rss_mb']:.0f} MB" for name in names)
    return (
        f"\n### {items:,} items\n\nResident memory at the end: {memory}.\n\n{_cold(servers, names)}"
        f"\n{_figures(servers, names)}{_flaws(servers, names)}"
    )


def _cold(servers: dict[str, Any], names: tuple[str, ...]) -> str:
    """The very first answers after a start."""
    lines = [f"| just started, once, s | {' | '.join(names)} |", "| --- | --- | --- | --- |"]
    for phase in servers[OURS]["cold"]:
        values = (servers[name]["cold"][phase]["seconds"] for name in names)
        lines.append(f"| {phase} | {' | '.join(f'{value:,.3f}' for value in values)} |")
    return "\n".join(lines) + "\n"


#: Figures side by side in one table.
_TABLES = (("server_cpu_ms_each", "p50_ms"), ("a_second", "p99_ms"), ("written_bytes_each",))


def _figures(servers: dict[str, Any], names: tuple[str, ...]) -> str:
    assert {figure for figures in _TABLES for figure in figures} == set(FIGURES)
    return "\n".join(_table(servers, names, figures) for figures in _TABLES)


def _table(servers: dict[str, Any], names: tuple[str, ...], figures: tuple[str, ...]) -> str:
    """A row for each phase that has these figures, with the ratio behind the servers' values."""
    heads = [f"{_TITLES[f]}: {names[0]} | {' | '.join(names[1:])} | ratio" for f in figures]
    lines = [f"| | {' | '.join(heads)} |", "| --- |" + " --- |" * (len(names) + 1) * len(figures)]
    for phase in servers[OURS]["phases"]:
        cells = []
        for figure in figures:
            values = (servers[name]["phases"][phase].get(figure) for name in names)
            cells += [_number(value) for value in (*values, times_better(servers, phase, figure))]
        if any(cells):
            lines.append(f"| {phase} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _flaws(servers: dict[str, Any], names: tuple[str, ...]) -> str:
    """What was answered other than it should have been."""
    lines = []
    for name in names:
        for phase, found in servers[name]["phases"].items():
            told = [*(f"{count} of {found['operations']} answered {s}" for s, count in found["errors"].items())]
            lines += [f"- {name}, {phase}: {what}." for what in (*told, *found["wrong"])]
    return "\nAnswered other than it should have been:\n\n" + "\n".join(lines) + "\n" if lines else ""


def _number(value: float | None) -> str:
    """Three digits that count; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
