"""`safehold salvage` as people run it, on what a real installation left behind: holes, a mess, things without names."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safehold.cli.main import main
from safehold.formats.frame import RawFrame, scan_frames
from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.ports.survivors import Proof
from safehold.store.realdisk import RealDisk
from safehold.store.survivors import SurvivorStore
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import load_identity
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.support.service import Service

PASSWORD = "correct horse"
SEED = 20_091_010
PHOTO_BYTES = 90_000


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An installation with two accounts, a generation and a log after it, in both vaults."""
    root = tmp_path_factory.mktemp("made")
    service = Service(root / "data")
    rng = random.Random(SEED)
    for name in ("ada", "bob"):
        service.add_account(name, PASSWORD)
        things = root / name
        (things / "rome").mkdir(parents=True)
        for n in range(25):
            (things / f"{n}.vcf").write_bytes(card(f"{name}-{n}"))
        for n in range(2):
            (things / "rome" / f"{n}.jpg").write_bytes(b"\xff\xd8\xff" + rng.randbytes(PHOTO_BYTES))
        (things / "note.md").write_bytes(b"# " + name.encode())
        service.run("import", name, str(things))
    service.run("snapshot")
    late = root / "late"
    late.mkdir()
    for n in range(12):
        (late / f"late-{n}.vcf").write_bytes(card(f"late-{n}"))
    service.run("import", "ada", str(late))
    yield service
    service.close()


@pytest.fixture
def data(made: Service, tmp_path: Path) -> Path:
    """A copy of it, to be struck."""
    shutil.copytree(made.data, tmp_path / "data")
    return tmp_path / "data"


def truth(data: Path) -> dict[bytes, Change]:
    """All that its vaults hold, by hash, by the reader of vaults that are whole."""
    opener = load_identity(RealDisk(), str(data / "keys" / "recovery.txt"))
    vault = FolderVault("near", str(data / "vaults" / "near"), RealDisk(), opener.installation)
    found: dict[bytes, Change] = {}
    for entry in VaultLogReader([vault], opener).entries():
        found.update({change.hash: change for change in getattr(entry, "changes", ())})
    runs = Runs([vault], opener)
    for generation in runs.generations():
        for _, changes in runs.reader(generation).changes():
            found.update({change.hash: change for change in changes})
    return found


def found_in(out: Path) -> dict[bytes, Change]:
    with SurvivorStore.open(str(out), read_only=True) as store:
        keys = list(store.keys())
        return {each.change.hash: each.change for key in keys for each in store.changes(key, Proof.CHAIN)}


def salvage(data: Path, *args: str | Path) -> dict[str, Any]:
    """The exit code is that of a plan, which knows of no end of the log where the vaults are away."""
    ended = Service(data).run("salvage", *map(str, args), codes=(0, 1))
    assert ended.out is not None and {*ended.out} == {
        *("sources", "changes", "items", "bodies", "aside", "report", "out", "notes")
    }
    return ended.out


def same(found: dict[bytes, Change], expected: dict[bytes, Change]) -> bool:
    """The same changes, each with its body."""
    return {h: (c.prev, c.body, c.blob) for h, c in found.items()} == {
        h: (c.prev, c.body, c.blob) for h, c in expected.items()
    }


def objects(vault: Path) -> list[Path]:
    return sorted(p for p in vault.rglob("*") if p.is_file() and p.name not in ("FORMAT", "reader.py"))


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


def test_vaults_that_are_damaged_in_different_places_give_all(data: Path, tmp_path: Path) -> None:
    expected = truth(data)
    print("seed", SEED)
    rng = random.Random(SEED)
    near, far = data / "vaults" / "near", data / "vaults" / "far"
    for path in objects(near):
        if path.suffix not in (".seg", ".run"):
            continue
        twin = far / path.relative_to(near)
        for frame in scan_frames(path.read_bytes()):
            if isinstance(frame, RawFrame):
                struck = path if rng.random() < 0.5 else twin
                content = bytearray(struck.read_bytes())
                at = frame.offset + rng.randrange(len(frame.data))
                content[at] ^= 0xFF
                struck.write_bytes(bytes(content))
    before = tree(data)
    out = tmp_path / "out"
    key = data / "keys" / "recovery.txt"
    bare = tmp_path / "elsewhere"
    told = salvage(bare, near, far, "--out", out, "--identity", key)
    assert same(found_in(out), expected)
    assert tree(data) == before and not bare.exists()  # nothing was written but the salvage
    assert {s["sort"] for s in told["sources"]} == {"vault"} and all(s["problems"] for s in told["sources"])
    assert told["changes"] == {"chain": len(expected), "page": 0} and told["aside"] > 0
    index = json.loads((out / "quarantine" / "index.json").read_text())
    assert len(index) == told["aside"] and all((out / "quarantine" / e["file"]).stat().st_size for e in index)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert json.loads((out / "report.json").read_text()) == told
    assert told["report"]["changes_expected"] == told["report"]["changes_recovered"] == len(expected)
    assert told["report"]["lost"] == [] and told["report"]["items"]["photos"]["exact"] == 4
    assert (out / "report.txt").read_text() and "ada" in (out / "accounts" / "ada.txt").read_text()
    assert sorted(p.name for p in (out / "accounts").iterdir()) == ["ada.txt", "bob.txt"]


