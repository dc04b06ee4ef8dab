"""An erased account's large bodies leave the live folder, wherever the power goes while it is erased."""

from __future__ import annotations

from contextlib import suppress

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.disaster.house import House
from safehold.lab.simdisk import Crash, SimDisk
from safehold.model.commands import EraseAccount

PHOTO = b"\xff\xd8 only eve has this picture " * 8000
OTHER = b"\xff\xd8 everybody has this one " * 8000


def furnished() -> House:
    house = House.new(accounts=("ann", "eve"))
    for user, body in (("eve", PHOTO), ("ann", OTHER)):
        assert house.request("PUT", f"/dav/{user}/files/photos/sea.jpg", body, user=user).status == 201
    return house


def live(disk: SimDisk) -> list[bytes]:
    found = []
    for folder in disk.list("/blobs"):
        for entry in disk.list(f"/blobs/{folder.name}"):
            file = disk.open(f"/blobs/{folder.name}/{entry.name}")
            found.append(file.read_at(0, file.size()))
            file.close()
    return found


def erase(house: House) -> None:
    house.engine.execute(EraseAccount(account=house.account("eve").id))


def test_the_large_bodies_of_an_erased_account_go_with_it() -> None:
    house = furnished()
    assert sorted(live(house.disk)) == sorted([PHOTO, OTHER])
    erase(house)
    assert live(house.disk) == [OTHER]
    assert house.request("GET", "/dav/ann/files/photos/sea.jpg").body == OTHER


def test_a_start_after_a_loss_of_power_anywhere_removes_what_was_left() -> None:
    house = furnished()
    points = count_write_points(house.disk, lambda: erase(house))
    assert points > 5
    for point in range(points):
        house = furnished()
        house.disk.on_write_point = power_loss_after(point)
        with suppress(Crash):
            erase(house)
        house = house.crash(point)
        house.boot()
        erased = house.reads.account_named("eve") is None
        assert sorted(live(house.disk)) == sorted([OTHER] if erased else [OTHER, PHOTO])


def test_an_upload_that_never_came_to_an_end_is_swept_with_it() -> None:
    house = furnished()
    erase(house)
    house.disk.make_folders("/blobs/ab")
    stray = house.disk.open(f"/blobs/ab/{'ab' * 32}", write=True, create=True)
    stray.write_at(0, PHOTO)
    stray.sync()
    stray.close()
    house = house.kill()
    house.boot()
    assert live(house.disk) == [OTHER]
