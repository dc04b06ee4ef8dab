"""The occurrence index beside a real core: it follows each change, and trusts nothing that the core does not say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.content.spans import Candidates, Spans, entry_of, window_around
from safehold.content.timerange import TimeRange
from safehold.model.commands import Body, DeleteItem, MakeCollection, PutItem, RemoveCollection
from safehold.model.items import Account, Collection
from safehold.model.kinds import CollectionType
from safehold.ports.core import CoreReads, Stored
from safehold.web import span_cache
from safehold.web.span_cache import MOVE_DAYS, SpanCache, advance
from tests.support.edge import TestGate

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


def brought(gate: TestGate, spans: Spans | None, now: int | None = NOW) -> Spans:
    with gate.reads.snapshot() as moment:
        return advance(spans, moment, collection(moment, gate), now)


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
        advance(spans, cast(CoreReads, moment), collection(gate.reads, gate), NOW)
    assert moment.bodies == ["07"]


def test_large_bodies_are_read_a_few_at_a_time(gate: TestGate) -> None:
    for number in range(12):
        put(gate, f"{number:02}", event(f"{number:02}", "20260601T100000Z", "DESCRIPTION:" + "x" * 400_000))
    with counted(gate) as moment:
        spans = advance(None, cast(CoreReads, moment), collection(gate.reads, gate), NOW)
    assert len(found(spans).sure) == len(moment.bodies) == 12
    assert moment.together < 2_000_000


def test_a_body_that_is_away_is_not_out(gate: TestGate) -> None:
    put(gate, "here", event("here", "20260601T100000Z"))
    put(gate, "away", event("away", "20260601T100000Z"))
    with counted(gate) as moment:
        moment.away = {"away"}
        spans = advance(None, cast(CoreReads, moment), collection(gate.reads, gate), NOW)
    assert found(spans) == Candidates(["here"], ["away"])
    put(gate, "later", event("later", "20300101T000000Z"))
    with counted(gate) as moment:
        moment.away = {"later"}
        spans = advance(spans, cast(CoreReads, moment), collection(gate.reads, gate), NOW)
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
        spans = advance(spans, cast(CoreReads, moment), collection(gate.reads, gate), NOW)
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
