"""All that the core's own credentials can do to a vault that somebody else holds, and whom it is done to."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from safehold.adapters.vault_link import UnixLink
from safehold.assembly.installation import Installation, open_installation
from safehold.assembly.keeper import init_keeper
from safehold.assembly.snapshot import take_snapshot
from safehold.config import Config, load, write_default
from safehold.formats import evidence as evidence_format
from safehold.formats import vaultwire
from safehold.formats.evidence import Evidence
from safehold.formats.frame import FrameHeader, FrameType, encode_frame
from safehold.formats.segment import SegmentName
from safehold.lab.world import SimClock
from safehold.model.commands import AddAccount, Body, DeleteItem, PutItem
from safehold.model.errors import SafeholdError
from safehold.ports.core import LogPosition
from safehold.ports.link import NoAnswer, NotSent
from safehold.ports.log import LogFrame
from safehold.ports.vault import Vault, VaultFull
from safehold.recovery.keeper import VaultKeeper
from safehold.recovery.retention import Policy
from safehold.store.realdisk import RealDisk
from safehold.vault.evidence import put_evidence
from safehold.vault.folder import FolderVault
from safehold.vault.keeping import KeptFolderVault
from safehold.vault.keyring import Keyring
from safehold.vault.log import VaultLogReader
from safehold.vault.remote import RemoteVault
from tests.support.keeper import CORE_USER, KEEPER_USER, KeeperProcess, own_folder
from tests.support.runs import Framed, Generations, framed
from tests.support.thief import FORKS, Thief

YEARS = 10 * 365 * 86_400 * 1_000_000
ROOM_BYTES = 24 * 1024 * 1024
ANN = b"\0" + bytes(range(15))


def card(number: int, text: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c{number}\r\nFN:Card {number} {text}\r\nN:;;;;\r\nEND:VCARD\r\n".encode()


class World:
    """An installation whose only vault is a keeper's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = own_folder(root / "data", None)
        write_default(self.data / "safehold.toml")
        installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        self.folder = own_folder(root / "kept", KEEPER_USER) / "vault"
        FolderVault.create("kept", str(self.folder), RealDisk(), installation.opener.installation).close()
        self._give(self.folder, KEEPER_USER)
        run = own_folder(root / "run", KEEPER_USER)
        run.chmod(0o755)
        self.address = run / "kept.sock"
        self.keeper = KeeperProcess(self.folder, self.address, KEEPER_USER, room=ROOM_BYTES)
        self.keeper.start()
        installation.vault_add("kept", f"keeper:{self.address}", "sync")
        (self.data / "safehold.toml").write_text(f'[vaults.kept]\nurl = "keeper:{self.address}"\nmode = "sync"\n')
        shutil.rmtree(self.data / "vaults")
        self.installation = open_installation(self.data, load(self.data / "safehold.toml"), make=True)
        self.clock = SimClock()
        self.clock.advance(1_790_000_000)

    @staticmethod
    def _give(path: Path, uid: int) -> None:
        for each in (path, *path.rglob("*")):
            os.chown(each, uid, uid)

    def live(self, first: int, count: int) -> None:
        """Acknowledge some."""
        with self.installation.session() as session:
            if session.reads.account_named("ann") is None:
                session.execute(AddAccount(account=ANN, name="ann", password="hash"))
            for number in range(first, first + count):
                session.execute(put(number, card(number)))
                if number % 3 == 0:
                    session.execute(put(number, card(number, "again")))
                if number % 5 == 0:
                    session.execute(DeleteItem(account=ANN, path="contacts/default", name=f"{number}.vcf"))

    def attest(self) -> list[bool]:
        verdicts = [verdict.facts.ok for verdict in self.keep().attest()]
        self._give(self.folder, KEEPER_USER)
        return verdicts

    def retain(self) -> None:
        self.keep().retain(self.kept())
        self._give(self.folder, KEEPER_USER)

    def keep(self) -> VaultKeeper:
        """The keeper's work, with its key, which the core's user has not. It is done by root here, and given over."""
        keyring = self.installation.keyring
        assert keyring.keeper is not None
        return VaultKeeper(self.kept(), [], keyring.keeper, keyring.opener, self.clock, Policy())

    def remote(self) -> RemoteVault:
        address = str(self.address)
        return RemoteVault("kept", address, lambda: UnixLink(address))

    def kept(self) -> KeptFolderVault:
        return KeptFolderVault(
            "kept", str(self.folder), RealDisk(), self.installation.opener.installation, clock=self.clock
        )

    def snapshot(self) -> int:
        taken = take_snapshot(self.installation, full=False, workers=1)
        assert taken.sealed and not taken.down
        return taken.written.generation

    def objects(self) -> dict[str, bytes]:
        vault = self.kept()
        return {info.name: vault.get(info.name) for info in vault.list()}


