"""Run all benchmarks and write docs/performance.md and bench/results.json.

    python -m bench.run [--quick]

`--quick` takes a tenth of the items and fewer rounds, and writes nothing: it shows that the benchmarks work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import durable_put, flat

ROOT = Path(__file__).resolve().parents[1]

LIBRARIES = ("granian", "uvloop", "apsw", "msgspec", "zstandard", "pyrage", "cryptography", "lxml")

PAGE = """\
# Performance

Written by `python -m bench.run`; do not edit. The client shares the machine with what it measures, so the ratios count
and not the figures: rounds alternate between both sides of a comparison, and medians are compared.

Machine: {machine}.
Versions: {versions}.

## A durable PUT

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


def machine() -> str:
    """The processor, how many of it, memory and the file system under the temporary folder."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"


def versions() -> str:
    found = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version} in the bare handler"]
    return ", ".join(found + [f"{name} {version(name)}" for name in LIBRARIES])


def page(results: dict[str, Any]) -> str:
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
    return PAGE.format(
        machine=results["machine"],
        versions=results["versions"],
        put_rows="\n".join(rows),
        flat_rows="\n".join(lines),
        ratios=", ".join(f"{r:.2f}" for r in put["ratios_by_round"]),
        **{k: put[k] for k in ("connections", "items_before", "ratio", "wanted_ratio")},
        **{k: growth[k] for k in ("small", "large", "flat_up_to")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    results: dict[str, Any] = {"machine": machine(), "versions": versions()}
    results["durable_put"] = durable_put.measure(1000, 3, 300) if quick else durable_put.measure(10_000, 9, 1500)
    results["flat"] = flat.measure(100, 1000, 2) if quick else flat.measure(1000, 10_000, 7)
    if quick:
        print(json.dumps(results, indent=1))
        return
    (ROOT / "bench/results.json").write_text(json.dumps(results, indent=1) + "\n")
    (ROOT / "docs/performance.md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
