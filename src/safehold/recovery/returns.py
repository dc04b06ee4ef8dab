"""Which things a find puts back as new changes, and why not the others: decided for each, without a hand on anything.

What has its place in the chain goes on its stream verbatim (joining.py). The rest is *returned*, once the stream is
there: changes on good pages whose place in the chain is lost, items that a core listed and whose body was found,
changes of revisions whose loss is on record, things out of exports. Each of them only where the stream, as it is, does
not know better:

1. never where a delete of that name, or of its collection, is on record and not known to be earlier;
2. never over a newer version, nor where the same bytes are there;
3. of things without a rev (exports) only what the stream never heard of: a name, a UID and bytes that are nowhere in
   its history, of which nothing is dropped or in doubt. Bytes that were there once were deleted or replaced since;
4. never for an account that is not there, nor into identities.

Changes order by timeline and rev, for timelines never fall along a stream, and histories that parted differ in theirs.
Where a time speaks against that order a delete stays. Whatever is decided is decided the same again: what was put back
is then the newest version of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec

from safehold.content.uid import quick_uid
from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.ports.core import CoreReads, Stored, Version
from safehold.ports.survivors import KnownItem, Loose

#: Things aside that are named; all are counted.
MAX_NAMED = 1_000

#: Who puts back.
ACTOR = "recovery"

#: An item: its collection's id and its name.
Place = tuple[bytes, str]


class Verdict(StrEnum):
    PUT = "put"
    SKIP = "skip"  # nothing is lost by it
    ASIDE = "aside"  # somebody has to look at it


class Decision(NamedTuple):
    verdict: Verdict
    why: str


class Candidate(NamedTuple):
    """Something that may come back."""

    kind: Kind
    collection: bytes  # id; b"" where only a path, or nothing, is known
    path: str  # of the collection below its account, "" where nobody knows
    name: str
    media: str
    digest: bytes
    size: int
    timeline: int  # 0 where nobody knows
    rev: int  # 0 where nobody knows
    at: int | None
    blob: bytes  # name of the blob that holds the body; b"" where none does

    @property
    def place(self) -> Place:
        return self.collection, self.name


def of_change(change: Change) -> Candidate:
    return Candidate(
        change.kind,
        change.collection,
        "",
        change.name,
        change.media,
        change.digest,
        change.size,
        change.timeline,
        change.rev,
        change.at,
        change.blob or b"",
    )


def of_known(item: KnownItem) -> Candidate:
    return Candidate(
        item.kind,
        item.collection,
        "",
        item.name,
        item.media,
        item.digest,
        item.size,
        0,
        item.rev,
        item.at,
        b"",
    )


def of_loose(loose: Loose, path: str) -> Candidate:
    """`path` is that of its collection below the account."""
    return Candidate(
        loose.kind,
        b"",
        path,
        loose.name,
        loose.media,
        loose.digest,
        loose.size,
        0,
        0,
        loose.at,
        b"",
    )


class LeftAside(msgspec.Struct, frozen=True):
    """Something that somebody has to look at."""

    account: str
    kind: Kind
    collection: str
    name: str
    why: str


class Returned(msgspec.Struct):
    """`skipped` are those that the stream knows better; `held` streams get theirs once their loss is accepted."""

    put: int = 0
    skipped: int = 0
    aside_count: int = 0
    aside: list[LeftAside] = []
    held: list[str] = []

    def leave(self, account: str, candidate: Candidate, why: str) -> None:
        self.aside_count += 1
        if len(self.aside) < MAX_NAMED:
            self.aside.append(LeftAside(account, candidate.kind, candidate.path, candidate.name, why))


class Touch(NamedTuple):
    """The last thing that the stream knows of an item or a collection."""

    rev: int
    at: int
    deleted: bool
    digest: bytes
    timeline: Callable[[], int]


class Memory:
    """All that a stream knows, and what was found of its deletes."""

    def __init__(self, versions: Iterable[Version], timeline_of: Callable[[int], int], *, doubtful: str) -> None:
        """`versions` newest first; `timeline_of` of a number in the journal; `doubtful`: why deletes may be missing."""
        self.items: dict[Place, Touch] = {}
        self.removed: dict[bytes, Touch] = {}
        self.digests: set[bytes] = set()
        self.names: set[str] = set()
        self.uids: set[str] = set()
        self.unread = False  # whether a body is gone that may have had any UID
        self.heard: set[bytes] = set()  # digests of changes that were found and are not on the stream
        #: What a recovery put back once: its collection's path, its name, its digest.
        self.returned: set[tuple[str, str, bytes]] = set()
        self.doubtful = doubtful
        self.accepted = False  # whether revisions of it are lost by somebody's word
        for version in versions:
            touch = Touch(
                version.rev,
                version.at,
                version.op in (Op.DELETE, Op.RMCOL),
                version.digest,
                lambda journal=version.journal: timeline_of(journal),  # type: ignore[misc]
            )
            if version.op is Op.RMCOL:
                self.removed.setdefault(version.collection, touch)
            elif version.op is Op.GAP:
                self.accepted = True
            elif version.op in (Op.PUT, Op.DELETE):
                self.items.setdefault((version.collection, version.name), touch)
                self.names.add(version.name)
                if version.digest:
                    self.digests.add(version.digest)
                    if version.actor == ACTOR:
                        self.returned.add((version.path, version.name, version.digest))

    def hear(self, change: Change) -> None:
        """A change on a good page that is not on the stream: a delete that it tells of holds as well.

        Its name, bytes and UID have been heard of then.
        """
        if change.op in (Op.PUT, Op.DELETE):
            self.names.add(change.name)
        if change.digest:
            self.heard.add(change.digest)
        uid = quick_uid(change.body) if change.body is not None and change.kind in _WITH_UID else None
        if uid is not None:
            self.uids.add(uid)
        touch = Touch(change.rev, change.at, True, b"", lambda: change.timeline)
        if change.op is Op.RMCOL:
            self.removed.setdefault(change.collection, touch)
        elif change.op is Op.DELETE:
            had = self.items.get((change.collection, change.name))
            if had is None or (change.timeline, change.rev) > (had.timeline(), had.rev):
                self.items[change.collection, change.name] = touch


def decide(candidate: Candidate, memory: Memory, body: bytes | None = None) -> Decision:
    """`body` is that of something without a rev, where it is known: for its UID."""
    if candidate.kind is Kind.IDENTITY:
        return Decision(Verdict.ASIDE, "credentials and profiles are not put back out of their order")
    return _with_rev(candidate, memory) if candidate.rev else _without_rev(candidate, memory, body)


def _with_rev(candidate: Candidate, memory: Memory) -> Decision:
    removed = memory.removed.get(candidate.collection)
    if removed is not None:
        return Decision(Verdict.SKIP, f"its collection was removed at rev {removed.rev}")
    touch = memory.items.get(candidate.place)
    if touch is None:
        return Decision(Verdict.PUT, "the stream knows nothing of it")
    if not touch.deleted and touch.digest == candidate.digest:
        return Decision(Verdict.SKIP, "it is there")
    newer = _is_newer(candidate, touch)
    if touch.deleted:
        if newer and candidate.at is not None and candidate.at >= touch.at:
            return Decision(Verdict.PUT, f"it was put again after it was deleted at rev {touch.rev}")
        if newer is False:
            return Decision(Verdict.SKIP, f"it was deleted at rev {touch.rev}")
        return Decision(Verdict.ASIDE, f"it was deleted at rev {touch.rev}, and which came later is not sure")
    if newer:
        return Decision(Verdict.PUT, f"what is there is of rev {touch.rev}")
    if newer is False:
        return Decision(Verdict.SKIP, f"a newer version is there, of rev {touch.rev}")
    return Decision(Verdict.ASIDE, f"another version is there, of rev {touch.rev}, and which came later is not sure")


def _is_newer(candidate: Candidate, touch: Touch) -> bool | None:
    """Whether it came after what the stream knows last; None where that cannot be told."""
    if candidate.timeline:
        return (candidate.timeline, candidate.rev) > (touch.timeline(), touch.rev)
    later = candidate.rev > touch.rev
    return later if candidate.at is not None and (candidate.at > touch.at) == later else None


def _without_rev(candidate: Candidate, memory: Memory, body: bytes | None) -> Decision:
    if candidate.digest in memory.digests:
        return Decision(Verdict.SKIP, "it is there, or was and has been replaced or deleted since")
    if candidate.digest in memory.heard:
        return Decision(Verdict.SKIP, "a change that was found has these bytes")
    if memory.doubtful:
        return Decision(Verdict.ASIDE, memory.doubtful)
    if candidate.name in memory.names:
        return Decision(Verdict.ASIDE, "its name is known with other content, and which came later is not known")
    uid = quick_uid(body) if body is not None and candidate.kind in _WITH_UID else None
    if uid is not None and uid in memory.uids:
        return Decision(Verdict.ASIDE, "its UID is known with other content, and which came later is not known")
    if uid is not None and memory.unread:
        return Decision(Verdict.ASIDE, "a body of its history is gone, and nobody knows whether it had its UID")
    return Decision(Verdict.PUT, "the stream never heard of it")


_WITH_UID = (Kind.CONTACTS, Kind.CALENDAR, Kind.TASKS, Kind.NOTES)


def newest(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Of each item the version that came last; of things without a rev each content once."""
    last: dict[Place, Candidate] = {}
    without: dict[tuple[str, str, bytes], Candidate] = {}
    for candidate in candidates:
        if not candidate.rev:
            without.setdefault((candidate.path, candidate.name, candidate.digest), candidate)
            continue
        had = last.get(candidate.place)
        if had is None or _order(candidate, had) > _order(had, candidate):
            last[candidate.place] = candidate
    yield from last.values()
    yield from without.values()


