"""Cores to be damaged, what is in them, and what a carve gave back."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw

from safehold.model.change import Change, Op
from safehold.model.kinds import Kind
from safehold.ports.survivors import Aside, KnownItem, Loose, Proof, Survivor, Witnessed
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.store.sqlite.core import SqliteCore
from tests.support.changes import Streams, account_id, collection_id

PATHS = {
    Kind.CONTACTS: "contacts/default",
    Kind.CALENDAR: "calendars/default",
    Kind.NOTES: "files/notes",
    Kind.TASKS: "calendars/tasks",
    Kind.PHOTOS: "files/photos",
    Kind.SCORES: "scores/maze",
}


class Gathered:
    """`ports.survivors.Finds` in lists."""

    def __init__(self) -> None:
        self.sources: list[tuple[str, str, int]] = []
        self.problems: list[tuple[int, str]] = []
        self.survivors: list[Survivor] = []
        self.known_items: list[KnownItem] = []
        self.witnesses: list[Witnessed] = []
        self.asides: list[Aside] = []
        self.names: dict[bytes, str] = {}
        self.erased_ids: set[bytes] = set()

    def source(self, path: str, sort: str, size: int) -> int:
        self.sources.append((path, sort, size))
        return len(self.sources)

    def problem(self, source: int, words: str) -> None:
        self.problems.append((source, words))

    def survivor(self, survivor: Survivor) -> None:
        self.survivors.append(survivor)

    def known(self, item: KnownItem) -> None:
        self.known_items.append(item)

    def loose(self, loose: Loose) -> None:
        raise AssertionError("a core holds nothing loose")

    def witness(self, witnessed: Witnessed) -> None:
        self.witnesses.append(witnessed)

    def aside(self, aside: Aside) -> None:
        self.asides.append(aside)

    def account(self, account: bytes, name: str) -> None:
        self.names[account] = name

    def erased(self, account: bytes) -> None:
        self.erased_ids.add(account)

    def body(self, digest: bytes, body: bytes, source: int) -> None:
        raise AssertionError("a core's bodies lie with their changes")

    def blob(self, name: bytes, path: str, size: int, source: int) -> None:
        raise AssertionError("a core holds no blobs")

    def changes(self, proof: Proof | None = None) -> dict[tuple[bytes, Kind, int], Change]:
        """Whole ones, by stream and rev; fails where one comes twice with different contents."""
        found: dict[tuple[bytes, Kind, int], Change] = {}
        for survivor in self.survivors:
            change = survivor.change
            if (proof is None or survivor.proof is proof) and (change.body is not None or not needs_body(change)):
                key = (change.account, change.kind, change.rev)
                assert found.setdefault(key, change) == change, f"two of {key}"
        return found


def needs_body(change: Change) -> bool:
    return bool(change.digest) and change.blob is None


class Filler:
    """Changes of all kinds, a few to a transaction: cards, notes, photos, deletes, properties, blobs.

    Bodies are up to 30 KB, so that many rows go on in overflow pages.
    """

    def __init__(self, seed: int, accounts: int) -> None:
        self.rng = random.Random(seed)
        self.streams = Streams()
        self.accounts = accounts
        self.frame = 0
        self.live: dict[tuple[bytes, Kind], list[str]] = {}

    @property
    def made(self) -> list[Change]:
        return self.streams.made

    def begin(self, core: SqliteCore) -> None:
        streams = self.streams
        begun = [streams.mkcol(SYSTEM_ACCOUNT, Kind.IDENTITY, "identity", {"type": "identity"})]
        for number in range(1, self.accounts + 1):
            account = account_id(number)
            identity = cid(account, "identity")
            props = {"type": "identity"}
            begun.append(streams.make(account, Kind.IDENTITY, Op.MKCOL, identity, "identity", props=props))
            profile = json.dumps({"name": f"person{number}"}).encode()
            begun.append(streams.make(account, Kind.IDENTITY, Op.PUT, identity, "profile", body=profile))
            begun += [_mkcol(streams, account, kind, path) for kind, path in PATHS.items()]
        self.apply(core, begun)

    def more(self, core: SqliteCore, changes: int) -> None:
        """So many, at the least."""
        upto = len(self.made) + changes
        while len(self.made) < upto:
            self.apply(core, [self.one() for _ in range(self.rng.choice((1, 3, 60)))])

    def one(self) -> Change:
        return _one(self.rng, self.streams, self.live, account_id(self.rng.randint(1, self.accounts)))

    def apply(self, core: SqliteCore, changes: list[Change]) -> None:
        self.frame += 1
        core.begin()
        for change in changes:
            core.apply(change, self.frame)
        core.commit()


def keyed(changes: Iterable[Change]) -> dict[tuple[bytes, Kind, int], Change]:
    return {(change.account, change.kind, change.rev): change for change in changes}


def _mkcol(streams: Streams, account: bytes, kind: Kind, path: str) -> Change:
    return streams.make(account, kind, Op.MKCOL, cid(account, path), path, props={"type": "folder"})


def cid(account: bytes, path: str) -> bytes:
    return collection_id(account.hex() + path)


def _one(rng: random.Random, streams: Streams, live: dict[tuple[bytes, Kind], list[str]], account: bytes) -> Change:
    kind = rng.choice(tuple(PATHS))
    there = live.setdefault((account, kind), [])
    collection = cid(account, PATHS[kind])
    draw = rng.random()
    if there and draw < 0.1:
        name = there.pop(rng.randrange(len(there)))
        return streams.make(account, kind, Op.DELETE, collection, name)
    if there and draw < 0.15:
        props = {"{DAV:}displayname": "x" * rng.randint(1, 400)}
        return streams.make(account, kind, Op.PROPS, collection, rng.choice(there), props=props)
    if there and draw < 0.35:
        name = rng.choice(there)
    else:
        name = f"{rng.getrandbits(64):016x}.{'vcf' if kind is Kind.CONTACTS else 'ics'}"
        there.append(name)
    body, media = _body(rng, kind, name)
    blob = rng.randbytes(32) if kind is Kind.PHOTOS and draw > 0.8 else None
    props = {"{DAV:}getcontentlanguage": "en"} if kind is Kind.NOTES and draw > 0.9 else None
    return streams.make(account, kind, Op.PUT, collection, name, body=body, blob=blob, media=media, props=props)


def _body(rng: random.Random, kind: Kind, name: str) -> tuple[bytes, str]:
    if kind is Kind.PHOTOS:
        return rng.randbytes(rng.choice((900, 900, 900, 5_000, 30_000))), "image/jpeg"
    if kind is Kind.SCORES:
        return json.dumps({"score": rng.randint(1, 10**6)}).encode(), "application/json"
    text = rng.randbytes(rng.choice((60, 200, 200, 500, 900, 2_000))).hex()
    return f"BEGIN:X\r\nUID:{name}\r\nNOTE:{text}\r\nEND:X\r\n".encode(), "text/vcard"


def pages_of_rows(path: Path) -> dict[tuple[int, int, int], set[int]]:
    """For (account number, kind, rev) of each row of the journal, the pages of the file that it lies on.

    An independent way: down the tree from the root that the schema names, in a file without a log, with nothing of the
    product's reader.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'journal'").get
    keys = {seq: key for seq, *key in db.execute("SELECT seq, account, kind, rev FROM journal")}
    db.close()
    data = path.read_bytes()
    size = struct.unpack(">H", data[16:18])[0]
    usable = size - data[20]
    return {tuple(keys[rowid]): pages for rowid, pages in _walk(data, size, usable, root)}  # type: ignore[misc]


