"""Recovery while serving, with real processes: a service whose core is gone serves, and nothing is lost or doubled.

Each test fills an account over DAV, stops or kills the service, takes the core away, and starts it again.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.service import Client, Service, command_line, environment
from tests.support.waiting import until
from tests.support.writers import CARD, card, digest

PASSWORD = "correct horse"
PEOPLE = ("ada", "bob", "eve")
CARDS = 120
PHOTO_BYTES = 300_000
WAIT_SECONDS = 300.0
SEED = 5


class House:
    """A filled installation: what each person must find in it, by path."""

    def __init__(self, data: Path) -> None:
        self.service = Service(data)
        self.bodies: dict[str, dict[str, bytes]] = {name: {} for name in PEOPLE}
        self.filled_at = ""

    def client(self, name: str) -> Client:
        return self.service.client(name, PASSWORD)

    def put(self, name: str, path: str, body: bytes, media: str = CARD) -> int:
        answer = self.client(name).put(path, body, media, new=True)
        if answer.status == 201:
            self.bodies[name][path] = body
        return answer.status

    def lose(self, *parts: str) -> None:
        for part in parts or ("core", "blobs"):
            shutil.rmtree(self.service.data / part)

    def start(self, *args: str) -> None:
        """Start it, and return once it knows people again. Until then it says 503 and nothing else."""
        self.service.start(*args)
        end = time.monotonic() + WAIT_SECONDS
        while (status := self.client("ada").ask("PROPFIND", "/dav/", headers={"Depth": "0"}).status) != 207:
            assert status == 503
            assert time.monotonic() < end, self.service.tail()

    def wait(self) -> dict[str, object]:
        """Until the recovery has ended; what came of it."""
        until(lambda: self.service.status()["recovery"] is None)
        return dict(self.service.status()["last_recovery"] or {})

    def assert_there(self) -> None:
        """Every person's things, no others, byte for byte."""
        for name, bodies in self.bodies.items():
            phone = self.client(name)
            book = f"/dav/{name}/contacts/default/"
            cards = {path.removeprefix(book): body for path, body in bodies.items() if path.startswith(book)}
            listed, _ = phone.listing(book)
            assert listed == {card_: f'"{digest(body)}"' for card_, body in cards.items()}
            for path, body in bodies.items():
                answer = phone.ask("GET", path)
                assert (answer.status, answer.body == body) == (200, True), path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("serving-recovery") / "data")
    for name in PEOPLE:
        house.service.add_account(name, PASSWORD)
    house.service.start()
    try:
        draw = random.Random(SEED)
        for name in PEOPLE:
            for i in range(CARDS if name == "ada" else 10):
                assert house.put(name, f"/dav/{name}/contacts/default/c{i}.vcf", card(f"c{i}", draw)) == 201
            assert house.put(name, f"/dav/{name}/files/photos/p.jpg", draw.randbytes(PHOTO_BYTES), "image/jpeg") == 201
            assert house.put(name, f"/dav/{name}/files/notes/n.txt", draw.randbytes(900).hex().encode(), "") == 201
        house.service.run("snapshot")
        for i in range(5):  # after the generation
            assert house.put("ada", f"/dav/ada/contacts/default/late{i}.vcf", card(f"late{i}", draw)) == 201
        assert house.service.stop() == 0
        house.filled_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    finally:
        house.service.close()
    yield house


