"""A sync vault that a keeper holds in another process: served from, cut off, hung, and recovered from alone."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.adapters.vault_link import UnixLink
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import parse_mark
from safehold.ports.vault import VaultDown
from safehold.store.realdisk import RealDisk
from safehold.vault.folder import FolderVault
from safehold.vault.remote import RemoteVault
from tests.support.keeper import CORE_USER, KEEPER_USER, KeeperProcess, ground, own_folder, run_as
from tests.support.service import Client, Service, command_line, environment
from tests.support.waiting import until
from tests.support.writers import card

ROOT = os.geteuid() == 0


class House:
    """A service whose sync vault is a keeper's alone; the folder vaults it began with are gone."""

    def __init__(self, root: Path) -> None:
        uid = KEEPER_USER if ROOT else None
        self.service = Service(root / "data")
        self.service.add_account("ada", "correct horse")
        installation = parse_mark((self.service.data / "vaults" / "near" / MARK).read_bytes())
        kept, run = own_folder(root / "kept", uid), root / "run"
        run.mkdir(mode=0o777)
        run.chmod(0o777)
        self.folder = kept / "vault"
        FolderVault.create("kept", str(self.folder), RealDisk(), installation).close()
        if uid is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, uid, uid)
        self.keeper = KeeperProcess(self.folder, run / "kept.sock", uid)
        self.keeper.start()

    def alone(self) -> None:
        """Add the keeper's vault, and go on with nothing else."""
        self.service.run("vault", "add", "kept", f"keeper:{self.keeper.address}", "--mode", "sync")
        config = self.service.data / "safehold.toml"
        config.write_text(f'[vaults.kept]\nurl = "keeper:{self.keeper.address}"\nmode = "sync"\n')
        shutil.rmtree(self.service.data / "vaults")

    def client(self) -> Client:
        return self.service.client("ada", "correct horse")

    def close(self) -> None:
        self.service.close()
        self.keeper.kill()


@pytest.fixture
def house() -> Iterator[House]:
    with ground() as root:
        house = House(root)
        yield house
        house.close()


def card_of(number: int) -> bytes:
    return card(f"c{number}", random.Random(number))


def put(client: Client, number: int) -> int:
    return client.put(f"/dav/ada/contacts/default/{number}.vcf", card_of(number), "text/vcard").status


def test_served_from_cut_off_and_recovered_from_alone(house: House) -> None:
    house.alone()
    service = house.service
    service.start()
    client = house.client()
    assert [put(client, n) for n in range(3)] == [201] * 3
    photo = os.urandom(300_000)
    assert client.put("/dav/ada/files/photos/a.jpg", photo, "image/jpeg").status == 201
    kept = service.vault_status("kept")
    assert (kept["url"], kept["mode"], kept["state"]) == (f"keeper:{house.keeper.address}", "sync", "reachable")
    # The keeper ends and comes back: nothing is acknowledged meanwhile, and writing goes on by itself.
    house.keeper.kill()
    assert put(client, 3) == 503
    assert client.ask("GET", "/dav/ada/contacts/default/1.vcf").status == 200
    house.keeper.start()

    def written() -> bool:
        status = put(client, 3)
        assert status in (201, 503)
        return status == 201

    until(written)
    service.strike()
    service.kill()
    for folder in ("core", "blobs"):
        shutil.rmtree(service.data / folder)
    report = service.run("recover", "run", "--yes").out
    assert report is not None and report["verified"] and not report["lost"]
    service.start()
    client = house.client()
    for number in range(4):
        assert client.ask("GET", f"/dav/ada/contacts/default/{number}.vcf").body == card_of(number)
    assert client.ask("GET", "/dav/ada/files/photos/a.jpg").body == photo
    assert service.stop() == 0
    assert house.keeper.stop() == 0
    assert not house.keeper.address.exists()


def test_a_keeper_that_hangs_stops_writing_neither_reading_nor_the_end(house: House) -> None:
    house.alone()
    service = house.service
    service.start()
    client = house.client()
    assert put(client, 0) == 201
    house.keeper.freeze()
    assert put(client, 1) == 503
    assert service.client("ada", "correct horse").ask("GET", "/dav/ada/contacts/default/0.vcf").status == 200
    assert service.stop() == 0
    house.keeper.thaw()


def test_an_async_keeper_that_hangs_hinders_nothing(house: House) -> None:
    service = house.service
    service.run("vault", "add", "kept", f"keeper:{house.keeper.address}")
    service.start()
    client = house.client()
    assert put(client, 0) == 201
    house.keeper.freeze()
    for number in range(1, 20):
        assert put(client, number) == 201
    until(lambda: service.vault_status("far")["unarchived_changes"] == 0)
    assert service.stop() == 0
    house.keeper.thaw()
    service.start()
    until(lambda: service.vault_status("kept")["unarchived_changes"] == 0)
    assert service.stop() == 0


def test_the_keepers_own_command_serves_the_vault_that_answers_wait_for(tmp_path: Path) -> None:
    service = Service(tmp_path / "data")
    service.add_account("ada", "correct horse")
    keys, keeper, address = tmp_path / "keys", tmp_path / "keeper", tmp_path / "kept.sock"
    service.run("vault", "keys", "move", "identity", str(keys), "--yes")
    words = ("--keys", str(keys), "--socket", str(address), "--user", str(os.geteuid()))
    made = Service(keeper).run("keeper", "init", str(keeper), *words).out
    assert made is not None and made["vault"] == "kept"
    running = subprocess.Popen(
        command_line(keeper, "keeper", "run"), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def served() -> bool:
            assert running.poll() is None
            return address.is_socket()

        until(served)
        service.run("vault", "add", "kept", f"keeper:{address}", "--mode", "sync")
        service.start()
        client = service.client("ada", "correct horse")
        assert [put(client, n) for n in range(3)] == [201] * 3
        assert service.vault_status("kept")["failure_domain"]
        assert service.stop() == 0
        logs = [p.read_bytes() for p in sorted((keeper / "vault" / "log").rglob("*.seg"))]
        assert logs == [p.read_bytes() for p in sorted((service.data / "vaults" / "near" / "log").rglob("*.seg"))]
        running.terminate()
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()
        service.close()


@pytest.mark.skipif(not ROOT, reason="another user can be had by root only")
def test_who_may_connect() -> None:
    with ground() as root:
        folder = own_folder(root / "kept", KEEPER_USER) / "vault"
        FolderVault.create("kept", str(folder), RealDisk(), bytes(16)).close()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, KEEPER_USER, KEEPER_USER)
        run = own_folder(root / "run", KEEPER_USER)
        run.chmod(0o755)
        for users, let_in in (([CORE_USER], True), ([CORE_USER + 5], False), (None, True)):
            keeper = KeeperProcess(folder, run / "kept.sock", KEEPER_USER, users=users)
            keeper.start()

            def ask(let_in: bool = let_in) -> None:
                vault = RemoteVault("kept", str(run / "kept.sock"), lambda: UnixLink(str(run / "kept.sock")))
                assert vault.available() is let_in
                if not let_in:
                    with pytest.raises(VaultDown, match="may not let this user in"):
                        vault.size(MARK)

            run_as(CORE_USER, ask)
            run_as(KEEPER_USER, lambda: ask(True))
            keeper.kill()
