"""A core that rots under a running service: devices get the right bytes, and the service mends it by itself."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from safehold.assembly.installation import open_installation
from safehold.config import load
from safehold.store.sqlite.core import SqliteCore
from safehold.store.sqlite.vfs import PAGE_BYTES, page_checksum
from safehold.vault.evidence import read_evidence
from tests.support.service import Service
from tests.support.waiting import until

USER, PASSWORD = "ada", "correct horse"
BOOK = f"/dav/{USER}/contacts/default"
NOTES = f"/dav/{USER}/files/notes"
CARD = {"Content-Type": "text/vcard"}
LARGE = b"large " * 50_000


def card(uid: str) -> bytes:
    note = f"NOTE:{uid * (8000 // len(uid))}\r\n"
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\n{note}END:VCARD\r\n".encode()


CARDS = {f"{n}.vcf": card(f"u{n}u") for n in range(40)}


@pytest.fixture
def filled(tmp_path: Path) -> Service:
    """A service that has ended, so that its core is one file."""
    service = Service(tmp_path / "data")
    service.add_account(USER, PASSWORD)
    service.start()
    client = service.client(USER, PASSWORD)
    for number, (name, body) in enumerate(CARDS.items()):
        if number == len(CARDS) // 2:
            service.run("snapshot")  # so that bodies come out of the generation, and out of the log after it
        assert client.ask("PUT", f"{BOOK}/{name}", body, CARD).status == 201
    assert client.ask("PUT", f"{NOTES}/large.txt", LARGE, {"Content-Type": "text/plain"}).status == 201
    service.stop()
    return service


def damage(path: Path, pages: list[int], rng: random.Random, first: int = 512) -> None:
    """All of a page from its byte `first` on."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE_BYTES + first)
            file.write(rng.randbytes(PAGE_BYTES - first))