def _order(candidate: Candidate, beside: Candidate) -> tuple[int, int, int]:
    """Of two versions the one is later whose order is higher; one without a timeline may be of the other's."""
    return (candidate.timeline or beside.timeline, candidate.rev, candidate.timeline)


def remember(reads: CoreReads, account: int, kind: Kind, *, in_doubt: bool, with_uids: bool) -> Memory:
    """What the stream knows now. `in_doubt`: the log's end is; `with_uids`: also the UIDs of all that was there."""
    held = reads.held(account, kind)
    doubtful = ""
    if held is not None:
        doubtful = f"the stream is held: {held}"
    elif in_doubt:
        doubtful = "how the log had ended is not known, and a delete may have been lost with it"
    elif reads.base(account, kind) is not None:
        doubtful = "older history of the stream was dropped, and a delete with it"

    def timeline_of(journal: int) -> int:
        return reads.change(journal).timeline

    memory = Memory(reads.history(account, kind=kind), timeline_of, doubtful=doubtful)
    if with_uids and kind in _WITH_UID:
        for version in reads.history(account, kind=kind):
            if version.op is Op.PUT:
                _hear_uid(memory, version, reads.version_body(version.journal))
    return memory


def _hear_uid(memory: Memory, version: Version, stored: Stored) -> None:
    uid = quick_uid(stored.inline) if stored.inline is not None else None
    if uid is not None:
        memory.uids.add(uid)
    elif stored.inline is None and stored.blob is None and version.media.startswith("text/"):
        memory.unread = True
