"""What must be true: every acknowledged wish of every device, in plain dictionaries, and what may be besides.

The oracle judges each wish by the rules of the service, without any of its code, and keeps the world after each
group commit. So it knows, after any disaster, what must be there bit for bit; what may be there, all or nothing, for
a group that was never answered or answered 503; what a sync from any earlier moment must tell; and whether somebody
ever asked for what a device is about to delete.

A world maps a collection's path below /dav/ ("ann/contacts/default", or "ann/scores/chess") to a shelf. In a game's
shelf a score's name is the text that came with it, since the server chooses the resource's own.

Long, as it holds every rule of the service once more, side by side, for who compares it with the standards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

#: What the world's paths may lie in without being made first.
DEFAULTS = {
    "contacts/default": "addressbook",
    "calendars/default": "VEVENT",
    "calendars/tasks": "VTODO",
    "calendars/notes": "VJOURNAL",
    "files/notes": "folder",
    "files/photos": "folder",
}
#: Folders of one person within folders.
MAX_DEPTH = 32
#: The kinds of undo, and where their collections lie.
KINDS = ("contacts", "calendar", "notes", "tasks", "photos", "scores")


def etag_of(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()}"'


class Thing(NamedTuple):
    """An item. `uid` is that of a vCard or iCalendar object, else empty."""

    body: bytes
    uid: str = ""
    tag: str = ""

    @property
    def etag(self) -> str:
        return etag_of(self.body)


class Shelf(NamedTuple):
    """A collection. One made anew under an old path has another serial."""

    serial: int
    type: str
    tag: str
    items: Mapping[str, Thing]


World = Mapping[str, Shelf]


class Wish(NamedTuple):
    """What somebody asks for: one request, or one command.

    put, delete, tag: an item, or (tag) a shelf where `name` is empty. make, remove: a shelf, of `type`. copy, move: an
    item to `to_name` in `to_shelf`, or a folder, where both names are empty, to the path `to_shelf`; not over what is
    there where `if_absent`. score: `name` is its text, `body` its number. undo: back to `to` (µs), an item, a shelf, or
    a kind (`type`). account: a new one, whose name `shelf` is.
    """

    op: str
    shelf: str
    name: str = ""
    body: bytes = b""
    uid: str = ""
    tag: str = ""
    type: str = ""
    if_match: str = ""  # an entity tag
    if_absent: bool = False
    to: int = 0
    to_shelf: str = ""
    to_name: str = ""

    @property
    def path(self) -> str:
        return f"{self.shelf}/{self.name}" if self.name else self.shelf

    @property
    def to_path(self) -> str:
        return f"{self.to_shelf}/{self.to_name}" if self.to_name else self.to_shelf


class Touch(NamedTuple):
    """A name that a wish touched: what the next sync of its shelf has to tell, or (refused) may tell.

    An empty name is the shelf itself, of which a sync tells nothing.
    """

    shelf: str
    serial: int
    name: str
    refused: bool


class Verdict(NamedTuple):
    """What a wish comes to: the statuses it may be answered with, and the world afterwards."""

    statuses: frozenset[int]
    world: World
    touched: tuple[Touch, ...] = ()


class Moment(NamedTuple):
    """The world after a group commit. `changes` counts the journal's rows; `at` is the commit's time (µs).

    `known_at` is when it was acknowledged, or found to have happened.
    """

    at: int
    changes: int
    world: World
    touched: tuple[Touch, ...]
    known_at: int


class Doubt(NamedTuple):
    """A group that nobody was told the fate of: what it would have made of the world at that moment."""

    at: int
    world: World
    touched: tuple[Touch, ...]


class News(NamedTuple):
    """What a sync from an earlier moment has to tell. `may` are names that only refused writes touched."""

    must: frozenset[str]
    may: frozenset[str]


class Wrong(AssertionError):
    """The house broke its word: `rule` is the invariant of docs/invariants.md, or the law, that says what it was."""

    def __init__(self, text: str, rule: str = "law 1") -> None:
        super().__init__(text)
        self.rule = rule


class Oracle:
    """Keeps the worlds. Moments are numbered from 0; the last is what is now acknowledged."""

    def __init__(self, users: Iterable[str]) -> None:
        self._serial = 0
        world: dict[str, Shelf] = {}
        for user in users:
            world.update(self._new_account(user))
        self.moments = [Moment(0, 0, world, (), 0)]
        self.doubts: list[Doubt] = []
        self._deleted: set[tuple[str, str]] = set()

    @property
    def world(self) -> World:
        return self.moments[-1].world

    @property
    def now(self) -> int:
        """The number of the last moment."""
        return len(self.moments) - 1

    def begin(self, at: int, changes: int) -> None:
        """The first moment: an installation just made."""
        self.moments = [Moment(at, changes, self.world, (), at)]

    # -- what becomes of groups --------------------------------------------------------------------------------

    def judge_group(self, wishes: Sequence[Wish]) -> tuple[list[Verdict], Doubt]:
        """Verdicts on wishes that come in this order, and the world after all of them."""
        world = self.world
        touched: list[Touch] = []
        verdicts = []
        for wish in wishes:
            verdict = self.judge(wish, world)
            verdicts.append(verdict)
            world = verdict.world
            touched += verdict.touched
        return verdicts, Doubt(0, world, tuple(touched))

    def acknowledge(self, doubt: Doubt, at: int, changes: int, known_at: int | None = None) -> None:
        """A group was committed: it is the world now. Where it wrote, what was doubtful before cannot come any more."""
        self._remember_deletes(self.world, doubt.world)
        if changes > self.moments[-1].changes:
            self.doubts.clear()
        self.moments.append(Moment(at, changes, doubt.world, doubt.touched, at if known_at is None else known_at))

    def doubt(self, doubt: Doubt, at: int) -> None:
        """A group's fate is not known: it may show at the next start, as a whole, or not."""
        if doubt.world != self.world or doubt.touched:
            self.doubts.append(doubt._replace(at=at))

    def settle(self, seen: World, changes: int, now: int, *, first: int | None = None) -> list[Moment]:
        """After a start: find the moment that the house is at. Raises Wrong where it is at none.

        It is the last one, or that with one doubtful group on top. With `first` history may have lost its end, but not
        that moment. Returns the moments that were lost; they are forgotten here.
        """
        last = self.moments[-1]
        for doubt in self.doubts:
            if changes > last.changes and same(seen, doubt.world):
                self.acknowledge(doubt, doubt.at, changes, now)
                return []
        if changes == last.changes:
            self.doubts.clear()
            self._require(seen, last.world)
            return []
        if changes > last.changes:
            self._require(seen, self.doubts[0].world if self.doubts else last.world)
            raise Wrong(f"there are {changes - last.changes} changes that nobody asked for", "I25")
        if first is None:
            raise Wrong(f"{last.changes - changes} acknowledged changes are gone", "law 1")
        found = next((n for n in range(self.now, -1, -1) if self.moments[n].changes == changes), None)
        if found is None:
            raise Wrong(f"the house went back to {changes} changes, in the midst of a group", "I9")
        if found < first:
            raise Wrong(f"the house went back to moment {found}, but status had promised moment {first}", "I31")
        self._require(seen, self.moments[found].world)
        lost = self.moments[found + 1 :]
        del self.moments[found + 1 :]
        self.doubts.clear()
        return lost

    def _require(self, seen: World, wanted: World) -> None:
        for difference in differences(seen, wanted):
            raise Wrong(difference)

    def _remember_deletes(self, before: World, after: World) -> None:
        for path, shelf in before.items():
            now = after.get(path)
            gone = shelf.items if now is None else [name for name in shelf.items if name not in now.items]
            self._deleted.update((path, name) for name in gone)

    def lacking_since(self, count: int) -> int:
        """When the first of the last `count` changes became known (µs)."""
        kept = self.moments[-1].changes - count
        return next(moment.known_at for moment in self.moments if moment.changes > kept)

    # -- what devices may hear -----------------------------------------------------------------------------------

    def asked_for(self, path: str, name: str) -> bool:
        """Whether an item's absence is somebody's wish: it is not there, and it was deleted once."""
        shelf = self.world.get(path)
        return (shelf is None or name not in shelf.items) and (path, name) in self._deleted

    def news(self, path: str, serial: int, since: int) -> News:
        """What a sync of a shelf must tell to a device that saw it at moment `since`."""
        must: set[str] = set()
        may: set[str] = set()
        for moment in self.moments[since + 1 :]:
            for touch in moment.touched:
                if touch.name and touch.shelf == path and touch.serial == serial:
                    (may if touch.refused else must).add(touch.name)
        return News(frozenset(must), frozenset(may - must))

    # -- judging -------------------------------------------------------------------------------------------------

    def judge(self, wish: Wish, world: World) -> Verdict:
        match wish.op:
            case "put":
                return self._put(wish, world)
            case "delete":
                return self._delete(wish, world)
            case "tag":
                return self._tag(wish, world)
            case "make":
                return self._make(wish, world)
            case "remove":
                return self._remove(wish, world)
            case "copy" | "move":
                return self._transfer(wish, world)
            case "score":
                return self._score(wish, world)
            case "undo":
                return self._undo(wish, world)
        assert wish.op == "account", wish.op
        return Verdict(_said(201), {**world, **self._new_account(wish.shelf)})

    def _new_account(self, user: str) -> dict[str, Shelf]:
        return {f"{user}/{path}": Shelf(self._next(), type_, "", {}) for path, type_ in DEFAULTS.items()}

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _put(self, wish: Wish, world: World) -> Verdict:
        shelf = world.get(wish.shelf)
        if shelf is None:
            return Verdict(_said(409), world)
        old = shelf.items.get(wish.name)
        refused = (Touch(wish.shelf, shelf.serial, wish.name, True),)
        if not _holds(wish, old):
            return Verdict(_said(412), world, refused)
        if wish.uid and (old is None or old.uid != wish.uid):
            taken = any(thing.uid == wish.uid for thing in shelf.items.values())
            if taken or old is not None:
                return Verdict(_said(409), world, refused)
        if old is not None and old.body == wish.body:
            return Verdict(_said(204), world)
        thing = Thing(wish.body, wish.uid, "" if old is None else old.tag)
        return _with(wish, world, {**shelf.items, wish.name: thing}, 201 if old is None else 204)

    def _delete(self, wish: Wish, world: World) -> Verdict:
        shelf = world.get(wish.shelf)
        old = None if shelf is None else shelf.items.get(wish.name)
        if shelf is None or old is None:
            return Verdict(_said(404), world)
        if not _holds(wish, old):
            return Verdict(_said(412), world, (Touch(wish.shelf, shelf.serial, wish.name, True),))
        return _with(wish, world, {n: t for n, t in shelf.items.items() if n != wish.name}, 204)

    def _tag(self, wish: Wish, world: World) -> Verdict:
        shelf = world.get(wish.shelf)
        if shelf is None or (wish.name and wish.name not in shelf.items):
            return Verdict(_said(404), world)
        if not wish.name:
            touched = (Touch(wish.shelf, shelf.serial, "", False),) if shelf.tag != wish.tag else ()
            return Verdict(_said(207), {**world, wish.shelf: shelf._replace(tag=wish.tag)}, touched)
        old = shelf.items[wish.name]
        if old.tag == wish.tag:
            return Verdict(_said(207), world)
        return _with(wish, world, {**shelf.items, wish.name: old._replace(tag=wish.tag)}, 207)

    def _make(self, wish: Wish, world: World) -> Verdict:
        above, _, name = wish.shelf.rpartition("/")
        if wish.shelf in world or (above in world and name in world[above].items):
            return Verdict(_said(403, 405), world)
        if wish.type == "folder" and above not in world:
            return Verdict(_said(409), world)
        return Verdict(_said(201), {**world, wish.shelf: Shelf(self._next(), wish.type, "", {})})

    def _remove(self, wish: Wish, world: World) -> Verdict:
        if wish.shelf not in world:
            return Verdict(_said(404), world)
        left = {p: s for p, s in world.items() if p != wish.shelf and not p.startswith(wish.shelf + "/")}
        return Verdict(_said(204), left)

    # -- copies and moves --------------------------------------------------------------------------------------

    def _transfer(self, wish: Wish, world: World) -> Verdict:
        shelf = world.get(wish.shelf)
        thing = None if shelf is None else shelf.items.get(wish.name)
        if shelf is None or (wish.name and thing is None):
            return Verdict(_said(404), world)
        refusals = set(_refusals(wish, world, shelf, thing))
        if refusals:
            return Verdict(frozenset(refusals), world)
        status = 204 if _exists(wish.to_path, world) else 201
        if thing is None:
            return Verdict(_said(status), self._transfer_folder(wish, world))
        after = {p: s for p, s in world.items() if not _within(p, wish.to_path)}
        touched = [Touch(wish.to_shelf, after[wish.to_shelf].serial, wish.to_name, False)]
        if wish.op == "move":
            after[wish.shelf] = _without(after[wish.shelf], wish.name)
            touched.append(Touch(wish.shelf, shelf.serial, wish.name, False))
        into = after[wish.to_shelf]
        after[wish.to_shelf] = into._replace(items={**into.items, wish.to_name: thing})
        return Verdict(_said(status), after, tuple(touched))

    def _transfer_folder(self, wish: Wish, world: World) -> World:
        """What is at the destination goes, file or folder, and the copies are other shelves than the originals."""
        above, _, name = wish.to_path.rpartition("/")
        after = {p: s for p, s in world.items() if not _within(p, wish.to_path)}
        after[above] = _without(after[above], name)
        for path in [p for p in world if _within(p, wish.shelf)]:
            shelf = after.pop(path) if wish.op == "move" else after[path]
            after[wish.to_path + path[len(wish.shelf) :]] = shelf._replace(serial=self._next())
        return after

    def _score(self, wish: Wish, world: World) -> Verdict:
        shelf = world.get(wish.shelf) or Shelf(self._next(), "game", "", {})
        items = {**shelf.items, wish.name: Thing(wish.body)}
        return Verdict(_said(201), {**world, wish.shelf: shelf._replace(items=items)})

    # -- undo ----------------------------------------------------------------------------------------------------

    def _undo(self, wish: Wish, world: World) -> Verdict:
        then = self._world_at(wish.to)
        if wish.name:
            return self._undo_item(wish, world, then.get(wish.shelf))
        paths = [wish.shelf]
        if wish.type:
            mine = [p for p in sorted({*world, *then}) if p.startswith(wish.shelf + "/")]
            paths = [p for p in mine if kind_of(p, world, then) == wish.type]
            if wish.type != "scores" and any(p in world for p in paths) and not any(p in then for p in paths):
                return Verdict(_said(404), world)
        elif wish.shelf not in then:
            return Verdict(_said(404), world)
        touched: list[Touch] = []
        after = world
        for path in paths:
            past = then.get(path)
            if past is not None and not _has_place(path, past, after):
                return Verdict(_said(409), world)
            after, more = self._undo_shelf(path, after, past)
            touched += more
        return Verdict(_said(200), after, tuple(touched))

    def _undo_item(self, wish: Wish, world: World, past: Shelf | None) -> Verdict:
        shelf = world.get(wish.shelf)
        before = None if past is None else past.items.get(wish.name)
        live = None if shelf is None else shelf.items.get(wish.name)
        if before is None and live is None:
            return Verdict(_said(404), world)
        if before == live:
            return Verdict(_said(200), world)
        if before is not None and before.uid and shelf is not None:
            others = [t for n, t in shelf.items.items() if n != wish.name]
            if any(t.uid == before.uid for t in others):
                return Verdict(_said(409), world)
        if shelf is None:
            assert past is not None
            if not _has_place(wish.shelf, past, world):
                return Verdict(_said(409), world)
            shelf = Shelf(self._next(), past.type, past.tag, {})
        items = {n: t for n, t in shelf.items.items() if n != wish.name}
        if before is not None:
            items[wish.name] = before
        touch = Touch(wish.shelf, shelf.serial, wish.name, False)
        return Verdict(_said(200), {**world, wish.shelf: shelf._replace(items=items)}, (touch,))

    def _undo_shelf(self, path: str, world: World, past: Shelf | None) -> tuple[World, list[Touch]]:
        shelf = world.get(path)
        if past is None:
            return {p: s for p, s in world.items() if p != path}, []
        if shelf is None:
            return {**world, path: past._replace(serial=self._next())}, []
        names = {*shelf.items, *past.items}
        differ = sorted(n for n in names if shelf.items.get(n) != past.items.get(n))
        touched = [Touch(path, shelf.serial, n, False) for n in [*differ, *([""] if shelf.tag != past.tag else [])]]
        return {**world, path: shelf._replace(tag=past.tag, items=past.items)}, touched

    def _world_at(self, at: int) -> World:
        return next((m.world for m in reversed(self.moments) if m.at <= at), self.moments[0].world)


