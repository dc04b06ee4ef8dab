"""The reader that lies in every vault, run where Safehold is not, on a vault that the real service wrote.

Two people, six kinds, large bodies, overwritten and deleted items, a removed collection, properties, three timelines of
which one ends in a SIGKILL. Every item comes out byte for byte and nothing else does. From a damaged vault comes
whatever was not hit; what was is named; nothing crashes.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import bare_reader
from tests.support.service import Client, Service
from tests.support.writers import CARD, ICAL, card, component

Truth = dict[tuple[str, str, str], bytes]
PEOPLE = {"ada": "correct horse battery", "bjorn": "staple ünder water"}
INDEX, BODIES, DIRECTORY = 5, 6, 7
JPEG = b"\xff\xd8\xff\xe0" + b"\0\x10JFIF\0"
#: Names that a file system might not take, or take for another.
ODD_NAMES = ("plain.txt", "Plain.txt", ".hidden", "per%cent.txt", "zwölf Gründe.md", "a b.txt", "q?.txt", "n" * 200)


class World:
    """A service with a truth that is kept beside it."""

    def __init__(self, root: Path) -> None:
        self.service = Service(root / "data")
        self.truth: Truth = {}
        self.ever: dict[tuple[str, str, str], set[bytes]] = {}
        self.first_life = 0  # its last frame
        self.truth_of_first_life: Truth = {}
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
        self.ever.setdefault((client.user, collection, name), set()).add(body)

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
            if life == 0:
                self.truth_of_first_life = dict(self.truth)
                segments = sorted((self.service.data / "vaults" / "near").glob("log/*/*.seg"))
                self.first_life = max(number for segment in segments for _, _, number in frames_of(segment))

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


def key_of(service: Service) -> Path:
    return service.data / "keys" / "recovery.txt"


def key(world: World) -> Path:
    return key_of(world.service)


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


def test_signatures_are_checked_where_it_can_be_done(world: World, tmp_path: Path) -> None:
    """In this environment, which has cryptography; Safehold itself is still not importable."""
    program = [sys.executable, "-I", str(world.service.data / "vaults" / "near" / "reader.py")]
    ended = subprocess.run(
        [*program, str(world.service.data / "vaults" / "near"), str(key(world)), str(tmp_path / "out")],
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"Signatures: checked" in ended.stdout


def test_a_strangers_key_opens_nothing(world: World, bare: Path, tmp_path: Path) -> None:
    other = Service(tmp_path / "other")
    other.add_account("eve", "a password")
    found = bare_reader.read(bare, world.service.data / "vaults" / "near", key_of(other), tmp_path / "out")
    assert found.code == 1
    assert not found.items
    assert "is another installation's" in found.said


def test_a_key_with_a_typing_error_is_refused(world: World, bare: Path, tmp_path: Path) -> None:
    text = key(world).read_text()
    last = text.strip()[-1]
    (tmp_path / "key").write_text(text.strip()[:-1] + ("A" if last != "A" else "B"))
    found = bare_reader.read(bare, world.service.data / "vaults" / "near", tmp_path / "key", tmp_path / "out")
    assert found.code == 2
    assert "checksum" in found.said


def test_one_account(world: World, bare: Path, tmp_path: Path) -> None:
    found = bare_reader.read(
        bare, world.service.data / "vaults" / "near", key(world), tmp_path / "out", "--account", "ada"
    )
    assert found.code == 0
    assert files_of(found) == {place: body for place, body in world.truth.items() if place[0] == "ada"}


def frames_of(segment: Path) -> list[tuple[int, int, int]]:
    """Offset, length and number of each frame of a segment."""
    data, found, at = segment.read_bytes(), [], 176
    while data[at : at + 8] == b"\x93SHframe":
        size = 164 + int.from_bytes(data[at + 48 : at + 52])
        found.append((at, size, int.from_bytes(data[at + 28 : at + 36])))
        at += size
    return found


def test_as_it_was_at_a_frame(world: World, bare: Path, tmp_path: Path) -> None:
    """What the first life of the service wrote, before anything of it was replaced or deleted."""
    vault = world.service.data / "vaults" / "near"
    found = bare_reader.read(bare, vault, key(world), tmp_path / "out", "--at-frame", str(world.first_life))
    assert found.code == 0, found.said
    assert files_of(found) == world.truth_of_first_life


def test_a_lost_frame_costs_only_what_was_in_it(world: World, bare: Path, vault: Path, tmp_path: Path) -> None:
    """A byte in a frame of the last life: the items of that frame are missing or older; the rev is named."""
    segment = max(vault.glob("log/*/*.seg"), key=lambda path: path.stat().st_size)
    at, size, _ = frames_of(segment)[20]
    data = bytearray(segment.read_bytes())
    data[at + size // 2] ^= 1
    segment.write_bytes(data)
    found = bare_reader.read(bare, vault, key(world), tmp_path / "out")
    assert found.code == 1
    differing = {place for place in world.truth if found.items.get(place) != world.truth[place]}
    assert len(differing) <= 1
    assert "cannot be read" in found.said
    assert "rev" in found.said and "missing" in found.said


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_named_and_crashes_nothing(world: World, bare: Path, vault: Path, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    files = [path for path in vault.rglob("*") if path.is_file() and path.parent != vault]
    for path in draw.sample(files, 3):
        data = bytearray(path.read_bytes())
        at = draw.randrange(len(data))
        match draw.choice(("flip", "cut", "delete", "swap", "zero")):
            case "flip":
                data[at] ^= 1 << draw.randrange(8)
                path.write_bytes(data)
            case "cut":
                path.write_bytes(data[:at])
            case "delete":
                path.unlink()
            case "swap":
                path.write_bytes(draw.choice(files).read_bytes() if draw.choice(files).exists() else b"")
            case _:
                data[at : at + 512] = bytes(len(data[at : at + 512]))
                path.write_bytes(data)
    found = bare_reader.read(bare, vault, key(world), tmp_path / "out")
    lost = {place for place in world.truth if found.items.get(place) != world.truth[place]}
    assert found.code == (1 if lost else found.code)
    for account, path, name in files_of(found):
        if account in PEOPLE and not path.startswith("lost/"):
            assert found.items[account, path, name] in world.ever[account, path, name]


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snapped(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A vault with three generations, of which the newest does not cover the log's end; and what is in it then."""
    data = shutil.copytree(world.service.data, tmp_path_factory.mktemp("snapped") / "data")
    service, copy = Service(data), World.__new__(World)
    copy.__dict__.update(world.__dict__ | {"service": service, "truth": dict(world.truth), "draw": random.Random(7)})
    copy.scores = {game: list(scores) for game, scores in world.scores.items()}
    service.run("snapshot")
    for life in (3, 4):
        service.start()
        for name, password in PEOPLE.items():
            copy.write(service.client(name, password), life)
        assert service.stop() == 0
        if life == 3:
            service.run("snapshot")
    return data / "vaults" / "near", copy.truth


