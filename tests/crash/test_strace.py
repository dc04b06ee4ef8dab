"""What a PUT costs the disk, counted by strace: syncs, bytes written and files made, alone and sixteen at a time.

The counts are kept in COUNTS and may only be lowered; a change that raises one has to say why here. Durability is
bought with syncs, so a lone PUT has exactly as many as there are files that must not lose it (one for the sync
vault's segment, one for the core's write-ahead log), and PUTs that come together share them.
"""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.service import Service
from tests.support.writers import CARD, card

LONE_PUTS = 60
GROUPS = 12
TOGETHER = 16
BODY_BYTES = 1000


class Kept(NamedTuple):
    """Upper bounds for one PUT, on average over a run: of the parts it waits for, then of all parts."""

    syncs_waited_for: float
    syncs: float
    written_bytes: float
    files_made: float


#: Files made: log segments are closed by age, so a run may see one or two begin; never one for each commit.
COUNTS = {
    "alone": Kept(syncs_waited_for=2.1, syncs=3.2, written_bytes=26_000, files_made=0.1),
    "sixteen together": Kept(syncs_waited_for=0.4, syncs=0.6, written_bytes=8_000, files_made=0.02),
}

_CALL = re.compile(r"^\d+ +(\d+\.\d+) (?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)$")
_RETURNED = re.compile(r"= (-?\d+)")
_PATH = re.compile(r"<(/[^>]*)>")


class Call(NamedTuple):
    at: float
    name: str
    arguments: str
    result: int


class Tally(NamedTuple):
    """Counts of one span of time, by part of the data folder: near, far, core, blobs, other."""

    syncs: Counter[str]
    written: Counter[str]
    made: Counter[str]


def calls(trace: Path) -> Iterator[Call]:
    """The finished system calls of a trace made with -f -ttt -y; one that was interrupted is joined with its end."""
    begun: dict[tuple[str, str], tuple[float, str]] = {}
    for line in trace.read_text(errors="replace").splitlines():
        if not (match := _CALL.match(line)):
            continue
        thread, at, rest = line.split()[0], float(match[1]), match[4]
        name = match[2] or match[3]
        if rest.endswith("<unfinished ...>"):
            begun[thread, name] = (at, rest)
            continue
        if match[3]:
            at, first = begun.pop((thread, name), (at, ""))
            rest = first + rest
        if result := _RETURNED.findall(rest):
            yield Call(at, name, rest, int(result[-1]))


def part_of(data: Path, arguments: str) -> str:
    """Which part of the data folder a call's file lies in; "" where it lies outside, or no PUT has to do with it."""
    for path in _PATH.findall(arguments) + re.findall(r'"([^"]*)"', arguments):
        if path.startswith(f"{data}/"):
            inner = path[len(str(data)) + 1 :].split("/")
            if inner[0] != "vaults":
                return inner[0] if inner[0] != "run" else ""
            # What a start probes of its vaults, and the evidence of it, may fall into the span: no PUT waits for that.
            return inner[1] if not {"evidence", "tmp"} & {*inner[2:3]} else ""
    return ""


def tally(trace: Path, data: Path, start: float, end: float) -> Tally:
    found = Tally(Counter(), Counter(), Counter())
    for call in calls(trace):
        if not start <= call.at <= end or call.result < 0 or not (part := part_of(data, call.arguments)):
            continue
        if call.name in ("fsync", "fdatasync", "sync_file_range"):
            found.syncs[part] += 1
        elif call.name in ("write", "pwrite64", "writev", "pwritev", "pwritev2"):
            found.written[part] += call.result
        elif call.name in ("rename", "renameat", "renameat2", "link", "linkat") or "O_CREAT" in call.arguments:
            found.made[part] += 1
    return found


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("traced")
    trace = folder / "trace"
    wanted = "trace=fsync,fdatasync,sync_file_range,openat,write,pwrite64,writev,pwritev,rename,renameat2,link,linkat"
    service = Service(
        folder / "data", wrapper=("strace", "-f", "-y", "-ttt", "-s", "0", "-e", wanted, "-o", str(trace))
    )
    service.add_account("ada", "correct horse")
    service.start()
    yield service, trace
    service.close()


def padded(name: str, draw: random.Random) -> bytes:
    body = card(name, draw)
    return body.replace(b"NOTE:", b"NOTE:" + b"x" * (BODY_BYTES - len(body)))


def put(service: Service, names: list[str], seed: int, ready: threading.Barrier | None = None) -> None:
    """PUT these on one connection, each after the answer to the one before (and after all others, with a barrier)."""
    draw, phone = random.Random(seed), service.client("ada", "correct horse")
    bodies = {name: padded(name, draw) for name in names}
    assert phone.ask("GET", "/healthz").status == 200
    for name, body in bodies.items():
        if ready is not None:
            ready.wait(60)
        assert phone.put(f"/dav/ada/contacts/default/{name}.vcf", body, CARD, new=True).status == 201
    phone.close()


def alone(service: Service) -> int:
    put(service, [f"alone{i}" for i in range(LONE_PUTS)], 1)
    return LONE_PUTS


def together(service: Service) -> int:
    barrier = threading.Barrier(TOGETHER)
    threads = [
        threading.Thread(target=put, args=(service, [f"t{t}-{i}" for i in range(GROUPS)], t, barrier))
        for t in range(TOGETHER)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return GROUPS * TOGETHER


@pytest.mark.parametrize(("run", "kept"), [(alone, COUNTS["alone"]), (together, COUNTS["sixteen together"])])
def test_what_a_put_costs_the_disk(
    traced: tuple[Service, Path], run: Callable[[Service], int], kept: Kept, record_property: Callable[..., None]
) -> None:
    service, trace = traced
    put(service, [f"warm-{run.__name__}"], 0)
    start = time.time()
    puts = run(service)
    counted = tally(trace, service.data, start, time.time())
    waited_for = (counted.syncs["near"] + counted.syncs["core"]) / puts
    figures = {
        "puts": puts,
        "syncs a PUT, by part": {k: round(v / puts, 2) for k, v in sorted(counted.syncs.items())},
        "bytes written a PUT, by part": {k: round(v / puts) for k, v in sorted(counted.written.items())},
        "files made, by part": dict(counted.made),
    }
    print(run.__name__, figures)
    record_property("figures", figures)
    assert counted.syncs["near"] > 0, "the sync vault is synced before the answer"
    assert counted.syncs["core"] > 0, "the core is durable before the answer"
    assert waited_for <= kept.syncs_waited_for
    assert counted.syncs.total() / puts <= kept.syncs
    assert counted.written.total() / puts <= kept.written_bytes
    assert counted.made.total() / puts <= kept.files_made


def test_a_lone_put_is_synced_in_the_vault_and_then_in_the_core(traced: tuple[Service, Path]) -> None:
    service, trace = traced
    start = time.time()
    put(service, ["order"], 7)
    order = [
        part_of(service.data, c.arguments)
        for c in calls(trace)
        if start <= c.at and c.name in ("fsync", "fdatasync") and part_of(service.data, c.arguments) in ("near", "core")
    ]
    assert order[:1] == ["near"], "written ahead"
    assert "core" in order
