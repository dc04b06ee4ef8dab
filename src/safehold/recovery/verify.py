"""A core compared with what its own journal says, by a path that shares nothing with how the core derives its state.

1. Walk the journal in commit order: every change chains, every hash and inline body holds (`walk_journal`).
2. Compare accounts, collections and items row by row with that replay, what the core keeps count of with what it has,
   and read every inline body the way the service would (`compare_accounts`, `compare_kind`).

Of a core into which everything was entered in this process, as a replay followed it, the journal is not walked: sums
over it, for which all of it is read, must be those of what was entered (`compare_journal`).

What does not agree is named in plain words; damage that a read runs into raises Damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from safehold.model.change import canonical_props, props_digest
from safehold.model.counting import count_text
from safehold.model.errors import Damaged
from safehold.model.items import Collection, Item
from safehold.model.kinds import Kind
from safehold.model.root import RootCollection, state_root
from safehold.model.stream import Head
from safehold.ports.core import CoreReads, EnteredCollection, JournalSum, Standing, Stored, StreamFigures
from safehold.recovery.chains import StreamKey
from safehold.recovery.contents import CollectionState, SettledState, StreamState, item_value, name_key
from safehold.recovery.replay import Replay
from safehold.recovery.report import Progress, silent
from safehold.recovery.selection import SYSTEM

#: Changes and bodies read at a time: at most 64 KiB each.
BATCH = 500
#: Sentences about one stream, at most.
MAX_DIFFERENCES = 20


class Meant(NamedTuple):
    """What the core must have of a settled stream. `name` is the account's, for sentences."""

    key: StreamKey
    name: str
    head: Head
    changes: int
    state: SettledState


class BlobItem(NamedTuple):
    """A live item whose body is a blob."""

    account: bytes
    kind: Kind
    path: str
    item: Item
    blob: bytes


def walk_journal(
    core: CoreReads, replay: Replay, progress: Progress = silent, total: int = 0, stage: str = "verify"
) -> int:
    """Feed the whole journal to `replay`; the number of changes. Raises Damaged where one does not belong there."""
    after = 0
    count = 0
    while batch := core.changes(after_journal=after, limit=BATCH):
        for number, _, change in batch:
            if not replay.feed(change):
                problem = replay.chains.problems[-1] if replay.chains.problems else "an erased account's change"
                raise Damaged(f"the core's journal is not whole: {problem}", where=f"journal row {number}")
        after = batch[-1][0]
        count += len(batch)
        progress(stage, count, max(total, count) if total else 0, "changes")
    replay.chains.reach_bases()
    return count


def compare_accounts(core: CoreReads, replay: Replay) -> list[str]:
    """Whether the core has exactly the accounts that the journal made, under their names."""
    there = {account.id: account for account in core.accounts()}
    meant = {account for account, _ in replay.chains.heads if account != SYSTEM}
    found = [f"account {replay.name_of(id_)} is not in the core" for id_ in meant - there.keys()]
    for id_ in there.keys() - meant:
        # An account of which nothing is there yet, or any more, is known by what is held of it.
        if not any(core.held(there[id_].number, kind) for kind in Kind):
            found.append(f"the core has an account {id_.hex()} that no change made")
    found += [
        f"account {name} is called {there[id_]} in the core"
        for id_, name in replay.names.items()
        if id_ in there and there[id_].name != name
    ]
    return found


def compare_journal(there: Mapping[StreamKey, JournalSum], replay: Replay) -> list[str]:
    """Whether the journal, of which these are the sums, has as many changes and bytes of each stream as were taken."""
    found = []
    for key in there.keys() | replay.taken.keys():
        sums, taken = there.get(key), replay.taken.get(key)
        has = (0, 0, 0) if sums is None else (sums.changes, sums.stated_bytes, sums.inline_bytes)
        meant = (0, 0, 0) if taken is None else (taken.changes, taken.bytes, taken.inline)
        if has != meant:
            found.append(f"{replay.name_of(key[0])}, {key[1]}: (changes, bytes, bytes inline) {has}; entered: {meant}")
    return found


def compare_kind(
    core: CoreReads,
    replay: Replay,
    kind: Kind,
    on_blob: Callable[[BlobItem], None],
    *,
    bodies: bool = True,
    roots: Mapping[StreamKey, bytes] | None = None,
    settled: bool = True,
) -> list[str]:
    """Heads, collections, items and inline bodies of all streams of a kind. Blobs are handed to `on_blob`.

    Without `bodies` only those of items whose body is a blob are looked at. `roots` are state roots that streams must
    have, computed here from the core's own rows. Without `settled` those are left out that somebody else compares.
    """
    found: list[str] = []
    for key in list(replay.chains.heads):
        if key[1] is kind and (settled or not isinstance(replay.contents.end(key), SettledState)):
            found += compare_stream(core, replay, key, on_blob, bodies=bodies, root=(roots or {}).get(key, b""))
    return found