@pytest.fixture
def begun_at_a_generation(snapped: tuple[Path, Truth], tmp_path: Path) -> Path:
    """Segments that the newest generation covers are gone, as after retention."""
    vault = shutil.copytree(snapped[0], tmp_path / "vault")
    newest = max(int(folder.name) for folder in (vault / "runs").iterdir())
    for segment in vault.glob("log/*/*.seg"):
        if all(number <= newest for _, _, number in frames_of(segment)):
            segment.unlink()
    assert min(n for s in vault.glob("log/*/*.seg") for _, _, n in frames_of(s)) > 1
    return vault


def test_a_log_that_begins_at_a_generation(
    snapped: tuple[Path, Truth], begun_at_a_generation: Path, world: World, bare: Path, tmp_path: Path
) -> None:
    found = bare_reader.read(bare, begun_at_a_generation, key(world), tmp_path / "out")
    assert found.code == 0, found.said
    assert files_of(found) == snapped[1]


def test_a_damaged_log_is_made_up_for_by_runs(
    snapped: tuple[Path, Truth], world: World, bare: Path, tmp_path: Path
) -> None:
    """Nothing is lost, and the damage is told all the same."""
    vault = shutil.copytree(snapped[0], tmp_path / "vault")
    segment = min((s for s in vault.glob("log/*/*.seg") if len(frames_of(s)) > 20), key=str)
    for at, size, _ in frames_of(segment)[3:9]:
        data = bytearray(segment.read_bytes())
        data[at + size // 2] ^= 1
        segment.write_bytes(data)
    found = bare_reader.read(bare, vault, key(world), tmp_path / "out")
    assert found.code == 1
    assert segment.name in found.said and "is lost" not in found.said
    assert files_of(found) == snapped[1]


def test_a_lost_run_object_is_named(begun_at_a_generation: Path, world: World, bare: Path, tmp_path: Path) -> None:
    run = max(begun_at_a_generation.glob("runs/*/*.run"), key=lambda path: path.stat().st_size)
    run.unlink()
    found = bare_reader.read(bare, begun_at_a_generation, key(world), tmp_path / "out")
    assert found.code == 1
    assert f"{run.relative_to(begun_at_a_generation)} is missing" in found.said


@pytest.mark.parametrize("part", [INDEX, BODIES, DIRECTORY])
def test_a_damaged_frame_of_a_run_costs_what_is_in_it(
    snapped: tuple[Path, Truth], begun_at_a_generation: Path, world: World, bare: Path, tmp_path: Path, part: int
) -> None:
    run = max(begun_at_a_generation.glob("runs/*/*.run"), key=lambda path: path.stat().st_size)
    data = bytearray(run.read_bytes())
    at, size = next((at, size) for at, size, _ in frames_of(run) if data[at + 9] == part)
    data[at + size // 2] ^= 1
    run.write_bytes(data)
    found = bare_reader.read(bare, begun_at_a_generation, key(world), tmp_path / "out")
    assert found.code == 1
    assert str(run.relative_to(begun_at_a_generation)) in found.said
    if part == DIRECTORY:  # frames stand alone
        assert files_of(found) == snapped[1]
    else:
        assert files_of(found) != snapped[1]
    if part == BODIES:  # the items of it are named; of who they are may be among what is lost
        there = set(found.items.values())
        lost = [place for place, body in snapped[1].items() if body not in there]
        assert lost and all(f"{path}/{name} is lost" in found.said for _, path, name in lost)