def _walk(data: bytes, size: int, usable: int, number: int) -> Iterator[tuple[int, set[int]]]:
    page = data[(number - 1) * size : number * size]
    count = struct.unpack(">H", page[3:5])[0]
    if page[0] == 5:
        for place in range(count):
            at = struct.unpack(">H", page[12 + 2 * place : 14 + 2 * place])[0]
            yield from _walk(data, size, usable, struct.unpack(">I", page[at : at + 4])[0])
        yield from _walk(data, size, usable, struct.unpack(">I", page[8:12])[0])
        return
    for place in range(count):
        at = struct.unpack(">H", page[8 + 2 * place : 10 + 2 * place])[0]
        length, at = _varint(page, at)
        rowid, at = _varint(page, at)
        pages = {number}
        if length > usable - 35:
            least = (usable - 12) * 32 // 255 - 23
            kept = least + (length - least) % (usable - 4)
            kept = kept if kept <= usable - 35 else least
            following = struct.unpack(">I", page[at + kept : at + kept + 4])[0]
            while following:
                pages.add(following)
                following = struct.unpack(">I", data[(following - 1) * size : (following - 1) * size + 4])[0]
        yield rowid, pages


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        value = value << 7 | page[at] & 127
        at += 1
        if page[at - 1] < 128:
            return value, at
    return value << 8 | page[at], at + 1
