"""A vault on a network mount that answers neither yes nor no: the service answers all the same, and says so."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from safehold.assembly.installation import open_installation
from safehold.assembly.serving import Service
from safehold.assembly.status import NOT_ANSWERING
from safehold.assembly.watching import FRESH_SECONDS, PATIENCE_SECONDS, ROOM_KNOWN_SECONDS
from safehold.config import Config
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount
from safehold.ports.disk import File
from safehold.store.realdisk import RealDisk
from safehold.web.app import make_app

LONG_SECONDS = 300.0  # no test waits so long unless it fails
#: What hangs does so for this long, and is left long before.
HANG_SECONDS = 120.0


class HangingDisk(RealDisk):
    """While `answers` is not set, whatever lies below `where` makes its asker wait."""

    def __init__(self, where: Path, hang_seconds: float = LONG_SECONDS) -> None:
        self._where = str(where)
        self._hang_seconds = hang_seconds
        self.answers = threading.Event()
        self.answers.set()

    def _pass(self, path: str) -> None:
        assert not path.startswith(self._where) or self.answers.wait(self._hang_seconds)

    def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        self._pass(path)
        return super().open(path, write=write, create=create, exclusive=exclusive)

    def exists(self, path: str) -> bool:
        self._pass(path)
        return super().exists(path)

    def free_bytes(self, path: str) -> int:
        self._pass(path)
        return super().free_bytes(path)


async def get(app: Any, path: str) -> tuple[int, bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"format=json",
        "headers": [],
        "client": ("192.0.2.1", 1),
        "scheme": "http",
        "server": ("h", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_a_vault_that_hangs_hinders_neither_healthz_nor_status(tmp_path: Path) -> None:
    installation = open_installation(tmp_path / "data", Config(), make=True)
    near = tmp_path / "data" / "vaults" / "near"
    disk, clock = HangingDisk(near), SimClock()
    installation.disk, installation.clock = disk, clock  # type: ignore[assignment]

    async def story() -> None:
        service = Service(installation)
        app = make_app(service)
        assert service.free_bytes() is not None
        service.writer.ship_all()
        disk.answers.clear()
        try:
            clock.advance(FRESH_SECONDS)
            service._watching.refresh()
            service._watching._vaults[Config().vaults[1]].wait(LONG_SECONDS)  # the one that answers
            assert await get(app, "/healthz") == (200, b"ok\n")
            clock.advance(PATIENCE_SECONDS + 1)
            assert await get(app, "/healthz") == (200, b"ok\n")
            code, body = await get(app, "/status")
            assert code == 200
            shown = {vault["name"]: vault for vault in json.loads(body)["vaults"]}
            assert shown["near"]["seen_seconds_ago"] == FRESH_SECONDS + PATIENCE_SECONDS + 1
            full = service.status()
            assert [v["state"] for v in full["vaults"]] == [NOT_ANSWERING, "reachable"]
            assert [i["what"] for i in full["incidents"]] == ["vault not answering"]
            clock.advance(ROOM_KNOWN_SECONDS)
            assert service.free_bytes() is None
        finally:
            disk.answers.set()
        service._watching.wait(LONG_SECONDS)
        assert [v["state"] for v in service.status()["vaults"]] == ["reachable", "reachable"]
        await service.stop()

    asyncio.run(story())


def test_what_came_after_a_look_counts_as_lacking(tmp_path: Path) -> None:
    """Nobody has compared the vaults yet: what the last look found may be too much by now, never too little."""
    installation = open_installation(tmp_path / "data", Config(), make=True)

    async def story() -> None:
        service = Service(installation)

        def lacking() -> list[int | None]:
            return [vault["unarchived_changes"] for vault in service.status()["vaults"]]

        near, seen = lacking()
        assert near == 0
        before = service.reads.counts()["changes"]
        await service.execute(AddAccount(account=bytes(range(16)), name="ann", password="hash"))
        made = service.reads.counts()["changes"] - before
        assert seen is not None
        assert lacking() == [0, seen + made]
        service.writer.ship_all()
        assert lacking() == [0, 0]
        await service.stop()

    asyncio.run(story())


@pytest.mark.parametrize("name", ["near", "far"])
def test_the_end_comes_in_time_whatever_vault_hangs(tmp_path: Path, name: str) -> None:
    """I36, for a folder whose mount hangs: what waits for it for ever is left."""
    installation = open_installation(tmp_path / "data", Config(), make=True)
    disk = HangingDisk(tmp_path / "data" / "vaults" / name, hang_seconds=HANG_SECONDS)
    installation.disk = disk

    async def story() -> None:
        service = Service(installation)
        await service.execute(AddAccount(account=bytes(range(16)), name="ann", password="hash"))
        service.start()
        disk.answers.clear()
        began = time.monotonic()
        await service.stop()
        assert time.monotonic() - began < HANG_SECONDS, "it was waited for"
        assert service.hanging
        disk.answers.set()

    asyncio.run(story())
    again = open_installation(tmp_path / "data", Config(), make=True)
    assert again.status()["accounts"] == 1


def test_a_start_waits_for_no_async_vault_that_hangs(tmp_path: Path) -> None:
    installation = open_installation(tmp_path / "data", Config(), make=True)
    disk = HangingDisk(tmp_path / "data" / "vaults" / "far", hang_seconds=HANG_SECONDS)
    installation.disk = disk
    disk.answers.clear()
    began = time.monotonic()
    writer = installation.make_writer()
    with installation.lock():
        writer.open()
        assert time.monotonic() - began < HANG_SECONDS, "it was waited for"
        disk.answers.set()
        writer.close()
