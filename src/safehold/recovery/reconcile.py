"""Reconcile: core against vault, stream by stream, each side by its own path.

The vault's side: heads and state roots of the newest generation, then the heads of the log after it. The core's side:
its heads and hashes, and state roots computed from its tables. So it is the present state that is compared, not only
what was written: a core whose tables went astray from its journal is found here, and no byte of a body is read.

Its cost is that of the streams' directory, the tail of the log and the core's items: fit for every day where
generations are made; without one the whole log is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from safehold.formats.keys import Opener
from safehold.model.change import canonical_props, props_digest
from safehold.model.kinds import Kind
from safehold.model.root import RootCollection, RootItem, state_root
from safehold.model.stream import EMPTY_HEAD, Head
from safehold.ports.core import EMPTY_LOG, CoreReads, LogPosition
from safehold.ports.log import Hole
from safehold.ports.vault import Vault
from safehold.recovery.chains import StreamKey
from safehold.recovery.replay import ERASED_PREFIX, erased_id
from safehold.recovery.report import Progress, silent
from safehold.vault.log import NotOnTheLog, VaultLogReader
from safehold.vault.runs import Runs

#: Sentences, at most.
MAX_DIFFERENCES = 200


class Reconciled(NamedTuple):
    """`roots` of the streams were compared by state root too: those that did not change since the generation."""

    streams: int
    roots: int
    generation: int  # 0: none, the whole log was read
    differences: list[str]


class _Known(NamedTuple):
    """What the vault says of a stream. `root` is the one at `rooted`, where one is known."""

    head: Head
    rooted: int = 0
    root: bytes = b""


def reconcile(
    core: CoreReads, vault: Vault, opener: Opener, *, complete: bool = True, progress: Progress = silent
) -> Reconciled:
    """`complete`: the vault has to have all that the core has. Raises VaultDown, Damaged."""
    with core.snapshot() as reads:
        known, generation = _in_vault(vault, opener, reads.log_position(), progress)
        found: list[str] = []
        roots = 0
        for done, (key, told) in enumerate(known.items()):
            if len(found) >= MAX_DIFFERENCES:
                break
            problem, compared = _compare(reads, key, told, complete=complete)
            roots += compared
            if problem:
                found.append(problem)
            progress(f"reconcile {vault.name}", done + 1, len(known), "streams")
        if complete:
            found += _beyond(reads, known)
        return Reconciled(len(known), roots, generation, found[:MAX_DIFFERENCES])


def _in_vault(
    vault: Vault, opener: Opener, upto: LogPosition, progress: Progress
) -> tuple[dict[StreamKey, _Known], int]:
    """The streams as the vault has them at the core's position, and the generation that this begins with."""
    runs = Runs([vault], opener)
    reader = VaultLogReader([vault], opener)
    newest = next((g for g in runs.generations() if g.number <= upto.frame and _leads_on(reader, g.position)), None)
    known: dict[StreamKey, _Known] = {}
    if newest is not None:
        for entry in runs.reader(newest).streams():
            known[entry.key] = _Known(entry.head, entry.head.rev if entry.root else 0, entry.root)
    count = 0
    for frame in reader.entries(newest.position if newest is not None else EMPTY_LOG):
        if isinstance(frame, Hole):
            continue
        if frame.position.frame > upto.frame:
            break
        for change in frame.changes:
            key = (change.account, change.kind)
            before = known.get(key, _Known(EMPTY_HEAD))
            if change.rev > before.head.rev:
                known[key] = before._replace(head=Head(change.rev, change.hash))
            gone = erased_id(change)
            for kind in Kind if gone is not None else ():
                known.pop((gone, kind), None)  # type: ignore[arg-type]
        count += len(frame.changes)
        progress(f"reconcile {vault.name}: log", count, 0, "changes")
    return known, newest.number if newest is not None else 0


def _leads_on(reader: VaultLogReader, position: LogPosition) -> bool:
    """Whether the log leads past there: not from a generation of an end that was lost, whose numbers are used anew."""
    try:
        reader.check(position)
    except NotOnTheLog:
        return False
    return True


def _compare(reads: CoreReads, key: StreamKey, told: _Known, *, complete: bool) -> tuple[str, bool]:
    """What differs, in words, and whether state roots were compared."""
    id_, kind = key
    account = reads.account_by_id(id_)
    if account is None:
        erased = reads.secret(0, f"{ERASED_PREFIX}{id_.hex()}") is not None
        return "" if erased else f"account {id_.hex()}: the core does not know it; the vault has its {kind}", False
    who = f"{account.name or 'the installation'}, {kind}"
    if reads.held(account.number, kind) is not None:
        return "", False  # known to miss something, and told by status
    head = reads.head(account.number, kind)
    there = reads.hash_at(account.number, kind, told.head.rev)
    if there is None:
        return f"{who}: the core ends at rev {head.rev}, the vault at rev {told.head.rev}", False
    if there != told.head.hash:
        return f"{who}: rev {told.head.rev} of the core is another change than the vault's", False
    if complete and head.rev > told.head.rev:
        return f"{who}: the core has revs up to {head.rev}, the vault up to {told.head.rev}", False
    if not told.root or told.rooted != head.rev:
        return "", False
    if core_root(reads, account.number, kind) != told.root:
        return f"{who}: what lives in the core is not what lives in the vault, though the changes are the same", True
    return "", True


def _beyond(reads: CoreReads, known: dict[StreamKey, _Known]) -> Iterator[str]:
    """Streams of the core of which the vault has nothing."""
    for account in reads.accounts():
        for kind in Kind:
            if (account.id, kind) not in known and reads.head(account.number, kind) != EMPTY_HEAD:
                yield f"{account.name}, {kind}: the vault has nothing of it"


def core_root(reads: CoreReads, account: int, kind: Kind) -> bytes:
    """The state root of a stream, from the core's tables."""
    there = sorted((c for c in reads.collections(account) if c.kind is kind), key=lambda c: c.id)
    return state_root(
        RootCollection(
            collection.id,
            collection.path.encode(),
            props_digest(canonical_props(collection.props)),
            (
                RootItem(
                    item.name.encode(),
                    item.digest,
                    props_digest(canonical_props(reads.props(item))) if item.props_journal is not None else b"",
                )
                for item in sorted(reads.items(collection), key=lambda item: item.name.encode())
            ),
        )
        for collection in there
    )
