"""A vault server on the same machine: how far its vault is behind at a fixed rate of writes, and how fast it is filled.

    python -m bench.vault_server [--rate 500] [--seconds 30] [--rounds 3] [--accounts 100 --items-each 1000]
                                  [--work DIR]

Lag: while new contacts are PUT at the rate, the bytes of both logs are looked at every few milliseconds. The two logs
are the same bytes, so what the server's is behind at a moment is how long it takes to become as long as the sync
vault's was then. Filling: in each round a whole local backup is made (`snapshot` of an installation that has none yet,
as in bench.backup), then `vault add` fills the server's vault with it and with the log, from nothing; and one in a
local folder, which is what copying takes where nobody is in between. With `--work` the installation is kept there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import house
from bench.backup import SEED
from bench.drill import _paced
from bench.durable_put import PASSWORD, USER, puts
from bench.items import Reference
from bench.machine import machine, versions
from tests.support.service import Service
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until

LOOK_SECONDS = 0.004
WANTED_LAG_SECONDS, WANTED_SHARE = 1.0, 0.5


class Watch(threading.Thread):
    """Looks at the lengths of two logs."""

    def __init__(self, first: Path, second: Path) -> None:
        super().__init__(daemon=True)
        self._folders = (first / "log", second / "log")
        self._end = threading.Event()
        self.seen: list[tuple[float, int, int]] = []

    def run(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            lengths = [length_of(folder) for folder in self._folders]
            self.seen.append((time.perf_counter(), lengths[0], lengths[1]))

    def stop(self) -> None:
        self._end.set()
        self.join()

    def lags(self) -> list[float]:
        """For each look, how long it took until the second was as long as the first was then."""
        found, later = [], 0
        for at, wanted, _ in self.seen:
            while later < len(self.seen) and self.seen[later][2] < wanted:
                later += 1
            if later == len(self.seen):
                break
            found.append(max(0.0, self.seen[later][0] - at))
        return found


def length_of(log: Path) -> int:
    """Only the newest timelines grow: all of them are few."""
    return sum(entry.stat().st_size for timeline in os.scandir(log) for entry in os.scandir(timeline.path))


def lag(folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    server = VaultServerProcess(folder / "server")
    server.start()
    service = Service(folder / "data")
    try:
        service.add_account(USER, PASSWORD)
        config = service.data / "safehold.toml"
        config.write_text('[vaults.near]\nurl = "folder:vaults/near"\nmode = "sync"\n')
        service.run("vault", "add", "friend", server.invite("--name", "bench"))
        service.start()
        watch = Watch(service.data / "vaults" / "near", server.vault_folder("bench"))
        watch.start()
        latencies = asyncio.run(_paced(service.port, puts(0, int(rate * seconds)), rate))
        until(lambda: service.vault_status("friend")["unarchived_changes"] == 0)
        watch.stop()
    finally:
        service.close()
        server.kill()
    lags, latencies = sorted(watch.lags()), sorted(latencies)
    return {
        "rate": rate,
        "seconds": seconds,
        "looks": len(lags),
        "lag_p50_seconds": at(lags, 0.5),
        "lag_p99_seconds": at(lags, 0.99),
        "lag_most_seconds": lags[-1],
        "put_p99_seconds": at(latencies, 0.99),
    }


def at(found: list[float], share: float) -> float:
    return round(found[int(len(found) * share)], 4)


def fill(folder: Path, work: Path, rounds: int, accounts: int, items_each: int) -> dict[str, Any]:
    reference = Reference(work / f"items-{accounts}-{items_each}.db", SEED, accounts, items_each)
    reference.make()
    pristine, data = work / f"filled-{accounts}-{items_each}", folder / "installation"
    house.make(pristine, reference)
    server = VaultServerProcess(folder / "filling")
    server.start()
    found: dict[str, list[float]] = {"backup": [], "folder": [], "server": []}
    try:
        for number in range(rounds):
            shutil.copytree(pristine, data)
            service = Service(data)
            sides: dict[str, Callable[[], Any]] = {
                "folder": partial(service.run, "vault", "add", "copy", f"folder:{folder}/copy"),
                "server": partial(service.run, "vault", "add", "far", server.invite("--name", f"round{number}")),
            }
            found["backup"].append(seconds_of(partial(service.run, "snapshot")))
            text = (data / "safehold.toml").read_text()
            for side in sorted(sides, reverse=bool(number % 2)):
                found[side].append(seconds_of(sides[side]))
                (data / "safehold.toml").write_text(text)
            size = sum(path.stat().st_size for path in (data / "vaults/near").rglob("*") if path.is_file())
            for each in (data, folder / "copy"):
                shutil.rmtree(each)
    finally:
        server.kill()
    middle = {side: median(all_of) for side, all_of in found.items()}
    return {
        "items": reference.total,
        "bytes": size,
        **{f"{side}_seconds": round(seconds, 2) for side, seconds in middle.items()},
        "share_of_backup_speed": round(middle["backup"] / middle["server"], 3),
        "share_of_copy_speed": round(middle["folder"] / middle["server"], 3),
        "rounds": found,
    }


def seconds_of(step: Callable[[], Any]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500.0, help="writes a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--items-each", type=int, default=1000)
    parser.add_argument("--work", type=Path, help="keep there what the vaults are filled from")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    rate, seconds, rounds = options.rate, options.seconds, options.rounds
    accounts, items_each = options.accounts, options.items_each
    if options.quick:
        rate, seconds, rounds, accounts, items_each = 50.0, 2.0, 1, 4, 50
    with tempfile.TemporaryDirectory(prefix="safehold-vault-server-") as folder:
        behind = lag(Path(folder), rate, seconds)
        filled = fill(Path(folder), options.work or Path(folder), rounds, accounts, items_each)
    goals = [
        ["p99 of the lag under 1 s", behind["lag_p99_seconds"], behind["lag_p99_seconds"] < WANTED_LAG_SECONDS],
        [
            "filled at half the speed of a whole local backup or better",
            filled["share_of_backup_speed"],
            filled["share_of_backup_speed"] >= WANTED_SHARE,
        ],
    ]
    found = {"machine": machine(), "versions": versions(), "lag": behind, "fill": filled, "goals": goals}
    print(json.dumps(found, indent=1))
    return int(not all(goal[2] for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
