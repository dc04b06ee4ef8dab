"""A keeper on another machine, with the only copy of the identity: three hosts, each a folder and real processes.

The core's host serves, appends to a vault server, and holds no key that opens anything. The keeper's host reaches the
vault server over HTTPS alone, with a token of its own: it scrubs, attests, drills and mends there.
"""

from __future__ import annotations

import base64
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from safehold.formats.frame import FrameType, RawFrame, scan_frames
from safehold.formats.keys import Opener, identity_of, parse_recovery_key
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import parse_mark
from safehold.formats.payload import Unpacker
from safehold.formats.segment import HEADER_BYTES
from safehold.model.errors import OperatorError, SafeholdError
from tests.support.service import Service
from tests.support.vault_server import VaultServerProcess
from tests.support.waiting import until
from tests.support.writers import CARD, card

PASSWORD = "correct horse"
HOME = "/dav/ada/"


class World(NamedTuple):
    core: Service
    server: VaultServerProcess
    keeper: Service
    opened_before: bool  # whether the core's host opened an old frame while it had the identity

    @property
    def vault(self) -> Path:
        return self.server.vault_folder("ada")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("hosts")
    server = VaultServerProcess(root / "server")
    core, keeper = Service(root / "core"), Service(root / "keeper")
    try:
        server.start()
        opened_before = live(core, server, root / "stick")
        make_keeper(keeper, server, root / "stick")
        yield World(core, server, keeper, opened_before)
    finally:
        core.close()
        server.kill()


def live(core: Service, server: VaultServerProcess, stick: Path) -> bool:
    """Changes, a photo and a generation; the identity goes to the stick in between; and more after that."""
    core.add_account("ada", PASSWORD)
    core.run("vault", "add", "friend", server.invite("--name", "ada"), "--mode", "sync")
    draw = random.Random(3)

    def put(first: int, count: int) -> None:
        client = core.client("ada", PASSWORD)
        for number in range(first, first + count):
            name = f"contacts/default/{number}.vcf"
            assert client.put(f"{HOME}{name}", card(f"c{number}", draw), CARD).status == 201
        assert client.put(f"{HOME}files/photos/{first}.jpg", draw.randbytes(300_000), "image/jpeg").status == 201
        assert client.ask("DELETE", f"{HOME}contacts/default/{first}.vcf").status == 204

    core.start()
    put(0, 5)
    assert core.stop() == 0
    opened = bool(opened_by(core.data, server.vault_folder("ada")))
    core.run("vault", "keys", "move", "identity", str(stick), "--yes")
    # Nothing of the vaults lies on the core's host any more.
    config = core.data / "safehold.toml"
    url = next(line for line in config.read_text().splitlines() if line.startswith('url = "https'))
    config.write_text(f'[vaults.friend]\n{url}\nmode = "sync"\n')
    shutil.rmtree(core.data / "vaults")
    core.start()
    put(10, 5)
    core.run("snapshot")
    put(20, 5)
    assert core.stop() == 0
    return opened


def make_keeper(keeper: Service, server: VaultServerProcess, stick: Path) -> None:
    keeper.run("keeper", "init", str(keeper.data), "--keys", str(stick))
    out = keeper.run("vault", "join", server.invite("--for", "ada", "--keeper")).out
    assert out is not None
    config = keeper.data / "safehold.toml"
    text = config.read_text().replace("pull = []", f'pull = ["{out["url"]}"]')
    config.write_text(f'{text}\n[vaults.friend]\nurl = "{out["url"]}"\nmode = "async"\n')
    shutil.rmtree(stick)


# -- what the core's host opens


def secrets_in(data: Path) -> Iterator[bytes]:
    """Whatever 32 bytes on a host may be an identity's secret: all that its keys and its core hold, spelled any way."""
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        for found in re.findall(rb"[0-9a-fA-F]{64}", raw):
            yield bytes.fromhex(found.decode())
        for found in re.findall(rb"[A-Za-z0-9+/_-]{43}=?", raw):
            try:
                yield base64.b64decode(found[:43].translate(bytes.maketrans(b"-_", b"+/")) + b"=")
            except ValueError:
                continue
        if path.is_relative_to(data / "keys"):
            yield from (raw[at : at + 32] for at in range(len(raw) - 31))
    if not (data / "core" / "core.db").exists():
        return
    with closing(sqlite3.connect(f"file:{data / 'core' / 'core.db'}?mode=ro", uri=True)) as core:
        for (table,) in core.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in core.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes) and 32 <= len(value) <= 128:
                        yield from (value[at : at + 32] for at in range(len(value) - 31))


def openers_in(data: Path, installation: bytes) -> Iterator[Opener]:
    for path in sorted(p for p in data.rglob("*") if p.is_file() and p.stat().st_size < 1 << 20):
        text = path.read_bytes().decode("latin-1")
        yield from (Opener(found, installation) for found in re.findall(r"AGE-SECRET-KEY-1[A-Z0-9]+", text))
        for found in re.findall(r"SAFEHOLD-[A-Z-]*[A-Z0-9-]{40,}", text):
            try:
                yield parse_recovery_key(found)
            except (SafeholdError, OperatorError):
                continue
    for secret in {secret for secret in secrets_in(data) if len(secret) == 32}:
        yield Opener(identity_of(secret), installation)


