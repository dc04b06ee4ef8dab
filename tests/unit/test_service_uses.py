"""Uses of app passwords: on record once a day and program, bounded, and no more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.disaster.house import House
from safehold.lab.world import SimClock
from safehold.model.commands import AddAppPassword, NoteUse, RevokeAppPassword
from safehold.model.errors import NotFound
from safehold.model.items import Account
from safehold.model.kinds import Kind
from safehold.service.auth import SignedIn
from safehold.service.uses import (
    MAX_PROGRAM_CHARS,
    MAX_PROGRAMS,
    RETRY_SECONDS,
    Uses,
    app_passwords,
    day_of,
    program_of,
    programs_in,
    with_use,
)

DAY_SECONDS = 86_400
WHO = SignedIn(Account(1, bytes(16), "ann", False), "phone")


# -- what is remembered ----------------------------------------------------------------------------------------


def test_a_use_is_noted_once_a_day_and_program() -> None:
    clock = SimClock()
    uses = Uses(clock)
    first = uses.note(WHO, "DAVx5/4.5")
    assert first == NoteUse(account=bytes(16), label="phone", program="DAVx5/4.5", actor="device:DAVx5/4.5")
    assert uses.note(WHO, "DAVx5/4.5") is None
    assert uses.note(WHO, "DAVx5/4.6") is not None
    assert uses.note(WHO._replace(label="tablet"), "DAVx5/4.5") is not None
    clock.advance(DAY_SECONDS)
    assert uses.note(WHO, "DAVx5/4.5") == first


def test_the_accounts_own_password_is_not_noted() -> None:
    assert Uses(SimClock()).note(WHO._replace(label=""), "Firefox") is None


def test_a_program_that_changes_its_name_each_time_makes_few_changes() -> None:
    uses = Uses(SimClock())
    assert sum(uses.note(WHO, f"fuzz/{n}") is not None for n in range(1000)) == MAX_PROGRAMS


def test_what_failed_is_tried_again_after_a_while() -> None:
    clock = SimClock()
    uses = Uses(clock)
    command = uses.note(WHO, "a")
    assert command is not None
    uses.failed(command)
    assert uses.note(WHO, "a") is None
    clock.advance(RETRY_SECONDS + 1)
    assert uses.note(WHO, "a") == command


def test_a_label_that_may_stand_for_another_password_is_forgotten() -> None:
    uses = Uses(SimClock())
    uses.note(WHO, "a")
    uses.forget(bytes([9]) * 16)
    assert uses.note(WHO, "a") is None
    uses.forget(WHO.account.id)
    assert uses.note(WHO, "a") is not None


@given(st.text())
def test_a_program_is_printable_and_short(agent: str) -> None:
    program = program_of(agent)
    assert 0 < len(program) <= MAX_PROGRAM_CHARS
    assert program.isprintable() and program.isascii()
    assert program_of(program) == program


@given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(1, 5))))
def test_a_record_holds_the_last_day_of_the_latest_programs(uses: list[tuple[str, int]]) -> None:
    """Against the plain account of it: days in order, as a clock gives them."""
    record = None
    last: dict[str, str] = {}
    for program, number in sorted(uses, key=lambda use: use[1]):
        day = f"2026-11-0{number}"
        changed = with_use(programs_in(record), program, day)
        if changed is not None:
            record = changed
            last[program] = day
    kept = programs_in(record)
    assert len(kept) <= MAX_PROGRAMS
    assert all(last[program] == day for program, day in kept.items())
    assert list(kept.values()) == sorted(kept.values(), reverse=True)
    if last:
        assert max(kept.values()) == max(last.values())


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b'{"programs": 3}', b"\xff"])
def test_a_record_that_cannot_be_read_is_none(record: bytes) -> None:
    assert programs_in(record) == {}


# -- what is on record -----------------------------------------------------------------------------------------


@pytest.fixture
def house() -> House:
    house = House.new()
    house.engine.execute(AddAppPassword(account=house.account().id, label="phone", sha256=bytes(32)))
    return house


def identity_rev(house: House) -> int:
    return house.reads.head(house.account().number, Kind.IDENTITY).rev


def test_uses_are_on_record_by_the_day(house: House) -> None:
    account = house.account()
    note = NoteUse(account=account.id, label="phone", program="khal")
    before = identity_rev(house)
    assert house.engine.execute(note).changed
    assert not house.engine.execute(note).changed
    assert identity_rev(house) == before + 1
    today = day_of(house.clock.now())
    (known,) = app_passwords(house.reads, account)
    assert (known.label, known.last_used, known.programs) == ("phone", today, (("khal", today),))
    assert known.created > 0
    house.sim_clock.advance(DAY_SECONDS)
    assert house.engine.execute(note).changed
    assert app_passwords(house.reads, account)[0].last_used == day_of(house.clock.now()) > today


def test_a_revoked_password_takes_its_uses_with_it(house: House) -> None:
    account = house.account()
    note = NoteUse(account=account.id, label="phone", program="khal")
    house.engine.execute(note)
    house.engine.execute(RevokeAppPassword(account=account.id, label="phone"))
    assert app_passwords(house.reads, account) == []
    assert house.reads.secrets(account.number, "used/") == []
    with pytest.raises(NotFound):
        house.engine.execute(note)
    house.engine.execute(AddAppPassword(account=account.id, label="phone", sha256=bytes(32)))
    assert app_passwords(house.reads, account)[0].programs == ()


def test_uses_come_back_with_the_house(house: House) -> None:
    """They are changes as all others: after a kill the vaults' tail is all that is needed."""
    house.engine.execute(NoteUse(account=house.account().id, label="phone", program="khal"))
    before = app_passwords(house.reads, house.account())
    again = house.kill()
    again.boot()
    assert app_passwords(again.reads, again.account()) == before
