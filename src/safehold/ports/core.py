"""The core: the live database. It takes verified changes and keeps the present state derived from them.

`CoreStore.apply` is the only way in, for the service, for the take-in of a vault's tail and for recovery alike:
it appends a change to the journal, verbatim, and brings accounts, collections, items and heads up to date.

Long, as all that is asked of a core stands here once, each with its promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from safehold.model.change import Change, Op
from safehold.model.items import Account, Collection, Item
from safehold.model.kinds import Kind
from safehold.model.stream import Base, Head


class LogPosition(NamedTuple):
    """The end of a writer's log: the timeline, the number of the last frame, and its digest.

    Frames are numbered 1, 2, 3 … through all timelines. (0, 0, b"") is the empty log.
    """

    timeline: int
    frame: int
    digest: bytes


EMPTY_LOG = LogPosition(0, 0, b"")

#: The frame of changes that no vault holds: later than any. The next writer archives them, as they are.
UNARCHIVED = 1 << 62

#: Why a stream that a filtered recovery left out is held. It is told from a loss by this.
NOT_YET = "not recovered yet"

#: Why a stream is held that is here, while writes to it wait in the account's intake. They come first.
INTAKE = "what was sent meanwhile is being entered"

#: What the reason begins with for which the installation's identity is held once a recovery has told that its key is in
#: no source: the next writer founds it anew (I103).
TO_FOUND = "to be founded anew: "


class Touched(NamedTuple):
    """A name that changed in a collection since some rev: its last rev, and the item where it still lives.

    `rev` is that of its delete where it does not live.
    `deleted` is True only where a delete after that rev is on record; an item that neither lives nor was
    deleted since (a refused write to a name that never was) is not reported at all.
    """

    name: str
    rev: int
    item: Item | None
    deleted: bool


class Stored(NamedTuple):
    """A body as it is kept: inline, or the name of its blob."""

    inline: bytes | None
    blob: bytes | None
    size: int


class Version(msgspec.Struct, frozen=True):
    """A line of an item's or collection's history: what one change did, without its body."""

    journal: int
    account: int
    kind: Kind
    rev: int
    group: int
    at: int
    op: Op
    collection: bytes
    path: str  # of the collection, as it is or last was
    name: str
    media: str
    digest: bytes
    size: int
    actor: str


class PastCollection(NamedTuple):
    """A collection as it was at some time."""

    id: bytes
    path: str
    props: dict[str, str]


class PastItem(NamedTuple):
    """An item as it was at some time: its body is `version_body(journal)`, its properties `props_at(props_journal)`."""

    name: str
    journal: int  # of the change that holds the body
    digest: bytes
    size: int
    media: str
    props_journal: int | None  # of the change that holds the properties; None where it had none
    props_digest: bytes


class StreamFigures(NamedTuple):
    """What the core keeps count of: changes that are here, live items, and bytes of their bodies."""

    changes: int
    items: int
    bytes: int


class Standing(NamedTuple):
    """A stream as the core reckons with it: its account's number, why it is held, where it ends, what it has."""

    account: int
    held: str | None
    head: Head
    figures: StreamFigures


class WholeStream(NamedTuple):
    """A stream on its way into a core that has nothing of it. `rows` are what a StreamMaker packed, or b"" for none.

    `first` is the number that its first change had there. `held` says why it is held from then on, None: it is whole.
    """

    account: bytes
    kind: Kind
    rows: bytes
    first: int
    changes: int
    held: str | None


class EnteredCollection(NamedTuple):
    """A live collection as its rows have it; its items by name, each with the properties that its row points to."""

    account: int
    kind: Kind
    id: bytes
    path: str
    props: bytes | None
    items: list[tuple[str, bytes, int, int, bytes | None]]  # name, digest, size, rev, properties


class JournalSum(NamedTuple):
    """Over the changes of a stream: how many, the last rev, bytes of bodies as stated, and as they are inline."""

    changes: int
    last: int
    stated_bytes: int
    inline_bytes: int

    def with_more(self, other: JournalSum) -> JournalSum:
        """Of other changes of the same stream as well."""
        return JournalSum(
            self.changes + other.changes,
            max(self.last, other.last),
            self.stated_bytes + other.stated_bytes,
            self.inline_bytes + other.inline_bytes,
        )


