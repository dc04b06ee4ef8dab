"""A vault at a vault server: added by a code, written to by the real service, cut off, and recovered from alone."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Client, Service
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until
from tests.support.writers import card


def card_of(number: int) -> bytes:
    return card(f"c{number}", random.Random(number))


def put(client: Client, number: int) -> int:
    return client.put(f"/dav/ada/contacts/default/{number}.vcf", card_of(number), "text/vcard").status


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VaultServerProcess]:
    server = VaultServerProcess(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_the_whole_house_is_lost_and_comes_back_from_the_server(tmp_path: Path, server: VaultServerProcess) -> None:
    service = Service(tmp_path / "data")
    try:
        service.add_account("ada", "correct horse")
        service.start()
        client = service.client("ada", "correct horse")
        assert [put(client, n) for n in range(3)] == [201] * 3
        service.run("vault", "add", "friend", server.invite("--name", "ada"))  # beside a service that runs
        photo = os.urandom(300_000)
        assert client.put("/dav/ada/files/photos/a.jpg", photo, "image/jpeg").status == 201
        service.run("snapshot")
        assert [put(client, n) for n in range(3, 6)] == [201] * 3
        until(lambda: service.vault_status("friend")["unarchived_changes"] == 0)
        friend = service.vault_status("friend")
        assert (friend["mode"], friend["state"]) == ("async", "reachable")
        assert friend["failure_domain"]
        scrubbed = service.run("vault", "scrub", "friend").out
        assert scrubbed is not None and scrubbed["ok"]
        service.strike()
        service.kill()
        recovery = tmp_path / "recovery.txt"
        shutil.copy(service.data / "keys" / "recovery.txt", recovery)
    finally:
        service.close()
    shutil.rmtree(service.data)
    bare = Service(tmp_path / "bare")
    try:
        code = server.invite("--for", "ada")
        planned = bare.run("recover", "plan", "--vault", code, "--identity", str(recovery)).out
        assert planned is not None and not planned["lost"]
        ran = bare.run("recover", "run", "--yes", "--vault", code, "--identity", str(recovery)).out
        assert ran is not None and ran["verified"] and not ran["lost"]
        bare.start()
        client = bare.client("ada", "correct horse")
        for number in range(6):
            assert client.ask("GET", f"/dav/ada/contacts/default/{number}.vcf").body == card_of(number)
        assert client.ask("GET", "/dav/ada/files/photos/a.jpg").body == photo
        assert put(client, 6) == 201
        until(lambda: bare.vault_status("friend")["unarchived_changes"] == 0)
        assert bare.stop() == 0
    finally:
        bare.close()
    assert server.stop() == 0


def test_answers_wait_for_a_server_that_goes_away_and_comes_back(tmp_path: Path, server: VaultServerProcess) -> None:
    service = Service(tmp_path / "data")
    try:
        service.add_account("ada", "correct horse")
        service.run("vault", "add", "friend", server.invite("--name", "ada"), "--mode", "sync")
        config = service.data / "safehold.toml"
        text = config.read_text()
        friend = text[text.index("[vaults.friend]") :]
        config.write_text(friend)  # the only vault from here on
        shutil.rmtree(service.data / "vaults")
        service.start()
        client = service.client("ada", "correct horse")
        assert [put(client, n) for n in range(3)] == [201] * 3
        server.kill()
        assert put(client, 3) == 503
        assert client.ask("GET", "/dav/ada/contacts/default/1.vcf").status == 200
        server.start()

        def written() -> bool:
            status = put(client, 3)
            assert status in (201, 503)
            return status == 201

        until(written)
        service.strike()
        service.kill()
        shutil.rmtree(service.data / "core")
        report = service.run("recover", "run", "--yes").out
        assert report is not None and report["verified"] and not report["lost"]
        service.start()
        client = service.client("ada", "correct horse")
        for number in range(4):
            assert client.ask("GET", f"/dav/ada/contacts/default/{number}.vcf").body == card_of(number)
        assert service.stop() == 0
    finally:
        service.close()


def test_a_keeper_elsewhere_proves_with_a_token_that_may_only_read(tmp_path: Path, server: VaultServerProcess) -> None:
    service, keeper = Service(tmp_path / "data"), Service(tmp_path / "keeper")
    keys = tmp_path / "keys"
    try:
        service.add_account("ada", "correct horse")
        added = service.run("vault", "add", "friend", server.invite("--name", "ada"), "--mode", "sync").out
        assert added is not None
        url = added["vault"]["url"]
        service.run("vault", "keys", "move", "identity", str(keys), "--yes")
        service.run("snapshot")
        keeper.run("keeper", "init", str(keeper.data), "--keys", str(keys), "--pull", url, "--name", "friend")
        joined = keeper.run("vault", "join", server.invite("--for", "ada", "--read")).out
        assert joined == {"url": url}
        done = keeper.run("keeper", "run", "--once").out
        assert done is not None and done["differences"] == []
        (kept,) = done["vaults"]
        assert kept["attested"] and not kept["refused"] and not kept["damaged"] and not kept["trouble"]
        (guest,) = server.guests()
        assert sorted(token["may_append"] for token in guest["tokens"]) == [False, True]
        # What the keeper has at hand adds nothing there.
        stolen = Service(tmp_path / "stolen")
        shutil.copytree(keeper.data, stolen.data)
        config = stolen.data / "safehold.toml"
        config.write_text(f'[vaults.friend]\nurl = "{url}"\nmode = "sync"\n')
        assert stolen.run("vault", "probe", codes=None).code != 0
        before = sorted(path.name for path in server.vault_folder("ada").rglob("*"))
        stolen.run("vault", "scrub", codes=None)
        assert sorted(path.name for path in server.vault_folder("ada").rglob("*")) == before
    finally:
        service.close()
