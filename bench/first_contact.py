"""First contact: how soon a service whose core is gone gives somebody all their contacts.

    python -m bench.first_contact [--large] [--quick] [--rounds 5] [--work DIR]

In turns, `serve` is started on the same installation with its core whole, and with `core/` and `blobs/` deleted. From
the moment at which the process is started an account, drawn anew in each round, asks for its address books and then for
every contact in them with its body, again and again where it is told to come later; the round's figure is when it had
all of them, byte for byte. What the second start takes longer than the first is what the loss of the core costs whoever
comes first. Then further accounts ask, one after the other, while the recovery goes on beside them. How long all of it
takes counts from the moment at which a start with a whole core has answered, as first contact does.

It measures 100,000 items in 200 accounts and in 2,000, and with `--large` 1,000,000 in 2,000; it keeps what it has of
other sizes. It writes bench/first_contact.json and its part of docs/performance.md, and exits with 1 where an answer
was wrong. `--quick` takes a small installation and writes nothing. Installations are kept in `--work` for the next run.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import unquote
from urllib.request import urlopen

from bench import child, house, page
from bench.backup import ITEMS_EACH, LARGE, SEED, SMALL
from bench.items import Reference, account_name
from bench.machine import machine, versions
from bench.processes import cpu_seconds, tree
from bench.servers import described
from safehold.model.commands import AddAppPassword
from safehold.model.errors import Conflict
from safehold.service.auth import app_password_digest
from tests.support.service import Service, command_line, environment

#: What is wanted: so much later than with a whole core, and so many times that with ten times the accounts.
WANTED_SECONDS = 1.0
BARE_TIMES = 2.5
PEAK_BYTES = 500e6
#: Accounts that ask after the first one in a round, each once.
OTHERS = 10
#: Devices that are told to come later wait far longer; this is what the figures are exact to.
PAUSE_SECONDS = 0.02
LIMIT_SECONDS = 120.0
#: Made for the accounts that ask, so that no slow hash of a password is in what is measured.
PASSWORD = "abcd2-efgh3-ijkl4-mnop5"

_QUERY = (
    b'<A:addressbook-query xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav"><D:prop><D:getetag/>'
    b"<A:address-data/></D:prop><A:filter/></A:addressbook-query>"
)
_DATA = "{urn:ietf:params:xml:ns:carddav}address-data"


class Asked(NamedTuple):
    """When somebody had all of their contacts, in seconds from the start, how often they were told to come later, and
    what was wrong."""

    seconds: float
    refused: int
    wrong: str


class House:
    """An installation, and what each account that asks must get."""

    def __init__(self, work: Path, accounts: int, items_each: int) -> None:
        self.accounts, self.items = accounts, accounts * items_each
        made_by = b"".join((page.ROOT / f"bench/{name}.py").read_bytes() for name in ("items", "house"))
        self.folder = work / f"first-{accounts}-{items_each}-{sha256(made_by).hexdigest()[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = Reference(self.folder / "items.db", SEED, accounts, items_each)
        self.data = self.folder / "data"
        draw = random.Random(f"who asks {accounts}")
        self.asking = draw.sample(range(accounts), min(accounts, 60))

    def make(self) -> None:
        """Fill it, give those who ask their passwords, take a snapshot, and have that attested, as happens daily."""
        self.reference.make()
        house.make(self.data, self.reference)
        digest = app_password_digest(PASSWORD)
        assert digest is not None
        with house.filling(house.installation(self.data)) as filler:
            for number in self.asking:
                with suppress(Conflict):  # of an earlier run
                    filler.execute(AddAppPassword(account=house.account_id(number), label="bench", sha256=digest))
        for command in (("snapshot",), ("keeper", "run", "--once")):
            child.run(command_line(self.data, "--json", *command), env=environment())

    def bare_load(self) -> tuple[float, float]:
        """Seconds of a bare bulk load of the rows of this core, and of CPU: what a whole recovery is measured by."""
        target = self.folder / "bare.db"
        target.unlink(missing_ok=True)
        ran = child.run([sys.executable, "-m", "bench.steps", "bare_load", self.data / "core/core.db", target])
        target.unlink()
        told = json.loads(ran.out.splitlines()[-1])
        return float(told["seconds"]), float(told["cpu_seconds"])

    def contacts(self, account: int) -> dict[str, bytes]:
        """By path under the account."""
        rows = self.reference.rows(account)
        return {f"{path}/{name}": body for _, path, name, body in rows if path.startswith("contacts/")}

    @contextmanager
    def started(self, *, lost: bool) -> Iterator[tuple[Service, float]]:
        """A running service, and when it was started; with the core deleted, which is put back afterwards."""
        kept = self.folder / "kept"
        if lost:
            shutil.rmtree(kept, ignore_errors=True)
            (self.data / "core").rename(kept)
            shutil.rmtree(self.data / "blobs")
        service = Service(self.data)
        service.log.unlink(missing_ok=True)
        try:
            began = time.perf_counter()
            service.begin()
            yield service, began
            if lost:
                _wait_for_the_end(service)
            assert service.stop() == 0, service.tail()
        finally:
            service.close()
            if lost:
                shutil.rmtree(self.data / "core", ignore_errors=True)
                kept.rename(self.data / "core")


def _wait_for_the_end(service: Service) -> None:
    """Asked where it costs the service next to nothing."""
    until = time.monotonic() + LIMIT_SECONDS * 10
    while True:
        with urlopen(f"http://127.0.0.1:{service.port}/status.json", timeout=30) as answer:
            if json.load(answer)["recovery"] is None:
                return
        assert time.monotonic() < until, service.tail()
        time.sleep(0.05)


class Asker:
    """Somebody who wants all contacts."""

    def __init__(self, service: Service, account: int) -> None:
        self._port = service.port
        self._home = f"/dav/{account_name(account)}/"
        login = base64.b64encode(f"{account_name(account)}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Depth": "1", "Content-Type": "application/xml"}
        self.refused = 0

    def ask(self, began: float, wanted: dict[str, bytes]) -> Asked:
        found: dict[str, bytes] = {}
        for book in self._books():
            found |= self._cards(book)
        seconds = time.perf_counter() - began
        wrong = "" if found == wanted else f"{len(found)} contacts came of {len(wanted)}, or others than were put"
        return Asked(seconds, self.refused, wrong)

    def _books(self) -> list[str]:
        answer = self._answered("PROPFIND", f"{self._home}contacts/", b"")
        hrefs = [response.findtext("{DAV:}href") or "" for response in ET.fromstring(answer)]
        return [href for href in hrefs if href != f"{self._home}contacts/"]

    def _cards(self, book: str) -> dict[str, bytes]:
        found = {}
        for response in ET.fromstring(self._answered("REPORT", book, _QUERY)):
            href, data = response.findtext("{DAV:}href") or "", response.find(f".//{_DATA}")
            assert data is not None
            found[unquote(href.removeprefix(self._home))] = _with_crlf(data.text or "")
        return found

    def _answered(self, method: str, path: str, body: bytes) -> bytes:
        """Until it is answered: nobody listens yet, or it is to come later."""
        until = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request(method, path, body, self._headers)
                answer = connection.getresponse()
                data = answer.read()
                if answer.status == 207:
                    return data
                assert answer.status == 503, (answer.status, data[:300])
                self.refused += 1
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"{method} {path} was not answered in {LIMIT_SECONDS} s")


def _with_crlf(text: str) -> bytes:
    """As it was put: XML gives a line's end as LF, unless it was written as a character reference."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def measure(made: House, rounds: int) -> dict[str, Any]:
    """Every round's figures, and their medians."""
    made.make()
    found: list[dict[str, Any]] = []
    for number in range(rounds):
        asking = [made.asking[(number * (OTHERS + 1) + i) % len(made.asking)] for i in range(OTHERS + 1)]
        wanted = {account: made.contacts(account) for account in asking}
        order = (False, True) if number % 2 == 0 else (True, False)
        told = {lost: _round(made, asking, wanted, lost=lost) for lost in order}
        bare, bare_cpu = made.bare_load()
        # What a start with a whole core takes until it answers, most of it an interpreter's, is in neither.
        took = told[True]["recovered_seconds"] - told[False]["seconds"]
        cpu = told[True]["cpu_seconds"] - told[False]["cpu_seconds"]
        found.append(
            {
                "whole": told[False],
                "lost": told[True],
                "bare_seconds": bare,
                "took": took,
                "cpu": cpu,
                "cpu_bare": bare_cpu,
            }
        )
        later = told[True]["seconds"] - told[False]["seconds"]
        print(
            f"{made.items:,} items, {made.accounts:,} accounts, {number + 1}: {told[False]['seconds']:.3f} s whole, "
            f"{told[True]['seconds']:.3f} s lost (+{later:.3f}), others {told[True]['others_ms']:.0f} ms; all of it "
            f"after {took:.1f} s more, bare load {bare:.1f} s; CPU {cpu:.1f} s and {bare_cpu:.1f} s",
            file=sys.stderr,
        )
    later = [each["lost"]["seconds"] - each["whole"]["seconds"] for each in found]
    return {
        "machine": machine(),
        "versions": versions(),
        "version": described(),
        "items": made.items,
        "accounts": made.accounts,
        "rounds": rounds,
        "whole_seconds": median(each["whole"]["seconds"] for each in found),
        "lost_seconds": median(each["lost"]["seconds"] for each in found),
        "later_seconds": median(later),
        "later_most_seconds": max(later),
        "others_ms": median(each["lost"]["others_ms"] for each in found),
        "others_most_ms": max(each["lost"]["others_most_ms"] for each in found),
        "whole_others_ms": median(each["whole"]["others_ms"] for each in found),
        "recovered_seconds": median(each["lost"]["recovered_seconds"] for each in found),
        "bare_seconds": median(each["bare_seconds"] for each in found),
        "took_seconds": median(each["took"] for each in found),
        "bare_times": median(each["took"] / each["bare_seconds"] for each in found),
        "cpu_times": median(each["cpu"] / each["cpu_bare"] for each in found),
        "peak_bytes": max(each["lost"]["peak_bytes"] for each in found),
        "wrong": sorted({wrong for each in found for side in ("whole", "lost") for wrong in each[side]["wrong"]}),
    }