class IntakeFigures(NamedTuple):
    """What waits in an account's intake: writes, bytes of their inline bodies, and of those that are blobs."""

    items: int
    inline_bytes: int
    blob_bytes: int


EMPTY_INTAKE = IntakeFigures(0, 0, 0)


class Bodiless(NamedTuple):
    """Of a stream: revs of changes whose body a recovery has found nowhere, and the properties of its GAP changes."""

    revs: list[int]
    records: list[bytes]


class Removed(NamedTuple):
    """A collection that was removed, as it last was, and the rev that removed it; `changed_at` says when."""

    collection: Collection
    rev: int


class Removal(NamedTuple):
    """A change as it bears on a collection: `weight` is 1 for a delete there, -1 for a put, else 0."""

    rev: int
    group: int
    at: int
    weight: int
    actor: str


class RunSpan(NamedTuple):
    """The part of a stream that a run holds: revs after `after_rev`, up to `rev`."""

    account: int
    id: bytes  # of the account
    kind: Kind
    after_rev: int
    rev: int


#: A change on its way into a run, with the fields in the order of Change, its account and kind left out and `op` as
#: text. `prev` is None where it is the hash of the change whose rev is one less, which then is the row before.
RunRow = tuple[
    int,  # timeline
    int,  # rev
    int,  # group
    int,  # at
    str,  # op
    bytes,  # collection
    str,  # name
    str,  # media
    bytes,  # digest
    int,  # size
    bytes,  # props_digest
    str,  # actor
    bytes | None,  # prev
    bytes,  # hash
    bytes | None,  # body
    bytes | None,  # blob
    bytes | None,  # props
]


