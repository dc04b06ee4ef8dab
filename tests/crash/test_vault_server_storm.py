"""The line between a service and its vault server is cut, half-closed, silent and slow, while people go on writing.

Nothing that was acknowledged is lost: where answers wait for the server's vault they are 503 while it cannot be
reached, and where it follows, it catches up once the line is calm.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.vault_http import Storm
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until
from tests.support.writers import card

ASYNC_PUTS, SYNC_PUTS = 80, 60


def stormy(tmp_path: Path, mode: str, puts: int, seed: int) -> None:
    drawn = random.Random(seed)
    print("seed", seed)
    server = VaultServerProcess(tmp_path / "server")
    server.start()
    storm = Storm(server.port)
    service = Service(tmp_path / "data")
    try:
        service.add_account("ada", "correct horse")
        code = server.invite("--name", "ada", "--url", f"https://127.0.0.1:{storm.port}")
        service.run("vault", "add", "friend", code, "--mode", mode)
        if mode == "sync":
            config = service.data / "safehold.toml"
            text = config.read_text()
            config.write_text(text[text.index("[vaults.friend]") :])
            shutil.rmtree(service.data / "vaults")
        service.start()
        client = service.client("ada", "correct horse")
        acknowledged: dict[int, bytes] = {}
        refused = 0

        def written() -> bool:
            return client.put("/dav/ada/contacts/default/last.vcf", card("last", drawn), "text/vcard").status in (
                201,
                204,
            )

        for number in range(puts):
            if number % 5 == 0:
                storm.turn(drawn.choice(Storm.WEATHERS))
            body = card(f"c{number}", drawn)
            status = client.put(f"/dav/ada/contacts/default/{number}.vcf", body, "text/vcard").status
            assert status in ((201, 503) if mode == "sync" else (201,)), number
            if status == 201:
                acknowledged[number] = body
            else:
                refused += 1
                storm.turn("calm")
                until(written)  # the writer tries again after a pause
        storm.turn("calm")
        until(written)
        until(lambda: service.vault_status("friend")["unarchived_changes"] == 0)
        assert len(acknowledged) > puts / 3
        service.kill()
        recovery = tmp_path / "recovery.txt"
        shutil.copy(service.data / "keys" / "recovery.txt", recovery)
        shutil.rmtree(service.data)
        bare = Service(tmp_path / "bare")
        try:
            again = server.invite("--for", "ada")
            ran = bare.run("recover", "run", "--yes", "--vault", again, "--identity", str(recovery)).out
            assert ran is not None and ran["verified"] and not ran["lost"]
            bare.start()
            found = bare.client("ada", "correct horse")
            for number, body in acknowledged.items():
                assert found.ask("GET", f"/dav/ada/contacts/default/{number}.vcf").body == body, number
        finally:
            bare.close()
    finally:
        service.close()
        storm.close()
        server.kill()


def test_a_vault_that_follows_catches_up(tmp_path: Path) -> None:
    stormy(tmp_path, "async", ASYNC_PUTS, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_vault_that_answers_wait_for_loses_nothing(tmp_path: Path, seed: int) -> None:
    stormy(tmp_path, "sync", SYNC_PUTS, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_vault_that_follows_catches_up_whatever_comes(tmp_path: Path, seed: int) -> None:
    stormy(tmp_path, "async", 40 * ASYNC_PUTS, seed)
