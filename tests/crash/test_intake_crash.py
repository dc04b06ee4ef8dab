"""Power loss and kills at every write point of taking writes into the intake, and of entering them (I59, I60).

Whatever happens: what was answered 2xx is there once its stream is, bit for bit, and was entered once; nothing that was
not sent is there; and before the stream is there with its intake nothing of it is read.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.disaster.house import House, Request
from safehold.disaster.rebuilding import recover
from safehold.formats.intake import BY_INTAKE
from safehold.lab.simdisk import Crash
from safehold.model.change import Op
from safehold.model.kinds import Kind
from safehold.ports.core import NOT_YET
from safehold.service import intake
from tests.support.absent import Stream, bring_back, take_away
from tests.support.thinning import every

BOOK = "/dav/ann/contacts/default"
NOTES = "/dav/ann/files/notes"
VCARD = {"Content-Type": "text/vcard"}
LARGE = bytes(range(256)) * 300
KINDS = (Kind.CONTACTS, Kind.NOTES)


def card(uid: str, note: str = "") -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


BEFORE = [Request("PUT", f"{BOOK}/{name}.vcf", card(name), VCARD) for name in ("changed", "deleted")]
SENT = [
    Request("PUT", f"{BOOK}/new.vcf", card("new"), VCARD),
    Request("PUT", f"{BOOK}/changed.vcf", card("changed", "more"), VCARD),
    Request("DELETE", f"{BOOK}/deleted.vcf"),
    Request("PUT", f"{NOTES}/big.bin", LARGE, {}),
]
OLD = {
    f"{BOOK}/new.vcf": None,
    f"{BOOK}/changed.vcf": card("changed"),
    f"{BOOK}/deleted.vcf": card("deleted"),
    f"{NOTES}/big.bin": None,
}
NEW = {request.path: request.body or None for request in SENT}

Away = dict[Kind, Stream]


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PORTION_ITEMS", 1)


def ready(*, sent: bool = False) -> tuple[House, Away]:
    """A house without two of its streams, to which the writes were sent or not."""
    house = House.new(seed="intake")
    assert [answer.status for answer in house.requests(BEFORE)] == [201, 201]
    away = {kind: take_away(house, kind) for kind in KINDS}
    if sent:
        assert [answer.status for answer in house.requests(SENT)] == [204] * 4
    return house, away


def enter(house: House, away: Away) -> None:
    """Whatever is not there yet comes, as a recovery that goes on would let it."""
    for kind, stream in away.items():
        if house.reads.held(house.account().number, kind) == NOT_YET:
            bring_back(house, house.account(), kind, stream)


def state(house: House) -> dict[str, bytes | None]:
    found = {}
    for path in NEW:
        answer = house.request("GET", path)
        assert answer.status in (200, 404), (path, answer)
        found[path] = answer.body if answer.status == 200 else None
    return found


def check_entered_once(house: House) -> None:
    account = house.account().number
    assert house.reads.intakes() == {}
    done = [
        (version.op, version.name)
        for kind in KINDS
        for version in house.reads.history(account, kind=kind)
        if BY_INTAKE in version.actor
    ]
    assert sorted(done) == [
        (Op.DELETE, "deleted.vcf"),
        (Op.PUT, "big.bin"),
        (Op.PUT, "changed.vcf"),
        (Op.PUT, "new.vcf"),
    ]


def power_loss(seed: int) -> Callable[[House], House]:
    return lambda house: house.crash(seed or None)


def kill(house: House) -> House:
    return house.kill()


def disaster(house: House) -> House:
    """The core is gone too, and is made anew from the vaults."""
    after = house.crash()
    for part in ("/core", "/blobs"):
        if after.disk.exists(part):
            after.disk.lose(part)
    after.load_keys()
    recover(after)
    return after.kill()


def _step(end: Callable[[House], House]) -> int:
    """Every write point for power that goes, where most can go wrong; a recovery takes as long as ten starts."""
    return {kill: 2, disaster: 4}.get(end, 1)


ENDS = pytest.mark.parametrize(
    "end", [power_loss(0), power_loss(7), kill, disaster], ids=["dropped", "torn", "killed", "core-lost"]
)


@ENDS
def test_taking(end: Callable[[House], House]) -> None:
    house, _ = ready()
    points = count_write_points(house.disk, lambda: house.requests(SENT))
    assert points > 6
    outcomes = set()
    for point in range(0, points, _step(end)):
        house, away = ready()
        house.disk.on_write_point = power_loss_after(point)
        with pytest.raises(Crash):
            house.requests(SENT)
        after = end(house)
        after.boot()
        enter(after, away)
        found = state(after)
        assert found in (OLD, NEW), f"at write point {point} the group was torn apart"
        outcomes.add(found == NEW)
        if found == NEW:
            check_entered_once(after)
    assert outcomes == {True, False}, "some points lie before the group is durable and some behind"


@ENDS
@every(4)
def test_entering(end: Callable[[House], House], step: int) -> None:
    house, away = ready(sent=True)
    points = count_write_points(house.disk, lambda: enter(house, away))
    assert points > 10, "several frames"
    assert state(house) == NEW
    check_entered_once(house)
    for point in range(0, points, _step(end) * step):
        house, away = ready(sent=True)
        house.disk.on_write_point = power_loss_after(point)
        died = False
        try:
            enter(house, away)
        except Crash:
            died = True
        assert died or house.disk.dead, "the crash may get lost on its way through a library"
        after = end(house)
        after.boot()
        enter(after, away)
        assert state(after) == NEW, f"write point {point}"
        check_entered_once(after)
        again = after.crash()
        again.boot()
        assert state(again) == NEW
        check_entered_once(again)
