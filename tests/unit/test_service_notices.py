"""Notices: told once, kept with the credentials, bounded, and put away by the person alone."""

from __future__ import annotations

from typing import Any

import pytest

from safehold.disaster.house import House
from safehold.model.change import Change, Op
from safehold.model.commands import AddAppPassword, DismissNotice, Outcome, SetListed
from safehold.model.errors import Held
from safehold.model.kinds import Kind
from safehold.service.auth import APP_PREFIX
from safehold.service.identity import touches_credentials
from safehold.service.notices import (
    DEVICE_AHEAD,
    INTAKE_DROPPED,
    KNOWN,
    MASS_DELETE,
    MAX_NAMES,
    MAX_NOTICES,
    MAX_TEXT,
    MERGE_SECONDS,
    NOTICE_PREFIX,
    RESTORED,
    Notice,
    Notices,
    notices_of,
    parse_notice,
)
from safehold.service.uses import app_passwords

CONTACTS = "contacts/default"


@pytest.fixture
def house() -> House:
    return House.new(accounts=("ann", "ben"))


def tell(house: House, what: str, *, of: str = "ann", **facts: Any) -> str:
    """One notice in a transaction of the engine, which a command of this account opens."""
    judge = house.engine._judge
    account = house.account(of)
    told: list[str] = []

    def apply(_: object) -> Outcome:
        told.append(Notices.tell(house.engine._ledger, account, what, **facts))
        return Outcome()

    judge._apply = apply  # type: ignore[method-assign]
    try:
        house.engine.execute(SetListed(account=account.id, listed=True))
    finally:
        del judge._apply  # type: ignore[method-assign]
    return told[-1]


def identity(house: House) -> list[Change]:
    """The changes of ann's identity."""
    account = house.account()
    return [c for _, _, c in house.reads.changes() if c.account == account.id and c.kind is Kind.IDENTITY]


def of(house: House, name: str = "ann") -> list[Notice]:
    return notices_of(house.reads, house.account(name))


def test_a_notice_says_what_when_and_of_what(house: House) -> None:
    before = house.clock.now()
    key = tell(
        house, MASS_DELETE, kind=Kind.CONTACTS, collection=CONTACTS, name="a.vcf", count=40, before=7, device="x"
    )
    (notice,) = of(house)
    assert (notice.key, notice.what, notice.kind, notice.collection) == (key, MASS_DELETE, "contacts", CONTACTS)
    assert (notice.name, notice.count, notice.facts) == ("a.vcf", 40, {"before": 7, "device": "x"})
    assert notice.since == notice.at >= before
    assert of(house, "ben") == []


def test_the_newest_is_first(house: House) -> None:
    for what in KNOWN:
        tell(house, what)
        house.sim_clock.advance(1)
    assert [notice.what for notice in of(house)] == list(reversed(KNOWN))


def test_what_is_told_in_one_transaction_of_one_moment_has_names_of_its_own(house: House) -> None:
    account = house.account()
    judge = house.engine._judge

    def apply(_: object) -> Outcome:
        for path in ("contacts/a", "contacts/b", "contacts/c"):
            Notices.tell(house.engine._ledger, account, MASS_DELETE, collection=path)
        return Outcome()

    judge._apply = apply  # type: ignore[method-assign]
    house.engine.execute(SetListed(account=account.id, listed=True))
    assert {notice.collection for notice in of(house)} == {"contacts/a", "contacts/b", "contacts/c"}


def test_the_same_within_the_hour_adds_to_it_and_keeps_the_earlier_moment(house: House) -> None:
    first = tell(house, MASS_DELETE, collection=CONTACTS, count=40, before=7)
    house.sim_clock.advance(MERGE_SECONDS - 1)
    assert tell(house, MASS_DELETE, collection=CONTACTS, count=2, before=9) == first
    (notice,) = of(house)
    assert (notice.count, notice.facts["before"]) == (42, 7)
    assert notice.at > notice.since
    house.sim_clock.advance(MERGE_SECONDS + 1)
    assert tell(house, MASS_DELETE, collection=CONTACTS, count=2, before=9) != first
    assert tell(house, MASS_DELETE, collection="contacts/other", count=2) != first
    assert len(of(house)) == 3


