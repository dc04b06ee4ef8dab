"""The occurrence index beside a real core: it follows each change, and trusts nothing that the core does not say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.content.spans import Candidates, Spans, entry_of, window_around
from safehold.content.timerange import TimeRange
from safehold.model.commands import Body, DeleteItem, MakeCollection, PutItem, RemoveCollection
from safehold.model.items import Account, Collection
from safehold.model.kinds import CollectionType
from safehold.ports.core import CoreReads, Stored
from safehold.protocol.target import Target
from safehold.web import span_cache
from safehold.web.dav_call import Call
from safehold.web.dav_index import by_index
from safehold.web.request import Request
from safehold.web.span_cache import MOVE_DAYS, Draft, Index, SpanCache, advance
from tests.support.edge import TestGate

T = TypeVar("T")

PATH = "calendars/default"
NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
JUNE = TimeRange(NOW, NOW + 30 * 86_400)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TestGate]:
    gate = TestGate(tmp_path)
    gate.add_account("ann")
    yield gate
    gate.close()


def ann(gate: TestGate) -> Account:
    found = gate.reads.account_named("ann")
    assert found is not None
    return found


def event(name: str, start: str, *lines: str) -> bytes:
    text = ("BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", f"UID:{name}", f"DTSTART:{start}", *lines)
    return "\r\n".join((*text, "END:VEVENT", "END:VCALENDAR", "")).encode()


def put(gate: TestGate, name: str, body: bytes) -> None:
    stored = Body(sha256(body).digest(), len(body), inline=body)
    gate.engine.execute(
        PutItem(
            account=ann(gate).id, path=PATH, name=name, media="text/calendar", body=stored, uid=name, component="VEVENT"
        )
    )


def delete(gate: TestGate, name: str) -> None:
    gate.engine.execute(DeleteItem(account=ann(gate).id, path=PATH, name=name))


def collection(reads: CoreReads, gate: TestGate) -> Collection:
    found = reads.collection(ann(gate).number, PATH)
    assert found is not None
    return found


def piece(gate: TestGate, index: Index | None, now: int | None = NOW) -> Index:
    with gate.reads.snapshot() as moment:
        return advance(index, moment, collection(moment, gate), now)


def brought(gate: TestGate, index: Index | None, now: int | None = NOW) -> Spans:
    while not isinstance(index := piece(gate, index, now), Spans):
        pass
    return index


def brought_in(moment: Counting, gate: TestGate, index: Index | None) -> Spans:
    """The same within one moment, with reads that count."""
    while not isinstance(index := advance(index, cast(CoreReads, moment), collection(gate.reads, gate), NOW), Spans):
        pass
    return index


def found(spans: Spans) -> Candidates:
    return spans.candidates("VEVENT", JUNE, UTC)


class Counting:
    """Reads that count the bodies they give out, and may hold some back."""

    def __init__(self, reads: CoreReads) -> None:
        self._reads = reads
        self.bodies: list[str] = []
        self.together = 0  # bytes that were asked for at once, at most
        self.away: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reads, name)

    def items_with_bodies(self, collection: Collection, names: list[str]) -> Any:
        asked = self._reads.items_named(collection, names)
        self.together = max(self.together, sum(item.size for item in asked))
        for item, stored in self._reads.items_with_bodies(collection, names):
            self.bodies.append(item.name)
            yield item, Stored(None, None, stored.size) if item.name in self.away else stored


@contextmanager
def counted(gate: TestGate) -> Iterator[Counting]:
    with gate.reads.snapshot() as moment:
        yield Counting(moment)


def test_it_follows_each_change(gate: TestGate) -> None:
    for number in range(20):
        put(gate, f"{number:02}", event(f"{number:02}", f"202606{number + 1:02}T100000Z"))
    spans = brought(gate, None)
    assert found(spans) == Candidates([f"{number:02}" for number in range(20)], [])
    assert brought(gate, spans) is spans
    put(gate, "new", event("new", "20260620T100000Z"))
    put(gate, "03", event("03", "20260720T100000Z"))
    delete(gate, "04")
    later = brought(gate, spans)
    names = {*(f"{number:02}" for number in range(20)), "new"} - {"03", "04"}
    assert set(found(later).sure) == names
    assert (later.rev, later.head) == (collection(gate.reads, gate).rev, collection(gate.reads, gate).head)


def test_only_what_changed_is_read(gate: TestGate) -> None:
    for number in range(20):
        put(gate, f"{number:02}", event(f"{number:02}", "20260601T100000Z"))
    spans = brought(gate, None)
    put(gate, "07", event("07", "20270601T100000Z"))
    delete(gate, "08")
    with counted(gate) as moment:
        brought_in(moment, gate, spans)
    assert moment.bodies == ["07"]


def test_large_bodies_are_read_a_few_at_a_time(gate: TestGate) -> None:
    for number in range(12):
        put(gate, f"{number:02}", event(f"{number:02}", "20260601T100000Z", "DESCRIPTION:" + "x" * 400_000))
    with counted(gate) as moment:
        spans = brought_in(moment, gate, None)
    assert len(found(spans).sure) == len(set(moment.bodies)) == 12
    assert moment.together < 2_000_000


def test_a_body_that_is_away_is_not_out(gate: TestGate) -> None:
    put(gate, "here", event("here", "20260601T100000Z"))
    put(gate, "away", event("away", "20260601T100000Z"))
    with counted(gate) as moment:
        moment.away = {"away"}
        spans = brought_in(moment, gate, None)
    assert found(spans) == Candidates(["here"], ["away"])
    put(gate, "later", event("later", "20300101T000000Z"))
    with counted(gate) as moment:
        moment.away = {"later"}
        spans = brought_in(moment, gate, spans)
    assert found(spans) == Candidates(["here"], ["away", "later"])


def test_another_history_is_read_anew(gate: TestGate) -> None:
    put(gate, "one", event("one", "20260601T100000Z"))
    good = brought(gate, None)
    entries = {"ghost": entry_of(event("ghost", "20260601T100000Z"), window_around(NOW))}
    forged = Spans(good.id, good.rev, bytes(32), good.window, entries)
    ahead = Spans(good.id, good.rev + 5, good.head, good.window, entries)
    other = Spans(bytes(16), good.rev, good.head, good.window, entries)
    for spans in (forged, ahead, other):
        assert found(brought(gate, spans)) == Candidates(["one"], [])


def test_a_collection_made_anew_is_another(gate: TestGate) -> None:
    put(gate, "one", event("one", "20260601T100000Z"))
    old = brought(gate, None)
    account = ann(gate).id
    gate.engine.execute(RemoveCollection(account=account, path=PATH))
    gate.engine.execute(
        MakeCollection(account=account, path=PATH, type=CollectionType.CALENDAR, props={"components": "VEVENT"})
    )
    assert found(brought(gate, old)) == Candidates([], [])


def test_the_window_follows_the_time(gate: TestGate) -> None:
    put(gate, "once", event("once", "20260610T100000Z"))
    put(gate, "weekly", event("weekly", "20200101T100000Z", "RRULE:FREQ=WEEKLY"))
    spans = brought(gate, None, NOW - 5 * 366 * 86_400)
    assert found(spans) == Candidates(["once"], ["weekly"])
    with counted(gate) as moment:
        spans = brought_in(moment, gate, spans)
    assert moment.bodies == ["weekly"]
    assert set(found(spans).sure) == {"once", "weekly"}
    assert brought(gate, spans, NOW + MOVE_DAYS * 86_400) is spans
    assert brought(gate, spans, NOW + (MOVE_DAYS + 1) * 86_400) is not spans
    assert brought(gate, spans, None) is spans


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, "20260601", "20270601"])), max_size=20))
def test_any_row_of_changes_leads_to_the_same_index(gate: TestGate, changes: list[tuple[str, str | None]]) -> None:
    spans = brought(gate, None)
    for name, day in changes:
        if day is not None:
            put(gate, name, event(name, f"{day}T100000Z"))
        elif gate.reads.item(collection(gate.reads, gate), name) is not None:
            delete(gate, name)
        if name < "d":
            spans = brought(gate, spans)
    step, whole = found(brought(gate, spans)), found(brought(gate, None))
    assert (sorted(step.sure), sorted(step.maybe)) == (sorted(whole.sure), sorted(whole.maybe))


# -- in pieces -----------------------------------------------------------------------------------------------

#: Uses up all steps that an entry may take: there is no such day.
HOSTILE = ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",)


def with_hostile(gate: TestGate, count: int) -> None:
    for number in range(count):
        put(gate, f"hostile{number:02}", event(f"hostile{number:02}", "20260101T000000Z", *HOSTILE))


def test_an_index_of_hostile_objects_is_made_in_pieces(gate: TestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    with_hostile(gate, 20)
    put(gate, "plain", event("plain", "20260610T100000Z"))
    index: Index | None = None
    left = [21]
    while not isinstance(index := piece(gate, index), Spans):
        left.append(len(index.pending))
    assert len(left) >= 10  # pieces of two at most
    assert all(0 < before - after <= 2 for before, after in pairwise(left))
    monkeypatch.setattr(span_cache, "PIECE_STEPS", 1 << 60)
    whole = piece(gate, None)
    assert isinstance(whole, Spans)
    assert found(index) == found(whole)
    assert found(index).sure == ["plain"]


def test_many_ordinary_bodies_are_read_in_pieces(gate: TestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_cache, "_PIECE_BODIES", 8)
    for number in range(30):
        put(gate, f"{number:02}", event(f"{number:02}", "20260601T100000Z"))
    index: Index | None = None
    for left in (22, 14, 6):
        index = piece(gate, index)
        assert isinstance(index, Draft)
        assert len(index.pending) == left
        assert len(index) == 30
    assert len(found(brought(gate, index)).sure) == 30


def test_what_changes_between_pieces_is_followed(gate: TestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_cache, "_PIECE_BODIES", 2)
    for name in "abcdef":
        put(gate, name, event(name, "20260601T100000Z"))
    first = piece(gate, None)
    assert isinstance(first, Draft)
    assert first.pending == ("c", "d", "e", "f")
    delete(gate, "a")  # read already
    put(gate, "b", event("b", "20270601T100000Z"))  # the same
    delete(gate, "c")  # pending
    put(gate, "d", event("d", "20270601T100000Z"))  # the same
    put(gate, "g", event("g", "20260601T100000Z"))  # new
    spans = brought(gate, first)
    assert (sorted(found(spans).sure), found(spans).maybe) == (["e", "f", "g"], [])
    assert (spans.rev, spans.head, len(spans)) == (
        collection(gate.reads, gate).rev,
        collection(gate.reads, gate).head,
        5,
    )
    assert isinstance(first, Draft)
    assert first.pending == ("c", "d", "e", "f")  # immutable


def test_a_draft_of_another_history_is_begun_anew(gate: TestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_cache, "_PIECE_BODIES", 2)
    for name in "abcd":
        put(gate, name, event(name, "20260601T100000Z"))
    draft = piece(gate, None)
    assert isinstance(draft, Draft)
    for forged in (replace(draft, head=bytes(32)), replace(draft, rev=draft.rev + 5)):
        again = piece(gate, forged)
        assert isinstance(again, Draft)
        assert again.pending == ("c", "d")


def test_a_window_moves_in_pieces(gate: TestGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_cache, "_PIECE_BODIES", 2)
    for name in "abcde":
        put(gate, name, event(name, "20200101T100000Z", "RRULE:FREQ=WEEKLY"))
    old = brought(gate, None, NOW - 5 * 366 * 86_400)
    assert sorted(found(old).maybe) == list("abcde")
    draft = piece(gate, old)
    assert isinstance(draft, Draft)
    assert len(draft.pending) == 3
    delete(gate, "a")
    spans = brought(gate, draft)
    assert (sorted(found(spans).sure), found(spans).maybe) == (list("bcde"), [])
    assert spans.window == window_around(NOW)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pieces_lead_to_the_same_index_whatever_comes_between(gate: TestGate, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3))
    steps = data.draw(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, "20260601", "20270601"])), max_size=20)
    )
    index: Index | None = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_cache, "_PIECE_BODIES", size)
        for name, day in steps:
            if day is not None:
                put(gate, name, event(name, f"{day}T100000Z"))
            elif gate.reads.item(collection(gate.reads, gate), name) is not None:
                delete(gate, name)
            if name < "e":
                index = piece(gate, index)
        stepped = found(brought(gate, index))
    whole = found(brought(gate, None))
    assert (sorted(stepped.sure), sorted(stepped.maybe)) == (sorted(whole.sure), sorted(whole.maybe))


class OneThread(TestGate):
    """One reading thread: who comes first is served first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._thread = asyncio.Lock()

    async def in_thread(self, work: Callable[[CoreReads], T]) -> T:
        async with self._thread:
            await asyncio.sleep(0)  # whoever wants the thread meanwhile stands in the queue
            return await super().in_thread(work)


