"""Every runbook is walked through where the trouble is real, to its end, and its checks hold then (I91).

A runbook whose command was renamed, whose check does not hold or which leads nowhere fails here.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.proof.runbooks import NAMES
from safehold.store.sqlite import schema
from tests.support.runbooks import (
    CARDS,
    CONTACTS,
    PASSWORDS,
    Scene,
    fill,
    make_older,
    put_card,
    schema_of,
)

HERE = Path(__file__)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("runbooks") / "data"
    fill(data)
    return data


@pytest.fixture
def scene(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    made = Scene(base, tmp_path, capsys)
    yield made
    made.close()


def overwrite(folder: Path, seed: int) -> None:
    """Each file with as much of something else, as who encrypts them does."""
    draw = random.Random(f"ransom/{seed}")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.write_bytes(draw.randbytes(path.stat().st_size))


def answers(said: dict[str, object]) -> dict[str, str]:
    steps = said["steps"]
    assert isinstance(steps, list)
    return {step["step"]: step["answer"] for step in steps}


def test_every_runbook_has_a_test() -> None:
    text = HERE.read_text()
    assert [name for name in NAMES if f'walk(\n        "{name}"' not in text and f'walk("{name}"' not in text] == []


# -- what happens to cores and vaults


def test_recover_by_itself(scene: Scene) -> None:
    shutil.rmtree(scene.data / "core")
    shutil.rmtree(scene.data / "blobs")
    said = scene.walk("recover", {"by-itself": "yes"}, {"by-itself": scene.recover}, lang="es")
    assert answers(said)["run"] == "not needed" and said["evidence"] and said["lang"] == "es"
    assert len(scene.listed()) == CARDS and scene.contacts() == CONTACTS


@pytest.mark.long
def test_recover_by_hand(scene: Scene) -> None:
    (scene.data / "core" / "core.db").write_bytes(bytes(50_000))
    said = scene.walk("recover", {"by-hand": "yes"}, {"start": scene.start})
    assert answers(said)["by-itself"] == "not needed" and answers(said)["run"] == "run"
    assert len(scene.listed()) == CARDS and scene.contacts() == CONTACTS


@pytest.mark.long
def test_recover_where_something_is_lost(scene: Scene) -> None:
    shutil.rmtree(scene.data / "core")
    shutil.rmtree(scene.near())
    scene.command("recover", "run", "--yes")  # the end of the log is in doubt then
    assert scene.command("vault", "add", "near")[0] == 0
    scene.walk("recover", {"something-lost": "yes"})
    assert scene.contacts() == CONTACTS


@pytest.mark.long
def test_damaged_core(scene: Scene) -> None:
    path = scene.data / "core" / "core.db"
    data = bytearray(path.read_bytes())
    data[100:16_000] = random.Random("core").randbytes(15_900)
    path.write_bytes(data)
    scene.walk("damaged-core", {"by-hand": "yes"}, {"start": scene.start})
    assert len(scene.listed()) == CARDS


@pytest.mark.long
def test_bare_machine(scene: Scene) -> None:
    key = scene.root / "recovery.txt"
    shutil.copy(scene.data / "keys" / "recovery.txt", key)
    shutil.move(scene.near(), scene.root / "usb")
    shutil.rmtree(scene.data)
    values = {
        "url": f"folder:{scene.root / 'usb'}",
        "identity": str(key),
        "missing": "far",
        "second-vault": "yes",
        "no-other-vault": "yes",
        "stolen": "yes",
    }
    said = scene.walk("bare-machine", values, {"start": scene.start})
    assert said["evidence"], "the vault takes its record once there is one"
    assert len(scene.listed()) == CARDS and scene.contacts() == CONTACTS


@pytest.mark.long
def test_both_lost(scene: Scene) -> None:
    copies = scene.root / "copies"
    copies.mkdir()
    shutil.copy(scene.data / "keys" / "recovery.txt", scene.root / "recovery.txt")
    for place in ("core", "blobs", "vaults"):
        shutil.move(scene.data / place, copies / place)
    for path in sorted((copies / "vaults" / "near" / "log").rglob("*.seg"))[:1]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (copies / "core" / "core.db").write_bytes((copies / "core" / "core.db").read_bytes()[8192:])
    values = {
        "source": str(copies),
        "salvage": str(scene.root / "found"),
        "identity": str(scene.root / "recovery.txt"),
        "vaults-gone": "yes",
        "something-lost": "yes",
    }
    scene.walk("both-lost", values, {"start": scene.start})
    assert len(scene.listed()) == CARDS and scene.contacts() == CONTACTS


def test_damaged_vault(scene: Scene) -> None:
    path = max((scene.near() / "log").rglob("*.seg"), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert scene.command("scrub")[0] == 1
    said = scene.walk("damaged-vault", {"strange": "yes"})
    assert answers(said)["mend"] == "run" and path.read_bytes() != bytes(data)


@pytest.mark.long
def test_lost_vault_that_is_made_anew(scene: Scene) -> None:
    shutil.rmtree(scene.near())
    values = {"vault": "near", "other": "far", "why": "its disk is dead", "changes-wait": "yes", "gone-for-good": "yes"}
    scene.walk("lost-vault", values)
    modes = {vault["name"]: vault["mode"] for vault in scene.service.status()["vaults"]}
    assert modes == {"near": "async", "far": "sync"}


@pytest.mark.long
def test_lost_vault_that_comes_back(scene: Scene) -> None:
    away = scene.root / "away"
    shutil.move(scene.far(), away)
    values = {"vault": "far", "comes-back": "yes"}
    scene.walk("lost-vault", values, {"bring-back": lambda: shutil.move(away, scene.far()) and None})


@pytest.mark.long
def test_ransomware(scene: Scene) -> None:
    """Core and near are overwritten, as by whoever wants money for them; far is whole."""
    overwrite(scene.data / "core", 1)
    overwrite(scene.data / "blobs", 2)
    overwrite(scene.near(), 3)

    def put_aside() -> None:
        shutil.move(scene.data / "core", scene.root / "core")
        shutil.move(scene.near(), scene.root / "near")

    values = {"vault": "far", "bad": "near", "no-other-vault": "yes"}
    said = scene.walk("ransomware", values, {"aside": put_aside, "start": scene.start}, lang="es")
    assert answers(said)["new-writer"] == "run"
    assert len(scene.listed()) == CARDS and scene.contacts() == CONTACTS


# -- what happens to keys


@pytest.mark.long
def test_key_lost_paper(scene: Scene) -> None:
    before = (scene.data / "keys" / "recovery.txt").read_text()
    scene.walk("key-lost", {"paper-lost": "yes", "keys-here": "yes"})
    assert (scene.data / "keys" / "recovery.txt").read_text() != before


@pytest.mark.long
def test_key_lost_folder(scene: Scene) -> None:
    shutil.copy(scene.data / "keys" / "recovery.txt", scene.root / "recovery.txt")
    shutil.rmtree(scene.data / "keys")
    values = {"folder-lost": "yes", "keys-here": "yes", "identity": str(scene.root / "recovery.txt")}
    scene.walk("key-lost", values)
    assert scene.contacts() == CONTACTS


@pytest.mark.long
def test_key_lost_and_nothing_but_a_core_left(scene: Scene) -> None:
    shutil.rmtree(scene.data / "keys")
    values = {
        "all-lost": "yes",
        "core": str(scene.data / "core"),
        "blobs": str(scene.data / "blobs"),
        "salvage": str(scene.root / "found"),
        "new": str(scene.root / "new"),
    }
    scene.walk("key-lost", values)
    code, status = scene.command("status", data=scene.root / "new")
    assert code == 0 and status["items"]["contacts"] == CONTACTS


@pytest.mark.long
def test_rotate_keys(scene: Scene) -> None:
    scene.start()
    scene.walk("rotate-keys")
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 500)
    assert len(scene.listed()) == CARDS + 1


# -- what happens to accounts


@pytest.mark.long
def test_mass_deletion(scene: Scene) -> None:
    scene.start()
    password = scene.command("account", "app-password", "ada", "--label", "phone")[1]["password"]
    phone = scene.service.client("ada", password)
    scene.delete_all(phone)
    assert scene.listed() == []
    changes = scene.command("history", "ada", "--path", "contacts/default", "--limit", str(CARDS))[1]["history"]
    first = changes[-1]
    values = {
        "account": "ada",
        "label": "phone",
        "path": "contacts/default",
        "point": f"{first['kind']}:{first['rev'] - 1}",
        "device": "yes",
        "items": "yes",
    }
    scene.walk("mass-deletion", values)
    assert len(scene.listed()) == CARDS
    assert phone.ask("PROPFIND", "/dav/ada/").status == 401


@pytest.mark.long
def test_mass_deletion_by_a_script(scene: Scene) -> None:
    for number in range(4):
        scene.service.add_account(f"person-{number}", "some password")
    for name in ("person-0", "person-1", "person-2", "bjorn"):
        assert scene.command("account", "erase", name, "--yes")[0] == 0
    scene.walk("mass-deletion", {"accounts": "yes", "erased": "bjorn"})
    scene.start()
    assert len(scene.listed("bjorn")) == 1


@pytest.mark.long
def test_one_account_that_was_emptied(scene: Scene) -> None:
    scene.start()
    client = scene.service.client("ada", PASSWORDS["ada"])
    newest = scene.command("history", "ada", "--kind", "contacts", "--limit", "1")[1]["history"][0]
    scene.delete_all(client)
    values = {
        "account": "ada",
        "kind": "contacts",
        "point": f"contacts:{newest['rev']}",
        "folder": str(scene.root / "export"),
        "deleted": "yes",
    }
    scene.walk("one-account", values)
    assert len(scene.listed()) == CARDS


@pytest.mark.long
def test_erasure(scene: Scene) -> None:
    scene.walk("erasure", {"account": "bjorn"}, lang="es")
    assert [each["name"] for each in scene.command("account", "list")[1]["accounts"]] == ["ada"]
    assert len(scene.command("account", "list", "--erased")[1]["erased"]) == 1


# -- what happens to the machine


@pytest.mark.long
def test_old_core(scene: Scene) -> None:
    shutil.copytree(scene.data / "core", scene.root / "old")
    scene.start()
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 500)
    scene.stop()
    shutil.rmtree(scene.data / "core")
    shutil.copytree(scene.root / "old", scene.data / "core")
    scene.walk("old-core", acts={"start": scene.start})
    assert len(scene.listed()) == CARDS + 1


@pytest.mark.long
def test_silent_writer(scene: Scene) -> None:
    away = scene.root / "away"
    scene.start()
    shutil.move(scene.far(), away)
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 500)
    scene.service.kill()
    values = {"vault": "far", "stopped": "yes", "vault-away": "yes"}
    acts = {"vault": lambda: shutil.move(away, scene.far()) and None, "start": scene.start}
    scene.walk("silent-writer", values, acts)
    assert len(scene.listed()) == CARDS + 1


@pytest.mark.long
def test_shrunk(scene: Scene) -> None:
    scene.command("account", "app-password", "ada", "--label", "phone")
    (gone,) = (scene.far() / "runs").rglob("*.run")
    gone.unlink()
    values = {"a-vault": "yes", "an-account": "yes", "account": "ada", "kind": "contacts"}
    scene.walk("shrunk", values)
    assert gone.exists()


@pytest.mark.long
def test_disk_full(scene: Scene) -> None:
    big = scene.root / "big"
    scene.start()

    def move() -> None:
        scene.stop()
        shutil.move(scene.near(), big)
        path = scene.data / "safehold.toml"
        text = path.read_text()
        assert 'url = "folder:vaults/near"' in text
        path.write_text(text.replace('url = "folder:vaults/near"', f'url = "folder:{big}"'))
        scene.start()

    values = {"vault": "near", "place": f"folder:{big}", "retention": "yes", "bigger-disk": "yes"}
    scene.walk("disk-full", values, {"bigger": move})
    assert len(scene.listed()) == CARDS


@pytest.mark.long
def test_clock(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account is added while the clock is a year ahead; then it is right again."""
    from safehold.adapters.system import SystemClock

    now = SystemClock.now
    with monkeypatch.context() as patched:
        patched.setattr(SystemClock, "now", lambda self: now(self) + 365 * 86_400_000_000)
        assert scene.command("account", "mail", "ada", "ada@example.org")[0] == 0
        assert scene.command("scrub")[0] == 0
    scene.walk("clock", acts={"start": scene.start})
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 500)
    assert len(scene.listed()) == CARDS + 1


