"""A core compared with what its own journal says, by a path that shares nothing with how the core derives its state.

1. Walk the journal in commit order: every change chains, every hash and inline body holds (`walk_journal`).
2. Compare accounts, collections and items row by row with that replay, and read every inline body the way the service
   would (`compare_accounts`, `compare_kind`).

What does not agree is named in plain words; damage that a read runs into raises Damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

from safehold.model.change import canonical_props, props_digest
from safehold.model.errors import Damaged
from safehold.model.items import Collection, Item
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, Stored
from safehold.recovery.contents import CollectionState, StreamState, item_value, name_key
from safehold.recovery.replay import Replay
from safehold.recovery.report import Progress, silent
from safehold.recovery.selection import SYSTEM

#: Changes and bodies read at a time: at most 64 KiB each.
BATCH = 500
#: Sentences about one stream, at most.
MAX_DIFFERENCES = 20


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


def compare_kind(core: CoreReads, replay: Replay, kind: Kind, on_blob: Callable[[BlobItem], None]) -> list[str]:
    """Heads, collections, items and inline bodies of all streams of a kind. Blobs are handed to `on_blob`."""
    found: list[str] = []
    for account, stream_kind in list(replay.chains.heads):
        if stream_kind is kind:
            found += _compare_stream(core, replay, account, kind, on_blob)
    return found


def _compare_stream(
    core: CoreReads, replay: Replay, account: bytes, kind: Kind, on_blob: Callable[[BlobItem], None]
) -> list[str]:
    row = core.account_by_id(account)
    who = f"{replay.name_of(account) or 'the installation'}, {kind}"
    if row is None:
        return [f"{who}: the core does not know the account"]
    found = []
    head = replay.chains.head((account, kind))
    if core.head(row.number, kind) != head:
        found.append(f"{who}: the head is not that of rev {head.rev}")
    state = replay.contents.stream((account, kind))
    there = {c.id: c for c in core.collections(row.number) if c.kind is kind}
    found += [f"{who}: collection {c.path} is in the core and not in the journal" for c in _beyond(there, state)]
    for id_, meant in state.collections.items():
        collection = there.get(id_)
        if collection is None:
            if meant.path is not None:
                found.append(f"{who}: collection {meant.path} is not in the core")
            continue
        for difference in _compare_collection(core, account, collection, meant, on_blob):
            found.append(f"{who}: {collection.path}{difference}")
            if len(found) > MAX_DIFFERENCES:
                return found
    return found


def _beyond(there: dict[bytes, Collection], state: StreamState) -> list[Collection]:
    return [collection for id_, collection in there.items() if id_ not in state.collections]


def _compare_collection(
    core: CoreReads,
    account: bytes,
    collection: Collection,
    meant: CollectionState,
    on_blob: Callable[[BlobItem], None],
) -> Iterator[str]:
    if meant.path is not None and meant.path != collection.path:
        yield f" should be {meant.path}"
    if meant.path is not None and props_digest(canonical_props(collection.props)) != meant.props:
        yield ": the properties are not those of the journal"
    items = core.items(collection)
    for item in items:
        value = meant.items.get(name_key(item.name))
        if value is None:
            yield f"/{item.name} is in the core and not in the journal"
        elif value != item_value(item.digest, item.rev):
            yield f"/{item.name} is not at the version of the journal"
        elif not _same_props(core, item, meant):
            yield f"/{item.name}: the properties are not those of the journal"
    if len({item.name for item in items}) != len(meant.items):
        yield f" lists {len(items)} items; the journal has {len(meant.items)}"
    yield from _compare_bodies(core, account, collection, items, on_blob)


def _same_props(core: CoreReads, item: Item, meant: CollectionState) -> bool:
    known = meant.item_props.get(name_key(item.name))
    if item.props_journal is None:
        return known is None
    return props_digest(canonical_props(core.props(item)))[:8] == (known or b"")


def _compare_bodies(
    core: CoreReads, account: bytes, collection: Collection, items: list[Item], on_blob: Callable[[BlobItem], None]
) -> Iterator[str]:
    for start in range(0, len(items), BATCH):
        names = [item.name for item in items[start : start + BATCH]]
        read = 0
        for item, stored in core.items_with_bodies(collection, names):
            read += 1
            if stored.blob is not None:
                on_blob(BlobItem(account, collection.kind, collection.path, item, stored.blob))
            elif not _sound(item, stored):
                yield f"/{item.name}: the body does not match its digest"
        if read != len(names):
            yield f": {len(names) - read} listed items have no body"


def _sound(item: Item, stored: Stored) -> bool:
    body = stored.inline
    return body is not None and len(body) == item.size and sha256(body).digest() == item.digest
