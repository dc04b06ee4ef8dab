"""All that the core's own credentials can do to a vault at a vault server: its token, its keys, and patience.

An installation lives with one vault, at a server. Then somebody has everything that lies on its host, and does what
they can: over HTTP, by hand and with the client; with forks, false generations, evidence and garbage that they sign,
and a clock ten years ahead; with requests that they have recorded; with floods; and for a month with deletes that look
like anybody's, while the keeper attests and retains.

Afterwards each object that was there is there byte for byte, and a bare machine gets back, from the server and the
recovery key, every item and every change that was acknowledged before.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.adapters.vault_http import DIGEST, NUMBER, SESSION, HttpLink, content_digest
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.vault_server import read_refused
from safehold.assembly.vault_server_alarms import ServerAlarms
from safehold.assembly.vault_urls import _access, redeem_code
from safehold.cli.main import main
from safehold.config import load, write_default
from safehold.formats import vaultwire
from safehold.lab.world import SimClock
from safehold.model.commands import DeleteItem
from safehold.ports.link import NoAnswer, NotSent
from safehold.ports.log import LogFrame
from safehold.service.items import stamp
from safehold.vault.log import VaultLogReader
from safehold.vault.remote import RemoteVault
from tests.support.hostile import (
    ANN,
    World,
    attack_objects,
    attack_with_garbage,
    attack_with_keys,
    card,
    flood,
    put,
    truth_of,
)
from tests.support.keeper import own_folder
from tests.support.vault_http import HttpServer

QUOTA_BYTES = 8 * 1024 * 1024
OTHER = bytes(range(50, 66))


class ServedWorld(World):
    """An installation whose only vault is at a server, where another guest has one too."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = HttpServer(root / "server")
        self.server.start()
        self.neighbour = self.server.invite("neighbour", installation=OTHER, token=bytes(32))
        self.server.vault(self.neighbour, bytes(32), installation=OTHER).put("keys/theirs", [b"theirs"])
        self.data = own_folder(root / "data", None)
        write_default(self.data / "safehold.toml")
        installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        url = self.come(installation, "")
        installation.vault_add("kept", url, "sync")
        (self.data / "safehold.toml").write_text(f'[vaults.kept]\nurl = "{url}"\nmode = "sync"\n')
        shutil.rmtree(self.data / "vaults")
        self.installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        self.folder = self.server.folder(url.rpartition("/")[2])
        self.clock = SimClock()
        self.clock.advance(1_790_000_000)

    def come(self, installation: Installation, again: str) -> str:
        guest, code = self.server.server.invite("ann", again=again, quota_bytes=QUOTA_BYTES)
        self.server.host.refresh()
        del guest
        return redeem_code(
            code, installation.data, installation.disk, installation.entropy, installation.opener.installation
        )

    @staticmethod
    def _give(path: Path, uid: int) -> None:
        """The server's user is this one."""

    def remote(self) -> RemoteVault:
        return self.installation.vault(self.installation.config.vaults[0])  # type: ignore[return-value]

    def bare(self, name: str, *, to: int | None = None) -> Installation:
        """A machine that has nothing but the recovery key and a code, after its recovery."""
        data = own_folder(self.root / name, None)
        there = Installation(data, load(data / "safehold.toml"), data / "safehold.toml")
        identity = self.data / "keys" / "recovery.txt"
        _, code = self.server.server.invite(again="ann", quota_bytes=1 << 30)
        self.server.host.refresh()
        plan = there.recovery_plan(vault=code, identity=identity, to=to)
        assert there.recover(plan, identity=identity) is not None
        return there


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ServedWorld]:
    found = ServedWorld(tmp_path)
    yield found
    found.server.stop()


def attack_http(world: ServedWorld, before: dict[str, bytes]) -> None:
    """By hand, with the stolen token: verbs that there are not, another's vault, what was recorded, and rubbish."""
    import msgspec

    server, guest = world.server, world.folder.parent.name
    token = _access(world.installation.config.vaults[0], world.data, world.installation.disk).token
    verbs = ("Remove", "Replace", "SetAside", "PurgeAside", "Rename", "Truncate", "Delete", "Overwrite")
    for number, verb in enumerate(verbs):
        session = f"{number:032x}"
        hello = vaultwire.Hello(vaultwire.VERSION)
        assert server.ask(guest, hello, session, 1, token).status == 200
        request = msgspec.msgpack.encode([verb, "FORMAT", "x", 0, b""])
        assert server.ask(guest, request, session, 2, token).status == 410
    for method in ("DELETE", "PUT", "PATCH", "GET", "MOVE", "PROPFIND"):
        for path in (
            f"/v1/{guest}",
            f"/v1/{guest}/FORMAT",
            f"/v1/{guest}/vault/FORMAT",
            f"/installations/{guest}/vault",
        ):
            said = server.say(method, path, b"", {"Authorization": f"Bearer {token.hex()}"})
            assert said.status in (404, 405), (method, path)
    stranger = server.ask("e" * 32, hello, "c" * 32, 1, token)
    for place in (world.neighbour, f"{guest}/../{world.neighbour}", world.installation.opener.installation.hex()):
        said = server.ask(place, hello, "c" * 32, 1, token)
        assert said.status in (401, 404) and (said.status == 404 or said.body == stranger.body), place
    # Everything that was ever sent, once more: in its own link it is answered and not done, in another it is judged.
    segment = max(name for name in before if name.startswith("log/"))
    recorded = [
        vaultwire.Append(segment, 0, before[segment][:100]),
        vaultwire.Append(segment, len(before[segment]) - 10, before[segment][-10:]),
        vaultwire.Put(segment),
    ]
    for number, request in enumerate(recorded):
        session = f"{number + 100:032x}"
        server.ask(guest, hello, session, 1, token)
        for _ in range(2):
            said = server.ask(guest, request, session, 2, token)
            assert said.status in (409, 503, 200)
            assert said.status != 200 or said.answer == vaultwire.Flag(False)
    drawn = random.Random(20261127)
    for number in range(200):
        session = f"{number + 1000:032x}"
        server.ask(guest, hello, session, 1, token)
        body = drawn.randbytes(drawn.randrange(200))
        headers = {
            "Authorization": f"Bearer {token.hex()}",
            SESSION: session,
            NUMBER: "2",
            DIGEST: content_digest(body),
        }
        assert server.say("POST", f"/v1/{guest}", body, headers).status in (410, 400)


