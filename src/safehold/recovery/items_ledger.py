"""What lives in one stream, with names, and what is to be said of each item: the accounting's own view of a replay.

A `StreamLedger` is told of every change that a replay lets in, and from where; `account_of` then says, from the ledger
and the replay together, for each item of the stream one of

    exact      the newest version that any witness tells of is here, body included
    older      another version is here: an earlier one, both are named; or (not `sure`) one that a missing rev may
               have changed
    ghost      its newest change is known, and the body is gone from every source; nothing else of it is here
    lost       it is known to have been there, by name, and no more than that is left
    unknown    revs of which nobody knows what they did: a line tells how many, not what

and for each version that is gone and that a later one replaced, that it is. The counts are those of tally.py: see
`Counts`. Memory: some 300 bytes an item of this one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from safehold.model.change import Change, Op
from safehold.model.gaps import lacks_body
from safehold.model.kinds import Kind
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import CollectionState, name_key
from safehold.recovery.replay import Replay

#: What an identity says of itself that an accounting reads: service/addresses.py and service/ahead.py write it.
MAIL = "mail"
AHEAD_PREFIX = "ahead/"


_NO_PATH = "what made its collection is missing: it has no path"


class ItemState(StrEnum):
    EXACT = "exact"
    OLDER = "older"
    GHOST = "ghost"
    LOST = "lost"
    UNKNOWN = "unknown"


class What(StrEnum):
    """What a line is about."""

    ITEM = "item"
    VERSION = "version"  # of an item: one that is gone, and that a later change replaced or removed
    REVS = "revs"  # revs of which nobody knows what they did
    EARLIER = "earlier"  # what the last recovery's report names as lost; told again, not counted
    STREAM = "stream"
    END = "end"  # of all there is: what was written after it


class Line(msgspec.Struct, omit_defaults=True):
    """One line of `items.jsonl`, which docs/items-report.md describes. What is not known is left out.

    `rev` and `at` are of the version that is here, `newest_rev` and `newest_at` of the newest that is known of;
    they are given where that one is not here. Times are µs.
    """

    what: What
    account: str = ""  # its name, or its id where nobody knows that
    id: str = ""  # hex
    kind: Kind | None = None
    collection: str | None = None  # its path
    name: str = ""
    state: ItemState | None = None
    sure: bool = True
    rev: int = 0
    at: int = 0
    newest_rev: int = 0
    newest_at: int = 0
    size: int = 0
    digest: str = ""  # of the body that is here, or of the one that is gone
    source: str = ""
    first: int = 0  # of revs
    last: int = 0
    dropped: int = 0  # changes that stood for dropped history: they have no revs to go by
    witness: str = ""  # what tells of revs beyond the end of the stream
    why: str = ""
    counts: Counts | None = None
    head: int = 0
    seconds: float = 0.0


class Counts(msgspec.Struct):
    """Of one stream, as lines tell it. `unsure` are the lines of items that are `older` and not `sure`.

    Of those at most `unsure_older` can be older than what was written last: so exact + unsure - unsure_older items are
    what tally.py calls exact, older + unsure_older what it calls older, and ghost + lost + unknown what it calls lost.
    `beyond` are revs after the stream's end that only a device's token or another witness tells of.
    """

    exact: int = 0
    unsure: int = 0
    unsure_older: int = 0
    older: int = 0
    ghost: int = 0
    lost: int = 0
    unknown: int = 0
    beyond: int = 0

    def add(self, other: Counts) -> None:
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    @property
    def all_exact(self) -> bool:
        return not (self.unsure or self.older or self.ghost or self.lost or self.unknown or self.beyond)


class Held(msgspec.Struct):
    """A version of an item. `before` are those that it replaced, kept where its own body is a blob, or gone."""

    rev: int
    at: int
    digest: bytes
    size: int
    blob: bytes | None
    source: str
    touched: int = 0  # rev and time of the last change that was not of its body
    touched_at: int = 0
    bare: bool = False  # its change is on the stream without its body
    before: Held | None = None


#: Whether a blob can be had: its name, size and digest.
BlobThere = Callable[[bytes, int, bytes], bool]


class Newest(NamedTuple):
    """The newest version that is known of, where it is not here."""

    rev: int
    at: int = 0
    size: int = 0
    digest: bytes = b""
    source: str = ""


class Known(NamedTuple):
    """A put that a witness tells of, and that is on no stream. `there`: its body can be had all the same."""

    collection: bytes
    name: str
    rev: int
    at: int
    digest: bytes
    size: int
    source: str
    there: bool


class StreamLedger:
    """Fed with the changes of one stream, in order, as they enter a core."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.items: dict[bytes, dict[str, Held]] = {}
        self.paths: dict[bytes, str] = {}
        #: Of names that do not live: the rev of their delete.
        self.deleted: dict[tuple[bytes, str], int] = {}
        self.removed: dict[bytes, int] = {}  # the same of collections
        self.last_at = 0
        #: Bodies that an identity's own accounting needs, by name.
        self.told: dict[str, bytes] = {}

    def apply(self, change: Change, source: str) -> None:
        op = change.op
        self.last_at = change.at
        if op is Op.MKCOL:
            self.items[change.collection] = {}
            self.paths[change.collection] = change.name
        elif op is Op.RMCOL:
            self.items.pop(change.collection, None)
            self.removed[change.collection] = change.rev
        elif op is Op.PUT:
            self._put(change, source)
        elif op is Op.DELETE:
            self.items.get(change.collection, {}).pop(change.name, None)
            self.deleted[change.collection, change.name] = change.rev
            self.told.pop(change.name, None)
        elif op is Op.PROPS:
            held = self.items.get(change.collection, {}).get(change.name)
            if held is not None:
                held.touched, held.touched_at = change.rev, change.at

    def _put(self, change: Change, source: str) -> None:
        items = self.items.setdefault(change.collection, {})
        bare = lacks_body(change)
        before = items.get(change.name) if bare or change.blob is not None else None
        items[change.name] = Held(
            change.rev, change.at, change.digest, change.size, change.blob, source, change.rev, change.at, bare, before
        )
        told = change.name == MAIL or change.name.startswith(AHEAD_PREFIX)
        if self._kind is Kind.IDENTITY and told and change.body is not None:
            self.told[change.name] = change.body

    def knows_better(self, known: Known) -> bool:
        """Whether a later change of that name, or of its collection, is here."""
        held = self.items.get(known.collection, {}).get(known.name)
        gone = max(self.deleted.get((known.collection, known.name), 0), self.removed.get(known.collection, 0))
        return max(gone, 0 if held is None else held.rev) > known.rev


