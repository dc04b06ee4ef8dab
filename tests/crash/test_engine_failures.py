"""What fails between a command and its answer: nothing half done is kept, nothing is answered that did not happen."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, TypeVar

import pytest

from safehold.disaster.house import House
from safehold.model.change import Change
from safehold.model.commands import (
    Body,
    DeleteItem,
    MakeCollection,
    Outcome,
    PutItem,
    RemoveCollection,
    Tags,
    Transfer,
    Undo,
)
from safehold.model.errors import Conflict, Held, NotFound, OutOfSpace, PreconditionFailed
from safehold.model.kinds import CollectionType, Kind
from safehold.ports.log import PreparedFrame
from safehold.web.pump import Pump

T = TypeVar("T")
BOOK = "contacts/default"


@pytest.fixture
def house() -> House:
    return House.new()


def put(house: House, uid: str, note: str = "", *, if_match: Tags | None = None) -> PutItem:
    data = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:{uid}\r\nNOTE:{note}\r\nEND:VCARD\r\n".encode()
    body = Body(sha256(data).digest(), len(data), inline=data)
    return PutItem(
        account=house.account().id,
        path=BOOK,
        name=f"{uid}.vcf",
        body=body,
        media="text/vcard",
        uid=uid,
        if_match=if_match,
        keep_refused=True,
    )


def delete(house: House, uid: str) -> DeleteItem:
    return DeleteItem(account=house.account().id, path=BOOK, name=f"{uid}.vcf")


def names(house: House, path: str = BOOK) -> list[str]:
    collection = house.reads.collection(house.account().number, path)
    assert collection is not None
    return [item.name for item in house.reads.items(collection)]


def head(house: House, kind: Kind = Kind.CONTACTS) -> int:
    return house.reads.head(house.account().number, kind).rev


# -- the engine


def test_no_answer_rests_on_a_change_that_was_taken_back(house: House) -> None:
    house.engine.execute(put(house, "a"))
    other = Tags(any=False, digests=frozenset((bytes(32),)))
    group = [
        delete(house, "never"),
        put(house, "a", "other", if_match=other),
        delete(house, "a"),
        delete(house, "a"),
    ]
    for operation, error, answer in (("write", errno.ENOSPC, OutOfSpace), ("write", errno.EIO, Held)):
        house.disk.fail(operation, error=error, path="/near/log", times=1)
        first, *rest = house.engine.execute_all(group)
        house.disk.mend()
        assert isinstance(first, NotFound), "it was judged by what is committed"
        assert [type(result) for result in rest] == [answer] * 3
        assert names(house) == ["a.vcf"]
    results = house.engine.execute_all(group)
    assert [type(result) for result in results] == [NotFound, PreconditionFailed, Outcome, NotFound]


def test_a_refusal_half_way_takes_back_the_whole_command(house: House) -> None:
    account = house.account().id

    def calendar(path: str, component: str) -> None:
        house.engine.execute(
            MakeCollection(account=account, path=path, type=CollectionType.CALENDAR, components=frozenset((component,)))
        )

    calendar("calendars/a", "VTODO")
    calendar("calendars/b", "VTODO")
    house.sim_clock.advance(10)
    then = house.clock.now()
    house.sim_clock.advance(10)
    for path in ("calendars/a", "calendars/b"):
        house.engine.execute(RemoveCollection(account=account, path=path))
    calendar("calendars/b", "VEVENT")
    before = head(house, Kind.TASKS)
    undo = Undo(account=account, to=then, kind=Kind.TASKS)
    refused, taken = house.engine.execute_all([undo, put(house, "a")])
    assert isinstance(refused, Conflict)
    assert isinstance(taken, Outcome)
    assert names(house) == ["a.vcf"]
    assert head(house, Kind.TASKS) == before
    assert house.reads.collection(house.account().number, "calendars/a") is None


def test_what_cannot_be_encoded_leaves_nothing_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.engine.execute(put(house, "a"))
    before = head(house)

    def broken(changes: Sequence[Change]) -> PreparedFrame:
        raise AssertionError("too long for a frame")

    with monkeypatch.context() as patch:
        patch.setattr(house.engine.log, "prepare", broken)
        results = house.engine.execute_all([put(house, "b"), put(house, "c")])
        assert [type(result) for result in results] == [Held, Held]
    assert head(house) == before
    house.engine.seal()
    assert house.engine.stopped is None
    assert [type(r) for r in house.engine.execute_all([put(house, "b"), put(house, "c")])] == [Outcome, Outcome]
    assert head(house) == before + 2
    after = house.crash()
    after.boot()
    assert names(after) == ["a.vcf", "b.vcf", "c.vcf"]


def test_a_commit_stands_whatever_those_say_who_are_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(changes: Sequence[Change]) -> None:
        raise RuntimeError("the event loop is closed")

    monkeypatch.setattr(house.engine, "_on_committed", broken)
    assert isinstance(house.engine.execute(put(house, "a")), Outcome)
    assert names(house) == ["a.vcf"]


# -- the pump


def on_loop(house: House, work: Callable[[Pump], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        return await asyncio.wait_for(work(Pump(house.engine, pool)), 20)

    with ThreadPoolExecutor(1) as pool:
        return asyncio.run(main())


def test_a_turn_that_is_cancelled_ends_with_its_work(house: House) -> None:
    begun, release = threading.Event(), threading.Event()
    house.engine.execute(put(house, "a"))

    def seal() -> None:
        begun.set()
        assert release.wait(10)
        house.engine.seal()

    async def work(pump: Pump) -> Outcome:
        sealing = asyncio.create_task(pump.exclusive(seal))
        await asyncio.to_thread(begun.wait, 10)
        for _ in range(2):
            sealing.cancel()
            await asyncio.sleep(0)
        writing = asyncio.create_task(pump.execute(put(house, "b")))
        for _ in range(10):
            await asyncio.sleep(0)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await sealing
        return await writing

    assert on_loop(house, work).created
    assert house.engine.stopped is None
    assert names(house) == ["a.vcf", "b.vcf"]


def test_everybody_who_waits_is_answered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(pump: Pump) -> list[Outcome | BaseException]:
        with monkeypatch.context() as patch:
            patch.setattr(house.engine, "prepare", lambda commands: 1 / 0)
            return await asyncio.gather(*(pump.execute(put(house, uid)) for uid in ("a", "b")), return_exceptions=True)

    assert [type(result) for result in on_loop(house, work)] == [Held, Held]
    assert on_loop(house, lambda pump: pump.execute(put(house, "c"))).created


def test_copies_that_come_together_make_small_batches(house: House) -> None:
    """How much one brings along shows only when it is judged, so few share a frame."""
    house.engine.execute(put(house, "a"))
    note = Body(sha256(b"x").digest(), 1, inline=b"x")
    path = "files/notes"
    house.engine.execute(PutItem(account=house.account().id, path=path, name="a", body=note, media="text/plain"))

    async def work(pump: Pump) -> list[Outcome]:
        copies = [
            Transfer(account=house.account().id, source=f"{path}/a", destination=f"{path}/b{number}")
            for number in range(9)
        ]
        return list(await asyncio.gather(*map(pump.execute, copies)))

    before = house.engine.log.position.frame
    assert all(outcome.created for outcome in on_loop(house, work))
    assert house.engine.log.position.frame - before == 3, "four, four and one"