def test_from_the_ruins_to_a_service_again(data: Path, tmp_path: Path) -> None:
    """No core, no whole vault, no configuration: the salvage and the key are enough."""
    before = tmp_path / "before"
    Service(data).run("export", "ada", str(before))
    shutil.rmtree(data / "core")
    shutil.rmtree(data / "blobs")
    near, far = data / "vaults" / "near", data / "vaults" / "far"
    for number, path in enumerate(objects(near)):
        struck = path if number % 2 else far / path.relative_to(near)
        content = bytearray(struck.read_bytes())
        content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
        struck.write_bytes(bytes(content))
    out, new = tmp_path / "out", tmp_path / "new"
    key = str(data / "keys" / "recovery.txt")
    told = salvage(tmp_path / "elsewhere", data, "--out", out)
    assert told["report"]["lost"] == []
    archive = tmp_path / "takeout.zip"
    with zipfile.ZipFile(archive, "w") as file:
        cards = card("from-takeout") + card("late-3").replace(b"FN:late-3", b"FN:as it was in October")
        file.writestr("Takeout/Contacts/All Contacts/All Contacts.vcf", cards)
    told = salvage(tmp_path / "elsewhere", archive, "--account", "ada", "--out", out, "--identity", key)
    assert told["items"] == 2
    archive.unlink()
    shutil.rmtree(near)  # what was found is enough from here on
    shutil.rmtree(far)
    out = out.rename(tmp_path / "moved")  # with all that lies in it
    service = Service(new)
    service.run("recover", "run", "--salvage", str(out), "--identity", key, "--yes", "--accept-loss", codes=(0, 1))
    after = tmp_path / "after"
    service.run("export", "ada", str(after))
    was, now = (
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()} for root in (before, after)
    )
    fresh = now.pop("contacts/default/from-takeout.vcf")
    assert fresh == card("from-takeout") and now == was  # where a newer version lives, what an export has stays out
    service.start()
    listed, _ = service.client("ada", PASSWORD).listing("/dav/ada/contacts/default/")
    assert len(listed) == 38
    service.close()


def test_a_mess_of_objects_without_names_listing_or_beginnings(data: Path, tmp_path: Path) -> None:
    expected = truth(data)
    mess = tmp_path / "mess"
    mess.mkdir()
    for number, path in enumerate(objects(data / "vaults" / "near")):
        content = path.read_bytes()
        if path.suffix == ".run":
            content = bytes(176) + content[176:-176]  # neither end
        if path.suffix == ".seg" and number % 2:
            content = bytes(64) + content[64:]
        (mess / f"{number:03d}.{'jpg' if number % 3 else 'dat'}").write_bytes(content)
    out = tmp_path / "out"
    salvage(data, mess, "--out", out, "--identity", data / "keys" / "recovery.txt")
    assert same(found_in(out), expected)
    with SurvivorStore.open(str(out), read_only=True) as store:
        for change in expected.values():
            if change.blob is not None:
                path = store.blob_path(change.blob)
                assert path is not None and Path(path).stat().st_size > PHOTO_BYTES