@pytest.fixture
def house(filled: House, tmp_path: Path) -> Iterator[House]:
    """A copy of it, in which nothing runs."""
    shutil.copytree(filled.service.data, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    copy = House(tmp_path / "data")
    copy.filled_at = filled.filled_at
    copy.bodies = {name: dict(bodies) for name, bodies in filled.bodies.items()}
    yield copy
    copy.service.close()


def told(house: House) -> str:
    return house.service.log.read_text()


def test_it_serves_what_is_asked_for_and_brings_back_the_rest(house: House) -> None:
    house.lose()
    house.start()
    house.assert_there()
    last = house.wait()
    assert last["verified"] is True
    assert last["lost"] == 0
    items = last["items"]
    assert isinstance(items, dict)
    expected = {name: items[name]["exact"] for name in ("contacts", "notes", "photos")}
    assert expected == {"contacts": CARDS + 5 + 20, "notes": 3, "photos": 3}
    assert all(count["exact"] == count["expected"] for count in items.values())
    house.assert_there()
    assert told(house).count("the core is missing") == 1
    assert told(house).count("the core is recovered") == 1
    assert house.service.run("vault", "scrub", codes=(0,)).out is not None
    assert house.service.stop() == 0
    house.start()
    house.assert_there()
    assert house.service.status()["recovery"] is None


@pytest.mark.parametrize("damage", ["empty", "first page", "no database"])
def test_a_core_that_is_damaged_is_set_aside_and_recovered(house: House, damage: str) -> None:
    path = house.service.data / "core" / "core.db"
    data = bytearray(path.read_bytes())
    if damage == "first page":
        data[0:4096] = random.Random(SEED).randbytes(4096)
    path.write_bytes({"empty": b"", "first page": bytes(data), "no database": b"no database " * 999}[damage])
    was = path.read_bytes()
    house.start()
    house.assert_there()
    house.wait()
    aside = [each for each in (house.service.data / "scratch").glob("core-*/core.db") if each.read_bytes() == was]
    assert len(aside) == 1
    house.assert_there()


def test_until_identity_is_in_nobody_is_a_stranger(house: House) -> None:
    """From the first connection that is taken on: 503 or the right answer, never 401 or 404, whoever asks."""
    house.lose()
    house.service.begin()
    seen: set[int] = set()
    end = time.monotonic() + WAIT_SECONDS
    while 207 not in seen:
        assert time.monotonic() < end, house.service.tail()
        try:
            answer = house.client("ada").ask("PROPFIND", "/dav/ada/contacts/default/", headers={"Depth": "1"})
        except OSError:
            continue
        seen.add(answer.status)
        assert answer.status in (207, 503)
        if answer.status == 503:
            assert answer.headers["content-type"].startswith("application/xml")
            assert int(answer.headers["retry-after"]) > 0
    house.assert_there()


def test_what_is_written_while_it_recovers_is_there_afterwards(house: House) -> None:
    """New things, overwritten and deleted ones; and a second loss brings all of it back again."""
    house.lose()
    house.start()
    draw = random.Random(SEED)
    stop = threading.Event()
    failures: list[int] = []

    def write(name: str) -> None:
        i = 0
        while not stop.is_set():
            path = f"/dav/{name}/contacts/default/new{i}.vcf"
            status = house.put(name, path, card(f"new{i}", draw))
            if status not in (201, 503):
                failures.append(status)
            i += 1

    threads = [threading.Thread(target=write, args=(name,)) for name in PEOPLE]
    for thread in threads:
        thread.start()
    ada = house.client("ada")
    gone = "/dav/ada/contacts/default/c0.vcf"
    assert ada.ask("DELETE", gone).status == 204
    del house.bodies["ada"][gone]
    house.wait()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    house.assert_there()
    house.service.kill()
    house.lose()
    house.start()
    house.assert_there()
    house.wait()
    house.assert_there()


def answers(house: House) -> int:
    """0: nobody listens."""
    with suppress(OSError, HTTPException):
        return house.client("ada").ask("PROPFIND", "/dav/", headers={"Depth": "0"}).status
    return 0


def alive(house: House) -> bool:
    code = house.service.wait(0)
    assert code is None, f"serve ended with exit {code}:\n{house.service.tail()}"
    return True


def shows(house: House, count: int) -> bool:
    """Whether so many streams are in, or all of it is over."""
    recovery = house.service.status()["recovery"]
    return recovery is None or recovery["streams"].get("whole", 0) >= count


#: How far it has come when it is killed.
MOMENTS: tuple[Callable[[House], bool], ...] = (
    lambda house: (house.service.data / "run" / "safehold.sock").exists(),
    lambda house: answers(house) != 0,
    lambda house: (house.service.data / "core" / "core.db").exists(),
    lambda house: answers(house) == 207,
    lambda house: answers(house) == 207 and shows(house, 3),
)


def test_killed_five_times_it_ends_as_if_it_had_never_been(house: House) -> None:
    house.lose()
    draw = random.Random(SEED)
    for round_, moment in enumerate(MOMENTS):
        house.service.begin()
        until(lambda moment=moment: alive(house) and moment(house))  # type: ignore[misc]
        with suppress(OSError, HTTPException):  # whether it was taken is looked at in the end
            house.put("bob", f"/dav/bob/contacts/default/k{round_}.vcf", card(f"k{round_}", draw))
        house.service.kill()
    house.start()
    house.wait()
    known = set(house.bodies["bob"])
    listed, _ = house.client("bob").listing("/dav/bob/contacts/default/")
    for name in listed:  # taken, though the answer did not come
        path = f"/dav/bob/contacts/default/{name}"
        if path not in known and name.startswith("k"):
            house.bodies["bob"][path] = house.client("bob").ask("GET", path).body
    house.assert_there()
    assert house.service.run("vault", "scrub", codes=(0,)).code == 0


def test_sigterm_ends_it_in_time_and_the_next_start_goes_on(house: House) -> None:
    house.lose()
    for _ in range(3):
        house.start()
        assert house.service.stop() == 0
    assert house.service.run("recover", "status").code == 0
    house.start()
    house.wait()
    house.assert_there()


def in_vain(house: House, *more: str) -> tuple[int, str]:
    """Start it where it must not run; exit code and what it says."""
    words = ("serve", "--listen", f"127.0.0.1:{house.service.port}", *more)
    ended = subprocess.run(
        command_line(house.service.data, *words),
        capture_output=True,
        env=environment(),
        timeout=WAIT_SECONDS,
        check=False,
    )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


def test_where_it_is_to_ask_it_says_what_would_come_back(house: House) -> None:
    config = house.service.data / "safehold.toml"
    config.write_text(config.read_text().replace('start = "automatic"', 'start = "ask"'))
    house.lose()
    code, said = in_vain(house)
    assert code == 3
    assert "the core is missing" in said
    assert "3 accounts" in said
    assert f"{CARDS + 5 + 20} contacts" in said or "contacts" in said
    assert "recover run" in said
    assert not (house.service.data / "core").exists()
    house.service.run("recover", "run", "--yes")
    house.start()
    house.assert_there()


def test_without_the_key_it_says_so_and_with_it_given_it_recovers(house: House, tmp_path: Path) -> None:
    keys = house.service.data / "keys"
    for name in ("identity.txt", "recovery.txt"):
        if (keys / name).exists():
            shutil.move(keys / name, tmp_path / name)
    house.lose()
    code, said = in_vain(house)
    assert code == 3
    assert "the core is missing" in said
    assert "--identity" in said
    assert not (house.service.data / "core").exists()
    house.start("--identity", str(tmp_path / "recovery.txt"))
    house.assert_there()
    house.wait()
    house.assert_there()


def test_status_tells_how_far_it_is_and_run_leaves_it_to_the_service(house: House) -> None:
    house.lose()
    house.start()
    status = house.service.status()
    if status["recovery"] is not None:  # it may be faster than two commands
        recovery = status["recovery"]
        assert status["service"] == "recovering"
        assert set(recovery["streams"]) == {"queued", "serving", "whole", "partial"}
        assert set(recovery["kinds"]["contacts"]) == {"expected", "entered"}
        assert recovery["sources"] == ["near", "far"]
        assert recovery["held"] == []
    followed = house.service.run("recover", "status", "--wait")
    assert followed.out is not None
    assert followed.out["recovery"] is None
    assert followed.out["last"]["lost"] == 0
    for line in followed.err.splitlines():
        if line.startswith("{"):
            assert json.loads(line)["kinds"]
    refused = house.service.run("recover", "run", "--yes", codes=(3,))
    assert refused.out is not None
    house.assert_there()


def test_commands_beside_it_get_what_they_ask_for(house: House, tmp_path: Path) -> None:
    house.lose()
    house.start()
    house.service.add_account("new", PASSWORD)
    house.service.run("account", "passwd", "eve", "--password-stdin", stdin="another one\n")
    exported = house.service.run("export", "ada", str(tmp_path / "out"), "--kind", "contacts").out
    assert exported is not None
    assert exported["items"]["contacts"] == CARDS + 5
    undone = house.service.run("undo", "bob", "--kind", "contacts", "--to", house.filled_at, "--dry-run").out
    assert undone is not None
    house.wait()
    assert house.service.client("eve", "another one").ask("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
    assert (
        house.service.client("new", PASSWORD).ask("PROPFIND", "/dav/new/contacts/", headers={"Depth": "1"}).status
        == 207
    )
