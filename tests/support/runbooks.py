"""A small installation that trouble is made in, and a walk through a runbook that ends it.

The walk is the real command with `--yes`. Where it stops before a step that a person has to do, the test does it, by
the name of the step, and the walk goes on with `--resume`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apsw
import pytest

from safehold.cli.main import main
from safehold.store.sqlite import schema
from safehold.store.sqlite.vfs import checksum_vfs
from tests.support.service import Client, Service

PASSWORDS = {"ada": "correct horse", "bjorn": "battery staple"}
#: Cards of ada; bjorn has one.
CARDS = 30
CONTACTS = CARDS + 1
READY_SECONDS = 300.0


def card(number: int) -> bytes:
    lines = ("BEGIN:VCARD", "VERSION:3.0", f"UID:card-{number}", f"FN:Person {number}", "N:;;;;", "END:VCARD", "")
    return "\r\n".join(lines).encode()


def put_card(client: Client, number: int, home: str = "ada") -> None:
    answer = client.put(f"/dav/{home}/contacts/default/card-{number}.vcf", card(number), "text/vcard", new=True)
    assert answer.status == 201, answer


def serve(service: Service) -> None:
    """Start it, and wait until it answers, however busy the machine is."""
    service.begin()
    end = time.monotonic() + READY_SECONDS
    while service.health() is None:
        code = service.wait(0.05)
        assert code is None, f"serve ended with exit {code}:\n{service.tail()}"
        assert time.monotonic() < end, service.tail()
    assert (service.data / "run" / "safehold.sock").exists(), "who sees it answer may give a command"


def fill(data: Path) -> None:
    """Two accounts, some cards and a note, a generation, and some changes after it."""
    service = Service(data)
    for name, password in PASSWORDS.items():
        service.add_account(name, password)
    files = data.parent / "files"
    files.mkdir()

    def cards(name: str, numbers: range) -> str:
        path = files / f"{name}.vcf"
        path.write_bytes(b"".join(map(card, numbers)))
        return str(path)

    (files / "long.txt").write_bytes(b"note " * 40_000)
    service.run("import", "ada", cards("first", range(CARDS - 5)))
    service.run("import", "ada", str(files / "long.txt"), "--kind", "notes")
    service.run("snapshot")
    service.run("import", "ada", cards("later", range(CARDS - 5, CARDS)))
    service.run("import", "bjorn", cards("other", range(1)))


def make_older(core: Path) -> None:
    """As the first release wrote it: every step of the schema since is taken back. Nothing has it open."""
    db = apsw.Connection(str(core), vfs=checksum_vfs())
    db.execute("BEGIN IMMEDIATE")
    columns = [row[1] for row in db.execute("PRAGMA table_info(stream)")]
    for column in ("bytes", *(name for name in columns if name.startswith("base_"))):
        db.execute(f"ALTER TABLE stream DROP COLUMN {column}")
    db.execute("DROP INDEX item_uid")
    db.execute("CREATE INDEX item_uid ON item(collection, uid) WHERE uid IS NOT NULL")
    db.execute("PRAGMA user_version = 1")
    db.execute("COMMIT")
    db.close()


def schema_of(core: Path) -> int:
    db = apsw.Connection(str(core), flags=apsw.SQLITE_OPEN_READONLY, vfs=checksum_vfs())
    try:
        return schema.version(db)
    finally:
        db.close()


class Scene:
    """A copy of it, at most one service on it, and the walks through runbooks."""

    def __init__(self, base: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.data = root / "data"
        shutil.copytree(base, self.data)
        self.service = Service(self.data)
        self._capsys = capsys

    def near(self) -> Path:
        return self.data / "vaults" / "near"

    def far(self) -> Path:
        return self.data / "vaults" / "far"

    def start(self) -> None:
        serve(self.service)

    def recover(self) -> None:
        """The service starts, and recovers by itself."""
        self.start()
        self.service.run("recover", "status", "--wait")

    def stop(self) -> None:
        assert self.service.stop() == 0

    def contacts(self) -> int:
        return int(self.service.status()["items"]["contacts"])

    def listed(self, user: str = "ada") -> list[str]:
        """What a device of this person is shown."""
        client = self.service.client(user, PASSWORDS[user])
        items, _ = client.listing(f"/dav/{user}/contacts/default/")
        client.close()
        return sorted(items)

    def delete_all(self, client: Client) -> None:
        """As a device does that deletes ada's whole address book."""
        for name in self.listed():
            assert client.ask("DELETE", f"/dav/ada/contacts/default/{name}").status == 204

    def command(self, *args: str, data: Path | None = None) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        code = main(["--data", str(data or self.data), *args, "--json"])
        said = self._capsys.readouterr()
        return code, json.loads(said.out) if said.out.strip() else {}

    def walk(
        self,
        name: str,
        values: Mapping[str, str] | None = None,
        acts: Mapping[str, Callable[[], None]] | None = None,
        *,
        data: Path | None = None,
        lang: str = "en",
    ) -> dict[str, Any]:
        """To the end, every check good."""
        left = dict(acts or {})
        given = [word for pair in (values or {}).items() for word in ("--set", "=".join(pair))]
        line = ["runbook", "run", name, "--yes", "--by", "the test", "--lang", lang, *given]
        code, said = self.command(*line, data=data)
        while code == 3 and said.get("next") in left:
            left.pop(said["next"])()
            code, said = self.command(*line, "--resume", data=data)
        assert code == 0, (code, said.get("stopped"), said.get("error"), said.get("steps"))
        assert not left, f"nobody asked for {sorted(left)}"
        assert said["ok"] and said["stopped"] is None
        return said

    def close(self) -> None:
        self.service.close()