def end_of(world: ServedWorld) -> tuple[VaultLogReader, int]:
    reader = VaultLogReader([world.kept()], world.installation.keyring.opener)
    return reader, [e for e in reader.entries() if isinstance(e, LogFrame) and e.claim][-1].position.frame


def test_nothing_acknowledged_is_lost_whatever_is_on_the_cores_host(world: ServedWorld) -> None:
    for number in range(2):
        world.live(number * 10, 10)
        world.snapshot()
        assert world.attest() == [True]
        world.clock.advance(86_400)
    world.live(100, 7)
    items, changes = truth_of(world.installation)
    reader, opened = end_of(world)
    end = reader.end()
    before = world.objects()
    keyring = world.installation.keyring
    neighbours = sha256((world.server.folder(world.neighbour) / "keys" / "theirs").read_bytes()).digest()

    attack_http(world, before)
    attack_objects(world, before)
    attack_with_keys(world, keyring, end, opened)
    # The server says from when on, by its own clock, and after which frame: all that was good came before.
    refused = read_refused(world.server.server, world.folder.parent.name)
    assert refused is not None and refused.frame == end.frame and refused.count > 20
    (told,) = [t.alarm for t in ServerAlarms(world.server.server, world.server.config).look() if t.alarm.key == "ann"]
    assert told.what == "forks refused" and f"after frame {end.frame}" in told.message
    attack_with_garbage(world, keyring, end, opened)
    flood(world)

    after = world.objects()
    assert {name: after.get(name, b"")[: len(data)] for name, data in before.items()} == before
    assert all(after[name] == before[name] for name in before if not name.startswith("log/"))
    assert sha256((world.server.folder(world.neighbour) / "keys" / "theirs").read_bytes()).digest() == neighbours
    theirs = world.server.vault(world.neighbour, bytes(32), installation=OTHER)
    assert theirs.put("keys/more", [b"x"])  # a flood in one vault fills no other

    # The keeper attests nothing of that, and retention removes nothing that it may not.
    assert not any(world.attest())
    world.retain()
    assert set(before) <= set(world.objects())

    # The host is gone, and its token is taken back; another machine has the recovery key and a code.
    (digest,) = [t.digest for t in world.server.server.guests.find("ann").record.tokens]
    world.server.server.guests.revoke(digest)
    with pytest.raises((NotSent, NoAnswer)):
        HttpLink(lambda: _access(world.installation.config.vaults[0], world.data, world.installation.disk)).ask(
            vaultwire.encode(vaultwire.Hello(vaultwire.VERSION))
        )
    there = world.bare("bare")
    assert truth_of(there) == (items, changes)
    # Its report says from when on, by the server's clock, and the alarm's frame.
    found = [one for one in there.recovery_reports()[0].suspect if one.what == "refused"]
    assert [(one.vault, one.at, one.frame) for one in found] == [("given", refused.first, end.frame)]


def test_a_month_of_patience_makes_retention_drop_nothing_that_was_good(world: ServedWorld) -> None:
    world.live(0, 20)
    world.snapshot()
    assert world.attest() == [True]
    items, _ = truth_of(world.installation)
    good = stamp(world.installation.clock.now())
    # Every day some items go, as if somebody tidied up, and rubbish comes; generations are written, and kept, of that.
    left = sorted(name for name in items if name.startswith("ann/contacts/"))
    for day in range(30):
        world.clock.advance(86_400)
        with world.installation.session() as session:
            for name in left[day::30]:
                collection, _, item = name.removeprefix("ann/").rpartition("/")
                session.execute(DeleteItem(account=ANN, path=collection, name=item))
            session.execute(put(1000 + day, card(1000 + day)))
        if day % 6 == 0:
            world.snapshot()
            assert world.attest() == [True]
            world.retain()
    assert not set(left) & set(truth_of(world.installation)[0])
    there = world.bare("bare")
    assert main(["--data", str(there.data), "undo", "ann", "--kind", "contacts", "--to", good, "--yes"]) == 0
    back, _ = truth_of(there)
    assert {name: back.get(name) for name in left} == {name: items[name] for name in left}


def test_a_thief_who_removes_names_and_passwords_hinders_no_recovery(world: ServedWorld) -> None:
    world.live(0, 10)
    items, _ = truth_of(world.installation)
    good = world.installation.clock.now()
    with world.installation.session() as session:  # no command of ours does that
        for name in sorted(items):
            collection, _, item = name.removeprefix("ann/").rpartition("/")
            session.execute(DeleteItem(account=ANN, path=collection, name=item))
    assert truth_of(world.bare("after"))[0] == {}
    back, _ = truth_of(world.bare("before", to=good))
    # Identities are not set back in time: the account has no name, and everything that was in it.
    cards = {name.removeprefix("ann"): body for name, body in items.items() if name.startswith("ann/contacts/")}
    assert len(cards) == 8 and back == cards