def compare_stream(
    core: CoreReads,
    replay: Replay,
    key: StreamKey,
    on_blob: Callable[[BlobItem], None],
    *,
    bodies: bool = False,
    root: bytes = b"",
) -> list[str]:
    """One stream, as `compare_kind`."""
    account, kind = key
    state = replay.contents.end(key)
    if isinstance(state, SettledState):
        return compare_settled(core, meant_of(replay, key, state), on_blob, bodies=bodies)
    row = core.account_by_id(account)
    who = _who(replay.name_of(account), kind)
    if row is None:
        return [f"{who}: the core does not know the account"]
    found = []
    head = replay.chains.head((account, kind))
    if core.head(row.number, kind) != head:
        found.append(f"{who}: the head is not that of rev {head.rev}")
    there = {c.id: c for c in core.collections(row.number) if c.kind is kind}
    found += [f"{who}: collection {c.path} is in the core and not in the journal" for c in _beyond(there, state)]
    compared = _Compared(core, account, bodies, on_blob, [] if root else None)
    for id_, meant in sorted(state.collections.items()):
        collection = there.get(id_)
        if collection is None:
            if meant.path is not None:
                found.append(f"{who}: collection {meant.path} is not in the core")
            continue
        for difference in _compare_collection(compared, collection, meant):
            found.append(f"{who}: {collection.path}{difference}")
            if len(found) > MAX_DIFFERENCES:
                return found
    if not found:
        figures = core.figures(row.number, kind)
        changes = replay.chains.reached(key)
        astray = any(meant.path is None for meant in state.collections.values())  # items that are not listed
        if not astray and figures != StreamFigures(changes, compared.items, compared.bytes):
            counted = f"{count_text(changes, 'change')}, {count_text(compared.items, 'item')}, {compared.bytes} B"
            found.append(f"{who}: the core reckons with {figures}; it has {counted}")
        if compared.roots is not None and state_root(compared.roots) != root:
            found.append(f"{who}: what lives is not what the generation states")
    return found


def meant_of(replay: Replay, key: StreamKey, state: SettledState) -> Meant:
    return Meant(key, replay.name_of(key[0]), replay.chains.head(key), replay.chains.reached(key), state)


def compare_settled(
    core: CoreReads, meant: Meant, on_blob: Callable[[BlobItem], None], *, bodies: bool = False
) -> list[str]:
    """A stream of which only the sums and the root are known: the core's own rows must give the same."""
    account, kind = meant.key
    who = _who(meant.name, kind)
    row = core.account_by_id(account)
    if row is None:
        return [f"{who}: the core does not know the account"]
    found = []
    if core.head(row.number, kind) != meant.head:
        found.append(f"{who}: the head is not that of rev {meant.head.rev}")
    compared = _Compared(core, account, bodies, on_blob, [])
    return found + [f"{who}: {problem}" for problem in _compare_settled(compared, row.number, meant)]


def _compare_settled(compared: _Compared, account: int, meant: Meant) -> Iterator[str]:
    assert compared.roots is not None
    core, state, kind = compared.core, meant.state, meant.key[1]
    there = [collection for collection in core.collections(account) if collection.kind is kind]
    revs = 0
    for collection in sorted(there, key=lambda collection: collection.id):
        items = core.items(collection)
        compared.items += len(items)
        for item in items:
            compared.bytes += item.size
            revs += item.rev
        props = props_digest(canonical_props(collection.props))
        compared.roots.append(_root_of(core, collection, props, items))
        if compared.bodies:
            yield from _compare_bodies(compared, collection, items)
        elif state.blobs:
            names = {name for id_, name, _ in state.blobs if id_ == collection.id}
            yield from _compare_bodies(compared, collection, [item for item in items if item.name in names])
    if len(there) != state.collections_count or state_root(compared.roots) != state.root:
        yield "what lives in the core is not what lives in the journal"
    if revs != state.revs:
        yield "items are not at the revs of the journal"
    figures = StreamFigures(meant.changes, state.live, state.bytes)
    if (compared.items, compared.bytes) != figures[1:] or core.figures(account, kind) != figures:
        yield f"the core reckons with {core.figures(account, kind)}; it has {compared.items} items of {figures}"


def compare_entered(core: CoreReads, meant: Sequence[Meant], first: int, last: int) -> Iterator[str]:
    """Settled streams without blobs, entered together with these numbers of the journal: as `compare_settled` of each.

    With a few statements for all of them.
    """
    made: dict[tuple[int, Kind], list[EnteredCollection]] = {}
    for collection in core.collections_made(first, last):
        made.setdefault((collection.account, collection.kind), []).append(collection)
    for one, standing in zip(meant, core.standings([one.key for one in meant]), strict=True):
        who = _who(one.name, one.key[1])
        if standing is None:
            yield f"{who}: the core does not know the account"
            continue
        for problem in _compare_rows(one, standing, made.get((standing.account, one.key[1]), [])):
            yield f"{who}: {problem}"


