"""Disks that are not mounted, vaults of others, old cores: what is not there is missing, never empty.

An unmounted disk leaves an empty folder where it was. No device may be told of emptiness, and nothing may be written
into the folder, where it would lie hidden once the disk is back (I16, I22).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.disaster.course import quietly
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.rebuilding import recover
from safehold.lab.simdisk import SimDisk
from safehold.lab.wire import Answer, Request, multiget, propfind, read_multistatus, sync_collection
from safehold.model.errors import OperatorError, SafeholdError
from safehold.vault.folder import FolderVault

BOOK = "ann/contacts/default"
LARGE = b"large" * 20_000


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


def put(house: House, path: str, body: bytes, media: str = "text/vcard") -> Answer:
    return house.request("PUT", f"/dav/{path}", body, {"Content-Type": media})


def names(answer: Answer) -> list[str]:
    return [line.name for line in read_multistatus(answer).lines if not line.is_collection]


def ask(house: House, request: Request) -> Answer:
    return house.requests([request])[0]


@pytest.fixture
def house() -> Iterator[House]:
    """Two cards and a large photo, everything shipped, and then stopped."""
    with quietly():
        house = House.new("disks")
        for uid in ("one", "two"):
            assert put(house, f"{BOOK}/{uid}.vcf", card(uid)).status == 201
        assert put(house, "ann/files/photos/large.jpg", LARGE, "image/jpeg").status == 201
        house.scheduler.run_for(60)
        yield house.kill()


def unmount(disk: SimDisk, path: str) -> None:
    disk.lose(path)
    disk.make_folders(path)


def require_nothing_in(disk: SimDisk, path: str) -> None:
    assert list(disk.list(path)) == []


def lists_all(house: House) -> bool:
    return names(ask(house, propfind("ann", BOOK, 1))) == ["one.vcf", "two.vcf"]


def test_bodies_whose_disk_is_away_come_from_a_vault(house: House) -> None:
    unmount(house.disk, "/blobs")
    house.boot()
    assert names(ask(house, propfind("ann", "ann/files/photos", 1))) == ["large.jpg"]
    assert house.request("GET", "/dav/ann/files/photos/large.jpg").body == LARGE


def test_bodies_that_are_nowhere_are_503_and_stay_listed(house: House) -> None:
    for path in ("/blobs", "/near/blobs", "/far/blobs"):
        unmount(house.disk, path)
    house.boot()
    listed = read_multistatus(ask(house, propfind("ann", "ann/files/photos", 1))).lines
    assert [(line.name, bool(line.etag)) for line in listed if not line.is_collection] == [("large.jpg", True)]
    answer = house.request("GET", "/dav/ann/files/photos/large.jpg")
    assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)


def test_a_core_whose_disk_is_away_is_missing(house: House) -> None:
    unmount(house.disk, CORE_FOLDER)
    with pytest.raises(SafeholdError):
        house.boot()
    require_nothing_in(house.disk, CORE_FOLDER)
    again = house.kill()
    again.load_keys()
    recover(again)
    again.boot()
    assert lists_all(again)


def test_a_sync_vault_whose_disk_is_away_takes_nothing_and_hides_nothing(house: House) -> None:
    """Such a start raises what serving then bears: it reads on, and takes no change."""
    kept = house.disk
    unmount(kept, "/near")
    with pytest.raises(SafeholdError, match="there is no vault in /near"):
        house.boot()
    require_nothing_in(kept, "/near")


def test_a_sync_vault_that_goes_while_it_serves(house: House) -> None:
    house.boot()
    token = read_multistatus(ask(house, sync_collection("ann", BOOK, ""))).token
    unmount(house.disk, "/near")
    assert put(house, f"{BOOK}/three.vcf", card("three")).status == 503
    require_nothing_in(house.disk, "/near")
    if not house.readable:
        return  # its one connection is the writer's, which waits for the vault
    assert lists_all(house)
    assert read_multistatus(ask(house, sync_collection("ann", BOOK, token))).lines == []


def test_an_async_vault_whose_disk_is_away_stops_nothing_and_stays_empty(house: House) -> None:
    unmount(house.disk, "/far")
    house.boot()
    assert lists_all(house)
    assert put(house, f"{BOOK}/three.vcf", card("three")).status == 201
    house.scheduler.run_for(60)
    require_nothing_in(house.disk, "/far")
    assert house.writer.shippers[0].trouble


def test_a_vault_of_another_installation_in_its_place_is_not_believed(house: House) -> None:
    stranger = House.new("a stranger", ("eve",))
    put(stranger, "eve/contacts/default/one.vcf", card("evil"))
    stranger.scheduler.run_for(60)
    for name in ("/near", "/far"):
        house.disk.lose(name)
        copy(stranger.disk, name, house.disk)
    stranger.abandon()
    with pytest.raises(SafeholdError):
        house.boot()
    again = house.kill()
    again.load_keys()
    with pytest.raises(OperatorError):
        recover(again)
    assert again.disk.exists(f"{CORE_FOLDER}/core.db"), "the core is left where it is"


def test_an_old_core_takes_in_what_it_lacks(house: House) -> None:
    old = image(house.disk)
    house.boot()
    put(house, f"{BOOK}/three.vcf", card("three"))
    token = read_multistatus(ask(house, sync_collection("ann", BOOK, ""))).token
    house = house.kill()
    put_back(house.disk, old)
    house.boot()
    assert len(names(ask(house, propfind("ann", BOOK, 1)))) == 3
    assert read_multistatus(ask(house, sync_collection("ann", BOOK, token))).lines == []


def test_an_old_core_whose_history_went_another_way_is_refused(house: House) -> None:
    """It was written to after the vaults that it has now had been copied: a device may have seen that."""
    kept = {path: image(house.disk, path) for path in ("/near", "/far")}
    house.boot()
    put(house, f"{BOOK}/three.vcf", card("three"))
    house.scheduler.run_for(60)
    forked = image(house.disk)
    house = house.kill()
    for path, files in kept.items():
        put_back(house.disk, files, path)
    house.disk.lose(CORE_FOLDER)
    house.load_keys()
    recover(house)
    house.boot()
    put(house, f"{BOOK}/four.vcf", card("four"))
    house = house.kill()
    put_back(house.disk, forked)
    with pytest.raises(SafeholdError):
        house.boot()


def test_a_multiget_over_a_body_that_is_damaged_and_in_no_vault_fails_as_a_whole(house: House) -> None:
    """Only a ghost, of which a recovery has said that its body is nowhere, fails alone (I74)."""
    house.boot()
    house.engine.core.begin()
    house.engine.core._db.execute("UPDATE journal SET body = CAST('rot' AS BLOB) WHERE name = 'one.vcf'")
    house.engine.core.commit()
    for vault in ("/near", "/far"):
        house.disk.lose(vault)
    assert ask(house, multiget("ann", BOOK, ["one.vcf", "two.vcf"])).status == 503
    assert lists_all(house)


# -- copies ----------------------------------------------------------------------------------------------------------


def image(disk: SimDisk, folder: str = CORE_FOLDER) -> dict[str, bytes]:
    """All files below a folder."""
    found: dict[str, bytes] = {}
    for entry in disk.list(folder):
        path = f"{folder}/{entry.name}"
        if entry.is_folder:
            found.update(image(disk, path))
            continue
        file = disk.open(path)
        found[path] = file.read_at(0, disk.size(path))
        file.close()
    return found


def put_back(disk: SimDisk, files: dict[str, bytes], folder: str = CORE_FOLDER) -> None:
    disk.lose(folder)
    disk.make_folders(folder)
    for path, data in files.items():
        disk.make_folders(path.rpartition("/")[0])
        file = disk.open(path, write=True, create=True)
        file.write_at(0, data)
        file.sync()
        file.close()


def copy(source: SimDisk, folder: str, to: SimDisk) -> None:
    put_back(to, image(source, folder), folder)


def test_copies_are_copies(house: House) -> None:
    copied = SimDisk()
    copy(house.disk, "/near", copied)
    assert image(copied, "/near") == image(house.disk, "/near")
    assert FolderVault("near", "/near", copied, b"").available() is False, "of no installation that is asked for"
