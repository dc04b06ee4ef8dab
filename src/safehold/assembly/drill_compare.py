"""A core that a drill has recovered, compared with the live one, each side by its own path.

For each stream, at the rev at which the vault has it:

    the live journal      read row by row and followed by the archiver's own code (archiver/told.py)
    the live tables       as the service keeps them, change by change (store/sqlite/apply.py)
    the recovered journal and tables, as recovery made them from the vault (recovery/, store/sqlite/bulk.py)

The two journals must have the same rows, bodies and times included; what the live journal tells must be what lives in
the recovered tables, by state root and item by item; and it must be what lives in the live tables, at the moment at
which these are. So a bug of meaning on one side (items swapped, a time shifted, two streams exchanged) is a difference,
also where every hash is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from safehold.archiver.told import Told, ToldCollection
from safehold.model.change import canonical_props, props_digest
from safehold.model.items import Account, Collection
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, RunRow
from safehold.recovery.chains import StreamKey
from safehold.recovery.reconcile import core_root
from safehold.recovery.replay import ERASED_PREFIX

#: Sentences about one stream, and about all.
MAX_OF_A_STREAM = 5
MAX_DIFFERENCES = 200
#: Changes between two rests.
_REST_AFTER = 200

#: Places in a row: all but `prev`, which is None where it goes without saying.
_FIELDS = (*range(12), *range(13, 17))
_NAMES = (
    *("timeline", "rev", "group", "time", "operation", "collection", "name", "media type", "digest", "size"),
    *("property digest", "actor", "prev", "hash", "body", "blob", "properties"),
)


class Compared(NamedTuple):
    """`excused` streams were not compared: erased since, or held in the live core."""

    streams: int
    equal: int
    excused: int
    differences: list[str]


class Comparison:
    """One comparison. `watched` streams leave what the live journal tells of them, for who asks the scratch service."""

    def __init__(
        self,
        live: CoreReads,
        scratch: CoreReads,
        upto: int,
        selected: Callable[[bytes, Kind], bool],
        watched: Callable[[StreamKey], bool] = lambda _: False,
        rest: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """`upto` is the last frame that was recovered; `selected` says which streams were."""
        self._live = live
        self._scratch = scratch
        self._upto = upto
        self._selected = selected
        self._watched = watched
        self._rest = rest
        self._progress = progress
        self.told: dict[StreamKey, Told] = {}
        self._differences: list[str] = []

    def run(self) -> Compared:
        there = self._recovered()
        expected = self._expected()
        equal = excused = 0
        keys = sorted({*there, *expected}, key=lambda key: (key[0], str(key[1])))
        for done, key in enumerate(keys):
            found = self._stream(key, there.get(key), expected.get(key, 0))
            if found is None:
                excused += 1
            elif found:
                self._differences += found[: max(0, MAX_DIFFERENCES - len(self._differences))]
            else:
                equal += 1
            self._rest()
            self._progress(done + 1, len(keys))
        return Compared(len(keys) - excused, equal, excused, self._differences)

    def _recovered(self) -> Mapping[StreamKey, int]:
        return {key: rev for key, rev in self._scratch.stream_ends().items() if rev and self._selected(*key)}

    def _expected(self) -> Mapping[StreamKey, int]:
        """The last rev of each stream that the live core has archived up to that frame."""
        spans = self._live.run_spans(0, self._upto)
        return {(span.id, span.kind): span.rev for span in spans if self._selected(span.id, span.kind)}

    def _stream(self, key: StreamKey, rev: int | None, expected: int) -> list[str] | None:
        """What differs, in words; None where there is nothing to compare with."""
        id_, kind = key
        with self._live.snapshot() as live:
            account = live.account_by_id(id_)
            erased = live.secret(0, f"{ERASED_PREFIX}{id_.hex()}") is not None
            if erased or (account is not None and live.held(account.number, kind) is not None):
                return None
            who = (
                f"{account.name if account is not None else id_.hex()}, {kind}"
                if any(id_)
                else f"the installation, {kind}"
            )
            row = self._scratch.account_by_id(id_)
            if account is None:
                return [f"{who}: recovered, and the live core does not know the account"]
            if rev is None or row is None:
                return [f"{who}: nothing of it was recovered; the live core has it up to rev {expected}"]
            found = self._account(account, row, who)
            if rev < expected:
                found.append(f"{who}: recovered up to rev {rev}; the live core had archived it up to rev {expected}")
            held = self._scratch.held(row.number, kind)
            if held is not None:
                found.append(f"{who}: it would be held: {held}")
            found += self._both(live, account, row, key, rev, who)
            return found

    @staticmethod
    def _account(live: Account, recovered: Account, who: str) -> list[str]:
        same = (live.name, live.listed) == (recovered.name, recovered.listed)
        # A name that was changed since is told by the identity stream, which is compared too.
        return [] if same or live.name != recovered.name else [f"{who}: the account's own settings differ"]

    def _both(self, live: CoreReads, account: Account, row: Account, key: StreamKey, rev: int, who: str) -> list[str]:
        kind = key[1]
        head = live.head(account.number, kind)
        told = Told()
        found: list[str] = []
        for problem in self._journals(live, account.number, row.number, kind, rev, told):
            found.append(f"{who}: {problem}")
            if len(found) >= MAX_OF_A_STREAM:
                return found
        if told.rev != rev or self._scratch.head(row.number, kind).hash != told.hash:
            found.append(f"{who}: recovered up to rev {rev}, which is another change than that of the live core")
            return found
        if told.root() != core_root(self._scratch, row.number, kind):
            found.append(f"{who}: the state root of what was recovered is not that of the live core")
        found += [f"{who}: recovered {problem}" for problem in tables(self._scratch, row.number, kind, told)]
        if self._watched(key):
            self.told[key] = _copy(told)
        for change in live.run_rows(account.number, kind, rev, head.rev):
            told.add(change)
        if told.hash != head.hash:
            found.append(f"{who}: the live core's journal ends with another change than it says")
        if told.root() != core_root(live, account.number, kind):
            found.append(f"{who}: what lives in the live core's tables is not what its journal tells")
        found += [f"{who}: live {problem}" for problem in tables(live, account.number, kind, told)]
        return found

    def _journals(
        self, live: CoreReads, live_number: int, number: int, kind: Kind, rev: int, told: Told
    ) -> Iterator[str]:
        """Both journals side by side, where both have a rev: either may have dropped older history."""
        recovered = self._scratch.run_rows(number, kind, 0, rev)
        theirs: RunRow | None = next(recovered, None)
        both = 0
        for count, ours in enumerate(live.run_rows(live_number, kind, 0, rev), 1):
            told.add(ours)
            if count % _REST_AFTER == 0:
                self._rest()
            while theirs is not None and theirs[1] < ours[1]:
                theirs = next(recovered, None)
            if theirs is not None and theirs[1] == ours[1]:
                both += 1
                if theirs != ours and (wrong := _unlike(ours, theirs)):
                    yield f"rev {ours[1]} was recovered with another {wrong}"
                theirs = next(recovered, None)
        kept = min(live.figures(live_number, kind).changes, self._scratch.figures(number, kind).changes)
        bases = live.base(live_number, kind), self._scratch.base(number, kind)
        if bases == (None, None) and both != rev and kept >= rev:
            yield f"{rev - both} of {rev} changes are not in both journals"


def tables(core: CoreReads, number: int, kind: Kind, told: Told) -> list[str]:
    """What lives in a core's tables against what a journal tells, item by item."""
    found: list[str] = []
    there = {c.id: c for c in core.collections(number) if c.kind is kind}
    for id_, meant in told.collections.items():
        collection = there.pop(id_, None)
        if collection is None:
            found.append(f"lacks the collection {meant.path}")
        else:
            found += _collection(core, collection, meant)
        if len(found) >= MAX_OF_A_STREAM:
            return found[:MAX_OF_A_STREAM]
    found += [f"has a collection {collection.path} that nothing made" for collection in there.values()]
    return found[:MAX_OF_A_STREAM]


