"""Over the wire only what is damaged gives way, and only to what proves itself, whoever sends it."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import pytest

from safehold.assembly.mending_here import mend_here
from safehold.formats import blob, vaultwire
from safehold.formats.frame import FrameType
from safehold.formats.segment import SegmentName
from safehold.formats.vaultwire import Finish, Flag, Hello, Mend, Piece, Put, Refusal, Request
from safehold.lab.simdisk import SimDisk
from safehold.vault.folder import FolderVault
from safehold.vault.served import ServedSession, ServedVault
from tests.support.changes import Streams
from tests.support.logs import (
    INSTALLATION,
    SEALER,
    SMALL,
    Writing,
    folder_vault,
    make_vault,
    objects,
    read,
    sealed_blob,
)
from tests.support.thief import Thief

NAME = sha256(b"photo").digest()
BLOB = blob.blob_object(NAME)


class World:
    """A served vault with a log of two timelines, several segments each, and a large body."""

    def __init__(self) -> None:
        self.disk = SimDisk()
        make_vault(self.disk, "v").close()
        self.streams = Streams()
        self.one = self.life()
        self.two = self.life(self.one)
        self.vault.put(BLOB, [sealed_blob(NAME, b"a photo")])
        self.before = objects(self.vault)
        mend = partial(mend_here, "/v", self.disk, self.two.clock)
        self.served = ServedVault("/v", self.disk, INSTALLATION, reserve_bytes=0, mend=mend, refused=self.noted)
        self.void: list[str] = []

    def noted(self, why: str) -> None:
        self.void.append(why)

    def life(self, before: Writing | None = None) -> Writing:
        core = {} if before is None else {"core": before.log.position}
        writing = Writing([self.vault], streams=self.streams, limits=SMALL, **core)
        writing.write(20)
        if before is None:
            writing.log.close()
        return writing

    @property
    def vault(self) -> FolderVault:
        return folder_vault(self.disk, "v", "/v")

    def segments(self) -> list[str]:
        return sorted(name for name in self.before if name.startswith("log/"))

    def spoil(self, name: str, data: bytes | None = None) -> bytes:
        """Damage, or other bytes."""
        raw = bytearray(self.before[name])
        raw[len(raw) // 2] ^= 1
        found = bytes(raw) if data is None else data
        file = self.disk.open(f"/v/{name}", write=True)
        file.truncate(0)
        file.write_at(0, found)
        file.close()
        return found

    def send(self, name: str, data: bytes, **rights: bool) -> object:
        session = ServedSession(self.served, **(rights or {"may_append": False, "may_mend": True}))
        requests: list[Request] = [Hello(vaultwire.VERSION), Mend(name), Piece(data), Finish()]
        for request in requests:
            answer = session.answer(vaultwire.encode(request))
            assert answer is not None
            said = vaultwire.parse_answer(answer)
            if isinstance(said, Refusal) or said == Flag(False):
                break
        session.close()
        return said


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_damaged_is_mended_and_what_was_there_is_set_aside(world: World) -> None:
    assert len(world.segments()) > 4
    for name in (world.segments()[1], BLOB):
        was = world.spoil(name)
        assert world.send(name, world.before[name]) == Flag(True)
        assert world.vault.get(name) == world.before[name]
        aside = [f"/v/aside/{entry.name}" for entry in world.disk.list("/v/aside")]
        assert was in [file.read_at(0, file.size()) for file in map(world.disk.open, aside)]
        assert world.send(name, world.before[name]) == Flag(True), "again: its answer may have been lost"
    assert objects(world.vault) == world.before
    changes, holes, _ = read(world.vault)
    assert (changes, holes) == ([*world.one.acknowledged, *world.two.acknowledged], [])


def test_only_a_keepers_token_mends_and_it_appends_nothing(world: World) -> None:
    was = world.spoil(BLOB)
    for rights in ({"may_append": True}, {"may_append": False}):
        said = world.send(BLOB, world.before[BLOB], **rights)
        assert isinstance(said, Refusal) and "keeper's token" in said.message
    assert world.vault.get(BLOB) == was
    session = ServedSession(world.served, may_append=False, may_mend=True)
    session.answer(vaultwire.encode(Hello(vaultwire.VERSION)))
    name = world.segments()[-1]
    answer = session.answer(vaultwire.encode(vaultwire.Append(name, len(world.before[name]), b"x")))
    assert answer is not None
    said = vaultwire.parse_answer(answer)
    assert isinstance(said, Refusal) and "may only mend" in said.message
    reader = ServedSession(world.served, may_append=False)
    reader.answer(vaultwire.encode(Hello(vaultwire.VERSION)))
    answer = reader.answer(vaultwire.encode(Put("keys/a")))
    assert answer is not None and isinstance(vaultwire.parse_answer(answer), Refusal)


def test_what_is_sound_gives_way_to_nothing(world: World) -> None:
    other = sealed_blob(NAME, b"another photo")
    said = world.send(BLOB, other)
    assert isinstance(said, Refusal) and "sound by itself" in said.message
    world.spoil(BLOB)
    said = world.send(BLOB, b"rubbish" * 100)
    assert isinstance(said, Refusal) and "not sound" in said.message
    assert world.send("keys/none", b"x") == Flag(False)
    for name in ("FORMAT", "READER.py"):
        if name in world.before:
            assert isinstance(world.send(name, b"mine"), Refusal)


def test_a_signed_frame_gives_way_to_nothing_and_the_end_of_the_log_is_left_alone(world: World) -> None:
    first, second = world.segments()[1:3]
    sound = world.before[second]
    # Another's bytes; fewer frames; the same frames and forged ones, with a claim that continues another place.
    said = world.send(second, world.before[first])
    assert isinstance(said, Refusal)
    thief = Thief(world.vault, world.two.log.position, 1, SEALER)
    timeline, number = int(second.split("/")[1]), int(second.rsplit("-", 1)[0].rsplit("/", 1)[1])
    name = SegmentName(timeline, number, int(second.rsplit("-", 1)[1].removesuffix(".seg")))
    assert str(name) == second
    for spoilt in (False, True):
        if spoilt:
            world.spoil(second)
        said = world.send(second, thief.segment(name, thief.frame(timeline, 0, 1, name.first)))
        assert isinstance(said, Refusal), spoilt
    said = world.send(second, thief.segment(name, thief.frame(timeline, timeline, 2, 3, FrameType.CLAIM)))
    assert isinstance(said, Refusal) and world.void, "that would have made void what is there, and is noted"
    assert world.send(second, sound) == Flag(True)
    last = world.segments()[-1]
    was = world.spoil(last)
    said = world.send(last, world.before[last])
    assert isinstance(said, Refusal) and "still be written to" in said.message
    assert world.vault.get(last) == was
