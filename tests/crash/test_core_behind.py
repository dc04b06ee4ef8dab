"""An older copy of a core is in place, and vaults with generations lead on from it: a run enters what it lacks."""

from __future__ import annotations

from safehold.disaster.generations import snapshot
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.operator import recover_run
from safehold.disaster.salvaging import salvage
from safehold.lab.simdisk import SimDisk
from safehold.lab.wire import Request
from safehold.recovery.examine import State

BOOK = "/dav/ann/contacts/default"


def card(uid: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nN:{uid};;;;\r\nEND:VCARD\r\n".encode()


def put(house: House, uid: str) -> None:
    answer = house.request("PUT", f"{BOOK}/{uid}.vcf", card(uid), {"Content-Type": "text/vcard"})
    assert answer.status == 201


def copy_of(disk: SimDisk) -> dict[str, bytes]:
    return {path: disk.bytes_of(path) for path in disk.files(CORE_FOLDER)}


def put_back(disk: SimDisk, files: dict[str, bytes]) -> None:
    disk.lose(CORE_FOLDER)
    disk.make_folders(CORE_FOLDER)
    for path, data in files.items():
        file = disk.open(path, write=True, create=True)
        file.write_at(0, data)
        file.sync()
        file.close()
    disk.sync_folder(CORE_FOLDER)


def test_streams_that_the_generation_has_whole_and_the_old_core_too() -> None:
    house = House.new("behind")
    put(house, "one")
    house.engine.seal()
    note = Request("PUT", "/dav/ann/files/notes/n.txt", b"a note", {"Content-Type": "text/plain"})
    assert house.requests([note])[0].status == 201
    old = copy_of(house.disk)
    snapshot(house)
    put(house, "two")
    house.close()
    house = house.kill()
    put_back(house.disk, old)
    house.load_keys()
    plan, result = recover_run(house)
    assert plan.core is State.BEHIND
    assert plan.generation
    assert result.report.total().exact == result.report.total().expected
    house.boot()
    assert house.request("GET", f"{BOOK}/two.vcf").body == card("two")
    assert house.request("GET", "/dav/ann/files/notes/n.txt").body == b"a note"
    house.abandon()


def test_a_salvage_beside_a_generation_that_has_a_stream_whole() -> None:
    """The plan follows such a stream to see what the find has of it; the run settles it."""
    house = House.new("found beside")
    put(house, "one")
    snapshot(house)
    house.close()
    house = house.kill()
    house.load_keys()
    for path in house.disk.files(CORE_FOLDER):
        house.disk.cut(path, house.disk.length(path) // 2)
    salvaged = salvage(house)
    assert salvaged is not None
    assert salvaged.find.keys
    plan, result = recover_run(house, salvaged=salvaged)
    salvaged.close()
    assert plan.generation
    assert plan.salvages
    assert result.report.total().exact == result.report.total().expected
    house.boot()
    assert house.request("GET", f"{BOOK}/one.vcf").body == card("one")
    house.abandon()
