"""A move is one group (I39): power loss at any write point leaves it done or not done, and a recovery gives it back.

To recovery it is nothing new: ordinary changes of one stream, entered again as they were.
"""

from __future__ import annotations

import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.readout import read_world
from safehold.disaster.rebuilding import recover
from safehold.lab.simdisk import Crash
from safehold.lab.wire import Request
from safehold.model.change import Op

NOTES = "/dav/ann/files/notes/"
BOOK = "/dav/ann/contacts/default/"
LARGE = bytes(range(256)) * 400
TAG = b'<propertyupdate xmlns="DAV:"><set><prop><tag xmlns="urn:example:lab">red</tag></prop></set></propertyupdate>'
MOVE = Request("MOVE", NOTES + "one/", b"", {"Destination": NOTES + "two/"})


def ready() -> House:
    """A tree with small and large files and properties, and a folder where it is to go."""
    house = House.new(seed="transfers")
    for method, path, body in (
        ("MKCOL", "one/", b""),
        ("MKCOL", "one/inner/", b""),
        ("PUT", "one/a.txt", b"a"),
        ("PUT", "one/inner/b.txt", b"b"),
        ("PUT", "one/inner/large", LARGE),
        ("PROPPATCH", "one/a.txt", TAG),
        ("PROPPATCH", "one/inner/", TAG),
        ("MKCOL", "two/", b""),
        ("PUT", "two/old.txt", b"old"),
    ):
        assert house.request(method, NOTES + path, body).status in (201, 207)
    return house


def moved(before: dict[str, object]) -> dict[str, object]:
    """The world once the tree has moved: it replaces what was there."""
    one, two = "ann/files/notes/one", "ann/files/notes/two"
    rest = {path: shelf for path, shelf in before.items() if not path.startswith((one, two))}
    return rest | {two + path[len(one) :]: shelf for path, shelf in before.items() if path.startswith(one)}


def world(house: House) -> dict[str, object]:
    return dict(read_world(house, ["ann"]))


@pytest.fixture(scope="module")
def write_points() -> int:
    house = ready()
    before = world(house)
    count = count_write_points(house.disk, lambda: house.requests([MOVE]))
    assert world(house) == moved(before)
    return count


@pytest.mark.parametrize("torn", [None, 1], ids=["dropped", "torn"])
def test_power_loss_at_every_write_point_of_a_move(write_points: int, torn: int | None) -> None:
    outcomes = set()
    for point in range(1, write_points + 1):
        house = ready()
        before = world(house)
        house.disk.on_write_point = power_loss_after(point - 1)
        with pytest.raises(Crash):
            house.requests([MOVE])
        after = house.crash(None if torn is None else torn * 1000 + point)
        after.boot()
        found = world(after)
        assert found in (before, moved(before)), f"at write point {point} the move was torn apart"
        outcomes.add(found != before)
        status = after.requests([MOVE])[0].status
        assert status == (404 if found != before else 204)
        assert world(after) == moved(before)
    assert outcomes == {True, False}, "some points lie before the move is durable and some behind"


def test_a_tree_that_moved_comes_back_as_it_is_when_the_core_is_lost() -> None:
    house = ready()
    assert house.requests([MOVE])[0].status == 204
    assert house.request("COPY", NOTES + "two/", b"", {"Destination": "/dav/ann/files/photos/two/"}).status == 201
    assert house.request("MOVE", NOTES + "two/a.txt", b"", {"Destination": NOTES + "moved.txt"}).status == 201
    house.request(
        "LOCK",
        NOTES + "locked",
        b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
    )
    before = world(house)
    changes = [change for _, _, change in house.reads.changes()]
    house.scheduler.run_for(30)
    lost = house.crash()
    lost.load_keys()
    lost.disk.lose(CORE_FOLDER)
    lost.disk.lose("/blobs")
    _, result = recover(lost)
    assert result.report.verified
    assert all(kind.expected == kind.exact for kind in result.report.items.values())
    lost.boot()
    assert world(lost) == before, "the same bodies under the same names, tags and entity tags"
    again = [change for _, _, change in lost.reads.changes()]
    assert again[: len(changes)] == changes
    assert {c.op for c in changes} == set(Op) - {Op.REFUSED, Op.GAP}
    assert lost.request("PUT", NOTES + "locked", b"x").status == 204, "no lock outlives its process"
    assert lost.requests([Request("MOVE", NOTES + "two/", b"", {"Destination": NOTES + "one/"})])[0].status == 201


def test_an_object_renamed_within_its_book_outlives_the_power() -> None:
    """Its UID is free in between, and taken again in the same transaction."""
    house = House.new(seed="objects")
    card = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:u\r\nFN:u\r\nEND:VCARD\r\n"
    house.request("PUT", BOOK + "a.vcf", card, {"Content-Type": "text/vcard"})
    assert house.request("MOVE", BOOK + "a.vcf", b"", {"Destination": BOOK + "b.vcf"}).status == 201
    after = house.crash()
    after.boot()
    assert after.request("GET", BOOK + "a.vcf").status == 404
    assert after.request("GET", BOOK + "b.vcf").body == card