def opened_by(data: Path, vault: Path) -> list[str]:
    """Which of the vault's first frames of changes opens with anything that lies in a folder; the identities."""
    installation = parse_mark((vault / MARK).read_bytes())
    frame = next(
        item
        for path in sorted((vault / "log").rglob("*.seg"))
        for item in scan_frames(path.read_bytes(), HEADER_BYTES)
        if isinstance(item, RawFrame) and item.header.type is FrameType.CHANGES
    )
    found = []
    for opener in openers_in(data, installation):
        try:
            assert Unpacker(opener).unpack_changes(frame.payload)
        except SafeholdError:
            continue
        found += opener.identities
    return found


def test_nothing_on_the_cores_host_opens_an_old_frame_once_the_identity_is_elsewhere(world: World) -> None:
    assert world.opened_before, "as long as the identity was there it did; else this shows nothing"
    assert opened_by(world.core.data, world.vault) == []
    assert opened_by(world.keeper.data, world.vault), "the keeper's host has it"
    refused = world.core.run("drill", "run", codes=(3,))
    assert "recovery key" in refused.err


# -- what the keeper's host does


def told(ran: Any) -> dict[str, Any]:
    assert ran.out is not None
    out: dict[str, Any] = ran.out
    return out


def test_it_attests_scrubs_and_drills_over_the_network(world: World) -> None:
    kept = {v["vault"]: v for v in told(world.keeper.run("keeper", "run", "--once"))["vaults"]}
    assert kept["friend"]["attested"] == kept["kept"]["attested"] > 0
    assert kept["friend"]["damaged"] == 0 and "removed where it lies" in kept["friend"]["blocked"]
    scrubbed = told(world.keeper.run("scrub", "--level", "replay"))
    assert scrubbed["ok"] and {v["vault"] for v in scrubbed["vaults"]} == {"kept", "friend"}
    drilled = told(world.keeper.run("drill", "run", "--vault", "friend"))
    assert drilled["ok"] and drilled["vault"] == "friend", drilled
    assert drilled["streams_equal"] == drilled["streams_compared"] >= 3
    assert drilled["items"] == 15 and drilled["requests"] > 0  # of 15 cards 3 are gone, and there are 3 photos
    assert drilled["first_contact_seconds"] is not None
    # The evidence lies at the server, where the core's host reads of it and cannot change it.
    records = told(world.keeper.run("evidence", "list", "--kind", "drill"))["records"]
    assert [record["vault"] for record in records] == ["friend"]
    assert (world.vault / records[0]["name"]).exists()


def spoil(world: World) -> dict[str, bytes]:
    """Damage of every sort that a keeper elsewhere may mend; as it was."""
    vault = world.vault
    segments = [p for p in sorted((vault / "log").rglob("*.seg")) if p.stat().st_size > 1000]
    run = min((vault / "runs").rglob("*.run"))
    gone, *_, blob = sorted(p for p in (vault / "blobs").rglob("*") if p.is_file())
    before = {str(p.relative_to(vault)): p.read_bytes() for p in (segments[0], run, blob, gone)}
    for path in (segments[0], run, blob):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(raw)
    gone.unlink()
    return before


def test_it_mends_over_the_network_and_the_cores_own_token_may_not(world: World) -> None:
    world.keeper.run("keeper", "run", "--once")
    before = spoil(world)
    names = sorted(before)
    (refused,) = told(world.core.run("vault", "repair", "friend", "--yes", codes=(1, 3)))["vaults"]
    assert "may not mend it" in refused["trouble"]
    found = told(world.keeper.run("vault", "scrub", "friend", codes=(1,)))["vaults"][0]["damaged"]
    assert sorted(one["object"] for one in found) == names
    (mended,) = told(world.keeper.run("vault", "repair", "friend", "--yes"))["vaults"]
    assert {one["object"]: one["repaired_from"] for one in mended["damaged"]} == dict.fromkeys(names, "kept")
    for name, data in before.items():
        assert (world.vault / name).read_bytes() == data, name
    assert told(world.keeper.run("vault", "scrub", "friend"))["ok"]
    assert len(list((world.vault / "aside").iterdir())) == 3, "what was damaged is set aside, not gone"
    # The service goes on in the vault that was mended beneath it.
    world.core.start()
    client = world.core.client("ada", PASSWORD)
    until(lambda: client.put(f"{HOME}contacts/default/later.vcf", card("later", random.Random(1)), CARD).status == 201)
    assert world.core.stop() == 0


@pytest.mark.long
def test_a_drill_there_tells_of_damage(world: World) -> None:
    world.keeper.run("keeper", "run", "--once")  # its own copy is what it mends from
    before = spoil(world)
    drilled = told(world.keeper.run("drill", "run", "--vault", "friend", codes=(1,)))
    assert not drilled["ok"] and {one["object"] for one in drilled["damaged"]} & set(before)
    told(world.keeper.run("vault", "repair", "friend", "--yes"))
    assert told(world.keeper.run("drill", "run", "--vault", "friend"))["ok"]