def body_pages(path: Path) -> list[int]:
    """Pages that hold nothing but a part of a body: one of each body."""
    data = path.read_bytes()
    pages = [
        n
        for n in range(1, len(data) // PAGE_BYTES)
        if any(f"u{k}u".encode() * 300 in data[(n - 1) * PAGE_BYTES : n * PAGE_BYTES] for k in range(40))
    ]
    return pages[::4]


def bad_pages(path: Path) -> list[int]:
    data = path.read_bytes()
    pages = [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
    return [n for n, page in enumerate(pages, 1) if page[-8:] != page_checksum(page)]


def evidence(service: Service) -> list[bytes]:
    """What was kept of repairs in the vaults, as text."""
    installation = open_installation(service.data, load(service.data / "safehold.toml"), make=False)
    vaults = [installation.vault(config) for config in installation.config.vaults]
    found = read_evidence(vaults, installation.opener.installation, installation.opener)
    return [repr(each.evidence.facts).encode() for each in found if each.evidence.kind == "repair"]


def test_bodies_and_blobs_that_rot_are_given_and_mended(filled: Service) -> None:
    core = filled.data / "core" / "core.db"
    pages = body_pages(core)
    assert len(pages) > 10
    (blob,) = (path for path in (filled.data / "blobs").rglob("*") if path.is_file())
    filled.start()
    client = filled.client(USER, PASSWORD)
    damage(core, pages, random.Random(1))
    with blob.open("r+b") as file:
        file.seek(1000)
        file.write(b"rotten")
    for name, body in CARDS.items():
        answer = client.ask("GET", f"{BOOK}/{name}")
        assert (answer.status, answer.body) == (200, body), name
    answer = client.ask("GET", f"{NOTES}/large.txt", headers={"Range": "bytes=990-1020"})
    assert (answer.status, answer.body) == (206, LARGE[990:1021])
    assert client.ask("GET", f"{NOTES}/large.txt").body == LARGE
    until(lambda: filled.status()["core"]["mended"] > len(pages))
    status = filled.status()
    assert {"body mended", "large body mended"} <= {incident["what"] for incident in status["incidents"]}
    assert status["core"]["damaged"] == 0
    assert blob.read_bytes() == LARGE
    until(lambda: any(b"large body" in found for found in evidence(filled)))
    filled.stop()
    assert bad_pages(core) == []
    filled.start()
    for name, body in CARDS.items():
        assert filled.client(USER, PASSWORD).ask("GET", f"{BOOK}/{name}").body == body
    filled.close()


def test_the_check_reads_all_of_it_and_mends_what_nobody_asked_for(filled: Service) -> None:
    core = filled.data / "core" / "core.db"
    config = filled.data / "safehold.toml"
    config.write_text(config.read_text().replace("check_mb_per_second = 1 ", "check_mb_per_second = 200 "))
    pages = body_pages(core)[:5]
    damage(core, pages, random.Random(2))
    filled.start()
    until(lambda: filled.status()["core"]["last_check"] is not None)
    told = filled.status()["core"]
    assert told["mended"] >= len(pages)
    assert told["damaged"] == 0
    assert told["bytes"] >= core.stat().st_size // 2
    filled.stop()
    assert bad_pages(core) == []
    filled.close()


def test_an_export_is_whole_beside_a_service_and_without(filled: Service, tmp_path: Path) -> None:
    core = filled.data / "core" / "core.db"
    damage(core, body_pages(core), random.Random(3))
    for number in range(2):
        target = tmp_path / f"export{number}"
        filled.run("export", USER, str(target))
        bodies = {path.read_bytes() for path in target.rglob("*.vcf")}
        assert bodies == set(CARDS.values())
        if number == 0:
            filled.start()
    filled.close()


def tree_page(path: Path, table: str) -> int:
    """The last leaf of a table or an index."""
    core = SqliteCore.open(str(path))
    sql = "SELECT MAX(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    page = core._db.execute(sql, (table,)).get
    core.close()
    assert isinstance(page, int)
    return page


@pytest.mark.parametrize("table", ["item", "item_uid", "stream"])
def test_what_cannot_be_mended_is_made_anew_while_serving(filled: Service, table: str) -> None:
    """A listing that is hit is refused whole until a new core is there, in which nothing acknowledged is missing."""
    core = filled.data / "core" / "core.db"
    filled.start()
    client = filled.client(USER, PASSWORD)
    etags, _ = client.listing(f"{BOOK}/")
    filled.stop()
    damage(core, [tree_page(core, table)], random.Random(4))
    filled.start()
    client = filled.client(USER, PASSWORD)
    late = card("late")
    written = client.ask("PUT", f"{NOTES}/late.txt", late, {"Content-Type": "text/plain"}).status
    seen = set()

    def is_new() -> bool:
        renewed = list((filled.data / "scratch").glob("core-*/renew.json"))
        try:
            answer = filled.client(USER, PASSWORD).ask("PROPFIND", f"{BOOK}/", headers={"Depth": "1"})
        except OSError:  # it begins again
            return False
        seen.add(answer.status)
        assert answer.status in (207, 503)
        if answer.status == 207:
            assert answer.body.count(b"<D:response>") == len(CARDS) + 1
        return answer.status == 207 and bool(renewed)

    until(is_new, 60)
    assert 503 in seen or table == "item_uid"
    client = filled.client(USER, PASSWORD)
    assert client.listing(f"{BOOK}/")[0] == etags
    for name, body in CARDS.items():
        answer = client.ask("GET", f"{BOOK}/{name}")
        assert (answer.status, answer.body) == (200, body)
    if written == 201:
        assert client.ask("GET", f"{NOTES}/late.txt").body == late
    assert client.ask("GET", f"{NOTES}/large.txt").body == LARGE
    until(lambda: filled.status()["recovery"] is None)
    assert not (filled.data / "core" / "renew.json").exists()
    filled.stop()
    assert bad_pages(core) == []
    filled.close()


def test_a_start_that_cannot_renew_a_marked_core_serves_it(filled: Service) -> None:
    mark = filled.data / "core" / "renew.json"
    mark.write_text('{"at": 1, "reason": "a page is damaged"}')
    near = filled.data / "vaults" / "near"
    near.rename(filled.data / "elsewhere")
    filled.start()
    answer = filled.client(USER, PASSWORD).ask("GET", f"{BOOK}/1.vcf")
    assert (answer.status, answer.body) == (200, CARDS["1.vcf"])
    assert filled.status()["core"]["renewal"] == "a page is damaged"
    filled.stop()
    (filled.data / "elsewhere").rename(near)
    filled.start()
    until(lambda: filled.client(USER, PASSWORD).ask("GET", f"{BOOK}/1.vcf").body == CARDS["1.vcf"])
    assert not mark.exists()
    filled.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_core_that_is_removed_below_the_service_is_made_anew(filled: Service, replaced: bool) -> None:
    core = filled.data / "core"
    filled.start()
    client = filled.client(USER, PASSWORD)
    etags, _ = client.listing(f"{BOOK}/")
    shutil.move(core, filled.data / "elsewhere")
    if replaced:
        shutil.copytree(filled.data / "elsewhere", core)

    def is_new() -> bool:
        try:
            answer = filled.client(USER, PASSWORD).ask("PROPFIND", f"{BOOK}/", headers={"Depth": "1"})
        except OSError:  # it begins again
            return False
        assert answer.status in (207, 503)
        told = filled.run("status", codes=None).out or {}
        return answer.status == 207 and told.get("last_recovery") is not None

    until(is_new, 60)
    assert (core / "core.db").stat().st_ino != (filled.data / "elsewhere" / "core.db").stat().st_ino
    assert filled.client(USER, PASSWORD).listing(f"{BOOK}/")[0] == etags
    assert filled.status()["last_recovery"]["lost"] == 0
    filled.close()
