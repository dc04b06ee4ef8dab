"""Forecast against actual: how far a recovery takes other than was forecast, over sizes.

    python -m bench.forecast [--quick] [--rounds 4] [--sizes 10000,1000000] [--work DIR]

Installations of 10,000 to 1,000,000 items are restored by `safehold recover run`, each time into nothing. The smallest
few are restored first, in turns, so that there is something to forecast from; then come rounds in which every size is
restored once, in an order of its own. Before each restore it is forecast from all that were measured before it in the
same run, by the code that judges the objectives; after it what it took is added. So the first restore of the largest
size is forecast from smaller ones only. It counts what the recovery itself says that it took.

It writes bench/forecast.json and its part of docs/performance.md, and exits with 1 where a restore was not exact.
`--quick` takes small installations in one round and writes nothing. Installations are kept in `--work` for later runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench import child, forecast_page, house, page
from bench.backup import ITEMS_EACH, SEED
from bench.goals import Verdict
from bench.items import Reference
from bench.machine import machine, versions
from bench.servers import ROOT
from safehold.proof.drills import WHOLE, Drilled, KindTimed
from safehold.proof.forecast import RTO, Forecaster, size_of

SIZES = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
QUICK_SIZES = (1_000, 2_000, 4_000)
#: Restored first, so many of the smallest sizes, so many times each: what they take is not judged.
FIRST_SIZES, FIRST_TIMES = 3, 2
ROUNDS = 4
#: What is wanted.
MEDIAN_ERROR, HOLDS = 0.15, 0.75


class Size:
    """An installation of so many items with a generation, restored again and again."""

    def __init__(self, work: Path, total: int) -> None:
        accounts = max(1, total // ITEMS_EACH)
        self.folder = work / str(total)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = Reference(self.folder / "items.db", SEED, accounts, total // accounts)
        self.data = self.folder / "safehold"
        self.bytes = 0

    def make(self) -> None:
        self.reference.make()
        if not (self.data / "core/core.db").exists() or not (self.folder / "made").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            house.make(self.data, self.reference)
            self._command("snapshot")
            (self.folder / "made").touch()
        self.bytes = sum(len(row[3]) for row in self.reference.rows())

    def restore(self, number: int) -> Drilled:
        """Raises child.Failed where not everything came back."""
        shutil.rmtree(self.data / "core")
        os.sync()  # what was left to be written is not this restore's
        told = self._command("recover", "run", "--yes")
        return self._drilled(told, number)

    def _command(self, *words: str) -> dict[str, Any]:
        line = [sys.executable, "-m", "bench.steps", "command", "--data", str(self.data), "--json", *words]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.folder.parent / "compiled"),
        }
        ran = child.run(line, cwd=ROOT, env=environment)
        text = ran.out.decode()
        told: dict[str, Any] = json.loads(text[: text.rstrip().rindex("\n")])  # the last line is bench.steps' own
        return told

    def _drilled(self, told: dict[str, Any], number: int) -> Drilled:
        kinds = {
            stage["kind"]: KindTimed(stage["items"], stage["items"], 0, stage["seconds"]) for stage in told["stages"]
        }
        items = sum(count["exact"] for kind, count in told["items"].items() if kind != "identity")
        if items != self.reference.total or told["lost"]:
            raise child.Failed(f"{items} of {self.reference.total} items came back")
        return Drilled(
            at=number,
            vault="near",
            scope=WHOLE,
            share=(1, 1),
            to="latest",
            ok=True,
            streams_compared=told["streams"],
            streams_equal=told["streams"],
            accounts=told["accounts"],
            changes=told["changes_recovered"],
            items=items,
            bytes=self.bytes,
            seconds=told["seconds"],
            waited_seconds=0.0,
            first_contact_seconds=None,
            stages={},
            kinds=kinds,
            requests=0,
            rule="",
            forecast_rto_seconds=None,
            forecast_first_contact_seconds=None,
            deviations=[],
            damaged=[],
        )


def measure(sizes: list[Size], rounds: int) -> dict[str, Any]:
    for size in sizes:
        size.make()
    rng = random.Random(SEED)
    turns = [size for _ in range(FIRST_TIMES) for size in sizes[:FIRST_SIZES]]
    first = len(turns)
    for _ in range(rounds):
        turns += rng.sample(sizes, len(sizes))
    drills: list[Drilled] = []
    restores = []
    for number, size in enumerate(turns):
        drilled = size.restore(number)
        # What is known of a size beforehand is what is in it; nothing of how long it took goes into the forecast.
        forecast = Forecaster(RTO, drills).forecast(size_of(drilled), "near")
        judged = number >= first
        if drills:
            drilled = _with_forecast(drilled, forecast.seconds)
        drills.append(drilled)
        restores.append(
            {
                "items": size.reference.total,
                "seconds": drilled.seconds,
                "forecast": forecast.seconds,
                "low": forecast.low,
                "high": forecast.high,
                "drills": forecast.drills,
                "judged": judged,
            }
        )
        error = forecast.seconds / drilled.seconds - 1
        print(
            f"{number + 1} of {len(turns)}: {size.reference.total:,} items, {drilled.seconds:.2f} s, forecast "
            f"{forecast.seconds:.2f} ({forecast.low:.2f} to {forecast.high:.2f}), {error:+.0%}",
            file=sys.stderr,
        )
    return {"machine": machine(), "versions": versions(), "rounds": rounds, "restores": restores} | judged_of(restores)


def _with_forecast(drilled: Drilled, seconds: float) -> Drilled:
    import msgspec

    return msgspec.structs.replace(drilled, forecast_rto_seconds=seconds)


def judged_of(restores: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors, and how often the interval held, of what is judged."""
    judged = [each for each in restores if each["judged"]]
    errors = [abs(each["forecast"] / each["seconds"] - 1) for each in judged]
    holds = sum(each["low"] <= each["seconds"] <= each["high"] for each in judged) / len(judged)
    found = {"median_error": median(errors), "worst_error": max(errors), "holds": holds}
    return found | {"goals": [list(verdict) for verdict in verdicts(found)]}


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    error, holds = found["median_error"], found["holds"]
    return [
        Verdict(f"median error at most {MEDIAN_ERROR:.0%}", f"{error:.1%}", error <= MEDIAN_ERROR),
        Verdict(f"the interval holds at least {HOLDS:.0%} of the time", f"{holds:.0%}", holds >= HOLDS),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small installations in one round; writes nothing")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sizes", help="numbers of items, with commas, smallest first; writes nothing")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "safehold-bench-forecast")
    args = parser.parse_args()
    totals = [int(size) for size in args.sizes.split(",")] if args.sizes else QUICK_SIZES if args.quick else SIZES
    results = measure([Size(args.work, total) for total in totals], args.rounds or (1 if args.quick else ROUNDS))
    if args.quick or args.sizes:
        print(json.dumps({name: value for name, value in results.items() if name != "restores"}, indent=1))
    else:
        page.write(forecast=results)
        print(forecast_page.section(results))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except child.Failed as error:
        sys.exit(f"{error}")
