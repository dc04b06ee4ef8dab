"""A writer whose sync vault is a keeper's: power that goes at any write point of its disk, answers that get lost."""

from __future__ import annotations

import random

import pytest

from safehold.archiver.shipper import Shipper
from safehold.disaster.faults import power_loss_after
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SimClock
from safehold.model.change import Change
from safehold.model.errors import SafeholdError
from safehold.model.stream import Head
from safehold.ports.core import EMPTY_LOG
from safehold.vault.remote import RemoteVault
from safehold.vault.served import ServedVault
from tests.support.changes import Streams
from tests.support.links import Line, direct
from tests.support.logs import INSTALLATION, SMALL, Writing, folder_vault, make_vault, objects, read


def served(disk: SimDisk, line: Line | None = None) -> RemoteVault:
    return RemoteVault("kept", "/kept.sock", direct(ServedVault("/kept", disk, reserve_bytes=0), line), INSTALLATION)


def rewind(streams: Streams, made: list[Change]) -> None:
    streams.made[:] = made
    streams.heads = {(change.account, change.kind): Head(change.rev, change.hash) for change in made}


def test_power_loss_at_every_write_point_of_the_keeper() -> None:
    point, ended = 0, False
    while not ended:
        for seed in (None, point):
            disk = SimDisk()
            make_vault(disk, "kept")
            disk.on_write_point = power_loss_after(point)
            acknowledged: list[Change] = []
            try:
                writing = Writing([served(disk)], limits=SMALL)
                acknowledged = writing.acknowledged
                writing.write(12)
                writing.log.close()
                ended = True
            except Crash:
                pass
            after = disk.crash(seed)
            changes, holes, _ = read(served(after))
            assert changes[: len(acknowledged)] == acknowledged
            assert len(changes) <= len(acknowledged) + 1 and holes == []
            again = Writing([served(after)], streams=Streams())
            again.log.close()
            assert read(served(after))[0][: len(acknowledged)] == acknowledged
        point += 1
    assert point > 30


@pytest.mark.parametrize("seed", range(15))
def test_a_line_that_loses_messages(seed: int) -> None:
    """Whatever is lost, a log opened anew takes in what is there; nothing acknowledged goes, nothing is doubled."""
    rng = random.Random(seed)
    disk, line, streams = SimDisk(), Line(), Streams()
    make_vault(disk, "kept")
    acknowledged: list[Change] = []
    core = EMPTY_LOG
    for _ in range(12):
        line.faults = []
        writing = Writing([served(disk, line)], core=core, streams=Streams(), limits=SMALL)
        tail = [change for entry in writing.tail for change in getattr(entry, "changes", ())]
        taken = {change.hash for change in acknowledged}
        acknowledged += [change for change in tail if change.hash not in taken]
        rewind(streams, acknowledged)
        writing.streams = streams
        try:
            for _ in range(rng.randint(1, 6)):
                if rng.random() < 0.4:
                    line.faults = [rng.choice(("request lost", "answer lost", "late"))]
                writing.write(1)
        except SafeholdError:
            pass
        acknowledged += writing.acknowledged
        core = EMPTY_LOG if rng.random() < 0.3 else writing.log.position
    line.faults = []
    changes, holes, _ = read(served(disk))
    assert [c.hash for c in changes[: len(acknowledged)]] == [c.hash for c in acknowledged]
    assert len({c.hash for c in changes}) == len(changes) <= len(acknowledged) + 1
    assert holes == []


@pytest.mark.parametrize("seed", range(15))
def test_a_ship_over_a_line_that_loses_messages(seed: int) -> None:
    rng = random.Random(seed)
    disk, line, clock = SimDisk(), Line(), SimClock()
    near = make_vault(disk, "near")
    make_vault(disk, "kept")
    writing = Writing([near], limits=SMALL, clock=clock)
    writing.write(30)
    writing.log.close()
    near.put(f"blobs/ab/{'ab' * 32}", [b"blob" * 1000])
    shipper = Shipper(folder_vault(disk, "near"), served(disk, line), clock)
    for _ in range(3000):
        if rng.random() < 0.05:
            line.faults = [rng.choice(("request lost", "answer lost", "late", "refused"))]
        shipper.step()
        clock.advance(1)
    line.faults = []
    while not shipper.level:
        shipper.step()
        clock.advance(60)
    assert objects(near) == objects(served(disk))
    assert list(disk.list("/kept/tmp")) == []