# -- alarms, jobs and drills


@pytest.mark.long
def test_missed_job(scene: Scene) -> None:
    scene.walk("missed-job")


@pytest.mark.long
def test_drill_failed(scene: Scene) -> None:
    path = max((scene.near() / "log").rglob("*.seg"), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    scene.walk("drill-failed", {"vault": "near", "damage": "yes", "differs": "yes"})


@pytest.mark.long
def test_objective(scene: Scene) -> None:
    scene.walk("objective", {"rpo": "yes", "rto": "yes"}, lang="es")


@pytest.mark.long
def test_alarm_channel(scene: Scene) -> None:
    """The program that alarms go to cannot be reached at first; meanwhile somebody mends what it needs."""
    told = scene.root / "told"
    program = scene.root / "alarm.sh"
    program.write_text(f"#!/bin/sh\nif [ -e {told} ]; then cat >> {told}; else touch {told}; exit 1; fi\n")
    program.chmod(0o700)
    path = scene.data / "safehold.toml"
    text = path.read_text()
    assert 'command = ""' in text
    path.write_text(text.replace('command = ""', f'command = "{program}"', 1))
    scene.walk("alarm-channel", {"broken": "yes"})


@pytest.mark.long
def test_weekly(scene: Scene) -> None:
    scene.walk("weekly")


# -- maintenance


@pytest.mark.long
def test_keeper(scene: Scene) -> None:
    values = {
        "copies": "yes",
        "keys-elsewhere": "yes",
        "medium": str(scene.root / "medium"),
        "keys": str(scene.root / "medium"),
        "folder": str(scene.root / "keeper"),
        "pull": f"folder:{scene.near()}",
    }
    scene.walk("keeper", values)
    assert not (scene.data / "keys" / "identity.txt").exists()


@pytest.mark.long
def test_upgrade(scene: Scene) -> None:
    """The core is one that the first release wrote, in tables that only a start of this one brings up to date."""
    copy, core = scene.root / "before", scene.data / "core" / "core.db"
    scene.start()
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 500)

    def start() -> None:
        make_older(core)
        assert schema_of(core) == 1
        assert scene.command("status")[1]["accounts"] is None, "it is not read before it is brought up to date"
        scene.start()

    acts = {"stop": scene.stop, "copy": lambda: shutil.copytree(scene.data, copy) and None, "start": start}
    scene.walk("upgrade", {"copy": str(copy)}, acts)
    assert schema_of(core) == schema.VERSION
    assert len(scene.listed()) == CARDS + 1 and scene.contacts() == CONTACTS + 1
    put_card(scene.service.client("ada", PASSWORDS["ada"]), 501)


