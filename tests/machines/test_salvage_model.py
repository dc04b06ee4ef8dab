"""Recovery from damaged sources alone, against plain dictionaries: what one copy is left of comes back, no more."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from safehold.lab.simdisk import SimDisk
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.recovery.find import Find
from safehold.recovery.plan import Plan, make_plan
from safehold.recovery.run import Result, run_plan
from safehold.store.sqlite.core import SqliteCore
from tests.support.finds import find_in, find_of, put_chain, store_of
from tests.support.recovery_fakes import FakeBlobs, FakeClock, FakeReader, History, card

DATA = "/data"
SEEDS = 100

#: Live items: account, path of the collection, name -> body.
Live = dict[tuple[bytes, str, str], bytes]


def a_history(draw: random.Random) -> History:
    """Some accounts and what they did."""
    history = History()
    names = ["ada", "bert"][: draw.randint(1, 2)]
    for name in names:
        history.account(name)
        history.mkcol(name, Kind.CONTACTS, "contacts/more", {"type": "addressbook"})
    made = {name: {"contacts/default", "contacts/more"} for name in names}
    for number in range(draw.randint(5, 40)):
        name = draw.choice(names)
        path = draw.choice(sorted(made[name]))
        item = f"{draw.randint(0, 6)}.vcf"
        match draw.randint(0, 9):
            case 0 | 1:
                history.delete(name, Kind.CONTACTS, item, path=path)
            case 2 if path == "contacts/more":
                history.rmcol(name, Kind.CONTACTS, path)
                history.mkcol(name, Kind.CONTACTS, path, {"type": "addressbook"})
            case 3:
                history.put(name, Kind.NOTES, f"note {draw.randint(0, 4)}", b"note %d" % number)
            case _:
                history.put(name, Kind.CONTACTS, item, card(item, str(number)), path=path)
        if draw.random() < 0.1:
            history.seal()
        if draw.random() < 0.05:
            history.claim()
    if draw.random() < 0.5:
        history.seal()
    return history


def some(draw: random.Random, things: Iterable[Change], share: float) -> list[Change]:
    """Runs of them, as pages are lost."""
    kept, on = [], draw.random() < share
    for thing in things:
        if draw.random() < 0.25:
            on = draw.random() < share
        if on:
            kept.append(thing)
    return kept


def plan_of(reader: FakeReader, find: Find | None, core: SqliteCore | None = None) -> Plan:
    vault = reader._history.vault
    return make_plan(reader, [vault], FakeClock(), sync=("near",), find=find, core=core)


def recovered(reader: FakeReader, find: Find | None, disk: SimDisk, **more: bool) -> tuple[Plan, Result]:
    plan = plan_of(reader, find)
    result = run_plan(
        plan,
        reader,
        make_core=lambda folder: SqliteCore.open(f"{folder}/core.db", disk=disk, create=True),
        blobs=FakeBlobs(),
        disk=disk,
        data=DATA,
        clock=FakeClock(),
        claim=reader._history.claim,
        find=find,
        **more,
    )
    return plan, result


def core_on(disk: SimDisk) -> SqliteCore:
    return SqliteCore.open(f"{DATA}/core/core.db", disk=disk)


def live_in(core: SqliteCore) -> Live:
    found: Live = {}
    for account in core.accounts():
        for collection in core.collections(account.number):
            for item in core.items(collection):
                body = core.body(item).inline
                assert body is not None
                found[account.id, collection.path, item.name] = body
    return found


def live_after(changes: Iterable[Change]) -> Live:
    """What lives where these changes are all that there is, by rev."""
    paths: dict[bytes, str | None] = {}
    items: dict[tuple[bytes, bytes, str], bytes] = {}
    for change in sorted(changes, key=lambda c: (c.account, c.kind, c.rev)):
        where = (change.account, change.collection)
        if change.op is Op.MKCOL:
            paths[change.collection] = change.name
        elif change.op is Op.RMCOL:
            paths[change.collection] = None
            items = {key: body for key, body in items.items() if key[:2] != where}
        elif change.op is Op.PUT:
            assert change.body is not None
            items[*where, change.name] = change.body
        elif change.op is Op.DELETE:
            items.pop((*where, change.name), None)
    return {
        (account, path, name): body
        for (account, collection, name), body in items.items()
        if account != bytes(16) and (path := paths.get(collection)) is not None
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`--salvages N` runs so many seeds, where they are more."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(max(SEEDS, metafunc.config.getoption("--salvages") or 0)))


def test_all_of_which_one_copy_is_left_comes_back_and_nothing_else(seed: int) -> None:
    draw = random.Random(seed)
    history = a_history(draw)
    in_vaults = some(draw, history.changes, draw.choice((0.0, 0.3, 0.7, 1.0)))
    finds = [some(draw, history.changes, draw.random()) for _ in range(draw.randint(1, 3))]
    left = {c.hash: c for c in [*in_vaults, *(c for found in finds for c in found)]}
    kept = {c.hash for c in in_vaults}
    reader = history.reader(
        {frame.position.frame for frame in history.frames if any(c.hash not in kept for c in frame.changes)}
    )
    find = find_in(*(store_of(lambda finds, found=found: put_chain(finds, found)) for found in finds))
    disk = SimDisk()
    plan, result = recovered(reader, find, disk)
    core = core_on(disk)
    assert {change.hash for _, _, change in core.changes(limit=100_000)} == left.keys()
    assert live_in(core) == live_after(left.values())
    assert result.report.changes_recovered == len(left)
    assert plan.report.items == result.report.items
    assert plan.report.lost == result.report.lost
    core.close()


@pytest.mark.parametrize("few", range(20))
def test_an_intact_vault_needs_no_find(few: int) -> None:
    draw = random.Random(few)
    history = a_history(draw)
    find = find_of(some(draw, history.changes, 0.6))
    alone, _ = recovered(history.reader(), None, SimDisk())
    disk = SimDisk()
    with_find, _ = recovered(history.reader(), find, disk)
    assert with_find.joined == []
    assert with_find.report.items == alone.report.items
    assert [(s.head, s.state, s.sources) for s in with_find.streams] == [
        (s.head, s.state, s.sources) for s in alone.streams
    ]
    core = core_on(disk)
    assert live_in(core) == live_after(history.changes)
    core.close()
