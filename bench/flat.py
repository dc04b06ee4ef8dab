"""Does anything cost more as a collection grows? Two services side by side, one with ten times the items.

    python -m bench.flat [--small 1000] [--large 10000] [--rounds 7]

Measured are a durable PUT, a GET, a poll (getctag and sync-token) and a sync after one change. Rounds alternate
between the two, and the ratio of the medians is what counts: 1.0 is flat, and up to FLAT is within the noise of a
shared machine.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.durable_put import CONNECTIONS, PASSWORD, USER, puts, whole_service
from bench.load import Round, contact, login, request, send
from tests.support.service import Service

FLAT = 1.3
BOOK = f"/dav/{USER}/contacts/default/"
PUTS, GETS, POLLS, SYNCS = 600, 1500, 1500, 30
POLL = (
    '<propfind xmlns="DAV:" xmlns:cs="http://calendarserver.org/ns/"><prop><cs:getctag/><sync-token/></prop></propfind>'
)
SYNC = (
    '<sync-collection xmlns="DAV:"><sync-token>{}</sync-token><sync-level>1</sync-level>'
    "<prop><getetag/></prop></sync-collection>"
)
_TOKEN = re.compile(rb"<(?:\w+:)?sync-token>([^<]+)<")


class Side:
    """One service, filled with so many items, and what was measured on it."""

    def __init__(self, service: Service, items: int) -> None:
        self.service = service
        self.items = items
        self._next = items
        self._headers = {"Authorization": login(USER, PASSWORD)}
        self._xml = self._headers | {"Content-Type": "application/xml"}
        self.found: dict[str, list[Round]] = {}
        send(service.port, service.pid, puts(0, items), CONNECTIONS)
        self._names = [contact(number)[0] for number in range(items)]

    def _send(self, requests: list[bytes], connections: int, *, keep: bool = False) -> Round:
        return send(self.service.port, self.service.pid, requests, connections, keep=keep)

    def put(self) -> Round:
        """New items; they are deleted again, unmeasured, so that the collection keeps its size."""
        batch = puts(self._next, PUTS)
        names = [contact(number)[0] for number in range(self._next, self._next + PUTS)]
        self._next += PUTS
        measured = self._send(batch, CONNECTIONS)
        self._send([request("DELETE", BOOK + name, headers=self._headers) for name in names], CONNECTIONS)
        return measured

    def get(self) -> Round:
        names = random.Random(1).choices(self._names, k=GETS)
        return self._send([request("GET", BOOK + name, headers=self._headers) for name in names], CONNECTIONS)

    def poll(self) -> Round:
        asked = request("PROPFIND", BOOK, POLL.encode(), self._xml | {"Depth": "0"})
        return self._send([asked] * POLLS, CONNECTIONS)

    def sync_after_one_change(self) -> Round:
        """One item is overwritten, then the last token is asked; only the latter is measured."""
        token = self._token()
        latencies, cpu, seconds = [], 0.0, 0.0
        for i in range(SYNCS):
            name, body = contact(i, self._next + i)
            headers = self._headers | {"Content-Type": "text/vcard; charset=utf-8"}
            self._send([request("PUT", BOOK + name, body, headers)], 1)
            asked = request("REPORT", BOOK, SYNC.format(token).encode(), self._xml | {"Depth": "0"})
            one = self._send([asked], 1, keep=True)
            assert one.bodies[0].count(b"getetag") >= 1
            token = _found_token(one.bodies[0])
            latencies += one.latencies
            seconds += one.latencies[0]
            cpu += one.server_cpu_seconds
        self._next += SYNCS
        return Round(seconds, latencies, cpu, [], Counter())

    def _token(self) -> str:
        asked = request("PROPFIND", BOOK, POLL.encode(), self._xml | {"Depth": "0"})
        return _found_token(self._send([asked], 1, keep=True).bodies[0])


def _found_token(body: bytes) -> str:
    match = _TOKEN.search(body)
    assert match is not None, body[:500]
    return match[1].decode()


MEASURED: dict[str, Callable[[Side], Round]] = {
    "PUT": Side.put,
    "GET": Side.get,
    "poll": Side.poll,
    "sync after one change": Side.sync_after_one_change,
}


def measure(small: int, large: int, rounds: int) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="flat-") as one,
        tempfile.TemporaryDirectory(prefix="flat-") as other,
        whole_service(Path(one)) as first,
        whole_service(Path(other)) as second,
    ):
        sides = [Side(first, small), Side(second, large)]
        for number in range(rounds):
            for side in sides if number % 2 else reversed(sides):
                for name, run in MEASURED.items():
                    side.found.setdefault(name, []).append(run(side))
    table: dict[str, Any] = {}
    for name in MEASURED:
        row: dict[str, Any] = {}
        for label, side in zip(("small", "large"), sides, strict=True):
            found = side.found[name]
            row[label] = {
                "a_second": round(median(r.a_second for r in found), 1),
                "p50_ms": round(median(x for r in found for x in r.latencies) * 1000, 3),
                "server_cpu_ms_each": round(median(r.cpu_ms_each for r in found), 3),
            }
        row["ratio"] = round(row["large"]["p50_ms"] / row["small"]["p50_ms"], 2)
        table[name] = row
    return {"small": small, "large": large, "rounds": rounds, "flat_up_to": FLAT, "measured": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(json.dumps(measure(args.small, args.large, args.rounds), indent=1))


if __name__ == "__main__":
    main()
