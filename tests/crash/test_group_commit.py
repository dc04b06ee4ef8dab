"""Power loss at every write point of one group commit, and a COMMIT that fails after the append.

Workload, crash, oracle: what was answered 2xx is there afterwards, bit for bit; of the group on its way either every
change is there or none is; nothing half done is taken for whole; and the house goes on writing.
"""

from __future__ import annotations

import errno

import pytest

from safehold.disaster.faults import count_write_points
from safehold.disaster.house import House, Request
from safehold.lab.simdisk import WRITE_POINTS, Crash

BOOK = "/dav/ann/contacts/default"
NOTES = "/dav/ann/files/notes"
CALENDAR = "/dav/ann/calendars/default"


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def event(uid: str) -> bytes:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//house//EN\r\nBEGIN:VEVENT\r\n"
        f"UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()


VCARD = {"Content-Type": "text/vcard"}
VEVENT = {"Content-Type": "text/calendar"}

BEFORE = [
    Request("PUT", f"{BOOK}/kept.vcf", card("kept"), VCARD),
    Request("PUT", f"{BOOK}/changed.vcf", card("changed"), VCARD),
    Request("PUT", f"{BOOK}/deleted.vcf", card("deleted"), VCARD),
]
#: One group: its requests, and what each resource answers to GET once it has happened (None: 404).
GROUP = [
    (Request("PUT", f"{BOOK}/new.vcf", card("new"), VCARD), card("new")),
    (Request("PUT", f"{BOOK}/changed.vcf", card("changed", "more"), VCARD), card("changed", "more")),
    (Request("DELETE", f"{BOOK}/deleted.vcf"), None),
    (Request("PUT", f"{CALENDAR}/e.ics", event("e"), VEVENT), event("e")),
    (Request("PUT", f"{NOTES}/n.txt", b"a note", {"Content-Type": "text/plain"}), b"a note"),
    (Request("PUT", f"{NOTES}/big.bin", bytes(range(256)) * 400, {}), bytes(range(256)) * 400),
]
OLD = {
    f"{BOOK}/new.vcf": None,
    f"{BOOK}/changed.vcf": card("changed"),
    f"{BOOK}/deleted.vcf": card("deleted"),
    f"{CALENDAR}/e.ics": None,
    f"{NOTES}/n.txt": None,
    f"{NOTES}/big.bin": None,
}
NEW = {request.path: body for request, body in GROUP}


def read(house: House, path: str) -> bytes | None:
    answer = house.request("GET", path)
    assert answer.status in (200, 404), answer
    return answer.body if answer.status == 200 else None


def state(house: House) -> dict[str, bytes | None]:
    return {path: read(house, path) for path in NEW}


@pytest.fixture(scope="module")
def write_points() -> int:
    """How many write points the group commit has, counted on a run that is not disturbed."""
    house = ready()
    count = count_write_points(house.disk, lambda: house.requests([request for request, _ in GROUP]))
    assert state(house) == NEW
    return count


def ready() -> House:
    house = House.new(seed="group")
    assert [answer.status for answer in house.requests(BEFORE)] == [201, 201, 201]
    return house


def crash_at(house: House, point: int) -> bool:
    """Send the group, with the power gone at its nth write point; whether it was acknowledged before."""
    left = point

    def tick(operation: str, path: str) -> None:
        nonlocal left
        assert operation in WRITE_POINTS
        left -= 1
        if left == 0:
            raise Crash

    house.disk.on_write_point = tick
    try:
        answers = house.requests([request for request, _ in GROUP])
    except Crash:
        return False
    assert all(answer.status < 300 for answer in answers)
    return True


@pytest.mark.parametrize(
    "torn", [None, 1, pytest.param(2, marks=pytest.mark.long)], ids=["dropped", "torn-1", "torn-2"]
)
def test_power_loss_at_every_write_point(write_points: int, torn: int | None) -> None:
    assert write_points > 10, "the group goes through vault, blob and core"
    outcomes = set()
    for point in range(1, write_points + 1):
        house = ready()
        assert not crash_at(house, point)
        after = house.crash(None if torn is None else torn * 1000 + point)
        after.boot()
        found = state(after)
        assert found in (OLD, NEW), f"at write point {point} the group was torn apart"
        outcomes.add(found == NEW)
        assert read(after, f"{BOOK}/kept.vcf") == card("kept")
        assert after.request("PUT", f"{BOOK}/later.vcf", card("later"), VCARD).status == 201
        again = after.crash()
        again.boot()
        assert read(again, f"{BOOK}/later.vcf") == card("later")
        assert state(again) == found, "a second crash changes nothing"
    assert outcomes == {True, False}, "some points lie before the group is durable and some behind"


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_commit_fails_after_the_append(operation: str, error: int) -> None:
    house = ready()
    house.disk.fail(operation, error=error, path="/core/", times=1)
    answers = house.requests([request for request, _ in GROUP])
    assert {answer.status for answer in answers} <= {503, 507}, "nothing is acknowledged"
    house.disk.mend()
    for _ in range(3):
        house.writer.tick()
    house.reopen_reads()
    assert house.engine.stopped is None, "the writer has taken in the tail and goes on"
    found = state(house)
    assert found in (OLD, NEW)
    if operation == "sync":
        assert found == NEW, "what was in the vault is taken in"
    after = house.crash()
    after.boot()
    assert state(after) == found


def test_a_failed_sync_of_the_vault_is_never_retried() -> None:
    house = ready()
    house.disk.fail("sync", error=errno.EIO, path="/near/log", times=1)
    answers = house.requests([request for request, _ in GROUP])
    assert {answer.status for answer in answers} == {503}
    assert house.engine.stopped is not None
    assert house.request("PUT", f"{BOOK}/more.vcf", card("more"), VCARD).status == 503
    assert read(house, f"{BOOK}/kept.vcf") == card("kept"), "reading goes on"
    house.writer.tick()
    house.reopen_reads()
    found = state(house)
    assert found in (OLD, NEW)
    assert house.request("PUT", f"{BOOK}/more.vcf", card("more"), VCARD).status == 201
    after = house.crash()
    after.boot()
    assert state(after) == found and read(after, f"{BOOK}/more.vcf") == card("more")


def test_a_full_disk_refuses_and_goes_on_when_there_is_room() -> None:
    house = ready()
    house.disk.capacity_bytes = house.disk.used_bytes() + 100
    answers = house.requests([request for request, _ in GROUP])
    assert {answer.status for answer in answers} == {507}
    assert state(house) == OLD
    house.disk.capacity_bytes = None
    for _ in range(3):
        house.writer.tick()
    house.reopen_reads()
    answers = house.requests([request for request, _ in GROUP])
    assert all(answer.status < 300 or answer.status == 404 for answer in answers), answers
    assert state(house) == NEW
    after = house.crash()
    after.boot()
    assert state(after) == NEW


def test_a_failed_sync_of_the_core_leaves_no_hole_behind() -> None:
    """Frames of a WAL whose sync failed can be read, and are not on disk: a later power loss must not uncover that."""
    house = ready()
    house.disk.fail("sync", error=errno.EIO, path="/core/core.db-wal", times=1)
    assert {answer.status for answer in house.requests([request for request, _ in GROUP])} == {503}
    house.disk.mend()
    assert house.tick()
    found = state(house)
    for number in range(20):
        assert house.request("PUT", f"{BOOK}/more{number}.vcf", card(f"more{number}"), VCARD).status == 201
    house.close()  # a checkpoint; that the WAL was removed is not on disk yet
    after = house.crash()
    after.boot()
    assert state(after) == found
    assert read(after, f"{BOOK}/more19.vcf") == card("more19")
