"""What the core's own credentials can do to a vault at a vault server: each attack by its name.

An attack is given the world and what was there before it. What it must not come to, it asserts itself where the server
answers; that nothing that was there is changed is for who calls it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from safehold.adapters.vault_http import DIGEST, NUMBER, SESSION, content_digest, join
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.vault_urls import _access, redeem_code
from safehold.config import load, write_default
from safehold.formats import vaultwire
from safehold.formats.run import parse_run_name
from safehold.formats.vaultcode import parse_code
from safehold.formats.vaultwire import is_change
from safehold.lab.world import SimClock
from safehold.model.errors import SafeholdError
from safehold.ports.core import LogPosition
from safehold.ports.link import NotSent
from safehold.ports.log import LogFrame
from safehold.ports.vault import VaultFull
from safehold.vault.keyring import Keyring
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from safehold.vault.remote import RemoteVault
from tests.support.hostile import (
    YEARS,
    World,
    attack_with_garbage,
    flood,
    forge,
    shadow,
    thinned,
)
from tests.support.keeper import own_folder
from tests.support.runs import Generations
from tests.support.vault_http import HttpServer

QUOTA_BYTES = 8 * 1024 * 1024
OTHER = bytes(range(50, 66))


class ServedWorld(World):
    """An installation whose only vault is at a server, where another guest has one too."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = HttpServer(root / "server")
        self.server.start()
        #: One-time codes that were used, and requests that were sent, as whoever listens on the host has them.
        self.codes: list[str] = []
        self.recorded: list[bytes] = []
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
        self.codes.append(code)
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


class Loot(NamedTuple):
    """What the attacker has, and what was there when they came."""

    world: ServedWorld
    before: dict[str, bytes]
    keyring: Keyring
    end: LogPosition
    opened: int  # the claim of the timeline that is written

    @property
    def guest(self) -> str:
        return self.world.folder.parent.name

    @property
    def token(self) -> bytes:
        site = self.world.installation
        return _access(site.config.vaults[0], self.world.data, site.disk).token

    def newest_segment(self) -> str:
        return max(name for name in self.before if name.startswith("log/"))


def loot(world: ServedWorld) -> Loot:
    keyring = world.installation.keyring
    reader = VaultLogReader([world.kept()], keyring.opener)
    opened = [e for e in reader.entries() if isinstance(e, LogFrame) and e.claim][-1].position.frame
    return Loot(world, world.objects(), keyring, reader.end(), opened)


_HELLO = vaultwire.Hello(vaultwire.VERSION)


