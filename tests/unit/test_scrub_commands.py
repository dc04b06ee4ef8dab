"""`scrub`, `vault scrub` and `vault repair` on a real installation in a temporary folder, where nothing serves."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.site import Site
from safehold.assembly.status import status_object
from safehold.config import load
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.evidence import read_evidence
from safehold.vault.folder import FolderVault
from safehold.vault.keyring import load_keyring
from tests.unit.test_cli_commands import Run, import_cards, run, with_ada

__all__ = ["run", "with_ada"]


@pytest.fixture
def lived(with_ada: Run, tmp_path: Path) -> Run:
    """Three timelines, a large body, a generation; scrubbed once."""
    import_cards(with_ada, tmp_path / "cards", "one", "two", "three")
    large = tmp_path / "large"
    large.mkdir()
    (large / "p.jpg").write_bytes(random.Random(1).randbytes(100_000))
    assert with_ada("import", "ada", str(large))[0] == 0
    assert with_ada("snapshot")[0] == 0
    assert with_ada("scrub")[0] == 0
    return with_ada


@pytest.fixture
def vaults(tmp_path: Path) -> Path:
    return tmp_path / "data" / "vaults"


def found(told: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Problem by object by vault."""
    return {v["vault"]: {d["object"]: d["problem"] for d in v["damaged"]} for v in told["vaults"]}


