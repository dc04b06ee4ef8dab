"""What was acknowledged: for every item that a person ever had, the last word that was answered 2xx, and those before.

Kept from what devices sent and were answered, not from what the service says it did: of the service it takes only the
revision that a change got, by which a report may name it later. A word may be that the item is gone. Where an answer
never came (the power went, 503) either may be true, and `maybe` holds both; an undo and the removal of a collection are
words about all that they touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.lab.clients.verdict import Key
from safehold.lab.wire import Answer, Request
from safehold.model.change import Change, Op
from safehold.model.kinds import DATA_KINDS, Kind
from safehold.ports.core import CoreReads

#: A body's digest, or that the item is not there.
State = bytes | None


class Word(NamedTuple):
    """What was acknowledged of an item: a body's digest (None: it is gone), when (µs), the change's rev and frame."""

    state: State
    at: int
    kind: Kind
    rev: int = 0  # 0 where it is not known, as of what waits in an intake
    frame: int = 0


class Ledger:
    """`now` tells the time (µs). Keys are (path below /dav/ of the collection, name of the item)."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._words: dict[Key, list[Word]] = {}
        self._maybe: dict[Key, set[State]] = {}
        self._committed: dict[Key, Word] = {}  # by the service's own word
        self._paths: dict[bytes, str] = {}  # of collections by id, below /dav/
        self.erased: dict[str, int] = {}  # accounts by name, and when (µs)
        self.refused: set[Key] = set()

    def __len__(self) -> int:
        return len(self._words)

    def items(self) -> Iterator[Key]:
        """Of accounts that were not erased."""
        return (key for key in self._words if key[0].partition("/")[0] not in self.erased)

    def all_keys(self) -> Iterator[Key]:
        return iter(self._words)

    def knows(self, key: Key) -> bool:
        return key in self._words or key in self._maybe

    def last(self, key: Key) -> Word:
        return self._words[key][-1]

    def earlier(self, key: Key) -> Sequence[Word]:
        return self._words[key][:-1]

    def fits(self, key: Key, state: State) -> bool:
        """Whether this state is the last word, or one that nobody was told the fate of since."""
        words = self._words.get(key)
        last = words[-1].state if words else None
        return state == last or state in self._maybe.get(key, ())

    def was_ever(self, key: Key, state: State) -> bool:
        """Whether the item was ever asked to be so."""
        return state in self._maybe.get(key, ()) or any(word.state == state for word in self._words.get(key, ()))

    def in_doubt(self, key: Key) -> bool:
        return key in self._maybe

    def accepted(self, key: Key) -> bool:
        """Whether the service has ever said that it has this item."""
        return any(word.state is not None for word in self._words.get(key, ()))

    def living(self, path: str) -> list[Key]:
        """Items of a collection whose last word is that they are there."""
        return [key for key in self._words if key[0] == path and self.last(key).state is not None]

    # -- what is answered --------------------------------------------------------------------------------------

    def committed(self, reads: CoreReads, changes: Sequence[Change]) -> None:
        """The service has committed these, as its own callback says."""
        for change in changes:
            if change.kind not in DATA_KINDS or change.op not in (Op.PUT, Op.DELETE) or change.name is None:
                continue
            path = self._path_of(reads, change)
            if path is None:
                continue
            state = change.digest if change.op is Op.PUT else None
            key = path, change.name
            frame = reads.log_position().frame
            self._committed[key] = Word(state, self._now(), change.kind, change.rev, frame)
            words = self._words.get(key)
            if words and words[-1].state == state:  # taken into the intake, and applied now
                words[-1] = words[-1]._replace(rev=change.rev, kind=change.kind, frame=frame)

    def _path_of(self, reads: CoreReads, change: Change) -> str | None:
        if change.collection not in self._paths:
            account = reads.account_by_id(change.account)
            for collection in reads.collections(account.number) if account is not None else ():
                assert account is not None
                self._paths[collection.id] = f"{account.name}/{collection.path}"
        return self._paths.get(change.collection)

    def heard(self, request: Request, answer: Answer | None) -> None:
        """What a device asked for, and how it was answered; None where the power went meanwhile."""
        key = key_of(request)
        if key is None:
            return
        state = sha256(request.body).digest() if request.method == "PUT" else None
        if answer is None or answer.status >= 500:
            self.refused.add(key)
            self._doubt(key, state)
        elif answer.status < 300:
            if request.method == "DELETE" and key in self._committed and self._committed[key].state is not None:
                self._doubt(key, None)  # taken into the intake, and dropped where its condition does not hold
            else:
                self.say(key, state)

    def say(self, key: Key, state: State) -> None:
        """A word that was acknowledged now."""
        known = self._committed.get(key)
        words = self._words.setdefault(key, [])
        if words and words[-1].state == state and key not in self._maybe:
            return
        if known is not None and known.state == state:
            words.append(known._replace(at=self._now()))
        else:
            words.append(Word(state, self._now(), kind_of(key[0])))
        self._maybe.pop(key, None)

    def scored(self, reads: CoreReads, user: str, changes: Sequence[Change]) -> None:
        """A score was acknowledged: its name is the service's choice."""
        for change in changes:
            if change.kind is Kind.SCORES and change.op is Op.PUT and change.name is not None:
                path = self._path_of(reads, change)
                if path is not None and path.startswith(f"{user}/"):
                    self.say((path, change.name), change.digest)

    def _doubt(self, key: Key, state: State) -> None:
        words = self._words.get(key)
        self._maybe.setdefault(key, {words[-1].state if words else None}).add(state)

    def compare(self, before: Mapping[Key, bytes], after: Mapping[Key, bytes]) -> None:
        """What a person's command (an undo, a collection removed) made of what was there."""
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                self.say(key, after.get(key))

    def erase(self, user: str) -> None:
        self.erased[user] = self._now()

    def settle(self, there: Mapping[Key, bytes]) -> None:
        """After a start that lost nothing: what was in doubt is known now."""
        for key in [*self._maybe]:
            state = there.get(key)
            if state in self._maybe[key]:
                del self._maybe[key]
                if key in self._words or state is not None:
                    self.say(key, state)


def key_of(request: Request) -> Key | None:
    """The item that a request writes."""
    if request.method not in ("PUT", "DELETE") or request.path.endswith("/"):
        return None
    path, _, name = request.path.removeprefix("/dav/").rpartition("/")
    return path, name


def kind_of(path: str) -> Kind:
    """The kind of what lies in a collection that devices of the lab make, by its path below /dav/."""
    rest = path.partition("/")[2]
    if rest.startswith("contacts/"):
        return Kind.CONTACTS
    if rest.startswith("calendars/"):
        return {"calendars/tasks": Kind.TASKS, "calendars/notes": Kind.NOTES}.get(rest, Kind.CALENDAR)
    if rest.startswith("scores/"):
        return Kind.SCORES
    return Kind.NOTES if rest.startswith("files/notes") else Kind.PHOTOS