def _round(made: House, asking: list[int], wanted: dict[int, dict[str, bytes]], *, lost: bool) -> dict[str, Any]:
    with made.started(lost=lost) as (service, began), child.watched(service.pid) as memory:
        first = Asker(service, asking[0]).ask(began, wanted[asking[0]])
        others, wrong = [], [first.wrong]
        for account in asking[1:]:
            asked = Asker(service, account).ask(time.perf_counter(), wanted[account])
            others.append(asked.seconds * 1000)
            wrong.append(asked.wrong)
        if lost:
            _wait_for_the_end(service)
        return {
            "seconds": first.seconds,
            "refused": first.refused,
            "others_ms": median(others),
            "others_most_ms": max(others),
            "recovered_seconds": time.perf_counter() - began,
            "cpu_seconds": sum(map(cpu_seconds, tree(service.pid))),
            "peak_bytes": memory.bytes(),
            "wrong": [one for one in wrong if one],
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="1,000,000 items")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/tmp/safehold-first-contact"))
    options = parser.parse_args()
    sizes = [(200, SMALL // 200), (2000, SMALL // 2000)]
    if options.large:
        sizes = [(LARGE // ITEMS_EACH, ITEMS_EACH)]
    if options.quick:
        sizes = [(20, 100)]
    results: dict[str, Any] = page.older_first_contact()
    for accounts, items_each in sizes:
        found = measure(House(options.work, accounts, items_each), options.rounds)
        results["sizes"][f"{found['items']} {found['accounts']}"] = found
    results["goals"] = [list(verdict) for verdict in verdicts(results["sizes"])]
    if options.quick:
        print(json.dumps(results, indent=1))
    else:
        page.write(first_contact=results)
        print(page.first_contact_section(results))
    return int(any(found["wrong"] for found in results["sizes"].values()))


def verdicts(sizes: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What is wanted, what was found, and whether that is it."""
    found = []
    for size in sorted(sizes.values(), key=lambda each: (each["items"], each["accounts"])):
        what = f"{size['items']:,} items in {size['accounts']:,} accounts"
        goal = f"{what}: first contact at most {WANTED_SECONDS:.0f} s later"
        found.append((goal, f"{size['later_seconds']:.2f} s", size["later_seconds"] <= WANTED_SECONDS))
        goal = f"{what}: all of it back, while serving, after at most {BARE_TIMES} times a bare bulk load"
        times = f"{size['bare_times']:.1f} times ({size['took_seconds']:.1f} s and {size['bare_seconds']:.1f} s)"
        found.append((goal, times, size["bare_times"] <= BARE_TIMES))
        held = f"{size['peak_bytes'] / 1e6:.0f} MB"
        found.append((f"{what}: memory under 500 MB", held, size["peak_bytes"] < PEAK_BYTES))
    return found


if __name__ == "__main__":
    sys.exit(main())
