"""Random changes, undos and undos of undos beside a dictionary of what was when, while a device syncs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from typing import Any, NamedTuple

import pytest

from safehold.disaster.house import House
from safehold.model.commands import (
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
from safehold.model.errors import Conflict, NotFound
from safehold.model.kinds import CollectionType, Kind
from safehold.service.undo_plan import plan_undo
from safehold.service.undone import Undone

BOOKS = ("contacts/default", "contacts/x")
FOLDERS = ("files/notes/a", "files/notes/a/b")
PATHS = (*BOOKS, *FOLDERS)
NAMES = ("0", "1", "2", "3")
TITLE = "{urn:test}title"

#: By path: its title, and its items: name -> text.
State = dict[str, tuple[str, dict[str, str]]]


class Moment(NamedTuple):
    at: int
    revs: dict[Kind, int]
    state: State


def kind_of(path: str) -> Kind:
    return Kind.CONTACTS if path.startswith("contacts") else Kind.NOTES


def card(name: str, text: str) -> bytes:
    return f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{text}\r\nEND:VCARD\r\n".encode()


class Machine:
    """Choices come from `dice`. `MOST` changes make one part of an undo, so that some go in parts."""

    MOST = 3

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.house = House.new()
        self.house.engine._judge._undo._most = self.MOST
        self.account = self.house.account()
        self.state: State = {"contacts/default": ("", {})}
        self.moments: list[Moment] = []
        self.last_undo: Moment | None = None  # where the undo of it goes back to
        self.device: dict[bytes, tuple[int, dict[str, str]]] = {}
        self.seen: Counter[str] = Counter()
        self.remember()

    def run(self, steps: int) -> None:
        rules: list[tuple[Callable[[], None], int]] = [
            (self.put, 8),
            (self.delete, 4),
            (self.make, 3),
            (self.remove, 2),
            (self.rename, 1),
            (self.undo, 5),
            (self.undo_the_undo, 2),
            (self.sync, 2),
        ]
        for rule in self.dice.choices([r for r, _ in rules], [w for _, w in rules], k=steps):
            rule()
            assert self.listing() == self.state, rule.__name__
        self.sync()

    # -- the world and its model -----------------------------------------------------------------------------

    def remember(self) -> None:
        reads = self.house.reads
        revs = {kind: reads.head(self.account.number, kind).rev for kind in (Kind.CONTACTS, Kind.NOTES)}
        self.moments.append(Moment(self.house.clock.now(), revs, deepcopy(self.state)))
        self.house.sim_clock.advance(1)

    def execute(self, command: AnyCommand) -> Outcome:
        return self.house.engine.execute(command)

    def somewhere(self) -> str | None:
        """A collection that is there."""
        return self.dice.choice(sorted(self.state)) if self.state else None

    def listing(self) -> State:
        reads = self.house.reads
        found: State = {}
        for collection in reads.collections(self.account.number):
            if collection.path in PATHS:
                texts = {item.name: (reads.body(item).inline or b"").decode() for item in reads.items(collection)}
                found[collection.path] = (collection.props.get(TITLE, ""), texts)
        return found

    def body(self, path: str, name: str, text: str) -> bytes:
        return card(name, text) if path in BOOKS else f"{name} {text}".encode()

    # -- changes ---------------------------------------------------------------------------------------------

    def put(self) -> None:
        path = self.somewhere()
        if path is None:
            return
        name, text = self.dice.choice(NAMES), self.dice.choice("pqr")
        data = self.body(path, name, text)
        self.execute(
            PutItem(
                account=self.account.id,
                path=path,
                name=name,
                body=Body(sha256(data).digest(), len(data), inline=data),
                media="text/vcard" if path in BOOKS else "text/plain",
                uid=name if path in BOOKS else None,
            )
        )
        self.state[path][1][name] = data.decode()
        self.remember()

    def delete(self) -> None:
        path = self.somewhere()
        if path is None or not self.state[path][1]:
            return
        name = self.dice.choice(sorted(self.state[path][1]))
        self.execute(DeleteItem(account=self.account.id, path=path, name=name, actor="device:phone"))
        del self.state[path][1][name]
        self.remember()

    def make(self) -> None:
        path = self.dice.choice(PATHS)
        above = path.rpartition("/")[0]
        if path in self.state or (above in PATHS and above not in self.state):
            return
        type_ = CollectionType.ADDRESSBOOK if path in BOOKS else CollectionType.FOLDER
        self.execute(MakeCollection(account=self.account.id, path=path, type=type_))
        self.state[path] = ("", {})
        self.remember()

    def remove(self) -> None:
        path = self.somewhere()
        if path is not None:
            self.execute(RemoveCollection(account=self.account.id, path=path, actor="device:phone"))
            self.state = {p: held for p, held in self.state.items() if p != path and not p.startswith(path + "/")}
            self.remember()

    def rename(self) -> None:
        path = self.somewhere()
        if path is not None:
            title = self.dice.choice("ST")
            self.execute(PatchProps(account=self.account.id, path=path, set={TITLE: title}))
            self.state[path] = (title, self.state[path][1])
            self.remember()

    # -- undos -----------------------------------------------------------------------------------------------

    def undo(self) -> None:
        dice = self.dice
        moment = dice.choice(self.moments[-15:])
        what = dice.choice(("account", "kind", "path", "deep", "item", "item", "deleted", "deleted"))
        scope: dict[str, Any] = {}
        if what == "kind":
            scope["kind"] = dice.choice((Kind.CONTACTS, Kind.NOTES))
        elif what != "account":
            scope["path"] = dice.choice(sorted(moment.state) or PATHS) if dice.random() < 0.9 else dice.choice(PATHS)
            scope["deep"] = what in ("deep", "deleted")
            scope["deleted_only"] = what == "deleted"
            if what == "item":
                scope["name"] = dice.choice(NAMES)
        when: dict[str, Any] = {"to": moment.at} if dice.random() < 0.5 else {"revs": moment.revs}
        self.undo_to(Undo(account=self.account.id, actor="undo", confirmed=True, **when, **scope), moment.state)

    def undo_to(self, command: Undo, then: State) -> None:
        expected = expected_after(self.state, then, command)
        if isinstance(expected, type):
            before = self.listing()
            with pytest.raises(expected):
                self.execute(command)
            assert self.listing() == before
            self.seen["refused"] += 1
            return
        lines = plan_undo(self.house.reads, self.account, command, self.house.clock.now()).lines()
        state_before = deepcopy(self.state)
        undone = Undone(self.execute(command))
        while undone.more:
            self.house.sim_clock.advance(1)
            undone.add(self.execute(undone.next(command)))
        assert undone.lines == lines, "a dry run says what the undo does"
        self.state = expected
        assert self.listing() == self.state
        self.remember()
        self.seen["undone" if undone.before else "nothing"] += 1
        self.seen["parts"] += undone.parts > 1
        if undone.before:
            self.last_undo = Moment(0, undone.before, state_before)

    def undo_the_undo(self) -> None:
        """The point that the last undo named leads back to before it, whatever came since."""
        moment = self.last_undo
        if moment is None:
            return
        self.seen["undo of an undo"] += 1
        command = Undo(account=self.account.id, actor="undo", confirmed=True, revs=moment.revs)
        then = {p: held for p, held in self.state.items() if kind_of(p) not in moment.revs}
        then |= {p: held for p, held in moment.state.items() if kind_of(p) in moment.revs}
        self.undo_to(command, then)

    # -- always ----------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """A device with a rev for each collection, as its sync token has it, learns of all by plain changes (law 2)."""
        reads = self.house.reads
        live = {c.id: c for c in reads.collections(self.account.number) if c.path in PATHS}
        for id_, collection in live.items():
            rev, held = self.device.get(id_, (0, {}))
            held = dict(held)
            for touched in reads.touched(collection, rev):
                assert touched.item is not None or touched.deleted, "404 stands on a recorded delete"
                if touched.item is None:
                    held.pop(touched.name, None)
                else:
                    held[touched.name] = (reads.body(touched.item).inline or b"").decode()
            assert held == self.state[collection.path][1]
            self.device[id_] = (reads.head(self.account.number, collection.kind).rev, held)
        self.device = {id_: held for id_, held in self.device.items() if id_ in live}


def expected_after(now: State, then: State, command: Undo) -> State | type[Exception]:
    """What an undo makes of `now`, or how it is refused."""
    result = deepcopy(now)
    path = command.path
    if path is None:
        named = frozenset(command.revs) or frozenset((Kind.CONTACTS, Kind.NOTES))
        kinds = (command.kind,) if command.kind is not None else (Kind.CONTACTS, Kind.NOTES)
        for kind in kinds:
            if kind not in named:
                continue
            mine = {p for p in now if kind_of(p) is kind}
            if kind is Kind.CONTACTS and mine and not any(kind_of(p) is kind for p in then):
                return NotFound
            result = {p: held for p, held in result.items() if p not in mine}
            result |= {p: deepcopy(held) for p, held in then.items() if kind_of(p) is kind}
        return result
    if command.name is not None:
        return _item_after(result, then, path, command.name)
    if path not in then:
        return NotFound
    inner = [p for p in PATHS if p == path or (command.deep and p.startswith(path + "/"))]
    above = path.rpartition("/")[0]
    if above in PATHS and above not in now and path not in now:
        return Conflict
    if command.deleted_only:
        for each in inner:
            if each in then:
                title, items = result.get(each, (then[each][0], {}))
                result[each] = (title, then[each][1] | items)
        return result
    for each in inner:
        result.pop(each, None)
        if each in then:
            result[each] = deepcopy(then[each])
    return result


def _item_after(result: State, then: State, path: str, name: str) -> State | type[Exception]:
    past = then.get(path, ("", {}))[1].get(name)
    live = result.get(path, ("", {}))[1].get(name)
    if past is None and live is None:
        return NotFound
    if past is None:
        del result[path][1][name]
        return result
    if path not in result:
        above = path.rpartition("/")[0]
        if above in PATHS and above not in result:
            return Conflict
        result[path] = (then[path][0], {})
    result[path][1][name] = past
    return result


@pytest.mark.parametrize("seed", range(40))
def test_undos_do_as_a_dictionary_of_states_says(seed: int) -> None:
    machine = Machine(random.Random(seed))
    machine.run(80)
    ALL.update(machine.seen)


def test_all_of_it_has_happened() -> None:
    if not ALL:
        pytest.skip("the test above was not run")
    assert set(ALL) >= {"undone", "nothing", "refused", "parts", "undo of an undo"}
    assert ALL["undone"] > 100
    assert ALL["parts"] > 20


ALL: Counter[str] = Counter()
