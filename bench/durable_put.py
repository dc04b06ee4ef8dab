"""Durable PUT: the whole service, with both vaults on, against the bare handler, in alternating rounds of one run.

    python -m bench.durable_put [--items 10000] [--rounds 7] [--puts 1500]

Both sides hold the same items before the first round. A round PUTs new items over sixteen kept-alive connections.
What counts is the ratio of the medians: the rounds alternate, so that what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import Round, contact, login, request, send
from tests.support.service import Service, free_port

USER, PASSWORD = "ada", "correct horse"
CONNECTIONS = 16
WANTED_RATIO = 0.5


def puts(first: int, count: int) -> list[bytes]:
    headers = {
        "Authorization": login(USER, PASSWORD),
        "Content-Type": "text/vcard; charset=utf-8",
        "If-None-Match": "*",
    }
    made = (contact(number) for number in range(first, first + count))
    return [request("PUT", f"/dav/{USER}/contacts/default/{name}", body, headers) for name, body in made]


@contextmanager
def bare_handler(folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of a running bare handler."""
    port = free_port()
    script = Path(__file__).with_name("bare_handler.py")
    process = subprocess.Popen([sys.executable, str(script), str(port), str(folder / "bare.db")])
    try:
        probe = Service(folder / "unused")
        probe.port = port
        while probe.health() is None:
            try:
                raise RuntimeError(f"the bare handler ended with {process.wait(0.05)}")
            except subprocess.TimeoutExpired:
                continue
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def whole_service(folder: Path) -> Iterator[Service]:
    """A running service with one account."""
    service = Service(folder / "data")
    service.add_account(USER, PASSWORD)
    service.start()
    try:
        yield service
        assert service.stop() == 0
    finally:
        service.close()


def summary(rounds: list[Round]) -> dict[str, float]:
    latencies = sorted(x for r in rounds for x in r.latencies)
    return {
        "puts_a_second": round(median(r.a_second for r in rounds), 1),
        "p50_ms": round(median(latencies) * 1000, 2),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 2),
        "server_cpu_ms_each": round(median(r.cpu_ms_each for r in rounds), 3),
    }


def measure(items: int, rounds: int, count: int) -> dict[str, Any]:
    ours: list[Round] = []
    bare: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="durable-put-") as folder:
        root = Path(folder)
        with whole_service(root) as service, bare_handler(root) as (port, pid):
            before = puts(0, items)
            send(port, pid, before, CONNECTIONS)
            send(service.port, service.pid, before, CONNECTIONS)
            for number in range(rounds):
                batch = puts(items + number * count, count)
                bare.append(send(port, pid, batch, CONNECTIONS))
                ours.append(send(service.port, service.pid, batch, CONNECTIONS))
            vaults = {v["name"]: v["mode"] for v in service.status()["vaults"]}
    found = {"safehold": summary(ours), "bare_handler": summary(bare)}
    ratio = found["safehold"]["puts_a_second"] / found["bare_handler"]["puts_a_second"]
    return {
        "items_before": items,
        "connections": CONNECTIONS,
        "rounds": rounds,
        "puts_a_round": count,
        "vaults": vaults,
        **found,
        "ratio": round(ratio, 3),
        "ratios_by_round": [round(a.a_second / b.a_second, 3) for a, b in zip(ours, bare, strict=True)],
        "wanted_ratio": WANTED_RATIO,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--puts", type=int, default=1500)
    args = parser.parse_args()
    print(json.dumps(measure(args.items, args.rounds, args.puts), indent=1))


if __name__ == "__main__":
    main()