def account_of(
    log: Replay,
    key: StreamKey,
    ledger: StreamLedger,
    there: BlobThere,
    emit: Callable[[Line], None],
    known: Mapping[int, Known] | None = None,
) -> Counts:
    """Give `emit` all lines of a stream but its own. `known` are puts, by rev, that may lie in its gaps."""
    return _Accounting(log, key, ledger, there, emit, known or {}).lines()


class _Accounting:
    def __init__(
        self,
        log: Replay,
        key: StreamKey,
        ledger: StreamLedger,
        there: BlobThere,
        emit: Callable[[Line], None],
        known: Mapping[int, Known],
    ) -> None:
        self._log = log
        self._key = key
        self._ledger = ledger
        self._there = there
        self._emit = emit
        self._known = known
        self._named = log.chains.named.get(key, {})
        self._ghosts = log.chains.ghosts.get(key, {})
        self._counts = Counts()
        self._in_doubt = False  # whether there are revs of which nobody knows what they did
        self._told_revs: set[int] = set()  # of changes without a body that some line of an item has named
        self._said: set[tuple[bytes, str]] = set()  # items that a witness's put has a line for

    def lines(self) -> Counts:
        log, key = self._log, self._key
        end = log.contents.end(key)
        states: dict[bytes, CollectionState] = dict(end.collections)
        missing = self._missing()
        props_only = self._known_by_name(states)
        self._known_puts(missing)
        self._in_doubt = any(missing) or key in log.chains.short
        for id_, items in self._ledger.items.items():
            for name, held in items.items():
                if (id_, name) not in self._said:
                    self._item(id_, name, held, states.get(id_))
        self._versions()
        self._unknown(missing, props_only)
        counts = self._counts
        short = log.chains.short.get(key, 0)
        counts.unsure_older = min(sum(map(len, missing)) + short, counts.unsure)
        return counts

    def _missing(self) -> list[list[int]]:
        """Gap by gap, the revs without a name."""
        found = []
        for gap in self._log.chains.missing(self._key):
            found.append([rev for rev in range(gap.first, gap.last + 1) if rev not in self._named])
        return found

    def _known_by_name(self, states: Mapping[bytes, CollectionState]) -> int:
        """Items of which nothing is here; how many of them only a change of their properties tells of."""
        only = 0
        for id_, state in states.items():
            for key, (name, rev) in state.gone.items():
                if key in state.bare:
                    continue  # it lives
                self._say(ItemState.GHOST, id_, name, newest=self._newest(rev), why="its body is in no source")
            for name, rev in state.ghosts.values():
                only += 1
                self._say(ItemState.LOST, id_, name, newest=Newest(rev), why="a later change names it")
        return only

    def _newest(self, rev: int) -> Newest:
        """A change that is known but for its body, which a line is about to tell of."""
        self._told_revs.add(rev)
        change = self._named.get(rev)
        return Newest(rev) if change is None else Newest(rev, change.at, change.size, change.digest)

    def _say(
        self,
        state: ItemState,
        collection: bytes,
        name: str,
        held: Held | None = None,
        newest: Newest | None = None,
        *,
        sure: bool = True,
        why: str = "",
    ) -> None:
        """A line of an item: `held` is what is here of it, `newest` what is not."""
        line = self._line(What.ITEM, self._path(collection), name)
        line.state, line.sure, line.why = state, sure, why
        if held is not None:
            line.rev, line.at, line.source = held.touched, held.touched_at, held.source
        if newest is not None:
            line.newest_rev, line.newest_at = newest.rev, newest.at
        body = held or newest
        assert body is not None
        line.size, line.digest = body.size, body.digest.hex()
        if held is None:
            line.source = body.source
        field = "unsure" if state is ItemState.OLDER and not sure else state.value
        setattr(self._counts, field, getattr(self._counts, field) + 1)
        self._emit(line)

    def _line(self, what: What, path: str | None, name: str) -> Line:
        account, kind = self._key
        return Line(what, self._log.name_of(account), account.hex(), kind, path, name)

    def _path(self, collection: bytes) -> str | None:
        return self._ledger.paths.get(collection)

    def _item(self, id_: bytes, name: str, held: Held, state: CollectionState | None) -> None:
        """One that is here in some version. `state` is None where nothing of its stream is in doubt."""
        key = name_key(name)
        if state is not None and state.path is None:
            self._say(ItemState.LOST, id_, name, held, why=_NO_PATH)
        elif held.bare:
            self._told_revs.add(held.rev)
            newest = Newest(held.rev, held.at, held.size, held.digest, held.source)
            self._body_is_gone(id_, name, held.before, newest)
        elif state is not None and key in state.stale:
            self._body_is_gone(id_, name, held, self._newest(state.stale[key][1]))
        elif held.blob is not None and not self._there(held.blob, held.size, held.digest):
            newest = Newest(held.rev, held.at, held.size, held.digest, held.source)
            self._body_is_gone(id_, name, held.before, newest)
        elif state is not None and key in state.unsure and self._in_doubt:
            self._say(ItemState.OLDER, id_, name, held, sure=False, why="a missing rev may have changed it")
        else:
            self._say(ItemState.EXACT, id_, name, held)

    def _body_is_gone(self, id_: bytes, name: str, held: Held | None, newest: Newest) -> None:
        """Its newest change is known, without its body; `held` is the last one whose body may be here."""
        earlier = self._there_of(held)
        state = ItemState.GHOST if earlier is None else ItemState.OLDER
        self._say(state, id_, name, earlier, newest, why="its newest body is in no source")

    def _there_of(self, held: Held | None) -> Held | None:
        """The newest of these versions whose body can be had."""
        while held is not None and not self._is_there(held):
            held = held.before
        return held

    def _is_there(self, held: Held) -> bool:
        return not held.bare and (held.blob is None or self._there(held.blob, held.size, held.digest))

    def _known_puts(self, missing: list[list[int]]) -> None:
        """What witnesses tell of nameless revs: each takes the place of its rev, and of what is here of its item."""
        for revs in missing:
            for rev in [rev for rev in revs if rev in self._known]:
                known = self._known[rev]
                revs.remove(rev)
                if self._ledger.knows_better(known) or self._has_later(known):
                    self._gone_version(known.collection, known.name, known.rev, known.at, known.size, known.source)
                    continue
                self._said.add((known.collection, known.name))
                self._say_known(known)

    def _has_later(self, known: Known) -> bool:
        later = (one for one in self._known.values() if one.rev > known.rev)
        return any((one.collection, one.name) == (known.collection, known.name) for one in later)

    def _say_known(self, known: Known) -> None:
        newest = Newest(known.rev, known.at, known.size, known.digest, known.source)
        if self._path(known.collection) is None:
            self._say(ItemState.LOST, known.collection, known.name, newest=newest, why=_NO_PATH)
        elif known.there:
            here = Held(known.rev, known.at, known.digest, known.size, None, known.source, known.rev, known.at)
            why = "it is off its stream, and comes back as a new change"
            self._say(ItemState.OLDER, known.collection, known.name, here, sure=False, why=why)
        else:
            held = self._ledger.items.get(known.collection, {}).get(known.name)
            self._body_is_gone(known.collection, known.name, held, newest)

    def _versions(self) -> None:
        """Changes without a body of which no item's line has told: something later took their place."""
        for rev, change in sorted((self._named | self._ghosts).items()):
            if rev not in self._told_revs:
                self._gone_version(change.collection, change.name, rev, change.at, change.size, "")

    def _gone_version(self, id_: bytes, name: str, rev: int, at: int, size: int, source: str) -> None:
        line = self._line(What.VERSION, self._path(id_), name)
        line.state, line.newest_rev, line.newest_at, line.size = ItemState.LOST, rev, at, size
        line.source, line.why = source, "a later change took its place"
        self._emit(line)

    def _unknown(self, missing: list[list[int]], props_only: int) -> None:
        """Runs of revs without a name. Those that are known by a later change of properties are among them."""
        nameless = 0
        for revs in missing:
            nameless += len(revs)
            for first, last in _runs(revs):
                line = self._line(What.REVS, None, "")
                line.state, line.first, line.last = ItemState.UNKNOWN, first, last
                self._emit(line)
        short = self._log.chains.short.get(self._key, 0)
        if short:
            line = self._line(What.REVS, None, "")
            line.state, line.dropped = ItemState.UNKNOWN, short
            self._emit(line)
        self._counts.unknown = max(0, nameless - props_only) + short


def _runs(revs: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each row of neighbours."""
    first = last = 0
    for rev in revs:
        if rev != last + 1 or not last:
            if last:
                yield first, last
            first = rev
        last = rev
    if last:
        yield first, last