def test_others_have_their_turn_while_an_index_is_made(tmp_path: Path) -> None:
    gate = OneThread(tmp_path)
    gate.add_account("ann")
    with_hostile(gate, 12)
    call = Call(gate, ann(gate), cast(Request, None), cast(Target, None))
    story: list[str] = []

    async def query() -> None:
        names = await by_index(call, collection(gate.reads, gate), lambda _moment, _here, index: found(index).maybe)
        story.append(f"{len(names)} found")

    async def other() -> None:
        for _ in range(3):
            await gate.in_thread(lambda _: story.append("other"))

    async def both() -> None:
        await asyncio.gather(query(), other())

    asyncio.run(both())
    assert story == ["other"] * 3 + ["12 found"]
    gate.close()


def test_the_next_query_goes_on_where_one_was_broken_off(gate: TestGate) -> None:
    with_hostile(gate, 12)
    call = Call(gate, ann(gate), cast(Request, None), cast(Target, None))
    here = collection(gate.reads, gate)
    first = piece(gate, None)
    assert isinstance(first, Draft)
    gate.spans.put(first)
    asyncio.run(by_index(call, here, lambda _moment, _here, index: found(index)))
    made = gate.spans.get(here.id)
    assert isinstance(made, Spans)
    assert made.window is first.window
    assert len(made) == 12


def index(id_: int, entries: int) -> Spans:
    window = window_around(NOW)
    one = entry_of(event("x", "20260601T100000Z"), window)
    return Spans(id_.to_bytes(16, "big"), 1, b"", window, {str(number): one for number in range(entries)})


def test_the_least_recently_used_goes() -> None:
    cache = SpanCache(max_entries=10)
    one, two, three = index(1, 4), index(2, 4), index(3, 4)
    cache.put(one)
    cache.put(two)
    assert cache.get(one.id) is one
    cache.put(three)
    assert [cache.get(spans.id) for spans in (one, two, three)] == [one, None, three]
    cache.put(index(1, 6))
    assert len(cache) == 2
    cache.put(index(4, 11))  # more than fits at all
    assert cache.get(index(4, 0).id) is None
    assert len(cache) == 2


def test_the_gates_have_a_cache(gate: TestGate) -> None:
    assert isinstance(gate.spans, SpanCache)
    assert span_cache.MAX_ENTRIES >= 100_000
