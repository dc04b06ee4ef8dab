"""A vault served to a core of another user: what is refused, what a cut line means, and that room is kept (I54)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
import pytest

from safehold.formats import vaultwire
from safehold.formats.mark import NAME as MARK
from safehold.formats.mark import READER
from safehold.formats.segment import SegmentName, encode_footer, encode_header, header_for
from safehold.formats.vaultwire import Answer, Get, Hello, List, Put, Refusal, Request, Size
from safehold.lab.simdisk import SimDisk
from safehold.ports.vault import LengthMismatch, VaultDown, VaultFull, VaultSuspect, VaultUnanswered
from safehold.vault.folder import FolderVault
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedSession, ServedVault, may_be_put
from tests.support.links import Line, direct
from tests.support.logs import INSTALLATION, SEALER, make_vault, objects

NAME = SegmentName(1, 0, 0)
A = str(NAME)
LATER = str(SegmentName(2, 0, 0))
BLOB = f"blobs/ab/{'ab' * 32}"


class Served:
    def __init__(self, reserve_bytes: int = 0, disk: SimDisk | None = None) -> None:
        self.disk = disk or SimDisk()
        make_vault(self.disk, "v")
        self.served = ServedVault("/v", self.disk, reserve_bytes=reserve_bytes)
        self.line = Line()
        self.vault = RemoteVault("v", "/v.sock", direct(self.served, self.line), INSTALLATION)

    @property
    def folder(self) -> FolderVault:
        return FolderVault("v", "/v", self.disk, INSTALLATION)


@pytest.fixture
def world() -> Served:
    return Served()


def ask(session: ServedSession, request: Request) -> Answer | None:
    answer = session.answer(vaultwire.encode(request))
    return None if answer is None else vaultwire.parse_answer(answer)


# -- what is refused


@pytest.mark.parametrize(
    "name",
    [
        *(A, BLOB, "runs/000000000007/000.run", "runs/000000000007/generation", "keys/root", "recovery/a/b"),
        "evidence/0001764155647000-0123abcd.ev",
    ],
)
def test_names_that_vaults_have_can_be_put(name: str) -> None:
    assert may_be_put(name)


@pytest.mark.parametrize(
    "name",
    [
        *(MARK, READER, "tmp/x", "aside/x", "x", "log/x", "blobs/ab/x", "../v2/x", "/etc/x", "", A + "\n"),
        *("keys/../FORMAT", "keys/.x", "keys/a/b/c", "keys/", "keys", "keys/ä", "keys/a\n", "keys/a\0"),
        *("log/00000001/../../FORMAT", "evidence/1-0123abcd.ev", "runs/7/generation"),
        *(f"blobs/ac/{'ab' * 32}", "keys/" + "x" * 101),
    ],
)
def test_other_names_cannot(world: Served, name: str) -> None:
    assert not may_be_put(name)
    if name in (MARK, READER):
        assert not world.vault.put(name, [b"x"])
    else:
        with pytest.raises(VaultDown):
            world.vault.put(name, [b"x"])
    with pytest.raises(VaultDown):
        world.vault.append(name, 0, b"x")
    assert list(objects(world.folder)) == [MARK, READER]


def test_nothing_but_a_segment_can_be_appended_to(world: Served) -> None:
    world.vault.put(BLOB, [b"x"])
    for name in (BLOB, MARK, "keys/a"):
        with pytest.raises(VaultDown, match="segment"):
            world.vault.append(name, world.folder.size(name) or 0, b"y")
    assert world.folder.get(BLOB) == b"x"


def test_what_is_there_is_not_replaced(world: Served) -> None:
    world.vault.put(BLOB, [b"x"])
    assert not world.vault.put(BLOB, [b"y"])
    world.vault.append(A, 0, b"one")
    assert not world.vault.put(A, [b"two"])
    for wrong in (0, 1, 2, 4):
        with pytest.raises(LengthMismatch):
            world.vault.append(A, wrong, b"two")
    assert world.folder.get(A) == b"one"


def test_a_segment_with_a_footer_is_closed(world: Served) -> None:
    header = header_for(NAME, SEALER)
    whole = encode_header(header) + encode_footer(header)
    world.vault.append(A, 0, whole)
    with pytest.raises(LengthMismatch, match="closed"):
        world.vault.append(A, len(whole), b"more")
    world.vault.append(A, len(whole), b"")  # to make certain of its end
    assert world.folder.get(A) == whole


def test_what_is_set_aside_or_half_put_cannot_be_seen(world: Served) -> None:
    for place in ("aside", "tmp"):
        world.disk.make_folders(f"/v/{place}")
        file = world.disk.open(f"/v/{place}/x", write=True, create=True)
        file.write_at(0, b"secret")
        file.close()
    acts: list[Callable[[str], object]] = [
        lambda place: world.vault.get(f"{place}/x"),
        lambda place: world.vault.size(f"{place}/x"),
        lambda place: list(world.vault.list(f"{place}/")),
        lambda place: world.vault.folders(f"{place}/"),
        lambda place: list(world.vault.list("../")),
        lambda place: world.vault.get("../near/FORMAT"),
        lambda place: world.vault.get("/near/FORMAT"),
    ]
    for act in acts:
        for place in ("aside", "tmp"):
            with pytest.raises(VaultDown):
                act(place)
    assert [info.name for info in world.vault.list()] == [MARK, READER]


# -- requests out of order, and rubbish


def test_nothing_is_answered_before_the_greeting_or_to_rubbish(world: Served) -> None:
    session = ServedSession(world.served)
    assert ask(session, Size(MARK)) is None
    assert ask(session, Hello(1)) == vaultwire.Welcome(vaultwire.VERSION, INSTALLATION)
    assert session.answer(b"") is None
    assert session.answer(msgspec.msgpack.encode(["Remove", MARK])) is None
    assert ask(session, vaultwire.Piece(b"x")) is None
    assert ask(session, vaultwire.Finish()) is None
    assert ask(session, Size(MARK)) == vaultwire.Number(world.folder.size(MARK))


def test_an_object_that_is_not_finished_leaves_nothing_behind(world: Served) -> None:
    session = ServedSession(world.served)
    ask(session, Hello(1))
    assert ask(session, Put(BLOB)) == vaultwire.Flag(True)
    assert ask(session, vaultwire.Piece(b"half")) == vaultwire.Flag(True)
    assert ask(session, Size(BLOB)) is None  # not between pieces
    session.close()
    assert list(objects(world.folder)) == [MARK, READER]
    assert list(world.disk.list("/v/tmp")) == []


def test_two_who_put_the_same_name(world: Served) -> None:
    one, two = ServedSession(world.served), ServedSession(world.served)
    for session in (one, two):
        ask(session, Hello(1))
        assert ask(session, Put(BLOB)) == vaultwire.Flag(True)
    ask(one, vaultwire.Piece(b"one"))
    ask(two, vaultwire.Piece(b"two"))
    assert ask(two, vaultwire.Finish()) == vaultwire.Flag(True)
    assert ask(one, vaultwire.Finish()) == vaultwire.Flag(False)
    assert world.folder.get(BLOB) == b"two"


def test_answers_are_bounded(world: Served) -> None:
    session = ServedSession(world.served)
    ask(session, Hello(1))
    world.folder.put(BLOB, [bytes(vaultwire.MAX_DATA_BYTES + 100)])
    answer = session.answer(vaultwire.encode(Get(BLOB, 0, vaultwire.MAX_DATA_BYTES)))
    assert answer is not None and len(answer) <= vaultwire.MAX_ANSWER_BYTES
    for number in range(vaultwire.MAX_LISTED + 1):
        world.folder.put(f"keys/{number:0100d}", [b""])
    answer = session.answer(vaultwire.encode(List("keys/", "")))
    assert answer is not None and len(answer) <= vaultwire.MAX_ANSWER_BYTES
    listed = vaultwire.parse_answer(answer)
    assert isinstance(listed, vaultwire.Objects) and listed.more and len(listed.value) == vaultwire.MAX_LISTED
    longest = "recovery/" + "x" * 100 + "/" + "y" * 100
    assert len(longest) <= vaultwire.MAX_NAME_BYTES and may_be_put(longest)
    assert (len(longest) + 20) * vaultwire.MAX_LISTED < vaultwire.MAX_ANSWER_BYTES


# -- room


def test_a_flood_stops_at_the_reserve_and_drops_nothing() -> None:
    disk = SimDisk(capacity_bytes=1_000_000)
    world = Served(reserve_bytes=300_000, disk=disk)
    world.vault.append(A, 0, b"acknowledged")
    assert world.vault.put("keys/first", [b"there"])
    world.vault.append(LATER, 0, b"short")
    size = 12
    with pytest.raises(VaultFull, match="kept free"):
        while True:
            world.vault.append(A, size, bytes(10_000))
            size += 10_000
    number = 0
    with pytest.raises(VaultFull):
        while True:
            world.vault.put(f"keys/{number}", [bytes(500)])
            number += 1
    with pytest.raises(VaultFull):
        world.vault.put(BLOB, [bytes(100_000)] * 4)
    assert disk.free_bytes("/v") >= 300_000
    assert list(disk.list("/v/tmp")) == []
    assert world.folder.get(A, 0, 12) == b"acknowledged"
    assert world.vault.get(A, 0, 12) == b"acknowledged"
    world.vault.append(LATER, 5, b"")  # what is done within the reserve, and gives it back
    assert not world.vault.put("keys/first", ())
    assert world.vault.about()["room_bytes"] == disk.free_bytes("/v") - 300_000


# -- a line that is cut


def test_a_lost_request_is_sent_once_more(world: Served) -> None:
    world.vault.append(A, 0, b"one")
    for act in (lambda: world.vault.append(A, 3, b"two"), lambda: world.vault.put(BLOB, [b"x"])):
        world.line.faults = ["request lost"]
        act()
    assert world.folder.get(A) == b"onetwo"
    assert world.line.links == 3


def test_a_lost_answer_to_a_look_is_asked_for_again(world: Served) -> None:
    world.vault.append(A, 0, b"one")
    assert world.vault.size(A) == 3
    looks: list[Callable[[], object]] = [
        lambda: world.vault.get(A),
        lambda: world.vault.size(A),
        lambda: list(world.vault.list()),
        lambda: world.vault.folders("log/"),
    ]
    for look in looks:
        world.line.faults = ["answer lost"]
        look()
        world.line.faults = ["late"]
        with pytest.raises(VaultDown):
            look()
        look()
    world.line.faults = ["answer lost", "refused"]
    with pytest.raises(VaultDown, match="nobody is there"):
        world.vault.size(A)
    assert world.vault.available()
    world.line.faults = ["late"]
    assert not world.vault.available()


@pytest.mark.parametrize("fault", ["answer lost", "late"])
def test_an_append_without_an_answer_is_in_doubt(world: Served, fault: str) -> None:
    world.vault.append(A, 0, b"one")
    world.line.faults = [fault]
    with pytest.raises(VaultUnanswered):
        world.vault.append(A, 3, b"two")
    assert world.vault.size(A) == 6
    with pytest.raises(LengthMismatch):
        world.vault.append(A, 3, b"two")


def test_a_put_whose_line_is_cut(world: Served) -> None:
    def cutting(fault: str) -> list[bytes]:
        world.line.faults = [fault]
        return [b"x"]

    with pytest.raises(VaultDown):
        world.vault.put(BLOB, (c for f in ["request lost"] for c in cutting(f)))
    assert world.vault.size(BLOB) is None
    with pytest.raises(VaultDown):
        world.vault.put(BLOB, (c for f in ["answer lost"] for c in cutting(f)))
    assert world.vault.size(BLOB) is None
    assert list(world.disk.list("/v/tmp")) == []

    def last() -> object:
        yield b"x"
        world.line.faults = ["answer lost"]

    with pytest.raises(VaultUnanswered):
        world.vault.put(BLOB, last())  # type: ignore[arg-type]
    assert world.vault.get(BLOB) == b"x"


def test_what_goes_wrong_on_the_other_side_keeps_its_name(world: Served) -> None:
    world.vault.append(A, 0, b"one")
    world.disk.fail("sync")
    with pytest.raises(VaultSuspect):
        world.vault.append(A, 3, b"two")
    assert not isinstance(Refusal("suspect", ""), VaultUnanswered)
    world.disk.mend()
    world.disk.rename("/v", "/w")
    assert not world.vault.available()
    with pytest.raises(VaultDown, match="no vault"):
        world.vault.size(A)


def test_another_installations_vault_is_refused(world: Served) -> None:
    stranger = RemoteVault("v", "/v.sock", direct(world.served), b"o" * 16)
    with pytest.raises(VaultDown, match="another installation"):
        stranger.size(MARK)
    assert not stranger.available()
    strict = ServedVault("/v", world.disk, b"o" * 16)
    with pytest.raises(VaultDown, match="no vault"):
        RemoteVault("v", "/v.sock", direct(strict)).size(MARK)


def test_nothing_is_appended_while_an_object_is_written_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that was begun and not ended lets a later one of its name write what is there once more, as often as it is
    asked: what is acknowledged meanwhile would be in the copy that is given up.
    """

    class Held(AbstractContextManager[None]):
        held = False

        def __enter__(self) -> None:
            assert not self.held
            self.held = True

        def __exit__(self, *_: object) -> None:
            self.held = False

    disk, lock = SimDisk(), Held()
    make_vault(disk, "v")
    served = ServedVault("/v", disk, reserve_bytes=0, lock=lock)
    idle, writer, thief = (ServedSession(served) for _ in range(3))
    for session in (idle, writer, thief):
        assert isinstance(ask(session, Hello(vaultwire.VERSION)), vaultwire.Welcome)
    assert ask(idle, Put(A)) == vaultwire.Flag(True)
    assert ask(writer, vaultwire.Append(A, 0, b"one")) == vaultwire.Flag(True)
    length, rename = 3, disk.rename

    def renamed(source: str, target: str) -> None:
        nonlocal length
        if not lock.held:  # else the writer waits for it
            assert ask(writer, vaultwire.Append(A, length, b"!")) == vaultwire.Flag(True)
            length += 1
        rename(source, target)

    monkeypatch.setattr(disk, "rename", renamed)
    assert ask(thief, Put(A)) == vaultwire.Flag(False)
    assert FolderVault("v", "/v", disk, INSTALLATION).size(A) == length