def put(number: int, body: bytes) -> PutItem:
    return PutItem(
        account=ANN,
        path="contacts/default",
        name=f"{number}.vcf",
        body=Body(sha256(body).digest(), len(body), body),
        media="text/vcard",
        uid=f"c{number}",
    )


def truth_of(installation: Installation) -> tuple[dict[str, bytes], dict[tuple[bytes, str, int], bytes]]:
    """Every item with its body, and the hash of every change but those of the installation's own identity."""
    reads = installation.open_reads()
    try:
        items: dict[str, bytes] = {}
        for account in reads.accounts():
            for collection in reads.collections(account.number):
                names = [item.name for item in reads.items(collection)]
                for item, stored in reads.items_with_bodies(collection, names):
                    items[f"{account.name}/{collection.path}/{item.name}"] = stored.inline or b""
        changes = {(c.account, c.kind, c.rev): c.hash for _, _, c in reads.changes(limit=100_000) if c.account == ANN}
        return items, changes
    finally:
        reads.close()


# -- what they do


def attack_files(world: World, segment: str, pid: int) -> None:
    """Each of these is refused by the system."""
    folder = world.folder
    victim = folder / segment
    acts: list[Callable[[], object]] = [
        lambda: os.listdir(folder),
        lambda: os.listdir(folder.parent),
        lambda: os.open(folder / "FORMAT", os.O_RDONLY),
        lambda: os.open(victim, os.O_RDWR),
        lambda: os.open(victim, os.O_WRONLY | os.O_APPEND),
        lambda: os.open(folder / "tmp" / "x", os.O_WRONLY | os.O_CREAT),
        lambda: os.truncate(victim, 0),
        lambda: os.unlink(victim),
        lambda: os.rename(victim, world.data / "stolen"),
        lambda: os.link(victim, world.data / "stolen"),
        lambda: os.rename(folder, world.data / "stolen"),
        lambda: os.rename(folder.parent, world.root / "elsewhere"),
        lambda: os.symlink("/tmp", folder / "log" / "x"),
        lambda: os.rmdir(folder / "tmp"),
        lambda: os.chmod(folder, 0o777),
        lambda: os.chmod(folder.parent, 0o777),
        lambda: os.chown(folder, CORE_USER, CORE_USER),
        lambda: shutil.rmtree(folder),
        lambda: os.unlink(world.address),
        lambda: os.rename(world.address, world.data / "sock"),
        lambda: os.kill(pid, 9),
        lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR),
        lambda: os.listdir(f"/proc/{pid}/root/{folder}"),
    ]
    for number, act in enumerate(acts):
        try:
            act()
        except (PermissionError, FileNotFoundError):
            continue
        raise AssertionError(f"the core's user could do number {number}")


def attack_socket(world: World) -> None:
    """Rubbish, requests that there are not, lengths that are lies, connections that hang: the keeper answers on."""
    import msgspec

    greeting = vaultwire.encode(vaultwire.Hello(vaultwire.VERSION))
    verbs = (
        "Remove",
        "Replace",
        "SetAside",
        "PurgeAside",
        "Rename",
        "Truncate",
        "Delete",
        "Overwrite",
        "Close",
        "Put2",
    )
    for request in (
        *(msgspec.msgpack.encode([verb, "FORMAT", "x", 0, b""]) for verb in verbs),
        b"",
        b"\xc1" * 100,
        msgspec.msgpack.encode([[[[]]]] * 1000),
        vaultwire.encode(vaultwire.Piece(b"x")),
    ):
        link = UnixLink(str(world.address), answer_seconds=5)
        link.ask(greeting)
        with pytest.raises((NoAnswer, NotSent)):
            link.ask(request)
    held = []
    for _ in range(40):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(world.address))
        sock.sendall(struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000)
        held.append(sock)
    for _ in range(40):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(world.address))
        sock.sendall(struct.pack(">I", 1000) + b"half")
        held.append(sock)
    assert remote(world).size("FORMAT")
    for sock in held:
        sock.close()


def remote(world: World) -> RemoteVault:
    """As whoever has the core's credentials opens it."""
    return world.remote()