def _compare_rows(meant: Meant, standing: Standing, made: list[EnteredCollection]) -> Iterator[str]:
    state = meant.state
    assert not state.blobs
    if standing.head != meant.head:
        yield f"the head is not that of rev {meant.head.rev}"
    items = size = revs = 0
    roots = []
    for collection in sorted(made, key=lambda collection: collection.id):
        items += len(collection.items)
        listed = []
        for name, digest, bytes_, rev, props in collection.items:
            size += bytes_
            revs += rev
            listed.append((name.encode(), digest, props_digest(props) if props else b""))
        roots.append(RootCollection(collection.id, collection.path.encode(), props_digest(collection.props), listed))
    if len(made) != state.collections_count or state_root(roots) != state.root:
        yield "what lives in the core is not what lives in the journal"
    if revs != state.revs:
        yield "items are not at the revs of the journal"
    if (items, size) != (state.live, state.bytes) or standing.figures != (meant.changes, items, size):
        yield f"the core reckons with {standing.figures}; it has {items} items of {state.live}"


def _who(name: str, kind: Kind) -> str:
    return f"{name or 'the installation'}, {kind}"


class _Compared:
    """What a comparison of one stream works with, and what it counts. `roots` is None where no root is asked for."""

    def __init__(
        self,
        core: CoreReads,
        account: bytes,
        bodies: bool,
        on_blob: Callable[[BlobItem], None],
        roots: list[RootCollection] | None,
    ) -> None:
        self.core = core
        self.account = account
        self.bodies = bodies
        self.on_blob = on_blob
        self.roots = roots
        self.items = self.bytes = 0


def _beyond(there: dict[bytes, Collection], state: StreamState) -> list[Collection]:
    return [collection for id_, collection in there.items() if id_ not in state.collections]


def _compare_collection(compared: _Compared, collection: Collection, meant: CollectionState) -> Iterator[str]:
    core = compared.core
    if meant.path is not None and meant.path != collection.path:
        yield f" should be {meant.path}"
    if meant.path is not None and props_digest(canonical_props(collection.props)) != meant.props:
        yield ": the properties are not those of the journal"
    items = core.items(collection)
    compared.items += len(items)
    compared.bytes += sum(item.size for item in items)
    if compared.roots is not None:
        compared.roots.append(_root_of(core, collection, meant.props, items))
    for item in items:
        value = meant.items.get(name_key(item.name))
        if value is None:
            yield f"/{item.name} is in the core and not in the journal"
        elif value != item_value(item.digest, item.rev):
            yield f"/{item.name} is not at the version of the journal"
        elif not _same_props(core, item, meant):
            yield f"/{item.name}: the properties are not those of the journal"
    if len({item.name for item in items}) != len(meant.items):
        yield f" lists {count_text(len(items), 'item')}; the journal has {len(meant.items)}"
    read = [item for item in items if name_key(item.name) not in meant.bare] if meant.bare else items
    yield from _compare_bodies(compared, collection, read if compared.bodies else _with_blobs(read, meant))


def _with_blobs(items: list[Item], meant: CollectionState) -> list[Item]:
    return [item for item in items if name_key(item.name) in meant.blobs] if meant.blobs else []


def _root_of(core: CoreReads, collection: Collection, props: bytes, items: list[Item]) -> RootCollection:
    listed = [
        (
            item.name.encode(),
            item.digest,
            b"" if item.props_journal is None else props_digest(canonical_props(core.props(item))),
        )
        for item in items
    ]
    return RootCollection(collection.id, collection.path.encode(), props, listed)


def _same_props(core: CoreReads, item: Item, meant: CollectionState) -> bool:
    known = meant.item_props.get(name_key(item.name))
    if item.props_journal is None:
        return known is None
    return props_digest(canonical_props(core.props(item)))[:8] == (known or b"")


def _compare_bodies(compared: _Compared, collection: Collection, items: list[Item]) -> Iterator[str]:
    for start in range(0, len(items), BATCH):
        names = [item.name for item in items[start : start + BATCH]]
        read = 0
        for item, stored in compared.core.items_with_bodies(collection, names):
            read += 1
            if stored.blob is not None:
                compared.on_blob(BlobItem(compared.account, collection.kind, collection.path, item, stored.blob))
            elif not _sound(item, stored):
                yield f"/{item.name}: the body does not match its digest"
        if read != len(names):
            yield f": {len(names) - read} listed items have no body"


def _sound(item: Item, stored: Stored) -> bool:
    body = stored.inline
    return body is not None and len(body) == item.size and sha256(body).digest() == item.digest