def test_a_thousand_dropped_deletes_are_one_notice(house: House) -> None:
    for number in range(1000):
        house.sim_clock.advance(MERGE_SECONDS + 1)
        tell(house, INTAKE_DROPPED, collection=CONTACTS, name=f"{number}.vcf")
    (notice,) = of(house)
    assert notice.count == 1000
    assert notice.names == tuple(f"{number}.vcf" for number in range(MAX_NAMES))


def test_a_device_that_says_so_again_is_no_further_ahead(house: House) -> None:
    for _ in range(3):
        tell(house, DEVICE_AHEAD, collection=CONTACTS, count=3, device="DAVx5")
    tell(house, DEVICE_AHEAD, collection=CONTACTS, count=1, device="khal")
    assert {(notice.facts["device"], notice.count) for notice in of(house)} == {("DAVx5", 3), ("khal", 1)}


def test_an_account_has_a_bounded_number_and_a_flood_drives_out_no_other(house: House) -> None:
    tell(house, RESTORED, exact=3)
    for number in range(MAX_NOTICES + 20):
        house.sim_clock.advance(1)
        tell(house, MASS_DELETE, collection=f"contacts/{number}")
    found = of(house)
    assert len(found) == MAX_NOTICES
    assert sum(notice.what == RESTORED for notice in found) == 1
    assert found[0].collection == f"contacts/{MAX_NOTICES + 19}"


def test_what_a_device_says_of_itself_is_cut(house: House) -> None:
    tell(house, MASS_DELETE, name="n" * 9999, device="d" * 9999, names=["x" * 9999] * 99, words=["x" * 9999] * 99)
    (notice,) = of(house)
    assert len(notice.name) == len(str(notice.facts["device"])) == MAX_TEXT
    assert len(notice.names) == MAX_NAMES and all(len(name) == MAX_TEXT for name in notice.names)
    words = notice.facts["words"]
    assert isinstance(words, list) and len(words) == MAX_NAMES and len(words[0]) == MAX_TEXT


def test_it_is_put_away_once_and_its_delete_is_on_record(house: House) -> None:
    account = house.account()
    key = tell(house, MASS_DELETE)
    assert house.engine.execute(DismissNotice(account=account.id, name=key, actor="ann")).changed
    assert of(house) == []
    assert not house.engine.execute(DismissNotice(account=account.id, name=key)).changed
    last = identity(house)[-1]
    assert (last.op, last.name, last.actor) == (Op.DELETE, NOTICE_PREFIX + key, "ann")


@pytest.mark.parametrize("name", ["", "../password", "profile", "nothing"])
def test_nothing_else_can_be_put_away(house: House, name: str) -> None:
    account = house.account()
    rev = house.reads.head(account.number, Kind.IDENTITY).rev
    assert not house.engine.execute(DismissNotice(account=account.id, name=name)).changed
    assert house.reads.head(account.number, Kind.IDENTITY).rev == rev


def test_notices_come_back_with_the_house(house: House) -> None:
    tell(house, MASS_DELETE, collection=CONTACTS, count=40, before=7)
    before = of(house)
    again = house.kill()
    again.boot()
    assert of(again) == before != []


def test_nothing_is_told_of_an_account_whose_identity_is_held(house: House) -> None:
    account = house.account()
    house.engine.core.begin()
    house.engine.core.hold(account.id, Kind.IDENTITY, "revisions 2 to 3 are missing")
    house.engine.core.commit()
    house.engine._ledger.forget()
    with pytest.raises(Held):
        tell(house, MASS_DELETE)
    with pytest.raises(Held):
        house.engine.execute(DismissNotice(account=account.id, name="x"))


def test_credentials_and_notices_do_not_meet(house: House) -> None:
    account = house.account()
    house.engine.execute(AddAppPassword(account=account.id, label="notice", sha256=bytes(32)))
    tell(house, MASS_DELETE)
    assert [known.label for known in app_passwords(house.reads, account)] == ["notice"]
    assert [name for name, _ in house.reads.secrets(account.number, APP_PREFIX)] == ["app/notice"]
    changes = identity(house)
    assert not touches_credentials(changes[-1]) and touches_credentials(changes[-2])
    assert house.account().name == "ann"


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ("notice/zz-restored", b'{"what": "restored", "at": 1}'),
        ("notice/0001-restored", b"{"),
        ("notice/0001-restored", b"[]"),
        ("notice/0001-restored", None),
        ("used/0001-restored", b'{"what": "restored", "at": 1}'),
    ],
)
def test_what_cannot_be_read_is_no_notice(item: str, body: bytes | None) -> None:
    assert parse_notice(item, body) is None
