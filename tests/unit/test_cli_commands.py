"""The commands on a real installation in a temporary folder, where nothing serves."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safehold.cli.main import main
from safehold.model.kinds import RESTORE_ORDER

CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:%s\r\nN:;;;;\r\nEND:VCARD\r\n"

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with --json on the data folder of this test: its exit code and its object."""

    def command(*args: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main(["--data", str(tmp_path / "data"), "--json", *args])
        told = json.loads(capsys.readouterr().out)
        assert isinstance(told, dict)
        return code, told

    return command


@pytest.fixture
def with_ada(run: Run) -> Run:
    assert run("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0
    return run


def import_cards(run: Run, folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.vcf").write_bytes(CARD % (name.encode(), name.encode()))
    code, told = run("import", "ada", str(folder))
    assert (code, told["added"], told["problems"]) == (0, len(names), [])


def test_the_first_command_makes_an_installation(with_ada: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert {"core", "blobs", "vaults", "keys", "safehold.toml"} <= {path.name for path in data.iterdir()}
    assert {path.name for path in (data / "vaults").iterdir()} == {"near", "far"}
    code, told = with_ada("account", "list")
    assert code == 0
    assert [(a["name"], a["password"], a["app_passwords"]) for a in told["accounts"]] == [("ada", True, [])]


def test_a_configuration_elsewhere_is_used_and_none_is_written(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text('[vaults.only]\nurl = "folder:only"\nmode = "sync"\n')
    assert run("account", "list", "--config", str(config))[0] == 0
    assert (tmp_path / "data" / "only").is_dir()
    assert not (tmp_path / "data" / "vaults").exists()
    assert not (tmp_path / "data" / "safehold.toml").exists()


@pytest.mark.parametrize("name", ["", "Ada", "-ada", ".ada", "a b", "a/b", "ä", "x" * 65, "principals"])
def test_names_that_no_account_can_have(run: Run, name: str, tmp_path: Path) -> None:
    code, told = run("account", "add", "--password-stdin", "--", name, stdin="secret\n")
    assert code == 2
    assert "name" in told["error"]
    assert not (tmp_path / "data" / "core").exists()


def test_an_account_is_added_once(with_ada: Run) -> None:
    code, told = with_ada("account", "add", "ada", "--password-stdin", stdin="secret\n")
    assert code == 2
    assert "ada" in told["error"]


@pytest.mark.parametrize(
    "args",
    [
        ("account", "passwd", "bob", "--password-stdin"),
        ("account", "app-password", "bob"),
        ("account", "erase", "bob", "--yes"),
        ("history", "bob"),
        ("undo", "bob", "--to", "now"),
        ("export", "bob", "/nowhere"),
    ],
)
def test_an_unknown_account_is_wrong_usage(with_ada: Run, args: tuple[str, ...]) -> None:
    code, told = with_ada(*args, stdin="secret\n")
    assert code == 2
    assert told == {"error": "there is no account 'bob'", "hint": "safehold account list tells which there are"}


def test_app_passwords_are_made_numbered_and_revoked(with_ada: Run) -> None:
    made = [with_ada("account", "app-password", "ada")[1] for _ in range(2)]
    made.append(with_ada("account", "app-password", "ada", "--label", "phone")[1])
    assert [m["label"] for m in made] == ["device-1", "device-2", "phone"]
    assert len({m["password"] for m in made}) == 3
    assert with_ada("account", "app-password", "ada", "--label", "phone")[0] == 2
    assert with_ada("account", "app-password", "ada", "--revoke", "device-1")[0] == 0
    assert with_ada("account", "app-password", "ada", "--revoke", "device-1")[0] == 2
    assert with_ada("account", "list")[1]["accounts"][0]["app_passwords"] == ["device-2", "phone"]
    assert with_ada("account", "app-password", "ada")[1]["label"] == "device-1"


def test_app_passwords_are_listed_with_their_making_and_their_uses(with_ada: Run) -> None:
    with_ada("account", "app-password", "ada", "--label", "phone")
    code, told = with_ada("account", "app-password", "ada", "--list")
    assert (code, told["account"]) == (0, "ada")
    (phone,) = told["app_passwords"]
    assert (phone["label"], phone["last_used"], phone["programs"]) == ("phone", None, [])
    assert phone["created"].endswith("Z")
    assert with_ada("account", "list")[1]["accounts"][0]["devices"] == [phone]
    assert with_ada("account", "app-password", "ada", "--list", "--label", "phone")[0] == 2
    assert with_ada("account", "app-password", "ada", "--list", "--revoke", "phone")[0] == 2


def test_passwd_replaces_the_password(with_ada: Run) -> None:
    assert with_ada("account", "passwd", "ada", "--password-stdin", stdin="other\n") == (0, {"account": "ada"})
    code, told = with_ada("history", "ada", "--kind", "identity", "--path", "identity", "--name", "password")
    assert code == 0
    assert [change["op"] for change in told["history"]] == ["put", "put"]


def test_erase_is_a_plan_first(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    code, plan = with_ada("account", "erase", "ada")
    assert (code, plan["erased"]) == (0, False)
    assert {"path": "contacts/default", "kind": "contacts", "items": 1} in plan["collections"]
    assert len(with_ada("account", "list")[1]["accounts"]) == 1
    code, done = with_ada("account", "erase", "ada", "--yes")
    assert (code, done["erased"]) == (0, True)
    assert with_ada("account", "list")[1]["accounts"] == []
    assert with_ada("account", "add", "ada", "--password-stdin", stdin="secret\n")[0] == 0


def test_what_is_exported_is_imported_again(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    code, told = with_ada("export", "ada", str(tmp_path / "out"))
    assert (code, told["items"], told["problems"]) == (0, {"contacts": 2}, [])
    with_ada("account", "add", "bob", "--password-stdin", stdin="secret\n")
    code, told = with_ada("import", "bob", str(tmp_path / "out"))
    assert (code, told["added"]) == (0, 2)
    assert with_ada("import", "bob", str(tmp_path / "out"))[1]["unchanged"] == 2
    assert with_ada("export", "ada", str(tmp_path / "out"))[0] == 2


def test_what_cannot_be_imported_is_named_and_the_rest_goes_on(with_ada: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.vcf"
    bad.write_bytes(b"BEGIN:VCARD\r\nnonsense")
    good = tmp_path / "good.vcf"
    good.write_bytes(CARD % (b"a", b"a"))
    code, told = with_ada("import", "ada", str(bad), str(good))
    assert (code, told["added"], len(told["problems"])) == (1, 1, 1)
    assert with_ada("import", "ada", str(tmp_path / "missing.vcf"))[0] == 2


def test_history_tells_changes_newest_first(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    code, told = with_ada("history", "ada", "--path", "contacts/default/")
    assert code == 0
    changes = told["history"]
    assert [c["op"] for c in changes] == ["put", "put", "mkcol"]
    assert changes[0]["rev"] == 3
    assert changes[2]["name"] == ""
    assert with_ada("history", "ada", "--limit", "1", "--kind", "contacts")[1]["history"] == changes[:1]
    assert with_ada("history", "ada", "--name", "x")[0] == 2
    assert with_ada("history", "ada", "--limit", "0")[0] == 2


def test_undo_brings_back_what_was(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    then = with_ada("history", "ada", "--kind", "contacts", "--limit", "1")[1]["history"][0]["at"]
    import_cards(with_ada, tmp_path / "more", "alan")
    code, told = with_ada("undo", "ada", "--kind", "contacts", "--to", then, "--dry-run")
    assert code == 0
    assert [(line["path"], line["action"]) for line in told["undone"]] == [("contacts/default", "removed")]
    assert with_ada("status")[1]["items"]["contacts"] == 2
    assert with_ada("undo", "ada", "--kind", "contacts", "--to", then)[1]["undone"] == told["undone"]
    assert with_ada("status")[1]["items"]["contacts"] == 1
    assert with_ada("undo", "ada", "--to", "2999-01-01")[0] == 2
    assert with_ada("undo", "ada", "--kind", "notes", "--path", "files/notes", "--to", "1h")[0] == 2


def test_an_undo_names_what_undoes_it(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    end = with_ada("history", "ada", "--kind", "contacts", "--limit", "1")[1]["history"][0]
    import_cards(with_ada, tmp_path / "more", "mary")
    code, told = with_ada("undo", "ada", "--path", "contacts/default", "--to", f"contacts:{end['rev']}")
    (gone,) = told["removed"]
    assert (code, told["added"], told["changed"]) == (0, [], [])
    assert gone.startswith("contacts/default/")
    back = with_ada("undo", "ada", "--to", told["before"], "--dry-run")[1]
    assert back["added"] == [gone]
    assert with_ada("undo", "ada", "--to", told["before"], "--deleted", "--path", "contacts/default")[0] == 0
    assert with_ada("status")[1]["items"]["contacts"] == 3


def test_an_undo_of_a_great_share_has_to_be_confirmed(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", *(f"card{n}" for n in range(25)))
    undo = ("undo", "ada", "--path", "contacts/default", "--to", "contacts:1")
    assert with_ada(*undo)[0] == 2
    assert with_ada("status")[1]["items"]["contacts"] == 25
    assert len(with_ada(*undo, "--dry-run")[1]["removed"]) == 25
    assert with_ada(*undo, "--yes")[0] == 0
    assert with_ada("status")[1]["items"]["contacts"] == 0


def test_history_has_the_bodies_of_changes_and_what_was_removed(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    output = tmp_path / "old.vcf"
    code, told = with_ada("history", "ada", "--body", "contacts:2", "--output", str(output))
    assert (code, told["op"]) == (0, "put")
    assert b"grace" in output.read_bytes()
    assert with_ada("history", "ada", "--body", "contacts:2", "--output", str(output))[0] == 2
    assert with_ada("history", "ada", "--body", "contacts:1", "--output", str(tmp_path / "no"))[0] == 2
    assert not (tmp_path / "no").exists()
    assert with_ada("history", "ada", "--body", "contacts:2")[0] == 2
    assert with_ada("history", "ada", "--before", "contacts:2", "--kind", "contacts")[1]["history"][0]["rev"] == 1
    assert with_ada("history", "ada", "--before", "yesterday")[0] == 2
    assert with_ada("history", "ada", "--removed")[1]["removed"] == []


def test_beyond_a_few_accounts_an_hour_an_erasure_waits(with_ada: Run) -> None:
    names = ("b1", "b2", "b3", "b4")
    for name in names:
        with_ada("account", "add", name, "--password-stdin", stdin="secret\n")
    told = [with_ada("account", "erase", name, "--yes")[1] for name in names]
    assert [t["erased"] for t in told] == [True, True, True, False]
    assert told[3]["erases_at"] < told[3]["gone_by"]
    accounts = {a["name"]: a["erases_at"] for a in with_ada("account", "list")[1]["accounts"]}
    assert accounts == {"ada": None, "b4": told[3]["erases_at"]}
    assert with_ada("account", "erase", "b4", "--yes", "--now")[0] == 2, "only at a terminal"
    code, told = with_ada("status", "--check")
    (incident,) = (one for one in told["incidents"] if one["what"] == "erasures put off")
    assert code == 1 and "account restore" in incident["hint"] and "b4" not in incident["summary"]
    assert with_ada("account", "restore", "b4") == (0, {"account": "b4", "restored": True})
    assert with_ada("account", "restore", "b4")[0] == 2


def test_vaults_are_listed_and_added(with_ada: Run, tmp_path: Path) -> None:
    assert [(v["name"], v["mode"]) for v in with_ada("vault", "list")[1]["vaults"]] == [
        ("near", "sync"),
        ("far", "async"),
    ]
    code, told = with_ada("vault", "add", "usb", f"folder:{tmp_path / 'usb'}")
    assert (code, told["vault"]["name"]) == (0, "usb")
    assert (tmp_path / "usb" / "FORMAT").exists()
    assert [v["name"] for v in with_ada("vault", "list")[1]["vaults"]] == ["near", "far", "usb"]
    assert with_ada("vault", "add", "usb", "folder:elsewhere")[0] == 2
    assert with_ada("vault", "add", "s3", "s3://bucket")[0] == 2
    assert with_ada("status")[1]["vaults"][2]["unarchived_changes"] == 0


def test_check_fails_where_a_vault_is_missing(with_ada: Run, tmp_path: Path) -> None:
    assert with_ada("status", "--check")[0] == 0
    (tmp_path / "data" / "vaults" / "far").rename(tmp_path / "away")
    code, told = with_ada("status", "--check")
    assert code == 1
    assert any("far" in incident["message"] for incident in told["incidents"])
    assert with_ada("status")[0] == 0


def test_check_fails_where_a_sync_vault_is_there_and_nothing_can_be_written(with_ada: Run, tmp_path: Path) -> None:
    near, early = tmp_path / "data" / "vaults" / "near", tmp_path / "early"
    shutil.copytree(near, early)
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 0
    shutil.rmtree(near)
    early.rename(near)
    assert with_ada("recover", "run", "--yes", "--accept-loss")[0] == 0
    code, told = with_ada("status", "--check")
    assert code == 1
    (incident,) = told["incidents"]
    assert incident["what"] == "writing refused" and "near" in incident["message"]
    assert "vault repair near" in incident["hint"]
    assert with_ada("account", "add", "eve", "--password-stdin", stdin="x\n")[0] == 3
    assert with_ada("vault", "repair", "near", "--yes")[0] == 0
    assert with_ada("status", "--check")[0] == 0
    assert with_ada("account", "add", "eve", "--password-stdin", stdin="x\n")[0] == 0


def test_with_vaults_and_no_core_commands_name_recover_run(with_ada: Run, tmp_path: Path) -> None:
    core = tmp_path / "data" / "core"
    core.rename(tmp_path / "lost")
    for args in (("account", "list"), ("account", "add", "bob", "--password-stdin"), ("history", "ada")):
        code, told = with_ada(*args, stdin="secret\n")
        assert code == 3
        assert "recover run" in told["hint"]
    assert not core.exists()


@pytest.mark.parametrize("left", [None, b"", b"no database at all" * 1000])
def test_status_reports_without_a_core_it_can_read(with_ada: Run, tmp_path: Path, left: bytes | None) -> None:
    core = tmp_path / "data" / "core"
    core.rename(tmp_path / "lost")
    if left is not None:
        core.mkdir()
        (core / "core.db").write_bytes(left)
    code, told = with_ada("status")
    assert (code, told["service"], told["accounts"], told["items"]["contacts"]) == (0, "stopped", None, None)
    assert [vault["state"] for vault in told["vaults"]] == ["reachable", "reachable"]
    incident = told["incidents"][0]
    assert incident["what"] == ("core unreadable" if left else "core missing")
    assert "recover" in incident["hint"]
    assert with_ada("status", "--check")[0] == 1
    assert [vault["name"] for vault in with_ada("vault", "list")[1]["vaults"]] == ["near", "far"]


def test_with_neither_core_nor_vaults_nothing_empty_is_made(with_ada: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert with_ada("vault", "add", "usb", f"folder:{tmp_path / 'usb'}")[0] == 0
    for lost in ("core", "blobs", "vaults"):
        (data / lost).rename(tmp_path / f"lost-{lost}")
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    code, told = with_ada("account", "list")
    assert code == 3
    assert "mount" in told["hint"]
    assert not (data / "core").exists()
    assert not (data / "vaults").exists()
    (tmp_path / "unplugged").rename(tmp_path / "usb")
    code, told = with_ada("vault", "add", "near")
    assert code == 3 and "recover run" in told["hint"], "a copy of an async vault must not vouch for the tail"
    assert with_ada("recover", "run", "--yes")[0] == 0
    assert [a["name"] for a in with_ada("account", "list")[1]["accounts"]] == ["ada"]
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 3, "near is a sync vault, and away"
    assert with_ada("vault", "add", "near")[0] == 0
    assert with_ada("account", "add", "bob", "--password-stdin", stdin="x\n")[0] == 0


def test_a_plan_is_written_and_carried_out(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    data = tmp_path / "data"
    (data / "core").rename(tmp_path / "lost")
    code, plan = with_ada("recover", "plan")
    assert (code, plan["items"]["contacts"]["exact"]) == (0, 2)
    assert not (data / "core" / "core.db").exists()
    code, told = with_ada("recover", "run")
    assert (code, told["executed"]) == (0, False)
    assert with_ada("recover", "run", plan["plan"], "--account", "ada")[0] == 2
    code, told = with_ada("recover", "run", plan["plan"])
    assert (code, told["executed"], told["lost"], told["verified"]) == (0, True, [], True)
    assert with_ada("status")[1]["items"]["contacts"] == 2
    assert with_ada("recover", "run", str(tmp_path / "cards" / "grace.vcf"))[0] == 2


@pytest.mark.parametrize("left", ["all", "no core", "a vault and the key"])
def test_a_plan_writes_nothing_but_its_plan_file(with_ada: Run, tmp_path: Path, left: str) -> None:
    """I26. `core.db-shm` is what SQLite's readers of a core share, and says nothing of what is in it."""
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    (tmp_path / "cards" / "rome.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100_000))
    assert with_ada("import", "ada", str(tmp_path / "cards"))[0] == 0
    data, args = tmp_path / "data", list[str]()
    if left == "no core":
        (data / "core").rename(tmp_path / "lost")
    elif left != "all":
        data.rename(tmp_path / "away")
        key = tmp_path / "away" / "keys" / "recovery.txt"
        args = ["--vault", f"folder:{tmp_path / 'away' / 'vaults' / 'near'}", "--identity", str(key)]

    def everything() -> dict[str, tuple[int, int, int, bytes]]:
        return {
            str(path.relative_to(tmp_path)): (
                *(path.stat().st_ino, path.stat().st_mtime_ns if path.is_file() else 0, path.stat().st_mode),
                path.read_bytes() if path.is_file() else b"",
            )
            for path in tmp_path.rglob("*")
            if path.name != "core.db-shm"
        }

    before = everything()
    assert with_ada("recover", "plan", "--output", str(tmp_path / "plan.json"), *args)[0] == 0
    after = everything()
    assert after.pop("plan.json")
    assert after == before


def test_a_plan_and_a_run_account_for_every_item(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    (tmp_path / "data" / "core").rename(tmp_path / "lost")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    code, told = with_ada("recover", "plan", "--items", str(open_to_all))
    assert code == 2 and "chmod 700" in told["hint"]
    for words in (("plan",), ("run",), ("run", "--yes")):
        folder = tmp_path / "-".join(words)
        code, told = with_ada("recover", *words, "--items", str(folder))
        assert (code, told["accounting"]["items"]["contacts"]["exact"]) == (0, 2), words
        assert folder.stat().st_mode & 0o777 == 0o700
        lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        cards = {line["name"]: line for line in lines if line["what"] == "item" and line["kind"] == "contacts"}
        assert {(line["state"], line["source"]) for line in cards.values()} == {("exact", "log")}
        assert len(cards) == 2
        assert "2 are here exactly as you left them." in (folder / "accounts" / "ada.txt").read_text()
    assert told["executed"] is True
    assert with_ada("recover", "plan", "--items", str(tmp_path / "whole"))[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "whole" / "items.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines if line["what"] == "item"} == {"core"}


def test_a_plan_says_what_there_is_to_approve_and_is_carried_out_once(with_ada: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace", "alan")
    data = tmp_path / "data"
    (data / "core").rename(tmp_path / "lost")
    _, plan = with_ada("recover", "plan")
    assert [stage["kind"] for stage in plan["stages"]] == [str(kind) for kind in RESTORE_ORDER]
    contacts = next(stage for stage in plan["stages"] if stage["kind"] == "contacts")
    size = sum(len(CARD % (n, n)) for n in (b"grace", b"alan"))
    assert (contacts["items"], plan["stage_bytes"]["contacts"]) == (2, size)
    assert plan["basis"] and contacts["seconds"] > 0
    assert plan["read_from"] == [{"sources": "log", "streams": sum(one["streams"] for one in plan["read_from"])}]
    approved = json.loads(Path(plan["plan"]).read_text())
    read_me = "\n".join(approved["read_me"])
    for words in ("near: read", "from log", "contacts", "how the time is reckoned", "would take about"):
        assert words in read_me
    assert {tuple(stream["sources"]) for stream in approved["streams"]} == {("log",)}
    assert with_ada("recover", "run", plan["plan"])[0] == 0
    (data / "core").rename(tmp_path / "lost again")
    code, told = with_ada("recover", "run", plan["plan"])
    assert code == 3 and "no longer those of the plan" in told["error"] and "log/" in told["error"]
    assert "recover plan" in told["hint"] and not (data / "core").exists()


def test_on_a_bare_machine_a_vault_and_the_recovery_key_are_enough(with_ada: Run, run: Run, tmp_path: Path) -> None:
    import_cards(with_ada, tmp_path / "cards", "grace")
    (tmp_path / "data").rename(tmp_path / "saved")
    where = ("--vault", f"folder:{tmp_path / 'saved' / 'vaults' / 'near'}")
    key = ("--identity", str(tmp_path / "saved" / "keys" / "recovery.txt"))
    code, told = run("recover", "plan", *where, *key)
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1)
    code, told = run("recover", "run", "--yes", *where, *key)
    assert (code, told["items"]["contacts"]["exact"]) == (0, 1), told
    assert any("the vault near was at folder:vaults/near" in note for note in told["notes"])
    assert run("account", "list")[1]["accounts"][0]["name"] == "ada"
