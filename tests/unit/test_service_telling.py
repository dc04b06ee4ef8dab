"""Announcements and mail addresses: kept in identities, bounded, judged."""

from __future__ import annotations

import pytest

from safehold.disaster.house import House
from safehold.model.commands import Announce, SetMail, Withdraw
from safehold.model.errors import BadRequest, Conflict, NotFound
from safehold.model.mail import check_address
from safehold.service.addresses import Address, address_of
from safehold.service.announcements import MAX_ANNOUNCEMENTS, MAX_TEXT, announcements_of
from safehold.service.identity import SYSTEM_ACCOUNT


@pytest.fixture
def house() -> House:
    return House.new(accounts=("ann", "ben"))


def announce(house: House, text: str, until: int | None = None) -> str:
    return house.engine.execute(Announce(account=SYSTEM_ACCOUNT, text=text, until=until)).name


# -- announcements ---------------------------------------------------------------------------------------------


def test_an_announcement_stands_until_it_is_taken_back_and_survives_a_kill(house: House) -> None:
    first = announce(house, "We work on it.")
    second = announce(house, " Back by noon. \n", house.clock.now() + 60_000_000)
    found = announcements_of(house.reads)
    assert [(one.name, one.text) for one in found] == [(second, "Back by noon."), (first, "We work on it.")]
    assert all(one.stands(house.clock.now()) for one in found)
    assert not found[0].stands(house.clock.now() + 60_000_000)
    again = house.kill()
    again.boot()
    assert announcements_of(again.reads) == found
    again.engine.execute(Withdraw(account=SYSTEM_ACCOUNT, name=first))
    assert [one.name for one in announcements_of(again.reads)] == [second]
    with pytest.raises(NotFound):
        again.engine.execute(Withdraw(account=SYSTEM_ACCOUNT, name=first))


@pytest.mark.parametrize("text", ["", "  \n ", "x" * (MAX_TEXT + 1), "a\x00b", "a\x1b[31m"])
def test_what_nobody_could_read_is_not_announced(house: House, text: str) -> None:
    with pytest.raises(BadRequest):
        announce(house, text)
    with pytest.raises(BadRequest):
        announce(house, "over", house.clock.now())


def test_announcements_are_bounded_and_those_that_are_over_make_room(house: House) -> None:
    for number in range(MAX_ANNOUNCEMENTS):
        announce(
            house, f"no. {number}", house.clock.now() + 10_000_000_000 if number else house.clock.now() + 1_000_000
        )
    with pytest.raises(Conflict):
        announce(house, "one more")
    house.sim_clock.advance(2)
    announce(house, "one more")
    found = announcements_of(house.reads)
    assert len(found) == MAX_ANNOUNCEMENTS
    assert "no. 0" not in {one.text for one in found}


# -- mail ------------------------------------------------------------------------------------------------------


def test_an_address_is_set_changed_and_taken_away(house: House) -> None:
    account = house.account()
    assert address_of(house.reads, account) is None
    house.engine.execute(SetMail(account=account.id, address=" ada@example.org ", lang="es"))
    assert address_of(house.reads, account) == Address("ada@example.org", "es")
    assert not house.engine.execute(SetMail(account=account.id, address="ada@example.org", lang="es")).changed
    assert address_of(house.reads, house.account("ben")) is None
    house.engine.execute(SetMail(account=account.id, address=""))
    assert address_of(house.reads, account) is None
    assert not house.engine.execute(SetMail(account=account.id, address="")).changed


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "@x.org",
        "ada@",
        "a b@x.org",
        "ada@x.org\r\nBcc: all@x.org",
        "ada@x.org, bob@x.org",
        "<ada@x.org>",
        '"a"@x.org',
        "ada@x..org",
        "a" * 65 + "@x.org",
        "ada@" + "x" * 300,
        "adá@x.org",
    ],
)
def test_what_is_no_address_is_refused(house: House, text: str) -> None:
    with pytest.raises(BadRequest):
        check_address(text)
    with pytest.raises(BadRequest):
        house.engine.execute(SetMail(account=house.account().id, address=text))


@pytest.mark.parametrize("text", ["ada@example.org", "a.b+c@localhost", "x_1@sub.example.co"])
def test_what_is_an_address_is_taken(text: str) -> None:
    assert check_address(text) == text


def test_mail_is_written_in_languages_that_there_are(house: House) -> None:
    with pytest.raises(BadRequest):
        house.engine.execute(SetMail(account=house.account().id, address="a@x.org", lang="xx"))
