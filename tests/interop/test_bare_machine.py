"""A bare machine: an empty folder, a vault's URL and the recovery key, and every device goes on as if nothing had been.

All through the real commands and the real service.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.service import Service
from tests.support.writers import CARD, card

PASSWORDS = {"ada": "correct horse", "grace": "battery staple"}
BOOK, EVENTS, TASKS = "contacts/default/", "calendars/default/", "calendars/tasks/"
ICS = "text/calendar; charset=utf-8"
QUOTA = 1 << 30


def ics(component: str, uid: str) -> bytes:
    times = "DTSTART:20300610T180000Z\r\n" if component == "VEVENT" else ""
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bare//EN\r\nBEGIN:{component}\r\nUID:{uid}\r\n"
        f"DTSTAMP:20260101T000000Z\r\n{times}SUMMARY:{uid}\r\nEND:{component}\r\nEND:VCALENDAR\r\n"
    ).encode()


class World(NamedTuple):
    """What a machine held before it was lost."""

    service: Service
    root: Path
    bodies: dict[str, tuple[str, bytes]]  # path: whose, what
    app_password: str
    token: str  # of ada's address book
    key: str

    @property
    def vaults(self) -> Path:
        return self.root / "data" / "vaults"


def items() -> dict[str, tuple[str, str, bytes]]:
    """Of every kind that is a file: whose, media type, body."""
    draw = random.Random(7)
    found = {}
    for who in PASSWORDS:
        home = f"/dav/{who}/"
        found |= {f"{home}{BOOK}{n}.vcf": (who, CARD, card(f"{who}-{n}", draw)) for n in range(3)}
        found[f"{home}{EVENTS}kick-off.ics"] = (who, ICS, ics("VEVENT", f"{who}-kick-off"))
        found[f"{home}{TASKS}tidy.ics"] = (who, ICS, ics("VTODO", f"{who}-tidy"))
        found[f"{home}files/notes/plan.txt"] = (who, "text/plain", b"plan of " + who.encode())
        found[f"{home}files/photos/large.jpg"] = (who, "image/jpeg", draw.randbytes(300_000))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    service = Service(root / "data")
    for name, password in (*PASSWORDS.items(), ("gone", "erased soon")):
        service.add_account(name, password)
    config = service.data / "safehold.toml"
    config.write_text(config.read_text().replace("quota = 0 ", f"quota = {QUOTA} "))
    service.start()
    bodies = {}
    for path, (who, media, body) in items().items():
        assert service.client(who, PASSWORDS[who]).put(path, body, media).status == 201, path
        bodies[path] = who, body
    ada = service.client("ada", PASSWORDS["ada"])
    service.run("snapshot")  # a recovery begins with this generation; what comes now is read from the log
    scored = ada.ask("POST", "/api/v1/scores/tetris", b'{"score": 4711}', {"Content-Type": "application/json"})
    assert scored.status in (200, 201), scored.body
    service.run("account", "erase", "gone", "--yes")
    out = service.run("account", "app-password", "ada", "--label", "phone").out
    assert out is not None
    token = ada.sync(f"/dav/ada/{BOOK}", "").token
    assert service.stop() == 0
    told = service.run("vault", "keys", "recovery").out
    assert told is not None
    yield World(service, root, bodies, str(out["password"]), token, str(told["recovery_key"]))
    service.close()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Service]:
    """Another machine: nothing is there yet."""
    service = Service(tmp_path / "machine" / "data")
    (tmp_path / "machine").mkdir()
    yield service
    service.close()


def the_vault(world: World, name: str, to: Path) -> Path:
    """A copy of one vault, in a place of its own: all that is left."""
    return Path(shutil.copytree(world.vaults / name, to / "left"))


def recover(bare: Service, vault: Path, key: str) -> dict[str, Any]:
    file = bare.data.with_name("recovery.txt")
    file.write_text(key)
    given = ("--vault", f"folder:{vault}", "--identity", str(file))
    plan = bare.run("recover", "plan", *given).out
    assert plan is not None and plan["core"] == "missing"
    assert not (bare.data / "keys").exists() and not (bare.data / "core").exists(), "a plan writes nothing but itself"
    report = bare.run("recover", "run", plan["plan"], "--identity", str(file)).out
    assert report is not None and report["lost"] == [] and report["verified"]
    assert all(k["exact"] == k["expected"] for k in report["items"].values())
    return report


def check_everything(bare: Service, world: World) -> None:
    """Every client with its old password, every body, the score, the sync token, the settings, the erased account."""
    for path, (who, body) in world.bodies.items():
        answer = bare.client(who, PASSWORDS[who]).ask("GET", path)
        assert (answer.status, answer.body) == (200, body), path
    ada = bare.client("ada", world.app_password)
    assert ada.ask("OPTIONS", "/dav/").status == 200, "the app password of before"
    assert json.loads(ada.ask("GET", "/api/v1/scores/tetris").body)["best"] == 4711
    delta = ada.sync(f"/dav/ada/{BOOK}", world.token)
    assert (delta.status, delta.changed, delta.gone) == (207, {}, set())
    assert bare.client("gone", "erased soon").ask("OPTIONS", "/dav/").status == 401
    assert bare.client("ada", "wrong").ask("OPTIONS", "/dav/").status == 401
    assert f"quota = {QUOTA} " in (bare.data / "safehold.toml").read_text()
    new = card("after", random.Random(1))
    assert ada.put(f"/dav/ada/{BOOK}after.vcf", new, CARD, new=True).status == 201
    assert set(ada.sync(f"/dav/ada/{BOOK}", delta.token).changed) == {"after.vcf"}


@pytest.mark.parametrize("name", ["near", "far"])
def test_from_any_one_vault_and_the_key_alone(world: World, bare: Service, tmp_path: Path, name: str) -> None:
    vault = the_vault(world, name, tmp_path)
    report = recover(bare, vault, world.key)
    assert any(f"folder:{vault} now" in note for note in report["notes"]), report["notes"]
    bare.start()
    check_everything(bare, world)
    assert bare.stop() == 0
    bare.run("vault", "add", "far")
    status = bare.status()
    assert [v["state"] for v in status["vaults"]] == ["reachable", "reachable"]
    assert [v["unarchived_changes"] for v in status["vaults"]] == [0, 0]
    assert status["keys"]["root_travels"]


def test_a_key_as_a_scanner_reads_it(world: World, bare: Service, tmp_path: Path) -> None:
    scanned = world.key.lower().replace("0", "o").replace("1", "l").replace("-", " \u2013 ")
    recover(bare, the_vault(world, "near", tmp_path), scanned)
    assert bare.run("account", "list").out is not None


def test_a_misread_character_is_named_by_its_group(world: World, bare: Service, tmp_path: Path) -> None:
    groups = world.key.split("-")
    groups[6] = ("Z" if groups[6][0] != "Z" else "A") + groups[6][1:]
    (tmp_path / "key.txt").write_text("-".join(groups))
    given = ("--vault", str(the_vault(world, "near", tmp_path)), "--identity", str(tmp_path / "key.txt"))
    ran = bare.run("recover", "plan", *given, codes=(2,))
    assert (
        ran.out is not None
        and f"look at group 4 after SAFEHOLD-RECOVERY-1, which reads {groups[6]}" in ran.out["error"]
    )


def test_a_run_that_is_killed_is_run_again(world: World, bare: Service, tmp_path: Path) -> None:
    vault = the_vault(world, "near", tmp_path)
    (tmp_path / "key.txt").write_text(world.key)
    given = ("recover", "run", "--yes", "--vault", f"folder:{vault}", "--identity", str(tmp_path / "key.txt"))
    assert bare.interrupt("enter", *given)
    assert (bare.data / "keys" / "writer.txt").exists()
    assert bare.run(*given).code == 0
    bare.start()
    check_everything(bare, world)


def test_a_vault_of_somebody_else_is_refused(world: World, bare: Service, tmp_path: Path) -> None:
    other = Service(tmp_path / "other")
    other.add_account("mallory", "x")
    told = other.run("vault", "keys", "recovery").out
    assert told is not None
    (tmp_path / "key.txt").write_text(str(told["recovery_key"]))
    given = ("--vault", str(the_vault(world, "near", tmp_path)), "--identity", str(tmp_path / "key.txt"))
    ran = bare.run("recover", "run", "--yes", *given, codes=(3,))
    assert ran.out is not None and "belongs to another installation" in ran.out["error"]
    assert not (bare.data / "keys").exists()


def test_the_old_machine_is_fenced_off(world: World, bare: Service, tmp_path: Path) -> None:
    """Whoever still has the old machine writes to the same vault no more."""
    old = Service(tmp_path / "old")
    shutil.copytree(world.root / "data", old.data)
    recover(bare, old.data / "vaults" / "near", world.key)
    bare.start()
    put = bare.client("ada", PASSWORDS["ada"]).put(f"/dav/ada/{BOOK}new.vcf", card("new", random.Random(2)), CARD)
    assert put.status == 201
    old.start()
    answer = bare.client("ada", PASSWORDS["ada"]).put(f"/dav/ada/{BOOK}n2.vcf", card("n2", random.Random(3)), CARD)
    assert answer.status == 503, "the last to claim the vault writes, and this one says so"
    old.close()