class CoreReads(Protocol):
    """Reads of committed state. Each method sees one moment; `snapshot` holds one moment over several."""

    def snapshot(self) -> Snapshot:
        """A context manager: within it all reads of this object see the same moment."""
        ...

    def accounts(self) -> list[Account]: ...

    def account_named(self, name: str) -> Account | None: ...

    def account_by_id(self, id_: bytes) -> Account | None: ...

    def nameless(self, limit: int) -> list[Account]:
        """Accounts whose name is not here, at most so many; the installation itself is none. Reads all accounts."""
        ...

    def secret(self, account: int, name: str) -> bytes | None:
        """The body of an item of the account's identity (`password`, `app/…`, `blob-key`), or None."""
        ...

    def secrets(self, account: int, prefix: str) -> list[tuple[str, bytes]]:
        """Identity items whose name begins with prefix, with bodies."""
        ...

    def secret_items(self, account: int, prefix: str) -> list[Item]:
        """Identity items whose name begins with prefix, sorted by name, without bodies."""
        ...

    def intake(self, account: int) -> IntakeFigures:
        """What waits in the account's intake. Costs the same however much that is."""
        ...

    def intakes(self) -> dict[bytes, IntakeFigures]:
        """By account id: in whose intake anything waits, or whose streams are held for it (then it may be empty)."""
        ...

    def entering(self, limit: int) -> list[bytes]:
        """Ids of accounts of which a stream is held for INTAKE, at most so many."""
        ...

    def head(self, account: int, kind: Kind) -> Head:
        """The stream's head; EMPTY_HEAD where it has no change."""
        ...

    def held(self, account: int, kind: Kind) -> str | None:
        """Why this stream may not be read now (revisions missing …), or None where it is whole."""
        ...

    def held_for(self, reason: str) -> int:
        """How many streams are held for this very reason."""
        ...

    def held_streams(self, reason: str) -> list[tuple[bytes, Kind]]:
        """The streams that are held for this very reason, by account id and kind."""
        ...

    def hash_at(self, account: int, kind: Kind, rev: int) -> bytes | None:
        """The stream's hash at rev; None where the stream does not reach it, or it was dropped before the base."""
        ...

    def figures(self, account: int, kind: Kind) -> StreamFigures:
        """What the core reckons that a stream has; all 0 where it does not know it."""
        ...

    def stream_ends(self) -> dict[tuple[bytes, Kind], int]:
        """The last rev of every stream that has a change, by account id and kind."""
        ...

    def journal_sums(self, first: int = 1, last: int | None = None) -> dict[tuple[bytes, Kind], JournalSum]:
        """Sums over all changes, or those from one journal number to another, by account id and kind.

        Reads every row.
        """
        ...

    def standings(self, streams: Sequence[tuple[bytes, Kind]]) -> list[Standing | None]:
        """Of each of these streams, by account id and kind; None where the core does not know the account.

        One of which it knows nothing else ends at EMPTY_HEAD and has nothing.
        """
        ...

    def collections_made(self, first: int, last: int) -> Iterator[EnteredCollection]:
        """Live collections that bear numbers from one to another, in their order."""
        ...

    def names_told(self) -> list[tuple[Account, bytes | None]]:
        """Every account but the installation, with the body of the profile that its identity has, by number."""
        ...

    def base(self, account: int, kind: Kind) -> Base | None:
        """Where the stream begins whose older history was dropped; None where nothing was."""
        ...

    def bases(self) -> dict[tuple[bytes, Kind], Base]:
        """Those of all streams that have one, by account id and kind."""
        ...

    def collection(self, account: int, path: str) -> Collection | None: ...

    def collections(self, account: int, prefix: str = "") -> list[Collection]:
        """Live collections whose path begins with prefix, sorted by path."""
        ...

    def item(self, collection: Collection, name: str) -> Item | None: ...

    def item_by_uid(self, collection: Collection, uid: str) -> Item | None: ...

    def items(self, collection: Collection, limit: int | None = None) -> list[Item]:
        """All live items, or the first so many, sorted by name."""
        ...

    def items_named(self, collection: Collection, names: Sequence[str]) -> list[Item]:
        """Those of names that live, in the order asked."""
        ...

    def body(self, item: Item) -> Stored: ...

    def items_with_bodies(self, collection: Collection, names: Sequence[str]) -> Iterator[tuple[Item, Stored]]:
        """Those of names that live, in the order asked."""
        ...

    def items_with_blobs(self, account: int, kind: Kind) -> list[tuple[str, Item, bytes]]:
        """The live items of a stream whose body is a blob, each with the path of its collection and the blob's name."""
        ...

    def ghost_items(self, account: int, kind: Kind) -> list[tuple[str, Item]]:
        """The live items of a stream whose body a recovery has found nowhere, each with the path of its collection."""
        ...

    def has_body(self, journal: int) -> bool:
        """False for the change of a ghost alone: what is not here for damage has one. Raises Damaged."""
        ...

    def bodiless(self, account: int) -> dict[Kind, Bodiless]:
        """Streams of an account that have changes without their body, or GAP changes. Reads all of the account's."""
        ...

    def props(self, item: Item) -> dict[str, str]:
        """The item's own properties."""
        ...

    def touched(self, collection: Collection, since_rev: int, limit: int | None = None) -> list[Touched]:
        """Names whose state a change after since_rev touched, by their last rev ascending.

        At most limit of them: then the last one's rev is where the next call goes on. For a name that is gone it is the
        rev of its delete: a refused write may have come later.
        """
        ...

    def history(
        self,
        account: int,
        *,
        kind: Kind | None = None,
        path: str | None = None,
        name: str | None = None,
        below: Mapping[Kind, int] | None = None,
    ) -> Iterator[Version]:
        """Changes of an item, a collection (by path: every collection that bore it), or a kind; newest first.

        Of a kind that `below` names only those of lower revs: where a look at the history goes on.
        """
        ...

    def version_at(self, account: int, kind: Kind, rev: int) -> Version | None:
        """The line of history of one rev; None where it is not here."""
        ...

    def version_body(self, journal: int) -> Stored: ...

    def rev_at(self, account: int, kind: Kind, at: int) -> int:
        """The last rev of a stream whose `at` (µs) is not later; 0 where there is none.

        Raises HistoryDropped where that lies before the stream's base.
        """
        ...

    def collections_at(
        self, account: int, kind: Kind, at: int | None = None, *, rev: int | None = None
    ) -> list[PastCollection]:
        """Collections of a kind that lived at a time (µs, as `rev_at` takes it), or after a rev.

        Raises HistoryDropped where that lies before the stream's base.
        """
        ...

    def items_at(
        self,
        account: int,
        collection: bytes,
        at: int | None = None,
        *,
        rev: int | None = None,
        name: str | None = None,
    ) -> dict[str, PastItem]:
        """Items of a collection (by id, live or removed since) that lived at that moment, by name; or one of them.

        Raises as above.
        """
        ...

    def count_items(self, collection: Collection, limit: int) -> int:
        """How many items live in a collection, counted up to `limit`: it costs what is counted."""
        ...

    def removals(self, account: int, kind: Kind, collection: bytes) -> Iterator[Removal]:
        """Every change of a stream, newest first, as it bears on a collection (by id)."""
        ...

    def removed_collections(self, account: int, kind: Kind) -> list[Removed]:
        """Collections of a kind that were removed, the last removed first."""
        ...

    def props_at(self, journal: int) -> dict[str, str]:
        """The properties that a change set."""
        ...

    def change(self, journal: int) -> Change:
        """One change of the journal, verbatim, with its body where that is inline."""
        ...

    def changes(self, *, after_journal: int = 0, limit: int = 1000) -> list[tuple[int, int, Change]]:
        """(journal number, frame, change) in commit order, verbatim, bodies included."""
        ...

    def changes_after_frame(
        self, frame: int, limit: int = 1000, *, after_journal: int = 0
    ) -> list[tuple[int, int, Change]]:
        """(journal number, frame, change) of what was archived in later frames than this, in commit order.

        `after_journal` goes on after the last number of the call before.
        """
        ...

    def unarchived(self, frame: int) -> tuple[int, int | None]:
        """How many changes were archived in later frames than this, and the `at` of the oldest of them (µs)."""
        ...

    def framed_changes(self, after: int, upto: int) -> int:
        """How many changes are archived in frames after `after` and not after `upto`."""
        ...

    def run_spans(self, after: int, upto: int, first_id: bytes = b"", last_id: bytes = b"\xff" * 16) -> list[RunSpan]:
        """What a run after one frame and up to another holds, of accounts whose ids lie between these two.

        In the order of runs: by kind in restore order, account id. A stream's head at a frame is the last rev that is
        in that frame or an earlier one: what is before it counts with it, whatever frame it was archived in again.
        """
        ...

    def run_streams(self, upto: int) -> int:
        """How many spans `run_spans(0, upto)` has, in a fraction of its time."""
        ...

    def run_rows(self, account: int, kind: Kind, after_rev: int, upto_rev: int) -> Iterator[RunRow]:
        """The changes of a stream after one rev, up to another, in rev order; made for reading all of a core."""
        ...

    def log_position(self) -> LogPosition:
        """Up to where the log has been applied."""
        ...

    def fault(self) -> str | None:
        """What is wrong with the core's own file: pages that rotted, indexes that disagree; None where nothing is.

        Reads all of it, also what no other read would touch. Raises Damaged where that cannot be done.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes of live items by kind, as `counts` counts them."""
        ...

    def counts(self) -> dict[str, int]:
        """Live items by kind, and `accounts`, `changes`."""
        ...

    def used_bytes(self, account: int) -> int:
        """Bytes of all live bodies of an account, its identity left out. Costs the same whatever it holds."""
        ...

    def recovery_mark(self) -> str:
        """What names the recovery that put this core into place; "" where none did."""
        ...

    def end_in_doubt(self) -> bytes:
        """What a recovery that could not know the log's end left (formats/doubt.py), until it is logged; or b""."""
        ...

    def recovery_record(self) -> bytes | None:
        """What is on record of a recovery that is under way in this core; None where none is."""
        ...

    def recovery_notes(self) -> list[bytes]:
        """What was noted beside that record, in the order in which it was."""
        ...

    def best_score(self, account: int, game: str) -> float | None: ...

    def leaderboard(self, game: str, limit: int) -> list[tuple[str, float, int]]:
        """(account name, best score, at) of accounts that chose to be listed, best first."""
        ...


