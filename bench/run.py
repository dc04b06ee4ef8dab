"""Run the benchmarks of Safehold alone, and write bench/results.json and its part of docs/performance.md.

    python -m bench.run [--quick]

`--quick` takes a tenth of the items and fewer rounds, and writes nothing: it shows that the benchmarks work.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from bench import durable_put, flat, page
from bench.machine import machine, versions


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
    page.write(run=results)
    print(page.run_section(results))


if __name__ == "__main__":
    main()
