"""What an account may hold: judged within the transaction (I41), as a whole, and never in the way of a delete."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safehold.disaster.house import House
from safehold.model.change import Op
from safehold.model.commands import (
    AddScore,
    AnyCommand,
    Body,
    DeleteItem,
    MakeCollection,
    Outcome,
    PatchProps,
    PutItem,
    RemoveCollection,
    Undo,
)
from safehold.model.errors import NotFound, OverQuota, SafeholdError
from safehold.model.kinds import CollectionType

QUOTA = 1000
NOTES = "files/notes"


@pytest.fixture
def house() -> House:
    return House.new(quota_bytes=QUOTA)


def put(house: House, name: str, size: int, path: str = NOTES) -> PutItem:
    data = name[:1].encode() * size
    body = Body(sha256(data).digest(), size, inline=data)
    return PutItem(account=house.account().id, path=path, name=name, body=body, media="text/plain")


def used(house: House) -> int:
    return house.reads.used_bytes(house.account().number)


def holds(house: House) -> int:
    """What is there, counted item by item."""
    reads, number = house.reads, house.account().number
    collections = [c for c in reads.collections(number) if c.path != "identity"]
    return sum(item.size for collection in collections for item in reads.items(collection))


def test_what_would_go_over_is_refused_and_nothing_is_lost(house: House) -> None:
    house.engine.execute(put(house, "a", 600))
    with pytest.raises(OverQuota, match=r"may hold 1,000 bytes; it holds 600, and this would be 401 more") as refused:
        house.engine.execute(put(house, "b", 401))
    assert refused.value.element == "{DAV:}quota-not-exceeded"
    assert used(house) == holds(house) == 600
    house.engine.execute(put(house, "b", 400))
    assert used(house) == QUOTA
    with pytest.raises(OverQuota):
        house.engine.execute(AddScore(account=house.account().id, game="go", score=1))
    with pytest.raises(OverQuota):
        house.engine.execute(put(house, "a", 601))
    collection = house.reads.collection(house.account().number, NOTES)
    assert collection is not None
    assert [(i.name, i.size) for i in house.reads.items(collection)] == [("a", 600), ("b", 400)]


def test_what_takes_no_room_passes_over_the_limit_too(house: House) -> None:
    """As where the operator lowers the limit."""
    house.engine.execute(put(house, "a", 600))
    house.engine.execute(put(house, "b", 400))
    house.close()
    house.quota_bytes = 500
    house.boot()
    account = house.account().id
    house.engine.execute(put(house, "a", 500))
    house.engine.execute(put(house, "a", 500))
    house.engine.execute(MakeCollection(account=account, path=NOTES + "/x", type=CollectionType.FOLDER))
    house.engine.execute(PatchProps(account=account, path=NOTES, set={"{x}y": "<y/>" * 1000}))
    house.engine.execute(RemoveCollection(account=account, path=NOTES + "/x"))
    house.engine.execute(put(house, "empty", 0))
    house.engine.execute(DeleteItem(account=account, path=NOTES, name="b"))
    assert used(house) == holds(house) == 500
    with pytest.raises(OverQuota):
        house.engine.execute(put(house, "c", 1))


def test_one_that_goes_over_does_not_hinder_the_others_of_its_batch(house: House) -> None:
    commands: list[AnyCommand] = [put(house, "a", 700), put(house, "b", 700), put(house, "c", 300), put(house, "d", 1)]
    results = house.engine.execute_all(commands)
    assert [type(r) is OverQuota for r in results] == [False, True, False, True]
    assert used(house) == holds(house) == QUOTA


def test_a_command_of_many_changes_is_judged_by_their_sum(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that copies before it takes the source away grows in between; one that ends too large leaves nothing."""
    house.engine.execute(put(house, "a", 800))
    judge, ledger = house.engine._judge, house.engine._ledger

    def moved(command: PutItem, source: str, size: int) -> Outcome:
        account = ledger.account(command.account)
        collection = ledger.collection(account, command.path)
        assert collection is not None
        with ledger.group():
            made = put(house, command.name, size)
            ledger.put(account, collection, made.name, made.media, made.body, "test")
            if source:
                ledger.append(account, collection.kind, Op.DELETE, collection.id, "test", name=source)
        return Outcome()

    real = judge._apply
    plans = {"moved": ("a", 800), "copied": ("", 800)}

    def apply(command: AnyCommand) -> Outcome:
        plan = plans.get(command.name) if isinstance(command, PutItem) else None
        if plan is None:
            return real(command)
        assert isinstance(command, PutItem)
        return moved(command, *plan)

    monkeypatch.setattr(judge, "_apply", apply)
    results = house.engine.execute_all([put(house, "b", 100), put(house, "moved", 0), put(house, "copied", 0)])
    assert [type(r) for r in results] == [Outcome, Outcome, OverQuota]
    collection = house.reads.collection(house.account().number, NOTES)
    assert collection is not None
    assert [(i.name, i.size) for i in house.reads.items(collection)] == [("b", 100), ("moved", 800)]
    assert used(house) == holds(house) == 900


def test_what_was_there_can_always_be_brought_back(house: House) -> None:
    house.engine.execute(put(house, "a", 900))
    before = house.clock.now()
    house.sim_clock.advance(10)
    house.engine.execute(DeleteItem(account=house.account().id, path=NOTES, name="a"))
    house.engine.execute(put(house, "b", 900))
    house.engine.execute(Undo(account=house.account().id, to=before, path=NOTES, name="a"))
    assert used(house) == holds(house) == 1800


def test_without_a_limit_nothing_is_refused() -> None:
    house = House.new()
    house.engine.execute(put(house, "a", 1 << 20))
    assert used(house) == holds(house) == 1 << 20


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(0, 700) | st.none(), st.sampled_from([NOTES, NOTES + "/x"])),
            max_size=5,
        ),
        max_size=8,
    )
)
def test_an_account_never_holds_more_than_it_may(batches: list[list[tuple[str, int | None, str]]]) -> None:
    house = House.new(quota_bytes=QUOTA)
    account = house.account().id
    house.engine.execute(MakeCollection(account=account, path=NOTES + "/x", type=CollectionType.FOLDER))
    for batch in batches:
        commands: list[AnyCommand] = [
            DeleteItem(account=account, path=path, name=name) if size is None else put(house, name, size, path)
            for name, size, path in batch
        ]
        for result in house.engine.execute_all(commands):
            assert not isinstance(result, SafeholdError) or isinstance(result, OverQuota | NotFound)
        assert used(house) == holds(house) <= QUOTA
    house.close()
