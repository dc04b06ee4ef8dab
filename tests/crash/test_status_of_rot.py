"""A running service reports how it stands where a page of its core cannot be read as well."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import apsw
import pytest

from safehold.assembly.installation import open_installation
from safehold.assembly.serving import Service
from safehold.config import Config
from safehold.model.commands import AddAccount
from safehold.model.errors import Damaged
from safehold.service.control import STATUS, decode_json
from safehold.store.sqlite.core import SqliteCore
from safehold.web.app import make_app
from tests.crash.test_hanging_vault import get
from tests.interop.test_rotting import damage, tree_page


def test_a_page_that_cannot_be_read_is_reported_and_stops_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = open_installation(tmp_path / "data", Config(), make=True)
    with installation.session() as session:
        session.execute(AddAccount(account=bytes(range(16)), name="ann", password="hash"))

    async def story() -> None:
        service = Service(installation)
        app = make_app(service)
        path = installation.core_path
        core = service.writer.engine.core
        assert isinstance(core, SqliteCore)
        core._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # so that it is the file that is read
        damage(path, [tree_page(path, "stream")], random.Random(1))
        met: list[Damaged] = []
        monkeypatch.setattr(service._caring, "met", met.append)
        # As after any change: the pages that a reader has in memory are no longer good.
        service.reads = service._reader(may_wait=False)
        status = service.status()
        assert status["service"] == "serving" and status["timeline"] is not None
        assert (status["accounts"], status["changes"], status["items"]["contacts"]) == (None, None, None)
        assert [vault["state"] for vault in status["vaults"]] == ["reachable", "reachable"]
        (told,) = [incident for incident in status["incidents"] if incident["what"] == "core unreadable"]
        assert told["runbook"] == "damaged-core" and "cannot be read" in told["message"]
        assert met, "who minds the core was told"
        for page in ("/status", "/status.json", "/metrics", "/readyz", "/healthz"):
            code, body = await get(app, page)
            assert code == 200 and body, page
        code, body = await get(app, "/status.json")
        assert [incident["what"] for incident in json.loads(body)["incidents"]]
        service.listen()
        answer = await asyncio.to_thread(installation.ask_service, STATUS)
        assert answer is not None and decode_json(answer)["accounts"] is None
        assert (await asyncio.to_thread(installation.status))["accounts"] is None, "as the command asks it"
        await service.stop()

    asyncio.run(story())