def kind_of(path: str, *worlds: World) -> str:
    """The kind of data of a shelf that is in one of these worlds."""
    _, home, *rest = path.split("/")
    if home == "calendars":
        type_ = next(world[path].type for world in worlds if path in world)
        return {"VEVENT": "calendar", "VTODO": "tasks"}.get(type_, "notes")
    return rest[0] if home == "files" else home


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


def _without(shelf: Shelf, name: str) -> Shelf:
    return shelf._replace(items={n: t for n, t in shelf.items.items() if n != name})


def _exists(path: str, world: World) -> bool:
    above, _, name = path.rpartition("/")
    return path in world or (above in world and name in world[above].items)


def _refusals(wish: Wish, world: World, shelf: Shelf, thing: Thing | None) -> Iterator[int]:
    """Every status that a copy or move of what is there may be refused with."""
    if thing is not None and not _holds(wish._replace(if_absent=False), thing):
        yield 412
    if wish.if_absent and _exists(wish.to_path, world):
        yield 412
    above = wish.to_path.rpartition("/")[0]
    if above not in world:
        yield 409
    elif world[above].type != shelf.type or (wish.op == "move" and kind_of(above, world) != kind_of(wish.shelf, world)):
        yield 403
    if _within(wish.path, wish.to_path) or (thing is None and _within(wish.to_path, wish.path)):
        yield 403
    if thing is None:
        deepest = max(path.count("/") for path in world if _within(path, wish.shelf)) - wish.shelf.count("/")
        if wish.to_path.count("/") + deepest > MAX_DEPTH + 1:
            yield 403
    elif thing.uid and above in world:
        yield from _uid_refusals(wish, world[above], thing)