def overwrite(has: Loot) -> None:
    """Put over everything that is there, and append over what is in it."""
    vault = has.world.remote()
    for name, data in has.before.items():
        assert not vault.put(name, [b"overwritten"])
        if data:
            with pytest.raises(SafeholdError):
                vault.append(name, len(data) // 2, b"overwritten")
    _verbs(has, "Replace", "Overwrite", "Rename")


def delete(has: Loot) -> None:
    """By verbs that there are not, and by every method that HTTP has for it."""
    _verbs(has, "Remove", "Delete", "SetAside", "PurgeAside", "Expire")
    guest, server = has.guest, has.world.server
    for method in ("DELETE", "PUT", "PATCH", "GET", "MOVE", "PROPFIND"):
        for path in (
            f"/v1/{guest}",
            f"/v1/{guest}/FORMAT",
            f"/v1/{guest}/vault/FORMAT",
            f"/installations/{guest}/vault",
        ):
            said = server.say(method, path, b"", {"Authorization": f"Bearer {has.token.hex()}"})
            assert said.status in (404, 405), (method, path)


def shorten(has: Loot) -> None:
    """Appends that say that the object is shorter, or longer, than it is."""
    _verbs(has, "Truncate", "Shorten")
    vault = has.world.remote()
    for name, data in has.before.items():
        for expected in {0, max(0, len(data) - 1), len(data) + 1} - {len(data)}:
            for added in (b"", b"x"):
                if not expected and not added:
                    continue  # an append of nothing to nothing
                with pytest.raises(SafeholdError):
                    vault.append(name, expected, added)


def shadowing(has: Loot) -> None:
    """Timelines and segments, signed, that make void what came before them."""
    shadow(has.world, has.keyring, has.end, has.opened)


def forging(has: Loot) -> None:
    """Generations and evidence, signed, that say that what is good may go."""
    forge(has.world, has.keyring, has.end, 1_790_000_000_000_000)


def rolled_clocks(has: Loot) -> None:
    """The same with clocks ten years ahead, and at the beginning of time; and frames that bear such times."""
    for number, at in enumerate((YEARS * 6, 0), 1):
        forge(has.world, has.keyring, has.end._replace(frame=has.end.frame + 10 * number), at)


def garbage(has: Loot) -> None:
    """A frame that the writer signed and nobody can open, and bytes that are no frame at all."""
    attack_with_garbage(has.world, has.keyring, has.end, has.opened)


def garbage_runs(has: Loot) -> None:
    """Manifests that are signed and name runs of garbage, for generations to come and for one that was never."""
    vault, drawn = has.world.remote(), random.Random(20261127)
    for frame in (has.end.frame - 1, has.end.frame + 1, has.end.frame + 2000):
        made = MemoryVault("made")
        Generations([made], has.keyring.sealer).make(
            thinned(vault, has.keyring, has.end), has.end._replace(frame=frame), at=1_790_000_000_000_000
        )
        for info in list(made.list("runs/")):
            data = made.get(info.name)
            if parse_run_name(info.name) is not None:
                data = data[:200] + drawn.randbytes(len(data) - 200)
            vault.put(info.name, [data])
    for number in range(20):
        vault.put(f"runs/{has.end.frame + 3000 + number:012d}/000.run", [drawn.randbytes(5000)])


def replayed_requests(has: Loot) -> None:
    """Everything that was sent while they listened, once more: in its own link, and in others."""
    world, drawn = has.world, random.Random(20261127)
    changes = [request for request in world.recorded if is_change(request)]
    assert len(changes) > 20
    for number, request in enumerate(drawn.sample(changes, 20)):
        session = f"{number + 100:032x}"
        assert world.server.ask(has.guest, _HELLO, session, 1, has.token).status == 200
        for _ in range(2):
            said = world.server.ask(has.guest, request, session, 2, has.token)
            assert said.status in (409, 410, 503, 200), said.status
            asked = vaultwire.parse_request(request)
            nothing = isinstance(asked, vaultwire.Append) and not asked.data  # writes what is there once more
            assert said.status != 200 or said.answer == vaultwire.Flag(nothing), request[:60]
        assert world.server.ask(has.guest, request, session, 7, has.token).status == 410


def replayed_tokens(has: Loot) -> None:
    """Codes that were used, for this token and for another; the token for others' vaults, and where there is none."""
    world, server = has.world, has.world.server
    known = server.server.guests.find(has.guest).record.tokens
    for text in world.codes:
        code = parse_code(text)
        url = f"{code.address}/v1/{code.guest.hex()}"
        for installation in (world.installation.opener.installation, OTHER):
            with pytest.raises(NotSent):
                join(url, code.pin, code.secret, installation, sha256(b"another token").digest())
        join(url, code.pin, code.secret, world.installation.opener.installation, sha256(has.token).digest())
    server.server.guests.load()
    assert server.server.guests.find(has.guest).record.tokens == known
    stranger = server.ask("e" * 32, _HELLO, "c" * 32, 1, has.token)
    own = world.installation.opener.installation.hex()
    for place in (world.neighbour, f"{has.guest}/../{world.neighbour}", own):
        said = server.ask(place, _HELLO, "c" * 32, 1, has.token)
        assert said.status in (401, 404) and (said.status == 404 or said.body == stranger.body), place


def rubbish(has: Loot) -> None:
    """What is no request, in links of its own."""
    drawn, server = random.Random(20261127), has.world.server
    for number in range(100):
        session = f"{number + 1000:032x}"
        server.ask(has.guest, _HELLO, session, 1, has.token)
        body = drawn.randbytes(drawn.randrange(200))
        headers = {
            "Authorization": f"Bearer {has.token.hex()}",
            SESSION: session,
            NUMBER: "2",
            DIGEST: content_digest(body),
        }
        assert server.say("POST", f"/v1/{has.guest}", body, headers).status in (410, 400)


def unfinished_uploads(has: Loot) -> None:
    """Begun, filled, and left there."""
    server = has.world.server
    for number in range(12):
        session = f"{number + 5000:032x}"
        server.ask(has.guest, _HELLO, session, 1, has.token)
        assert server.ask(has.guest, vaultwire.Put(f"keys/never{number}"), session, 2, has.token).status == 200
        said = server.ask(has.guest, vaultwire.Piece(bytes(1_000_000)), session, 3, has.token)
        assert said.status in (200, 507)
    with suppress(VaultFull):
        has.world.remote().put("keys/small", [b"x"])


def flooding(has: Loot) -> None:
    """Until nothing more is taken, in every way that there is."""
    flood(has.world)


#: In the order of a thief who wants to be found out late. Each is known by this name in docs/vault-server.md.
ATTACKS: dict[str, Callable[[Loot], None]] = {
    "replayed tokens": replayed_tokens,
    "replayed requests": replayed_requests,
    "overwrite": overwrite,
    "delete": delete,
    "shorten": shorten,
    "shadow": shadowing,
    "forge": forging,
    "rolled clocks": rolled_clocks,
    "garbage runs": garbage_runs,
    "garbage": garbage,
    "rubbish": rubbish,
    "unfinished uploads": unfinished_uploads,
    "flood": flooding,
}


def _verbs(has: Loot, *verbs: str) -> None:
    """Requests that there are not: each ends its link."""
    for number, verb in enumerate(verbs):
        session = sha256(f"{verb} {number}".encode()).hexdigest()[:32]
        assert has.world.server.ask(has.guest, _HELLO, session, 1, has.token).status == 200
        request = msgspec.msgpack.encode([verb, "FORMAT", "x", 0, b""])
        assert has.world.server.ask(has.guest, request, session, 2, has.token).status == 410