def sources(told: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    return {v["vault"]: {d["object"]: d["repaired_from"] for d in v["damaged"]} for v in told["vaults"]}


def segments(vault: Path) -> list[str]:
    return sorted(str(path.relative_to(vault)) for path in (vault / "log").rglob("*.seg"))


def blobs(vault: Path) -> list[str]:
    return [str(path.relative_to(vault)) for path in (vault / "blobs").rglob("*") if path.is_file()]


def test_a_healthy_installation_is_healthy_at_every_level(lived: Run) -> None:
    for level in ("list", "scrub", "replay"):
        code, told = lived("scrub", "--level", level, "--reconcile")
        assert (code, told["ok"]) == (0, True)
        assert found(told) == {"near": {}, "far": {}}
        for vault in told["vaults"]:
            assert vault["objects"] > 8 and vault["bytes"] > 100_000
            assert vault["reconciled"]["differences"] == []
            assert vault["reconciled"]["roots"] == vault["reconciled"]["streams"] > 5


def test_damage_is_told_planned_mended_and_gone(lived: Run, vaults: Path) -> None:
    near, far = vaults / "near", vaults / "far"
    first, second = segments(near)[:2]
    data = bytearray((near / first).read_bytes())
    data[300] ^= 4
    (near / first).write_bytes(data)
    (far / second).unlink()
    (near / "notes.txt").write_text("mine")
    body = (far / blobs(far)[0]).read_bytes()
    (far / blobs(far)[0]).write_bytes(body[:-7])
    expected = {
        "near": {first: "corrupt", "notes.txt": "unexpected"},
        "far": {second: "missing", blobs(far)[0]: "corrupt"},
    }
    code, told = lived("scrub")
    assert (code, told["ok"], found(told)) == (1, False, expected)
    code, told = lived("vault", "scrub", "near")
    assert (code, found(told)) == (1, {"near": expected["near"]})
    code, told = lived("vault", "repair")
    assert (code, found(told)) == (1, expected)
    assert all(source is None for vault in sources(told).values() for source in vault.values())
    assert (near / "notes.txt").exists(), "a plan changes nothing"
    code, told = lived("vault", "repair", "--yes")
    assert (code, told["ok"], found(told)) == (0, True, expected)
    assert sources(told)["near"] == {first: "far", "notes.txt": "set aside"}
    assert sources(told)["far"] == {second: "near", blobs(far)[0]: "near"}
    assert lived("scrub")[0] == 0
    assert (near / first).read_bytes() == (far / first).read_bytes()
    assert len(list((near / "aside").iterdir())) == 2
    code, told = lived("vault", "repair", "--yes")
    assert (code, found(told)) == (0, {"near": {}, "far": {}})


@pytest.mark.parametrize("name", ["FORMAT", "reader.py"])
@pytest.mark.parametrize("how", ["missing", "corrupt"])
def test_the_readable_objects_are_mended_by_heart(lived: Run, vaults: Path, name: str, how: str) -> None:
    path = vaults / "near" / name
    before = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(before.replace(b"a", b"b", 3))
    code, told = lived("vault", "scrub", "near")
    assert (code, found(told)) == (1, {"near": {name: how}})
    assert lived("vault", "repair", "near", "--yes")[0] == 0
    assert path.read_bytes() == before
    assert lived("scrub")[0] == 0


def test_what_a_desktop_leaves_in_a_vault_is_named_and_set_aside(lived: Run, vaults: Path) -> None:
    near = vaults / "near"
    left = {".DS_Store": near / ".DS_Store", "log/.hidden file": near / "log" / ".hidden file"}
    for path in left.values():
        path.write_bytes(b"of no vault")
    code, told = lived("vault", "scrub", "near")
    assert (code, found(told)) == (1, {"near": dict.fromkeys(left, "unexpected")})
    assert lived("vault", "repair", "near", "--yes")[0] == 0
    assert not any(path.exists() for path in left.values())
    assert sum("of no vault" in path.read_text("latin-1") for path in (near / "aside").iterdir()) == 2
    assert lived("scrub")[0] == 0


def test_what_all_vaults_lost_in_the_middle_of_the_log_comes_from_the_core(lived: Run, vaults: Path) -> None:
    lost = segments(vaults / "near")[1]
    for vault in ("near", "far"):
        (vaults / vault / lost).unlink()
        shutil.rmtree(vaults / vault / "runs")
        shutil.rmtree(vaults / vault / "blobs")
    code, told = lived("vault", "repair", "--yes")
    assert code == 0, told
    assert sources(told)["near"][lost] == "core"
    code, told = lived("scrub", "--level", "replay", "--reconcile")
    assert (code, told["ok"]) == (0, True), told
    shutil.rmtree(vaults.parent / "core")
    shutil.rmtree(vaults.parent / "blobs")
    code, told = lived("recover", "run", "--yes")
    assert code == 0, told
    assert told["items"]["contacts"] == {"expected": 3, "exact": 3, "older": 0, "lost": 0}
    assert told["items"]["photos"]["exact"] == 1


def test_where_all_vaults_end_before_the_core_a_repair_writes_it_back(lived: Run, vaults: Path) -> None:
    last = segments(vaults / "near")[-1]
    before = segments(vaults / "near")[-2]
    for vault in ("near", "far"):
        (vaults / vault / last).unlink()
        data = (vaults / vault / before).read_bytes()
        (vaults / vault / before).write_bytes(data[: len(data) - 700])
    code, told = lived("account", "passwd", "ada", "--password-stdin", stdin="other\n")
    assert code == 3
    assert "vault repair" in told["hint"]
    assert lived("scrub")[0] == 1
    code, told = lived("vault", "repair", "--yes")
    assert code == 0, told
    assert lived("scrub", "--reconcile")[0] == 0
    assert lived("account", "passwd", "ada", "--password-stdin", stdin="other\n")[0] == 0


def test_what_nobody_has_is_told_as_remaining(lived: Run, vaults: Path) -> None:
    name = blobs(vaults / "near")[0]
    for vault in ("near", "far"):
        (vaults / vault / name).unlink()
    (vaults.parent / name).unlink()
    code, told = lived("vault", "repair", "--yes")
    assert (code, told["ok"]) == (1, False)
    assert sources(told) == {"near": {name: None}, "far": {name: None}}
    assert lived("scrub")[0] == 1


def test_a_core_that_went_astray_is_found_by_reconciling(lived: Run, tmp_path: Path) -> None:
    core = SqliteCore.open(str(tmp_path / "data" / "core" / "core.db"))
    core.begin()
    core._db.execute("DELETE FROM item WHERE name LIKE 'one%'")
    core.commit()
    core.close()
    code, told = lived("scrub", "--reconcile")
    assert code == 1
    for vault in told["vaults"]:
        assert vault["damaged"] == []
        assert ["what lives in the core" in text for text in vault["reconciled"]["differences"]] == [True]


def test_status_and_evidence_tell_of_the_last_scrub(lived: Run, tmp_path: Path, vaults: Path) -> None:
    (vaults / "near" / "stray").write_text("x")
    assert lived("scrub")[0] == 1
    assert lived("vault", "repair", "--yes")[0] == 0
    code, told = lived("status")
    assert code == 0
    last = {vault["name"]: vault["last_scrub"] for vault in told["vaults"]}
    assert (last["near"]["ok"], last["near"]["damaged"]) == (True, 0)
    assert last["far"]["ok"] and last["far"]["objects"] > 8
    disk = RealDisk()
    keyring = load_keyring(disk, str(tmp_path / "data" / "keys"))
    folders = [FolderVault(name, str(vaults / name), disk, keyring.installation) for name in ("near", "far")]
    kinds = [(f.evidence.kind, f.evidence.vault) for f in read_evidence(folders, keyring.installation, keyring.opener)]
    assert kinds[0] == ("repair", "near")
    assert kinds.count(("scrub", "near")) == kinds.count(("scrub", "far")) == 2


def test_a_vault_that_is_away_is_told_and_ends_with_3(lived: Run, vaults: Path) -> None:
    (vaults / "far").rename(vaults / "elsewhere")
    code, told = lived("scrub")
    assert (code, told["ok"]) == (3, False)
    assert "trouble" in told["vaults"][1]
    assert lived("vault", "repair", "--yes")[0] == 3


def test_a_vault_that_was_made_anew_is_whole(lived: Run, vaults: Path) -> None:
    shutil.rmtree(vaults / "far")
    assert lived("vault", "add", "far")[0] == 0
    code, told = lived("scrub")
    assert (code, found(told)) == (0, {"near": {}, "far": {}})


@pytest.mark.parametrize(("args", "code"), [(("vault", "scrub", "nowhere"), 2), (("scrub", "--limit", "many"), 2)])
def test_a_wrong_line_ends_with_2(lived: Run, args: tuple[str, ...], code: int) -> None:
    assert lived(*args)[0] == code


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be had by root only")
def test_a_vault_of_another_user_is_refused_by_name(lived: Run, vaults: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root may write anything, what the system says of that is put in its place."""
    os.chown(vaults / "far", 65534, -1)
    (vaults / "far" / segments(vaults / "far")[0]).unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: "far" not in str(path))
    code, told = lived("vault", "repair", "--yes")
    assert code == 3
    assert "nobody" in told["vaults"][1]["trouble"]


def test_damage_that_a_scrub_found_is_unmet_until_it_is_mended(lived: Run, vaults: Path) -> None:
    (vaults / "far" / blobs(vaults / "far")[0]).unlink()
    assert lived("scrub")[0] == 1
    code, told = lived("status", "--check")
    assert (code, [each["what"] for each in told["incidents"]]) == (1, ["vault damaged"])
    assert "safehold vault repair far" in told["incidents"][0]["hint"]
    assert lived("vault", "repair", "--yes")[0] == 0
    code, told = lived("status", "--check")
    assert (code, told["incidents"]) == (0, [])


def test_vaults_are_scrubbed_while_the_core_is_lost_and_marks_of_a_recovery_belong_there(
    lived: Run, vaults: Path
) -> None:
    shutil.rmtree(vaults.parent / "core")
    code, told = lived("scrub")
    assert (code, found(told)) == (0, {"near": {}, "far": {}})
    (vaults / "far" / segments(vaults / "far")[0]).unlink()
    assert lived("vault", "repair", "--yes")[0] == 0
    assert not (vaults.parent / "core").exists(), "nothing but a recovery makes a core"
    assert lived("recover", "run", "--yes")[0] == 0
    assert sorted(path.suffix for path in (vaults / "near" / "recovery").iterdir()) == [".done", ".open"]
    code, told = lived("scrub")
    assert (code, found(told)) == (0, {"near": {}, "far": {}})
    next((vaults / "near" / "recovery").glob("*.open")).write_bytes(b"x")
    assert set(found(lived("scrub")[1])["near"].values()) == {"unexpected"}, "a mark is empty"


@pytest.mark.parametrize("level", ["scrub", "replay"])
def test_what_is_sealed_to_a_newer_key_is_not_called_damage(lived: Run, tmp_path: Path, level: str) -> None:
    """A keeper that still has the identity from before: the bytes are checked, what they say is not."""
    keeper = tmp_path / "keeper"
    near = f"folder:{tmp_path / 'data' / 'vaults' / 'near'}"
    keys = str(tmp_path / "data" / "keys")
    assert lived("keeper", "init", str(keeper), "--keys", keys, "--pull", near)[0] == 0
    assert lived("vault", "keys", "rotate", "identity", "--yes")[0] == 0
    import_cards(lived, tmp_path / "later", "four", "five")
    assert lived("snapshot", "--full")[0] == 0
    shutil.rmtree(keeper / "vault")
    shutil.copytree(tmp_path / "data" / "vaults" / "near", keeper / "vault")
    code, told = lived("vault", "scrub", "--level", level, "--data", str(keeper))
    (vault,) = told["vaults"]
    assert (vault["damaged"], code) == ([], 3)
    assert any(name.startswith("log/") for name in vault["unopened"])
    assert any(name.endswith("/generation") for name in vault["unopened"])
    held = next(path for path in (keeper / "vault" / "runs").rglob("*.run"))
    data = bytearray(held.read_bytes())
    data[400] ^= 1
    held.write_bytes(data)
    code, told = lived("vault", "scrub", "--level", level, "--data", str(keeper))
    assert (code, len(told["vaults"][0]["damaged"])) == (1, 1)


def test_evidence_that_was_taken_away_is_missed_by_what_follows_it(lived: Run, vaults: Path, tmp_path: Path) -> None:
    """Whoever scrubs need not have seen it before; it is told once, and on record from then on."""
    for _ in range(3):
        assert lived("scrub")[1]["links"] == []
    names = sorted(path.name for path in (vaults / "near" / "evidence").iterdir())
    for vault in ("near", "far"):
        (vaults / vault / "evidence" / names[-2]).unlink()
    (vaults / "far").rename(tmp_path / "away")
    shutil.rmtree(tmp_path / "data" / "run" / "scrub")
    assert lived("scrub")[1]["links"] == [], "the vault that is away may have it"
    (tmp_path / "away").rename(vaults / "far")
    code, told = lived("scrub")
    assert (code, told["links"]) == (1, [f"evidence/{names[-1]}"])
    assert [v["damaged"] for v in told["vaults"]] == [[], []]
    status = lived("status")[1]
    assert "evidence missing" in [incident["what"] for incident in status["incidents"]]
    code, told = lived("scrub")
    assert (code, told["links"]) == (0, [])
    assert "evidence missing" not in [incident["what"] for incident in lived("status")[1]["incidents"]]


@pytest.mark.parametrize("core", ["is missing", "cannot be read"])
def test_a_damaged_log_of_a_sync_vault_waits_for_a_recovery_unless_it_is_named(
    lived: Run, vaults: Path, core: str
) -> None:
    last = segments(vaults / "near")[-1]
    whole = (vaults / "far" / last).read_bytes()
    torn = whole[: len(whole) - 40]
    (vaults / "near" / last).write_bytes(torn)
    (vaults / "far" / blobs(vaults / "far")[0]).unlink()
    if core == "is missing":
        shutil.rmtree(vaults.parent / "core")
    else:
        for path in (vaults.parent / "core").iterdir():
            path.write_bytes(bytes(path.stat().st_size))
    code, told = lived("vault", "repair", "--yes")
    assert code == 3
    near, far = told["vaults"]
    assert f"the core {core}" in near["trouble"]
    assert "safehold recover plan" in near["trouble"]
    assert "safehold vault repair near --yes" in near["trouble"]
    assert "trouble" not in far
    assert list(sources(told)["far"].values()) == ["near"]
    assert (vaults / "near" / last).read_bytes() == torn
    code, told = lived("vault", "repair", "near", "--yes")
    assert sources(told)["near"] == {last: "far"}
    assert (vaults / "near" / last).read_bytes() == whole
    assert torn in [path.read_bytes() for path in (vaults / "near" / "aside").rglob("*") if path.is_file()]
    code, plan = lived("recover", "plan")
    assert plan["unknown_seconds"] >= 1, "evidence says what was mended, and that no core knew more"


def test_a_sync_vault_is_not_filled_from_an_async_one_beside_a_core_that_cannot_be_read(
    lived: Run, vaults: Path
) -> None:
    shutil.rmtree(vaults / "near")
    for path in (vaults.parent / "core").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    code, told = lived("vault", "add", "near")
    assert code == 3
    assert "the core cannot be read, and far" in told["error"]


def test_a_vault_that_lost_what_it_had_is_told_of_and_given_it_again(
    lived: Run, vaults: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (vaults.parent / "run" / "shipped" / "far.shipped").is_file()
    runs = sorted(path for path in (vaults / "far" / "runs").rglob("*") if path.is_file())
    for path in runs:
        path.unlink()
    data = vaults.parent
    site = Site(data, load(data / "safehold.toml"))
    with site.lock():
        writer = site.make_writer()
        try:
            writer.open()
            (shipper,) = writer.shippers
            while shipper.step() is not None:
                pass
            incidents = status_object(site, writer.engine.core, writer)["incidents"]
        finally:
            writer.close()
        writer.ship_all()
    (told,) = [each for each in incidents if each["what"] == "vault lost objects"]
    assert told["key"] == "far"
    assert "far has lost run objects" in told["message"]
    assert "safehold vault scrub far" in told["hint"]
    assert told["runbook"] == "damaged-vault"
    assert "has lost run objects" in caplog.text
    assert all(path.is_file() for path in runs)
    assert lived("scrub")[0] == 0
