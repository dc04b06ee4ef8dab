"""The contract of `serve`: how it starts, refuses to start, ends, dies, and bears a full disk and large files."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Client, Service, command_line, environment
from tests.support.writers import CARD, card, digest

PASSWORD = "correct horse"
BOOK = "/dav/ada/contacts/default/"
MIB = 1 << 20
#: What a photo's way through the service may add to its memory, whatever the photo's size.
FLAT_BYTES = 30 * MIB
PHOTO_BYTES = 64 * MIB
LARGE_PHOTO_BYTES = 300 * MIB


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data")
    service.add_account("ada", PASSWORD)
    yield service
    service.close()


def client(service: Service) -> Client:
    return service.client("ada", PASSWORD)


def put_cards(service: Service, first: int, count: int) -> dict[str, bytes]:
    """Acknowledged cards by name."""
    draw, phone = random.Random(first), client(service)
    bodies = {f"c{i}.vcf": card(f"c{i}", draw) for i in range(first, first + count)}
    for name, body in bodies.items():
        assert phone.put(BOOK + name, body, CARD, new=True).status == 201
    return bodies


def assert_there(service: Service, bodies: dict[str, bytes], undecided: frozenset[str] = frozenset()) -> None:
    """These cards and no others, but for those of which nobody was told that they are taken."""
    phone = client(service)
    items, _ = phone.listing(BOOK)
    assert {n: e for n, e in items.items() if n not in undecided} == {n: f'"{digest(b)}"' for n, b in bodies.items()}
    for name, body in bodies.items():
        assert phone.ask("GET", BOOK + name).body == body


def test_sigterm_ends_it_well_although_a_connection_is_kept_alive(service: Service) -> None:
    service.start()
    idle = client(service)
    bodies = put_cards(service, 0, 5)
    assert idle.ask("GET", BOOK + "c0.vcf").status == 200
    assert service.stop() == 0
    assert not (service.data / "core" / "core.db-wal").exists(), "the WAL was brought into the file"
    assert all(v["unarchived_changes"] == 0 for v in service.status()["vaults"]), "shipped before it ended"
    service.start()
    assert_there(service, bodies)


def test_sigterm_lets_a_request_finish(service: Service) -> None:
    service.start()
    body = random.Random(3).randbytes(200_000)
    path = "/dav/ada/files/photos/last.jpg"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as s:
        login = http_login(service)
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\nContent-Length: {len(body)}\r\n\r\n"
        s.sendall(head.encode() + body[:150_000])
        assert client(service).ask("GET", BOOK).status < 500, "the head of the other request has arrived before this"
        assert service.stop(0.5) is None, "it waits for the request under way"
        s.sendall(body[150_000:])
        assert b" 201 " in s.recv(4096)
    assert service.wait(30) == 0
    service.start()
    assert client(service).ask("GET", path).body == body


def http_login(service: Service) -> str:
    import base64

    return "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()


def started_in_vain(service: Service) -> tuple[int, str]:
    """Run serve where it must not run; exit code and what it says."""
    ended = subprocess.run(
        command_line(service.data, "serve", "--listen", f"127.0.0.1:{service.port}"),
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


def test_with_vaults_but_no_core_it_names_recover_run_where_it_is_to_ask(service: Service) -> None:
    (service.data / "safehold.toml").write_text('[recovery]\nstart = "ask"\n')
    shutil.rmtree(service.data / "core")
    code, said = started_in_vain(service)
    assert code == 3
    assert "recover run" in said
    assert not (service.data / "core").exists() or not any((service.data / "core").iterdir())
    service.run("recover", "run", "--yes")
    service.start()
    assert_there(service, {})


def test_a_missing_sync_vault_is_not_made_anew_and_writing_waits_for_it(service: Service) -> None:
    """What is whole is served meanwhile; what was to be written is refused, not forgotten."""
    service.start()
    bodies = put_cards(service, 0, 3)
    assert service.stop() == 0
    shutil.move(service.data / "vaults/near", service.data / "aside")
    service.start()
    assert_there(service, bodies)
    answer = client(service).put(BOOK + "new.vcf", card("new", random.Random(0)), CARD, new=True)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert not (service.data / "vaults/near").exists()
    shutil.move(service.data / "aside", service.data / "vaults/near")
    bodies |= put_cards_after_trouble(service, 10)
    assert_there(service, bodies)


def test_a_missing_asynchronous_vault_is_not_made_anew_and_catches_up_when_it_returns(service: Service) -> None:
    shutil.move(service.data / "vaults/far", service.data / "aside")
    service.start()
    bodies = put_cards(service, 0, 3)
    assert not (service.data / "vaults/far").exists()
    assert service.vault_status("far")["unarchived_changes"] != 0
    shutil.move(service.data / "aside", service.data / "vaults/far")
    assert service.stop() == 0
    assert service.vault_status("far")["unarchived_changes"] == 0
    assert objects(service.data / "vaults/far") == objects(service.data / "vaults/near")
    service.start()
    assert_there(service, bodies)


def objects(vault: Path) -> dict[str, bytes]:
    """Digests of all that a vault holds of log and blobs, by name."""
    files = [p for part in ("log", "blobs") for p in (vault / part).rglob("*") if p.is_file()]
    return {str(p.relative_to(vault)): hashlib.sha256(p.read_bytes()).digest() for p in files}


def test_a_second_serve_on_the_same_folder_is_refused(service: Service) -> None:
    service.start()
    other = Service(service.data)
    code, said = started_in_vain(other)
    assert code == 3, said
    assert re.search(r"already|another|lock|run(s|ning)", said), said
    put_cards(service, 0, 1)


def test_accounts_are_added_before_and_while_it_serves(service: Service) -> None:
    service.start()
    assert client(service).ask("GET", BOOK).status < 400 or client(service).listing(BOOK) == ({}, {})
    service.add_account("grace", "while serving")
    grace = service.client("grace", "while serving")
    assert grace.listing("/dav/grace/contacts/default/") == ({}, {})
    assert service.client("grace", "wrong").ask("GET", "/dav/grace/contacts/default/").status == 401
    assert client(service).xml(
        "PROPFIND", "/dav/grace/contacts/default/", "<propfind xmlns='DAV:'><allprop/></propfind>"
    ).status in (403, 404)
    listed = service.run("account", "list").text
    assert "ada" in listed
    assert "grace" in listed


@pytest.mark.parametrize("seed", range(3))
def test_killed_it_has_lost_nothing_acknowledged(service: Service, seed: int) -> None:
    bodies: dict[str, bytes] = {}
    draw = random.Random(seed)
    for life in range(3):
        service.start()
        assert_there(service, bodies)
        bodies |= put_cards(service, life * 100, draw.randrange(1, 30))
        service.kill()
    service.start()
    assert_there(service, bodies)


class FullDisk:
    """A small file system of its own under `folder`, which `fill` fills to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("wb", buffering=0) as f:
            chunk = bytes(4096)
            try:
                while True:
                    f.write(chunk)
            except OSError:
                pass

    def empty(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[FullDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "safehold-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield FullDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("what", ["everything", "near", "core"])
def test_a_full_disk_answers_507_and_loses_nothing(small_disk: FullDisk, tmp_path: Path, what: str) -> None:
    """The data folder, or one part of it, on a disk that fills up, is freed, and fills again until the kill."""
    service = Service(tmp_path / "data" if what != "everything" else small_disk.folder / "data")
    service.add_account("ada", PASSWORD)
    part = {"near": "vaults/near", "core": "core"}.get(what)
    if part:
        shutil.move(service.data / part, small_disk.folder / "part")
        (service.data / part).symlink_to(small_disk.folder / "part")
    try:
        service.start()
        bodies = put_cards(service, 0, 10)
        small_disk.fill()
        taken, refused = put_until_full(service, 1000)
        assert_there(service, bodies | taken, refused)
        small_disk.empty()
        bodies |= taken | put_cards_after_trouble(service, 5000)
        assert_there(service, bodies, refused)
        small_disk.fill()
        taken, later = put_until_full(service, 9000)
        service.kill()
        small_disk.empty()
        service.start()
        assert_there(service, bodies | taken, refused | later)
        assert service.stop() == 0
    finally:
        service.close()


def put_until_full(service: Service, first: int) -> tuple[dict[str, bytes], frozenset[str]]:
    """PUT until ten have been refused with 507, and a photo too: what was acknowledged, and the names refused.

    The first that is refused may turn out to be taken, where the vault had it and only the core's commit failed.
    """
    phone, taken, refused = client(service), {}, []
    for i in range(first, first + 3000):
        name, body = f"c{i}.vcf", card(f"c{i}", random.Random(i))
        answer = phone.put(BOOK + name, body, CARD, new=True)
        assert answer.status in (201, 507), (answer.status, answer.body[:300])
        if answer.status == 201:
            taken[name] = body
        else:
            refused.append(name)
            if len(refused) == 10:
                photo = phone.put("/dav/ada/files/photos/big.jpg", bytes(300_000), "image/jpeg")
                assert photo.status == 507
                return taken, frozenset(refused[:1])
    raise AssertionError("the disk never filled up")


def put_cards_after_trouble(service: Service, first: int) -> dict[str, bytes]:
    """Once it can write again it takes writes; it may need a moment to find that out."""
    phone, body = client(service), card(f"c{first}", random.Random(first))
    for _ in range(200):
        answer = phone.put(f"{BOOK}c{first}.vcf", body, CARD, new=True)
        if answer.status == 201:
            return {f"c{first}.vcf": body} | put_cards(service, first + 1, 10)
        assert answer.status in (503, 507), (answer.status, answer.body[:300])
        assert service.wait(0.05) is None
    raise AssertionError("it takes no writes although it could")


class Flow:
    """Bytes that are made while they are sent, and digested on the way."""

    def __init__(self, size: int, seed: int) -> None:
        self._left = size
        self._block = random.Random(seed).randbytes(1 << 16)
        self.digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        data = self._block[: min(count, self._left, len(self._block))]
        self._left -= len(data)
        self.digest.update(data)
        return data


@pytest.mark.parametrize("size", [PHOTO_BYTES, pytest.param(LARGE_PHOTO_BYTES, marks=pytest.mark.long)])
def test_a_large_photo_streams_through_in_constant_memory(service: Service, size: int) -> None:
    service.start()
    put_cards(service, 0, 20)
    warm = client(service)
    assert warm.put("/dav/ada/files/photos/warm.jpg", bytes(MIB), "image/jpeg", new=True).status == 201
    assert warm.ask("GET", "/dav/ada/files/photos/warm.jpg").status == 200
    service.reset_peak()
    before = service.memory()
    flow = Flow(size, 1)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=300)
    headers = {"Authorization": http_login(service), "Content-Length": str(size), "Content-Type": "image/jpeg"}
    connection.request("PUT", "/dav/ada/files/photos/large.jpg", flow, headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201
    assert answer.getheader("ETag") == f'"{flow.digest.hexdigest()}"'
    up = service.memory("VmHWM") - before
    service.reset_peak()
    connection.request("GET", "/dav/ada/files/photos/large.jpg", headers={"Authorization": http_login(service)})
    answer, seen = connection.getresponse(), hashlib.sha256()
    while chunk := answer.read(1 << 18):
        seen.update(chunk)
    assert seen.digest() == flow.digest.digest()
    down = service.memory("VmHWM") - before
    connection.close()
    print(f"{size >> 20} MiB: memory grew by {up / MIB:.1f} MiB upwards, {down / MIB:.1f} MiB downwards")
    assert up < FLAT_BYTES
    assert down < FLAT_BYTES


def test_it_speaks_http_1_only(service: Service) -> None:
    """To tell HTTP/2 by its first bytes a server waits for them, for ever where none come: 1024 silent connections
    and nobody else is answered."""
    service.start()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        answer = connection.recv(1024)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


def test_downloads_that_are_broken_off_leave_nothing_open(service: Service) -> None:
    service.start()
    phone = client(service)
    photo = random.Random(1).randbytes(LARGE_PHOTO_BYTES // 3)
    assert phone.put("/dav/ada/files/photos/p.jpg", photo, "image/jpeg").status == 201
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            login = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
            request = f"GET /dav/ada/files/photos/p.jpg HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n\r\n"
            connection.sendall(request.encode())
            assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    # Whatever is still being made for nobody keeps the file open; it takes seconds for each of them.
    end = time.monotonic() + 30
    while (left := open_blobs(service)) and time.monotonic() < end:
        phone.ask("GET", "/healthz")
    assert left == 0


def open_blobs(service: Service) -> int:
    folder = Path(f"/proc/{service.pid}/fd")
    found = 0
    for link in folder.iterdir():
        try:
            found += "/blobs/" in os.readlink(link)
        except FileNotFoundError:
            continue
    return found


def test_the_first_screen_tells_how_to_begin(tmp_path: Path) -> None:
    service = Service(tmp_path / "data")
    service.start()
    try:
        while "account add" not in (said := service.tail(200)):
            assert service.wait(0.02) is None, said
        shown = [line for line in said.splitlines() if " INFO " not in line]
        assert len(shown) <= 24, "one screen"
        assert f"127.0.0.1:{service.port}" in said
        assert service.stop() == 0
    finally:
        service.close()