def _copy(told: Told) -> Told:
    copy = Told()
    copy.rev, copy.hash = told.rev, told.hash
    for id_, collection in told.collections.items():
        copy.collections[id_] = ToldCollection(collection.path, collection.props)
        copy.collections[id_].items = dict(collection.items)
    return copy


def _unlike(ours: RunRow, theirs: RunRow) -> str:
    """What differs of two rows of the same rev; "" where nothing does."""
    return ", ".join(_NAMES[n] for n in _FIELDS if ours[n] != theirs[n])


def _collection(core: CoreReads, collection: Collection, meant: ToldCollection) -> list[str]:
    where = collection.path
    if collection.path != meant.path:
        return [f"has {collection.path} in the place of {meant.path}"]
    if props_digest(canonical_props(collection.props)) != meant.props:
        return [f"{where}: other properties"]
    items = core.items(collection)
    found = []
    if len(items) != len(meant.items):
        found.append(f"{where}: {len(items)} items in the place of {len(meant.items)}")
    for item in items:
        told = meant.items.get(item.name)
        if told is None:
            found.append(f"{where}/{item.name}: an item that nothing made")
            continue
        wrong = [
            name
            for name, has, wanted in (
                ("body", item.digest, told.digest),
                ("size", item.size, told.size),
                ("media type", item.media, told.media),
                ("time", item.at, told.at),
                ("rev", item.rev, told.rev),
            )
            if has != wanted
        ]
        if wrong:
            found.append(f"{where}/{item.name}: another {', '.join(wrong)}")
        if len(found) >= MAX_OF_A_STREAM:
            break
    return found
