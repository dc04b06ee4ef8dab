"""What a served vault admits to its log: all that an honest writer does, and nothing that makes void what counts (I54).

The attacker has the writer's key: every frame here is signed as it should be.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from hashlib import sha256

import pytest

from safehold.archiver.log import Written
from safehold.archiver.shipper import Shipper
from safehold.formats import segment
from safehold.formats.frame import parse_header
from safehold.formats.segment import SegmentName
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.errors import SafeholdError
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG
from safehold.ports.vault import LengthMismatch, Vault, VaultDown, VaultFull
from safehold.vault.log import VaultLogReader
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedVault
from tests.support.changes import Streams
from tests.support.links import direct
from tests.support.logs import INSTALLATION, OPENER, SMALL, Writing, folder_vault, make_vault, objects, read
from tests.support.thief import ADMITTED, FORKS, Thief, unsigned


def served(disk: SimDisk, name: str = "kept") -> RemoteVault:
    """As after a start of the server: nothing is remembered."""
    return RemoteVault(name, f"/{name}.sock", direct(ServedVault(f"/{name}", disk, reserve_bytes=0)), INSTALLATION)


def rewind(streams: Streams, made: list[Change]) -> None:
    """As if no more had been made than this."""
    streams.made[:] = made
    streams.heads = {(change.account, change.kind): Head(change.rev, change.hash) for change in made}


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk()
    make_vault(disk, "kept")
    return disk


# -- an honest writer


def test_lives_of_a_writer_that_end_well_and_badly(disk: SimDisk) -> None:
    core, streams, written = EMPTY_LOG, Streams(), []
    for life in range(6):
        writing = Writing([served(disk)], core=core, streams=streams, limits=SMALL)
        written += [c for entry in writing.tail for c in getattr(entry, "changes", ())]
        before = writing.log.position
        writing.write(20)
        if life % 2:
            writing.log.close()
            core, written = writing.log.position, [*written, *writing.acknowledged]
        else:  # the core lost all of this life, or the last two frames of it
            core = core if life else before
    changes, holes, reader = read(served(disk))
    assert [c.hash for c in changes] == [c.hash for c in written]
    assert holes == []
    assert not [p for p in reader.problems() if "void" in p]


def test_a_writer_whose_writes_fail_goes_on(disk: SimDisk) -> None:
    writing = Writing([served(disk)])
    acknowledged: list[Change] = []
    for nth in (1, 1, 2):
        writing.write(2)
        disk.fail("write", nth=nth, error=errno.ENOSPC, path="/kept/log")
        with pytest.raises(VaultFull):
            writing.write(nth)
        disk.mend()
        acknowledged = list(writing.acknowledged)
        rewind(writing.streams, acknowledged)
    writing.write(2)
    writing.log.close()
    changes, holes, _ = read(served(disk))
    assert changes == writing.acknowledged
    assert holes == []


def test_a_ship_that_follows_behind(disk: SimDisk) -> None:
    """The claims of later timelines come before the frames of earlier ones, and some timelines are abandoned."""
    near, streams, core = make_vault(disk, "near"), Streams(), EMPTY_LOG
    for _ in range(4):
        writing = Writing([near], [served(disk)], core=core, streams=streams, limits=SMALL)
        writing.write(15)
        core = writing.log.position
        Writing([near], [served(disk)], core=core, streams=streams).log.close()  # claims, writes its claim, ends
        core = read(near)[2].end()
    shipper = Shipper(near, served(disk), SimClock())
    while not shipper.level:
        shipper.step()
        assert shipper.trouble is None
    assert objects(near) == objects(served(disk))


def test_a_live_ship(disk: SimDisk) -> None:
    near = make_vault(disk, "near")
    clock = SimClock()
    shipper = Shipper(folder_vault(disk, "near"), served(disk), clock, live=True)

    def on_written(written: Written) -> None:
        shipper.note(written)

    writing = Writing([near], [served(disk)], clock=clock, limits=SMALL, on_written=on_written)
    for _ in range(30):
        writing.write(1)
        for _ in range(3):
            shipper.step()
            assert shipper.trouble is None
    writing.log.close()
    while not shipper.level:
        shipper.step()
        assert shipper.trouble is None
    assert objects(near) == objects(served(disk))


def test_two_vaults_one_of_which_fails(disk: SimDisk) -> None:
    streams, core, taken = Streams(), EMPTY_LOG, 0
    make_vault(disk, "near")
    for names in (("near", "kept"), ("kept", "near"), ("near", "kept")):
        make: dict[str, Callable[[], Vault]] = {
            "near": lambda: folder_vault(disk, "near"),
            "kept": lambda: served(disk),
        }
        writing = Writing([make[name]() for name in names], core=core, streams=streams)
        writing.write(3)
        disk.fail("write", error=errno.ENOSPC, path=f"/{names[1]}/log")
        with pytest.raises(SafeholdError):
            writing.write(1)
        disk.mend()
        core = writing.log.position
        taken += 4  # the one that only the first took is on the log from the next life on
    last = Writing([served(disk), folder_vault(disk, "near")], core=core, streams=streams)
    last.log.close()
    for vault in (served(disk), folder_vault(disk, "near")):
        changes, holes, _ = read(vault)
        assert len(changes) == taken and changes == streams.made
        assert holes == []


# -- somebody with the writer's key


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("remembering", [True, False])
def test_no_key_makes_void_what_counts(disk: SimDisk, fork: str, remembering: bool) -> None:
    streams = Streams()
    one = Writing([served(disk)], streams=streams, limits=SMALL)
    one.write(20)
    one.log.close()
    vault = served(disk)
    two = Writing([vault], core=one.log.position, streams=streams, limits=SMALL)
    two.write(20)
    two.log.seal()
    before = objects(served(disk))
    header = parse_header(before["log/00000002/00000000-000000000000.seg"], segment.HEADER_BYTES)
    assert header is not None and header.parent == 1
    thief = Thief(vault if remembering else served(disk), two.log.position, header.opened)
    with pytest.raises((LengthMismatch, VaultDown)) as refused:
        FORKS[fork](thief)
    assert "closed" not in refused.value.message
    after = objects(served(disk))
    assert {name: data[: len(before[name])] for name, data in after.items() if name in before} == before
    changes, holes, _ = read(served(disk))
    assert changes == [*one.acknowledged, *two.acknowledged]
    assert holes == []
    if any(len(data) > segment.HEADER_BYTES for name, data in after.items() if name not in before):
        return  # something harmless was taken: whoever signs as the writer can hinder it, and is seen
    three = Writing([served(disk)], core=two.log.position, streams=streams)
    three.write(3)
    three.log.close()
    changes, holes, _ = read(served(disk))
    assert changes == [*one.acknowledged, *two.acknowledged, *three.acknowledged]


@pytest.mark.parametrize("forged", ADMITTED)
def test_what_a_keeper_cannot_refuse_is_no_end_of_the_log(disk: SimDisk, forged: str) -> None:
    """A writer goes on after the last frame that counts (I78)."""
    streams = Streams()
    one = Writing([served(disk)], streams=streams, limits=SMALL)
    one.write(20)
    one.log.close()
    two = Writing([served(disk)], core=one.log.position, streams=streams, limits=SMALL)
    two.write(20)
    two.log.close()
    ADMITTED[forged](Thief(served(disk), two.log.position, one.log.position.frame + 1))
    assert VaultLogReader([served(disk)], OPENER).end() == two.log.position
    three = Writing([served(disk)], core=two.log.position, streams=streams)
    three.write(3)
    three.log.close()
    changes, holes, _ = read(served(disk))
    assert changes == [*one.acknowledged, *two.acknowledged, *three.acknowledged]
    assert holes == []


def test_digests_are_not_needed_for_that() -> None:
    """Rule 3 lets frames be repeated byte for byte only: one bit makes another frame of it."""
    disk = SimDisk()
    make_vault(disk, "kept")
    writing = Writing([served(disk)])
    writing.write(3)
    name = SegmentName(1, 0, 0)
    data = served(disk).get(str(name))
    last = data[data.rindex(b"\x93SHframe") :]
    thief = Thief(served(disk), writing.log.position)
    again = SegmentName(1, 1, writing.log.position.frame)
    with pytest.raises(VaultDown, match="void"):
        thief.put(again, unsigned(last))
    thief.put(again, last)
    assert sha256(last).digest() == writing.log.position.digest
    assert read(served(disk))[0] == writing.acknowledged