def test_a_hole_costs_what_lay_in_it_and_the_rest_is_named(data: Path, tmp_path: Path) -> None:
    """One vault left, whose log has a zeroed stretch, and no generation."""
    expected = truth(data)
    near = data / "vaults" / "near"
    shutil.rmtree(near / "runs")
    path = max((p for p in objects(near) if p.suffix == ".seg"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    start, end = len(content) // 3, len(content) // 2
    frames = [f for f in scan_frames(bytes(content)) if isinstance(f, RawFrame)]
    hit = {f.header.number for f in frames if f.offset < end and start < f.offset + len(f.data)}
    kept = {f.header.number for f in frames} - hit
    assert hit and kept
    content[start:end] = bytes(end - start)
    path.write_bytes(bytes(content))
    out = tmp_path / "out"
    told = salvage(data, near, "--out", out)
    found = found_in(out)
    assert 0 < len(found) < len(expected) and set(found) <= set(expected)
    assert any("damaged" in problem or "no frame" in problem for problem in told["sources"][0]["problems"])
    with SurvivorStore.open(str(out), read_only=True) as store:
        frames_found = {s.frame for key in list(store.keys()) for s in store.changes(key, Proof.CHAIN)}
    assert not frames_found & hit


def test_a_second_run_adds_and_the_same_again_changes_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    near = data / "vaults" / "near"
    logs = tmp_path / "logs"
    shutil.copytree(near / "log", logs)
    first = salvage(data, logs, "--out", out)
    cards = tmp_path / "cards.vcf"
    cards.write_bytes(card("from-a-phone"))
    second = salvage(data, cards, "--account", "ada", "--out", out)
    assert second["changes"] == first["changes"] and second["items"] == first["items"] + 1
    with SurvivorStore.open(str(out), read_only=True) as store:
        state = store.state()
        (loose,) = store.loose_items()
        assert (loose.account, loose.kind, loose.name) == ("ada", Kind.CONTACTS, "cards.vcf")
    assert salvage(data, logs, cards, "--account", "ada", "--out", out) == second
    with SurvivorStore.open(str(out), read_only=True) as store:
        assert store.state() == state


def test_an_export_gives_each_item_under_its_own_path(data: Path, tmp_path: Path) -> None:
    """What `safehold export` wrote, as a folder and in an archive: the digests that the streams have of them."""
    exported = tmp_path / "exported"
    Service(data).run("export", "bob", str(exported))
    archive = shutil.make_archive(str(tmp_path / "bob"), "zip", exported)
    live = {(c.kind, c.name, c.digest, c.media) for c in truth(data).values() if c.actor == "import" and c.digest}
    for number, source in enumerate((exported, archive)):
        out = tmp_path / f"out-{number}"
        salvage(data, source, "--out", out)
        with SurvivorStore.open(str(out), read_only=True) as store:
            found = list(store.loose_items())
        assert {item.account for item in found} == {"bob"} and len(found) == 28
        assert {(i.kind, i.name, i.digest, i.media) for i in found} <= live
        assert {i.collection for i in found} == {"default", "", "rome"}


def test_a_whole_data_folder_is_one_source(data: Path, tmp_path: Path) -> None:
    expected = truth(data)
    told = salvage(tmp_path / "elsewhere", data, "--out", tmp_path / "out")
    assert sorted({s["sort"] for s in told["sources"]} - {"wal"}) == ["blobs", "core", "vault"]
    assert same(found_in(tmp_path / "out"), expected) and told["aside"] == 0


def test_a_core_without_its_first_page_and_no_vault(data: Path, tmp_path: Path) -> None:
    expected = truth(data)
    core = data / "core" / "core.db"
    with core.open("r+b") as file:
        file.write(bytes(4096))
    shutil.rmtree(data / "vaults")
    told = salvage(tmp_path / "elsewhere", data / "core", "--out", tmp_path / "out")
    assert {s["sort"] for s in told["sources"]} <= {"core", "wal"}
    found = found_in(tmp_path / "out")
    assert {h: c.digest for h, c in found.items()} == {h: c.digest for h, c in expected.items()}


def test_what_cannot_be_done_is_said_in_words(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near = str(data / "vaults" / "near")

    def refusal(*args: str | Path, code: int = 2) -> str:
        capsys.readouterr()
        assert main(["--data", str(tmp_path / "elsewhere"), "--json", "salvage", *map(str, args)]) == code
        told = json.loads(capsys.readouterr().out)
        return f"{told['error']} {told['hint']}"

    assert "give the recovery key: --identity" in refusal(near, "--out", tmp_path / "a", code=3)
    assert "within each other" in refusal(near, "--out", f"{near}/out")
    assert "within each other" in refusal(near, "--out", data)
    assert "there is no" in refusal(tmp_path / "missing", "--out", tmp_path / "b")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "thumbs.db").write_bytes(b"x")
    assert "what is looked for" in refusal(tmp_path / "junk", "--out", tmp_path / "c", code=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"x")
    assert "is not empty, and no salvage" in refusal(near, "--out", tmp_path / "full")
    assert "required" in refusal(near)
    assert not os.path.exists(tmp_path / "elsewhere")