def _uid_refusals(wish: Wish, into: Shelf, thing: Thing) -> Iterator[int]:
    there = into.items.get(wish.to_name)
    leaves = {wish.name} if wish.op == "move" and wish.shelf == wish.to_shelf else set()
    others = [n for n, t in into.items.items() if t.uid == thing.uid and n != wish.to_name and n not in leaves]
    if others or (there is not None and there.uid != thing.uid):
        yield 409


def same(seen: World, wanted: World) -> bool:
    return next(differences(seen, wanted), None) is None


def differences(seen: World, wanted: World) -> Iterator[str]:
    """Where two worlds differ, in words; serials and UIDs, which cannot be seen, aside."""
    for path in sorted({*seen, *wanted}):
        if path not in wanted:
            yield f"{path} is there, and nobody made it"
        elif path not in seen:
            yield f"{path} is gone"
        else:
            yield from _shelf_differences(path, seen[path], wanted[path])


def _shelf_differences(path: str, seen: Shelf, wanted: Shelf) -> Iterator[str]:
    if seen.tag != wanted.tag:
        yield f"{path} has the tag {seen.tag!r}, not {wanted.tag!r}"
    for name in sorted({*seen.items, *wanted.items}):
        one, other = seen.items.get(name), wanted.items.get(name)
        if other is None:
            yield f"{path}/{name} is there, and nobody put it, or it was deleted"
        elif one is None:
            yield f"{path}/{name} is gone"
        elif one.body != other.body:
            yield f"{path}/{name} has another body ({len(one.body)} bytes, not {len(other.body)})"
        elif one.tag != other.tag:
            yield f"{path}/{name} has the tag {one.tag!r}, not {other.tag!r}"


def _said(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def _holds(wish: Wish, old: Thing | None) -> bool:
    if wish.if_absent and old is not None:
        return False
    return not wish.if_match or (old is not None and old.etag == wish.if_match)


def _has_place(path: str, past: Shelf, world: World) -> bool:
    """Whether a shelf that was there once could be there again: a folder lies in a folder, and on no file."""
    above, _, name = path.rpartition("/")
    if path in world or past.type != "folder" or path.partition("/")[2] in DEFAULTS:
        return True
    return above in world and name not in world[above].items


def _with(wish: Wish, world: World, items: Mapping[str, Thing], status: int) -> Verdict:
    shelf = world[wish.shelf]
    touch = Touch(wish.shelf, shelf.serial, wish.name, False)
    return Verdict(_said(status), {**world, wish.shelf: shelf._replace(items=items)}, (touch,))
