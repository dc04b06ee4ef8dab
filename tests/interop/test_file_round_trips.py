"""What one program puts, edits, moves and deletes in notes and photos, all see: cadaver, rclone and plain HTTP."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.interop.conftest import Running
from tests.support.file_programs import Cadaver, FileProgram, PlainFiles, Rclone

PASSWORD = "files-round-1"
ROOTS = ("files/notes", "files/photos")
#: Names that people give, and that some program on the way likes to read as something else.
ODD_NAMES = (
    "Einkauf für Käse.txt",
    "茶 & Ärger.md",
    'a "quoted" name.txt',
    "100% #1 what?.txt",
    "%41%2Fnot encoded.txt",
    "plus+minus =,;@!$'()*~.txt",
    "[x] {y} ^`|<>.txt",
    "back\\slash:colon.txt",
    ".hidden",
    "zwei  Leerzeichen.txt",
    "e\u0301 beside \u00e9.txt",
    "👩‍🚀.txt",
    "n" * 200 + ".txt",
)
LARGE_BYTES = 5 * 1024 * 1024
_numbers = itertools.count(1)

needs_cadaver = pytest.mark.skipif(not Cadaver.is_here(), reason="cadaver (a Debian package) is not on this machine")
each_acts = pytest.mark.parametrize("actor", [pytest.param("cadaver", marks=needs_cadaver), "rclone", "http"])


@pytest.fixture
def person(running: Running) -> Running:
    """A new account of the running service, with empty folders."""
    return running.with_account(f"files-{next(_numbers)}", PASSWORD)


def cadaver(person: Running, home: Path, root: str) -> Cadaver:
    return Cadaver(home / "cadaver", f"{person.url}/dav/{person.user}/{root}/", person.user, person.password)


def rclone(person: Running, home: Path, root: str) -> Rclone:
    return Rclone(home / "rclone", f"{person.url}/dav/{person.user}/{root}/", person.user, person.password)


def plain(person: Running, root: str) -> PlainFiles:
    return PlainFiles(person.client(), root)


def programs(person: Running, home: Path, root: str) -> dict[str, FileProgram]:
    """Those that are here: without cadaver, the two others still go round."""
    found: dict[str, FileProgram] = {"rclone": rclone(person, home, root), "http": plain(person, root)}
    return ({"cadaver": cadaver(person, home, root)} if Cadaver.is_here() else {}) | found


def after(actor: str, found: Mapping[str, FileProgram]) -> FileProgram:
    """Another one."""
    names = list(found)
    return found[names[(names.index(actor) + 1) % len(names)]]


@each_acts
@pytest.mark.parametrize("root", ROOTS)
def test_what_one_puts_and_edits_and_deletes_all_see(person: Running, tmp_path: Path, root: str, actor: str) -> None:
    found = programs(person, tmp_path, root)
    one, next_one = found[actor], after(actor, found)
    one.make("Ordner ä")
    one.put("Ordner ä/erste Notiz.txt", b"by one")
    next_one.put("Ordner ä/zweite.txt", b"")
    for other in found.values():
        assert other.names("Ordner ä") == ["erste Notiz.txt", "zweite.txt"]
        assert other.get("Ordner ä/erste Notiz.txt") == b"by one"
        assert other.get("Ordner ä/zweite.txt") == b""
    next_one.put("Ordner ä/erste Notiz.txt", b"changed by the next")
    one.put("Ordner ä/zweite.txt", b"changed by one")
    for other in found.values():
        assert other.get("Ordner ä/erste Notiz.txt") == b"changed by the next"
        assert other.get("Ordner ä/zweite.txt") == b"changed by one"
    one.delete("Ordner ä/erste Notiz.txt")
    for other in found.values():
        assert other.names("Ordner ä") == ["zweite.txt"]
    next_one.delete("Ordner ä/zweite.txt")
    for other in found.values():
        assert other.names("Ordner ä") == []
    one.put("Ordner ä/dritte.txt", b"goes with its folder")
    one.remove("Ordner ä")
    for other in found.values():
        assert other.names() == []


def test_odd_names_come_back_as_they_were_given(person: Running, tmp_path: Path) -> None:
    root = "files/notes"
    found = programs(person, tmp_path, root)
    makers = itertools.cycle(found.items())
    given = dict(zip(ODD_NAMES, makers, strict=False))
    for odd, (name, maker) in given.items():
        maker.put(odd, f"{odd} von {name}".encode())
    for other in found.values():
        assert other.names() == sorted(ODD_NAMES)
    for (odd, (name, _)), (_, reader) in zip(given.items(), itertools.islice(makers, 1, None), strict=False):
        assert reader.get(odd) == f"{odd} von {name}".encode()


@each_acts
def test_a_large_photo_arrives_whole(person: Running, tmp_path: Path, actor: str) -> None:
    found = programs(person, tmp_path, "files/photos")
    photo = random.Random(1).randbytes(LARGE_BYTES + 1)
    found[actor].put("photo 01.jpg", photo)
    assert after(actor, found).get("photo 01.jpg") == photo


@each_acts
@pytest.mark.parametrize("root", ROOTS)
def test_what_one_moves_and_copies_all_see(person: Running, tmp_path: Path, root: str, actor: str) -> None:
    found = programs(person, tmp_path, root)
    one, next_one = found[actor], after(actor, found)
    bodies = {"klein.txt": b"small", "groß.bin": random.Random(root).randbytes(200_000)}
    arrived = sorted(f"{how} {file}" for how in ("verschoben", "kopiert") for file in bodies)
    one.make("von é")
    one.make("nach 茶")
    for file, body in bodies.items():
        one.put(f"von é/{file}", body)
        one.move(f"von é/{file}", f"nach 茶/verschoben {file}")
        one.copy(f"nach 茶/verschoben {file}", f"nach 茶/kopiert {file}")
    for other in found.values():
        assert other.names("von é") == []
        assert other.names("nach 茶") == arrived
    for file, body in bodies.items():
        assert next_one.get(f"nach 茶/verschoben {file}") == body
        assert next_one.get(f"nach 茶/kopiert {file}") == body
    one.move("nach 茶", "von é/nach 茶")
    for other in found.values():
        assert other.names("von é/nach 茶") == arrived
        assert other.names() == ["von é"]


@needs_cadaver
def test_cadaver_edits_under_a_lock(person: Running, tmp_path: Path) -> None:
    one, other = cadaver(person, tmp_path, "files/notes"), plain(person, "files/notes")
    other.put("liste.txt", b"Brot\n")
    one.edit("liste.txt", "echo Tee >>")
    assert other.get("liste.txt") == b"Brot\nTee\n"
    said = one.say(("lock", "liste.txt"), ("discover", "liste.txt"), ("unlock", "liste.txt"))
    assert person.user in said
    other.put("liste.txt", b"nobody holds it any more\n")


def test_rclone_syncs_a_folder_there_and_back(person: Running, tmp_path: Path) -> None:
    """Sync makes the one side as the other is; check reads all bytes of both."""
    program = rclone(person, tmp_path, "files/photos")
    server = plain(person, "files/photos")
    here = program.home.root / "here"
    for number in range(12):
        path = here / f"Jahr {number % 3}" / f"Bild {number} ä.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(1000 * number))
    program.run("sync", "here", "net:")
    program.run("check", "--download", "here", "net:")
    assert server.names() == ["Jahr 0", "Jahr 1", "Jahr 2"]

    (here / "Jahr 0" / "Bild 3 ä.jpg").unlink()
    (here / "Jahr 1" / "Bild 4 ä.jpg").write_bytes(b"anew")
    (here / "Jahr 2" / "Bild 5 ä.jpg").rename(here / "Jahr 2" / "umbenannt.jpg")
    program.run("sync", "here", "net:")
    assert server.names("Jahr 0") == ["Bild 0 ä.jpg", "Bild 6 ä.jpg", "Bild 9 ä.jpg"]
    assert server.get("Jahr 1/Bild 4 ä.jpg") == b"anew"
    assert "umbenannt.jpg" in server.names("Jahr 2")

    server.put("Jahr 0/vom Telefon.jpg", b"phone")
    server.delete("Jahr 1/Bild 7 ä.jpg")
    program.run("sync", "net:", "here")
    program.run("check", "--download", "here", "net:")
    assert (here / "Jahr 0" / "vom Telefon.jpg").read_bytes() == b"phone"
    assert not (here / "Jahr 1" / "Bild 7 ä.jpg").exists()


def test_rclone_syncs_both_ways(person: Running, tmp_path: Path) -> None:
    program = rclone(person, tmp_path, "files/notes")
    server = plain(person, "files/notes")
    here = program.home.root / "here"
    here.mkdir()
    # WebDAV as such cannot set times, so sizes tell what has changed.
    both_ways = ("bisync", "here", "net:", "--compare", "size", "--workdir", str(program.home.root / "state"))
    (here / "bleibt.txt").write_bytes(b"stays")
    (here / "hier.txt").write_bytes(b"here")
    program.run(*both_ways, "--resync")
    server.put("dort.txt", b"there")
    server.put("hier.txt", b"changed there")
    (here / "neu.txt").write_bytes(b"new")
    program.run(*both_ways)
    for path in ("bleibt.txt", "hier.txt", "dort.txt", "neu.txt"):
        assert (here / path).read_bytes() == server.get(path)
    assert (here / "hier.txt").read_bytes() == b"changed there"
    server.delete("neu.txt")
    (here / "dort.txt").unlink()
    program.run(*both_ways)
    assert server.names() == ["bleibt.txt", "hier.txt"] == sorted(p.name for p in here.iterdir())
