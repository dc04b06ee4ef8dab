"""A vault server on the same machine: how far its vault is behind at a fixed rate of writes, and how fast it is filled.

    python -m bench.vault_server [--rate 500] [--seconds 30] [--rounds 3] [--accounts 100 --items-each 1000]
                                  [--work DIR]

Lag: while new contacts are PUT at the rate, the bytes of both logs are looked at every few milliseconds. The two logs
are the same bytes, so what the server's is behind at a moment is how long it takes to become as long as the sync
vault's was then. Filling: `vault add` of the server's vault and of one in a local folder, in turns, each from nothing.
With `--work` what they are filled from is kept there, as bench.first_contact keeps it, and used again.
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
from pathlib import Path
from statistics import median
from typing import Any

from bench.drill import _paced
from bench.durable_put import PASSWORD, USER, puts
from bench.first_contact import House
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
    made = House(work, accounts, items_each)
    made.make()
    data = made.data
    service = Service(data)
    server = VaultServerProcess(folder / "filling")
    server.start()
    text = (data / "safehold.toml").read_text()
    sides: dict[str, Callable[[int], str]] = {
        "folder": lambda number: f"folder:{folder}/copy{number}",
        "server": lambda number: server.invite("--name", f"round{number}"),
    }
    found: dict[str, list[float]] = {side: [] for side in sides}
    try:
        for number in range(rounds):
            for side in sorted(sides, reverse=bool(number % 2)):
                where = sides[side](number)
                began = time.perf_counter()
                service.run("vault", "add", f"{side}{number}", where)
                found[side].append(time.perf_counter() - began)
                (data / "safehold.toml").write_text(text)
                if side == "folder":
                    shutil.rmtree(folder / f"copy{number}")
    finally:
        server.kill()
    size = sum(path.stat().st_size for path in (data / "vaults" / "near").rglob("*") if path.is_file())
    return {
        "items": made.items,
        "bytes": size,
        "folder_seconds": round(median(found["folder"]), 2),
        "server_seconds": round(median(found["server"]), 2),
        "share_of_local_speed": round(median(found["folder"]) / median(found["server"]), 3),
        "rounds": found,
    }


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
            "filled at half the speed of a local vault or better",
            filled["share_of_local_speed"],
            filled["share_of_local_speed"] >= WANTED_SHARE,
        ],
    ]
    found = {"machine": machine(), "versions": versions(), "lag": behind, "fill": filled, "goals": goals}
    print(json.dumps(found, indent=1))
    return int(not all(goal[2] for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