class Snapshot(Protocol):
    def __enter__(self) -> CoreReads: ...

    def __exit__(self, *exc: object) -> None: ...


class StreamMaker(Protocol):
    """Derives, without a database, the rows that one whole stream becomes in a core that has nothing of it."""

    @property
    def next_journal(self) -> int:
        """The number in the journal that the next change gets."""
        ...

    def add(self, change: Change, frame: int, after_gap: bool = False) -> None:
        """The next change, as `CoreStore.apply`; also `after_gap` where history before it was dropped."""
        ...

    @property
    def waiting(self) -> int:
        """Rows of the journal that were made and not yet taken."""
        ...

    def take(self) -> list[Any]:
        """Rows of the journal made since the last call, for `CoreStore.enter_journal`."""
        ...

    def finish(self) -> Any:
        """All other rows, for `CoreStore.enter_stream`."""
        ...

    def packed(self) -> bytes:
        """What `take` and `finish` give, for `CoreStore.enter_packed`, in a form that goes from process to process."""
        ...


class CoreStore(CoreReads, Protocol):
    """The one writer's view. Between begin and commit its reads see what it has written."""

    def begin(self) -> None: ...

    def apply(self, change: Change, frame: int, after_gap: bool = False) -> None:
        """Enter a change that continues its stream (asserted), archived in log frame `frame`.

        With `after_gap` a recovery enters a change before which revisions are missing for good; whether the stream
        may be read is then a matter of `hold`.
        """
        ...

    def bulk(self, on: bool) -> None:
        """Outside of a transaction: fill a core that nobody uses yet faster, slow to read. Commits cost more.

        After bulk(False) everything is synced and indexed, as after any commit. Close the core before its file is
        renamed into place.
        """
        ...

    def filling(self, on: bool) -> None:
        """Outside of a transaction: much is entered for a while into a core that is in use. Harmless when repeated."""
        ...

    def next_journal(self) -> int:
        """The number in the journal that the next change gets."""
        ...

    def account_number(self, id_: bytes) -> int:
        """The local key of an account, which is given it where it has none. Within a transaction."""
        ...

    def stream_maker(self, account: int, kind: Kind, base: Base | None, first_journal: int) -> StreamMaker:
        """For a stream of which the core has nothing, entered by what it makes, in this process or from another."""
        ...

    def enter_journal(self, rows: Sequence[Any]) -> None:
        """What a StreamMaker took. In a transaction; fast between bulk(True) and bulk(False)."""
        ...

    def enter_stream(self, end: Any) -> None:
        """What a StreamMaker finished with, after all of its journal, in the same transaction."""
        ...

    def enter_packed(self, rows: bytes) -> None:
        """What a StreamMaker packed. As `enter_journal` and `enter_stream`."""
        ...

    def enter_together(self, streams: Sequence[WholeStream]) -> None:
        """Many streams, each as `enter_packed` and then `hold`, their rows moved to where the journal is.

        Fastest where each begins in its numbers where the one before ended.
        """
        ...

    def account_numbers(self, ids: Sequence[bytes]) -> dict[bytes, int]:
        """As `account_number`, of many at once."""
        ...

    def hold(self, account: bytes, kind: Kind, reason: str | None) -> None:
        """Mark a stream as not to be read (None: as whole again).

        Where writes wait in the account's intake, a stream that is whole again is held for INTAKE: see `release`.
        """
        ...

    def release(self, account: bytes, kind: Kind) -> None:
        """As `hold` with None, and no write that waits in the intake is this stream's."""
        ...

    def hold_back(self, streams: Sequence[tuple[bytes, Kind]], reason: str) -> None:
        """Mark many streams of which the core has nothing as not to be read."""
        ...

    def drop_account(self, id_: bytes) -> None:
        """Erase every trace of an account from the core: journal, state, name."""
        ...

    def set_log_position(self, position: LogPosition) -> None: ...

    def set_recovery_mark(self, mark: str) -> None:
        """This core is put into place by a recovery of this name, which no other recovery bears."""
        ...

    def set_end_in_doubt(self, doubt: bytes) -> None:
        """b"": it is in the log now, or nothing is in doubt."""
        ...

    def set_recovery_record(self, record: bytes | None) -> None:
        """A recovery is under way in this core. None: it is over, and what was noted goes too."""
        ...

    def add_recovery_note(self, note: bytes) -> None: ...

    def set_frame(self, first_journal: int, last_journal: int, frame: int) -> None:
        """Changes of this range of journal numbers have been archived again, in this frame."""
        ...

    def set_frame_after(self, account: bytes, kind: Kind, rev: int, frame: int) -> None:
        """All changes of a stream after rev are in this frame of the log."""
        ...

    def set_frames_upto(self, frame: int) -> None:
        """Changes whose frame is a later one, and that are not UNARCHIVED, are in this frame of the log or before."""
        ...

    def set_frame_of(self, account: int, kind: Kind, rev: int, frame: int) -> None:
        """The change at rev is in this frame of the log."""
        ...

    def commit(self) -> None:
        """Durable when it returns. Raises OutOfSpace, or Damaged where the database file fails its checks."""
        ...

    def rollback(self) -> None: ...

    def reader(self) -> CoreReads:
        """Another connection that sees committed state only; for another thread."""
        ...

    def close(self) -> None: ...