def attack_objects(world: World, before: dict[str, bytes]) -> None:
    """Put and append over everything that is there."""
    vault = remote(world)
    for name, data in before.items():
        assert not vault.put(name, [b"overwritten"])
        for expected in {0, len(data) // 2, len(data) - 1, len(data) + 1}:
            with pytest.raises(SafeholdError):
                vault.append(name, expected, b"overwritten")


def attack_with_keys(world: World, keyring: Keyring, end: LogPosition, opened: int) -> None:
    """Forks, generations and evidence, signed by the writer's key; the clock is ten years ahead."""
    shadow(world, keyring, end, opened)
    forge(world, keyring, end, YEARS)


def shadow(world: World, keyring: Keyring, end: LogPosition, opened: int) -> None:
    """Timelines and segments that would make void what came before them."""
    thief = Thief(remote(world), end, opened, keyring.sealer, YEARS)
    for fork in FORKS.values():
        with suppress(SafeholdError):  # one that finds its name taken by another is told so, and no more
            fork(thief)


def forge(world: World, keyring: Keyring, end: LogPosition, at: int) -> None:
    """Generations without what is good, and evidence that says they were attested and the rest may go. `at`: µs."""
    vault, sealer = remote(world), keyring.sealer
    false = Generations([vault], sealer)
    false.make(thinned(vault, keyring, end), end, at=at)
    attested = false._previous[1].hex()
    false.make([], end._replace(frame=end.frame + 1000), at=at)
    clock = SimClock()
    clock.advance(at / 1_000_000)
    manifest = f"runs/{end.frame:012d}/generation"
    said = {"receipt": at, "clock": at}
    for kind, facts in (
        ("attest", {"generation": end.frame, "manifest": attested, **said}),
        ("retain", {"log_from": (99, 10**9), "removed": [manifest], "horizon": end.frame, **said}),
    ):
        value = Evidence(evidence_format.VERSION, kind, 0, "kept", end, b"", facts)
        put_evidence([vault], sealer, clock, value)


def thinned(vault: Vault, keyring: Keyring, end: LogPosition) -> list[Framed]:
    """The history, but for most of what is good."""
    entries = [e for e in VaultLogReader([vault], keyring.opener).entries() if isinstance(e, LogFrame)]
    history = [(f, c) for f, c in framed(entries) if f <= end.frame]
    return [(f, c) for f, c in history if c.account != ANN or c.rev < 3]


def attack_with_garbage(world: World, keyring: Keyring, end: LogPosition, opened: int) -> None:
    """A frame that the writer signed and nobody can open, and bytes that are no frame at all."""
    vault = remote(world)
    name = SegmentName(end.timeline, 60, end.frame + 1)
    thief = Thief(vault, end, opened, keyring.sealer, YEARS)
    header = FrameHeader(
        FrameType.CHANGES, end.timeline, end.timeline - 1, opened, end.frame + 1, YEARS, 7, 1000, end.digest
    )
    frame = encode_frame(header, os.urandom(1000), keyring.sealer.writer.sign)
    vault.append(str(name), 0, thief.segment(name, frame, os.urandom(5000), closed=False))


def flood(world: World) -> None:
    """Until nothing more is taken, in every way that there is."""
    vault = remote(world)
    number = 0
    for size in (1_000_000, 20_000, 100):
        with suppress(VaultFull):
            while number < 5000:
                name = os.urandom(32).hex()
                vault.put(f"blobs/{name[:2]}/{name}", [os.urandom(size)])
                number += 1
    with pytest.raises(VaultFull):
        for number in range(10_000):
            vault.put(f"evidence/{YEARS + number:016d}-00000000.ev", [b"x" * 1000])


def keeper_folder(world: World) -> Path:
    """Where the keeper of the kept vault has its keys. Its commands are given by root here."""
    folder = world.root / "keeper"
    init_keeper(folder, keys=world.data / "keys", pull=[], socket="", name="kept", based_on=Config())
    shutil.rmtree(folder / "vault")
    config = folder / "safehold.toml"
    config.write_text(config.read_text().replace("folder:vault", f"folder:{world.folder}"))
    return folder


def recovered(world: World, name: str) -> tuple[dict[str, bytes], dict[tuple[bytes, str, int], bytes]]:
    """What a machine has after a recovery that has nothing but the vault and the keys."""
    data = own_folder(world.root / name, None)
    shutil.copytree(world.data / "keys", data / "keys")
    shutil.copy(world.data / "safehold.toml", data / "safehold.toml")
    there = Installation(data, load(data / "safehold.toml"), data / "safehold.toml")
    plan = there.recovery_plan()
    result = there.recover(plan)
    assert result is not None
    return truth_of(there)
