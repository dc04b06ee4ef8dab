"""An undo, a mass delete and its notice, and the lock of an account: all of each or nothing, wherever it is cut off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from safehold.disaster.faults import count_write_points, power_loss_after
from safehold.disaster.house import House
from safehold.lab.simdisk import Crash
from safehold.model.commands import EraseAccount, Undo
from safehold.model.kinds import Kind
from safehold.service.brakes import BrakeLimits
from safehold.service.erasing import erasing_accounts
from safehold.service.notices import notices_of
from tests.support.thinning import every

BOOK = "/dav/ann/contacts/default/"
CARDS = 12


def card(n: int, note: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:u{n}\r\nFN:{n}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()


def put(house: House, n: int, note: str) -> None:
    status = house.request("PUT", f"{BOOK}{n}.vcf", card(n, note), {"content-type": "text/vcard"}).status
    assert status in (201, 204)


def delete(house: House, n: int) -> None:
    assert house.request("DELETE", f"{BOOK}{n}.vcf").status == 204


def listing(house: House) -> dict[str, bytes]:
    collection = house.reads.collection(house.account().number, "contacts/default")
    assert collection is not None
    return {item.name: house.reads.body(item).inline or b"" for item in house.reads.items(collection)}


THEN = {f"{n}.vcf": card(n, "old") for n in range(CARDS)}
NOW = {f"{n}.vcf": card(n, "old" if n % 3 else "new") for n in range(4, CARDS)} | {"99.vcf": card(99, "new")}


def changed() -> tuple[House, int]:
    """A book in which much has changed since a rev."""
    house = House.new()
    for n in range(CARDS):
        put(house, n, "old")
    rev = house.reads.head(house.account().number, Kind.CONTACTS).rev
    for n in range(0, CARDS, 3):
        put(house, n, "new")
    for n in range(4):
        delete(house, n)
    put(house, 99, "new")
    assert listing(house) == NOW
    return house, rev


def undo(house: House, rev: int) -> None:
    house.engine.execute(Undo(account=house.account().id, actor="undo", revs={Kind.CONTACTS: rev}, kind=Kind.CONTACTS))


def cut_off_everywhere(
    make: Callable[[], House], act: Callable[[House], None], check: Callable[[House], bool], step: int = 1
) -> None:
    """Power loss and kill at every write point of `act`, or one in `step`; `check`: whether it has happened, whole."""
    house = make()
    points = count_write_points(house.disk, lambda: act(house))
    assert points > 5
    happened = set()
    for point in range(0, points, step):
        for lose in (True, False):
            house = make()
            house.disk.on_write_point = power_loss_after(point)
            with suppress(Crash):
                act(house)
            house = house.crash(point) if lose else house.kill()
            house.boot()
            happened.add(check(house))
            act(house)
            assert check(house), "asked again it is done"
            house.close()
    assert happened == {True, False}


def test_an_undo_is_whole_or_has_not_been() -> None:
    _, rev = changed()

    def check(house: House) -> bool:
        found = listing(house)
        assert found in (THEN, NOW)
        return found == THEN

    cut_off_everywhere(lambda: changed()[0], lambda house: undo(house, rev), check)


@every(3)
def test_an_undo_in_parts_goes_on_where_it_was_cut_off(step: int) -> None:
    """Each part is whole; asked again by its revs it comes to the same end."""
    _, rev = changed()

    def in_parts(house: House) -> None:
        house.engine._judge._undo._most = 2
        command = Undo(account=house.account().id, actor="undo", revs={Kind.CONTACTS: rev}, kind=Kind.CONTACTS)
        while house.engine.execute(command).more:
            pass

    cut_off_everywhere(lambda: changed()[0], in_parts, lambda house: listing(house) == THEN, step)


def test_the_delete_that_makes_an_incident_and_its_notice_are_one() -> None:
    limits = BrakeLimits(least_items=CARDS)

    def make() -> House:
        house = House.new()
        house.brakes = limits
        house.writer.close()
        house.boot()
        for n in range(CARDS):
            put(house, n, "old")
        for n in range(2):
            delete(house, n)
        assert notices_of(house.reads, house.account()) == []
        return house

    def act(house: House) -> None:
        house.request("DELETE", f"{BOOK}2.vcf")

    def check(house: House) -> bool:
        gone = "2.vcf" not in listing(house)
        notices = notices_of(house.reads, house.account())
        assert [notice.count for notice in notices] == ([3] if gone else [])
        return gone

    # A start after a crash has to know the limits too.
    original = House.boot

    def boot(house: House, *, mend: bool = False) -> None:
        house.brakes = limits
        original(house, mend=mend)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(House, "boot", boot)
        cut_off_everywhere(make, act, check)


def test_an_account_is_locked_or_it_is_not() -> None:
    def make() -> House:
        house = House.new(accounts=("ann", "eve", "bob", "cay", "dan"))
        for name in ("eve", "bob", "cay"):
            house.engine.execute(EraseAccount(account=house.account(name).id, braked=True))
        return house

    def act(house: House) -> None:
        house.engine.execute(EraseAccount(account=house.account("dan").id, braked=True))

    def check(house: House) -> bool:
        dan = house.account("dan")
        waits = erasing_accounts(house.reads)
        assert [erasing.id for erasing in waits] in ([], [dan.id])
        assert house.request("PROPFIND", "/dav/dan/", headers={"depth": "0"}, user="dan").status == (
            503 if waits else 207
        )
        return bool(waits)

    cut_off_everywhere(make, act, check)
