"""A log in memory that is written like a real one and read back with holes, for tests of recovery.

`History` makes changes, chained and digested as the service makes them, in frames that chain as well. `FakeReader`
reads them as a LogReader does. What is encrypted and signed is tested with the real vaults in the crash tests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256

import msgspec

from safehold.model.change import GENESIS, NO_DIGEST, Change, Op, canonical_props, props_digest, rehash
from safehold.model.errors import Held
from safehold.model.kinds import Kind
from safehold.model.stream import EMPTY_HEAD, Head
from safehold.ports.blobs import BodyStage
from safehold.ports.core import EMPTY_LOG, CoreReads, LogPosition
from safehold.ports.log import Hole, LogFrame
from safehold.vault.memory import MemoryVault

SYSTEM = bytes(16)
START = 1_790_000_000_000_000
DEFAULTS = {
    Kind.CONTACTS: ("contacts/default", {"type": "addressbook"}),
    Kind.CALENDAR: ("calendars/default", {"type": "calendar", "components": "VEVENT"}),
    Kind.NOTES: ("files/notes", {"type": "folder"}),
    Kind.TASKS: ("calendars/tasks", {"type": "calendar", "components": "VTODO"}),
    Kind.PHOTOS: ("files/photos", {"type": "folder"}),
    Kind.SCORES: ("scores/chess", {"type": "game"}),
}


def an_id(word: str) -> bytes:
    return sha256(word.encode()).digest()[:16]


def card(uid: str, text: str = "") -> bytes:
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{uid} {text}", f"N:{uid};;;;", "END:VCARD", ""]
    return "\r\n".join(lines).encode()


class FakeClock:
    """Every look at it takes a millisecond."""

    def __init__(self, at: int = START) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        self.at += 1000
        return self.at / 1_000_000


class History:
    """Writes a log. Every call of a change makes a frame of its own, unless it is made within `frame()` calls."""

    def __init__(self) -> None:
        self.frames: list[LogFrame] = []
        self.heads: dict[tuple[bytes, Kind], Head] = {}
        self.fresh: set[tuple[bytes, Kind]] = set()
        self.changes: list[Change] = []
        self.position = EMPTY_LOG
        self.timeline = 0
        self.at = START
        self.vault = MemoryVault("near")
        self.collections: dict[tuple[bytes, str], bytes] = {}
        self.accounts: dict[str, bytes] = {"": SYSTEM}
        self.claim()
        self.mkcol("", Kind.IDENTITY, "identity", {"type": "identity"})
        self.put("", Kind.IDENTITY, "token-key", b"k" * 32)

    # -- frames ----------------------------------------------------------------------------------------------

    def _frame(
        self, changes: tuple[Change, ...], heads: dict[tuple[bytes, Kind], Head], sealed: bool, claim: bool
    ) -> None:
        number = self.position.frame + 1
        digest = sha256(self.position.digest + number.to_bytes(8, "big") + msgspec.msgpack.encode(changes)).digest()
        self.position = LogPosition(self.timeline, number, digest)
        self.at += 1_000_000
        size = 300 + sum(len(c.body or b"") for c in changes)
        self.frames.append(LogFrame(self.position, self.at, "near", size, changes, heads, sealed, claim))
        self.vault.put(f"log/{self.timeline:08}/{number:08}.seg", [bytes(size)])

    def claim(self) -> int:
        self.timeline += 1
        self._frame((), {}, sealed=False, claim=True)
        return self.timeline

    def seal(self) -> None:
        self._frame((), {key: self.heads[key] for key in self.fresh}, sealed=True, claim=False)
        self.fresh = set()

    # -- changes ---------------------------------------------------------------------------------------------

    def change(
        self,
        account: str,
        kind: Kind,
        op: Op,
        collection: bytes,
        name: str = "",
        body: bytes | None = None,
        props: dict[str, str] | None = None,
        blob: bytes | None = None,
        kept_props: bytes = NO_DIGEST,
    ) -> Change:
        id_ = self.accounts[account]
        head = self.heads.get((id_, kind), EMPTY_HEAD)
        canonical = None if props is None else canonical_props(props)
        raw = Change(
            id_,
            kind,
            self.timeline,
            head.rev + 1,
            head.rev + 1,
            self.at,
            op,
            collection,
            name,
            "text/plain" if body is not None else "",
            sha256(body).digest() if body is not None else NO_DIGEST,
            len(body) if body is not None else 0,
            props_digest(canonical) if canonical is not None else kept_props,
            "device:test",
            head.hash if head.rev else GENESIS,
            b"",
            body if blob is None else None,
            blob,
            canonical,
        )
        change = msgspec.structs.replace(raw, hash=rehash(raw))
        self.heads[id_, kind] = Head(change.rev, change.hash)
        self.fresh.add((id_, kind))
        self._frame((change,), {}, sealed=False, claim=False)
        self.changes.append(change)
        return change

    def account(self, name: str) -> bytes:
        """An account with its default collections."""
        self.accounts[name] = an_id(name)
        self.mkcol(name, Kind.IDENTITY, "identity", {"type": "identity"})
        self.put(name, Kind.IDENTITY, "profile", msgspec.json.encode({"name": name, "listed": False}))
        self.put(name, Kind.IDENTITY, "blob-key", sha256(name.encode()).digest())
        for kind, (path, props) in DEFAULTS.items():
            self.mkcol(name, kind, path, props)
        return self.accounts[name]

    def mkcol(self, account: str, kind: Kind, path: str, props: dict[str, str]) -> Change:
        id_ = an_id(f"{account}/{path}/{self.position.frame}")
        self.collections[self.accounts[account], path] = id_
        return self.change(account, kind, Op.MKCOL, id_, path, props=props)

    def _collection(self, account: str, kind: Kind, path: str | None) -> bytes:
        default = "identity" if kind is Kind.IDENTITY else DEFAULTS[kind][0]
        return self.collections[self.accounts[account], path or default]

    def put(
        self,
        account: str,
        kind: Kind,
        name: str,
        body: bytes,
        *,
        path: str | None = None,
        blob: bytes | None = None,
        kept_props: bytes = NO_DIGEST,
    ) -> Change:
        """`kept_props` is the digest of the properties that the item has and keeps."""
        collection = self._collection(account, kind, path)
        return self.change(account, kind, Op.PUT, collection, name, body, blob=blob, kept_props=kept_props)

    def delete(self, account: str, kind: Kind, name: str, *, path: str | None = None) -> Change:
        return self.change(account, kind, Op.DELETE, self._collection(account, kind, path), name)

    def props(self, account: str, kind: Kind, name: str, props: dict[str, str]) -> Change:
        return self.change(account, kind, Op.PROPS, self._collection(account, kind, None), name, props=props)

    def rmcol(self, account: str, kind: Kind, path: str) -> Change:
        return self.change(account, kind, Op.RMCOL, self._collection(account, kind, path), path)

    def accept_loss(self, account: str, kind: Kind, reached: Head) -> Change:
        """A GAP change that continues from what a recovery reached."""
        self.heads[self.accounts[account], kind] = reached
        return self.change(account, kind, Op.GAP, self._collection(account, kind, None), props={"missing": "some"})

    def erase(self, account: str) -> Change:
        return self.put("", Kind.IDENTITY, f"erased/{self.accounts[account].hex()}", b"{}")

    def family(self, *names: str, cards: int = 5) -> None:
        """Accounts with contacts that were changed and deleted, notes and scores; sealed."""
        for name in names:
            self.account(name)
            for n in range(cards):
                self.put(name, Kind.CONTACTS, f"{n}.vcf", card(f"{name}-{n}"))
            self.put(name, Kind.CONTACTS, "0.vcf", card(f"{name}-0", "again"))
            self.delete(name, Kind.CONTACTS, "1.vcf")
            self.put(name, Kind.NOTES, "todo.txt", b"milk")
            self.props(name, Kind.NOTES, "todo.txt", {"{urn:x}colour": "<colour/>"})
            self.mkcol(name, Kind.CONTACTS, "contacts/old", {"type": "addressbook"})
            self.put(name, Kind.CONTACTS, "old.vcf", card(f"{name}-old"), path="contacts/old")
            self.rmcol(name, Kind.CONTACTS, "contacts/old")
            self.put(name, Kind.SCORES, "s1", b'{"score": 7, "at": 1}')
        self.seal()

    # -- reading ---------------------------------------------------------------------------------------------

    def frame_of(self, change: Change) -> int:
        return next(f.position.frame for f in self.frames if change in f.changes)

    def reader(self, lost: Collection[int] = ()) -> FakeReader:
        """A reader to which these frames are lost."""
        return FakeReader(self, frozenset(lost))


class FakeReader:
    """Reads what the history holds at that moment."""

    def __init__(self, history: History, lost: frozenset[int]) -> None:
        self._history = history
        self._lost = lost

    def entries(self, after: LogPosition = EMPTY_LOG) -> Iterator[LogFrame | Hole]:
        hole: list[LogFrame] = []
        for frame in list(self._history.frames):
            if frame.position.frame <= after.frame:
                continue
            if frame.position.frame in self._lost:
                hole.append(frame)
                continue
            if hole:
                yield _hole(hole)
                hole = []
            yield frame
        if hole:
            yield _hole(hole)

    def seals(self, upto: LogPosition) -> Iterator[tuple[int, dict[tuple[bytes, Kind], Head]]]:
        for frame in reversed(self._history.frames):
            number = frame.position.frame
            if frame.sealed and number <= upto.frame and number not in self._lost:
                yield number, frame.heads

    def check(self, position: LogPosition) -> None:
        assert position in [frame.position for frame in self._history.frames]

    def end(self) -> LogPosition:
        good = [f.position for f in self._history.frames if f.position.frame not in self._lost]
        return good[-1] if good else EMPTY_LOG

    def problems(self) -> list[str]:
        hurt = [f.position for f in self._history.frames if f.position.frame in self._lost]
        return [f"near: log/{p.timeline:08}/{p.frame:08}.seg: checksum does not match" for p in hurt]


def _hole(frames: list[LogFrame]) -> Hole:
    first, last = frames[0].position, frames[-1].position
    return Hole(first.frame, last.frame, first.timeline, ("near: checksum does not match",))


class FakeBlobs:
    """Live blobs by name; what is not there is in no vault either."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def stage(self, key: bytes) -> BodyStage:
        raise NotImplementedError

    def doubt(self, name: bytes) -> None:
        """Nothing is remembered of what was right."""

    def read(
        self, name: bytes, size: int, offset: int = 0, count: int | None = None, *, digest: bytes | None = None
    ) -> Iterator[bytes]:
        if name not in self.held:
            raise Held("no vault has it")
        yield self.held[name]


def state_of(core: CoreReads) -> dict[str, object]:
    """Everything that a core holds, in comparable form."""
    state: dict[str, object] = {"counts": core.counts(), "changes": [(f, c) for _, f, c in core.changes(limit=100_000)]}
    system = core.account_by_id(SYSTEM)
    for account in [*core.accounts(), *([system] if system else [])]:
        for kind in Kind:
            state[f"{account.name} {kind}"] = (core.head(account.number, kind), core.held(account.number, kind))
        for collection in core.collections(account.number):
            items = {}
            for item in core.items(collection):
                stored = core.body(item)
                items[item.name] = (item.rev, item.digest, stored.inline, stored.blob, core.props(item), item.uid)
            state[f"{account.name}/{collection.path}"] = (collection.id, collection.rev, collection.props, items)
    return state
