"""A throttled drill beside a service in use: what it costs whoever asks meanwhile, and what it holds.

    python -m bench.drill [--large] [--quick] [--alone] [--pairs 12] [--seconds 20] [--rate 100] [--throttle 0.1]
        [--work DIR]

A service gets requests at a fixed rate (PUTs, GETs and syncs of contacts in turn), each at its own moment, whether the
one before has been answered or not; a latency counts from that moment. Beside it `safehold drill run --throttle` works.
Rounds alternate between the drill at work and the same drill stopped (SIGSTOP), so that both sides of a pair lie within
the same minute, with the same caches; which of them comes first is drawn. The figure is the median over the pairs of
the ratio of the 99th percentiles, with its 95 % interval by resampling the pairs. A drill that ends is begun anew.
Afterwards one is made with nobody asking, a little below a whole processor, so that it takes the same way as those
before: whether it was sound is judged too, and its memory.

It measures 100,000 items in 200 accounts, and with `--large` 1,000,000 in 2,000; it keeps what it has of the other. It
writes bench/drill.json and its part of docs/performance.md, and exits with 1 where a drill was not sound. `--alone`
makes that last drill only, and keeps what it has of the pairs; no other work disturbs its figures much. `--quick`
takes a small installation and writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import child, page
from bench.backup import ITEMS_EACH, LARGE, SMALL
from bench.first_contact import PASSWORD, House
from bench.items import account_name
from bench.load import contact, login, request
from bench.machine import machine, versions
from bench.servers import described
from tests.support.service import command_line, environment

#: What is wanted of the median ratio of p99, and of the drill's memory.
WANTED_RATIO, PEAK_BYTES = 1.25, 500e6
CONNECTIONS = 16
WARM_SECONDS = 3.0
#: Of a processor, for the drill that nobody asks beside.
SHARE_ALONE = 0.9
RESAMPLED = 2_000
_SYNC = (
    b'<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><limit><nresults>20</nresults></limit>'
    b"<prop><getetag/></prop></sync-collection>"
)


class Requests:
    """An endless row of requests: a PUT of a new contact, a GET of one that is there, a first page of a book."""

    def __init__(self, made: House) -> None:
        self._there = [(account, sorted(made.contacts(account))) for account in made.asking]
        self._number = 0

    def next(self) -> bytes:
        number, what = divmod(self._number, 3)
        self._number += 1
        account, there = self._there[number % len(self._there)]
        name = account_name(account)
        headers = {"Authorization": login(name, PASSWORD)}
        book = f"/dav/{name}/contacts/default/"
        file, body = contact(10_000_000 + number)
        if what == 0:
            return request("PUT", book + file, body, {**headers, "Content-Type": "text/vcard"})
        if what == 1:
            return request("GET", f"/dav/{name}/{there[number % len(there)]}", b"", headers)
        return request("REPORT", book, _SYNC, {**headers, "Depth": "0", "Content-Type": "application/xml"})


async def _paced(port: int, made: Sequence[bytes], rate: float) -> list[float]:
    """Send each at its moment; seconds from that moment to the end of its answer. Raises RuntimeError on a refusal."""
    waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    latencies: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (one := await waiting.get()) is not None:
            due, data = one
            writer.write(data)
            await _answer(reader)
            latencies.append(time.perf_counter() - due)
        writer.close()

    at_work = [asyncio.ensure_future(connection()) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for number, data in enumerate(made):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, data))
    for _ in at_work:
        waiting.put_nowait(None)
    await asyncio.gather(*at_work)
    return latencies


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if b"content-length" in fields:
        await reader.readexactly(int(fields[b"content-length"]))
    elif fields.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    if not 200 <= status < 300:
        raise RuntimeError(f"a request was answered {status}")


class Drill:
    """One after the other, each stopped but for where it is let go on."""

    def __init__(self, data: Path, throttle: float) -> None:
        self._data = data
        self._throttle = throttle
        self._process: subprocess.Popen[bytes] | None = None
        self.told: list[dict[str, Any]] = []
        self.peak_bytes = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """It works meanwhile; afterwards it is stopped."""
        process = self._running()
        process.send_signal(signal.SIGCONT)
        with child.watched(process.pid) as memory:
            yield
            self.peak_bytes = max(self.peak_bytes, memory.bytes())
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)

    def alone(self) -> None:
        """One from its beginning to its end, with nobody asking."""
        self.kill()
        self._process, self._throttle = None, SHARE_ALONE
        with self.at_work():
            assert self._process is not None
            self._take(self._process)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._take(self._process)
        if self._process is None:
            self._process = subprocess.Popen(
                command_line(self._data, "--json", "drill", "run", "--throttle", str(self._throttle)),
                env=os.environ | environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _take(self, process: subprocess.Popen[bytes]) -> None:
        out, _ = process.communicate()
        self.told.append(json.loads(out))
        self._process = None


def measure(made: House, pairs: int, seconds: float, rate: float, throttle: float) -> dict[str, Any]:
    made.make()
    print(file=sys.stderr)
    draw, requests = random.Random(f"pairs of {made.items}"), Requests(made)
    drill = Drill(made.data, throttle)
    found: list[tuple[float, float]] = []  # p99 with the drill, and without

    def round_of(port: int, length: float) -> float:
        latencies = asyncio.run(_paced(port, [requests.next() for _ in range(int(length * rate))], rate))
        return sorted(latencies)[int(len(latencies) * 0.99)]

    with made.started(lost=False) as (service, _):
        while service.health() is None:
            time.sleep(0.1)
        try:
            round_of(service.port, WARM_SECONDS)
            for number in range(pairs):
                p99 = {}
                for beside in draw.sample((True, False), 2):
                    if beside:
                        with drill.at_work():
                            p99[True] = round_of(service.port, seconds)
                    else:
                        p99[False] = round_of(service.port, seconds)
                found.append((p99[True], p99[False]))
                print(
                    f"{made.items:,} items, pair {number + 1}: p99 {p99[True] * 1000:.1f} ms beside the drill, "
                    f"{p99[False] * 1000:.1f} ms without",
                    file=sys.stderr,
                )
            drill.alone()
        finally:
            drill.kill()
    ratios = [beside / without for beside, without in found]
    low, high = interval(ratios, draw)
    return {
        "machine": machine(),
        "versions": versions(),
        "version": described(),
        "items": made.items,
        "accounts": made.accounts,
        "pairs": pairs,
        "seconds_each": seconds,
        "rate": rate,
        "throttle": throttle,
        "p99_beside_ms": median(beside for beside, _ in found) * 1000,
        "p99_without_ms": median(without for _, without in found) * 1000,
        "ratio": median(ratios),
        "ratio_low": low,
        "ratio_high": high,
        "ratios": [round(ratio, 3) for ratio in ratios],
    } | _found_by(drill)


def measure_alone(made: House, before: dict[str, Any]) -> dict[str, Any]:
    """The same with a new drill that nobody asks beside."""
    drill = Drill(made.data, SHARE_ALONE)
    try:
        drill.alone()
    finally:
        drill.kill()
    return before | _found_by(drill)


def _found_by(drill: Drill) -> dict[str, Any]:
    """What the drills said, and held."""
    return {
        "peak_bytes": drill.peak_bytes,
        "drills": len(drill.told),
        "drill_seconds": drill.told[-1]["seconds"],
        "wrong": sorted({sentence for told in drill.told for sentence in told["deviations"]})
        + [str(one) for told in drill.told for one in told["damaged"]],
    }


def interval(ratios: Sequence[float], draw: random.Random) -> tuple[float, float]:
    """In which the median lies, 95 times in 100, as resampling the pairs tells."""
    medians = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLED))
    return medians[int(RESAMPLED * 0.025)], medians[int(RESAMPLED * 0.975)]


def verdicts(sizes: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What is wanted, what was found, and whether that is it."""
    found = []
    for size in sorted(sizes.values(), key=lambda each: each["items"]):
        what = f"a drill of {size['items']:,} items, at {size['throttle']:.2f} of a core"
        told = f"{size['ratio']:.2f} times ({size['ratio_low']:.2f} to {size['ratio_high']:.2f})"
        goal = f"{what}: p99 beside it at most {WANTED_RATIO} times that without"
        found.append((goal, told, size["ratio"] <= WANTED_RATIO))
        held = f"{size['peak_bytes'] / 1e6:.0f} MB"
        found.append((f"{what}: memory under 500 MB", held, size["peak_bytes"] < PEAK_BYTES))
        found.append((f"{what}: sound", "no" if size["wrong"] else "yes", not size["wrong"]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="1,000,000 items")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--alone", action="store_true", help="the drill that nobody asks beside, and nothing else")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--throttle", type=float, default=0.1)
    parser.add_argument("--work", type=Path, default=Path("/tmp/safehold-first-contact"))
    options = parser.parse_args()
    accounts, items_each = (LARGE // ITEMS_EACH, ITEMS_EACH) if options.large else (200, SMALL // 200)
    pairs, seconds = options.pairs, options.seconds
    if options.quick:
        accounts, items_each, pairs, seconds = 20, 100, 2, 2.0
    results: dict[str, Any] = page.older_drill()
    made = House(options.work, accounts, items_each)
    before = results["sizes"].get(str(made.items))
    if options.alone and before is not None:
        found = measure_alone(made, before)
    else:
        found = measure(made, pairs, seconds, options.rate, options.throttle)
    results["sizes"][str(found["items"])] = found
    results["goals"] = [list(verdict) for verdict in verdicts(results["sizes"])]
    if options.quick:
        print(json.dumps(found, indent=1))
    else:
        page.write(drill=results)
        print(page.drill_section(results))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
