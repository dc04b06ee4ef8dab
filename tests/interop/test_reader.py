"""The reader that lies in every vault, run where Safehold is not, on a vault that the real service wrote.

Two people, six kinds, large bodies, overwritten and deleted items, a removed collection, properties, three timelines of
which one ends in a SIGKILL. Every item comes out byte for byte and nothing else does. From a damaged vault comes
whatever was not hit; what was is named; nothing crashes.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.support import bare_reader
from tests.support.service import Client, Service
from tests.support.writers import CARD, ICAL, card, component

Truth = dict[tuple[str, str, str], bytes]
PEOPLE = {"ada": "correct horse battery", "bjorn": "staple ünder water"}
JPEG = b"\xff\xd8\xff\xe0" + b"\0\x10JFIF\0"
#: Names that a file system might not take, or take for another.
ODD_NAMES = ("plain.txt", "Plain.txt", ".hidden", "per%cent.txt", "zwölf Gründe.md", "a b.txt", "q?.txt", "n" * 200)


class World:
    """A service with a truth that is kept beside it."""

    def __init__(self, root: Path) -> None:
        self.service = Service(root / "data")
        self.truth: Truth = {}
        self.scores: dict[tuple[str, str], list[float]] = {}
        self.draw = random.Random(36)
        for name, password in PEOPLE.items():
            self.service.add_account(name, password)

    def put(self, client: Client, collection: str, name: str, body: bytes, media: str) -> None:
        answer = client.ask(
            "PUT", f"/dav/{client.user}/{collection}/{name}", body, {"Content-Type": media}, query=False
        )
        assert answer.status in (201, 204), answer
        self.truth[client.user, collection, name] = body

    def delete(self, client: Client, collection: str, name: str) -> None:
        assert client.ask("DELETE", f"/dav/{client.user}/{collection}/{name}").status == 204
        del self.truth[client.user, collection, name]

    def score(self, client: Client, game: str, score: float) -> None:
        body = json.dumps({"score": score, "detail": {"level": 3}}).encode()
        answer = client.ask("POST", f"/api/v1/scores/{game}", body, {"Content-Type": "application/json"})
        assert answer.status == 201, answer
        self.scores.setdefault((client.user, game), []).append(score)

    def write(self, client: Client, life: int) -> None:
        """Something of everything; what an earlier life wrote is partly replaced and partly deleted."""
        draw = self.draw
        for i in range(12):
            uid = f"c{life}-{i}"
            self.put(client, "contacts/default", f"{uid}.vcf", card(uid, draw), CARD)
        for kind, collection in (("VEVENT", "default"), ("VTODO", "tasks"), ("VJOURNAL", "notes")):
            for i in range(6):
                uid = f"{kind.lower()}{life}-{i}"
                self.put(client, f"calendars/{collection}", f"{uid}.ics", component(kind, uid, draw), ICAL)
        for name in ODD_NAMES:
            self.put(client, "files/notes", name, f"{life} {name} {draw.random()}".encode(), "text/plain")
        folder = f"files/notes/Band {life}"
        assert client.ask("MKCOL", f"/dav/{client.user}/{folder}").status == 201
        self.put(client, folder, "empty.txt", b"", "text/plain")
        for i, size in enumerate((3_000, 70_000, 300_000)):
            self.put(client, "files/photos", f"{life}-{i}.jpg", JPEG + draw.randbytes(size), "image/jpeg")
        for i in range(4):
            self.score(client, "chess", 100 * life + i)
        if life:
            for i in range(0, 12, 3):
                self.delete(client, "contacts/default", f"c{life - 1}-{i}.vcf")
                uid = f"c{life - 1}-{i + 1}"
                self.put(client, "contacts/default", f"{uid}.vcf", card(uid, draw), CARD)
            self.delete(client, "files/photos", f"{life - 1}-1.jpg")

    def lives(self) -> None:
        """Three lives of the service, the second ended by a SIGKILL."""
        for life in range(3):
            self.service.start()
            for name, password in PEOPLE.items():
                client = self.service.client(name, password)
                self.write(client, life)
                if life == 1:
                    self._rework(client)
                client.close()
            if life == 1:
                self.service.kill()
            else:
                assert self.service.stop() == 0

    def _rework(self, client: Client) -> None:
        """A collection that is removed with all in it, and properties."""
        home = f"/dav/{client.user}/files/notes"
        assert client.ask("MKCOL", f"{home}/Gone").status == 201
        self.put(client, "files/notes/Gone", "gone.txt", b"gone", "text/plain")
        assert client.ask("DELETE", f"{home}/Gone").status == 204
        del self.truth[client.user, "files/notes/Gone", "gone.txt"]
        renamed = (
            '<propertyupdate xmlns="DAV:"><set><prop><displayname>Freunde &amp; Bekannte</displayname></prop></set>'
            "</propertyupdate>"
        )
        assert client.xml("PROPPATCH", f"/dav/{client.user}/contacts/default/", renamed).status == 207


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("reader"))
    try:
        world.lives()
    finally:
        world.service.close()
    return world


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_reader.packages(tmp_path_factory.mktemp("bare"))


@pytest.fixture
def vault(world: World, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(world.service.data / "vaults" / "near", tmp_path / "vault")


def key(world: World) -> Path:
    return world.service.data / "keys" / "recovery.txt"


def files_of(found: bare_reader.Found) -> Truth:
    """What was found, scores left out."""
    return {place: body for place, body in found.items.items() if not place[1].startswith("scores/")}


@pytest.mark.parametrize("name", ["near", "far"])
def test_every_item_comes_out_and_nothing_else(world: World, bare: Path, tmp_path: Path, name: str) -> None:
    vault = world.service.data / "vaults" / name
    found = bare_reader.read(bare, vault, key(world), tmp_path / "out")
    assert found.code == 0, found.said
    assert "not checked" in found.said  # signatures: cryptography is not there
    assert files_of(found) == world.truth
    for (account, game), scores in world.scores.items():
        there = [v for k, v in sorted(found.items.items()) if k[:2] == (account, f"scores/{game}")]
        assert [json.loads(body)["score"] for body in there] == scores
    props = found.collections["ada", "contacts/default"]["props"]
    assert "Freunde &amp; Bekannte" in props["{DAV:}displayname"]
