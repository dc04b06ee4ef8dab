"""A load on Safehold and, in turn, on two other CardDAV and CalDAV servers, Radicale and Xandikos.

    python -m bench.dav [--quick] [--rounds 5] [--sizes 1000,10000] [--servers safehold,radicale,xandikos]

Each server gets the same contacts and the same events. Rounds of all phases go from server to server, in another order
each time, and medians over the rounds are compared. The sturdiest figure on a shared machine is the server's CPU for
an operation; it counts what the server does after its answers, too, where a phase changes something.

It writes bench/dav.json and docs/performance.md, and exits with 1 where an answer of Safehold was wrong. `--quick` has
small numbers and writes nothing: it shows that everything works.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import unquote

from bench import goals, page
from bench.events import MONTH, Event, event
from bench.load import Round, contact, request, send
from bench.machine import machine, versions
from bench.servers import CONNECTIONS, Radicale, Safehold, Server, Xandikos, peers_environment

#: A phase of a peer begins no further request after so many seconds.
CAP_SECONDS = 20.0
MULTIGET_HREFS = 100

_DAV = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav"'
POLL = (
    '<propfind xmlns="DAV:" xmlns:S="http://calendarserver.org/ns/"><prop><S:getctag/><sync-token/></prop></propfind>'
)
LISTING = '<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
SYNC = (
    '<sync-collection xmlns="DAV:"><sync-token>{}</sync-token><sync-level>1</sync-level>'
    "<prop><getetag/></prop></sync-collection>"
)
MULTIGET = f"<A:addressbook-multiget {_DAV}><prop><getetag/><A:address-data/></prop>{{}}</A:addressbook-multiget>"
_RANGE = 'start="{:%Y%m%dT%H%M%SZ}" end="{:%Y%m%dT%H%M%SZ}"'.format(*MONTH)
QUERY = (
    f"<C:calendar-query {_DAV}><prop><getetag/>{{}}</prop><C:filter>"
    '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
    f"<C:time-range {_RANGE}/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
)
EXPANDED = f"<C:calendar-data><C:expand {_RANGE}/></C:calendar-data>"

_TOKEN = re.compile(rb"<(?:\w+:)?sync-token>([^<]+)<")
_HREF = re.compile(rb"<(?:\w+:)?href>([^<]+\.(?:vcf|ics))\s*<")

event_numbered = cache(event)


class Counts(NamedTuple):
    """How many requests of each kind a round has."""

    puts: int
    gets: int
    polls: int
    syncs: int


class Measured(NamedTuple):
    """A phase of one round. An operation may be several requests: a first sync in pages, a multiget of all.

    `wrong` says what an answer told other than it should have.
    """

    seconds: float
    latencies: list[float]
    cpu_seconds: float
    errors: Counter[str]
    wrong: list[str]
    written_bytes: int = 0


class Side:
    """A server and what must be in it."""

    def __init__(self, server: Server, items: int, counts: Counts) -> None:
        self.server = server
        self.counts = counts
        self.cap_seconds = float("inf") if isinstance(server, Safehold) else CAP_SECONDS
        self.contacts = {contact(number)[0] for number in range(items)}
        self.events = [event_numbered(number) for number in range(items)]
        self._next_contact = self._next_event = items
        self._next_revision = 1
        self._xml = server.headers | {"Content-Type": "application/xml; charset=utf-8"}

    # -- requests

    def _dav(self, method: str, path: str, body: str, depth: int) -> bytes:
        return request(method, path, body.encode(), self._xml | {"Depth": str(depth)})

    def _put(self, path: str, media: str, body: bytes, **conditions: str) -> bytes:
        headers = self.server.headers | {"Content-Type": f"{media}; charset=utf-8"} | conditions
        return request("PUT", path, body, headers)

    def _send(self, requests: list[bytes], connections: int = 1, *, keep: bool = False, settle: bool = False) -> Round:
        return send(
            self.server.port,
            self.server.pid,
            requests,
            connections,
            keep=keep,
            strict=False,
            settle=settle,
            cap_seconds=self.cap_seconds,
        )

    def sign_in(self) -> None:
        """One request that is not measured.

        The others may have taken so long that a server which checks passwords has to check this one anew: what that
        costs does not belong to a phase. The first request after a start has it in its figure.
        """
        self._send([request("OPTIONS", self.server.book, headers=self.server.headers)])

    # -- phases

    def put_contacts(self) -> Measured:
        numbers = range(self._next_contact, self._next_contact + self.counts.puts)
        self._next_contact += self.counts.puts
        made = [contact(number) for number in numbers]
        done = self._puts(self.server.book, "text/vcard", made)
        self.contacts |= {name for name, _ in made[: len(done.latencies)]}
        return done

    def put_events(self) -> Measured:
        made = [event_numbered(number) for number in range(self._next_event, self._next_event + self.counts.puts)]
        self._next_event += self.counts.puts
        done = self._puts(self.server.calendar, "text/calendar", [(e.name, e.body) for e in made])
        self.events += made[: len(done.latencies)]
        return done

    def _puts(self, collection: str, media: str, made: list[tuple[str, bytes]]) -> Measured:
        none = {"If-None-Match": "*"}
        requests = [self._put(collection + name, media, body, **none) for name, body in made]
        written = self.server.written_bytes()
        done = _measured(self._send(requests, self.server.connections, settle=True))
        return done._replace(written_bytes=self.server.written_bytes() - written)

    def get(self) -> Measured:
        names = random.Random(self._next_revision).choices(sorted(self.contacts), k=self.counts.gets)
        requests = [request("GET", self.server.book + name, headers=self.server.headers) for name in names]
        done = self._send(requests, self.server.connections, keep=True)
        return _measured(done, [] if all(b"BEGIN:VCARD" in body for body in done.bodies) else ["not the vCard"])

    def poll(self) -> Measured:
        asked = self._dav("PROPFIND", self.server.book, POLL, 0)
        done = self._send([asked] * self.counts.polls, self.server.connections, keep=True)
        return _measured(done, [] if all(_TOKEN.search(body) for body in done.bodies) else ["no sync token"])

    def first_sync(self) -> Measured:
        done, names, _ = self._sync("")
        return done._replace(wrong=_difference(names, self.contacts))

    def sync_after_one_change(self) -> Measured:
        total = _NOTHING
        token = self._sync(self._token())[2]
        for name in random.Random(self._next_revision).sample(sorted(self.contacts), self.counts.syncs):
            body = contact(self._number(name), self._next_revision)[1]
            self._next_revision += 1
            self._send([self._put(self.server.book + name, "text/vcard", body)], settle=True)
            done, names, token = self._sync(token)
            total = _sum(total, done._replace(wrong=_difference(names, {name})))
            if total.seconds > self.cap_seconds:
                break
        return total

    def _token(self) -> str:
        answer = self._send([self._dav("PROPFIND", self.server.book, POLL, 0)], keep=True)
        found = _TOKEN.search(answer.bodies[0])
        return found[1].decode() if found else ""

    def _number(self, name: str) -> int:
        return _contact_numbers(self._next_contact)[name]

    def _sync(self, token: str) -> tuple[Measured, set[str], str]:
        """A sync from a token, page after page to its end, as one operation; the names told, and the next token."""
        seconds, cpu, errors, names, more = 0.0, 0.0, Counter[str](), set[str](), True
        while more:
            done = self._send([self._dav("REPORT", self.server.book, SYNC.format(token), 0)], keep=True)
            body = done.bodies[0] if done.bodies else b""
            seconds, cpu, errors = seconds + sum(done.latencies), cpu + done.server_cpu_seconds, errors + done.errors
            names |= _names(body)
            found = _TOKEN.search(body)
            more = b" 507 " in body and found is not None
            token = found[1].decode() if found else ""
        return Measured(seconds, [seconds], cpu, errors, []), names, token

    def listing(self) -> Measured:
        done = self._send([self._dav("PROPFIND", self.server.book, LISTING, 1)], keep=True)
        return _measured(done, _difference(_names(b"".join(done.bodies)), self.contacts))

    def multiget(self) -> Measured:
        names = sorted(self.contacts)
        requests = []
        for start in range(0, len(names), MULTIGET_HREFS):
            batch = names[start : start + MULTIGET_HREFS]
            hrefs = "".join(f"<href>{self.server.book}{name}</href>" for name in batch)
            requests.append(self._dav("REPORT", self.server.book, MULTIGET.format(hrefs), 1))
        done = self._send(requests, keep=True)
        # What a cap left out is not wrong.
        wanted = set(names[: len(done.bodies) * MULTIGET_HREFS])
        wrong = _difference({n for body in done.bodies for n in _names(body)}, wanted)
        bodies = sum(body.count(b"BEGIN:VCARD") for body in done.bodies)
        if bodies != len(wanted):
            wrong.append(f"{bodies} bodies of {len(wanted)}")
        return _measured(done, wrong)

    def month(self) -> Measured:
        done = self._send([self._dav("REPORT", self.server.calendar, QUERY.format(""), 1)], keep=True)
        return _measured(done, _difference(_names(b"".join(done.bodies)), {e.name for e in self._in_month()}))

    def month_expanded(self) -> Measured:
        done = self._send([self._dav("REPORT", self.server.calendar, QUERY.format(EXPANDED), 1)], keep=True)
        body = b"".join(done.bodies)
        wrong = _difference(_names(body), {e.name for e in self._in_month()})
        told, wanted = body.count(b"BEGIN:VEVENT"), sum(e.in_month for e in self.events)
        if told != wanted:
            wrong.append(f"{told} instances of {wanted}")
        return _measured(done, wrong)

    def _in_month(self) -> list[Event]:
        return [e for e in self.events if e.in_month]


_NOTHING = Measured(0.0, [], 0.0, Counter(), [])

#: In the order of a round: a client that begins, uses, changes.
PHASES: dict[str, Callable[[Side], Measured]] = {
    "first sync": Side.first_sync,
    "listing": Side.listing,
    "multiget": Side.multiget,
    "GET": Side.get,
    "poll": Side.poll,
    "sync after one change": Side.sync_after_one_change,
    "month query": Side.month,
    "month expanded": Side.month_expanded,
    "PUT contact": Side.put_contacts,
    "PUT event": Side.put_events,
}
#: Asked once of a server that has just been started on what was there before.
COLD = ("first sync", "month query")


@cache
def _contact_numbers(count: int) -> dict[str, int]:
    return {contact(number)[0]: number for number in range(count)}


def _measured(done: Round, wrong: list[str] | None = None) -> Measured:
    return Measured(done.seconds, done.latencies, done.server_cpu_seconds, done.errors, wrong or [])


def _sum(one: Measured, other: Measured) -> Measured:
    return Measured(
        one.seconds + other.seconds,
        one.latencies + other.latencies,
        one.cpu_seconds + other.cpu_seconds,
        one.errors + other.errors,
        one.wrong + other.wrong,
    )


def _names(body: bytes) -> set[str]:
    """The names of the items that a multistatus tells of."""
    return {unquote(href.decode()).rpartition("/")[2] for href in _HREF.findall(body)}


def _difference(told: set[str], wanted: set[str]) -> list[str]:
    return [] if told == wanted else [f"{len(wanted - told)} of {len(wanted)} missing, {len(told - wanted)} too many"]


# -- a run -------------------------------------------------------------------------------------------------------


def measure(kinds: list[Callable[[Path], Server]], items: int, rounds: int, counts: Counts) -> dict[str, Any]:
    """All phases on all servers at one size, by server."""
    with tempfile.TemporaryDirectory(prefix="dav-") as folder, ExitStack() as running:
        sides = []
        for number, make in enumerate(kinds):
            home = Path(folder) / str(number)
            home.mkdir()
            sides.append(_filled(make(home), items, counts, running))
        cold = {side.server.name: {name: _cold(side, name) for name in COLD} for side in sides}
        found: dict[str, dict[str, list[Measured]]] = {s.server.name: {name: [] for name in PHASES} for s in sides}
        for number in range(rounds):
            for name, phase in PHASES.items():
                for side in _turned(sides, number):
                    started = time.perf_counter()
                    side.sign_in()
                    found[side.server.name][name].append(phase(side))
                    _say(f"{items} items, round {number + 1}: {name}, {side.server.name}", started)
        return {
            side.server.name: {
                "version": side.server.version,
                "settings": side.server.settings,
                "cold": cold[side.server.name],
                "rss_mb": round(side.server.rss_bytes() / 2**20, 1),
                "phases": {name: _summary(done) for name, done in found[side.server.name].items()},
            }
            for side in sides
        }


def _filled(server: Server, items: int, counts: Counts, running: ExitStack) -> Side:
    started = time.perf_counter()
    server.fill(_contacts(items), ((e.name, e.body) for e in map(event_numbered, range(items))))
    running.callback(server.stop)
    server.start()
    _say(f"{items} items: filled and started {server.name} {server.version}", started)
    return Side(server, items, counts)


def _contacts(items: int) -> Iterator[tuple[str, bytes]]:
    return (contact(number) for number in range(items))


def _cold(side: Side, name: str) -> dict[str, Any]:
    started = time.perf_counter()
    done = PHASES[name](side)
    _say(f"cold: {name}, {side.server.name}", started)
    return {"seconds": round(sum(done.latencies), 4), "server_cpu_seconds": round(done.cpu_seconds, 4)}


def _turned(sides: list[Side], by: int) -> list[Side]:
    by %= len(sides)
    return sides[by:] + sides[:by]


def _summary(rounds: list[Measured]) -> dict[str, Any]:
    """Medians over the rounds; latencies in ms over all of them."""
    measured = [r for r in rounds if r.latencies]
    latencies = sorted(x for r in measured for x in r.latencies)
    errors = sum((r.errors for r in rounds), Counter[str]())
    summary: dict[str, Any] = {"operations": len(latencies), "errors": dict(errors)}
    summary["wrong"] = sorted({w for r in rounds for w in r.wrong})
    if latencies:
        summary |= {
            "a_second": round(median(len(r.latencies) / r.seconds for r in measured), 2),
            "p50_ms": round(median(latencies) * 1000, 3),
            "p99_ms": round(latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000, 3),
            "server_cpu_ms_each": round(median(r.cpu_seconds / len(r.latencies) for r in measured) * 1000, 4),
        }
        if any(r.written_bytes for r in measured):
            each = median(r.written_bytes / len(r.latencies) for r in measured)
            summary["written_bytes_each"] = round(each)
    return summary


def _say(what: str, started: float) -> None:
    print(f"{what}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--servers", default="safehold,radicale,xandikos")
    args = parser.parse_args()
    rounds, sizes = (2, [50, 200]) if args.quick else (args.rounds, [int(size) for size in args.sizes.split(",")])
    # 100 PUTs in all, so that the collections stay of about their size.
    counts = Counts(10, 50, 50, 2) if args.quick else Counts(max(1, 100 // rounds), 500, 500, 5)
    wanted = args.servers.split(",")
    environment = peers_environment() if set(wanted) - {"safehold"} else Path()
    known: dict[str, Callable[[Path], Server]] = {
        "safehold": Safehold,
        "radicale": lambda folder: Radicale(folder, environment),
        "xandikos": lambda folder: Xandikos(folder, environment),
    }
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "connections": CONNECTIONS,
        "cap_seconds": CAP_SECONDS,
        "rounds": rounds,
        "sizes": {str(size): measure([known[name] for name in wanted], size, rounds, counts) for size in sizes},
    }
    faults = goals.faults(results)
    results["goals"] = goals.verdicts(results) if len(wanted) == len(known) else []
    for fault in faults:
        print(f"wrong: {fault}", file=sys.stderr)
    if args.quick or len(wanted) < len(known):
        print(json.dumps(results, indent=1))
    else:
        page.write(dav=results)
        print(page.dav_section(results))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