@pytest.mark.long
def test_move_host(scene: Scene) -> None:
    new = scene.root / "new"
    scene.start()

    def copy() -> None:
        shutil.copytree(scene.data, new)
        scene.service.data = new

    scene.walk("move-host", {"new": str(new)}, {"stop": scene.stop, "copy": copy, "start": scene.start})
    assert len(scene.listed()) == CARDS


@pytest.mark.long
def test_add_vault(scene: Scene) -> None:
    scene.start()
    third = scene.root / "third"
    values = {"vault": "third", "url": f"folder:{third}", "why": "a third house", "sync": "yes"}
    scene.walk("add-vault", values)
    assert os.listdir(third)


@pytest.mark.long
def test_retire_vault(scene: Scene) -> None:
    scene.service.run("vault", "add", "third", f"folder:{scene.root / 'third'}")
    scene.start()

    def take_out() -> None:
        path = scene.data / "safehold.toml"
        head, _, rest = path.read_text().partition("[vaults.near]\n")
        lines = rest.splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines) if line.startswith("["))
        path.write_text(head + "".join(lines[end:]))

    values = {"vault": "near", "other": "far", "why": "an old disk", "is-sync": "yes"}
    acts = {"stop": scene.stop, "configuration": take_out, "start": scene.start}
    scene.walk("retire-vault", values, acts)
    assert {vault["name"] for vault in scene.service.status()["vaults"]} == {"far", "third"}
    assert len(scene.listed()) == CARDS
