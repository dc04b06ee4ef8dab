"""What is written within a while travels to a bucket as one object, unless much of it waits."""

from __future__ import annotations

from safehold.archiver.shipper import Shipper
from safehold.lab.simdisk import SimDisk
from safehold.vault.memory import MemoryVault
from tests.support.logs import Writing, make_vault


class CountingVault(MemoryVault):
    """Counts appends, as a store does that charges each."""

    def __init__(self) -> None:
        super().__init__("far")
        self.appends: list[int] = []

    def append(self, name: str, expected: int, data: bytes) -> None:
        super().append(name, expected, data)
        if data:
            self.appends.append(len(data))


def ship(gather_bytes: int, frames: int) -> list[int]:
    """How large the appends were, of frames that were written within the time in which they gather."""
    disk, far = SimDisk(), CountingVault()
    near = make_vault(disk, "near")
    shippers: list[Shipper] = []
    writing = Writing([near], on_written=lambda written: shippers[0].note(written) if shippers else None)
    source = type(near)("near", "/near", disk)
    shipper = Shipper(source, far, writing.clock, live=True, gather_seconds=100.0, gather_bytes=gather_bytes)
    shippers.append(shipper)
    while shipper.step() == 0.0:
        pass
    writing.write(1)
    while shipper.step() == 0.0:
        pass
    far.appends.clear()
    for _ in range(frames):
        writing.write(1)
        while shipper.step() == 0.0:
            pass
    return far.appends


def test_it_gathers_until_the_time_is_up() -> None:
    assert ship(0, 20) == []


def test_it_goes_before_its_time_where_enough_waits() -> None:
    sizes = ship(4096, 20)
    assert sizes and all(size >= 4096 for size in sizes)
    assert len(sizes) < 15
